//! A disk in memory that loses power as a careful reading of ext4 allows.
//!
//! Each file has a volatile image (what a program reads) and a durable one (what a drive surely holds). Names have
//! the same two images. [`SimDisk::cut`] decides, sector by sector and name by name, what survives of what was not
//! synced. Where ext4 is kinder in practice than its documentation, the simulation keeps to the documentation:
//!
//! - the length of a file and each 512-byte sector written since the last sync survive independently; a sector that
//!   did not survive reads as what was durable there before, or as zeros; now and then a sector survives by half;
//! - names created, renamed and removed survive independently unless their folder was synced; a rename is atomic;
//! - syncing a file does not make its name durable;
//! - a failed sync loses the written pages: they can be read until the cut, and a later sync that succeeds does not
//!   bring them back (Linux marks pages clean after a failed write-back).

mod image;

use crate::{Disk, DiskError, DiskFile, DiskLock};
use image::{Entry, Image, NameChange, Random};
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What a power cut keeps of what was not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// Nothing: the durable images alone.
    Nothing,
    /// Everything, as after `kill -9` of the process.
    Everything,
    /// A random subset, by the seed of the cut.
    RandomSubset,
}

/// An error to inject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// ENOSPC. An append writes half of its bytes before it fails.
    Full,
    /// EIO. An append writes half of its bytes before it fails; a sync loses what it should have made durable.
    Io,
}

/// The operations that change a disk: they are counted, can be failed, and the power can be cut at each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operation {
    /// A file was created.
    Create,
    /// Bytes were appended.
    Append,
    /// A file was cut shorter.
    Truncate,
    /// A file was synced.
    Sync,
    /// A folder was synced.
    SyncDir,
    /// A file was renamed.
    Rename,
    /// A file was removed.
    Remove,
    /// A folder was made.
    MakeDir,
}

/// A simulated disk. Clones are handles of the same disk.
#[derive(Clone, Debug, Default)]
pub struct SimDisk {
    world: Arc<Mutex<World>>,
}

#[derive(Debug, Default)]
struct World {
    /// Counts the power cuts: handles from before one are dead.
    generation: u64,
    off: bool,
    files: BTreeMap<u64, Image>,
    names: BTreeMap<PathBuf, Entry>,
    durable_names: BTreeMap<PathBuf, Entry>,
    unsynced_names: Vec<NameChange>,
    locks: BTreeSet<PathBuf>,
    capacity: Option<u64>,
    operations: u64,
    per_kind: BTreeMap<Operation, u64>,
    planned_cut: Option<(u64, u64, Keep)>,
    faults: Vec<PlannedFault>,
}

#[derive(Debug)]
struct PlannedFault {
    operation: Operation,
    /// How many operations of this kind still pass.
    passes: u64,
    fault: Fault,
    sticky: bool,
}

#[derive(Debug)]
struct SimFile {
    world: Arc<Mutex<World>>,
    generation: u64,
    id: u64,
    path: PathBuf,
}

/// How an operation goes on after it was counted.
enum Course {
    Normal,
    Fault(Fault),
    /// The power fails while the operation runs.
    Cut(u64, Keep),
}

impl SimDisk {
    /// An empty disk without a limit of space.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Cuts the power now: every handle dies, and nothing works until [`SimDisk::power_on`].
    pub fn cut(&self, seed: u64, keep: Keep) {
        self.world.lock().cut(seed, keep);
    }

    /// Cuts the power during the n-th changing operation from now (1 = the next), which therefore never returns
    /// successfully.
    pub fn cut_at(&self, operations_from_now: u64, seed: u64, keep: Keep) {
        let mut world = self.world.lock();
        world.planned_cut = Some((world.operations.saturating_add(operations_from_now), seed, keep));
    }

    /// Starts the machine again after a cut, with what survived. Old handles stay dead, locks are free, and planned
    /// faults and cuts are forgotten.
    pub fn power_on(&self) {
        let mut world = self.world.lock();
        world.off = false;
        world.planned_cut = None;
        world.faults.clear();
    }

    /// Whether the power is off.
    #[must_use]
    pub fn is_off(&self) -> bool {
        self.world.lock().off
    }

