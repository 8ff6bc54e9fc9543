//! From an adapter's job to one that miners may work on.

use crate::bodies::Bodies;
use crate::outputs::Revisions;
use crate::probe::probe;
use crate::subsidy;
use crate::trust::{RecentRewards, Trust};
use crate::version::Version;
use bytes::Bytes;
use millpond_bodies::Body;
use millpond_contracts::chain::{Extra, Job, Output};
use millpond_jobs::Origin;
use millpond_recipe::{JobStage, SessionStage};
use millpond_types::{Amount, Target};
use primitive_bound::MORE_THAN_HALF;
use std::sync::Arc;

/// Bytes of a job's constants together. A path of 2^20 leaves is 640 bytes; a coinbase with 10,000 outputs 340 KB.
const CONSTS: usize = 4 << 20;
/// Bytes of a job's private bytes.
const PRIVATE: usize = 256 << 10;
/// Bytes of a job's `extra` together.
const EXTRA: usize = 64 << 10;
/// Bytes of a parent or block id.
pub(crate) const ID: usize = 128;
/// A job may be worked on for 1 second to 1 day.
const EXPIRES_MS: std::ops::RangeInclusive<u32> = 1_000..=86_400_000;
/// The recipe number of an aux job.
const AUX: u16 = 65_535;

/// A network target that more than half of all hashes meet is no work at all.
mod primitive_bound {
    /// 2^255: regtest's 0x207fffff is just below it.
    pub(super) const MORE_THAN_HALF: [u8; 32] = {
        let mut bytes = [0; 32];
        bytes[0] = 0x80;
        bytes
    };
}

/// A job that has passed the trust rules. It keeps the version that made it, which alone assembles its blocks.
#[derive(Debug)]
pub struct ReadyJob {
    /// The version that made it.
    pub version: Arc<Version>,
    /// Index into the version's recipes.
    pub recipe: u16,
    /// The recipe with the job's constants run through.
    pub stage: Arc<JobStage>,
    /// A share that meets this is a solution: the header's own field where the recipe names it.
    pub network_target: Target,
    /// Height or score.
    pub coord: u64,
    /// What it builds on.
    pub parent: Bytes,
    /// What a block of it earns in all.
    pub reward: Amount,
    /// How much of that is subsidy, where the adapter tells it; the rest is fees.
    pub subsidy: Option<Amount>,
    /// Revision of the outputs.
    pub outputs_rev: u64,
    /// The outputs of that revision.
    pub outputs: Arc<[Output]>,
    /// Revision of the merged-mining commitments.
    pub aux_rev: u64,
    /// Back to `assemble` unread.
    pub private: Bytes,
    /// The node's answer that `assemble` takes slices of.
    pub body: Option<Arc<Body>>,
    /// How long it may be worked on.
    pub expires_ms: u32,
    /// Growth inside a version.
    pub extra: Extra,
}

impl ReadyJob {
    /// Who made it.
    #[must_use]
    pub fn origin(&self) -> Origin {
        self.version.origin
    }

    /// Whether the session's own payee stands in the coinbase.
    #[must_use]
    pub fn pays_session(&self) -> bool {
        self.outputs.iter().any(|output| output.payee.is_empty() && output.weight > 0)
    }

    /// Checks the coinbase as a session hashes it: it pays this payee and nobody unknown. Once per job and session,
    /// before work is sent.
    ///
    /// # Errors
    /// Who is paid otherwise: the session gets no work of this job.
    pub fn check_session(&self, trust: &Trust, session: &SessionStage, payee: &[u8]) -> Result<(), Refused> {
        match &trust.coinbase {
            Some(check) if self.pays_session() => {
                check.session(self, session, &self.outputs, payee).map_err(Refused::Coinbase)
            }
            _ => Ok(()),
        }
    }
}

/// Why a job is not published.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// A field out of its bounds.
    #[error("{0}")]
    Bounds(String),
    /// The recipe does not run over the constants.
    #[error("its recipe fails: {0}")]
    Run(String),
    /// The hash does not depend on what the miner finds.
    #[error("its recipe fails the probe: {0}")]
    Probe(String),
    /// A target that is none.
    #[error("network target: {0}")]
    Target(String),
    /// More than a block can earn.
    #[error("its reward of {reward} is above {bound}, {why}")]
    Reward {
        /// What it claims.
        reward: Amount,
        /// The bound.
        bound: Amount,
        /// Where the bound is from.
        why: &'static str,
    },
    /// The coinbase pays somebody else.
    #[error("its coinbase: {0}")]
    Coinbase(String),
}

