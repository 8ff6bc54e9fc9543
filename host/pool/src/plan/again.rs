//! Plans made again by a replay, from the journal and the deferred balances behind the record of the ledger that each names.

use super::{PlanError, due, outputs};
use crate::decide::DecideError;
use crate::policy::Bound;
use millpond_journal::{CoinbasePlan, Income, Job, JournalError, JournalView, Policy, Record};
use millpond_payout::direct::Deferred;
use millpond_types::{JobId, MinerId};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a replay knows of plans.
#[derive(Default)]
pub(crate) struct Plans {
    /// The plan of each job that has one, by its place.
    jobs: BTreeMap<JobId, u64>,
    plans: BTreeMap<u64, CoinbasePlan>,
    /// By how many incomes' plans go by the deferred balances behind which records of the ledger.
    ledgers: BTreeMap<u64, usize>,
    payees: BTreeMap<MinerId, Vec<u8>>,
}

impl Plans {
    /// Takes in a record of the journal.
    pub(crate) fn read(&mut self, record: &Record) {
        if let Record::Job(Job { id, plan: Some(plan), .. }) = record {
            self.jobs.insert(*id, *plan);
        }
    }

    /// Keeps the plans of blocks alone, and learns the miners' payees where there are any.
    ///
    /// # Errors
    /// When the journal does not check.
    pub(crate) fn of<'a>(
        mut self,
        incomes: impl Iterator<Item = &'a Income>,
        view: &JournalView,
    ) -> Result<Self, JournalError> {
        let mut of_jobs: BTreeMap<JobId, usize> = BTreeMap::new();
        for job in incomes.filter_map(|income| income.job) {
            let times = of_jobs.entry(job).or_default();
            *times = times.saturating_add(1);
        }
        self.jobs.retain(|job, _| of_jobs.contains_key(job));
        if self.jobs.is_empty() {
            return Ok(self);
        }
        for entry in view.records_at(&self.jobs.values().copied().collect())? {
            if let Record::CoinbasePlan(plan) = entry.record {
                self.plans.insert(entry.position, plan);
            }
        }
        for (job, at) in &self.jobs {
            if let (Some(plan), Some(times)) = (self.plans.get(at), of_jobs.get(job)) {
                let uses = self.ledgers.entry(plan.ledger).or_default();
                *uses = uses.saturating_add(*times);
            }
        }
        for entry in view.records(1) {
            match entry?.record {
                Record::Miner(miner) => {
                    self.payees.insert(miner.id, miner.payee);
                }
                Record::CarriedOver(state) => {
                    self.payees.extend(state.miners().map(|miner| (miner.id, miner.payee.clone())));
                }
                Record::CarriedMore(more) => {
                    let miners = more.state().miners();
                    self.payees.extend(miners.map(|miner| (miner.id, miner.payee.clone())));
                }
                _ => {}
            }
        }
        Ok(self)
    }

    /// The deferred balances behind each record of the ledger that some plan goes by, while incomes of such a plan come.
    pub(crate) fn balances(&self) -> Balances {
        Balances { uses: self.ledgers.clone(), kept: BTreeMap::new() }
    }

    /// Makes an income's plan again and compares it with the record. What another policy was put in the place of cannot be
    /// asked again.
    ///
    /// # Errors
    /// What differs.
    pub(crate) fn check(
        &self,
        (bound, policy): (&Bound, &Policy),
        policies: &[Policy],
        income: &Income,
        view: &JournalView,
        balances: &mut Balances,
    ) -> Result<(), DecideError> {
        let known = income.job.and_then(|job| self.plans.get(self.jobs.get(&job)?));
        let Some(plan) = known else { return Err(PlanError::NoBlock.into()) };
        let deferred = balances.used(plan.ledger);
        if usize::try_from(plan.policy).ok().and_then(|at| policies.get(at)) != Some(policy) {
            return Ok(());
        }
        let (due, _) = due(bound, plan, view)?;
        let again = outputs(plan, &due, &deferred, &|miner| self.payees.get(&miner).cloned());
        if again == plan.outputs {
            return Ok(());
        }
        let other = again.iter().zip(&plan.outputs).find(|(again, there)| again != there);
        let words = other.map(|(again, there)| format!("{again:?} and not {there:?}"));
        let counts = format!("{} outputs and not {}", again.len(), plan.outputs.len());
        Err(PlanError::Differs(words.unwrap_or(counts)).into())
    }
}

/// What a replay keeps of deferred balances.
#[derive(Default)]
pub(crate) struct Balances {
    uses: BTreeMap<u64, usize>,
    kept: BTreeMap<u64, Arc<Deferred>>,
}

impl Balances {
    /// A record of the ledger is counted.
    pub(crate) fn counted(&mut self, ledger: u64, deferred: &Deferred) {
        if self.uses.contains_key(&ledger) {
            self.kept.insert(ledger, Arc::new(deferred.rows_alone()));
        }
    }

    /// Those behind a record, for one of the incomes that need them; dropped with the last.
    fn used(&mut self, ledger: u64) -> Arc<Deferred> {
        let found = self.kept.get(&ledger).cloned().unwrap_or_default();
        let left = self.uses.get_mut(&ledger).map(|uses| {
            *uses = uses.saturating_sub(1);
            *uses
        });
        if left == Some(0) {
            self.kept.remove(&ledger);
        }
        found
    }
}
