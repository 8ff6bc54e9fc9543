//! `millpond plugin`: what authors of plugins need, and what an operator wants to know of one.

use crate::terminal::{Failure, Outcome};
use clap::{Args, Subcommand};
use millpond_bundled as bundled;
use millpond_config::Span;
use millpond_config::settings::described;
use millpond_conformance::certificate::certificate;
use millpond_conformance::{
    Counterexample, Options, Report, Status, adapter, author, constants, fee, sample, scheme, vote,
};
use millpond_contracts::{
    AdapterError, Contract, Setting, Settings, check, load_adapter, load_fee_policy, load_scheme,
    load_vote_policy, schema,
};
use millpond_pool::setup::plugin_settings;
use millpond_runtime::{Compiler, LogSink, Sandbox, TracingSink};
use millpond_types::Digest;
use serde_json::json;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

/// The largest component that any class takes, and a little more, so that the check can say how large it is.
const LARGEST: u64 = 64 << 20;

/// Make, build, check, test and run plugins.
#[derive(Debug, Args)]
pub struct PluginCommand {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Write a small crate for a new plugin.
    New {
        /// adapter, scheme, fee or vote.
        kind: String,
        /// The plugin's name: lower-case letters, digits and `-`.
        name: String,
        /// Its folder; by default one of its name in the current folder.
        #[arg(long)]
        dir: Option<PathBuf>,
        /// The SDK's folder, `sdk/guest` of Millpond's repository, if it is not above.
        #[arg(long)]
        sdk: Option<PathBuf>,
    },
    /// Build a plugin's component.
    Build {
        /// The plugin's folder.
        #[arg(default_value = ".")]
        dir: PathBuf,
        /// Where the component goes; by default `<name>.wasm` in the folder.
        #[arg(long)]
        out: Option<PathBuf>,
    },
    /// Say whether a component keeps its contract, and exactly what does not fit. Exit code 1 if it does not.
    Check {
        /// A component file, or the name of a bundled plugin.
        plugin: String,
        /// One JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Print the JSON Schema of a plugin's settings.
    Schema {
        /// A component file, or the name of a bundled plugin.
        plugin: String,
    },
    /// List the bundled plugins.
    List {
        /// One JSON array.
        #[arg(long)]
        json: bool,
    },
    /// Swap a plugin of a running pool while miners are connected.
    Swap(crate::commands::admin::Swap),
    /// Let a plugin of a running pool out of quarantine.
    Release(crate::commands::admin::Release),
    /// Hold a plugin to its contract and to what it claims. Exit code 1 if a property is broken.
    Test(Test),
    /// Run a plugin: an adapter at real nodes or over a recording, a scheme over a share log.
    Run(Run),
}

#[derive(Debug, Args)]
struct Test {
    /// A component file, or the name of a bundled plugin.
    plugin: String,
    /// A setting; may be given several times.
    #[arg(long = "settings", value_name = "KEY=VALUE")]
    settings: Vec<String>,
    /// Other inputs.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Random cases per property.
    #[arg(long, default_value_t = 120)]
    cases: u32,
    /// Miners in the one large call.
    #[arg(long, default_value_t = 1_000_000)]
    miners: u32,
    /// Adapters: traffic recorded by `plugin run --record`.
    #[arg(long)]
    recording: Option<PathBuf>,
    /// Write what was found in a form that the same component, settings and options give again byte for byte.
    #[arg(long)]
    certificate: Option<PathBuf>,
    /// Schemes: write the first history that breaks a property, as JSON; nothing is written if none does.
    #[arg(long, value_name = "FILE")]
    counterexample: Option<PathBuf>,
    /// Schemes: test this one history, as --counterexample writes it, instead of generated ones.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["certificate", "counterexample"])]
    history: Option<PathBuf>,
    /// One JSON object.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct Run {
    /// A component file, or the name of a bundled plugin.
    plugin: String,
    /// A setting; may be given several times.
    #[arg(long = "settings", value_name = "KEY=VALUE")]
    settings: Vec<String>,
    /// Schemes: a share log, CSV or JSON, with miner, work, network and optional time_ms, coord, reward, block.
    #[arg(long, conflicts_with_all = ["node", "replay"])]
    shares: Option<PathBuf>,
    /// Schemes: the number of the share that found the income's block; by default the last.
    #[arg(long, requires = "shares")]
    at: Option<u64>,
    /// Schemes: the income; by default the share's reward.
    #[arg(long, requires = "shares")]
    income: Option<u64>,
    /// Adapters: replay a recording and compare what the adapter does.
    #[arg(long, conflicts_with = "node")]
    replay: Option<PathBuf>,
    #[command(flatten)]
    live: crate::commands::plugin_live::Live,
    /// JSON.
    #[arg(long)]
    json: bool,
}

/// A component and its name for people.
pub(crate) struct Component {
    name: String,
    bytes: Vec<u8>,
}

impl Component {
    /// A file if there is one of this name, else a bundled plugin.
    fn find(plugin: &str) -> Result<Self, Failure> {
        let path = Path::new(plugin);
        if path.is_file() {
            let size = std::fs::metadata(path)?.len();
            if size > LARGEST {
                return Err(Failure::usage(format!(
                    "{plugin}: {size} bytes are more than any plugin may have"
                )));
            }
            let name = path
                .file_stem()
                .map_or_else(|| plugin.to_owned(), |stem| stem.to_string_lossy().into_owned());
            let bytes = std::fs::read(path).map_err(|error| Failure::usage(format!("{plugin}: {error}")))?;
            return Ok(Self { name, bytes });
        }
        match bundled::get(plugin) {
            Some(found) => Ok(Self { name: plugin.to_owned(), bytes: found.bytes.to_vec() }),
            None => {
                let names: Vec<&str> = bundled::all().iter().map(|plugin| plugin.name).collect();
                let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
                Err(Failure::usage(format!(
                    "{plugin}: there is no file {}; bundled plugins are {}",
                    path.display(),
                    names.join(", ")
                )))
            }
        }
    }
}

fn sandbox() -> Result<(Sandbox, Arc<dyn LogSink>), Failure> {
    let compiler = Compiler::this_executable()?;
    Ok((Sandbox::new(None, compiler)?, Arc::new(TracingSink)))
}

/// `key=value`: true and false are flags, whole numbers integers, everything else text. Sorted by key.
pub(crate) fn settings(given: &[String]) -> Result<Settings, Failure> {
    let mut settings = Settings::new();
    for pair in given {
        let (key, value) = pair
            .split_once('=')
            .ok_or_else(|| Failure::usage(format!("--settings {pair}: it must be KEY=VALUE")))?;
        let value = match (value, value.parse()) {
            ("true", _) => Setting::Flag(true),
            ("false", _) => Setting::Flag(false),
            (_, Ok(number)) => Setting::Int(number),
            (text, Err(_)) => Setting::Text(text.to_owned()),
        };
        if settings.iter().any(|(other, _)| other == key) {
            return Err(Failure::usage(format!("--settings {key} is given twice")));
        }
        settings.push((key.to_owned(), value));
    }
    settings.sort();
    Ok(settings)
}

impl PluginCommand {
    /// Does it.
    pub fn run(self) -> Outcome {
        match self.what {
            What::New { kind, name, dir, sdk } => {
                let folder = dir.unwrap_or_else(|| PathBuf::from(&name));
                let written = author::create(&kind, &name, &folder, sdk.as_deref()).map_err(in_full)?;
                for file in written {
                    say!("{}", file.display());
                }
                say!("next: cd {} && cargo test && millpond plugin build", folder.display());
                Ok(ExitCode::SUCCESS)
            }
            What::Build { dir, out } => {
                let built = author::build(&dir, out.as_deref()).map_err(in_full)?;
                say!("{}", built.file.display());
                say!("{} bytes, blake3 {}", built.size, built.digest);
                say!("built by {}", built.toolchain);
                Ok(ExitCode::SUCCESS)
            }
            What::Check { plugin, json } => print_check(&plugin, json),
            What::Schema { plugin } => {
                let component = Component::find(&plugin)?;
                let (sandbox, sink) = sandbox()?;
                say!("{}", schema(&sandbox, &component.name, &component.bytes, &sink)?);
                Ok(ExitCode::SUCCESS)
            }
            What::List { json } => {
                list(json);
                Ok(ExitCode::SUCCESS)
            }
            What::Swap(swap) => swap.run(),
            What::Release(release) => release.run(),
            What::Test(test) => test.run(),
            What::Run(run) => run.run(),
        }
    }
}

fn in_full(error: impl std::fmt::Display) -> Failure {
    Failure::new(format!("{error:#}"))
}

fn list(as_json: bool) {
    let all = bundled::all();
    if as_json {
        let rows: Vec<_> = all
            .iter()
            .map(|plugin| {
                json!({"name": plugin.name, "version": plugin.version, "world": plugin.world,
                    "size": plugin.bytes.len(), "blake3": plugin.digest.to_string()})
            })
            .collect();
        say!("{}", json!(rows));
        return;
    }
    for plugin in all {
        say!("{:<16} {:<8} {:<40} {}", plugin.name, plugin.version, plugin.world, plugin.digest);
    }
}

/// Contract and world, size, and everything that does not fit: what does not compile does not, nor does a plugin whose
/// settings no configuration could give.
fn examine(
    sandbox: &Sandbox,
    component: &Component,
    sink: &Arc<dyn LogSink>,
) -> (Option<(Contract, String)>, u64, Vec<String>) {
    let Component { name, bytes } = component;
    let checked = match check(sandbox, name, bytes, sink) {
        Ok(checked) => checked,
        Err(error) => return (None, bytes.len() as u64, vec![error.to_string()]),
    };
    let mut findings: Vec<String> = checked.report.findings.iter().map(ToString::to_string).collect();
    if findings.is_empty() {
        let told = schema(sandbox, name, bytes, sink).map_err(|error| vec![format!("schema: {error}")]);
        let read = told.and_then(|text| {
            described(&text).map_err(|errors| errors.iter().map(|error| format!("schema: {error}")).collect())
        });
        findings.extend(read.err().unwrap_or_default());
    }
    // What an adapter says of itself it says under settings: under its defaults, where those are enough.
    if findings.is_empty()
        && checked.contract == Some(Contract::ChainAdapter)
        && let Ok(text) = schema(sandbox, name, bytes, sink)
        && let Ok(defaults) = plugin_settings(&text, &BTreeMap::new(), "chain", Span::default())
        && let Err(error @ AdapterError::NotServed(_)) = load_adapter(sandbox, name, bytes, &defaults, sink)
    {
        findings.push(error.to_string());
    }
    (checked.contract.zip(checked.world()), checked.report.size, findings)
}

fn print_check(plugin: &str, as_json: bool) -> Outcome {
    let component = Component::find(plugin)?;
    let (sandbox, sink) = sandbox()?;
    let digest = Digest::of(&component.bytes);
    let (contract, size, findings) = examine(&sandbox, &component, &sink);
    let fits = findings.is_empty();
    if as_json {
        let world = contract.map(|(_, world)| world);
        say!(
            "{}",
            json!({"plugin": plugin, "blake3": digest.to_string(), "size": size, "contract": world,
                "fits": fits, "findings": findings})
        );
    } else {
        let world = contract.map_or_else(|| "no contract".to_owned(), |(_, world)| world);
        say!("{plugin}: {world}, {size} bytes, blake3 {digest}");
        for finding in &findings {
            say!("  {finding}");
        }
        say!("{}", if fits { "it fits" } else { "it does not fit" });
    }
    Ok(if fits { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl Test {
    fn run(self) -> Outcome {
        let component = Component::find(&self.plugin)?;
        let settings = settings(&self.settings)?;
        let (sandbox, sink) = sandbox()?;
        let options = Options { seed: self.seed, cases: self.cases.max(1), miners: self.miners };
        let Component { name, bytes } = &component;
        let (contract, _, findings) = examine(&sandbox, &component, &sink);
        if !findings.is_empty() {
            return print_check(&self.plugin, self.json);
        }
        let kind = contract.as_ref().map(|(contract, _)| *contract);
        if self.history.is_some() && kind != Some(Contract::PayoutScheme) {
            return Err(Failure::usage(format!("--history: {} is no payout scheme", self.plugin)));
        }
        let report = match kind {
            Some(Contract::PayoutScheme) => {
                let scheme = load_scheme(&sandbox, name, bytes, &sink)?;
                match &self.history {
                    Some(file) => {
                        let found = read_history(file)?;
                        let options = Options { seed: found.seed, ..options };
                        scheme::test_history(name, &scheme, &settings, options, &found.history)
                            .map_err(Failure::new)?
                    }
                    None => scheme::test_with(name, &scheme, &settings, options, &constants(bytes)),
                }
            }
            Some(Contract::FeePolicy) => {
                let policy = load_fee_policy(&sandbox, name, bytes, &sink)?;
                fee::test_with(policy.as_ref(), &settings, options, &constants(bytes))
            }
            Some(Contract::VotePolicy) => {
                vote::test(load_vote_policy(&sandbox, name, bytes, &sink)?.as_ref(), &settings, options)
            }
            Some(Contract::ChainAdapter) => {
                let recording = self.recording.as_deref().map(read_recording).transpose()?;
                let settings = match (&recording, self.settings.is_empty()) {
                    // Without settings of one's own, those that the traffic was recorded under.
                    (Some(recording), true) => recording.settings().clone(),
                    _ => settings,
                };
                let loaded = load_adapter(&sandbox, name, bytes, &settings, &sink)?;
                adapter::test(&loaded, recording.as_ref(), options)
            }
            None => return Err(Failure::new(format!("{}: it is of no contract", self.plugin))),
        };
        print_report(&self.plugin, &report, self.json);
        if let Some(file) = &self.certificate {
            let contract = contract.map_or_else(String::new, |(_, world)| world);
            write(file, &certificate(name, &contract, &report))?;
        }
        if let (Some(file), Some(found)) = (&self.counterexample, report.counterexamples.first()) {
            write(file, &[serde_json::to_vec_pretty(found)?, b"\n".to_vec()].concat())?;
        }
        Ok(if report.passed() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

fn print_report(plugin: &str, report: &Report, as_json: bool) {
    if as_json {
        say!("{}", json!({"plugin": plugin, "passed": report.passed(), "report": report}));
        return;
    }
    put!("{report}");
    let count = |wanted: fn(&Status) -> bool| report.verdicts.iter().filter(|v| wanted(&v.status)).count();
    say!(
        "{plugin}: {} kept, {} broken, {} not claimed, {} not run (seed {})",
        count(|status| matches!(status, Status::Pass(_))),
        count(|status| matches!(status, Status::Fail(_))),
        count(|status| matches!(status, Status::NotClaimed)),
        count(|status| matches!(status, Status::NotRun(_))),
        report.options.seed
    );
}

fn write(file: &Path, bytes: &[u8]) -> Result<(), Failure> {
    std::fs::write(file, bytes).map_err(|error| Failure::usage(format!("{}: {error}", file.display())))
}

fn read_history(file: &Path) -> Result<Counterexample, Failure> {
    let refused = |error: &dyn std::fmt::Display| Failure::usage(format!("{}: {error}", file.display()));
    let text = std::fs::read_to_string(file).map_err(|error| refused(&error))?;
    serde_json::from_str(&text).map_err(|error| refused(&error))
}

fn read_recording(path: &Path) -> Result<adapter::Recording, Failure> {
    let file =
        std::fs::File::open(path).map_err(|error| Failure::usage(format!("{}: {error}", path.display())))?;
    adapter::Recording::read(std::io::BufReader::new(file))
        .map_err(|error| Failure::usage(format!("{}: {error}", path.display())))
}

impl Run {
    fn run(self) -> Outcome {
        let component = Component::find(&self.plugin)?;
        let given = settings(&self.settings)?;
        let (sandbox, sink) = sandbox()?;
        let Component { name, bytes } = &component;
        if let Some(file) = &self.shares {
            let text = std::fs::read_to_string(file)
                .map_err(|error| Failure::usage(format!("{}: {error}", file.display())))?;
            let log = sample::NamedLog::read(&text)
                .map_err(|error| Failure::usage(format!("{}: {error}", file.display())))?;
            let scheme = load_scheme(&sandbox, name, bytes, &sink)?;
            let sample =
                sample::run(name, scheme, &given, &log, self.at, self.income).map_err(Failure::new)?;
            return print_sample(&sample, self.json);
        }
        if let Some(file) = &self.replay {
            let recording = read_recording(file)?;
            let loaded = load_adapter(&sandbox, name, bytes, recording.settings(), &sink)?;
            return match adapter::replay(loaded.as_ref(), &recording) {
                Ok(events) => {
                    say!("{events} events replayed: the adapter does exactly what was recorded");
                    Ok(ExitCode::SUCCESS)
                }
                Err(difference) => {
                    say!("{difference}");
                    Ok(ExitCode::FAILURE)
                }
            };
        }
        self.live.needs()?;
        let loaded = load_adapter(&sandbox, name, bytes, &given, &sink)?;
        self.live.run(loaded, &given)
    }
}

fn print_sample(sample: &sample::Sample, as_json: bool) -> Outcome {
    if as_json {
        say!("{}", serde_json::to_string(sample)?);
        return Ok(ExitCode::SUCCESS);
    }
    say!("income {} at share {}", sample.income, sample.at);
    for (miner, amount) in &sample.amounts {
        say!("{amount:>20} {miner}");
    }
    say!("{:>20} nobody", sample.rest);
    if sample.carried > 0 {
        say!("of which {} were left over by earlier incomes", sample.carried);
    }
    if !sample.credited.is_empty() {
        say!("credited for the shares up to it");
    }
    for (miner, amount) in &sample.credited {
        say!("{amount:>20} {miner}");
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_typed_by_their_text_and_sorted() {
        let given = ["b=true", "a=-5", "c=x=y"].map(str::to_owned);
        assert_eq!(
            settings(&given).unwrap(),
            [
                ("a".to_owned(), Setting::Int(-5)),
                ("b".to_owned(), Setting::Flag(true)),
                ("c".to_owned(), Setting::Text("x=y".to_owned())),
            ]
        );
        assert!(settings(&["a".to_owned()]).is_err());
        assert!(settings(&["a=1".to_owned(), "a=2".to_owned()]).unwrap_err().text.contains("twice"));
    }

    #[test]
    fn a_plugin_that_is_nowhere_is_told_with_those_that_are() {
        let failure = Component::find("no-such-plugin").err().unwrap();
        assert!(failure.text.contains("bundled plugins are bitcoin, "), "{}", failure.text);
        assert_eq!(Component::find("pplns").unwrap().name, "pplns");
    }
}
