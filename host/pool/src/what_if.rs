//! What another policy makes of a pool's records: who would have earned what, and what it had cost the operator.
//!
//! The recorded incomes are divided again, over the recorded shares and by the functions that decide in a pool, into a book
//! of its own that begins empty. Lost incomes are lost again, by the other scheme's own rule. The pool's ledger is read for
//! the comparison and nothing is written. The policy that was in force gives the ledger's own amounts.
//!
//! The same code answers for records that are there ([`what_if`]) and follows a running pool ([`crate::shadow`]): what it
//! says of a record does not depend on when it was read.

use crate::decide::{self, DecideError, Standing, income_key};
use crate::gate::{DIVIDED_AGAIN, GATE_MS};
use crate::plugins::PluginStore;
use crate::policy::{Bound, Loader, PolicyError, Wanted};
use millpond_disk::SimDisk;
use millpond_journal::{Income, IncomeLost, JournalError, JournalView, Policy, Record};
use millpond_ledger::{
    Account, Book, Earned, Entry, Head, IncomeKey, IncomeStatus, LedgerError, Owner, Posting, Reader,
    Record as Line, Reversal,
};
use millpond_payout::{PayoutError, SchemeState};
use millpond_runtime::{LogSink, Sandbox};
use millpond_segments::LogError;
use millpond_types::{Amount, Digest, MinerId, ShareSeq, UnixMillis};
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

/// The policy that is asked about.
#[derive(Clone, Debug)]
pub struct Asked {
    /// As it would be recorded; its boundary is where the comparison begins.
    pub policy: Policy,
    /// Its components.
    pub bound: Bound,
    /// What the operator stands in with.
    pub reserve: Amount,
}

impl Asked {
    /// A policy for the shares behind this one. Its components are kept in memory: nothing of a pool's files is written.
    ///
    /// # Errors
    /// When a component does not load, or refuses its settings.
    pub fn new(
        wanted: &Wanted,
        since: ShareSeq,
        sandbox: Sandbox,
        sink: Arc<dyn LogSink>,
    ) -> Result<Self, PolicyError> {
        let store = PluginStore::open(Arc::new(SimDisk::new()), Path::new("/plugins"))?;
        Self::by(&Loader::new(sandbox, store, sink), wanted, since)
    }

    /// As [`Asked::new`], with the components kept in a loader's store.
    ///
    /// # Errors
    /// As [`Asked::new`].
    pub fn by(loader: &Loader, wanted: &Wanted, since: ShareSeq) -> Result<Self, PolicyError> {
        loader.keep(wanted)?;
        let policy = wanted.policy(since, "asked", UnixMillis(0));
        let bound = loader.bind(&policy)?;
        bound.fits()?;
        Ok(Self { policy, bound, reserve: wanted.reserve })
    }
}

impl Asked {
    /// Lists that its fee policies ask for and in which these records have nobody.
    #[must_use]
    pub fn empty_lists(&self, journal: &JournalView) -> Vec<String> {
        crate::columns::empty_lists(&self.bound, journal)
    }
}

