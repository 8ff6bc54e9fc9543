//! Replay: the ledger's history computed again from the journal's raw records and the components that decided.
//!
//! Nothing derived is read: no index, no cached balance, no configuration. Journal and ledger are walked with their
//! hash chains; every income is divided again by the policy that the journal recorded for it, every batch credited
//! again, and each entry has to come out equal to the one that is there, with the same digests of input and output as
//! the audit records say. The first difference ends the replay with the place where it is.
//!
//! Where retention dropped old shares, the entries before what is kept are taken as they are booked and counted apart;
//! from the first income that the journal still knows, everything is computed again.

use crate::decide::{self, DecideError, Standing};
use crate::notice::{Early, Watch};
use crate::plan::{self, Balances, Plans};
use crate::policy::{Loader, PolicyError, of_booked, of_income};
use crate::run_off;
use crate::sums::Sums;
use millpond_journal::{Income, JournalError, JournalView, Policy, Record};
use millpond_ledger::{
    Book, Entry, IncomeKey, IncomeStatus, LedgerError, Owner, Reader, Record as Line, Reversal,
};
use millpond_payout::AuditRecord;
use millpond_segments::LogError;
use millpond_types::{Amount, Digest, ShareSeq};
use std::collections::{HashMap, HashSet};

/// A replay that agrees.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Replayed {
    /// Records of the journal that were walked.
    pub journal_records: u64,
    /// Entries of the ledger that were walked.
    pub entries: u64,
    /// Incomes divided again, equal to the unit.
    pub incomes: u64,
    /// Batches credited again.
    pub batches: u64,
    /// Incomes and batches of shares that retention dropped: taken as they are booked, since nothing is there to compute
    /// them from.
    pub taken: u64,
    /// Calls into plugins whose digests agree with the audit.
    pub calls: u64,
    /// The digest of the ledger's last entry.
    pub head: Digest,
}

