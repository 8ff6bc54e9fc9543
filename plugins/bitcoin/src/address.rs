//! Login names `address.worker` to output scripts: base58check, bech32 (BIP 173) and bech32m (BIP 350).

use crate::network::Network;
use millpond_sdk::chain::{Payee, host};

/// The payee of a login name. What follows the first `.` is the worker.
pub fn resolve(network: &Network, name: &str) -> Result<Payee, String> {
    let (address, worker) = name.split_once('.').unwrap_or((name, ""));
    let segwit = address
        .rsplit_once('1')
        .filter(|(hrp, _)| !network.hrp.is_empty() && hrp.eq_ignore_ascii_case(&network.hrp));
    let (script, address) = match segwit {
        Some((_, data)) => (witness(network, address, data)?, address.to_ascii_lowercase()),
        None => (base58(network, address)?, address.to_owned()),
    };
    Ok(Payee { payee: script, address, worker: worker.to_owned(), extra: String::new() })
}

fn base58(network: &Network, address: &str) -> Result<Vec<u8>, String> {
    const ALPHABET: &[u8; 58] = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
    let wrong = || format!("{address:?} is no address of {}", network.name);
    // 25 bytes as one number; an address has at most 35 characters.
    let mut bytes = [0u8; 25];
    if address.is_empty() || address.len() > 35 {
        return Err(wrong());
    }
    for character in address.bytes() {
        let digit = ALPHABET.iter().position(|symbol| *symbol == character).ok_or_else(wrong)?;
        let mut carry = u32::try_from(digit).map_err(|_| wrong())?;
        for byte in bytes.iter_mut().rev() {
            carry += u32::from(*byte) * 58;
            *byte = (carry & 0xff) as u8;
            carry >>= 8;
        }
        if carry != 0 {
            return Err(wrong());
        }
    }
    // Leading zero bytes are written as leading ones, exactly.
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    let ones = address.bytes().take_while(|character| *character == b'1').count();
    let [version, hash @ .., a, b, c, d] = bytes;
    let payload = [[version].as_slice(), &hash].concat();
    if zeros != ones || !host::hash("sha256d", &payload)?.starts_with(&[a, b, c, d]) {
        return Err(format!("{address:?} has a wrong checksum: check it for typing errors"));
    }
    if version == network.p2pkh {
        return Ok([[0x76, 0xa9, 0x14].as_slice(), &hash, &[0x88, 0xac]].concat());
    }
    if network.p2sh.contains(&version) {
        return Ok([[0xa9, 0x14].as_slice(), &hash, &[0x87]].concat());
    }
    Err(format!("{address:?} is an address of another network than {}", network.name))
}

fn witness(network: &Network, address: &str, data: &str) -> Result<Vec<u8>, String> {
    const ALPHABET: &[u8; 32] = b"qpzry9x8gf2tvdw0s3jn54khce6mua7l";
    let wrong = || format!("{address:?} is no address of {}: check it for typing errors", network.name);
    let mixed =
        address.bytes().any(|c| c.is_ascii_uppercase()) && address.bytes().any(|c| c.is_ascii_lowercase());
    if mixed || address.len() > 90 {
        return Err(wrong());
    }
    let digit = |character: u8| ALPHABET.iter().position(|symbol| *symbol == character.to_ascii_lowercase());
    let digits: Vec<u8> = data
        .bytes()
        .map(|c| digit(c).and_then(|at| u8::try_from(at).ok()))
        .collect::<Option<_>>()
        .ok_or_else(wrong)?;
    let spread =
        network.hrp.bytes().map(|byte| byte >> 5).chain([0]).chain(network.hrp.bytes().map(|byte| byte & 31));
    let checksum = polymod(spread.chain(digits.iter().copied()));
    let (body, _) = digits.split_at_checked(digits.len().saturating_sub(6)).ok_or_else(wrong)?;
    let (version, program) = body.split_first().ok_or_else(wrong)?;
    // Version 0 has bech32's constant, later ones bech32m's.
    if checksum != (if *version == 0 { 1 } else { 0x2bc8_30a3 }) || *version > 16 {
        return Err(wrong());
    }
    let (mut program_bytes, mut bits, mut held) = (Vec::new(), 0u32, 0u32);
    for digit in program {
        (bits, held) = (bits << 5 | u32::from(*digit), held + 5);
        if held >= 8 {
            held -= 8;
            program_bytes.push((bits >> held) as u8);
            bits &= (1 << held) - 1;
        }
    }
    let length = program_bytes.len();
    if held >= 5
        || bits != 0
        || !(2..=40).contains(&length)
        || (*version == 0 && length != 20 && length != 32)
    {
        return Err(wrong());
    }
    let opcode = if *version == 0 { 0 } else { 0x50 + version };
    Ok([[opcode, u8::try_from(length).unwrap_or_default()].as_slice(), &program_bytes].concat())
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
    use millpond_sdk::chain::Setting;
    use millpond_sdk::hex;

    fn network(name: &str) -> Network {
        Network::from_settings(&vec![("network".into(), Setting::Text(name.into()))]).unwrap()
    }

    #[test]
    fn addresses_of_every_kind_become_scripts() {
        for (name, address, script) in [
            (
                "mainnet",
                "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa",
                "76a91462e907b15cbf27d5425399ebf6f0fb50ebb88f1888ac",
            ),
            (
                "mainnet",
                "3P14159f73E4gFr7JterCCQh9QjiTjiZrG",
                "a914e9c3dd0c07aac76179ebc76a6c78d4d67c6c160a87",
            ),
            // BIP 173 and BIP 350
            (
                "mainnet",
                "BC1QW508D6QEJXTDG4Y5R3ZARVARY0C5XW7KV8F3T4",
                "0014751e76e8199196d454941c45d1b3a323f1433bd6",
            ),
            (
                "testnet4",
                "tb1qrp33g0q5c5txsp9arysrx4k6zdkfs4nce4xj0gdcccefvpysxf3q0sl5k7",
                "00201863143c14c5166804bd19203356da136c985678cd4d27a1b8c6329604903262",
            ),
            (
                "mainnet",
                "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqzk5jj0",
                "512079be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798",
            ),
            ("mainnet", "BC1SW50QGDZ25J", "6002751e"),
        ] {
            let payee = resolve(&network(name), &format!("{address}.rig.1")).unwrap();
            assert_eq!(
                (hex::encode(&payee.payee).as_str(), payee.worker.as_str()),
                (script, "rig.1"),
                "{address}"
            );
        }
    }

    #[test]
    fn one_person_in_two_spellings_is_one_payee() {
        let lower = resolve(&network("mainnet"), "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4").unwrap();
        let upper = resolve(&network("mainnet"), "BC1QW508D6QEJXTDG4Y5R3ZARVARY0C5XW7KV8F3T4").unwrap();
        assert_eq!(lower, upper);
    }

    #[test]
    fn wrong_addresses_are_refused() {
        for bad in [
            "",
            "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNb",
            "11A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa",
            "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfN0",
            "zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz",
            "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t5",
            "bc1qW508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4",
            "bc1p38j9r5y49hruaue7wxjce0updqjuyyx0kh56v8s25huc6995vvpql3jow4",
            "bc1pw5dgrnzv",
            "bc1gmk9yu",
            "bc1",
            "mipcBbFg9gMiCh81Kj8tqqdgoZub1ZJRfn",
            "tb1qw508d6qejxtdg4y5r3zarvary0c5xw7kxpjzsx",
        ] {
            assert!(resolve(&network("mainnet"), bad).is_err(), "{bad}");
        }
    }
}
