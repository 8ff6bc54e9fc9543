//! The operating system's file system.

use crate::{Disk, DiskError, DiskFile, DiskLock};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// A lock that is held is asked for again so many times,
const LOCK_TRIES: u32 = 25;
/// this long apart: a quarter of a second in all.
const LOCK_PAUSE: Duration = Duration::from_millis(10);

/// The real disk. Sync of a file is `fdatasync`, sync of a folder is `fsync` of the folder.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealDisk;

#[derive(Debug)]
struct RealFile {
    file: File,
    path: PathBuf,
}

fn at(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> DiskError {
    move |source| DiskError::new(operation, path, source)
}

fn parent(path: &Path) -> &Path {
    // The parent of a bare name is the empty path, which the system does not know: it means the working folder.
    path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

impl Disk for RealDisk {
    fn create(&self, path: &Path) -> Result<Arc<dyn DiskFile>, DiskError> {
        let file = OpenOptions::new()
            .read(true)
            .append(true)
            .create_new(true)
            .open(path)
            .map_err(at("create", path))?;
        Ok(Arc::new(RealFile { file, path: path.to_owned() }))
    }

    fn create_private(&self, path: &Path) -> Result<Arc<dyn DiskFile>, DiskError> {
        let file = OpenOptions::new()
            .read(true)
            .append(true)
            .create_new(true)
            .mode(0o600)
            .open(path)
            .map_err(at("create", path))?;
        Ok(Arc::new(RealFile { file, path: path.to_owned() }))
    }

    fn open(&self, path: &Path) -> Result<Arc<dyn DiskFile>, DiskError> {
        let file = OpenOptions::new().read(true).append(true).open(path).map_err(at("open", path))?;
        Ok(Arc::new(RealFile { file, path: path.to_owned() }))
    }

    fn open_read(&self, path: &Path) -> Result<Arc<dyn DiskFile>, DiskError> {
        let file = File::open(path).map_err(at("open", path))?;
        Ok(Arc::new(RealFile { file, path: path.to_owned() }))
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<(), DiskError> {
        fs::rename(from, to).map_err(at("rename", from))
    }

    fn remove(&self, path: &Path) -> Result<(), DiskError> {
        fs::remove_file(path).map_err(at("remove", path))
    }

    fn list(&self, dir: &Path) -> Result<Vec<String>, DiskError> {
        let mut names = Vec::new();
        for entry in fs::read_dir(dir).map_err(at("list", dir))? {
            let entry = entry.map_err(at("list", dir))?;
            if entry.file_type().map_err(at("list", dir))?.is_file()
                && let Ok(name) = entry.file_name().into_string()
            {
                names.push(name);
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    fn make_dir(&self, dir: &Path) -> Result<(), DiskError> {
        if dir.is_dir() {
            return Ok(());
        }
        let above = parent(dir);
        if above != dir {
            self.make_dir(above)?;
        }
        match fs::create_dir(dir) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && dir.is_dir() => {}
            other => other.map_err(at("make folder", dir))?,
        }
        self.sync_dir(above)
    }

    fn sync_dir(&self, dir: &Path) -> Result<(), DiskError> {
        File::open(dir).and_then(|folder| folder.sync_all()).map_err(at("sync folder", dir))
    }

    fn free_space(&self, dir: &Path) -> Result<u64, DiskError> {
        let stat = rustix::fs::statvfs(dir)
            .map_err(|error| DiskError::new("ask free space of", dir, io::Error::from(error)))?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }

    fn lock(&self, path: &Path) -> Result<DiskLock, DiskError> {
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(at("open lock", path))?;
        // A child that this process is just starting holds copies of its files until it runs its own program: a lock
        // that was let go a moment ago can seem held for that long.
        for _ in 0..LOCK_TRIES {
            match file.try_lock() {
                Ok(()) => return Ok(DiskLock::new(Box::new(file))),
                Err(TryLockError::WouldBlock) => std::thread::sleep(LOCK_PAUSE),
                Err(TryLockError::Error(source)) => return Err(DiskError::new("lock", path, source)),
            }
        }
        let why = io::Error::new(io::ErrorKind::WouldBlock, "another process holds it");
        Err(DiskError::new("lock", path, why))
    }
}

impl DiskFile for RealFile {
    fn append(&self, bytes: &[u8]) -> Result<(), DiskError> {
        (&self.file).write_all(bytes).map_err(at("write", &self.path))
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, DiskError> {
        let mut read = 0;
        while let Some(rest) = buffer.get_mut(read..).filter(|rest| !rest.is_empty()) {
            match self.file.read_at(rest, offset.saturating_add(read as u64)) {
                Ok(0) => break,
                Ok(count) => read += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(DiskError::new("read", &self.path, error)),
            }
        }
        Ok(read)
    }

    fn len(&self) -> Result<u64, DiskError> {
        Ok(self.file.metadata().map_err(at("look at", &self.path))?.len())
    }

    fn truncate(&self, len: u64) -> Result<(), DiskError> {
        self.file.set_len(len).map_err(at("truncate", &self.path))
    }

    fn sync(&self) -> Result<(), DiskError> {
        self.file.sync_data().map_err(at("sync", &self.path))
    }
}
