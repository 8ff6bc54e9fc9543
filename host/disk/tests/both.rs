//! What durable code relies on, asked of the real disk and of the simulated one alike.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use millpond_disk::{Disk, RealDisk, SimDisk, read_file, replace_file};
use std::path::{Path, PathBuf};

fn on_both(check: impl Fn(&dyn Disk, &Path)) {
    let folder = tempfile::tempdir().unwrap();
    check(&RealDisk, folder.path());
    check(&SimDisk::new(), &PathBuf::from("/"));
}

#[test]
fn what_is_appended_is_read_back_at_its_offset() {
    on_both(|disk, root| {
        let path = root.join("a");
        let file = disk.create(&path).unwrap();
        file.append(b"one").unwrap();
        file.append(b"two").unwrap();
        file.sync().unwrap();
        let mut buffer = [0; 8];
        assert_eq!(file.read_at(2, &mut buffer).unwrap(), 4);
        assert_eq!(&buffer[..4], b"etwo");
        assert_eq!(file.read_at(99, &mut buffer).unwrap(), 0);
        file.truncate(4).unwrap();
        file.append(b"!").unwrap();
        assert_eq!(read_file(disk, &path).unwrap(), b"onet!");
    });
}

#[test]
fn a_second_create_is_refused_and_a_missing_file_is_said_to_be_missing() {
    on_both(|disk, root| {
        let path = root.join("a");
        assert!(disk.open(&path).unwrap_err().is_not_found());
        assert!(disk.remove(&path).unwrap_err().is_not_found());
        disk.create(&path).unwrap();
        let error = disk.create(&path).unwrap_err();
        assert!(error.to_string().contains("cannot create"), "{error}");
    });
}

#[test]
fn folders_are_made_with_those_above_and_listed_in_order() {
    on_both(|disk, root| {
        let dir = root.join("x/y/z");
        disk.make_dir(&dir).unwrap();
        disk.make_dir(&dir).unwrap();
        for name in ["b", "a", "c"] {
            disk.create(&dir.join(name)).unwrap();
        }
        disk.rename(&dir.join("c"), &dir.join("a")).unwrap();
        disk.sync_dir(&dir).unwrap();
        assert_eq!(disk.list(&dir).unwrap(), ["a", "b"]);
        assert!(disk.list(&root.join("x")).unwrap().is_empty());
        assert!(disk.free_space(&dir).unwrap() > 0);
    });
}

#[test]
fn a_lock_has_one_holder_and_ends_with_its_guard() {
    on_both(|disk, root| {
        let path = root.join("lock");
        let guard = disk.lock(&path).unwrap();
        assert!(disk.lock(&path).is_err());
        drop(guard);
        disk.lock(&path).unwrap();
    });
}

#[test]
fn a_replaced_file_has_its_new_contents() {
    on_both(|disk, root| {
        let path = root.join("state");
        replace_file(disk, &path, b"old").unwrap();
        replace_file(disk, &path, b"new").unwrap();
        assert_eq!(read_file(disk, &path).unwrap(), b"new");
    });
}
