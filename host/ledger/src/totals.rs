//! The pool's figures and the proof that nothing was lost between them.

use crate::sums::Sums;
use crate::{Account, Book};
use serde::{Deserialize, Serialize};

/// Running sums, kept beside the balances and checked against them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Counters {
    pub(crate) income: i128,
    pub(crate) loss: i128,
    pub(crate) advanced: i128,
    pub(crate) credited: i128,
    pub(crate) fees: i128,
    pub(crate) carried: i128,
    pub(crate) paid: i128,
    pub(crate) paid_fees: i128,
    pub(crate) charged_miners: i128,
    pub(crate) charged_fees: i128,
    pub(crate) network_fees: i128,
    pub(crate) adjusted_miners: i128,
    pub(crate) adjusted_fees: i128,
    pub(crate) adjusted_carried: i128,
}

/// The pool's figures, in ledger units. Of matured income: `income = credited + fees + carried`, when the operator
/// lost nothing (else `income + operator_loss + advanced`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Matured incomes.
    pub income: i128,
    /// Credited to miners of matured incomes or from the reserve; includes what was paid since.
    pub credited: i128,
    /// Credited to fee recipients; includes what was paid since.
    pub fees: i128,
    /// Sent to miners.
    pub paid: i128,
    /// Sent to fee recipients.
    pub paid_fees: i128,
    /// Left over for later incomes, and the change of the reserve; below zero while PPS credit exceeds income.
    pub carried: i128,
    /// Incomes lost by the chain that the operator made good.
    pub operator_loss: i128,
    /// Credited from incomes that are back on the chain and not mature yet.
    pub advanced: i128,
    /// Network fees that the pool bore.
    pub network_fees: i128,
    /// Network fees that owners bore; part of `credited` and `fees`.
    pub network_fees_charged: i128,
    /// Not mature yet.
    pub immature: i128,
    /// Payable now, to miners and fee recipients.
    pub payable: i128,
    /// Reserved for open payments.
    pub in_flight: i128,
    /// What the books say the wallet holds of the pool's money.
    pub wallet: i128,
    /// Whether every identity below holds to the unit: the books balance; income is divided without rest; what was
    /// credited, adjusted and paid is what the balances hold.
    pub conserved: bool,
}

impl Totals {
    /// The figures of a book whose sums these are. Walks nothing.
    pub(crate) fn of(book: &Book, held: &Sums) -> Self {
        let c = &book.counters;
        let &Sums { miners, fees, pooled, immature, trial, flying_miners, flying_fees, carried_in, .. } =
            held;
        let in_flight = book.balance(&Account::InFlight);
        let sums = |parts: &[i128]| parts.iter().fold(0_i128, |sum, part| sum.saturating_add(*part));
        let conserved = trial == 0
            && sums(&[c.income, c.loss, c.advanced]) == sums(&[c.credited, c.fees, c.carried])
            && sums(&[miners, flying_miners, c.paid, c.charged_miners])
                == sums(&[c.credited, c.adjusted_miners])
            && sums(&[fees, flying_fees, c.paid_fees, c.charged_fees]) == sums(&[c.fees, c.adjusted_fees])
            && sums(&[pooled, carried_in]) == sums(&[c.carried, c.adjusted_carried])
            && in_flight == sums(&[flying_miners, flying_fees]);
        Self {
            income: c.income,
            credited: c.credited,
            fees: c.fees,
            paid: c.paid,
            paid_fees: c.paid_fees,
            carried: c.carried,
            operator_loss: c.loss,
            advanced: c.advanced,
            network_fees: c.network_fees,
            network_fees_charged: sums(&[c.charged_miners, c.charged_fees]),
            immature,
            payable: sums(&[miners, fees]),
            in_flight,
            wallet: book.balance(&Account::Wallet),
            conserved,
        }
    }
}
