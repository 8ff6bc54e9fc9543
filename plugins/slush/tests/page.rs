//! The page of Slush's method, and scores against their definition.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use millpond_scheme_history::second::{Kept, accrue, batch, rounds};
use millpond_scheme_history::{Page, Paid, Share};
use millpond_scheme_slush::Slush;
use millpond_sdk::payout_0_2::{Allocation, Batch, Income, Scheme, Setting, Settings};
use proptest::prelude::*;

fn settings(seconds: i64) -> Settings {
    vec![("seconds".to_owned(), Setting::Int(seconds))]
}

#[test]
fn the_page_says_what_is_paid() {
    let page = Page(include_str!("../../../docs/schemes/slush.md"));
    page.describes_0_2::<Slush>();
    let paid = |settings: &Settings, size| -> Vec<Paid> {
        rounds::<Slush>(settings, size).iter().map(|round| round.block()).collect()
    };
    let usual = paid(&Settings::new(), 100);
    page.works_out("## Worked example", &usual);
    page.works_out("## With a day", &paid(&settings(86400), 100));
    Page(include_str!("../../../docs/schemes/README.md")).sums_up("slush", &usual);
    assert_eq!(paid(&settings(86400), 1), paid(&settings(86400), 100));
}

#[test]
fn settings_out_of_bounds_are_refused_by_name() {
    for seconds in [59, 86401, -1, i64::MIN] {
        assert!(Slush::describe(settings(seconds)).unwrap_err().contains("seconds"), "{seconds}");
    }
}

/// A share of one of four miners, so much work of 1000, so many milliseconds behind the one before or ahead of it.
type Step = (u64, u64, i64);

fn steps() -> impl Strategy<Value = Vec<Step>> {
    proptest::collection::vec((1..5_u64, 1..1000_u64, -2000..200_000_i64), 1..60)
}

const BEGAN: u64 = 1_700_000_000_000;

/// These shares as one batch, and the time behind them.
fn shares(first: u64, began: u64, steps: &[Step]) -> (Batch, u64) {
    let share =
        |(miner, work, _): &Step| Share { hour: 0, miner: *miner, work: *work, network: 1000, block: false };
    let mut batch = batch(first, &steps.iter().map(share).collect::<Vec<_>>());
    let mut now = began;
    for (time, (_, _, past)) in batch.time_ms.iter_mut().zip(steps) {
        now = now.checked_add_signed(*past).unwrap();
        *time = now;
    }
    (batch, now)
}

fn pay(kept: &mut Kept, settings: &Settings, paid: u64, carried: u64) -> Allocation {
    let (key, finder, subsidy) = (vec![1], None, None);
    let income = Income { key, number: 1, time_ms: 0, coord: 1, finder, paid, subsidy, carried, reserve: 0 };
    let given = Slush::allocate(settings.clone(), income, vec![], kept.state(None)).unwrap();
    kept.keep(&given.state, 3);
    given
}

const WHOLE: u64 = 1_000_000_000_000;

/// What each of the four is paid.
fn amounts(given: &Allocation) -> [u64; 4] {
    let mut amounts = [0; 4];
    for (miner, amount) in given.miner.iter().zip(&given.amount) {
        amounts[*miner as usize - 1] = *amount;
    }
    amounts
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_block_is_divided_by_scores_of_their_definition(rounds in proptest::collection::vec(steps(), 1..4), seconds in 60..86401_i64) {
        let settings = settings(seconds);
        let (mut kept, mut now, mut newest) = (Kept::default(), BEGAN, 0);
        for steps in rounds {
            let (batch, end) = shares(1, now, &steps);
            now = end;
            // Each share's work times e^(t/C), by the newest time so far.
            let times: Vec<u64> = batch.time_ms.iter().map(|time| { newest = newest.max(*time); newest }).collect();
            let mut scores = [0.0; 4];
            for ((miner, work, _), time) in steps.iter().zip(&times) {
                let age = (newest - time) as f64 / 1000.0 / seconds as f64;
                scores[*miner as usize - 1] += *work as f64 * (-age).exp();
            }
            accrue::<Slush>(&settings, &mut kept, batch);
            let given = pay(&mut kept, &settings, WHOLE, 0);
            prop_assert_eq!(given.amount.iter().sum::<u64>(), WHOLE);
            let whole: f64 = scores.iter().sum();
            for (amount, score) in amounts(&given).into_iter().zip(scores) {
                let exact = WHOLE as f64 * score / whole;
                prop_assert!((amount as f64 - exact).abs() < 3.0, "{} for {}", amount, exact);
            }
            prop_assert!(kept.state(None).miner.is_empty(), "nothing is kept of a round that is over");
        }
    }

    #[test]
    fn any_cut_into_batches_is_one_batch(steps in steps(), cuts in proptest::collection::vec(1..9_usize, 60), seconds in 60..4000_i64) {
        let settings = settings(seconds);
        let (mut once, mut cut) = (Kept::default(), Kept::default());
        accrue::<Slush>(&settings, &mut once, shares(1, BEGAN, &steps).0);
        let (mut rest, mut first, mut now) = (steps.as_slice(), 1, BEGAN);
        for size in cuts {
            let (some, left) = rest.split_at(size.min(rest.len()));
            if !some.is_empty() {
                let (batch, end) = shares(first, now, some);
                (now, first) = (end, first + some.len() as u64);
                accrue::<Slush>(&settings, &mut cut, batch);
            }
            rest = left;
        }
        prop_assert_eq!(once, cut);
    }
}

