//! Which jobs live, what their ids mean later, and what sessions learn of them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use bytes::Bytes;
use millpond_algorithms::Algorithms;
use millpond_jobs::{Found, HELD_MS, Job, JobTable, MIN_CAPACITY, Origin, PublishError, Seen};
use millpond_recipe::{JobStage, Recipe};
use millpond_types::{Amount, JobId, Target, UnixMillis, WorkShift};
use proptest::prelude::*;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

const DOCUMENT: &str =
    "recipe 1 \"plain\"\nconst start:4\nshare xn:8\npow = sha256 (cat start xn)\njudge be pow | id pow";

fn stage() -> Arc<JobStage> {
    Recipe::compile("plain", DOCUMENT, &Algorithms::native()).unwrap().job(&[[1, 2, 3, 4]]).unwrap()
}

fn job(id: u64, parent: &'static str, coord: u64) -> Job {
    Job {
        id: JobId(id),
        recipe: 0,
        stage: stage(),
        network_target: Target::BITCOIN_DIFF1,
        coord,
        parent: Bytes::from_static(parent.as_bytes()),
        reward: Amount(50),
        subsidy: None,
        work_shift: WorkShift(16),
        outputs_revision: 0,
        aux_revision: 0,
        origin: Origin::default(),
        private: Bytes::new(),
        body: None,
        published_at: UnixMillis(1_000),
        expires_at: UnixMillis(601_000),
        suspended: AtomicBool::new(false),
    }
}

const NOW: UnixMillis = UnixMillis(2_000);

fn word(found: &Found) -> &'static str {
    match found {
        Found::Live(_) => "live",
        Found::Stale(_) => "stale",
        Found::Expired(_) => "expired",
        Found::Forgotten => "forgotten",
        Found::Unknown => "unknown",
    }
}

#[test]
fn a_new_parent_makes_earlier_jobs_stale_and_they_can_still_be_found() {
    let table = JobTable::default();
    table.publish(job(1, "a", 10)).unwrap();
    table.publish(job(2, "a", 10)).unwrap();
    assert_eq!(word(&table.lookup(JobId(1), NOW)), "live");
    table.publish(job(3, "b", 11)).unwrap();
    for (id, expected) in [(1, "stale"), (2, "stale"), (3, "live"), (4, "unknown"), (0, "unknown")] {
        assert_eq!(word(&table.lookup(JobId(id), NOW)), expected, "job {id}");
    }
    let Found::Stale(stale) = table.lookup(JobId(1), NOW) else { panic!() };
    assert_eq!(stale.coord, 10, "a solution of a stale job is still submitted, so the job is there");
}

#[test]
fn a_tip_without_a_new_job_makes_the_current_job_stale_and_the_next_job_clean() {
    let table = JobTable::default();
    let mut feed = table.subscribe();
    table.publish(job(1, "a", 10)).unwrap();
    assert!(feed.try_next().unwrap().clean);
    table.publish(job(2, "a", 10)).unwrap();
    assert!(!feed.try_next().unwrap().clean);
    assert!(table.tip(b"b"));
    assert!(!table.tip(b"b"), "the second word of the same tip changes nothing");
    assert_eq!(word(&table.lookup(JobId(2), NOW)), "stale");
    assert!(feed.try_next().is_none(), "a tip alone sends no work");
    table.publish(job(3, "b", 11)).unwrap();
    assert!(feed.try_next().unwrap().clean);
}

#[test]
fn a_slow_session_skips_jobs_and_misses_no_clean() {
    let table = JobTable::default();
    let mut feed = table.subscribe();
    table.publish(job(1, "a", 10)).unwrap();
    feed.try_next().unwrap();
    table.publish(job(2, "b", 11)).unwrap();
    table.publish(job(3, "b", 11)).unwrap();
    let notice = feed.try_next().unwrap();
    assert_eq!(notice.job.id, JobId(3));
    assert!(notice.clean, "job 3 is on the same parent as job 2, which the session never saw");
    assert!(feed.try_next().is_none());
}

#[test]
fn a_session_that_comes_late_gets_the_current_job_at_once() {
    let table = JobTable::default();
    table.publish(job(1, "a", 10)).unwrap();
    let mut feed = table.subscribe();
    let notice = feed.try_next().unwrap();
    assert_eq!((notice.job.id, notice.clean), (JobId(1), true));
}

