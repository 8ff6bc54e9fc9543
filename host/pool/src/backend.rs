//! The pool as its sockets see it: logins resolved, shares made durable, solutions submitted in parallel.

use crate::core::{Core, OnItsWay, Task};
use crate::edges::Edge;
use crate::logins::Logins;
use crate::receipts::{Asked, Counted};
use crate::sink;
use crate::stats::{Count, Own, Tally};
use crate::view::BlockView;
use millpond_alerts::Level;
use millpond_disk::{DiskError, DiskFile};
use millpond_jobs::Job;
use millpond_journal::{Durable, ExtranonceLease, Share, WorkerId};
use millpond_recipe::SessionStage;
use millpond_segments::Commit;
use millpond_stratum::{Accepted, Backend, CoinbaseTooLong, NoPayee, NotDurable, Past, Payee, Refusal};
use millpond_types::{Amount, MinerId, SessionId, ShareSeq, UnixMillis, Work};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::future::Future;
use std::hash::Hash;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

/// Miners and workers remembered; when full, all are forgotten and asked for again.
const REMEMBERED: usize = 100_000;
pub(crate) struct PoolBackend {
    core: Arc<Core>,
    front_end: u32,
    past: Past,
    logins: Arc<Logins>,
    miners: Mutex<HashMap<Vec<u8>, MinerId>>,
    workers: Mutex<HashMap<(MinerId, Arc<str>), WorkerId>>,
    unjudged: Mutex<Option<Unjudged>>,
}

/// Who is credited with a login's shares, and where they are counted: noted with the payee at his first share that counts,
/// so that those after it look nobody up.
struct Party {
    miner: MinerId,
    worker: WorkerId,
    tally: Own,
}

/// Why shares cannot be judged, as the operator was told last. The words of an error may differ from share to share; one
/// of them is said for all, so that an outage is one alarm that counts and not one for each share.
struct Unjudged {
    text: String,
    since: UnixMillis,
}

/// For so long the same words are said.
const SAME_WORDS_MS: u64 = 600_000;

/// Remembers in a map that is emptied when it is full.
fn remember<K: Eq + Hash, V>(known: &Mutex<HashMap<K, V>>, key: K, value: V) {
    let mut known = known.lock();
    if known.len() >= REMEMBERED {
        known.clear();
    }
    known.insert(key, value);
}

impl PoolBackend {
    pub(crate) fn new(core: Arc<Core>, front_end: u32, past: Past) -> Arc<Self> {
        Arc::new(Self {
            core,
            front_end,
            past,
            logins: Arc::default(),
            miners: Mutex::default(),
            workers: Mutex::default(),
            unjudged: Mutex::default(),
        })
    }

    /// The miner's number and his worker's. A payee enters the journal here, with a share that counts or solves, and not
    /// with his login: addresses without work would fill it.
    async fn parties(&self, share: &Accepted) -> Result<(MinerId, WorkerId), NotDurable> {
        let payee = &share.payee;
        let known = self.miners.lock().get(&payee.payee).copied();
        let miner = match known {
            Some(miner) => miner,
            None => {
                let durable = self.core.journal.miner(&payee.payee, &payee.address);
                let miner = durable.await.map_err(|why| self.not_durable(&why))?;
                remember(&self.miners, payee.payee.clone(), miner);
                miner
            }
        };
        Ok((miner, self.worker(miner, &share.worker).await?))
    }

    async fn worker(&self, miner: MinerId, name: &Arc<str>) -> Result<WorkerId, NotDurable> {
        let key = (miner, Arc::clone(name));
        if let Some(id) = self.workers.lock().get(&key) {
            return Ok(*id);
        }
        let id = self.core.journal.worker(miner, name).await.map_err(|why| self.not_durable(&why))?;
        remember(&self.workers, key, id);
        Ok(id)
    }

    fn not_durable(&self, why: &dyn std::fmt::Display) -> NotDurable {
        let text = format!("shares cannot be recorded: {why}");
        self.core.alarm(Level::Critical, "journal", text);
        NotDurable("the pool cannot record shares now; yours was not counted".to_owned())
    }

