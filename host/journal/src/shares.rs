//! Accepted shares, stored in columns: one block per commit group.
//!
//! A block stands alone: what a share's job said of the chain is in the block, once per distinct job, so that work
//! can be summed years later from this block and nothing else.

use crate::WorkerId;
use crate::codec::{DecodeError, Field, Input, Versions};
use millpond_types::{Amount, JobId, MinerId, ShareSeq, UnixMillis, Work};
use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;

/// A share that was judged and accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// Who is credited.
    pub miner: MinerId,
    /// With which worker.
    pub worker: WorkerId,
    /// On which job.
    pub job: JobId,
    /// The job's height or other chain coordinate.
    pub coord: u64,
    /// Work of the job's network target, in the network's work units.
    pub network_work: u128,
    /// What a block was expected to pay.
    pub reward: Amount,
    /// How much of that was subsidy, where the adapter tells it; the rest was fees.
    pub subsidy: Option<Amount>,
    /// Work of the target the share was judged by.
    pub work: Work,
    /// When it was accepted.
    pub time: UnixMillis,
    /// The recipe's `id` hash, by which duplicates are known.
    pub id: [u8; 32],
}

impl Share {
    /// Its work as a fraction of the network's at submission, 2^64 = 1, rounded down. A network without work counts
    /// as 1.
    #[must_use]
    pub fn units(&self) -> u128 {
        millpond_windows::units(self.work.0, self.network_work)
    }

    /// How much of its job's reward was fees: nothing where the adapter does not tell the subsidy.
    #[must_use]
    pub fn fees(&self) -> Amount {
        Amount(self.subsidy.map_or(0, |subsidy| self.reward.0.saturating_sub(subsidy.0)))
    }

    fn context(&self) -> Context {
        (self.job, self.coord, self.network_work, self.reward)
    }
}

/// What the shares of one job have in common, and the subsidy beside it where the block has version 2.
type Context = (JobId, u64, u128, Amount);

/// Shares with consecutive numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShareBlock {
    /// The number of the first one.
    pub first: ShareSeq,
    /// The shares, in order.
    pub shares: Vec<Share>,
}

impl ShareBlock {
    /// The shares with their numbers.
    pub fn numbered(&self) -> impl DoubleEndedIterator<Item = (ShareSeq, &Share)> {
        let first = self.first.0;
        self.shares
            .iter()
            .enumerate()
            .map(move |(index, share)| (ShareSeq(first.saturating_add(index as u64)), share))
    }
}

/// Distinct values in the order of first use, and each row's place among them.
struct Column<T> {
    distinct: Vec<T>,
    rows: Vec<u64>,
}

impl<T: Field + Ord + Copy> Column<T> {
    fn of(values: impl Iterator<Item = T>) -> Self {
        let mut places = BTreeMap::new();
        let mut column = Self { distinct: Vec::new(), rows: Vec::new() };
        for value in values {
            let place = *places.entry(value).or_insert_with(|| {
                column.distinct.push(value);
                column.distinct.len() as u64 - 1
            });
            column.rows.push(place);
        }
        column
    }

    /// The places are left out when there is only one value.
    fn put(&self, out: &mut Vec<u8>) {
        self.distinct.put(out);
        if self.distinct.len() > 1 {
            self.rows.iter().for_each(|row| row.put(out));
        }
    }

    /// The column of so many rows.
    fn take(from: &mut Input<'_>, rows: usize) -> Option<Self> {
        let mut column = Self { distinct: Field::take(from)?, rows: Vec::new() };
        let distinct = column.distinct.len();
        if column.distinct.iter().collect::<BTreeSet<_>>().len() != distinct {
            return None;
        }
        if distinct < 2 {
            return (distinct == rows.min(1)).then_some(column);
        }
        let mut used = 0;
        column.rows.reserve_exact(rows);
        for _ in 0..rows {
            let place = u64::take(from)?;
            // In the order of first use, so that a block has one form.
            if place > used || place >= distinct as u64 {
                return None;
            }
            used = used.max(place.saturating_add(1));
            column.rows.push(place);
        }
        (used == distinct as u64).then_some(column)
    }

    fn get(&self, row: usize) -> Option<&T> {
        let place = if self.distinct.len() < 2 { 0 } else { *self.rows.get(row)? };
        self.distinct.get(usize::try_from(place).ok()?)
    }
}

impl Field for Work {
    fn put(&self, out: &mut Vec<u8>) {
        self.0.put(out);
    }

    fn take(from: &mut Input<'_>) -> Option<Self> {
        u64::take(from).map(Self)
    }
}

impl<A: Field, B: Field, C: Field, D: Field> Field for (A, B, C, D) {
    fn put(&self, out: &mut Vec<u8>) {
        self.0.put(out);
        self.1.put(out);
        self.2.put(out);
        self.3.put(out);
    }

    fn take(from: &mut Input<'_>) -> Option<Self> {
        Some((A::take(from)?, B::take(from)?, C::take(from)?, D::take(from)?))
    }
}

