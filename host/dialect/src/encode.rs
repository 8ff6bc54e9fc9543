//! From a message of the host to lines for a miner.

use crate::document::{Dialect, Reply};
use crate::errors::EncodeError;
use crate::intent::{Call, Failure, Push};
use crate::template::{Hole, Part, Raw, Template};
use crate::value::{Layered, Value, ValueMap, Values};
use std::sync::Arc;

/// A job encoded once for all sessions of a dialect: shared bytes, and holes that each session fills when the line
/// is written. Cloning shares it.
#[derive(Clone, Debug)]
pub struct Rope(Arc<RopeParts>);

#[derive(Debug)]
struct RopeParts {
    text: Box<[u8]>,
    /// Each hole stands before the byte of `text` at its offset; ascending.
    holes: Vec<(usize, Hole)>,
}

/// A piece of a rope.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Piece<'a> {
    /// The same for every session.
    Shared(&'a [u8]),
    /// A value of the session.
    Hole(&'a Hole),
}

impl Rope {
    /// Whether every session is sent the same bytes.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.0.holes.is_empty()
    }

    /// The bytes that all sessions share.
    #[must_use]
    pub fn shared_len(&self) -> usize {
        self.0.text.len()
    }

    /// The pieces in order.
    pub fn pieces(&self) -> impl Iterator<Item = Piece<'_>> {
        let mut from = 0;
        let text = &self.0.text;
        let with_holes = self.0.holes.iter().flat_map(move |(at, hole)| {
            let shared = text.get(from..*at).unwrap_or_default();
            from = *at;
            [Piece::Shared(shared), Piece::Hole(hole)]
        });
        let last = self.0.holes.last().map_or(0, |(at, _)| *at);
        with_holes.chain(std::iter::once(Piece::Shared(text.get(last..).unwrap_or_default())))
    }

    /// Writes the line or lines for one session; `session` needs to know only what the job did not.
    ///
    /// # Errors
    /// When a value is missing; then `out` is as before.
    pub fn write(&self, session: &dyn Values, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let start = out.len();
        for piece in self.pieces() {
            match piece {
                Piece::Shared(bytes) => out.extend_from_slice(bytes),
                Piece::Hole(hole) => hole.write(session, out).inspect_err(|_| out.truncate(start))?,
            }
        }
        Ok(())
    }
}

impl Dialect {
    /// Writes the positive reply to a call, as the document says; nothing for a silent one. A handler that refuses
    /// (`refuse`) writes its error here.
    ///
    /// # Errors
    /// When a value is missing or has the wrong form; then `out` is as before.
    pub fn encode_reply(
        &self,
        call: &Call,
        values: &dyn Values,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        let Some(handler) = &call.handler else { return Ok(()) };
        let mut result = Vec::new();
        match &handler.reply {
            Reply::Silent => return Ok(()),
            Reply::Refuse(failure, text) => {
                self.encode_error(call, *failure, text.as_deref(), out);
                return Ok(());
            }
            Reply::Result(template) => template.render(&[], values, &mut result)?,
            Reply::Options => {
                result.push(b'{');
                for asked in &call.options {
                    let Some(rule) = handler.options.get(asked.rule) else { continue };
                    let granted = match &rule.ask {
                        crate::document::Ask::Negotiate(field) => is_set(values.value(&field.name)),
                        _ => !rule.grants.parts.is_empty(),
                    };
                    let template = if granted && asked.possible { &rule.grants } else { &rule.denies };
                    if template.parts.is_empty() {
                        continue;
                    }
                    if result.len() > 1 {
                        result.push(b',');
                    }
                    let option = ValueMap::new().with("option", Value::Text(asked.name.clone().into()));
                    template.render(&[], &Layered(option, values), &mut result)?;
                }
                result.push(b'}');
            }
        }
        self.line(&self.envelope_ok, &[("id", call.id.as_bytes()), ("result", &result)], values, out)
    }

    /// Writes a refusal of a call; nothing for a silent one. `detail` replaces the document's text for this
    /// failure.
    pub fn encode_error(&self, call: &Call, failure: Failure, detail: Option<&str>, out: &mut Vec<u8>) {
        if call.is_silent() {
            return;
        }
        let (code, text) =
            self.codes.get(&failure).map_or((20, "Other"), |(code, text)| (*code, text.as_str()));
        let text = detail.unwrap_or(text);
        let code = code.to_string();
        let values = ValueMap::new().with("text", Value::Text(text.to_owned().into()));
        let mut failure = Vec::new();
        // Both templates are checked at compile time to ask for nothing else.
        let written =
            self.failure.render(&[("code", code.as_bytes())], &values, &mut failure).and_then(|()| {
                self.line(
                    &self.envelope_error,
                    &[("id", call.id.as_bytes()), ("failure", &failure)],
                    &values,
                    out,
                )
            });
        debug_assert!(written.is_ok(), "envelopes are checked when a document is compiled");
    }

    /// Writes a push; nothing when the document has none of that kind (a target that rides in the job, say).
    /// Whether it may be sent is [`Dialect::may_push`]'s business.
    ///
    /// # Errors
    /// When a value is missing or has the wrong form; then `out` is as before.
    pub fn encode_push(&self, push: Push, values: &dyn Values, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let Some(rule) = self.pushes.get(&push) else { return Ok(()) };
        let start = out.len();
        for line in &rule.lines {
            self.line(line, &[], values, out).inspect_err(|_| out.truncate(start))?;
        }
        Ok(())
    }

    /// Encodes a job once for all sessions. Names that `job` does not know become holes, filled from the session
    /// by [`Rope::write`].
    ///
    /// # Errors
    /// When a value has the wrong form.
    pub fn encode_job(&self, job: &dyn Values) -> Result<Rope, EncodeError> {
        let mut text = Vec::new();
        let mut holes = Vec::new();
        for line in self.pushes.get(&Push::Job).map_or(&[][..], |rule| &rule.lines) {
            for part in &line.parts {
                match part {
                    Part::Literal(literal) => text.extend_from_slice(literal.as_bytes()),
                    Part::Hole(hole) => match job.value(&hole.name) {
                        Some(value) => hole.fill(&value, &mut text)?,
                        None => holes.push((text.len(), hole.clone())),
                    },
                }
            }
            text.push(b'\n');
        }
        Ok(Rope(Arc::new(RopeParts { text: text.into_boxed_slice(), holes })))
    }

    fn line(
        &self,
        template: &Template,
        raw: Raw<'_>,
        values: &dyn Values,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        let start = out.len();
        template.render(raw, values, out).inspect_err(|_| out.truncate(start))?;
        out.push(b'\n');
        Ok(())
    }
}

fn is_set(value: Option<Value<'_>>) -> bool {
    match value {
        None => false,
        Some(Value::Bytes(bytes)) => bytes.iter().any(|byte| *byte != 0),
        Some(Value::Number(number)) => number != 0,
        Some(Value::Flag(flag)) => flag,
        Some(_) => true,
    }
}
