//! Addresses and the scripts that they stand for: base58check, bech32 (BIP 173) and bech32m (BIP 350).

use crate::Network;
use bitcoin::base58;
use bitcoin::bech32::{Fe32, Hrp, segwit};

/// Longer texts are not looked at. BIP 173 ends at 90.
const MAX_ADDRESS: usize = 100;

/// Why a text is not an address of the network.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum AddressError {
    /// Neither base58check nor bech32, or a typing error that the checksum found.
    #[error("{0:?} is not an address: its characters or its checksum are wrong")]
    Malformed(String),
    /// An address of another network or coin.
    #[error("{address:?} belongs to another network; one that begins like {expected:?} is expected")]
    OtherNetwork {
        /// The address.
        address: String,
        /// The prefix expected.
        expected: String,
    },
    /// A witness version without a meaning yet: money sent there could be taken by anybody.
    #[error("{0:?} has a witness version that has no meaning yet; give an address of an older kind")]
    UnknownWitness(String),
}

/// The script that an address stands for (scriptPubKey).
///
/// # Errors
/// When the text is not an address of this network.
pub fn script_of(address: &str, network: &Network) -> Result<Vec<u8>, AddressError> {
    let shown = || address.chars().take(MAX_ADDRESS).collect::<String>();
    if address.len() > MAX_ADDRESS {
        return Err(AddressError::Malformed(shown()));
    }
    if let Ok((hrp, version, program)) = segwit::decode(address) {
        if hrp.as_str().to_ascii_lowercase() != network.hrp {
            return Err(AddressError::OtherNetwork {
                address: shown(),
                expected: format!("{}1", network.hrp),
            });
        }
        return witness_script(version, &program).ok_or_else(|| AddressError::UnknownWitness(shown()));
    }
    let (version, hash) = base58_hash(address).ok_or_else(|| AddressError::Malformed(shown()))?;
    if network.p2pkh.contains(&version) {
        Ok(key_hash_script(&hash))
    } else if network.p2sh.contains(&version) {
        Ok(script_hash_script(&hash))
    } else {
        let expected = network
            .p2pkh
            .first()
            .map(|version| base58::encode_check(&[&[*version], &hash[..]].concat()).chars().take(1).collect())
            .unwrap_or_else(|| format!("{}1", network.hrp));
        Err(AddressError::OtherNetwork { address: shown(), expected })
    }
}

/// The scripts that an address can stand for by its own bytes, on whatever network of the family: one for bech32, one for
/// base58 whose version byte the named network knows, and two (key hash and script hash) where nobody told what the
/// version byte means. Whoever holds the key of one holds that of no other hash, so none of them is a stranger's.
///
/// # Errors
/// When the text is not an address of this family at all.
pub fn scripts_for(address: &str, network: Option<&Network>) -> Result<Vec<Vec<u8>>, AddressError> {
    let shown = || address.chars().take(MAX_ADDRESS).collect::<String>();
    if address.len() > MAX_ADDRESS {
        return Err(AddressError::Malformed(shown()));
    }
    if let Ok((_, version, program)) = segwit::decode(address) {
        let script =
            witness_script(version, &program).ok_or_else(|| AddressError::UnknownWitness(shown()))?;
        return Ok(vec![script]);
    }
    let (version, hash) = base58_hash(address).ok_or_else(|| AddressError::Malformed(shown()))?;
    Ok(match network {
        Some(network) if network.p2pkh.contains(&version) => vec![key_hash_script(&hash)],
        Some(network) if network.p2sh.contains(&version) => vec![script_hash_script(&hash)],
        _ => vec![key_hash_script(&hash), script_hash_script(&hash)],
    })
}

/// Version byte and hash of a base58check address.
fn base58_hash(address: &str) -> Option<(u8, [u8; 20])> {
    let payload = base58::decode_check(address).ok()?;
    let (version, hash) = payload.split_first()?;
    Some((*version, hash.try_into().ok()?))
}

fn key_hash_script(hash: &[u8; 20]) -> Vec<u8> {
    [&[0x76, 0xa9, 0x14], &hash[..], &[0x88, 0xac]].concat()
}

fn script_hash_script(hash: &[u8; 20]) -> Vec<u8> {
    [&[0xa9, 0x14], &hash[..], &[0x87]].concat()
}

/// Version 0 with 20 or 32 bytes (BIP 141) and version 1 with 32 bytes (BIP 341).
fn witness_script(version: Fe32, program: &[u8]) -> Option<Vec<u8>> {
    let (opcode, length) = match (version.to_u8(), program.len()) {
        (0, 20) => (0x00, 20),
        (0, 32) => (0x00, 32),
        (1, 32) => (0x51, 32),
        _ => return None,
    };
    Some([&[opcode, length], program].concat())
}

/// The address of a script, where the network has one for it.
#[must_use]
pub fn address_of(script: &[u8], network: &Network) -> Option<String> {
    let base58 =
        |version: Option<&u8>, hash: &[u8]| Some(base58::encode_check(&[&[*version?], hash].concat()));
    match script {
        [0x76, 0xa9, 0x14, hash @ .., 0x88, 0xac] if hash.len() == 20 => base58(network.p2pkh.first(), hash),
        [0xa9, 0x14, hash @ .., 0x87] if hash.len() == 20 => base58(network.p2sh.first(), hash),
        [0x00, 20, program @ ..] if program.len() == 20 => bech32(Fe32::Q, program, network),
        [0x00, 32, program @ ..] if program.len() == 32 => bech32(Fe32::Q, program, network),
        [0x51, 32, program @ ..] if program.len() == 32 => bech32(Fe32::P, program, network),
        _ => None,
    }
}

