//! What a window owes for work of before a swap is paid by its own rule, to the unit and once.

use crate::support::{Pool, trapping, trapping_window, wanted};
use crate::swaps::another_version;
use millpond_contracts::Setting;
use millpond_disk::Keep;
use millpond_journal::{BlockFate, Fate, Income, Policy, RUN_OFF, Setting as Recorded};
use millpond_ledger::{Entry, Owner};
use millpond_payout::SwapError;
use millpond_pool::books::BooksError;
use millpond_pool::policy::Wanted;
use millpond_types::{Amount, MinerId, UnixMillis};
use proptest::prelude::*;
use std::collections::BTreeMap;

/// PPLNS over so many thousandths of a block's expected shares.
pub fn pplns(window: i64) -> Wanted {
    wanted("pplns", vec![("window".to_owned(), Setting::Int(window))], 0)
}

/// The same, running off whom it follows.
pub fn run_off(wanted: Wanted) -> Wanted {
    Wanted { run_off: Some(1000), ..wanted }
}

/// Another version of the same.
pub fn version(wanted: &Wanted) -> Wanted {
    run_off(Wanted { scheme: another_version(&wanted.scheme), ..wanted.clone() })
}

/// Another scheme that does the same.
pub fn again(wanted: &Wanted) -> Wanted {
    let mut other = version(wanted);
    other.scheme.name.push_str("-again");
    other
}

/// What each income gave these miners, in the order in which they were divided.
pub fn parts(pool: &Pool, miners: &[MinerId]) -> Vec<Vec<u64>> {
    let mut all = Vec::new();
    let mut take = |entry: &Entry| {
        if let Entry::IncomeAllocated(income) = entry {
            all.push(miners.iter().map(|miner| income.parts.of(&Owner::Miner(*miner)).0).collect());
        }
    };
    let each = &mut |line: &millpond_ledger::Record, _: &_| {
        take(&line.entry);
        Ok(())
    };
    pool.ledger.reader().for_each_record(each).unwrap();
    all
}

/// What the newest policy says of whom it follows.
pub fn follows(pool: &Pool) -> Option<String> {
    said(&pool.journal.newest_policy().unwrap())
}

pub fn said(policy: &Policy) -> Option<String> {
    policy.scheme.settings.iter().find_map(|(name, value)| match value {
        Recorded::Text(text) if name == RUN_OFF => Some(text.clone()),
        _ => None,
    })
}

/// Whether the newest policy still has the one before it pay.
pub fn is_open(pool: &Pool) -> bool {
    follows(pool).is_some_and(|text| text.contains("\"old\""))
}

pub fn in_force(pool: &Pool) -> String {
    pool.journal.newest_policy().unwrap().scheme.name
}

/// The same work of three miners, of whom c works before the first block alone. Behind some of sixteen blocks other policies
/// are ordered.
pub fn history(first: &Wanted, orders: &[(u64, &Wanted)]) -> (Pool, [MinerId; 3]) {
    let mut pool = Pool::start(first);
    pool.tell_subsidy(4_000_000_000);
    let [a, b, c] = ["a", "b", "c"].map(|name| pool.miner(name));
    for (miner, work) in [(c, 700), (a, 33), (b, 91), (c, 411)] {
        pool.share(miner, work);
    }
    for block in 0..16_u64 {
        for (_, next) in orders.iter().filter(|(at, _)| *at == block) {
            pool.swap(next);
        }
        pool.share(a, 57 + block * 3);
        pool.share(b, 101 - block);
        let income = pool.block(if block % 3 == 0 { b } else { a }, 5_000_000_019 + block);
        pool.mature(&income);
    }
    assert!(pool.ledger.totals().conserved);
    assert_eq!(pool.replay().unwrap().incomes, 16);
    (pool, [a, b, c])
}

pub fn differ_by(one: &[Vec<u64>], other: &[Vec<u64>]) -> u64 {
    assert_eq!(one.len(), other.len());
    let all = one.iter().flatten().zip(other.iter().flatten());
    all.map(|(one, other)| one.abs_diff(*other)).max().unwrap()
}

