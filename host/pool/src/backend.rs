//! The pool as its sockets see it: logins resolved, shares made durable, solutions submitted in parallel.

use crate::core::{Core, OnItsWay, Task};
use crate::stats::Count;
use crate::view::BlockView;
use millpond_alerts::Level;
use millpond_chain::Unresolved;
use millpond_disk::replace_file;
use millpond_jobs::Job;
use millpond_journal::{ExtranonceLease, Share, WorkerId};
use millpond_recipe::SessionStage;
use millpond_stratum::{Accepted, Backend, NotDurable, Past, Payee, Refusal};
use millpond_types::{Amount, MinerId, ShareSeq, UnixMillis, Work};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

/// Logins and workers remembered; when full, all are forgotten and asked for again.
const REMEMBERED: usize = 100_000;
/// The longest login that is looked at.
const LOGIN: usize = 512;

pub(crate) struct PoolBackend {
    core: Arc<Core>,
    front_end: u32,
    past: Past,
    logins: Mutex<HashMap<String, Arc<Payee>>>,
    workers: Mutex<HashMap<(MinerId, Arc<str>), WorkerId>>,
}

impl PoolBackend {
    pub(crate) fn new(core: Arc<Core>, front_end: u32, past: Past) -> Arc<Self> {
        Arc::new(Self { core, front_end, past, logins: Mutex::default(), workers: Mutex::default() })
    }

    async fn worker(&self, miner: MinerId, name: &Arc<str>) -> Result<WorkerId, NotDurable> {
        let key = (miner, Arc::clone(name));
        if let Some(id) = self.workers.lock().get(&key) {
            return Ok(*id);
        }
        let id = self.core.journal.worker(miner, name).await.map_err(|why| self.not_durable(&why))?;
        let mut workers = self.workers.lock();
        if workers.len() >= REMEMBERED {
            workers.clear();
        }
        workers.insert(key, id);
        Ok(id)
    }

    fn not_durable(&self, why: &dyn std::fmt::Display) -> NotDurable {
        let text = format!("shares cannot be recorded: {why}");
        self.core.alarm(Level::Critical, "journal", text);
        NotDurable("the pool cannot record shares now; yours was not counted".to_owned())
    }

    async fn solved(
        &self,
        share: &Accepted,
        recorded: Share,
        worker: WorkerId,
    ) -> Result<Option<ShareSeq>, NotDurable> {
        let core = &self.core;
        let Some(solution) = &share.solution else { return Ok(None) };
        let id = share.id.to_vec();
        let job = &share.job;
        core.show(
            id.clone(),
            BlockView {
                block: hex::encode(&id),
                coord: job.coord,
                time: share.time,
                finder: share.payee.address.clone(),
                worker: share.worker.to_string(),
                verdicts: Vec::new(),
                fate: "submitted".to_owned(),
                income: Amount::ZERO,
                mature: false,
            },
        );
        // To the nodes first: the journal takes a millisecond that another pool's block could use.
        let tag = core.tag(OnItsWay { id: id.clone(), job: Some(Arc::clone(&share.job)) });
        match core.chain() {
            Some(chain) => {
                if let Err(why) =
                    chain.solve(tag, &share.job, solution.fields.clone(), solution.results.clone())
                {
                    core.alarm(
                        Level::Critical,
                        "block",
                        format!("a block was found and not submitted: {why}"),
                    );
                }
            }
            None => core.alarm(Level::Critical, "block", "a block was found while the pool was ending"),
        }
        let record = millpond_journal::Solution {
            block: id.clone(),
            job: job.id,
            miner: share.payee.miner,
            worker,
            share: None,
            end: ShareSeq(0),
            coord: job.coord,
            network_work: u128::from(job.network_work().0),
            fields: solution.fields.clone(),
            results: solution.results.clone(),
            private: Some(job.private.to_vec()),
            time: share.time,
        };
        let durable = core.journal.solution(record, share.credited.then_some(recorded));
        let body = job.body.clone().map(|body| {
            let (core, path) = (Arc::clone(core), core.body_path(&id));
            tokio::task::spawn_blocking(move || replace_file(core.disk.as_ref(), &path, &body))
        });
        let seq = durable.await.map_err(|why| self.not_durable(&why))?;
        if let Some(body) = body
            && let Ok(Err(why)) = body.await
        {
            // The block itself is on its way and recorded; only a resubmission after a crash would miss this.
            core.alarm(Level::Warning, "disk", format!("a solution's template was not kept: {why}"));
        }
        let _ = core.tasks.send(Task::Found { block: id });
        Ok(seq)
    }
}

