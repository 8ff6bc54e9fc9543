//! What the kit found: one verdict per property.

use millpond_types::Digest;
use serde::Serialize;
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
}

/// What the kit found about one plugin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The component tested.
    pub component: Digest,
    /// The seed of all inputs.
    pub seed: u64,
    /// One per property, in the order tested.
    pub verdicts: Vec<Verdict>,
}

impl Report {
    pub(crate) fn new(component: Digest, seed: u64) -> Self {
        Self { component, seed, verdicts: Vec::new() }
    }

    /// Adds a verdict: the count of cases that held, or the counterexample.
    pub(crate) fn add(&mut self, property: &'static str, says: &'static str, held: Result<String, String>) {
        let status = held.map_or_else(Status::Fail, Status::Pass);
        self.verdicts.push(Verdict { property, says, status });
    }

    pub(crate) fn note(&mut self, property: &'static str, says: &'static str, status: Status) {
        self.verdicts.push(Verdict { property, says, status });
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
        for Verdict { property, says, status } in &self.verdicts {
            match status {
                Status::Pass(how) => writeln!(f, "pass         {property:<16} {says} ({how})")?,
                Status::Fail(example) => {
                    writeln!(f, "FAIL         {property:<16} {says}")?;
                    writeln!(f, "             counterexample:  {example}")?;
                }
                Status::NotClaimed => writeln!(f, "not claimed  {property:<16} {says}")?,
                Status::NotRun(why) => writeln!(f, "not run      {property:<16} {says}: {why}")?,
            }
        }
        Ok(())
    }
}
