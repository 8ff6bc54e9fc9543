//! Which policy takes over next, announced before it does: miners see it, a restart knows it, and a replay can tell that it
//! was not early.
//!
//! A notice is in the journal before anything waits. The time that counts is that of a block's record and no clock's: what
//! is announced takes over behind the first block that was found at its time or later. A policy that takes over otherwise
//! (a repair, at once, or another coinbase, at a start) first withdraws what is announced.

use crate::books::{Books, BooksError, Inner};
use crate::policy::{Bound, Wanted};
use crate::sums::CONFIGURATION;
use millpond_alerts::Level;
use millpond_journal::{Notice, OpenBlock, Policy, Record};
use millpond_types::{ShareSeq, UnixMillis};

/// On whose word another policy takes over, and what miners are told of it.
#[derive(Clone, Copy, Debug)]
pub struct Announcement<'a> {
    /// Who orders it.
    pub by: &'a str,
    /// Why, in his words; they are public. May be empty.
    pub why: &'a str,
    /// Not before then; `None` for the end of the notice that the configuration promises, before which nothing goes.
    pub not_before: Option<UnixMillis>,
}

impl<'a> Announcement<'a> {
    /// With the notice that is promised, and no more words.
    #[must_use]
    pub fn by(by: &'a str) -> Self {
        Self { by, why: "", not_before: None }
    }

    /// Behind a block of when it takes over.
    ///
    /// # Errors
    /// When that is before the end of the notice that is promised.
    pub(crate) fn begins(&self, wanted: &Wanted, now: UnixMillis) -> Result<UnixMillis, BooksError> {
        let notice = u64::try_from(wanted.notice.as_millis()).unwrap_or(u64::MAX);
        let earliest = UnixMillis(now.0.saturating_add(notice));
        match self.not_before {
            Some(asked) if asked < earliest => Err(BooksError::TooEarly { asked, earliest }),
            asked => Ok(asked.unwrap_or(earliest)),
        }
    }
}

/// What is announced, loaded.
#[derive(Clone, Debug)]
pub(crate) struct Waiting {
    pub(crate) policy: Policy,
    pub(crate) bound: Bound,
    pub(crate) notice: Notice,
}

impl Waiting {
    /// Whether a block that was found at this time is one behind which it takes over.
    pub(crate) fn is_due(&self, found: UnixMillis) -> bool {
        self.notice.not_before <= found
    }

    pub(crate) fn is(&self, wanted: &Wanted) -> bool {
        is(&self.policy, wanted)
    }
}

fn is(policy: &Policy, wanted: &Wanted) -> bool {
    policy.scheme == wanted.scheme_in_force() && policy.fees == wanted.fees_in_force()
}

impl Books {
    /// Has a policy take over with the notice that the configuration promises: [`Books::announce`].
    ///
    /// # Errors
    /// As there.
    pub fn schedule(&self, wanted: &Wanted, by: &str, now: UnixMillis) -> Result<bool, BooksError> {
        self.announce(wanted, &Announcement::by(by), now)
    }

    /// Records that a policy that was loaded and checked takes over, in the place of what was announced before.
    pub(crate) fn wait_for(
        &self,
        inner: &mut Inner,
        (policy, bound): (Policy, Bound),
        (not_before, why): (UnixMillis, &str),
    ) -> Result<(), BooksError> {
        let announced = policy.time;
        // The time is a part of the word that it comes on: no two announcements are taken for each other.
        let reason = format!("{}, announced at {}", policy.reason, announced.0);
        let policy = Policy { reason, ..policy };
        let notice = Notice { policy: Some(policy.clone()), announced, not_before, reason: why.to_owned() };
        self.journal.record(notice.clone()).wait()?;
        inner.pending = Some(Waiting { policy, bound, notice });
        Ok(())
    }

    /// Withdraws what is announced, if something is.
    pub(crate) fn withdraw(
        &self,
        inner: &mut Inner,
        why: &str,
        now: UnixMillis,
    ) -> Result<Option<Policy>, BooksError> {
        let Some(waiting) = self.journal.notice() else { return Ok(None) };
        let notice = Notice { policy: None, announced: now, not_before: now, reason: why.to_owned() };
        self.journal.record(notice).wait()?;
        inner.pending = None;
        Ok(waiting.policy)
    }

    /// Withdraws what is announced: the policy in force stays. Gives what would have taken over, if something would.
    ///
    /// # Errors
    /// When the journal fails.
    pub fn cancel(&self, why: &str, now: UnixMillis) -> Result<Option<Policy>, BooksError> {
        self.withdraw(&mut self.inner.lock(), why, now)
    }

