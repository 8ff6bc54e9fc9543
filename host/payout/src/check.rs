//! The native checks of an allocation.

use crate::pseudonyms::Pseudonyms;
use crate::{BoundScheme, PayoutError, Rule};
use millpond_contracts::payout::{Allocation, Version};
use millpond_types::MinerId;

/// Claim of a scheme that it never draws on the reserve.
const NO_DEFICIT: &str = "no-deficit";

/// An allocation that kept every rule of form and conservation, ascending by miner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Checked {
    pub(crate) rows: Vec<(MinerId, u64)>,
    /// What later incomes divide.
    pub(crate) carry: u64,
    pub(crate) operator: u64,
    pub(crate) to_reserve: u64,
    pub(crate) from_reserve: u64,
}

/// What an allocation must add up to.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Sum {
    /// An income: what is divided, what of it went to somebody who is not among the names, what the reserve holds.
    Income { gross: u64, aside: u64, reserve: u64 },
    /// Credits of shares: whatever they are, they come out of the reserve.
    Shares,
}

/// Checks columns, order, names, amounts and the sum.
pub(crate) fn check(
    scheme: &BoundScheme,
    function: &'static str,
    given: &Allocation,
    names: &Pseudonyms,
    sum: Sum,
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
    let mut credits = 0_u64;
    for (name, amount) in given.miner.iter().zip(&given.amount) {
        let Some(slot) = names.place(*name).and_then(|place| amounts.get_mut(place)) else {
            return broken(Rule::KnownMiner, format!("miner {name} of {} handed in", names.len()));
        };
        if *amount == 0 {
            return broken(Rule::Positive, format!("miner {name} gets 0"));
        }
        credits = match credits.checked_add(*amount) {
            Some(credits) => credits,
            None => return broken(Rule::Overflow, "amounts and rest do not fit 64 bits".to_owned()),
        };
        *slot = *amount;
    }
    let checked = pooled(scheme, function, given, credits, sum)?;
    let rows = names.miners().iter().copied().zip(amounts).filter(|row| row.1 > 0).collect();
    Ok(Checked { rows, ..checked })
}

/// What goes to nobody by name, and the sum.
fn pooled(
    scheme: &BoundScheme,
    function: &'static str,
    given: &Allocation,
    credits: u64,
    sum: Sum,
) -> Result<Checked, PayoutError> {
    let broken = |rule, detail: String| Err(scheme.broken(function, rule, detail));
    let Allocation { rest, operator, to_reserve, from_reserve, .. } = *given;
    let (has_reserve, version) = (scheme.terms.reserve, scheme.version());
    let (mut carry, mut filled, mut drawn) = (rest, to_reserve, from_reserve);
    if version == Version::V0_1 {
        if (operator, to_reserve, from_reserve) != (0, 0, 0) {
            return broken(Rule::Terms, "0.1 has no parts of operator and reserve".to_owned());
        }
        // Its rest is the reserve's where there is one; its credits of shares are drawn without a word.
        if has_reserve {
            (carry, filled) = (0, rest);
        }
        if matches!(sum, Sum::Shares) {
            drawn = credits;
        }
    }
    // A scheme without a reserve that credits shares is told so by `accrue`.
    if !has_reserve && matches!(sum, Sum::Income { .. }) && (filled, drawn) != (0, 0) {
        return broken(Rule::Terms, "it uses the reserve without declaring one".to_owned());
    }
    if filled > 0 && drawn > 0 {
        return broken(Rule::Reserve, format!("{filled} into the reserve and {drawn} out of it"));
    }
    if drawn > 0 && version != Version::V0_1 && scheme.claims(NO_DEFICIT) {
        return broken(Rule::Reserve, format!("{drawn} out of the reserve, and it claims {NO_DEFICIT}"));
    }
    let wide = |parts: &[u64]| parts.iter().map(|part| u128::from(*part)).sum::<u128>();
    match sum {
        Sum::Income { gross, aside, reserve } => {
            if drawn > reserve {
                return broken(Rule::Reserve, format!("{drawn} out of a reserve of {reserve}"));
            }
            let most = u128::from(gross) * u128::from(scheme.terms.operator_most) / 1_000_000;
            if u128::from(operator) > most {
                return broken(Rule::Operator, format!("{operator} for the operator, at most {most}"));
            }
            let (parts, whole) = (wide(&[credits, aside, carry, operator, filled]), wide(&[gross, drawn]));
            if u64::try_from(parts).is_err() {
                return broken(Rule::Overflow, "amounts and rest do not fit 64 bits".to_owned());
            }
            if parts != whole {
                let detail = format!("amounts and rest are {parts}, the income is {whole}");
                return broken(Rule::Conserved, detail);
            }
            if carry > 0 && has_reserve {
                let detail =
                    format!("{carry} carried: what nobody gets is the reserve's, where there is one");
                return broken(Rule::Reserve, detail);
            }
        }
        Sum::Shares => {
            if (carry, operator, filled) != (0, 0, 0) {
                let rest = wide(&[carry, operator, filled]);
                return broken(Rule::Conserved, format!("a rest of {rest}, it is 0"));
            }
            if drawn != credits {
                let detail = format!("credits of {credits}, {drawn} out of the reserve");
                return broken(Rule::Conserved, detail);
            }
        }
    }
    Ok(Checked { rows: Vec::new(), carry, operator, to_reserve: filled, from_reserve: drawn })
}
