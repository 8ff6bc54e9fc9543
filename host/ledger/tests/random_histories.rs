//! Whatever is tried in whatever order, the books balance and no unit is lost.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::*;
use millpond_disk::SimDisk;
use millpond_ledger::{Account, Entry, IncomeStatus, Owner, Past, Reversal};
use millpond_types::UnixMillis;
use proptest::prelude::*;
use std::collections::BTreeMap;

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

    #[test]
    fn a_past_book_is_the_one_that_stood_there(
        entries in proptest::collection::vec((any_entry(), 0..4_u64), 1..30),
    ) {
        let disk = SimDisk::new();
        let ledger = open(&disk);
        let mut stood = vec![(ledger.book().clone(), ledger.head(), 0)];
        let mut clock = AT.0;
        for (entry, later) in entries {
            // Times go back now and then, as an income's entry has the income's time.
            let at = UnixMillis(if later == 0 { clock - 5 } else { clock + later });
            let before = ledger.head();
            if ledger.append(at, entry.clone()).is_err() || ledger.head() == before {
                continue;
            }
            clock = clock.max(at.0);
            stood.push((ledger.book().clone(), ledger.head(), at.0));
            if let Entry::IncomeAllocated(income) = &entry {
                let key = &income.key;
                let first = stood.iter().position(|(book, ..)| book.income(key).is_some()).unwrap();
                let of = |past: Past| ledger.reader().past(&past).unwrap();
                let (before, after) = (&stood[first - 1], &stood[first]);
                prop_assert_eq!(of(Past::Before(key.clone())), (before.0.clone(), before.1));
                prop_assert_eq!(of(Past::After(key.clone())), (after.0.clone(), after.1));
            }
        }
        for (seq, (book, head, _)) in (0..).zip(&stood) {
            prop_assert_eq!(ledger.reader().past(&Past::Record(seq)).unwrap(), (book.clone(), *head));
        }
        for time in AT.0 - 6..clock + 2 {
            let (book, head) = ledger.reader().past(&Past::Time(UnixMillis(time))).unwrap();
            let last = stood.iter().take_while(|(_, _, at)| *at <= time).last().unwrap();
            prop_assert_eq!((&book, head), (&last.0, last.1));
        }
        let more = ledger.head().seq + 1;
        prop_assert!(ledger.reader().past(&Past::Record(more)).is_err());
        prop_assert!(ledger.reader().past(&Past::Before(common::key(99))).is_err());
    }
}

/// A step with an income: it is divided (what it draws on the reserve, parts of a miner, of the operator and of the
/// reserve), it matures, or the chain takes it back.
#[derive(Clone, Debug)]
enum Step {
    Divided { income: u64, draws: u64, miner: u64, operator: u64, reserve: u64 },
    Matured(u64),
    Lost(u64, Reversal),
}

fn step() -> impl Strategy<Value = Step> {
    let key = || 1..4_u64;
    let amounts = (any::<bool>(), 0..400_u64, 1..900_u64, 0..300_u64);
    prop_oneof![
        3 => (key(), amounts).prop_map(|(income, (draws, pooled, miner, operator))| {
            let (draws, reserve) = if draws { (pooled.min(miner), 0) } else { (0, pooled) };
            Step::Divided { income, draws, miner, operator, reserve }
        }),
        1 => key().prop_map(Step::Matured),
        2 => (key(), any_reversal()).prop_map(|(income, how)| Step::Lost(income, how)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Of each owner the books hold what a few lines of plain arithmetic say, whatever is lost in whatever order.
    #[test]
    fn every_unit_of_0_2_allocations_is_somewhere(steps in proptest::collection::vec(step(), 1..40)) {
        let ledger = open(&SimDisk::new());
        now(&ledger, deposit(Owner::Reserve, 1000));
        // Draw, and the parts of miner, operator and reserve.
        let mut divided = BTreeMap::<u64, [u64; 4]>::new();
        let (mut miners, mut fees, mut reserve, mut loss) = (0, 0, 1000, 0);
        for step in steps {
            let status = |income: u64| ledger.book().income(&common::key(income)).map(|known| known.status);
            match step {
                Step::Divided { income: number, draws, miner: credit, operator: part, reserve: filled } => {
                    let kept = match status(number) {
                        None | Some(IncomeStatus::Reversed(Reversal::Drop | Reversal::Restore)) => 0,
                        Some(IncomeStatus::Reversed(Reversal::KeepReserve)) => divided[&number][3],
                        Some(_) => continue,
                    };
                    let list = [(miner(1), credit), (operator(), part), (Owner::Reserve, filled)];
                    let list: Vec<_> = list.into_iter().filter(|row| row.1 > 0).collect();
                    let entry = Entry::IncomeAllocated(drawing(number, draws, &list));
                    let accepted = ledger.append(AT, entry).is_ok();
                    prop_assert_eq!(accepted, draws <= reserve);
                    if accepted {
                        let back = kept.min(reserve - draws);
                        (reserve, loss) = (reserve - draws - back, loss - back);
                        divided.insert(number, [draws, credit, part, filled]);
                    }
                }
                Step::Matured(number) if status(number) == Some(IncomeStatus::Immature) => {
                    now(&ledger, matured(number));
                    let [_, credit, part, filled] = divided[&number];
                    (miners, fees, reserve) = (miners + credit, fees + part, reserve + filled);
                }
                Step::Lost(number, how) if status(number) == Some(IncomeStatus::Immature) => {
                    now(&ledger, reversed(number, how));
                    let [draws, credit, part, filled] = divided[&number];
                    match how {
                        Reversal::Drop | Reversal::Restore => reserve += draws,
                        Reversal::KeepReserve => (reserve, loss) = (reserve + draws + filled, loss + filled),
                        Reversal::Keep => {
                            (miners, fees, reserve) = (miners + credit, fees + part, reserve + filled);
                            loss += credit + part + filled - draws;
                        }
                    }
                }
                Step::Matured(_) | Step::Lost(..) => continue,
            }
            let held = [miner(1), operator(), Owner::Reserve].map(|owner| ledger.payable(&owner).0);
            prop_assert_eq!(held, [miners, fees, reserve]);
            prop_assert_eq!(ledger.book().balance(&Account::OperatorLoss), i128::from(loss));
            let totals = ledger.totals();
            prop_assert!(totals.conserved, "{:?}", totals);
            prop_assert_eq!(ledger.book().totals_anew(), totals);
        }
    }
}
