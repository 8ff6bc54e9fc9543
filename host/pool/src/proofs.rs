//! What miners can check: a commitment for every entry of the ledger that divides, pays or takes back, a history tree over
//! all of them, and signed heads of it (docs/proofs.md).
//!
//! Nothing here decides about money and nothing of money waits for it. A thread of its own follows the ledger: for each entry
//! it computes again what was divided and by what, keeps the evidence that statements are made of, notes the entry in the
//! history, and signs a head. All of that is derived from ledger and journal but for the salt, which is kept with the
//! evidence, and heads, which are durable before anybody sees them. So a crash at any point costs nothing: what was not
//! noted is made again, and evidence that nothing refers to stays unread.
//!
//! ```text
//! ledger's entry -> evidence (durable) -> entry of the history (durable) -> head (durable) -> shown
//! ```
//!
//! Entries from before a pool's first head have no commitment.

mod columns;
mod kept;
mod make;
mod shown;

use crate::Pool;
use crate::core::Core;
use crate::decide::{self, DecideError, NoSuchWindow};
use crate::edges::Edge;
use crate::policy::PolicyError;
use crate::sums::{Sums, broken};
use columns::Trees;
use kept::{Evidence, Noted};
use make::{Made, Maker, States};
use millpond_alerts::Level;
use millpond_disk::{Disk, DiskError, read_file, replace_file, replace_private};
use millpond_journal::JournalError;
use millpond_ledger::{Entry, Head, IncomeKey, Ledger, LedgerError, Owner, PaymentId, Record, Reversal};
use millpond_payout::{PayoutError, SchemeState};
use millpond_proofs::{
    Commitment, Consistency, Entry as Noting, HeadBody, HeadKind, Loss, Origin, Place, PublicKey,
    ReceiptBody, Salt, SignedHead, SignedReceipt, Signer, Statement, TreeError, VERSION, state_digest,
};
use millpond_segments::{Log, LogError, Options};
use millpond_types::{Digest, PoolName, ShareSeq, UnixMillis, WorkShift};
use parking_lot::{Mutex, RwLock};
use serde::{Deserialize, Serialize};
use shown::{Held, Shown};
use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

/// The seed that heads are signed with, in a pool's folder: in no backup, readable by nobody else.
pub const KEY: &str = "statement-key";
/// The folder of all that is here, in a pool's folder.
pub const FOLDER: &str = "proofs";
/// The log of the history's entries and of heads.
pub const HEADS: &str = "heads";
/// The log of evidence.
pub const EVIDENCE: &str = "evidence";
/// The logs' formats.
pub const FORMATS: [(&str, &str); 2] = [(HEADS, "millpond-heads"), (EVIDENCE, "millpond-proof")];
/// Stands while a restored pool signs nothing.
pub const HELD: &str = "held";
/// What a restored pool is to go on from ([`Resume`]), put here by `millpond heads resume`.
pub const RESUME: &str = "resume.json";
/// Kinds of records.
const NOTED: u16 = 1;
const HEAD: u16 = 2;
const KEPT: u16 = 1;
/// The ledger is looked at this often.
const LOOK: Duration = Duration::from_millis(500);
/// What failed is tried again after this time.
const AGAIN: Duration = Duration::from_secs(30);
/// Credits of shares alone have a head this often, in milliseconds; whatever concerns an income or a payment at once.
const PAUSE: u64 = 600_000;
/// Leaves of trees that are kept for the next statement of the same entry.
const ROOM: usize = 500_000;
/// Heads given at once, at most.
pub const MOST_HEADS: usize = 100;

