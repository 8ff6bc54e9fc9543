//! Swaps of plugins while miners mine: nobody is disconnected, no share is lost, what was handed out before stays
//! good, and the history computes again to the unit.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod support;

use millpond_admin::Role;
use millpond_devchain::DevChain;
use millpond_ledger::IncomeStatus;
use millpond_miner::{Miner, Options as MinerOptions};
use millpond_pool::Pool;
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use support::client::{Client, Want};
use support::rig::{OnDevChain, dev_chain};
use support::{Rpc, check_replay, journalled, process, start, stranger, until};

const MINERS: u8 = 3;

fn config(chain: &DevChain, pays_to: &str) -> String {
    let granted = r#"grant = ["getblocktemplate", "submitblock", "getblockchaininfo", "getblockhash", "getblockheader"]"#;
    let rest = r#"
[pool.stratum]
lines_per_second = 2000
[pool.payout]
scheme = "pplns"
minimum = 1000
[pool.fee]
settings = { basis_points = 100 }
[[pool.fee.recipient]]
name = "operator"
[pool.settlement]
schedule = "manual"
"#;
    OnDevChain { pays_to: Some(pays_to), difficulty: "0.000001", chain: granted, rest }.on(chain)
}

/// A bundled component as another version of itself: the same code under another digest.
fn another_version(folder: &Path, name: &str, text: &[u8]) -> PathBuf {
    let mut bytes = millpond_bundled::get(name).unwrap().bytes.to_vec();
    // A custom section: id 0, its length, its name with a length, and anything.
    let body = [&[7_u8][..], b"version", text].concat();
    bytes.extend([0, u8::try_from(body.len()).unwrap()]);
    bytes.extend(body);
    let path = folder.join(format!("{name}.wasm"));
    std::fs::write(&path, bytes).unwrap();
    path
}

/// Swaps cannot wait on the runtime's threads.
async fn swap(pool: &Arc<Pool>, role: Role, plugin: &str) -> Result<String, String> {
    let (pool, plugin) = (Arc::clone(pool), plugin.to_owned());
    tokio::task::spawn_blocking(move || pool.swap(role, &plugin, "", "test")).await.unwrap()
}