#[test]
fn a_swap_between_two_windows_costs_nobody_a_unit() {
    let by = |by: &str, name: &str, value| {
        let by = ("by".to_owned(), Setting::Text(by.to_owned()));
        wanted("pplns-window", vec![by, (name.to_owned(), Setting::Int(value))], 0)
    };
    // By units, by work, by a number of shares, and by time: that one never passes.
    let windows =
        [pplns(2_000), wanted("tides", Vec::new(), 0), by("shares", "shares", 15), by("time", "hours", 1)];
    for first in windows {
        let (plain, miners) = history(&first, &[]);
        let (swapped, same) = history(&first, &[(2, &again(&first))]);
        assert_eq!(same, miners);
        let (plain, swapped) = (parts(&plain, &miners), parts(&swapped, &miners));
        // Of the old part, the new one and the plain one each is rounded.
        assert!(differ_by(&plain, &swapped) <= 2, "{plain:?} and {swapped:?}");
        // Both sides of the window were paid.
        assert!(swapped[3][2] > 0 && swapped[3][0] > 0, "{swapped:?}");
        // Without the word for it the same window reaches back over the boundary by itself.
        let (unsaid, _) = history(&first, &[(2, &Wanted { run_off: None, ..again(&first) })]);
        assert_eq!(plain, parts(&unsaid, &miners));
    }
}

/// Beside another scheme a bonus, and what is carried, is of the rest.
#[test]
fn another_version_of_a_scheme_goes_on_as_it_is() {
    let carry = ("unfilled".to_owned(), Setting::Text("carry".to_owned()));
    let window = ("window".to_owned(), Setting::Int(6_000));
    for first in [wanted("finder-bonus", Vec::new(), 0), wanted("pplns", vec![carry, window], 0)] {
        let (plain, miners) = history(&first, &[]);
        let (pool, _) = history(&first, &[(2, &version(&first))]);
        let newest = pool.journal.newest_policy().unwrap();
        assert_eq!((newest.scheme.component, said(&newest)), (version(&first).scheme.digest, None));
        let plain = parts(&plain, &miners);
        assert_eq!(plain, parts(&pool, &miners));
        let (other, _) = history(&first, &[(2, &again(&first))]);
        assert_ne!(plain, parts(&other, &miners));
    }
    // It waits for nobody, and goes on with whom the one before it follows.
    let solo = run_off(wanted("solo", Vec::new(), 0));
    let mut pool = Pool::start(&pplns(2_000));
    let a = pool.miner("a");
    pool.share(a, 900);
    pool.swap(&solo);
    pool.block(a, 1_000);
    let before = follows(&pool);
    pool.swap(&version(&solo));
    pool.block(a, 1_000);
    let newest = pool.journal.newest_policy().unwrap();
    assert_eq!((newest.scheme.component, follows(&pool)), (version(&solo).scheme.digest, before));
    assert!(is_open(&pool));
    pool.replay().unwrap();
}

#[test]
fn work_under_the_old_scheme_is_paid_by_it_whatever_the_new_one_pays() {
    let first = pplns(2_000);
    let (plain, miners) = history(&first, &[]);
    let plain = parts(&plain, &miners);
    for (next, is_run_off) in [("solo", true), ("prop", true), ("solo", false)] {
        let next = Wanted { run_off: is_run_off.then_some(1000), ..wanted(next, Vec::new(), 0) };
        let (pool, miners) = history(&first, &[(2, &next)]);
        let swapped = parts(&pool, &miners);
        assert_eq!(plain[..3], swapped[..3], "the boundary is the third block");
        for (income, (plain, swapped)) in plain.iter().zip(&swapped).enumerate().skip(3) {
            // c is paid as if nothing had happened, or not at all.
            let expected = if is_run_off { plain[2] } else { 0 };
            assert!(swapped[2].abs_diff(expected) <= 1, "income {income}: {plain:?} and {swapped:?}");
        }
        assert!(plain[3][2] > 0);
        // When it is over the new scheme has all, and that is written down.
        let over = swapped.last().unwrap();
        let finder = over[usize::from(15 % 3 == 0)];
        assert!(next.scheme.name != "solo" || finder == 5_000_000_034, "{over:?}");
        assert_eq!((follows(&pool).is_some(), is_open(&pool)), (is_run_off, false));
    }
}

#[test]
fn a_longer_window_that_follows_pays_no_share_twice() {
    let (first, next) = (pplns(800), pplns(9_000));
    let (plain, miners) = history(&first, &[]);
    let (pool, _) = history(&first, &[(2, &run_off(next.clone()))]);
    let (plain, swapped) = (parts(&plain, &miners), parts(&pool, &miners));
    // c's last share of before is in the shorter window for a few blocks, and would be in the longer one to the end.
    assert!(plain[1][2] > 0 && plain[15][2] == 0);
    for (plain, swapped) in plain.iter().zip(&swapped) {
        assert!(plain[2].abs_diff(swapped[2]) <= 1, "{plain:?} and {swapped:?}");
    }
    // Without the word it pays them again.
    let (pool, _) = history(&first, &[(2, &next)]);
    assert!(parts(&pool, &miners)[15][2] > 0);
}

