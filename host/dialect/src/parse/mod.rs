//! From the text of a document to a [`Dialect`], or to all errors of it.

mod cursor;
mod handler;

use crate::difficulty::Rounding;
use crate::document::{Dialect, Handler, MAX_DOCUMENT_BYTES, Need, PushRule, Source, Verb};
use crate::errors::{DocumentError, DocumentErrors};
use crate::intent::{Failure, Push};
use crate::quick;
use crate::template::{Part, Template};
use cursor::{Cursor, Wrong, is_name};
use millpond_types::Target;
use std::collections::{BTreeMap, HashMap};
use std::ops::RangeInclusive;
use std::sync::Arc;

/// After so many errors the rest is not told.
const MAX_ERRORS: usize = 100;

const FAILURES: &[(&str, Failure, i64, &str)] = &[
    ("other", Failure::Other, 20, "Other"),
    ("stale", Failure::Stale, 21, "Stale"),
    ("unknown-job", Failure::UnknownJob, 21, "Job not found"),
    ("duplicate", Failure::Duplicate, 22, "Duplicate share"),
    ("low-difficulty", Failure::LowDifficulty, 23, "Low difficulty share"),
    ("unauthorized", Failure::Unauthorized, 24, "Unauthorized worker"),
    ("not-subscribed", Failure::NotSubscribed, 25, "Not subscribed"),
    ("unknown-method", Failure::UnknownMethod, -3, "Unknown method"),
];

const PUSHES: &[(&str, Push)] = &[
    ("job", Push::Job),
    ("target", Push::Target),
    ("extranonce", Push::Extranonce),
    ("mask", Push::Mask),
    ("reconnect", Push::Reconnect),
    ("message", Push::Message),
    ("version", Push::Version),
    ("ping", Push::Ping),
];

pub(crate) fn document(name: &str, text: &str) -> Result<Dialect, DocumentErrors> {
    let one = |message: String| {
        DocumentErrors(vec![DocumentError { line: 1, column: 1, name: name.to_owned(), message }])
    };
    if text.len() > MAX_DOCUMENT_BYTES {
        return Err(one(format!(
            "a dialect has at most {MAX_DOCUMENT_BYTES} bytes, this has {}",
            text.len()
        )));
    }
    // Windows editors: the engine's own line ends are plain.
    let source = Source { name: name.to_owned(), text: text.replace("\r\n", "\n") };
    let mut cursor = Cursor::new(&source);
    let mut draft = Draft::default();
    let mut first = true;
    while cursor.next_statement() {
        let start = cursor.at;
        let word = cursor.peek_word().unwrap_or_default();
        if first && word != "dialect" {
            cursor.report((start, "a dialect begins with `dialect 1 \"name\"`".to_owned()));
        }
        first = false;
        match statement(&mut cursor, &mut draft, start) {
            Ok(()) => {
                if cursor.more() {
                    let extra = cursor.peek_word().unwrap_or_default();
                    let message = format!("`{extra}` does not belong into this statement");
                    cursor.report((cursor.at, message));
                    cursor.skip_statement();
                }
            }
            Err(wrong) => {
                cursor.report(wrong);
                cursor.skip_statement();
            }
        }
    }
    if first {
        cursor.report((0, "a dialect begins with `dialect 1 \"name\"`".to_owned()));
    }
    draft.check(&mut cursor);
    let mut errors = cursor.into_errors();
    if errors.is_empty() {
        return Ok(draft.finish(source));
    }
    errors.sort();
    errors.truncate(MAX_ERRORS);
    Err(DocumentErrors(errors))
}

