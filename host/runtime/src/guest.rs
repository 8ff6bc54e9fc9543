//! A store with limits, and calls into it.

use crate::guest_log::{GuestLog, clean};
use crate::limits::{Budget, TICK};
use crate::outcome::{CallError, Done, Outcome, TrapKind};
use crate::sandbox::Plugin;
use crate::unchecked::thread_cpu_time;
use millpond_types::Digest;
use std::sync::Arc;
use std::time::{Duration, Instant};
use wasmtime::component::ResourceTable;
use wasmtime::{ResourceLimiter, Store, Trap, UpdateDeadline};

/// The host's side of one instance: its limits and its log.
#[derive(Debug)]
pub struct Guest {
    /// The plugin's name and version, for what is logged during its calls.
    plugin: (Arc<str>, Digest),
    budget: Budget,
    host_calls: u64,
    host_bytes: u64,
    /// Bytes that its linear memories have grown to.
    memory: u64,
    cpu_start: Duration,
    wall_start: Instant,
    log: GuestLog,
    /// Resources that the host holds for the guest; none of today's contracts has any.
    pub resources: ResourceTable,
}

impl Guest {
    /// Counts one call of a host function that works on this many bytes.
    ///
    /// # Errors
    /// Beyond the limit: the guest traps.
    pub fn host_call(&mut self, bytes: usize) -> wasmtime::Result<()> {
        self.host_calls = self.host_calls.saturating_add(1);
        self.host_bytes = self.host_bytes.saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX));
        if self.host_bytes > self.budget.host_bytes {
            return Err(LimitMet::HostBytes(self.budget.host_bytes).into());
        }
        if self.host_calls > self.budget.host_calls {
            return Err(LimitMet::HostCalls(self.budget.host_calls).into());
        }
        Ok(())
    }

    /// Bytes that the instance's linear memories have grown to.
    #[must_use]
    pub fn memory(&self) -> u64 {
        self.memory
    }

    /// The plugin's log.
    #[must_use]
    pub fn log(&self) -> &GuestLog {
        &self.log
    }
}

/// A limit of ours that ended a call.
#[derive(Clone, Copy, Debug, thiserror::Error)]
enum LimitMet {
    #[error("it wanted {wanted} bytes of memory, the limit for this call is {limit}")]
    Memory { wanted: usize, limit: u64 },
    #[error("it wanted a table of {wanted} elements, the limit is {limit}")]
    Table { wanted: usize, limit: u64 },
    #[error("it called the host more than {0} times in one call")]
    HostCalls(u64),
    #[error("it had the host hash more than {0} bytes in one call")]
    HostBytes(u64),
    #[error("it used {used_ms} ms of CPU time, the limit for this call is {limit_ms} ms")]
    Cpu { used_ms: u128, limit_ms: u128 },
    #[error("{wall_ms} ms passed while it got {used_ms} ms of CPU time")]
    Wall { wall_ms: u128, used_ms: u128 },
}

impl ResourceLimiter for Guest {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        if u64::try_from(desired).unwrap_or(u64::MAX) > self.budget.memory {
            // A trap, not a failing grow: what a guest does about it could differ from machine to machine.
            return Err(LimitMet::Memory { wanted: desired, limit: self.budget.memory }.into());
        }
        let more = u64::try_from(desired.saturating_sub(current)).unwrap_or(u64::MAX);
        self.memory = self.memory.saturating_add(more);
        Ok(true)
    }

    fn memory_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        Err(error)
    }

    fn table_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        if u64::try_from(desired).unwrap_or(u64::MAX) > self.budget.table {
            return Err(LimitMet::Table { wanted: desired, limit: self.budget.table }.into());
        }
        Ok(true)
    }

    fn table_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        Err(error)
    }
}

/// A store for one instance of a plugin, with the limits of its first call.
#[must_use]
pub fn store(plugin: &Plugin, budget: Budget, log: GuestLog) -> Store<Guest> {
    let mut resources = ResourceTable::new();
    resources.set_max_capacity(usize::try_from(budget.handles).unwrap_or(usize::MAX));
    let guest = Guest {
        plugin: (Arc::from(clean(plugin.name(), 64)), plugin.digest()),
        budget,
        host_calls: 0,
        host_bytes: 0,
        memory: 0,
        cpu_start: thread_cpu_time(),
        wall_start: Instant::now(),
        log,
        resources,
    };
    let mut store = Store::new(plugin.component().engine(), guest);
    store.limiter(|guest| guest);
    store.epoch_deadline_callback(|context| {
        let guest = context.data();
        let used = thread_cpu_time().saturating_sub(guest.cpu_start);
        let wall = guest.wall_start.elapsed();
        if used >= guest.budget.cpu {
            let limit_ms = guest.budget.cpu.as_millis();
            return Err(LimitMet::Cpu { used_ms: used.as_millis(), limit_ms }.into());
        }
        if wall >= guest.budget.wall {
            return Err(LimitMet::Wall { wall_ms: wall.as_millis(), used_ms: used.as_millis() }.into());
        }
        Ok(UpdateDeadline::Continue(ticks(guest.budget.cpu - used)))
    });
    arm(&mut store, budget);
    store
}

fn ticks(time: Duration) -> u64 {
    u64::try_from(time.as_millis().div_ceil(TICK.as_millis()).max(1)).unwrap_or(u64::MAX)
}

