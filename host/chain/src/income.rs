//! Blocks and incomes as the host has them recorded: an adapter's reports are held against this book.
//!
//! An income is bounded by its job's recorded value: all incomes of one block together earn at most what the job said
//! when miners worked on it. A key counts once. Maturity is the host's own count; the adapter's claim is noted and
//! takes effect when the count agrees. A claim that is ahead of the count is no lie yet: the node told the adapter of blocks
//! whose jobs are still being made. Jobs of later blocks show which it was.

use crate::job::ID;
use crate::sink::CheckedIncome;
use crate::trust::{Maturity, Trust};
use millpond_contracts::chain::{Fate, Income, IncomeAt, Watched};
use millpond_types::Amount;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Blocks that a settled one stays in the book: as long as any chain may yet be reorganised, and some adapter may say
/// once more what it said before. Three hours of a chain with ten blocks a second.
const SETTLED: u64 = 100_000;

/// So many times the chain is seen further on, by the jobs that the adapter itself publishes, before maturity that the host
/// has still not counted is told as claimed too early. A job that was under way may be of an older block than the claim, the
/// one behind it may not.
const LOOKS: u8 = 2;

/// A block of ours with what its job was worth.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownBlock {
    /// The block as the adapter follows it.
    pub watched: Watched,
    /// The job's recorded reward.
    pub reward: Amount,
    /// Whether its fate is final: then it is not followed any more.
    pub closed: bool,
}

/// An income that was reported before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownIncome {
    /// Its key.
    pub key: Vec<u8>,
    /// Its amount.
    pub amount: Amount,
    /// Whose window it pays.
    pub at: IncomeAt,
    /// Whether the sink has heard of it as mature.
    pub mature: bool,
    /// Whether it was taken back.
    pub lost: bool,
}

/// Why an income is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IncomeRefused {
    /// Not a block of ours.
    #[error("it names block {0}, which no miner of this pool found")]
    ForeignBlock(String),
    /// More than the job's recorded value.
    #[error("incomes of {claimed} for block {block}, whose job was recorded at {reward}")]
    TooMuch {
        /// The block.
        block: String,
        /// What the adapter's incomes of it come to.
        claimed: Amount,
        /// What the job was recorded at.
        reward: Amount,
    },
    /// A key that was used for something else.
    #[error("key {0} was reported before with another amount or for another block")]
    Changed(String),
    /// A key out of bounds.
    #[error("a key of {0} bytes, 1 to {ID}")]
    Key(usize),
    /// Income by coordinate where no bound is configured.
    #[error("an income by coordinate of {0}: the pool's configuration has no reward cap to bound it by")]
    Unbounded(Amount),
}

#[derive(Clone, Debug)]
struct Entry {
    income: KnownIncome,
    claimed_mature: bool,
    /// How often the chain is yet to be seen further on before the claim is held against the count.
    looks: Option<u8>,
}

/// The book.
#[derive(Clone, Debug, Default)]
pub(crate) struct Book {
    blocks: BTreeMap<Vec<u8>, KnownBlock>,
    incomes: BTreeMap<Vec<u8>, Entry>,
    /// Height or score of the next block, as jobs that passed had it.
    coord: u64,
}

impl Book {
    pub(crate) fn new(blocks: Vec<KnownBlock>, incomes: Vec<KnownIncome>) -> Self {
        let blocks = blocks.into_iter().map(|block| (block.watched.block.clone(), block)).collect();
        let entry = |income: KnownIncome| {
            let claimed_mature = income.mature;
            (income.key.clone(), Entry { income, claimed_mature, looks: None })
        };
        Self { blocks, incomes: incomes.into_iter().map(entry).collect(), coord: 0 }
    }

    /// A block is being submitted.
    pub(crate) fn block(&mut self, watched: Watched, reward: Amount) {
        let id = watched.block.clone();
        self.blocks.entry(id).or_insert(KnownBlock { watched, reward, closed: false });
    }

    /// Blocks to follow.
    pub(crate) fn watching(&self) -> Vec<Watched> {
        self.blocks.values().filter(|block| !block.closed).map(|block| block.watched.clone()).collect()
    }

