//! One share judged.

use millpond_recipe::{Judged, Scratch, SessionStage, ShareError};
use millpond_types::Target;
use std::sync::Arc;

/// What a share is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Targets {
    /// The target the session works on: what credit rests on.
    pub share: Target,
    /// The network's, of the share's job: what makes a solution.
    pub network: Target,
}

/// A share to judge, owned, so that it can wait.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// The job as the share's session sees it.
    pub session: Arc<SessionStage>,
    /// The values of the recipe's share fields, in order.
    pub values: Vec<Vec<u8>>,
    /// What it is compared with.
    pub targets: Targets,
}

/// What a share came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The judged hash as a number: 32 big-endian bytes.
    pub pow: [u8; 32],
    /// What names the share: the key of duplicate detection, as computed.
    pub id: [u8; 32],
    /// Whether it meets the share target.
    pub meets_share: bool,
    /// Whether it meets the network's target, and is a solution even where it misses the share target.
    pub meets_network: bool,
    /// One bit for each further `judge … against` line of the recipe that is met (merged mining).
    pub met: u64,
    /// For a solution of any kind, the recipe's `out` registers for `assemble`; empty otherwise.
    pub results: Vec<Vec<u8>>,
}

impl Verdict {
    /// Whether something is to be submitted.
    #[must_use]
    pub fn is_solution(&self) -> bool {
        self.meets_network || self.met != 0
    }
}

/// Why there is no verdict.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The share's values do not run through the recipe: the miner's doing.
    #[error(transparent)]
    Share(ShareError),
    /// The recipe or an algorithm failed, and the same again when it was tried once more: not the miner's doing.
    #[error(transparent)]
    Failed(ShareError),
    /// The validator ended, or the algorithm panicked twice, before the share was judged: not the miner's doing.
    #[error("the validator ended, or an algorithm panicked")]
    Lost,
}

impl Refused {
    /// Whether the miner sent something wrong. Everything else is the pool's own trouble: the share is unjudged, may be a
    /// block, and speaks against nobody.
    #[must_use]
    pub fn is_the_miners(&self) -> bool {
        matches!(self, Self::Share(_))
    }
}

impl From<ShareError> for Refused {
    fn from(error: ShareError) -> Self {
        if error.is_the_miners() { Self::Share(error) } else { Self::Failed(error) }
    }
}

/// Judges one share on this thread.
pub(crate) fn judge(
    session: &SessionStage,
    values: &[impl AsRef<[u8]>],
    targets: &Targets,
    scratch: &mut Scratch,
) -> Result<Verdict, ShareError> {
    Ok(verdict(&session.judge(values, scratch)?, targets))
}

/// Compares what a share came to with its targets.
pub(crate) fn verdict(judged: &Judged<'_>, targets: &Targets) -> Verdict {
    let meets_network = targets.network.is_met_by(&judged.pow);
    let solution = meets_network || judged.met != 0;
    Verdict {
        pow: judged.pow,
        id: judged.id,
        meets_share: targets.share.is_met_by(&judged.pow),
        meets_network,
        met: judged.met,
        results: if solution { judged.results() } else { Vec::new() },
    }
}
