//! What the development chain says to good and bad blocks, in Bitcoin Core's words.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use bitcoin::consensus::encode::serialize_hex;
use bitcoin::{Amount, Block, ScriptBuf, Witness};
use millpond_devchain::{DevChain, Options};
use serde_json::json;
use support::{ask, assemble, client, code, payee, seal, solve, spoil, submit, submit_hex, template};

async fn start() -> DevChain {
    DevChain::start(Options { prologue: 110, economy: 4, ..Options::default() }).await.unwrap()
}

#[tokio::test]
async fn a_template_without_the_segwit_rule_is_refused() {
    let chain = start().await;
    let rpc = client(&chain);
    assert_eq!(code(&rpc, "getblocktemplate", json!([])).await, -8);
    assert_eq!(code(&rpc, "getblocktemplate", json!([{ "rules": ["csv"] }])).await, -8);
    assert_eq!(code(&rpc, "getblocktemplate", json!([{ "mode": "guess", "rules": ["segwit"] }])).await, -8);
}

#[tokio::test]
async fn a_block_with_the_templates_transactions_is_accepted_once() {
    let chain = start().await;
    let rpc = client(&chain);
    let template = template(&rpc).await;
    assert_eq!(template["transactions"].as_array().unwrap().len(), 4);
    let fees: u64 =
        template["transactions"].as_array().unwrap().iter().map(|tx| tx["fee"].as_u64().unwrap()).sum();
    assert_eq!(template["coinbasevalue"].as_u64().unwrap(), 5_000_000_000 + fees);
    let block = seal(assemble(&template, "good"));
    assert_eq!(submit(&rpc, &block).await, "accepted");
    assert_eq!(submit(&rpc, &block).await, "duplicate");
    assert_eq!(chain.height(), 111);
    assert_eq!(chain.tip(), block.block_hash().to_string());
    // The economy has made up for what the block took.
    assert_eq!(chain.waiting(), 4);
}

#[tokio::test]
async fn a_coinbase_without_its_own_witness_gets_the_reserved_zeros_as_core_does_it() {
    let chain = start().await;
    let rpc = client(&chain);
    let mut block = assemble(&template(&rpc).await, "bare");
    block.txdata[0].input[0].witness = Witness::new();
    assert_eq!(submit(&rpc, &seal(block)).await, "accepted");
}

type Change = fn(&mut Block);

#[tokio::test]
async fn each_broken_rule_has_cores_reason() {
    let chain = start().await;
    let rpc = client(&chain);
    let cases: [(&str, Change); 16] = [
        ("bad-cb-amount", |block| block.txdata[0].output[0].value += Amount::from_sat(1)),
        ("bad-cb-height", |block| {
            let mut script = block.txdata[0].input[0].script_sig.to_bytes();
            script[1] += 1;
            block.txdata[0].input[0].script_sig = ScriptBuf::from_bytes(script);
        }),
        ("bad-witness-merkle-match", |block| {
            let mut script = block.txdata[0].output[1].script_pubkey.to_bytes();
            script[6] ^= 1;
            block.txdata[0].output[1].script_pubkey = ScriptBuf::from_bytes(script);
        }),
        ("bad-witness-nonce-size", |block| {
            block.txdata[0].input[0].witness = Witness::from_slice(&[&[0_u8; 31]]);
        }),
        ("unexpected-witness", |block| {
            block.txdata[0].output.pop();
        }),
        ("bad-cb-missing", |block| {
            block.txdata.remove(0);
        }),
        ("bad-cb-multiple", |block| {
            let mut second = block.txdata[0].clone();
            second.output[0].script_pubkey = payee(1);
            block.txdata.push(second);
        }),
        ("bad-txns-duplicate", |block| {
            let last = block.txdata.last().unwrap().clone();
            block.txdata.push(last);
        }),
        ("bad-txns-inputs-missingorspent", |block| {
            block.txdata[1].input[0].previous_output.vout += 7;
            commit(block);
        }),
        ("time-too-old", |block| block.header.time = 1_296_688_602),
        ("time-too-new", |block| block.header.time += 3 * 60 * 60),
        ("bad-diffbits", |block| block.header.bits = bitcoin::CompactTarget::from_consensus(0x207f_fffe)),
        ("bad-version(0x00000003)", |block| {
            block.header.version = bitcoin::block::Version::from_consensus(3)
        }),
        ("prev-blk-not-found", |block| {
            block.header.prev_blockhash = "00".repeat(32).parse().unwrap();
        }),
        ("bad-cb-length", |block| {
            block.txdata[0].input[0].script_sig = ScriptBuf::from_bytes(vec![0x51; 101]);
        }),
        ("bad-txns-vout-toolarge", |block| block.txdata[0].output[0].value = Amount::from_sat(u64::MAX)),
    ];
    for (reason, change) in cases {
        let mut block = assemble(&template(&rpc).await, reason);
        change(&mut block);
        assert_eq!(submit(&rpc, &seal(block)).await, reason);
        assert_eq!(chain.height(), 110, "{reason}");
    }
    assert_eq!(submit(&rpc, &spoil(assemble(&template(&rpc).await, "x"))).await, "high-hash");
    assert_eq!(submit(&rpc, &solve(assemble(&template(&rpc).await, "x"))).await, "bad-txnmrklroot");
    assert_eq!(submit_hex(&rpc, "00").await, "error -22");
    assert_eq!(submit_hex(&rpc, "zz").await, "error -22");
}