/// Subsidy and fees by two windows, and a part of each income for the finder, who is always one of the others.
#[test]
fn windows_beside_others_are_settled_with_them() {
    let slice = wanted("slice", vec![("window".to_owned(), Setting::Int(2_000))], 0);
    for first in [slice, wanted("finder-bonus", Vec::new(), 0)] {
        let (plain, miners) = history(&first, &[]);
        let (plain, paid) = (parts(&plain, &miners), plain.ledger.head());
        for next in [wanted("solo", Vec::new(), 0), first.clone()] {
            let (pool, _) = history(&first, &[(2, &again(&next))]);
            assert_ne!(pool.ledger.head(), paid);
            let swapped = parts(&pool, &miners);
            assert!(plain[3][2] > 0);
            for (plain, swapped) in plain.iter().zip(&swapped) {
                assert!(plain[2].abs_diff(swapped[2]) <= 1, "{plain:?} and {swapped:?}");
            }
        }
    }
}

#[test]
fn rounds_and_solo_leave_nothing_open_and_a_window_that_follows_begins_behind_them() {
    for first in ["prop", "solo"] {
        let first = wanted(first, Vec::new(), 0);
        let (pool, miners) = history(&first, &[(2, &run_off(pplns(9_000)))]);
        assert!(follows(&pool).is_some() && !is_open(&pool));
        let paid = parts(&pool, &miners);
        assert!(paid[3..].iter().all(|row| row[2] == 0), "{paid:?}");
        let (pool, _) = history(&first, &[(2, &pplns(9_000))]);
        assert!(follows(&pool).is_none() && parts(&pool, &miners)[3][2] > 0);
    }
}

#[test]
fn a_window_pays_no_share_that_was_credited_when_it_came() {
    let first = Wanted { reserve: Amount(1 << 50), ..wanted("pps", Vec::new(), 0) };
    let (pool, miners) = history(&first, &[(2, &run_off(pplns(9_000)))]);
    let newest = pool.journal.newest_policy().unwrap();
    assert_eq!(said(&newest), Some(format!("{{\"floor\":{}}}", newest.from)));
    let paid = parts(&pool, &miners);
    assert!(paid[3..].iter().all(|row| row[0] > 0 && row[2] == 0), "{paid:?}");
    let (pool, _) = history(&first, &[(2, &pplns(9_000))]);
    assert!(follows(&pool).is_none() && parts(&pool, &miners)[3][2] > 0);
}

#[test]
fn the_fee_of_before_is_taken_of_what_is_owed_for_work_of_before() {
    let fee = |points: i64| Wanted {
        scheme_settings: pplns(2_000).scheme_settings,
        ..wanted("pplns", Vec::new(), points)
    };
    let (plain, miners) = history(&fee(100), &[]);
    let (swapped, _) = history(&fee(100), &[(2, &again(&fee(5_000)))]);
    let (plain, swapped) = (parts(&plain, &miners), parts(&swapped, &miners));
    let owed: Vec<_> = plain.iter().zip(&swapped).filter(|(plain, _)| plain[2] > 0).collect();
    assert!(owed.len() > 4);
    for (plain, swapped) in owed {
        assert!(plain[2].abs_diff(swapped[2]) <= 1, "{plain:?} and {swapped:?}");
    }
    // What is done now is charged by the new one: a half and not a hundredth.
    assert!(swapped[15][0] * 19 < plain[15][0] * 10);
}

#[test]
fn three_swaps_in_a_row_pay_each_share_as_one_window_would() {
    let first = pplns(600);
    let (second, third) = (again(&first), again(&again(&first)));
    let fourth = again(&third);
    let (plain, miners) = history(&first, &[]);
    let (swapped, _) = history(&first, &[(1, &second), (5, &third), (9, &fourth)]);
    // Between the same policies stands each once more, where it had nothing left to settle.
    let policies = swapped.journal.policies();
    let components: Vec<_> = policies.iter().map(|policy| policy.scheme.component).collect();
    assert!(components.contains(&third.scheme.digest) && components.contains(&fourth.scheme.digest));
    let floors: Vec<_> = policies.iter().filter_map(said).collect();
    assert!(floors.len() >= 4, "{floors:?}");
    let (plain, swapped) = (parts(&plain, &miners), parts(&swapped, &miners));
    assert!(differ_by(&plain, &swapped) <= 2, "{plain:?} and {swapped:?}");
}

