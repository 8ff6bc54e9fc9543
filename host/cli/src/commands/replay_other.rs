//! `millpond replay --scheme` and `--export`: a pool's records under another policy, and for research.

use crate::commands::plugin::settings;
use crate::progress::StepBar;
use crate::terminal::{Failure, Outcome};
use clap::Args;
use millpond_contracts::{Settings, schema};
use millpond_disk::{Disk, RealDisk};
use millpond_journal::JournalView;
use millpond_ledger::{FeeName, Reader};
use millpond_payout::Recipient;
use millpond_pool::plugins::{Component, PluginStore};
use millpond_pool::policy::{Wanted, WantedFee};
use millpond_pool::setup;
use millpond_pool::setup::given_settings;
use millpond_pool::share_log;
use millpond_pool::what_if::{Asked, Both, WhatIf, what_if};
use millpond_runtime::{Compiler, LogSink, Sandbox, TracingSink};
use millpond_types::{Amount, PoolName, ShareSeq};
use rand::Rng;
use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

/// Parts of the way that are told of.
const STEPS: u64 = 20;

/// Another policy.
#[derive(Debug, Args)]
pub struct Other {
    /// What would this scheme have paid? A component file, or the name of a bundled one.
    #[arg(long, value_name = "PLUGIN", conflicts_with = "export")]
    scheme: Option<String>,
    /// A setting of that scheme; may be given several times.
    #[arg(long = "settings", value_name = "KEY=VALUE", requires = "scheme")]
    settings: Vec<String>,
    /// With this fee policy; without one no fee is taken. May be given several times: each policy is shown what the one
    /// before left over.
    #[arg(long, value_name = "PLUGIN", requires = "scheme")]
    fee: Vec<String>,
    /// A setting of the fee policy; may be given several times. Of the second policy it is written 2:KEY=VALUE.
    #[arg(long, value_name = "[N:]KEY=VALUE", requires = "fee")]
    fee_settings: Vec<String>,
    /// With this reserve, in the ledger's units; for schemes that pay each share from it.
    #[arg(long, default_value_t = 0, requires = "scheme")]
    reserve: u64,
    /// Show so many miners, those whose earnings change most; JSON has all.
    #[arg(long, default_value_t = 20, requires = "scheme")]
    top: usize,
    /// With --scheme and --export: leave out what came up to this share.
    #[arg(long, default_value_t = 0, value_name = "SHARE")]
    pub since: u64,
}

/// A log for research.
#[derive(Debug, Args)]
pub struct Export {
    /// Write the shares to this file as CSV, miners as numbers in an order drawn anew. Pseudonymous, not anonymous: who knows
    /// what somebody was paid, and when, may find him.
    #[arg(long, value_name = "FILE")]
    export: Option<PathBuf>,
    /// Keep so many digits of rewards; 0 keeps all.
    #[arg(long, default_value_t = 4, requires = "export")]
    reward_digits: u32,
}

fn opened(data: &Path, pool: &PoolName) -> Result<(Reader, JournalView), Failure> {
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let folder = data.join(pool.as_str());
    let ledger = Reader::open(Arc::clone(&disk), &folder.join("ledger"))?;
    let (journal, _) = JournalView::open(disk, &folder.join("journal"))?;
    Ok((ledger, journal))
}

fn one(pools: &[PoolName], option: &str) -> Result<PoolName, Failure> {
    match pools {
        [pool] => Ok(pool.clone()),
        _ => Err(Failure::usage(format!("{option} is about one pool: name it with --pool"))),
    }
}

/// Settings by the policy that they are for: `2:KEY=VALUE` is the second's, without a number the first's.
fn of_each(given: &[String], policies: usize) -> Result<Vec<Vec<String>>, Failure> {
    let mut each = vec![Vec::new(); policies];
    for text in given {
        let numbered = text.split_once(':').and_then(|(at, rest)| Some((at.parse::<usize>().ok()?, rest)));
        let (at, setting) = numbered.unwrap_or((1, text));
        let place = at.checked_sub(1).and_then(|at| each.get_mut(at)).ok_or_else(|| {
            Failure::usage(format!("--fee-settings {text}: there are {policies} of --fee, numbered from 1"))
        })?;
        place.push(setting.to_owned());
    }
    Ok(each)
}

impl Export {
    /// Whether it was asked for.
    pub fn is_asked(&self) -> bool {
        self.export.is_some()
    }

    /// Does it.
    pub fn run(&self, data: &Path, pools: &[PoolName], since: u64) -> Outcome {
        let Some(file) = &self.export else { return Ok(ExitCode::SUCCESS) };
        let pool = one(pools, "--export")?;
        let (_, journal) = opened(data, &pool)?;
        let mut key = [0; 32];
        rand::rng().fill(&mut key);
        let mut out = BufWriter::new(
            File::create_new(file).map_err(|why| Failure::usage(format!("{}: {why}", file.display())))?,
        );
        let written = share_log::export(&journal, ShareSeq(since), &key, self.reward_digits, &mut out)?;
        say!("{pool}: {written} shares in {}", file.display());
        Ok(ExitCode::SUCCESS)
    }
}

impl Other {
    /// Whether it was asked for.
    pub fn is_asked(&self) -> bool {
        self.scheme.is_some()
    }

