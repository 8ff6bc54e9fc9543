//! Messages signed by an address: how a miner proves that a change of his settings is his.
//!
//! Two forms are taken. The older one of `signmessage` (65 bytes with key recovery; BIP 137 for the header byte), for
//! P2PKH, P2WPKH and P2SH-P2WPKH; wallets write segwit signatures with the header of P2PKH as well, so the header's
//! kind is not held against them: the recovered key must hash to the address. And the "simple" form of BIP 322, for
//! P2WPKH and for P2TR by its key. bcoin's `signmessage` differs from everybody's: a DER signature over magic and message
//! without their lengths; it is taken too, by any of the keys that it may be recovered to.

use crate::{AddressError, Network, base64, script_of};
use bitcoin::absolute::LockTime;
use bitcoin::consensus::encode;
use bitcoin::hashes::{Hash, HashEngine, hash160, sha256, sha256d};
use bitcoin::key::Secp256k1;
use bitcoin::opcodes::all::OP_RETURN;
use bitcoin::secp256k1::ecdsa::{RecoverableSignature, RecoveryId};
use bitcoin::secp256k1::{self, Message, XOnlyPublicKey};
use bitcoin::sighash::{EcdsaSighashType, Prevouts, SighashCache, TapSighashType};
use bitcoin::transaction::Version;
use bitcoin::{Amount, OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxOut, Txid, Witness};

/// Bytes of a message that are looked at.
const MAX_MESSAGE: usize = 16 * 1024;
/// Characters of a signature that are looked at.
const MAX_SIGNATURE: usize = 1024;

/// Why a message does not count as signed by the address.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum MessageError {
    /// The address itself.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// Not base64, or of a length that no wallet writes.
    #[error("the signature is not one: base64 of 65 bytes, or of a witness as BIP 322 has it, is expected")]
    Malformed,
    /// A message or signature beyond the limits.
    #[error("the message or its signature is too long")]
    TooLong,
    /// An address that cannot be checked here.
    #[error("messages of this kind of address cannot be checked; use a P2PKH, P2WPKH or P2TR address")]
    Unsupported,
    /// A signature by another key, or of another message.
    #[error("the signature is not by this address, or the message is not the one that was signed")]
    Wrong,
}

/// Checks that `signature` (base64) over `message` was made by the key of `address`.
///
/// # Errors
/// When it was not, or cannot be checked.
pub fn verify(address: &str, message: &str, signature: &str, network: &Network) -> Result<(), MessageError> {
    verify_script(&script_of(address, network)?, message, signature, &network.message_magic)
}

/// As [`verify`], for the address's output script and what wallets of its network put before a message.
///
/// # Errors
/// When it was not, or cannot be checked.
pub fn verify_script(script: &[u8], message: &str, signature: &str, magic: &str) -> Result<(), MessageError> {
    if message.len() > MAX_MESSAGE || signature.len() > MAX_SIGNATURE {
        return Err(MessageError::TooLong);
    }
    let signature = base64::decode(signature.trim()).ok_or(MessageError::Malformed)?;
    if let Ok(signature) = <[u8; 65]>::try_from(signature.as_slice()) {
        return verify_legacy(script, message, signature, magic);
    }
    match secp256k1::ecdsa::Signature::from_der(&signature) {
        Ok(signature) => verify_der(script, message, signature, magic),
        Err(_) => verify_bip322(ScriptBuf::from_bytes(script.to_vec()), message, &signature),
    }
}

