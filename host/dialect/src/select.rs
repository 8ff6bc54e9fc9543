//! Which of a pool's dialects a miner speaks, by its user agent.

use crate::document::Dialect;
use crate::intent::{Decoded, Intent, SessionView};
use std::sync::Arc;

/// The dialects of one port, the default first.
#[derive(Clone, Debug)]
pub struct DialectSet {
    default: Arc<Dialect>,
    others: Vec<Arc<Dialect>>,
}

impl DialectSet {
    /// `default` is spoken until a user agent matches one of `others`, asked in their order. A port that is
    /// fixed to one dialect has no others.
    #[must_use]
    pub fn new(default: Arc<Dialect>, others: Vec<Arc<Dialect>>) -> Self {
        Self { default, others }
    }

    /// From the documents of an adapter: the default is the first that matches no agent in particular, or else
    /// the first. `None` for no documents.
    #[must_use]
    pub fn from_documents(dialects: &[Arc<Dialect>]) -> Option<Self> {
        let default =
            dialects.iter().find(|dialect| dialect.agents.is_empty()).or_else(|| dialects.first())?;
        let others = dialects.iter().filter(|dialect| !Arc::ptr_eq(dialect, default)).cloned().collect();
        Some(Self { default: Arc::clone(default), others })
    }

    /// The same dialects with the one of this name as the only one: a port's override.
    #[must_use]
    pub fn fixed(&self, name: &str) -> Option<Self> {
        let dialect = self.all().find(|dialect| dialect.name() == name)?;
        Some(Self { default: Arc::clone(dialect), others: Vec::new() })
    }

    /// What a new connection speaks.
    #[must_use]
    pub fn default_dialect(&self) -> &Arc<Dialect> {
        &self.default
    }

    /// All dialects, the default first.
    pub fn all(&self) -> impl Iterator<Item = &Arc<Dialect>> {
        std::iter::once(&self.default).chain(&self.others)
    }

    /// The dialect for a user agent.
    #[must_use]
    pub fn for_agent(&self, agent: &str) -> &Arc<Dialect> {
        self.others.iter().find(|dialect| dialect.matches_agent(agent)).unwrap_or(&self.default)
    }

    /// Decodes a line and, when it names a user agent that belongs to another dialect, changes `current` to that
    /// one and reads the line again in it.
    pub fn decode<'l>(
        &self,
        current: &mut Arc<Dialect>,
        line: &'l [u8],
        session: &dyn SessionView,
    ) -> Decoded<'l> {
        let decoded = current.decode(line, session);
        let (Intent::Hello { agent: Some(agent), .. } | Intent::Login { agent: Some(agent), .. }) =
            &decoded.intent
        else {
            return decoded;
        };
        let chosen = self.for_agent(agent);
        if Arc::ptr_eq(chosen, current) {
            return decoded;
        }
        *current = Arc::clone(chosen);
        current.decode(line, session)
    }
}

/// Whether `text` matches `pattern`, in which `*` stands for any characters; upper and lower case are the same.
pub(crate) fn glob(pattern: &str, text: &str) -> bool {
    let lower = |text: &str| text.to_ascii_lowercase();
    let (pattern, text) = (lower(pattern), lower(text));
    let mut pieces = pattern.split('*');
    let first = pieces.next().unwrap_or("");
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let mut pieces = pieces.peekable();
    if pieces.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(piece) = pieces.next() {
        if pieces.peek().is_none() {
            return rest.ends_with(piece);
        }
        match rest.split_once(piece) {
            Some((_, after)) => rest = after,
            None => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::glob;

    #[test]
    fn patterns_of_user_agents() {
        assert!(glob("GodMiner*", "godminer/2.0"));
        assert!(glob("*antminer*", "bitmain Antminer KS3"));
        assert!(glob("cgminer", "CGMINER"));
        assert!(glob("a*b*c", "a--b--b-c"));
        assert!(glob("*", ""));
        assert!(!glob("GodMiner*", "xgodminer"));
        assert!(!glob("a*b*c", "a-c-b"));
        assert!(!glob("cgminer", "cgminer/4.10"));
    }
}
