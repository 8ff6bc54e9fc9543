//! Which policy takes over next, announced before it does: miners see it, a restart knows it, and a replay can tell that it
//! was not early.
//!
//! A notice is in the journal before anything waits. The time that counts is that of a block's record and no clock's: what
//! is announced takes over behind the first block that was found at its time or later. A policy that takes over otherwise
//! (a repair that an operator orders, at once, or another coinbase, at a start) first withdraws what is announced. An older
//! version that stands in for one in quarantine withdraws nothing: what miners were told still comes.
//!
//! How long that is, is a promise of its own in the journal, so that no file and no order is quicker than what miners were
//! promised before it: a longer one counts at once, a shorter one when the longer is over.

use crate::books::{Books, BooksError, Inner};
use crate::conduct::LAST_GOOD;
use crate::plugins::StoreError;
use crate::policy::{Bound, PolicyError, Wanted, pays_alike};
use crate::promotion::called;
use crate::run_off;
use crate::sums::CONFIGURATION;
use millpond_alerts::Level;
use millpond_journal::{Notice, OpenBlock, Policy, Promise, Record};
use millpond_payout::SwapError;
use millpond_types::{ShareSeq, UnixMillis};
use std::time::Duration;

/// On whose word another policy takes over, and what miners are told of it.
#[derive(Clone, Copy, Debug)]
pub struct Announcement<'a> {
    /// Who orders it.
    pub by: &'a str,
    /// Why, in his words; they are public. May be empty.
    pub why: &'a str,
    /// Not before then; `None` for the end of the notice that the configuration promises, before which nothing goes.
    pub not_before: Option<UnixMillis>,
    /// The configuration says so, and no command.
    pub by_file: bool,
}

/// What miners are told where a start orders what its file says.
const AS_CONFIGURED: &str = "the pool was started with a configuration that says so";

/// How the word ends on which an operator's order takes over at once.
const REPAIR: &str = ", at once, as a repair";

/// A policy that takes over at once in the place of one in quarantine.
pub(crate) fn as_repair(policy: &Policy) -> Policy {
    Policy { reason: format!("{}{REPAIR}", policy.reason), ..policy.clone() }
}

fn millis(notice: Duration) -> u64 {
    u64::try_from(notice.as_millis()).unwrap_or(u64::MAX)
}

impl<'a> Announcement<'a> {
    /// With the notice that is promised, and no more words.
    #[must_use]
    pub fn by(by: &'a str) -> Self {
        Self { by, why: "", not_before: None, by_file: false }
    }

    /// The same, as the configuration has it.
    pub(crate) fn of_file(by: &'a str) -> Self {
        Self { by_file: true, ..Self::by(by) }
    }