fn verify_legacy(script: &[u8], message: &str, signature: [u8; 65], magic: &str) -> Result<(), MessageError> {
    let (header, compact) = signature.split_first().ok_or(MessageError::Malformed)?;
    // BIP 137: 27 to 30 P2PKH uncompressed, 31 to 34 compressed, 35 to 38 P2SH-P2WPKH, 39 to 42 P2WPKH.
    let kind = header.checked_sub(27).filter(|kind| *kind < 16).ok_or(MessageError::Malformed)?;
    let recovery = RecoveryId::from_i32(i32::from(kind & 3)).map_err(|_| MessageError::Malformed)?;
    let recoverable =
        RecoverableSignature::from_compact(compact, recovery).map_err(|_| MessageError::Malformed)?;
    let digest = Message::from_digest(legacy_digest(message, magic));
    let key = Secp256k1::verification_only()
        .recover_ecdsa(&digest, &recoverable)
        .map_err(|_| MessageError::Wrong)?;
    signed_by(script, &key, kind < 4)
}

/// bcoin's form: the key is one of the four that a signature may be recovered to.
fn verify_der(
    script: &[u8],
    message: &str,
    signature: secp256k1::ecdsa::Signature,
    magic: &str,
) -> Result<(), MessageError> {
    let digest = sha256d::Hash::hash(&[magic.as_bytes(), message.as_bytes()].concat()).to_byte_array();
    let digest = Message::from_digest(digest);
    let (verifier, compact) = (Secp256k1::verification_only(), signature.serialize_compact());
    let mut outcome = Err(MessageError::Wrong);
    for id in 0..4 {
        let recovered = RecoveryId::from_i32(id)
            .and_then(|id| RecoverableSignature::from_compact(&compact, id))
            .and_then(|signature| verifier.recover_ecdsa(&digest, &signature));
        let Ok(key) = recovered else { continue };
        outcome = signed_by(script, &key, false).or_else(|_| signed_by(script, &key, true));
        if outcome.is_ok() {
            break;
        }
    }
    outcome
}

/// Whether a script pays a key by its hash.
fn signed_by(script: &[u8], key: &secp256k1::PublicKey, uncompressed: bool) -> Result<(), MessageError> {
    let compressed = hash160::Hash::hash(&key.serialize()).to_byte_array();
    let signer_is = |hash: &[u8], own: [u8; 20]| if hash == own { Ok(()) } else { Err(MessageError::Wrong) };
    match script {
        [0x76, 0xa9, 0x14, hash @ .., 0x88, 0xac] if uncompressed => {
            signer_is(hash, hash160::Hash::hash(&key.serialize_uncompressed()).to_byte_array())
        }
        [0x76, 0xa9, 0x14, hash @ .., 0x88, 0xac] => signer_is(hash, compressed),
        [0x00, 20, hash @ ..] => signer_is(hash, compressed),
        [0xa9, 0x14, hash @ .., 0x87] => {
            let redeem = [&[0x00, 20], &compressed[..]].concat();
            signer_is(hash, hash160::Hash::hash(&redeem).to_byte_array())
        }
        _ => Err(MessageError::Unsupported),
    }
}

/// Double SHA-256 of magic and message, each with its length before it.
fn legacy_digest(message: &str, magic: &str) -> [u8; 32] {
    let mut engine = sha256d::Hash::engine();
    for text in [magic, message] {
        engine.input(&encode::serialize(&encode::VarInt::from(text.len())));
        engine.input(text.as_bytes());
    }
    sha256d::Hash::from_engine(engine).to_byte_array()
}

