//! Real nodes for tests: bcoin, lcoin and hsd, full nodes in JavaScript, from npm by committed lock files.
//!
//! Tests that use them run when the environment has `MILLPOND_REAL_NODES=1`, and then fail, never skip, where `node`
//! or `npm` is missing. What is installed lies under the build's `target/peers`, or under `MILLPOND_PEERS_DIR`.
//!
//! Quirks of these nodes that tests have to know (seen on bcoin 1.0.2 and lcoin 1.0.0-beta.15):
//! - prefixes of their own on regtest: `rb1…` and `R…`;
//! - segwit is active only from height 432, and only when blocks signal for it, as the nodes' own do;
//! - errors come with HTTP 200; reject reasons begin with `rejected: `;
//! - a stale sibling is answered with null and shows one confirmation; the height of BIP 34 is not enforced;
//! - `getnewaddress` needs the parameter `"default"`.
//!
//! hsd 8 is of the same family; its regtest addresses are `rs1…`, a block outside the best chain has -1 confirmations, and
//! a coinbase matures after two blocks.

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE};
use hyper::{Method, Request};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use std::fs::File;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Command as BlockingCommand, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

/// Time for a node to come up. Two to four seconds are usual; a loaded machine takes longer.
const READY: Duration = Duration::from_secs(90);
/// Time for one request. Making some hundred blocks takes seconds.
const REQUEST: Duration = Duration::from_secs(120);
/// The key of both HTTP servers.
const API_KEY: &str = "test";

/// Why a real node is not there.
#[derive(Debug, thiserror::Error)]
pub enum PeerError {
    /// A file or a program.
    #[error("{what}: {error}")]
    Io {
        /// What was tried.
        what: String,
        /// What the system said.
        error: std::io::Error,
    },
    /// `npm ci` failed.
    #[error("npm could not install {peer}: {log}")]
    Install {
        /// The node's name.
        peer: &'static str,
        /// The end of what npm wrote.
        log: String,
    },
    /// The node ended or did not answer in time.
    #[error("{peer} did not come up: {log}")]
    NotReady {
        /// The node's name.
        peer: &'static str,
        /// The end of what the node wrote.
        log: String,
    },
    /// A request failed.
    #[error("{method}: {why}")]
    Request {
        /// Method or path.
        method: String,
        /// What went wrong.
        why: String,
    },
    /// The node's own error.
    #[error("{method}: error {code}: {message}")]
    Rpc {
        /// The method.
        method: String,
        /// The node's code.
        code: i64,
        /// The node's words.
        message: String,
    },
}

fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> PeerError {
    let what = what.into();
    move |error| PeerError::Io { what, error }
}

/// Whether tests with real nodes are to run: `MILLPOND_REAL_NODES=1`. Says so when they are not.
#[must_use]
pub fn real_nodes_wanted() -> bool {
    let wanted = std::env::var_os("MILLPOND_REAL_NODES").is_some_and(|value| value == "1");
    if !wanted {
        eprintln!("not run: tests with real nodes need MILLPOND_REAL_NODES=1 (and node and npm)");
    }
    wanted
}

/// A running bcoin on regtest, alone. It ends when this is dropped.
pub struct Bcoin(Peer);

/// A running lcoin on regtest, alone. It ends when this is dropped.
pub struct Lcoin(Peer);

impl Bcoin {
    /// Installs bcoin where that was not done before, starts it on free ports and waits until it answers.
    ///
    /// # Errors
    /// When `node` or `npm` is missing, or the node does not come up.
    pub async fn start() -> Result<Self, PeerError> {
        Peer::start(Kind::Bcoin, Index::Kept).await.map(Self)
    }

    /// As [`Bcoin::start`], as it starts by itself: without its indexes of transactions and addresses.
    ///
    /// # Errors
    /// As [`Bcoin::start`].
    pub async fn start_without_index() -> Result<Self, PeerError> {
        Peer::start(Kind::Bcoin, Index::None).await.map(Self)
    }
}

impl Lcoin {
    /// Installs lcoin where that was not done before, starts it on free ports and waits until it answers.
    ///
    /// # Errors
    /// When `node` or `npm` is missing, or the node does not come up.
    pub async fn start() -> Result<Self, PeerError> {
        Peer::start(Kind::Lcoin, Index::Kept).await.map(Self)
    }
}

