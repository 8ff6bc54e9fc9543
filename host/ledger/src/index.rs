//! What each owner's account consists of, in sled, for the pages that show one account.
//!
//! It is never the truth: when the ledger opens, the index takes in what the log holds behind its head, or everything when
//! it is of another history; the folder may be deleted at any time. (sled 0.34's `flush` is not durable by itself; nothing
//! here needs it to be.)
//!
//! A record of few owners has a row for each under his name. One of [`MANY`] or more has its miners' rows in [`blocks`],
//! or an income of a million would be a million rows: gigabytes of sled's memory, and minutes.

use crate::blocks::{self, Newest, Rows};
use crate::owned::owned;
use crate::{Head, Owned, Owner, Record};
use millpond_types::MinerId;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Why the index cannot be used. Money is not affected: the book in memory goes on.
#[derive(Debug, thiserror::Error)]
#[error("the index of accounts in {} failed: {source}; delete the folder, it is rebuilt at the next start", path.display())]
pub struct IndexError {
    /// The folder.
    pub path: PathBuf,
    /// sled's answer.
    pub source: sled::Error,
}

/// Entries by owner, and the record up to which they are there.
#[derive(Clone, Debug)]
pub struct AccountIndex {
    path: PathBuf,
    /// Held for the folder's lock.
    _db: sled::Db,
    owned: sled::Tree,
}

/// From so many owners on, a record's miners stand in blocks.
const MANY: usize = 1 << 10;

/// What the tree holds, by the first byte of its keys; names of owners begin with a letter.
///
/// Number of a record of many: what it is to all of them.
const WHAT: u8 = 1;
/// Number of a block: the newest record of many of each of its miners.
const NEWEST: u8 = 2;
/// Numbers of a record of many and of a block: the rows.
const ROWS: u8 = 3;
/// An owner's name, a zero byte, number of the record: the entry.
fn place(owner: &Owner, seq: u64) -> Vec<u8> {
    [owner.to_string().as_bytes(), &[0], &seq.to_be_bytes()].concat()
}

fn key(of: u8, numbers: &[u64]) -> Vec<u8> {
    let mut key = vec![of];
    numbers.iter().for_each(|number| key.extend_from_slice(&number.to_be_bytes()));
    key
}

/// The record up to which everything is there. No owner has this name.
const HEAD: &[u8] = b"head";

/// The form of all this, and where it is written. An index of another form is made anew.
const FORM: (&[u8], &[u8]) = (b"form", b"2");
/// How far back a page looks for a record of many that has its owner, before it walks from his newest one.
const LOOK: usize = 64;

/// sled lets its lock go only when its own threads have ended, a moment after the last handle: a held lock is asked
/// for again so many times,
const LOCK_TRIES: u32 = 200;
/// this long apart: two seconds in all.
const LOCK_PAUSE: Duration = Duration::from_millis(10);

/// sled has no kind of its own for a held lock: it says so in the words of an I/O error.
fn is_locked(error: &sled::Error) -> bool {
    matches!(error, sled::Error::Io(io) if io.to_string().starts_with("could not acquire lock"))
}

