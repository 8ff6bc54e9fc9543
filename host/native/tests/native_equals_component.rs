//! Each bundled scheme and fee policy as native code against its component: the same calls over generated histories,
//! under several settings each, give the same bytes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use millpond_contracts::payout::{
    Allocation, Batch, FeePolicy, Fees, Income, PayoutScheme, State, Terms, Totals,
};
use millpond_contracts::{Setting, Settings, load_fee_policy, load_scheme};
use millpond_native::{Chain, NativeScheme};
use millpond_runtime::{Compiler, LogSink, Sandbox, TracingSink};
use millpond_scheme_pps::Pps;
use millpond_sdk::payout as sdk;
use millpond_stream::{Key, Purpose, Stream};
use millpond_types::Digest;
use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

static SANDBOX: LazyLock<Sandbox> = LazyLock::new(|| Sandbox::new(None, Compiler::InProcess).unwrap());

/// Histories under each settings.
const HISTORIES: u64 = 200;
/// Calls of a history.
const CALLS: u64 = 5;

fn int(name: &str, value: i64) -> Settings {
    vec![(name.to_owned(), Setting::Int(value))]
}

fn text(name: &str, value: &str) -> Settings {
    vec![(name.to_owned(), Setting::Text(value.to_owned()))]
}

/// The defaults, others, ends, and some that are refused.
fn settings(name: &str) -> Vec<Settings> {
    let mut all = vec![Settings::new(), text("no such setting", "x")];
    all.extend(match name {
        "pplns" => vec![
            int("window", 1),
            int("window", 1_000_000),
            int("window", 0),
            text("unfilled", "carry"),
            [text("unfilled", "carry"), int("window", 8000)].concat(),
            text("unfilled", "burn"),
        ],
        "pplns-window" => vec![
            int("window", 8000),
            text("edge", "cut"),
            [text("by", "shares"), int("shares", 5)].concat(),
            [text("by", "time"), int("hours", 720)].concat(),
            [text("by", "time"), int("shares", 5)].concat(),
        ],
        "finder-bonus" => vec![int("bonus", 0), int("bonus", 500), int("bonus", 501), int("window", 8000)],
        "cppsrb" => vec![
            text("surplus", "carry"),
            [text("pay", "subsidy"), int("reach", 1)].concat(),
            int("reach", 0),
            text("surplus", "miners"),
        ],
        "dgm" => vec![int("c_bp", 100), [int("c_bp", 5000), int("o_bp", 0)].concat(), int("f_ppm", -100_000)],
        "geometric" => vec![int("c_bp", 5000), int("f_ppm", 500_000), int("c_bp", 5001)],
        "fpps" => vec![text("fees", "template"), int("window_blocks", 1), text("fees", "median")],
        "pps-plus" => vec![int("window", 1), int("window", 1_000_000), int("fee_ppm", 500_000)],
        "shifts" => vec![int("shifts", 1), int("minutes", 1440), int("shifts", 7)],
        "slice" => {
            vec![int("window", 100), [int("delta", 9), int("window", 64_000)].concat(), int("delta", -1)]
        }
        "slush" => vec![int("seconds", 60), int("seconds", 86_400), int("seconds", 59)],
        "esmpps" => vec![text("pay", "subsidy"), text("pay", "all")],
        "tides" => vec![int("window", 64_000), int("window", -1), text("window", "wide")],
        "fee-tiers" => vec![
            text("tiers", "0:150,1k:100,1E:10000"),
            [text("column", "list:vip"), text("tiers", "0:0,1:3333")].concat(),
            text("tiers", "0:1,0:2"),
        ],
        "fee-workers" => vec![[int("most_basis_points", 10_000), int("per_worker", 3)].concat()],
        // By default they take nothing of who is in no list, and all of them have a number here.
        "fee-donation" => vec![int("most_basis_points", 77), text("list", "x"), int("most_basis_points", -1)],
        "fee-rebate" => vec![int("basis_points", 10_000), int("basis_points", 10_001)],
        "fee-reserve" => vec![int("target", 1 << 40), int("target", -1)],
        "flat-fee" => vec![
            int("basis_points", 0),
            int("basis_points", 10_000),
            int("basis_points", -1),
            vec![("basis_points".to_owned(), Setting::Flag(true))],
        ],
        _ => Vec::new(),
    });
    all
}

