//! Errors of a configuration file: all of them, each with its place.

use std::fmt;

/// One thing that is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// Line, from 1; 0 when the file as a whole is meant.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// The dotted name of the option, empty for syntax errors.
    pub option: String,
    /// What is wrong and what to do.
    pub message: String,
}

/// Every error of one file, in the order of its lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigErrors {
    /// The file's name as the operator gave it.
    pub file: String,
    /// At least one error.
    pub errors: Vec<ConfigError>,
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.errors.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            let ConfigError { line, column, option, message } = error;
            let colon = if option.is_empty() { "" } else { ": " };
            if *line == 0 {
                write!(f, "{}: {option}{colon}{message}", self.file)?;
            } else {
                write!(f, "{}:{line}:{column}: {option}{colon}{message}", self.file)?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}
