//! Parameters of a miner that become bytes: share fields, negotiated fields, targets.

use crate::document::Place;
use crate::hex::digit;
use crate::intent::{JobRef, SessionView};
use crate::json::Json;
use crate::small::FieldBytes;
use std::sync::Arc;

/// The longest field, in bytes: Equihash 200,9 has a solution of 1344.
const MAX_FIELD_BYTES: usize = 4096;

/// How one parameter becomes the bytes of a field.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct FieldRule {
    pub(crate) name: Arc<str>,
    pub(crate) part: Part,
    pub(crate) place: Place,
    pub(crate) wire: Wire,
    /// Bytes; for parts of the extranonce it follows from the session.
    pub(crate) length: Option<usize>,
    /// Too few digits are filled with zeros on the left.
    pub(crate) pad_left: bool,
    /// Too few digits are filled with zeros on the right.
    pub(crate) pad_right: bool,
    /// Digits beyond the length are dropped.
    pub(crate) cut: bool,
    /// The wire's byte order is the other way round than the recipe's.
    pub(crate) reverse: bool,
    /// When the parameter is absent, null or an empty string.
    pub(crate) default: Option<Vec<u8>>,
    pub(crate) optional: bool,
    /// Where it stands in the document.
    pub(crate) at: usize,
}

/// Whether a field is the extranonce.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// An ordinary field.
    No,
    /// The miner's part; the session's prefix goes before it.
    Suffix,
    /// The whole field. When `or_suffix`, a value short enough to be the miner's part is taken for it.
    Whole { or_suffix: bool },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wire {
    /// Hex without a prefix.
    Hex,
    /// Hex after `0x`.
    Hex0x,
    /// Hex with or without `0x`.
    HexAny,
    /// An unsigned decimal number; big-endian bytes.
    Number,
    /// Text as it is.
    Text,
}

/// A parameter as a rule reads it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Found<'j> {
    Text(&'j str),
    Number(&'j str),
    /// Something else, by its kind.
    Other(&'static str),
}

impl Found<'_> {
    fn kind(self) -> &'static str {
        match self {
            Self::Text(_) => "a string",
            Self::Number(_) => "a number",
            Self::Other(kind) => kind,
        }
    }
}

impl FieldRule {
    /// Appends the field's bytes; `false` when it is optional and absent.
    ///
    /// # Errors
    /// What is wrong with the parameter, for the miner to read. What was appended before is to be forgotten.
    #[inline]
    pub(crate) fn read(
        &self,
        found: Option<Found<'_>>,
        job: &JobRef<'_>,
        session: &dyn SessionView,
        out: &mut FieldBytes,
    ) -> Result<bool, String> {
        match found {
            Some(Found::Text("")) if self.default.is_some() || self.optional => {}
            Some(found) => {
                self.bytes(found, job, session, out)?;
                return Ok(true);
            }
            None => {}
        }
        match &self.default {
            Some(default) => out.push(default),
            None if self.optional => return Ok(false),
            None => return Err(format!("{} is missing at {}", self.name, self.place.written)),
        }
        Ok(true)
    }

    /// The field's bytes by themselves, `None` when it is optional and absent.
    ///
    /// # Errors
    /// As [`FieldRule::read`].
    pub(crate) fn value(
        &self,
        message: &Json<'_>,
        job: &JobRef<'_>,
        session: &dyn SessionView,
    ) -> Result<Option<Vec<u8>>, String> {
        let mut out = FieldBytes::default();
        let present = self.read(self.place.find(message).map(Json::found), job, session, &mut out)?;
        Ok(present.then(|| out.as_slice().to_vec()))
    }

    fn bytes(
        &self,
        found: Found<'_>,
        job: &JobRef<'_>,
        session: &dyn SessionView,
        out: &mut FieldBytes,
    ) -> Result<(), String> {
        if self.part == Part::No {
            return self.plain(found, self.length, out);
        }
        let extranonce = session.extranonce(job);
        let rest = extranonce.rest();
        let suffix = match self.part {
            Part::Suffix => true,
            Part::Whole { or_suffix } => or_suffix && self.digits(found)?.len() <= rest * 2,
            Part::No => false,
        };
        if suffix {
            out.push(extranonce.prefix);
            self.plain(found, Some(rest), out)
        } else {
            self.plain(found, Some(extranonce.size), out)
        }
    }

