//! `millpond:vote` as plain Rust: agendas, tallies and a user's wishes in, choices with reasons out.

use crate::Settings;
use millpond_runtime::Outcome;
use millpond_types::Digest;
use serde::{Deserialize, Serialize};

/// What is voted on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TopicKind {
    /// A consensus agenda.
    Agenda,
    /// A treasury key.
    TreasuryKey,
    /// A treasury spend.
    TreasurySpend,
}

/// What an option means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Meaning {
    /// No opinion.
    Abstain,
    /// Against.
    No,
    /// In favour.
    Yes,
    /// Something else.
    Other,
}

/// Where a topic stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// Not open yet.
    Upcoming,
    /// Open.
    Started,
    /// Decided.
    LockedIn,
    /// In force.
    Active,
    /// Not carried.
    Failed,
}

/// One option of a topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Choice {
    /// Its id.
    pub id: String,
    /// Its meaning.
    pub meaning: Meaning,
    /// Live tickets of those who chose it explicitly.
    pub tickets: u64,
}

/// One topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Topic {
    /// Its kind.
    pub kind: TopicKind,
    /// Its id.
    pub id: String,
    /// The vote version.
    pub version: u32,
    /// Where it stands.
    pub status: Status,
    /// What is known of it.
    pub about: Vec<(String, Vec<u8>)>,
    /// Its options.
    pub options: Vec<Choice>,
    /// The pool's default option.
    pub pool_default: Option<u16>,
}

/// An explicit choice of a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explicit {
    /// Index of the topic.
    pub topic: u16,
    /// Index of the ticket; none for all of them.
    pub ticket: Option<u16>,
    /// Index of the option.
    pub choice: u16,
}

/// A delegate and his picks (topic, option).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delegate {
    /// His name.
    pub name: String,
    /// His picks.
    pub picks: Vec<(u16, u16)>,
}

/// A user without name or address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// His tickets.
    pub tickets: Vec<Vec<u8>>,
    /// His explicit choices.
    pub explicit: Vec<Explicit>,
    /// Index of his delegate.
    pub delegate: Option<u16>,
}

/// What there is to decide.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ballot {
    /// The chain's height.
    pub height: u64,
    /// The topics.
    pub topics: Vec<Topic>,
    /// The delegates.
    pub delegates: Vec<Delegate>,
    /// Live tickets in all.
    pub eligible: u64,
}

/// A choice and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pick {
    /// Index of the topic.
    pub topic: u16,
    /// Index of the ticket; none for all.
    pub ticket: Option<u16>,
    /// Index of the option.
    pub choice: u16,
    /// At most 120 bytes.
    pub reason: String,
}

/// A vote policy. Every call runs in a fresh store of the strict class, before any draw and never on the vote path.
pub trait VotePolicy: Send + Sync {
    /// The digest of the component.
    fn digest(&self) -> Digest;
    /// JSON Schema of its section.
    ///
    /// # Errors
    /// A trap.
    fn schema(&self) -> Outcome<String>;
    /// The picks for one user. Checked natively already: indices exist, no pick against an explicit choice, no topic
    /// and ticket twice, reasons cut to 120 bytes.
    ///
    /// # Errors
    /// The policy's own, a trap, or picks that do not hold.
    fn decide(&self, settings: &Settings, ballot: &Ballot, user: &User) -> Outcome<Vec<Pick>>;
}
