//! The HTTP server as browsers and scrapers meet it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use millpond_admin::{Command, Desk, Handler, Scope, Tokens};
use millpond_alerts::{Alarm, Alarms, Level};
use millpond_disk::{Disk, SimDisk};
use millpond_http::{AdminDoor, GuardOptions, HttpOptions, Server, Source, Times, openapi, serve};
use millpond_ledger::{ProofStep, SumNode};
use millpond_node::{Auth, Endpoint, HttpClient, Limits};
use millpond_pool::proofs::NoStatement;
use millpond_pool::receipts::NoReceipts;
use millpond_pool::settings::SettingRefused;
use millpond_pool::view::{
    BlockView, Bodies, Both, Consistency, Document, EntryView, Hashrate, IncomeProof, IncomeRow,
    MinerSettings, MinerShadowView, MinerView, Money, NextPolicy, PaymentDetail, PaymentRowView, PaymentView,
    PluginView, PolicyPlugin, PolicyView, PoolView, ProvenEntry, Reserve, SettingChange, SettingText,
    ShadowView, ShareCounts, SignedHead, SignedReceipt, StatementView, StratumCounters, Unread, WorkerView,
};
use millpond_pool::view::{CacheFigures, ContextsView, PowFigures};
use millpond_types::{Amount, Digest, ShareSeq, UnixMillis};
use serde_json::Value;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// A statement of the vectors.
fn document() -> Document {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../proofs/vectors/statements.json");
    let cases: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    Document::read(cases[0]["statement"].to_string().as_bytes()).unwrap()
}

/// PPLNS, and what is announced in its place.
fn policy() -> PolicyView {
    let plugin = |name: &str| PolicyPlugin {
        name: name.into(),
        digest: Digest::of(name.as_bytes()),
        settings: [("window".to_owned(), 2_000.into())].into(),
    };
    let next = NextPolicy {
        scheme: plugin("tides"),
        fees: vec![plugin("flat-fee")],
        announced: UnixMillis(1_000),
        not_before: UnixMillis(259_201_500),
        reason: "less luck".into(),
        takes_over: "behind a block".into(),
        claims_lost: vec!["a".into()],
        claims_gained: vec!["b".into()],
    };
    let (follows, next) = (None, Some(next));
    PolicyView { scheme: plugin("pplns"), fees: Vec::new(), from: 7, since: UnixMillis(1), follows, next }
}

struct Fixed {
    not_ready: Vec<String>,
}

