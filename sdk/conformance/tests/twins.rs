//! Schemes that are known to be bad, natively: for each property one that breaks it, and for each the exact set of
//! properties that fail. A property that passes what it should not, or fails what it should pass, shows here.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod bad;

use bad::{Accrue, Bad, Divide, accruing, exact, fair, rows, terms, units};
use millpond_conformance::history::History;
use millpond_conformance::{Options, Report, Status, scheme};
use millpond_contracts::Settings;
use millpond_contracts::payout::{
    Allocation, Edge, Measure, PayoutScheme, Reversal, Span, State, Terms, Window,
};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

const QUICK: Options = Options { seed: 7, cases: 60, miners: 2_000 };

fn report(bad: Bad) -> Report {
    let scheme: Arc<dyn PayoutScheme> = Arc::new(bad);
    scheme::test("bad", &scheme, &Settings::new(), QUICK)
}

fn divides(terms: Terms, divide: Divide) -> Report {
    report(Bad { terms, divide, accrue: None, fuel: 0, refuses: false })
}

/// The counterexample of the broken property.
fn broken(report: &Report, property: &str) -> String {
    match report.of(property) {
        Some(Status::Fail(example)) => example.clone(),
        other => panic!("{property}: {other:?} in\n{report}"),
    }
}

/// Exactly these fail.
fn fails(report: &Report, expected: &[&str]) {
    let failed: BTreeSet<_> = report.failed().map(|verdict| verdict.property).collect();
    assert_eq!(failed, expected.iter().copied().collect(), "\n{report}");
}

/// What fails with a scheme that the pool's own checks refuse in every history with two miners.
const REFUSED: [&str; 12] = [
    "conserved",
    "no-work-no-pay",
    "deterministic",
    "restored",
    "duplicate",
    "empty",
    "permutation",
    "orphan",
    "same-as-alone",
    "finder-swap",
    "drift",
    "skim",
];

