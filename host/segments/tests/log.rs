//! What a log promises to those who append, read and operate it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use millpond_disk::{Disk, Fault, Operation, RealDisk, SimDisk};
use millpond_segments::{
    Commit, GroupBuilder, GroupLog, Log, LogError, Options, Owner, RecordRef, SegmentInfo, View,
};
use millpond_types::UnixMillis;
use parking_lot::Mutex;
use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, mpsc};
use std::task::{Context, Wake, Waker};
use std::time::Duration;

const DIR: &str = "/log";

fn options() -> Options {
    Options { max_wait: Duration::ZERO, segment_bytes: 1000, mark_bytes: 250, ..Options::new("test") }
}

fn open(disk: &SimDisk) -> Result<(Log, millpond_segments::Opened), LogError> {
    Log::open(Arc::new(disk.clone()), Path::new(DIR), options())
}

fn record(number: u64) -> (u16, Vec<u8>) {
    (1, format!("record {number:>40}").into_bytes())
}

fn append(log: &Log, numbers: std::ops::Range<u64>) {
    for number in numbers {
        assert_eq!(log.append(vec![record(number)]).wait().unwrap(), number);
    }
}

fn contents(view: &View) -> Vec<(u64, Vec<u8>)> {
    view.iter(0).map(|record| record.map(|record| (record.index, record.payload)).unwrap()).collect()
}

fn segment_names(disk: &SimDisk) -> Vec<String> {
    disk.list(Path::new(DIR)).unwrap().into_iter().filter(|name| name.ends_with(".seg")).collect()
}

#[test]
fn records_come_back_in_order_over_segments_and_restarts() {
    let disk = SimDisk::new();
    let (log, opened) = open(&disk).unwrap();
    assert_eq!(opened.next, 1);
    append(&log, 1..60);
    drop(log);
    let (log, opened) = open(&disk).unwrap();
    assert_eq!((opened.first, opened.next, opened.truncated), (1, 60, None));
    append(&log, 60..90);
    assert!(segment_names(&disk).len() > 4);
    let expected: Vec<_> = (1..90).map(|number| (number, record(number).1)).collect();
    assert_eq!(contents(&log.view()), expected);
    let from: Vec<_> = log.view().iter(77).map(|record| record.unwrap().index).collect();
    assert_eq!(from, (77..90).collect::<Vec<_>>());
    let view = log.view();
    let verified = view.verify().unwrap();
    assert_eq!((verified.records, verified.next), (89, 90));
    assert_eq!(verified.chain, view.chain());
}

#[test]
fn a_log_works_on_the_real_disk_and_is_locked() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("a/b");
    let (log, _) = Log::open(Arc::new(RealDisk), &dir, options()).unwrap();
    append(&log, 1..40);
    assert!(matches!(Log::open(Arc::new(RealDisk), &dir, options()), Err(LogError::Disk(_))));
    let beside = View::open(Arc::new(RealDisk), &dir, "test").unwrap();
    assert_eq!(beside.verify().unwrap().records, 39);
    drop(log);
    let (log, opened) = Log::open(Arc::new(RealDisk), &dir, options()).unwrap();
    assert_eq!(opened.next, 40);
    assert!(log.forecast().unwrap().free > 0);
}

#[tokio::test]
async fn a_commit_can_be_awaited_and_groups_share_a_sync() {
    let disk = SimDisk::new();
    let options = Options { max_wait: Duration::from_millis(50), ..Options::new("test") };
    let (log, _) = Log::open(Arc::new(disk.clone()), Path::new(DIR), options).unwrap();
    let before = disk.count(Operation::Sync);
    let commits: Vec<Commit<u64>> = (0..500).map(|number| log.append(vec![record(number)])).collect();
    for (index, commit) in commits.into_iter().enumerate() {
        assert_eq!(commit.await.unwrap(), index as u64 + 1);
    }
    let syncs = disk.count(Operation::Sync) - before;
    assert!(syncs < 100, "{syncs} syncs for 500 appends");
}

#[test]
fn a_group_that_is_full_waits_for_nobody() {
    let disk = SimDisk::new();
    let options = Options { max_wait: Duration::from_secs(600), group_bytes: 1_000, ..Options::new("test") };
    let (log, _) = Log::open(Arc::new(disk), Path::new(DIR), options).unwrap();
    for _ in 0..20 {
        let commits: Vec<Commit<u64>> = (0..30).map(|number| log.append(vec![record(number)])).collect();
        for commit in commits.into_iter().take(5) {
            commit.wait().unwrap();
        }
    }
}

