//! The audit record: which bytes decided about money, from what, at what cost. Replay makes the call again and compares.

use crate::PayoutError;
use millpond_contracts::Done;
use millpond_types::Digest;
use serde::{Deserialize, Serialize};

/// The contract that this version calls.
pub const PACKAGE: &str = "millpond:payout@0.1.0";

/// One call into a plugin that took part in a decision about money. The pool writes it to the journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditRecord {
    /// BLAKE3 of the component.
    pub component: Digest,
    /// The contract.
    pub package: String,
    /// The function: `allocate`, `accrue`, `fees`; with `-renamed` for the fairness run.
    pub function: String,
    /// BLAKE3 of the settings, as JSON.
    pub config: Digest,
    /// BLAKE3 of all arguments but the settings, as JSON.
    pub input: Digest,
    /// Fuel allowed.
    pub fuel_limit: u64,
    /// Fuel used.
    pub fuel_used: u64,
    /// The engine; fuel is compared within one version only.
    pub wasmtime: String,
    /// BLAKE3 of the result, as JSON.
    pub output: Digest,
}

/// The digest of a value's JSON: field order is fixed by the types.
pub(crate) fn digest_of<T: Serialize>(value: &T) -> Result<Digest, PayoutError> {
    serde_json::to_vec(value)
        .map(|bytes| Digest::of(&bytes))
        .map_err(|error| PayoutError::Input(format!("a plugin's argument has no JSON: {error}")))
}

pub(crate) fn record<I: Serialize, O: Serialize>(
    component: Digest,
    function: &str,
    config: Digest,
    input: &I,
    done: &Done<O>,
) -> Result<AuditRecord, PayoutError> {
    Ok(AuditRecord {
        component,
        package: PACKAGE.to_owned(),
        function: function.to_owned(),
        config,
        input: digest_of(input)?,
        fuel_limit: done.fuel_limit,
        fuel_used: done.fuel_used,
        wasmtime: millpond_runtime::WASMTIME_VERSION.to_owned(),
        output: digest_of(&done.value)?,
    })
}