/// Statements cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum ProofsError {
    /// A log of theirs.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The disk.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The ledger.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The journal.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A policy that divided.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// The scheme's state.
    #[error(transparent)]
    Payout(#[from] PayoutError),
    /// A window.
    #[error(transparent)]
    Window(#[from] NoSuchWindow),
    /// The plan of a block's coinbase.
    #[error(transparent)]
    Plan(#[from] DecideError),
    /// A tree.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// More windows than a commitment has room for.
    #[error("the scheme looks at {0} windows; a commitment has room for 255")]
    Windows(usize),
    /// The journal has no policy for it.
    #[error("no policy is recorded for share {0}")]
    NoPolicy(ShareSeq),
    /// The journal does not know an income of the ledger.
    #[error("the journal has no record of income {0} as it was divided")]
    NoIncome(IncomeKey),
    /// The ledger does not know a payment of its own.
    #[error("the ledger has no payment {0}")]
    NoPayment(PaymentId),
    /// What is kept cannot be read.
    #[error("evidence cannot be read: {0}")]
    Evidence(String),
    /// The evidence adds up to another root than was committed.
    #[error("the evidence of ledger entry {0} is not what was committed: it was changed or damaged")]
    OtherRoot(u64),
    /// An entry of the history or a head cannot be read.
    #[error("record {0} of the heads cannot be read: {1}")]
    Heads(u64, String),
    /// The key is gone.
    #[error(
        "{} is missing, and heads were signed with it: put it back from where you keep it; if it is lost, move {} aside, \
         and the pool begins anew under another key and id", key.display(), folder.display()
    )]
    KeyLost {
        /// The key's file.
        key: PathBuf,
        /// What it signed.
        folder: PathBuf,
    },
    /// The key is another.
    #[error("{} is not the key that signed the pool's heads: put that one back", .0.display())]
    OtherKey(PathBuf),
    /// The ledger is another than was committed.
    #[error(
        "record {0} of the ledger is not the one that was committed: the ledger was replaced by another; restore ledger and \
         proofs from one backup"
    )]
    OtherLedger(u64),
    /// The head to go on from does not fit.
    #[error("the head in {RESUME} does not fit: {0}")]
    Resume(String),
}

/// Why there is no statement.
#[derive(Debug, thiserror::Error)]
pub enum NoStatement {
    /// The pool gives out none now.
    #[error("this pool gives out no statements now: its operator was told why")]
    Off,
    /// Nobody of this address has mined here.
    #[error("no miner of this address has mined here")]
    Stranger,
    /// The entry has no commitment.
    #[error(
        "there is no statement of this entry of the ledger: it divides, pays and takes back nothing, or is older than the \
         pool's first head"
    )]
    NoEntry,
    /// No head has the entry yet.
    #[error("no signed head has this entry yet: ask again in a moment")]
    NotSigned,
    /// He has no leaf.
    #[error("this miner has no part of this entry, and did no work in its windows")]
    NotInIt,
    /// The evidence is gone or damaged.
    #[error("the evidence of this entry cannot be read any more; statements given out before stay good")]
    Gone,
}

/// An entry's commitment with its trees.
#[derive(Debug)]
struct Built {
    commitment: Commitment,
    trees: Option<Trees>,
}

#[derive(Debug)]
struct Follower {
    /// The newest record that was followed.
    at: Head,
    /// The scheme's state there; none when it is to be read again.
    state: Option<SchemeState>,
    digest: Option<Digest>,
}

/// Commitments, history and heads of one pool.
pub(crate) struct Proofs {
    signer: Signer,
    origin: Origin,
    id: Digest,
    shift: u8,
    disk: Arc<dyn Disk>,
    folder: PathBuf,
    heads: Log,
    evidence: Log,
    follower: Mutex<Follower>,
    followed: AtomicU64,
    held: AtomicBool,
    /// A key that was found where no head is, under its new name.
    aside: Option<PathBuf>,
    shown: RwLock<Shown>,
    built: Mutex<VecDeque<(u64, Arc<Built>)>>,
}

impl std::fmt::Debug for Proofs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Proofs").field("pool", &self.id).finish_non_exhaustive()
    }
}

/// The key that a pool signs with, if it has one.
///
/// # Errors
/// When the disk fails, or the file is none.
pub fn public_key(disk: &dyn Disk, pool: &Path) -> Result<Option<PublicKey>, ProofsError> {
    Ok(signer(disk, pool)?.map(|signer| signer.key()))
}

