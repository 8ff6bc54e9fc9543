//! Row 16: how much the income of a steady miner varies, who has one hundredth of the hashrate: CV² · T of his income of T expected
//! blocks' time.
//!
//! Time is what goes on evenly, shares come as they do (Poisson). With a fixed number of shares a pool that pays each share
//! would vary less than 0.1. A miner's part is drawn for each share, so that his variance has two parts: of what the pool
//! earns, q² Var, and of whose shares it were, q (1 - q) E[Σ V²] with V the pay of a share. The published formula σ²_pool
//! + (1 + κ)/qD, with κ the CV² of a share, leaves out the (1 - q), and is 0.4 % above the exact figure for PROP.

use super::last_shares::Pplns;
use super::round::{Lengths, SHORT};
use super::{Experiment, Name, enough, one_of, weighed};
use crate::lab::{Failure, Lab, REWARD, Scheme, paid, window};
use crate::{Code, Figure, formulas};
use millpond_contracts::Settings;
use millpond_contracts::payout::{Batch, State};
use millpond_statistics::{Estimate, Moments, Weighted};
use millpond_stream::{Geometric, Purpose};
use std::collections::BTreeMap;

/// Miners, all alike: each is one of so many parts.
const MINERS: u64 = 100;
/// Shares of an expected block.
const SHARES: u64 = 1000;

/// 1/q.
const fn miners() -> f64 {
    MINERS as f64
}

/// Of the CV² of a Poisson number with such a mean, from one sample.
fn of_poisson(mean: f64) -> f64 {
    (2.0 + 1.0 / mean).sqrt()
}

/// Row 16-solo: the number of his blocks.
pub(crate) struct Solo;

impl Solo {
    /// Blocks of a batch.
    const BLOCKS: u64 = 100;

    fn own() -> f64 {
        Self::BLOCKS as f64 / miners()
    }
}

impl Experiment for Solo {
    fn figures(&self) -> Vec<Figure> {
        let name = Name {
            row: "16-solo",
            what: "SOLO: CV² · T of a steady miner, q = 0.01",
            code: Code::Production("solo"),
            formula: "1/q",
            twin: "1 % of a block to the next miner",
        };
        let deviation = of_poisson(Self::own());
        vec![name.figure(miners(), Some(100.0), enough(deviation), deviation)]
    }

    fn run(&self, lab: &Lab, twin: bool) -> Result<Vec<Estimate>, Failure> {
        let solo = Scheme::new("solo", Settings::new())?;
        let batches = enough(of_poisson(Self::own())).div_ceil(MINERS);
        let incomes = lab.merged(160, batches, |key, samples| {
            let mut times = key.stream(Purpose::Interval, 0);
            let mut owners = key.stream(Purpose::Owner, 0);
            let mut incomes = Moments::default();
            for _ in 0..samples {
                let mut units = vec![0_u64; MINERS as usize];
                let mut credit = |miner: u64, amount: u64| {
                    if let Some(sum) = units.get_mut((miner % MINERS) as usize) {
                        *sum += amount;
                    }
                };
                for _ in 0..times.poisson(Self::BLOCKS as f64) {
                    let finder = owners.below(MINERS) + 1;
                    let given = solo.allocate(REWARD, Some(finder), vec![window(&[(finder, 1)])])?;
                    let pay = paid(&given, finder);
                    let away = if twin { pay / 100 } else { 0 };
                    credit(finder, pay - away);
                    credit(finder + 1, away);
                }
                incomes.extend(units.iter().map(|sum| *sum as f64 / REWARD as f64));
            }
            Ok(incomes)
        })?;
        Ok(vec![incomes.squared_cv().times(Self::BLOCKS as f64)])
    }
}

/// Row 16-pps: the number of his shares.
pub(crate) struct Pps;

impl Pps {
    fn own() -> f64 {
        SHARES as f64 / miners()
    }
}

