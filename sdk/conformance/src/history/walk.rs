//! The pool's way through a history: shares are logged, credited up to the share that found a block, the block's
//! income is divided, and every entry goes into the ledger's book.

use super::Shares;
use super::once::{self, Took};
use super::run::{Cut, How};
use crate::facts;
use crate::log::{LoggedShare, ShareLog};
use millpond_contracts::payout as contract;
use millpond_ledger::{Book, Entry, IncomeAllocated, IncomeKey, LedgerError, Owner, Reversal};
use millpond_payout::{
    AccruedShare, BoundFee, BoundScheme, IncomeFacts, NoAttributes, SchemeState, WindowSums, accrue, allocate,
};
use millpond_types::Amount;

/// Where an income stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    Open,
    Final,
    Lost(Reversal),
}

/// An income that was divided.
#[derive(Clone, Debug)]
pub(crate) struct Divided {
    pub(crate) facts: IncomeFacts,
    pub(crate) windows: Vec<WindowSums>,
    pub(crate) entry: IncomeAllocated,
    pub(crate) standing: Standing,
    /// What the operator made good when the income was lost, and the reserve had no more when it came back.
    pub(crate) not_returned: Amount,
    /// What it was divided on.
    before: SchemeState,
    /// What it has paid of shares, of a scheme that pays them once.
    took: Took,
}

/// The newest credit of shares, to be asked for again.
struct Credited {
    shares: Vec<AccruedShare>,
    reserve: Amount,
    before: SchemeState,
    entry: Entry,
}

/// A pool between two steps.
pub(crate) struct Walk<'a> {
    bound: &'a BoundScheme,
    /// Who receives the scheme's part for the operator.
    operator: Option<BoundFee>,
    how: &'a How,
    pub(crate) log: ShareLog,
    pub(crate) book: Book,
    pub(crate) state: SchemeState,
    pub(crate) entries: Vec<Entry>,
    pub(crate) incomes: Vec<Divided>,
    credited: Option<Credited>,
    /// The place of the share that ended the newest round.
    ended: Option<usize>,
    orphans: u64,
    /// The next share's.
    pub(crate) network: u128,
    pub(crate) reward: u64,
    pub(crate) time_ms: u64,
    pub(crate) coord: u64,
}

/// Heights and times of a pool of 2023; only their order matters to honest schemes.
const COORD: u64 = 800_000;
const TIME_MS: u64 = 1_700_000_000_000;

impl<'a> Walk<'a> {
    /// A pool without shares.
    pub(crate) fn new(bound: &'a BoundScheme, how: &'a How, reserve: u64) -> Result<Self, String> {
        let mut walk = Self {
            operator: facts::operator(bound)?,
            bound,
            how,
            log: ShareLog::default(),
            book: Book::default(),
            state: SchemeState::new(bound.terms()),
            entries: Vec::new(),
            incomes: Vec::new(),
            credited: None,
            ended: None,
            orphans: 0,
            network: 1,
            reward: 0,
            time_ms: TIME_MS,
            coord: COORD,
        };
        if reserve > 0 {
            walk.book_in(facts::deposit(reserve))?;
        }
        Ok(walk)
    }

    /// An entry into the book, and its change into the state: what a pool does with every entry.
    fn book_in(&mut self, entry: Entry) -> Result<(), String> {
        follow(&mut self.state, &entry)?;
        into_book(&mut self.book, self.entries.len(), entry.clone())?;
        self.entries.push(entry);
        Ok(())
    }

    /// Logs equal shares.
    pub(crate) fn shares(&mut self, run: &Shares, pace: u64) {
        for _ in 0..run.times {
            let work = u64::try_from(self.network).map_or(run.work, |most| run.work.min(most)).max(1);
            self.log.0.push(LoggedShare {
                miner: run.miner,
                work,
                network: self.network,
                time_ms: self.time_ms,
                coord: self.coord,
                reward: self.reward,
                block: false,
            });
            self.time_ms = self.time_ms.saturating_add(pace);
        }
    }