/// Looks, when it is woken, at how many of a group's commits are there.
struct Looker {
    commits: Mutex<Vec<Commit<u64>>>,
    saw: mpsc::Sender<usize>,
}

impl Wake for Looker {
    fn wake(self: Arc<Self>) {
        let mut nobody = Context::from_waker(Waker::noop());
        let mut commits = std::mem::take(&mut *self.commits.lock());
        if !commits.is_empty() {
            let there = commits.iter_mut().map(|commit| Pin::new(commit).poll(&mut nobody).is_ready());
            self.saw.send(there.filter(|there| *there).count()).unwrap();
        }
    }
}

#[test]
fn who_is_woken_finds_his_whole_group_durable() {
    let disk = SimDisk::new();
    let options = Options { max_wait: Duration::from_secs(600), group_bytes: 1_000, ..Options::new("test") };
    let (log, _) = Log::open(Arc::new(disk), Path::new(DIR), options).unwrap();
    let (saw, seen) = mpsc::channel();
    let looker = Arc::new(Looker { commits: Mutex::default(), saw });
    {
        // Nobody looks before all have been asked: the group is not full, and then waits for the lock.
        let mut commits = looker.commits.lock();
        let waker = Waker::from(Arc::clone(&looker));
        let append = |bytes: usize| log.append(vec![(1, vec![7; bytes])]);
        for bytes in [10, 10, 10, 10, 2_000] {
            let mut commit = append(bytes);
            if bytes < 1_000 {
                assert!(Pin::new(&mut commit).poll(&mut Context::from_waker(&waker)).is_pending());
            }
            commits.push(commit);
        }
    }
    assert_eq!(seen.recv_timeout(Duration::from_secs(60)).unwrap(), 5);
}

#[test]
fn records_of_one_append_survive_together_or_not_at_all() {
    for seed in 0..60 {
        let disk = SimDisk::new();
        let (log, _) = open(&disk).unwrap();
        append(&log, 1..4);
        disk.cut_at(1 + seed % 2, seed, millpond_disk::Keep::RandomSubset);
        let big = vec![(1, vec![7; 700]), (2, vec![8; 900])];
        assert!(log.append(big).wait().is_err());
        drop(log);
        disk.power_on();
        let (log, _) = open(&disk).unwrap();
        let found = contents(&log.view()).len();
        assert!(found == 3 || found == 5, "seed {seed}: {found} records");
    }
}

#[test]
fn every_flipped_bit_of_a_cleanly_closed_log_is_an_error_that_names_its_segment() {
    let disk = SimDisk::new();
    let (log, _) = open(&disk).unwrap();
    append(&log, 1..30);
    drop(log);
    for name in segment_names(&disk) {
        let path = Path::new(DIR).join(&name);
        let len = disk.open(&path).unwrap().len().unwrap();
        for offset in (0..len).step_by(3) {
            disk.flip_bit(&path, offset, (offset % 8) as u8).unwrap();
            let outcome = View::open(Arc::new(disk.clone()), Path::new(DIR), "test")
                .and_then(|view| view.verify().map(|_| view));
            // What acknowledges nothing may be cut: the empty group that a clean close leaves behind.
            match outcome {
                Err(error) => {
                    assert!(error.to_string().contains(".seg"), "{error}");
                }
                Ok(view) => assert_eq!(contents(&view).len(), 29, "{name} byte {offset}"),
            }
            disk.flip_bit(&path, offset, (offset % 8) as u8).unwrap();
        }
    }
}

#[test]
fn a_missing_segment_is_noticed_at_open() {
    let disk = SimDisk::new();
    let (log, _) = open(&disk).unwrap();
    append(&log, 1..60);
    drop(log);
    let names = segment_names(&disk);
    for missing in [&names[0], &names[2]] {
        let path = Path::new(DIR).join(missing);
        let bytes = millpond_disk::read_file(&disk, &path).unwrap();
        disk.remove(&path).unwrap();
        assert!(matches!(open(&disk).unwrap_err(), LogError::Missing { .. }));
        disk.create(&path).unwrap().append(&bytes).unwrap();
    }
    open(&disk).unwrap();
}

