//! A journal on a simulated disk, and shares made of their number.
#![allow(clippy::unwrap_used, dead_code)]

use millpond_disk::{Disk, DiskError, DiskFile, DiskLock, SimDisk};
use millpond_journal::{FORMAT, Journal, Options, Recovered, Share, Solution, WorkerId};
use millpond_types::{Amount, Digest, JobId, MinerId, ShareSeq, UnixMillis, Work};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

pub const DIR: &str = "/journal";

pub fn options() -> Options {
    Options { max_wait: Duration::ZERO, segment_bytes: 4000, mark_bytes: 600, ..Options::new(FORMAT) }
}

pub fn open(disk: &SimDisk) -> (Journal, Recovered) {
    Journal::open(Arc::new(disk.clone()), Path::new(DIR), options()).unwrap()
}

pub fn share(number: u64) -> Share {
    Share {
        miner: MinerId(1 + number % 7),
        worker: WorkerId(1 + number % 9),
        job: JobId(1 + number / 30),
        coord: 1000 + number / 60,
        network_work: 1000 + u128::from(number % 3),
        reward: Amount(50),
        subsidy: None,
        work: Work(1 + number % 13),
        time: UnixMillis(1_000_000 + number * 10),
        id: Digest::of(&number.to_le_bytes()).0,
    }
}

pub fn solution(block: &[u8]) -> Solution {
    let found = share(1);
    Solution {
        block: block.to_vec(),
        job: found.job,
        miner: found.miner,
        worker: found.worker,
        share: None,
        end: ShareSeq(0),
        coord: found.coord,
        network_work: found.network_work,
        fields: vec![vec![1, 2], vec![]],
        results: vec![vec![3; 80]],
        private: Some(vec![4; 100]),
        time: found.time,
    }
}

/// Records the shares with these numbers, from `first` to `last`.
pub fn fill(journal: &Journal, first: u64, last: u64) {
    let commits: Vec<_> = (first..=last)
        .map(|number| {
            let commit = journal.share(share(number));
            // Groups of different sizes.
            if number % 11 == 0 { commit.wait().map(|_| None).unwrap() } else { Some(commit) }
        })
        .collect();
    for commit in commits.into_iter().flatten() {
        commit.wait().unwrap();
    }
}

/// A disk that counts what is read of each file.
#[derive(Debug)]
pub struct CountingDisk<D> {
    pub disk: D,
    pub read: Arc<Mutex<BTreeMap<PathBuf, u64>>>,
}

#[derive(Debug)]
struct CountingFile {
    file: Arc<dyn DiskFile>,
    path: PathBuf,
    read: Arc<Mutex<BTreeMap<PathBuf, u64>>>,
}

impl<D> CountingDisk<D> {
    pub fn new(disk: D) -> Self {
        Self { disk, read: Arc::default() }
    }

    fn count(&self, path: &Path, file: Arc<dyn DiskFile>) -> Arc<dyn DiskFile> {
        Arc::new(CountingFile { file, path: path.to_owned(), read: Arc::clone(&self.read) })
    }
}

impl DiskFile for CountingFile {
    fn append(&self, bytes: &[u8]) -> Result<(), DiskError> {
        self.file.append(bytes)
    }
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, DiskError> {
        let read = self.file.read_at(offset, buffer)?;
        *self.read.lock().entry(self.path.clone()).or_default() += read as u64;
        Ok(read)
    }
    fn len(&self) -> Result<u64, DiskError> {
        self.file.len()
    }
    fn truncate(&self, len: u64) -> Result<(), DiskError> {
        self.file.truncate(len)
    }
    fn sync(&self) -> Result<(), DiskError> {
        self.file.sync()
    }
}

impl<D: Disk> Disk for CountingDisk<D> {
    fn create(&self, path: &Path) -> Result<Arc<dyn DiskFile>, DiskError> {
        Ok(self.count(path, self.disk.create(path)?))
    }
    fn open(&self, path: &Path) -> Result<Arc<dyn DiskFile>, DiskError> {
        Ok(self.count(path, self.disk.open(path)?))
    }
    fn open_read(&self, path: &Path) -> Result<Arc<dyn DiskFile>, DiskError> {
        Ok(self.count(path, self.disk.open_read(path)?))
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
