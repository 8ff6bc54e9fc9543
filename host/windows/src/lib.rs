//! Windows of shares: what a share weighs, how far a window reaches back, what counts on its edge. The journal, which
//! reads windows from its segments, and the simulator, which keeps them while shares come, take the arithmetic from
//! here. Pure functions of the shares and of a window's near end: no I/O, no clock.

mod sliding;

pub use sliding::{Row, Sliding};

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
}

/// What happens to the share on the far edge of a [`Span::Work`], which alone can be on an edge.
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
}

/// A share's work as a fraction of the network's, 2^64 = 1, rounded down. A network without work counts as 1.
#[must_use]
pub fn units(work: u64, network: u128) -> u128 {
    (u128::from(work) << 64) / network.max(1)
}

impl Measure {
    /// What a share of this work and these units weighs.
    #[must_use]
    #[inline]
    pub fn of(self, work: u64, units: u128) -> u128 {
        match self {
            Self::Work => work.into(),
            Self::Units => units,
        }
    }

    /// The sum of `thousandths` of a block's work, with the network's work at the window's near end. `None` when it
    /// does not fit.
    #[must_use]
    pub fn sum(self, thousandths: u64, network: u128) -> Option<u128> {
        let one = match self {
            Self::Work => network,
            Self::Units => 1 << 64,
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
    fn the_share_on_the_edge_counts_by_the_windows_rule() {
        let of = |edge: Edge| [edge.counts(7, 3), edge.counts(7, 7)];
        assert_eq!(of(Edge::Whole), [7, 7]);
        assert_eq!(of(Edge::Split), [3, 7]);
        assert_eq!(of(Edge::Cut), [0, 7]);
    }
}
