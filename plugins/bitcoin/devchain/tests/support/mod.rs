//! Blocks put together from a template's JSON by the tests' own hand, and calls to nodes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, dead_code)]

use bitcoin::absolute::LockTime;
use bitcoin::block::{Header, Version};
use bitcoin::consensus::encode::{deserialize_hex, serialize_hex};
use bitcoin::hashes::Hash;
use bitcoin::script::Builder;
use bitcoin::{
    Amount, Block, CompactTarget, OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxMerkleNode, TxOut,
    Witness,
};
use millpond_devchain::DevChain;
use millpond_node::{Auth, CallError, Endpoint, JsonRpc, Limits, Secret};
use serde_json::{Value, json};
use std::time::Duration;

pub const DEADLINE: Duration = Duration::from_secs(60);

pub fn client(chain: &DevChain) -> JsonRpc {
    let auth = Auth::Basic { user: chain.user().into(), password: Secret::new(chain.password()) };
    JsonRpc::new(Endpoint { url: chain.url(), auth }, Limits::default()).unwrap()
}

pub async fn ask(rpc: &JsonRpc, method: &str, params: Value) -> Value {
    rpc.ask(method, &params, DEADLINE).await.unwrap_or_else(|error| panic!("{method}: {error}"))
}

pub async fn code(rpc: &JsonRpc, method: &str, params: Value) -> i64 {
    match rpc.ask::<Value>(method, &params, DEADLINE).await {
        Err(CallError::Rpc { code, .. }) => code,
        other => panic!("{method} gave {other:?} instead of an error"),
    }
}

pub async fn template(rpc: &JsonRpc) -> Value {
    ask(rpc, "getblocktemplate", json!([{ "rules": ["segwit"] }])).await
}

/// A script nobody needs to spend: P2WPKH of twenty equal bytes.
pub fn payee(fill: u8) -> ScriptBuf {
    ScriptBuf::from_bytes([&[0, 20][..], &[fill; 20]].concat())
}

/// The block of a template with all its transactions, not solved yet. `tag` makes the coinbase unlike others.
pub fn assemble(template: &Value, tag: &str) -> Block {
    let text = |name: &str| template[name].as_str().unwrap();
    let mut txdata = vec![coinbase(template, tag)];
    for tx in template["transactions"].as_array().unwrap() {
        txdata.push(deserialize_hex(tx["data"].as_str().unwrap()).unwrap());
    }
    let header = Header {
        version: Version::from_consensus(i32::try_from(template["version"].as_i64().unwrap()).unwrap()),
        prev_blockhash: text("previousblockhash").parse().unwrap(),
        merkle_root: TxMerkleNode::all_zeros(),
        time: u32::try_from(template["curtime"].as_u64().unwrap()).unwrap(),
        bits: CompactTarget::from_unprefixed_hex(text("bits")).unwrap(),
        nonce: 0,
    };
    Block { header, txdata }
}

fn coinbase(template: &Value, tag: &str) -> Transaction {
    let height = template["height"].as_i64().unwrap();
    let mut script = Builder::new().push_int(height).into_bytes();
    script.push(u8::try_from(tag.len()).unwrap());
    script.extend_from_slice(tag.as_bytes());
    let mut witness = Witness::new();
    witness.push([0; 32]);
    let value = Amount::from_sat(template["coinbasevalue"].as_u64().unwrap());
    let mut output = vec![TxOut { value, script_pubkey: payee(0x77) }];
    if let Some(commitment) = template["default_witness_commitment"].as_str() {
        output.push(TxOut { value: Amount::ZERO, script_pubkey: ScriptBuf::from_hex(commitment).unwrap() });
    }
    Transaction {
        version: bitcoin::transaction::Version::ONE,
        lock_time: LockTime::ZERO,
        input: vec![TxIn {
            previous_output: OutPoint::null(),
            script_sig: ScriptBuf::from_bytes(script),
            sequence: Sequence::MAX,
            witness,
        }],
        output,
    }
}

/// Puts the right merkle root in and finds a nonce.
pub fn seal(mut block: Block) -> Block {
    block.header.merkle_root = block.compute_merkle_root().unwrap();
    solve(block)
}

/// Finds a nonce for the header as it is.
pub fn solve(mut block: Block) -> Block {
    let target = block.header.target();
    while !target.is_met_by(block.header.block_hash()) {
        block.header.nonce += 1;
    }
    block
}

/// Finds a nonce whose hash does not meet the target.
pub fn spoil(mut block: Block) -> Block {
    block.header.merkle_root = block.compute_merkle_root().unwrap();
    let target = block.header.target();
    while target.is_met_by(block.header.block_hash()) {
        block.header.nonce += 1;
    }
    block
}

/// What a node answers to a block: "accepted" for null.
pub async fn submit(rpc: &JsonRpc, block: &Block) -> String {
    submit_hex(rpc, &serialize_hex(block)).await
}

pub async fn submit_hex(rpc: &JsonRpc, hex: &str) -> String {
    match rpc.ask::<Option<String>>("submitblock", &json!([hex]), DEADLINE).await {
        Ok(None) => "accepted".into(),
        Ok(Some(reason)) => reason.trim_start_matches("rejected: ").to_owned(),
        Err(CallError::Rpc { code, .. }) => format!("error {code}"),
        Err(error) => panic!("submitblock: {error}"),
    }
}
