//! Several nodes, each with the transports that the adapter named and the operator granted.

use crate::events::{self, EventSink, Events};
use crate::link::{self, Backoff, Link};
use crate::zmtp::{self, Subscription};
use crate::{Answer, CallError, Endpoint, JsonRpc, Limits, NodeError, NodeEvent};
use bytes::Bytes;
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::task::AbortHandle;

/// How a transport speaks, as the chain contract lists it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TransportKind {
    /// JSON-RPC over HTTP.
    JsonRpcHttp,
    /// JSON-RPC over a websocket. Not in this build.
    JsonRpcWs,
    /// A bidirectional gRPC stream. Not in this build.
    GrpcStream,
    /// Single gRPC calls. Not in this build.
    GrpcUnary,
    /// A ZMQ subscription.
    ZmqSub,
    /// HTTP requests that the node makes. Not in this build.
    Webhook,
}

/// A transport as the adapter's description names it and the operator granted it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transport {
    /// Its name, by which a node's configuration gives it an address.
    pub name: String,
    /// How it speaks.
    pub kind: TransportKind,
    /// The methods, or the topics of a subscription. Nothing else is called or passed on.
    pub methods: Vec<String>,
}

/// Where a node offers one transport.
#[derive(Clone, Debug)]
pub enum Address {
    /// An HTTP endpoint.
    Http(Endpoint),
    /// A ZMQ publisher, `tcp://host:port`.
    Zmq(String),
}

/// One node of the operator's.
#[derive(Clone, Debug)]
pub struct NodeSpec {
    /// Its name in logs.
    pub name: String,
    /// Addresses by the transports' names. A subscription may be left out: then there are no pushes from this node.
    pub addresses: Vec<(String, Address)>,
}

/// Limits and pauses.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Of each HTTP client.
    pub limits: Limits,
    /// The first pause before a node that is down is tried again; each further one is twice as long.
    pub first_pause: Duration,
    /// The longest such pause.
    pub longest_pause: Duration,
    /// Calls in flight per node; further ones wait for a place. Bitcoin Core queues 64 and works on 16 at once by default.
    pub calls: usize,
    /// Submissions in flight per node, beside the calls.
    pub submissions: usize,
    /// How long a node counts as unfit after the adapter said so.
    pub unfit: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            first_pause: Duration::from_millis(250),
            longest_pause: Duration::from_secs(30),
            calls: 16,
            submissions: 8,
            unfit: Duration::from_secs(60),
        }
    }
}

/// All nodes of a pool. Cheap to clone; the watchers end when the last clone goes.
#[derive(Clone, Debug)]
pub struct Nodes(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    transports: Vec<Transport>,
    nodes: Vec<Node>,
    tasks: Vec<AbortHandle>,
    unfit: Duration,
}

#[derive(Debug)]
struct Node {
    name: String,
    /// By the transport's number; none for subscriptions.
    clients: Vec<Option<JsonRpc>>,
    link: Arc<Link>,
    calls: Semaphore,
    submissions: Semaphore,
    /// Until when others are preferred.
    unfit_until: Mutex<Option<Instant>>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl Nodes {
    /// Starts to watch all nodes; must be called inside a tokio runtime. A node's number (its link) is its place in
    /// `nodes`, a transport's number its place in `transports`. Each node is told as up, by an event, once it can be
    /// reached, and as down when the first attempt fails.
    ///
    /// # Errors
    /// When an address is missing, of the wrong kind or not understood, or a transport's kind is not in this build.
    pub fn start(
        transports: Vec<Transport>,
        nodes: Vec<NodeSpec>,
        options: Options,
    ) -> Result<(Self, Events), NodeError> {
        let count = nodes.len();
        let (sink, events) = events::channel();
        let mut plans = Vec::new();
        for (number, spec) in nodes.into_iter().enumerate() {
            let number = u16::try_from(number).map_err(|_| NodeError::TooMany(count))?;
            plans.push(plan(number, spec, &transports, options)?);
        }
        // Nothing is started before everything was understood.
        let mut built = Vec::new();
        let mut tasks = Vec::new();
        for plan in plans {
            tasks.extend(plan.start(options, &sink, &mut built));
        }
        Ok((Self(Arc::new(Inner { transports, nodes: built, tasks, unfit: options.unfit })), events))
    }

    /// How many nodes there are; links are numbered from 0.
    #[must_use]
    pub fn len(&self) -> u16 {
        u16::try_from(self.0.nodes.len()).unwrap_or(u16::MAX)
    }

    /// Whether there is no node.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.nodes.is_empty()
    }

