//! A miner fetches his statement over HTTP by his address, and checks with it, and with nothing else, that his part is in what
//! was divided. And what an operator with a narrow token may not do where the adapter decides whom blocks pay.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod support;

use millpond_admin::{Scope, Tokens};
use millpond_disk::RealDisk;
use millpond_ledger::{IncomeKey, Owner, Proof, SumNode, verify_proof};
use millpond_types::Amount;
use serde_json::{Value, json};
use std::sync::Arc;
use support::{chain, earn, http, pool, start};

const MINER: &str = "bcrt1qft5p2uhsdcdc3l2ua4ap5qqfg4pjaqlp250x7us7a8qqhrxrxfsqseac85";
const PORT: &str = "[[pool.port]]\nlisten = \"127.0.0.1:0\"\ndifficulty = 1e-6\nfixed = true\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_miners_statement_proves_his_parts_without_the_ledger() {
    let (folder, chain) = (tempfile::tempdir().unwrap(), chain().await);
    let text = format!(
        "[host]\ndata = \"{}\"\n[http]\nlisten = \"127.0.0.1:0\"\n{}{PORT}[pool.fee]\nsettings = {{ basis_points = 100 }}\n\
         [[pool.fee.recipient]]\nname = \"operator\"\n",
        folder.path().join("data").display(),
        pool("dev", &chain)
    );
    let running = start(&folder.path().join("pool.toml"), &text).await;
    let pool = Arc::clone(&running.pools()[0]);
    earn(&pool, &chain, MINER).await;
    let address = running.http().unwrap();
    let get = async |path: &str| {
        let (status, body) = http(address, &format!("GET {path} HTTP/1.1\r\n"), "").await;
        assert_eq!(status, 200, "{body}");
        serde_json::from_str::<Value>(&body).unwrap()
    };
    let path = format!("/api/v1/pools/dev/miners/{MINER}/statement");
    let statement = get(&path).await;
    let entries = statement["entries"].as_array().unwrap();
    let incomes: Vec<&Value> = entries.iter().filter(|entry| entry["what"] == "income").collect();
    assert!(!incomes.is_empty(), "{statement}");
    for entry in &incomes {
        let proof = &entry["proof"];
        let key: IncomeKey = serde_json::from_value(proof["key"].clone()).unwrap();
        let owner: Owner = serde_json::from_value(proof["owner"].clone()).unwrap();
        let root: SumNode = serde_json::from_value(proof["root"].clone()).unwrap();
        let path: Proof = serde_json::from_value(json!({"path": proof["path"]})).unwrap();
        let part = Amount(proof["part"].as_u64().unwrap());
        assert_eq!((&entry["amount"], &proof["owner"]), (&json!(part.0), &statement["owner"]));
        assert!(verify_proof(&key, &owner, part, &path, &root), "{proof}");
        assert!(!verify_proof(&key, &owner, Amount(part.0 + 1), &path, &root));
        assert!(!path.path.is_empty(), "the fee has its part too");
    }
    // A page goes on before the last entry of the one before it.
    let first = get(&format!("{path}?limit=1")).await;
    assert_eq!(first["entries"][0], entries[0]);
    let rest = get(&format!("{path}?before={}", entries[0]["seq"])).await;
    assert_eq!(rest["entries"].as_array().unwrap().as_slice(), &entries[1..]);
    drop(pool);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_adapter_that_is_trusted_with_the_coinbase_is_swapped_by_who_may_move_money_alone() {
    let (folder, chain) = (tempfile::tempdir().unwrap(), chain().await);
    let data = folder.path().join("data");
    let trusting = pool("trusting", &chain)
        .replace("[pool.chain]\n", "[pool.chain]\ntrust_adapter_with_coinbase = true\n");
    let text = format!(
        "[host]\ndata = \"{}\"\n[http]\nlisten = \"127.0.0.1:0\"\n{}{PORT}{trusting}{PORT}",
        data.display(),
        pool("dev", &chain)
    );
    let running = start(&folder.path().join("pool.toml"), &text).await;
    let mut tokens = Tokens::open(Arc::new(RealDisk), &data.join("tokens.json")).unwrap();
    let (operate, money) =
        (tokens.make("op", Scope::Operate).unwrap(), tokens.make("m", Scope::Money).unwrap());
    let address = running.http().unwrap();
    let swap = async |token: &str, pool: &str| {
        let head = format!(
            "POST /api/v1/admin HTTP/1.1\r\nContent-Type: application/json\r\nAuthorization: Bearer {token}\r\n"
        );
        let ask = json!({"command": "plugin_swap", "pool": pool, "role": "adapter", "plugin": "no-such"});
        http(address, &head, &json!({"ask": ask}).to_string()).await.0
    };
    assert_eq!(swap(&operate, "dev").await, 409, "tried: there is no such plugin");
    assert_eq!(swap(&operate, "trusting").await, 403);
    assert_eq!(swap(&money, "trusting").await, 202, "to be confirmed");
    running.stop().await;
}
