//! What becomes of incomes whose scheme fails.

use crate::support::{Pool, trapping, wanted, with_trapping_fee};
use millpond_pool::books::BooksError;
use millpond_pool::policy::Wanted;
use millpond_types::{Amount, UnixMillis};

#[test]
fn incomes_of_a_scheme_that_traps_wait_undivided_until_a_repair_divides_each_of_them() {
    let mut pool = Pool::start(&trapping());
    let (a, b) = (pool.miner("a"), pool.miner("b"));
    let first = pool.found(a, 1_000_001);
    pool.catch_up_until("quarantine", |pool| pool.books.stuck().is_some());
    let told = pool.books.stuck().unwrap();
    assert!(told.contains("trapping") && told.contains("unreachable"), "{told}");
    let alarms = pool.alarms.list();
    assert!(
        alarms.iter().any(|alarm| alarm.about == "plugin" && alarm.text.contains("quarantine")),
        "{alarms:?}"
    );
    assert!(matches!(pool.books.divide(&first), Err(BooksError::Quarantined(_))), "it is not called again");
    let second = pool.found(b, 2_000_002);
    assert_eq!(pool.books.catch_up().unwrap(), 2);
    assert_eq!(pool.ledger.book().incomes().count(), 0);

    let now = UnixMillis(pool.clock);
    assert!(pool.books.schedule(&wanted("solo", Vec::new(), 0), "an operator", now).unwrap(), "at once");
    assert_eq!(pool.books.stuck(), None);
    assert_eq!(pool.books.catch_up().unwrap(), 0);
    let third = pool.block(a, 500);
    for income in [&first, &second, &third] {
        pool.mature(income);
    }
    assert_eq!((pool.payable(a), pool.payable(b)), (1_000_501, 2_000_002), "nothing is lost");
    assert!(pool.ledger.totals().conserved);
    assert_eq!(pool.replay().unwrap().incomes, 3);
}

#[test]
fn the_last_good_version_goes_on_when_the_new_one_traps() {
    let mut pool = Pool::start(&wanted("solo", Vec::new(), 0));
    let (a, b) = (pool.miner("a"), pool.miner("b"));
    let first = pool.block(a, 1_000);
    let now = UnixMillis(pool.clock);
    assert!(!pool.books.schedule(&trapping(), "an upgrade", now).unwrap(), "after the next block");
    let second = pool.block(b, 2_000);
    let third = pool.found(a, 4_000);
    let divided = |pool: &Pool| pool.books.is_divided(&third).unwrap();
    pool.catch_up_until("the last good version divides", divided);
    let (error, replaced) = pool.books.quarantined(trapping().scheme.digest).unwrap();
    assert!(replaced && error.contains("unreachable"), "{error}");
    assert_eq!(pool.books.stuck(), None, "the pool is ready");
    let policy = pool.journal.newest_policy().unwrap();
    assert!(policy.reason.contains("last good version"), "{}", policy.reason);
    let fourth = pool.block(b, 8_000);
    for income in [&first, &second, &third, &fourth] {
        pool.mature(income);
    }
    assert_eq!((pool.payable(a), pool.payable(b)), (5_000, 10_000));
    assert_eq!(pool.replay().unwrap().incomes, 4);
}

#[test]
fn a_version_that_left_incomes_behind_is_replaced_for_those_alone() {
    let mut pool = Pool::start(&trapping());
    let (a, b) = (pool.miner("a"), pool.miner("b"));
    let first = pool.found(a, 1_000);
    // Before it has failed often enough a swap is an ordinary one: after the next block.
    let now = UnixMillis(pool.clock);
    assert!(!pool.books.schedule(&wanted("solo", Vec::new(), 0), "an operator", now).unwrap());
    let second = pool.found(b, 2_000);
    pool.books.block_found(second.end.seq, UnixMillis(pool.clock)).unwrap();
    let third = pool.block(a, 4_000);
    let waiting = [first.clone(), second.clone()];
    pool.catch_up_until("both are divided", |pool| {
        waiting.iter().all(|income| pool.books.is_divided(income).unwrap())
    });
    let fourth = pool.block(b, 8_000);
    for income in [&first, &second, &third, &fourth] {
        pool.mature(income);
    }
    assert_eq!((pool.payable(a), pool.payable(b)), (5_000, 10_000));
    assert_eq!(pool.replay().unwrap().incomes, 4);
}

