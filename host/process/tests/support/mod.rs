//! A process from a configuration file, as `millpond run` starts it, beside a development chain; and a miner of lines.
#![allow(dead_code, reason = "each test uses its part")]

use millpond_admin::{Answer, Command, ask};
use millpond_devchain::{DevChain, Options as ChainOptions};
use millpond_miner::{Miner, Options as MinerOptions};
use millpond_pool::Pool;
use millpond_process::Running;
use millpond_runtime::Compiler;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::io::{ReadHalf, WriteHalf};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Nothing that a test waits for takes longer, or it fails.
pub const PATIENCE: Duration = Duration::from_secs(120);

pub async fn chain() -> DevChain {
    // About 130,000 hashes a block: none of the test's own shares is one, and three miners find one in seconds.
    let options = ChainOptions { bits: 0x1e7f_ffff, prologue: 10, maturity: 3, ..ChainOptions::default() };
    DevChain::start(options).await.unwrap()
}

/// A pool's section up to its ports. Its easiest difficulty takes every hash for a share.
pub fn pool(name: &str, chain: &DevChain) -> String {
    format!(
        r#"
[[pool]]
name = "{name}"
[pool.chain]
payout_address = "{}"
confirmations = 3
settings = {{ network = "regtest", maturity = 3, orphan_after = 2 }}
[[pool.node]]
url = "{}"
user = "{}"
password = "{}"
[pool.settlement]
schedule = "manual"
[pool.stratum]
minimum_difficulty = 1e-12
lines_per_second = 2000
agent_minimum = {{ "NiceHash/" = 4096 }}
"#,
        chain.new_address(),
        chain.url(),
        chain.user(),
        chain.password(),
    )
}

/// What the Bitcoin adapter has to be granted under another digest than the bundled one's, of the section `chain`.
pub const GRANT: &str = "grant = [\"getblockchaininfo\", \"getblocktemplate\", \"submitblock\", \"getblockhash\", \"getblock\", \"getblockheader\"]";

/// A bundled component as another version of itself: the same code under another digest.
pub fn version(path: &Path, name: &str, text: &[u8]) {
    let mut bytes = millpond_bundled::get(name).unwrap().bytes.to_vec();
    // A custom section: id 0, its length, its name with a length, and anything.
    let body = [&[7_u8][..], b"version", text].concat();
    bytes.extend([0, u8::try_from(body.len()).unwrap()]);
    bytes.extend(body);
    std::fs::write(path, bytes).unwrap();
}

/// Starts what a file says, or fails with its words.
pub async fn start(file: &Path, text: &str) -> Running {
    std::fs::write(file, text).unwrap();
    let config = millpond_config::load(file).unwrap_or_else(|errors| panic!("{errors}"));
    Running::start(config, file, Compiler::InProcess).await.unwrap_or_else(|why| panic!("{why}"))
}

/// A miner mines a block of a pool, and it matures.
pub async fn earn(pool: &Pool, chain: &DevChain, login: &str) {
    let options = MinerOptions::new(pool.addresses()[0].to_string(), login.to_owned());
    let miner = Miner::start(MinerOptions { hashes_per_second: Some(200_000.0), ..options });
    until("a block", || !pool.blocks(1).is_empty()).await;
    miner.stop().await.unwrap();
    until("an income that can be paid", || {
        chain.generate(1).unwrap();
        pool.ledger().totals().payable > 0
    })
    .await;
}

/// Waits until it holds.
pub async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "{what} did not come about");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A new certificate in the files `pool.crt` and `pool.key` of a folder, and who believes in it and in no other.
pub fn certificate(folder: &Path) -> TlsConnector {
    let made = rcgen::generate_simple_self_signed(vec!["pool.test".to_owned()]).unwrap();
    std::fs::write(folder.join("pool.crt"), made.cert.pem()).unwrap();
    std::fs::write(folder.join("pool.key"), made.signing_key.serialize_pem()).unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let client = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    TlsConnector::from(Arc::new(client))
}

/// A TLS port's line for the files of [`certificate`].
pub fn tls(folder: &Path) -> String {
    let (certificate, key) = (folder.join("pool.crt"), folder.join("pool.key"));
    format!("tls = {{ certificate = \"{}\", key = \"{}\" }}\n", certificate.display(), key.display())
}

/// A miner that says what the test says, over any stream.
pub struct Client<S> {
    reader: BufReader<ReadHalf<S>>,
    writer: WriteHalf<S>,
    next: u64,
    pub difficulty: f64,
    job: Option<(String, String)>,
    /// What was submitted last.
    share: Value,
    extranonce2: usize,
}

impl Client<TcpStream> {
    pub async fn connect(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect(address).await.unwrap())
    }

    /// From an address of its own: all of 127.0.0.0/8 is this machine.
    pub async fn connect_from(from: [u8; 4], address: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::new(from.into(), 0)).unwrap();
        Self::over(socket.connect(address).await.unwrap())
    }
}

