//! One job: everything that judging a share of it, and assembling a block from it, needs.

use bytes::Bytes;
use millpond_bodies::Body;
use millpond_recipe::JobStage;
use millpond_types::{Amount, Digest, JobId, Target, UnixMillis, Work, WorkShift};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The adapter that made a job: the version that must assemble its blocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Origin {
    /// The component's digest.
    pub adapter: Digest,
    /// Counts the adapter's starts in this process: two starts of one component are told apart.
    pub generation: u64,
}

/// A job. Immutable but for the suspension of its credit.
#[derive(Debug)]
pub struct Job {
    /// The id, ascending in its pool, recorded in the journal before a miner sees it.
    pub id: JobId,
    /// Which of the adapter's recipes (`description.recipes`) this runs through.
    pub recipe: u16,
    /// The recipe with this job's constants.
    pub stage: Arc<JobStage>,
    /// A share that meets this is a solution.
    pub network_target: Target,
    /// The chain coordinate (height, DAA score), written with every share.
    pub coord: u64,
    /// The block this builds on, as the adapter names it.
    pub parent: Bytes,
    /// What a block of this job is expected to earn.
    pub reward: Amount,
    /// How much of that is subsidy, where the adapter tells it; the rest is fees.
    pub subsidy: Option<Amount>,
    /// The unit of work of the network.
    pub work_shift: WorkShift,
    /// The revision of the outputs that this coinbase pays directly.
    pub outputs_revision: u64,
    /// The revision of the merged-mining commitments.
    pub aux_revision: u64,
    /// Who made it.
    pub origin: Origin,
    /// The adapter's own bytes, back to `assemble` unread.
    pub private: Bytes,
    /// The node's response that `assemble` takes slices of.
    pub body: Option<Arc<Body>>,
    /// When it was published.
    pub published_at: UnixMillis,
    /// From when on it is no longer kept.
    pub expires_at: UnixMillis,
    /// Starts false; see [`Job::suspend`].
    pub suspended: AtomicBool,
}

impl Job {
    /// The work that a block of this job's network takes.
    #[must_use]
    pub fn network_work(&self) -> Work {
        self.network_target.work(self.work_shift)
    }

    /// Ends credit for this job: every node refused a block of it, so its work is worth nothing. It stays in the
    /// table, and a solution of it is still submitted. True when this call did it.
    pub fn suspend(&self) -> bool {
        !self.suspended.swap(true, Ordering::AcqRel)
    }

    /// Shares of this job earn again: a node took a block of it after all. True when this call did it.
    pub fn resume(&self) -> bool {
        self.suspended.swap(false, Ordering::AcqRel)
    }

    /// Whether shares of this job earn nothing.
    #[must_use]
    pub fn is_suspended(&self) -> bool {
        self.suspended.load(Ordering::Acquire)
    }
}