    /// A job passed the trust rules: the chain is at least this far.
    pub(crate) fn saw_coord(&mut self, coord: u64) {
        if coord > self.coord {
            self.coord = coord;
            let looks = self.incomes.values_mut().filter_map(|entry| entry.looks.as_mut());
            looks.for_each(|looks| *looks = looks.saturating_sub(1));
            self.forget();
        }
    }

    /// Drops blocks that are final, with all of their incomes mature or lost, and long past: what is reported of them
    /// afterwards is of a foreign block. Incomes by coordinate stay, since nothing but their keys says that they counted.
    fn forget(&mut self) {
        let past = self.coord.saturating_sub(SETTLED);
        let is_past = |known: &KnownBlock| known.closed && known.watched.coord < past;
        if !self.blocks.values().any(is_past) {
            return;
        }
        let waits = |entry: &Entry| !entry.income.mature && !entry.income.lost;
        let waiting: BTreeSet<Vec<u8>> = self
            .incomes
            .values()
            .filter(|entry| waits(entry))
            .filter_map(|entry| {
                if let IncomeAt::Block(block) = &entry.income.at { Some(block.clone()) } else { None }
            })
            .collect();
        self.blocks.retain(|id, known| !is_past(known) || waiting.contains(id));
        let blocks = &self.blocks;
        self.incomes.retain(|_, entry| match &entry.income.at {
            IncomeAt::Block(block) => blocks.contains_key(block),
            IncomeAt::Coord(_) => true,
        });
    }

    /// Checks a fate: it is of a block of ours.
    pub(crate) fn check_fate(&self, block: &[u8]) -> Result<(), IncomeRefused> {
        match self.blocks.contains_key(block) {
            true => Ok(()),
            false => Err(IncomeRefused::ForeignBlock(shown(block))),
        }
    }

    pub(crate) fn fate(&mut self, block: &[u8], fate: &Fate) {
        // A block is followed until its incomes are settled too.
        if let Some(known) = self.blocks.get_mut(block) {
            known.closed = *fate == Fate::Final;
        }
    }

    /// Checks the incomes of one event together, before anything is applied.
    pub(crate) fn check(&self, incomes: &[&Income], trust: &Trust) -> Result<(), IncomeRefused> {
        let mut fresh: BTreeMap<&[u8], &Income> = BTreeMap::new();
        for income in incomes {
            if income.key.is_empty() || income.key.len() > ID {
                return Err(IncomeRefused::Key(income.key.len()));
            }
            let before = self.incomes.get(&income.key).map(|entry| (&entry.income.at, entry.income.amount));
            let before = before.or_else(|| fresh.get(income.key.as_slice()).map(|i| (&i.at, i.amount)));
            if before.is_some_and(|(at, amount)| *at != income.at || amount != income.amount) {
                return Err(IncomeRefused::Changed(shown(&income.key)));
            }
            fresh.insert(&income.key, income);
        }
        for income in fresh.values() {
            match &income.at {
                IncomeAt::Coord(_) => match trust.reward_cap {
                    Some(cap) if income.amount <= cap => {}
                    _ => return Err(IncomeRefused::Unbounded(income.amount)),
                },
                IncomeAt::Block(block) => {
                    let known = self.blocks.get(block);
                    let known = known.ok_or_else(|| IncomeRefused::ForeignBlock(shown(block)))?;
                    let new =
                        fresh.values().filter(|i| i.at == income.at).map(|i| (i.key.as_slice(), i.amount));
                    let old = self.incomes.values().filter(|e| e.income.at == income.at && !e.income.lost);
                    let old = old.map(|e| (e.income.key.as_slice(), e.income.amount));
                    let all: BTreeMap<&[u8], Amount> = old.chain(new).collect();
                    let claimed = Amount::sum(all.into_values()).unwrap_or(Amount(u64::MAX));
                    if claimed > known.reward {
                        return Err(IncomeRefused::TooMuch {
                            block: shown(block),
                            claimed,
                            reward: known.reward,
                        });
                    }
                }
            }
        }
        Ok(())
    }

