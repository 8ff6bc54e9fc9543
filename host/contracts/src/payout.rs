//! `millpond:payout` as plain Rust: schemes and fee policies. Miners are per-call pseudonyms; columns of one record
//! have equal length. Nothing here is checked yet: `millpond-payout` checks before anything counts.
//!
//! These types hold what any version says. What a version does not know is zero or empty for it, and is not part of the
//! digests that its audit records hold.

use crate::Settings;
use millpond_runtime::Outcome;
use millpond_types::Digest;
use serde::{Deserialize, Serialize};

/// A version of the contract.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Version {
    /// `millpond:payout@0.1.0`.
    #[default]
    V0_1,
    /// `millpond:payout@0.2.0`.
    V0_2,
}

impl Version {
    /// Package and version, as audit records name it.
    #[must_use]
    pub const fn package(self) -> &'static str {
        match self {
            Self::V0_1 => "millpond:payout@0.1.0",
            Self::V0_2 => "millpond:payout@0.2.0",
        }
    }
}

/// What a window sums.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Measure {
    /// Work units.
    Work,
    /// Work over the network's work at submission; 2^64 is 1.
    Units,
    /// Shares.
    Count,
    /// Units times reward, 2^32 to the ledger unit.
    Value,
    /// Units times the reward's subsidy, 2^32 to the ledger unit.
    SubsidyValue,
    /// Units times the reward's fees, 2^32 to the ledger unit.
    FeeValue,
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
    /// To the previous income that still stands.
    StandingRound,
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
    /// This many shifts of so many milliseconds.
    Shifts(u64, u64),
    /// What no income has paid, at most so many shares back.
    Unpaid(u64),
    /// n/1000 of the network's difficulty, in slices by this step of the fees.
    Slices(u64, u64),
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reversal {
    /// Forgotten.
    #[default]
    Drop,
    /// Cells are restored and replayed.
    Restore,
    /// The operator's loss.
    Keep,
    /// Forgotten, but for the part of the reserve, which is the operator's loss.
    KeepReserve,
}

/// What a row of a batch is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Grain {
    /// One share.
    #[default]
    Share,
    /// A miner's shares for one job.
    MinerJob,
}

/// What a scheme declares.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// Windows computed for every income.
    pub windows: Vec<Window>,
    /// u64 cells per miner, 0 to 8.
    pub cells: u8,
    /// Shares per accrue call; 0 for never.
    pub batch: u32,
    /// What a row of a batch is; shares in 0.1.
    pub grain: Grain,
    /// When an income is lost.
    pub reversal: Reversal,
    /// May credit against the operator's reserve.
    pub reserve: bool,
    /// The most that an income gives to the operator, in millionths of the gross; nothing in 0.1.
    pub operator_most: u32,
    /// Wants the subsidy of shares and incomes; never in 0.1.
    pub needs_subsidy: bool,
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

/// An income to allocate, or (to a fee policy of 0.1) a batch of credited shares.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Income {
    /// Its unique key.
    pub key: Vec<u8>,
    /// What is divided: what the chain paid, and `carried`.
    pub gross: u64,
    /// The part of `gross` that earlier incomes left over; 0.1 is not told it apart.
    pub carried: u64,
    /// Its ascending number in this pool, from 1; of a batch its newest share's number.
    pub seq: u64,
    /// When it was first reported.
    pub time_ms: u64,
    /// Height or score.
    pub coord: u64,
    /// The miner who found the block.
    pub finder: Option<u64>,
    /// The subsidy in what the chain paid; 0.1 is not told.
    pub subsidy: Option<u64>,
    /// What the reserve holds; 0.1 is not told.
    pub reserve: u64,
}

impl Income {
    /// What the chain paid.
    #[must_use]
    pub const fn paid(&self) -> u64 {
        self.gross.saturating_sub(self.carried)
    }
}

/// Accepted shares in journal order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// Number of the row's last share; in 0.1 a row is a share.
    pub seq: Vec<u64>,
    /// Miners.
    pub miner: Vec<u64>,
    /// Work units, low halves.
    pub work: Vec<u64>,
    /// Network work at submission, low halves.
    pub network_low: Vec<u64>,
    /// High halves.
    pub network_high: Vec<u64>,
    /// Times of the row's last share.
    pub time_ms: Vec<u64>,
    /// Heights or scores.
    pub coord: Vec<u64>,
    /// Expected rewards.
    pub reward: Vec<u64>,
    /// Number of the first share. From here on 0.1 is told nothing.
    pub first: u64,
    /// Number of the last share.
    pub last: u64,
    /// Shares in the row.
    pub shares: Vec<u64>,
    /// High halves of work, all 0 where a row is a share.
    pub work_high: Vec<u64>,
    /// Expected rewards without fees; with them where nobody asked.
    pub subsidy: Vec<u64>,
}

/// What a scheme gives: sum(amount) + rest + operator + to_reserve is the gross and from_reserve.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Allocation {
    /// Strictly ascending.
    pub miner: Vec<u64>,
    /// Above 0.
    pub amount: Vec<u64>,
    /// What nobody gets now: `carry` in 0.2. In 0.1 the reserve's where there is one.
    pub rest: u64,
    /// The operator's part; none in 0.1.
    pub operator: u64,
    /// Into the reserve; 0 in 0.1.
    pub to_reserve: u64,
    /// Out of the reserve; 0 in 0.1.
    pub from_reserve: u64,
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
    /// The version of the contract that it keeps.
    fn version(&self) -> Version {
        Version::V0_1
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
