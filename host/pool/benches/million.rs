//! What a million miners cost: the window of an income, its division by the bundled PPLNS with the flat fee through every
//! check, the ledger's entry with its index, balances meanwhile, and what journal and ledger take on the disk.
//!
//! Each figure stands beside a floor of the same run: the same sums over an array that is in memory already, the same bytes
//! written and synced, look-ups in an array. `MILLPOND_MINERS` and `MILLPOND_SHARES` set the size (100,000 and
//! 2,000,000 unless said; the goal is 1,000,000 and 100,000,000, which takes some 10 GB of this folder's disk), and
//! `MILLPOND_INDEX=off` leaves the index of the pages away.
//!
//! `cargo bench --workspace --locked --profile release --bench million`; the last line is JSON.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use millpond_contracts::{Setting, load_fee_policy, load_scheme};
use millpond_disk::{Disk, RealDisk};
use millpond_journal::{Edge, FORMAT, Journal, Measure, Options, Share, Span, Window, WindowEnd, WorkerId};
use millpond_ledger::{AccountIndex, Entry, FeeName, IncomeKey, Ledger, Owner};
use millpond_payout::{
    BoundFee, BoundScheme, IncomeFacts, NoAttributes, Recipient, SchemeState, WindowSums, allocate,
};
use millpond_runtime::{Compiler, LogSink, Sandbox, TracingSink};
use millpond_types::{Amount, JobId, MinerId, ShareSeq, UnixMillis, Work};
use serde_json::json;
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

const INCOMES: u64 = 5;
const REWARD: u64 = 312_500_000;
/// Work of a block.
const NETWORK: u128 = 1 << 60;

fn size(name: &str, usual: u64) -> u64 {
    std::env::var(name).ok().map_or(usual, |text| text.replace('_', "").parse().expect("a number"))
}

