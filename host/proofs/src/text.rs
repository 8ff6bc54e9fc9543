//! How values stand in JSON: every number wider than 32 bits as a text of decimal digits, since readers of JSON may take
//! numbers for floats; bytes as hex.

use millpond_types::{Amount, ShareSeq, UnixMillis};
use serde::de::{Deserializer, Error, Unexpected, Visitor};
use serde::ser::Serializer;
use std::fmt;
use std::marker::PhantomData;

/// A number that is written as a text.
pub(crate) trait Whole: Sized {
    /// Its digits.
    fn print(&self) -> String;
    /// From digits, in their one spelling.
    fn read(text: &str) -> Result<Self, String>;
}

fn digits(text: &str) -> Result<(), String> {
    if text.starts_with('-') || text.contains('.') {
        return Err(format!("a value is a whole number from 0 on: {text}"));
    }
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(format!("a number is written in decimal digits alone, not {text:?}"));
    }
    if text.len() > 1 && text.starts_with('0') {
        return Err(format!("a number has no zeros in front: {text}"));
    }
    Ok(())
}

macro_rules! whole {
    ($($type:ty => $bits:literal),*) => {$(
        impl Whole for $type {
            fn print(&self) -> String {
                self.to_string()
            }

            fn read(text: &str) -> Result<Self, String> {
                digits(text)?;
                text.parse().map_err(|_| format!(concat!("{} does not fit ", $bits, " bits"), text))
            }
        }
    )*};
}
whole!(u64 => 64, u128 => 128);

impl Whole for i64 {
    fn print(&self) -> String {
        self.to_string()
    }

    fn read(text: &str) -> Result<Self, String> {
        digits(text.strip_prefix('-').unwrap_or(text))?;
        if text == "-0" {
            return Err("zero has no sign".to_owned());
        }
        text.parse().map_err(|_| format!("{text} does not fit 64 bits with a sign"))
    }
}

macro_rules! wrapped {
    ($($name:ident),*) => {$(
        impl Whole for $name {
            fn print(&self) -> String {
                self.0.print()
            }

            fn read(text: &str) -> Result<Self, String> {
                Whole::read(text).map(Self)
            }
        }
    )*};
}
wrapped!(Amount, ShareSeq, UnixMillis);

struct Digits<T>(PhantomData<T>);

impl<T: Whole> Visitor<'_> for Digits<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number as a text of decimal digits, as \"5\"")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        T::read(text).map_err(E::custom)
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<T, E> {
        T::read(&number.to_string()).map_err(E::custom)?;
        Err(E::invalid_type(Unexpected::Signed(number), &self))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<T, E> {
        Err(E::invalid_type(Unexpected::Float(number), &self))
    }
}

/// For `#[serde(with = "text")]`.
pub(crate) fn serialize<T: Whole, S: Serializer>(value: &T, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&value.print())
}

/// For `#[serde(with = "text")]`.
pub(crate) fn deserialize<'de, T: Whole, D: Deserializer<'de>>(from: D) -> Result<T, D::Error> {
    from.deserialize_any(Digits(PhantomData))
}

/// Bytes as hex, for `#[serde(with = "text::bytes")]`.
pub(crate) mod bytes {
    use serde::de::{Deserialize, Deserializer, Error};
    use serde::ser::Serializer;

    pub(crate) fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&hex::encode(bytes))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(from)?;
        hex::decode(&text).map_err(|why| D::Error::custom(format!("bytes are hex: {why}")))
    }
}

/// Bytes of one length that must not be mixed up with other bytes: hex in JSON, no length in the encoding.
macro_rules! fixed {
    ($($(#[$meta:meta])* $name:ident[$len:literal] is $what:literal;)*) => {$(
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; $len]);

        impl $name {
            /// Reads hex digits; `None` for anything else or another length.
            #[must_use]
            pub fn from_hex(text: &str) -> Option<Self> {
                let mut bytes = [0; $len];
                hex::decode_to_slice(text, &mut bytes).ok()?;
                Some(Self(bytes))
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&hex::encode(self.0))
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                let text = String::deserialize(from)?;
                Self::from_hex(&text).ok_or_else(|| serde::de::Error::custom(concat!($what, " in hex")))
            }
        }

        impl $crate::Encode for $name {
            fn encode(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.0);
            }
        }
    )*};
}

pub(crate) use fixed;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde::{Deserialize, Serialize};

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Value {
        #[serde(with = "crate::text")]
        value: u128,
        #[serde(with = "crate::text")]
        offset: i64,
    }

    fn why(value: &str) -> String {
        let text = format!("{{\"value\":{value},\"offset\":\"0\"}}");
        serde_json::from_str::<Value>(&text).unwrap_err().to_string()
    }

    #[test]
    fn a_negative_or_fractional_value_is_no_number() {
        assert!(why("\"-5\"").contains("a value is a whole number from 0 on: -5"));
        assert!(why("-5").contains("a value is a whole number from 0 on: -5"));
        assert!(why("\"5.5\"").contains("a value is a whole number from 0 on: 5.5"));
        assert!(why("5.5").contains("text of decimal digits"));
        assert!(why("5").contains("text of decimal digits"));
    }

    #[test]
    fn a_number_has_one_spelling() {
        for other in ["\"+5\"", "\"05\"", "\" 5\"", "\"\"", "\"5e3\"", "\"0x5\"", "null", "true", "[]"] {
            assert!(!why(other).is_empty());
        }
        let huge = "340282366920938463463374607431768211456";
        assert!(why(&format!("\"{huge}\"")).contains("does not fit 128 bits"));
        assert!(u64::read("18446744073709551616").unwrap_err().contains("does not fit 64 bits"));
        assert!(i64::read("-0").is_err() && i64::read("--1").is_err() && i64::read("-01").is_err());
    }

    proptest! {
        #[test]
        fn every_number_survives_its_text(value: u128, offset: i64) {
            let text = serde_json::to_string(&Value { value, offset }).unwrap();
            prop_assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), Value { value, offset });
        }
    }
}