impl Source for Fixed {
    fn pools(&self) -> Vec<PoolView> {
        vec![PoolView {
            name: "btc".into(),
            network: "regtest".into(),
            coord: 7,
            not_ready: self.not_ready.clone(),
            hashrate: Hashrate { five_minutes: 1.5e6, hour: 2.0, day: 3.0 },
            shares: ShareCounts { accepted: 9, stale: 1, ..ShareCounts::default() },
            connections: 2,
            unread: Unread { connections: 1, bytes: 700 },
            bodies: Bodies { whole: 5_000, pieces: 800 },
            stratum: StratumCounters {
                accepted: 9,
                unknown_job: 1,
                garbage: 4,
                ..StratumCounters::default()
            },
            effort_percent: 50.0,
            blocks: 1,
            money: Money {
                income: Amount(50),
                credited: Amount(56),
                fees: Amount(1),
                carried: -7,
                conserved: true,
                ..Money::default()
            },
            plugins: vec![PluginView {
                role: "scheme".into(),
                name: "pplns\"\n".into(),
                digest: Digest::of(b"x"),
                state: "running".into(),
                first_error: None,
            }],
            policy: policy(),
            trusted_to_adapter: vec!["fate of blocks".into()],
            disk_days_left: Some(12.5),
            journal_bytes: 4096,
            shares_dropped_to: 7,
            shadows: self.shadows("btc", 0).unwrap(),
            pow: PowFigures { batches: 12, checked: 2, stateful: true, ..PowFigures::default() },
        }]
    }
    fn contexts(&self) -> ContextsView {
        let figures = CacheFigures { hits: 5, misses: 4, evicted: 3, contexts: 1, bytes: 4_096 };
        ContextsView { figures, limit: 1 << 20 }
    }
    fn blocks(&self, pool: &str, before: Option<&str>, limit: usize) -> Option<Vec<BlockView>> {
        let block = BlockView {
            block: "00ff".into(),
            coord: 6,
            time: UnixMillis(1),
            finder: "bcrt1".into(),
            worker: "<b>".into(),
            verdicts: vec!["accepted".into()],
            fate: "accepted".into(),
            income: Amount(50),
            mature: false,
        };
        let rows = if before == Some("00ff") { 1 } else { 3 };
        (pool == "btc").then(|| vec![block; limit.min(rows)])
    }
    fn payments(&self, pool: &str, before: Option<u64>, _: usize) -> Option<Vec<PaymentView>> {
        let payment = PaymentView {
            id: 1,
            state: "confirmed".into(),
            outputs: 1,
            amount: Amount(5),
            fee: Amount(1),
            txid: None,
            marker: None,
            why: Some("no answer".into()),
            time: UnixMillis(1),
        };
        (pool == "btc").then(|| if before == Some(1) { Vec::new() } else { vec![payment] })
    }
    fn document(&self, pool: &str, address: &str, seq: u64) -> Option<Result<Document, NoStatement>> {
        (pool == "btc").then(|| match (address, seq) {
            ("bcrt1", 1) => Ok(document()),
            ("bcrt1", 2) => Err(NoStatement::NotSigned),
            ("bcrt1", 3) => Err(NoStatement::Gone),
            ("bcrt1", _) => Err(NoStatement::NoEntry),
            _ => Err(NoStatement::Stranger),
        })
    }
    fn receipts(&self, pool: &str, address: &str) -> Option<Result<Vec<SignedReceipt>, NoReceipts>> {
        (pool == "btc").then(|| match address {
            "bcrt1" => Ok(Vec::new()),
            "bcrt3" => Err(NoReceipts::Full),
            _ => Err(NoReceipts::Stranger),
        })
    }
    fn heads(&self, pool: &str, before: Option<u64>, limit: usize) -> Option<Vec<SignedHead>> {
        let heads = if before == Some(0) { 0 } else { 1 };
        (pool == "btc").then(|| vec![document().head; limit.min(heads)])
    }
    fn head(&self, pool: &str, number: Option<u64>) -> Option<SignedHead> {
        (pool == "btc" && number.unwrap_or(2) == 2).then(|| document().head)
    }
    fn heads_are_held(&self, pool: &str) -> bool {
        pool == "restored"
    }
    fn consistency(&self, pool: &str, from: u64, to: u64) -> Option<Consistency> {
        (pool == "btc" && from <= to && to <= 3).then(|| Consistency {
            from,
            to,
            path: vec![Digest::of(b"x")],
        })
    }
    fn shadows(&self, pool: &str, incomes: usize) -> Option<Vec<ShadowView>> {
        let both = Both { actual: 5, other: -7 };
        let income = IncomeRow {
            key: "00ff".into(),
            end: ShareSeq(3),
            time: UnixMillis(1),
            coord: 6,
            amount: Amount(50),
            stands: true,
            miners: both,
        };
        let reserve = Reserve {
            declared: Amount(9),
            least: Amount(1),
            left: Amount(2),
            spent_at: Some(ShareSeq(4)),
            unpaid_shares: 3,
        };
        let shadow = ShadowView {
            name: "other\"".into(),
            scheme: "pps (00)".into(),
            fees: vec!["flat-fee (11)".into()],
            state: "stopped".into(),
            why: Some("it failed".into()),
            newest: 12,
            incomes: 2,
            operator: both,
            reserve: Some(reserve),
            last: vec![income; incomes.min(1)],
            ..ShadowView::default()
        };
        (pool == "btc").then(|| vec![shadow])
    }
    fn miner_shadows(&self, pool: &str, address: &str) -> Option<Vec<MinerShadowView>> {
        let earned = Both { actual: 5, other: 6 };
        let (scheme, fees) = ("pps (00)".into(), vec!["flat-fee (11)".into()]);
        let row = MinerShadowView { name: "other".into(), scheme, fees, newest: 12, earned };
        (pool == "btc" && address == "bcrt1").then(|| vec![row])
    }
    fn payment(&self, pool: &str, payment: u64) -> Option<PaymentDetail> {
        let of = self.payments(pool, None, 1)?.into_iter().find(|known| known.id == payment)?;
        let row = PaymentRowView { owner: "m1".into(), address: "bcrt1".into(), amount: Amount(5) };
        Some(PaymentDetail { payment: of, rows: vec![row] })
    }
    fn miners(&self, pool: &str, skip: usize, _: usize) -> Option<Vec<MinerView>> {
        self.miner(pool, "bcrt1").map(|miner| [miner].into_iter().skip(skip).collect())
    }
    fn miner(&self, pool: &str, address: &str) -> Option<MinerView> {
        let worker = WorkerView {
            name: "rig".into(),
            hashrate: Hashrate::default(),
            shares: ShareCounts::default(),
            last_share: UnixMillis(1),
        };
        (pool == "btc" && address == "bcrt1").then(|| MinerView {
            address: address.into(),
            payable: Amount(1),
            immature: Amount(2),
            paid: Amount(3),
            deferred: None,
            minimum_payout: Amount(4),
            hashrate: Hashrate::default(),
            shares: ShareCounts::default(),
            workers: vec![worker],
        })
    }
    fn entries(&self, pool: &str, address: &str, before: Option<u64>, _: usize) -> Option<Vec<EntryView>> {
        let entry = EntryView {
            seq: 4,
            time: UnixMillis(1),
            what: "payment".into(),
            about: "1".into(),
            amount: -5,
            state: "settled".into(),
        };
        let entries = if before.is_some_and(|seq| seq <= 4) { Vec::new() } else { vec![entry] };
        self.miner(pool, address).map(|_| entries)
    }
    fn statement(
        &self,
        pool: &str,
        address: &str,
        before: Option<u64>,
        limit: usize,
    ) -> Option<StatementView> {
        let entry = self.entries(pool, address, None, 1)?.remove(0);
        let node = SumNode { hash: Digest::of(b"y"), sum: Amount(9) };
        let proof = IncomeProof {
            key: "aa".into(),
            owner: "m1".into(),
            part: Amount(5),
            path: vec![ProofStep { sibling: node, left: true }],
            root: node,
        };
        let entry = ProvenEntry { entry, record: Digest::of(b"x"), proof: Some(proof) };
        let rows = if before.is_some() { 0 } else { limit.min(60) };
        Some(StatementView {
            address: address.into(),
            owner: "m1".into(),
            payable: Amount(1),
            immature: Amount(2),
            paid: Amount(3),
            entries: vec![entry; rows],
            next: Some(3),
        })
    }
    fn setting_text(
        &self,
        pool: &str,
        address: &str,
        minimum: Option<Amount>,
    ) -> Option<Result<SettingText, SettingRefused>> {
        let known = self.miner(pool, address).ok_or(SettingRefused::NoMiner);
        let text = known.map(|miner| SettingText {
            address: miner.address,
            minimum_payout: minimum,
            least: Amount(4),
            most: None,
            issued: UnixMillis(1),
            expires: UnixMillis(2),
            message: "sign this".into(),
        });
        (pool == "btc").then_some(text)
    }
    fn change_setting(
        &self,
        pool: &str,
        address: &str,
        change: &SettingChange,
    ) -> Option<Result<MinerSettings, SettingRefused>> {
        let done = match change.signature.as_str() {
            "good" => Ok(MinerSettings {
                address: address.into(),
                minimum_payout: change.minimum_payout.unwrap_or(Amount(4)),
            }),
            "old" => Err(SettingRefused::Used),
            "many" => Err(SettingRefused::TooMany(UnixMillis(9))),
            _ => Err(SettingRefused::Signature("the signature is not by this address".into())),
        };
        (pool == "btc").then_some(done)
    }
    fn alarms(&self) -> Vec<Alarm> {
        let alarms = Alarms::quiet();
        alarms.raise(Level::Critical, "btc", "disk", "full");
        alarms.list()
    }
}

