//! One income, divided.

use crate::audit::Asked;
use crate::beside::both;
use crate::check::{Checked, Sum, check};
use crate::fairness::{self, Given};
use crate::pseudonyms::Pseudonyms;
use crate::state::StateChange;
use crate::{
    Attributes, AuditRecord, BoundFee, BoundScheme, IncomeFacts, PayoutError, SchemeState, WindowSums, audit,
    fees,
};
use millpond_contracts::payout::{Income, Span, Totals};
use millpond_ledger::{Allocation, IncomeAllocated, Owner};
use millpond_types::{Amount, MinerId};

/// A decision about an income: what goes into the ledger, and how it came about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The ledger's entry, with the scheme's change of state in it.
    pub entry: IncomeAllocated,
    /// One record per call, in order; for the journal, before the entry is appended.
    pub audit: Vec<AuditRecord>,
}

/// Divides an income: scheme, native checks, fairness run, fee policies, checks.
///
/// `carry_in` is what of the carry account is divided along (the caller's choice; zero for a scheme with a reserve and
/// for a coinbase that pays the miner). `fees` apply one behind the other; the operator's part goes to the recipients of
/// the first that has any. `windows` are in the order of the scheme's terms. `state` is not changed: apply the entry's `state` to it
/// when the entry is durable.
///
/// Deterministic: the same arguments and plugins give the same entry, byte for byte.
///
/// # Errors
/// [`PayoutError::Call`] and [`PayoutError::Broken`] name the plugin: its result does not count, and the income waits
/// for a version that keeps the rules. Nothing was written.
pub fn allocate(
    scheme: &BoundScheme,
    fees: &[BoundFee],
    facts: &IncomeFacts,
    carry_in: Amount,
    windows: &[WindowSums],
    state: &SchemeState,
    attributes: &dyn Attributes,
) -> Result<Decision, PayoutError> {
    if scheme.pays_once().is_some() != facts.unpaid.is_some() {
        return Err(PayoutError::Input(format!(
            "scheme {} is given a list of unpaid shares and pays none once, or pays them so and is given none",
            scheme.name
        )));
    }
    let seen = state.seen_by(scheme);
    let whole = state;
    let state = seen.state.as_ref();
    let Called { income, checked, mut change, mut audit } = call(scheme, facts, carry_in, windows, state)?;
    change.given = scheme.takes_again().then(|| state.given().unwrap_or(scheme.since));
    let state = match (&facts.unpaid, seen.kept) {
        (unpaid, true) => StateChange { unpaid: unpaid.clone(), ..change }.to_bytes(),
        // What it paid stays paid, whoever is in force now.
        (Some(unpaid), false) => whole.only_unpaid(unpaid.clone()).to_bytes(),
        (None, false) => Vec::new(),
    };

    let mut parts = Vec::with_capacity(checked.rows.len().saturating_add(4));
    let of = fees::Of::Income { finder: facts.finder };
    let taken = fees::take(fees, &income, &of, checked.rows, attributes, &mut audit)?;
    parts.extend(taken.parts);
    parts.extend(taken.net.into_iter().map(|(miner, amount)| (Owner::Miner(miner), Amount(amount))));
    parts.extend(fees::operator(scheme, fees, checked.operator)?);
    parts.push((Owner::Carry, Amount(checked.carry)));
    parts.push((Owner::Reserve, Amount(checked.to_reserve)));
    let entry = IncomeAllocated::drawing(
        facts.key.clone(),
        facts.amount,
        [carry_in, Amount(checked.from_reserve)],
        Allocation::merged(parts)?,
        state,
    )?;
    Ok(Decision { entry: entry.ending(facts.end), audit })
}

/// A scheme's answer that keeps every rule, asked twice.
pub(crate) struct Called {
    pub(crate) income: Income,
    pub(crate) checked: Checked,
    pub(crate) change: StateChange,
    pub(crate) audit: Vec<AuditRecord>,
}

