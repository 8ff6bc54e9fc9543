//! Rows 1, 2 and hop/share: who leaves a proportional round when it is old.
//!
//! Rounds are drawn whole: 2^20 shares are expected in one, so that a share is next to nothing of it. Ages and gains are
//! in expected rounds. A hopper of 2^-20 of the pool's hashrate changes nothing of the round that he hops in.

use super::{Experiment, Name, enough, one_of};
use crate::lab::{Failure, Lab, REWARD, Scheme, paid, window};
use crate::{Code, Figure, formulas};
use millpond_contracts::Settings;
use millpond_statistics::{Estimate, Moments, Pairs};
use millpond_stream::maths::exp;
use millpond_stream::{Geometric, Purpose};

/// Shares of an expected round.
const SHARES: u64 = 1 << 20;
/// The hopper is one of so many parts of the hashrate.
const HOPPER: u128 = 1 << 20;

/// Row 1: the age from which a share is worth less than its fair value.
pub(crate) struct Threshold;

impl Threshold {
    /// Of a root x̂ of the mean pay f(x) = 1 over the rounds that are older than x: a share's pay has the variance
    /// 1/x₀ - 2 there, f falls by 1/x₀ - 1, and e^(-x₀) of all rounds are so old.
    fn deviation() -> f64 {
        let x = formulas::hopping_age();
        (1.0 / x - 2.0).sqrt() / (1.0 / x - 1.0) / exp(-0.5 * x) / x
    }
}

impl Experiment for Threshold {
    fn figures(&self) -> Vec<Figure> {
        let name = Name {
            row: "1",
            what: "PROP: age of a round from which hopping away pays",
            code: Code::Production("prop"),
            formula: "x with e^x E1(x) = 1",
            twin: "the age is told with D times 1.01",
        };
        let deviation = Self::deviation();
        vec![name.figure(formulas::hopping_age(), Some(0.434_818), enough(deviation), deviation)]
    }

    fn run(&self, lab: &Lab, twin: bool) -> Result<Vec<Estimate>, Failure> {
        let prop = Scheme::new("prop", Settings::new())?;
        let length = Geometric::new(one_of(SHARES));
        // Length of each round, and what one share of it was paid.
        let rounds = lab.parts(1, enough(Self::deviation()), |key, samples| {
            let mut stream = key.stream(Purpose::Round, 0);
            let round = |_| {
                let shares = length.draw(&mut stream);
                let others = u128::from(shares.saturating_sub(1));
                let given = prop.allocate(REWARD, None, vec![window(&[(1, 1), (2, others)])])?;
                Ok((shares, paid(&given, 1)))
            };
            (0..samples).map(round).collect::<Result<Vec<_>, Failure>>()
        })?;
        let mut rounds: Vec<(u64, u64)> = rounds.into_iter().flatten().collect();
        // From the longest on: the mean pay of a share of the rounds that are at least so old rises, up to what is fair.
        rounds.sort_unstable_by(|a, b| b.cmp(a));
        let (mut sum, mut pays, mut age) = (0_u128, Moments::default(), 0);
        for ((shares, pay), many) in rounds.iter().zip(1_u128..) {
            sum += u128::from(*pay);
            pays.push(*pay as f64 / REWARD as f64 * SHARES as f64);
            age = *shares;
            if sum * u128::from(SHARES) >= many * u128::from(REWARD) {
                break;
            }
        }
        let x = age as f64 / SHARES as f64;
        let sigma = pays.mean().sigma / (1.0 / x - 1.0);
        let value = if twin { x / 1.01 } else { x };
        Ok(vec![Estimate { value, sigma, samples: rounds.len() as u64 }])
    }
}

/// Rows 2 and hop/share: what a hopper gains who goes where a share is paid its fair value.
pub(crate) struct Hopper;

impl Hopper {
    /// Of one round: the variance of Z - g X, with Z what he earned, X how long it was and g his gain, is 0.4654.
    const DEVIATION: f64 = 2.4236;
    /// Of a round's pay less its fair value of the time that he was there.
    const SHARE_DEVIATION: f64 = 1.866;
}

impl Experiment for Hopper {
    fn figures(&self) -> Vec<Figure> {
        let name = |row, what, formula| Name {
            row,
            what,
            code: Code::Production("prop"),
            formula,
            twin: "his shares weigh 0.99",
        };
        let (age, samples) = (formulas::hopping_age(), enough(Self::DEVIATION));
        let all = name("2", "PROP: a hopper's gain, with a fair fallback", "x e^-x at the age x of row 1");
        let share = name(
            "hop/share",
            "PROP: his gain for each share that he has in the pool",
            "x e^-x/(1 - e^-x) at the age x of row 1",
        );
        vec![
            all.figure(age * exp(-age), Some(0.281_494), samples, Self::DEVIATION),
            share.figure(
                formulas::earns() / formulas::stays() - 1.0,
                Some(0.798),
                samples,
                Self::SHARE_DEVIATION,
            ),
        ]
    }

    fn run(&self, lab: &Lab, twin: bool) -> Result<Vec<Estimate>, Failure> {
        let prop = Scheme::new("prop", Settings::new())?;
        let length = Geometric::new(one_of(SHARES));
        let leaves = (formulas::hopping_age() * SHARES as f64) as u64;
        let weight: u128 = if twin { 99 } else { 100 };
        let parts = lab.parts(2, enough(Self::DEVIATION), |key, samples| {
            let mut stream = key.stream(Purpose::Round, 0);
            let (mut gain, mut share) = (Pairs::default(), Pairs::default());
            for _ in 0..samples {
                let shares = length.draw(&mut stream);
                let stayed = shares.min(leaves);
                let rows = [(1, u128::from(stayed) * weight), (2, u128::from(shares) * HOPPER * 100)];
                let given = prop.allocate(REWARD, None, vec![window(&rows)])?;
                let pay = paid(&given, 1) as f64 * HOPPER as f64 / REWARD as f64;
                let per_round = |shares: u64| shares as f64 / SHARES as f64;
                gain.push(pay + per_round(shares.saturating_sub(leaves)), per_round(shares));
                share.push(pay, per_round(stayed));
            }
            Ok(Both(gain, share))
        })?;
        let Some(Both(gain, share)) = millpond_statistics::in_order(parts) else { return Ok(Vec::new()) };
        Ok(vec![gain.ratio().plus(-1.0), share.ratio().plus(-1.0)])
    }
}

/// Two estimates of one run.
struct Both(Pairs, Pairs);

impl millpond_statistics::Merge for Both {
    fn merge(&mut self, next: &Self) {
        self.0.merge(&next.0);
        self.1.merge(&next.1);
    }
}
