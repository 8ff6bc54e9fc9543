//! Maturity has two sources: what the adapter and the tips of one node say, and what every node says that the host asks
//! itself. Here one of two nodes lies, about heights and confirmations alike, and the adapter believes it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod support;

use millpond_devchain::{DevChain, Options};
use millpond_ledger::{Entry, IncomeStatus, Reader};
use millpond_node::{Auth, CallError, Endpoint, JsonRpc, Limits, Secret};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use support::client::{Client, Want};
use support::{check_replay, process, start, stranger, until};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// So many blocks more than there are.
const LIE: u64 = 50;

/// A node's RPC that passes everything on, adds blocks while it lies, and keeps its templates back while it is slow.
#[derive(Clone)]
struct Between {
    node: JsonRpc,
    lies: Arc<AtomicBool>,
    slow: Arc<AtomicBool>,
}

impl Between {
    async fn start(chain: &DevChain) -> (SocketAddr, Self) {
        let auth = Auth::Basic { user: chain.user().to_owned(), password: Secret::new(chain.password()) };
        let node = JsonRpc::new(Endpoint { url: chain.url(), auth }, Limits::default()).unwrap();
        let between = Self { node, lies: Arc::default(), slow: Arc::default() };
        let switches = between.clone();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(between.clone().serve(stream));
            }
        });
        (address, switches)
    }

    async fn serve(self, stream: TcpStream) {
        let mut stream = BufReader::new(stream);
        loop {
            let mut length = 0;
            loop {
                let mut line = String::new();
                if stream.read_line(&mut line).await.unwrap_or(0) == 0 {
                    return;
                }
                let line = line.trim_end().to_ascii_lowercase();
                if let Some(value) = line.strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap();
                }
                if line.is_empty() {
                    break;
                }
            }
            let mut body = vec![0; length];
            if stream.read_exact(&mut body).await.is_err() {
                return;
            }
            let call: Value = serde_json::from_slice(&body).unwrap();
            let (result, error) = match self.answer(&call).await {
                Ok(result) => (result, Value::Null),
                Err(CallError::Rpc { code, message }) => {
                    (Value::Null, json!({"code": code, "message": message}))
                }
                Err(_) => return,
            };
            let body = json!({"result": result, "error": error, "id": call["id"]}).to_string();
            let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length:";
            let reply = format!("{head} {}\r\n\r\n{body}", body.len());
            if stream.get_mut().write_all(reply.as_bytes()).await.is_err() {
                return;
            }
        }
    }

    async fn answer(&self, call: &Value) -> Result<Value, CallError> {
        let (method, params) = (call["method"].as_str().unwrap(), &call["params"]);
        // It finds nothing wrong with a block at a height that there is not.
        if self.lies.load(Ordering::SeqCst) && params[0]["mode"] == "proposal" {
            return Ok(Value::Null);
        }
        let answer = self.node.call(method, params.to_string().as_bytes(), Duration::from_secs(120)).await?;
        while method == "getblocktemplate" && self.slow.load(Ordering::SeqCst) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let mut answer: Value = serde_json::from_slice(&answer).unwrap();
        // Without a longpoll the adapter asks again and again, and hears of the lie soon.
        if let Some(template) = answer.as_object_mut() {
            template.remove("longpollid");
        }
        if self.lies.load(Ordering::SeqCst) {
            match method {
                "getblockcount" => more(&mut answer),
                "getblocktemplate" => more(&mut answer["height"]),
                "getblockheader" => more(&mut answer["confirmations"]),
                "getblockchaininfo" => {
                    more(&mut answer["blocks"]);
                    more(&mut answer["headers"]);
                }
                _ => {}
            }
        }
        Ok(answer)
    }
}

fn more(number: &mut Value) {
    *number = json!(number.as_u64().unwrap() + LIE);
}

fn config(chain: &DevChain, nodes: [SocketAddr; 2]) -> String {
    let node = |address: SocketAddr| {
        let (user, password) = (chain.user(), chain.password());
        format!("[[pool.node]]\nurl = \"http://{address}\"\nuser = \"{user}\"\npassword = \"{password}\"\n")
    };
    format!(
        r#"
[host]
[[pool]]
name = "dev"
[pool.chain]
payout_address = "{}"
confirmations = 3
settings = {{ network = "regtest", maturity = 3, orphan_after = 2, poll_ms = 200 }}
{}{}
[[pool.port]]
listen = "127.0.0.1:0"
difficulty = 0.000001
fixed = true
[pool.payout]
scheme = "solo"
[pool.settlement]
schedule = "manual"
"#,
        chain.new_address(),
        node(nodes[0]),
        node(nodes[1]),
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_a_lying_node_calls_mature_waits_for_the_honest_one_and_matures_once() {
    let options = Options { prologue: 10, maturity: 3, ..Options::default() };
    let chain = DevChain::start(options).await.unwrap();
    let (liar, lying) = Between::start(&chain).await;
    let (honest, truth) = Between::start(&chain).await;
    let folder = tempfile::tempdir().unwrap();
    let process = process(folder.path());
    let pool = start(&process, &config(&chain, [liar, honest])).await;
    let mut client = Client::connect(pool.addresses()[0], &stranger("bcrt", 1).0, "sha256d").await.unwrap();
    let job = client.job_on(&chain.tip()).await;
    let share = client.find(&job, 0, Want::Block);
    assert_eq!(client.submit(&share).await["result"], json!(true));
    let statuses =
        || -> Vec<IncomeStatus> { pool.ledger().book().incomes().map(|(_, income)| income.status).collect() };
    until(&pool, "the income", || statuses() == [IncomeStatus::Immature]).await;

    // The lie begins, and a block brings it to the adapter before the truth: one block on ours, told as fifty-one.
    lying.lies.store(true, Ordering::SeqCst);
    truth.slow.store(true, Ordering::SeqCst);
    chain.generate(1).unwrap();
    until(&pool, "the adapter believes it", || pool.view().coord > LIE).await;
    truth.slow.store(false, Ordering::SeqCst);
    until(&pool, "the disagreement is told", || {
        pool.alarms()
            .iter()
            .any(|alarm| alarm.about == "maturity" && alarm.text.contains("2 blocks deep of 3"))
    })
    .await;
    assert_eq!(statuses(), [IncomeStatus::Immature]);
    assert_eq!(pool.view().money.income.0, 0);

    // The honest node gets there, whatever the other one says.
    chain.generate(1).unwrap();
    until(&pool, "maturity", || statuses() == [IncomeStatus::Matured]).await;
    until(&pool, "the alarm is over", || pool.alarms().iter().all(|alarm| alarm.about != "maturity")).await;
    lying.lies.store(false, Ordering::SeqCst);
    chain.generate(3).unwrap();
    let tip = u64::from(chain.height()) + 1;
    until(&pool, "work on the honest chain", || pool.view().coord == tip).await;
    let totals = pool.ledger().totals();
    assert!(totals.conserved, "{totals:?}");
    drop(client);
    pool.stop().await;
    let ledger = folder.path().join("dev").join("ledger");
    let mut matured = 0;
    Reader::open(Arc::clone(&process.disk), &ledger)
        .unwrap()
        .for_each_record(&mut |record, _| {
            matured += usize::from(matches!(record.entry, Entry::Matured { .. }));
            Ok(())
        })
        .unwrap();
    assert_eq!(matured, 1, "it was booked as matured once");
    assert_eq!(check_replay(&process, &folder.path().join("dev")).incomes, 1);
}