/// Sets the limits of the next call.
fn arm(store: &mut Store<Guest>, budget: Budget) {
    let guest = store.data_mut();
    guest.budget = budget;
    guest.host_calls = 0;
    guest.host_bytes = 0;
    guest.cpu_start = thread_cpu_time();
    guest.wall_start = Instant::now();
    // Only an engine without fuel refuses, and ours all have it.
    if let Err(error) = store.set_fuel(budget.fuel) {
        tracing::error!(%error, "fuel could not be set");
    }
    store.set_epoch_deadline(ticks(budget.cpu));
    store.set_hostcall_fuel(usize::try_from(budget.hostcall).unwrap_or(usize::MAX));
    store.set_max_component_handles(usize::try_from(budget.handles).unwrap_or(usize::MAX));
}

/// One call into an instance, under a budget. The inner result is the plugin's own.
///
/// # Errors
/// The plugin's own error, cleaned and cut; or the trap, after which the store must be dropped: it is poisoned.
pub fn call<T>(
    store: &mut Store<Guest>,
    function: &str,
    budget: Budget,
    run: impl FnOnce(&mut Store<Guest>) -> wasmtime::Result<Result<T, String>>,
) -> Outcome<T> {
    arm(store, budget);
    let (plugin, version) = &store.data().plugin;
    // An exported algorithm is called for shares: finer than what is logged by default.
    let span = tracing::debug_span!("plugin", %plugin, version = %version.short(), function);
    let done = span.in_scope(|| run(store));
    match done {
        Ok(Ok(value)) => {
            let left = store.get_fuel().unwrap_or(0);
            Ok(Done { value, fuel_limit: budget.fuel, fuel_used: budget.fuel.saturating_sub(left) })
        }
        Ok(Err(message)) => {
            Err(CallError::Plugin { function: function.to_owned(), message: clean(&message, 1024) })
        }
        Err(error) => Err(trapped(function, &error, budget)),
    }
}

/// The error of a call or of an instantiation that did not return.
#[must_use]
pub fn trapped(function: &str, error: &wasmtime::Error, budget: Budget) -> CallError {
    let function = function.to_owned();
    if let Some(met) = error.downcast_ref::<LimitMet>() {
        let kind = match met {
            LimitMet::Memory { .. } | LimitMet::Table { .. } => TrapKind::Memory,
            LimitMet::HostCalls(_) | LimitMet::HostBytes(_) => TrapKind::Other,
            LimitMet::Cpu { .. } => TrapKind::Epoch,
            LimitMet::Wall { .. } => TrapKind::Overload,
        };
        return CallError::Trap { function, kind, message: met.to_string() };
    }
    if let Some(trap) = error.downcast_ref::<Trap>() {
        let (kind, message) = match trap {
            Trap::OutOfFuel => {
                let limit = budget.fuel;
                (
                    TrapKind::Fuel,
                    format!("it used all {limit} units that a call of this size has: an endless loop?"),
                )
            }
            Trap::StackOverflow => {
                let limit = crate::limits::WASM_STACK / 1024;
                (TrapKind::Stack, format!("more than {limit} KiB of stack: recursion without end?"))
            }
            Trap::Interrupt => (TrapKind::Epoch, "interrupted".to_owned()),
            other => (TrapKind::Other, format!("{other}{}", place(error))),
        };
        return CallError::Trap { function, kind, message };
    }
    // Of the guest's own doing come traps and wrong values, never an error of the operating system.
    let of_system = |cause: &(dyn std::error::Error + 'static)| {
        cause.is::<std::io::Error>() || cause.is::<rustix::io::Errno>()
    };
    if error.chain().any(of_system) {
        let message = clean(&format!("{error:#}"), 1024);
        return CallError::Trap { function, kind: TrapKind::Machine, message };
    }
    let cause = error.root_cause().to_string();
    // wasmtime keeps this error's type to itself; a test holds its words.
    if cause.contains("fuel allocated for hostcalls") {
        let message =
            format!("one result or argument exceeds {} bytes, the limit for this call", budget.hostcall);
        return CallError::Trap { function, kind: TrapKind::Hostcall, message };
    }
    if error.is::<wasmtime::PoolConcurrencyLimitError>() {
        // Whoever took the last one, it was not this plugin's fault.
        let message = format!("no free instance in the pool: {cause}");
        return CallError::Trap { function, kind: TrapKind::Overload, message };
    }
    CallError::Trap { function, kind: TrapKind::Other, message: clean(&format!("{error:#}"), 1024) }
}

/// Where a trap happened: the innermost functions of the guest's stack.
fn place(error: &wasmtime::Error) -> String {
    let Some(trace) = error.downcast_ref::<wasmtime::WasmBacktrace>() else { return String::new() };
    let names: Vec<String> = trace
        .frames()
        .iter()
        .take(4)
        .map(|frame| match frame.func_name() {
            Some(name) => clean(name, 120),
            None => format!("function {}", frame.func_index()),
        })
        .collect();
    if names.is_empty() { String::new() } else { format!(", in {}", names.join(" < ")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::CallSize;
    use crate::limits::Class;

    #[test]
    fn what_the_operating_system_refuses_is_not_held_against_the_plugin() {
        let budget = Budget::of(Class::Adapter, CallSize::default());
        let refused = [
            wasmtime::Error::from(rustix::io::Errno::NOMEM).context("mprotect failed"),
            wasmtime::Error::from(std::io::Error::from(std::io::ErrorKind::OutOfMemory)),
        ];
        for error in refused {
            let error = trapped("pow.run", &error, budget);
            assert!(matches!(&error, CallError::Trap { kind: TrapKind::Machine, .. }), "{error:?}");
            assert!(!error.is_strike());
        }
        // A guest that grows beyond what its own type allows, as wasmtime words it.
        let own = trapped("pow.run", &wasmtime::Error::msg("Memory maximum size exceeded"), budget);
        assert!(own.is_strike(), "{own:?}");
    }
}
