//! The wallet's methods, as settlement uses them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use millpond_devchain::{DevChain, Options};
use millpond_node::JsonRpc;
use serde_json::{Value, json};
use support::{ask, client, code};

/// A chain with short maturity whose wallet has `coins` mature coinbases of 50.
async fn start(coins: u32) -> (DevChain, JsonRpc) {
    let chain = DevChain::start(Options { maturity: 3, ..Options::default() }).await.unwrap();
    chain.generate(coins + 3).unwrap();
    let rpc = client(&chain);
    (chain, rpc)
}

/// An address that is not the wallet's, of twenty equal bytes.
fn stranger(fill: u8) -> String {
    let program = bitcoin::WitnessProgram::new(bitcoin::WitnessVersion::V0, &[fill; 20]).unwrap();
    bitcoin::Address::from_witness_program(program, bitcoin::KnownHrp::Regtest).to_string()
}

/// The text of an amount in a raw answer, as the node wrote it.
async fn raw(rpc: &JsonRpc, method: &str, params: Value) -> String {
    let bytes = rpc.call(method, params.to_string().as_bytes(), support::DEADLINE).await.unwrap();
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[tokio::test]
async fn balances_tell_mature_from_immature_with_eight_digits() {
    let (chain, rpc) = start(2).await;
    let balances = raw(&rpc, "getbalances", json!([])).await;
    assert!(balances.contains(r#""trusted":100.00000000"#), "{balances}");
    assert!(balances.contains(r#""immature":150.00000000"#), "{balances}");
    assert_eq!(raw(&rpc, "getbalance", json!([])).await, "100.00000000");
    assert_eq!(chain.balance(), 10_000_000_000);
    assert_eq!(ask(&rpc, "listunspent", json!([])).await.as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn a_payment_is_built_signed_and_sent_twice_with_the_same_id() {
    let (chain, rpc) = start(2).await;
    let outputs = json!([{ (stranger(1)): "1.00000001" }, { (stranger(2)): 2.5 }]);
    let raw = ask(&rpc, "createrawtransaction", json!([[], outputs])).await;
    let change = chain.new_address();
    let options = json!({ "fee_rate": 2.0, "changeAddress": change, "lockUnspents": true });
    let funded = ask(&rpc, "fundrawtransaction", json!([raw, options])).await;
    assert_eq!(funded["changepos"], json!(2));
    assert_eq!(ask(&rpc, "listlockunspent", json!([])).await.as_array().unwrap().len(), 1);
    assert_eq!(ask(&rpc, "listunspent", json!([])).await.as_array().unwrap().len(), 1);
    let signed = ask(&rpc, "signrawtransactionwithwallet", json!([funded["hex"]])).await;
    assert_eq!(signed["complete"], json!(true));
    let txid = ask(&rpc, "sendrawtransaction", json!([signed["hex"]])).await;
    assert_eq!(ask(&rpc, "sendrawtransaction", json!([signed["hex"]])).await, txid);
    let decoded = ask(&rpc, "decoderawtransaction", json!([signed["hex"]])).await;
    let fee = (funded["fee"].as_f64().unwrap() * 1e8).round() as u64;
    assert_eq!(fee, decoded["vsize"].as_u64().unwrap() * 2, "the fee is 2 satoshi per virtual byte");
    chain.generate(1).unwrap();
    let seen = ask(&rpc, "gettransaction", json!([txid])).await;
    assert_eq!((&seen["confirmations"], &seen["amount"]), (&json!(1), &json!(-3.500_000_01)));
    let mut sent: Vec<f64> =
        seen["details"].as_array().unwrap().iter().map(|row| row["amount"].as_f64().unwrap()).collect();
    sent.sort_by(f64::total_cmp);
    assert_eq!(sent, [-2.5, -1.000_000_01]);
    // Once it is in the chain, another attempt is told so.
    assert_eq!(code(&rpc, "sendrawtransaction", json!([signed["hex"]])).await, -27);
}

#[tokio::test]
async fn a_coin_is_not_spent_twice() {
    let (chain, rpc) = start(1).await;
    let coin = ask(&rpc, "listunspent", json!([])).await[0].clone();
    let input = json!([{ "txid": coin["txid"], "vout": coin["vout"] }]);
    let mut signed = Vec::new();
    for fill in [1, 2] {
        let raw = ask(&rpc, "createrawtransaction", json!([input, [{ (stranger(fill)): 49.999 }]])).await;
        signed.push(ask(&rpc, "signrawtransactionwithwallet", json!([raw])).await["hex"].clone());
    }
    ask(&rpc, "sendrawtransaction", json!([signed[0]])).await;
    assert_eq!(code(&rpc, "sendrawtransaction", json!([signed[1]])).await, -26);
    chain.generate(1).unwrap();
    assert_eq!(code(&rpc, "sendrawtransaction", json!([signed[1]])).await, -25);
    let out = ask(&rpc, "gettxout", json!([coin["txid"], coin["vout"]])).await;
    assert_eq!(out, json!(null));
}

#[tokio::test]
async fn send_many_pays_several_and_its_comment_is_found_again() {
    let (chain, rpc) = start(2).await;
    let start = chain.tip();
    let amounts = json!({ (stranger(1)): 60.0, (stranger(2)): 0.00001 });
    let txid = ask(&rpc, "sendmany", json!(["", amounts, 1, "intent 42"])).await;
    let since = ask(&rpc, "listsinceblock", json!([start])).await;
    let rows = since["transactions"].as_array().unwrap();
    assert_eq!(rows.len(), 2);
    assert!(
        rows.iter()
            .all(|row| row["txid"] == txid && row["comment"] == "intent 42" && row["confirmations"] == 0)
    );
    chain.generate(1).unwrap();
    let since = ask(&rpc, "listsinceblock", json!([start])).await;
    assert_eq!(since["lastblock"], json!(chain.tip()));
    assert!(since["transactions"].as_array().unwrap().iter().any(|row| row["category"] == "immature"));
    let nothing_new = ask(&rpc, "listsinceblock", json!([chain.tip()])).await;
    assert_eq!(nothing_new["transactions"], json!([]));
}

#[tokio::test]
async fn what_cannot_be_paid_is_refused_with_cores_codes() {
    let (_chain, rpc) = start(1).await;
    assert_eq!(code(&rpc, "sendmany", json!(["", { (stranger(1)): 51 }])).await, -6);
    assert_eq!(code(&rpc, "sendmany", json!(["", { "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa": 1 }])).await, -5);
    assert_eq!(code(&rpc, "sendmany", json!(["", { (stranger(1)): "0.000000001" }])).await, -3);
    assert_eq!(
        code(&rpc, "createrawtransaction", json!([[], [{ (stranger(1)): 1 }, { (stranger(1)): 1 }]])).await,
        -8
    );
    assert_eq!(code(&rpc, "fundrawtransaction", json!(["00"])).await, -22);
    assert_eq!(code(&rpc, "gettransaction", json!(["00".repeat(32)])).await, -5);
    assert_eq!(code(&rpc, "dumpprivkey", json!([])).await, -32601);
    assert_eq!(code(&rpc, "settxfee", json!([0.000_001])).await, -8);
    let raw = ask(&rpc, "createrawtransaction", json!([[], [{ (stranger(1)): 51 }]])).await;
    assert_eq!(code(&rpc, "fundrawtransaction", json!([raw])).await, -4);
}

#[tokio::test]
async fn a_locked_coin_is_left_alone_until_it_is_unlocked() {
    let (_chain, rpc) = start(1).await;
    let coin = ask(&rpc, "listunspent", json!([])).await[0].clone();
    let at = json!([{ "txid": coin["txid"], "vout": coin["vout"] }]);
    assert_eq!(ask(&rpc, "lockunspent", json!([false, at])).await, json!(true));
    assert_eq!(code(&rpc, "lockunspent", json!([false, at])).await, -8);
    assert_eq!(code(&rpc, "sendtoaddress", json!([stranger(1), 1])).await, -6);
    assert_eq!(ask(&rpc, "lockunspent", json!([true, at])).await, json!(true));
    ask(&rpc, "sendtoaddress", json!([stranger(1), 1])).await;
}

#[tokio::test]
async fn the_receivers_bear_the_fee_where_that_is_asked() {
    let (_chain, rpc) = start(1).await;
    let amounts = json!({ (stranger(1)): 20, (stranger(2)): 30 });
    let txid = ask(&rpc, "sendmany", json!(["", amounts, 1, "", [stranger(1), stranger(2)]])).await;
    let seen = ask(&rpc, "gettransaction", json!([txid, true, true])).await;
    let outputs = seen["decoded"]["vout"].as_array().unwrap();
    assert_eq!(outputs.len(), 2, "all of the coin went to the receivers: {outputs:?}");
    let paid: f64 = outputs.iter().map(|output| output["value"].as_f64().unwrap()).sum();
    let fee = -seen["fee"].as_f64().unwrap();
    assert!(fee > 0.0 && (paid + fee - 50.0).abs() < 1e-9, "paid {paid} and a fee of {fee}");
}

#[tokio::test]
async fn a_reorganisation_takes_an_income_away_and_says_so() {
    let (chain, rpc) = start(1).await;
    let before = chain.tip();
    let own = chain.generate(1).unwrap().remove(0);
    let coinbase = ask(&rpc, "getblock", json!([own])).await["tx"][0].clone();
    chain.mine_on(&before, 2).unwrap();
    let lost = ask(&rpc, "gettransaction", json!([coinbase])).await;
    assert_eq!(lost["confirmations"], json!(0));
    assert_eq!(lost["details"][0]["category"], json!("orphan"));
    let since = ask(&rpc, "listsinceblock", json!([own])).await;
    assert!(since["removed"].as_array().unwrap().iter().any(|row| row["txid"] == coinbase));
    assert_eq!(ask(&rpc, "getblockheader", json!([own])).await["confirmations"], json!(-1));
}
