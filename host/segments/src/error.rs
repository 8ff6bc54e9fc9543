//! What can go wrong with a log.

use millpond_disk::DiskError;
use std::sync::Arc;

/// An error of a log. Cloned to everybody who waits for the same group.
#[derive(Clone, Debug, thiserror::Error)]
pub enum LogError {
    /// The disk failed or is full.
    #[error(transparent)]
    Disk(Arc<DiskError>),
    /// A segment does not check: its bytes are not what was written.
    #[error(
        "segment {segment} is damaged at byte {offset}: {what}; restore it from a backup, do not edit it"
    )]
    Corrupt {
        /// The file's name.
        segment: String,
        /// Where in the file.
        offset: u64,
        /// What does not check.
        what: String,
    },
    /// Segments that should be there are not.
    #[error("segments are missing: record {expected} should follow, but {found}; restore them from a backup")]
    Missing {
        /// The index of the first record that is missing.
        expected: u64,
        /// What is there instead.
        found: String,
    },
    /// The folder holds another kind of log, or one of a newer version.
    #[error("segment {segment} holds {found}, not {expected}: wrong folder or newer version?")]
    Format {
        /// The file's name.
        segment: String,
        /// Format and version found.
        found: String,
        /// Format and version expected.
        expected: String,
    },
    /// The owner cannot read one of its own records or summaries.
    #[error("segment {segment}, byte {offset}: {what}")]
    Owner {
        /// The file's name.
        segment: String,
        /// Where in the file.
        offset: u64,
        /// What the owner said.
        what: String,
    },
    /// The queue is full: nothing was written; try again later.
    #[error("the disk does not keep up: {waiting} records wait for it; try again later")]
    Busy {
        /// Items in the queue.
        waiting: usize,
    },
    /// A record is larger than a frame may be.
    #[error("a record of {bytes} bytes is larger than the limit of {limit}")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// An earlier write or sync failed; nothing is acknowledged any more.
    #[error("the log stopped after a failed write ({0}); mend the disk and restart")]
    Poisoned(Arc<str>),
    /// The log was closed.
    #[error("the log is closed")]
    Closed,
}

impl From<DiskError> for LogError {
    fn from(error: DiskError) -> Self {
        Self::Disk(Arc::new(error))
    }
}

impl LogError {
    /// Whether the log can take nothing more until it is opened again.
    #[must_use]
    pub fn is_final(&self) -> bool {
        !matches!(self, Self::Busy { .. } | Self::TooLarge { .. })
    }
}