impl Client<TlsStream<TcpStream>> {
    /// Over TLS, if the port shows what the miner believes in.
    pub async fn connect_tls(address: SocketAddr, believes: &TlsConnector) -> std::io::Result<Self> {
        let name = rustls::pki_types::ServerName::try_from("pool.test").unwrap();
        Ok(Self::over(believes.connect(name, TcpStream::connect(address).await?).await?))
    }
}

impl<S: AsyncRead + AsyncWrite> Client<S> {
    pub fn over(stream: S) -> Self {
        let (reader, writer) = tokio::io::split(stream);
        let reader = BufReader::new(reader);
        Self { reader, writer, next: 1, difficulty: 0.0, job: None, share: Value::Null, extranonce2: 0 }
    }

    /// Says bytes as they are; the pool may have hung up.
    pub async fn raw(&mut self, bytes: &[u8]) {
        let _ = self.writer.write_all(bytes).await;
    }

    /// Waits until the pool hangs up.
    pub async fn closed(&mut self) {
        let mut rest = Vec::new();
        let read = timeout(PATIENCE, self.reader.read_to_end(&mut rest)).await;
        // A reset is an end as well.
        drop(read.expect("the pool keeps the connection open"));
    }

    async fn hear(&mut self) -> Value {
        let mut line = String::new();
        let read = timeout(PATIENCE, self.reader.read_line(&mut line)).await.expect("the pool is silent");
        assert_ne!(read.unwrap(), 0, "the pool hung up");
        let message: Value = serde_json::from_str(&line).unwrap();
        let params = &message["params"];
        match message["method"].as_str() {
            Some("mining.set_difficulty") => self.difficulty = params[0].as_f64().unwrap(),
            Some("mining.notify") => {
                let text = |index: usize| params[index].as_str().unwrap().to_owned();
                self.job = Some((text(0), text(7)));
            }
            _ => {}
        }
        message
    }

    pub async fn call(&mut self, method: &str, params: Value) -> Value {
        let id = self.next;
        self.next += 1;
        let line = format!("{}\n", json!({"id": id, "method": method, "params": params}));
        self.writer.write_all(line.as_bytes()).await.unwrap();
        loop {
            let message = self.hear().await;
            if message["id"] == json!(id) {
                return message;
            }
        }
    }

    /// Hears what the pool says until it says this.
    pub async fn told(&mut self, method: &str) -> Value {
        loop {
            let message = self.hear().await;
            if message["method"] == json!(method) {
                return message["params"].clone();
            }
        }
    }

    /// Subscribes, logs in and has a job.
    pub async fn ready(&mut self, agent: &str, login: &str) {
        let subscribed = self.call("mining.subscribe", json!([agent])).await;
        self.extranonce2 = usize::try_from(subscribed["result"][2].as_u64().unwrap()).unwrap();
        let authorized = self.call("mining.authorize", json!([login, "x"])).await;
        assert_eq!(authorized["result"], json!(true), "{authorized}");
        while self.job.is_none() {
            self.hear().await;
        }
    }

    /// Sends a share of the newest job; gives the reply.
    pub async fn submit(&mut self, login: &str, nonce: u32) -> Value {
        let (job, time) = self.job.clone().expect("a job");
        let extranonce2 = "0".repeat(2 * self.extranonce2);
        self.share = json!([login, job, extranonce2, time, format!("{nonce:08x}")]);
        self.again().await
    }

    /// Sends the share of before again, to the letter, whatever job came meanwhile.
    pub async fn again(&mut self) -> Value {
        self.call("mining.submit", self.share.clone()).await
    }

    /// Sends a share that has to count.
    pub async fn share(&mut self, login: &str, nonce: u32) {
        let reply = self.submit(login, nonce).await;
        assert_eq!(reply["result"], json!(true), "{reply}");
    }
}

/// Gives a command through the admin socket of a data folder, twice when it asks for that.
pub async fn order(data: &Path, command: Command) -> Result<Value, String> {
    let path = data.join("admin.sock");
    let answer = ask(&path, "test", command.clone(), None).await.unwrap();
    let answer = match answer {
        Answer::Confirm { code, .. } => ask(&path, "test", command, Some(code)).await.unwrap(),
        other => other,
    };
    match answer {
        Answer::Done(value) => Ok(value),
        Answer::Refused(why) => Err(why.to_string()),
        other => panic!("{other:?}"),
    }
}

/// One HTTP request on a connection of its own: status and body.
pub async fn http(address: SocketAddr, head: &str, body: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let length = body.len();
    let text =
        format!("{head}Host: localhost\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}");
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut answer = String::new();
    timeout(PATIENCE, stream.read_to_string(&mut answer)).await.expect("no answer").unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    (status, answer.split_once("\r\n\r\n").unwrap().1.to_owned())
}
