//! What is hashed: the inputs that the algorithms' chains have, and the public implementations.

use blake_hash::Digest as _;
use sha2::{Digest as _, Sha256};

/// Hashes one input; a public implementation.
type Reference = fn(&[u8]) -> [u8; 32];

/// An algorithm on the input of its chain.
#[derive(Clone, Copy)]
pub struct Case {
    /// The algorithm's name.
    pub name: &'static str,
    /// Bytes of an input.
    pub width: usize,
    /// Bytes of it that all shares of a job have in common.
    pub known: usize,
    /// The key.
    pub key: &'static [u8],
    /// The public crate and its hash; none where no light crate has it.
    pub reference: Option<(&'static str, Reference)>,
}

/// A proof that is valid.
pub(crate) struct Proof {
    pub(crate) name: &'static str,
    pub(crate) input: Vec<u8>,
    pub(crate) proof: Vec<u8>,
}

/// All cases.
#[must_use]
pub fn cases() -> Vec<Case> {
    let case = |name, width, known, reference| Case { name, width, known, key: &[], reference };
    vec![
        case("sha256d", 80, 0, Some(("the sha2 crate", sha256d as Reference))),
        case("scrypt", 80, 0, Some(("the scrypt crate", scrypt))),
        Case { key: &[7; 32], ..case("kheavyhash", 80, 0, None) },
        case("eaglesong", 48, 32, Some(("the eaglesong crate", eaglesong))),
        case("eaglesong-blake2b", 48, 32, Some(("eaglesong, blake2b_simd", eaglesong_blake2b))),
        case("blake3", 180, 0, Some(("the blake3 crate", |input| *blake3::hash(input).as_bytes()))),
        case("blake256", 180, 128, Some(("the blake-hash crate", blake256))),
        case("blake2b-256", 128, 0, Some(("the blake2b_simd crate", blake2b))),
        case(
            "sha3-256",
            136,
            0,
            Some(("the tiny-keccak crate", |input| keccak(tiny_keccak::Sha3::v256(), input))),
        ),
        case(
            "keccak256",
            80,
            0,
            Some(("the tiny-keccak crate", |input| keccak(tiny_keccak::Keccak::v256(), input))),
        ),
    ]
}

fn sha256d(input: &[u8]) -> [u8; 32] {
    Sha256::digest(Sha256::digest(input)).into()
}

/// Without an output, nothing is equal to it: a failure shows as another result.
fn scrypt(input: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    if let Ok(params) = scrypt::Params::new(10, 1, 1)
        && scrypt::scrypt(input, input, &params, &mut out).is_err()
    {
        return [0; 32];
    }
    out
}

fn eaglesong(input: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    eaglesong::eaglesong(input, &mut out);
    out
}

fn eaglesong_blake2b(input: &[u8]) -> [u8; 32] {
    let mut params = blake2b_simd::Params::new();
    cut(&params.hash_length(32).personal(b"ckb-default-hash").hash(&eaglesong(input)))
}

fn blake256(input: &[u8]) -> [u8; 32] {
    blake_hash::Blake256::digest(input).into()
}

fn blake2b(input: &[u8]) -> [u8; 32] {
    cut(&blake2b_simd::Params::new().hash_length(32).hash(input))
}

fn cut(hash: &blake2b_simd::Hash) -> [u8; 32] {
    hash.as_bytes().first_chunk().copied().unwrap_or_default()
}

fn keccak(mut hasher: impl tiny_keccak::Hasher, input: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    hasher.update(input);
    hasher.finalize(&mut out);
    out
}

/// A proof for each verifier, from the vectors of the algorithms' tests.
pub(crate) fn proofs() -> Vec<Proof> {
    let lines = include_str!("../../algorithms/tests/vectors/equihash.txt").lines();
    let mut proofs: Vec<Proof> = Vec::new();
    for name in millpond_algorithms::Algorithms::native_verifiers() {
        let own = lines.clone().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.split_once(' '));
        if let Some((input, proof)) = own
            && let (Ok(input), Ok(proof)) = (hex::decode(input), hex::decode(proof))
        {
            proofs.push(Proof { name, input, proof });
        }
    }
    proofs
}
