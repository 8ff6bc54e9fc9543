//! What a power cut and a failing disk may do to files.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use millpond_disk::{Disk, Fault, Keep, Operation, SimDisk, read_file, replace_file};
use proptest::prelude::*;
use std::path::Path;

const FILE: &str = "/f";

fn synced(bytes: &[u8]) -> SimDisk {
    let disk = SimDisk::new();
    let file = disk.create(Path::new(FILE)).unwrap();
    file.append(bytes).unwrap();
    file.sync().unwrap();
    disk.sync_dir(Path::new("/")).unwrap();
    disk
}

#[test]
fn a_file_without_a_synced_folder_may_be_gone() {
    let disk = SimDisk::new();
    let file = disk.create(Path::new(FILE)).unwrap();
    file.append(b"x").unwrap();
    file.sync().unwrap();
    disk.cut(1, Keep::Nothing);
    assert!(disk.is_off());
    disk.power_on();
    assert!(disk.open(Path::new(FILE)).unwrap_err().is_not_found());
    assert!(file.append(b"y").is_err(), "a handle from before the cut still works");
}

#[test]
fn unsynced_bytes_are_lost_kept_or_torn_by_sectors() {
    let mut lengths = std::collections::BTreeSet::new();
    let mut torn = false;
    for seed in 0..200 {
        let disk = synced(b"durable");
        disk.open(Path::new(FILE)).unwrap().append(&[0xaa; 2000]).unwrap();
        disk.cut(seed, Keep::RandomSubset);
        disk.power_on();
        let bytes = read_file(&disk, Path::new(FILE)).unwrap();
        assert_eq!(&bytes[..7], b"durable");
        torn |= bytes.len() == 2007 && bytes[7..].contains(&0) && bytes[7..].contains(&0xaa);
        lengths.insert(bytes.len());
    }
    assert!(torn, "no seed tore a write");
    assert!(lengths.contains(&7) && lengths.contains(&2007) && lengths.len() > 4, "{lengths:?}");
}

#[test]
fn keeping_everything_is_what_killing_a_process_does() {
    let disk = synced(b"durable");
    disk.open(Path::new(FILE)).unwrap().append(b" and more").unwrap();
    disk.cut(0, Keep::Everything);
    disk.power_on();
    assert_eq!(read_file(&disk, Path::new(FILE)).unwrap(), b"durable and more");
}

#[test]
fn after_a_failed_sync_a_later_one_does_not_bring_the_bytes_back() {
    let disk = synced(b"");
    disk.fail(Operation::Sync, 0, Fault::Io, false);
    let file = disk.open(Path::new(FILE)).unwrap();
    file.append(&[1; 1024]).unwrap();
    assert!(file.sync().is_err());
    assert_eq!(read_file(&disk, Path::new(FILE)).unwrap(), [1; 1024]);
    file.append(&[2; 512]).unwrap();
    file.sync().unwrap();
    disk.cut(0, Keep::Nothing);
    disk.power_on();
    let bytes = read_file(&disk, Path::new(FILE)).unwrap();
    assert_eq!(bytes[..1024], [0; 1024]);
    assert_eq!(bytes[1024..], [2; 512]);
}

#[test]
fn a_full_disk_writes_what_fits_and_says_so() {
    let disk = synced(b"1234");
    disk.set_capacity(Some(6));
    let file = disk.open(Path::new(FILE)).unwrap();
    let error = file.append(b"5678").unwrap_err();
    assert!(error.is_full(), "{error}");
    assert_eq!(file.len().unwrap(), 6);
    assert_eq!(disk.free_space(Path::new("/")).unwrap(), 0);
}

#[test]
fn power_is_cut_at_the_operation_that_was_named_and_it_does_not_return_well() {
    let disk = synced(b"");
    let before = disk.operations();
    disk.cut_at(2, 0, Keep::Everything);
    let file = disk.open(Path::new(FILE)).unwrap();
    file.append(b"a").unwrap();
    assert!(file.append(b"b").is_err());
    assert_eq!(disk.operations(), before + 2);
    disk.power_on();
    assert_eq!(read_file(&disk, Path::new(FILE)).unwrap(), b"ab");
}

proptest! {
    #[test]
    fn what_was_synced_survives_every_cut(
        parts in prop::collection::vec((1_usize..1500, any::<bool>()), 1..8),
        seed: u64,
    ) {
        let disk = synced(b"");
        let file = disk.open(Path::new(FILE)).unwrap();
        let (mut written, mut durable) = (Vec::new(), 0);
        for (index, (len, sync)) in parts.iter().enumerate() {
            let bytes = vec![index as u8 + 1; *len];
            file.append(&bytes).unwrap();
            written.extend(bytes);
            if *sync {
                file.sync().unwrap();
                durable = written.len();
            }
        }
        disk.cut(seed, Keep::RandomSubset);
        disk.power_on();
        let survived = read_file(&disk, Path::new(FILE)).unwrap();
        prop_assert!(survived.len() >= durable && survived.len() <= written.len());
        prop_assert_eq!(&survived[..durable], &written[..durable]);
        for (was, is) in written.iter().zip(&survived).skip(durable) {
            prop_assert!(is == was || *is == 0, "a byte that nobody wrote");
        }
    }

    #[test]
    fn a_replaced_file_is_old_or_new_at_every_cut(at in 1_u64..12, seed: u64) {
        let disk = SimDisk::new();
        let path = Path::new("/state");
        replace_file(&disk, path, &[1; 1000]).unwrap();
        disk.cut_at(at, seed, Keep::RandomSubset);
        let replaced = replace_file(&disk, path, &[2; 700]).is_ok();
        if !disk.is_off() {
            disk.cut(seed, Keep::RandomSubset);
        }
        disk.power_on();
        let bytes = read_file(&disk, path).unwrap();
        prop_assert!(bytes == [2; 700] || (!replaced && bytes == [1; 1000]));
    }
}
