//! Hex of the length that its field has, eight digits at a time. What is longer, shorter, or no hex is the rule's to mend
//! or to refuse ([`FieldRule::read`]).

use crate::fields::{FieldRule, Part, Wire};
use crate::intent::{JobRef, SessionView};
use crate::small::FieldBytes;

/// How a field of hex is read where nothing has to be mended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Digits {
    part: Part,
    wire: Wire,
    length: Option<usize>,
    reverse: bool,
}

impl Digits {
    /// For a rule that reads hex.
    pub(crate) fn of(rule: &FieldRule) -> Option<Self> {
        let FieldRule { part, wire, length, reverse, .. } = *rule;
        matches!(wire, Wire::Hex | Wire::Hex0x | Wire::HexAny).then_some(Self { part, wire, length, reverse })
    }

    /// Appends what the rule would; `false`, and nothing is appended, where only the rule can tell what the text means.
    #[inline(always)]
    pub(crate) fn read(
        self,
        text: &str,
        job: &JobRef<'_>,
        session: &dyn SessionView,
        out: &mut FieldBytes,
    ) -> bool {
        let stripped = match text.as_bytes() {
            [b'0', b'x' | b'X', digits @ ..] if self.wire != Wire::Hex => Some(digits),
            _ => None,
        };
        if text.is_empty() || (stripped.is_none() && self.wire == Wire::Hex0x) {
            return false;
        }
        let digits = stripped.unwrap_or(text.as_bytes());
        if self.part == Part::No {
            return self.length.is_none_or(|length| length == digits.len() / 2)
                && self.append(&[], digits, out);
        }
        let extranonce = session.extranonce(job);
        let suffix = match self.part {
            Part::Whole { or_suffix } => or_suffix && digits.len().div_ceil(2) <= extranonce.rest(),
            _ => true,
        };
        let (prefix, length) =
            if suffix { (extranonce.prefix, extranonce.rest()) } else { (&[][..], extranonce.size) };
        length == digits.len() / 2 && self.append(prefix, digits, out)
    }

    #[inline(always)]
    fn append(self, prefix: &[u8], digits: &[u8], out: &mut FieldBytes) -> bool {
        let (start, len) = (out.len(), digits.len() / 2);
        let Some((before, place)) =
            out.room(prefix.len() + len).and_then(|room| room.split_at_mut_checked(prefix.len()))
        else {
            return false;
        };
        before.copy_from_slice(prefix);
        let good = digits.len().is_multiple_of(2) && decode(digits, place);
        if self.reverse {
            place.reverse();
        }
        if !good {
            out.truncate(start);
        }
        good
    }
}

/// Decodes as many pairs of digits as there is place for; `false` where one is no hex.
#[inline(always)]
fn decode(digits: &[u8], place: &mut [u8]) -> bool {
    let ((eights, pairs), (words, bytes)) = (digits.as_chunks::<8>(), place.as_chunks_mut::<4>());
    let mut wrong = 0;
    for (digits, word) in eights.iter().zip(words) {
        let (bytes, no_digits) = eight(*digits);
        *word = bytes;
        wrong |= no_digits;
    }
    for ([high, low], byte) in pairs.as_chunks::<2>().0.iter().zip(bytes) {
        let (high, low) = (digit(*high), digit(*low));
        wrong |= u64::from((high | low) & 0xf0);
        *byte = high << 4 | low & 0xf;
    }
    wrong == 0
}

/// What a hex digit stands for; more than 15 for anything else.
#[inline]
pub(crate) fn digit(of: u8) -> u8 {
    match of {
        b'0'..=b'9' => of - b'0',
        b'a'..=b'f' => of - b'a' + 10,
        b'A'..=b'F' => of - b'A' + 10,
        _ => 0xff,
    }
}

/// What eight digits stand for, and something other than 0 where one of them is no hex. All eight at once, each in its
/// byte of a word: no sum of two bytes below 0x80 reaches the next byte.
#[inline]
fn eight(digits: [u8; 8]) -> ([u8; 4], u64) {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = ONES * 0x80;
    let word = u64::from_le_bytes(digits);
    let ascii = word & !HIGH;
    // `0` to `9` less `0`: up to 9. `a` to `f` and `A` to `F` less the byte before `a`: 1 to 6.
    let (number, letter) = (ascii ^ (ONES * 0x30), (ascii | (ONES * 0x20)) ^ (ONES * 0x60));
    let no_number = number + ONES * (0x7f - 9);
    let no_letter = (letter + ONES * (0x7f - 6)) | !(letter + ONES * 0x7f);
    let wrong = (word | (no_number & no_letter)) & HIGH;
    let nibbles = (ascii & (ONES * 0xf)) + ((ascii >> 6) & ONES) * 9;
    // Each pair's first digit goes above its second, then the pairs move together.
    let pairs = ((nibbles << 4) | (nibbles >> 8)) & 0x00ff_00ff_00ff_00ff;
    let halves = (pairs | (pairs >> 8)) & 0x0000_ffff_0000_ffff;
    (((halves | (halves >> 16)) as u32).to_le_bytes(), wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_byte_is_a_digit_or_not_in_every_place() {
        for at in 0..8 {
            for byte in 0..=255_u8 {
                let mut digits = *b"09afAF5b";
                digits[at] = byte;
                let text: String = digits.iter().map(|byte| char::from(*byte)).collect();
                let wanted = byte.is_ascii_hexdigit().then(|| u32::from_str_radix(&text, 16).unwrap());
                let (bytes, wrong) = eight(digits);
                assert_eq!((wrong == 0).then(|| u32::from_be_bytes(bytes)), wanted, "{text:?}");
            }
        }
    }

    #[test]
    fn any_number_of_bytes_is_decoded_and_checked() {
        for len in 0..20 {
            let bytes: Vec<u8> = (0..len).map(|i| 0xf1_u8.wrapping_mul(i as u8 + 1)).collect();
            let mut digits: Vec<u8> =
                bytes.iter().flat_map(|byte| format!("{byte:02X}").into_bytes()).collect();
            let mut place = vec![0; len];
            assert!(decode(&digits, &mut place));
            assert_eq!(place, bytes);
            for at in 0..digits.len() {
                let before = std::mem::replace(&mut digits[at], b'g');
                assert!(!decode(&digits, &mut place));
                digits[at] = before;
            }
        }
    }
}
