//! Writing a backup of a data folder beside a running pool.

use crate::copy::{Counter, copy};
use crate::manifest::{FileEntry, JournalHead, Manifest, PoolHeads};
use crate::{BackupError, Progress, RESTORED, stamp, verify};
use millpond_disk::{Disk, DiskError};
use millpond_journal::{JournalError, JournalView};
use millpond_ledger::{LedgerError, Reader};
use millpond_segments::{LogError, View};
use millpond_types::{Digest, PoolName, UnixMillis};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Retention may drop a segment between the cut and its copy; then a new cut is made, this often.
const ATTEMPTS: u32 = 5;
/// Held while a backup is written, so that two do not mix and none is pruned in the making.
const LOCK: &str = "lock";
/// What is not carried off. Tokens: one that was revoked since would open the door again. The pool's own key: texts signed
/// before would count a second time. Both are made anew. The key of statements: who finds a backup must not sign as the
/// pool; the operator keeps it himself.
const STAY: [&str; 3] = ["tokens.json", "pool-key", "statement-key"];
/// So begin the names of keys of statements that were put aside.
const ASIDE: &str = "statement-key.";
/// The logs of what miners can check, in the order in which they are copied: what the first names, the second holds.
const PROOFS: [(&str, &str); 2] = [("proofs/heads", "millpond-heads"), ("proofs/evidence", "millpond-proof")];
/// Left free on the disk that the backup goes to.
const SPARE: u64 = 1 << 20;

/// Whether a file of a data folder, by its path in there, is in no backup.
pub(crate) fn stays(path: &str) -> bool {
    let (within, name) = path.rsplit_once('/').unwrap_or(("", path));
    !within.contains('/') && (STAY.contains(&name) || name.starts_with(ASIDE))
}

/// A backup that was written and verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    /// Its folder.
    pub path: PathBuf,
    /// What it holds.
    pub manifest: Manifest,
}

/// The pools of a data folder on the real disk: folders with a journal or a ledger. Both have to be there for a
/// backup, so that a lost ledger is an error and not a smaller backup.
///
/// # Errors
/// When the folder cannot be read, or holds no pool.
pub fn pools(data: &Path) -> Result<Vec<PoolName>, BackupError> {
    let mut pools = Vec::new();
    for entry in std::fs::read_dir(data).map_err(BackupError::folder("list", data))? {
        let name = entry.map_err(BackupError::folder("list", data))?.file_name();
        let Some(Ok(pool)) = name.to_str().map(|name| PoolName::try_from(name.to_owned())) else { continue };
        let folder = data.join(pool.as_str());
        if folder.join("journal").is_dir() || folder.join("ledger").is_dir() {
            pools.push(pool);
        }
    }
    pools.sort_unstable();
    if pools.is_empty() { Err(BackupError::NoPool(data.to_owned())) } else { Ok(pools) }
}

/// Backs up these pools of a data folder, and what lies beside them, into a new folder of `to`, named by the time.
/// The pools may run. Blocks.
///
/// # Errors
/// When a disk fails or is full, another backup is being written there, or the copy does not verify. What was copied
/// until then stays without a manifest and counts for nothing.
pub fn backup(
    disk: &Arc<dyn Disk>,
    data: &Path,
    pools: &[PoolName],
    to: &Path,
    now: UnixMillis,
    hear: &mut Progress<'_>,
) -> Result<Made, BackupError> {
    if pools.is_empty() {
        return Err(BackupError::NoPool(data.to_owned()));
    }
    let mut counter = Counter::new(hear);
    disk.make_dir(to)?;
    let _lock = disk.lock(&to.join(LOCK))?;
    let mut target = Target { disk, data, folder: to.join(stamp(now)), files: BTreeMap::new() };
    disk.make_dir(&target.folder)?;
    target.state_files("", &mut counter)?;
    let mut heads = Vec::new();
    for pool in pools {
        heads.push(target.pool(pool, &mut counter)?);
    }
    verify::verify_heads(disk, &target.folder, &heads, &mut counter)?;
    let files = std::mem::take(&mut target.files);
    let manifest = Manifest {
        v: 1,
        millpond: env!("CARGO_PKG_VERSION").to_owned(),
        made: now,
        pools: heads,
        files: files.into_iter().map(|(path, (bytes, blake3))| FileEntry { path, bytes, blake3 }).collect(),
        seal: Digest::default(),
    }
    .sealed();
    manifest.write(disk.as_ref(), &target.folder)?;
    // The folder's own name: made durable when it was made, once more for disks that forget.
    disk.sync_dir(to)?;
    Ok(Made { path: target.folder, manifest })
}

