//! The page of SLICE: the history with fees of its own, its slices by the plain definition.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use millpond_scheme_history::second::SUBSIDY;
use millpond_scheme_history::{INCOME, Page, Paid, SHARES, totals};
use millpond_scheme_slice::Slice;
use millpond_sdk::payout_0_2::{Income, Scheme, Setting, Settings, Span, State, Totals};
use std::collections::BTreeMap;

/// Fees of the shares' jobs.
const FEES: [u64; 13] = [100, 100, 100, 60, 20, 40, 60, 100, 300, 200, 300, 50, 150];
const DELTA: u64 = 50;
const WINDOW: u64 = 2000;

fn settings() -> Settings {
    let number = |name: &str, value: u64| (name.to_owned(), Setting::Int(value as i64));
    vec![number("delta", DELTA), number("window", WINDOW)]
}

/// What of each share's work is inside of the window that ends at a share.
fn inside(end: usize) -> Vec<u64> {
    let mut room = SHARES[end].network * WINDOW / 1000;
    let mut inside = vec![0; end + 1];
    for at in (0..=end).rev() {
        inside[at] = SHARES[at].work.min(room);
        room -= inside[at];
    }
    inside
}

/// Shares by slice: one ends with each block of ours, and where fees have grown.
fn slices(end: usize) -> Vec<Vec<usize>> {
    let mut slices: Vec<Vec<usize>> = Vec::new();
    for at in 0..=end {
        let begins = at == 0 || SHARES[at - 1].block || FEES[at] >= FEES[slices.last().unwrap()[0]] + DELTA;
        if begins {
            slices.push(Vec::new());
        }
        slices.last_mut().unwrap().push(at);
    }
    slices
}

fn windows(end: usize) -> Vec<Totals> {
    let inside = inside(end);
    let (mut work, mut scores) = (BTreeMap::<u64, u128>::new(), BTreeMap::<u64, u128>::new());
    for slice in slices(end) {
        let of = |weigh: &dyn Fn(usize) -> u64| slice.iter().map(|at| u128::from(weigh(*at))).sum::<u128>();
        let (all, weighed) = (of(&|at| inside[at]), of(&|at| inside[at] * FEES[at]));
        for at in slice.into_iter().filter(|at| inside[*at] > 0) {
            *work.entry(SHARES[at].miner).or_default() += u128::from(inside[at]);
            let part = (all << 32) * u128::from(inside[at] * FEES[at]) / weighed;
            *scores.entry(SHARES[at].miner).or_default() += part;
        }
    }
    let second = |sums| {
        let sums = totals(&sums);
        Totals { miner: sums.miner, low: sums.low, high: sums.high }
    };
    vec![second(work), second(scores)]
}

fn income(number: u64, carried: u64) -> Income {
    Income {
        key: vec![number as u8],
        number,
        time_ms: 0,
        coord: number,
        finder: None,
        paid: INCOME,
        subsidy: Some(SUBSIDY),
        carried,
        reserve: 0,
    }
}

#[test]
fn the_page_says_what_is_paid_by_work_and_what_by_fees() {
    let page = Page(include_str!("../../../docs/schemes/slice.md"));
    page.describes_0_2::<Slice>();
    let blocks = SHARES.iter().enumerate().filter(|(_, share)| share.block).map(|(end, _)| end);
    let paid: Vec<Paid> = (1..)
        .zip(blocks)
        .map(|(number, end)| {
            let given =
                Slice::allocate(settings(), income(number, 0), windows(end), State::unchanged()).unwrap();
            let mut amounts = [0; 3];
            for (miner, amount) in given.miner.iter().zip(&given.amount) {
                amounts[*miner as usize - 1] = *amount;
            }
            Paid { gross: INCOME, amounts, rest: given.carry }
        })
        .collect();
    page.works_out("## Worked example", &paid);
    Page(include_str!("../../../docs/schemes/README.md")).sums_up("slice", &paid);
}

#[test]
fn both_windows_are_as_long_as_is_set_and_the_second_is_in_slices() {
    let terms = Slice::describe(settings()).unwrap();
    assert_eq!(terms.windows[0].span, Span::Work(WINDOW));
    assert_eq!(terms.windows[1].span, Span::Slices((WINDOW, DELTA)));
    assert!(terms.needs_subsidy);
    for (name, value) in [("window", 99), ("window", 64_001), ("delta", -1)] {
        let refused = Slice::describe(vec![(name.to_owned(), Setting::Int(value))]).unwrap_err();
        assert!(refused.starts_with(name), "{refused}");
    }
}

#[test]
fn what_nobody_is_there_to_share_is_carried_and_goes_with_the_next_subsidy() {
    let empty = || vec![Totals { miner: vec![], low: vec![], high: vec![] }; 2];
    let divide = |income, windows| Slice::allocate(settings(), income, windows, State::unchanged());
    let given = divide(income(1, 7), empty()).unwrap();
    assert_eq!((given.carry, given.amount.len()), (INCOME + 7, 0));
    // At the third block C has half of the work and two thirds of the fees.
    let given = divide(income(3, 1000), windows(6)).unwrap();
    assert_eq!((given.carry, given.amount.iter().sum::<u64>()), (0, INCOME + 1000));
    assert!(given.amount[2].abs_diff(950 + 67) <= 1, "{:?}", given.amount);
    let unknown = Income { subsidy: None, ..income(1, 0) };
    assert!(divide(unknown, empty()).unwrap_err().contains("not known"));
    let above = Income { subsidy: Some(INCOME + 1), ..income(1, 0) };
    assert!(divide(above, empty()).unwrap_err().contains("above the income"));
    // Of a window alone that nobody is in, its part.
    let only = |miner| Totals { miner: vec![miner], low: vec![5], high: vec![0] };
    let given = divide(income(1, 0), vec![only(1), empty().remove(0)]).unwrap();
    assert_eq!((given.carry, &given.amount), (INCOME - SUBSIDY, &vec![SUBSIDY]));
    let given = divide(income(1, 0), vec![only(2), only(1)]).unwrap();
    assert_eq!((given.miner, given.amount), (vec![1, 2], vec![INCOME - SUBSIDY, SUBSIDY]));
}
