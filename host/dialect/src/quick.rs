//! Shares read in one pass over the line, without building the message: nearly all that a pool hears.
//!
//! This reads only what is plain: an object with an id, the method of a submit and an array of a few plain parameters,
//! in ASCII without escapes. Whatever is otherwise, and whatever is wrong, is left to the reader of any message, which
//! comes to the same where both can read, and has the words for what is wrong.

use crate::decode::{MAX_ID_BYTES, MAX_TEXT_BYTES};
use crate::document::{Condition, Dialect, Handler, JobRule, Place, Verb};
use crate::fields::{FieldRule, Found};
use crate::hex::Digits;
use crate::intent::{Decoded, Intent, JobRef, SessionView};
use crate::json::MAX_LINE_BYTES;
use crate::small::{Name, Short};
use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

/// Parameters of a submit that are read here; the longest in use has six.
const MAX_PARAMS: usize = 8;

/// The handlers of a method, as far as they are read here.
#[derive(Debug)]
pub(crate) struct Quick {
    /// With its quotes, as a line has it.
    method: Box<str>,
    /// In the document's order: the first whose conditions hold is the one.
    rules: Vec<QuickSubmit>,
}

/// A submit whose values all stand in the array of parameters.
#[derive(Debug)]
struct QuickSubmit {
    handler: Arc<Handler>,
    /// A parameter, and whether it has to be there.
    conditions: Vec<(usize, bool)>,
    worker: Option<usize>,
    job: usize,
    fields: Vec<QuickField>,
}

#[derive(Debug)]
struct QuickField {
    param: usize,
    name: Name,
    /// Where the field is hex: what is as long as it should be is read by this, all else by the rule.
    digits: Option<Digits>,
    rule: FieldRule,
}

/// Picks what can be read here out of a document's handlers.
pub(crate) fn compile(handlers: &HashMap<String, Vec<Arc<Handler>>>) -> Vec<Quick> {
    let quick = |(method, handlers): (&String, &Vec<Arc<Handler>>)| {
        let rules = handlers.iter().map(QuickSubmit::of).collect::<Option<Vec<_>>>()?;
        // Another one would stand in the line with escapes.
        let as_written = plain(method.as_bytes()) == method.len();
        as_written.then(|| Quick { method: format!("\"{method}\"").into(), rules })
    };
    let mut all: Vec<Quick> = handlers.iter().filter_map(quick).collect();
    all.sort_by(|a, b| a.method.cmp(&b.method));
    all
}

/// The parameter that a place means, if it is one and nothing else.
fn param(place: &Place) -> Option<usize> {
    let [steps] = place.pointers.as_slice() else { return None };
    let [params, at] = steps.as_slice() else { return None };
    at.parse().ok().filter(|at| params == "params" && *at < MAX_PARAMS)
}

impl QuickSubmit {
    fn of(handler: &Arc<Handler>) -> Option<Self> {
        let Verb::Submit(rule) = &handler.verb else { return None };
        let JobRule::Id(job) = &rule.job else { return None };
        let worker = match &rule.worker {
            Some(place) => Some(param(place)?),
            None => None,
        };
        let conditions = handler.conditions.iter().map(|condition| match condition {
            Condition::Present(place) => Some((param(place)?, true)),
            Condition::Absent(place) => Some((param(place)?, false)),
            _ => None,
        });
        let fields = rule.fields.iter().map(|field| {
            let (name, digits) = (Name::new(&field.name), Digits::of(field));
            Some(QuickField { param: param(&field.place)?, name, digits, rule: field.clone() })
        });
        Some(Self {
            handler: Arc::clone(handler),
            conditions: conditions.collect::<Option<_>>()?,
            worker,
            job: param(job)?,
            fields: fields.collect::<Option<_>>()?,
        })
    }
}

impl Dialect {
    /// Reads a share into `decoded`, which is a submit without values. `None` for everything that is not plainly a share,
    /// and for every share that is wrong; `decoded` then means nothing.
    ///
    /// What is read is written where it stays: moving it about would cost as much as reading it.
    #[inline(always)]
    pub(crate) fn quick_submit<'l>(
        &self,
        line: &'l [u8],
        session: &dyn SessionView,
        decoded: &mut Decoded<'l>,
    ) -> Option<()> {
        let mut params = [None; MAX_PARAMS];
        let message = Message::read(&self.quick, line, &mut params)?;
        let rule = message.method.rules.iter().find(|rule| {
            rule.conditions.iter().all(|(at, present)| message.param(*at).is_some() == *present)
        })?;
        let Decoded { call, intent: Intent::Submit(share) } = decoded else { return None };
        share.job = JobRef::Id(Cow::Borrowed(message.text(rule.job)??));
        share.worker = match rule.worker {
            Some(at) => message.text(at)?.map(Cow::Borrowed),
            None => None,
        };
        for field in &rule.fields {
            let start = share.fields.open().len();
            let found = message.param(field.param);
            let read = match (&field.digits, found) {
                (Some(digits), Some(Found::Text(text))) => {
                    digits.read(text, &share.job, session, share.fields.open())
                }
                _ => false,
            };
            if read || field.rule.read(found, &share.job, session, share.fields.open()).ok()? {
                share.fields.close(&field.name, start);
            }
        }
        let (after, len) = message.id;
        call.id = Short::beginning(after, len)?;
        call.handler = Some(Arc::clone(&rule.handler));
        call.known = true;
        Some(())
    }
}