/// Where the logs of a pool ended when the cut was made, ledger first.
struct Cut {
    ledger: Reader,
    journal: JournalView,
    heads: PoolHeads,
}

impl Cut {
    fn make(disk: &Arc<dyn Disk>, folder: &Path, pool: &PoolName) -> Result<Self, BackupError> {
        let ledger =
            Reader::open(Arc::clone(disk), &folder.join("ledger")).map_err(BackupError::ledger(pool))?;
        let (journal, _) = JournalView::open(Arc::clone(disk), &folder.join("journal"))
            .map_err(BackupError::journal(pool))?;
        let heads = heads(pool, &ledger, &journal).map_err(BackupError::ledger(pool))?;
        Ok(Self { ledger, journal, heads })
    }
}

/// Where a pool's logs end.
pub(crate) fn heads(
    pool: &PoolName,
    ledger: &Reader,
    journal: &JournalView,
) -> Result<PoolHeads, LedgerError> {
    let (next, share) = (journal.log().next_index(), journal.newest());
    let chain = Digest(journal.log().chain().0);
    let head = ledger.for_each_record(&mut |_, _| Ok(()))?;
    Ok(PoolHeads { pool: pool.clone(), journal: JournalHead { next, share, chain }, ledger: head })
}

/// A backup in the making.
struct Target<'a> {
    disk: &'a Arc<dyn Disk>,
    data: &'a Path,
    folder: PathBuf,
    files: BTreeMap<String, (u64, Digest)>,
}

