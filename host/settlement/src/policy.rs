//! The operator's rules for payments.

use crate::Charge;
use millpond_ledger::Owner;
use millpond_types::Amount;

/// How payments are made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// The least balance that is paid. A payee may ask for more.
    pub minimum: Amount,
    /// The most that one run pays; zero for no cap.
    pub cap_per_run: Amount,
    /// The most that the runs of 24 hours pay; zero for no cap.
    pub cap_per_day: Amount,
    /// The most outputs of one transaction, at least 1.
    pub batch: usize,
    /// Who bears the network fee.
    pub charge: Charge,
    /// Ledger units per 1000 bytes; 0 lets the wallet choose.
    pub fee_rate: u64,
    /// The highest network fee of one transaction; zero for no more than it pays.
    pub max_fee: Amount,
    /// Confirmations after which a payment is settled, at least 1.
    pub confirmations: u32,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            minimum: Amount(100_000),
            cap_per_run: Amount::ZERO,
            cap_per_day: Amount::ZERO,
            batch: 200,
            charge: Charge::Pool,
            fee_rate: 0,
            max_fee: Amount::ZERO,
            confirmations: 1,
        }
    }
}

/// Where an owner's money goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PayTo {
    /// As the wallet writes it.
    pub address: String,
    /// His own least balance; the pool's counts when it is higher.
    pub minimum: Amount,
}

/// Knows the owners' addresses. `None`: he is not paid (a fee recipient whose share stays in the wallet).
pub trait Payees {
    /// Where an owner's money goes.
    fn pay_to(&self, owner: &Owner) -> Option<PayTo>;
}

impl<F: Fn(&Owner) -> Option<PayTo>> Payees for F {
    fn pay_to(&self, owner: &Owner) -> Option<PayTo> {
        self(owner)
    }
}
