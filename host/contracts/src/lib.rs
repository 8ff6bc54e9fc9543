//! The plugin contracts as Rust: bindings of every frozen WIT version mapped to one core type each.
//!
//! Rooms above this one see the plain types and traits of [`chain`], [`payout`] and [`vote`], never generated
//! bindings. A new WIT version becomes another `since_*` module that maps into the same core types.
//!
//! [`load_adapter`], [`load_scheme`], [`load_fee_policy`] and [`load_vote_policy`] give the traits' implementations
//! for components; [`check`] says what does not fit, for `millpond plugin check`.

pub mod chain;
mod chain_adapter;
mod contract;
pub mod payout;
mod settings;
mod since_0_1;
mod since_0_2;
pub mod vote;
mod vote_check;

pub use contract::{
    AdapterError, Checked, Contract, check, check_static, load_adapter, load_fee_policy, load_scheme,
    load_vote_policy, schema, served,
};
pub use millpond_runtime::{CallError, Done, Outcome, TrapKind};
pub use settings::{Setting, Settings};
