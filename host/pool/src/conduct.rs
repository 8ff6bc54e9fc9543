//! What becomes of a scheme or fee policy that fails: strikes per component and input, pauses that grow, quarantine; and
//! who divides what it left undivided.
//!
//! In quarantine a component is not called again. An older version of it that declares the same terms takes its place;
//! without one its incomes wait undivided, the pool is not ready and an alarm says why, until an operator swaps. Either
//! way exactly the undivided incomes and everything after them go over to the other component, by policy records in the
//! journal, so that a replay divides each income by whom the pool did.

use crate::books::{Books, BooksError, Inner};
use crate::decide::{self, DecideError, income_key};
use crate::policy::{Bound, pays_alike};
use crate::run_off::{self, Followed, Follows};
use millpond_alerts::Level;
use millpond_journal::{Income, Policy};
use millpond_ledger::{IncomeStatus, Reversal};
use millpond_payout::check_repair;
use millpond_runtime::strikes::{Decision, Strikes};
use millpond_types::{Digest, ShareSeq, UnixMillis};
use std::collections::BTreeSet;

/// How the word begins on which an older version takes the place of one in quarantine.
pub(crate) const LAST_GOOD: &str = "the last good version, since ";

/// The strikes of a pool's money plugins.
#[derive(Debug, Default)]
pub(crate) struct Conduct {
    strikes: Strikes,
    /// Nothing is asked of a plugin that failed before this.
    retry_at: UnixMillis,
}

/// A component that may not be called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stopped {
    /// The component.
    pub component: Digest,
    /// Its name, with the start of its digest.
    pub plugin: String,
    /// Its first error.
    pub first_error: String,
}

/// The components of a policy, with their names, and of the one that it follows and that is called too.
fn components(bound: &Bound) -> Vec<(Digest, &str)> {
    let old = bound.old().map(|old| own(&old.bound)).unwrap_or_default();
    own(bound).into_iter().chain(old).collect()
}

/// The components of a policy itself, with their names.
fn own(bound: &Bound) -> Vec<(Digest, &str)> {
    let fees = bound.fees.iter().map(|fee| (fee.digest(), fee.name()));
    [(bound.scheme.digest(), bound.scheme.name())].into_iter().chain(fees).collect()
}

impl Conduct {
    /// Which component of a policy is in quarantine.
    pub(crate) fn stopped(&self, bound: &Bound) -> Option<Stopped> {
        self.first_stopped(components(bound))
    }

    /// As [`Conduct::stopped`], of the policy itself and not of the one that it follows.
    pub(crate) fn stopped_itself(&self, bound: &Bound) -> Option<Stopped> {
        self.first_stopped(own(bound))
    }

    /// As [`Conduct::stopped_itself`], when what another policy consists of is called again.
    fn stopped_beside(&self, bound: &Bound, released: &Policy) -> Option<Stopped> {
        let mut components = own(bound);
        components.retain(|(component, _)| {
            let mut plugins = std::iter::once(&released.scheme).chain(&released.fees);
            plugins.all(|plugin| plugin.component != *component)
        });
        self.first_stopped(components)
    }

    fn first_stopped(&self, components: Vec<(Digest, &str)>) -> Option<Stopped> {
        components.into_iter().find_map(|(component, name)| {
            let first_error = self.strikes.quarantined(component)?.to_owned();
            Some(Stopped { component, plugin: name.to_owned(), first_error })
        })
    }

    /// Whether a policy may be asked now.
    ///
    /// # Errors
    /// Why not: it waits out a pause, or for good.
    pub(crate) fn may_ask(&self, bound: &Bound, now: UnixMillis) -> Result<(), BooksError> {
        match self.stopped(bound) {
            Some(stopped) => Err(BooksError::Quarantined(stopped)),
            None if now < self.retry_at => Err(BooksError::Pause),
            None => Ok(()),
        }
    }

    /// Whether a policy may be given shares now: whom it follows is asked of incomes alone.
    ///
    /// # Errors
    /// As [`Conduct::may_ask`].
    pub(crate) fn may_give(&self, bound: &Bound, now: UnixMillis) -> Result<(), BooksError> {
        match self.stopped_itself(bound) {
            Some(stopped) => Err(BooksError::Quarantined(stopped)),
            None if now < self.retry_at => Err(BooksError::Pause),
            None => Ok(()),
        }
    }

    pub(crate) fn quarantined(&self, component: Digest) -> Option<&str> {
        self.strikes.quarantined(component)
    }

