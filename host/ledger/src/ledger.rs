//! The ledger that is written to.

use crate::book::{Change, Fitting, Judgement, What};
use crate::checkpoint::{self, EVERY, MUCH};
use crate::payment::undoes_as_settled;
use crate::proven::Kept;
use crate::reader::{FORMAT, RECORD, Resumed, broken};
use crate::{
    Account, AccountIndex, Book, Entry, Head, IncomeKey, IncomeStatus, IndexError, LedgerError, Owner,
    PaymentId, PaymentState, Reader, Record, Totals,
};
use millpond_disk::Disk;
use millpond_segments::{Log, Options, Truncated};
use millpond_types::{Amount, Digest, UnixMillis};
use parking_lot::{Mutex, RwLock, RwLockReadGuard};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// What an append did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Appended {
    /// The entry is durable under this number.
    Now(u64),
    /// The ledger held it already; nothing was written.
    Before,
}

/// One pool's ledger. Shared by `Arc`; appends take turns, reads never wait for the disk.
#[derive(Debug)]
pub struct Ledger {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    /// Records between checkpoints.
    every: u64,
    /// Records that were read at open.
    read: u64,
    log: Log,
    writer: Mutex<Writer>,
    /// Written to by who holds the writer, for no longer than it takes to put a few pointers in their places.
    book: RwLock<Book>,
    /// The index, for those who read it while somebody writes.
    pub(crate) reading: RwLock<Option<AccountIndex>>,
    /// What pages of statements read lately.
    pub(crate) proofs: Mutex<Kept>,
    truncated: Option<Truncated>,
}

#[derive(Debug)]
struct Writer {
    head: Head,
    index: Option<AccountIndex>,
    index_error: Option<Arc<IndexError>>,
    /// The newest record that a checkpoint was tried after.
    checkpointed: u64,
    /// Bytes of the records since, and of the book that was stored then.
    since: u64,
    stored: u64,
    checkpoint_error: Option<Arc<LedgerError>>,
    /// Set when an append's outcome is not known: the book in memory may be behind the log.
    stopped: bool,
}

impl Ledger {
    /// Opens (or starts) the ledger in a folder and replays what came since its newest checkpoint, or all of it.
    ///
    /// # Errors
    /// When somebody else has it open, the disk fails, or a record does not check.
    pub fn open(disk: Arc<dyn Disk>, dir: &Path) -> Result<Self, LedgerError> {
        Self::open_with(disk, dir, EVERY)
    }

    /// As [`Ledger::open`], with a checkpoint after so many records (at least 2).
    ///
    /// # Errors
    /// As [`Ledger::open`].
    pub fn open_with(disk: Arc<dyn Disk>, dir: &Path, every: u64) -> Result<Self, LedgerError> {
        let options = Options { max_wait: Duration::ZERO, ..Options::new(FORMAT) };
        let (log, opened) = Log::open(Arc::clone(&disk), dir, options)?;
        if opened.first != 1 {
            return Err(broken(opened.first, "the records before it are missing"));
        }
        let Resumed { book, head, read, bytes, stored } =
            Reader::of(log.view()).resume(disk.as_ref(), dir)?;
        let writer = Writer {
            head,
            index: None,
            index_error: None,
            checkpointed: head.seq.saturating_sub(read),
            since: bytes,
            stored,
            checkpoint_error: None,
            stopped: false,
        };
        let (writer, book, truncated) = (Mutex::new(writer), RwLock::new(book), opened.truncated);
        let (every, reading, proofs) = (every.max(2), RwLock::new(None), Mutex::default());
        Ok(Self { disk, dir: dir.to_owned(), every, read, log, writer, book, reading, proofs, truncated })
    }

    /// The disk and folder of its files, for what is derived from its records and may be deleted as a checkpoint may.
    #[must_use]
    pub fn place(&self) -> (&dyn Disk, &Path) {
        (self.disk.as_ref(), &self.dir)
    }

    /// Records that were read at open: those since the newest checkpoint.
    #[must_use]
    pub fn read_at_open(&self) -> u64 {
        self.read
    }

    /// Why the newest checkpoint was not written, if so. The next one is tried in time; until then an open reads more.
    #[must_use]
    pub fn checkpoint_error(&self) -> Option<Arc<LedgerError>> {
        self.writer.lock().checkpoint_error.clone()
    }

    /// Keeps an index of accounts beside the ledger, made equal to the log first; returns how many records it lacked.
    ///
    /// # Errors
    /// When sled fails; the ledger works without its index.
    pub fn attach_index(&self, index: AccountIndex) -> Result<u64, IndexError> {
        let mut writer = self.writer.lock();
        let lacked = index.catch_up(&self.reader(), &writer.head)?;
        *self.reading.write() = Some(index.clone());
        writer.index = Some(index);
        Ok(lacked)
    }

    /// Validates an entry, makes it durable, counts it. Returns after `fdatasync`.
    ///
    /// # Errors
    /// When the entry breaks a rule (nothing was written), or the disk failed (then nothing more is accepted until
    /// the ledger is opened again: whether the entry is in it, the log says then).
    pub fn append(&self, at: UnixMillis, entry: Entry) -> Result<Appended, LedgerError> {
        let mut writer = self.writer.lock();
        if writer.stopped {
            return Err(LedgerError::Stopped);
        }
        let fitting = match self.book.read().judge(&entry, at)? {
            Judgement::Already => return Ok(Appended::Before),
            Judgement::Fits(fitting) => fitting,
        };
        undoes_as_settled(&self.reader(), &entry)?;
        let seq = self.write(&mut writer, at, entry, fitting)?;
        let many = seq.saturating_sub(writer.checkpointed) >= self.every;
        if many || writer.since >= MUCH.max(writer.stored.saturating_mul(2)) {
            // The entry is durable: a checkpoint that fails costs time at the next open and nothing else.
            (writer.checkpointed, writer.since) = (seq, 0);
            writer.checkpoint_error = self.checkpoint(&mut writer, at).err().map(Arc::new);
        }
        Ok(Appended::Now(seq))
    }