#[test]
fn a_reorganisation_back_to_a_parent_makes_its_jobs_live_again() {
    let table = JobTable::default();
    table.publish(job(1, "a", 10)).unwrap();
    table.tip(b"b");
    table.tip(b"a");
    assert_eq!(word(&table.lookup(JobId(1), NOW)), "live");
}

#[test]
fn a_full_table_forgets_the_oldest_and_remembers_that_it_was_issued() {
    let table = JobTable::new(1);
    for id in 1..=20 {
        table.publish(job(id, "a", 10)).unwrap();
    }
    assert_eq!(table.all().len(), MIN_CAPACITY);
    assert_eq!(word(&table.lookup(JobId(4), NOW)), "forgotten");
    assert_eq!(word(&table.lookup(JobId(5), NOW)), "live");
    assert_eq!(word(&table.lookup(JobId(21), NOW)), "unknown");
}

#[test]
fn a_job_ends_with_its_time_and_the_current_one_too() {
    let table = JobTable::default();
    let held = table.publish(job(1, "a", 10)).unwrap();
    let late = UnixMillis(601_000);
    assert_eq!(word(&table.lookup(JobId(1), late)), "expired");
    assert!(table.expire(NOW).is_none());
    let ended = table.expire(late).unwrap();
    assert!(Arc::ptr_eq(&ended, &held));
    assert!(table.current().is_none());
    assert!(table.expire(late).is_none(), "it ends once");
    table.publish(Job { expires_at: UnixMillis(900_000), ..job(2, "a", 10) }).unwrap();
    assert!(table.expire(late).is_none(), "a newer job is current");
}

#[test]
fn an_expired_job_is_held_for_its_solutions_and_forgotten_after_that() {
    let table = JobTable::default();
    table.publish(job(1, "a", 10)).unwrap();
    let last = UnixMillis(601_000 + HELD_MS - 1);
    table.expire(last);
    let Found::Expired(held) = table.lookup(JobId(1), last) else { panic!() };
    assert_eq!(held.coord, 10, "a solution of it is still submitted, so the job is there");
    let over = UnixMillis(last.0 + 1);
    table.expire(over);
    assert_eq!(word(&table.lookup(JobId(1), over)), "forgotten");
}

#[test]
fn ids_ascend_also_over_a_restart() {
    let table = JobTable::default();
    table.resume_after(JobId(7));
    assert_eq!(word(&table.lookup(JobId(7), NOW)), "forgotten", "issued by the process before this one");
    let error = table.publish(job(7, "a", 10)).unwrap_err();
    assert_eq!(error, PublishError::Order { given: JobId(7), last: JobId(7) });
    table.publish(job(8, "a", 10)).unwrap();
    let over = Job { expires_at: UnixMillis(1_000), ..job(9, "a", 10) };
    assert_eq!(table.publish(over).unwrap_err(), PublishError::Expired(JobId(9)));
}

#[test]
fn a_job_is_found_by_what_its_registers_hold() {
    let table = JobTable::default();
    table.publish(job(1, "a", 10)).unwrap();
    table.publish(job(2, "a", 11)).unwrap();
    let by_start = |wanted: &[u8]| table.find(NOW, |job| job.stage.register("start") == Some(wanted));
    let Found::Live(found) = by_start(&[1, 2, 3, 4]) else { panic!() };
    assert_eq!(found.id, JobId(2), "the newest");
    assert_eq!(word(&by_start(&[9])), "unknown");
}

#[test]
fn credit_is_suspended_once_and_the_job_stays() {
    let table = JobTable::default();
    let job = table.publish(job(1, "a", 10)).unwrap();
    assert!(!job.is_suspended());
    assert!(job.suspend());
    assert!(!job.suspend());
    let Found::Live(same) = table.lookup(JobId(1), NOW) else { panic!() };
    assert!(same.is_suspended());
    assert_eq!(same.network_work().0, 0x1_0001);
}

#[test]
fn a_share_counts_once_until_its_coordinate_is_dropped() {
    let seen = Seen::new();
    assert!(seen.insert(10, [1; 32]));
    assert!(!seen.insert(10, [1; 32]));
    assert!(seen.insert(11, [2; 32]));
    seen.remove(10, &[1; 32]);
    assert!(seen.insert(10, [1; 32]), "a share that was not made durable may be sent again");
    seen.reload([(12, [3; 32]), (12, [3; 32])]);
    assert_eq!(seen.len(), 3);
    assert_eq!(seen.drop_below(12), 2);
    assert!(seen.contains(12, &[3; 32]) && !seen.contains(11, &[2; 32]));
    assert!(!seen.is_empty());
}

