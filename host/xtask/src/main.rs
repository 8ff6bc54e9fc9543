//! `cargo xtask`: chores of the repository.

use clap::{Parser, Subcommand};
use millpond_xtask::{advisories, guests, licences, root};
use std::process::ExitCode;

/// Chores of the repository.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Check every crate of Cargo.lock against the RustSec advisory database: the dated extract in the repository, or
    /// a checkout of the database.
    Advisories(advisories::Options),
    /// Build the guest components into host/bundled/components and write host/bundled/plugins.lock.
    ///
    /// Uses an installed wasm32-unknown-unknown target, else `rustup target add`, else Debian's packages of a Rust
    /// toolchain, unpacked (not installed, no root) under target/guest-toolchain.
    Guests(guests::Options),
    /// Check the licence of every crate that the workspace depends on against the allow list.
    Licences,
}

fn main() -> ExitCode {
    let done = match Arguments::parse().chore {
        Chore::Advisories(options) => advisories::run(&root(), &options),
        Chore::Guests(options) => guests::run(&root(), &options),
        Chore::Licences => licences::run(&root()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
