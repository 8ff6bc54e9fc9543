//! A mock Bitcoin node: it answers what pool servers ask, hands out templates of any size whose target no share meets,
//! and makes a new block when it is told to. It checks what is submitted for real (work, parent, merkle root, height,
//! commitment), and writes each answer at once, so that the moment of a template's last byte is known.
//!
//! There is no chain behind it: its blocks have no work, its transactions spend what never was. Any user and password
//! may come in, so it listens on loopback unless told otherwise.

mod client;
mod http;
mod rpc;
mod template;

pub use client::OtherBlocks;
pub use template::Shape;

use crate::fleet::{Blocks, LoadError};
use crate::mark;
use bitcoin::BlockHash;
use parking_lot::{Condvar, Mutex};
use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use template::{Made, Tip};

/// Blocks that are remembered: what pools ask about.
const REMEMBERED: usize = 4096;

/// What the node knows.
struct State {
    /// The blocks, oldest first, with their headers.
    blocks: Vec<Tip>,
    template: Arc<Made>,
    /// When the last byte of the first template on a block was written.
    handed_out: HashMap<BlockHash, Instant>,
    /// Blocks that were submitted and taken.
    taken: u64,
    /// What was submitted and refused, newest last.
    refused: Vec<String>,
}

struct Shared {
    shape: Shape,
    state: Mutex<State>,
    /// Longpolls wait for it.
    moved: Condvar,
    stopped: AtomicBool,
}

/// A running mock node. It ends when this is dropped.
pub struct MockNode {
    shared: Arc<Shared>,
    address: SocketAddr,
}

impl MockNode {
    /// Starts to listen.
    ///
    /// # Errors
    /// When the address cannot be had.
    pub fn start(listen: SocketAddr, shape: Shape) -> io::Result<Self> {
        let listener = TcpListener::bind(listen)?;
        let address = listener.local_addr()?;
        let tip = Tip::first(&shape);
        let template = Arc::new(Made::on(&tip, &shape, 0));
        let state =
            State { blocks: vec![tip], template, handed_out: HashMap::new(), taken: 0, refused: Vec::new() };
        let shared = Arc::new(Shared {
            shape,
            state: Mutex::new(state),
            moved: Condvar::new(),
            stopped: AtomicBool::new(false),
        });
        let serving = Arc::clone(&shared);
        std::thread::Builder::new()
            .name("mock-node".to_owned())
            .spawn(move || http::serve(&listener, &serving))?;
        Ok(Self { shared, address })
    }

    /// `http://address:port`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The tip's hash as nodes show it, and its height.
    #[must_use]
    pub fn tip(&self) -> (String, u32) {
        let state = self.shared.state.lock();
        state.blocks.last().map(|tip| (tip.hash.to_string(), tip.height)).unwrap_or_default()
    }

    /// Bytes of a template as it is answered.
    #[must_use]
    pub fn template_bytes(&self) -> usize {
        self.shared.state.lock().template.json.len()
    }

    /// Makes a block on the tip, and a template on that. Returns its hash as nodes show it, and the moment from which it
    /// is handed out.
    pub fn new_block(&self) -> (String, Instant) {
        let (hash, at) = self.shared.new_block(None);
        (hash.to_string(), at)
    }

    /// When the last byte of the first template on a block was written. The hash is as nodes show it.
    #[must_use]
    pub fn handed_out(&self, hash: &str) -> Option<Instant> {
        let hash: BlockHash = hash.parse().ok()?;
        self.shared.state.lock().handed_out.get(&hash).copied()
    }

    /// Blocks that were submitted and taken.
    #[must_use]
    pub fn taken(&self) -> u64 {
        self.shared.state.lock().taken
    }
}

impl Drop for MockNode {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::Relaxed);
        self.shared.moved.notify_all();
        // Wakes the listener, which then sees that it is over.
        let _ = std::net::TcpStream::connect_timeout(&self.address, Duration::from_secs(1));
    }
}

impl Shared {
    /// Moves on to a block: a given one, or a made-up one on the tip. The template is made before the tip moves, so that
    /// making it costs nobody who waits.
    fn new_block(&self, given: Option<Tip>) -> (BlockHash, Instant) {
        let (tip, number) = {
            let state = self.state.lock();
            let made = given
                .unwrap_or_else(|| state.blocks.last().map_or_else(|| Tip::first(&self.shape), Tip::next));
            (made, state.template.number + 1)
        };
        let template = Arc::new(Made::on(&tip, &self.shape, number));
        let hash = tip.hash;
        let mut state = self.state.lock();
        state.blocks.push(tip);
        if state.blocks.len() > REMEMBERED {
            let old = state.blocks.remove(0);
            state.handed_out.remove(&old.hash);
        }
        state.template = template;
        let at = Instant::now();
        drop(state);
        self.moved.notify_all();
        (hash, at)
    }

    /// Waits until the tip is another one than this, or for a time.
    fn wait(&self, tip: &BlockHash, most: Duration) {
        let until = Instant::now() + most;
        let mut state = self.state.lock();
        while state.blocks.last().is_some_and(|last| last.hash == *tip)
            && !self.stopped.load(Ordering::Relaxed)
            && !self.moved.wait_until(&mut state, until).timed_out()
        {}
    }

    fn handed_out(&self, parent: BlockHash) {
        self.state.lock().handed_out.entry(parent).or_insert_with(Instant::now);
    }
}

/// A node in this process makes the blocks.
pub struct OwnBlocks<'a> {
    node: &'a MockNode,
    hashes: HashMap<u64, String>,
}

impl<'a> OwnBlocks<'a> {
    /// Of this node.
    #[must_use]
    pub fn new(node: &'a MockNode) -> Self {
        Self { node, hashes: HashMap::new() }
    }
}

impl Blocks for OwnBlocks<'_> {
    fn make(&mut self) -> Result<(u64, Instant), LoadError> {
        let (hash, at) = self.node.new_block();
        let mark = mark(&hash);
        self.hashes.insert(mark, hash);
        Ok((mark, at))
    }

    fn handed_out(&mut self, mark: u64) -> Result<Option<Instant>, LoadError> {
        Ok(self.hashes.get(&mark).and_then(|hash| self.node.handed_out(hash)))
    }
}
