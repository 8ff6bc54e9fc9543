//! `millpond:chain` as plain Rust: the records between the host and a chain adapter.
//!
//! Amounts are ledger units, hashes and targets are bytes in the order the field says, times are Unix
//! milliseconds. Nothing here is checked yet: `millpond-chain` checks before anything counts.

use bytes::Bytes;
use millpond_types::Amount;
use serde::{Deserialize, Serialize};

pub use crate::chain_adapter::{AdapterActor, ChainAdapter, Optional, PowFigures};

/// Pairs that both sides ignore when they do not know the key.
pub type Extra = Vec<(String, Vec<u8>)>;

/// What an adapter says of itself and its network, once per instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Description {
    /// The network's name, such as `regtest`.
    pub network: String,
    /// Recipe documents; a job names one by its index.
    pub recipes: Vec<String>,
    /// Dialect documents.
    pub dialects: Vec<String>,
    /// What the adapter wants to reach; the operator grants exactly these at install.
    pub transports: Vec<Transport>,
    /// Target of difficulty 1, 32 bytes big-endian; a dialect may override it.
    pub diff1: Vec<u8>,
    /// One work unit is 2^work_shift expected hashes.
    pub work_shift: u8,
    /// Chain base units per ledger unit.
    pub scale: u64,
    /// Decimal places of the ledger unit.
    pub decimals: u8,
    /// Bytes of the extranonce, prefix and suffix together; 0 for none.
    pub extranonce: u8,
    /// Depth after which an income cannot be lost.
    pub final_after: u32,
    /// The settlement driver: `jsonrpc-sendmany`, `signer:<family>` or `none`.
    pub settlement: String,
    /// Growth inside a version.
    pub extra: Extra,
}

/// The kind of a transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TransportKind {
    /// JSON-RPC over HTTP.
    JsonrpcHttp,
    /// JSON-RPC over a web socket.
    JsonrpcWs,
    /// A gRPC stream.
    GrpcStream,
    /// Single gRPC calls.
    GrpcUnary,
    /// A ZMQ subscription.
    ZmqSub,
    /// Requests that the node makes to us.
    Webhook,
}

/// A transport and the methods, paths or topics on it that the adapter wants.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transport {
    /// Its name in the operator's configuration.
    pub name: String,
    /// Its kind.
    pub kind: TransportKind,
    /// Methods, paths or topics.
    pub methods: Vec<String>,
}

/// One event to the actor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Ascending within an instance's life, from 1.
    pub seq: u64,
    /// The only clock an adapter has.
    pub now_ms: u64,
    /// What happened.
    pub what: Happening,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Happening {
    /// First in an instance's life, also after a trap or a swap.
    Start(Start),
    /// A node went up or down.
    Link {
        /// The node.
        link: u16,
        /// Up or down.
        up: bool,
    },
    /// The answer to a call, exactly one each.
    Reply(Reply),
    /// A message from a node.
    Push(Push),
    /// A timer of this id ran out.
    Timer(u32),
    /// Who is paid in the coinbase, as of a revision.
    Outputs {
        /// The revision, ascending.
        revision: u64,
        /// Payees and weights.
        outputs: Vec<Output>,
    },
    /// Merged-mining commitments, as of a revision.
    Aux {
        /// The revision, ascending.
        revision: u64,
        /// The commitments.
        aux: Vec<Aux>,
    },
    /// A block of ours was submitted: follow it.
    Watch(Watched),
    /// Growth inside a version.
    Other(String, Vec<u8>),
}

/// What an instance starts from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Start {
    /// What the adapter saved last.
    pub saved: Vec<u8>,
    /// Blocks of ours that are not final.
    pub watching: Vec<Watched>,
    /// The revision of `outputs` and `aux`.
    pub revision: u64,
    /// Who is paid in the coinbase.
    pub outputs: Vec<Output>,
    /// Merged-mining commitments.
    pub aux: Vec<Aux>,
}

/// The answer to a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reply {
    /// The call's id.
    pub id: u64,
    /// The node that answered.
    pub link: u16,
    /// Its answer (JSON-RPC: the value of `result`), or why there is none.
    #[serde(with = "outcome")]
    pub outcome: Result<Bytes, NodeError>,
    /// The id under which the host keeps the answer's bytes for a job.
    pub body: u64,
}

/// An answer's bytes as a list of numbers, as all other bytes are written.
mod outcome {
    use super::NodeError;
    use bytes::Bytes;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    type Outcome = Result<Bytes, NodeError>;

