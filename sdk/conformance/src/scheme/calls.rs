//! Properties of one call, on the arguments that generated histories come to: windows, cells and memo are those of a pool
//! in the middle of its life. Where a call alone does not tell (cells have a meaning of their own), two histories are
//! compared.

use super::whole::{STRANGER, with_reserve};
use super::{Broken, Subject, by_miner, single};
use crate::facts;
use crate::history::{History, How, Scales, Shares, Step, run};
use crate::recorder::Asked;
use crate::rng::Rng;
use millpond_contracts::payout::{Allocation, Income, Measure, Span, State, Totals};
use std::collections::{BTreeMap, BTreeSet};

/// A property of one call.
pub(super) type OnCall = fn(&Subject<'_>, &Asked, &mut Rng) -> Result<(), String>;

/// Those that are held on the calls of somebody's own history too.
pub(super) const ON_CALLS: [(&str, &str, OnCall); 6] = [
    ("no-work-no-pay", "a miner without work in any window and without cells gets nothing", worked),
    ("permutation", "renaming and reordering miners changes nothing", renamed),
    ("monotone", "more work never earns less", more),
    ("same-as-alone", "two miners of equal work and equal cells get the same", super::cheats::beside_a_twin),
    ("finder-swap", "who found the block changes nobody's pay", super::cheats::another_finder),
    ("drift", "the same work is paid the same in another context", super::cheats::elsewhere),
];

/// What a call is made of.
#[derive(Clone, Debug)]
pub(super) struct Question {
    pub(super) income: Income,
    pub(super) windows: Vec<BTreeMap<u64, u128>>,
    pub(super) memo: Vec<u8>,
    pub(super) cells: BTreeMap<u64, Vec<u64>>,
}

/// What a call gave.
pub(super) struct Answer {
    pub(super) amounts: BTreeMap<u64, u64>,
    pub(super) cells: BTreeMap<u64, Vec<u64>>,
    pub(super) memo: Vec<u8>,
}

impl Question {
    pub(super) fn of(subject: &Subject<'_>, asked: &Asked) -> Self {
        Self {
            income: asked.income.clone(),
            windows: asked.windows.iter().map(facts::rows).collect(),
            memo: asked.state.memo.clone(),
            cells: facts::cells(&asked.state, subject.terms.cells),
        }
    }

    /// The same question about an income of this much, of which earlier ones left over no more than all.
    pub(super) fn of_another(&self, gross: u64) -> Self {
        let mut other = self.clone();
        let carried = self.income.carried.min(gross);
        other.income = Income { gross, carried, ..other.income };
        other.income.subsidy = self.income.subsidy.map(|_| facts::subsidy(other.income.paid()).0);
        other
    }

    pub(super) fn ask(&self, subject: &Subject<'_>) -> Result<Answer, String> {
        let windows: Vec<Totals> = self.windows.iter().map(facts::columns).collect();
        let state = facts::state(self.memo.clone(), &self.cells);
        let done = subject.scheme.allocate(subject.settings, &self.income, &windows, &state);
        let given = done.map_err(|error| format!("{error}; {}", self.shown()))?.value;
        Answer::of(subject, &given, self.income.gross).map_err(|why| format!("{why}; {}", self.shown()))
    }

    /// Miners that it names.
    pub(super) fn miners(&self) -> BTreeSet<u64> {
        let windows = self.windows.iter().flat_map(|window| window.keys());
        windows.chain(self.cells.keys()).copied().chain(self.income.finder).collect()
    }

    /// Miners with work in a window of shares.
    pub(super) fn workers(&self, subject: &Subject<'_>) -> Vec<u64> {
        let of_shares =
            self.windows.iter().zip(&subject.terms.windows).filter(|(_, wanted)| wanted.span != Span::Finder);
        let miners: BTreeSet<u64> = of_shares.flat_map(|(window, _)| window.keys().copied()).collect();
        miners.into_iter().collect()
    }

    fn renamed(&self, name: &dyn Fn(u64) -> u64) -> Self {
        let mut income = self.income.clone();
        income.finder = income.finder.map(name);
        Self {
            income,
            windows: self
                .windows
                .iter()
                .map(|window| window.iter().map(|(miner, sum)| (name(*miner), *sum)).collect())
                .collect(),
            memo: self.memo.clone(),
            cells: self.cells.iter().map(|(miner, row)| (name(*miner), row.clone())).collect(),
        }
    }

    /// Short enough to be read.
    pub(super) fn shown(&self) -> String {
        let Income { gross, seq, time_ms, coord, finder, .. } = &self.income;
        let finder = finder.map_or_else(|| "nobody".to_owned(), |miner| format!("miner {miner}"));
        let mut text = format!("income {seq} of {gross} found by {finder} at height {coord}, time {time_ms}");
        for (at, window) in self.windows.iter().enumerate() {
            let rows: Vec<String> =
                window.iter().take(8).map(|(miner, sum)| format!("{miner}: {sum}")).collect();
            text.push_str(&format!(", window {at} {{{}}}", rows.join(", ")));
        }
        if !self.cells.is_empty() {
            let rows: Vec<String> =
                self.cells.iter().take(8).map(|(miner, row)| format!("{miner}: {row:?}")).collect();
            text.push_str(&format!(", cells {{{}}}", rows.join(", ")));
        }
        text
    }
}

impl Answer {
    pub(super) fn of(subject: &Subject<'_>, given: &Allocation, gross: u64) -> Result<Self, String> {
        Ok(Self {
            amounts: by_miner(given, gross)?,
            cells: facts::cells(&given.state, subject.terms.cells),
            memo: given.state.memo.clone(),
        })
    }

    pub(super) fn paid(&self, miner: u64) -> u64 {
        self.amounts.get(&miner).copied().unwrap_or(0)
    }
}

impl Subject<'_> {
    /// Holds a property on every call of a history.
    pub(super) fn on_calls(&self, history: &History, held: OnCall) -> Result<(), String> {
        let mut rng = Rng::new(self.options.seed, "calls");
        for asked in self.heard(history, &How::default())?.incomes {
            held(self, &asked, &mut rng)?;
        }
        Ok(())
    }

    pub(super) fn over_calls(&self, name: &str, every: u32, held: OnCall) -> Result<u32, Broken> {
        Ok(self.over(name, every, Scales::Common, &|history| self.on_calls(history, held))?)
    }
}

