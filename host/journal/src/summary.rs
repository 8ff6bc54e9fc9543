//! Footers: what the shares of one segment add up to, per miner, and in which of its parts they lie.

use crate::Share;
use crate::codec::{DecodeError, Field, Input, fields};
use millpond_types::{MinerId, ShareSeq, UnixMillis};

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

    /// A part of a segment that can be read by itself, from one of its marks to the next.
    #[derive(Copy, Default)]
    struct Block {
        /// Index of its first record, whatever that is.
        from: u64,
        /// Its shares.
        total: SegmentShares,
    }
}

impl SegmentShares {
    /// Of a share alone.
    pub(crate) fn one(seq: ShareSeq, share: &Share) -> Self {
        let (time, coord) = (share.time, share.coord);
        Self {
            count: 1,
            first: seq,
            last: seq,
            time_min: time,
            time_max: time,
            coord_min: coord,
            coord_max: coord,
            work: share.work.0.into(),
            units: share.units(),
        }
    }

    /// Takes in what follows.
    pub(crate) fn join(&mut self, next: &Self) {
        if self.count == 0 || next.count == 0 {
            *self = if self.count == 0 { *next } else { *self };
            return;
        }
        self.count = self.count.saturating_add(next.count);
        self.last = next.last;
        self.time_min = self.time_min.min(next.time_min);
        self.time_max = self.time_max.max(next.time_max);
        self.coord_min = self.coord_min.min(next.coord_min);
        self.coord_max = self.coord_max.max(next.coord_max);
        // A sum that does not fit stays at its limit; windows refuse to use it.
        self.work = self.work.saturating_add(next.work);
        self.units = self.units.saturating_add(next.units);
    }
}

/// Which of a row's sums is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Column {
    Count,
    Work,
    Units,
}

impl Column {
    pub(crate) fn of(self, row: &MinerShares) -> u128 {
        match self {
            Self::Count => row.count.into(),
            Self::Work => row.work,
            Self::Units => row.units,
        }
    }

    pub(crate) fn of_total(self, total: &SegmentShares) -> u128 {
        match self {
            Self::Count => total.count.into(),
            Self::Work => total.work,
            Self::Units => total.units,
        }
    }
}

/// Totals and rows, one behind the other.
const ROWS: u8 = 1;
/// Totals, blocks, and the rows in columns, each with its length: what is not asked for is not read.
const COLUMNS: u8 = 2;

/// The footer's bytes. Of a segment of one block in the form that was the only one before there were blocks.
pub(crate) fn encode(
    total: &SegmentShares,
    blocks: &[Block],
    rows: impl Iterator<Item = MinerShares>,
) -> Vec<u8> {
    let mut out = Vec::new();
    if blocks.len() < 2 {
        let rows: Vec<MinerShares> = rows.collect();
        out.push(ROWS);
        total.put(&mut out);
        rows.put(&mut out);
        return out;
    }
    let (mut miners, mut before) = (0_u64, None::<MinerId>);
    let mut columns: [Vec<u8>; 4] = Default::default();
    let [gaps, counts, works, units] = &mut columns;
    for row in rows {
        miners = miners.saturating_add(1);
        before.map_or(row.miner.0, |before| row.miner.0.saturating_sub(before.0)).put(gaps);
        row.count.put(counts);
        row.work.put(works);
        row.units.put(units);
        before = Some(row.miner);
    }
    out.push(COLUMNS);
    total.put(&mut out);
    (blocks.len() as u64).put(&mut out);
    blocks.iter().for_each(|block| block.put(&mut out));
    miners.put(&mut out);
    for column in columns {
        (column.len() as u64).put(&mut out);
        out.extend_from_slice(&column);
    }
    out
}

fn total_of(input: &mut Input<'_>) -> Result<(u8, SegmentShares), DecodeError> {
    let version: u8 = input.field("a footer's version")?;
    if version != ROWS && version != COLUMNS {
        return Err(DecodeError::Version { what: "footer", version });
    }
    Ok((version, input.field("a footer's totals")?))
}

