//! A Bitcoin coinbase that pays somebody else.

use crate::fake::*;
use crate::{BitcoinCoinbase, ChainHandle, Trust};
use millpond_contracts::chain::*;
use millpond_types::Target;
use std::sync::Arc;

const POOL: &[u8] = &[0x51];
const THIEF: &[u8] = &[0x52];

/// Bitcoin's recipe with the coinbase in two parts.
const BITCOIN: &str = include_str!("../../../../examples/families/bitcoin/bitcoin.recipe");
const SOLO: &str = include_str!("../../../../examples/families/bitcoin-solo/bitcoin-solo.recipe");
const LITECOIN: &str = include_str!("../../../../examples/families/litecoin/litecoin.recipe");

/// A coinbase for height 17 with these outputs, cut around 8 bytes of extranonce.
fn coinbase(outputs: &[(u64, &[u8])]) -> (Vec<u8>, Vec<u8>) {
    let mut head = vec![1, 0, 0, 0, 1];
    head.extend([0; 32]);
    head.extend([0xff; 4]);
    head.extend([2 + 8, 0x01, 17]);
    let mut tail = vec![0xff; 4];
    tail.push(u8::try_from(outputs.len()).unwrap());
    for (amount, script) in outputs {
        tail.extend(amount.to_le_bytes());
        tail.push(u8::try_from(script.len()).unwrap());
        tail.extend(*script);
    }
    tail.extend([0; 4]);
    (head, tail)
}

/// Regtest's target of 0x207fffff.
const BITS: [u8; 4] = [0xff, 0xff, 0x7f, 0x20];

fn regtest() -> Target {
    Target::from_compact(0x207f_ffff).unwrap()
}

fn job_of(recipe: u16, coinbase: Vec<Vec<u8>>) -> Job {
    let mut consts = coinbase;
    consts.extend([vec![], vec![0x20, 0, 0, 0], vec![7; 32], BITS.to_vec(), vec![0x60, 0, 0, 0]]);
    Job { recipe, consts, network_target: regtest().to_be_bytes().to_vec(), outputs_rev: 5, ..job(17) }
}

fn start(job: Job, outputs: Vec<Output>) -> (ChainHandle, Arc<FakePool>) {
    start_with(&[BITCOIN, SOLO, LITECOIN], job, outputs)
}

fn start_with(recipes: &[&str], job: Job, outputs: Vec<Output>) -> (ChainHandle, Arc<FakePool>) {
    let adapter = Fake::new("coinbase", move |event| match &event.what {
        Happening::Start(_) => done(vec![Action::Publish(job.clone())]),
        _ => done(vec![]),
    });
    let mut description = description(vec![node()]);
    description.recipes = recipes.iter().map(|&recipe| recipe.to_owned()).collect();
    let trust = Trust {
        floor: Some(regtest()),
        coinbase: Some(Arc::new(BitcoinCoinbase { height: true })),
        adapter_writes_coinbase: false,
        ..trust()
    };
    let pool = Arc::new(FakePool::default());
    let mut setup = setup(Fake { description, ..adapter }, trust, &FakeNodes::new(1), &pool);
    setup.outputs = (5, outputs);
    (ChainHandle::start(setup).unwrap(), pool)
}

fn to(payee: &[u8], weight: u64) -> Output {
    Output { payee: payee.to_vec(), weight }
}

#[test]
fn a_coinbase_that_pays_the_pool_passes() {
    let (head, tail) = coinbase(&[(3_333, POOL), (1_667, &[0x53])]);
    let (_chain, pool) = start(job_of(0, vec![head, tail]), vec![to(POOL, 2), to(&[0x53], 1)]);
    assert_eq!(pool.job(17).network_target, regtest());
}

#[test]
fn a_coin_with_another_hash_passes_by_the_same_check() {
    let (head, tail) = coinbase(&[(5_000, POOL)]);
    let (_chain, pool) = start(job_of(2, vec![head, tail]), vec![to(POOL, 1)]);
    assert_eq!(pool.job(17).network_target, regtest());
}

/// Bitcoin's recipe with some of its text replaced, and a second coinbase that pays the thief beside the honest one.
fn liar(changes: &[(&str, &str)]) -> String {
    let mut text =
        BITCOIN.replace("const head:bytes tail:bytes ", "const head:bytes tail:19 stolen:19 harder:4\n");
    for (from, to) in changes {
        assert!(text.contains(from), "the recipe has no {from:?}");
        text = text.replace(from, to);
    }
    text
}

