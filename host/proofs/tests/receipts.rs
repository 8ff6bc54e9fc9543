//! Receipts, and what they say beside a statement.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod common;

use common::*;
use millpond_proofs::*;
use millpond_types::{Digest, ShareSeq};

/// `m1` has 8,000 of work in window 0, which counts shares 1,000 (in part) to 2,000.
fn check(pool: &Pool, made: &Made, receipts: &[SignedReceipt]) -> Result<Proven, StatementError> {
    let statement = pool.statement(made, "m1");
    verify(&statement, &Against { receipts, ..pool.against("bcrt1qminer1") })
}

#[test]
fn receipts_up_to_the_work_are_good() {
    let (pool, made) = pool_with_income();
    let one = pool.receipt(None, 1_001, 1_500, 5_000);
    let two = pool.receipt(Some(&one), 1_501, 2_000, 3_000);
    let json = serde_json::to_vec(&two).unwrap();
    assert_eq!(SignedReceipt::read(&json), Ok(two.clone()));
    let proven = check(&pool, &made, &[two.clone(), one.clone(), one.clone()]).unwrap();
    assert_eq!(proven.receipts, [(0, Receipted { inside: 2, outside: 0, work: 8_000 })]);
}

#[test]
fn receipts_above_the_work_are_evidence() {
    let (pool, made) = pool_with_income();
    let one = pool.receipt(None, 1_001, 1_500, 5_000);
    let two = pool.receipt(Some(&one), 1_501, 2_000, 3_001);
    let error = StatementError::ReceiptsExceedWork { window: 0, receipts: 8_001, counted: 8_000 };
    assert_eq!(check(&pool, &made, &[one, two]), Err(error));
}

#[test]
fn receipts_on_an_edge_are_not_counted() {
    let (pool, made) = pool_with_income();
    let old = pool.receipt(None, 900, 1_000, 9_000);
    let edge = pool.receipt(Some(&old), 1_001, 2_001, 9_000);
    let proven = check(&pool, &made, &[old, edge]).unwrap();
    assert_eq!(proven.receipts, [(0, Receipted { inside: 0, outside: 2, work: 0 })]);
    // The first share of a window that splits its edge may count in part only.
    let first = pool.receipt(None, 1_000, 1_400, 9_000);
    assert_eq!(check(&pool, &made, std::slice::from_ref(&first)).unwrap().receipts[0].1.outside, 1);
    let mut whole = Pool::new(1);
    let made =
        whole.divide_as(SUBJECT, 0, &parts(), AMOUNT, |division| division.windows[0].edge = Edge::Whole);
    whole.head();
    assert_eq!(check(&whole, &made, &[first]).unwrap_err().code(), "receipts-exceed-work");
}

/// Of a scheme that was followed at share 1,500 the window counts what is up to that as the miner's own.
#[test]
fn receipts_behind_the_end_of_a_followed_schemes_window_are_outside_of_it() {
    let divided = |floor: u64, direct: bool| {
        let mut pool = Pool::new(1);
        let text = format!("{{\"floor\":{floor},\"old\":{{}}}}");
        let setting = NamedSetting { name: "@run-off".to_owned(), value: Setting::Text(text) };
        let follows = |division: &mut Division| {
            division.scheme.settings.insert(0, setting.clone());
            division.direct = direct;
        };
        let made = pool.divide_as(SUBJECT, 0, &parts(), AMOUNT, follows);
        pool.head();
        (pool, made)
    };
    let (pool, made) = divided(1_500, false);
    let one = pool.receipt(None, 1_001, 1_500, 8_000);
    let two = pool.receipt(Some(&one), 1_501, 2_000, 3_000);
    let proven = check(&pool, &made, &[one.clone(), two.clone()]).unwrap();
    assert_eq!(proven.receipts, [(0, Receipted { inside: 1, outside: 1, work: 8_000 })]);
    let more = pool.receipt(None, 1_001, 1_500, 8_001);
    assert_eq!(check(&pool, &made, &[more]).unwrap_err().code(), "receipts-exceed-work");
    // The windows of the one that follows begin behind that share, and end where the division does.
    let (pool, made) = divided(999, false);
    let one = pool.receipt(None, 1_001, 1_500, 8_000);
    let two = pool.receipt(Some(&one), 1_501, 2_000, 3_000);
    assert_eq!(check(&pool, &made, &[one, two]).unwrap_err().code(), "receipts-exceed-work");
    // A coinbase that pays many goes by whole windows, wherever the scheme took over.
    let (pool, made) = divided(1_500, true);
    let one = pool.receipt(None, 1_001, 1_500, 5_000);
    let two = pool.receipt(Some(&one), 1_501, 2_000, 3_000);
    let proven = check(&pool, &made, &[one, two]).unwrap();
    assert_eq!(proven.receipts, [(0, Receipted { inside: 2, outside: 0, work: 8_000 })]);
}

#[test]
fn windows_that_choose_share_by_share_are_not_compared() {
    let comparable = |span: Span, measure| receipt::comparable(&span, measure);
    for span in [Span::Round, Span::Shares(5), Span::Work(8_000), Span::Batch] {
        assert!(comparable(span.clone(), Measure::Work));
        assert!(!comparable(span, Measure::Units));
    }
    let slices = Span::Slices(Slices { thousandths: 8_000, step: 1 });
    for span in [Span::Millis(5), Span::Coord(5), Span::Finder, Span::State, slices, Span::Unpaid(5)] {
        assert!(!comparable(span, Measure::Work));
    }
    let (pool, made) = pool_with_income();
    let other_unit = pool.receipt_as(None, 1_001, 1_500, 9_000, |body| body.shift = 0);
    let proven = check(&pool, &made, &[other_unit]).unwrap();
    assert!(proven.not_looked_at.contains(&NotLookedAt::Incomparable { window: 0 }));
}

