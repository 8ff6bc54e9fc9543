//! One wasmtime engine per class, configured for untrusted and deterministic guests.

use crate::limits::{self, Class};
use std::hash::{Hash, Hasher};
use wasmtime::{
    Config, Engine, InstanceAllocationStrategy, ModuleVersionStrategy, PoolingAllocationConfig, WasmFeatures,
};

/// The full version of the engine that compiles and runs plugins; part of every audit record.
pub const WASMTIME_VERSION: &str = "48.0.8";

/// What an engine is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Running plugins: the pooling allocator reserves address space.
    Run,
    /// Compiling in a child with little address space; the code is the same.
    Compile,
}

/// The configuration of a class. Everything that could make two machines differ is off: floats (strict), NaN bits and
/// relaxed SIMD (adapter), threads, asynchrony, garbage collection, exceptions, wide memories.
fn config(class: Class, purpose: Purpose) -> wasmtime::Result<Config> {
    let mut config = Config::new();
    config.concurrency_support(false);
    config.wasm_component_model(true);
    for feature in [
        WasmFeatures::CM_ASYNC,
        WasmFeatures::CM_ASYNC_STACKFUL,
        WasmFeatures::CM_MORE_ASYNC_BUILTINS,
        WasmFeatures::CM_ERROR_CONTEXT,
        WasmFeatures::CM_GC,
        WasmFeatures::CM_VALUES,
        WasmFeatures::GC,
        WasmFeatures::FUNCTION_REFERENCES,
        WasmFeatures::EXCEPTIONS,
        WasmFeatures::THREADS,
        WasmFeatures::SHARED_EVERYTHING_THREADS,
        WasmFeatures::MEMORY64,
        WasmFeatures::CUSTOM_PAGE_SIZES,
        WasmFeatures::STACK_SWITCHING,
        WasmFeatures::RELAXED_SIMD,
    ] {
        config.wasm_features(feature, false);
    }
    match class {
        Class::Adapter => {
            config.cranelift_nan_canonicalization(true);
            config.relaxed_simd_deterministic(true);
        }
        Class::Strict => {
            config.wasm_features(WasmFeatures::FLOATS, false);
            config.wasm_features(WasmFeatures::SIMD, false);
        }
    }
    config.consume_fuel(true);
    config.epoch_interruption(true);
    config.max_wasm_stack(limits::WASM_STACK);
    config.module_version(ModuleVersionStrategy::Custom(format!("millpond-{WASMTIME_VERSION}")))?;
    config.wasm_backtrace_max_frames(std::num::NonZeroUsize::new(8));
    if purpose == Purpose::Run {
        let mut pool = PoolingAllocationConfig::new();
        let table = usize::try_from(class.limits().table).unwrap_or(usize::MAX);
        pool.total_component_instances(limits::INSTANCES)
            .total_core_instances(limits::INSTANCES * 4)
            .total_memories(limits::INSTANCES)
            .total_tables(limits::INSTANCES * 4)
            .max_core_instances_per_component(32)
            .max_memories_per_component(4)
            .max_tables_per_component(16)
            .max_tables_per_module(8)
            .max_memories_per_module(4)
            .table_elements(table)
            .max_memory_size(usize::try_from(limits::SLOT).unwrap_or(usize::MAX))
            .max_unused_warm_slots(4);
        config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    }
    Ok(config)
}

/// The engine of a class.
pub(crate) fn engine(class: Class, purpose: Purpose) -> wasmtime::Result<Engine> {
    Engine::new(&config(class, purpose)?)
}

/// A digest of everything that compiled code depends on but the component: the engine's version and configuration.
pub(crate) fn compatibility(engine: &Engine) -> [u8; 32] {
    struct Blake(blake3::Hasher);
    impl Hasher for Blake {
        fn finish(&self) -> u64 {
            0
        }
        fn write(&mut self, bytes: &[u8]) {
            self.0.update(bytes);
        }
    }
    let mut hasher = Blake(blake3::Hasher::new());
    engine.precompile_compatibility_hash().hash(&mut hasher);
    *hasher.0.finalize().as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_compiled_in_a_child_fits_the_running_engine() {
        for class in [Class::Adapter, Class::Strict] {
            let run = engine(class, Purpose::Run).unwrap();
            let compile = engine(class, Purpose::Compile).unwrap();
            assert_eq!(compatibility(&run), compatibility(&compile), "{class}");
        }
    }

    #[test]
    fn the_version_in_audit_records_is_the_one_that_is_built() {
        let lock = include_str!("../../../Cargo.lock");
        assert!(lock.contains(&format!("name = \"wasmtime\"\nversion = \"{WASMTIME_VERSION}\"")));
    }
}
