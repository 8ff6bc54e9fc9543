//! Declared fields: names, widths, defaults.

use crate::error::RunError;
use std::fmt;

/// How many bytes a value or a register has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Width {
    /// Exactly this many.
    Fixed(u32),
    /// Any number between the two, inclusive.
    Between(u32, u32),
    /// At most this many; a shorter value is filled up with zeros on the left, so the register has exactly as many.
    PaddedTo(u32),
    /// A list: any number of items of this many bytes each, one after the other.
    List(u32),
    /// A number of 64 bits, kept as 8 little-endian bytes.
    Number,
}

impl Width {
    /// Whether a value of this length may stand for it.
    #[must_use]
    #[inline]
    pub fn admits(self, len: usize) -> bool {
        let len = len as u64;
        match self {
            Self::Fixed(n) => len == u64::from(n),
            Self::Between(low, high) => (u64::from(low)..=u64::from(high)).contains(&len),
            Self::PaddedTo(n) => len <= u64::from(n),
            Self::List(item) => item != 0 && len.is_multiple_of(u64::from(item)),
            Self::Number => len == 8,
        }
    }
}

impl fmt::Display for Width {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(n) => write!(f, "{n} bytes"),
            Self::Between(0, high) => write!(f, "at most {high} bytes"),
            Self::Between(low, high) => write!(f, "{low} to {high} bytes"),
            Self::PaddedTo(n) => write!(f, "at most {n} bytes"),
            Self::List(item) => write!(f, "a multiple of {item} bytes"),
            Self::Number => f.write_str("a number"),
        }
    }
}

/// A declared field, in the order of the document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// The name: also the name of the register that holds its value.
    pub name: Box<str>,
    /// Which values it takes.
    pub width: Width,
    /// What stands for an empty value, if the document gives one.
    pub default: Option<Box<[u8]>>,
}

impl Field {
    /// The error of a value whose length the field does not allow.
    pub(crate) fn refuses(&self, given: usize) -> RunError {
        RunError::Width { field: self.name.clone(), needed: self.width.to_string(), given }
    }

    /// A value with the default in the place of an empty one and a short one filled up: as the register has it.
    pub(crate) fn filled(&self, value: &[u8]) -> Vec<u8> {
        let value = match &self.default {
            Some(default) if value.is_empty() => default,
            _ => value,
        };
        let padding = match self.width {
            Width::PaddedTo(n) => (n as usize).saturating_sub(value.len()),
            _ => 0,
        };
        let mut out = vec![0; padding];
        out.extend_from_slice(value);
        out
    }
}

/// When a register's value is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// When the document is compiled: a literal, or computed from literals.
    Document,
    /// Once per job.
    Job,
    /// Once per job and session.
    Session,
    /// Once per share.
    Share,
}

impl Stage {
    #[inline]
    pub(crate) fn index(self) -> usize {
        self as usize
    }

    /// The stage's name in messages.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Document => "document",
            Self::Job => "job",
            Self::Session => "session",
            Self::Share => "share",
        }
    }
}

/// What a dialect needs to know of a register before it names it in a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RegisterInfo {
    /// When its value is known. A message can hold job and session registers.
    pub stage: Stage,
    /// How many bytes it has.
    pub width: Width,
}
