//! Histories: what happens to a pool, step by step, and what a scheme makes of it by the pool's own code.
//!
//! A [`History`] is generated ([`strategy`]), run ([`run()`]) over the production path (windows in, `millpond-payout`,
//! the ledger's book), and made small when it breaks a property ([`search`]). It is plain data: a counterexample is
//! written as JSON, read by people as a list of steps, and run again from its file.

mod once;
mod run;
mod search;
mod strategy;
mod walk;

pub(crate) use run::{Cut, How, Ran, run};
pub(crate) use search::{Found, search};
pub(crate) use strategy::{ROWS, Reach, Scales, histories};
pub(crate) use walk::Walk;

use serde::{Deserialize, Serialize};
use std::fmt;

/// Equal shares of one miner, one behind the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shares {
    /// Whose.
    pub miner: u64,
    /// The work of each; never above the network's when it is run.
    pub work: u64,
    /// How many.
    pub times: u32,
}

/// One thing that happens. Numbers of incomes count the divided ones from 0 and are taken modulo how many there are, so
/// that every step means something in every history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// Shares come in.
    Shares(Vec<Shares>),
    /// The newest share found a block that pays this much.
    Block(u64),
    /// The newest share found a block that the chain never had: a round ends and nothing is paid.
    Orphan,
    /// An income of this much with nobody's shares before it and no finder.
    Empty(u64),
    /// One of the incomes that are not final yet is lost.
    Lost(u32),
    /// One of the incomes that were lost is there after all.
    Again(u32),
    /// So many of the oldest incomes that are not final become final.
    Mature(u32),
    /// The network's work per block is this from here on.
    Retarget(u128),
    /// A block of a job is expected to earn this from here on.
    Reward(u64),
    /// The clock is moved by so many milliseconds; it may go back.
    Clock(i64),
    /// The chain grows by so many blocks of others.
    Height(u64),
    /// State and book are written down and read back.
    Restart,
    /// The newest income and the newest shares are reported once more.
    Duplicate,
}

/// Steps, and how things stand before the first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct History {
    /// The network's work per block.
    pub network: u128,
    /// What a block of a job is expected to earn.
    pub reward: u64,
    /// Milliseconds between shares.
    pub pace: u64,
    /// What the operator puts into the reserve.
    pub reserve: u64,
    /// What happens.
    pub steps: Vec<Step>,
}

impl History {
    /// Its bytes in digests and files.
    pub(crate) fn json(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }
}

impl fmt::Display for Shares {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "miner {} works {}", self.miner, self.work)?;
        if self.times == 1 { Ok(()) } else { write!(f, ", {} times", self.times) }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shares(runs) => {
                let runs: Vec<String> = runs.iter().map(ToString::to_string).collect();
                write!(f, "shares: {}", runs.join("; "))
            }
            Self::Block(pays) => write!(f, "the newest share found a block, which pays {pays}"),
            Self::Orphan => f.write_str("the newest share found a block, which is an orphan"),
            Self::Empty(pays) => write!(f, "an income of {pays} without shares"),
            Self::Lost(at) => write!(f, "an open income is lost (number {at} of them)"),
            Self::Again(at) => write!(f, "a lost income is there again (number {at} of them)"),
            Self::Mature(count) => write!(f, "the {count} oldest open incomes become final"),
            Self::Retarget(network) => write!(f, "the network's work per block is {network}"),
            Self::Reward(reward) => write!(f, "a block is expected to earn {reward}"),
            Self::Clock(by) => write!(f, "the clock moves by {by} ms"),
            Self::Height(by) => write!(f, "the chain grows by {by} blocks of others"),
            Self::Restart => f.write_str("restart"),
            Self::Duplicate => f.write_str("the newest income and shares are reported again"),
        }
    }
}

impl fmt::Display for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { network, reward, pace, reserve, steps } = self;
        writeln!(f, "network {network}, reward {reward}, reserve {reserve}, {pace} ms between shares")?;
        for (at, step) in (1..).zip(steps) {
            writeln!(f, "{at:>4}  {step}")?;
        }
        Ok(())
    }
}
