//! Addresses in bech32 (BIP 173) and bech32m (BIP 350): a version and a program, with a checksum that finds typing
//! errors.

/// The checksum of bech32. Bitcoin has it for version 0 only, other chains for all.
pub const BECH32: u32 = 1;
/// The checksum of bech32m.
pub const BECH32M: u32 = 0x2bc8_30a3;

const ALPHABET: &[u8; 32] = b"qpzry9x8gf2tvdw0s3jn54khce6mua7l";

/// An address in parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// [`BECH32`] or [`BECH32M`]: whether it belongs to the version is the chain's rule.
    pub checksum: u32,
    /// 0 to 31.
    pub version: u8,
    /// 2 to 40 bytes.
    pub bytes: Vec<u8>,
}

/// Whether an address has this human-readable part, whatever follows.
pub fn has_hrp(hrp: &str, address: &str) -> bool {
    address.rsplit_once('1').is_some_and(|(own, _)| !own.is_empty() && own.eq_ignore_ascii_case(hrp))
}

/// Reads an address with the human-readable part `hrp` (in lower case). `None` where it has another one, a wrong
/// checksum, letters in both cases, or a program of a wrong length.
pub fn decode(hrp: &str, address: &str) -> Option<Program> {
    let mixed =
        address.bytes().any(|c| c.is_ascii_uppercase()) && address.bytes().any(|c| c.is_ascii_lowercase());
    if mixed || address.len() > 90 || !has_hrp(hrp, address) {
        return None;
    }
    let (_, data) = address.rsplit_once('1')?;
    let digit = |character: u8| ALPHABET.iter().position(|symbol| *symbol == character.to_ascii_lowercase());
    let digits: Vec<u8> =
        data.bytes().map(|c| digit(c).and_then(|at| u8::try_from(at).ok())).collect::<Option<_>>()?;
    let spread = hrp.bytes().map(|byte| byte >> 5).chain([0]).chain(hrp.bytes().map(|byte| byte & 31));
    let checksum = polymod(spread.chain(digits.iter().copied()));
    if checksum != BECH32 && checksum != BECH32M {
        return None;
    }
    let (body, _) = digits.split_at_checked(digits.len().checked_sub(6)?)?;
    let (version, program) = body.split_first()?;
    let (mut bytes, mut bits, mut held) = (Vec::new(), 0u32, 0u32);
    for digit in program {
        (bits, held) = (bits << 5 | u32::from(*digit), held + 5);
        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held) as u8);
            bits &= (1 << held) - 1;
        }
    }
    // What is left over is padding: fewer than five bits, all zero.
    let fits = held < 5 && bits == 0 && (2..=40).contains(&bytes.len());
    fits.then_some(Program { checksum, version: *version, bytes })
}

fn polymod(digits: impl Iterator<Item = u8>) -> u32 {
    const STEPS: [u32; 5] = [0x3b6a_57b2, 0x2650_8e6d, 0x1ea1_19fa, 0x3d42_33dd, 0x2a14_62b3];
    digits.fold(1, |sum, digit| {
        let shifted = (sum & 0x1ff_ffff) << 5 ^ u32::from(digit);
        STEPS
            .iter()
            .enumerate()
            .filter(|(bit, _)| sum >> (25 + bit) & 1 == 1)
            .fold(shifted, |sum, (_, step)| sum ^ step)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hex;

    #[test]
    fn addresses_of_the_standards_are_read() {
        for (hrp, address, checksum, version, program) in [
            (
                "bc",
                "BC1QW508D6QEJXTDG4Y5R3ZARVARY0C5XW7KV8F3T4",
                BECH32,
                0,
                "751e76e8199196d454941c45d1b3a323f1433bd6",
            ),
            (
                "bc",
                "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqzk5jj0",
                BECH32M,
                1,
                "79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798",
            ),
            ("bc", "BC1SW50QGDZ25J", BECH32M, 16, "751e"),
        ] {
            let read = decode(hrp, address).unwrap();
            assert_eq!(
                (read.checksum, read.version, hex::encode(&read.bytes).as_str()),
                (checksum, version, program)
            );
        }
    }

    #[test]
    fn typing_errors_and_other_networks_are_refused() {
        for bad in [
            "",
            "bc1",
            "1qqqqqqqqqqqqq",
            "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t5",
            "bc1qW508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4",
            "tb1qw508d6qejxtdg4y5r3zarvary0c5xw7kxpjzsx",
            "bc1p38j9r5y49hruaue7wxjce0updqjuyyx0kh56v8s25huc6995vvpql3jow4",
            "bc1pw5dgrnzv",
            "bc1gmk9yu",
        ] {
            assert_eq!(decode("bc", bad), None, "{bad}");
        }
    }
}
