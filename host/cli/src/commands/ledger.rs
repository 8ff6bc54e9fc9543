//! `millpond ledger`: verify, export, statement. Reads the files; works beside a running pool.

use crate::terminal::{Failure, Outcome};
use clap::{Args, Subcommand, ValueEnum};
use millpond_disk::RealDisk;
use millpond_ledger::{Accounting, Commodity, ExportFormat, FeeName, Miners, Owner, Reader};
use millpond_types::MinerId;
use std::io::{BufWriter, Write};
use std::path::PathBuf;
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
                    println!(
                        "{}",
                        serde_json::json!({"head": head, "groups": good.groups, "totals": good.totals})
                    );
                } else {
                    let totals = &good.totals;
                    println!("{} entries, chain good up to {}", good.head.seq, good.head.digest.short());
                    println!("income    {:>20}", totals.income);
                    println!("credited  {:>20}", totals.credited);
                    println!("fees      {:>20}", totals.fees);
                    println!("carried   {:>20}", totals.carried);
                    println!("paid      {:>20}", totals.paid);
                    println!("conserved {:>20}", if totals.conserved { "to the unit" } else { "NO" });
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
                let mut out = BufWriter::new(std::io::stdout().lock());
                reader.export(&format, &mut out)?;
                out.flush()?;
            }
            What::Statement { miner, fee } => {
                let owner = match (miner, fee) {
                    (Some(number), _) => Owner::Miner(MinerId(number)),
                    (None, Some(name)) => Owner::Fee(FeeName::try_from(name)?),
                    (None, None) => return Err(Failure::usage("name --miner NUMBER or --fee NAME")),
                };
                println!("{}", serde_json::to_string_pretty(&reader.statement(&owner)?)?);
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}
