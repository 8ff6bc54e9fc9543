//! A scheme whose incomes stand on each other (reversal `restore`), when the chain takes one back.

use crate::support::{Pool, wanted};
use millpond_journal::Income;
use millpond_ledger::{
    Entry, IncomeKey, IncomeStatus, Owner, PaymentId, PaymentRow, Progress, Reversal, SettledRow, TxId,
};
use millpond_pool::plugins::Component;
use millpond_pool::policy::Wanted;
use millpond_test_guests::scheme::Scheme;
use millpond_types::{Amount, Digest, MinerId, UnixMillis};
use std::sync::{Arc, OnceLock};

/// Pays those of the round whom the income before did not pay.
pub fn turns() -> Wanted {
    static BYTES: OnceLock<Arc<[u8]>> = OnceLock::new();
    let bytes = Arc::clone(BYTES.get_or_init(|| Arc::from(Scheme::turns().wasm())));
    let scheme = Component { name: "turns".into(), digest: Digest::of(&bytes), bytes };
    Wanted { scheme, ..wanted("prop", Vec::new(), 0) }
}

fn status(pool: &Pool, income: &Income) -> IncomeStatus {
    let key = IncomeKey::new(income.key.clone()).unwrap();
    pool.ledger.book().income(&key).unwrap().status
}

pub fn immature(pool: &Pool, miner: MinerId) -> u64 {
    pool.ledger.book().immature(&Owner::Miner(miner)).0
}

/// A round in which both work, and its block.
pub fn round_of_both(pool: &mut Pool, a: MinerId, b: MinerId, amount: u64) -> Income {
    pool.share(a, 10);
    pool.share(b, 10);
    pool.block(a, amount)
}

/// Everything that is payable to him is paid by one transaction.
fn pay_out(pool: &Pool, miner: MinerId) {
    let (owner, amount) = (Owner::Miner(miner), Amount(pool.payable(miner)));
    let now = UnixMillis(pool.clock);
    let (payment, txid) = (PaymentId(1), TxId("ab".repeat(32)));
    let rows = vec![PaymentRow { owner, address: "address".to_owned(), amount }];
    let done = vec![SettledRow { sent: amount, charged: Amount::ZERO }];
    let announced = Progress::Submitting { at: now, marker: Some("marker".to_owned()) };
    for entry in [
        Entry::PaymentReserved { payment, rows },
        Entry::PaymentProgress { payment, step: announced },
        Entry::PaymentProgress { payment, step: Progress::Sent { txid: txid.clone() } },
        Entry::PaymentSettled { payment, txid, fee: Amount(7), rows: done, lost: Amount::ZERO },
    ] {
        pool.ledger.append(now, entry).unwrap();
    }
}

/// Three incomes on top of each other: 1,000 to a, whose turn it is; 2,000 to b, since a was paid; 4,000 to a again.
pub fn three(pool: &mut Pool, a: MinerId, b: MinerId) -> [Income; 3] {
    pool.share(a, 10);
    let first = pool.block(a, 1_000);
    let second = round_of_both(pool, a, b, 2_000);
    let third = round_of_both(pool, a, b, 4_000);
    assert_eq!((immature(pool, a), immature(pool, b)), (5_000, 2_000));
    [first, second, third]
}

