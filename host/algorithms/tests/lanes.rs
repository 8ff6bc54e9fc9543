//! Every algorithm of our own computes what the public implementation of it does: for inputs of every length, one by one
//! and in batches of every size, with each choice of the processor's extensions that this machine has.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use millpond_algorithms::{Algorithms, Context, Key, Processor};
use proptest::prelude::*;
use sha2::{Digest as _, Sha256};
use std::sync::Arc;

/// More than two groups of the widest lanes, and some left over.
const MOST: usize = 21;
const KEY: &[u8] = b"ckb-default-hash";

type Reference = fn(&[u8]) -> Vec<u8>;

/// The public implementations. Where an algorithm takes a key, it is [`KEY`].
const REFERENCES: [(&str, Reference); 8] = [
    ("sha256", |input| Sha256::digest(input).to_vec()),
    ("sha256d", |input| Sha256::digest(Sha256::digest(input)).to_vec()),
    ("eaglesong", eaglesong),
    ("eaglesong-blake2b", |input| {
        blake2b_simd::Params::new().hash_length(32).personal(KEY).hash(&eaglesong(input)).as_bytes().to_vec()
    }),
    ("sha3-256", |input| keccak(tiny_keccak::Sha3::v256(), input)),
    ("keccak256", |input| keccak(tiny_keccak::Keccak::v256(), input)),
    ("cshake256", |input| keccak(tiny_keccak::CShake::v256(&[], KEY), input)),
    ("scrypt", |input| {
        let mut out = vec![0; 32];
        scrypt::scrypt(input, input, &scrypt::Params::new(10, 1, 1).unwrap(), &mut out).unwrap();
        out
    }),
];

fn eaglesong(input: &[u8]) -> Vec<u8> {
    let mut out = vec![0; 32];
    eaglesong::eaglesong(input, &mut out);
    out
}

fn keccak(mut hasher: impl tiny_keccak::Hasher, input: &[u8]) -> Vec<u8> {
    let mut out = vec![0; 32];
    hasher.update(input);
    hasher.finalize(&mut out);
    out
}

fn context(processor: Processor, name: &str) -> Arc<dyn Context> {
    let algorithm = Algorithms::native_on(processor).get(name).unwrap();
    // A matrix takes 32 bytes.
    let key = match algorithm.key() {
        Key::None => Vec::new(),
        Key::Cheap => KEY.to_vec(),
        Key::Dear => KEY.repeat(2),
    };
    algorithm.prepare(&key).unwrap()
}

fn one(context: &dyn Context, input: &[u8]) -> Vec<u8> {
    let mut out = vec![0; 32];
    context.hash(input, &mut out).unwrap();
    out
}

/// Inputs that differ in every byte.
fn inputs(width: usize, count: usize, seed: u8) -> Vec<u8> {
    (0..width * count).map(|i| (i as u32).wrapping_mul(0x9e37_79b9).to_be_bytes()[1] ^ seed).collect()
}

#[test]
fn inputs_of_every_length_are_hashed_as_the_public_implementations_do() {
    for processor in Processor::choices() {
        for (name, reference) in REFERENCES {
            let context = context(processor, name);
            let longest = if name == "scrypt" { 140 } else { 420 };
            for len in (0..longest).step_by(if name == "scrypt" { 7 } else { 1 }) {
                let input = inputs(len, 1, 3);
                assert_eq!(one(&*context, &input), reference(&input), "{name} of {len} bytes, {processor}");
            }
        }
    }
}

#[test]
fn batches_of_every_size_and_width_are_hashed_as_the_inputs_alone_are() {
    for processor in Processor::choices() {
        let portable = Algorithms::native_on(Processor::portable());
        for name in portable.names().filter(|name| !matches!(*name, "scrypt" | "blake2b-512")) {
            let (alone, batch) = (context(Processor::portable(), name), context(processor, name));
            for width in [1, 3, 4, 31, 32, 33, 48, 55, 56, 64, 80, 111, 128, 135, 136, 180, 272] {
                let inputs = inputs(width, MOST, width as u8);
                let expected: Vec<u8> = inputs.chunks(width).flat_map(|input| one(&*alone, input)).collect();
                for count in 1..=MOST {
                    let mut out = vec![0; 32 * count];
                    batch.hash_batch(width, &inputs[..width * count], &mut out).unwrap();
                    assert_eq!(out, expected[..32 * count], "{name}: {count} of {width} bytes, {processor}");
                }
            }
        }
    }
}

