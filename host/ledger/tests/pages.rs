//! What a page of a statement costs: it reads a segment once, nothing twice, and no more of the log than it may.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::*;
use millpond_disk::{Disk, DiskError, DiskFile, DiskLock, SimDisk};
use millpond_ledger::{Ledger, LedgerError, Owner, verify_proof};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A disk that counts the bytes that are read of it.
#[derive(Clone, Debug, Default)]
struct Counting {
    disk: SimDisk,
    read: Arc<AtomicU64>,
}

#[derive(Debug)]
struct CountingFile(Arc<dyn DiskFile>, Arc<AtomicU64>);

impl DiskFile for CountingFile {
    fn append(&self, bytes: &[u8]) -> Result<(), DiskError> {
        self.0.append(bytes)
    }
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, DiskError> {
        let read = self.0.read_at(offset, buffer)?;
        self.1.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
    fn len(&self) -> Result<u64, DiskError> {
        self.0.len()
    }
    fn truncate(&self, len: u64) -> Result<(), DiskError> {
        self.0.truncate(len)
    }
    fn sync(&self) -> Result<(), DiskError> {
        self.0.sync()
    }
}

impl Counting {
    fn count(&self, file: Arc<dyn DiskFile>) -> Arc<dyn DiskFile> {
        Arc::new(CountingFile(file, Arc::clone(&self.read)))
    }

    fn read(&self) -> u64 {
        self.read.swap(0, Ordering::Relaxed)
    }
}

impl Disk for Counting {
    fn create(&self, path: &Path) -> Result<Arc<dyn DiskFile>, DiskError> {
        Ok(self.count(self.disk.create(path)?))
    }
    fn open(&self, path: &Path) -> Result<Arc<dyn DiskFile>, DiskError> {
        Ok(self.count(self.disk.open(path)?))
    }
    fn open_read(&self, path: &Path) -> Result<Arc<dyn DiskFile>, DiskError> {
        Ok(self.count(self.disk.open_read(path)?))
    }
    fn rename(&self, from: &Path, to: &Path) -> Result<(), DiskError> {
        self.disk.rename(from, to)
    }
    fn remove(&self, path: &Path) -> Result<(), DiskError> {
        self.disk.remove(path)
    }
    fn list(&self, dir: &Path) -> Result<Vec<String>, DiskError> {
        self.disk.list(dir)
    }
    fn make_dir(&self, dir: &Path) -> Result<(), DiskError> {
        self.disk.make_dir(dir)
    }
    fn sync_dir(&self, dir: &Path) -> Result<(), DiskError> {
        self.disk.sync_dir(dir)
    }
    fn free_space(&self, dir: &Path) -> Result<u64, DiskError> {
        self.disk.free_space(dir)
    }
    fn lock(&self, path: &Path) -> Result<DiskLock, DiskError> {
        self.disk.lock(path)
    }
}

/// Incomes of some thousand miners until the log has several segments: 8 MiB each.
fn large(disk: &Counting) -> Ledger {
    let ledger = Ledger::open(Arc::new(disk.clone()), Path::new(DIR)).unwrap();
    let list: Vec<_> = (1..=20_000).map(|id| (miner(id * 1_000_003), id * 1_000_000)).collect();
    while ledger.reader().log().segments().count() < 3 {
        now(&ledger, allocated(ledger.head().seq + 1, &list));
    }
    ledger
}

/// The segment that each record lies in, by its first record, and its bytes.
fn segment(ledger: &Ledger, seq: u64) -> (u64, u64) {
    let reader = ledger.reader();
    let found = reader.log().segments().find(|it| (it.first..it.next).contains(&seq)).cloned().unwrap();
    (found.first, found.bytes)
}

#[test]
fn a_page_reads_a_segment_once_and_the_next_one_nothing_again() {
    let disk = Counting::default();
    let ledger = large(&disk);
    let (first, bytes) = segment(&ledger, 2);
    let owner = miner(77 * 1_000_003);
    let seqs: Vec<u64> =
        (1..ledger.head().seq).rev().filter(|seq| segment(&ledger, *seq).0 == first).collect();
    assert!(seqs.len() >= 10, "{seqs:?}");
    disk.read();
    let page = ledger.proven(&owner, &seqs, bytes).unwrap();
    assert!(disk.read() <= bytes, "a segment of {bytes} bytes was read more than once");
    assert_eq!(page.iter().map(|entry| entry.seq).collect::<Vec<_>>(), seqs);
    for entry in &page {
        let part = entry.part.as_ref().unwrap();
        assert!(verify_proof(&part.key, &owner, part.part, &part.proof, &part.root));
        assert_eq!(ledger.reader().record(entry.seq).unwrap().unwrap().1, entry.record);
    }
    // Others have parts of the same incomes, and this one asks again.
    disk.read();
    assert_eq!(ledger.proven(&owner, &seqs, 0).unwrap(), page);
    let other = ledger.proven(&miner(20_000 * 1_000_003), &seqs, 0).unwrap();
    assert!(other.iter().all(|entry| entry.part.is_some()));
    let stranger = ledger.proven(&Owner::Carry, &seqs, 0).unwrap();
    assert!(stranger.iter().all(|entry| entry.part.is_none()));
    assert_eq!(disk.read(), 0);
}

#[test]
fn a_page_ends_where_it_would_read_more_than_it_may_and_has_one_entry_at_least() {
    let disk = Counting::default();
    let ledger = large(&disk);
    let newest = ledger.head().seq;
    let (seqs, owner): (Vec<u64>, _) = ((1..=newest).rev().collect(), miner(1_000_003));
    let of = |seq: &u64| segment(&ledger, *seq).0;
    let mut read = Vec::new();
    while read.len() < seqs.len() {
        let rest = &seqs[read.len()..];
        // The whole of the segment that the first one lies in, and no other.
        let page = ledger.proven(&owner, rest, 0).unwrap();
        assert_eq!(page.len(), rest.iter().filter(|seq| of(seq) == of(&rest[0])).count());
        read.extend(page.iter().map(|entry| entry.seq));
    }
    assert_eq!(read, seqs);
    let none = ledger.proven(&owner, &[newest + 1], 0);
    assert!(matches!(none, Err(LedgerError::Broken { .. })), "{none:?}");
}
