//! What two processes say to each other while one gives way to the other.
//!
//! Both read what the other's version wrote, so a word has exactly its fields: one more or one less is an error that names it,
//! and comes before any miner waits, since the first word says which protocol it is of. A test holds the words of
//! [`PROTOCOL`] as text: whoever changes one raises the number.

use millpond_pool::PoolState;
use millpond_stratum::Carried;
use serde::{Deserialize, Serialize};

/// The words are of this kind. A program of another kind is not given way to.
pub const PROTOCOL: u32 = 3;
/// The kind of data that is written: goes up with a record that the version before cannot read.
pub const DATA: u32 = 1;

/// What the old process hands over, beside its sockets.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    /// How long the new process may take to be healthy.
    pub patience_ms: u64,
    /// The first socket is that of the pages.
    pub http: bool,
    /// The pools by name, in the order of their sockets.
    pub pools: Vec<(String, PoolState)>,
}

/// A word.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Word {
    /// The new process could take over.
    Prepared {
        /// Its [`PROTOCOL`].
        protocol: u32,
        /// Its version.
        version: String,
        /// Its [`DATA`].
        data: u32,
        /// Device and inode of its data folder.
        folder: (u64, u64),
    },
    /// What it takes over.
    State(State),
    /// It has everything, and work for the miners.
    Healthy {
        /// What became of the sessions.
        carried: Carried,
    },
    /// It cannot.
    Failed {
        /// Why.
        why: String,
    },
    /// It is its turn.
    Go {},
    /// It hears the miners.
    Taken {},
}
