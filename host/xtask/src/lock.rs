//! host/bundled/plugins.lock: which components ship, and what each was made from.

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::{Path, PathBuf};

/// The lock file as a whole.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lock {
    /// One entry per component, sorted by name.
    #[serde(default, rename = "plugin")]
    pub plugins: Vec<Locked>,
}

/// One component.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Locked {
    /// Name of the plugin; its file is `components/<name>.wasm`.
    pub name: String,
    /// The WIT world it fulfils.
    pub world: String,
    /// Version of its crate.
    pub version: String,
    /// BLAKE3 of the component, hex.
    pub blake3: String,
    /// Digest of its sources, hex; see `sources`.
    pub sources: String,
    /// What compiled it. Bytes are comparable only between equal ids.
    pub toolchain: String,
}

/// Where the lock is.
pub fn path(root: &Path) -> PathBuf {
    root.join("host/bundled/plugins.lock")
}

/// Where the lock of a guest is that does not ship.
pub fn of_example(folder: &Path) -> PathBuf {
    folder.join("plugin.lock")
}

/// Where the components are.
pub fn components(root: &Path) -> PathBuf {
    root.join("host/bundled/components")
}

impl Lock {
    /// Reads the lock; no file = nothing locked.
    pub fn read(root: &Path) -> Result<Self> {
        Self::read_from(&path(root))
    }

    /// Reads a lock of its own, as an example has it; no file = nothing locked.
    pub fn read_from(path: &Path) -> Result<Self> {
        if !path.exists() {
            return Ok(Self::default());
        }
        let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        toml::from_str(&text).with_context(|| format!("{} does not parse", path.display()))
    }

    /// Writes the lock.
    pub fn write(&self, root: &Path) -> Result<()> {
        self.write_to(&path(root))
    }

    /// Writes a lock of its own.
    pub fn write_to(&self, path: &Path) -> Result<()> {
        let text = toml::to_string(self).context("the lock does not serialise")?;
        let text =
            format!("# Written by `cargo xtask guests`; checked by the tests of millpond-bundled.\n\n{text}");
        fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
    }

    /// The entry of a plugin.
    pub fn get(&self, name: &str) -> Option<&Locked> {
        self.plugins.iter().find(|plugin| plugin.name == name)
    }

    /// Replaces or adds an entry.
    pub fn put(&mut self, entry: Locked) {
        self.plugins.retain(|plugin| plugin.name != entry.name);
        self.plugins.push(entry);
        self.plugins.sort_by(|a, b| a.name.cmp(&b.name));
    }
}
