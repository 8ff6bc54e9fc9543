//! The digest of everything of ours that decides a component's bytes: the plugin's own sources, those of the
//! workspace crates it is built with (the SDK), its WIT package, what it embeds, its third-party closure in
//! Cargo.lock and the build profile. The compiler is not part: the lock names it beside the digest.

use crate::catalogue::{self, Guest, Member};
use anyhow::{Context, Result, bail};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Digest of a guest's sources, as lower-case hex of BLAKE3.
pub fn digest(root: &Path, guest: &Guest) -> Result<String> {
    Ok(blake3::hash(record(root, guest)?.as_bytes()).to_hex().to_string())
}

/// What is digested, one line per fact: comparing two records shows what changed.
pub fn record(root: &Path, guest: &Guest) -> Result<String> {
    let members = catalogue::members(root)?;
    let workspace = catalogue::manifest(&root.join("Cargo.toml"))?;
    let lock = catalogue::manifest(&root.join("Cargo.lock"))?;

    let mut lines = vec![format!("world {}", guest.world), format!("version {}", guest.version)];
    let closure = Closure::of(&guest.package, &members, &workspace, &lock)?;
    let mut files = BTreeSet::new();
    for member in &closure.members {
        let folder = &members.get(member).with_context(|| format!("{member} is not a member"))?.folder;
        files.insert(folder.join("Cargo.toml"));
        collect(&folder.join("src"), &mut files)?;
    }
    collect(&guest.wit_folder(root)?, &mut files)?;
    for extra in &guest.sources {
        collect(&root.join(extra), &mut files)?;
    }
    for file in files {
        let bytes = fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
        let name = file.strip_prefix(root).unwrap_or(&file).to_string_lossy().replace('\\', "/");
        lines.push(format!("file {name} {}", blake3::hash(&bytes).to_hex()));
    }
    lines.extend(closure.shared.iter().map(|(name, text)| format!("shared {name} {text}")));
    lines.extend(closure.crates.iter().map(|(name, sum)| format!("crate {name} {sum}")));
    for profile in ["release", "guest"] {
        let table = workspace.get("profile").and_then(|profiles| profiles.get(profile));
        lines.push(format!("profile {profile} {}", table.map(ToString::to_string).unwrap_or_default()));
    }
    Ok(lines.join("\n"))
}

/// Adds a file, or all files below a folder.
fn collect(path: &Path, into: &mut BTreeSet<PathBuf>) -> Result<()> {
    if path.is_file() {
        into.insert(path.to_owned());
        return Ok(());
    }
    for entry in fs::read_dir(path).with_context(|| format!("cannot list {}", path.display()))? {
        collect(&entry?.path(), into)?;
    }
    Ok(())
}

/// What a guest is built from besides its own folder. Dependencies of tests and of native builds are left out: they
/// do not reach the component.
#[derive(Default)]
struct Closure {
    /// Workspace crates, the guest included.
    members: BTreeSet<String>,
    /// Third-party crates with version, and their checksum in Cargo.lock.
    crates: BTreeMap<String, String>,
    /// Entries of workspace.dependencies in use: they choose features.
    shared: BTreeMap<String, String>,
}