    /// Notes a checked income; what the sink is to hear of it.
    pub(crate) fn income(&mut self, income: Income, trust: &Trust) -> Vec<CheckedIncome> {
        let mut told = Vec::new();
        let known = self.incomes.entry(income.key.clone()).or_insert_with(|| {
            told.push(CheckedIncome {
                key: income.key.clone(),
                amount: income.amount,
                at: income.at.clone(),
                mature: false,
            });
            let (key, amount, at) = (income.key.clone(), income.amount, income.at.clone());
            Entry {
                income: KnownIncome { key, amount, at, mature: false, lost: false },
                claimed_mature: false,
                looks: None,
            }
        });
        if known.income.lost {
            // It came back after a reorganisation.
            known.income.lost = false;
            let KnownIncome { key, amount, at, .. } = known.income.clone();
            told.push(CheckedIncome { key, amount, at, mature: false });
        }
        if income.mature && !known.claimed_mature {
            known.claimed_mature = true;
            known.looks = Some(LOOKS);
        }
        told.extend(self.matured(trust));
        told
    }

    /// Incomes that the adapter called mature and that the host has still not counted as such, though it had the time to:
    /// what the operator is told of each, once.
    pub(crate) fn early(&mut self, trust: &Trust) -> Vec<String> {
        let (blocks, coord) = (&self.blocks, self.coord);
        let due = self.incomes.values_mut().filter(|entry| entry.looks == Some(0));
        due.filter_map(|entry| {
            entry.looks = None;
            // Whether the node's count or the next job came first says nothing, nor what the nodes are still asked for: who
            // asks them tells what they say.
            let (_, depth) = depth(blocks, coord, &entry.income.at);
            let far = depth.saturating_add(1) < u64::from(trust.confirmations);
            (far && !entry.income.mature && !entry.income.lost).then(|| {
                format!(
                    "the adapter calls income {} mature, the host has not counted {} confirmations yet: it waits",
                    shown(&entry.income.key),
                    trust.confirmations
                )
            })
        })
        .collect()
    }

    /// Incomes that are mature by the adapter's word and by the host's own count, since the last time.
    pub(crate) fn matured(&mut self, trust: &Trust) -> Vec<CheckedIncome> {
        let mut told = Vec::new();
        for entry in self.incomes.values_mut() {
            let income = &mut entry.income;
            if !entry.claimed_mature || income.mature || income.lost {
                continue;
            }
            let (coord, depth) = depth(&self.blocks, self.coord, &income.at);
            let block = match &income.at {
                IncomeAt::Block(block) => block.as_slice(),
                IncomeAt::Coord(_) => &[],
            };
            let by_depth = depth >= u64::from(trust.confirmations);
            let natively = |maturity: &dyn Maturity| {
                maturity
                    .confirmations(&income.key, block, coord)
                    .is_some_and(|count| count >= trust.confirmations)
            };
            if by_depth && trust.maturity.as_deref().is_none_or(natively) {
                income.mature = true;
                told.push(CheckedIncome {
                    key: income.key.clone(),
                    amount: income.amount,
                    at: income.at.clone(),
                    mature: true,
                });
            }
        }
        told
    }

    /// An income is taken back; whether the sink is to hear of it. A mature one is not: that is an alarm.
    pub(crate) fn lost(&mut self, key: &[u8]) -> Result<bool, String> {
        let Some(entry) = self.incomes.get_mut(key) else { return Ok(false) };
        if entry.income.mature {
            return Err(format!(
                "the adapter takes back income {}, which is mature by the host's own count: nothing was changed",
                shown(key)
            ));
        }
        let first = !entry.income.lost;
        entry.income.lost = true;
        entry.claimed_mature = false;
        entry.looks = None;
        Ok(first)
    }

    /// What to store, so that a restart knows it.
    pub(crate) fn known(&self) -> (Vec<KnownBlock>, Vec<KnownIncome>) {
        let incomes = self.incomes.values().map(|entry| entry.income.clone()).collect();
        (self.blocks.values().cloned().collect(), incomes)
    }
}

fn shown(bytes: &[u8]) -> String {
    let mut text = hex::encode(bytes.get(..64).unwrap_or(bytes));
    if bytes.len() > 64 {
        text.push('…');
    }
    text
}

