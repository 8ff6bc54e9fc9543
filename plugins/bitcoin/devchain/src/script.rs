//! Whether an input may spend what it spends.
//!
//! Only the kinds that a pool and its tests meet are here: P2PKH, P2WPKH and P2TR by its key. Anything else cannot be
//! spent on this chain, which is said in the reason.

use bitcoin::hashes::{Hash, hash160};
use bitcoin::key::Secp256k1;
use bitcoin::script::Instruction;
use bitcoin::secp256k1::{self, Message, VerifyOnly, XOnlyPublicKey};
use bitcoin::sighash::{EcdsaSighashType, Prevouts, SighashCache, TapSighashType};
use bitcoin::{Script, Transaction, TxOut};

/// Why an input may not spend, as Core's interpreter words it.
pub(crate) type Refused = &'static str;

const BAD_SIGNATURE: Refused =
    "Script evaluated without error but finished with a false/empty top stack element";
const BAD_ENCODING: Refused = "Non-canonical DER signature";
const MISMATCH: Refused = "Witness program hash mismatch";
const MALLEATED: Refused = "Witness requires empty scriptSig";
const NOT_EQUAL: Refused = "Script failed an OP_EQUALVERIFY operation";
const UNKNOWN: Refused = "the development chain spends P2PKH, P2WPKH and P2TR (by key) only";

/// Checks all inputs of a transaction; `spent` are the outputs that they spend, in order.
pub(crate) fn verify(tx: &Transaction, spent: &[TxOut], secp: &Secp256k1<VerifyOnly>) -> Result<(), Refused> {
    let mut sighashes = SighashCache::new(tx);
    for (index, (input, output)) in tx.input.iter().zip(spent).enumerate() {
        let script = &output.script_pubkey;
        if script.is_p2wpkh() {
            if !input.script_sig.is_empty() {
                return Err(MALLEATED);
            }
            let items: Vec<&[u8]> = input.witness.iter().collect();
            let [signature, key] = items.as_slice() else { return Err(MISMATCH) };
            key_has_hash(key, script.as_bytes().get(2..22), MISMATCH)?;
            let (signature, kind) = ecdsa(signature)?;
            let kind = EcdsaSighashType::from_consensus(kind);
            let digest = sighashes
                .p2wpkh_signature_hash(index, script, output.value, kind)
                .map_err(|_| BAD_SIGNATURE)?
                .to_byte_array();
            verify_ecdsa(secp, digest, &signature, key)?;
        } else if script.is_p2pkh() {
            let (signature, key) = two_pushes(&input.script_sig).ok_or(BAD_SIGNATURE)?;
            key_has_hash(key, script.as_bytes().get(3..23), NOT_EQUAL)?;
            let (signature, kind) = ecdsa(signature)?;
            let digest = sighashes.legacy_signature_hash(index, script, kind).map_err(|_| BAD_SIGNATURE)?;
            verify_ecdsa(secp, digest.to_byte_array(), &signature, key)?;
        } else if script.is_p2tr() {
            if !input.script_sig.is_empty() {
                return Err(MALLEATED);
            }
            let items: Vec<&[u8]> = input.witness.iter().collect();
            let [signature] = items.as_slice() else { return Err(UNKNOWN) };
            let (signature, kind) = match (signature.len(), signature.split_last()) {
                (64, _) => (*signature, TapSighashType::Default),
                (65, Some((kind, signature))) => {
                    let kind =
                        TapSighashType::from_consensus_u8(*kind).map_err(|_| "Invalid Schnorr signature")?;
                    (signature, kind)
                }
                _ => return Err("Invalid Schnorr signature size"),
            };
            let digest = sighashes
                .taproot_key_spend_signature_hash(index, &Prevouts::All(spent), kind)
                .map_err(|_| "Invalid Schnorr signature")?;
            let key = script.as_bytes().get(2..34).unwrap_or_default();
            let key = XOnlyPublicKey::from_slice(key).map_err(|_| BAD_SIGNATURE)?;
            let signature =
                secp256k1::schnorr::Signature::from_slice(signature).map_err(|_| BAD_SIGNATURE)?;
            secp.verify_schnorr(&signature, &Message::from_digest(digest.to_byte_array()), &key)
                .map_err(|_| "Invalid Schnorr signature")?;
        } else {
            return Err(UNKNOWN);
        }
    }
    Ok(())
}

fn two_pushes(script: &Script) -> Option<(&[u8], &[u8])> {
    let mut pushes = script.instructions();
    let (first, second) = (pushes.next()?.ok()?, pushes.next()?.ok()?);
    match (first, second, pushes.next()) {
        (Instruction::PushBytes(first), Instruction::PushBytes(second), None) => {
            Some((first.as_bytes(), second.as_bytes()))
        }
        _ => None,
    }
}

fn key_has_hash(key: &[u8], hash: Option<&[u8]>, otherwise: Refused) -> Result<(), Refused> {
    if Some(&hash160::Hash::hash(key).as_byte_array()[..]) == hash { Ok(()) } else { Err(otherwise) }
}

/// A DER signature and the byte of its sighash type behind it.
fn ecdsa(signature: &[u8]) -> Result<(secp256k1::ecdsa::Signature, u32), Refused> {
    let (kind, der) = signature.split_last().ok_or(BAD_SIGNATURE)?;
    let mut signature = secp256k1::ecdsa::Signature::from_der(der).map_err(|_| BAD_ENCODING)?;
    // The library verifies only the lower of the two equal signatures; consensus takes both.
    signature.normalize_s();
    Ok((signature, u32::from(*kind)))
}

fn verify_ecdsa(
    secp: &Secp256k1<VerifyOnly>,
    digest: [u8; 32],
    signature: &secp256k1::ecdsa::Signature,
    key: &[u8],
) -> Result<(), Refused> {
    let key = secp256k1::PublicKey::from_slice(key).map_err(|_| BAD_SIGNATURE)?;
    secp.verify_ecdsa(&Message::from_digest(digest), signature, &key).map_err(|_| BAD_SIGNATURE)
}
