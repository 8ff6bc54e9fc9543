//! A miner's statement: his account, page by page, with the proof of each part of an income that he was given. He needs
//! nobody's word for it: the proof leads from his part to the root that stands in the ledger's chain.

use crate::Pool;
use crate::show::entry_view;
use crate::view::{IncomeProof, ProvenEntry, StatementView};
use millpond_ledger::{Entry, Owned, OwnedWhat, Owner, Reader, prove};

/// Entries of a statement's page at most: each is looked up in the ledger, and a proof is made of all parts of its income.
pub const MOST: usize = 50;

impl Pool {
    /// A miner's statement before a record (or from the newest on), newest first, at most [`MOST`] entries. `None` for a
    /// stranger, while the index is not there, or when the ledger cannot be read.
    #[must_use]
    pub fn statement(&self, address: &str, before: Option<u64>, limit: usize) -> Option<StatementView> {
        let miner = self.core.journal.miner_by_address(address)?;
        let owner = Owner::Miner(miner.id);
        let ledger = &self.core.ledger;
        let owned = ledger.owned(&owner, before, limit.min(MOST))?;
        let reader = ledger.reader();
        let mut entries = Vec::with_capacity(owned.len());
        for entry in owned {
            entries.push(self.proven(&reader, &owner, entry)?);
        }
        let book = ledger.book();
        Some(StatementView {
            address: miner.address,
            owner: owner.to_string(),
            payable: book.payable(&owner),
            immature: book.immature(&owner),
            paid: book.paid(&owner),
            entries,
        })
    }

    fn proven(&self, reader: &Reader, owner: &Owner, owned: Owned) -> Option<ProvenEntry> {
        let (record, digest) = reader
            .record(owned.seq)
            .inspect_err(|why| tracing::error!(seq = owned.seq, %why, "a statement could not be read"))
            .ok()??;
        let proof = match (&owned.what, &record.entry) {
            (OwnedWhat::Income(_), Entry::IncomeAllocated(income)) => {
                let proof = prove(&income.key, &income.parts, owner).ok()??;
                Some(IncomeProof {
                    key: income.key.to_string(),
                    owner: owner.to_string(),
                    part: income.parts.of(owner),
                    path: proof.path,
                    root: income.root,
                })
            }
            _ => None,
        };
        let entry = entry_view(&self.core.ledger.book(), owned);
        Some(ProvenEntry { entry, record: digest, proof })
    }
}
