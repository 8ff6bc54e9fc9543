//! The chain of one pool as the pool holds it.

use crate::driver::Driver;
use crate::grants::Grant;
use crate::income::{Book, KnownBlock, KnownIncome};
use crate::job::ReadyJob;
use crate::outputs::Revisions;
use crate::port::NodePort;
use crate::queue::{Input, Queue};
use crate::sink::ChainSink;
use crate::solve::{Solved, solve};
use crate::submit::{self, Message, Outbox, Submitter};
use crate::trust::Trust;
use crate::version::{Version, VersionError};
use bytes::Bytes;
use millpond_algorithms::Algorithms;
use millpond_contracts::Outcome;
use millpond_contracts::chain::{Action, Aux, ChainAdapter, Event, Output, PowFigures, Solution, Watched};
use millpond_jobs::{Job, Origin};
use millpond_types::{Amount, UnixMillis};
use parking_lot::Mutex;
use std::ops::Add;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::JoinHandle;
use std::time::Duration;

/// Threads that assemble. One suffices for a real chain; a regtest's find more blocks than nodes take.
const SOLVERS: usize = 4;
/// Versions kept for the jobs they made.
const VERSIONS: usize = 16;

/// What a chain starts with.
pub struct Setup {
    /// The adapter, loaded with its settings.
    pub adapter: Arc<dyn ChainAdapter>,
    /// Algorithms that recipes may name.
    pub algorithms: Algorithms,
    /// What the operator granted.
    pub grants: Vec<Grant>,
    /// The trust rules.
    pub trust: Trust,
    /// The nodes.
    pub port: Arc<dyn NodePort>,
    /// The pool.
    pub sink: Arc<dyn ChainSink>,
    /// Records every event of the leading instance and what it gave, for `run --record`.
    pub recorder: Option<Arc<dyn Recorder>>,
    /// How long a new version has to publish its first valid job.
    pub swap_time: Duration,
    /// After so many events an instance of the adapter gives way to a fresh one, so that what it keeps in memory does not
    /// grow for ever; 0 for never.
    pub renew_after: u64,
    /// What [`ChainSink::saved`] stored last.
    pub saved: Vec<u8>,
    /// Who is paid in the coinbase, and the revision that was in force.
    pub outputs: (u64, Vec<Output>),
    /// Blocks of ours, from the store.
    pub blocks: Vec<KnownBlock>,
    /// Incomes reported before, from the store.
    pub incomes: Vec<KnownIncome>,
}

/// Sees every event of the leading instance. Called on the actor's thread.
pub trait Recorder: Send + Sync {
    /// One event and what it gave.
    fn event(&self, origin: Origin, event: &Event, outcome: &Outcome<Vec<Action>>);
}

/// What the threads of a chain share.
pub(crate) struct Shared {
    pub(crate) queue: Queue,
    pub(crate) book: Mutex<Book>,
    pub(crate) status: Mutex<Status>,
    /// Versions whose jobs may still be alive; a swap's candidate, too.
    pub(crate) versions: Mutex<Vec<Arc<Version>>>,
    pub(crate) port: Arc<dyn NodePort>,
    pub(crate) sink: Arc<dyn ChainSink>,
}

/// How the chain is doing.
#[derive(Clone, Debug, Default)]
pub struct Status {
    /// The version that leads.
    pub version: Option<Origin>,
    /// The first error that led to quarantine, while it lasts.
    pub quarantined: Option<String>,
    /// The adapter asked to stop publishing, and why, until its next valid job.
    pub stopped: Option<String>,
    /// The first error since the chain started, and the last.
    pub first_error: Option<String>,
    /// The last error.
    pub last_error: Option<String>,
    /// Traps of the leading adapter.
    pub traps: u64,
    /// Events whose actions were refused.
    pub refused: u64,
    /// Instances that gave way to a fresh one after their number of events.
    pub renewed: u64,
    /// Jobs published.
    pub jobs: u64,
    /// Coordinate of the last job.
    pub coord: u64,
    /// When the last job was published.
    pub last_job: Option<UnixMillis>,
    /// When it expires.
    pub expires: Option<UnixMillis>,
}

