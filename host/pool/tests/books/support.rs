//! Journal, ledger and books of a pool on a simulated disk, without its network.

use millpond_alerts::Alarms;
use millpond_contracts::{Setting, Settings};
use millpond_disk::{Disk, SimDisk};
use millpond_journal::{
    Income, IncomeAt, IncomeLost, Job, Journal, JournalView, Options, Share, Solution, WorkerId,
};
use millpond_ledger::{FeeName, Ledger, Owner, Reader};
use millpond_payout::Recipient;
use millpond_pool::books::{Books, BooksError};
use millpond_pool::plugins::{Component, PluginStore};
use millpond_pool::policy::{Loader, Wanted, WantedFee};
use millpond_pool::replay::{ReplayError, Replayed, replay};
use millpond_runtime::{Compiler, Sandbox, TracingSink};
use millpond_types::{Amount, Digest, JobId, MinerId, ShareSeq, Target, UnixMillis, Work};
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

pub fn sandbox() -> Sandbox {
    static ONE: OnceLock<Sandbox> = OnceLock::new();
    ONE.get_or_init(|| Sandbox::new(None, Compiler::InProcess).unwrap()).clone()
}

/// What a block of the one job pays.
const REWARD: Amount = Amount(5_000_000_000);

fn loader(disk: &Arc<dyn Disk>) -> Loader {
    let store = PluginStore::open(Arc::clone(disk), Path::new("/plugins")).unwrap();
    Loader::new(sandbox(), store, Arc::new(TracingSink))
}

pub fn wanted(scheme: &str, settings: Settings, basis_points: i64) -> Wanted {
    assert!(millpond_bundled::replace_for_tests());
    let component = |name: &str| PluginStore::find(name, Path::new("/")).unwrap();
    let recipient = Recipient { name: FeeName::try_from("operator".to_owned()).unwrap(), weight: 1 };
    let fee_settings = vec![("basis_points".to_owned(), Setting::Int(basis_points))];
    Wanted {
        scheme: component(scheme),
        scheme_settings: settings,
        fees: (basis_points > 0)
            .then(|| WantedFee {
                component: component("flat-fee"),
                settings: fee_settings,
                recipients: vec![recipient],
                to_reserve: false,
                work_shift: None,
                fractions: false,
            })
            .into_iter()
            .collect(),
        reserve: Amount::ZERO,
        direct: false,
        planned: false,
        run_off: None,
        notice: Duration::ZERO,
    }
}

/// A scheme with SOLO's terms that traps when it has to divide.
pub fn trapping() -> Wanted {
    static BYTES: OnceLock<Arc<[u8]>> = OnceLock::new();
    let bytes = Arc::clone(BYTES.get_or_init(|| Arc::from(crate::broken::trapping_scheme())));
    let scheme = Component { name: "trapping".into(), digest: Digest::of(&bytes), bytes };
    Wanted { scheme, ..wanted("solo", Vec::new(), 0) }
}

/// A scheme with the terms of PPLNS over so many thousandths, that traps when it has to divide.
pub fn trapping_window(thousandths: u32) -> Component {
    // By units, and the share on the edge is divided.
    let window = [3, 0, thousandths, 0, 1 | 1 << 8, 0];
    let claims = ["permutation", "split", "scale", "monotone", "hopping-neutral"];
    let bytes: Arc<[u8]> = Arc::from(crate::broken::trapping(window, &claims));
    Component { name: "trapping-window".into(), digest: Digest::of(&bytes), bytes }
}

/// The same with a fee policy that traps when it has to take a fee, with the settings that the bundled one has.
pub fn with_trapping_fee(wanted: Wanted) -> Wanted {
    static BYTES: OnceLock<Arc<[u8]>> = OnceLock::new();
    let bytes = Arc::clone(BYTES.get_or_init(|| Arc::from(crate::broken_fee::trapping_fee())));
    let component = Component { name: "trapping-fee".into(), digest: Digest::of(&bytes), bytes };
    let trapping = |fee| WantedFee { component: component.clone(), ..fee };
    Wanted { fees: wanted.fees.into_iter().map(trapping).collect(), ..wanted }
}

pub struct Pool {
    pub alarms: Alarms,
    pub disk: SimDisk,
    pub journal: Arc<Journal>,
    pub ledger: Arc<Ledger>,
    pub loader: Arc<Loader>,
    pub books: Books,
    pub clock: u64,
    pub blocks: u64,
    /// What jobs tell of their reward.
    subsidy: Option<Amount>,
    /// Of the shares that come.
    pub height: u64,
    /// The network's work for a block, when they come.
    pub network_work: u128,
}

