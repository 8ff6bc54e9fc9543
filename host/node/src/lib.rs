//! Transports to coin nodes: JSON-RPC and REST over HTTP, ZMQ subscriptions, several nodes with detection of those
//! that are down, and the secrets that open them.
//!
//! Two callers use it. The adapter's actor uses [`Nodes`]: calls by link and transport, and a stream of pushes and
//! link changes. Settlement's wallet drivers use [`JsonRpc`] and [`HttpClient`] with endpoints of their own.
//!
//! It knows no coin and no method by name: what may be called is what the operator granted. It never retries a call:
//! only the caller knows whether a call may be made twice ([`CallError::outcome_unknown`]). Secrets are never logged.

mod error;
mod events;
mod http;
mod jsonrpc;
mod link;
mod nodes;
mod secret;
pub mod zmtp;

pub use error::{CallError, ErrorKind, NodeError};
pub use events::{Events, NodeEvent};
pub use http::{Endpoint, HttpClient, HttpReply, Limits};
pub use jsonrpc::{Answer, JsonRpc};
pub use nodes::{Address, NodeSpec, Nodes, Options, Transport, TransportKind};
pub use secret::{Auth, Secret};