/// The totals at the front of a footer.
pub(crate) fn decode_total(footer: &[u8]) -> Result<SegmentShares, DecodeError> {
    Ok(total_of(&mut Input(footer))?.1)
}

fn blocks_of(input: &mut Input<'_>, total: &SegmentShares) -> Result<Vec<Block>, DecodeError> {
    let blocks: Vec<Block> = input.field("a footer's blocks")?;
    let (mut sum, mut from) = (SegmentShares::default(), None);
    for block in &blocks {
        // One behind the other, records and shares alike.
        let follows = block.total.count == 0
            || (block.total.count.checked_sub(1).and_then(|more| block.total.first.0.checked_add(more))
                == Some(block.total.last.0)
                && (sum.count == 0 || sum.last.0.checked_add(1) == Some(block.total.first.0)));
        if !follows || from.is_some_and(|from| block.from < from) {
            return Err(DecodeError::Malformed { what: "a footer's blocks" });
        }
        from = Some(block.from);
        sum.join(&block.total);
    }
    if blocks.len() < 2 || sum != *total {
        return Err(DecodeError::Malformed { what: "a footer's blocks" });
    }
    Ok(blocks)
}

/// The blocks of a footer; none where it does not tell them.
pub(crate) fn blocks(footer: &[u8]) -> Result<Vec<Block>, DecodeError> {
    let mut input = Input(footer);
    let (version, total) = total_of(&mut input)?;
    if version == ROWS { Ok(Vec::new()) } else { blocks_of(&mut input, &total) }
}

/// One sum of each row of a footer, ascending by miner: there may be a million.
pub(crate) fn rows(footer: &[u8], column: Column) -> Result<Rows<'_>, DecodeError> {
    let mut input = Input(footer);
    let (version, total) = total_of(&mut input)?;
    if version == COLUMNS {
        blocks_of(&mut input, &total)?;
    }
    let malformed = || DecodeError::Malformed { what: MINERS };
    let left = input.count().ok_or_else(malformed)?;
    if version == ROWS {
        return Ok(Rows { form: Form::Rows(input, column), left });
    }
    let mut next = || {
        let len = input.count()?;
        input.bytes(len).map(Input)
    };
    let (Some(gaps), Some(counts), Some(works), Some(units)) = (next(), next(), next(), next()) else {
        return Err(malformed());
    };
    input.end()?;
    let values = match column {
        Column::Count => counts,
        Column::Work => works,
        Column::Units => units,
    };
    Ok(Rows { form: Form::Columns { gaps, values, miner: None }, left })
}

const MINERS: &str = "a footer's miners";

/// The rows of a footer.
#[derive(Clone, Debug)]
pub(crate) struct Rows<'a> {
    form: Form<'a>,
    left: usize,
}

#[derive(Clone, Copy, Debug)]
enum Form<'a> {
    Rows(Input<'a>, Column),
    Columns { gaps: Input<'a>, values: Input<'a>, miner: Option<u64> },
}

impl Form<'_> {
    fn row(&mut self) -> Result<(MinerId, u128), DecodeError> {
        match self {
            Self::Rows(input, column) => {
                let row: MinerShares = input.field(MINERS)?;
                Ok((row.miner, column.of(&row)))
            }
            Self::Columns { gaps, values, miner } => {
                let gap: u64 = gaps.field(MINERS)?;
                // Each once: only the first may be 0.
                let next = match miner {
                    None => Some(gap),
                    Some(miner) if gap > 0 => miner.checked_add(gap),
                    Some(_) => None,
                };
                let next = next.ok_or(DecodeError::Malformed { what: MINERS })?;
                *miner = Some(next);
                Ok((MinerId(next), values.field(MINERS)?))
            }
        }
    }

    fn end(&self) -> Result<(), DecodeError> {
        match self {
            Self::Rows(input, _) => input.end(),
            Self::Columns { gaps, values, .. } => gaps.end().and_then(|()| values.end()),
        }
    }
}