/// A replay that does not agree, or could not be done.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The journal does not check.
    #[error("the journal: {0}")]
    Journal(#[from] JournalError),
    /// The ledger does not check.
    #[error("the ledger: {0}")]
    Ledger(#[from] LedgerError),
    /// A decision cannot be made again.
    #[error("ledger entry {seq}: {why}")]
    Decide {
        /// The entry.
        seq: u64,
        /// Why.
        why: DecideError,
    },
    /// A component that decided is not to be had.
    #[error("ledger entry {seq}: {why}")]
    Policy {
        /// The entry.
        seq: u64,
        /// Why.
        why: PolicyError,
    },
    /// A policy took over before its notice was over, or without one.
    #[error(transparent)]
    Early(#[from] Early),
    /// It comes out otherwise.
    #[error("ledger entry {seq} ({kind}): {what}")]
    Differs {
        /// The entry.
        seq: u64,
        /// Its kind.
        kind: &'static str,
        /// The difference.
        what: String,
    },
}

impl From<LogError> for ReplayError {
    fn from(why: LogError) -> Self {
        Self::Journal(why.into())
    }
}

/// Component, input and output of a call.
type Digests = (Digest, Digest, Digest);

/// What the journal says, by key.
#[derive(Default)]
struct Facts {
    /// Every time that it was seen: again after it had been lost.
    incomes: HashMap<Vec<u8>, Vec<Income>>,
    mature: HashMap<Vec<u8>, ()>,
    lost: HashMap<Vec<u8>, ()>,
    policies: Vec<Policy>,
    audits: HashMap<(Vec<u8>, String), Vec<Digests>>,
    plans: Plans,
    records: u64,
}

impl Facts {
    fn read(view: &JournalView) -> Result<Self, ReplayError> {
        let mut facts = Self::default();
        // What the first records kept carry over, in as many parts as it takes.
        let (mut begins, mut watch) = (true, Watch::default());
        for entry in view.records(1) {
            let entry = entry?;
            facts.records += 1;
            facts.plans.read(&entry.record);
            begins &= match &entry.record {
                Record::CarriedOver(_) => facts.records == 1,
                Record::CarriedMore(_) => true,
                _ => false,
            };
            watch.see(&entry.record, &facts.policies)?;
            match entry.record {
                // They say which policies stood in dropped ones; later ones say nothing new.
                Record::CarriedOver(state) if begins => {
                    facts.policies.extend_from_slice(state.policies());
                    state.blocks().for_each(|block| watch.open(block));
                }
                Record::CarriedMore(more) if begins => {
                    facts.policies.extend_from_slice(more.state().policies());
                    more.state().blocks().for_each(|block| watch.open(block));
                }
                Record::Income(income) if income.mature => {
                    facts.mature.insert(income.key, ());
                }
                Record::Income(income) => {
                    facts.incomes.entry(income.key.clone()).or_default().push(income);
                }
                Record::IncomeLost(lost) => {
                    facts.lost.insert(lost.key, ());
                }
                Record::Policy(policy) => facts.policies.push(policy),
                Record::Decision(audit) => {
                    let digests = (audit.component, audit.input, audit.output);
                    facts.audits.entry((audit.subject, audit.function)).or_default().push(digests);
                }
                _ => {}
            }
        }
        facts.plans = std::mem::take(&mut facts.plans).of(facts.incomes.values().flatten(), view)?;
        Ok(facts)
    }
}

/// Replays a pool.
///
/// # Errors
/// At the first difference, or when something needed is damaged or missing.
pub fn replay(view: &JournalView, ledger: &Reader, loader: &Loader) -> Result<Replayed, ReplayError> {
    view.verify()?;
    let verified = ledger.verify()?;
    // Each income asks for windows, most of which have an edge in the segment of the one before.
    let view = &view.keeping();
    let facts = Facts::read(view)?;
    let mut run = Run {
        view,
        loader,
        facts: &facts,
        book: Book::default(),
        sums: Sums::default(),
        balances: facts.plans.balances(),
        lost: HashMap::new(),
        taken: HashSet::new(),
        done: Replayed {
            journal_records: facts.records,
            entries: 0,
            incomes: 0,
            batches: 0,
            taken: 0,
            calls: 0,
            head: verified.head.digest,
        },
    };
    let mut failed = None;
    let walked = ledger.for_each_record(&mut |line, _| {
        run.line(line).map_err(|why| {
            let told = LedgerError::Broken { seq: line.seq, why: why.to_string() };
            failed = Some(why);
            told
        })
    });
    match (failed, walked) {
        (Some(why), _) => Err(why),
        (None, Err(why)) => Err(why.into()),
        (None, Ok(_)) => Ok(run.done),
    }
}

struct Run<'a> {
    view: &'a JournalView,
    loader: &'a Loader,
    facts: &'a Facts,
    book: Book,
    sums: Sums,
    /// Deferred balances as they stood behind the records that plans go by.
    balances: Balances,
    /// How often the chain took an income back so far.
    lost: HashMap<Vec<u8>, usize>,
    /// Incomes of before what the journal keeps.
    taken: HashSet<Vec<u8>>,
    done: Replayed,
}

impl Run<'_> {
    fn line(&mut self, line: &Line) -> Result<(), ReplayError> {
        let (seq, kind) = (line.seq, line.entry.kind());
        let differs = |what: String| ReplayError::Differs { seq, kind, what };
        match &line.entry {
            Entry::IncomeAllocated(there) => {
                let key = there.key.as_bytes().to_vec();
                let times = self.lost.get(&key).copied().unwrap_or(0);
                let seen = self.facts.incomes.get(&key);
                if seen.is_none() && self.before_what_is_kept() {
                    self.taken.insert(key);
                    return self.take(line);
                }
                let income = seen
                    .and_then(|seen| seen.get(times))
                    .ok_or_else(|| differs("the journal has no such income".to_owned()))?;
                let policy = of_income(&self.facts.policies, income);
                let policy = match policy {
                    Some(usual) => match plan::policy_of(&self.facts.policies, usual, income, self.view) {
                        Err(DecideError::Journal(JournalError::Dropped { .. })) => {
                            self.taken.insert(key);
                            return self.take(line);
                        }
                        found => Some(found.map_err(|why| ReplayError::Decide { seq, why })?),
                    },
                    None => None,
                };
                let bound = self.bound(policy, income.end.seq, seq)?;
                let state = &self.sums.state;
                let begins = match policy {
                    Some(policy) => decide::pays_behind(&self.facts.policies, self.loader, policy)
                        .map_err(|why| ReplayError::Policy { seq, why })?,
                    None => ShareSeq(0),
                };
                let standing = Standing::of(&self.book, &there.key, begins);
                let again = match decide::divide(&bound, income, self.view, &standing, state) {
                    // Recorded after the oldest share that is kept, and reaching back beyond it.
                    Err(DecideError::Journal(JournalError::Dropped { .. })) => {
                        self.taken.insert(key);
                        return self.take(line);
                    }
                    again => again.map_err(|why| ReplayError::Decide { seq, why })?,
                };
                if again.entry != *there {
                    return Err(differs(difference(&again.entry, there)));
                }
                if let Some(policy) = policy {
                    let by = (self.facts.policies.as_slice(), policy);
                    let early = run_off::ends_early(&bound, by, income, self.view, (standing.number, state))
                        .map_err(|why| ReplayError::Decide { seq, why })?;
                    if early {
                        let what = "the scheme of before still owes of it, and was recorded to be settled by its block";
                        return Err(differs(what.to_owned()));
                    }
                }
                self.audited(&key, &again.audit).map_err(differs)?;
                if let Some(policy) = policy.filter(|_| bound.planned) {
                    let (facts, by) = (self.facts, (&bound, policy));
                    let made = facts.plans.check(by, &facts.policies, income, self.view, &mut self.balances);
                    made.map_err(|why| ReplayError::Decide { seq, why })?;
                }
                self.done.incomes += 1;
            }
            Entry::Accrued { first, .. } | Entry::Reaccrued { first, .. }
                if *first <= self.view.dropped().last =>
            {
                return self.take(line);
            }
            Entry::Accrued { first, last, .. } => {
                let given = ShareSeq(self.book.accrued_to());
                let due = decide::due(&self.facts.policies, self.loader, given, *last)
                    .map_err(|why| ReplayError::Policy { seq, why })?
                    .ok_or_else(|| differs("no policy takes these shares".to_owned()))?;
                let state = &self.sums.state;
                let reserve = self.book.payable(&Owner::Reserve);
                let again = match decide::credit(&due, self.view, reserve, state) {
                    // Its shares are kept, and those of the day before, which its fees are by, are not.
                    Err(DecideError::Journal(JournalError::Dropped { .. })) => return self.take(line),
                    again => again.map_err(|why| ReplayError::Decide { seq, why })?,
                };
                let (accrual, _) = again.ok_or_else(|| differs("there is nothing to credit".to_owned()))?;
                if accrual.entry.as_ref() != Some(&line.entry) {
                    return Err(differs("the credits come out otherwise".to_owned()));
                }
                self.audited(&decide::subject(*first, *last), &accrual.audit).map_err(differs)?;
                self.done.batches += 1;
            }
            Entry::Reaccrued { first, last, .. } => {
                let state = &self.sums.state;
                let to = [*last, ShareSeq(self.book.accrued_to())];
                let due = decide::gives_again(&self.facts.policies, self.loader, state, to)
                    .map_err(|why| ReplayError::Policy { seq, why })?
                    .ok_or_else(|| differs("no policy takes these shares again".to_owned()))?;
                let again = match decide::credit(&due, self.view, Amount::ZERO, state) {
                    Err(DecideError::Journal(JournalError::Dropped { .. })) => return self.take(line),
                    again => again.map_err(|why| ReplayError::Decide { seq, why })?,
                };
                let (accrual, _) = again.ok_or_else(|| differs("there is nothing to give".to_owned()))?;
                if accrual.entry.and_then(decide::reaccrued).as_ref() != Some(&line.entry) {
                    return Err(differs("the state comes out otherwise".to_owned()));
                }
                self.audited(&decide::subject(*first, *last), &accrual.audit).map_err(differs)?;
                self.done.batches += 1;
            }
            Entry::Matured { key } | Entry::Reversed { key, .. } if self.taken.contains(key.as_bytes()) => {}
            Entry::Matured { key } if !self.facts.mature.contains_key(key.as_bytes()) => {
                return Err(differs("the journal does not say that it matured".to_owned()));
            }
            Entry::Reversed { key, how, .. } => self.reversed(line, key, *how)?,
            Entry::Reinstated { key } if self.taken.contains(key.as_bytes()) => {}
            Entry::Reinstated { key } => {
                // Seen once more than it was lost.
                let times = self.lost.get(key.as_bytes()).copied().unwrap_or(0);
                let seen = self.facts.incomes.get(key.as_bytes());
                if seen.is_none_or(|seen| seen.len() <= times) {
                    return Err(differs("the journal does not say that it is there again".to_owned()));
                }
            }
            Entry::Noted { .. } if self.sums.contradicts(&line.entry)? => {
                return Err(differs("the scheme's state was another when it was kept".to_owned()));
            }
            _ => {}
        }
        self.book(line)
    }

    /// Counts an entry that was checked, or cannot be.
    fn book(&mut self, line: &Line) -> Result<(), ReplayError> {
        self.book.replay(line)?;
        self.sums
            .take(&line.entry)
            .map_err(|why| ReplayError::Decide { seq: line.seq, why: DecideError::Payout(why) })?;
        self.done.entries += 1;
        self.balances.counted(line.seq, &self.sums.deferred);
        Ok(())
    }

    /// A reversal: on the journal's word, or because it was divided on top of an income that was lost.
    fn reversed(&mut self, line: &Line, key: &IncomeKey, how: Reversal) -> Result<(), ReplayError> {
        let (seq, kind) = (line.seq, line.entry.kind());
        let differs = |what: &str| ReplayError::Differs { seq, kind, what: what.to_owned() };
        if self.sums.state.again().contains(key) && how == Reversal::Restore {
            return Ok(());
        }
        if !self.facts.lost.contains_key(key.as_bytes()) {
            return Err(differs("the journal does not say that it was lost"));
        }
        let income = self.book.income(key).ok_or_else(|| differs("it was never divided"))?;
        let (end, status, direct) = (income.end, income.status, income.direct);
        // What had matured is borne by the pool, whatever is written beside it.
        if status == IncomeStatus::Immature {
            let bound = self.bound(of_booked(&self.facts.policies, end, direct), end, seq)?;
            if decide::reversal(&bound, status) != how {
                return Err(differs("its policy says that another thing becomes of it"));
            }
        }
        let times = self.lost.entry(key.as_bytes().to_vec()).or_default();
        *times = times.saturating_add(1);
        Ok(())
    }

    /// Whether what is not in the journal may have been dropped: nothing was computed again so far.
    fn before_what_is_kept(&self) -> bool {
        self.view.dropped().last > ShareSeq(0) && self.done.incomes == 0 && self.done.batches == 0
    }

    /// Takes an entry as it is booked, the scheme's state with it.
    fn take(&mut self, line: &Line) -> Result<(), ReplayError> {
        self.done.taken += 1;
        self.book(line)
    }

    fn bound(
        &self,
        policy: Option<&Policy>,
        end: ShareSeq,
        seq: u64,
    ) -> Result<crate::policy::Bound, ReplayError> {
        let policy = policy.ok_or(ReplayError::Differs {
            seq,
            kind: "policy",
            what: format!("the journal has no policy for share {end}"),
        })?;
        self.loader.bind(policy).map_err(|why| ReplayError::Policy { seq, why })
    }

    fn audited(&mut self, subject: &[u8], again: &[AuditRecord]) -> Result<(), String> {
        for call in again {
            let found = self.facts.audits.get(&(subject.to_vec(), call.function.clone()));
            if !found.is_some_and(|all| all.contains(&(call.component, call.input, call.output))) {
                return Err(format!(
                    "no audit record of {} has the digests that come out now",
                    call.function
                ));
            }
            self.done.calls += 1;
        }
        Ok(())
    }
}

fn difference(again: &millpond_ledger::IncomeAllocated, there: &millpond_ledger::IncomeAllocated) -> String {
    let other = again
        .parts
        .shares()
        .iter()
        .zip(there.parts.shares())
        .find(|(again, there)| again != there)
        .map(|(again, there)| format!("{} gets {} and not {}", again.0, again.1, there.1));
    other.unwrap_or_else(|| "the entry comes out otherwise".to_owned())
}
