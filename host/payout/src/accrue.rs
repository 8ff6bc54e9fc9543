//! Credit per share from the operator's reserve (PPS and its kin). It stops, to the unit, when the reserve is spent.

use crate::check::{Checked, check};
use crate::pseudonyms::Pseudonyms;
use crate::state::StateChange;
use crate::{Attributes, AuditRecord, BoundFee, BoundScheme, PayoutError, Rule, SchemeState, audit, fees};
use millpond_contracts::payout::{Batch, Income};
use millpond_ledger::{Allocation, Entry, Owner};
use millpond_types::{Amount, MinerId, ShareSeq, UnixMillis, Work, WorkSum};

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
    fee: Option<&BoundFee>,
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
    entry(scheme, fee, run, credit, attributes)
}

struct Credit {
    checked: Checked,
    change: StateChange,
    total: u64,
    audit: Vec<AuditRecord>,
}

fn credit(scheme: &BoundScheme, shares: &[AccruedShare], state: &SchemeState) -> Result<Credit, PayoutError> {
    let mut miners: Vec<MinerId> = shares.iter().map(|share| share.miner).collect();
    miners.sort_unstable();
    miners.dedup();
    let mut audit = Vec::with_capacity(2);
    let (one, change) = ask(scheme, shares, &miners, state, 0, &mut audit)?;
    let (two, change_two) = ask(scheme, shares, &miners, state, 1, &mut audit)?;
    if scheme.takes_again() && !one.rows.is_empty() {
        let detail = "it credits shares, and its terms have them given again when an income is lost";
        return Err(scheme.broken("accrue", Rule::Terms, detail));
    }
    if !scheme.terms.reserve && !one.rows.is_empty() {
        let detail = "it credits shares without declaring a reserve";
        return Err(scheme.broken("accrue", Rule::Terms, detail));
    }
    // Credit per share has no rounding by position: renaming changes nothing at all.
    if one.rows != two.rows || change.rows != change_two.rows {
        return Err(scheme.broken("accrue", Rule::Renaming, "credits differ when the miners are renamed"));
    }
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
    let mut batch = Batch::default();
    for share in shares {
        let (low, high) = share.network.halves();
        batch.seq.push(share.seq.0);
        batch.miner.push(names.name(share.miner).unwrap_or(0));
        batch.work.push(share.work.0);
        batch.network_low.push(low);
        batch.network_high.push(high);
        batch.time_ms.push(share.time.0);
        batch.coord.push(share.coord);
        batch.reward.push(share.reward.0);
    }
    let cells = state.under(&names);
    let done = scheme
        .plugin
        .accrue(&scheme.settings, &batch, &cells)
        .map_err(|source| PayoutError::Call { plugin: scheme.name.clone(), source })?;
    let function = if run == 0 { "accrue" } else { "accrue-renamed" };
    audit.push(audit::record(scheme.digest(), function, scheme.config, &(&batch, &cells), &done)?);
    let checked = check(scheme, "accrue", &done.value, &names, None)?;
    if checked.rest != 0 {
        return Err(scheme.broken("accrue", Rule::Conserved, format!("a rest of {}, it is 0", checked.rest)));
    }
    let change = SchemeState::change(scheme, "accrue", &done.value.state, &names)?;
    Ok((checked, change))
}

fn entry(
    scheme: &BoundScheme,
    fee: Option<&BoundFee>,
    shares: &[AccruedShare],
    credit: Credit,
    attributes: &dyn Attributes,
) -> Result<Accrual, PayoutError> {
    let (Some(first), Some(last)) = (shares.first(), shares.last()) else {
        return Err(PayoutError::Input(format!("no share to credit by {}", scheme.name)));
    };
    let mut audit = credit.audit;
    let mut net = credit.checked.rows;
    let mut parts = Vec::new();
    if let Some(fee) = fee
        && !net.is_empty()
    {
        let income = Income {
            key: last.seq.0.to_le_bytes().to_vec(),
            gross: credit.total,
            seq: last.seq.0,
            time_ms: last.time.0,
            coord: last.coord,
            finder: None,
        };
        let taken = fees::take(fee, &income, None, &net, attributes, &mut audit)?;
        net = taken.net;
        parts.extend(taken.parts);
    }
    parts.extend(net.into_iter().map(|(miner, amount)| (Owner::Miner(miner), Amount(amount))));
    let parts = Allocation::merged(parts)?;
    let state = credit.change.to_bytes();
    let entry = Entry::Accrued { first: first.seq, last: last.seq, parts, state };
    Ok(Accrual { entry: Some(entry), shares: shares.len(), audit })
}
