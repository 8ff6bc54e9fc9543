//! Guests for tests: real components of the contracts' worlds, written as WebAssembly text, so that a hostile plugin
//! goes through the sandbox as any other does and no test needs a compiler for wasm.
//!
//! [`module`] makes a component of a world out of the bodies that matter; [`adapter`] is a chain adapter that
//! describes itself and does one thing; [`scheme`] is a payout scheme that splits evenly, with everything that a
//! hostile one may do instead; [`spun_adapter`] exports an algorithm worth measuring. [`Spoiled`] is a good adapter of one's own with one thing wrong.
#![allow(
    clippy::unwrap_used,
    reason = "for tests alone: what cannot be built fails the test that asked for it"
)]

mod adapter;
mod module;
mod pow;
pub mod scheme;
mod spoiled;

pub use adapter::{ADAPTER, adapter, adapter_of, adapter_with_documents};
pub use module::{DATA, Data, guest};
pub use pow::{ROWS, SPUN, TURNS, adapter_with_pow, forgetful_adapter, spun, spun_adapter, spun_table};
pub use spoiled::{Blind, Block, Spoil, Spoiled, Steal};
