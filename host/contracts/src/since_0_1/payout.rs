//! Schemes and fee policies of 0.1.

use super::fresh::{Fresh, instantiate};
use super::{settings_size, settings_to, signatures, size};
use crate::payout::{
    Allocation, Batch, Edge, FeePolicy, Fees, Income, Measure, PayoutScheme, Reversal, Span, State, Terms,
    Totals, Window,
};
use crate::{CallError, Outcome, Settings};
use millpond_runtime::{CallSize, Guest, LogSink, Plugin};
use millpond_types::Digest;
use std::sync::Arc;

#[allow(
    missing_docs,
    clippy::all,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]
pub(super) mod scheme_bindings {
    wasmtime::component::bindgen!({ path: "../../wit/payout-0.1", world: "payout-scheme" });
}
#[allow(
    missing_docs,
    clippy::all,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]
mod accrual_bindings {
    wasmtime::component::bindgen!({
        path: "../../wit/payout-0.1",
        world: "accrual-only",
        with: { "millpond:payout/types": super::scheme_bindings::millpond::payout::types },
    });
}
#[allow(
    missing_docs,
    clippy::all,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]
mod fee_bindings {
    wasmtime::component::bindgen!({
        path: "../../wit/payout-0.1",
        world: "fee",
        with: { "millpond:payout/types": super::scheme_bindings::millpond::payout::types },
    });
}

use accrual_bindings::{AccrualOnly, AccrualOnlyPre};
use fee_bindings::{Fee, FeePre};
use scheme_bindings::millpond::payout::types as wit;
use scheme_bindings::{PayoutScheme as SchemeBindings, PayoutSchemePre};

instantiate!(PayoutSchemePre<Guest>, SchemeBindings);
instantiate!(AccrualOnlyPre<Guest>, AccrualOnly);
instantiate!(FeePre<Guest>, Fee);

/// A scheme's component.
pub(crate) struct SchemeComponent {
    scheme: Fresh<PayoutSchemePre<Guest>>,
    accrual: Option<Fresh<AccrualOnlyPre<Guest>>>,
}

impl SchemeComponent {
    /// Binds a loaded component; an error says which export has another type than the contract's.
    pub(crate) fn bind(plugin: &Plugin, accrues: bool, sink: &Arc<dyn LogSink>) -> wasmtime::Result<Self> {
        let scheme = Fresh::bind(plugin, sink, PayoutSchemePre::new, signatures::scheme)?;
        let accrual = match accrues {
            true => Some(Fresh::bind(plugin, sink, AccrualOnlyPre::new, signatures::scheme)?),
            false => None,
        };
        Ok(Self { scheme, accrual })
    }
}

impl PayoutScheme for SchemeComponent {
    fn digest(&self) -> Digest {
        self.scheme.plugin.digest()
    }

    fn schema(&self) -> Outcome<String> {
        self.scheme.run("scheme.schema", CallSize::default(), |bindings, store| {
            bindings.millpond_payout_scheme().call_schema(store).map(Ok)
        })
    }

    fn describe(&self, settings: &Settings) -> Outcome<Terms> {
        let size = CallSize::bytes(settings_size(settings));
        let settings = settings_to!(wit, settings);
        self.scheme.run("scheme.describe", size, |bindings, store| {
            let terms = bindings.millpond_payout_scheme().call_describe(store, &settings)?;
            Ok(terms.map(Terms::from))
        })
    }

    fn allocate(
        &self,
        settings: &Settings,
        income: &Income,
        windows: &[Totals],
        state: &State,
    ) -> Outcome<Allocation> {
        let rows = windows.iter().map(|window| window.miner.len()).sum::<usize>() + state.miner.len();
        let bytes = settings_size(settings) + state.memo.len() + state.cells.len() * 8 + rows * 24;
        let size = size(bytes, rows);
        let (settings, income, state) = (settings_to!(wit, settings), income.into(), state.into());
        let windows: Vec<wit::Totals> = windows.iter().map(Into::into).collect();
        self.scheme.run("scheme.allocate", size, |bindings, store| {
            let scheme = bindings.millpond_payout_scheme();
            Ok(scheme.call_allocate(store, &settings, &income, &windows, &state)?.map(Allocation::from))
        })
    }

    fn accrues(&self) -> bool {
        self.accrual.is_some()
    }

    fn accrue(&self, settings: &Settings, batch: &Batch, state: &State) -> Outcome<Allocation> {
        let function = "accrual.accrue";
        let Some(accrual) = &self.accrual else {
            let message = "the scheme does not export millpond:payout/accrual".to_owned();
            return Err(CallError::Host { function: function.to_owned(), message });
        };
        let rows = batch.seq.len() + state.miner.len();
        let bytes = settings_size(settings) + state.memo.len() + state.cells.len() * 8 + rows * 64;
        let size = size(bytes, rows);
        let (settings, batch, state) = (settings_to!(wit, settings), batch.into(), state.into());
        accrual.run(function, size, |bindings, store| {
            let accrual = bindings.millpond_payout_accrual();
            Ok(accrual.call_accrue(store, &settings, &batch, &state)?.map(Allocation::from))
        })
    }
}

