//! A plugin's section of the configuration, as every contract carries it.

use serde::{Deserialize, Serialize};

/// One value of a plugin's configuration.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Setting {
    /// true or false.
    Flag(bool),
    /// A whole number.
    Int(i64),
    /// Text.
    Text(String),
}

/// Dotted keys and values, sorted by key, already checked against the plugin's schema.
pub type Settings = Vec<(String, Setting)>;
