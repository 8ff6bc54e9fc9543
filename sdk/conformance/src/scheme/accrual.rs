//! Schemes that take batches of shares: the credits of a share must not depend on who stands beside it.

use super::Subject;
use crate::history::Direct;
use crate::rng::Rng;
use crate::{LoggedShare, Report, ShareLog};
use millpond_ledger::Entry;
use millpond_payout::{AccruedShare, BoundScheme, NoAttributes, SchemeState, accrue};
use millpond_types::{Amount, MinerId, ShareSeq, UnixMillis, Work, WorkSum};
use std::collections::BTreeMap;

pub(super) fn test(subject: &Subject<'_>, bound: &BoundScheme, report: &mut Report) {
    report.add(
        "accrual",
        "batches keep the rules of the pool: order, known miners, renaming, and never above the reserve",
        host(subject, bound),
    );
    report.add("batches", "cutting a run of shares into batches changes no credit", batches(subject));
    report.add("accrual-edges", "the smallest and the largest shares neither trap nor wrap", edges(subject));
    subject.claimed(
        report,
        "accrual-split",
        "a miner's shares under several names are credited the same",
        || renamed(subject),
    );
    subject.claimed(report, "accrual-scale", "work and network times a constant change no credit", || {
        scaled(subject)
    });
}

fn logs(
    subject: &Subject<'_>,
    name: &str,
    mut held: impl FnMut(&ShareLog, &mut Rng) -> Result<(), String>,
) -> Result<String, String> {
    let mut rng = Rng::new(subject.options.seed, name);
    let runs = u64::from(subject.options.cases / 4 + 1);
    for n in 0..runs {
        let log = ShareLog::random(&mut rng, n * 3 + 1, n / 4 + 1, u64::MAX);
        held(&log, &mut rng)?;
    }
    Ok(format!("{runs} runs of shares"))
}

fn credits(subject: &Subject<'_>, log: &ShareLog, size: usize) -> Result<BTreeMap<u64, u64>, String> {
    Direct::new(subject.scheme, subject.settings, &subject.terms, log).accrue(0..log.0.len(), size)
}

fn size(subject: &Subject<'_>) -> usize {
    usize::try_from(subject.terms.batch).unwrap_or(usize::MAX)
}

fn host(subject: &Subject<'_>, bound: &BoundScheme) -> Result<String, String> {
    logs(subject, "accrual", |log, rng| {
        let shares: Vec<AccruedShare> = (1..).zip(&log.0).map(|(seq, share)| accrued(seq, share)).collect();
        let shares = shares.get(..shares.len().min(size(subject))).unwrap_or(&shares);
        let state = SchemeState::new(bound.terms());
        let credit = |reserve: u64| {
            accrue(bound, None, shares, Amount(reserve), &state, &NoAttributes)
                .map_err(|error| error.to_string())
        };
        let whole = credit(u64::MAX)?;
        let total = total(whole.entry.as_ref());
        if whole.shares != shares.len() {
            return Err(format!("{} shares cost more than any reserve holds", shares.len()));
        }
        let reserve = rng.below(total.saturating_add(1));
        let part = credit(reserve)?;
        if self::total(part.entry.as_ref()) > reserve {
            return Err(format!(
                "credits of {} against a reserve of {reserve}",
                self::total(part.entry.as_ref())
            ));
        }
        Ok(())
    })
}

fn total(entry: Option<&Entry>) -> u64 {
    match entry {
        Some(Entry::Accrued { parts, .. }) => parts.total().0,
        _ => 0,
    }
}

fn accrued(seq: u64, share: &LoggedShare) -> AccruedShare {
    AccruedShare {
        seq: ShareSeq(seq),
        miner: MinerId(share.miner),
        work: Work(share.work),
        network: WorkSum(share.network),
        time: UnixMillis(share.time_ms),
        coord: share.coord,
        reward: Amount(share.reward),
        subsidy: None,
    }
}

