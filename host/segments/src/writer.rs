//! The one thread that writes: takes groups from the queue, appends, syncs, and only then lets commits resolve.

use crate::format::{CHECKPOINT, Chain, Checkpoint, FOOTER, Footer, Header, Mark, VERSION, padded};
use crate::log::{Options, Owner};
use crate::open::{Found, put_mark};
use crate::scan::GroupBuilder;
use crate::{Commit, LogError, Marks, Resolver, SegmentInfo, View};
use millpond_disk::{Disk, DiskFile};
use parking_lot::{Condvar, Mutex, MutexGuard};
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::task::Waker;
use std::time::Instant;

type Waiting<O> = (<O as Owner>::Item, Resolver<<O as Owner>::Receipt>);

/// What the writer and its callers share.
pub(crate) struct Shared<O: Owner> {
    pub disk: Arc<dyn Disk>,
    pub dir: Arc<Path>,
    pub options: Options,
    queue: Mutex<Queue<O>>,
    wake: Condvar,
    durable: Mutex<Durable>,
}

/// What waits for the writer.
struct Queue<O: Owner> {
    items: VecDeque<Waiting<O>>,
    urgent: VecDeque<Waiting<O>>,
    requests: VecDeque<Request>,
    bytes: usize,
    /// When the oldest of `items` came.
    since: Option<Instant>,
    closed: bool,
    poisoned: Option<Arc<str>>,
    rest: Rest,
}

/// Whether the writer sleeps. Waking a thread costs more than a share does, so that it is done once a group at most.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rest {
    /// It works, or was woken: it looks at the queue before it sleeps.
    Awake,
    /// It sleeps until the oldest item's time is over, and has no need to know of the others before.
    Timed,
    /// It sleeps until it is woken.
    Asleep,
}

/// Where an append goes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// Into the queue, if there is room.
    Queue,
    /// Into the queue, room or not.
    Unbounded,
    /// Before the queue, alone.
    First,
}

/// What is asked of the writer besides appending.
pub(crate) enum Request {
    DropBefore(u64, Resolver<u64>),
    Roll(Resolver<u64>),
}

struct Durable {
    sealed: Arc<Vec<SegmentInfo>>,
    active: SegmentInfo,
    /// Of that segment.
    marks: Arc<Vec<Mark>>,
}

/// One turn of the writer.
enum Turn<O: Owner> {
    Group(Vec<Waiting<O>>),
    Request(Request),
    Close,
}

impl<O: Owner> Queue<O> {
    fn refusal(&self) -> Option<LogError> {
        match &self.poisoned {
            Some(why) => Some(LogError::Poisoned(Arc::clone(why))),
            None => self.closed.then_some(LogError::Closed),
        }
    }

    /// Whether the writer has to be woken, for something that does (`now`) or does not end its timed sleep. Whoever is told
    /// so wakes it, and nobody else.
    fn rouse(&mut self, now: bool) -> bool {
        let rouse = self.rest == Rest::Asleep || (now && self.rest == Rest::Timed);
        if rouse {
            self.rest = Rest::Awake;
        }
        rouse
    }
}

impl<O: Owner> Shared<O> {
    pub(crate) fn append(&self, item: O::Item, place: Place) -> Commit<O::Receipt> {
        let weight = O::weight(&item);
        let mut queue = self.queue.lock();
        let full = queue.items.len() >= self.options.queue_items
            || queue.bytes.saturating_add(weight) > self.options.queue_bytes;
        let busy = (full && place == Place::Queue).then(|| LogError::Busy { waiting: queue.items.len() });
        if let Some(error) = queue.refusal().or(busy) {
            drop(queue);
            return Commit::ready(Err(error));
        }
        let (resolver, commit) = Commit::pair();
        if place == Place::First {
            queue.urgent.push_back((item, resolver));
        } else {
            queue.bytes = queue.bytes.saturating_add(weight);
            queue.since.get_or_insert_with(Instant::now);
            queue.items.push_back((item, resolver));
        }
        let ripe = place == Place::First || queue.bytes >= self.options.group_bytes;
        self.wake_writer(queue, ripe);
        commit
    }