#[test]
fn segments_of_another_history_do_not_fit() {
    let (one, other) = (SimDisk::new(), SimDisk::new());
    for (disk, kind) in [(&one, 1), (&other, 2)] {
        let (log, _) = open(disk).unwrap();
        for number in 1..60 {
            log.append(vec![(kind, record(number).1)]).wait().unwrap();
        }
    }
    let path = Path::new(DIR).join(&segment_names(&one)[1]);
    let foreign = millpond_disk::read_file(&other, &path).unwrap();
    one.remove(&path).unwrap();
    one.create(&path).unwrap().append(&foreign).unwrap();
    let error = open(&one).unwrap_err();
    assert!(matches!(error, LogError::Corrupt { .. }), "{error}");
}

#[test]
fn another_kind_of_log_is_refused_by_name() {
    let disk = SimDisk::new();
    drop(open(&disk).unwrap());
    let error = Log::open(Arc::new(disk), Path::new(DIR), Options::new("ledger")).unwrap_err();
    assert!(error.to_string().contains("\"test\"") && error.to_string().contains("\"ledger\""), "{error}");
}

#[test]
fn old_segments_are_dropped_behind_a_checkpoint_and_the_rest_still_verifies() {
    let disk = SimDisk::new();
    let (log, _) = open(&disk).unwrap();
    append(&log, 1..60);
    assert_eq!(log.drop_before(1).wait().unwrap(), 1);
    let first = log.drop_before(33).wait().unwrap();
    assert!(first > 1 && first <= 33);
    append(&log, 60..70);
    assert_eq!(log.view().verify().unwrap().first, first);
    drop(log);
    let (log, opened) = open(&disk).unwrap();
    assert_eq!(opened.first, first);
    let expected: Vec<_> = (first..70).collect();
    assert_eq!(contents(&log.view()).iter().map(|(index, _)| *index).collect::<Vec<_>>(), expected);
    // Dropping more, all that is sealed.
    append(&log, 70..110);
    let last = log.drop_before(u64::MAX).wait().unwrap();
    assert_eq!(segment_names(&disk).len(), 1);
    drop(log);
    assert_eq!(open(&disk).unwrap().1.first, last);
    // Without its checkpoint a log that does not begin at 1 is not whole.
    let fresh = SimDisk::new();
    fresh.make_dir(Path::new(DIR)).unwrap();
    let (log, _) = open(&disk).unwrap();
    append(&log, 110..140);
    drop(log);
    let names = segment_names(&disk);
    let bytes = millpond_disk::read_file(&disk, &Path::new(DIR).join(&names[1])).unwrap();
    fresh.create(&Path::new(DIR).join(&names[1])).unwrap().append(&bytes).unwrap();
    assert!(open(&fresh).is_err());
}

#[test]
fn nothing_is_acknowledged_after_a_failed_write_or_sync() {
    let cases =
        [(Operation::Append, Fault::Full), (Operation::Append, Fault::Io), (Operation::Sync, Fault::Io)];
    for (operation, fault) in cases {
        let disk = SimDisk::new();
        let (log, _) = open(&disk).unwrap();
        append(&log, 1..6);
        disk.fail(operation, 0, fault, false);
        assert!(matches!(log.append(vec![record(6)]).wait(), Err(LogError::Poisoned(_))));
        // The disk works again, but nobody knows what it kept.
        assert!(matches!(log.append(vec![record(7)]).wait(), Err(LogError::Poisoned(_))));
        assert!(matches!(log.append_urgent(vec![record(7)]).wait(), Err(LogError::Poisoned(_))));
        assert!(matches!(log.roll().wait(), Err(LogError::Poisoned(_))));
        assert!(log.poisoned().is_some());
        drop(log);
        let (log, opened) = open(&disk).unwrap();
        assert!(opened.next == 6 || (operation == Operation::Sync && opened.next == 7), "{opened:?}");
        append(&log, opened.next..opened.next + 3);
    }
}

#[test]
fn a_disk_that_is_full_stops_the_log_and_space_with_a_restart_mends_it() {
    let disk = SimDisk::new();
    disk.set_capacity(Some(2000));
    let (log, _) = open(&disk).unwrap();
    let mut acknowledged = 0;
    while log.append(vec![record(acknowledged + 1)]).wait().is_ok() {
        acknowledged += 1;
    }
    assert!(acknowledged > 3);
    assert!(log.poisoned().unwrap().contains("cannot write"));
    drop(log);
    disk.set_capacity(None);
    let (log, opened) = open(&disk).unwrap();
    assert_eq!(opened.next, acknowledged + 1);
    append(&log, acknowledged + 1..acknowledged + 5);
}

