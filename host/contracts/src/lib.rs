//! The plugin contracts as Rust: bindings of every frozen WIT version mapped to one core type each.
//!
//! Rooms above this one see the plain types and traits of [`chain`], [`payout`] and [`vote`], never generated
//! bindings. A new WIT version becomes another `since_*` module that maps into the same core types.

pub mod chain;
pub mod payout;
mod settings;
pub mod vote;

pub use millpond_runtime::{CallError, Done, Outcome, TrapKind};
pub use settings::{Setting, Settings};
