//! The native checks of an allocation.

use crate::pseudonyms::Pseudonyms;
use crate::{BoundScheme, PayoutError, Rule};
use millpond_contracts::payout::Allocation;
use millpond_types::{Amount, MinerId};

/// An allocation that kept every rule of form and conservation, ascending by miner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Checked {
    pub(crate) rows: Vec<(MinerId, u64)>,
    pub(crate) rest: u64,
}

/// Checks columns, order, names, amounts and (where `gross` is known) the sum.
pub(crate) fn check(
    scheme: &BoundScheme,
    function: &'static str,
    given: &Allocation,
    names: &Pseudonyms,
    gross: Option<Amount>,
) -> Result<Checked, PayoutError> {
    let broken = |rule, detail: String| Err(scheme.broken(function, rule, detail));
    if given.miner.len() != given.amount.len() {
        let detail = format!("{} miners, {} amounts", given.miner.len(), given.amount.len());
        return broken(Rule::Columns, detail);
    }
    if let Some((a, b)) = given.miner.iter().zip(given.miner.iter().skip(1)).find(|(a, b)| a >= b) {
        return broken(Rule::Ascending, format!("miner {b} comes after miner {a}"));
    }
    // By place: 0 for who gets nothing.
    let mut amounts = vec![0_u64; names.len()];
    let mut sum = given.rest;
    for (name, amount) in given.miner.iter().zip(&given.amount) {
        let Some(slot) = names.place(*name).and_then(|place| amounts.get_mut(place)) else {
            return broken(Rule::KnownMiner, format!("miner {name} of {} handed in", names.len()));
        };
        if *amount == 0 {
            return broken(Rule::Positive, format!("miner {name} gets 0"));
        }
        sum = match sum.checked_add(*amount) {
            Some(sum) => sum,
            None => return broken(Rule::Overflow, "amounts and rest do not fit 64 bits".to_owned()),
        };
        *slot = *amount;
    }
    if let Some(gross) = gross
        && sum != gross.0
    {
        return broken(Rule::Conserved, format!("amounts and rest are {sum}, the income is {gross}"));
    }
    let rows = names.miners().iter().copied().zip(amounts).filter(|row| row.1 > 0).collect();
    Ok(Checked { rows, rest: given.rest })
}
