//! The journal's own encoding: little-endian base-128 numbers, lengths before lists, fields in order.
//!
//! It is ours and not a serialisation crate's because these bytes are hashed, chained and replayed years later: their
//! layout must follow from this file and nothing else. One value has one encoding (numbers are as short as they can
//! be), and decoding is total: any bytes give a value or a [`DecodeError`], never a panic, never more memory than the
//! input is long.

use millpond_types::{Amount, Digest, JobId, MinerId, ShareSeq, Target, UnixMillis};

/// Bytes that are no record of this journal.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The bytes end too early, or a number or length is not in its one form.
    #[error("{what} cannot be read")]
    Malformed {
        /// Which field.
        what: &'static str,
    },
    /// Bytes are left over.
    #[error("{left} bytes are left over")]
    TooLong {
        /// How many.
        left: usize,
    },
    /// A kind of record that this version does not know.
    #[error("record kind {kind} is not known: was this journal written by a newer version?")]
    Kind {
        /// The kind.
        kind: u16,
    },
    /// A version of a record that this version does not know.
    #[error("version {version} of a {what} is not known: was this journal written by a newer version?")]
    Version {
        /// Which record.
        what: &'static str,
        /// The version.
        version: u8,
    },
}

/// What can be written into and read from a record.
pub(crate) trait Field: Sized {
    fn put(&self, out: &mut Vec<u8>);
    fn take(from: &mut Input<'_>) -> Option<Self>;
}

/// A record's fields in one of the versions of its kind. A value is written in the lowest version that holds it, so that
/// one value has one encoding, and what was written before a version came has the same bytes ever after.
pub(crate) trait Versions: Sized {
    /// The version that this value is written in.
    fn version(&self) -> u8;
    fn put_version(&self, out: &mut Vec<u8>);
    /// Reads a version that its kind has. `None` as well for a value that a lower one holds.
    fn take_version(version: u8, from: &mut Input<'_>) -> Option<Self>;
}

impl<T: Field> Versions for T {
    fn version(&self) -> u8 {
        1
    }

    fn put_version(&self, out: &mut Vec<u8>) {
        self.put(out);
    }

    fn take_version(_version: u8, from: &mut Input<'_>) -> Option<Self> {
        Self::take(from)
    }
}

/// Bytes being decoded.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Input<'a>(pub &'a [u8]);

impl<'a> Input<'a> {
    pub(crate) fn bytes(&mut self, len: usize) -> Option<&'a [u8]> {
        let (front, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(front)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.bytes(N)?.try_into().ok()
    }

    /// A field with its name for the error.
    pub(crate) fn field<T: Field>(&mut self, what: &'static str) -> Result<T, DecodeError> {
        T::take(self).ok_or(DecodeError::Malformed { what })
    }

    /// A length of a list whose items take at least one byte each, so that it cannot exceed what is left.
    pub(crate) fn count(&mut self) -> Option<usize> {
        let count = usize::try_from(u64::take(self)?).ok()?;
        (count <= self.0.len()).then_some(count)
    }

