//! Row 21: a miner who puts a part of his hashrate into a pool and withholds the blocks that it finds there.
//!
//! Of all hashrate he has 20 %: with 15 % he mines alone, 5 % are in a pool of 40 % that is honest, 40 % are elsewhere. Blocks
//! come from 95 %. The pool divides each of its blocks over its round, the withheld shares among them. (I. Eyal, "The
//! Miner's Dilemma", 2015.)

use super::{Experiment, Name, enough, one_of};
use crate::lab::{Failure, Lab, REWARD, Scheme, paid, window};
use crate::{Code, Figure};
use millpond_contracts::Settings;
use millpond_statistics::{Estimate, Merge, Moments};
use millpond_stream::{Alias, Geometric, Purpose};

/// Percents of all hashrate.
const ALONE: u64 = 15;
const WITHHELD: u64 = 5;
const POOL: u64 = 40;
const ELSEWHERE: u64 = 40;
/// Shares of the pool, all in all, until it finds a block.
const SHARES: u64 = 1 << 20;

/// What he earns of all blocks, and what of it comes of the pool.
pub(crate) struct Withholder;

impl Withholder {
    fn blocks() -> f64 {
        (ALONE + POOL + ELSEWHERE) as f64
    }

    fn alone() -> f64 {
        ALONE as f64 / Self::blocks()
    }

    fn pool() -> f64 {
        POOL as f64 / Self::blocks()
    }

    /// His part of a round's shares.
    fn part() -> f64 {
        WITHHELD as f64 / (WITHHELD + POOL) as f64
    }

    fn expected() -> f64 {
        Self::alone() + Self::pool() * Self::part()
    }

    /// Of what a block brings him: all, his part, or nothing.
    fn deviation() -> f64 {
        let square = Self::alone() + Self::pool() * Self::part() * Self::part();
        (square / (Self::expected() * Self::expected()) - 1.0).sqrt()
    }
}

impl Experiment for Withholder {
    fn figures(&self) -> Vec<Figure> {
        let name = |row, what, formula| Name {
            row,
            what,
            code: Code::Production("prop"),
            formula,
            twin: "withheld shares weigh 1.05",
        };
        let samples = enough(Self::deviation());
        let all = name(
            "21",
            "withholding: a miner of 20 %, 5 of it in a pool of 40",
            "0.15/0.95 + 0.40/0.95 · 0.05/0.45",
        );
        let part = name("21-part", "withholding: what of it the pool pays him", "0.40/0.95 · 0.05/0.45");
        let of_blocks = ((1.0 - Self::pool()) / Self::pool()).sqrt();
        vec![
            all.figure(Self::expected(), Some(0.204_678), samples, Self::deviation()),
            part.figure(Self::pool() * Self::part(), None, samples, of_blocks),
        ]
    }

    fn run(&self, lab: &Lab, twin: bool) -> Result<Vec<Estimate>, Failure> {
        let prop = Scheme::new("prop", Settings::new())?;
        let whose = Alias::new(&[ALONE, POOL, ELSEWHERE])?;
        let length = Geometric::new(one_of(SHARES));
        let weight: u64 = if twin { 105 } else { 100 };
        let earned = lab.merged(21, enough(Self::deviation()), |key, samples| {
            let mut owners = key.stream(Purpose::Owner, 0);
            let mut rounds = key.stream(Purpose::Round, 0);
            let mut splits = key.stream(Purpose::Split, 0);
            let mut earned = Earned::default();
            for _ in 0..samples {
                let (alone, part) = match whose.draw(&mut owners) {
                    0 => (1.0, 0.0),
                    1 => {
                        // The last share is the block's, and none of his.
                        let shares = length.draw(&mut rounds);
                        let withheld = splits.binomial(shares - 1, Self::part());
                        let rows =
                            [(1, u128::from(withheld * weight)), (2, u128::from((shares - withheld) * 100))];
                        let given = prop.allocate(REWARD, Some(2), vec![window(&rows)])?;
                        (0.0, paid(&given, 1) as f64 / REWARD as f64)
                    }
                    _ => (0.0, 0.0),
                };
                earned.all.push(alone + part);
                earned.part.push(part);
            }
            Ok(earned)
        })?;
        Ok(vec![earned.all.mean(), earned.part.mean()])
    }
}

/// What blocks brought.
#[derive(Default)]
struct Earned {
    all: Moments,
    part: Moments,
}

impl Merge for Earned {
    fn merge(&mut self, next: &Self) {
        self.all.merge(&next.all);
        self.part.merge(&next.part);
    }
}
