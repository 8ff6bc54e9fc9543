//! What 0.2 says beyond 0.1: a part for the operator, a draw on the reserve, subsidy and fees apart; and each rule of it
//! broken once.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::*;
use millpond_contracts::Settings;
use millpond_contracts::payout::{
    Allocation, Batch, Edge, Grain, Income, Measure, Reversal, Span, State, Terms, Totals, Version, Window,
};
use millpond_ledger::Owner;
use millpond_payout::{
    Accrual, AccruedShare, BoundFee, BoundScheme, Decision, IncomeFacts, NoAttributes, PayoutError, Rule,
    SchemeState, WindowSums, accrue, allocate,
};
use millpond_types::{Amount, MinerId, ShareSeq, UnixMillis, Work, WorkSum};
use proptest::prelude::*;
use std::sync::{Arc, Mutex};

fn funded() -> Terms {
    Terms { reserve: true, operator_most: 500_000, ..terms() }
}

/// Amounts over the window out of `credits`, and the rest of it.
fn given(window: &Totals, credits: u64, of: impl FnOnce(&mut Allocation)) -> Allocation {
    let mut allocation = split(credits, window);
    allocation.rest = 0;
    of(&mut allocation);
    allocation
}

fn asked(scheme: &BoundScheme, fee: Option<&BoundFee>, reserve: u64) -> Result<Decision, PayoutError> {
    let state = SchemeState::new(scheme.terms());
    let facts = IncomeFacts { reserve: Amount(reserve), ..facts(1000) };
    allocate(
        scheme,
        fee.map_or(&[], std::slice::from_ref),
        &facts,
        Amount(0),
        &[window(&[1, 2])],
        &state,
        &NoAttributes,
    )
}

fn broken(terms: Terms, of: impl Fn(&mut Allocation) -> u64 + Send + Sync + 'static) -> Rule {
    let scheme = second(terms, move |_, windows, _| {
        let mut pooled = Allocation::default();
        let credits = of(&mut pooled);
        given(&windows[0], credits, |allocation| {
            let Allocation { rest, operator, to_reserve, from_reserve, .. } = pooled;
            *allocation = Allocation { rest, operator, to_reserve, from_reserve, ..allocation.clone() };
        })
    });
    rule(asked(&scheme, Some(&percent(0)), 300))
}

#[test]
fn the_operators_part_is_the_recipients_and_the_draw_is_in_the_entry() {
    let scheme = second(funded(), |income, windows, _| {
        assert_eq!((income.paid(), income.reserve, income.carried), (1000, 300, 0));
        given(&windows[0], 900, |allocation| {
            allocation.operator = 400;
            allocation.from_reserve = 300;
        })
    });
    let entry = asked(&scheme, Some(&percent(1000)), 300).unwrap().entry;
    assert_eq!((entry.amount, entry.carry_in, entry.reserve_in), (Amount(1000), Amount(0), Amount(300)));
    let parts = &entry.parts;
    assert_eq!(parts.of(&Owner::Miner(MinerId(10))), Amount(270));
    // A tenth of each amount, and the operator's part: two thirds and one.
    assert_eq!(parts.of(&Owner::Fee(name_of("dev"))), Amount(30 + 133));
    assert_eq!(parts.of(&Owner::Fee(name_of("pool"))), Amount(60 + 267));
    assert_eq!(parts.total(), Amount(1300));
    let error = asked(&scheme, None, 300).unwrap_err();
    assert!(error.to_string().contains("nobody receives fees") && !error.is_strike(), "{error}");
}

#[test]
fn what_is_left_over_is_carried_and_what_fills_the_reserve_is_its_own() {
    let plain = second(terms(), |_, windows, _| given(&windows[0], 600, |given| given.rest = 400));
    assert_eq!(asked(&plain, None, 300).unwrap().entry.parts.of(&Owner::Carry), Amount(400));
    let filled = second(funded(), |_, windows, _| given(&windows[0], 600, |given| given.to_reserve = 400));
    assert_eq!(asked(&filled, None, 300).unwrap().entry.parts.of(&Owner::Reserve), Amount(400));
    // The reserve of a scheme that declares none is nothing to it.
    let blind = second(terms(), |income, windows, _| split(1000 + income.reserve, &windows[0]));
    assert!(asked(&blind, None, 300).is_ok());
}

