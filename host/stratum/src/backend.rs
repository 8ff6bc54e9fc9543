//! What the server asks of its pool. The server knows no money, no plugins and no storage: the pool implements this
//! trait over its journal, and the tests implement it in memory.

use crate::extranonce::Past;
use crate::firmware::CoinbaseTooLong;
use crate::names::NameKey;
use millpond_jobs::Job;
use millpond_recipe::SessionStage;
use millpond_types::{SessionId, ShareSeq, UnixMillis, Work};
use std::any::Any;
use std::fmt;
use std::future::{Future, ready};
use std::ops::Range;
use std::sync::{Arc, OnceLock};

/// Who is paid for a session's work, as the pool's adapter resolved a login. A login alone leaves no trace in the pool's
/// books: a payee gets his number with his first share that counts.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Payee {
    /// The payee as the chain pays it (a script, a lock), opaque here: it feeds the recipe's session stage. Two logins
    /// with the same payee are the same miner.
    pub payee: Vec<u8>,
    /// The address as text, canonical.
    pub address: String,
    /// The worker's name within the payee; empty when the login has none.
    pub worker: Arc<str>,
    /// What the backend keeps with him.
    pub note: Note,
}

impl Payee {
    /// A payee of whom nothing is noted.
    #[must_use]
    pub fn new(payee: Vec<u8>, address: String, worker: &str) -> Self {
        Self { payee, address, worker: Arc::from(worker), note: Note::default() }
    }
}

/// Something that a backend keeps with a payee, so that it need not look him up with every share: his numbers, where he is
/// counted. Written once. It says nothing of who he is: payees are equal whatever is noted of them.
#[derive(Clone, Default)]
pub struct Note(OnceLock<Arc<dyn Any + Send + Sync>>);

impl Note {
    /// What was noted, if it was and is of this kind.
    #[must_use]
    pub fn get<T: Any + Send + Sync>(&self) -> Option<&T> {
        self.0.get()?.downcast_ref()
    }

    /// Notes something, unless something is noted already.
    pub fn set<T: Any + Send + Sync>(&self, note: T) {
        let _ = self.0.set(Arc::new(note));
    }
}

impl fmt::Debug for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.get().is_some() { "Note(..)" } else { "Note" })
    }
}

impl PartialEq for Note {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Note {}

/// Everything `assemble` needs of a share that solves something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Solution {
    /// Whether it meets the network's target: a block.
    pub network: bool,
    /// One bit for each further `judge … against` line of the recipe that is met (merged mining), the first lowest.
    pub met: u64,
    /// The recipe's const, session and share fields, in the order of the document.
    pub fields: Vec<Vec<u8>>,
    /// The recipe's `out` registers, in the order of the document.
    pub results: Vec<Vec<u8>>,
}

/// A share that passed every check of its own, or a solution that earns no credit.
#[derive(Clone, Debug)]
pub struct Accepted {
    /// The job the share was found on.
    pub job: Arc<Job>,
    /// Who is paid.
    pub payee: Arc<Payee>,
    /// The worker named at submit, which may differ from the one at authorize.
    pub worker: Arc<str>,
    /// The connection's session.
    pub session: SessionId,
    /// The work of the target the share was judged by, in the network's units. Recorded, not credited, when
    /// `credited` is false.
    pub work: Work,
    /// The hash that names the share (the recipe's `id`), 32 bytes as computed: the key of duplicate detection.
    pub id: [u8; 32],
    /// The hash that was compared, as a number: 32 big-endian bytes.
    pub pow: [u8; 32],
    /// When the share was read from the socket.
    pub time: UnixMillis,
    /// Set when the share solves something: meets the network's target, or a merged chain's.
    pub solution: Option<Solution>,
    /// False for a solution that earns nothing: stale, below its own target, or on a job whose credit is suspended.
    pub credited: bool,
}

/// The share is not on disk, so it was not counted. The text goes to the miner with error 20.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotDurable(pub String);

