//! Parameters of a miner that become bytes: share fields, negotiated fields, targets.

use crate::document::Place;
use crate::intent::{JobRef, SessionView};
use crate::json::Json;
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

impl FieldRule {
    /// The field's bytes, `None` when it is optional and absent.
    ///
    /// # Errors
    /// What is wrong with the parameter, for the miner to read.
    pub(crate) fn read(
        &self,
        message: &Json<'_>,
        job: &JobRef,
        session: &dyn SessionView,
    ) -> Result<Option<Vec<u8>>, String> {
        let found = self.place.find(message);
        let absent = match found {
            None => true,
            Some(Json::String(text, _)) => text.is_empty() && (self.default.is_some() || self.optional),
            Some(_) => false,
        };
        let bytes = match (absent, found) {
            (false, Some(found)) => self.bytes(found, job, session)?,
            _ => match &self.default {
                Some(default) => default.clone(),
                None if self.optional => return Ok(None),
                None => return Err(format!("{} is missing at {}", self.name, self.place.written)),
            },
        };
        Ok(Some(bytes))
    }

    fn bytes(&self, found: &Json<'_>, job: &JobRef, session: &dyn SessionView) -> Result<Vec<u8>, String> {
        if self.part == Part::No {
            return self.plain(found, self.length);
        }
        let extranonce = session.extranonce(job);
        let rest = extranonce.rest();
        let suffix = match self.part {
            Part::Suffix => true,
            Part::Whole { or_suffix } => or_suffix && self.digits(found)?.len() <= rest * 2,
            Part::No => false,
        };
        if suffix {
            Ok([extranonce.prefix, &self.plain(found, Some(rest))?].concat())
        } else {
            self.plain(found, Some(extranonce.size))
        }
    }

    fn plain(&self, found: &Json<'_>, length: Option<usize>) -> Result<Vec<u8>, String> {
        let mut bytes = match self.wire {
            Wire::Hex | Wire::Hex0x | Wire::HexAny => self.hex(self.digits(found)?, length)?,
            Wire::Number => self.number(found, length)?,
            Wire::Text => match found {
                Json::String(text, _) => text.as_bytes().to_vec(),
                other => return Err(self.wrong("text", other)),
            },
        };
        if self.reverse {
            bytes.reverse();
        }
        if bytes.len() > MAX_FIELD_BYTES {
            return Err(format!("{} is longer than {MAX_FIELD_BYTES} bytes", self.name));
        }
        Ok(bytes)
    }

    fn wrong(&self, wanted: &str, found: &Json<'_>) -> String {
        format!("{} has to be {wanted}, not {}", self.name, found.kind())
    }

    fn digits<'j>(&self, found: &'j Json<'_>) -> Result<&'j str, String> {
        let Json::String(text, _) = found else { return Err(self.wrong("a string of hex digits", found)) };
        let stripped = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
        match (self.wire, stripped) {
            (Wire::Hex0x, None) => Err(format!("{} has to begin with 0x", self.name)),
            (Wire::Hex0x | Wire::HexAny, Some(digits)) => Ok(digits),
            _ => Ok(text),
        }
    }

    fn hex(&self, digits: &str, length: Option<usize>) -> Result<Vec<u8>, String> {
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
        Ok(nibbles
            .chunks_exact(2)
            .map(|pair| pair.iter().fold(0, |byte, nibble| byte << 4 | nibble))
            .collect())
    }

    fn number(&self, found: &Json<'_>, length: Option<usize>) -> Result<Vec<u8>, String> {
        let text = match found {
            Json::Number(text) => text,
            Json::String(text, _) => text.as_ref(),
            other => return Err(self.wrong("a number", other)),
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
        Ok(low.to_vec())
    }
}
