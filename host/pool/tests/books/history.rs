//! A history that an earlier version wrote replays for ever: its journal, its ledger and the components that decided stand
//! in `tests/data/0.1`, and every entry has to come out of them as it is there, with the digests of its time.
//!
//! Digests of arguments, results and settings are taken over forms of our own, so that a field more in one of our types
//! would change them: this is where that is seen before an operator sees it.

use crate::reversal::{round_of_both, turns};
use crate::support::{Pool, wanted};
use millpond_contracts::Setting;
use millpond_disk::{Disk, SimDisk, read_file, replace_file};
use millpond_journal::Record;
use millpond_ledger::Entry;
use millpond_pool::policy::Wanted;
use millpond_types::{Amount, UnixMillis};
use std::path::{Path, PathBuf};

/// Set, to a version's name: the history is written beside the others, and never over one.
const WRITE: &str = "MILLPOND_WRITE_HISTORY";
const FOLDERS: [&str; 3] = ["/journal", "/ledger", "/plugins"];

fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data")
}

/// The policies of the history, in their order.
fn policies() -> [Wanted; 5] {
    let carry = vec![
        ("unfilled".to_owned(), Setting::Text("carry".to_owned())),
        ("window".to_owned(), Setting::Int(1_500)),
    ];
    [
        wanted("pplns", carry, 100),
        Wanted { reserve: Amount(40_000_000_000), ..wanted("pps", Vec::new(), 250) },
        wanted("prop", Vec::new(), 50),
        wanted("solo", Vec::new(), 0),
        turns(),
    ]
}

/// A pool in which everything happens that is computed again: incomes and shares under five policies, carried units, fees,
/// a reserve, losses of each kind, a division again, a state that is kept and vouched for.
fn history() -> Pool {
    let [pplns, pps, prop, solo, turns] = policies();
    let mut pool = Pool::start(&pplns);
    let (a, b, c) = (pool.miner("a"), pool.miner("b"), pool.miner("c"));
    for (miner, work) in [(a, 123), (b, 77), (c, 1), (a, 456), (b, 789)] {
        pool.share(miner, work);
    }
    let first = pool.block(a, 5_000_000_001);
    pool.share(c, 999);
    let lost = pool.block(b, 4_999_999_999);
    pool.lose(&lost);
    pool.swap(&pps);
    let second = pool.block(c, 1_234_567_891);
    for (miner, work) in [(a, 3), (b, 500), (a, 17)] {
        pool.share(miner, work);
        pool.credit_shares();
    }
    let third = pool.block(a, 777_777_777);
    let kept = pool.block(c, 5_555);
    pool.lose(&kept);
    pool.journal.record(kept.clone()).wait().unwrap();
    pool.books.divide(&kept).unwrap();
    pool.swap(&prop);
    let fourth = pool.block(b, 10_000);
    for income in [&first, &second, &third, &kept, &fourth] {
        pool.mature(income);
    }
    let fifth = round_of_both(&mut pool, a, b, 8_000_000);
    let sixth = round_of_both(&mut pool, c, a, 9_000_001);
    pool.swap(&solo);
    let seventh = pool.block(c, 10_000_000);
    let mut pool = pool.restart(&turns);
    let eighth = pool.block(b, 11_000_000);
    pool.share(a, 10);
    let ninth = pool.block(a, 1_000);
    let tenth = round_of_both(&mut pool, a, b, 2_000);
    let eleventh = round_of_both(&mut pool, a, b, 4_000);
    for number in 0..1_024 {
        let (by, action) = ("operator".to_owned(), "looked".to_owned());
        let note = Entry::Noted { by, action, detail: number.to_string() };
        pool.ledger.append(UnixMillis(pool.clock), note).unwrap();
    }
    // The state is kept, and vouched for, at this start.
    let mut pool = pool.restart(&turns);
    pool.lose(&ninth);
    let last = round_of_both(&mut pool, a, b, 16_000);
    for income in [&fifth, &sixth, &seventh, &eighth, &tenth, &eleventh, &last] {
        pool.mature(income);
    }
    assert!(pool.ledger.totals().conserved);
    pool
}

