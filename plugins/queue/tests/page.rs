//! The page of the queue, and that credits are units but for what a block takes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use millpond_scheme_history::second::{Kept, accrue, batch, rounds};
use millpond_scheme_history::{Page, Paid, Share};
use millpond_scheme_queue::Queue;
use millpond_sdk::payout_0_2::{Allocation, Income, Scheme, Settings};
use proptest::prelude::*;

#[test]
fn the_page_says_what_is_paid() {
    let page = Page(include_str!("../../../docs/schemes/queue.md"));
    page.describes_0_2::<Queue>();
    let paid: Vec<Paid> = rounds::<Queue>(&Settings::new(), 100).iter().map(|round| round.block()).collect();
    page.works_out("## Worked example", &paid);
    Page(include_str!("../../../docs/schemes/README.md")).sums_up("queue", &paid);
    assert_eq!(rounds::<Queue>(&Settings::new(), 1), rounds::<Queue>(&Settings::new(), 100));
}

fn share(miner: u64, work: u64) -> Share {
    Share { hour: 0, miner, work, network: 1 << 10, block: false }
}

fn pay(kept: &mut Kept, paid: u64, carried: u64) -> Allocation {
    let (key, finder, subsidy) = (vec![1], None, None);
    let income = Income { key, number: 1, time_ms: 0, coord: 1, finder, paid, subsidy, carried, reserve: 0 };
    let given = Queue::allocate(Settings::new(), income, vec![], kept.state(None)).unwrap();
    kept.keep(&given.state, 2);
    given
}

#[test]
fn equal_credits_share_a_block_whatever_their_names() {
    let mut kept = Kept::default();
    accrue::<Queue>(&Settings::new(), &mut kept, batch(1, &[share(9, 7), share(2, 7), share(3, 6)]));
    let given = pay(&mut kept, 101, 0);
    assert_eq!((given.miner, given.amount, given.carry), (vec![2, 9], vec![50, 50], 1));
    // They begin anew, and the third is the next.
    let given = pay(&mut kept, 100, 1);
    assert_eq!((given.miner, given.amount, given.carry), (vec![3], vec![101], 0));
    // With nobody behind him a turn costs nothing.
    assert_eq!(pay(&mut kept, 100, 0).miner, [3]);
    assert_eq!(kept.state(None).miner, [3]);
}

#[test]
fn nobody_loses_his_turn_to_a_block_that_pays_nothing() {
    let mut kept = Kept::default();
    accrue::<Queue>(&Settings::new(), &mut kept, batch(1, &[share(1, 5), share(2, 5)]));
    for paid in [0, 1] {
        let given = pay(&mut kept, paid, 0);
        assert!(given.miner.is_empty() && given.carry == paid && given.state.miner.is_empty());
    }
    assert_eq!(pay(&mut kept, 2, 0).amount, [1, 1]);
}

proptest! {
    #[test]
    fn a_block_goes_to_most_work_and_costs_what_the_second_has(
        rounds in proptest::collection::vec(proptest::collection::vec((1..6_u64, 1..500_u64), 1..9), 1..20),
    ) {
        let (mut kept, mut credits) = (Kept::default(), [0_u64; 6]);
        for shares in rounds {
            let shares: Vec<Share> = shares.into_iter().map(|(miner, work)| share(miner, work)).collect();
            shares.iter().for_each(|share| credits[share.miner as usize] += share.work);
            accrue::<Queue>(&Settings::new(), &mut kept, batch(1, &shares));
            let top = *credits.iter().max().unwrap();
            let first: Vec<u64> = (1..6).filter(|miner| credits[*miner as usize] == top).collect();
            let given = pay(&mut kept, 1_000_000, 0);
            prop_assert_eq!(&given.miner, &first);
            prop_assert!(given.amount.iter().all(|amount| *amount == 1_000_000 / first.len() as u64));
            let second = credits.iter().copied().filter(|credit| *credit < top).max().unwrap();
            let left = if first.len() == 1 { top - second } else { 0 };
            first.iter().for_each(|miner| credits[*miner as usize] = left);
            for miner in 1..6_u64 {
                let state = kept.state(None);
                // A unit is 2^64, and 2^10 of work are one.
                let cells = state.of(miner, 2).map_or([0, 0], |cells| [cells[0], cells[1]]);
                prop_assert_eq!(u128::from(cells[1]) << 64 | u128::from(cells[0]), u128::from(credits[miner as usize]) << 54);
            }
        }
    }
}
