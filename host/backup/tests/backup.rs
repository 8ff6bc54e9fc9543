//! What a backup holds while the pool runs on, what is refused, what a power cut leaves.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod common;

use common::{NOW, Pool, name};
use millpond_backup::{
    BackupError, FileEntry, MANIFEST, Made, RESTORED, backup, check_data, compared, drill, inspect, newest,
    pools, prune, restore, stamp, verify_data, whole,
};
use millpond_disk::{Disk, Keep, RealDisk, SimDisk};
use millpond_journal::JournalView;
use millpond_ledger::Reader;
use millpond_segments::{Log, Options, View};
use millpond_types::{Digest, ShareSeq, UnixMillis};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

fn real() -> Arc<dyn Disk> {
    Arc::new(RealDisk)
}

fn make(data: &Path, to: &Path, at: u64) -> Result<Made, BackupError> {
    backup(&real(), data, &pools(data)?, to, UnixMillis(NOW.0 + at), &mut |_| {})
}

/// A data folder at rest with some of everything, and a folder for backups.
fn filled() -> (tempfile::TempDir, std::path::PathBuf, std::path::PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let (data, to) = (folder.path().join("data"), folder.path().join("to"));
    let mut pool = Pool::open(real(), &data);
    for _ in 0..40 {
        pool.share();
        pool.income();
    }
    pool.solution(&data);
    drop(pool);
    (folder, data, to)
}

#[test]
fn backups_of_a_pool_that_runs_are_whole_and_go_on_where_they_were_made() {
    let folder = tempfile::tempdir().unwrap();
    let (data, to) = (folder.path().join("data"), folder.path().join("to"));
    let mut pool = Pool::open(real(), &data);
    pool.income();
    let stop = AtomicBool::new(false);
    let written = std::sync::atomic::AtomicU64::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                pool.share();
                pool.income();
                if written.fetch_add(1, Ordering::Relaxed) % 16 == 7 {
                    pool.solution(&data);
                }
            }
        });
        for round in 0..12 {
            let before = written.load(Ordering::Relaxed);
            let made = make(&data, &to, round).unwrap();
            // The next one has something new.
            while written.load(Ordering::Relaxed) < before + 3 {
                std::thread::yield_now();
            }
            assert_eq!(inspect(&RealDisk, &made.path).unwrap(), made.manifest);
        }
        stop.store(true, Ordering::Relaxed);
    });
    let all = whole(&to).unwrap();
    assert_eq!(all.len(), 12);
    let mut heads = Vec::new();
    for kept in &all {
        let back = folder.path().join("back").join(kept.path.file_name().unwrap());
        let reports = restore(&kept.path, &back, NOW, &mut |_| {}).unwrap();
        assert!(reports[0].totals.conserved);
        heads.push(reports[0].heads.ledger.seq);
        // A pool starts on it and goes on.
        let mut again = Pool::open(real(), &back);
        again.income();
        assert_eq!(again.ledger.head().seq, reports[0].heads.ledger.seq + 2);
    }
    heads.reverse();
    assert!(heads.is_sorted() && heads.first() < heads.last(), "{heads:?}");
}

