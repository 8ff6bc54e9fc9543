//! The integers of the double geometric method against exact fractions, its page, and what it promises.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use millpond_scheme_dgm::Dgm;
use millpond_scheme_history::second::{Kept, accrue, batch, rounds};
use millpond_scheme_history::{INCOME, Page, Paid, SHARES, Share};
use millpond_sdk::payout_0_2::{Income, Scheme, Setting, Settings};
use primitive_types::U512;
use proptest::prelude::*;

const PAGE: Page = Page(include_str!("../../../docs/schemes/dgm.md"));

fn settings(c: i64, o: i64, f: i64) -> Settings {
    let one = |(name, value): (&str, i64)| (name.to_owned(), Setting::Int(value));
    [("c_bp", c), ("f_ppm", f), ("o_bp", o)].map(one).to_vec()
}

fn gcd(a: U512, b: U512) -> U512 {
    if b.is_zero() { a } else { gcd(b, a % b) }
}

/// A fraction in lowest terms.
#[derive(Clone, Copy)]
struct Exact(U512, U512);

impl Exact {
    fn of(above: u64, below: u64) -> Self {
        Self(above.into(), below.into()).lowest()
    }
    fn lowest(self) -> Self {
        let by = gcd(self.0, self.1);
        Self(self.0 / by, self.1 / by)
    }
    fn times(self, other: Self) -> Self {
        Self(self.0 * other.0, self.1 * other.1).lowest()
    }
    fn plus(self, other: Self) -> Self {
        Self(self.0 * other.1 + other.0 * self.1, self.1 * other.1).lowest()
    }
    fn over(self, other: Self) -> Self {
        self.times(Self(other.1, other.0))
    }
    fn floor(self) -> u64 {
        (self.0 / self.1).as_u64()
    }
}

/// What each block pays A, B and C, by the definition: scores are divided with every share, and nothing is normalised.
fn by_definition(a: Exact, o: Exact) -> Vec<[Exact; 3]> {
    let zero = Exact(0.into(), 1.into());
    let mut scores = [zero; 3];
    let mut paid = Vec::new();
    for share in SHARES {
        let u = Exact::of(share.work, share.network);
        let of = &mut scores[share.miner as usize - 1];
        *of = of.plus(u.times(Exact::of(INCOME, 1)));
        let decay = Exact::of(1, 1).plus(a.times(u));
        scores = scores.map(|score| score.over(decay));
        if share.block {
            paid.push(scores.map(|score| score.times(a)));
            scores = scores.map(|score| score.times(o));
        }
    }
    paid
}

fn held(settings: &Settings, a: Exact, o: Exact) {
    let found = rounds::<Dgm>(settings, 100);
    for (block, (round, exact)) in found.iter().zip(by_definition(a, o)).enumerate() {
        let floors = exact.map(Exact::floor);
        for (amount, floor) in round.amounts.into_iter().zip(floors) {
            // Rounded down once more at most, where the exact part is a whole number.
            assert!(amount == floor || amount + 1 == floor, "block {}: {amount} for {floor}", block + 1);
        }
        let sum: u64 = round.amounts.iter().sum();
        assert_eq!(
            (round.operator, round.from_reserve),
            (INCOME.saturating_sub(sum), sum.saturating_sub(INCOME))
        );
        assert_eq!(round.credits, [0; 3]);
    }
    assert_eq!(found.len(), 5);
}

#[test]
fn the_integers_are_the_exact_fractions_rounded_down() {
    // (1 - c)(1 - o)/c with c = 0.3, o = 0.7; and with c = 0.2, o = 0.
    held(&settings(3000, 7000, 0), Exact::of(7, 10), Exact::of(7, 10));
    held(&settings(2000, 0, 0), Exact::of(4, 1), Exact(0.into(), 1.into()));
    // A block of little luck for the operator: he adds to it.
    held(&settings(1000, 9000, 0), Exact::of(9, 10), Exact::of(9, 10));
}

#[test]
fn the_page_says_what_is_paid() {
    PAGE.describes_0_2::<Dgm>();
    let paid: Vec<Paid> = rounds::<Dgm>(&Settings::new(), 100).iter().map(|round| round.block()).collect();
    PAGE.works_out("## Worked example", &paid);
    let all = Page(include_str!("../../../docs/schemes/README.md"));
    all.sums_up("dgm", &paid);
}

