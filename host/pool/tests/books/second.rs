//! Schemes of the second contract in a pool: what they keep, draw and leave to the operator is booked, and replays.

use crate::support::{Pool, wanted};
use millpond_contracts::Setting;
use millpond_ledger::{FeeName, Owner};
use millpond_pool::policy::Wanted;
use millpond_types::Amount;

const BLOCK: u64 = 5_000_000_000;

fn operator() -> Owner {
    Owner::Fee(FeeName::try_from("operator".to_owned()).unwrap())
}

fn solo() -> Wanted {
    wanted("solo", Vec::new(), 0)
}

fn funded(scheme: &str, basis_points: i64) -> Wanted {
    Wanted { reserve: Amount(50 * BLOCK), ..wanted(scheme, Vec::new(), basis_points) }
}

#[test]
fn scores_outlive_a_restart_and_pay_by_every_block() {
    let dgm = funded("dgm", 100);
    let mut pool = Pool::start(&dgm);
    let (a, b) = (pool.miner("a"), pool.miner("b"));
    for work in [400, 300] {
        pool.share(a, work);
        pool.credit_shares();
    }
    let first = pool.block(b, BLOCK);
    pool.mature(&first);
    let before = [a, b].map(|miner| pool.payable(miner));
    assert!(before[0] > before[1] && before[1] > 0, "{before:?}");
    // A young pool's scores are due less than a block: the rest is the operator's, with his hundredth of the others.
    let fee = pool.ledger.payable(&operator()).0;
    assert_eq!(before[0] + before[1] + fee, BLOCK);
    assert!(fee > BLOCK / 100);

    let mut pool = pool.restart(&dgm);
    let second = pool.block(b, BLOCK);
    pool.mature(&second);
    assert!(pool.payable(a) > before[0], "a's shares are paid by a block that he has no share in");
    let replayed = pool.replay().unwrap();
    assert_eq!((replayed.incomes, replayed.taken), (2, 0));
    assert!(replayed.batches >= 2 && pool.ledger.totals().conserved);
}

#[test]
fn full_pay_per_share_is_credited_from_the_reserve_by_miner_and_job() {
    let mut pool = Pool::start(&funded("fpps", 0));
    let (a, b) = (pool.miner("a"), pool.miner("b"));
    for (miner, work) in [(a, 100), (b, 50), (a, 100), (a, 7)] {
        pool.share(miner, work);
    }
    pool.credit_shares();
    assert_eq!([a, b].map(|miner| pool.payable(miner)), [207 * BLOCK / 1000, 50 * BLOCK / 1000]);
    // The block's own share of a tenth is credited before it, and all of the block fills the reserve.
    let block = pool.block(b, BLOCK);
    pool.mature(&block);
    assert_eq!(pool.payable(b), 150 * BLOCK / 1000);
    assert_eq!(pool.ledger.payable(&Owner::Reserve), Amount(51 * BLOCK - 357 * BLOCK / 1000));
    let replayed = pool.replay().unwrap();
    assert_eq!((replayed.incomes, replayed.batches), (1, 2));
}

#[test]
fn what_a_pool_cannot_give_a_scheme_is_said_before_it_comes_into_force() {
    let refused = |wanted: &Wanted, says: &str| {
        let told = Pool::start(&solo()).try_restart(wanted).err().unwrap();
        assert!(told.contains(says), "{told}");
    };
    refused(&wanted("geometric", Vec::new(), 0), "nobody receives it");
}

#[test]
fn a_scheme_that_needs_the_subsidy_is_refused_where_jobs_do_not_tell_it() {
    let mut without_fees = wanted("fpps", Vec::new(), 100);
    without_fees.scheme_settings = vec![("fees".to_owned(), Setting::Text("none".to_owned()))];
    for apart in [without_fees, wanted("pps-plus", Vec::new(), 100)] {
        let why = Pool::refused_untold(&apart);
        assert!(why.contains("does not tell the subsidy"), "{why}");
        assert!(Pool::start(&solo()).try_restart(&apart).is_ok());
    }
}