    pub(super) fn serialize<S: Serializer>(outcome: &Outcome, to: S) -> Result<S::Ok, S::Error> {
        outcome.as_deref().serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Outcome, D::Error> {
        Ok(Result::<Vec<u8>, NodeError>::deserialize(from)?.map(Bytes::from))
    }
}

/// Why a node gave no answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{kind:?} {code}: {message}")]
pub struct NodeError {
    /// The class of failure.
    pub kind: NodeErrorKind,
    /// The node's error code, or 0.
    pub code: i64,
    /// The node's or the transport's words.
    pub message: String,
}

/// Classes of failure of a call to a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum NodeErrorKind {
    /// No answer in time.
    Timeout,
    /// No connection.
    Unreachable,
    /// The connection or the credentials were refused.
    Refused,
    /// The node answered with an error.
    Rpc,
    /// The answer exceeds the limit.
    TooLarge,
    /// The operator has not granted this.
    Denied,
}

/// A message from a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Push {
    /// The node.
    pub link: u16,
    /// Index into the description's transports.
    pub transport: u16,
    /// Topic, method or path.
    pub topic: String,
    /// The message.
    pub data: Vec<u8>,
    /// The id under which the host keeps the bytes for a job.
    pub body: u64,
}

/// A payee of the coinbase and his weight.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Output {
    /// The payee, in the chain's own bytes (for Bitcoin the output script).
    pub payee: Vec<u8>,
    /// His weight among all.
    pub weight: u64,
}

/// A merged-mining commitment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Aux {
    /// The chain's id.
    pub chain: Vec<u8>,
    /// The hash to commit to.
    pub hash: Vec<u8>,
}

/// A block of ours that the adapter follows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watched {
    /// The block's id as `assemble` gave it.
    pub block: Vec<u8>,
    /// Its height or score.
    pub coord: u64,
    /// When it was found.
    pub since_ms: u64,
    /// The adapter's saved bytes when it was found.
    pub saved: Vec<u8>,
}

/// What an adapter wants done. Of one event all apply or none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Action {
    /// Call a granted method.
    Call(Call),
    /// One message on an open stream.
    Send {
        /// The node.
        link: u16,
        /// Index into the description's transports.
        transport: u16,
        /// The message.
        message: Vec<u8>,
    },
    /// A one-shot timer; 0 ms cancels.
    Timer {
        /// Its id, at most 64 at a time.
        id: u32,
        /// Milliseconds from now, at least 10.
        ms: u32,
    },
    /// A job for the miners.
    Publish(Job),
    /// The chain's tip moved: jobs on another parent are stale now.
    Tip {
        /// The new parent.
        parent: Vec<u8>,
        /// Its successor's coordinate.
        coord: u64,
    },
    /// The fate of a block.
    Fate {
        /// The block's id.
        block: Vec<u8>,
        /// Its fate.
        fate: Fate,
    },
    /// Money that the pool earned; idempotent on its key.
    Income(Income),
    /// An income is gone, on positive proof.
    IncomeLost(Vec<u8>),
    /// A node is unfit, and why.
    Unfit {
        /// The node.
        link: u16,
        /// Why.
        reason: String,
    },
    /// Replaces the saved bytes.
    Save(Vec<u8>),
    /// Tell the operator.
    Alarm {
        /// Publish no more jobs.
        stop: bool,
        /// Why.
        text: String,
    },
    /// Growth inside a version.
    Other(String, Vec<u8>),
}

/// A call to a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// The adapter's id for the reply.
    pub id: u64,
    /// Index into the description's transports.
    pub transport: u16,
    /// A granted method.
    pub method: String,
    /// The body; for JSON-RPC the parameters only.
    pub body: Vec<u8>,
    /// The node; none for the active one.
    pub link: Option<u16>,
    /// How long to wait.
    pub timeout_ms: u32,
}

/// The fate of a block.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fate {
    /// In a node but below `accepted`, with this many confirmations.
    Pending(u32),
    /// In the chain, with this many confirmations.
    Accepted(u32),
    /// Another block took its place.
    Orphan(String),
    /// It cannot be lost any more.
    Final,
}

/// Money that the pool earned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Income {
    /// Unique: block hash, outpoint or the like.
    pub key: Vec<u8>,
    /// Ledger units.
    pub amount: Amount,
    /// Whose window it pays.
    pub at: IncomeAt,
    /// Reported again with `true` once mature.
    pub mature: bool,
}

/// Whose window an income pays.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum IncomeAt {
    /// The window that ends at the share of this block of ours.
    Block(Vec<u8>),
    /// The window that ends at this coordinate.
    Coord(u64),
}

