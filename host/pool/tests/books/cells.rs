//! What a scheme keeps of miners in cells is settled by its own rule when another follows it, to the unit and once.

use crate::run_off::{Step, follows, history, in_force, is_open, parts, pplns, run_off, step, through};
use crate::support::{Pool, trapping, wanted};
use millpond_contracts::Setting;
use millpond_journal::{BlockFate, Fate, Income, Policy, RUN_OFF, Setting as Recorded};
use millpond_ledger::{Entry, IncomeKey, IncomeStatus, Owner, Reversal};
use millpond_payout::SwapError;
use millpond_pool::books::BooksError;
use millpond_pool::policy::Wanted;
use millpond_types::{Amount, MinerId, UnixMillis};
use proptest::prelude::*;
use std::collections::BTreeMap;

const RESERVE: Amount = Amount(1 << 60);

fn int(name: &str, value: i64) -> (String, Setting) {
    (name.to_owned(), Setting::Int(value))
}

/// Half of a score outlives a block, and nearly all of it the work of one.
pub fn dgm() -> Wanted {
    Wanted { reserve: RESERVE, ..wanted("dgm", vec![int("c_bp", 3_000), int("o_bp", 7_000)], 100) }
}

fn pps() -> Wanted {
    run_off(Wanted { reserve: RESERVE, ..wanted("pps", Vec::new(), 100) })
}

pub fn plain(name: &str) -> Wanted {
    wanted(name, Vec::new(), 100)
}

fn of_c(pool: &Pool, miners: &[MinerId; 3]) -> Vec<u64> {
    parts(pool, miners).into_iter().map(|row| row[2]).collect()
}

/// The boundary is the first block; the miner c worked before it alone.
#[test]
fn work_of_before_is_paid_to_the_unit_as_if_nobody_had_followed() {
    let all = [dgm(), plain("geometric"), plain("slush"), plain("smpps"), plain("esmpps"), plain("shifts")];
    let next = ["solo", "smpps", "cppsrb", "prop", "slush", "geometric"].map(|name| run_off(plain(name)));
    for (first, next) in all.into_iter().zip(next) {
        let name = first.scheme.name.clone();
        let (straight, miners) = history(&first, &[]);
        let straight = of_c(&straight, &miners);
        for next in [next, pplns(2_000), pps()] {
            let (pool, miners) = history(&first, &[(0, &run_off(next.clone()))]);
            assert_eq!(in_force(&pool), next.scheme.name);
            let paid = of_c(&pool, &miners);
            let rounded = straight.iter().zip(&paid).all(|(one, other)| one.abs_diff(*other) <= 1);
            assert!(rounded, "{name} and {}: {straight:?}, {paid:?}", next.scheme.name);
            // It ends by itself, but where a part of a score is left of each block.
            assert_eq!((follows(&pool).is_some(), is_open(&pool)), (true, name == "dgm"), "{name}");
        }
    }
}

/// The method forgets a share before long, and two accounts of a miner are not one: it is the rule that stays, and not the amounts.
#[test]
fn who_waits_in_a_queue_keeps_his_turn_among_those_who_came_later() {
    let (straight, miners) = history(&plain("queue"), &[]);
    let straight = of_c(&straight, &miners);
    let (pool, miners) = history(&plain("queue"), &[(0, &run_off(pplns(2_000)))]);
    let paid = of_c(&pool, &miners);
    let times = |paid: &[u64]| paid.iter().filter(|amount| **amount > 4_000_000_000).count();
    // His credit outweighs any of theirs three times: with what they did behind the boundary alone they are passed sooner.
    assert_eq!((times(&straight), times(&paid)), (3, 3), "{straight:?}, {paid:?}");
    assert!(paid[1..].iter().any(|amount| *amount > 0));
}

pub struct Mine {
    pub pool: Pool,
    miners: [MinerId; 3],
}

impl Mine {
    /// c worked before the first block alone, behind which this one follows.
    pub fn start(first: &Wanted, next: Option<&Wanted>) -> Self {
        let mut pool = Pool::start(first);
        let miners = ["a", "b", "c"].map(|name| pool.miner(name));
        for (miner, work) in [(2, 700), (0, 33), (1, 91), (2, 411)] {
            pool.share(miners[miner], work);
        }
        pool.credit_shares();
        next.into_iter().for_each(|next| pool.swap(next));
        Self { pool, miners }
    }

