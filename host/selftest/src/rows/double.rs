//! Rows 12, 13 and 16-dgm: the double geometric method. (M. Rosenfeld, "Analysis of Bitcoin pooled mining reward systems", 2011, section 5.2.)
//!
//! A pool of 40 shares to a block is run through `dgm`, share by share and block by block. Every twentieth share is a miner's of his own,
//! and followed until nothing of its score is left. Shares near each other are paid alike, so a whole history is one sample.
//! At 40 shares to a block the exact formulas are 3 % beside those for many, which is what the rows can tell.

use super::{Experiment, Name, enough, one_of};
use crate::lab::{Failure, Kept, Lab, REWARD, Scheme};
use crate::{Code, Figure};
use millpond_contracts::payout::Batch;
use millpond_contracts::{Setting, Settings};
use millpond_statistics::{Estimate, Merge, Moments, Pairs};
use millpond_stream::{Geometric, Purpose, Stream};
use std::collections::BTreeMap;

/// Shares of an expected block.
const SHARES: u64 = 40;
/// The part of an income that the operator keeps on average, and of a score that a block leaves, in ten-thousandths.
const C: i64 = 3000;
const O: i64 = 7000;
/// Shares of a history that are followed, and how many there are to one of them.
const FOLLOWED: u64 = 200;
const EVERY: u64 = 20;
/// Blocks after which nothing is left of a share: a block's time and the block itself leave 0.35 of it, on average.
const BLOCKS: u64 = 13;
/// The miner whose shares nobody follows; the others are above him.
const OTHERS: u64 = 1;

/// What a share is paid in all, how much that varies, and when.
pub(crate) struct Share;

/// A part in ten-thousandths.
fn part(basis: i64) -> f64 {
    basis as f64 / 10_000.0
}

impl Share {
    /// Of a history's mean square distance from the mean, of its mean, and of its mean delay; measured.
    const VARIANCE: f64 = 0.1246;
    const MEAN: f64 = 0.0700;
    const DELAY: f64 = 0.0343;
    /// Of the mean square of what a history's blocks pay, measured too.
    const POOL: f64 = 0.0600;
}

/// A share that is followed.
#[derive(Clone, Copy, Default)]
struct Probe {
    place: u64,
    /// Blocks since.
    blocks: u64,
    /// In units of the fair value.
    paid: f64,
    /// Payments times their delays in expected blocks.
    delayed: f64,
}

/// What a history came to.
#[derive(Default)]
struct History {
    probes: Vec<Probe>,
    /// Squares of what blocks paid in all, in incomes, and how many blocks, from where scores are what they are in the mean.
    squares: f64,
    blocks: u64,
}

/// Runs a pool until all that are followed are paid.
fn history(dgm: &Scheme, blocks: &Geometric, stream: &mut Stream) -> Result<History, Failure> {
    let (mut kept, mut place) = (Kept::default(), 0_u64);
    let (mut followed, mut history) = (BTreeMap::<u64, Probe>::new(), History::default());
    let mut begun = 0;
    while (history.probes.len() as u64) < FOLLOWED {
        let mut batch = Batch::default();
        for _ in 0..blocks.draw(stream) {
            let next = place / EVERY;
            let miner = if place.is_multiple_of(EVERY) && next < FOLLOWED {
                followed.insert(OTHERS + 1 + next, Probe { place, ..Probe::default() });
                OTHERS + 1 + next
            } else {
                OTHERS
            };
            batch.seq.push(place + 1);
            batch.miner.push(miner);
            batch.shares.push(1);
            batch.work.push(1);
            batch.work_high.push(0);
            batch.network_low.push(SHARES);
            batch.network_high.push(0);
            batch.time_ms.push(0);
            batch.coord.push(1);
            batch.reward.push(REWARD);
            batch.subsidy.push(REWARD);
            place += 1;
        }
        (batch.first, batch.last) = (place + 1 - batch.seq.len() as u64, place);
        let given = dgm.accrue(batch, kept.of(OTHERS))?;
        kept.keep(&given.state, dgm.terms());
        let given = dgm.owed(REWARD, kept.state())?;
        kept.keep(&given.state, dgm.terms());
        begun += 1;
        if begun > BLOCKS {
            let paid = given.amount.iter().map(|amount| *amount as f64).sum::<f64>() / REWARD as f64;
            (history.squares, history.blocks) = (history.squares + paid * paid, history.blocks + 1);
        }
        for (miner, amount) in given.miner.iter().zip(&given.amount) {
            if let Some(probe) = followed.get_mut(miner) {
                let pay = *amount as f64 / REWARD as f64 * SHARES as f64;
                probe.paid += pay;
                probe.delayed += pay * (place - 1 - probe.place) as f64 / SHARES as f64;
            }
        }
        followed.values_mut().for_each(|probe| probe.blocks += 1);
        while let Some(oldest) = followed.first_entry().filter(|oldest| oldest.get().blocks >= BLOCKS) {
            kept.forget(*oldest.key());
            history.probes.push(oldest.remove());
        }
    }
    Ok(history)
}

