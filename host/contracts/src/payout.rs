//! `millpond:payout` as plain Rust: schemes and fee policies. Miners are per-call pseudonyms; columns of one record
//! have equal length. Nothing here is checked yet: `millpond-payout` checks before anything counts.

use crate::Settings;
use millpond_runtime::Outcome;
use millpond_types::Digest;
use serde::{Deserialize, Serialize};

/// What a window sums.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Measure {
    /// Work units.
    Work,
    /// Work over the network's work at submission; 2^64 is 1.
    Units,
}

/// What becomes of the share on a window's far edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Edge {
    /// Kept.
    Whole,
    /// Divided.
    Split,
    /// Dropped.
    Cut,
}

/// How far back a window reaches from the share that found the block (or from a coordinate).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Span {
    /// To the pool's previous income.
    Round,
    /// The block's miner alone.
    Finder,
    /// This many shares.
    Shares(u64),
    /// n/1000 of the network's difficulty.
    Work(u64),
    /// This many milliseconds.
    Millis(u64),
    /// This many coordinates.
    Coord(u64),
    /// Nothing: the cells alone decide.
    State,
}

/// A window that the host computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Window {
    /// How far back.
    pub span: Span,
    /// What is summed.
    pub measure: Measure,
    /// What becomes of the share on the edge.
    pub edge: Edge,
}

/// What becomes of an allocation whose income is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reversal {
    /// Forgotten.
    Drop,
    /// Cells are restored and replayed.
    Restore,
    /// The operator's loss.
    Keep,
}

/// What a scheme declares.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// Windows computed for every income.
    pub windows: Vec<Window>,
    /// u64 cells per miner, 0 to 8.
    pub cells: u8,
    /// Rows per accrue call; 0 for never.
    pub batch: u32,
    /// When an income is lost.
    pub reversal: Reversal,
    /// May credit against the operator's reserve.
    pub reserve: bool,
    /// Properties for the conformance kit.
    pub claims: Vec<String>,
    /// Equal texts: the state may be taken over in a swap.
    pub state_format: String,
}

/// A window's sums per miner, ascending by miner; the sum is `high * 2^64 + low`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Miners.
    pub miner: Vec<u64>,
    /// Low halves.
    pub low: Vec<u64>,
    /// High halves.
    pub high: Vec<u64>,
}

/// A scheme's state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// At most 64 KiB.
    pub memo: Vec<u8>,
    /// Miners with cells.
    pub miner: Vec<u64>,
    /// Row-major, `terms.cells` per miner.
    pub cells: Vec<u64>,
}

/// An income to allocate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Income {
    /// Its unique key.
    pub key: Vec<u8>,
    /// Ledger units.
    pub gross: u64,
    /// The share that ends its window.
    pub seq: u64,
    /// That share's time.
    pub time_ms: u64,
    /// Height or score.
    pub coord: u64,
    /// The miner who found the block.
    pub finder: Option<u64>,
}

/// Accepted shares in journal order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch {
    /// Sequence numbers.
    pub seq: Vec<u64>,
    /// Miners.
    pub miner: Vec<u64>,
    /// Work units.
    pub work: Vec<u64>,
    /// Network work at submission, low halves.
    pub network_low: Vec<u64>,
    /// High halves.
    pub network_high: Vec<u64>,
    /// Times.
    pub time_ms: Vec<u64>,
    /// Heights or scores.
    pub coord: Vec<u64>,
    /// Expected rewards.
    pub reward: Vec<u64>,
}

/// What a scheme gives.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Allocation {
    /// Strictly ascending.
    pub miner: Vec<u64>,
    /// Above 0.
    pub amount: Vec<u64>,
    /// sum(amount) + rest is the income.
    pub rest: u64,
    /// Changed rows only.
    pub state: State,
}

/// Fees and rebates per row.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fees {
    /// At most the row's amount.
    pub fee: Vec<u64>,
    /// At most the row's fee.
    pub rebate: Vec<u64>,
}

/// A payout scheme. Every call runs in a fresh store of the strict class.
pub trait PayoutScheme: Send + Sync {
    /// The digest of the component.
    fn digest(&self) -> Digest;
    /// The minor version of the contract that it was built for.
    fn minor(&self) -> u64 {
        1
    }
    /// JSON Schema of its section.
    ///
    /// # Errors
    /// A trap.
    fn schema(&self) -> Outcome<String>;
    /// What it declares under these settings.
    ///
    /// # Errors
    /// Settings it cannot work with, or a trap.
    fn describe(&self, settings: &Settings) -> Outcome<Terms>;
    /// Once per income, before fees; windows in the order of the terms.
    ///
    /// # Errors
    /// The scheme's own, or a trap: nothing of it counts.
    fn allocate(
        &self,
        settings: &Settings,
        income: &Income,
        windows: &[Totals],
        state: &State,
    ) -> Outcome<Allocation>;
    /// Whether it exports `accrual`.
    fn accrues(&self) -> bool;
    /// A batch of shares.
    ///
    /// # Errors
    /// The scheme's own, a trap, or a scheme without `accrual`.
    fn accrue(&self, settings: &Settings, batch: &Batch, state: &State) -> Outcome<Allocation>;
}

/// A fee policy. Every call runs in a fresh store of the strict class.
pub trait FeePolicy: Send + Sync {
    /// The digest of the component.
    fn digest(&self) -> Digest;
    /// JSON Schema of its section.
    ///
    /// # Errors
    /// A trap.
    fn schema(&self) -> Outcome<String>;
    /// Names of the columns it wants.
    ///
    /// # Errors
    /// Settings it cannot work with, or a trap.
    fn describe(&self, settings: &Settings) -> Outcome<Vec<String>>;
    /// Fees of an allocation; attributes are columns as long as `miner`, in the order of `describe`.
    ///
    /// # Errors
    /// The policy's own, or a trap.
    fn fees(
        &self,
        settings: &Settings,
        income: &Income,
        miner: &[u64],
        amount: &[u64],
        attributes: &[Vec<u64>],
    ) -> Outcome<Fees>;
}