    /// How many changing operations were tried so far: the number of points at which the power can be cut.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.world.lock().operations
    }

    /// How many operations of one kind were tried so far.
    #[must_use]
    pub fn count(&self, operation: Operation) -> u64 {
        self.world.lock().per_kind.get(&operation).copied().unwrap_or(0)
    }

    /// Lets an operation fail after `passes` more of its kind went well; a sticky fault stays, another happens once.
    pub fn fail(&self, operation: Operation, passes: u64, fault: Fault, sticky: bool) {
        self.world.lock().faults.push(PlannedFault { operation, passes, fault, sticky });
    }

    /// Takes all planned faults back.
    pub fn heal(&self) {
        self.world.lock().faults.clear();
    }

    /// Limits the space; appends beyond it write what fits and fail with ENOSPC.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.world.lock().capacity = bytes;
    }

    /// Flips one bit of a file in both images, as rot or a meddler would.
    ///
    /// # Errors
    /// When there is no such file or it is shorter.
    pub fn flip_bit(&self, path: &Path, offset: u64, bit: u8) -> Result<(), DiskError> {
        let mut world = self.world.lock();
        let id = world.file_id("flip a bit of", path)?;
        let flipped = world.files.get_mut(&id).is_some_and(|file| file.flip_bit(offset, bit));
        if flipped {
            Ok(())
        } else {
            Err(DiskError::new("flip a bit of", path, io::Error::from(io::ErrorKind::UnexpectedEof)))
        }
    }
}

impl World {
    fn cut(&mut self, seed: u64, keep: Keep) {
        let mut random = Random::new(seed);
        let changes = std::mem::take(&mut self.unsynced_names);
        let bias = random.below(5);
        for change in changes {
            let survives = match keep {
                Keep::Nothing => false,
                Keep::Everything => true,
                Keep::RandomSubset => random.below(4) < bias,
            };
            if survives {
                change.apply(&mut self.durable_names);
            }
        }
        // A name in a folder that did not survive is gone with it.
        let names = self.durable_names.clone();
        self.durable_names.retain(|path, _| {
            path.ancestors().skip(1).all(|dir| is_root(dir) || names.get(dir) == Some(&Entry::Dir))
        });
        self.names = self.durable_names.clone();
        for file in self.files.values_mut() {
            file.cut(&mut random, keep);
        }
        let alive: BTreeSet<u64> = self.names.values().filter_map(Entry::file).collect();
        self.files.retain(|id, _| alive.contains(id));
        self.locks.clear();
        self.generation += 1;
        self.off = true;
        self.planned_cut = None;
    }

    fn check_power(&self, generation: Option<u64>) -> io::Result<()> {
        if self.off || generation.is_some_and(|of_handle| of_handle != self.generation) {
            return Err(io::Error::new(io::ErrorKind::NotConnected, "the power was cut"));
        }
        Ok(())
    }

    /// Counts an operation and says how it goes on.
    fn course(&mut self, operation: Operation, generation: Option<u64>) -> io::Result<Course> {
        self.check_power(generation)?;
        self.operations += 1;
        *self.per_kind.entry(operation).or_default() += 1;
        if let Some((at, seed, keep)) = self.planned_cut
            && self.operations >= at
        {
            return Ok(Course::Cut(seed, keep));
        }
        for index in 0..self.faults.len() {
            let Some(planned) = self.faults.get_mut(index).filter(|planned| planned.operation == operation)
            else {
                continue;
            };
            if planned.passes > 0 {
                planned.passes -= 1;
                continue;
            }
            let fault = planned.fault;
            if !planned.sticky {
                self.faults.remove(index);
            }
            return Ok(Course::Fault(fault));
        }
        Ok(Course::Normal)
    }

    /// The course of an operation that does nothing by halves.
    fn whole(&mut self, operation: Operation) -> io::Result<()> {
        match self.course(operation, None)? {
            Course::Normal => Ok(()),
            Course::Fault(fault) => Err(fault.error()),
            Course::Cut(seed, keep) => {
                self.cut(seed, keep);
                self.check_power(None)
            }
        }
    }

    fn change_name(&mut self, change: NameChange) {
        change.apply(&mut self.names);
        self.unsynced_names.push(change);
    }

    fn file_id(&self, operation: &'static str, path: &Path) -> Result<u64, DiskError> {
        let not_found = || DiskError::new(operation, path, io::Error::from(io::ErrorKind::NotFound));
        self.names.get(path).and_then(Entry::file).ok_or_else(not_found)
    }