impl Status {
    pub(crate) fn error(&mut self, text: &str) {
        self.first_error.get_or_insert_with(|| text.to_owned());
        self.last_error = Some(text.to_owned());
    }

    pub(crate) fn published(&mut self, job: &ReadyJob) {
        let now = UnixMillis::now();
        self.jobs = self.jobs.saturating_add(1);
        self.coord = job.coord;
        self.last_job = Some(now);
        self.expires = Some(UnixMillis(now.0.saturating_add(job.expires_ms.into())));
        self.stopped = None;
    }

    /// Whether miners have work that counts: a job that has not expired, from an adapter that is not in quarantine and
    /// has not asked to stop.
    #[must_use]
    pub fn ready(&self, now: UnixMillis) -> bool {
        self.quarantined.is_none()
            && self.stopped.is_none()
            && self.expires.is_some_and(|expires| now < expires)
    }
}

/// A running chain. Dropping it tells its threads to end; [`ChainHandle::finish`] waits for them.
pub struct ChainHandle {
    shared: Arc<Shared>,
    trust: Trust,
    algorithms: Algorithms,
    generation: Mutex<u64>,
    solutions: Mutex<Option<Sender<Solved>>>,
    submitter: Sender<Message>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

/// Tells the submitter that a solver ended, however it did.
struct Solver(Sender<Message>);

impl Drop for Solver {
    fn drop(&mut self) {
        let _ = self.0.send(Message::SolverEnded);
    }
}

/// A chain that does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The adapter cannot be worked with.
    #[error(transparent)]
    Version(#[from] VersionError),
    /// A coinbase that nobody checks.
    #[error(
        "the host has no coinbase check for this chain: set one, or trust the adapter with it (chain.trust_adapter_with_coinbase = true)"
    )]
    NobodyChecksCoinbase,
    /// A thread could not be started.
    #[error("a thread could not be started: {0}")]
    Thread(#[from] std::io::Error),
}

impl ChainHandle {
    /// Compiles the adapter's documents and starts its actor. The first events reach it from the actor's thread.
    ///
    /// # Errors
    /// When the adapter cannot be worked with; the actor's own first failure is an alarm instead.
    pub fn start(setup: Setup) -> Result<Self, StartError> {
        let Setup {
            adapter,
            algorithms,
            grants,
            mut trust,
            port,
            sink,
            recorder,
            swap_time,
            renew_after,
            saved,
            outputs,
            ..
        } = setup;
        if trust.coinbase.is_none() && !trust.adapter_writes_coinbase {
            return Err(StartError::NobodyChecksCoinbase);
        }
        let version = Version::prepare(adapter, 1, &algorithms, &grants)?;
        trust.confirmations = trust.confirmations.max(version.description().final_after);
        let status = Status { version: Some(version.origin), ..Status::default() };
        let shared = Arc::new(Shared {
            queue: Queue::default(),
            book: Mutex::new(Book::new(setup.blocks, setup.incomes)),
            status: Mutex::new(status),
            versions: Mutex::new(vec![Arc::clone(&version)]),
            port,
            sink,
        });
        let revisions = Revisions::new(outputs.0, outputs.1);
        let actor = Driver::new(
            Arc::clone(&shared),
            trust.clone(),
            recorder,
            (swap_time, renew_after),
            version,
            saved,
            revisions,
        );
        let mut threads =
            vec![std::thread::Builder::new().name("chain-actor".to_owned()).spawn(move || actor.run())?];
        // Without a bound, as the others of submission: each item is a block that a miner found, and none is dropped.
        let (solutions, work) = mpsc::channel();
        let work: Arc<Mutex<Receiver<Solved>>> = Arc::new(Mutex::new(work));
        let (submitter, inbox) = mpsc::channel();
        let outbox = Outbox::new(Arc::clone(&shared), submitter.clone());
        for _ in 0..SOLVERS {
            let (shared, work) = (Arc::clone(&shared), Arc::clone(&work));
            let (outbox, ended) = (outbox.clone(), Solver(submitter.clone()));
            let solver = move || {
                let _ended = ended;
                loop {
                    let next = work.lock().recv();
                    let Ok(solved) = next else { return };
                    solve(&shared, &outbox, solved);
                }
            };
            threads.push(std::thread::Builder::new().name("chain-solver".to_owned()).spawn(solver)?);
        }
        let (pool, news) = mpsc::channel();
        let sending = Submitter::new(outbox, inbox, pool, SOLVERS);
        let named = |name: &str| std::thread::Builder::new().name(name.to_owned());
        threads.push(named("chain-submitter").spawn(move || sending.run())?);
        let sink = Arc::clone(&shared.sink);
        threads.push(named("chain-verdicts").spawn(move || submit::tell(sink.as_ref(), &news))?);
        Ok(Self {
            shared,
            submitter,
            trust,
            algorithms,
            generation: Mutex::new(1),
            solutions: Mutex::new(Some(solutions)),
            threads: Mutex::new(threads),
        })
    }

