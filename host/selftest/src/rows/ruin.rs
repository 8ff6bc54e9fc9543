//! Rows 17 and 17c: the reserve of a pool that pays each share.
//!
//! The expected reward that a share's job states is 95 % of what a block brings: a fee of 5 %. With 95 shares to an expected block,
//! each is credited a hundredth of a block's income, and a block brings a hundred credits: a walk down by one and up by
//! 99, whose ruin is known exactly. (The published figures are for credits without a size, 3 % beside it.)
//!
//! A pool with a fee is ruined seldom. So blocks are drawn less often, by D. Siegmund's exponential tilt a bit beyond the one under which
//! every path of a ruin has the same weight, and weighed. Under that very tilt the weights alone would give the figure, whatever happens on
//! the way; a bit beyond, it takes the paths.

use super::{Experiment, Name, enough, weighed};
use crate::lab::{Failure, Lab, Scheme};
use crate::{Code, Figure, formulas};
use millpond_contracts::Settings;
use millpond_contracts::payout::{Batch, State};
use millpond_statistics::{Estimate, Weighted};
use millpond_stream::maths::{UNIT, exp, ln};
use millpond_stream::{Geometric, Purpose, Stream, Tilt};

/// Shares of an expected block.
const SHARES: u64 = 95;
/// Credits that a block brings.
const CREDITS: u64 = 100;
/// What a share is credited.
const CREDIT: u64 = 100_000_000;

/// A reserve and how often it is spent.
pub(crate) struct Ruin {
    row: &'static str,
    what: &'static str,
    formula: &'static str,
    /// In credits.
    reserve: u64,
    published: f64,
    /// The tilt, by the one under which all weights are alike.
    beyond: f64,
    /// Of a path's weight. It goes with how far beyond the tilt is, and with the root of the reserve; measured.
    deviation: f64,
    streams: u64,
}

impl Ruin {
    /// Row 17: 29.96 times what a block brings.
    pub(crate) const fn usual() -> Self {
        Self {
            row: "17",
            what: "PPS: ruin with a fee of 5 % and a reserve of 29.96 blocks, D = 95",
            formula: "e^(-rho R)",
            reserve: 2996,
            published: 0.045_05,
            beyond: 1.015,
            deviation: 0.0355,
            streams: 17,
        }
    }

    /// Row 17c: the reserve for a ruin of 0.1 %, ln 1000/ρ to the next credit. For a block of 50 that is 3304.
    pub(crate) fn wanted() -> Self {
        let rho = formulas::ruin_exponent(SHARES as f64, CREDITS as f64);
        Self {
            row: "17c",
            what: "PPS: ruin with the reserve that is to leave 0.1 %, 3304 of 50 a block",
            formula: "e^(-rho R) at R = ln 1000/rho, to the next credit",
            reserve: (ln(1000.0) / rho).ceil() as u64,
            published: 0.001,
            beyond: 1.007,
            deviation: 0.0228,
            streams: 18,
        }
    }

    /// The probability of a block that is drawn with, in units of 2^-64.
    fn drawn(&self) -> u128 {
        let theta = self.beyond * formulas::ruin_exponent(SHARES as f64, CREDITS as f64);
        let p = 1.0 / SHARES as f64;
        let (block, none) = (p * exp(-theta * (CREDITS - 1) as f64), (1.0 - p) * exp(theta));
        (block / (block + none) / UNIT) as u128
    }
}

/// A pool's reserve under PPS, share by share.
struct Reserve<'a> {
    pps: &'a Scheme,
    /// As many shares as a call takes, all of one miner.
    shares: &'a Batch,
    state: State,
    money: u64,
}

