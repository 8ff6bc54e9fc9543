//! The second run: miners renamed, and one of them split in two where the scheme claims that this earns nothing. A
//! scheme that knows who is who shows it here; conservation alone would not.

use crate::check::{Checked, check};
use crate::pseudonyms::{Pseudonyms, columns};
use crate::{AuditRecord, BoundScheme, PayoutError, Rule, SchemeState, WindowSums, audit};
use millpond_contracts::payout::{Income, State, Totals};
use millpond_types::{Amount, MinerId};
use std::collections::{BTreeMap, BTreeSet};

/// Rounding by position may give each miner one unit more or less.
const RENAMED: u64 = 1;
/// And each of two parts of a miner.
const SPLIT: u64 = 2;

/// What the first run was given and what it gave.
pub(crate) struct FirstRun<'a> {
    pub(crate) income: &'a Income,
    pub(crate) finder: Option<MinerId>,
    pub(crate) miners: &'a BTreeSet<MinerId>,
    pub(crate) windows: &'a [WindowSums],
    pub(crate) state: &'a SchemeState,
    pub(crate) result: &'a Checked,
    pub(crate) cells: &'a [(MinerId, Vec<u64>)],
}

/// Runs the scheme again and compares.
pub(crate) fn rerun(scheme: &BoundScheme, first: &FirstRun<'_>) -> Result<AuditRecord, PayoutError> {
    let names = Pseudonyms::new(first.miners, &first.income.key, 1);
    // Cells cannot be split without knowing what they mean.
    let splits = scheme.claims("split") && scheme.terms.cells == 0 && first.state.is_empty();
    let victim = if splits { victim(first.windows) } else { None };
    let income = Income { finder: first.finder.and_then(|miner| names.name(miner)), ..first.income.clone() };
    let windows: Vec<Totals> = first.windows.iter().map(|sums| split(sums, &names, victim)).collect();
    let state: State = first.state.under(&names);
    let done = scheme
        .plugin
        .allocate(&scheme.settings, &income, &windows, &state)
        .map_err(|source| PayoutError::Call { plugin: scheme.name.clone(), source })?;
    let input = (&income, &windows, &state);
    let audit = audit::record(scheme.digest(), "allocate-renamed", scheme.config, &input, &done)?;

    // The second part of the split miner bears the name after the last.
    let mut given = done.value;
    let mut second = 0;
    if victim.is_some() && given.miner.last() == Some(&names.len().saturating_add(1)) {
        given.miner.pop();
        second = given.amount.pop().unwrap_or(0);
        given.rest = given.rest.saturating_add(second);
    }
    let mut again = check(scheme, "allocate", &given, &names, Some(Amount(income.gross)))?;
    again.rest = again.rest.saturating_sub(second);
    compare(scheme, first, &again, victim.map(|miner| (miner, second)))?;
    let change = SchemeState::change(scheme, "allocate", &given.state, &names)?;
    compare_cells(scheme, first.cells, &change.rows)?;
    Ok(audit)
}

/// The miner to split: the one with the most work in all windows, so that a difference shows.
fn victim(windows: &[WindowSums]) -> Option<MinerId> {
    let mut sums = BTreeMap::<MinerId, u128>::new();
    for (miner, sum) in windows.iter().flat_map(|window| &window.0) {
        let total = sums.entry(*miner).or_default();
        *total = total.saturating_add(*sum);
    }
    sums.into_iter().filter(|(_, sum)| *sum >= 2).max_by_key(|(_, sum)| *sum).map(|(miner, _)| miner)
}

/// A window under the new names; the split miner keeps a third, his second self gets the rest.
fn split(sums: &WindowSums, names: &Pseudonyms, victim: Option<MinerId>) -> Totals {
    let mut rows = BTreeMap::new();
    for (miner, sum) in sums.0.iter().filter(|row| row.1 > 0) {
        let Some(name) = names.name(*miner) else { continue };
        if victim == Some(*miner) && *sum >= 2 {
            let part = (sum / 3).max(1);
            rows.insert(name, part);
            rows.insert(names.len().saturating_add(1), sum - part);
        } else {
            rows.insert(name, *sum);
        }
    }
    columns(rows)
}

fn compare(
    scheme: &BoundScheme,
    first: &FirstRun<'_>,
    again: &Checked,
    split: Option<(MinerId, u64)>,
) -> Result<(), PayoutError> {
    let one: BTreeMap<_, _> = first.result.rows.iter().copied().collect();
    let two: BTreeMap<_, _> = again.rows.iter().copied().collect();
    for miner in first.miners {
        let before = one.get(miner).copied().unwrap_or(0);
        let after = two.get(miner).copied().unwrap_or(0);
        let (after, allowed, rule) = match split {
            Some((victim, second)) if victim == *miner => {
                (after.saturating_add(second), SPLIT, Rule::Splitting)
            }
            _ => (after, RENAMED, Rule::Renaming),
        };
        if before.abs_diff(after) > allowed {
            let detail = format!("a miner gets {before} under one name and {after} under another");
            return Err(scheme.broken("allocate", rule, detail));
        }
    }
    Ok(())
}

fn compare_cells(
    scheme: &BoundScheme,
    one: &[(MinerId, Vec<u64>)],
    two: &[(MinerId, Vec<u64>)],
) -> Result<(), PayoutError> {
    let same = one.len() == two.len()
        && one.iter().zip(two).all(|((m, a), (n, b))| {
            m == n && a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.abs_diff(*b) <= RENAMED)
        });
    if same {
        return Ok(());
    }
    Err(scheme.broken("allocate", Rule::Renaming, "the cells differ when the miners are renamed"))
}
