//! Swaps of scheme and fee: what was earned under one policy is owed by that policy, to the unit.

use crate::support::{Pool, wanted};
use millpond_ledger::Owner;
use millpond_pool::plugins::Component;
use millpond_pool::policy::Wanted;
use millpond_types::{Amount, Digest, MinerId, UnixMillis};
use std::sync::Arc;

/// A share of work 100 of 1000 is worth a tenth of the reward of 50.
const SHARE: u64 = 500_000_000;

fn pps(reserve: u64, basis_points: i64) -> Wanted {
    Wanted { reserve: Amount(reserve), ..wanted("pps", Vec::new(), basis_points) }
}

fn fees(pool: &Pool) -> u64 {
    let fee = |owner: &Owner| matches!(owner, Owner::Fee(_));
    let balances = pool.ledger.book();
    let owned = balances.balances().filter_map(|(account, balance)| match account {
        millpond_ledger::Account::Payable(owner) if fee(&owner) => u64::try_from(balance).ok(),
        _ => None,
    });
    owned.sum()
}

/// What the pool owes this miner comes out again from its records alone.
fn replays(pool: &Pool, miner: MinerId, payable: u64) {
    assert_eq!(pool.payable(miner), payable);
    assert!(pool.ledger.totals().conserved);
    pool.replay().unwrap();
}

#[test]
fn a_swap_one_share_before_a_block_changes_nothing_that_was_owed() {
    let mut pool = Pool::start(&wanted("pplns", Vec::new(), 0));
    let (a, b) = (pool.miner("a"), pool.miner("b"));
    pool.share(a, 400);
    pool.share(b, 500);
    pool.swap(&wanted("solo", Vec::new(), 0));
    assert!(pool.books.pending().is_some());
    // Found right after the swap was asked for: still divided by PPLNS.
    let first = pool.block(a, 1_000_000);
    assert!(pool.books.pending().is_none(), "the block is the boundary");
    let second = pool.block(b, 2_000_000);
    pool.mature(&first);
    pool.mature(&second);
    // Units are rounded down per share, so half is half to the unit of money.
    assert!(pool.payable(a).abs_diff(500_000) <= 1, "half of the first block's window was a's");
    assert_eq!(
        pool.payable(a) + pool.payable(b),
        3_000_000,
        "the second block was found under SOLO, all of it b's"
    );
    assert_eq!(pool.replay().unwrap().incomes, 2);
}

#[test]
fn a_swap_to_pps_credits_no_share_of_before_it() {
    let mut pool = Pool::start(&wanted("pplns", Vec::new(), 0));
    let a = pool.miner("a");
    for _ in 0..5 {
        pool.share(a, 100);
    }
    pool.swap(&pps(10 * SHARE, 0));
    pool.credit_shares();
    // The block's own share is the last under PPLNS.
    let income = pool.block(a, 1_000_000);
    pool.credit_shares();
    assert_eq!(pool.payable(a), 0, "five shares and the block's are PPLNS's");
    for _ in 0..3 {
        pool.share(a, 100);
    }
    pool.credit_shares();
    assert_eq!(pool.payable(a), 3 * SHARE);
    pool.mature(&income);
    replays(&pool, a, 3 * SHARE + 1_000_000);
}

#[test]
fn a_swap_from_pps_credits_each_share_of_before_it_and_none_after() {
    let mut pool = Pool::start(&pps(100 * SHARE, 0));
    let a = pool.miner("a");
    for work in [100, 33, 67] {
        pool.share(a, work);
    }
    pool.credit_shares();
    // These wait for the next batch when the block is found, its own share too.
    pool.share(a, 100);
    pool.swap(&wanted("prop", Vec::new(), 0));
    let pps_block = pool.block(a, 1_000_000);
    assert!(pool.books.pending().is_none(), "the fractions of a unit that PPS keeps hold nobody back");
    assert_eq!(pool.payable(a), 4 * SHARE, "a tenth four times");
    pool.share(a, 100);
    pool.credit_shares();
    assert_eq!(pool.payable(a), 4 * SHARE, "credited by PROP, with its block");
    let prop_block = pool.block(a, 2_000_000);
    pool.mature(&pps_block);
    assert_eq!(pool.payable(a), 4 * SHARE, "the income of a PPS block fills the reserve");
    pool.mature(&prop_block);
    let pool = pool.restart(&wanted("prop", Vec::new(), 0));
    replays(&pool, a, 4 * SHARE + 2_000_000);
}

