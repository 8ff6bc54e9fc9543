//! The path of a share, from what the miner said to what he is answered.
//!
//! Order of the checks: login, job known, fields, recipe (widths, ranges, masks), duplicate, stale, own target,
//! suspended credit, durable. A hash that meets the network's target goes to the pool whatever else is wrong with it
//! (stale, below its own target, on a suspended job), without credit. Duplicates are found by the computed hash, which
//! is remembered when a share is accepted and forgotten when its record failed: hex case and job names do not matter,
//! and a refused share poisons nothing.

use crate::backend::{Accepted, Backend, Payee, Refusal, Solution};
use crate::counters::add;
use crate::epoch::{Epoch, WireJob};
use crate::server::Shared;
use crate::session::{Session, session_values};
use crate::unjudged::{self, SAID};
use millpond_dialect::{Call, Failure, JobRef, SessionView, Submit};
use millpond_jobs::{Found, Job};
use millpond_recipe::{Cost, Recipe, SessionStage};
use millpond_types::{SessionId, Target, UnixMillis};
use millpond_validator::{Refused, Targets, Verdict};
use std::sync::Arc;
use std::time::Instant;

/// What a share came to.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// It counts, and is durable.
    Counted(Counted),
    /// It does not.
    Refused {
        why: Refusal,
        /// For the miner, in place of the dialect's own words.
        text: Option<String>,
        worker: Arc<str>,
    },
}

#[derive(Debug)]
pub(crate) struct Counted {
    /// The difficulty it was judged by.
    pub(crate) difficulty: f64,
    pub(crate) target: Target,
    pub(crate) time: UnixMillis,
}

impl Outcome {
    pub(crate) fn refused(why: Refusal, text: Option<String>, worker: &str) -> Self {
        Self::Refused { why, text, worker: Arc::from(worker) }
    }
}

/// How a refusal is called on the wire.
pub(crate) fn failure(why: Refusal) -> Failure {
    match why {
        Refusal::UnknownJob => Failure::UnknownJob,
        Refusal::Stale => Failure::Stale,
        Refusal::Duplicate => Failure::Duplicate,
        Refusal::LowDifficulty => Failure::LowDifficulty,
        Refusal::Unauthorized => Failure::Unauthorized,
        Refusal::NotSubscribed => Failure::NotSubscribed,
        Refusal::Malformed | Refusal::Suspended | Refusal::NotDurable | Refusal::Unjudged => Failure::Other,
    }
}

/// Whether a refusal speaks against the miner: counted towards bans. Stale shares and the pool's own troubles do not.
pub(crate) fn is_misconduct(why: Refusal) -> bool {
    match why {
        Refusal::UnknownJob | Refusal::Duplicate | Refusal::LowDifficulty | Refusal::Malformed => true,
        Refusal::Unauthorized | Refusal::NotSubscribed => true,
        Refusal::Stale | Refusal::Suspended | Refusal::NotDurable | Refusal::Unjudged => false,
    }
}

/// A share that can be run: everything known but its hash. Its values are the miner's line's own, or copies that can wait.
pub(crate) struct Candidate<V> {
    job: Arc<Job>,
    stale: bool,
    stage: Arc<SessionStage>,
    values: Vec<V>,
    payee: Arc<Payee>,
    worker: Arc<str>,
    session: SessionId,
    epoch: Arc<Epoch>,
    difficulty: f64,
    target: Target,
    time: UnixMillis,
}

/// Most shares that are hashed together before the first of them is answered.
const TOGETHER: usize = 16;

/// Shares that one connection sent without a pause between them, with the calls that they answer: hashed together, and
/// then settled one after the other as if each had been hashed when it was read.
#[derive(Default)]
pub(crate) struct Together(Vec<(Call, Candidate<Vec<u8>>)>);

impl Together {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.0.len() >= TOGETHER
    }

    pub(crate) fn push(&mut self, call: Call, candidate: Candidate<Vec<u8>>) {
        self.0.push((call, candidate));
    }
}

/// What is left to do with a share that was judged.
pub(crate) enum Step {
    Done(Outcome),
    /// To be made durable.
    Record(Accepted, Answer),
}

/// What the miner is told once a share is durable.
#[derive(Debug)]
pub(crate) enum Answer {
    Counts(Counted),
    /// A solution without credit.
    Refuse(Refusal, Option<String>),
}

const SUSPENDED: &str = "this job earns no credit: the nodes refused a block of it; a new job follows";

