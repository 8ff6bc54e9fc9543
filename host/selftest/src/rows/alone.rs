//! Rows 18 and 20: a miner alone, and how long a round may be.

use super::{Experiment, Name, enough, one_of, part};
use crate::lab::{Failure, Lab, Scheme, paid, window};
use crate::{Code, Figure, formulas};
use millpond_contracts::Settings;
use millpond_statistics::{Estimate, Merge, Moments};
use millpond_stream::maths::exp;
use millpond_stream::{Geometric, Purpose};

/// Hashes a second of the miner.
const HASHES: f64 = 1e9;
/// The difficulty of M. Rosenfeld's example, of September 2011.
const DIFFICULTY: f64 = 1_690_906.0;
/// Coins of a block, and units of a coin.
const COINS: f64 = 50.0;
const UNITS: u64 = 100_000_000;

/// Row 18: what a day of mining alone brings, how much that varies, and how likely it is anything. Days are counted one by
/// one: nearly all are empty, which is what the row is about.
pub(crate) struct Days;

impl Days {
    fn blocks() -> f64 {
        formulas::blocks_a_day(HASHES, DIFFICULTY)
    }

    /// Of a day's blocks: the deviation of a Poisson number by its mean.
    fn deviation() -> f64 {
        1.0 / Self::blocks().sqrt()
    }
}

impl Experiment for Days {
    fn figures(&self) -> Vec<Figure> {
        let name = |row, what, formula| Name {
            row,
            what,
            code: Code::Production("solo"),
            formula,
            twin: "the difficulty is told with 0.97",
        };
        let blocks = Self::blocks();
        let days = enough(Self::deviation());
        let any = 1.0 - exp(-blocks);
        let mean = name(
            "18-mean",
            "SOLO: coins a day at 1 GH/s, D = 1690906, 50 a block",
            "50 l, l = 86400 h/(2^32 D)",
        );
        let spread = name("18-sd", "SOLO: standard deviation of a day", "50 sqrt l");
        let at_all = name("18-any", "SOLO: part of days that bring anything", "1 - e^-l");
        vec![
            mean.figure(COINS * blocks, Some(0.594_85), days, Self::deviation()),
            // Var(s²)/s⁴ of a Poisson number is 2 + 1/l, and a root deviates half as much.
            spread.figure(COINS * blocks.sqrt(), Some(5.4536), days, (2.0 + 1.0 / blocks).sqrt() / 2.0),
            at_all.figure(any, Some(0.011_826), days, ((1.0 - any) / any).sqrt()),
        ]
    }

    fn run(&self, lab: &Lab, twin: bool) -> Result<Vec<Estimate>, Failure> {
        let solo = Scheme::new("solo", Settings::new())?;
        let told = if twin { 0.97 } else { 1.0 };
        let blocks = formulas::blocks_a_day(HASHES, DIFFICULTY * told);
        let days = lab.merged(19, enough(Self::deviation()), |key, samples| {
            let mut stream = key.stream(Purpose::Interval, 0);
            let mut days = Earned::default();
            let mut next = stream.exponential() / blocks;
            for day in 1..=samples {
                let mut units = 0_u64;
                while next < day as f64 {
                    let gross = COINS as u64 * UNITS;
                    units += paid(&solo.allocate(gross, Some(1), vec![window(&[(1, 1)])])?, 1);
                    next += stream.exponential() / blocks;
                }
                days.coins.push(units as f64 / UNITS as f64);
                days.any += u64::from(units > 0);
            }
            Ok(days)
        })?;
        Ok(vec![days.coins.mean(), days.coins.deviation(), part(days.any, days.coins.samples())])
    }
}

/// What days brought, and how many brought anything.
#[derive(Default)]
struct Earned {
    coins: Moments,
    any: u64,
}

impl Merge for Earned {
    fn merge(&mut self, next: &Self) {
        self.coins.merge(&next.coins);
        self.any += next.any;
    }
}

/// Row 20: rounds of more than five times the expected length. No scheme has a part in it: what is tested is how rounds are
/// drawn, far out. So they are drawn plainly, and are many.
pub(crate) struct LongRounds;

impl LongRounds {
    const SHARES: u64 = 1 << 20;
    const TIMES: u64 = 5;

    fn expected() -> f64 {
        formulas::none_of(Self::SHARES as f64, (Self::TIMES * Self::SHARES) as f64)
    }

    fn deviation() -> f64 {
        ((1.0 - Self::expected()) / Self::expected()).sqrt()
    }
}

impl Experiment for LongRounds {
    fn figures(&self) -> Vec<Figure> {
        let name = Name {
            row: "20",
            what: "part of rounds that are longer than 5 D, D = 2^20",
            code: Code::World,
            formula: "(1 - p)^(5 D)",
            twin: "p times 1.01",
        };
        let deviation = Self::deviation();
        vec![name.figure(Self::expected(), Some(0.006_74), enough(deviation), deviation)]
    }

    fn run(&self, lab: &Lab, twin: bool) -> Result<Vec<Estimate>, Failure> {
        let p = one_of(Self::SHARES);
        let rounds = Geometric::new(if twin { p / 100 * 101 } else { p });
        let samples = enough(Self::deviation());
        let long = lab.parts(20, samples, |key, samples| {
            let mut stream = key.stream(Purpose::Round, 0);
            let long = |_: &u64| rounds.draw(&mut stream) > Self::TIMES * Self::SHARES;
            Ok((0..samples).filter(long).count() as u64)
        })?;
        Ok(vec![part(long.into_iter().sum(), samples)])
    }
}