fn signer(disk: &dyn Disk, pool: &Path) -> Result<Option<Signer>, ProofsError> {
    let path = pool.join(KEY);
    match read_file(disk, &path) {
        Ok(bytes) => match <[u8; 32]>::try_from(bytes) {
            Ok(seed) => Ok(Some(Signer::new(&seed))),
            Err(_) => Err(ProofsError::OtherKey(path)),
        },
        Err(why) if why.is_not_found() => Ok(None),
        Err(why) => Err(why.into()),
    }
}

/// What a pool's proofs are opened with.
pub(crate) struct Opening<'a> {
    pub(crate) disk: &'a Arc<dyn Disk>,
    /// The pool's folder.
    pub(crate) pool: &'a Path,
    pub(crate) name: &'a PoolName,
    pub(crate) network: &'a str,
    pub(crate) shift: WorkShift,
}

/// What a restored pool is to go on from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resume {
    /// The newest head that was published.
    pub newest: SignedHead,
    /// The operator says that the pool published no head after the newest one in the backup.
    pub nothing_published_since: bool,
}

impl Proofs {
    /// Opens them, or begins with what the ledger holds now.
    ///
    /// # Errors
    /// When the key is lost, the ledger is another than was committed, or the disk fails. The pool runs without.
    pub(crate) fn open(opening: &Opening<'_>, ledger: &Ledger) -> Result<Self, ProofsError> {
        let (disk, folder) = (opening.disk, opening.pool.join(FOLDER));
        disk.make_dir(&folder)?;
        let open = |(name, format): (&str, &'static str)| {
            let options = Options { max_wait: Duration::ZERO, ..Options::new(format) };
            Log::open(Arc::clone(disk), &folder.join(name), options).map(|(log, _)| log)
        };
        let [heads, evidence] = FORMATS.map(open);
        let (heads, evidence) = (heads?, evidence?);
        let shown = read(&heads)?;
        let (key, empty) = (opening.pool.join(KEY), heads.view().next_index() <= 1);
        let mut aside = None;
        let signer = match signer(disk.as_ref(), opening.pool)? {
            Some(signer) if !empty => signer,
            None if !empty => return Err(ProofsError::KeyLost { key, folder }),
            unknown => {
                // What this key signed elsewhere is not known here: another head 0 of its would contradict the first.
                if let Some(unknown) = unknown {
                    let to = opening.pool.join(format!("{KEY}.{}", unknown.key()));
                    disk.rename(&key, &to)?;
                    disk.sync_dir(opening.pool)?;
                    aside = Some(to);
                }
                let seed: [u8; 32] = rand::random();
                replace_private(disk.as_ref(), &key, &seed)?;
                let held = folder.join(HELD);
                if is_there(disk.as_ref(), &held)? {
                    disk.remove(&held)?;
                    disk.sync_dir(&folder)?;
                }
                Signer::new(&seed)
            }
        };
        let (network, name) = (opening.network.to_owned(), opening.name.as_str().to_owned());
        let mut origin = Origin { key: signer.key(), network, name };
        let mut at = ledger.head();
        if let Some(newest) = &shown.newest {
            if newest.body.key != signer.key() {
                return Err(ProofsError::OtherKey(opening.pool.join(KEY)));
            }
            origin = newest.body.origin.clone();
            at = shown.followed;
            if let Some(noted) = shown.last_noted().filter(|noted| noted.entry.ledger_seq > at.seq) {
                at = Head { seq: noted.entry.ledger_seq, digest: noted.record };
            }
            same_ledger(ledger, &at)?;
        }
        let held = is_there(disk.as_ref(), &folder.join(HELD))?;
        Ok(Self {
            id: origin.pool(),
            signer,
            origin,
            shift: opening.shift.0,
            disk: Arc::clone(disk),
            folder,
            heads,
            evidence,
            follower: Mutex::new(Follower { at, state: None, digest: None }),
            followed: AtomicU64::new(at.seq),
            held: AtomicBool::new(held),
            aside,
            shown: RwLock::new(shown),
            built: Mutex::default(),
        })
    }

    /// Whether entries of the ledger wait for their commitment, and with it what they were computed from.
    pub(crate) fn is_behind(&self, ledger: &Ledger) -> bool {
        self.followed.load(Ordering::Acquire) < ledger.head().seq
    }

