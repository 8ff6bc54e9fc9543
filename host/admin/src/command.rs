//! What can be asked of a running process.

use millpond_types::Amount;
use serde::{Deserialize, Serialize};

/// How much a caller may do. A wider scope has the narrower ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Look.
    Read,
    /// Swap plugins, clear alarms, back up.
    Operate,
    /// Pay, release, resolve, change a miner's settings.
    Money,
}

impl Scope {
    /// Reads a scope's name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "read" => Some(Self::Read),
            "operate" => Some(Self::Operate),
            "money" => Some(Self::Money),
            _ => None,
        }
    }
}

/// A place in a pool that a plugin fills.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// The chain adapter.
    Adapter,
    /// The payout scheme.
    Scheme,
    /// The fee policy.
    Fee,
}

/// What an operator found out about a payment of unknown outcome.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Resolution {
    /// It became this transaction.
    Paid {
        /// The transaction, as the chain shows it.
        txid: String,
    },
    /// It is not, and cannot get there any more.
    NotPaid,
}

/// A command. The names and fields are the protocol of the socket and of HTTP.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case", deny_unknown_fields)]
pub enum Command {
    /// All pools at a glance.
    Status {},
    /// Swap a plugin while miners are connected. `plugin` is a bundled name or a path that the process can read.
    PluginSwap {
        /// The pool.
        pool: String,
        /// Which one.
        role: Role,
        /// By what.
        plugin: String,
    },
    /// Forget alarms about something.
    AlarmsClear {
        /// The pool; empty for the process.
        pool: String,
        /// As the alarm says.
        about: String,
    },
    /// Read the configuration again and follow it as far as a running process can.
    Reload {
        /// Only say what would follow and what would need a restart.
        #[serde(default)]
        dry_run: bool,
    },
    /// Write a backup now.
    Backup {},
    /// Payments, newest first.
    PaymentsList {
        /// The pool.
        pool: String,
    },
    /// What a run would pay.
    PaymentsDryRun {
        /// The pool.
        pool: String,
    },
    /// Pay what is due now.
    PaymentsRun {
        /// The pool.
        pool: String,
    },
    /// Tell what became of a payment whose outcome is unknown.
    PaymentsResolve {
        /// The pool.
        pool: String,
        /// The payment.
        payment: u64,
        /// What was found out.
        resolution: Resolution,
    },
    /// Give up a payment that was never broadcast.
    PaymentsRelease {
        /// The pool.
        pool: String,
        /// The payment.
        payment: u64,
    },
    /// Set a miner's own minimum payout.
    MinerMinimum {
        /// The pool.
        pool: String,
        /// His address.
        address: String,
        /// Base units; `None` for the pool's own.
        minimum: Option<Amount>,
    },
}

impl Command {
    /// The scope it needs.
    #[must_use]
    pub fn scope(&self) -> Scope {
        match self {
            Self::Status {} | Self::PaymentsList { .. } | Self::PaymentsDryRun { .. } => Scope::Read,
            Self::AlarmsClear { .. } | Self::Backup {} | Self::Reload { dry_run: true } => Scope::Operate,
            Self::PluginSwap { role: Role::Adapter, .. } => Scope::Operate,
            // Who decides about money is money, and a file can name another.
            Self::PluginSwap { .. }
            | Self::Reload { dry_run: false }
            | Self::PaymentsRun { .. }
            | Self::PaymentsResolve { .. }
            | Self::PaymentsRelease { .. }
            | Self::MinerMinimum { .. } => Scope::Money,
        }
    }

    /// Whether it changes nothing.
    #[must_use]
    pub fn only_reads(&self) -> bool {
        self.scope() == Scope::Read
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_moves_money_needs_the_money_scope() {
        let pool = || "btc".to_owned();
        for command in [
            Command::PaymentsRun { pool: pool() },
            Command::PaymentsRelease { pool: pool(), payment: 1 },
            Command::PluginSwap { pool: pool(), role: Role::Scheme, plugin: "solo".into() },
            Command::PluginSwap { pool: pool(), role: Role::Fee, plugin: "flat-fee".into() },
            Command::MinerMinimum { pool: pool(), address: "a".into(), minimum: None },
            Command::Reload { dry_run: false },
        ] {
            assert_eq!(command.scope(), Scope::Money, "{command:?}");
        }
        assert!(Command::PaymentsDryRun { pool: pool() }.only_reads());
    }

    #[test]
    fn a_command_with_an_unknown_field_is_refused() {
        let text = r#"{"command":"payments_run","pool":"btc","amount":5}"#;
        assert!(serde_json::from_str::<Command>(text).is_err());
        let good: Command = serde_json::from_str(r#"{"command":"payments_run","pool":"btc"}"#).unwrap();
        assert_eq!(good, Command::PaymentsRun { pool: "btc".into() });
    }
}