fn same(one: &BTreeMap<u64, u64>, two: &BTreeMap<u64, u64>, slack: u64) -> Result<(), String> {
    for miner in one.keys().chain(two.keys()) {
        let (a, b) = (one.get(miner).copied().unwrap_or(0), two.get(miner).copied().unwrap_or(0));
        if a.abs_diff(b) > slack {
            return Err(format!("miner {miner} is credited {a}, and {b}"));
        }
    }
    Ok(())
}

fn batches(subject: &Subject<'_>) -> Result<String, String> {
    logs(subject, "batches", |log, rng| {
        let cut = usize::try_from(rng.within(1, 9)).unwrap_or(1).min(size(subject));
        same(&credits(subject, log, size(subject))?, &credits(subject, log, cut)?, 1)
            .map_err(|why| format!("{why} in batches of {cut}, over {} shares", log.0.len()))
    })
}

/// What a swap to another scheme drops.
pub(super) fn small_change(subject: &Subject<'_>) -> Result<String, String> {
    if subject.terms.batch == 0 {
        return Err(
            "only the state of a scheme that takes batches of shares is known to be worth nothing else: \
                    leave what an income's rounding left over to `rest`"
                .to_owned(),
        );
    }
    logs(subject, "small-change", |log, rng| {
        let (size, end) = (size(subject), log.0.len());
        let cut = usize::try_from(rng.below(end as u64 + 1)).unwrap_or(0);
        let part =
            |range| Direct::new(subject.scheme, subject.settings, &subject.terms, log).accrue(range, size);
        let mut forgetful = part(0..cut)?;
        for (miner, credit) in part(cut..end)? {
            let sum = forgetful.entry(miner).or_default();
            *sum = sum.checked_add(credit).ok_or("a miner's credits do not fit 64 bits")?;
        }
        same(&credits(subject, log, size)?, &forgetful, 1)
            .map_err(|why| format!("{why} when the state is dropped after share {cut} of {end}"))
    })
}

fn renamed(subject: &Subject<'_>) -> Result<String, String> {
    logs(subject, "accrual-split", |log, rng| {
        let mut parts = log.clone();
        for share in parts.0.iter_mut().filter(|share| share.miner == 1) {
            share.miner = 1 + 1000 * rng.below(3);
        }
        let one = credits(subject, log, size(subject))?.get(&1).copied().unwrap_or(0);
        let after = credits(subject, &parts, size(subject))?;
        let two = [1, 1001, 2001].iter().map(|name| after.get(name).copied().unwrap_or(0)).sum::<u64>();
        if one.abs_diff(two) > 3 {
            return Err(format!("miner 1 is credited {one}, under three names {two}"));
        }
        Ok(())
    })
}

fn scaled(subject: &Subject<'_>) -> Result<String, String> {
    logs(subject, "accrual-scale", |log, rng| {
        let by = rng.within(2, 1000);
        let mut larger = log.clone();
        for share in &mut larger.0 {
            share.work = share.work.saturating_mul(by);
            share.network = share.network.saturating_mul(by.into());
        }
        same(&credits(subject, log, size(subject))?, &credits(subject, &larger, size(subject))?, 1)
            .map_err(|why| format!("{why} with work and network times {by}"))
    })
}

/// Shares that the host can hand in: a share's work is never above the network's.
fn edges(subject: &Subject<'_>) -> Result<String, String> {
    let mut count = 0_u32;
    for reward in [0, 1, u64::MAX] {
        for (work, network) in
            [(1, 1), (1, u128::MAX), (u64::MAX, u128::from(u64::MAX)), (u64::MAX, u128::MAX), (1, 1 << 64)]
        {
            let share = LoggedShare { miner: 1, work, network, time_ms: 1, coord: 1, reward, block: false };
            let credit = credits(subject, &ShareLog(vec![share]), 1)
                .map_err(|why| format!("{why}; work {work} of {network}, reward {reward}"))?;
            let credit = credit.get(&1).copied().unwrap_or(0);
            if credit > reward {
                return Err(format!(
                    "a share is credited {credit} of a block of {reward}: work {work} of {network}"
                ));
            }
            count += 1;
        }
    }
    Ok(format!("{count} shares"))
}
