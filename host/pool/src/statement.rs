//! A miner's statement: his account, page by page, with the proof of each part of an income that he was given. He needs
//! nobody's word for it: the proof leads from his part to the root that stands in the ledger's chain.

use crate::Pool;
use crate::show::entry_view;
use crate::view::{IncomeProof, ProvenEntry, StatementView};
use millpond_ledger::{Owner, Proven};

/// Entries of a statement's page at most: each is looked up in the ledger, and a proof is made of all parts of its income.
pub const MOST: usize = 50;
/// Bytes of the ledger that are read for a page, beside its first entry: a page of a large pool's incomes is shorter, and
/// says where the next one begins.
const READ: u64 = 32 << 20;

impl Pool {
    /// A miner's statement before a record (or from the newest on), newest first, at most [`MOST`] entries. `None` for a
    /// stranger, while the index is not there, or when the ledger cannot be read.
    #[must_use]
    pub fn statement(&self, address: &str, before: Option<u64>, limit: usize) -> Option<StatementView> {
        let miner = self.core.journal.miner_by_address(address)?;
        let owner = Owner::Miner(miner.id);
        let ledger = &self.core.ledger;
        let limit = limit.min(MOST);
        let owned = ledger.owned(&owner, before, limit)?;
        let seqs: Vec<u64> = owned.iter().map(|entry| entry.seq).collect();
        let proven = ledger
            .proven(&owner, &seqs, READ)
            .inspect_err(|why| tracing::error!(%address, %why, "a statement could not be read"))
            .ok()?;
        // A page that is not full is the last one, unless it was cut short.
        let more = !proven.is_empty() && (proven.len() < owned.len() || owned.len() == limit);
        let next = proven.last().filter(|_| more).map(|last| last.seq);
        let book = ledger.book();
        let entries = owned.into_iter().zip(proven).map(|(entry, Proven { record, part, .. })| {
            let proof = part.map(|part| IncomeProof {
                key: part.key.to_string(),
                owner: owner.to_string(),
                part: part.part,
                path: part.proof.path,
                root: part.root,
            });
            ProvenEntry { entry: entry_view(&book, entry), record, proof }
        });
        let entries = entries.collect();
        Some(StatementView {
            address: miner.address,
            owner: owner.to_string(),
            payable: book.payable(&owner),
            immature: book.immature(&owner),
            paid: book.paid(&owner),
            entries,
            next,
        })
    }
}