/// BIP 322, "simple": the signature is the witness of a transaction that would spend the address's script.
fn verify_bip322(script: ScriptBuf, message: &str, signature: &[u8]) -> Result<(), MessageError> {
    let witness: Witness = encode::deserialize(signature).map_err(|_| MessageError::Malformed)?;
    let spent = TxOut { value: Amount::ZERO, script_pubkey: script };
    let to_sign = bip322_to_sign(&spent, message);
    let mut sighashes = SighashCache::new(&to_sign);
    let items: Vec<&[u8]> = witness.iter().collect();
    let verifier = Secp256k1::verification_only();
    match (spent.script_pubkey.as_bytes(), items.as_slice()) {
        ([0x00, 20, hash @ ..], [signature, key]) => {
            // BIP 322 asks for SIGHASH_ALL.
            let (kind, der) = signature.split_last().ok_or(MessageError::Malformed)?;
            if u32::from(*kind) != EcdsaSighashType::All.to_u32() {
                return Err(MessageError::Wrong);
            }
            let der = secp256k1::ecdsa::Signature::from_der(der).map_err(|_| MessageError::Malformed)?;
            let digest = sighashes
                .p2wpkh_signature_hash(0, &spent.script_pubkey, spent.value, EcdsaSighashType::All)
                .map_err(|_| MessageError::Wrong)?;
            if key.len() != 33 || hash160::Hash::hash(key).to_byte_array() != *hash {
                return Err(MessageError::Wrong);
            }
            let key = secp256k1::PublicKey::from_slice(key).map_err(|_| MessageError::Malformed)?;
            let digest = Message::from_digest(digest.to_byte_array());
            verifier.verify_ecdsa(&digest, &der, &key).map_err(|_| MessageError::Wrong)
        }
        ([0x51, 32, key @ ..], [signature]) => {
            // BIP 341: 64 bytes sign everything; BIP 322 allows SIGHASH_ALL besides.
            let (signature, kind) = match signature.split_last_chunk::<64>() {
                Some(([], _)) => (*signature, TapSighashType::Default),
                _ => match signature.split_last() {
                    Some((1, signature)) => (signature, TapSighashType::All),
                    _ => return Err(MessageError::Malformed),
                },
            };
            let signature =
                secp256k1::schnorr::Signature::from_slice(signature).map_err(|_| MessageError::Malformed)?;
            let digest = sighashes
                .taproot_key_spend_signature_hash(0, &Prevouts::All(&[&spent]), kind)
                .map_err(|_| MessageError::Wrong)?;
            let key = XOnlyPublicKey::from_slice(key).map_err(|_| MessageError::Wrong)?;
            let digest = Message::from_digest(digest.to_byte_array());
            verifier.verify_schnorr(&signature, &digest, &key).map_err(|_| MessageError::Wrong)
        }
        ([0x00, 20, ..] | [0x51, 32, ..], _) => Err(MessageError::Malformed),
        _ => Err(MessageError::Unsupported),
    }
}

/// The virtual transaction `to_spend` of BIP 322 for a script and a message.
fn bip322_to_spend(script: &ScriptBuf, message: &str) -> Transaction {
    let tag = sha256::Hash::hash(b"BIP0322-signed-message").to_byte_array();
    let mut engine = sha256::Hash::engine();
    for part in [&tag[..], &tag[..], message.as_bytes()] {
        engine.input(part);
    }
    let digest = sha256::Hash::from_engine(engine).to_byte_array();
    Transaction {
        version: Version(0),
        lock_time: LockTime::ZERO,
        input: vec![TxIn {
            previous_output: OutPoint { txid: Txid::all_zeros(), vout: u32::MAX },
            script_sig: ScriptBuf::from_bytes([&[0x00, 0x20], &digest[..]].concat()),
            sequence: Sequence(0),
            witness: Witness::new(),
        }],
        output: vec![TxOut { value: Amount::ZERO, script_pubkey: script.clone() }],
    }
}

