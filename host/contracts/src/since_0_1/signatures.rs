//! The type of every exported function, so that a component with another one is told which it is.

use super::chain::bindings::exports::millpond::chain::{payee, settlement};
use super::chain::bindings::millpond::chain::types as chain;
use super::chain::codec_bindings::exports::millpond::chain::codec;
use super::payout::scheme_bindings::millpond::payout::types as payout;
use super::vote::bindings::millpond::vote::types as vote;
use millpond_runtime::Guest;
use wasmtime::Store;
use wasmtime::component::{ComponentNamedList, Instance, Lift, Lower};

/// A check of one interface's functions: the first that has another type, in words.
pub(crate) type Signatures = fn(&mut Store<Guest>, &Instance) -> Option<String>;

pub(crate) fn differs<P, R>(
    store: &mut Store<Guest>,
    instance: &Instance,
    interface: &str,
    function: &str,
) -> Option<String>
where
    P: ComponentNamedList + Lower,
    R: ComponentNamedList + Lift,
{
    let outer = instance.get_export_index(&mut *store, None, interface)?;
    let index = instance.get_export_index(&mut *store, Some(&outer), function)?;
    // What is no function at all is the static check's matter.
    let found = instance.get_func(&mut *store, index)?;
    let error = found.typed::<P, R>(&*store).err()?;
    Some(format!("{interface}#{function}: {}", error.root_cause()))
}

macro_rules! signatures {
    ($name:ident, $($interface:literal { $($function:literal: $params:ty => $result:ty;)* })*) => {
        pub(crate) fn $name(
            store: &mut wasmtime::Store<millpond_runtime::Guest>,
            instance: &wasmtime::component::Instance,
        ) -> Option<String> {
            $($(
                if let Some(text) = differs::<$params, $result>(store, instance, $interface, $function) {
                    return Some(text);
                }
            )*)*
            None
        }
    };
}
pub(crate) use signatures;

type Outcome<T> = (Result<T, String>,);
type ChainSettings = Vec<(String, chain::Setting)>;
type PayoutSettings = Vec<(String, payout::Setting)>;
type Bytes = Vec<u8>;

signatures!(adapter,
    "millpond:chain/adapter@0.1.0" {
        "schema": () => (String,);
        "describe": (ChainSettings,) => Outcome<chain::Description>;
        "handle": (chain::Event,) => Outcome<Vec<chain::Action>>;
    }
    "millpond:chain/block@0.1.0" {
        "assemble": (chain::Solution,) => Outcome<chain::Assembled>;
        "read-reply": (String, Bytes) => ((chain::Verdict, String),);
    }
    "millpond:chain/payee@0.1.0" {
        "resolve": (Vec<String>,) => (Vec<Result<payee::Payee, String>>,);
    }
    "millpond:chain/settlement@0.1.0" {
        "plan-payment": (Vec<settlement::Row>, settlement::View) => Outcome<settlement::Plan>;
        "read-coins": (Bytes,) => Outcome<Vec<settlement::Coin>>;
        "find": (String, Bytes) => Outcome<Option<Bytes>>;
    }
    "millpond:chain/pow@0.1.0" {
        "prepare": (String, Bytes) => Outcome<()>;
        "run": (String, Bytes, u32, Bytes) => Outcome<Bytes>;
    }
    "millpond:chain/codec@0.1.0" {
        "decode": (u16, Vec<codec::Frame>) => (Vec<codec::Decoded>,);
        "encode": (u16, Vec<codec::Outgoing>) => (Vec<codec::Frame>,);
    }
    "millpond:chain/session-work@0.1.0" {
        "consts": (Bytes, Vec<Bytes>) => Outcome<Vec<Vec<Bytes>>>;
    }
    "millpond:chain/merge-parent@0.1.0" {
        "prove": (chain::Solution, u32) => Outcome<Bytes>;
    }
);

signatures!(scheme,
    "millpond:payout/scheme@0.1.0" {
        "schema": () => (String,);
        "describe": (PayoutSettings,) => Outcome<payout::Terms>;
        "allocate": (PayoutSettings, payout::Income, Vec<payout::Totals>, payout::State) => Outcome<payout::Allocation>;
    }
    "millpond:payout/accrual@0.1.0" {
        "accrue": (PayoutSettings, payout::Batch, payout::State) => Outcome<payout::Allocation>;
    }
);

signatures!(fee,
    "millpond:payout/fee-policy@0.1.0" {
        "schema": () => (String,);
        "describe": (PayoutSettings,) => Outcome<Vec<String>>;
        "fees": (PayoutSettings, payout::Income, Vec<u64>, Vec<u64>, Vec<Vec<u64>>) => Outcome<(Vec<u64>, Vec<u64>)>;
    }
);

signatures!(policy,
    "millpond:vote/policy@0.1.0" {
        "schema": () => (String,);
        "decide": (Vec<(String, vote::Setting)>, vote::Ballot, vote::User) => Outcome<Vec<vote::Pick>>;
    }
);
