//! An income that two schemes divide.

use super::{Followed, Follows};
use crate::columns::Columns;
use crate::decide::{self, DecideError, Standing};
use crate::policy::{Bound, Loader, PolicyError};
use millpond_contracts::payout as contract;
use millpond_journal::{Clip, Counted, Income, JournalView, OTHERS, Policy, Span, Window, WindowEnd};
use millpond_ledger::IncomeAllocated;
use millpond_payout::{
    Beside, Decision, Followed as Cells, IncomeFacts, NoAttributes, Owed, PayoutError, SchemeState,
    StateChange, WindowSums, is_of_before, later, owed, owes_in_cells,
};
use millpond_types::{Amount, ShareSeq};

/// Whom a bound policy follows.
#[derive(Debug)]
pub(crate) struct RunOff {
    /// Shares up to this one are another's to pay.
    pub(crate) floor: ShareSeq,
    pub(crate) old: Option<Old>,
}

/// Who still pays of an income, and what is counted in his windows.
type StillPays<'a> = (&'a Old, Vec<(Window, Counted)>);

/// A policy that was followed, with its components loaded.
#[derive(Debug)]
pub(crate) struct Old {
    pub(crate) bound: Bound,
    /// As it was recorded.
    pub(crate) followed: Followed,
    /// It owes by what it keeps of miners, and not by windows.
    in_cells: bool,
}

impl Old {
    /// What it keeps of miners, where it still owes them something of an income of this number.
    fn kept<'a>(&self, state: &'a SchemeState, (floor, number): (ShareSeq, u64)) -> Option<&'a SchemeState> {
        let kept = state.kept_by(self.bound.scheme.terms(), floor).filter(|_| self.is_asked(number))?;
        kept.has(is_of_before).then_some(kept)
    }

    pub(super) fn is_asked(&self, number: u64) -> bool {
        number <= self.followed.until
    }
}

impl RunOff {
    pub(crate) fn bind(loader: &Loader, follows: Follows) -> Result<Self, PolicyError> {
        let old = follows.old.map(|followed| {
            let bound = loader.bind(&followed.policy())?;
            let in_cells = owes_in_cells(&bound.scheme);
            Ok::<_, PolicyError>(Old { bound, followed, in_cells })
        });
        Ok(Self { floor: follows.floor, old: old.transpose()? })
    }

    /// Who still pays by his windows, and what these are at an income of this number: `None` when that is over.
    pub(crate) fn at(
        &self,
        view: &JournalView,
        end: &WindowEnd,
        (is_found, number): (bool, u64),
    ) -> Result<Option<StillPays<'_>>, DecideError> {
        let Some(old) = self.old.as_ref().filter(|old| old.is_asked(number)) else { return Ok(None) };
        let clip = Clip { floor: old.followed.floor, others: Some(self.floor) };
        let finder = is_found.then_some(OTHERS);
        let mut windows = Vec::new();
        for declared in &old.bound.scheme.terms().windows {
            let window = decide::window(declared)?;
            let counted = view.clipped(&window, end, finder, &clip)?;
            windows.push((window, counted));
        }
        let counts = |window: &Window| !matches!(window.span, Span::Finder | Span::State);
        let reaches = windows.iter().any(|(window, counted)| counts(window) && counted.first <= self.floor);
        Ok(reaches.then_some((old, windows)))
    }

    /// Whether anybody still pays of an income of this number beside the policy itself.
    fn owes(
        &self,
        view: &JournalView,
        end: &WindowEnd,
        here: (bool, u64),
        state: &SchemeState,
    ) -> Result<bool, DecideError> {
        match self.old.as_ref().filter(|old| old.in_cells) {
            Some(old) => Ok(old.kept(state, (self.floor, here.1)).is_some()),
            None => Ok(self.at(view, end, here)?.is_some()),
        }
    }
}

impl Bound {
    /// Which shares its windows count.
    pub(crate) fn clip(&self) -> Clip {
        // What a coinbase pays is not divided with anybody.
        let follows = self.run_off.as_ref().filter(|_| !self.direct && !self.planned);
        Clip { floor: follows.map_or(ShareSeq(0), |follows| follows.floor), others: None }
    }

