//! Chores of the repository as a library, so that `millpond-bundled` tests the lock by the very code that wrote it.
//!
//! Nothing here is part of the pool; nothing here may be used by it outside tests. `millpond plugin build` is for
//! authors and builds with the same code.

pub mod advisories;
pub mod catalogue;
pub mod guests;
pub mod licences;
pub mod lock;
pub mod sources;
pub mod toolchain;

use std::path::PathBuf;

/// The top folder of the checkout.
pub fn root() -> PathBuf {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).map(PathBuf::from).unwrap_or(here)
}
