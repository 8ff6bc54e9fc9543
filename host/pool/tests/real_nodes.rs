//! A whole pool on real nodes, with `MILLPOND_REAL_NODES=1`: bcoin (sha256d, segwit) and lcoin (scrypt) on regtest.
//! Blocks found through our server, a reorganisation that orphans one, maturity, and payments checked against the
//! chain to the unit.
//!
//! The nodes' regtest target is met by every second hash, so each share that is sent is chosen to be a block or not.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod support;

use bitcoin::consensus::encode::serialize_hex;
use bitcoin::hashes::Hash;
use bitcoin::{
    Block, BlockHash, ScriptBuf, Sequence, Transaction, TxIn, TxMerkleNode, TxOut, Txid, Witness, absolute,
};
use millpond_devchain::peers::{Bcoin, Lcoin, Peer, real_nodes_wanted};
use millpond_ledger::{IncomeStatus, Owner, PaymentStatus};
use millpond_pool::doctor::{self, Findings};
use millpond_pool::{Pool, Process};
use serde_json::json;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use support::client::{Client, Job, Want};
use support::{PATIENCE, Rpc, check_replay, pays, prepare, process, start, stranger, until};

/// What the chain asks of a coinbase before it is spent.
const MATURITY: u32 = 100;

fn config(node: &Peer, chain: &str, settings: &str, payout: &str) -> String {
    format!(
        r#"
[host]
[[pool]]
name = "real"
[pool.chain]
{chain}
confirmations = {MATURITY}
settings = {{ {settings}, chain = "regtest", hrp = "rb", p2pkh = 60, p2sh = 38, orphan_after = 3 }}
[[pool.node]]
url = "{}"
user = "{}"
password = "{}"
[[pool.port]]
listen = "127.0.0.1:0"
difficulty = 1e-9
fixed = true
[pool.fee]
settings = {{ basis_points = 150 }}
[[pool.fee.recipient]]
name = "operator"
address = "{}"
{payout}
"#,
        node.rpc_url(),
        node.user(),
        node.api_key(),
        operator().0,
    )
}

/// Who receives the fee.
fn operator() -> (String, ScriptBuf) {
    stranger("rb", 3)
}

/// PPLNS, paid by the node's wallet.
fn wallet_pays(node: &Peer) -> String {
    format!(
        r#"
[pool.payout]
scheme = "pplns"
minimum = 1000
[pool.wallet]
driver = "bcoin"
url = "{}"
user = "{}"
password = "{}"
[pool.settlement]
schedule = "interval 1s"
confirmations = 1
"#,
        node.wallet_url(),
        node.user(),
        node.api_key(),
    )
}

/// A miner finds a block and the pool says that the chain has it. The block's name, and the job it came of.
async fn find_block(pool: &Pool, client: &mut Client, rpc: &Rpc, rolled: u32) -> (String, Job) {
    let tip = rpc.call("getbestblockhash", json!([])).await;
    let job = client.job_on(tip.as_str().unwrap()).await;
    let share = client.find(&job, rolled, Want::Block);
    let reply = client.submit(&share).await;
    assert_eq!(reply["result"], json!(true), "{reply}");
    let name = share.block();
    let raw = hex::encode(share.id);
    until(pool, "the block's acceptance", || {
        let blocks = pool.blocks(1_000);
        blocks.iter().any(|block| {
            (block.block == raw || block.block == name)
                && block.fate == "accepted"
                && block.verdicts.iter().all(|verdict| !verdict.contains("reject"))
        })
    })
    .await;
    (name, job)
}

/// An empty block on a parent, as any other miner would make it.
fn other_block(
    parent: &Block,
    parent_height: u32,
    number: u8,
    value: u64,
    work: impl Fn(&Block) -> bool,
) -> Block {
    let height =
        bitcoin::script::Builder::new().push_int(i64::from(parent_height) + 1).push_slice([number; 8]);
    let input = TxIn {
        previous_output: bitcoin::OutPoint::null(),
        script_sig: height.into_script(),
        sequence: Sequence::MAX,
        witness: Witness::new(),
    };
    let output = TxOut { value: bitcoin::Amount::from_sat(value), script_pubkey: stranger("rb", 200).1 };
    let coinbase = Transaction {
        version: bitcoin::transaction::Version::TWO,
        lock_time: absolute::LockTime::ZERO,
        input: vec![input],
        output: vec![output],
    };
    let mut header = parent.header;
    header.prev_blockhash = parent.block_hash();
    header.time += 1;
    header.nonce = 0;
    header.merkle_root = TxMerkleNode::from_byte_array(coinbase.compute_txid().to_byte_array());
    let mut block = Block { header, txdata: vec![coinbase] };
    while !work(&block) {
        block.header.nonce += 1;
    }
    block
}