/// It could not be said.
#[derive(Debug, thiserror::Error)]
pub enum WhatIfError {
    /// The journal.
    #[error("the journal: {0}")]
    Journal(#[from] JournalError),
    /// The ledger.
    #[error("the ledger: {0}")]
    Ledger(#[from] LedgerError),
    /// The other policy failed on an income.
    #[error("the income at share {end}: {why}")]
    Decide {
        /// The share that ends its windows.
        end: ShareSeq,
        /// Why.
        why: DecideError,
    },
    /// The other policy cannot be asked.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// A state that does not fit.
    #[error(transparent)]
    Payout(#[from] PayoutError),
    /// The sums do not add up, which is a defect of this program.
    #[error("the sums of {0} do not add up to the incomes that stand")]
    Sums(&'static str),
}

impl From<LogError> for WhatIfError {
    fn from(why: LogError) -> Self {
        Self::Journal(why.into())
    }
}

/// A figure under the recorded policies and under the other one, in ledger units.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Both {
    /// By the pool's ledger.
    #[serde(serialize_with = "as_i64")]
    pub actual: i128,
    /// By the other policy.
    #[serde(serialize_with = "as_i64")]
    pub other: i128,
}

/// Sums of amounts fit 64 bits but for schemes that credit nonsense; those are told as the bound.
fn as_i64<S: serde::Serializer>(sum: &i128, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_i64(i64::try_from(*sum).unwrap_or(if *sum < 0 { i64::MIN } else { i64::MAX }))
}

impl Both {
    /// What the other policy gives more.
    #[must_use]
    pub fn more(&self) -> i128 {
        self.other.saturating_sub(self.actual)
    }

    /// The same in millionths of what was; `None` where nothing was.
    #[must_use]
    pub fn ppm(&self) -> Option<i128> {
        self.more().saturating_mul(1_000_000).checked_div(self.actual)
    }
}

/// An income under both.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct IncomeRow {
    /// Its key, in hex.
    pub key: String,
    /// The share that ends its windows.
    pub end: ShareSeq,
    /// When it was seen.
    pub time: UnixMillis,
    /// Its place in the chain.
    pub coord: u64,
    /// What the chain paid.
    pub amount: Amount,
    /// Whether the chain still has it.
    pub stands: bool,
    /// What miners get of it at once; nothing where each share was credited before.
    pub miners: Both,
}

/// A miner under both.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct MinerRow {
    /// His number.
    pub miner: MinerId,
    /// His address; empty where its record was dropped.
    pub address: String,
    /// What he earned.
    #[serde(flatten)]
    pub earned: Both,
}

/// The other policy's reserve.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Reserve {
    /// With what it began.
    pub declared: Amount,
    /// The least that was in it and could be spent.
    pub least: Amount,
    /// What is in it at the end and can be spent: incomes count when they mature.
    pub left: Amount,
    /// The first share that it could not pay for when it was due.
    pub spent_at: Option<ShareSeq>,
    /// Shares that are not paid for at the end.
    pub unpaid_shares: u64,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct WhatIf {
    /// The other scheme and the start of its digest.
    pub scheme: String,
    /// Behind this share.
    pub since: ShareSeq,
    /// Up to this one.
    pub newest: ShareSeq,
    /// Incomes that are known and in neither sum: they wait for what may come before them, or the pool has not divided them.
    pub waiting: u64,
    /// Incomes at the beginning whose windows reach back to shares that are no longer kept: in neither sum.
    pub left_out: u64,
    /// What all incomes that stand paid; the same under both.
    pub standing: Both,
    /// What all miners earned.
    pub miners_in_all: Both,
    /// What is left to the operator: fees and the reserve's change, less what miners keep of lost incomes.
    pub operator: Both,
    /// What waits for a later income.
    pub carry: Both,
    /// Of a scheme that pays from a reserve.
    pub reserve: Option<Reserve>,
    /// The incomes, in the order in which they were divided.
    pub incomes: Vec<IncomeRow>,
    /// The miners, by number.
    pub miners: Vec<MinerRow>,
}

/// What the journal says happened, in the order in which a pool would act on it.
enum Event {
    Income(Income),
    Mature(IncomeKey, UnixMillis),
    Lost(IncomeLost),
}

/// Asks about all records that are there. `progress` is told how many of how many events are done.
///
/// # Errors
/// When journal or ledger are damaged, or the other policy fails.
pub fn what_if(
    view: &JournalView,
    ledger: &Reader,
    asked: Asked,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<WhatIf, WhatIfError> {
    let mut follower = Follower::new(asked)?;
    let view = &view.keeping();
    follower.read(view)?;
    follower.act(view, UnixMillis(u64::MAX), progress)?;
    follower.give(view, view.newest())?;
    follower.compare(ledger)?;
    follower.answer(view.newest())
}

fn miners_of(parts: &millpond_ledger::Allocation) -> i128 {
    let miners = parts.shares().iter().filter(|part| matches!(part.0, Owner::Miner(_)));
    miners.map(|part| i128::from(part.1.0)).fold(0, i128::saturating_add)
}

/// Incomes of earlier blocks before those of later ones, as far as a pool waits for them.
fn in_order(events: &mut [Event]) {
    for at in 1..events.len() {
        let Some(Event::Income(income)) = events.get(at) else { continue };
        let (end, time) = (income.end.seq, income.time);
        let before = events.get(..at).unwrap_or_default();
        let later = before.iter().rposition(|event| match event {
            Event::Income(other) => other.end.seq <= end || time.since(other.time) >= GATE_MS,
            // Whether it was there decides about what stands on it.
            Event::Lost(_) => true,
            Event::Mature(..) => false,
        });
        let from = later.map_or(0, |stop| stop.saturating_add(1));
        if let Some(range) = events.get_mut(from..=at) {
            range.rotate_right(1);
        }
    }
}

/// A policy that follows a pool's records.
pub struct Follower {
    asked: Asked,
    /// The next record of the journal.
    position: u64,
    waiting: Vec<Event>,
    addresses: BTreeMap<MinerId, String>,
    book: Book,
    state: SchemeState,
    earned: Earned,
    lines: u64,
    /// Shares behind this one may be paid by a scheme that pays them once.
    begins: Option<ShareSeq>,
    /// Shares up to this one were not given: those that their fees are by are no longer kept.
    passed: ShareSeq,
    open: HashMap<IncomeKey, Income>,
    rows: Vec<(IncomeKey, IncomeRow)>,
    places: HashMap<IncomeKey, usize>,
    left_out: HashSet<IncomeKey>,
    least: Amount,
    spent_at: Option<ShareSeq>,
    /// What the pool's ledger says of the same incomes, up to this entry.
    head: Head,
    actual: Earned,
    to_miners: HashMap<IncomeKey, i128>,
    /// Entries about incomes that wait here.
    later: Vec<Entry>,
}

impl std::fmt::Debug for Follower {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Follower").field("scheme", &self.asked.bound.scheme.name()).finish_non_exhaustive()
    }
}

impl Follower {
    /// One that has read nothing yet.
    ///
    /// # Errors
    /// When its reserve cannot be posted.
    pub fn new(asked: Asked) -> Result<Self, WhatIfError> {
        let mut new = Self {
            position: 1,
            waiting: Vec::new(),
            addresses: BTreeMap::new(),
            book: Book::default(),
            state: SchemeState::default(),
            earned: Earned::default(),
            lines: 0,
            begins: None,
            passed: ShareSeq(0),
            open: HashMap::new(),
            rows: Vec::new(),
            places: HashMap::new(),
            left_out: HashSet::new(),
            least: asked.reserve,
            spent_at: None,
            head: Head::default(),
            actual: Earned::default(),
            to_miners: HashMap::new(),
            later: Vec::new(),
            asked,
        };
        let amount = i128::from(new.asked.reserve.0);
        if amount > 0 {
            let postings = vec![
                Posting { account: Account::Wallet, amount },
                Posting { account: Account::Payable(Owner::Reserve), amount: -amount },
            ];
            let (by, reason) = ("what if".to_owned(), "declared reserve".to_owned());
            new.book(Entry::Adjustment { postings, by, reason }, UnixMillis(0))?;
        }
        Ok(new)
    }

