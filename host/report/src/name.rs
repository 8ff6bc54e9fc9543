//! Names of tables and columns: they are files and variables elsewhere.

use serde::Serialize;
use std::fmt;
use std::str::FromStr;

/// The longest name.
pub const MAX_NAME: usize = 64;

/// A letter from a to z, then letters, digits and `_`: fit for a file, a column of a data frame and a key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Name(String);

/// A text that is no name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} cannot name a table or column: use a to z, 0 to 9 and `_`, a letter first, at most {MAX_NAME}"
)]
pub struct NameError(String);

impl Name {
    /// A name as it was written.
    ///
    /// # Errors
    /// When the text is no name.
    pub fn new(text: &str) -> Result<Self, NameError> {
        let letter = text.bytes().next().is_some_and(|first| first.is_ascii_lowercase());
        let rest = text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        if letter && rest && text.len() <= MAX_NAME {
            Ok(Self(text.to_owned()))
        } else {
            Err(NameError(text.chars().take(MAX_NAME).collect()))
        }
    }

    /// The name of anything: what does not fit is `_`, and what begins with no letter begins with `x`.
    #[must_use]
    pub fn fitted(text: &str) -> Self {
        let fit = |c: char| {
            let c = c.to_ascii_lowercase();
            if c.is_ascii_lowercase() || c.is_ascii_digit() { c } else { '_' }
        };
        let mut name: String = text.chars().map(fit).collect();
        if !name.bytes().next().is_some_and(|first| first.is_ascii_lowercase()) {
            name.insert(0, 'x');
        }
        name.truncate(MAX_NAME);
        Self(name)
    }

    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        Self::new(text)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_would_be_another_file_or_no_variable_is_refused() {
        for bad in ["", "..", "a/b", "A", "1st", "_a", "a b", "ä", "a.csv", &"a".repeat(MAX_NAME + 1)] {
            assert!(Name::new(bad).is_err(), "{bad:?}");
        }
        for good in ["a", "pplns_2", &"a".repeat(MAX_NAME)] {
            assert_eq!(Name::new(good).unwrap().as_str(), good);
        }
    }

    proptest! {
        #[test]
        fn whatever_is_fitted_is_a_name(text in any::<String>()) {
            let fitted = Name::fitted(&text);
            prop_assert_eq!(Name::new(fitted.as_str()), Ok(fitted));
        }

        #[test]
        fn a_name_fits_as_it_is(text in "[a-z][a-z0-9_]{0,63}") {
            prop_assert_eq!(Name::fitted(&text).to_string(), text);
        }
    }
}
