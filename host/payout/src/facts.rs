//! What the host knows of an income, natively computed.

use millpond_ledger::IncomeKey;
use millpond_types::{Amount, MinerId, ShareSeq, UnixMillis};
use millpond_windows::Unpaid;

/// One window's sums, strictly ascending by miner, as the journal computes them; 2^64 is one unit where units are
/// measured.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WindowSums(pub Vec<(MinerId, u128)>);

/// An income to divide.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IncomeFacts {
    /// Its unique key.
    pub key: IncomeKey,
    /// What the chain paid.
    pub amount: Amount,
    /// The subsidy in it, where that is known.
    pub subsidy: Option<Amount>,
    /// What the reserve holds before it.
    pub reserve: Amount,
    /// Its ascending number in this pool, from 1.
    pub number: u64,
    /// The share that ends its windows: the one that found the block.
    pub end: ShareSeq,
    /// When it was first reported.
    pub time: UnixMillis,
    /// Height or score.
    pub coord: u64,
    /// Who found the block.
    pub finder: Option<MinerId>,
    /// What is unpaid after it, for a scheme that pays a share once ([`crate::BoundScheme::pays_once`]).
    pub unpaid: Option<Unpaid>,
}

/// The operator's lists and the host's statistics that a fee policy may ask for by name ("work", "hashrate",
/// "workers", "seniority", a list's name).
pub trait Attributes {
    /// One value per miner, in the order given; `None` when there is no such column. Called once per wanted name and
    /// allocation; must give the same values when asked twice.
    fn column(&self, name: &str, miners: &[MinerId]) -> Option<Vec<u64>>;
}

/// A pool without columns.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoAttributes;

impl Attributes for NoAttributes {
    fn column(&self, _: &str, _: &[MinerId]) -> Option<Vec<u64>> {
        None
    }
}
