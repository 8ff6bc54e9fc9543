//! Whatever is tried in whatever order, the books balance and no unit is lost.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::*;
use millpond_disk::SimDisk;
use millpond_ledger::{Entry, Reversal};
use proptest::prelude::*;

/// What a random history once found: the operator made good what the chain took back of a block that pays its finder
/// itself, and then the block was in the chain after all.
#[test]
fn a_direct_income_that_was_made_good_and_matures_after_all_is_counted_once() {
    let ledger = open(&SimDisk::new());
    for entry in [
        Entry::IncomeAllocated(income(1, 0, &[(miner(1), 500)]).paid_directly()),
        reversed(1, Reversal::Keep),
        Entry::Reinstated { key: common::key(1) },
        matured(1),
        reversed(1, Reversal::Drop),
    ] {
        ledger.append(AT, entry.clone()).unwrap();
        let totals = ledger.totals();
        assert!(totals.conserved, "after {entry:?}: {totals:?}");
        assert_eq!(ledger.book().totals_anew(), totals, "after {entry:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn nothing_that_is_accepted_loses_a_unit(
        entries in proptest::collection::vec((any_entry(), proptest::option::of(1..5_u64)), 1..60),
    ) {
        let disk = SimDisk::new();
        let ledger = open(&disk);
        for (entry, undo) in entries {
            // Instead of every other entry a payment is undone, where there is one to undo.
            let entry = undo.and_then(|payment| undone(&ledger, payment)).unwrap_or(entry);
            let before = ledger.head();
            let refused = ledger.append(AT, entry.clone()).is_err();
            prop_assert!(!refused || ledger.head() == before);
            let totals = ledger.totals();
            prop_assert!(totals.conserved, "after {:?}: {:?}", entry, totals);
            prop_assert_eq!(ledger.book().totals_anew(), totals, "after {:?}", entry);
        }
        let (book, head) = (ledger.book().clone(), ledger.head());
        drop(ledger);
        let again = open(&disk);
        prop_assert_eq!((again.book().clone(), again.head()), (book, head));
    }
}