/// A floor that a policy which owes nothing by windows would forget: the work below it was paid long ago.
#[test]
fn the_floor_is_inherited_over_a_scheme_that_owes_otherwise() {
    let (first, long) = (pplns(1_000), run_off(pplns(60_000)));
    let pps = run_off(Wanted { reserve: Amount(1 << 50), ..wanted("pps", Vec::new(), 0) });
    let (pool, miners) = history(&first, &[(1, &pps), (9, &long)]);
    assert_eq!(in_force(&pool), "pplns");
    let paid = parts(&pool, &miners);
    assert!(paid[2][2] > 0, "the first window owes c");
    assert!(paid[12..].iter().all(|row| row[2] == 0), "{paid:?}");
    // What pps itself has credited is below it too.
    let newest = pool.journal.newest_policy().unwrap();
    assert_eq!(said(&newest), Some(format!("{{\"floor\":{}}}", newest.from)));
}

#[test]
fn nobody_follows_while_the_scheme_of_before_is_still_paid_but_a_fee_is_corrected_at_once() {
    let mut pool = Pool::start(&pplns(1_000));
    let a = pool.miner("a");
    pool.share(a, 900);
    pool.swap(&run_off(wanted("solo", Vec::new(), 0)));
    pool.block(a, 1_000);
    assert_eq!(in_force(&pool), "solo");
    // The same scheme with a fee, and with more in reserve, goes on with whom it follows.
    let before = follows(&pool).unwrap();
    pool.swap(&run_off(Wanted { reserve: Amount(7), ..wanted("solo", Vec::new(), 100) }));
    pool.block(a, 1_000);
    assert_eq!((pool.journal.newest_policy().unwrap().fees.len(), follows(&pool).unwrap()), (1, before));
    pool.swap(&run_off(wanted("prop", Vec::new(), 0)));
    let waits =
        |pool: &Pool| pool.alarms.list().iter().any(|alarm| alarm.text.contains("still pays for work"));
    let mut blocks = 1;
    while in_force(&pool) == "solo" {
        assert!(waits(&pool) || blocks == 1);
        pool.block(a, 1_000);
        blocks += 1;
        assert!(blocks < 50, "it never follows");
    }
    // A block's share is a tenth of the window, less what its units are rounded by: ten of them leave a sliver to the one before.
    assert_eq!(blocks, 11);
    // Solo owes nothing behind a block.
    assert!(!is_open(&pool));
    pool.replay().unwrap();
}

#[test]
fn it_is_over_after_so_many_incomes() {
    let first = pplns(60_000);
    let (plain, miners) = history(&first, &[]);
    let next = Wanted { run_off: Some(3), ..wanted("solo", Vec::new(), 0) };
    let (pool, _) = history(&first, &[(2, &next)]);
    let (plain, swapped) = (parts(&plain, &miners), parts(&pool, &miners));
    let paid: Vec<_> = swapped.iter().map(|row| row[2] > 0).collect();
    assert!(plain.iter().all(|row| row[2] > 0));
    let expected: Vec<_> = (0..16).map(|block| block < 6).collect();
    assert_eq!(paid, expected, "three before the boundary, three behind it");
    assert!(!is_open(&pool));
}

#[test]
fn a_window_that_grows_with_the_network_afterwards_begins_nothing_again() {
    let first = wanted("pplns-window", vec![("window".to_owned(), Setting::Int(1_000))], 0);
    let mut pool = Pool::start(&first);
    let [a, c] = ["a", "c"].map(|name| pool.miner(name));
    pool.share(c, 900);
    pool.swap(&run_off(wanted("solo", Vec::new(), 0)));
    pool.block(a, 1_000);
    while is_open(&pool) {
        pool.block(a, 1_000);
    }
    pool.network_work = 100_000;
    let income = pool.block(a, 1_000);
    pool.mature(&income);
    assert_eq!(parts(&pool, &[a, c]).last().unwrap(), &[1_000, 0]);
    pool.replay().unwrap();
}

/// Nobody holds what a coinbase pays to miners: nothing of it is owed to work of before.
#[test]
fn a_coinbase_that_pays_the_finder_settles_nothing_and_forgets_no_floor() {
    let mut pool = Pool::start(&pplns(4_000));
    let [a, c] = ["a", "c"].map(|name| pool.miner(name));
    pool.share(c, 900);
    pool.swap(&run_off(wanted("solo", Vec::new(), 0)));
    let first = pool.block(a, 1_000);
    assert!(is_open(&pool));
    let direct = Wanted { direct: true, ..run_off(wanted("solo", Vec::new(), 0)) };
    let mut pool = pool.restart(&direct);
    assert!(follows(&pool).is_some() && !is_open(&pool));
    let second = pool.block(a, 1_000);
    let mut pool = pool.restart(&run_off(pplns(60_000)));
    let third = pool.block(a, 1_000);
    let paid = parts(&pool, &[a, c]);
    assert!(paid[0][1] > 0 && paid[1..] == [[1_000, 0], [1_000, 0]], "{paid:?}");
    for income in [&first, &second, &third] {
        pool.mature(income);
    }
    pool.replay().unwrap();
}