#[test]
fn ids_are_kept_as_long_as_a_job_of_their_coordinate() {
    let table = JobTable::default();
    assert_eq!(table.lowest_coord(), None);
    table.publish(job(1, "a", 12)).unwrap();
    table.publish(job(2, "b", 11)).unwrap();
    assert_eq!(table.lowest_coord(), Some(11), "a reorganisation can lower the coordinate");
}

proptest! {
    #[test]
    fn what_the_table_says_of_an_id_agrees_with_what_was_published(
        steps in proptest::collection::vec((0_usize..3, 1_u64..4, any::<bool>()), 1..60)
    ) {
        const PARENTS: [&str; 3] = ["a", "b", "c"];
        let table = JobTable::default();
        let (mut id, mut tip, mut published) = (0, "", Vec::new());
        for (parent, gap, only_tip) in steps {
            tip = PARENTS[parent];
            if only_tip {
                table.tip(tip.as_bytes());
            } else {
                id += gap;
                table.publish(job(id, tip, 1)).unwrap();
                published.push((id, tip));
            }
        }
        for (each, parent) in &published {
            prop_assert_eq!(word(&table.lookup(JobId(*each), NOW)), if *parent == tip { "live" } else { "stale" });
        }
        for each in 1..=id {
            if published.iter().all(|(p, _)| *p != each) {
                prop_assert_eq!(word(&table.lookup(JobId(each), NOW)), "forgotten");
            }
        }
        prop_assert_eq!(word(&table.lookup(JobId(id + 1), NOW)), "unknown");
        prop_assert_eq!(table.current().map(|job| job.id.0), published.last().map(|last| last.0));
    }
}

proptest! {
    #[test]
    fn an_id_is_remembered_whatever_zeros_its_hash_has(
        ids in proptest::collection::hash_set((any::<[u8; 16]>(), any::<[u8; 16]>(), 0_usize..3), 1..40),
    ) {
        // As hashes that meet a target stand in memory: zeros at the end, at the beginning, or nowhere.
        let ids: std::collections::HashSet<[u8; 32]> = ids
            .into_iter()
            .map(|(a, b, zeros)| {
                let (a, b) = match zeros {
                    0 => ([0; 16], b),
                    1 => (a, [0; 16]),
                    _ => (a, b),
                };
                [a, b].concat().try_into().unwrap()
            })
            .collect();
        let seen = Seen::new();
        for (i, id) in ids.iter().enumerate() {
            let coord = i as u64 % 3;
            prop_assert!(!seen.contains(coord, id) && seen.insert(coord, *id));
            prop_assert!(seen.contains(coord, id) && !seen.insert(coord, *id));
            prop_assert!(!seen.contains(coord + 1, id), "another coordinate");
        }
        prop_assert_eq!(seen.len(), ids.len());
        prop_assert_eq!(seen.drop_below(3), ids.len());
        prop_assert!(seen.is_empty());
    }
}

#[test]
fn jobs_of_the_process_before_go_on_as_they_were_and_none_of_them_is_current() {
    let table = JobTable::default();
    table.resume_after(JobId(9));
    let suspended = job(8, "b", 101);
    assert!(suspended.suspend());
    table.take_over([(job(7, "a", 100), true), (suspended, false), (job(9, "b", 101), false)]);
    let found = |id| word(&table.lookup(JobId(id), NOW));
    assert_eq!([6, 7, 8, 9, 10].map(found), ["forgotten", "stale", "live", "live", "unknown"]);
    let is_suspended = |id| match table.lookup(JobId(id), NOW) {
        Found::Live(job) => job.is_suspended(),
        other => panic!("{other:?}"),
    };
    assert_eq!([8, 9].map(is_suspended), [true, false]);
    assert_eq!((table.current().map(|job| job.id), table.oldest()), (None, Some(JobId(7))));
    assert!(table.publish(job(9, "b", 101)).is_err(), "its id was given");
    // The tip is the one of before, and only another one makes them stale.
    table.publish(job(10, "b", 101)).unwrap();
    assert_eq!([7, 9].map(found), ["stale", "live"]);
    table.publish(job(11, "c", 102)).unwrap();
    assert_eq!([7, 9, 10].map(found), ["stale", "stale", "stale"]);
}
