//! kill -9 of a whole pool under load, again and again, over the development chain, which lives on in this process.
//!
//! Miners here write down every share that was answered true. After each kill all of them are in the journal, and the
//! ledger verifies. At the end every payment is in the chain once and to the unit, every block that pays the pool and
//! that the journal knows is in the ledger, and the history computes again.
//!
//! `MILLPOND_POOL_KILLS` says how many kills at random moments (6 when not set). Kills at named edges are in `edges.rs`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod support;

use millpond_disk::{Disk, RealDisk};
use std::sync::Arc;
use std::time::Instant;
use support::child::{self, Killable};
use support::crash::{Dice, World, count};
use support::process;

/// The process that is killed; nothing when it is run as a test of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child() {
    child::run().await;
}

async fn kill_at_random_moments(scheme: &str, kills: u64, seed: u64) {
    let folder = tempfile::tempdir().unwrap();
    let mut world = World::new(folder.path(), scheme).await;
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let (mut dice, mut mined, mut fastest) = (Dice(seed), 0.0, 0.0_f64);
    for kill in 0..kills {
        let mut pool = Killable::start(folder.path(), &world.config, None).await;
        let miners = world.mine(pool.address);
        // The moment is a share: soon after the start, or after several blocks and payments. The first run is a long
        // one, so that there is something to lose from the beginning.
        let scale = [10, 1_000, 5_000][usize::try_from(dice.below(3)).unwrap()];
        let moment = if kill == 0 { 5_000 } else { 1 + dice.below(scale) };
        let (began, before) = (Instant::now(), world.told.count());
        world.wait_for(moment).await;
        pool.kill();
        let seconds = began.elapsed().as_secs_f64();
        for miner in miners {
            miner.await.unwrap();
        }
        let shares = world.told.count() - before;
        mined += seconds;
        if shares > 1_000 {
            fastest = fastest.max(shares as f64 / seconds);
        }
        world.look(&disk);
    }
    let outcome = world.finish(&process(folder.path())).await;
    assert!(outcome.settled > 0 && outcome.replayed.incomes > 0, "{outcome:?}");
    assert_eq!(outcome.unanswered, 0, "a block reached a node before its record was written");
    let shares = world.told.count();
    eprintln!(
        "{scheme}: {kills} kills; {shares} shares answered true, {} refused, {} in the journal; {:.0} shares/s on \
         average, {fastest:.0} at best; {outcome:?}",
        world.told.refused(),
        world.ids.len(),
        shares as f64 / f64::max(mined, 0.001),
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_was_answered_true_survives_every_kill_and_every_payment_is_made_once() {
    if child::is_child() {
        return;
    }
    kill_at_random_moments("pplns", count("MILLPOND_POOL_KILLS", 6), 0x5eed).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn it_survives_under_another_scheme_too() {
    if child::is_child() {
        return;
    }
    kill_at_random_moments("prop", count("MILLPOND_POOL_KILLS", 6) / 3, 0xbeef).await;
}
