//! The pool's money, in order: incomes are divided, matured or reversed, shares are credited from a reserve, and a
//! new policy takes over at a block's boundary.
//!
//! Every step starts from a record that is durable in the journal and ends in one ledger entry that is idempotent on
//! its key, so a crash at any point is answered by doing the step again ([`Books::catch_up`]). One thread at a time
//! works here; nothing here waits for a miner, a node or a notification.

use crate::columns::REACH;
use crate::conduct::{Conduct, LAST_GOOD, Stopped};
use crate::decide::{self, DecideError, Standing, income_key};
use crate::edges::{Edge, Edges};
use crate::notice::{Announcement, Waiting, as_repair};
use crate::policy::{Bound, Loader, PolicyError, Wanted, of_booked, of_income, reserve_of};
use crate::run_off::{self, Follows};
use crate::sums::{CONFIGURATION, DECLARED, EVERY, Read, Sums};
use millpond_alerts::{Alarms, Level};
use millpond_journal::{Income, Journal, JournalError, Policy, Record};
use millpond_ledger::{
    Account, Entry, IncomeKey, IncomeStatus, Ledger, LedgerError, Owner, Posting, Reversal,
};
use millpond_payout::direct::Deferred;
use millpond_payout::{PayoutError, SchemeState, SwapError, check_repair, check_upgrade};
use millpond_segments::LogError;
use millpond_types::{Amount, ShareSeq, UnixMillis};
use parking_lot::{Mutex, RwLock};
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Money could not be booked.
#[derive(Debug, thiserror::Error)]
pub enum BooksError {
    /// The decision did not come about.
    #[error(transparent)]
    Decide(#[from] DecideError),
    /// The policy in force cannot be loaded.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// The journal.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The ledger.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// A scheme's state.
    #[error(transparent)]
    Payout(#[from] PayoutError),
    /// A swap of the policy.
    #[error(transparent)]
    Swap(#[from] SwapError),
    /// There is no policy for an income: the journal's first records are missing.
    #[error("no policy is recorded for share {0}")]
    NoPolicy(ShareSeq),
    /// A component of the policy is in quarantine.
    #[error("{} is in quarantine: {}", .0.plugin, .0.first_error)]
    Quarantined(Stopped),
    /// The coinbases of the jobs at hand pay otherwise than the wanted policy would book.
    #[error(
        "another coinbase, and with coinbase = \"miner\" another fee, comes into force at a start only: restart the pool"
    )]
    Coinbase,
    /// The policy in force has shares to credit before another coinbase is paid.
    #[error(
        "another coinbase comes into force when every share is credited: of {newest} shares {given} are; raise \
         payout.reserve.amount under the configuration of before, and start with that first"
    )]
    Uncredited {
        /// The last share that is credited.
        given: ShareSeq,
        /// The newest one.
        newest: ShareSeq,
    },
    /// It would take over before the notice is over that miners are promised.
    #[error(
        "blocks of {} (ms since 1970) are before the end of the notice that payout.notice promises, {}",
        asked.0,
        earliest.0
    )]
    TooEarly {
        /// When it should.
        asked: UnixMillis,
        /// When it may.
        earliest: UnixMillis,
    },
    /// Fees by a day's shares, of which some are gone: what is found next could never be divided.
    #[error(
        "a fee policy asks for statistics of the day before each share, and shares up to {dropped} of that day were \
         dropped: order it again when a share of {} (ms since 1970) or later is there, or have it ask for none",
        from.0
    )]
    DayDropped {
        /// The newest share that was dropped.
        dropped: ShareSeq,
        /// From when on its day is whole.
        from: UnixMillis,
    },
    /// What a scheme of before keeps of miners is aside, and nobody divides what another coinbase pays.
    #[error(
        "another coinbase comes into force when what a scheme of before keeps of miners (format {0:?}) is settled and the income \
         behind that is final, since nobody holds an income that two could divide then: start with the coinbase of before until \
         that is done"
    )]
    Unsettled(String),
    /// A repair by the scheme whose debts the failing one pays beside its own.
    #[error(
        "{0} is still paid what it keeps of miners for work of before: it does not take the place of the scheme that followed it \
         before that is settled; order another version of that one, or another scheme"
    )]
    IsFollowed(String),
    /// A component failed a moment ago and is asked again after a pause.
    #[error("the plugin failed and is asked again in a moment")]
    Pause,
    /// An earlier block, whose income the scheme's state depends on, is not decided.
    #[error("an earlier block is not decided yet: what comes after it waits")]
    Waits,
}