    /// A decision did not come about. Gives who went into quarantine by it.
    pub(crate) fn failed(
        &mut self,
        bound: &Bound,
        input: &[u8],
        why: &DecideError,
        now: UnixMillis,
    ) -> Option<Stopped> {
        let DecideError::Payout(error) = why else { return None };
        let name = error.plugin().filter(|_| error.is_strike())?;
        let (component, known) = components(bound).into_iter().find(|(_, known)| *known == name)?;
        match self.strikes.struck(component, Digest::of(input), &error.to_string(), now) {
            Decision::GoOn => None,
            Decision::RetryAfter(pause) => {
                let pause = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
                self.retry_at = UnixMillis(now.0.saturating_add(pause));
                None
            }
            Decision::Quarantine { .. } => self.first_stopped(vec![(component, known)]),
        }
    }

    pub(crate) fn went_well(&mut self, bound: &Bound, now: UnixMillis) {
        for (component, _) in components(bound) {
            self.strikes.went_well(component, now);
        }
    }

    /// Another policy takes over, by an operator's order: what it consists of may be called again.
    pub(crate) fn release(&mut self, bound: &Bound) {
        for (component, _) in components(bound) {
            self.strikes.release(component);
        }
        self.retry_at = UnixMillis(0);
    }
}

impl Books {
    /// A component may be called again, by an operator's order: nothing is held against it. What it left undivided is
    /// tried again as after any failure.
    pub fn release(&self, component: Digest) {
        let mut inner = self.inner.lock();
        inner.conduct.strikes.release(component);
        inner.conduct.retry_at = UnixMillis(0);
        inner.first_error = None;
    }

    /// Why incomes wait, when the policy in force may not be called any more, or one of before that has some to divide.
    #[must_use]
    pub fn stuck(&self) -> Option<String> {
        let inner = self.inner.lock();
        if !inner.conduct.strikes.any_quarantined() {
            return None;
        }
        let in_force = self.journal.newest_policy()?;
        let waits = |policy: &Policy| {
            *policy == in_force || self.undivided(policy).is_ok_and(|[waiting, _]| !waiting.is_empty())
        };
        let policy = self.stuck_policies(&inner).ok()?.into_iter().find(waits)?;
        let stopped = inner.conduct.stopped(&self.loader.bind(&policy).ok()?)?;
        Some(format!("{} is in quarantine, incomes wait undivided: {}", stopped.plugin, stopped.first_error))
    }

    /// The first error of a component that is in quarantine, and whether another one decides in its place.
    #[must_use]
    pub fn quarantined(&self, component: Digest) -> Option<(String, bool)> {
        let in_force = self.journal.newest_policy()?;
        let first_error = self.inner.lock().conduct.quarantined(component)?.to_owned();
        let decides = in_force.scheme.component == component
            || in_force.fees.iter().any(|fee| fee.component == component);
        Some((first_error, !decides))
    }

    /// A component went into quarantine: an older version takes over, or the operator has to.
    pub(crate) fn quarantine(&self, inner: &mut Inner, policy: &Policy, bound: &Bound, stopped: &Stopped) {
        let Stopped { plugin, first_error, .. } = stopped;
        let now = UnixMillis::now();
        let is_followed = inner.conduct.stopped_itself(bound).is_none();
        let done = match self.last_good(inner, policy, bound) {
            None if is_followed => format!(
                "{plugin} is in quarantine, and there is no older version of it with the same terms: incomes of which it still has a \
                 part wait undivided until it may be called again, or until the scheme that followed it is ordered once more, which \
                 leaves that part unpaid. Its first error: {first_error}"
            ),
            None => format!(
                "{plugin} is in quarantine, and there is no older version of it with the same terms: incomes wait \
                 undivided until another one takes over (`millpond plugin swap`). Its first error: {first_error}"
            ),
            Some((older, name)) => {
                let reason = format!("{LAST_GOOD}{plugin} is in quarantine");
                let older = Policy { reason, ..older };
                match self.put_in_place(inner, policy, &older, now) {
                    Ok(()) => format!(
                        "{plugin} is in quarantine; its older version {name} goes on. Its first error: {first_error}"
                    ),
                    Err(why) => format!(
                        "{plugin} is in quarantine and its older version could not take over: {why}. Its first \
                         error: {first_error}"
                    ),
                }
            }
        };
        self.alarms.raise(Level::Critical, &self.pool, "plugin", done);
    }

    /// The policy itself with an older version of what it follows, where that is what failed; else the newest policy of before
    /// that can be called.
    fn last_good(&self, inner: &Inner, policy: &Policy, bound: &Bound) -> Option<(Policy, String)> {
        if inner.conduct.stopped_itself(bound).is_none()
            && let Some(old) = bound.old()
        {
            let (older, name) = self.older(inner, &old.followed.policy(), &old.bound)?;
            let instead = run_off::following_instead(policy, &older).ok()??;
            return Some((instead, name));
        }
        let (older, name) = self.older(inner, policy, bound)?;
        let (older, dropped) = self.standing_in(inner, policy, older).ok()?;
        dropped.is_none().then_some((older, name))
    }

