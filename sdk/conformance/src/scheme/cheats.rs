//! Schemes that conserve every unit and still favour somebody. A cheat has to know whom, or when: by his place among
//! equals, by the finder, by what surrounds the income, by what was kept of him, or a unit at a time. What none of these
//! sees is in `docs/conformance.md`.

use super::calls::{Answer, Question, compare};
use super::whole::{STRANGER, with_reserve};
use super::{BY_TIME, Broken, EQUALISED, OWED, Subject};
use crate::facts;
use crate::history::{History, How, Scales, Step};
use crate::recorder::{Asked, Batched};
use crate::rng::Rng;
use millpond_contracts::payout::{Batch, Span};
use millpond_payout::{NoAttributes, SchemeState, allocate};
use millpond_windows::Unpaid;
use std::collections::{BTreeMap, BTreeSet};

pub(super) fn same_as_alone(subject: &Subject<'_>) -> Result<String, Broken> {
    let histories = subject.over_calls("same-as-alone", 2, beside_a_twin)?;
    Ok(format!("{histories} histories"))
}

/// Somebody joins whose work and cells are those of another, in front of all names and behind them.
pub(super) fn beside_a_twin(subject: &Subject<'_>, asked: &Asked, _: &mut Rng) -> Result<(), String> {
    let question = Question::of(subject, asked);
    let names = question.miners();
    let free = names.iter().find_map(|name| name.checked_sub(1).filter(|before| !names.contains(before)));
    for miner in question.workers(subject) {
        if question.income.finder == Some(miner) {
            continue;
        }
        for twin in [free, names.last().and_then(|last| last.checked_add(1))].into_iter().flatten() {
            let mut both = question.clone();
            for window in &mut both.windows {
                if let Some(sum) = window.get(&miner).copied() {
                    window.insert(twin, sum);
                }
            }
            if let Some(row) = both.cells.get(&miner).cloned() {
                both.cells.insert(twin, row);
            }
            // The host's sums fit 128 bits.
            let fits = |window: &BTreeMap<u64, u128>| {
                window.values().try_fold(0_u128, |sum, row| sum.checked_add(*row)).is_some()
            };
            if !both.windows.iter().all(fits) {
                continue;
            }
            let answer = both.ask(subject)?;
            let (one, two) = (answer.paid(miner), answer.paid(twin));
            if one.abs_diff(two) > 1 {
                return Err(format!(
                    "miner {miner} gets {one} and miner {twin}, who has the same, {two}; {}",
                    both.shown()
                ));
            }
        }
    }
    Ok(())
}

pub(super) fn finder_swap(subject: &Subject<'_>) -> Result<String, Broken> {
    if knows_the_finder(subject) {
        return Err(Broken::NotRun("it declares the window of the finder".to_owned()));
    }
    let histories = subject.over_calls("finder-swap", 2, another_finder)?;
    Ok(format!("{histories} histories"))
}

/// Whether it says that it pays the finder.
fn knows_the_finder(subject: &Subject<'_>) -> bool {
    subject.claims("finder-bonus") || subject.terms.windows.iter().any(|window| window.span == Span::Finder)
}

pub(super) fn another_finder(subject: &Subject<'_>, asked: &Asked, _: &mut Rng) -> Result<(), String> {
    if knows_the_finder(subject) {
        return Ok(());
    }
    let question = Question::of(subject, asked);
    let answer = question.ask(subject)?;
    for finder in question.miners().into_iter().map(Some).chain([None]) {
        let mut other = question.clone();
        other.income.finder = finder;
        unchanged(&question, &answer, &other.ask(subject)?, &format!("with the block found by {finder:?}"))?;
    }
    Ok(())
}

fn unchanged(question: &Question, one: &Answer, two: &Answer, what: &str) -> Result<(), String> {
    for miner in question.miners() {
        if one.paid(miner) != two.paid(miner) {
            return Err(format!(
                "miner {miner} gets {}, {what} {}; {}",
                one.paid(miner),
                two.paid(miner),
                question.shown()
            ));
        }
    }
    if one.cells != two.cells || one.memo != two.memo {
        return Err(format!("{what} other state is kept; {}", question.shown()));
    }
    Ok(())
}

