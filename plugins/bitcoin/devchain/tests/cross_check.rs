//! The development chain's verdicts beside a real node's, on the same good and bad blocks.
//!
//! Where they differ, the difference is listed in [`DIFFERENCES`] with its reason; everything else is equal after the
//! real node's `rejected: ` was cut off. Runs with `MILLPOND_REAL_NODES=1` only.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use bitcoin::consensus::encode::serialize_hex;
use bitcoin::{Amount, Block, CompactTarget, ScriptBuf, Witness};
use millpond_devchain::peers::{Bcoin, Lcoin, PeerError, real_nodes_wanted};
use millpond_devchain::{DevChain, Options};
use millpond_node::JsonRpc;
use serde_json::{Value, json};
use support::{ask, assemble, client, payee, seal, solve, spoil, submit, submit_hex};

/// (case, what the development chain says as Bitcoin Core documents it, what bcoin says, why).
const DIFFERENCES: &[(&str, &str, &str, &str)] = &[
    ("a stale sibling", "inconclusive", "accepted", "bcoin answers null to every block that it could store"),
    ("another height", "bad-cb-height", "accepted", "bcoin's regtest does not enforce BIP 34"),
];

/// bcoin's chain past the activation of segwit, and the same blocks on a development chain.
struct Pair {
    bcoin: Bcoin,
    _chain: DevChain,
    rpc: JsonRpc,
    address: String,
}

impl Pair {
    async fn start() -> Self {
        let bcoin = Bcoin::start().await.unwrap();
        let chain = DevChain::start(Options::default()).await.unwrap();
        let rpc = client(&chain);
        let address = bcoin.new_address().await.unwrap();
        let pair = Self { bcoin, _chain: chain, rpc, address };
        pair.generate(433).await;
        pair
    }

    /// Blocks of bcoin's own miner, which the development chain has to accept.
    async fn generate(&self, count: u32) {
        for hash in self.bcoin.generate(count, &self.address).await.unwrap() {
            let raw = self.bcoin.rpc("getblock", json!([hash, 0])).await.unwrap();
            assert_eq!(
                submit_hex(&self.rpc, raw.as_str().unwrap()).await,
                "accepted",
                "bcoin's block {hash}"
            );
        }
        self.same_tip().await;
    }

    async fn same_tip(&self) {
        let theirs = self.bcoin.rpc("getbestblockhash", json!([])).await.unwrap();
        assert_eq!(ask(&self.rpc, "getbestblockhash", json!([])).await, theirs);
    }

    async fn template(&self) -> Value {
        self.bcoin.rpc("getblocktemplate", json!([{ "rules": ["segwit"] }])).await.unwrap()
    }

    /// Both verdicts: the development chain's first.
    async fn verdicts(&self, block: &Block) -> (String, String) {
        let ours = submit(&self.rpc, block).await;
        let theirs = match self.bcoin.rpc("submitblock", json!([serialize_hex(block)])).await {
            Ok(Value::Null) => "accepted".to_owned(),
            Ok(reason) => reason.as_str().unwrap().trim_start_matches("rejected: ").to_owned(),
            Err(PeerError::Rpc { code, .. }) => format!("error {code}"),
            Err(error) => panic!("submitblock on bcoin: {error}"),
        };
        (ours, theirs)
    }

    async fn same_verdict(&self, case: &str, block: &Block) {
        let (ours, theirs) = self.verdicts(block).await;
        match DIFFERENCES.iter().find(|(known, ..)| *known == case) {
            Some((_, expected, real, why)) => {
                assert_eq!((ours.as_str(), theirs.as_str()), (*expected, *real), "{case}: {why}");
            }
            None => assert_eq!(ours, theirs, "{case}"),
        }
        println!("{case}: {ours} / {theirs}");
    }
}

