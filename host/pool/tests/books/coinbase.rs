//! Coinbases that pay many: planned before blocks are found, booked as their own block's plan says, and planned again by the
//! replay.

use crate::support::{Pool, sandbox, wanted};
use millpond_contracts::{Setting, Settings};
use millpond_journal::{CoinbasePlan, Income, Job, PlannedFor, Record};
use millpond_ledger::{FeeName, IncomeKey, IncomeStatus, Owner};
use millpond_pool::plan::Asked;
use millpond_pool::policy::Wanted;
use millpond_pool::what_if::{Asked as WhatIfAsked, Follower};
use millpond_runtime::TracingSink;
use millpond_types::{Amount, Digest, JobId, MinerId, ShareSeq, Target, UnixMillis};
use std::collections::BTreeMap;
use std::sync::Arc;

const REWARD: u64 = 5_000_000_000;
/// Room for three outputs to keys' hashes.
const THREE: u32 = 158 + 3 * 31;

fn planned(scheme: &str, settings: Settings, basis_points: i64) -> Wanted {
    Wanted { direct: true, planned: true, ..wanted(scheme, settings, basis_points) }
}

fn asked(limit: u32, parent: u8) -> Asked {
    let operator = FeeName::try_from("operator".to_owned()).unwrap();
    Asked {
        coord: 100,
        network_work: 1_000,
        reward: Amount(REWARD),
        parent: vec![parent; 32],
        fixed: 158,
        limit,
        recipients: BTreeMap::from([(operator, script(0))]),
    }
}

/// A payee that an output of 31 bytes pays.
fn script(of: u8) -> Vec<u8> {
    [&[0, 20], [of; 20].as_slice()].concat()
}

/// A pool whose blocks are paid by plans.
struct Planned {
    pool: Pool,
    jobs: u64,
}

impl Planned {
    fn start(wanted: &Wanted) -> Self {
        Self { pool: Pool::start(wanted), jobs: 1 }
    }

    fn miners<const N: usize>(&self) -> [MinerId; N] {
        std::array::from_fn(|at| {
            let of = u8::try_from(at + 1).unwrap();
            self.pool.journal.miner(&script(of), &format!("miner-{of}")).wait().unwrap()
        })
    }

    /// Plans, and gives out a job of the plan.
    fn plan(&mut self, asked: &Asked) -> JobId {
        let (_, at) = self.pool.books.plan(asked, UnixMillis(self.pool.clock)).unwrap();
        self.job(Some(at))
    }

    fn job(&mut self, plan: Option<u64>) -> JobId {
        self.jobs += 1;
        let job = Job {
            id: JobId(self.jobs),
            coord: 100,
            parent: vec![1],
            recipe: 0,
            network_target: Target::MAX,
            network_work: 1_000,
            reward: Amount(REWARD),
            subsidy: None,
            plan,
            adapter: Digest([0; 32]),
            time: UnixMillis(self.pool.clock),
        };
        let id = job.id;
        self.pool.journal.record(job).wait().unwrap();
        id
    }

    /// Finds a block of a job, and divides its income.
    fn block(&mut self, finder: MinerId, job: JobId) -> Income {
        let income = self.found(finder, job);
        self.pool.books.divide(&income).unwrap();
        income
    }

    /// Finds a block of a job; its income is recorded.
    fn found(&mut self, finder: MinerId, job: JobId) -> Income {
        let block = self.pool.solve_of(finder, job);
        let income = self.pool.report(&block, REWARD);
        self.pool.books.block_found(income.end.seq, UnixMillis(self.pool.clock)).unwrap();
        income
    }

    fn plan_of(&self, job: JobId) -> CoinbasePlan {
        let view = self.pool.journal.view();
        let at = view.jobs(&[job].into()).unwrap()[&job].plan.unwrap();
        match view.record(at).unwrap() {
            Some(Record::CoinbasePlan(plan)) => plan,
            other => panic!("{other:?}"),
        }
    }

    fn deferred(&self, miner: MinerId) -> i128 {
        self.pool.books.deferred(&Owner::Miner(miner))
    }

    fn part(&self, income: &Income, miner: MinerId) -> u64 {
        let book = self.pool.ledger.book();
        let key = IncomeKey::new(income.key.clone()).unwrap();
        book.income(&key).unwrap().parts.as_ref().unwrap().of(&Owner::Miner(miner)).0
    }
}

