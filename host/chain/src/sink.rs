//! What the chain tells the pool: only what has passed the trust rules.

use crate::{ReadyJob, Version};
use millpond_contracts::chain::{Fate, IncomeAt, Solution, Verdict, Watched};
use millpond_types::Amount;
use std::sync::Arc;

/// An income that has passed the trust rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckedIncome {
    /// Its unique key; the sink hears of a key once as immature and once as mature.
    pub key: Vec<u8>,
    /// Ledger units, at most what its job recorded.
    pub amount: Amount,
    /// Whose window it pays.
    pub at: IncomeAt,
    /// True only when the host itself has counted the confirmations, or `fate` has been final natively.
    pub mature: bool,
}

/// Why an operator is told something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AlarmKind {
    /// The adapter's own alarm.
    Adapter,
    /// The adapter broke a trust rule: what it said did not count.
    Trust,
    /// The adapter trapped or was quarantined.
    Plugin,
    /// A block could not be assembled, no node has it, or it was rejected.
    Block,
    /// A node took a block that no node had.
    Taken,
    /// The adapter asked to stop publishing.
    Stopped,
}

/// Something an operator should know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alarm {
    /// Its class.
    pub kind: AlarmKind,
    /// What happened and what to do, one line.
    pub text: String,
}

/// The pool, as its chain sees it. Called from the actor's thread and, for solutions, from threads of their own; an
/// implementation does not block for long and does not panic.
pub trait ChainSink: Send + Sync {
    /// A job that has passed the trust rules. The pool numbers it, records it and hands it to miners.
    fn publish(&self, job: Arc<ReadyJob>);
    /// The tip moved: jobs on another parent are stale.
    fn tip(&self, parent: &[u8], coord: u64);
    /// The fate of one of our blocks.
    fn fate(&self, block: &[u8], fate: &Fate);
    /// An income.
    fn income(&self, income: CheckedIncome);
    /// An income is gone.
    fn income_lost(&self, key: &[u8]);
    /// A node is unfit.
    fn unfit(&self, link: u16, reason: &str);
    /// The adapter has proof that blocks of its live jobs are worth nothing (the node refuses the block of a job, a rule
    /// is in force that it does not know): take them back, and give no credit for them.
    fn withdraw(&self, why: &str);
    /// Tell the operator.
    fn alarm(&self, alarm: Alarm);
    /// The adapter's saved bytes: store them, they start the next instance.
    fn saved(&self, bytes: &[u8]);
    /// Another version leads from now on: since its first valid job, or since the one before it broke.
    fn version(&self, version: &Version);
    /// A block was assembled and is about to be submitted: make it durable. What a restart needs of it is in
    /// [`crate::KnownBlock`].
    fn submitting(&self, tag: u64, watched: &Watched, reward: Amount);
    /// What became of a solution so far: called each time that a node said something new, and a last time when nothing
    /// more is to be heard. When it is refused, the job is not to be trusted.
    fn submitted(&self, submission: &Submission);
    /// A solution could not be assembled: keep it, so that nothing is lost.
    fn unassembled(&self, tag: u64, solution: &Solution, error: &str);
}

/// What became of a solution so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Submission {
    /// The caller's tag.
    pub tag: u64,
    /// The block's id as `assemble` gave it.
    pub block: Vec<u8>,
    /// What each node said last, and its words, by link; nodes that have not answered yet are missing.
    pub verdicts: Vec<(u16, Verdict, String)>,
    /// At least one node refused it, none has it, and none that could still take it is worth waiting for.
    pub refused: bool,
    /// Nothing more will be heard of it.
    pub ended: bool,
}

impl Submission {
    /// Whether a node has the block.
    #[must_use]
    pub fn accepted(&self) -> bool {
        self.verdicts.iter().any(|(_, verdict, _)| matches!(verdict, Verdict::Accepted | Verdict::Duplicate))
    }
}
