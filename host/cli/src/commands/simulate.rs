//! `millpond simulate`: pools in simulated time.

use crate::commands::simulate_selftest::SimulateSelftest;
use crate::progress::StepBar;
use crate::terminal::{Failure, Outcome};
use clap::{Args, Subcommand, ValueEnum};
use millpond_report::{Format, write_folder};
use millpond_runtime::{Compiler, Sandbox};
use millpond_simulate::{EXAMPLES, How, Plugins, Scenario, SimulateError, example, run};
use std::num::NonZeroU64;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Mutex;

/// Simulate pools: miners with strategies, a chain with luck, and payout schemes as a pool runs them.
#[derive(Debug, Args)]
pub struct Simulate {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Play a scenario and print what each scheme paid whom.
    Run(SimulateRun),
    /// Print a scenario that ships with the program, to begin with.
    Example(SimulateExample),
    /// Measure the known figures of payout schemes over the code that pays, and hold them to their formulas.
    Selftest(SimulateSelftest),
}

impl Simulate {
    /// Runs.
    pub fn run(self) -> Outcome {
        match self.what {
            What::Run(command) => command.run(),
            What::Example(command) => command.run(),
            What::Selftest(command) => command.run(),
        }
    }
}

/// Play a scenario. Seeded: the same file gives the same bytes on every machine and any number of threads.
///
/// Exit code 1 when a check of the run failed: conservation, or native code against components.
#[derive(Debug, Args)]
struct SimulateRun {
    /// The scenario, a TOML file; docs/simulate.md says how to write one.
    file: PathBuf,
    /// Write the tables into this folder, which is made.
    #[arg(long)]
    out: Option<PathBuf>,
    /// As what: parquet, csv, json, html; all of them when it is left out.
    #[arg(long, value_delimiter = ',', requires = "out")]
    format: Vec<Format>,
    /// What the random stream begins with, instead of the file's.
    #[arg(long)]
    seed: Option<u64>,
    /// How often it is played, instead of the file's.
    #[arg(long)]
    replications: Option<NonZeroU64>,
    /// Threads; as many as there are processors when it is left out.
    #[arg(long, default_value_t = 0, hide_default_value = true)]
    threads: usize,
    /// What runs: native code, the components that a pool runs, or both on one stream, held against each other.
    #[arg(long, value_enum, default_value_t = Way::Native)]
    how: Way,
    /// Print one JSON object instead of the tables.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Way {
    Native,
    Wasm,
    Both,
}

impl Way {
    fn how(self) -> How {
        match self {
            Self::Native => How::Native,
            Self::Wasm => How::Wasm,
            Self::Both => How::Both,
        }
    }
}

fn failure(error: SimulateError) -> Failure {
    if error.is_usage() { Failure::usage(error.to_string()) } else { Failure::new(error.to_string()) }
}

/// Bundled schemes, with a sandbox for their components.
pub(super) fn components() -> Result<Plugins, Failure> {
    Ok(Plugins::with_components(Sandbox::new(None, Compiler::this_executable()?)?))
}

impl SimulateRun {
    fn run(self) -> Outcome {
        let shown = self.file.display();
        let text = std::fs::read_to_string(&self.file)
            .map_err(|error| Failure::usage(format!("{shown}: {error}")))?;
        let mut scenario =
            Scenario::parse(&text).map_err(|error| Failure::usage(format!("{shown}: {error}")))?;
        scenario.seed = self.seed.unwrap_or(scenario.seed);
        scenario.replications = self.replications.unwrap_or(scenario.replications);
        let how = self.how.how();
        let own = scenario.scheme.iter().any(millpond_simulate::SchemeSection::has_components);
        let plugins = if how == How::Native && !own { Plugins::native() } else { components()? };
        let bar = Mutex::new(StepBar::new());
        if let Ok(mut bar) = bar.lock() {
            bar.step("replications", 0, usize::try_from(scenario.replications.get()).unwrap_or(usize::MAX));
        }
        let outcome = run(&scenario, &plugins, how, self.threads, &|done, total| {
            // Where there is no terminal each step is a line: not one for each of many.
            let every = (total / 16).max(1);
            if let Ok(mut bar) = bar.lock()
                && done < total
                && done.is_multiple_of(every)
            {
                bar.step("replications", done as usize, total as usize);
            }
        })
        .map_err(failure)?;
        drop(bar);
        if let Some(folder) = &self.out {
            let formats = if self.format.is_empty() { &Format::ALL[..] } else { &self.format };
            let tables = outcome.tables().map_err(failure)?;
            let page = outcome.page(&tables).map_err(failure)?;
            write_folder(folder, formats, &outcome.head, &tables, &page)?;
        }
        if self.json {
            say!("{}", serde_json::to_string(&outcome)?);
        } else {
            put!("{outcome}");
        }
        Ok(if outcome.holds() { ExitCode::SUCCESS } else { ExitCode::from(1) })
    }
}

/// Print a scenario that ships with the program; without a name, the names.
#[derive(Debug, Args)]
struct SimulateExample {
    /// Which one.
    name: Option<String>,
}

impl SimulateExample {
    fn run(self) -> Outcome {
        let Some(name) = self.name else {
            for (name, text) in EXAMPLES {
                let title = text.lines().find_map(|line| line.strip_prefix("title = "));
                say!("{name}: {}", title.unwrap_or("").trim_matches('"'));
            }
            return Ok(ExitCode::SUCCESS);
        };
        let names: Vec<&str> = EXAMPLES.iter().map(|(name, _)| *name).collect();
        let text = example(&name).ok_or_else(|| {
            Failure::usage(format!("there is no scenario {name:?}; there are {}", names.join(", ")))
        })?;
        put!("{text}");
        Ok(ExitCode::SUCCESS)
    }
}