#[test]
fn a_lost_income_of_two_schemes_is_taken_back_from_the_miners_of_the_old_one() {
    let mut pool = Pool::start(&pplns(4_000));
    let [a, c] = ["a", "c"].map(|name| pool.miner(name));
    pool.share(c, 900);
    let pps = Wanted { reserve: Amount(1 << 50), ..wanted("pps", Vec::new(), 0) };
    pool.swap(&run_off(pps));
    let first = pool.block(a, 1_000_000);
    pool.share(a, 100);
    let lost = pool.block(a, 1_000_000);
    assert!(is_open(&pool));
    pool.credit_shares();
    let credited = pool.payable(a);
    assert!(credited > 0);
    let of_c = parts(&pool, &[c])[1][0];
    assert!(of_c > 0);
    pool.lose(&lost);
    // What pps has credited stays; what the window gave was the block's.
    pool.mature(&first);
    assert_eq!(pool.payable(a) - credited, parts(&pool, &[a])[0][0]);
    assert_eq!(pool.payable(c), parts(&pool, &[c])[0][0]);
    assert!(pool.ledger.totals().conserved);
    // It is there again, and divided again by both.
    pool.journal.record(lost.clone()).wait().unwrap();
    pool.books.divide(&lost).unwrap();
    pool.mature(&lost);
    assert_eq!(pool.payable(c), parts(&pool, &[c])[0][0] + of_c);
    pool.replay().unwrap();
}

#[test]
fn a_repair_of_the_new_scheme_goes_on_with_the_old_one() {
    let mut pool = Pool::start(&pplns(2_000));
    let [a, c] = ["a", "c"].map(|name| pool.miner(name));
    pool.share(c, 900);
    pool.swap(&run_off(trapping()));
    pool.block(a, 1_000);
    let income = pool.found(a, 2_000);
    pool.catch_up_until("quarantine", |pool| pool.books.stuck().is_some());
    let stopped = pool.books.stuck().unwrap();
    assert!(stopped.contains("trapping"), "{stopped}");
    let before = follows(&pool).unwrap();
    assert!(pool.schedule(&run_off(wanted("solo", Vec::new(), 0))).unwrap());
    pool.catch_up_until("its division", |pool| pool.books.is_divided(&income).unwrap());
    assert_eq!(follows(&pool).unwrap(), before);
    assert!(parts(&pool, &[c])[1][0] > 0);
    pool.mature(&income);
    pool.replay().unwrap();
}

/// PPLNS by a component that traps when it has to divide.
fn trapping_pplns() -> Wanted {
    Wanted { scheme: trapping_window(2_000), ..pplns(2_000) }
}

/// Its name is not asked: an older version with the same settings and terms stands in for what is followed.
#[test]
fn an_older_version_of_the_old_scheme_is_followed_in_its_place_and_nobody_else_is_charged() {
    let mut pool = Pool::start(&pplns(2_000));
    let [a, c] = ["a", "c"].map(|name| pool.miner(name));
    pool.share(c, 900);
    pool.swap(&trapping_pplns());
    pool.block(a, 1_000);
    let solo = run_off(wanted("solo", Vec::new(), 0));
    pool.swap(&solo);
    let first = pool.found(a, 1_000);
    pool.books.block_found(first.end.seq, UnixMillis(pool.clock)).unwrap();
    assert!(follows(&pool).unwrap().contains("trapping-window"));
    let income = pool.found(a, 2_000);
    pool.catch_up_until("its division", |pool| pool.books.is_divided(&income).unwrap());
    pool.catch_up_until("the one before", |pool| pool.books.is_divided(&first).unwrap());
    assert_eq!(pool.books.stuck(), None);
    let text = follows(&pool).unwrap();
    assert!(is_open(&pool) && text.contains(&pplns(2_000).scheme.digest.to_string()), "{text}");
    assert_eq!(pool.books.quarantined(solo.scheme.digest), None);
    assert!(pool.books.quarantined(trapping_window(2_000).digest).is_some());
    assert!(parts(&pool, &[c]).iter().all(|row| row[0] > 0));
    for income in [&first, &income] {
        pool.mature(income);
    }
    pool.replay().unwrap();
}

