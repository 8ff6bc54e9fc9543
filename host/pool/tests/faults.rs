//! A whole pool whose disk fails, is full, or is slow: no miner reads true for a share that is not durable, the pool says
//! why, a block goes to the nodes all the same, and after a restart on a mended disk nothing is lost.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod support;

use millpond_alerts::Level;
use millpond_disk::{Disk, DiskError, DiskFile, DiskLock, Fault, Keep, Operation, SimDisk};
use millpond_ledger::IncomeStatus;
use millpond_pool::Process;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use support::client::{Client, Want};
use support::crash::{World, solved};
use support::{process, start, stranger, until};

async fn a_disk_that(fails: &str, fault: impl Fn(&SimDisk), then: impl Fn(&SimDisk)) {
    for _ in 0..20 {
        if fails_once(fails, &fault, &then).await {
            return;
        }
    }
    panic!("no block was found by a pool that cannot record");
}

/// Whether a block was found while nothing could be recorded.
async fn fails_once(fails: &str, fault: impl Fn(&SimDisk), then: impl Fn(&SimDisk)) -> bool {
    let folder = tempfile::tempdir().unwrap();
    let disk = SimDisk::new();
    let process = Process { disk: Arc::new(disk.clone()), ..process(folder.path()) };
    let mut world = World::new(folder.path(), "pplns").await;
    let pool = start(&process, &world.config).await;
    let miners = world.mine(pool.addresses()[0]);
    world.wait_for(2_000).await;
    let refused = world.told.refused();
    fault(&disk);
    until(&pool, "a word of the pool about its disk", || {
        let not_ready = pool.not_ready();
        not_ready.iter().any(|why| why.starts_with("the journal takes nothing more"))
    })
    .await;
    then(&disk);
    until(&pool, "an alarm about its shares", || {
        let mut alarms = pool.alarms().into_iter();
        alarms.any(|alarm| alarm.level == Level::Critical && alarm.about == "journal")
    })
    .await;
    until(&pool, "refused shares", || world.told.refused() > refused).await;
    // What cannot be recorded is a block all the same. Jobs cannot be recorded either: where the last one was overtaken just
    // then, no work is left that could be a block, and nodes call what is found stale.
    let has = |word: &str| {
        let recorded = solved(&pool.journal().view());
        pool.blocks(1_000).iter().any(|block| {
            let mut id = hex::decode(&block.block).unwrap();
            let known = recorded.contains(&id) || {
                id.reverse();
                recorded.contains(&id)
            };
            !known && block.verdicts.iter().any(|verdict| verdict.contains(word))
        })
    };
    until(&pool, "a block of a pool that cannot record", || has("Accepted") || has("Stale")).await;
    let blocks = has("Accepted");
    pool.stop().await;
    drop(pool);
    for miner in miners {
        miner.await.unwrap();
    }
    // The harshest restart: with the machine.
    disk.cut(1, Keep::Nothing);
    disk.power_on();
    disk.set_capacity(None);
    world.look(&process.disk);
    let before = world.told.count();
    let pool = start(&process, &world.config).await;
    let miners = world.mine(pool.addresses()[0]);
    world.wait_for(2_000).await;
    assert!(pool.not_ready().is_empty(), "{:?}", pool.not_ready());
    pool.stop().await;
    drop(pool);
    for miner in miners {
        miner.await.unwrap();
    }
    let outcome = world.finish(&process).await;
    eprintln!(
        "a disk that {fails}: {before} shares answered true before and {} after, {} refused; {outcome:?}",
        world.told.count() - before,
        world.told.refused()
    );
    blocks
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_full_disk_is_told_and_costs_nothing_that_was_answered() {
    let fault = |disk: &SimDisk| {
        let used = (1 << 40) - disk.free_space(Path::new("/")).unwrap();
        disk.set_capacity(Some(used + 20_000));
    };
    a_disk_that("is full", fault, |_| {}).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_disk_that_fails_to_write_is_told_and_costs_nothing_that_was_answered() {
    let fault = |disk: &SimDisk| disk.fail(Operation::Append, 100, Fault::Io, true);
    a_disk_that("fails to write", fault, |_| {}).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_failed_sync_is_told_and_trusted_no_more_though_the_next_ones_go_well() {
    // The first sync that fails may be of any file; the disk is well again as soon as one of the journal's did.
    let fault = |disk: &SimDisk| disk.fail(Operation::Sync, 100, Fault::Io, true);
    a_disk_that("fails to sync for a moment", fault, SimDisk::heal).await;
}

/// A disk that takes its time for every sync.
#[derive(Debug)]
struct Slow(SimDisk);

#[derive(Debug)]
struct SlowFile(Arc<dyn DiskFile>);

const PAUSE: Duration = Duration::from_millis(250);

impl Disk for Slow {
    fn create(&self, path: &Path) -> Result<Arc<dyn DiskFile>, DiskError> {
        Ok(Arc::new(SlowFile(self.0.create(path)?)))
    }
    fn open(&self, path: &Path) -> Result<Arc<dyn DiskFile>, DiskError> {
        Ok(Arc::new(SlowFile(self.0.open(path)?)))
    }
    fn open_read(&self, path: &Path) -> Result<Arc<dyn DiskFile>, DiskError> {
        self.0.open_read(path)
    }
    fn rename(&self, from: &Path, to: &Path) -> Result<(), DiskError> {
        self.0.rename(from, to)
    }
    fn remove(&self, path: &Path) -> Result<(), DiskError> {
        self.0.remove(path)
    }
    fn list(&self, dir: &Path) -> Result<Vec<String>, DiskError> {
        self.0.list(dir)
    }
    fn make_dir(&self, dir: &Path) -> Result<(), DiskError> {
        self.0.make_dir(dir)
    }
    fn sync_dir(&self, dir: &Path) -> Result<(), DiskError> {
        self.0.sync_dir(dir)
    }
    fn free_space(&self, dir: &Path) -> Result<u64, DiskError> {
        self.0.free_space(dir)
    }
    fn lock(&self, path: &Path) -> Result<DiskLock, DiskError> {
        self.0.lock(path)
    }
}

impl DiskFile for SlowFile {
    fn append(&self, bytes: &[u8]) -> Result<(), DiskError> {
        self.0.append(bytes)
    }
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, DiskError> {
        self.0.read_at(offset, buffer)
    }
    fn len(&self) -> Result<u64, DiskError> {
        self.0.len()
    }
    fn truncate(&self, len: u64) -> Result<(), DiskError> {
        self.0.truncate(len)
    }
    fn sync(&self) -> Result<(), DiskError> {
        std::thread::sleep(PAUSE);
        self.0.sync()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_income_that_comes_before_its_blocks_record_is_durable_is_not_lost() {
    let folder = tempfile::tempdir().unwrap();
    let process = Process { disk: Arc::new(Slow(SimDisk::new())), ..process(folder.path()) };
    let world = World::new(folder.path(), "pplns").await;
    let pool = start(&process, &world.config).await;
    let login = stranger("bcrt", 1).0;
    let mut client = Client::connect(pool.addresses()[0], &login, "sha256d").await.unwrap();
    for block in 1..=3 {
        let job = client.job.clone().unwrap();
        let share = client.find(&job, 0, Want::Block);
        assert_eq!(client.submit(&share).await["result"], true);
        client.job_after(&job).await;
        until(&pool, "the block's income", || {
            let book = pool.ledger().book();
            book.incomes().filter(|(_, income)| income.status != IncomeStatus::Matured).count() > 0
                || book.incomes().count() >= block
        })
        .await;
    }
    pool.stop().await;
}
