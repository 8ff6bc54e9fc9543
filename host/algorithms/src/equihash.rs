//! Equihash: a proof of work that is a solution of the generalised birthday problem, checked by the crate of those who
//! specified it for their chain (Zcash protocol specification, 7.6.1).
//!
//! The hashes of the problem are personalised "ZcashPoW" and the parameters; chains with another personalisation need
//! another verifier.

use crate::Verifier;
use std::sync::Arc;

/// The verifiers' names, in the order of [`all`].
pub(crate) const NAMES: [&str; 2] = ["equihash-200-9", "equihash-144-5"];

pub(crate) fn all() -> Vec<Arc<dyn Verifier>> {
    let [first, second] = NAMES;
    vec![Arc::new(Equihash { name: first, n: 200, k: 9 }), Arc::new(Equihash { name: second, n: 144, k: 5 })]
}

/// Equihash with its parameters: `2^k` hashes of `n` bits.
struct Equihash {
    name: &'static str,
    n: u32,
    k: u32,
}

impl Verifier for Equihash {
    fn name(&self) -> &str {
        self.name
    }

    /// `input` is the header with its nonce, `proof` the solution as headers carry it, without its length: 1,344 bytes
    /// for 200,9 and 100 for 144,5.
    fn verify(&self, input: &[u8], proof: &[u8]) -> bool {
        equihash::is_valid_solution(self.n, self.k, input, &[], proof).is_ok()
    }
}
