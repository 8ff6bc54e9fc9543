//! The one table of limits on plugins. Plain data: what a limit is, where the number comes from, how it scales.
//!
//! Limits scale with the input, because a limit that does not stops a pool when blocks are full: a 4 MB block is
//! about 8 MB of JSON hex, and a million miners are 16 MB of columns.

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A mebibyte.
pub const MIB: u64 = 1 << 20;

/// The class of a plugin: what it may contain and how it is limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// Chain adapters: pure host functions may be imported; floats with canonical NaN.
    Adapter,
    /// Payout schemes, fee and vote policies: no imports, no floats.
    Strict,
}

impl Class {
    /// The class's row of the table.
    #[must_use]
    pub const fn limits(self) -> &'static Limits {
        match self {
            Self::Adapter => &ADAPTER,
            Self::Strict => &STRICT,
        }
    }

    /// The class's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Adapter => "adapter",
            Self::Strict => "strict",
        }
    }

    /// The class of a name.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        [Self::Adapter, Self::Strict].into_iter().find(|class| class.name() == name)
    }
}

impl std::fmt::Display for Class {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// A limit that grows with the size of a call: `base + per_byte * bytes + per_row * rows`, at most `cap`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scaled {
    /// For an empty input.
    pub base: u64,
    /// Per byte of input.
    pub per_byte: u64,
    /// Per row (miner or share) of input.
    pub per_row: u64,
    /// Never more than this.
    pub cap: u64,
}

impl Scaled {
    const fn fixed(base: u64) -> Self {
        Self { base, per_byte: 0, per_row: 0, cap: base }
    }

    /// The limit for a call of this size.
    #[must_use]
    pub const fn at(&self, size: CallSize) -> u64 {
        let bytes = self.per_byte.saturating_mul(size.bytes);
        let rows = self.per_row.saturating_mul(size.rows);
        let sum = self.base.saturating_add(bytes).saturating_add(rows);
        if sum < self.cap { sum } else { self.cap }
    }
}

/// How large a call's input is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CallSize {
    /// Bytes of bodies, texts and lists.
    pub bytes: u64,
    /// Miners or shares.
    pub rows: u64,
}

impl CallSize {
    /// A call with this many bytes.
    #[must_use]
    pub fn bytes(bytes: usize) -> Self {
        Self { bytes: u64::try_from(bytes).unwrap_or(u64::MAX), rows: 0 }
    }

    /// A call with this many rows.
    #[must_use]
    pub fn rows(rows: usize) -> Self {
        Self { bytes: 0, rows: u64::try_from(rows).unwrap_or(u64::MAX) }
    }
}

/// All limits of a class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Size of the component in bytes.
    pub component: u64,
    /// Input of one call in bytes; a larger one is refused before the plugin sees it.
    pub input: u64,
    /// Linear memory in bytes.
    pub memory: Scaled,
    /// Elements of a table.
    pub table: u64,
    /// Fuel: about one per instruction. For money it alone decides, so that every machine decides alike.
    pub fuel: Scaled,
    /// CPU time of the calling thread in milliseconds, checked every [`TICK`].
    pub cpu_ms: Scaled,
    /// Wall-clock time is at most this many times `cpu_ms`, however busy the host is.
    pub wall_factor: u64,
    /// Bytes handed to the host in one transfer, results too.
    pub hostcall: Scaled,
    /// Live component-model handles.
    pub handles: u64,
    /// Calls of host functions in one call.
    pub host_calls: u64,
    /// Bytes that host functions hash for the guest in one call: fuel and CPU limits do not interrupt the host.
    pub host_bytes: Scaled,
    /// Bytes of a log line; the rest is cut.
    pub log_line: u64,
    /// Log lines in a second; the rest is counted.
    pub log_lines: u64,
    /// What a component may contain, checked before it is compiled.
    pub content: Content,
}

/// What a component may contain: bounds on the time to compile it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Content {
    /// Functions in all core modules together.
    pub functions: u64,
    /// Bytes of one function's body.
    pub body: u64,
    /// Locals of one function.
    pub locals: u64,
    /// Core modules, nested ones included.
    pub modules: u64,
    /// Nested components.
    pub components: u64,
    /// Tables in all core modules together.
    pub tables: u64,
    /// Memories in all core modules together.
    pub memories: u64,
    /// Globals in all core modules together.
    pub globals: u64,
    /// Types in all core modules together.
    pub types: u64,
    /// Imports and exports of all core modules together.
    pub externs: u64,
}

/// The epoch's tick.
pub const TICK: Duration = Duration::from_millis(10);
/// Bytes of native stack that a plugin may use; threads that call plugins have 2 MiB.
pub const WASM_STACK: usize = 512 * 1024;
/// Bytes of a body (a node's answer) that is handed to an adapter.
pub const BODY: u64 = 32 * MIB;
/// Instances alive at once, per class. A slot is address space until it is used.
pub const INSTANCES: u32 = 64;
/// Instances kept for calls that a block or an adapter's own life waits for, out of [`INSTANCES`].
pub const RESERVED: u32 = 16;
/// Instances kept while nobody calls them, out of [`INSTANCES`].
pub const KEPT: u32 = 16;
/// Linear memory that a pooled slot can grow to: the largest of the `memory` caps.
pub const SLOT: u64 = 512 * MIB;

