//! What the ledger's entries add up to beside balances: the scheme's state, and what was posted to the reserve.
//!
//! It is a function of the records alone. So that a start does not read all of them, it is kept in a file of its own from
//! time to time, and a note in the ledger's chain vouches for the file: a start takes the newest file whose digest the
//! chain names, and reads from there on; without one (none yet, lost, changed) it reads everything. A file can be deleted
//! at any time, and a forged one is not used. The replay computes what each note vouches for again.

use crate::decide;
use millpond_disk::{Disk, DiskError, read_file, replace_file};
use millpond_ledger::{Account, Entry, Head, Ledger, LedgerError, Reader};
use millpond_payout::direct::Deferred;
use millpond_payout::{PayoutError, SchemeState};
use millpond_types::{Amount, Digest, UnixMillis};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Who posts the reserve.
pub(crate) const CONFIGURATION: &str = "configuration";
/// Why.
pub(crate) const DECLARED: &str = "declared reserve";
/// Records between two files: a fraction of a second's reading.
pub(crate) const EVERY: u64 = 1024;
/// Who vouches for a file.
const BOOKS: &str = "books";
/// By which note.
const KEPT: &str = "scheme state kept";
/// How a file's name ends.
const ENDING: &str = ".state";

/// What the entries add up to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Sums {
    /// The scheme's state. It begins without a format: an empty state fits every scheme.
    pub(crate) state: SchemeState,
    /// What was posted to the reserve because the configuration declares it.
    pub(crate) deposited: Amount,
    /// What coinbases that pay many left owed. Not written where there are none: what was kept before keeps its digest.
    #[serde(default, skip_serializing_if = "Deferred::is_empty")]
    pub(crate) deferred: Deferred,
}

/// A state, and where it was read.
pub(crate) struct Read {
    pub(crate) sums: Sums,
    /// The newest record that counts in it.
    pub(crate) head: Head,
    /// Records that were read.
    pub(crate) records: u64,
}

impl Sums {
    /// Counts an entry.
    ///
    /// # Errors
    /// When the change of state that it carries does not fit.
    pub(crate) fn take(&mut self, entry: &Entry) -> Result<(), PayoutError> {
        decide::follow(&mut self.state, entry)?;
        self.deferred.follow(entry)?;
        if let Entry::Adjustment { postings, by, reason } = entry
            && by == CONFIGURATION
            && reason == DECLARED
        {
            let paid_in: i128 =
                postings.iter().filter(|p| p.account == Account::Wallet).map(|p| p.amount).sum();
            self.deposited = Amount(self.deposited.0.saturating_add(u64::try_from(paid_in).unwrap_or(0)));
        }
        Ok(())
    }

    fn to_bytes(&self) -> Result<Vec<u8>, LedgerError> {
        serde_json::to_vec(self).map_err(|why| broken(0, &why))
    }

    /// Whether a note vouches for another state than this one, which the entries before it add up to.
    ///
    /// # Errors
    /// When the state cannot be written.
    pub(crate) fn contradicts(&self, entry: &Entry) -> Result<bool, LedgerError> {
        let Some((_, digest)) = vouched(entry) else { return Ok(false) };
        Ok(Digest::of(&self.to_bytes()?) != digest)
    }

    /// Reads what a ledger's entries add up to, from the newest file on that the chain vouches for.
    ///
    /// # Errors
    /// When a record cannot be read, or carries a change that does not fit.
    pub(crate) fn read(ledger: &Ledger) -> Result<Read, LedgerError> {
        Self::read_to(ledger, u64::MAX)
    }

