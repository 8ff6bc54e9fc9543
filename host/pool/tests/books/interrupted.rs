//! The power is cut while incomes behind a lost one are divided again: what everybody has in the end is as if it had not been.

use crate::cells::{Mine, dgm, plain};
use crate::run_off::{pplns, run_off};
use crate::support::Pool;
use millpond_disk::Keep;
use millpond_journal::IncomeLost;
use millpond_ledger::Owner;
use millpond_pool::policy::Wanted;
use millpond_types::UnixMillis;
use std::collections::BTreeMap;

/// Changing operations of the disk, and what everybody has.
type Ended = (u64, BTreeMap<Owner, (u64, u64)>);

/// Four blocks, of which the chain takes the second back; the power is cut during the n-th operation of what follows from that.
fn through(first: &Wanted, next: Option<&Wanted>, cut: Option<u64>) -> Ended {
    let mut mine = Mine::start(first, next);
    let incomes = [0, 1, 0, 1].map(|finder| {
        let block = mine.block(finder);
        mine.report(&block)
    });
    let lost = &incomes[1];
    mine.orphan(&lost.key);
    let (key, time) = (lost.key.clone(), UnixMillis(mine.pool.clock));
    mine.pool.journal.record(IncomeLost { key, reason: "another block".into(), time }).wait().unwrap();
    let disk = mine.pool.disk.clone();
    let begun = disk.operations();
    if let Some(operation) = cut {
        disk.cut_at(operation, operation, Keep::RandomSubset);
    }
    let done = mine.pool.books.lost(&lost.key, "another block", time);
    let took = disk.operations() - begun;
    assert_eq!((done.is_err(), disk.is_off()), (cut.is_some(), cut.is_some()), "{done:?}");
    if disk.is_off() {
        let (clock, blocks) = (mine.pool.clock, mine.pool.blocks);
        drop(mine.pool);
        disk.power_on();
        mine.pool = Pool::open(disk, next.unwrap_or(first), clock, blocks);
        mine.pool.books.close_closed().unwrap();
        assert_eq!(mine.pool.books.catch_up().unwrap(), 0);
    }
    mine.pool.credit_shares();
    assert!(mine.pool.ledger.totals().conserved);
    assert!(mine.pool.replay().unwrap().incomes >= 6, "two are divided twice");
    (took, mine.amounts())
}

#[test]
fn what_a_cut_of_the_power_interrupts_is_divided_again_in_its_order() {
    // At every operation, and of the others at some.
    let followed = Some(run_off(pplns(2_000)));
    for (first, next, step) in [(dgm(), None, 1), (plain("smpps"), None, 5), (dgm(), followed, 3)] {
        let (operations, straight) = through(&first, next.as_ref(), None);
        assert!(operations > 6, "{operations}");
        for cut in (1..=operations).step_by(step) {
            let (_, ended) = through(&first, next.as_ref(), Some(cut));
            assert_eq!(ended, straight, "{} at {cut} of {operations}", first.scheme.name);
        }
    }
}
