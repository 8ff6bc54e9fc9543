//! Several fee policies in one pool: recorded in their order, decided again by a replay, followed by swaps and shadows.

use crate::support::{Pool, sandbox, wanted};
use millpond_contracts::Setting;
use millpond_disk::SimDisk;
use millpond_journal::{Authority, List, ListRow, Share, WorkerId};
use millpond_ledger::{FeeName, Owner};
use millpond_payout::Recipient;
use millpond_pool::books::BooksError;
use millpond_pool::plugins::PluginStore;
use millpond_pool::policy::{PolicyError, Wanted, WantedFee};
use millpond_pool::setup::credits_shares;
use millpond_pool::what_if::{Asked, Follower};
use millpond_runtime::TracingSink;
use millpond_types::{Amount, JobId, MinerId, ShareSeq, UnixMillis, Work};
use std::path::Path;
use std::sync::Arc;

/// A scheme with flat fees of so many basis points, each to a recipient of its own.
fn with(scheme: &str, fees: &[(i64, &str)]) -> Wanted {
    let one = |(points, recipient): &(i64, &str)| {
        let component = PluginStore::find("flat-fee", Path::new("/")).unwrap();
        let name = FeeName::try_from((*recipient).to_owned()).unwrap();
        let settings = vec![("basis_points".to_owned(), Setting::Int(*points))];
        let recipients = vec![Recipient { name, weight: 1 }];
        WantedFee { component, settings, recipients, to_reserve: false, work_shift: None, fractions: false }
    };
    Wanted { fees: fees.iter().map(one).collect(), ..wanted(scheme, Vec::new(), 0) }
}

/// A scheme with one bundled policy, whose fees go to the operator.
fn by(scheme: &str, policy: &str, settings: &[(&str, Setting)]) -> Wanted {
    let component = PluginStore::find(policy, Path::new("/")).unwrap();
    let recipients = vec![Recipient { name: FeeName::try_from("operator".to_owned()).unwrap(), weight: 1 }];
    let settings = settings.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    let fee =
        WantedFee { component, settings, recipients, to_reserve: false, work_shift: None, fractions: false };
    Wanted { fees: vec![fee], ..wanted(scheme, Vec::new(), 0) }
}

fn text(text: &str) -> Setting {
    Setting::Text(text.to_owned())
}

/// Records a list, as `millpond list set` does.
fn list(pool: &Pool, name: &str, rows: &[(MinerId, u64)]) {
    let rows = rows.iter().map(|(miner, value)| ListRow { miner: *miner, value: *value }).collect();
    let by = Authority::Operator("op".to_owned());
    let list = List { name: name.to_owned(), whole: true, rows, by, time: UnixMillis(pool.clock) };
    pool.journal.record(list).wait().unwrap();
}

fn got(pool: &Pool, recipient: &str) -> u64 {
    pool.ledger.payable(&Owner::Fee(FeeName::try_from(recipient.to_owned()).unwrap())).0
}

#[test]
fn each_policy_takes_of_what_the_one_before_left_and_a_replay_agrees() {
    let both = with("prop", &[(500, "charity"), (1_000, "operator")]);
    let mut pool = Pool::start(&both);
    let a = pool.miner("a");
    let income = pool.block(a, 1_000_000);
    pool.mature(&income);
    assert_eq!((got(&pool, "charity"), got(&pool, "operator"), pool.payable(a)), (50_000, 95_000, 855_000));
    let names: Vec<_> = pool.journal.newest_policy().unwrap().fees.into_iter().map(|fee| fee.name).collect();
    assert_eq!(names, ["flat-fee", "flat-fee"]);
    // Two calls of the scheme and two of each policy.
    assert_eq!(pool.replay().unwrap().calls, 6);
    // The same configuration is the policy in force; another order is another policy.
    let mut pool = pool.restart(&both);
    assert!(pool.books.pending().is_none());
    pool.swap(&with("prop", &[(1_000, "operator"), (500, "charity")]));
    let boundary = pool.block(a, 1_000_000);
    let income = pool.block(a, 1_000_000);
    pool.mature(&boundary);
    pool.mature(&income);
    assert_eq!((got(&pool, "charity"), got(&pool, "operator")), (145_000, 290_000));
    assert!(pool.ledger.totals().conserved);
    assert_eq!(pool.replay().unwrap().incomes, 3);
}

