//! Decoders of submits by hand, one for each of four families: one pass over the line, which must be JSON of exactly the
//! form that miners send, with the id kept as written, hex decoded into place, and the widths of the family. By every means
//! that the engine has as well: strings are looked through 16 bytes at a time, eight digits of hex are decoded at once.

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

/// How many bytes at the front are printable ASCII that needs no escape: what names and ids of miners consist of.
#[inline(always)]
fn plain(bytes: &[u8]) -> usize {
    let is_plain = |byte: u8| matches!(byte, 0x20..0x7f) & !matches!(byte, b'"' | b'\\');
    let mut count = 0;
    for chunk in bytes.as_chunks::<16>().0 {
        if !chunk.iter().fold(true, |all, byte| all & is_plain(*byte)) {
            break;
        }
        count += 16;
    }
    count + bytes[count..].iter().take_while(|byte| is_plain(**byte)).count()
}

/// A string without escapes, and what follows it.
#[inline(always)]
fn string(text: &str) -> Option<(&str, &str)> {
    let inside = text.strip_prefix('"')?;
    let (text, rest) = inside.split_at_checked(plain(inside.as_bytes()))?;
    Some((text, rest.strip_prefix('"')?))
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

/// What eight digits of hex stand for, and something other than 0 where one of them is none.
#[inline(always)]
fn eight(digits: [u8; 8]) -> ([u8; 4], u64) {
    const EACH: u64 = 0x0101_0101_0101_0101;
    let word = u64::from_le_bytes(digits);
    let low = word & (EACH * 0x7f);
    let (number, letter) = (low ^ (EACH * 0x30), (low | (EACH * 0x20)) ^ (EACH * 0x60));
    let no_letter = (letter + EACH * 0x79) | !(letter + EACH * 0x7f);
    let wrong = (word | ((number + EACH * 0x76) & no_letter)) & (EACH * 0x80);
    let nibbles = (low & (EACH * 15)) + ((low >> 6) & EACH) * 9;
    let pairs = ((nibbles << 4) | (nibbles >> 8)) & 0x00ff_00ff_00ff_00ff;
    let halves = (pairs | (pairs >> 8)) & 0x0000_ffff_0000_ffff;
    (((halves | (halves >> 16)) as u32).to_le_bytes(), wrong)
}

#[inline(always)]
fn hex_into(digits: &str, to: &mut [u8]) -> Option<()> {
    if digits.len() != to.len() * 2 {
        return None;
    }
    let ((eights, pairs), (words, bytes)) = (digits.as_bytes().as_chunks::<8>(), to.as_chunks_mut::<4>());
    let mut wrong = 0;
    for (digits, word) in eights.iter().zip(words) {
        let (bytes, no_digits) = eight(*digits);
        *word = bytes;
        wrong |= no_digits;
    }
    for (byte, pair) in bytes.iter_mut().zip(pairs.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    (wrong == 0).then_some(())
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