/// Reads a share against the session, up to its hash.
///
/// # Errors
/// What it came to already: it cannot be run.
pub(crate) fn read<'a, B: Backend>(
    shared: &Shared<B>,
    session: &mut Session,
    submit: &'a Submit<'_>,
    time: UnixMillis,
) -> Result<Candidate<&'a [u8]>, Outcome> {
    let named = submit.worker.as_deref().unwrap_or_default();
    let refuse = |why, text| Err(Outcome::refused(why, text, named));
    if !session.authorized() {
        return refuse(Refusal::Unauthorized, None);
    }
    // A login leases too, for dialects without a hello: who has neither said hello nor got work has not subscribed.
    if session.lease.is_none() || (!session.subscribed && session.epochs.current().is_none()) {
        return refuse(Refusal::NotSubscribed, None);
    }
    let (job, stale, epoch) = match find_job(shared, session, &submit.job, time) {
        Ok(found) => found,
        Err(why) => return refuse(why, None),
    };
    let Some((payee, worker)) = session.credit(submit.worker.as_deref(), &epoch) else {
        return refuse(Refusal::Unauthorized, None);
    };
    let values = match share_values(job.stage.recipe(), submit) {
        Ok(values) => values,
        Err(text) => return refuse(Refusal::Malformed, Some(text)),
    };
    // The session's values are the pool's own: what fails here is not the miner's fault, and is tried once more.
    let stage = match session.stage(&job, &epoch).or_else(|_| session.stage(&job, &epoch)) {
        Ok(stage) => stage,
        Err(error) => {
            let own = session_values(job.stage.recipe(), &epoch.values);
            let share = unjudged::Share {
                job: &job,
                address: &payee.address,
                worker: &worker,
                stale,
                session: &own,
                values: &owned(&values),
            };
            return Err(left_unjudged(shared, &share, &error.to_string()));
        }
    };
    let (difficulty, target) = judged_by(session, &epoch);
    let session = session.id;
    Ok(Candidate { job, stale, stage, values, payee, worker, session, epoch, difficulty, target, time })
}

/// The lower of the difficulty that the job was sent with and the one of now: a miner may apply a new difficulty at once or
/// with its next job. What it is judged by is what it is credited with.
fn judged_by(session: &Session, epoch: &Epoch) -> (f64, Target) {
    let now = (session.vardiff.difficulty(), session.target);
    let sent = (epoch.values.difficulty, epoch.values.target);
    if sent.1 >= now.1 { sent } else { now }
}

impl<V: AsRef<[u8]>> Candidate<V> {
    /// Whether hashing the share takes no longer than handing it over would.
    pub(crate) fn is_cheap(&self) -> bool {
        self.job.stage.recipe().cost() == Cost::Light
    }

    /// The recipe that it is run through.
    pub(crate) fn recipe(&self) -> &Recipe {
        self.job.stage.recipe()
    }

    /// Whether it is hashed in less time with others of its job.
    pub(crate) fn gains_together(&self) -> bool {
        self.job.stage.gains_together()
    }

    /// The same after others of its session were answered, which may have changed the difficulty.
    pub(crate) fn judged_now(self, now: &Session) -> Self {
        let (difficulty, target) = judged_by(now, &self.epoch);
        Self { difficulty, target, ..self }
    }

    /// The same, with values that outlive the miner's line.
    pub(crate) fn into_owned(self) -> Candidate<Vec<u8>> {
        let Self { job, stale, stage, values, payee, worker, session, epoch, difficulty, target, time } =
            self;
        let values = owned(&values);
        Candidate { job, stale, stage, values, payee, worker, session, epoch, difficulty, target, time }
    }

    fn targets(&self) -> Targets {
        Targets { share: self.target, network: self.job.network_target }
    }
}

fn owned(values: &[impl AsRef<[u8]>]) -> Vec<Vec<u8>> {
    values.iter().map(|value| value.as_ref().to_vec()).collect()
}

/// Hashes a share on this thread and decides what becomes of it.
pub(crate) fn judge_here<B: Backend>(shared: &Shared<B>, candidate: Candidate<impl AsRef<[u8]>>) -> Step {
    let judged = shared.validator.judge_here(&candidate.stage, &candidate.values, candidate.targets());
    judged_as(shared, candidate, judged)
}

/// A share that was hashed with others, and what it came to.
pub(crate) struct Hashed(Candidate<Vec<u8>>, Result<Verdict, Refused>);

