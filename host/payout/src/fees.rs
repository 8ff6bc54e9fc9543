//! The fee policy: takes its part of what the scheme gave; who receives it is the operator's configuration.

use crate::pseudonyms::Pseudonyms;
use crate::{Attributes, AuditRecord, BoundFee, PayoutError, Rule, audit};
use millpond_contracts::payout::{Fees, Income};
use millpond_ledger::Owner;
use millpond_types::{Amount, MinerId};
use std::collections::{BTreeMap, BTreeSet};

/// What is left to each miner, and what each recipient gets.
pub(crate) struct Taken {
    pub(crate) net: Vec<(MinerId, u64)>,
    pub(crate) parts: Vec<(Owner, Amount)>,
}

/// Asks the policy twice, under two sets of names, and applies its fees.
pub(crate) fn take(
    fee: &BoundFee,
    income: &Income,
    finder: Option<MinerId>,
    gross: &[(MinerId, u64)],
    attributes: &dyn Attributes,
    audit: &mut Vec<AuditRecord>,
) -> Result<Taken, PayoutError> {
    let miners: BTreeSet<MinerId> = gross.iter().map(|row| row.0).collect();
    let one = ask(fee, income, finder, &miners, gross, attributes, 0, audit)?;
    let two = ask(fee, income, finder, &miners, gross, attributes, 1, audit)?;
    let mut total = Amount::ZERO;
    let mut net = Vec::with_capacity(gross.len());
    for (miner, amount) in gross {
        let kept = one.get(miner).copied().unwrap_or(0);
        let other = two.get(miner).copied().unwrap_or(0);
        if kept.abs_diff(other) > 1 {
            let detail = format!("a miner is charged {kept} under one name and {other} under another");
            return Err(broken(fee, Rule::Renaming, detail));
        }
        net.push((*miner, amount.saturating_sub(kept)));
        total = total
            .checked_add(Amount(kept))
            .ok_or_else(|| broken(fee, Rule::Overflow, "the fees do not fit 64 bits".to_owned()))?;
    }
    Ok(Taken { net, parts: divide(fee, total) })
}

/// Fee less rebate, by miner.
#[allow(clippy::too_many_arguments, reason = "one call's facts, used in one place")]
fn ask(
    fee: &BoundFee,
    income: &Income,
    finder: Option<MinerId>,
    miners: &BTreeSet<MinerId>,
    gross: &[(MinerId, u64)],
    attributes: &dyn Attributes,
    run: u8,
    audit: &mut Vec<AuditRecord>,
) -> Result<BTreeMap<MinerId, u64>, PayoutError> {
    let names = Pseudonyms::new(miners, &income.key, run);
    let rows: BTreeMap<u64, (MinerId, u64)> =
        gross.iter().filter_map(|(miner, amount)| Some((names.name(*miner)?, (*miner, *amount)))).collect();
    let order: Vec<MinerId> = rows.values().map(|row| row.0).collect();
    let mut columns = Vec::with_capacity(fee.columns.len());
    for name in &fee.columns {
        let column = attributes.column(name, &order).filter(|column| column.len() == order.len());
        columns.push(column.ok_or_else(|| {
            PayoutError::Input(format!(
                "fee policy {} wants the column {name:?}, which the pool has not",
                fee.name
            ))
        })?);
    }
    let income = Income { finder: finder.and_then(|miner| names.name(miner)), ..income.clone() };
    let miner: Vec<u64> = rows.keys().copied().collect();
    let amount: Vec<u64> = rows.values().map(|row| row.1).collect();
    let done = fee
        .plugin
        .fees(&fee.settings, &income, &miner, &amount, &columns)
        .map_err(|source| PayoutError::Call { plugin: fee.name.clone(), source })?;
    let function = if run == 0 { "fees" } else { "fees-renamed" };
    let input = (&income, &miner, &amount, &columns);
    audit.push(audit::record(fee.digest(), function, fee.config, &input, &done)?);
    check(fee, &order, &amount, &done.value)
}

fn check(
    fee: &BoundFee,
    miners: &[MinerId],
    amount: &[u64],
    given: &Fees,
) -> Result<BTreeMap<MinerId, u64>, PayoutError> {
    if given.fee.len() != amount.len() || given.rebate.len() != amount.len() {
        let detail =
            format!("{} fees and {} rebates for {} rows", given.fee.len(), given.rebate.len(), amount.len());
        return Err(broken(fee, Rule::Columns, detail));
    }
    let mut kept = BTreeMap::new();
    for ((miner, amount), (charged, rebate)) in
        miners.iter().zip(amount).zip(given.fee.iter().zip(&given.rebate))
    {
        match charged.checked_sub(*rebate) {
            Some(part) if charged <= amount => kept.insert(*miner, part),
            _ => {
                let detail = format!("a fee of {charged} with a rebate of {rebate} on {amount}");
                return Err(broken(fee, Rule::Fee, detail));
            }
        };
    }
    Ok(kept)
}

/// By weights, in the order of names, exact to the unit (cumulative floor).
fn divide(fee: &BoundFee, total: Amount) -> Vec<(Owner, Amount)> {
    let weights: u64 = fee.recipients.iter().map(|recipient| u64::from(recipient.weight)).sum();
    let (mut running, mut given) = (0_u64, Amount::ZERO);
    let mut parts = Vec::with_capacity(fee.recipients.len());
    for recipient in &fee.recipients {
        running = running.saturating_add(u64::from(recipient.weight));
        // The last running sum is the sum of weights: all of the total is given.
        let until = total.fraction(running, weights).unwrap_or(given);
        parts.push((Owner::Fee(recipient.name.clone()), until.checked_sub(given).unwrap_or(Amount::ZERO)));
        given = until;
    }
    parts
}

fn broken(fee: &BoundFee, rule: Rule, detail: String) -> PayoutError {
    PayoutError::Broken { plugin: fee.name.clone(), function: "fees", rule, detail }
}
