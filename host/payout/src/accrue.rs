//! Credit per share from the operator's reserve (PPS and its kin). It stops, to the unit, when the reserve is spent.

use crate::audit::Asked;
use crate::check::{Checked, Sum, check};
use crate::fees::Of;
use crate::pseudonyms::Pseudonyms;
use crate::state::StateChange;
use crate::{
    Attributes, AuditRecord, BoundFee, BoundScheme, PayoutError, Rule, SchemeState, audit, fairness, fees,
};
use millpond_contracts::payout::{Batch, Grain, Income};
use millpond_ledger::{Allocation, Entry, Owner};
use millpond_types::{Amount, MinerId, ShareSeq, UnixMillis, Work, WorkSum};
use std::collections::BTreeMap;

/// One accepted share, as the journal has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccruedShare {
    /// Its place in the journal.
    pub seq: ShareSeq,
    /// Whose it is.
    pub miner: MinerId,
    /// Its work.
    pub work: Work,
    /// The network's work at its submission.
    pub network: WorkSum,
    /// When it came.
    pub time: UnixMillis,
    /// Height or score of its job.
    pub coord: u64,
    /// The reward that its job expected.
    pub reward: Amount,
    /// The subsidy in it, where that is known.
    pub subsidy: Option<Amount>,
}

/// Shares credited.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accrual {
    /// The ledger's entry ([`Entry::Accrued`]); `None` when not even the first share's credit is left in the reserve.
    pub entry: Option<Entry>,
    /// How many of the shares it covers, from the first on. Fewer than given: the reserve is spent, crediting stops
    /// and the operator must be told.
    pub shares: usize,
    /// One record per call that decided.
    pub audit: Vec<AuditRecord>,
}

/// Credits a batch of shares, as far as the reserve reaches.
///
/// # Errors
/// As [`crate::allocate`]; nothing of the batch counts then. Also when the batch is longer than the terms allow, not
/// in journal order, or the scheme takes no batches.
pub fn accrue(
    scheme: &BoundScheme,
    fees: &[BoundFee],
    shares: &[AccruedShare],
    reserve: Amount,
    state: &SchemeState,
    attributes: &dyn Attributes,
) -> Result<Accrual, PayoutError> {
    let limit = usize::try_from(scheme.terms.batch).unwrap_or(usize::MAX);
    if shares.is_empty() || shares.len() > limit {
        let count = shares.len();
        return Err(PayoutError::Input(format!(
            "{count} shares for scheme {}, which takes 1 to {limit} at once",
            scheme.name
        )));
    }
    if !shares.iter().zip(shares.iter().skip(1)).all(|(a, b)| a.seq < b.seq) {
        return Err(PayoutError::Input("shares are not in the journal's order".to_owned()));
    }
    let seen = state.seen_by(scheme);
    let state = seen.state.as_ref();
    // The longest run from the first share on that the reserve covers; nearly always all of them.
    let (mut covered, mut bound) = (0, shares.len().saturating_add(1));
    let mut best = None;
    let mut count = shares.len();
    while count > covered && count < bound {
        let run = shares.get(..count).unwrap_or(shares);
        let credit = credit(scheme, run, state)?;
        if credit.total <= reserve.0 {
            covered = count;
            best = Some(credit);
        } else {
            bound = count;
        }
        count = covered.midpoint(bound);
    }
    let Some(mut credit) = best else { return Ok(Accrual { entry: None, shares: 0, audit: Vec::new() }) };
    let run = shares.get(..covered).unwrap_or(shares);
    if !seen.kept {
        credit.change = StateChange::default();
    } else if scheme.takes_again() {
        credit.change.given = run.last().map(|share| share.seq);
    }
    entry(scheme, fees, run, credit, attributes)
}

pub(crate) struct Credit {
    pub(crate) checked: Checked,
    pub(crate) change: StateChange,
    total: u64,
    pub(crate) audit: Vec<AuditRecord>,
}

pub(crate) fn credit(
    scheme: &BoundScheme,
    shares: &[AccruedShare],
    state: &SchemeState,
) -> Result<Credit, PayoutError> {
    let mut miners: Vec<MinerId> = shares.iter().map(|share| share.miner).collect();
    miners.sort_unstable();
    miners.dedup();
    let mut audit = Vec::with_capacity(2);
    let (one, change) = ask(scheme, shares, &miners, state, 0, &mut audit)?;
    let (two, change_two) = ask(scheme, shares, &miners, state, 1, &mut audit)?;
    if !scheme.terms.reserve && !one.rows.is_empty() {
        let detail = "it credits shares without declaring a reserve";
        return Err(scheme.broken("accrue", Rule::Terms, detail));
    }
    if scheme.takes_again() && !one.rows.is_empty() {
        let detail = "it credits shares, and would have what it did put back when an income is lost";
        return Err(scheme.broken("accrue", Rule::Terms, detail));
    }
    // Credit per share has no rounding by position: renaming changes nothing at all.
    if one.rows != two.rows || change.rows != change_two.rows {
        return Err(scheme.broken("accrue", Rule::Renaming, "credits differ when the miners are renamed"));
    }
    fairness::compare_states(scheme, "accrue", &change, &change_two)?;
    // `check` has seen that the sum fits.
    let total = one.rows.iter().fold(0_u64, |sum, row| sum.saturating_add(row.1));
    Ok(Credit { checked: one, change, total, audit })
}

