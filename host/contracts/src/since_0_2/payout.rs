//! Schemes of 0.2.

use super::signatures;
use crate::payout::{
    Allocation, Batch, Edge, Grain, Income, Measure, PayoutScheme, Reversal, Span, State, Terms, Totals,
    Version, Window,
};
use crate::since_0_1::fresh::{Fresh, instantiate};
use crate::since_0_1::{settings_size, settings_to, size};
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
    wasmtime::component::bindgen!({ path: "../../wit/payout-0.2", world: "payout-scheme" });
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
        path: "../../wit/payout-0.2",
        world: "accrual-only",
        with: { "millpond:payout/types": super::scheme_bindings::millpond::payout::types },
    });
}

use accrual_bindings::{AccrualOnly, AccrualOnlyPre};
use scheme_bindings::millpond::payout::types as wit;
use scheme_bindings::{PayoutScheme as SchemeBindings, PayoutSchemePre};

instantiate!(PayoutSchemePre<Guest>, SchemeBindings);
instantiate!(AccrualOnlyPre<Guest>, AccrualOnly);

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

    fn version(&self) -> Version {
        Version::V0_2
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
        let rows = batch.miner.len() + state.miner.len();
        let bytes = settings_size(settings) + state.memo.len() + state.cells.len() * 8 + rows * 80;
        let size = size(bytes, rows);
        let (settings, batch, state) = (settings_to!(wit, settings), batch.into(), state.into());
        accrual.run(function, size, |bindings, store| {
            let accrual = bindings.millpond_payout_accrual();
            Ok(accrual.call_accrue(store, &settings, &batch, &state)?.map(Allocation::from))
        })
    }
}

impl From<&Income> for wit::Income {
    fn from(income: &Income) -> Self {
        let paid = income.paid();
        let Income { key, gross: _, carried, seq: number, time_ms, coord, finder, subsidy, reserve } =
            income.clone();
        Self { key, number, time_ms, coord, finder, paid, subsidy, carried, reserve }
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
        let Batch { seq: _, miner, work, network_low, network_high, time_ms, coord, reward, .. } =
            batch.clone();
        let Batch { first, last, shares, work_high, subsidy, .. } = batch.clone();
        let work_low = work;
        Self {
            first,
            last,
            miner,
            shares,
            work_low,
            work_high,
            network_low,
            network_high,
            time_ms,
            coord,
            reward,
            subsidy,
        }
    }
}

impl From<wit::Allocation> for Allocation {
    fn from(allocation: wit::Allocation) -> Self {
        let wit::Allocation { miner, amount, carry: rest, operator, to_reserve, from_reserve, state } =
            allocation;
        let wit::State { memo, miner: holders, cells } = state;
        let state = State { memo, miner: holders, cells };
        Self { miner, amount, rest, operator, to_reserve, from_reserve, state }
    }
}

impl From<wit::Terms> for Terms {
    fn from(terms: wit::Terms) -> Self {
        let wit::Terms { windows, cells, batch, grain, reversal, reserve, operator_most, .. } = terms;
        let wit::Terms { needs_subsidy, claims, state_format, .. } = terms;
        let grain = match grain {
            wit::Grain::Share => Grain::Share,
            wit::Grain::MinerJob => Grain::MinerJob,
        };
        let reversal = match reversal {
            wit::Reversal::Drop => Reversal::Drop,
            wit::Reversal::Restore => Reversal::Restore,
            wit::Reversal::Keep => Reversal::Keep,
            wit::Reversal::KeepReserve => Reversal::KeepReserve,
        };
        let windows = windows.into_iter().map(Window::from).collect();
        Self {
            windows,
            cells,
            batch,
            grain,
            reversal,
            reserve,
            operator_most,
            needs_subsidy,
            claims,
            state_format,
        }
    }
}

impl From<wit::Window> for Window {
    fn from(window: wit::Window) -> Self {
        let span = match window.span {
            wit::Span::Round => Span::Round,
            wit::Span::StandingRound => Span::StandingRound,
            wit::Span::Finder => Span::Finder,
            wit::Span::Shares(n) => Span::Shares(n),
            wit::Span::Work(n) => Span::Work(n),
            wit::Span::Millis(n) => Span::Millis(n),
            wit::Span::Coord(n) => Span::Coord(n),
            wit::Span::Shifts((n, millis)) => Span::Shifts(n, millis),
            wit::Span::Unpaid(n) => Span::Unpaid(n),
            wit::Span::Slices((n, step)) => Span::Slices(n, step),
            wit::Span::State => Span::State,
        };
        let measure = match window.measure {
            wit::Measure::Work => Measure::Work,
            wit::Measure::Units => Measure::Units,
            wit::Measure::Count => Measure::Count,
            wit::Measure::Value => Measure::Value,
            wit::Measure::SubsidyValue => Measure::SubsidyValue,
            wit::Measure::FeeValue => Measure::FeeValue,
        };
        let edge = match window.edge {
            wit::Edge::Whole => Edge::Whole,
            wit::Edge::Split => Edge::Split,
            wit::Edge::Cut => Edge::Cut,
        };
        Self { span, measure, edge }
    }
}
