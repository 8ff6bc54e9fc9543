//! The page of shared maximum pay-per-share, and that nothing that is owed is lost.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use millpond_scheme_history::second::{Kept, accrue, batch, rounds};
use millpond_scheme_history::{Page, Paid, Share};
use millpond_scheme_smpps::Smpps;
use millpond_sdk::payout_0_2::{Income, Scheme, Setting, Settings};
use proptest::prelude::*;

#[test]
fn the_page_says_what_is_paid() {
    let page = Page(include_str!("../../../docs/schemes/smpps.md"));
    page.describes_0_2::<Smpps>();
    let paid: Vec<Paid> = rounds::<Smpps>(&Settings::new(), 100).iter().map(|round| round.block()).collect();
    page.works_out("## Worked example", &paid);
    Page(include_str!("../../../docs/schemes/README.md")).sums_up("smpps", &paid);
    assert_eq!(rounds::<Smpps>(&Settings::new(), 1), rounds::<Smpps>(&Settings::new(), 100));
}

#[test]
fn shares_may_be_owed_the_subsidy_alone_and_fees_are_the_buffer() {
    let subsidy = vec![("pay".to_owned(), Setting::Text("subsidy".to_owned()))];
    assert!(Smpps::describe(subsidy.clone()).unwrap().needs_subsidy);
    let of_one = |settings: &Settings| {
        let mut kept = Kept::default();
        accrue::<Smpps>(settings, &mut kept, batch(1, &[share(1, 100)]));
        pay(&kept, settings, 5000)
    };
    assert_eq!((of_one(&subsidy), of_one(&Settings::new())), ((900, 4100), (1000, 4000)));
    assert!(Smpps::describe(vec![("pay".to_owned(), Setting::Text("all".to_owned()))]).is_err());
}

fn share(miner: u64, work: u64) -> Share {
    Share { hour: 0, miner, work, network: 100, block: false }
}

fn income(paid: u64, carried: u64) -> Income {
    let (key, finder, subsidy) = (vec![1], None, None);
    Income { key, number: 1, time_ms: 0, coord: 1, finder, paid, subsidy, carried, reserve: 0 }
}

/// What a block pays in all, and what it leaves over.
fn pay(kept: &Kept, settings: &Settings, paid: u64) -> (u64, u64) {
    let given = Smpps::allocate(settings.clone(), income(paid, 0), vec![], kept.state(None)).unwrap();
    (given.amount.iter().sum(), given.carry)
}

proptest! {
    #[test]
    fn what_is_owed_is_paid_in_the_end_and_never_more(
        rounds in proptest::collection::vec(
            (proptest::collection::vec((1..5_u64, 1..333_u64), 0..9), 0..4000_u64), 1..12,
        ),
    ) {
        let settings = Settings::new();
        let (mut kept, mut carried, mut earned, mut credited, mut work) = (Kept::default(), 0, 0, 0, 0);
        for (shares, paid) in rounds {
            let shares: Vec<Share> = shares.into_iter().map(|(miner, work)| share(miner, work)).collect();
            if !shares.is_empty() {
                work += shares.iter().map(|share| share.work).sum::<u64>();
                accrue::<Smpps>(&settings, &mut kept, batch(1, &shares));
            }
            let given = Smpps::allocate(settings.clone(), income(paid, carried), vec![], kept.state(None)).unwrap();
            kept.keep(&given.state, 2);
            earned += paid;
            credited += given.amount.iter().sum::<u64>();
            carried = given.carry;
            prop_assert_eq!(credited + carried, earned);
        }
        // A share is worth ten units a unit of work; four miners' fractions are below a unit each.
        let last = Smpps::allocate(settings, income(1 << 40, 0), vec![], kept.state(None)).unwrap();
        let all = credited + last.amount.iter().sum::<u64>();
        prop_assert!(all <= work * 10 && all + 4 >= work * 10, "{} of {}", all, work * 10);
    }
}