/// A number of any length: all lengths alike, and the ends more often than others.
fn wide(stream: &mut Stream) -> u128 {
    let number = u128::from(stream.bits()) << 64 | u128::from(stream.bits());
    match stream.below(20) {
        0 => 0,
        1 => u128::MAX,
        2 => 1 << 64,
        _ => number >> stream.below(128),
    }
}

fn narrow(stream: &mut Stream) -> u64 {
    match stream.below(20) {
        0 => 0,
        1 => u64::MAX,
        _ => stream.bits() >> stream.below(64),
    }
}

/// Ascending miners, few of many so that they come again.
fn miners(stream: &mut Stream) -> Vec<u64> {
    let of = if stream.below(4) == 0 { u64::MAX } else { 12 };
    let mut miners: Vec<u64> = (0..stream.below(9)).map(|_| stream.below(of)).collect();
    miners.sort_unstable();
    miners.dedup();
    miners
}

/// Sums of a window. One of 16 does not fit 128 bits: no window of a pool has that, and a scheme may trap.
fn totals(stream: &mut Stream) -> Totals {
    let miner = miners(stream);
    let bound = if stream.below(16) == 0 { u128::MAX } else { u128::MAX / 16 };
    let sums: Vec<u128> = miner.iter().map(|_| wide(stream).min(bound)).collect();
    Totals {
        low: sums.iter().map(|sum| *sum as u64).collect(),
        high: sums.iter().map(|sum| (sum >> 64) as u64).collect(),
        miner,
    }
}

/// What 0.2 is told more.
fn more(stream: &mut Stream) -> Income {
    let subsidy = (stream.below(4) > 0).then(|| narrow(stream));
    Income { subsidy, reserve: narrow(stream), ..Income::default() }
}

fn income(stream: &mut Stream) -> Income {
    let finder = (stream.below(4) > 0).then(|| stream.below(12));
    Income {
        key: stream.bits().to_le_bytes().to_vec(),
        gross: narrow(stream),
        seq: narrow(stream),
        time_ms: narrow(stream),
        coord: narrow(stream),
        finder,
        ..more(stream)
    }
}

/// Shares as a pool has them, or of any size: of a network of 0 and with credits that do not fit.
fn batch(stream: &mut Stream, first: u64) -> Batch {
    let mut batch = Batch::default();
    let usual = stream.below(3) > 0;
    let network = wide(stream).max(1);
    for at in 0..stream.below(40) {
        let own = if stream.below(8) == 0 { wide(stream) } else { network };
        let network = if usual { own.max(1 << 20) } else { own };
        batch.seq.push(first + at);
        batch.miner.push(stream.below(if usual { 6 } else { u64::MAX }));
        batch.work.push(if usual { 1 + stream.below(1 << 16) } else { narrow(stream) });
        batch.network_low.push(network as u64);
        batch.network_high.push((network >> 64) as u64);
        batch.time_ms.push(first + at);
        batch.coord.push(1 + at);
        let reward = if usual { 1 + stream.below(1 << 32) } else { narrow(stream) };
        batch.reward.push(reward);
        // What 0.2 is told more.
        batch.shares.push(1 + stream.below(3));
        batch.work_high.push(if usual { 0 } else { narrow(stream) });
        batch.subsidy.push(reward - reward / 8);
        batch.last = first + at;
    }
    batch.first = first;
    batch
}

/// The state of these miners.
fn state_of(kept: &Kept, miners: impl Iterator<Item = u64>) -> State {
    let Kept { memo, cells } = kept;
    let mut miners: Vec<u64> = miners.collect();
    miners.sort_unstable();
    miners.dedup();
    let rows: Vec<_> = miners.iter().filter_map(|miner| cells.get_key_value(miner)).collect();
    State {
        memo: memo.clone(),
        miner: rows.iter().map(|row| *row.0).collect(),
        cells: rows.iter().flat_map(|row| row.1).copied().collect(),
    }
}

