//! Fee policies: each takes its part of what the scheme and the policies before it gave; who receives it is the
//! operator's configuration.

use crate::beside::both;
use crate::fractions::Fractions;
use crate::pseudonyms::Pseudonyms;
use crate::{Attributes, AuditRecord, BoundFee, BoundScheme, PayoutError, Rule, audit};
use millpond_contracts::payout::{Fees, Income};
use millpond_ledger::Owner;
use millpond_types::{Amount, MinerId};

/// What is left to each miner, and what each recipient gets.
pub(crate) struct Taken {
    pub(crate) net: Vec<(MinerId, u64)>,
    pub(crate) parts: Vec<(Owner, Amount)>,
}

/// What fees are taken of.
pub(crate) enum Of {
    /// A division of an income.
    Income {
        /// Who found its block.
        finder: Option<MinerId>,
    },
    /// Credits of a batch of shares.
    Credits,
}

/// Applies the policies one behind the other: each is shown what the one before left to the miners. A miner who has
/// nothing left is not shown to those behind. `gross` ascends by miner.
pub(crate) fn take(
    fees: &[BoundFee],
    income: &Income,
    of: &Of,
    gross: Vec<(MinerId, u64)>,
    attributes: &dyn Attributes,
    audit: &mut Vec<AuditRecord>,
) -> Result<Taken, PayoutError> {
    let mut taken = Taken { net: gross, parts: Vec::new() };
    for (place, fee) in fees.iter().enumerate() {
        taken.net.retain(|row| row.1 > 0);
        if taken.net.is_empty() {
            break;
        }
        let one = match of {
            Of::Income { finder } => take_one(fee, income, *finder, &taken.net, attributes, audit)?,
            Of::Credits => {
                let fractions = Fractions::new(place, &income.key, income.gross);
                match fractions.filter(|_| fee.fractions) {
                    None => take_one(fee, income, None, &taken.net, attributes, audit)?,
                    Some(fine) => take_finely(fee, &fine, income, &taken.net, attributes, audit)?,
                }
            }
        };
        taken.net = one.net;
        taken.parts.extend(one.parts);
    }
    Ok(taken)
}

