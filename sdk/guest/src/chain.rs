//! Chain adapters: node responses in, work and facts out.
//!
//! An adapter is a value made from its settings. The host gives it one event at a time and takes a list of actions
//! back; there is no I/O, no clock and no randomness inside. The pure methods (`assemble`, `read_reply`, `resolve`,
//! the settlement ones) run in other instances than `handle` does: they see what `new` made and nothing that events
//! changed since.

use std::cell::RefCell;
use std::marker::PhantomData;

/// The generated bindings; use the re-exports.
#[allow(
    missing_docs,
    unsafe_code,
    clippy::all,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::panic,
    clippy::expect_used
)]
#[doc(hidden)]
pub mod bindings {
    wit_bindgen::generate!({
        path: "../../wit/chain-0.1",
        world: "chain-adapter",
        pub_export_macro: true,
        export_macro_name: "export_chain_adapter",
        additional_derives: [PartialEq],
    });
}

macro_rules! optional {
    ($module:ident, $world:literal, $macro:literal) => {
        /// The generated bindings of an optional interface; use the re-exports.
        #[allow(missing_docs, unsafe_code, clippy::all, clippy::indexing_slicing, clippy::unwrap_used, clippy::panic, clippy::expect_used)]
        #[doc(hidden)]
        pub mod $module {
            wit_bindgen::generate!({
                path: "../../wit/chain-0.1",
                world: $world,
                pub_export_macro: true,
                export_macro_name: $macro,
                with: { "millpond:chain/types@0.1.0": crate::chain::bindings::millpond::chain::types },
            });
        }
    };
}
optional!(pow_bindings, "pow-only", "export_chain_pow");
optional!(codec_bindings, "codec-only", "export_chain_codec");
optional!(session_work_bindings, "session-work-only", "export_chain_session_work");
optional!(merge_parent_bindings, "merge-parent-only", "export_chain_merge_parent");

pub mod gbt;
pub mod host;

pub use bindings::exports::millpond::chain::payee::Payee;
pub use bindings::exports::millpond::chain::settlement::{Coin, Plan, Row, Unsigned, View};
pub use bindings::millpond::chain::types::{
    Action, Assembled, Aux, Call, CallError, Chunk, Description, ErrorKind, Event, Fate, Happening, Income,
    IncomeAt, Job, Kind, Output, Push, Reply, Setting, Solution, Start, Transport, Verdict, Watched,
};
pub use codec::Guest as Codec;
pub use codec_bindings::exports::millpond::chain::codec;
pub use merge_parent_bindings::exports::millpond::chain::merge_parent::Guest as MergeParent;
pub use pow_bindings::exports::millpond::chain::pow::Guest as Pow;
pub use session_work_bindings::exports::millpond::chain::session_work::Guest as SessionWork;

/// The plugin's section of the configuration: dotted keys, sorted, checked against `schema`.
pub type Settings = Vec<(String, Setting)>;

/// A chain adapter. One value per instance; see the WIT interfaces `adapter`, `block`, `payee` and `settlement` for
/// who calls what, when, and what an error leads to.
pub trait Adapter: Sized + 'static {
    /// JSON Schema of the adapter's configuration section.
    fn schema() -> String;

    /// Made once per instance, before anything else is called. What it returns as description must depend on the
    /// settings alone.
    fn new(settings: Settings) -> Result<(Self, Description), String>;

    /// One event. All actions are applied, or none. After an `Err` the instance lives on, after a trap a new one
    /// gets `start`.
    fn handle(&mut self, event: Event) -> Result<Vec<Action>, String>;

    /// The block of a solution and the call that hands it to a node. Pure; no event was ever seen by this instance.
    fn assemble(&self, solution: Solution) -> Result<Assembled, String>;

    /// What a node's answer to the assembled call means: the text of `result`, or of the JSON-RPC `error` object if the
    /// node sent one. After `Retry` the host sends the block again, until a node judged it. Pure.
    fn read_reply(&self, method: &str, reply: &[u8]) -> (Verdict, String);

    /// A login name as payee and worker. Pure.
    fn resolve(&self, name: &str) -> Result<Payee, String>;

    /// Which rows are paid together. Pure. The default is batches of 100 rows in the order given.
    fn plan_payment(&self, rows: Vec<Row>, view: View) -> Result<Plan, String> {
        let _ = view;
        let all: Vec<u32> = (0..u32::try_from(rows.len()).map_err(|_| "too many rows")?).collect();
        Ok(Plan::Batches(all.chunks(100).map(<[u32]>::to_vec).collect()))
    }

    /// Coins from a wallet's answer. Pure. The default is an error: the host's own driver reads its wallet.
    fn read_coins(&self, reply: &[u8]) -> Result<Vec<Coin>, String> {
        let _ = reply;
        Err("this adapter does not read coins; the settlement driver does".to_owned())
    }

    /// The transaction of an earlier payment in a wallet's history. Pure. The default is an error and never
    /// "not there", since that answer allows paying again.
    fn find(&self, marker: &str, history: &[u8]) -> Result<Option<Vec<u8>>, String> {
        let _ = (marker, history);
        Err("this adapter does not read histories; the settlement driver does".to_owned())
    }
}

