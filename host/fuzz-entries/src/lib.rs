//! What fuzzing feeds: one function per decoder of outside input.
//!
//! Each function takes any bytes and returns when nothing is wrong; a panic, a wrong answer (an assertion), a hang or
//! memory without bound is a finding. cargo-fuzz calls them from `host/fuzz`, which is a workspace of its own; the test
//! of this crate replays the corpus kept there, so that every finding of the past is tried with every change. Nothing
//! of the pool depends on this crate.

mod bitcoin;
mod documents;
mod files;
mod input;
mod lines;
mod transports;

pub use bitcoin::bitcoin;
pub use documents::{config, dialect, recipe};
pub use files::{journal, segments};
pub use lines::lines;
pub use transports::{proxy, zmtp};

/// A decoder as it is fuzzed: any bytes go in.
pub type Entry = fn(&[u8]);

/// All of them by the names of their targets and corpus folders.
pub const ENTRIES: [(&str, Entry); 9] = [
    ("lines", lines),
    ("dialect", dialect),
    ("recipe", recipe),
    ("config", config),
    ("proxy", proxy),
    ("zmtp", zmtp),
    ("bitcoin", bitcoin),
    ("segments", segments),
    ("journal", journal),
];
