//! The schedule: when a backup is made, who hears of it, when it is too old.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod common;

use common::{NOW, Pool};
use millpond_alerts::{Alarms, Level};
use millpond_backup::{HookError, Plan, Watch, newest, run_hook, stamp, start, whole};
use millpond_disk::RealDisk;
use millpond_types::UnixMillis;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

const HOUR: u64 = 3_600_000;

fn later(ms: u64) -> UnixMillis {
    UnixMillis(NOW.0 + ms)
}

fn planned(folder: &Path) -> Plan {
    let data = folder.join("data");
    drop(Pool::open(Arc::new(RealDisk), &data));
    Plan {
        data,
        to: folder.join("to"),
        every: Duration::from_secs(6 * 3600),
        keep: 2,
        then: None,
        patience: Duration::from_secs(90),
        stale_after: Duration::from_secs(24 * 3600),
    }
}

fn script(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}

#[test]
fn a_backup_is_made_when_one_is_due_and_old_ones_go() {
    let folder = tempfile::tempdir().unwrap();
    let (plan, alarms) = (planned(folder.path()), Alarms::quiet());
    let mut watch = Watch::new(NOW);
    watch.look(&plan, NOW, &alarms);
    assert_eq!(whole(&plan.to).unwrap().len(), 1);
    watch.look(&plan, later(5 * HOUR), &alarms);
    assert_eq!(newest(&plan.to).unwrap().unwrap().made, NOW);
    for hours in [6, 12, 18] {
        watch.look(&plan, later(hours * HOUR), &alarms);
        assert_eq!(newest(&plan.to).unwrap().unwrap().made, later(hours * HOUR), "{:?}", alarms.list());
    }
    assert_eq!(whole(&plan.to).unwrap().len(), 2);
    assert!(alarms.list().is_empty());
}

#[test]
fn the_operator_hears_of_a_failed_and_of_a_stale_backup_until_one_succeeds() {
    let folder = tempfile::tempdir().unwrap();
    let (plan, alarms) = (planned(folder.path()), Alarms::quiet());
    let ledger = plan.data.join("btc/ledger");
    let aside = folder.path().join("aside");
    std::fs::rename(&ledger, &aside).unwrap();
    let mut watch = Watch::new(NOW);
    watch.look(&plan, NOW, &alarms);
    assert_eq!(alarms.list().len(), 1);
    assert!(alarms.list()[0].text.contains("no backup was written"), "{:?}", alarms.list());
    watch.look(&plan, later(25 * HOUR), &alarms);
    assert!(alarms.list().iter().any(|alarm| alarm.level == Level::Critical && alarm.about == "backup"));
    std::fs::rename(&aside, &ledger).unwrap();
    watch.look(&plan, later(26 * HOUR), &alarms);
    assert!(alarms.list().is_empty(), "{:?}", alarms.list());
}

#[test]
fn a_program_gets_the_path_and_its_failure_leaves_the_backup_whole() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let good = script(
        folder.path(),
        "good",
        &format!("test -f \"$1/manifest.json\" && echo \"$1\" > {}", out.display()),
    );
    let mut plan = Plan { then: Some(good), ..planned(folder.path()) };
    let alarms = Alarms::quiet();
    Watch::new(NOW).look(&plan, NOW, &alarms);
    let kept = newest(&plan.to).unwrap().unwrap();
    assert_eq!(std::fs::read_to_string(&out).unwrap().trim(), kept.path.to_str().unwrap());
    assert!(alarms.list().is_empty());
    plan.then = Some(script(folder.path(), "bad", "exit 3"));
    Watch::new(NOW).look(&plan, later(7 * HOUR), &alarms);
    assert_eq!(whole(&plan.to).unwrap().len(), 2);
    assert!(alarms.list()[0].text.contains("carried off"), "{:?}", alarms.list());
}

#[test]
fn an_old_backup_that_cannot_be_removed_is_told_and_the_new_one_is_whole_and_carried_off() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let carry = script(folder.path(), "carry", &format!("echo \"$1\" > {}", out.display()));
    let (plan, alarms) = (Plan { then: Some(carry), ..planned(folder.path()) }, Alarms::quiet());
    // What is left of an old one, in a way that it cannot be removed.
    std::fs::create_dir_all(plan.to.join(stamp(UnixMillis(NOW.0 - HOUR))).join("manifest.json")).unwrap();
    Watch::new(NOW).look(&plan, NOW, &alarms);
    let kept = newest(&plan.to).unwrap().unwrap();
    assert_eq!(
        (kept.made, std::fs::read_to_string(&out).unwrap().trim()),
        (NOW, kept.path.to_str().unwrap())
    );
    let told: Vec<_> = alarms.list().into_iter().map(|alarm| alarm.text).collect();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("a backup was written, and older ones were not removed"), "{told:?}");
}

#[test]
fn a_stop_does_not_wait_for_what_carries_a_backup_off_and_does_not_end_it() {
    let folder = tempfile::tempdir().unwrap();
    let (begun, go, out) = (folder.path().join("begun"), folder.path().join("go"), folder.path().join("out"));
    let text = format!(
        "touch {}; while [ ! -e {} ]; do sleep 0.02; done; touch {}",
        begun.display(),
        go.display(),
        out.display()
    );
    let carry = script(folder.path(), "carry", &text);
    let plan = Plan { then: Some(carry), patience: Duration::from_secs(600), ..planned(folder.path()) };
    let alarms = Alarms::quiet();
    let scheduled = start(plan.clone(), alarms.clone()).unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    let until = |path: &Path| {
        while !path.exists() {
            assert!(Instant::now() < deadline, "{} does not come", path.display());
            std::thread::sleep(Duration::from_millis(5));
        }
    };
    until(&begun);
    // It would be waited for until it may go on, which is later.
    drop(scheduled);
    assert!(newest(&plan.to).unwrap().is_some());
    assert!(alarms.list().is_empty(), "{:?}", alarms.list());
    std::fs::write(&go, "").unwrap();
    until(&out);
}

#[test]
fn a_program_that_hangs_is_ended() {
    let folder = tempfile::tempdir().unwrap();
    let slow = script(folder.path(), "slow", "exec sleep 600");
    let begun = Instant::now();
    let told =
        run_hook(&slow, folder.path(), Duration::from_millis(50), &AtomicBool::new(false)).unwrap_err();
    assert!(matches!(told, HookError::Late(..)), "{told}");
    assert!(begun.elapsed() < Duration::from_secs(300), "it was waited for");
    let none = run_hook(
        Path::new("/no/such/program"),
        folder.path(),
        Duration::from_secs(1),
        &AtomicBool::new(false),
    )
    .unwrap_err();
    assert!(matches!(none, HookError::Start(..)), "{none}");
}

#[test]
fn a_schedule_makes_its_first_backup_at_once_and_ends_when_dropped() {
    let folder = tempfile::tempdir().unwrap();
    let plan = planned(folder.path());
    let scheduled = start(plan.clone(), Alarms::quiet()).unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    while newest(&plan.to).unwrap().is_none() {
        assert!(Instant::now() < deadline, "no backup was made");
        std::thread::yield_now();
    }
    drop(scheduled);
    assert_eq!(whole(&plan.to).unwrap().len(), 1);
}
