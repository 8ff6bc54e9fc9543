//! The manifest: what a backup holds, file by file, and where its logs end. Its presence makes a folder a backup.

use crate::BackupError;
use crate::restore::{RESTORED, STAGING};
use millpond_disk::{Disk, DiskError, read_exact_at, replace_file};
use millpond_ledger::Head;
use millpond_types::{Digest, PoolName, ShareSeq, UnixMillis};
use serde::{Deserialize, Serialize};
use std::path::{Component, Path};

/// The manifest's name in a backup.
pub const MANIFEST: &str = "manifest.json";
/// The largest manifest that is read: a million files.
const LARGEST: u64 = 256 << 20;

/// One file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileEntry {
    /// Its path in the data folder, with `/`.
    pub path: String,
    /// Its length.
    pub bytes: u64,
    /// BLAKE3 of its bytes.
    pub blake3: Digest,
}

/// Where a journal ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JournalHead {
    /// Position after the last record.
    pub next: u64,
    /// The newest share.
    pub share: ShareSeq,
    /// The chain hash over everything.
    pub chain: Digest,
}

/// Where a pool's logs end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PoolHeads {
    /// The pool.
    pub pool: PoolName,
    /// Its journal.
    pub journal: JournalHead,
    /// Its ledger.
    pub ledger: Head,
}

/// What a backup holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Form of the manifest: 1.
    pub v: u8,
    /// The version that wrote it.
    pub millpond: String,
    /// When the cut was made.
    pub made: UnixMillis,
    /// The pools, by name.
    pub pools: Vec<PoolHeads>,
    /// Every file but the manifest, by path.
    pub files: Vec<FileEntry>,
    /// BLAKE3 of this manifest's compact JSON with 64 zeros here: a flipped bit in the manifest is noticed too. It
    /// is no signature.
    pub seal: Digest,
}

impl Manifest {
    /// Bytes of all files.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.files.iter().fold(0, |sum, file| sum.saturating_add(file.bytes))
    }

    pub(crate) fn sealed(mut self) -> Self {
        self.seal = self.digest();
        self
    }

    fn digest(&self) -> Digest {
        let open = Self { seal: Digest::default(), ..self.clone() };
        // Plain structs of strings and numbers: there is nothing in them that cannot be written.
        Digest::of(&serde_json::to_vec(&open).unwrap_or_default())
    }

    fn check(&self) -> Result<(), String> {
        if self.v != 1 {
            return Err(format!("it has form {}, this version reads form 1", self.v));
        }
        if self.seal != self.digest() {
            return Err("its seal is not that of its content".to_owned());
        }
        if let Some(bad) = self.files.iter().find(|file| !is_plain(&file.path)) {
            return Err(format!("{:?} leads out of the folder", bad.path));
        }
        if !self.files.iter().zip(self.files.iter().skip(1)).all(|(a, b)| a.path < b.path) {
            return Err("its files are not in order".to_owned());
        }
        Ok(())
    }

    /// Writes it, which makes the folder a backup.
    pub(crate) fn write(&self, disk: &dyn Disk, folder: &Path) -> Result<(), DiskError> {
        let mut bytes = serde_json::to_vec_pretty(self).unwrap_or_default();
        bytes.push(b'\n');
        replace_file(disk, &folder.join(MANIFEST), &bytes)
    }
}

/// Whether a path stays below the folder that it is joined to, and is none of those that a restore makes itself.
fn is_plain(path: &str) -> bool {
    let down = |part| matches!(part, Component::Normal(_));
    let first = path.split('/').next().unwrap_or_default();
    let ours = [MANIFEST, RESTORED, STAGING].contains(&first);
    !path.is_empty() && !ours && Path::new(path).components().all(down)
}

/// The manifest of a backup, checked in itself; the files are not read.
///
/// # Errors
/// When the folder is no whole backup, or the manifest does not check.
pub fn inspect(disk: &dyn Disk, backup: &Path) -> Result<Manifest, BackupError> {
    let path = backup.join(MANIFEST);
    let wrong = |what: String| BackupError::Manifest { at: backup.to_owned(), what };
    let file = match disk.open_read(&path) {
        Ok(file) => file,
        Err(why) if why.is_not_found() => return Err(BackupError::Unfinished(backup.to_owned())),
        Err(why) => return Err(why.into()),
    };
    let len = file.len()?;
    if len > LARGEST {
        return Err(wrong(format!("it has {len} bytes")));
    }
    let bytes = read_exact_at(file.as_ref(), &path, 0, usize::try_from(len).unwrap_or(0))?;
    let manifest: Manifest = serde_json::from_slice(&bytes).map_err(|why| wrong(why.to_string()))?;
    manifest.check().map_err(wrong)?;
    Ok(manifest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use millpond_disk::SimDisk;

    fn manifest() -> Manifest {
        let file = |path: &str| FileEntry { path: path.into(), bytes: 7, blake3: Digest::of(b"7") };
        let journal = JournalHead { next: 9, share: ShareSeq(4), chain: Digest::of(b"chain") };
        let pool = PoolName::try_from("btc".to_owned()).unwrap();
        Manifest {
            v: 1,
            millpond: "0.1.0".into(),
            made: UnixMillis(1_790_000_000_000),
            pools: vec![PoolHeads { pool, journal, ledger: Head::default() }],
            files: vec![file("btc/journal/1.seg"), file("tokens.json")],
            seal: Digest::default(),
        }
        .sealed()
    }

    #[test]
    fn every_flipped_bit_of_a_manifest_changes_nothing_or_is_refused() {
        let bytes = serde_json::to_vec_pretty(&manifest()).unwrap();
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            if let Ok(read) = serde_json::from_slice::<Manifest>(&flipped)
                && read.check().is_ok()
            {
                assert_eq!(read, manifest(), "bit {bit}");
            }
        }
    }

    #[test]
    fn a_manifest_cannot_name_files_outside_its_folder() {
        for path in ["../etc/passwd", "/etc/passwd", "btc/../../x", "", "manifest.json", "restoring/x"] {
            let mut manifest = manifest();
            manifest.files[0].path = path.into();
            assert!(manifest.sealed().check().is_err(), "{path:?}");
        }
    }

    #[test]
    fn a_folder_without_a_manifest_is_no_backup() {
        let disk = SimDisk::new();
        let at = Path::new("/to/20260101T000000.000Z");
        disk.make_dir(at).unwrap();
        assert!(matches!(inspect(&disk, at), Err(BackupError::Unfinished(_))));
        manifest().write(&disk, at).unwrap();
        assert_eq!(inspect(&disk, at).unwrap(), manifest());
    }
}