impl BooksError {
    /// Whether there is nothing to tell the operator: a plugin's alarm did, or it is in order.
    #[must_use]
    pub fn is_told(&self) -> bool {
        matches!(self, Self::Quarantined(_) | Self::Pause | Self::Waits)
    }
}

impl From<LogError> for BooksError {
    fn from(why: LogError) -> Self {
        Self::Journal(why.into())
    }
}

pub(crate) struct Inner {
    pub(crate) state: SchemeState,
    /// What coinbases that pay many left owed; readers of a page wait for no plugin.
    pub(crate) deferred: Arc<RwLock<Deferred>>,
    /// Takes over at a block that is yet to be found.
    pub(crate) pending: Option<Waiting>,
    /// The first error of the policy in force since it was loaded.
    pub(crate) first_error: Option<String>,
    reserve_spent: bool,
    pub(crate) conduct: Conduct,
    /// What was posted to the reserve so far because the configuration declares it.
    deposited: Amount,
    /// Incomes that can be spent and are not divided yet.
    ripe: BTreeMap<Vec<u8>, Income>,
    /// The ledger's record after which the state was kept last.
    kept: u64,
    /// The latest moment that a caller told of.
    pub(crate) clock: UnixMillis,
    /// Payees of the fee recipients of the newest plan of a coinbase; not looked up before a plan is made.
    pub(crate) recipients: Option<BTreeMap<String, Vec<u8>>>,
}

impl Inner {
    /// What an entry changes beside balances.
    pub(crate) fn follow(&mut self, entry: &Entry) -> Result<(), PayoutError> {
        decide::follow(&mut self.state, entry)?;
        self.deferred.write().follow(entry)
    }
}

/// The money of one pool.
pub struct Books {
    pub(crate) pool: String,
    pub(crate) journal: Arc<Journal>,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) loader: Arc<Loader>,
    pub(crate) alarms: Alarms,
    pub(crate) inner: Mutex<Inner>,
    pub(crate) edges: Edges,
    pub(crate) deferred: Arc<RwLock<Deferred>>,
    wants_subsidy: AtomicBool,
    read: u64,
}

impl std::fmt::Debug for Books {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Books").field("pool", &self.pool).finish_non_exhaustive()
    }
}

impl Books {
    /// Opens the books: follows the scheme's state through the ledger, puts the wanted policy in force, posts what was added
    /// to the reserve. At once for a new pool, and where blocks are paid by another coinbase from now on; else at a block, with
    /// notice.
    ///
    /// # Errors
    /// When a component does not load, or journal or ledger fail.
    pub fn open(
        pool: &str,
        journal: Arc<Journal>,
        ledger: Arc<Ledger>,
        loader: Arc<Loader>,
        alarms: Alarms,
        wanted: &Wanted,
        now: UnixMillis,
    ) -> Result<Self, BooksError> {
        loader.keep(wanted)?;
        if journal.newest_policy().is_none() {
            let policy = wanted.policy(ShareSeq(0), "configuration, at the pool's start", now);
            // Loaded before it is recorded: what does not load never comes into force.
            loader.bind(&policy)?.fits()?;
            journal.record(policy).wait()?;
        }
        let in_force = journal.newest_policy().ok_or(BooksError::NoPolicy(ShareSeq(0)))?;
        // Loaded before anything is booked.
        let bound = loader.bind(&in_force)?;
        let Read { sums: Sums { state, deposited, deferred }, head, records } = Sums::read(&ledger)?;
        let (conduct, deferred) = (Conduct::default(), Arc::new(RwLock::new(deferred)));
        let inner = Inner {
            state,
            deferred: Arc::clone(&deferred),
            pending: None,
            first_error: None,
            reserve_spent: false,
            conduct,
            deposited,
            ripe: BTreeMap::new(),
            kept: head.seq.saturating_sub(records),
            clock: now,
            recipients: None,
        };
        let (pool, inner, edges) = (pool.to_owned(), Mutex::new(inner), Edges::default());
        let wants_subsidy = AtomicBool::default();
        let books = Self {
            pool,
            journal,
            ledger,
            loader,
            alarms,
            inner,
            edges,
            deferred,
            read: records,
            wants_subsidy,
        };
        books.want_subsidy_of(&bound);
        books.deposit(&mut books.inner.lock(), wanted.reserve, now)?;
        books.promise(wanted.notice, now)?;
        books.take_up(now)?;
        if wanted.pays_as(&in_force) {
            books.follow(wanted, &in_force, now)?;
        } else {
            books.begin_anew(wanted, now)?;
        }
        if !wanted.planned {
            books.warn_of_deferred();
        }
        books.keep(&mut books.inner.lock(), now);
        Ok(books)
    }

