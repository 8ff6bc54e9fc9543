//! The development chain: a small Bitcoin-like full node and wallet in one process, for the demo and the tests.
//!
//! It answers JSON-RPC over HTTP on a loopback port as Bitcoin Core documents it, and judges blocks and transactions
//! by the rules that decide whether a pool's work counts: proof of work, parent, time, merkle root, BIP 34 height,
//! coinbase amount, BIP 141 commitment, inputs, signatures, maturity, double spends and reorganisations by work. It
//! shares no code with the chain adapter beside it, so that a mistake in one shows in the other, and its verdicts are
//! compared with a real node's (`tests/cross_check.rs`).
//!
//! It may not be used for anything of value: keys come from a seed, nothing is stored, there is no network. What it
//! does not have: scripts other than P2PKH, P2WPKH and P2TR by its key, relative lock times (BIP 68), replacement by
//! fee, named parameters, `getblock` verbosity 2.

mod block_rules;
mod chain;
mod coins;
mod economy;
mod faults;
mod http;
mod json;
mod keys;
mod mempool;
mod node;
mod options;
pub mod peers;
mod reject;
mod rpc;
mod script;
mod trouble;
mod wallet;
mod zmq;

pub use faults::{Fault, Faults};
pub use options::{Clock, EASIEST, Options};
pub use reject::Reject;

use bitcoin::{BlockHash, ScriptBuf};
use keys::Keys;
use node::Node;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::task::AbortHandle;

