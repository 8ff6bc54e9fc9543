//! A pool from one process to another: its sockets with their sessions, and the jobs that its miners have in hand.
//!
//! Everything that money follows from is in the journal and the ledger, which the next process opens as after any stop. What
//! is handed over beside them would otherwise be lost with the process: without it shares on jobs of before would count
//! for nothing.

use crate::core::Core;
use crate::unfinished::Makers;
use millpond_bodies::Body;
use millpond_chain::Version;
use millpond_jobs::{HELD_MS, Job};
use millpond_stratum::{ServerState, WrongSockets};
use millpond_types::{Amount, Digest, JobId, Target, UnixMillis, WorkShift};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Weak};
use std::time::Instant;

/// Bytes of jobs that are handed over, the newest first: a block's body of four megabytes is in each job of its template.
const JOB_BYTES: usize = 256 << 20;
/// The number of the versions that made the jobs of before: those that lead in this process count from 1.
const OF_BEFORE: u64 = 0;

/// A job as words. Its registers follow from its constants and its version's recipe.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct JobState {
    id: JobId,
    recipe: u16,
    consts: Vec<String>,
    network_target: Target,
    coord: u64,
    parent: String,
    reward: Amount,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    subsidy: Option<Amount>,
    work_shift: WorkShift,
    outputs_revision: u64,
    aux_revision: u64,
    adapter: Digest,
    private: String,
    /// Which of the bodies that are told once.
    #[serde(deserialize_with = "Option::deserialize")]
    body: Option<usize>,
    published_at: UnixMillis,
    expires_at: UnixMillis,
    suspended: bool,
    stale: bool,
}

impl JobState {
    fn of(job: &Job, body: Option<usize>, stale: bool) -> Self {
        Self {
            id: job.id,
            recipe: job.recipe,
            consts: job.stage.const_values().map(hex::encode).collect(),
            network_target: job.network_target,
            coord: job.coord,
            parent: hex::encode(&job.parent),
            reward: job.reward,
            subsidy: job.subsidy,
            work_shift: job.work_shift,
            outputs_revision: job.outputs_revision,
            aux_revision: job.aux_revision,
            adapter: job.origin.adapter,
            private: hex::encode(&job.private),
            body,
            published_at: job.published_at,
            expires_at: job.expires_at,
            suspended: job.is_suspended(),
            stale,
        }
    }

    fn bytes(&self) -> usize {
        let consts: usize = self.consts.iter().map(String::len).sum();
        consts + self.private.len()
    }

    /// The job again, of a version with the recipe that it was made with.
    fn job(&self, version: &Version, bodies: &[Arc<Body>]) -> Result<Job, String> {
        let bytes = |text: &String| hex::decode(text).map_err(|why| why.to_string());
        let recipe = version.recipes.get(usize::from(self.recipe));
        let recipe = recipe.ok_or_else(|| format!("its version has no recipe {}", self.recipe))?;
        let consts = self.consts.iter().map(bytes).collect::<Result<Vec<_>, _>>()?;
        Ok(Job {
            id: self.id,
            recipe: self.recipe,
            stage: recipe.job(&consts).map_err(|why| why.to_string())?,
            network_target: self.network_target,
            coord: self.coord,
            parent: bytes(&self.parent)?.into(),
            reward: self.reward,
            subsidy: self.subsidy,
            work_shift: self.work_shift,
            outputs_revision: self.outputs_revision,
            aux_revision: self.aux_revision,
            origin: version.origin,
            private: bytes(&self.private)?.into(),
            body: self.body.and_then(|at| bodies.get(at)).cloned(),
            published_at: self.published_at,
            expires_at: self.expires_at,
            suspended: AtomicBool::new(self.suspended),
        })
    }
}

/// What a pool hands over, as words.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PoolState {
    server: ServerState,
    jobs: Jobs,
    had_work: bool,
}

/// Jobs, and the nodes' answers that they keep, which those of one template share.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Jobs {
    jobs: Vec<JobState>,
    bodies: Vec<String>,
}

/// A pool that has handed over: its files are closed and its sockets open. As long as this is kept no miner is
/// disconnected.
#[derive(Default)]
pub struct HandedOver {
    pub(crate) server: millpond_stratum::HandedOver,
    pub(crate) jobs: Jobs,
    pub(crate) had_work: bool,
    pub(crate) silent_since: Option<Instant>,
    /// Of the pool that handed over: held as long as its files are open.
    pub(crate) files: Weak<()>,
}

