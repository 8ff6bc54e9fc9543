//! Hostile payout schemes in a pool that miners are connected to: it goes on serving them through each, the operator
//! sees why, nothing is divided wrongly, and the next scheme that works divides what waited.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod support;

use millpond_admin::Role;
use millpond_devchain::DevChain;
use millpond_ledger::{Entry, Owner, Reader};
use millpond_pool::Pool;
use millpond_pool::view::PluginView;
use millpond_test_guests::scheme::{Hostile, Scheme, hostile, unloadable};
use serde_json::json;
use std::path::Path;
use std::sync::Arc;
use support::client::{Client, Want};
use support::rig::{OnDevChain, dev_chain};
use support::{check_replay, process, start, stranger, until};

/// About 4,000 hashes a block.
const BITS: u32 = 0x1f0f_ffff;

fn config(chain: &DevChain, scheme: &str) -> String {
    let rest = format!(
        r#"
[pool.stratum]
lines_per_second = 2000
[pool.payout]
scheme = "{scheme}"
minimum = 1000
[pool.settlement]
schedule = "manual"
"#
    );
    OnDevChain { pays_to: None, difficulty: "0.0000001", chain: "", rest: &rest }.on(chain)
}

/// A pool on a development chain, with two miners connected.
struct Rig {
    folder: tempfile::TempDir,
    chain: DevChain,
    process: millpond_pool::Process,
    pool: Arc<Pool>,
    miners: [Client; 2],
}

impl Rig {
    async fn new(scheme: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let chain = dev_chain(BITS).await;
        let process = process(folder.path());
        let pool = Arc::new(start(&process, &config(&chain, scheme)).await);
        let address = pool.addresses()[0];
        let one = Client::connect(address, &stranger("bcrt", 1).0, "sha256d").await.unwrap();
        let two = Client::connect(address, &stranger("bcrt", 2).0, "sha256d").await.unwrap();
        Self { folder, chain, process, pool, miners: [one, two] }
    }

    fn guest(&self, name: &str, wasm: &[u8]) -> String {
        let path = self.folder.path().join(format!("{}.wasm", name.replace(' ', "-")));
        std::fs::write(&path, wasm).unwrap();
        path.display().to_string()
    }

    /// Swaps cannot wait on the runtime's threads.
    async fn swap(&self, plugin: &str) -> Result<String, String> {
        let (pool, plugin) = (Arc::clone(&self.pool), plugin.to_owned());
        tokio::task::spawn_blocking(move || pool.swap(Role::Scheme, &plugin, "", "test")).await.unwrap()
    }

    /// Both miners send a share of the newest job, and the pool takes both.
    async fn shares(&mut self) {
        for miner in &mut self.miners {
            let job = miner.job_on(&self.chain.tip()).await;
            // One share in ten would be a block as well: not one of those.
            let share = loop {
                let share = miner.find(&job, 0, Want::Share);
                if !share.solves {
                    break share;
                }
            };
            let reply = miner.submit(&share).await;
            assert_eq!(reply["result"], json!(true), "{reply}");
        }
    }

    /// Both miners send a share, one of them another that solves a block; its name, once its income is recorded.
    async fn block(&mut self, finder: usize) -> String {
        self.shares().await;
        let miner = &mut self.miners[finder];
        let job = miner.job_on(&self.chain.tip()).await;
        let share = miner.find(&job, 0, Want::Block);
        let reply = miner.submit(&share).await;
        assert_eq!(reply["result"], json!(true), "{reply}");
        let block = share.block();
        until(&self.pool, "the block's income", || {
            let known = |view: &millpond_pool::view::BlockView| {
                view.block == block && view.income.0 > 0 && view.fate != "submitted"
            };
            self.pool.blocks(100).iter().any(known)
        })
        .await;
        block
    }

    fn divided(&self) -> usize {
        self.pool.ledger().book().incomes().count()
    }

    fn scheme(&self) -> PluginView {
        self.pool.view().plugins.into_iter().find(|plugin| plugin.role == "scheme").unwrap()
    }

    async fn stop(self) -> (tempfile::TempDir, millpond_pool::Process) {
        assert_eq!(self.pool.server().connections(), 2, "a miner was disconnected");
        let totals = self.pool.ledger().totals();
        assert!(totals.conserved, "{totals:?}");
        drop(self.miners);
        self.pool.stop().await;
        (self.folder, self.process)
    }
}