    /// Credits the shares up to a place that are not credited yet, as far as the reserve reaches.
    pub(crate) fn credit(&mut self, end: usize) -> Result<(), String> {
        let most = usize::try_from(self.bound.terms().batch).unwrap_or(usize::MAX);
        if most == 0 {
            return Ok(());
        }
        let mut next = usize::try_from(self.book.accrued_to()).unwrap_or(usize::MAX);
        while next < end {
            let size = self.how.cut.size(next, most).clamp(1, most).min(end.saturating_sub(next));
            let upto = next.saturating_add(size);
            let run = self.log.0.get(next..upto).unwrap_or(&[]);
            let shares: Vec<AccruedShare> =
                (next as u64 + 1..).zip(run).map(|(seq, share)| facts::accrued(seq, share)).collect();
            let reserve = self.book.payable(&Owner::Reserve);
            let done =
                accrue(self.bound, self.operator.as_slice(), &shares, reserve, &self.state, &NoAttributes)
                    .map_err(|error| format!("{error}; shares {} to {upto}", next + 1))?;
            let Some(entry) = done.entry else { break };
            let before = self.state.clone();
            self.book_in(entry.clone())?;
            let covered = shares.get(..done.shares).unwrap_or(&shares).to_vec();
            self.credited = Some(Credited { shares: covered, reserve, before, entry });
            if done.shares < size {
                break;
            }
            next = upto;
        }
        Ok(())
    }

    /// The newest share found a block: its round is over, and `pays` is divided if the chain has it.
    pub(crate) fn block(&mut self, pays: Option<u64>) -> Result<(), String> {
        let Some(end) = self.log.0.len().checked_sub(1) else { return Ok(()) };
        if self.ended == Some(end) {
            // A share finds one block.
            return Ok(());
        }
        let before = self.ended.replace(end);
        self.coord = self.coord.saturating_add(1);
        match pays {
            Some(pays) => self.income_at(end, before, pays),
            None => {
                self.orphans = self.orphans.saturating_add(1);
                Ok(())
            }
        }
    }

    /// Divides an income whose windows end at a share.
    pub(crate) fn income_at(&mut self, end: usize, before: Option<usize>, pays: u64) -> Result<(), String> {
        self.credit(end.saturating_add(1))?;
        let windows = self.log.windows(self.bound.terms(), end, before);
        let number = self.next_number();
        let now = (self.time_ms, self.coord);
        let facts = facts::income_facts(number, pays, end as u64 + 1, self.log.0.get(end), now);
        let facts = facts.ok_or("an income without a key")?;
        self.divide(facts, windows.into_iter().map(facts::window_sums).collect())
    }

    /// Divides an income before whose end there is no share.
    pub(crate) fn empty(&mut self, pays: u64) -> Result<(), String> {
        let number = self.next_number();
        let facts = facts::income_facts(number, pays, 0, None, (self.time_ms, self.coord));
        let facts = facts.ok_or("an income without a key")?;
        self.divide(facts, vec![WindowSums::default(); self.bound.terms().windows.len()])
    }

    /// As the book counts; an orphan had a number for a moment.
    fn next_number(&self) -> u64 {
        self.book.income_count().saturating_add(self.orphans).saturating_add(1)
    }