/// Work for miners.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// The block it builds on.
    pub parent: Vec<u8>,
    /// Height or score.
    pub coord: u64,
    /// Index into the description's recipes; 65535 for an aux job.
    pub recipe: u16,
    /// The recipe's constants, in order.
    pub consts: Vec<Vec<u8>>,
    /// 32 bytes big-endian.
    pub network_target: Vec<u8>,
    /// Expected, in ledger units.
    pub reward: Amount,
    /// Revision of the outputs that the coinbase carries.
    pub outputs_rev: u64,
    /// Revision of the merged-mining commitments it carries.
    pub aux_rev: u64,
    /// Contexts (algorithm, key) to build ahead.
    pub warm: Vec<(String, Vec<u8>)>,
    /// Back to `assemble` unread, at most 256 KiB.
    pub private: Vec<u8>,
    /// A reply's or push's body that the host keeps with the job.
    pub body: Option<u64>,
    /// How long the job may be worked on.
    pub expires_ms: u32,
    /// Growth inside a version.
    pub extra: Extra,
}

/// Solved work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Solution {
    /// The job's private bytes.
    pub private: Vec<u8>,
    /// Const, session and share fields, in the recipe's order.
    pub fields: Vec<Vec<u8>>,
    /// The recipe's `out` registers.
    pub results: Vec<Vec<u8>>,
    /// Merged mining: from the parent's `prove`.
    pub proof: Option<Vec<u8>>,
}

/// A piece of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Chunk {
    /// These bytes.
    Literal(Vec<u8>),
    /// A slice of the job's body.
    Body {
        /// First byte.
        offset: u32,
        /// Number of bytes.
        length: u32,
    },
}

/// A block and the request that submits it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assembled {
    /// The block's id.
    pub block: Vec<u8>,
    /// Index into the description's transports.
    pub transport: u16,
    /// A granted method.
    pub method: String,
    /// The request's body as a rope.
    pub request: Vec<Chunk>,
}

/// What a node's reply to a block means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Verdict {
    /// Taken.
    Accepted,
    /// It had it.
    Duplicate,
    /// Valid but not on the tip.
    Stale,
    /// Invalid.
    Rejected,
    /// Ask again.
    Retry,
}

/// Whom a login name pays.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payee {
    /// The payee in the chain's own bytes: the identity by which logins are merged.
    pub payee: Vec<u8>,
    /// The address as text in canonical form.
    pub address: String,
    /// The worker's name.
    pub worker: String,
    /// Growth inside a version.
    pub extra: String,
}

/// A payment due.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentRow {
    /// The payee.
    pub payee: Vec<u8>,
    /// His address.
    pub address: String,
    /// Ledger units.
    pub amount: Amount,
}

/// A coin of ours.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Coin {
    /// The outpoint or the like.
    pub id: Vec<u8>,
    /// Ledger units.
    pub amount: Amount,
    /// Where it was made.
    pub coord: u64,
    /// What spending it needs.
    pub data: Vec<u8>,
}

/// What a payment is planned from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentView {
    /// The tip.
    pub coord: u64,
    /// Ledger units per 1000 bytes, or the chain's own measure.
    pub fee_rate: u64,
    /// Coins that may be spent.
    pub coins: Vec<Coin>,
    /// No fee above this.
    pub max_fee: Amount,
}

/// An unsigned transaction over the view's coins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unsigned {
    /// Indices of the rows it pays.
    pub rows: Vec<u32>,
    /// Indices of the coins it spends.
    pub coins: Vec<u32>,
    /// Back to us.
    pub change: Amount,
    /// The network fee.
    pub fee: Amount,
    /// The transaction.
    pub tx: Vec<u8>,
}

/// How to pay.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PaymentPlan {
    /// Batches of row indices; the host writes the call.
    Batches(Vec<Vec<u32>>),
    /// Transactions that the host verifies, signs and sends.
    Transactions(Vec<Unsigned>),
}

/// A raw message of a miner's connection, for an adapter with a codec of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Frame {
    /// The connection.
    pub conn: u64,
    /// The bytes.
    pub data: Vec<u8>,
}

/// What a miner's message means.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// A greeting with the miner's user agent.
    Hello(String),
    /// Name and password.
    Login(String, String),
    /// A job's id as the miner knows it, and the share's fields.
    Submit(Vec<u8>, Vec<Vec<u8>>),
    /// Understood and of no consequence.
    Known(String),
    /// Not understood, and why.
    Bad(String),
}

/// A decoded message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decoded {
    /// The connection.
    pub conn: u64,
    /// The message's id, in its own bytes.
    pub id: Vec<u8>,
    /// What it means.
    pub what: Request,
}

/// A message to encode.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outgoing {
    /// The connection.
    pub conn: u64,
    /// The id of the message answered.
    pub id: Vec<u8>,
    /// The kind of message.
    pub message: String,
    /// Its values.
    pub values: Vec<Vec<u8>>,
}
