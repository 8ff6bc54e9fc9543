//! Jobs, blocks found with them, and what became of those.

use super::WorkerId;
use crate::codec::{cases, fields};
use millpond_types::{Amount, Digest, JobId, MinerId, ShareSeq, Target, UnixMillis};

fields! {
    /// A job, durable before a miner sees it.
    struct Job {
        /// Its number.
        id: JobId,
        /// Height or other chain coordinate.
        coord: u64,
        /// The block it builds on.
        parent: Vec<u8>,
        /// Index of its recipe among those of its adapter; 65535 for merged mining alone.
        recipe: u16,
        /// What a block's hash must meet.
        network_target: Target,
        /// Work of the network target, in the network's work units.
        network_work: u128,
        /// What a block pays, as the adapter expects it.
        reward: Amount,
        /// Digest of the adapter's component.
        adapter: Digest,
        /// When it was made.
        time: UnixMillis,
    }

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
