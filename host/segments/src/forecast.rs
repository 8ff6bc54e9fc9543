//! How long the disk will do.

use crate::View;
use millpond_types::UnixMillis;

const DAY_MS: u128 = 24 * 60 * 60 * 1000;
/// As many of the newest segments are looked at.
const RECENT: usize = 8;

/// Growth of a log, from its newest segments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forecast {
    /// Bytes the log grows by in a day, at the pace of its newest segments.
    pub bytes_per_day: u64,
    /// Bytes free on the disk.
    pub free: u64,
    /// Full days until the disk is full at this pace; `None` when the log does not grow measurably.
    pub days_left: Option<u64>,
}

impl Forecast {
    /// From the segments of a view, the time and the free bytes.
    #[must_use]
    pub fn of(view: &View, now: UnixMillis, free: u64) -> Self {
        let recent: Vec<_> = view.segments().rev().take(RECENT).collect();
        let bytes: u128 = recent.iter().map(|segment| u128::from(segment.bytes)).sum();
        let since = recent.last().map_or(now, |oldest| oldest.created);
        let per_day = (bytes * DAY_MS).checked_div(u128::from(now.since(since))).unwrap_or(0);
        let bytes_per_day = u64::try_from(per_day).unwrap_or(u64::MAX);
        Self { bytes_per_day, free, days_left: free.checked_div(bytes_per_day) }
    }
}
