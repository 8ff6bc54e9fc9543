//! Incomes that their policy failed to divide, and what repeated failure of a policy leads to.
//!
//! A result that breaks a rule is as bad as a trap. Strikes are counted by policy, that is by scheme and fee
//! policy together; three on one income are quarantine. An income is tried again after a pause that doubles.

use crate::decide::DecideError;
use crate::policy::Bound;
use millpond_contracts::{CallError, TrapKind};
use millpond_journal::Income;
use millpond_payout::PayoutError;
use millpond_runtime::strikes::{Decision, Strikes};
use millpond_types::{Digest, ShareSeq, UnixMillis};
use std::collections::BTreeMap;

/// The first pause before an income is tried again.
const FIRST_PAUSE_MS: u64 = 1_000;
/// The longest.
const LONGEST_PAUSE_MS: u64 = 60_000;

/// An income that waits.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    /// The end of its window.
    end: ShareSeq,
    tries: u32,
    not_before: UnixMillis,
}

/// The incomes that wait, by key, and the strikes of the policies.
#[derive(Debug, Default)]
pub(crate) struct Undivided {
    waiting: BTreeMap<Vec<u8>, Waiting>,
    strikes: Strikes,
}

impl Undivided {
    /// How many wait.
    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// The first error of a policy that is not asked any more.
    pub(crate) fn quarantined(&self, policy: &Bound) -> Option<&str> {
        self.strikes.quarantined(id(policy))
    }

    /// A decision about this input did not come about. Whether the policy is in quarantine from now on.
    pub(crate) fn failed(
        &mut self,
        policy: &Bound,
        input: &[u8],
        why: &DecideError,
        now: UnixMillis,
    ) -> bool {
        let Some(error) = fault(why) else { return false };
        let decision = self.strikes.failed(id(policy), Digest::of(input), &error, now);
        matches!(decision, Decision::Quarantine { .. })
    }

    /// An income stays undivided through its policy's fault.
    pub(crate) fn waits(&mut self, income: &Income, now: UnixMillis) {
        let new = Waiting { end: income.end.seq, tries: 0, not_before: now };
        let waiting = self.waiting.entry(income.key.clone()).or_insert(new);
        let pause = FIRST_PAUSE_MS.saturating_mul(1 << waiting.tries.min(16)).min(LONGEST_PAUSE_MS);
        waiting.not_before = UnixMillis(now.0.saturating_add(pause));
        waiting.tries = waiting.tries.saturating_add(1);
    }

    /// Whether an income is to be tried now.
    pub(crate) fn is_due(&self, key: &[u8], now: UnixMillis) -> bool {
        self.waiting.get(key).is_none_or(|waiting| waiting.not_before <= now)
    }

    /// An income was divided by this policy.
    pub(crate) fn divided(&mut self, policy: &Bound, key: &[u8], now: UnixMillis) {
        self.forget(key);
        self.strikes.went_well(id(policy), now);
    }

    /// An income need not be divided any more.
    pub(crate) fn forget(&mut self, key: &[u8]) {
        self.waiting.remove(key);
    }

    /// The earliest end of a window of the incomes that wait.
    pub(crate) fn first_end(&self) -> Option<ShareSeq> {
        self.waiting.values().map(|waiting| waiting.end).min()
    }

    /// A policy takes the failing one's place: everything is tried at once, and what it did before is forgotten.
    pub(crate) fn taken_over(&mut self, policy: &Bound, now: UnixMillis) {
        self.strikes.release(id(policy));
        self.waiting.values_mut().for_each(|waiting| waiting.not_before = now);
    }
}

/// What strikes are counted by.
fn id(policy: &Bound) -> Digest {
    let fee = policy.fee.as_ref().map_or(Digest([0; 32]), |fee| fee.digest());
    Digest::of(&[policy.scheme.digest().0, fee.0].concat())
}

/// The failure of a plugin, if it was one.
fn fault(why: &DecideError) -> Option<CallError> {
    match why {
        DecideError::Payout(PayoutError::Call { source, .. }) => Some(source.clone()),
        DecideError::Payout(broken @ PayoutError::Broken { function, .. }) => Some(CallError::Trap {
            function: (*function).to_owned(),
            kind: TrapKind::Other,
            message: broken.to_string(),
        }),
        _ => None,
    }
}
