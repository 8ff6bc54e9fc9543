//! Compiled code kept between starts.
//!
//! A file is named by what its content depends on: the component's digest and the engine's compatibility digest. It
//! begins with a MAC under a key of this installation, because loading compiled code runs it. A file that is bad in
//! any way is discarded and made again; the cache can be deleted at any time.

use crate::limits::Class;
use crate::unchecked::Authentic;
use millpond_types::Digest;
use rand::TryRngCore;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

const MAGIC: &[u8; 8] = b"millcwa1";
const MAC: usize = 32;

/// A folder of compiled code.
#[derive(Debug)]
pub(crate) struct Cache {
    folder: PathBuf,
    key: [u8; 32],
}

impl Cache {
    /// Opens the folder and its key, making both at first.
    pub(crate) fn open(folder: &Path) -> std::io::Result<Self> {
        std::fs::create_dir_all(folder)?;
        Ok(Self { folder: folder.to_owned(), key: key(&folder.join("key"))? })
    }

    fn path(&self, class: Class, wasm: Digest, compatibility: [u8; 32]) -> PathBuf {
        let engine = Digest(compatibility).short();
        self.folder.join(format!("{wasm}-{engine}-{class}.cwasm"))
    }

    fn mac(&self, class: Class, wasm: Digest, compatibility: [u8; 32], code: &[u8]) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        hasher
            .update(class.name().as_bytes())
            .update(&[0])
            .update(&wasm.0)
            .update(&compatibility)
            .update(code);
        hasher.finalize()
    }

    /// The compiled code of a component, when there is a good file.
    pub(crate) fn get(&self, class: Class, wasm: Digest, compatibility: [u8; 32]) -> Option<Authentic> {
        let path = self.path(class, wasm, compatibility);
        let file = std::fs::read(&path).ok()?;
        let code =
            file.strip_prefix(MAGIC).and_then(|rest| rest.split_at_checked(MAC)).and_then(|(mac, code)| {
                let mac: [u8; MAC] = mac.try_into().ok()?;
                // blake3::Hash compares in constant time.
                (self.mac(class, wasm, compatibility, code) == blake3::Hash::from(mac)).then(|| code.to_vec())
            });
        if code.is_none() {
            tracing::warn!(path = %path.display(), "compiled code fails its check: discarded and compiled again");
            self.discard(class, wasm, compatibility);
        }
        code.map(Authentic::vouched)
    }

    /// Keeps compiled code. A cache that cannot be written costs time only.
    pub(crate) fn put(&self, class: Class, wasm: Digest, compatibility: [u8; 32], code: &Authentic) {
        let path = self.path(class, wasm, compatibility);
        let unique = rand::random::<u64>();
        let new = path.with_extension(format!("new{unique:x}"));
        let mac = self.mac(class, wasm, compatibility, code.bytes());
        let written = std::fs::File::create(&new).and_then(|mut file| {
            file.write_all(MAGIC)?;
            file.write_all(mac.as_bytes())?;
            file.write_all(code.bytes())
        });
        if let Err(error) = written.and_then(|()| std::fs::rename(&new, &path)) {
            let _ = std::fs::remove_file(&new);
            tracing::warn!(path = %path.display(), %error, "compiled code is not kept");
        }
    }

    /// Removes a file that turned out bad.
    pub(crate) fn discard(&self, class: Class, wasm: Digest, compatibility: [u8; 32]) {
        let _ = std::fs::remove_file(self.path(class, wasm, compatibility));
    }
}

/// The installation's key: 32 random bytes that only the owner may read.
fn key(path: &Path) -> std::io::Result<[u8; 32]> {
    if let Ok(bytes) = std::fs::read(path)
        && let Ok(key) = <[u8; 32]>::try_from(bytes.as_slice())
    {
        return Ok(key);
    }
    let mut key = [0; 32];
    rand::rngs::OsRng.try_fill_bytes(&mut key).map_err(std::io::Error::other)?;
    let new = path.with_extension(format!("new{:x}", rand::random::<u64>()));
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
    file.write_all(&key)?;
    std::fs::rename(&new, path)?;
    // Another process may have been faster: what is on disk counts.
    let bytes = std::fs::read(path)?;
    <[u8; 32]>::try_from(bytes.as_slice()).map_err(|_| std::io::Error::other("the key file is not 32 bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> (tempfile::TempDir, Cache) {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(folder.path()).unwrap();
        (folder, cache)
    }

    #[test]
    fn a_changed_file_is_discarded() {
        let (folder, cache) = folder();
        let wasm = Digest::of(b"component");
        cache.put(Class::Strict, wasm, [7; 32], &Authentic::vouched(b"code".to_vec()));
        assert_eq!(cache.get(Class::Strict, wasm, [7; 32]).unwrap().bytes(), b"code");
        let path = cache.path(Class::Strict, wasm, [7; 32]);
        let mut file = std::fs::read(&path).unwrap();
        *file.last_mut().unwrap() ^= 1;
        std::fs::write(&path, file).unwrap();
        assert!(cache.get(Class::Strict, wasm, [7; 32]).is_none());
        assert!(!path.exists(), "the bad file stayed");
        drop(folder);
    }

    #[test]
    fn a_file_under_another_name_or_key_is_not_loaded() {
        let (folder, cache) = folder();
        let (wasm, other) = (Digest::of(b"one"), Digest::of(b"two"));
        cache.put(Class::Strict, wasm, [7; 32], &Authentic::vouched(b"code".to_vec()));
        std::fs::copy(cache.path(Class::Strict, wasm, [7; 32]), cache.path(Class::Strict, other, [7; 32]))
            .unwrap();
        assert!(cache.get(Class::Strict, other, [7; 32]).is_none());
        std::fs::remove_file(folder.path().join("key")).unwrap();
        let reopened = Cache::open(folder.path()).unwrap();
        assert!(reopened.get(Class::Strict, wasm, [7; 32]).is_none());
    }

    #[test]
    fn only_the_owner_reads_the_key() {
        use std::os::unix::fs::PermissionsExt;
        let (folder, _cache) = folder();
        let mode = std::fs::metadata(folder.path().join("key")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
