//! Windows of shares: what a share weighs, how far a window reaches back, what counts on its edge. The journal, which
//! reads windows from its segments, and the simulator, which keeps them while shares come, take the arithmetic from
//! here. Pure functions of the shares and of a window's near end: no I/O, no clock.

mod slices;
mod sliding;
mod unpaid;

pub use slices::Slices;
pub use sliding::{Row, Sliding};
pub use unpaid::{Look, Paying, Stretch, Unpaid};

use primitive_types::U256;

/// How far back a window reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Span {
    /// Shares after the end of the round before.
    Round,
    /// No shares: the block's miner with weight 1, nobody when the pool did not find the block.
    Finder,
    /// The newest shares, so many.
    Shares(u64),
    /// The newest shares that sum up to so many thousandths of the network's work at the near end: in work of the
    /// near end, or, measured in units, to so many thousandths of 2^64.
    Work(u64),
    /// Shares whose time is less than so many milliseconds before the near end's.
    Millis(u64),
    /// Shares whose coordinate is less than so many steps before the near end's: 1 is that coordinate alone.
    Coord(u64),
    /// As [`Span::Work`] of so many thousandths, measured in work, in slices: one ends where the coordinate is another than
    /// the share's before, and where a job's fees are so much above those of the slice's first share (0: never).
    Slices(u64, u64),
    /// Newest first over shares that no income has paid, until their value comes up to what is divided; at most so many
    /// shares back. What is paid is not known of shares alone: see [`Unpaid`].
    Unpaid(u64),
    /// No shares: the scheme's own cells decide.
    State,
}

/// What a share weighs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// Its work.
    Work,
    /// Its work as a fraction of the network's at submission, 2^64 = 1, rounded down per share.
    Units,
    /// One.
    Count,
    /// What it was worth when it was submitted, in 2^-32 of the smallest unit: see [`value`].
    Value,
    /// The same of the reward's subsidy alone.
    SubsidyValue,
    /// The same of the reward's fees alone. In [`Span::Slices`] its part of its slice's work by the fees of its job: see
    /// [`Slices`].
    FeeValue,
}

/// What happens to the share on the far edge of a [`Span::Work`], [`Span::Slices`] or [`Span::Unpaid`], which alone can be on
/// an edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edge {
    /// It counts in full.
    Whole,
    /// It counts as far as it fits.
    Split,
    /// It does not count.
    Cut,
}

/// A window as a payout scheme declares it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// How far back.
    pub span: Span,
    /// Measured in what.
    pub measure: Measure,
    /// With what edge.
    pub edge: Edge,
}

/// Why a window has no sums.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WindowError {
    /// 128 bits are not enough.
    #[error("a window's sum does not fit 128 bits: its shares are far too large")]
    Overflow,
    /// A window by time or coordinate got a share of before.
    #[error("a share at {at} after one at {newest}: windows by time or coordinate slide forward only")]
    Backwards {
        /// The share's time or coordinate.
        at: u64,
        /// That of the share before it.
        newest: u64,
    },
    /// The network's work grew beyond what shares were kept for.
    #[error("the window reaches shares that are not kept: the network's work is larger than was said")]
    Forgotten,
    /// It goes by what jobs earn, which is not among what slides.
    #[error("a window by value or in slices does not slide: it is read from a journal")]
    ByReward,
}

/// A share's work as a fraction of the network's, 2^64 = 1, rounded down. A network without work counts as 1.
#[must_use]
pub fn units(work: u64, network: u128) -> u128 {
    (u128::from(work) << 64) / network.max(1)
}

/// What a share was worth when it was submitted: its part of what a block of its job earned, in 2^-32 of the smallest unit,
/// rounded down. A network without work counts as 1. `None` when it does not fit.
#[must_use]
pub fn value(work: u64, amount: u64, network: u128) -> Option<u128> {
    // Of two numbers of 64 bits.
    let product = u128::from(work) * u128::from(amount);
    let network = network.max(1);
    // Most shares earn little beside 2^96.
    if product >> 96 == 0 {
        return Some((product << 32) / network);
    }
    u128::try_from((U256::from(product) << 32) / U256::from(network)).ok()
}

