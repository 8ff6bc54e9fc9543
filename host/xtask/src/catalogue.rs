//! Which crates of the workspace are guests. A guest says so itself, in its manifest:
//!
//! ```toml
//! [package.metadata.millpond]
//! name = "pplns"                                       # of the component file
//! world = "millpond:payout/payout-scheme@0.1.0"        # the WIT world it fulfils
//! sources = ["examples/families/bitcoin"]              # optional: files outside its folder that it embeds
//! bundled = false                                      # optional: an example, whose component stays in its folder
//! ```

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// A guest crate of the workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guest {
    /// Name of the plugin and of its component file.
    pub name: String,
    /// The WIT world, with package and version.
    pub world: String,
    /// Name of the cargo package.
    pub package: String,
    /// Version of the cargo package.
    pub version: String,
    /// Its folder.
    pub folder: PathBuf,
    /// Files and folders outside it that it embeds, relative to the top folder.
    pub sources: Vec<String>,
    /// Whether it ships with the host.
    pub bundled: bool,
}

impl Guest {
    /// The folder of the WIT package its world is in: `millpond:chain/...@0.1.0` lives in `wit/chain-0.1`.
    pub fn wit_folder(&self, root: &Path) -> Result<PathBuf> {
        let parse = || {
            let (package, version) = self.world.strip_prefix("millpond:")?.split_once('@')?;
            let (package, _) = package.split_once('/')?;
            let (minor, _) = version.rsplit_once('.')?;
            Some(root.join("wit").join(format!("{package}-{minor}")))
        };
        parse().with_context(|| {
            format!(
                "{}: world {:?} is not of the form millpond:package/world@x.y.z",
                self.package, self.world
            )
        })
    }

    /// The file name that cargo gives its module.
    pub fn module_file(&self) -> String {
        format!("{}.wasm", self.package.replace('-', "_"))
    }
}

/// A member of the workspace: its folder and manifest.
#[derive(Debug)]
pub struct Member {
    /// Its folder.
    pub folder: PathBuf,
    /// Its Cargo.toml.
    pub manifest: toml::Table,
}

/// All members of the workspace by package name.
pub fn members(root: &Path) -> Result<BTreeMap<String, Member>> {
    let workspace = manifest(&root.join("Cargo.toml"))?;
    let listed = workspace
        .get("workspace")
        .and_then(|table| table.get("members"))
        .and_then(toml::Value::as_array)
        .context("Cargo.toml has no workspace.members")?;
    let mut members = BTreeMap::new();
    for pattern in listed.iter().filter_map(toml::Value::as_str) {
        for folder in expand(root, pattern)? {
            let manifest = manifest(&folder.join("Cargo.toml"))?;
            let name = manifest.get("package").and_then(|package| package.get("name"));
            if let Some(name) = name.and_then(toml::Value::as_str) {
                members.insert(name.to_owned(), Member { folder, manifest });
            }
        }
    }
    Ok(members)
}

/// The guests that ship with the host, by name of the plugin.
pub fn guests(root: &Path) -> Result<Vec<Guest>> {
    Ok(all(root)?.into_iter().filter(|guest| guest.bundled).collect())
}

/// All guests, by name of the plugin.
pub fn all(root: &Path) -> Result<Vec<Guest>> {
    #[derive(Deserialize)]
    struct Metadata {
        name: String,
        world: String,
        #[serde(default)]
        sources: Vec<String>,
        #[serde(default = "ships")]
        bundled: bool,
    }
    fn ships() -> bool {
        true
    }
    let workspace = manifest(&root.join("Cargo.toml"))?;
    let shared_version =
        workspace.get("workspace").and_then(|table| table.get("package")).and_then(|p| p.get("version"));
    let mut found: Vec<Guest> = Vec::new();
    for (package, member) in members(root)? {
        let section =
            member.manifest.get("package").and_then(|p| p.get("metadata")).and_then(|m| m.get("millpond"));
        let Some(section) = section else { continue };
        let metadata: Metadata = section.clone().try_into().with_context(|| {
            format!("{}: [package.metadata.millpond]", member.folder.join("Cargo.toml").display())
        })?;
        let own_version = member.manifest.get("package").and_then(|p| p.get("version"));
        let version = own_version.filter(|version| version.is_str()).or(shared_version);
        let version = version.and_then(toml::Value::as_str).unwrap_or("0.0.0").to_owned();
        if let Some(twin) = found.iter().find(|guest| guest.name == metadata.name) {
            bail!("{package} and {} are both named {:?}", twin.package, metadata.name);
        }
        found.push(Guest {
            name: metadata.name,
            world: metadata.world,
            package,
            version,
            folder: member.folder,
            sources: metadata.sources,
            bundled: metadata.bundled,
        });
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

/// Reads a TOML file.
pub fn manifest(path: &Path) -> Result<toml::Table> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    text.parse().with_context(|| format!("{} is not TOML", path.display()))
}

/// The folders a pattern of workspace.members names; only a last part of `*` is a pattern here.
fn expand(root: &Path, pattern: &str) -> Result<Vec<PathBuf>> {
    let Some(parent) = pattern.strip_suffix("/*") else {
        return Ok(vec![root.join(pattern)]);
    };
    let parent = root.join(parent);
    let mut folders = Vec::new();
    for entry in fs::read_dir(&parent).with_context(|| format!("cannot list {}", parent.display()))? {
        let folder = entry?.path();
        if folder.join("Cargo.toml").is_file() {
            folders.push(folder);
        }
    }
    folders.sort();
    Ok(folders)
}
