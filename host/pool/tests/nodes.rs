//! A found block against nodes in trouble, with the whole pool running: one that loads, is away, hangs or refuses costs no
//! block, and holds up nothing of another node.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod support;

use millpond_devchain::{DevChain, Door, Fault};
use millpond_pool::{Pool, Process};
use support::client::{Client, Share, Want};
use support::rig::{OnDevChain, PAID_BY_ORDER, dev_chain};
use support::{process, start, stranger, until};
use tempfile::TempDir;

/// About 4,000 hashes a block.
const BITS: u32 = 0x1f0f_ffff;

/// A pool on a chain, with a miner; perhaps with a second node.
struct World {
    folder: TempDir,
    chain: DevChain,
    door: Option<Door>,
    process: Process,
    config: String,
}

impl World {
    async fn new(nodes: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (process, chain) = (process(folder.path()), dev_chain(BITS).await);
        let door = if nodes > 1 { Some(chain.door().await.unwrap()) } else { None };
        let second = door.as_ref().map(|door| {
            let (url, user, password) = (door.url(), chain.user(), chain.password());
            format!("[[pool.node]]\nurl = \"{url}\"\nuser = \"{user}\"\npassword = \"{password}\"\n")
        });
        let rest = second.unwrap_or_default() + PAID_BY_ORDER;
        let on = OnDevChain { pays_to: None, difficulty: "0.000001", chain: "", rest: &rest };
        let config = on.on(&chain);
        Self { folder, chain, door, process, config }
    }

    fn door(&self) -> &Door {
        self.door.as_ref().unwrap()
    }

    async fn start(&self) -> Pool {
        start(&self.process, &self.config).await
    }

    /// A miner with a block that he has not sent.
    async fn block(&self, pool: &Pool) -> (Client, Share) {
        let login = stranger("bcrt", 1).0;
        let mut client = Client::connect(pool.addresses()[0], &login, "sha256d").await.unwrap();
        let job = client.job_on(&self.chain.tip()).await;
        let share = client.find(&job, 0, Want::Block);
        (client, share)
    }

    /// Templates of blocks that are kept.
    fn templates(&self) -> usize {
        std::fs::read_dir(self.folder.path().join("dev/solutions")).unwrap().count()
    }
}

async fn submit(client: &mut Client, share: &Share) {
    let reply = client.submit(share).await;
    assert_eq!(reply["result"], serde_json::json!(true), "{reply}");
}

fn told(pool: &Pool, part: &str) -> bool {
    pool.alarms().iter().any(|alarm| alarm.about == "block" && alarm.text.contains(part))
}

async fn until_told(pool: &Pool, part: &str) {
    until(pool, part, || told(pool, part)).await;
}

