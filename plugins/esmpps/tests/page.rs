//! The page of equalised shared maximum pay-per-share, and what it pays against its definition.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use millpond_scheme_esmpps::Esmpps;
use millpond_scheme_history::second::{Kept, accrue, batch, rounds};
use millpond_scheme_history::{Page, Paid, Share};
use millpond_sdk::payout_0_2::{Allocation, Income, Scheme, Setting, Settings};
use proptest::prelude::*;
use std::collections::BTreeMap;

#[test]
fn the_page_says_what_is_paid() {
    let page = Page(include_str!("../../../docs/schemes/esmpps.md"));
    page.describes_0_2::<Esmpps>();
    let paid: Vec<Paid> = rounds::<Esmpps>(&Settings::new(), 100).iter().map(|round| round.block()).collect();
    page.works_out("## Worked example", &paid);
    Page(include_str!("../../../docs/schemes/README.md")).sums_up("esmpps", &paid);
    assert_eq!(rounds::<Esmpps>(&Settings::new(), 1), rounds::<Esmpps>(&Settings::new(), 100));
}

#[test]
fn shares_may_be_owed_the_subsidy_alone_and_fees_are_the_buffer() {
    let subsidy = vec![("pay".to_owned(), Setting::Text("subsidy".to_owned()))];
    assert!(Esmpps::describe(subsidy.clone()).unwrap().needs_subsidy);
    let of_one = |settings: &Settings| {
        let mut kept = Kept::default();
        accrue::<Esmpps>(settings, &mut kept, batch(1, &[share(1, 100)]));
        let given = pay(&mut kept, 5000, 0);
        (given.amount, given.carry)
    };
    assert_eq!((of_one(&subsidy), of_one(&Settings::new())), ((vec![900], 4100), (vec![1000], 4000)));
    assert!(Esmpps::describe(vec![("pay".to_owned(), Setting::Text("all".to_owned()))]).is_err());
}

/// Worth ten units a unit of work.
fn share(miner: u64, work: u64) -> Share {
    Share { hour: 0, miner, work, network: 100, block: false }
}

fn pay(kept: &mut Kept, paid: u64, carried: u64) -> Allocation {
    let (key, finder, subsidy) = (vec![1], None, None);
    let income = Income { key, number: 1, time_ms: 0, coord: 1, finder, paid, subsidy, carried, reserve: 0 };
    let given = Esmpps::allocate(Settings::new(), income, vec![], kept.state(None)).unwrap();
    kept.keep(&given.state, 3);
    given
}

/// What miners get of these incomes, one a round, while each round earns 1500; the second comes under a name by round.
fn under_names(incomes: &[u64], name: impl Fn(u64) -> u64) -> BTreeMap<u64, u64> {
    let (mut kept, mut carried, mut sums) = (Kept::default(), 0, BTreeMap::new());
    for (round, income) in (0..).zip(incomes) {
        accrue::<Esmpps>(&Settings::new(), &mut kept, batch(1, &[share(1, 100), share(name(round), 50)]));
        let given = pay(&mut kept, *income, carried);
        carried = given.carry;
        for (miner, amount) in given.miner.iter().zip(&given.amount) {
            *sums.entry((*miner).min(2)).or_default() += *amount;
        }
    }
    sums
}

/// The page says that the scheme has this fault.
#[test]
fn who_takes_another_name_while_luck_gets_worse_is_paid_sooner() {
    // At a steady level there is nothing to gain: both are paid two thirds of what they earned.
    for names in [1, 8] {
        let steady = under_names(&[1000; 8], |round| 2 + round % names);
        assert!(steady[&1].abs_diff(5333) <= 8 && steady[&2].abs_diff(2667) <= 8, "{steady:?}");
    }
    // As it falls, what was paid of early shares is kept from late ones, but for who is another then.
    let worse = [1400, 1400, 1400, 400, 400];
    let (one, many) = (under_names(&worse, |_| 2), under_names(&worse, |round| 2 + round));
    assert!(many[&2] > one[&2] * 11 / 10, "{many:?}, under one name {one:?}");
}