#[test]
fn a_block_is_paid_by_its_plan_and_what_did_not_fit_is_deferred() {
    let mut pool = Planned::start(&planned("pplns", Vec::new(), 100));
    let miners: [MinerId; 5] = pool.miners();
    for (miner, work) in miners.into_iter().zip([500, 400, 300, 200, 100]) {
        pool.pool.share(miner, work);
    }
    let job = pool.plan(&asked(THREE, 1));
    let plan = pool.plan_of(job);
    assert_eq!(plan.outputs.len(), 3, "{plan:?}");
    // Shares behind the plan are of the next window.
    pool.pool.share(miners[4], 1_000_000);
    let income = pool.block(miners[4], job);
    let parts = miners.map(|miner| pool.part(&income, miner));
    assert_eq!(parts.iter().sum::<u64>(), REWARD, "three miners' outputs are all of it");
    assert_eq!(parts[3..], [0, 0]);
    // Of 1,500 they are due 500, 400 and 300 less the fee, and get what the others are due by their own dues.
    let due = |work: u64| i128::from(REWARD * 99 / 100 * work / 1_500);
    for (miner, work) in miners.into_iter().zip([500, 400, 300, 200, 100]) {
        let got = i128::from(pool.part(&income, miner)) + pool.deferred(miner);
        assert!((got - due(work)).abs() <= 1, "{miner}: {got} of {}", due(work));
    }
    let fee = pool.pool.books.deferred(&Owner::Fee(FeeName::try_from("operator".to_owned()).unwrap()));
    // It is rounded down by each miner.
    assert!((50_000_000 - 5..=50_000_000).contains(&fee), "{fee}");
    assert_eq!(fee + miners.iter().map(|miner| pool.deferred(*miner)).sum::<i128>(), 0);
    pool.pool.mature(&income);
    let totals = pool.pool.ledger.totals();
    assert!(totals.conserved, "{totals:?}");
    assert_eq!(totals.payable, 0, "the chain has paid: the pool holds nothing");
    let replayed = pool.pool.replay().unwrap();
    assert_eq!(replayed.incomes, 1);
}

#[test]
fn who_was_left_out_comes_next_and_a_restart_knows_him() {
    let wanted = planned("pplns", Vec::new(), 0);
    let mut pool = Planned::start(&wanted);
    let miners: [MinerId; 6] = pool.miners();
    let mut paid: BTreeMap<MinerId, u64> = BTreeMap::new();
    for round in 0..8 {
        for miner in miners {
            pool.pool.share(miner, 100);
        }
        let job = pool.plan(&asked(THREE, round));
        let income = pool.block(miners[0], job);
        for miner in miners {
            *paid.entry(miner).or_default() += pool.part(&income, miner);
        }
        pool.pool.mature(&income);
        if round == 3 {
            let before = miners.map(|miner| pool.deferred(miner));
            pool = Planned { pool: pool.pool.restart(&wanted), jobs: pool.jobs };
            assert_eq!(miners.map(|miner| pool.deferred(miner)), before);
            assert_ne!(before, [0; 6]);
        }
    }
    // The block's own share is in the next round: all are equal but for that of the first.
    for miner in miners {
        assert!(i128::from(paid[&miner]) + pool.deferred(miner) > 6 * i128::from(REWARD) / 6, "{paid:?}");
        assert!(paid[&miner] > 0);
    }
    assert_eq!(miners.iter().map(|miner| pool.deferred(*miner)).sum::<i128>(), 0);
    assert_eq!(pool.pool.replay().unwrap().incomes, 8);
}

