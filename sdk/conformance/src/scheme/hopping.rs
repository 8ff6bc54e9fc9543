//! The miner who comes and goes. Figures that a proportional round must show: leaving it at 0.435 of the expected
//! length earns a hopper about 1.28 times what the others get (Raulo 2011; Rosenfeld 2011).
//!
//! Shares are given to the scheme up to the one that found a block, and then the block is divided, as a pool does it.

use super::{Broken, Subject, by_miner};
use crate::rng::Rng;
use crate::{LoggedShare, ShareLog, facts};
use millpond_contracts::payout::{State, Totals};
use std::collections::BTreeMap;

/// What was paid and what was fair, per miner.
type Batch = (BTreeMap<u64, f64>, BTreeMap<u64, f64>);

/// Expected shares per block.
const ROUND: u64 = 60;
/// Incomes of one scenario, and batches of them for the error of the mean.
const BLOCKS: usize = 6_000;
const BATCHES: usize = 50;
/// A difference below this is not called an advantage however sure it is.
const LEAST: f64 = 0.01;
/// Large, so that rounding does not show.
const REWARD: u64 = 1_000_000_000_000;
const LOYAL: u64 = 1;
const HOPPER: u64 = 2;
/// Shares between two changes of the world.
const PERIOD: u64 = 10 * ROUND;

/// How the world changes, and when the hopper mines; all by the number of shares.
struct Scenario {
    name: &'static str,
    /// The network's shares per block.
    network: fn(u64) -> u64,
    reward: fn(u64) -> u64,
    /// The pool's other miners, in thirds of the common rate.
    others: fn(u64) -> u64,
    /// By the share's number, and the shares since the last block.
    mines: fn(u64, u64) -> bool,
}

fn odd(at: u64) -> bool {
    at / PERIOD % 2 == 1
}

/// The last expected round of a period of one kind.
fn last_of(at: u64, kind: bool) -> bool {
    odd(at) == kind && at % PERIOD >= PERIOD - ROUND
}

const AGE: Scenario = Scenario {
    name: "hopping by the round's age",
    network: |_| ROUND,
    reward: |_| REWARD,
    others: |_| 3,
    // 0.435 of the expected round.
    mines: |_, age| age * 1000 < 435 * ROUND,
};

const EASIER: Scenario = Scenario {
    name: "hopping before a retarget",
    network: |at| if odd(at) { ROUND } else { 4 * ROUND },
    reward: |_| REWARD,
    others: |_| 3,
    mines: |at, _| last_of(at, false),
};

const HARDER: Scenario = Scenario {
    name: "hopping before a retarget upwards",
    network: |at| if odd(at) { 4 * ROUND } else { ROUND },
    reward: |_| REWARD,
    others: |_| 3,
    mines: |at, _| last_of(at, false),
};

const STEP: Scenario = Scenario {
    name: "hopping behind a step of the pool's hashrate",
    network: |_| ROUND,
    reward: |_| REWARD,
    others: |at| if odd(at) { 9 } else { 3 },
    mines: |at, _| odd(at) && at % PERIOD < ROUND,
};

const HALVING: Scenario = Scenario {
    name: "hopping before a halving",
    network: |_| ROUND,
    reward: |at| if odd(at) { REWARD / 2 } else { REWARD },
    others: |_| 3,
    // Work that is paid at the lower reward is left to others.
    mines: |at, _| last_of(at, true),
};

pub(super) fn neutral(subject: &Subject<'_>) -> Result<String, Broken> {
    let mut told = Vec::new();
    for scenario in [AGE, EASIER, HARDER, STEP] {
        told.push(advantage(subject, &scenario)?);
    }
    if !subject.claims("amplified") {
        told.push("a halving of the reward is not claimed to be safe (amplified)".to_owned());
    }
    Ok(told.join("; "))
}

pub(super) fn halving(subject: &Subject<'_>) -> Result<String, Broken> {
    Ok(advantage(subject, &HALVING)?)
}

fn log(subject: &Subject<'_>, scenario: &Scenario) -> ShareLog {
    let mut rng = Rng::new(subject.options.seed, scenario.name);
    let mut log = ShareLog::default();
    let (mut since_block, mut coord, mut blocks, mut time_ms) = (0, 1, 0, 0_u64);
    while blocks < BLOCKS {
        let at = log.0.len() as u64;
        let network = (scenario.network)(at);
        let others = (scenario.others)(at);
        let miner = match rng.below(others + 6) {
            0..3 => LOYAL,
            3..6 if (scenario.mines)(at, since_block) => HOPPER,
            _ => 3,
        };
        let block = rng.once_in(network);
        log.0.push(LoggedShare {
            miner,
            work: 1000,
            network: u128::from(network) * 1000,
            time_ms,
            coord,
            reward: (scenario.reward)(at),
            block,
        });
        // With more miners shares come faster.
        time_ms += 9_000 / (others + 6);
        since_block = if block { 0 } else { since_block + 1 };
        coord += u64::from(block);
        blocks += usize::from(block);
    }
    log
}

