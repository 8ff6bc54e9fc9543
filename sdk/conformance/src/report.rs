//! What the kit found: one verdict per property.

use crate::history::History;
use crate::{KIT, Options};
use millpond_contracts::Settings;
use millpond_contracts::payout::Terms;
use millpond_types::Digest;
use serde::{Deserialize, Serialize};
use std::fmt;

/// How a property ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "status", content = "detail")]
pub enum Status {
    /// It held in every case; how it was tested.
    Pass(String),
    /// It was broken: the counterexample.
    Fail(String),
    /// The plugin does not claim it, so nobody holds it to it.
    NotClaimed,
    /// It does not apply, or could not be tested; why.
    NotRun(String),
}

/// One property and how it ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// The property's name.
    pub property: &'static str,
    /// What it says, in one line.
    pub says: &'static str,
    /// How it ended.
    #[serde(flatten)]
    pub status: Status,
    /// The smallest cheat that it sees, where that has a size.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detects: Option<&'static str>,
}

/// A history that breaks a property, as it is written to a file and run again from there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counterexample {
    /// The property.
    pub property: String,
    /// The seed that it was found by.
    pub seed: u64,
    /// What went wrong.
    pub why: String,
    /// The history.
    pub history: History,
}

/// What the kit found about one plugin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The component tested.
    pub component: Digest,
    /// The kit's version.
    pub kit: &'static str,
    /// How hard it was tested, and the seed of all inputs.
    pub options: Options,
    /// The settings that it was tested under.
    pub settings: Settings,
    /// Schemes: what it declares under them.
    pub terms: Option<Terms>,
    /// One per property, in the order tested.
    pub verdicts: Vec<Verdict>,
    /// Of the broken properties, those that a history breaks.
    pub counterexamples: Vec<Counterexample>,
    /// BLAKE3 of all generated histories, in hex.
    pub inputs: String,
    /// BLAKE3 of what every miner got in the histories of `conserved`, in hex.
    pub given: String,
}

impl Report {
    pub(crate) fn new(component: Digest, options: Options) -> Self {
        Self {
            component,
            kit: KIT,
            options,
            settings: Settings::new(),
            terms: None,
            verdicts: Vec::new(),
            counterexamples: Vec::new(),
            inputs: String::new(),
            given: String::new(),
        }
    }

    /// Adds a verdict: the count of cases that held, or the counterexample.
    pub(crate) fn add(&mut self, property: &'static str, says: &'static str, held: Result<String, String>) {
        let status = held.map_or_else(Status::Fail, Status::Pass);
        self.verdicts.push(Verdict { property, says, status, detects: None });
    }

    pub(crate) fn note(&mut self, property: &'static str, says: &'static str, status: Status) {
        self.verdicts.push(Verdict { property, says, status, detects: None });
    }

    /// What the property's verdict can see.
    pub(crate) fn detects(&mut self, property: &str, detects: &'static str) {
        if let Some(verdict) = self.verdicts.iter_mut().find(|verdict| verdict.property == property) {
            verdict.detects = Some(detects);
        }
    }

    /// Whether no property was broken.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.failed().next().is_none()
    }

    /// The broken properties.
    pub fn failed(&self) -> impl Iterator<Item = &Verdict> {
        self.verdicts.iter().filter(|verdict| matches!(verdict.status, Status::Fail(_)))
    }

    /// The verdict on one property.
    #[must_use]
    pub fn of(&self, property: &str) -> Option<&Status> {
        self.verdicts.iter().find(|verdict| verdict.property == property).map(|verdict| &verdict.status)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Verdict { property, says, status, .. } in &self.verdicts {
            match status {
                Status::Pass(how) => writeln!(f, "pass         {property:<16} {says} ({how})")?,
                Status::Fail(example) => {
                    writeln!(f, "FAIL         {property:<16} {says}")?;
                    writeln!(
                        f,
                        "             counterexample:  {}",
                        example.trim_end().replace('\n', "\n               ")
                    )?;
                }
                Status::NotClaimed => writeln!(f, "not claimed  {property:<16} {says}")?,
                Status::NotRun(why) => writeln!(f, "not run      {property:<16} {says}: {why}")?,
            }
        }
        Ok(())
    }
}
