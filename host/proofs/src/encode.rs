//! The bytes that are hashed: numbers little-endian in their full width, lengths before lists, fields in order.
//!
//! One value has one encoding, and two values of a type never have the same. There is no decoder, for nothing reads these
//! bytes: what is kept and handed out is JSON, which is read into fields and encoded again before it is hashed. So neither
//! the order nor the spelling of a document can change what it says.
//!
//! ```text
//! u8 u16 u32 u64 u128 i64    little-endian, i64 in two's complement
//! bool                       u8 0 or 1
//! digest, key, salt          their bytes, without a length
//! text, bytes, list          u64 count, then the bytes or items
//! option                     u8 0, or u8 1 and the value
//! case of several            u8 number of the case, then what belongs to it
//! ```

use millpond_types::{Amount, Digest, ShareSeq, UnixMillis};

/// What can be hashed.
pub trait Encode {
    /// Appends the encoding.
    fn encode(&self, out: &mut Vec<u8>);

    /// The encoding.
    fn encoded(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.encode(&mut out);
        out
    }
}

macro_rules! numbers {
    ($($type:ty),*) => {$(
        impl Encode for $type {
            fn encode(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_le_bytes());
            }
        }
    )*};
}
numbers!(u8, u16, u32, u64, u128, i64);

macro_rules! wrapped {
    ($($type:ty),*) => {$(
        impl Encode for $type {
            fn encode(&self, out: &mut Vec<u8>) {
                self.0.encode(out);
            }
        }
    )*};
}
wrapped!(Amount, ShareSeq, UnixMillis);

impl Encode for bool {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(u8::from(*self));
    }
}

impl Encode for Digest {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0);
    }
}

impl Encode for str {
    fn encode(&self, out: &mut Vec<u8>) {
        (self.len() as u64).encode(out);
        out.extend_from_slice(self.as_bytes());
    }
}

impl Encode for String {
    fn encode(&self, out: &mut Vec<u8>) {
        self.as_str().encode(out);
    }
}

impl<T: Encode> Encode for [T] {
    fn encode(&self, out: &mut Vec<u8>) {
        (self.len() as u64).encode(out);
        for item in self {
            item.encode(out);
        }
    }
}

impl<T: Encode> Encode for Vec<T> {
    fn encode(&self, out: &mut Vec<u8>) {
        self.as_slice().encode(out);
    }
}

impl<T: Encode> Encode for Option<T> {
    fn encode(&self, out: &mut Vec<u8>) {
        self.is_some().encode(out);
        if let Some(value) = self {
            value.encode(out);
        }
    }
}

/// Structs whose encoding is their fields in order, and whose JSON has these fields and no other.
macro_rules! fields {
    ($($(#[$meta:meta])* struct $name:ident {
        $($(#[$field_meta:meta])* $field:ident: $type:ty,)*
    })*) => {$(
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct $name {
            $($(#[$field_meta])* pub $field: $type,)*
        }

        impl $crate::Encode for $name {
            fn encode(&self, out: &mut Vec<u8>) {
                $($crate::Encode::encode(&self.$field, out);)*
            }
        }
    )*};
}

/// Enums whose encoding is the number of the case and what it carries.
macro_rules! cases {
    ($($(#[$meta:meta])* enum $name:ident {
        $($(#[$case_meta:meta])* $tag:literal => $case:ident
            $(($(#[$field_meta:meta])* $bound:ident: $type:ty))?,)*
    })*) => {$(
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
        #[serde(rename_all = "kebab-case", deny_unknown_fields)]
        pub enum $name {
            $($(#[$case_meta])* $case $(($(#[$field_meta])* $type))?,)*
        }

        impl $crate::Encode for $name {
            fn encode(&self, out: &mut Vec<u8>) {
                match self {
                    $(Self::$case $(($bound))? => {
                        out.push($tag);
                        $($crate::Encode::encode($bound, out);)?
                    })*
                }
            }
        }
    )*};
}

pub(crate) use {cases, fields};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_encoding_is_what_the_documents_say() {
        let mut out = Vec::new();
        0x0102_u16.encode(&mut out);
        7_u32.encode(&mut out);
        (-2_i64).encode(&mut out);
        true.encode(&mut out);
        "ab".encode(&mut out);
        vec![Some(5_u8), None].encode(&mut out);
        Amount(3).encode(&mut out);
        let expected = "0201\
            07000000\
            feffffffffffffff\
            01\
            0200000000000000" // the text's length
            .to_owned()
            + "6162\
            0200000000000000\
            0105\
            00\
            0300000000000000";
        assert_eq!(hex::encode(out), expected);
    }

    #[test]
    fn what_stands_in_one_field_cannot_move_into_the_next() {
        let pair = |a: &str, b: &str| [a.encoded(), b.encoded()].concat();
        assert_ne!(pair("ab", "c"), pair("a", "bc"));
        assert_ne!(pair("", "abc"), pair("abc", ""));
    }
}
