//! The thread that plans: at each new tip, at each change of policy, and from time to time.

use super::{ABOUT, Asked, PlanError};
use crate::books::BooksError;
use crate::core::Core;
use crate::decide::DecideError;
use crate::setup::{Prepared, Resolver};
use millpond_alerts::Level;
use millpond_chain::ReadyJob;
use millpond_contracts::chain::Output;
use millpond_journal::Policy;
use millpond_ledger::FeeName;
use millpond_payout::direct::LONGEST_SCRIPT;
use millpond_types::{Amount, ShareSeq, UnixMillis};
use parking_lot::{Condvar, Mutex};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::{Duration, Instant};

/// A stop is heard, and another policy seen, within this time.
const LOOK: Duration = Duration::from_millis(500);
/// After a plan that did not come about the next is tried this late.
const AGAIN: Duration = Duration::from_secs(2);
/// A plan that cannot be made anew for so many times the usual pause gives out no more jobs,
const STALE: u32 = 10;
/// and for no less than this.
const STALE_LEAST: Duration = Duration::from_secs(600);
/// Plans whose jobs may still come: as many revisions as the chain keeps.
const KEPT: usize = 64;

/// What a running pool knows of its plans.
pub(crate) struct Planner {
    limit: u32,
    every: Duration,
    recipients: BTreeMap<FeeName, Vec<u8>>,
    /// Recorded by this process, the newest last.
    recorded: Mutex<VecDeque<(Vec<Output>, u64)>>,
    newest: Mutex<Option<Arc<ReadyJob>>>,
    /// Somebody wants a plan now.
    wanted: Mutex<bool>,
    wakes: Condvar,
    /// Since when plans do not come about.
    failing: Mutex<Option<Instant>>,
    /// The most bytes that a coinbase had so far without the outputs that pay somebody: an empty block's commits to no
    /// witness, and the next one's does.
    fixed: AtomicU32,
}

/// Whether plans did not come about for too long to give out jobs of an older one.
fn is_stale(failing: Option<Instant>, now: Instant, every: Duration) -> bool {
    let longest = every.saturating_mul(STALE).max(STALE_LEAST);
    failing.is_some_and(|since| now.saturating_duration_since(since) >= longest)
}

impl Planner {
    /// For a pool whose section wants planned coinbases.
    ///
    /// # Errors
    /// When a fee recipient has no address that a coinbase could pay.
    pub(crate) fn of(prepared: &Prepared) -> Result<Option<Self>, String> {
        let section = &prepared.section;
        if !prepared.wanted.planned {
            return Ok(None);
        }
        let resolver = Resolver { adapter: prepared.adapter.as_ref(), check: prepared.addresses.as_deref() };
        let mut recipients = BTreeMap::new();
        for recipient in section.fee.iter().flat_map(|fee| &fee.recipient) {
            let name = FeeName::try_from(recipient.name.clone()).map_err(|why| why.to_string())?;
            let address = recipient.address.as_deref().unwrap_or_default();
            recipients.insert(name, resolver.payee(address)?);
        }
        let limit = millpond_stratum::coinbase_limit(&section.chain.coinbase_limit);
        let limit = limit.and_then(|limit| u32::try_from(limit).ok()).ok_or("no limit of the coinbase")?;
        Ok(Some(Self {
            limit,
            every: section.chain.plan_every,
            recipients,
            recorded: Mutex::default(),
            newest: Mutex::default(),
            wanted: Mutex::new(false),
            wakes: Condvar::new(),
            failing: Mutex::default(),
            fixed: AtomicU32::new(0),
        }))
    }

    /// A job came, with a coinbase of so many bytes: where the plan of its outputs is recorded. `None` for outputs that no
    /// plan is recorded of, for a coinbase that is longer than miners were promised, and while plans have not come about
    /// for long: such a job is not given out.
    pub(crate) fn plan_of(&self, ready: &Arc<ReadyJob>, bytes: Option<usize>) -> Option<u64> {
        let before = self.newest.lock().replace(Arc::clone(ready));
        let is_known = |(outputs, _): &&(Vec<Output>, u64)| **outputs == *ready.outputs;
        let known = self.recorded.lock().iter().rev().find(is_known).map(|(_, at)| *at);
        if known.is_none() || before.is_none_or(|before| before.parent != ready.parent) {
            self.wake();
        }
        if !self.fits(bytes) {
            self.wake();
            return None;
        }
        known.filter(|_| !is_stale(*self.failing.lock(), Instant::now(), self.every))
    }

    /// Whether miners take a coinbase of so many bytes.
    fn fits(&self, bytes: Option<usize>) -> bool {
        let bytes = bytes.map(|bytes| u32::try_from(bytes).unwrap_or(u32::MAX));
        bytes.is_none_or(|bytes| bytes <= self.limit)
    }