#[test]
fn a_scheme_that_follows_pps_and_is_followed_by_it_keeps_the_books() {
    let mut pool = Pool::start(&pps(100 * SHARE, 0));
    let (a, b) = (pool.miner("a"), pool.miner("b"));
    let mut incomes = Vec::new();
    // Sevenths leave fractions in the cells.
    for next in [
        wanted("pplns", Vec::new(), 100),
        pps(100 * SHARE, 50),
        wanted("solo", Vec::new(), 0),
        pps(100 * SHARE, 0),
    ] {
        pool.share(a, 7);
        pool.share(b, 143);
        pool.swap(&next);
        incomes.push(pool.block(b, 777_777));
        pool = pool.restart(&next);
        assert!(pool.books.pending().is_none());
        pool.share(b, 9);
        pool.credit_shares();
        pool.replay().unwrap();
    }
    for income in &incomes {
        pool.mature(income);
    }
    assert!(pool.ledger.totals().conserved);
    assert_eq!(pool.replay().unwrap().incomes, 4);
}

#[test]
fn a_fee_that_changes_under_pps_is_taken_from_later_shares_only() {
    let mut pool = Pool::start(&pps(100 * SHARE, 100));
    let a = pool.miner("a");
    pool.share(a, 100);
    pool.swap(&pps(100 * SHARE, 1_000));
    // Credited when the block is found, not before: by the fee of their time all the same.
    pool.block(a, 1);
    pool.share(a, 100);
    pool.credit_shares();
    let (before, after) = (2 * SHARE / 100, SHARE / 10);
    assert_eq!(fees(&pool), before + after);
    replays(&pool, a, 3 * SHARE - before - after);
}

#[test]
fn pps_with_a_spent_reserve_is_left_when_its_shares_are_credited() {
    let mut pool = Pool::start(&pps(SHARE, 0));
    let a = pool.miner("a");
    pool.share(a, 100);
    pool.share(a, 100);
    pool.swap(&wanted("prop", Vec::new(), 0));
    let first = pool.block(a, 5 * SHARE);
    assert!(pool.books.pending().is_some(), "two shares are still owed");
    pool.mature(&first);
    assert_eq!(pool.payable(a), SHARE);
    // The income of the block has filled the reserve: the next block is the boundary.
    let second = pool.block(a, 1_000);
    assert!(pool.books.pending().is_none());
    assert_eq!(pool.payable(a), 4 * SHARE);
    pool.mature(&second);
    replays(&pool, a, 4 * SHARE);
}

#[test]
fn what_becomes_of_a_lost_income_is_for_its_own_policy_to_say() {
    // PROP: nobody earns from a lost block. PPS, which follows, would let the miners keep it.
    let mut pool = Pool::start(&wanted("prop", Vec::new(), 0));
    let a = pool.miner("a");
    pool.swap(&pps(SHARE, 0));
    let income = pool.block(a, 1_000_000);
    pool.share(a, 100);
    pool.credit_shares();
    pool.lose(&income);
    assert_eq!(pool.ledger.totals().immature, 0);
    replays(&pool, a, SHARE);
}

#[test]
fn an_income_that_is_there_again_is_believed_on_the_journals_word_alone() {
    for recorded in [true, false] {
        let mut pool = Pool::start(&pps(SHARE, 0));
        let a = pool.miner("a");
        let income = pool.block(a, 1_000_000);
        pool.lose(&income);
        if recorded {
            pool.journal.record(income.clone()).wait().unwrap();
        }
        pool.books.divide(&income).unwrap();
        assert!(pool.ledger.totals().conserved);
        let replayed = pool.replay();
        match recorded {
            true => drop(replayed.unwrap()),
            false => {
                let told = replayed.unwrap_err().to_string();
                assert!(told.contains("the journal does not say that it is there again"), "{told}");
            }
        }
    }
}