    /// Some shares, and a block that is not reported yet.
    pub fn block(&mut self, finder: usize) -> Vec<u8> {
        for (miner, work) in [(0, 57), (1, 101), (0, 19)] {
            self.pool.share(self.miners[miner], work);
            self.pool.credit_shares();
        }
        let block = self.pool.solve(self.miners[finder]);
        self.pool.books.block_found(self.pool.journal.view().newest(), UnixMillis(self.pool.clock)).unwrap();
        block
    }

    pub fn report(&self, block: &[u8]) -> Income {
        let income = self.pool.report(block, 5_000_000_019);
        self.pool.books.divide(&income).unwrap();
        income
    }

    pub fn orphan(&self, block: &[u8]) {
        let (fate, time) = (BlockFate::Orphan("another".to_owned()), UnixMillis(self.pool.clock));
        self.pool.journal.record(Fate { block: block.to_vec(), fate, time }).wait().unwrap();
    }

    fn status(&self, income: &Income) -> Option<IncomeStatus> {
        let key = IncomeKey::new(income.key.clone()).unwrap();
        self.pool.ledger.book().income(&key).map(|known| known.status)
    }

    /// What everybody has, of all incomes that stand.
    pub fn amounts(&self) -> BTreeMap<Owner, (u64, u64)> {
        let book = self.pool.ledger.book();
        let rows = book.payables().map(|row| row.0).collect::<Vec<_>>();
        let mut amounts: BTreeMap<Owner, (u64, u64)> =
            rows.into_iter().map(|owner| (owner.clone(), (book.payable(&owner).0, 0))).collect();
        for (_, income) in book.incomes().filter(|(_, income)| income.status == IncomeStatus::Immature) {
            for (owner, amount) in
                income.parts.iter().flat_map(|parts| parts.shares().iter().map(|it| (&it.0, it.1.0)))
            {
                amounts.entry(owner.clone()).or_default().1 += amount;
            }
        }
        amounts.retain(|_, amount| *amount != (0, 0));
        amounts
    }
}

/// One block of before, the boundary's own, the first of both schemes' and the one behind it: whichever is lost, what stands is as
/// if it had never earned anything.
#[test]
fn what_stands_is_what_would_stand_had_the_lost_income_never_come() {
    let others = [run_off(pplns(2_000)), run_off(plain("smpps")), run_off(plain("cppsrb")), pps()];
    for (first, next) in [dgm(), plain("shifts"), dgm(), plain("smpps")].into_iter().zip(others) {
        for lost in 0..4 {
            let mut straight = Mine::start(&first, None);
            let mut other = Mine::start(&first, None);
            let mut open = Vec::new();
            for at in 0..4 {
                for mine in [&mut straight, &mut other] {
                    mine.pool.schedule(if at == 0 { &first } else { &next }).unwrap();
                }
                let block = straight.block(at % 2);
                if at == lost {
                    straight.orphan(&block)
                } else {
                    drop(straight.report(&block))
                };
                let block = other.block(at % 2);
                open.push(other.report(&block));
            }
            assert!(follows(&other.pool).is_some());
            other.orphan(&open[lost].key);
            other.pool.lose(&open[lost]);
            other.pool.books.catch_up().unwrap();
            assert_eq!(other.status(&open[lost]), Some(IncomeStatus::Reversed(Reversal::Restore)));
            straight.pool.credit_shares();
            other.pool.credit_shares();
            let shown = |mine: &Mine| all_parts(&mine.pool);
            let told = (&next.scheme.name, shown(&straight), shown(&other));
            assert_eq!(straight.amounts(), other.amounts(), "{lost} of {told:?}");
            assert_eq!(straight.pool.replay().unwrap().incomes, 3);
            assert!(other.pool.replay().unwrap().incomes >= 4);
            let same = other.amounts();
            let other = Mine { pool: other.pool.restart(&next), ..other };
            assert_eq!(same, other.amounts());
        }
    }
}

/// What everybody gets of each income, by name of the owner.
fn all_parts(pool: &Pool) -> Vec<BTreeMap<Owner, u64>> {
    let mut all = Vec::new();
    let each = &mut |line: &millpond_ledger::Record, _: &_| {
        if let Entry::IncomeAllocated(income) = &line.entry {
            all.push(income.parts.shares().iter().map(|part| (part.0.clone(), part.1.0)).collect());
        }
        Ok(())
    };
    pool.ledger.reader().for_each_record(each).unwrap();
    all
}