impl Pool {
    pub fn start(wanted: &Wanted) -> Self {
        Self::open(SimDisk::new(), wanted, 1_000_000, 0)
    }

    /// On a chain whose jobs do not tell their subsidy; why it does not start.
    pub fn refused_untold(wanted: &Wanted) -> String {
        let pool = Self::try_open(SimDisk::new(), wanted, (1_000_000, 0), Options::new("journal"), false);
        pool.err().unwrap().to_string()
    }

    /// Why it does not start.
    pub fn refused(wanted: &Wanted) -> String {
        let pool = Self::try_open(SimDisk::new(), wanted, (1_000_000, 0), Options::new("journal"), true);
        pool.err().unwrap().to_string()
    }

    pub fn open(disk: SimDisk, wanted: &Wanted, clock: u64, blocks: u64) -> Self {
        Self::open_by(disk, wanted, clock, blocks, Options::new("journal"))
    }

    /// With segments of a few shares, so that there are many.
    pub fn open_small(disk: SimDisk, wanted: &Wanted, clock: u64, blocks: u64) -> Self {
        Self::open_by(disk, wanted, clock, blocks, Options { segment_bytes: 2048, ..Options::new("journal") })
    }

    fn open_by(disk: SimDisk, wanted: &Wanted, clock: u64, blocks: u64, options: Options) -> Self {
        Self::try_open(disk, wanted, (clock, blocks), options, true).unwrap()
    }

    fn try_open(
        disk: SimDisk,
        wanted: &Wanted,
        (clock, blocks): (u64, u64),
        options: Options,
        told: bool,
    ) -> Result<Self, BooksError> {
        let shared: Arc<dyn Disk> = Arc::new(disk.clone());
        let (journal, _) = Journal::open(Arc::clone(&shared), Path::new("/journal"), options).unwrap();
        let ledger = Arc::new(Ledger::open(Arc::clone(&shared), Path::new("/ledger")).unwrap());
        let (journal, loader, alarms) =
            (Arc::new(journal), Arc::new(loader(&shared).with_subsidy(told)), Alarms::quiet());
        let books = Books::open(
            "test",
            Arc::clone(&journal),
            Arc::clone(&ledger),
            Arc::clone(&loader),
            alarms.clone(),
            wanted,
            UnixMillis(clock),
        )?;
        let (subsidy, height, network_work) = (None, 100, 1_000);
        Ok(Self {
            alarms,
            disk,
            journal,
            ledger,
            loader,
            books,
            clock,
            blocks,
            subsidy,
            height,
            network_work,
        })
    }

    /// Has the one job tell how much of its reward is subsidy.
    pub fn tell_subsidy(&mut self, subsidy: u64) {
        self.subsidy = Some(Amount(subsidy));
        let job = Job {
            id: JobId(1),
            coord: 100,
            parent: vec![1],
            recipe: 0,
            network_target: Target::MAX,
            network_work: 1_000,
            reward: REWARD,
            subsidy: self.subsidy,
            plan: None,
            adapter: Digest([0; 32]),
            time: UnixMillis(self.clock),
        };
        self.journal.record(job).wait().unwrap();
    }

    pub fn miner(&self, name: &str) -> MinerId {
        self.journal.miner(name.as_bytes(), name).wait().unwrap()
    }

    fn one(&mut self, miner: MinerId, work: u64) -> Share {
        self.clock += 1_000;
        let mut id = [0; 32];
        id[..8].copy_from_slice(&self.clock.to_le_bytes());
        Share {
            miner,
            worker: WorkerId(1),
            job: JobId(1),
            coord: self.height,
            network_work: self.network_work,
            reward: REWARD,
            subsidy: self.subsidy,
            work: Work(work),
            time: UnixMillis(self.clock),
            id,
        }
    }

    pub fn share(&mut self, miner: MinerId, work: u64) -> ShareSeq {
        let share = self.one(miner, work);
        self.journal.worker(miner, "rig").wait().unwrap();
        self.journal.share(share).wait().unwrap()
    }

    /// Finds a block with a share, records its income, divides it.
    pub fn block(&mut self, finder: MinerId, amount: u64) -> Income {
        let income = self.found(finder, amount);
        // As in the pool: the block is known before the adapter reports its income.
        self.books.block_found(income.end.seq, UnixMillis(self.clock)).unwrap();
        self.books.divide(&income).unwrap();
        income
    }

    /// Finds a block with a share and records its income.
    pub fn found(&mut self, finder: MinerId, amount: u64) -> Income {
        let share = self.one(finder, 100);
        self.solved(finder, amount, Some(share))
    }

