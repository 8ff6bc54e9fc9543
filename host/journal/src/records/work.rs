//! Jobs, blocks found with them, and what became of those.

use super::WorkerId;
use crate::codec::{Field, Input, Versions, cases, fields};
use millpond_types::{Amount, Digest, JobId, MinerId, ShareSeq, Target, UnixMillis};

/// A job, durable before a miner sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// Its number.
    pub id: JobId,
    /// Height or other chain coordinate.
    pub coord: u64,
    /// The block it builds on.
    pub parent: Vec<u8>,
    /// Index of its recipe among those of its adapter; 65535 for merged mining alone.
    pub recipe: u16,
    /// What a block's hash must meet.
    pub network_target: Target,
    /// Work of the network target, in the network's work units.
    pub network_work: u128,
    /// What a block pays, as the adapter expects it.
    pub reward: Amount,
    /// How much of that is subsidy, where the adapter tells it; the rest is fees. Since version 2.
    pub subsidy: Option<Amount>,
    /// Where the journal has the [`crate::CoinbasePlan`] that its coinbase pays by, if it pays many. Since version 3.
    pub plan: Option<u64>,
    /// Digest of the adapter's component.
    pub adapter: Digest,
    /// When it was made.
    pub time: UnixMillis,
}

impl Versions for Job {
    fn version(&self) -> u8 {
        match (self.plan, self.subsidy) {
            (Some(_), _) => 3,
            (None, Some(_)) => 2,
            (None, None) => 1,
        }
    }

    fn put_version(&self, out: &mut Vec<u8>) {
        let Self {
            id,
            coord,
            parent,
            recipe,
            network_target,
            network_work,
            reward,
            subsidy,
            plan,
            adapter,
            time,
        } = self;
        id.put(out);
        coord.put(out);
        parent.put(out);
        recipe.put(out);
        network_target.put(out);
        network_work.put(out);
        reward.put(out);
        adapter.put(out);
        time.put(out);
        match (plan, subsidy) {
            (Some(plan), subsidy) => {
                subsidy.put(out);
                plan.put(out);
            }
            (None, Some(subsidy)) => subsidy.put(out),
            (None, None) => {}
        }
    }

    fn take_version(version: u8, from: &mut Input<'_>) -> Option<Self> {
        let mut job = Self {
            id: Field::take(from)?,
            coord: Field::take(from)?,
            parent: Field::take(from)?,
            recipe: Field::take(from)?,
            network_target: Field::take(from)?,
            network_work: Field::take(from)?,
            reward: Field::take(from)?,
            subsidy: None,
            plan: None,
            adapter: Field::take(from)?,
            time: Field::take(from)?,
        };
        match version {
            1 => {}
            2 => job.subsidy = Some(Field::take(from)?),
            _ => (job.subsidy, job.plan) = (Field::take(from)?, Some(Field::take(from)?)),
        }
        Some(job)
    }
}

fields! {
    /// A share that solves a block: durable in a write of its own before the miner hears of it.
    struct Solution {
        /// The block's hash or other id.
        block: Vec<u8>,
        /// The job it solves.
        job: JobId,
        /// Who found it.
        miner: MinerId,
        /// With which worker.
        worker: WorkerId,
        /// Its own place among the shares; `None` when it met the network's target but earned no credit. Set by the
        /// journal.
        share: Option<ShareSeq>,
        /// The newest share when it was recorded, itself included: where its window ends. Set by the journal.
        end: ShareSeq,
        /// Coordinate of its job.
        coord: u64,
        /// Work of its job's network target.
        network_work: u128,
        /// Const, session and share fields, in the recipe's order.
        fields: Vec<Vec<u8>>,
        /// The recipe's `out` registers.
        results: Vec<Vec<u8>>,
        /// The job's private bytes for `assemble`, so that the block can be submitted after a restart.
        private: Option<Vec<u8>>,
        /// When it came.
        time: UnixMillis,
    }

    /// What one node said when it was given a block.
    struct Submission {
        /// The block's hash or other id.
        block: Vec<u8>,
        /// The node, by its configured name.
        node: String,
        /// Its verdict.
        verdict: Verdict,
        /// Its words.
        detail: String,
        /// When.
        time: UnixMillis,
    }

    /// What became of a block. The newest one counts: an orphan may come back.
    struct Fate {
        /// The block's hash or other id.
        block: Vec<u8>,
        /// Its state.
        fate: BlockFate,
        /// When this was seen.
        time: UnixMillis,
    }
}

cases! {
    /// A node's verdict.
    enum Verdict {
        /// It took the block.
        0 => Accepted,
        /// It had the block already.
        1 => Duplicate,
        /// It took the block, but not as its best.
        2 => Stale,
        /// It refused the block.
        3 => Rejected,
        /// It could not say; ask again.
        4 => Retry,
    }

    /// The state of a block.
    enum BlockFate {
        /// Not deep enough to say; its depth.
        0 => Pending(u32),
        /// In the best chain; its depth.
        1 => Accepted(u32),
        /// Another block has its place; the reason.
        2 => Orphan(String),
        /// So deep that it stays.
        3 => Final,
    }
}
