//! The history for schemes of the second version of the contract: shares are credited or scored as they come, and each
//! block is divided behind its own share. Of each income 900 is subsidy and 100 is fees.

use crate::{INCOME, Paid, SHARES, Share};
use millpond_sdk::payout;
use millpond_sdk::payout_0_2::{
    Accrual, Allocation, Batch, Edge, Income, Measure, Scheme, Settings, Span, State, Totals, Window,
};
use std::collections::BTreeMap;

/// The subsidy of every block of the history.
pub const SUBSIDY: u64 = 900;

/// What a round's shares and its block came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Round {
    /// Credited to A, B and C as their shares came.
    pub credits: [u64; 3],
    /// Of the block.
    pub amounts: [u64; 3],
    /// The operator's part of the block.
    pub operator: u64,
    /// Into the reserve, of the block.
    pub to_reserve: u64,
    /// Out of the reserve, for the block.
    pub from_reserve: u64,
    /// What earlier blocks left over, divided with this one.
    pub carried: u64,
    /// What this one leaves over.
    pub carry: u64,
}

impl Round {
    /// The block as a page has it: what was divided, and the operator's part with what is left over as the rest.
    pub fn block(&self) -> Paid {
        let gross = INCOME + self.carried + self.from_reserve - self.to_reserve;
        Paid { gross, amounts: self.amounts, rest: self.operator + self.carry }
    }

    /// The credits as a page has them.
    pub fn credited(&self) -> Paid {
        Paid { gross: self.credits.iter().sum(), amounts: self.credits, rest: 0 }
    }
}

/// What the host keeps for a scheme.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    memo: Vec<u8>,
    rows: BTreeMap<u64, Vec<u64>>,
}

impl Kept {
    /// As a call about these miners gets it; all of it when there are none.
    pub fn state(&self, miners: Option<&[u64]>) -> State {
        let mut state = State { memo: self.memo.clone(), ..State::unchanged() };
        for (miner, cells) in &self.rows {
            if miners.is_none_or(|miners| miners.contains(miner)) {
                state.push(*miner, cells);
            }
        }
        state
    }

    /// Takes what a call gave to keep.
    pub fn keep(&mut self, state: &State, width: u8) {
        if !state.memo.is_empty() {
            self.memo.clone_from(&state.memo);
        }
        for (miner, cells) in state.rows(width.into()) {
            if cells.iter().all(|cell| *cell == 0) {
                self.rows.remove(&miner);
            } else {
                self.rows.insert(miner, cells.to_vec());
            }
        }
    }
}

/// A batch of these shares, of which the first has this number.
pub fn batch(first: u64, shares: &[Share]) -> Batch {
    let count = shares.len();
    Batch {
        first,
        last: first + count as u64 - 1,
        miner: shares.iter().map(|share| share.miner).collect(),
        shares: vec![1; count],
        work_low: shares.iter().map(|share| share.work).collect(),
        work_high: vec![0; count],
        network_low: shares.iter().map(|share| share.network).collect(),
        network_high: vec![0; count],
        time_ms: shares.iter().map(|share| share.hour * 3_600_000).collect(),
        coord: vec![first; count],
        reward: vec![INCOME; count],
        subsidy: vec![SUBSIDY; count],
    }
}

/// Gives shares to a scheme, and keeps what it keeps.
pub fn accrue<S: Scheme + Accrual>(settings: &Settings, kept: &mut Kept, batch: Batch) -> Allocation {
    let state = kept.state(Some(&batch.miner));
    let given = S::accrue(settings.clone(), batch, state).unwrap();
    assert_eq!(given.amount.iter().sum::<u64>(), given.from_reserve, "credits come out of the reserve");
    assert_eq!((given.carry, given.operator, given.to_reserve), (0, 0, 0));
    kept.keep(&given.state, S::describe(settings.clone()).unwrap().cells);
    given
}

/// Runs a scheme over the history, in batches of this many shares that end with each block, with a reserve that suffices.
pub fn rounds<S: Scheme + Accrual>(settings: &Settings, size: usize) -> Vec<Round> {
    let terms = S::describe(settings.clone()).unwrap();
    let reserve = if terms.reserve { 1_000_000 } else { 0 };
    let (mut kept, mut rounds, mut next, mut carried) = (Kept::default(), Vec::new(), 0, 0);
    let by_miner = |given: &Allocation| {
        let mut amounts = [0; 3];
        for (miner, amount) in given.miner.iter().zip(&given.amount) {
            amounts[*miner as usize - 1] += *amount;
        }
        amounts
    };
    for (end, share) in SHARES.iter().enumerate().filter(|(_, share)| share.block) {
        let mut credits = [0; 3];
        for shares in SHARES[next..=end].chunks(size) {
            let given = accrue::<S>(settings, &mut kept, batch(next as u64 + 1, shares));
            next += shares.len();
            credits.iter_mut().zip(by_miner(&given)).for_each(|(sum, amount)| *sum += amount);
        }
        let number = rounds.len() as u64 + 1;
        let income = Income {
            key: vec![number as u8],
            number,
            time_ms: share.hour * 3_600_000,
            coord: number,
            finder: Some(share.miner),
            paid: INCOME,
            subsidy: terms.needs_subsidy.then_some(SUBSIDY),
            carried,
            reserve,
        };
        let wanted: Vec<payout::Window> = terms.windows.iter().map(first).collect();
        let windows = crate::windows(&wanted, &SHARES, end, 0).into_iter().map(second).collect();
        let given = S::allocate(settings.clone(), income, windows, kept.state(None)).unwrap();
        kept.keep(&given.state, terms.cells);
        let paid = given.amount.iter().sum::<u64>() + given.carry + given.operator + given.to_reserve;
        assert_eq!(paid, INCOME + carried + given.from_reserve, "conserved");
        assert!(given.from_reserve <= reserve);
        rounds.push(Round {
            credits,
            amounts: by_miner(&given),
            operator: given.operator,
            to_reserve: given.to_reserve,
            from_reserve: given.from_reserve,
            carried,
            carry: given.carry,
        });
        carried = given.carry;
    }
    rounds
}

fn first(window: &Window) -> payout::Window {
    let span = match window.span {
        Span::Work(thousandths) => payout::Span::Work(thousandths),
        other => panic!("{other:?} is not of the history"),
    };
    let measure = match window.measure {
        Measure::Work => payout::Measure::Work,
        Measure::Units => payout::Measure::Units,
        other => panic!("{other:?} is not of the history"),
    };
    let edge = match window.edge {
        Edge::Whole => payout::Edge::Whole,
        Edge::Split => payout::Edge::Split,
        Edge::Cut => payout::Edge::Cut,
    };
    payout::Window { span, measure, edge }
}

fn second(totals: payout::Totals) -> Totals {
    let payout::Totals { miner, low, high } = totals;
    Totals { miner, low, high }
}
