//! Decoders of submits by hand, one for each of four families: one pass over the line, which must be JSON of exactly the
//! form that miners send, with the id kept as written, hex decoded into place, and the widths of the family.

use millpond_dialect::{JobRef, SessionView};
use std::borrow::Cow;

/// A share as a family's own code would hold it: `N` bytes of extranonce, `M` fields of four bytes.
#[derive(Debug, PartialEq)]
pub(crate) struct Share<'l, const N: usize, const M: usize> {
    pub(crate) id: &'l str,
    pub(crate) worker: &'l str,
    pub(crate) job: JobRef<'l>,
    pub(crate) xn: [u8; N],
    pub(crate) words: [[u8; 4]; M],
}

/// What stands before the parameters, and the parameters as they are written.
struct Line<'l> {
    id: &'l str,
    rest: &'l str,
}

fn space(text: &str) -> &str {
    text.trim_start_matches([' ', '\t', '\r', '\n'])
}

fn mark(text: &str, mark: char) -> Option<&str> {
    space(text).strip_prefix(mark)
}

/// A string without escapes, and what follows it.
fn string(text: &str) -> Option<(&str, &str)> {
    let inside = text.strip_prefix('"')?;
    let len = inside.bytes().position(|byte| byte == b'"' || byte == b'\\' || byte < 0x20 || byte == 0x7f)?;
    Some((&inside[..len], inside[len..].strip_prefix('"')?))
}

/// An id: a string, a whole number or null.
fn id(text: &str) -> Option<(&str, &str)> {
    if text.starts_with('"') {
        let (inside, rest) = string(text)?;
        return Some((&text[..inside.len() + 2], rest));
    }
    if let Some(rest) = text.strip_prefix("null") {
        return Some(("null", rest));
    }
    let len = text.bytes().take_while(u8::is_ascii_digit).count();
    (len > 0 && (len == 1 || !text.starts_with('0'))).then(|| text.split_at(len))
}

fn line(line: &[u8]) -> Option<Line<'_>> {
    let text = std::str::from_utf8(line).ok()?;
    let mut rest = mark(text, '{')?;
    let (mut found, mut method) = (None, None);
    loop {
        let (name, after) = string(space(rest))?;
        rest = space(mark(after, ':')?);
        match name {
            "id" => {
                let (id, after) = id(rest)?;
                (found, rest) = (Some(id), after);
            }
            "method" => {
                let (name, after) = string(rest)?;
                (method, rest) = (Some(name), after);
            }
            "params" if method == Some("mining.submit") => {
                return Some(Line { id: found?, rest: mark(rest, '[')? });
            }
            _ => return None,
        }
        rest = mark(rest, ',')?;
    }
}

impl<'l> Line<'l> {
    /// The next parameter; the first of them has no comma before it.
    fn next(&mut self, first: bool) -> Option<&'l str> {
        let rest = if first { self.rest } else { mark(self.rest, ',')? };
        let (text, rest) = string(space(rest))?;
        self.rest = rest;
        Some(text)
    }

    fn end(&self) -> Option<()> {
        let rest = mark(mark(self.rest, ']')?, '}')?;
        space(rest).is_empty().then_some(())
    }
}

fn digit(of: u8) -> Option<u8> {
    match of {
        b'0'..=b'9' => Some(of - b'0'),
        b'a'..=b'f' => Some(of - b'a' + 10),
        b'A'..=b'F' => Some(of - b'A' + 10),
        _ => None,
    }
}

fn hex_into(digits: &str, to: &mut [u8]) -> Option<()> {
    if digits.len() != to.len() * 2 {
        return None;
    }
    for (byte, pair) in to.iter_mut().zip(digits.as_bytes().chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(())
}

fn word(digits: &str) -> Option<[u8; 4]> {
    let mut word = [0; 4];
    hex_into(digits, &mut word)?;
    Some(word)
}

fn bare(digits: &str) -> &str {
    digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")).unwrap_or(digits)
}

fn named<'l>(line: &mut Line<'l>) -> Option<(&'l str, JobRef<'l>)> {
    let (worker, job) = (line.next(true)?, line.next(false)?);
    (worker.len() <= 512 && job.len() <= 512 && line.id.len() <= 128)
        .then_some((worker, JobRef::Id(Cow::Borrowed(job))))
}

/// The whole extranonce: the session's part, and the miner's.
fn extranonce<const N: usize>(digits: &str, job: &JobRef<'_>, session: &dyn SessionView) -> Option<[u8; N]> {
    let own = session.extranonce(job);
    let mut xn = [0; N];
    let (prefix, rest) = xn.split_at_mut_checked(own.prefix.len())?;
    prefix.copy_from_slice(own.prefix);
    (own.size == N).then_some(())?;
    hex_into(digits, rest)?;
    Some(xn)
}

/// Worker, job, extranonce2, time, nonce, and the version's bits where they are sent.
pub(crate) fn bitcoin<'l>(text: &'l [u8], session: &dyn SessionView) -> Option<Share<'l, 12, 3>> {
    let mut line = line(text)?;
    let (worker, job) = named(&mut line)?;
    let xn = extranonce(line.next(false)?, &job, session)?;
    let (time, nonce) = (word(line.next(false)?)?, word(bare(line.next(false)?))?);
    let bits = if line.end().is_some() {
        [0; 4]
    } else {
        let bits = word(bare(line.next(false)?))?;
        line.end()?;
        bits
    };
    Some(Share { id: line.id, worker, job, xn, words: [time, nonce, bits] })
}

/// Worker, job, and a nonce that may begin with `0x` and may be the miner's part alone.
pub(crate) fn kaspa<'l>(text: &'l [u8], session: &dyn SessionView) -> Option<Share<'l, 8, 0>> {
    let mut line = line(text)?;
    let (worker, job) = named(&mut line)?;
    let digits = bare(line.next(false)?);
    let xn = if digits.len() == 16 {
        let mut xn = [0; 8];
        hex_into(digits, &mut xn)?;
        xn
    } else {
        extranonce(digits, &job, session)?
    };
    line.end()?;
    Some(Share { id: line.id, worker, job, xn, words: [] })
}

/// Worker, job, and the miner's part of a nonce of 16 bytes.
pub(crate) fn ckb<'l>(text: &'l [u8], session: &dyn SessionView) -> Option<Share<'l, 16, 0>> {
    let mut line = line(text)?;
    let (worker, job) = named(&mut line)?;
    let xn = extranonce(line.next(false)?, &job, session)?;
    line.end()?;
    Some(Share { id: line.id, worker, job, xn, words: [] })
}

/// Worker, job, extranonce2, time, nonce.
pub(crate) fn decred<'l>(text: &'l [u8], session: &dyn SessionView) -> Option<Share<'l, 8, 2>> {
    let mut line = line(text)?;
    let (worker, job) = named(&mut line)?;
    let xn = extranonce(line.next(false)?, &job, session)?;
    let words = [word(line.next(false)?)?, word(line.next(false)?)?];
    line.end()?;
    Some(Share { id: line.id, worker, job, xn, words })
}
