//! The [`Disk`] trait under all durable code: the real file system and a simulated one that loses power.
//!
//! Everything that must outlive a power cut (the journal, the ledger, stored payments) reads and writes through this
//! trait and through nothing else, so that a test can cut the power between any two operations and look at what a
//! machine would find when it starts again. The trait offers only what such code needs: files that grow at their end,
//! reads at an offset, and the two kinds of sync. It knows nothing of records, money or pools.
//!
//! What is durable:
//! - a file's bytes and length: after [`DiskFile::sync`] returned;
//! - a file's name (created, renamed, removed): after [`Disk::sync_dir`] of its folder returned;
//! - nothing else, and after a **failed** sync nothing can be said about what was written since the last good one.
//!   Whoever sees a failed sync must stop acknowledging (see `millpond-segments`).

mod real;
mod sim;

use std::any::Any;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use real::RealDisk;
pub use sim::{Fault, Keep, Operation, SimDisk};

/// A sector: what a drive writes whole or not at all (512 bytes, the smallest in use).
pub const SECTOR: usize = 512;

/// What went wrong on a disk: the operation, the path and the system's answer.
#[derive(Debug, thiserror::Error)]
#[error("cannot {operation} {}: {source}", path.display())]
pub struct DiskError {
    /// What was tried, as a verb.
    pub operation: &'static str,
    /// The file or folder.
    pub path: PathBuf,
    /// The operating system's (or the simulation's) answer.
    pub source: io::Error,
}

impl DiskError {
    /// An error of one operation on one path.
    #[must_use]
    pub fn new(operation: &'static str, path: &Path, source: io::Error) -> Self {
        Self { operation, path: path.to_owned(), source }
    }

    /// Whether the disk is full (ENOSPC) or the quota used up: freeing space and a restart help.
    #[must_use]
    pub fn is_full(&self) -> bool {
        matches!(self.source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
    }

    /// Whether there is no such file.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        self.source.kind() == io::ErrorKind::NotFound
    }
}

/// A file system, or the part of one that durable code needs. Shared as `Arc<dyn Disk>`; calls block.
pub trait Disk: Send + Sync + fmt::Debug {
    /// Creates a new, empty file. Its name is durable after [`Disk::sync_dir`] of its folder.
    ///
    /// # Errors
    /// When the file exists already, its folder does not, or the disk fails.
    fn create(&self, path: &Path) -> Result<Arc<dyn DiskFile>, DiskError>;

    /// As [`Disk::create`], for what nobody else on the machine may read, where the disk knows of such.
    ///
    /// # Errors
    /// As [`Disk::create`].
    fn create_private(&self, path: &Path) -> Result<Arc<dyn DiskFile>, DiskError> {
        self.create(path)
    }

    /// Opens an existing file for reading and appending.
    ///
    /// # Errors
    /// When there is no such file, or the disk fails.
    fn open(&self, path: &Path) -> Result<Arc<dyn DiskFile>, DiskError>;

    /// Opens an existing file for reading only: for readers beside a running pool.
    ///
    /// # Errors
    /// When there is no such file, or the disk fails.
    fn open_read(&self, path: &Path) -> Result<Arc<dyn DiskFile>, DiskError>;

    /// Renames a file, replacing what bears the new name: after a power cut the new name means the old file or the
    /// new one, never neither. The contents must have been synced before.
    ///
    /// # Errors
    /// When there is no such file, or the disk fails.
    fn rename(&self, from: &Path, to: &Path) -> Result<(), DiskError>;

    /// Removes a file's name.
    ///
    /// # Errors
    /// When there is no such file, or the disk fails.
    fn remove(&self, path: &Path) -> Result<(), DiskError>;

    /// The names of the files in a folder (not its folders), sorted. Names that are not UTF-8 are left out: none of
    /// ours are like that.
    ///
    /// # Errors
    /// When there is no such folder, or the disk fails.
    fn list(&self, dir: &Path) -> Result<Vec<String>, DiskError>;

    /// Creates a folder and those above it, as far as they are missing, and makes their names durable.
    ///
    /// # Errors
    /// When a file is in the way, or the disk fails.
    fn make_dir(&self, dir: &Path) -> Result<(), DiskError>;

    /// Makes the names in a folder durable (`fsync` of the folder).
    ///
    /// # Errors
    /// When there is no such folder, or the disk fails.
    fn sync_dir(&self, dir: &Path) -> Result<(), DiskError>;

    /// Bytes that an unprivileged process may still write where this folder lies.
    ///
    /// # Errors
    /// When there is no such folder, or the disk fails.
    fn free_space(&self, dir: &Path) -> Result<u64, DiskError>;

