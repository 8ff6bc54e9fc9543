//! Published vectors of every algorithm, and promises that hold for all of them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use millpond_algorithms::{AlgorithmError, Algorithms, Key, MAX_OUTPUT};
use proptest::prelude::*;

fn run(name: &str, key: &[u8], input: &[u8]) -> String {
    let algorithm = Algorithms::native().get(name).unwrap_or_else(|| panic!("no {name}"));
    let mut out = vec![0; algorithm.output_len()];
    algorithm.prepare(key).unwrap().hash(input, &mut out).unwrap();
    hex::encode(out)
}

fn reversed(text: &str) -> String {
    hex::encode(hex::decode(text).unwrap().into_iter().rev().collect::<Vec<_>>())
}

#[test]
fn sha256_and_sha256d() {
    // FIPS 180-2, and the header of Bitcoin's block 0.
    assert_eq!(
        run("sha256", &[], b"abc"),
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    );
    let genesis = "0100000000000000000000000000000000000000000000000000000000000000000000003ba3edfd7a7b12b27ac72c3e\
                   67768f617fc81bc3888a51323a9fb8aa4b1e5e4a29ab5f49ffff001d1dac2b7c";
    assert_eq!(
        reversed(&run("sha256d", &[], &hex::decode(genesis).unwrap())),
        "000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f"
    );
}

#[test]
fn sha256_agrees_with_the_crates_own_padding_at_every_length() {
    use sha2::Digest as _;
    for len in 0..300 {
        let input: Vec<u8> = (0..len).map(|i| i as u8).collect();
        let expected = sha2::Sha256::digest(&input);
        assert_eq!(run("sha256", &[], &input), hex::encode(expected), "{len}");
        assert_eq!(run("sha256d", &[], &input), hex::encode(sha2::Sha256::digest(expected)), "{len}");
    }
}

#[test]
fn scrypt_of_a_litecoin_header() {
    // Litecoin block 29255, the vector of the scrypt.c tests (litecoin src/test/scrypt_tests.cpp).
    let header = "020000004c1271c211717198227392b029a64a7971931d351b387bb80db027f270411e398a07046f7d4a08dd815412a8712f8\
                  74a7ebf0507e3878bd24e20a3b73fd750a667d2f451eac7471b00de6659";
    assert_eq!(
        reversed(&run("scrypt", &[], &hex::decode(header).unwrap())),
        "00000000002bef4107f882f6115e0b01f348d21195dacd3582aa2dabd7985806"
    );
}

#[test]
fn blake2b_256_plain_keyed_and_personalised() {
    assert_eq!(
        run("blake2b-256", &[], b""),
        "0e5751c026e543b2e8ab2eb06099daa1d1e5df47778f7787faab45cdf12fe3a8"
    );
    // RFC 7693, appendix A.
    assert_eq!(
        run("blake2b-512", &[], b"abc"),
        "ba80a53f981c4d0d6a2797b69f12f6e94c212f14685ac4b74b12bb6fdbffa2d1\
         7d87c5392aab792dc252d5de4533cc9518d38aa8dbf1925ab92386edd4009923"
    );
    // ckbhash("") of CKB's RFC 0022.
    assert_eq!(
        run("blake2b-256-personal", b"ckb-default-hash", b""),
        "44f4c69744d5f8c55d642062949dcae49bc4e7ef43d388c5a12f42b5633d163e"
    );
    // Kaspa's testnet genesis header, BLAKE2b keyed "BlockHash" (recomputed).
    let header = |time: u64, nonce: u64| {
        let mut header = vec![0; 2 + 8];
        for hash in [
            "17341408a5724556504df4d6cf515cbfbb220430dc451c743c22d5e911720c2a",
            "0000000000000000000000000000000000000000000000000000000000000000",
            "544eb3142c000f0ad2c76ac41f4222abbababed830eeafee4b6dc56b52d5cac0",
        ] {
            header.extend(hex::decode(hash).unwrap());
        }
        header.extend(time.to_le_bytes());
        header.extend(0x1e7f_ffff_u32.to_le_bytes());
        header.extend(nonce.to_le_bytes());
        header.extend([0; 8 + 8 + 8 + 32]);
        header
    };
    assert_eq!(
        run("blake2b-256-keyed", b"BlockHash", &header(1_633_687_894_966, 0x14582)),
        "f896a3034873be1739fc4359236899fd3d65d2bc94f9780df0d0da3eb1cc4370"
    );
    assert_eq!(
        run("blake2b-256-keyed", b"BlockHash", &header(0, 0)),
        "f8a14d381ea0ba5b0c169e8a41c222bce2fa42f4631d9fe4d226456006d7ea3d"
    );
}

