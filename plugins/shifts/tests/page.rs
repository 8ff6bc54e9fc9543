//! The page of PPLNS by shifts, and shifts against their definition.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use millpond_scheme_history::second::{Kept, accrue, batch, rounds};
use millpond_scheme_history::{Page, Paid, Share};
use millpond_scheme_shifts::Shifts;
use millpond_sdk::payout_0_2::{Income, Scheme, Setting, Settings};
use proptest::prelude::*;

#[test]
fn the_page_says_what_is_paid() {
    let page = Page(include_str!("../../../docs/schemes/shifts.md"));
    page.describes_0_2::<Shifts>();
    let paid: Vec<Paid> = rounds::<Shifts>(&Settings::new(), 100).iter().map(|round| round.block()).collect();
    page.works_out("## Worked example", &paid);
    Page(include_str!("../../../docs/schemes/README.md")).sums_up("shifts", &paid);
    assert_eq!(rounds::<Shifts>(&Settings::new(), 1), rounds::<Shifts>(&Settings::new(), 100));
}

fn settings(shifts: i64, minutes: i64) -> Settings {
    [("minutes", minutes), ("shifts", shifts)]
        .map(|(name, value)| (name.to_owned(), Setting::Int(value)))
        .to_vec()
}

#[test]
fn settings_out_of_bounds_are_refused_by_name() {
    for (shifts, minutes, what) in
        [(0, 50, "shifts"), (7, 50, "shifts"), (6, 0, "minutes"), (6, 1441, "minutes")]
    {
        assert!(Shifts::describe(settings(shifts, minutes)).unwrap_err().contains(what));
    }
}

/// A share of the kept history: when, whose, how much, and in which shift by the definition.
struct Done {
    miner: u64,
    work: u64,
    shift: u64,
}

/// The state says when the newest period began and not which one it was: with other minutes that would be years away.
#[test]
fn shifts_end_by_the_clock_after_the_minutes_were_changed() {
    let share = |hour, miner| batch(1, &[Share { hour, miner, work: 10, network: 64, block: false }]);
    for (before, after) in [(50, 1440), (1440, 50), (50, 60)] {
        let mut kept = Kept::default();
        accrue::<Shifts>(&settings(1, before), &mut kept, share(500, 1));
        accrue::<Shifts>(&settings(1, after), &mut kept, share(549, 2));
        let (key, finder, subsidy) = (vec![1], None, None);
        let income = Income {
            key,
            number: 1,
            time_ms: 0,
            coord: 1,
            finder,
            paid: 1_000,
            subsidy,
            carried: 0,
            reserve: 0,
        };
        let given = Shifts::allocate(settings(1, after), income, vec![], kept.state(None)).unwrap();
        assert_eq!((given.miner, given.amount), (vec![2], vec![1_000]), "{before} to {after} minutes");
    }
}

proptest! {
    #[test]
    fn a_block_is_divided_over_the_last_shifts_by_their_definition(
        steps in proptest::collection::vec((1..5_u64, 1..64_u64, 0..5_u64, any::<bool>(), 0..4_u8), 1..80),
        shifts in 1..7_i64,
        hours in 1..4_u64,
    ) {
        let settings = settings(shifts, hours as i64 * 60);
        let (mut kept, mut hour, mut newest) = (Kept::default(), 10_u64, 0_u64);
        let (mut done, mut shift, mut behind_block) = (Vec::<Done>::new(), 0_u64, false);
        for (miner, work, ahead, back, block) in steps {
            // Clocks step back as well.
            hour = if back { hour.saturating_sub(ahead) } else { hour + ahead };
            let period = hour / hours;
            if !done.is_empty() && (behind_block || period > newest) {
                shift += 1;
            }
            (newest, behind_block) = (newest.max(period), false);
            done.push(Done { miner, work, shift });
            accrue::<Shifts>(&settings, &mut kept, batch(1, &[Share { hour, miner, work, network: 64, block: false }]));
            if block > 0 {
                continue;
            }
            let (key, finder, subsidy) = (vec![1], None, None);
            let income = Income { key, number: 1, time_ms: 0, coord: 1, finder, paid: 1_000_000, subsidy, carried: 0, reserve: 0 };
            let given = Shifts::allocate(settings.clone(), income, vec![], kept.state(None)).unwrap();
            kept.keep(&given.state, 7);
            behind_block = true;
            let counts: Vec<&Done> = done.iter().filter(|share| share.shift + shifts as u64 > shift).collect();
            let total: u64 = counts.iter().map(|share| share.work).sum();
            for miner in 1..5 {
                let own: u64 = counts.iter().filter(|share| share.miner == miner).map(|share| share.work).sum();
                let paid = given.miner.iter().position(|name| *name == miner).map_or(0, |at| given.amount[at]);
                prop_assert!((paid * total).abs_diff(own * 1_000_000) < total, "{} for {} of {}", paid, own, total);
            }
            prop_assert_eq!((given.amount.iter().sum::<u64>(), given.carry), (1_000_000, 0));
        }
        prop_assert!(kept.state(None).miner.len() <= 4);
    }
}