#[test]
fn every_rule_of_operator_and_reserve_is_held() {
    assert_eq!(
        broken(funded(), |given| {
            given.operator = 501;
            499
        }),
        Rule::Operator
    );
    assert_eq!(
        broken(funded(), |given| {
            given.from_reserve = 301;
            1301
        }),
        Rule::Reserve
    );
    assert_eq!(
        broken(funded(), |given| {
            (given.from_reserve, given.to_reserve) = (5, 5);
            1000
        }),
        Rule::Reserve
    );
    assert_eq!(
        broken(funded(), |given| {
            given.rest = 1;
            999
        }),
        Rule::Reserve
    );
    assert_eq!(broken(funded(), |_| 999), Rule::Conserved);
    assert_eq!(
        broken(funded(), |given| {
            given.from_reserve = 1;
            1000
        }),
        Rule::Conserved
    );
    assert_eq!(
        broken(terms(), |given| {
            given.to_reserve = 1;
            999
        }),
        Rule::Terms
    );
    assert_eq!(
        broken(terms(), |given| {
            given.operator = 1;
            999
        }),
        Rule::Operator
    );
    let claims = vec!["no-deficit".to_owned()];
    assert_eq!(
        broken(Terms { claims, ..funded() }, |given| {
            given.from_reserve = 1;
            1001
        }),
        Rule::Reserve
    );
    // The same of a scheme of 0.1, which cannot say any of it.
    let old = with_terms(terms(), |_, windows, _| given(&windows[0], 999, |given| given.operator = 1));
    assert_eq!(rule(asked(&old, Some(&percent(0)), 0)), Rule::Terms);
}

fn refused(terms: Terms) -> String {
    let fake = Fake {
        terms,
        version: 2,
        contract: Version::V0_2,
        allocate: Box::new(|_, _, _| Allocation::default()),
        accrue: None,
    };
    BoundScheme::new("fake", Arc::new(fake), Settings::new()).unwrap_err().to_string()
}

#[test]
fn terms_that_this_host_does_not_do_are_refused_when_a_scheme_is_bound() {
    let window = |span, measure| vec![Window { span, measure, edge: Edge::Split }];
    for windows in [
        window(Span::Unpaid(5), Measure::Work),
        window(Span::Unpaid(5), Measure::FeeValue),
        window(Span::Shifts(5, 6), Measure::Work),
        window(Span::StandingRound, Measure::Work),
        window(Span::Slices(5, 6), Measure::Value),
        window(Span::Work(5), Measure::Value),
        window(Span::Work(5), Measure::Count),
    ] {
        assert!(refused(Terms { windows, ..terms() }).contains("does not compute"));
    }
    // What of a reward is subsidy is asked for by name, so that it is refused where nobody tells it.
    for (span, measure) in [(Span::Round, Measure::SubsidyValue), (Span::Slices(5, 6), Measure::FeeValue)] {
        let terms = Terms { windows: window(span, measure), ..terms() };
        assert!(refused(terms).contains("without needs-subsidy"));
    }
    // What a lost income paid has to be put back, by one list, and shares are not given one by one beside it.
    let once =
        || Terms { windows: window(Span::Unpaid(5), Measure::Value), reversal: Reversal::Restore, ..terms() };
    assert!(refused(Terms { reversal: Reversal::Drop, ..once() }).contains("without reversal restore"));
    assert!(
        refused(Terms { windows: [once().windows, once().windows].concat(), ..once() }).contains("one list")
    );
    assert!(refused(Terms { operator_most: 1_000_001, ..terms() }).contains("1000001 millionths"));
    assert!(refused(Terms { reversal: Reversal::KeepReserve, ..terms() }).contains("no reserve"));
}

#[test]
fn state_is_the_same_under_other_names_to_the_last_bit() {
    let kept = |version: Version, memo: bool| {
        let terms = Terms { cells: 1, windows: vec![], ..terms() };
        let allocate = move |income: &Income, _: &[Totals], state: &State| {
            let mut given = Allocation { rest: income.gross, ..Allocation::default() };
            given.state.miner.clone_from(&state.miner);
            // A unit more for whoever bears the first name; or his cell's number, in the memo.
            given.state.cells = state.miner.iter().map(|name| 7 + u64::from(*name == 1)).collect();
            if memo {
                given.state.cells = vec![7; state.miner.len()];
                given.state.memo = vec![state.cells[0] as u8];
            }
            given
        };
        let scheme =
            bound(Fake { terms, version: 2, contract: version, allocate: Box::new(allocate), accrue: None });
        let mut state = SchemeState::new(scheme.terms());
        let rows = (1..=9).map(|miner| (MinerId(miner), vec![miner])).collect();
        let change = millpond_payout::StateChange { width: 1, rows, ..Default::default() };
        state.apply(&change.to_bytes(), None).unwrap();
        allocate_with(&scheme, &state)
    };
    assert!(kept(Version::V0_1, false).is_ok() && kept(Version::V0_1, true).is_ok());
    for memo in [false, true] {
        let error = kept(Version::V0_2, memo).unwrap_err().to_string();
        assert!(error.contains(if memo { "the memo differs" } else { "the cells differ" }), "{error}");
    }
}