#[test]
fn blake256_has_fourteen_rounds() {
    // The BLAKE submission's vectors: the empty input, one zero byte, 72 zero bytes.
    assert_eq!(run("blake256", &[], b""), "716f6e863f744b9ac22c97ec7b76ea5f5908bc5b2f67c61510bfc4751384ea7a");
    assert_eq!(
        run("blake256", &[], &[0]),
        "0ce8d4ef4dd7cd8d62dfded9d4edb0a774ae6a41929a74da23109e8f11139c87"
    );
    assert_eq!(
        run("blake256", &[], &[0; 72]),
        "d419bad32d504fb7d44d460c42c5593fe544fa4c135dec31e21bd9abdcc22d41"
    );
}

#[test]
fn blake3_of_a_decred_header() {
    // DCP-0011's first vector: testnet block 1170048; the text shows the hash reversed.
    let header = "0b00000027d7ae5c9872a879b9a9da0b63915121d741e4cee3a96faea6eabf96b30000003271fd283c087219f14c7b26389fa1\
                  b22a639632d59e02e4f8e0456f36cbf740e9bba84160577d03ca9d858f07d6c78426421887cd6dc518d13fa06cfa000b5a\
                  01000b4e00a52a7705000400d4130000ffff001e9d7152e80000000080da1100e7100000085fb464f9a00f009cb73ed042\
                  9619d10000000000000000000000000000000000000000000000000b000000";
    assert_eq!(
        reversed(&run("blake3", &[], &hex::decode(header).unwrap())),
        "000000ce3005dbe95398f16f682438e298ff6301cc691e5df58839bd90351e33"
    );
}

#[test]
fn sha3_keccak_and_cshake() {
    assert_eq!(run("sha3-256", &[], b""), "a7ffc6f8bf1ed76651c14756a061d662f580ff4de43b49fa82d80a4b80f8434a");
    assert_eq!(
        run("keccak256", &[], b""),
        "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"
    );
    // NIST SP 800-185, cSHAKE sample 3, cut to 32 of its 64 bytes (an extendable output has the same beginning).
    assert_eq!(
        run("cshake256", b"Email Signature", &[0, 1, 2, 3]),
        "d008828e2b80ac9d2218ffee1d070c48b8e4c87bff32c9699d5b6896eee0edd1"
    );
    // kHeavyHash's first step over the synthetic header.
    assert_eq!(
        run("cshake256", b"ProofOfWorkHash", &synthetic_kaspa()),
        "2fb72b63dd0dd0d82b00cd9f83d4eca0710b7eb8c05966888f39ebc578978abf"
    );
}

/// prePow = 2a x 32, time 5435345234, nonce 432432432.
fn synthetic_kaspa() -> Vec<u8> {
    [&[0x2a; 32][..], &5_435_345_234_u64.to_le_bytes(), &[0; 32], &432_432_432_u64.to_le_bytes()].concat()
}