struct Echo;

impl Handler for Echo {
    fn handle<'a>(
        &'a self,
        actor: &'a str,
        command: Command,
    ) -> std::pin::Pin<Box<dyn Future<Output = Result<Value, String>> + Send + 'a>> {
        Box::pin(async move { Ok(serde_json::json!({"actor": actor, "did": command})) })
    }
}

fn door(handler: Arc<dyn Handler>) -> AdminDoor {
    let disk: Arc<dyn Disk> = Arc::new(SimDisk::new());
    disk.make_dir(std::path::Path::new("/d")).unwrap();
    let tokens = Tokens::open(disk, std::path::Path::new("/d/tokens")).unwrap();
    let tokens = Arc::new(parking_lot::Mutex::new(tokens));
    let room = Arc::new(tokio::sync::Semaphore::new(AdminDoor::ROOM));
    AdminDoor { desk: Desk::new(handler), tokens, patience: AdminDoor::PATIENCE, room }
}

fn options(admin: Option<AdminDoor>) -> HttpOptions {
    let guard = GuardOptions { hosts: Vec::new(), requests_per_second: 1_000, forwarded_from: Vec::new() };
    HttpOptions {
        listen: "127.0.0.1:0".parse().unwrap(),
        socket: None,
        guard,
        admin,
        times: Times::default(),
    }
}

async fn post(address: std::net::SocketAddr, head: &str, body: &str) -> (u16, String) {
    post_to(address, "/api/v1/admin", head, body).await
}

async fn post_to(address: std::net::SocketAddr, path: &str, head: &str, body: &str) -> (u16, String) {
    let mut socket = tokio::net::TcpStream::connect(address).await.unwrap();
    let length = body.len();
    let text = format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {length}\r\n{head}\r\n{body}"
    );
    socket.write_all(text.as_bytes()).await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    (answer[9..12].parse().unwrap(), answer.split_once("\r\n\r\n").unwrap().1.to_owned())
}