#[test]
fn a_full_queue_refuses_at_once_but_never_what_is_urgent() {
    let disk = SimDisk::new();
    let options = Options { max_wait: Duration::from_secs(600), queue_items: 3, ..Options::new("test") };
    let (log, _) = Log::open(Arc::new(disk), Path::new(DIR), options).unwrap();
    let waiting: Vec<_> = (0..3).map(|number| log.append(vec![record(number)])).collect();
    assert!(matches!(log.append(vec![record(9)]).wait(), Err(LogError::Busy { waiting: 3 })));
    // The urgent record overtakes those that wait for company.
    assert_eq!(log.append_urgent(vec![record(10)]).wait().unwrap(), 1);
    drop(log);
    for (index, commit) in waiting.into_iter().enumerate() {
        assert_eq!(commit.wait().unwrap(), index as u64 + 2);
    }
}

#[test]
fn a_record_that_is_too_large_is_refused_and_harms_nobody() {
    let disk = SimDisk::new();
    let (log, _) = open(&disk).unwrap();
    let huge = vec![(1, vec![0; millpond_segments::MAX_PAYLOAD + 1])];
    assert!(matches!(log.append(huge).wait(), Err(LogError::TooLarge { .. })));
    append(&log, 1..3);
}

#[test]
fn the_forecast_follows_the_pace_of_the_newest_segments() {
    let disk = SimDisk::new();
    disk.set_capacity(Some(1_000_000));
    let options = Options { clock: || UnixMillis(1_000), ..options() };
    let (log, _) = Log::open(Arc::new(disk.clone()), Path::new(DIR), options).unwrap();
    append(&log, 1..5);
    let bytes = log.view().segments().map(|segment| segment.bytes).sum::<u64>();
    let half_a_day = UnixMillis(1_000 + 12 * 60 * 60 * 1000);
    let forecast = millpond_segments::Forecast::of(&log.view(), half_a_day, 10_000);
    assert_eq!(forecast.bytes_per_day, 2 * bytes);
    assert_eq!(forecast.days_left, Some(10_000 / (2 * bytes)));
    let idle = millpond_segments::Forecast::of(&log.view(), UnixMillis(1_000), 10_000);
    assert_eq!(idle.days_left, None);
}

/// The records of a segment with these indexes, as its marks give them.
fn range(view: &View, segment: &SegmentInfo, indexes: std::ops::Range<u64>) -> Result<Vec<u64>, LogError> {
    let marks = if segment.sealed.is_some() { view.footer(segment)?.1 } else { view.newest_marks().clone() };
    let mut found = Vec::new();
    view.read_range(segment, &marks, indexes, |read| -> Result<(), LogError> {
        assert_eq!(read.payload, record(read.index).1);
        found.push(read.index);
        Ok(())
    })?;
    Ok(found)
}

#[test]
fn any_part_of_a_segment_is_read_from_its_marks_while_it_is_written_sealed_and_found_again() {
    for mark_bytes in [1, 250, u64::MAX] {
        let disk = SimDisk::new();
        let options = Options { mark_bytes, ..options() };
        let open = || Log::open(Arc::new(disk.clone()), Path::new(DIR), options.clone()).unwrap().0;
        let log = open();
        append(&log, 1..30);
        let views = [
            log.view(),
            {
                drop(log);
                open().view()
            },
            View::open(Arc::new(disk.clone()), Path::new(DIR), "test").unwrap(),
        ];
        for view in views {
            view.verify().unwrap();
            for segment in view.segments() {
                for first in segment.first..=segment.next {
                    for next in segment.first..=segment.next {
                        let found = range(&view, segment, first..next).unwrap();
                        assert_eq!(found, (first..next).collect::<Vec<_>>(), "{first}..{next}");
                    }
                }
            }
        }
    }
}

