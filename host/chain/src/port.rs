//! The way to the nodes: what the actor needs from `millpond-node`, as a trait, so that tests bring nodes of their own.

use bytes::Bytes;
use millpond_contracts::chain::NodeError;
use std::time::Duration;

/// A call that has passed the grants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeCall {
    /// The node; none for the active one.
    pub link: Option<u16>,
    /// Index into the adapter's transports.
    pub transport: u16,
    /// The transport's name in the operator's configuration.
    pub transport_name: String,
    /// The method.
    pub method: String,
    /// For JSON-RPC the parameters only: the port writes envelope and authentication.
    pub body: Vec<u8>,
    /// How long to wait.
    pub timeout: Duration,
}

/// A node's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeAnswer {
    /// The node that answered, or that would have.
    pub link: u16,
    /// For JSON-RPC the value of `result`.
    pub outcome: Result<Bytes, NodeError>,
}

/// Called exactly once with the answer, on any thread; it does not block.
pub type Answered = Box<dyn FnOnce(NodeAnswer) + Send>;

/// The nodes of one pool. Everything returns at once; nothing is retried. Pushes and link changes go to
/// [`crate::ChainHandle::link`] and [`crate::ChainHandle::push`].
pub trait NodePort: Send + Sync {
    /// How many nodes there are; links are numbered from 0.
    fn links(&self) -> u16;
    /// Makes a call and answers it once, an unreachable node and a timeout included.
    fn call(&self, call: NodeCall, answered: Answered);
    /// Submits solved work, and answers once. The adapter's calls must not hold it up: it has room of its own. For
    /// JSON-RPC the answer is the text of `result`, or of the `error` object if the node sent one; an error is only
    /// that no answer came.
    fn submit(&self, call: NodeCall, answered: Answered);
    /// Writes one message on an open stream.
    ///
    /// # Errors
    /// When there is no such stream or it is down.
    fn send(&self, link: u16, transport_name: &str, message: Vec<u8>) -> Result<(), NodeError>;
    /// The adapter found a node unfit (behind, wrong network): prefer another one for calls without a link.
    fn unfit(&self, link: u16, reason: &str);
}