/// A plain message, taken apart.
struct Message<'l, 'm> {
    /// The line from the id on, and the bytes of the id as written.
    id: (&'l str, usize),
    method: &'m Quick,
    /// Null counts as absent.
    params: &'m [Option<Found<'l>>; MAX_PARAMS],
}

impl<'l, 'm> Message<'l, 'm> {
    #[inline(always)]
    fn read(
        known: &'m [Quick],
        line: &'l [u8],
        params: &'m mut [Option<Found<'l>>; MAX_PARAMS],
    ) -> Option<Self> {
        if line.len() > MAX_LINE_BYTES {
            return None;
        }
        let mut reader = Reader { rest: std::str::from_utf8(line).ok()? };
        // A member that is there twice is the other reader's to decide.
        let (mut id, mut method, mut found_params) = (None, None, false);
        reader.mark(b'{')?;
        loop {
            reader.space();
            if reader.member("\"id\"")? {
                let from = reader.rest;
                let len = reader.id()?.len();
                (len <= MAX_ID_BYTES && id.replace((from, len)).is_none()).then_some(())?;
            } else if reader.member("\"method\"")? {
                let found = known.iter().find(|quick| reader.rest.starts_with(&*quick.method))?;
                reader.take(found.method.len())?;
                method.replace(found).is_none().then_some(())?;
            } else if reader.member("\"params\"")? {
                (!std::mem::replace(&mut found_params, true)).then_some(())?;
                reader.params(params)?;
            } else if reader.member("\"jsonrpc\"")? {
                reader.string()?;
            } else {
                return None;
            }
            if reader.either(b',', b'}')? == b'}' {
                break;
            }
        }
        reader.space();
        (reader.rest.is_empty() && found_params).then_some(())?;
        Some(Self { id: id.unwrap_or(("null", 4)), method: method?, params })
    }

    #[inline]
    fn param(&self, at: usize) -> Option<Found<'l>> {
        *self.params.get(at)?
    }

    /// A parameter as text; `None` twice where it is absent.
    #[inline]
    fn text(&self, at: usize) -> Option<Option<&'l str>> {
        match self.param(at) {
            None => Some(None),
            Some(Found::Text(text) | Found::Number(text)) if text.len() <= MAX_TEXT_BYTES => Some(Some(text)),
            Some(_) => None,
        }
    }
}

/// Takes plain tokens from the front of a line.
struct Reader<'l> {
    rest: &'l str,
}

impl<'l> Reader<'l> {
    #[inline(always)]
    fn first(&self) -> Option<u8> {
        self.rest.as_bytes().first().copied()
    }

    /// Takes so many bytes.
    #[inline]
    fn take(&mut self, len: usize) -> Option<&'l str> {
        let (taken, rest) = self.rest.split_at_checked(len)?;
        self.rest = rest;
        Some(taken)
    }

    #[inline(always)]
    fn space(&mut self) {
        while let Some(b' ' | b'\t' | b'\r' | b'\n') = self.first() {
            self.rest = self.rest.get(1..).unwrap_or_default();
        }
    }

    /// White space and one mark.
    #[inline(always)]
    fn mark(&mut self, mark: u8) -> Option<()> {
        self.either(mark, mark).map(|_| ())
    }

    /// White space and one of two marks.
    #[inline(always)]
    fn either(&mut self, one: u8, other: u8) -> Option<u8> {
        self.space();
        let first = self.first().filter(|first| *first == one || *first == other)?;
        self.rest = self.rest.get(1..)?;
        Some(first)
    }

    /// Whether a member of that name comes next, which is then taken up to its value.
    #[inline(always)]
    fn member(&mut self, quoted: &'static str) -> Option<bool> {
        let Some(rest) = self.rest.strip_prefix(quoted) else { return Some(false) };
        self.rest = rest;
        self.mark(b':')?;
        self.space();
        Some(true)
    }

    /// A string of printable ASCII without escapes.
    #[inline(always)]
    fn string(&mut self) -> Option<&'l str> {
        let inside = self.rest.strip_prefix('"')?;
        let (text, rest) = inside.split_at_checked(plain(inside.as_bytes()))?;
        self.rest = rest.strip_prefix('"')?;
        Some(text)
    }

    /// A whole number, as written.
    #[inline(always)]
    fn number(&mut self) -> Option<&'l str> {
        let bytes = self.rest.as_bytes();
        let minus = usize::from(bytes.first() == Some(&b'-'));
        let digits = bytes.iter().skip(minus).take_while(|byte| byte.is_ascii_digit()).count();
        let leading_zero = digits > 1 && bytes.get(minus) == Some(&b'0');
        if digits == 0 || leading_zero || matches!(bytes.get(minus + digits), Some(b'.' | b'e' | b'E')) {
            return None;
        }
        self.take(minus + digits)
    }

    /// The literal of a word, if that comes next.
    fn word(&mut self, word: &'static str) -> Option<&'static str> {
        self.rest = self.rest.strip_prefix(word)?;
        Some(word)
    }

    #[inline(always)]
    fn id(&mut self) -> Option<&'l str> {
        let before = self.rest;
        match self.first()? {
            b'"' => {
                let inside = self.string()?;
                before.get(..inside.len() + 2)
            }
            b'n' => self.word("null"),
            _ => self.number(),
        }
    }

    #[inline(always)]
    fn params(&mut self, params: &mut [Option<Found<'l>>; MAX_PARAMS]) -> Option<()> {
        self.mark(b'[')?;
        for place in params {
            self.space();
            *place = match self.first()? {
                b'"' => Some(Found::Text(self.string()?)),
                b'n' => self.word("null").map(|_| None)?,
                _ => Some(Found::Number(self.number()?)),
            };
            if self.either(b',', b']')? == b']' {
                return Some(());
            }
        }
        None
    }
}

