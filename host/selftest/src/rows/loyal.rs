//! Row 5: what those lose who stay in a proportional round that others hop out of.

use super::{Experiment, Name, enough, one_of};
use crate::lab::{Failure, Lab, REWARD, Scheme, paid, window};
use crate::{Code, Figure, formulas};
use millpond_contracts::Settings;
use millpond_statistics::{Control, Estimate};
use millpond_stream::{Geometric, Purpose};

/// Shares of an expected round.
const SHARES: u64 = 1 << 20;
/// The hoppers' part of the hashrate while they are there, of 100.
const HOPPERS: u64 = 20;

/// Pay of a loyal share over its fair value is (1 - α E[min(X, x₀)/X])/(1 - α E[min(X, x₀)]). What is measured is how much that
/// lacks of 1: 1 % of it is 0.06 % of the efficiency, so that the row sees more than the efficiency's own percent.
pub(crate) struct Loyal;

impl Loyal {
    /// Of a round's loss, less what its length and the hoppers' time in it say of it.
    const DEVIATION: f64 = 0.534;

    fn part() -> f64 {
        HOPPERS as f64 / 100.0
    }

    /// E[loyal shares] of a round, in expected rounds.
    fn shares() -> f64 {
        1.0 - Self::part() * formulas::stays()
    }
}

impl Experiment for Loyal {
    fn figures(&self) -> Vec<Figure> {
        let name = Name {
            row: "5",
            what: "PROP: loss of loyal miners where hoppers have a fifth of the hashrate",
            code: Code::Production("prop"),
            formula: "1 - (1 - a E[min/X])/(1 - a E[min])",
            twin: "loyal shares weigh 0.99",
        };
        let expected = 1.0 - (1.0 - Self::part() * formulas::earns()) / Self::shares();
        vec![name.figure(expected, Some(1.0 - 0.939_43), enough(Self::DEVIATION), Self::DEVIATION)]
    }

    fn run(&self, lab: &Lab, twin: bool) -> Result<Vec<Estimate>, Failure> {
        let prop = Scheme::new("prop", Settings::new())?;
        let length = Geometric::new(one_of(SHARES));
        let leaves = (formulas::hopping_age() * SHARES as f64) as u64;
        let weight: u64 = if twin { 99 } else { 100 };
        let losses = lab.merged(5, enough(Self::DEVIATION), |key, samples| {
            let mut stream = key.stream(Purpose::Round, 0);
            let mut losses = Control::new([1.0, formulas::stays()]);
            for _ in 0..samples {
                let shares = length.draw(&mut stream);
                let hopped = shares.min(leaves);
                // In hundredths of a share.
                let (loyal, hoppers) = (shares * 100 - hopped * HOPPERS, hopped * HOPPERS);
                let rows = [(1, u128::from(loyal * weight)), (2, u128::from(hoppers * 100))];
                let given = prop.allocate(REWARD, None, vec![window(&rows)])?;
                let per_round = |shares: u64| shares as f64 / SHARES as f64;
                let loss = per_round(loyal) / 100.0 - paid(&given, 1) as f64 / REWARD as f64;
                losses.push(loss, [per_round(shares), per_round(hopped)]);
            }
            Ok(losses)
        })?;
        Ok(vec![losses.mean().times(1.0 / Self::shares())])
    }
}
