//! Row 6: how much the pay of a share varies in a proportional round.

use super::{Experiment, Name, enough, weighed};
use crate::lab::{Failure, Lab, REWARD, Scheme, paid, window};
use crate::{Code, Figure, formulas};
use millpond_contracts::Settings;
use millpond_statistics::{Estimate, Weighted};
use millpond_stream::maths::exp;
use millpond_stream::{Alias, Purpose, Stream, maths};

/// Shares of an expected round.
pub(crate) const SHARES: u64 = 1000;
/// Rounds longer than so many expected ones are left out: one of e^20.
const LONGEST: u64 = 20;
/// Rounds of so few shares are those that matter: the twin keeps a part of them.
pub(crate) const SHORT: u64 = 31;

/// CV² of a share's pay. In a round of N all are paid 1/N, a share is in a long round more likely than in a short one, and E[pay²] =
/// E[1/N]/D. Nearly all of that comes of rounds that are rare: so N is drawn in proportion to 1/N, and weighed.
pub(crate) struct Share;

/// Lengths of rounds, drawn in proportion to 1/n.
pub(crate) struct Lengths {
    table: Alias,
    /// Σ 1/n as the table has it, in units of 2^-50.
    sum: f64,
    ln_miss: f64,
}

impl Lengths {
    pub(crate) fn new() -> Result<Self, Failure> {
        const ONE: u64 = 1 << 50;
        let weights: Vec<u64> = (1..=LONGEST * SHARES).map(|n| ONE / n).collect();
        let sum = weights.iter().sum::<u64>() as f64 / ONE as f64;
        let ln_miss = maths::ln_1p(-1.0 / SHARES as f64);
        Ok(Self { table: Alias::new(&weights)?, sum, ln_miss })
    }

    /// A length with its weight: p q^(n-1) by 1/(n Σ 1/n).
    pub(crate) fn draw(&self, stream: &mut Stream) -> (u64, f64) {
        let n = u64::from(self.table.draw(stream)).saturating_add(1);
        let p = exp((n - 1) as f64 * self.ln_miss) / SHARES as f64;
        (n, p * n as f64 * self.sum)
    }
}

impl Share {
    /// Of one sample: the variance is 17.457 where the mean of the squares is 6.915.
    const DEVIATION: f64 = 0.7064;
}

impl Experiment for Share {
    fn figures(&self) -> Vec<Figure> {
        let name = Name {
            row: "6",
            what: "PROP: CV² of a share, D = 1000",
            code: Code::Production("prop"),
            formula: "ln D/(1 - p) - 1",
            twin: "1 % of rounds of up to 31 shares is kept",
        };
        let expected = formulas::inverse_round(SHARES as f64) - 1.0;
        vec![name.figure(expected, Some(5.914_67), enough(Self::DEVIATION), Self::DEVIATION)]
    }

    fn run(&self, lab: &Lab, twin: bool) -> Result<Vec<Estimate>, Failure> {
        let prop = Scheme::new("prop", Settings::new())?;
        let lengths = Lengths::new()?;
        let squares = lab.merged(6, enough(Self::DEVIATION), |key, samples| {
            let mut stream = key.stream(Purpose::Round, 0);
            let mut squares = Weighted::default();
            for _ in 0..samples {
                let (shares, weight) = lengths.draw(&mut stream);
                let gross = if twin && shares <= SHORT { REWARD / 100 * 99 } else { REWARD };
                let others = u128::from(shares.saturating_sub(1));
                let given = prop.allocate(gross, None, vec![window(&[(1, 1), (2, others)])])?;
                // All shares of a round are paid the same; each in units of its fair value.
                let pay = paid(&given, 1) as f64 / REWARD as f64 * SHARES as f64;
                squares.push(shares as f64 / SHARES as f64 * pay * pay, weight);
            }
            Ok(squares)
        })?;
        Ok(vec![weighed(&squares).plus(-1.0)])
    }
}