#[test]
fn a_fee_recipient_who_is_renamed_while_he_is_deferred_is_paid_under_his_old_name() {
    let named = |name: &str| {
        let mut wanted = planned("pplns", Vec::new(), 100);
        wanted.fees[0].recipients[0].name = FeeName::try_from(name.to_owned()).unwrap();
        wanted
    };
    let mut pool = Planned::start(&named("operator"));
    let miners: [MinerId; 4] = pool.miners();
    let old = Owner::Fee(FeeName::try_from("operator".to_owned()).unwrap());
    let round = |pool: &mut Planned, at: u8, to: &str| {
        for miner in miners {
            pool.pool.share(miner, 100);
        }
        let recipients =
            [(FeeName::try_from(to.to_owned()).unwrap(), script(if to == "house" { 99 } else { 0 }))];
        let job = pool.plan(&Asked { recipients: recipients.into(), ..asked(THREE, at) });
        pool.block(miners[0], job);
        job
    };
    // One plan of his, and no block: the policy that owes him is in force until there is one.
    for miner in miners {
        pool.pool.share(miner, 100);
    }
    pool.plan(&asked(THREE, 0));
    let mut pool = Planned { pool: pool.pool.restart(&named("house")), jobs: pool.jobs };
    round(&mut pool, 0, "house");
    let owed = pool.pool.books.deferred(&old);
    assert!(owed > 0, "there is room for three, and the operator's percent is the least: {owed}");
    let mut paid = Vec::new();
    for at in 1..100 {
        let job = round(&mut pool, at, "house");
        paid.extend(
            pool.plan_of(job)
                .outputs
                .into_iter()
                .filter(|output| output.to == PlannedFor::Fee("operator".into())),
        );
        if !paid.is_empty() {
            break;
        }
    }
    assert_eq!(
        paid.iter().map(|output| &output.payee).collect::<Vec<_>>(),
        [&script(0)],
        "at his old address"
    );
    assert!(pool.pool.books.deferred(&old) < owed);
    pool.pool.replay().unwrap();
}

#[test]
fn without_shares_a_block_is_its_finders_less_the_fee() {
    for scheme in ["pplns", "pplns-window", "tides", "finder-bonus"] {
        let mut pool = Planned::start(&planned(scheme, Vec::new(), 100));
        let [miner] = pool.miners();
        let job = pool.plan(&asked(750, 1));
        let mut to: Vec<PlannedFor> = pool.plan_of(job).outputs.into_iter().map(|output| output.to).collect();
        to.sort_by_key(|to| format!("{to:?}"));
        assert_eq!(to, [PlannedFor::Fee("operator".to_owned()), PlannedFor::Finder], "{scheme}");
        let income = pool.block(miner, job);
        assert_eq!(pool.part(&income, miner), REWARD / 100 * 99, "{scheme}");
        pool.pool.replay().unwrap();
    }
}

#[test]
fn a_block_that_is_lost_when_it_matured_and_comes_again_defers_again() {
    let wanted = planned("pplns", Vec::new(), 0);
    let mut pool = Planned::start(&wanted);
    let miners: [MinerId; 5] = pool.miners();
    for miner in miners {
        pool.pool.share(miner, 100);
    }
    let job = pool.plan(&asked(THREE, 1));
    let income = pool.block(miners[0], job);
    let deferred = miners.map(|miner| pool.deferred(miner));
    assert_ne!(deferred, [0; 5]);
    pool.pool.mature(&income);
    pool.pool.lose(&income);
    assert_eq!(miners.map(|miner| pool.deferred(miner)), [0; 5]);
    let again = pool.pool.report(&income.key, REWARD);
    pool.pool.books.divide(&again).unwrap();
    assert_eq!(miners.map(|miner| pool.deferred(miner)), deferred);
    let pool = Planned { pool: pool.pool.restart(&wanted), jobs: pool.jobs };
    assert_eq!(miners.map(|miner| pool.deferred(miner)), deferred, "as the records say");
}

#[test]
fn a_finders_bonus_is_an_output_of_his_own() {
    let bonus = vec![("bonus".to_owned(), Setting::Int(100))];
    let mut pool = Planned::start(&planned("finder-bonus", bonus, 0));
    let miners: [MinerId; 3] = pool.miners();
    for miner in miners {
        pool.pool.share(miner, 100);
    }
    let job = pool.plan(&asked(750, 1));
    let income = pool.block(miners[1], job);
    let third = REWARD * 9 / 10 / 3;
    assert_eq!(pool.part(&income, miners[0]), third);
    assert_eq!(pool.part(&income, miners[1]), third + REWARD / 10);
    pool.pool.replay().unwrap();
}

#[test]
fn a_lost_block_gives_back_what_it_deferred() {
    let mut pool = Planned::start(&planned("pplns", Vec::new(), 0));
    let miners: [MinerId; 5] = pool.miners();
    for miner in miners {
        pool.pool.share(miner, 100);
    }
    let job = pool.plan(&asked(THREE, 1));
    let income = pool.block(miners[0], job);
    let deferred = miners.map(|miner| pool.deferred(miner));
    assert_ne!(deferred, [0; 5]);
    pool.pool.lose(&income);
    assert_eq!(miners.map(|miner| pool.deferred(miner)), [0; 5]);
    let key = IncomeKey::new(income.key.clone()).unwrap();
    let status = pool.pool.ledger.income_status(&key);
    assert!(matches!(status, Some(IncomeStatus::Reversed(_))), "{status:?}");
    // The chain has it after all.
    let again = pool.pool.report(&income.key, REWARD);
    pool.pool.books.divide(&again).unwrap();
    assert_eq!(miners.map(|miner| pool.deferred(miner)), deferred);
    assert_eq!(pool.pool.replay().unwrap().incomes, 2);
}

