//! The sandbox: wasmtime engines, limits, compiled-code cache, compilation in a child process, strikes.
