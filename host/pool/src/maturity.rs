//! The second source of an income's maturity: every node of the pool, asked by the host's own code, how deep our block is
//! in its chain.
//!
//! An adapter says when an income is mature, and the host counts the tips of the jobs that it published; both rest on what
//! one node told the adapter. So before the ledger books anything as payable, the nodes are asked natively for the block
//! that our own hash names, at its height. Of several answers the least counts: whoever is later decides, and when the
//! disagreement lasts an alarm says so. A node that does not answer proves nothing; while none answers, incomes wait.

use crate::core::Core;
use crate::setup::{SetupError, basic};
use millpond_alerts::Level;
use millpond_chain::Maturity;
use millpond_config::Pool as Section;
use millpond_node::{Auth, Endpoint, JsonRpc, Limits};
use millpond_settlement::{NodeRpc, depth};
use parking_lot::{Condvar, Mutex};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A node has this long to answer.
const PATIENCE: Duration = Duration::from_secs(20);
/// What is not deep enough is asked for again after this.
const AGAIN: Duration = Duration::from_secs(2);
/// Nodes hear of a block within seconds of each other; a disagreement that lasts longer is told.
const GRACE: Duration = Duration::from_secs(10);
/// What nobody wants to know any more is forgotten after this.
const FORGET: Duration = Duration::from_secs(600);
/// As many blocks are asked for at once; more wait until these are mature.
const BLOCKS: usize = 10_000;

/// Settlement by the JSON-RPC of a node, as a chain's description names it: such a node tells blocks by height.
const JSONRPC: &str = "jsonrpc";

#[derive(Debug)]
struct Asked {
    coord: u64,
    /// The least of the nodes' counts, once one has answered.
    count: Option<u32>,
    /// When it was first wanted, last wanted, and when the nodes are due to be asked.
    since: Instant,
    wanted: Instant,
    due: Instant,
    told: bool,
}

#[derive(Debug, Default)]
struct Inner {
    asked: BTreeMap<Vec<u8>, Asked>,
    end: bool,
}

/// The nodes, and what they said of the blocks that were asked for.
pub(crate) struct NodesCount {
    nodes: Vec<NodeRpc<JsonRpc>>,
    confirmations: u32,
    inner: Mutex<Inner>,
    news: Condvar,
}

impl NodesCount {
    /// The nodes of a section; `None` for a chain whose settlement is not by the nodes' JSON-RPC.
    pub(crate) fn new(
        section: &Section,
        settlement: &str,
        confirmations: u32,
        runtime: &tokio::runtime::Handle,
    ) -> Result<Option<Arc<Self>>, SetupError> {
        if !settlement.starts_with(JSONRPC) || section.node.is_empty() {
            return Ok(None);
        }
        let mut nodes = Vec::new();
        for node in &section.node {
            let wrong = |why: &dyn std::fmt::Display| {
                SetupError(vec![format!("line {}: node: {why}", node.span.line)])
            };
            let auth = match (&node.cookie, &node.password) {
                (Some(cookie), _) => Auth::Cookie(cookie.clone()),
                (None, Some(password)) => basic(&node.user, password).map_err(|why| wrong(&why))?,
                (None, None) => Auth::None,
            };
            let endpoint = Endpoint { url: node.url.clone(), auth };
            let client = JsonRpc::new(endpoint, Limits::default()).map_err(|why| wrong(&why))?;
            nodes.push(NodeRpc::new(client, runtime.clone(), PATIENCE));
        }
        Ok(Some(Arc::new(Self { nodes, confirmations, inner: Mutex::default(), news: Condvar::new() })))
    }

    /// The thread: asks the nodes for what is wanted, until the end.
    pub(crate) fn keep_asking(&self, core: &Core) {
        while let Some((block, coord)) = self.next() {
            // By the name that our own hash gave the block, whatever the adapter calls it.
            let count = core.journal_id(&block).and_then(|id| self.ask(&id, coord));
            if self.note(core, &block, count)
                && let Some(chain) = core.chain()
            {
                chain.look_again();
            }
        }
    }

    /// The next block whose turn it is; `None` at the end.
    fn next(&self) -> Option<(Vec<u8>, u64)> {
        let mut inner = self.inner.lock();
        loop {
            if inner.end {
                return None;
            }
            let now = Instant::now();
            inner.asked.retain(|_, asked| now.saturating_duration_since(asked.wanted) < FORGET);
            let first = inner.asked.iter().filter(|(_, asked)| !self.is_deep(asked.count));
            match first.min_by_key(|(_, asked)| asked.due).map(|(block, asked)| (block.clone(), asked)) {
                Some((block, asked)) if asked.due <= now => return Some((block, asked.coord)),
                Some((_, asked)) => {
                    let due = asked.due;
                    self.news.wait_until(&mut inner, due);
                }
                None => self.news.wait(&mut inner),
            }
        }
    }

    fn is_deep(&self, count: Option<u32>) -> bool {
        count.is_some_and(|count| count >= self.confirmations)
    }

    /// The least count of the nodes that answer.
    fn ask(&self, id: &[u8], coord: u64) -> Option<u32> {
        let count = |node: &NodeRpc<JsonRpc>| match depth(node, id, coord) {
            Ok(count) => Some(count),
            Err(why) => {
                tracing::info!(%why, "a node did not say how deep a block is");
                None
            }
        };
        self.nodes.iter().filter_map(count).min()
    }

    /// Notes an answer; whether it is deep enough now.
    fn note(&self, core: &Core, block: &[u8], count: Option<u32>) -> bool {
        let mut inner = self.inner.lock();
        let Some(asked) = inner.asked.get_mut(block) else { return false };
        let now = Instant::now();
        asked.count = count.or(asked.count);
        asked.due = now + AGAIN;
        let deep = self.is_deep(asked.count);
        let tell = !deep && !asked.told && now.saturating_duration_since(asked.since) >= GRACE;
        asked.told |= tell;
        let settled = deep && asked.told;
        let others_wait = inner.asked.values().any(|asked| asked.told && !self.is_deep(asked.count));
        drop(inner);
        if tell {
            let (block, needed) = (hex::encode(block), self.confirmations);
            let text = match count {
                Some(count) => format!(
                    "the adapter calls the income of block {block} mature, and a node asked by the host has it {count} \
                     blocks deep of {needed}: it waits; compare the nodes' chains"
                ),
                None => format!(
                    "the adapter calls the income of block {block} mature, and no node answers the host about it: it \
                     waits"
                ),
            };
            core.alarm(Level::Critical, "maturity", text);
        }
        if settled && !others_wait {
            core.alarms.clear(core.name.as_str(), "maturity");
        }
        deep
    }

    /// After an end: whoever asks next is not ended at once.
    pub(crate) fn begin(&self) {
        self.inner.lock().end = false;
    }

    pub(crate) fn end(&self) {
        self.inner.lock().end = true;
        self.news.notify_all();
    }
}

impl Maturity for NodesCount {
    fn confirmations(&self, _: &[u8], block: &[u8], coord: u64) -> Option<u32> {
        if block.is_empty() {
            return None;
        }
        let now = Instant::now();
        let mut inner = self.inner.lock();
        if let Some(asked) = inner.asked.get_mut(block) {
            asked.wanted = now;
            return asked.count;
        }
        if inner.asked.len() < BLOCKS {
            let asked = Asked { coord, count: None, since: now, wanted: now, due: now, told: false };
            inner.asked.insert(block.to_vec(), asked);
            self.news.notify_all();
        }
        None
    }
}