    pub(crate) fn end(self) -> Result<(), DecodeError> {
        if self.0.is_empty() { Ok(()) } else { Err(DecodeError::TooLong { left: self.0.len() }) }
    }
}

/// A number that is read byte by byte.
trait Long: Sized {
    fn take_long(from: &mut Input<'_>) -> Option<Self>;
}

/// A number of up to eight bytes, of which eight are left to look at: nearly all are, and this is most of what reading a
/// journal costs. The outer `None` says that it is to be read byte by byte, the inner one that it has not its one form.
#[inline]
fn short(from: &mut Input<'_>) -> Option<Option<u64>> {
    const ENDS: u64 = 0x8080_8080_8080_8080;
    let word = u64::from_le_bytes(*from.0.first_chunk()?);
    let ends = !word & ENDS;
    if ends == 0 {
        return None;
    }
    let bytes = ends.trailing_zeros() / 8 + 1;
    let unused = 64 - 8 * bytes;
    let own = (word << unused) >> unused;
    // A last byte of zero would be a second form of the same number.
    if bytes > 1 && own >> (8 * (bytes - 1)) == 0 {
        return Some(None);
    }
    // Pairs of seven bits, then of fourteen, then of twenty-eight.
    let own = own & !ENDS;
    let own = (own & 0x007f_007f_007f_007f) | ((own & 0x7f00_7f00_7f00_7f00) >> 1);
    let own = (own & 0x0000_3fff_0000_3fff) | ((own & 0x3fff_0000_3fff_0000) >> 2);
    let own = (own & 0x0000_0000_0fff_ffff) | ((own & 0x0fff_ffff_0000_0000) >> 4);
    from.0 = from.0.get(bytes as usize..).unwrap_or_default();
    Some(Some(own))
}

/// Seven bits a byte, lowest first; the top bit says that more follow.
macro_rules! varint {
    ($($type:ty),*) => {$(
        impl Field for $type {
            fn put(&self, out: &mut Vec<u8>) {
                let mut rest = *self;
                while rest >= 0x80 {
                    out.push((rest & 0x7f) as u8 | 0x80);
                    rest >>= 7;
                }
                out.push(rest as u8);
            }

            fn take(from: &mut Input<'_>) -> Option<Self> {
                match short(from) {
                    Some(value) => value.map(Self::from),
                    None => Self::take_long(from),
                }
            }
        }

        impl Long for $type {
            fn take_long(from: &mut Input<'_>) -> Option<Self> {
                let mut value: $type = 0;
                for shift in (0..<$type>::BITS).step_by(7) {
                    let [byte] = from.array()?;
                    let part = <$type>::from(byte & 0x7f);
                    if part << shift >> shift != part {
                        return None;
                    }
                    value |= part << shift;
                    if byte & 0x80 == 0 {
                        // A last byte of zero would be a second form of the same number.
                        return (byte != 0 || shift == 0).then_some(value);
                    }
                }
                None
            }
        }
    )*};
}

varint!(u64, u128);

macro_rules! narrow {
    ($($type:ty),*) => {$(
        impl Field for $type {
            fn put(&self, out: &mut Vec<u8>) {
                u64::from(*self).put(out);
            }
            fn take(from: &mut Input<'_>) -> Option<Self> {
                u64::take(from)?.try_into().ok()
            }
        }
    )*};
}
narrow!(u16, u32);

/// A byte is itself, so that a list of bytes is its length and the bytes.
impl Field for u8 {
    fn put(&self, out: &mut Vec<u8>) {
        out.push(*self);
    }

    fn take(from: &mut Input<'_>) -> Option<Self> {
        from.array().map(|[byte]| byte)
    }
}

/// Signed numbers alternate: 0, -1, 1, -2, …
impl Field for i64 {
    fn put(&self, out: &mut Vec<u8>) {
        (((self << 1) ^ (self >> 63)) as u64).put(out);
    }

    fn take(from: &mut Input<'_>) -> Option<Self> {
        let folded = u64::take(from)?;
        Some((folded >> 1) as i64 ^ -((folded & 1) as i64))
    }
}

impl Field for bool {
    fn put(&self, out: &mut Vec<u8>) {
        out.push(u8::from(*self));
    }

    fn take(from: &mut Input<'_>) -> Option<Self> {
        match u8::take(from)? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }
}

impl Field for String {
    fn put(&self, out: &mut Vec<u8>) {
        (self.len() as u64).put(out);
        out.extend_from_slice(self.as_bytes());
    }

    fn take(from: &mut Input<'_>) -> Option<Self> {
        let len = from.count()?;
        Some(std::str::from_utf8(from.bytes(len)?).ok()?.to_owned())
    }
}

impl<T: Field> Field for Vec<T> {
    fn put(&self, out: &mut Vec<u8>) {
        (self.len() as u64).put(out);
        for item in self {
            item.put(out);
        }
    }

    fn take(from: &mut Input<'_>) -> Option<Self> {
        let count = from.count()?;
        let mut items = Self::new();
        for _ in 0..count {
            items.push(T::take(from)?);
        }
        Some(items)
    }
}

impl<T: Field> Field for Option<T> {
    fn put(&self, out: &mut Vec<u8>) {
        self.is_some().put(out);
        if let Some(value) = self {
            value.put(out);
        }
    }

    fn take(from: &mut Input<'_>) -> Option<Self> {
        if bool::take(from)? { T::take(from).map(Some) } else { Some(None) }
    }
}

impl<A: Field, B: Field> Field for (A, B) {
    fn put(&self, out: &mut Vec<u8>) {
        self.0.put(out);
        self.1.put(out);
    }

    fn take(from: &mut Input<'_>) -> Option<Self> {
        Some((A::take(from)?, B::take(from)?))
    }
}

macro_rules! wrapped {
    ($($name:ident),*) => {$(
        impl Field for $name {
            fn put(&self, out: &mut Vec<u8>) {
                self.0.put(out);
            }
            fn take(from: &mut Input<'_>) -> Option<Self> {
                Field::take(from).map(Self)
            }
        }
    )*};
}
wrapped!(Amount, JobId, MinerId, ShareSeq, UnixMillis);

impl Field for Digest {
    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0);
    }

    fn take(from: &mut Input<'_>) -> Option<Self> {
        from.array().map(Self)
    }
}

impl Field for Target {
    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.to_be_bytes());
    }

    fn take(from: &mut Input<'_>) -> Option<Self> {
        from.array().map(Self::from_be_bytes)
    }
}