fn allocate_with(scheme: &BoundScheme, state: &SchemeState) -> Result<Decision, PayoutError> {
    let facts = IncomeFacts { finder: None, ..facts(1000) };
    allocate(scheme, &[], &facts, Amount(0), &[], state, &NoAttributes)
}

fn share(seq: u64, miner: u64, work: u64, coord: u64) -> AccruedShare {
    AccruedShare {
        seq: ShareSeq(seq),
        miner: MinerId(miner),
        work: Work(work),
        network: WorkSum(1000),
        time: UnixMillis(seq * 10),
        coord,
        reward: Amount(500),
        subsidy: Some(Amount(450)),
    }
}

type Seen = Arc<Mutex<Vec<Batch>>>;

fn accruing(
    terms: Terms,
    answer: impl Fn(&Batch) -> Allocation + Send + Sync + 'static,
) -> (BoundScheme, Seen) {
    let seen = Seen::default();
    let kept = seen.clone();
    let accrue = move |batch: &Batch, _: &State| {
        kept.lock().unwrap().push(batch.clone());
        answer(batch)
    };
    let fake = Fake {
        terms: Terms { windows: vec![], batch: 100, ..terms },
        version: 2,
        contract: Version::V0_2,
        allocate: Box::new(|_, _, _| Allocation::default()),
        accrue: Some(Box::new(accrue)),
    };
    (bound(fake), seen)
}

fn credit(scheme: &BoundScheme, shares: &[AccruedShare]) -> Result<Accrual, PayoutError> {
    accrue(scheme, &[], shares, Amount(1000), &SchemeState::new(scheme.terms()), &NoAttributes)
}

#[test]
fn a_miners_shares_for_one_job_are_one_row_by_the_last_of_them() {
    let shares = [
        share(1, 7, 5, 1),
        share(2, 8, 6, 1),
        share(3, 7, 9, 1),
        share(4, 7, 1, 2),
        share(9, 8, u64::MAX, 1),
    ];
    let (scheme, seen) = accruing(Terms { grain: Grain::MinerJob, needs_subsidy: true, ..funded() }, |_| {
        Allocation::default()
    });
    assert_eq!(credit(&scheme, &shares).unwrap().shares, 5);
    let batch = seen.lock().unwrap()[0].clone();
    assert_eq!((batch.first, batch.last), (1, 9));
    assert_eq!((batch.shares, batch.seq), (vec![2, 1, 2], vec![3, 4, 9]));
    assert_eq!((batch.work, batch.work_high), (vec![14, 1, 5], vec![0, 0, 1]));
    assert_eq!((batch.coord, batch.time_ms), (vec![1, 2, 1], vec![30, 40, 90]));
    assert_eq!((batch.reward, batch.subsidy), (vec![500; 3], vec![450; 3]));
    assert_eq!((batch.miner[0], batch.miner.len()), (batch.miner[1], 3));
    assert_ne!(batch.miner[0], batch.miner[2]);

    let (scheme, seen) = accruing(funded(), |_| Allocation::default());
    credit(&scheme, &shares).unwrap();
    let batch = seen.lock().unwrap()[0].clone();
    assert_eq!((batch.shares, batch.work), (vec![1; 5], vec![5, 6, 9, 1, u64::MAX]));
    // Who does not ask for the subsidy is told the reward.
    assert_eq!((batch.subsidy, batch.work_high), (vec![500; 5], vec![0; 5]));
}

#[test]
fn credits_of_shares_come_out_of_the_reserve_and_say_so() {
    let broken = |terms: Terms, answer: Allocation| {
        let (scheme, _) = accruing(terms, move |batch| {
            // The same miner's under any names: the one with the first share.
            let miner = answer.amount.iter().map(|_| batch.miner[0]).collect();
            Allocation { miner, ..answer.clone() }
        });
        match credit(&scheme, &[share(1, 7, 5, 1), share(2, 8, 5, 1)]) {
            Err(PayoutError::Broken { rule, .. }) => Some(rule),
            Ok(accrual) => {
                let millpond_ledger::Entry::Accrued { parts, .. } = accrual.entry.unwrap() else { panic!() };
                assert_eq!(parts.of(&Owner::Miner(MinerId(7))), parts.total());
                None
            }
            Err(other) => panic!("{other}"),
        }
    };
    let drawn = |amount: u64, from_reserve: u64| Allocation {
        amount: (amount > 0).then_some(amount).into_iter().collect(),
        from_reserve,
        ..Allocation::default()
    };
    assert_eq!(broken(funded(), drawn(9, 9)), None);
    assert_eq!(broken(funded(), drawn(9, 0)), Some(Rule::Conserved));
    assert_eq!(broken(funded(), drawn(0, 9)), Some(Rule::Conserved));
    assert_eq!(broken(funded(), Allocation { to_reserve: 1, ..drawn(0, 0) }), Some(Rule::Conserved));
    assert_eq!(broken(funded(), Allocation { operator: 1, ..drawn(0, 0) }), Some(Rule::Conserved));
    assert_eq!(broken(terms(), drawn(9, 9)), Some(Rule::Terms));
    // What a lost income puts back cannot have been paid out.
    assert_eq!(broken(Terms { reversal: Reversal::Restore, ..funded() }, drawn(9, 9)), Some(Rule::Terms));
    let claims = vec!["no-deficit".to_owned()];
    assert_eq!(broken(Terms { claims, ..funded() }, drawn(9, 9)), Some(Rule::Reserve));
}

