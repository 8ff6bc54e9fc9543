//! What is announced takes over when it was said to, whatever happens in between, and no block earlier.

use crate::support::{Pool, trapping, view_of, wanted};
use millpond_alerts::Level;
use millpond_disk::Keep;
use millpond_journal::{Policy, Record};
use millpond_pool::notice::Announcement;
use millpond_pool::policy::Wanted;
use millpond_types::UnixMillis;
use std::time::Duration;

/// A share takes a second of these pools' clock.
const NOTICE: u64 = 10_000;

fn told(scheme: &str) -> Wanted {
    Wanted { notice: Duration::from_millis(NOTICE), ..wanted(scheme, Vec::new(), 0) }
}

fn next(pool: &Pool) -> Option<String> {
    pool.books.announced().map(|notice| notice.policy.unwrap().scheme.name)
}

fn in_force(pool: &Pool) -> String {
    pool.journal.newest_policy().unwrap().scheme.name
}

/// Finds blocks until none of it waits any more; the times at which they were found, and of the last one.
fn blocks_until_in_force(pool: &mut Pool) -> (Vec<u64>, u64) {
    let (a, mut before) = (pool.miner("a"), Vec::new());
    loop {
        let income = pool.block(a, 1_000_000);
        if next(pool).is_none() {
            return (before, income.end.time.0);
        }
        before.push(income.end.time.0);
        assert!(before.len() < 100, "it never takes over");
    }
}

#[test]
fn nobody_takes_over_before_his_notice_is_over() {
    let mut pool = Pool::start(&told("prop"));
    let begins = pool.clock + NOTICE;
    pool.swap(&told("solo"));
    let notice = pool.books.announced().unwrap();
    assert_eq!((notice.announced.0, notice.not_before.0), (pool.clock, begins));
    let (before, at) = blocks_until_in_force(&mut pool);
    // The block of the very time that was said is one of those.
    assert_eq!((before.len(), before.last(), at), (9, Some(&(begins - 1_000)), begins));
    assert_eq!(in_force(&pool), "solo");
    let (a, b) = (pool.miner("a"), pool.miner("b"));
    pool.share(a, 900);
    let income = pool.block(b, 5_000);
    pool.mature(&income);
    assert_eq!(pool.payable(b), 5_000, "the first block behind it is the new scheme's");
    assert_eq!(pool.replay().unwrap().incomes, 11);
}

#[test]
fn a_swap_that_waits_survives_a_restart() {
    let configured = told("prop");
    for (small, crash) in [(false, false), (false, true), (true, false), (true, true)] {
        let mut pool = Pool::start(&configured);
        let a = pool.miner("a");
        pool.share(a, 10);
        pool.swap(&told("solo"));
        let notice = pool.books.announced().unwrap();
        for _ in 0..3 {
            // By the configuration, which still says what is in force: the order came by command.
            let (disk, clock, blocks) = (pool.disk.clone(), pool.clock, pool.blocks);
            drop(pool);
            if crash {
                disk.cut(3, Keep::Nothing);
                disk.power_on();
            }
            pool = match small {
                true => Pool::open_small(disk, &configured, clock, blocks),
                false => Pool::open(disk, &configured, clock, blocks),
            };
            assert_eq!(pool.books.announced().as_ref(), Some(&notice), "small {small}, crash {crash}");
            let income = pool.block(a, 1_000_000);
            pool.mature(&income);
        }
        let (_, at) = blocks_until_in_force(&mut pool);
        assert_eq!((in_force(&pool).as_str(), at), ("solo", notice.not_before.0));
        pool.replay().unwrap();
        // And when it has, no restart has it take over again.
        let pool = pool.restart(&told("solo"));
        assert_eq!(next(&pool), None);
    }
}

