//! The conformance kit: the host's own code, run over somebody's plugin, before an operator ever meets it.
//!
//! [`scheme::test`], [`fee::test`] and [`vote::test`] hold a plugin to its contract over seeded random inputs and give
//! a [`Report`]: each property kept, broken (with a counterexample) or not claimed. They work on the contracts' traits,
//! so that a component and a native implementation are tested alike.
//!
//! A report becomes a [`certificate`] that is made again byte for byte, and a broken property a [`Counterexample`] whose
//! history is run again.
//!
//! The kit decides nothing about money: what a pool checks in production is in `millpond-payout`, which this crate
//! calls. It adds what only a test can ask: other orders, other scales, other histories.

pub mod adapter;
pub mod author;
pub mod certificate;
mod constants;
mod facts;
pub mod fee;
pub mod history;
mod log;
mod recorder;
mod report;
mod rng;
pub mod sample;
mod schema;
pub mod scheme;
pub mod vote;

pub use constants::constants;
pub use log::{LoggedShare, ShareLog};
pub use report::{Counterexample, Report, Status, Verdict};

/// The kit's version, in reports and certificates.
pub const KIT: &str = env!("CARGO_PKG_VERSION");

/// How hard to test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Options {
    /// Equal seeds give equal inputs; a counterexample is found again by its seed.
    pub seed: u64,
    /// Random cases per property; they grow from tiny ones, so that the first counterexample is a small one.
    pub cases: u32,
    /// Miners in the one large call that bounds fuel and memory.
    pub miners: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self { seed: 1, cases: 120, miners: 1_000_000 }
    }
}