#[test]
fn without_an_older_version_of_the_old_scheme_an_operator_goes_on_without_it() {
    let mut pool = Pool::start(&trapping_pplns());
    let [a, c] = ["a", "c"].map(|name| pool.miner(name));
    pool.share(c, 900);
    let solo = run_off(wanted("solo", Vec::new(), 0));
    pool.swap(&solo);
    let first = pool.found(a, 1_000);
    pool.books.block_found(first.end.seq, UnixMillis(pool.clock)).unwrap();
    let income = pool.found(a, 2_000);
    pool.catch_up_until("quarantine", |pool| pool.books.stuck().is_some());
    assert_eq!(pool.books.catch_up().unwrap(), 2);
    // The one in force is well: another is announced as any is, and divides nothing of it.
    assert!(!pool.schedule(&run_off(wanted("prop", Vec::new(), 0))).unwrap());
    assert!(pool.books.pending().is_some() && in_force(&pool) == "solo" && is_open(&pool));
    pool.books.catch_up().unwrap();
    assert!(!pool.books.is_divided(&income).unwrap());
    assert!(!is_told_unpaid(&pool) && pool.schedule(&solo).unwrap(), "at once");
    assert!(is_told_unpaid(&pool) && pool.books.pending().is_none());
    pool.catch_up_until("its division", |pool| pool.books.is_divided(&income).unwrap());
    assert!(follows(&pool).is_some() && !is_open(&pool));
    assert_eq!(parts(&pool, &[a, c])[1], [2_000, 0]);
    for income in [&first, &income] {
        pool.mature(income);
    }
    pool.replay().unwrap();
}

/// Whether an alarm says that an order leaves work of before unpaid.
fn is_told_unpaid(pool: &Pool) -> bool {
    pool.alarms.list().iter().any(|alarm| alarm.text.contains("for work of before is not paid"))
}

#[test]
fn what_waits_for_the_old_scheme_is_nobody_elses_when_its_window_has_passed() {
    let mut pool = Pool::start(&trapping_pplns());
    let [a, c] = ["a", "c"].map(|name| pool.miner(name));
    pool.share(c, 900);
    let solo = run_off(wanted("solo", Vec::new(), 0));
    pool.swap(&solo);
    let mut waiting = Vec::new();
    while waiting.is_empty() || is_open(&pool) {
        let income = pool.found(a, 1_000);
        pool.books.block_found(income.end.seq, UnixMillis(pool.clock)).unwrap();
        waiting.push(income);
        assert!(waiting.len() < 50, "it is never over");
    }
    let second = &waiting[1];
    pool.catch_up_until("quarantine", |pool| pool.books.stuck().is_some());
    pool.books.catch_up().unwrap();
    assert!(!pool.books.is_divided(second).unwrap() && !is_told_unpaid(&pool));
    // By an order alone.
    pool.schedule(&solo).unwrap();
    assert!(is_told_unpaid(&pool));
    pool.catch_up_until("its division", |pool| pool.books.is_divided(second).unwrap());
    pool.catch_up_until("all of them", |pool| pool.books.catch_up().unwrap() == 0);
    assert!(pool.ledger.totals().conserved);
    pool.replay().unwrap();
}

#[test]
fn what_repairs_a_component_repairs_it_for_the_old_scheme_too() {
    let next = |window| Wanted { scheme: trapping_window(2_000), ..run_off(pplns(window)) };
    let mut pool = Pool::start(&trapping_pplns());
    let [a, c] = ["a", "c"].map(|name| pool.miner(name));
    pool.share(c, 900);
    pool.swap(&next(3_000));
    let first = pool.found(a, 1_000);
    pool.books.block_found(first.end.seq, UnixMillis(pool.clock)).unwrap();
    let income = pool.found(a, 2_000);
    pool.catch_up_until("quarantine", |pool| pool.books.stuck().is_some());
    // The same once more may be called again, for both.
    let before = follows(&pool).unwrap();
    assert!(pool.schedule(&next(3_000)).unwrap() && follows(&pool).unwrap() == before);
    pool.catch_up_until("quarantine", |pool| pool.books.stuck().is_some());
    assert!(pool.schedule(&run_off(pplns(3_000))).unwrap());
    let text = follows(&pool).unwrap();
    let by = pplns(2_000).scheme.digest.to_string();
    assert!(is_open(&pool) && text.contains(&by) && text.contains("2000"), "{text}");
    assert!(!is_told_unpaid(&pool));
    pool.catch_up_until("its division", |pool| pool.books.is_divided(&income).unwrap());
    pool.catch_up_until("the one before", |pool| pool.books.is_divided(&first).unwrap());
    assert!(parts(&pool, &[c]).iter().all(|row| row[0] > 0));
    pool.replay().unwrap();
}