    /// Whether a node can be reached, as far as is known.
    #[must_use]
    pub fn is_up(&self, link: u16) -> bool {
        self.0.nodes.get(usize::from(link)).is_some_and(|node| node.link.is_up())
    }

    /// The node for calls that name none: the first that can be reached and is fit, else the first that can be
    /// reached, else the first. None without nodes.
    #[must_use]
    pub fn active(&self) -> Option<u16> {
        let now = Instant::now();
        let up = || self.0.nodes.iter().enumerate().filter(|(_, node)| node.link.is_up());
        let fit = |node: &Node| node.unfit_until.lock().is_none_or(|until| until <= now);
        let best = up().find(|(_, node)| fit(node)).or_else(|| up().next()).map_or(0, |(number, _)| number);
        if self.is_empty() { None } else { u16::try_from(best).ok() }
    }

    /// Prefers other nodes for calls that name none, for [`Options::unfit`]: this one is behind, syncing or on
    /// another network. The adapter says so again while it holds.
    pub fn unfit(&self, link: u16, reason: &str) {
        if let Some(node) = self.0.nodes.get(usize::from(link)) {
            tracing::warn!(link, node = %node.name, reason, "node unfit");
            *node.unfit_until.lock() = Instant::now().checked_add(self.0.unfit);
        }
    }

    /// A node's name, for messages.
    #[must_use]
    pub fn name(&self, link: u16) -> Option<&str> {
        self.0.nodes.get(usize::from(link)).map(|node| node.name.as_str())
    }

    /// Calls a granted method of one node. `params` is a JSON array or object, empty for none; the answer is the
    /// text of the `result` member, a slice of the node's own response. A call that waits long has a connection of
    /// its own. Beyond [`Options::calls`] in flight a call waits for its place, within its time.
    ///
    /// # Errors
    /// As [`CallError`] says; [`CallError::Denied`] for what is not granted.
    pub async fn call(
        &self,
        link: u16,
        transport: u16,
        method: &str,
        params: &[u8],
        timeout: Duration,
    ) -> Result<Bytes, CallError> {
        let (node, client) = self.granted(link, transport, method)?;
        let (_place, left) = place(&node.calls, client, timeout).await?;
        let outcome = client.call(method, params, left).await;
        node.link.observe(&outcome);
        outcome
    }

    /// As [`Nodes::call`], for solved work: with places of its own, so that no other call holds it up, and an error
    /// of the node's own is an answer: the text of the `result` or of the `error` member.
    ///
    /// # Errors
    /// As [`CallError`] says, without [`CallError::Rpc`].
    pub async fn submit(
        &self,
        link: u16,
        transport: u16,
        method: &str,
        params: &[u8],
        timeout: Duration,
    ) -> Result<Bytes, CallError> {
        let (node, client) = self.granted(link, transport, method)?;
        let (_place, left) = place(&node.submissions, client, timeout).await?;
        let outcome = client.answer(method, params, left).await;
        node.link.observe(&outcome);
        outcome.map(Answer::into_text)
    }

    fn granted(&self, link: u16, transport: u16, method: &str) -> Result<(&Node, &JsonRpc), CallError> {
        let denied = |why: String| Err(CallError::Denied(why));
        let Some(node) = self.0.nodes.get(usize::from(link)) else {
            return denied(format!("there is no node {link}"));
        };
        let Some(granted) = self.0.transports.get(usize::from(transport)) else {
            return denied(format!("there is no transport {transport}"));
        };
        let Some(client) = node.clients.get(usize::from(transport)).and_then(Option::as_ref) else {
            return denied(format!("the transport {:?} takes no calls", granted.name));
        };
        if !granted.methods.iter().any(|name| name == method) {
            return denied(format!(
                "the method {method:?} is not granted on the transport {:?}",
                granted.name
            ));
        }
        Ok((node, client))
    }
}

/// A place among a node's calls, and what is left of the call's time.
async fn place<'a>(
    places: &'a Semaphore,
    client: &JsonRpc,
    timeout: Duration,
) -> Result<(SemaphorePermit<'a>, Duration), CallError> {
    if let Ok(place) = places.try_acquire() {
        return Ok((place, timeout));
    }
    let began = Instant::now();
    match tokio::time::timeout(timeout, places.acquire()).await {
        Ok(Ok(place)) => Ok((place, timeout.saturating_sub(began.elapsed()))),
        Ok(Err(_)) => Err(CallError::Denied("the nodes are ending".to_owned())),
        Err(_) => Err(CallError::Timeout {
            at: client.at().to_owned(),
            ms: u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX),
        }),
    }
}