/// Puts the right witness commitment in.
fn commit(block: &mut Block) {
    let root = block.witness_root().unwrap();
    let commitment = Block::compute_witness_commitment(&root, &[0; 32]);
    let script =
        [&[0x6a, 0x24, 0xaa, 0x21, 0xa9, 0xed], bitcoin::hashes::Hash::as_byte_array(&commitment) as &[u8]];
    block.txdata[0].output[1].script_pubkey = ScriptBuf::from_bytes(script.concat());
}

#[tokio::test]
async fn a_block_that_fails_late_is_known_as_bad_and_so_is_what_stands_on_it() {
    let chain = start().await;
    let rpc = client(&chain);
    let mut block = assemble(&template(&rpc).await, "greedy");
    block.txdata[0].output[0].value += Amount::from_sat(1);
    let bad = seal(block);
    assert_eq!(submit(&rpc, &bad).await, "bad-cb-amount");
    assert_eq!(submit(&rpc, &bad).await, "duplicate-invalid");
    let mut child = template(&rpc).await;
    child["previousblockhash"] = json!(bad.block_hash().to_string());
    child["height"] = json!(112);
    assert_eq!(submit(&rpc, &seal(assemble(&child, "child"))).await, "bad-prevblk");
}

#[tokio::test]
async fn a_changed_signature_does_not_get_into_a_block() {
    let chain = start().await;
    let rpc = client(&chain);
    let mut block = assemble(&template(&rpc).await, "forged");
    let mut items: Vec<Vec<u8>> = block.txdata[1].input[0].witness.to_vec();
    items[0][10] ^= 1;
    block.txdata[1].input[0].witness = Witness::from_slice(&items);
    commit(&mut block);
    let reason = submit(&rpc, &seal(block)).await;
    assert!(reason.starts_with("mandatory-script-verify-flag-failed"), "{reason}");
}

#[tokio::test]
async fn a_proposal_is_judged_without_its_work() {
    let chain = start().await;
    let rpc = client(&chain);
    let propose = async |block: &Block| {
        ask(&rpc, "getblocktemplate", json!([{ "mode": "proposal", "data": serialize_hex(block) }])).await
    };
    let template = template(&rpc).await;
    let good = spoil(assemble(&template, "proposal"));
    assert_eq!(propose(&good).await, json!(null));
    assert_eq!(chain.height(), 110);
    let mut greedy = assemble(&template, "proposal");
    greedy.txdata[0].output[0].value += Amount::from_sat(1);
    assert_eq!(propose(&spoil(greedy)).await, json!("bad-cb-amount"));
    assert_eq!(propose(&assemble(&template, "proposal")).await, json!("bad-txnmrklroot"));
    chain.generate(1).unwrap();
    assert_eq!(propose(&good).await, json!("inconclusive-not-best-prevblk"));
    let failed = code(&rpc, "getblocktemplate", json!([{ "mode": "proposal", "data": "00" }])).await;
    assert_eq!(failed, -22);
}

