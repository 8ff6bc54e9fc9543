//! A whole history, run.

use super::walk::{Divided, Standing, Walk};
use super::{History, Step};
use crate::ShareLog;
use millpond_ledger::{Account, Book, Class, Entry, Owner, Reversal};
use millpond_payout::{BoundScheme, SchemeState};
use millpond_types::Amount;
use std::collections::BTreeMap;

/// Where runs of shares are cut into batches.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Cut {
    /// As long as the terms allow.
    #[default]
    Whole,
    /// Behind these places as well, ascending.
    Ends(Vec<usize>),
}

/// How a history is run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct How {
    pub(crate) cut: Cut,
    /// A restart behind every step.
    pub(crate) restarts: bool,
    /// What is left over goes with the next income.
    pub(crate) carry: bool,
    /// Everything is reported twice.
    pub(crate) twice: bool,
}

impl Default for How {
    fn default() -> Self {
        Self { cut: Cut::Whole, restarts: false, carry: true, twice: false }
    }
}

impl How {
    /// Each income by itself, so that two histories can be compared income by income.
    pub(crate) fn apart() -> Self {
        Self { carry: false, ..Self::default() }
    }
}

/// What became of a history.
pub(crate) struct Ran {
    pub(crate) entries: Vec<Entry>,
    pub(crate) incomes: Vec<Divided>,
    pub(crate) state: SchemeState,
    pub(crate) book: Book,
    pub(crate) log: ShareLog,
    pub(crate) rows: usize,
    deposit: u64,
}

/// Runs a history.
///
/// # Errors
/// The step at which a plugin failed or broke a rule, and what it was asked.
pub(crate) fn run(bound: &BoundScheme, history: &History, how: &How) -> Result<Ran, String> {
    let mut walk = Walk::new(bound, how, history.reserve)?;
    (walk.network, walk.reward) = (history.network.max(1), history.reward);
    for (number, step) in (1..).zip(&history.steps) {
        take(&mut walk, step, history.pace)
            .and_then(|()| if how.twice { walk.duplicate() } else { Ok(()) })
            .and_then(|()| if how.restarts { walk.restart() } else { Ok(()) })
            .map_err(|why| format!("step {number}: {why}"))?;
    }
    let rows = walk.log.0.len();
    walk.credit(rows).map_err(|why| format!("at the end: {why}"))?;
    let Walk { entries, incomes, state, book, log, .. } = walk;
    Ok(Ran { entries, incomes, state, book, log, rows, deposit: history.reserve })
}

fn take(walk: &mut Walk<'_>, step: &Step, pace: u64) -> Result<(), String> {
    match step {
        Step::Shares(runs) => runs.iter().for_each(|run| walk.shares(run, pace)),
        Step::Block(pays) => walk.block(Some(*pays))?,
        Step::Orphan => walk.block(None)?,
        Step::Empty(pays) => walk.empty(*pays)?,
        Step::Lost(at) => walk.lost(*at)?,
        Step::Again(at) => walk.again(*at)?,
        Step::Mature(count) => walk.mature(*count)?,
        Step::Retarget(network) => walk.network = (*network).max(1),
        Step::Reward(reward) => walk.reward = *reward,
        Step::Clock(by) => walk.time_ms = walk.time_ms.saturating_add_signed(*by),
        Step::Height(by) => walk.coord = walk.coord.saturating_add(*by),
        Step::Restart => walk.restart()?,
        Step::Duplicate => walk.duplicate()?,
    }
    Ok(())
}

impl Ran {
    /// What came in is what is owed, to the unit, over the whole history: the balances of the book against the incomes
    /// and the deposit, which know nothing of each other.
    pub(crate) fn conserved(&self) -> Result<(), String> {
        let incomes = self.incomes.iter().filter(|income| {
            matches!(income.standing, Standing::Open | Standing::Final | Standing::Lost(Reversal::Keep))
        });
        let came: i128 = incomes.map(|income| i128::from(income.facts.amount.0)).sum();
        // What the reserve keeps of a lost income is the operator's loss.
        let lacking: i128 = self.incomes.iter().map(|income| i128::from(income.not_returned.0)).sum();
        let came = came.saturating_add(self.reserve_keeps()).saturating_add(lacking);
        let came = came.saturating_add(i128::from(self.deposit));
        let owed: i128 = self
            .book
            .balances()
            .filter(|(account, _)| account.class() == Class::Liability)
            .map(|(_, balance)| balance)
            .sum();
        if came != owed {
            return Err(format!("over the history {came} came in, and {owed} are owed"));
        }
        Ok(())
    }

    /// What the reserve has of incomes that are lost, where their reversal leaves it that.
    pub(crate) fn reserve_keeps(&self) -> i128 {
        let lost = self.incomes.iter().filter(|it| it.standing == Standing::Lost(Reversal::KeepReserve));
        lost.map(|income| i128::from(income.entry.parts.of(&Owner::Reserve).0)).sum()
    }