/// The notice is in each segment that is begun while it waits: dropping those of before forgets nothing.
#[test]
fn a_notice_outlives_the_shares_of_its_time() {
    let mut pool = Pool::open_small(millpond_disk::SimDisk::new(), &told("solo"), 1_000_000, 0);
    let a = pool.miner("a");
    let long = UnixMillis(pool.clock + 350_000);
    let how = Announcement { by: "an operator", why: "more luck", not_before: Some(long), by_file: false };
    pool.books.announce(&told("prop"), &how, UnixMillis(pool.clock)).unwrap();
    let notice = pool.books.announced().unwrap();
    let income = pool.block(a, 1_000);
    pool.mature(&income);
    pool.journal
        .record(millpond_journal::Fate {
            block: income.key.clone(),
            fate: millpond_journal::BlockFate::Final,
            time: UnixMillis(pool.clock),
        })
        .wait()
        .unwrap();
    let mut newest = income.end.seq;
    for _ in 0..300 {
        newest = pool.share(a, 10);
    }
    pool.journal.drop_before(newest).unwrap();
    assert!(pool.journal.dropped().last > income.end.seq, "the segment of the notice is gone");
    let (disk, clock, blocks) = (pool.disk.clone(), pool.clock, pool.blocks);
    drop(pool);
    let mut pool = Pool::open_small(disk, &told("solo"), clock, blocks);
    assert_eq!(pool.books.announced(), Some(notice));
    assert!(blocks_until_in_force(&mut pool).1 >= long.0);
    pool.replay().unwrap();
}

#[test]
fn a_takeover_before_its_notice_is_found_by_the_replay() {
    for early in [false, true] {
        let mut pool = Pool::start(&told("prop"));
        let a = pool.miner("a");
        pool.swap(&told("solo"));
        let notice = pool.books.announced().unwrap();
        let income = pool.block(a, 1_000_000);
        pool.mature(&income);
        if !early {
            blocks_until_in_force(&mut pool);
            pool.replay().unwrap();
            continue;
        }
        // Recorded as if the pool had not waited; its clock has, and no block was found since.
        let policy = Policy { from: income.end.seq, time: notice.not_before, ..notice.policy.unwrap() };
        pool.journal.record(policy).wait().unwrap();
        let told = pool.replay().unwrap_err().to_string();
        assert!(told.contains("scheme solo") && told.contains("no such block was found"), "{told}");
        assert!(told.contains(&notice.not_before.0.to_string()), "{told}");
    }
}

#[test]
fn what_is_announced_can_be_withdrawn_and_replaced() {
    let mut pool = Pool::start(&told("prop"));
    let a = pool.miner("a");
    let now = |pool: &Pool| UnixMillis(pool.clock);
    assert_eq!(pool.books.cancel("", now(&pool)).unwrap(), None, "nothing waits");
    pool.swap(&told("solo"));
    pool.share(a, 10);
    let withdrawn = pool.books.cancel("a mistake", now(&pool)).unwrap().unwrap();
    assert_eq!((withdrawn.scheme.name.as_str(), next(&pool)), ("solo", None));
    assert_eq!(pool.journal.notice(), None);
    for _ in 0..12 {
        pool.block(a, 1_000);
    }
    assert_eq!(in_force(&pool), "prop");

    // Another in its place begins its own time; the one in force in its place withdraws it.
    pool.swap(&told("solo"));
    let first = pool.books.announced().unwrap();
    pool.share(a, 10);
    pool.swap(&told("pplns"));
    let second = pool.books.announced().unwrap();
    assert_eq!(second.not_before.0, first.not_before.0 + 1_000);
    // Once more it changes nothing, and says nothing to miners.
    for _ in 0..2 {
        assert!(!pool.schedule(&told("prop")).unwrap());
        assert_eq!((next(&pool), pool.journal.notice()), (None, None));
    }
    let words = view_of(&pool.disk).records(1).filter_map(|entry| match entry.unwrap().record {
        Record::Notice(notice) => Some((notice.policy.map(|policy| policy.scheme.name), notice.reason)),
        _ => None,
    });
    let said = |name: &str| (Some(name.to_owned()), String::new());
    assert_eq!(
        words.collect::<Vec<_>>(),
        [
            said("solo"),
            (None, "a mistake".to_owned()),
            said("solo"),
            said("pplns"),
            (None, "the policy in force stays".to_owned())
        ]
    );
    pool.replay().unwrap();
}