#[test]
fn credits_per_share_are_charged_by_all_of_them() {
    let fees = with("pps", &[(500, "charity"), (1_000, "operator")]);
    let mut pool = Pool::start(&Wanted { reserve: Amount(10_000_000_000), ..fees });
    let a = pool.miner("a");
    pool.share(a, 100);
    pool.credit_shares();
    // A tenth of 50 coins.
    assert_eq!((got(&pool, "charity"), got(&pool, "operator")), (25_000_000, 47_500_000));
    assert_eq!(pool.payable(a), 427_500_000);
    pool.replay().unwrap();
}

#[test]
fn more_policies_than_apply_to_an_income_are_refused() {
    let many = with("prop", &[(1, "operator"); 9]);
    let refused = Asked::new(&many, ShareSeq(0), sandbox(), Arc::new(TracingSink)).unwrap_err();
    assert!(matches!(refused, PolicyError::Fees(9)), "{refused}");
}

#[test]
fn a_shadow_with_several_policies_differs_by_what_they_take() {
    let mut pool = Pool::start(&with("prop", &[(1_000, "operator")]));
    let a = pool.miner("a");
    let asked = with("prop", &[(500, "charity"), (1_000, "operator")]);
    let asked = Asked::new(&asked, ShareSeq(0), sandbox(), Arc::new(TracingSink)).unwrap();
    let mut shadow = Follower::new(asked).unwrap();
    pool.block(a, 1_000_000);
    let answer = shadow.follow(&pool.journal.view(), &pool.ledger.reader()).unwrap();
    assert_eq!((answer.operator.actual, answer.operator.other), (100_000, 145_000));
    assert_eq!(answer.miners_in_all.more(), -45_000);
}

const HOUR: u64 = 3_600_000;

/// One percent from 100 units of work a day on, ten below.
fn tiers(column: &str) -> Wanted {
    by("prop", "fee-tiers", &[("column", text(column)), ("tiers", text("0:1000,100:100"))])
}

#[test]
fn tiers_are_of_the_work_before_the_last_full_hour() {
    let mut pool = Pool::start(&tiers("work"));
    let (a, b) = (pool.miner("a"), pool.miner("b"));
    pool.share(a, 100);
    pool.share(b, 99);
    // In the first hour nothing is known of anybody.
    pool.block(a, 299_000);
    assert_eq!(got_immature(&pool), 29_900);
    pool.clock = HOUR;
    pool.share(b, 100);
    // The round is b's hundred, of which he is charged as one of 99, and a's block, of which he is charged one percent.
    pool.block(a, 200_000);
    assert_eq!(got_immature(&pool), 29_900 + 10_000 + 1_000);
    // Within the hour nothing changes.
    pool.share(b, 100);
    pool.block(a, 200_000);
    assert_eq!(got_immature(&pool), 40_900 + 11_000);
    // In the next one b has what he had and 200 more.
    pool.clock = 2 * HOUR;
    pool.share(b, 100);
    pool.block(a, 200_000);
    assert_eq!(got_immature(&pool), 51_900 + 2_000);
    pool.replay().unwrap();
    // A day later it is forgotten, and a restart, which remembers no hour, says the same.
    let mut pool = pool.restart(&tiers("work"));
    pool.share(b, 100);
    pool.block(a, 200_000);
    assert_eq!(got_immature(&pool), 53_900 + 2_000);
    pool.clock = 27 * HOUR;
    pool.block(a, 200_000);
    assert_eq!(got_immature(&pool), 55_900 + 20_000);
    pool.replay().unwrap();
}

/// What of all incomes was taken, mature or not.
fn got_immature(pool: &Pool) -> u64 {
    let owner = Owner::Fee(FeeName::try_from("operator".to_owned()).unwrap());
    let balance = pool.ledger.book().balance(&millpond_ledger::Account::Immature(owner));
    u64::try_from(balance).unwrap()
}

#[test]
fn hashrates_need_the_chains_unit_of_work() {
    let mut wanted = tiers("hashrate");
    let asked = |wanted: &Wanted| Asked::new(wanted, ShareSeq(0), sandbox(), Arc::new(TracingSink));
    let refused = asked(&wanted).unwrap_err();
    assert!(refused.to_string().contains("asks for the column \"hashrate\""), "{refused}");
    wanted.fees[0].work_shift = Some(20);
    asked(&wanted).unwrap();
    let refused = asked(&tiers("seniority")).unwrap_err();
    assert!(matches!(refused, PolicyError::Column { .. }), "{refused}");
    // 2^20 hashes a unit: 9887 units a day are 120 kH/s.
    let mut pool = Pool::start(&Wanted {
        fees: vec![WantedFee {
            settings: vec![
                ("column".to_owned(), text("hashrate")),
                ("tiers".to_owned(), text("0:1000,119980:100,119990:200")),
            ],
            ..wanted.fees[0].clone()
        }],
        ..wanted
    });
    let a = pool.miner("a");
    pool.share(a, 9_887);
    pool.clock = HOUR;
    pool.block(a, 100_000);
    assert_eq!(got_immature(&pool), 2_000);
    pool.replay().unwrap();
}