    /// Takes a lock that no second process (or second caller) can hold, until the guard is dropped or the process
    /// ends, by whatever means. The file is created when missing.
    ///
    /// # Errors
    /// With kind `WouldBlock` when somebody else holds it, or when the disk fails.
    fn lock(&self, path: &Path) -> Result<DiskLock, DiskError>;
}

/// Holds a lock of [`Disk::lock`] until it is dropped.
pub struct DiskLock(#[allow(dead_code, reason = "held for its drop")] Box<dyn Any + Send + Sync>);

impl DiskLock {
    /// A lock that ends when `guard` is dropped; for implementations of [`Disk`].
    #[must_use]
    pub fn new(guard: Box<dyn Any + Send + Sync>) -> Self {
        Self(guard)
    }
}

impl fmt::Debug for DiskLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DiskLock")
    }
}

/// An open file that grows at its end. One writer at a time; readers may share it.
pub trait DiskFile: Send + Sync + fmt::Debug {
    /// Appends all bytes, or fails having appended any part of them. Not durable before [`DiskFile::sync`].
    ///
    /// # Errors
    /// When the disk is full or fails.
    fn append(&self, bytes: &[u8]) -> Result<(), DiskError>;

    /// Reads up to `buffer.len()` bytes at an offset; less only at the end of the file.
    ///
    /// # Errors
    /// When the disk fails.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, DiskError>;

    /// The length in bytes, with what was not synced yet.
    ///
    /// # Errors
    /// When the disk fails.
    fn len(&self) -> Result<u64, DiskError>;

    /// Whether the file has no bytes.
    ///
    /// # Errors
    /// When the disk fails.
    fn is_empty(&self) -> Result<bool, DiskError> {
        Ok(self.len()? == 0)
    }

    /// Cuts the file to `len` bytes, which must not exceed its length.
    ///
    /// # Errors
    /// When the disk fails.
    fn truncate(&self, len: u64) -> Result<(), DiskError>;

    /// Makes the file's bytes and length durable (`fdatasync`).
    ///
    /// # Errors
    /// When the disk fails: from then on what was appended since the last good sync must be taken for lost, even if
    /// it can still be read and even if a later sync succeeds.
    fn sync(&self) -> Result<(), DiskError>;
}

/// Reads exactly `len` bytes at an offset.
///
/// # Errors
/// With kind `UnexpectedEof` when the file is shorter, or when the disk fails.
pub fn read_exact_at(
    file: &dyn DiskFile,
    path: &Path,
    offset: u64,
    len: usize,
) -> Result<Vec<u8>, DiskError> {
    let mut bytes = vec![0; len];
    let read = file.read_at(offset, &mut bytes)?;
    if read < len {
        let message = format!("{read} bytes at offset {offset} where {len} were expected");
        return Err(DiskError::new("read", path, io::Error::new(io::ErrorKind::UnexpectedEof, message)));
    }
    Ok(bytes)
}

/// Reads a whole file.
///
/// # Errors
/// When there is no such file, or the disk fails.
pub fn read_file(disk: &dyn Disk, path: &Path) -> Result<Vec<u8>, DiskError> {
    let file = disk.open_read(path)?;
    let len = usize::try_from(file.len()?)
        .map_err(|_| DiskError::new("read", path, io::Error::from(io::ErrorKind::FileTooLarge)))?;
    read_exact_at(file.as_ref(), path, 0, len)
}

/// Replaces a small file so that a power cut leaves the old contents or the new: written beside it as `name.new`,
/// synced, renamed, folder synced.
///
/// # Errors
/// When the path has no folder or name, or the disk fails; the old contents are then still there.
pub fn replace_file(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> Result<(), DiskError> {
    replace(disk, path, bytes, |beside| disk.create(beside))
}

/// As [`replace_file`], by one that nobody else on the machine may read.
///
/// # Errors
/// As [`replace_file`].
pub fn replace_private(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> Result<(), DiskError> {
    replace(disk, path, bytes, |beside| disk.create_private(beside))
}

fn replace(
    disk: &dyn Disk,
    path: &Path,
    bytes: &[u8],
    create: impl FnOnce(&Path) -> Result<Arc<dyn DiskFile>, DiskError>,
) -> Result<(), DiskError> {
    let invalid = || DiskError::new("replace", path, io::Error::from(io::ErrorKind::InvalidFilename));
    let dir = path.parent().ok_or_else(invalid)?;
    let mut name = path.file_name().ok_or_else(invalid)?.to_owned();
    name.push(".new");
    let beside = dir.join(name);
    match disk.remove(&beside) {
        Ok(()) => {}
        Err(error) if error.is_not_found() => {}
        Err(error) => return Err(error),
    }
    let file = create(&beside)?;
    file.append(bytes)?;
    file.sync()?;
    disk.rename(&beside, path)?;
    disk.sync_dir(dir)
}
