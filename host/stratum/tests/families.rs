//! Families other than Bitcoin's, by the documents in `examples/families` and by one that somebody else might write.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::config;
use common::family::{Family, methods, start};
use common::miner::{Client, code, is_true};
use millpond_jobs::Job;
use millpond_stratum::PortConfig;
use serde_json::{Value, json};
use std::sync::Arc;

const KASPA: &str = include_str!("../../../examples/families/kaspa/kaspa.recipe");
const KASPA_DIALECTS: [&str; 3] = [
    include_str!("../../../examples/families/kaspa/default.dialect"),
    include_str!("../../../examples/families/kaspa/iceriver.dialect"),
    include_str!("../../../examples/families/kaspa/bitmain.dialect"),
];
/// One hash in sixteen.
const KASPA_EASY: f64 = 1.0 / ((1_u64 << 28) as f64);

async fn kaspa(dialect: Option<&str>) -> (Family, Arc<Job>) {
    let mut config = config();
    config.vardiff.start = KASPA_EASY;
    config.ports = vec![PortConfig {
        dialect: dialect.map(str::to_owned),
        ..PortConfig::plain("127.0.0.1:0".parse().unwrap())
    }];
    let family = start(KASPA, &KASPA_DIALECTS, 8, config).await.unwrap();
    let bits = 0x207f_ffff_u32.to_le_bytes().to_vec();
    let job =
        family.publish(5, &[vec![9; 120], 1_700_000_000_000_u64.to_le_bytes().to_vec(), bits, vec![8; 80]]);
    (family, job)
}

#[tokio::test]
async fn iceriver_is_told_things_in_its_order_and_its_own_form() {
    let (family, _) = kaspa(None).await;
    let mut client = Client::connect(family.server.addresses()[0]).await;
    let hello = client.call("mining.subscribe", json!(["IceRiverMiner-v1.1", "EthereumStratum/1.0.0"])).await;
    assert_eq!(hello["result"], json!([true, "EthereumStratum/1.0.0"]));
    assert!(is_true(&client.call("mining.authorize", json!(["kaspa:qq.rig", "x"])).await));
    let told = methods(&mut client, 3).await;
    let order: Vec<_> = told.iter().map(|message| message["method"].as_str().unwrap()).collect();
    assert_eq!(order, ["mining.set_extranonce", "mining.set_difficulty", "mining.notify"]);
    assert!(told.iter().all(|message| message.get("id").is_none() && message.get("jsonrpc").is_none()));
    assert_eq!(told[0]["params"][0].as_str().unwrap().len(), 4);
    assert_eq!(told[1]["params"][0].as_f64().unwrap().log2().fract(), 0.0, "a power of two");
    assert_eq!(told[2]["params"][1].as_str().unwrap().len(), 80);
    assert_eq!(family.server.handle().sessions()[0].dialect, "kaspa-iceriver");
}

#[tokio::test]
async fn bitmain_gets_its_extranonce_with_the_subscription_and_numbers_in_the_job() {
    let (family, job) = kaspa(None).await;
    let mut client = Client::connect(family.server.addresses()[0]).await;
    let hello = client.call("mining.subscribe", json!(["GodMiner/2.0.0"])).await;
    assert_eq!((&hello["result"][0], &hello["result"][2]), (&Value::Null, &json!(6)));
    client.call("mining.authorize", json!(["kaspa:qq", "x"])).await;
    let told = methods(&mut client, 3).await;
    let notify = told.iter().find(|message| message["method"] == "mining.notify").unwrap();
    assert_eq!(notify["params"][1].as_array().unwrap().len(), 4);
    let first = u64::from_le_bytes(job.stage.register("prepow").unwrap()[..8].try_into().unwrap());
    assert_eq!(notify["params"][1][0].as_u64(), Some(first));
    assert_eq!(notify["params"][2], 1_700_000_000_000_u64);
}

#[tokio::test]
async fn a_port_can_be_fixed_to_a_dialect_whatever_the_miner_calls_itself() {
    let (family, _) = kaspa(Some("kaspa-iceriver")).await;
    let mut client = Client::connect(family.server.addresses()[0]).await;
    client.call("mining.subscribe", json!(["Goldshell/1"])).await;
    client.call("mining.authorize", json!(["kaspa:qq", "x"])).await;
    let told = methods(&mut client, 3).await;
    assert!(told[2]["params"][1].is_string());
}

#[tokio::test]
async fn a_kaspa_share_counts_once_however_it_is_written() {
    let (family, job) = kaspa(None).await;
    let mut client = Client::connect(family.server.addresses()[0]).await;
    client.call("mining.subscribe", json!(["lolMiner 1.88"])).await;
    client.call("mining.authorize", json!(["kaspa:qq.rig", "x"])).await;
    let told = methods(&mut client, 3).await;
    let prefix = hex::decode(told[0]["params"][0].as_str().unwrap()).unwrap();
    let name = told[2]["params"][0].as_str().unwrap().to_owned();
    let nonce = |number: u64| [prefix.as_slice(), &number.to_be_bytes()[2..]].concat();
    let number = family.find(&job, "kaspa-default", KASPA_EASY, |number| vec![nonce(number)]);
    let (whole, short) = (hex::encode(nonce(number)), format!("{number:x}"));
    // The job's id as a number, NUL bytes in the line, the nonce with 0x.
    let line = format!(
        "{{\"id\":9,\"method\":\"mining.submit\",\"params\":[\"kaspa:qq.rig\",{name},\"0x{whole}\"]}}\0\n"
    );
    client.send_raw(line.as_bytes()).await;
    assert!(is_true(&client.answer(&json!(9)).await));
    for again in [
        json!(["kaspa:qq.rig", name, whole.to_uppercase()]),
        json!(["kaspa:qq.rig", name, short]),
        json!(["kaspa:qq.rig", name, "", "", whole]),
        json!(["kaspa:qq.other", name, whole]),
    ] {
        let answer = client.call("mining.submit", again.clone()).await;
        assert_eq!(code(&answer), 22, "{again}");
    }
    let unknown = client.call("mining.submit", json!(["kaspa:qq.rig", "77", whole])).await;
    assert_eq!(code(&unknown), 21);
    assert_eq!(family.pool.credited(), 1);
    assert_eq!(&*family.pool.last().worker, "rig");
    let weak = (0..)
        .find(|n| *n != number && family.find(&job, "kaspa-default", KASPA_EASY, |k| vec![nonce(n + k)]) > 0);
    let weak = hex::encode(nonce(weak.unwrap()));
    assert_eq!(code(&client.call("mining.submit", json!(["kaspa:qq.rig", name, weak])).await), 23);
}

