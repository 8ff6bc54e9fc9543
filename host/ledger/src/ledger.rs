//! The ledger that is written to.

use crate::book::{Change, Judgement};
use crate::reader::{FORMAT, RECORD, broken};
use crate::{
    Account, BalanceIndex, Book, Entry, Head, IndexError, LedgerError, Owner, PaymentId, PaymentState,
    Reader, Record, Totals,
};
use millpond_disk::Disk;
use millpond_segments::{Log, Options, Truncated};
use millpond_types::{Amount, Digest, UnixMillis};
use parking_lot::{Mutex, RwLock, RwLockReadGuard};
use std::path::Path;
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
    log: Log,
    writer: Mutex<Writer>,
    book: RwLock<Book>,
    truncated: Option<Truncated>,
}

#[derive(Debug)]
struct Writer {
    head: Head,
    index: Option<BalanceIndex>,
    index_error: Option<Arc<IndexError>>,
    /// Set when an append's outcome is not known: the book in memory may be behind the log.
    stopped: bool,
}

impl Ledger {
    /// Opens (or starts) the ledger in a folder and replays all of it.
    ///
    /// # Errors
    /// When somebody else has it open, the disk fails, or a record does not check.
    pub fn open(disk: Arc<dyn Disk>, dir: &Path) -> Result<Self, LedgerError> {
        let options = Options { max_wait: Duration::ZERO, ..Options::new(FORMAT) };
        let (log, opened) = Log::open(disk, dir, options)?;
        if opened.first != 1 {
            return Err(broken(opened.first, "the records before it are missing"));
        }
        let (book, head) = Reader::of(log.view()).replay()?;
        let writer = Writer { head, index: None, index_error: None, stopped: false };
        Ok(Self { log, writer: Mutex::new(writer), book: RwLock::new(book), truncated: opened.truncated })
    }

    /// Keeps a balance index beside the ledger, made equal to the book first; returns how many balances in it were
    /// wrong or missing.
    ///
    /// # Errors
    /// When sled fails; the ledger works without its index.
    pub fn attach_index(&self, index: BalanceIndex) -> Result<usize, IndexError> {
        let mut writer = self.writer.lock();
        let changed = index.rebuild(&self.book.read(), &writer.head)?;
        writer.index = Some(index);
        Ok(changed)
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
        let change = match self.book.read().judge(&entry, at)? {
            Judgement::Already => return Ok(Appended::Before),
            Judgement::Fits(change) => change,
        };
        let seq = writer.head.seq.checked_add(1).ok_or(LedgerError::Overflow("the record number"))?;
        let record = Record { v: 1, seq, at, prev: writer.head.digest, entry };
        let bytes = serde_json::to_vec(&record).map_err(|error| broken(seq, error))?;
        let digest = Digest::of(&bytes);
        if let Err(error) = self.log.append(vec![(RECORD, bytes)]).wait() {
            writer.stopped = error.is_final();
            return Err(error.into());
        }
        writer.head = Head { seq, digest };
        self.count(&mut writer, change, &record)?;
        Ok(Appended::Now(seq))
    }

    fn count(&self, writer: &mut Writer, change: Change, record: &Record) -> Result<(), LedgerError> {
        let mut book = self.book.write();
        let postings = change.postings.clone();
        book.apply_record(change, record)?;
        if let Some(index) = &writer.index {
            let accounts = postings.iter().map(|posting| &posting.account);
            if let Err(error) = index.update(&book, accounts, &writer.head) {
                // The index is a convenience; the ledger goes on without it.
                writer.index = None;
                writer.index_error = Some(Arc::new(error));
            }
        }
        Ok(())
    }

    /// The book as it stands. Do not hold it across an append.
    pub fn book(&self) -> RwLockReadGuard<'_, Book> {
        self.book.read()
    }

    /// The newest record.
    #[must_use]
    pub fn head(&self) -> Head {
        self.writer.lock().head
    }

    /// The pool's figures.
    #[must_use]
    pub fn totals(&self) -> Totals {
        self.book.read().totals()
    }

    /// An account's balance on its natural side.
    #[must_use]
    pub fn balance(&self, account: &Account) -> i128 {
        self.book.read().balance(account)
    }

    /// What may be paid to an owner.
    #[must_use]
    pub fn payable(&self, owner: &Owner) -> Amount {
        self.book.read().payable(owner)
    }

    /// All payments that money is reserved for, oldest first.
    #[must_use]
    pub fn open_payments(&self) -> Vec<PaymentState> {
        self.book.read().payments().filter(|payment| payment.status.is_open()).cloned().collect()
    }

    /// One payment.
    #[must_use]
    pub fn payment(&self, id: PaymentId) -> Option<PaymentState> {
        self.book.read().payment(id).cloned()
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

    /// Why the balance index was given up, if it was.
    #[must_use]
    pub fn index_error(&self) -> Option<Arc<IndexError>> {
        self.writer.lock().index_error.clone()
    }
}