    pub(crate) fn control(&self, request: Request) {
        let mut queue = self.queue.lock();
        match queue.refusal() {
            None => queue.requests.push_back(request),
            Some(error) => {
                drop(queue);
                request.resolver().resolve(Err(error));
                return;
            }
        }
        self.wake_writer(queue, true);
    }

    pub(crate) fn view(&self) -> View {
        let durable = self.durable.lock();
        let (disk, dir) = (Arc::clone(&self.disk), Arc::clone(&self.dir));
        let (sealed, active) = (Arc::clone(&durable.sealed), Some(durable.active.clone()));
        let marks = Marks(Arc::clone(&durable.marks));
        View { disk, dir, format: self.options.format, sealed, active, marks }
    }

    pub(crate) fn waiting(&self) -> usize {
        let queue = self.queue.lock();
        queue.items.len() + queue.urgent.len()
    }

    pub(crate) fn poisoned(&self) -> Option<Arc<str>> {
        self.queue.lock().poisoned.clone()
    }

    pub(crate) fn close(&self) {
        let mut queue = self.queue.lock();
        queue.closed = true;
        self.wake_writer(queue, true);
    }

    /// Wakes the writer if it needs to be, and lets go of the queue: in this order, since whoever comes next relies on it
    /// having been woken, and who was to do so may not run again for a while.
    fn wake_writer(&self, mut queue: MutexGuard<'_, Queue<O>>, now: bool) {
        if queue.rouse(now) {
            self.wake.notify_one();
        }
    }

    /// Waits for the next thing to do.
    fn next_turn(&self) -> Turn<O> {
        let mut queue = self.queue.lock();
        loop {
            queue.rest = Rest::Awake;
            if let Some(waiting) = queue.urgent.pop_front() {
                return Turn::Group(vec![waiting]);
            }
            if let Some(request) = queue.requests.pop_front() {
                return Turn::Request(request);
            }
            if let Some(since) = queue.since {
                let deadline = since + self.options.max_wait;
                let ripe = queue.closed || queue.bytes >= self.options.group_bytes;
                if ripe || Instant::now() >= deadline {
                    return Turn::Group(self.take_group(&mut queue));
                }
                queue.rest = Rest::Timed;
                self.wake.wait_until(&mut queue, deadline);
            } else if queue.closed {
                return Turn::Close;
            } else {
                queue.rest = Rest::Asleep;
                self.wake.wait(&mut queue);
            }
        }
    }

    fn take_group(&self, queue: &mut Queue<O>) -> Vec<Waiting<O>> {
        let (mut group, mut bytes) = (Vec::new(), 0_usize);
        while bytes < self.options.group_bytes
            && let Some(waiting) = queue.items.pop_front()
        {
            bytes = bytes.saturating_add(O::weight(&waiting.0));
            group.push(waiting);
        }
        queue.bytes = if queue.items.is_empty() { 0 } else { queue.bytes.saturating_sub(bytes) };
        if queue.items.is_empty() {
            queue.since = None;
        }
        group
    }

    /// Refuses everything from now on, and everything that waits.
    fn poison(&self, error: &LogError) -> LogError {
        self.stop(error.to_string().into())
    }

    fn stop(&self, why: Arc<str>) -> LogError {
        tracing::error!(dir = %self.dir.display(), error = %why, "the log stopped: nothing more is acknowledged");
        let poisoned = LogError::Poisoned(Arc::clone(&why));
        let (items, urgent, requests) = {
            let mut queue = self.queue.lock();
            queue.poisoned = Some(why);
            (queue.bytes, queue.since) = (0, None);
            let items = std::mem::take(&mut queue.items);
            (items, std::mem::take(&mut queue.urgent), std::mem::take(&mut queue.requests))
        };
        for (_, resolver) in items.into_iter().chain(urgent) {
            resolver.resolve(Err(poisoned.clone()));
        }
        for request in requests {
            request.resolver().resolve(Err(poisoned.clone()));
        }
        poisoned
    }
}