/// A document as far as it was read.
#[derive(Default)]
struct Draft {
    name: Option<String>,
    agents: Vec<String>,
    diff1: Option<Target>,
    rounding: Option<Rounding>,
    keepalive: Option<u32>,
    extranonce_rest: Option<RangeInclusive<usize>>,
    strip_nul: bool,
    envelope_ok: Option<Template>,
    envelope_error: Option<Template>,
    failure: Option<Template>,
    codes: BTreeMap<Failure, (i64, String)>,
    handlers: HashMap<String, Vec<Arc<Handler>>>,
    pushes: BTreeMap<Push, PushRule>,
    /// Pushes that have a statement, readable or not.
    named: Vec<Push>,
    /// Pushes named after `then`, and where.
    wanted: Vec<(Push, &'static str, usize)>,
    /// Needs for a negotiated field, and where.
    needed: Vec<(String, usize)>,
}

fn statement(cursor: &mut Cursor<'_>, draft: &mut Draft, start: usize) -> Result<(), Wrong> {
    match cursor.word("a statement")? {
        "dialect" => {
            let version = cursor.number("the version of the language")?;
            if version != 1 {
                return Err((
                    start,
                    format!("version {version} of the dialect language is not known, only 1"),
                ));
            }
            let name = cursor.quoted("the dialect's name")?;
            if !is_name(&name) {
                let message = "a dialect's name is letters, digits, `.`, `_` and `-`, a letter first";
                return Err((start, message.to_owned()));
            }
            once(&mut draft.name, name, start, "dialect")
        }
        "match" => {
            if !cursor.take("agent") {
                return Err((start, "a dialect is chosen by `match agent \"pattern*\"`".to_owned()));
            }
            draft.agents.push(cursor.quoted("a pattern of user agents")?);
            while cursor.at_quote() {
                draft.agents.push(cursor.quoted("a pattern of user agents")?);
            }
            Ok(())
        }
        "diff1" => {
            let word = cursor.word("the target of difficulty 1")?;
            let bytes = hex_bytes(word).and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
            match bytes {
                Some(bytes) if bytes != [0; 32] => {
                    once(&mut draft.diff1, Target::from_be_bytes(bytes), start, "diff1")
                }
                _ => Err((start, "diff1 is a target of 64 hex digits, most significant first".to_owned())),
            }
        }
        "difficulty" => {
            let rounding = match cursor.word("the rounding")? {
                "exact" => Rounding::Exact,
                "integers" => Rounding::Integers,
                "powers-of-two" => Rounding::PowersOfTwo,
                other => {
                    let message = format!("difficulty is exact, integers or powers-of-two, not `{other}`");
                    return Err((start, message));
                }
            };
            once(&mut draft.rounding, rounding, start, "difficulty")
        }
        "keepalive" => match u32::try_from(cursor.number("seconds")?) {
            Ok(seconds @ 1..=3600) => once(&mut draft.keepalive, seconds, start, "keepalive"),
            _ => Err((start, "keepalive is 1 to 3600 seconds".to_owned())),
        },
        "extranonce" => {
            let word = cursor.word("`rest`")?;
            let range = cursor.word("bytes such as 4..8")?;
            let ends = range.split_once("..").unwrap_or((range, range));
            match (word, ends.0.parse(), ends.1.parse()) {
                ("rest", Ok(low @ 1..=64), Ok(high @ 1..=64)) if low <= high => {
                    once(&mut draft.extranonce_rest, low..=high, start, "extranonce")
                }
                _ => Err((start, "the miner's part is written `extranonce rest 4..8`, in bytes".to_owned())),
            }
        }
        "strip" => {
            if !cursor.take("nul") {
                return Err((start, "only `strip nul` is known".to_owned()));
            }
            draft.strip_nul = true;
            Ok(())
        }
        "envelope" => {
            let (slot, part, name) = match cursor.word("ok or error")? {
                "ok" => (&mut draft.envelope_ok, "result", "envelope ok"),
                "error" => (&mut draft.envelope_error, "failure", "envelope error"),
                other => return Err((start, format!("an envelope is ok or error, not `{other}`"))),
            };
            let template = cursor.template("the envelope", None)?;
            // Refusals are written without the host's values.
            holes_among(&template, &["id", part])?;
            if !template.holes().any(|hole| hole.name == part) {
                return Err((start, format!("the envelope has no place for {{{part}}}")));
            }
            once(slot, template, start, name)
        }
        "failure" => {
            let template = cursor.template("the failure", None)?;
            holes_among(&template, &["code", "text"])?;
            once(&mut draft.failure, template, start, "failure")
        }
        "code" => {
            let failure = failure(cursor)?;
            let code = cursor.number("the code")?;
            let text = cursor.quoted("the text")?;
            match draft.codes.insert(failure, (code, text)) {
                None => Ok(()),
                Some(_) => Err((start, "this failure has its code already".to_owned())),
            }
        }
        "push" => push(cursor, draft, start),
        "on" => handler::on(cursor, draft, start),
        other => {
            let known = "dialect, match, diff1, difficulty, keepalive, extranonce, strip, envelope, failure, code, push, on";
            Err((start, format!("`{other}` is not a statement; known are {known}")))
        }
    }
}

fn push(cursor: &mut Cursor<'_>, draft: &mut Draft, start: usize) -> Result<(), Wrong> {
    let (push, _) = push_name(cursor)?;
    draft.named.push(push);
    let mut needs = Vec::new();
    if cursor.take("needs") {
        while let Some(word) = cursor.peek_word().filter(|word| is_name(word)) {
            let at = cursor.at;
            cursor.at += word.len();
            needs.push(need(word, at, draft));
        }
        if needs.is_empty() {
            return Err((cursor.at, "what the push needs is missing here".to_owned()));
        }
    }
    let diff1 = draft.diff1.map(Target::to_be_bytes);
    let mut lines = vec![holes_outside(cursor.template("the push's line", diff1)?, &OF_OTHERS)?];
    while cursor.peek_word().is_some_and(|word| word.starts_with('{')) {
        lines.push(holes_outside(cursor.template("the push's line", diff1)?, &OF_OTHERS)?);
    }
    let then = if cursor.take("then") { then(cursor, draft)? } else { Vec::new() };
    if then.contains(&push) {
        return Err((start, "a push cannot be followed by itself".to_owned()));
    }
    match draft.pushes.insert(push, PushRule { needs, lines, then }) {
        None => Ok(()),
        Some(_) => {
            Err((start, "this push is written already; several lines stand in one statement".to_owned()))
        }
    }
}

fn need(word: &str, at: usize, draft: &mut Draft) -> Need {
    match word {
        "subscribed" => Need::Subscribed,
        "authorized" => Need::Authorized,
        "extranonce-updates" => Need::ExtranonceUpdates,
        field => {
            draft.needed.push((field.to_owned(), at));
            Need::Negotiated(field.to_owned())
        }
    }
}

/// Names of pushes up to the end of the statement or to a word that is none.
fn then(cursor: &mut Cursor<'_>, draft: &mut Draft) -> Result<Vec<Push>, Wrong> {
    let mut pushes = Vec::new();
    loop {
        let (push, name) = push_name(cursor)?;
        draft.wanted.push((push, name, cursor.at - name.len()));
        pushes.push(push);
        let next = cursor.peek_word();
        if !next.is_some_and(|word| PUSHES.iter().any(|(name, _)| *name == word)) {
            return Ok(pushes);
        }
    }
}

fn push_name(cursor: &mut Cursor<'_>) -> Result<(Push, &'static str), Wrong> {
    let word = cursor.word("the name of a push")?;
    let known = PUSHES.iter().find(|(name, _)| *name == word);
    known.map(|(name, push)| (*push, *name)).ok_or_else(|| {
        let names: Vec<&str> = PUSHES.iter().map(|(name, _)| *name).collect();
        (cursor.at - word.len(), format!("`{word}` is not a push; known are {}", names.join(", ")))
    })
}

fn failure(cursor: &mut Cursor<'_>) -> Result<Failure, Wrong> {
    let word = cursor.word("the kind of failure")?;
    FAILURES.iter().find(|(name, ..)| *name == word).map(|(_, failure, ..)| *failure).ok_or_else(|| {
        let names: Vec<&str> = FAILURES.iter().map(|(name, ..)| *name).collect();
        (cursor.at - word.len(), format!("`{word}` is not a failure; known are {}", names.join(", ")))
    })
}

/// Envelopes and failures are filled by the engine alone, so nothing in them may fail when a line is written: these
/// names, as they are; what is JSON already stands outside of strings.
fn holes_among(template: &Template, names: &[&str]) -> Result<(), Wrong> {
    for hole in template.holes() {
        let names_only = || format!("only {{{}}} can stand here, not", names.join("} and {"));
        if !names.contains(&hole.name.as_str()) || hole.written != hole.name {
            return Err((hole.at, format!("{} {{{}}}", names_only(), hole.written)));
        }
        if hole.in_string && ["id", "result", "failure"].contains(&hole.name.as_str()) {
            return Err((hole.at, format!("{{{}}} is JSON already and stands outside of quotes", hole.name)));
        }
    }
    Ok(())
}

/// Replies and pushes cannot have what only envelopes and options have.
fn holes_outside(template: Template, reserved: &[&str]) -> Result<Template, Wrong> {
    if let Some(hole) = template.holes().find(|hole| reserved.contains(&hole.name.as_str())) {
        return Err((hole.at, format!("{{{}}} has no value here", hole.name)));
    }
    Ok(template)
}

/// Names that have a value only in envelopes and failures.
const OF_ENVELOPES: [&str; 4] = ["id", "result", "failure", "code"];
/// The same, and what only `grants` and `denies` have.
const OF_OTHERS: [&str; 5] = ["id", "result", "failure", "code", "option"];

fn once<T>(slot: &mut Option<T>, value: T, start: usize, what: &str) -> Result<(), Wrong> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err((start, format!("`{what}` stands twice in this document"))),
    }
}

