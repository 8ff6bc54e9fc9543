//! The second run: miners renamed, and one of them split in two where the scheme claims that this earns nothing. A
//! scheme that knows who is who shows it here; conservation alone would not.

use crate::audit::Asked;
use crate::check::{Checked, Sum, check};
use crate::pseudonyms::{Pseudonyms, columns};
use crate::state::StateChange;
use crate::{AuditRecord, BoundScheme, PayoutError, Rule, SchemeState, WindowSums, audit};
use millpond_contracts::payout::{Income, State, Totals, Version};
use millpond_types::MinerId;

/// Rounding by position may give each miner one unit more or less.
const RENAMED: u64 = 1;
/// And each of two parts of a miner.
const SPLIT: u64 = 2;

/// What both runs are given.
pub(crate) struct Given<'a> {
    pub(crate) income: &'a Income,
    pub(crate) finder: Option<MinerId>,
    pub(crate) miners: &'a [MinerId],
    pub(crate) windows: &'a [WindowSums],
    pub(crate) state: &'a SchemeState,
}

/// What the second run gave.
pub(crate) struct Again {
    pub(crate) audit: AuditRecord,
    result: Checked,
    change: StateChange,
    /// The miner who was split, and what his second self gets.
    split: Option<(MinerId, u64)>,
}

/// Runs the scheme again.
pub(crate) fn rerun(scheme: &BoundScheme, first: &Given<'_>) -> Result<Again, PayoutError> {
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
    let asked = Asked::Income(&income, &windows, &state);
    let audit = audit::scheme(scheme, "allocate-renamed", asked, &done)?;

    // The second part of the split miner bears the name after the last.
    let mut given = done.value;
    let mut second = 0;
    if victim.is_some() && given.miner.last() == Some(&second_self(&names)) {
        given.miner.pop();
        second = given.amount.pop().unwrap_or(0);
    }
    let sum = Sum::Income { gross: income.gross, aside: second, reserve: income.reserve };
    let again = check(scheme, "allocate", &given, &names, sum)?;
    let change = SchemeState::change(scheme, "allocate", &given.state, &names)?;
    Ok(Again { audit, result: again, change, split: victim.map(|miner| (miner, second)) })
}

/// Compares both runs.
pub(crate) fn compare_runs(
    scheme: &BoundScheme,
    miners: &[MinerId],
    (result, change): (&Checked, &StateChange),
    again: &Again,
) -> Result<(), PayoutError> {
    compare(scheme, miners, result, &again.result, again.split)?;
    compare_states(scheme, "allocate", change, &again.change)
}

/// The name after the last.
fn second_self(names: &Pseudonyms) -> u64 {
    (names.len() as u64).saturating_add(1)
}

/// The miner to split: the one with the most work in all windows, so that a difference shows; of equal ones the last.
fn victim(windows: &[WindowSums]) -> Option<MinerId> {
    let mut rows: Vec<(MinerId, u128)> = windows.iter().flat_map(|window| window.0.iter().copied()).collect();
    // Runs that ascend: the stable sort merges them.
    rows.sort_by_key(|row| row.0);
    rows.dedup_by(|next, sum| {
        let same = next.0 == sum.0;
        if same {
            sum.1 = sum.1.saturating_add(next.1);
        }
        same
    });
    rows.into_iter().filter(|(_, sum)| *sum >= 2).max_by_key(|(_, sum)| *sum).map(|(miner, _)| miner)
}

/// A window under the new names; the split miner keeps a third, his second self gets the rest.
fn split(sums: &WindowSums, names: &Pseudonyms, victim: Option<MinerId>) -> Totals {
    let mut named = names.named(sums.0.iter().copied());
    let whole = victim.and_then(|miner| names.name(miner)).and_then(|name| {
        let at = usize::try_from(name.checked_sub(1)?).ok()?;
        named.get_mut(at)?.as_mut().filter(|sum| **sum >= 2)
    });
    let second = whole.map(|sum| {
        let part = (*sum / 3).max(1);
        std::mem::replace(sum, part) - part
    });
    named.push(second);
    columns((1..).zip(named).filter_map(|(name, sum)| Some((name, sum.filter(|sum| *sum > 0)?))))
}

/// What each gets, in the order of the miners.
fn amounts<'a>(miners: &'a [MinerId], rows: &'a [(MinerId, u64)]) -> impl Iterator<Item = u64> + 'a {
    let mut rows = rows.iter().peekable();
    miners.iter().map(move |miner| rows.next_if(|row| row.0 == *miner).map_or(0, |row| row.1))
}

fn compare(
    scheme: &BoundScheme,
    miners: &[MinerId],
    first: &Checked,
    again: &Checked,
    split: Option<(MinerId, u64)>,
) -> Result<(), PayoutError> {
    let both = amounts(miners, &first.rows).zip(amounts(miners, &again.rows));
    for (miner, (before, after)) in miners.iter().zip(both) {
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

/// What both runs keep. State is rounded for each miner by himself, so that it does not depend on their order: 0.2 has it
/// equal, memo and all. 0.1 allows cells to differ by one, as amounts do, and says nothing of the memo.
pub(crate) fn compare_states(
    scheme: &BoundScheme,
    function: &'static str,
    one: &StateChange,
    two: &StateChange,
) -> Result<(), PayoutError> {
    let same = match scheme.version() {
        Version::V0_1 => {
            let close = |a: &[u64], b: &[u64]| {
                a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.abs_diff(*b) <= RENAMED)
            };
            let rows = one.rows.iter().zip(&two.rows);
            one.rows.len() == two.rows.len() && rows.into_iter().all(|((m, a), (n, b))| m == n && close(a, b))
        }
        Version::V0_2 => one.rows == two.rows,
    };
    if !same {
        return Err(scheme.broken(function, Rule::Renaming, "the cells differ when the miners are renamed"));
    }
    if scheme.version() != Version::V0_1 && one.memo != two.memo {
        return Err(scheme.broken(function, Rule::Renaming, "the memo differs when the miners are renamed"));
    }
    Ok(())
}