    /// Whether heads wait for an operator's word after a restore.
    pub(crate) fn is_held(&self) -> bool {
        self.held.load(Ordering::Acquire)
    }

    fn maker<'a>(&self, core: &'a Core) -> Maker<'a> {
        Maker { core, pool: self.id, shift: self.shift }
    }

    /// Commits what the ledger has that is not committed, and signs a head when it is time for one.
    pub(crate) fn follow(&self, core: &Core, now: UnixMillis) -> Result<(), ProofsError> {
        let mut follower = self.follower.lock();
        if self.is_held() && !self.resume(core, &follower, now)? {
            return Ok(());
        }
        // Before the first entry, so that a start always knows where the history begins.
        if self.shown.read().newest.is_none() {
            self.sign(core, &follower.at, HeadKind::Usual, now)?;
        }
        let done = self.commit(core, &mut follower);
        if done.is_err() {
            (follower.state, follower.digest) = (None, None);
        }
        done?;
        let due = {
            let shown = self.shown.read();
            shown.newest.as_ref().is_some_and(|head| {
                let (size, newest) = (head.body.size, shown.history.size());
                newest > size && (shown.urgent(size) || is_time(head.body.time, now))
            })
        };
        if due {
            self.sign(core, &follower.at, HeadKind::Usual, now)?;
        }
        Ok(())
    }

    fn commit(&self, core: &Core, follower: &mut Follower) -> Result<(), ProofsError> {
        if core.ledger.head().seq <= follower.at.seq {
            return Ok(());
        }
        let mut state = match follower.state.take() {
            Some(state) => state,
            None => Sums::read_to(&core.ledger, follower.at.seq)?.sums.state,
        };
        let (from, mut failed) = (follower.at, None);
        let walked = core.ledger.reader().for_each_record_after(&from, &mut |record, bytes| {
            self.one(core, follower, &mut state, record, bytes).map_err(|why| {
                let told = broken(record.seq, &why);
                failed = Some(why);
                told
            })
        });
        if let Some(why) = failed {
            return Err(why);
        }
        walked?;
        follower.state = Some(state);
        Ok(())
    }

    fn one(
        &self,
        core: &Core,
        follower: &mut Follower,
        state: &mut SchemeState,
        record: &Record,
        bytes: &[u8],
    ) -> Result<(), ProofsError> {
        let digest = |state: &SchemeState| state_digest(&state.to_cells());
        let before = *follower.digest.get_or_insert_with(|| digest(state));
        let at_first = make::Before::of(state);
        decide::follow(state, &record.entry)?;
        let changed = match &record.entry {
            Entry::IncomeAllocated(income) => !income.state.is_empty(),
            Entry::Accrued { state, .. } | Entry::Reaccrued { state, .. } => !state.is_empty(),
            Entry::Reversed { how, .. } => *how == Reversal::Restore,
            _ => false,
        };
        let states = States { before, after: if changed { digest(state) } else { before } };
        follower.digest = Some(states.after);
        let last = |subject: &[u8]| self.shown.read().last(subject);
        let made = match self.maker(core).make(record, (states, &at_first), &last, Salt(rand::random())) {
            Ok(made) => made,
            // It does not come back, and what is behind it is not to wait for ever.
            Err(why @ (ProofsError::Journal(JournalError::Dropped { .. }) | ProofsError::NoIncome(_))) => {
                let text =
                    format!("entry {} of the ledger has no commitment and no statements: {why}", record.seq);
                core.alarm(Level::Critical, "statements-missing", text);
                None
            }
            Err(why) => return Err(why),
        };
        let head = Head { seq: record.seq, digest: Digest::of(bytes) };
        if let Some(made) = made {
            self.note(core, &head, made)?;
        }
        follower.at = head;
        self.followed.store(head.seq, Ordering::Release);
        Ok(())
    }

    fn note(&self, core: &Core, record: &Head, made: Made) -> Result<(), ProofsError> {
        let Made { said, evidence, trees } = made;
        let kept = self.evidence.append(vec![(KEPT, evidence.to_bytes()?)]).wait()?;
        core.pass(Edge::Evidenced);
        let restarts = self.shown.read().restarts();
        let commitment = evidence.commitment;
        let noted = Noted {
            entry: Noting::new(restarts, record.seq, &commitment),
            record: record.digest,
            subject: hex::encode(&commitment.subject),
            division: commitment.division,
            said,
            evidence: kept,
        };
        let bytes = serde_json::to_vec(&noted).map_err(|why| ProofsError::Evidence(why.to_string()))?;
        self.heads.append(vec![(NOTED, bytes)]).wait()?;
        core.pass(Edge::Committed);
        let index = {
            let mut shown = self.shown.write();
            shown.note(&noted);
            shown.history.size().saturating_sub(1)
        };
        self.keep(index, &Arc::new(Built { commitment, trees }));
        Ok(())
    }

    /// Signs the next head and shows it, once it is durable.
    fn sign(&self, core: &Core, at: &Head, kind: HeadKind, now: UnixMillis) -> Result<(), ProofsError> {
        let last = self.newest();
        let head = self.next(core, at, kind, now, last.as_ref());
        self.publish(core, vec![head])
    }

    /// The head that follows another.
    fn next(
        &self,
        core: &Core,
        at: &Head,
        kind: HeadKind,
        now: UnixMillis,
        last: Option<&SignedHead>,
    ) -> SignedHead {
        let job = core.jobs.current();
        let view = core.journal.view();
        let declared = u32::from(matches!(kind, HeadKind::Restored(_)));
        let last = last.map(|head| &head.body);
        let shown = self.shown.read();
        let body = HeadBody {
            version: VERSION,
            pool: self.id,
            origin: self.origin.clone(),
            number: last.map_or(0, |last| last.number.saturating_add(1)),
            prev: last.map_or_else(Digest::default, HeadBody::hash),
            kind,
            restarts: last.map_or(0, |last| last.restarts).saturating_add(declared),
            time: now,
            coord: job.as_ref().map_or(0, |job| job.coord),
            tip: job.as_ref().map(|job| job.parent.to_vec()).unwrap_or_default(),
            ledger_seq: at.seq,
            ledger_digest: at.digest,
            journal_next: view.log().next_index(),
            journal_share: view.newest(),
            journal_chain: Digest(view.log().chain().0),
            size: shown.history.size(),
            root: shown.history.root(),
            key: self.signer.key(),
        };
        SignedHead::sign(body, &self.signer)
    }

    /// Keeps heads, all or none of them, and shows them.
    fn publish(&self, core: &Core, heads: Vec<SignedHead>) -> Result<(), ProofsError> {
        let record = |head: &SignedHead| Ok((HEAD, serde_json::to_vec(head)?));
        let records: Result<Vec<_>, serde_json::Error> = heads.iter().map(record).collect();
        let records = records.map_err(|why| ProofsError::Evidence(why.to_string()))?;
        let first = self.heads.append(records).wait()?;
        core.pass(Edge::HeadKept);
        let mut shown = self.shown.write();
        for (place, head) in (first..).zip(heads) {
            shown.publish(head, place);
        }
        Ok(())
    }

    /// Goes on after a restore from the newest head that was published, if an operator has put it there: what came after
    /// the backup is declared as lost.
    fn resume(&self, core: &Core, follower: &Follower, now: UnixMillis) -> Result<bool, ProofsError> {
        let path = self.folder.join(RESUME);
        let bytes = match read_file(self.disk.as_ref(), &path) {
            Ok(bytes) => bytes,
            Err(why) if why.is_not_found() => return Ok(false),
            Err(why) => return Err(why.into()),
        };
        let refuse = |why: String| ProofsError::Resume(why);
        let read: Result<Resume, _> = serde_json::from_slice(&bytes);
        let Resume { newest: published, nothing_published_since } =
            read.map_err(|why| refuse(why.to_string()))?;
        published.verify().map_err(|why| refuse(why.to_string()))?;
        let body = &published.body;
        if body.pool != self.id || body.key != self.signer.key() {
            return Err(refuse("it is of another pool, or signed by another key".to_owned()));
        }
        let (own, size, root) = {
            let shown = self.shown.read();
            (shown.newest.clone(), shown.history.size(), shown.history.root())
        };
        let ours = own.as_ref().map(|head| head.body.hash());
        // Stopped after the heads were kept; a restore since then has emptied the file.
        let held = self.folder.join(HELD);
        let begun = read_file(self.disk.as_ref(), &held)? == body.hash().0;
        let resumed = begun
            && own.as_ref().is_some_and(|own| {
                matches!(own.body.kind, HeadKind::Restored(_)) && own.body.prev == body.hash()
            });
        let is_newest = ours == Some(body.hash());
        if is_newest && !nothing_published_since && body.size <= size {
            return Err(refuse(
                "it is the newest of the backup itself: give the newest that anybody was shown, or say \
                 --nothing-published-since"
                    .to_owned(),
            ));
        }
        let nothing_lost = is_newest && nothing_published_since && body.size <= size;
        if !(resumed || nothing_lost) {
            if own.is_some_and(|own| own.body.number >= body.number) && !is_newest {
                return Err(refuse("the pool has newer heads of its own".to_owned()));
            }
            if body.size < size {
                return Err(refuse("it has fewer entries than the restored history".to_owned()));
            }
            let reason = "restored from a backup".to_owned();
            let loss = Loss { lost_from: size, root, reason };
            let kind = HeadKind::Restored(loss);
            let restored = self.next(core, &follower.at, kind, now, Some(&published));
            replace_file(self.disk.as_ref(), &held, &body.hash().0)?;
            // Both or none: without the second the first stood for a history that is not there.
            self.publish(core, if is_newest { vec![restored] } else { vec![published, restored] })?;
        }
        self.disk.remove(&held)?;
        self.disk.remove(&path)?;
        self.disk.sync_dir(&self.folder)?;
        self.held.store(false, Ordering::Release);
        Ok(true)
    }

    /// A miner's statement of an entry of the ledger, in the newest head.
    pub(crate) fn statement(&self, core: &Core, address: &str, seq: u64) -> Result<Statement, NoStatement> {
        let miner = core.journal.miner_by_address(address).ok_or(NoStatement::Stranger)?;
        let (index, held, head, inclusion) = {
            let shown = self.shown.read();
            let (index, held) = shown.entry(seq).ok_or(NoStatement::NoEntry)?;
            let head = shown.newest.clone().ok_or(NoStatement::NotSigned)?;
            let inclusion = shown.history.inclusion(index, head.body.size).ok_or(NoStatement::NotSigned)?;
            (index, held, head, inclusion)
        };
        let built = self.built(core, index, &held).map_err(|why| {
            tracing::error!(pool = %core.name, seq, %why, "a statement cannot be made");
            NoStatement::Gone
        })?;
        let owner = Owner::Miner(miner.id);
        let (credit, work) = match &built.trees {
            None => (None, Vec::new()),
            Some(trees) => {
                let (credit, work) = trees.of(&owner, &miner.address).ok_or(NoStatement::NotInIt)?;
                (Some(credit), work)
            }
        };
        let Noting { restarts, ledger_seq, .. } = held.entry;
        Ok(Statement {
            millpond_statement: VERSION,
            address: miner.address,
            owner: owner.to_string(),
            commitment: built.commitment.clone(),
            credit,
            work,
            entry: Place { restarts, ledger_seq, index, inclusion },
            head,
        })
    }

    /// The trees of an entry: kept, or built again from the evidence.
    fn built(&self, core: &Core, index: u64, held: &Held) -> Result<Arc<Built>, ProofsError> {
        if let Some((_, built)) = self.built.lock().iter().find(|(at, _)| *at == index) {
            return Ok(Arc::clone(built));
        }
        let gone = || ProofsError::Evidence("it is not there".to_owned());
        let kept = self.evidence.view().iter(held.evidence).next().ok_or_else(gone)??;
        let evidence = Evidence::read(&kept.payload)?;
        let seq = held.entry.ledger_seq;
        let (record, digest) = core.ledger.reader().record(seq)?.ok_or(ProofsError::OtherLedger(seq))?;
        if digest != held.record || evidence.commitment.hash() != held.entry.commitment {
            return Err(ProofsError::OtherRoot(seq));
        }
        let trees = self.maker(core).trees(&evidence, &record)?;
        let built = Arc::new(Built { commitment: evidence.commitment, trees });
        self.keep(index, &built);
        Ok(built)
    }

    fn keep(&self, index: u64, built: &Arc<Built>) {
        let leaves = |built: &Built| built.trees.as_ref().map_or(1, Trees::leaves);
        let mut kept = self.built.lock();
        kept.push_back((index, Arc::clone(built)));
        let mut held = kept.iter().fold(0_usize, |sum, (_, built)| sum.saturating_add(leaves(built)));
        while held > ROOM {
            let Some((_, oldest)) = kept.pop_front() else { return };
            held = held.saturating_sub(leaves(&oldest));
        }
    }

    /// Heads before one, newest first.
    pub(crate) fn heads(&self, before: Option<u64>, limit: usize) -> Result<Vec<SignedHead>, ProofsError> {
        let wanted: Vec<u64> = {
            let shown = self.shown.read();
            let before = before.unwrap_or(u64::MAX);
            shown.heads.range(..before).rev().take(limit.min(MOST_HEADS)).map(|(_, place)| *place).collect()
        };
        let mut found = BTreeMap::new();
        let (Some(oldest), Some(newest)) = (wanted.iter().min(), wanted.iter().max()) else {
            return Ok(Vec::new());
        };
        for record in self.heads.view().iter(*oldest) {
            let record = record?;
            if record.index > *newest {
                break;
            }
            if record.kind == HEAD && wanted.contains(&record.index) {
                found.insert(record.index, head_of(record.index, &record.payload)?);
            }
        }
        Ok(wanted.iter().filter_map(|place| found.remove(place)).collect())
    }

    /// Signs a receipt, with what is the pool's filled in; `None` before the first head, and while heads are held.
    pub(crate) fn receipt(&self, body: ReceiptBody) -> Option<SignedReceipt> {
        let newest = self.newest().filter(|_| !self.is_held())?.body;
        let (restarts, head) = (newest.restarts, newest.number);
        let body = ReceiptBody { pool: self.id, shift: self.shift, restarts, head, ..body };
        Some(SignedReceipt::sign(body, &self.signer))
    }

    /// The newest head.
    pub(crate) fn newest(&self) -> Option<SignedHead> {
        self.shown.read().newest.clone()
    }

    /// That the history of one size is the beginning of that of another, as far as heads are published.
    pub(crate) fn consistency(&self, from: u64, to: u64) -> Option<Consistency> {
        let shown = self.shown.read();
        let published = shown.newest.as_ref().is_some_and(|head| to <= head.body.size);
        let path = shown.history.consistency(from, to).filter(|_| published)?;
        Some(Consistency { from, to, path })
    }
}