    /// As [`Sums::read`], of the entries up to a record.
    ///
    /// # Errors
    /// As [`Sums::read`].
    pub(crate) fn read_to(ledger: &Ledger, to: u64) -> Result<Read, LedgerError> {
        let (reader, (disk, dir)) = (ledger.reader(), ledger.place());
        for after in files(disk, dir).map_err(failed)?.into_iter().filter(|after| *after <= to) {
            if let Some(read) = Self::from_file(&reader, disk, dir, [after, to])? {
                return Ok(read);
            }
        }
        let mut sums = Self::default();
        let head = reader.for_each_record(&mut |record, _| {
            if record.seq > to {
                return Ok(());
            }
            sums.take(&record.entry).map_err(|why| broken(record.seq, &why))
        })?;
        Ok(Read { sums, head, records: head.seq })
    }

    fn from_file(
        reader: &Reader,
        disk: &dyn Disk,
        dir: &Path,
        [after, to]: [u64; 2],
    ) -> Result<Option<Read>, LedgerError> {
        // A record that cannot be read is told when everything is read.
        let Some((_, digest)) = reader.record(after).ok().flatten() else { return Ok(None) };
        let Ok(bytes) = read_file(disk, &dir.join(name(after))) else { return Ok(None) };
        let Ok(mut sums) = serde_json::from_slice::<Self>(&bytes) else { return Ok(None) };
        let note = (after, Digest::of(&bytes));
        let mut is_vouched = false;
        let head = reader.for_each_record_after(&Head { seq: after, digest }, &mut |record, _| {
            is_vouched |= vouched(&record.entry) == Some(note);
            // What nobody vouches for may contradict the entries in any way: it is not used, and is no error.
            if record.seq <= to && (is_vouched || vouched(&record.entry).is_none()) {
                sums.take(&record.entry).map_err(|why| broken(record.seq, &why))?;
            }
            Ok(())
        });
        match head {
            Ok(head) if is_vouched => Ok(Some(Read { sums, head, records: head.seq.saturating_sub(after) })),
            Err(why) if is_vouched => Err(why),
            _ => Ok(None),
        }
    }

    /// Keeps it in a file, and has the chain vouch for that.
    ///
    /// # Errors
    /// When the disk fails: then a start reads more.
    pub(crate) fn keep(&self, ledger: &Ledger, after: u64, now: UnixMillis) -> Result<(), LedgerError> {
        let (bytes, (disk, dir)) = (self.to_bytes()?, ledger.place());
        replace_file(disk, &dir.join(name(after)), &bytes).map_err(failed)?;
        let detail = format!("{after} {}", Digest::of(&bytes));
        ledger.append(now, Entry::Noted { by: BOOKS.to_owned(), action: KEPT.to_owned(), detail })?;
        for older in files(disk, dir).map_err(failed)?.into_iter().filter(|at| *at < after) {
            disk.remove(&dir.join(name(older))).map_err(failed)?;
        }
        Ok(())
    }
}

/// The record after which a state was kept, and the digest of its file, where an entry is a note of that.
fn vouched(entry: &Entry) -> Option<(u64, Digest)> {
    let Entry::Noted { by, action, detail } = entry else { return None };
    let (after, digest) = detail.split_once(' ').filter(|_| by == BOOKS && action == KEPT)?;
    let mut bytes = [0; 32];
    hex::decode_to_slice(digest, &mut bytes).ok()?;
    Some((after.parse().ok()?, Digest(bytes)))
}

fn name(after: u64) -> String {
    format!("{after:020}{ENDING}")
}

/// The records after which there are files, the newest first.
fn files(disk: &dyn Disk, dir: &Path) -> Result<Vec<u64>, DiskError> {
    let place = |name: &String| name.strip_suffix(ENDING).filter(|n| n.len() == 20)?.parse().ok();
    let mut kept: Vec<u64> = disk.list(dir)?.iter().filter_map(place).collect();
    kept.sort_unstable_by(|a, b| b.cmp(a));
    Ok(kept)
}

fn failed(why: DiskError) -> LedgerError {
    LedgerError::Log(why.into())
}

/// A record whose entry does not fit what came before it.
pub(crate) fn broken(seq: u64, why: &dyn std::fmt::Display) -> LedgerError {
    LedgerError::Broken { seq, why: why.to_string() }
}
