//! In which order incomes are divided and shares given, where a scheme's state depends on it.
//!
//! Such a scheme ([`millpond_payout::BoundScheme::keeps_order`]) is asked about a block on the state of the block's own
//! share, however late the node reports the income: shares behind a block that may still earn are held back, and so are
//! incomes of later blocks. When an income is lost, the state goes back to before it, and shares and incomes behind it are
//! taken again, in the order of the shares.

use crate::books::{Books, BooksError, Inner};
use crate::decide::{self, income_key};
use crate::policy::{Bound, of_booked};
use millpond_journal::{Answered, BlockFate, Income, IncomeAt};
use millpond_ledger::{Entry, IncomeKey, IncomeStatus, Reversal};
use millpond_payout::{PayoutError, SchemeState};
use millpond_types::{Amount, ShareSeq, UnixMillis};
use std::collections::HashSet;

/// So long a block without an income is waited for, in milliseconds. An income that comes later is divided on the state
/// as it stands then.
pub const GATE_MS: u64 = 10 * 60 * 1000;

/// Why an income that the chain still has is taken back.
pub(crate) const DIVIDED_AGAIN: &str = "an earlier income was lost: divided again";

impl Books {
    /// The first share, from the newest given one on, that ends the window of a block whose income is to come or to be
    /// divided. `but` is left out.
    fn gate(&self, inner: &Inner, but: Option<&Income>, given: u64) -> Option<ShareSeq> {
        let incomes = self.journal.open_incomes();
        let known: HashSet<&[u8]> = incomes
            .iter()
            .filter_map(|income| match &income.at {
                IncomeAt::Block(block) => Some(block.as_slice()),
                IncomeAt::Coord(_) => None,
            })
            .collect();
        let blocks = self.journal.open_blocks().into_iter().filter(|open| {
            let gone = matches!(open.fate, Some(BlockFate::Orphan(_))) || open.submitted == Answered::Refused;
            !gone && !known.contains(open.block.as_slice()) && inner.clock.since(open.time) < GATE_MS
        });
        let book = self.ledger.book();
        // Divided and closed since, while the block may still be followed.
        let closed = |end: ShareSeq| end.0 >= given && book.incomes().any(|(_, income)| income.end == end);
        let blocks = blocks.filter(|open| !closed(open.end));
        let undivided = incomes.iter().filter(|income| {
            let status = IncomeKey::new(income.key.clone()).and_then(|key| Some(book.income(&key)?.status));
            but.is_none_or(|but| but.key != income.key)
                && !matches!(status, Some(IncomeStatus::Immature | IncomeStatus::Matured))
        });
        let ends = blocks.map(|open| open.end).chain(undivided.map(|income| income.end.seq));
        ends.filter(|end| end.0 >= given).min()
    }

    /// Cuts shares that are due at the gate; `None` when the first one is behind it.
    pub(crate) fn gated(&self, inner: &Inner, mut due: decide::Due) -> Option<decide::Due> {
        if due.bound.scheme.takes_again()
            && let Some(gate) = self.gate(inner, None, self.ledger.accrued_to())
        {
            due.last = due.last.min(gate);
        }
        (due.first <= due.last).then_some(due)
    }

    /// That no block before this income's is waited for.
    pub(crate) fn in_order(&self, inner: &Inner, bound: &Bound, income: &Income) -> Result<(), BooksError> {
        // A scheme that is followed is given shares with the incomes, for as long as it owes something.
        let old = bound.given_to_old(&inner.state).filter(|_| !bound.scheme.takes_again());
        let given = old.map_or_else(|| self.ledger.accrued_to(), |given| given.0);
        let gate = || self.gate(inner, Some(income), given);
        let waits =
            (bound.scheme.keeps_order() || old.is_some()) && gate().is_some_and(|gate| gate < income.end.seq);
        if waits { Err(BooksError::Waits) } else { Ok(()) }
    }

    /// That no income before this one may still be lost: its state would be needed to put back what it changed.
    pub(crate) fn may_settle(&self, inner: &Inner, key: &IncomeKey) -> Result<(), BooksError> {
        let book = self.ledger.book();
        let open = |key: &&IncomeKey| book.income(key).is_some_and(|it| it.status == IncomeStatus::Immature);
        let mut before = inner.state.before(key).filter(open).peekable();
        if before.peek().is_none() {
            return Ok(());
        }
        if inner.state.is_by_order() {
            return Err(BooksError::Waits);
        }
        // Nor where it was divided beside a scheme that is settled by now.
        let policies = self.journal.policies();
        for key in before {
            let policy = book.income(key).and_then(|it| of_booked(&policies, it.end, it.direct));
            if let Some(policy) = policy
                && self.loader.bind(policy)?.old_in_cells().is_some()
            {
                return Err(BooksError::Waits);
            }
        }
        Ok(())
    }

    /// Whether shares that were given before are to be given again.
    pub(crate) fn gives_again(&self, inner: &Inner) -> Result<Option<decide::Due>, BooksError> {
        let accrued_to = ShareSeq(self.ledger.accrued_to());
        let state = &inner.state;
        Ok(decide::gives_again(&self.journal.policies(), &self.loader, state, [accrued_to; 2])?)
    }