#[test]
fn a_small_miner_of_a_pool_that_credits_shares_pays_his_fee_however_often_he_is_credited() {
    let like = wanted("pps", Vec::new(), 100);
    let credits = |of: &Wanted| {
        credits_shares(&of.scheme, &of.scheme_settings, &sandbox(), &(Arc::new(TracingSink) as _))
    };
    assert!(credits(&like).unwrap());
    assert!(!credits(&wanted("prop", Vec::new(), 0)).unwrap());
    let taken = |fractions: bool| {
        let fee = WantedFee { fractions, ..like.fees[0].clone() };
        let pool = Pool::start(&Wanted { fees: vec![fee], reserve: Amount(1_000_000_000), ..like.clone() });
        let a = pool.miner("a");
        pool.journal.worker(a, "rig").wait().unwrap();
        for at in 1..=400_u16 {
            let mut id = [0; 32];
            id[..2].copy_from_slice(&at.to_le_bytes());
            let share = Share {
                miner: a,
                worker: WorkerId(1),
                job: JobId(1),
                coord: 1,
                // A share of the reward of 5 * 10^9 that has no whole percent: 87 units.
                network_work: 57_000_000,
                reward: Amount(5_000_000_000),
                subsidy: None,
                work: Work(1),
                time: UnixMillis(pool.clock),
                id,
            };
            pool.journal.share(share).wait().unwrap();
            pool.credit_shares();
        }
        pool.replay().unwrap();
        (got(&pool, "operator"), pool.payable(a))
    };
    let (fee, left) = taken(true);
    let each = (fee + left) / 400;
    assert_eq!(taken(false).0, each / 100 * 400, "rounded down each time");
    assert!(each % 100 > 0, "a credit of {each} has no whole fee");
    // A credit's fee is off by less than a unit, 400 of them by some ten.
    assert!((fee * 100).abs_diff(fee + left) < 60 * 100, "{fee} of {}", fee + left);
}

#[test]
fn a_fee_that_was_recorded_without_fractions_keeps_its_rounding_until_the_policy_changes() {
    let like = wanted("pps", Vec::new(), 100);
    let of = |fractions: bool, points: i64| {
        let settings = vec![("basis_points".to_owned(), Setting::Int(points))];
        Wanted { fees: vec![WantedFee { fractions, settings, ..like.fees[0].clone() }], ..like.clone() }
    };
    let pool = Pool::start(&of(false, 100)).restart(&of(true, 100));
    assert_eq!(pool.books.pending(), None, "the program is another, and nothing else");
    let pool = pool.restart(&of(true, 200));
    let next = pool.books.pending().unwrap();
    assert!(next.fees[0].settings.iter().any(|(name, _)| name == "@fractions"), "{next:?}");
    // And what has fractions is not what has none.
    let pool = Pool::start(&of(true, 100)).restart(&of(false, 100));
    assert!(pool.books.pending().is_some());
}

#[test]
fn what_a_policy_takes_in_units_it_takes_of_each_batch() {
    let mut like =
        by("pps", "fee-workers", &[("basis_points", Setting::Int(0)), ("per_worker", Setting::Int(7))]);
    like.fees[0].fractions = true;
    let mut pool = Pool::start(&Wanted { reserve: Amount(1 << 40), ..like });
    let a = pool.miner("a");
    pool.share(a, 10);
    pool.credit_shares();
    assert_eq!(got(&pool, "operator"), 0, "the hour is not over");
    pool.clock = HOUR;
    pool.share(a, 10);
    pool.credit_shares();
    assert_eq!(got(&pool, "operator"), 7, "his worker of the hour before");
    pool.replay().unwrap();
}