    /// A node went up or down.
    pub fn link(&self, link: u16, up: bool) {
        if up {
            // Blocks that it has not taken go to it now. Nobody listens when the chain is ending.
            let _ = self.submitter.send(Message::Up(link));
        }
        self.shared.queue.push(Input::Link { link, up });
    }

    /// A message from a node, on a transport by its name.
    pub fn push(&self, link: u16, transport: &str, topic: &str, data: Bytes) {
        let (transport, topic) = (transport.to_owned(), topic.to_owned());
        self.shared.queue.push(Input::Push { link, transport, topic, data });
    }

    /// Who is paid in the coinbase from now on; an empty payee is the session's own.
    pub fn outputs(&self, outputs: Vec<Output>) {
        self.shared.queue.push(Input::Outputs(outputs));
    }

    /// Merged-mining commitments from now on.
    pub fn aux(&self, aux: Vec<Aux>) {
        self.shared.queue.push(Input::Aux(aux));
    }

    /// A block of ours to follow, whose job was worth this.
    pub fn watch(&self, watched: Watched, reward: Amount) {
        // In the book before any event can name it.
        self.shared.book.lock().block(watched.clone(), reward);
        self.shared.queue.push(Input::Watch { watched, reward });
    }

    /// The host's own count of confirmations may have changed: look again at incomes that wait for it.
    pub fn look_again(&self) {
        self.shared.queue.push(Input::Wake);
    }

    /// Assembles a block from a solution and submits it to every node, on threads of its own: again where a node does
    /// not take it, until one judged it or the chain is far past it. The sink hears of it.
    ///
    /// # Errors
    /// When the version that made the job is not known any more; the solution is in the error's text.
    pub fn solve(
        &self,
        tag: u64,
        job: &Job,
        fields: Vec<Vec<u8>>,
        results: Vec<Vec<u8>>,
    ) -> Result<(), String> {
        let solution = Solution { private: job.private.to_vec(), fields, results, proof: None };
        let Some(version) = self.version_of(job.origin) else {
            let text = format!("the adapter version that made job {} is gone: {solution:?}", job.id);
            self.shared.sink.unassembled(tag, &solution, &text);
            return Err(text);
        };
        let solved = Solved {
            tag,
            version,
            coord: job.coord,
            reward: job.reward,
            body: job.body.as_ref().map(|body| body.bytes()),
            solution,
        };
        self.solve_with(solved)
    }

    /// As [`ChainHandle::solve`], from the parts.
    ///
    /// # Errors
    /// When the chain is ending.
    pub fn solve_with(&self, solved: Solved) -> Result<(), String> {
        let ending = || "the chain is ending".to_owned();
        self.solutions.lock().as_ref().ok_or_else(ending)?.send(solved).map_err(|_| ending())
    }