impl Reserve<'_> {
    /// Credits shares until the reserve is short of one: how many were credited.
    fn credit(&mut self, shares: u64) -> Result<u64, Failure> {
        let mut done = 0;
        while done < shares {
            let most = self.shares.seq.len() as u64;
            let Some(credited) = self.call((shares - done).min(most))? else {
                return self.last(done, (shares - done).min(most));
            };
            done += credited;
        }
        Ok(done)
    }

    /// Of shares that the reserve does not cover, credits as many as it does.
    fn last(&mut self, done: u64, most: u64) -> Result<u64, Failure> {
        let (mut covered, mut short) = (0, most);
        while covered + 1 < short {
            let middle = (covered + short) / 2;
            let (before, state) = (self.money, self.state.clone());
            let fits = self.call(middle)?.is_some();
            (self.money, self.state) = (before, state);
            if fits { covered = middle } else { short = middle }
        }
        Ok(done + covered)
    }

    /// One call; `None` where the reserve is less than what it gives. Then nothing of it counts.
    fn call(&mut self, shares: u64) -> Result<Option<u64>, Failure> {
        let given = self.pps.accrue(first(self.shares, shares), self.state.clone())?;
        let credit: u64 = given.amount.iter().sum();
        let Some(left) = self.money.checked_sub(credit) else { return Ok(None) };
        (self.money, self.state) = (left, given.state);
        Ok(Some(shares))
    }

    /// A block's income: what the scheme does not give goes to the reserve.
    fn block(&mut self) -> Result<(), Failure> {
        self.money += self.pps.allocate(CREDIT * CREDITS, Some(1), Vec::new())?.rest;
        Ok(())
    }
}

/// The first shares of a batch.
fn first(batch: &Batch, shares: u64) -> Batch {
    let of = |column: &Vec<u64>| column.iter().take(shares as usize).copied().collect();
    Batch {
        seq: of(&batch.seq),
        miner: of(&batch.miner),
        work: of(&batch.work),
        network_low: of(&batch.network_low),
        network_high: of(&batch.network_high),
        time_ms: of(&batch.time_ms),
        coord: of(&batch.coord),
        reward: of(&batch.reward),
        ..Batch::default()
    }
}

/// Shares of one miner whose job expects such a reward.
fn shares(many: u64, reward: u64) -> Batch {
    let all = |value: u64| vec![value; many as usize];
    Batch {
        seq: (1..=many).collect(),
        miner: all(1),
        work: all(1),
        network_low: all(SHARES),
        network_high: all(0),
        time_ms: all(1),
        coord: all(1),
        reward: all(reward),
        ..Batch::default()
    }
}

impl Ruin {
    /// Follows a reserve to its end: its weight.
    fn path(&self, reserve: &mut Reserve<'_>, tilt: &Tilt, stream: &mut Stream) -> Result<f64, Failure> {
        let blocks = Geometric::new(tilt.drawn());
        let (mut trials, mut hits) = (0, 0);
        loop {
            // The last of them is the block. Its share is credited first, then comes its income.
            let until = blocks.draw(stream);
            let credited = reserve.credit(until)?;
            if credited < until {
                return Ok(tilt.weight(hits, trials + credited));
            }
            trials += until;
            hits += 1;
            reserve.block()?;
        }
    }
}

impl Experiment for Ruin {
    fn figures(&self) -> Vec<Figure> {
        let name = Name {
            row: self.row,
            what: self.what,
            code: Code::Production("pps"),
            formula: self.formula,
            twin: "a share is credited 1.01",
        };
        let rho = formulas::ruin_exponent(SHARES as f64, CREDITS as f64);
        let expected = exp(-rho * self.reserve as f64);
        vec![name.figure(expected, Some(self.published), enough(self.deviation), self.deviation)]
    }

    fn run(&self, lab: &Lab, twin: bool) -> Result<Vec<Estimate>, Failure> {
        let pps = Scheme::new("pps", Settings::new())?;
        let tilt = Tilt::new(super::one_of(SHARES), self.drawn())?;
        let reward = SHARES * CREDIT / 100 * if twin { 101 } else { 100 };
        let shares = shares(u64::from(pps.terms().batch.min(1024)), reward);
        let ruins = lab.merged(self.streams, enough(self.deviation), |key, samples| {
            let mut stream = key.stream(Purpose::Block, 0);
            let mut ruins = Weighted::default();
            for _ in 0..samples {
                let money = self.reserve * CREDIT;
                let mut reserve = Reserve { pps: &pps, shares: &shares, state: State::default(), money };
                ruins.push(1.0, self.path(&mut reserve, &tilt, &mut stream)?);
            }
            Ok(ruins)
        })?;
        // The tilt is none for the twin's walk: its weights are spread widely, and that it is off is all that is asked.
        Ok(vec![if twin { ruins.mean() } else { weighed(&ruins) }])
    }
}
