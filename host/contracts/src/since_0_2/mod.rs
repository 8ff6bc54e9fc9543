//! Payout schemes as of 0.2: generated bindings, and their mapping to and from the core types.
//!
//! Nothing generated leaves this module. Fee policies and the other contracts have no 0.2.

pub(crate) mod payout;
mod signatures;
