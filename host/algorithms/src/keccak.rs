//! SHA3-256, Keccak-256 (the padding of before the standard) and cSHAKE256 with a customisation as its key.

use crate::{Algorithm, AlgorithmError, Context, Cost, Key, Plain, put};
use std::sync::Arc;
use tiny_keccak::{CShake, Keccak, Sha3};

pub(crate) fn all() -> Vec<Arc<dyn Algorithm>> {
    vec![
        Arc::new(Plain { name: "sha3-256", cost: Cost::Light, hash: |input| finish(Sha3::v256(), input) }),
        Arc::new(Plain { name: "keccak256", cost: Cost::Light, hash: |input| finish(Keccak::v256(), input) }),
        Arc::new(CShake256),
    ]
}

/// 32 bytes of cSHAKE256 with an empty function name and this customisation (NIST SP 800-185).
pub(crate) fn cshake256(custom: &[u8], input: &[u8]) -> [u8; 32] {
    finish(CShake::v256(&[], custom), input)
}

fn finish(mut hasher: impl tiny_keccak::Hasher, input: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    hasher.update(input);
    hasher.finalize(&mut out);
    out
}

const NAME: &str = "cshake256";

struct CShake256;

impl Algorithm for CShake256 {
    fn name(&self) -> &str {
        NAME
    }

    fn key(&self) -> Key {
        Key::Cheap
    }

    fn prepare(&self, key: &[u8]) -> Result<Arc<dyn Context>, AlgorithmError> {
        Ok(Arc::new(CShakeContext(CShake::v256(&[], key))))
    }
}

/// The state after the customisation was absorbed, so that a hash starts from there.
struct CShakeContext(CShake);

impl Context for CShakeContext {
    fn hash(&self, input: &[u8], out: &mut [u8]) -> Result<(), AlgorithmError> {
        put(NAME, finish(self.0.clone(), input), out)
    }
}