/// The same component with a note behind it: another digest, and nothing else.
pub fn another_version(of: &Component) -> Component {
    let note = b"\0\x05\x04note";
    let bytes: Arc<[u8]> = of.bytes.iter().chain(note).copied().collect();
    Component { name: of.name.clone(), digest: Digest::of(&bytes), bytes }
}

#[test]
fn each_income_is_charged_by_the_fee_policys_version_of_its_time() {
    let first = wanted("prop", Vec::new(), 250);
    let mut second = first.clone();
    let fee = second.fees.first_mut().unwrap();
    fee.component = another_version(&fee.component);
    let mut pool = Pool::start(&first);
    let a = pool.miner("a");
    for wanted in [&second, &first] {
        let income = pool.block(a, 1_000_000);
        pool.mature(&income);
        pool.swap(wanted);
    }
    let income = pool.block(a, 1_000_000);
    pool.mature(&income);
    let policies = pool.journal.policies();
    assert_eq!(policies.len(), 3);
    for policy in policies {
        let bound = pool.loader.bind(&policy).unwrap();
        let fees = bound.fees.iter().map(millpond_payout::BoundFee::digest);
        assert!(fees.eq(policy.fees.iter().map(|fee| fee.component)));
    }
    assert_eq!(fees(&pool), 75_000);
    replays(&pool, a, 3 * 975_000);
}

#[test]
fn fees_are_what_the_settings_say() {
    let mut pool = Pool::start(&wanted("prop", Vec::new(), 250));
    let a = pool.miner("a");
    let income = pool.block(a, 1_000_000);
    pool.mature(&income);
    assert_eq!(fees(&pool), 25_000);
    replays(&pool, a, 975_000);
}

fn direct(scheme: &str, basis_points: i64) -> Wanted {
    Wanted { direct: true, ..wanted(scheme, Vec::new(), basis_points) }
}

fn is_direct(pool: &Pool, income: &millpond_journal::Income) -> bool {
    let key = millpond_ledger::IncomeKey::new(income.key.clone()).unwrap();
    pool.ledger.book().income(&key).unwrap().direct
}

#[test]
fn another_coinbase_is_in_force_from_the_start_on_and_for_no_block_of_before() {
    let mut pool = Pool::start(&direct("solo", 100));
    let (a, b) = (pool.miner("a"), pool.miner("b"));
    pool.share(b, 300);
    let first = pool.block(a, 1_000_000);
    // Found, and not divided when the process ends.
    let second = pool.found(b, 2_000_000);
    pool.share(b, 100);
    let mut pool = pool.restart(&wanted("prop", Vec::new(), 0));
    assert!(pool.books.pending().is_none(), "the first block of this start pays the pool already");
    assert_eq!(pool.books.catch_up().unwrap(), 0);
    pool.share(b, 300);
    let third = pool.block(a, 4_000_000);
    assert_eq!([&first, &second, &third].map(|income| is_direct(&pool, income)), [true, true, false]);
    for income in [&first, &second, &third] {
        pool.mature(income);
    }
    // The chain paid the first two; of the third b has four shares of five since the block before it.
    assert_eq!((pool.payable(a), pool.payable(b)), (800_000, 3_200_000));
    // And back again.
    let mut pool = pool.restart(&direct("solo", 100));
    let fourth = pool.block(a, 8_000_000);
    assert!(is_direct(&pool, &fourth));
    pool.mature(&fourth);
    replays(&pool, a, 800_000);
}

#[test]
fn while_the_coinbase_pays_the_finder_nothing_else_is_booked() {
    let pool = Pool::start(&direct("solo", 100));
    let told = |wanted: &Wanted| {
        pool.books.schedule(wanted, "an operator", UnixMillis(pool.clock)).unwrap_err().to_string()
    };
    for scheme in ["pplns", "pps"] {
        let told = told(&direct(scheme, 100));
        assert!(
            told.contains(&format!("scheme {scheme} (")) && told.contains("divides it otherwise"),
            "{told}"
        );
    }
    // The fee is a part of the coinbase.
    for other in [direct("solo", 200), direct("solo", 0), wanted("solo", Vec::new(), 100)] {
        assert!(told(&other).contains("restart the pool"));
    }
    // The same under another digest changes nothing in it.
    let solo = direct("solo", 100);
    let other = Wanted { scheme: another_version(&solo.scheme), ..solo };
    assert!(!pool.books.schedule(&other, "an operator", UnixMillis(pool.clock)).unwrap());
}

