//! The plugins that ship inside the binary: components that `cargo xtask guests` built, and the lock that says what
//! each was built from. This crate runs none of them and gives none a right that another plugin has not.
//!
//! Nothing in an operator's environment changes them. Tests of another build of the same sources ask for that by
//! [`replace_for_tests`].

use millpond_types::Digest;
use std::path::PathBuf;
use std::sync::OnceLock;

/// A plugin that ships with the pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bundled {
    /// Its name in configurations: `bitcoin`, `pplns`, `flat-fee`, …
    pub name: &'static str,
    /// The WIT world it fulfils, such as `millpond:payout/payout-scheme@0.1.0`.
    pub world: &'static str,
    /// Version of its crate.
    pub version: &'static str,
    /// What compiled it.
    pub toolchain: &'static str,
    /// BLAKE3 of `bytes`.
    pub digest: Digest,
    /// The component.
    pub bytes: &'static [u8],
}

/// A row of the table that build.rs writes.
struct Entry {
    name: &'static str,
    world: &'static str,
    version: &'static str,
    #[cfg_attr(not(test), allow(dead_code, reason = "the tests hold it against the bytes"))]
    blake3: &'static str,
    toolchain: &'static str,
    bytes: &'static [u8],
}

const TABLE: &[Entry] = include!(concat!(env!("OUT_DIR"), "/table.rs"));

static ALL: OnceLock<Vec<Bundled>> = OnceLock::new();

/// All bundled plugins, sorted by name.
pub fn all() -> &'static [Bundled] {
    ALL.get_or_init(|| TABLE.iter().map(|entry| load(entry, None)).collect())
}

/// For tests alone, which call it before anything else looks at a component: with `MILLPOND_COMPONENTS=<folder>` in
/// the environment every component is `<folder>/<name>.wasm`, and its digest that of the file. Without it nothing is
/// done. No program calls this: what a release pool runs is what it was built with.
///
/// False when the embedded ones were looked at already: the test would pass on what it was not asked to test.
#[must_use]
pub fn replace_for_tests() -> bool {
    static FOLDER: OnceLock<Option<PathBuf>> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| std::env::var_os("MILLPOND_COMPONENTS").map(PathBuf::from));
    let Some(folder) = folder else { return true };
    let replaced = ALL.get_or_init(|| TABLE.iter().map(|entry| load(entry, Some(folder))).collect());
    replaced.iter().zip(TABLE).all(|(plugin, entry)| !std::ptr::eq(plugin.bytes, entry.bytes))
}

/// The bundled plugin of this name.
pub fn get(name: &str) -> Option<&'static Bundled> {
    all().iter().find(|plugin| plugin.name == name)
}

fn load(entry: &Entry, other: Option<&std::path::Path>) -> Bundled {
    let bytes: &'static [u8] = match other.map(|folder| folder.join(format!("{}.wasm", entry.name))) {
        None => entry.bytes,
        // Never the embedded one in its place: a test would then pass on what it was not asked to test.
        Some(file) => std::fs::read(&file).map_or_else(
            |error| {
                eprintln!("MILLPOND_COMPONENTS: {}: {error}", file.display());
                &[] as &[u8]
            },
            |bytes| Box::leak(bytes.into_boxed_slice()),
        ),
    };
    Bundled {
        name: entry.name,
        world: entry.world,
        version: entry.version,
        toolchain: entry.toolchain,
        digest: Digest::of(bytes),
        bytes,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use millpond_xtask::{catalogue, lock::Lock, root, sources};

    #[test]
    fn every_embedded_component_is_the_one_in_the_lock() {
        for entry in TABLE {
            assert_eq!(blake3::hash(entry.bytes).to_hex().as_str(), entry.blake3, "{}", entry.name);
        }
    }

    #[test]
    fn every_guest_of_the_workspace_is_bundled_from_its_present_sources() {
        let lock = Lock::read(&root()).unwrap();
        let mut stale = Vec::new();
        for guest in catalogue::guests(&root()).unwrap() {
            let present = sources::digest(&root(), &guest).unwrap();
            match lock.get(&guest.name) {
                Some(locked) if locked.sources == present => {}
                Some(_) => stale.push(format!("{}: sources changed and the component did not", guest.name)),
                None => stale.push(format!("{}: not built", guest.name)),
            }
        }
        assert!(stale.is_empty(), "{}\nrun `cargo xtask guests` and commit host/bundled", stale.join("\n"));
    }

    #[test]
    fn the_lock_names_no_plugin_twice_and_none_that_is_gone() {
        let guests = catalogue::guests(&root()).unwrap();
        let names: Vec<&str> = TABLE.iter().map(|entry| entry.name).collect();
        assert!(names.is_sorted_by(|a, b| a < b), "{names:?}");
        for entry in TABLE {
            let guest = guests.iter().find(|guest| guest.name == entry.name);
            assert_eq!(guest.map(|guest| guest.world.as_str()), Some(entry.world), "{}", entry.name);
        }
    }

    #[test]
    fn plugins_are_found_by_name() {
        assert!(all().iter().all(|plugin| get(plugin.name) == Some(plugin)));
        assert_eq!(get("no such plugin"), None);
    }
}