fn and_cases(histories: u32, cases: Result<String, String>) -> Result<String, Broken> {
    Ok(format!("{histories} histories, {}", cases?))
}

pub(super) fn no_work_no_pay(subject: &Subject<'_>) -> Result<String, Broken> {
    let histories = subject.over_calls("no-work-no-pay", 2, worked)?;
    and_cases(histories, single::no_work_no_pay(subject))
}

fn worked(subject: &Subject<'_>, asked: &Asked, _: &mut Rng) -> Result<(), String> {
    let question = Question::of(subject, asked);
    let answer = Answer::of(subject, &asked.given, asked.income.gross)?;
    for (miner, amount) in &answer.amounts {
        let works = question.windows.iter().any(|window| window.get(miner).is_some_and(|sum| *sum > 0));
        let has = question.cells.get(miner).is_some_and(|row| row.iter().any(|cell| *cell > 0));
        if !works && !has {
            return Err(format!("miner {miner} gets {amount} for no work; {}", question.shown()));
        }
    }
    Ok(())
}

pub(super) fn permutation(subject: &Subject<'_>) -> Result<String, Broken> {
    let histories = subject.over_calls("permutation", 1, renamed)?;
    and_cases(histories, single::permutation(subject))
}

fn renamed(subject: &Subject<'_>, asked: &Asked, rng: &mut Rng) -> Result<(), String> {
    let question = Question::of(subject, asked);
    let answer = Answer::of(subject, &asked.given, asked.income.gross)?;
    let miners: Vec<u64> = question.miners().into_iter().collect();
    let mut names: Vec<u64> = (1..=miners.len() as u64).map(|name| name * 3 + rng.below(3)).collect();
    rng.shuffle(&mut names);
    let names: BTreeMap<u64, u64> = miners.iter().copied().zip(names).collect();
    let name = |miner: u64| names.get(&miner).copied().unwrap_or(miner);
    let other = question.renamed(&name).ask(subject)?;
    for miner in miners {
        let (before, after) = (answer.paid(miner), other.paid(name(miner)));
        if before.abs_diff(after) > 1 {
            return Err(format!(
                "miner {miner} gets {before}, as miner {} {after}; {}",
                name(miner),
                question.shown()
            ));
        }
        let rows = (answer.cells.get(&miner), other.cells.get(&name(miner)));
        let near = |one: &Vec<u64>, two: &Vec<u64>| one.iter().zip(two).all(|(a, b)| a.abs_diff(*b) <= 1);
        let same = match rows {
            (Some(one), Some(two)) => near(one, two),
            (None, None) => true,
            _ => false,
        };
        if !same {
            return Err(format!(
                "miner {miner} keeps {:?}, renamed {:?}; {}",
                rows.0,
                rows.1,
                question.shown()
            ));
        }
    }
    if answer.memo != other.memo {
        return Err(format!("the memo is another when miners are renamed; {}", question.shown()));
    }
    Ok(())
}

pub(super) fn monotone(subject: &Subject<'_>) -> Result<String, Broken> {
    let histories = subject.over_calls("monotone", 2, more)?;
    and_cases(histories, single::monotone(subject))
}