    /// Does it.
    pub fn run(&self, data: &Path, pools: &[PoolName], json: bool) -> Outcome {
        let Some(scheme) = &self.scheme else { return Ok(ExitCode::SUCCESS) };
        let pool = one(pools, "--scheme")?;
        let sandbox = Sandbox::new(Some(&data.join("cache")), Compiler::this_executable()?)?;
        let sink: Arc<dyn LogSink> = Arc::new(TracingSink);
        let component = |name: &str, given: &[String]| -> Result<(Component, Settings), Failure> {
            let found = PluginStore::find(name, Path::new("."))?;
            let schema = schema(&sandbox, &found.name, &found.bytes, &sink)?;
            let settings = given_settings(&schema, settings(given)?, "plugin")
                .map_err(|errors| Failure::usage(errors.join("\n")))?;
            Ok((found, settings))
        };
        let (scheme, scheme_settings) = component(scheme, &self.settings)?;
        let fractions = setup::credits_shares(&scheme, &scheme_settings, &sandbox, &sink)?;
        let mut fees = Vec::with_capacity(self.fee.len());
        for (name, given) in self.fee.iter().zip(of_each(&self.fee_settings, self.fee.len())?) {
            let (found, settings) = component(name, &given)?;
            let operator = FeeName::try_from("operator".to_owned())?;
            fees.push(WantedFee {
                component: found,
                settings,
                recipients: vec![Recipient { name: operator, weight: 1 }],
                to_reserve: false,
                work_shift: None,
                fractions,
            });
        }
        let wanted = Wanted {
            scheme,
            scheme_settings,
            fees,
            reserve: Amount(self.reserve),
            direct: false,
            planned: false,
            run_off: None,
            notice: std::time::Duration::ZERO,
        };
        let (ledger, journal) = opened(data, &pool)?;
        let asked = Asked::new(&wanted, ShareSeq(self.since), sandbox.clone(), Arc::clone(&sink))?;
        let empty_lists = asked.empty_lists(&journal);
        for list in &empty_lists {
            tell!(
                "millpond: a fee policy asks for list:{list}, and nobody stands in it in these records: everybody's number is 0"
            );
        }
        let mut bar = StepBar::new();
        let mut told = None;
        let answer = what_if(&journal, &ledger, asked, &mut |done, total| {
            let step = done.saturating_mul(STEPS).checked_div(total);
            if let (Some(step), true) = (step, step != told) {
                let (step, steps) = (usize::try_from(step).unwrap_or(0), usize::try_from(STEPS).unwrap_or(1));
                bar.step(&format!("parts of {total} records"), step.min(steps.saturating_sub(1)), steps);
            }
            told = step;
        })?;
        drop(bar);
        if json {
            say!("{}", serde_json::json!({"pool": pool, "other": answer, "empty_lists": empty_lists}));
        } else {
            put!("{}", self.table(&pool, &answer));
        }
        Ok(ExitCode::SUCCESS)
    }

    fn table(&self, pool: &PoolName, answer: &WhatIf) -> String {
        let mut lines = vec![format!(
            "{pool}: {} over shares {} to {}, {} incomes",
            answer.scheme,
            answer.since.0.saturating_add(1),
            answer.newest,
            answer.incomes.len()
        )];
        if answer.left_out > 0 {
            lines.push(format!(
                "{} incomes at the beginning are left out: shares of their windows are no longer kept",
                answer.left_out
            ));
        }
        if answer.waiting > 0 {
            lines.push(format!(
                "{} incomes are in neither sum: the pool has not divided them yet",
                answer.waiting
            ));
        }
        lines.push(format!("{:<44} {:>20} {:>20} {:>20} {:>10}", "", "actual", "other", "difference", "ppm"));
        let row = |name: &str, both: &Both| {
            let ppm = both.ppm().map(|ppm| ppm.to_string()).unwrap_or_default();
            format!("{name:<44} {:>20} {:>20} {:>20} {ppm:>10}", both.actual, both.other, both.more())
        };
        lines.push(row("incomes that stand", &answer.standing));
        lines.push(row("miners", &answer.miners_in_all));
        lines.push(row("operator", &answer.operator));
        lines.push(row("carried to a later income", &answer.carry));
        if let Some(reserve) = &answer.reserve {
            let spent = reserve.spent_at.map_or_else(
                || "never spent".to_owned(),
                |share| format!("spent at share {share}, {} shares unpaid at the end", reserve.unpaid_shares),
            );
            lines.push(format!(
                "reserve: {} declared, {} at the least, {} left, {spent}",
                reserve.declared, reserve.least, reserve.left
            ));
        }
        let mut miners: Vec<_> = answer.miners.iter().collect();
        miners.sort_by_key(|row| (std::cmp::Reverse(row.earned.more().unsigned_abs()), row.miner));
        for miner in miners.iter().take(self.top) {
            lines.push(row(&miner.address, &miner.earned));
        }
        let more = miners.len().saturating_sub(self.top);
        if more > 0 {
            lines.push(format!("and {more} more miners: --top, or --json for all"));
        }
        lines.join("\n") + "\n"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_go_to_the_policy_of_their_number() {
        let given = ["a=1", "2:b=x:y", "1:c=3"].map(str::to_owned);
        assert_eq!(of_each(&given, 2).unwrap(), [vec!["a=1", "c=3"], vec!["b=x:y"]]);
        for wrong in ["3:b=1", "0:b=1"] {
            assert!(of_each(&[wrong.to_owned()], 2).unwrap_err().text.contains("numbered from 1"), "{wrong}");
        }
    }
}