#[test]
fn each_worker_of_the_last_hour_costs() {
    let wanted =
        by("prop", "fee-workers", &[("basis_points", Setting::Int(0)), ("per_worker", Setting::Int(7))]);
    let mut pool = Pool::start(&wanted);
    let a = pool.miner("a");
    for (at, worker) in [(1, 1), (2, 2), (3, 1), (4, 9)] {
        let mut id = [7; 32];
        id[0] = at;
        let share = Share {
            miner: a,
            worker: WorkerId(worker),
            job: JobId(1),
            coord: 100,
            network_work: 1_000,
            reward: Amount(1),
            subsidy: None,
            work: Work(10),
            time: UnixMillis(2 * HOUR + u64::from(at)),
            id,
        };
        pool.journal.share(share).wait().unwrap();
    }
    pool.clock = 3 * HOUR;
    pool.block(a, 100_000);
    assert_eq!(got_immature(&pool), 21, "three workers");
    pool.clock = 4 * HOUR;
    pool.block(a, 100_000);
    assert_eq!(got_immature(&pool), 28, "the block's own worker alone");
    pool.replay().unwrap();
}

#[test]
fn a_list_counts_behind_the_share_before_it() {
    let rebate = by("prop", "fee-rebate", &[("basis_points", Setting::Int(1_000))]);
    let mut pool = Pool::start(&rebate);
    let (a, b) = (pool.miner("a"), pool.miner("b"));
    list(&pool, "donation", &[(a, 10_000)]);
    pool.block(a, 1_000);
    assert_eq!(got_immature(&pool), 100, "of another name");
    // Found before the list, divided behind it.
    let found = pool.found(a, 1_000);
    list(&pool, "rebate", &[(a, 5_000)]);
    pool.books.divide(&found).unwrap();
    assert_eq!(got_immature(&pool), 200);
    pool.block(a, 1_000);
    assert_eq!(got_immature(&pool), 250);
    pool.block(b, 1_000);
    assert_eq!(got_immature(&pool), 350, "he is not on it");
    pool.replay().unwrap();
    let mut pool = pool.restart(&rebate);
    list(&pool, "rebate", &[]);
    pool.block(a, 1_000);
    assert_eq!(got_immature(&pool), 450);
    pool.replay().unwrap();
}

#[test]
fn shares_of_one_batch_see_the_list_of_its_first() {
    let donation = by("pps", "fee-donation", &[]);
    let mut pool = Pool::start(&Wanted { reserve: Amount(1_100_000_000), ..donation.clone() });
    let a = pool.miner("a");
    pool.share(a, 100);
    list(&pool, "donation", &[(a, 1_000)]);
    pool.share(a, 100);
    pool.share(a, 100);
    // The reserve pays two of three shares, each worth half a billion.
    pool.credit_shares();
    assert_eq!((got(&pool, "operator"), pool.payable(a)), (0, 1_000_000_000));
    let mut pool = pool.restart(&Wanted { reserve: Amount(2_200_000_000), ..donation });
    pool.share(a, 100);
    pool.credit_shares();
    assert_eq!((got(&pool, "operator"), pool.payable(a)), (100_000_000, 1_900_000_000));
    pool.replay().unwrap();
}

#[test]
fn what_goes_to_the_reserve_is_not_taken_from_it() {
    let target = ("target", Setting::Int(1_000_000_000));
    let mut fills = by("pps", "fee-reserve", &[("basis_points", Setting::Int(2_000)), target]);
    fills.reserve = Amount(1_400_000_000);
    fills.fees[0].recipients.clear();
    fills.fees[0].to_reserve = true;
    let mut pool = Pool::start(&fills);
    let a = pool.miner("a");
    let reserve = |pool: &Pool| pool.ledger.payable(&Owner::Reserve).0;
    pool.share(a, 100);
    pool.credit_shares();
    assert_eq!(
        (reserve(&pool), pool.payable(a)),
        (900_000_000, 500_000_000),
        "above its target nothing is taken"
    );
    pool.share(a, 100);
    pool.credit_shares();
    assert_eq!((reserve(&pool), pool.payable(a)), (500_000_000, 900_000_000), "below it a fifth");
    assert!(pool.ledger.totals().conserved);
    pool.replay().unwrap();
    // A scheme without a reserve has none to fill.
    let fees = fills.fees.clone();
    let nothing = Wanted { fees, ..wanted("prop", Vec::new(), 0) };
    let refused = Asked::new(&nothing, ShareSeq(0), sandbox(), Arc::new(TracingSink)).unwrap_err();
    assert!(matches!(refused, PolicyError::ToReserve(_)), "{refused}");
}

