//! What each owner was sent so far, as running sums: pages ask for it all day and must not walk the history for it.

use crate::book::amount_of;
use crate::{Book, Entry, IncomeKey, IncomeStatus, Owner, PaymentId, SettledRow, Share};
use millpond_types::Amount;

impl Book {
    /// What was sent to an owner in all: by payments that are settled, and by the chain itself in matured coinbases.
    #[must_use]
    pub fn paid(&self, owner: &Owner) -> Amount {
        amount_of(self.paid.get(owner).copied().unwrap_or(0))
    }

    /// Sent to miners and to all others, summed over the owners.
    pub(crate) fn sent(&self) -> (i128, i128) {
        self.paid.iter().fold((0, 0), |(miners, others), (owner, sum)| match owner {
            Owner::Miner(_) => (miners.saturating_add(*sum), others),
            _ => (miners, others.saturating_add(*sum)),
        })
    }

    /// Counts what an entry sends, before the entry changes the book.
    pub(crate) fn count_sent(&mut self, entry: &Entry) {
        match entry {
            Entry::PaymentSettled { payment, rows, .. } => self.count_rows(*payment, rows, 1),
            Entry::PaymentUndone { payment, rows, .. } => self.count_rows(*payment, rows, -1),
            Entry::Matured { key } => self.count_direct(key, IncomeStatus::Immature, 1),
            Entry::Reversed { key, .. } => self.count_direct(key, IncomeStatus::Matured, -1),
            Entry::Reinstated { key } => self.count_direct(key, IncomeStatus::LostAfterMaturity, 1),
            _ => {}
        }
    }

    fn count_rows(&mut self, payment: PaymentId, done: &[SettledRow], sign: i128) {
        let Some(known) = self.payments.get(&payment) else { return };
        for (row, done) in known.rows.iter().zip(done) {
            let sum = self.paid.entry(row.owner.clone()).or_default();
            *sum = sum.saturating_add(sign * i128::from(done.sent.0));
        }
    }

    fn count_direct(&mut self, key: &IncomeKey, was: IncomeStatus, sign: i128) {
        let Some(known) = self.incomes.get(key).filter(|known| known.direct && known.status == was) else {
            return;
        };
        // What the operator made good before stays payable when it matures at last: it is sent by a payment.
        if known.credited_early && was == IncomeStatus::Immature {
            return;
        }
        for Share(owner, part) in known.parts.iter().flat_map(|parts| parts.shares()) {
            let sum = self.paid.entry(owner.clone()).or_default();
            *sum = sum.saturating_add(sign * i128::from(part.0));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use millpond_types::MinerId;

    #[test]
    fn figures_of_what_an_owner_was_sent_that_nothing_bears_out_are_not_conserved() {
        let mut book = Book::default();
        assert!(book.totals_anew().conserved);
        book.paid.insert(Owner::Miner(MinerId(1)), 5);
        assert!(!book.totals_anew().conserved, "nothing was ever sent");
        book.paid.insert(Owner::Carry, -5);
        assert!(!book.totals_anew().conserved, "nor is it made good by another kind of owner");
    }
}