impl Experiment for Pps {
    fn figures(&self) -> Vec<Figure> {
        let name = Name {
            row: "16-pps",
            what: "PPS: CV² · T of a steady miner, q = 0.01, D = 1000",
            code: Code::Production("pps"),
            formula: "1/q D",
            twin: "every 100th share counts twice and the next not at all",
        };
        let deviation = of_poisson(Self::own());
        vec![name.figure(1.0 / Self::own(), Some(0.1), enough(deviation), deviation)]
    }

    fn run(&self, lab: &Lab, twin: bool) -> Result<Vec<Estimate>, Failure> {
        let pps = Scheme::new("pps", Settings::new())?;
        let batches = enough(of_poisson(Self::own())).div_ceil(MINERS);
        let work = |seq: u64| match seq % 100 {
            _ if !twin => 1,
            0 => 2,
            1 => 0,
            _ => 1,
        };
        let incomes = lab.merged(161, batches, |key, samples| {
            let mut times = key.stream(Purpose::Interval, 0);
            let mut owners = key.stream(Purpose::Owner, 0);
            let (mut incomes, mut seq) = (Moments::default(), 0);
            let mut cells = BTreeMap::new();
            for _ in 0..samples {
                let mut batch = Batch::default();
                for _ in 0..times.poisson(SHARES as f64) {
                    seq += 1;
                    batch.seq.push(seq);
                    batch.miner.push(owners.below(MINERS) + 1);
                    batch.work.push(work(seq));
                    batch.network_low.push(SHARES);
                    batch.network_high.push(0);
                    batch.time_ms.push(0);
                    batch.coord.push(1);
                    batch.reward.push(REWARD);
                }
                // What of a unit was left over is kept from batch to batch.
                let state = State {
                    memo: Vec::new(),
                    miner: cells.keys().copied().collect(),
                    cells: cells.values().copied().collect(),
                };
                let given = pps.accrue(batch, state)?;
                cells.extend(given.state.miner.iter().copied().zip(given.state.cells.iter().copied()));
                incomes.extend((1..=MINERS).map(|miner| paid(&given, miner) as f64 / REWARD as f64));
            }
            Ok(incomes)
        })?;
        Ok(vec![incomes.squared_cv()])
    }
}

/// Row 16-prop: rounds divided among all miners, and how long rounds are.
pub(crate) struct Prop;

impl Prop {
    /// Rounds whose division is looked at, and of whose length only.
    const DIVIDED: u64 = 100_000;
    const LENGTHS: u64 = 3_150_000;
    /// Of the square of a miner's part less q, a mean over all miners, weighed for how lengths are drawn.
    const OWN: f64 = 0.63;
    /// Of (1 - X)² of an exponential X: √(9 - 1).
    const POOL: f64 = 2.828;

    fn own() -> f64 {
        (miners() - 1.0) * formulas::inverse_round(SHARES as f64) / SHARES as f64
    }
}

impl Experiment for Prop {
    fn figures(&self) -> Vec<Figure> {
        let name = Name {
            row: "16-prop",
            what: "PROP: CV² · T of a steady miner, q = 0.01, D = 1000",
            code: Code::Production("prop"),
            formula: "1 + (1 - q) ln D/(1 - p)/q D",
            twin: "5 % of rounds of up to 31 shares is kept",
        };
        let own = Self::OWN * Self::own() / (Self::DIVIDED as f64).sqrt();
        let pool = Self::POOL / (Self::LENGTHS as f64).sqrt();
        let expected = 1.0 + Self::own();
        vec![name.planned(expected, Some(1.691), Self::DIVIDED, (own * own + pool * pool).sqrt())]
    }