#[test]
fn a_fee_below_zero_is_paid_out_of_the_reserve_and_terms_say_so() {
    let [plain, fed, added] = [0, 250_000, -100_000].map(|f| rounds::<Dgm>(&settings(3000, 7000, f), 100));
    for ((plain, fed), added) in plain.iter().zip(&fed).zip(&added) {
        for miner in 0..3 {
            assert!(fed.amounts[miner].abs_diff(plain.amounts[miner] * 3 / 4) <= 1);
            assert!(added.amounts[miner].abs_diff(plain.amounts[miner] * 11 / 10) <= 1);
        }
    }
    assert!(Dgm::describe(settings(3000, 7000, 0)).unwrap().reserve);
    let geometric = Dgm::describe(settings(3000, 0, 0)).unwrap();
    assert!(!geometric.reserve && geometric.claims.contains(&"no-deficit".to_owned()));
    for (c, o, f) in [(0, 7000, 0), (10_001, 0, 0), (3000, 10_000, 0), (-1, 0, 0), (3000, 0, 2_000_000)] {
        assert!(Dgm::describe(settings(c, o, f)).is_err(), "{c} {o} {f}");
    }
}

fn income(paid: u64, reserve: u64) -> Income {
    let (key, finder, subsidy) = (vec![1], Some(1), None);
    Income { key, number: 1, time_ms: 0, coord: 1, finder, paid, subsidy, carried: 0, reserve }
}

fn share() -> impl Strategy<Value = Share> {
    (1..6_u64, 1..400_u64, 400..2000_u64).prop_map(|(miner, work, network)| Share {
        hour: 0,
        miner,
        work,
        network,
        block: false,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_cut_into_batches_is_one_batch(shares in proptest::collection::vec(share(), 1..80), size in 1..20_usize) {
        let settings = settings(3000, 7000, 0);
        let (mut once, mut cut) = (Kept::default(), Kept::default());
        accrue::<Dgm>(&settings, &mut once, batch(1, &shares));
        for (at, some) in shares.chunks(size).enumerate() {
            accrue::<Dgm>(&settings, &mut cut, batch((at * size) as u64 + 1, some));
        }
        prop_assert_eq!(once, cut);
    }

    #[test]
    fn a_block_pays_all_that_is_due_and_no_more_than_there_is(
        shares in proptest::collection::vec(share(), 1..200), o in 0..9000_i64, paid in 0..2000_u64, reserve in 0..500_u64,
    ) {
        let settings = settings(3000, o, 0);
        let mut kept = Kept::default();
        accrue::<Dgm>(&settings, &mut kept, batch(1, &shares));
        let reserve = if o > 0 { reserve } else { 0 };
        let rich = if o > 0 { 1 << 40 } else { 0 };
        let due = |paid, reserve| Dgm::allocate(settings.clone(), income(paid, reserve), vec![], kept.state(None)).unwrap();
        let whole: u64 = due(if o > 0 { paid } else { 1 << 40 }, rich).amount.iter().sum();
        let given = due(paid, reserve);
        let sum: u64 = given.amount.iter().sum();
        prop_assert_eq!(sum + given.operator, paid + given.from_reserve);
        prop_assert!(given.from_reserve <= reserve);
        if whole <= paid + reserve {
            prop_assert_eq!(sum, whole);
        } else {
            // Cut alike: less than a unit a miner stays.
            prop_assert!(sum + 5 >= paid + reserve, "{} of {} and {}", sum, paid, reserve);
        }
    }

    #[test]
    fn the_largest_rewards_and_networks_fit(reward in (1 << 60)..=u64::MAX, work: u64, shift in 0..60_u32) {
        let mut kept = Kept::default();
        let settings = settings(5000, 9000, 0);
        let mut shares = batch(1, &[SHARES[0]; 40]);
        shares.reward = vec![reward; 40];
        shares.work_low = vec![work.max(1); 40];
        shares.network_low = vec![u64::MAX; 40];
        shares.network_high = vec![(1 << shift) - 1; 40];
        accrue::<Dgm>(&settings, &mut kept, shares);
        let given = Dgm::allocate(settings, income(reward, u64::MAX), vec![], kept.state(None)).unwrap();
        prop_assert!(given.amount.iter().sum::<u64>() <= reward.saturating_add(given.from_reserve));
    }
}

#[test]
fn a_block_without_reward_takes_no_row_and_one_with_it_takes_the_dead() {
    let settings = settings(3000, 0, 0);
    let mut kept = Kept::default();
    accrue::<Dgm>(&settings, &mut kept, batch(1, &SHARES));
    let state = kept.state(None);
    assert_eq!(state.miner, [1, 2, 3]);
    let nothing = Dgm::allocate(settings.clone(), income(0, 0), vec![], kept.state(None)).unwrap();
    assert!(nothing.state.miner.is_empty());
    let block = Dgm::allocate(settings, income(1000, 0), vec![], kept.state(None)).unwrap();
    assert_eq!((block.state.miner, block.state.cells), (vec![1, 2, 3], vec![0; 9]));
}
