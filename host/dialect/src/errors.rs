//! What can be wrong with a document, and with the values given for a line.

use std::fmt;

/// One error of a document, shown as `name:line:col: message`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DocumentError {
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
    /// The document's file or given name.
    pub name: String,
    /// What is wrong and what would be right.
    pub message: String,
}

impl fmt::Display for DocumentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: {}", self.name, self.line, self.column, self.message)
    }
}

/// All errors of a document at once, in the order of their lines; shown one a line. Never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DocumentErrors(pub Vec<DocumentError>);

impl fmt::Display for DocumentErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            error.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for DocumentErrors {}

/// A line that cannot be written: the document asks for a value that the host does not have, or has in another
/// form. [`crate::Dialect::check_against`] finds unknown names before a miner connects.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// No value of this name at the time of writing.
    #[error("the dialect asks for {{{0}}}, which has no value here")]
    Missing(String),
    /// The value has another form than the hole's format needs.
    #[error("{{{name}}}: {why}")]
    Form {
        /// The hole as written in the document.
        name: String,
        /// What does not fit.
        why: String,
    },
}
