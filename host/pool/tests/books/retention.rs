//! Old shares go, and everything that still refers to them holds them back.

use super::support::{Pool, sandbox, view_of, wanted};
use millpond_contracts::Setting;
use millpond_disk::SimDisk;
use millpond_journal::{BlockFate, Fate, Income, IncomeAt, Record};
use millpond_pool::policy::Wanted;
use millpond_pool::retention::{Keep, boundary};
use millpond_pool::what_if::{Asked, Follower};
use millpond_runtime::TracingSink;
use millpond_types::{Amount, ShareSeq, UnixMillis};
use std::sync::Arc;
use std::time::Duration;

/// The block of an income will stay where it is.
fn finish(pool: &Pool, income: &Income) {
    let IncomeAt::Block(block) = &income.at else { panic!("{income:?}") };
    let fate = Fate { block: block.clone(), fate: BlockFate::Final, time: UnixMillis(pool.clock) };
    pool.journal.record(fate).wait().unwrap();
}

/// The first share that is kept now, by this order.
fn boundary_of(pool: &Pool, seconds: Option<u64>, shares: u64) -> ShareSeq {
    let keep = Keep { time: seconds.map(Duration::from_secs), shares };
    let (pending, now) = (pool.books.pending(), UnixMillis(pool.clock));
    boundary(&pool.journal, &pool.ledger, &pool.loader, pending.as_slice(), keep, now).unwrap()
}

/// Three hours, longer than a job lives before its block.
const LONG: u64 = 3 * 60 * 60 * 1000;

/// Two blocks with many shares around them; `dropping` lets old shares go whenever it may.
fn two_blocks(dropping: bool) -> (Pool, [ShareSeq; 3]) {
    two_blocks_of(&wanted("pplns", Vec::new(), 100), dropping)
}

fn two_blocks_of(scheme: &Wanted, dropping: bool) -> (Pool, [ShareSeq; 3]) {
    let mut pool = Pool::open_small(SimDisk::new(), scheme, 1_000_000, 0);
    let (a, b) = (pool.miner("a"), pool.miner("b"));
    let mut firsts = Vec::new();
    let mut work = |pool: &mut Pool, shares: u64| {
        for number in 0..shares {
            pool.height += u64::from(number % 100 == 99);
            if number % 20 == 0 {
                // Jobs in turn of a fifth and three tenths of fees.
                pool.tell_subsidy(if number % 40 == 0 { 4_000_000_000 } else { 3_500_000_000 });
            }
            pool.share(if number % 3 == 0 { a } else { b }, 20);
        }
        pool.clock += LONG;
        let first = boundary_of(pool, Some(1), 10);
        if dropping {
            pool.journal.drop_before(first).unwrap();
        }
        firsts.push(first);
    };
    work(&mut pool, 400);
    let income = pool.block(a, 1_000_003);
    // Neither the block nor its income is final: the income's whole window stays, however old it gets.
    work(&mut pool, 400);
    assert_eq!(pool.replay().unwrap().incomes, 1);
    pool.mature(&income);
    finish(&pool, &income);
    work(&mut pool, 400);
    pool.block(b, 2_000_001);
    (pool, firsts.try_into().unwrap())
}

#[test]
fn a_pool_that_drops_old_shares_pays_to_the_unit_what_one_that_keeps_them_pays() {
    let (dropped, [first, second, third]) = two_blocks(true);
    let (kept, _) = two_blocks(false);
    assert_eq!(dropped.ledger.head(), kept.ledger.head());
    // A window of two blocks' work is at most 100 shares long; the open income holds on to the one before it.
    assert!(first > ShareSeq(200), "{first}");
    assert!((ShareSeq(200)..=ShareSeq(401)).contains(&second), "{second}");
    assert!(third > ShareSeq(900), "{third}");
    let last = dropped.journal.dropped().last;
    assert!(last > ShareSeq(800) && last < third, "{last}");
    assert_eq!(kept.journal.dropped().last, ShareSeq(0));

    // What is kept is computed again; what was dropped is said to be taken as it is booked.
    let whole = kept.replay().unwrap();
    assert_eq!((whole.incomes, whole.taken), (2, 0));
    let rest = dropped.replay().unwrap();
    assert_eq!((rest.incomes, rest.taken, rest.head), (1, 1, whole.head));

    // And again after a restart.
    let (disk, clock) = (dropped.disk.clone(), dropped.clock);
    drop(dropped);
    let again = Pool::open_small(disk, &wanted("pplns", Vec::new(), 100), clock, 2);
    assert_eq!(again.journal.dropped().last, last);
    assert!(boundary_of(&again, Some(1), 10) > last);
}