impl Experiment for Share {
    fn figures(&self) -> Vec<Figure> {
        let name = |row, what, formula| Name {
            row,
            what,
            code: Code::Production("dgm"),
            formula,
            twin: "c is 1.01 of what is told",
        };
        let (c, o, p) = (part(C), part(O), 1.0 / SHARES as f64);
        let spread = (2.0 - c + c * o) * c + (1.0 - c) * (1.0 - c) * (1.0 - o) * p;
        let square = (1.0 - c) * (1.0 - c);
        let variance = square * square * (1.0 - o) * (1.0 - p) / spread;
        let samples = enough(Self::VARIANCE);
        let mean = name("12-mean", "DGM: pay of a share in p B, c = 0.3, o = 0.7, D = 40", "1 - c");
        let varies = name(
            "12",
            "DGM: variance of a share's pay in p²B², D = 40",
            "(1-c)^4 (1-o)(1-p)/((2-c+co) c + (1-c)²(1-o) p)",
        );
        // The mean square of all scores S, in B²: r S' is S + p, or o S + p behind a block, and both have the same mean square.
        let (a, r) = ((1.0 - c) * (1.0 - o) / c, 1.0 + p * (1.0 - c) * (1.0 - o) / c);
        let scores =
            (2.0 * p / (a + 1.0 - o) * (1.0 - p * (1.0 - o)) + p * p) / (r * r - 1.0 + p * (1.0 - o * o));
        let steady = name(
            "16-dgm",
            "DGM: CV² · T of what the pool pays for its blocks, c = 0.3, o = 0.7, D = 40",
            "(1-p)(2p (1-p(1-o))/(a+1-o) + p²) a²/(r²-1+p(1-o²))",
        );
        let late = name("13", "DGM: mean delay of pay, in blocks, D = 40", "c/(1 - o) - c p");
        vec![
            varies.figure(variance, Some(0.125_55), samples, Self::VARIANCE),
            mean.figure(1.0 - c, None, samples, Self::MEAN),
            late.figure(c / (1.0 - o) - c * p, Some(1.0), samples, Self::DELAY),
            steady.figure((1.0 - p) * a * a * scores, Some(0.513_1), samples, Self::POOL),
        ]
    }

    fn run(&self, lab: &Lab, twin: bool) -> Result<Vec<Estimate>, Failure> {
        let blocks = Geometric::new(one_of(SHARES));
        let c = if twin { C / 100 * 101 } else { C };
        let settings: Settings =
            vec![("c_bp".to_owned(), Setting::Int(c)), ("o_bp".to_owned(), Setting::Int(O))];
        let dgm = Scheme::new("dgm", settings)?;
        let mean = 1.0 - part(C);
        let found = lab.merged(12, enough(Self::VARIANCE), |key, samples| {
            let mut stream = key.stream(Purpose::Block, 0);
            let mut found = Found::default();
            for _ in 0..samples {
                let History { probes, squares, blocks: counted } = history(&dgm, &blocks, &mut stream)?;
                let of =
                    |what: &dyn Fn(&Probe) -> f64| probes.iter().map(what).sum::<f64>() / probes.len() as f64;
                found.variance.push(of(&|probe| (probe.paid - mean) * (probe.paid - mean)));
                found.pay.push(of(&|probe| probe.paid));
                found.steady.push(squares, counted as f64);
                found.delay.push(of(&|probe| probe.delayed), of(&|probe| probe.paid));
            }
            Ok(found)
        })?;
        // What all are paid in a long time varies by what a block pays, S a, beside a martingale with its own p: so by (1 - p) E[(S a)²].
        let steady = found.steady.ratio().times(1.0 - 1.0 / SHARES as f64);
        Ok(vec![found.variance.mean(), found.pay.mean(), found.delay.ratio(), steady])
    }
}

/// Of each history: the mean square distance from the mean that is told, the mean, and pay times delay beside pay.
#[derive(Default)]
struct Found {
    variance: Moments,
    pay: Moments,
    delay: Pairs,
    /// Squares of blocks' pays, and blocks.
    steady: Pairs,
}

impl Merge for Found {
    fn merge(&mut self, next: &Self) {
        self.variance.merge(&next.variance);
        self.pay.merge(&next.pay);
        self.delay.merge(&next.delay);
        self.steady.merge(&next.steady);
    }
}