    /// Puts a policy in force whose blocks are paid by another coinbase. That goes at a start only: every block of before is
    /// recorded and stands before the boundary, which is the newest share, and every job that is handed out from now on
    /// pays as this policy books.
    fn begin_anew(&self, wanted: &Wanted, now: UnixMillis) -> Result<(), BooksError> {
        self.loader.keep(wanted)?;
        let mut policy = wanted.policy(ShareSeq(0), CONFIGURATION, now);
        let bound = self.loader.bind(&policy)?;
        bound.fits()?;
        self.want_subsidy_of(&bound);
        let old = self.in_force()?;
        let mut inner = self.inner.lock();
        self.credit(&mut inner, ShareSeq(u64::MAX), now)?;
        let newest = self.journal.view().newest();
        let given = ShareSeq(self.ledger.accrued_to());
        if decide::due(&self.journal.policies(), &self.loader, given, newest)?.is_some() {
            return Err(BooksError::Uncredited { given, newest });
        }
        check_upgrade(&old.scheme, &bound.scheme, &inner.state)?;
        self.is_settled(&old, &inner.state)?;
        self.has_day(&bound, newest)?;
        self.withdraw(&mut inner, "blocks are paid by another coinbase from this start on", now)?;
        policy.from = newest;
        // What was paid by a scheme before is not paid again, should the pool divide incomes once more.
        let before = self.journal.newest_policy().map(|before| Follows::of(&before)).transpose()?.flatten();
        let policy = run_off::following(policy, before.map(|before| before.floor_alone()).as_ref())?;
        self.journal.record(policy).wait()?;
        Ok(())
    }

    /// Whether jobs have to tell their subsidy, since a scheme in force pays by it, or one that takes over next.
    pub(crate) fn wants_subsidy(&self) -> bool {
        self.wants_subsidy.load(Ordering::Relaxed)
    }

    /// Before the policy of these takes over, so that there is no share that it cannot pay.
    pub(crate) fn want_subsidy_of(&self, bound: &Bound) {
        self.wants_subsidy.fetch_or(bound.scheme.terms().needs_subsidy, Ordering::Relaxed);
    }

    /// That fees by a day's shares can be taken of what ends at this share or behind it.
    fn has_day(&self, bound: &Bound, end: ShareSeq) -> Result<(), BooksError> {
        let gone = self.journal.dropped();
        if gone.last == ShareSeq(0) || !bound.asks_for_shares() {
            return Ok(());
        }
        let from = UnixMillis(gone.time.0.saturating_add(REACH));
        match self.journal.view().share(end)? {
            Some(share) if share.time >= from => Ok(()),
            _ => Err(BooksError::DayDropped { dropped: gone.last, from }),
        }
    }

    /// Records of the ledger that the start read to follow the scheme's state: those since it was kept last.
    #[must_use]
    pub fn read_at_open(&self) -> u64 {
        self.read
    }

    /// Keeps what the ledger's entries add up to, when many came since it was kept.
    fn keep(&self, inner: &mut Inner, now: UnixMillis) {
        let newest = self.ledger.head().seq;
        if newest.saturating_sub(inner.kept) < EVERY {
            return;
        }
        inner.kept = newest;
        // Read from the records, not taken from memory: a file says what the records say, whatever happened here.
        let kept = Sums::read(&self.ledger).and_then(|read| read.sums.keep(&self.ledger, read.head.seq, now));
        if let Err(why) = kept {
            tracing::warn!(pool = %self.pool, %why, "the scheme's state is not kept: the next start reads more");
        }
    }

    /// The same books with a listener at their edges.
    #[must_use]
    pub fn with_edges(mut self, edges: Edges) -> Self {
        self.edges = edges;
        self
    }

    /// Whether this is the policy that takes over next or, when none waits, the one in force.
    #[must_use]
    pub fn wants(&self, wanted: &Wanted) -> bool {
        let next = self.pending().or_else(|| self.journal.newest_policy());
        next.is_some_and(|policy| wanted.is(&policy))
    }