/// A window in slices that fees end needs the shares before its edge that say where its first slice began, and no more.
#[test]
fn shares_are_kept_from_where_the_slices_of_a_window_begin() {
    let slice = |delta| {
        let number = |name: &str, value| (name.to_owned(), Setting::Int(value));
        wanted("slice", vec![number("window", 2000), number("delta", delta)], 100)
    };
    let [short, long] = [0, 100_000_000].map(|delta| {
        let (dropped, firsts) = two_blocks_of(&slice(delta), true);
        let (kept, _) = two_blocks_of(&slice(delta), false);
        assert_eq!(dropped.ledger.head(), kept.ledger.head());
        let last = dropped.journal.dropped().last;
        // Four windows, each of twice its length where a block takes a thousand of work: 800 shares.
        assert!(last > ShareSeq(250), "{last} of {delta}, {firsts:?}");
        assert_eq!(kept.replay().unwrap().incomes, 2);
        firsts
    });
    assert!(long.iter().zip(&short).all(|(long, short)| long <= short), "{long:?} {short:?}");
    assert!(long[2] < short[2], "{long:?} {short:?}");
}

/// Shares that no block has paid stay as long as one may reach them; what is paid goes, and with it what it was paid by.
#[test]
fn shares_are_kept_from_the_oldest_unpaid_one() {
    let scheme = |reach| {
        let carry = ("surplus".to_owned(), Setting::Text("carry".to_owned()));
        wanted("cppsrb", vec![carry, ("reach".to_owned(), Setting::Int(reach))], 0)
    };
    let run = |reach: i64, dropping: bool| {
        let mut pool = Pool::open_small(SimDisk::new(), &scheme(reach), 1_000_000, 0);
        let (a, b) = (pool.miner("a"), pool.miner("b"));
        let mut firsts = Vec::new();
        for (finder, amount) in [(a, 2_000), (b, 1_100), (a, 400)] {
            for number in 0..400 {
                pool.share(if number % 3 == 0 { a } else { b }, 4);
            }
            // Shares are worth five million a unit of work: 1,700 a round.
            let income = pool.block(finder, amount * 5_000_000);
            pool.clock += LONG;
            firsts.push(boundary_of(&pool, Some(1), 10));
            pool.mature(&income);
            finish(&pool, &income);
            firsts.push(boundary_of(&pool, Some(1), 10));
            if dropping {
                pool.journal.drop_before(firsts[firsts.len() - 1]).unwrap();
            }
        }
        (pool, firsts)
    };
    let (dropped, firsts) = run(1_000_000, true);
    let (kept, _) = run(1_000_000, false);
    assert_eq!(dropped.ledger.head(), kept.ledger.head());
    // All of the first round is paid: its block may be lost, and it is needed, until it is final.
    assert_eq!(firsts[0], ShareSeq(1));
    assert!(firsts[1] > ShareSeq(350), "{firsts:?}");
    // Of the second a quarter is not, with what was over of the first: from there on all stays.
    let oldest = dropped.journal.dropped().last;
    assert!(
        oldest > ShareSeq(350) && firsts[5] == firsts[3] && firsts[3] < ShareSeq(600),
        "{firsts:?} {oldest}"
    );
    assert_eq!((kept.replay().unwrap().incomes, kept.replay().unwrap().taken), (3, 0));
    let replayed = dropped.replay().unwrap();
    assert_eq!(replayed.incomes + replayed.taken, 3);
    assert!(replayed.incomes >= 1, "{replayed:?}");
    // Out of reach nothing is unpaid.
    let (_, near) = run(50, false);
    assert!(near[5] > ShareSeq(1_000), "{near:?}");
}

#[test]
fn nothing_goes_without_an_order_nor_below_the_order_nor_before_it_is_paid() {
    let mut pps = wanted("pps", Vec::new(), 0);
    pps.reserve = Amount(60_000_000_000);
    let mut pool = Pool::open_small(SimDisk::new(), &pps, 1_000_000, 0);
    let a = pool.miner("a");
    for _ in 0..300 {
        pool.share(a, 10);
    }
    pool.clock += LONG;
    assert_eq!(boundary_of(&pool, None, 0), ShareSeq(1), "without an order all is kept");
    assert_eq!(boundary_of(&pool, Some(1), 0), ShareSeq(1), "no share is credited yet");
    pool.books.credit_shares(UnixMillis(pool.clock)).unwrap();
    let paid = pool.ledger.book().accrued_to();
    assert!(paid > 200, "{paid}");
    let first = boundary_of(&pool, Some(1), 0);
    assert!(first > ShareSeq(100) && first.0 <= paid + 1, "{first}");
    assert!(boundary_of(&pool, Some(1), 250) <= ShareSeq(51), "so many of the newest stay");
    assert_eq!(boundary_of(&pool, Some(24 * 60 * 60), 0), ShareSeq(1), "all are younger than a day");
    // A scheme that waits for the next block has its say already.
    let mut long = wanted("pplns", vec![("window".to_owned(), Setting::Int(64_000))], 0);
    long.reserve = pps.reserve;
    pool.books.schedule(&long, "test", UnixMillis(pool.clock)).unwrap();
    assert_eq!(boundary_of(&pool, Some(1), 0), ShareSeq(1), "its window is longer than what there is");
}