/// A running hsd (Handshake) on regtest, alone. It ends when this is dropped.
pub struct Hsd(Peer);

impl Hsd {
    /// Installs hsd where that was not done before, starts it on free ports and waits until it answers.
    ///
    /// # Errors
    /// When `node` or `npm` is missing, or the node does not come up.
    pub async fn start() -> Result<Self, PeerError> {
        Peer::start(Kind::Hsd, Index::Kept).await.map(Self)
    }
}

impl std::ops::Deref for Hsd {
    type Target = Peer;

    fn deref(&self) -> &Peer {
        &self.0
    }
}

impl std::ops::Deref for Bcoin {
    type Target = Peer;

    fn deref(&self) -> &Peer {
        &self.0
    }
}

impl std::ops::Deref for Lcoin {
    type Target = Peer;

    fn deref(&self) -> &Peer {
        &self.0
    }
}

#[derive(Clone, Copy)]
enum Kind {
    Bcoin,
    Lcoin,
    Hsd,
}

/// Whether a node keeps an index of all transactions. None does by itself.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Index {
    Kept,
    None,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Bcoin => "bcoin",
            Self::Lcoin => "lcoin",
            Self::Hsd => "hsd",
        }
    }

    /// lcoin's optional dependencies are native modules that do not load without their build scripts.
    fn install_flags(self) -> &'static [&'static str] {
        match self {
            Self::Bcoin | Self::Hsd => &["ci", "--ignore-scripts", "--no-audit", "--no-fund"],
            Self::Lcoin => &["ci", "--ignore-scripts", "--omit=optional", "--no-audit", "--no-fund"],
        }
    }

    fn environment(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Bcoin => &[("NODE_BACKEND", "js"), ("BCOIN_NETWORK", "regtest")],
            Self::Hsd => &[("NODE_BACKEND", "js"), ("HSD_NETWORK", "regtest")],
            Self::Lcoin => &[
                ("BCOIN_NO_NATIVE", "1"),
                ("BCOIN_USE_ELLIPTIC", "1"),
                ("BCOIN_NETWORK", "regtest"),
                ("LCOIN_NETWORK", "regtest"),
            ],
        }
    }

    fn arguments(self, prefix: &Path, (rpc, wallet): (u16, u16), index: Index) -> Vec<String> {
        let mut arguments = vec![
            format!("node_modules/{}/bin/node", self.name()),
            "--network=regtest".into(),
            format!("--prefix={}", prefix.display()),
            "--listen=false".into(),
            "--host=127.0.0.1".into(),
            "--no-dns".into(),
            "--only=".into(),
            // Zero is refused.
            "--max-outbound=1".into(),
            "--bip37=false".into(),
            "--upnp=false".into(),
            "--http-host=127.0.0.1".into(),
            format!("--http-port={rpc}"),
            format!("--api-key={API_KEY}"),
            "--workers=false".into(),
        ];
        if index == Index::Kept {
            arguments.extend(["--index-tx=true".into(), "--index-address=true".into()]);
        }
        match self {
            Self::Bcoin | Self::Hsd => arguments.extend([
                "--memory=true".into(),
                "--wallet-http-host=127.0.0.1".into(),
                format!("--wallet-http-port={wallet}"),
                format!("--wallet-api-key={API_KEY}"),
            ]),
            // Its wallet answers on the node's own port.
            Self::Lcoin => arguments.push("--db=memory".into()),
        }
        arguments
    }
}