impl AccountIndex {
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
        // The first form kept balances too, which the book has.
        db.drop_tree("balances")?;
        let owned = db.open_tree("owned")?;
        if owned.get(FORM.0)?.is_none_or(|form| form != FORM.1) {
            owned.clear()?;
            owned.insert(FORM.0, FORM.1)?;
        }
        Ok(Self { path: path.to_owned(), _db: db, owned })
    }

    /// The last record whose entries are here; `None` for an empty index.
    ///
    /// # Errors
    /// When sled fails.
    pub fn head(&self) -> Result<Option<Head>, IndexError> {
        Ok(self.get(HEAD)?.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
    }

    pub(crate) fn forget(&self) -> Result<(), IndexError> {
        self.owned.clear().map_err(|source| self.error(source))?;
        self.owned.insert(FORM.0, FORM.1).map(drop).map_err(|source| self.error(source))
    }

    /// Takes in a record's entries and that it was taken in, both or neither.
    pub(crate) fn own(&self, record: &Record, head: &Head) -> Result<(), IndexError> {
        let (seq, at) = (record.seq, record.at);
        let mut batch = sled::Batch::default();
        if let Some((what, rows)) = owned(record) {
            // Miners come first in the order of owners.
            let miners = if rows.len() < MANY { Vec::new() } else { miners(&rows) };
            if !miners.is_empty() {
                let all = Owned { seq, at, what: what.clone(), amount: 0 };
                batch.insert(key(WHAT, &[seq]), serde_json::to_vec(&all).unwrap_or_default());
                self.own_many(&mut batch, seq, &miners)?;
            }
            for (owner, amount) in rows.into_iter().skip(miners.len()) {
                let entry = Owned { seq, at, what: what.clone(), amount };
                batch.insert(place(owner, seq), serde_json::to_vec(&entry).unwrap_or_default());
            }
        }
        batch.insert(HEAD, serde_json::to_vec(head).unwrap_or_default());
        self.owned.apply_batch(batch).map_err(|source| self.error(source))
    }

    /// The rows of a record's miners, who ascend, and that it is the newest of each.
    fn own_many(
        &self,
        batch: &mut sled::Batch,
        seq: u64,
        miners: &[(MinerId, i128)],
    ) -> Result<(), IndexError> {
        for miners in miners.chunk_by(|a, b| blocks::place(a.0).0 == blocks::place(b.0).0) {
            let Some(block) = miners.first().map(|first| blocks::place(first.0).0) else { continue };
            let (mut newest, mut rows) = (self.newest(block)?, Rows::of(seq));
            for (miner, amount) in miners {
                let (_, place) = blocks::place(*miner);
                rows.push(place, *amount, newest.replace(place, seq));
            }
            batch.insert(key(ROWS, &[seq, block]), rows.into_bytes());
            batch.insert(key(NEWEST, &[block]), newest.to_bytes(seq));
        }
        Ok(())
    }

    fn newest(&self, block: u64) -> Result<Newest, IndexError> {
        let Some(bytes) = self.get(&key(NEWEST, &[block]))? else { return Ok(Newest::default()) };
        Newest::from_bytes(&bytes).ok_or_else(|| self.unreadable("a block of newest records"))
    }

    /// A miner's row in a record of many, and the record of his row before; 0 for none.
    fn row(&self, miner: MinerId, seq: u64) -> Result<Option<(i128, u64)>, IndexError> {
        let (block, place) = blocks::place(miner);
        let Some(bytes) = self.get(&key(ROWS, &[seq, block]))? else { return Ok(None) };
        let row = blocks::row(&bytes, seq, place).ok_or_else(|| self.unreadable("a block of rows"))?;
        // A walk that did not go back would have no end.
        match row {
            Some((_, before)) if before >= seq => Err(self.unreadable("a row that follows itself")),
            row => Ok(row),
        }
    }

    /// The newest record of many before this one that a miner has a row in; 0 for none.
    fn many_before(&self, miner: MinerId, before: u64) -> Result<u64, IndexError> {
        for found in self.owned.range(key(WHAT, &[0])..key(WHAT, &[before])).rev().take(LOOK) {
            let (key, _) = found.map_err(|source| self.error(source))?;
            let seq = key.split_last_chunk().map_or(0, |(_, seq)| u64::from_be_bytes(*seq));
            if self.row(miner, seq)?.is_some() {
                return Ok(seq);
            }
        }
        let (block, place) = blocks::place(miner);
        let mut seq = self.newest(block)?.of(place);
        while seq >= before {
            seq = self.row(miner, seq)?.map_or(0, |row| row.1);
        }
        Ok(seq)
    }

    /// A miner's entry of a record of many, and the record of the one before.
    fn of_many(&self, miner: MinerId, seq: u64) -> Result<(Owned, u64), IndexError> {
        let missing = || self.unreadable(format!("record {seq} of miner {miner} is not there"));
        let (amount, before) = self.row(miner, seq)?.ok_or_else(missing)?;
        let all = self.get(&key(WHAT, &[seq]))?.ok_or_else(missing)?;
        Ok((Owned { amount, ..self.read(&all)? }, before))
    }

    /// An owner's entries before a record, newest first.
    ///
    /// # Errors
    /// When sled fails.
    pub fn owned(&self, owner: &Owner, before: u64, limit: usize) -> Result<Vec<Owned>, IndexError> {
        let mut named = self.owned.range(place(owner, 0)..place(owner, before)).rev().map(|entry| {
            let (_, value) = entry.map_err(|source| self.error(source))?;
            self.read(&value)
        });
        let Owner::Miner(miner) = owner else { return named.take(limit).collect() };
        let mut page = Vec::new();
        let (mut many, mut next) = (self.many_before(*miner, before)?, named.next().transpose()?);
        while page.len() < limit {
            if next.as_ref().is_none_or(|next| next.seq < many) && many > 0 {
                let (entry, before) = self.of_many(*miner, many)?;
                page.push(entry);
                many = before;
            } else if let Some(entry) = next {
                page.push(entry);
                next = named.next().transpose()?;
            } else {
                break;
            }
        }
        Ok(page)
    }

    fn get(&self, key: &[u8]) -> Result<Option<sled::IVec>, IndexError> {
        self.owned.get(key).map_err(|source| self.error(source))
    }

    fn read(&self, bytes: &[u8]) -> Result<Owned, IndexError> {
        serde_json::from_slice(bytes).map_err(|error| self.unreadable(error.to_string()))
    }

    pub(crate) fn unreadable(&self, what: impl Into<String>) -> IndexError {
        self.error(sled::Error::Unsupported(what.into()))
    }

    fn error(&self, source: sled::Error) -> IndexError {
        IndexError { path: self.path.clone(), source }
    }
}

/// The miners before all other owners.
fn miners(rows: &[(&Owner, i128)]) -> Vec<(MinerId, i128)> {
    let miner = |(owner, amount): &(&Owner, i128)| match owner {
        Owner::Miner(miner) => Some((*miner, *amount)),
        _ => None,
    };
    rows.iter().map_while(miner).collect()
}