#[tokio::test]
async fn an_admin_command_needs_json_a_token_its_scope_and_for_money_a_second_time() {
    let door = door(Arc::new(Echo));
    let operate = door.tokens.lock().make("op", Scope::Operate).unwrap();
    let money = door.tokens.lock().make("till", Scope::Money).unwrap();
    let server = serve(options(Some(door)), Arc::new(Fixed { not_ready: Vec::new() })).await.unwrap();
    let pay = r#"{"ask":{"command":"payments_run","pool":"btc"}}"#;
    let json = "Content-Type: application/json\r\n";
    assert_eq!(post(server.address, &format!("Authorization: Bearer {money}\r\n"), pay).await.0, 415);
    assert_eq!(post(server.address, json, pay).await.0, 401);
    assert_eq!(post(server.address, &format!("{json}Authorization: Bearer nonsense\r\n"), pay).await.0, 401);
    assert_eq!(post(server.address, &format!("{json}Authorization: Bearer {operate}\r\n"), pay).await.0, 403);
    let till = format!("{json}Authorization: Bearer {money}\r\n");
    assert_eq!(post(server.address, &till, "{").await.0, 400);
    let (status, body) = post(server.address, &till, pay).await;
    assert_eq!(status, 202, "{body}");
    let code = serde_json::from_str::<Value>(&body).unwrap()["confirm"]["code"].as_str().unwrap().to_owned();
    let again = format!(r#"{{"ask":{{"command":"payments_run","pool":"btc"}},"code":"{code}"}}"#);
    let (status, body) = post(server.address, &till, &again).await;
    assert_eq!(status, 200, "{body}");
    assert!(body.contains("token:till"), "{body}");
    assert_eq!(post(server.address, &till, &again).await.0, 409, "a code is good once");
    server.stop().await;
}

/// A handler that says when it begins, waits until it is let go, and says when it is done.
struct Long {
    began: tokio::sync::mpsc::UnboundedSender<()>,
    go: tokio::sync::Semaphore,
    done: tokio::sync::mpsc::UnboundedSender<Command>,
}

impl Handler for Long {
    fn handle<'a>(
        &'a self,
        _: &'a str,
        command: Command,
    ) -> std::pin::Pin<Box<dyn Future<Output = Result<Value, String>> + Send + 'a>> {
        Box::pin(async move {
            self.began.send(()).unwrap();
            self.go.acquire().await.unwrap().forget();
            self.done.send(command).unwrap();
            Ok(Value::Null)
        })
    }
}

#[tokio::test]
async fn a_command_that_was_begun_is_done_whether_its_caller_waits_hangs_up_or_is_told_to_look_later() {
    let (began, mut begun) = tokio::sync::mpsc::unbounded_channel();
    let (done, mut ended) = tokio::sync::mpsc::unbounded_channel();
    let long = Arc::new(Long { began, go: tokio::sync::Semaphore::new(0), done });
    let room = Arc::new(tokio::sync::Semaphore::new(1));
    let patient = AdminDoor { patience: Duration::ZERO, room, ..door(Arc::clone(&long) as Arc<dyn Handler>) };
    let token = patient.tokens.lock().make("op", Scope::Operate).unwrap();
    let server = serve(options(Some(patient)), Arc::new(Fixed { not_ready: Vec::new() })).await.unwrap();
    let body = r#"{"ask":{"command":"backup"}}"#;
    let head = format!("Content-Type: application/json\r\nAuthorization: Bearer {token}\r\n");
    let (status, told) = post(server.address, &head, body).await;
    assert_eq!(status, 504, "{told}");
    assert!(told.contains("underway") && told.contains("goes on"), "{told}");
    begun.recv().await.unwrap();
    assert!(ended.try_recv().is_err(), "nobody has let it go");
    let (status, told) = post(server.address, &head, body).await;
    assert_eq!((status, told.contains("commands are under way")), (503, true), "{told}");
    long.go.add_permits(1);
    assert_eq!(ended.recv().await, Some(Command::Backup {}));
    server.stop().await;

    let waiting = door(Arc::clone(&long) as Arc<dyn Handler>);
    let token = waiting.tokens.lock().make("op", Scope::Operate).unwrap();
    let server = serve(options(Some(waiting)), Arc::new(Fixed { not_ready: Vec::new() })).await.unwrap();
    let mut socket = tokio::net::TcpStream::connect(server.address).await.unwrap();
    let text = format!(
        "POST /api/v1/admin HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\nContent-Type: \
         application/json\r\nAuthorization: Bearer {token}\r\n\r\n{body}",
        body.len()
    );
    socket.write_all(text.as_bytes()).await.unwrap();
    begun.recv().await.unwrap();
    drop(socket);
    // Whoever asks now is served: the server has seen that the other is gone, or sees it meanwhile.
    let endpoint = Endpoint { url: format!("http://{}", server.address), auth: Auth::None };
    let client = HttpClient::new(endpoint, Limits::default()).unwrap();
    assert_eq!(get(&client, "/health").await.0, 200);
    long.go.add_permits(1);
    assert_eq!(ended.recv().await, Some(Command::Backup {}));
    server.stop().await;
}

/// Reads until the server hangs up.
async fn hung_up(socket: &mut tokio::net::TcpStream) -> String {
    let mut said = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(60), socket.read_to_end(&mut said)).await;
    // A reset is an end as well.
    drop(read.expect("the server keeps the connection open"));
    String::from_utf8(said).unwrap()
}

