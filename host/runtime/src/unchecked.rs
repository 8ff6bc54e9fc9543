//! The only unsafe code around the sandbox: loading compiled code whose authenticity has been checked, and two system
//! calls without a safe interface in the standard library.
#![allow(unsafe_code)]

use std::time::Duration;
use wasmtime::{Engine, component::Component};

/// Loads compiled code.
///
/// `Component::deserialize` runs what it is given as machine code. It is called with two kinds of bytes only: those
/// that our own child process has just written to its pipe, and those of a cache file whose MAC under the
/// installation's key has been verified over the whole content. A file that anybody without the key has made or
/// changed never gets here.
pub(crate) fn load_compiled(engine: &Engine, compiled: &Authentic) -> wasmtime::Result<Component> {
    // SAFETY: `Authentic` is made by `Compiled` sources of this crate only: the child's pipe and a verified cache
    // file. Both hold the unmodified output of `Engine::precompile_component`; wasmtime itself checks that version
    // and configuration are this engine's.
    unsafe { Component::deserialize(engine, &compiled.0) }
}

/// Compiled code that this host made itself.
pub(crate) struct Authentic(Vec<u8>);

impl Authentic {
    /// The caller vouches that the bytes are the output of `precompile_component` on this host.
    pub(crate) fn vouched(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// CPU time that the calling thread has used; zero where the system does not tell.
pub(crate) fn thread_cpu_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a local of the type that the call fills in.
    let told = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    if told != 0 {
        return Duration::ZERO;
    }
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanos = u32::try_from(time.tv_nsec).unwrap_or(0);
    Duration::new(seconds, nanos)
}

/// Limits this process: address space in bytes, CPU time in seconds, no core dumps. For the compiling child.
pub(crate) fn limit_process(memory: u64, cpu_seconds: u64) -> std::io::Result<()> {
    let pairs = [(libc::RLIMIT_AS, memory), (libc::RLIMIT_CPU, cpu_seconds), (libc::RLIMIT_CORE, 0)];
    for (resource, value) in pairs {
        let limit = libc::rlimit { rlim_cur: value, rlim_max: value };
        // SAFETY: the pointer is to a local that outlives the call.
        if unsafe { libc::setrlimit(resource, &raw const limit) } != 0 {
            return Err(std::io::Error::last_os_error());
        }
    }
    Ok(())
}