/// Hashes shares on this thread, together; what becomes of each is decided in their order ([`Hashed::decide`]).
pub(crate) fn hash_together<B: Backend>(
    shared: &Shared<B>,
    together: &mut Together,
) -> impl Iterator<Item = (Call, Hashed)> + use<B> {
    let together = std::mem::take(&mut together.0);
    let shares: Vec<_> = together
        .iter()
        .map(|(_, candidate)| (&*candidate.stage, &*candidate.values, candidate.targets()))
        .collect();
    let judged = shared.validator.judge_here_together(&shares);
    together.into_iter().zip(judged).map(|((call, candidate), judged)| (call, Hashed(candidate, judged)))
}

impl Hashed {
    /// Decides what becomes of it, with the difficulty that its session has now: others were answered since it was read.
    pub(crate) fn decide<B: Backend>(self, shared: &Shared<B>, session: &Session) -> Step {
        let candidate = self.0.judged_now(session);
        let judged = self.1.map(|verdict| {
            let meets_share = candidate.target.is_met_by(&verdict.pow);
            Verdict { meets_share, ..verdict }
        });
        judged_as(shared, candidate, judged)
    }
}

/// Hashes a share on the validator's threads, and makes it durable. On a task of its own, which outlives the connection.
pub(crate) async fn judge_and_record<B: Backend>(
    shared: Arc<Shared<B>>,
    candidate: Candidate<Vec<u8>>,
) -> Outcome {
    let judged = shared.validator.judge(&candidate.stage, &candidate.values, candidate.targets()).await;
    match judged_as(&shared, candidate, judged) {
        Step::Done(outcome) => outcome,
        Step::Record(accepted, answer) => record(shared, accepted, answer).await,
    }
}

fn judged_as<B: Backend>(
    shared: &Shared<B>,
    candidate: Candidate<impl AsRef<[u8]>>,
    judged: Result<Verdict, Refused>,
) -> Step {
    match judged {
        Ok(verdict) => decide(shared, candidate, verdict),
        Err(Refused::Share(error)) => {
            Step::Done(Outcome::refused(Refusal::Malformed, Some(error.to_string()), &candidate.worker))
        }
        Err(error @ (Refused::Failed(_) | Refused::Lost)) => {
            let Candidate { job, stage, values, payee, worker, stale, .. } = &candidate;
            let fields = job.stage.recipe().session_fields().iter();
            let own: Vec<_> =
                fields.map(|field| stage.register(&field.name).unwrap_or_default().to_vec()).collect();
            let (address, stale, session) = (payee.address.as_str(), *stale, own.as_slice());
            let values = &owned(values);
            let share = unjudged::Share { job, address, worker, stale, session, values };
            Step::Done(left_unjudged(shared, &share, &error.to_string()))
        }
    }
}

/// A share that nobody could judge: written down, since it may be a block, and the operator is told. The miner hears that
/// it is not his fault.
fn left_unjudged<B: Backend>(shared: &Shared<B>, share: &unjudged::Share<'_>, error: &str) -> Outcome {
    shared.core.unjudged.write(share, error, Instant::now());
    shared.backend.unjudged(share.job, error);
    Outcome::refused(Refusal::Unjudged, Some(SAID.to_owned()), share.worker)
}

fn decide<B: Backend>(shared: &Shared<B>, candidate: Candidate<impl AsRef<[u8]>>, verdict: Verdict) -> Step {
    let refusal = if candidate.stale {
        Some((Refusal::Stale, None))
    } else if !verdict.meets_share {
        Some((Refusal::LowDifficulty, None))
    } else if candidate.job.is_suspended() {
        Some((Refusal::Suspended, Some(SUSPENDED.to_owned())))
    } else {
        None
    };
    if let (Some((why, text)), false) = (&refusal, verdict.is_solution()) {
        // A duplicate of a share that counted is told so, whatever its job has become.
        let why =
            if shared.seen.contains(candidate.job.coord, &verdict.id) { Refusal::Duplicate } else { *why };
        return Step::Done(Outcome::refused(why, text.clone(), &candidate.worker));
    }
    if !shared.seen.insert(candidate.job.coord, verdict.id) {
        return Step::Done(Outcome::refused(Refusal::Duplicate, None, &candidate.worker));
    }
    let solution = verdict.is_solution().then(|| Solution {
        network: verdict.meets_network,
        met: verdict.met,
        fields: candidate.stage.fields(&candidate.values),
        results: verdict.results,
    });
    let Candidate { job, payee, worker, session, difficulty, target, time, .. } = candidate;
    let answer = match refusal {
        None => Answer::Counts(Counted { difficulty, target, time }),
        Some((why, text)) => Answer::Refuse(why, text),
    };
    let accepted = Accepted {
        work: target.work(job.work_shift),
        credited: matches!(answer, Answer::Counts(_)),
        job,
        payee,
        worker,
        session,
        id: verdict.id,
        pow: verdict.pow,
        time,
        solution,
    };
    Step::Record(accepted, answer)
}

