//! Names to payees: the adapter resolves them, and a native codec holds its answers against the names' own bytes.
//!
//! An adapter that could answer with any payee would own every login, and the pool's own payout address with them: the
//! coinbase check compares with what was resolved, and payments go to the address that was resolved.

use crate::trust::AddressCheck;
use millpond_contracts::Outcome;
use millpond_contracts::chain::{ChainAdapter, Payee};

/// Why a name pays nobody.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unresolved {
    /// The adapter does not know the name on this network.
    #[error("{0}")]
    Unknown(String),
    /// The adapter's answer is not what the name says: it is not to be trusted with any.
    #[error(
        "the adapter resolved {name:?} to somebody else: {why}; do not use this adapter, or if its addresses are none of this family, set chain.trust_adapter_with_coinbase"
    )]
    Lie {
        /// The name.
        name: String,
        /// What differs.
        why: String,
    },
}

/// Resolves names by the adapter, each answer held against a native reading where there is one.
///
/// # Errors
/// When the adapter fails as a whole. A single name has its own result.
pub fn resolve(
    adapter: &dyn ChainAdapter,
    check: Option<&dyn AddressCheck>,
    names: &[String],
) -> Outcome<Vec<Result<Payee, Unresolved>>> {
    let done = adapter.resolve(names)?;
    let one = |(name, answer): (&String, Result<Payee, String>)| {
        let payee = answer.map_err(Unresolved::Unknown)?;
        match check.map_or(Ok(()), |check| check.payee(name, &payee)) {
            Ok(()) => Ok(payee),
            Err(why) => Err(Unresolved::Lie { name: name.chars().take(128).collect(), why }),
        }
    };
    Ok(done.map(|answers| names.iter().zip(answers).map(one).collect()))
}