/// A family that nobody thought of: no extranonce, no hello, no job ids; miners poll, and work may be pushed.
const EIGHTH: &str = r#"
recipe 1 "eighth"
const body:32
share nonce:8
powhash = sha256d body
hash3 = sha256d (cat powhash nonce)
judge be hash3 | id hash3 | out hash3
"#;
const EIGHTH_DIALECT: &str = r#"
dialect 1 "eighth"
envelope ok    {"id": {id}, "jsonrpc": "2.0", "result": {result}}
envelope error {"id": {id}, "jsonrpc": "2.0", "result": null, "error": {failure}}
failure        {"code": {code}, "message": {text}}

on x_login
  login user /params/0 password /params/1
  reply true
  then job

on x_work
  get-job
  with job
  reply ["{powhash:hex0x}", "{target:hex0x}", {coord}]

on x_solve
  submit
  worker /worker
  job-by powhash /params/1 hex0x len 32
  field nonce /params/0 hex0x len 8
  reply true

push job needs authorized
  {"id": 0, "jsonrpc": "2.0", "result": ["{powhash:hex0x}", "{target:hex0x}", {coord}]}
"#;

#[tokio::test]
async fn an_eighth_family_runs_by_its_two_files_alone() {
    let mut config = config();
    config.vardiff.start = common::EASY;
    let family = start(EIGHTH, &[EIGHTH_DIALECT], 0, config).await.unwrap();
    let mut client = Client::connect(family.server.addresses()[0]).await;
    let call = |id: u64, method: &str, params: Value| json!({"id": id, "method": method, "params": params, "worker": "rig"});
    client.send(&call(1, "x_login", json!(["etc", "x"]))).await;
    assert_eq!(client.message().await["result"], true);
    client.send(&call(2, "x_work", json!([]))).await;
    assert!(client.message().await["error"]["message"].as_str().unwrap().contains("no work yet"));
    let job = family.publish(5, &[vec![5; 32]]);
    let pushed = client.message().await;
    assert_eq!(pushed["id"], 0);
    client.send(&call(3, "x_work", json!([]))).await;
    let polled = client.message().await;
    assert_eq!((&polled["id"], &polled["result"]), (&json!(3), &pushed["result"]));
    let powhash = polled["result"][0].clone();
    assert_eq!(powhash, format!("0x{}", hex::encode(job.stage.register("powhash").unwrap())));
    assert_eq!(polled["result"][1], format!("0x{}", common::target(common::EASY)));
    let number = family.find(&job, "eighth", common::EASY, |number| vec![number.to_be_bytes().to_vec()]);
    let share = json!([format!("0x{number:016x}"), powhash]);
    client.send(&call(4, "x_solve", share.clone())).await;
    assert_eq!(client.message().await["result"], true);
    client.send(&call(5, "x_solve", share)).await;
    assert_eq!(client.message().await["error"]["code"], 22);
    let other = json!([format!("0x{number:016x}"), format!("0x{}", "ab".repeat(32))]);
    client.send(&call(6, "x_solve", other)).await;
    assert_eq!(client.message().await["error"]["code"], 21);
    assert_eq!((&*family.pool.last().worker, family.pool.credited()), ("rig", 1));
}

#[tokio::test]
async fn an_extranonce_that_a_firmware_cannot_roll_is_found_at_start() {
    let narrow = common::DIALECT.replace("extranonce rest 2..8", "extranonce rest 2..4");
    let mut own = config();
    own.extranonce.prefix = Some(2);
    let Err(error) = start(common::SOURCES[0], &[&narrow], common::EXTRANONCE, own).await else {
        panic!("it started")
    };
    let error = error.to_string();
    assert!(error.contains("2 to 4 bytes") && error.contains("left 6"), "{error}");

    let other = common::DIALECT.replace("extranonce rest 2..8", "match agent \"x*\"\nextranonce rest 8..8");
    let both = [narrow.as_str(), other.as_str()];
    let Err(error) = start(common::SOURCES[0], &both, common::EXTRANONCE, config()).await else {
        panic!("it started")
    };
    assert!(error.to_string().contains("no division suits all"), "{error}");
}

#[tokio::test]
async fn the_pools_part_of_the_extranonce_leaves_what_the_firmware_rolls() {
    let always_four = common::DIALECT.replace("extranonce rest 2..8", "extranonce rest 4..4");
    let family = start(common::SOURCES[0], &[&always_four], common::EXTRANONCE, config()).await.unwrap();
    let mut client = Client::connect(family.server.addresses()[0]).await;
    client.send(&json!({"id": 1, "method": "mining.subscribe", "params": ["x"]})).await;
    let reply = client.message().await;
    assert_eq!((reply["result"][1].as_str().map(str::len), &reply["result"][2]), (Some(8), &json!(4)));
}
