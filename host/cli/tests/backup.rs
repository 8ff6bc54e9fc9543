//! Backup, restore, replay, luck and tokens as an operator meets them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use millpond_disk::{Disk, RealDisk};
use millpond_journal::{Journal, JournalView, Options, Share, Solution, WorkerId};
use millpond_ledger::Ledger;
use millpond_types::{Amount, Digest, JobId, MinerId, ShareSeq, UnixMillis, Work};
use std::path::Path;
use std::sync::Arc;
use support::{ended, json};

/// A pool with two miners: one did the work of five blocks and found none, the other of one and found one.
fn filled(data: &Path) {
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let folder = data.join("btc");
    disk.make_dir(&folder).unwrap();
    let journal =
        Journal::open(Arc::clone(&disk), &folder.join("journal"), Options::new("journal")).unwrap().0;
    drop(Ledger::open(disk, &folder.join("ledger")).unwrap());
    let thief = journal.miner(b"thief", "address of the thief").wait().unwrap();
    let honest = journal.miner(b"honest", "address of the honest").wait().unwrap();
    let share = |miner: MinerId, number: u64| Share {
        miner,
        worker: WorkerId(1),
        job: JobId(1),
        coord: 100,
        network_work: 1000,
        reward: Amount(50),
        subsidy: None,
        work: Work(100),
        time: UnixMillis(1_790_000_000_000 + number),
        id: Digest::of(&number.to_le_bytes()).0,
    };
    for number in 0..50 {
        journal.share(share(thief, number)).wait().unwrap();
    }
    for number in 50..59 {
        journal.share(share(honest, number)).wait().unwrap();
    }
    let last = share(honest, 59);
    let solution = Solution {
        block: vec![7; 32],
        job: last.job,
        miner: honest,
        worker: last.worker,
        share: None,
        end: ShareSeq(0),
        coord: last.coord,
        network_work: last.network_work,
        fields: vec![],
        results: vec![],
        private: None,
        time: last.time,
    };
    journal.solution(solution, Some(last)).wait().unwrap();
}

#[test]
fn a_backup_is_drilled_restored_and_replayed() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (data, to, back) = (path("data"), path("to"), path("back"));
    filled(Path::new(&data));
    let made = json(&["backup", "--data", &data, "--to", &to, "--json"]);
    let backup = made["path"].as_str().unwrap();
    assert_eq!(made["pools"][0]["journal"]["share"], 60);
    let drilled = json(&[
        "restore",
        backup,
        "--drill",
        "--within",
        folder.path().to_str().unwrap(),
        "--replay",
        "--json",
    ]);
    assert_eq!(drilled["pools"][0]["totals"]["conserved"], true);
    // The one entry: that a backup was ordered, recorded before it was taken.
    assert_eq!(drilled["replayed"][0]["replay"]["entries"], 1);
    assert!(ended(0, &["restore", backup, "--data", &back]).contains("restored.json"));
    assert!(ended(1, &["restore", backup, "--data", &back]).contains("is not empty"));
    let replayed = json(&["replay", "--data", &back, "--json"]);
    assert_eq!((replayed["same"].as_bool(), replayed["pool"].as_str()), (Some(true), Some("btc")));
    assert!(ended(2, &["replay", "--data", &back, "--pool", "ltc"]).contains("there are: btc"));
}

#[test]
fn a_damaged_backup_is_refused_and_leaves_the_target_empty() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (data, to, back) = (path("data"), path("to"), path("back"));
    filled(Path::new(&data));
    let made = json(&["backup", "--data", &data, "--to", &to, "--json"]);
    let backup = Path::new(made["path"].as_str().unwrap());
    let segment = backup.join("btc/journal/00000000000000000001.seg");
    let mut bytes = std::fs::read(&segment).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 4;
    std::fs::write(&segment, bytes).unwrap();
    let told = ended(1, &["restore", backup.to_str().unwrap(), "--data", &back]);
    assert!(told.contains("is damaged"), "{told}");
    assert_eq!(std::fs::read_dir(&back).unwrap().count(), 0);
    std::fs::remove_file(backup.join("manifest.json")).unwrap();
    assert!(ended(1, &["restore", "--drill", backup.to_str().unwrap()]).contains("not finished"));
}

