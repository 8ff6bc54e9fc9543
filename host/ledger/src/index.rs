//! The balances in sled, and beside them what each owner's account consists of, for the pages that show one account.
//!
//! It is never the truth: when the ledger opens it replays its log and makes the index equal to what came out; the
//! folder may be deleted at any time. (sled 0.34's `flush` is not durable by itself; nothing here needs it to be.)

use crate::owned::owned;
use crate::{Account, Book, Head, Owned, Owner, Record};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Why the index cannot be used. Money is not affected: the book in memory goes on.
#[derive(Debug, thiserror::Error)]
#[error("the balance index in {} failed: {source}; delete the folder, it is rebuilt at the next start", path.display())]
pub struct IndexError {
    /// The folder.
    pub path: PathBuf,
    /// sled's answer.
    pub source: sled::Error,
}

/// Balances by account, and the record they stand after.
#[derive(Clone, Debug)]
pub struct BalanceIndex {
    path: PathBuf,
    db: sled::Db,
    balances: sled::Tree,
    /// Owner, a zero byte, number of the record: the entry.
    owned: sled::Tree,
}

const HEAD: &[u8] = b"head";

/// Where an owner's entry of a record stands: his entries lie together, in order. No owner's name has a zero byte, and
/// none is `head`.
fn place(owner: &Owner, seq: u64) -> Vec<u8> {
    [owner.to_string().as_bytes(), &[0], &seq.to_be_bytes()].concat()
}

/// sled lets its lock go only when its own threads have ended, a moment after the last handle: a held lock is asked
/// for again so many times,
const LOCK_TRIES: u32 = 200;
/// this long apart: two seconds in all.
const LOCK_PAUSE: Duration = Duration::from_millis(10);

/// sled has no kind of its own for a held lock: it says so in the words of an I/O error.
fn is_locked(error: &sled::Error) -> bool {
    matches!(error, sled::Error::Io(io) if io.to_string().starts_with("could not acquire lock"))
}

impl BalanceIndex {
    /// Opens or creates the index. A folder that sled cannot read is removed and started anew; one that somebody has
    /// open is left alone.
    ///
    /// # Errors
    /// When the folder is in use, or can be neither read nor replaced.
    pub fn open(path: &Path) -> Result<Self, IndexError> {
        let error = |source| IndexError { path: path.to_owned(), source };
        let mut tries = LOCK_TRIES;
        loop {
            match Self::attempt(path) {
                Ok(index) => return Ok(index),
                Err(source) if is_locked(&source) => {
                    tries = tries.checked_sub(1).ok_or_else(|| error(source))?;
                    std::thread::sleep(LOCK_PAUSE);
                }
                Err(_) => {
                    // It holds nothing that the log does not.
                    std::fs::remove_dir_all(path).map_err(|io| error(sled::Error::Io(io)))?;
                    return Self::attempt(path).map_err(error);
                }
            }
        }
    }

    fn attempt(path: &Path) -> Result<Self, sled::Error> {
        let db = sled::Config::new().path(path).cache_capacity(16 << 20).flush_every_ms(None).open()?;
        let balances = db.open_tree("balances")?;
        let owned = db.open_tree("owned")?;
        Ok(Self { path: path.to_owned(), db, balances, owned })
    }

    /// One account's balance, on its natural side.
    ///
    /// # Errors
    /// When sled fails.
    pub fn balance(&self, account: &Account) -> Result<i128, IndexError> {
        let value = self.balances.get(account.to_string()).map_err(|source| self.error(source))?;
        Ok(value.and_then(|bytes| bytes.as_ref().try_into().ok()).map_or(0, i128::from_le_bytes))
    }

    /// The record that the balances stand after; `None` for an empty index.
    ///
    /// # Errors
    /// When sled fails.
    pub fn head(&self) -> Result<Option<Head>, IndexError> {
        let value = self.db.get(HEAD).map_err(|source| self.error(source))?;
        Ok(value.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
    }

    /// Makes the index equal to a replayed book; returns how many accounts differed.
    ///
    /// # Errors
    /// When sled fails.
    pub fn rebuild(&self, book: &Book, head: &Head) -> Result<usize, IndexError> {
        let mut changed = 0;
        let mut batch = sled::Batch::default();
        for entry in self.balances.iter() {
            let (key, value) = entry.map_err(|source| self.error(source))?;
            let account = std::str::from_utf8(&key).ok().and_then(|text| text.parse::<Account>().ok());
            let wanted = account.map_or(0, |account| book.balance(&account));
            if wanted == 0 {
                batch.remove(key);
                changed += 1;
            } else if value.as_ref() != wanted.to_le_bytes() {
                batch.insert(key, &wanted.to_le_bytes());
                changed += 1;
            }
        }
        for (account, balance) in book.balances() {
            let key = account.to_string();
            if !self.balances.contains_key(&key).map_err(|source| self.error(source))? {
                batch.insert(key.as_bytes(), &balance.to_le_bytes());
                changed += 1;
            }
        }
        self.balances.apply_batch(batch).map_err(|source| self.error(source))?;
        self.set_head(head)?;
        Ok(changed)
    }

    /// Writes some accounts' new balances.
    pub(crate) fn update<'a>(
        &self,
        book: &Book,
        accounts: impl Iterator<Item = &'a Account>,
        head: &Head,
    ) -> Result<(), IndexError> {
        let mut batch = sled::Batch::default();
        for account in accounts {
            match book.balance(account) {
                0 => batch.remove(account.to_string().as_bytes()),
                balance => batch.insert(account.to_string().as_bytes(), &balance.to_le_bytes()),
            }
        }
        self.balances.apply_batch(batch).map_err(|source| self.error(source))?;
        self.set_head(head)
    }

    fn set_head(&self, head: &Head) -> Result<(), IndexError> {
        let bytes = serde_json::to_vec(head).unwrap_or_default();
        self.db.insert(HEAD, bytes).map_err(|source| self.error(source))?;
        Ok(())
    }

    /// The last record whose entries are here.
    pub(crate) fn owned_head(&self) -> Result<Option<Head>, IndexError> {
        let value = self.owned.get(HEAD).map_err(|source| self.error(source))?;
        Ok(value.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
    }

    pub(crate) fn forget_owned(&self) -> Result<(), IndexError> {
        self.owned.clear().map_err(|source| self.error(source))
    }

    /// Takes in a record's entries and that it was taken in, both or neither.
    pub(crate) fn own(&self, record: &Record, head: &Head) -> Result<(), IndexError> {
        let mut batch = sled::Batch::default();
        for (owner, entry) in owned(record) {
            let value = serde_json::to_vec(&entry).unwrap_or_default();
            batch.insert(place(&owner, record.seq), value);
        }
        batch.insert(HEAD, serde_json::to_vec(head).unwrap_or_default());
        self.owned.apply_batch(batch).map_err(|source| self.error(source))
    }

    /// An owner's entries before a record, newest first.
    ///
    /// # Errors
    /// When sled fails.
    pub fn owned(&self, owner: &Owner, before: u64, limit: usize) -> Result<Vec<Owned>, IndexError> {
        let found = self.owned.range(place(owner, 0)..place(owner, before)).rev().take(limit);
        found
            .map(|entry| {
                let (_, value) = entry.map_err(|source| self.error(source))?;
                serde_json::from_slice(&value)
                    .map_err(|error| self.error(sled::Error::Unsupported(error.to_string())))
            })
            .collect()
    }

    pub(crate) fn error(&self, source: sled::Error) -> IndexError {
        IndexError { path: self.path.clone(), source }
    }
}