    fn plain(&self, found: Found<'_>, length: Option<usize>, out: &mut FieldBytes) -> Result<(), String> {
        let start = out.len();
        match self.wire {
            Wire::Hex | Wire::Hex0x | Wire::HexAny => self.hex(self.digits(found)?, length, out)?,
            Wire::Number => self.number(found, length, out)?,
            Wire::Text => match found {
                Found::Text(text) => out.push(text.as_bytes()),
                other => return Err(self.wrong("text", other)),
            },
        }
        if self.reverse {
            out.from(start).reverse();
        }
        if out.len() - start > MAX_FIELD_BYTES {
            return Err(format!("{} is longer than {MAX_FIELD_BYTES} bytes", self.name));
        }
        Ok(())
    }

    fn wrong(&self, wanted: &str, found: Found<'_>) -> String {
        format!("{} has to be {wanted}, not {}", self.name, found.kind())
    }

    #[inline]
    fn digits<'j>(&self, found: Found<'j>) -> Result<&'j str, String> {
        let Found::Text(text) = found else { return Err(self.wrong("a string of hex digits", found)) };
        let stripped = match text.as_bytes() {
            [b'0', b'x' | b'X', ..] => text.get(2..),
            _ => None,
        };
        match (self.wire, stripped) {
            (Wire::Hex0x, None) => Err(format!("{} has to begin with 0x", self.name)),
            (Wire::Hex0x | Wire::HexAny, Some(digits)) => Ok(digits),
            _ => Ok(text),
        }
    }

    #[inline]
    fn hex(&self, digits: &str, length: Option<usize>, out: &mut FieldBytes) -> Result<(), String> {
        let (pairs, odd) = digits.as_bytes().as_chunks::<2>();
        if odd.is_empty() && length.is_none_or(|length| length == pairs.len()) {
            let start = out.len();
            let mut wrong = 0;
            for (byte, [high, low]) in out.grow(pairs.len()).iter_mut().zip(pairs) {
                let (high, low) = (digit(*high), digit(*low));
                wrong |= high | low;
                *byte = high << 4 | low;
            }
            if wrong <= 15 {
                return Ok(());
            }
            out.truncate(start);
        }
        self.mended_hex(digits, length, out)
    }

    /// Hex that is not of the length wanted, or no hex: mended where the document says how, or refused.
    #[cold]
    fn mended_hex(&self, digits: &str, length: Option<usize>, out: &mut FieldBytes) -> Result<(), String> {
        let mut nibbles = Vec::with_capacity(digits.len());
        for c in digits.chars() {
            let digit = c.to_digit(16).and_then(|digit| u8::try_from(digit).ok());
            nibbles.push(digit.ok_or_else(|| format!("{} has the character {c:?}, not hex", self.name))?);
        }
        if let Some(wanted) = length.map(|bytes| bytes * 2) {
            if nibbles.len() > wanted && self.cut {
                nibbles.truncate(wanted);
            }
            if nibbles.len() < wanted && self.pad_left {
                let missing = wanted - nibbles.len();
                nibbles.splice(0..0, std::iter::repeat_n(0, missing));
            } else if nibbles.len() < wanted && self.pad_right {
                nibbles.resize(wanted, 0);
            }
            if nibbles.len() != wanted {
                return Err(format!("{} has {} hex digits instead of {wanted}", self.name, digits.len()));
            }
        } else if nibbles.len() % 2 == 1 {
            if !self.pad_left {
                return Err(format!("{} has an odd number of hex digits", self.name));
            }
            nibbles.insert(0, 0);
        }
        let pairs = nibbles.as_chunks::<2>().0;
        for (byte, [high, low]) in out.grow(pairs.len()).iter_mut().zip(pairs) {
            *byte = high << 4 | low;
        }
        Ok(())
    }

    fn number(&self, found: Found<'_>, length: Option<usize>, out: &mut FieldBytes) -> Result<(), String> {
        let (Found::Number(text) | Found::Text(text)) = found else {
            return Err(self.wrong("a number", found));
        };
        let number: u128 =
            text.parse().map_err(|_| format!("{} has to be an unsigned whole number", self.name))?;
        let all = number.to_be_bytes();
        // The parser demands a length of 1 to 16 bytes for numbers.
        let length = length.unwrap_or(all.len()).min(all.len());
        let (high, low) = all.split_at(all.len() - length);
        if high.iter().any(|byte| *byte != 0) {
            return Err(format!("{} does not fit {length} bytes", self.name));
        }
        out.push(low);
        Ok(())
    }
}