/// Two blocks of somebody else's, beside a block and above it.
async fn orphan(rpc: &Rpc, ours: &str, work: impl Fn(&Block) -> bool) {
    let block = rpc.block(ours).await;
    let height = u32::try_from(rpc.height().await).unwrap();
    let mut parent = rpc.block(&block.header.prev_blockhash.to_string()).await;
    for (above, number) in [(0, 1), (1, 2)] {
        let other = other_block(&parent, height - 1 + above, number, 100_000_000, &work);
        let verdict = rpc.call("submitblock", json!([serialize_hex(&other)])).await;
        assert!(verdict.is_null(), "{verdict}");
        parent = other;
    }
    let tip = rpc.call("getbestblockhash", json!([])).await;
    assert_eq!(tip.as_str().unwrap(), parent.block_hash().to_string(), "the other branch leads");
}

/// Lets blocks come until everything that can be paid is paid and settled.
async fn settle(pool: &Pool, node: &Peer) {
    let (nobody, _) = stranger("rb", 201);
    let deadline = Instant::now() + PATIENCE;
    loop {
        let (due, open, settled) = {
            let book = pool.ledger().book();
            let due = book
                .payables()
                .any(|(owner, amount)| matches!(owner, Owner::Miner(_) | Owner::Fee(_)) && amount.0 >= 1_000);
            let sent = |status: &PaymentStatus| *status == PaymentStatus::Sent;
            let open: Vec<_> = book.payments().filter(|one| one.status.is_open()).cloned().collect();
            let settled = book.payments().any(|one| one.status == PaymentStatus::Settled);
            (due, open.iter().map(|one| sent(&one.status)).collect::<Vec<_>>(), settled)
        };
        if !due && open.is_empty() && settled {
            return;
        }
        if open.contains(&true) {
            node.generate(1, &nobody).await.unwrap();
        }
        assert!(Instant::now() < deadline, "{:#?}\n{:#?}", pool.payments(10), pool.alarms());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Every payment is in the chain once and pays each row to the unit; nothing else pays a miner; income is what the
/// coinbases of the chain pay us.
async fn agrees(pool: &Pool, rpc: &Rpc, since: u64, own: &ScriptBuf, miners: &[(String, ScriptBuf)]) {
    let blocks = rpc.blocks_from(since).await;
    let mut confirmed: BTreeMap<Txid, &Transaction> = BTreeMap::new();
    for transaction in blocks.iter().flat_map(|block| &block.txdata) {
        assert!(confirmed.insert(transaction.compute_txid(), transaction).is_none());
    }
    let income: u64 = blocks.iter().map(|block| pays(&block.txdata[0], own)).sum();
    let book = pool.ledger().book();
    let paid_to: Vec<_> = miners.iter().cloned().chain([operator()]).collect();
    let (mut rows, mut fees) = (0, 0);
    for payment in book.payments() {
        assert_eq!(payment.status, PaymentStatus::Settled, "{payment:?}");
        let txid: Txid = payment.txid.as_ref().unwrap().0.parse().unwrap();
        let transaction = confirmed[&txid];
        for row in &payment.rows {
            let (_, script) = paid_to.iter().find(|(address, _)| *address == row.address).unwrap();
            assert_eq!(pays(transaction, script), row.amount.0, "{row:?}");
            match row.owner {
                Owner::Miner(_) => rows += row.amount.0,
                _ => fees += row.amount.0,
            }
        }
    }
    let arrived = |script: &ScriptBuf| confirmed.values().map(|tx| pays(tx, script)).sum::<u64>();
    assert_eq!(miners.iter().map(|(_, script)| arrived(script)).sum::<u64>(), rows);
    assert_eq!(arrived(&operator().1), fees);
    let totals = book.totals();
    assert_eq!((totals.paid, totals.paid_fees), (i128::from(rows), i128::from(fees)));
    assert_eq!(totals.income, i128::from(income));
    assert!(totals.conserved, "{totals:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_pool_on_bcoin_finds_blocks_survives_a_reorganisation_and_pays_to_the_satoshi() {
    if !real_nodes_wanted() {
        return;
    }
    let node = Bcoin::start().await.unwrap();
    let rpc = Rpc::new(node.rpc_url(), node.user(), node.api_key());
    // Segwit is active from 432 on. The first of these pay what the wallet spends here.
    let own = node.new_address().await.unwrap();
    let purse = node.new_address().await.unwrap();
    node.generate(440, &purse).await.unwrap();
    let since = rpc.height().await + 1;
    for number in 210..213 {
        let to = stranger("rb", number).0;
        node.wallet_rpc("sendtoaddress", json!([to, 0.5])).await.unwrap();
    }
    let folder = tempfile::tempdir().unwrap();
    let process = process(folder.path());
    let payout = wallet_pays(&node);
    let text = config(&node, &format!("payout_address = \"{own}\""), "network = \"bcoin\"", &payout);
    let pool = start(&process, &text).await;
    let miners: Vec<_> = (1..=2).map(|number| stranger("rb", number)).collect();
    let mut alice =
        Client::connect(pool.addresses()[0], &format!("{}.a", miners[0].0), "sha256d").await.unwrap();
    let mut bob =
        Client::connect(pool.addresses()[0], &format!("{}.b", miners[1].0), "sha256d").await.unwrap();

    // Rolled bits, read as BIP 310 says and as a miner does who only ever sets bits.
    let rolled = 0x0aaa_a000 & alice.mask();
    let (first, job) = find_block(&pool, &mut alice, &rpc, rolled).await;
    assert_eq!(job.version & alice.mask(), 0, "both readings of version rolling agree on such a job");
    let block = rpc.block(&first).await;
    assert_eq!(block.txdata.len(), 4, "the wallet's transactions are in our block");
    let version = u32::from_le_bytes(block.header.version.to_consensus().to_le_bytes());
    assert_eq!((version & alice.mask(), version), (rolled, job.version | rolled));
    assert!(block.check_witness_commitment());
    let script = block.txdata[0].output[0].script_pubkey.clone();

    let (second, _) = find_block(&pool, &mut bob, &rpc, 0).await;
    let (third, _) = find_block(&pool, &mut alice, &rpc, 0).await;
    until(&pool, "three incomes", || pool.ledger().book().incomes().count() == 3).await;

    orphan(&rpc, &third, |block| block.header.target().is_met_by(block.block_hash())).await;
    let (fourth, _) = find_block(&pool, &mut bob, &rpc, 0).await;
    let (nobody, _) = stranger("rb", 202);
    node.generate(3, &nobody).await.unwrap();
    until(&pool, "the orphan", || pool.blocks(10).iter().any(|block| block.fate == "orphan")).await;
    let reversed = |pool: &Pool| {
        let book = pool.ledger().book();
        book.incomes().filter(|(_, income)| matches!(income.status, IncomeStatus::Reversed(_))).count()
    };
    until(&pool, "the orphan's income is taken back", || reversed(&pool) == 1).await;

    node.generate(MATURITY, &nobody).await.unwrap();
    until(&pool, "maturity of the others", || pool.matured() == 3).await;
    settle(&pool, &node).await;
    agrees(&pool, &rpc, since, &script, &miners).await;
    let book = rpc.blocks_from(since).await;
    let names: Vec<BlockHash> = book.iter().map(Block::block_hash).collect();
    for ours in [&first, &second, &fourth] {
        assert!(names.contains(&ours.parse().unwrap()));
    }
    assert!(!names.contains(&third.parse().unwrap()));
    drop((alice, bob));
    pool.stop().await;
    let replayed = check_replay(&process, &folder.path().join("real"));
    assert_eq!(replayed.incomes, 4, "{replayed:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_pool_on_lcoin_is_settings_alone_and_pays_the_finder_to_the_unit() {
    if !real_nodes_wanted() {
        return;
    }
    let node = Lcoin::start().await.unwrap();
    let rpc = Rpc::new(node.rpc_url(), node.user(), node.api_key());
    let folder = tempfile::tempdir().unwrap();
    let process = process(folder.path());
    let payout = "[pool.payout]\nscheme = \"solo\"\n[pool.settlement]\nschedule = \"manual\"";
    let settings = "network = \"lcoin\", algorithm = \"scrypt\"";
    let text = config(&node, "coinbase = \"miner\"", settings, payout);
    let pool = start(&process, &text).await;
    let miners: Vec<_> = (1..=2).map(|number| stranger("rb", number)).collect();
    let mut alice = Client::connect(pool.addresses()[0], &miners[0].0, "scrypt").await.unwrap();
    let mut bob = Client::connect(pool.addresses()[0], &miners[1].0, "scrypt").await.unwrap();
    let (first, _) = find_block(&pool, &mut alice, &rpc, 0).await;
    let (second, _) = find_block(&pool, &mut bob, &rpc, 0).await;
    let (nobody, _) = stranger("rb", 202);
    node.generate(MATURITY, &nobody).await.unwrap();
    until(&pool, "maturity", || pool.matured() == 2).await;
    let (mut paid, mut fees) = (0, 0);
    for (block, (_, finder)) in [first, second].iter().zip(&miners) {
        let coinbase = &rpc.block(block).await.txdata[0];
        let (his, operators) = (pays(coinbase, finder), pays(coinbase, &operator().1));
        assert_eq!(his + operators, 5_000_000_000, "nothing of the subsidy is left");
        assert_eq!(operators, 75_000_000, "150 basis points");
        paid += his;
        fees += operators;
    }
    let totals = pool.ledger().totals();
    assert!(totals.conserved, "{totals:?}");
    assert_eq!((totals.paid, totals.fees), (i128::from(paid), i128::from(fees)));
    assert_eq!((totals.income, totals.payable), (i128::from(paid + fees), 0), "the chain has paid");
    drop((alice, bob));
    pool.stop().await;
    let replayed = check_replay(&process, &folder.path().join("real"));
    assert_eq!(replayed.incomes, 2, "{replayed:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_pool_on_lcoin_pays_from_its_wallet_to_the_unit() {
    if !real_nodes_wanted() {
        return;
    }
    let node = Lcoin::start().await.unwrap();
    let rpc = Rpc::new(node.rpc_url(), node.user(), node.api_key());
    // Segwit is active from 432 on, and the wallet's own addresses are segwit's.
    let (own, purse) = (node.new_address().await.unwrap(), node.new_address().await.unwrap());
    node.generate(440, &purse).await.unwrap();
    let since = rpc.height().await + 1;
    let folder = tempfile::tempdir().unwrap();
    let process = process(folder.path());
    let settings = "network = \"lcoin\", algorithm = \"scrypt\"";
    let text = config(&node, &format!("payout_address = \"{own}\""), settings, &wallet_pays(&node));
    let pool = start(&process, &text).await;
    let miners: Vec<_> = (1..=2).map(|number| stranger("rb", number)).collect();
    let mut alice = Client::connect(pool.addresses()[0], &miners[0].0, "scrypt").await.unwrap();
    let mut bob = Client::connect(pool.addresses()[0], &miners[1].0, "scrypt").await.unwrap();
    let (first, _) = find_block(&pool, &mut alice, &rpc, 0).await;
    find_block(&pool, &mut bob, &rpc, 0).await;
    let script = rpc.block(&first).await.txdata[0].output[0].script_pubkey.clone();
    let (nobody, _) = stranger("rb", 202);
    node.generate(MATURITY, &nobody).await.unwrap();
    until(&pool, "maturity", || pool.matured() == 2).await;
    settle(&pool, &node).await;
    agrees(&pool, &rpc, since, &script, &miners).await;
    drop((alice, bob));
    pool.stop().await;
    let replayed = check_replay(&process, &folder.path().join("real"));
    assert_eq!(replayed.incomes, 2, "{replayed:?}");
}

/// What doctor finds of a pool's nodes and wallet, each as "about, health: text".
async fn examined(process: &Process, text: &str, folder: &Path) -> Vec<String> {
    let prepared = prepare(process, text).await;
    let (disk, folder, runtime) =
        (Arc::clone(&process.disk), folder.to_owned(), tokio::runtime::Handle::current());
    let examine = move || {
        let mut findings = Findings::of("real");
        doctor::nodes(&prepared, Duration::from_secs(30), &runtime, &mut findings);
        doctor::pays(&prepared, &disk, &folder, &runtime, &mut findings);
        findings.all
    };
    let found = tokio::task::spawn_blocking(examine).await.unwrap();
    found.iter().map(|one| format!("{}, {:?}: {}", one.about, one.health, one.text)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn doctor_finds_bcoin_and_its_wallet_fit_and_says_so_when_they_are_not() {
    if !real_nodes_wanted() {
        return;
    }
    let node = Bcoin::start().await.unwrap();
    let own = node.new_address().await.unwrap();
    node.generate(110, &own).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let process = process(folder.path());
    let good =
        config(&node, &format!("payout_address = \"{own}\""), "network = \"bcoin\"", &wallet_pays(&node));
    let found = examined(&process, &good, folder.path()).await;
    assert!(found.iter().all(|one| one.contains(", Good: ")), "{found:#?}");
    let says = |found: &[String], what: &str| found.iter().any(|one| one.contains(what));
    for what in ["answers at", "gives work at 111", "can sign", "can spend", "holds the address"] {
        assert!(says(&found, what), "{what}: {found:#?}");
    }

    let strange =
        good.replace(&own, &stranger("rb", 77).0).replace("chain = \"regtest\"", "chain = \"main\"");
    let found = examined(&process, &strange, folder.path()).await;
    assert!(
        says(&found, "node 0, Bad: gives no work: it is on \"regtest\", this pool on \"main\""),
        "{found:#?}"
    );
    assert!(says(&found, "wallet, Warning: does not hold"), "{found:#?}");
}