fn is_there(disk: &dyn Disk, path: &Path) -> Result<bool, DiskError> {
    match read_file(disk, path) {
        Ok(_) => Ok(true),
        Err(why) if why.is_not_found() => Ok(false),
        Err(why) => Err(why),
    }
}

fn head_of(index: u64, payload: &[u8]) -> Result<SignedHead, ProofsError> {
    SignedHead::read(payload).map_err(|why| ProofsError::Heads(index, why.to_string()))
}

/// Whether credits of shares alone have their next head: a clock that was ahead when the last was signed holds none back.
fn is_time(last: UnixMillis, now: UnixMillis) -> bool {
    now.0 < last.0 || now.since(last) >= PAUSE
}

/// Reads history and heads.
fn read(log: &Log) -> Result<Shown, ProofsError> {
    let mut shown = Shown::default();
    for record in log.view().iter(1) {
        let record = record?;
        match record.kind {
            NOTED => shown.note(
                &serde_json::from_slice(&record.payload)
                    .map_err(|why| ProofsError::Heads(record.index, why.to_string()))?,
            ),
            HEAD => shown.publish(head_of(record.index, &record.payload)?, record.index),
            kind => return Err(ProofsError::Heads(record.index, format!("it is of kind {kind}"))),
        }
    }
    Ok(shown)
}