#[test]
fn kheavyhash_of_the_synthetic_header_and_of_testnet_genesis() {
    assert_eq!(
        run("kheavyhash", &[0x2a; 32], &synthetic_kaspa()),
        "5a5bcd6e352eb8c87c80d0f0574a45a5fcc3d5755660ac120dc9893684c19be6"
    );
    let key = hex::decode("f8a14d381ea0ba5b0c169e8a41c222bce2fa42f4631d9fe4d226456006d7ea3d").unwrap();
    let input =
        [&key[..], &1_633_687_894_966_u64.to_le_bytes(), &[0; 32], &0x14582_u64.to_le_bytes()].concat();
    assert_eq!(
        reversed(&run("kheavyhash", &key, &input)),
        "00001a5067451653f51227ec8487ef8ef5d55c021f277c86f76d206b30e1aa91"
    );
}

#[test]
fn eaglesong_of_the_rfc_and_of_mainnet_20152836() {
    assert_eq!(
        run("eaglesong", &[], b""),
        "9e4452fc7aed93d7240b7b55263792befd1be09252b456401122ba71a56f62a0"
    );
    assert_eq!(
        run("eaglesong", &[], b"Hello, world!\n"),
        "64867e2441d162615dc2430b6bcb4d3f4b95e4d0db529fca1eece73c077d72d6"
    );
    let message =
        "bdc74ef6f58f3ce70bccaac040b7131f74a76bcd92c90fc0464246c0400883d0019ff8f6000000030d00005e309a5693";
    let message = hex::decode(message).unwrap();
    let plain = "0000000000000007e96f95737799a7e53b0235bb875c9f069d0a22f29893d12b";
    assert_eq!(run("eaglesong", &[], &message), plain);
    assert_eq!(
        run("eaglesong-blake2b", &[], &message),
        run("blake2b-256-personal", b"ckb-default-hash", &hex::decode(plain).unwrap())
    );
}

#[test]
fn a_key_of_the_wrong_length_is_refused_with_what_is_needed() {
    let all = Algorithms::native();
    for (name, key) in [
        ("sha256", 1),
        ("scrypt", 32),
        ("kheavyhash", 31),
        ("blake2b-256-keyed", 65),
        ("blake2b-256-personal", 0),
    ] {
        let error = all.get(name).unwrap().prepare(&vec![0; key]).err().expect("refused");
        assert!(matches!(error, AlgorithmError::Key { given, .. } if given == key), "{error}");
    }
}

#[test]
fn a_plugin_cannot_replace_a_native_algorithm() {
    let mut all = Algorithms::native();
    let native = all.get("sha256").unwrap();
    assert!(!all.add(native));
    assert!(all.get("sha-none").is_none());
    let mut none = Algorithms::empty();
    assert!(none.add(Algorithms::native().get("sha256").unwrap()));
    assert_eq!(none.names().collect::<Vec<_>>(), ["sha256"]);
}

fn fitting_key(key: Key) -> Vec<u8> {
    // 16 bytes fit each cheap key; a matrix takes 32.
    match key {
        Key::None => Vec::new(),
        Key::Cheap => vec![7; 16],
        Key::Dear => vec![7; 32],
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn no_algorithm_panics_whatever_the_length_and_a_batch_equals_single_hashes(
        input in proptest::collection::vec(any::<u8>(), 0..700), count in 1_usize..4,
    ) {
        let all = Algorithms::native();
        for name in all.names() {
            let algorithm = all.get(name).unwrap();
            prop_assert!(algorithm.output_len() <= MAX_OUTPUT);
            let context = algorithm.prepare(&fitting_key(algorithm.key())).unwrap();
            let mut one = vec![0; algorithm.output_len()];
            context.hash(&input, &mut one).unwrap();
            prop_assert!(context.hash(&input, &mut [0; 5]).is_err());
            if !input.is_empty() {
                let mut many = vec![0; one.len() * count];
                context.hash_batch(input.len(), &input.repeat(count), &mut many).unwrap();
                prop_assert_eq!(many, one.repeat(count));
            }
        }
    }
}

#[test]
fn a_batch_that_does_not_divide_is_refused() {
    let context = Algorithms::native().get("sha256").unwrap().prepare(&[]).unwrap();
    assert!(context.hash_batch(80, &[0; 81], &mut [0; 32]).is_err());
    assert!(context.hash_batch(80, &[0; 160], &mut [0; 33]).is_err());
    assert!(context.hash_batch(80, &[], &mut []).is_ok());
    assert!(context.hash_batch(0, &[], &mut [0; 32]).is_ok());
}

/// A verifier, what it is asked about, and a proof that is valid.
fn proofs() -> Vec<(&'static str, Vec<u8>, Vec<u8>)> {
    let lines = include_str!("vectors/equihash.txt").lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let [name, input, proof] = line.split(' ').collect::<Vec<_>>().try_into().unwrap();
            (name, hex::decode(input).unwrap(), hex::decode(proof).unwrap())
        })
        .collect()
}