pub(super) fn drift(subject: &Subject<'_>) -> Result<String, Broken> {
    let histories = subject.over("drift", 8, Scales::Common, &|history| {
        let heard = subject.heard(history, &How::default())?;
        let mut rng = Rng::new(subject.options.seed, "drift");
        // The newest knows most.
        if let Some(asked) = heard.incomes.last() {
            elsewhere(subject, asked, &mut rng)?;
        }
        if let Some(batched) = heard.batches.last() {
            shares_elsewhere(subject, batched)?;
        }
        Ok(())
    })?;
    Ok(format!("{histories} histories, {} contexts each", ladder().len() * 3 + subject.constants.len() * 9))
}

/// Numbers at which something may begin: powers of 2 and of 10 and what is beside them, halvings, years.
pub(crate) fn ladder() -> Vec<u64> {
    let mut numbers = vec![0, u64::MAX];
    numbers.extend((0..64).map(|bits| 1_u64 << bits));
    numbers.extend((0..20).map(|digits| 10_u64.pow(digits)));
    // Heights: four halvings of Bitcoin from 2024 on. Milliseconds: 2025 to 2045, and the end of 31-bit seconds.
    numbers.extend((4..8).map(|halving| halving * 210_000));
    numbers.extend((0..=20).map(|year| 1_735_689_600_000 + year * 31_557_600_000));
    numbers.push(2_147_483_648_000);
    numbers.sort_unstable();
    numbers.dedup();
    numbers
}

/// Puts a number into what surrounds an income.
type Put = fn(&mut Question, u64);

/// The same windows and cells at another number, time, height and key, and with other incomes.
pub(super) fn elsewhere(subject: &Subject<'_>, asked: &Asked, rng: &mut Rng) -> Result<(), String> {
    if subject.claims("by-context") {
        return Ok(());
    }
    let question = Question::of(subject, asked);
    let answer = question.ask(subject)?;
    let beside = subject.constants.iter().flat_map(|at| [at.saturating_sub(1), *at, at.saturating_add(1)]);
    let numbers: Vec<u64> = ladder().into_iter().chain(beside).collect();
    for number in &numbers {
        let put: [(&str, Put); 3] = [
            ("as income number", |question, number| question.income.seq = number),
            ("at time", |question, number| question.income.time_ms = number),
            ("at height", |question, number| question.income.coord = number),
        ];
        for (what, put) in put {
            let mut other = question.clone();
            put(&mut other, *number);
            unchanged(&question, &answer, &other.ask(subject)?, &format!("{what} {number}"))?;
        }
    }
    for _ in 0..16 {
        let mut other = question.clone();
        other.income.key = (0..32).map(|_| rng.below(256) as u8).collect();
        unchanged(&question, &answer, &other.ask(subject)?, "with another key")?;
    }
    if subject.claims(EQUALISED) {
        return rising(subject, &question, &numbers);
    }
    // Of the largest income everybody's part is known to a fraction.
    let parts = question.of_another(LARGEST).ask(subject)?;
    let owed = subject.claims(OWED).then(|| parts.amounts.values().copied().map(u128::from).sum::<u128>());
    for gross in numbers.iter().filter(|gross| **gross <= LARGEST).flat_map(|at| [*at, at.saturating_add(1)])
    {
        let answer = question.of_another(gross).ask(subject)?;
        // What is owed is paid out of the income and of the reserve, and no more of it than there is.
        let reserve = if subject.terms.reserve { question.income.reserve } else { 0 };
        let (funds, whole) = match owed {
            Some(owed) => (u128::from(gross.saturating_add(reserve)).min(owed), owed.max(1)),
            None => (gross.into(), LARGEST.into()),
        };
        for miner in question.miners() {
            let due = u128::from(parts.paid(miner)) * funds / whole;
            let paid = u128::from(answer.paid(miner));
            if paid.abs_diff(due) > 3 {
                return Err(format!(
                    "of an income of {gross} miner {miner} gets {paid}, and {due} by his part of a large one; {}",
                    question.shown()
                ));
            }
        }
    }
    Ok(())
}