/// What a scheme wrote down so far.
#[derive(Default)]
struct Kept {
    memo: Vec<u8>,
    cells: BTreeMap<u64, Vec<u64>>,
}

fn keep(kept: &mut Kept, given: &Allocation, width: usize) {
    if !given.state.memo.is_empty() {
        kept.memo.clone_from(&given.state.memo);
    }
    let cells = &mut kept.cells;
    let rows = given.state.cells.chunks(width.max(1)).map(<[u64]>::to_vec);
    cells.extend(given.state.miner.iter().copied().zip(rows));
}

/// What a scheme gives over all histories under these settings, with the number of calls that gave an allocation.
fn scheme_chain(scheme: &dyn PayoutScheme, settings: &Settings) -> (Digest, u64) {
    let mut chain = Chain::default();
    let mut given = 0;
    chain.push(&scheme.schema()).unwrap();
    let described = scheme.describe(settings);
    chain.push(&described).unwrap();
    // Under settings that it refuses a scheme is not called by a pool. Here it is, with one window.
    let terms: Option<Terms> = described.ok().map(|done| done.value);
    let windows = terms.as_ref().map_or(1, |terms| terms.windows.len());
    let width = terms.as_ref().map_or(0, |terms| usize::from(terms.cells));
    for history in 0..HISTORIES {
        let mut stream = Key { seed: 41, replication: history }.stream(Purpose::Test, 0);
        let mut cells = Kept::default();
        for call in 0..CALLS {
            let windows: Vec<Totals> = (0..windows).map(|_| totals(&mut stream)).collect();
            let state = state_of(&cells, windows.iter().flat_map(|window| window.miner.clone()));
            let outcome = scheme.allocate(settings, &income(&mut stream), &windows, &state);
            chain.push(&outcome).unwrap();
            if let Ok(done) = outcome {
                keep(&mut cells, &done.value, width);
                given += 1;
            }
            let batch = batch(&mut stream, 1 + call * 64);
            if scheme.accrues() {
                let outcome = scheme.accrue(settings, &batch, &state_of(&cells, batch.miner.iter().copied()));
                chain.push(&outcome).unwrap();
                if let Ok(done) = outcome {
                    keep(&mut cells, &done.value, width);
                    given += 1;
                }
            }
        }
    }
    (chain.digest(), given)
}

fn same(name: &str) {
    let sink: Arc<dyn LogSink> = Arc::new(TracingSink);
    let bytes = millpond_bundled::get(name).unwrap().bytes;
    let component = load_scheme(&SANDBOX, name, bytes, &sink).unwrap();
    let native = millpond_native::get(name).unwrap();
    assert_eq!((native.digest(), native.accrues()), (component.digest(), component.accrues()));
    let mut given = 0;
    for settings in settings(name) {
        let (digest, calls) = scheme_chain(native.as_ref(), &settings);
        assert_eq!((digest, calls), scheme_chain(component.as_ref(), &settings), "{name} under {settings:?}");
        given += calls;
    }
    // So that equality is of amounts and not of errors: half of all calls of two settings at least.
    assert!(given > HISTORIES * CALLS, "{name}: {given} calls gave something");
}

