//! Another policy over the records of a pool.

use crate::support::{Pool, sandbox, view_of, wanted};
use millpond_contracts::Setting;
use millpond_disk::{Disk, SimDisk};
use millpond_ledger::{Owner, Reader};
use millpond_pool::policy::Wanted;
use millpond_pool::what_if::{Asked, Follower, WhatIf, WhatIfError, what_if};
use millpond_runtime::TracingSink;
use millpond_types::{Amount, ShareSeq};
use std::path::Path;
use std::sync::Arc;

/// A shadow that begins with the pool.
fn follower(wanted: &Wanted) -> Follower {
    Follower::new(Asked::new(wanted, ShareSeq(0), sandbox(), Arc::new(TracingSink)).unwrap()).unwrap()
}

fn follow(follower: &mut Follower, pool: &Pool) -> WhatIf {
    let answer = follower.follow(&pool.journal.view(), &pool.ledger.reader()).unwrap();
    assert_eq!(answer.waiting, 0);
    answer
}

fn asked(disk: &SimDisk, wanted: &Wanted, since: u64) -> Result<WhatIf, WhatIfError> {
    let asked = Asked::new(wanted, ShareSeq(since), sandbox(), Arc::new(TracingSink))?;
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let ledger = Reader::open(shared, Path::new("/ledger"))?;
    let mut steps = Vec::new();
    let answer = what_if(&view_of(disk), &ledger, asked, &mut |done, total| steps.push((done, total)))?;
    let (done, total) = *steps.last().unwrap();
    assert_eq!(done, total);
    Ok(answer)
}

fn pplns(window: i64, basis_points: i64) -> Wanted {
    wanted("pplns", vec![("window".to_owned(), Setting::Int(window))], basis_points)
}

/// A pool of three miners with blocks of odd rewards: some mature, some lost before and after that, one lost and there
/// again.
fn lived(wanted: &Wanted) -> Pool {
    lived_beside(wanted, &mut |_| {})
}

/// The same, looked at after every step.
fn lived_beside(wanted: &Wanted, look: &mut dyn FnMut(&Pool)) -> Pool {
    let mut pool = Pool::start(wanted);
    pool.tell_subsidy(4_000_000_000);
    let miners = ["a", "b", "c"].map(|name| pool.miner(name));
    let mut blocks = Vec::new();
    for round in 0..12_u64 {
        for at in 0..=round % 4 {
            pool.share(miners[(round + at) as usize % 3], 30 + 7 * round);
        }
        pool.credit_shares();
        blocks.push(pool.block(miners[round as usize % 3], 1_000_003 + 17 * round));
        look(&pool);
        if round == 6 {
            pool.mature(&blocks[0]);
            pool.mature(&blocks[1]);
            pool.lose(&blocks[3]);
            look(&pool);
        }
    }
    pool.lose(&blocks[5]);
    look(&pool);
    pool.journal.record(blocks[5].clone()).wait().unwrap();
    pool.books.divide(&blocks[5]).unwrap();
    pool.mature(&blocks[2]);
    pool.lose(&blocks[10]);
    pool.credit_shares();
    look(&pool);
    pool
}

#[test]
fn the_scheme_in_force_reproduces_the_ledger() {
    for wanted in [
        pplns(2000, 150),
        pplns(1000, 0),
        wanted("prop", Vec::new(), 99),
        wanted("tides", Vec::new(), 10),
        wanted("solo", Vec::new(), 250),
        wanted("slice", vec![("window".to_owned(), Setting::Int(500))], 30),
        wanted("cppsrb", Vec::new(), 30),
        wanted("smpps", Vec::new(), 0),
        Wanted { reserve: Amount(1 << 40), ..wanted("pps", Vec::new(), 0) },
    ] {
        let pool = lived(&wanted);
        let same = asked(&pool.disk, &wanted, 0).unwrap();
        let name = &same.scheme;
        assert_eq!((same.incomes.len(), same.left_out), (12, 0), "{name}");
        assert_eq!(same.incomes.iter().filter(|income| !income.stands).count(), 2, "{name}");
        for income in &same.incomes {
            assert_eq!(income.miners.more(), 0, "{name}: {income:?}");
        }
        assert_eq!(same.miners.len(), 3, "{name}");
        for miner in &same.miners {
            assert_eq!(miner.earned.more(), 0, "{name}: {miner:?}");
            let booked =
                pool.payable(miner.miner) + pool.ledger.book().immature(&Owner::Miner(miner.miner)).0;
            assert_eq!(miner.earned.actual, i128::from(booked), "{name}: nothing was paid out");
            assert!(["a", "b", "c"].contains(&miner.address.as_str()));
        }
        assert_eq!((same.operator.more(), same.carry.more(), same.standing.more()), (0, 0, 0), "{name}");
        assert!(same.standing.actual > 9_000_000 && same.miners_in_all.actual > 0, "{name}");
    }
}

