//! Ed25519 keys and signatures. A signature stands for a hash of 32 bytes that names what it is about.

use crate::text;
use ed25519_dalek::{Signer as _, SigningKey, VerifyingKey};
use millpond_types::Digest;
use std::fmt;

text::fixed! {
    /// A pool's public key.
    PublicKey[32] is "a public key is 32 bytes";
    /// A signature.
    Signature[64] is "a signature is 64 bytes";
}

/// A signature is not that of the key over this.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the signature is not that of the key {key}: the document was changed, or the key is not the one that signed it"
)]
pub struct SignatureError {
    /// The key that should have signed.
    pub key: PublicKey,
}

/// What signs. It is not shown, and forgotten in memory when it goes.
pub struct Signer(SigningKey);

impl Signer {
    /// From a seed of 32 random bytes.
    #[must_use]
    pub fn new(seed: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(seed))
    }

    /// The public key.
    #[must_use]
    pub fn key(&self) -> PublicKey {
        PublicKey(self.0.verifying_key().to_bytes())
    }

    pub(crate) fn sign(&self, hash: &Digest) -> Signature {
        Signature(self.0.sign(&hash.0).to_bytes())
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signer({})", self.key())
    }
}

/// Verifies strictly: keys and points of small order and encodings that are not the one form are refused, so that no two
/// verifiers disagree about a signature.
pub(crate) fn verify(key: &PublicKey, hash: &Digest, signature: &Signature) -> Result<(), SignatureError> {
    let signature = ed25519_dalek::Signature::from_bytes(&signature.0);
    VerifyingKey::from_bytes(&key.0)
        .and_then(|verifying| verifying.verify_strict(&hash.0, &signature))
        .map_err(|_| SignatureError { key: *key })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_key_of_rfc_8032() {
        // RFC 8032, 7.1, test 1.
        let seed =
            Digest::from_hex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60").unwrap();
        let key = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
        assert_eq!(Signer::new(&seed.0).key(), PublicKey::from_hex(key).unwrap());
    }

    #[test]
    fn a_signature_is_good_for_its_hash_and_its_key_alone() {
        let (signer, other) = (Signer::new(&[1; 32]), Signer::new(&[2; 32]));
        let hash = Digest::of(b"a head");
        let signature = signer.sign(&hash);
        assert_eq!(verify(&signer.key(), &hash, &signature), Ok(()));
        assert!(verify(&signer.key(), &Digest::of(b"another"), &signature).is_err());
        assert!(verify(&other.key(), &hash, &signature).is_err());
        for bit in 0..512 {
            let mut flipped = signature;
            flipped.0[bit / 8] ^= 1 << (bit % 8);
            assert!(verify(&signer.key(), &hash, &flipped).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn a_key_of_small_order_signs_nothing() {
        // The neutral point as key and as R with s = 0 is a signature of everything where small orders are let in.
        let mut neutral = [0; 32];
        neutral[0] = 1;
        let mut signature = [0; 64];
        signature[0] = 1;
        assert!(verify(&PublicKey(neutral), &Digest::of(b"all"), &Signature(signature)).is_err());
    }

    #[test]
    fn a_signer_does_not_show_its_seed() {
        let shown = format!("{:?}", Signer::new(&[0xab; 32]));
        assert!(!shown.contains("abab"), "{shown}");
    }
}
