//! Power loss of a whole pool under load: its disk is simulated, its chain and its miners live on. What was not synced is
//! lost, kept, or lost in part, and the index in sled is gone every time.
//!
//! Every share that a miner wrote down as answered true is in the journal afterwards, no payment is doubled or lost, and
//! the history computes again. `MILLPOND_POOL_CUTS` says how many cuts at random points (9 when not set), and
//! `MILLPOND_EDGE_CUTS` how many at each edge (1 when not set).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod support;

use millpond_disk::{Keep, SimDisk};
use millpond_pool::{Edge, Edges, Process};
use std::path::Path;
use std::sync::Arc;
use support::crash::{Dice, World, count};
use support::{process, try_start};

const KEEPS: [Keep; 3] = [Keep::Nothing, Keep::Everything, Keep::RandomSubset];

fn process_on(disk: &SimDisk, data: &Path) -> Process {
    Process { disk: Arc::new(disk.clone()), ..process(data) }
}

/// Starts a pool, lets it be mined at until the power goes, and looks at what is left. Whether it came to mining.
async fn until_the_power_goes(world: &mut World, process: &Process, disk: &SimDisk) -> bool {
    let mut mined = false;
    // Whatever sled had is gone.
    let _ = std::fs::remove_dir_all(world.pool.join("index"));
    if let Ok(pool) = try_start(process, &world.config).await {
        mined = true;
        let miners = world.mine(pool.addresses()[0]);
        world.wait_until("the power cut", || disk.is_off()).await;
        pool.stop().await;
        for miner in miners {
            miner.await.unwrap();
        }
    }
    assert!(disk.is_off(), "the pool does not start on a disk that works");
    disk.power_on();
    // A cut in the first start may leave a folder without a journal.
    if process.disk.list(&world.pool.join("ledger")).is_ok_and(|files| !files.is_empty()) {
        world.look(&process.disk);
    }
    mined
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_power_cut_at_any_point_loses_no_share_and_doubles_no_payment() {
    let cuts = count("MILLPOND_POOL_CUTS", 9);
    let folder = tempfile::tempdir().unwrap();
    let disk = SimDisk::new();
    let process = process_on(&disk, folder.path());
    let mut world = World::new(folder.path(), "pplns").await;
    let (mut dice, mut mined) = (Dice(0xc07), 0);
    for cut in 0..cuts {
        let keep = KEEPS[usize::try_from(cut % 3).unwrap()];
        // While it opens, soon after, or after several blocks and payments. The first run is a long one, so that there
        // is something to lose from the beginning.
        let scale = [60, 300, 1_200][usize::try_from(dice.below(3)).unwrap()];
        let operations = if cut == 0 { 2_000 } else { 1 + dice.below(scale) };
        disk.cut_at(operations, dice.below(u64::MAX), keep);
        mined += u64::from(until_the_power_goes(&mut world, &process, &disk).await);
    }
    let outcome = world.finish(&process).await;
    assert!(outcome.settled > 0 && outcome.replayed.incomes > 0, "{outcome:?}");
    eprintln!(
        "{cuts} power cuts, {mined} of them under load; {} shares answered true, {} in the journal; {outcome:?}",
        world.told.count(),
        world.ids.len(),
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_power_cut_at_every_edge_between_a_share_and_its_payment_loses_and_doubles_nothing() {
    let cuts = count("MILLPOND_EDGE_CUTS", 1);
    let folder = tempfile::tempdir().unwrap();
    let disk = SimDisk::new();
    let mut process = process_on(&disk, folder.path());
    let mut world = World::new(folder.path(), "pplns").await;
    let mut dice = Dice(0xed6e);
    for round in 0..cuts {
        for (number, edge) in Edge::all().enumerate() {
            let keep = KEEPS[(usize::try_from(round).unwrap() + number) % 3];
            let passing = if round == 0 { 1 } else { 1 + dice.below(3) };
            let (cut, seed) = (disk.clone(), dice.below(u64::MAX));
            process.edges = Edges::stop_at(edge, passing, move |_| cut.cut(seed, keep));
            until_the_power_goes(&mut world, &process, &disk).await;
        }
    }
    process.edges = Edges::default();
    let outcome = world.finish(&process).await;
    assert!(outcome.settled > 0 && outcome.replayed.incomes > 0, "{outcome:?}");
    eprintln!(
        "{cuts} power cuts at each of {} edges; {} shares answered true; {outcome:?}",
        Edge::all().count(),
        world.told.count()
    );
}
