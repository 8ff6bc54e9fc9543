//! Commands for a running process, through its admin socket: status, payments, plugins, miners' settings.

use crate::terminal::{self, Failure, Outcome};
use clap::{Args, Subcommand, ValueEnum};
use millpond_admin::{Answer, Command, Resolution, Role, ask};
use millpond_types::Amount;
use serde_json::Value;
use std::path::PathBuf;
use std::process::ExitCode;

/// How the running process is found and answered.
#[derive(Debug, Args)]
pub struct Door {
    /// The data folder of the running process.
    #[arg(long, global = true, default_value = "millpond-data")]
    data: PathBuf,
    /// Confirm what changes money at once, without asking.
    #[arg(long, global = true)]
    yes: bool,
}

impl Door {
    /// Gives a command and prints what it came to.
    pub fn send(&self, command: &Command) -> Outcome {
        say!("{}", serde_json::to_string_pretty(&self.ask(command)?)?);
        Ok(ExitCode::SUCCESS)
    }

    /// Gives a command; asks the operator first where the process wants that.
    ///
    /// # Errors
    /// When nobody is there, it is refused, or the operator does not confirm.
    pub fn ask(&self, command: &Command) -> Result<Value, Failure> {
        let path = self.data.join("admin.sock");
        let actor = std::env::var("USER").unwrap_or_else(|_| "unknown".to_owned());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let mut answer = runtime.block_on(ask(&path, &actor, command.clone(), None))?;
        if let Answer::Confirm { code, what } = &answer {
            if !self.yes && !confirmed(what)? {
                return Err(Failure::new("not confirmed: nothing was done"));
            }
            answer = runtime.block_on(ask(&path, &actor, command.clone(), Some(code.clone())))?;
        }
        match answer {
            Answer::Done(value) => Ok(value),
            Answer::Refused(why) => Err(Failure::new(why.to_string())),
            Answer::Underway(what) => Err(Failure::new(what)),
            Answer::Confirm { .. } => Err(Failure::new("the process asks for a second confirmation again")),
        }
    }
}

/// A field of an answer, without characters that a terminal would obey: what a miner says of himself gets here.
pub fn field(of: &Value, key: &str) -> String {
    match of.get(key) {
        None => String::new(),
        Some(Value::String(text)) => text.chars().map(|c| if c.is_control() { '?' } else { c }).collect(),
        Some(other) => other.to_string(),
    }
}

fn confirmed(what: &str) -> Result<bool, Failure> {
    terminal::tell(format_args!("{what}\nThis changes money. Type yes to do it: "));
    let mut line = String::new();
    std::io::stdin().read_line(&mut line)?;
    Ok(line.trim() == "yes")
}

/// Show all pools of a running process as JSON.
#[derive(Debug, Args)]
pub struct Status {
    #[command(flatten)]
    door: Door,
}

impl Status {
    /// Shows it.
    pub fn run(self) -> Outcome {
        self.door.send(&Command::Status {})
    }
}

/// Payments of a running pool.
#[derive(Debug, Args)]
pub struct Payments {
    #[command(flatten)]
    door: Door,
    /// The pool.
    #[arg(long)]
    pool: String,
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// All payments, newest first.
    List,
    /// One payment, with whom it pays, and why it is unknown or was released.
    Show {
        /// The payment's number.
        payment: u64,
    },
    /// Pay what is due now.
    Run,
    /// Show what a run would pay.
    DryRun,
    /// Let payments go on after a restore, once you have compared the ledger with the wallet's history.
    Resume {
        /// An open payment that was certainly not paid since the backup: it is brought on as it stands. May stand several
        /// times.
        #[arg(long, value_name = "PAYMENT")]
        again: Vec<u64>,
    },
    /// Hold ledger, wallet and chain against each other, and explain each difference. Exits with 1 when something is wrong
    /// or left over.
    Reconcile,
    /// Say what became of a payment whose outcome is unknown.
    Resolve {
        /// The payment's number.
        payment: u64,
        /// The transaction that it became; without one it was not paid.
        #[arg(long)]
        txid: Option<String>,
        /// Book the transaction as it was made, though it pays otherwise than was asked: who got less keeps the rest in
        /// his balance, and what went out beyond is your loss.
        #[arg(long, requires = "txid")]
        as_made: bool,
    },
    /// Give up a payment that cannot be paid any more; its rows return to their balances.
    Release {
        /// The payment's number.
        payment: u64,
        /// You have started the wallet anew since: a call of which no answer came waits in it no more. Without that such a
        /// payment is given up a day after its call.
        #[arg(long)]
        wallet_restarted: bool,
    },
    /// Book a settled payment back that a reorganisation took out of the chain, once another transaction that spends its
    /// coins is confirmed: its rows return to their balances and are paid anew. Only you can know whether that other
    /// transaction paid its owners. Your name and your words are public: the payment's statements show them.
    Undo {
        /// The payment's number.
        payment: u64,
        /// What happened, as the ledger is to keep it and statements show it to anybody.
        #[arg(long)]
        why: String,
    },
}

