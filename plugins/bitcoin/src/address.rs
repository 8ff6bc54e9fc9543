//! Login names `address.worker` to output scripts: base58check, bech32 (BIP 173) and bech32m (BIP 350).

use crate::network::Network;
use millpond_sdk::bech32::{self, BECH32, BECH32M, Program};
use millpond_sdk::chain::{Payee, host};

/// The payee of a login name. What follows the first `.` is the worker.
pub fn resolve(network: &Network, name: &str) -> Result<Payee, String> {
    let (address, worker) = name.split_once('.').unwrap_or((name, ""));
    let (script, address) = if bech32::has_hrp(&network.hrp, address) {
        (witness(network, address)?, address.to_ascii_lowercase())
    } else {
        (base58(network, address)?, address.to_owned())
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

fn witness(network: &Network, address: &str) -> Result<Vec<u8>, String> {
    let wrong = || format!("{address:?} is no address of {}: check it for typing errors", network.name);
    let Program { checksum, version, bytes } = bech32::decode(&network.hrp, address).ok_or_else(wrong)?;
    // Version 0 has bech32's constant, later ones bech32m's.
    let fits = if version == 0 {
        checksum == BECH32 && matches!(bytes.len(), 20 | 32)
    } else {
        checksum == BECH32M && version <= 16
    };
    if !fits {
        return Err(wrong());
    }
    let opcode = if version == 0 { 0 } else { 0x50 + version };
    Ok([[opcode, u8::try_from(bytes.len()).unwrap_or_default()].as_slice(), &bytes].concat())
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
