//! Why a scheme's or a policy's result does not count.

use millpond_contracts::CallError;
use millpond_ledger::LedgerError;
use std::fmt;

/// A rule that every result must keep. The operator sees its text beside the plugin's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Columns of one record have equal length.
    Columns,
    /// Miners are strictly ascending: none twice.
    Ascending,
    /// Only miners that were handed in.
    KnownMiner,
    /// Amounts are above zero.
    Positive,
    /// Nothing leaves its integer.
    Overflow,
    /// The amounts and the rest sum to the income.
    Conserved,
    /// Cells and memo are within what the terms declare.
    State,
    /// rebate <= fee <= amount.
    Fee,
    /// The reserve is drawn on or filled as far as the terms say and it reaches.
    Reserve,
    /// The operator's part is at most what the terms say.
    Operator,
    /// Renaming miners changes nothing.
    Renaming,
    /// Splitting a miner in two earns him nothing, where the scheme claims so.
    Splitting,
    /// Terms that the contract does not allow.
    Terms,
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Columns => "columns of one record have equal length",
            Self::Ascending => "miners are strictly ascending",
            Self::KnownMiner => "only miners that were handed in",
            Self::Positive => "amounts are above zero",
            Self::Overflow => "sums fit their integers",
            Self::Conserved => "amounts and rest sum to the income",
            Self::State => "cells and memo are as declared",
            Self::Fee => "rebate <= fee <= amount",
            Self::Reserve => "the reserve is drawn on or filled, as far as it reaches",
            Self::Operator => "the operator's part is within the terms",
            Self::Renaming => "renaming the miners changes nothing",
            Self::Splitting => "splitting a miner in two earns nothing",
            Self::Terms => "terms are within the contract",
        })
    }
}

/// An allocation that did not come about. The income stays undivided until a good version divides it.
#[derive(Debug, thiserror::Error)]
pub enum PayoutError {
    /// The plugin returned an error, trapped, or met a limit.
    #[error("plugin {plugin}: {source}")]
    Call {
        /// Name and version.
        plugin: String,
        /// How the call ended.
        source: CallError,
    },
    /// The result breaks a rule.
    #[error("plugin {plugin} broke the rule \"{rule}\" in {function}: {detail}; its result does not count")]
    Broken {
        /// Name and version.
        plugin: String,
        /// The function.
        function: &'static str,
        /// The rule.
        rule: Rule,
        /// What was found.
        detail: String,
    },
    /// The host's own input does not fit.
    #[error("{0}")]
    Input(String),
    /// The ledger's form refused the allocation.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

impl PayoutError {
    /// Who failed, by name and version.
    #[must_use]
    pub fn plugin(&self) -> Option<&str> {
        match self {
            Self::Call { plugin, .. } | Self::Broken { plugin, .. } => Some(plugin),
            Self::Input(_) | Self::Ledger(_) => None,
        }
    }

    /// Whether it counts against the plugin. Its own error does as well as a trap: an income that it will not divide waits
    /// as long as it is in force.
    #[must_use]
    pub fn is_strike(&self) -> bool {
        match self {
            Self::Call { source, .. } => source.is_strike() || matches!(source, CallError::Plugin { .. }),
            Self::Broken { .. } => true,
            Self::Input(_) | Self::Ledger(_) => false,
        }
    }
}