/// What these nodes have in common.
pub struct Peer {
    child: Child,
    folder: PathBuf,
    rpc: u16,
    wallet: u16,
    client: Client<HttpConnector, Full<Bytes>>,
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.start_kill();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

impl Peer {
    async fn start(kind: Kind, index: Index) -> Result<Self, PeerError> {
        let installed = tokio::task::spawn_blocking(move || install(kind))
            .await
            .map_err(|error| PeerError::Install { peer: kind.name(), log: error.to_string() })??;
        let mut last = None;
        // Between the choice of a port and its use somebody else may take it.
        for _ in 0..3 {
            match Self::start_once(kind, index, &installed).await {
                Ok(peer) => return Ok(peer),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or(PeerError::NotReady { peer: kind.name(), log: String::new() }))
    }

    async fn start_once(kind: Kind, index: Index, installed: &Path) -> Result<Self, PeerError> {
        static STARTED: AtomicU32 = AtomicU32::new(0);
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let folder =
            std::env::temp_dir().join(format!("millpond-{}-{}-{number}", kind.name(), std::process::id()));
        std::fs::create_dir_all(&folder).map_err(io("the node's folder"))?;
        let rpc = free_port().await?;
        let wallet = match kind {
            Kind::Bcoin | Kind::Hsd => free_port().await?,
            Kind::Lcoin => rpc,
        };
        let log = folder.join("output.log");
        let output = File::create(&log).map_err(io("the node's log"))?;
        let errors = output.try_clone().map_err(io("the node's log"))?;
        let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers");
        let mut command = Command::new("node");
        command.arg("--require").arg(scripts.join("end-with-parent.js"));
        if matches!(kind, Kind::Hsd) {
            command.arg("--require").arg(scripts.join("in-memory.js"));
        }
        let child = command
            .args(kind.arguments(&folder, (rpc, wallet), index))
            .envs(kind.environment().iter().copied())
            .current_dir(installed)
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .kill_on_drop(true)
            .spawn()
            .map_err(io("starting `node`; Node.js 20 is needed"))?;
        let client = Client::builder(TokioExecutor::new()).build(HttpConnector::new());
        let mut peer = Self { child, folder, rpc, wallet, client };
        let deadline = Instant::now() + READY;
        loop {
            let ended = peer.child.try_wait().map_err(io("looking at the node"))?.is_some();
            if ended || Instant::now() > deadline {
                return Err(PeerError::NotReady { peer: kind.name(), log: tail(&log) });
            }
            if peer.rpc("getblockchaininfo", json!([])).await.is_ok()
                && peer.wallet_rpc("getwalletinfo", json!([])).await.is_ok()
            {
                return Ok(peer);
            }
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// Where the node's RPC and REST listen. User `x`, password [`Peer::api_key`].
    #[must_use]
    pub fn rpc_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.rpc)
    }

    /// Where the wallet's RPC and REST listen; the node's own address on lcoin.
    #[must_use]
    pub fn wallet_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.wallet)
    }

