//! What can go wrong between the pool and a node.

/// Why a call to a node gave no result.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum CallError {
    /// No answer within the call's deadline. The node may still do what was asked.
    #[error("the node at {at} did not answer within {ms} ms")]
    Timeout {
        /// Host and port.
        at: String,
        /// The deadline.
        ms: u64,
    },
    /// No connection: nothing was sent.
    #[error("the node at {at} cannot be reached: {why}; is it running and is the port right?")]
    Unreachable {
        /// Host and port.
        at: String,
        /// What the system said.
        why: String,
    },
    /// The connection broke after the request was sent. The node may have done what was asked.
    #[error("the connection to the node at {at} broke before its answer: {why}")]
    Broken {
        /// Host and port.
        at: String,
        /// What the system said.
        why: String,
    },
    /// The node answered, but not with what was asked for: wrong credentials, a path it does not serve, or a body
    /// that is not JSON-RPC.
    #[error("the node at {at} refused (HTTP {status}): {why}")]
    Refused {
        /// Host and port.
        at: String,
        /// The HTTP status.
        status: u16,
        /// What to look at.
        why: String,
    },
    /// The node's own error.
    #[error("the node answered with error {code}: {message}")]
    Rpc {
        /// The node's code, for example -8.
        code: i64,
        /// The node's words, cut at 1000 characters.
        message: String,
    },
    /// A request or an answer above the limit on its size.
    #[error("a body of more than {limit} bytes to or from the node at {at}; raise the limit or ask for less")]
    TooLarge {
        /// Host and port.
        at: String,
        /// The limit.
        limit: usize,
    },
    /// The call was not made: the link, the transport or the method is not granted, parameters are not JSON, or a
    /// secret could not be read.
    #[error("the call was not made: {0}")]
    Denied(String),
}

/// The kinds that the chain contract tells apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// No answer in time.
    Timeout,
    /// No connection, or one that broke.
    Unreachable,
    /// An answer that is not a result.
    Refused,
    /// The node's own error.
    Rpc,
    /// Above the limit on size.
    TooLarge,
    /// Not granted.
    Denied,
}

impl CallError {
    /// The contract's kind.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Timeout { .. } => ErrorKind::Timeout,
            Self::Unreachable { .. } | Self::Broken { .. } => ErrorKind::Unreachable,
            Self::Refused { .. } => ErrorKind::Refused,
            Self::Rpc { .. } => ErrorKind::Rpc,
            Self::TooLarge { .. } => ErrorKind::TooLarge,
            Self::Denied(_) => ErrorKind::Denied,
        }
    }

    /// The contract's code: the node's own, the HTTP status, or 0.
    #[must_use]
    pub fn code(&self) -> i64 {
        match self {
            Self::Rpc { code, .. } => *code,
            Self::Refused { status, .. } => i64::from(*status),
            _ => 0,
        }
    }

    /// Whether the node may have carried the call out although no result came. A payment whose call ended so is
    /// reconciled with the wallet's history; it is never simply made again.
    #[must_use]
    pub fn outcome_unknown(&self) -> bool {
        match self {
            Self::Timeout { .. } | Self::Broken { .. } | Self::TooLarge { .. } => true,
            // A proxy's 502 or a body cut short tells nothing about the node behind it; 401 and 403 do.
            Self::Refused { status, .. } => !matches!(status, 401 | 403),
            Self::Unreachable { .. } | Self::Rpc { .. } | Self::Denied(_) => false,
        }
    }
}

/// A description of nodes that cannot be used.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum NodeError {
    /// An address that is not understood.
    #[error("{address:?} is not an address of a node: {why}")]
    Address {
        /// As configured.
        address: String,
        /// What is expected.
        why: &'static str,
    },
    /// A secret that cannot be read.
    #[error("the secret in {place} cannot be read: {why}")]
    Secret {
        /// Environment variable or file, never the secret.
        place: String,
        /// What the system said.
        why: String,
    },
    /// A node without any address for a transport that the adapter uses.
    #[error("node {node:?} has no address for the transport {transport:?}, which the adapter uses; add one")]
    Missing {
        /// The node's name.
        node: String,
        /// The transport's name.
        transport: String,
    },
    /// An address of another kind than the transport.
    #[error(
        "node {node:?}: the address of transport {transport:?} is of another kind; {expected} is expected"
    )]
    WrongKind {
        /// The node's name.
        node: String,
        /// The transport's name.
        transport: String,
        /// The kind expected.
        expected: &'static str,
    },
    /// A kind of transport that this build does not have.
    #[error("transport {transport:?} is of the kind {kind}, which this host does not have yet")]
    Unsupported {
        /// The transport's name.
        transport: String,
        /// The kind.
        kind: String,
    },
    /// More nodes than a link's number can count.
    #[error("{0} nodes are more than 65535")]
    TooMany(usize),
}
