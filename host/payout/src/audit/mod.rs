//! The audit record: which bytes decided about money, from what, at what cost. Replay makes the call again and compares.
//!
//! What its digests are of is frozen for each version of the contract, in a module of its own: a core type that gains a
//! field changes the digest of no call that was made before.

mod v0_1;
mod v0_2;

use crate::{BoundFee, BoundScheme, PayoutError};
use millpond_contracts::Done;
use millpond_contracts::payout::{Allocation, Batch, Fees, Income, State, Totals, Version};
use millpond_types::Digest;
use serde::{Deserialize, Serialize};
use std::io::{self, BufWriter, Write};

/// One call into a plugin that took part in a decision about money. The pool writes it to the journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditRecord {
    /// BLAKE3 of the component.
    pub component: Digest,
    /// The contract, in the component's own version.
    pub package: String,
    /// The function: `allocate`, `accrue`, `fees`; with `-renamed` for the fairness run.
    pub function: String,
    /// BLAKE3 of the settings, as JSON.
    pub config: Digest,
    /// BLAKE3 of all arguments but the settings: as JSON in 0.1, as columns in 0.2.
    pub input: Digest,
    /// Fuel allowed.
    pub fuel_limit: u64,
    /// Fuel used.
    pub fuel_used: u64,
    /// The engine; fuel is compared within one version only.
    pub wasmtime: String,
    /// BLAKE3 of the result, in the form of the input.
    pub output: Digest,
}

/// The arguments of a scheme's call, but for the settings.
#[derive(Clone, Copy)]
pub(crate) enum Asked<'a> {
    /// Of `allocate`.
    Income(&'a Income, &'a [Totals], &'a State),
    /// Of `accrue`.
    Shares(&'a Batch, &'a State),
}

/// The record of a scheme's call.
pub(crate) fn scheme(
    scheme: &BoundScheme,
    function: &str,
    asked: Asked<'_>,
    done: &Done<Allocation>,
) -> Result<AuditRecord, PayoutError> {
    let version = scheme.version();
    let (input, output) = match version {
        Version::V0_1 => (v0_1::asked(asked)?, v0_1::given(&done.value)?),
        Version::V0_2 => (v0_2::asked(asked), v0_2::given(&done.value)),
    };
    Ok(record([scheme.digest(), scheme.config, input, output], version, function, done))
}

/// The record of a fee policy's call.
pub(crate) fn fees(
    fee: &BoundFee,
    function: &str,
    (income, miner, amount, columns): (&Income, &[u64], &[u64], &[Vec<u64>]),
    done: &Done<Fees>,
) -> Result<AuditRecord, PayoutError> {
    let input = v0_1::fees(income, miner, amount, columns)?;
    let output = digest_of(&done.value)?;
    Ok(record([fee.digest(), fee.config, input, output], Version::V0_1, function, done))
}

fn record<O>(
    [component, config, input, output]: [Digest; 4],
    version: Version,
    function: &str,
    done: &Done<O>,
) -> AuditRecord {
    AuditRecord {
        component,
        package: version.package().to_owned(),
        function: function.to_owned(),
        config,
        input,
        fuel_limit: done.fuel_limit,
        fuel_used: done.fuel_used,
        wasmtime: millpond_runtime::WASMTIME_VERSION.to_owned(),
        output,
    }
}

/// The digest of a value's JSON: field order is fixed by the types. The text is hashed as it is written, since it may hold
/// the columns of a million miners.
pub(crate) fn digest_of<T: Serialize>(value: &T) -> Result<Digest, PayoutError> {
    let mut hasher = blake3::Hasher::new();
    let mut text = BufWriter::with_capacity(TEXT, &mut hasher);
    let written =
        serde_json::to_writer(&mut text, value).map_err(io::Error::from).and_then(|()| text.flush());
    drop(text);
    match written {
        Ok(()) => Ok(Digest(*hasher.finalize().as_bytes())),
        Err(error) => Err(PayoutError::Input(format!("a plugin's argument has no JSON: {error}"))),
    }
}

/// Bytes of text that are hashed at a time: several blocks at once.
const TEXT: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_of_the_whole_text_however_long_it_is() {
        for rows in [0, 1, 5_000, 100_000_u64] {
            let columns: [Vec<u64>; 2] = [(0..rows).collect(), (0..rows).rev().collect()];
            let text = serde_json::to_vec(&columns).unwrap();
            assert!(
                rows < 5_000 || !text.len().is_multiple_of(TEXT),
                "the end is in a buffer that is not full"
            );
            assert_eq!(digest_of(&columns).unwrap(), Digest::of(&text));
        }
    }
}
