//! Checkpoints: the book as bytes in a file of its own, and its digest as a record of the chain.
//!
//! The file is written and synced first, then the record. A ledger that opens looks for the newest file whose digest
//! stands in the record behind the file's place, and reads from there on; without such a file (none yet, lost, torn,
//! changed) it reads everything. So a checkpoint can be deleted at any time, and a forged one is not used: the chain
//! would have to be forged with it. A full replay computes the book at each checkpoint again and compares.

use crate::reader::{Head, Reader};
use crate::{Book, Entry, LedgerError};
use millpond_disk::{Disk, DiskError, read_file, replace_file};
use millpond_types::Digest;
use std::path::Path;

/// Records between checkpoints: a fraction of a second's reading.
pub(crate) const EVERY: u64 = 4096;
/// Bytes of records between checkpoints, unless the book itself takes more than half as many: entries of a million miners
/// take a second's reading for a few of them.
pub(crate) const MUCH: u64 = 64 << 20;

fn name(seq: u64) -> String {
    format!("{seq:020}.book")
}

/// Files of checkpoints, the newest first, each with the record that it stands after.
fn kept(disk: &dyn Disk, dir: &Path) -> Result<Vec<u64>, DiskError> {
    let names = disk.list(dir)?;
    let place = |name: &String| name.strip_suffix(".book").filter(|n| n.len() == 20)?.parse().ok();
    let mut kept: Vec<u64> = names.iter().filter_map(place).collect();
    kept.sort_unstable_by(|a, b| b.cmp(a));
    Ok(kept)
}

/// Stores the bytes of the book as it stands after a record.
pub(crate) fn store(disk: &dyn Disk, dir: &Path, after: u64, book: &[u8]) -> Result<(), DiskError> {
    replace_file(disk, &dir.join(name(after)), book)
}

/// Removes the checkpoints before one.
pub(crate) fn prune(disk: &dyn Disk, dir: &Path, newest: u64) -> Result<(), DiskError> {
    for seq in kept(disk, dir)?.into_iter().filter(|seq| *seq < newest) {
        disk.remove(&dir.join(name(seq)))?;
    }
    Ok(())
}

/// The newest book that the chain vouches for, and the head of the record that does; the empty book before the first
/// record when there is none. With the bytes that it takes.
pub(crate) fn newest(disk: &dyn Disk, dir: &Path, reader: &Reader) -> Result<(Book, Head, u64), LedgerError> {
    for seq in kept(disk, dir).map_err(|why| LedgerError::Log(why.into()))? {
        if let Some(found) = vouched(disk, dir, reader, seq)? {
            return Ok(found);
        }
    }
    Ok((Book::default(), Head::default(), 0))
}

/// A stored book, when the record behind its place says that this was it.
fn vouched(
    disk: &dyn Disk,
    dir: &Path,
    reader: &Reader,
    after: u64,
) -> Result<Option<(Book, Head, u64)>, LedgerError> {
    // A record that cannot be read is told when everything is read.
    let Some((record, digest)) = after.checked_add(1).and_then(|seq| reader.record(seq).ok().flatten())
    else {
        return Ok(None);
    };
    let Entry::Checkpoint { book } = record.entry else { return Ok(None) };
    let Ok(bytes) = read_file(disk, &dir.join(name(after))) else { return Ok(None) };
    if Digest::of(&bytes) != book {
        return Ok(None);
    }
    // The digest is right: bytes that are no book were written by another version.
    let Some(book) = Book::from_bytes(&bytes) else { return Ok(None) };
    let stored = bytes.len() as u64;
    Ok(book.totals().conserved.then_some((book, Head { seq: record.seq, digest }, stored)))
}
