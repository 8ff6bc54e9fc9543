//! Footers: what the shares of one segment add up to, per miner.

use crate::codec::{DecodeError, Field, Input, fields};
use crate::{Share, ShareBlock};
use millpond_types::{MinerId, ShareSeq, UnixMillis};
use std::collections::BTreeMap;

fields! {
    /// What a segment's shares have in common. Kept in memory for every segment.
    #[derive(Copy, Default)]
    struct SegmentShares {
        /// How many.
        count: u64,
        /// Number of the first; 0 when there are none.
        first: ShareSeq,
        /// Number of the last.
        last: ShareSeq,
        /// The earliest time.
        time_min: UnixMillis,
        /// The latest time.
        time_max: UnixMillis,
        /// The lowest coordinate.
        coord_min: u64,
        /// The highest coordinate.
        coord_max: u64,
        /// Work of all of them.
        work: u128,
        /// Units of all of them, see [`Share::units`].
        units: u128,
    }

    /// One miner's part of a segment.
    #[derive(Copy)]
    struct MinerShares {
        /// Who.
        miner: MinerId,
        /// How many shares.
        count: u64,
        /// Their work.
        work: u128,
        /// Their units.
        units: u128,
    }
}

const VERSION: u8 = 1;

/// Adds up the shares of the segment that is written to.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) total: SegmentShares,
    miners: BTreeMap<MinerId, (u64, u128, u128)>,
}

impl Tally {
    /// Adds a block; the units of its shares.
    pub(crate) fn add(&mut self, block: &ShareBlock) -> u128 {
        block.numbered().fold(0, |sum: u128, (seq, share)| sum.saturating_add(self.add_share(seq, share)))
    }

    fn add_share(&mut self, seq: ShareSeq, share: &Share) -> u128 {
        let total = &mut self.total;
        if total.count == 0 {
            let (time, coord) = (share.time, share.coord);
            let (time_min, time_max, coord_min, coord_max) = (time, time, coord, coord);
            *total = SegmentShares { first: seq, time_min, time_max, coord_min, coord_max, ..*total };
        }
        let (work, units) = (u128::from(share.work.0), share.units());
        total.count += 1;
        total.last = seq;
        total.time_min = total.time_min.min(share.time);
        total.time_max = total.time_max.max(share.time);
        total.coord_min = total.coord_min.min(share.coord);
        total.coord_max = total.coord_max.max(share.coord);
        // A sum that does not fit stays at its limit; windows refuse to use it.
        total.work = total.work.saturating_add(work);
        total.units = total.units.saturating_add(units);
        let miner = self.miners.entry(share.miner).or_default();
        *miner = (miner.0 + 1, miner.1.saturating_add(work), miner.2.saturating_add(units));
        units
    }

    /// The footer's bytes.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        self.total.put(&mut out);
        let rows = self.miners.iter();
        (rows.len() as u64).put(&mut out);
        for (miner, (count, work, units)) in rows {
            MinerShares { miner: *miner, count: *count, work: *work, units: *units }.put(&mut out);
        }
        out
    }
}

/// The totals at the front of a footer.
pub(crate) fn decode_total(footer: &[u8]) -> Result<SegmentShares, DecodeError> {
    let mut input = Input(footer);
    let version: u8 = input.field("a footer's version")?;
    if version != VERSION {
        return Err(DecodeError::Version { what: "footer", version });
    }
    input.field("a footer's totals")
}

/// The rows of a footer, one by one: there may be a million.
pub(crate) fn rows(footer: &[u8]) -> Result<Rows<'_>, DecodeError> {
    let mut input = Input(footer);
    decode_total(footer)?;
    let _version: u8 = input.field("a footer's version")?;
    let _: SegmentShares = input.field("a footer's totals")?;
    let left = input.count().ok_or(DecodeError::Malformed { what: "a footer's miners" })?;
    Ok(Rows { input, left })
}

/// The rows of a footer.
#[derive(Clone, Debug)]
pub(crate) struct Rows<'a> {
    input: Input<'a>,
    left: usize,
}

impl Iterator for Rows<'_> {
    type Item = Result<MinerShares, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        let Some(left) = self.left.checked_sub(1) else {
            // What is left over is told once.
            let end = self.input.end();
            self.input = Input(&[]);
            return end.err().map(Err);
        };
        let row = self.input.field("a footer's miners");
        // Nothing can be read behind what cannot be read.
        (self.left, self.input) = if row.is_ok() { (left, self.input) } else { (0, Input(&[])) };
        Some(row)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_those_that_were_put_and_bytes_too_many_or_too_few_are_told() {
        let mut tally = Tally::default();
        for number in 1..=5_u64 {
            let share = Share {
                miner: MinerId(number * 3),
                worker: crate::WorkerId(number),
                job: millpond_types::JobId(1),
                coord: 7,
                network_work: 1_000,
                reward: millpond_types::Amount(1),
                subsidy: None,
                work: millpond_types::Work(number << 40),
                time: UnixMillis(number),
                id: [0; 32],
            };
            tally.add_share(ShareSeq(number), &share);
        }
        let footer = tally.encode();
        let read: Vec<_> = rows(&footer).unwrap().map(Result::unwrap).collect();
        let expected: Vec<_> =
            (1..=5).map(|number| (MinerId(number * 3), 1, u128::from(number) << 40)).collect();
        assert_eq!(read.iter().map(|row| (row.miner, row.count, row.work)).collect::<Vec<_>>(), expected);
        assert_eq!(decode_total(&footer).unwrap().count, 5);

        let longer = [&footer[..], &[0]].concat();
        assert_eq!(rows(&longer).unwrap().filter(Result::is_err).count(), 1);
        for len in 0..footer.len() {
            let shorter = rows(&footer[..len]);
            assert!(shorter.is_err() || shorter.unwrap().any(|row| row.is_err()), "{len} bytes");
        }
    }
}