#[test]
fn a_lost_income_puts_the_cells_back_and_the_later_ones_are_divided_again() {
    let mut pool = Pool::start(&turns());
    let (a, b) = (pool.miner("a"), pool.miner("b"));
    let [first, second, third] = three(&mut pool, a, b);
    let before = pool.replay().unwrap();
    pool.lose(&first);
    assert_eq!(status(&pool, &first), IncomeStatus::Reversed(Reversal::Restore));
    // Nobody was paid before the second income now: both are, and so they are again by the third.
    assert_eq!((immature(&pool, a), immature(&pool, b)), (3_000, 3_000));
    assert_eq!(
        (status(&pool, &second), status(&pool, &third)),
        (IncomeStatus::Immature, IncomeStatus::Immature)
    );
    for income in [&second, &third] {
        pool.mature(income);
    }
    assert_eq!((pool.payable(a), pool.payable(b)), (3_000, 3_000));
    let totals = pool.ledger.totals();
    assert!(totals.conserved, "{totals:?}");
    assert_eq!((totals.income, totals.credited + totals.carried, totals.immature), (6_000, 6_000, 0));
    let replayed = pool.replay().unwrap();
    assert_eq!(
        replayed.incomes,
        before.incomes + 2,
        "two were divided a second time, and again by the replay"
    );

    // The next one stands on what is there now: both were paid, so both are.
    let fourth = round_of_both(&mut pool, a, b, 10_000);
    pool.mature(&fourth);
    assert_eq!((pool.payable(a), pool.payable(b)), (8_000, 8_000));
    assert!(pool.ledger.totals().conserved);
    pool.replay().unwrap();
}

#[test]
fn an_income_that_was_paid_out_before_the_chain_took_it_back_is_the_pools_loss_and_keeps_its_turn() {
    let mut pool = Pool::start(&turns());
    let (a, b) = (pool.miner("a"), pool.miner("b"));
    let [first, second, third] = three(&mut pool, a, b);
    pool.mature(&first);
    assert_eq!(pool.payable(a), 1_000);
    pay_out(&pool, a);
    let paid = pool.ledger.totals();
    assert_eq!((paid.paid, pool.payable(a)), (1_000, 0));

    // What a has cannot be taken back, and the later incomes stand as they were divided on top of it.
    pool.lose(&first);
    assert_eq!(status(&pool, &first), IncomeStatus::LostAfterMaturity);
    assert!(pool.alarms.list().iter().any(|alarm| alarm.text.contains("the pool bears it")));
    assert_eq!((immature(&pool, a), immature(&pool, b)), (4_000, 2_000));

    // The second one goes too: the third is divided again, on top of the first, which paid a.
    pool.lose(&second);
    assert_eq!(status(&pool, &second), IncomeStatus::Reversed(Reversal::Restore));
    assert_eq!((immature(&pool, a), immature(&pool, b)), (0, 4_000));
    pool.mature(&third);
    let totals = pool.ledger.totals();
    assert!(totals.conserved, "{totals:?}");
    assert_eq!((totals.paid, pool.payable(a), pool.payable(b)), (1_000, 0, 4_000));
    assert_eq!(pool.ledger.book().payments().count(), 1);
    pool.replay().unwrap();
}

/// The power goes when the loss is booked and nothing is divided again yet: the next start finds it in the entries.
#[test]
fn what_was_to_be_divided_again_when_the_power_went_is_divided_at_the_next_start() {
    let lost = |interrupted: bool| {
        let mut pool = Pool::start(&turns());
        let (a, b) = (pool.miner("a"), pool.miner("b"));
        let [first, second, third] = three(&mut pool, a, b);
        if interrupted {
            let (time, proof) = (UnixMillis(pool.clock), "another block".to_owned());
            let record = millpond_journal::IncomeLost { key: first.key.clone(), reason: proof.clone(), time };
            pool.journal.record(record).wait().unwrap();
            let key = IncomeKey::new(first.key.clone()).unwrap();
            pool.ledger.append(time, Entry::Reversed { key, how: Reversal::Restore, proof }).unwrap();
            pool = pool.restart(&turns());
            assert_eq!((immature(&pool, a), immature(&pool, b)), (4_000, 2_000), "nothing is divided yet");
            assert_eq!(pool.books.catch_up().unwrap(), 0);
        } else {
            pool.lose(&first);
        }
        pool = pool.restart(&turns());
        for income in [&second, &third] {
            pool.mature(income);
        }
        let fourth = round_of_both(&mut pool, a, b, 10_000);
        pool.mature(&fourth);
        assert!(pool.ledger.totals().conserved);
        pool.replay().unwrap();
        (pool.payable(a), pool.payable(b))
    };
    assert_eq!(lost(true), lost(false));
    assert_eq!(lost(false), (8_000, 8_000));
}
