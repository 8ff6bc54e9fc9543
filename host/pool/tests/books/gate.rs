//! A scheme whose state depends on the order of shares and incomes: whatever the node says when, each block is divided on
//! the state of its own share.

use crate::support::{Pool, wanted};
use millpond_contracts::Setting;
use millpond_journal::{BlockFate, Fate, Income};
use millpond_ledger::{IncomeKey, IncomeStatus, Owner};
use millpond_pool::books::BooksError;
use millpond_pool::gate::GATE_MS;
use millpond_pool::policy::Wanted;
use millpond_types::{Amount, MinerId, UnixMillis};

/// The double geometric method. Part of a score outlives its block, so that every order has its own amounts.
fn dgm() -> Wanted {
    let setting = |name: &str, value| (name.to_owned(), Setting::Int(value));
    let settings = vec![setting("c_bp", 3000), setting("o_bp", 7000)];
    Wanted { reserve: Amount(1 << 50), ..wanted("dgm", settings, 100) }
}

struct Mine {
    pool: Pool,
    miners: [MinerId; 3],
}

impl Mine {
    fn start() -> Self {
        let pool = Pool::start(&dgm());
        let miners = ["a", "b", "c"].map(|name| pool.miner(name));
        Self { pool, miners }
    }

    /// So many shares, each given as soon as it may.
    fn shares(&mut self, count: u64) {
        for _ in 0..count {
            let at = self.pool.clock / 1000;
            let miner = self.miners[(at * at % 7 % 3) as usize];
            self.pool.share(miner, 7 + at % 5);
            self.pool.credit_shares();
        }
    }

    fn solve(&mut self, finder: usize) -> Vec<u8> {
        self.pool.solve(self.miners[finder])
    }

    fn reported(&self, block: &[u8]) -> Income {
        let income = self.pool.report(block, 5_000_000_000);
        self.pool.books.divide(&income).unwrap();
        income
    }

    fn status(&self, income: &Income) -> Option<IncomeStatus> {
        let key = IncomeKey::new(income.key.clone()).unwrap();
        self.pool.ledger.book().income(&key).map(|known| known.status)
    }

    /// What every miner, the operator and the reserve have, of all incomes that stand.
    fn amounts(&self) -> Vec<(Owner, u64, u64)> {
        let book = self.pool.ledger.book();
        let mut owners: Vec<Owner> = book.payables().map(|row| row.0).collect();
        owners.extend(self.miners.map(Owner::Miner));
        owners.push(Owner::Fee(millpond_ledger::FeeName::try_from("operator".to_owned()).unwrap()));
        owners.push(Owner::Reserve);
        owners.sort();
        owners.dedup();
        owners
            .into_iter()
            .map(|owner| (owner.clone(), book.payable(&owner).0, book.immature(&owner).0))
            .collect()
    }

    fn restart(self) -> Self {
        let Self { pool, miners } = self;
        Self { pool: pool.restart(&dgm()), miners }
    }
}

#[test]
fn a_block_is_divided_on_the_state_of_its_own_share() {
    let after = |late: u64, restarted: bool| {
        let mut mine = Mine::start();
        mine.shares(20);
        let block = mine.solve(0);
        mine.shares(late);
        if restarted {
            mine = mine.restart();
        }
        let first = mine.reported(&block);
        mine.shares(30 - late);
        let block = mine.solve(1);
        mine.reported(&block);
        let replayed = mine.pool.replay().unwrap();
        assert_eq!((replayed.incomes, mine.status(&first)), (2, Some(IncomeStatus::Immature)));
        mine.amounts()
    };
    let at_once = after(0, false);
    assert!(at_once.iter().filter(|row| row.2 > 0).count() >= 4, "{at_once:?}");
    assert_eq!(after(25, false), at_once, "the node was slow");
    assert_eq!(after(7, true), at_once, "and the pool was started again meanwhile");
}

#[test]
fn later_blocks_wait_for_earlier_ones() {
    let run = |turned: bool| {
        let mut mine = Mine::start();
        mine.shares(10);
        let first = mine.solve(0);
        mine.shares(10);
        let second = mine.solve(1);
        mine.shares(10);
        if turned {
            let income = mine.pool.report(&second, 5_000_000_000);
            assert!(matches!(mine.pool.books.divide(&income), Err(BooksError::Waits)));
            assert_eq!(mine.pool.books.catch_up().unwrap(), 1, "it waits still");
            assert_eq!(mine.status(&income), None);
            mine.reported(&first);
            assert_eq!(mine.pool.books.catch_up().unwrap(), 0);
        } else {
            mine.reported(&first);
            mine.reported(&second);
        }
        mine.shares(5);
        mine.pool.replay().unwrap();
        mine.amounts()
    };
    assert_eq!(run(true), run(false));
}