fn refused(also: &[&'static str]) -> Vec<&'static str> {
    REFUSED.iter().chain(also).copied().collect()
}

fn with_finder(span: Span, claims: &[&str]) -> Terms {
    let mut wanted = units(span, claims);
    wanted.windows.push(Window { span: Span::Finder, measure: Measure::Work, edge: Edge::Whole });
    wanted
}

#[test]
fn an_honest_scheme_fails_nothing() {
    let claims = ["permutation", "split", "scale", "monotone", "hopping-neutral"];
    let report = divides(units(Span::Work(2000), &claims), fair);
    fails(&report, &[]);
    let once = divides(terms(Span::Round, &["share-once", "split", "scale", "monotone"]), fair);
    fails(&once, &[]);
    assert!(matches!(once.of("share-once"), Some(Status::Pass(_))), "{once}");
    assert_eq!(once.of("hopping-neutral"), Some(&Status::NotClaimed));
}

#[test]
fn a_window_beyond_every_history_is_told() {
    let report = divides(terms(Span::Shares(1_000_000), &[]), fair);
    fails(&report, &[]);
    let Some(Status::NotRun(why)) = report.of("logs") else { panic!("{report}") };
    assert!(why.starts_with("window 0, Shares(1000000), has its edge 3000000 shares away"), "{why}");
}

#[test]
fn money_out_of_nothing_and_money_lost_are_found() {
    let minting: Divide = |income, windows, state| {
        let mut given = fair(income, windows, state);
        given.rest += 1;
        given
    };
    let report = divides(terms(Span::Round, &[]), minting);
    fails(&report, &refused(&["edges", "bounded"]));
    let example = broken(&report, "conserved");
    assert!(example.contains("amounts and rest sum to the income"), "{example}");
    // The smallest history: one share, and its block pays nothing.
    let smallest = "\n   1  shares: miner 1 works 1\n   2  the newest share found a block, which pays 0\n";
    assert!(example.ends_with(smallest), "{example}");
}

#[test]
fn one_row_twice_and_somebody_unknown_are_found() {
    let doubled: Divide = |income, windows, state| {
        let mut given = fair(income, windows, state);
        if let (Some(miner), Some(amount)) = (given.miner.first().copied(), given.amount.first().copied()) {
            given.miner.insert(0, miner);
            given.amount.insert(0, amount);
            given.rest = given.rest.saturating_sub(amount);
        }
        given
    };
    assert!(broken(&divides(terms(Span::Round, &[]), doubled), "conserved").contains("strictly ascending"));
    let stranger: Divide = |income, windows, state| {
        let mut given = fair(income, windows, state);
        given.miner.iter_mut().for_each(|miner| *miner = miner.saturating_add(1_000));
        given
    };
    let report = divides(terms(Span::Round, &[]), stranger);
    assert!(broken(&report, "conserved").contains("only miners that were handed in"));
}

#[test]
fn pay_for_no_work_is_found() {
    let generous: Divide = |income, windows, _| {
        let equal: Vec<_> = rows(&windows[0]).into_iter().map(|(miner, _)| (miner, 1)).collect();
        exact(income.gross, &equal)
    };
    let report = divides(terms(Span::Round, &["scale"]), generous);
    fails(&report, &["no-work-no-pay"]);
    assert!(broken(&report, "no-work-no-pay").contains("for no work"));
}

#[test]
fn a_scheme_that_is_not_a_function_of_its_arguments_is_found() {
    static CALLS: AtomicU64 = AtomicU64::new(0);
    let moody: Divide = |income, windows, _| {
        let kept = CALLS.fetch_add(1, Ordering::Relaxed) / 2 % 2;
        let mut given = exact(income.gross - income.gross.min(kept), &rows(&windows[0]));
        given.rest += income.gross.min(kept);
        given
    };
    let report = divides(terms(Span::Round, &[]), moody);
    for property in ["deterministic", "restored", "duplicate"] {
        broken(&report, property);
    }
}

#[test]
fn a_scheme_that_will_not_divide_without_work_is_found() {
    let wanted = terms(Span::Round, &[]);
    let report = report(Bad { terms: wanted, divide: fair, accrue: None, fuel: 0, refuses: true });
    fails(
        &report,
        &[
            "conserved",
            "deterministic",
            "empty",
            "edges",
            "restored",
            "duplicate",
            "permutation",
            "no-work-no-pay",
            "same-as-alone",
            "finder-swap",
            "drift",
        ],
    );
}

#[test]
fn a_favourite_name_is_found() {
    let favour: Divide = |income, windows, _| {
        let doubled: Vec<_> = rows(&windows[0])
            .into_iter()
            .map(|(m, sum)| (m, if m == 1 { sum } else { sum.div_ceil(2) }))
            .collect();
        exact(income.gross, &doubled)
    };
    let report = divides(terms(Span::Round, &[]), favour);
    fails(&report, &refused(&[]));
    assert!(broken(&report, "conserved").contains("renaming the miners changes nothing"));
}

#[test]
fn a_name_in_the_memo_is_found() {
    // The renamed run keeps another name: a choice that depends on names, to be paid by later.
    let noting: Divide = |income, windows, state| {
        let mut given = fair(income, windows, state);
        given.state.memo = given.miner.first().map_or(Vec::new(), |miner| miner.to_le_bytes().to_vec());
        given
    };
    let noted = Terms { state_format: "name".into(), reversal: Reversal::Restore, ..terms(Span::Round, &[]) };
    let report = divides(noted, noting);
    fails(&report, &["permutation"]);
    assert!(broken(&report, "permutation").contains("the memo is another"));
}

#[test]
fn a_lost_income_that_leaves_traces_is_found_unless_it_is_restored() {
    // Remembers in its memo that it has paid before, and then pays less.
    let grudging: Divide = |income, windows, state| {
        let kept = if state.memo.is_empty() { 0 } else { income.gross / 10 };
        let mut given = exact(income.gross - kept, &rows(&windows[0]));
        given.rest += kept;
        given.state.memo = vec![1];
        given
    };
    let dropped = Terms { state_format: "memo".into(), ..terms(Span::Round, &[]) };
    let report = divides(dropped.clone(), grudging);
    fails(&report, &["orphan"]);
    let example = broken(&report, "orphan");
    assert!(
        example.contains("lost at the end: the state at the end is another; declare reversal `restore`"),
        "{example}"
    );
    // The smallest one: a share, its block.
    assert!(example.contains("\n   2  the newest share found a block, which pays 0\n"), "{example}");
    fails(&divides(Terms { reversal: Reversal::Restore, ..dropped }, grudging), &[]);
}

#[test]
fn a_scheme_that_wraps_at_the_edge_of_its_integers_is_found() {
    let narrow: Divide = |income, windows, _| {
        let low: Vec<_> =
            windows[0].miner.iter().zip(&windows[0].low).map(|(m, low)| (*m, u128::from(*low))).collect();
        let total = low.iter().map(|row| row.1 as u64).fold(0_u64, u64::wrapping_add).max(1);
        let mut given = Allocation { rest: income.gross, ..Allocation::default() };
        for (miner, sum) in low {
            let part = (income.gross as u128 * sum / u128::from(total)) as u64;
            if part > 0 {
                given.miner.push(miner);
                given.amount.push(part);
                given.rest = given.rest.wrapping_sub(part);
            }
        }
        given
    };
    let report = divides(terms(Span::Round, &[]), narrow);
    fails(&report, &["edges", "bounded", "no-work-no-pay", "permutation"]);
}

#[test]
fn a_scheme_that_needs_more_the_more_miners_there_are_is_found() {
    let report =
        report(Bad { terms: terms(Span::Round, &[]), divide: fair, accrue: None, fuel: 10, refuses: false });
    fails(&report, &["bounded"]);
    assert_eq!(broken(&report, "bounded"), "with 2000 miners: fuel 20000 of 1000");
}

#[test]
fn a_claim_of_split_invariance_that_is_wrong_is_found() {
    let per_head: Divide = |income, windows, _| {
        let equal: Vec<_> = rows(&windows[0]).into_iter().map(|(m, sum)| (m, u128::from(sum > 0))).collect();
        exact(income.gross, &equal)
    };
    // The pool splits the largest miner itself, where the claim is made.
    let report = divides(terms(Span::Round, &["split", "monotone", "scale"]), per_head);
    assert!(broken(&report, "split").contains("\n   1  shares: "), "{report}");
    fails(&divides(terms(Span::Round, &["monotone", "scale"]), per_head), &[]);
}

#[test]
fn a_scheme_that_pays_less_for_more_work_is_found() {
    let queer: Divide = |income, windows, _| {
        let inverse: Vec<_> = rows(&windows[0])
            .into_iter()
            .map(|(m, sum)| (m, (1_u128 << 40) / sum.saturating_add(1) * u128::from(sum > 0)))
            .collect();
        exact(income.gross, &inverse)
    };
    let report = divides(terms(Span::Round, &["monotone", "scale"]), queer);
    fails(&report, &["monotone", "scale"]);
    assert!(broken(&report, "monotone").contains("for more work"));
}

#[test]
fn a_share_paid_twice_is_found_where_it_is_claimed_not_to_be() {
    let report = divides(terms(Span::Shares(100), &["share-once"]), fair);
    fails(&report, &["share-once"]);
    assert!(
        broken(&report, "share-once")
            .contains("a miner whose shares are all before the first income is paid 2 times")
    );
}

#[test]
fn hoppers_are_found_out_where_a_scheme_claims_that_they_gain_nothing() {
    let found = |wanted: Terms, divide: Divide, scenario: &str| {
        let report = divides(wanted, divide);
        fails(&report, &["hopping-neutral"]);
        let example = broken(&report, "hopping-neutral");
        assert!(example.starts_with(scenario), "{example}");
    };
    found(terms(Span::Round, &["hopping-neutral"]), fair, "hopping by the round's age: a hopper earns ");
    // The last 120 shares by work are fair by the round's age, not when difficulty falls; nor are windows of work.
    for span in [Span::Shares(120), Span::Work(8000), Span::Work(2000), Span::Millis(240_000)] {
        found(terms(span, &["hopping-neutral"]), fair, "hopping before a retarget: a hopper earns ");
    }
    let incentive: Divide = |income, windows, _| {
        let mut weights = rows(&windows[0]);
        let total = weights.iter().map(|row| row.1).fold(0_u128, u128::saturating_add);
        let lacking = (1_u128 << 64).saturating_sub(total);
        let Some(finder) = windows[1].miner.first().copied() else { return exact(income.gross, &weights) };
        match weights.binary_search_by_key(&finder, |row| row.0) {
            Ok(at) => weights[at].1 += lacking,
            Err(at) => weights.insert(at, (finder, lacking)),
        }
        exact(income.gross, &weights)
    };
    let wanted = with_finder(Span::Round, &["hopping-neutral", "monotone", "split"]);
    found(wanted, incentive, "hopping by the round's age: a hopper earns ");
}

#[test]
fn leaving_before_a_halving_pays_where_units_are_paid_at_the_blocks_reward() {
    let report = divides(units(Span::Work(2000), &["hopping-neutral", "amplified"]), fair);
    fails(&report, &["amplified"]);
    assert!(broken(&report, "amplified").starts_with("hopping before a halving: a hopper earns "));
}

/// A tenth to one miner, the rest by units.
fn with_bonus(gross: u64, window: &[(u64, u128)], to: Option<u64>) -> Allocation {
    let bonus = to.map_or(0, |_| gross / 10);
    let mut given = exact(gross - bonus, window);
    let Some(to) = to.filter(|_| bonus > 0) else { return given };
    match given.miner.binary_search(&to) {
        Ok(at) => given.amount[at] += bonus,
        Err(at) => {
            given.miner.insert(at, to);
            given.amount.insert(at, bonus);
        }
    }
    given
}

#[test]
fn a_bonus_is_honest_for_the_declared_finder_and_not_for_the_largest() {
    let claims = ["split", "permutation", "hopping-neutral"];
    let finder: Divide =
        |income, windows, _| with_bonus(income.gross, &rows(&windows[0]), windows[1].miner.first().copied());
    fails(&divides(with_finder(Span::Work(2000), &claims), finder), &[]);
    // Undeclared it is a favour.
    let hidden: Divide = |income, windows, _| with_bonus(income.gross, &rows(&windows[0]), income.finder);
    fails(&divides(units(Span::Work(2000), &claims), hidden), &["finder-swap"]);
    fails(&divides(units(Span::Work(2000), &["finder-bonus"]), hidden), &[]);
}

const WHOLE: u128 = 1 << 64;

#[test]
fn credits_that_depend_on_how_shares_are_cut_are_found() {
    // Rounds each batch down, and forgets what is left.
    let floored: Accrue = |batch, _| {
        let due = accruing(batch).into_iter().map(|(miner, due)| (miner, due / WHOLE));
        bad::credit(due, Vec::new())
    };
    let report = report(Bad {
        terms: bad::reserve(&[]),
        divide: bad::nothing,
        accrue: Some(floored),
        fuel: 0,
        refuses: false,
    });
    fails(&report, &["batches"]);
    assert!(broken(&report, "batches").contains("with batches that end at shares ["));
}

#[test]
fn a_debt_that_is_called_small_change_is_found() {
    // Keeps what it owes until it is worth a thousand units.
    let owing: Accrue = |batch, state| {
        let mut kept = Vec::new();
        let due: Vec<_> = accruing(batch)
            .into_iter()
            .map(|(miner, due)| {
                let at = state.miner.binary_search(&miner).map(|at| state.cells[at]).unwrap_or(0);
                let owed = at + (due / WHOLE) as u64;
                let paid = owed / 1_000 * 1_000;
                kept.push((miner, owed - paid));
                (miner, u128::from(paid))
            })
            .collect();
        bad::credit(due, kept)
    };
    let claiming = |claim: &str| {
        let terms = bad::reserve(&[claim]);
        report(Bad { terms, divide: bad::nothing, accrue: Some(owing), fuel: 0, refuses: false })
    };
    // Who credits shares draws on the reserve with every one.
    let drawing = claiming("no-deficit");
    fails(&drawing, &["batches", "newcomer", "no-deficit"]);
    assert!(broken(&drawing, "no-deficit").contains("on the reserve"));
    let report = claiming("small-change");
    // It rounds each batch down as well, and who has a new name waits anew.
    fails(&report, &["batches", "newcomer", "small-change"]);
    assert!(broken(&report, "small-change").contains("when the state is dropped behind step"));
}

/// A proportional round whose scores the scheme keeps itself, share by share.
fn by_scores(claims: &[&str]) -> Bad {
    let score: Accrue = |batch, state| {
        let mut scores = std::collections::BTreeMap::<u64, u64>::new();
        for at in 0..batch.miner.len() {
            let network = u128::from(batch.network_high[at]) << 64 | u128::from(batch.network_low[at]);
            let kept = || state.miner.binary_search(&batch.miner[at]).map_or(0, |at| state.cells[at]);
            let value = (u128::from(batch.work[at]) << 32) / network;
            *scores.entry(batch.miner[at]).or_insert_with(kept) += u64::try_from(value).unwrap();
        }
        bad::credit([], scores.into_iter().collect())
    };
    let divide: Divide = |income, _, state| {
        let scores: Vec<_> =
            state.miner.iter().copied().zip(state.cells.iter().map(|cell| (*cell).into())).collect();
        let mut given = exact(income.gross, &scores);
        given.state.miner.clone_from(&state.miner);
        given.state.cells = vec![0; state.cells.len()];
        given
    };
    let wanted = Terms { reserve: false, ..bad::reserve(claims) };
    Bad { terms: wanted, divide, accrue: Some(score), fuel: 0, refuses: false }
}

#[test]
fn scores_of_shares_are_divided_with_the_block_that_they_found() {
    fails(&report(by_scores(&["split", "scale", "share-once"])), &[]);
    // Not one round late: a hopper gains what he gains by the window of the round, over the same shares.
    let by_scores = report(by_scores(&["hopping-neutral"]));
    fails(&by_scores, &["hopping-neutral"]);
    let by_window = divides(terms(Span::Round, &["hopping-neutral"]), fair);
    assert_eq!(broken(&by_scores, "hopping-neutral"), broken(&by_window, "hopping-neutral"));
}

/// Owes each share its value, rounded down.
fn owing(claims: &[&str], divide: Divide) -> Bad {
    let owe: Accrue = |batch, state| {
        let mut owed = std::collections::BTreeMap::<u64, u64>::new();
        for at in 0..batch.miner.len() {
            let network = u128::from(batch.network_high[at]) << 64 | u128::from(batch.network_low[at]);
            let kept = || state.miner.binary_search(&batch.miner[at]).map_or(0, |at| state.cells[at]);
            let value = u128::from(batch.work[at]) * u128::from(batch.reward[at]) / network;
            *owed.entry(batch.miner[at]).or_insert_with(kept) += u64::try_from(value).unwrap();
        }
        bad::credit([], owed.into_iter().collect())
    };
    let wanted = Terms { reserve: false, ..bad::reserve(claims) };
    Bad { terms: wanted, divide, accrue: Some(owe), fuel: 0, refuses: false }
}

/// What is owed, out of so much.
fn pay_what_is_owed(gross: u64, state: &State) -> Allocation {
    let sum: u64 = state.cells.iter().sum();
    let funds = u128::from(gross.min(sum));
    let part = |owed: &u64| (u128::from(*owed) * funds / u128::from(sum.max(1))) as u64;
    let parts: Vec<u64> = state.cells.iter().map(part).collect();
    let paid = state.miner.iter().copied().zip(parts.iter().copied()).filter(|row| row.1 > 0);
    let (miner, amount): (Vec<_>, Vec<_>) = paid.unzip();
    let rest = gross - amount.iter().sum::<u64>();
    let cells = state.cells.iter().zip(parts).map(|(owed, part)| owed - part).collect();
    let state = State { memo: Vec::new(), miner: state.miner.clone(), cells };
    Allocation { miner, amount, rest, state, ..Allocation::default() }
}

#[test]
fn what_is_owed_is_no_part_of_an_income_and_nobody_gets_a_part_beside_it() {
    let honest: Divide = |income, _, state| pay_what_is_owed(income.gross, state);
    fails(&report(owing(&["owed", "split"], honest)), &[]);
    let undeclared = report(owing(&["split"], honest));
    fails(&undeclared, &["drift"]);
    assert!(broken(&undeclared, "drift").contains("by his part of a large one"));
    // A hundredth of what is left over, of large incomes alone, to who is owed most.
    let hidden: Divide = |income, _, state| {
        let mut given = pay_what_is_owed(income.gross, state);
        let most = given.amount.iter().enumerate().max_by_key(|row| *row.1).map(|row| row.0);
        if let Some(most) = most.filter(|_| income.gross > 1 << 50) {
            given.amount[most] += given.rest / 100;
            given.rest -= given.rest / 100;
        }
        given
    };
    fails(&report(owing(&["owed", "split"], hidden)), &["drift"]);
}

/// Keeps of each miner what he has earned, in units and 2^-64 units, and what he was paid.
fn accounts(claims: &[&str], divide: Divide) -> Bad {
    let earn: Accrue = |batch, state| {
        let mut kept = State::default();
        for (miner, value) in accruing(batch) {
            let at = state.miner.binary_search(&miner).map(|at| at * 3);
            let cell = |place: usize| at.map_or(0, |at| state.cells[at + place]);
            let earned = (u128::from(cell(0)) << 64 | u128::from(cell(1))) + value;
            kept.miner.push(miner);
            kept.cells.extend([(earned >> 64) as u64, earned as u64, cell(2)]);
        }
        Allocation { state: kept, ..Allocation::default() }
    };
    let wanted = Terms { cells: 3, reserve: false, ..bad::reserve(claims) };
    Bad { terms: wanted, divide, accrue: Some(earn), fuel: 0, refuses: false }
}

/// Pays each account what a rule says of (earned, paid, gross, all that is owed), and begins anew where all is paid.
fn pay_accounts(gross: u64, state: &State, rule: impl Fn(&[(u64, u64)], u64) -> Vec<u64>) -> Allocation {
    let accounts: Vec<(u64, u64)> = state.cells.chunks(3).map(|cells| (cells[0], cells[2])).collect();
    let owed: u64 = accounts.iter().map(|(earned, paid)| earned - paid).sum();
    let all = owed <= gross;
    let parts = if all {
        accounts.iter().map(|(earned, paid)| earned - paid).collect()
    } else {
        rule(&accounts, gross)
    };
    let mut given = Allocation { rest: gross, ..Allocation::default() };
    for (at, part) in parts.into_iter().enumerate() {
        let cells = &state.cells[at * 3..at * 3 + 3];
        if part > 0 {
            given.miner.push(state.miner[at]);
            given.amount.push(part);
            given.rest -= part;
        }
        if all || part > 0 {
            given.state.miner.push(state.miner[at]);
            given.state.cells.extend(if all {
                [0, cells[1], 0]
            } else {
                [cells[0], cells[1], cells[2] + part]
            });
        }
    }
    given
}

/// Up to the highest level that the income reaches for, by bisection.
fn up_to_a_level(accounts: &[(u64, u64)], gross: u64) -> Vec<u64> {
    const ONE: u128 = 1 << 60;
    let parts = |level: u128| -> Vec<u64> {
        let part =
            |(earned, paid): &(u64, u64)| ((u128::from(*earned) * level / ONE) as u64).saturating_sub(*paid);
        accounts.iter().map(part).collect()
    };
    let (mut low, mut high) = (0, ONE);
    while high - low > 1 {
        let middle = (low + high) / 2;
        if parts(middle).iter().sum::<u64>() <= gross { low = middle } else { high = middle }
    }
    parts(low)
}

#[test]
fn who_is_paid_while_another_is_paid_less_of_his_earnings_is_found() {
    let honest: Divide = |income, _, state| pay_accounts(income.gross, state, up_to_a_level);
    let passes = report(accounts(&["equalised", "by-history", "scale", "monotone"], honest));
    fails(&passes, &[]);
    assert!(matches!(passes.of("equalised"), Some(Status::Pass(_))), "{passes}");
    // Without what it declares.
    let undeclared = report(accounts(&["by-history"], honest));
    fails(&undeclared, &["drift"]);
    assert!(broken(&undeclared, "drift").contains("by his part of a large one"));
    fails(&report(accounts(&["equalised"], honest)), &["newcomer"]);

    // Everybody the same part of what he is owed.
    let alike: Divide = |income, _, state| {
        pay_accounts(income.gross, state, |accounts, gross| {
            let owed: u64 = accounts.iter().map(|(earned, paid)| earned - paid).sum();
            let part = |(earned, paid): &(u64, u64)| {
                u128::from(earned - paid) * u128::from(gross) / u128::from(owed)
            };
            accounts.iter().map(|account| part(account) as u64).collect()
        })
    };
    fails(&report(accounts(&["owed"], alike)), &[]);
    let alike = report(accounts(&["equalised"], alike));
    fails(&alike, &["equalised"]);
    assert!(broken(&alike, "equalised").contains("while somebody has"), "{alike}");

    // A hundredth of what is there is kept back, and of large incomes alone.
    let slow: Divide = |income, _, state| {
        pay_accounts(income.gross, state, |accounts, gross| up_to_a_level(accounts, gross - gross / 100))
    };
    let slow = report(accounts(&["equalised", "by-history"], slow));
    fails(&slow, &["equalised", "drift"]);
    assert!(broken(&slow, "equalised").contains("over while shares are owed"), "{slow}");
    // A unit less of what is owed, of large incomes alone.
    let last: Divide = |income, _, state| {
        let mut given = pay_accounts(income.gross, state, up_to_a_level);
        let most = given.amount.iter().enumerate().max_by_key(|row| *row.1).map(|row| row.0);
        if let Some(most) = most.filter(|_| income.gross > 1 << 50) {
            given.amount[most] -= 1;
            given.rest += 1;
        }
        given
    };
    fails(&report(accounts(&["equalised", "by-history"], last)), &["drift"]);
}

#[test]
fn a_reserve_keeps_its_part_of_a_lost_income_and_gives_back_what_it_still_has() {
    // Nine tenths into the reserve, out of which shares are credited.
    let tenth: Divide = |income, windows, _| {
        let mut given = exact(income.gross / 10, &rows(&windows[0]));
        given.rest += income.gross - income.gross / 10;
        given
    };
    let credited: Accrue = |batch, _| {
        let mut due = std::collections::BTreeMap::<u64, u128>::new();
        for at in 0..batch.miner.len() {
            let network = u128::from(batch.network_high[at]) << 64 | u128::from(batch.network_low[at]);
            *due.entry(batch.miner[at]).or_default() +=
                u128::from(batch.work[at]) * u128::from(batch.reward[at]) / network;
        }
        bad::credit(due, Vec::new())
    };
    let wanted = |reversal| Terms {
        windows: units(Span::Work(2000), &[]).windows,
        reversal,
        cells: 0,
        state_format: String::new(),
        ..bad::reserve(&[])
    };
    let of = |reversal| {
        let terms = wanted(reversal);
        report(Bad { terms, divide: tenth, accrue: Some(credited), fuel: 0, refuses: false })
    };
    fails(&of(Reversal::KeepReserve), &[]);
    fails(&of(Reversal::Drop), &[]);
}

#[test]
fn a_claim_that_nobody_knows_is_told() {
    let report = divides(terms(Span::Round, &["fairness"]), fair);
    assert!(broken(&report, "claims").starts_with("\"fairness\" is no property; there are "));
    fails(&report, &["claims"]);
}

#[test]
fn a_counterexample_is_run_again_from_its_file() {
    let inverse: Divide = |income, windows, _| {
        let rows: Vec<_> = rows(&windows[0]).into_iter().map(|(m, sum)| (m, WHOLE / sum.max(1))).collect();
        exact(income.gross, &rows)
    };
    let bad = || Bad {
        terms: terms(Span::Round, &["monotone"]),
        divide: inverse,
        accrue: None,
        fuel: 0,
        refuses: false,
    };
    let report = report(bad());
    let found = report.counterexamples.iter().find(|found| found.property == "monotone").unwrap();
    let file = serde_json::to_vec(&found.history).unwrap();
    let history: History = serde_json::from_slice(&file).unwrap();
    assert_eq!(history, found.history);
    let scheme: Arc<dyn PayoutScheme> = Arc::new(bad());
    let again = scheme::test_history("bad", &scheme, &Settings::new(), QUICK, &history).unwrap();
    assert_eq!(broken(&again, "monotone"), found.why);
    assert!(matches!(again.of("conserved"), Some(Status::Pass(_))), "{again}");
}