    /// Follows a changed configuration: posts what was added to the reserve and announces the wanted policy, unless it is
    /// announced, or in force and nothing else announced. Says whether a policy waits because of it, or took over at once.
    ///
    /// # Errors
    /// As [`Books::schedule`], or when the ledger fails.
    pub fn want(&self, wanted: &Wanted, reason: &str, now: UnixMillis) -> Result<bool, BooksError> {
        let scheduled = !self.wants(wanted);
        self.promise(wanted.notice, now)?;
        if scheduled {
            self.announce(wanted, &Announcement::of_file(reason), now)?;
        }
        self.deposit(&mut self.inner.lock(), wanted.reserve, now)?;
        Ok(scheduled)
    }

    /// Posts what the operator declared above what he declared before. Declaring less takes nothing back: what is
    /// left in the reserve is paid out by an adjustment of his own.
    fn deposit(&self, inner: &mut Inner, declared: Amount, now: UnixMillis) -> Result<(), BooksError> {
        let more = declared.checked_sub(inner.deposited).filter(|more| *more > Amount::ZERO);
        let Some(more) = more else { return Ok(()) };
        let amount = i128::from(more.0);
        let postings = vec![
            Posting { account: Account::Wallet, amount },
            Posting { account: Account::Payable(Owner::Reserve), amount: -amount },
        ];
        let entry = Entry::Adjustment { postings, by: CONFIGURATION.to_owned(), reason: DECLARED.to_owned() };
        self.ledger.append(now, entry)?;
        inner.deposited = declared;
        Ok(())
    }

    /// Has a new policy take over after the first block that is found when its notice is over. The income of that block, and
    /// of every one before it, is divided by the policy in force now; when that is the one that is wanted, what is announced
    /// is withdrawn. Where a component of that is in quarantine the new policy takes over at once,
    /// and divides what is undivided; true then.
    ///
    /// # Errors
    /// When it does not load, or would forget what the scheme in force owes; the one in force goes on.
    pub fn announce(
        &self,
        wanted: &Wanted,
        how: &Announcement<'_>,
        now: UnixMillis,
    ) -> Result<bool, BooksError> {
        self.loader.keep(wanted)?;
        let policy = wanted.policy(ShareSeq(0), how.by, now);
        let bound = self.loader.bind(&policy)?;
        bound.fits()?;
        self.want_subsidy_of(&bound);
        let in_force = self.journal.newest_policy().ok_or(BooksError::NoPolicy(ShareSeq(0)))?;
        if !wanted.pays_as(&in_force) {
            return Err(BooksError::Coinbase);
        }
        let old = self.loader.bind(&in_force)?;
        let mut inner = self.inner.lock();
        self.has_day(&bound, self.journal.view().newest())?;
        // What was found while blocks were paid by another coinbase is not booked as if it were paid by this one.
        let (stuck, others): (Vec<_>, Vec<_>) =
            self.stuck_policies(&inner)?.into_iter().partition(|failed| wanted.pays_as(failed));
        for other in others {
            let text = format!(
                "incomes of scheme {}, found while blocks were paid by another coinbase, still wait undivided: start \
                 with the configuration of then and order a version that works",
                other.scheme.name
            );
            self.alarms.raise(Level::Critical, &self.pool, "swap", text);
        }
        // Who waits for whom it follows alone is not repaired by another scheme: it would go on as it is.
        let goes_on = run_off::takes_up((&in_force, &old), (&policy, &bound));
        let is_followed = old.old_in_cells().is_some_and(|old| !run_off::leaves_cells(&old.bound, &bound));
        let repairs = |inner: &Inner, failed: &Bound| {
            inner.conduct.stopped_itself(failed).is_some()
                || (goes_on && inner.conduct.stopped(failed).is_some())
        };
        let mut repaired_any = false;
        for failed in &stuck {
            repaired_any |= repairs(&inner, &self.loader.bind(failed)?);
        }
        if repaired_any {
            if is_followed {
                return Err(BooksError::IsFollowed(bound.scheme.name().to_owned()));
            }
            check_repair(&old.scheme, &bound.scheme, &inner.state)?;
        }
        let at_once = repairs(&inner, &old);
        if at_once {
            self.withdraw(&mut inner, "another policy takes over at once, to repair one that fails", now)?;
        }
        let mut repaired: Vec<Policy> = Vec::new();
        // One repair records beginnings of others again, at another time.
        let is_one = |a: &Policy, b: &Policy| a.from == b.from && a.scheme == b.scheme && a.fees == b.fees;
        let left = |failed: &Policy, done: &[Policy]| {
            wanted.pays_as(failed) && !done.iter().any(|known| is_one(known, failed))
        };
        while let Some(failed) =
            self.stuck_policies(&inner)?.into_iter().find(|failed| left(failed, &repaired))
        {
            let own = self.loader.bind(&failed)?;
            if repairs(&inner, &own) {
                // Who is well divides its own incomes, without whom it follows.
                let is_well = inner.conduct.stopped_itself(&own).is_none() && failed != in_force;
                let by = if is_well { as_repair(&failed) } else { as_repair(&policy) };
                self.take_over(&mut inner, &failed, &by, now)?;
            }
            repaired.push(failed);
        }
        inner.conduct.release(&bound);
        if at_once {
            self.deposit(&mut inner, wanted.reserve, now)?;
            return Ok(true);
        }
        // An older version that stands in for one in quarantine is ordered in earnest by this.
        let stands_in = in_force.reason.starts_with(LAST_GOOD);
        if wanted.is(&in_force) && (inner.pending.is_some() || !stands_in) {
            self.withdraw(&mut inner, "the policy in force stays", now)?;
            return Ok(false);
        }
        let next = (&policy, &bound);
        run_off::check_follows(next, &old, &inner.state, wanted.run_off)?;
        let begins = how.begins(wanted, self.promised(now), now)?;
        let policy = run_off::as_announced((policy, &bound), (&in_force, &old), wanted.run_off);
        self.wait_for(&mut inner, (policy, bound), begins, how)?;
        Ok(false)
    }

