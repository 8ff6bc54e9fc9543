//! What incomes mean where coinbases are planned: which of an adapter's reports are one block's income, and how it is divided.

use super::{PlanError, due, paid_to};
use crate::core::Core;
use crate::decide::{self, DecideError};
use crate::policy::{Bound, is_planned, of_booked, of_income};
use millpond_chain::CheckedIncome;
use millpond_contracts::chain::IncomeAt;
use millpond_journal::{CoinbasePlan, Income, Job, JournalError, JournalView, Policy, Record, WindowEnd};
use millpond_ledger::{IncomeKey, IncomeStatus};
use millpond_payout::{Decision, direct};
use millpond_types::{Amount, ShareSeq};
use std::collections::BTreeSet;

/// The plan of an income's own job, with the job.
pub(super) fn plan_of(income: &Income, view: &JournalView) -> Result<(Job, CoinbasePlan), DecideError> {
    let id = income.job.ok_or(PlanError::NoBlock)?;
    let last = view.dropped().last;
    let gone = |why| if last.0 > 0 { DecideError::Journal(JournalError::Dropped { last }) } else { why };
    let job = view.jobs(&BTreeSet::from([id]))?.remove(&id);
    let job = job.ok_or_else(|| gone(PlanError::NoPlan(id).into()))?;
    match view.record(job.plan.ok_or(PlanError::NoPlan(id))?)? {
        Some(Record::CoinbasePlan(plan)) => Ok((job, plan)),
        _ => Err(gone(PlanError::NoPlan(id).into())),
    }
}

/// The policy that divides an income: that of its block's plan where the coinbase was planned, or the one that took its
/// place for this income since; else `usual`, which is by the end of its windows.
///
/// # Errors
/// When its plan is not to be found.
pub(crate) fn policy_of<'a>(
    policies: &'a [Policy],
    usual: &'a Policy,
    income: &Income,
    view: &JournalView,
) -> Result<&'a Policy, DecideError> {
    if !is_planned(usual) {
        return Ok(usual);
    }
    let (job, plan) = plan_of(income, view)?;
    let at = usize::try_from(plan.policy).ok();
    let own = at.and_then(|at| policies.get(at)).ok_or(PlanError::NoPlan(job.id))?;
    Ok(repaired(policies.iter().skip(at.unwrap_or(0)), income).unwrap_or(own))
}

/// Whoever took the place of the plan's policy for one income, since that failed: such a record begins before the income's
/// own end, and is younger than the income. A policy that an operator ordered before the block was found is older.
fn repaired<'a>(later: impl Iterator<Item = &'a Policy>, income: &Income) -> Option<&'a Policy> {
    let here = |policy: &&Policy| {
        policy.from.0.saturating_add(1) == income.end.seq.0 && policy.time > income.time && is_planned(policy)
    };
    later.filter(here).last()
}

/// Where the windows of a planned income end: at its plan.
///
/// # Errors
/// When its plan is not to be found.
pub(crate) fn end_of(income: &Income, view: &JournalView) -> Result<WindowEnd, DecideError> {
    Ok(plan_of(income, view)?.1.end)
}

/// Divides an income as its block's coinbase paid it.
///
/// # Errors
/// When its plan is not to be found, or what was due cannot be computed.
pub(crate) fn divide(bound: &Bound, income: &Income, view: &JournalView) -> Result<Decision, DecideError> {
    let (job, plan) = plan_of(income, view)?;
    let finder = income.finder.ok_or(PlanError::NoBlock)?;
    if income.amount != job.reward {
        return Err(PlanError::Amount { amount: income.amount, reward: job.reward }.into());
    }
    let (due, audit) = due(bound, &plan, view)?;
    let outputs = plan.outputs.iter().map(|output| paid_to(output).map(|to| (to, output.weight)));
    let outputs = outputs.collect::<Option<Vec<_>>>().ok_or(PlanError::Nobody)?;
    let entry = direct::divide(decide::income_key(&income.key)?, income.amount, &outputs, &due, finder)?;
    Ok(Decision { entry: entry.ending(income.end.seq), audit })
}

/// What an adapter's income means where the coinbase is planned.
pub(crate) enum Seen {
    /// An income of its own, as it is.
    AsItIs,
    /// One of the outputs of a block whose income is recorded, and open.
    Known(Box<Income>),
    /// Of a block that is settled in the ledger.
    Settled,
    /// The first output of a block that is told of: the block's income is all of the job's reward, under the block's name.
    Whole(Vec<u8>, Amount),
}

/// An adapter tells each output of a coinbase apart that is not the session's own. Where the coinbase was planned they are
/// one income, which the chain has divided already: the native codec saw that they are the job's reward. Every other
/// block's incomes are what the adapter calls them, whatever their keys.
pub(crate) fn seen(core: &Core, income: &CheckedIncome, open: &[Income]) -> Seen {
    let IncomeAt::Block(name) = &income.at else { return Seen::AsItIs };
    let policies = core.journal.policies();
    if !policies.iter().any(is_planned) {
        return Seen::AsItIs;
    }
    let job = core.journal_id(name).and_then(|id| core.journal.end_of_block(&id).ok());
    let job = job.map(|(_, block)| block.job);
    let job = job.and_then(|id| core.journal.view().jobs(&BTreeSet::from([id])).ok()?.remove(&id));
    let booked = IncomeKey::new(name.clone()).and_then(|key| {
        let book = core.ledger.book();
        let known = book.income(&key)?;
        Some((known.status, known.end, known.direct))
    });
    told(&policies, name, open, job.as_ref(), booked)
}