#[test]
fn a_backup_survives_retention_that_drops_segments_under_it() {
    let folder = tempfile::tempdir().unwrap();
    let (data, to) = (folder.path().join("data"), folder.path().join("to"));
    let mut pool = Pool::open(real(), &data);
    pool.income();
    let stop = AtomicBool::new(false);
    let (mut good, mut moving) = (0, 0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                for _ in 0..20 {
                    pool.share();
                }
                let newest = pool.journal.view().newest();
                pool.journal.drop_before(ShareSeq(newest.0.saturating_sub(100))).unwrap();
            }
        });
        for round in 0..20 {
            match make(&data, &to, round) {
                Ok(_) => good += 1,
                Err(BackupError::Moving(..)) => moving += 1,
                Err(other) => panic!("{other}"),
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert_eq!(whole(&to).unwrap().len(), good, "{moving} times segments went faster than they were copied");
    assert!(good > 0);
    let kept = newest(&to).unwrap().unwrap();
    assert!(drill(&kept.path, folder.path(), NOW, &mut |_| {}).is_ok());
}

#[test]
fn a_restored_folder_has_the_same_bytes_and_says_where_it_is_from() {
    let (folder, data, to) = filled();
    let made = make(&data, &to, 0).unwrap();
    let back = folder.path().join("back");
    assert!(check_data(&data).unwrap().is_none());
    let reports = restore(&made.path, &back, UnixMillis(NOW.0 + 5), &mut |_| {}).unwrap();
    assert_eq!(reports[0].heads, made.manifest.pools[0]);
    assert_eq!(reports[0].totals.income, 40 * 50);
    for file in &made.manifest.files {
        assert_eq!(
            std::fs::read(data.join(&file.path)).unwrap(),
            std::fs::read(back.join(&file.path)).unwrap()
        );
    }
    assert!(made.manifest.files.iter().any(|file| file.path == "btc/adapter-state"));
    assert!(made.manifest.files.iter().any(|file| file.path.starts_with("btc/solutions/")));
    let note = check_data(&back).unwrap().unwrap();
    assert_eq!((note.from, note.made), (made.path, NOW));
    assert!(!back.join("btc/proofs").exists(), "no head was published");
    // The note is not carried into the next backup.
    let again = make(&back, &to, 1).unwrap();
    assert!(again.manifest.files.iter().all(|file| file.path != RESTORED));
}

#[test]
fn tokens_and_a_pools_own_key_are_in_no_backup_and_an_older_versions_are_not_restored() {
    let (folder, data, to) = filled();
    let stay = ["tokens.json", "tokens.lock", "btc/pool-key", "btc/statement-key", "btc/statement-key.0a1b"];
    for path in stay {
        std::fs::write(data.join(path), b"[]").unwrap();
    }
    let made = make(&data, &to, 0).unwrap();
    for file in &made.manifest.files {
        assert!(!stay.contains(&file.path.as_str()), "{}", file.path);
    }
    // As a version that carried them off left it.
    let mut older = made.manifest.clone();
    for path in ["tokens.json", "btc/pool-key"] {
        std::fs::write(made.path.join(path), b"[]").unwrap();
        older.files.push(FileEntry { path: path.to_owned(), bytes: 2, blake3: Digest::of(b"[]") });
    }
    older.files.sort_by(|a, b| a.path.cmp(&b.path));
    older.seal = Digest::default();
    older.seal = Digest::of(&serde_json::to_vec(&older).unwrap());
    std::fs::write(made.path.join(MANIFEST), serde_json::to_vec(&older).unwrap()).unwrap();
    let back = folder.path().join("back");
    restore(&made.path, &back, NOW, &mut |_| {}).unwrap();
    assert!(!back.join("tokens.json").exists() && !back.join("btc/pool-key").exists());
    assert!(back.join("btc/adapter-state").exists());
    drill(&made.path, folder.path(), NOW, &mut |_| {}).unwrap();
}

#[test]
fn what_miners_can_check_is_in_a_backup_and_comes_back() {
    let (folder, data, to) = filled();
    let logs = [("proofs/heads", "millpond-heads"), ("proofs/evidence", "millpond-proof")];
    for (log, format) in logs {
        let (log, _) = Log::open(real(), &data.join("btc").join(log), Options::new(format)).unwrap();
        for text in [b"one", b"two"] {
            log.append(vec![(1, text.to_vec())]).wait().unwrap();
        }
    }
    let made = make(&data, &to, 0).unwrap();
    let back = folder.path().join("back");
    restore(&made.path, &back, NOW, &mut |_| {}).unwrap();
    for (log, format) in logs {
        let view = View::open(real(), &back.join("btc").join(log), format).unwrap();
        let records: Vec<_> = view.iter(1).map(|record| record.unwrap().payload).collect();
        assert_eq!(records, [b"one", b"two"], "{log}");
    }
    assert!(
        back.join("btc/proofs/held").exists(),
        "nothing is signed before the pool is told of later heads"
    );
    drill(&made.path, folder.path(), NOW, &mut |_| {}).unwrap();
}

#[test]
fn the_note_of_a_restore_names_who_was_compared_and_goes_with_the_last() {
    let (folder, data, to) = filled();
    let made = make(&data, &to, 0).unwrap();
    let back = folder.path().join("back");
    restore(&made.path, &back, NOW, &mut |_| {}).unwrap();
    assert!(check_data(&back).unwrap().unwrap().compared.is_empty());
    // Another pool of the folder, whether it runs or not.
    let other = millpond_types::PoolName::try_from("other".to_owned()).unwrap();
    std::fs::create_dir_all(back.join("other/ledger")).unwrap();
    compared(&back, &name()).unwrap();
    assert_eq!(check_data(&back).unwrap().unwrap().compared.into_iter().collect::<Vec<_>>(), [name()]);
    compared(&back, &other).unwrap();
    assert_eq!(check_data(&back).unwrap(), None);
    compared(&back, &name()).unwrap();
}

#[test]
fn a_flipped_bit_anywhere_in_a_backup_is_refused() {
    let (folder, data, to) = filled();
    let made = make(&data, &to, 0).unwrap();
    let back = folder.path().join("back");
    let mut tried = 0;
    for file in &made.manifest.files {
        let path = made.path.join(&file.path);
        let bytes = std::fs::read(&path).unwrap();
        // Every file, at a dozen places.
        for place in 0..12 {
            let at = (bytes.len() - 1) * place / 11;
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << (place % 8);
            std::fs::write(&path, &flipped).unwrap();
            let refused = restore(&made.path, &back, NOW, &mut |_| {}).unwrap_err();
            assert!(matches!(refused, BackupError::Damaged { .. }), "{}: {refused}", file.path);
            assert_eq!(std::fs::read_dir(&back).unwrap().count(), 0, "something was left in the target");
            tried += 1;
        }
        std::fs::write(&path, &bytes).unwrap();
    }
    assert!(tried > 100);
    let lost = made.path.join(&made.manifest.files[0].path);
    std::fs::rename(&lost, lost.with_extension("x")).unwrap();
    assert!(restore(&made.path, &back, NOW, &mut |_| {}).is_err());
    std::fs::rename(lost.with_extension("x"), &lost).unwrap();
    restore(&made.path, &back, NOW, &mut |_| {}).unwrap();
}

#[test]
fn a_ledger_that_is_ahead_of_its_journal_is_not_backed_up() {
    let (_folder, data, to) = filled();
    // An older journal under a newer ledger, as a wrong order of copies would leave it.
    let old = make(&data, &to, 0).unwrap();
    let mut pool = Pool::open(real(), &data);
    pool.income();
    drop(pool);
    let journal = data.join("btc/journal");
    std::fs::remove_dir_all(&journal).unwrap();
    std::fs::rename(old.path.join("btc/journal"), &journal).unwrap();
    let refused = make(&data, &to, 1).unwrap_err().to_string();
    assert!(refused.contains("income-allocated") && refused.contains("follows from nothing"), "{refused}");
    assert_eq!(whole(&to).unwrap().len(), 1);
}

#[test]
fn a_component_that_decided_has_to_be_in_the_backup() {
    let (_folder, data, to) = filled();
    let plugins = data.join("btc/plugins");
    std::fs::remove_dir_all(&plugins).unwrap();
    let refused = make(&data, &to, 0).unwrap_err().to_string();
    assert!(refused.contains("is not in plugins/"), "{refused}");
}

#[test]
fn a_lost_ledger_is_an_error_and_not_a_smaller_backup() {
    let (_folder, data, to) = filled();
    std::fs::remove_dir_all(data.join("btc/ledger")).unwrap();
    assert!(make(&data, &to, 0).unwrap_err().to_string().contains("ledger"));
    let empty = tempfile::tempdir().unwrap();
    assert!(matches!(make(empty.path(), &to, 1), Err(BackupError::NoPool(_))));
}

#[test]
fn a_restore_overwrites_nothing_and_an_interrupted_one_is_told() {
    let (folder, data, to) = filled();
    let made = make(&data, &to, 0).unwrap();
    assert!(matches!(restore(&made.path, &data, NOW, &mut |_| {}), Err(BackupError::NotEmpty(_))));
    let back = folder.path().join("back");
    std::fs::create_dir_all(back.join("restoring/btc")).unwrap();
    assert!(matches!(restore(&made.path, &back, NOW, &mut |_| {}), Err(BackupError::HalfRestored(_))));
    assert!(matches!(check_data(&back), Err(BackupError::HalfRestored(_))));
}

#[test]
fn a_drill_leaves_nothing_behind_and_knows_the_balances() {
    let (folder, data, to) = filled();
    let made = make(&data, &to, 0).unwrap();
    let drilled = drill(&made.path, folder.path(), NOW, &mut |_| {}).unwrap();
    assert_eq!((drilled.pools[0].totals.payable, drilled.pools[0].totals.conserved), (2000, true));
    let place = drilled.data().to_owned();
    let (view, _) = JournalView::open(real(), &place.join("btc/journal")).unwrap();
    assert_eq!(view.newest(), made.manifest.pools[0].journal.share);
    drop(drilled);
    assert!(!place.exists());
}

#[test]
fn the_newest_are_kept_and_what_is_not_ours_is_left_alone() {
    let (_folder, data, to) = filled();
    let all: Vec<_> = (0..4).map(|at| make(&data, &to, at * 1000).unwrap().path).collect();
    std::fs::create_dir(to.join("notes")).unwrap();
    // One that was interrupted between others, and one that may be in the making.
    let (old, young) = (to.join(stamp(UnixMillis(NOW.0 + 2500))), to.join(stamp(UnixMillis(NOW.0 + 9000))));
    std::fs::create_dir(&old).unwrap();
    std::fs::create_dir(&young).unwrap();
    assert_eq!(newest(&to).unwrap().unwrap().path, all[3]);
    let mut removed = prune(&to, 2).unwrap();
    removed.sort();
    assert_eq!(removed, [all[0].clone(), all[1].clone(), old]);
    assert!(young.exists() && to.join("notes").exists());
    prune(&to, 0).unwrap();
    assert_eq!(whole(&to).unwrap().len(), 1, "the last one is never removed");
}

#[test]
fn two_backups_at_once_do_not_mix() {
    let (_folder, data, to) = filled();
    std::fs::create_dir(&to).unwrap();
    let _held = RealDisk.lock(&to.join("lock")).unwrap();
    let refused = make(&data, &to, 0).unwrap_err().to_string();
    assert!(refused.contains("lock"), "{refused}");
}

/// The power is cut at every operation of a backup in turn. Whatever is found then is no backup, or a whole one.
#[test]
fn a_backup_that_power_loss_interrupts_is_never_taken_for_a_whole_one() {
    let (data, to) = (Path::new("/data"), Path::new("/to"));
    let filled = || {
        let sim = SimDisk::new();
        let mut pool = Pool::open(Arc::new(sim.clone()), data);
        for _ in 0..8 {
            pool.share();
            pool.income();
        }
        pool.solution(data);
        drop(pool);
        sim
    };
    let backed = |sim: &SimDisk| {
        let disk: Arc<dyn Disk> = Arc::new(sim.clone());
        backup(&disk, data, &[name()], to, NOW, &mut |_| {})
    };
    let sim = filled();
    let before = sim.operations();
    backed(&sim).unwrap();
    let operations = sim.operations() - before;
    let (mut unfinished, mut found) = (0, 0);
    for cut in 0..=operations {
        let keep = [Keep::Nothing, Keep::RandomSubset, Keep::Everything][usize::try_from(cut % 3).unwrap()];
        let sim = filled();
        sim.cut_at(cut, cut, keep);
        let told = backed(&sim).is_ok();
        if !sim.is_off() {
            sim.cut(cut, keep);
        }
        sim.power_on();
        let disk: Arc<dyn Disk> = Arc::new(sim.clone());
        let folder = to.join(stamp(NOW));
        match inspect(&sim, &folder) {
            Ok(manifest) => {
                found += 1;
                let reports = verify_data(&disk, &folder, &[name()], &mut |_| {}).unwrap();
                assert_eq!(reports[0].heads, manifest.pools[0], "cut {cut}");
                for file in &manifest.files {
                    let bytes = millpond_disk::read_file(&sim, &folder.join(&file.path)).unwrap();
                    assert_eq!(millpond_types::Digest::of(&bytes), file.blake3, "cut {cut}: {}", file.path);
                }
            }
            Err(BackupError::Unfinished(_)) => {
                unfinished += 1;
                assert!(!told, "cut {cut}: a backup that was told as made is not there");
            }
            Err(other) => panic!("cut {cut}: {other}"),
        }
        // The pool itself is untouched.
        Reader::open(Arc::clone(&disk), &data.join("btc/ledger")).unwrap().verify().unwrap();
    }
    assert!(unfinished > 20 && found > 0, "{unfinished} {found}");
}
