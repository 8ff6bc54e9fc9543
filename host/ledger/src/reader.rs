//! Reading the ledger's log, also beside a running pool: nothing here locks or writes.

use crate::payment::undoes_as_settled;
use crate::{
    Book, Entry, ExportFormat, LedgerError, Owner, PaymentId, Record, Statement, Totals, export, statement,
};
use millpond_disk::Disk;
use millpond_segments::View;
use millpond_types::Digest;
use serde::{Deserialize, Serialize};
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

pub(crate) const FORMAT: &str = "millpond-ledger";
/// The kind of a ledger record in the log.
pub(crate) const RECORD: u16 = 1;

/// The newest record: what a backup or another machine compares.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// Number of records so far.
    pub seq: u64,
    /// BLAKE3 of the newest record's bytes; zeros before the first.
    pub digest: Digest,
}

/// What [`Reader::verify`] walked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// The newest record.
    pub head: Head,
    /// Commit groups whose checksums and chain hold.
    pub groups: u64,
    /// The figures after all records.
    pub totals: Totals,
}

/// A book that was read from the newest checkpoint on.
pub(crate) struct Resumed {
    pub(crate) book: Book,
    pub(crate) head: Head,
    /// Records since, and their bytes.
    pub(crate) read: u64,
    pub(crate) bytes: u64,
    /// Bytes of the checkpoint; 0 for none.
    pub(crate) stored: u64,
}

/// Looks at one record and its stored bytes.
pub type Visit<'a> = dyn FnMut(&Record, &[u8]) -> Result<(), LedgerError> + 'a;

/// The ledger's records as they were durable at one moment.
#[derive(Clone, Debug)]
pub struct Reader {
    view: View,
}