fn copy(from: &dyn Disk, to: &dyn Disk, folder: &Path, into: &Path) {
    to.make_dir(into).unwrap();
    for name in from.list(folder).unwrap() {
        let bytes = read_file(from, &folder.join(&name)).unwrap();
        replace_file(to, &into.join(&name), &bytes).unwrap();
    }
}

/// A history of a version, on a disk of its own.
fn read(version: &str) -> SimDisk {
    let (disk, real) = (SimDisk::new(), millpond_disk::RealDisk);
    for folder in FOLDERS {
        let from = data().join(version).join(folder.trim_start_matches('/'));
        copy(&real, &disk, &from, Path::new(folder));
    }
    disk
}

fn versions() -> Vec<String> {
    let folders = std::fs::read_dir(data()).unwrap();
    let mut names: Vec<String> =
        folders.map(|folder| folder.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert!(names.contains(&"0.1".to_owned()), "{names:?}");
    names
}

#[test]
fn histories_of_earlier_versions_replay() {
    for version in versions() {
        let disk = read(&version);
        let replayed = crate::support::replay_of(&disk).unwrap();
        assert!(replayed.incomes >= 15 && replayed.batches >= 3 && replayed.calls >= 40, "{replayed:?}");
        assert_eq!(replayed.taken, 0, "{replayed:?}");
    }
}

#[test]
fn one_bit_of_a_history_that_is_another_does_not_replay() {
    for version in versions() {
        // A bit in the middle of each file that is not a component which decided nothing.
        for folder in ["/journal", "/ledger"] {
            let disk = read(&version);
            let names = disk.list(Path::new(folder)).unwrap();
            let name = names.iter().find(|name| name.ends_with(".seg")).unwrap();
            let path = Path::new(folder).join(name);
            let middle = read_file(&disk, &path).unwrap().len() as u64 / 2;
            disk.flip_bit(&path, middle, 2).unwrap();
            assert!(crate::support::replay_of(&disk).is_err(), "{version}: {}", path.display());
        }
    }
}

/// Settings that are the same have the digest of before: otherwise each pool would swap its policy at an upgrade.
#[test]
fn the_policies_of_a_history_are_recognised() {
    for version in versions() {
        let disk = read(&version);
        let view = crate::support::view_of(&disk);
        let mut recorded = Vec::new();
        for record in view.records(1) {
            if let Record::Policy(policy) = record.unwrap().record {
                recorded.push(policy);
            }
        }
        assert_eq!(recorded.len(), 5);
        for (there, now) in recorded.iter().zip(policies()) {
            let (scheme, fees) = (now.scheme_in_force(), now.fees_in_force());
            assert_eq!((there.scheme.config, &there.scheme.settings), (scheme.config, &scheme.settings));
            let configs = |fees: &[millpond_journal::PluginInForce]| {
                fees.iter().map(|fee| fee.config).collect::<Vec<_>>()
            };
            assert_eq!(configs(&there.fees), configs(&fees));
        }
    }
}

/// What this version writes replays too, and is written beside the others when that is asked for.
#[test]
fn the_history_that_this_version_writes_replays() {
    let pool = history();
    let replayed = pool.replay().unwrap();
    assert!(replayed.incomes >= 15 && replayed.batches >= 3, "{replayed:?}");
    let Ok(version) = std::env::var(WRITE) else { return };
    let into = data().join(version);
    assert!(!into.exists(), "{} is there: a history that was written stays as it is", into.display());
    std::fs::create_dir_all(&into).unwrap();
    for folder in FOLDERS {
        let to = into.join(folder.trim_start_matches('/'));
        copy(&pool.disk, &millpond_disk::RealDisk, Path::new(folder), &to);
    }
}