/// What an income of a block means by what is recorded: the incomes that are open, the block's job as far as it is known
/// still, and what the ledger has under the block's name.
fn told(
    policies: &[Policy],
    name: &[u8],
    open: &[Income],
    job: Option<&Job>,
    booked: Option<(IncomeStatus, ShareSeq, bool)>,
) -> Seen {
    if let Some(known) = open.iter().find(|known| known.key == name && is_of_a_plan(policies, known)) {
        return Seen::Known(Box::new(known.clone()));
    }
    let counts = |(status, end, direct)| {
        let planned = of_booked(policies, end, direct).is_some_and(is_planned);
        planned && matches!(status, IncomeStatus::Immature | IncomeStatus::Matured)
    };
    if booked.is_some_and(counts) {
        return Seen::Settled;
    }
    match job {
        Some(job) if job.plan.is_some() => Seen::Whole(name.to_vec(), job.reward),
        _ => Seen::AsItIs,
    }
}

/// Whether a recorded income is that of a planned coinbase, under its block's name.
pub(crate) fn is_of_a_plan(policies: &[Policy], income: &Income) -> bool {
    of_income(policies, income).is_some_and(is_planned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use millpond_journal::{IncomeAt as At, PluginInForce, Setting as Recorded};
    use millpond_types::{Digest, JobId, MinerId, Target, UnixMillis};

    fn policy(from: u64, coinbase: Option<&str>) -> Policy {
        let mut settings = vec![("@direct".to_owned(), Recorded::Flag(coinbase.is_some()))];
        settings.extend(coinbase.map(|words| ("@coinbase".to_owned(), Recorded::Text(words.to_owned()))));
        let component = Digest([1; 32]);
        let scheme = PluginInForce { name: "any".into(), component, config: component, settings };
        Policy { from: ShareSeq(from), scheme, fees: Vec::new(), reason: String::new(), time: UnixMillis(1) }
    }

    fn income(key: &[u8], end: u64) -> Income {
        let end = WindowEnd {
            seq: ShareSeq(end),
            time: UnixMillis(9),
            coord: 1,
            network_work: 1,
            round_after: ShareSeq(0),
        };
        Income {
            key: key.to_vec(),
            amount: Amount(50),
            at: At::Block(b"header".to_vec()),
            mature: false,
            job: Some(JobId(1)),
            finder: Some(MinerId(1)),
            end,
            time: UnixMillis(9),
        }
    }

    fn job(plan: Option<u64>) -> Job {
        Job {
            id: JobId(1),
            coord: 1,
            parent: Vec::new(),
            recipe: 0,
            network_target: Target::MAX,
            network_work: 1,
            reward: Amount(50),
            subsidy: None,
            plan,
            adapter: Digest([0; 32]),
            time: UnixMillis(1),
        }
    }

    #[test]
    fn who_takes_the_place_of_a_plans_policy_divides_its_income() {
        let at = |from, time| Policy { time: UnixMillis(time), ..policy(from, Some("scheme")) };
        // Ordered before the block, put in its place afterwards, and for the block behind it.
        let policies = [at(0, 1), at(4, 5), at(4, 20), at(5, 21)];
        assert_eq!(repaired(policies.iter(), &income(b"block", 5)), Some(&policies[2]));
        assert_eq!(repaired(policies[..2].iter(), &income(b"block", 5)), None);
        assert_eq!(repaired([policy(4, Some("miner"))].iter(), &income(b"block", 5)), None);
    }

    #[test]
    fn a_second_income_of_a_block_is_one_of_its_own_unless_its_coinbase_was_planned() {
        // Planned up to the hundredth share, paid to the pool from there on; and a pool that pays finders.
        let left = [policy(0, Some("scheme")), policy(100, None)];
        let finders = [policy(0, Some("scheme")), policy(100, Some("miner"))];
        let booked = |end, direct| Some((IncomeStatus::Matured, ShareSeq(end), direct));
        for policies in [&left, &finders] {
            let open = [income(b"block", 200)];
            let direct = crate::policy::is_direct(&policies[1]);
            assert!(matches!(told(policies, b"block", &open, Some(&job(None)), None), Seen::AsItIs));
            assert!(matches!(told(policies, b"block", &[], None, booked(200, direct)), Seen::AsItIs));
            assert!(!is_of_a_plan(policies, &open[0]));
            // What was planned before stays so.
            let open = [income(b"block", 50)];
            assert!(matches!(told(policies, b"block", &open, Some(&job(Some(7))), None), Seen::Known(_)));
            assert!(matches!(told(policies, b"block", &[], None, booked(50, true)), Seen::Settled));
            let fresh = told(policies, b"block", &[], Some(&job(Some(7))), None);
            assert!(matches!(fresh, Seen::Whole(key, Amount(50)) if key == b"block"));
        }
    }
}