/// What [`export_adapter!`] needs; not for authors.
#[doc(hidden)]
pub mod __private {
    use super::*;
    use bindings::exports::millpond::chain::{adapter, block, payee, settlement};

    /// Where the one value of an instance lives. Implemented by the macro for a type of the guest's own, since a generic
    /// static cannot be.
    pub trait Stored: 'static {
        type Adapter: Adapter;
        fn slot<R>(access: impl FnOnce(&RefCell<Option<Self::Adapter>>) -> R) -> R;
    }

    pub struct Exported<T>(PhantomData<T>);

    fn with<T: Stored, R>(access: impl FnOnce(&mut T::Adapter) -> Result<R, String>) -> Result<R, String> {
        T::slot(|slot| {
            let mut slot = slot.try_borrow_mut().map_err(|_| "the adapter was called from within itself")?;
            access(slot.as_mut().ok_or("describe must succeed before anything else is called")?)
        })
    }

    impl<T: Stored> adapter::Guest for Exported<T> {
        fn schema() -> String {
            T::Adapter::schema()
        }
        fn describe(settings: Settings) -> Result<Description, String> {
            let (adapter, description) = T::Adapter::new(settings)?;
            T::slot(|slot| *slot.borrow_mut() = Some(adapter));
            Ok(description)
        }
        fn handle(event: Event) -> Result<Vec<Action>, String> {
            with::<T, _>(|adapter| adapter.handle(event))
        }
    }

    impl<T: Stored> block::Guest for Exported<T> {
        fn assemble(solution: Solution) -> Result<Assembled, String> {
            with::<T, _>(|adapter| adapter.assemble(solution))
        }
        fn read_reply(method: String, reply: Vec<u8>) -> (Verdict, String) {
            with::<T, _>(|adapter| Ok(adapter.read_reply(&method, &reply)))
                .unwrap_or_else(|error| (Verdict::Retry, error))
        }
    }

    impl<T: Stored> payee::Guest for Exported<T> {
        fn resolve(names: Vec<String>) -> Vec<Result<Payee, String>> {
            names.iter().map(|name| with::<T, _>(|adapter| adapter.resolve(name))).collect()
        }
    }

    impl<T: Stored> settlement::Guest for Exported<T> {
        fn plan_payment(rows: Vec<Row>, view: View) -> Result<Plan, String> {
            with::<T, _>(|adapter| adapter.plan_payment(rows, view))
        }
        fn read_coins(reply: Vec<u8>) -> Result<Vec<Coin>, String> {
            with::<T, _>(|adapter| adapter.read_coins(&reply))
        }
        fn find(marker: String, history: Vec<u8>) -> Result<Option<Vec<u8>>, String> {
            with::<T, _>(|adapter| adapter.find(&marker, &history))
        }
    }
}

/// Exports a type that implements [`Adapter`](chain::Adapter) as the component's chain adapter. Optional interfaces
/// follow in the same call: `export_adapter!(MyChain, pow: MyChain, codec: MyCodec)`, with the names `pow`, `codec`,
/// `session_work` and `merge_parent`.
#[macro_export]
macro_rules! export_adapter {
    ($ty:ty $(, $optional:ident : $other:ident)* $(,)?) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            ::std::thread_local! {
                static ADAPTER: ::std::cell::RefCell<Option<$ty>> = const { ::std::cell::RefCell::new(None) };
            }
            struct Slot;
            impl $crate::__private::chain::Stored for Slot {
                type Adapter = $ty;
                fn slot<R>(access: impl FnOnce(&::std::cell::RefCell<Option<$ty>>) -> R) -> R {
                    ADAPTER.with(access)
                }
            }
            type Exported = $crate::__private::chain::Exported<Slot>;
            $crate::chain::bindings::export_chain_adapter!(Exported with_types_in $crate::chain::bindings);
        };
        $( $crate::__export_optional!($optional, $other); )*
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __export_optional {
    (pow, $ty:ident) => {
        #[cfg(target_arch = "wasm32")]
        $crate::chain::pow_bindings::export_chain_pow!($ty with_types_in $crate::chain::pow_bindings);
    };
    (codec, $ty:ident) => {
        #[cfg(target_arch = "wasm32")]
        $crate::chain::codec_bindings::export_chain_codec!($ty with_types_in $crate::chain::codec_bindings);
    };
    (session_work, $ty:ident) => {
        #[cfg(target_arch = "wasm32")]
        $crate::chain::session_work_bindings::export_chain_session_work!(
            $ty with_types_in $crate::chain::session_work_bindings
        );
    };
    (merge_parent, $ty:ident) => {
        #[cfg(target_arch = "wasm32")]
        $crate::chain::merge_parent_bindings::export_chain_merge_parent!(
            $ty with_types_in $crate::chain::merge_parent_bindings
        );
    };
}
