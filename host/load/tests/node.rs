//! The mock node as a pool server meets it: over HTTP, with real blocks.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use bitcoin::absolute::LockTime;
use bitcoin::block::{Header, Version};
use bitcoin::consensus::encode::{deserialize_hex, serialize_hex};
use bitcoin::hashes::Hash;
use bitcoin::{
    Amount, Block, CompactTarget, OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxOut, Witness,
};
use millpond_load::node::{MockNode, OtherBlocks, Shape};
use millpond_load::{Blocks, mark};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// Every second hash is a block.
const EASY: u32 = 0x207f_ffff;

fn node(bits: u32) -> MockNode {
    let shape = Shape { transactions: 20, bytes: 6_000, bits, ..Shape::default() };
    MockNode::start("127.0.0.1:0".parse().unwrap(), shape).unwrap()
}

/// A caller that keeps its connection.
struct Caller(BufReader<TcpStream>);

impl Caller {
    fn new(node: &MockNode) -> Self {
        let stream = TcpStream::connect(node.url().strip_prefix("http://").unwrap()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        Self(BufReader::new(stream))
    }

    fn ask(&mut self, method: &str, params: Value) {
        let body = json!({"id": "x", "method": method, "params": params}).to_string();
        let head =
            format!("POST / HTTP/1.1\r\nAuthorization: Basic eDp4\r\ncontent-length: {}\r\n\r\n", body.len());
        self.0.get_mut().write_all((head + &body).as_bytes()).unwrap();
    }

    /// Status line and body of the next answer.
    fn hear(&mut self) -> (String, Value) {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            assert_ne!(self.0.read_line(&mut line).unwrap(), 0, "it hung up");
            if line.trim().is_empty() {
                break;
            }
            lines.push(line.trim().to_owned());
        }
        let length =
            lines.iter().find_map(|line| line.strip_prefix("Content-Length: ")).unwrap().parse().unwrap();
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).unwrap();
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body["id"], "x");
        (lines[0].clone(), body)
    }

    fn call(&mut self, method: &str, params: Value) -> Value {
        self.ask(method, params);
        let (status, mut body) = self.hear();
        assert_eq!((status.as_str(), &body["error"]), ("HTTP/1.1 200 OK", &Value::Null), "{method}: {body}");
        body["result"].take()
    }

    fn template(&mut self) -> Value {
        self.call("getblocktemplate", json!([{"rules": ["segwit"]}]))
    }

    fn submit(&mut self, block: &Block) -> Value {
        self.call("submitblock", json!([serialize_hex(block)]))
    }
}

/// The block that a pool makes of a template, without its work.
fn block_of(template: &Value) -> Block {
    let text = |key: &str| template[key].as_str().unwrap();
    let height = bitcoin::script::Builder::new().push_int(template["height"].as_i64().unwrap()).into_script();
    let coinbase = Transaction {
        version: bitcoin::transaction::Version::TWO,
        lock_time: LockTime::ZERO,
        input: vec![TxIn {
            previous_output: OutPoint::null(),
            script_sig: height,
            sequence: Sequence::MAX,
            witness: Witness::from_slice(&[[0; 32]]),
        }],
        output: vec![
            TxOut {
                value: Amount::from_sat(template["coinbasevalue"].as_u64().unwrap()),
                script_pubkey: ScriptBuf::from_bytes(vec![0x51]),
            },
            TxOut {
                value: Amount::ZERO,
                script_pubkey: ScriptBuf::from_hex(text("default_witness_commitment")).unwrap(),
            },
        ],
    };
    let mut txdata = vec![coinbase];
    let listed = template["transactions"].as_array().unwrap().iter();
    txdata.extend(listed.map(|tx| deserialize_hex::<Transaction>(tx["data"].as_str().unwrap()).unwrap()));
    let header = Header {
        version: Version::from_consensus(template["version"].as_i64().unwrap() as i32),
        prev_blockhash: text("previousblockhash").parse().unwrap(),
        merkle_root: bitcoin::TxMerkleNode::all_zeros(),
        time: template["curtime"].as_u64().unwrap() as u32,
        bits: CompactTarget::from_unprefixed_hex(text("bits")).unwrap(),
        nonce: 0,
    };
    let mut block = Block { header, txdata };
    block.header.merkle_root = block.compute_merkle_root().unwrap();
    block
}

/// With a nonce that makes it a block, or that does not.
fn worked(mut block: Block, solves: bool) -> Block {
    let target = block.header.target();
    while target.is_met_by(block.block_hash()) != solves {
        block.header.nonce += 1;
    }
    block
}

#[test]
fn a_block_of_the_template_is_taken_once_and_the_next_template_stands_on_it() {
    let node = node(EASY);
    let mut caller = Caller::new(&node);
    let block = worked(block_of(&caller.template()), true);
    assert_eq!(
        caller.call("getblocktemplate", json!([{"mode": "proposal", "data": serialize_hex(&block)}])),
        json!(null)
    );
    assert_eq!(caller.submit(&block), json!(null));
    assert_eq!(caller.submit(&block), json!("duplicate"));
    let hash = block.block_hash().to_string();
    assert_eq!((node.taken(), node.tip()), (1, (hash.clone(), Shape::default().height + 1)));
    let next = caller.template();
    assert_eq!(next["previousblockhash"], json!(hash));
    assert_eq!(caller.call("getbestblockhash", json!([])), json!(hash));
    let height = caller.call("getblockcount", json!([]));
    assert_eq!(caller.call("getblockhash", json!([height])), json!(hash));
    let header = caller.call("getblockheader", json!([hash]));
    assert_eq!((&header["confirmations"], &header["height"]), (&json!(1), &height));
    // The one that it was built beside is known, and late.
    let mut sibling = block;
    sibling.header.time += 1;
    assert_eq!(caller.submit(&worked(sibling, true)), json!("inconclusive"));
}