/// Makes a share durable. What this begins outlives the connection.
pub(crate) async fn record<B: Backend>(
    shared: Arc<Shared<B>>,
    accepted: Accepted,
    answer: Answer,
) -> Outcome {
    let (job, id, worker) = (Arc::clone(&accepted.job), accepted.id, Arc::clone(&accepted.worker));
    if accepted.solution.is_some() {
        add(&shared.core.counters.solutions);
    }
    match (shared.backend.accept(accepted).await, answer) {
        (Ok(_), Answer::Counts(counted)) => Outcome::Counted(counted),
        (Ok(_), Answer::Refuse(why, text)) => Outcome::Refused { why, text, worker },
        (Err(error), Answer::Counts(_)) => {
            shared.seen.remove(job.coord, &id);
            Outcome::Refused { why: Refusal::NotDurable, text: Some(error.0), worker }
        }
        (Err(_), Answer::Refuse(why, text)) => {
            shared.seen.remove(job.coord, &id);
            Outcome::Refused { why, text, worker }
        }
    }
}

/// The job that a share names, whether it is stale, and what it was sent under.
fn find_job<B: Backend>(
    shared: &Shared<B>,
    session: &mut Session,
    named: &JobRef,
    now: UnixMillis,
) -> Result<(Arc<Job>, bool, Arc<Epoch>), Refusal> {
    match named {
        JobRef::Id(text) => {
            let wire = WireJob::parse(text).ok_or(Refusal::UnknownJob)?;
            let epoch = session.epochs.get(wire).cloned();
            match shared.jobs.lookup(wire.job, now) {
                Found::Live(job) => epoch.map(|epoch| (job, false, epoch)),
                // What an expired job earns is nothing too, and a solution of it is a block all the same.
                Found::Stale(job) | Found::Expired(job) => epoch.map(|epoch| (job, true, epoch)),
                Found::Forgotten => return Err(Refusal::Stale),
                Found::Unknown => None,
            }
            .ok_or(Refusal::UnknownJob)
        }
        JobRef::Register { name, value } => {
            // A job that this session was never sent is not this session's work, whoever else has it.
            let mut unread = None;
            let issued: Vec<WireJob> = session.issued().collect();
            for wire in issued {
                let (job, stale) = match shared.jobs.lookup(wire.job, now) {
                    Found::Live(job) => (job, false),
                    Found::Stale(job) | Found::Expired(job) => (job, true),
                    Found::Forgotten | Found::Unknown => continue,
                };
                let Some(epoch) = session.epochs.get(wire).cloned() else { continue };
                let found = match job.stage.register(name) {
                    Some(register) => register == value.as_slice(),
                    None => {
                        let stage = session.stage(&job, &epoch).or_else(|_| session.stage(&job, &epoch));
                        if stage.is_err() && unread.is_none() {
                            unread = Some((Arc::clone(&job), stale, Arc::clone(&epoch)));
                        }
                        stage.is_ok_and(|stage| stage.register(name) == Some(value.as_slice()))
                    }
                };
                if found {
                    return Ok((job, stale, epoch));
                }
            }
            // It may be one that the pool itself could not look at: then it is left unjudged, and not unknown.
            unread.ok_or(Refusal::UnknownJob)
        }
    }
}

/// The share fields in the recipe's order. What the miner left out takes the recipe's default; what has none is
/// refused here, in words.
fn share_values<'a>(recipe: &Recipe, submit: &'a Submit<'_>) -> Result<Vec<&'a [u8]>, String> {
    let fields = recipe.share_fields().iter();
    fields
        .map(|field| match submit.field(&field.name) {
            Some(bytes) if field.width.admits(bytes.len()) => Ok(bytes),
            Some(bytes) => Err(format!("{} takes {}, not {} bytes", field.name, field.width, bytes.len())),
            None if field.default.is_some() => Ok([].as_slice()),
            None => Err(format!("{} is missing", field.name)),
        })
        .collect()
}