fn bech32(version: Fe32, program: &[u8], network: &Network) -> Option<String> {
    segwit::encode(Hrp::parse(&network.hrp).ok()?, version, program).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn script(address: &str, network: &Network) -> Result<String, AddressError> {
        script_of(address, network).map(hex::encode)
    }

    /// Vectors of BIP 173 and BIP 350, and the genesis block's well-known address.
    #[test]
    fn addresses_of_the_bips_stand_for_their_scripts() {
        let main = Network::mainnet();
        for (address, expected) in [
            ("BC1QW508D6QEJXTDG4Y5R3ZARVARY0C5XW7KV8F3T4", "0014751e76e8199196d454941c45d1b3a323f1433bd6"),
            (
                "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqzk5jj0",
                "512079be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798",
            ),
            ("1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa", "76a91462e907b15cbf27d5425399ebf6f0fb50ebb88f1888ac"),
        ] {
            assert_eq!(script(address, &main).unwrap(), expected);
            let back = address_of(&hex::decode(expected).unwrap(), &main).unwrap();
            assert!(back.eq_ignore_ascii_case(address), "{back}");
        }
        assert_eq!(
            script("tb1qrp33g0q5c5txsp9arysrx4k6zdkfs4nce4xj0gdcccefvpysxf3q0sl5k7", &Network::testnet4())
                .unwrap(),
            "00201863143c14c5166804bd19203356da136c985678cd4d27a1b8c6329604903262"
        );
    }

    #[test]
    fn an_address_of_another_network_is_told_apart_from_a_typing_error() {
        let main = Network::mainnet();
        let other = "tb1qrp33g0q5c5txsp9arysrx4k6zdkfs4nce4xj0gdcccefvpysxf3q0sl5k7";
        assert!(matches!(script(other, &main), Err(AddressError::OtherNetwork { .. })));
        assert!(matches!(
            script("1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa", &Network::litecoin()),
            Err(AddressError::OtherNetwork { expected, .. }) if expected == "L"
        ));
        let typo = "BC1QW508D6QEJXTDG4Y5R3ZARVARY0C5XW7KV8F3T5";
        assert!(matches!(script(typo, &main), Err(AddressError::Malformed(_))));
        assert!(
            matches!(script(&"1".repeat(10_000), &main), Err(AddressError::Malformed(text)) if text.len() == 100)
        );
    }

    /// Vectors of BIP 350: a version-1 program with the older checksum, and a version that has no meaning yet.
    #[test]
    fn a_witness_program_that_anybody_could_spend_is_refused() {
        let main = Network::mainnet();
        assert!(script("bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqh2y7hd", &main).is_err());
        assert!(matches!(script("BC1SW50QGDZ25J", &main), Err(AddressError::UnknownWitness(_))));
    }

    #[test]
    fn bcoins_regtest_has_prefixes_of_its_own() {
        let network = Network::bcoin_regtest();
        let p2pkh = [&[0x76, 0xa9, 0x14][..], &[7; 20], &[0x88, 0xac]].concat();
        assert!(address_of(&p2pkh, &network).unwrap().starts_with('R'));
        assert!(address_of(&[&[0, 20][..], &[7; 20]].concat(), &network).unwrap().starts_with("rb1q"));
    }

    #[test]
    fn an_addresss_own_bytes_leave_no_other_payee_whatever_the_network() {
        let address = "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa";
        let hash = "62e907b15cbf27d5425399ebf6f0fb50ebb88f18";
        let found = |network: Option<&Network>| -> Vec<String> {
            scripts_for(address, network).unwrap().into_iter().map(hex::encode).collect()
        };
        let (key, script) = (format!("76a914{hash}88ac"), format!("a914{hash}87"));
        assert_eq!(found(Some(&Network::mainnet())).join(" "), key);
        for network in [Some(&Network::litecoin()), None] {
            assert_eq!(found(network), [key.as_str(), script.as_str()]);
        }
        let witness = "BC1QW508D6QEJXTDG4Y5R3ZARVARY0C5XW7KV8F3T4";
        let only = scripts_for(witness, None).unwrap();
        assert_eq!(only, [script_of(witness, &Network::mainnet()).unwrap()]);
        assert!(scripts_for("worker1", None).is_err());
    }

    #[test]
    fn litecoins_old_script_addresses_are_read_and_written_new() {
        let network = Network::litecoin();
        let script = [&[0xa9, 0x14][..], &[9; 20], &[0x87]].concat();
        let old = base58::encode_check(&[&[0x05][..], &[9; 20]].concat());
        assert_eq!(script_of(&old, &network).unwrap(), script);
        assert!(address_of(&script, &network).unwrap().starts_with('M'));
    }

    proptest! {
        #[test]
        fn no_text_panics(text in ".{0,120}") {
            let _ = script_of(&text, &Network::mainnet());
        }

        #[test]
        fn what_has_an_address_has_its_script_back(kind in 0..5, bytes: [u8; 32]) {
            let network = Network::regtest();
            let (short, long) = (&bytes[..20], &bytes[..]);
            let script = match kind {
                0 => [&[0x76, 0xa9, 0x14], short, &[0x88, 0xac]].concat(),
                1 => [&[0xa9, 0x14], short, &[0x87]].concat(),
                2 => [&[0, 20], short].concat(),
                3 => [&[0, 32], long].concat(),
                _ => [&[0x51, 32], long].concat(),
            };
            let address = address_of(&script, &network).unwrap();
            prop_assert_eq!(script_of(&address, &network), Ok(script));
        }
    }
}