fn ask(
    scheme: &BoundScheme,
    shares: &[AccruedShare],
    miners: &[MinerId],
    state: &SchemeState,
    run: u8,
    audit: &mut Vec<AuditRecord>,
) -> Result<(Checked, StateChange), PayoutError> {
    let seed = shares.last().map_or(0, |share| share.seq.0).to_le_bytes();
    let names = Pseudonyms::new(miners, &seed, run);
    let batch = batch(scheme, shares, &names)?;
    let cells = state.under(&names);
    let done = scheme
        .plugin
        .accrue(&scheme.settings, &batch, &cells)
        .map_err(|source| PayoutError::Call { plugin: scheme.name.clone(), source })?;
    let function = if run == 0 { "accrue" } else { "accrue-renamed" };
    audit.push(audit::scheme(scheme, function, Asked::Shares(&batch, &cells), &done)?);
    let checked = check(scheme, "accrue", &done.value, &names, Sum::Shares)?;
    let change = SchemeState::change(scheme, "accrue", &done.value.state, &names)?;
    Ok((checked, change))
}

/// Work of some shares that are alike but for it.
struct Row {
    work: u128,
    shares: u64,
    last: AccruedShare,
}

/// The shares as the scheme gets them: each by itself, or a miner's for one job together, by their last share.
fn batch(scheme: &BoundScheme, shares: &[AccruedShare], names: &Pseudonyms) -> Result<Batch, PayoutError> {
    let row = |share: &AccruedShare| Row { work: u128::from(share.work.0), shares: 1, last: *share };
    let rows: Vec<Row> = match scheme.terms.grain {
        Grain::Share => shares.iter().map(row).collect(),
        Grain::MinerJob => {
            let mut sums = BTreeMap::<_, Row>::new();
            for share in shares {
                let job = (share.network, share.coord, share.reward, share.subsidy);
                let sum = sums
                    .entry((share.miner, job))
                    .and_modify(|sum| {
                        sum.work = sum.work.saturating_add(u128::from(share.work.0));
                        sum.shares = sum.shares.saturating_add(1);
                    })
                    .or_insert_with(|| row(share));
                sum.last = *share;
            }
            let mut rows: Vec<Row> = sums.into_values().collect();
            rows.sort_unstable_by_key(|row| row.last.seq);
            rows
        }
    };
    let seq = |share: Option<&AccruedShare>| share.map_or(0, |share| share.seq.0);
    let mut batch = Batch { first: seq(shares.first()), last: seq(shares.last()), ..Batch::default() };
    for Row { work, shares, last } in rows {
        let (low, high) = last.network.halves();
        let (work, above) = WorkSum(work).halves();
        batch.seq.push(last.seq.0);
        batch.miner.push(names.name(last.miner).unwrap_or(0));
        batch.shares.push(shares);
        batch.work.push(work);
        batch.work_high.push(above);
        batch.network_low.push(low);
        batch.network_high.push(high);
        batch.time_ms.push(last.time.0);
        batch.coord.push(last.coord);
        batch.reward.push(last.reward.0);
        batch.subsidy.push(subsidy(scheme, &last)?.0);
    }
    Ok(batch)
}

/// The subsidy that a share's job expected, for a scheme that asks for it; else the whole reward.
fn subsidy(scheme: &BoundScheme, share: &AccruedShare) -> Result<Amount, PayoutError> {
    if !scheme.terms.needs_subsidy {
        return Ok(share.reward);
    }
    share.subsidy.filter(|subsidy| *subsidy <= share.reward).ok_or_else(|| {
        PayoutError::Input(format!(
            "scheme {} pays the subsidy of share {}, and the chain's adapter does not tell it, or more than the reward",
            scheme.name, share.seq
        ))
    })
}

fn entry(
    scheme: &BoundScheme,
    fees: &[BoundFee],
    shares: &[AccruedShare],
    credit: Credit,
    attributes: &dyn Attributes,
) -> Result<Accrual, PayoutError> {
    let (Some(first), Some(last)) = (shares.first(), shares.last()) else {
        return Err(PayoutError::Input(format!("no share to credit by {}", scheme.name)));
    };
    let mut audit = credit.audit;
    let income = Income {
        key: last.seq.0.to_le_bytes().to_vec(),
        gross: credit.total,
        seq: last.seq.0,
        time_ms: last.time.0,
        coord: last.coord,
        ..Income::default()
    };
    let taken = fees::take(fees, &income, &Of::Credits, credit.checked.rows, attributes, &mut audit)?;
    let mut parts = taken.parts;
    // What goes to the reserve is not taken from it.
    parts.retain(|part| part.0 != Owner::Reserve);
    parts.extend(taken.net.into_iter().map(|(miner, amount)| (Owner::Miner(miner), Amount(amount))));
    let parts = Allocation::merged(parts)?;
    let state = credit.change.to_bytes();
    let entry = Entry::Accrued { first: first.seq, last: last.seq, parts, state };
    Ok(Accrual { entry: Some(entry), shares: shares.len(), audit })
}
