//! Properties of one allocation that a scheme without state must have, for the property tests of the schemes.

use crate::totals;
use millpond_sdk::payout::{Allocation, Income, Measure, Scheme, Settings, Span, State, Totals, Window};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

/// An income and who worked for it: what a test varies.
#[derive(Clone, Debug)]
pub struct Case {
    /// What is divided.
    pub gross: u64,
    /// The sums of every window but that of the finder, which alone has him with 1.
    pub sums: BTreeMap<u64, u128>,
    /// Who found the block.
    pub finder: Option<u64>,
}

/// Any income among up to 16 miners, whose sums are of every length up to 100 bits.
pub fn cases() -> impl Strategy<Value = Case> {
    let sum = (any::<u128>(), 28..128_u32).prop_map(|(wide, shift)| (wide >> shift).max(1));
    let gross = prop_oneof![any::<u64>(), 0..2000_u64, Just(u64::MAX), Just(u64::from(u32::MAX))];
    (gross, proptest::collection::vec(sum, 0..16), any::<Option<u8>>()).prop_map(|(gross, sums, finder)| {
        let sums: BTreeMap<u64, u128> = (1..).zip(sums).collect();
        // Who finds a block has work.
        let finder = finder.filter(|_| !sums.is_empty()).map(|any| u64::from(any) % sums.len() as u64 + 1);
        Case { gross, sums, finder }
    })
}

/// The ends of the integers, with and without a finder: conserved all of them, and a sum beyond 128 bits, which the
/// host never hands in, is an error and no wrap.
pub fn holds_at_the_ends<S: Scheme>(settings: &Settings) {
    const UNIT: u128 = 1 << 64;
    let rows: [&[(u64, u128)]; 9] = [
        &[],
        &[(1, 1)],
        &[(1, u128::MAX)],
        &[(1, UNIT - 1), (2, 1)],
        &[(1, UNIT / 2), (2, UNIT / 2 - 1)],
        &[(1, 1), (u64::MAX, UNIT)],
        &[(1, 1), (2, u128::MAX - 1)],
        &[(1, u128::MAX / 2), (u64::MAX, u128::MAX / 2)],
        &[(1, u128::MAX / 3), (2, u128::MAX / 3), (3, u128::MAX / 3)],
    ];
    for gross in [0, 1, 2, u64::from(u32::MAX), u64::MAX - 1, u64::MAX] {
        for rows in rows {
            for finder in [None, Some(1), Some(2)] {
                Case { gross, sums: rows.iter().copied().collect(), finder }.ask::<S>(settings);
            }
        }
    }
    let terms = S::describe(settings.clone()).unwrap();
    let beyond = Case { gross: 1, sums: BTreeMap::from([(1, u128::MAX), (2, 1)]), finder: Some(1) };
    let income = Income { key: vec![1], gross: 1, seq: 1, time_ms: 0, coord: 1, finder: Some(1) };
    let windows = beyond.windows(&terms.windows);
    let refused = S::allocate(settings.clone(), income, windows, State::unchanged()).unwrap_err();
    assert!(refused.contains("128 bits"), "{refused}");
}

impl Case {
    /// What the host would hand in for these windows.
    fn windows(&self, wanted: &[Window]) -> Vec<Totals> {
        let of = |window: &Window| match window.span {
            Span::Finder => totals(&self.finder.iter().map(|miner| (*miner, 1)).collect()),
            Span::State => totals(&BTreeMap::new()),
            _ => totals(&self.sums),
        };
        wanted.iter().map(of).collect()
    }

    /// Asks the scheme and looks at the form of its answer.
    pub fn ask<S: Scheme>(&self, settings: &Settings) -> Allocation {
        let terms = S::describe(settings.clone()).unwrap();
        let income =
            Income { key: vec![1], gross: self.gross, seq: 1, time_ms: 0, coord: 1, finder: self.finder };
        let windows = self.windows(&terms.windows);
        let given = S::allocate(settings.clone(), income, windows, State::unchanged()).unwrap();
        assert_eq!(given.miner.len(), given.amount.len(), "{self:?}");
        assert!(given.miner.is_sorted_by(|one, two| one < two), "{self:?}: {given:?}");
        assert!(!given.amount.contains(&0), "{self:?}: {given:?}");
        let known: BTreeSet<u64> = self.sums.keys().copied().chain(self.finder).collect();
        assert!(given.miner.iter().all(|miner| known.contains(miner)), "{self:?}: {given:?}");
        let sum: u128 = given.amount.iter().map(|amount| u128::from(*amount)).sum();
        assert_eq!(sum + u128::from(given.rest), u128::from(self.gross), "{self:?}");
        given
    }

