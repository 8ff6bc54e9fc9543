//! What the host itself knows of Bitcoin-family bytes: coinbases, addresses, transactions and signed messages.
//!
//! The host checks with it what it does not take an adapter's word for: that a job's coinbase pays whom it must
//! ([`coinbase::check`]), that a payment pays its intents and nobody else ([`payment::verify`]), and that a change of
//! a miner's settings was signed by his address ([`message::verify`]).
//!
//! It knows nothing of the pool, does no I/O, holds no keys, and never panics on any input. Scripts are plain bytes;
//! hashes are in the order in which they stand in a transaction, and shown in reverse as everybody shows them.

mod address;
mod base64;
pub mod coinbase;
pub mod message;
mod network;
pub mod payment;
mod reader;
mod transaction;

pub use address::{AddressError, address_of, script_of, scripts_for};
pub use network::Network;
pub use transaction::{Input, OutPoint, Output, SignedInput, Transaction, TransactionError, Txid, assemble};