    /// The user of both.
    #[must_use]
    pub fn user(&self) -> &'static str {
        "x"
    }

    /// The password of both.
    #[must_use]
    pub fn api_key(&self) -> &'static str {
        API_KEY
    }

    /// Calls a method of the node.
    ///
    /// # Errors
    /// The node's own, or that of the request.
    pub async fn rpc(&self, method: &str, params: Value) -> Result<Value, PeerError> {
        self.json_rpc(self.rpc, method, params).await
    }

    /// Calls a method of the wallet.
    ///
    /// # Errors
    /// The wallet's own, or that of the request.
    pub async fn wallet_rpc(&self, method: &str, params: Value) -> Result<Value, PeerError> {
        self.json_rpc(self.wallet, method, params).await
    }

    /// A request to the wallet's REST interface; with a body a `POST`, else a `GET`.
    ///
    /// # Errors
    /// That of the request; an error that the wallet answers with is a value with the member `error`.
    pub async fn wallet_rest(&self, path: &str, body: Option<Value>) -> Result<Value, PeerError> {
        let method = if body.is_some() { Method::POST } else { Method::GET };
        self.request(self.wallet, method, path, body.unwrap_or(Value::Null)).await
    }

    /// A `PUT` to the wallet's REST interface, by which it makes new accounts.
    ///
    /// # Errors
    /// That of the request; an error that the wallet answers with is a value with the member `error`.
    pub async fn wallet_put(&self, path: &str, body: Value) -> Result<Value, PeerError> {
        self.request(self.wallet, Method::PUT, path, body).await
    }

    /// Makes blocks that pay an address.
    ///
    /// # Errors
    /// The node's own.
    pub async fn generate(&self, count: u32, address: &str) -> Result<Vec<String>, PeerError> {
        let hashes = self.rpc("generatetoaddress", json!([count, address])).await?;
        serde_json::from_value(hashes).map_err(|error| PeerError::Request {
            method: "generatetoaddress".into(),
            why: error.to_string(),
        })
    }

    /// A new address of the wallet's.
    ///
    /// # Errors
    /// The wallet's own.
    pub async fn new_address(&self) -> Result<String, PeerError> {
        let address = self.wallet_rpc("getnewaddress", json!(["default"])).await?;
        address.as_str().map(str::to_owned).ok_or_else(|| PeerError::Request {
            method: "getnewaddress".into(),
            why: format!("{address} is not an address"),
        })
    }

    async fn json_rpc(&self, port: u16, method: &str, params: Value) -> Result<Value, PeerError> {
        let mut reply =
            self.request(port, Method::POST, "/", json!({ "method": method, "params": params })).await?;
        match reply.get("error") {
            None | Some(Value::Null) => Ok(reply.get_mut("result").map(Value::take).unwrap_or_default()),
            Some(error) => Err(PeerError::Rpc {
                method: method.into(),
                code: error.get("code").and_then(Value::as_i64).unwrap_or(0),
                message: error.get("message").and_then(Value::as_str).unwrap_or_default().into(),
            }),
        }
    }

    async fn request(&self, port: u16, method: Method, path: &str, body: Value) -> Result<Value, PeerError> {
        let failed = |why: String| PeerError::Request { method: path.to_owned(), why };
        let body = if body.is_null() { Bytes::new() } else { Bytes::from(body.to_string()) };
        let request = Request::builder()
            .method(method)
            .uri(format!("http://127.0.0.1:{port}{path}"))
            .header(AUTHORIZATION, &*crate::http::authorization(self.user(), API_KEY))
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(body))
            .map_err(|error| failed(error.to_string()))?;
        let exchange = async {
            let reply = self.client.request(request).await.map_err(|error| failed(error.to_string()))?;
            let body = Limited::new(reply.into_body(), 64 * 1024 * 1024).collect().await;
            Ok(body.map_err(|error| failed(error.to_string()))?.to_bytes())
        };
        let body = timeout(REQUEST, exchange).await.map_err(|_| failed("no answer in time".into()))??;
        serde_json::from_slice(&body).map_err(|error| failed(error.to_string()))
    }
}

async fn free_port() -> Result<u16, PeerError> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(io("a free port"))?;
    Ok(listener.local_addr().map_err(io("a free port"))?.port())
}

/// Installs a node once per content of its lock file; several test processes wait for each other.
fn install(kind: Kind) -> Result<PathBuf, PeerError> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers").join(kind.name());
    let lock = std::fs::read(source.join("package-lock.json")).map_err(io("the node's lock file"))?;
    let digest = <bitcoin::hashes::sha256::Hash as bitcoin::hashes::Hash>::hash(&lock).to_string();
    let root = match std::env::var_os("MILLPOND_PEERS_DIR") {
        Some(folder) => PathBuf::from(folder),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../target/peers"),
    };
    let digest = digest.get(..12).unwrap_or_default();
    let folder = root.join(format!("{}-{digest}", kind.name()));
    std::fs::create_dir_all(&folder).map_err(io(format!("creating {}", folder.display())))?;
    let guard = File::create(folder.join(".guard")).map_err(io("the installation's lock"))?;
    guard.lock().map_err(io("the installation's lock"))?;
    let done = folder.join(".installed");
    if done.exists() {
        return Ok(folder);
    }
    for file in ["package.json", "package-lock.json"] {
        std::fs::copy(source.join(file), folder.join(file)).map_err(io(format!("copying {file}")))?;
    }
    let output = BlockingCommand::new("npm")
        .args(kind.install_flags())
        .current_dir(&folder)
        .stdin(Stdio::null())
        .output()
        .map_err(io("starting `npm`; Node.js 20 with npm is needed"))?;
    if !output.status.success() {
        let log = String::from_utf8_lossy(&output.stderr);
        return Err(PeerError::Install { peer: kind.name(), log: last_lines(&log) });
    }
    File::create(&done).map_err(io("marking the installation as done"))?;
    Ok(folder)
}

fn tail(log: &Path) -> String {
    last_lines(&String::from_utf8_lossy(&std::fs::read(log).unwrap_or_default()))
}

fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines.get(lines.len().saturating_sub(15)..).unwrap_or_default().join("\n")
}
