//! What the journal must know of its past without reading it: carried over into every new segment, so that opening
//! reads one segment and old ones can be dropped.

use crate::codec::{Field, Input, cases, fields};
use crate::lists::Lists;
use crate::{
    BlockFate, ExtranonceLease, Income, Miner, MinerSetting, Notice, Policy, Promise, Record, Retention,
    Worker, WorkerId,
};
use millpond_types::{JobId, MinerId, ShareSeq, UnixMillis};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// As many ends of windows are remembered; rounds of older incomes can no longer be told.
const MAX_ENDS: usize = 65_536;
/// As many blocks are followed; beyond it the oldest orphans are forgotten.
const MAX_OPEN: usize = 10_000;

/// Everything that is carried over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    pub(crate) next_share: u64,
    pub(crate) next_job: u64,
    pub(crate) miners: BTreeMap<MinerId, Miner>,
    pub(crate) workers: BTreeMap<WorkerId, Worker>,
    pub(crate) settings: BTreeMap<(MinerId, String), MinerSetting>,
    pub(crate) policies: Vec<Policy>,
    pub(crate) leases: BTreeMap<u32, ExtranonceLease>,
    pub(crate) blocks: BTreeMap<Vec<u8>, OpenBlock>,
    pub(crate) incomes: BTreeMap<Vec<u8>, Income>,
    pub(crate) ends: BTreeSet<ShareSeq>,
    pub(crate) dropped: Retention,
    pub(crate) lists: Arc<Lists>,
    /// What is announced and not in force. Carried over as a record of its own.
    pub(crate) notice: Option<Notice>,
    /// How long it is announced. Carried over likewise.
    pub(crate) promise: Option<Promise>,
}

fields! {
    /// A block of ours whose fate is not final.
    struct OpenBlock {
        /// Its hash or other id.
        block: Vec<u8>,
        /// Where its [`crate::Solution`] lies in the journal.
        position: u64,
        /// The job it solves.
        job: JobId,
        /// Who found it.
        miner: MinerId,
        /// With which worker.
        worker: WorkerId,
        /// Its own place among the shares, if it earned credit.
        share: Option<ShareSeq>,
        /// Where its window ends.
        end: ShareSeq,
        /// Coordinate of its job.
        coord: u64,
        /// Work of its job's network target.
        network_work: u128,
        /// When it was found.
        time: UnixMillis,
        /// What the nodes answered.
        submitted: Answered,
        /// What was last heard of it.
        fate: Option<BlockFate>,
    }
}

cases! {
    /// What the nodes said of a block so far. Until one has it, it is submitted again after a restart: those that
    /// refused it may have been wrong, and others were not asked.
    #[derive(Copy)]
    enum Answered {
        /// Nothing.
        0 => Nobody,
        /// Every answer so far was a refusal.
        1 => Refused,
        /// At least one node has it.
        2 => Taken,
    }
}

impl Default for State {
    fn default() -> Self {
        Self {
            next_share: 1,
            next_job: 1,
            miners: BTreeMap::new(),
            workers: BTreeMap::new(),
            settings: BTreeMap::new(),
            policies: Vec::new(),
            leases: BTreeMap::new(),
            blocks: BTreeMap::new(),
            incomes: BTreeMap::new(),
            ends: BTreeSet::new(),
            dropped: Retention::default(),
            lists: Arc::default(),
            notice: None,
            promise: None,
        }
    }
}

impl State {
    /// All miners ever seen, ascending.
    pub fn miners(&self) -> impl Iterator<Item = &Miner> {
        self.miners.values()
    }

    /// All policies ever in force, oldest first.
    #[must_use]
    pub fn policies(&self) -> &[Policy] {
        &self.policies
    }

    /// Blocks whose fate is not final.
    pub fn blocks(&self) -> impl Iterator<Item = &OpenBlock> {
        self.blocks.values()
    }

    /// Takes in one durable record.
    pub(crate) fn apply(&mut self, position: u64, record: &Record) {
        match record {
            Record::Miner(miner) => {
                self.miners.insert(miner.id, miner.clone());
            }
            Record::Worker(worker) => {
                self.workers.insert(worker.id, worker.clone());
            }
            Record::Job(job) => self.next_job = self.next_job.max(job.id.0.saturating_add(1)),
            Record::Shares(block) => {
                self.next_share = block.first.0.saturating_add(block.shares.len() as u64);
            }
            Record::Solution(solution) => {
                let open = OpenBlock {
                    block: solution.block.clone(),
                    position,
                    job: solution.job,
                    miner: solution.miner,
                    worker: solution.worker,
                    share: solution.share,
                    end: solution.end,
                    coord: solution.coord,
                    network_work: solution.network_work,
                    time: solution.time,
                    submitted: Answered::Nobody,
                    fate: None,
                };
                // The same block a second time changes nothing.
                self.blocks.entry(solution.block.clone()).or_insert(open);
                self.forget_orphans();
            }
            Record::Submission(submission) => {
                if let Some(open) = self.blocks.get_mut(&submission.block) {
                    use crate::Verdict::{Accepted, Duplicate, Rejected, Retry, Stale};
                    open.submitted = match (&submission.verdict, open.submitted) {
                        (Accepted | Duplicate | Stale, _) => Answered::Taken,
                        (Rejected, Answered::Nobody) => Answered::Refused,
                        (Rejected | Retry, before) => before,
                    };
                }
            }
            Record::Fate(fate) if fate.fate == BlockFate::Final => {
                self.blocks.remove(&fate.block);
            }
            Record::Fate(fate) => {
                if let Some(open) = self.blocks.get_mut(&fate.block) {
                    open.fate = Some(fate.fate.clone());
                }
            }
            Record::Income(income) => {
                if income.mature {
                    self.incomes.remove(&income.key);
                } else {
                    self.incomes.insert(income.key.clone(), income.clone());
                }
                self.ends.insert(income.end.seq);
                while self.ends.len() > MAX_ENDS {
                    self.ends.pop_first();
                }
            }
            Record::IncomeLost(lost) => {
                self.incomes.remove(&lost.key);
            }
            Record::Policy(policy) => {
                self.notice = self.notice.take().filter(|notice| !notice.announces(policy));
                self.policies.push(policy.clone());
            }
            Record::Notice(notice) => {
                self.notice = notice.policy.is_some().then(|| notice.clone());
            }
            Record::Promise(promise) => self.promise = Some(promise.clone()),
            Record::MinerSetting(setting) => {
                self.settings.insert((setting.miner, setting.key.clone()), setting.clone());
            }
            Record::ExtranonceLease(lease) => {
                self.leases.insert(lease.front_end, lease.clone());
            }
            Record::CarriedOver(state) => *self = state.as_ref().clone(),
            Record::CarriedMore(more) => self.add(more.0.as_ref().clone()),
            Record::Retention(retention) => {
                self.dropped = *retention;
                if !self.lists.is_empty() {
                    Arc::make_mut(&mut self.lists).forget(retention.last);
                }
            }
            Record::List(list) => {
                let newest = self.newest();
                Arc::make_mut(&mut self.lists).put_in(newest, list.clone());
            }
            Record::Decision(_) | Record::Admin(_) | Record::CoinbasePlan(_) => {}
        }
    }