/// Six blocks behind a boundary, under the scheme that followed there; `dropping` lets old shares go whenever it may. The
/// boundary, and which share was the first to be kept before each block.
fn followed(next: &Wanted, dropping: bool) -> (Pool, ShareSeq, Vec<ShareSeq>) {
    let first = wanted("pplns", vec![("window".to_owned(), Setting::Int(2_000))], 0);
    let mut pool = Pool::open_small(SimDisk::new(), &first, 1_000_000, 0);
    let (a, b) = (pool.miner("a"), pool.miner("b"));
    let done = |pool: &Pool, income: Income| {
        pool.mature(&income);
        finish(pool, &income);
    };
    for _ in 0..300 {
        pool.share(a, 20);
    }
    pool.swap(&Wanted { run_off: Some(1000), ..next.clone() });
    let boundary = pool.block(a, 5_000_003);
    let floor = boundary.end.seq;
    done(&pool, boundary);
    let mut firsts = Vec::new();
    for block in 0..6 {
        for _ in 0..40 {
            pool.share(b, 20);
        }
        pool.clock += LONG;
        let kept = boundary_of(&pool, Some(1), 10);
        if dropping {
            pool.journal.drop_before(kept).unwrap();
        }
        firsts.push(kept);
        let income = pool.block(b, 5_000_000 + block);
        done(&pool, income);
    }
    (pool, floor, firsts)
}

#[test]
fn what_a_followed_scheme_still_pays_is_kept_and_no_more() {
    // Solo asks for no share, and the window of the other is longer than all that there is.
    let long = wanted("pplns", vec![("window".to_owned(), Setting::Int(64_000))], 0);
    for (next, is_long) in [(wanted("solo", Vec::new(), 0), false), (long, true)] {
        let (dropped, floor, firsts) = followed(&next, true);
        let (kept, ..) = followed(&next, false);
        assert_eq!(dropped.ledger.head(), kept.ledger.head());
        // A window of 100 shares passes with the third block; its second still reaches back over the boundary.
        assert!(firsts[..2].iter().all(|first| *first <= floor), "{firsts:?} of {floor}");
        let last = *firsts.last().unwrap();
        assert!(if is_long { last.0 == floor.0 + 1 } else { last.0 > floor.0 + 100 }, "{last} of {floor}");
        assert!(dropped.journal.dropped().last.0 + 40 > floor.0, "{}", dropped.journal.dropped().last);
        assert_eq!(kept.replay().unwrap().incomes, 7);
        // Those that both divided are taken as they are booked where the boundary is gone, the others are computed again.
        let replayed = dropped.replay().unwrap();
        assert!(replayed.incomes >= 1 && replayed.incomes + replayed.taken == 7, "{replayed:?}");
        // And it goes on behind a start.
        let (disk, clock, blocks) = (dropped.disk.clone(), dropped.clock, dropped.blocks);
        drop(dropped);
        let mut again = Pool::open_small(disk, &next, clock, blocks);
        let b = again.miner("b");
        again.block(b, 7_000_000);
        again.replay().unwrap();
    }
}

#[test]
fn policies_that_are_carried_over_in_several_parts_are_read_by_a_replay() {
    let scheme = wanted("pplns", Vec::new(), 100);
    let mut pool = Pool::open_small(SimDisk::new(), &scheme, 1_000_000, 0);
    let a = pool.miner("a");
    // Five megabytes of addresses: what is carried over takes two records, and policies come behind miners.
    for name in 0..1_300_u16 {
        pool.journal.miner(&name.to_be_bytes(), &"x".repeat(4_000)).wait().unwrap();
    }
    let b = pool.miner("b");
    for _ in 0..3 {
        for _ in 0..100 {
            pool.share(b, 20);
        }
        pool.journal.roll().wait().unwrap();
    }
    pool.journal.drop_before(ShareSeq(250)).unwrap();
    assert!(pool.journal.dropped().last >= ShareSeq(100), "{:?}", pool.journal.dropped());
    let records = view_of(&pool.disk);
    let more = records.records(1).any(|entry| matches!(entry.unwrap().record, Record::CarriedMore(_)));
    assert!(more, "it all went into one record");
    pool.block(a, 1_000_003);
    assert_eq!(pool.replay().unwrap().incomes, 1);
    let asked = Asked::new(&scheme, pool.journal.dropped().last, sandbox(), Arc::new(TracingSink));
    let mut follower = Follower::new(asked.unwrap()).unwrap();
    let answer = follower.follow(&pool.journal.view(), &pool.ledger.reader()).unwrap();
    assert_eq!(answer.miners.iter().map(|row| row.address.as_str()).collect::<Vec<_>>(), ["a", "b"]);
}