fn digest(pool: &Pool, role: &str) -> String {
    let plugins = pool.view().plugins;
    plugins.iter().find(|plugin| plugin.role == role).unwrap().digest.to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn under_load_schemes_and_adapters_are_swapped_without_a_disconnect_or_a_lost_share() {
    let folder = tempfile::tempdir().unwrap();
    // About 130,000 hashes a block: a second or so of these miners together.
    let chain = dev_chain(0x1e7f_ffff).await;
    let process = process(folder.path());
    let pool = Arc::new(start(&process, &config(&chain, &chain.new_address())).await);
    let miners: Vec<_> = (1..=MINERS)
        .map(|number| {
            let login = format!("{}.rig", stranger("bcrt", number).0);
            let options = MinerOptions::new(pool.addresses()[0].to_string(), login);
            Miner::start(MinerOptions { hashes_per_second: Some(150_000.0), ..options })
        })
        .collect();
    let found = || pool.ledger().book().incomes().count();
    let accepted = || miners.iter().map(|miner| miner.progress().accepted()).sum::<u64>();

    until(&pool, "a block by PPLNS", || found() >= 1).await;
    let said = swap(&pool, Role::Scheme, "solo").await.unwrap();
    assert!(said.contains("after the next block"), "{said}");
    let before = found();
    until(&pool, "two blocks after the swap to SOLO", || found() >= before + 2).await;

    let first = digest(&pool, "adapter");
    let copy = another_version(folder.path(), "bitcoin", b"2");
    swap(&pool, Role::Adapter, copy.to_str().unwrap()).await.unwrap();
    assert_ne!(digest(&pool, "adapter"), first);
    let (before, shares) = (found(), accepted());
    until(&pool, "a block by the new adapter", || found() > before && accepted() > shares).await;

    swap(&pool, Role::Scheme, "pplns").await.unwrap();
    let before = found();
    until(&pool, "two blocks after the swap to PPLNS", || found() >= before + 2).await;
    let matured = pool.matured();
    until(&pool, "the new adapter's blocks mature", || pool.matured() >= matured + 2).await;

    let mut answered = 0;
    for miner in miners {
        assert_eq!(miner.progress().connections(), 1, "a miner had to connect again");
        answered += miner.stop().await.unwrap().accepted;
    }
    let totals = pool.ledger().totals();
    assert!(totals.conserved, "{totals:?}");
    pool.stop().await;
    let mut ids = HashSet::new();
    let newest = journalled(&process.disk, &folder.path().join("dev"), 1, &mut ids);
    assert_eq!((answered, newest), (ids.len() as u64, ids.len() as u64), "a share was lost");
    assert!(answered > 100, "{answered}");
    let replayed = check_replay(&process, &folder.path().join("dev"));
    assert!(replayed.incomes >= 6, "{replayed:?}");
    // SOLO gave a block to one miner; PPLNS to all who worked.
    let view =
        millpond_ledger::Reader::open(process.disk.clone(), &folder.path().join("dev/ledger")).unwrap();
    let mut owners = Vec::new();
    view.for_each_record(&mut |record, _| {
        if let millpond_ledger::Entry::IncomeAllocated(income) = &record.entry {
            owners.push(income.parts.miners().count());
        }
        Ok(())
    })
    .unwrap();
    assert!(owners.contains(&1) && owners.contains(&usize::from(MINERS)), "{owners:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_job_of_before_the_swap_is_solved_after_it_and_paid() {
    let folder = tempfile::tempdir().unwrap();
    let chain = dev_chain(0x1f0f_ffff).await;
    let process = process(folder.path());
    let pool = Arc::new(start(&process, &config(&chain, &chain.new_address())).await);
    let mut client = Client::connect(pool.addresses()[0], &stranger("bcrt", 1).0, "sha256d").await.unwrap();
    let old = client.job.clone().unwrap();
    let copy = another_version(folder.path(), "bitcoin", b"another");
    swap(&pool, Role::Adapter, copy.to_str().unwrap()).await.unwrap();

    // Something else than a plugin leads nowhere, and the new version stays.
    let leading = digest(&pool, "adapter");
    let garbage = folder.path().join("garbage.wasm");
    std::fs::write(&garbage, b"\0asm this is no component").unwrap();
    let why = swap(&pool, Role::Adapter, garbage.to_str().unwrap()).await.unwrap_err();
    assert!(why.contains("not a component"), "{why}");
    let why = swap(&pool, Role::Scheme, garbage.to_str().unwrap()).await.unwrap_err();
    assert!(why.contains("not a component"), "{why}");
    // A scheme is no adapter, whatever it is called.
    let scheme = another_version(folder.path(), "solo", b"x");
    swap(&pool, Role::Adapter, scheme.to_str().unwrap()).await.unwrap_err();
    assert_eq!(digest(&pool, "adapter"), leading);
    let told = pool.alarms().iter().filter(|alarm| alarm.about == "swap").count();
    assert!(told >= 1, "{:?}", pool.alarms());

    let height = chain.height();
    let share = client.find(&old, 0, Want::Block);
    let reply = client.submit(&share).await;
    assert_eq!(reply["result"], serde_json::json!(true), "{reply}");
    until(&pool, "the block of the old job in the chain", || chain.height() == height + 1).await;
    assert_eq!(chain.tip(), share.block());
    // The new version follows it to its maturity.
    let rpc = Rpc::new(chain.url(), chain.user(), chain.password());
    let paid = rpc.block(&share.block()).await.txdata[0].output[0].value.to_sat();
    until(&pool, "the income", || pool.ledger().book().incomes().count() == 1).await;
    chain.generate(4).unwrap();
    until(&pool, "maturity", || pool.matured() == 1).await;
    {
        let book = pool.ledger().book();
        let (_, income) = book.incomes().next().unwrap();
        assert_eq!((income.status, income.amount.0), (IncomeStatus::Matured, paid));
    }
    // The connection of before the swaps still has work.
    let job = client.job_on(&chain.tip()).await;
    let share = client.find(&job, 0, Want::Share);
    let reply = client.submit(&share).await;
    assert_eq!(reply["result"], serde_json::json!(true), "{reply}");
    assert_eq!(pool.server().connections(), 1);
    drop(client);
    pool.stop().await;
    check_replay(&process, &folder.path().join("dev"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_scheme_that_traps_leaves_its_income_waiting_and_a_swap_divides_it_after_it_matured() {
    let folder = tempfile::tempdir().unwrap();
    let chain = dev_chain(0x207f_ffff).await;
    let process = process(folder.path());
    let broken = folder.path().join("trapping.wasm");
    std::fs::write(&broken, support::broken::trapping_scheme()).unwrap();
    let scheme = format!("scheme = \"{}\"", broken.display());
    let text = config(&chain, &chain.new_address()).replace("scheme = \"pplns\"", &scheme);
    let pool = Arc::new(start(&process, &text).await);
    let (miner, _) = stranger("bcrt", 1);
    let mut client = Client::connect(pool.addresses()[0], &miner, "sha256d").await.unwrap();
    let job = client.job_on(&chain.tip()).await;
    let share = client.find(&job, 0, Want::Block);
    assert_eq!(client.submit(&share).await["result"], serde_json::json!(true));
    let why = |pool: &Pool| pool.not_ready().into_iter().find(|why| why.contains("in quarantine"));
    until(&pool, "quarantine", || why(&pool).is_some()).await;
    let state = |pool: &Pool| {
        pool.view().plugins.into_iter().find(|plugin| plugin.role == "scheme").map(|plugin| plugin.state)
    };
    assert_eq!(state(&pool).unwrap(), "quarantined; incomes wait");

    // The chain goes on; what is mature and undivided waits too, and miners work on.
    chain.generate(5).unwrap();
    let tip = u64::from(chain.height()) + 1;
    until(&pool, "jobs go on", || pool.view().coord == tip).await;
    assert_eq!(pool.ledger().book().incomes().count(), 0);
    let job = client.job_on(&chain.tip()).await;
    let share = client.find(&job, 0, Want::Share);
    assert_eq!(client.submit(&share).await["result"], serde_json::json!(true));

    let said = swap(&pool, Role::Scheme, "solo").await.unwrap();
    assert!(said.contains("at once"), "{said}");
    until(&pool, "the income is divided and booked as mature", || pool.matured() >= 1).await;
    assert_eq!(why(&pool), None);
    let totals = pool.ledger().totals();
    assert!(totals.conserved && totals.credited + totals.fees == totals.income, "{totals:?}");
    drop(client);
    pool.stop().await;
    assert!(check_replay(&process, &folder.path().join("dev")).incomes >= 1);
}