    /// The policy that is asked about.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.asked.policy
    }

    /// Follows what was recorded since, and compares. Shares are given as far as incomes reach, so that the same is said of
    /// them whenever they are read.
    ///
    /// # Errors
    /// When journal or ledger are damaged, or the other policy fails: it is of no use then.
    pub fn follow(&mut self, view: &JournalView, ledger: &Reader) -> Result<WhatIf, WhatIfError> {
        // For as long as this takes: a shadow's first look is at all that there is.
        let view = &view.keeping();
        self.read(view)?;
        // Where the order decides, until nothing can come before.
        let newest = view.share(view.newest())?.map_or(UnixMillis(0), |share| share.time);
        let until = match self.asked.bound.scheme.keeps_order() {
            true => UnixMillis(newest.0.saturating_sub(GATE_MS)),
            false => UnixMillis(u64::MAX),
        };
        self.act(view, until, &mut |_, _| {})?;
        self.compare(ledger)?;
        self.answer(ShareSeq(self.book.accrued_to().max(self.rows.last().map_or(0, |row| row.1.end.0))))
    }

    fn read(&mut self, view: &JournalView) -> Result<(), WhatIfError> {
        let since = self.asked.policy.from;
        for entry in view.records(self.position) {
            let entry = entry?;
            self.position = entry.position.saturating_add(1);
            match entry.record {
                Record::CarriedOver(state) => {
                    self.addresses.extend(state.miners().map(|miner| (miner.id, miner.address.clone())));
                }
                Record::CarriedMore(more) => {
                    let miners = more.state().miners();
                    self.addresses.extend(miners.map(|miner| (miner.id, miner.address.clone())));
                }
                Record::Miner(miner) => {
                    self.addresses.insert(miner.id, miner.address);
                }
                Record::Income(income) if income.end.seq <= since => {}
                Record::Income(income) if income.mature => {
                    if let Ok(key) = income_key(&income.key) {
                        self.waiting.push(Event::Mature(key, income.time));
                    }
                }
                Record::Income(income) => self.waiting.push(Event::Income(income)),
                Record::IncomeLost(lost) => self.waiting.push(Event::Lost(lost)),
                _ => {}
            }
        }
        Ok(())
    }