#[tokio::test]
async fn a_connection_on_which_no_request_comes_is_closed_before_the_first_and_after_each() {
    let times = Times { head: Duration::from_millis(20), life: Duration::from_secs(600) };
    let source = || Arc::new(Fixed { not_ready: Vec::new() });
    let server = serve(HttpOptions { times, ..options(None) }, source()).await.unwrap();
    let connect = async || tokio::net::TcpStream::connect(server.address).await.unwrap();
    let mut silent = connect().await;
    let mut slow = connect().await;
    slow.write_all(b"GET /health HTTP/1.1\r\nHost: localh").await.unwrap();
    hung_up(&mut silent).await;
    assert!(!hung_up(&mut slow).await.contains("200 OK"));
    server.stop().await;

    // A life that is over ends with the request that is on its way, if any.
    let times = Times { head: Duration::from_secs(600), life: Duration::from_millis(20) };
    let server = serve(HttpOptions { times, ..options(None) }, source()).await.unwrap();
    let mut kept = tokio::net::TcpStream::connect(server.address).await.unwrap();
    hung_up(&mut kept).await;
    server.stop().await;

    let server = serve(options(None), source()).await.unwrap();
    let mut kept = tokio::net::TcpStream::connect(server.address).await.unwrap();
    for _ in 0..2 {
        kept.write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        while !answer.ends_with(r#"{"status":"ok"}"#) {
            let mut piece = [0; 1024];
            let read = kept.read(&mut piece).await.unwrap();
            assert!(read > 0, "{answer}");
            answer.push_str(std::str::from_utf8(&piece[..read]).unwrap());
        }
    }
    // A stop ends connections that wait for nothing.
    server.stop().await;
    hung_up(&mut kept).await;
}

#[tokio::test]
async fn connections_are_limited_and_a_place_that_is_free_is_had_again() {
    // No connection ends by its age here.
    let long = Duration::from_secs(3600);
    let source = Arc::new(Fixed { not_ready: Vec::new() });
    let options = HttpOptions { times: Times { head: long, life: long }, ..options(None) };
    let server = serve(options, source).await.unwrap();
    let mut held = Vec::new();
    // More than there are places: those beyond are closed at once, as the last one shows.
    for _ in 0..256 {
        held.push(tokio::net::TcpStream::connect(server.address).await.unwrap());
    }
    hung_up(held.last_mut().unwrap()).await;
    held.clear();
    let deadline = std::time::Instant::now() + Duration::from_secs(60);
    loop {
        let mut socket = tokio::net::TcpStream::connect(server.address).await.unwrap();
        let request = b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        if socket.write_all(request).await.is_ok() && hung_up(&mut socket).await.contains("200 OK") {
            break;
        }
        assert!(std::time::Instant::now() < deadline, "no place is given back");
    }
    server.stop().await;
}

async fn start(not_ready: &[&str]) -> (Server, HttpClient) {
    let source = Fixed { not_ready: not_ready.iter().map(|&text| text.to_owned()).collect() };
    let server = serve(options(Some(door(Arc::new(Echo)))), Arc::new(source)).await.unwrap();
    let endpoint = Endpoint { url: format!("http://{}", server.address), auth: Auth::None };
    (server, HttpClient::new(endpoint, Limits::default()).unwrap())
}

async fn get(client: &HttpClient, path: &str) -> (u16, String) {
    let reply = client.get(path, Duration::from_secs(90)).await.unwrap();
    (reply.status, String::from_utf8(reply.body.to_vec()).unwrap())
}

fn resolve<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
    match schema.get("$ref").and_then(Value::as_str) {
        Some(link) => document.pointer(link.trim_start_matches('#')).expect(link),
        None => schema,
    }
}

fn agree(document: &Value, schema: &Value, value: &Value, at: &str) {
    let schema = resolve(document, schema);
    match value {
        Value::Array(items) => {
            assert_eq!(schema["type"], "array", "{at}");
            items.iter().for_each(|item| agree(document, &schema["items"], item, at));
        }
        // Another page has what is in it.
        Value::Object(_) if schema["additionalProperties"] == true => {}
        Value::Object(fields) => {
            let told: BTreeSet<_> = schema["properties"].as_object().expect(at).keys().collect();
            assert_eq!(told, fields.keys().collect(), "{at}: OpenAPI and the server disagree");
            for (key, value) in fields {
                agree(document, &schema["properties"][key], value, &format!("{at}.{key}"));
            }
        }
        _ => {}
    }
}