#[test]
fn a_policy_that_changes_between_plan_and_block_changes_nothing_for_the_block() {
    let mut pool = Planned::start(&planned("pplns", Vec::new(), 0));
    let [a, b] = pool.miners();
    pool.pool.share(a, 300);
    pool.pool.share(b, 100);
    let job = pool.plan(&asked(750, 1));
    pool.pool.swap(&planned("pplns-window", Vec::new(), 100));
    let first = pool.block(a, job);
    // The new one is in force, and miners still have jobs of the plan before it.
    let second = pool.block(b, job);
    for income in [&first, &second] {
        let paid = pool.part(income, a);
        assert!(paid.abs_diff(REWARD / 4 * 3) <= 1, "no fee of the new policy is in the coinbase: {paid}");
    }
    let job = pool.plan(&asked(750, 2));
    let third = pool.block(a, job);
    let paid = pool.part(&third, a) + pool.part(&third, b);
    assert!((REWARD / 100 * 99..REWARD / 100 * 99 + 3).contains(&paid), "{paid}");
    assert_eq!(pool.pool.replay().unwrap().incomes, 3);
}

#[test]
fn another_coinbase_comes_at_a_start_and_every_block_is_booked_as_it_was_paid() {
    let scheme = planned("pplns", Vec::new(), 0);
    let mut pool = Planned::start(&scheme);
    let [a, b] = pool.miners();
    pool.pool.share(a, 100);
    pool.pool.share(b, 100);
    let job = pool.plan(&asked(750, 1));
    let told = pool.pool.schedule(&wanted("prop", Vec::new(), 0)).unwrap_err().to_string();
    assert!(told.contains("comes into force at a start only"), "{told}");
    // Found, and not divided before the stop.
    let first = pool.found(a, job);
    let mut pool = Planned { pool: pool.pool.restart(&wanted("prop", Vec::new(), 0)), jobs: pool.jobs };
    assert_eq!(pool.alarms(), Vec::<String>::new(), "nothing was deferred");
    pool.pool.books.catch_up().unwrap();
    let direct = |pool: &Planned, income: &Income| {
        pool.pool.ledger.book().income(&IncomeKey::new(income.key.clone()).unwrap()).unwrap().direct
    };
    assert!(direct(&pool, &first));
    let job = pool.job(None);
    let second = pool.block(b, job);
    assert!(!direct(&pool, &second), "it was paid to the pool");
    let mut pool = Planned { pool: pool.pool.restart(&scheme), jobs: pool.jobs };
    pool.pool.share(a, 100);
    let job = pool.plan(&asked(750, 3));
    let third = pool.block(b, job);
    assert!(direct(&pool, &third));
    pool.pool.replay().unwrap();
}

#[test]
fn a_block_of_no_plan_waits_and_is_told() {
    let mut pool = Planned::start(&planned("pplns", Vec::new(), 0));
    let [a] = pool.miners();
    pool.pool.share(a, 100);
    let job = pool.job(None);
    let income = pool.found(a, job);
    let told = pool.pool.books.divide(&income).unwrap_err().to_string();
    assert!(told.contains("has no plan: its income waits"), "{told}");
    assert!(!pool.pool.books.is_divided(&income).unwrap());
}

