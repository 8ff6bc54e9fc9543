//! What is committed and published, in memory: the history tree, where each entry stands in it, and the heads.

use super::kept::{Noted, Said};
use millpond_ledger::Head;
use millpond_proofs::{Entry, History, SignedHead};
use millpond_types::Digest;
use std::collections::{BTreeMap, HashMap};

/// The newest division of an income, or a payment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Last {
    pub(super) division: u64,
    pub(super) commitment: Digest,
}

/// What is held of an entry of the history.
#[derive(Clone, Copy, Debug)]
pub(super) struct Held {
    pub(super) entry: Entry,
    /// BLAKE3 of the ledger's record.
    pub(super) record: Digest,
    /// The record of the log of evidence.
    pub(super) evidence: u64,
    said: Said,
}

#[derive(Debug, Default)]
pub(super) struct Shown {
    pub(super) history: History,
    /// In the order of the history: by losses, and then by number in the ledger.
    held: Vec<Held>,
    subjects: HashMap<Vec<u8>, Last>,
    /// Where each head stands in its log.
    pub(super) heads: BTreeMap<u64, u64>,
    pub(super) newest: Option<SignedHead>,
    /// The record of the ledger that the newest head goes to which has no more than the history: one that was put in to go
    /// on from after a restore knows of more.
    pub(super) followed: Head,
}

impl Shown {
    pub(super) fn note(&mut self, noted: &Noted) {
        self.history.push(noted.entry.leaf());
        if matches!(noted.said, Said::Income | Said::Payment) {
            let last = Last { division: noted.division, commitment: noted.entry.commitment };
            self.subjects.insert(hex::decode(&noted.subject).unwrap_or_default(), last);
        }
        let Noted { entry, record, evidence, said, .. } = *noted;
        self.held.push(Held { entry, record, evidence, said });
    }

    pub(super) fn publish(&mut self, head: SignedHead, at: u64) {
        self.heads.insert(head.body.number, at);
        if head.body.size <= self.history.size() {
            self.followed = Head { seq: head.body.ledger_seq, digest: head.body.ledger_digest };
        }
        self.newest = Some(head);
    }

    /// The newest division of a subject.
    pub(super) fn last(&self, subject: &[u8]) -> Option<Last> {
        self.subjects.get(subject).copied()
    }

    /// The entry of a record of the ledger, and its place.
    pub(super) fn entry(&self, seq: u64) -> Option<(u64, Held)> {
        let mut end = self.held.len();
        // Numbers ascend between two losses, and come again after one.
        while let Some(newest) = end.checked_sub(1).and_then(|last| self.held.get(last)) {
            let restarts = newest.entry.restarts;
            let begin = self.held.partition_point(|held| held.entry.restarts < restarts);
            let since = self.held.get(begin..end)?;
            if let Ok(at) = since.binary_search_by_key(&seq, |held| held.entry.ledger_seq) {
                return Some((u64::try_from(begin.checked_add(at)?).ok()?, *since.get(at)?));
            }
            end = begin;
        }
        None
    }

    pub(super) fn last_noted(&self) -> Option<Held> {
        self.held.last().copied()
    }

    /// Whether an entry from a place on is of more than shares of a batch.
    pub(super) fn urgent(&self, from: u64) -> bool {
        let from = usize::try_from(from).unwrap_or(usize::MAX);
        self.held.iter().skip(from).any(|held| held.said != Said::Accrued)
    }

    pub(super) fn restarts(&self) -> u32 {
        self.newest.as_ref().map_or(0, |head| head.body.restarts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_found_by_its_number_where_numbers_came_again() {
        let mut shown = Shown::default();
        let places = [(0, 3), (0, 7), (0, 9), (1, 8), (1, 12), (3, 8), (3, 20)];
        for (restarts, ledger_seq) in places {
            let commitment = Digest::of(&[restarts as u8, ledger_seq as u8]);
            let entry = Entry { restarts, ledger_seq, commitment };
            let (record, subject) = (Digest::default(), String::new());
            shown.note(&Noted { entry, record, subject, division: 0, said: Said::Accrued, evidence: 1 });
        }
        let found = |seq| shown.entry(seq).map(|(index, held)| (index, held.entry.restarts));
        assert_eq!(found(3), Some((0, 0)));
        assert_eq!(found(8), Some((5, 3)), "the newest of a number");
        assert_eq!(found(9), Some((2, 0)));
        assert_eq!(found(12), Some((4, 1)));
        assert_eq!(found(20), Some((6, 3)));
        for none in [0, 1, 4, 10, 21] {
            assert_eq!(found(none), None, "{none}");
        }
        assert!(!shown.urgent(0));
        assert_eq!(Shown::default().entry(1).map(|(index, _)| index), None);
    }
}
