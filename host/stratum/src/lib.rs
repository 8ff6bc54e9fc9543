//! The Stratum V1 server: sockets, sessions, extranonces, vardiff, limits and bans.
//!
//! Family-agnostic: what a miner says goes through a dialect document, a share through a recipe document, a job through
//! the job table. The server knows no money, no plugins and no storage; it asks its pool through [`Backend`].
//!
//! ```text
//! let server = Server::start(config, chain, parts).await?;   // one per pool; opens every port
//! server.addresses();
//! let handle = server.handle();      // counters, sessions, bans; clone it freely
//! server.stop().await;               // answers what is on its way, then closes
//! ```
//!
//! Session fields of a recipe that the server fills by their name: `payee` (the payee's bytes as resolved), `prefix`
//! (the session's part of the extranonce), `reissue` (how often the job was sent to this session before, big-endian:
//! a recipe that makes the work differ by it, by a later timestamp say, spares miners from searching the same space
//! twice when a job is sent again), and every field that a dialect negotiates. Others take the recipe's default.

mod backend;
mod bans;
mod board;
mod carried;
mod config;
mod connection;
mod counters;
mod doors;
mod epoch;
mod evidence;
mod extranonce;
mod firmware;
mod flight;
mod hear;
mod holes;
mod limits;
mod line;
mod listen;
mod login;
mod names;
mod outbox;
mod parking;
pub mod proxy;
mod server;
mod session;
mod span;
mod submit;
mod tell;
mod tls;
mod unjudged;
mod unread;
mod vardiff;

pub use backend::{Accepted, Backend, NoPayee, NotDurable, Note, Payee, Refusal, Solution};
pub use bans::{Ban, BanConfig, BanReason};
pub use carried::{Carried, HandedOver, ServerState, WrongSockets};
pub use config::{PortConfig, StratumConfig};
pub use connection::carried::SessionState;
pub use counters::{Counter, CountersNow, SessionInfo};
pub use extranonce::{ExtranonceConfig, ExtranonceError, Layout, Past};
pub use firmware::{CoinbaseTooLong, coinbase_limit};
pub use limits::{LimitsConfig, Network, NetworkError, Source};
pub use names::NameKey;
pub use server::{Chain, Parts, Server, ServerHandle, StartError};
pub use span::{Span, SpanError};
pub use tls::{TlsConfig, TlsError};
pub use unread::UnreadNow;
pub use vardiff::{Vardiff, VardiffConfig};