    /// Writes a solution's template, without a sync.
    async fn keep(&self, id: &[u8], body: bytes::Bytes) -> Kept {
        let (core, path) = (Arc::clone(&self.core), self.core.body_path(id));
        let write = move || {
            let file = core.disk.create(&path)?;
            file.append(&body)?;
            Ok((core, file))
        };
        let failed =
            |why: tokio::task::JoinError| DiskError::new("write", &self.core.body_path(id), why.into());
        tokio::task::spawn_blocking(write).await.map_err(failed).flatten()
    }

    async fn solved(&self, share: &Accepted) -> Result<(Option<ShareSeq>, (MinerId, WorkerId)), NotDurable> {
        let core = &self.core;
        let nobody = (MinerId(0), WorkerId(0));
        let Some(solution) = &share.solution else { return Ok((None, nobody)) };
        core.pass(Edge::Solved);
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
        core.recording.lock().insert(id.clone(), Vec::new());
        // Assembled while it is recorded, and sent while the record is synced: that takes a millisecond or more that another
        // pool's block could use. No node hears of it before the record is written, or a kill in between would leave a block
        // in the chain whose finder and window nobody knows.
        let (recording, written) = Commit::pair();
        let solved = Some(Arc::clone(&share.job));
        let tag = core.tag(OnItsWay::new(id.clone(), solved, Some(written)));
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
        // Where names cannot be recorded nothing can, and the block is on its way all the same.
        let (miner, worker) = self.parties(share).await.unwrap_or(nobody);
        let record = millpond_journal::Solution {
            block: id.clone(),
            job: job.id,
            miner,
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
        let credited = share.credited.then(|| recorded(share, miner, worker));
        // The template is written before the record that needs it after a kill, and synced beside it.
        let body = match &job.body {
            Some(body) => Some(self.keep(&id, body.bytes()).await),
            None => None,
        };
        let durable = core.journal.solution_for(record, credited, recording);
        let body = body.map(|kept| {
            tokio::task::spawn_blocking(move || {
                kept.and_then(|(core, file)| {
                    file.sync()?;
                    core.disk.sync_dir(&core.solutions())
                })
            })
        });
        let durable = durable.await;
        let early = core.recording.lock().remove(&id).unwrap_or_default();
        let seq = durable.map_err(|why| self.not_durable(&why))?;
        if !early.is_empty() {
            // On a disk so slow the chain was quicker.
            let core = Arc::clone(core);
            drop(tokio::task::spawn_blocking(move || sink::place(&core, early)));
        }
        if let Some(body) = body
            && let Ok(Err(why)) = body.await
        {
            // The block itself is on its way and recorded; only a resubmission after a crash would miss this.
            core.alarm(Level::Warning, "disk", format!("a solution's template was not kept: {why}"));
        }
        core.pass(Edge::SolutionRecorded);
        let _ = core.tasks.send(Task::Found { block: id });
        Ok((seq, (miner, worker)))
    }
}

type Kept = Result<(Arc<Core>, Arc<dyn DiskFile>), DiskError>;

/// A share as it is recorded.
fn recorded(share: &Accepted, miner: MinerId, worker: WorkerId) -> Share {
    let job = &share.job;
    Share {
        miner,
        worker,
        job: job.id,
        coord: job.coord,
        network_work: u128::from(job.network_work().0),
        reward: job.reward,
        subsidy: job.subsidy,
        work: share.work,
        time: share.time,
        id: share.id,
    }
}

/// A share that is being made durable.
enum Accepting<'a> {
    /// Of somebody who is known: it waits for its record alone.
    Known {
        backend: &'a PoolBackend,
        durable: Durable<ShareSeq>,
        tally: Arc<Tally>,
        work: Work,
        time: UnixMillis,
        /// Of a miner who asked for receipts.
        receipted: Option<Box<(Arc<Asked>, SessionId, Counted)>>,
    },
    /// A first share, or a solution.
    Other(Pin<Box<dyn Future<Output = Result<Option<ShareSeq>, NotDurable>> + Send + 'a>>),
}

impl Future for Accepting<'_> {
    type Output = Result<Option<ShareSeq>, NotDurable>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.get_mut() {
            Self::Known { backend, durable, tally, work, time, receipted } => {
                let durable = ready!(Pin::new(durable).poll(context));
                let core = &backend.core;
                Poll::Ready(durable.map_err(|why| backend.not_durable(&why)).map(|seq| {
                    core.pass(Edge::ShareRecorded);
                    core.stats.accepted(tally, *work, *time);
                    if let Some((asked, session, share)) = receipted.as_deref() {
                        asked.accepted(*session, seq, share);
                    }
                    Some(seq)
                }))
            }
            Self::Other(accepting) => accepting.as_mut().poll(context),
        }
    }
}