    /// Whom it follows and who may still pay.
    pub(crate) fn old(&self) -> Option<&Old> {
        self.run_off.as_ref().filter(|_| !self.direct && !self.planned)?.old.as_ref()
    }

    /// The same, where he pays by what he keeps of miners.
    pub(crate) fn old_in_cells(&self) -> Option<&Old> {
        self.old().filter(|old| old.in_cells)
    }

    /// What the scheme which it follows keeps of miners.
    pub(crate) fn kept_by_old<'a>(&self, state: &'a SchemeState) -> Option<&'a SchemeState> {
        state.kept_by(self.old_in_cells()?.bound.scheme.terms(), self.clip().floor)
    }

    /// The newest share that the scheme which it follows was given, where that keeps something of miners.
    pub(crate) fn given_to_old(&self, state: &SchemeState) -> Option<ShareSeq> {
        let kept = self.kept_by_old(state)?;
        Some(kept.given().unwrap_or_default().max(self.clip().floor))
    }

    /// What an entry changes, which sets aside what is there of a scheme that is followed.
    pub(crate) fn beside(
        &self,
        state: &SchemeState,
        change: Vec<u8>,
        beside: Beside,
    ) -> Result<Vec<u8>, PayoutError> {
        let is_said = beside == Beside::Kept && state.aside().is_some();
        match self.kept_by_old(state).filter(|_| !is_said) {
            Some(_) => self.scheme.change_beside(&change, beside),
            None => Ok(change),
        }
    }
}

/// What the scheme of before owes of an income, where it still owes.
pub(crate) fn of_old(
    bound: &Bound,
    income: &Income,
    view: &JournalView,
    (standing, state): (&Standing, &SchemeState),
) -> Result<Option<Owed>, DecideError> {
    if let Some(old) = bound.old_in_cells() {
        let Some((cells, facts)) = cells(bound, income, view, (standing, state))? else { return Ok(None) };
        let columns = Columns::new(&old.bound, view, income.end.seq, standing.reserve);
        // A reserve has what it leaves over.
        let carry = if old.bound.scheme.terms().reserve { Amount::ZERO } else { standing.carry };
        let of_old = cells.owed(&old.bound.fees, (&facts, carry), &columns);
        return Ok(Some(columns.told(of_old)?));
    }
    let Some(run_off) = bound.run_off.as_ref().filter(|_| bound.old().is_some()) else { return Ok(None) };
    let here = (income.finder.is_some(), standing.number);
    let Some((old, windows)) = run_off.at(view, &income.end, here)? else { return Ok(None) };
    let windows: Vec<_> = windows.into_iter().map(|(_, counted)| WindowSums(counted.rows)).collect();
    let Bound { scheme, fees, .. } = &old.bound;
    let facts = facts(old, income, view, standing.number)?;
    let columns = Columns::new(&old.bound, view, income.end.seq, standing.reserve);
    let of_old = owed(scheme, fees, &facts, &windows, OTHERS, &columns);
    Ok(Some(columns.told(of_old)?))
}

/// What the scheme of before keeps of miners as it is at an income, and what it is told of that: `None` where it owes nobody
/// anything.
fn cells<'a>(
    bound: &'a Bound,
    income: &Income,
    view: &JournalView,
    (standing, state): (&Standing, &SchemeState),
) -> Result<Option<(Cells<'a>, IncomeFacts)>, DecideError> {
    let Some(old) = bound.old_in_cells() else { return Ok(None) };
    let scheme = &old.bound.scheme;
    let here = (bound.clip().floor, standing.number);
    let kept = old.kept(state, here).zip(bound.given_to_old(state));
    let Some((kept, mut given)) = kept else { return Ok(None) };
    let mut cells = Cells::new(scheme, kept);
    let batch = u64::from(scheme.terms().batch);
    while batch > 0 && given < income.end.seq {
        let first = ShareSeq(given.0.saturating_add(1));
        given = ShareSeq(given.0.saturating_add(batch)).min(income.end.seq);
        cells.give(decide::shares(view, first, given)?)?;
    }
    let told = facts(old, income, view, standing.number)?;
    let finder = income.finder.map(|finder| later(scheme, finder));
    Ok(Some((cells, IncomeFacts { finder, reserve: standing.reserve, ..told })))
}

