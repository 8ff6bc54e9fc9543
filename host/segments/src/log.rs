//! A log that is written to.

use crate::writer::{Place, Request, Shared, Writer};
use crate::{Commit, Forecast, GroupBuilder, LogError, RecordRef, SegmentInfo, View};
use millpond_disk::{Disk, DiskLock};
use millpond_types::UnixMillis;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

/// Turns what was queued into records, and keeps what it needs to know of them.
///
/// All methods run on the log's writer thread (or inside [`GroupLog::open`]), one at a time. They must not block on
/// the log itself. State that others may see is to be published in [`Owner::synced`], never before.
pub trait Owner: Send + 'static {
    /// What is appended.
    type Item: Send + 'static;
    /// What its commit resolves to.
    type Receipt: Send + 'static;

    /// About how many bytes an item will take: bounds the queue and the groups.
    fn weight(item: &Self::Item) -> usize;

    /// Encodes one commit group: pushes records and returns one receipt per item, in order. Called once per group,
    /// before it is written. An owner that pushes nothing gets its receipts delivered without a write.
    fn encode(&mut self, items: Vec<Self::Item>, group: &mut GroupBuilder) -> Vec<Self::Receipt>;

    /// The group encoded last was handed to the operating system and is not synced yet: a process that is killed no longer
    /// loses it, a power cut may. Or, when not `whole`, it will never be.
    fn written(&mut self, _whole: bool) {}

    /// The group encoded last is durable. Called before its commits resolve.
    fn synced(&mut self);

    /// All records before this index are durable, and the segment can be read from here ([`View::read_range`]). Called after
    /// [`Owner::synced`], for an owner that keeps what it knows of a segment in parts that can be read; at open too.
    fn marked(&mut self, _next: u64) {}

    /// The summary for the footer of the segment that is about to be sealed. Called once per sealed segment.
    fn summary(&mut self) -> Vec<u8>;

    /// A segment was sealed with this summary; the next records go into a new one. Also called at open for every
    /// sealed segment, oldest first, so that summaries can be indexed.
    ///
    /// # Errors
    /// When the summary cannot be read: the log does not open.
    fn sealed(&mut self, segment: &SegmentInfo, summary: &[u8]) -> Result<(), String>;

    /// The first records of a new segment: all state that must survive when older segments are dropped. Called once
    /// per segment, after [`Owner::sealed`]; [`Owner::synced`] follows.
    fn preamble(&mut self, group: &mut GroupBuilder);

    /// A record of the newest segment, at open, in order: the first ones are a preamble.
    ///
    /// # Errors
    /// When the record cannot be read: the log does not open.
    fn recover(&mut self, record: RecordRef<'_>) -> Result<(), String>;
}

/// See [`Options::mark_bytes`].
pub(crate) const MARK_BYTES: u64 = 1 << 20;

/// How a log is kept.
#[derive(Clone, Debug)]
pub struct Options {
    /// Names what the log holds, up to 16 ASCII characters; a log with another name does not open.
    pub format: &'static str,
    /// A segment is sealed when this many bytes were written to it after its first group, and at least three times as
    /// many as that has. Default 8 MiB: a start reads the newest segment.
    pub segment_bytes: u64,
    /// About how many bytes lie between two places from which a segment can be read. Default 1 MiB: what is read and thrown
    /// away at either end of a part.
    pub mark_bytes: u64,
    /// How long the first item of a group may wait for company. Default 1 ms; 0 commits at once, and what comes
    /// while a sync runs is the next group.
    pub max_wait: Duration,
    /// A group is written when its items weigh this much. Default 4 MiB.
    pub group_bytes: usize,
    /// Items that may wait; beyond it appends are refused with [`LogError::Busy`]. Default 65,536.
    pub queue_items: usize,
    /// Bytes that may wait. Default 64 MiB.
    pub queue_bytes: usize,
    /// The clock for creation and sealing times.
    pub clock: fn() -> UnixMillis,
}

impl Options {
    /// The defaults, for a format of this name.
    #[must_use]
    pub fn new(format: &'static str) -> Self {
        Self {
            format,
            segment_bytes: 8 << 20,
            mark_bytes: MARK_BYTES,
            max_wait: Duration::from_millis(1),
            group_bytes: 4 << 20,
            queue_items: 65_536,
            queue_bytes: 64 << 20,
            clock: UnixMillis::now,
        }
    }
}