impl Versions for ShareBlock {
    fn version(&self) -> u8 {
        if self.shares.iter().any(|share| share.subsidy.is_some()) { 2 } else { 1 }
    }

    fn put_version(&self, out: &mut Vec<u8>) {
        out.reserve(64 + self.shares.len() * 44);
        self.first.put(out);
        (self.shares.len() as u64).put(out);
        if self.version() == 1 {
            Column::of(self.shares.iter().map(Share::context)).put(out);
        } else {
            Column::of(self.shares.iter().map(|share| (share.context(), share.subsidy))).put(out);
        }
        Column::of(self.shares.iter().map(|share| share.work)).put(out);
        let mut before = 0;
        for share in &self.shares {
            // Differences wrap, so that any two times have one.
            (share.time.0.wrapping_sub(before) as i64).put(out);
            before = share.time.0;
        }
        self.shares.iter().for_each(|share| share.miner.put(out));
        self.shares.iter().for_each(|share| share.worker.put(out));
        self.shares.iter().for_each(|share| out.extend_from_slice(&share.id));
    }

    fn take_version(version: u8, from: &mut Input<'_>) -> Option<Self> {
        let mut shares = Vec::new();
        let first = take_front(version, from, |_, share| {
            shares.push(*share);
            Ok::<_, Infallible>(())
        });
        let mut block = Self { first: first?.ok()?, shares };
        for share in &mut block.shares {
            share.worker = WorkerId::take(from)?;
        }
        for share in &mut block.shares {
            share.id = from.array()?;
        }
        // One value has one version.
        (block.version() == version).then_some(block)
    }
}

impl ShareBlock {
    /// Gives a record's shares as far as a window weighs them: workers and ids, which take most of its bytes, stand behind the
    /// rest and are not read.
    pub(crate) fn weigh<E>(
        payload: &[u8],
        visit: impl FnMut(ShareSeq, &Share) -> Result<(), E>,
    ) -> Result<Result<(), E>, DecodeError> {
        let mut input = Input(payload);
        let version: u8 = input.field("a record's version")?;
        if !(1..=2).contains(&version) {
            return Err(DecodeError::Version { what: "Shares", version });
        }
        let visited = take_front(version, &mut input, visit);
        visited.map(|visited| visited.map(|_| ())).ok_or(DecodeError::Malformed { what: "Shares" })
    }
}

