//! Vardiff over many simulated miners: how soon it finds them, how still it leaves them. Seeded: each run is the same.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use millpond_retarget::{HASHRATE, Run, Session, Spread, Which, quantile, tables};

const SEEDS: u64 = 50;

fn steady(_: f64) -> f64 {
    HASHRATE
}

fn from_start(which: Which, wrong: f64, seconds: f64) -> Vec<Run> {
    (0..SEEDS).map(|seed| Session::from_wrong(which, wrong, seconds).run(steady, seed)).collect()
}

#[test]
fn from_any_start_over_six_orders_of_magnitude_either_way_the_rate_is_found_with_three_changes() {
    for power in -6..=6 {
        let runs = from_start(Which::Ours, 10_f64.powi(power), 3600.0);
        let right = Which::Ours.right(HASHRATE);
        let found: Vec<_> = runs.iter().map(|run| run.found(right, 0.0).expect("never found")).collect();
        let within = found.iter().filter(|(_, changes)| *changes <= 3).count();
        let (median, late) = (
            quantile(found.iter().map(|(at, _)| *at).collect(), 0.5),
            quantile(found.iter().map(|(at, _)| *at).collect(), 0.95),
        );
        assert!(within as f64 >= 0.97 * SEEDS as f64, "1e{power}: {within} of {SEEDS} with three changes");
        assert!(median <= 90.0 && late < 600.0, "1e{power}: {median} s, one in twenty {late} s");
    }
}

fn settled(which: Which, wrong: f64) -> Spread {
    let session = Session::from_wrong(which, wrong, 8.0 * 3600.0);
    let runs = (0..20).map(|seed| session.run(steady, 1_000 + seed));
    runs.map(|run| run.spread(which.right(HASHRATE), 1800.0)).fold(Spread::default(), Spread::with)
}

#[test]
fn a_steady_miner_at_eighteen_a_minute_is_left_alone_within_a_tenth_of_his_difficulty() {
    for wrong in [0.1, 1.0, 30.0] {
        let spread = settled(Which::Ours, wrong);
        assert!(spread.of_a_session() < 0.1, "{}", spread.of_a_session());
        assert!(spread.distance() < 0.1, "{} from a start of {wrong}", spread.distance());
        assert!((0.97..1.03).contains(&spread.mean()), "{} of the right difficulty", spread.mean());
        assert!(spread.changes_an_hour() < 1.0, "{} changes an hour", spread.changes_an_hour());
    }
}

#[test]
fn powers_of_two_are_the_ones_below_and_do_not_flap() {
    // 3,333,333 lies between 2^21 and 2^22.
    let runs = from_start(Which::OursPowersOfTwo, 1e-3, 4.0 * 3600.0);
    let all = runs.iter().flat_map(|run| &run.changes);
    assert!(all.clone().all(|(_, difficulty)| difficulty.log2().fract() == 0.0));
    let spread =
        runs.iter().map(|run| run.spread(2_f64.powi(21), 1800.0)).fold(Spread::default(), Spread::with);
    assert!((0.95..1.2).contains(&spread.mean()), "{}", spread.mean());
    assert!(spread.changes_an_hour() < 0.2, "{} changes an hour", spread.changes_an_hour());
}

/// Of miners whose hashrate changes by a factor after two hours: half are found by, and nineteen of twenty with.
fn after_a_change(factor: f64) -> (f64, usize) {
    let found: Vec<_> = (0..SEEDS)
        .map(|seed| {
            let changing = |t: f64| if t < 7200.0 { HASHRATE } else { HASHRATE * factor };
            let run = Session::from_wrong(Which::Ours, 1.0, 3.0 * 3600.0).run(changing, 5_000 + seed);
            run.found(Which::Ours.right(HASHRATE * factor), 7200.0).expect("never found")
        })
        .collect();
    let times = found.iter().map(|(at, _)| *at).collect();
    (quantile(times, 0.5), quantile(found.iter().map(|(_, changes)| *changes).collect(), 0.95))
}

#[test]
fn a_hashrate_that_rises_or_falls_is_followed_within_minutes() {
    for (factor, seconds) in
        [(100.0, 60.0), (10.0, 60.0), (4.0, 120.0), (2.0, 180.0), (0.5, 400.0), (0.1, 500.0)]
    {
        let (median, changes) = after_a_change(factor);
        assert!(median <= seconds, "{factor}: {median} s");
        assert!(changes <= 3, "{factor}: {changes} changes");
    }
}

#[test]
fn no_honest_share_is_refused_however_often_the_difficulty_changes() {
    let coming_and_going = |t: f64| if t % 180.0 < 60.0 { HASHRATE } else { 1e-9 };
    let mut changes = 0;
    for seed in 0..50 {
        let run = Session::from_wrong(Which::Ours, 1e4, 7200.0).run(coming_and_going, 9_000 + seed);
        assert_eq!(run.rejected, 0);
        assert!(run.shares > 100);
        changes += run.changes.len() - 1;
    }
    assert!(changes > 1000, "this miner has a reason to be changed: {changes}");
}

#[test]
fn the_rules_of_others_are_what_they_are_published_to_be() {
    // From twice the right difficulty ckpool is inside its own hysteresis' lower edge, and stays near it.
    let spread = settled(Which::Ckpool, 1.0);
    assert!(spread.distance() > 0.1, "its hysteresis reaches from 0.5 to 1.33 of the wanted rate");
    // A miner who never sends a share never gets another difficulty from it; miningcore looks at silence.
    let silent = |which| Session::from_wrong(which, 1e6, 3600.0).run(steady, 1).changes.len();
    assert_eq!((silent(Which::Ckpool), silent(Which::Miningcore) > 1), (1, true));
}

#[test]
fn a_miner_too_small_for_any_difficulty_is_at_the_least_one_soon_and_stays_there() {
    for seed in 0..SEEDS {
        // One share a minute at the least difficulty, where 18 are wanted; from ckpool's start.
        let session = Session { which: Which::Ours, start: 42.0, least: 1.0, seconds: 12.0 * 3600.0 };
        let run = session.run(|_| 1.0 / 60.0, 4_000 + seed);
        let (at, last) = *run.changes.last().unwrap();
        assert_eq!(last, 1.0, "{:?}", run.changes);
        assert!(at <= 120.0 && run.changes.len() <= 4, "{:?}", run.changes);
        assert_eq!(run.rejected, 0);
    }
}

#[test]
fn the_tables_have_a_cell_for_each_rule_and_are_the_same_each_time() {
    let mut heard = Vec::new();
    let first = tables(1, |what, done, total| heard.push((what.to_owned(), done, total)));
    assert_eq!(first, tables(1, |_, _, _| {}));
    assert_eq!((first.len(), heard.len()), (5, 5));
    for table in &first {
        assert_eq!(table.rules, ["ours", "ckpool", "miningcore"]);
        assert!(table.rows.len() >= 3 && table.rows.iter().all(|(_, cells)| cells.len() == 3), "{table}");
    }
    assert!(first[4].to_string().contains("| until the least difficulty"), "{}", first[4]);
}
