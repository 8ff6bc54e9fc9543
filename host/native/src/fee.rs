//! Fee policies behind the contract.

use crate::caught::call;
use crate::convert;
use millpond_contracts::payout::{FeePolicy, Fees, Income};
use millpond_contracts::{Outcome, Settings};
use millpond_sdk::fee as guest;
use millpond_types::Digest;
use std::marker::PhantomData;

/// A fee policy of the SDK as the contract's [`FeePolicy`].
pub struct NativeFee<P> {
    digest: Digest,
    policy: PhantomData<fn() -> P>,
}

impl<P: guest::FeePolicy> NativeFee<P> {
    /// A policy; the digest is what it is known by.
    #[must_use]
    pub const fn new(digest: Digest) -> Self {
        Self { digest, policy: PhantomData }
    }
}

impl<P: guest::FeePolicy> FeePolicy for NativeFee<P> {
    fn digest(&self) -> Digest {
        self.digest
    }

    fn schema(&self) -> Outcome<String> {
        call("fee-policy.schema", || Ok(P::schema()))
    }

    fn describe(&self, settings: &Settings) -> Outcome<Vec<String>> {
        let settings = convert::settings(settings);
        call("fee-policy.describe", || P::describe(settings))
    }

    fn fees(
        &self,
        settings: &Settings,
        income: &Income,
        miner: &[u64],
        amount: &[u64],
        attributes: &[Vec<u64>],
    ) -> Outcome<Fees> {
        let (settings, income) = (convert::settings(settings), convert::income(income.clone()));
        let (miner, amount, attributes) = (miner.to_vec(), amount.to_vec(), attributes.to_vec());
        call("fee-policy.fees", || {
            P::fees(settings, income, miner, amount, attributes).map(|(fee, rebate)| Fees { fee, rebate })
        })
    }
}