#[test]
fn an_income_that_comes_after_its_policy_was_replaced_is_divided_by_who_replaced_it() {
    let by = wanted("prop", Vec::new(), 100);
    let mut pool = Pool::start(&by);
    let (a, b) = (pool.miner("a"), pool.miner("b"));
    pool.swap(&with_trapping_fee(by));
    let first = pool.block(a, 10_000);
    let found = pool.solve(b);
    // The block behind it is reported first, and its policy goes into quarantine.
    let third = pool.found(a, 30_000);
    pool.catch_up_until("the last good version divides", |pool| pool.books.is_divided(&third).unwrap());
    pool.share(a, 100);
    let second = pool.report(&found, 20_000);
    pool.books.divide(&second).unwrap();
    assert_eq!(pool.books.stuck(), None);
    let fourth = pool.block(b, 40_000);
    for income in [&first, &second, &third, &fourth] {
        pool.mature(income);
    }
    assert_eq!(pool.ledger.totals().fees, 1_000, "one percent, whoever took it");
    assert_eq!(pool.replay().unwrap().incomes, 4);
}

#[test]
fn a_scheme_that_takes_shares_goes_on_with_another_fee_policy_where_the_one_in_force_traps() {
    let by = wanted("queue", Vec::new(), 100);
    let mut pool = Pool::start(&by);
    let (a, b) = (pool.miner("a"), pool.miner("b"));
    for _ in 0..12 {
        pool.share(a, 1_000);
        pool.share(b, 900);
    }
    pool.swap(&with_trapping_fee(by));
    let first = pool.block(a, 10_000);
    pool.share(b, 900);
    pool.share(a, 1_000);
    let second = pool.found(b, 20_000);
    let divided = |income| move |pool: &Pool| pool.books.is_divided(income).unwrap();
    pool.catch_up_until("the last good version divides", divided(&second));
    pool.share(a, 1_000);
    let third = pool.block(b, 40_000);
    for income in [&first, &second, &third] {
        pool.mature(income);
    }
    assert_eq!(pool.books.stuck(), None);
    assert_eq!(pool.ledger.totals().fees, 700);
    assert_eq!(pool.replay().unwrap().incomes, 3);
}

#[test]
fn shares_that_a_trapping_fee_policy_left_are_credited_by_the_last_good_version() {
    let by = Wanted { reserve: Amount(1_000_000_000_000), ..wanted("pps", Vec::new(), 100) };
    let mut pool = Pool::start(&by);
    let (a, b) = (pool.miner("a"), pool.miner("b"));
    pool.share(a, 100);
    pool.credit_shares();
    pool.swap(&with_trapping_fee(by));
    let first = pool.block(b, 5_000_000_000);
    let before = pool.ledger.accrued_to();
    let last = pool.share(a, 100);
    pool.catch_up_until("every share is credited", |pool| {
        let _ = pool.books.credit_shares(UnixMillis(pool.clock));
        pool.ledger.accrued_to() == last.0
    });
    assert!(before < last.0);
    assert_eq!(pool.books.stuck(), None);
    pool.mature(&first);
    let totals = pool.ledger.totals();
    assert!(totals.conserved && totals.fees > 0, "{totals:?}");
    assert_eq!(
        pool.payable(a) + pool.payable(b),
        1_485_000_000,
        "three tenths of blocks' worth, less one percent"
    );
    pool.replay().unwrap();
}

#[test]
fn an_income_that_waited_until_it_could_be_spent_is_divided_as_it_was_recorded() {
    let mut pool = Pool::start(&trapping());
    let a = pool.miner("a");
    let waits = pool.found(a, 1_000);
    pool.catch_up_until("quarantine", |pool| pool.books.stuck().is_some());
    pool.swap(&wanted("solo", Vec::new(), 0));
    pool.share(a, 10);
    // Nothing was divided between: the chain calls it mature at another time than it was recorded at.
    pool.mature(&waits);
    assert_eq!(pool.payable(a), 1_000);
    assert_eq!(pool.replay().unwrap().incomes, 1);
}