    fn divide(&mut self, facts: IncomeFacts, windows: Vec<WindowSums>) -> Result<(), String> {
        let mut facts = IncomeFacts { reserve: self.book.payable(&Owner::Reserve), ..facts };
        let (windows, took) = self.once(&mut facts, windows)?;
        let (entry, before) = self.decide(&facts, &windows)?;
        self.book_in(Entry::IncomeAllocated(entry.clone()))?;
        match self.incomes.iter_mut().find(|known| known.facts.key == facts.key) {
            Some(known) => {
                if known.standing == Standing::Lost(Reversal::KeepReserve) {
                    let held = facts.reserve.checked_sub(entry.reserve_in).unwrap_or_default();
                    let lacking = known.entry.parts.of(&Owner::Reserve).checked_sub(held);
                    let sum = known.not_returned.checked_add(lacking.unwrap_or_default());
                    known.not_returned = sum.ok_or("what was made good does not fit 64 bits")?;
                }
                (known.entry, known.standing, known.before) = (entry, Standing::Open, before);
                (known.facts, known.windows, known.took) = (facts, windows, took);
            }
            None => {
                let (standing, not_returned) = (Standing::Open, Amount::ZERO);
                self.incomes.push(Divided { facts, windows, entry, standing, not_returned, before, took });
            }
        }
        Ok(())
    }

    /// The windows of a scheme that pays shares once, as they are now; those of another as they were given.
    fn once(
        &self,
        facts: &mut IncomeFacts,
        windows: Vec<WindowSums>,
    ) -> Result<(Vec<WindowSums>, Took), String> {
        let Some(window) = self.bound.pays_once() else { return Ok((windows, Took::default())) };
        let stands = |income: &&Divided| {
            // Those that wait to be divided again, and this one, have paid nothing.
            let (key, lost) = (&income.facts.key, matches!(income.standing, Standing::Lost(_)));
            !lost && *key != facts.key && !self.state.again().contains(key)
        };
        let standing: Vec<&Took> = self.incomes.iter().filter(stands).map(|income| &income.took).collect();
        let gross = facts.amount.0.saturating_add(self.carry(facts).0);
        let income = (facts.end.0, gross);
        let pays = once::pays(&self.log, window, income, &standing, self.state.unpaid())?;
        facts.unpaid = Some(pays.after);
        let mut windows = windows;
        for (declared, sums) in self.bound.terms().windows.iter().zip(&mut windows) {
            if declared == window {
                sums.clone_from(&pays.sums);
            }
        }
        Ok((windows, pays.took))
    }

    /// What of the carry account goes with an income.
    fn carry(&self, facts: &IncomeFacts) -> Amount {
        let carry = if self.bound.terms().reserve || !self.how.carry {
            Amount::ZERO
        } else {
            self.book.payable(&Owner::Carry)
        };
        if facts.amount.checked_add(carry).is_some() { carry } else { Amount::ZERO }
    }

    fn decide(
        &self,
        facts: &IncomeFacts,
        windows: &[WindowSums],
    ) -> Result<(IncomeAllocated, SchemeState), String> {
        let carry = self.carry(facts);
        let decision =
            allocate(self.bound, self.operator.as_slice(), facts, carry, windows, &self.state, &NoAttributes)
                .map_err(|error| format!("{error}; {}", shown(facts, windows)))?;
        Ok((decision.entry, self.state.clone()))
    }

    fn standing(&self, wanted: impl Fn(Standing) -> bool) -> Vec<usize> {
        let all = self.incomes.iter().enumerate();
        all.filter(|(_, income)| wanted(income.standing)).map(|(at, _)| at).collect()
    }

    /// The chain takes back one of the open incomes; what stands on it is divided again.
    pub(crate) fn lost(&mut self, at: u32) -> Result<(), String> {
        let open = self.standing(|standing| standing == Standing::Open);
        let Some(place) = nth(&open, at) else { return Ok(()) };
        let how = match self.bound.terms().reversal {
            contract::Reversal::Drop => Reversal::Drop,
            contract::Reversal::Restore => Reversal::Restore,
            contract::Reversal::Keep => Reversal::Keep,
            contract::Reversal::KeepReserve => Reversal::KeepReserve,
        };
        let Some(income) = self.incomes.get_mut(place) else { return Ok(()) };
        income.standing = Standing::Lost(how);
        let key = income.facts.key.clone();
        self.book_in(facts::reversed(key, how))?;
        while let Some(key) = self.state.again().first().cloned() {
            let Some(income) = self.standing_open(&key) else {
                self.state.forget(&key);
                continue;
            };
            self.book_in(facts::reversed(key, Reversal::Restore))?;
            self.give_again(income.0.end.0)?;
            self.divide(income.0, income.1)?;
        }
        self.give_again(self.book.accrued_to())
    }

