//! Several fee policies in one pool: recorded in their order, decided again by a replay, followed by swaps and shadows.

use crate::support::{Pool, sandbox, wanted};
use millpond_contracts::Setting;
use millpond_ledger::{FeeName, Owner};
use millpond_payout::Recipient;
use millpond_pool::plugins::PluginStore;
use millpond_pool::policy::{PolicyError, Wanted};
use millpond_pool::what_if::{Asked, Follower};
use millpond_runtime::TracingSink;
use millpond_types::{Amount, ShareSeq};
use std::path::Path;
use std::sync::Arc;

/// A scheme with flat fees of so many basis points, each to a recipient of its own.
fn with(scheme: &str, fees: &[(i64, &str)]) -> Wanted {
    let one = |(points, recipient): &(i64, &str)| {
        let component = PluginStore::find("flat-fee", Path::new("/")).unwrap();
        let name = FeeName::try_from((*recipient).to_owned()).unwrap();
        let settings = vec![("basis_points".to_owned(), Setting::Int(*points))];
        (component, settings, vec![Recipient { name, weight: 1 }])
    };
    Wanted { fees: fees.iter().map(one).collect(), ..wanted(scheme, Vec::new(), 0) }
}

fn got(pool: &Pool, recipient: &str) -> u64 {
    pool.ledger.payable(&Owner::Fee(FeeName::try_from(recipient.to_owned()).unwrap())).0
}

#[test]
fn each_policy_takes_of_what_the_one_before_left_and_a_replay_agrees() {
    let both = with("prop", &[(500, "charity"), (1_000, "operator")]);
    let mut pool = Pool::start(&both);
    let a = pool.miner("a");
    let income = pool.block(a, 1_000_000);
    pool.mature(&income);
    assert_eq!((got(&pool, "charity"), got(&pool, "operator"), pool.payable(a)), (50_000, 95_000, 855_000));
    let names: Vec<_> = pool.journal.newest_policy().unwrap().fees.into_iter().map(|fee| fee.name).collect();
    assert_eq!(names, ["flat-fee", "flat-fee"]);
    // Two calls of the scheme and two of each policy.
    assert_eq!(pool.replay().unwrap().calls, 6);
    // The same configuration is the policy in force; another order is another policy.
    let mut pool = pool.restart(&both);
    assert!(pool.books.pending().is_none());
    pool.swap(&with("prop", &[(1_000, "operator"), (500, "charity")]));
    let boundary = pool.block(a, 1_000_000);
    let income = pool.block(a, 1_000_000);
    pool.mature(&boundary);
    pool.mature(&income);
    assert_eq!((got(&pool, "charity"), got(&pool, "operator")), (145_000, 290_000));
    assert!(pool.ledger.totals().conserved);
    assert_eq!(pool.replay().unwrap().incomes, 3);
}

#[test]
fn credits_per_share_are_charged_by_all_of_them() {
    let fees = with("pps", &[(500, "charity"), (1_000, "operator")]);
    let mut pool = Pool::start(&Wanted { reserve: Amount(10_000_000_000), ..fees });
    let a = pool.miner("a");
    pool.share(a, 100);
    pool.credit_shares();
    // A tenth of 50 coins.
    assert_eq!((got(&pool, "charity"), got(&pool, "operator")), (25_000_000, 47_500_000));
    assert_eq!(pool.payable(a), 427_500_000);
    pool.replay().unwrap();
}

#[test]
fn more_policies_than_apply_to_an_income_are_refused() {
    let many = with("prop", &[(1, "operator"); 9]);
    let refused = Asked::new(&many, ShareSeq(0), sandbox(), Arc::new(TracingSink)).unwrap_err();
    assert!(matches!(refused, PolicyError::Fees(9)), "{refused}");
}

#[test]
fn a_shadow_with_several_policies_differs_by_what_they_take() {
    let mut pool = Pool::start(&with("prop", &[(1_000, "operator")]));
    let a = pool.miner("a");
    let asked = with("prop", &[(500, "charity"), (1_000, "operator")]);
    let asked = Asked::new(&asked, ShareSeq(0), sandbox(), Arc::new(TracingSink)).unwrap();
    let mut shadow = Follower::new(asked).unwrap();
    pool.block(a, 1_000_000);
    let answer = shadow.follow(&pool.journal.view(), &pool.ledger.reader()).unwrap();
    assert_eq!((answer.operator.actual, answer.operator.other), (100_000, 145_000));
    assert_eq!(answer.miners_in_all.more(), -45_000);
}