    fn wake(&self) {
        *self.wanted.lock() = true;
        self.wakes.notify_all();
    }

    /// Waits until a plan is wanted, at most this long; whether one is.
    fn wait(&self, most: Duration) -> bool {
        let mut wanted = self.wanted.lock();
        if !*wanted {
            self.wakes.wait_for(&mut wanted, most);
        }
        std::mem::take(&mut *wanted)
    }

    fn asked(&self, job: &ReadyJob, bytes: Option<usize>) -> Result<Asked, PlanError> {
        let amounts = millpond_chain::shares(job.reward, &job.outputs).ok_or(PlanError::Nobody)?;
        let paying = job.outputs.iter().zip(amounts).filter(|(_, amount)| *amount > Amount::ZERO);
        let length = |output: &Output| match output.payee.len() {
            0 => LONGEST_SCRIPT,
            length => length,
        };
        let paying: usize = paying.map(|(output, _)| length(output).saturating_add(9)).sum();
        let fixed = bytes.and_then(|bytes| u32::try_from(bytes.checked_sub(paying)?).ok());
        let fixed = fixed.map(|fixed| fixed.max(self.fixed.fetch_max(fixed, Ordering::Relaxed)));
        Ok(Asked {
            coord: job.coord,
            network_work: u128::from(job.network_target.work(job.version.work_shift).0),
            reward: job.reward,
            parent: job.parent.to_vec(),
            fixed: fixed.ok_or(PlanError::Length)?,
            limit: self.limit,
            recipients: self.recipients.clone(),
        })
    }
}

/// The thread: plans at each new tip, at each change of policy, and from time to time, until told to stop.
pub(crate) fn run(core: &Arc<Core>, stop: &Receiver<()>) {
    let Some(planner) = &core.planner else { return };
    let (mut next, mut by): (Instant, Option<Policy>) = (Instant::now(), None);
    let mut end = ShareSeq(0);
    loop {
        let mut wanted = planner.wait(LOOK);
        if !matches!(stop.try_recv(), Err(TryRecvError::Empty)) {
            return;
        }
        let policy = core.journal.newest_policy();
        wanted |= by.is_some() && by != policy;
        wanted |= Instant::now() >= next && by.is_some() && core.journal.view().newest() > end;
        if !wanted {
            continue;
        }
        match step(core, planner) {
            Ok(true) => {
                core.alarms.clear(core.name.as_str(), ABOUT);
                *planner.failing.lock() = None;
                (by, end) = (policy, core.journal.view().newest());
                next = Instant::now().checked_add(planner.every).unwrap_or(next);
            }
            Ok(false) => {}
            Err(why) => {
                let since = *planner.failing.lock().get_or_insert_with(Instant::now);
                let stays = match is_stale(Some(since), Instant::now(), planner.every) {
                    true => "and has not been for long: no job is given out until it is",
                    false => "the plan before stays",
                };
                let text = format!("whom the coinbase pays is not planned anew, {stays}: {why}");
                core.alarm(Level::Critical, ABOUT, text);
                next = Instant::now().checked_add(AGAIN).unwrap_or(next);
                // Tried again for want of a plan, with or without new shares.
                (by, end) = (by.or(policy), ShareSeq(0));
            }
        }
    }
}

/// How long the coinbase of a job is at most, as far as the host can tell.
pub(crate) fn coinbase_bytes(core: &Core, job: &ReadyJob) -> Option<usize> {
    core.chain()?.trust().coinbase.as_ref()?.bytes(job)
}

/// Plans once; false when there is no job yet.
fn step(core: &Core, planner: &Planner) -> Result<bool, BooksError> {
    let (newest, chain) = (planner.newest.lock().clone(), core.chain());
    let (Some(job), Some(chain)) = (newest, chain) else { return Ok(false) };
    let bytes = coinbase_bytes(core, &job);
    let asked = planner.asked(&job, bytes).map_err(DecideError::from)?;
    let (outputs, at) = core.books.plan(&asked, UnixMillis::now())?;
    {
        let mut recorded = planner.recorded.lock();
        recorded.push_back((outputs.clone(), at));
        while recorded.len() > KEPT {
            recorded.pop_front();
        }
    }
    tracing::debug!(pool = %core.name, outputs = outputs.len(), at, "whom the coinbase pays is planned");
    chain.outputs(outputs);
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_that_cannot_be_made_anew_ends() {
        let (now, every) = (Instant::now(), Duration::from_secs(300));
        let later = |seconds| now + Duration::from_secs(seconds);
        assert!(!is_stale(None, later(1 << 20), every), "an idle pool's plan is as good as it was");
        assert!(!is_stale(Some(now), later(2_999), every));
        assert!(is_stale(Some(now), later(3_000), every));
        assert!(!is_stale(Some(now), later(599), Duration::from_secs(10)));
        assert!(is_stale(Some(now), later(600), Duration::from_secs(10)));
    }
}
