//! What a pool does not take its adapter's word for, with the whole pool running.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod support;

use millpond_chain::Grant;
use millpond_contracts::chain::{Action, Assembled, ChainAdapter, Event, Payee};
use millpond_contracts::{CallError, TrapKind};
use millpond_devchain::DevChain;
use millpond_pool::Pool;
use millpond_pool::plugins::Component;
use millpond_pool::setup::{Prepared, Resolver, addresses};
use millpond_test_guests::Spoiled;
use millpond_types::Digest;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use support::client::{Client, Want};
use support::rig::{OnDevChain, PAID_BY_ORDER, dev_chain};
use support::{prepare, process, start_prepared, stranger, until};

/// About 4,000 hashes a block.
const BITS: u32 = 0x1f0f_ffff;

fn config(chain: &DevChain) -> String {
    OnDevChain { pays_to: None, difficulty: "0.0000001", chain: "", rest: PAID_BY_ORDER }.on(chain)
}

/// A payee of nobody's, whom a lying adapter pays.
const THIEF: [u8; 22] = [0, 20, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9];

/// A pool's adapter as another component, with nothing wrong yet.
fn another(prepared: &Prepared, digest: Digest) -> Spoiled {
    Spoiled { digest, ..Spoiled::of(Arc::clone(&prepared.adapter)) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_adapter_that_resolves_names_to_its_own_payee_gets_no_login_and_no_payout_address() {
    let folder = tempfile::tempdir().unwrap();
    let chain = dev_chain(BITS).await;
    let process = process(folder.path());
    let mut prepared = prepare(&process, &config(&chain)).await;
    assert_eq!(prepared.trusted, [""; 0]);

    // The operator's own address: refused before anything starts.
    let (own, _) = stranger("bcrt", 7);
    let steal = Arc::new(|payee: &mut Payee| payee.payee = THIEF.to_vec());
    let lying = Arc::new(Spoiled { payee: steal, ..another(&prepared, Digest::of(b"lying")) });
    let check = addresses(&prepared.section.chain, lying.as_ref());
    let resolver = Resolver { adapter: lying.as_ref(), check: check.as_deref() };
    let why = resolver.payee(&own).unwrap_err();
    assert!(why.contains("somebody else") && why.contains(&hex::encode(THIEF)), "{why}");

    // Without a native reading it would pass: then the operator is told what to compare.
    let mut trusting = prepared.section.chain.clone();
    trusting.trust_adapter_with_coinbase = true;
    let check = addresses(&trusting, lying.as_ref());
    let resolver = Resolver { adapter: lying.as_ref(), check: check.as_deref() };
    let payee = resolver.payee(&own).unwrap();
    let told = resolver.trusted("chain.payout_address", &own, &payee);
    assert!(told[0].contains(&own) && told[0].contains(&hex::encode(THIEF)), "{told:?}");
    assert!(told[1].contains("login"), "{told:?}");

    // A miner's: refused, with an alarm that names the lie, and no account is opened for anybody.
    prepared.adapter = lying;
    let pool = Arc::new(start_prepared(&process, prepared).await);
    let login = stranger("bcrt", 1).0;
    let refused = Client::connect(pool.addresses()[0], &login, "sha256d").await.err().unwrap().to_string();
    assert!(refused.contains("nobody is paid by it"), "{refused}");
    until(&pool, "an alarm about the lie", || {
        pool.alarms().iter().any(|alarm| alarm.about == "trust" && alarm.text.contains("somebody else"))
    })
    .await;
    assert_eq!(pool.journal().miners().len(), 0);
    pool.stop().await;
}

fn adapter_of(pool: &Pool) -> (String, String) {
    let plugins = pool.view().plugins;
    let adapter = plugins.iter().find(|plugin| plugin.role == "adapter").unwrap();
    (adapter.name.clone(), adapter.digest.to_string())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_version_that_breaks_after_its_swap_gives_way_and_everybody_sees_who_leads() {
    let folder = tempfile::tempdir().unwrap();
    let chain = dev_chain(BITS).await;
    let process = process(folder.path());
    let prepared = prepare(&process, &config(&chain)).await;
    let broken = Arc::new(AtomicBool::new(false));
    let bytes: Arc<[u8]> = Arc::from(&b"sick"[..]);
    let sick = Component { name: "sick".to_owned(), digest: Digest::of(&bytes), bytes };
    let now = Arc::clone(&broken);
    let trap = move |_: &Event, _: &mut Vec<Action>| {
        if !now.load(Ordering::Acquire) {
            return Ok(());
        }
        let message = "the fault of this test".into();
        Err(CallError::Trap { function: "handle".into(), kind: TrapKind::Other, message })
    };
    let adapter = Arc::new(Spoiled { spoil: Arc::new(trap), ..another(&prepared, sick.digest) });
    let pool = Arc::new(start_prepared(&process, prepared).await);
    let good = adapter_of(&pool);
    let mut client = Client::connect(pool.addresses()[0], &stranger("bcrt", 1).0, "sha256d").await.unwrap();

    let (leads, component) = (Arc::clone(&pool), sick.clone());
    let lead = move || {
        let grants = Grant::all_wanted(adapter.description());
        leads.lead(&component, adapter, &grants, Vec::new())
    };
    tokio::task::spawn_blocking(lead).await.unwrap().unwrap();
    assert_eq!(adapter_of(&pool), ("sick".to_owned(), sick.digest.to_string()));

    broken.store(true, Ordering::Release);
    chain.generate(1).unwrap();
    until(&pool, "the last good version leads again", || adapter_of(&pool) == good).await;
    until(&pool, "an alarm with the first error", || {
        let told = |text: &str| text.contains("last good version") && text.contains("the fault of this test");
        pool.alarms().iter().any(|alarm| told(&alarm.text))
    })
    .await;
    // The miner of before is served by it.
    let job = client.job_on(&chain.tip()).await;
    let share = client.find(&job, 0, Want::Share);
    let reply = client.submit(&share).await;
    assert_eq!(reply["result"], serde_json::json!(true), "{reply}");
    assert_eq!(pool.server().connections(), 1);
    drop(client);
    pool.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_block_is_followed_after_a_restart_by_the_version_that_made_it() {
    let folder = tempfile::tempdir().unwrap();
    let chain = dev_chain(BITS).await;
    let process = process(folder.path());
    let text = config(&chain);
    let pool = Arc::new(start_prepared(&process, prepare(&process, &text).await).await);
    let mut client = Client::connect(pool.addresses()[0], &stranger("bcrt", 1).0, "sha256d").await.unwrap();
    let job = client.job.clone().unwrap();
    let share = client.find(&job, 0, Want::Block);
    let reply = client.submit(&share).await;
    assert_eq!(reply["result"], serde_json::json!(true), "{reply}");
    until(&pool, "the income", || pool.ledger().book().incomes().count() == 1).await;
    drop(client);
    pool.stop().await;
    drop(pool);

    // Another version, which cannot put the block together, leads after the restart.
    let mut prepared = prepare(&process, &text).await;
    let cannot = |_: &mut Assembled| {
        let message = "these are not the private bytes of a job of mine".into();
        Err(CallError::Plugin { function: "block.assemble".into(), message })
    };
    let other = another(&prepared, Digest::of(b"cannot assemble"));
    prepared.adapter = Arc::new(Spoiled { block: Arc::new(cannot), ..other });
    let pool = Arc::new(start_prepared(&process, prepared).await);
    assert_eq!(pool.blocks(1)[0].block, share.block());
    chain.generate(4).unwrap();
    until(&pool, "maturity", || pool.matured() == 1).await;
    let lost = |text: &str| text.contains("cannot be followed");
    assert!(!pool.alarms().iter().any(|alarm| lost(&alarm.text)), "{:?}", pool.alarms());
    pool.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_job_that_does_not_tell_its_subsidy_earns_nothing_once_a_scheme_that_pays_by_it_is_ordered() {
    let folder = tempfile::tempdir().unwrap();
    let chain = dev_chain(BITS).await;
    let process = process(folder.path());
    let fee = "[[pool.fee]]\npolicy = \"flat-fee\"\nsettings = { basis_points = 0 }\nrecipient = [{ name = \"op\" }]\n";
    let rest = format!("{PAID_BY_ORDER}{fee}");
    let text = OnDevChain { pays_to: None, difficulty: "0.0000001", chain: "", rest: &rest }.on(&chain);
    let mut prepared = prepare(&process, &text).await;
    let telling = (prepared.adapter_component.clone(), Arc::clone(&prepared.adapter));
    let mut silent = another(&prepared, Digest::of(b"silent"));
    silent.description.extra.retain(|(key, _)| key != "job.subsidy");
    silent.spoil = Arc::new(|_, actions| {
        for action in actions {
            if let Action::Publish(job) = action {
                job.extra.retain(|(key, _)| key != "subsidy");
            }
        }
        Ok(())
    });
    prepared.adapter = Arc::new(silent);
    let pool = Arc::new(start_prepared(&process, prepared).await);
    let order = || {
        let pool = Arc::clone(&pool);
        let swap = move || pool.swap(millpond_admin::Role::Scheme, "pps-plus", "", "test");
        async { tokio::task::spawn_blocking(swap).await.unwrap() }
    };
    let mut client = Client::connect(pool.addresses()[0], &stranger("bcrt", 1).0, "sha256d").await.unwrap();
    let untold = client.job.clone().unwrap();
    let why = order().await.unwrap_err();
    assert!(why.contains("does not tell the subsidy"), "{why}");
    let share = client.find(&untold, 0, Want::Mere);
    assert_eq!(
        client.submit(&share).await["result"],
        serde_json::json!(true),
        "as long as nobody pays by it"
    );

    // The version that leads decides, and not the one that the pool started with.
    let leads = Arc::clone(&pool);
    let lead = move || {
        let grants = Grant::all_wanted(telling.1.description());
        leads.lead(&telling.0, telling.1, &grants, Vec::new())
    };
    tokio::task::spawn_blocking(lead).await.unwrap().unwrap();
    let told = client.job_other_than(&untold).await;
    order().await.unwrap();
    let share = client.find(&untold, 0, Want::Mere);
    let reply = client.submit(&share).await;
    assert_ne!(reply["result"], serde_json::json!(true), "{reply}");
    let share = client.find(&told, 0, Want::Mere);
    assert_eq!(client.submit(&share).await["result"], serde_json::json!(true));
    drop(client);
    pool.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_job_whose_block_the_node_refuses_is_taken_back_and_earns_nothing_until_it_takes_one() {
    let folder = tempfile::tempdir().unwrap();
    let chain = dev_chain(BITS).await;
    let process = process(folder.path());
    let pool = Arc::new(start_prepared(&process, prepare(&process, &config(&chain)).await).await);
    let mut client = Client::connect(pool.addresses()[0], &stranger("bcrt", 1).0, "sha256d").await.unwrap();

    // The node's templates claim more than it grants to a block: the pool learns that by asking it.
    chain.hold_proposals(true);
    chain.claim_more(1_000);
    chain.generate(1).unwrap();
    let job = client.job_on(&chain.tip()).await;
    let good = client.find(&job, 0, Want::Mere);
    assert_eq!(client.submit(&good).await["result"], serde_json::json!(true));
    let counted = pool.journal().view().newest();
    chain.hold_proposals(false);
    until(&pool, "the withdrawal", || {
        let told = |text: &str| text.contains("is suspended") && text.contains("bad-cb-amount");
        pool.alarms().iter().any(|alarm| alarm.about == "block" && told(&alarm.text))
    })
    .await;
    // The same node is asked again, and published is nothing that it refuses.
    until(&pool, "further blocks that the node refuses", || {
        assert!(!pool.not_ready().is_empty());
        chain.proposals_refused() >= 3
    })
    .await;
    let worthless = client.find(&job, 0, Want::Mere);
    let reply = client.submit(&worthless).await;
    assert_ne!(reply["result"], serde_json::json!(true), "{reply}");
    assert_eq!(pool.journal().view().newest(), counted, "a share of it counted");

    // On the same tip: the first template whose block the node takes ends it.
    chain.claim_more(0);
    until(&pool, "a job that the node takes", || pool.not_ready().is_empty()).await;
    let job = client.job_other_than(&job).await;
    let share = client.find(&job, 0, Want::Block);
    let reply = client.submit(&share).await;
    assert_eq!(reply["result"], serde_json::json!(true), "{reply}");
    until(&pool, "the block on the chain", || chain.tip() == share.block()).await;
    drop(client);
    pool.stop().await;
}