    /// Writes a record of an entry that was judged, and counts it.
    fn write(
        &self,
        writer: &mut Writer,
        at: UnixMillis,
        entry: Entry,
        fitting: Fitting,
    ) -> Result<u64, LedgerError> {
        let seq = writer.head.seq.checked_add(1).ok_or(LedgerError::Overflow("the record number"))?;
        let record = Record { v: 1, seq, at, prev: writer.head.digest, entry };
        let bytes = serde_json::to_vec(&record).map_err(|error| broken(seq, error))?;
        let (digest, written) = (Digest::of(&bytes), bytes.len() as u64);
        if let Err(error) = self.log.append(vec![(RECORD, bytes)]).wait() {
            writer.stopped = error.is_final();
            return Err(error.into());
        }
        writer.head = Head { seq, digest };
        writer.since = writer.since.saturating_add(written);
        self.count(writer, fitting, &record);
        Ok(seq)
    }

    /// Stores the book, then the record that vouches for it.
    fn checkpoint(&self, writer: &mut Writer, at: UnixMillis) -> Result<(), LedgerError> {
        let failed = |why: millpond_disk::DiskError| LedgerError::Log(why.into());
        let (after, bytes) = (writer.head.seq, self.book.read().to_bytes()?);
        checkpoint::store(self.disk.as_ref(), &self.dir, after, &bytes).map_err(failed)?;
        writer.stored = bytes.len() as u64;
        let entry = Entry::Checkpoint { book: Digest::of(&bytes) };
        // The book is not asked whether these are its bytes: it gave them a moment ago, and nobody else writes.
        let fitting = {
            let book = self.book.read();
            let change =
                Change { postings: Vec::new(), counters: book.counters.clone(), what: What::Nothing };
            book.fitting(change, &entry)?
        };
        self.write(writer, at, entry, fitting)?;
        checkpoint::prune(self.disk.as_ref(), &self.dir, after).map_err(failed)
    }

    fn count(&self, writer: &mut Writer, fitting: Fitting, record: &Record) {
        // Who reads the book waits for a few pointers: what they led to before is let go behind the lock.
        let replaced = self.book.write().put(fitting, record);
        drop(replaced);
        if let Some(index) = &writer.index
            && let Err(error) = index.own(record, &writer.head)
        {
            // The index is a convenience; the ledger goes on without it.
            writer.index = None;
            writer.index_error = Some(Arc::new(error));
            *self.reading.write() = None;
        }
    }

    /// The book as it stands, for questions that need more than one of its figures: after a whole entry, never in the midst
    /// of one. Nothing is appended and no other lock taken while it is held: an append waits for whoever holds it. Who asks
    /// for the book does not wait for that append too, so that one who walks over a million balances holds up nobody who
    /// wants one of them.
    pub fn book(&self) -> RwLockReadGuard<'_, Book> {
        self.book.read_recursive()
    }

    /// The newest record.
    #[must_use]
    pub fn head(&self) -> Head {
        self.writer.lock().head
    }

    /// The pool's figures.
    #[must_use]
    pub fn totals(&self) -> Totals {
        self.book().totals()
    }

    /// An account's balance on its natural side.
    #[must_use]
    pub fn balance(&self, account: &Account) -> i128 {
        self.book().balance(account)
    }

    /// What may be paid to an owner.
    #[must_use]
    pub fn payable(&self, owner: &Owner) -> Amount {
        self.book().payable(owner)
    }

    /// How an income stands; `None` when it was never divided.
    #[must_use]
    pub fn income_status(&self, key: &IncomeKey) -> Option<IncomeStatus> {
        self.book().income(key).map(|income| income.status)
    }

    /// How many incomes there were.
    #[must_use]
    pub fn income_count(&self) -> u64 {
        self.book().income_count()
    }

    /// How many incomes are mature.
    #[must_use]
    pub fn matured(&self) -> u64 {
        self.book().matured()
    }

    /// The last share that was credited from the reserve.
    #[must_use]
    pub fn accrued_to(&self) -> u64 {
        self.book().accrued_to()
    }

    /// The number that the next payment has.
    #[must_use]
    pub fn next_payment(&self) -> PaymentId {
        self.book().next_payment()
    }

    /// All payments that money is reserved for, oldest first.
    #[must_use]
    pub fn open_payments(&self) -> Vec<PaymentState> {
        self.book().payments().filter(|payment| payment.status.is_open()).cloned().collect()
    }

    /// One payment.
    #[must_use]
    pub fn payment(&self, id: PaymentId) -> Option<PaymentState> {
        self.book().payment(id).cloned()
    }

    /// A reader of everything durable now: verify, statement, export.
    #[must_use]
    pub fn reader(&self) -> Reader {
        Reader::of(self.log.view())
    }

    /// The torn tail that was cut off at open, if there was one: never acknowledged to anybody.
    #[must_use]
    pub fn truncated(&self) -> Option<&Truncated> {
        self.truncated.as_ref()
    }

    /// Why nothing more is accepted until a restart, if so.
    #[must_use]
    pub fn stopped(&self) -> Option<String> {
        let poisoned = self.log.poisoned().map(|why| why.to_string());
        poisoned.or_else(|| self.writer.lock().stopped.then(|| LedgerError::Stopped.to_string()))
    }

    /// Why the index of accounts was given up, if it was.
    #[must_use]
    pub fn index_error(&self) -> Option<Arc<IndexError>> {
        self.writer.lock().index_error.clone()
    }
}