#[test]
fn a_scheme_that_credits_each_share_goes_on_while_whom_it_follows_is_repaired() {
    let pps = run_off(Wanted { reserve: Amount(1 << 50), ..wanted("pps", Vec::new(), 0) });
    for has_older in [true, false] {
        let mut pool = Pool::start(&if has_older { pplns(2_000) } else { trapping_pplns() });
        let [a, c] = ["a", "c"].map(|name| pool.miner(name));
        pool.share(c, 900);
        if has_older {
            pool.swap(&trapping_pplns());
            pool.block(a, 1_000);
        }
        pool.swap(&pps);
        let first = pool.found(a, 1_000_000);
        pool.books.block_found(first.end.seq, UnixMillis(pool.clock)).unwrap();
        pool.share(a, 100);
        pool.credit_shares();
        let (credited, income) = (pool.payable(a), pool.found(a, 2_000_000));
        assert!(credited > 0 && is_open(&pool));
        if has_older {
            pool.catch_up_until("its division", |pool| pool.books.is_divided(&income).unwrap());
            pool.catch_up_until("the one before", |pool| pool.books.is_divided(&first).unwrap());
            assert!(is_open(&pool) && parts(&pool, &[c]).iter().all(|row| row[0] > 0));
        } else {
            pool.catch_up_until("quarantine", |pool| pool.books.stuck().is_some());
        }
        // Shares are no matter of whom it follows.
        pool.share(a, 100);
        pool.credit_shares();
        assert!(pool.payable(a) > credited);
        assert_eq!(pool.books.is_divided(&income).unwrap(), has_older);
        assert!(pool.ledger.totals().conserved);
        pool.replay().unwrap();
    }
}

/// The order to swap back asks for a run-off, and what it orders is in force before it takes over.
#[test]
fn a_swap_back_that_a_repair_anticipates_follows_nobody() {
    let mut pool = Pool::start(&pplns(2_000));
    let [a, c] = ["a", "c"].map(|name| pool.miner(name));
    pool.share(c, 900);
    pool.swap(&trapping_pplns());
    pool.block(a, 1_000);
    pool.swap(&run_off(pplns(2_000)));
    let income = pool.found(a, 1_000);
    pool.catch_up_until("its division", |pool| pool.books.is_divided(&income).unwrap());
    assert!(in_force(&pool) == "pplns" && pool.books.pending().is_some());
    pool.block(a, 1_000);
    assert!(pool.books.pending().is_none() && follows(&pool).is_none());
    assert_eq!(pool.replay().unwrap().incomes, 3);
}

/// A policy that says of the one before it what is not so.
#[test]
fn a_replay_finds_a_policy_that_follows_nobody_who_was_there() {
    let changes =
        [("\"until\":1", "\"until\":9"), ("\"floor\":3", "\"floor\":2"), ("2000", "1000"), ("", "")];
    for (from, to) in changes {
        let mut pool = Pool::start(&pplns(2_000));
        let a = pool.miner("a");
        pool.share(a, 900);
        pool.block(a, 1_000);
        pool.swap(&run_off(wanted("solo", Vec::new(), 0)));
        pool.block(a, 1_000);
        let mut forged = pool.journal.newest_policy().unwrap();
        let text = said(&forged).unwrap();
        assert!(text.contains(from), "{text}");
        forged.scheme.settings.retain(|(name, _)| name != RUN_OFF);
        forged.scheme.settings.insert(0, (RUN_OFF.to_owned(), Recorded::Text(text.replacen(from, to, 1))));
        pool.journal.record(forged).wait().unwrap();
        match pool.replay() {
            Ok(_) => assert_eq!(from, to, "the same again is no lie"),
            Err(why) => assert!(why.to_string().contains("not what the records before"), "{why}"),
        }
    }
}

#[test]
fn a_replay_finds_a_scheme_that_was_left_before_it_had_paid() {
    let mut pool = Pool::start(&pplns(2_000));
    let a = pool.miner("a");
    pool.share(a, 900);
    pool.swap(&run_off(wanted("solo", Vec::new(), 0)));
    pool.block(a, 1_000);
    let policy = pool.journal.newest_policy().unwrap();
    let income = pool.block(a, 1_000);
    let mut forged = Policy { from: income.end.seq, ..policy };
    forged.scheme.settings.retain(|(name, _)| name != RUN_OFF);
    let floor = (RUN_OFF.to_owned(), Recorded::Text("{\"floor\":2}".to_owned()));
    forged.scheme.settings.insert(2, floor);
    pool.replay().unwrap();
    pool.journal.record(forged).wait().unwrap();
    let told = pool.replay().unwrap_err().to_string();
    assert!(told.contains("still owes of it"), "{told}");
}

/// What may come while a scheme is run off.
#[derive(Clone, Debug)]
pub enum Step {
    Share(u8, u64),
    Block(u8, u64),
    Swap(u8),
    /// The chain takes one of the open incomes back.
    Lose(u8),
    Restart,
    Crash,
}

