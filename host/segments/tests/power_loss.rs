//! The power is cut at every kind of moment: what was acknowledged is there, whole and in order, and nothing else.
//! `MILLPOND_CUTS` sets how many random cuts are tried (40 without it).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use millpond_disk::{Disk, DiskError, DiskFile, DiskLock, Keep, SimDisk};
use millpond_segments::{Commit, Log, Options};
use parking_lot::Mutex;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

const DIR: &str = "/log";

fn cuts() -> u64 {
    std::env::var("MILLPOND_CUTS").ok().and_then(|cuts| cuts.parse().ok()).unwrap_or(40)
}

fn options(seed: u64) -> Options {
    let max_wait = Duration::from_micros(seed % 3 * 100);
    Options { max_wait, segment_bytes: 3000, ..Options::new("test") }
}

fn random(seed: u64, bound: u64) -> u64 {
    let mut mixed = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x1234_5678;
    mixed = (mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (mixed ^ (mixed >> 32)) % bound
}

/// Writes until the power fails, or all is written; gives back what was acknowledged: (index, number).
fn write(log: &Log, start: u64, count: u64, seed: u64) -> Vec<(u64, u64)> {
    let mut waiting: Vec<(u64, Commit<u64>)> = Vec::new();
    let mut acknowledged = Vec::new();
    for number in start..start + count {
        let size = 20 + random(seed ^ number, 700) as usize;
        let mut payload = number.to_le_bytes().to_vec();
        payload.resize(size, number as u8);
        let commit = if number % 17 == 0 {
            log.append_urgent(vec![(2, payload)])
        } else {
            log.append(vec![(1, payload)])
        };
        waiting.push((number, commit));
        if number % 29 == 0 {
            let _ = log.drop_before(log.view().next_index().saturating_sub(25)).wait();
        }
        if waiting.len() as u64 > random(seed + number, 6) {
            acknowledged.extend(waiting.drain(..).filter_map(|(n, c)| Some((c.wait().ok()?, n))));
        }
    }
    acknowledged.extend(waiting.into_iter().filter_map(|(n, c)| Some((c.wait().ok()?, n))));
    acknowledged
}

#[test]
fn everything_acknowledged_survives_cuts_at_random_moments() {
    let mut torn = 0;
    for seed in 0..cuts() {
        let disk = SimDisk::new();
        let keep =
            [Keep::Nothing, Keep::Everything, Keep::RandomSubset, Keep::RandomSubset][seed as usize % 4];
        let mut acknowledged: Vec<(u64, u64)> = Vec::new();
        let mut number = 1;
        // Three lives on one disk: a cut may also fall into the mending of the one before.
        for life in 0..3 {
            disk.cut_at(1 + random(seed * 3 + life, 160), seed * 7 + life, keep);
            if let Ok((log, opened)) = Log::open(Arc::new(disk.clone()), Path::new(DIR), options(seed)) {
                torn += u64::from(opened.truncated.is_some());
                acknowledged.extend(write(&log, number, 120, seed));
                number += 120;
            }
            if !disk.is_off() {
                disk.cut(seed, keep);
            }
            disk.power_on();
        }
        let (log, opened) = Log::open(Arc::new(disk.clone()), Path::new(DIR), options(seed)).unwrap();
        torn += u64::from(opened.truncated.is_some());
        let verified = log.view().verify().unwrap();
        assert_eq!(verified.next, opened.next);
        let records: Vec<_> = log.view().iter(0).map(Result::unwrap).collect();
        assert_eq!(records.len() as u64, verified.next - verified.first, "seed {seed}: a gap");
        for (position, record) in records.iter().enumerate() {
            assert_eq!(record.index, verified.first + position as u64);
            let n = u64::from_le_bytes(record.payload[..8].try_into().unwrap());
            assert!(n >= 1 && n < number, "seed {seed}: record {n} was invented");
            assert!(
                record.payload[8..].iter().all(|byte| *byte == n as u8),
                "seed {seed}: record {n} is torn"
            );
        }
        for (index, n) in acknowledged.into_iter().filter(|(index, _)| *index >= verified.first) {
            let record = &records[(index - verified.first) as usize];
            assert_eq!(record.payload[..8], n.to_le_bytes(), "seed {seed}: record {n} at {index} is gone");
        }
    }
    assert!(torn > cuts() / 40, "only {torn} torn tails: the test does not test");
}

/// Notes when a sync returned, with how much of each file was durable by then.
#[derive(Debug)]
struct Traced {
    disk: SimDisk,
    synced: Arc<Mutex<u64>>,
}

#[derive(Debug)]
struct TracedFile {
    file: Arc<dyn DiskFile>,
    written: Mutex<u64>,
    synced: Arc<Mutex<u64>>,
}

impl DiskFile for TracedFile {
    fn append(&self, bytes: &[u8]) -> Result<(), DiskError> {
        *self.written.lock() += bytes.windows(8).filter(|window| *window == b"<record>").count() as u64;
        self.file.append(bytes)
    }
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, DiskError> {
        self.file.read_at(offset, buffer)
    }
    fn len(&self) -> Result<u64, DiskError> {
        self.file.len()
    }
    fn truncate(&self, len: u64) -> Result<(), DiskError> {
        self.file.truncate(len)
    }
    fn sync(&self) -> Result<(), DiskError> {
        self.file.sync()?;
        // Let an acknowledgement that does not wait for us come first.
        std::thread::yield_now();
        *self.synced.lock() += std::mem::take(&mut *self.written.lock());
        Ok(())
    }
}

impl Disk for Traced {
    fn create(&self, path: &Path) -> Result<Arc<dyn DiskFile>, DiskError> {
        let (file, synced) = (self.disk.create(path)?, Arc::clone(&self.synced));
        Ok(Arc::new(TracedFile { file, written: Mutex::new(0), synced }))
    }
    fn open(&self, path: &Path) -> Result<Arc<dyn DiskFile>, DiskError> {
        self.disk.open(path)
    }
    fn open_read(&self, path: &Path) -> Result<Arc<dyn DiskFile>, DiskError> {
        self.disk.open_read(path)
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

#[test]
fn the_sync_returns_before_the_reply() {
    let synced = Arc::new(Mutex::new(0));
    let disk = Arc::new(Traced { disk: SimDisk::new(), synced: Arc::clone(&synced) });
    let (log, _) = Log::open(disk, Path::new(DIR), options(1)).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..200 {
                    let index = log.append(vec![(1, b"<record>".to_vec())]).wait().unwrap();
                    let durable = *synced.lock();
                    assert!(durable >= index, "record {index} was acknowledged with {durable} synced");
                }
            });
        }
    });
    assert_eq!(log.view().next_index(), 801);
}
