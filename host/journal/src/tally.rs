//! What the shares of the segment that is written to add up to: its footer while it has none.

use crate::ShareBlock;
use crate::codec::DecodeError;
use crate::summary::{self, Block, Column, MinerShares, SegmentShares};
use millpond_types::MinerId;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Rows that are copied together when a share comes while somebody reads them.
const CHUNK: u64 = 256;
/// Below this a miner's row has a place: numbers are given from 1 on. Those above are looked up, so that no number in a file
/// makes a table as long as itself.
const PLACES: u64 = 1 << 22;

/// Sums per miner, of all, and of the segment's parts. Cheap to clone, for a view that stays what it is: what a clone still
/// holds is copied before it changes, chunk by chunk.
#[derive(Clone, Debug)]
pub(crate) struct Tally {
    segment: u64,
    next: u64,
    total: SegmentShares,
    blocks: Arc<Vec<Block>>,
    chunks: Arc<Vec<Option<Arc<Vec<Row>>>>>,
    beyond: Arc<BTreeMap<MinerId, Row>>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Row {
    count: u64,
    work: u128,
    units: u128,
}

impl Default for Tally {
    fn default() -> Self {
        Self::begin(1)
    }
}

impl Tally {
    /// Of a segment without shares, which begins with this record.
    pub(crate) fn begin(segment: u64) -> Self {
        Self {
            segment,
            next: segment,
            total: SegmentShares::default(),
            blocks: Arc::new(vec![Block { from: segment, ..Block::default() }]),
            chunks: Arc::default(),
            beyond: Arc::default(),
        }
    }

    /// The first record of the segment.
    pub(crate) fn segment(&self) -> u64 {
        self.segment
    }

    /// A record that no record with shares that were added stands behind.
    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    pub(crate) fn total(&self) -> &SegmentShares {
        &self.total
    }

    pub(crate) fn blocks(&self) -> &[Block] {
        &self.blocks
    }

    /// Adds the shares of the record at this position; the units of them.
    pub(crate) fn add(&mut self, position: u64, block: &ShareBlock) -> u128 {
        self.next = position.saturating_add(1);
        let mut all = SegmentShares::default();
        let chunks = Arc::make_mut(&mut self.chunks);
        for (seq, share) in block.numbered() {
            let one = SegmentShares::one(seq, share);
            all.join(&one);
            let row = match place(chunks, share.miner) {
                Some(row) => row,
                None => Arc::make_mut(&mut self.beyond).entry(share.miner).or_default(),
            };
            row.count = row.count.saturating_add(1);
            row.work = row.work.saturating_add(one.work);
            row.units = row.units.saturating_add(one.units);
        }
        self.total.join(&all);
        if let Some(last) = Arc::make_mut(&mut self.blocks).last_mut() {
            last.total.join(&all);
        }
        all.units
    }

    /// From this record on the segment can be read without what is before.
    pub(crate) fn mark(&mut self, from: u64) {
        Arc::make_mut(&mut self.blocks).push(Block { from, ..Block::default() });
    }

    /// Ascending.
    pub(crate) fn rows(&self) -> impl Iterator<Item = MinerShares> {
        let chunks = (0..).step_by(CHUNK as usize).zip(self.chunks.iter());
        let near = chunks.flat_map(|(first, chunk)| (first..).zip(chunk.iter().flat_map(|rows| rows.iter())));
        let near = near.map(|(miner, row)| (MinerId(miner), row));
        let all = near.chain(self.beyond.iter().map(|(miner, row)| (*miner, row)));
        all.filter(|(_, row)| row.count > 0).map(|(miner, row)| MinerShares {
            miner,
            count: row.count,
            work: row.work,
            units: row.units,
        })
    }

    /// Whether a footer says what this does; which blocks there are is left to it.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(crate) fn is_told_by(&self, footer: &[u8]) -> Result<bool, DecodeError> {
        let shares = |blocks: &[Block]| {
            blocks.iter().filter(|block| block.total.count > 0).copied().collect::<Vec<_>>()
        };
        let blocks = summary::blocks(footer)?;
        let mut told = summary::decode_total(footer)? == self.total
            && (blocks.is_empty() || shares(&blocks) == shares(&self.blocks));
        for column in [Column::Count, Column::Work, Column::Units] {
            let mut rows = self.rows().map(|row| (row.miner, column.of(&row)));
            for row in summary::rows(footer, column)? {
                told &= rows.next() == Some(row?);
            }
            told &= rows.next().is_none();
        }
        Ok(told)
    }

    /// The footer's bytes.
    pub(crate) fn encode(&self) -> Vec<u8> {
        summary::encode(&self.total, &self.blocks, self.rows())
    }
}

fn place(chunks: &mut Vec<Option<Arc<Vec<Row>>>>, miner: MinerId) -> Option<&mut Row> {
    if miner.0 >= PLACES {
        return None;
    }
    let chunk = usize::try_from(miner.0 / CHUNK).ok()?;
    if chunk >= chunks.len() {
        chunks.resize(chunk.saturating_add(1), None);
    }
    let empty = || Arc::new(vec![Row::default(); CHUNK as usize]);
    let rows = Arc::make_mut(chunks.get_mut(chunk)?.get_or_insert_with(empty));
    rows.get_mut(usize::try_from(miner.0 % CHUNK).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Share;
    use millpond_types::{Amount, JobId, ShareSeq, UnixMillis, Work};
    use proptest::prelude::*;

    fn block(first: u64, miners: &[u64]) -> ShareBlock {
        let share = |miner: &u64| Share {
            miner: MinerId(*miner),
            worker: crate::WorkerId(1),
            job: JobId(1),
            coord: *miner % 3,
            network_work: 10,
            reward: Amount(1),
            subsidy: None,
            work: Work(1 + *miner % 4),
            time: UnixMillis(*miner),
            id: [0; 32],
        };
        ShareBlock { first: ShareSeq(first), shares: miners.iter().map(share).collect() }
    }

    proptest! {
        #[test]
        fn a_tally_is_the_sum_of_its_shares_and_a_clone_stays_what_it_was(
            groups in prop::collection::vec(
                prop::collection::vec(prop::sample::select(vec![0, 1, 255, 256, 700, PLACES - 1, PLACES, u64::MAX]), 0..9), 1..12
            ),
        ) {
            let mut tally = Tally::begin(5);
            let mut sums: BTreeMap<u64, (u64, u128)> = BTreeMap::new();
            let mut first = 1;
            let mut kept = Vec::new();
            for (position, miners) in (5..).zip(&groups) {
                tally.add(position, &block(first, miners));
                first += miners.len() as u64;
                for miner in miners {
                    let sum = sums.entry(*miner).or_default();
                    *sum = (sum.0 + 1, sum.1 + u128::from(1 + miner % 4));
                }
                kept.push((tally.clone(), sums.clone()));
                if position % 3 == 0 {
                    tally.mark(position + 1);
                }
            }
            for (tally, sums) in kept {
                let rows: Vec<_> = tally.rows().map(|row| (row.miner.0, (row.count, row.work))).collect();
                prop_assert_eq!(rows, sums.clone().into_iter().collect::<Vec<_>>());
                prop_assert_eq!(tally.total().count, sums.values().map(|sum| sum.0).sum::<u64>());
                prop_assert_eq!(tally.total().work, sums.values().map(|sum| sum.1).sum::<u128>());
                let blocks = tally.blocks().iter().map(|block| block.total.count).sum::<u64>();
                prop_assert_eq!(blocks, tally.total().count);
            }
        }
    }
}