#[test]
fn an_income_of_nothing_pays_and_keeps_nothing() {
    let mut kept = Kept::default();
    accrue::<Esmpps>(&Settings::new(), &mut kept, batch(1, &[share(1, 33), share(2, 10)]));
    let before = kept.clone();
    assert_eq!(pay(&mut kept, 0, 0).amount.len(), 0);
    assert_eq!(kept, before);
    assert_eq!(pay(&mut kept, 3, 0).amount, [2]);
}

#[test]
fn the_largest_earnings_fit_and_one_more_is_refused() {
    let mut kept = Kept::default();
    let most = |miner: u64| {
        let mut one = batch(1, &[share(miner, 100)]);
        one.reward = vec![u64::MAX];
        one
    };
    (1..=4).for_each(|miner| {
        accrue::<Esmpps>(&Settings::new(), &mut kept, most(miner));
    });
    let given = pay(&mut kept, u64::MAX, 0);
    assert_eq!((given.amount, given.carry), (vec![u64::MAX / 4; 4], 3));
    let state = kept.state(Some(&[1]));
    let refused = <Esmpps as millpond_sdk::payout_0_2::Accrual>::accrue(Settings::new(), most(1), state);
    assert!(refused.unwrap_err().contains("does not fit 64 bits"));
}

/// What somebody has earned and was paid since all was paid.
#[derive(Clone, Copy, Default)]
struct Account {
    earned: u64,
    paid: u64,
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn a_block_lifts_the_least_paid_to_one_level(
        rounds in proptest::collection::vec(
            (proptest::collection::vec((1..9_u64, 1..333_u64), 0..9), 0..4000_u64), 1..16,
        ),
    ) {
        let (mut kept, mut carried) = (Kept::default(), 0);
        let mut accounts = BTreeMap::<u64, Account>::new();
        for (shares, paid) in rounds {
            if !shares.is_empty() {
                let batch = batch(1, &shares.iter().map(|(miner, work)| share(*miner, *work)).collect::<Vec<_>>());
                accrue::<Esmpps>(&Settings::new(), &mut kept, batch);
            }
            for (miner, work) in &shares {
                accounts.entry(*miner).or_default().earned += work * 10;
            }
            let owed: u64 = accounts.values().map(|account| account.earned - account.paid).sum();
            let before = accounts.clone();
            let given = pay(&mut kept, paid, carried);
            let sum: u64 = given.amount.iter().sum();
            prop_assert_eq!(sum + given.carry, paid + carried);
            for (miner, amount) in given.miner.iter().zip(&given.amount) {
                accounts.get_mut(miner).unwrap().paid += amount;
            }
            if owed <= paid + carried {
                prop_assert_eq!(sum, owed);
                accounts.clear();
            } else {
                prop_assert!(given.carry < accounts.len() as u64, "{} is left over", given.carry);
                // The level of the best paid of this block, which nobody is below by more than a unit of rounding.
                let lifted = accounts.iter().filter(|(miner, account)| account.paid > before[miner].paid);
                for (miner, best) in lifted {
                    for (other, account) in &accounts {
                        let (one, two) = (u128::from(best.paid), u128::from(account.paid) + 1);
                        prop_assert!(
                            one * u128::from(account.earned) < two * u128::from(best.earned),
                            "{} has {} of {}, {} {} of {}", miner, best.paid, best.earned, other, account.paid, account.earned
                        );
                    }
                }
            }
            carried = given.carry;
        }
        // All that is owed is paid in the end.
        let owed: u64 = accounts.values().map(|account| account.earned - account.paid).sum();
        let last = pay(&mut kept, 1 << 40, 0);
        prop_assert_eq!(last.amount.iter().sum::<u64>(), owed);
        prop_assert!(kept.state(None).miner.is_empty());
    }
}