/// Once around: a share of A, so much time, and one of B of the same work.
fn after(kept: &mut Kept, (before, past, behind): (&Settings, i64, &Settings)) -> [u64; 4] {
    accrue::<Slush>(before, kept, shares(1, BEGAN, &[(1, 100, 0)]).0);
    accrue::<Slush>(behind, kept, shares(2, BEGAN, &[(2, 100, past)]).0);
    amounts(&pay(kept, behind, 1_000_000, 0))
}

#[test]
fn another_c_counts_from_its_own_first_share_on() {
    let (minute, day) = (settings(60), settings(86400));
    // e^-10 of a part, whatever C was when the share before came.
    for before in [&minute, &day] {
        assert_eq!(after(&mut Kept::default(), (before, 600_000, &minute))[0], 45, "{before:?}");
    }
    assert_eq!(after(&mut Kept::default(), (&minute, 600_000, &day))[0], 498_263);
}

#[test]
fn a_clock_that_steps_back_counts_as_the_newest_time() {
    let minute = settings(60);
    assert_eq!(after(&mut Kept::default(), (&minute, -3_600_000, &minute)), [500_000, 500_000, 0, 0]);
    // And time that stands still after it: the hour is over before anything else grows.
    let mut kept = Kept::default();
    let steps = [(1, 100, 0), (2, 100, -60_000), (3, 100, 60_000), (4, 100, 60_000)];
    accrue::<Slush>(&minute, &mut kept, shares(1, BEGAN, &steps).0);
    let [a, b, c, d] = amounts(&pay(&mut kept, &minute, 1_000_000, 0));
    for (paid, exact) in [(a, 174_878), (b, 174_878), (c, 174_878), (d, 475_367)] {
        assert!(paid.abs_diff(exact) <= 1, "{a} {b} {c} {d}");
    }
}

#[test]
fn years_without_a_share_are_no_trouble_and_the_last_share_is_all() {
    let settings = settings(60);
    let mut kept = Kept::default();
    let decade = 10 * 365 * 86_400_000_i64;
    accrue::<Slush>(
        &settings,
        &mut kept,
        shares(1, BEGAN, &[(1, 1000, 0), (2, 1, decade), (3, 1000, decade)]).0,
    );
    assert_eq!(amounts(&pay(&mut kept, &settings, 100, 0)), [0, 0, 100, 0]);
    let mut last = batch(4, &[Share { hour: 0, miner: 4, work: 1000, network: 1000, block: false }]);
    last.time_ms = vec![u64::MAX];
    accrue::<Slush>(&settings, &mut kept, last);
    assert_eq!(amounts(&pay(&mut kept, &settings, 100, 0)), [0, 0, 0, 100]);
}

#[test]
fn an_income_of_nothing_ends_no_round_and_one_without_shares_is_left_over() {
    let settings = Settings::new();
    let mut kept = Kept::default();
    let given = pay(&mut kept, &settings, 70, 7);
    assert_eq!((given.amount.len(), given.carry, given.state.memo.len()), (0, 77, 0));
    accrue::<Slush>(&settings, &mut kept, shares(1, BEGAN, &[(1, 300, 0), (2, 100, 0)]).0);
    let before = kept.clone();
    assert_eq!((pay(&mut kept, &settings, 0, 0).amount.len(), &kept), (0, &before));
    let given = pay(&mut kept, &settings, 70, 30);
    assert_eq!((amounts(&given), given.carry), ([75, 25, 0, 0], 0));
    assert_eq!(pay(&mut kept, &settings, 70, 0).carry, 70);
}