/// A torn write that was cut off at open: never acknowledged to anybody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Truncated {
    /// The file's name.
    pub segment: String,
    /// Where the file was cut; 0 when the file was new and removed.
    pub offset: u64,
    /// Bytes cut off.
    pub bytes: u64,
}

/// What was found at open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// Index of the first record that is kept.
    pub first: u64,
    /// Index of the next record.
    pub next: u64,
    /// The torn tail, if there was one: worth telling the operator, and nothing to worry about.
    pub truncated: Option<Truncated>,
}

/// A log with an owner and one writer thread. Dropping it writes what is queued, closes it and waits for the thread.
pub struct GroupLog<O: Owner> {
    shared: Arc<Shared<O>>,
    thread: Option<JoinHandle<()>>,
    _lock: DiskLock,
}

impl<O: Owner> fmt::Debug for GroupLog<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GroupLog").field("dir", &self.shared.dir).finish_non_exhaustive()
    }
}

impl<O: Owner> GroupLog<O> {
    /// Opens the log in a folder, which is created when missing, and locks it against other processes. The owner
    /// learns all summaries and the newest segment's records.
    ///
    /// # Errors
    /// When somebody else has it open, the disk fails, or anything but a torn tail does not check.
    pub fn open(
        disk: Arc<dyn Disk>,
        dir: &Path,
        options: Options,
        mut owner: O,
    ) -> Result<(Self, Opened), LogError> {
        disk.make_dir(dir)?;
        let lock = disk.lock(&dir.join("lock"))?;
        let found = crate::open::read_write(&disk, dir, &options, &mut owner)?;
        let truncated = found.truncated.clone();
        let (writer, shared) = Writer::start(disk, dir, options, owner, found)?;
        let view = shared.view();
        let first = view.segments().next().map_or(1, |segment| segment.first);
        let opened = Opened { first, next: view.next_index(), truncated };
        let thread = std::thread::Builder::new()
            .name("log-writer".to_owned())
            .spawn(move || writer.run())
            .map_err(|error| millpond_disk::DiskError::new("start the writer thread of", dir, error))?;
        Ok((Self { shared, thread: Some(thread), _lock: lock }, opened))
    }

    /// Appends an item; the commit resolves when it is durable. Never blocks.
    pub fn append(&self, item: O::Item) -> Commit<O::Receipt> {
        self.shared.append(item, Place::Queue)
    }

    /// Appends an item in its turn that a full queue does not refuse: for what is rare and must not be lost.
    pub fn append_unbounded(&self, item: O::Item) -> Commit<O::Receipt> {
        self.shared.append(item, Place::Unbounded)
    }

    /// Appends an item that must not wait for others: it is the next group, alone, before all that is queued, and a
    /// full queue does not refuse it.
    pub fn append_urgent(&self, item: O::Item) -> Commit<O::Receipt> {
        self.shared.append(item, Place::First)
    }

    /// Drops the sealed segments whose records are all before `index`, after recording durably where verification
    /// starts from now on. Resolves to the index of the first record that is kept.
    pub fn drop_before(&self, index: u64) -> Commit<u64> {
        let (resolver, commit) = Commit::pair();
        self.shared.control(Request::DropBefore(index, resolver));
        commit
    }

    /// Seals the segment that is written to and starts a new one, unless it has no records. Resolves to the new one's first index.
    pub fn roll(&self) -> Commit<u64> {
        let (resolver, commit) = Commit::pair();
        self.shared.control(Request::Roll(resolver));
        commit
    }

    /// What is durable now.
    #[must_use]
    pub fn view(&self) -> View {
        self.shared.view()
    }

    /// How many items wait to be written.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.shared.waiting()
    }

    /// Why the log takes nothing more, if so.
    #[must_use]
    pub fn poisoned(&self) -> Option<Arc<str>> {
        self.shared.poisoned()
    }

    /// How fast the log grows and how long the disk will do.
    ///
    /// # Errors
    /// When the disk cannot be asked.
    pub fn forecast(&self) -> Result<Forecast, LogError> {
        let free = self.shared.disk.free_space(&self.shared.dir)?;
        Ok(Forecast::of(&self.view(), (self.shared.options.clock)(), free))
    }
}

impl<O: Owner> Drop for GroupLog<O> {
    fn drop(&mut self) {
        self.shared.close();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!(dir = %self.shared.dir.display(), "the log's writer thread panicked");
        }
    }
}