impl Target<'_> {
    /// Files that are replaced as a whole, right in a folder of the data folder.
    fn state_files(&mut self, within: &str, counter: &mut Counter<'_>) -> Result<(), BackupError> {
        for name in self.disk.list(&self.data.join(within))? {
            let passing = [".new", ".sock", ".lock"].iter().any(|end| name.ends_with(end));
            if name == LOCK || name == RESTORED || passing || stays(&at(within, &name)) {
                continue;
            }
            self.file(&at(within, &name), None, counter)?;
        }
        Ok(self.disk.sync_dir(&self.folder.join(within))?)
    }

    fn pool(&mut self, pool: &PoolName, counter: &mut Counter<'_>) -> Result<PoolHeads, BackupError> {
        let name = pool.as_str();
        self.disk.make_dir(&self.folder.join(name))?;
        self.state_files(name, counter)?;
        // Before the ledger: what they commit is in it.
        self.proofs(pool, counter)?;
        let heads = self.logs(pool, counter)?;
        for within in ["plugins", "solutions"] {
            let within = at(name, within);
            let listed = match self.disk.list(&self.data.join(&within)) {
                Ok(listed) => listed,
                Err(why) if why.is_not_found() => continue,
                Err(why) => return Err(why.into()),
            };
            self.disk.make_dir(&self.folder.join(&within))?;
            for file in listed.into_iter().filter(|file| !file.ends_with(".new")) {
                match self.file(&at(&within, &file), None, counter) {
                    // A template goes when a node has its block.
                    Err(BackupError::Disk(why)) if why.is_not_found() => {}
                    other => other?,
                }
            }
            self.disk.sync_dir(&self.folder.join(&within))?;
        }
        Ok(heads)
    }

    fn proofs(&mut self, pool: &PoolName, counter: &mut Counter<'_>) -> Result<(), BackupError> {
        for (log, format) in PROOFS {
            let within = at(pool.as_str(), log);
            match self.disk.list(&self.data.join(&within)) {
                Ok(_) => {}
                Err(why) if why.is_not_found() => continue,
                Err(why) => return Err(why.into()),
            }
            let view = View::open(Arc::clone(self.disk), &self.data.join(&within), format);
            let view =
                view.map_err(|why| BackupError::Inconsistent { pool: pool.clone(), what: why.to_string() })?;
            let needed = bytes(&view);
            self.has_space(needed)?;
            counter.begin("copying", needed);
            self.log(&within, &view, counter)?;
            self.disk.sync_dir(&self.folder.join(at(pool.as_str(), "proofs")))?;
        }
        Ok(())
    }

    /// Ledger and journal. A segment that retention drops meanwhile is answered by a new cut; what was copied stays,
    /// as far as the new cut has it.
    fn logs(&mut self, pool: &PoolName, counter: &mut Counter<'_>) -> Result<PoolHeads, BackupError> {
        let folder = self.data.join(pool.as_str());
        for _ in 0..ATTEMPTS {
            let copied = Cut::make(self.disk, &folder, pool).and_then(|cut| {
                let needed = bytes(cut.ledger.log()).saturating_add(bytes(cut.journal.log()));
                self.has_space(needed)?;
                counter.begin("copying", needed);
                self.log(&at(pool.as_str(), "ledger"), cut.ledger.log(), counter)?;
                self.log(&at(pool.as_str(), "journal"), cut.journal.log(), counter)?;
                Ok(cut.heads)
            });
            match copied {
                Err(why) if is_gone(&why) => {
                    for log in ["ledger", "journal"] {
                        self.forget(&at(pool.as_str(), log))?;
                    }
                }
                other => return other,
            }
        }
        Err(BackupError::Moving(pool.clone(), ATTEMPTS))
    }

    fn has_space(&self, needed: u64) -> Result<(), BackupError> {
        let free = self.disk.free_space(&self.folder)?;
        if free >= needed.saturating_add(SPARE) {
            return Ok(());
        }
        Err(BackupError::NoSpace { to: self.folder.clone(), needed, free })
    }

    fn log(&mut self, within: &str, view: &View, counter: &mut Counter<'_>) -> Result<(), BackupError> {
        self.disk.make_dir(&self.folder.join(within))?;
        for segment in view.segments() {
            // Sealed ones whole; the newest up to the last group that was complete when the cut was made.
            self.file(&at(within, &segment.name()), Some(segment.bytes), counter)?;
        }
        Ok(self.disk.sync_dir(&self.folder.join(within))?)
    }

    fn file(&mut self, path: &str, len: Option<u64>, counter: &mut Counter<'_>) -> Result<(), BackupError> {
        let (from, to) = (self.data.join(path), self.folder.join(path));
        let len = match len {
            Some(len) => len,
            None => self.disk.open_read(&from)?.len()?,
        };
        let digest = copy(self.disk.as_ref(), &from, len, &to, counter)?;
        self.files.insert(path.to_owned(), (len, digest));
        Ok(())
    }

    /// Removes what was copied of a log, for a new cut.
    fn forget(&mut self, within: &str) -> Result<(), DiskError> {
        let folder = self.folder.join(within);
        let names = match self.disk.list(&folder) {
            Ok(names) => names,
            Err(why) if why.is_not_found() => return Ok(()),
            Err(why) => return Err(why),
        };
        for name in names {
            self.disk.remove(&folder.join(&name))?;
            self.files.remove(&at(within, &name));
        }
        Ok(())
    }
}

fn bytes(view: &View) -> u64 {
    view.segments().fold(0, |sum, segment| sum.saturating_add(segment.bytes))
}

fn at(within: &str, name: &str) -> String {
    if within.is_empty() { name.to_owned() } else { format!("{within}/{name}") }
}

/// Whether a segment went away while it was to be read.
fn is_gone(why: &BackupError) -> bool {
    let log = match why {
        BackupError::Disk(why) => return is_segment(why),
        BackupError::Journal { why: JournalError::Log(log), .. } => log,
        BackupError::Ledger { why: LedgerError::Log(log), .. } => log,
        _ => return false,
    };
    matches!(log, LogError::Disk(why) if is_segment(why))
}

fn is_segment(why: &DiskError) -> bool {
    why.is_not_found() && why.path.extension().is_some_and(|end| end == "seg")
}
