//! Templates: JSON text with holes, checked when a document is compiled and filled when a line is written.

use crate::errors::EncodeError;
use crate::json;
use crate::value::{Value, Values};
use std::borrow::Cow;
use std::ops::Range;

/// Names of values that the host gives itself; every other name in a template is a register of the recipe.
pub const HOST_VALUES: &[(&str, &str)] = &[
    ("id", "the request's id, verbatim (envelopes only)"),
    ("result", "the handler's reply (envelopes only)"),
    ("failure", "the failure template, filled (envelopes only)"),
    ("code", "number: the failure's code (failure template only)"),
    ("option", "text: the option asked for (grants and denies only)"),
    ("text", "text: the message, or the failure's text"),
    ("job", "text: the job's id on the wire"),
    ("clean", "flag: older jobs are worthless"),
    ("coord", "number: height or DAA score"),
    ("parent", "bytes: the parent as the adapter gave it"),
    ("network", "32 bytes big-endian: the network's target"),
    ("target", "32 bytes big-endian: the session's share target"),
    ("difficulty", "difficulty of the session, in this dialect's scale"),
    ("session", "text: the session's id, by which it can be resumed"),
    ("xn.prefix", "bytes: the session's part of the extranonce"),
    ("xn.rest", "number: bytes of the extranonce left to the miner"),
    ("xn.size", "number: bytes of the whole extranonce"),
    ("host", "text: where to reconnect to"),
    ("port", "number: the port to reconnect to"),
    ("wait", "number: seconds to wait before reconnecting"),
];

/// A place in a template that a value fills.
#[derive(Clone, Debug, PartialEq)]
pub struct Hole {
    pub(crate) name: String,
    pub(crate) optional: bool,
    pub(crate) slice: Option<Range<usize>>,
    /// The value is a row of items of this many bytes, written as an array.
    pub(crate) each: Option<usize>,
    pub(crate) reorder: Vec<Reorder>,
    pub(crate) format: Format,
    pub(crate) in_string: bool,
    pub(crate) written: String,
    /// Byte offset in the document.
    pub(crate) at: usize,
}

impl Hole {
    /// The name of the value that fills it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// A new order of a value's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reorder {
    /// All bytes backwards.
    Reverse,
    /// The order of the 4-byte words backwards, each word as it is.
    Words,
    /// Each 4-byte word backwards, the words in their order.
    Swap4,
}

/// How a value becomes text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// By its kind: bytes as hex, text as a string, numbers and flags as they are.
    Plain,
    Hex,
    Hex0x,
    /// Bytes (big-endian) or a number as `0x` and hex without leading zeros.
    Quantity,
    /// Bytes as an unsigned decimal number.
    Number {
        little: bool,
    },
    /// Bytes as an array of 64-bit decimal numbers.
    U64s {
        little: bool,
    },
    /// Bytes that are UTF-8 text.
    Utf8,
    /// 32 bytes big-endian as a difficulty above the document's diff1.
    Difficulty([u8; 32]),
}

/// A piece of a template.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Part {
    Literal(String),
    Hole(Hole),
}

/// JSON text with holes.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Template {
    pub(crate) parts: Vec<Part>,
}

/// Values that are JSON already, spliced by name before the host's values are asked.
pub(crate) type Raw<'a> = &'a [(&'a str, &'a [u8])];

impl Template {
    pub(crate) fn holes(&self) -> impl Iterator<Item = &Hole> {
        self.parts.iter().filter_map(|part| match part {
            Part::Hole(hole) => Some(hole),
            Part::Literal(_) => None,
        })
    }

    pub(crate) fn render(
        &self,
        raw: Raw<'_>,
        values: &dyn Values,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        for part in &self.parts {
            match part {
                Part::Literal(text) => out.extend_from_slice(text.as_bytes()),
                Part::Hole(hole) => match raw.iter().find(|(name, _)| *name == hole.name) {
                    Some((_, json)) => out.extend_from_slice(json),
                    None => hole.write(values, out)?,
                },
            }
        }
        Ok(())
    }
}

impl Hole {
    pub(crate) fn write(&self, values: &dyn Values, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        match values.value(&self.name) {
            Some(value) => self.fill(&value, out),
            None if self.optional => {
                if !self.in_string {
                    out.extend_from_slice(b"null");
                }
                Ok(())
            }
            None => Err(EncodeError::Missing(self.written.clone())),
        }
    }

