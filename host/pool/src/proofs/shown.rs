//! What is committed and published, in memory: the history tree, where each entry stands in it, and the heads.

use super::kept::{Noted, Said};
use millpond_proofs::{History, SignedHead};
use millpond_types::Digest;
use std::collections::{BTreeMap, HashMap};

/// The newest division of an income, or a payment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Last {
    pub(super) division: u64,
    pub(super) commitment: Digest,
}

#[derive(Debug, Default)]
pub(super) struct Shown {
    pub(super) history: History,
    noted: Vec<Noted>,
    by_seq: BTreeMap<u64, u64>,
    subjects: HashMap<Vec<u8>, Last>,
    /// Where each head stands in its log.
    pub(super) heads: BTreeMap<u64, u64>,
    pub(super) newest: Option<SignedHead>,
}

impl Shown {
    pub(super) fn note(&mut self, noted: Noted) {
        let index = self.history.size();
        self.history.push(noted.entry.leaf());
        self.by_seq.insert(noted.entry.ledger_seq, index);
        if matches!(noted.said, Said::Income | Said::Payment) {
            let last = Last { division: noted.division, commitment: noted.entry.commitment };
            self.subjects.insert(hex::decode(&noted.subject).unwrap_or_default(), last);
        }
        self.noted.push(noted);
    }

    pub(super) fn publish(&mut self, head: SignedHead, at: u64) {
        self.heads.insert(head.body.number, at);
        self.newest = Some(head);
    }

    /// The newest division of a subject.
    pub(super) fn last(&self, subject: &[u8]) -> Option<Last> {
        self.subjects.get(subject).copied()
    }

    /// The entry of a record of the ledger, and its place.
    pub(super) fn entry(&self, seq: u64) -> Option<(u64, &Noted)> {
        let index = *self.by_seq.get(&seq)?;
        Some((index, self.noted.get(usize::try_from(index).ok()?)?))
    }

    pub(super) fn last_noted(&self) -> Option<&Noted> {
        self.noted.last()
    }

    /// Whether an entry from a place on is of more than shares of a batch.
    pub(super) fn urgent(&self, from: u64) -> bool {
        let from = usize::try_from(from).unwrap_or(usize::MAX);
        self.noted.iter().skip(from).any(|noted| noted.said != Said::Accrued)
    }

    pub(super) fn restarts(&self) -> u32 {
        self.newest.as_ref().map_or(0, |head| head.body.restarts)
    }
}