    /// Behind a block of when it takes over, where `promised` was promised before (milliseconds).
    ///
    /// # Errors
    /// When that is before the end of the notice that is promised.
    pub(crate) fn begins(
        &self,
        wanted: &Wanted,
        promised: u64,
        now: UnixMillis,
    ) -> Result<UnixMillis, BooksError> {
        let notice = millis(wanted.notice).max(promised);
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
        wanted.is(&self.policy)
    }
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
        not_before: UnixMillis,
        how: &Announcement<'_>,
    ) -> Result<(), BooksError> {
        let announced = policy.time;
        // The time is a part of the word that it comes on: no two announcements are taken for each other.
        let reason = format!("{}, announced at {}", policy.reason, announced.0);
        let policy = Policy { reason, ..policy };
        let (reason, by_file) = (how.why.to_owned(), how.by_file);
        let notice = Notice { policy: Some(policy.clone()), announced, not_before, reason, by_file };
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
        let reason = why.to_owned();
        let notice = Notice { policy: None, announced: now, not_before: now, reason, by_file: false };
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

    /// Records for how long other policies are announced from now on.
    pub(crate) fn promise(&self, notice: Duration, now: UnixMillis) -> Result<(), BooksError> {
        let (notice, last) = (millis(notice), self.journal.promise());
        let before = last.as_ref().map_or(0, |last| last.at(now));
        if notice == last.map_or(0, |last| last.notice) {
            return Ok(());
        }
        let wait = if notice < before { before } else { 0 };
        let since = UnixMillis(now.0.saturating_add(wait));
        self.journal.record(Promise { before, notice, since }).wait()?;
        Ok(())
    }

    /// For how many milliseconds is announced what is ordered now.
    pub(crate) fn promised(&self, now: UnixMillis) -> u64 {
        self.journal.promise().map_or(0, |promise| promise.at(now))
    }

    /// What was announced before this start waits on. What is not there or does not load any more is withdrawn, with an
    /// alarm.
    pub(crate) fn take_up(&self, now: UnixMillis) -> Result<(), BooksError> {
        let Some(notice) = self.journal.notice() else { return Ok(()) };
        let Some(policy) = notice.policy.clone() else { return Ok(()) };
        let mut inner = self.inner.lock();
        match self.loader.bind(&policy) {
            Ok(bound) => {
                self.want_subsidy_of(&bound);
                inner.pending = Some(Waiting { policy, bound, notice });
            }
            Err(why) if !is_of_component(&why) => return Err(why.into()),
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
        let waiting = self.inner.lock().pending.as_ref().map(|waiting| waiting.notice.by_file);
        match waiting {
            _ if self.announced_is(wanted) => Ok(()),
            Some(false) if wanted.is(in_force) => Ok(()),
            None if wanted.is(in_force) => Ok(()),
            _ => {
                let how = Announcement { why: AS_CONFIGURED, ..Announcement::of_file(CONFIGURATION) };
                match self.announce(wanted, &how, now) {
                    Err(BooksError::Swap(why)) => return self.stay(wanted, in_force, &why, now),
                    announced => announced?,
                };
                self.tell_followed(in_force);
                Ok(())
            }
        }
    }

    /// That a start orders another policy than the one that it found: an operator may have ordered that by command, and the
    /// file says otherwise.
    fn tell_followed(&self, in_force: &Policy) {
        let (found, word) = (called(in_force), &in_force.reason);
        let text = match self.pending() {
            Some(next) => format!(
                "the configuration says {}, which is announced by this start in the place of {found} (in force by the word of \
                 {word}): to keep that, write it into the file and reload",
                called(&next)
            ),
            None => format!(
                "what an earlier configuration announced is withdrawn by this start: {found} stays in force, as the \
                 configuration says"
            ),
        };
        self.alarms.raise(Level::Warning, &self.pool, "swap", text);
    }

    /// The configuration of a start orders what cannot take over. The policy in force can go on, so that miners are not cut
    /// off for the order: it is not announced, and the operator is told.
    fn stay(
        &self,
        wanted: &Wanted,
        in_force: &Policy,
        why: &SwapError,
        now: UnixMillis,
    ) -> Result<(), BooksError> {
        let mut inner = self.inner.lock();
        if inner.pending.as_ref().is_some_and(|waiting| waiting.notice.by_file) {
            self.withdraw(&mut inner, "the configuration orders another policy by now", now)?;
        }
        let (asked, stays) = (&wanted.scheme.name, &in_force.scheme.name);
        let settled = match wanted.run_off {
            Some(1..) => String::new(),
            Some(0) | None => format!(
                ", or payout.run_off = true with a payout.run_off_limit above 0, which announces {asked} and has {stays} settle \
                 what it owes"
            ),
        };
        let text = format!(
            "the configuration orders scheme {asked}, and the pool goes on with {stays}, which is in force; nothing is announced: \
             {why}. Write payout.scheme = \"{stays}\" with its settings and fee policies as `millpond status` shows \
             them{settled}"
        );
        self.alarms.raise(Level::Critical, &self.pool, "swap", text);
        Ok(())
    }

    /// Whether this is what is announced.
    pub(crate) fn announced_is(&self, wanted: &Wanted) -> bool {
        self.inner.lock().pending.as_ref().is_some_and(|waiting| waiting.is(wanted))
    }

    /// Whether this is in force.
    pub(crate) fn is_in_force(&self, wanted: &Wanted) -> bool {
        self.journal.newest_policy().is_some_and(|policy| wanted.is(&policy))
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

/// Whether a component itself is why a policy does not load, and not what it is read from.
fn is_of_component(why: &PolicyError) -> bool {
    !matches!(why, PolicyError::Store(StoreError::Unreadable(..) | StoreError::Disk(_)))
}

/// A policy that took over otherwise than miners were told.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Early {
    /// Before its time.
    #[error(
        "the journal announces scheme {scheme} for blocks of {} (ms since 1970) or later, and it took over behind share \
         {from}, where no such block was found",
        not_before.0
    )]
    NotDue {
        /// The scheme.
        scheme: String,
        /// Behind which share it came into force.
        from: ShareSeq,
        /// What was announced.
        not_before: UnixMillis,
    },
    /// Announced for a shorter time than was promised.
    #[error(
        "scheme {scheme}, which took over behind share {from}, was announced for {announced} ms, and {promised} ms were \
         promised"
    )]
    Short {
        /// The scheme.
        scheme: String,
        /// Behind which share it came into force.
        from: ShareSeq,
        /// For how long it was announced.
        announced: u64,
        /// For how long it should have been.
        promised: u64,
    },
    /// It follows a scheme that was not in force, or passes over what it was announced to settle.
    #[error(
        "scheme {scheme} took over behind share {from}, and what it says of the scheme before it is not what the records before \
         say"
    )]
    RunOff {
        /// The scheme.
        scheme: String,
        /// Behind which share it came into force.
        from: ShareSeq,
    },
    /// Not announced at all.
    #[error(
        "scheme {scheme} took over behind share {from}, and the journal does not announce this policy, though notice was \
         promised or another was announced"
    )]
    Untold {
        /// The scheme.
        scheme: String,
        /// Behind which share it came into force.
        from: ShareSeq,
    },
}

