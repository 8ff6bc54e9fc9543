//! One number for each miner, in blocks that copies share: a copy costs a pointer for a thousand miners, and to change one
//! of them copies his block and no other. So the numbers that an entry leads to are made beside those that are read
//! meanwhile, of a million miners too.

use millpond_types::MinerId;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Below this a miner has a place in a block: numbers are given from 1 on. Those above are looked up, so that no number in
/// a file makes a column as long as itself; the longest takes 128 KB before it holds anything.
pub(crate) const PLACES: usize = 1 << 24;
/// Miners of a block.
const WIDTH: usize = 1 << 10;

/// Those of miners whose numbers follow each other.
type Block = [i128; WIDTH];

/// One number for each miner; most often zero.
#[derive(Clone, Debug, Default)]
pub(crate) struct Column {
    /// None where all are zero.
    near: Vec<Option<Arc<Block>>>,
    beyond: BTreeMap<MinerId, i128>,
}

impl Column {
    /// Block, and place in it.
    fn place(miner: MinerId) -> Option<(usize, usize)> {
        let place = usize::try_from(miner.0).ok().filter(|place| *place < PLACES)?;
        Some((place / WIDTH, place % WIDTH))
    }

    pub(crate) fn get(&self, miner: MinerId) -> i128 {
        let found = match Self::place(miner) {
            Some((block, at)) => {
                self.near.get(block).and_then(Option::as_ref).and_then(|block| block.get(at))
            }
            None => self.beyond.get(&miner),
        };
        found.copied().unwrap_or(0)
    }

    pub(crate) fn set(&mut self, miner: MinerId, number: i128) {
        let Some((block, at)) = Self::place(miner) else {
            if number == 0 {
                self.beyond.remove(&miner);
            } else {
                self.beyond.insert(miner, number);
            }
            return;
        };
        if block >= self.near.len() {
            if number == 0 {
                return;
            }
            self.near.resize(block.saturating_add(1), None);
        }
        let Some(held) = self.near.get_mut(block) else { return };
        if held.is_none() && number == 0 {
            return;
        }
        let block = Arc::make_mut(held.get_or_insert_with(|| Arc::new([0; WIDTH])));
        if let Some(slot) = block.get_mut(at) {
            *slot = number;
        }
    }

    /// Those that are not zero, ascending by miner.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (MinerId, i128)> + '_ {
        let near = self.near.iter().zip(0_u64..).filter_map(|(block, at)| Some((block.as_ref()?, at)));
        let near = near.flat_map(|(block, at)| (at * WIDTH as u64..).map(MinerId).zip(block.iter().copied()));
        let near = near.filter(|(_, number)| *number != 0);
        near.chain(self.beyond.iter().map(|(miner, number)| (*miner, *number)))
    }
}

// Room that was made for miners whose number is zero again makes no difference.
impl PartialEq for Column {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Column {}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn miner() -> impl Strategy<Value = MinerId> {
        let width = WIDTH as u64;
        let edge = PLACES as u64;
        prop_oneof![
            4 => 1_u64..9,
            2 => (width - 2)..(width + 2),
            1 => (edge - 2)..(edge + 2),
            1 => Just(u64::MAX),
        ]
        .prop_map(MinerId)
    }

    proptest! {
        #[test]
        fn a_column_is_a_map_and_a_copy_of_it_stays_as_it_was(
            before in proptest::collection::vec((miner(), -2..3_i128), 0..40),
            after in proptest::collection::vec((miner(), -2..3_i128), 0..40),
        ) {
            let (mut column, mut map) = (Column::default(), BTreeMap::new());
            let set = |column: &mut Column, map: &mut BTreeMap<MinerId, i128>, changes: &[(MinerId, i128)]| {
                for (miner, number) in changes {
                    column.set(*miner, *number);
                    map.insert(*miner, *number);
                }
                map.retain(|_, number| *number != 0);
            };
            set(&mut column, &mut map, &before);
            let (copy, then) = (column.clone(), map.clone());
            set(&mut column, &mut map, &after);
            for (column, map) in [(&copy, then), (&column, map)] {
                for (miner, _) in before.iter().chain(&after) {
                    prop_assert_eq!(column.get(*miner), map.get(miner).copied().unwrap_or(0));
                }
                prop_assert_eq!(column.iter().collect::<Vec<_>>(), map.into_iter().collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn a_change_copies_the_block_of_its_miner_and_no_other() {
        let mut column = Column::default();
        let width = WIDTH as u64;
        (0..4 * width).for_each(|miner| column.set(MinerId(miner), 1));
        let copy = column.clone();
        column.set(MinerId(2 * width + 5), 7);
        let same = |block: usize| {
            Arc::ptr_eq(copy.near[block].as_ref().unwrap(), column.near[block].as_ref().unwrap())
        };
        assert_eq!([0, 1, 2, 3].map(same), [true, true, false, true]);
    }

    #[test]
    fn a_wild_number_makes_no_long_column_and_a_zero_none_at_all() {
        let mut column = Column::default();
        column.set(MinerId(u64::MAX), 5);
        column.set(MinerId(PLACES as u64 - 1), 0);
        assert_eq!((column.near.len(), column.get(MinerId(u64::MAX))), (0, 5));
        column.set(MinerId(PLACES as u64 - 1), 1);
        assert_eq!(column.near.iter().flatten().count(), 1);
    }
}