impl std::fmt::Debug for HandedOver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HandedOver").field("sessions", &self.sessions()).finish_non_exhaustive()
    }
}

impl HandedOver {
    /// Sessions that are carried over.
    #[must_use]
    pub fn sessions(&self) -> usize {
        self.server.sessions()
    }

    /// Connections that did not come to rest in time, and were closed.
    #[must_use]
    pub fn late(&self) -> usize {
        self.server.late()
    }

    /// Nothing holds the pool's files any more.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.files.strong_count() == 0
    }

    /// Whether miners had work: whoever takes over has to have some before they hear of him.
    #[must_use]
    pub fn had_work(&self) -> bool {
        self.had_work
    }

    /// Since when nobody hears its miners, in the process that handed over.
    #[must_use]
    pub fn silent_since(&self) -> Option<Instant> {
        self.silent_since
    }

    /// The words, without the sockets.
    #[must_use]
    pub fn state(&self) -> PoolState {
        PoolState { server: self.server.state(), jobs: self.jobs.clone(), had_work: self.had_work }
    }

    /// The sockets that belong to the words, in their order.
    pub fn sockets(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.server.sockets()
    }

    /// Puts words and sockets together again.
    ///
    /// # Errors
    /// When there are fewer sockets than words speak of.
    pub fn of(
        state: PoolState,
        sockets: &mut impl ExactSizeIterator<Item = OwnedFd>,
    ) -> Result<Self, WrongSockets> {
        let PoolState { server, jobs, had_work } = state;
        let server = millpond_stratum::HandedOver::of(server, sockets)?;
        Ok(Self { server, jobs, had_work, ..Self::default() })
    }

    /// From which coordinate on shares may still count that are on jobs of before.
    pub(crate) fn lowest_coord(&self) -> Option<u64> {
        self.jobs.jobs.iter().map(|job| job.coord).min()
    }
}

/// The jobs that a pool's miners have in hand, the oldest first: as many of the newest as there is room for.
pub(crate) fn jobs(core: &Core) -> Jobs {
    let (mut told, mut known) = (Jobs::default(), Vec::<Arc<Body>>::new());
    let mut room = JOB_BYTES;
    for (job, stale) in core.jobs.all().into_iter().rev() {
        let body = job.body.as_ref().map(|body| {
            let same = |one: &Arc<Body>| Arc::ptr_eq(one, body);
            known.iter().position(same).unwrap_or_else(|| {
                known.push(Arc::clone(body));
                known.len() - 1
            })
        });
        let more = body.filter(|at| *at >= told.bodies.len()).and_then(|at| known.get(at));
        let state = JobState::of(&job, body, stale);
        let Some(left) = room.checked_sub(state.bytes() + more.map_or(0, |body| 2 * body.len())) else {
            break;
        };
        room = left;
        told.bodies.extend(more.map(|body| hex::encode(body.bytes())));
        told.jobs.push(state);
    }
    told.jobs.reverse();
    told
}

/// Takes the jobs of before over, and gives the versions that made them: they assemble the blocks of these jobs. A job
/// whose version cannot be had any more is left out, and shares of it are stale. Blocks while versions are loaded.
pub(crate) fn take_over(core: &Core, makers: &mut Makers, from: &Jobs) -> Vec<Arc<Version>> {
    let now = UnixMillis::now();
    let body = |text: &String| Arc::new(Body::new(hex::decode(text).unwrap_or_default().into()));
    let bodies: Vec<Arc<Body>> = from.bodies.iter().map(body).collect();
    let mut versions: HashMap<Digest, Result<Arc<Version>, String>> = HashMap::new();
    let mut taken = Vec::new();
    for state in from.jobs.iter().filter(|job| now.0 < job.expires_at.0.saturating_add(HELD_MS)) {
        let version = versions.entry(state.adapter).or_insert_with(|| {
            let (adapter, grants) = makers.version(state.adapter)?;
            let version = Version::prepare(adapter, OF_BEFORE, makers.algorithms(), &grants);
            version.map_err(|why| why.to_string())
        });
        let made = version.as_ref().map_err(Clone::clone).and_then(|version| state.job(version, &bodies));
        match made {
            Ok(job) => taken.push((job, state.stale)),
            Err(why) => tracing::warn!(job = %state.id, %why, "a job of before cannot be gone on with"),
        }
    }
    core.jobs.take_over(taken);
    core.suspend_untold();
    versions.into_values().filter_map(Result::ok).collect()
}