fn more(subject: &Subject<'_>, asked: &Asked, rng: &mut Rng) -> Result<(), String> {
    let question = Question::of(subject, asked);
    let workers = question.workers(subject);
    let Some(miner) = workers.get(rng.below(workers.len() as u64) as usize) else { return Ok(()) };
    let mut other = question.clone();
    for (window, wanted) in other.windows.iter_mut().zip(&subject.terms.windows) {
        if wanted.span != Span::Finder
            && let Some(sum) = window.get_mut(miner)
        {
            *sum = sum.saturating_add(1 + *sum / (1 + u128::from(rng.below(8))));
        }
    }
    let before = Answer::of(subject, &asked.given, asked.income.gross)?.paid(*miner);
    let after = other.ask(subject)?.paid(*miner);
    // Rounding may cost one unit.
    if after.saturating_add(1) < before {
        return Err(format!(
            "miner {miner} gets {before}, and {after} for more work: {} against {}",
            question.shown(),
            other.shown()
        ));
    }
    Ok(())
}

/// What two histories paid, entry by entry, summed over some names; the credits of shares are the first entry.
pub(super) fn compare(
    subject: &Subject<'_>,
    one: &History,
    two: &History,
    selves: &dyn Fn(u64) -> u64,
    slack: impl Fn(u64) -> u128,
    what: &str,
) -> Result<(), String> {
    let (one, two) = (with_reserve(subject, one), with_reserve(subject, two));
    let (one, two) = (run(&subject.bound, &one, &How::apart())?, run(&subject.bound, &two, &How::apart())?);
    for (at, (one, two)) in one.paid().iter().zip(two.paid()).enumerate() {
        let mut merged: BTreeMap<u64, u128> = BTreeMap::new();
        for (miner, amount) in two {
            *merged.entry(selves(miner)).or_default() += amount;
        }
        for miner in one.keys().chain(merged.keys()) {
            let of = |paid: &BTreeMap<u64, u128>| paid.get(miner).copied().unwrap_or(0);
            if of(one).abs_diff(of(&merged)) > slack(*miner) {
                let by = if at == 0 { "for shares".to_owned() } else { format!("of income {at}") };
                return Err(format!("miner {miner} gets {} {by}, {what} {}", of(one), of(&merged)));
            }
        }
    }
    Ok(())
}

pub(super) fn scale(subject: &Subject<'_>) -> Result<String, Broken> {
    let histories = subject.over("scale", 2, Scales::Common, &|history| scaled(subject, history))?;
    if subject.keeps() {
        return Ok(format!("{histories} histories"));
    }
    and_cases(histories, single::scale(subject))
}

fn scaled(subject: &Subject<'_>, history: &History) -> Result<(), String> {
    for by in [2_u32, 3, 1_000, 1 << 20] {
        let mut larger = history.clone();
        larger.network = larger.network.saturating_mul(by.into());
        for step in &mut larger.steps {
            match step {
                Step::Shares(runs) => {
                    runs.iter_mut().for_each(|run| run.work = run.work.saturating_mul(by.into()));
                }
                Step::Retarget(network) => *network = network.saturating_mul(by.into()),
                _ => {}
            }
        }
        let what = format!("with all work times {by}");
        compare(subject, history, &larger, &|miner| miner, |_| 1, &what)?;
    }
    Ok(())
}

pub(super) fn split(subject: &Subject<'_>) -> Result<String, Broken> {
    let histories = subject.over("split", 2, Scales::Common, &|history| parted(subject, history))?;
    if subject.keeps() {
        return Ok(format!("{histories} histories"));
    }
    and_cases(histories, single::split(subject))
}

/// Everybody in turn submits his shares under two and three names.
fn parted(subject: &Subject<'_>, history: &History) -> Result<(), String> {
    let runs = || {
        history.steps.iter().flat_map(|step| match step {
            Step::Shares(runs) => runs.as_slice(),
            _ => &[],
        })
    };
    let miners: BTreeSet<u64> = runs().map(|run| run.miner).collect();
    for victim in miners {
        for parts in [2, 3] {
            let mut other = history.clone();
            let mut next = 0;
            for step in &mut other.steps {
                let Step::Shares(runs) = step else { continue };
                *runs = runs.iter().flat_map(|run| pieces(*run, victim, parts, &mut next)).collect();
            }
            let own = |miner: u64| if miner >= STRANGER { victim } else { miner };
            let slack = |miner: u64| if miner == victim { u128::from(parts) } else { 1 };
            let what = format!("where miner {victim} is in {parts} parts");
            compare(subject, history, &other, &own, slack, &what)?;
        }
    }
    Ok(())
}

/// A run of shares under several names, the first of which is the miner's own.
fn pieces(run: Shares, victim: u64, parts: u64, next: &mut u64) -> Vec<Shares> {
    if run.miner != victim {
        return vec![run];
    }
    let halves = [run.times / 2, run.times - run.times / 2];
    let named = halves.into_iter().filter(|times| *times > 0).map(|times| {
        let part = *next % parts;
        *next += 1;
        let miner = if part == 0 { victim } else { STRANGER + part };
        Shares { miner, work: run.work, times }
    });
    named.collect()
}

/// Whether a window's sums are in the unit of work.
pub(super) fn in_work(measure: Measure, span: Span) -> bool {
    span != Span::Finder && measure == Measure::Work
}

/// No cells and no memo.
pub(super) fn nothing() -> State {
    State::default()
}
