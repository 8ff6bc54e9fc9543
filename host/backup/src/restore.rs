//! Putting a backup back, and trying whether that would work.

use crate::backup::{pools, stays};
use crate::copy::{Counter, copy, read_through};
use crate::manifest::Manifest;
use crate::verify::verify_heads;
use crate::{BackupError, PoolReport, Progress, inspect};
use millpond_disk::{Disk, RealDisk, read_file, replace_file};
use millpond_types::{PoolName, UnixMillis};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The note in a data folder that it was restored.
pub const RESTORED: &str = "restored.json";
/// The folder of what miners can check, in a pool's folder.
const PROOFS_FOLDER: &str = "proofs";
/// Stands in it while the pool signs nothing.
const HELD: &str = "held";
/// Where a restore works until all is verified.
pub(crate) const STAGING: &str = "restoring";

/// The note that a data folder was restored from a backup: payments made after the backup are unknown to its ledgers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restored {
    /// The backup.
    pub from: PathBuf,
    /// When its cut was made.
    pub made: UnixMillis,
    /// When it was restored.
    pub restored: UnixMillis,
    /// Pools whose ledger was compared with their wallet's history since: their payments go on.
    #[serde(default)]
    pub compared: BTreeSet<PoolName>,
}

/// Restores a backup into a new or empty data folder. Every file is held against the manifest, and the result is
/// opened and verified before anything takes its place. Blocks.
///
/// # Errors
/// When the backup is not whole or damaged, the folder is not empty, or the disk fails; the folder is then as empty
/// as before, or [`check_data`] refuses it.
pub fn restore(
    from: &Path,
    data: &Path,
    now: UnixMillis,
    hear: &mut Progress<'_>,
) -> Result<Vec<PoolReport>, BackupError> {
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let manifest = inspect(disk.as_ref(), from)?;
    disk.make_dir(data)?;
    refuse_full(data)?;
    let needed = manifest.bytes();
    let free = disk.free_space(data)?;
    if free < needed {
        return Err(BackupError::NoSpace { to: data.to_owned(), needed, free });
    }
    let staging = data.join(STAGING);
    let mut counter = Counter::new(hear);
    let done = fetch(&disk, from, &manifest, &staging, &mut counter)
        .and_then(|()| verify_heads(&disk, &staging, &manifest.pools, &mut counter));
    let reports = match done {
        Ok(reports) => reports,
        Err(why) => {
            // Nothing of it took a place; when even this fails, the folder stays refused.
            let _ = std::fs::remove_dir_all(&staging);
            return Err(why);
        }
    };
    let note =
        Restored { from: from.to_owned(), made: manifest.made, restored: now, compared: BTreeSet::new() };
    replace_file(disk.as_ref(), &data.join(RESTORED), &serde_json::to_vec_pretty(&note).unwrap_or_default())?;
    for entry in std::fs::read_dir(&staging).map_err(BackupError::folder("list", &staging))? {
        let entry = entry.map_err(BackupError::folder("list", &staging))?;
        let to = data.join(entry.file_name());
        std::fs::rename(entry.path(), &to).map_err(BackupError::folder("move to", &to))?;
    }
    disk.sync_dir(data)?;
    // Until here a data folder with this folder in it is refused.
    std::fs::remove_dir(&staging).map_err(BackupError::folder("remove", &staging))?;
    disk.sync_dir(data)?;
    Ok(reports)
}

fn refuse_full(data: &Path) -> Result<(), BackupError> {
    if data.join(STAGING).exists() {
        return Err(BackupError::HalfRestored(data.to_owned()));
    }
    for entry in std::fs::read_dir(data).map_err(BackupError::folder("list", data))? {
        // A new file system brings this one along.
        if entry.map_err(BackupError::folder("list", data))?.file_name() != "lost+found" {
            return Err(BackupError::NotEmpty(data.to_owned()));
        }
    }
    Ok(())
}