fn bip322_to_sign(spent: &TxOut, message: &str) -> Transaction {
    let to_spend = bip322_to_spend(&spent.script_pubkey, message);
    Transaction {
        version: Version(0),
        lock_time: LockTime::ZERO,
        input: vec![TxIn {
            previous_output: OutPoint { txid: to_spend.compute_txid(), vout: 0 },
            script_sig: ScriptBuf::new(),
            sequence: Sequence(0),
            witness: Witness::new(),
        }],
        output: vec![TxOut {
            value: Amount::ZERO,
            script_pubkey: ScriptBuf::from_bytes(vec![OP_RETURN.to_u8()]),
        }],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SEGWIT: &str = "bc1q9vza2e8x573nczrlzms0wvx3gsqjx7vavgkx0l";

    /// The vectors of BIP 322, "Message hashing" and "Test vectors".
    #[test]
    fn the_signatures_of_bip_322_are_accepted() {
        let main = Network::mainnet();
        let script = ScriptBuf::from_bytes(script_of(SEGWIT, &main).unwrap());
        for (message, txid, signature) in [
            (
                "",
                "c5680aa69bb8d860bf82d4e9cd3504b55dde018de765a91bb566283c545a99a7",
                "AkcwRAIgM2gBAQqvZX15ZiysmKmQpDrG83avLIT492QBzLnQIxYCIBaTpOaD20qRlEylyxFSeEA2ba9YOixpX8z46TSDtS40ASEC\
                 x/EgAxlkQpQ9hYjgGu6EBCPMVPwVIVJqO4XCsMvViHI=",
            ),
            (
                "Hello World",
                "b79d196740ad5217771c1098fc4a4b51e0535c32236c71f1ea4d61a2d603352b",
                "AkcwRAIgZRfIY3p7/DoVTty6YZbWS71bc5Vct9p9Fia83eRmw2QCICK/ENGfwLtptFluMGs2KsqoNSk89pO7F29zJLUx9a/sASEC\
                 x/EgAxlkQpQ9hYjgGu6EBCPMVPwVIVJqO4XCsMvViHI=",
            ),
        ] {
            assert_eq!(bip322_to_spend(&script, message).compute_txid().to_string(), txid);
            assert_eq!(verify(SEGWIT, message, signature, &main), Ok(()));
            assert_eq!(verify(SEGWIT, "another message", signature, &main), Err(MessageError::Wrong));
        }
    }

    /// Made by bcoin 1.0.2's wallet on regtest: `signmessage`.
    #[test]
    fn a_message_that_bcoin_signed_counts() {
        let network = Network::bcoin_regtest();
        let address = "RHq5rBMXDfJbEznnXVCGBo1MumxorhXBhe";
        let message =
            "Millpond pool btc on regtest: pay RHq5rBMXDfJbEznnXVCGBo1MumxorhXBhe from 250000 base units on.";
        let signature = "MEQCIE2JSriq9zwhD15EqPGwnAKtRCWfS+rkNDwj6ssYftIPAiAcAqDMCxGr3JIpdY+Uu1GSJJ9Qcuu4cYHELaLeUX+08w==";
        assert_eq!(verify(address, message, signature, &network), Ok(()));
        let altered = message.replace("250000", "250001");
        assert_eq!(verify(address, &altered, signature, &network), Err(MessageError::Wrong));
        let litecoin = Network::lcoin_regtest();
        assert_eq!(verify(address, message, signature, &litecoin), Err(MessageError::Wrong));
    }

    fn signed(message: &str, header: u8, magic: &str) -> (secp256k1::PublicKey, String) {
        let secp = Secp256k1::new();
        let key = secp256k1::SecretKey::from_slice(&[0x11; 32]).unwrap();
        let digest = Message::from_digest(legacy_digest(message, magic));
        let (id, compact) = secp.sign_ecdsa_recoverable(&digest, &key).serialize_compact();
        let bytes = [&[header + u8::try_from(id.to_i32()).unwrap()], &compact[..]].concat();
        (key.public_key(&secp), base64_of(&bytes))
    }

    fn base64_of(bytes: &[u8]) -> String {
        let alphabet: Vec<char> = ('A'..='Z').chain('a'..='z').chain('0'..='9').chain(['+', '/']).collect();
        bytes
            .chunks(3)
            .flat_map(|group| {
                let word =
                    group.iter().fold(0_usize, |w, b| w << 8 | usize::from(*b)) << (8 * (3 - group.len()));
                let digits = group.len() + 1;
                let alphabet = &alphabet;
                (0..4).map(move |n| if n < digits { alphabet[word >> (18 - 6 * n) & 63] } else { '=' })
            })
            .collect()
    }

    #[test]
    fn a_signed_message_counts_for_each_address_of_its_key_and_for_no_other() {
        let main = Network::mainnet();
        for header in [31, 35, 39] {
            let (key, signature) = signed("minimum payout 5", header, &main.message_magic);
            let hash = hash160::Hash::hash(&key.serialize()).to_byte_array();
            let nested = hash160::Hash::hash(&[&[0, 20][..], &hash].concat()).to_byte_array();
            for script in [
                [&[0x76, 0xa9, 0x14][..], &hash, &[0x88, 0xac]].concat(),
                [&[0, 20][..], &hash].concat(),
                [&[0xa9, 0x14][..], &nested, &[0x87]].concat(),
            ] {
                let address = crate::address_of(&script, &main).unwrap();
                assert_eq!(verify(&address, "minimum payout 5", &signature, &main), Ok(()), "{address}");
                assert_eq!(verify(&address, "minimum payout 6", &signature, &main), Err(MessageError::Wrong));
            }
            assert_eq!(verify(SEGWIT, "minimum payout 5", &signature, &main), Err(MessageError::Wrong));
        }
    }

    #[test]
    fn an_uncompressed_key_has_an_address_of_its_own() {
        let main = Network::mainnet();
        let (key, signature) = signed("x", 27, &main.message_magic);
        let hash = hash160::Hash::hash(&key.serialize_uncompressed()).to_byte_array();
        let address =
            crate::address_of(&[&[0x76, 0xa9, 0x14][..], &hash, &[0x88, 0xac]].concat(), &main).unwrap();
        assert_eq!(verify(&address, "x", &signature, &main), Ok(()));
    }

    #[test]
    fn a_signature_made_for_another_coin_does_not_count() {
        let (key, signature) = signed("x", 31, &Network::litecoin().message_magic);
        let hash = hash160::Hash::hash(&key.serialize()).to_byte_array();
        let script = [&[0, 20][..], &hash].concat();
        let litecoin = crate::address_of(&script, &Network::litecoin()).unwrap();
        let bitcoin = crate::address_of(&script, &Network::mainnet()).unwrap();
        assert_eq!(verify(&litecoin, "x", &signature, &Network::litecoin()), Ok(()));
        assert_eq!(verify(&bitcoin, "x", &signature, &Network::mainnet()), Err(MessageError::Wrong));
    }

    #[test]
    fn a_taproot_address_signs_by_its_key() {
        let secp = Secp256k1::new();
        let pair = secp256k1::Keypair::from_seckey_slice(&secp, &[0x22; 32]).unwrap();
        let key = pair.x_only_public_key().0.serialize();
        let script = ScriptBuf::from_bytes([&[0x51, 32], &key[..]].concat());
        let address = crate::address_of(script.as_bytes(), &Network::mainnet()).unwrap();
        let spent = TxOut { value: Amount::ZERO, script_pubkey: script };
        let to_sign = bip322_to_sign(&spent, "hello");
        let digest = SighashCache::new(&to_sign)
            .taproot_key_spend_signature_hash(0, &Prevouts::All(&[&spent]), TapSighashType::Default)
            .unwrap();
        let signature = secp.sign_schnorr_no_aux_rand(&Message::from_digest(digest.to_byte_array()), &pair);
        let text = base64_of(&encode::serialize(&Witness::from_slice(&[signature.serialize()])));
        assert_eq!(verify(&address, "hello", &text, &Network::mainnet()), Ok(()));
        assert_eq!(verify(&address, "hullo", &text, &Network::mainnet()), Err(MessageError::Wrong));
    }

    proptest! {
        #[test]
        fn no_signature_panics(bytes in proptest::collection::vec(any::<u8>(), 0..120), message in ".{0,20}") {
            for address in [SEGWIT, "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa"] {
                prop_assert!(verify(address, &message, &base64_of(&bytes), &Network::mainnet()).is_err());
            }
        }
    }
}
