//! What owners earned by a history of entries: divisions and credits alone, without payments. Two histories of the same
//! incomes can be laid beside each other with it, whatever was paid out in one of them.

use crate::{Allocation, Entry, IncomeAllocated, IncomeKey, Owner, Reversal, Share};
use millpond_types::Amount;
use std::collections::{BTreeMap, HashMap};

/// Sums of divisions and credits.
///
/// `owners` less `lost` is `standing`, to the unit: what came in is with somebody, and what miners keep of incomes that
/// the chain took back is the operator's loss.
#[derive(Clone, Debug, Default)]
pub struct Earned {
    owners: BTreeMap<Owner, i128>,
    /// Incomes that can still be taken back, with what was divided along from the carry account and the reserve.
    open: HashMap<IncomeKey, (Allocation, [Amount; 2])>,
    /// What the reserve keeps of incomes that are gone.
    reserves: HashMap<IncomeKey, Amount>,
    /// What the chain paid, of each income that it took back while the credits stay.
    kept: HashMap<IncomeKey, Amount>,
    amounts: HashMap<IncomeKey, Amount>,
    standing: i128,
    lost: i128,
}

impl Earned {
    /// Takes in an entry.
    pub fn take(&mut self, entry: &Entry) {
        match entry {
            Entry::IncomeAllocated(income) => self.divided(income),
            Entry::Matured { key } => {
                self.open.remove(key);
            }
            Entry::Reversed { key, how, .. } => self.reversed(key, *how),
            Entry::Reinstated { key } => {
                if let Some(amount) = self.kept.remove(key) {
                    let amount = i128::from(amount.0);
                    self.standing = self.standing.saturating_add(amount);
                    self.lost = self.lost.saturating_sub(amount);
                }
            }
            Entry::Accrued { parts, .. } => {
                self.parts(parts, 1);
                self.add(&Owner::Reserve, -i128::from(parts.total().0));
            }
            _ => {}
        }
    }

    fn divided(&mut self, income: &IncomeAllocated) {
        // There again: what was made good to the reserve is the operator's.
        if let Some(kept) = self.reserves.remove(&income.key) {
            self.add(&Owner::Reserve, -i128::from(kept.0));
            self.lost = self.lost.saturating_sub(i128::from(kept.0));
        }
        let drawn = [income.carry_in, income.reserve_in];
        self.parts(income.earned(), 1);
        self.pooled(drawn, -1);
        self.standing = self.standing.saturating_add(i128::from(income.amount.0));
        self.open.insert(income.key.clone(), (income.earned().clone(), drawn));
        self.amounts.insert(income.key.clone(), income.amount);
    }

    fn reversed(&mut self, key: &IncomeKey, how: Reversal) {
        let Some(amount) = self.amounts.get(key).copied() else { return };
        self.standing = self.standing.saturating_sub(i128::from(amount.0));
        match (how, self.open.remove(key)) {
            (Reversal::Drop | Reversal::Restore | Reversal::KeepReserve, Some((parts, drawn))) => {
                self.parts(&parts, -1);
                self.pooled(drawn, 1);
                if how == Reversal::KeepReserve {
                    let kept = parts.of(&Owner::Reserve);
                    self.add(&Owner::Reserve, i128::from(kept.0));
                    self.lost = self.lost.saturating_add(i128::from(kept.0));
                    self.reserves.insert(key.clone(), kept);
                }
            }
            _ => {
                self.kept.insert(key.clone(), amount);
                self.lost = self.lost.saturating_add(i128::from(amount.0));
            }
        }
    }

    fn pooled(&mut self, [carry, reserve]: [Amount; 2], sign: i128) {
        self.add(&Owner::Carry, i128::from(carry.0).saturating_mul(sign));
        self.add(&Owner::Reserve, i128::from(reserve.0).saturating_mul(sign));
    }

    fn parts(&mut self, parts: &Allocation, sign: i128) {
        for Share(owner, amount) in parts.shares() {
            self.add(owner, i128::from(amount.0).saturating_mul(sign));
        }
    }

    fn add(&mut self, owner: &Owner, amount: i128) {
        match self.owners.get_mut(owner) {
            Some(sum) => *sum = sum.saturating_add(amount),
            None if amount != 0 => {
                self.owners.insert(owner.clone(), amount);
            }
            None => {}
        }
    }

    /// What an owner earned; of the carry account and the reserve what went in less what came out.
    #[must_use]
    pub fn of(&self, owner: &Owner) -> i128 {
        self.owners.get(owner).copied().unwrap_or(0)
    }

    /// Every owner who ever had a part.
    pub fn owners(&self) -> impl Iterator<Item = (&Owner, i128)> {
        self.owners.iter().map(|(owner, sum)| (owner, *sum))
    }

    /// What the chain paid of all incomes that stand.
    #[must_use]
    pub fn standing(&self) -> i128 {
        self.standing
    }

    /// What stays credited of incomes that the chain took back.
    #[must_use]
    pub fn lost(&self) -> i128 {
        self.lost
    }

    /// What is left to the operator: fees and the reserve's change, less his losses.
    #[must_use]
    pub fn operator(&self) -> i128 {
        let own = |owner: &Owner| matches!(owner, Owner::Fee(_) | Owner::Reserve);
        let sum = self.owners.iter().filter(|(owner, _)| own(owner)).map(|(_, sum)| *sum);
        sum.fold(0_i128, i128::saturating_add).saturating_sub(self.lost)
    }

    /// Whether every unit that came in is with somebody.
    #[must_use]
    pub fn adds_up(&self) -> bool {
        let sum = self.owners.values().fold(0_i128, |sum, more| sum.saturating_add(*more));
        sum.saturating_sub(self.lost) == self.standing
    }
}