/// Copies a backup's files into a folder and holds each against the manifest.
fn fetch(
    disk: &Arc<dyn Disk>,
    from: &Path,
    manifest: &Manifest,
    to: &Path,
    counter: &mut Counter<'_>,
) -> Result<(), BackupError> {
    disk.make_dir(to)?;
    counter.begin("copying", manifest.bytes());
    let mut folders = BTreeSet::from([to.to_owned()]);
    // An older version's backup may hold what is not restored.
    for file in manifest.files.iter().filter(|file| !stays(&file.path)) {
        let (source, target) = (from.join(&file.path), to.join(&file.path));
        let damaged = |what: String| BackupError::Damaged { path: source.clone(), what };
        let len = match disk.open_read(&source) {
            Ok(open) => open.len()?,
            Err(why) if why.is_not_found() => return Err(damaged("it is missing".to_owned())),
            Err(why) => return Err(why.into()),
        };
        if len != file.bytes {
            return Err(damaged(format!("it has {len} bytes, the manifest says {}", file.bytes)));
        }
        if let Some(folder) = target.parent() {
            disk.make_dir(folder)?;
            folders.insert(folder.to_owned());
        }
        if copy(disk.as_ref(), &source, len, &target, counter)? != file.blake3 {
            return Err(damaged("its digest is not the manifest's".to_owned()));
        }
    }
    folders.iter().try_for_each(|folder| disk.sync_dir(folder))?;
    // Pools without a file in these would otherwise miss them.
    for pool in &manifest.pools {
        for log in ["journal", "ledger"] {
            disk.make_dir(&to.join(pool.pool.as_str()).join(log))?;
        }
        // Heads were published since, whose numbers must not be signed again: the pool signs none until it is told of them.
        let proofs = format!("{}/{PROOFS_FOLDER}", pool.pool);
        if manifest.files.iter().any(|file| file.path.starts_with(&format!("{proofs}/"))) {
            replace_file(disk.as_ref(), &to.join(proofs).join(HELD), b"")?;
        }
    }
    Ok(())
}

/// What a drill found. The restored copy is there until this is dropped.
#[derive(Debug)]
pub struct Drilled {
    /// The backup's manifest.
    pub manifest: Manifest,
    /// The pools as they were restored.
    pub pools: Vec<PoolReport>,
    folder: tempfile::TempDir,
}

impl Drilled {
    /// The data folder that was restored for the drill, for further tests.
    #[must_use]
    pub fn data(&self) -> &Path {
        self.folder.path()
    }
}

/// Restores a backup into a temporary folder inside `within` and verifies it there as a restore would.
///
/// # Errors
/// As [`restore`].
pub fn drill(
    from: &Path,
    within: &Path,
    now: UnixMillis,
    hear: &mut Progress<'_>,
) -> Result<Drilled, BackupError> {
    let manifest = inspect(&RealDisk, from)?;
    let folder = tempfile::Builder::new()
        .prefix("millpond-drill-")
        .tempdir_in(within)
        .map_err(BackupError::folder("make a folder in", within))?;
    let pools = restore(from, folder.path(), now, hear)?;
    // Read once more from where it came to rest.
    let disk = RealDisk;
    for file in manifest.files.iter().filter(|file| !stays(&file.path)) {
        let path = folder.path().join(&file.path);
        if read_through(&disk, &path, file.bytes, |_| Ok(()))? != file.blake3 {
            return Err(BackupError::Damaged { path, what: "it changed while it was moved".to_owned() });
        }
    }
    Ok(Drilled { manifest, pools, folder })
}

/// Notes that a pool's ledger was compared with its wallet's history after a restore. The note goes when that was said of
/// every pool of the folder, whichever of them run now.
///
/// # Errors
/// When the note cannot be read, written or removed.
pub fn compared(data: &Path, pool: &PoolName) -> Result<(), BackupError> {
    let Some(mut note) = check_data(data)? else { return Ok(()) };
    let path = data.join(RESTORED);
    note.compared.insert(pool.clone());
    if pools(data)?.iter().all(|pool| note.compared.contains(pool)) {
        RealDisk.remove(&path)?;
        return Ok(RealDisk.sync_dir(data)?);
    }
    Ok(replace_file(&RealDisk, &path, &serde_json::to_vec_pretty(&note).unwrap_or_default())?)
}

/// Whether a data folder may be started on: `None` for one that was never restored, the note for one that was. It stays
/// until somebody has compared each ledger with its wallet's history ([`compared`]).
///
/// # Errors
/// When a restore into it was interrupted, or the note cannot be read.
pub fn check_data(data: &Path) -> Result<Option<Restored>, BackupError> {
    if data.join(STAGING).exists() {
        return Err(BackupError::HalfRestored(data.to_owned()));
    }
    let path = data.join(RESTORED);
    match read_file(&RealDisk, &path) {
        Ok(bytes) => serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|why| BackupError::Damaged { path, what: why.to_string() }),
        Err(why) if why.is_not_found() => Ok(None),
        Err(why) => Err(why.into()),
    }
}