    /// What was announced before this start waits on. What does not load any more is withdrawn, with an alarm.
    pub(crate) fn take_up(&self, now: UnixMillis) -> Result<(), BooksError> {
        let Some(notice) = self.journal.notice() else { return Ok(()) };
        let Some(policy) = notice.policy.clone() else { return Ok(()) };
        let mut inner = self.inner.lock();
        match self.loader.bind(&policy) {
            Ok(bound) => {
                self.want_subsidy_of(&bound);
                inner.pending = Some(Waiting { policy, bound, notice });
            }
            Err(why) => {
                let name = &policy.scheme.name;
                let text =
                    format!("{name}, which was announced, is withdrawn, since it does not load: {why}");
                self.alarms.raise(Level::Critical, &self.pool, "swap", text.clone());
                self.withdraw(&mut inner, &text, now)?;
            }
        }
        Ok(())
    }

    /// Follows the configuration of a start. What it orders is announced, unless that is in force or announced already. What
    /// it ordered before and no longer does is withdrawn; what an operator ordered by command waits on.
    pub(crate) fn follow(
        &self,
        wanted: &Wanted,
        in_force: &Policy,
        now: UnixMillis,
    ) -> Result<(), BooksError> {
        let waiting = self.inner.lock().pending.as_ref().map(|waiting| waiting.policy.reason.clone());
        match waiting {
            _ if self.announced_is(wanted) => Ok(()),
            Some(reason) if is(in_force, wanted) && !reason.starts_with(CONFIGURATION) => Ok(()),
            None if is(in_force, wanted) => Ok(()),
            _ => self.schedule(wanted, CONFIGURATION, now).map(drop),
        }
    }

    /// Whether this is what is announced.
    pub(crate) fn announced_is(&self, wanted: &Wanted) -> bool {
        self.inner.lock().pending.as_ref().is_some_and(|waiting| waiting.is(wanted))
    }

    /// Whether this is in force.
    pub(crate) fn is_in_force(&self, wanted: &Wanted) -> bool {
        self.journal.newest_policy().is_some_and(|policy| is(&policy, wanted))
    }

    /// What is announced and not in force yet.
    #[must_use]
    pub fn announced(&self) -> Option<Notice> {
        self.inner.lock().pending.as_ref().map(|waiting| waiting.notice.clone())
    }

    /// The policy that takes over next.
    #[must_use]
    pub fn pending(&self) -> Option<Policy> {
        self.inner.lock().pending.as_ref().map(|waiting| waiting.policy.clone())
    }
}

/// A policy that took over before the time that miners were told.
#[derive(Clone, Debug, thiserror::Error)]
#[error(
    "the journal announces scheme {scheme} for blocks of {} (ms since 1970) or later, and it took over behind share \
     {from}, where no such block was found",
    not_before.0
)]
pub struct Early {
    /// The scheme.
    scheme: String,
    /// Behind which share it came into force.
    from: ShareSeq,
    /// What was announced.
    not_before: UnixMillis,
}

/// Reads a journal's records in their order, and tells of a policy that was early.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    notice: Option<Notice>,
    /// Where windows of blocks end, and when they were found.
    found: Vec<(ShareSeq, UnixMillis)>,
}

impl Watch {
    /// A block that was open when the oldest records that are kept were begun: its own may be dropped.
    pub(crate) fn open(&mut self, block: &OpenBlock) {
        self.found.push((block.end, block.time));
    }

    /// The next record.
    pub(crate) fn see(&mut self, record: &Record) -> Result<(), Early> {
        match record {
            Record::Solution(solution) => self.found.push((solution.end, solution.time)),
            // Again in each segment for as long as it waits.
            Record::Notice(notice) => self.notice = notice.policy.is_some().then(|| notice.clone()),
            Record::Policy(policy) => {
                let Some(notice) = self.notice.take_if(|notice| notice.announces(policy)) else {
                    return Ok(());
                };
                let Notice { not_before, .. } = notice;
                let good = |(end, time): &(ShareSeq, UnixMillis)| *end <= policy.from && *time >= not_before;
                if !self.found.iter().any(good) {
                    let (scheme, from) = (policy.scheme.name.clone(), policy.from);
                    return Err(Early { scheme, from, not_before });
                }
            }
            _ => {}
        }
        Ok(())
    }
}
