//! When a scheme that was followed is settled, and who waits for that.

use super::{Follows, following};
use crate::books::{Books, BooksError, Inner};
use crate::policy::Bound;
use millpond_alerts::Level;
use millpond_journal::Policy;
use millpond_payout::{SchemeState, is_of_before};
use millpond_types::{ShareSeq, UnixMillis};

impl Books {
    /// Whether the scheme that the one in force follows has nothing to pay any more, at a block that was found at this time and
    /// whose window ends at this share: `None` where there is none.
    pub(crate) fn is_run_off(
        &self,
        state: &SchemeState,
        in_force: &Bound,
        end: ShareSeq,
        found: UnixMillis,
    ) -> Result<Option<bool>, BooksError> {
        let Some(run_off) = in_force.run_off.as_ref().filter(|_| in_force.old().is_some()) else {
            return Ok(None);
        };
        let number = self.incomes().saturating_add(1);
        if let Some(old) = in_force.old_in_cells() {
            // Whichever of the open incomes are lost.
            let owes = in_force.kept_by_old(state).is_some_and(|kept| kept.may_have(is_of_before));
            return Ok(Some(!owes || !old.is_asked(number)));
        }
        // As its income will have it.
        let mut blocks = self.journal.open_blocks().into_iter();
        let Some(open) = blocks.rfind(|open| open.end == end && open.time == found) else {
            return Ok(Some(false));
        };
        let (end, _) = self.journal.end_of_block(&open.block)?;
        Ok(Some(run_off.at(&self.journal.view(), &end, (true, number))?.is_none()))
    }

    /// Incomes that were divided.
    pub(crate) fn incomes(&self) -> u64 {
        self.ledger.book().income_count()
    }

    /// The policy in force goes on without the one that it follows, behind a share.
    pub(crate) fn end_run_off(
        &self,
        inner: &mut Inner,
        in_force: &Policy,
        (from, now): (ShareSeq, UnixMillis),
    ) -> Result<(), BooksError> {
        self.tell_forgotten(&inner.state, &self.loader.bind(in_force)?);
        let follows = Follows::of(in_force)?.map(|follows| follows.floor_alone());
        let policy = following(Policy { from, time: now, ..in_force.clone() }, follows.as_ref())?;
        self.journal.record(policy).wait()?;
        inner.first_error = None;
        Ok(())
    }

    /// That nothing is aside of a scheme that was followed, or would be with the next income.
    pub(crate) fn is_settled(&self, in_force: &Bound, state: &SchemeState) -> Result<(), BooksError> {
        let owes = in_force.kept_by_old(state).filter(|kept| kept.may_have(is_of_before));
        let old = in_force.old().filter(|old| old.is_asked(self.incomes().saturating_add(1)));
        let unsettled = state.aside().or(owes.filter(|_| old.is_some())).map(|kept| kept.format().to_owned());
        match unsettled.or_else(|| state.holds_aside().then(String::new)) {
            Some(format) => Err(BooksError::Unsettled(format)),
            None => Ok(()),
        }
    }

    /// What a scheme keeps of miners is forgotten with it, after as many incomes as it may pay of.
    pub(crate) fn tell_forgotten(&self, state: &SchemeState, in_force: &Bound) {
        let Some(old) = in_force.old_in_cells() else { return };
        let scheme = &old.bound.scheme;
        let kept = in_force.kept_by_old(state).filter(|kept| kept.may_have(is_of_before));
        let Some(kept) = kept else { return };
        let miners = kept.miners().filter(|miner| is_of_before(*miner)).count();
        let text = format!(
            "scheme {} has had its part of as many incomes as payout.run_off_limit gave it, and is asked no more: what it still keeps \
             of {miners} miners for work up to share {} goes unpaid",
            scheme.name(),
            in_force.clip().floor
        );
        self.alarms.raise(Level::Warning, &self.pool, "swap", text);
    }

    /// Another policy has to wait until the scheme of before is settled.
    pub(crate) fn tell_waiting(&self, in_force: &Bound, next: &Policy) {
        let Some(old) = in_force.old() else {
            let text = format!(
                "what a scheme of before kept of miners is settled; {} waits for a block behind the first income that {} divided alone, \
                 until no open income could bring anything of it back",
                next.scheme.name,
                in_force.scheme.name()
            );
            self.alarms.raise(Level::Warning, &self.pool, "swap", text);
            return;
        };
        let floor = in_force.clip().floor;
        let text = format!(
            "scheme {} still pays for work up to share {floor}: {} waits for a block by which that is done, at the latest for \
             income {}",
            old.bound.scheme.name(),
            next.scheme.name,
            old.followed.until.saturating_add(1)
        );
        self.alarms.raise(Level::Warning, &self.pool, "swap", text);
    }
}
