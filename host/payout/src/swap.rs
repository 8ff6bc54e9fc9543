//! Swapping the scheme: at a recorded boundary, and what is owed stays owed.
//!
//! A new scheme is scheduled at any time and takes effect after the next block: the income of that block, and of every
//! block before it that is not divided yet, is divided by the old scheme. The boundary is written down before it
//! counts, so that a replay divides every income by the scheme that was in force.

use crate::{BoundScheme, PayoutError, SchemeState};
use millpond_contracts::payout::Income;
use millpond_types::{Digest, ShareSeq};
use serde::{Deserialize, Serialize};

/// A swap that took effect; for the journal and, as a note, for the ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SwapRecord {
    /// The last share that the old scheme divides the income of.
    pub boundary: ShareSeq,
    /// The old component.
    pub from: Digest,
    /// The new component.
    pub to: Digest,
    /// BLAKE3 of the new settings.
    pub config: Digest,
}

/// Why a scheme may not take over.
#[derive(Debug, thiserror::Error)]
pub enum SwapError {
    /// Debts in cells that the new scheme cannot read.
    #[error(
        "scheme {new} cannot take over: {old} owes miners in its cells (format {old_format:?}), and {new} reads \
         {new_format:?}; pay the debts out under the old scheme first, or give the new version the same state-format"
    )]
    Format {
        /// The scheme in force.
        old: String,
        /// The scheme that should follow.
        new: String,
        /// Format of the cells.
        old_format: String,
        /// Format that the new one declares.
        new_format: String,
    },
    /// The new version reads the cells and changes them without an income.
    #[error(
        "scheme {new} cannot take over: given the cells that {old} owes and nothing to divide, it changes {rows} \
         rows that {old} leaves as they are; an upgrade must not forget debts"
    )]
    Forgets {
        /// The scheme in force.
        old: String,
        /// The scheme that should follow.
        new: String,
        /// Rows that differ.
        rows: usize,
    },
    /// A call failed or its result broke a rule.
    #[error("the trial call before the swap: {0}")]
    Trial(#[from] PayoutError),
}

/// Whether `new` may take over the state that `old` leaves.
///
/// # Errors
/// When debts would be forgotten, or the new scheme fails its trial.
pub fn check_upgrade(old: &BoundScheme, new: &BoundScheme, state: &SchemeState) -> Result<(), SwapError> {
    if state.is_empty() {
        return Ok(());
    }
    if !state.fits(&new.terms) {
        return Err(SwapError::Format {
            old: old.name.clone(),
            new: new.name.clone(),
            old_format: format!("{} ({} cells)", state.format(), state.width()),
            new_format: format!("{} ({} cells)", new.terms.state_format, new.terms.cells),
        });
    }
    let (before, after) = (trial(old, state)?, trial(new, state)?);
    if before != after {
        let rows = before.iter().filter(|row| !after.contains(row)).count();
        let extra = after.iter().filter(|row| !before.contains(row)).count();
        return Err(SwapError::Forgets {
            old: old.name.clone(),
            new: new.name.clone(),
            rows: rows.max(extra),
        });
    }
    Ok(())
}

type Rows = Vec<(millpond_types::MinerId, Vec<u64>)>;

/// The state after an income of nothing over empty windows.
fn trial(scheme: &BoundScheme, state: &SchemeState) -> Result<Rows, PayoutError> {
    let miners = state.miners().collect();
    let names = crate::pseudonyms::Pseudonyms::new(&miners, b"swap", 0);
    let income = Income { key: b"swap".to_vec(), gross: 0, seq: 0, time_ms: 0, coord: 0, finder: None };
    let windows = vec![millpond_contracts::payout::Totals::default(); scheme.terms.windows.len()];
    let given = scheme
        .plugin
        .allocate(&scheme.settings, &income, &windows, &state.under(&names))
        .map_err(|source| PayoutError::Call { plugin: scheme.name.clone(), source })?
        .value;
    crate::check::check(scheme, "allocate", &given, &names, Some(millpond_types::Amount::ZERO))?;
    let change = SchemeState::change(scheme, "allocate", &given.state, &names)?;
    let mut after = state.clone();
    after.apply(&change.to_bytes(), None)?;
    Ok(after.rows())
}

/// Which scheme divides the income of which share.
#[derive(Clone, Debug)]
pub struct Timeline {
    /// Each scheme and the last share before its time, oldest first; the first one's is zero.
    in_force: Vec<(ShareSeq, BoundScheme)>,
    pending: Option<BoundScheme>,
}

impl Timeline {
    /// Starts with one scheme, in force from the beginning.
    #[must_use]
    pub fn new(scheme: BoundScheme) -> Self {
        Self { in_force: vec![(ShareSeq(0), scheme)], pending: None }
    }

    /// The scheme that divides an income whose windows end at this share.
    #[must_use]
    pub fn at(&self, seq: ShareSeq) -> Option<&BoundScheme> {
        let found = self.in_force.iter().rev().find(|(after, _)| *after < seq);
        found.or(self.in_force.first()).map(|(_, scheme)| scheme)
    }

    /// The newest scheme in force.
    #[must_use]
    pub fn current(&self) -> Option<&BoundScheme> {
        self.in_force.last().map(|(_, scheme)| scheme)
    }

    /// The scheme that takes over after the next block.
    #[must_use]
    pub fn pending(&self) -> Option<&BoundScheme> {
        self.pending.as_ref()
    }

    /// Schedules a scheme to take over after the next block; replaces one that was scheduled before.
    ///
    /// # Errors
    /// As [`check_upgrade`]; the scheme in force goes on.
    pub fn schedule(&mut self, new: BoundScheme, state: &SchemeState) -> Result<(), SwapError> {
        if let Some(old) = self.current() {
            check_upgrade(old, &new, state)?;
        }
        self.pending = Some(new);
        Ok(())
    }

    /// Withdraws a scheduled scheme.
    pub fn cancel(&mut self) {
        self.pending = None;
    }

    /// A block was found by this share. Gives the swap to record, if one is due; write it down, then call
    /// [`Timeline::take_effect`]. The state is the one after the block's income was divided.
    ///
    /// # Errors
    /// When the scheme that is due cannot take over what is owed by now: it stays scheduled, the old one goes on.
    pub fn due(&self, block: ShareSeq, state: &SchemeState) -> Result<Option<SwapRecord>, SwapError> {
        let (Some(old), Some(new)) = (self.current(), &self.pending) else { return Ok(None) };
        check_upgrade(old, new, state)?;
        Ok(Some(SwapRecord { boundary: block, from: old.digest(), to: new.digest(), config: new.config }))
    }

    /// The recorded swap counts from now on. Also for replay, with the scheme loaded by its digest.
    ///
    /// # Errors
    /// When the record is of another scheme, or older than one that took effect already.
    pub fn take_effect(&mut self, record: &SwapRecord, scheme: BoundScheme) -> Result<(), PayoutError> {
        let newest = self.in_force.last().map_or(ShareSeq(0), |(after, _)| *after);
        if record.to != scheme.digest() || record.config != scheme.config || record.boundary < newest {
            return Err(PayoutError::Input(format!(
                "the swap recorded at share {} is not of scheme {}, or out of order",
                record.boundary, scheme.name
            )));
        }
        if self.pending.as_ref().is_some_and(|pending| pending.digest() == record.to) {
            self.pending = None;
        }
        self.in_force.push((record.boundary, scheme));
        Ok(())
    }
}
