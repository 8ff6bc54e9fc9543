//! `millpond bench share`: the tables of the share path.

use crate::progress::StepBar;
use crate::terminal::{Failure, Outcome};
use clap::Args;
use millpond_load::bench::{Bench, Figures, Other, Table, page};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// Run a pool over a mock node on this machine's disk, put load on it, and print what it cost.
///
/// What comes back is looked at: every share has to be answered as it deserves, and every miner to be there and to be told
/// of every block. Otherwise the command says what was off, writes no page and fails.
#[derive(Debug, Args)]
pub struct BenchShare {
    #[command(flatten)]
    how: How,
    /// Only these tables: paths, curve, memory, logins, jobs.
    #[arg(long, value_parser = table, value_delimiter = ',')]
    only: Vec<Table>,
    /// Measure another server that listens already, `host:port`, as far as any can be: refused shares, logins, memory,
    /// and blocks with --node.
    #[arg(long)]
    address: Option<String>,
    /// That server's process on this machine.
    #[arg(long, requires = "address")]
    server_pid: Option<u32>,
    /// The `millpond load node` that it asks.
    #[arg(long, requires = "address")]
    node: Option<String>,
}

/// What every bench of a pool is told: where, for how long, and what it writes.
#[derive(Debug, Args)]
pub(super) struct How {
    /// A folder on a real file system; the pool's data is made in it and removed again. A tmpfs is refused.
    #[arg(long, default_value = ".")]
    folder: PathBuf,
    /// Seconds that the miners of the memory table mine before it is looked at.
    #[arg(long, default_value_t = 600)]
    mining: u64,
    /// Small numbers and short times: to see that it works, not to quote.
    #[arg(long)]
    pub(super) quick: bool,
    /// Write the tables as a page, too.
    #[arg(long)]
    page: Option<PathBuf>,
    /// Print one JSON object instead of the page. What was off is in it as `off`.
    #[arg(long)]
    json: bool,
}

fn table(text: &str) -> Result<Table, String> {
    Table::ALL.into_iter().find(|table| table.name() == text).ok_or_else(|| {
        let names: Vec<_> = Table::ALL.iter().map(|table| table.name()).collect();
        format!("{text:?} is no table: there are {}", names.join(", "))
    })
}

impl How {
    /// A bench of a pool that this program runs itself.
    pub(super) fn bench(&self, tables: Vec<Table>) -> Result<Bench, Failure> {
        let (program, folder) = (std::env::current_exe()?, self.folder.clone());
        let mining = Duration::from_secs(self.mining);
        Ok(Bench { program, folder, quick: self.quick, tables, mining, against: None })
    }

    /// Writes and prints what was measured; fails, with no page, when what came back was not what had to.
    pub(super) fn finish(
        &self,
        figures: &Figures,
        page: &str,
        json: impl FnOnce() -> serde_json::Result<serde_json::Value>,
    ) -> Outcome {
        if self.json {
            say!("{}", json()?);
        }
        if !figures.off.is_empty() {
            let off = figures.off.join("\n  ");
            return Err(Failure::new(format!("the figures mean nothing, for this was off:\n  {off}")));
        }
        if let Some(path) = &self.page {
            std::fs::write(path, page)
                .map_err(|why| Failure::new(format!("{} cannot be written: {why}", path.display())))?;
        }
        if !self.json {
            put!("{page}");
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl BenchShare {
    /// Measures.
    pub fn run(self) -> Outcome {
        let tables = if self.only.is_empty() { Table::ALL.to_vec() } else { self.only };
        let (pid, node) = (self.server_pid, self.node);
        let against = self.address.map(|address| Other { address, pid, node });
        let bench = Bench { against, ..self.how.bench(tables)? };
        let mut bar = StepBar::new();
        let figures = bench.run(&mut |what, done, total| bar.step(what, done, total))?;
        drop(bar);
        let page = page(&figures, "millpond bench share", "");
        self.how.finish(&figures, &page, || serde_json::to_value(&figures))
    }
}

#[cfg(test)]
mod tests {
    use super::table;

    #[test]
    fn tables_go_by_their_names() {
        assert!(["paths", "curve", "memory", "logins", "jobs"].into_iter().all(|name| table(name).is_ok()));
        assert!(table("hashes").unwrap_err().contains("paths, curve"));
    }
}