#[test]
fn a_forged_receipt_is_refused() {
    let (pool, made) = pool_with_income();
    let good = pool.receipt(None, 1_001, 1_500, 5_000);
    let refused = |receipt: SignedReceipt| match check(&pool, &made, &[receipt]) {
        Err(StatementError::Receipt(error)) => error,
        other => panic!("{other:?}"),
    };
    let mut more = good.clone();
    more.body.work += 5_000;
    assert!(matches!(refused(more), ReceiptError::Signature { number: 0, .. }));
    let own = SignedReceipt::sign(good.body.clone(), &Signer::new(&[9; 32]));
    assert!(matches!(refused(own), ReceiptError::Key { number: 0, .. }));
    let other = |change: fn(&mut ReceiptBody)| pool.receipt_as(None, 1_001, 1_500, 5_000, change);
    assert!(matches!(
        refused(other(|body| body.owner = "m2".to_owned())),
        ReceiptError::Other { what: "owner", .. }
    ));
    assert!(matches!(
        refused(other(|body| body.address.clear())),
        ReceiptError::Other { what: "address", .. }
    ));
    assert!(matches!(
        refused(other(|body| body.pool = Digest::default())),
        ReceiptError::Other { what: "pool", .. }
    ));
    assert!(matches!(refused(other(|body| body.last = ShareSeq(1_000))), ReceiptError::Range { .. }));
    assert!(matches!(refused(other(|body| body.count = 501)), ReceiptError::Range { count: 501, .. }));
    assert!(matches!(refused(other(|body| body.count = 0)), ReceiptError::Range { count: 0, .. }));
    let mut newer = good;
    newer.body.version = 2;
    assert!(matches!(refused(newer), ReceiptError::Version { version: 2, .. }));
}

#[test]
fn receipts_of_one_connection_that_contradict_each_other_are_seen() {
    let (pool, made) = pool_with_income();
    let one = pool.receipt(None, 1_001, 1_500, 5_000);
    let contradict = |other: SignedReceipt| match check(&pool, &made, &[one.clone(), other]) {
        Err(StatementError::Receipt(ReceiptError::Contradict { before, after, .. })) => (before, after),
        other => panic!("{other:?}"),
    };
    assert_eq!(contradict(pool.receipt(None, 1_001, 1_500, 5_001)), (0, 0));
    assert_eq!(contradict(pool.receipt(Some(&one), 1_500, 1_600, 1)), (0, 1));
    let unchained = pool.receipt_as(Some(&one), 1_501, 1_600, 1, |body| body.prev = Digest::default());
    assert_eq!(contradict(unchained), (0, 1));
    // Another connection's ranges may lie among these.
    let elsewhere = pool.receipt_as(None, 1_100, 1_200, 7, |body| body.connection = Connection([4; 16]));
    assert_eq!(check(&pool, &made, &[one, elsewhere]).unwrap().receipts[0].1.work, 5_007);
}

#[test]
fn receipts_of_before_or_after_a_loss_count_other_shares_under_the_same_numbers() {
    let (pool, made) = pool_with_income();
    let one = |restarts| pool.receipt_as(None, 1_001, 1_500, 9_000, |body| body.restarts = restarts);
    assert_eq!(check(&pool, &made, &[one(0)]).unwrap_err().code(), "receipts-exceed-work");
    assert_eq!(check(&pool, &made, &[one(1)]).unwrap().receipts[0].1.outside, 1);
}

#[test]
fn a_replaced_key_signs_no_receipts_behind_its_last_head() {
    let (mut pool, made) = pool_with_income();
    let (first, next) = (pool.key(), Signer::new(&[77; 32]));
    let new_key = next.key();
    pool.head_as(move |body| body.kind = HeadKind::NewKey(NextKey { next: new_key }));
    let before = pool.receipt(None, 1_001, 1_100, 1);
    let late = pool.receipt_as(None, 1_001, 1_100, 1, |body| body.head = 1);
    pool.signer = next;
    pool.head();
    let early = pool.receipt(None, 1_001, 1_100, 1);
    let after = pool.receipt_as(None, 1_001, 1_100, 1, |body| body.head = 1);
    let statement = pool.statement(&made, "m1");
    let held = |receipt: SignedReceipt| {
        let (key, receipts) = (Some(first), &[receipt][..]);
        let against = Against { key, heads: &pool.heads, receipts, ..pool.against("bcrt1qminer1") };
        verify(&statement, &against).map(|_| ())
    };
    let refused =
        |receipt| matches!(held(receipt), Err(StatementError::Receipt(ReceiptError::Key { number: 0, .. })));
    assert_eq!((held(before), held(after)), (Ok(()), Ok(())));
    assert!(refused(late) && refused(early));
}

#[test]
fn the_digest_of_shares_is_that_of_their_order() {
    let (a, b) = (Digest::of(b"a"), Digest::of(b"b"));
    let none = Digest::default();
    assert_ne!(add_share(&add_share(&none, &a), &b), add_share(&add_share(&none, &b), &a));
}