impl Backend for PoolBackend {
    async fn resolve(&self, login: &str) -> Result<Arc<Payee>, String> {
        if login.len() > LOGIN {
            return Err(format!("a login has at most {LOGIN} bytes"));
        }
        if let Some(payee) = self.logins.lock().get(login) {
            return Ok(Arc::clone(payee));
        }
        let chain = self.core.chain().ok_or("the pool is not ready yet")?;
        let version = chain.version().ok_or("the pool is not ready yet")?;
        let check = chain.trust().addresses.clone();
        let names = vec![login.to_owned()];
        let asked = move || millpond_chain::resolve(version.adapter.as_ref(), check.as_deref(), &names);
        let answers = tokio::task::spawn_blocking(asked)
            .await
            .map_err(|_| "the login could not be looked up".to_owned())?;
        let answers = answers.map_err(|why| {
            self.core.alarm(Level::Warning, "adapter", format!("a login could not be resolved: {why}"));
            "the login could not be looked up".to_owned()
        })?;
        let found = answers.value.into_iter().next().ok_or("the login could not be looked up")?;
        let found = found.map_err(|why| {
            if matches!(why, Unresolved::Lie { .. }) {
                self.core.alarm(Level::Critical, "trust", why.to_string());
                return "the pool could not make sure whom this login pays: nobody is paid by it".to_owned();
            }
            why.to_string()
        })?;
        if found.payee.is_empty() {
            return Err("this address pays nobody".to_owned());
        }
        let miner = self
            .core
            .journal
            .miner(&found.payee, &found.address)
            .await
            .map_err(|why| self.not_durable(&why).to_string())?;
        let payee = Payee { miner, payee: found.payee, address: found.address, worker: found.worker };
        let payee = Arc::new(payee);
        let mut logins = self.logins.lock();
        if logins.len() >= REMEMBERED {
            logins.clear();
        }
        logins.insert(login.to_owned(), Arc::clone(&payee));
        Ok(payee)
    }

    async fn accept(&self, share: Accepted) -> Result<Option<ShareSeq>, NotDurable> {
        let worker = match self.worker(share.payee.miner, &share.worker).await {
            Ok(worker) => worker,
            // A block goes to the nodes even when nothing can be recorded.
            Err(_) if share.solution.is_some() => WorkerId(0),
            Err(why) => return Err(why),
        };
        let job = &share.job;
        let recorded = Share {
            miner: share.payee.miner,
            worker,
            job: job.id,
            coord: job.coord,
            network_work: u128::from(job.network_work().0),
            reward: job.reward,
            work: share.work,
            time: share.time,
            id: share.id,
        };
        let seq = if share.solution.is_some() {
            self.solved(&share, recorded, worker).await?
        } else if share.credited {
            let seq = self.core.journal.share(recorded).await.map_err(|why| self.not_durable(&why))?;
            Some(seq)
        } else {
            None
        };
        if share.credited {
            let (miner, work) = (Some(share.payee.miner), share.work);
            self.core.stats.count(miner, &share.worker, Count::Accepted, work, share.time);
        }
        Ok(seq)
    }

    fn may_work(&self, job: &Job, session: &SessionStage, payee: &Payee) -> Result<(), String> {
        let ready = self.core.ready.lock().get(&job.id).cloned();
        let (Some(ready), Some(chain)) = (ready, self.core.chain()) else { return Ok(()) };
        ready.check_session(chain.trust(), session, &payee.payee).map_err(|why| {
            let text = format!("a job would pay somebody else than the miner who works on it: {why}");
            self.core.alarm(Level::Critical, "trust", text.clone());
            text
        })
    }

    fn past(&self) -> Past {
        self.past.clone()
    }

    async fn reserve(&self, count: u64) -> Result<Range<u64>, NotDurable> {
        let from = self.core.journal.next_extranonce_slot();
        let to = from.saturating_add(count);
        let lease = ExtranonceLease { front_end: self.front_end, from, to, time: UnixMillis::now() };
        self.core.journal.record(lease).await.map_err(|why| self.not_durable(&why))?;
        Ok(from..to)
    }

    fn refused(&self, payee: Option<&Arc<Payee>>, worker: &str, why: Refusal) {
        let count = match why {
            Refusal::UnknownJob | Refusal::Stale => Count::Stale,
            Refusal::Duplicate => Count::Duplicate,
            Refusal::LowDifficulty => Count::LowDifficulty,
            _ => Count::Invalid,
        };
        self.core.stats.count(payee.map(|payee| payee.miner), worker, count, Work(0), UnixMillis::now());
    }
}