type Change = fn(&mut Block);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bcoin_and_the_development_chain_judge_alike() {
    if !real_nodes_wanted() {
        return;
    }
    let pair = Pair::start().await;

    // Payments with witnesses, and old ones, from bcoin's wallet into a block of our own making.
    let segwit =
        pair.bcoin.wallet_put("/wallet/primary/account/segwit", json!({ "witness": true })).await.unwrap();
    let address = segwit["receiveAddress"].as_str().unwrap();
    assert!(address.starts_with("rb1"), "{segwit}");
    pair.bcoin.wallet_rpc("sendtoaddress", json!([address, 5])).await.unwrap();
    pair.generate(1).await;
    for _ in 0..2 {
        pair.bcoin.wallet_rpc("sendtoaddress", json!([pair.address, 1.5])).await.unwrap();
    }
    let order =
        json!({ "account": "segwit", "outputs": [{ "address": pair.address, "value": 100_000_000 }] });
    let sent = pair.bcoin.wallet_rest("/wallet/primary/send", Some(order)).await.unwrap();
    assert!(sent["hash"].is_string(), "{sent}");
    let template = pair.template().await;
    assert_eq!(template["transactions"].as_array().unwrap().len(), 3);
    let good = seal(assemble(&template, "good"));
    assert!(good.txdata[1..].iter().any(|tx| !tx.input[0].witness.is_empty()), "one payment has a witness");
    assert!(good.txdata[1..].iter().any(|tx| tx.input[0].witness.is_empty()), "one payment has none");
    for tx in &good.txdata[1..] {
        let sent = ask(&pair.rpc, "sendrawtransaction", json!([serialize_hex(tx)])).await;
        assert_eq!(sent, json!(tx.compute_txid().to_string()), "bcoin's transaction enters our mempool");
    }
    let ours = support::template(&pair.rpc).await;
    assert_eq!(ours["coinbasevalue"], template["coinbasevalue"]);
    assert_eq!(ours["default_witness_commitment"], commitment_of(&ours, &template));

    let cases: &[(&str, Change)] = &[
        ("one satoshi too much", |block| block.txdata[0].output[0].value += Amount::from_sat(1)),
        ("another witness commitment", |block| {
            let mut script = block.txdata[0].output[1].script_pubkey.to_bytes();
            script[6] ^= 1;
            block.txdata[0].output[1].script_pubkey = ScriptBuf::from_bytes(script);
        }),
        ("a witness nonce of 31 bytes", |block| {
            block.txdata[0].input[0].witness = Witness::from_slice(&[&[0_u8; 31]]);
        }),
        ("a witness without commitment", |block| {
            block.txdata[0].output.pop();
        }),
        ("no coinbase", |block| {
            block.txdata.remove(0);
        }),
        ("two coinbases", |block| {
            let mut second = block.txdata[0].clone();
            second.output[0].script_pubkey = payee(1);
            block.txdata.push(second);
        }),
        ("a transaction twice", |block| {
            let last = block.txdata.last().unwrap().clone();
            block.txdata.push(last);
        }),
        ("a transaction twice at the end of an odd row", |block| {
            block.txdata.pop();
            let last = block.txdata.last().unwrap().clone();
            block.txdata.push(last);
        }),
        ("an input that does not exist", |block| block.txdata[1].input[0].previous_output.vout += 7),
        ("a time of long ago", |block| block.header.time = 1_296_688_602),
        ("a time three hours ahead", |block| block.header.time += 3 * 60 * 60),
        ("other bits", |block| block.header.bits = CompactTarget::from_consensus(0x207f_fffe)),
        ("a coinbase script of 101 bytes", |block| {
            block.txdata[0].input[0].script_sig = ScriptBuf::from_bytes(vec![0x51; 101]);
        }),
        ("an output beyond all money", |block| {
            block.txdata[0].output[0].value = Amount::from_sat(2_100_000_000_000_001)
        }),
        ("a lock time in the future", |block| {
            block.txdata[0].lock_time = bitcoin::absolute::LockTime::from_consensus(100_000);
            block.txdata[0].input[0].sequence = bitcoin::Sequence::ZERO;
        }),
    ];
    for (case, change) in cases {
        let mut block = assemble(&template, case);
        change(&mut block);
        pair.same_verdict(case, &seal(block)).await;
        pair.same_tip().await;
    }
    pair.same_verdict("a hash above the target", &spoil(assemble(&template, "high"))).await;
    pair.same_verdict("another merkle root", &solve(assemble(&template, "root"))).await;
    let mut forged = assemble(&template, "forged");
    forge(&mut forged.txdata[1]);
    let (ours, theirs) = pair.verdicts(&seal(forged)).await;
    assert_ne!(ours, "accepted");
    assert_ne!(theirs, "accepted");
    pair.same_tip().await;

    // The good one, again, with rolled version bits, and beside another.
    pair.same_verdict("a good block", &good).await;
    pair.same_tip().await;
    pair.same_verdict("a good block again", &good).await;
    let next = pair.template().await;
    let mut rolled = assemble(&next, "rolled");
    rolled.header.version = bitcoin::block::Version::from_consensus(
        rolled.header.version.to_consensus() & !0x1fff_e000 | 0x0aaa_a000,
    );
    pair.same_verdict("a block with rolled version bits", &seal(rolled)).await;
    pair.same_tip().await;
    pair.same_verdict("a stale sibling", &seal(assemble(&next, "sibling"))).await;
    pair.same_tip().await;
    let mut orphan = assemble(&pair.template().await, "orphan");
    orphan.header.prev_blockhash = payee_hash();
    let (ours, theirs) = pair.verdicts(&seal(orphan)).await;
    assert_eq!(ours, "prev-blk-not-found");
    assert_ne!(theirs, "accepted");
    pair.generate(2).await;

    // A fork of two blocks beside the tip: both nodes go over to it.
    let fork_point = pair.template().await;
    let loser = seal(assemble(&fork_point, "loser"));
    pair.same_verdict("the block that will lose", &loser).await;
    let first = seal(assemble(&fork_point, "winner 1"));
    pair.verdicts(&first).await;
    let mut on_first = fork_point.clone();
    on_first["previousblockhash"] = json!(first.block_hash().to_string());
    on_first["height"] = json!(fork_point["height"].as_u64().unwrap() + 1);
    on_first["curtime"] = json!(fork_point["curtime"].as_u64().unwrap() + 1);
    let second = seal(assemble(&on_first, "winner 2"));
    pair.same_verdict("the block that reorganises", &second).await;
    pair.same_tip().await;
    assert_eq!(ask(&pair.rpc, "getbestblockhash", json!([])).await, json!(second.block_hash().to_string()));

    let mut lower = assemble(&pair.template().await, "height");
    let mut script = lower.txdata[0].input[0].script_sig.to_bytes();
    script[1] ^= 1;
    lower.txdata[0].input[0].script_sig = ScriptBuf::from_bytes(script);
    pair.same_verdict("another height", &seal(lower)).await;
}