/// A decision by a policy alone, which drops what is aside of a scheme that is settled.
pub(crate) fn alone(
    bound: &Bound,
    mut decision: Decision,
    state: &SchemeState,
) -> Result<Decision, PayoutError> {
    if bound.old().is_none() && bound.scheme.drops_aside(state) {
        decision.entry.state = bound.scheme.change_beside(&decision.entry.state, Beside::Settled)?;
    }
    Ok(decision)
}

/// What the scheme of before is told of an income.
fn facts(old: &Old, income: &Income, view: &JournalView, number: u64) -> Result<IncomeFacts, DecideError> {
    let subsidy = if old.bound.scheme.terms().needs_subsidy { decide::subsidy(income, view)? } else { None };
    Ok(IncomeFacts {
        number,
        key: decide::income_key(&income.key)?,
        amount: income.amount,
        subsidy,
        reserve: Amount::ZERO,
        end: income.end.seq,
        time: income.time,
        coord: income.end.coord,
        finder: income.finder.map(|_| OTHERS),
        unpaid: None,
    })
}

/// How much of an income, and of what was carried to it, was the policy's own, where its windows depend on that: windows that pay
/// a share once.
pub(crate) fn rest(
    bound: &Bound,
    income: &Income,
    view: &JournalView,
    (number, entry): (u64, &IncomeAllocated),
) -> Result<Amount, DecideError> {
    if let Some(Beside::Changed { rest, .. }) =
        StateChange::from_bytes(&entry.state)?.and_then(|it| it.beside)
    {
        return Ok(rest);
    }
    let with_carried = |rest: Amount| Amount(rest.0.saturating_add(entry.carry_in.0));
    let here = (income.finder.is_some(), number);
    let still =
        bound.run_off.as_ref().filter(|_| bound.old().is_some() && bound.scheme.pays_once().is_some());
    let Some((old, windows)) =
        still.map(|run_off| run_off.at(view, &income.end, here)).transpose()?.flatten()
    else {
        return Ok(with_carried(income.amount));
    };
    let windows: Vec<_> = windows.into_iter().map(|(_, counted)| WindowSums(counted.rows)).collect();
    // Fees are taken of what it gives: they change nothing of what is left.
    let given =
        owed(&old.bound.scheme, &[], &facts(old, income, view, number)?, &windows, OTHERS, &NoAttributes);
    Ok(with_carried(given?.rest))
}

/// The newest share that a scheme which is followed was given with an income, by the change that its entry holds.
pub(crate) fn given_with(change: &[u8]) -> Result<Option<ShareSeq>, PayoutError> {
    match StateChange::from_bytes(change)?.and_then(|own| own.beside) {
        Some(Beside::Changed { change, .. }) => Ok(change.given),
        _ => Ok(None),
    }
}

/// Whether a policy was recorded to be settled at this share, though an income that ends there is its and the one's that it
/// follows.
pub(crate) fn ends_early(
    bound: &Bound,
    (policies, policy): (&[Policy], &Policy),
    income: &Income,
    view: &JournalView,
    (number, state): (u64, &SchemeState),
) -> Result<bool, DecideError> {
    let Some(run_off) = bound.run_off.as_ref().filter(|_| bound.old().is_some()) else { return Ok(false) };
    let settled = |after: &&Policy| {
        let follows = Follows::of(after).ok().flatten();
        follows.is_some_and(|follows| follows.old.is_none() && follows.floor == run_off.floor)
            && after.from == income.end.seq
            && after.scheme.is_same_as(&policy.scheme)
            && after.reason == policy.reason
    };
    if !policies.iter().any(|after| settled(&after)) {
        return Ok(false);
    }
    run_off.owes(view, &income.end, (income.finder.is_some(), number), state)
}

/// What becomes of a lost income that two schemes divided, where the new one would have miners keep it: what the old one gave
/// goes, as it does by a scheme with windows. Where the old one keeps something of miners that is put back with the income, and all
/// that was divided of it goes.
pub(crate) fn reversal(bound: &Bound, own: contract::Reversal) -> contract::Reversal {
    if bound.old_in_cells().is_some() {
        return contract::Reversal::Restore;
    }
    match own {
        contract::Reversal::Keep if bound.old().is_some() => contract::Reversal::KeepReserve,
        own => own,
    }
}
