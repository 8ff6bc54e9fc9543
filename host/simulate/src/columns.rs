//! What fee policies are told of simulated miners: the columns that a pool has, from simulated shares.
//!
//! As in a pool, statistics of shares are frozen for an hour, by the shares' own times. A miner has one worker here.

use crate::SimulateError;
use crate::scenario::Scenario;
use millpond_payout::Attributes;
use millpond_types::MinerId;
use millpond_windows::Row;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

const HOUR_MS: u64 = 3_600_000;
/// Hours whose shares count.
const HOURS: usize = 24;
const DAY_SECONDS: u128 = 86_400;
/// How the name of a list's column begins.
const LIST: &str = "list:";

/// The columns of one pool's miners.
#[derive(Clone, Debug)]
pub(crate) struct Columns {
    hour: u64,
    /// Each miner's work in the running hour, and in those before it, the newest last.
    running: Vec<u64>,
    hours: VecDeque<Vec<u64>>,
    /// Each miner's work in the day before the running hour.
    day: Vec<u128>,
    /// Whether he had a share in the hour before it.
    recent: Vec<bool>,
    /// A miner's number in each list of the scenario.
    lists: Arc<BTreeMap<String, Vec<u64>>>,
}

/// What a scheme's columns hold when fees are taken.
pub(crate) struct Told<'a>(pub(crate) Option<&'a Columns>);

/// Whether a scenario's miners have a column of this name.
pub(crate) fn is_known(scenario: &Scenario, name: &str) -> bool {
    let listed = |name| scenario.lists.contains_key(name);
    matches!(name, "work" | "hashrate" | "workers") || name.strip_prefix(LIST).is_some_and(listed)
}

impl Columns {
    pub(crate) fn new(scenario: &Scenario) -> Self {
        let classes = || scenario.miners.iter().map(|class| (class.name.as_str(), class.count.get()));
        let miners = classes().map(|class| class.1 as usize).sum();
        let of = |list: &BTreeMap<String, u64>| {
            let each = classes().flat_map(|(name, count)| {
                let number = list.get(name).copied().unwrap_or(0);
                std::iter::repeat_n(number, count as usize)
            });
            each.collect()
        };
        let lists = scenario.lists.iter().map(|(name, list)| (name.clone(), of(list))).collect();
        Self {
            hour: 0,
            running: vec![0; miners],
            hours: VecDeque::with_capacity(HOURS),
            day: vec![0; miners],
            recent: vec![false; miners],
            lists: Arc::new(lists),
        }
    }

    /// Whether a share of this time begins another hour.
    pub(crate) fn turns(&self, time_ms: u64) -> bool {
        time_ms.checked_div(HOUR_MS).is_some_and(|hour| hour > self.hour)
    }

    /// Counts a share.
    pub(crate) fn push(&mut self, row: &Row) {
        if self.turns(row.time_ms) {
            self.turn(row.time_ms.checked_div(HOUR_MS).unwrap_or(self.hour));
        }
        if let Some(work) = self.running.get_mut(row.miner as usize) {
            *work = work.saturating_add(row.work);
        }
    }

    fn turn(&mut self, hour: u64) {
        let (miners, passed) = (self.running.len(), hour.saturating_sub(self.hour));
        self.hour = hour;
        self.recent = self.running.iter().map(|work| *work > 0 && passed == 1).collect();
        self.hours.push_back(std::mem::replace(&mut self.running, vec![0; miners]));
        // Hours without a share.
        for _ in 0..passed.saturating_sub(1).min(HOURS as u64) {
            self.hours.push_back(vec![0; miners]);
        }
        while self.hours.len() > HOURS {
            self.hours.pop_front();
        }
        self.day.fill(0);
        for of_hour in &self.hours {
            for (sum, work) in self.day.iter_mut().zip(of_hour) {
                *sum = sum.saturating_add(u128::from(*work));
            }
        }
    }
}

impl Told<'_> {
    fn of(&self, name: &str, miner: usize) -> Option<u64> {
        let whole = |number: u128| u64::try_from(number).unwrap_or(u64::MAX);
        let columns = self.0?;
        let day = || columns.day.get(miner).copied().unwrap_or(0);
        match name {
            "work" => Some(whole(day())),
            // Of hashes in the scenario's own unit, in which its hashrates are.
            "hashrate" => day().checked_div(DAY_SECONDS).map(whole),
            "workers" => Some(columns.recent.get(miner).copied().unwrap_or(false).into()),
            other => {
                let list = columns.lists.get(other.strip_prefix(LIST)?)?;
                Some(list.get(miner).copied().unwrap_or(0))
            }
        }
    }

    /// A column for miners by their places.
    pub(crate) fn column(
        &self,
        name: &str,
        miners: impl Iterator<Item = usize>,
    ) -> Result<Vec<u64>, SimulateError> {
        let none = || SimulateError::scenario("fees", format!("there is no column {name:?}"));
        miners.map(|miner| self.of(name, miner).ok_or_else(none)).collect()
    }
}

impl Attributes for Told<'_> {
    fn column(&self, name: &str, miners: &[MinerId]) -> Option<Vec<u64>> {
        let place = |miner: &MinerId| usize::try_from(miner.0).unwrap_or(usize::MAX);
        self.column(name, miners.iter().map(place)).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns() -> Columns {
        let text = "title = \"\"\nseed = 1\nblocks = 10\nnetwork = { work = 10 }\nreward = { subsidy = 1 }\n\
                    [lists.vip]\nb = 7\n[[miners]]\nname = \"a\"\nhashrate = 1\n[[miners]]\nname = \"b\"\ncount = 2\nhashrate = 1\n\
                    [[scheme]]\nplugin = \"prop\"\n";
        let scenario = Scenario::parse(text).unwrap();
        assert!(is_known(&scenario, "list:vip") && !is_known(&scenario, "list:other"));
        // A pool that is simulated is never short of one.
        assert!(!is_known(&scenario, "reserve"));
        Columns::new(&scenario)
    }

    fn told(columns: &Columns, name: &str) -> Vec<u64> {
        Told(Some(columns)).column(name, 0..3).unwrap()
    }

    #[test]
    fn statistics_are_of_the_hours_before() {
        let mut columns = columns();
        let row =
            |miner, work, hour: u64| Row { miner, work, units: 0, time_ms: hour * HOUR_MS + 9, coord: 1 };
        columns.push(&row(0, 86_400 * 3, 0));
        columns.push(&row(1, 100, 0));
        assert_eq!(told(&columns, "work"), [0, 0, 0], "the hour is not over");
        columns.push(&row(1, 11, 1));
        assert_eq!(told(&columns, "work"), [86_400 * 3, 100, 0]);
        assert_eq!(told(&columns, "hashrate"), [3, 0, 0]);
        assert_eq!(told(&columns, "workers"), [1, 1, 0]);
        columns.push(&row(2, 1, 24));
        assert_eq!(told(&columns, "work"), [86_400 * 3, 111, 0], "24 hours back are hour 0");
        assert_eq!(told(&columns, "workers"), [0, 0, 0], "nobody had a share in hour 23");
        columns.push(&row(2, 1, 25));
        assert_eq!(told(&columns, "work"), [0, 11, 1]);
        columns.push(&row(2, 1, 1_000_000));
        assert_eq!(told(&columns, "work"), [0, 0, 0]);
        assert_eq!(told(&columns, "list:vip"), [0, 7, 7]);
    }
}