/// Why a chain could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The socket.
    #[error("no loopback port for the development chain: {0}")]
    Socket(#[from] std::io::Error),
    /// Options that contradict each other.
    #[error("the development chain's options do not fit: {0}")]
    Options(String),
    /// The blocks at the start.
    #[error("a block at the start was not accepted: {0}")]
    Prologue(#[from] Reject),
}

/// A running chain. It ends when this is dropped.
pub struct DevChain {
    node: Arc<Node>,
    addr: SocketAddr,
    zmq: Option<SocketAddr>,
    faults: Faults,
    tasks: Vec<AbortHandle>,
}

/// Another address of a chain: a second node that is always in step with the first, with faults of its own. It ends when
/// this is dropped.
pub struct Door {
    addr: SocketAddr,
    faults: Faults,
    task: AbortHandle,
}

impl Door {
    /// `http://127.0.0.1:port`; user and password are the chain's.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// What it answers instead of the truth.
    #[must_use]
    pub fn faults(&self) -> &Faults {
        &self.faults
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Drop for DevChain {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl DevChain {
    /// Starts a chain inside the current tokio runtime and makes the blocks of its prologue.
    ///
    /// # Errors
    /// When no port can be had or the options contradict each other.
    pub async fn start(options: Options) -> Result<Self, StartError> {
        if options.economy > 0 && options.prologue <= options.maturity {
            let (prologue, maturity) = (options.prologue, options.maturity);
            return Err(StartError::Options(format!(
                "an economy needs mature coins: a prologue of {prologue} blocks is not above the maturity of {maturity}"
            )));
        }
        if bitcoin::Target::from_compact(bitcoin::CompactTarget::from_consensus(options.bits))
            == bitcoin::Target::ZERO
        {
            return Err(StartError::Options(format!("no hash meets the bits {:08x}", options.bits)));
        }
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let addr = listener.local_addr()?;
        let publisher =
            if options.zmq { Some(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?) } else { None };
        let zmq = publisher.as_ref().map(TcpListener::local_addr).transpose()?;
        let authorization = http::authorization(&options.user, &options.password);
        let node = Arc::new(Node::new(options));
        node.prologue()?;
        let faults = Faults::default();
        let serve = http::serve(listener, node.clone(), authorization, faults.clone());
        let mut tasks = vec![tokio::spawn(serve).abort_handle()];
        if let Some(listener) = publisher {
            tasks.push(tokio::spawn(zmq::serve(listener, node.news())).abort_handle());
        }
        Ok(Self { node, addr, zmq, faults, tasks })
    }

    /// Opens another address of this chain; must be called inside a tokio runtime.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn door(&self) -> Result<Door, StartError> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let addr = listener.local_addr()?;
        let (faults, authorization) = (Faults::default(), http::authorization(self.user(), self.password()));
        let serve = http::serve(listener, self.node.clone(), authorization, faults.clone());
        Ok(Door { addr, faults, task: tokio::spawn(serve).abort_handle() })
    }

    /// What its first address answers instead of the truth.
    #[must_use]
    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    /// Where the RPC listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// `http://127.0.0.1:port`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// The RPC user.
    #[must_use]
    pub fn user(&self) -> &str {
        &self.node.options.user
    }

    /// The RPC password.
    #[must_use]
    pub fn password(&self) -> &str {
        &self.node.options.password
    }

    /// `tcp://127.0.0.1:port` of the ZMQ publisher, where there is one. Its topic is `hashblock`.
    #[must_use]
    pub fn zmq(&self) -> Option<String> {
        self.zmq.map(|addr| format!("tcp://{addr}"))
    }

    /// The height of the tip.
    #[must_use]
    pub fn height(&self) -> u32 {
        self.node.with(|state| state.chain.height())
    }

    /// The tip's hash as nodes show it.
    #[must_use]
    pub fn tip(&self) -> String {
        self.node.with(|state| state.chain.tip()).to_string()
    }

    /// Makes blocks on the tip whose rewards belong to the wallet, with the transactions that wait. Hashes as nodes
    /// show them. Searches for nonces on the calling thread: with hard [`Options::bits`] call it off the runtime.
    ///
    /// # Errors
    /// When a block is not accepted.
    pub fn generate(&self, count: u32) -> Result<Vec<String>, Reject> {
        let script = self.node.with(|state| state.wallet.keys.next());
        self.generate_to(count, script.as_bytes())
    }

    /// Makes blocks on the tip that pay a script (scriptPubKey).
    ///
    /// # Errors
    /// When a block is not accepted.
    pub fn generate_to(&self, count: u32, script: &[u8]) -> Result<Vec<String>, Reject> {
        let hashes = self.node.generate(count, &ScriptBuf::from_bytes(script.to_vec()))?;
        Ok(hashes.iter().map(ToString::to_string).collect())
    }

    /// Makes a row of blocks without transactions on any known block. Once their chain has more work than the active
    /// one, the chain is reorganised.
    ///
    /// # Errors
    /// When the parent is not known or a block is not accepted.
    pub fn mine_on(&self, parent: &str, count: u32) -> Result<Vec<String>, Reject> {
        let parent: BlockHash = parent.parse().map_err(|_| Reject::Invalid("prev-blk-not-found".into()))?;
        let script = self.node.with(|state| state.wallet.keys.next());
        let hashes = self.node.fork(parent, count, &script)?;
        Ok(hashes.iter().map(ToString::to_string).collect())
    }

    /// Puts transactions of the economy's into the mempool; says how many it had coins for.
    pub fn add_transactions(&self, count: u32) -> u32 {
        self.node.with(|state| state.add_transactions(count))
    }

    /// From now on templates claim this much more, in satoshi, than a block may pay: the node refuses what a pool makes
    /// of them. 0 makes it honest again.
    pub fn claim_more(&self, satoshi: u64) {
        self.node.trouble.claim_more(satoshi);
    }

    /// While held, proposals are judged and not answered.
    pub fn hold_proposals(&self, held: bool) {
        self.node.trouble.hold_proposals(held);
    }

    /// Proposals that were refused so far, those whose answer is held included.
    #[must_use]
    pub fn proposals_refused(&self) -> u64 {
        self.node.trouble.refused()
    }

    /// Transactions that wait for a block.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.node.with(|state| state.mempool.len())
    }

    /// A new address of the wallet's.
    #[must_use]
    pub fn new_address(&self) -> String {
        self.node.with(|state| Keys::address(&state.wallet.keys.next()))
    }

    /// What the wallet could spend, in satoshi.
    #[must_use]
    pub fn balance(&self) -> u64 {
        let coins = self.node.with(|state| state.wallet.coins(&state.chain, &state.mempool));
        let spendable = coins.iter().filter(|coin| coin.trusted && !coin.immature);
        spendable.fold(0, |sum, coin| sum.saturating_add(coin.output.value.to_sat()))
    }
}