#[test]
fn subsidy_and_fees_go_each_its_own_way() {
    let plus = funded("pps-plus", 0);
    let mut pool = Pool::start(&plus);
    pool.tell_subsidy(BLOCK / 10 * 9);
    let (a, b) = (pool.miner("a"), pool.miner("b"));
    pool.share(a, 200);
    pool.share(b, 100);
    pool.credit_shares();
    let share = BLOCK / 10 * 9 / 1000;
    assert_eq!([a, b].map(|miner| pool.payable(miner)), [200 * share, 100 * share]);
    // The block's own share of 100 is credited before it; then a's and b's work in the window is the same.
    let block = pool.block(b, BLOCK);
    pool.mature(&block);
    let fees = BLOCK / 10 / 2;
    assert_eq!([a, b].map(|miner| pool.payable(miner)), [200 * share + fees, 200 * share + fees]);
    let reserve = 50 * BLOCK - 400 * share + BLOCK / 10 * 9;
    assert_eq!(pool.ledger.payable(&Owner::Reserve), Amount(reserve));

    // Of a block that paid the pool a half, a half of the subsidy; after a restart as before it.
    let mut pool = pool.restart(&plus);
    pool.tell_subsidy(BLOCK / 10 * 9);
    let half = pool.block(a, BLOCK / 2);
    pool.mature(&half);
    let reserve = reserve - 100 * share + BLOCK / 20 * 9;
    assert_eq!(pool.ledger.payable(&Owner::Reserve), Amount(reserve));
    assert!(pool.ledger.totals().conserved);
    let replayed = pool.replay().unwrap();
    assert_eq!((replayed.incomes, replayed.taken), (2, 0));
}

#[test]
fn full_pay_without_fees_leaves_them_to_the_reserve() {
    let settings = vec![("fees".to_owned(), Setting::Text("none".to_owned()))];
    let mut pool = Pool::start(&Wanted { reserve: Amount(50 * BLOCK), ..wanted("fpps", settings, 0) });
    pool.tell_subsidy(BLOCK / 5 * 4);
    let a = pool.miner("a");
    pool.share(a, 500);
    pool.credit_shares();
    assert_eq!(pool.payable(a), 500 * (BLOCK / 5 * 4) / 1000);
    let block = pool.block(a, BLOCK);
    pool.mature(&block);
    assert_eq!(pool.ledger.payable(&Owner::Reserve), Amount(51 * BLOCK - 600 * (BLOCK / 5 * 4) / 1000));
    assert_eq!(pool.replay().unwrap().incomes, 1);
}

fn slice(window: i64, delta: u64) -> Wanted {
    let number = |name: &str, value| (name.to_owned(), Setting::Int(value));
    wanted("slice", vec![number("window", window), number("delta", delta as i64)], 0)
}

/// The subsidy is shared by work, the fees by work and fees of each share's job in its slice; also after a restart, and a
/// lost block is as if it had never been.
#[test]
fn fees_go_to_whose_jobs_had_them_beside_those_of_the_same_time() {
    // Of all in one slice, and of two, where what is between both jobs ends one.
    for (delta, of_fees) in [(0, [2, 11]), (BLOCK / 5, [2, 5])] {
        let wanted = slice(1_000, delta);
        let mut pool = Pool::start(&wanted);
        let (a, b) = (pool.miner("a"), pool.miner("b"));
        pool.tell_subsidy(BLOCK / 10 * 9);
        pool.share(a, 200);
        pool.tell_subsidy(BLOCK / 10 * 7);
        pool.share(b, 200);
        // With the block's own share a has 200 of 500 of work, and 20 of 110 of work by fees.
        let block = pool.block(b, BLOCK);
        let expected = BLOCK / 10 * 7 * 2 / 5 + BLOCK / 10 * 3 * of_fees[0] / of_fees[1];
        pool.mature(&block);
        assert!(pool.payable(a).abs_diff(expected) <= 1, "{} {expected}", pool.payable(a));
        assert_eq!(pool.payable(a) + pool.payable(b), BLOCK);

        let mut pool = pool.restart(&wanted);
        pool.tell_subsidy(BLOCK / 10 * 7);
        pool.height += 1;
        let lost = pool.block(a, BLOCK);
        pool.lose(&lost);
        pool.height += 1;
        let third = pool.block(a, BLOCK);
        pool.mature(&third);
        // 400 of 700 of work; of fees as before 20 of 500, or 2, and all of two slices of 100.
        let fees = BLOCK / 10 * 3;
        let of_slice = 500 * of_fees[0] * fees / of_fees[1];
        let expected = expected + BLOCK / 10 * 7 * 4 / 7 + (of_slice + 200 * fees) / 700;
        assert!(pool.payable(a).abs_diff(expected) <= 2, "{} {expected}", pool.payable(a));
        assert_eq!(pool.payable(a) + pool.payable(b), 2 * BLOCK);
        let replayed = pool.replay().unwrap();
        assert_eq!((replayed.incomes, replayed.taken), (3, 0));
        assert!(pool.ledger.totals().conserved);
    }
    let why = Pool::refused_untold(&slice(1_000, 0));
    assert!(why.contains("does not tell the subsidy"), "{why}");
}