/// What comes of a job by this recipe, whose named parts are all honest: the alarm, or the job's coordinate.
fn lie(changes: &[(&str, &str)]) -> Result<u64, String> {
    let (head, tail) = coinbase(&[(5_000, POOL)]);
    let (_, stolen) = coinbase(&[(5_000, THIEF)]);
    let harder = vec![0xff, 0xff, 0x00, 0x1d];
    let mut job = job_of(0, vec![head, tail, stolen, harder.clone()]);
    if changes.iter().any(|(_, to)| to.contains("rev harder")) {
        let target = Target::from_compact(0x1d00_ffff).unwrap();
        job.network_target = target.to_be_bytes().to_vec();
    }
    let (_chain, pool) = start_with(&[&liar(changes)], job, vec![to(POOL, 1)]);
    pool.wait("a job or an alarm", |heard| match heard {
        Heard::Job(job) => Some(Ok(job.coord)),
        Heard::Alarm(alarm) => Some(Err(alarm.text.clone())),
        _ => None,
    })
}

#[test]
fn a_recipe_that_hashes_another_coinbase_than_the_one_it_shows_is_refused() {
    const STOLEN: &str = "its coinbase: output 0 pays 5000 to script 52, which is not to be paid that";
    const COINBASE: &str = "cb    = cat head xn tail";
    const ROOT: &str = "root  = fold sha256d (sha256d cb) branch";
    const HEADER: &str = "pow   = sha256d hdr";
    let followed =
        "its coinbase: the host cannot follow what the proof of work of recipe \"bitcoin\" commits to: ";
    // 19 bytes that are zeros while a value of 4 bytes is.
    let mask = |of: &str| format!("(cat {of} {of} {of} {of} (slice {of} ..3))");
    let turned = |by: &str| format!("cb = cat head xn (blend tail stolen {})", mask(by));
    let cases: &[(&[(&str, &str)], &str)] = &[
        // Decoys: what is named as the coinbase is not what is hashed.
        (&[(COINBASE, "cb = cat head xn stolen")], STOLEN),
        (&[(ROOT, "root = fold sha256d (sha256d (cat head xn stolen)) branch")], STOLEN),
        (
            &[(
                "prev root (rev time)",
                "prev (fold sha256d (sha256d (cat (cat head xn) stolen)) branch) (rev time)",
            )],
            STOLEN,
        ),
        // An honest coinbase for whoever looks at job stage, another one later.
        (
            &[(COINBASE, &turned("vbits"))],
            "a register of the share stage of the coinbase depends on the share: nothing but xn may, and that once",
        ),
        (
            &[(COINBASE, &turned("reissue"))],
            "its coinbase: a register of the session stage of it depends on the session, and no session is to be paid by it",
        ),
        (
            &[(COINBASE, "cb = cat head xn tail xn")],
            "`xn` of the coinbase depends on the share: nothing but xn may, and that once",
        ),
        (&[(COINBASE, "cb = cat head tail")], "the share field xn is not a part of the coinbase"),
        // The honest coinbase is hashed, and so is something else.
        (
            &[("prev root (rev time)", "prev (xor root (sha256d stolen)) (rev time)")],
            "the header's root, bytes 36 to 68 of it, is not `fold sha256d` of the coinbase's hash and a path",
        ),
        (
            &[(HEADER, "pow = sha256d (xor hdr (zeros 80))")],
            "bytes 36 to 68 of what is hashed are no register of their own",
        ),
        (&[(HEADER, "pow = sha256d (cat hdr stolen)")], "is hashed, is no header of 80 bytes"),
        (&[(HEADER, "pow = blake2b-256-keyed stolen hdr")], "the key of the hash of `hdr` is not a literal"),
        (
            &[(ROOT, "leaf = sha256d cb\nroot = fold sha256d (xor leaf (sha256d stolen)) branch")],
            "the path to the root does not begin with `sha256d` of the coinbase",
        ),
        // A name says nothing of the hash that it stands for.
        (
            &[(ROOT, "hash tree = sha3-256\nroot = fold tree (tree cb) branch")],
            "the header's root, bytes 36 to 68 of it, is not `fold sha256d`",
        ),
        (
            &[(ROOT, "hash leaf = sha3-256\nroot = fold sha256d (leaf cb) branch")],
            "the path to the root does not begin with `sha256d` of the coinbase",
        ),
        // Another target than the one that is hashed.
        (
            &[("network compact23 (rev bits)", "network compact23 (rev harder)")],
            "its coinbase: its header's target as it is hashed is 7fffff",
        ),
        (&[("bits (rev nonce)", "vbits (rev nonce)")], "the header's compact target is not the job's own"),
    ];
    for (changes, told) in cases {
        let text = lie(changes).expect_err(told);
        assert!(text.contains(told), "{changes:?}: {text}");
        assert!(text.contains("its coinbase: "), "{text}");
        let by_form = !told.starts_with("its coinbase: ");
        assert_eq!(text.contains(followed), by_form, "{text}");
    }
}

