//! Schemes behind the contract.

use crate::caught::call;
use crate::convert;
use millpond_contracts::payout::{Allocation, Batch, Income, PayoutScheme, State, Terms, Totals};
use millpond_contracts::{CallError, Outcome, Settings};
use millpond_sdk::payout::{self as guest, Accrual, Scheme};
use millpond_types::Digest;
use std::marker::PhantomData;

/// The names of the functions, as errors of components have them.
const ALLOCATE: &str = "scheme.allocate";
const ACCRUE: &str = "accrual.accrue";

/// A type's own `accrue`.
type Accrue = fn(guest::Settings, guest::Batch, guest::State) -> Result<guest::Allocation, String>;

/// A scheme of the SDK as the contract's [`PayoutScheme`]. Schemes that split one window come by the SDK's own
/// implementation of [`Scheme`] for them.
pub struct NativeScheme<S> {
    digest: Digest,
    accrue: Option<Accrue>,
    scheme: PhantomData<fn() -> S>,
}

impl<S: Scheme> NativeScheme<S> {
    /// A scheme that is asked for incomes alone; the digest is what it is known by.
    #[must_use]
    pub const fn new(digest: Digest) -> Self {
        Self { digest, accrue: None, scheme: PhantomData }
    }
}

impl<S: Scheme + Accrual> NativeScheme<S> {
    /// A scheme that takes shares, too.
    #[must_use]
    pub fn accruing(digest: Digest) -> Self {
        Self { digest, accrue: Some(S::accrue), scheme: PhantomData }
    }
}

/// The calls of a scheme for who does not need any more what it calls with: nothing is copied.
pub trait OwnedCalls: PayoutScheme {
    /// [`PayoutScheme::allocate`].
    ///
    /// # Errors
    /// The same.
    fn allocate_owned(
        &self,
        settings: &Settings,
        income: Income,
        windows: Vec<Totals>,
        state: State,
    ) -> Outcome<Allocation>;

    /// [`PayoutScheme::accrue`].
    ///
    /// # Errors
    /// The same.
    fn accrue_owned(&self, settings: &Settings, batch: Batch, state: State) -> Outcome<Allocation>;
}

impl<S: Scheme> OwnedCalls for NativeScheme<S> {
    fn allocate_owned(
        &self,
        settings: &Settings,
        income: Income,
        windows: Vec<Totals>,
        state: State,
    ) -> Outcome<Allocation> {
        let windows = windows.into_iter().map(convert::totals).collect();
        let (settings, income, state) =
            (convert::settings(settings), convert::income(income), convert::state(state));
        call(ALLOCATE, || S::allocate(settings, income, windows, state).map(convert::allocation))
    }

    fn accrue_owned(&self, settings: &Settings, batch: Batch, state: State) -> Outcome<Allocation> {
        let Some(accrue) = self.accrue else {
            let message = "the scheme does not export millpond:payout/accrual".to_owned();
            return Err(CallError::Host { function: ACCRUE.to_owned(), message });
        };
        let (settings, batch, state) =
            (convert::settings(settings), convert::batch(batch), convert::state(state));
        call(ACCRUE, || accrue(settings, batch, state).map(convert::allocation))
    }
}

impl<S: Scheme> PayoutScheme for NativeScheme<S> {
    fn digest(&self) -> Digest {
        self.digest
    }

    fn schema(&self) -> Outcome<String> {
        call("scheme.schema", || Ok(S::schema()))
    }

    fn describe(&self, settings: &Settings) -> Outcome<Terms> {
        let settings = convert::settings(settings);
        call("scheme.describe", || S::describe(settings).map(convert::terms))
    }

    fn allocate(
        &self,
        settings: &Settings,
        income: &Income,
        windows: &[Totals],
        state: &State,
    ) -> Outcome<Allocation> {
        self.allocate_owned(settings, income.clone(), windows.to_vec(), state.clone())
    }

    fn accrues(&self) -> bool {
        self.accrue.is_some()
    }

    fn accrue(&self, settings: &Settings, batch: &Batch, state: &State) -> Outcome<Allocation> {
        self.accrue_owned(settings, batch.clone(), state.clone())
    }
}
