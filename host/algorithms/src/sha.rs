//! SHA-256, single and double.

use crate::{Algorithm, Cost, Plain};
use sha2::{Digest as _, Sha256};
use std::sync::Arc;

pub(crate) fn all() -> Vec<Arc<dyn Algorithm>> {
    vec![
        Arc::new(Plain { name: "sha256", cost: Cost::Light, hash: sha256 }),
        Arc::new(Plain { name: "sha256d", cost: Cost::Light, hash: sha256d }),
    ]
}

fn sha256(input: &[u8]) -> [u8; 32] {
    Sha256::digest(input).into()
}

/// SHA-256 of SHA-256.
fn sha256d(input: &[u8]) -> [u8; 32] {
    sha256(&sha256(input))
}
