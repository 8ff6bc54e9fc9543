//! Rows 12 and 13: the double geometric method, written here by its author's text, since no such scheme is bundled. (M. Rosenfeld,
//! "Analysis of Bitcoin pooled mining reward systems", 2011, section 5.2.)
//!
//! A single share is followed through the rounds, by its score S beside the pool's s: it begins with S = p s B, every share of the
//! pool multiplies s by r = 1 + p (1 - c)(1 - o)/c, and a block pays S (r - 1)/(p s) and leaves o S. At 50 shares to a block the exact
//! formulas are 1 % beside those for many, which is what the row can tell.

use super::{Experiment, Name, enough, one_of};
use crate::lab::{Failure, Lab};
use crate::{Code, Figure};
use millpond_statistics::{Estimate, Merge, Moments, Pairs};
use millpond_stream::maths::power;
use millpond_stream::{Geometric, Purpose, Stream};

/// Shares of an expected block.
const SHARES: u64 = 50;
/// The part of an income that the operator keeps on average, and of a score that a block leaves.
const C: f64 = 0.3;
const O: f64 = 0.7;
/// What is left of a score is nothing from here on, in units of the share's fair value.
const NOTHING: f64 = 1e-9;

/// What a share is paid in all, how much that varies, and when.
pub(crate) struct Share;

impl Share {
    /// Of the variance: the kurtosis is 2.398, less 1.
    const VARIANCE: f64 = 1.1824;
    /// Of the mean: the root of the CV², 0.2501.
    const MEAN: f64 = 0.5001;
    /// Of what a share's pay times delay lacks of its mean delay; measured.
    const DELAY: f64 = 0.531;

    /// Follows one share: its pay in units of p B, and the sum of its payments times their delays in expected blocks.
    fn follow(c: f64, blocks: &Geometric, stream: &mut Stream) -> (f64, f64) {
        let p = 1.0 / SHARES as f64;
        let r = 1.0 + p * (1.0 - c) * (1.0 - O) / c;
        // S/(p s) in units of B, after the share's own step; the share itself may be the block.
        let mut left = 1.0 / r;
        let (mut paid, mut delayed, mut place) = (0.0, 0.0, 0_u64);
        while left > NOTHING {
            let gap = blocks.draw(stream);
            let steps = if place == 0 { gap - 1 } else { gap };
            place += gap;
            left *= power(r, -(steps as f64));
            let pay = left * (r - 1.0) / p;
            paid += pay;
            delayed += pay * (place - 1) as f64 * p;
            left *= O;
        }
        (paid, delayed)
    }
}

impl Experiment for Share {
    fn figures(&self) -> Vec<Figure> {
        let name = |row, what, formula| Name {
            row,
            what,
            code: Code::Reference("dgm"),
            formula,
            twin: "c is 1.01 of what is told",
        };
        let p = 1.0 / SHARES as f64;
        let spread = (2.0 - C + C * O) * C + (1.0 - C) * (1.0 - C) * (1.0 - O) * p;
        let square = (1.0 - C) * (1.0 - C);
        let variance = square * square * (1.0 - O) * (1.0 - p) / spread;
        let samples = enough(Self::VARIANCE);
        let mean = name("12-mean", "DGM: pay of a share in p B, c = 0.3, o = 0.7, D = 50", "1 - c");
        let varies = name(
            "12",
            "DGM: variance of a share's pay in p²B², D = 50",
            "(1-c)^4 (1-o)(1-p)/((2-c+co) c + (1-c)²(1-o) p)",
        );
        let late = name("13", "DGM: mean delay of pay, in blocks, D = 50", "c/(1 - o) - c p");
        vec![
            varies.figure(variance, Some(0.125_55), samples, Self::VARIANCE),
            mean.figure(1.0 - C, None, samples, Self::MEAN),
            late.figure(C / (1.0 - O) - C * p, Some(1.0), samples, Self::DELAY),
        ]
    }

    fn run(&self, lab: &Lab, twin: bool) -> Result<Vec<Estimate>, Failure> {
        let blocks = Geometric::new(one_of(SHARES));
        let c = if twin { C * 1.01 } else { C };
        let followed = lab.merged(12, enough(Self::VARIANCE), |key, samples| {
            let mut stream = key.stream(Purpose::Block, 0);
            let mut followed = Followed::default();
            for _ in 0..samples {
                let (paid, delayed) = Self::follow(c, &blocks, &mut stream);
                followed.pay.push(paid);
                followed.delay.push(delayed, paid);
            }
            Ok(followed)
        })?;
        Ok(vec![followed.pay.variance(), followed.pay.mean(), followed.delay.ratio()])
    }
}

/// Pay, and pay times delay beside pay.
#[derive(Default)]
struct Followed {
    pay: Moments,
    delay: Pairs,
}

impl Merge for Followed {
    fn merge(&mut self, next: &Self) {
        self.pay.merge(&next.pay);
        self.delay.merge(&next.delay);
    }
}