#[tokio::test]
async fn a_sibling_is_inconclusive_and_the_longer_branch_wins() {
    let chain = start().await;
    let rpc = client(&chain);
    let template = template(&rpc).await;
    let (first, second) = (seal(assemble(&template, "first")), seal(assemble(&template, "second")));
    assert_eq!(submit(&rpc, &first).await, "accepted");
    assert_eq!(submit(&rpc, &second).await, "inconclusive");
    assert_eq!(chain.tip(), first.block_hash().to_string());
    let taken: Vec<String> = first.txdata[1..].iter().map(|tx| tx.compute_txid().to_string()).collect();
    // A second block without transactions on the sibling's parent: the payments of the first come back.
    let parent = first.header.prev_blockhash.to_string();
    let fork = chain.mine_on(&parent, 2).unwrap();
    assert_eq!(chain.tip(), fork[1]);
    let header = ask(&rpc, "getblockheader", json!([first.block_hash().to_string()])).await;
    assert_eq!(header["confirmations"], json!(-1));
    let waiting = ask(&rpc, "getrawmempool", json!([])).await;
    for txid in &taken {
        assert!(waiting.as_array().unwrap().contains(&json!(txid)), "{txid} was lost in the reorganisation");
    }
    assert_eq!(ask(&rpc, "getblockhash", json!([111])).await, json!(fork[0]));
    // And back again, with more work on the first.
    chain.mine_on(&first.block_hash().to_string(), 2).unwrap();
    let header = ask(&rpc, "getblockheader", json!([first.block_hash().to_string()])).await;
    assert_eq!(header["confirmations"], json!(3));
}

#[tokio::test]
async fn a_coinbase_can_be_spent_after_the_maturity_and_not_a_block_before() {
    let chain = DevChain::start(Options { maturity: 5, ..Options::default() }).await.unwrap();
    let rpc = client(&chain);
    let hash = chain.generate(1).unwrap().remove(0);
    let block = ask(&rpc, "getblock", json!([hash])).await;
    let address = chain.new_address();
    let input = json!([{ "txid": block["tx"][0], "vout": 0 }]);
    let raw = ask(&rpc, "createrawtransaction", json!([input, [{ (address): 49.9999 }]])).await;
    let signed = ask(&rpc, "signrawtransactionwithwallet", json!([raw])).await;
    assert_eq!(signed["complete"], json!(true));
    chain.generate(3).unwrap();
    let checked = ask(&rpc, "testmempoolaccept", json!([[signed["hex"]]])).await;
    assert_eq!(checked[0]["reject-reason"], json!("bad-txns-premature-spend-of-coinbase"));
    chain.generate(1).unwrap();
    let txid = ask(&rpc, "sendrawtransaction", json!([signed["hex"]])).await;
    chain.generate(1).unwrap();
    let mined = ask(&rpc, "getrawtransaction", json!([txid, true])).await;
    assert_eq!(mined["confirmations"], json!(1));
}

#[tokio::test]
async fn harder_targets_are_kept() {
    let chain =
        DevChain::start(Options { bits: 0x2000_ffff, prologue: 2, ..Options::default() }).await.unwrap();
    let rpc = client(&chain);
    let template = template(&rpc).await;
    assert_eq!(template["bits"], json!("2000ffff"));
    assert_eq!(template["target"].as_str().unwrap()[..6], *"00ffff");
    let hashes = chain.generate(2).unwrap();
    assert!(hashes.iter().all(|hash| hash.starts_with("00")), "{hashes:?}");
    assert_eq!(submit(&rpc, &seal(assemble(&support::template(&rpc).await, "x"))).await, "accepted");
}
