//! Whatever is tried in whatever order, the books balance and no unit is lost.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::*;
use millpond_disk::SimDisk;
use millpond_ledger::{Entry, Owner, Reversal};
use proptest::prelude::*;

fn any_entry() -> impl Strategy<Value = Entry> {
    let owner = || prop_oneof![(1..4_u64).prop_map(miner), Just(operator())];
    let list = || {
        proptest::collection::btree_map(owner(), 1..2000_u64, 1..4)
            .prop_map(|map| map.into_iter().collect::<Vec<_>>())
    };
    let key = 1..6_u64;
    let payment = 1..5_u64;
    let rows = || proptest::collection::vec((0..1500_u64, 0..20_u64), 1..3);
    prop_oneof![
        4 => (key.clone(), list(), 0..20_u64, any::<bool>()).prop_map(|(key, mut list, carry, direct)| {
            if carry > 0 && !direct {
                list.push((Owner::Carry, carry));
            }
            let income = income(key, 0, &list);
            Entry::IncomeAllocated(if direct { income.paid_directly() } else { income })
        }),
        2 => (key.clone(), list(), 1..20_u64)
            .prop_map(|(key, list, carry)| Entry::IncomeAllocated(income(key, carry.min(list[0].1), &list))),
        4 => key.clone().prop_map(matured),
        2 => (key.clone(), prop_oneof![Just(Reversal::Drop), Just(Reversal::Keep), Just(Reversal::Restore)])
            .prop_map(|(key, how)| reversed(key, how)),
        1 => key.prop_map(|key| Entry::Reinstated { key: common::key(key) }),
        1 => (1..2000_i128).prop_map(|amount| deposit(Owner::Reserve, amount)),
        1 => (1..50_u64, 0..9_u64, list()).prop_map(|(first, more, list)| accrued(first, first + more, &list)),
        3 => (payment.clone(), list()).prop_map(|(payment, list)| reserved(payment, &list)),
        3 => (payment.clone(), 0..30_u64, rows()).prop_map(|(payment, fee, rows)| built(payment, fee, &rows)),
        3 => payment.clone().prop_map(submitting),
        3 => (payment.clone(), 0..30_u64, rows()).prop_map(|(payment, fee, rows)| settled(payment, fee, &rows)),
        1 => payment.prop_map(released),
    ]
}

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
    fn nothing_that_is_accepted_loses_a_unit(entries in proptest::collection::vec(any_entry(), 1..60)) {
        let disk = SimDisk::new();
        let ledger = open(&disk);
        for entry in entries {
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
