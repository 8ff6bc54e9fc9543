//! Row 7: unit-PPLNS with a window of eight blocks: how much the pay of a share varies, how often it is nothing, how late
//! it comes.
//!
//! One share in each 8000 is looked at, so that no two of them are in one window: their pays are independent. Every block
//! that is found in its window divides an income over the window's units.

use super::{Experiment, Name, enough, one_of};
use crate::lab::{Failure, Lab, REWARD, Scheme, paid, window};
use crate::{Code, Figure, formulas};
use millpond_contracts::payout::Span;
use millpond_contracts::{Setting, Settings};
use millpond_statistics::{Estimate, Merge, Moments, Pairs};
use millpond_stream::{Geometric, Purpose, Stream, Tilt};

/// Shares of an expected block.
const SHARES: u64 = 1000;
/// The window, in thousandths of an expected block.
const WINDOW: u64 = 8000;
/// The window, in expected blocks.
const BLOCKS: f64 = WINDOW as f64 / 1000.0;

/// Unit-PPLNS by its own window.
pub(crate) struct Pplns {
    scheme: Scheme,
    /// Shares of its window.
    shares: u64,
}

/// What a share that is looked at came to.
#[derive(Default)]
pub(crate) struct Probe {
    /// In units of the fair value.
    pub(crate) pay: f64,
    /// Payments, and the sum of how many shares after it they came.
    payments: u64,
    delays: u64,
}

impl Pplns {
    /// With a window in thousandths of an expected block.
    pub(crate) fn new(thousandths: u64) -> Result<Self, Failure> {
        let settings: Settings =
            vec![("window".to_owned(), Setting::Int(i64::try_from(thousandths).unwrap_or(i64::MAX)))];
        let scheme = Scheme::new("pplns", settings)?;
        let span = scheme.terms().windows.first().map(|window| window.span);
        let Some(Span::Work(declared)) = span else {
            return Err(Failure::NoScheme("pplns with a window of work".to_owned()));
        };
        Ok(Self { scheme, shares: declared * SHARES / 1000 })
    }

    /// A share and so many after it, with blocks among them. Gives it with how many blocks there were.
    pub(crate) fn probe(
        &self,
        blocks: &Geometric,
        stream: &mut Stream,
        look: u64,
    ) -> Result<(Probe, u64), Failure> {
        let units = one_of(SHARES);
        let (mut probe, mut hits, mut place) = (Probe::default(), 0, 0_u64);
        loop {
            // The share itself may be a block.
            place = place.saturating_add(blocks.draw(stream));
            if place > look {
                return Ok((probe, hits));
            }
            hits += 1;
            let delay = place - 1;
            if delay >= self.shares {
                continue;
            }
            let others = units * u128::from(self.shares - 1);
            let given = self.scheme.allocate(REWARD, None, vec![window(&[(1, units), (2, others)])])?;
            let pay = paid(&given, 1);
            probe.pay += pay as f64 / REWARD as f64 * SHARES as f64;
            if pay > 0 {
                probe.payments += 1;
                probe.delays += delay;
            }
        }
    }
}

/// Rows 7 and 7-maturity.
pub(crate) struct Variance;

impl Variance {
    /// Of a Poisson number with mean 8: Var(s²)/s⁴ is 2 + 1/8, and its CV² deviates as much.
    const DEVIATION: f64 = 1.4577;
    /// Of one delay, which is as likely as any other: 1/√3, with 8 of them for each share that is looked at.
    const DELAY: f64 = 0.577_350 / 2.828_427;
}

impl Experiment for Variance {
    fn figures(&self) -> Vec<Figure> {
        let name = |row, what, formula| Name {
            row,
            what,
            code: Code::Production("pplns"),
            formula,
            twin: "a window of 0.98",
        };
        let samples = enough(Self::DEVIATION);
        let variance = name("7", "PPLNS: CV² of a share, D = 1000, X = 8", "(1 - p)/X");
        let maturity = name("7-maturity", "PPLNS: mean delay of pay, in blocks, X = 8", "(X D - 1)/2 D");
        let p = 1.0 / SHARES as f64;
        vec![
            variance.figure((1.0 - p) / BLOCKS, Some(0.124_88), samples, Self::DEVIATION),
            maturity.figure((BLOCKS - p) / 2.0, Some(4.0), samples, Self::DELAY),
        ]
    }

    fn run(&self, lab: &Lab, twin: bool) -> Result<Vec<Estimate>, Failure> {
        let pplns = Pplns::new(if twin { WINDOW / 100 * 98 } else { WINDOW })?;
        let blocks = Geometric::new(one_of(SHARES));
        let found = lab.merged(7, enough(Self::DEVIATION), |key, samples| {
            let mut stream = key.stream(Purpose::Block, 0);
            let mut found = Found(Moments::default(), Pairs::default());
            for _ in 0..samples {
                let (probe, _) = pplns.probe(&blocks, &mut stream, WINDOW * SHARES / 1000)?;
                found.0.push(probe.pay);
                found.1.push(probe.delays as f64 / SHARES as f64, probe.payments as f64);
            }
            Ok(found)
        })?;
        Ok(vec![found.0.squared_cv(), found.1.ratio()])
    }
}

/// Pay, and delays by payments.
struct Found(Moments, Pairs);

impl Merge for Found {
    fn merge(&mut self, next: &Self) {
        self.0.merge(&next.0);
        self.1.merge(&next.1);
    }
}

/// Row 7-unpaid: shares that no block pays. Blocks are drawn an eighth as often, where a share in three is such a one, and
/// weighed.
pub(crate) struct Unpaid;

impl Unpaid {
    const LESS_OFTEN: u64 = 8;
    /// Of a hit of probability 1/e: √(e - 1).
    const DEVIATION: f64 = 1.3108;
}

impl Experiment for Unpaid {
    fn figures(&self) -> Vec<Figure> {
        let name = Name {
            row: "7-unpaid",
            what: "PPLNS: part of shares that are never paid, X = 8",
            code: Code::Production("pplns"),
            formula: "(1 - p)^(X D)",
            twin: "a window of 0.99",
        };
        let expected = formulas::none_of(SHARES as f64, BLOCKS * SHARES as f64);
        vec![name.figure(expected, Some(3.34e-4), enough(Self::DEVIATION), Self::DEVIATION)]
    }

    fn run(&self, lab: &Lab, twin: bool) -> Result<Vec<Estimate>, Failure> {
        let pplns = Pplns::new(if twin { WINDOW / 100 * 99 } else { WINDOW })?;
        let tilt = Tilt::new(one_of(SHARES), one_of(SHARES * Self::LESS_OFTEN))?;
        let blocks = Geometric::new(tilt.drawn());
        let look = WINDOW * SHARES / 1000;
        let unpaid = lab.merged(8, enough(Self::DEVIATION), |key, samples| {
            let mut stream = key.stream(Purpose::Block, 0);
            let mut unpaid = Moments::default();
            for _ in 0..samples {
                let (probe, hits) = pplns.probe(&blocks, &mut stream, look)?;
                let nothing = probe.payments == 0;
                unpaid.push(if nothing { tilt.weight(hits, look) } else { 0.0 });
            }
            Ok(unpaid)
        })?;
        Ok(vec![unpaid.mean()])
    }
}