    /// A block of ours is durable in the journal, found at this time, and its window ends at this share: a policy whose notice
    /// is over takes over behind it, once the scheme that the one in force follows has paid what it owes. A fee alone is
    /// corrected at once.
    ///
    /// # Errors
    /// When the waiting policy can no longer take over (it stays waiting), or the journal fails.
    pub fn block_found(&self, end: ShareSeq, now: UnixMillis) -> Result<bool, BooksError> {
        let in_force = self.journal.newest_policy().ok_or(BooksError::NoPolicy(end))?;
        let old = self.loader.bind(&in_force)?;
        let mut inner = self.inner.lock();
        let mut due = inner.pending.clone().filter(|waiting| waiting.is_due(now));
        let is_over = self.is_run_off(&inner.state, &old, end, now)?;
        if let Some(next) = &due
            && !run_off::takes_up((&in_force, &old), (&next.policy, &next.bound))
            && (is_over == Some(false) || inner.state.holds_aside())
        {
            // There is room for one state aside, and for nobody's whom two have followed.
            self.tell_waiting(&old, &next.policy);
            due = None;
        }
        if due.is_none() && is_over != Some(true) {
            return Ok(false);
        }
        // What the old scheme owes for each share is credited by it before another takes over.
        self.credit(&mut inner, ShareSeq(u64::MAX), now)?;
        let mut from = end;
        if old.scheme.terms().batch > 0 {
            let given = ShareSeq(self.ledger.accrued_to());
            if given < end && due.is_none() {
                return Ok(false);
            }
            if given < end {
                let text = format!(
                    "the policy in force has not credited shares {given} to {end} yet (is its reserve spent?): the \
                     new one waits for another block"
                );
                self.alarms.raise(Level::Critical, &self.pool, "swap", text);
                return Ok(false);
            }
            // Shares behind the block that it has credited already are its own.
            from = given;
        }
        let Some(Waiting { mut policy, bound, .. }) = due else {
            self.end_run_off(&mut inner, &in_force, (from, now))?;
            return Ok(false);
        };
        let next = (&policy, &bound);
        if let Err(why) = run_off::check_follows(next, &old, &inner.state, run_off::asked(&policy)) {
            if is_over == Some(true) {
                self.end_run_off(&mut inner, &in_force, (from, now))?;
            }
            return Err(why.into());
        }
        if is_over == Some(true) {
            self.tell_forgotten(&inner.state, &old);
        }
        let behind = (from, self.ledger.book().income_count());
        let follows =
            run_off::taking_over((&policy, &bound), (&in_force, &old), behind, is_over == Some(true))?;
        policy = run_off::following(policy, follows.as_ref())?;
        (policy.from, policy.time) = (from, now);
        let reserve = reserve_of(&policy);
        self.journal.record(policy).wait()?;
        // Behind the record: a crash in between is made good by the next start, which posts what is declared.
        self.deposit(&mut inner, reserve, now)?;
        inner.pending = None;
        inner.first_error = None;
        Ok(true)
    }

