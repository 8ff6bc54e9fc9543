//! The sandbox: wasmtime engines, limits, compiled-code cache, compilation in a child process, strikes.

mod outcome;

pub use outcome::{CallError, Done, Outcome, TrapKind};
