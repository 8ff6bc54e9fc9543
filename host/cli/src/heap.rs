//! How the C library's heap is set before anything else happens.
#![allow(unsafe_code)] // One call that has no safe interface.

/// Blocks of this many bytes and more are mappings of their own, which go back to the system when they are freed.
///
/// The C library would raise that limit to the largest block that was ever freed: a template's four megabytes. Templates
/// would then come from the heap itself, small blocks that stay would come to lie between them, and each new template would
/// find no hole that is large enough: a pool's memory would grow with its time and not with its miners.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const LARGE: std::ffi::c_int = 256 * 1024;

/// Sets the heap. Called once, before threads are started.
pub(crate) fn set() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        // SAFETY: mallopt takes two numbers and touches the allocator's own settings alone; no other thread runs yet. Where
        // it refuses, the heap stays as it was, which costs memory and nothing else.
        let _taken = unsafe { libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE) };
    }
}