/// An income that pays all that is owed.
const LARGEST: u64 = 1 << 62;

/// A larger income pays nobody less, and all of it what is owed, as far as it reaches but for a unit each.
fn rising(subject: &Subject<'_>, question: &Question, numbers: &[u64]) -> Result<(), String> {
    let owed = question.of_another(LARGEST).ask(subject)?.amounts;
    let whole: u128 = owed.values().copied().map(u128::from).sum();
    let sizes = numbers.iter().filter(|gross| **gross <= LARGEST).flat_map(|at| [*at, at.saturating_add(1)]);
    let mut before = BTreeMap::new();
    for gross in sizes.collect::<BTreeSet<u64>>() {
        let given = question.of_another(gross).ask(subject)?.amounts;
        let sum: u128 = given.values().copied().map(u128::from).sum();
        let funds = u128::from(gross).min(whole);
        if sum > whole || sum.saturating_add(owed.len() as u128) < funds {
            return Err(format!(
                "of an income of {gross} {sum} is paid, and {whole} is owed; {}",
                question.shown()
            ));
        }
        let of = |amounts: &BTreeMap<u64, u64>, miner: u64| amounts.get(&miner).copied().unwrap_or(0);
        for miner in owed.keys() {
            let (less, more, most) = (of(&before, *miner), of(&given, *miner), of(&owed, *miner));
            if less > more || more > most {
                return Err(format!(
                    "of an income of {gross} miner {miner} gets {more}, of less {less}, and is owed {most}; {}",
                    question.shown()
                ));
            }
        }
        before = given;
    }
    Ok(())
}

const AT_TIME: &str = "at time";

fn shares_elsewhere(subject: &Subject<'_>, batched: &Batched) -> Result<(), String> {
    let ask = |batch: &Batch| {
        let done = subject.scheme.accrue(subject.settings, batch, &batched.state);
        done.map(|done| done.value).map_err(|error| error.to_string())
    };
    let first = ask(&batched.batch)?;
    let rows = batched.batch.miner.len() as u64;
    for number in ladder().into_iter().chain(subject.constants.iter().copied()) {
        let from = number.min(u64::MAX - rows);
        let mut others = [batched.batch.clone(), batched.batch.clone(), batched.batch.clone()];
        let [seq, time, coord] = &mut others;
        (from..).zip(&mut seq.seq).for_each(|(number, slot)| *slot = number);
        time.time_ms.iter_mut().for_each(|slot| *slot = number);
        coord.coord.iter_mut().for_each(|slot| *slot = number);
        for (batch, what) in others.iter().zip(["with numbers from", AT_TIME, "at height"]) {
            if what == AT_TIME && subject.claims(BY_TIME) {
                continue;
            }
            if ask(batch)? != first {
                return Err(format!("{rows} shares are credited otherwise {what} {number}"));
            }
        }
    }
    Ok(())
}

/// Somebody's early shares are another's, who is gone when the first comes: from then on he is paid as ever.
pub(super) fn newcomer(subject: &Subject<'_>, history: &History) -> Result<(), String> {
    let history = with_reserve(subject, history);
    let Some(miner) = history.steps.iter().find_map(|step| match step {
        Step::Shares(runs) => runs.first().map(|run| run.miner),
        _ => None,
    }) else {
        return Ok(());
    };
    let incomes = history.steps.len() as u128 + 1;
    for cut in 1..history.steps.len() {
        let mut other = history.clone();
        for step in other.steps.iter_mut().take(cut) {
            let Step::Shares(runs) = step else { continue };
            for run in runs.iter_mut().filter(|run| run.miner == miner) {
                run.miner = STRANGER;
            }
        }
        let own = |name: u64| if name == STRANGER { miner } else { name };
        let what = format!("with those of before step {cut} under another name");
        compare(
            subject,
            &history,
            &other,
            &own,
            |name| if name == miner { 2 * incomes } else { incomes },
            &what,
        )?;
    }
    Ok(())
}

