//! Who mines with how much.

use crate::SimulateError;
use crate::scenario::{Miners, Scenario, Spread};
use millpond_stream::{Alias, Key, Purpose, maths};

/// One miner.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Miner {
    pub(crate) class: u32,
    /// Of a share.
    pub(crate) work: u64,
    /// Work a second, at the beginning.
    pub(crate) rate: f64,
    /// His part of all work, at the beginning.
    pub(crate) part: f64,
}

/// All miners, class by class.
pub(crate) fn miners(scenario: &Scenario, key: Key) -> Vec<Miner> {
    let mut all = Vec::new();
    for (class, section) in (0..).zip(&scenario.miners) {
        let parts = parts(section, key, class);
        let sum: f64 = parts.iter().sum();
        let rate = section.hashrate.get() as f64;
        all.extend(parts.iter().map(|part| Miner {
            class,
            work: section.work.get(),
            rate: rate * part / sum,
            part: 0.0,
        }));
    }
    let sum: f64 = all.iter().map(|miner| miner.rate).sum();
    for miner in &mut all {
        miner.part = miner.rate / sum;
    }
    all
}

fn parts(section: &Miners, key: Key, class: u32) -> Vec<f64> {
    let count = section.count.get();
    let mut stream = key.stream(Purpose::Hashrate, class);
    let part = |place: u32| match section.spread {
        Spread::Equal => 1.0,
        Spread::Zipf { exponent } => maths::power(f64::from(place), -exponent.0),
        Spread::Lognormal { sigma } => maths::exp(sigma.0 * stream.normal()),
    };
    (1..=count).map(part).collect()
}

/// Who finds the next share, and how many come a second; with each class's hashrate at so many times its beginning.
pub(crate) fn draws(miners: &[Miner], times: &[f64]) -> Result<(Alias, f64), SimulateError> {
    /// Far above the number of miners, and all of them together below 2^64.
    const SCALE: f64 = 9_007_199_254_740_992.0;
    let rate = |miner: &Miner| {
        let times = times.get(miner.class as usize).copied().unwrap_or(1.0);
        miner.rate * times / miner.work as f64
    };
    let sum: f64 = miners.iter().map(rate).sum();
    let weights: Vec<u64> = miners.iter().map(|miner| (rate(miner) / sum * SCALE) as u64).collect();
    Ok((Alias::new(&weights)?, sum))
}
