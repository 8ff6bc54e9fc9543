//! The balances in sled, for readers that want one balance without the ledger in memory.
//!
//! It is never the truth: when the ledger opens it replays its log and makes the index equal to what came out; the
//! folder may be deleted at any time. (sled 0.34's `flush` is not durable by itself; nothing here needs it to be.)

use crate::{Account, Book, Head};
use std::path::{Path, PathBuf};

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
#[derive(Debug)]
pub struct BalanceIndex {
    path: PathBuf,
    db: sled::Db,
    balances: sled::Tree,
}

const HEAD: &[u8] = b"head";

impl BalanceIndex {
    /// Opens or creates the index. A folder that sled cannot read is removed and started anew.
    ///
    /// # Errors
    /// When the folder can be neither read nor replaced.
    pub fn open(path: &Path) -> Result<Self, IndexError> {
        let attempt = || {
            let db = sled::Config::new().path(path).cache_capacity(16 << 20).flush_every_ms(None).open()?;
            let balances = db.open_tree("balances")?;
            Ok(Self { path: path.to_owned(), db, balances })
        };
        attempt().or_else(|_: sled::Error| {
            // It holds nothing that the log does not.
            let removed = std::fs::remove_dir_all(path).map_err(sled::Error::Io);
            removed.and_then(|()| attempt()).map_err(|source| IndexError { path: path.to_owned(), source })
        })
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

    fn error(&self, source: sled::Error) -> IndexError {
        IndexError { path: self.path.clone(), source }
    }
}