#[test]
fn scrypt_takes_a_batch_of_any_size() {
    let inputs = inputs(80, MOST, 0);
    let reference = REFERENCES.iter().find(|(name, _)| *name == "scrypt").unwrap().1;
    let expected: Vec<u8> = inputs.chunks(80).flat_map(reference).collect();
    for processor in Processor::choices() {
        let context = context(processor, "scrypt");
        for count in 1..=MOST {
            let mut out = vec![0; 32 * count];
            context.hash_batch(80, &inputs[..80 * count], &mut out).unwrap();
            assert_eq!(out, expected[..32 * count], "{count} inputs, {processor}");
        }
    }
}

#[test]
fn a_batch_whose_lengths_do_not_fit_is_refused_by_every_algorithm() {
    let all = Algorithms::native();
    for name in all.names().filter(|name| *name != "blake2b-512") {
        let context = context(Processor::detected(), name);
        assert!(context.hash_batch(80, &[0; 81], &mut [0; 32]).is_err(), "{name}: an input and a byte");
        assert!(context.hash_batch(80, &[0; 160], &mut [0; 63]).is_err(), "{name}: a byte of output too few");
        assert!(context.hash_batch(80, &[0; 160], &mut [0; 96]).is_err(), "{name}: an output too many");
        assert!(context.hash_batch(80, &[], &mut []).is_ok(), "{name}: nothing");
        let mut out = [0; 32];
        context.hash_batch(0, &[], &mut out).unwrap();
        assert_eq!(out[..], one(&*context, &[]), "{name}: the empty input");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// What a job knows is taken ahead, at any place of the input and more than once; its shares come in batches.
    #[test]
    fn a_beginning_taken_ahead_changes_no_hash_of_a_batch(
        beginning in proptest::collection::vec(any::<u8>(), 0..300), cut in any::<prop::sample::Index>(),
        shares in proptest::collection::vec(any::<[u8; 16]>(), 1..MOST), width in 1_usize..=16,
    ) {
        let rests: Vec<u8> = shares.iter().flat_map(|share| &share[..width]).copied().collect();
        for processor in Processor::choices() {
            for name in Algorithms::native_on(processor).names().filter(|name| !matches!(*name, "scrypt" | "blake2b-512")) {
                let whole = context(processor, name);
                let expected: Vec<u8> =
                    rests.chunks(width).flat_map(|rest| one(&*whole, &[&beginning[..], rest].concat())).collect();
                let (mut ahead, mut taken) = (Arc::clone(&whole), 0);
                for end in [cut.index(beginning.len() + 1), beginning.len()] {
                    if let Some((more, further)) = ahead.ahead(&beginning[taken.min(end)..end]) {
                        (ahead, taken) = (further, taken + more);
                    }
                }
                let inputs: Vec<u8> =
                    rests.chunks(width).flat_map(|rest| [&beginning[taken..], rest].concat()).collect();
                let mut out = vec![0; expected.len()];
                ahead.hash_batch(beginning.len() - taken + width, &inputs, &mut out).unwrap();
                prop_assert_eq!(out, expected, "{}, {}", name, processor);
            }
        }
    }

    #[test]
    fn random_inputs_are_hashed_as_the_public_implementations_do(
        input in proptest::collection::vec(any::<u8>(), 1..400), count in 1..MOST,
    ) {
        let (width, count) = ((input.len() / count).max(1), count.min(input.len()));
        let inputs = &input[..width * count];
        for processor in Processor::choices() {
            for (name, reference) in REFERENCES.iter().filter(|(name, _)| *name != "scrypt") {
                let mut out = vec![0; 32 * count];
                context(processor, name).hash_batch(width, inputs, &mut out).unwrap();
                let expected: Vec<u8> = inputs.chunks(width).flat_map(reference).collect();
                prop_assert_eq!(out, expected, "{}: {} of {} bytes, {}", name, count, width, processor);
            }
        }
    }
}