/// The columns in front: gives the shares without their workers and ids, and the first one's number.
fn take_front<E>(
    version: u8,
    from: &mut Input<'_>,
    mut visit: impl FnMut(ShareSeq, &Share) -> Result<(), E>,
) -> Option<Result<ShareSeq, E>> {
    let first = ShareSeq::take(from)?;
    let rows = from.count()?;
    // Numbers must not run over.
    first.0.checked_add(rows as u64)?;
    // Each row takes at least its id.
    if from.0.len() / 32 < rows {
        return None;
    }
    let contexts: Column<(Context, Option<Amount>)> = if version == 1 {
        let Column { distinct, rows } = Column::take(from, rows)?;
        Column { distinct: distinct.into_iter().map(|context| (context, None)).collect(), rows }
    } else {
        Column::take(from, rows)?
    };
    let works: Column<Work> = Column::take(from, rows)?;
    let mut before = 0_u64;
    let mut times = Vec::with_capacity(rows);
    for _ in 0..rows {
        before = before.wrapping_add(i64::take(from)? as u64);
        times.push(UnixMillis(before));
    }
    for (row, time) in times.into_iter().enumerate() {
        let ((job, coord, network_work, reward), subsidy) = *contexts.get(row)?;
        let (work, miner) = (*works.get(row)?, MinerId::take(from)?);
        let (worker, id) = (WorkerId(0), [0; 32]);
        let share = Share { miner, worker, job, coord, network_work, reward, subsidy, work, time, id };
        if let Err(error) = visit(ShareSeq(first.0.saturating_add(row as u64)), &share) {
            return Some(Err(error));
        }
    }
    Some(Ok(first))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Record;
    use proptest::prelude::*;

    const SHARES_KIND: u16 = crate::records::SHARES;

    pub(crate) fn share(number: u64, miners: u64) -> Share {
        let id = *blake_like(number);
        Share {
            miner: MinerId(1 + number * 7919 % miners),
            worker: WorkerId(1 + number * 7919 % (2 * miners)),
            job: JobId(1000 + number / 500),
            coord: 900_000,
            network_work: 600_000_000_000_000_000,
            reward: Amount(312_500_000),
            subsidy: None,
            work: Work(1 << (30 + number % 8)),
            time: UnixMillis(1_760_000_000_000 + number),
            id,
        }
    }

    fn blake_like(number: u64) -> Box<[u8; 32]> {
        Box::new(millpond_types::Digest::of(&number.to_le_bytes()).0)
    }

    fn bytes_per_share(rows: u64, miners: u64) -> f64 {
        let block =
            ShareBlock { first: ShareSeq(10_000_000), shares: (0..rows).map(|n| share(n, miners)).collect() };
        Record::Shares(block).encode().len() as f64 / rows as f64
    }

    /// The figure of the design page: about 40 bytes a share, with the whole 32-byte hash in it.
    #[test]
    fn a_share_takes_about_40_bytes() {
        for (rows, miners, most) in
            [(1000, 1000, 40.0), (100, 1000, 41.0), (10, 100, 48.0), (10_000, 50_000, 42.0)]
        {
            let each = bytes_per_share(rows, miners);
            println!("{rows} shares of {miners} miners in a group: {each:.2} bytes each");
            assert!((36.0..most).contains(&each), "{each} bytes with {rows} shares in a group");
        }
    }

    /// The subsidy costs bytes where it is told and none where it is not, and a block without it is one of version 1.
    #[test]
    fn a_block_has_the_lowest_version_that_holds_it() {
        let of = |subsidies: [Option<u64>; 2]| {
            let shares = (0..)
                .zip(subsidies)
                .map(|(number, subsidy)| Share { subsidy: subsidy.map(Amount), ..share(number, 5) });
            let record = Record::Shares(ShareBlock { first: ShareSeq(1), shares: shares.collect() });
            let bytes = record.encode();
            assert_eq!(Record::decode(record.kind(), &bytes), Ok(record));
            (bytes.first().copied(), bytes)
        };
        let (first, without) = of([None, None]);
        assert_eq!(first, Some(1));
        assert_eq!(of([None, Some(7)]).0, Some(2));
        assert_eq!(of([Some(0), Some(0)]).0, Some(2));
        // The same words as version 2 would be a second form of the same block.
        let mut second = vec![2];
        second.extend_from_slice(without.get(1..).unwrap());
        assert!(Record::decode(SHARES_KIND, &second).is_err());
    }

    fn any_share() -> impl Strategy<Value = Share> {
        let small = (0_u64..4, 0_u64..4, 0_u64..3, any::<u64>(), any::<u128>(), 0_u64..3);
        // Most blocks are of an adapter that tells it always, or never.
        let subsidy = prop::option::weighted(0.2, 0_u64..2);
        (small, subsidy, any::<u64>(), any::<u64>(), any::<[u8; 32]>()).prop_map(
            |((miner, worker, job, coord, network_work, reward), subsidy, work, time, id)| Share {
                miner: MinerId(miner),
                worker: WorkerId(worker),
                job: JobId(job),
                coord: coord % 3,
                network_work: network_work % 5,
                reward: Amount(reward),
                subsidy: subsidy.map(Amount),
                work: Work(work % 3),
                time: UnixMillis(time),
                id,
            },
        )
    }

    proptest! {
        #[test]
        fn a_block_survives_its_bytes(first in 1_u64..1 << 40, shares in prop::collection::vec(any_share(), 0..40)) {
            let record = Record::Shares(ShareBlock { first: ShareSeq(first), shares });
            let bytes = record.encode();
            prop_assert_eq!(Record::decode(record.kind(), &bytes), Ok(record));
        }

        /// What a window is given is what the block says, but for workers and ids.
        #[test]
        fn a_share_is_weighed_as_it_is(first in 1_u64..1 << 40, shares in prop::collection::vec(any_share(), 0..40)) {
            let block = ShareBlock { first: ShareSeq(first), shares };
            let bytes = Record::Shares(block.clone()).encode();
            let mut weighed = Vec::new();
            let visited = ShareBlock::weigh(&bytes, |seq, share| {
                weighed.push((seq, *share));
                if weighed.len() == 30 { Err("enough") } else { Ok(()) }
            });
            prop_assert_eq!(visited, Ok(if block.shares.len() < 30 { Ok(()) } else { Err("enough") }));
            let bare = |share: &Share| Share { worker: WorkerId(0), id: [0; 32], ..*share };
            let expected: Vec<_> = block.numbered().take(30).map(|(seq, share)| (seq, bare(share))).collect();
            prop_assert_eq!(weighed, expected);
        }

        #[test]
        fn damaged_bytes_are_refused_or_mean_what_they_say(
            shares in prop::collection::vec(any_share(), 1..6),
            at: prop::sample::Index,
            bit in 0_u8..8,
            cut: prop::sample::Index,
        ) {
            let record = Record::Shares(ShareBlock { first: ShareSeq(1), shares });
            let mut bytes = record.encode();
            prop_assert!(Record::decode(record.kind(), &bytes[..cut.index(bytes.len())]).is_err());
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            if let Ok(other) = Record::decode(record.kind(), &bytes) {
                prop_assert_eq!(other.encode(), bytes);
            }
        }

        #[test]
        fn decoding_is_total(kind in 0_u16..20, version in 1_u8..3, bytes: Vec<u8>) {
            let _ = Record::decode(kind, &bytes);
            let versioned: Vec<u8> = std::iter::once(version).chain(bytes).collect();
            if let Ok(record) = Record::decode(kind, &versioned) {
                prop_assert_eq!(record.encode(), versioned);
            }
        }
    }
}
