//! What pages of statements are made of: for some records of one owner the digest in the chain and the proof of his part.
//!
//! A page is asked for by whoever likes to, and an income of a large pool has a part for each of its miners. So what was
//! read for one page is kept for the next one (the newest incomes, within [`ROOM`]), a segment is read once for all of
//! its records, and a page ends where it would have to read more of the log than it was allowed to.

use crate::reader::{broken, parse};
use crate::tree::Tree;
use crate::{Entry, IncomeKey, Ledger, LedgerError, Owner, Proof, Reader, SumNode};
use millpond_segments::SegmentInfo;
use millpond_types::{Amount, Digest};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Bytes that kept trees may take: three of an income with a million parts, a thousand of one with a thousand.
const ROOM: usize = 64 << 20;
/// What a record takes beside its tree.
const ENTRY: usize = 256;

/// A record of an owner's account, as it stands in the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proven {
    /// Its number.
    pub seq: u64,
    /// BLAKE3 of its bytes.
    pub record: Digest,
    /// Of an income that he has a part of.
    pub part: Option<ProvenPart>,
}

/// That a part of an income is its owner's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProvenPart {
    /// The income.
    pub key: IncomeKey,
    /// His part.
    pub part: Amount,
    /// The path from it to the root.
    pub proof: Proof,
    /// The root.
    pub root: SumNode,
}

/// What is known of a record.
#[derive(Debug)]
struct Known {
    digest: Digest,
    tree: Option<Tree>,
}

impl Known {
    fn bytes(&self) -> usize {
        self.tree.as_ref().map_or(0, Tree::bytes).saturating_add(ENTRY)
    }
}

/// Records that were read, the newest of them within a room: who walks through old ones drives out nothing.
#[derive(Debug)]
pub(crate) struct Kept {
    room: usize,
    used: usize,
    known: BTreeMap<u64, Arc<Known>>,
}

impl Default for Kept {
    fn default() -> Self {
        Self { room: ROOM, used: 0, known: BTreeMap::new() }
    }
}

impl Kept {
    fn keep(&mut self, seq: u64, known: &Arc<Known>) {
        let bytes = known.bytes();
        if self.known.contains_key(&seq) || bytes > self.room {
            return;
        }
        while self.used.saturating_add(bytes) > self.room {
            let Some(oldest) = self.known.first_entry().filter(|oldest| *oldest.key() < seq) else { return };
            self.used = self.used.saturating_sub(oldest.get().bytes());
            oldest.remove();
        }
        self.used = self.used.saturating_add(bytes);
        self.known.insert(seq, Arc::clone(known));
    }
}

impl Ledger {
    /// Proofs for some records of an owner's account, in the order in which they are asked for: as many as there are
    /// before more than `bytes` of the log would have to be read for them, and at least the first.
    ///
    /// # Errors
    /// When the log cannot be read, or has no such record.
    pub fn proven(&self, owner: &Owner, seqs: &[u64], bytes: u64) -> Result<Vec<Proven>, LedgerError> {
        let reader = self.reader();
        let mut page = BTreeMap::new();
        let mut left = Some(bytes);
        let mut proven = Vec::with_capacity(seqs.len());
        for seq in seqs {
            let known = page.get(seq).cloned().or_else(|| self.proofs.lock().known.get(seq).cloned());
            let known = match known {
                Some(known) => known,
                None => {
                    let segment = reader.log().segments().find(|it| (it.first..it.next).contains(seq));
                    let segment = segment.ok_or_else(|| broken(*seq, "the ledger has no such record"))?;
                    left = left.and_then(|left| left.checked_sub(segment.bytes));
                    if left.is_none() && !proven.is_empty() {
                        break;
                    }
                    self.read(&reader, segment, seqs, &mut page)?;
                    let read = page.get(seq).cloned();
                    read.ok_or_else(|| broken(*seq, "its segment does not hold it"))?
                }
            };
            proven.push(of(*seq, &known, owner)?);
        }
        Ok(proven)
    }

    /// Reads those of some records that a segment holds.
    fn read(
        &self,
        reader: &Reader,
        segment: &SegmentInfo,
        seqs: &[u64],
        page: &mut BTreeMap<u64, Arc<Known>>,
    ) -> Result<(), LedgerError> {
        reader.log().read(segment, |stored| {
            if seqs.contains(&stored.index) && !page.contains_key(&stored.index) {
                let record = parse(stored.kind, stored.index, stored.payload)?;
                let tree = match &record.entry {
                    Entry::IncomeAllocated(income) => {
                        let tree = Tree::new(&income.key, &income.parts)?;
                        if tree.root().is_some_and(|root| root != income.root) {
                            return Err(broken(record.seq, "its root is not that of its parts"));
                        }
                        Some(tree)
                    }
                    _ => None,
                };
                let known = Arc::new(Known { digest: Digest::of(stored.payload), tree });
                self.proofs.lock().keep(stored.index, &known);
                page.insert(stored.index, known);
            }
            Ok::<_, LedgerError>(())
        })
    }
}

fn of(seq: u64, known: &Known, owner: &Owner) -> Result<Proven, LedgerError> {
    let part = match &known.tree {
        Some(tree) => tree.prove(owner)?.zip(tree.root()).map(|((part, proof), root)| ProvenPart {
            key: tree.key().clone(),
            part,
            proof,
            root,
        }),
        None => None,
    };
    Ok(Proven { seq, record: known.digest, part })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain() -> Arc<Known> {
        Arc::new(Known { digest: Digest::default(), tree: None })
    }

    #[test]
    fn the_newest_stay_and_who_walks_through_old_ones_drives_out_nothing() {
        let mut kept = Kept { room: 3 * ENTRY, ..Kept::default() };
        let all = |kept: &Kept| kept.known.keys().copied().collect::<Vec<_>>();
        for seq in [10, 30, 20, 20] {
            kept.keep(seq, &plain());
        }
        assert_eq!((all(&kept), kept.used), (vec![10, 20, 30], 3 * ENTRY));
        (1..9).for_each(|seq| kept.keep(seq, &plain()));
        assert_eq!(all(&kept), [10, 20, 30]);
        kept.keep(40, &plain());
        assert_eq!((all(&kept), kept.used), (vec![20, 30, 40], 3 * ENTRY));
        kept.room = ENTRY - 1;
        kept.keep(50, &plain());
        assert_eq!(all(&kept), [20, 30, 40], "what does not fit drives out nothing either");
    }
}
