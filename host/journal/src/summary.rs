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

/// A whole footer.
pub(crate) fn decode(footer: &[u8]) -> Result<(SegmentShares, Vec<MinerShares>), DecodeError> {
    let mut input = Input(footer);
    let _version: u8 = input.field("a footer's version")?;
    let total = decode_total(footer)?;
    let _: SegmentShares = input.field("a footer's totals")?;
    let rows = input.field("a footer's miners")?;
    input.end()?;
    Ok((total, rows))
}