/// A pool that pays per share, with tiers by hashrate, an hour between its batches; old shares go where `dropping`.
fn days_per_share(dropping: bool) -> Pool {
    let wanted = Wanted { reserve: Amount(1 << 50), ..per_share() };
    let mut pool = Pool::open_small(SimDisk::new(), &wanted, 1_000_000, 0);
    let a = pool.miner("a");
    for hour in 0..90 {
        pool.clock = hour * HOUR;
        for _ in 0..8 {
            pool.share(a, 10);
        }
        pool.credit_shares();
        if hour % 30 == 29 {
            pool.block(a, 100_000);
            pool.credit_shares();
        }
    }
    if dropping {
        pool.journal.drop_before(ShareSeq(300)).unwrap();
    }
    pool
}

fn per_share() -> Wanted {
    let tiers = [("column", text("hashrate")), ("tiers", text("0:1000,900:100"))];
    let mut wanted = by("pps", "fee-tiers", &tiers);
    wanted.fees[0].work_shift = Some(20);
    wanted
}

#[test]
fn credits_by_a_day_that_is_dropped_are_taken_as_they_are_booked() {
    let (kept, dropped) = (days_per_share(false).replay().unwrap(), days_per_share(true));
    assert_eq!((kept.batches, kept.taken), (93, 0));
    let last = dropped.journal.dropped().last;
    assert!(last > ShareSeq(200) && last < ShareSeq(300), "{last}");
    let rest = dropped.replay().unwrap();
    assert_eq!((rest.head, rest.entries), (kept.head, kept.entries));
    // Of the shares that went, and of the day behind them.
    let gone = last.0 / 8;
    assert!((gone + 20..=gone + 30).contains(&rest.taken), "{gone} {rest:?}");
    assert_eq!(rest.batches + rest.incomes + rest.taken, kept.batches + kept.incomes);
    assert!(rest.batches > 25, "{rest:?}");
}

#[test]
fn what_if_passes_over_credits_by_a_day_that_is_dropped() {
    let pool = days_per_share(true);
    let asked = Asked::new(&per_share(), pool.journal.dropped().last, sandbox(), Arc::new(TracingSink));
    let asked = Asked { reserve: Amount(1 << 50), ..asked.unwrap() };
    let mut shadow = Follower::new(asked).unwrap();
    let answer = shadow.follow(&pool.journal.view(), &pool.ledger.reader()).unwrap();
    assert!(answer.since > pool.journal.dropped().last, "{answer:?}");
    assert!(!answer.incomes.is_empty(), "{answer:?}");
}

#[test]
fn a_policy_by_a_day_that_is_dropped_waits_until_there_is_one() {
    let prop = wanted("prop", Vec::new(), 100);
    let mut pool = Pool::open_small(SimDisk::new(), &prop, 1_000_000, 0);
    let a = pool.miner("a");
    for _ in 0..200 {
        pool.share(a, 10);
    }
    pool.schedule(&tiers("work")).unwrap();
    pool.schedule(&prop).unwrap();
    // The round begins anew behind what goes.
    pool.block(a, 100_000);
    pool.journal.drop_before(ShareSeq(150)).unwrap();
    let gone = pool.journal.dropped();
    assert!(gone.last > ShareSeq(50), "{gone:?}");
    let from = gone.time.0 + 25 * HOUR;
    let refused = pool.schedule(&tiers("work")).unwrap_err();
    let is_told = |dropped, at: UnixMillis| dropped == gone.last && at.0 == from;
    assert!(
        matches!(refused, BooksError::DayDropped { dropped, from } if is_told(dropped, from)),
        "{refused}"
    );
    // Lists are kept whatever goes.
    pool.schedule(&by("prop", "fee-rebate", &[("basis_points", Setting::Int(1_000))])).unwrap();
    // A moment before its day is whole, and then.
    pool.clock = from - 1_001;
    pool.share(a, 10);
    assert!(matches!(pool.schedule(&tiers("work")), Err(BooksError::DayDropped { .. })));
    pool.clock = from - 1_000;
    pool.share(a, 10);
    pool.schedule(&tiers("work")).unwrap();
    pool.block(a, 100_000);
    assert_eq!(got_immature(&pool), 2_000);
    // The work of the last day is known: a share of 10, by which he is charged a tenth.
    pool.block(a, 100_000);
    assert_eq!(got_immature(&pool), 12_000);
    pool.replay().unwrap();
}