/// Reads a journal's records in their order, and tells of a policy that was early.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    /// What is announced, and for how long that was promised then.
    notice: Option<(Notice, u64)>,
    promise: Option<Promise>,
    /// Where windows of blocks end, and when they were found.
    found: Vec<(ShareSeq, UnixMillis)>,
}

impl Watch {
    /// A block that was open when the oldest records that are kept were begun: its own may be dropped.
    pub(crate) fn open(&mut self, block: &OpenBlock) {
        self.found.push((block.end, block.time));
    }

    /// The next record; `before` are the policies of those before it.
    pub(crate) fn see(&mut self, record: &Record, before: &[Policy]) -> Result<(), Early> {
        match record {
            Record::Solution(solution) => self.found.push((solution.end, solution.time)),
            Record::Promise(promise) => self.promise = Some(promise.clone()),
            // Again in each segment for as long as it waits: what was promised then is known from the first.
            Record::Notice(notice) if self.notice.as_ref().is_some_and(|(known, _)| known == notice) => {}
            Record::Notice(notice) => {
                let promised = self.promised(notice.announced);
                self.notice = notice.policy.is_some().then(|| (notice.clone(), promised));
            }
            Record::Policy(policy) => {
                let (scheme, from) = (policy.scheme.name.clone(), policy.from);
                let notice = self.notice.take_if(|(notice, _)| notice.announces(policy));
                let limit = notice.as_ref().and_then(|(notice, _)| run_off::asked(notice.policy.as_ref()?));
                if !run_off::is_told(policy, before, limit) {
                    return Err(Early::RunOff { scheme, from });
                }
                let Some((notice, promised)) = notice else {
                    let owed = self.notice.is_some() || self.promised(policy.time) > 0;
                    return match owed && !goes_untold(policy, before) {
                        true => Err(Early::Untold { scheme, from }),
                        false => Ok(()),
                    };
                };
                let Notice { announced, not_before, .. } = notice;
                let announced = not_before.0.saturating_sub(announced.0);
                if announced < promised {
                    return Err(Early::Short { scheme, from, announced, promised });
                }
                let good = |(end, time): &(ShareSeq, UnixMillis)| *end <= policy.from && *time >= not_before;
                if !self.found.iter().any(good) {
                    return Err(Early::NotDue { scheme, from, not_before });
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn promised(&self, time: UnixMillis) -> u64 {
        self.promise.as_ref().map_or(0, |promise| promise.at(time))
    }
}

/// Whether a policy may come into force without a notice: the first, a repair, one of before on the same word, whose
/// beginning a repair wrote again, and where blocks are paid by another coinbase.
fn goes_untold(policy: &Policy, before: &[Policy]) -> bool {
    let again = |known: &Policy| {
        known.scheme.is_same_as(&policy.scheme) && known.fees == policy.fees && known.reason == policy.reason
    };
    policy.reason.starts_with(LAST_GOOD)
        || policy.reason.ends_with(REPAIR)
        || before.iter().any(again)
        || before.last().is_none_or(|last| !pays_alike(last, policy))
}

#[cfg(test)]
mod tests {
    use super::*;
    use millpond_types::Digest;

    #[test]
    fn a_disk_that_cannot_be_read_withdraws_nothing() {
        let unread = StoreError::Unreadable("fee.wasm".into(), std::io::ErrorKind::Interrupted.into());
        assert!(!is_of_component(&unread.into()));
        for gone in [StoreError::Missing(Digest([1; 32])), StoreError::Damaged(Digest([1; 32]))] {
            assert!(is_of_component(&gone.into()));
        }
        assert!(is_of_component(&PolicyError::Forgets("pps".to_owned())));
    }
}
