//! The components of a pool, kept by digest: every plugin that ever decided about money stays, so that its decisions
//! can be replayed. This module runs none of them.

use millpond_chain::Grant;
use millpond_disk::{Disk, DiskError, read_file, replace_file};
use millpond_types::Digest;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The largest component that is read from a path.
const LARGEST: u64 = 64 << 20;

/// A component could not be had.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Neither bundled nor a file.
    #[error("there is no bundled plugin {0:?} (there are: {1}) and no file {path}", path = .2.display())]
    Unknown(String, String, PathBuf),
    /// A file that cannot be read.
    #[error("the component {0} cannot be read: {1}")]
    Unreadable(PathBuf, std::io::Error),
    /// A file that is too large.
    #[error("the component {0} has {1} bytes; at most {LARGEST} are read")]
    TooLarge(PathBuf, u64),
    /// The store holds other bytes under a digest.
    #[error("the stored component {0} is damaged: its bytes have another digest; restore it from a backup")]
    Damaged(Digest),
    /// The store holds nothing under a digest.
    #[error("the component {0} is not in the store; replay needs it: restore plugins/ from a backup")]
    Missing(Digest),
    /// What an adapter was granted cannot be read.
    #[error("what adapter {0} was granted cannot be read: {1}; restore plugins/ from a backup")]
    Grants(Digest, serde_json::Error),
    /// The disk.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

/// A path as it is looked for when it says no folder of its own.
fn in_full(path: PathBuf) -> PathBuf {
    std::path::absolute(&path).unwrap_or(path)
}

/// A component with its name and digest.
#[derive(Clone, Debug)]
pub struct Component {
    /// As configured: a bundled name or a path.
    pub name: String,
    /// BLAKE3 of the bytes.
    pub digest: Digest,
    /// The component.
    pub bytes: Arc<[u8]>,
}

/// The folder of components by digest.
#[derive(Clone, Debug)]
pub struct PluginStore {
    disk: Arc<dyn Disk>,
    folder: PathBuf,
}

impl PluginStore {
    /// Opens the store, making its folder when absent.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn open(disk: Arc<dyn Disk>, folder: &Path) -> Result<Self, StoreError> {
        disk.make_dir(folder)?;
        Ok(Self { disk, folder: folder.to_owned() })
    }

    /// Finds a component by what the configuration calls it: the name of a bundled one, or a path, relative to the
    /// configuration's folder.
    ///
    /// # Errors
    /// When there is none, or it cannot be read.
    pub fn find(name: &str, beside: &Path) -> Result<Component, StoreError> {
        if let Some(bundled) = millpond_bundled::get(name) {
            let (digest, bytes) = (bundled.digest, Arc::from(bundled.bytes));
            return Ok(Component { name: name.to_owned(), digest, bytes });
        }
        let path = beside.join(name);
        let size = match std::fs::metadata(&path) {
            Ok(about) => about.len(),
            Err(why) if why.kind() == std::io::ErrorKind::NotFound => {
                let known: Vec<_> = millpond_bundled::all().iter().map(|plugin| plugin.name).collect();
                return Err(StoreError::Unknown(name.to_owned(), known.join(", "), in_full(path)));
            }
            Err(why) => return Err(StoreError::Unreadable(path, why)),
        };
        if size > LARGEST {
            return Err(StoreError::TooLarge(path, size));
        }
        let bytes = std::fs::read(&path).map_err(|why| StoreError::Unreadable(path, why))?;
        Ok(Component { name: name.to_owned(), digest: Digest::of(&bytes), bytes: Arc::from(bytes) })
    }

    /// Keeps a component. What is there already is left alone.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn keep(&self, component: &Component) -> Result<(), StoreError> {
        match self.get(component.digest) {
            Ok(_) => Ok(()),
            Err(StoreError::Missing(_) | StoreError::Damaged(_)) => {
                Ok(replace_file(self.disk.as_ref(), &self.path(component.digest), &component.bytes)?)
            }
            Err(other) => Err(other),
        }
    }

    /// Keeps an adapter with what the operator grants it: blocks of its jobs may have to be submitted by it when the
    /// configuration names another.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn keep_adapter(&self, component: &Component, grants: &[Grant]) -> Result<(), StoreError> {
        self.keep(component)?;
        let text = serde_json::to_vec(grants).map_err(|why| StoreError::Grants(component.digest, why))?;
        Ok(replace_file(self.disk.as_ref(), &self.grants_path(component.digest), &text)?)
    }

    /// What an adapter was granted when it last led; none when it never did.
    ///
    /// # Errors
    /// When what is kept cannot be read.
    pub fn grants(&self, digest: Digest) -> Result<Option<Vec<Grant>>, StoreError> {
        match read_file(self.disk.as_ref(), &self.grants_path(digest)) {
            Ok(text) => {
                serde_json::from_slice(&text).map(Some).map_err(|why| StoreError::Grants(digest, why))
            }
            Err(why) if why.is_not_found() => Ok(None),
            Err(why) => Err(why.into()),
        }
    }

    /// A kept component; its bytes are held against the digest.
    ///
    /// # Errors
    /// When it is missing or damaged, or the disk fails.
    pub fn get(&self, digest: Digest) -> Result<Component, StoreError> {
        let bytes = match read_file(self.disk.as_ref(), &self.path(digest)) {
            Ok(bytes) => bytes,
            Err(why) if why.is_not_found() => return Err(StoreError::Missing(digest)),
            Err(why) => return Err(why.into()),
        };
        if Digest::of(&bytes) != digest {
            return Err(StoreError::Damaged(digest));
        }
        Ok(Component { name: digest.to_string(), digest, bytes: Arc::from(bytes) })
    }

    fn grants_path(&self, digest: Digest) -> PathBuf {
        self.folder.join(format!("{digest}.grants"))
    }

    fn path(&self, digest: Digest) -> PathBuf {
        self.folder.join(format!("{digest}.wasm"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use millpond_disk::{Keep, SimDisk};

    #[test]
    fn a_kept_component_survives_power_loss_and_a_damaged_one_is_told() {
        let disk = SimDisk::new();
        let store = PluginStore::open(Arc::new(disk.clone()), Path::new("/plugins")).unwrap();
        let bytes: Arc<[u8]> = Arc::from(&b"component"[..]);
        let component = Component { name: "x".into(), digest: Digest::of(&bytes), bytes };
        store.keep(&component).unwrap();
        disk.cut(7, Keep::Nothing);
        disk.power_on();
        assert_eq!(store.get(component.digest).unwrap().bytes, component.bytes);
        disk.flip_bit(&store.path(component.digest), 3, 1).unwrap();
        assert!(matches!(store.get(component.digest), Err(StoreError::Damaged(_))));
        store.keep(&component).unwrap();
        assert!(store.get(component.digest).is_ok());
        assert!(matches!(store.get(Digest::of(b"other")), Err(StoreError::Missing(_))));
    }

    #[test]
    fn an_unknown_plugin_is_told_with_the_names_there_are() {
        let told = PluginStore::find("no-such", Path::new("/")).unwrap_err().to_string();
        assert!(told.contains("no-such"), "{told}");
    }
}
