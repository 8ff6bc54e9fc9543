//! One income and its variations: the same miners under other names, at another scale, in parts, with more work.

use super::{Subject, by_miner, calls};
use crate::facts;
use crate::rng::Rng;
use millpond_contracts::payout::{Allocation, Income, Span, Totals};
use std::collections::BTreeMap;
use std::fmt;

/// One income with its windows, by miner.
#[derive(Clone, Debug)]
pub(super) struct Case {
    pub(super) gross: u64,
    pub(super) finder: u64,
    pub(super) windows: Vec<BTreeMap<u64, u128>>,
}

/// Short enough to be read: what a counterexample shows.
impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "income {} found by miner {}", self.gross, self.finder)?;
        for (at, window) in self.windows.iter().enumerate() {
            write!(f, ", window {at} {{")?;
            for (row, (miner, sum)) in window.iter().enumerate() {
                match row {
                    0 => write!(f, "{miner}: {sum}")?,
                    1..8 => write!(f, ", {miner}: {sum}")?,
                    8 => write!(f, ", … {} miners", window.len())?,
                    _ => break,
                }
            }
            write!(f, "}}")?;
        }
        Ok(())
    }
}

impl Case {
    /// The n-th random case: tiny ones first.
    fn random(subject: &Subject<'_>, rng: &mut Rng, n: u32) -> Self {
        let miners = rng.within(1, u64::from(n / 4 + 2));
        let finder = rng.within(1, miners);
        let bits = if n < 20 { 8 } else { 90 };
        let window = |span: Span, rng: &mut Rng| match span {
            Span::Finder => BTreeMap::from([(finder, 1)]),
            Span::State => BTreeMap::new(),
            _ => {
                let mut sums = BTreeMap::new();
                for miner in 1..=miners {
                    if !rng.once_in(9) {
                        sums.insert(miner, rng.magnitude(bits));
                    }
                }
                sums.entry(finder).or_insert(1);
                sums.retain(|_, sum| *sum > 0);
                sums
            }
        };
        let windows = subject.terms.windows.iter().map(|wanted| window(wanted.span, rng)).collect();
        let gross = if n < 20 { rng.within(0, 1000) } else { rng.magnitude(64) as u64 };
        Self { gross, finder, windows }
    }

    /// Asks the scheme, miners renamed by `name`.
    pub(super) fn ask(&self, subject: &Subject<'_>, name: impl Fn(u64) -> u64) -> Result<Allocation, String> {
        let windows: Vec<Totals> = self
            .windows
            .iter()
            .map(|window| facts::columns(&window.iter().map(|(miner, sum)| (name(*miner), *sum)).collect()))
            .collect();
        let done = subject.scheme.allocate(
            subject.settings,
            &self.income(name(self.finder)),
            &windows,
            &calls::nothing(),
        );
        done.map(|done| done.value).map_err(|error| format!("{error}; {self}"))
    }

    pub(super) fn income(&self, finder: u64) -> Income {
        facts::alone(self.gross, finder)
    }

    /// As asked, by miner under his own name.
    fn amounts(&self, subject: &Subject<'_>) -> Result<BTreeMap<u64, u64>, String> {
        by_miner(&self.ask(subject, |miner| miner)?, self.gross).map_err(|why| format!("{why}; {self}"))
    }
}

fn cases(
    subject: &Subject<'_>,
    name: &str,
    mut held: impl FnMut(&Case, &mut Rng) -> Result<(), String>,
) -> Result<String, String> {
    let mut rng = Rng::new(subject.options.seed, name);
    for n in 0..subject.options.cases {
        let case = Case::random(subject, &mut rng, n);
        held(&case, &mut rng)?;
    }
    Ok(format!("{} cases", subject.options.cases))
}

pub(super) fn no_work_no_pay(subject: &Subject<'_>) -> Result<String, String> {
    cases(subject, "no-work-no-pay", |case, rng| {
        let idle = rng.within(500, 600);
        let mut with_idle = case.clone();
        for (window, wanted) in with_idle.windows.iter_mut().zip(&subject.terms.windows) {
            if !matches!(wanted.span, Span::Finder | Span::State) {
                window.insert(idle, 0);
            }
        }
        match with_idle.amounts(subject)?.get(&idle) {
            Some(amount) => Err(format!("miner {idle} gets {amount} for no work; {with_idle}")),
            None => Ok(()),
        }
    })
}

