//! `millpond ledger`: verify, export, statement, balances. Reads the files; works beside a running pool.

use crate::terminal::{Failure, Out, Outcome};
use clap::{Args, Subcommand, ValueEnum};
use millpond_disk::RealDisk;
use millpond_journal::JournalView;
use millpond_ledger::{
    Account, Accounting, Commodity, ExportFormat, FeeName, IncomeKey, Miners, Owner, Past, Reader,
};
use millpond_types::{MinerId, UnixMillis};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

/// Look at a pool's ledger. Reads files only; works beside a running pool.
#[derive(Debug, Args)]
pub struct LedgerCommand {
    /// The pool's ledger folder: `<data>/<pool>/ledger`.
    #[arg(long)]
    ledger: PathBuf,
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Walk the hash chain, replay every entry, compare totals and balances.
    Verify {
        /// One JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Write all entries to standard output.
    Export {
        /// JSON lines can be verified on their own; CSV has a line per posting; Beancount and Ledger read the others, and
        /// hold the balances at the end against their own sums.
        #[arg(long, value_enum, default_value = "json-lines")]
        format: Format,
        /// The currency's name in Beancount and Ledger, in capitals: BTC.
        #[arg(long, required_if_eq_any([("format", "beancount"), ("format", "ledger-cli")]))]
        commodity: Option<String>,
        /// Decimals of the currency there.
        #[arg(long, default_value_t = 8)]
        decimals: u8,
        /// An account for each miner there; without it all have one together.
        #[arg(long)]
        each_miner: bool,
        /// The first record that is shown there; what was before is one transaction.
        #[arg(long, default_value_t = 1)]
        from: u64,
    },
    /// One owner's statement as JSON, each credit with its Merkle-sum proof.
    Statement {
        /// A miner's number, as exports show it.
        #[arg(long, conflicts_with = "fee")]
        miner: Option<u64>,
        /// A fee recipient's name.
        #[arg(long)]
        fee: Option<String>,
    },
    /// All balances, now or as they stood in the past. Everything before is read and checked.
    Balances {
        #[command(flatten)]
        when: When,
        /// This account alone, as exports name it: `payable/m12`, `wallet`.
        #[arg(long)]
        account: Option<Account>,
        /// One JSON object.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Args)]
#[group(multiple = false)]
struct When {
    /// After this record.
    #[arg(long)]
    at_record: Option<u64>,
    /// Before the first record that is later than this, in milliseconds since 1970.
    #[arg(long, value_name = "UNIX_MS")]
    at_time: Option<u64>,
    /// What was booked while the block at this height, or other coordinate, was the newest of the chain: up to the pool's
    /// first job behind it. As far as the journal beside the ledger keeps jobs.
    #[arg(long, value_name = "HEIGHT")]
    at_coord: Option<u64>,
    /// Right after this income of ours was divided, by the key that exports show.
    #[arg(long, value_name = "KEY", value_parser = income)]
    at_income: Option<IncomeKey>,
    /// Right before it was.
    #[arg(long, value_name = "KEY", value_parser = income)]
    before_income: Option<IncomeKey>,
}

fn income(text: &str) -> Result<IncomeKey, &'static str> {
    IncomeKey::try_from(text.to_owned())
}

impl When {
    /// `None`: now.
    fn past(self, ledger: &Path) -> Result<Option<Past>, Failure> {
        let plain = self.at_record.map(Past::Record);
        let plain = plain.or(self.at_time.map(|time| Past::Time(UnixMillis(time))));
        let plain = plain.or(self.at_income.map(Past::After)).or(self.before_income.map(Past::Before));
        match self.at_coord {
            Some(coord) => while_newest(ledger, coord),
            None => Ok(plain),
        }
    }
}

/// Up to when the block at a coordinate was the newest. Work on the next one begins when it comes, and on the one behind that
/// when the next has come.
fn while_newest(ledger: &Path, coord: u64) -> Result<Option<Past>, Failure> {
    let folder = ledger.parent().unwrap_or(Path::new("")).join("journal");
    let (journal, _) = JournalView::open(Arc::new(RealDisk), &folder)?;
    let worked = journal.work_on(coord.saturating_add(2))?;
    match (worked.began, worked.coords) {
        (_, Some((low, high))) if coord.saturating_add(1) < low || coord >= high => {
            Err(Failure::new(format!(
                "the journal's jobs tell when the blocks from {} to {} were the newest",
                low.saturating_sub(1),
                high.saturating_sub(1)
            )))
        }
        (_, None) => Err(Failure::new("the journal keeps no job: say --at-record or --at-time")),
        (Some(over), _) => Ok(Some(Past::Time(UnixMillis(over.0.saturating_sub(1))))),
        // It still is.
        (None, _) => Ok(None),
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    JsonLines,
    Csv,
    Beancount,
    LedgerCli,
}

impl LedgerCommand {
    /// Does it.
    pub fn run(self) -> Outcome {
        let reader = Reader::open(Arc::new(RealDisk), &self.ledger)?;
        match self.what {
            What::Verify { json } => {
                let good = reader.verify()?;
                if json {
                    let head = serde_json::json!({"seq": good.head.seq, "digest": good.head.digest});
                    say!(
                        "{}",
                        serde_json::json!({"head": head, "groups": good.groups, "totals": good.totals})
                    );
                } else {
                    let totals = &good.totals;
                    say!("{} entries, chain good up to {}", good.head.seq, good.head.digest.short());
                    say!("income    {:>20}", totals.income);
                    say!("credited  {:>20}", totals.credited);
                    say!("fees      {:>20}", totals.fees);
                    say!("carried   {:>20}", totals.carried);
                    say!("paid      {:>20}", totals.paid);
                    say!("conserved {:>20}", if totals.conserved { "to the unit" } else { "NO" });
                }
            }
            What::Export { format, commodity, decimals, each_miner, from } => {
                let accounting = || {
                    let commodity = Commodity::new(commodity.as_deref().unwrap_or_default(), decimals)?;
                    let miners = if each_miner { Miners::Each } else { Miners::Together };
                    Ok::<_, Failure>(Accounting { commodity, miners, from })
                };
                let format = match format {
                    Format::JsonLines => ExportFormat::JsonLines,
                    Format::Csv => ExportFormat::Csv,
                    Format::Beancount => ExportFormat::Beancount(accounting()?),
                    Format::LedgerCli => ExportFormat::LedgerCli(accounting()?),
                };
                let mut out = BufWriter::new(Out);
                let exported = reader.export(&format, &mut out);
                let written = out.flush();
                // Who reads no more has what he wanted.
                if Out::is_read() {
                    exported?;
                    written?;
                }
            }
            What::Statement { miner, fee } => {
                let owner = match (miner, fee) {
                    (Some(number), _) => Owner::Miner(MinerId(number)),
                    (None, Some(name)) => Owner::Fee(FeeName::try_from(name)?),
                    (None, None) => return Err(Failure::usage("name --miner NUMBER or --fee NAME")),
                };
                say!("{}", serde_json::to_string_pretty(&reader.statement(&owner)?)?);
            }
            What::Balances { when, account, json } => {
                let past = when.past(&self.ledger)?;
                let (book, head) = past.map_or_else(|| reader.replay(), |past| reader.past(&past))?;
                let wanted = |one: &Account| account.as_ref().is_none_or(|account| account == one);
                let rows = book.balances().filter(|(account, _)| wanted(account));
                let rows = rows.map(|(account, balance)| (account.to_string(), balance));
                if json {
                    // Balances as text: they may have more digits than other readers of JSON keep.
                    let rows: serde_json::Map<_, _> =
                        rows.map(|(name, balance)| (name, balance.to_string().into())).collect();
                    let head = serde_json::json!({"seq": head.seq, "digest": head.digest});
                    let whole = serde_json::json!({"head": head, "totals": book.totals(), "balances": rows});
                    say!("{whole}");
                } else {
                    say!("after record {}", head.seq);
                    rows.for_each(|(name, balance)| say!("{name:<40} {balance:>24}"));
                }
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}