/// Chain adapters.
pub const ADAPTER: Limits = Limits {
    component: 32 * MIB,
    input: BODY + 4 * MIB,
    memory: Scaled { base: 64 * MIB, per_byte: 8, per_row: 0, cap: 64 * MIB + 8 * (BODY + 4 * MIB) },
    table: 10_000,
    fuel: Scaled { base: 50_000_000, per_byte: 200, per_row: 0, cap: 50_000_000 + 200 * (BODY + 4 * MIB) },
    // And ADAPTER_MS_PER_MIB for every MiB.
    // Five times what the fuel takes on a slow core: an endless loop ends by fuel, at the same place on every machine.
    cpu_ms: Scaled::fixed(250),
    wall_factor: 8,
    hostcall: Scaled::fixed(16 * MIB),
    handles: 500,
    host_calls: 10_000,
    host_bytes: Scaled { base: 16 * MIB, per_byte: 4, per_row: 0, cap: 256 * MIB },
    log_line: 1024,
    log_lines: 64,
    content: Content {
        functions: 100_000,
        body: 2 * MIB,
        locals: 20_000,
        modules: 32,
        components: 64,
        tables: 32,
        memories: 8,
        globals: 10_000,
        types: 20_000,
        externs: 20_000,
    },
};

/// Milliseconds of CPU time that an adapter gets per MiB of input, beyond `cpu_ms`.
pub const ADAPTER_MS_PER_MIB: u64 = 25;

/// Payout schemes, fee policies and vote policies.
pub const STRICT: Limits = Limits {
    component: 4 * MIB,
    input: 512 * MIB,
    memory: Scaled { base: 32 * MIB, per_byte: 2, per_row: 160, cap: SLOT },
    table: 10_000,
    fuel: Scaled { base: 1_000_000_000, per_byte: 0, per_row: 100_000, cap: 50_000_000_000 },
    // Far above the time that the fuel cap takes: fuel alone decides, or replay differs between machines.
    cpu_ms: Scaled::fixed(300_000),
    wall_factor: 4,
    hostcall: Scaled { base: MIB, per_byte: 0, per_row: 64, cap: SLOT },
    handles: 16,
    host_calls: 100,
    host_bytes: Scaled::fixed(0),
    log_line: 1024,
    log_lines: 64,
    content: Content {
        functions: 20_000,
        body: 512 * 1024,
        locals: 5_000,
        modules: 16,
        components: 32,
        tables: 16,
        memories: 4,
        globals: 5_000,
        types: 10_000,
        externs: 10_000,
    },
};

/// Compilation, which runs in a child process: CPU seconds.
pub const COMPILE_CPU_SECONDS: u64 = 120;
/// Compilation: wall-clock time, after which the child is killed.
pub const COMPILE_WALL: Duration = Duration::from_secs(180);
/// Compilation: address space of the child.
pub const COMPILE_MEMORY: u64 = 3 << 30;
/// Compilation: bytes of compiled code.
pub const COMPILED: u64 = 512 * MIB;

/// What one call may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Linear memory in bytes.
    pub memory: u64,
    /// Elements of a table.
    pub table: u64,
    /// Fuel.
    pub fuel: u64,
    /// CPU time of the calling thread.
    pub cpu: Duration,
    /// Wall-clock time.
    pub wall: Duration,
    /// Bytes handed to the host in one transfer.
    pub hostcall: u64,
    /// Live handles.
    pub handles: u64,
    /// Calls of host functions.
    pub host_calls: u64,
    /// Bytes that host functions hash for the guest.
    pub host_bytes: u64,
}

impl Budget {
    /// The budget of a call of this size in this class.
    #[must_use]
    pub fn of(class: Class, size: CallSize) -> Self {
        let limits = class.limits();
        let per_mib = match class {
            Class::Adapter => ADAPTER_MS_PER_MIB,
            Class::Strict => 0,
        };
        let cpu_ms = limits.cpu_ms.at(size).saturating_add(per_mib.saturating_mul(size.bytes.div_ceil(MIB)));
        Self {
            memory: limits.memory.at(size),
            table: limits.table,
            fuel: limits.fuel.at(size),
            cpu: Duration::from_millis(cpu_ms),
            wall: Duration::from_millis(cpu_ms.saturating_mul(limits.wall_factor)),
            hostcall: limits.hostcall.at(size),
            handles: limits.handles,
            host_calls: limits.host_calls,
            host_bytes: limits.host_bytes.at(size),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_witness_heavy_block_fits_an_adapter() {
        // 4 MB of block are 8 MB of hex; the adapter keeps it parsed, as bytes and as hex again.
        let budget = Budget::of(Class::Adapter, CallSize::bytes(8_000_000));
        assert!(budget.memory >= 4 * 8_000_000 + 64 * MIB);
        assert_eq!(budget.fuel, 50_000_000 + 200 * 8_000_000);
        assert_eq!(budget.cpu, Duration::from_millis(250 + 25 * 8));
    }

    #[test]
    fn a_million_miners_fit_a_scheme() {
        let budget = Budget::of(Class::Strict, CallSize::rows(1_000_000));
        assert_eq!(budget.memory, 32 * MIB + 160_000_000);
        assert_eq!(budget.fuel, 50_000_000_000);
        assert!(budget.hostcall >= 32 * 1_000_000);
    }

    #[test]
    fn no_size_exceeds_the_slot_of_the_pooling_allocator() {
        for class in [Class::Adapter, Class::Strict] {
            let budget = Budget::of(class, CallSize { bytes: u64::MAX, rows: u64::MAX });
            assert!(budget.memory <= SLOT, "{class}");
            assert!(budget.fuel < u64::MAX / 4, "{class}");
        }
    }
}
