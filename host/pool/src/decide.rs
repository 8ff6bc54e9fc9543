//! One decision about money, from raw records alone. The running pool and the replay call the same functions, so
//! that a replay that agrees says something.

use crate::columns::Columns;
use crate::policy::{Bound, Loader, PolicyError};
use crate::run_off;
use millpond_contracts::payout as contract;
use millpond_journal::{
    Clip, Counted, Edge, Income, JournalError, JournalView, Measure, Pays, Policy, Span, Unpaid, Window,
};
use millpond_ledger::{
    Allocation, Book, Entry, IncomeAllocated, IncomeKey, IncomeStatus, LedgerError, Owner, Reversal,
};
use millpond_payout::{
    Accrual, AccruedShare, AuditRecord, Beside, Decision, IncomeFacts, PayoutError, SchemeState, WindowSums,
    is_of_before,
};
use millpond_types::{Amount, MinerId, ShareSeq, WorkSum};
use std::collections::{BTreeMap, BTreeSet};

/// A decision that did not come about.
#[derive(Debug, thiserror::Error)]
pub enum DecideError {
    /// The journal.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A plugin, or the checks of its result.
    #[error(transparent)]
    Payout(#[from] PayoutError),
    /// An income with a key that cannot be kept.
    #[error("an income has a key of {0} bytes; a key has 1 to 256")]
    Key(usize),
    /// The book refused.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// A coinbase that was planned.
    #[error(transparent)]
    Plan(#[from] crate::plan::PlanError),
    /// A window that is refused where a scheme is bound, and came here.
    #[error(transparent)]
    Window(#[from] NoSuchWindow),
}

/// A window that the journal does not compute. Schemes that ask for one are refused where they are bound.
#[derive(Debug, thiserror::Error)]
#[error("the journal does not compute a window {0:?}")]
pub struct NoSuchWindow(contract::Window);

pub(crate) fn window(declared: &contract::Window) -> Result<Window, NoSuchWindow> {
    let span = match declared.span {
        contract::Span::Round => Span::Round,
        contract::Span::Finder => Span::Finder,
        contract::Span::Shares(count) => Span::Shares(count),
        contract::Span::Work(thousandths) => Span::Work(thousandths),
        contract::Span::Millis(millis) => Span::Millis(millis),
        contract::Span::Coord(steps) => Span::Coord(steps),
        contract::Span::Slices(thousandths, step) => Span::Slices(thousandths, step),
        contract::Span::Unpaid(most) => Span::Unpaid(most),
        contract::Span::State => Span::State,
        contract::Span::StandingRound | contract::Span::Shifts(..) => {
            return Err(NoSuchWindow(*declared));
        }
    };
    let measure = match declared.measure {
        contract::Measure::Work => Measure::Work,
        contract::Measure::Units => Measure::Units,
        contract::Measure::Count => Measure::Count,
        contract::Measure::Value => Measure::Value,
        contract::Measure::SubsidyValue => Measure::SubsidyValue,
        contract::Measure::FeeValue => Measure::FeeValue,
    };
    let edge = match declared.edge {
        contract::Edge::Whole => Edge::Whole,
        contract::Edge::Split => Edge::Split,
        contract::Edge::Cut => Edge::Cut,
    };
    Ok(Window { span, measure, edge })
}

/// The ledger's key of a recorded income.
///
/// # Errors
/// When the key is empty or too long.
pub fn income_key(key: &[u8]) -> Result<IncomeKey, DecideError> {
    IncomeKey::new(key.to_vec()).ok_or(DecideError::Key(key.len()))
}

/// What the ledger says of an income before it is divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// What earlier incomes left over.
    pub carry: Amount,
    /// What the reserve holds.
    pub reserve: Amount,
    /// The income's number in this pool.
    pub number: u64,
    /// Where its scheme pays shares once: those behind this one, see [`pays_behind`].
    pub begins: ShareSeq,
}

impl Standing {
    /// As a book has it.
    #[must_use]
    pub fn of(book: &Book, income: &IncomeKey, begins: ShareSeq) -> Self {
        let (carry, reserve) = (book.payable(&Owner::Carry), book.payable(&Owner::Reserve));
        Self { carry, reserve, number: book.number_of(income), begins }
    }
}

/// The share behind which shares may be paid by a policy whose scheme pays them once: where the scheme came into force, with other
/// settings, in another version or after a repair too. What was mined for another scheme was that one's to pay.
///
/// # Errors
/// When a policy cannot be loaded.
pub fn pays_behind(policies: &[Policy], loader: &Loader, policy: &Policy) -> Result<ShareSeq, PolicyError> {
    let mut begins = policy.from;
    let format = |policy| -> Result<_, PolicyError> {
        let scheme = loader.bind(policy)?.scheme;
        Ok(scheme.pays_once().is_some().then(|| scheme.terms().state_format.clone()))
    };
    let Some(own) = format(policy)? else { return Ok(begins) };
    while let Some(before) = policies.iter().rev().find(|it| it.from < begins) {
        if format(before)?.as_ref() != Some(&own) {
            break;
        }
        begins = before.from;
    }
    Ok(begins)
}

/// Divides a recorded income by the policy of its window's end, and by the one that it follows where that still owes.
///
/// # Errors
/// When a window cannot be computed, a plugin fails, or its result breaks a rule. Nothing is written.
pub fn divide(
    bound: &Bound,
    income: &Income,
    view: &JournalView,
    standing: &Standing,
    state: &SchemeState,
) -> Result<Decision, DecideError> {
    if bound.planned {
        return crate::plan::divide(bound, income, view);
    }
    let Some(of_old) = run_off::of_old(bound, income, view, (standing, state))? else {
        let decision = divide_alone(bound, income, income.amount, view, (standing, state))?;
        return Ok(run_off::alone(bound, decision, state)?);
    };
    let reserve = standing.reserve.checked_sub(of_old.from_reserve).unwrap_or_default();
    // What the old one was told of what is carried, and left of it, is told the new one, or carried on.
    let carried = of_old.rest.min(of_old.carry_in);
    let rest = of_old.rest.checked_sub(carried).unwrap_or_default();
    let told = Amount(standing.carry.0.saturating_sub(of_old.carry_in.0).saturating_add(carried.0));
    let left = Standing { reserve, carry: told, ..*standing };
    let Decision { entry, audit } = divide_alone(bound, income, rest, view, (&left, state))?;
    let of_new = entry.parts.shares().iter().map(|share| (share.0.clone(), share.1));
    let carried_on = carried.checked_sub(entry.carry_in).unwrap_or_default();
    let carry_in = Amount(of_old.carry_in.0.max(entry.carry_in.0));
    let carried_on = (carried_on > Amount::ZERO).then_some((Owner::Carry, carried_on));
    let parts = Allocation::merged(of_old.parts.into_iter().chain(of_new).chain(carried_on))?;
    let from_reserve = entry.reserve_in.checked_add(of_old.from_reserve);
    let from_reserve =
        from_reserve.ok_or(LedgerError::Allocation("both draw on the reserve beyond 64 bits"))?;
    let change = match of_old.change {
        Some(change) => {
            let (change, rest) = (Box::new(change), Amount(rest.0.saturating_add(told.0)));
            bound.beside(state, entry.state, Beside::Changed { change, rest })?
        }
        None => entry.state,
    };
    let drawn = [carry_in, from_reserve];
    let both = IncomeAllocated::drawing(entry.key, income.amount, drawn, parts, change)?;
    Ok(Decision { entry: both.ending(entry.end), audit: of_old.audit.into_iter().chain(audit).collect() })
}

/// Divides what of an income is the policy's own.
fn divide_alone(
    bound: &Bound,
    income: &Income,
    amount: Amount,
    view: &JournalView,
    (standing, state): (&Standing, &SchemeState),
) -> Result<Decision, DecideError> {
    let key = income_key(&income.key)?;
    let terms = bound.scheme.terms();
    let clip = bound.clip();
    // What rounding left over goes with the next income; a reserve keeps its own, and the chain pays no leftovers.
    let carry = if terms.reserve || bound.direct { Amount::ZERO } else { standing.carry };
    // Where they do not fit they are not divided.
    let gross = Amount(amount.0.saturating_add(carry.0));
    let mut unpaid = None;
    let windows = terms
        .windows
        .iter()
        .map(|declared| {
            let declared = window(declared)?;
            let once = (standing.begins, gross);
            let counted = counted(&declared, income, view, &clip, once, state.unpaid())?;
            unpaid = unpaid.take().or(counted.1);
            Ok(WindowSums(counted.0.rows))
        })
        .collect::<Result<Vec<_>, DecideError>>()?;
    let facts = IncomeFacts {
        number: standing.number,
        key,
        amount,
        subsidy: if terms.needs_subsidy {
            subsidy(income, view)?.map(|all| part_of(all, amount, income))
        } else {
            None
        },
        reserve: standing.reserve,
        end: income.end.seq,
        time: income.time,
        coord: income.end.coord,
        finder: income.finder,
        unpaid,
    };
    let columns = Columns::new(bound, view, income.end.seq, standing.reserve);
    let decided =
        millpond_payout::allocate(&bound.scheme, &bound.fees, &facts, carry, &windows, state, &columns);
    let mut decision = columns.told(decided)?;
    let is_nobody = |owner: &Owner| matches!(owner, Owner::Miner(miner) if !is_of_before(*miner));
    if decision.entry.parts.shares().iter().any(|share| is_nobody(&share.0)) {
        let what = "a part is for a number that no miner of the pool has".to_owned();
        return Err(PayoutError::Input(what).into());
    }
    if bound.direct {
        decision.entry = decision.entry.paid_directly();
    }
    Ok(decision)
}

/// The part of an income's subsidy that is in a part of the income: of each unit the same, rounded down.
fn part_of(subsidy: Amount, amount: Amount, income: &Income) -> Amount {
    let whole = u128::from(subsidy.0).checked_mul(u128::from(amount.0));
    let part = whole.and_then(|whole| whole.checked_div(u128::from(income.amount.0)));
    Amount(part.and_then(|part| u64::try_from(part).ok()).unwrap_or(0))
}

/// What counts in an income's window, and what is unpaid after it where it pays shares once: those behind a share, of what is
/// divided, by the list that was there before.
pub(crate) fn counted(
    window: &Window,
    income: &Income,
    view: &JournalView,
    clip: &Clip,
    (begins, gross): (ShareSeq, Amount),
    before: Option<&Unpaid>,
) -> Result<(Counted, Option<Unpaid>), JournalError> {
    let end = &income.end;
    let Span::Unpaid(_) = window.span else {
        return Ok((view.clipped(window, end, income.finder, clip)?, None));
    };
    let nothing = Unpaid::default();
    let (counted, after) = view.pays(&Pays { window, end, begins, gross }, before.unwrap_or(&nothing))?;
    Ok((counted, Some(after)))
}

/// How much of an income is subsidy, by its block's job: all that the job had of it where the pool was paid all that the
/// job promised, else the same part of what it was paid.
pub(crate) fn subsidy(income: &Income, view: &JournalView) -> Result<Option<Amount>, DecideError> {
    let Some(id) = income.job else { return Ok(None) };
    let job = view.jobs(&BTreeSet::from([id]))?.remove(&id);
    let last = view.dropped().last;
    if job.is_none() && last.0 > 0 {
        return Err(JournalError::Dropped { last }.into());
    }
    Ok(job.and_then(|job| {
        let whole = u128::from(income.amount.0).checked_mul(u128::from(job.subsidy?.0))?;
        u64::try_from(whole.checked_div(u128::from(job.reward.0))?).ok().map(Amount)
    }))
}

/// Ends a walk over shares.
pub(crate) enum Stop {
    Enough,
    Failed(JournalError),
}

impl From<JournalError> for Stop {
    fn from(why: JournalError) -> Self {
        Self::Failed(why)
    }
}

impl From<millpond_segments::LogError> for Stop {
    fn from(why: millpond_segments::LogError) -> Self {
        Self::Failed(why.into())
    }
}

/// Shares to be given to a scheme that takes each share, and the policy that was in force for them.
#[derive(Clone, Debug)]
pub struct Due {
    /// The policy.
    pub bound: Bound,
    /// The first share.
    pub first: ShareSeq,
    /// The last one.
    pub last: ShareSeq,
}

impl Due {
    /// What audit records call these shares.
    #[must_use]
    pub fn subject(&self) -> Vec<u8> {
        subject(self.first, self.last)
    }
}

/// What audit records call a batch of shares.
#[must_use]
pub fn subject(first: ShareSeq, last: ShareSeq) -> Vec<u8> {
    format!("shares {first}..={last}").into_bytes()
}

/// The next batch after the last share given, up to `newest`: of one scheme, never across the boundary to another.
/// Shares of a policy whose scheme does not take shares are passed over. `policies` in the order they were recorded.
///
/// # Errors
/// When a policy cannot be loaded.
pub fn due(
    policies: &[Policy],
    loader: &Loader,
    given: ShareSeq,
    newest: ShareSeq,
) -> Result<Option<Due>, PolicyError> {
    due_to(policies, loader, given, newest, |_| true)
}

/// The next batch of shares that are given again, after an income was lost: as [`due`], of policies whose scheme takes
/// shares again.
///
/// # Errors
/// When a policy cannot be loaded.
pub fn due_again(
    policies: &[Policy],
    loader: &Loader,
    given: ShareSeq,
    newest: ShareSeq,
) -> Result<Option<Due>, PolicyError> {
    due_to(policies, loader, given, newest, |bound| bound.scheme.takes_again())
}

/// The next batch of shares that are given again, after an income was lost: first to the scheme that was followed, then to the
/// one that followed it. Up to `newest`, where all were given up to `accrued`.
///
/// # Errors
/// As [`due`].
pub(crate) fn gives_again(
    policies: &[Policy],
    loader: &Loader,
    state: &SchemeState,
    [newest, accrued]: [ShareSeq; 2],
) -> Result<Option<Due>, PolicyError> {
    if let Some(given) = state.aside().and_then(SchemeState::given).filter(|given| *given < accrued) {
        let due = due_again(policies, loader, given, newest)?;
        if let Some(due) = due.filter(|due| state.is_asides(&due.bound.scheme)) {
            return Ok(Some(due));
        }
    }
    match state.given().filter(|given| *given < accrued) {
        Some(given) => due_again(policies, loader, given, newest),
        None => Ok(None),
    }
}

fn due_to(
    policies: &[Policy],
    loader: &Loader,
    given: ShareSeq,
    newest: ShareSeq,
    takes: fn(&Bound) -> bool,
) -> Result<Option<Due>, PolicyError> {
    let mut left = policies;
    let mut before: Option<(&Policy, ShareSeq)> = None;
    while let [policy, rest @ ..] = left {
        left = rest;
        // For shares whom it follows is nothing: it is in force since it was with another one there too.
        let since = match before {
            Some((before, since)) if differs_in_whom_it_follows(before, policy) => since,
            _ => policy.from,
        };
        before = Some((policy, since));
        let ends = |rest: &[Policy]| rest.first().map_or(newest, |after| after.from.min(newest));
        if given.max(policy.from) >= ends(rest) {
            continue;
        }
        let mut bound = loader.bind(policy)?;
        bound.scheme = bound.scheme.in_force_after(since);
        // Where one scheme goes on, with another fee policy or after a repair, there is no boundary for shares.
        let other = rest.iter().position(|after| !takes_shares_alike(&bound, policy, after));
        let end = ends(other.and_then(|at| rest.get(at..)).unwrap_or_default());
        if let Some(due) = due_of(policy, &bound, given, end).filter(|due| takes(&due.bound)) {
            return Ok(Some(due));
        }
    }
    Ok(None)
}

/// Whether a policy's scheme, `bound` here, takes shares under another policy as it does under its own: it is the same one,
/// and either credits nothing for shares, of which a fee would be taken, or has the same fees.
pub(crate) fn takes_shares_alike(bound: &Bound, policy: &Policy, other: &Policy) -> bool {
    let same_credits = !bound.scheme.terms().reserve || policy.fees == other.fees;
    policy.scheme.is_same_as(&other.scheme) && same_credits
}

fn differs_in_whom_it_follows(a: &Policy, b: &Policy) -> bool {
    a.scheme.is_same_as(&b.scheme) && a.scheme.config != b.scheme.config && a.fees == b.fees
}

/// As [`due`], of one policy and up to `end`.
#[must_use]
pub fn due_of(policy: &Policy, bound: &Bound, given: ShareSeq, end: ShareSeq) -> Option<Due> {
    let first = given.max(policy.from).0.saturating_add(1);
    let more = bound.scheme.terms().batch.checked_sub(1)?;
    let last = end.0.min(first.saturating_add(u64::from(more)));
    (first <= last).then(|| Due { bound: bound.clone(), first: ShareSeq(first), last: ShareSeq(last) })
}

/// Gives a batch of shares to the scheme that takes them, with what is left in the reserve, and how many there were.
///
/// # Errors
/// As [`divide`].
pub fn credit(
    due: &Due,
    view: &JournalView,
    reserve: Amount,
    state: &SchemeState,
) -> Result<Option<(Accrual, usize)>, DecideError> {
    let Due { bound, first, last } = due;
    let shares = shares(view, *first, *last)?;
    if shares.is_empty() {
        return Ok(None);
    }
    let given = shares.len();
    // By the first of them: where the reserve is spent before the last, a replay has another last share.
    let columns = Columns::new(bound, view, *first, reserve);
    let accrued = millpond_payout::accrue(&bound.scheme, &bound.fees, &shares, reserve, state, &columns);
    let mut accrual = columns.told(accrued)?;
    if let Some(Entry::Accrued { state: change, .. }) = &mut accrual.entry {
        *change = bound.beside(state, std::mem::take(change), Beside::Kept)?;
    }
    Ok(Some((accrual, given)))
}

/// Shares from one to another, as schemes are given them.
///
/// # Errors
/// When the journal fails, or one of them was dropped.
pub(crate) fn shares(
    view: &JournalView,
    first: ShareSeq,
    last: ShareSeq,
) -> Result<Vec<AccruedShare>, JournalError> {
    let dropped = view.dropped().last;
    if dropped >= first {
        return Err(JournalError::Dropped { last: dropped });
    }
    let mut shares = Vec::new();
    let read = view.shares(first, |seq, share| {
        if seq > last {
            return Err(Stop::Enough);
        }
        shares.push(AccruedShare {
            seq,
            miner: share.miner,
            work: share.work,
            network: WorkSum(share.network_work),
            time: share.time,
            coord: share.coord,
            reward: share.reward,
            subsidy: share.subsidy,
        });
        Ok(())
    });
    match read {
        Ok(()) | Err(Stop::Enough) => Ok(shares),
        Err(Stop::Failed(why)) => Err(why),
    }
}

/// What each miner's shares of a batch weigh, ascending by miner.
///
/// # Errors
/// When the journal fails, a share of the batch was dropped, or a sum does not fit.
pub(crate) fn work_of(
    view: &JournalView,
    first: ShareSeq,
    last: ShareSeq,
) -> Result<Vec<(MinerId, u128)>, JournalError> {
    let dropped = view.dropped().last;
    if dropped >= first {
        return Err(JournalError::Dropped { last: dropped });
    }
    let mut work = BTreeMap::new();
    let read = view.shares(first, |seq, share| {
        if seq > last {
            return Err(Stop::Enough);
        }
        let sum: &mut u128 = work.entry(share.miner).or_default();
        *sum = sum.checked_add(u128::from(share.work.0)).ok_or(JournalError::Overflow)?;
        Ok(())
    });
    match read {
        Ok(()) | Err(Stop::Enough) => Ok(work.into_iter().collect()),
        Err(Stop::Failed(why)) => Err(why),
    }
}

/// The entry of shares that were given again: the change of state alone, since they are credited nothing.
#[must_use]
pub fn reaccrued(entry: Entry) -> Option<Entry> {
    match entry {
        Entry::Accrued { first, last, state, .. } => Some(Entry::Reaccrued { first, last, state }),
        _ => None,
    }
}

/// The change of a scheme's state that an entry carries.
pub fn follow(state: &mut SchemeState, entry: &Entry) -> Result<(), PayoutError> {
    match entry {
        Entry::IncomeAllocated(income) => state.apply(&income.state, Some(&income.key)),
        Entry::Accrued { state: change, .. } | Entry::Reaccrued { state: change, .. } => {
            state.apply(change, None)
        }
        Entry::Matured { key } => {
            state.settle(key);
            Ok(())
        }
        Entry::Reversed { key, how: Reversal::Restore, .. } => {
            state.restore_before(key)?;
            Ok(())
        }
        _ => Ok(()),
    }
}

/// What becomes of a lost income: what its own policy says as long as it was immature; what had matured was paid out,
/// and the pool bears it.
#[must_use]
pub fn reversal(bound: &Bound, status: IncomeStatus) -> Reversal {
    match (status, run_off::reversal(bound, bound.scheme.terms().reversal)) {
        (IncomeStatus::Immature, contract::Reversal::Drop) => Reversal::Drop,
        (IncomeStatus::Immature, contract::Reversal::Restore) => Reversal::Restore,
        (IncomeStatus::Immature, contract::Reversal::KeepReserve) => Reversal::KeepReserve,
        (IncomeStatus::Immature, contract::Reversal::Keep) | (_, _) => Reversal::Keep,
    }
}

/// An audit record as the journal keeps it.
#[must_use]
pub fn recorded(
    audit: &AuditRecord,
    subject: &[u8],
    time: millpond_types::UnixMillis,
) -> millpond_journal::Decision {
    millpond_journal::Decision {
        subject: subject.to_vec(),
        contract: audit.package.clone(),
        function: audit.function.clone(),
        component: audit.component,
        config: audit.config,
        input: audit.input,
        // The input is computed again from the journal's own records, and its digest compared.
        stored_input: Vec::new(),
        fuel_limit: audit.fuel_limit,
        fuel_used: audit.fuel_used,
        engine: audit.wasmtime.clone(),
        output: audit.output,
        time,
    }
}
