//! `millpond list`: numbers of miners that fee policies ask for.

use crate::commands::admin::Door;
use crate::terminal::{Failure, Outcome};
use clap::{Args, Subcommand};
use millpond_admin::Command;
use std::path::{Path, PathBuf};

/// Set lists of miners' numbers, which fee policies ask for as `list:NAME`.
#[derive(Debug, Args)]
pub struct Lists {
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
    /// Set a list from a file with a line `ADDRESS,NUMBER` for each miner; who is not in it has 0.
    ///
    /// It counts for what is found from now on, and is recorded before: a replay needs no file.
    Set {
        /// Its name.
        name: String,
        /// The file. Empty lines and lines that begin with # are passed over.
        file: PathBuf,
        /// Change these rows only; the others stay.
        #[arg(long)]
        change: bool,
    },
}

impl Lists {
    /// Does it.
    pub fn run(self) -> Outcome {
        let What::Set { name, file, change } = self.what;
        let text = std::fs::read_to_string(&file)
            .map_err(|why| Failure::usage(format!("{}: {why}", file.display())))?;
        let rows = rows(&text, &file)?;
        self.door.send(&Command::ListSet { pool: self.pool, name, rows, change })
    }
}

fn rows(text: &str, file: &Path) -> Result<Vec<(String, u64)>, Failure> {
    let mut rows = Vec::new();
    for (at, line) in (1..).zip(text.lines().map(str::trim)) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let row = line
            .split_once(',')
            .and_then(|(address, number)| Some((address.trim().to_owned(), number.trim().parse().ok()?)));
        let row = row.filter(|(address, _)| !address.is_empty()).ok_or_else(|| {
            Failure::usage(format!("{}:{at}: {line:?} is not ADDRESS,NUMBER", file.display()))
        })?;
        rows.push(row);
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_a_row_a_line() {
        let read = rows("# tiers\n\nbc1qa, 50\n bc1qb,0 \r\n", Path::new("f.csv")).unwrap();
        assert_eq!(read, [("bc1qa".to_owned(), 50), ("bc1qb".to_owned(), 0)]);
        for wrong in ["bc1qa", "bc1qa,x", ",5", "bc1qa,-1", "bc1qa,1,2"] {
            let failure = rows(&format!("bc1q,1\n{wrong}\n"), Path::new("f.csv")).unwrap_err();
            assert!(failure.text.starts_with("f.csv:2: "), "{wrong}: {}", failure.text);
        }
    }
}
