//! The folder that backups are kept in: which of them are whole, which is the newest, which may go.

use crate::stamp::is_stamp;
use crate::{BackupError, MANIFEST, inspect};
use millpond_disk::RealDisk;
use millpond_types::UnixMillis;
use std::path::{Path, PathBuf};

/// A whole backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Its folder.
    pub path: PathBuf,
    /// When its cut was made, by its manifest.
    pub made: UnixMillis,
}

/// Names of ours in a folder, newest first; none when there is no such folder.
fn names(to: &Path) -> Result<Vec<PathBuf>, BackupError> {
    let entries = match std::fs::read_dir(to) {
        Ok(entries) => entries,
        Err(why) if why.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(why) => return Err(BackupError::folder("list", to)(why)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let name = entry.map_err(BackupError::folder("list", to))?.file_name();
        if let Some(name) = name.to_str().filter(|name| is_stamp(name)) {
            names.push(name.to_owned());
        }
    }
    names.sort_unstable_by(|a, b| b.cmp(a));
    Ok(names.iter().map(|name| to.join(name)).collect())
}

/// All whole backups of a folder, newest first. Only manifests are read.
///
/// # Errors
/// When the folder cannot be read.
pub fn whole(to: &Path) -> Result<Vec<Kept>, BackupError> {
    let good =
        |path: PathBuf| inspect(&RealDisk, &path).ok().map(|manifest| Kept { path, made: manifest.made });
    Ok(names(to)?.into_iter().filter_map(good).collect())
}

/// The newest whole backup of a folder, if there is one.
///
/// # Errors
/// When the folder cannot be read.
pub fn newest(to: &Path) -> Result<Option<Kept>, BackupError> {
    for path in names(to)? {
        if let Ok(manifest) = inspect(&RealDisk, &path) {
            return Ok(Some(Kept { path, made: manifest.made }));
        }
    }
    Ok(None)
}

/// Removes all but the `keep` newest whole backups (at least one stays), and what was left unfinished before the
/// newest of them. Folders that are not named like ours are left alone. Gives what was removed.
///
/// # Errors
/// When the folder cannot be read or something cannot be removed.
pub fn prune(to: &Path, keep: u16) -> Result<Vec<PathBuf>, BackupError> {
    let mut removed = Vec::new();
    let mut kept = 0_u16;
    for path in names(to)? {
        let whole = inspect(&RealDisk, &path).is_ok();
        if whole && kept < keep.max(1) {
            kept = kept.saturating_add(1);
            continue;
        }
        // Without a whole one that is newer, an unfinished one may be in the making.
        if kept == 0 {
            continue;
        }
        // The manifest first: what is removed by halves must not be taken for whole.
        match std::fs::remove_file(path.join(MANIFEST)) {
            Err(why) if why.kind() != std::io::ErrorKind::NotFound => {
                return Err(BackupError::folder("remove", &path)(why));
            }
            _ => {}
        }
        std::fs::remove_dir_all(&path).map_err(BackupError::folder("remove", &path))?;
        removed.push(path);
    }
    Ok(removed)
}
