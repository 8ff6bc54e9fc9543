//! `millpond plugin run SCHEME --shares FILE`: one income over somebody's share log, by the pool's own code.

use crate::history::{How, Walk};
use crate::log::{LoggedShare, ShareLog};
use millpond_contracts::Settings;
use millpond_contracts::payout::PayoutScheme;
use millpond_ledger::Entry;
use millpond_payout::BoundScheme;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A share log with miners by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NamedLog {
    names: Vec<String>,
    log: ShareLog,
}

/// A share as a file has it; `miner`, `work` and `network` are needed.
#[derive(Deserialize)]
struct Row {
    miner: String,
    work: u64,
    network: u128,
    #[serde(default)]
    time_ms: u64,
    #[serde(default)]
    coord: u64,
    #[serde(default)]
    reward: u64,
    #[serde(default)]
    block: bool,
}

/// Columns of a CSV file.
const COLUMNS: [&str; 7] = ["miner", "work", "network", "time_ms", "coord", "reward", "block"];

impl NamedLog {
    /// Reads CSV with a head line, or JSON: an array of objects, or one object a line.
    ///
    /// # Errors
    /// The line, and what is wrong with it.
    pub fn read(text: &str) -> Result<Self, String> {
        let start = text.trim_start();
        let rows: Vec<Row> = if start.starts_with('[') {
            serde_json::from_str(start).map_err(|error| format!("not a JSON array of shares: {error}"))?
        } else if start.starts_with('{') {
            let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
            lines
                .map(|(at, line)| {
                    serde_json::from_str(line)
                        .map_err(|error| format!("line {}: not a share: {error}", at + 1))
                })
                .collect::<Result<_, _>>()?
        } else {
            csv(text)?
        };
        if rows.is_empty() {
            return Err("there are no shares in it".to_owned());
        }
        let mut named = Self::default();
        let mut numbers = BTreeMap::<String, u64>::new();
        for (at, row) in rows.into_iter().enumerate() {
            if row.network == 0 {
                return Err(format!("share {}: the network's work is 0", at + 1));
            }
            let next = numbers.len() as u64 + 1;
            let miner = *numbers.entry(row.miner.clone()).or_insert(next);
            if miner == next {
                named.names.push(row.miner);
            }
            named.log.0.push(LoggedShare {
                miner,
                work: row.work,
                network: row.network,
                time_ms: row.time_ms,
                coord: row.coord,
                reward: row.reward,
                block: row.block,
            });
        }
        Ok(named)
    }

    fn name(&self, miner: u64) -> &str {
        let at = usize::try_from(miner).unwrap_or(0).wrapping_sub(1);
        self.names.get(at).map_or("?", String::as_str)
    }
}

fn csv(text: &str) -> Result<Vec<Row>, String> {
    let mut lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let (_, head) = lines.next().ok_or("the file is empty")?;
    let head: Vec<&str> = head.split(',').map(str::trim).collect();
    for needed in ["miner", "work", "network"] {
        if !head.contains(&needed) {
            return Err(format!("line 1: no column {needed}; there may be {}", COLUMNS.join(", ")));
        }
    }
    let mut rows = Vec::new();
    for (at, line) in lines {
        let cells: Vec<&str> = line.split(',').map(str::trim).collect();
        if cells.len() != head.len() {
            return Err(format!("line {}: {} cells, the head has {}", at + 1, cells.len(), head.len()));
        }
        let cell =
            |name: &str| head.iter().position(|column| *column == name).and_then(|at| cells.get(at).copied());
        let number = |name: &str| -> Result<u128, String> {
            let text = cell(name).unwrap_or("0");
            text.parse().map_err(|_| format!("line {}: {name} is {text:?}, not a number", at + 1))
        };
        let small = |name: &str| -> Result<u64, String> {
            u64::try_from(number(name)?).map_err(|_| format!("line {}: {name} does not fit 64 bits", at + 1))
        };
        rows.push(Row {
            miner: cell("miner").unwrap_or_default().to_owned(),
            work: small("work")?,
            network: number("network")?,
            time_ms: small("time_ms")?,
            coord: small("coord")?,
            reward: small("reward")?,
            block: matches!(cell("block"), Some("1" | "true")),
        });
    }
    Ok(rows)
}

/// What a scheme makes of an income.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Sample {
    /// The number of the share that ended the windows, from 1.
    pub at: u64,
    /// What was divided.
    pub income: u64,
    /// What earlier incomes, all of them final, left over: it is divided along with it.
    pub carried: u64,
    /// (miner, amount), in the order of the log.
    pub amounts: Vec<(String, u64)>,
    /// What the shares up to it were credited, where the scheme pays shares.
    pub credited: Vec<(String, u64)>,
    /// What nobody gets now.
    pub rest: u64,
}