/// The second one owes a miner who leaves at its end; the third, ordered while the first still owes, waits for both, and has
/// nothing of theirs.
#[test]
fn a_third_scheme_waits_until_nothing_is_aside_and_the_debts_of_the_second_are_paid() {
    let limited = |wanted: Wanted, limit| Wanted { run_off: Some(limit), ..wanted };
    for third in [run_off(plain("shifts")), pps(), run_off(pplns(2_000)), run_off(dgm())] {
        let paid = |third: Option<&Wanted>| {
            let mut mine = Mine::start(&dgm(), Some(&limited(plain("smpps"), 2)));
            let d = mine.pool.miner("d");
            let mut blocks = 0;
            let mut block = |mine: &mut Mine| {
                blocks += 1;
                // More than three blocks' worth, which smpps owes for long.
                if blocks == 3 {
                    mine.pool.share(d, 4_000);
                    mine.pool.credit_shares();
                }
                let block = mine.block(0);
                let income = mine.report(&block);
                mine.pool.mature(&income);
            };
            block(&mut mine);
            third.into_iter().for_each(|third| mine.pool.swap(third));
            (0..9).for_each(|_| block(&mut mine));
            if let Some(third) = third {
                assert_eq!(in_force(&mine.pool), third.scheme.name);
                let took_over = |policy: &Policy| policy.scheme.name == third.scheme.name;
                let policies = mine.pool.journal.policies();
                let first = policies.iter().skip(1).find(|policy| took_over(policy)).unwrap();
                assert!(format!("{:?}", first.scheme.settings).contains("smpps"));
            }
            assert!(mine.pool.ledger.totals().conserved);
            assert_eq!(mine.pool.replay().unwrap().incomes, 10);
            let parts = all_parts(&mine.pool);
            let is_known = |owner: &Owner| !matches!(owner, Owner::Miner(miner) if miner.0 > 4);
            assert!(parts.iter().flat_map(BTreeMap::keys).all(is_known), "{parts:?}");
            parts.iter().map(|row| row.get(&Owner::Miner(d)).copied().unwrap_or(0)).collect::<Vec<_>>()
        };
        let (straight, followed) = (paid(None), paid(Some(&third)));
        assert!(straight.iter().filter(|amount| **amount > 0).count() >= 5, "{straight:?}");
        let rounded = straight.iter().zip(&followed).all(|(one, other)| one.abs_diff(*other) <= 1);
        assert!(rounded, "{}: {straight:?} {followed:?}", third.scheme.name);
    }
}

/// The first scheme comes back, and finds neither what it forgot nor what others worked meanwhile.
#[test]
fn a_scheme_that_comes_back_begins_anew() {
    let mut mine = Mine::start(&dgm(), Some(&Wanted { run_off: Some(1), ..wanted("solo", Vec::new(), 0) }));
    let mut open = Vec::new();
    for at in 0..12 {
        let block = mine.block(at % 2);
        open.push(mine.report(&block));
        if at == 3 {
            mine.pool.swap(&run_off(dgm()));
        }
        // What was settled by the limit may come back for as long as its incomes are open.
        if at == 8 {
            assert_eq!(in_force(&mine.pool), "solo");
            open.iter().for_each(|income| mine.pool.mature(income));
        }
    }
    assert_eq!(in_force(&mine.pool), "dgm");
    let parts = all_parts(&mine.pool);
    let c = Owner::Miner(mine.miners[2]);
    let of_c: Vec<bool> = parts.iter().map(|row| row.contains_key(&c)).collect();
    assert_eq!(of_c, [true, true, false, false, false, false, false, false, false, false, false, false]);
    let is_known = |owner: &Owner| !matches!(owner, Owner::Miner(miner) if miner.0 > 3);
    assert!(parts.iter().flat_map(BTreeMap::keys).all(is_known), "{parts:?}");
    assert!(parts[11].contains_key(&Owner::Miner(mine.miners[0])));
    mine.pool.replay().unwrap();
}

