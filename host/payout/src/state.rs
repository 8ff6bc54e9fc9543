//! A scheme's state between calls: a memo and up to eight integers per miner. The scheme's debts are in here, so every
//! change is stored in the ledger entry that it belongs to, and the state is what those entries add up to.

use crate::pseudonyms::Pseudonyms;
use crate::{BoundScheme, PayoutError, Rule};
use millpond_contracts::payout::{State, Terms};
use millpond_ledger::IncomeKey;
use millpond_types::MinerId;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The memo's limit, by the contract.
const MAX_MEMO: usize = 64 << 10;

/// What one call changed. Serialised as JSON into the ledger entry of the same decision.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateChange {
    /// The state's format.
    pub format: String,
    /// Cells per miner.
    pub width: u8,
    /// The new memo, in hex; `None` when it did not change.
    pub memo: Option<String>,
    /// Changed rows, ascending; all zero means forgotten.
    pub rows: Vec<(MinerId, Vec<u64>)>,
}

impl StateChange {
    /// As it stands in the ledger's entry; nothing for no change.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        if self.memo.is_none() && self.rows.is_empty() {
            return Vec::new();
        }
        serde_json::to_vec(self).unwrap_or_default()
    }
}

/// The state as it stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SchemeState {
    format: String,
    width: u8,
    memo: Vec<u8>,
    rows: BTreeMap<MinerId, Vec<u64>>,
    /// What each open income changed, oldest first, to be undone.
    undo: Vec<Undo>,
}

/// An open income, and the memo and rows before it.
type Undo = (IncomeKey, Vec<u8>, BTreeMap<MinerId, Vec<u64>>);

impl SchemeState {
    /// No state yet, for a scheme.
    #[must_use]
    pub fn new(terms: &Terms) -> Self {
        Self { format: terms.state_format.clone(), width: terms.cells, ..Self::default() }
    }