fn hex_bytes(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> =
        text.chars().map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok())).collect();
    let digits = digits.filter(|digits| digits.len() % 2 == 0)?;
    Some(digits.chunks_exact(2).map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit)).collect())
}

impl Draft {
    fn check(&self, cursor: &mut Cursor<'_>) {
        for (push, name, at) in &self.wanted {
            if !self.named.contains(push) {
                cursor.report((*at, format!("`then {name}`, but the document has no `push {name}`")));
            }
        }
        // What is missing in the whole may only be so because a statement could not be read.
        if cursor.has_errors() {
            return;
        }
        let handlers = || self.handlers.values().flatten();
        for (field, at) in &self.needed {
            if !handlers().any(|handler| handler.negotiated().any(|rule| *rule.name == **field)) {
                let message = format!(
                    "`{field}` is neither subscribed, authorized, extranonce-updates nor a field that this \
                     document negotiates"
                );
                cursor.report((*at, message));
            }
        }
        if !handlers().any(|handler| matches!(handler.verb, Verb::Submit(_))) {
            cursor.report((0, "the document has no handler with `submit`".to_owned()));
        }
        if !handlers().any(|handler| matches!(handler.verb, Verb::Login { .. })) {
            cursor.report((0, "the document has no handler with `login`".to_owned()));
        }
        let polled = handlers().any(|handler| handler.with_job);
        if !self.pushes.contains_key(&Push::Job) && !polled {
            cursor.report((0, "the document neither has `push job` nor a reply `with job`".to_owned()));
        }
    }