/// Who got how much of each income, in the ledger's order.
fn parts(folder: &Path) -> Vec<Vec<(Owner, u64)>> {
    let reader = Reader::open(Arc::new(millpond_disk::RealDisk), &folder.join("dev/ledger")).unwrap();
    let mut parts = Vec::new();
    reader
        .for_each_record(&mut |record, _| {
            if let Entry::IncomeAllocated(income) = &record.entry {
                parts.push(income.parts.shares().iter().map(|share| (share.0.clone(), share.1.0)).collect());
            }
            Ok(())
        })
        .unwrap();
    parts
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn through_each_hostile_scheme_miners_are_served_and_the_next_good_one_divides_what_waited() {
    let mut rig = Rig::new("prop").await;
    let even = rig.guest("even", &Scheme::even().wasm());
    let mut expected = 0;
    // The first has no older version with its terms: an operator has to help. The others find the one that he chose.
    let mut healed = false;
    for Hostile { name, wasm, told } in hostile() {
        let file = rig.guest(name, &wasm);
        let said = rig.swap(&file).await.unwrap_or_else(|why| panic!("{name}: {why}"));
        assert!(said.contains("takes over after the next block, in the place of "), "{said}");
        // The boundary: this block is still divided by the scheme before.
        rig.block(0).await;
        expected += 1;
        until(&rig.pool, "the income of before the swap", || rig.divided() == expected).await;
        rig.block(1).await;
        let alarm = || rig.pool.alarms().into_iter().find(|alarm| alarm.text.contains(told));
        until(&rig.pool, name, || alarm().is_some()).await;
        let alarm = alarm().unwrap();
        assert!(alarm.about == "plugin" && alarm.text.contains("waits undivided: plugin "), "{}", alarm.text);
        until(&rig.pool, "the quarantine", || rig.scheme().state.starts_with("quarantined; ")).await;
        let view = rig.scheme();
        assert!(view.first_error.is_some_and(|first| first.contains(told)), "{name}");
        rig.shares().await;
        expected += 1;
        if view.state == "quarantined; incomes wait" {
            // Nobody got anything of it, and the pool says that it waits for its operator.
            assert_eq!(rig.divided(), expected - 1, "{name}");
            let not_ready = rig.pool.not_ready().join("; ");
            assert!(not_ready.contains("is in quarantine, incomes wait undivided: "), "{name}: {not_ready}");
            let said = rig.swap(&even).await.unwrap();
            let at_once = "takes over at once, and divides what was left undivided";
            assert!(said.ends_with(at_once), "{name}: {said}");
            assert!(!healed, "{name}: an older version with the same terms was there");
            healed = true;
        } else {
            assert_eq!(view.state, "quarantined; the last good version decides", "{name}");
        }
        until(&rig.pool, "the income that waited", || rig.divided() == expected).await;
        assert_eq!(rig.pool.not_ready(), [""; 0], "{name}");
    }
    assert!(healed);
    let (folder, process) = rig.stop().await;
    let replayed = check_replay(&process, &folder.path().join("dev"));
    assert_eq!(replayed.incomes, expected as u64);
    // Nobody's part of an even split differs from anybody else's.
    for income in parts(folder.path()).iter().skip(1) {
        let miners: Vec<u64> = income
            .iter()
            .filter(|(owner, _)| matches!(owner, Owner::Miner(_)))
            .map(|(_, part)| *part)
            .collect();
        assert_eq!(miners.len(), 2, "{income:?}");
        assert_eq!(miners[0], miners[1], "{income:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_scheme_that_fails_on_one_income_three_times_is_quarantined_and_costs_no_more() {
    let mut rig = Rig::new("prop").await;
    let bad = hostile().into_iter().find(|guest| guest.name == "trap in the middle").unwrap();
    let file = rig.guest(bad.name, &bad.wasm);
    rig.swap(&file).await.unwrap();
    rig.block(0).await;
    rig.block(1).await;
    until(&rig.pool, "the quarantine", || rig.scheme().state == "quarantined; incomes wait").await;
    let quarantine = |alarm: &millpond_alerts::Alarm| {
        alarm.text.contains("is in quarantine, and there is no older version")
    };
    assert!(rig.pool.alarms().iter().any(quarantine), "{:?}", rig.pool.alarms());
    // What is found now waits too, without a call: the first failure stays the only one that is told.
    let waits = |alarm: &&millpond_alerts::Alarm| alarm.text.contains("waits undivided");
    let told = rig.pool.alarms().iter().filter(waits).count();
    rig.block(0).await;
    rig.shares().await;
    assert_eq!(rig.pool.alarms().iter().filter(waits).count(), told);
    assert_eq!(rig.divided(), 1);
    let said = rig.swap("prop").await.unwrap();
    assert!(said.ends_with("takes over at once, and divides what was left undivided"), "{said}");
    until(&rig.pool, "both incomes", || rig.divided() == 3).await;
    let (folder, process) = rig.stop().await;
    assert_eq!(check_replay(&process, &folder.path().join("dev")).incomes, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_swap_that_fails_leaves_the_old_scheme_running_with_the_reason() {
    let mut rig = Rig::new("prop").await;
    let before = rig.scheme();
    for Hostile { name, wasm, told } in unloadable() {
        let file = rig.guest(name, &wasm);
        let why = rig.swap(&file).await.unwrap_err();
        assert!(why.contains(told), "{name}: {why}");
        let alarm = rig.pool.alarms().into_iter().find(|alarm| alarm.text.contains(told)).unwrap();
        assert!(alarm.about == "swap" && alarm.text.contains("did not take place"), "{}", alarm.text);
        assert_eq!(rig.scheme(), before, "{name}");
        rig.shares().await;
    }
    rig.block(0).await;
    until(&rig.pool, "an income by the old scheme", || rig.divided() == 1).await;
    let (folder, process) = rig.stop().await;
    check_replay(&process, &folder.path().join("dev"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_upgrade_that_forgets_its_debts_is_refused_and_one_that_keeps_them_takes_over() {
    let mut rig = Rig::new("prop").await;
    let owing = rig.guest("owing", &Scheme::even().owing(7, "debts/1").wasm());
    let forgets = rig.guest("forgets", &Scheme::even().owing(7, "debts/1").forgetting().wasm());
    let other = rig.guest("other", &Scheme::even().owing(7, "debts/2").wasm());
    let keeps = rig.guest("keeps", &Scheme::even().owing(8, "debts/1").wasm());
    rig.swap(&owing).await.unwrap();
    rig.block(0).await;
    rig.block(1).await;
    until(&rig.pool, "an income with debts", || rig.divided() == 2).await;
    let running = rig.scheme();
    let why = rig.swap(&forgets).await.unwrap_err();
    assert!(
        why.contains("it changes 2 rows that ") && why.ends_with("an upgrade must not forget debts"),
        "{why}"
    );
    for unlike in [other.as_str(), "solo"] {
        let why = rig.swap(unlike).await.unwrap_err();
        assert!(why.contains("owes miners in its cells (format \"debts/1 (1 cells)\")"), "{why}");
    }
    assert_eq!(rig.scheme(), running);
    rig.shares().await;
    rig.swap(&keeps).await.unwrap();
    rig.block(0).await;
    rig.block(1).await;
    until(&rig.pool, "the upgrade's income", || rig.divided() == 4).await;
    let (folder, process) = rig.stop().await;
    assert_eq!(check_replay(&process, &folder.path().join("dev")).incomes, 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn pplns_to_solo_one_share_before_a_block_changes_nothing_that_was_owed() {
    let mut rig = Rig::new("pplns").await;
    rig.shares().await;
    rig.swap("solo").await.unwrap();
    // The next share is the block.
    rig.block(0).await;
    until(&rig.pool, "the income of PPLNS", || rig.divided() == 1).await;
    rig.block(1).await;
    until(&rig.pool, "the income of both", || rig.divided() == 2).await;
    let (folder, process) = rig.stop().await;
    check_replay(&process, &folder.path().join("dev"));
    let parts = parts(folder.path());
    let miners = |at: usize| parts[at].iter().filter(|(owner, _)| matches!(owner, Owner::Miner(_))).count();
    // Solo pays the finder alone; what the window still owes is paid beside it.
    assert_eq!((miners(0), miners(1)), (2, 2), "{parts:?}");
    assert!(parts[0][0].1 > parts[0][1].1 && parts[1][0].1 < parts[1][1].1, "{parts:?}");
}