    fn has_dir(&self, dir: &Path) -> bool {
        is_root(dir) || self.names.get(dir) == Some(&Entry::Dir)
    }

    fn used(&self) -> u64 {
        self.files.values().map(Image::len).sum()
    }
}

fn is_root(dir: &Path) -> bool {
    dir.as_os_str().is_empty() || dir == Path::new("/") || dir == Path::new(".")
}

fn folder(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new(""))
}

impl Fault {
    fn error(self) -> io::Error {
        io::Error::from(match self {
            Self::Full => rustix::io::Errno::NOSPC,
            Self::Io => rustix::io::Errno::IO,
        })
    }
}

fn at(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> DiskError {
    move |source| DiskError::new(operation, path, source)
}

impl SimDisk {
    fn handle(&self, world: &World, id: u64, path: &Path) -> Arc<dyn DiskFile> {
        let generation = world.generation;
        Arc::new(SimFile { world: Arc::clone(&self.world), generation, id, path: path.to_owned() })
    }
}

impl Disk for SimDisk {
    fn create(&self, path: &Path) -> Result<Arc<dyn DiskFile>, DiskError> {
        let mut world = self.world.lock();
        let refused = |kind| Err(DiskError::new("create", path, io::Error::from(kind)));
        if world.names.contains_key(path) {
            return refused(io::ErrorKind::AlreadyExists);
        }
        if !world.has_dir(folder(path)) {
            return refused(io::ErrorKind::NotFound);
        }
        world.whole(Operation::Create).map_err(at("create", path))?;
        let id = world.files.keys().next_back().copied().unwrap_or(0) + 1;
        world.files.insert(id, Image::default());
        world.change_name(NameChange::link(path, Entry::File(id)));
        Ok(self.handle(&world, id, path))
    }

    fn open(&self, path: &Path) -> Result<Arc<dyn DiskFile>, DiskError> {
        let world = self.world.lock();
        world.check_power(None).map_err(at("open", path))?;
        let id = world.file_id("open", path)?;
        Ok(self.handle(&world, id, path))
    }

    fn open_read(&self, path: &Path) -> Result<Arc<dyn DiskFile>, DiskError> {
        self.open(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<(), DiskError> {
        let mut world = self.world.lock();
        let id = world.file_id("rename", from)?;
        world.whole(Operation::Rename).map_err(at("rename", from))?;
        world.change_name(NameChange::rename(from, to, Entry::File(id)));
        Ok(())
    }

    fn remove(&self, path: &Path) -> Result<(), DiskError> {
        let mut world = self.world.lock();
        world.file_id("remove", path)?;
        world.whole(Operation::Remove).map_err(at("remove", path))?;
        world.change_name(NameChange::unlink(path));
        Ok(())
    }

    fn list(&self, dir: &Path) -> Result<Vec<String>, DiskError> {
        let world = self.world.lock();
        world.check_power(None).map_err(at("list", dir))?;
        if !world.has_dir(dir) {
            return Err(DiskError::new("list", dir, io::Error::from(io::ErrorKind::NotFound)));
        }
        let inside = world.names.iter().filter(|(path, entry)| entry.file().is_some() && folder(path) == dir);
        Ok(inside.filter_map(|(path, _)| Some(path.file_name()?.to_str()?.to_owned())).collect())
    }

    fn make_dir(&self, dir: &Path) -> Result<(), DiskError> {
        let mut missing = Vec::new();
        {
            let world = self.world.lock();
            world.check_power(None).map_err(at("make folder", dir))?;
            missing.extend(dir.ancestors().take_while(|above| !world.has_dir(above)).map(Path::to_owned));
        }
        for dir in missing.into_iter().rev() {
            {
                let mut world = self.world.lock();
                if world.names.contains_key(&dir) {
                    let kind = io::ErrorKind::NotADirectory;
                    return Err(DiskError::new("make folder", &dir, io::Error::from(kind)));
                }
                world.whole(Operation::MakeDir).map_err(at("make folder", &dir))?;
                world.change_name(NameChange::link(&dir, Entry::Dir));
            }
            self.sync_dir(folder(&dir))?;
        }
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> Result<(), DiskError> {
        let mut world = self.world.lock();
        if !world.has_dir(dir) {
            return Err(DiskError::new("sync folder", dir, io::Error::from(io::ErrorKind::NotFound)));
        }
        world.whole(Operation::SyncDir).map_err(at("sync folder", dir))?;
        let changes = std::mem::take(&mut world.unsynced_names);
        for change in changes {
            if change.touches(dir) {
                change.apply(&mut world.durable_names);
            } else {
                world.unsynced_names.push(change);
            }
        }
        Ok(())
    }

    fn free_space(&self, dir: &Path) -> Result<u64, DiskError> {
        let world = self.world.lock();
        world.check_power(None).map_err(at("ask free space of", dir))?;
        Ok(world.capacity.unwrap_or(1 << 40).saturating_sub(world.used()))
    }

    fn lock(&self, path: &Path) -> Result<DiskLock, DiskError> {
        let mut world = self.world.lock();
        world.check_power(None).map_err(at("lock", path))?;
        if !world.locks.insert(path.to_owned()) {
            let why = io::Error::new(io::ErrorKind::WouldBlock, "somebody else holds it");
            return Err(DiskError::new("lock", path, why));
        }
        let (world, generation) = (Arc::clone(&self.world), world.generation);
        Ok(DiskLock::new(Box::new(SimLock { world, generation, path: path.to_owned() })))
    }
}

struct SimLock {
    world: Arc<Mutex<World>>,
    generation: u64,
    path: PathBuf,
}

impl Drop for SimLock {
    fn drop(&mut self) {
        let mut world = self.world.lock();
        if world.generation == self.generation {
            world.locks.remove(&self.path);
        }
    }
}

impl SimFile {
    fn with<T>(
        &self,
        operation: &'static str,
        act: impl FnOnce(&mut World) -> io::Result<T>,
    ) -> Result<T, DiskError> {
        act(&mut self.world.lock()).map_err(at(operation, &self.path))
    }

    fn image<'a>(&self, world: &'a mut World) -> io::Result<&'a mut Image> {
        world.files.get_mut(&self.id).ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    }
}

impl DiskFile for SimFile {
    fn append(&self, bytes: &[u8]) -> Result<(), DiskError> {
        self.with("write", |world| {
            let course = world.course(Operation::Append, Some(self.generation))?;
            let room = world.capacity.map_or(u64::MAX, |capacity| capacity.saturating_sub(world.used()));
            let fits = usize::try_from(room).unwrap_or(usize::MAX).min(bytes.len());
            match course {
                Course::Normal => {
                    self.image(world)?.append(bytes.get(..fits).unwrap_or_default());
                    if fits < bytes.len() { Err(Fault::Full.error()) } else { Ok(()) }
                }
                Course::Fault(fault) => {
                    self.image(world)?.append(bytes.get(..bytes.len() / 2).unwrap_or_default());
                    Err(fault.error())
                }
                Course::Cut(seed, keep) => {
                    self.image(world)?.append(bytes);
                    world.cut(seed, keep);
                    world.check_power(None)
                }
            }
        })
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, DiskError> {
        self.with("read", |world| {
            world.check_power(Some(self.generation))?;
            Ok(self.image(world)?.read_at(offset, buffer))
        })
    }

    fn len(&self) -> Result<u64, DiskError> {
        self.with("look at", |world| {
            world.check_power(Some(self.generation))?;
            Ok(self.image(world)?.len())
        })
    }

    fn truncate(&self, len: u64) -> Result<(), DiskError> {
        self.with("truncate", |world| match world.course(Operation::Truncate, Some(self.generation))? {
            Course::Normal => {
                self.image(world)?.truncate(len);
                Ok(())
            }
            Course::Fault(fault) => Err(fault.error()),
            Course::Cut(seed, keep) => {
                self.image(world)?.truncate(len);
                world.cut(seed, keep);
                world.check_power(None)
            }
        })
    }

    fn sync(&self) -> Result<(), DiskError> {
        self.with("sync", |world| match world.course(Operation::Sync, Some(self.generation))? {
            Course::Normal => {
                self.image(world)?.sync();
                Ok(())
            }
            Course::Fault(fault) => {
                self.image(world)?.lose_unsynced();
                Err(fault.error())
            }
            Course::Cut(seed, keep) => {
                world.cut(seed, keep);
                world.check_power(None)
            }
        })
    }
}
