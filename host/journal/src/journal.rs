//! The journal of a running pool.

use crate::owner::{Item, Packer, Published, solution_size};
use crate::records::{Miner, Solution, WindowEnd, Worker, WorkerId};
use crate::state::{Answered, OpenBlock, State};
use crate::view::{Entry, JournalView};
use crate::{
    BlockFate, FORMAT, Income, JournalError, MinerSetting, Notice, Policy, Promise, Record, Retention, Share,
};
use millpond_disk::Disk;
use millpond_segments::{Commit, Forecast, GroupLog, LogError, MAX_PAYLOAD, Opened, Resolver};
use millpond_types::{JobId, MinerId, ShareSeq, UnixMillis};
use parking_lot::Mutex;
use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Resolves when a record is durable. Await it in a task, or `wait()` for it on a thread.
pub type Durable<T> = Commit<u64, T>;

/// How the journal is kept; `format` is overwritten with [`FORMAT`].
pub type Options = millpond_segments::Options;

/// What was found at open.
#[derive(Clone, Debug)]
pub struct Recovered {
    /// What the log found: first and next position, a torn tail.
    pub opened: Opened,
    /// The newest share.
    pub newest: ShareSeq,
    /// Blocks that no node has: to be submitted now.
    pub unsubmitted: Vec<Solution>,
}

/// See [`Journal::progress`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Units ([`Share::units`]) of all shares that became durable since the journal was opened.
    pub units: u128,
    /// What that was when the asked-for share became durable, if it solved a block, and was one of the last 1,024 that did.
    pub then: Option<u128>,
}

/// The longest payee, address or worker name in bytes: they are carried over into every segment.
pub const MAX_NAME: usize = 4096;
/// Workers of one miner that have a number of their own: names cost a miner nothing, and are carried over into every
/// segment.
pub const MAX_WORKERS: usize = 1_000;

fn check_names(names: &[&[u8]]) -> Result<(), LogError> {
    match names.iter().map(|name| name.len()).find(|bytes| *bytes > MAX_NAME) {
        None => Ok(()),
        Some(bytes) => Err(LogError::TooLarge { bytes, limit: MAX_NAME }),
    }
}

/// The journal of a pool. Share it by `Arc`; all methods take `&self`. Writing never blocks but gives a commit; what
/// reads segments or waits for a commit ([`Journal::drop_before`], [`Journal::end_of_coord`],
/// [`Journal::unsubmitted`], [`JournalView::window`]) blocks, and belongs on a blocking thread.
#[derive(Debug)]
pub struct Journal {
    log: GroupLog<Packer>,
    published: Arc<Published>,
    registry: Mutex<Registry>,
    next_job: AtomicU64,
}

/// Numbers given to miners and workers, durable or about to be.
#[derive(Debug, Default)]
struct Registry {
    miners: HashMap<Vec<u8>, MinerId>,
    addresses: HashMap<String, MinerId>,
    workers: HashMap<(MinerId, String), WorkerId>,
    /// How many workers each miner has.
    named: HashMap<MinerId, usize>,
    next_miner: u64,
    next_worker: u64,
}

impl Registry {
    /// Each map on a thread of its own: of a million miners they are a third of a start.
    fn of(state: &State) -> Self {
        let (miners, workers) = (&state.miners, &state.workers);
        std::thread::scope(|scope| {
            let payees =
                scope.spawn(|| miners.values().map(|miner| (miner.payee.clone(), miner.id)).collect());
            // Of two with one address the older is meant.
            let addresses =
                scope.spawn(|| miners.values().rev().map(|m| (m.address.clone(), m.id)).collect());
            let names = scope.spawn(|| workers.values().map(|w| ((w.miner, w.name.clone()), w.id)).collect());
            let mut named = HashMap::<_, usize>::new();
            for worker in workers.values() {
                let named = named.entry(worker.miner).or_default();
                *named = named.saturating_add(1);
            }
            Self {
                miners: joined(payees),
                addresses: joined(addresses),
                workers: joined(names),
                named,
                next_miner: miners.keys().next_back().map_or(1, |id| id.0.saturating_add(1)),
                next_worker: workers.keys().next_back().map_or(1, |id| id.0.saturating_add(1)),
            }
        })
    }
}

