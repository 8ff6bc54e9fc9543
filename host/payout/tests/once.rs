//! The list of unpaid shares in a scheme's state.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use millpond_ledger::IncomeKey;
use millpond_payout::{SchemeState, StateChange};
use millpond_types::{MinerId, ShareSeq};
use millpond_windows::Unpaid;

#[test]
fn what_is_unpaid_outlives_other_schemes_and_is_put_back_with_a_lost_income() {
    let keys: Vec<_> = (0..3_u8).map(|at| IncomeKey::new(vec![at]).unwrap()).collect();
    let list = |text: &str| serde_json::from_str::<Unpaid>(text).unwrap();
    let lists = [
        list(
            r#"{"upto":5,"stretches":[{"first":2,"last":4,"paid":"340282366920938463463374607431768211454"}]}"#,
        ),
        list(r#"{"upto":9,"stretches":[{"first":3,"last":3}]}"#),
    ];
    let of = |unpaid: &Unpaid| {
        let (format, unpaid) = ("once".to_owned(), Some(unpaid.clone()));
        StateChange { format, unpaid, ..StateChange::default() }.to_bytes()
    };
    let mut state = SchemeState::default();
    let digest = state.to_cells();
    state.apply(&of(&lists[0]), Some(&keys[0])).unwrap();
    assert!(state.to_cells().len() > digest.len() && state.is_empty() && state.is_by_order());
    assert_eq!(state.oldest_unpaid(), None, "before the first income all is unpaid");
    let before = state.clone();
    state.apply(&of(&lists[1]), Some(&keys[1])).unwrap();
    assert_ne!(state.to_cells(), before.to_cells());
    // A scheme that has another format leaves it alone, and so does one that keeps nothing.
    let mut other = state.clone();
    let rows = vec![(MinerId(1), vec![5])];
    let change = StateChange { format: "f".to_owned(), width: 1, rows, ..StateChange::default() };
    other.apply(&change.to_bytes(), None).unwrap();
    other.apply(&[], None).unwrap();
    assert_eq!(other.unpaid(), Some(&lists[1]));
    let bytes = serde_json::to_vec(&state).unwrap();
    state = serde_json::from_slice(&bytes).unwrap();
    state.apply(&of(&lists[1]), Some(&keys[2])).unwrap();
    state.settle(&keys[0]);
    assert_eq!(state.oldest_unpaid(), Some(ShareSeq(2)), "the second may be lost");
    state.restore_before(&keys[1]).unwrap();
    assert_eq!((state.unpaid(), state.again()), (Some(&lists[0]), &keys[2..]));
    // What is not kept is an error, and not another list.
    let why = state.restore_before(&keys[0]).unwrap_err().to_string();
    assert!(why.contains("is not kept"), "{why}");
}