impl Iterator for Rows<'_> {
    type Item = Result<(MinerId, u128), DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        const NONE: Form<'_> = Form::Rows(Input(&[]), Column::Count);
        let Some(left) = self.left.checked_sub(1) else {
            // What is left over is told once.
            let end = self.form.end();
            self.form = NONE;
            return end.err().map(Err);
        };
        let row = self.form.row();
        self.left = left;
        if row.is_err() {
            // Nothing can be read behind what cannot be read.
            (self.left, self.form) = (0, NONE);
        }
        Some(row)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ShareBlock;
    use crate::tally::Tally;
    use proptest::prelude::*;

    fn tally(numbers: std::ops::RangeInclusive<u64>, marks: bool) -> Tally {
        let mut tally = Tally::begin(1);
        for number in numbers {
            let share = Share {
                miner: MinerId(number % 5 * 3),
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
            tally.add(number, &ShareBlock { first: ShareSeq(number), shares: vec![share] });
            if marks && number % 2 == 0 {
                tally.mark(number + 1);
            }
        }
        tally
    }

    #[test]
    fn rows_are_those_that_were_put_and_bytes_too_many_or_too_few_are_told() {
        for marks in [false, true] {
            let footer = tally(1..=5, marks).encode();
            assert_eq!(footer.first(), Some(&if marks { COLUMNS } else { ROWS }));
            let read = |column| rows(&footer, column).unwrap().map(Result::unwrap).collect::<Vec<_>>();
            let work: Vec<_> =
                [5_u128, 1, 2, 3, 4].iter().zip(0..).map(|(n, at)| (MinerId(at * 3), n << 40)).collect();
            assert_eq!(read(Column::Work), work);
            assert_eq!(read(Column::Count), work.iter().map(|row| (row.0, 1)).collect::<Vec<_>>());
            let units = |work: u128| (work << 64) / 1_000;
            assert_eq!(read(Column::Units), work.iter().map(|row| (row.0, units(row.1))).collect::<Vec<_>>());
            assert_eq!(decode_total(&footer).unwrap().count, 5);
            let blocks: Vec<_> =
                blocks(&footer).unwrap().iter().map(|block| (block.from, block.total.count)).collect();
            assert_eq!(blocks, if marks { vec![(1, 2), (3, 2), (5, 1)] } else { Vec::new() });

            let bad = |footer: &[u8]| match rows(footer, Column::Work) {
                Ok(rows) => rows.filter(Result::is_err).count() == 1,
                Err(_) => true,
            };
            assert!(bad(&[&footer[..], &[0]].concat()));
            for len in 0..footer.len() {
                assert!(bad(&footer[..len]), "{len} bytes");
            }
        }
    }

    #[test]
    fn blocks_that_are_not_their_segment_are_refused() {
        let tally = tally(1..=5, true);
        let footer = |change: fn(&mut Vec<Block>)| {
            let mut blocks = tally.blocks().to_vec();
            change(&mut blocks);
            blocks_of_bytes(&encode(tally.total(), &blocks, tally.rows()))
        };
        fn blocks_of_bytes(footer: &[u8]) -> bool {
            blocks(footer).is_ok()
        }
        assert!(footer(|_| ()));
        assert!(!footer(|blocks| blocks[1].from = 0));
        assert!(!footer(|blocks| blocks[1].total.work += 1));
        assert!(!footer(|blocks| _ = blocks.pop()));
        assert!(!footer(|blocks| blocks.swap(0, 1)));
        assert!(!footer(|blocks| blocks[0].total.last.0 += 1));
    }

    proptest! {
        #[test]
        fn reading_a_footer_is_total(version in 1_u8..3, mut bytes: Vec<u8>) {
            bytes.insert(0, version);
            let _ = (blocks(&bytes), decode_total(&bytes));
            for column in [Column::Count, Column::Work, Column::Units] {
                let _ = rows(&bytes, column).map(Iterator::count);
            }
        }

        #[test]
        fn a_changed_footer_is_refused_or_says_something(at: prop::sample::Index, byte: u8) {
            let mut footer = tally(1..=9, true).encode();
            let at = at.index(footer.len());
            footer[at] = byte;
            let _ = (blocks(&footer), rows(&footer, Column::Work).map(Iterator::count));
        }
    }
}