    /// A policy that repairs another, following whom that followed: as he is where he can be called, else by an older version
    /// of his, or by what takes the place of the component that failed with both. Where there is none of these nobody is followed
    /// and his name is given: his part is unpaid then, which no repair does without an order.
    fn standing_in(
        &self,
        inner: &Inner,
        failed: &Policy,
        by: Policy,
    ) -> Result<(Policy, Option<String>), BooksError> {
        let Some(follows) = Follows::of(failed)? else { return Ok((run_off::following(by, None)?, None)) };
        let Some(old) = follows.old.as_ref().map(Followed::policy) else {
            return Ok((run_off::following(by, Some(&follows))?, None));
        };
        let bound = self.loader.bind(&old)?;
        if inner.conduct.stopped_beside(&bound, &by).is_none() {
            return Ok((run_off::following(by, Some(&follows))?, None));
        }
        let repaired = run_off::with_repaired(&old, failed, &by).filter(|other| {
            self.loader.bind(other).is_ok_and(|other| {
                other.scheme.terms() == bound.scheme.terms()
                    && inner.conduct.stopped_beside(&other, &by).is_none()
            })
        });
        let other = self.older(inner, &old, &bound).map(|(older, _)| older).or(repaired);
        match other.and_then(|other| follows.instead(&other)) {
            Some(instead) => Ok((run_off::following(by, Some(&instead))?, None)),
            None => {
                let alone = run_off::following(by, Some(&follows.floor_alone()))?;
                Ok((alone, Some(bound.scheme.name().to_owned())))
            }
        }
    }

    /// The newest policy of before whose components are not in quarantine, with the same settings and terms.
    fn older(&self, inner: &Inner, policy: &Policy, bound: &Bound) -> Option<(Policy, String)> {
        let same = |older: &Policy| {
            run_off::set_alike(&older.scheme, &policy.scheme)
                && older.fees.len() == policy.fees.len()
                && older.fees.iter().zip(&policy.fees).all(|(a, b)| a.config == b.config)
        };
        let fits = |older: Policy| {
            let candidate = self.loader.bind(&older).ok()?;
            let good = candidate.scheme.terms() == bound.scheme.terms()
                && inner.conduct.stopped_itself(&candidate).is_none();
            let differs = own(&candidate).into_iter().zip(own(bound)).find(|(a, b)| a.0 != b.0);
            let name = differs.map(|((_, name), _)| name.to_owned())?;
            good.then_some((older, name))
        };
        self.journal.policies().into_iter().rev().filter(same).find_map(fits)
    }

    /// An income that came when its policy was in quarantine already: whoever is in force in its place divides this one
    /// too. Says whether another policy has it now.
    ///
    /// # Errors
    /// When a component does not load, or the journal fails.
    pub(crate) fn take_late(
        &self,
        inner: &mut Inner,
        policy: &Policy,
        bound: &Bound,
        end: ShareSeq,
    ) -> Result<bool, BooksError> {
        let Some(stopped) = inner.conduct.stopped(bound) else { return Ok(false) };
        // Whom it follows failed on an income of its own: what he is owed is nobody else's without an order.
        if inner.conduct.stopped_itself(bound).is_none() {
            let Some((instead, _)) = self.last_good(inner, policy, bound) else { return Ok(false) };
            let reason = format!("{LAST_GOOD}{} is in quarantine", stopped.plugin);
            self.put_in_place(inner, policy, &Policy { reason, ..instead }, UnixMillis::now())?;
            return Ok(true);
        }
        let in_force = self.journal.newest_policy().ok_or(BooksError::NoPolicy(end))?;
        let by = self.loader.bind(&in_force)?;
        let fits = in_force != *policy
            && inner.conduct.stopped(&by).is_none()
            && pays_alike(policy, &in_force)
            && check_repair(&bound.scheme, &by.scheme, &inner.state).is_ok();
        if !fits {
            return Ok(false);
        }
        let (by, dropped) = self.standing_in(inner, policy, in_force)?;
        if dropped.is_some() {
            return Ok(false);
        }
        self.put_in_place(inner, policy, &by, UnixMillis::now())?;
        Ok(self.journal.policy_at(end).as_ref() != Some(policy))
    }

