//! Schemes that pay each share once: which shares are unpaid is kept beside the scheme's state, and follows the ledger through
//! losses, late reports, restarts and other schemes.

use crate::support::{Pool, wanted};
use millpond_contracts::Setting;
use millpond_journal::Income;
use millpond_ledger::{FeeName, IncomeKey, IncomeStatus, Owner};
use millpond_pool::books::BooksError;
use millpond_pool::policy::Wanted;
use millpond_types::MinerId;
use proptest::prelude::*;

/// A share of work w is worth w of these; the block's own has a work of 100.
const ONE: u64 = 5_000_000;
const BLOCK: u64 = 1_000 * ONE;

fn text(name: &str, value: &str) -> (String, Setting) {
    (name.to_owned(), Setting::Text(value.to_owned()))
}

fn cppsrb() -> Wanted {
    wanted("cppsrb", Vec::new(), 1)
}

fn rsmpps() -> Wanted {
    wanted("cppsrb", vec![text("surplus", "carry")], 0)
}

fn status(pool: &Pool, income: &Income) -> Option<IncomeStatus> {
    let key = IncomeKey::new(income.key.clone()).unwrap();
    pool.ledger.book().income(&key).map(|known| known.status)
}

/// What somebody has of all incomes that stand, in shares' work.
fn has(pool: &Pool, owner: Owner) -> u64 {
    let book = pool.ledger.book();
    (book.payable(&owner).0 + book.immature(&owner).0) / ONE
}

fn all(pool: &Pool, miners: [MinerId; 3]) -> [u64; 3] {
    miners.map(|miner| has(pool, Owner::Miner(miner)))
}

fn three(pool: &Pool) -> [MinerId; 3] {
    ["a", "b", "c"].map(|name| pool.miner(name))
}

#[test]
fn a_block_pays_the_newest_shares_and_the_next_one_what_it_left() {
    let mut pool = Pool::start(&rsmpps());
    let miners @ [a, b, c] = three(&pool);
    pool.share(a, 800);
    pool.share(b, 300);
    // Its own share, the one before, and of the first what is left of a thousand.
    let first = pool.block(b, BLOCK);
    assert_eq!(all(&pool, miners), [600, 400, 0]);

    let mut pool = pool.restart(&rsmpps());
    pool.share(c, 150);
    let second = pool.block(c, BLOCK);
    assert_eq!(all(&pool, miners), [800, 400, 250], "a has his rest, and nobody more than he is worth");
    assert_eq!(has(&pool, Owner::Carry), 550);
    // What is over goes with the next block, when it can be spent.
    pool.mature(&first);
    pool.mature(&second);
    pool.share(a, 900);
    pool.share(b, 700);
    let third = pool.block(a, BLOCK);
    assert_eq!(all(&pool, miners), [800 + 100 + 750, 400 + 700, 250]);
    assert_eq!(has(&pool, Owner::Carry), 0);
    pool.mature(&third);
    let replayed = pool.replay().unwrap();
    assert_eq!((replayed.incomes, replayed.taken), (3, 0));
    assert!(pool.ledger.totals().conserved);
}

#[test]
fn what_is_over_is_the_operators_where_he_has_it() {
    let mut pool = Pool::start(&cppsrb());
    let miners @ [a, ..] = three(&pool);
    pool.share(a, 200);
    pool.block(a, BLOCK);
    let operator = has(&pool, Owner::Fee(FeeName::try_from("operator".to_owned()).unwrap()));
    // And a fee of a ten-thousandth.
    assert_eq!((all(&pool, miners)[0], operator), (299, 700));
    assert_eq!(pool.replay().unwrap().incomes, 1);
    let refused = Pool::refused(&wanted("cppsrb", Vec::new(), 0));
    assert!(refused.contains("nobody receives it"), "{refused}");
    let apart = wanted("cppsrb", vec![text("pay", "subsidy"), text("surplus", "carry")], 0);
    assert!(Pool::refused_untold(&apart).contains("does not tell the subsidy"));
}

#[test]
fn a_lost_block_gives_its_shares_back_and_later_ones_are_divided_again() {
    let mut pool = Pool::start(&rsmpps());
    let miners @ [a, b, c] = three(&pool);
    pool.share(a, 600);
    pool.share(b, 500);
    let first = pool.block(b, BLOCK);
    assert_eq!(all(&pool, miners), [400, 600, 0]);
    pool.share(c, 300);
    let second = pool.block(c, BLOCK);
    assert_eq!((all(&pool, miners), has(&pool, Owner::Carry)), ([600, 600, 400], 400));
    pool.lose(&first);
    // The second stands alone now: its own, c's, b's, and nothing of a's.
    assert_eq!((all(&pool, miners), has(&pool, Owner::Carry)), ([0, 600, 400], 0));
    // No block before it may be lost any more.
    let mut pool = pool.restart(&rsmpps());
    let third = pool.block(a, BLOCK);
    assert_eq!((all(&pool, miners), has(&pool, Owner::Carry)), ([700, 600, 400], 300));
    let early = pool.books.mature(&third);
    assert!(matches!(early, Err(BooksError::Waits)), "{early:?}");
    pool.mature(&second);
    pool.mature(&third);
    assert_eq!(pool.payable(a), 700 * ONE);
    assert_eq!(pool.replay().unwrap().incomes, 4);
    assert!(pool.ledger.totals().conserved);
}

