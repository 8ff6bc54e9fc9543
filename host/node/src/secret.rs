//! Secrets: kept out of logs, read from the environment or from files.

use crate::{CallError, NodeError};
use parking_lot::Mutex;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Files with secrets are short; a longer one is a mistake in the path.
const MAX_SECRET: u64 = 4096;

/// A secret text. Its `Debug` shows nothing and it has no `Display`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret that the caller already has.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Reads an environment variable.
    ///
    /// # Errors
    /// When it is not set, empty or not UTF-8.
    pub fn from_env(name: &str) -> Result<Self, NodeError> {
        let fault =
            |why: &str| NodeError::Secret { place: format!("environment variable {name}"), why: why.into() };
        match std::env::var(name) {
            Ok(text) if text.is_empty() => Err(fault("it is empty")),
            Ok(text) => Ok(Self(text)),
            Err(std::env::VarError::NotPresent) => Err(fault("it is not set")),
            Err(std::env::VarError::NotUnicode(_)) => Err(fault("it is not UTF-8")),
        }
    }

    /// Reads a file and cuts line ends at its end.
    ///
    /// # Errors
    /// When it cannot be read, is empty or is longer than 4096 bytes.
    pub fn from_file(path: &Path) -> Result<Self, NodeError> {
        let fault = |why: String| NodeError::Secret { place: path.display().to_string(), why };
        let length = std::fs::metadata(path).map_err(|error| fault(error.to_string()))?.len();
        if length > MAX_SECRET {
            return Err(fault(format!("{length} bytes are more than the {MAX_SECRET} of a secret")));
        }
        let text = std::fs::read_to_string(path).map_err(|error| fault(error.to_string()))?;
        match text.trim_end_matches(['\r', '\n']) {
            "" => Err(fault("it is empty".into())),
            text => Ok(Self(text.to_owned())),
        }
    }

    /// The secret itself, for the one place that sends it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// How a node is convinced that it is us.
#[derive(Clone, Debug)]
pub enum Auth {
    /// Nothing is sent.
    None,
    /// HTTP basic authentication (RFC 7617).
    Basic {
        /// The user, `x` for bcoin.
        user: String,
        /// The password, bcoin's API key.
        password: Secret,
    },
    /// A file that the node writes at its start as `user:password`, Bitcoin Core's `.cookie`. Read again when the
    /// node refuses, since a restart changes it.
    Cookie(PathBuf),
    /// `Authorization: Bearer`.
    Bearer(Secret),
}

/// An [`Auth`] with what was last read from a cookie file.
#[derive(Clone, Debug)]
pub(crate) struct Credentials {
    auth: Auth,
    cookie: Arc<Mutex<Option<Secret>>>,
}

impl Credentials {
    pub(crate) fn new(auth: Auth) -> Self {
        Self { auth, cookie: Arc::default() }
    }

    /// Whether a refused request is worth one more try with a fresh secret.
    pub(crate) fn forget(&self) -> bool {
        matches!(self.auth, Auth::Cookie(_)) && self.cookie.lock().take().is_some()
    }

    /// The value of the `Authorization` header.
    pub(crate) async fn header(&self) -> Result<Option<Secret>, CallError> {
        match &self.auth {
            Auth::None => Ok(None),
            Auth::Basic { user, password } => Ok(Some(basic(&format!("{user}:{}", password.expose())))),
            Auth::Bearer(token) => Ok(Some(Secret(format!("Bearer {}", token.expose())))),
            Auth::Cookie(path) => {
                if let Some(secret) = self.cookie.lock().clone() {
                    return Ok(Some(secret));
                }
                let path = path.clone();
                let read = tokio::task::spawn_blocking(move || Secret::from_file(&path)).await;
                let text = match read {
                    Ok(Ok(text)) => text,
                    Ok(Err(error)) => return Err(CallError::Denied(error.to_string())),
                    Err(_) => return Err(CallError::Denied("reading the cookie file was cancelled".into())),
                };
                let header = basic(text.expose());
                *self.cookie.lock() = Some(header.clone());
                Ok(Some(header))
            }
        }
    }
}

fn basic(pair: &str) -> Secret {
    Secret(format!("Basic {}", base64(pair.as_bytes())))
}

/// Base64 with padding (RFC 4648 section 4); encoding is all that a client needs.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let word =
            group.iter().fold(0_u32, |word, byte| word << 8 | u32::from(*byte)) << (8 * (3 - group.len()));
        for place in 0..4 {
            let digit = (word >> (18 - 6 * place) & 0x3f) as usize;
            match ALPHABET.get(digit) {
                Some(digit) if place <= group.len() => text.push(char::from(*digit)),
                _ => text.push('='),
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vectors of RFC 4648 section 10.
    #[test]
    fn base64_is_that_of_the_rfc() {
        for (plain, coded) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(plain.as_bytes()), coded);
        }
    }

    #[test]
    fn a_secret_is_not_shown() {
        let auth = Auth::Basic { user: "x".into(), password: Secret::new("hunter2") };
        assert!(!format!("{auth:?}").contains("hunter2"));
    }

    #[test]
    fn a_secret_file_loses_its_line_end_and_an_empty_one_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        std::fs::write(&path, "abc\r\n").unwrap();
        assert_eq!(Secret::from_file(&path).unwrap().expose(), "abc");
        std::fs::write(&path, "\n").unwrap();
        assert!(Secret::from_file(&path).is_err());
        std::fs::write(&path, "x".repeat(5000)).unwrap();
        assert!(Secret::from_file(&path).is_err());
        assert!(Secret::from_env("MILLPOND_TEST_NO_SUCH_VARIABLE").is_err());
    }

    #[tokio::test]
    async fn a_cookie_is_read_again_after_it_was_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(".cookie");
        std::fs::write(&path, "__cookie__:one").unwrap();
        let credentials = Credentials::new(Auth::Cookie(path.clone()));
        let first = credentials.header().await.unwrap().unwrap();
        std::fs::write(&path, "__cookie__:two").unwrap();
        assert_eq!(credentials.header().await.unwrap().unwrap(), first);
        assert!(credentials.forget());
        assert_ne!(credentials.header().await.unwrap().unwrap(), first);
    }
}
