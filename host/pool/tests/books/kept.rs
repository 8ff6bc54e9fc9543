//! The scheme's state is kept from time to time, so that a start does not read the whole ledger; it is the same state.

use crate::reversal::{immature, round_of_both, three, turns};
use crate::support::Pool;
use millpond_disk::{Disk, read_file};
use millpond_journal::Income;
use millpond_ledger::Entry;
use millpond_pool::replay::ReplayError;
use millpond_types::{MinerId, UnixMillis};
use std::path::{Path, PathBuf};

/// As many records as lie between two states that are kept.
const EVERY: u64 = 1024;

fn files(pool: &Pool) -> Vec<PathBuf> {
    let dir = Path::new("/ledger");
    let names = pool.disk.list(dir).unwrap();
    names.iter().filter(|name| name.ends_with(".state")).map(|name| dir.join(name)).collect()
}

/// Records that say nothing of money.
fn fill(pool: &Pool, count: u64) {
    for number in 0..count {
        let (by, action) = ("operator".to_owned(), "looked".to_owned());
        pool.ledger
            .append(UnixMillis(pool.clock), Entry::Noted { by, action, detail: number.to_string() })
            .unwrap();
    }
}

/// A pool with three open incomes that stand on each other, and a state that was kept behind them.
fn kept() -> (Pool, (MinerId, MinerId), [Income; 3]) {
    let mut pool = Pool::start(&turns());
    let (a, b) = (pool.miner("a"), pool.miner("b"));
    let incomes = three(&mut pool, a, b);
    fill(&pool, EVERY);
    assert_eq!(files(&pool), Vec::<PathBuf>::new());
    let pool = pool.restart(&turns());
    assert!(pool.books.read_at_open() > EVERY, "everything is read once");
    assert_eq!(files(&pool).len(), 1);
    (pool, (a, b), incomes)
}

/// What the state decides: the second and third income are divided again, and a fourth is divided on top of them.
fn decides(mut pool: Pool, (a, b): (MinerId, MinerId), incomes: &[Income; 3]) -> [u64; 2] {
    assert_eq!((immature(&pool, a), immature(&pool, b)), (5_000, 2_000));
    pool.lose(&incomes[0]);
    assert_eq!((immature(&pool, a), immature(&pool, b)), (3_000, 3_000), "it knows how to undo");
    pool.share(a, 10);
    let fourth = pool.block(a, 10_000);
    let fifth = round_of_both(&mut pool, a, b, 100_000);
    for income in [&incomes[1], &incomes[2], &fourth, &fifth] {
        pool.mature(income);
    }
    assert!(pool.ledger.totals().conserved);
    pool.replay().unwrap();
    [pool.payable(a), pool.payable(b)]
}

#[test]
fn a_start_behind_a_kept_state_reads_what_came_since_and_decides_as_one_from_the_beginning() {
    let (pool, miners, incomes) = kept();
    let pool = pool.restart(&turns());
    assert!(pool.books.read_at_open() < 10, "{} records", pool.books.read_at_open());
    let behind = decides(pool, miners, &incomes);

    let (pool, miners, incomes) = kept();
    pool.disk.remove(&files(&pool)[0]).unwrap();
    let pool = pool.restart(&turns());
    assert!(pool.books.read_at_open() > EVERY);
    assert_eq!(decides(pool, miners, &incomes), behind);
}

#[test]
fn a_state_that_the_chain_does_not_vouch_for_is_not_used() {
    let (pool, miners, incomes) = kept();
    let file = files(&pool)[0].clone();
    let text = String::from_utf8(read_file(&pool.disk, &file).unwrap()).unwrap();
    // Whose cell was 1 has 2 now: the bytes are a state, and another one.
    let forged = text.replacen("[1]", "[2]", 1);
    assert_ne!(forged, text);
    millpond_disk::replace_file(&pool.disk, &file, forged.as_bytes()).unwrap();
    let pool = pool.restart(&turns());
    assert!(pool.books.read_at_open() > EVERY, "everything is read");
    let (other, others, theirs) = kept();
    assert_eq!(decides(pool, miners, &incomes), decides(other, others, &theirs));
}

#[test]
fn a_running_pool_keeps_the_state_too_and_one_file_is_enough() {
    let (mut pool, (a, b), _) = kept();
    let first = files(&pool);
    fill(&pool, EVERY);
    round_of_both(&mut pool, a, b, 10_000);
    let second = files(&pool);
    assert_eq!((first.len(), second.len()), (1, 1));
    assert_ne!(first, second);
    let pool = pool.restart(&turns());
    assert!(pool.books.read_at_open() < 10, "{} records", pool.books.read_at_open());
    pool.replay().unwrap();
}

#[test]
fn the_replay_computes_what_a_note_vouches_for_again() {
    let (pool, ..) = kept();
    pool.replay().unwrap();
    let after = pool.ledger.head().seq;
    let detail = format!("{after} {}", "ab".repeat(32));
    let forged = Entry::Noted { by: "books".to_owned(), action: "scheme state kept".to_owned(), detail };
    pool.ledger.append(UnixMillis(pool.clock), forged).unwrap();
    let told = pool.replay().unwrap_err();
    assert!(
        matches!(&told, ReplayError::Differs { what, .. } if what.contains("another when it was kept")),
        "{told}"
    );
}