#[test]
fn a_block_that_is_reported_late_is_divided_first() {
    let run = |turned: bool| {
        let mut pool = Pool::start(&rsmpps());
        let miners @ [a, b, c] = three(&pool);
        pool.share(a, 950);
        let early = pool.solve(a);
        pool.share(b, 250);
        let late = pool.solve(c);
        if turned {
            let income = pool.report(&late, BLOCK);
            assert!(matches!(pool.books.divide(&income), Err(BooksError::Waits)));
            assert_eq!((pool.books.catch_up().unwrap(), status(&pool, &income)), (1, None));
            let before = pool.report(&early, BLOCK);
            pool.books.divide(&before).unwrap();
            assert_eq!(pool.books.catch_up().unwrap(), 0);
        } else {
            for block in [&early, &late] {
                let income = pool.report(block, BLOCK);
                pool.books.divide(&income).unwrap();
            }
        }
        assert_eq!(pool.replay().unwrap().incomes, 2);
        (all(&pool, miners), has(&pool, Owner::Carry))
    };
    assert_eq!(run(true), run(false));
    assert_eq!(run(true), ([1050, 250, 100], 600));
}

#[test]
fn other_settings_go_on_with_the_list_and_another_scheme_has_its_own_shares() {
    let mut pool = Pool::start(&rsmpps());
    let miners @ [a, b, c] = three(&pool);
    pool.share(a, 1_500);
    pool.block(a, BLOCK);
    assert_eq!(all(&pool, miners), [1_000, 0, 0]);
    // In force behind the next block, which is still divided as before.
    let near = wanted("cppsrb", vec![text("surplus", "carry"), ("reach".to_owned(), Setting::Int(3))], 0);
    pool.swap(&near);
    pool.share(b, 950);
    pool.block(b, BLOCK);
    assert_eq!(all(&pool, miners), [1_000, 1_000, 0]);
    // Its own share, and of the three newest b's rest of 50; a's is the fourth, and forgotten.
    pool.block(c, BLOCK);
    assert_eq!((all(&pool, miners), has(&pool, Owner::Carry)), ([1_000, 1_050, 100], 850));
    pool.swap(&wanted("prop", Vec::new(), 0));
    pool.block(a, 50 * ONE);
    assert_eq!((all(&pool, miners), has(&pool, Owner::Carry)), ([1_050, 1_050, 100], 850));
    // Shares of the round that prop divides are its own.
    pool.share(b, 400);
    pool.swap(&rsmpps());
    pool.block(b, BLOCK);
    assert_eq!(all(&pool, miners), [1_050, 2_050, 100]);
    pool.share(c, 50);
    pool.block(c, BLOCK);
    // Nor is the half of a's share paid now that was unpaid before them.
    assert_eq!((all(&pool, miners), has(&pool, Owner::Carry)), ([1_050, 2_050, 250], 1_700));
    let replayed = pool.replay().unwrap();
    assert_eq!((replayed.incomes, replayed.taken), (6, 0));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Losses of any blocks in any order leave what a pool has that never found them: and nobody has more than his shares
    /// are worth.
    #[test]
    fn lost_blocks_leave_what_blocks_that_earn_nothing_leave(
        rounds in prop::collection::vec((0_usize..3, 1_u64..1_500, 0_u64..2_000), 2..7),
        losses in prop::collection::vec((0_usize..7, 0_usize..7), 1..4),
        restarts: bool,
    ) {
        let lost: Vec<usize> = losses.iter().map(|loss| loss.0 % rounds.len()).collect();
        let run = |ever: bool| {
            let mut pool = Pool::start(&rsmpps());
            let miners = three(&pool);
            let mut found: Vec<Option<Income>> = Vec::new();
            let mut worth = [0; 3];
            for (at, (miner, work, brings)) in rounds.iter().enumerate() {
                pool.share(miners[*miner], *work);
                worth[*miner] += work;
                worth[(*miner + 1) % 3] += 100;
                let finder = miners[(*miner + 1) % 3];
                if ever || !lost.contains(&at) {
                    found.push(Some(pool.block(finder, brings * ONE)));
                } else {
                    pool.share(finder, 100);
                    found.push(None);
                }
                for ((which, when), at) in losses.iter().map(|(which, when)| (which % rounds.len(), when % rounds.len())).zip(0..) {
                    // As soon as both are there, or at the end.
                    let now = when.max(which);
                    if ever && now == found.len() - 1 && losses[..at].iter().all(|loss| loss.0 % rounds.len() != which) {
                        pool.lose(found[which].as_ref().unwrap());
                    }
                }
                if restarts && at % 2 == 0 {
                    pool = pool.restart(&rsmpps());
                }
            }
            let replayed = pool.replay().unwrap();
            assert_eq!(replayed.taken, 0);
            let has = all(&pool, miners);
            // Below a unit an income.
            assert!(has.iter().zip(worth).all(|(has, worth)| *has <= worth), "{has:?} of {worth:?}");
            let carry = pool.ledger.book().payable(&Owner::Carry).0 + pool.ledger.book().immature(&Owner::Carry).0;
            (has, carry)
        };
        prop_assert_eq!(run(true), run(false));
    }
}
