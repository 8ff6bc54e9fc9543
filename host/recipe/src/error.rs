//! What can be wrong with a document, with a job's or session's values, and with a share.

use millpond_algorithms::AlgorithmError;
use std::fmt;

/// One error in a document, with its place. Shown as `file:line:col: message`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DocumentError {
    /// The document's name as its reader was given it: a file, or an adapter and a number.
    pub file: Box<str>,
    /// The line, from 1.
    pub line: u32,
    /// The column in characters, from 1.
    pub col: u32,
    /// What is wrong, and what to do.
    pub message: String,
}

impl fmt::Display for DocumentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: {}", self.file, self.line, self.col, self.message)
    }
}

/// All errors of a document, in the order of their places; never empty. Shown one to a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DocumentErrors(pub Vec<DocumentError>);

impl fmt::Display for DocumentErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, error) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str("\n")?;
            }
            error.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for DocumentErrors {}

/// Why a job's, session's or share's values do not run through a recipe. A job that fails is not published; a
/// session that fails gets no work; a share that fails is answered with an error (see [`ShareError`]).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RunError {
    /// The number of values is not the number of declared fields.
    #[error("recipe {recipe}: {given} {stage} values were given, {needed} are declared")]
    Count {
        /// The recipe's name.
        recipe: Box<str>,
        /// "const", "session" or "share".
        stage: &'static str,
        /// Fields declared.
        needed: usize,
        /// Values given.
        given: usize,
    },
    /// A value whose length its field does not allow.
    #[error("field {field} takes {needed}, not {given} bytes")]
    Width {
        /// The field's name.
        field: Box<str>,
        /// The allowed widths in words.
        needed: String,
        /// The value's length.
        given: usize,
    },
    /// An operation cannot work on the values it met: a slice past the end, a number that does not fit.
    #[error("line {line}: {what}")]
    Value {
        /// The line of the document.
        line: u32,
        /// What does not fit.
        what: String,
    },
    /// A run would use more memory, or hash more, than the host grants.
    #[error("line {line}: the {stage} stage takes more than {limit} bytes")]
    TooLarge {
        /// The line of the document where the limit was met.
        line: u32,
        /// The stage's name.
        stage: &'static str,
        /// The limit in bytes.
        limit: usize,
    },
    /// A list longer than a fold may take.
    #[error("line {line}: a fold over {given} items; at most {limit} are allowed")]
    TooLong {
        /// The line of the document.
        line: u32,
        /// Items given.
        given: usize,
        /// Items allowed.
        limit: usize,
        /// The list is made of what a share gives.
        of_share: bool,
    },
    /// A `range` line refused a value.
    #[error("{register} is {value}, outside {low} to {high}")]
    Range {
        /// The register as the document names it.
        register: Box<str>,
        /// Its value.
        value: u64,
        /// The smallest allowed.
        low: u64,
        /// The largest allowed.
        high: u64,
    },
    /// A `subset` line refused bits outside the mask.
    #[error("{register} has bits outside the mask")]
    Subset {
        /// The register as the document names it.
        register: Box<str>,
    },
    /// A `claim` line found that the miner's own result is another.
    #[error("{register} is not what the share computes to")]
    Claim {
        /// The claimed register as the document names it.
        register: Box<str>,
    },
    /// A `verify` line refused the proof.
    #[error("the {verifier} proof is not valid")]
    Proof {
        /// The verifier's name.
        verifier: Box<str>,
    },
    /// An algorithm failed; one that is native does not.
    #[error("line {line}: {source}")]
    Algorithm {
        /// The line of the document.
        line: u32,
        /// The algorithm's own error.
        source: AlgorithmError,
    },
}

/// Why a share was not judged. Every variant of [`RunError`] can occur; [`RunError::is_the_miners`] says which are the
/// miner's doing.
pub type ShareError = RunError;

impl RunError {
    /// Whether a miner's values can cause this, with a document and a job that are sound.
    #[must_use]
    pub fn is_the_miners(&self) -> bool {
        matches!(
            self,
            Self::Width { .. }
                | Self::Range { .. }
                | Self::Subset { .. }
                | Self::Claim { .. }
                | Self::Proof { .. }
                | Self::Value { .. }
                | Self::TooLong { of_share: true, .. }
        )
    }
}