#[test]
fn what_is_wrong_with_a_block_is_said_in_the_words_of_bitcoin_core() {
    let node = node(EASY);
    let mut caller = Caller::new(&node);
    let good = block_of(&caller.template());
    let changed = |change: &dyn Fn(&mut Block)| {
        let mut block = good.clone();
        change(&mut block);
        worked(block, true)
    };
    let rooted = |change: &dyn Fn(&mut Block)| {
        changed(&|block| {
            change(block);
            block.header.merkle_root = block.compute_merkle_root().unwrap();
        })
    };
    let witness = |block: &mut Block| block.txdata[3].input[0].witness.push([1]);
    for (block, why) in [
        (worked(good.clone(), false), "high-hash"),
        (changed(&|block| block.header.merkle_root = bitcoin::TxMerkleNode::all_zeros()), "bad-txnmrklroot"),
        (
            changed(&|block| block.header.prev_blockhash = bitcoin::BlockHash::all_zeros()),
            "prev-blk-not-found",
        ),
        (changed(&|block| block.header.bits = CompactTarget::from_consensus(0x207f_fffe)), "bad-diffbits"),
        (
            rooted(&|block| block.txdata[0].input[0].script_sig = ScriptBuf::from_bytes(vec![1, 1])),
            "bad-cb-height",
        ),
        (rooted(&|block| block.txdata[0].output[0].value += Amount::from_sat(1)), "bad-cb-amount"),
        (changed(&witness), "bad-witness-merkle-match"),
        (rooted(&|block| block.txdata.swap(1, 2)), "bad-witness-merkle-match"),
    ] {
        assert_eq!(caller.submit(&block), json!(why));
    }
    assert_eq!(node.taken(), 0);
    caller.ask("submitblock", json!(["00"]));
    let (status, body) = caller.hear();
    assert!(status.starts_with("HTTP/1.1 500") && body["error"]["code"] == json!(-22), "{status} {body}");
}

#[test]
fn the_target_is_so_hard_by_default_that_no_share_is_a_block() {
    let node = node(Shape::default().bits);
    let mut caller = Caller::new(&node);
    let template = caller.template();
    assert_eq!(template["target"], json!("00000000000000000000ffff0000000000000000000000000000000000000000"));
    // One that is none is not searched for: what is wrong with its work is seen first.
    assert_eq!(caller.submit(&block_of(&template)), json!("high-hash"));
}

#[test]
fn a_longpoll_is_answered_when_a_block_comes_and_its_moment_is_known() {
    let node = node(EASY);
    let mut caller = Caller::new(&node);
    let first = caller.template();
    let mut waiting = Caller::new(&node);
    waiting.ask("getblocktemplate", json!([{"rules": ["segwit"], "longpollid": first["longpollid"]}]));
    let (hash, at) = node.new_block();
    assert!(first["previousblockhash"] != json!(hash));
    let (_, body) = waiting.hear();
    assert_eq!(body["result"]["previousblockhash"], json!(hash));
    // It is noted right after its last byte was written, which may be after it was read.
    let deadline = Instant::now() + Duration::from_secs(60);
    let out = loop {
        if let Some(out) = node.handed_out(&hash) {
            break out;
        }
        assert!(Instant::now() < deadline);
        std::thread::sleep(Duration::from_millis(1));
    };
    assert!(out >= at);
}

#[test]
fn another_process_makes_blocks_and_asks_when_they_were_handed_out() {
    let node = node(EASY);
    let mut other = OtherBlocks::at(&node.url()).unwrap();
    let (made, _) = other.make().unwrap();
    assert_eq!(made, mark(&node.tip().0));
    assert!(other.handed_out(made).unwrap().is_none());
    Caller::new(&node).template();
    let deadline = Instant::now() + Duration::from_secs(60);
    while other.handed_out(made).unwrap().is_none() {
        assert!(Instant::now() < deadline);
    }
}

#[test]
fn what_pools_ask_at_their_start_is_answered_and_what_nobody_knows_is_not() {
    let node = node(EASY);
    let mut caller = Caller::new(&node);
    assert_eq!(caller.call("validateaddress", json!(["bc1qx"]))["isvalid"], json!(true));
    assert_eq!(caller.call("getblockchaininfo", json!([]))["chain"], json!("regtest"));
    assert!(caller.call("getnetworkinfo", json!([]))["version"].is_number());
    assert!(caller.call("getmininginfo", json!([]))["difficulty"].is_number());
    let listed = caller.template()["transactions"][0].take();
    assert_eq!(caller.call("decoderawtransaction", json!([listed["data"]]))["txid"], listed["txid"]);
    for (method, params, code) in [
        ("decoderawtransaction", json!(["00"]), -22),
        ("getblocktemplate", json!([{}]), -8),
        ("getblockhash", json!([1]), -8),
        ("getblockheader", json!(["00"]), -5),
        ("stop", json!([]), -32601),
    ] {
        caller.ask(method, params);
        let (status, body) = caller.hear();
        assert!(
            status.starts_with("HTTP/1.1 500") && body["error"]["code"] == json!(code),
            "{method} {status} {body}"
        );
    }
}