#[test]
fn a_backup_goes_by_the_configuration_and_tells_when_it_was_not_carried_off() {
    let folder = tempfile::tempdir().unwrap();
    let (data, to) = (folder.path().join("data"), folder.path().join("to"));
    filled(&data);
    let file = folder.path().join("pool.toml");
    let text = format!(
        "[host]\ndata = {data:?}\n[backup]\nto = {to:?}\nkeep = 2\n[[pool]]\nname = \"btc\"\n[pool.chain]\n\
         payout_address = \"bc1q\"\n[pool.settlement]\nschedule = \"manual\"\n[[pool.node]]\nurl = \"http://127.0.0.1:1\"\n[[pool.port]]\nlisten = \
         \"127.0.0.1:3333\"\n[pool.payout]\n"
    );
    std::fs::write(&file, text).unwrap();
    let file = file.to_str().unwrap();
    for _ in 0..3 {
        ended(0, &["backup", file]);
    }
    let kept =
        std::fs::read_dir(&to).unwrap().filter(|entry| entry.as_ref().unwrap().path().is_dir()).count();
    assert_eq!(kept, 2);
    let told = ended(1, &["backup", file, "--then", "/no/such/program"]);
    assert!(told.contains("cannot be started"), "{told}");
    assert!(ended(2, &["backup"]).contains("Usage"));
}

#[test]
fn the_miner_who_withholds_blocks_stands_first() {
    let folder = tempfile::tempdir().unwrap();
    filled(folder.path());
    let data = folder.path().to_str().unwrap();
    let luck = json(&["luck", "--data", data, "--json"]);
    let miners = luck["miners"].as_array().unwrap();
    let row = |index: usize, name: &str| miners[index][name].as_f64().unwrap();
    assert_eq!(miners[0]["address"], "address of the thief");
    // e^-5: the work of five blocks without one.
    assert!((row(0, "expected") - 5.0).abs() < 1e-9 && row(0, "found") == 0.0, "{luck}");
    assert!((row(0, "at_most") - (-5.0_f64).exp()).abs() < 1e-9, "{luck}");
    assert!((row(1, "expected") - 1.0).abs() < 1e-9 && row(1, "found") == 1.0, "{luck}");
    assert!(ended(0, &["luck", "--data", data]).contains("address of the honest"));
}

#[test]
fn a_token_is_shown_once_and_can_be_revoked() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_str().unwrap();
    let token = ended(0, &["token", "make", "alice", "operate", "--data", data]);
    assert_eq!(token.trim().len(), 64);
    let stored = std::fs::read_to_string(folder.path().join("tokens.json")).unwrap();
    assert!(!stored.contains(token.trim()));
    assert_eq!(ended(0, &["token", "list", "--data", data]), "alice operate\n");
    assert!(ended(1, &["token", "make", "alice", "money", "--data", data]).contains("already"));
    assert!(ended(2, &["token", "make", "bob", "root", "--data", data]).contains("read, operate or money"));
    ended(0, &["token", "revoke", "alice", "--data", data]);
    assert!(ended(1, &["token", "revoke", "alice", "--data", data]).contains("no token"));
    assert!(ended(2, &["token", "list", "--data", "/no/such/folder"]).contains("--data"));
}

#[test]
fn replay_needs_raw_records_alone_and_one_flipped_bit_in_an_old_share_makes_it_fail() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let path = data.to_str().unwrap();
    ended(0, &["demo", "--blocks", "2", "--json", "--data", path]);
    let pools: Vec<_> = std::fs::read_dir(&data)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.join("journal").is_dir())
        .collect();
    let [pool] = pools.as_slice() else { panic!("{pools:?}") };
    // What can be made again is gone.
    for derived in [pool.join("index"), data.join("cache")] {
        assert!(derived.is_dir(), "{}", derived.display());
        std::fs::remove_dir_all(derived).unwrap();
    }
    let first = json(&["replay", "--data", path, "--json"]);
    assert_eq!(first["same"], true, "{first}");
    assert!(first["replay"]["incomes"].as_u64().unwrap() >= 2, "{first}");
    assert_eq!(json(&["replay", "--data", path, "--json"]), first, "a replay says the same every time");

    // The first share of all, whose id stands in its segment as it is.
    let (view, _) = JournalView::open(Arc::new(RealDisk), &pool.join("journal")).unwrap();
    let id = view.share(ShareSeq(1)).unwrap().unwrap().id;
    drop(view);
    let mut segments: Vec<_> =
        std::fs::read_dir(pool.join("journal")).unwrap().map(|entry| entry.unwrap().path()).collect();
    segments.sort();
    let (file, at) = segments
        .iter()
        .find_map(|file| {
            let bytes = std::fs::read(file).unwrap();
            bytes.windows(32).position(|window| window == id).map(|at| (file, at))
        })
        .unwrap();
    let flip = || {
        let mut bytes = std::fs::read(file).unwrap();
        bytes[at + 17] ^= 4;
        std::fs::write(file, bytes).unwrap();
    };
    flip();
    let told = ended(1, &["replay", "--data", path]);
    let name = file.file_name().unwrap().to_str().unwrap();
    assert!(told.contains(&format!("segment {name} is damaged at byte ")), "{told}");
    flip();
    assert_eq!(json(&["replay", "--data", path, "--json"]), first, "flipped back, it agrees again");
}