fn joined<T>(thread: std::thread::ScopedJoinHandle<'_, T>) -> T {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

impl Journal {
    /// Opens the journal in a folder, which is created when missing, and locks it against other processes.
    ///
    /// # Errors
    /// When somebody else has it open, the disk fails, or anything but a torn tail does not check.
    pub fn open(
        disk: Arc<dyn Disk>,
        dir: &Path,
        options: Options,
    ) -> Result<(Self, Recovered), JournalError> {
        let published = Arc::new(Published::default());
        let options = Options { format: FORMAT, ..options };
        let (log, opened) = GroupLog::open(disk, dir, options, Packer::new(Arc::clone(&published)))?;
        let (registry, next_job, newest) = {
            let state = published.state.lock();
            (Registry::of(&state), state.next_job, state.newest())
        };
        let journal =
            Self { log, published, registry: Mutex::new(registry), next_job: AtomicU64::new(next_job) };
        let unsubmitted = journal.unsubmitted()?;
        Ok((journal, Recovered { opened, newest, unsubmitted }))
    }

    // ---- writing

    /// Records an accepted share. Resolves to its number when it is durable: only then may the miner read true.
    /// Shares alone are refused with `Busy` when too much waits for the disk.
    pub fn share(&self, share: Share) -> Durable<ShareSeq> {
        self.log.append(Item::Share(share)).map(ShareSeq)
    }

    /// Records a solution in a write of its own, before all that waits, together with its share when that earns
    /// credit. `share` and `end` of the solution are filled in here. Resolves to the share's number.
    pub fn solution(&self, solution: Solution, share: Option<Share>) -> Durable<Option<ShareSeq>> {
        let (written, _) = Commit::pair();
        self.solution_for(solution, share, written)
    }

    /// The same; `written` resolves when the operating system has the record, before it is synced: from then on a process
    /// that is killed does not lose it. It resolves with an error when the record will never be written.
    pub fn solution_for(
        &self,
        solution: Solution,
        share: Option<Share>,
        written: Resolver<()>,
    ) -> Durable<Option<ShareSeq>> {
        let seq = |receipt| (receipt > 0).then_some(ShareSeq(receipt));
        let bytes = solution_size(&solution);
        if bytes > MAX_PAYLOAD {
            return Commit::ready(Err(LogError::TooLarge { bytes, limit: MAX_PAYLOAD })).map(seq);
        }
        self.log.append_urgent(Item::Solution(Box::new(solution), share, written)).map(seq)
    }

    /// Records anything else. Resolves to its position. Miners, workers, shares and solutions have methods of their
    /// own; recording them here would bypass their numbering.
    pub fn record(&self, record: impl Into<Record>) -> Durable<u64> {
        self.append(record.into(), None)
    }

    /// The number of the next job. Numbers of jobs that were never recorded may come again after a restart.
    pub fn next_job_id(&self) -> JobId {
        JobId(self.next_job.fetch_add(1, Ordering::Relaxed))
    }

    /// The number of the miner with this payee, a new one when it was never seen. Resolves when the journal knows
    /// him for good.
    pub fn miner(&self, payee: &[u8], address: &str) -> Durable<MinerId> {
        if let Err(error) = check_names(&[payee, address.as_bytes()]) {
            return Commit::ready(Err(error)).map(MinerId);
        }
        let mut registry = self.registry.lock();
        if let Some(id) = registry.miners.get(payee) {
            return self.known(id.0).map(MinerId);
        }
        let id = MinerId(registry.next_miner);
        registry.next_miner += 1;
        registry.miners.insert(payee.to_owned(), id);
        registry.addresses.entry(address.to_owned()).or_insert(id);
        // Queued under the lock, so that whoever finds the number in the registry queues behind it.
        let miner = Miner { id, payee: payee.to_owned(), address: address.to_owned() };
        self.append(miner.into(), Some(id.0)).map(MinerId)
    }

    /// The number of a miner's worker, a new one when it was never seen. Beyond [`MAX_WORKERS`] names a new one counts as
    /// the worker without a name.
    pub fn worker(&self, miner: MinerId, name: &str) -> Durable<WorkerId> {
        if let Err(error) = check_names(&[name.as_bytes()]) {
            return Commit::ready(Err(error)).map(WorkerId);
        }
        let mut registry = self.registry.lock();
        let registry = &mut *registry;
        let named = registry.named.entry(miner).or_default();
        let mut key = (miner, name.to_owned());
        if *named >= MAX_WORKERS && !registry.workers.contains_key(&key) {
            key.1.clear();
        }
        if let Some(id) = registry.workers.get(&key) {
            return self.known(id.0).map(WorkerId);
        }
        let id = WorkerId(registry.next_worker);
        registry.next_worker += 1;
        *named += 1;
        let name = &key.1.clone();
        registry.workers.insert(key, id);
        let worker = Worker { id, miner, name: name.to_owned() };
        self.append(worker.into(), Some(id.0)).map(WorkerId)
    }

    fn append(&self, record: Record, receipt: Option<u64>) -> Durable<u64> {
        let bytes = record.encode();
        if bytes.len() > MAX_PAYLOAD {
            return Commit::ready(Err(LogError::TooLarge { bytes: bytes.len(), limit: MAX_PAYLOAD }));
        }
        self.log.append_unbounded(Item::Record(Box::new(record), bytes, receipt))
    }

    fn known(&self, receipt: u64) -> Durable<u64> {
        self.log.append_unbounded(Item::Barrier(receipt))
    }

    /// Drops old shares, as far as whole segments lie before this share and no followed block needs them. What still
    /// matters is carried over. Resolves to the position of the first record that is kept.
    ///
    /// # Errors
    /// When the log cannot take the record that says so.
    pub fn drop_before(&self, seq: ShareSeq) -> Result<u64, JournalError> {
        let view = self.view();
        let oldest_open = self.published.state.lock().blocks.values().map(|open| open.position).min();
        let limit = oldest_open.unwrap_or(u64::MAX);
        let mut retention = view.dropped;
        let mut first = None;
        for segment in view.log.segments() {
            let Some(total) = view.total(segment).filter(|_| segment.next <= limit) else { break };
            if total.count > 0 && total.last >= seq {
                break;
            }
            if total.count > 0 {
                retention.last = total.last;
                retention.time = retention.time.max(total.time_max);
                retention.coord = retention.coord.max(total.coord_max);
            }
            first = Some(segment.next);
        }
        let Some(first) = first else { return Ok(view.log.segments().next().map_or(1, |kept| kept.first)) };
        // Durable first: a window that would need the dropped shares must fail from here on.
        self.record(retention).wait()?;
        let kept = self.log.drop_before(first).wait()?;
        let mut totals = self.published.totals.lock();
        Arc::make_mut(&mut totals).retain(|(segment, _)| *segment >= kept);
        Ok(kept)
    }

    // ---- reading

    /// What is durable now.
    #[must_use]
    pub fn view(&self) -> JournalView {
        // Taken in the order in which a later one may know more than an earlier one needs.
        let (newest, dropped, lists, tally) = {
            let state = self.published.state.lock();
            (state.newest(), state.dropped, Arc::clone(&state.lists), self.published.tally.lock().clone())
        };
        let log = self.log.view();
        let totals = Arc::clone(&self.published.totals.lock());
        JournalView { log, totals, tally, newest, dropped, lists, kept: None }
    }

    /// A miner by number.
    #[must_use]
    pub fn miner_by_id(&self, id: MinerId) -> Option<Miner> {
        self.published.state.lock().miners.get(&id).cloned()
    }

    /// The number of a payee that was seen before.
    #[must_use]
    pub fn miner_by_payee(&self, payee: &[u8]) -> Option<MinerId> {
        self.registry.lock().miners.get(payee).copied()
    }

    /// The miner with this address.
    #[must_use]
    pub fn miner_by_address(&self, address: &str) -> Option<Miner> {
        let id = self.registry.lock().addresses.get(address).copied()?;
        self.miner_by_id(id)
    }

    /// All miners, ascending.
    #[must_use]
    pub fn miners(&self) -> Vec<Miner> {
        self.published.state.lock().miners.values().cloned().collect()
    }

    /// A worker by number.
    #[must_use]
    pub fn worker_by_id(&self, id: WorkerId) -> Option<Worker> {
        self.published.state.lock().workers.get(&id).cloned()
    }

    /// A miner's setting of this key, the newest.
    #[must_use]
    pub fn miner_setting(&self, miner: MinerId, key: &str) -> Option<MinerSetting> {
        self.published.state.lock().settings.get(&(miner, key.to_owned())).cloned()
    }

    /// The policy for an income whose window ends at this share: the newest with an earlier boundary.
    #[must_use]
    pub fn policy_at(&self, end: ShareSeq) -> Option<Policy> {
        self.published
            .state
            .lock()
            .policies
            .iter()
            .rev()
            .find(|policy| policy.from < end || policy.from.0 == 0)
            .cloned()
    }

    /// All policies, in the order they were recorded.
    #[must_use]
    pub fn policies(&self) -> Vec<Policy> {
        self.published.state.lock().policies.clone()
    }

    /// The policy for this share and every one recorded after it, oldest first.
    #[must_use]
    pub fn policies_since(&self, seq: ShareSeq) -> Vec<Policy> {
        let state = self.published.state.lock();
        let first = state.policies.iter().rposition(|policy| policy.from < seq || policy.from.0 == 0);
        state.policies.get(first.unwrap_or(0)..).unwrap_or_default().to_vec()
    }

    /// How far the pool has come since the journal was opened: a running sum, so that a figure on a page costs no walk.
    #[must_use]
    pub fn progress(&self, at: ShareSeq) -> Progress {
        let running = self.published.progress.lock();
        Progress { units: running.units, then: running.marks.get(&at).copied() }
    }

    /// The share at which the last round ended: the running round's are after it.
    #[must_use]
    pub fn round_after(&self) -> ShareSeq {
        self.published.state.lock().round_after(ShareSeq(u64::MAX))
    }

    /// Where the round before a share ended; 0 when it is of the first.
    #[must_use]
    pub fn round_before(&self, seq: ShareSeq) -> ShareSeq {
        self.published.state.lock().round_after(seq)
    }

    /// The policy recorded last.
    #[must_use]
    pub fn newest_policy(&self) -> Option<Policy> {
        self.published.state.lock().policies.last().cloned()
    }

    /// The policy that is announced and not in force yet.
    #[must_use]
    pub fn notice(&self) -> Option<Notice> {
        self.published.state.lock().notice.clone()
    }

    /// How long other policies are announced, where that was ever promised.
    #[must_use]
    pub fn promise(&self) -> Option<Promise> {
        self.published.state.lock().promise.clone()
    }

    /// First slot that no front end was ever leased.
    #[must_use]
    pub fn next_extranonce_slot(&self) -> u64 {
        self.published.state.lock().leases.values().map(|lease| lease.to).max().unwrap_or(0)
    }

    /// Blocks whose fate is not final, oldest first.
    #[must_use]
    pub fn open_blocks(&self) -> Vec<OpenBlock> {
        let mut open: Vec<_> = self.published.state.lock().blocks.values().cloned().collect();
        open.sort_by_key(|block| block.position);
        open
    }

    /// Incomes that are neither mature nor lost, by key.
    #[must_use]
    pub fn open_incomes(&self) -> Vec<Income> {
        self.published.state.lock().incomes.values().cloned().collect()
    }

    /// Where the window of one of our blocks ends, and where its round begins: behind the block of ours before it that
    /// counts by what is known now.
    ///
    /// # Errors
    /// When the block is not ours or its fate is final: its income was then recorded with its end before.
    pub fn end_of_block(&self, block: &[u8]) -> Result<(WindowEnd, OpenBlock), JournalError> {
        let state = self.published.state.lock();
        let open = state.blocks.get(block).cloned().ok_or_else(|| {
            let block = block.iter().map(|byte| format!("{byte:02x}")).collect();
            JournalError::UnknownBlock { block }
        })?;
        let end = WindowEnd {
            seq: open.end,
            time: open.time,
            coord: open.coord,
            network_work: open.network_work,
            round_after: state.round_before_block(open.end),
        };
        Ok((end, open))
    }

    /// Where a window ends that is looked at now, for a block that may be found next: at the newest durable share, in a
    /// round that begins behind the newest block of ours that counts.
    #[must_use]
    pub fn end_now(&self, coord: u64, network_work: u128, time: UnixMillis) -> WindowEnd {
        let state = self.published.state.lock();
        let seq = state.newest();
        let round_after = state.round_before_block(ShareSeq(seq.0.saturating_add(1)));
        WindowEnd { seq, time, coord, network_work, round_after }
    }

    /// Where the window of a chain coordinate ends: at the newest share at or before it. `time` is for a pool that
    /// has no such share.
    ///
    /// # Errors
    /// When a segment does not check.
    pub fn end_of_coord(&self, coord: u64, time: UnixMillis) -> Result<WindowEnd, JournalError> {
        let Some((seq, share)) = self.view().newest_at(coord)? else {
            return Ok(WindowEnd { time, coord, ..WindowEnd::default() });
        };
        let round_after = self.published.state.lock().round_after(seq);
        Ok(WindowEnd { seq, time: share.time, coord, network_work: share.network_work, round_after })
    }

    /// Solutions that no node has, as far as they answered, and whose place in the chain is not decided either.
    ///
    /// # Errors
    /// When a segment does not check.
    pub fn unsubmitted(&self) -> Result<Vec<Solution>, JournalError> {
        let waits = |open: &OpenBlock| {
            let decided = matches!(open.fate, Some(BlockFate::Accepted(_) | BlockFate::Orphan(_)));
            open.submitted != Answered::Taken && !decided
        };
        let waiting = self.open_blocks().into_iter().filter(waits).map(|open| open.position).collect();
        Ok(self.solutions_at(&waiting)?.into_iter().map(|(_, solution)| solution).collect())
    }

    /// Solutions with their positions, as [`OpenBlock::position`] says them.
    ///
    /// # Errors
    /// When a segment does not check.
    pub fn solutions_at(&self, positions: &BTreeSet<u64>) -> Result<Vec<(u64, Solution)>, JournalError> {
        let found = self.view().records_at(positions)?.into_iter();
        let solution = |entry: Entry| match entry.record {
            Record::Solution(solution) => Some((entry.position, solution)),
            _ => None,
        };
        Ok(found.filter_map(solution).collect())
    }

    /// How many appends wait for the disk.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.log.waiting()
    }

    /// Why the journal takes nothing more, if so.
    #[must_use]
    pub fn poisoned(&self) -> Option<Arc<str>> {
        self.log.poisoned()
    }

    /// How fast the journal grows and how long the disk will do.
    ///
    /// # Errors
    /// When the disk cannot be asked.
    pub fn forecast(&self) -> Result<Forecast, JournalError> {
        Ok(self.log.forecast()?)
    }

    /// Seals the newest segment, for a backup that copies sealed files.
    pub fn roll(&self) -> Durable<u64> {
        self.log.roll()
    }

    /// What old shares were dropped.
    #[must_use]
    pub fn dropped(&self) -> Retention {
        self.published.state.lock().dropped
    }
}
