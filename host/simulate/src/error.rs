use millpond_contracts::CallError;
use millpond_ledger::LedgerError;
use millpond_payout::PayoutError;
use millpond_runtime::LoadError;
use millpond_stream::WeightsError;
use millpond_windows::WindowError;

/// Why a scenario was not played to its end.
#[derive(Debug, thiserror::Error)]
pub enum SimulateError {
    /// The file is not a scenario. The text names line and column.
    #[error("the scenario cannot be read: {0}")]
    Toml(String),
    /// A scenario that contradicts itself or asks for what cannot be done.
    #[error("{at}: {message}")]
    Scenario {
        /// Which part of it.
        at: String,
        /// What is wrong and what to do.
        message: String,
    },
    /// A scheme that is not to be had.
    #[error("scheme {name}: {message}")]
    Plugin {
        /// Its name in the scenario.
        name: String,
        /// What is wrong and what to do.
        message: String,
    },
    /// A component that does not load.
    #[error("scheme {name}: {source}")]
    Load {
        /// Its name in the scenario.
        name: String,
        /// Why.
        source: LoadError,
    },
    /// A call that gave nothing.
    #[error("scheme {name}: {source}")]
    Call {
        /// Its name in the scenario.
        name: String,
        /// Why.
        source: CallError,
    },
    /// A scheme that gave what the contract does not allow.
    #[error("scheme {name}, block {block}: {message}")]
    Broken {
        /// Its name in the scenario.
        name: String,
        /// The block, counted from 1.
        block: u64,
        /// What it gave.
        message: String,
    },
    /// The production path refused.
    #[error("scheme {name} on the production path: {source}")]
    Payout {
        /// Its name in the scenario.
        name: String,
        /// Why.
        source: Box<PayoutError>,
    },
    /// The production path gave something else than the simulator.
    #[error(
        "scheme {name}, replication {replication}: the production path paid miner {miner} {production}, the simulation {simulated}, \
         and {incomes} incomes allow a difference of as many units: one of both is wrong, keep the scenario and report it"
    )]
    Differs {
        /// The scheme.
        name: String,
        /// Which replication.
        replication: u64,
        /// Which miner, from 0.
        miner: usize,
        /// What the production path paid him.
        production: u128,
        /// What the simulation did.
        simulated: u128,
        /// Incomes that were divided by then.
        incomes: u64,
    },
    /// A window without sums.
    #[error("scheme {name}: {source}")]
    Window {
        /// Its name in the scenario.
        name: String,
        /// Why.
        source: WindowError,
    },
    /// Nobody to draw a share from.
    #[error("nobody mines: {0}")]
    Nobody(#[from] WeightsError),
    /// A figure that does not fit.
    #[error("{0} does not fit: take smaller rewards, less work or fewer blocks")]
    Overflow(&'static str),
    /// Something that is written down did not serialise.
    #[error("results cannot be written down: {0}")]
    Json(#[from] serde_json::Error),
    /// A table that is none.
    #[error(transparent)]
    Table(#[from] millpond_report::TableError),
    /// A chart that is none.
    #[error(transparent)]
    Plot(#[from] millpond_report::PlotError),
    /// The ledger's arithmetic.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// No threads.
    #[error("{0} threads cannot be started: {1}")]
    Threads(usize, String),
}

impl SimulateError {
    pub(crate) fn scenario(at: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Scenario { at: at.into(), message: message.into() }
    }

    /// Whether the scenario is to blame, rather than the world.
    #[must_use]
    pub fn is_usage(&self) -> bool {
        matches!(self, Self::Toml(_) | Self::Scenario { .. } | Self::Plugin { .. } | Self::Nobody(_))
    }
}
