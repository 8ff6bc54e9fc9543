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
    let adapter = Fake::new("coinbase", move |event| match &event.what {
        Happening::Start(_) => done(vec![Action::Publish(job.clone())]),
        _ => done(vec![]),
    });
    let mut description = description(vec![node()]);
    description.recipes = vec![BITCOIN.to_owned(), SOLO.to_owned()];
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
