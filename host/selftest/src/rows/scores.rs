//! Row hop/slush: who leaves the rounds of Slush's method when they are old.
//!
//! A pool of 1000 shares to a block, a share every 1.2 s, C = 300 s: a quarter of an expected round. A hopper of next to none of
//! the hashrate has a part of each share that is submitted until he leaves, so he is paid what those shares are. They are one
//! miner's here, the others another's. Nothing is drawn: the round goes on share by share, each could find the block, and what
//! it would pay then is weighed with how likely that is.

use super::{Experiment, Name, enumerated, rounding};
use crate::lab::{Failure, Kept, Lab, REWARD, Scheme, paid};
use crate::{Code, Figure, formulas};
use millpond_contracts::Setting;
use millpond_contracts::payout::Batch;
use millpond_statistics::Estimate;

/// Shares of an expected round.
const SHARES: u64 = 1000;
/// Milliseconds from a share to the next, and C: 250 shares.
const EVERY: u64 = 1200;
const SECONDS: u64 = 300;
/// Rounds of up to so many expected ones are.
const LONGEST: u64 = 10;
const EARLY: u64 = 1;
const LATE: u64 = 2;

/// What the early shares of a round are paid beyond their fair value.
pub(crate) struct Hopper;

impl Hopper {
    /// Shares until he leaves: at the age at which he would leave a proportional round.
    fn leaves() -> u64 {
        (formulas::hopping_age() * SHARES as f64) as u64
    }

    fn expected() -> f64 {
        let growth = (SECONDS * 1000) as f64 / EVERY as f64;
        formulas::early_scores(SHARES as f64, growth, Self::leaves() as f64) - 1.0
    }
}

/// A share of the round.
fn share(number: u64, miner: u64) -> Batch {
    Batch {
        first: number,
        last: number,
        seq: vec![number],
        miner: vec![miner],
        shares: vec![1],
        work: vec![1],
        work_high: vec![0],
        network_low: vec![SHARES],
        network_high: vec![0],
        time_ms: vec![number * EVERY],
        coord: vec![1],
        reward: vec![REWARD],
        subsidy: vec![REWARD],
    }
}

impl Experiment for Hopper {
    fn figures(&self) -> Vec<Figure> {
        let name = Name {
            row: "hop/slush",
            what: "Slush: a hopper's gain for each share that he has in the pool, C = D/4, D = 1000",
            code: Code::Production("slush"),
            formula: "E[(e^(min/C) - 1)/(e^(N/C) - 1)] D/E[min] - 1, min = min(N, x D) at the age x of row 1",
            twin: "C is told as 0.99 of what it is",
        };
        let expected = Self::expected();
        vec![name.planned(expected, Some(0.336), LONGEST * SHARES, rounding(expected))]
    }

    fn run(&self, _: &Lab, twin: bool) -> Result<Vec<Estimate>, Failure> {
        let seconds = if twin { SECONDS / 100 * 99 } else { SECONDS };
        let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
        let slush = Scheme::new("slush", vec![("seconds".to_owned(), Setting::Int(seconds))])?;
        let leaves = Self::leaves();
        let (mut kept, mut pays) = (Kept::default(), 0.0);
        for number in 1..=LONGEST * SHARES {
            let miner = if number <= leaves { EARLY } else { LATE };
            let given = slush.accrue(share(number, miner), kept.of(miner))?;
            kept.keep(&given.state, slush.terms());
            let given = slush.owed(REWARD, kept.state())?;
            let likely = formulas::none_of(SHARES as f64, (number - 1) as f64) / SHARES as f64;
            pays += likely * paid(&given, EARLY) as f64 / REWARD as f64;
        }
        let stays = 1.0 - formulas::none_of(SHARES as f64, leaves as f64);
        Ok(vec![enumerated(pays / stays - 1.0, Self::expected(), LONGEST * SHARES)])
    }
}