    /// The policy in force for what is found next.
    ///
    /// # Errors
    /// When it cannot be loaded.
    pub fn in_force(&self) -> Result<Bound, BooksError> {
        let policy = self.journal.newest_policy().ok_or(BooksError::NoPolicy(ShareSeq(0)))?;
        Ok(self.loader.bind(&policy)?)
    }

    /// The first error of the policy in force, and whether the reserve is spent.
    #[must_use]
    pub fn troubles(&self) -> (Option<String>, bool) {
        let inner = self.inner.lock();
        (inner.first_error.clone(), inner.reserve_spent)
    }

    /// Divides an income that is recorded in the journal. Nothing happens when it was divided before.
    ///
    /// # Errors
    /// When it could not be divided: it waits, undivided, and is tried again by [`Books::catch_up`].
    pub fn divide(&self, income: &Income) -> Result<(), BooksError> {
        let mut inner = self.inner.lock();
        inner.clock = inner.clock.max(income.time);
        match self.divide_again(&mut inner) {
            // What is to be divided again waits for this one, or for one before it.
            Err(BooksError::Waits) if self.is_before_again(&inner, income)? => {}
            done => done?,
        }
        self.divide_one(&mut inner, income)?;
        self.keep(&mut inner, income.time);
        Ok(())
    }

    pub(crate) fn divide_one(&self, inner: &mut Inner, income: &Income) -> Result<(), BooksError> {
        let key = income_key(&income.key)?;
        let status = self.ledger.income_status(&key);
        match status {
            // Never seen, or taken back and there again: it is divided (again).
            None
            | Some(IncomeStatus::Reversed(Reversal::Drop | Reversal::Restore | Reversal::KeepReserve)) => {}
            Some(IncomeStatus::Reversed(Reversal::Keep) | IncomeStatus::LostAfterMaturity) => {
                let entry = Entry::Reinstated { key };
                self.ledger.append(income.time, entry.clone())?;
                return Ok(inner.follow(&entry)?);
            }
            Some(IncomeStatus::Immature | IncomeStatus::Matured) => return Ok(()),
        }
        let (mut policy, mut bound) = self.policy_of(income)?;
        let clock = UnixMillis::now();
        if self.take_late(inner, &policy, &bound, income.end.seq)? {
            (policy, bound) = self.policy_of(income)?;
        }
        inner.conduct.may_ask(&bound, clock)?;
        self.in_order(inner, &bound, income)?;
        // What is owed per share before the block is credited before the block's income is booked; what a state depends on
        // is given as far as the block's own share, and no further.
        let until = if bound.scheme.takes_again() { income.end.seq } else { self.journal.view().newest() };
        self.credit(inner, until, income.time)?;
        let view = self.journal.view();
        // Read before, and the book let go: a scheme may take its time, and readers of the book do not wait for it.
        let begins = decide::pays_behind(&self.journal.policies(), &self.loader, &policy)?;
        let standing = Standing::of(&self.ledger.book(), &key, begins);
        let decided = decide::divide(&bound, income, &view, &standing, &inner.state);
        let decision = match decided {
            Ok(decision) => decision,
            Err(why) => {
                inner.first_error.get_or_insert_with(|| why.to_string());
                let text = format!("an income of {} waits undivided: {why}", income.amount);
                self.alarms.raise(Level::Critical, &self.pool, "plugin", text);
                if let Some(stopped) = inner.conduct.failed(&bound, &income.key, &why, clock) {
                    self.quarantine(inner, &policy, &bound, &stopped);
                }
                return Err(why.into());
            }
        };
        let entry = Entry::IncomeAllocated(decision.entry);
        entry.fits()?;
        for audit in &decision.audit {
            self.journal.record(decide::recorded(audit, &income.key, income.time)).wait()?;
        }
        self.edges.pass(Edge::Decided);
        self.ledger.append(income.time, entry.clone())?;
        inner.follow(&entry)?;
        inner.conduct.went_well(&bound, clock);
        self.edges.pass(Edge::Divided);
        Ok(())
    }

    /// The policy that divides an income.
    pub(crate) fn policy_of(&self, income: &Income) -> Result<(Policy, Bound), BooksError> {
        let policies = self.journal.policies();
        let policy = of_income(&policies, income).ok_or(BooksError::NoPolicy(income.end.seq))?;
        let policy = crate::plan::policy_of(&policies, policy, income, &self.journal.view())?;
        Ok((policy.clone(), self.loader.bind(policy)?))
    }