#[test]
fn equihash_proofs_are_valid_for_their_own_header_and_nonce_alone() {
    let native = Algorithms::native();
    let proofs = proofs();
    assert_eq!(proofs.len(), 4);
    for (name, input, proof) in &proofs {
        let verifier = native.verifier(name).unwrap();
        assert!(verifier.verify(input, proof), "{name}");
        for at in [0, proof.len() / 2, proof.len() - 1] {
            let mut changed = proof.clone();
            changed[at] ^= 1;
            assert!(!verifier.verify(input, &changed), "{name}: byte {at} of the proof");
        }
        let mut other = input.clone();
        *other.last_mut().unwrap() ^= 1;
        assert!(!verifier.verify(&other, proof), "{name}: another nonce");
        assert!(
            !verifier.verify(input, &proof[1..]) && !verifier.verify(input, &[]),
            "{name}: a short proof"
        );
        let another = if *name == "equihash-200-9" { "equihash-144-5" } else { "equihash-200-9" };
        assert!(!native.verifier(another).unwrap().verify(input, proof), "{name}: other parameters");
    }
}

proptest! {
    #[test]
    fn no_verifier_panics_or_believes_noise(
        input in proptest::collection::vec(any::<u8>(), 0..200),
        proof in proptest::collection::vec(any::<u8>(), 0..1400),
        length in prop_oneof![Just(None), Just(Some(1344)), Just(Some(100))],
    ) {
        let native = Algorithms::native();
        let mut proof = proof;
        if let Some(length) = length {
            proof.resize(length, 7);
        }
        for name in native.verifier_names() {
            prop_assert!(!native.verifier(name).unwrap().verify(&input, &proof));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_beginning_taken_ahead_and_a_path_change_no_hash(
        input in proptest::collection::vec(any::<u8>(), 0..700), cut in 0_usize..700, again in 0_usize..700,
        path in proptest::collection::vec(any::<[u8; 32]>(), 0..5),
    ) {
        let all = Algorithms::native();
        for name in all.names() {
            let algorithm = all.get(name).unwrap();
            let context = algorithm.prepare(&fitting_key(algorithm.key())).unwrap();
            let mut whole = vec![0; algorithm.output_len()];
            context.hash(&input, &mut whole).unwrap();
            let cut = cut.min(input.len());
            if let Some((taken, rest)) = context.ahead(&input[..cut]) {
                prop_assert!(taken <= cut, "{}", name);
                let mut behind = vec![0; whole.len()];
                rest.hash(&input[taken..], &mut behind).unwrap();
                prop_assert_eq!(&behind, &whole, "{}", name);
                // What is ahead already can be taken further.
                let further = cut + again.min(input.len() - cut);
                if let Some((more, rest)) = rest.ahead(&input[taken..further]) {
                    rest.hash(&input[taken + more..], &mut behind).unwrap();
                    prop_assert_eq!(&behind, &whole, "{}", name);
                }
            }
            if algorithm.output_len() == 32 && algorithm.cost() == millpond_algorithms::Cost::Light {
                let (mut folded, mut stepped) = ([7; 32], [7; 32]);
                context.fold(&mut folded, &path).unwrap();
                for item in &path {
                    let pair = [stepped, *item].concat();
                    context.hash(&pair, &mut stepped).unwrap();
                }
                prop_assert_eq!(folded, stepped, "{}", name);
            }
        }
    }
}
