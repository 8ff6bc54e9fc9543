//! The miner who comes and goes. Figures that a proportional round must show: leaving it at 0.435 of the expected
//! length earns a hopper about 1.28 times what the others get (Raulo 2011; Rosenfeld 2011).

use super::Subject;
use crate::history::Direct;
use crate::rng::Rng;
use crate::{LoggedShare, ShareLog};
use std::collections::BTreeMap;

/// What was paid and what was fair, per miner.
type Batch = (BTreeMap<u64, f64>, BTreeMap<u64, f64>);

/// Expected shares per block.
const ROUND: u64 = 60;
/// Incomes of one scenario, and batches of them for the error of the mean.
const BLOCKS: usize = 1500;
const BATCHES: usize = 25;
/// A difference below this is not called an advantage however sure it is.
const LEAST: f64 = 0.03;
/// Large, so that rounding does not show.
const REWARD: u64 = 1_000_000_000_000;
const LOYAL: u64 = 1;
const HOPPER: u64 = 2;

pub(super) fn neutral(subject: &Subject<'_>) -> Result<String, String> {
    let age = advantage(subject, "hopping by the round's age", |_, since_block| {
        // 0.435 of the expected round.
        since_block * 1000 < 435 * ROUND
    })?;
    let retarget = advantage(subject, "hopping before a retarget", |at, _| {
        // The last shares at the high difficulty.
        at % (2 * PERIOD) >= PERIOD - ROUND && at % (2 * PERIOD) < PERIOD
    })?;
    Ok(format!("advantage {age} by the round's age, {retarget} before a retarget"))
}

/// Shares between two retargets in the second scenario.
const PERIOD: u64 = 10 * ROUND;

/// Pay per fair value of the hopper less that of the loyal miner, over one random stream.
fn advantage(
    subject: &Subject<'_>,
    scenario: &str,
    mines: impl Fn(u64, u64) -> bool,
) -> Result<String, String> {
    let retargets = scenario.contains("retarget");
    let mut rng = Rng::new(subject.options.seed, scenario);
    let mut log = ShareLog::default();
    let (mut since_block, mut coord, mut blocks) = (0, 1, 0);
    while blocks < BLOCKS {
        let at = log.0.len() as u64;
        let network = match (retargets, at / PERIOD % 2) {
            (true, 0) => 4 * ROUND,
            _ => ROUND,
        };
        let miner = match rng.below(3) {
            0 => LOYAL,
            1 if mines(at, since_block) => HOPPER,
            _ => 3,
        };
        let block = rng.once_in(network);
        log.0.push(LoggedShare {
            miner,
            work: 1000,
            network: u128::from(network) * 1000,
            time_ms: at * 1000,
            coord,
            reward: REWARD,
            block,
        });
        since_block = if block { 0 } else { since_block + 1 };
        coord += u64::from(block);
        blocks += usize::from(block);
    }

    let mut run = Direct::new(subject.scheme, subject.settings, &subject.terms, &log);
    let mut before = None;
    let mut next = 0;
    let mut batches = vec![(BTreeMap::<u64, f64>::new(), BTreeMap::<u64, f64>::new()); BATCHES];
    for (n, at) in log.blocks().into_iter().enumerate() {
        let Some((paid, fair)) = batches.get_mut(n * BATCHES / BLOCKS) else { break };
        let mut pay = run.allocate(at, before, REWARD)?;
        if subject.terms.batch > 0 {
            for (miner, amount) in run.accrue(next..at + 1, subject.terms.batch as usize)? {
                *pay.entry(miner).or_default() += amount;
            }
        }
        for (miner, amount) in pay {
            *paid.entry(miner).or_default() += amount as f64 / REWARD as f64;
        }
        for share in log.0.get(next..=at).unwrap_or(&[]) {
            *fair.entry(share.miner).or_default() += share.work as f64 / share.network as f64;
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
    let spread: f64 = (0..BATCHES).map(|n| (without(Some(n)) - mean).powi(2)).sum();
    let error = (spread * (count - 1.0) / count).sqrt();
    if mean > LEAST && mean > 4.0 * error {
        return Err(format!(
            "{scenario}: a hopper earns {:.1} % of a fair share's value more than who stays (± {:.1}), over {BLOCKS} \
             incomes",
            mean * 100.0,
            error * 100.0
        ));
    }
    Ok(format!("{:+.1} % ± {:.1}", mean * 100.0, error * 100.0))
}