/// Numbers that look like none: a multiplication and a shift (Steele, Lea, Flood 2014).
fn mixed(number: u64) -> u64 {
    let once = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let twice = (once ^ (once >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    twice ^ (twice >> 31)
}

/// Some miners have most of the shares: the square of an even draw.
fn share(number: u64, miners: u64) -> Share {
    let draw = mixed(number) % (1 << 31);
    let miner = 1 + ((u128::from(draw) * u128::from(draw) * u128::from(miners)) >> 62) as u64;
    let mut id = [0; 32];
    (0..4)
        .for_each(|part| id[part * 8..][..8].copy_from_slice(&mixed(number * 4 + part as u64).to_le_bytes()));
    Share {
        miner: MinerId(miner),
        worker: WorkerId(miner),
        job: JobId(1 + number / 50_000),
        coord: 900_000 + number / 600_000,
        network_work: NETWORK,
        reward: Amount(REWARD),
        subsidy: None,
        work: Work(1 << (20 + miner % 8)),
        time: UnixMillis(1_700_000_000_000 + number / 5),
        id,
    }
}

fn size_of(folder: &Path) -> u64 {
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let is = entry.metadata().unwrap();
        bytes += if is.is_dir() { size_of(&entry.path()) } else { is.len() };
    }
    bytes
}

fn timed<T>(what: impl FnOnce() -> T) -> (T, f64) {
    let began = Instant::now();
    let value = what();
    (value, began.elapsed().as_secs_f64() * 1e3)
}

fn median(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    all[all.len() / 2]
}

/// Private pages of this process, in MB.
fn memory() -> f64 {
    let text = std::fs::read_to_string("/proc/self/smaps_rollup").unwrap();
    let line = text.lines().find(|line| line.starts_with("Anonymous:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
}

fn main() {
    let (miners, shares) = (size("MILLPOND_MINERS", 100_000), size("MILLPOND_SHARES", 2_000_000));
    // Beside the sources and not in /tmp, which may be memory.
    let folder = tempfile::tempdir_in(".").unwrap();
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let options = Options { queue_items: 1 << 20, ..Options::new(FORMAT) };
    let at_start = memory();
    let (journal, _) = Journal::open(Arc::clone(&disk), &folder.path().join("journal"), options).unwrap();
    let group = 50_000;
    let numbers: Vec<u64> = (1..=miners).collect();
    for numbers in numbers.chunks(group) {
        let known: Vec<_> = numbers
            .iter()
            .map(|number| {
                let hash =
                    [mixed(*number), mixed(!*number), mixed(number << 32)].map(u64::to_le_bytes).concat();
                let address = format!("bc1q{}", &hex::encode(&hash)[..38]);
                journal.miner(&[&[0, 20][..], &hash[..20]].concat(), &address)
            })
            .collect();
        for (commit, number) in known.into_iter().zip(numbers) {
            assert_eq!(commit.wait().unwrap(), MinerId(*number));
        }
        let known: Vec<_> = numbers.iter().map(|number| journal.worker(MinerId(*number), "rig")).collect();
        known.into_iter().for_each(|commit| assert!(commit.wait().is_ok()));
    }
    let registered = size_of(&folder.path().join("journal"));
    let mut dense = vec![0_u128; usize::try_from(miners).unwrap() + 1];
    let ((), writing) = timed(|| {
        for first in (0..shares).step_by(group) {
            let commits: Vec<_> = (first..(first + group as u64).min(shares))
                .map(|number| {
                    let share = share(number, miners);
                    dense[usize::try_from(share.miner.0).unwrap()] += u128::from(share.work.0);
                    journal.share(share)
                })
                .collect();
            commits.into_iter().for_each(|commit| assert!(commit.wait().is_ok()));
        }
    });
    let journal_bytes = size_of(&folder.path().join("journal"));
    let with_journal = memory();
    let view = journal.view();
    let segments = view.log().segments().count();
    let end = WindowEnd {
        seq: ShareSeq(shares),
        time: UnixMillis(1_800_000_000_000),
        network_work: NETWORK,
        ..WindowEnd::default()
    };
    let window = Window { span: Span::Shares(shares), measure: Measure::Work, edge: Edge::Whole };
    let rows = view.window(&window, &end, None).unwrap();
    let expected: Vec<_> = (0..).map(MinerId).zip(dense.iter().copied()).filter(|row| row.1 > 0).collect();
    assert!(rows == expected, "the window is not the sum of its shares");
    let named = rows.len();
    let windows = median((0..3).map(|_| timed(|| view.window(&window, &end, None).unwrap()).1).collect());
    let floor = median((0..3).map(|_| timed(|| black_box(dense.iter().sum::<u128>())).1).collect());
    // One that ends where shares came since, and begins inside a segment.
    let cut_end = WindowEnd { seq: ShareSeq(shares - shares / 40), ..end };
    let cut = Window { span: Span::Shares(shares / 6 * 5), ..window };
    let cut_windows =
        median((0..3).map(|_| timed(|| black_box(view.window(&cut, &cut_end, None).unwrap())).1).collect());

    let sandbox = Sandbox::new(None, Compiler::InProcess).unwrap();
    let sink: Arc<dyn LogSink> = Arc::new(TracingSink);
    let bytes = |name: &str| millpond_bundled::get(name).unwrap().bytes;
    let scheme = load_scheme(&sandbox, "pplns", bytes("pplns"), &sink).unwrap();
    let scheme = BoundScheme::new("pplns", scheme, Vec::new()).unwrap();
    let fee = load_fee_policy(&sandbox, "flat-fee", bytes("flat-fee"), &sink).unwrap();
    let to = vec![Recipient { name: FeeName::try_from("operator".to_owned()).unwrap(), weight: 1 }];
    let points = vec![("basis_points".to_owned(), Setting::Int(100))];
    let fee = BoundFee::new("flat-fee", fee, points, to).unwrap();
    let sums = WindowSums(rows);
    let state = SchemeState::new(scheme.terms());
    let facts = |number: u64| IncomeFacts {
        key: IncomeKey::new(number.to_be_bytes().to_vec()).unwrap(),
        // A unit in a thousand for the least of a million.
        amount: Amount(REWARD * 1_000),
        number,
        end: ShareSeq(shares),
        time: UnixMillis(1_800_000_000_000),
        coord: 1_000_000,
        finder: Some(MinerId(1)),
        subsidy: None,
        reserve: Amount::ZERO,
        unpaid: None,
    };
    let divide = |number: u64| {
        let facts = facts(number);
        allocate(
            &scheme,
            std::slice::from_ref(&fee),
            &facts,
            Amount::ZERO,
            std::slice::from_ref(&sums),
            &state,
            &NoAttributes,
        )
        .unwrap()
    };
    let mut decisions = Vec::new();
    let mut allocations = Vec::new();
    for number in 1..=INCOMES {
        let (decision, took) = timed(|| divide(number));
        assert_eq!(decision.entry.parts.total(), Amount(REWARD * 1_000));
        decisions.push(decision);
        allocations.push(took);
    }
    let allocation = median(allocations);
    // One pass that divides in proportion: what every scheme of this kind has to do at least.
    let total: u128 = sums.0.iter().map(|row| row.1).sum();
    let plain = median(
        (0..3)
            .map(|_| {
                timed(|| {
                    let parts = sums.0.iter().map(|row| (u128::from(REWARD) * 1_000 * row.1 / total) as u64);
                    black_box(parts.collect::<Vec<u64>>())
                })
                .1
            })
            .collect(),
    );

    let ledger = Arc::new(Ledger::open(Arc::clone(&disk), &folder.path().join("ledger")).unwrap());
    // With a million rows for each income it takes more memory than this machine may have.
    let indexed = std::env::var_os("MILLPOND_INDEX").is_none_or(|set| set != "off");
    if indexed {
        ledger.attach_index(AccountIndex::open(&folder.path().join("index")).unwrap()).unwrap();
    }
    let stop = Arc::new(AtomicBool::new(false));
    // Balances are read all the while.
    let (reading, ending) = (Arc::clone(&ledger), Arc::clone(&stop));
    let reader = std::thread::spawn(move || {
        // The same look-ups in an array that nobody writes to: what this machine's other work costs a reader.
        let plain = vec![1_u64; usize::try_from(miners).unwrap() + 1];
        let (mut took, mut floor) = (Vec::new(), Vec::new());
        let mut number = 0_u64;
        while !ending.load(Ordering::Relaxed) {
            number += 1;
            let miner = 1 + mixed(number) % miners;
            let owner = Owner::Miner(MinerId(miner));
            took.push(timed(|| black_box(reading.payable(&owner))).1);
            floor.push(timed(|| black_box(plain[usize::try_from(miner).unwrap()])).1);
            std::thread::sleep(std::time::Duration::from_micros(200));
        }
        (took, floor)
    });
    let mut appends = Vec::new();
    let mut matured = Vec::new();
    let time = UnixMillis(1_800_000_000_000);
    for decision in decisions {
        let key = decision.entry.key.clone();
        appends.push(timed(|| ledger.append(time, Entry::IncomeAllocated(decision.entry)).unwrap()).1);
        matured.push(timed(|| ledger.append(time, Entry::Matured { key }).unwrap()).1);
    }
    stop.store(true, Ordering::Relaxed);
    let (mut looks, mut plain_looks) = reader.join().unwrap();
    looks.sort_by(f64::total_cmp);
    plain_looks.sort_by(f64::total_cmp);
    let of = |all: &[f64], part: f64| all[((all.len() - 1) as f64 * part) as usize];
    let at = |part: f64| of(&looks, part);
    let worst_plain = of(&plain_looks, 1.0);
    assert!(ledger.totals().conserved);
    let idle: Vec<f64> = (0..100_000_u64)
        .map(|number| {
            let owner = Owner::Miner(MinerId(1 + mixed(number) % miners));
            timed(|| black_box(ledger.payable(&owner))).1
        })
        .collect();
    let look = median(
        (0..100_000_u64)
            .map(|number| {
                let miner = MinerId(1 + mixed(number) % miners);
                timed(|| black_box(sums.0.binary_search_by_key(&miner, |row| row.0).is_ok())).1
            })
            .collect(),
    );
    let ledger_bytes = size_of(&folder.path().join("ledger"));
    let (append, mature) = (median(appends), median(matured));
    let written = usize::try_from(ledger_bytes / INCOMES).unwrap();
    let payload = vec![7_u8; written];
    let raw = folder.path().join("raw");
    let sync = median(
        (0..3)
            .map(|_| {
                timed(|| {
                    std::fs::write(&raw, &payload).unwrap();
                    std::fs::File::open(&raw).unwrap().sync_data().unwrap();
                })
                .1
            })
            .collect(),
    );
    let with_ledger = memory();
    // A start, after all of this: what the journal reads and checks of its newest segment, and the ledger of its entries.
    drop((journal, view));
    let options = Options { queue_items: 1 << 20, ..Options::new(FORMAT) };
    let again = timed(|| Journal::open(Arc::clone(&disk), &folder.path().join("journal"), options).unwrap());
    let (journal_starts, newest) = (again.1, again.0.0.view().newest());
    assert_eq!(newest, ShareSeq(shares));
    let head = ledger.head();
    drop(ledger);
    let again = timed(|| Ledger::open(Arc::clone(&disk), &folder.path().join("ledger")).unwrap());
    let ledger_starts = again.1;
    assert_eq!(again.0.head(), head);
    let per_million = (journal_bytes - registered) as f64 / shares as f64;

    println!("{miners} miners, {named} of them with work; {shares} shares in {segments} segments");
    println!(
        "written and synced at {:.0} shares/s, {per_million:.2} MB a million",
        shares as f64 / writing * 1e3
    );
    println!();
    println!("                                           ms      floor   times");
    let line = |what: &str, took: f64, floor: f64| {
        println!("{what:<38} {took:>9.3} {floor:>9.3} {:>8.1}", took / floor);
    };
    line("window (an array's sum)", windows, floor);
    line("window cut at both ends (the same)", cut_windows, floor);
    line("division, fee, checks (one pass)", allocation, plain);
    let entry = if indexed { "entry with index (its bytes, synced)" } else { "entry (its bytes, synced)" };
    line(entry, append, sync);
    line("maturity (the same)", mature, sync);
    line("balance at rest (binary search)", median(idle.clone()), look);
    println!();
    println!(
        "window and division {:.0} ms; with the ledger's entry {:.0} ms",
        windows + allocation,
        windows + allocation + append
    );
    println!(
        "a balance while incomes are booked: median {:.4} ms, 99.9 % {:.3} ms, worst {:.2} ms of {} (of an array {worst_plain:.2} ms)",
        at(0.5),
        at(0.999),
        at(1.0),
        looks.len()
    );
    println!("a start: journal {journal_starts:.0} ms, ledger {ledger_starts:.0} ms of {} entries", head.seq);
    println!(
        "memory: {:.0} MB journal, {:.0} MB more with ledger, window and {INCOMES} open incomes; ledger {:.1} MB an income",
        with_journal - at_start,
        with_ledger - with_journal,
        ledger_bytes as f64 / INCOMES as f64 / 1e6
    );
    println!(
        "{}",
        json!({
            "bench": "million", "index": indexed, "miners": miners, "named": named, "shares": shares, "segments": segments,
            "shares_per_second": shares as f64 / writing * 1e3, "journal_bytes_per_share": per_million,
            "window_ms": windows, "cut_window_ms": cut_windows, "window_floor_ms": floor, "allocation_ms": allocation, "allocation_floor_ms": plain,
            "append_ms": append, "append_floor_ms": sync, "mature_ms": mature,
            "balance_idle_ms": median(idle), "balance_floor_ms": look,
            "balance_busy_ms": {"p50": at(0.5), "p999": at(0.999), "worst": at(1.0), "worst_floor": worst_plain},
            "journal_start_ms": journal_starts, "ledger_start_ms": ledger_starts,
            "journal_mb": with_journal - at_start, "ledger_mb": with_ledger - with_journal,
            "ledger_bytes_per_income": ledger_bytes / INCOMES,
        })
    );
}