    /// Whether an income is divided, or was.
    ///
    /// # Errors
    /// When its key is none.
    pub fn is_divided(&self, income: &Income) -> Result<bool, BooksError> {
        Ok(self.ledger.income_status(&income_key(&income.key)?).is_some())
    }

    /// A recorded income can be spent: that is written down, and its parts become payable. One that still waits
    /// undivided is divided first: until then the journal does not call it mature, and a restart asks the chain again.
    ///
    /// # Errors
    /// When it could not be divided (it is tried again by [`Books::catch_up`]), or journal or ledger fail.
    pub fn mature(&self, income: &Income) -> Result<(), BooksError> {
        let key = income_key(&income.key)?;
        let status = || self.ledger.income_status(&key);
        if status() == Some(IncomeStatus::Matured) {
            return Ok(());
        }
        // As it is recorded: what a scheme sees of an income does not depend on when it was divided.
        let recorded = match status() {
            None => self.journal.open_incomes().into_iter().find(|open| open.key == income.key),
            Some(_) => None,
        };
        let divided = self.divide(recorded.as_ref().unwrap_or(income));
        if let Err(why) = divided.and_then(|()| self.settles(income)) {
            self.inner.lock().ripe.insert(income.key.clone(), income.clone());
            return Err(why);
        }
        if status() == Some(IncomeStatus::Immature) {
            self.journal.record(Income { mature: true, ..income.clone() }).wait()?;
            self.edges.pass(Edge::MaturityRecorded);
            self.book_maturity(key, income.time)?;
            self.edges.pass(Edge::Matured);
        }
        self.inner.lock().ripe.remove(&income.key);
        Ok(())
    }

    fn book_maturity(&self, key: IncomeKey, time: UnixMillis) -> Result<(), BooksError> {
        let mut inner = self.inner.lock();
        let entry = Entry::Matured { key };
        self.ledger.append(time, entry.clone())?;
        Ok(inner.follow(&entry)?)
    }

    /// An income is gone, on positive proof.
    ///
    /// # Errors
    /// When the ledger fails, the income's own policy cannot be loaded, or what was divided after it cannot be divided
    /// again (it is tried again by [`Books::catch_up`]).
    pub fn lost(&self, key: &[u8], proof: &str, time: UnixMillis) -> Result<(), BooksError> {
        self.inner.lock().ripe.remove(key);
        let key = income_key(key)?;
        let mut inner = self.inner.lock();
        let known = self.ledger.book().income(&key).map(|income| (income.status, income.end, income.direct));
        let (status, end, direct) = match known {
            None | Some((IncomeStatus::Reversed(_) | IncomeStatus::LostAfterMaturity, ..)) => return Ok(()),
            Some(known) => known,
        };
        if status == IncomeStatus::Matured {
            let text = format!("a matured income was taken back by the chain ({proof}): the pool bears it");
            self.alarms.raise(Level::Critical, &self.pool, "chain", text);
        }
        let policies = self.journal.policies();
        let policy = of_booked(&policies, end, direct).ok_or(BooksError::NoPolicy(end))?;
        let how = decide::reversal(&self.loader.bind(policy)?, status);
        let entry = Entry::Reversed { key, how, proof: proof.to_owned() };
        self.ledger.append(time, entry.clone())?;
        inner.follow(&entry)?;
        self.divide_again(&mut inner)
    }

    /// Gives shares that came to the scheme that takes each of them.
    ///
    /// # Errors
    /// When the scheme fails, or the ledger.
    pub fn credit_shares(&self, now: UnixMillis) -> Result<(), BooksError> {
        let mut inner = self.inner.lock();
        inner.clock = inner.clock.max(now);
        if self.gives_again(&inner)?.is_some() {
            self.divide_again(&mut inner)?;
        }
        self.credit(&mut inner, ShareSeq(u64::MAX), now)?;
        self.keep(&mut inner, now);
        Ok(())
    }