impl Closure {
    fn of(
        package: &str,
        members: &BTreeMap<String, Member>,
        workspace: &toml::Table,
        lock: &toml::Table,
    ) -> Result<Self> {
        let locked =
            lock.get("package").and_then(toml::Value::as_array).context("Cargo.lock has no packages")?;
        let shared = workspace.get("workspace").and_then(|table| table.get("dependencies"));
        let mut closure = Self::default();
        let mut open = vec![(package.to_owned(), None::<String>)];
        while let Some((name, version)) = open.pop() {
            if let Some(member) = members.get(&name) {
                if !closure.members.insert(name) {
                    continue;
                }
                for wanted in direct(&member.manifest) {
                    if let Some(entry) = shared.and_then(|table| table.get(&wanted)) {
                        closure.shared.insert(wanted.clone(), entry.to_string());
                    }
                    let version = pinned(locked, member.manifest.get("package"), &wanted);
                    open.push((wanted, version));
                }
                continue;
            }
            let entry = locked.iter().find(|entry| {
                field(entry, "name") == name
                    && version.as_deref().is_none_or(|v| field(entry, "version") == v)
            });
            let Some(entry) = entry else {
                bail!("{name} is not in Cargo.lock; run `cargo fetch` first");
            };
            let key = format!("{name} {}", field(entry, "version"));
            if closure.crates.insert(key, field(entry, "checksum").to_owned()).is_some() {
                continue;
            }
            open.extend(dependencies(entry));
        }
        Ok(closure)
    }
}

fn field<'a>(entry: &'a toml::Value, key: &str) -> &'a str {
    entry.get(key).and_then(toml::Value::as_str).unwrap_or_default()
}

/// The dependencies of a Cargo.lock entry: "name" or, where two versions exist, "name version".
fn dependencies(entry: &toml::Value) -> Vec<(String, Option<String>)> {
    let listed = entry.get("dependencies").and_then(toml::Value::as_array);
    let texts = listed.into_iter().flatten().filter_map(toml::Value::as_str);
    texts
        .map(|text| {
            let mut words = text.split(' ');
            (words.next().unwrap_or_default().to_owned(), words.next().map(str::to_owned))
        })
        .collect()
}

/// The version that Cargo.lock gives a member's dependency, where it says one.
fn pinned(locked: &[toml::Value], package: Option<&toml::Value>, wanted: &str) -> Option<String> {
    let name = package.map(|package| field(package, "name")).unwrap_or_default();
    let entry = locked.iter().find(|entry| field(entry, "name") == name)?;
    dependencies(entry).into_iter().find(|(name, _)| name == wanted)?.1
}

/// Names of the dependencies of a manifest that reach a wasm32 build.
fn direct(manifest: &toml::Table) -> Vec<String> {
    let mut names = BTreeSet::new();
    let mut take = |table: Option<&toml::Value>| {
        for (key, value) in table.and_then(toml::Value::as_table).into_iter().flatten() {
            let renamed = value.get("package").and_then(toml::Value::as_str);
            names.insert(renamed.unwrap_or(key).to_owned());
        }
    };
    take(manifest.get("dependencies"));
    take(manifest.get("build-dependencies"));
    for (condition, target) in manifest.get("target").and_then(toml::Value::as_table).into_iter().flatten() {
        if !condition.replace(' ', "").contains("not(target_arch=\"wasm32\")") {
            take(target.get("dependencies"));
        }
    }
    names.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dependencies_of_tests_and_of_native_builds_do_not_count() {
        let manifest: toml::Table = r#"
            [dependencies]
            kept = "1"
            short = { package = "long-name", version = "1" }
            [dev-dependencies]
            dropped = "1"
            [target.'cfg(not(target_arch = "wasm32"))'.dependencies]
            native = "1"
            [target.'cfg(target_arch = "wasm32")'.dependencies]
            guest = "1"
        "#
        .parse()
        .unwrap();
        assert_eq!(direct(&manifest), ["guest", "kept", "long-name"]);
    }

    #[test]
    fn a_changed_source_changes_the_digest_and_nothing_else_does() {
        let root = crate::root();
        let guest = catalogue::guests(&root).unwrap().remove(0);
        let record = record(&root, &guest).unwrap();
        assert_eq!(record, super::record(&root, &guest).unwrap());
        for part in ["file sdk/guest/src/lib.rs ", "file wit/", "crate wit-bindgen ", "profile guest "] {
            assert!(record.contains(part), "{part} is missing in\n{record}");
        }
        assert!(!record.contains("crate proptest "), "a test's dependency does not reach a component");
    }
}
