//! What can go wrong with a payment.

use crate::{Edge, Mismatch};
use millpond_ledger::{LedgerError, PaymentId};

/// How a call to a wallet or node failed. The difference decides about money: only [`WalletError::Refused`] and
/// [`WalletError::NotSent`] say that nothing happened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WalletError {
    /// The wallet answered and said no: nothing happened.
    #[error("{call}: the wallet refused: {why}")]
    Refused {
        /// The call.
        call: String,
        /// Its words.
        why: String,
        /// Its code, 0 when it has none.
        code: i64,
    },
    /// The call never reached the wallet.
    #[error("{call}: the wallet cannot be reached: {why}")]
    NotSent {
        /// The call.
        call: String,
        /// Why.
        why: String,
    },
    /// No answer: the wallet may have done it.
    #[error("{call}: no answer, the outcome is unknown: {why}")]
    Unknown {
        /// The call.
        call: String,
        /// Why.
        why: String,
    },
    /// An answer that does not fit the request. Nothing of it is used.
    #[error("{call}: the wallet's answer does not fit: {why}")]
    Answer {
        /// The call.
        call: String,
        /// What does not fit.
        why: String,
    },
}

impl WalletError {
    /// Whether the call certainly had no effect.
    #[must_use]
    pub fn nothing_happened(&self) -> bool {
        matches!(self, Self::Refused { .. } | Self::NotSent { .. })
    }
}

/// Why a run of payments, or an order of the operator, did not go through.
#[derive(Debug, thiserror::Error)]
pub enum SettlementError {
    /// The ledger refused, or its disk failed: no payment starts.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The wallet failed before anything was sent.
    #[error(transparent)]
    Wallet(#[from] WalletError),
    /// The signed transaction is not the one that was asked for. It was not stored and not sent.
    #[error("payment {payment}: the wallet's transaction is not what was asked for: {why}; check the wallet")]
    Transaction {
        /// The payment.
        payment: PaymentId,
        /// What differs.
        why: Box<Mismatch>,
    },
    /// An order of the operator that could pay twice.
    #[error("payment {payment} cannot be {order}: {why}")]
    Order {
        /// The payment.
        payment: PaymentId,
        /// released or resolved.
        order: &'static str,
        /// What to do instead.
        why: String,
    },
    /// Amounts that leave their integers.
    #[error("{0} does not fit 64 bits")]
    Overflow(&'static str),
    /// A test stopped the run here.
    #[error("stopped at the edge {0:?}")]
    Halted(Edge),
}
