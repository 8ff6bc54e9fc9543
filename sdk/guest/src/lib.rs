//! What plugin authors write against: the traits, types and macros of every Millpond contract.
//!
//! | I write | module | trait | macro |
//! |---|---|---|---|
//! | a payout scheme that splits one window | [`payout`] | [`payout::Split`] | [`export_scheme!`] |
//! | any other payout scheme | [`payout`] | [`payout::Scheme`], [`payout::Accrual`] | [`export_scheme!`], [`export_accrual!`] |
//! | one that needs the second version of the contract | [`payout_0_2`] | [`payout_0_2::Scheme`], [`payout_0_2::Accrual`] | [`export_scheme_0_2!`], [`export_accrual_0_2!`] |
//! | a fee policy | [`fee`] | [`fee::FeePolicy`] | [`export_fee_policy!`] |
//! | a vote policy | [`vote`] | [`vote::VotePolicy`] | [`export_vote_policy!`] |
//! | a chain adapter | [`chain`] | [`chain::Adapter`] | [`export_adapter!`] |
//! | one for a node with `getblocktemplate` | [`chain::gbt`] | [`chain::gbt::Coin`] | [`export_adapter!`] |
//!
//! A guest is a crate of type `["cdylib", "rlib"]`. The macros emit exports for `wasm32` only, so the same crate
//! builds natively and its unit tests run like any other's. What a function means, who calls it, when, and what an
//! error leads to is documented once, in the WIT files under `wit/`; the generated items below carry that text.
//!
//! Payout, fee and vote plugins are of the *strict class*: no imports and no floating-point instruction anywhere in
//! the component. `std` collections, `format!` and `u128` are fine; `f32`/`f64` (and crates that use them) are not.

mod apportion;
pub mod bech32;
pub mod chain;
#[cfg(feature = "payout-0-2")]
pub mod credit;
pub mod fee;
#[cfg(feature = "payout-0-2")]
pub mod fixed;
pub mod hex;
pub mod json;
pub mod payout;
#[cfg(feature = "payout-0-2")]
pub mod payout_0_2;
#[cfg(feature = "payout-0-2")]
pub mod score;
mod settings;
pub mod vote;

pub use apportion::{cumulative, floor, mul_div};
pub use settings::{Setting, Settings};

/// What the export macros need; not for authors.
#[doc(hidden)]
pub mod __private {
    pub use crate::chain::__private as chain;
}

/// The schema of a plugin without settings of its own: an object that accepts nothing.
pub const NO_SETTINGS: &str = r#"{"type":"object","properties":{},"additionalProperties":false}"#;