/// What a job is checked with.
pub(crate) struct Checks<'a> {
    pub version: &'a Arc<Version>,
    pub trust: &'a Trust,
    pub bodies: &'a Bodies,
    pub recent: &'a RecentRewards,
    pub revisions: &'a Revisions,
}

impl Checks<'_> {
    /// Checks a job by every trust rule that needs no session.
    pub(crate) fn ready(&self, job: Job) -> Result<Arc<ReadyJob>, Refused> {
        let body = self.bounds(&job)?;
        let recipe = self.version.recipes.get(usize::from(job.recipe)).ok_or_else(|| {
            Refused::Bounds(format!(
                "it names recipe {}, the adapter has {}",
                job.recipe,
                self.version.recipes.len()
            ))
        })?;
        let stage = recipe.job(&job.consts).map_err(|error| Refused::Run(error.to_string()))?;
        let network_target = self.target(&job, &stage)?;
        if let Some((bound, why)) = self.recent.bound(self.trust)
            && job.reward > bound
        {
            return Err(Refused::Reward { reward: job.reward, bound, why });
        }
        let outputs = self.revisions.outputs(job.outputs_rev).ok_or_else(|| {
            Refused::Bounds(format!(
                "it carries outputs of revision {}, which is not known any more",
                job.outputs_rev
            ))
        })?;
        probe(&stage)?;
        let ready = ReadyJob {
            version: Arc::clone(self.version),
            recipe: job.recipe,
            stage,
            network_target,
            coord: job.coord,
            parent: Bytes::from(job.parent),
            reward: job.reward,
            subsidy: subsidy::of_job(&job.extra, job.reward)?,
            outputs_rev: job.outputs_rev,
            outputs,
            aux_rev: job.aux_rev,
            private: Bytes::from(job.private),
            body,
            expires_ms: job.expires_ms,
            extra: job.extra,
        };
        match &self.trust.coinbase {
            Some(check) => check.job(&ready, &ready.outputs).map_err(Refused::Coinbase)?,
            None if self.trust.adapter_writes_coinbase => {}
            None => {
                let text = "the host has no codec for this chain, and the operator has not granted the adapter that trust";
                return Err(Refused::Coinbase(text.to_owned()));
            }
        }
        Ok(Arc::new(ready))
    }

    fn bounds(&self, job: &Job) -> Result<Option<Arc<Body>>, Refused> {
        let bounds = |text: String| Err(Refused::Bounds(text));
        if job.recipe == AUX {
            return bounds("merged-mining jobs are not served by this pool yet".to_owned());
        }
        if job.parent.is_empty() || job.parent.len() > ID {
            return bounds(format!("a parent of {} bytes, 1 to {ID}", job.parent.len()));
        }
        let consts: usize = job.consts.iter().map(|value| value.len().saturating_add(16)).sum();
        if consts > CONSTS {
            return bounds(format!("constants of {consts} bytes, at most {CONSTS}"));
        }
        if job.private.len() > PRIVATE {
            return bounds(format!("{} private bytes, at most {PRIVATE}", job.private.len()));
        }
        let extra: usize = job.extra.iter().map(|(key, value)| key.len() + value.len()).sum();
        if extra > EXTRA {
            return bounds(format!("{extra} bytes of extra values, at most {EXTRA}"));
        }
        if !job.warm.is_empty() {
            return bounds("contexts to build ahead (`warm`) are not served by this pool yet".to_owned());
        }
        if !EXPIRES_MS.contains(&job.expires_ms) {
            return bounds(format!("it expires after {} ms, 1 s to 1 day", job.expires_ms));
        }
        match job.body {
            None => Ok(None),
            Some(id) => match self.bodies.get(id) {
                Some(body) => Ok(Some(body)),
                None => bounds(format!("it keeps body {id}, which is not there any more")),
            },
        }
    }

    fn target(&self, job: &Job, stage: &JobStage) -> Result<Target, Refused> {
        let refuse = |text: String| Err(Refused::Target(text));
        let Ok(bytes) = <[u8; 32]>::try_from(job.network_target.as_slice()) else {
            return refuse(format!("{} bytes, a target has 32", job.network_target.len()));
        };
        let said = Target::from_be_bytes(bytes);
        let target = match stage.network_target() {
            Some(own) if own != said => {
                return refuse(format!("the adapter says {said}, the header's own field says {own}"));
            }
            _ => said,
        };
        if bytes == [0; 32] {
            return refuse("zero: no hash meets it".to_owned());
        }
        if bytes >= MORE_THAN_HALF {
            return refuse(format!("{target} is trivial: more than half of all hashes meet it"));
        }
        match self.trust.floor {
            Some(floor) if target > floor => refuse(format!(
                "{target} is easier than the network's easiest, {floor}: is this another network?"
            )),
            _ => Ok(target),
        }
    }
}