#[test]
fn who_asks_for_the_subsidy_is_not_told_a_guess() {
    let wanting = Terms { needs_subsidy: true, ..funded() };
    let (scheme, seen) = accruing(wanting.clone(), |_| Allocation::default());
    for subsidy in [None, Some(Amount(501))] {
        let error = credit(&scheme, &[AccruedShare { subsidy, ..share(1, 7, 5, 1) }]).unwrap_err();
        assert!(error.to_string().contains("does not tell it") && !error.is_strike(), "{error}");
    }
    assert!(seen.lock().unwrap().is_empty());
    let scheme = second(wanting, |income, windows, _| split(income.subsidy.unwrap() + 100, &windows[0]));
    let told = |subsidy: Option<u64>| {
        let facts = IncomeFacts { subsidy: subsidy.map(Amount), ..facts(1000) };
        let state = SchemeState::new(scheme.terms());
        allocate(&scheme, &[], &facts, Amount(0), &[window(&[1])], &state, &NoAttributes)
    };
    assert!(told(Some(900)).is_ok());
    assert!(matches!(told(None), Err(PayoutError::Input(_))));
    assert!(matches!(told(Some(1001)), Err(PayoutError::Input(_))));
}

/// Calls by function, input and output.
const GOLDEN: [&str; 4] = [
    "allocate a6974f334f80 f0a4efb8cc7a",
    "allocate-renamed 820ca512d766 50c7da798a69",
    "accrue 9a3e12358673 c2960c5688fb",
    "accrue-renamed a52dc8413858 c2960c5688fb",
];

#[test]
fn the_digests_of_0_2_are_those_of_its_first_day() {
    let terms = Terms { needs_subsidy: true, cells: 1, ..funded() };
    let scheme = second(terms.clone(), |income, windows, state| {
        given(&windows[0], income.paid() - 200, |given| {
            (given.operator, given.to_reserve) = (50, 150 + income.carried);
            given.state.memo = [&state.memo[..], b"x"].concat();
        })
    });
    let facts = IncomeFacts { subsidy: Some(Amount(900)), reserve: Amount(11), ..facts(1000) };
    let sums = [WindowSums(vec![(MinerId(1), 1 << 70), (MinerId(2), 5)])];
    let state = SchemeState::new(scheme.terms());
    let fee = percent(0);
    let decision =
        allocate(&scheme, std::slice::from_ref(&fee), &facts, Amount(7), &sums, &state, &NoAttributes)
            .unwrap();
    let (scheme, _) = accruing(terms, |_| Allocation::default());
    let accrual = credit(&scheme, &[share(1, 7, 5, 1), share(2, 8, 6, 1)]).unwrap();
    let calls: Vec<String> = decision.audit[..2]
        .iter()
        .chain(&accrual.audit)
        .map(|record| {
            assert_eq!(record.package, "millpond:payout@0.2.0");
            format!("{} {} {}", record.function, record.input.short(), record.output.short())
        })
        .collect();
    assert_eq!(calls, GOLDEN);
    // Fee policies are of 0.1, whatever the scheme is of.
    assert_eq!(decision.audit[2].package, "millpond:payout@0.1.0");
}

proptest! {
    #[test]
    fn an_accepted_allocation_loses_no_unit(
        credits in 0..3000_u64, rest in 0..3_u64, operator in 0..900_u64, to in 0..900_u64, from in 0..900_u64,
        reserve: bool,
    ) {
        let (to, from) = if credits % 2 == 0 { (to, 0) } else { (0, from) };
        let terms = if reserve { funded() } else { Terms { reserve: false, ..funded() } };
        let scheme = second(terms, move |_, windows, _| given(&windows[0], credits, |given| {
            (given.rest, given.operator) = (rest, operator);
            (given.to_reserve, given.from_reserve) = (to, from);
        }));
        let right = credits + rest + operator + to == 1000 + from
            && operator <= 500
            && from <= 300
            && (if reserve { rest == 0 } else { to == 0 && from == 0 });
        match asked(&scheme, Some(&percent(100)), 300) {
            Ok(decision) => {
                prop_assert!(right);
                prop_assert_eq!(decision.entry.parts.total(), Amount(1000 + from));
            }
            Err(_) => prop_assert!(!right),
        }
    }
}