/// Changes a signature, wherever it stands.
fn forge(tx: &mut bitcoin::Transaction) {
    let input = &mut tx.input[0];
    if input.witness.is_empty() {
        let mut script = input.script_sig.to_bytes();
        script[12] ^= 1;
        input.script_sig = ScriptBuf::from_bytes(script);
    } else {
        let mut items = input.witness.to_vec();
        items[0][12] ^= 1;
        input.witness = Witness::from_slice(&items);
    }
}

/// With the same transactions in the same order the commitment is the same; the orders may differ.
fn commitment_of(ours: &Value, theirs: &Value) -> Value {
    let ids = |template: &Value| -> Vec<Value> {
        template["transactions"].as_array().unwrap().iter().map(|tx| tx["txid"].clone()).collect()
    };
    if ids(ours) == ids(theirs) {
        theirs["default_witness_commitment"].clone()
    } else {
        ours["default_witness_commitment"].clone()
    }
}

fn payee_hash() -> bitcoin::BlockHash {
    "12".repeat(32).parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lcoin_takes_blocks_whose_scrypt_hash_meets_the_target() {
    if !real_nodes_wanted() {
        return;
    }
    let lcoin = Lcoin::start().await.unwrap();
    let address = lcoin.new_address().await.unwrap();
    assert_eq!(lcoin.generate(3, &address).await.unwrap().len(), 3);
    let template = lcoin.rpc("getblocktemplate", json!([{ "rules": ["segwit"] }])).await.unwrap();
    assert_eq!(template["height"], json!(4));
    assert_eq!(template["coinbasevalue"], json!(5_000_000_000_u64));
    let mut block = assemble(&template, "scrypt");
    // Segwit is not active yet: neither witness nor commitment.
    block.txdata[0].input[0].witness = Witness::new();
    block.txdata[0].output.truncate(1);
    block.header.merkle_root = block.compute_merkle_root().unwrap();
    for meets in [false, true] {
        while scrypt_meets_target(&block) != meets {
            block.header.nonce += 1;
        }
        let verdict = lcoin.rpc("submitblock", json!([serialize_hex(&block)])).await.unwrap();
        let expected = if meets { json!(null) } else { json!("rejected: high-hash") };
        assert_eq!(verdict, expected);
    }
    assert_eq!(lcoin.rpc("getblockcount", json!([])).await.unwrap(), json!(4));
}

/// Litecoin's proof of work: scrypt with N 1024, r 1, p 1, the header being password and salt.
fn scrypt_meets_target(block: &Block) -> bool {
    let header = bitcoin::consensus::encode::serialize(&block.header);
    let params = scrypt::Params::new(10, 1, 1).unwrap();
    let mut hash = [0; 32];
    scrypt::scrypt(&header, &header, &params, &mut hash).unwrap();
    hash.reverse();
    hash <= block.header.target().to_be_bytes()
}
