//! Eaglesong (RFC 0010 of its chain), alone and followed by a personalised BLAKE2b.

use crate::{Algorithm, Cost, Plain, blake};
use std::sync::Arc;

pub(crate) fn all() -> Vec<Arc<dyn Algorithm>> {
    vec![
        Arc::new(Plain { name: "eaglesong", cost: Cost::Light, hash: eaglesong }),
        Arc::new(Plain { name: "eaglesong-blake2b", cost: Cost::Light, hash: eaglesong_blake2b }),
    ]
}

fn eaglesong(input: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    eaglesong::eaglesong(input, &mut out);
    out
}

/// BLAKE2b-256 personalised "ckb-default-hash" of Eaglesong.
fn eaglesong_blake2b(input: &[u8]) -> [u8; 32] {
    blake::blake2b_256_personal(b"ckb-default-hash", &eaglesong(input))
}
