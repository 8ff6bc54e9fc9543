//! Longpolls, HTTP, the economy, and that everything follows from the seed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use millpond_devchain::{Clock, DevChain, Options};
use millpond_node::{Auth, CallError, Endpoint, HttpClient, JsonRpc, Limits, Secret};
use serde_json::{Value, json};
use std::time::Duration;
use support::{DEADLINE, ask, client, code, template};

async fn longpoll(rpc: &JsonRpc, id: &Value) -> Value {
    ask(rpc, "getblocktemplate", json!([{ "rules": ["segwit"], "longpollid": id }])).await
}

#[tokio::test]
async fn a_longpoll_answers_at_a_new_tip() {
    let chain = DevChain::start(Options::default()).await.unwrap();
    let rpc = client(&chain);
    let first = template(&rpc).await;
    let waiting = tokio::spawn({
        let (rpc, id) = (rpc.clone(), first["longpollid"].clone());
        async move { longpoll(&rpc, &id).await }
    });
    // The node serves others while one waits.
    assert_eq!(ask(&rpc, "getblockcount", json!([])).await, json!(0));
    assert!(!waiting.is_finished());
    chain.generate(1).unwrap();
    let second = tokio::time::timeout(DEADLINE, waiting).await.unwrap().unwrap();
    assert_eq!(second["height"], json!(2));
    assert_eq!(second["previousblockhash"], json!(chain.tip()));
    // An id of an old tip is answered at once.
    assert_eq!(longpoll(&rpc, &first["longpollid"]).await["height"], json!(2));
    assert_eq!(code(&rpc, "getblocktemplate", json!([{ "rules": ["segwit"], "longpollid": "x" }])).await, -8);
}

#[tokio::test]
async fn a_longpoll_answers_at_a_changed_mempool_once_it_looks() {
    let checks = (Duration::from_millis(20), Duration::from_millis(20));
    let options =
        Options { maturity: 1, prologue: 3, economy: 1, longpoll_mempool: checks, ..Options::default() };
    let chain = DevChain::start(options).await.unwrap();
    let rpc = client(&chain);
    let id = template(&rpc).await["longpollid"].clone();
    let waiting = tokio::spawn(async move { longpoll(&rpc, &id).await });
    assert_eq!(chain.add_transactions(2), 2);
    let answer = tokio::time::timeout(DEADLINE, waiting).await.unwrap().unwrap();
    assert_eq!(answer["height"], json!(4));
    assert_eq!(answer["transactions"].as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn the_economy_fills_every_template_and_names_what_depends_on_what() {
    let options = Options { maturity: 1, prologue: 2, economy: 40, ..Options::default() };
    let chain = DevChain::start(options).await.unwrap();
    let rpc = client(&chain);
    for _ in 0..3 {
        let template = template(&rpc).await;
        let transactions = template["transactions"].as_array().unwrap();
        assert_eq!(transactions.len(), 40);
        for (place, tx) in transactions.iter().enumerate() {
            assert!(
                tx["depends"].as_array().unwrap().iter().all(|on| on.as_u64().unwrap() <= place as u64),
                "{tx}"
            );
        }
        assert!(template["version"] == json!(0x3000_0000), "bit 28 is set as on Core's regtest");
        chain.generate(1).unwrap();
        let block = ask(&rpc, "getblock", json!([chain.tip()])).await;
        assert_eq!(block["nTx"], json!(41));
    }
}

#[tokio::test]
async fn two_chains_of_one_seed_are_equal_and_of_two_seeds_are_not() {
    let run = async |seed| {
        let clock = Clock::Stepped { start: 1_700_000_000, step: 60 };
        let options = Options { seed, clock, maturity: 2, prologue: 5, economy: 7, ..Options::default() };
        let chain = DevChain::start(options).await.unwrap();
        chain.generate(4).unwrap();
        chain.tip()
    };
    let first = run(7).await;
    assert_eq!(run(7).await, first);
    assert_ne!(run(8).await, first);
}

#[tokio::test]
async fn an_economy_without_mature_coins_is_refused_with_the_reason() {
    let error = DevChain::start(Options { economy: 1, ..Options::default() }).await.err().unwrap();
    assert!(error.to_string().contains("maturity"), "{error}");
}

#[tokio::test]
async fn errors_come_with_cores_http_statuses() {
    let chain = DevChain::start(Options::default()).await.unwrap();
    let auth = Auth::Basic { user: chain.user().into(), password: Secret::new(chain.password()) };
    let http = HttpClient::new(Endpoint { url: chain.url(), auth }, Limits::default()).unwrap();
    let status = async |body: &'static str| http.post("", body.into(), DEADLINE).await.unwrap().status;
    assert_eq!(status(r#"{"method":"getblockcount","id":1}"#).await, 200);
    assert_eq!(status(r#"{"method":"getblockhash","params":[9],"id":1}"#).await, 500);
    assert_eq!(status(r#"{"jsonrpc":"2.0","method":"getblockhash","params":[9],"id":1}"#).await, 200);
    assert_eq!(status(r#"{"method":"stop","id":1}"#).await, 404);
    assert_eq!(status("{").await, 500);
    assert_eq!(http.get("", DEADLINE).await.unwrap().status, 405);
    let batch =
        http.post("", r#"[{"method":"getblockcount","id":1},{"method":"x","id":2}]"#.into(), DEADLINE).await;
    let replies: Value = serde_json::from_slice(&batch.unwrap().body).unwrap();
    assert_eq!((&replies[0]["result"], &replies[1]["error"]["code"]), (&json!(0), &json!(-32601)));
}

#[tokio::test]
async fn a_wrong_password_is_refused() {
    let chain = DevChain::start(Options::default()).await.unwrap();
    let auth = Auth::Basic { user: chain.user().into(), password: Secret::new("wrong") };
    let rpc = JsonRpc::new(Endpoint { url: chain.url(), auth }, Limits::default()).unwrap();
    let error = rpc.call("getblockcount", b"", DEADLINE).await.unwrap_err();
    assert!(matches!(error, CallError::Refused { status: 401, .. }), "{error:?}");
}