/// What the writer has taken to write. If it breaks down meanwhile nobody waits for it for ever, and nobody appends any
/// more: the log stops as after a failed write.
struct Taken<T, O: Owner> {
    resolvers: Vec<Resolver<T>>,
    of: Arc<Shared<O>>,
}

impl<T: Clone, O: Owner> Taken<T, O> {
    /// Answers a request; a failure is given back to poison the log.
    fn answer(mut self, outcome: Result<T, LogError>) -> Result<(), LogError> {
        for resolver in std::mem::take(&mut self.resolvers) {
            resolver.resolve(outcome.clone());
        }
        outcome.map(|_| ())
    }
}

impl<T, O: Owner> Drop for Taken<T, O> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let poisoned = self.of.stop("the thread that writes broke down: this is a defect".into());
            for resolver in std::mem::take(&mut self.resolvers) {
                resolver.resolve(Err(poisoned.clone()));
            }
        }
    }
}

impl Request {
    fn resolver(self) -> Resolver<u64> {
        match self {
            Self::DropBefore(_, resolver) | Self::Roll(resolver) => resolver,
        }
    }
}

/// Owns the file that is written to.
pub(crate) struct Writer<O: Owner> {
    shared: Arc<Shared<O>>,
    owner: O,
    file: Arc<dyn DiskFile>,
    active: SegmentInfo,
    checkpoint: Option<Checkpoint>,
    /// Bytes of the header and the first group; 0 when the segment was found at open.
    opened_with: u64,
    /// Whether the last group has no group behind it that proves it was synced.
    unconfirmed: bool,
    /// Whether a mark was put behind the last group, which the owner is told once it knows of that.
    marked: bool,
}

impl<O: Owner> Writer<O> {
    pub(crate) fn start(
        disk: Arc<dyn Disk>,
        dir: &Path,
        options: Options,
        mut owner: O,
        found: Found,
    ) -> Result<(Self, Arc<Shared<O>>), LogError> {
        let (file, active, opened_with, marks) = match found.active {
            Some(active) => (disk.open(&dir.join(active.name()))?, active, 0, found.marks),
            None => {
                let last = found.sealed.last();
                let (next, chain) = last.map_or((1, Chain::default()), |last| (last.next, last.chain));
                let (file, active) = create(disk.as_ref(), dir, &options, &mut owner, next, chain)?;
                owner.synced();
                let opened_with = active.bytes;
                let marks = marks_of(&active, &options, &mut owner);
                (file, active, opened_with, marks)
            }
        };
        let (sealed, marks) = (Arc::new(found.sealed), Arc::new(marks));
        let durable = Mutex::new(Durable { sealed, active: active.clone(), marks });
        let queue = Mutex::new(Queue {
            items: VecDeque::new(),
            urgent: VecDeque::new(),
            requests: VecDeque::new(),
            bytes: 0,
            since: None,
            closed: false,
            poisoned: None,
            rest: Rest::Awake,
        });
        let dir = dir.into();
        let shared = Arc::new(Shared { disk, dir, options, queue, wake: Condvar::new(), durable });
        let checkpoint = found.checkpoint;
        let writer = Self {
            shared: Arc::clone(&shared),
            owner,
            file,
            active,
            checkpoint,
            opened_with,
            unconfirmed: false,
            marked: false,
        };
        Ok((writer, shared))
    }

