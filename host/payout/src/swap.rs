//! Swapping the scheme: at a recorded boundary, and what is owed stays owed.
//!
//! A new scheme is scheduled at any time and takes effect after the next block: the income of that block, and of every
//! block before it that is not divided yet, is divided by the old scheme. The boundary is written down before it
//! counts, so that a replay divides every income by the scheme that was in force.
//!
//! Here is only the question whether a scheme may follow another; who is in force when is in the journal.

use crate::{BoundScheme, PayoutError, SchemeState};
use millpond_contracts::payout::Income;

/// Why a scheme may not take over.
#[derive(Debug, thiserror::Error)]
pub enum SwapError {
    /// Debts in cells that the new scheme cannot read.
    #[error(
        "scheme {new} cannot take over: {old} owes miners in its cells (format {old_format:?}), and {new} reads \
         {new_format:?}; pay the debts out under the old scheme first, or give the new version the same state-format"
    )]
    Format {
        /// The scheme in force.
        old: String,
        /// The scheme that should follow.
        new: String,
        /// Format of the cells.
        old_format: String,
        /// Format that the new one declares.
        new_format: String,
    },
    /// The new version reads the cells and changes them without an income.
    #[error(
        "scheme {new} cannot take over: given the cells that {old} owes and nothing to divide, it changes {rows} \
         rows that {old} leaves as they are; an upgrade must not forget debts"
    )]
    Forgets {
        /// The scheme in force.
        old: String,
        /// The scheme that should follow.
        new: String,
        /// Rows that differ.
        rows: usize,
    },
    /// A call failed or its result broke a rule.
    #[error("the trial call before the swap: {0}")]
    Trial(#[from] PayoutError),
}

/// Whether `new` may take over the state that `old` leaves: it reads the same format and forgets nothing, or what is
/// left is less than a unit for each miner (claim `small-change`) and is dropped.
///
/// # Errors
/// When debts would be forgotten, or the new scheme fails its trial.
pub fn check_upgrade(old: &BoundScheme, new: &BoundScheme, state: &SchemeState) -> Result<(), SwapError> {
    if state.is_empty() {
        return Ok(());
    }
    if !fits(old, new, state)? {
        return Ok(());
    }
    keeps(old, new, &trial(old, state)?, &trial(new, state)?)
}

/// Whether `new` may take over from an `old` that cannot be called any more: given nothing to divide, it has to leave
/// every row as it is.
///
/// # Errors
/// As [`check_upgrade`].
pub fn check_repair(old: &BoundScheme, new: &BoundScheme, state: &SchemeState) -> Result<(), SwapError> {
    if state.is_empty() || !fits(old, new, state)? {
        return Ok(());
    }
    keeps(old, new, &state.rows(), &trial(new, state)?)
}

/// Whether the new scheme reads the state at all; false when what it holds may be dropped, or was left by one of before.
fn fits(old: &BoundScheme, new: &BoundScheme, state: &SchemeState) -> Result<bool, SwapError> {
    if state.fits(&new.terms) {
        return Ok(true);
    }
    if old.owes_less_than_a_unit() || !state.fits(&old.terms) {
        return Ok(false);
    }
    Err(SwapError::Format {
        old: old.name.clone(),
        new: new.name.clone(),
        old_format: format!("{} ({} cells)", state.format(), state.width()),
        new_format: format!("{} ({} cells)", new.terms.state_format, new.terms.cells),
    })
}

fn keeps(old: &BoundScheme, new: &BoundScheme, before: &Rows, after: &Rows) -> Result<(), SwapError> {
    if before != after {
        let rows = before.iter().filter(|row| !after.contains(row)).count();
        let extra = after.iter().filter(|row| !before.contains(row)).count();
        return Err(SwapError::Forgets {
            old: old.name.clone(),
            new: new.name.clone(),
            rows: rows.max(extra),
        });
    }
    Ok(())
}

type Rows = Vec<(millpond_types::MinerId, Vec<u64>)>;

/// The state after an income of nothing over empty windows.
fn trial(scheme: &BoundScheme, state: &SchemeState) -> Result<Rows, PayoutError> {
    let miners: Vec<_> = state.miners().collect();
    let names = crate::pseudonyms::Pseudonyms::new(&miners, b"swap", 0);
    let subsidy = scheme.terms.needs_subsidy.then_some(0);
    let income = Income { key: b"swap".to_vec(), subsidy, ..Income::default() };
    let windows = vec![millpond_contracts::payout::Totals::default(); scheme.terms.windows.len()];
    let given = scheme
        .plugin
        .allocate(&scheme.settings, &income, &windows, &state.under(&names))
        .map_err(|source| PayoutError::Call { plugin: scheme.name.clone(), source })?
        .value;
    let sum = crate::check::Sum::Income { gross: 0, aside: 0, reserve: 0 };
    crate::check::check(scheme, "allocate", &given, &names, sum)?;
    let change = SchemeState::change(scheme, "allocate", &given.state, &names)?;
    let mut after = state.clone();
    after.apply(&change.to_bytes(), None)?;
    Ok(after.rows())
}