pub(super) fn permutation(subject: &Subject<'_>) -> Result<String, String> {
    cases(subject, "permutation", |case, rng| {
        let plain = case.amounts(subject)?;
        let miners =
            case.windows.iter().flat_map(BTreeMap::keys).copied().chain([case.finder]).max().unwrap_or(1);
        let mut names: Vec<u64> = (1..=miners).collect();
        rng.shuffle(&mut names);
        // Not only another order: other numbers too.
        let offset = rng.below(1 << 40);
        let name = |miner: u64| {
            let at = usize::try_from(miner).unwrap_or(0).saturating_sub(1);
            names.get(at).copied().unwrap_or(miner).saturating_add(offset)
        };
        let renamed =
            by_miner(&case.ask(subject, name)?, case.gross).map_err(|why| format!("{why}; {case}"))?;
        for miner in 1..=miners {
            let before = plain.get(&miner).copied().unwrap_or(0);
            let after = renamed.get(&name(miner)).copied().unwrap_or(0);
            if before.abs_diff(after) > 1 {
                return Err(format!("miner {miner} gets {before}, as miner {} {after}; {case}", name(miner)));
            }
        }
        Ok(())
    })
}

pub(super) fn scale(subject: &Subject<'_>) -> Result<String, String> {
    cases(subject, "scale", |case, rng| {
        let by = [2, 3, 1000, 1 << 20].get(rng.below(4) as usize).copied().unwrap_or(2);
        let mut scaled = case.clone();
        for (window, wanted) in scaled.windows.iter_mut().zip(&subject.terms.windows) {
            // Units are relative to the network's work already.
            if calls::in_work(wanted.measure, wanted.span) {
                window.values_mut().for_each(|sum| *sum = sum.saturating_mul(by));
            }
        }
        let (plain, other) = (case.amounts(subject)?, scaled.amounts(subject)?);
        for miner in plain.keys().chain(other.keys()) {
            let (a, b) = (plain.get(miner).copied().unwrap_or(0), other.get(miner).copied().unwrap_or(0));
            if a.abs_diff(b) > 1 {
                return Err(format!(
                    "with all work times {by}, miner {miner} gets {b} instead of {a}; {case}"
                ));
            }
        }
        Ok(())
    })
}

pub(super) fn monotone(subject: &Subject<'_>) -> Result<String, String> {
    cases(subject, "monotone", |case, rng| {
        let Some(miner) = worker(subject, case, rng) else { return Ok(()) };
        let mut more = case.clone();
        for (window, wanted) in more.windows.iter_mut().zip(&subject.terms.windows) {
            if wanted.span != Span::Finder
                && let Some(sum) = window.get_mut(&miner)
            {
                *sum = sum.saturating_add(1 + *sum / (1 + u128::from(rng.below(8))));
            }
        }
        let paid = |amounts: BTreeMap<u64, u64>| amounts.get(&miner).copied().unwrap_or(0);
        let (before, after) = (paid(case.amounts(subject)?), paid(more.amounts(subject)?));
        // Rounding may cost one unit.
        if after.saturating_add(1) < before {
            return Err(format!(
                "miner {miner} gets {before}, and {after} for more work: {case} against {more}"
            ));
        }
        Ok(())
    })
}

pub(super) fn split(subject: &Subject<'_>) -> Result<String, String> {
    cases(subject, "split", |case, rng| {
        let Some(miner) = worker(subject, case, rng) else { return Ok(()) };
        let parts = rng.within(2, 5);
        let mut divided = case.clone();
        for (window, wanted) in divided.windows.iter_mut().zip(&subject.terms.windows) {
            if wanted.span == Span::Finder {
                continue;
            }
            let mut left = window.get(&miner).copied().unwrap_or(0);
            for part in 1..parts {
                // His first self keeps the name, the others are new.
                let piece = if left < 2 { 0 } else { left / (2 + u128::from(rng.below(4))) };
                if piece > 0 {
                    window.insert(1000 + part, piece);
                    left -= piece;
                }
            }
            if left > 0 {
                window.insert(miner, left);
            }
        }
        let (plain, other) = (case.amounts(subject)?, divided.amounts(subject)?);
        let before = plain.get(&miner).copied().unwrap_or(0);
        let after: u128 = std::iter::once(miner)
            .chain((1..parts).map(|part| 1000 + part))
            .map(|name| u128::from(other.get(&name).copied().unwrap_or(0)))
            .sum();
        if u128::from(before).abs_diff(after) > u128::from(parts) {
            return Err(format!(
                "miner {miner} gets {before}, in {parts} parts {after}: {case} against {divided}"
            ));
        }
        Ok(())
    })
}

/// A miner with work in a window of shares.
fn worker(subject: &Subject<'_>, case: &Case, rng: &mut Rng) -> Option<u64> {
    let of_shares =
        case.windows.iter().zip(&subject.terms.windows).filter(|(_, wanted)| wanted.span != Span::Finder);
    let miners: Vec<u64> = of_shares.flat_map(|(window, _)| window.keys().copied()).collect();
    miners.get(rng.below(miners.len() as u64) as usize).copied()
}