/// Why a share was refused, for statistics. The numbers on the wire are the dialect's affair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// The job was never issued, or is forgotten.
    UnknownJob,
    /// The job is older than the current tip.
    Stale,
    /// Counted already.
    Duplicate,
    /// The hash does not meet the session's target.
    LowDifficulty,
    /// A field of a wrong width, or outside its range, or no field at all.
    Malformed,
    /// No login, or one the pool does not know.
    Unauthorized,
    /// No subscription yet.
    NotSubscribed,
    /// The job's credit is suspended, since every node refused a block of it.
    Suspended,
    /// The pool could not make the share durable.
    NotDurable,
    /// The pool could not judge the share: its recipe, an algorithm or the validator failed. Nothing speaks against the
    /// miner.
    Unjudged,
}

/// Why a login pays nobody. The text goes to the miner.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoPayee {
    /// The login itself is wrong: it is no address of this chain, or too long.
    #[error("{0}")]
    Login(String),
    /// The pool cannot say now whom it pays. Nothing speaks against the miner, who may try again.
    #[error("{0}")]
    Pool(String),
}

/// A pool, seen from its sockets. One instance serves all listeners of a pool.
pub trait Backend: Send + Sync + 'static {
    /// Resolves a login as a miner sent it (an address, often with `.worker` behind it) to a payee. Called once per
    /// authorize, and once per new worker name at submit; the server keeps the answer for the connection's life. It
    /// may take as long as the handshake deadline; the implementation caches.
    ///
    /// # Errors
    /// A sentence for the miner, and whose fault it is: what is the login's counts towards a ban, what is the pool's
    /// does not.
    fn resolve(&self, login: &str) -> impl Future<Output = Result<Arc<Payee>, NoPayee>> + Send;

    /// Makes a share durable, and starts the submission of its solution in parallel. Called once for each share that
    /// counts and for each solution, and followed to its end even if the connection ends. Resolves only when the record
    /// is on disk; the miner reads `true` after that and never before. `None` is the answer to a solution that earns
    /// no credit, which has no place in the sequence of shares.
    ///
    /// # Errors
    /// When the record could not be made durable. The share is not counted and may be sent again.
    fn accept(&self, share: Accepted) -> impl Future<Output = Result<Option<ShareSeq>, NotDurable>> + Send;

    /// Looks at a job as a session would work on it, where its payee is part of the work (SOLO paid in the coinbase):
    /// called once before each such job is sent, on the connection's task. It does not block.
    ///
    /// # Errors
    /// A sentence for the log: why this session gets no work of this job.
    fn may_work(&self, job: &Job, session: &SessionStage, payee: &Payee) -> Result<(), String>;

    /// What is known of the extranonce leases of before the start. Called once, when the server starts. By default
    /// nothing is: sessions cannot be resumed over a restart.
    fn past(&self) -> Past {
        Past { key: NameKey::random(), until: 0 }
    }

    /// Reserves this many numbers of extranonce leases: resolves when it is durable that they are taken, with numbers
    /// that were never given before, all above those of earlier calls. Called by one task at a time, seldom. By default
    /// they begin at random and nothing is durable.
    ///
    /// # Errors
    /// When it could not be made durable: the connection that needed one is closed.
    fn reserve(&self, count: u64) -> impl Future<Output = Result<Range<u64>, NotDurable>> + Send {
        let first = u64::from(rand::random::<u32>());
        ready(Ok(first..first.saturating_add(count)))
    }

    /// A job was sent to a miner whose firmware does not take a coinbase of that length: called once for each kind of
    /// firmware, on the connection's task, and must not block.
    fn coinbase_too_long(&self, what: &CoinbaseTooLong) {
        let _ = what;
    }

    /// A share could not be judged, twice, through no fault of its miner: called for each, on a task of its own or the
    /// connection's, and must not block. The share itself is in the log already.
    fn unjudged(&self, job: &Job, error: &str) {
        let _ = (job, error);
    }

    /// A share was refused; `worker` as named at submit. Statistics only: called on the connection's task, must not
    /// block, and cannot change the answer.
    fn refused(&self, payee: Option<&Arc<Payee>>, worker: &str, why: Refusal) {
        let _ = (payee, worker, why);
    }
}