    /// Finds a block with a share that earns nothing, and records its income.
    pub fn found_for_nothing(&mut self, finder: MinerId, amount: u64) -> Income {
        self.clock += 1_000;
        self.solved(finder, amount, None)
    }

    fn solved(&mut self, finder: MinerId, amount: u64, share: Option<Share>) -> Income {
        let block = self.solution(finder, share);
        self.report(&block, amount)
    }

    /// Finds a block with a share: what the journal calls it.
    pub fn solve(&mut self, finder: MinerId) -> Vec<u8> {
        self.solve_of(finder, JobId(1))
    }

    /// Finds a block of this job with a share.
    pub fn solve_of(&mut self, finder: MinerId, job: JobId) -> Vec<u8> {
        let share = Share { job, ..self.one(finder, 100) };
        self.solution(finder, Some(share))
    }

    fn solution(&mut self, finder: MinerId, share: Option<Share>) -> Vec<u8> {
        let job = share.as_ref().map_or(JobId(1), |share| share.job);
        self.blocks += 1;
        let (block, time) = (self.blocks.to_be_bytes().to_vec(), UnixMillis(self.clock));
        let solution = Solution {
            block: block.clone(),
            job,
            miner: finder,
            worker: WorkerId(1),
            share: None,
            end: ShareSeq(0),
            coord: 100,
            network_work: self.network_work,
            fields: Vec::new(),
            results: Vec::new(),
            private: None,
            time,
        };
        self.journal.solution(solution, share).wait().unwrap();
        block
    }

    /// Records the income of a block.
    pub fn report(&self, block: &[u8], amount: u64) -> Income {
        let (end, open) = self.journal.end_of_block(block).unwrap();
        let income = Income {
            key: block.to_vec(),
            amount: Amount(amount),
            at: IncomeAt::Block(block.to_vec()),
            mature: false,
            job: Some(open.job),
            finder: Some(open.miner),
            end,
            time: UnixMillis(self.clock),
        };
        self.journal.record(income.clone()).wait().unwrap();
        income
    }

    /// Tries what waits, again and again, until it holds.
    pub fn catch_up_until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(30);
        while !holds(self) {
            assert!(Instant::now() < deadline, "{what}: {:?}", self.alarms.list());
            self.books.catch_up().unwrap();
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// The chain takes an income back.
    pub fn lose(&self, income: &Income) {
        let (key, time) = (income.key.clone(), UnixMillis(self.clock));
        let lost = IncomeLost { key, reason: "another block".into(), time };
        self.journal.record(lost).wait().unwrap();
        self.books.lost(&income.key, "another block", time).unwrap();
    }

    /// Ends it without a word, and starts it again on its disk.
    pub fn restart(self, wanted: &Wanted) -> Self {
        let (disk, clock, blocks) = (self.disk.clone(), self.clock, self.blocks);
        drop(self);
        Self::open(disk, wanted, clock, blocks)
    }

    /// The same, or why it does not start.
    pub fn try_restart(self, wanted: &Wanted) -> Result<Self, String> {
        let (disk, clock, blocks) = (self.disk.clone(), self.clock, self.blocks);
        drop(self);
        let options = Options::new("journal");
        Self::try_open(disk, wanted, (clock, blocks), options, true).map_err(|why| why.to_string())
    }

    pub fn credit_shares(&self) {
        self.books.credit_shares(UnixMillis(self.clock)).unwrap();
    }

    pub fn swap(&self, wanted: &Wanted) {
        self.schedule(wanted).unwrap();
    }

    pub fn schedule(&self, wanted: &Wanted) -> Result<bool, BooksError> {
        self.books.schedule(wanted, "an operator", UnixMillis(self.clock))
    }

    pub fn mature(&self, income: &Income) {
        self.books.mature(&Income { time: UnixMillis(self.clock), ..income.clone() }).unwrap();
    }

    pub fn payable(&self, miner: MinerId) -> u64 {
        self.ledger.payable(&Owner::Miner(miner)).0
    }

    pub fn replay(&self) -> Result<Replayed, ReplayError> {
        replay_of(&self.disk)
    }
}

pub fn view_of(disk: &SimDisk) -> JournalView {
    JournalView::open(Arc::new(disk.clone()), Path::new("/journal")).unwrap().0
}

/// Replays what is on a disk, with a loader of its own: nothing of a running pool's memory takes part.
pub fn replay_of(disk: &SimDisk) -> Result<Replayed, ReplayError> {
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let (view, _) = JournalView::open(Arc::clone(&shared), Path::new("/journal"))?;
    let reader = Reader::open(Arc::clone(&shared), Path::new("/ledger"))?;
    replay(&view, &reader, &loader(&shared))
}