    /// Does what waits, up to the first income that was seen after `until`.
    fn act(
        &mut self,
        view: &JournalView,
        until: UnixMillis,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<(), WhatIfError> {
        if self.asked.bound.scheme.keeps_order() {
            in_order(&mut self.waiting);
        }
        let young = |event: &Event| matches!(event, Event::Income(income) if income.time > until);
        let ripe = self.waiting.iter().position(young).unwrap_or(self.waiting.len());
        let later = self.waiting.split_off(ripe);
        let total = ripe as u64;
        for (at, event) in (0..).zip(std::mem::replace(&mut self.waiting, later)) {
            progress(at, total);
            self.step(view, event)?;
        }
        progress(total, total);
        Ok(())
    }

    /// Takes in what the pool's ledger has of the incomes that are divided here.
    fn compare(&mut self, ledger: &Reader) -> Result<(), WhatIfError> {
        let mut entries = std::mem::take(&mut self.later);
        self.head = ledger.for_each_record_after(&self.head, &mut |line, _| {
            entries.push(line.entry.clone());
            Ok(())
        })?;
        for entry in entries {
            let key = match &entry {
                Entry::IncomeAllocated(income) if income.end > self.asked.policy.from => &income.key,
                Entry::Matured { key } | Entry::Reversed { key, .. } | Entry::Reinstated { key } => key,
                Entry::Accrued { first, .. } if *first > self.since() => {
                    self.actual.take(&entry);
                    continue;
                }
                _ => continue,
            };
            if self.places.contains_key(key) {
                if let Entry::IncomeAllocated(income) = &entry {
                    self.to_miners.insert(key.clone(), miners_of(income.earned()));
                }
                self.actual.take(&entry);
            } else if self.is_awaited(key) {
                self.later.push(entry);
            }
        }
        Ok(())
    }

    fn is_awaited(&self, key: &IncomeKey) -> bool {
        self.waiting.iter().any(|event| match event {
            Event::Income(income) => income.key == key.as_bytes(),
            Event::Mature(..) | Event::Lost(_) => false,
        })
    }

    fn book(&mut self, entry: Entry, at: UnixMillis) -> Result<(), WhatIfError> {
        self.lines = self.lines.saturating_add(1);
        let line = Line { v: 1, seq: self.lines, at, prev: Digest::default(), entry };
        self.book.replay(&line)?;
        self.earned.take(&line.entry);
        decide::follow(&mut self.state, &line.entry)?;
        self.least = self.least.min(self.book.payable(&Owner::Reserve));
        Ok(())
    }

    fn step(&mut self, view: &JournalView, event: Event) -> Result<(), WhatIfError> {
        match event {
            Event::Income(income) => {
                let key = income_key(&income.key)
                    .map_err(|why| WhatIfError::Decide { end: income.end.seq, why })?;
                self.give(view, income.end.seq)?;
                self.divide(view, &key, &income)
            }
            Event::Mature(key, at) => {
                self.open.remove(&key);
                match self.status(&key) {
                    Some(IncomeStatus::Immature) => self.book(Entry::Matured { key }, at),
                    _ => Ok(()),
                }
            }
            Event::Lost(lost) => match IncomeKey::new(lost.key.clone()) {
                Some(key) => self.lose(view, key, &lost),
                None => Ok(()),
            },
        }
    }

    fn status(&self, key: &IncomeKey) -> Option<IncomeStatus> {
        self.book.income(key).map(|income| income.status)
    }

    fn divide(&mut self, view: &JournalView, key: &IncomeKey, income: &Income) -> Result<(), WhatIfError> {
        match self.status(key) {
            None
            | Some(IncomeStatus::Reversed(Reversal::Drop | Reversal::Restore | Reversal::KeepReserve)) => {}
            Some(IncomeStatus::Reversed(Reversal::Keep) | IncomeStatus::LostAfterMaturity) => {
                self.open.insert(key.clone(), income.clone());
                return self.book(Entry::Reinstated { key: key.clone() }, income.time);
            }
            Some(IncomeStatus::Immature | IncomeStatus::Matured) => return Ok(()),
        }
        if income.end.seq <= self.passed {
            self.left_out.insert(key.clone());
            return Ok(());
        }
        // Of shares that were dropped it is not known what they were worth.
        let begins = *self.begins.get_or_insert(self.asked.policy.from.max(view.dropped().last));
        let standing = Standing::of(&self.book, key, begins);
        let decided = decide::divide(&self.asked.bound, income, view, &standing, &self.state);
        let decision = match decided {
            Ok(decision) => decision,
            // Nothing is known of the shares before what is kept: the first incomes are in neither sum.
            Err(DecideError::Journal(JournalError::Dropped { .. })) if self.rows.is_empty() => {
                self.left_out.insert(key.clone());
                return Ok(());
            }
            Err(why) => return Err(WhatIfError::Decide { end: income.end.seq, why }),
        };
        let other = miners_of(decision.entry.earned());
        let row = IncomeRow {
            key: key.to_string(),
            end: income.end.seq,
            time: income.time,
            coord: income.end.coord,
            amount: income.amount,
            stands: true,
            miners: Both { actual: 0, other },
        };
        match self.places.get(key).and_then(|at| self.rows.get_mut(*at)) {
            Some(known) => known.1 = row,
            None => {
                self.places.insert(key.clone(), self.rows.len());
                self.rows.push((key.clone(), row));
            }
        }
        self.open.insert(key.clone(), income.clone());
        self.book(Entry::IncomeAllocated(decision.entry), income.time)
    }

    /// Behind this share everything counts.
    fn since(&self) -> ShareSeq {
        self.asked.policy.from.max(self.passed)
    }

    /// Gives shares up to this one to a scheme that takes each of them.
    fn give(&mut self, view: &JournalView, until: ShareSeq) -> Result<(), WhatIfError> {
        loop {
            let given = ShareSeq(self.book.accrued_to()).max(self.passed);
            let due = decide::due_of(&self.asked.policy, &self.asked.bound, given, until);
            let Some(due) = due else { return Ok(()) };
            let reserve = self.book.payable(&Owner::Reserve);
            let credited = match decide::credit(&due, view, reserve, &self.state) {
                Err(DecideError::Journal(JournalError::Dropped { .. })) if self.book.accrued_to() == 0 => {
                    self.passed = due.last;
                    continue;
                }
                credited => credited.map_err(|why| WhatIfError::Decide { end: due.last, why })?,
            };
            let Some((accrual, count)) = credited else { return Ok(()) };
            let covered = accrual.shares as u64;
            if accrual.shares < count {
                self.spent_at.get_or_insert(ShareSeq(due.first.0.saturating_add(covered)));
            }
            let Some(entry) = accrual.entry else { return Ok(()) };
            self.book(entry, UnixMillis(0))?;
            if accrual.shares < count {
                return Ok(());
            }
        }
    }

    fn lose(&mut self, view: &JournalView, key: IncomeKey, lost: &IncomeLost) -> Result<(), WhatIfError> {
        self.open.remove(&key);
        let status = match self.status(&key) {
            None | Some(IncomeStatus::Reversed(_) | IncomeStatus::LostAfterMaturity) => return Ok(()),
            Some(status) => status,
        };
        let how = decide::reversal(&self.asked.bound, status);
        self.book(Entry::Reversed { key, how, proof: lost.reason.clone() }, lost.time)?;
        self.divide_again(view)
    }

    /// What stood on it is divided again, as a pool does it: all of it is taken back first, and divided in the order of its shares,
    /// each on the state of its own.
    fn divide_again(&mut self, view: &JournalView) -> Result<(), WhatIfError> {
        let again = self.state.again().to_vec();
        let mut stood = Vec::new();
        for key in again {
            let Some(income) = self.open.get(&key).cloned() else {
                self.state.forget(&key);
                continue;
            };
            if self.status(&key) == Some(IncomeStatus::Immature) {
                let (key, how, proof) = (key.clone(), Reversal::Restore, DIVIDED_AGAIN.to_owned());
                self.book(Entry::Reversed { key, how, proof }, income.time)?;
            }
            stood.push((key, income));
        }
        stood.sort_by(|(_, a), (_, b)| (a.end.seq, a.time, &a.key).cmp(&(b.end.seq, b.time, &b.key)));
        for (key, income) in stood {
            self.give_again(view, income.end.seq)?;
            self.divide(view, &key, &income)?;
        }
        self.give_again(view, ShareSeq(self.book.accrued_to()))
    }

    fn give_again(&mut self, view: &JournalView, until: ShareSeq) -> Result<(), WhatIfError> {
        if !self.asked.bound.scheme.takes_again() {
            return Ok(());
        }
        while let Some(given) = self.state.given() {
            let due = decide::due_of(&self.asked.policy, &self.asked.bound, given, until);
            let Some(due) = due else { return Ok(()) };
            let again = decide::credit(&due, view, Amount::ZERO, &self.state)
                .map_err(|why| WhatIfError::Decide { end: due.last, why })?;
            let entry = again.and_then(|(accrual, _)| accrual.entry).and_then(decide::reaccrued);
            let Some(entry) = entry else { return Ok(()) };
            self.book(entry, UnixMillis(0))?;
        }
        Ok(())
    }

    /// What the other policy divided and the pool has not: in neither sum, else both would be of other incomes.
    fn undivided(&self) -> HashSet<&IncomeKey> {
        let divided_here = self.places.keys().filter(|key| self.status(key) == Some(IncomeStatus::Immature));
        divided_here.filter(|key| !self.to_miners.contains_key(key)).collect()
    }

    fn answer(&self, newest: ShareSeq) -> Result<WhatIf, WhatIfError> {
        let (actual, to_miners) = (&self.actual, &self.to_miners);
        let undivided = self.undivided();
        let mut other = Cow::Borrowed(&self.earned);
        for key in &undivided {
            let (key, how, proof) = (IncomeKey::clone(key), Reversal::Drop, String::new());
            other.to_mut().take(&Entry::Reversed { key, how, proof });
        }
        for (whose, earned) in [("the ledger", actual), ("the other policy", &*other)] {
            if !earned.adds_up() {
                return Err(WhatIfError::Sums(whose));
            }
        }
        let both = |of: &dyn Fn(&Earned) -> i128| Both { actual: of(actual), other: of(&other) };
        let mut rows = BTreeMap::<MinerId, Both>::new();
        for (earned, is_actual) in [(actual, true), (&other, false)] {
            for (owner, sum) in earned.owners() {
                if let Owner::Miner(miner) = owner {
                    let row = rows.entry(*miner).or_default();
                    *if is_actual { &mut row.actual } else { &mut row.other } = sum;
                }
            }
        }
        let mut in_all = Both::default();
        for row in rows.values() {
            in_all.actual = in_all.actual.saturating_add(row.actual);
            in_all.other = in_all.other.saturating_add(row.other);
        }
        let reserve = self.asked.bound.scheme.terms().reserve.then(|| Reserve {
            declared: self.asked.reserve,
            least: self.least,
            left: self.book.payable(&Owner::Reserve),
            spent_at: self.spent_at,
            unpaid_shares: match self.asked.bound.scheme.terms().batch {
                0 => 0,
                _ => newest.0.saturating_sub(self.book.accrued_to().max(self.since().0)),
            },
        });
        let stands = |key: &IncomeKey| {
            !matches!(
                self.book.income(key).map(|income| income.status),
                Some(IncomeStatus::Reversed(_) | IncomeStatus::LostAfterMaturity)
            )
        };
        let divided = self.rows.iter().filter(|(key, _)| !undivided.contains(key));
        let incomes = divided.map(|(key, row)| IncomeRow {
            stands: stands(key),
            miners: Both { actual: to_miners.get(key).copied().unwrap_or(0), ..row.miners },
            ..row.clone()
        });
        let waiting = self.waiting.iter().filter(|event| matches!(event, Event::Income(_))).count();
        Ok(WhatIf {
            scheme: self.asked.bound.scheme.name().to_owned(),
            since: self.since(),
            newest,
            waiting: waiting.saturating_add(undivided.len()) as u64,
            left_out: self.left_out.len() as u64,
            standing: both(&Earned::standing),
            miners_in_all: in_all,
            operator: both(&Earned::operator),
            carry: both(&|earned| earned.of(&Owner::Carry)),
            reserve,
            incomes: incomes.collect(),
            miners: rows
                .into_iter()
                .map(|(miner, earned)| MinerRow {
                    miner,
                    address: self.addresses.get(&miner).cloned().unwrap_or_default(),
                    earned,
                })
                .collect(),
        })
    }
}