async fn until_paid(pool: &Pool) {
    until(pool, "its income", || pool.ledger().book().incomes().count() == 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_block_found_while_the_node_loads_is_told_at_once_and_taken_when_it_can() {
    let world = World::new(1).await;
    let pool = world.start().await;
    let (mut client, share) = world.block(&pool).await;
    let tip = world.chain.tip();
    world.chain.faults().fail("submitblock", Fault::Error(-28, "Loading block index...".to_owned()));
    submit(&mut client, &share).await;
    until_told(&pool, "no node has it yet").await;
    assert_eq!(world.chain.tip(), tip);
    assert_eq!((pool.journal().unsubmitted().unwrap().len(), world.templates()), (1, 1));
    world.chain.faults().mend();
    until_told(&pool, "a node has it now").await;
    assert_eq!(world.chain.tip(), share.block());
    until_paid(&pool).await;
    until(&pool, "the end of its template", || world.templates() == 0).await;
    assert_eq!(pool.journal().unsubmitted().unwrap().len(), 0);
    assert!(!told(&pool, "suspended"), "{:?}", pool.alarms());
    pool.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_block_found_while_the_only_node_is_away_goes_out_when_it_is_back() {
    let world = World::new(1).await;
    let pool = world.start().await;
    let (mut client, share) = world.block(&pool).await;
    world.chain.faults().fail_all(Fault::HangUp);
    submit(&mut client, &share).await;
    until_told(&pool, "no node has it yet").await;
    world.chain.faults().mend();
    until(&pool, "its block in the chain", || world.chain.tip() == share.block()).await;
    until_paid(&pool).await;
    pool.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_block_that_no_node_took_before_a_stop_goes_out_after_the_start_refused_or_not() {
    let troubles = [
        (Fault::Error(-9, "not connected".to_owned()), "no node has it yet"),
        (Fault::Result("\"bad-cb-amount\"".to_owned()), "is suspended"),
    ];
    for (fault, word) in troubles {
        let world = World::new(1).await;
        let pool = world.start().await;
        let (mut client, share) = world.block(&pool).await;
        world.chain.faults().fail("submitblock", fault);
        submit(&mut client, &share).await;
        until_told(&pool, word).await;
        drop(client);
        pool.stop().await;
        drop(pool);
        world.chain.faults().mend();
        let pool = world.start().await;
        until(&pool, "its block in the chain", || world.chain.tip() == share.block()).await;
        until_paid(&pool).await;
        pool.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_refusal_suspends_credit_though_another_node_is_away_and_that_one_may_still_take_the_block() {
    let world = World::new(2).await;
    let pool = world.start().await;
    let (mut client, share) = world.block(&pool).await;
    world.chain.faults().fail("submitblock", Fault::Result("\"bad-cb-amount\"".to_owned()));
    world.door().faults().fail_all(Fault::HangUp);
    submit(&mut client, &share).await;
    until_told(&pool, "is suspended").await;
    until_told(&pool, "every node that could judge block").await;
    world.door().faults().mend();
    until_told(&pool, "a node has it that another one rejected").await;
    until_told(&pool, "are credited again").await;
    assert_eq!(world.chain.tip(), share.block());
    pool.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_node_that_hangs_delays_neither_the_verdict_of_another_nor_the_next_blocks() {
    let world = World::new(2).await;
    let pool = world.start().await;
    world.door().faults().fail("submitblock", Fault::Silence);
    for _ in 0..6 {
        let (mut client, share) = world.block(&pool).await;
        submit(&mut client, &share).await;
        until(&pool, "the verdict of the node that answers", || {
            let shown = pool.blocks(20);
            let mine = shown.iter().find(|block| block.block == share.block());
            mine.is_some_and(|block| {
                block.verdicts.iter().any(|verdict| verdict.contains("node 0: Accepted"))
            })
        })
        .await;
    }
    let alone = pool.blocks(20).iter().filter(|block| block.verdicts.len() == 1).count();
    assert!(alone > 0, "the second node is silent");
    until(&pool, "the end of the templates", || world.templates() == 0).await;
    world.door().faults().mend();
    // The chain is past the older ones: they have had what they need.
    until(&pool, "the verdicts of both nodes", || {
        let newest = pool.blocks(1);
        newest[0].verdicts.iter().any(|verdict| verdict.contains("node 1: Duplicate"))
    })
    .await;
    assert!(!told(&pool, "suspended"), "{:?}", pool.alarms());
    pool.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_block_on_an_older_job_whose_template_is_kept_in_pieces_is_put_together_and_taken() {
    let world = World::new(1).await;
    assert_eq!(world.chain.add_transactions(2_000), 2_000);
    let pool = world.start().await;
    let (mut client, share) = world.block(&pool).await;
    let before = client.job.clone().unwrap();
    until(&pool, "its template, whole", || pool.view().bodies.whole > 100_000).await;
    assert_eq!(pool.view().bodies.pieces, 0);
    assert_eq!(world.chain.add_transactions(2_000), 2_000);
    let newer = client.job_other_than(&before).await;
    assert_ne!(newer.id, before.id);
    until(&pool, "the older template in pieces", || pool.view().bodies.pieces > 100_000).await;
    let height = world.chain.height();
    submit(&mut client, &share).await;
    until(&pool, "the block in the chain", || world.chain.height() == height + 1).await;
    assert_eq!(world.chain.tip(), share.block());
    assert!(world.chain.waiting() >= 2_000, "the older job had the first transactions alone");
    until_paid(&pool).await;
    pool.stop().await;
}
