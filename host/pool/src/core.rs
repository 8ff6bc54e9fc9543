//! What the parts of a running pool share.

use crate::books::Books;
use crate::edges::{Edge, Edges};
use crate::leading::Leading;
use crate::plan::Planner;
use crate::proofs::Proofs;
use crate::receipts::Receipts;
use crate::round::Round;
use crate::settings::SignedChanges;
use crate::shadow::Shadow;
use crate::stats::Stats;
use crate::view::BlockView;
use millpond_alerts::{Alarms, Level};
use millpond_bodies::Pieces;
use millpond_chain::{ChainHandle, CheckedIncome, ReadyJob};
use millpond_contracts::chain::Verdict;
use millpond_disk::Disk;
use millpond_jobs::{Job, JobTable, Seen};
use millpond_journal::Journal;
use millpond_ledger::Ledger;
use millpond_segments::Commit;
use millpond_stratum::NameKey;
use millpond_types::{JobId, PoolName};
use parking_lot::{Mutex, RwLock};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, OnceLock};

/// Jobs whose checked form is kept for their sessions.
const READY_JOBS: usize = 64;
/// Blocks kept for the pages.
pub(crate) const BLOCKS_SHOWN: usize = 1_000;

/// Something that the money thread has to see to, in this order.
#[derive(Debug)]
pub(crate) enum Task {
    /// A block of ours is durable.
    Found {
        /// Its id in the journal.
        block: Vec<u8>,
    },
    /// An income is recorded.
    Income(Box<millpond_journal::Income>),
    /// A recorded income can be spent, by the adapter's word and our own count.
    Mature(Box<millpond_journal::Income>),
    /// An income is lost, and the proof.
    Lost(Vec<u8>, String),
    /// End.
    Stop,
}

impl Task {
    /// What is logged while it is seen to says of which pool, and of which block or income.
    pub(crate) fn span(&self, core: &Core) -> tracing::Span {
        let pool = &core.name;
        match self {
            Self::Found { block } => tracing::info_span!("block", %pool, id = %hex::encode(block)),
            Self::Income(income) => tracing::info_span!("income", %pool, key = %hex::encode(&income.key)),
            Self::Mature(income) => tracing::info_span!("maturity", %pool, key = %hex::encode(&income.key)),
            Self::Lost(key, _) => tracing::info_span!("income-lost", %pool, key = %hex::encode(key)),
            Self::Stop => tracing::debug_span!("stop", %pool),
        }
    }
}

/// A solution on its way to the nodes.
#[derive(Debug)]
pub(crate) struct OnItsWay {
    /// The block's id in the journal: the recipe's `id`.
    pub(crate) id: Vec<u8>,
    /// Its job, to suspend when the nodes reject it. Not there after a restart.
    pub(crate) job: Option<Arc<Job>>,
    /// Comes when its record is written; nothing for one that the journal has.
    pub(crate) written: Option<Commit<()>>,
    /// The verdict of each node that is written down.
    pub(crate) verdicts: HashMap<u16, Verdict>,
}

impl OnItsWay {
    pub(crate) fn new(id: Vec<u8>, job: Option<Arc<Job>>, written: Option<Commit<()>>) -> Self {
        Self { id, job, written, verdicts: HashMap::new() }
    }
}

pub(crate) struct Core {
    pub(crate) name: PoolName,
    pub(crate) folder: PathBuf,
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) alarms: Alarms,
    pub(crate) journal: Arc<Journal>,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) books: Arc<Books>,
    pub(crate) jobs: Arc<JobTable>,
    pub(crate) seen: Arc<Seen>,
    pub(crate) stats: Stats,
    pub(crate) round: Round,
    pub(crate) tasks: Sender<Task>,
    pub(crate) chain: RwLock<Option<Arc<ChainHandle>>>,
    /// What shows who leads, since the sockets are open.
    pub(crate) shown_chain: OnceLock<Leading>,
    pub(crate) ready: Mutex<BTreeMap<JobId, Arc<ReadyJob>>>,
    /// What the bodies of older jobs are made of.
    pub(crate) pieces: Arc<Mutex<Pieces>>,
    pub(crate) on_their_way: Mutex<HashMap<u64, OnItsWay>>,
    /// Solutions whose record is on its way to the disk, with what the chain said of their incomes meanwhile.
    pub(crate) recording: Mutex<HashMap<Vec<u8>, Vec<CheckedIncome>>>,
    /// Blocks as the adapter names them, to their ids in the journal.
    pub(crate) names: Mutex<HashMap<Vec<u8>, Vec<u8>>>,
    pub(crate) shown: Mutex<VecDeque<(Vec<u8>, BlockView)>>,
    /// The pool's own key: names of sessions, codes in texts to sign.
    pub(crate) key: NameKey,
    /// Held while a miner's setting is changed; what miners changed of late.
    pub(crate) changing: Mutex<SignedChanges>,
    /// Policies that divide beside the one in force.
    pub(crate) shadows: Vec<Shadow>,
    /// What miners can check; none when it could not be opened.
    pub(crate) proofs: Option<Proofs>,
    /// Who has receipts of his shares made.
    pub(crate) receipts: Receipts,
    /// Who plans whom the coinbase pays, where that is many.
    pub(crate) planner: Option<Planner>,
    pub(crate) edges: Edges,
    tags: AtomicU64,
    /// The last of all fields, and so dropped after them: who sees nobody hold it finds journal and ledger closed.
    pub(crate) files: Arc<()>,
}