#[test]
fn an_income_that_the_pool_has_not_divided_is_in_neither_sum() {
    let mut pool = lived(&pplns(2000, 150));
    let divided = asked(&pool.disk, &pplns(2000, 151), 0).unwrap();
    let b = pool.miner("b");
    pool.found(b, 7_000_000);
    let with = asked(&pool.disk, &pplns(2000, 151), 0).unwrap();
    assert_eq!((divided.waiting, with.waiting), (0, 1));
    assert_eq!(with.standing, divided.standing);
    assert_eq!((&with.miners, &with.incomes), (&divided.miners, &divided.incomes));
    assert_eq!((with.operator, with.carry), (divided.operator, divided.carry));
    pool.books.catch_up().unwrap();
    let after = asked(&pool.disk, &pplns(2000, 151), 0).unwrap();
    assert_eq!(after.waiting, 0);
    assert_eq!(after.standing.actual, divided.standing.actual + 7_000_000);
    assert_eq!(after.standing.more(), 0);
}

#[test]
fn a_fee_of_one_basis_point_more_is_seen() {
    let pool = lived(&pplns(2000, 150));
    let other = asked(&pool.disk, &pplns(2000, 151), 0).unwrap();
    assert!(other.operator.more() > 0);
    assert_eq!(
        other.operator.more() + other.carry.more(),
        -other.miners_in_all.more(),
        "nothing else changes"
    );
    assert!(other.miners.iter().all(|miner| miner.earned.more() < 0), "{:?}", other.miners);
    let ppm = other.miners_in_all.ppm().unwrap();
    assert!((-120..=-80).contains(&ppm), "a ten-thousandth of what is left: {ppm}");
}

#[test]
fn a_scheme_with_a_reserve_bears_what_the_pool_did_not_find() {
    let pool = lived(&pplns(2000, 0));
    let pps = |reserve| Wanted { reserve: Amount(reserve), ..wanted("pps", Vec::new(), 0) };
    let rich = asked(&pool.disk, &pps(1 << 50), 0).unwrap();
    let reserve = rich.reserve.unwrap();
    assert_eq!((reserve.spent_at, reserve.unpaid_shares), (None, 0));
    // Every share's expected value, whatever blocks were worth: the operator has the difference.
    assert_eq!(rich.operator.other, rich.standing.other - rich.miners_in_all.other);
    // In it are the incomes that matured, and those that were lost, which the operator bears.
    let paid_in: i128 =
        [0, 1, 2, 3, 5, 10].map(|at: usize| i128::from(rich.incomes[at].amount.0)).iter().sum();
    let left = i128::from(1_u64 << 50) - rich.miners_in_all.other + paid_in;
    assert_eq!(i128::from(reserve.left.0), left);
    assert!(reserve.least < Amount(1 << 50));
    // Shares of a network work of 1,000 and a reward of 5e9 are worth far more than blocks of a million.
    let poor = asked(&pool.disk, &pps(1_000_000_000), 0).unwrap();
    let spent = poor.reserve.unwrap();
    assert!(spent.spent_at.unwrap() < poor.newest && spent.unpaid_shares > 0, "{spent:?}");
    assert!(poor.miners_in_all.other < rich.miners_in_all.other);
}

#[test]
fn what_lies_before_the_beginning_is_in_neither_sum() {
    let pool = lived(&pplns(2000, 0));
    let all = asked(&pool.disk, &pplns(2000, 0), 0).unwrap();
    let since = all.incomes[6].end;
    let later = asked(&pool.disk, &pplns(2000, 0), since.0).unwrap();
    assert_eq!(later.incomes.len(), 5);
    assert_eq!(later.standing.more(), 0);
    let kept: i128 = all.incomes[7..]
        .iter()
        .filter(|income| income.stands)
        .map(|income| i128::from(income.amount.0))
        .sum();
    assert_eq!(later.standing.actual, kept);
}

