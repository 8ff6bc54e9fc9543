//! What journals and ledgers of contract 0.1 hold of a decision, byte for byte. None of these digests may ever change:
//! a replay of an old journal computes them again.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::*;
use millpond_contracts::payout::{
    Allocation, Batch, Income, Reversal, Span, State, Terms, Totals, Version, Window,
};
use millpond_contracts::{Setting, Settings};
use millpond_ledger::{Entry, IncomeKey};
use millpond_payout::{
    AccruedShare, AuditRecord, BoundScheme, NoAttributes, SchemeState, WindowSums, accrue, allocate,
};
use millpond_types::{Amount, Digest, MinerId, ShareSeq, UnixMillis, Work, WorkSum};
use std::sync::Arc;

/// Entries and changes of state by the digest of their bytes; calls by config, input and output.
const GOLDEN: [&str; 14] = [
    "68f3f0dc0b21",
    "7d1d82ab357b",
    "accrue 45b8372699e5 26a16789a14d df2849f1e418",
    "accrue-renamed 45b8372699e5 45ae5b84d930 0d86eb729f6c",
    "fees d53d18c23212 366c4c82234e a7a0c5850f43",
    "fees-renamed d53d18c23212 92caec4170f3 ab12c1e1005e",
    "0eb83ec7f4fe",
    "87c52816acc9",
    "allocate 45b8372699e5 09b17e853043 9c6f9f479a57",
    "allocate-renamed 45b8372699e5 1600ef3c543f c7df2a5a8acf",
    "fees d53d18c23212 6c9df18c579f ac1098ac652d",
    "fees-renamed d53d18c23212 3a7f109c33c1 fb419b097870",
    "f9a48451c132",
    "4a57bb2edd79",
];

/// Two windows, two cells a miner, a memo, settings of each kind.
fn scoring() -> BoundScheme {
    let windows = vec![
        terms().windows[0],
        Window { span: Span::Work(2_000), ..terms().windows[0] },
        Window { span: Span::State, ..terms().windows[0] },
    ];
    let terms = Terms {
        windows,
        cells: 2,
        batch: 100,
        reversal: Reversal::Restore,
        state_format: "score-1".to_owned(),
        reserve: true,
        ..terms()
    };
    let divide = |income: &Income, windows: &[Totals], state: &State| {
        let mut given = split(income.gross, &windows[0]);
        for miner in &windows[1].miner {
            let before =
                state.miner.iter().position(|known| known == miner).map_or(0, |at| state.cells[2 * at]);
            given.state.miner.push(*miner);
            given.state.cells.extend([before + income.seq, u64::MAX]);
        }
        given.state.memo =
            [&income.key[..], &income.time_ms.to_le_bytes(), &income.coord.to_le_bytes()].concat();
        given
    };
    let credit = |batch: &Batch, state: &State| {
        let mut given = Allocation::default();
        for miner in 1..=batch.miner.iter().copied().max().unwrap() {
            let rows = (0..batch.miner.len()).filter(|row| batch.miner[*row] == miner);
            let units: u64 =
                rows.map(|row| batch.work[row] * batch.reward[row] / batch.network_low[row]).sum();
            given.miner.push(miner);
            given.amount.push(units);
            given.state.miner.push(miner);
            given.state.cells.extend([units, state.miner.len() as u64]);
        }
        given.state.memo = vec![7];
        given
    };
    let plugin = Fake {
        terms,
        version: 3,
        contract: Version::V0_1,
        allocate: Box::new(divide),
        accrue: Some(Box::new(credit)),
    };
    let settings: Settings = vec![
        ("a.window".to_owned(), Setting::Int(-5)),
        ("edge".to_owned(), Setting::Text("split \"é\"".to_owned())),
        ("flag".to_owned(), Setting::Flag(true)),
    ];
    BoundScheme::new("scoring", Arc::new(plugin), settings).unwrap().in_force_after(ShareSeq(2))
}

fn calls(audit: &[AuditRecord]) -> Vec<String> {
    let call = |record: &AuditRecord| {
        assert_eq!((record.package.as_str(), record.fuel_used), ("millpond:payout@0.1.0", 10));
        let digests = [record.config, record.input, record.output].map(|digest| digest.short());
        format!("{} {}", record.function, digests.join(" "))
    };
    audit.iter().map(call).collect()
}

fn bytes_of(entry: &Entry) -> String {
    Digest::of(&serde_json::to_vec(entry).unwrap()).short()
}

fn divided(state: &SchemeState) -> (Entry, Vec<String>) {
    let sums = [window(&[3, 1 << 70, 5, 0, 1 << 90]), window(&[1, 2, 3]), WindowSums::default()];
    let fee = percent(150);
    let decision = allocate(
        &scoring(),
        std::slice::from_ref(&fee),
        &facts(312_500_001),
        Amount(77),
        &sums,
        state,
        &NoAttributes,
    )
    .unwrap();
    (Entry::IncomeAllocated(decision.entry), calls(&decision.audit))
}

fn credited(state: &SchemeState) -> (Entry, Vec<String>) {
    let share = |at: u64| AccruedShare {
        seq: ShareSeq(at),
        miner: MinerId(at % 3 + 10),
        work: Work(at * 1000),
        network: WorkSum((1 << 64) + 97),
        time: UnixMillis(1_700_000_000_000 + at),
        coord: at / 4,
        reward: Amount(312_500_000 - at),
        subsidy: Some(Amount(at)),
    };
    let shares: Vec<AccruedShare> = (5..25).map(share).collect();
    let accrual =
        accrue(&scoring(), &[percent(150)], &shares, Amount(u64::MAX), state, &NoAttributes).unwrap();
    (accrual.entry.unwrap(), calls(&accrual.audit))
}

#[test]
fn a_division_and_a_credit_of_0_1_have_the_bytes_of_their_first_day() {
    let scheme = scoring();
    let mut state = SchemeState::new(scheme.terms());
    let (credit, credit_calls) = credited(&state);
    let Entry::Accrued { state: change, .. } = &credit else { panic!("no credit") };
    state.apply(change, None).unwrap();
    let (division, division_calls) = divided(&state);
    let Entry::IncomeAllocated(income) = &division else { panic!("no income") };
    state.apply(&income.state, Some(&income.key)).unwrap();
    let mut seen = vec![bytes_of(&credit), Digest::of(change).short()];
    seen.extend(credit_calls);
    seen.extend([bytes_of(&division), Digest::of(&income.state).short()]);
    seen.extend(division_calls);
    // The whole, as the note of the sums has it, with what undoes it and with what is to be divided again.
    seen.push(Digest::of(&serde_json::to_vec(&state).unwrap()).short());
    state.apply(&[], Some(&IncomeKey::new(vec![9]).unwrap())).unwrap();
    state.restore_before(&income.key).unwrap();
    seen.push(Digest::of(&serde_json::to_vec(&state).unwrap()).short());
    assert_eq!(seen, GOLDEN);
}