    pub(crate) fn fill(&self, value: &Value<'_>, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        match value {
            Value::Bytes(bytes) => {
                let bytes = self.sliced(bytes)?;
                match self.each {
                    None => self.fill_bytes(bytes, out),
                    Some(width) if bytes.len().is_multiple_of(width) => {
                        self.array(bytes.chunks_exact(width), out)
                    }
                    Some(width) => {
                        self.wrong(&format!("{} bytes are not whole items of {width} bytes", bytes.len()))
                    }
                }
            }
            Value::List(items) => self.array(items.iter().map(AsRef::as_ref), out),
            Value::Text(text) => {
                self.only(&[Format::Plain, Format::Utf8], "text")?;
                self.quote(out, |out| json::escape_into(text, out));
                Ok(())
            }
            Value::Number(number) => match self.format {
                Format::Quantity => {
                    self.quote(out, |out| out.extend_from_slice(format!("{number:#x}").as_bytes()));
                    Ok(())
                }
                Format::Plain | Format::Number { .. } => {
                    out.extend_from_slice(number.to_string().as_bytes());
                    Ok(())
                }
                _ => self.wrong("a number has no byte order: only :num-le, :num-be and :quantity fit"),
            },
            Value::Float(number) => {
                self.only(&[Format::Plain], "a difficulty")?;
                self.float(*number, out)
            }
            Value::Flag(flag) => {
                self.only(&[Format::Plain], "a flag")?;
                out.extend_from_slice(if *flag { b"true" } else { b"false" });
                Ok(())
            }
        }
    }

    fn array<'b>(&self, items: impl Iterator<Item = &'b [u8]>, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        if self.in_string {
            return self.wrong("a list cannot stand inside a string");
        }
        out.push(b'[');
        for (index, item) in items.enumerate() {
            if index > 0 {
                out.push(b',');
            }
            self.fill_bytes(item, out)?;
        }
        out.push(b']');
        Ok(())
    }

    fn sliced<'b>(&self, bytes: &'b [u8]) -> Result<&'b [u8], EncodeError> {
        match &self.slice {
            None => Ok(bytes),
            Some(range) => match bytes.get(range.clone()) {
                Some(slice) => Ok(slice),
                None => self.wrong(&format!("the value has {} bytes", bytes.len())),
            },
        }
    }

    fn fill_bytes(&self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let mut bytes = Cow::Borrowed(bytes);
        for reorder in &self.reorder {
            let whole = bytes.to_mut();
            match reorder {
                Reorder::Reverse => whole.reverse(),
                Reorder::Words | Reorder::Swap4 => {
                    if whole.len() % 4 != 0 {
                        return self.wrong(&format!("{} bytes are not whole 4-byte words", whole.len()));
                    }
                    whole.chunks_exact_mut(4).for_each(<[u8]>::reverse);
                    if *reorder == Reorder::Words {
                        whole.reverse();
                    }
                }
            }
        }
        match self.format {
            Format::Plain | Format::Hex => self.quote(out, |out| hex_into(&bytes, out)),
            Format::Hex0x => self.quote(out, |out| {
                out.extend_from_slice(b"0x");
                hex_into(&bytes, out);
            }),
            Format::Quantity => self.quote(out, |out| {
                out.extend_from_slice(b"0x");
                let mut digits = Vec::with_capacity(bytes.len() * 2);
                hex_into(&bytes, &mut digits);
                let zeros = digits.iter().take_while(|digit| **digit == b'0').count();
                match digits.get(zeros..) {
                    Some(rest) if !rest.is_empty() => out.extend_from_slice(rest),
                    _ => out.push(b'0'),
                }
            }),
            Format::Number { little } => match number(&bytes, little) {
                Some(number) => out.extend_from_slice(number.to_string().as_bytes()),
                None => return self.wrong("a number has at most 16 bytes"),
            },
            Format::U64s { little } => {
                if self.in_string || bytes.len() % 8 != 0 {
                    return self.wrong("64-bit numbers need whole 8-byte words outside of a string");
                }
                out.push(b'[');
                for (index, word) in bytes.chunks_exact(8).enumerate() {
                    if index > 0 {
                        out.push(b',');
                    }
                    let word = number(word, little).unwrap_or_default();
                    out.extend_from_slice(word.to_string().as_bytes());
                }
                out.push(b']');
            }
            Format::Utf8 => match std::str::from_utf8(&bytes) {
                Ok(text) => self.quote(out, |out| json::escape_into(text, out)),
                Err(_) => return self.wrong("the value is not UTF-8 text"),
            },
            Format::Difficulty(diff1) => match <[u8; 32]>::try_from(bytes.as_ref()) {
                Ok(target) => {
                    let target = millpond_types::Target::from_be_bytes(target);
                    let difficulty = target.difficulty(millpond_types::Target::from_be_bytes(diff1));
                    return self.float(difficulty, out);
                }
                Err(_) => return self.wrong("a target has 32 bytes"),
            },
        }
        Ok(())
    }

    fn float(&self, number: f64, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        if !number.is_finite() {
            return self.wrong("not a finite number");
        }
        // Display never uses an exponent and writes whole numbers without a fraction: what small parsers take.
        out.extend_from_slice(number.to_string().as_bytes());
        Ok(())
    }

    fn quote(&self, out: &mut Vec<u8>, inside: impl FnOnce(&mut Vec<u8>)) {
        if self.in_string {
            inside(out);
        } else {
            out.push(b'"');
            inside(out);
            out.push(b'"');
        }
    }

    fn only(&self, formats: &[Format], what: &str) -> Result<(), EncodeError> {
        let plain = self.reorder.is_empty() && self.slice.is_none() && self.each.is_none();
        if formats.contains(&self.format) && plain {
            Ok(())
        } else {
            self.wrong(&format!("{what} has no bytes to format"))
        }
    }

    fn wrong<T>(&self, why: &str) -> Result<T, EncodeError> {
        Err(EncodeError::Form { name: self.written.clone(), why: why.to_owned() })
    }
}

fn number(bytes: &[u8], little: bool) -> Option<u128> {
    if bytes.len() > 16 {
        return None;
    }
    let add = |sum: u128, byte: &u8| sum << 8 | u128::from(*byte);
    Some(if little { bytes.iter().rev().fold(0, add) } else { bytes.iter().fold(0, add) })
}

pub(crate) fn hex_into(bytes: &[u8], out: &mut Vec<u8>) {
    let digit = |value: u8| if value < 10 { b'0' + value } else { b'a' + (value - 10) };
    out.reserve(bytes.len() * 2);
    for byte in bytes {
        out.push(digit(byte >> 4));
        out.push(digit(byte & 15));
    }
}
