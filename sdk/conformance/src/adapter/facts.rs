//! What a run of an adapter came to, and whether two runs came to the same.

use millpond_contracts::chain::{Fate, IncomeAt, Job};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Confirmations from which on both runs must have seen a block: one that was in the chain for a moment may have been
/// looked at by one of them only.
const SURE: u32 = 6;

/// What an income became.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Earned {
    pub(super) amount: u64,
    pub(super) at: IncomeAt,
    pub(super) mature: bool,
    pub(super) lost: bool,
}

/// What a run came to.
#[derive(Default)]
pub(super) struct Facts {
    pub(super) events: usize,
    /// Those of them within the time of the recording.
    pub(super) recorded: usize,
    /// Each job with the bytes it kept.
    pub(super) jobs: Vec<(Job, Option<Arc<Vec<u8>>>)>,
    pub(super) incomes: BTreeMap<Vec<u8>, Earned>,
    pub(super) fates: BTreeMap<Vec<u8>, Fate>,
    /// Incomes taken back.
    pub(super) lost: usize,
    /// Calls that the recording has no answer to, and the first of them.
    pub(super) unanswered: usize,
    pub(super) first_unanswered: Option<String>,
    /// Calls answered with what was said at another moment, while the answer of the moment itself is not known.
    pub(super) guessed: usize,
}

impl Facts {
    fn work(&self) -> BTreeSet<(&[u8], u64)> {
        self.jobs.iter().map(|(job, _)| (job.parent.as_slice(), job.coord)).collect()
    }

    /// Incomes that count at the end: not lost, and of a block that is so deep in the chain. (amount, mature) by key.
    fn standing(&self, depth: u32) -> BTreeMap<&[u8], (u64, bool)> {
        let counts = |income: &Earned| match &income.at {
            _ if income.lost => false,
            IncomeAt::Coord(_) => true,
            IncomeAt::Block(block) => match self.fates.get(block) {
                Some(Fate::Accepted(confirmations)) => *confirmations >= depth,
                Some(Fate::Final) => true,
                _ => false,
            },
        };
        let incomes = self.incomes.iter().filter(|(_, income)| counts(income));
        incomes.map(|(key, income)| (key.as_slice(), (income.amount, income.mature))).collect()
    }

    /// No work and no money that the straight run does not know.
    pub(super) fn nothing_new(&self, straight: &Self) -> Result<(), String> {
        let known = straight.work();
        if let Some((parent, coord)) = self.work().into_iter().find(|work| !known.contains(work)) {
            return Err(format!(
                "it published work at {coord} on {}, which there never was",
                hex::encode(parent)
            ));
        }
        for (key, income) in &self.incomes {
            match straight.incomes.get(key) {
                Some(honest) if honest.amount == income.amount && honest.at == income.at => {}
                other => {
                    let key = hex::encode(key);
                    return Err(format!("income {key} of {}, without lies {other:?}", income.amount));
                }
            }
        }
        Ok(())
    }

    /// The same newest work, and none that there never was.
    pub(super) fn same_work(&self, straight: &Self) -> Result<(), String> {
        self.nothing_new(straight)?;
        let newest = |facts: &Self| {
            facts.jobs.last().map(|(job, _)| (job.parent.clone(), job.coord, job.network_target.clone()))
        };
        if newest(self) != newest(straight) {
            let coord = |facts: &Self| facts.jobs.last().map(|(job, _)| job.coord);
            return Err(format!(
                "the newest work is at {:?}, it should be at {:?}",
                coord(self),
                coord(straight)
            ));
        }
        Ok(())
    }

    /// The same work and the same incomes with the same end, exactly; for nodes that miss nothing.
    pub(super) fn equals(&self, straight: &Self) -> Result<(), String> {
        self.same_work(straight)?;
        if let Some((parent, coord)) = straight.work().difference(&self.work()).next() {
            return Err(format!("it published no work at {coord} on {}", hex::encode(parent)));
        }
        self.money_as_deep_as(straight, 1)?;
        let lost = |facts: &Self| {
            let lost = facts.incomes.iter().filter(|(_, income)| income.lost);
            lost.map(|(key, _)| hex::encode(key)).collect::<Vec<_>>()
        };
        if lost(self) != lost(straight) {
            return Err(format!("incomes {:?} are lost, they should be {:?}", lost(self), lost(straight)));
        }
        Ok(())
    }

    /// The same incomes, of blocks that both runs must have seen.
    pub(super) fn same_money(&self, straight: &Self) -> Result<(), String> {
        self.money_as_deep_as(straight, SURE)
    }

    /// What one run owns in blocks of this depth the other must know, in the same amount.
    fn money_as_deep_as(&self, straight: &Self, depth: u32) -> Result<(), String> {
        for (one, two) in [(straight, self), (self, straight)] {
            let known = two.standing(1);
            for (key, (amount, mature)) in one.standing(depth) {
                match known.get(key) {
                    Some((other, also)) if *other == amount && *also == mature => {}
                    other => {
                        let (key, here) = (hex::encode(key), std::ptr::eq(two, self));
                        return Err(format!(
                            "income {key} of {amount} (mature: {mature}) is {other:?} {}",
                            if here { "here" } else { "in a straight run" }
                        ));
                    }
                }
            }
        }
        Ok(())
    }
}