/// Divides an income whose windows end at share `at` (from 1; the log's last one if none is given) after allocating
/// every block of the log before it, so that the scheme's state is what it would be.
///
/// # Errors
/// What a pool's operator would read.
pub fn run(
    name: &str,
    scheme: Arc<dyn PayoutScheme>,
    settings: &Settings,
    named: &NamedLog,
    at: Option<u64>,
    income: Option<u64>,
) -> Result<Sample, String> {
    let bound = BoundScheme::new(name, scheme, settings.clone()).map_err(|error| error.to_string())?;
    let count = named.log.0.len();
    let end = at.map_or(count, |at| usize::try_from(at).unwrap_or(usize::MAX));
    let last = end.checked_sub(1).and_then(|end| Some((end, named.log.0.get(end)?)));
    let Some((end, share)) = last else {
        return Err(format!("share {end} is not in the log, which has {count}"));
    };
    let income = income.unwrap_or(share.reward);
    // As a pool whose reserve never ends: what a share earns does not depend on what is in it.
    let how = How::default();
    let mut walk = Walk::new(&bound, &how, if bound.terms().reserve { u64::MAX } else { 0 })?;
    walk.log = ShareLog(named.log.0.get(..=end).unwrap_or(&[]).to_vec());
    let mut before = None;
    for at in walk.log.blocks().into_iter().filter(|at| *at < end) {
        let reward = named.log.0.get(at).map_or(0, |share| share.reward);
        walk.income_at(at, before, reward)?;
        walk.mature(u32::MAX)?;
        before = Some(at);
    }
    walk.income_at(end, before, income)?;
    let mut credits = BTreeMap::new();
    for entry in &walk.entries {
        let Entry::Accrued { parts, .. } = entry else { continue };
        for (miner, amount) in parts.miners() {
            let sum = credits.entry(miner.0).or_insert(0_u64);
            *sum = sum.saturating_add(amount.0);
        }
    }
    let parts = walk.incomes.last().map(|divided| &divided.entry.parts).ok_or("nothing was divided")?;
    let with_names = |(miner, amount): (u64, u64)| (named.name(miner).to_owned(), amount);
    let rest = parts.total().0.saturating_sub(parts.miners().map(|(_, amount)| amount.0).sum());
    Ok(Sample {
        at: end as u64 + 1,
        income,
        carried: parts.total().0.saturating_sub(income),
        amounts: parts.miners().map(|(miner, amount)| with_names((miner.0, amount.0))).collect(),
        credited: credits.into_iter().map(with_names).collect(),
        rest,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const CSV: &str =
        "miner,work,network,reward,block\nann,10,1000,500,0\nbob,30,1000,500,false\n\nann,10,1000,500,1\n";

    #[test]
    fn csv_and_json_say_the_same() {
        let lines = CSV.lines().skip(1).filter(|line| !line.is_empty()).map(|line| {
            let cells: Vec<&str> = line.split(',').collect();
            let block = cells[4] == "1";
            format!(
                r#"{{"miner":"{}","work":{},"network":1000,"reward":500,"block":{block}}}"#,
                cells[0], cells[1]
            )
        });
        let lines: Vec<String> = lines.collect();
        let csv = NamedLog::read(CSV).unwrap();
        assert_eq!(NamedLog::read(&lines.join("\n")).unwrap(), csv);
        assert_eq!(NamedLog::read(&format!("[{}]", lines.join(","))).unwrap(), csv);
        assert_eq!(
            (csv.names.as_slice(), csv.log.blocks()),
            (["ann".to_owned(), "bob".to_owned()].as_slice(), vec![2])
        );
    }

    #[test]
    fn what_is_wrong_with_a_log_is_told_with_its_line() {
        let error = |text: &str| NamedLog::read(text).unwrap_err();
        assert!(error("miner,work\n").starts_with("line 1: no column network"));
        assert_eq!(error("miner,work,network\na,1,5\na,x,5\n"), "line 3: work is \"x\", not a number");
        assert_eq!(error("miner,work,network\na,1\n"), "line 2: 2 cells, the head has 3");
        assert!(error("{\"miner\":\"a\"}\n").starts_with("line 1: not a share"));
        assert!(error("[]").contains("no shares"));
        assert!(error("miner,work,network\na,1,0\n").contains("network's work is 0"));
    }
}
