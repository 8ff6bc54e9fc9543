//! The edges of the integers, and all miners at once.

use super::calls::nothing;
use super::single::Case;
use super::{Broken, Subject, by_miner, known};
use crate::{LoggedShare, facts};
use millpond_contracts::payout::{Allocation, Span, Totals};
use std::collections::BTreeMap;

/// Incomes and sums at the ends of their ranges. An error of the scheme's own is allowed only where the host never
/// goes; a trap never is.
pub(super) fn edges(subject: &Subject<'_>) -> Result<String, Broken> {
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
            by_miner(&case.ask(subject, |miner| miner)?, gross)
                .and_then(|paid| {
                    known(&paid, |miner| miner == finder || rows.iter().any(|row| row.0 == miner))
                })
                .map_err(|why| format!("{why}; {case}"))?;
            count += 1;
        }
    }
    let shares = if subject.terms.batch > 0 { shares(subject)? } else { 0 };
    Ok(format!("{count} incomes, {shares} shares"))
}

/// Shares that the host can hand in: a share's work is never above the network's.
fn shares(subject: &Subject<'_>) -> Result<u32, String> {
    let mut count = 0_u32;
    for reward in [0, 1, u64::MAX] {
        for (work, network) in
            [(1, 1), (1, u128::MAX), (u64::MAX, u128::from(u64::MAX)), (u64::MAX, u128::MAX), (1, 1 << 64)]
        {
            let share = LoggedShare { miner: 1, work, network, time_ms: 1, coord: 1, reward, block: false };
            let shown = format!("work {work} of {network}, reward {reward}");
            let done = subject.scheme.accrue(subject.settings, &facts::batch(1, &[share]), &nothing());
            let given = done.map_err(|error| format!("{error}; {shown}"))?.value;
            let credit = credited(&given)?;
            if credit > u128::from(reward) {
                return Err(format!("a share is credited {credit} of a block of {reward}: {shown}"));
            }
            count += 1;
        }
    }
    Ok(count)
}

/// All that a batch gives.
fn credited(given: &Allocation) -> Result<u128, String> {
    let total = given.amount.iter().try_fold(0_u64, |sum, amount| sum.checked_add(*amount));
    let total = total.ok_or("a batch's credits do not fit 64 bits")?;
    // 0.2 says that credits come out of the reserve; here it is enough what they are.
    let drawn = Allocation { from_reserve: 0, ..given.clone() };
    Ok(by_miner(&drawn, total)?.into_values().map(u128::from).sum())
}

/// Every miner of a very large pool in one call. Of the state as many rows, if the scheme keeps any: those that its own
/// accrual comes to, where it takes shares; else zeros, since only the scheme knows what its cells mean.
pub(super) fn large(subject: &Subject<'_>) -> Result<String, Broken> {
    let miners = u64::from(subject.options.miners.max(1));
    let width = usize::from(subject.terms.cells);
    if u64::try_from(width).unwrap_or(0).saturating_mul(miners) > MOST_CELLS {
        let why = format!("{miners} miners of {width} cells are more than one call takes; test with fewer");
        return Err(Broken::By(why));
    }
    let with = |error: String| format!("with {miners} miners: {error}");
    let (memo, mut cells, most_fuel) = fill(subject, miners).map_err(with)?;
    if width > 0 {
        (1..=miners).for_each(|miner| {
            cells.entry(miner).or_insert_with(|| vec![0; width]);
        });
    }
    let rows: BTreeMap<u64, u128> =
        (1..=miners).map(|miner| (miner, u128::from(miner % 977 + 1) << (miner % 60))).collect();
    let all = facts::columns(&rows);
    let windows: Vec<Totals> = subject
        .terms
        .windows
        .iter()
        .map(|wanted| match wanted.span {
            Span::Finder => facts::columns(&BTreeMap::from([(1, 1)])),
            Span::State => Totals::default(),
            _ => all.clone(),
        })
        .collect();
    let gross = 625_000_000_000;
    let state = facts::state(memo, &cells);
    let done = subject
        .scheme
        .allocate(subject.settings, &facts::alone(gross, 1), &windows, &state)
        .map_err(|error| with(error.to_string()))?;
    by_miner(&done.value, gross)
        .and_then(|paid| known(&paid, |miner| (1..=miners).contains(&miner)))
        .map_err(with)?;
    if done.fuel_used > done.fuel_limit {
        return Err(Broken::By(with(format!("fuel {} of {}", done.fuel_used, done.fuel_limit))));
    }
    let batches = if subject.terms.batch > 0 { format!(", a batch {most_fuel}") } else { String::new() };
    Ok(format!("{miners} miners, fuel {} of {}{batches}", done.fuel_used, done.fuel_limit))
}

type Filled = (Vec<u8>, BTreeMap<u64, Vec<u64>>, u64);

/// The state after a share of everybody, in batches as long as the terms allow; and the most fuel of one.
fn fill(subject: &Subject<'_>, miners: u64) -> Result<Filled, String> {
    let (mut memo, mut cells, mut most) = (Vec::new(), BTreeMap::new(), 0);
    let size = u64::from(subject.terms.batch);
    let mut next = 1;
    while size > 0 && next <= miners {
        let upto = miners.min(next.saturating_add(size - 1));
        let share = |miner: u64| LoggedShare {
            miner,
            work: miner % 977 + 1,
            network: 1 << 40,
            time_ms: 1_700_000_000_000 + miner,
            coord: 800_000,
            reward: 625_000_000_000,
            block: false,
        };
        let shares: Vec<LoggedShare> = (next..=upto).map(share).collect();
        let known = cells.range(next..=upto).map(|(miner, row): (&u64, &Vec<u64>)| (*miner, row.clone()));
        let state = facts::state(memo.clone(), &known.collect());
        let done = subject.scheme.accrue(subject.settings, &facts::batch(next, &shares), &state);
        let done = done.map_err(|error| format!("shares {next} to {upto}: {error}"))?;
        credited(&done.value)?;
        most = most.max(done.fuel_used);
        if !done.value.state.memo.is_empty() {
            memo.clone_from(&done.value.state.memo);
        }
        cells.extend(facts::cells(&done.value.state, subject.terms.cells));
        next = upto.saturating_add(1);
    }
    Ok((memo, cells, most))
}

/// Cells in one call: more would be a test of this machine's memory.
const MOST_CELLS: u64 = 1 << 24;
