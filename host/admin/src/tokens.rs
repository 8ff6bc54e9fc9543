//! Tokens for HTTP: a name, a scope and a hash. The token itself is shown once, when it is made.

use crate::Scope;
use millpond_disk::{Disk, DiskError, DiskLock, read_file, replace_file};
use rand::Rng;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Separates token hashes from every other use of the hash function.
const CONTEXT: &str = "millpond 2026 admin token";

/// A held lock is asked for again so many times,
const LOCK_TRIES: u32 = 100;
/// this long apart.
const LOCK_PAUSE: Duration = Duration::from_millis(20);

/// A token as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// Whose it is: the actor's name in the record.
    pub name: String,
    /// What it may do.
    pub scope: Scope,
    /// Keyed BLAKE3 of the token, hex.
    pub hash: String,
}

/// Tokens cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum TokensError {
    /// The disk.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The file is not ours.
    #[error("the token file {0} is damaged ({1}): restore it, or delete it and make the tokens again")]
    Damaged(PathBuf, serde_json::Error),
    /// Another command changes the file.
    #[error("the token file {0} is being changed by another command: try again")]
    Busy(PathBuf),
    /// The name is taken.
    #[error("there is a token named {0:?} already; revoke it first")]
    Taken(String),
}

/// The token file.
#[derive(Debug)]
pub struct Tokens {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    all: Vec<Token>,
}

impl Tokens {
    /// Reads the file; no file is no tokens.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn open(disk: Arc<dyn Disk>, path: &Path) -> Result<Self, TokensError> {
        let mut tokens = Self { disk, path: path.to_owned(), all: Vec::new() };
        tokens.reread()?;
        Ok(tokens)
    }

    /// Reads the file again: what `millpond token` did meanwhile counts from here on.
    ///
    /// # Errors
    /// When it cannot be read; then no token is known.
    pub fn reread(&mut self) -> Result<(), TokensError> {
        self.all.clear();
        match read_file(self.disk.as_ref(), &self.path) {
            Ok(bytes) => {
                self.all = serde_json::from_slice(&bytes)
                    .map_err(|why| TokensError::Damaged(self.path.clone(), why))?;
            }
            Err(why) if why.is_not_found() => {}
            Err(why) => return Err(why.into()),
        }
        Ok(())
    }

    /// Reads the file again and keeps others from changing it until the lock goes: a token revoked by one command must
    /// not come back by another's older copy.
    fn locked(&mut self) -> Result<DiskLock, TokensError> {
        let path = self.path.with_extension("lock");
        let mut tries = LOCK_TRIES;
        let lock = loop {
            match self.disk.lock(&path) {
                Ok(lock) => break lock,
                Err(_) if tries > 0 => {
                    tries -= 1;
                    std::thread::sleep(LOCK_PAUSE);
                }
                Err(_) => return Err(TokensError::Busy(self.path.clone())),
            }
        };
        self.reread()?;
        Ok(lock)
    }

    /// Makes a token and keeps its hash; the text is never to be had again.
    ///
    /// # Errors
    /// When the name is taken or the file cannot be written.
    pub fn make(&mut self, name: &str, scope: Scope) -> Result<String, TokensError> {
        let _lock = self.locked()?;
        if self.all.iter().any(|token| token.name == name) {
            return Err(TokensError::Taken(name.to_owned()));
        }
        let mut bytes = [0_u8; 32];
        rand::rng().fill(&mut bytes);
        let text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        self.all.push(Token { name: name.to_owned(), scope, hash: hash(&text) });
        self.write()?;
        Ok(text)
    }

    /// Revokes a token; false when there is none of the name.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn revoke(&mut self, name: &str) -> Result<bool, TokensError> {
        let _lock = self.locked()?;
        let before = self.all.len();
        self.all.retain(|token| token.name != name);
        self.write()?;
        Ok(self.all.len() < before)
    }

    /// Whose token this is. Hashes are compared, so the time taken tells nothing of the token.
    #[must_use]
    pub fn find(&self, text: &str) -> Option<&Token> {
        let hash = hash(text);
        self.all.iter().find(|token| token.hash == hash)
    }

    /// All tokens, without their texts.
    #[must_use]
    pub fn all(&self) -> &[Token] {
        &self.all
    }

    fn write(&self) -> Result<(), TokensError> {
        let bytes = serde_json::to_vec_pretty(&self.all).unwrap_or_default();
        Ok(replace_file(self.disk.as_ref(), &self.path, &bytes)?)
    }
}

fn hash(text: &str) -> String {
    blake3::keyed_hash(&blake3::derive_key(CONTEXT, b""), text.as_bytes()).to_hex().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use millpond_disk::SimDisk;

    #[test]
    fn a_token_is_kept_as_a_hash_and_found_again() {
        let disk: Arc<dyn Disk> = Arc::new(SimDisk::new());
        disk.make_dir(Path::new("/data")).unwrap();
        let path = Path::new("/data/tokens.json");
        let mut tokens = Tokens::open(Arc::clone(&disk), path).unwrap();
        let text = tokens.make("alice", Scope::Operate).unwrap();
        assert!(matches!(tokens.make("alice", Scope::Money), Err(TokensError::Taken(_))));
        let stored = String::from_utf8(read_file(disk.as_ref(), path).unwrap()).unwrap();
        assert!(!stored.contains(&text));
        let mut again = Tokens::open(disk, path).unwrap();
        assert_eq!(
            again.find(&text).map(|token| (token.name.as_str(), token.scope)),
            Some(("alice", Scope::Operate))
        );
        assert_eq!(again.find("x"), None);
        assert!(again.revoke("alice").unwrap());
        assert_eq!(again.find(&text), None);
    }

    #[test]
    fn a_command_beside_another_loses_nothing_of_what_that_did() {
        let disk: Arc<dyn Disk> = Arc::new(SimDisk::new());
        disk.make_dir(Path::new("/data")).unwrap();
        let path = Path::new("/data/tokens.json");
        let (mut one, mut two) =
            (Tokens::open(Arc::clone(&disk), path).unwrap(), Tokens::open(Arc::clone(&disk), path).unwrap());
        let alice = one.make("alice", Scope::Money).unwrap();
        let bob = two.make("bob", Scope::Read).unwrap();
        assert!(one.revoke("alice").unwrap());
        assert_eq!(two.find(&alice).map(|token| token.scope), Some(Scope::Money), "as it read the file last");
        two.reread().unwrap();
        assert_eq!(two.find(&alice), None);
        assert_eq!(two.find(&bob).map(|token| token.scope), Some(Scope::Read));
        two.make("carol", Scope::Read).unwrap();
        assert_eq!(Tokens::open(disk, path).unwrap().find(&alice), None, "a revoked token came back");
    }
}