    pub(crate) fn run(mut self) {
        loop {
            let outcome = match self.shared.next_turn() {
                Turn::Group(waiting) => self.commit(waiting),
                Turn::Request(Request::Roll(resolver)) => {
                    let asked = self.taken(vec![resolver]);
                    let rolled = self.roll().map(|()| self.active.first);
                    asked.answer(rolled)
                }
                Turn::Request(Request::DropBefore(index, resolver)) => {
                    let asked = self.taken(vec![resolver]);
                    let dropped = self.drop_before(index);
                    asked.answer(dropped)
                }
                Turn::Close => {
                    let _asked = self.taken::<()>(Vec::new());
                    // An empty group proves that the last one was synced: damage to it is then no torn tail.
                    if self.unconfirmed && self.shared.poisoned().is_none() {
                        let group = GroupBuilder::new(self.active.next);
                        if let Err(error) = self.write(group) {
                            self.shared.poison(&error);
                        }
                    }
                    return;
                }
            };
            if let Err(error) = outcome {
                self.shared.poison(&error);
            }
        }
    }

    fn taken<T>(&self, resolvers: Vec<Resolver<T>>) -> Taken<T, O> {
        Taken { resolvers, of: Arc::clone(&self.shared) }
    }

    fn commit(&mut self, waiting: Vec<Waiting<O>>) -> Result<(), LogError> {
        let (items, resolvers): (Vec<_>, Vec<_>) = waiting.into_iter().unzip();
        let mut taken = self.taken(resolvers);
        let mut group = GroupBuilder::new(self.active.next);
        let receipts = self.owner.encode(items, &mut group);
        let written =
            if group.is_empty() && group.too_large().is_none() { Ok(()) } else { self.write(group) };
        if let Err(error) = written {
            // Poison first: whoever hears of the failure must find the log closed already.
            let poisoned = self.shared.poison(&error);
            for resolver in std::mem::take(&mut taken.resolvers) {
                resolver.resolve(Err(poisoned.clone()));
            }
            return Ok(());
        }
        self.owner.synced();
        self.tell_mark();
        // All outcomes first: who is woken finds everything of his in this group.
        let settled = std::mem::take(&mut taken.resolvers).into_iter().zip(receipts);
        let wakers: Vec<_> = settled.filter_map(|(resolver, receipt)| resolver.settle(Ok(receipt))).collect();
        wakers.into_iter().for_each(Waker::wake);
        let written = self.active.bytes.saturating_sub(self.opened_with);
        // What is carried over must not make up more than a quarter of a log.
        let enough = self.shared.options.segment_bytes.max(self.opened_with.saturating_mul(CARRIED));
        if written >= enough { self.roll() } else { Ok(()) }
    }

    /// Appends and syncs a group, and makes it visible to readers.
    fn write(&mut self, group: GroupBuilder) -> Result<(), LogError> {
        if let Some(bytes) = group.too_large() {
            return Err(LogError::TooLarge { bytes, limit: crate::MAX_PAYLOAD });
        }
        let (bytes, chain) = group.close(self.active.chain, self.active.bytes);
        let written = self.file.append(&bytes);
        self.owner.written(written.is_ok());
        written?;
        self.file.sync()?;
        self.active.bytes += bytes.len() as u64;
        self.active.next = chain.next_index;
        self.active.chain = chain.chain;
        self.unconfirmed = true;
        let mut durable = self.shared.durable.lock();
        durable.active = self.active.clone();
        let every = self.shared.options.mark_bytes;
        self.marked = put_mark(Arc::make_mut(&mut durable.marks), mark_behind(&self.active), every);
        Ok(())
    }

    fn tell_mark(&mut self) {
        if std::mem::take(&mut self.marked) {
            self.owner.marked(self.active.next);
        }
    }

