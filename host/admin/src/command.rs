//! What can be asked of a running process.

use millpond_types::Amount;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use std::path::PathBuf;

/// How much a caller may do. A wider scope has the narrower ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Look.
    Read,
    /// Swap an adapter that the host checks, ban, speak to miners, clear alarms, back up.
    Operate,
    /// Pay, release, resolve, change a miner's settings.
    Money,
    /// The admin socket's own, of no token: what commands beside the process have to say to it.
    Local,
}

impl Scope {
    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Operate => "operate",
            Self::Money => "money",
            Self::Local => "local",
        }
    }

    /// Reads the name of a scope that a token can have.
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
        /// Book it as it was made, though it pays otherwise than was asked: rows that got less keep the rest, what went
        /// out beyond the rows is the operator's loss.
        #[serde(default)]
        as_made: bool,
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
        /// Why, for the pool's miners; of an adapter it is recorded alone.
        #[serde(default)]
        reason: String,
    },
    /// Put what a shadow divides by in force, with notice.
    ShadowPromote {
        /// The pool.
        pool: String,
        /// The shadow.
        name: String,
        /// Milliseconds since 1970: behind no block that was found before. Without it when the configured notice is over.
        #[serde(default)]
        not_before: Option<u64>,
        /// Why, for the pool's miners.
        #[serde(default)]
        reason: String,
    },
    /// Withdraw the scheme or fee policy that is announced: what is in force stays.
    PolicyCancel {
        /// The pool.
        pool: String,
        /// Why, for the pool's miners.
        #[serde(default)]
        reason: String,
    },
    /// Let a plugin out of quarantine: it is asked again.
    PluginRelease {
        /// The pool.
        pool: String,
        /// Which one.
        role: Role,
    },
    /// The sessions of miners, oldest first.
    MinersList {
        /// The pool.
        pool: String,
    },
    /// Show a text on miners' screens, where their dialect can.
    MinersMessage {
        /// The pool.
        pool: String,
        /// The text.
        text: String,
    },
    /// Send all miners elsewhere, where their dialect can: before a move to another machine.
    MinersReconnect {
        /// The pool.
        pool: String,
        /// A name or an address.
        host: String,
        /// The port there.
        port: u16,
        /// Seconds that a miner waits before.
        wait: u64,
    },
    /// The bans in force, longest first.
    BansList {
        /// The pool.
        pool: String,
    },
    /// Ban an address (its network, for IPv6) and hang up on it.
    BansAdd {
        /// The pool.
        pool: String,
        /// The address.
        address: IpAddr,
    },
    /// End a ban, and forget the address's past.
    BansLift {
        /// The pool.
        pool: String,
        /// The address.
        address: IpAddr,
    },
    /// The alarms kept, newest last.
    AlarmsList {},
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
    /// Give way to another process, which goes on with the miners' connections.
    Upgrade {
        /// The program, as a path.
        program: PathBuf,
        /// How long it has to become healthy, in seconds.
        patience: u64,
        /// Also when sessions are lost by it, or there is no way back.
        #[serde(default)]
        force: bool,
    },
    /// A command beside the process does something that belongs into each pool's record: it is recorded.
    Note {
        /// What, one word.
        action: String,
        /// With what.
        args: Vec<String>,
    },
    /// Payments, newest first.
    PaymentsList {
        /// The pool.
        pool: String,
    },
    /// One payment, with whom it pays, and why it is where it is.
    PaymentsShow {
        /// The pool.
        pool: String,
        /// The payment.
        payment: u64,
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
    /// Hold ledger, wallet and chain against each other.
    PaymentsReconcile {
        /// The pool.
        pool: String,
    },
    /// Let payments go on after a restore, once the ledger was compared with the wallet's history.
    PaymentsResume {
        /// The pool.
        pool: String,
        /// Open payments that were certainly not paid since the backup and are brought on as they stand.
        #[serde(default)]
        again: Vec<u64>,
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
    /// Give up a payment that was not made and cannot be any more.
    PaymentsRelease {
        /// The pool.
        pool: String,
        /// The payment.
        payment: u64,
        /// The wallet was started anew since the payment's call: no call waits in it.
        #[serde(default)]
        wallet_restarted: bool,
    },
    /// Book a settled payment back that a reorganisation took out and another transaction took the place of.
    PaymentsUndo {
        /// The pool.
        pool: String,
        /// The payment.
        payment: u64,
        /// Why, as the ledger keeps it.
        why: String,
    },
    /// Set a list of miners' numbers that fee policies ask for.
    ListSet {
        /// The pool.
        pool: String,
        /// Its name.
        name: String,
        /// Address and number of each miner in it.
        rows: Vec<(String, u64)>,
        /// Change these rows only.
        #[serde(default)]
        change: bool,
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
    /// The scope it needs, in a pool where nothing is trusted to an adapter beyond its chain.
    #[must_use]
    pub fn scope(&self) -> Scope {
        match self {
            Self::Status {}
            | Self::AlarmsList {}
            | Self::BansList { .. }
            | Self::MinersList { .. }
            | Self::PaymentsList { .. }
            | Self::PaymentsShow { .. }
            | Self::PaymentsDryRun { .. }
            | Self::PaymentsReconcile { .. } => Scope::Read,
            Self::AlarmsClear { .. }
            | Self::Backup {}
            | Self::BansAdd { .. }
            | Self::BansLift { .. }
            | Self::MinersMessage { .. }
            | Self::Reload { dry_run: true } => Scope::Operate,
            Self::PluginSwap { role: Role::Adapter, .. }
            | Self::PluginRelease { role: Role::Adapter, .. } => Scope::Operate,
            // A program of one's choice, as the pool's own user.
            Self::Note { .. } | Self::Upgrade { .. } => Scope::Local,
            // Who decides about money is money, a file can name another, and where miners work is what they earn.
            Self::PluginSwap { .. }
            | Self::ShadowPromote { .. }
            | Self::PolicyCancel { .. }
            | Self::PluginRelease { .. }
            | Self::MinersReconnect { .. }
            | Self::Reload { dry_run: false }
            | Self::PaymentsRun { .. }
            | Self::PaymentsResume { .. }
            | Self::PaymentsResolve { .. }
            | Self::PaymentsRelease { .. }
            | Self::PaymentsUndo { .. }
            | Self::ListSet { .. }
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
            Command::PaymentsResume { pool: pool(), again: Vec::new() },
            Command::PaymentsRelease { pool: pool(), payment: 1, wallet_restarted: false },
            Command::PaymentsUndo { pool: pool(), payment: 1, why: "gone".into() },
            Command::PluginSwap {
                pool: pool(),
                role: Role::Scheme,
                plugin: "solo".into(),
                reason: String::new(),
            },
            Command::PluginSwap {
                pool: pool(),
                role: Role::Fee,
                plugin: "flat-fee".into(),
                reason: String::new(),
            },
            Command::ShadowPromote {
                pool: pool(),
                name: "tides".into(),
                not_before: None,
                reason: String::new(),
            },
            Command::PolicyCancel { pool: pool(), reason: String::new() },
            Command::MinerMinimum { pool: pool(), address: "a".into(), minimum: None },
            Command::ListSet { pool: pool(), name: "vip".into(), rows: Vec::new(), change: false },
            Command::Reload { dry_run: false },
            Command::PluginRelease { pool: pool(), role: Role::Scheme },
            Command::MinersReconnect { pool: pool(), host: "h".into(), port: 1, wait: 0 },
        ] {
            assert_eq!(command.scope(), Scope::Money, "{command:?}");
        }
        assert!(Command::PaymentsDryRun { pool: pool() }.only_reads());
        assert!(Command::PaymentsReconcile { pool: pool() }.only_reads());
        assert!(Command::BansList { pool: pool() }.only_reads());
    }

    #[test]
    fn no_token_can_say_what_a_command_beside_the_process_says() {
        let note = Command::Note { action: "token_make".into(), args: vec!["eve".into(), "money".into()] };
        assert!(note.scope() > Scope::Money);
        let upgrade = Command::Upgrade { program: "/tmp/mine".into(), patience: 60, force: false };
        assert!(upgrade.scope() > Scope::Money);
        assert_eq!(Scope::named("local"), None);
    }

    #[test]
    fn a_command_with_an_unknown_field_is_refused() {
        let text = r#"{"command":"payments_run","pool":"btc","amount":5}"#;
        assert!(serde_json::from_str::<Command>(text).is_err());
        let good: Command = serde_json::from_str(r#"{"command":"payments_run","pool":"btc"}"#).unwrap();
        assert_eq!(good, Command::PaymentsRun { pool: "btc".into() });
    }
}
