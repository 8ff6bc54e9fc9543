//! Lines of miners through every dialect of the repository: what a connection does with each, as far as documents go.

use crate::input::Input;
use millpond_dialect::{
    Dialect, DialectSet, Extranonce, Failure, Intent, JobRef, MAX_LINE_BYTES, SessionView, Value, ValueMap,
};
use std::sync::{Arc, LazyLock};

macro_rules! families {
    ($($path:literal),* $(,)?) => {
        [$(($path, include_str!(concat!("../../../examples/families/", $path)))),*]
    };
}

/// Every dialect document of the repository.
pub(crate) const DOCUMENTS: [(&str, &str); 11] = families![
    "bitcoin/v1.dialect",
    "kaspa/default.dialect",
    "kaspa/iceriver.dialect",
    "kaspa/bitmain.dialect",
    "ckb/a.dialect",
    "ckb/b.dialect",
    "ckb/c.dialect",
    "ckb/d.dialect",
    "ckb-u64/e.dialect",
    "decred/v1.dialect",
    "handshake/v1.dialect",
];

static DIALECTS: LazyLock<Vec<Arc<Dialect>>> = LazyLock::new(|| {
    let compiled = DOCUMENTS.map(|(name, text)| Dialect::compile(name, text));
    compiled.into_iter().flatten().collect()
});

/// A session in any state.
pub(crate) struct Session<'a> {
    flags: u8,
    agent: &'static str,
    prefix: &'a [u8],
    size: usize,
    mask: &'a [u8],
}

impl<'a> Session<'a> {
    pub(crate) fn of(input: &mut Input<'a>) -> Self {
        let flags = input.byte();
        let agents =
            ["", "cgminer/4.10", "NiceHash/1.0", "GodMiner/2.0", "IceRiver", "lolMiner 1", "a/\"\\\n"];
        let agent = agents.get(usize::from(flags >> 5)).copied().unwrap_or_default();
        let sizes = input.byte();
        let prefix = input.take(usize::from(sizes >> 4));
        Self { flags, agent, prefix, size: prefix.len() + usize::from(sizes & 15), mask: input.take(4) }
    }

    fn has(&self, bit: u8) -> bool {
        self.flags & bit != 0
    }
}

impl SessionView for Session<'_> {
    fn subscribed(&self) -> bool {
        self.has(1)
    }

    fn authorized(&self) -> bool {
        self.has(2)
    }

    fn extranonce_updates(&self) -> bool {
        self.has(4)
    }

    fn agent(&self) -> &str {
        self.agent
    }

    fn extranonce(&self, _job: &JobRef) -> Extranonce<'_> {
        Extranonce { prefix: self.prefix, size: self.size }
    }

    fn negotiated(&self, field: &str) -> Option<&[u8]> {
        (self.has(8) && field == "mask").then_some(self.mask)
    }
}

/// What a reply may be made of.
fn values(session: &Session<'_>) -> ValueMap {
    let bytes = |bytes: &[u8]| Value::Bytes(bytes.to_vec().into());
    ValueMap::new()
        .with("session", Value::Text("5e\"55\\".into()))
        .with("xn.prefix", bytes(session.prefix))
        .with("xn.rest", Value::Number((session.size - session.prefix.len()) as u64))
        .with("xn.size", Value::Number(session.size as u64))
        .with("mask", bytes(session.mask))
        .with("difficulty", Value::Float(1024.5))
        .with("target", bytes(&[7; 32]))
        .with("job", Value::Text("6b".into()))
        .with("clean", Value::Flag(true))
        .with("text", Value::Text("\u{1}\"text\"\\".into()))
}

/// Whatever is written is whole lines of JSON. An id is echoed as it came, and may be a number that no float holds.
fn written(out: &[u8]) {
    assert!(out.is_empty() || out.ends_with(b"\n"), "a line without its end");
    for line in out.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        assert!(is_json(line), "{}", line.escape_ascii());
    }
}

/// Whether another reader takes the text for JSON: one that reads it all, so that it also knows halves of surrogate pairs
/// and numbers that no float holds.
fn is_strict_json(text: &[u8]) -> bool {
    serde_json::from_slice::<serde_json::Value>(text).is_ok()
}

/// The same by one who skips over what it reads, and minds neither.
fn is_json(text: &[u8]) -> bool {
    serde_json::from_slice::<serde::de::IgnoredAny>(text).is_ok()
}

/// Reads each line of the input in a dialect and a session that its first bytes choose, answers it both ways, and
/// compares what was said of its JSON with another reader's opinion.
pub fn lines(data: &[u8]) {
    let mut input = Input(data);
    let Some(first) = DIALECTS.get(usize::from(input.byte()) % DIALECTS.len().max(1)) else { return };
    let session = Session::of(&mut input);
    let set = DialectSet::new(Arc::clone(first), DIALECTS.to_vec());
    let mut current = Arc::clone(first);
    while !input.is_empty() {
        let line = input.until(b'\n');
        let decoded = set.decode(&mut current, line, &session);
        // White space of any kind around a message is nothing to complain of.
        let line = line.trim_ascii();
        let mut out = Vec::new();
        current.encode_error(&decoded.call, Failure::Other, Some("\"why\"\u{7}"), &mut out);
        written(&out);
        let mut out = Vec::new();
        match current.encode_reply(&decoded.call, &values(&session), &mut out) {
            Ok(()) => written(&out),
            Err(_) => assert!(out.is_empty(), "half a reply"),
        }
        let _ = current.pushes_after(&decoded.call, &session);
        match decoded.intent {
            Intent::Malformed { why } if why.starts_with("not JSON at") => {
                let limits = why.contains("levels") || why.contains("values");
                assert!(
                    limits || line.contains(&0) || !is_strict_json(line),
                    "{why}: {}",
                    line.escape_ascii()
                );
            }
            Intent::Ignored | Intent::Malformed { .. } => {}
            Intent::Submit(submit) => {
                assert!(line.contains(&0) || is_json(line), "{}", line.escape_ascii());
                let whole = |xn: &[u8]| xn.len() == session.size || session.prefix.len() >= session.size;
                assert!(submit.field("xn").is_none_or(whole), "an extranonce of another length");
            }
            _ => assert!(line.contains(&0) || is_json(line), "{}", line.escape_ascii()),
        }
        assert!(line.len() <= MAX_LINE_BYTES || decoded.call.id() == "null");
    }
}