/// Declares a record of named fields, with its encoding: the fields in order, without names.
macro_rules! fields {
    ($($(#[$doc:meta])* struct $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty,)* })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct $name {
            $($(#[$field_doc])* pub $field: $type,)*
        }

        impl $crate::codec::Field for $name {
            fn put(&self, out: &mut Vec<u8>) {
                $($crate::codec::Field::put(&self.$field, out);)*
            }
            fn take(from: &mut $crate::codec::Input<'_>) -> Option<Self> {
                Some(Self { $($field: $crate::codec::Field::take(from)?,)* })
            }
        }
    )*};
}
pub(crate) use fields;

/// Declares an enum whose cases have at most one value, with its encoding: the number, then the value.
macro_rules! cases {
    ($($(#[$doc:meta])* enum $name:ident {
        $($(#[$case_doc:meta])* $number:literal => $case:ident $(($type:ty))?,)*
    })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum $name {
            $($(#[$case_doc])* $case $(($type))?,)*
        }

        impl $crate::codec::Field for $name {
            fn put(&self, out: &mut Vec<u8>) {
                match self {
                    $($crate::codec::cases!(@pattern $name $case value $($type)?) => {
                        out.push($number);
                        $(<$type as $crate::codec::Field>::put(value, out);)?
                    })*
                }
            }
            fn take(from: &mut $crate::codec::Input<'_>) -> Option<Self> {
                match <u8 as $crate::codec::Field>::take(from)? {
                    $($number => Some(Self::$case $((<$type as $crate::codec::Field>::take(from)?))?),)*
                    _ => None,
                }
            }
        }
    )*};
    (@pattern $name:ident $case:ident $value:ident) => { $name::$case };
    (@pattern $name:ident $case:ident $value:ident $type:ty) => { $name::$case($value) };
}
pub(crate) use cases;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn round_trip<T: Field + PartialEq + std::fmt::Debug>(value: T) {
        let mut bytes = Vec::new();
        value.put(&mut bytes);
        let mut input = Input(&bytes);
        assert_eq!(T::take(&mut input), Some(value));
        assert!(input.0.is_empty());
    }

    #[test]
    fn a_number_has_one_form() {
        assert_eq!(u64::take(&mut Input(&[0x80, 0x00])), None);
        assert_eq!(u64::take(&mut Input(&[0xff; 10])), None);
        assert_eq!(u128::take(&mut Input(&[0xff; 19])), None);
        assert_eq!(u16::take(&mut Input(&[0x80, 0x80, 0x04])), None);
        assert_eq!(bool::take(&mut Input(&[2])), None);
    }

    #[test]
    fn a_length_beyond_the_input_allocates_nothing() {
        let mut bytes = Vec::new();
        u64::MAX.put(&mut bytes);
        assert_eq!(Vec::<u64>::take(&mut Input(&bytes)), None);
    }

    proptest! {
        #[test]
        fn values_survive_their_bytes(a: u64, b: u128, c: i64, d: String, e: Vec<u8>, f: Option<(u32, bool)>) {
            round_trip(a);
            round_trip(b);
            round_trip(c);
            round_trip(d);
            round_trip(vec![e]);
            round_trip(f);
        }

        /// Eight bytes at once are the same numbers as one by one.
        #[test]
        fn a_number_is_the_same_read_at_once_and_byte_by_byte(
            tops in prop::collection::vec(any::<bool>(), 0..24),
            bytes in prop::collection::vec(prop_oneof![Just(0_u8), Just(1), any::<u8>()], 24),
        ) {
            let top = tops.iter().map(|top| u8::from(*top) << 7).chain(std::iter::repeat(0));
            let bytes: Vec<u8> = bytes.iter().zip(top).map(|(byte, top)| byte & 0x7f | top).collect();
            for len in 0..=bytes.len() {
                fn both<T: Field + Long>(bytes: &[u8]) -> [Option<(T, usize)>; 2] {
                    [T::take, T::take_long].map(|take| {
                        let mut input = Input(bytes);
                        take(&mut input).map(|value| (value, input.0.len()))
                    })
                }
                let [at_once, one_by_one] = both::<u64>(&bytes[..len]);
                prop_assert_eq!(at_once, one_by_one);
                let [at_once, one_by_one] = both::<u128>(&bytes[..len]);
                prop_assert_eq!(at_once, one_by_one);
            }
        }

        #[test]
        fn what_can_be_read_is_written_the_same(bytes: Vec<u8>) {
            let mut input = Input(&bytes);
            if let Some(value) = u128::take(&mut input) {
                let mut again = Vec::new();
                value.put(&mut again);
                prop_assert_eq!(&bytes[..bytes.len() - input.0.len()], &again[..]);
            }
        }
    }
}
