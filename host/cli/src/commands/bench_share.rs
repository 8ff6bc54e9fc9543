//! `millpond bench share`: the tables of the share path.

use crate::terminal::{Failure, Outcome};
use clap::Args;
use millpond_load::bench::{Bench, Other, Table, page};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// Run a pool over a mock node on this machine's disk, put load on it, and print what it cost.
#[derive(Debug, Args)]
pub struct BenchShare {
    /// A folder on a real file system; the pool's data is made in it and removed again. A tmpfs is refused.
    #[arg(long, default_value = ".")]
    folder: PathBuf,
    /// Only these tables: paths, curve, memory, logins, jobs.
    #[arg(long, value_parser = table, value_delimiter = ',')]
    only: Vec<Table>,
    /// Seconds that the miners of the memory table mine before it is looked at.
    #[arg(long, default_value_t = 600)]
    mining: u64,
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
    /// Small numbers and short times: to see that it works, not to quote.
    #[arg(long)]
    quick: bool,
    /// Write the tables as a page, too.
    #[arg(long)]
    page: Option<PathBuf>,
    /// Print one JSON object instead of the page.
    #[arg(long)]
    json: bool,
}

fn table(text: &str) -> Result<Table, String> {
    Table::ALL.into_iter().find(|table| table.name() == text).ok_or_else(|| {
        let names: Vec<_> = Table::ALL.iter().map(|table| table.name()).collect();
        format!("{text:?} is no table: there are {}", names.join(", "))
    })
}

impl BenchShare {
    /// Measures.
    pub fn run(self) -> Outcome {
        let tables = if self.only.is_empty() { Table::ALL.to_vec() } else { self.only };
        let (pid, node) = (self.server_pid, self.node);
        let bench = Bench {
            against: self.address.map(|address| Other { address, pid, node }),
            program: std::env::current_exe()?,
            folder: self.folder,
            quick: self.quick,
            tables,
            mining: Duration::from_secs(self.mining),
        };
        let figures = bench.run(&mut |what| eprintln!("{what}"))?;
        let written = page(&figures);
        if let Some(path) = &self.page {
            std::fs::write(path, &written)
                .map_err(|why| Failure::new(format!("{} cannot be written: {why}", path.display())))?;
        }
        if self.json {
            println!("{}", serde_json::to_string(&figures)?);
        } else {
            print!("{written}");
        }
        Ok(ExitCode::SUCCESS)
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