    /// Puts a policy in the place of one that failed, by an operator's order: for the incomes that it left undivided and, when it
    /// is in force, for everything from now on. What it divided or credited stays its own, and whom it followed is followed on,
    /// but where he cannot be called: an alarm says so.
    ///
    /// # Errors
    /// When the journal fails.
    pub(crate) fn take_over(
        &self,
        inner: &mut Inner,
        failed: &Policy,
        by: &Policy,
        now: UnixMillis,
    ) -> Result<(), BooksError> {
        let (by, dropped) = self.standing_in(inner, failed, by.clone())?;
        self.put_in_place(inner, failed, &by, now)?;
        if let Some(dropped) = dropped {
            let text = format!(
                "scheme {dropped}, which {} followed, is in quarantine and nothing stands in for it: by the order to go on with {} \
                 what it still owed for work of before is not paid",
                failed.scheme.name, by.scheme.name
            );
            self.alarms.raise(Level::Critical, &self.pool, "swap", text);
        }
        Ok(())
    }

    /// As [`Books::take_over`], by this very policy.
    fn put_in_place(
        &self,
        inner: &mut Inner,
        failed: &Policy,
        by: &Policy,
        now: UnixMillis,
    ) -> Result<(), BooksError> {
        let before = self.journal.policies();
        let in_force = before.last() == Some(failed);
        let at = |end: ShareSeq| before.iter().rev().find(|policy| policy.from < end || policy.from.0 == 0);
        let record =
            |policy: &Policy, from| self.journal.record(Policy { from, time: now, ..policy.clone() }).wait();
        let (failing, following) = (self.loader.bind(failed)?, self.loader.bind(by)?);
        let takes_shares = [&failing, &following].iter().any(|bound| bound.scheme.terms().batch > 0);
        let [waiting, divided] = self.undivided(failed)?;
        // Boundaries between schemes that take each share lie where they began to: those stay, and their incomes wait. No
        // such boundary is where one and the same scheme goes on.
        let stay = takes_shares && !decide::takes_shares_alike(&failing, failed, by);
        let ends = if stay { BTreeSet::new() } else { waiting };
        // An end's policy is the newest that begins before it. So from the first of these ends on all beginnings are
        // written again, in order: the new policy's for these ends alone, and every other as it was.
        let mut begins: BTreeSet<ShareSeq> =
            ends.iter().flat_map(|end| [ShareSeq(end.0.saturating_sub(1)), *end]).collect();
        if let Some(first) = begins.first().copied() {
            begins.extend(before.iter().map(|policy| policy.from).filter(|from| *from > first));
        }
        for from in begins {
            let end = ShareSeq(from.0.saturating_add(1));
            let policy = if ends.contains(&end) { Some(by) } else { at(end) };
            if let Some(policy) = policy {
                record(policy, from)?;
            }
        }
        if in_force {
            // Shares that it could not credit are credited by who follows; what it divided stays behind it.
            let given = ShareSeq(self.ledger.accrued_to());
            let begun = at(ShareSeq(given.0.saturating_add(1)))
                .is_some_and(|first| decide::takes_shares_alike(&failing, failed, first));
            let credited = if begun { given } else { given.max(failed.from) };
            let from = match takes_shares {
                true => divided.last().copied().map_or(credited, |end| end.max(credited)),
                false => self.journal.view().newest(),
            };
            record(by, from)?;
        }
        inner.first_error = None;
        Ok(())
    }

    /// The policies that left incomes undivided because a component of theirs is in quarantine.
    pub(crate) fn stuck_policies(&self, inner: &Inner) -> Result<Vec<Policy>, BooksError> {
        let mut stuck: Vec<Policy> = Vec::new();
        let ends = self.journal.open_incomes().into_iter().map(|income| income.end.seq);
        let of_ends = ends.filter_map(|end| self.journal.policy_at(end));
        for policy in of_ends.chain(self.journal.newest_policy()) {
            if !stuck.contains(&policy) && inner.conduct.stopped(&self.loader.bind(&policy)?).is_some() {
                stuck.push(policy);
            }
        }
        Ok(stuck)
    }

    /// Ends of the undivided incomes that a policy has to divide, without those at whose end it has divided another; and
    /// the ends of what it has divided and may still be lost.
    fn undivided(&self, policy: &Policy) -> Result<[BTreeSet<ShareSeq>; 2], BooksError> {
        let mut incomes: Vec<Income> = self.journal.open_incomes();
        incomes.retain(|income| self.journal.policy_at(income.end.seq).as_ref() == Some(policy));
        let book = self.ledger.book();
        let (mut waiting, mut divided) = (BTreeSet::new(), BTreeSet::new());
        for income in incomes {
            match book.income(&income_key(&income.key)?).map(|known| known.status) {
                None
                | Some(IncomeStatus::Reversed(Reversal::Drop | Reversal::Restore | Reversal::KeepReserve)) => {
                    waiting.insert(income.end.seq)
                }
                Some(_) => divided.insert(income.end.seq),
            };
        }
        Ok([waiting.difference(&divided).copied().collect(), divided])
    }
}