/// Where an income's block stands, and how many blocks are on it by the host's own count, itself included: the next block's
/// coordinate less its own.
fn depth(blocks: &BTreeMap<Vec<u8>, KnownBlock>, next: u64, at: &IncomeAt) -> (u64, u64) {
    let coord = match at {
        IncomeAt::Block(block) => blocks.get(block).map_or(u64::MAX, |known| known.watched.coord),
        IncomeAt::Coord(coord) => *coord,
    };
    (coord, next.saturating_sub(coord))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trust() -> Trust {
        Trust { confirmations: 10, reward_cap: Some(Amount(5_000)), ..Trust::default() }
    }

    fn book() -> Book {
        let mut book = Book::default();
        let watched = Watched { block: vec![1; 32], coord: 100, since_ms: 0, saved: vec![] };
        book.block(watched, Amount(5_000));
        book
    }

    fn income(key: u8, amount: u64, mature: bool) -> Income {
        Income { key: vec![key], amount: Amount(amount), at: IncomeAt::Block(vec![1; 32]), mature }
    }

    #[test]
    fn a_foreign_block_earns_nothing() {
        let foreign = Income { at: IncomeAt::Block(vec![9; 32]), ..income(1, 1, false) };
        let error = book().check(&[&foreign], &trust()).unwrap_err();
        assert!(matches!(error, IncomeRefused::ForeignBlock(_)));
        assert!(book().check_fate(&[9; 32]).is_err());
    }

    #[test]
    fn a_reward_times_ten_is_refused() {
        let error = book().check(&[&income(1, 50_000, false)], &trust()).unwrap_err();
        assert!(error.to_string().starts_with("incomes of 50000 for block 0101"), "{error}");
    }

    #[test]
    fn one_block_that_matures_under_a_second_key_is_refused() {
        let mut book = book();
        book.check(&[&income(1, 5_000, false)], &trust()).unwrap();
        book.income(income(1, 5_000, false), &trust());
        assert!(matches!(
            book.check(&[&income(2, 5_000, true)], &trust()),
            Err(IncomeRefused::TooMuch { .. })
        ));
        let both = [&income(1, 5_000, false), &income(2, 1, false)];
        assert!(matches!(self::book().check(&both, &trust()), Err(IncomeRefused::TooMuch { .. })));
    }

    #[test]
    fn a_key_counts_once_and_does_not_change() {
        let mut book = book();
        assert_eq!(book.income(income(1, 5_000, false), &trust()).len(), 1);
        assert_eq!(book.income(income(1, 5_000, false), &trust()).len(), 0);
        assert!(matches!(book.check(&[&income(1, 4_000, false)], &trust()), Err(IncomeRefused::Changed(_))));
    }

    #[test]
    fn early_maturity_waits_for_the_hosts_own_count() {
        let mut book = book();
        book.income(income(1, 5_000, false), &trust());
        book.saw_coord(105);
        assert_eq!(book.income(income(1, 5_000, true), &trust()), []);
        let mut told = Vec::new();
        for coord in [105, 106, 106, 107, 108] {
            book.saw_coord(coord);
            assert_eq!(book.matured(&trust()), []);
            told.push(book.early(&trust()).len());
        }
        assert_eq!(told, [0, 0, 0, 1, 0], "two blocks later, and once");
        book.saw_coord(109);
        assert_eq!(book.matured(&trust()), []);
        book.saw_coord(110);
        let told = book.matured(&trust());
        assert_eq!(told.len(), 1);
        assert!(told[0].mature);
        assert_eq!(book.matured(&trust()), [], "once only");
        assert_eq!(book.income(income(1, 5_000, true), &trust()), []);
    }

    #[test]
    fn maturity_that_comes_before_its_last_job_or_while_a_node_is_asked_is_no_lie() {
        struct Asking;
        impl Maturity for Asking {
            fn confirmations(&self, _: &[u8], _: &[u8], _: u64) -> Option<u32> {
                None
            }
        }
        // How far the jobs are when the claim comes, and which come behind it: the node was at 110 each time.
        for (at, later) in
            [(0, vec![110, 111]), (109, vec![110, 111]), (106, vec![107, 110]), (104, vec![108, 109])]
        {
            let mut book = book();
            book.saw_coord(at);
            assert_eq!(book.income(income(1, 5_000, true), &trust()).len(), 1, "immature");
            for coord in later {
                book.saw_coord(coord);
                book.matured(&trust());
                assert_eq!(book.early(&trust()), Vec::<String>::new(), "{at} {coord}");
            }
        }
        let asking = Trust { maturity: Some(std::sync::Arc::new(Asking)), ..trust() };
        let mut book = self::book();
        book.saw_coord(110);
        assert_eq!(book.income(income(1, 5_000, true), &asking).len(), 1, "immature");
        book.saw_coord(111);
        book.saw_coord(112);
        assert_eq!((book.matured(&asking), book.early(&asking)), (vec![], vec![]), "the nodes are asked");
    }

    #[test]
    fn a_settled_block_is_forgotten_and_earns_nothing_again() {
        let mut book = book();
        let waits = Watched { block: vec![2; 32], coord: 100, since_ms: 0, saved: vec![] };
        book.block(waits, Amount(5_000));
        let of = |block: u8, mature| Income {
            key: vec![block],
            at: IncomeAt::Block(vec![block; 32]),
            ..income(block, 5_000, mature)
        };
        let by_coord = Income { at: IncomeAt::Coord(7), ..income(3, 5_000, false) };
        for income in [of(1, true), of(2, false), by_coord.clone()] {
            book.income(income, &trust());
        }
        for block in [1, 2] {
            book.fate(&[block; 32], &Fate::Final);
        }
        book.saw_coord(110);
        assert_eq!(book.matured(&trust()).len(), 1);
        book.saw_coord(100 + SETTLED);
        assert_eq!((book.blocks.len(), book.incomes.len()), (2, 3), "not yet");
        book.saw_coord(101 + SETTLED);
        let (blocks, incomes) = book.known();
        assert_eq!(blocks.iter().map(|known| known.watched.block[0]).collect::<Vec<_>>(), [2]);
        assert_eq!(incomes.iter().map(|income| income.key[0]).collect::<Vec<_>>(), [2, 3]);
        let again = book.check(&[&of(1, true)], &trust());
        assert!(matches!(again, Err(IncomeRefused::ForeignBlock(_))), "{again:?}");
        assert_eq!(book.income(by_coord, &trust()), [], "a key counts once");
        book.income(of(2, true), &trust());
        book.saw_coord(102 + SETTLED);
        assert!(book.blocks.is_empty());
    }

    struct Wallet(u32);

    impl Maturity for Wallet {
        fn confirmations(&self, _: &[u8], _: &[u8], _: u64) -> Option<u32> {
            Some(self.0)
        }
    }

    #[test]
    fn the_wallets_count_decides_where_there_is_one() {
        let mut book = book();
        let asked = |count| Trust { maturity: Some(std::sync::Arc::new(Wallet(count))), ..trust() };
        book.saw_coord(500);
        assert_eq!(book.income(income(1, 5_000, true), &asked(9)).len(), 1, "immature only");
        assert_eq!(book.matured(&asked(10)).len(), 1);
    }

    #[test]
    fn a_mature_income_cannot_be_taken_back_and_an_immature_one_can_come_again() {
        let mut book = book();
        book.income(income(1, 5_000, false), &trust());
        assert_eq!(book.lost(&[1]), Ok(true));
        assert_eq!(book.lost(&[1]), Ok(false));
        assert_eq!(book.income(income(1, 5_000, false), &trust()).len(), 1);
        book.saw_coord(200);
        assert_eq!(book.income(income(1, 5_000, true), &trust()).len(), 1);
        assert!(book.lost(&[1]).is_err());
    }

    #[test]
    fn an_income_by_coordinate_needs_a_cap() {
        let by_coord = Income { at: IncomeAt::Coord(7), ..income(3, 5_000, false) };
        assert!(book().check(&[&by_coord], &trust()).is_ok());
        let more = Income { amount: Amount(5_001), ..by_coord.clone() };
        assert!(book().check(&[&more], &trust()).is_err());
        let no_cap = Trust { reward_cap: None, ..trust() };
        assert_eq!(book().check(&[&by_coord], &no_cap), Err(IncomeRefused::Unbounded(Amount(5_000))));
    }
}
