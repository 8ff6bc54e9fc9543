//! Estimates with their errors, from samples that come in any number of parts, and the tests of samplers.
//!
//! Everything here is the same to the last bit on every machine: + - * / and sqrt of f64, which IEEE 754 rounds exactly, and `libm` at
//! a pinned version for the rest. The platform's functions are refused by this crate's clippy.toml.
//!
//! Sums of floats depend on their order. So parts are merged in a fixed one, by replication and not by who is ready first: then
//! the bits do not depend on the number of threads ([`in_order`]). [`Whole`] sums integers, and is the same in any order.
//!
//! | question | type |
//! |---|---|
//! | mean, variance, CV², and the errors of all three | [`Moments`], [`Whole`] |
//! | a mean of samples that depend on their neighbours | [`Batches`] |
//! | a difference on a common stream, a ratio | [`Pairs`] |
//! | a mean beside others whose means are known | [`Control`] |
//! | a mean of samples that were drawn by another probability | [`Weighted`] |
//! | a quantile of samples | [`order_statistic`] |
//! | does a figure hold | [`Expectation`] |
//! | does a sampler draw what it says | [`chi_square`], [`kolmogorov_smirnov`] |

mod batches;
mod control;
mod distributions;
mod estimate;
mod expectation;
mod fit;
mod moments;
mod order;
mod pairs;
mod weighted;
mod whole;

pub use batches::Batches;
pub use control::Control;
pub use distributions::{
    chi_square_above, kolmogorov_above, normal_below, normal_quantile, student_below, student_quantile,
};
pub use estimate::{Estimate, Interval};
pub use expectation::{Expectation, Verdict};
pub use fit::{Fit, chi_square, kolmogorov_smirnov};
pub use moments::Moments;
pub use order::order_statistic;
pub use pairs::Pairs;
pub use weighted::Weighted;
pub use whole::Whole;

/// What is taken in parts and put together.
pub trait Merge {
    /// Adds what another part has, which follows this one.
    fn merge(&mut self, next: &Self);
}

/// All parts as one, merged from the first to the last. `None` where there are none.
pub fn in_order<M: Merge>(parts: impl IntoIterator<Item = M>) -> Option<M> {
    parts.into_iter().reduce(|mut all, next| {
        all.merge(&next);
        all
    })
}