pub fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0_u8..3, 1_u64..400).prop_map(|(miner, work)| Step::Share(miner, work)),
        6 => (0_u8..3, 0_u64..1 << 40).prop_map(|(miner, amount)| Step::Block(miner, amount)),
        2 => (0_u8..8).prop_map(Step::Swap),
        1 => any::<u8>().prop_map(Step::Lose),
        1 => Just(Step::Restart),
        1 => Just(Step::Crash),
    ]
}

fn follower(which: u8) -> Wanted {
    run_off(match which {
        0 => wanted("solo", Vec::new(), 0),
        1 => wanted("prop", Vec::new(), 250),
        2 => Wanted { reserve: Amount(1 << 60), ..wanted("pps", Vec::new(), 0) },
        3 => wanted("tides", Vec::new(), 0),
        4 => wanted("dgm", Vec::new(), 100),
        5 => wanted("finder-bonus", Vec::new(), 0),
        6 => wanted("pplns", vec![("window".to_owned(), Setting::Int(700))], 0),
        _ => wanted("pplns-window", Vec::new(), 100),
    })
}

/// A pool through some steps; the miner d works before the first block alone. What each income gave him in the end.
pub fn through(first: &Wanted, steps: &[Step], swaps: bool) -> (Pool, BTreeMap<Vec<u8>, u64>) {
    let mut pool = Pool::start(first);
    let mut last = first.clone();
    let [d, miners @ ..] = ["d", "a", "b", "c"].map(|name| pool.miner(name));
    for miner in [d, miners[0], d, miners[1]] {
        pool.share(miner, 300);
    }
    let mut open: Vec<Income> = Vec::new();
    for step in steps {
        match step {
            Step::Share(miner, work) => {
                pool.share(miners[usize::from(*miner)], *work);
                pool.credit_shares();
            }
            Step::Block(miner, amount) => {
                let income = pool.found(miners[usize::from(*miner)], *amount);
                let found = pool.books.block_found(income.end.seq, UnixMillis(pool.clock));
                // Who owes in cells is not left before they are paid.
                assert!(
                    matches!(found, Ok(_) | Err(BooksError::Swap(SwapError::Format { .. }))),
                    "{found:?}"
                );
                pool.books.divide(&income).unwrap();
                open.push(income);
            }
            Step::Swap(which) if swaps => {
                let next = follower(*which);
                // Debts in cells have to be paid first.
                if pool.schedule(&next).is_ok() {
                    last = next;
                }
            }
            Step::Swap(_) => {}
            Step::Lose(at) => {
                let at = usize::from(*at) % open.len().max(1);
                if at < open.len() {
                    // Its block first: who waits for incomes in their order waits for it no more.
                    let lost = open.remove(at);
                    let (fate, time) = (BlockFate::Orphan("another".to_owned()), UnixMillis(pool.clock));
                    pool.journal.record(Fate { block: lost.key.clone(), fate, time }).wait().unwrap();
                    pool.lose(&lost);
                }
            }
            Step::Restart => pool = pool.restart(&last),
            Step::Crash => {
                let (disk, clock, blocks) = (pool.disk.clone(), pool.clock, pool.blocks);
                drop(pool);
                disk.cut(3, Keep::Nothing);
                disk.power_on();
                pool = Pool::open(disk, &last, clock, blocks);
            }
        }
        assert!(pool.ledger.totals().conserved);
    }
    for income in &open {
        pool.mature(income);
    }
    assert!(pool.ledger.totals().conserved);
    let mut paid = BTreeMap::new();
    let each = &mut |line: &millpond_ledger::Record, _: &_| {
        if let Entry::IncomeAllocated(income) = &line.entry {
            paid.insert(income.key.as_bytes().to_vec(), income.parts.of(&Owner::Miner(d)).0);
        }
        Ok(())
    };
    pool.ledger.reader().for_each_record(each).unwrap();
    (pool, paid)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, ..ProptestConfig::default() })]

    /// Whoever follows, one behind the other, each unit is somewhere, a replay finds it there, and who worked under the first
    /// scheme alone is paid by that and by nobody else.
    #[test]
    fn work_is_paid_once_and_by_the_scheme_that_it_was_done_under(
        window in 300_i64..4_000,
        steps in proptest::collection::vec(step(), 10..60),
    ) {
        let first = pplns(window);
        let (pool, swapped) = through(&first, &steps, true);
        pool.replay().unwrap();
        let (_, plain) = through(&first, &steps, false);
        prop_assert_eq!(swapped.len(), plain.len());
        for (income, paid) in plain {
            prop_assert!(swapped[&income].abs_diff(paid) <= 1, "{} and {}", swapped[&income], paid);
        }
    }
}