impl Reader {
    /// Reads a ledger that nobody has open, or that a running pool has.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub fn open(disk: Arc<dyn Disk>, dir: &Path) -> Result<Self, LedgerError> {
        View::open(disk, dir, FORMAT).map(Self::of).map_err(LedgerError::Log)
    }

    pub(crate) fn of(view: View) -> Self {
        Self { view }
    }

    /// The segments below.
    #[must_use]
    pub fn log(&self) -> &View {
        &self.view
    }

    /// Gives every record and its stored bytes, in order, checking that each follows from the one before.
    ///
    /// # Errors
    /// The visitor's own, or when a record does not check.
    pub fn for_each_record(&self, visit: &mut Visit<'_>) -> Result<Head, LedgerError> {
        let mut head = Head::default();
        let segments: Vec<_> = self.view.segments().cloned().collect();
        for segment in &segments {
            self.view.read(segment, |stored| {
                let record = check(&head, stored.kind, stored.index, stored.payload)?;
                visit(&record, stored.payload)?;
                head = Head { seq: record.seq, digest: Digest::of(stored.payload) };
                Ok::<_, LedgerError>(())
            })?;
        }
        Ok(head)
    }

    /// Gives every record after one, in order. That one is looked up first: it has to be there and have this digest.
    ///
    /// # Errors
    /// As [`Reader::for_each_record`], and when the ledger has no such record.
    pub fn for_each_record_after(&self, from: &Head, visit: &mut Visit<'_>) -> Result<Head, LedgerError> {
        let mut head = *from;
        for stored in self.view.iter(from.seq.max(1)) {
            let stored = stored?;
            if stored.index == from.seq {
                if Digest::of(&stored.payload) != from.digest {
                    return Err(broken(from.seq, "it is another record than the one gone by"));
                }
                continue;
            }
            let record = check(&head, stored.kind, stored.index, &stored.payload)?;
            visit(&record, &stored.payload)?;
            head = Head { seq: record.seq, digest: Digest::of(&stored.payload) };
        }
        if head.seq == from.seq && self.view.next_index() <= from.seq {
            return Err(broken(from.seq, "the ledger ends before it"));
        }
        Ok(head)
    }

    /// Gives the records from the newest back, until the visitor has seen enough (`false`) or there are no more. For what
    /// happened lately: it reads no more segments than it has to, each of them whole.
    ///
    /// # Errors
    /// The visitor's own, or when a segment it reads does not check.
    pub fn for_each_record_back(
        &self,
        visit: &mut dyn FnMut(&Record) -> Result<bool, LedgerError>,
    ) -> Result<(), LedgerError> {
        let segments: Vec<_> = self.view.segments().cloned().collect();
        for segment in segments.iter().rev() {
            let mut records = Vec::new();
            self.view.read(segment, |stored| {
                records.push(parse(stored.kind, stored.index, stored.payload)?);
                Ok::<_, LedgerError>(())
            })?;
            for record in records.iter().rev() {
                if !visit(record)? {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// One record and the digest of its bytes.
    ///
    /// # Errors
    /// When its segment does not check.
    pub fn record(&self, seq: u64) -> Result<Option<(Record, Digest)>, LedgerError> {
        let Some(stored) = self.view.iter(seq).next().transpose()? else { return Ok(None) };
        let record: Record =
            serde_json::from_slice(&stored.payload).map_err(|error| broken(stored.index, error))?;
        let fits = stored.index == seq && stored.kind == RECORD && record.seq == seq && record.v == 1;
        Ok(fits.then(|| (record, Digest::of(&stored.payload))))
    }

    /// The book after all records, from the newest checkpoint on.
    pub(crate) fn resume(&self, disk: &dyn Disk, dir: &Path) -> Result<Resumed, LedgerError> {
        let (mut book, from, stored) = crate::checkpoint::newest(disk, dir, self)?;
        let mut bytes = 0_u64;
        let head = self.for_each_record_after(&from, &mut |record, stored| {
            bytes = bytes.saturating_add(stored.len() as u64);
            book.replay(record).map(drop).map_err(|error| broken(record.seq, error))
        })?;
        Ok(Resumed { book, head, read: head.seq.saturating_sub(from.seq), bytes, stored })
    }

    /// The book after all records.
    ///
    /// # Errors
    /// When a record does not check, or could not have been written.
    pub fn replay(&self) -> Result<(Book, Head), LedgerError> {
        let mut book = Book::default();
        let head = self.for_each_record(&mut |record, _| {
            book.replay(record).map(drop).map_err(|error| broken(record.seq, error))
        })?;
        Ok((book, head))
    }

    /// What a payment was settled with: the entry, if there is one. Reads from the newest record back to where the payment
    /// begins.
    ///
    /// # Errors
    /// When a segment it reads does not check.
    pub fn settlement(&self, of: PaymentId) -> Result<Option<Entry>, LedgerError> {
        let mut found = None;
        self.for_each_record_back(&mut |record| {
            let begins = match &record.entry {
                Entry::PaymentSettled { payment, .. } if *payment == of => {
                    found = Some(record.entry.clone());
                    true
                }
                Entry::PaymentReserved { payment, .. } => *payment == of,
                _ => false,
            };
            Ok(!begins)
        })?;
        Ok(found)
    }

    /// Checks everything: checksums and chain of the log, chain of the records, every entry's rules and Merkle-sum
    /// root, and that no unit was lost.
    ///
    /// # Errors
    /// At the first thing that does not check.
    pub fn verify(&self) -> Result<Verified, LedgerError> {
        let log = self.view.verify()?;
        let mut book = Book::default();
        let head = self.for_each_record(&mut |record, _| {
            let replayed = book.replay(record).and_then(|_| undoes_as_settled(self, &record.entry));
            replayed.map_err(|error| broken(record.seq, error))
        })?;
        let totals = book.totals_anew();
        if totals.conserved {
            Ok(Verified { head, groups: log.groups, totals })
        } else {
            Err(broken(head.seq, "the totals do not agree with the balances"))
        }
    }

    /// One owner's statement with proofs.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub fn statement(&self, owner: &Owner) -> Result<Statement, LedgerError> {
        statement::statement(self, owner)
    }

    /// Writes all records; returns how many.
    ///
    /// # Errors
    /// When the log cannot be read or the writer fails.
    pub fn export(&self, format: &ExportFormat, out: &mut dyn Write) -> Result<u64, LedgerError> {
        export::export(self, format, out)
    }
}

pub(crate) fn broken(seq: u64, why: impl ToString) -> LedgerError {
    LedgerError::Broken { seq, why: why.to_string() }
}

/// A record's bytes, read.
pub(crate) fn parse(kind: u16, index: u64, bytes: &[u8]) -> Result<Record, LedgerError> {
    if kind != RECORD {
        return Err(broken(index, format!("it is of kind {kind}, which this version does not know")));
    }
    let record: Record = serde_json::from_slice(bytes).map_err(|error| broken(index, error))?;
    if record.v != 1 {
        return Err(broken(index, format!("it has form {}, this version reads form 1", record.v)));
    }
    if record.seq != index {
        return Err(broken(index, format!("it says it is number {}", record.seq)));
    }
    Ok(record)
}

fn check(head: &Head, kind: u16, index: u64, bytes: &[u8]) -> Result<Record, LedgerError> {
    let record = parse(kind, index, bytes)?;
    if Some(record.seq) != head.seq.checked_add(1) {
        return Err(broken(index, format!("it says it is number {}", record.seq)));
    }
    if record.prev != head.digest {
        return Err(broken(index, "it does not follow from the record before it"));
    }
    Ok(record)
}
