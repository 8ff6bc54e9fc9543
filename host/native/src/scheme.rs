//! Schemes behind the contract.

use crate::caught::call;
use crate::{convert, convert_0_2};
use millpond_contracts::payout::{Allocation, Batch, Income, PayoutScheme, State, Terms, Totals, Version};
use millpond_contracts::{CallError, Outcome, Settings};
use millpond_types::Digest;
use std::marker::PhantomData;

/// The names of the functions, as errors of components have them.
const ALLOCATE: &str = "scheme.allocate";
const ACCRUE: &str = "accrual.accrue";

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

/// The same for each version of the contract: the SDK's traits, and the way between its types and the host's.
macro_rules! native {
    ($module:ident, $name:ident, $guest:path, $convert:ident, $version:ident, $says:literal) => {
        pub(crate) mod $module {
            use super::*;
            use $convert as convert;
            use $guest as guest;

            /// A type's own `accrue`.
            type Accrue =
                fn(guest::Settings, guest::Batch, guest::State) -> Result<guest::Allocation, String>;

            #[doc = $says]
            pub struct $name<S> {
                digest: Digest,
                accrue: Option<Accrue>,
                scheme: PhantomData<fn() -> S>,
            }

            impl<S: guest::Scheme> $name<S> {
                /// A scheme that is asked for incomes alone; the digest is what it is known by.
                #[must_use]
                pub const fn new(digest: Digest) -> Self {
                    Self { digest, accrue: None, scheme: PhantomData }
                }
            }

            impl<S: guest::Scheme + guest::Accrual> $name<S> {
                /// A scheme that takes shares, too.
                #[must_use]
                pub fn accruing(digest: Digest) -> Self {
                    Self { digest, accrue: Some(S::accrue), scheme: PhantomData }
                }
            }

            impl<S: guest::Scheme> OwnedCalls for $name<S> {
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

                fn accrue_owned(
                    &self,
                    settings: &Settings,
                    batch: Batch,
                    state: State,
                ) -> Outcome<Allocation> {
                    let Some(accrue) = self.accrue else {
                        let message = "the scheme does not export millpond:payout/accrual".to_owned();
                        return Err(CallError::Host { function: ACCRUE.to_owned(), message });
                    };
                    let (settings, batch, state) =
                        (convert::settings(settings), convert::batch(batch), convert::state(state));
                    call(ACCRUE, || accrue(settings, batch, state).map(convert::allocation))
                }
            }

            impl<S: guest::Scheme> PayoutScheme for $name<S> {
                fn digest(&self) -> Digest {
                    self.digest
                }

                fn version(&self) -> Version {
                    Version::$version
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
        }
    };
}

native!(
    since_0_1,
    NativeScheme,
    millpond_sdk::payout,
    convert,
    V0_1,
    "A scheme of the SDK for 0.1 as the contract's [`PayoutScheme`]. Schemes that split one window come by the SDK's own implementation of its trait for them."
);
native!(
    since_0_2,
    NativeScheme02,
    millpond_sdk::payout_0_2,
    convert_0_2,
    V0_2,
    "A scheme of the SDK for 0.2 as the contract's [`PayoutScheme`]."
);