#[test]
fn an_exported_log_has_the_shares_and_no_miner() {
    let pool = lived(&pplns(2000, 0));
    let export = |key: u8| {
        let mut out = Vec::new();
        let written =
            millpond_pool::share_log::export(&view_of(&pool.disk), ShareSeq(2), &[key; 32], 0, &mut out)
                .unwrap();
        (written, String::from_utf8(out).unwrap())
    };
    let (written, text) = export(7);
    let rows: Vec<Vec<u64>> = text
        .lines()
        .skip(1)
        .map(|line| line.split(',').map(|cell| cell.parse().unwrap()).collect())
        .collect();
    let newest = view_of(&pool.disk).newest().0;
    assert_eq!((written, rows.len() as u64), (newest - 2, newest - 2));
    // The same shares in the same order, under numbers that stand for one miner each.
    let mut stands_for = std::collections::BTreeMap::new();
    let mut at = 0;
    view_of(&pool.disk)
        .shares(ShareSeq(3), |_, share| -> Result<(), millpond_journal::JournalError> {
            assert_eq!(rows[at][1..3], [share.work.0, u64::try_from(share.network_work).unwrap()]);
            assert_eq!(*stands_for.entry(rows[at][0]).or_insert(share.miner), share.miner);
            at += 1;
            Ok(())
        })
        .unwrap();
    assert_eq!(stands_for.keys().copied().collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(stands_for.values().collect::<std::collections::BTreeSet<_>>().len(), 3);
    assert_eq!((rows[0][3], rows[0][4]), (0, 0), "times and coordinates begin at zero");
    assert!(rows.iter().all(|row| row[3] % 1000 == 0));
    assert_eq!(rows.iter().filter(|row| row[6] == 1).count(), 12 - 1, "blocks behind the second share");
    // Another key, other numbers: none of the ways to name three miners is preferred by the journal's own numbers.
    let orders: std::collections::BTreeSet<_> =
        (0..40).map(|key| export(key).1.lines().take(6).map(str::to_owned).collect::<Vec<_>>()).collect();
    assert_eq!(orders.len(), 6);
}

#[test]
fn a_shadow_of_the_scheme_in_force_differs_by_nothing_at_any_moment() {
    for wanted in [pplns(2000, 150), wanted("prop", Vec::new(), 99), wanted("finder-bonus", Vec::new(), 10)] {
        let mut shadow = follower(&wanted);
        let mut seen = 0;
        lived_beside(&wanted, &mut |pool| {
            let now = follow(&mut shadow, pool);
            assert!(
                now.incomes.len() >= seen && now.incomes.len() as u64 == pool.ledger.book().income_count()
            );
            seen = now.incomes.len();
            assert!(now.miners.iter().all(|miner| miner.earned.more() == 0), "{:?}", now.miners);
            assert_eq!((now.operator.more(), now.carry.more(), now.standing.more()), (0, 0, 0));
        });
        assert_eq!(seen, 12);
    }
}

#[test]
fn a_shadow_says_the_same_whenever_it_reads_and_changes_nothing() {
    let in_force = pplns(2000, 150);
    let others = [
        Wanted { reserve: Amount(1 << 40), ..wanted("pps", Vec::new(), 100) },
        // Its reserve is spent again and again.
        Wanted { reserve: Amount(1 << 30), ..wanted("pps", Vec::new(), 100) },
        wanted("incentive-compatible", Vec::new(), 0),
    ];
    for other in others {
        let mut always = follower(&other);
        let mut looks = 0;
        let pool = lived_beside(&in_force, &mut |pool| {
            let before = (pool.journal.view().newest(), pool.ledger.head());
            follow(&mut always, pool);
            assert_eq!((pool.journal.view().newest(), pool.ledger.head()), before);
            looks += 1;
        });
        assert_eq!(looks, 15);
        // As after a restart at the end, and as one that was always there.
        let once = follow(&mut follower(&other), &pool);
        assert_eq!(follow(&mut always, &pool), once);
        assert_eq!(once.incomes.len(), 12);
        pool.replay().unwrap();
    }
}