    /// Gives shares again, up to this one, whose change of the state was undone with a lost income.
    fn give_again(&mut self, until: u64) -> Result<(), String> {
        let most = u64::from(self.bound.terms().batch);
        while let Some(given) = self.state.given().filter(|given| given.0 < until) {
            let last = until.min(given.0.saturating_add(most));
            let places =
                usize::try_from(given.0).unwrap_or(usize::MAX)..usize::try_from(last).unwrap_or(usize::MAX);
            let run = self.log.0.get(places).unwrap_or(&[]);
            let shares: Vec<AccruedShare> = (given.0.saturating_add(1)..)
                .zip(run)
                .map(|(seq, share)| facts::accrued(seq, share))
                .collect();
            let done = accrue(self.bound, &[], &shares, Amount::ZERO, &self.state, &NoAttributes)
                .map_err(|error| format!("{error}; shares {} to {last} again", given.0.saturating_add(1)))?;
            let Some(Entry::Accrued { first, last, state, .. }) = done.entry else { break };
            self.book_in(Entry::Reaccrued { first, last, state })?;
        }
        Ok(())
    }

    fn standing_open(&self, key: &IncomeKey) -> Option<(IncomeFacts, Vec<WindowSums>)> {
        let known = self.incomes.iter().find(|income| income.facts.key == *key)?;
        (known.standing == Standing::Open).then(|| (known.facts.clone(), known.windows.clone()))
    }

    /// A lost income is on the chain after all.
    pub(crate) fn again(&mut self, at: u32) -> Result<(), String> {
        let lost = self.standing(|standing| matches!(standing, Standing::Lost(_)));
        let Some(income) = nth(&lost, at).and_then(|place| self.incomes.get_mut(place)) else {
            return Ok(());
        };
        if income.standing == Standing::Lost(Reversal::Keep) {
            income.standing = Standing::Open;
            let key = income.facts.key.clone();
            return self.book_in(Entry::Reinstated { key });
        }
        let (facts, windows) = (income.facts.clone(), income.windows.clone());
        self.divide(facts, windows)
    }

    /// The oldest open incomes are final.
    pub(crate) fn mature(&mut self, count: u32) -> Result<(), String> {
        let open = self.standing(|standing| standing == Standing::Open);
        for place in open.into_iter().take(usize::try_from(count).unwrap_or(usize::MAX)) {
            let Some(key) = self.incomes.get(place).map(|income| income.facts.key.clone()) else { continue };
            // A pool waits with it, as long as one that was divided before may be lost.
            let is_open = |key: &IncomeKey| self.standing_open(key).is_some();
            if self.bound.pays_once().is_some() && self.state.before(&key).any(is_open) {
                continue;
            }
            if let Some(income) = self.incomes.get_mut(place) {
                income.standing = Standing::Final;
            }
            self.book_in(Entry::Matured { key })?;
        }
        Ok(())
    }

    /// State and book are written down, read back, and built again from the entries: all of it is the same.
    pub(crate) fn restart(&mut self) -> Result<(), String> {
        let bytes = serde_json::to_vec(&self.state).map_err(|error| error.to_string())?;
        let read: SchemeState = serde_json::from_slice(&bytes).map_err(|error| error.to_string())?;
        let mut built = SchemeState::new(self.bound.terms());
        let mut book = Book::default();
        for (at, entry) in self.entries.iter().enumerate() {
            follow(&mut built, entry)?;
            into_book(&mut book, at, entry.clone())?;
        }
        if read != self.state || built != self.state {
            return Err("the state read back, or built from the entries, is another".to_owned());
        }
        if !book.balances().eq(self.book.balances()) {
            return Err("the book built from the entries has other balances".to_owned());
        }
        (self.state, self.book) = (built, book);
        Ok(())
    }