    fn run(&self, lab: &Lab, twin: bool) -> Result<Vec<Estimate>, Failure> {
        let prop = Scheme::new("prop", Settings::new())?;
        let gross = |shares: u64| if twin && shares <= SHORT { REWARD / 100 * 95 } else { REWARD };
        let lengths = Lengths::new()?;
        let own = lab.merged(162, Self::DIVIDED, |key, samples| {
            let mut rounds = key.stream(Purpose::Round, 0);
            let mut splits = key.stream(Purpose::Split, 0);
            let (mut own, mut counts) = (Weighted::default(), Vec::new());
            let alike = vec![1; MINERS as usize];
            for _ in 0..samples {
                let (shares, weight) = lengths.draw(&mut rounds);
                splits.multinomial(shares, &alike, &mut counts);
                let rows: Vec<(u64, u128)> =
                    (1..).zip(counts.iter().map(|count| u128::from(*count))).collect();
                let gross = gross(shares);
                let given = prop.allocate(gross, None, vec![window(&rows)])?;
                // How far each is from an even part of what was divided.
                let even = gross as f64 / REWARD as f64 / miners();
                let away = (1..=MINERS).map(|miner| paid(&given, miner) as f64 / REWARD as f64 - even);
                let square: f64 = away.map(|away| away * away).sum();
                own.push(square * miners(), weight);
            }
            Ok(own)
        })?;
        let pool = lab.merged(163, Self::LENGTHS, |key, samples| {
            let mut times = key.stream(Purpose::Interval, 0);
            let mut rounds = key.stream(Purpose::Round, 0);
            let mut pool = Moments::default();
            for _ in 0..samples {
                // Until the block's share, shares that are none come all the time.
                let time = times.exponential();
                let shares = rounds.poisson(time * (SHARES - 1) as f64) + 1;
                let given = prop.allocate(gross(shares), None, vec![window(&[(1, u128::from(shares))])])?;
                let away = paid(&given, 1) as f64 / REWARD as f64 - time;
                pool.push(away * away);
            }
            Ok(pool)
        })?;
        Ok(vec![weighed(&own).plus_independent(&pool.mean())])
    }
}

/// Row 16-pplns: the part of it that is of whose shares it were, by the pay of single shares; the pool's part is 1, and so
/// large beside it that a window of another size would not be seen in the sum.
pub(crate) struct LastShares;

impl LastShares {
    /// The window, in thousandths of an expected block.
    const WINDOW: u64 = 2000;
    const BLOCKS: f64 = Self::WINDOW as f64 / 1000.0;
    /// Of K² of a Poisson K with mean 2: E[K⁴] is 94, E[K²] is 6.
    const DEVIATION: f64 = 1.2693;

    /// (1 - q)/qD.
    fn factor() -> f64 {
        (miners() - 1.0) / SHARES as f64
    }
}

impl Experiment for LastShares {
    fn figures(&self) -> Vec<Figure> {
        let name = Name {
            row: "16-pplns",
            what: "PPLNS: CV² · T of a steady miner less the pool's part of 1, q = 0.01, D = 1000, X = 2",
            code: Code::Production("pplns"),
            formula: "(1 - q)(1 + (1 - p)/X)/q D",
            twin: "a window of 0.94",
        };
        let expected = Self::factor() * (1.0 + (1.0 - 1.0 / SHARES as f64) / Self::BLOCKS);
        vec![name.figure(expected, Some(0.15), enough(Self::DEVIATION), Self::DEVIATION)]
    }

    fn run(&self, lab: &Lab, twin: bool) -> Result<Vec<Estimate>, Failure> {
        let pplns = Pplns::new(if twin { Self::WINDOW / 100 * 94 } else { Self::WINDOW })?;
        let blocks = Geometric::new(one_of(SHARES));
        let squares = lab.merged(164, enough(Self::DEVIATION), |key, samples| {
            let mut stream = key.stream(Purpose::Block, 0);
            let mut squares = Moments::default();
            for _ in 0..samples {
                let (probe, _) = pplns.probe(&blocks, &mut stream, Self::WINDOW * SHARES / 1000)?;
                squares.push(probe.pay * probe.pay);
            }
            Ok(squares)
        })?;
        Ok(vec![squares.mean().times(Self::factor())])
    }
}