struct Plan {
    number: u16,
    name: String,
    clients: Vec<Option<JsonRpc>>,
    subscriptions: Vec<(u16, Subscription)>,
    /// What is tried to learn whether the node is up.
    probe: Option<String>,
}

fn plan(number: u16, spec: NodeSpec, transports: &[Transport], options: Options) -> Result<Plan, NodeError> {
    let mut plan =
        Plan { number, name: spec.name, clients: Vec::new(), subscriptions: Vec::new(), probe: None };
    for (place, transport) in transports.iter().enumerate() {
        let address =
            spec.addresses.iter().find(|(name, _)| *name == transport.name).map(|(_, address)| address);
        let names = || (plan.name.clone(), transport.name.clone());
        let wrong = |expected| {
            let (node, transport) = names();
            NodeError::WrongKind { node, transport, expected }
        };
        let client = match (transport.kind, address) {
            (TransportKind::JsonRpcHttp, Some(Address::Http(endpoint))) => {
                let client = JsonRpc::new(endpoint.clone(), options.limits)?;
                plan.probe.get_or_insert_with(|| client.at().to_owned());
                Some(client)
            }
            (TransportKind::JsonRpcHttp, Some(Address::Zmq(_))) => return Err(wrong("an HTTP address")),
            (TransportKind::JsonRpcHttp, None) => {
                let (node, transport) = names();
                return Err(NodeError::Missing { node, transport });
            }
            (TransportKind::ZmqSub, Some(Address::Zmq(url))) => {
                let authority = zmtp::authority(url)?;
                let topics = transport.methods.clone();
                let place = u16::try_from(place).map_err(|_| NodeError::TooMany(place))?;
                plan.subscriptions
                    .push((place, Subscription { authority, topics, max_part: options.limits.body }));
                None
            }
            (TransportKind::ZmqSub, Some(Address::Http(_))) => return Err(wrong("tcp://host:port")),
            (TransportKind::ZmqSub, None) => None,
            (kind, _) => {
                return Err(NodeError::Unsupported {
                    transport: transport.name.clone(),
                    kind: format!("{kind:?}"),
                });
            }
        };
        plan.clients.push(client);
    }
    if plan.probe.is_none() {
        plan.probe = plan.subscriptions.first().map(|(_, subscription)| subscription.authority.clone());
    }
    Ok(plan)
}

impl Plan {
    fn start(self, options: Options, sink: &EventSink, built: &mut Vec<Node>) -> Vec<AbortHandle> {
        let backoff = Backoff { first: options.first_pause, longest: options.longest_pause };
        let link = Arc::new(Link::default());
        let mut tasks = Vec::new();
        if let Some(probe) = self.probe {
            let watcher =
                link::watch(link.clone(), self.number, probe, options.limits.connect, backoff, sink.clone());
            tasks.push(tokio::spawn(watcher).abort_handle());
        }
        for (transport, subscription) in self.subscriptions {
            let (sink, number) = (sink.clone(), self.number);
            let connect = options.limits.connect;
            tasks.push(
                tokio::spawn(async move {
                    follow(&subscription, connect, backoff, |topic, data| {
                        sink.send(NodeEvent::Push { link: number, transport, topic, data });
                    })
                    .await;
                })
                .abort_handle(),
            );
        }
        built.push(Node {
            name: self.name,
            clients: self.clients,
            link,
            calls: Semaphore::new(options.calls),
            submissions: Semaphore::new(options.submissions),
            unfit_until: Mutex::new(None),
        });
        tasks
    }
}

/// Keeps a subscription alive for as long as the task lives.
async fn follow(
    subscription: &Subscription,
    connect: Duration,
    backoff: Backoff,
    mut deliver: impl FnMut(String, Bytes),
) {
    let mut pause = backoff.first;
    loop {
        let mut messages = 0_u64;
        let ended = subscription
            .run(connect, |message| {
                messages = messages.saturating_add(1);
                if let Some((topic, data)) = message.topic_and_data() {
                    deliver(topic, data);
                }
            })
            .await;
        tracing::warn!(publisher = %subscription.authority, error = %ended, "subscription ended");
        if messages > 0 {
            pause = backoff.first;
        }
        tokio::time::sleep(pause).await;
        pause = pause.saturating_mul(2).min(backoff.longest);
    }
}
