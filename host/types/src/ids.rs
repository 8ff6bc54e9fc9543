//! Identifiers and time.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub u64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

id!(
    /// A payee of one pool, numbered from 1 in the order of first sight and recorded in the journal before use.
    MinerId
);
id!(
    /// A job of one pool, ascending; recorded in the journal, so unique over restarts.
    JobId
);
id!(
    /// One connection's session; unique while the process lives and over a resume.
    SessionId
);
id!(
    /// The place of an accepted share in the pool's journal: unique, ascending, without gaps.
    ShareSeq
);

/// Milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UnixMillis(pub u64);

impl UnixMillis {
    /// The system's clock; 0 for a clock before 1970.
    #[must_use]
    pub fn now() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }

    /// Milliseconds from `earlier` to here; 0 when the clock went back.
    #[must_use]
    pub fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// The name of a pool within the process: 1 to 32 of `a-z`, `0-9` and `-`. It names folders and metrics labels.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PoolName(String);

/// A pool name with characters or a length that a folder and a label cannot bear.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("a pool's name is 1 to 32 of a-z, 0-9 and -, not {0:?}")]
pub struct PoolNameError(pub String);

impl PoolName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for PoolName {
    type Error = PoolNameError;

    fn try_from(name: String) -> Result<Self, Self::Error> {
        let fits = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
        if (1..=32).contains(&name.len()) && name.bytes().all(fits) {
            Ok(Self(name))
        } else {
            Err(PoolNameError(name))
        }
    }
}

impl From<PoolName> for String {
    fn from(name: PoolName) -> Self {
        name.0
    }
}

impl fmt::Display for PoolName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_name_is_fit_for_a_folder() {
        assert!(PoolName::try_from("btc-main".to_owned()).is_ok());
        for bad in ["", "../x", "Btc", "a b", &"x".repeat(33)] {
            assert!(PoolName::try_from(bad.to_owned()).is_err(), "{bad:?} was accepted");
        }
    }

    #[test]
    fn a_clock_that_goes_back_gives_no_time() {
        assert_eq!(UnixMillis(5).since(UnixMillis(9)), 0);
    }
}