impl Window {
    /// Whether it can be summed: a span of work by work or units alone, since what else shares weigh is not what it is
    /// long by, slices by work or by fees, and what is unpaid by what it is worth.
    #[must_use]
    pub const fn is_computed(&self) -> bool {
        match self.span {
            Span::Work(_) => matches!(self.measure, Measure::Work | Measure::Units),
            Span::Slices(..) => matches!(self.measure, Measure::Work | Measure::FeeValue),
            Span::Unpaid(_) => matches!(self.measure, Measure::Value | Measure::SubsidyValue),
            Span::Round | Span::Finder | Span::Shares(_) | Span::Millis(_) | Span::Coord(_) | Span::State => {
                true
            }
        }
    }
}

impl Measure {
    /// What a share of this work and these units weighs; `None` for what goes by its job's reward.
    #[must_use]
    #[inline]
    pub fn of(self, work: u64, units: u128) -> Option<u128> {
        match self {
            Self::Work => Some(work.into()),
            Self::Units => Some(units),
            Self::Count => Some(1),
            Self::Value | Self::SubsidyValue | Self::FeeValue => None,
        }
    }

    /// The sum of `thousandths` of a block's work, with the network's work at the window's near end. `None` when it
    /// does not fit, and for what no span is long by.
    #[must_use]
    pub fn sum(self, thousandths: u64, network: u128) -> Option<u128> {
        let one = match self {
            Self::Work => network,
            Self::Units => 1 << 64,
            Self::Count | Self::Value | Self::SubsidyValue | Self::FeeValue => return None,
        };
        // (one / 1000) * n + (one % 1000) * n / 1000, so that the product fits wherever the quotient does.
        let n = u128::from(thousandths);
        (one / 1000).checked_mul(n)?.checked_add(one % 1000 * n / 1000)
    }
}

impl Edge {
    /// What counts of a share that weighs `value` where `room` is left, `value` being `room` or more.
    #[must_use]
    pub fn counts(self, value: u128, room: u128) -> u128 {
        match self {
            Self::Whole => value,
            Self::Split => room,
            Self::Cut if value == room => value,
            Self::Cut => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_of_work_is_as_long_as_the_network_asks() {
        assert_eq!(Measure::Work.sum(2000, 500), Some(1000));
        assert_eq!(Measure::Work.sum(1, 999), Some(0));
        assert_eq!(Measure::Work.sum(1500, 3), Some(4));
        assert_eq!(Measure::Units.sum(500, 77), Some(1 << 63));
        assert_eq!(Measure::Work.sum(1000, u128::MAX), Some(u128::MAX));
        assert_eq!(Measure::Work.sum(1001, u128::MAX), None);
        assert_eq!(Measure::Units.sum(u64::MAX, 1).map(|sum| sum >> 64), Some(u128::from(u64::MAX) / 1000));
    }

    #[test]
    fn units_are_rounded_down_and_a_network_without_work_counts_as_one() {
        assert_eq!(units(1, 2), 1 << 63);
        assert_eq!(units(1, 3), (1_u128 << 64) / 3);
        assert_eq!(units(u64::MAX, 0), u128::from(u64::MAX) << 64);
    }

    #[test]
    fn a_share_is_worth_its_part_of_what_its_job_earns() {
        // A thousandth of 5,000 is 5; 2^32 to the unit.
        assert_eq!(value(1, 5_000, 1_000), Some(5 << 32));
        assert_eq!(value(1, 1, 3), Some((1 << 32) / 3));
        assert_eq!(value(7, 3, 0), Some(21 << 32));
        // Beyond 96 bits of work times reward the quotient is the same, and is not taken where it does not fit.
        assert_eq!(value(u64::MAX, u64::MAX, u128::from(u64::MAX)), Some(u128::from(u64::MAX) << 32));
        assert_eq!(value(1 << 48, 1 << 48, 1 << 50), Some(1 << 78));
        assert_eq!(value(u64::MAX, u64::MAX, 1), None);
        assert_eq!(value(u64::MAX, u64::MAX, u128::MAX), Some(((1_u128 << 64) - 2) >> 32));
    }

    #[test]
    fn the_share_on_the_edge_counts_by_the_windows_rule() {
        let of = |edge: Edge| [edge.counts(7, 3), edge.counts(7, 7)];
        assert_eq!(of(Edge::Whole), [7, 7]);
        assert_eq!(of(Edge::Split), [3, 7]);
        assert_eq!(of(Edge::Cut), [0, 7]);
    }
}