/// The last income of both is lost when a third scheme has taken over, has been given shares, or has divided: all come to the
/// same.
#[test]
fn what_a_third_scheme_was_given_counts_when_an_income_of_before_is_lost() {
    let run = |when: u8| {
        let limited = Wanted { run_off: Some(1), ..wanted("solo", Vec::new(), 0) };
        // Geometric scores are gone behind a block, and a third scheme follows soon.
        let mut mine = Mine::start(&plain("geometric"), Some(&limited));
        let mut open = Vec::new();
        while in_force(&mine.pool) != "slush" {
            if open.len() == 1 {
                mine.pool.swap(&run_off(plain("slush")));
            }
            let block = mine.block(open.len() % 2);
            open.push(mine.report(&block));
            assert!(open.len() < 9);
        }
        let lose = |mine: &Mine| {
            mine.orphan(&open[1].key);
            mine.pool.lose(&open[1]);
            assert_eq!(mine.pool.books.catch_up().unwrap(), 0);
        };
        if when == 0 {
            lose(&mine);
        }
        for (miner, work) in [(1, 77), (0, 13)] {
            mine.pool.share(mine.miners[miner], work);
            mine.pool.credit_shares();
        }
        if when == 1 {
            lose(&mine);
        }
        let block = mine.block(0);
        mine.report(&block);
        if when == 2 {
            lose(&mine);
        }
        let block = mine.block(1);
        mine.report(&block);
        mine.pool.credit_shares();
        mine.pool.replay().unwrap();
        mine.amounts()
    };
    let at_once = run(0);
    assert_eq!((run(1), run(2)), (at_once.clone(), at_once));
}

/// Both would divide by the same cells.
#[test]
fn a_scheme_whose_debts_are_settled_repairs_nobody_who_followed_it() {
    let mut mine = Mine::start(&plain("smpps"), Some(&run_off(trapping())));
    let boundary = mine.block(0);
    mine.report(&boundary);
    let block = mine.block(1);
    let income = mine.pool.report(&block, 5_000_000_019);
    mine.pool.catch_up_until("quarantine", |pool| pool.books.stuck().is_some());
    let told = mine.pool.schedule(&run_off(plain("smpps"))).unwrap_err();
    assert!(matches!(told, BooksError::IsFollowed(_)), "{told}");
    assert!(mine.pool.schedule(&run_off(wanted("solo", Vec::new(), 0))).unwrap(), "at once");
    mine.pool.catch_up_until("its division", |pool| pool.books.is_divided(&income).unwrap());
    assert!(of_c(&mine.pool, &mine.miners)[1] > 0 && is_open(&mine.pool));
    mine.pool.replay().unwrap();
}

/// The boundary's income is reported when shares behind it were credited, and what the old scheme keeps was set aside by that.
#[test]
fn an_income_of_before_that_comes_late_is_divided_on_what_was_set_aside() {
    let amounts = |late: bool| {
        let mut mine = Mine::start(&dgm(), Some(&pps()));
        let boundary = mine.block(0);
        if !late {
            mine.report(&boundary);
        }
        let behind = mine.block(1);
        if late {
            let income = mine.pool.report(&behind, 5_000_000_019);
            assert!(matches!(mine.pool.books.divide(&income), Err(BooksError::Waits)));
            mine.report(&boundary);
            mine.pool.books.catch_up().unwrap();
        } else {
            mine.report(&behind);
        }
        assert_eq!(mine.pool.replay().unwrap().incomes, 2);
        assert!(of_c(&mine.pool, &mine.miners)[1] > 0);
        mine.amounts()
    };
    assert_eq!(amounts(true), amounts(false));
}

#[test]
fn after_its_last_income_a_scheme_is_forgotten_with_a_word_and_drops_out_of_the_state() {
    let next = Wanted { run_off: Some(2), ..run_off(pplns(2_000)) };
    let mut mine = Mine::start(&dgm(), Some(&next));
    let incomes = [0, 1, 0, 1, 0].map(|finder| {
        let block = mine.block(finder);
        mine.report(&block)
    });
    let paid = of_c(&mine.pool, &mine.miners);
    let parts: Vec<bool> = paid.iter().map(|amount| *amount > 0).collect();
    assert_eq!(parts, [true, true, true, false, false], "{paid:?}");
    let told = |text: &str| mine.pool.alarms.list().iter().any(|alarm| alarm.text.contains(text));
    assert!(told("still keeps of 3 miners") && !is_open(&mine.pool));
    // A third may follow when what was forgotten cannot come back.
    mine.pool.swap(&run_off(plain("prop")));
    let block = mine.block(0);
    let last = mine.report(&block);
    assert_eq!(in_force(&mine.pool), "pplns");
    incomes.iter().chain([&last]).for_each(|income| mine.pool.mature(income));
    mine.block(0);
    assert_eq!(in_force(&mine.pool), "prop");
    mine.pool.replay().unwrap();
}

