//! `millpond-node` as the actor's way to the nodes.

use crate::handle::ChainHandle;
use crate::port::{Answered, NodeAnswer, NodeCall, NodePort};
use millpond_contracts::chain::{self, Description, NodeError, NodeErrorKind};
use millpond_node::{CallError, ErrorKind, Events, NodeEvent, Nodes, Transport, TransportKind};
use parking_lot::Mutex;
use std::collections::BTreeSet;
use std::sync::{Arc, Weak};
use tokio::runtime::Handle;

/// The nodes of a pool behind [`NodePort`].
pub struct NodesPort {
    nodes: Nodes,
    /// Names of the transports, by their numbers in `nodes`.
    transports: Vec<String>,
    unfit: Arc<Mutex<BTreeSet<u16>>>,
    runtime: Handle,
}

impl NodesPort {
    /// An adapter's transports as `Nodes::start` takes them.
    #[must_use]
    pub fn transports(description: &Description) -> Vec<Transport> {
        let kind = |kind| match kind {
            chain::TransportKind::JsonrpcHttp => TransportKind::JsonRpcHttp,
            chain::TransportKind::JsonrpcWs => TransportKind::JsonRpcWs,
            chain::TransportKind::GrpcStream => TransportKind::GrpcStream,
            chain::TransportKind::GrpcUnary => TransportKind::GrpcUnary,
            chain::TransportKind::ZmqSub => TransportKind::ZmqSub,
            chain::TransportKind::Webhook => TransportKind::Webhook,
        };
        let transport = |t: &chain::Transport| Transport {
            name: t.name.clone(),
            kind: kind(t.kind),
            methods: t.methods.clone(),
        };
        description.transports.iter().map(transport).collect()
    }

    /// Over started nodes; `transports` are the names in the order the nodes were started with. Calls run on this
    /// runtime.
    #[must_use]
    pub fn new(nodes: Nodes, transports: Vec<String>, runtime: Handle) -> Self {
        Self { nodes, transports, unfit: Arc::default(), runtime }
    }

    /// Passes link changes and pushes on to the chain, until either ends.
    pub fn forward(&self, mut events: Events, chain: Weak<ChainHandle>) {
        let (transports, unfit) = (self.transports.clone(), Arc::clone(&self.unfit));
        self.runtime.spawn(async move {
            loop {
                let event = events.next().await;
                let Some(chain) = chain.upgrade() else { return };
                match event {
                    NodeEvent::Link { link, up } => {
                        // Whatever made it unfit is looked at afresh.
                        unfit.lock().remove(&link);
                        chain.link(link, up);
                    }
                    NodeEvent::Push { link, transport, topic, data } => {
                        if let Some(name) = transports.get(usize::from(transport)) {
                            chain.push(link, name, &topic, data);
                        }
                    }
                }
            }
        });
    }

    /// The node for a call without a link: the first that is up and fit, else the first that is up, else the first.
    fn active(&self) -> u16 {
        let unfit = self.unfit.lock();
        let links = 0..self.nodes.len();
        let fit = links.clone().find(|link| self.nodes.is_up(*link) && !unfit.contains(link));
        fit.or_else(|| links.clone().find(|link| self.nodes.is_up(*link))).unwrap_or(0)
    }
}

/// Which room a call takes at its node.
enum Purpose {
    Call,
    Submission,
}

impl NodesPort {
    fn make(&self, call: NodeCall, purpose: Purpose, answered: Answered) {
        let link = call.link.unwrap_or_else(|| self.active());
        let transport = self.transports.iter().position(|name| *name == call.transport_name);
        let Some(transport) = transport.and_then(|at| u16::try_from(at).ok()) else {
            let message = format!("no node has a transport {:?}", call.transport_name);
            let error = NodeError { kind: NodeErrorKind::Denied, code: 0, message };
            return answered(NodeAnswer { link, outcome: Err(error) });
        };
        let nodes = self.nodes.clone();
        self.runtime.spawn(async move {
            let NodeCall { method, body, timeout, .. } = call;
            let outcome = match purpose {
                Purpose::Call => nodes.call(link, transport, &method, &body, timeout).await,
                Purpose::Submission => nodes.submit(link, transport, &method, &body, timeout).await,
            };
            let outcome = outcome.map_err(|error| told(&error));
            answered(NodeAnswer { link, outcome });
        });
    }
}

/// An error in the contract's terms.
fn told(error: &CallError) -> NodeError {
    let kind = match error.kind() {
        ErrorKind::Timeout => NodeErrorKind::Timeout,
        ErrorKind::Unreachable => NodeErrorKind::Unreachable,
        ErrorKind::Refused => NodeErrorKind::Refused,
        ErrorKind::Rpc => NodeErrorKind::Rpc,
        ErrorKind::TooLarge => NodeErrorKind::TooLarge,
        ErrorKind::Denied => NodeErrorKind::Denied,
    };
    NodeError { kind, code: error.code(), message: millpond_runtime::clean(&error.to_string(), 512) }
}

impl NodePort for NodesPort {
    fn links(&self) -> u16 {
        self.nodes.len()
    }

    fn call(&self, call: NodeCall, answered: Answered) {
        self.make(call, Purpose::Call, answered);
    }

    fn submit(&self, call: NodeCall, answered: Answered) {
        self.make(call, Purpose::Submission, answered);
    }

    fn send(&self, link: u16, transport_name: &str, _message: Vec<u8>) -> Result<(), NodeError> {
        let message =
            format!("node {link} has no open stream on transport {transport_name:?}: this build has none");
        Err(NodeError { kind: NodeErrorKind::Denied, code: 0, message })
    }

    fn unfit(&self, link: u16, reason: &str) {
        tracing::warn!(link, reason, "a node is unfit");
        self.unfit.lock().insert(link);
    }
}