    fn roll(&mut self) -> Result<(), LogError> {
        if self.active.next == self.active.first {
            // The next segment would have this one's name.
            return Ok(());
        }
        let summary = self.owner.summary();
        let sealed = (self.shared.options.clock)();
        let marks = self.shared.durable.lock().marks.to_vec();
        let footer = Footer { sealed, checkpoint: self.checkpoint, marks, summary };
        let mut group = GroupBuilder::new(self.active.next);
        group.push_own(FOOTER, &footer.encode());
        self.write(group)?;
        self.active.sealed = Some(sealed);
        let refuse = |what| LogError::Owner { segment: self.active.name(), offset: self.active.bytes, what };
        self.owner.sealed(&self.active, &footer.summary).map_err(refuse)?;
        let shared = &self.shared;
        let (file, active) = create(
            shared.disk.as_ref(),
            &shared.dir,
            &shared.options,
            &mut self.owner,
            self.active.next,
            self.active.chain,
        )?;
        self.owner.synced();
        let before = std::mem::replace(&mut self.active, active);
        self.opened_with = self.active.bytes;
        self.file = file;
        (self.unconfirmed, self.marked) = (false, false);
        let marks = marks_of(&self.active, &self.shared.options, &mut self.owner);
        let mut durable = self.shared.durable.lock();
        Arc::make_mut(&mut durable.sealed).push(before);
        durable.active = self.active.clone();
        durable.marks = Arc::new(marks);
        Ok(())
    }

    fn drop_before(&mut self, index: u64) -> Result<u64, LogError> {
        let sealed = Arc::clone(&self.shared.durable.lock().sealed);
        let count = sealed.partition_point(|segment| segment.next <= index);
        let kept = sealed.get(count).unwrap_or(&self.active);
        let (first, chain) = (kept.first, kept.previous);
        if count == 0 {
            return Ok(first);
        }
        let checkpoint = Checkpoint { first, chain };
        let mut group = GroupBuilder::new(self.active.next);
        group.push_own(CHECKPOINT, &checkpoint.encode());
        self.write(group)?;
        self.tell_mark();
        self.checkpoint = Some(checkpoint);
        // Readers no longer see the segments before their files go.
        Arc::make_mut(&mut self.shared.durable.lock().sealed).drain(..count);
        for segment in sealed.iter().take(count) {
            self.shared.disk.remove(&self.path(segment))?;
        }
        self.shared.disk.sync_dir(&self.shared.dir)?;
        Ok(first)
    }

    fn path(&self, segment: &SegmentInfo) -> PathBuf {
        self.shared.dir.join(segment.name())
    }
}

/// A segment is written to until it holds so many times what it began with. More would save little more of the disk, and
/// a start reads a segment whole, a window up to half of each of two.
const CARRIED: u64 = 3;

/// The place behind everything that a segment holds.
fn mark_behind(segment: &SegmentInfo) -> Mark {
    Mark { offset: segment.bytes, next_index: segment.next, chain: segment.chain }
}

/// The marks of a segment that holds its first group alone.
fn marks_of<O: Owner>(segment: &SegmentInfo, options: &Options, owner: &mut O) -> Vec<Mark> {
    let mut marks = Vec::new();
    if put_mark(&mut marks, mark_behind(segment), options.mark_bytes) {
        owner.marked(segment.next);
    }
    marks
}

/// Creates a segment: header and first group in one write, file synced, folder synced.
fn create<O: Owner>(
    disk: &dyn Disk,
    dir: &Path,
    options: &Options,
    owner: &mut O,
    first: u64,
    previous: Chain,
) -> Result<(Arc<dyn DiskFile>, SegmentInfo), LogError> {
    let created = (options.clock)();
    let header = Header { version: VERSION, name: padded(options.format), first, created, previous };
    let mut group = GroupBuilder::new(first);
    owner.preamble(&mut group);
    if let Some(bytes) = group.too_large() {
        return Err(LogError::TooLarge { bytes, limit: crate::MAX_PAYLOAD });
    }
    let mut bytes = header.encode();
    let (records, chain) = group.close(header.chain(), bytes.len() as u64);
    bytes.extend_from_slice(&records);
    let info = SegmentInfo {
        first,
        next: chain.next_index,
        bytes: bytes.len() as u64,
        created,
        sealed: None,
        previous,
        chain: chain.chain,
    };
    let file = disk.create(&dir.join(info.name()))?;
    file.append(&bytes)?;
    file.sync()?;
    disk.sync_dir(dir)?;
    Ok((file, info))
}