/// The parts that a core is made of.
pub(crate) struct Parts {
    pub(crate) name: PoolName,
    pub(crate) folder: PathBuf,
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) alarms: Alarms,
    pub(crate) journal: Arc<Journal>,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) books: Arc<Books>,
    pub(crate) stats: Stats,
    pub(crate) tasks: Sender<Task>,
    pub(crate) key: NameKey,
    pub(crate) shadows: Vec<Shadow>,
    pub(crate) proofs: Option<Proofs>,
    pub(crate) planner: Option<Planner>,
    pub(crate) edges: Edges,
}

impl Core {
    pub(crate) fn new(parts: Parts) -> Arc<Self> {
        let Parts {
            name,
            folder,
            disk,
            alarms,
            journal,
            ledger,
            books,
            stats,
            tasks,
            key,
            shadows,
            proofs,
            planner,
            edges,
        } = parts;
        Arc::new(Self {
            name,
            folder,
            disk,
            alarms,
            journal,
            ledger,
            books,
            stats,
            tasks,
            shadows,
            proofs,
            receipts: Receipts::default(),
            planner,
            edges,
            round: Round::default(),
            jobs: Arc::new(JobTable::new(millpond_jobs::DEFAULT_CAPACITY)),
            seen: Arc::new(Seen::new()),
            chain: RwLock::new(None),
            shown_chain: OnceLock::new(),
            ready: Mutex::default(),
            pieces: Arc::default(),
            on_their_way: Mutex::default(),
            recording: Mutex::default(),
            names: Mutex::default(),
            shown: Mutex::default(),
            key,
            changing: Mutex::default(),
            tags: AtomicU64::new(1),
            files: Arc::default(),
        })
    }

    pub(crate) fn chain(&self) -> Option<Arc<ChainHandle>> {
        self.chain.read().clone()
    }

    pub(crate) fn alarm(&self, level: Level, about: &str, text: impl Into<String>) {
        self.alarms.raise(level, self.name.as_str(), about, text);
    }

    /// Tells whoever listens that an edge is passed.
    pub(crate) fn pass(&self, edge: Edge) {
        self.edges.pass(edge);
    }

    /// A tag for a solution, by which the chain speaks of it.
    pub(crate) fn tag(&self, on_its_way: OnItsWay) -> u64 {
        let tag = self.tags.fetch_add(1, Ordering::Relaxed);
        self.on_their_way.lock().insert(tag, on_its_way);
        tag
    }

    pub(crate) fn keep_ready(&self, id: JobId, job: Arc<ReadyJob>) {
        let mut ready = self.ready.lock();
        ready.insert(id, job);
        while ready.len() > READY_JOBS {
            ready.pop_first();
        }
    }

    /// Whether shares of a job could not be paid, since it does not tell its subsidy and a scheme pays by that.
    pub(crate) fn is_untold(&self, job: &Job) -> bool {
        job.subsidy.is_none() && self.books.wants_subsidy()
    }

    /// From the order of such a scheme on shares of those jobs are refused: one behind its takeover could not be credited,
    /// and none after it. Blocks of them count.
    pub(crate) fn suspend_untold(&self) {
        let suspended = self.jobs.suspend(|job| self.is_untold(job));
        if suspended > 0 {
            tracing::warn!(pool = %self.name, suspended, "jobs that do not tell their subsidy earn nothing any more");
        }
    }

    /// Whether a name is that of the block with this id of ours: chains write ids in either byte order, and anything else
    /// is another block than the miner solved.
    ///
    /// # Errors
    /// The block's own name: in the order of the other names, else as the codec has it where the host has one.
    pub(crate) fn named(&self, name: &[u8], id: &[u8], has_codec: bool) -> Result<(), Vec<u8>> {
        if name == id || name.iter().rev().eq(id.iter()) {
            return Ok(());
        }
        let known = self.names.lock().iter().next().map(|(name, id)| name != id);
        let backwards = known.unwrap_or(has_codec);
        Err(if backwards { id.iter().rev().copied().collect() } else { id.to_vec() })
    }

    /// The journal's id of a block that the adapter names.
    pub(crate) fn journal_id(&self, name: &[u8]) -> Option<Vec<u8>> {
        self.names.lock().get(name).cloned()
    }

    pub(crate) fn show(&self, id: Vec<u8>, block: BlockView) {
        let mut shown = self.shown.lock();
        shown.push_front((id, block));
        shown.truncate(BLOCKS_SHOWN);
    }

    pub(crate) fn change_shown(&self, id: &[u8], change: impl FnOnce(&mut BlockView)) {
        if let Some((_, block)) = self.shown.lock().iter_mut().find(|(known, _)| known == id) {
            change(block);
        }
    }

    /// The folder of solutions' templates.
    pub(crate) fn solutions(&self) -> PathBuf {
        self.folder.join("solutions")
    }

    /// Where a solution's body waits until a node has the block.
    pub(crate) fn body_path(&self, id: &[u8]) -> PathBuf {
        self.solutions().join(format!("{}.body", hex::encode(id)))
    }
}