macro_rules! native_equals_component {
    ($($test:ident $name:literal),*) => {
        mod native_equals_component {
            $(#[test] fn $test() { super::same($name); })*

            #[test]
            fn all_of_them_are_named_here() {
                assert_eq!([$($name),*], millpond_native::SCHEMES);
            }
        }
    };
}
native_equals_component!(
    cppsrb "cppsrb",
    dgm "dgm",
    esmpps "esmpps",
    finder_bonus "finder-bonus",
    fpps "fpps",
    geometric "geometric",
    incentive_compatible "incentive-compatible",
    pplns "pplns",
    pplns_window "pplns-window",
    pps "pps",
    pps_plus "pps-plus",
    prop "prop",
    queue "queue",
    shifts "shifts",
    slice "slice",
    slush "slush",
    smpps "smpps",
    solo "solo",
    tides "tides"
);

fn fee_chain(policy: &dyn FeePolicy, settings: &Settings) -> (Digest, u64) {
    let mut chain = Chain::default();
    let mut taken = 0_u64;
    chain.push(&policy.schema()).unwrap();
    let described = policy.describe(settings);
    chain.push(&described).unwrap();
    let columns = described.map_or(0, |done| done.value.len());
    for history in 0..HISTORIES {
        let mut stream = Key { seed: 42, replication: history }.stream(Purpose::Test, 0);
        let miner = miners(&mut stream);
        let mut column = |_| miner.iter().map(|_| narrow(&mut stream)).collect::<Vec<_>>();
        let (amount, attributes) = (column(0), (0..columns).map(&mut column).collect::<Vec<_>>());
        let fees = policy.fees(settings, &income(&mut stream), &miner, &amount, &attributes);
        chain.push(&fees).unwrap();
        let any = |fees: &Fees| fees.fee.iter().any(|fee| *fee > 0);
        taken += u64::from(fees.is_ok_and(|done| any(&done.value)));
    }
    (chain.digest(), taken)
}

#[test]
fn native_fees_equal_components() {
    let sink: Arc<dyn LogSink> = Arc::new(TracingSink);
    for name in millpond_native::FEES {
        let bytes = millpond_bundled::get(name).unwrap().bytes;
        let component = load_fee_policy(&SANDBOX, name, bytes, &sink).unwrap();
        let native = millpond_native::fee(name).unwrap();
        assert_eq!(native.digest(), component.digest());
        let mut taken = 0;
        for settings in settings(name) {
            let (digest, fees) = fee_chain(native.as_ref(), &settings);
            assert_eq!((digest, fees), fee_chain(component.as_ref(), &settings), "{name}: {settings:?}");
            taken += fees;
        }
        assert!(taken > HISTORIES, "{name}");
    }
}

/// PPS that rounds a credit to the nearest unit: half of a unit and more is paid at once.
struct NearestPps;

impl sdk::Scheme for NearestPps {
    fn schema() -> String {
        Pps::schema()
    }

    fn describe(settings: sdk::Settings) -> Result<sdk::Terms, String> {
        Pps::describe(settings)
    }

    fn allocate(
        settings: sdk::Settings,
        income: sdk::Income,
        windows: Vec<sdk::Totals>,
        state: sdk::State,
    ) -> Result<sdk::Allocation, String> {
        Pps::allocate(settings, income, windows, state)
    }
}

impl sdk::Accrual for NearestPps {
    fn accrue(
        settings: sdk::Settings,
        batch: sdk::Batch,
        state: sdk::State,
    ) -> Result<sdk::Allocation, String> {
        let given = <Pps as sdk::Accrual>::accrue(settings, batch, state)?;
        let mut due: BTreeMap<u64, u64> =
            given.miner.iter().copied().zip(given.amount.iter().copied()).collect();
        let mut kept = sdk::State::unchanged();
        for (miner, cells) in given.state.rows(1) {
            let up = u64::from(cells[0] >= 1 << 63);
            *due.entry(miner).or_insert(0) += up;
            kept.push(miner, &[if up == 1 { 0 } else { cells[0] }]);
        }
        let total = due.values().sum();
        Ok(sdk::Allocation::of(total, due)?.with_state(kept))
    }
}

/// The twin: what is compared can tell.
#[test]
fn another_rounding_is_seen() {
    let twin = NativeScheme::<NearestPps>::accruing(Digest::of(b"twin"));
    let native = millpond_native::get("pps").unwrap();
    let (digest, given) = scheme_chain(&twin, &Settings::new());
    let (expected, all) = scheme_chain(native.as_ref(), &Settings::new());
    assert_eq!(given, all);
    assert_ne!(digest, expected);
}