    /// After the loss of an income that was undone: takes back all that was divided on top of it, and divides it again in its order,
    /// each on the state of its own share, with the shares between given to the scheme that takes them. All is taken back first:
    /// what a later income left over goes with none of the earlier ones. What a crash interrupted waits, and is divided in the same
    /// order.
    pub(crate) fn divide_again(&self, inner: &mut Inner) -> Result<(), BooksError> {
        for key in inner.state.again().to_vec() {
            let open = self.journal.open_incomes().into_iter().find(|open| open.key == key.as_bytes());
            match (open, self.ledger.income_status(&key)) {
                (Some(income), Some(IncomeStatus::Immature)) => {
                    let entry =
                        Entry::Reversed { key, how: Reversal::Restore, proof: DIVIDED_AGAIN.to_owned() };
                    self.ledger.append(income.time, entry.clone())?;
                    inner.deferred.write().follow(&entry)?;
                }
                // The chain lost it too, and its own record is booked next; or it was there before this.
                (Some(_), _) | (None, Some(IncomeStatus::Immature)) => {}
                (None, _) => inner.state.forget(&key),
            }
        }
        while let Some(income) = self.first_again(inner)? {
            self.give_again(inner, income.end.seq, income.time)?;
            self.divide_one(inner, &income)?;
            // Divided, or kept by miners since it was lost once: it waits no more.
            inner.state.forget(&income_key(&income.key)?);
        }
        let all = ShareSeq(self.ledger.accrued_to());
        self.give_again(inner, all, inner.clock)
    }

    /// The income that is to be divided again next: the first that was taken back, of those that the state names, and of those that
    /// it names no more since a crash came between, whose shares do not count in it.
    fn first_again(&self, inner: &Inner) -> Result<Option<Income>, BooksError> {
        for income in self.in_their_order() {
            let key = income_key(&income.key)?;
            if inner.state.again().contains(&key) {
                return Ok(Some(income));
            }
            let is_back = self.ledger.income_status(&key) == Some(IncomeStatus::Reversed(Reversal::Restore));
            if is_back && self.given_to(inner, &income)?.is_some_and(|given| given <= income.end.seq) {
                return Ok(Some(income));
            }
        }
        Ok(None)
    }

    /// Whether an income comes before the next one that is to be divided again.
    pub(crate) fn is_before_again(&self, inner: &Inner, income: &Income) -> Result<bool, BooksError> {
        Ok(self.first_again(inner)?.is_some_and(|next| income.end.seq < next.end.seq))
    }

    /// The newest share that counts in the state on which an income is divided, where it has an order.
    fn given_to(&self, inner: &Inner, income: &Income) -> Result<Option<ShareSeq>, BooksError> {
        let (_, bound) = self.policy_of(income)?;
        Ok(if inner.state.is_asides(&bound.scheme) {
            inner.state.aside().and_then(SchemeState::given)
        } else if bound.scheme.takes_again() {
            inner.state.given()
        } else {
            bound.given_to_old(&inner.state)
        })
    }

    /// Gives shares again, up to this one.
    fn give_again(&self, inner: &mut Inner, until: ShareSeq, now: UnixMillis) -> Result<(), BooksError> {
        let mut before = None;
        while let Some(mut due) = self.gives_again(inner)? {
            if due.first > until {
                return Ok(());
            }
            if before.replace(due.first) == Some(due.first) {
                let what = format!("shares from {} on were given again, and count in no state", due.first);
                return Err(PayoutError::Input(what).into());
            }
            due.last = due.last.min(until);
            let clock = UnixMillis::now();
            inner.conduct.may_give(&due.bound, clock)?;
            let given = decide::credit(&due, &self.journal.view(), Amount::ZERO, &inner.state);
            let given = given.map_err(|why| self.failed_on_shares(inner, &due, why, clock))?;
            let Some(accrual) = given.map(|(accrual, _)| accrual) else { return Ok(()) };
            let Some(entry) = accrual.entry.and_then(decide::reaccrued) else { return Ok(()) };
            entry.fits()?;
            for audit in &accrual.audit {
                self.journal.record(decide::recorded(audit, &due.subject(), now)).wait()?;
            }
            self.ledger.append(now, entry.clone())?;
            inner.follow(&entry)?;
        }
        Ok(())
    }

    /// Incomes that are to be divided, in the order in which they are: by the shares that end their windows.
    pub(crate) fn in_their_order(&self) -> Vec<Income> {
        let mut incomes = self.journal.open_incomes();
        incomes.sort_by(|a, b| (a.end.seq, a.time, &a.key).cmp(&(b.end.seq, b.time, &b.key)));
        incomes
    }

    /// The key of a recorded income, where its state may be settled.
    pub(crate) fn settles(&self, income: &Income) -> Result<(), BooksError> {
        self.may_settle(&self.inner.lock(), &income_key(&income.key)?)
    }
}
