//! The edges of the integers, and all miners at once.

use super::single::{Case, columns};
use super::{Subject, by_miner};
use millpond_contracts::payout::{Span, State, Totals};
use std::collections::BTreeMap;

/// Incomes and sums at the ends of their ranges. An error of the scheme's own is allowed only where the host never
/// goes; a trap never is.
pub(super) fn edges(subject: &Subject<'_>) -> Result<String, String> {
    let half = u128::MAX / 2;
    let sums: [&[(u64, u128)]; 8] = [
        &[],
        &[(1, 1)],
        &[(1, u128::MAX)],
        &[(1, half), (2, half)],
        &[(1, 1), (2, u128::MAX - 1)],
        &[(1, u128::from(u64::MAX)), (u64::MAX, u128::from(u64::MAX) + 1)],
        &[(1, u128::MAX / 3), (2, u128::MAX / 3), (3, u128::MAX / 3)],
        &[(u64::MAX - 1, 1 << 127), (u64::MAX, (1 << 127) - 1)],
    ];
    let mut count = 0_u32;
    for gross in [0, 1, 2, u64::from(u32::MAX), u64::MAX - 1, u64::MAX] {
        for rows in sums {
            let finder = rows.first().map_or(1, |row| row.0);
            let window = |span: Span| match span {
                Span::Finder => BTreeMap::from([(finder, 1)]),
                Span::State => BTreeMap::new(),
                _ => rows.iter().copied().collect(),
            };
            let windows = subject.terms.windows.iter().map(|wanted| window(wanted.span)).collect();
            let case = Case { gross, finder, windows };
            by_miner(&case.ask(subject, |miner| miner)?, gross).map_err(|why| format!("{why}; {case}"))?;
            count += 1;
        }
    }
    Ok(format!("{count} cases"))
}

/// Every miner of a very large pool in one call.
pub(super) fn large(subject: &Subject<'_>) -> Result<String, String> {
    let miners = u64::from(subject.options.miners.max(1));
    let rows: BTreeMap<u64, u128> =
        (1..=miners).map(|miner| (miner, u128::from(miner % 977 + 1) << (miner % 60))).collect();
    let all = columns(&rows);
    let windows: Vec<Totals> = subject
        .terms
        .windows
        .iter()
        .map(|wanted| match wanted.span {
            Span::Finder => columns(&BTreeMap::from([(1, 1)])),
            Span::State => Totals::default(),
            _ => all.clone(),
        })
        .collect();
    let case = Case { gross: 625_000_000_000, finder: 1, windows: Vec::new() };
    let width = usize::from(subject.terms.cells);
    // Of the state as many rows, if it keeps any; zeros, since only the scheme knows what its cells mean.
    let state = State {
        memo: Vec::new(),
        miner: if width > 0 { (1..=miners).collect() } else { Vec::new() },
        cells: vec![0; width.saturating_mul(usize::try_from(miners).unwrap_or(0)).min(MOST_CELLS)],
    };
    if !state.miner.is_empty() && state.cells.len() == MOST_CELLS {
        return Err(format!(
            "{miners} miners of {width} cells are more than one call takes; test with fewer"
        ));
    }
    let done = subject
        .scheme
        .allocate(subject.settings, &case.income(1), &windows, &state)
        .map_err(|error| format!("with {miners} miners: {error}"))?;
    by_miner(&done.value, case.gross).map_err(|why| format!("with {miners} miners: {why}"))?;
    if done.fuel_used > done.fuel_limit {
        return Err(format!("with {miners} miners: fuel {} of {}", done.fuel_used, done.fuel_limit));
    }
    Ok(format!("{miners} miners, fuel {} of {}", done.fuel_used, done.fuel_limit))
}

/// Cells in one call: more would be a test of this machine's memory.
const MOST_CELLS: usize = 1 << 24;