/// A fee policy's component.
pub(crate) struct FeeComponent(Fresh<FeePre<Guest>>);

impl FeeComponent {
    /// Binds a loaded component; an error says which export has another type than the contract's.
    pub(crate) fn bind(plugin: &Plugin, sink: &Arc<dyn LogSink>) -> wasmtime::Result<Self> {
        Ok(Self(Fresh::bind(plugin, sink, FeePre::new, signatures::fee)?))
    }
}

impl FeePolicy for FeeComponent {
    fn digest(&self) -> Digest {
        self.0.plugin.digest()
    }

    fn schema(&self) -> Outcome<String> {
        self.0.run("fee-policy.schema", CallSize::default(), |bindings, store| {
            bindings.millpond_payout_fee_policy().call_schema(store).map(Ok)
        })
    }

    fn describe(&self, settings: &Settings) -> Outcome<Vec<String>> {
        let size = CallSize::bytes(settings_size(settings));
        let settings = settings_to!(wit, settings);
        self.0.run("fee-policy.describe", size, |bindings, store| {
            bindings.millpond_payout_fee_policy().call_describe(store, &settings)
        })
    }

    fn fees(
        &self,
        settings: &Settings,
        income: &Income,
        miner: &[u64],
        amount: &[u64],
        attributes: &[Vec<u64>],
    ) -> Outcome<Fees> {
        let rows = miner.len() * (2 + attributes.len()) / 2;
        let bytes = settings_size(settings) + rows * 16;
        let size = size(bytes, rows);
        let (settings, income) = (settings_to!(wit, settings), income.into());
        self.0.run("fee-policy.fees", size, |bindings, store| {
            let policy = bindings.millpond_payout_fee_policy();
            let fees = policy.call_fees(store, &settings, &income, miner, amount, attributes)?;
            Ok(fees.map(|(fee, rebate)| Fees { fee, rebate }))
        })
    }
}

impl From<&Income> for wit::Income {
    fn from(income: &Income) -> Self {
        let Income { key, gross, seq, time_ms, coord, finder, .. } = income.clone();
        Self { key, gross, seq, time_ms, coord, finder }
    }
}

impl From<&Totals> for wit::Totals {
    fn from(totals: &Totals) -> Self {
        let Totals { miner, low, high } = totals.clone();
        Self { miner, low, high }
    }
}

impl From<&State> for wit::State {
    fn from(state: &State) -> Self {
        let State { memo, miner, cells } = state.clone();
        Self { memo, miner, cells }
    }
}

impl From<&Batch> for wit::Batch {
    fn from(batch: &Batch) -> Self {
        let Batch { seq, miner, work, network_low, network_high, time_ms, coord, reward, .. } = batch.clone();
        Self { seq, miner, work, network_low, network_high, time_ms, coord, reward }
    }
}

impl From<wit::Allocation> for Allocation {
    fn from(allocation: wit::Allocation) -> Self {
        let wit::Allocation { miner, amount, rest, state } = allocation;
        let wit::State { memo, miner: holders, cells } = state;
        Self { miner, amount, rest, state: State { memo, miner: holders, cells }, ..Self::default() }
    }
}

impl From<wit::Terms> for Terms {
    fn from(terms: wit::Terms) -> Self {
        let wit::Terms { windows, cells, batch, reversal, reserve, claims, state_format } = terms;
        let reversal = match reversal {
            wit::Reversal::Drop => Reversal::Drop,
            wit::Reversal::Restore => Reversal::Restore,
            wit::Reversal::Keep => Reversal::Keep,
        };
        let windows = windows.into_iter().map(Window::from).collect();
        Self { windows, cells, batch, reversal, reserve, claims, state_format, ..Self::default() }
    }
}

impl From<wit::Window> for Window {
    fn from(window: wit::Window) -> Self {
        let span = match window.span {
            wit::Span::Round => Span::Round,
            wit::Span::Finder => Span::Finder,
            wit::Span::Shares(n) => Span::Shares(n),
            wit::Span::Work(n) => Span::Work(n),
            wit::Span::Millis(n) => Span::Millis(n),
            wit::Span::Coord(n) => Span::Coord(n),
            wit::Span::State => Span::State,
        };
        let measure = match window.measure {
            wit::Measure::Work => Measure::Work,
            wit::Measure::Units => Measure::Units,
        };
        let edge = match window.edge {
            wit::Edge::Whole => Edge::Whole,
            wit::Edge::Split => Edge::Split,
            wit::Edge::Cut => Edge::Cut,
        };
        Self { span, measure, edge }
    }
}