#[test]
fn a_replay_plans_again() {
    let mut pool = Planned::start(&planned("pplns", Vec::new(), 0));
    let miners: [MinerId; 5] = pool.miners();
    for (miner, work) in miners.into_iter().zip([500, 400, 300, 200, 100]) {
        pool.pool.share(miner, work);
    }
    // The books believe what is recorded before jobs are given out: here a plan that pays the last instead of the first.
    let (_, at) = pool.pool.books.plan(&asked(THREE, 1), UnixMillis(pool.pool.clock)).unwrap();
    let Some(Record::CoinbasePlan(honest)) = pool.pool.journal.view().record(at).unwrap() else { panic!() };
    let mut forged = honest;
    forged.outputs[0].to = PlannedFor::Miner(miners[4]);
    forged.outputs[0].payee = script(5);
    let forged = pool.pool.journal.record(forged).wait().unwrap();
    let job = pool.job(Some(forged));
    let income = pool.block(miners[0], job);
    assert!(pool.part(&income, miners[4]) > 0);
    let told = pool.pool.replay().unwrap_err().to_string();
    assert!(told.contains("the plan of the coinbase comes out otherwise"), "{told}");
    // A smaller limit than it says is as much a forgery.
    let mut pool = Planned::start(&planned("pplns", Vec::new(), 0));
    let miners: [MinerId; 5] = pool.miners();
    for miner in miners {
        pool.pool.share(miner, 100);
    }
    let narrow = CoinbasePlan { limit: 750, ..pool.plan_of_three() };
    let forged = pool.pool.journal.record(narrow).wait().unwrap();
    let job = pool.job(Some(forged));
    pool.block(miners[0], job);
    let told = pool.pool.replay().unwrap_err().to_string();
    assert!(told.contains("5 outputs and not 3") || told.contains("comes out otherwise"), "{told}");
}

#[test]
fn who_leaves_planned_coinbases_is_told_what_they_left_open() {
    let mut pool = Planned::start(&planned("pplns", Vec::new(), 0));
    let miners: [MinerId; 5] = pool.miners();
    for miner in miners {
        pool.pool.share(miner, 100);
    }
    let job = pool.plan(&asked(THREE, 1));
    pool.block(miners[0], job);
    let owed: i128 = miners.map(|miner| pool.deferred(miner).max(0)).iter().sum();
    let pool = Planned { pool: pool.pool.restart(&wanted("pplns", Vec::new(), 0)), jobs: pool.jobs };
    let told = pool.alarms();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains(&format!("{owed} units stay deferred to 2 owners")), "{told:?}");
}

#[test]
fn another_scheme_is_held_against_what_miners_were_due() {
    let mut pool = Planned::start(&planned("pplns", Vec::new(), 0));
    let miners: [MinerId; 5] = pool.miners();
    for (miner, work) in miners.into_iter().zip([500, 400, 300, 200, 100]) {
        pool.pool.share(miner, work);
    }
    let job = pool.plan(&asked(THREE, 1));
    let income = pool.block(miners[0], job);
    let other = wanted("pplns", Vec::new(), 0);
    let other = WhatIfAsked::new(&other, ShareSeq(0), sandbox(), Arc::new(TracingSink)).unwrap();
    let mut follower = Follower::new(other).unwrap();
    let answer = follower.follow(&pool.pool.journal.view(), &pool.pool.ledger.reader()).unwrap();
    assert_eq!(answer.miners.len(), 5);
    for row in answer.miners {
        let due = i128::from(pool.part(&income, row.miner)) + pool.deferred(row.miner);
        assert_eq!(row.earned.actual, due, "{}", row.miner);
    }
}

impl Planned {
    /// What the operator is told of coinbases.
    fn alarms(&self) -> Vec<String> {
        let all = self.pool.alarms.list().into_iter();
        all.filter(|alarm| alarm.about == "coinbase").map(|alarm| alarm.text).collect()
    }

    fn plan_of_three(&self) -> CoinbasePlan {
        let (_, at) = self.pool.books.plan(&asked(THREE, 1), UnixMillis(self.pool.clock)).unwrap();
        match self.pool.journal.view().record(at).unwrap() {
            Some(Record::CoinbasePlan(plan)) => plan,
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn schemes_that_owe_or_keep_back_are_refused() {
    let carry = vec![("unfilled".to_owned(), Setting::Text("carry".to_owned()))];
    for (scheme, settings, says) in [
        ("pps", Vec::new(), "it credits against a reserve"),
        ("queue", Vec::new(), "it keeps a state"),
        ("shifts", Vec::new(), "it keeps a state"),
        ("solo", Vec::new(), "take chain.coinbase = \"miner\""),
        ("pplns", carry, "keeps"),
        ("prop", Vec::new(), "its window begins at a block"),
        ("incentive-compatible", Vec::new(), "its window begins at a block"),
    ] {
        let told = Pool::refused(&planned(scheme, settings, 0));
        assert!(told.contains("cannot pay by scheme") && told.contains(says), "{scheme}: {told}");
    }
    for scheme in ["pplns", "pplns-window", "tides", "finder-bonus"] {
        Pool::start(&planned(scheme, Vec::new(), 100));
    }
}
