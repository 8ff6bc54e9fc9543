//! Several fee policies on one income: each is shown what the one before left.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod common;

use common::{FakeFee, facts, honest, name_of, window};
use millpond_contracts::Settings;
use millpond_contracts::payout::Fees;
use millpond_ledger::Owner;
use millpond_payout::{BoundFee, Decision, NoAttributes, Recipient, SchemeState, allocate};
use millpond_types::{Amount, MinerId};
use proptest::prelude::*;
use std::sync::Arc;

fn fee(recipient: &str, policy: impl Fn(&[u64], &[u64]) -> Fees + Send + Sync + 'static) -> BoundFee {
    let recipients = vec![Recipient { name: name_of(recipient), weight: 1 }];
    BoundFee::new("fee", Arc::new(FakeFee(Box::new(policy))), Settings::new(), recipients).unwrap()
}

fn miner(id: u64) -> Owner {
    Owner::Miner(MinerId(id))
}

/// So many basis points to one recipient.
fn takes(points: u64, recipient: &str) -> BoundFee {
    fee(recipient, move |_, amount| Fees {
        fee: amount
            .iter()
            .map(|amount| u64::try_from(u128::from(*amount) * u128::from(points) / 10_000).unwrap())
            .collect(),
        rebate: vec![0; amount.len()],
    })
}

fn divided(fees: &[BoundFee], gross: u64, work: &[u128]) -> Decision {
    let state = SchemeState::default();
    allocate(&honest(), fees, &facts(gross), Amount::ZERO, &[window(work)], &state, &NoAttributes).unwrap()
}

fn of(decision: &Decision, recipient: &str) -> u64 {
    decision.entry.parts.of(&Owner::Fee(name_of(recipient))).0
}

#[test]
fn a_policy_sees_what_the_one_before_left() {
    let [donation, keeps] = [takes(500, "charity"), takes(1_000, "operator")];
    let one_way = divided(&[donation.clone(), keeps.clone()], 1_000, &[1]);
    assert_eq!((of(&one_way, "charity"), of(&one_way, "operator")), (50, 95));
    assert_eq!(one_way.entry.parts.of(&miner(10)), Amount(855));
    let other_way = divided(&[keeps, donation], 1_000, &[1]);
    assert_eq!((of(&other_way, "charity"), of(&other_way, "operator")), (45, 100));
}

#[test]
fn each_policy_is_recorded_twice_in_its_order() {
    let decision = divided(&[takes(1, "a"), takes(2, "b")], 1_000, &[1, 2]);
    let functions: Vec<&str> = decision.audit.iter().map(|call| call.function.as_str()).collect();
    let fees = ["fees", "fees-renamed"];
    assert_eq!(functions, [&["allocate", "allocate-renamed"][..], &fees, &fees].concat());
}

#[test]
fn who_has_nothing_left_is_not_shown_to_the_next_policy() {
    let all_of_the_first = fee("first", |_, amount| Fees {
        fee: amount.iter().map(|amount| if *amount == 250 { 250 } else { 0 }).collect(),
        rebate: vec![0; amount.len()],
    });
    let sees_no_zero = fee("second", |_, amount| {
        assert_eq!(amount, [750]);
        Fees { fee: vec![1], rebate: vec![0] }
    });
    let decision = divided(&[all_of_the_first, sees_no_zero.clone()], 1_000, &[1, 3]);
    assert_eq!((of(&decision, "first"), of(&decision, "second")), (250, 1));
    // Nobody is left at all: the next one is not asked.
    let decision = divided(&[takes(10_000, "first"), sees_no_zero], 1_000, &[1, 3]);
    assert_eq!((of(&decision, "first"), decision.audit.len()), (1_000, 4));
}

#[test]
fn recipients_of_several_policies_get_their_sum() {
    let decision = divided(&[takes(1_000, "operator"), takes(1_000, "operator")], 1_000, &[1]);
    assert_eq!(of(&decision, "operator"), 190);
}

proptest! {
    #[test]
    fn any_policies_conserve_the_income(
        gross in 0..u64::MAX,
        work in proptest::collection::vec(1..u128::from(u32::MAX), 1..20),
        points in proptest::collection::vec(0..=10_000_u64, 0..5),
    ) {
        let fees: Vec<BoundFee> = points.iter().map(|points| takes(*points, "operator")).collect();
        let decision = divided(&fees, gross, &work);
        prop_assert_eq!(decision.entry.parts.total(), Amount(gross));
        // What is left of a miner's part after all of them, floored in his favour each time.
        let free = divided(&[], gross, &work);
        for at in 1..=work.len() as u64 {
            let mut left = free.entry.parts.of(&miner(at * 10)).0;
            for points in &points {
                left -= u64::try_from(u128::from(left) * u128::from(*points) / 10_000).unwrap();
            }
            prop_assert_eq!(decision.entry.parts.of(&miner(at * 10)), Amount(left));
        }
    }
}