/// Asks a policy twice, under two sets of names, and applies its fees.
fn take_one(
    fee: &BoundFee,
    income: &Income,
    finder: Option<MinerId>,
    gross: &[(MinerId, u64)],
    attributes: &dyn Attributes,
    audit: &mut Vec<AuditRecord>,
) -> Result<Taken, PayoutError> {
    let miners: Vec<MinerId> = gross.iter().map(|row| row.0).collect();
    let named = |run| Pseudonyms::new(&miners, &income.key, run);
    let (one, two) = both(gross.len(), || named(0), || named(1));
    let one = shown(fee, income, finder, one, gross, attributes)?;
    let two = shown(fee, income, finder, two, gross, attributes)?;
    let (one, two) = both(gross.len(), || one.ask(fee, "fees"), || two.ask(fee, "fees-renamed"));
    let ((one, first), (two, second)) = (one?, two?);
    audit.extend([first, second]);
    let mut total = Amount::ZERO;
    let mut net = Vec::with_capacity(gross.len());
    for ((miner, amount), (kept, other)) in gross.iter().zip(one.into_iter().zip(two)) {
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

/// Takes a policy's fees of credits in parts of a unit: where these are the same fee, more exactly. A policy that takes so many
/// units whatever the amount, or nothing of small ones, is taken at its word.
fn take_finely(
    fee: &BoundFee,
    fractions: &Fractions,
    income: &Income,
    gross: &[(MinerId, u64)],
    attributes: &dyn Attributes,
    audit: &mut Vec<AuditRecord>,
) -> Result<Taken, PayoutError> {
    let finer: Vec<_> = gross.iter().map(|row| (row.0, fractions.finer(row.1))).collect();
    let fine_income = Income { gross: fractions.finer(income.gross), ..income.clone() };
    let plain = take_one(fee, income, None, gross, attributes, audit)?.net;
    let left = take_one(fee, &fine_income, None, &finer, attributes, audit)?.net;
    let (mut total, mut net) = (Amount::ZERO, Vec::with_capacity(gross.len()));
    for (((miner, amount), (_, plain)), ((_, finer), (_, left))) in
        gross.iter().zip(plain).zip(finer.into_iter().zip(left))
    {
        let (plain, fine) = (amount.saturating_sub(plain), finer.saturating_sub(left));
        let taken = if fractions.agree(plain, fine) { fractions.whole(fine, *miner) } else { plain };
        net.push((*miner, amount.saturating_sub(taken)));
        total = total
            .checked_add(Amount(taken))
            .ok_or_else(|| broken(fee, Rule::Overflow, "the fees do not fit 64 bits".to_owned()))?;
    }
    Ok(Taken { net, parts: divide(fee, total) })
}

/// What a policy is shown in one of the runs.
struct Rows {
    names: Pseudonyms,
    income: Income,
    miner: Vec<u64>,
    amount: Vec<u64>,
    columns: Vec<Vec<u64>>,
}

/// The rows of `gross` under these names.
fn shown(
    fee: &BoundFee,
    income: &Income,
    finder: Option<MinerId>,
    names: Pseudonyms,
    gross: &[(MinerId, u64)],
    attributes: &dyn Attributes,
) -> Result<Rows, PayoutError> {
    let rows = names.places().filter_map(|place| gross.get(place).copied());
    let (order, amount): (Vec<MinerId>, Vec<u64>) = rows.unzip();
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
    let miner: Vec<u64> = (1..).take(order.len()).collect();
    Ok(Rows { names, income, miner, amount, columns })
}

impl Rows {
    /// Fee less rebate of each row of `gross`.
    fn ask(&self, fee: &BoundFee, function: &'static str) -> Result<(Vec<u64>, AuditRecord), PayoutError> {
        let Self { names, income, miner, amount, columns } = self;
        let done = fee
            .plugin
            .fees(&fee.settings, income, miner, amount, columns)
            .map_err(|source| PayoutError::Call { plugin: fee.name.clone(), source })?;
        let record = audit::fees(fee, function, (income, miner, amount, columns), &done)?;
        Ok((check(fee, names, amount, &done.value)?, record))
    }
}

/// Of rows in the order of the names, fee less rebate by place.
fn check(fee: &BoundFee, names: &Pseudonyms, amount: &[u64], given: &Fees) -> Result<Vec<u64>, PayoutError> {
    if given.fee.len() != amount.len() || given.rebate.len() != amount.len() {
        let detail =
            format!("{} fees and {} rebates for {} rows", given.fee.len(), given.rebate.len(), amount.len());
        return Err(broken(fee, Rule::Columns, detail));
    }
    let mut kept = vec![0; amount.len()];
    for ((place, amount), (charged, rebate)) in
        names.places().zip(amount).zip(given.fee.iter().zip(&given.rebate))
    {
        match (charged.checked_sub(*rebate), kept.get_mut(place)) {
            (Some(part), Some(slot)) if charged <= amount => *slot = part,
            _ => {
                let detail = format!("a fee of {charged} with a rebate of {rebate} on {amount}");
                return Err(broken(fee, Rule::Fee, detail));
            }
        }
    }
    Ok(kept)
}

/// The recipients' parts by weights, in the order of names, exact to the unit (cumulative floor).
pub(crate) fn divide(fee: &BoundFee, total: Amount) -> Vec<(Owner, Amount)> {
    if fee.is_to_reserve() {
        return vec![(Owner::Reserve, total)];
    }
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

/// What a scheme gives the operator: it goes to the recipients of the first policy whose fees do not go to the reserve.
pub(crate) fn operator(
    scheme: &BoundScheme,
    fees: &[BoundFee],
    amount: u64,
) -> Result<Vec<(Owner, Amount)>, PayoutError> {
    if amount == 0 {
        return Ok(Vec::new());
    }
    let fee = fees.iter().find(|fee| !fee.is_to_reserve()).ok_or_else(|| {
        PayoutError::Input(format!(
            "scheme {} has a part for the operator, and nobody receives fees (section [fee.recipient])",
            scheme.name
        ))
    })?;
    Ok(divide(fee, Amount(amount)))
}

fn broken(fee: &BoundFee, rule: Rule, detail: String) -> PayoutError {
    PayoutError::Broken { plugin: fee.name.clone(), function: "fees", rule, detail }
}
