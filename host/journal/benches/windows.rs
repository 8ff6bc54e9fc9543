//! A payout window over millions of shares: by footers and edges, and by reading everything. And short windows of many
//! incomes, one after the other, as a replay asks for them: by a view that keeps segments and by one that does not.
//! `cargo bench --workspace --profile release --bench windows`; the last line is JSON.
#![allow(clippy::unwrap_used, missing_docs)]

#[path = "../tests/common/mod.rs"]
mod common;

use common::CountingDisk;
use millpond_disk::RealDisk;
use millpond_journal::{
    Edge, FORMAT, Journal, JournalError, JournalView, Measure, Options, Share, Span, Window, WindowEnd,
    WorkerId,
};
use millpond_types::{MinerId, ShareSeq, UnixMillis, Work};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

const SHARES: u64 = 2_000_000;
const MINERS: u64 = 1000;
/// Incomes, so many shares apart, each with a window as long.
const INCOMES: u64 = 400;

fn share(number: u64) -> Share {
    let miner = 1 + number * 7919 % MINERS;
    Share {
        miner: MinerId(miner),
        worker: WorkerId(miner),
        work: Work(1 << (20 + miner % 8)),
        network_work: 1 << 40,
        // A block is found by others every 600,000 shares, and meanwhile fees grow.
        subsidy: Some(millpond_types::Amount(50 - number % 600_000 / 20_000)),
        time: UnixMillis(1_700_000_000_000 + number),
        coord: 900_000 + number / 600_000,
        ..common::share(number)
    }
}

fn main() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Arc::new(CountingDisk::new(RealDisk));
    let options = Options { segment_bytes: 4 << 20, queue_items: 1 << 20, ..Options::new(FORMAT) };
    let (journal, _) = Journal::open(disk.clone(), folder.path(), options).unwrap();
    let began = Instant::now();
    for group in 0..SHARES / 2000 {
        let commits: Vec<_> =
            (group * 2000..(group + 1) * 2000).map(|number| journal.share(share(number))).collect();
        commits.into_iter().for_each(|commit| {
            commit.wait().unwrap();
        });
    }
    let writing = began.elapsed().as_secs_f64();
    let view = journal.view();
    let (segments, bytes) = view
        .log()
        .segments()
        .fold((0_u64, 0_u64), |(count, bytes), segment| (count + 1, bytes + segment.bytes));
    let end = WindowEnd { seq: ShareSeq(SHARES - 777), network_work: 1 << 40, ..WindowEnd::default() };
    let window = Window { span: Span::Shares(SHARES - 300_000), measure: Measure::Work, edge: Edge::Whole };

    disk.read.lock().clear();
    let began = Instant::now();
    let rows = view.window(&window, &end, None).unwrap();
    let by_footers = began.elapsed().as_secs_f64() * 1e3;
    let read: u64 = disk.read.lock().values().sum();

    let began = Instant::now();
    let mut naive: BTreeMap<MinerId, u128> = BTreeMap::new();
    let from = ShareSeq(end.seq.0 + 1 - (SHARES - 300_000));
    view.shares(ShareSeq(0), |seq, share| -> Result<(), JournalError> {
        if seq >= from && seq <= end.seq {
            *naive.entry(share.miner).or_default() += u128::from(share.work.0);
        }
        Ok(())
    })
    .unwrap();
    let by_scan = began.elapsed().as_secs_f64() * 1e3;
    assert_eq!(rows, naive.into_iter().collect::<Vec<_>>());

    // The same length in slices: how far back by footers, then share by share.
    let scored = JournalView::window;
    let work: u128 = rows.iter().map(|(_, work)| work).sum();
    let thousandths = u64::try_from(work * 1000 / end.network_work).unwrap();
    let slices = |step| {
        let window =
            Window { span: Span::Slices(thousandths, step), measure: Measure::FeeValue, edge: Edge::Split };
        let began = Instant::now();
        let scores = scored(&view, &window, &end, None).unwrap();
        assert_eq!(scores.len(), rows.len());
        began.elapsed().as_secs_f64() * 1e3
    };
    let (by_height, by_fees) = (slices(0), slices(5));

    let many = |view: &JournalView| {
        let (began, apart) = (Instant::now(), SHARES / INCOMES);
        for income in 1..=INCOMES {
            let end = WindowEnd { seq: ShareSeq(income * apart), ..WindowEnd::default() };
            let window = Window { span: Span::Shares(apart), measure: Measure::Work, edge: Edge::Whole };
            assert_eq!(view.window(&window, &end, None).unwrap().len() as u64, MINERS);
        }
        began.elapsed().as_secs_f64() * 1e3 / INCOMES as f64
    };
    let (reading, keeping) = (many(&view), many(&view.keeping()));

    println!(
        "{SHARES} shares of {MINERS} miners, {segments} segments, {:.2} bytes a share",
        bytes as f64 / SHARES as f64
    );
    println!("written and synced at {:.0} shares/s", SHARES as f64 / writing);
    println!("window of {} shares   read MB       ms", SHARES - 300_000);
    println!("  footers and edges    {:>10.2} {by_footers:>8.2}", read as f64 / 1e6);
    println!("  every share          {:>10.2} {by_scan:>8.2}", bytes as f64 / 1e6);
    println!("  in slices, by height {:>21.2}", by_height);
    println!("  in slices, by fees   {:>21.2}", by_fees);
    println!("{INCOMES} windows of {} shares, ms each", SHARES / INCOMES);
    println!("  read for each        {reading:>21.2}");
    println!("  of kept segments     {keeping:>21.2}    {:.0} to 1", reading / keeping);
    println!(
        "{{\"bench\":\"window\",\"shares\":{SHARES},\"segments\":{segments},\"bytes_per_share\":{:.2},\
         \"footers_ms\":{by_footers:.2},\"footers_bytes_read\":{read},\"scan_ms\":{by_scan:.2},\"scan_bytes\":{bytes},\
         \"slices_ms\":[{by_height:.2},{by_fees:.2}],\"many_ms\":[{reading:.3},{keeping:.3}]}}",
        bytes as f64 / SHARES as f64
    );
}
