//! What can go wrong with a backup.

use millpond_disk::DiskError;
use millpond_journal::JournalError;
use millpond_ledger::LedgerError;
use millpond_segments::LogError;
use millpond_types::PoolName;
use std::path::PathBuf;

/// A backup, restore or drill that did not come about.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The disk failed or is full.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// There is no pool in the data folder.
    #[error("{0} holds no pool: name the data folder of a configuration (`host.data`)")]
    NoPool(PathBuf),
    /// There is not enough space.
    #[error(
        "{needed} bytes are to be written to {to}, which has {free} free: free some, or back up elsewhere"
    )]
    NoSpace {
        /// Where to.
        to: PathBuf,
        /// What is to be written.
        needed: u64,
        /// What there is.
        free: u64,
    },
    /// The journal was cut at its old end again and again while it was copied.
    #[error("segments of {0} were dropped while they were copied, {1} times in a row: try again later")]
    Moving(PoolName, u32),
    /// A journal does not check.
    #[error("pool {pool}: the journal: {why}")]
    Journal {
        /// Whose.
        pool: PoolName,
        /// Why.
        why: JournalError,
    },
    /// A ledger does not check.
    #[error("pool {pool}: the ledger: {why}")]
    Ledger {
        /// Whose.
        pool: PoolName,
        /// Why.
        why: LedgerError,
    },
    /// The parts of a pool do not belong together.
    #[error("pool {pool}: {what}; this copy is not used")]
    Inconsistent {
        /// Whose.
        pool: PoolName,
        /// What does not fit.
        what: String,
    },
    /// There is no manifest: the backup was not finished.
    #[error("{0} is no whole backup: it has no manifest.json, so it was not finished; take another")]
    Unfinished(PathBuf),
    /// The manifest is not what was written.
    #[error("the manifest of {at} does not check ({what}); take another backup")]
    Manifest {
        /// The backup.
        at: PathBuf,
        /// What does not check.
        what: String,
    },
    /// A file of a backup is not what was written.
    #[error("{path} is damaged: {what}; take another backup")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What does not check.
        what: String,
    },
    /// A restore never overwrites.
    #[error("{0} is not empty: restore into a new folder, and move the old one aside yourself")]
    NotEmpty(PathBuf),
    /// A restore was interrupted.
    #[error("a restore into {0} was interrupted: empty the folder and restore again")]
    HalfRestored(PathBuf),
    /// Folders could not be looked at or moved.
    #[error("cannot {what} {path}: {source}")]
    Folder {
        /// What was tried, as a verb.
        what: &'static str,
        /// The folder.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
}

impl BackupError {
    pub(crate) fn journal(pool: &PoolName) -> impl FnOnce(JournalError) -> Self {
        let pool = pool.clone();
        move |why| Self::Journal { pool, why }
    }

    pub(crate) fn journal_log(pool: &PoolName) -> impl FnOnce(LogError) -> Self {
        let pool = pool.clone();
        move |why| Self::Journal { pool, why: why.into() }
    }

    pub(crate) fn ledger(pool: &PoolName) -> impl FnOnce(LedgerError) -> Self {
        let pool = pool.clone();
        move |why| Self::Ledger { pool, why }
    }

    pub(crate) fn folder(what: &'static str, path: &std::path::Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Folder { what, path, source }
    }
}