    fn amounts<S: Scheme>(&self, settings: &Settings) -> BTreeMap<u64, u64> {
        let given = self.ask::<S>(settings);
        given.miner.into_iter().zip(given.amount).collect()
    }

    /// Miners in another order, under other names, get the same within a unit.
    pub fn is_the_same_renamed<S: Scheme>(&self, settings: &Settings, turn: u64) {
        let count = self.sums.len() as u64;
        let name = |miner: u64| 1000 - (miner + turn) % count.max(1) * 3;
        let renamed = Self {
            gross: self.gross,
            sums: self.sums.iter().map(|(miner, sum)| (name(*miner), *sum)).collect(),
            finder: self.finder.map(name),
        };
        let (before, after) = (self.amounts::<S>(settings), renamed.amounts::<S>(settings));
        for miner in self.sums.keys() {
            let (one, two) = (of(&before, *miner), of(&after, name(*miner)));
            assert!(one.abs_diff(two) <= 1, "miner {miner} gets {one}, renamed {two}: {self:?}");
        }
    }

    /// A miner in two parts gets the same within a unit for each, and the others as before.
    pub fn is_the_same_split<S: Scheme>(&self, settings: &Settings, who: u64, part: u8) {
        let who = who % (self.sums.len() as u64).max(1) + 1;
        let Some(sum) = self.sums.get(&who).copied().filter(|sum| *sum > 1) else { return };
        let second = (sum / 256 * u128::from(part)).clamp(1, sum - 1);
        let mut split = self.clone();
        split.sums.insert(who, sum - second);
        split.sums.insert(500, second);
        let (before, after) = (self.amounts::<S>(settings), split.amounts::<S>(settings));
        let (one, two) = (of(&before, who), u128::from(of(&after, who)) + u128::from(of(&after, 500)));
        assert!(u128::from(one).abs_diff(two) <= 2, "miner {who} gets {one}, in two parts {two}: {self:?}");
        for miner in self.sums.keys().filter(|miner| **miner != who) {
            let (one, two) = (of(&before, *miner), of(&after, *miner));
            assert!(one.abs_diff(two) <= 1, "miner {miner} gets {one}, and {two} beside a split: {self:?}");
        }
    }

    /// All work times a constant moves nobody's amount by more than a unit; units are relative to the network's work.
    pub fn is_the_same_scaled<S: Scheme>(&self, settings: &Settings, by: u32) {
        let terms = S::describe(settings.clone()).unwrap();
        let in_work =
            terms.windows.iter().any(|window| window.measure == Measure::Work && window.span != Span::Finder);
        if !in_work {
            return;
        }
        let mut scaled = self.clone();
        scaled.sums.values_mut().for_each(|sum| *sum *= u128::from(by.clamp(1, 1 << 20)));
        let (before, after) = (self.amounts::<S>(settings), scaled.amounts::<S>(settings));
        for miner in self.sums.keys() {
            let (one, two) = (of(&before, *miner), of(&after, *miner));
            assert!(one.abs_diff(two) <= 1, "miner {miner} gets {one}, scaled {two}: {self:?}");
        }
    }

    /// Who works more, the others as before, gets no less but for a unit of rounding.
    pub fn pays_more_for_more<S: Scheme>(&self, settings: &Settings, who: u64, more: u64) {
        let who = who % (self.sums.len() as u64).max(1) + 1;
        let mut worked = self.clone();
        let Some(sum) = worked.sums.get_mut(&who) else { return };
        *sum += u128::from(more);
        let (before, after) =
            (of(&self.amounts::<S>(settings), who), of(&worked.amounts::<S>(settings), who));
        assert!(
            after.saturating_add(1) >= before,
            "miner {who} gets {before}, for more work {after}: {self:?}"
        );
    }
}

