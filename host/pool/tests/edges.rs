//! kill -9 of a whole pool under load at every edge between two durable steps: of a share, a solution, a submission, an
//! income, its division and maturity, and a payment. Afterwards everything is as it would be without the kill.
//!
//! `MILLPOND_EDGE_KILLS` says how often each edge is hit (1 when not set).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod support;

use millpond_disk::{Disk, RealDisk};
use millpond_pool::Edge;
use std::sync::Arc;
use support::child::{self, Killable};
use support::crash::{Dice, World, count};
use support::process;

/// The process that is killed; nothing when it is run as a test of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child() {
    child::run().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_kill_at_every_edge_between_a_share_and_its_payment_loses_and_doubles_nothing() {
    if child::is_child() {
        return;
    }
    let kills = count("MILLPOND_EDGE_KILLS", 1);
    let folder = tempfile::tempdir().unwrap();
    let mut world = World::new(folder.path(), "pplns").await;
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let mut dice = Dice(0xed6e);
    for round in 0..kills {
        for edge in Edge::all() {
            // The first passing, or one of the next.
            let passing = if round == 0 { 1 } else { 1 + dice.below(3) };
            let mut pool =
                Killable::start(folder.path(), &world.config, Some((edge.to_string(), passing))).await;
            let miners = world.mine(pool.address);
            world.wait_until(&format!("passing {passing} of {edge}"), || pool.at_edge()).await;
            pool.kill();
            for miner in miners {
                miner.await.unwrap();
            }
            world.look(&disk);
        }
    }
    let outcome = world.finish(&process(folder.path())).await;
    assert!(outcome.settled > 0 && outcome.replayed.incomes > 0, "{outcome:?}");
    assert_eq!(outcome.unanswered, 0, "a block reached a node before its record was written");
    eprintln!(
        "{kills} kills at each of {} edges; {} shares answered true; {outcome:?}",
        Edge::all().count(),
        world.told.count()
    );
}