/// Whether a byte is printable ASCII other than `"` and `\`.
#[inline]
fn is_plain(byte: u8) -> bool {
    matches!(byte, 0x20..0x7f) & !matches!(byte, b'"' | b'\\')
}

/// How many bytes at the front are printable ASCII other than `"` and `\`.
///
/// The last few are found one by one: the processor guesses rightly how many they are, since a miner's lines are like
/// each other, and goes on. It would have to wait for a number that is computed.
#[inline(always)]
fn plain(bytes: &[u8]) -> usize {
    let mut count = 0;
    for chunk in bytes.as_chunks::<16>().0 {
        if !chunk.iter().fold(true, |all, byte| all & is_plain(*byte)) {
            break;
        }
        count += 16;
    }
    let rest = bytes.get(count..).unwrap_or_default();
    count + rest.iter().take_while(|byte| is_plain(**byte)).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::intent::Extranonce;
    use proptest::prelude::*;

    struct Session;

    impl SessionView for Session {
        fn extranonce(&self, _job: &JobRef<'_>) -> Extranonce<'_> {
            Extranonce { prefix: &[8, 0, 0, 2], size: 8 }
        }

        fn negotiated(&self, _field: &str) -> Option<&[u8]> {
            None
        }
    }

    #[test]
    fn the_plain_shares_of_every_family_are_read_here() {
        let documents = [
            (
                include_str!("../../../examples/families/bitcoin/v1.dialect"),
                r#","01020304","504e86ed","b2957c02""#,
            ),
            (include_str!("../../../examples/families/kaspa/default.dialect"), r#","0x00010203040506ff""#),
            (include_str!("../../../examples/families/kaspa/iceriver.dialect"), r#","0x00010203040506ff""#),
            (include_str!("../../../examples/families/ckb/a.dialect"), r#","01020304""#),
            (
                include_str!("../../../examples/families/decred/v1.dialect"),
                r#","01020304","504e86ed","b2957c02""#,
            ),
            (
                include_str!("../../../examples/families/handshake/v1.dialect"),
                r#","01020304","504e86ed","b2957c02""#,
            ),
        ];
        for (text, values) in documents {
            let dialect = Dialect::compile("t", text).unwrap();
            let line = format!(
                "{{\"id\": 4, \"method\": \"mining.submit\", \"params\": [\"w\",\"17\"{values}]}}\r\n"
            );
            let mut decoded = Decoded::share();
            assert!(dialect.quick_submit(line.as_bytes(), &Session, &mut decoded).is_some(), "{text}");
            let Intent::Submit(share) = &decoded.intent else { panic!() };
            assert_eq!((decoded.call.id(), &share.job), ("4", &JobRef::Id("17".into())));
            let escaped = line.replace("17", "1\\u0037");
            assert!(dialect.quick_submit(escaped.as_bytes(), &Session, &mut Decoded::share()).is_none());
        }
    }

    proptest! {
        #[test]
        fn a_string_ends_at_the_first_byte_that_is_not_plain(
            bytes in proptest::collection::vec(prop_oneof![9 => 0x20_u8..0x7f, 1 => any::<u8>()], 0..40),
        ) {
            let slow = bytes.iter().position(|byte| !matches!(byte, 0x20..0x7f) || matches!(byte, b'"' | b'\\'));
            prop_assert_eq!(plain(&bytes), slow.unwrap_or(bytes.len()));
        }
    }
}