impl PoolBackend {
    /// The same for what takes more than one step.
    async fn accept_slowly(&self, share: Accepted) -> Result<Option<ShareSeq>, NotDurable> {
        let core = &self.core;
        let (seq, (miner, worker)) = if share.solution.is_some() {
            self.solved(&share).await?
        } else if share.credited {
            let (miner, worker) = self.parties(&share).await?;
            let durable = core.journal.share(recorded(&share, miner, worker));
            let seq = durable.await.map_err(|why| self.not_durable(&why))?;
            core.pass(Edge::ShareRecorded);
            (Some(seq), (miner, worker))
        } else {
            return Ok(None);
        };
        // Without a number the share was recorded as nobody's.
        if share.credited && miner.0 != 0 {
            if let (Some(asked), Some(seq)) = (core.receipts.of(miner), seq) {
                asked.accepted(share.session, seq, &Counted::of(&share));
            }
            let tally = core.stats.tally(miner, &share.worker, share.time);
            core.stats.accepted(&tally, share.work, share.time);
            if share.worker == share.payee.worker
                && let Some(tally) = tally.own()
            {
                share.payee.note.set(Party { miner, worker, tally });
            }
        }
        Ok(seq)
    }
}

impl Backend for PoolBackend {
    async fn resolve(&self, login: &str) -> Result<Arc<Payee>, NoPayee> {
        self.logins.resolve(&self.core, login).await
    }

    fn accept(&self, share: Accepted) -> impl Future<Output = Result<Option<ShareSeq>, NotDurable>> + Send {
        let plain = share.credited && share.solution.is_none() && share.worker == share.payee.worker;
        match share.payee.note.get::<Party>().filter(|_| plain) {
            Some(party) => Accepting::Known {
                backend: self,
                durable: self.core.journal.share(recorded(&share, party.miner, party.worker)),
                tally: Arc::clone(party.tally.tally()),
                work: share.work,
                time: share.time,
                receipted: (self.core.receipts.of(party.miner))
                    .map(|asked| Box::new((asked, share.session, Counted::of(&share)))),
            },
            None => Accepting::Other(Box::pin(self.accept_slowly(share))),
        }
    }

    fn may_work(&self, job: &Job, session: &SessionStage, payee: &Payee) -> Result<(), String> {
        let ready = self.core.ready.lock().get(&job.id).cloned();
        let (Some(ready), Some(chain)) = (ready, self.core.chain()) else {
            return Err("what it was checked with is gone".to_owned());
        };
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

    fn coinbase_too_long(&self, what: &CoinbaseTooLong) {
        self.core.alarm(Level::Warning, "firmware", what.to_string());
    }

    fn unjudged(&self, job: &Job, error: &str) {
        let now = UnixMillis::now();
        let text = {
            let mut told = self.unjudged.lock();
            match &*told {
                Some(known) if now.since(known.since) < SAME_WORDS_MS => known.text.clone(),
                _ => {
                    let text = format!(
                        "shares cannot be judged, and one of them may be a block: {error} (job {} of adapter {}). They \
                         are refused without a word against the miners, and are in the log with all their fields",
                        job.id,
                        job.origin.adapter.short()
                    );
                    *told = Some(Unjudged { text: text.clone(), since: now });
                    text
                }
            }
        };
        self.core.alarm(Level::Critical, "validator", text);
    }

    fn refused(&self, payee: Option<&Arc<Payee>>, worker: &str, why: Refusal) {
        let count = match why {
            Refusal::UnknownJob | Refusal::Stale => Count::Stale,
            Refusal::Duplicate => Count::Duplicate,
            Refusal::LowDifficulty => Count::LowDifficulty,
            _ => Count::Invalid,
        };
        let (journal, stats) = (&self.core.journal, &self.core.stats);
        let tally = payee.and_then(|payee| match payee.note.get::<Party>() {
            Some(party) if *payee.worker == *worker => Some(Arc::clone(party.tally.tally())),
            Some(party) => stats.known(party.miner, worker),
            None => stats.known(journal.miner_by_payee(&payee.payee)?, worker),
        });
        stats.refused(tally.as_deref(), count);
    }
}
