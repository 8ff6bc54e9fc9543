//! Payments that were sent long ago and are in no block deep enough: nothing else would tell of them.

use crate::core::Core;
use millpond_alerts::Level;
use millpond_ledger::{PaymentState, PaymentStatus};
use millpond_types::UnixMillis;

/// Longer than blocks of any chain here are away for.
const LONG_MS: u64 = 6 * 3_600_000;

/// What is to be said of a payment, in the same words however long it waits.
fn waits_long(state: &PaymentState, now: UnixMillis) -> Option<String> {
    let since = state.submitted_at.unwrap_or(state.changed_at);
    if state.status != PaymentStatus::Sent || now.since(since) < LONG_MS {
        return None;
    }
    let txid = state.txid.as_ref().map_or("", |txid| txid.0.as_str());
    Some(format!(
        "payment {} ({txid}) was sent more than {} hours ago and is not settled: its network fee may be too low, or the \
         node may not be connected; have the transaction's fee raised by spending its change (CPFP)",
        state.id,
        LONG_MS / 3_600_000
    ))
}

/// Raises an alarm for each of them.
pub(crate) fn tell(core: &Core, now: UnixMillis) {
    for text in core.ledger.open_payments().iter().filter_map(|state| waits_long(state, now)) {
        core.alarm(Level::Warning, "wallet", text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use millpond_ledger::{PaymentId, TxId};
    use millpond_types::Amount;

    #[test]
    fn a_payment_that_waits_for_hours_is_told_of_and_one_that_is_settled_or_young_is_not() {
        let sent = PaymentState {
            id: PaymentId(3),
            rows: Vec::new(),
            status: PaymentStatus::Sent,
            reserved_at: UnixMillis(0),
            changed_at: UnixMillis(LONG_MS),
            built: None,
            submitted_at: Some(UnixMillis(1_000)),
            attempts: 2,
            marker: None,
            txid: Some(TxId("aa".to_owned())),
            fee: Amount::ZERO,
            sent: Amount::ZERO,
        };
        let at = |state: &PaymentState, now| waits_long(state, UnixMillis(now));
        assert_eq!(at(&sent, LONG_MS), None);
        let told = at(&sent, LONG_MS + 1_000).unwrap();
        assert!(told.contains("payment 3 (aa)"), "{told}");
        assert_eq!(at(&sent, 9 * LONG_MS), Some(told), "the same alarm");
        for status in [PaymentStatus::Settled, PaymentStatus::Built, PaymentStatus::Unknown("x".to_owned())] {
            assert_eq!(at(&PaymentState { status, ..sent.clone() }, 9 * LONG_MS), None);
        }
    }
}