    /// What each miner has, final or not.
    pub(crate) fn balances(&self) -> BTreeMap<Owner, i128> {
        let mut sums = BTreeMap::new();
        for (account, balance) in self.book.balances() {
            if let Account::Payable(owner) | Account::Immature(owner) = account {
                let sum = sums.entry(owner).or_insert(0_i128);
                *sum = sum.saturating_add(balance);
            }
        }
        sums.retain(|_, sum| *sum != 0);
        sums
    }

    /// The state without what would undo it.
    pub(crate) fn kept(&self) -> serde_json::Value {
        let mut state = serde_json::to_value(&self.state).unwrap_or_default();
        if let Some(fields) = state.as_object_mut() {
            fields.retain(|name, _| ["memo", "rows", "unpaid"].contains(&name.as_str()));
        }
        state
    }

    /// Each entry that gives something to miners: the credits of shares summed as the first, then the incomes that stand,
    /// in order.
    pub(crate) fn paid(&self) -> Vec<BTreeMap<u64, u128>> {
        let mut credits = BTreeMap::new();
        let mut add = |miner: u64, amount: Amount| {
            let sum = credits.entry(miner).or_insert(0_u128);
            *sum = sum.saturating_add(u128::from(amount.0));
        };
        for entry in &self.entries {
            if let Entry::Accrued { parts, .. } = entry {
                parts.miners().for_each(|(miner, amount)| add(miner.0, amount));
            }
        }
        let mut paid = vec![credits];
        paid.extend(self.incomes.iter().map(|income| {
            if matches!(income.standing, Standing::Lost(_)) {
                return BTreeMap::new();
            }
            let parts = income.entry.parts.miners();
            parts.map(|(miner, amount)| (miner.0, u128::from(amount.0))).collect()
        }));
        paid
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::Shares;
    use crate::scheme::tests::even;

    fn history(steps: Vec<Step>) -> History {
        History { network: 1000, reward: 50, pace: 1, reserve: 0, steps }
    }

    fn share(miner: u64) -> Step {
        Step::Shares(vec![Shares { miner, work: 10, times: 1 }])
    }

    #[test]
    fn a_unit_that_is_in_no_income_is_found_over_the_history() {
        let bound = even();
        let steps = vec![share(1), share(2), Step::Block(101), Step::Mature(1), share(3), Step::Block(7)];
        let mut ran = run(&bound, &history(steps), &How::default()).unwrap();
        assert_eq!(ran.conserved(), Ok(()));
        // The odd unit was carried, and divided with the next income.
        assert_eq!(ran.balances().values().sum::<i128>(), 108);
        assert_eq!(ran.paid()[2], BTreeMap::from([(3, 8)]));
        ran.incomes[0].facts.amount = Amount(100);
        assert_eq!(ran.conserved(), Err("over the history 107 came in, and 108 are owed".to_owned()));
    }

    #[test]
    fn every_step_does_something_to_the_book_or_nothing_at_all() {
        let bound = even();
        let steps = vec![
            Step::Lost(3),
            Step::Again(0),
            Step::Block(5),
            share(1),
            Step::Block(100),
            Step::Block(100),
            share(2),
            Step::Orphan,
            share(1),
            share(2),
            Step::Block(10),
            Step::Lost(1),
            Step::Empty(9),
            Step::Again(0),
            Step::Duplicate,
            Step::Restart,
            Step::Mature(9),
            Step::Lost(0),
        ];
        let ran = run(&bound, &history(steps), &How::default()).unwrap();
        let kinds: Vec<_> = ran.entries.iter().map(Entry::kind).collect();
        assert_eq!(
            kinds,
            ["income-allocated", "income-allocated", "reversed", "income-allocated", "income-allocated"]
                .into_iter()
                .chain(["matured"; 3])
                .collect::<Vec<_>>()
        );
        // One share finds one block, and a number is never given twice.
        assert_eq!(ran.incomes.iter().map(|one| one.facts.number).collect::<Vec<_>>(), [1, 3, 4]);
        assert_eq!(ran.conserved(), Ok(()));
    }

    #[test]
    fn what_is_reported_twice_or_read_back_changes_nothing() {
        let bound = even();
        let steps = vec![share(1), share(2), Step::Block(101), share(1), Step::Block(6), Step::Lost(0)];
        let plain = run(&bound, &history(steps.clone()), &How::default()).unwrap();
        let both = How { restarts: true, twice: true, ..How::default() };
        let other = run(&bound, &history(steps), &both).unwrap();
        assert_eq!((plain.entries, plain.state), (other.entries, other.state));
    }
}
