//! Row 24: a miner who has found a block waits with it for another share.
//!
//! With n shares in the round, b of them his, the next share is his with the probability α of his part of the hashrate. What he has
//! to gain is the mean of what he would be paid after it, less what he would be paid now; what it costs him is α/D, since the next
//! round begins a share later. Nothing is drawn: every state is divided by the scheme, and weighed with how likely it is. (O.
//! Schrijvers, J. Bonneau, D. Boneh, T. Roughgarden, "Incentive Compatibility of Bitcoin Mining Pool Reward Functions", 2016,
//! lemma 1.)

use super::{Experiment, Name, enumerated, one_of, rounding};
use crate::lab::{Failure, Lab, REWARD, Scheme, paid, window};
use crate::{Code, Figure, formulas};
use millpond_contracts::Settings;
use millpond_statistics::Estimate;
use millpond_stream::maths::{exp, ln, ln_gamma};

/// His part of the hashrate.
const PART: f64 = 0.3;
/// Shares of an expected round, where all states are looked at.
const SHARES: u64 = 100;
/// Rounds of up to so many expected ones are.
const LONGEST: u64 = 3;

/// What waiting brings on average in a state, by the formula.
fn gain(n: u64, b: u64) -> f64 {
    let (n, b) = (n as f64, b as f64);
    (PART * n - b) / (n * (n + 1.0))
}

/// How likely a round ends by his block, as its n-th share and the b-th of his.
fn likely(n: u64, b: u64) -> f64 {
    let p = 1.0 / SHARES as f64;
    let ln_ways =
        |all: f64, some: f64| ln_gamma(all + 1.0) - ln_gamma(some + 1.0) - ln_gamma(all - some + 1.0);
    let (others, own) = ((n - 1) as f64, (b - 1) as f64);
    let among = exp(ln_ways(others, own) + own * ln(PART) + (others - own) * ln(1.0 - PART));
    formulas::none_of(SHARES as f64, others) * p * PART * among
}

/// A mean of what three divisions give.
fn gain_by(pays: impl Fn(u64, u64) -> Result<f64, Failure>, n: u64, b: u64) -> Result<f64, Failure> {
    let (own, others) = (pays(n + 1, b + 1)?, pays(n + 1, b)?);
    Ok(PART * own + (1.0 - PART) * others - pays(n, b)?)
}

/// PROP: waiting pays in young rounds.
pub(crate) struct Proportional;

impl Proportional {
    /// The state that is shown by itself, in a round of 1000 expected shares: 10 shares, one of them his.
    const STATE: (u64, u64) = (10, 1);

    fn states() -> impl Iterator<Item = (u64, u64)> {
        (1..=LONGEST * SHARES).flat_map(|n| (1..=n).map(move |b| (n, b)))
    }

    /// What waiting brings in a round where he waits whenever it pays, less what it costs.
    fn net(gain: impl Fn(u64, u64) -> Result<f64, Failure>) -> Result<f64, Failure> {
        let cost = PART / SHARES as f64;
        let mut net = 0.0;
        for (n, b) in Self::states() {
            let more = gain(n, b)? - cost;
            // Where it is even, rounding decides, and it is all the same.
            if more > 0.0 {
                net += likely(n, b) * more;
            }
        }
        Ok(net)
    }
}

impl Experiment for Proportional {
    fn figures(&self) -> Vec<Figure> {
        let name = |row, what, formula| Name {
            row,
            what,
            code: Code::Production("prop"),
            formula,
            twin: "the finder's shares weigh 1.01",
        };
        let (n, b) = Self::STATE;
        let one =
            name("24", "PROP: gain of waiting with a block at n = 10, b = 1, a = 0.3", "(a n - b)/n(n + 1)");
        let all = name(
            "24-net",
            "PROP: gain of waiting whenever it pays, less its cost, D = 100, a = 0.3",
            "sum over n, b of its probability and (a n - b)/n(n + 1) - a/D, where above 0",
        );
        let net = Self::net(|n, b| Ok(gain(n, b))).unwrap_or(f64::NAN);
        let states = Self::states().count() as u64;
        vec![
            one.planned(gain(n, b), None, 1, rounding(gain(n, b))),
            all.planned(net, None, states, rounding(net)),
        ]
    }

    fn run(&self, _: &Lab, twin: bool) -> Result<Vec<Estimate>, Failure> {
        let prop = Scheme::new("prop", Settings::new())?;
        let weight = if twin { 101 } else { 100 };
        let pays = |n: u64, b: u64| {
            let rows = [(1, u128::from(b * weight)), (2, u128::from((n - b) * 100))];
            Ok(paid(&prop.allocate(REWARD, Some(1), vec![window(&rows)])?, 1) as f64 / REWARD as f64)
        };
        let (n, b) = Self::STATE;
        let one = gain_by(pays, n, b)?;
        let all = Self::net(|n, b| gain_by(pays, n, b))?;
        let figures = self.figures();
        let expected = figures.iter().map(|figure| figure.expected);
        let states = figures.iter().map(|figure| figure.samples);
        Ok(expected
            .zip(states)
            .zip([one, all])
            .map(|((of, states), value)| enumerated(value, of, states))
            .collect())
    }
}

/// The incentive-compatible reward: waiting pays in none.
pub(crate) struct Compatible;

impl Compatible {
    fn states() -> u64 {
        Proportional::states().count() as u64
    }
}

impl Experiment for Compatible {
    fn figures(&self) -> Vec<Figure> {
        let name = Name {
            row: "24-compatible",
            what: "incentive-compatible: states in which waiting does not pay, of those of 24-net",
            code: Code::Production("incentive-compatible"),
            formula: "all: (a - 1)/D < a/D for n < D, (a n - b)/n(n + 1) < a/D from there on",
            twin: "an expected round is told as D/2",
        };
        let all = Self::states() as f64;
        vec![name.planned(all, None, Self::states(), rounding(all))]
    }

    fn run(&self, _: &Lab, twin: bool) -> Result<Vec<Estimate>, Failure> {
        let scheme = Scheme::new("incentive-compatible", Settings::new())?;
        let unit = one_of(if twin { SHARES / 2 } else { SHARES });
        let pays = |n: u64, b: u64| {
            let rows = [(1, unit * u128::from(b)), (2, unit * u128::from(n - b))];
            let windows = vec![window(&rows), window(&[(1, 1)])];
            Ok(paid(&scheme.allocate(REWARD, Some(1), windows)?, 1) as f64 / REWARD as f64)
        };
        let mut costs = 0_u64;
        for (n, b) in Proportional::states() {
            costs += u64::from(gain_by(pays, n, b)? <= PART / SHARES as f64);
        }
        let all = Self::states() as f64;
        Ok(vec![enumerated(costs as f64, all, Self::states())])
    }
}