    /// The newest income and the newest credit are reported again: they are decided as before, and the book knows them.
    pub(crate) fn duplicate(&mut self) -> Result<(), String> {
        if let Some(newest) = self.incomes.last().filter(|one| !matches!(one.standing, Standing::Lost(_))) {
            let Divided { facts, windows, entry, before, .. } = newest;
            let carry = entry.carry_in;
            let again =
                allocate(self.bound, self.operator.as_slice(), facts, carry, windows, before, &NoAttributes)
                    .map_err(|error| format!("{error}; {}", shown(facts, windows)))?;
            let what = format!("income {}, divided once more,", facts.number);
            self.known(Entry::IncomeAllocated(again.entry), &Entry::IncomeAllocated(entry.clone()), &what)?;
        }
        if let Some(newest) = &self.credited {
            let Credited { shares, reserve, before, entry } = newest;
            let again = accrue(self.bound, self.operator.as_slice(), shares, *reserve, before, &NoAttributes)
                .map_err(|error| error.to_string())?;
            let again = again.entry.ok_or("shares that were credited are not credited when asked again")?;
            self.known(again, entry, &format!("{} shares, credited once more,", shares.len()))?;
        }
        Ok(())
    }

    fn known(&self, again: Entry, first: &Entry, what: &str) -> Result<(), String> {
        if again != *first {
            return Err(format!("{what} give another entry"));
        }
        let record = facts::record(self.entries.len() as u64 + 1, again);
        match self.book.clone().replay(&record) {
            Err(LedgerError::Broken { .. }) => Ok(()),
            Err(error) => Err(format!("{what} are refused: {error}")),
            Ok(_) => Err(format!("{what} count twice")),
        }
    }
}

/// What a pool does to its state when an entry is durable.
fn follow(state: &mut SchemeState, entry: &Entry) -> Result<(), String> {
    match entry {
        Entry::IncomeAllocated(income) => state.apply(&income.state, Some(&income.key)),
        Entry::Accrued { state: change, .. } | Entry::Reaccrued { state: change, .. } => {
            state.apply(change, None)
        }
        Entry::Matured { key } => {
            state.settle(key);
            Ok(())
        }
        Entry::Reversed { key, how: Reversal::Restore, .. } => state.restore_before(key),
        _ => Ok(()),
    }
    .map_err(|error| error.to_string())
}

fn into_book(book: &mut Book, at: usize, entry: Entry) -> Result<(), String> {
    let what = entry.kind();
    let record = facts::record(at as u64 + 1, entry);
    book.replay(&record).map(drop).map_err(|error| format!("the book refuses the entry {what}: {error}"))
}

fn nth(places: &[usize], at: u32) -> Option<usize> {
    let at = usize::try_from(at).unwrap_or(usize::MAX).checked_rem(places.len())?;
    places.get(at).copied()
}

/// What was asked, short enough to be read.
fn shown(facts: &IncomeFacts, windows: &[WindowSums]) -> String {
    let mut text = format!("income {} of {}", facts.number, facts.amount);
    for (at, window) in windows.iter().enumerate() {
        let rows: Vec<String> =
            window.0.iter().take(8).map(|(miner, sum)| format!("{}: {sum}", miner.0)).collect();
        text.push_str(&format!(", window {at} {{{}}}", rows.join(", ")));
    }
    text
}

impl Cut {
    /// How many shares the batch that begins at a place takes, before the limits.
    fn size(&self, next: usize, most: usize) -> usize {
        match self {
            Self::Whole => most,
            Self::Ends(ends) => {
                ends.iter().find(|end| **end > next).map_or(most, |end| end.saturating_sub(next))
            }
        }
    }
}