#[test]
fn no_order_goes_before_the_notice_that_is_promised() {
    let pool = Pool::start(&told("prop"));
    let now = UnixMillis(pool.clock);
    let at = |not_before: u64| {
        let how =
            Announcement { not_before: Some(UnixMillis(not_before)), ..Announcement::by("an operator") };
        pool.books.announce(&told("solo"), &how, now).map_err(|why| why.to_string())
    };
    let refused = at(pool.clock + NOTICE - 1).unwrap_err();
    assert!(refused.contains(&(pool.clock + NOTICE).to_string()), "{refused}");
    assert_eq!(next(&pool), None);
    at(pool.clock + NOTICE + 5).unwrap();
    assert_eq!(pool.books.announced().unwrap().not_before.0, pool.clock + NOTICE + 5);
}

#[test]
fn a_configuration_is_announced_once_and_withdrawn_when_it_is_as_before() {
    let pool = Pool::start(&told("prop"));
    let mut pool = pool.restart(&told("solo"));
    let notice = pool.books.announced().unwrap();
    let a = pool.miner("a");
    pool.share(a, 10);
    // Each start finds it announced.
    pool = pool.restart(&told("solo"));
    assert_eq!(pool.books.announced(), Some(notice));
    pool = pool.restart(&told("prop"));
    assert_eq!(next(&pool), None);
    // By a reload likewise.
    let now = UnixMillis(pool.clock);
    assert!(pool.books.want(&told("solo"), "an operator", now).unwrap());
    pool.books.want(&told("prop"), "an operator", now).unwrap();
    assert_eq!(next(&pool), None);
    for _ in 0..12 {
        pool.block(a, 1_000);
    }
    assert_eq!(in_force(&pool), "prop");
    pool.replay().unwrap();
}

#[test]
fn a_repair_takes_over_at_once_whatever_is_announced() {
    let broken = Wanted { notice: told("solo").notice, ..trapping() };
    let mut pool = Pool::start(&broken);
    pool.swap(&told("solo"));
    let a = pool.miner("a");
    let income = pool.found(a, 1_000);
    pool.books.block_found(income.end.seq, income.end.time).unwrap();
    pool.catch_up_until("quarantine", |pool| pool.books.stuck().is_some());
    assert!(pool.schedule(&told("solo")).unwrap(), "at once, and the notice is as long");
    assert_eq!((in_force(&pool).as_str(), next(&pool)), ("solo", None));
    pool.catch_up_until("its division", |pool| pool.books.is_divided(&income).unwrap());
    pool.mature(&income);
    assert_eq!(pool.payable(a), 1_000);
    pool.replay().unwrap();
}

#[test]
fn no_file_is_quicker_than_what_was_promised_before_it() {
    for by_restart in [false, true] {
        let mut pool = Pool::start(&told("prop"));
        let (a, now) = (pool.miner("a"), pool.clock);
        let hasty = wanted("solo", Vec::new(), 0);
        match by_restart {
            true => pool = pool.restart(&hasty),
            false => assert!(pool.books.want(&hasty, "an operator", UnixMillis(now)).unwrap()),
        }
        assert_eq!(pool.books.announced().unwrap().not_before.0, now + NOTICE, "by restart: {by_restart}");
        // Nor when it is read a second time, or something else is ordered.
        pool.share(a, 10);
        pool.books.want(&hasty, "an operator", UnixMillis(pool.clock)).unwrap();
        assert_eq!(pool.books.announced().unwrap().not_before.0, now + NOTICE);
        pool.swap(&wanted("pplns", Vec::new(), 0));
        assert_eq!(pool.books.announced().unwrap().not_before.0, pool.clock + NOTICE);
        // When the longer notice is over, the shorter one counts.
        blocks_until_in_force(&mut pool);
        pool.swap(&wanted("prop", Vec::new(), 0));
        assert_eq!(pool.books.announced().unwrap().not_before.0, pool.clock);
        pool.block(a, 1_000);
        assert_eq!(in_force(&pool), "prop");
        pool.replay().unwrap();
    }
}

