//! A call in a fresh instance: store, instantiation, call and drop.

use super::signatures::Signatures;
use millpond_runtime::{
    Budget, CallError, CallSize, Guest, GuestLog, LogSink, Outcome, Plugin, Urgency, call, store,
};
use std::sync::Arc;
use wasmtime::Store;
use wasmtime::component::{InstancePre, Linker};

/// A plugin with its bindings prepared for instantiation.
pub(crate) struct Fresh<P> {
    pub(crate) plugin: Plugin,
    pub(crate) log: GuestLog,
    pub(crate) pre: P,
}

/// Bindings that can be instantiated.
pub(crate) trait Instantiate {
    type Bindings;
    fn instantiate(&self, store: &mut Store<Guest>) -> wasmtime::Result<Self::Bindings>;
}

/// Generated `…Pre` types all have the same method.
macro_rules! instantiate {
    ($pre:ty, $bindings:ty) => {
        impl $crate::since_0_1::fresh::Instantiate for $pre {
            type Bindings = $bindings;
            fn instantiate(
                &self,
                store: &mut wasmtime::Store<millpond_runtime::Guest>,
            ) -> wasmtime::Result<$bindings> {
                <$pre>::instantiate(self, store)
            }
        }
    };
}
pub(crate) use instantiate;

impl<P: Instantiate> Fresh<P> {
    pub(crate) fn new(plugin: Plugin, pre: P, sink: Arc<dyn LogSink>) -> Self {
        let log = GuestLog::new(plugin.name(), plugin.class().limits(), sink);
        Self { plugin, log, pre }
    }

    /// Binds a loaded component of the strict class, which imports nothing; an error says which export has another
    /// type than the contract's.
    pub(crate) fn bind(
        plugin: &Plugin,
        sink: &Arc<dyn LogSink>,
        prepared: impl FnOnce(InstancePre<Guest>) -> wasmtime::Result<P>,
        signatures: Signatures,
    ) -> wasmtime::Result<Self> {
        let linker = Linker::<Guest>::new(plugin.component().engine());
        let instance = linker.instantiate_pre(plugin.component())?;
        let fresh = Self::new(plugin.clone(), prepared(instance.clone())?, sink.clone());
        fresh.trial(&instance, signatures)
    }

    /// Makes an instance and drops it: only then are all types compared with the contract's.
    pub(crate) fn trial(
        self,
        instance: &InstancePre<Guest>,
        signatures: Signatures,
    ) -> wasmtime::Result<Self> {
        let _place = self
            .plugin
            .place(Urgency::Ordinary, "trial")
            .map_err(|why| wasmtime::Error::msg(why.to_string()))?;
        let budget = Budget::of(self.plugin.class(), CallSize::default());
        let mut store = store(&self.plugin, budget, self.log.clone());
        let made = instance.instantiate(&mut store)?;
        if let Some(differs) = signatures(&mut store, &made) {
            return Err(wasmtime::Error::msg(differs));
        }
        self.pre.instantiate(&mut store)?;
        Ok(self)
    }

    /// The budget of a call of this size, or the refusal of an input that no budget is for.
    pub(crate) fn budget(&self, function: &str, size: CallSize) -> Result<Budget, CallError> {
        let class = self.plugin.class();
        let limit = class.limits().input;
        if size.bytes > limit {
            let message = format!("an input of {} bytes, the {class} class allows {limit}", size.bytes);
            return Err(CallError::Host { function: function.to_owned(), message });
        }
        Ok(Budget::of(class, size))
    }

    /// Makes an instance, runs one call in it and drops it; instantiation counts as part of the call.
    pub(crate) fn run<T>(
        &self,
        function: &str,
        size: CallSize,
        run: impl FnOnce(&P::Bindings, &mut Store<Guest>) -> wasmtime::Result<Result<T, String>>,
    ) -> Outcome<T> {
        self.run_as(Urgency::Ordinary, function, size, run)
    }

    /// As [`Fresh::run`], by how urgent the call is.
    pub(crate) fn run_as<T>(
        &self,
        urgency: Urgency,
        function: &str,
        size: CallSize,
        run: impl FnOnce(&P::Bindings, &mut Store<Guest>) -> wasmtime::Result<Result<T, String>>,
    ) -> Outcome<T> {
        let budget = self.budget(function, size)?;
        let _place = self.plugin.place(urgency, function)?;
        let mut store = store(&self.plugin, budget, self.log.clone());
        call(&mut store, function, budget, |store| {
            let bindings = self.pre.instantiate(store)?;
            run(&bindings, store)
        })
    }
}