/// The ledger still has the record that was followed last.
fn same_ledger(ledger: &Ledger, at: &Head) -> Result<(), ProofsError> {
    if at.seq == 0 {
        return Ok(());
    }
    match ledger.reader().record(at.seq)? {
        Some((_, digest)) if digest == at.digest => Ok(()),
        _ => Err(ProofsError::OtherLedger(at.seq)),
    }
}

/// The thread: follows the ledger until told to stop.
pub(crate) fn run(core: &Arc<Core>, stop: &Receiver<()>) {
    let Some(proofs) = &core.proofs else { return };
    let about = "statements";
    let mut failed = false;
    if let Some(aside) = &proofs.aside {
        let text = format!(
            "the pool signs with a new key, which is to be published: the one that it had may have signed heads that are not \
             here, and is {} now",
            aside.display()
        );
        core.alarm(Level::Warning, KEY, text);
    }
    if proofs.is_held() {
        let text = format!(
            "the data was restored from a backup: no head is signed, and new entries have no statements, before `millpond \
             heads resume --pool {}` is given the newest head that was published",
            core.name
        );
        core.alarm(Level::Warning, about, text);
        failed = true;
    }
    loop {
        let mut pause = LOOK;
        match proofs.follow(core, UnixMillis::now()) {
            Ok(()) if failed && !proofs.is_held() => {
                core.alarms.clear(core.name.as_str(), about);
                failed = false;
            }
            Ok(()) => {}
            Err(why) => {
                let text =
                    format!("entries of the ledger wait for their commitment, and old shares stay: {why}");
                core.alarm(Level::Critical, about, text);
                (failed, pause) = (true, AGAIN);
            }
        }
        match stop.recv_timeout(pause) {
            Err(RecvTimeoutError::Timeout) => {}
            Ok(()) | Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

impl Pool {
    /// The pool's heads before one, newest first, at most [`MOST_HEADS`]; none while the pool gives out no statements.
    #[must_use]
    pub fn heads(&self, before: Option<u64>, limit: usize) -> Vec<SignedHead> {
        let Some(proofs) = &self.core.proofs else { return Vec::new() };
        proofs.heads(before, limit).unwrap_or_else(|why| {
            tracing::error!(pool = %self.core.name, %why, "heads cannot be read");
            Vec::new()
        })
    }

    /// One head by its number, or the newest.
    #[must_use]
    pub fn head(&self, number: Option<u64>) -> Option<SignedHead> {
        let Some(number) = number else { return self.core.proofs.as_ref()?.newest() };
        let before = number.checked_add(1)?;
        self.heads(Some(before), 1).into_iter().find(|head| head.body.number == number)
    }

    /// Whether the data was restored from a backup and nothing is signed yet: the newest head is older than what others have.
    #[must_use]
    pub fn heads_are_held(&self) -> bool {
        self.core.proofs.as_ref().is_some_and(Proofs::is_held)
    }

    /// That the history of `from` entries is the beginning of that of `to` entries. `None` beyond the newest head.
    #[must_use]
    pub fn consistency(&self, from: u64, to: u64) -> Option<Consistency> {
        self.core.proofs.as_ref()?.consistency(from, to)
    }

    /// A miner's statement of one entry of the ledger, to be verified without the pool.
    ///
    /// # Errors
    /// Why there is none.
    pub fn statement_of(&self, address: &str, seq: u64) -> Result<Statement, NoStatement> {
        self.core.proofs.as_ref().ok_or(NoStatement::Off)?.statement(&self.core, address, seq)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_follows_after_its_pause_and_at_once_when_the_clock_went_back() {
        let last = UnixMillis(10 * PAUSE);
        let due = [0, PAUSE - 1, PAUSE].map(|more| is_time(last, UnixMillis(last.0 + more)));
        assert_eq!(due, [false, false, true]);
        assert!(is_time(last, UnixMillis(last.0 - 1)));
    }
}