#[test]
fn nobody_forgets_what_is_kept_of_miners_without_an_order_to_settle_it() {
    let pool = Pool::start(&dgm());
    let a = pool.miner("a");
    let mut pool = pool;
    pool.share(a, 900);
    pool.credit_shares();
    // Not without the word for it, not for no income, and not by a coinbase that nobody divides.
    for next in [pplns(2_000), Wanted { run_off: Some(0), ..pplns(2_000) }] {
        assert!(matches!(pool.schedule(&next), Err(BooksError::Swap(SwapError::Format { .. }))));
    }
    let direct = Wanted { direct: true, ..run_off(wanted("solo", Vec::new(), 0)) };
    let (disk, clock, blocks) = (pool.disk.clone(), pool.clock, pool.blocks);
    let told = pool.try_restart(&direct).err().unwrap();
    assert!(told.contains("score-1"), "{told}");
    let mut pool = Pool::open(disk, &dgm(), clock, blocks);
    pool.swap(&run_off(wanted("solo", Vec::new(), 0)));
    pool.block(a, 1_000_000);
    // Before anything is aside, and when it is.
    let (disk, clock, blocks) = (pool.disk.clone(), pool.clock, pool.blocks);
    let told = pool.try_restart(&direct).err().unwrap();
    assert!(told.contains("keeps of miners (format \"score-1\")"), "{told}");
    let mut pool = Pool::open(disk, &run_off(wanted("solo", Vec::new(), 0)), clock, blocks);
    pool.block(a, 1_000_000);
    let (disk, clock, blocks) = (pool.disk.clone(), pool.clock, pool.blocks);
    let told = pool.try_restart(&direct).err().unwrap();
    assert!(told.contains("keeps of miners (format \"score-1\")"), "{told}");
    let pool = Pool::open(disk, &run_off(wanted("solo", Vec::new(), 0)), clock, blocks);
    assert!(is_open(&pool));
    pool.replay().unwrap();
}

/// A policy that says too early that nothing is owed any more.
#[test]
fn a_replay_finds_a_scheme_that_was_left_while_it_kept_something_of_miners() {
    let mut mine = Mine::start(&dgm(), Some(&run_off(wanted("solo", Vec::new(), 0))));
    let boundary = mine.block(0);
    mine.report(&boundary);
    let policy = mine.pool.journal.newest_policy().unwrap();
    let block = mine.block(1);
    let income = mine.report(&block);
    mine.pool.replay().unwrap();
    let mut forged = Policy { from: income.end.seq, ..policy };
    for (name, value) in &mut forged.scheme.settings {
        if let (RUN_OFF, Recorded::Text(text)) = (name.as_str(), value) {
            *text = text.split(",\"old\"").next().unwrap().to_owned() + "}";
        }
    }
    mine.pool.journal.record(forged).wait().unwrap();
    let told = mine.pool.replay().unwrap_err().to_string();
    assert!(told.contains("still owes of it"), "{told}");
}

fn owing() -> impl Strategy<Value = Wanted> {
    (0_u8..5).prop_map(|which| match which {
        0 => dgm(),
        1 => plain("smpps"),
        2 => plain("shifts"),
        3 => plain("geometric"),
        _ => plain("slush"),
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, ..ProptestConfig::default() })]

    /// Whoever follows, and wherever the pool is stopped: each unit is somewhere, a replay finds it there, and who worked under
    /// the first scheme alone is paid what he had been paid without any other.
    #[test]
    fn what_is_kept_of_miners_is_paid_once_whatever_follows(
        first in owing(),
        steps in proptest::collection::vec(step(), 10..60),
    ) {
        let steps: Vec<Step> = steps.into_iter().map(|step| match step {
            // It has the same cells, and takes them up.
            Step::Swap(4) => Step::Swap(7),
            step => step,
        }).collect();
        let (pool, swapped) = through(&first, &steps, true);
        pool.replay().unwrap();
        let (_, straight) = through(&first, &steps, false);
        prop_assert_eq!(swapped.len(), straight.len());
        for (income, paid) in straight {
            prop_assert!(swapped[&income].abs_diff(paid) <= 1, "{} and {}", swapped[&income], paid);
        }
    }
}
