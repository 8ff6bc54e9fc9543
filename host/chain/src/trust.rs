//! What the host takes an adapter's word for, and what not: bounds from the operator's configuration and from the
//! host's own knowledge.

use crate::job::ReadyJob;
use millpond_contracts::chain::{Output, Payee};
use millpond_recipe::SessionStage;
use millpond_types::{Amount, Target};
use std::collections::VecDeque;
use std::sync::Arc;

/// The operator's trust rules for one pool.
#[derive(Clone, Default)]
pub struct Trust {
    /// The easiest target the network has (Bitcoin's `powLimit`); a job with an easier one is refused.
    pub floor: Option<Target>,
    /// The most that one block can earn: subsidy and generous fees.
    pub reward_cap: Option<Amount>,
    /// Confirmations before an income may count as mature; at least the adapter's `final-after`.
    pub confirmations: u32,
    /// The check of coinbases by a native codec.
    pub coinbase: Option<Arc<dyn CoinbaseCheck>>,
    /// The reading of addresses by a native codec.
    pub addresses: Option<Arc<dyn AddressCheck>>,
    /// The operator's word that the adapter is trusted with the coinbase, where the host has no codec.
    pub adapter_writes_coinbase: bool,
    /// Where the host itself counts confirmations (a wallet, a node by native code).
    pub maturity: Option<Arc<dyn Maturity>>,
}

impl std::fmt::Debug for Trust {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Trust")
            .field("floor", &self.floor)
            .field("reward_cap", &self.reward_cap)
            .field("confirmations", &self.confirmations)
            .field("coinbase", &self.coinbase.is_some())
            .field("addresses", &self.addresses.is_some())
            .field("adapter_writes_coinbase", &self.adapter_writes_coinbase)
            .finish_non_exhaustive()
    }
}

/// A native codec's look at a job's coinbase: whom it pays. Called on the actor's thread once per job, and on a
/// session's thread once per job and session where the session's own payee stands in it. It does no I/O.
pub trait CoinbaseCheck: Send + Sync {
    /// The template: `outputs` are those of the revision that the job says it carries.
    ///
    /// # Errors
    /// Who is paid that should not be, or the other way round.
    fn job(&self, job: &ReadyJob, outputs: &[Output]) -> Result<(), String>;
    /// The coinbase as one session hashes it, with its payee.
    ///
    /// # Errors
    /// As for the job.
    fn session(
        &self,
        job: &ReadyJob,
        session: &SessionStage,
        outputs: &[Output],
        payee: &[u8],
    ) -> Result<(), String>;
    /// The bytes of a job's coinbase without its witness, with the longest payee that is common where the session's own
    /// stands in it; `None` where they are not to be told before a session.
    fn bytes(&self, job: &ReadyJob) -> Option<usize> {
        let _ = job;
        None
    }
}

/// A native codec's reading of addresses: what an adapter resolved a name to is held against the name's own bytes. Called
/// whenever a name was resolved, on the caller's thread. It does no I/O.
pub trait AddressCheck: Send + Sync {
    /// Whether the payee, and the address that payments go to, are what the name itself says.
    ///
    /// # Errors
    /// What differs: nobody is paid by this answer.
    fn payee(&self, name: &str, payee: &Payee) -> Result<(), String>;
    /// Whether the address alone leaves the payee open, so that the adapter's reading of it counts.
    fn leaves_open(&self, address: &str) -> bool;
}

/// Confirmations as native code counts them.
pub trait Maturity: Send + Sync {
    /// Confirmations of an income's output, none when it is not seen. Called on the actor's thread with what was
    /// learned before; it does not block.
    fn confirmations(&self, income_key: &[u8], block: &[u8], coord: u64) -> Option<u32>;
}

/// Rewards of recent jobs: where no cap is configured, a reward far above their median is refused.
#[derive(Debug, Default)]
pub(crate) struct RecentRewards(VecDeque<u64>);

/// Jobs remembered.
const RECENT: usize = 64;
/// Jobs needed before the median says anything.
const ENOUGH: usize = 4;
/// How far above the median a reward may be: fees of a full block at a rush, against the subsidy.
const FACTOR: u64 = 4;

impl RecentRewards {
    pub(crate) fn note(&mut self, reward: Amount) {
        if self.0.len() >= RECENT {
            self.0.pop_front();
        }
        self.0.push_back(reward.0);
    }

    /// The most that a reward may be, as far as is known.
    pub(crate) fn bound(&self, trust: &Trust) -> Option<(Amount, &'static str)> {
        if let Some(cap) = trust.reward_cap {
            return Some((cap, "the cap in the pool's configuration"));
        }
        if self.0.len() < ENOUGH {
            return None;
        }
        let mut sorted: Vec<u64> = self.0.iter().copied().collect();
        sorted.sort_unstable();
        let median = sorted.get(sorted.len() / 2).copied().unwrap_or(0);
        Some((Amount(median.max(1).saturating_mul(FACTOR)), "four times the median of recent jobs"))
    }
}

/// What each output gets of a reward: divided by the cumulative rule, exactly, so that every unit goes somewhere.
/// `None` when no output has a weight or the weights exceed 64 bits together.
#[must_use]
pub fn shares(reward: Amount, outputs: &[Output]) -> Option<Vec<Amount>> {
    let total = outputs.iter().try_fold(0_u64, |sum, output| sum.checked_add(output.weight))?;
    let (mut weight, mut given) = (0_u64, Amount::ZERO);
    let mut shares = Vec::with_capacity(outputs.len());
    for output in outputs {
        weight = weight.checked_add(output.weight)?;
        let upto = reward.fraction(weight, total)?;
        shares.push(upto.checked_sub(given)?);
        given = upto;
    }
    Some(shares)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outputs(weights: &[u64]) -> Vec<Output> {
        weights.iter().map(|&weight| Output { payee: vec![1], weight }).collect()
    }

    #[test]
    fn every_unit_of_a_reward_goes_to_some_output() {
        assert_eq!(shares(Amount(101), &outputs(&[2, 1])), Some(vec![Amount(67), Amount(34)]));
        assert_eq!(shares(Amount(10), &outputs(&[0, 0])), None);
        let divided = shares(Amount(u64::MAX), &outputs(&[1, 1, 1])).unwrap();
        assert_eq!(Amount::sum(divided), Some(Amount(u64::MAX)));
    }

    #[test]
    fn the_median_bounds_a_reward_when_no_cap_is_configured() {
        let mut recent = RecentRewards::default();
        let trust = Trust::default();
        for _ in 0..ENOUGH {
            assert_eq!(recent.bound(&trust), None);
            recent.note(Amount(100));
        }
        assert_eq!(recent.bound(&trust).unwrap().0, Amount(400));
        let capped = Trust { reward_cap: Some(Amount(150)), ..Trust::default() };
        assert_eq!(recent.bound(&capped).unwrap().0, Amount(150));
    }
}