fn of(amounts: &BTreeMap<u64, u64>, miner: u64) -> u64 {
    amounts.get(&miner).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use millpond_sdk::payout::{Edge, Reversal, Terms};

    const PER_HEAD: u8 = 0;
    const FAVOURITE: u8 = 1;
    const ABSOLUTE: u8 = 2;
    const INVERSE: u8 = 3;
    const MINTING: u8 = 4;
    const STRANGER: u8 = 5;

    /// A split by work with one thing wrong.
    struct Bad<const WHAT: u8>;

    impl<const WHAT: u8> Scheme for Bad<WHAT> {
        fn schema() -> String {
            millpond_sdk::NO_SETTINGS.to_owned()
        }

        fn describe(_: Settings) -> Result<Terms, String> {
            Ok(Terms {
                windows: vec![Window { span: Span::Round, measure: Measure::Work, edge: Edge::Whole }],
                cells: 0,
                batch: 0,
                reversal: Reversal::Drop,
                reserve: false,
                claims: Vec::new(),
                state_format: String::new(),
            })
        }

        fn allocate(
            _: Settings,
            income: Income,
            windows: Vec<Totals>,
            _: State,
        ) -> Result<Allocation, String> {
            let least = windows[0].miner.first().copied();
            let rows = windows[0].rows().map(|(miner, sum)| match WHAT {
                PER_HEAD => 1,
                FAVOURITE if Some(miner) == least => sum * 2,
                ABSOLUTE => sum + 1000,
                INVERSE => 1_000_000 / (sum + 1),
                _ => sum,
            });
            let amounts = millpond_sdk::cumulative(income.gross, rows)?;
            let mut given = Allocation::of(income.gross, windows[0].miner.iter().copied().zip(amounts))?;
            match WHAT {
                MINTING => given.rest += 1,
                STRANGER => given.miner.iter_mut().for_each(|miner| *miner += 100),
                _ => {}
            }
            Ok(given)
        }
    }

    fn case() -> Case {
        Case { gross: 10_000, sums: BTreeMap::from([(1, 100), (2, 300), (3, 600)]), finder: Some(2) }
    }

    const NONE: Settings = Settings::new();

    #[test]
    fn a_plain_split_has_every_property() {
        case().is_the_same_renamed::<Bad<9>>(&NONE, 1);
        case().is_the_same_split::<Bad<9>>(&NONE, 0, 128);
        case().is_the_same_scaled::<Bad<9>>(&NONE, 7);
        case().pays_more_for_more::<Bad<9>>(&NONE, 1, 500);
        holds_at_the_ends::<Bad<9>>(&NONE);
    }

    #[test]
    #[should_panic(expected = "in two parts")]
    fn equal_parts_for_every_name_are_found() {
        case().is_the_same_split::<Bad<PER_HEAD>>(&NONE, 0, 128);
    }

    #[test]
    #[should_panic(expected = "renamed")]
    fn a_favourite_name_is_found() {
        case().is_the_same_renamed::<Bad<FAVOURITE>>(&NONE, 2);
    }

    #[test]
    #[should_panic(expected = "scaled")]
    fn a_weight_that_depends_on_the_unit_of_work_is_found() {
        case().is_the_same_scaled::<Bad<ABSOLUTE>>(&NONE, 7);
    }

    #[test]
    #[should_panic(expected = "for more work")]
    fn less_pay_for_more_work_is_found() {
        case().pays_more_for_more::<Bad<INVERSE>>(&NONE, 1, 500);
    }

    #[test]
    #[should_panic(expected = "10001")]
    fn a_unit_out_of_nothing_is_found() {
        case().ask::<Bad<MINTING>>(&NONE);
    }

    #[test]
    #[should_panic(expected = "miner: [101, 102, 103]")]
    fn a_stranger_is_found() {
        case().ask::<Bad<STRANGER>>(&NONE);
    }
}
