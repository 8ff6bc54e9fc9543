//! What a run does with rows that the wallet or the node refuses: it finds out which, and pays the others.
//!
//! A refusal is definite: nothing went out, and the rows are back in their balances. Two things help. Where the wallet's
//! coins hardly cover the rows, it cannot bear the network fee on top: the rows are paid a little less, and the rest stays
//! in their balances. Else the rows are divided until what is refused stands alone.

use crate::{Mismatch, Report, Settlement, SettlementError};
use millpond_ledger::{Owner, PaymentRow};
use millpond_types::{Amount, UnixMillis};
use std::collections::{BTreeMap, BTreeSet};

/// Payments of one run beyond its batches: enough to find a few rows among thousands, and an end for a wallet that
/// refuses everything.
const TRIES: usize = 64;
/// What is held back of each row while the wallet cannot bear the fee on top: 1/256, 1/32, 1/4 of it.
const HELD_BACK: [u32; 3] = [8, 5, 2];
/// Who was refused alone is paid by himself for so long.
const APART_MS: u64 = 86_400_000;

/// Rows on their way.
struct Attempt {
    /// As planned.
    rows: Vec<PaymentRow>,
    /// The next step of [`HELD_BACK`].
    step: usize,
}

impl Settlement {
    /// Pays batches, one payment each and more where one is refused. What a wallet signed instead of what it was asked for
    /// is given back: it is released, and the others are made first.
    pub(crate) fn pay_all(
        &self,
        batches: &[Vec<PaymentRow>],
        now: UnixMillis,
        report: &mut Report,
    ) -> Result<Option<SettlementError>, SettlementError> {
        let (mut wrong, mut tries) = (None, TRIES);
        let (mut alone, mut paid) = (Vec::new(), false);
        for rows in self.set_apart(batches, now) {
            let mut waiting = vec![Attempt { rows, step: 0 }];
            while let Some(attempt) = waiting.pop() {
                let steps = report.steps.len();
                let refused = match self.pay(&self.lessened(&attempt), now, report) {
                    Err(SettlementError::Transaction { why, .. })
                        if matches!(*why, Mismatch::Address(_)) && attempt.rows.len() > 1 =>
                    {
                        true
                    }
                    // Released again, and everybody's matter; but the others' money does not wait for it.
                    Err(error @ SettlementError::Transaction { .. }) => {
                        wrong = wrong.or(Some(error));
                        false
                    }
                    refused => refused?,
                };
                if report.blocked.is_some() {
                    return Ok(wrong);
                }
                if !refused {
                    // Nor is everything paid that was not refused: a wallet that is away, or signs something else, says
                    // nothing of these rows either.
                    if report.steps.get(steps).is_some_and(|step| step.state != "released") {
                        paid = true;
                        let mut apart = self.refused.lock();
                        apart.retain(|owner, _| attempt.rows.iter().all(|row| row.owner != *owner));
                    }
                    continue;
                }
                if tries > 0 {
                    tries -= 1;
                    let next = self.after_refusal(attempt, &mut alone)?;
                    if let Some(step) = report.steps.get_mut(steps) {
                        step.again = !next.is_empty();
                    }
                    waiting.extend(next);
                }
            }
        }
        // A wallet that refused everything (it is locked, say) said nothing of any of them.
        if paid {
            self.refused.lock().extend(alone.into_iter().map(|owner| (owner, now)));
        }
        Ok(wrong)
    }

    /// The batches, with who was refused alone lately in batches of their own behind the others.
    fn set_apart(&self, batches: &[Vec<PaymentRow>], now: UnixMillis) -> Vec<Vec<PaymentRow>> {
        let mut refused = self.refused.lock();
        refused.retain(|_, since| now.since(*since) < APART_MS);
        let apart = |row: &PaymentRow| refused.contains_key(&row.owner);
        let (mut together, mut alone) = (Vec::new(), Vec::new());
        for batch in batches {
            let (one, rest): (Vec<_>, Vec<_>) = batch.iter().cloned().partition(apart);
            alone.extend(one.into_iter().map(|row| vec![row]));
            together.extend((!rest.is_empty()).then_some(rest));
        }
        together.extend(alone);
        together
    }

    /// The rows of an attempt, less what is held back.
    fn lessened(&self, attempt: &Attempt) -> Vec<PaymentRow> {
        let Some(shift) = attempt.step.checked_sub(1).and_then(|step| HELD_BACK.get(step)) else {
            return attempt.rows.clone();
        };
        let less = |row: &PaymentRow| {
            // A unit is held back at least, where there are two.
            let held = (row.amount.0 >> shift).max(1);
            let amount = Amount(row.amount.0.saturating_sub(held).max(1));
            PaymentRow { amount, ..row.clone() }
        };
        attempt.rows.iter().map(less).collect()
    }

    /// What is tried in place of a refused attempt; who stands alone in it is added to `alone`.
    fn after_refusal(
        &self,
        attempt: Attempt,
        alone: &mut Vec<Owner>,
    ) -> Result<Vec<Attempt>, SettlementError> {
        let total = Amount::sum(attempt.rows.iter().map(|row| row.amount));
        let total = total.ok_or(SettlementError::Overflow("a payment"))?;
        let spendable = self.wallet.spendable(&self.reserved_inputs())?;
        // A third more than what is paid: no sensible fee takes that.
        let tight = total.0.saturating_add(total.0 / 3) > spendable.0;
        if tight && attempt.step < HELD_BACK.len() {
            return Ok(vec![Attempt { step: attempt.step.saturating_add(1), ..attempt }]);
        }
        let mut rows = attempt.rows;
        if let [row] = rows.as_slice() {
            let own = self.own_of(BTreeSet::from([row.address.clone()]))?;
            // An own address alone is refused since there is nothing to send.
            if !tight && own.is_empty() {
                alone.push(row.owner.clone());
            }
            return Ok(Vec::new());
        }
        let rest = rows.split_off(rows.len() / 2);
        // The first half is popped first.
        Ok([rest, rows].into_iter().map(|rows| Attempt { rows, step: 0 }).collect())
    }
}

/// Who was refused alone, and when.
pub(crate) type RefusedAlone = BTreeMap<Owner, UnixMillis>;