/// Incomes of the long run in which a unit at a time adds up.
const INCOMES: u64 = 400;
/// By so much larger is the income of which everybody's exact part is read.
const FINER: u32 = 20;

/// What everybody got of many incomes less his exact part, against what all did. Rounding by position wanders by the root
/// of the number of incomes. What is rounded down as a sum (a bonus, a window's missing part) is taken from everybody by
/// his work, which is a gain of less than half a unit for who has little. A unit that is taken each time goes beyond both.
pub(super) fn skim(subject: &Subject<'_>) -> Result<String, Broken> {
    let mut rng = Rng::new(subject.options.seed, "skim");
    let incomes = INCOMES;
    // Everybody's part is many units: who gets less than one is rounded otherwise than the others.
    let sums = [977_u128, 977, 331, 50_021, 31_337, 1_000_003, 250_007];
    let miners = sums.len() as u64;
    let window = |span: Span, finder: u64| -> BTreeMap<u64, u128> {
        match span {
            Span::Finder => BTreeMap::from([(finder, 1)]),
            Span::State => BTreeMap::new(),
            // Worth more than any of these incomes.
            Span::Unpaid(_) => (1..).zip(sums.iter().map(|sum| sum << 76)).collect(),
            // Large: units are parts of 2^64.
            _ => (1..).zip(sums.iter().map(|sum| sum << 40)).collect(),
        }
    };
    let state = SchemeState::new(&subject.terms);
    let operator = facts::operator(&subject.bound)?;
    let mut bias = vec![0_i128; sums.len()];
    for number in 1..=incomes {
        let finder = rng.within(1, miners);
        let windows: Vec<_> = subject
            .terms
            .windows
            .iter()
            .map(|wanted| facts::window_sums(window(wanted.span, finder)))
            .collect();
        let amount = rng.within(1 << 34, 1 << 42);
        let ask = |amount: u64| {
            let mut facts = facts::found(number, amount, finder).ok_or("an income without a key")?;
            facts.unpaid = subject.bound.pays_once().map(|_| Unpaid::default());
            allocate(
                &subject.bound,
                operator.as_slice(),
                &facts,
                Default::default(),
                &windows,
                &state,
                &NoAttributes,
            )
            .map(|decision| decision.entry.parts)
            .map_err(|error| error.to_string())
        };
        let (paid, fine) = (ask(amount)?, ask(amount << FINER)?);
        for (sign, parts, scale) in [(1, paid, FINER), (-1, fine, 0)] {
            for (miner, amount) in parts.miners() {
                let at = usize::try_from(miner.0.saturating_sub(1)).unwrap_or(usize::MAX);
                if let Some(sum) = bias.get_mut(at) {
                    *sum += sign * (i128::from(amount.0) << scale);
                }
            }
        }
    }
    subject.recorder.take();
    if bias.iter().all(|sum| *sum == 0) {
        return Err(Broken::NotRun("nothing of an income is rounded among miners".to_owned()));
    }
    let total: i128 = bias.iter().sum();
    let limit = incomes / 2 + 2 * incomes.isqrt();
    for (miner, sum) in (1..).zip(&bias) {
        // Times the number of miners, to stay in integers.
        let off = sum * i128::from(miners) - total;
        let units = (off / i128::from(miners)) >> FINER;
        if off > i128::from(limit * miners) << FINER {
            return Err(Broken::By(format!(
                "over {incomes} incomes miner {miner} of {miners} got {units} units more than his part, where rounding \
                 gives {limit} at most; work {sums:?}"
            )));
        }
    }
    Ok(format!("{incomes} incomes, limit {limit} units"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ladder_has_what_bombs_are_set_to() {
        let ladder = ladder();
        for number in [0, 1, 1_000, 1 << 20, 840_000, 1_050_000, 2_147_483_648_000, u64::MAX] {
            assert!(ladder.binary_search(&number).is_ok(), "{number}");
        }
        assert!(ladder.is_sorted_by(|a, b| a < b));
    }
}