impl Payments {
    /// Does it.
    pub fn run(self) -> Outcome {
        let pool = self.pool;
        let command = match self.what {
            What::Reconcile => {
                let found = self.door.ask(&Command::PaymentsReconcile { pool })?;
                say!("{}", serde_json::to_string_pretty(&found)?);
                let holds = found.get("holds").and_then(Value::as_bool) == Some(true);
                return Ok(if holds { ExitCode::SUCCESS } else { ExitCode::FAILURE });
            }
            What::List => Command::PaymentsList { pool },
            What::Show { payment } => Command::PaymentsShow { pool, payment },
            What::Run => Command::PaymentsRun { pool },
            What::DryRun => Command::PaymentsDryRun { pool },
            What::Resume { again } => Command::PaymentsResume { pool, again },
            What::Resolve { payment, txid, as_made } => {
                let resolution = txid.map_or(Resolution::NotPaid, |txid| Resolution::Paid { txid, as_made });
                Command::PaymentsResolve { pool, payment, resolution }
            }
            What::Release { payment, wallet_restarted } => {
                Command::PaymentsRelease { pool, payment, wallet_restarted }
            }
            What::Undo { payment, why } => Command::PaymentsUndo { pool, payment, why },
        };
        self.door.send(&command)
    }
}

/// Have a running process read its configuration again.
///
/// Applies what can be applied without a restart, plugins by the rules of a swap, and says what needs one. A file with
/// an error changes nothing.
#[derive(Debug, Args)]
pub struct Reload {
    #[command(flatten)]
    door: Door,
    /// Only say what would be applied and what would need a restart.
    #[arg(long)]
    dry_run: bool,
}

impl Reload {
    /// Reloads.
    pub fn run(self) -> Outcome {
        self.door.send(&Command::Reload { dry_run: self.dry_run })
    }
}

/// Swap a plugin of a running pool while miners are connected.
#[derive(Debug, Args)]
pub struct Swap {
    #[command(flatten)]
    door: Door,
    /// The pool.
    #[arg(long)]
    pool: String,
    /// Withdraw the scheme or fee policy that is announced: what is in force stays.
    #[arg(long, conflicts_with_all = ["role", "plugin"])]
    cancel: bool,
    /// Why, in words that the pool shows its miners while a scheme or fee policy is announced; of an adapter they are recorded.
    #[arg(long, default_value = "")]
    reason: String,
    /// Which plugin.
    #[arg(value_enum, required_unless_present = "cancel")]
    role: Option<PluginRole>,
    /// By what: a bundled name, or a path that the running process can read.
    #[arg(required_unless_present = "cancel")]
    plugin: Option<String>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum PluginRole {
    Adapter,
    Scheme,
    Fee,
}

impl From<PluginRole> for Role {
    fn from(role: PluginRole) -> Self {
        match role {
            PluginRole::Adapter => Self::Adapter,
            PluginRole::Scheme => Self::Scheme,
            PluginRole::Fee => Self::Fee,
        }
    }
}

impl Swap {
    /// Swaps.
    pub fn run(self) -> Outcome {
        let Self { door, pool, reason, role, plugin, .. } = self;
        door.send(&match (role, plugin) {
            (Some(role), Some(plugin)) => Command::PluginSwap { pool, role: role.into(), plugin, reason },
            _ => Command::PolicyCancel { pool, reason },
        })
    }
}

/// Let a plugin of a running pool out of quarantine: it is asked again, with no strikes against it.
#[derive(Debug, Args)]
pub struct Release {
    #[command(flatten)]
    door: Door,
    /// The pool.
    #[arg(long)]
    pool: String,
    /// Which plugin.
    #[arg(value_enum)]
    role: PluginRole,
}

impl Release {
    /// Releases it.
    pub fn run(self) -> Outcome {
        self.door.send(&Command::PluginRelease { pool: self.pool, role: self.role.into() })
    }
}

/// Set a miner's own minimum payout.
#[derive(Debug, Args)]
#[command(after_help = "A miner can do it himself, within the pool's bounds, by a signature of his address:
  GET  /api/v1/pools/POOL/miners/ADDRESS/settings?minimum_payout=UNITS   gives the text to sign
  POST /api/v1/pools/POOL/miners/ADDRESS/settings                        takes it signed, as JSON:
       {\"minimum_payout\": UNITS, \"issued\": AS GIVEN, \"signature\": \"BASE64\"}
Wallets sign by `signmessage ADDRESS TEXT` or BIP 322.")]
pub struct Minimum {
    #[command(flatten)]
    door: Door,
    /// The pool.
    #[arg(long)]
    pool: String,
    /// His address.
    address: String,
    /// Base units; without it the pool's own counts again.
    minimum: Option<u64>,
}

impl Minimum {
    /// Sets it.
    pub fn run(self) -> Outcome {
        let minimum = self.minimum.map(Amount);
        self.door.send(&Command::MinerMinimum { pool: self.pool, address: self.address, minimum })
    }
}