/// A scheme over a log: every miner under his own name, no second run.
struct Direct<'a> {
    subject: &'a Subject<'a>,
    log: &'a ShareLog,
    memo: Vec<u8>,
    cells: BTreeMap<u64, Vec<u64>>,
}

impl Direct<'_> {
    fn state(&self) -> State {
        facts::state(self.memo.clone(), &self.cells)
    }

    fn keep(&mut self, state: &State) {
        if !state.memo.is_empty() {
            self.memo.clone_from(&state.memo);
        }
        self.cells.extend(facts::cells(state, self.subject.terms.cells));
    }

    /// Credits of shares, then what the block behind them pays.
    fn pay(
        &mut self,
        number: u64,
        from: usize,
        at: usize,
        before: Option<usize>,
    ) -> Result<BTreeMap<u64, u64>, String> {
        let (scheme, settings) = (self.subject.scheme, self.subject.settings);
        let mut pay = BTreeMap::<u64, u64>::new();
        let size = self.subject.terms.batch as usize;
        let shares = self.log.0.get(from..=at).unwrap_or(&[]);
        for (n, chunk) in shares.chunks(size.max(1)).enumerate().take_while(|_| size > 0) {
            let batch = facts::batch((from + n * size) as u64 + 1, chunk);
            let given =
                scheme.accrue(settings, &batch, &self.state()).map_err(|error| error.to_string())?.value;
            self.keep(&given.state);
            for (miner, amount) in given.miner.iter().zip(&given.amount) {
                let sum = pay.entry(*miner).or_default();
                *sum = sum.saturating_add(*amount);
            }
        }
        let share = self.log.0.get(at).ok_or("the log has no such share")?;
        let income = facts::income(number, share.reward, share);
        let windows = self.log.windows(&self.subject.terms, at, before);
        let windows: Vec<Totals> = windows.iter().map(facts::columns).collect();
        let done = scheme.allocate(settings, &income, &windows, &self.state());
        let given = done.map_err(|error| error.to_string())?.value;
        self.keep(&given.state);
        for (miner, amount) in by_miner(&given, share.reward)? {
            let sum = pay.entry(miner).or_default();
            *sum = sum.saturating_add(amount);
        }
        Ok(pay)
    }
}

/// Pay per fair value of the hopper less that of the loyal miner, over one random stream.
fn advantage(subject: &Subject<'_>, scenario: &Scenario) -> Result<String, String> {
    let log = log(subject, scenario);
    let mut run = Direct { subject, log: &log, memo: Vec::new(), cells: BTreeMap::new() };
    let (mut before, mut next) = (None, 0);
    let mut batches = vec![(BTreeMap::<u64, f64>::new(), BTreeMap::<u64, f64>::new()); BATCHES];
    for (n, at) in log.blocks().into_iter().enumerate() {
        let Some((paid, fair)) = batches.get_mut(n * BATCHES / BLOCKS) else { break };
        for (miner, amount) in run.pay(n as u64 + 1, next, at, before)? {
            *paid.entry(miner).or_default() += amount as f64 / REWARD as f64;
        }
        for share in log.0.get(next..=at).unwrap_or(&[]) {
            let value = share.work as f64 / share.network as f64 * (share.reward as f64 / REWARD as f64);
            *fair.entry(share.miner).or_default() += value;
        }
        (before, next) = (Some(at), at + 1);
    }
    // Over all batches but one: a batch alone is paid for work of the one before.
    let without = |left_out: Option<usize>| {
        let ratio = |wanted: u64| {
            let sum = |part: fn(&Batch) -> &BTreeMap<u64, f64>| {
                let kept = batches.iter().enumerate().filter(|(n, _)| Some(*n) != left_out);
                kept.filter_map(|(_, batch)| part(batch).get(&wanted)).sum::<f64>()
            };
            let fair = sum(|batch| &batch.1);
            if fair > 0.0 { sum(|batch| &batch.0) / fair } else { 0.0 }
        };
        ratio(HOPPER) - ratio(LOYAL)
    };
    let mean = without(None);
    // The jackknife's error of a ratio.
    let count = BATCHES as f64;
    let spread: f64 = (0..BATCHES).map(|n| without(Some(n)) - mean).map(|off| off * off).sum();
    let error = (spread * (count - 1.0) / count).sqrt();
    let name = scenario.name;
    if mean > LEAST && mean > 4.0 * error {
        return Err(format!(
            "{name}: a hopper earns {:.1} % of a fair share's value more than who stays (± {:.1}), over {BLOCKS} \
             incomes",
            mean * 100.0,
            error * 100.0
        ));
    }
    // What it would have seen in nearly every run: 4 for the verdict, 4 for being sure of it.
    let seen = (8.0 * error).max(LEAST);
    Ok(format!("{name} {:+.1} % ± {:.1}, {:.0} % would show", mean * 100.0, error * 100.0, seen * 100.0))
}