#[test]
fn a_longer_notice_is_promised_at_once() {
    let pool = Pool::start(&wanted("prop", Vec::new(), 0));
    assert!(!pool.books.want(&told("prop"), "an operator", UnixMillis(pool.clock)).unwrap());
    pool.books.want(&wanted("solo", Vec::new(), 0), "an operator", UnixMillis(pool.clock)).unwrap();
    assert_eq!(pool.books.announced().unwrap().not_before.0, pool.clock + NOTICE);
}

#[test]
fn a_takeover_that_was_promised_a_notice_and_had_none_is_found_by_the_replay() {
    for (what, said) in [
        ("none", "does not announce this policy"),
        ("of another component", "does not announce this policy"),
        ("too short", "10000 ms were promised"),
    ] {
        let mut pool = Pool::start(&told("prop"));
        let a = pool.miner("a");
        if what != "none" {
            pool.swap(&told("solo"));
        }
        let income = pool.block(a, 1_000_000);
        pool.mature(&income);
        let other = if what == "too short" { "solo" } else { "pplns" };
        let by = told(other);
        let policy = Policy {
            from: income.end.seq,
            scheme: by.scheme_in_force(),
            fees: by.fees_in_force(),
            reason: "by hand".into(),
            time: UnixMillis(pool.clock),
        };
        if what == "too short" {
            let (announced, not_before) = (UnixMillis(pool.clock - 1_000), UnixMillis(pool.clock));
            let notice = millpond_journal::Notice {
                policy: Some(policy.clone()),
                announced,
                not_before,
                reason: String::new(),
                by_file: false,
            };
            pool.journal.record(notice).wait().unwrap();
        }
        pool.journal.record(policy).wait().unwrap();
        let told = pool.replay().unwrap_err().to_string();
        assert!(told.contains(said), "{what}: {told}");
    }
}

#[test]
fn who_ordered_it_is_not_told_by_his_name() {
    let pool = Pool::start(&told("prop"));
    // By a command of somebody with this name: it waits on.
    pool.books.schedule(&told("solo"), "configuration-bot", UnixMillis(pool.clock)).unwrap();
    let pool = pool.restart(&told("prop"));
    assert_eq!(next(&pool).as_deref(), Some("solo"));
    // By a file that a person had read: the file of this start says otherwise.
    pool.books.cancel("", UnixMillis(pool.clock)).unwrap();
    pool.books.want(&told("solo"), "alice", UnixMillis(pool.clock)).unwrap();
    let pool = pool.restart(&told("prop"));
    assert_eq!(next(&pool), None);
}

#[test]
fn a_start_whose_file_orders_what_cannot_take_over_goes_on_with_what_is_in_force() {
    // Each share has a place in the queue: what is owed stands in cells.
    let mut pool = Pool::start(&told("queue"));
    let a = pool.miner("a");
    pool.share(a, 900);
    pool.credit_shares();
    pool.block(a, 1_000_000);
    let critical = |pool: &Pool| -> Vec<String> {
        let alarms = pool.alarms.list().into_iter().filter(|alarm| alarm.level == Level::Critical);
        alarms.map(|alarm| alarm.text).collect()
    };
    for run_off in [None, Some(0)] {
        pool = pool.restart(&Wanted { run_off, ..told("tides") });
        assert_eq!((in_force(&pool).as_str(), next(&pool)), ("queue", None));
        let texts = critical(&pool);
        assert_eq!(texts.len(), 1, "{texts:?}");
        for part in ["orders scheme tides", "payout.scheme = \"queue\"", "run_off = true", "in its cells"] {
            assert!(texts[0].contains(part), "{part}: {}", texts[0]);
        }
        pool.share(a, 50);
        pool.credit_shares();
        pool.block(a, 1_000_000);
    }
    // What can be followed is announced as ever, and a file that says what is in force is in order.
    pool = pool.restart(&told("queue"));
    assert_eq!((next(&pool), critical(&pool)), (None, vec![]));
    pool = pool.restart(&Wanted { run_off: Some(1_000), ..told("tides") });
    assert_eq!((next(&pool).as_deref(), critical(&pool)), (Some("tides"), vec![]));
    // An order of a file of before is withdrawn with it.
    pool = pool.restart(&Wanted { run_off: None, ..told("pplns") });
    assert_eq!((next(&pool), critical(&pool).len()), (None, 1));
    pool.replay().unwrap();
}