    /// Credits shares up to this one. None while shares before them are to be given again.
    fn credit(&self, inner: &mut Inner, until: ShareSeq, now: UnixMillis) -> Result<(), BooksError> {
        loop {
            let view = self.journal.view();
            let given = ShareSeq(self.ledger.accrued_to());
            let newest = view.newest().min(until);
            let due = decide::due(&self.journal.policies(), &self.loader, given, newest)?;
            let Some(due) = due.and_then(|due| self.gated(inner, due)) else { return Ok(()) };
            if due.bound.scheme.takes_again() && self.gives_again(inner)?.is_some() {
                return Ok(());
            }
            // By the clock, since the time of a catching up is the income's.
            let clock = UnixMillis::now();
            inner.conduct.may_give(&due.bound, clock)?;
            let reserve = self.ledger.payable(&Owner::Reserve);
            let credited = decide::credit(&due, &view, reserve, &inner.state);
            let credited = match credited {
                Ok(credited) => credited,
                Err(why) => return Err(self.failed_on_shares(inner, &due, why, clock)),
            };
            let Some((accrual, given)) = credited else { return Ok(()) };
            let spent = accrual.shares < given;
            if spent && !inner.reserve_spent {
                let text = "the declared reserve is spent: shares are no longer credited; raise payout.reserve.amount";
                self.alarms.raise(Level::Critical, &self.pool, "reserve", text);
            }
            inner.reserve_spent = spent;
            let Some(entry) = accrual.entry else { return Ok(()) };
            let subject = match &entry {
                Entry::Accrued { first, last, .. } => decide::subject(*first, *last),
                _ => Vec::new(),
            };
            entry.fits()?;
            for audit in &accrual.audit {
                self.journal.record(decide::recorded(audit, &subject, now)).wait()?;
            }
            self.ledger.append(now, entry.clone())?;
            inner.follow(&entry)?;
            if spent {
                return Ok(());
            }
        }
    }

    /// A scheme failed on shares.
    pub(crate) fn failed_on_shares(
        &self,
        inner: &mut Inner,
        due: &decide::Due,
        why: DecideError,
        clock: UnixMillis,
    ) -> BooksError {
        inner.first_error.get_or_insert_with(|| why.to_string());
        let stopped = inner.conduct.failed(&due.bound, b"shares", &why, clock);
        if let (Some(stopped), Some(policy)) = (stopped, self.journal.policy_at(due.last)) {
            self.quarantine(inner, &policy, &due.bound, &stopped);
        }
        why.into()
    }

    /// Does what a crash or a failing plugin left undone: every recorded income that the ledger does not know is
    /// divided, in the journal's order. Gives how many still wait.
    ///
    /// # Errors
    /// When the journal fails; an income that cannot be divided only counts as waiting.
    pub fn catch_up(&self) -> Result<usize, BooksError> {
        let mut waiting = 0;
        if let Err(why) = self.divide_again(&mut self.inner.lock()) {
            tracing::warn!(pool = %self.pool, %why, "an income waits to be divided again");
            waiting += 1;
        }
        for income in self.in_their_order() {
            if let Err(why) = self.divide(&income) {
                if !why.is_told() {
                    tracing::warn!(pool = %self.pool, %why, "an income still waits");
                }
                waiting += 1;
            }
        }
        let ripe: Vec<Income> = self.inner.lock().ripe.values().cloned().collect();
        for income in ripe {
            if let Err(why) = self.mature(&income) {
                if !why.is_told() {
                    tracing::warn!(pool = %self.pool, %why, "an income that can be spent still waits");
                }
                waiting += 1;
            }
        }
        Ok(waiting)
    }

    /// Does what a crash left undone between a journal record that an income matured or was lost, and the ledger's
    /// entry. Reads the whole journal, and only when the ledger has an open income that the journal closed.
    ///
    /// # Errors
    /// When the journal or the ledger fails.
    pub fn close_closed(&self) -> Result<usize, BooksError> {
        let open: HashSet<Vec<u8>> =
            self.journal.open_incomes().into_iter().map(|income| income.key).collect();
        let mut closed: HashSet<Vec<u8>> = {
            let book = self.ledger.book();
            let immature = book.incomes().filter(|(_, income)| income.status == IncomeStatus::Immature);
            immature.map(|(key, _)| key.as_bytes().to_vec()).filter(|key| !open.contains(key)).collect()
        };
        let mut done = 0;
        if closed.is_empty() {
            return Ok(done);
        }
        for entry in self.journal.view().records(1) {
            match entry?.record {
                Record::Income(income) if income.mature && closed.remove(&income.key) => {
                    self.book_maturity(income_key(&income.key)?, income.time)?;
                }
                Record::IncomeLost(lost) if closed.contains(&lost.key) => {
                    self.lost(&lost.key, &lost.reason, lost.time)?;
                }
                _ => continue,
            }
            done += 1;
        }
        Ok(done)
    }

    /// What loads the policies' components.
    #[must_use]
    pub fn loader(&self) -> &Arc<Loader> {
        &self.loader
    }

    /// The ledger.
    #[must_use]
    pub fn ledger(&self) -> &Arc<Ledger> {
        &self.ledger
    }
}