    /// The newest share.
    pub(crate) fn newest(&self) -> ShareSeq {
        ShareSeq(self.next_share.saturating_sub(1))
    }

    /// Where the round before an end ended: 0 when it is the first.
    pub(crate) fn round_after(&self, end: ShareSeq) -> ShareSeq {
        self.ends.range(..end).next_back().copied().unwrap_or_default()
    }

    /// Where the round before a block of ours ended. Blocks before it count from the moment they are found, since their
    /// incomes may be recorded later than this one's; those that no node took, or that the chain has left, do not.
    pub(crate) fn round_before_block(&self, end: ShareSeq) -> ShareSeq {
        let counts = |open: &&OpenBlock| {
            open.end < end
                && open.submitted != Answered::Refused
                && !matches!(open.fate, Some(BlockFate::Orphan(_)))
        };
        let found = self.blocks.values().filter(counts).map(|open| open.end).max();
        self.round_after(end).max(found.unwrap_or_default())
    }

    fn forget_orphans(&mut self) {
        if self.blocks.len() > MAX_OPEN {
            let orphans = self.blocks.values().filter(|open| matches!(open.fate, Some(BlockFate::Orphan(_))));
            if let Some(oldest) = orphans.min_by_key(|open| open.position).map(|open| open.block.clone()) {
                self.blocks.remove(&oldest);
            }
        }
    }
}

impl Field for State {
    fn put(&self, out: &mut Vec<u8>) {
        fn list<T: Field>(items: impl ExactSizeIterator<Item = T>, out: &mut Vec<u8>) {
            (items.len() as u64).put(out);
            items.for_each(|item| item.put(out));
        }
        self.next_share.put(out);
        self.next_job.put(out);
        list(self.miners.values().cloned(), out);
        list(self.workers.values().cloned(), out);
        list(self.settings.values().cloned(), out);
        self.policies.put(out);
        list(self.leases.values().cloned(), out);
        list(self.blocks.values().cloned(), out);
        list(self.incomes.values().cloned(), out);
        // Ends ascend, so that differences are short.
        let mut before = 0;
        let gaps = self.ends.iter().map(|end| end.0.saturating_sub(std::mem::replace(&mut before, end.0)));
        list(gaps, out);
        self.dropped.put(out);
        self.lists.put(out);
    }

    fn take(from: &mut Input<'_>) -> Option<Self> {
        /// A map from a list that ascends by key.
        fn map<K: Ord + Clone, T: Field>(from: &mut Input<'_>, key: fn(&T) -> K) -> Option<BTreeMap<K, T>> {
            let items: Vec<T> = Field::take(from)?;
            let ascends = items.iter().zip(items.iter().skip(1)).all(|(a, b)| key(a) < key(b));
            ascends.then(|| items.into_iter().map(|item| (key(&item), item)).collect())
        }
        let (next_share, next_job) = (Field::take(from)?, Field::take(from)?);
        let miners = map(from, |miner: &Miner| miner.id)?;
        let workers = map(from, |worker: &Worker| worker.id)?;
        let settings = map(from, |setting: &MinerSetting| (setting.miner, setting.key.clone()))?;
        let policies = Field::take(from)?;
        let leases = map(from, |lease: &ExtranonceLease| lease.front_end)?;
        let blocks = map(from, |open: &OpenBlock| open.block.clone())?;
        let incomes = map(from, |income: &Income| income.key.clone())?;
        let gaps: Vec<u64> = Field::take(from)?;
        let (mut ends, mut end) = (BTreeSet::new(), 0_u64);
        for (index, gap) in gaps.into_iter().enumerate() {
            if gap == 0 && index > 0 {
                return None;
            }
            end = end.checked_add(gap)?;
            ends.insert(ShareSeq(end));
        }
        let dropped = Field::take(from)?;
        let lists = Arc::new(Field::take(from)?);
        Some(Self {
            next_share,
            next_job,
            miners,
            workers,
            settings,
            policies,
            leases,
            blocks,
            incomes,
            ends,
            dropped,
            lists,
            notice: None,
            promise: None,
        })
    }
}