    /// Whether it holds nothing: no debt can be forgotten.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.memo.is_empty() && self.rows.is_empty()
    }

    /// Its format.
    #[must_use]
    pub fn format(&self) -> &str {
        &self.format
    }

    /// Cells per miner.
    #[must_use]
    pub fn width(&self) -> u8 {
        self.width
    }

    /// Miners with cells.
    pub fn miners(&self) -> impl Iterator<Item = MinerId> + '_ {
        self.rows.keys().copied()
    }

    /// Whether a scheme can work on it.
    #[must_use]
    pub fn fits(&self, terms: &Terms) -> bool {
        self.is_empty() || (self.format == terms.state_format && self.width == terms.cells)
    }

    /// Applies the change that a ledger entry holds. `income` makes it possible to undo it.
    ///
    /// # Errors
    /// When the bytes are not a change, or one of another format than the state that is there.
    pub fn apply(&mut self, bytes: &[u8], income: Option<&IncomeKey>) -> Result<(), PayoutError> {
        let change: StateChange = if bytes.is_empty() {
            StateChange { format: self.format.clone(), width: self.width, ..StateChange::default() }
        } else {
            serde_json::from_slice(bytes).map_err(|error| {
                PayoutError::Input(format!("a stored change of state cannot be read: {error}"))
            })?
        };
        if !self.is_empty() && (change.format != self.format || change.width != self.width) {
            return Err(PayoutError::Input(format!(
                "a stored change is of format {:?} with {} cells, the state is {:?} with {}",
                change.format, change.width, self.format, self.width
            )));
        }
        self.format = change.format;
        self.width = change.width;
        let before = change
            .rows
            .iter()
            .map(|(miner, _)| (*miner, self.rows.get(miner).cloned().unwrap_or_default()))
            .collect();
        let memo_before = self.memo.clone();
        if let Some(memo) = change.memo {
            self.memo = hex::decode(memo)
                .map_err(|error| PayoutError::Input(format!("a stored memo is not hex: {error}")))?;
        }
        for (miner, cells) in change.rows {
            self.set(miner, cells);
        }
        if let Some(key) = income {
            self.undo.push((key.clone(), memo_before, before));
        }
        Ok(())
    }

    fn set(&mut self, miner: MinerId, cells: Vec<u64>) {
        if cells.iter().all(|cell| *cell == 0) {
            self.rows.remove(&miner);
        } else {
            self.rows.insert(miner, cells);
        }
    }

    /// The income is final: its change can no longer be undone, nor can those before it.
    pub fn settle(&mut self, income: &IncomeKey) {
        if let Some(at) = self.undo.iter().position(|(key, _, _)| key == income) {
            self.undo.drain(..=at);
        }
    }

    /// Restores the state before an income that was lost (reversal `restore`), and gives the incomes after it, oldest
    /// first: they were divided on top of it and are to be divided again. Nothing when the income is not known.
    #[must_use]
    pub fn restore_before(&mut self, income: &IncomeKey) -> Vec<IncomeKey> {
        let Some(at) = self.undo.iter().position(|(key, _, _)| key == income) else { return Vec::new() };
        let undone = self.undo.split_off(at);
        for (_, memo, rows) in undone.iter().rev() {
            self.memo.clone_from(memo);
            for (miner, cells) in rows {
                self.set(*miner, cells.clone());
            }
        }
        undone.into_iter().skip(1).map(|(key, _, _)| key).collect()
    }

    pub(crate) fn rows(&self) -> Vec<(MinerId, Vec<u64>)> {
        self.rows.iter().map(|(miner, cells)| (*miner, cells.clone())).collect()
    }

    /// As the plugin gets it.
    pub(crate) fn under(&self, names: &Pseudonyms) -> State {
        let rows: BTreeMap<u64, &Vec<u64>> =
            self.rows.iter().filter_map(|(miner, cells)| Some((names.name(*miner)?, cells))).collect();
        State {
            memo: self.memo.clone(),
            miner: rows.keys().copied().collect(),
            cells: rows.values().flat_map(|cells| cells.iter().copied()).collect(),
        }
    }

    /// Checks what the plugin gave back, and names the miners.
    pub(crate) fn change(
        scheme: &BoundScheme,
        function: &'static str,
        given: &State,
        names: &Pseudonyms,
    ) -> Result<StateChange, PayoutError> {
        let broken = |detail: String| Err(scheme.broken(function, Rule::State, detail));
        let width = usize::from(scheme.terms.cells);
        if given.memo.len() > MAX_MEMO {
            return broken(format!("a memo of {} bytes, at most {MAX_MEMO}", given.memo.len()));
        }
        if given.cells.len() != given.miner.len().saturating_mul(width) {
            let (cells, miners) = (given.cells.len(), given.miner.len());
            return broken(format!("{cells} cells for {miners} miners of {width} each"));
        }
        if width == 0 && !given.miner.is_empty() {
            return broken("rows of cells, but the terms declare none".to_owned());
        }
        if !given.miner.iter().zip(given.miner.iter().skip(1)).all(|(a, b)| a < b) {
            return broken("miners of the cells are not strictly ascending".to_owned());
        }
        let mut rows = Vec::with_capacity(given.miner.len());
        for (name, cells) in given.miner.iter().zip(given.cells.chunks_exact(width.max(1))) {
            match names.miner(*name) {
                Some(miner) => rows.push((miner, cells.to_vec())),
                None => return broken(format!("cells for miner {name}, who was not handed in")),
            }
        }
        rows.sort_unstable_by_key(|row| row.0);
        let memo = (!given.memo.is_empty()).then(|| hex::encode(&given.memo));
        Ok(StateChange { format: scheme.terms.state_format.clone(), width: scheme.terms.cells, memo, rows })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(rows: &[(u64, u64)]) -> Vec<u8> {
        let rows = rows.iter().map(|(miner, cell)| (MinerId(*miner), vec![*cell])).collect();
        StateChange { format: "f".to_owned(), width: 1, memo: None, rows }.to_bytes()
    }

    #[test]
    fn a_lost_income_restores_the_cells_and_names_the_incomes_after_it() {
        let keys: Vec<_> = (0..3_u8).map(|at| IncomeKey::new(vec![at]).unwrap()).collect();
        let mut state = SchemeState::default();
        state.apply(&change(&[(1, 5)]), Some(&keys[0])).unwrap();
        let before = state.clone();
        state.apply(&change(&[(1, 0), (2, 7)]), Some(&keys[1])).unwrap();
        state.apply(&change(&[(2, 9)]), Some(&keys[2])).unwrap();
        assert_eq!(state.restore_before(&keys[1]), [keys[2].clone()]);
        assert_eq!(state, before);
        state.settle(&keys[0]);
        assert_eq!(state.restore_before(&keys[0]), []);
        assert!(!state.is_empty());
    }

    #[test]
    fn a_change_of_another_format_is_refused() {
        let mut state = SchemeState::default();
        state.apply(&change(&[(1, 5)]), None).unwrap();
        let other =
            StateChange { format: "g".to_owned(), width: 1, memo: None, rows: vec![(MinerId(1), vec![1])] };
        assert!(state.apply(&other.to_bytes(), None).is_err());
    }
}
