//! `millpond demo`: a whole pool in one process, with nothing installed.
//!
//! The development chain, a pool with the bundled adapter, scheme and fee policy, and three CPU miners over real
//! sockets. Everything the miners see is what `millpond run` would show them.

use crate::terminal::{Failure, Outcome, colours};
use clap::Args;
use millpond_devchain::{DevChain, Options as ChainOptions};
use millpond_miner::{Miner, Options as MinerOptions};
use millpond_pool::Pool;
use millpond_pool::view::BlockView;
use millpond_process::Running;
use millpond_runtime::Compiler;
use millpond_types::Amount;
use std::fmt::Write as _;
use std::io::{IsTerminal, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Confirmations of the development chain's coinbases: short, so that payments can be watched.
const MATURITY: u32 = 5;
/// Three machines of two people. The keys of these addresses are nobody's.
const MINERS: [(&str, &str); 3] = [
    ("bcrt1qft5p2uhsdcdc3l2ua4ap5qqfg4pjaqlp250x7us7a8qqhrxrxfsqseac85", "attic"),
    ("bcrt1qft5p2uhsdcdc3l2ua4ap5qqfg4pjaqlp250x7us7a8qqhrxrxfsqseac85", "cellar"),
    ("mipcBbFg9gMiCh81Kj8tqqdgoZub1ZJRfn", "garage"),
];
/// The demo gives up when nothing has moved for this long.
const PATIENCE: Duration = Duration::from_secs(180);

/// Run a whole pool in this process: a development chain, miners, payouts. Nothing needs to be installed.
#[derive(Debug, Args)]
pub struct Demo {
    /// End after so many blocks found, matured and paid.
    #[arg(long)]
    blocks: Option<u64>,
    /// Print one summary object on the last line of standard output.
    #[arg(long)]
    json: bool,
    /// Keep the data in this folder; a temporary one otherwise.
    #[arg(long)]
    data: Option<PathBuf>,
    /// The payout scheme.
    #[arg(long, default_value = "pplns")]
    scheme: String,
    /// Where the page is served.
    #[arg(long, default_value = "127.0.0.1:0")]
    http: std::net::SocketAddr,
}

impl Demo {
    /// Runs the demo.
    pub fn run(self) -> Outcome {
        let temporary = match &self.data {
            Some(_) => None,
            None => Some(tempfile::Builder::new().prefix("millpond-demo-").tempdir()?),
        };
        let data = match (&self.data, &temporary) {
            (Some(data), _) => data.clone(),
            (None, Some(folder)) => folder.path().to_owned(),
            (None, None) => return Err(Failure::new("there is no data folder")),
        };
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        runtime.block_on(self.demo(&data))
    }

    async fn demo(&self, data: &Path) -> Outcome {
        let chain = DevChain::start(ChainOptions {
            bits: 0x1f00_ffff,
            prologue: MATURITY + 10,
            maturity: MATURITY,
            halving: 1_000_000,
            economy: 12,
            ..ChainOptions::default()
        })
        .await?;
        let text = configuration(&chain, data, &self.scheme, self.http);
        let config =
            millpond_config::parse("demo", &text).map_err(|errors| Failure::new(errors.to_string()))?;
        let running = Running::start(config, Path::new("demo.toml"), Compiler::this_executable()?).await?;
        let pool = running.pools().first().cloned().ok_or_else(|| Failure::new("the demo has no pool"))?;
        let stratum =
            pool.addresses().first().copied().ok_or_else(|| Failure::new("the demo has no port"))?;
        if let Some(page) = running.http() {
            tell!("page     http://{page}/");
        }
        tell!("stratum  {stratum}    try: millpond mine {stratum} --user {}.me", MINERS[0].0);
        let start = |(address, worker): &(&str, &str)| {
            Miner::start(MinerOptions {
                hashes_per_second: Some(60_000.0),
                agent: format!("millpond-demo/{worker}"),
                ..MinerOptions::new(stratum.to_string(), format!("{address}.{worker}"))
            })
        };
        let miners: Vec<Miner> = MINERS.iter().map(start).collect();
        let outcome = self.watch(&pool, &chain, miners).await;
        running.stop().await;
        let (view, shares, plugins) = outcome?;
        if self.json {
            let totals = pool.ledger().totals();
            let summary = serde_json::json!({
                "blocks": pool.matured(),
                "income": view.income, "credited": view.credited, "fees": view.fees, "paid": view.paid,
                "carried": view.carried, "conserved": totals.conserved && view.conserved,
                "shares": shares, "plugins": plugins,
            });
            say!("{summary}");
        }
        Ok(if view.conserved { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    /// Until enough is found, matured and paid, or Ctrl-C.
    async fn watch(
        &self,
        pool: &Arc<Pool>,
        chain: &DevChain,
        mut miners: Vec<Miner>,
    ) -> Result<(millpond_pool::view::Money, u64, serde_json::Value), Failure> {
        let mut screen = Screen::new(self.json);
        let (mut moved, mut enough) = ((Instant::now(), String::new()), false);
        let interrupted = tokio::signal::ctrl_c();
        tokio::pin!(interrupted);
        loop {
            let view = pool.view();
            screen.show(pool, &view);
            let found = chosen(pool);
            // Once it is enough it stays so: there are no miners any more to find others.
            enough |= self.blocks.is_some_and(|wanted| found >= wanted);
            if enough {
                for miner in miners.drain(..) {
                    // A miner that ended on its own has nothing more to say.
                    let _ = miner.stop().await;
                }
                let owed = pool.miners(10).iter().any(|miner| miner.payable > Amount::ZERO);
                let open = !pool.ledger().open_payments().is_empty();
                let waits = view.money.immature > Amount::ZERO || pool.matured() < found;
                if !waits && !open && !owed && view.money.paid > Amount::ZERO {
                    break;
                }
                // The rest of the network goes on, so that coinbases mature and payments confirm.
                chain.generate(1)?;
            }
            let now = format!("{:?} {:?} {}", view.money, view.shares, found);
            if now != moved.1 {
                moved = (Instant::now(), now);
            } else if moved.0.elapsed() > PATIENCE {
                let alarms: Vec<_> = pool.alarms().iter().map(|alarm| alarm.text.clone()).collect();
                let why = format!("{:?} {alarms:?}", view.not_ready);
                return Err(Failure::new(format!("nothing has moved for {} s: {why}", PATIENCE.as_secs())));
            }
            tokio::select! {
                _ = &mut interrupted => break,
                () = tokio::time::sleep(Duration::from_millis(250)) => {}
            }
        }
        for miner in miners {
            let _ = miner.stop().await;
        }
        let view = pool.view();
        screen.show(pool, &view);
        screen.end();
        let plugins: serde_json::Map<String, serde_json::Value> = view
            .plugins
            .iter()
            .map(|plugin| (plugin.name.clone(), plugin.digest.to_string().into()))
            .collect();
        Ok((view.money, view.shares.accepted, plugins.into()))
    }
}

/// Blocks of the pool that the chain has chosen, however many: of two on one parent one counts, when a node has it and
/// nobody else's stands in its place. Only young ones are looked for among those that are shown.
fn chosen(pool: &Pool) -> u64 {
    // In this order: one that matures meanwhile is counted a moment later, and never twice.
    let matured = pool.matured();
    let counts = |block: &BlockView| !block.mature && matches!(block.fate.as_str(), "accepted" | "final");
    let young = pool.blocks(1_000).iter().filter(|block| counts(block)).count();
    matured.saturating_add(u64::try_from(young).unwrap_or(u64::MAX))
}

fn configuration(chain: &DevChain, data: &Path, scheme: &str, http: std::net::SocketAddr) -> String {
    let payout = chain.new_address();
    let data = toml_text(&data.display().to_string());
    format!(
        r#"
[host]
data = {data}
[http]
listen = "{http}"
[[pool]]
name = "demo"
[pool.chain]
payout_address = "{payout}"
confirmations = {MATURITY}
settings = {{ network = "regtest", maturity = {MATURITY}, orphan_after = 2 }}
[[pool.node]]
url = "{url}"
user = "{user}"
password = "{password}"
[[pool.port]]
listen = "127.0.0.1:0"
difficulty = 0.000001
[pool.stratum]
shares_per_minute = 120.0
[pool.payout]
scheme = {scheme}
minimum = 10000
[pool.fee]
settings = {{ basis_points = 100 }}
[[pool.fee.recipient]]
name = "operator"
[pool.wallet]
[pool.settlement]
schedule = "interval 2s"
confirmations = 1
# The demo's wallet holds what it owes and nothing else.
network_fee = "miners"
"#,
        url = chain.url(),
        user = chain.user(),
        password = chain.password(),
        scheme = toml_text(scheme),
    )
}

/// Text as a TOML string.
fn toml_text(text: &str) -> String {
    serde_json::Value::String(text.to_owned()).to_string()
}

/// The live view: redrawn in place on a terminal, a line now and then elsewhere.
struct Screen {
    live: bool,
    lines: usize,
    last_line: Option<(u64, u64, u64)>,
}

impl Screen {
    fn new(json: bool) -> Self {
        Self { live: std::io::stderr().is_terminal() && !json, lines: 0, last_line: None }
    }

    fn show(&mut self, pool: &Pool, view: &millpond_pool::view::PoolView) {
        let money = &view.money;
        if !self.live {
            let line = (view.blocks, pool.matured(), money.paid.0);
            if self.last_line != Some(line) {
                self.last_line = Some(line);
                tell!(
                    "blocks {} matured {} shares {} income {} paid {}",
                    line.0,
                    line.1,
                    view.shares.accepted,
                    money.income,
                    money.paid
                );
            }
            return;
        }
        let mut text = String::new();
        let (bold, plain) = if colours() { ("\x1b[1m", "\x1b[0m") } else { ("", "") };
        let _ = writeln!(
            text,
            "{bold}height {:>8}   {:>9.0} kH/s   effort {:>4.0} %{plain}",
            view.coord,
            view.hashrate.five_minutes / 1e3,
            view.effort_percent
        );
        let _ = writeln!(
            text,
            "shares {:>8}   refused {:>4}   blocks {:>4}   matured {:>4}",
            view.shares.accepted,
            view.shares.stale + view.shares.duplicate + view.shares.low_difficulty,
            view.blocks,
            pool.matured()
        );
        let _ = writeln!(
            text,
            "income {:>16}  credited {:>16}  fees {:>14}",
            money.income, money.credited, money.fees
        );
        let _ = writeln!(
            text,
            "paid   {:>16}  immature {:>16}  conserved {}",
            money.paid,
            money.immature,
            if money.conserved { "to the unit" } else { "NO" }
        );
        for miner in pool.miners(5) {
            let short: String = miner.address.chars().take(20).collect();
            let _ = writeln!(
                text,
                "  {short:<20} {:>8.0} kH/s  payable {:>14}  paid {:>16}",
                miner.hashrate.five_minutes / 1e3,
                miner.payable,
                miner.paid
            );
        }
        let mut err = std::io::stderr().lock();
        if self.lines > 0 {
            let _ = write!(err, "\x1b[{}A\x1b[J", self.lines);
        }
        let _ = err.write_all(text.as_bytes());
        let _ = err.flush();
        self.lines = text.lines().count();
    }

    fn end(&mut self) {
        self.lines = 0;
    }
}