    fn finish(self, source: Source) -> Dialect {
        let mut codes: BTreeMap<Failure, (i64, String)> =
            FAILURES.iter().map(|(_, failure, code, text)| (*failure, (*code, (*text).to_owned()))).collect();
        codes.extend(self.codes);
        Dialect {
            name: self.name.unwrap_or_default(),
            source,
            agents: self.agents,
            diff1: self.diff1,
            rounding: self.rounding.unwrap_or_default(),
            keepalive: self.keepalive,
            extranonce_rest: self.extranonce_rest,
            strip_nul: self.strip_nul,
            envelope_ok: self.envelope_ok.unwrap_or_else(|| {
                envelope(&[r#"{"id":"#, "id", r#","result":"#, "result", r#","error":null}"#])
            }),
            envelope_error: self.envelope_error.unwrap_or_else(|| {
                envelope(&[r#"{"id":"#, "id", r#","result":null,"error":"#, "failure", "}"])
            }),
            failure: self.failure.unwrap_or_else(default_failure),
            codes,
            quick: quick::compile(&self.handlers),
            handlers: self.handlers,
            pushes: self.pushes,
        }
    }
}

/// Literals and names of holes by turns.
fn envelope(parts: &[&str]) -> Template {
    let part = |(index, part): (usize, &&str)| {
        if index % 2 == 0 { Part::Literal((*part).to_owned()) } else { Part::Hole(plain_hole(part, false)) }
    };
    Template { parts: parts.iter().enumerate().map(part).collect() }
}

fn default_failure() -> Template {
    Template {
        parts: vec![
            Part::Literal("[".to_owned()),
            Part::Hole(plain_hole("code", false)),
            Part::Literal(",".to_owned()),
            Part::Hole(plain_hole("text", false)),
            Part::Literal(",null]".to_owned()),
        ],
    }
}

fn plain_hole(name: &str, in_string: bool) -> crate::template::Hole {
    crate::template::Hole {
        name: name.to_owned(),
        optional: false,
        slice: None,
        each: None,
        reorder: Vec::new(),
        format: crate::template::Format::Plain,
        in_string,
        written: name.to_owned(),
        at: 0,
    }
}

/// Members of an object template, without its braces; empty for `{}`.
fn members(template: Template, at: usize) -> Result<Template, Wrong> {
    let mut parts = template.parts;
    let object = matches!(parts.first(), Some(Part::Literal(text)) if text.starts_with('{'))
        && matches!(parts.last(), Some(Part::Literal(text)) if text.ends_with('}'));
    if !object {
        return Err((at, "an object `{\"name\":value}` has to stand here".to_owned()));
    }
    if let Some(Part::Literal(text)) = parts.first_mut() {
        text.remove(0);
    }
    if let Some(Part::Literal(text)) = parts.last_mut() {
        text.pop();
    }
    parts.retain(|part| !matches!(part, Part::Literal(text) if text.is_empty()));
    Ok(Template { parts })
}
