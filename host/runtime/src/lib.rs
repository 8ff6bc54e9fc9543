//! The sandbox: wasmtime engines, limits, compiled-code cache, compilation in a child process, strikes.
//!
//! Every byte of a plugin is hostile here. A plugin costs at most its budget ([`limits`]) and its own result; it never
//! costs the pool its process. This crate knows no contract: `millpond-contracts` binds the WIT worlds to it.
//!
//! Threads that call plugins have at least 2 MiB of stack (Rust's default).

mod cache;
mod compile;
mod engine;
mod guest;
mod guest_log;
mod inspect;
pub mod limits;
mod outcome;
mod places;
mod sandbox;
pub mod strikes;
mod unchecked;

pub use compile::{COMPILE_ARGUMENT, CompileError, Compiler, compile_child_main};
pub use engine::WASMTIME_VERSION;
pub use guest::{Guest, call, store, trapped};
pub use guest_log::{GuestLog, LogSink, TracingSink, clean};
pub use inspect::{Counts, Extern, Finding, Report, inspect};
pub use limits::{Budget, CallSize, Class};
pub use outcome::{CallError, Done, Outcome, TrapKind};
pub use places::{Place, Urgency};
pub use sandbox::{LoadError, Plugin, Sandbox};