#[test]
fn a_recipe_may_write_the_same_in_words_of_its_own() {
    let other_words: &[&[(&str, &str)]] = &[
        // Nothing that is said of Stratum V2 counts.
        &[("sv2 version prev bits time=job_time prefix=head suffix=tail path=branch root xn", "")],
        &[("prefix=head suffix=tail", "prefix=head suffix=stolen")],
        &[(
            "cb    = cat head xn tail",
            "front = cat (slice head ..4) (slice head 4..)\ncb = cat (cat front xn) tail",
        )],
        &[("root  = fold sha256d (sha256d cb) branch", "hash h = sha256d\nroot = fold h (h cb) branch")],
        &[("pow   = sha256d hdr", "pow = sha256 (sha256 hdr)")],
        &[(
            "cat (rev (blend version vbits mask)) prev root (rev time) bits (rev nonce)",
            "cat (cat (rev (blend version vbits mask)) prev) root (cat (rev time) (cat bits (rev nonce)))",
        )],
    ];
    for changes in other_words {
        assert_eq!(lie(changes), Ok(17), "{changes:?}");
    }
}

#[test]
fn a_stolen_payee_is_seen_before_any_miner_works() {
    let (head, tail) = coinbase(&[(5_000, THIEF)]);
    let (_chain, pool) = start(job_of(0, vec![head, tail]), vec![to(POOL, 1)]);
    let text = pool.alarm("its coinbase: ");
    assert!(text.ends_with("output 0 pays 5000 to script 52, which is not to be paid that"), "{text}");
    assert_eq!(pool.jobs(), [0_u64; 0]);
}

#[test]
fn an_easier_target_than_the_headers_own_field_is_refused() {
    let (head, tail) = coinbase(&[(5_000, POOL)]);
    let mut lie = job_of(0, vec![head, tail]);
    lie.consts[5] = vec![0xff, 0xff, 0x00, 0x1d];
    let (_chain, pool) = start(lie, vec![to(POOL, 1)]);
    let text = pool.alarm("network target: the adapter says 7fffff");
    assert!(text.contains("the header's own field says 00000000ffff"), "{text}");
}

/// SOLO: head, the bytes up to the first output's script, and the rest.
fn solo(amounts: [u64; 2], second: &[u8]) -> Vec<Vec<u8>> {
    let (head, tail) = coinbase(&[(amounts[0], &[]), (amounts[1], second)]);
    // Up to the first output's value; its empty script's length byte is the recipe's to write.
    let cut = 4 + 1 + 8;
    vec![head, tail[..cut].to_vec(), tail[cut + 1..].to_vec()]
}

#[test]
fn solo_pays_the_sessions_own_payee_and_each_session_is_checked() {
    let outputs = vec![to(&[], 98), to(POOL, 2)];
    let (chain, pool) = start(job_of(1, solo([4_900, 100], POOL)), outputs);
    let job = pool.job(17);
    assert!(job.pays_session());
    let miner = [0x00, 0x14, 9, 9];
    let session = job.stage.session(&[miner.to_vec(), vec![], vec![]]).unwrap();
    assert_eq!(job.check_session(chain.trust(), &session, &miner), Ok(()));
    let error = job.check_session(chain.trust(), &session, &[0x00, 0x14, 1, 1]).unwrap_err();
    assert!(error.to_string().starts_with("its coinbase: "), "{error}");
}

#[test]
fn a_solo_template_that_pays_the_thief_the_pools_part_is_refused() {
    let outputs = vec![to(&[], 98), to(POOL, 2)];
    let (_chain, pool) = start(job_of(1, solo([4_900, 100], THIEF)), outputs);
    pool.alarm("its coinbase: ");
    assert_eq!(pool.jobs(), [0_u64; 0]);
}

#[test]
fn a_chain_whose_coinbase_nobody_checks_does_not_start_unless_the_operator_says_so() {
    let pool = Arc::new(FakePool::default());
    let nobody = Trust { adapter_writes_coinbase: false, coinbase: None, ..trust() };
    let adapter = Fake::new("any", |_| done(vec![]));
    let error = ChainHandle::start(setup(adapter, nobody, &FakeNodes::new(1), &pool)).err().unwrap();
    assert!(error.to_string().starts_with("the host has no coinbase check for this chain"), "{error}");
}