#[test]
fn a_part_of_a_segment_is_read_without_the_rest_and_checked() {
    let disk = SimDisk::new();
    let (log, _) = open(&disk).unwrap();
    append(&log, 1..30);
    let view = log.view();
    let first = view.segments().next().unwrap();
    let path = Path::new(DIR).join(first.name());
    // What is damaged is told by the parts that hold it, and by no other.
    let records = first.first..first.next;
    let mut whole = 0;
    for damaged in [100, first.bytes / 2, first.bytes / 3 * 2] {
        disk.flip_bit(&path, damaged, 3).unwrap();
        let sound: Vec<_> = records.clone().filter(|at| range(&view, first, *at..at + 1).is_ok()).collect();
        assert!((1..records.clone().count()).contains(&sound.len()), "{sound:?} at {damaged}");
        assert!(range(&view, first, records.clone()).is_err());
        whole += sound.len();
        disk.flip_bit(&path, damaged, 3).unwrap();
    }
    assert!(whole > records.count());
}

/// Breaks down over one number, or when it is to sum up.
struct Brittle;

impl Owner for Brittle {
    type Item = u64;
    type Receipt = u64;

    fn weight(_: &u64) -> usize {
        8
    }

    fn encode(&mut self, items: Vec<u64>, group: &mut GroupBuilder) -> Vec<u64> {
        let push = |number: u64| {
            assert_ne!(number, 13, "a defect");
            group.push(1, &number.to_le_bytes())
        };
        items.into_iter().map(push).collect()
    }

    fn synced(&mut self) {}

    fn summary(&mut self) -> Vec<u8> {
        panic!("another defect");
    }

    fn sealed(&mut self, _: &SegmentInfo, _: &[u8]) -> Result<(), String> {
        Ok(())
    }

    fn preamble(&mut self, _: &mut GroupBuilder) {}

    fn recover(&mut self, _: RecordRef<'_>) -> Result<(), String> {
        Ok(())
    }
}

type Defect = fn(&GroupLog<Brittle>) -> Commit<u64>;

#[test]
fn nobody_waits_for_a_writer_that_broke_down() {
    let defects: [Defect; 2] = [|log| log.append_urgent(13), |log| log.roll()];
    for defect in defects {
        let options = Options { max_wait: Duration::from_secs(600), ..Options::new("test") };
        let disk = Arc::new(SimDisk::new());
        let (log, _) = GroupLog::open(disk, Path::new(DIR), options, Brittle).unwrap();
        assert_eq!(log.append_urgent(1).wait().unwrap(), 1);
        let queued = log.append(2);
        let poisoned = |outcome| matches!(outcome, Err(LogError::Poisoned(_)));
        assert!(poisoned(defect(&log).wait()), "what it broke down over");
        assert!(poisoned(queued.wait()), "what waited");
        assert!(poisoned(log.append(3).wait()), "what comes after");
        assert!(poisoned(log.append_urgent(4).wait()));
        assert!(log.poisoned().unwrap().contains("defect"));
    }
}

/// Carries much over into every segment.
struct Carrying;

const CARRIED: usize = 20_000;

impl Owner for Carrying {
    type Item = u64;
    type Receipt = u64;

    fn weight(_: &u64) -> usize {
        8
    }

    fn encode(&mut self, items: Vec<u64>, group: &mut GroupBuilder) -> Vec<u64> {
        items.into_iter().map(|number| group.push(1, &[number as u8; 500])).collect()
    }

    fn synced(&mut self) {}

    fn summary(&mut self) -> Vec<u8> {
        Vec::new()
    }

    fn sealed(&mut self, _: &SegmentInfo, _: &[u8]) -> Result<(), String> {
        Ok(())
    }

    fn preamble(&mut self, group: &mut GroupBuilder) {
        group.push(2, &[7; CARRIED]);
    }

    fn recover(&mut self, _: RecordRef<'_>) -> Result<(), String> {
        Ok(())
    }
}

#[test]
fn what_is_carried_over_is_a_quarter_of_a_log_at_most() {
    let disk = Arc::new(SimDisk::new());
    let (log, _) = GroupLog::open(disk, Path::new(DIR), options(), Carrying).unwrap();
    for number in 0..600 {
        log.append(number).wait().unwrap();
    }
    let segments: Vec<_> = log.view().segments().cloned().collect();
    let [sealed @ .., _] = segments.as_slice() else { panic!("no segment") };
    assert!(sealed.len() >= 3, "{sealed:?}");
    for segment in sealed {
        let carried = CARRIED as u64;
        assert!((4 * carried..5 * carried).contains(&segment.bytes), "{} bytes", segment.bytes);
    }
}
