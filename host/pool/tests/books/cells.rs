//! What a scheme keeps of miners in cells is settled by its own rule when another follows it, to the unit and once.

use crate::run_off::{Step, follows, history, in_force, is_open, parts, pplns, run_off, step, through};
use crate::support::{Pool, wanted};
use millpond_contracts::Setting;
use millpond_journal::{BlockFate, Fate, Income, Policy, RUN_OFF, Setting as Recorded};
use millpond_ledger::{IncomeKey, IncomeStatus, Owner, Reversal};
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

/// The boundary's own block, the first of both schemes' and the one behind it: whichever is lost, what stands is as if it had
/// never earned anything.
#[test]
fn what_stands_is_what_would_stand_had_the_lost_income_never_come() {
    let others = [run_off(pplns(2_000)), run_off(plain("smpps")), run_off(plain("cppsrb"))];
    for (first, next) in [dgm(), plain("shifts"), dgm()].into_iter().zip(others) {
        for lost in 0..3 {
            let mut straight = Mine::start(&first, Some(&next));
            let mut other = Mine::start(&first, Some(&next));
            let mut open = Vec::new();
            for at in 0..4 {
                let block = straight.block(at % 2);
                if at == lost {
                    straight.orphan(&block)
                } else {
                    drop(straight.report(&block))
                };
                let block = other.block(at % 2);
                open.push(other.report(&block));
            }
            assert!(is_open(&other.pool));
            other.orphan(&open[lost].key);
            other.pool.lose(&open[lost]);
            other.pool.books.catch_up().unwrap();
            assert_eq!(other.status(&open[lost]), Some(IncomeStatus::Reversed(Reversal::Restore)));
            assert_eq!(straight.amounts(), other.amounts(), "{} of {}", lost, next.scheme.name);
            // It is there after all, and is divided last.
            assert_eq!(straight.pool.replay().unwrap().incomes, 3);
            assert!(other.pool.replay().unwrap().incomes >= 4);
            let same = other.amounts();
            let other = Mine { pool: other.pool.restart(&next), ..other };
            assert_eq!(same, other.amounts());
        }
    }
}

/// PPS credits shares whatever becomes of blocks: with it the operator bears what the old scheme gave of a lost one too. Of the
/// boundary's block the old scheme says.
#[test]
fn with_a_scheme_that_bears_the_loss_of_blocks_miners_keep_what_both_gave() {
    let mut mine = Mine::start(&dgm(), Some(&pps()));
    let incomes = [0, 1, 0].map(|finder| {
        let block = mine.block(finder);
        mine.report(&block)
    });
    let gave = |mine: &Mine| of_c(&mine.pool, &mine.miners);
    let before = gave(&mine);
    assert!(before[1] > 0 && before[2] > 0, "{before:?}");
    mine.orphan(&incomes[1].key);
    mine.pool.lose(&incomes[1]);
    assert_eq!(mine.status(&incomes[1]), Some(IncomeStatus::Reversed(Reversal::Keep)));
    assert_eq!((gave(&mine), mine.pool.payable(mine.miners[2])), (before.clone(), before[1]));
    // Behind the boundary's block all is divided again, by more of the score.
    mine.orphan(&incomes[0].key);
    mine.pool.lose(&incomes[0]);
    mine.pool.books.catch_up().unwrap();
    assert_eq!(mine.status(&incomes[0]), Some(IncomeStatus::Reversed(Reversal::Restore)));
    let after = gave(&mine);
    assert_eq!(after.len(), 4, "the third once more: {after:?}");
    assert!(after[3] > before[2], "{after:?}");
    mine.pool.mature(&incomes[2]);
    assert_eq!(mine.pool.payable(mine.miners[2]), before[1] + after[3]);
    assert!(mine.pool.ledger.totals().conserved);
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
    incomes.iter().for_each(|income| mine.pool.mature(income));
    // A third may follow now, and another coinbase.
    mine.pool.swap(&run_off(plain("prop")));
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
    pool.block(a, 1_000_000);
    let (disk, clock, blocks) = (pool.disk.clone(), pool.clock, pool.blocks);
    let told = pool.try_restart(&direct).err().unwrap();
    assert!(told.contains("has settled what it keeps"), "{told}");
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
        let loses = steps.iter().any(|step| matches!(step, Step::Lose(_)));
        let steps: Vec<Step> = steps.into_iter().map(|step| match step {
            // With PPS the loss is the operator's; the other has the same cells, and takes them up.
            Step::Swap(2) if loses => Step::Swap(0),
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