    /// Starts another version beside the running one. It takes over at its first valid job; the answer says so, or
    /// why the running version stays. Old jobs stay valid and are assembled by the version that made them. `grants` are
    /// what the operator grants this component: it inherits none of the running one's.
    ///
    /// # Errors
    /// When the new version cannot be worked with at all.
    pub fn swap(
        &self,
        adapter: Arc<dyn ChainAdapter>,
        grants: &[Grant],
    ) -> Result<Receiver<Result<(), String>>, VersionError> {
        let generation = {
            let mut generation = self.generation.lock();
            *generation += 1;
            *generation
        };
        let version = Version::prepare(adapter, generation, &self.algorithms, grants)?;
        {
            let mut versions = self.shared.versions.lock();
            versions.push(Arc::clone(&version));
            if versions.len() > VERSIONS {
                // The leading version is never the oldest of so many: only failed swaps lie between.
                let leading = self.shared.status.lock().version;
                if let Some(at) = versions.iter().position(|version| Some(version.origin) != leading) {
                    versions.remove(at);
                }
            }
        }
        let (done, answer) = mpsc::sync_channel(1);
        self.shared.queue.push(Input::Swap { version, done });
        Ok(answer)
    }

    /// Versions that made jobs of before this chain's start: they assemble the blocks of these. The leading one is none of
    /// them, whatever its digest.
    pub fn remember(&self, versions: Vec<Arc<Version>>) {
        self.shared.versions.lock().extend(versions.into_iter().take(VERSIONS / 2));
    }

    /// Lets the adapter out of quarantine.
    pub fn release(&self) {
        self.shared.queue.push(Input::Release);
    }

    /// How the chain is doing.
    #[must_use]
    pub fn status(&self) -> Status {
        self.shared.status.lock().clone()
    }

    /// The version that leads.
    #[must_use]
    pub fn version(&self) -> Option<Arc<Version>> {
        let leading = self.shared.status.lock().version?;
        self.version_of(leading)
    }

    /// The version that made a job.
    #[must_use]
    pub fn version_of(&self, origin: Origin) -> Option<Arc<Version>> {
        self.shared.versions.lock().iter().find(|version| version.origin == origin).cloned()
    }

    /// What the adapter's own algorithms have cost so far, in all versions whose jobs may still be alive.
    #[must_use]
    pub fn pow_figures(&self) -> PowFigures {
        let mut adapters: Vec<Arc<dyn ChainAdapter>> = Vec::new();
        for version in self.shared.versions.lock().iter() {
            // One may stand behind several versions.
            if !adapters.iter().any(|adapter| Arc::ptr_eq(adapter, &version.adapter)) {
                adapters.push(Arc::clone(&version.adapter));
            }
        }
        adapters.iter().map(|adapter| adapter.pow_figures()).fold(PowFigures::default(), PowFigures::add)
    }

    /// The trust rules in force.
    #[must_use]
    pub fn trust(&self) -> &Trust {
        &self.trust
    }

    /// Blocks and incomes as the host has them recorded: what a restart needs.
    #[must_use]
    pub fn known(&self) -> (Vec<KnownBlock>, Vec<KnownIncome>) {
        self.shared.book.lock().known()
    }
}

impl ChainHandle {
    /// Ends the chain: takes no more solutions, finishes those in the making, and waits for its threads. Not on a
    /// thread that nodes' answers need.
    pub fn finish(&self) {
        self.end();
        let threads = std::mem::take(&mut *self.threads.lock());
        for thread in threads {
            let _ = thread.join();
        }
    }

    fn end(&self) {
        self.shared.queue.push(Input::Stop);
        *self.solutions.lock() = None;
    }
}

impl Drop for ChainHandle {
    fn drop(&mut self) {
        self.end();
    }
}