#[tokio::test]
async fn every_path_of_openapi_answers_with_the_keys_it_tells() {
    let (server, client) = start(&[]).await;
    let document = openapi();
    let paths = document["paths"].as_object().unwrap();
    for (path, about) in paths.iter().filter(|(_, about)| about.get("get").is_some()) {
        let real = path.replace("{pool}", "btc").replace("{address}", "bcrt1").replace("{payment}", "1");
        let real = real.replace("{seq}", "1").replace("{number}", "2");
        let real = if real.ends_with("/consistency") { format!("{real}?from=1&to=3") } else { real };
        let (status, body) = get(&client, &real).await;
        assert_eq!(status, 200, "{real}: {body}");
        let schema = &about["get"]["responses"]["200"]["content"]["application/json"]["schema"];
        agree(&document, schema, &serde_json::from_str(&body).unwrap(), path);
    }
    assert!(paths.len() >= 9);
    let asked =
        "/paths/~1api~1v1~1admin/post/requestBody/content/application~1json/schema/properties/ask/properties";
    let commands = document.pointer(&format!("{asked}/command/enum")).unwrap().as_array().unwrap();
    for command in commands {
        let why = serde_json::from_value::<Command>(serde_json::json!({"command": command})).err();
        let unknown = why.is_some_and(|why| why.to_string().contains("unknown variant"));
        assert!(!unknown, "{command}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_statement_that_there_is_not_is_answered_by_why() {
    let (server, client) = start(&[]).await;
    let of = |seq: u64| format!("/api/v1/pools/btc/miners/bcrt1/statements/{seq}");
    for (path, expected) in [
        (of(1), 200),
        (of(2), 503),
        (of(3), 410),
        (of(4), 404),
        ("/api/v1/pools/btc/miners/bcrt2/statements/1".to_owned(), 404),
        ("/api/v1/pools/btc/miners/bcrt1/receipts".to_owned(), 200),
        ("/api/v1/pools/btc/miners/bcrt2/receipts".to_owned(), 404),
        ("/api/v1/pools/btc/miners/bcrt3/receipts".to_owned(), 503),
        ("/api/v1/pools/ltc/miners/bcrt1/receipts".to_owned(), 404),
        ("/api/v1/pools/ltc/miners/bcrt1/statements/1".to_owned(), 404),
        ("/api/v1/pools/btc/miners/bcrt1/statements/x".to_owned(), 400),
        ("/api/v1/pools/btc/heads/7".to_owned(), 404),
        ("/api/v1/pools/restored/heads/latest".to_owned(), 503),
        ("/api/v1/pools/btc/heads/consistency?from=1&to=4".to_owned(), 404),
        ("/api/v1/pools/btc/heads/consistency".to_owned(), 400),
        ("/api/v1/pools/ltc/heads".to_owned(), 404),
    ] {
        let (status, body) = get(&client, &path).await;
        assert_eq!(status, expected, "{path}: {body}");
    }
    let (_, body) = get(&client, "/api/v1/pools/btc/heads?before=0").await;
    assert_eq!(body, "[]");
    server.stop().await;
}

#[tokio::test]
async fn a_signed_change_of_settings_is_answered_by_what_became_of_it() {
    let (server, client) = start(&[]).await;
    let path = "/api/v1/pools/btc/miners/bcrt1/settings";
    let (status, text) = get(&client, &format!("{path}?minimum_payout=500")).await;
    let text: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((status, &text["minimum_payout"], &text["message"]), (200, &500.into(), &"sign this".into()));
    assert_eq!(get(&client, &format!("{path}?minimum_payout=-1")).await.0, 400);
    assert_eq!(get(&client, "/api/v1/pools/btc/miners/nobody/settings").await.0, 404);
    let json = "Content-Type: application/json\r\n";
    let change =
        |signature: &str| format!(r#"{{"minimum_payout":500,"issued":1,"signature":"{signature}"}}"#);
    let (status, body) = post_to(server.address, path, json, &change("good")).await;
    let done: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, &done["minimum_payout"]), (200, &500.into()), "{body}");
    for (signature, expected) in [("old", 409), ("many", 429), ("of somebody else", 403)] {
        let (status, body) = post_to(server.address, path, json, &change(signature)).await;
        assert_eq!(status, expected, "{body}");
        assert!(serde_json::from_str::<Value>(&body).unwrap()["error"].is_string(), "{body}");
    }
    let elsewhere = "/api/v1/pools/ltc/miners/bcrt1/settings";
    assert_eq!(post_to(server.address, elsewhere, json, &change("good")).await.0, 404);
    assert_eq!(post_to(server.address, path, "", &change("good")).await.0, 415, "not JSON");
    assert_eq!(post_to(server.address, path, json, "{").await.0, 400);
    assert_eq!(post_to(server.address, path, json, r#"{"issued":1,"signature":"good","x":1}"#).await.0, 422);
    assert_eq!(post_to(server.address, path, json, &change(&"x".repeat(5_000))).await.0, 413, "too large");
    server.stop().await;
}

#[tokio::test]
async fn what_is_carried_may_be_below_zero_and_the_sum_is_exact() {
    let (server, client) = start(&[]).await;
    let (_, body) = get(&client, "/api/v1/pools/btc").await;
    let money = &serde_json::from_str::<Value>(&body).unwrap()["money"];
    let of = |key: &str| money[key].as_i64().unwrap();
    assert_eq!(of("carried"), -7, "PPS has credited more than came in");
    assert_eq!(of("income"), of("credited") + of("fees") + of("carried"));
    server.stop().await;
}

/// A source that gives neither pools nor statements until it is let go, and counts how often it is asked for them.
struct Slow {
    asked: AtomicU64,
    go: std::sync::Mutex<std::sync::mpsc::Receiver<()>>,
    done: AtomicBool,
}

impl Slow {
    fn new() -> (Arc<Self>, std::sync::mpsc::Sender<()>) {
        let (go, wait) = std::sync::mpsc::channel();
        let (go_on, done) = (std::sync::Mutex::new(wait), AtomicBool::new(false));
        (Arc::new(Self { asked: AtomicU64::new(0), go: go_on, done }), go)
    }

    fn wait(&self) {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let _ = self.go.lock().unwrap().recv_timeout(Duration::from_secs(60));
        self.done.store(true, Ordering::SeqCst);
    }
}

impl Source for Slow {
    fn pools(&self) -> Vec<PoolView> {
        self.wait();
        Vec::new()
    }
    fn blocks(&self, _: &str, _: Option<&str>, _: usize) -> Option<Vec<BlockView>> {
        None
    }
    fn payments(&self, _: &str, _: Option<u64>, _: usize) -> Option<Vec<PaymentView>> {
        None
    }
    fn payment(&self, _: &str, _: u64) -> Option<PaymentDetail> {
        None
    }
    fn statement(&self, _: &str, _: &str, _: Option<u64>, _: usize) -> Option<StatementView> {
        self.wait();
        None
    }
    fn document(&self, _: &str, _: &str, _: u64) -> Option<Result<Document, NoStatement>> {
        None
    }
    fn receipts(&self, _: &str, _: &str) -> Option<Result<Vec<SignedReceipt>, NoReceipts>> {
        None
    }
    fn heads(&self, _: &str, _: Option<u64>, _: usize) -> Option<Vec<SignedHead>> {
        None
    }
    fn head(&self, _: &str, _: Option<u64>) -> Option<SignedHead> {
        None
    }
    fn heads_are_held(&self, _: &str) -> bool {
        false
    }
    fn consistency(&self, _: &str, _: u64, _: u64) -> Option<Consistency> {
        None
    }
    fn shadows(&self, _: &str, _: usize) -> Option<Vec<ShadowView>> {
        None
    }
    fn miner_shadows(&self, _: &str, _: &str) -> Option<Vec<MinerShadowView>> {
        None
    }
    fn miners(&self, _: &str, _: usize, _: usize) -> Option<Vec<MinerView>> {
        None
    }
    fn miner(&self, _: &str, _: &str) -> Option<MinerView> {
        None
    }
    fn entries(&self, _: &str, _: &str, _: Option<u64>, _: usize) -> Option<Vec<EntryView>> {
        None
    }
    fn setting_text(
        &self,
        _: &str,
        _: &str,
        _: Option<Amount>,
    ) -> Option<Result<SettingText, SettingRefused>> {
        None
    }
    fn change_setting(
        &self,
        _: &str,
        _: &str,
        _: &SettingChange,
    ) -> Option<Result<MinerSettings, SettingRefused>> {
        None
    }
    fn contexts(&self) -> ContextsView {
        ContextsView::default()
    }
    fn alarms(&self) -> Vec<Alarm> {
        Vec::new()
    }
}

// One serving thread: whatever blocks it blocks all.
#[tokio::test]
async fn a_slow_answer_holds_up_nobody_else() {
    let (source, go) = Slow::new();
    let server = serve(options(None), Arc::clone(&source) as Arc<dyn Source>).await.unwrap();
    let endpoint = Endpoint { url: format!("http://{}", server.address), auth: Auth::None };
    let client = Arc::new(HttpClient::new(endpoint, Limits::default()).unwrap());
    let reader = {
        let client = Arc::clone(&client);
        tokio::spawn(async move { client.get("/api/v1/pools", Duration::from_secs(60)).await })
    };
    while source.asked.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(get(&client, "/health").await.0, 200);
    assert!(!source.done.load(Ordering::SeqCst), "health waited for the slow answer");
    // As many times as there can be askers.
    for _ in 0..4 {
        go.send(()).unwrap();
    }
    let answer = reader.await.unwrap();
    // A machine so slow that the server gave up is none of this test's business; that it was asked once is.
    assert!(answer.is_ok_and(|reply| reply.status == 200 || reply.status == 503));
    assert_eq!(source.asked.load(Ordering::SeqCst), 1);
    server.stop().await;
}

#[tokio::test]
async fn statements_that_take_long_hold_up_no_other_answer() {
    let (source, go) = Slow::new();
    let server = serve(options(None), Arc::clone(&source) as Arc<dyn Source>).await.unwrap();
    let endpoint = Endpoint { url: format!("http://{}", server.address), auth: Auth::None };
    let client = Arc::new(HttpClient::new(endpoint, Limits::default()).unwrap());
    // Pages of one account, each of them another answer: as many as anybody likes to ask for.
    let readers: Vec<_> = (0..4)
        .map(|page| {
            let (client, path) =
                (Arc::clone(&client), format!("/api/v1/pools/btc/miners/a/statement?before={page}"));
            tokio::spawn(async move { client.get(&path, Duration::from_secs(60)).await })
        })
        .collect();
    while source.asked.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    for path in ["/api/v1/alarms", "/api/v1/pools/btc/blocks", "/api/v1/pools/btc/miners/a"] {
        let (status, _) = get(&client, path).await;
        assert!([200, 404].contains(&status), "{path}: {status}");
        assert!(!source.done.load(Ordering::SeqCst), "{path} waited for a statement");
    }
    assert_eq!(source.asked.load(Ordering::SeqCst), 1, "one is made at a time");
    for _ in 0..4 {
        go.send(()).unwrap();
    }
    for reader in readers {
        assert!(reader.await.unwrap().is_ok_and(|reply| reply.status == 404 || reply.status == 503));
    }
    server.stop().await;
}

#[tokio::test]
async fn what_is_not_there_is_404_with_a_hint() {
    let (server, client) = start(&[]).await;
    for path in
        ["/nothing", "/api/v1/pools/ltc", "/api/v1/pools/ltc/blocks", "/api/v1/pools/btc/miners/nobody"]
    {
        let (status, body) = get(&client, path).await;
        assert_eq!(status, 404, "{path}");
        assert!(serde_json::from_str::<Value>(&body).unwrap()["error"].is_string(), "{path}: {body}");
    }
    assert_eq!(get(&client, "/api/v1/pools/btc/blocks?limit=x").await.0, 400);
    let (_, two) = get(&client, "/api/v1/pools/btc/blocks?limit=2").await;
    let rows = |body: &str| serde_json::from_str::<Value>(body).unwrap().as_array().unwrap().len();
    assert_eq!(rows(&two), 2);
    for (page, expected) in [
        ("blocks?before=00ff", 1),
        ("payments?before=1", 0),
        ("miners?skip=1", 0),
        ("miners/bcrt1/entries?before=4", 0),
    ] {
        let (_, body) = get(&client, &format!("/api/v1/pools/btc/{page}")).await;
        assert_eq!(rows(&body), expected, "{page}: {body}");
    }
    assert_eq!(get(&client, "/api/v1/pools/btc/payments?before=x").await.0, 400);
    assert_eq!(get(&client, "/api/v1/pools/btc/payments/2").await.0, 404);
    // A statement's page is short, whatever is asked for.
    for (page, expected) in [("?limit=2", 2), ("?limit=1000", 50), ("", 50), ("?before=4", 0)] {
        let (_, body) = get(&client, &format!("/api/v1/pools/btc/miners/bcrt1/statement{page}")).await;
        let statement: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(statement["entries"].as_array().unwrap().len(), expected, "{page}");
    }
    assert_eq!(get(&client, "/api/v1/pools/btc/miners/nobody/statement").await.0, 404);
    server.stop().await;
}

#[tokio::test]
async fn a_pool_that_serves_nobody_is_not_ready() {
    let (server, client) = start(&["no template for 30 s"]).await;
    let (status, body) = get(&client, "/ready").await;
    assert_eq!(status, 503);
    assert!(body.contains("btc: no template for 30 s"), "{body}");
    assert_eq!(get(&client, "/health").await.0, 200);
    server.stop().await;
}

#[tokio::test]
async fn metrics_are_in_prometheus_form() {
    let (server, client) = start(&[]).await;
    let (_, body) = get(&client, "/metrics").await;
    assert!(body.contains("millpond_shares_total{pool=\"btc\",result=\"accepted\"} 9\n"), "{body}");
    assert!(body.contains("millpond_alarms{level=\"critical\"} 1\n"), "{body}");
    assert!(body.contains("millpond_unread_connections{pool=\"btc\"} 1\n"), "{body}");
    assert!(body.contains("millpond_unread_bytes{pool=\"btc\"} 700\n"), "{body}");
    for line in body.lines().filter(|line| !line.starts_with('#')) {
        let (name, value) = line.rsplit_once(' ').expect(line);
        assert!(name.ends_with('}') && value.parse::<f64>().is_ok(), "{line}");
    }
    for line in [
        "millpond_contexts{of=\"native\"} 1",
        "millpond_context_bytes{of=\"native\"} 4096",
        "millpond_context_limit_bytes{of=\"native\"} 1048576",
        "millpond_context_builds_total{of=\"native\"} 4",
        "millpond_context_evictions_total{of=\"native\"} 3",
        "millpond_pow_batches_total{pool=\"btc\"} 12",
        "millpond_pow_checked_total{pool=\"btc\"} 2",
        "millpond_pow_stateful{pool=\"btc\"} 1",
        "millpond_policy_next_seconds{pool=\"btc\"} 259201.5",
    ] {
        assert!(body.lines().any(|one| one == line), "{line}: {body}");
    }
    // Every counter of the ports is there once: a share's result as a label, any other as a metric with its meaning.
    for counter in StratumCounters::default().all() {
        let label = format!("millpond_stratum_shares_total{{pool=\"btc\",result=\"{}\"}} ", counter.name);
        let own = format!("millpond_stratum_{}_total{{pool=\"btc\"}} ", counter.name);
        let there = body.lines().filter(|line| line.starts_with(&label) || line.starts_with(&own)).count();
        assert_eq!(there, 1, "{}", counter.name);
    }
    assert!(
        body.contains("millpond_stratum_shares_total{pool=\"btc\",result=\"unknown_job\"} 1\n"),
        "{body}"
    );
    assert!(body.contains("# HELP millpond_stratum_garbage_total Lines that are no request\n"), "{body}");
    assert!(body.contains("millpond_stratum_garbage_total{pool=\"btc\"} 4\n"), "{body}");
    server.stop().await;
}

#[tokio::test]
async fn the_page_takes_nothing_from_elsewhere_and_no_stranger_s_host_reaches_it() {
    let (server, client) = start(&[]).await;
    let (_, page) = get(&client, "/").await;
    assert!(page.contains("width=device-width") && !page.contains("http://") && !page.contains("https://"));
    let mut socket = tokio::net::TcpStream::connect(server.address).await.unwrap();
    socket.write_all(b"GET / HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 421 "), "{answer}");
    assert!(answer.to_ascii_lowercase().contains("content-security-policy: default-src 'none'"), "{answer}");
    server.stop().await;
}
