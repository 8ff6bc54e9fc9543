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
    let solo = wanted("solo", Vec::new(), 0);
    let refused = |wanted: &Wanted, says: &str| {
        let told = Pool::start(&solo).try_restart(wanted).err().unwrap();
        assert!(told.contains(says), "{told}");
    };
    refused(&wanted("geometric", Vec::new(), 0), "nobody receives it");
    let subsidy = vec![("fees".to_owned(), Setting::Text("none".to_owned()))];
    refused(&wanted("fpps", subsidy, 100), "does not keep the subsidy");
    refused(&wanted("pps-plus", Vec::new(), 100), "does not keep the subsidy");
}
