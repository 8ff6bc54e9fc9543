//! Drives a chain adapter: events in, actions out, and the trust rules between it and the pool.
//!
//! An adapter is trusted for consensus facts and nothing else. [`ChainHandle`] owns the thread of its one warm
//! instance; what the instance wants is checked as a whole ([`Trust`], [`Granted`], the probe of every job, the book of
//! blocks and incomes) before any of it reaches nodes ([`NodePort`]) or the pool ([`ChainSink`]). Pure calls run in
//! fresh instances on other threads.
//!
//! This crate knows no coin but through [`BitcoinCoinbase`], [`BitcoinAddresses`] and [`signed_messages`], the glue to
//! the codec family.

mod bitcoin_addresses;
mod bitcoin_coinbase;
mod bitcoin_commitment;
mod bodies;
mod driver;
mod effects;
#[cfg(test)]
mod fake;
mod grants;
mod handle;
mod income;
mod instance;
mod job;
mod messages;
mod method_names;
mod nodes_port;
mod outputs;
mod outstanding;
mod payee;
mod plugin_pow;
mod port;
mod probe;
mod queue;
mod sink;
mod solve;
mod submit;
mod subsidy;
mod trust;
mod version;

#[cfg(test)]
mod tests;

pub use bitcoin_addresses::BitcoinAddresses;
pub use bitcoin_coinbase::{BitcoinCoinbase, least_output};
pub use grants::{Grant, GrantError, Granted};
pub use handle::{ChainHandle, Recorder, Setup, StartError, Status};
pub use income::{IncomeRefused, KnownBlock, KnownIncome};
pub use job::{ReadyJob, Refused};
pub use messages::{SignedMessages, signed_messages};
pub use method_names::never;
pub use nodes_port::NodesPort;
pub use payee::{Unresolved, resolve};
pub use port::{Answered, NodeAnswer, NodeCall, NodePort};
pub use sink::{Alarm, AlarmKind, ChainSink, CheckedIncome, Submission};
pub use solve::Solved;
pub use subsidy::tells_subsidy;
pub use trust::{AddressCheck, CoinbaseCheck, Maturity, Trust, shares};
pub use version::{Version, VersionError};