#[test]
fn a_block_that_nobody_hears_of_again_holds_up_nothing_for_ever() {
    let mut mine = Mine::start();
    mine.shares(5);
    mine.solve(0);
    mine.shares(5);
    let given = |mine: &Mine| mine.pool.ledger.book().accrued_to();
    assert_eq!(given(&mine), 6, "up to the block's share");
    mine.pool.clock += GATE_MS;
    mine.shares(1);
    assert_eq!(given(&mine), 12);

    // And one that the chain has not is let go at once.
    let orphan = mine.solve(1);
    mine.shares(3);
    assert_eq!(given(&mine), 13);
    let (fate, time) = (BlockFate::Orphan("another block".to_owned()), UnixMillis(mine.pool.clock));
    mine.pool.journal.record(Fate { block: orphan, fate, time }).wait().unwrap();
    mine.pool.credit_shares();
    assert_eq!(given(&mine), 16);
    mine.pool.replay().unwrap();
}

#[test]
fn a_lost_income_leaves_nothing_behind_in_what_came_after_it() {
    // Blocks of a, b, c, a, b; the second and the fourth are lost, or never were.
    let run = |lost: &[usize], never: &[usize], restarted: bool| {
        let mut mine = Mine::start();
        let mut incomes = Vec::new();
        for round in 0..5 {
            mine.shares(9);
            let block = mine.solve(round % 3);
            if never.contains(&round) {
                let (fate, time) = (BlockFate::Orphan("another".to_owned()), UnixMillis(mine.pool.clock));
                mine.pool.journal.record(Fate { block, fate, time }).wait().unwrap();
                continue;
            }
            incomes.push(mine.reported(&block));
        }
        mine.shares(4);
        for at in lost {
            mine.pool.lose(&incomes[*at]);
            if restarted {
                mine = mine.restart();
                mine.pool.books.catch_up().unwrap();
            }
        }
        mine.shares(3);
        let replayed = mine.pool.replay().unwrap();
        (mine.amounts(), replayed.batches)
    };
    let (never, _) = run(&[], &[1, 3], false);
    for lost in [[1, 3], [3, 1]] {
        for restarted in [false, true] {
            let (amounts, batches) = run(&lost, &[], restarted);
            assert_eq!(amounts, never, "lost {lost:?}, started again: {restarted}");
            assert!(batches > 0);
        }
    }
    assert_ne!(run(&[], &[], false).0, never, "the lost ones count where they are not lost");
}

#[test]
fn what_a_crash_left_half_divided_again_is_found_at_the_start() {
    let mut mine = Mine::start();
    let mut incomes = Vec::new();
    for round in 0..3 {
        mine.shares(6);
        let block = mine.solve(round);
        incomes.push(mine.reported(&block));
    }
    mine.shares(4);
    // The entry of the loss is written, and nothing behind it: as when the power goes then.
    let time = UnixMillis(mine.pool.clock);
    let key = IncomeKey::new(incomes[0].key.clone()).unwrap();
    let lost = millpond_journal::IncomeLost { key: incomes[0].key.clone(), reason: "another".into(), time };
    mine.pool.journal.record(lost).wait().unwrap();
    let how = millpond_ledger::Reversal::Restore;
    mine.pool
        .ledger
        .append(time, millpond_ledger::Entry::Reversed { key, how, proof: "another".into() })
        .unwrap();
    let mut mine = mine.restart();
    mine.pool.books.catch_up().unwrap();
    mine.shares(1);
    assert_eq!(mine.pool.ledger.book().accrued_to(), mine.pool.journal.view().newest().0);
    assert_eq!(mine.status(&incomes[2]), Some(IncomeStatus::Immature));
    mine.pool.replay().unwrap();
}

#[test]
fn an_income_matures_when_none_before_it_can_be_lost() {
    let mut mine = Mine::start();
    mine.shares(5);
    let block = mine.solve(0);
    let first = mine.reported(&block);
    mine.shares(5);
    let block = mine.solve(1);
    let second = mine.reported(&block);
    let early = Income { time: UnixMillis(mine.pool.clock), ..second.clone() };
    assert!(matches!(mine.pool.books.mature(&early), Err(BooksError::Waits)));
    assert_eq!(mine.status(&second), Some(IncomeStatus::Immature));
    mine.pool.mature(&first);
    assert_eq!(mine.pool.books.catch_up().unwrap(), 0);
    assert_eq!(mine.status(&second), Some(IncomeStatus::Matured));
    mine.pool.replay().unwrap();
}
