//! The corpus that fuzzing has gathered, and every finding of the past, tried with every change.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use millpond_fuzz_entries::{ENTRIES, Entry};
use std::path::{Path, PathBuf};

fn folder(kind: &str, name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz").join(kind).join(name)
}

/// Feeds every file of a folder to an entry; how many there were.
fn replay(entry: Entry, folder: &Path) -> usize {
    let files = std::fs::read_dir(folder).unwrap_or_else(|why| panic!("{}: {why}", folder.display()));
    let mut paths: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    paths.sort();
    for path in &paths {
        let bytes = std::fs::read(path).unwrap();
        let ran = std::panic::catch_unwind(|| entry(&bytes));
        assert!(ran.is_ok(), "{} is a finding", path.display());
    }
    paths.len()
}

#[test]
fn no_input_that_fuzzing_ever_kept_is_a_finding() {
    for (name, entry) in ENTRIES {
        let kept = replay(entry, &folder("corpus", name));
        assert!(kept > 0, "the corpus of {name} is empty");
    }
}

#[test]
fn every_entry_has_a_target_and_the_corpus_is_small() {
    let manifest = std::fs::read_to_string(folder("Cargo.toml", "").with_file_name("Cargo.toml")).unwrap();
    let mut bytes = 0;
    for (name, _) in ENTRIES {
        assert!(manifest.contains(&format!("name = \"{name}\"\n")), "{name} is not in host/fuzz/Cargo.toml");
        let target = std::fs::read_to_string(folder("fuzz_targets", &format!("{name}.rs"))).unwrap();
        assert!(target.contains(&format!("millpond_fuzz_entries::{name}(")), "{name}.rs feeds another entry");
        let files = std::fs::read_dir(folder("corpus", name)).unwrap();
        bytes += files.map(|file| file.unwrap().metadata().unwrap().len()).sum::<u64>();
    }
    assert!(bytes < 1 << 20, "{bytes} bytes of corpus: minimise it as docs/fuzzing.md says");
}