#[test]
fn a_block_whose_share_earns_nothing_is_booked_as_it_was_paid() {
    for to_pool in [true, false] {
        let (before, after) = match to_pool {
            true => (direct("solo", 0), wanted("prop", Vec::new(), 0)),
            false => (wanted("prop", Vec::new(), 0), direct("solo", 0)),
        };
        let mut pool = Pool::start(&before);
        let (a, b) = (pool.miner("a"), pool.miner("b"));
        pool.share(a, 10);
        // Of before and after the start, and both end at the newest share of before.
        let first = pool.found_for_nothing(b, 1_000);
        let mut pool = pool.restart(&after);
        let second = pool.found_for_nothing(b, 2_000);
        let third = pool.found_for_nothing(b, 4_000);
        for income in [&third, &first, &second] {
            pool.books.divide(income).unwrap();
        }
        let booked = [&first, &second, &third].map(|income| is_direct(&pool, income));
        assert_eq!(booked, [to_pool, !to_pool, !to_pool]);
        pool.lose(&second);
        pool.mature(&first);
        pool.mature(&third);
        assert!(pool.ledger.totals().conserved);
        assert_eq!(pool.payable(a), if to_pool { 4_000 } else { 1_000 });
        pool.replay().unwrap();
    }
}

#[test]
fn the_coinbase_can_be_changed_back_before_a_share_came() {
    let mut pool = Pool::start(&direct("solo", 0));
    let a = pool.miner("a");
    pool.share(a, 10);
    let pool = pool.restart(&pps(SHARE, 0));
    let mut pool = pool.restart(&direct("solo", 0));
    let income = pool.block(a, 1_000);
    assert!(is_direct(&pool, &income));
    replays(&pool, a, 0);
}

#[test]
fn a_repair_books_no_income_as_if_another_coinbase_had_paid_it() {
    let solo = direct("solo", 0);
    let trapping = Wanted { direct: true, ..crate::support::trapping() };
    let mut pool = Pool::start(&trapping);
    let a = pool.miner("a");
    let income = pool.found(a, 1_000);
    let pool = pool.restart(&wanted("pplns", Vec::new(), 0));
    let quarantined =
        |pool: &Pool| pool.alarms.list().iter().any(|alarm| alarm.text.contains("is in quarantine"));
    pool.catch_up_until("quarantine", quarantined);
    pool.swap(&wanted("prop", Vec::new(), 0));
    let told = |pool: &Pool| pool.alarms.list().iter().any(|alarm| alarm.text.contains("another coinbase"));
    assert!(told(&pool), "{:?}", pool.alarms.list());
    assert_eq!(pool.books.catch_up().unwrap(), 1, "it waits");
    // With the coinbase of then, a scheme that works divides it as it was paid.
    let pool = pool.restart(&trapping);
    pool.catch_up_until("quarantine", quarantined);
    pool.swap(&solo);
    pool.catch_up_until("its division", |pool| pool.books.is_divided(&income).unwrap());
    assert!(is_direct(&pool, &income));
    pool.mature(&income);
    replays(&pool, a, 0);
}

#[test]
fn shares_that_wait_for_a_reserve_are_credited_before_another_coinbase_is_paid() {
    let mut pool = Pool::start(&pps(SHARE, 0));
    let a = pool.miner("a");
    pool.share(a, 100);
    pool.share(a, 100);
    pool.credit_shares();
    assert_eq!(pool.payable(a), SHARE);
    let told = pool.try_restart(&direct("solo", 0)).err().unwrap();
    assert!(told.contains("of 2 shares 1 are"), "{told}");
}
