//! Copying a file, hashing what was read.

use millpond_disk::{Disk, DiskError, read_exact_at};
use millpond_types::Digest;
use std::path::Path;

/// Read at once.
const PIECE: u64 = 1 << 20;

/// How far a long operation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// What is done now, for people: "copying", "verifying", "checking".
    pub what: &'static str,
    /// Bytes done of it.
    pub done: u64,
    /// Bytes in all; 0 when not known.
    pub total: u64,
}

/// Hears of progress; called about once a MiB on the calling thread.
pub type Progress<'a> = dyn FnMut(Step) + 'a;

/// Counts bytes for a [`Progress`].
pub(crate) struct Counter<'a> {
    hear: &'a mut Progress<'a>,
    step: Step,
}

impl<'a> Counter<'a> {
    pub(crate) fn new(hear: &'a mut Progress<'a>) -> Self {
        Self { hear, step: Step { what: "", done: 0, total: 0 } }
    }

    pub(crate) fn begin(&mut self, what: &'static str, total: u64) {
        self.step = Step { what, done: 0, total };
        (self.hear)(self.step);
    }

    pub(crate) fn more(&mut self, bytes: u64) {
        self.step.done = self.step.done.saturating_add(bytes);
        (self.hear)(self.step);
    }
}

/// The digest of a file's first `len` bytes, handing every piece on.
///
/// # Errors
/// When the file is shorter or the disk fails, or as `take` says.
pub(crate) fn read_through(
    disk: &dyn Disk,
    path: &Path,
    len: u64,
    mut take: impl FnMut(&[u8]) -> Result<(), DiskError>,
) -> Result<Digest, DiskError> {
    let file = disk.open_read(path)?;
    let mut hasher = blake3::Hasher::new();
    let mut at = 0;
    while at < len {
        let size = usize::try_from(PIECE.min(len - at)).unwrap_or(0);
        let piece = read_exact_at(file.as_ref(), path, at, size)?;
        hasher.update(&piece);
        take(&piece)?;
        at += size as u64;
    }
    Ok(Digest(*hasher.finalize().as_bytes()))
}

/// Copies the first `len` bytes of a file into a new one and syncs it; its name is durable after a sync of its folder.
pub(crate) fn copy(
    disk: &dyn Disk,
    from: &Path,
    len: u64,
    to: &Path,
    counter: &mut Counter<'_>,
) -> Result<Digest, DiskError> {
    // The source is opened first: nothing is left behind for a file that is gone.
    disk.open_read(from)?;
    let file = disk.create(to)?;
    let digest = read_through(disk, from, len, |piece| {
        file.append(piece)?;
        counter.more(piece.len() as u64);
        Ok(())
    })?;
    file.sync()?;
    Ok(digest)
}