/// Asks a scheme about an income: native checks, fairness run.
pub(crate) fn call(
    scheme: &BoundScheme,
    facts: &IncomeFacts,
    carry_in: Amount,
    windows: &[WindowSums],
    state: &SchemeState,
) -> Result<Called, PayoutError> {
    let gross = facts.amount.checked_add(carry_in).ok_or_else(|| {
        PayoutError::Input("an income with its carried-in units does not fit 64 bits".to_owned())
    })?;
    let miners = inputs(scheme, facts, windows, state)?;
    // The finder is named in each call, under its own names.
    let income = Income {
        key: facts.key.as_bytes().to_vec(),
        gross: gross.0,
        carried: carry_in.0,
        seq: facts.number,
        time_ms: facts.time.0,
        coord: facts.coord,
        finder: None,
        subsidy: subsidy(scheme, facts)?,
        reserve: if scheme.terms.reserve { facts.reserve.0 } else { 0 },
    };
    let given = Given { income: &income, finder: facts.finder, miners: &miners, windows, state };
    let (first, again) = both(miners.len(), || run(scheme, &given), || fairness::rerun(scheme, &given));
    let (record, checked, change) = first?;
    let again = again?;
    fairness::compare_runs(scheme, &miners, (&checked, &change), &again)?;
    let audit = vec![record, again.audit];
    Ok(Called { income, checked, change, audit })
}

/// The first run: the scheme's answer, checked.
fn run(scheme: &BoundScheme, given: &Given<'_>) -> Result<(AuditRecord, Checked, StateChange), PayoutError> {
    let Given { income, finder, miners, windows, state } = given;
    let names = &Pseudonyms::new(miners, &income.key, 0);
    let income = &Income { finder: finder.and_then(|miner| names.name(miner)), ..(*income).clone() };
    let columns: Vec<Totals> = windows.iter().map(|sums| names.totals(sums)).collect();
    let cells = state.under(names);
    let done = scheme
        .plugin
        .allocate(&scheme.settings, income, &columns, &cells)
        .map_err(|source| PayoutError::Call { plugin: scheme.name.clone(), source })?;
    let record = audit::scheme(scheme, "allocate", Asked::Income(income, &columns, &cells), &done)?;
    let sum = Sum::Income { gross: income.gross, aside: 0, reserve: income.reserve };
    let checked = check(scheme, "allocate", &done.value, names, sum)?;
    let change = SchemeState::change(scheme, "allocate", &done.value.state, names)?;
    Ok((record, checked, change))
}

/// The income's subsidy, for a scheme that asks for it.
fn subsidy(scheme: &BoundScheme, facts: &IncomeFacts) -> Result<Option<u64>, PayoutError> {
    if !scheme.terms.needs_subsidy {
        return Ok(None);
    }
    match facts.subsidy {
        Some(subsidy) if subsidy <= facts.amount => Ok(Some(subsidy.0)),
        Some(subsidy) => Err(PayoutError::Input(format!(
            "an income of {} is said to hold a subsidy of {subsidy}",
            facts.amount
        ))),
        None => Err(PayoutError::Input(format!(
            "scheme {} divides subsidy and fees apart, and the chain's adapter does not tell the subsidy of this income",
            scheme.name
        ))),
    }
}

/// All miners that the scheme may name, ascending, after a look at the host's own columns.
fn inputs(
    scheme: &BoundScheme,
    facts: &IncomeFacts,
    windows: &[WindowSums],
    state: &SchemeState,
) -> Result<Vec<MinerId>, PayoutError> {
    let declared = scheme.terms.windows.len();
    if windows.len() != declared {
        let given = windows.len();
        return Err(PayoutError::Input(format!("{given} windows for a scheme that declares {declared}")));
    }
    let mut miners = Vec::new();
    for (window, declared) in windows.iter().zip(&scheme.terms.windows) {
        if !window.0.iter().zip(window.0.iter().skip(1)).all(|(a, b)| a.0 < b.0) {
            return Err(PayoutError::Input("a window's miners are not strictly ascending".to_owned()));
        }
        if declared.span == Span::State && !window.0.is_empty() {
            return Err(PayoutError::Input("a window of cells alone has rows".to_owned()));
        }
        miners.extend(window.0.iter().filter(|row| row.1 > 0).map(|row| row.0));
    }
    // A miner without work in any window, without cells and without the block cannot be named: he earns nothing.
    miners.extend(state.miners());
    miners.extend(facts.finder);
    // Runs that ascend, one behind the other: the stable sort merges them.
    miners.sort();
    miners.dedup();
    Ok(miners)
}
