//! A Merkle-sum tree that is kept, to prove the parts of many owners out of one income.
//!
//! Parts are columns, and of the nodes only those from [`HEIGHT`] levels up are held: an eighth of what the whole tree
//! takes, and a proof hashes one block of leaves and reads the rest of its path.

use crate::proof::{Proof, ProofStep, SumNode, leaf, level_up};
use crate::{Allocation, IncomeKey, LedgerError, Owner};
use millpond_types::{Amount, MinerId};

/// Levels below the lowest that is held.
const HEIGHT: u32 = 6;
/// Leaves below one node of the lowest level that is held.
const BLOCK: usize = 1 << HEIGHT;
/// What an owner who is no miner takes in memory: his name and what holds it.
const NAMED: usize = 64;

/// One income's tree.
#[derive(Debug)]
pub(crate) struct Tree {
    key: IncomeKey,
    /// Ascending, as everywhere: miners come before all other owners.
    miners: Vec<MinerId>,
    others: Vec<Owner>,
    /// Of miners and then of the others.
    amounts: Vec<Amount>,
    /// From the level of blocks up to the root.
    levels: Vec<Vec<SumNode>>,
}

impl Tree {
    /// The tree over an income's parts.
    pub(crate) fn new(key: &IncomeKey, parts: &Allocation) -> Result<Self, LedgerError> {
        let shares = parts.shares();
        let miners = parts.miners().map(|(id, _)| id).collect();
        let others = shares.iter().map(|share| &share.0).filter(|owner| !matches!(owner, Owner::Miner(_)));
        let mut tree = Self {
            key: key.clone(),
            miners,
            others: others.cloned().collect(),
            amounts: shares.iter().map(|share| share.1).collect(),
            levels: Vec::new(),
        };
        let mut blocks = Vec::new();
        for first in (0..shares.len()).step_by(BLOCK) {
            let mut level = tree.block(first);
            for _ in 0..HEIGHT {
                level = level_up(&level)?;
            }
            blocks.append(&mut level);
        }
        tree.levels.push(blocks);
        while let Some(level) = tree.levels.last().filter(|level| level.len() > 1) {
            let above = level_up(level)?;
            tree.levels.push(above);
        }
        Ok(tree)
    }

    /// What it is the tree of.
    pub(crate) fn key(&self) -> &IncomeKey {
        &self.key
    }

    /// The root; `None` over nothing.
    pub(crate) fn root(&self) -> Option<SumNode> {
        self.levels.last()?.first().copied()
    }

    /// An owner's part and the path from it to the root; `None` when he has none.
    pub(crate) fn prove(&self, owner: &Owner) -> Result<Option<(Amount, Proof)>, LedgerError> {
        let Some(at) = self.place(owner) else { return Ok(None) };
        let Some(part) = self.amounts.get(at) else { return Ok(None) };
        let mut path = Vec::new();
        let mut step = |level: &[SumNode], at: usize| {
            if let Some(sibling) = level.get(at ^ 1) {
                path.push(ProofStep { sibling: *sibling, left: at % 2 == 1 });
            }
        };
        let mut level = self.block(at - at % BLOCK);
        for height in 0..HEIGHT {
            step(&level, (at % BLOCK) >> height);
            level = level_up(&level)?;
        }
        for (level, height) in self.levels.iter().zip(HEIGHT..) {
            step(level, at >> height);
        }
        Ok(Some((*part, Proof { path })))
    }

    /// About what it takes in memory.
    pub(crate) fn bytes(&self) -> usize {
        let nodes: usize = self.levels.iter().map(Vec::len).sum();
        size_of_val(self.amounts.as_slice())
            + size_of_val(self.miners.as_slice())
            + self.others.len() * NAMED
            + nodes * size_of::<SumNode>()
    }

    fn place(&self, owner: &Owner) -> Option<usize> {
        match owner {
            Owner::Miner(id) => self.miners.binary_search(id).ok(),
            _ => self.others.binary_search(owner).ok().map(|at| at + self.miners.len()),
        }
    }

    /// The leaves of a block.
    fn block(&self, first: usize) -> Vec<SumNode> {
        let owners = self.miners.iter().map(|id| Owner::Miner(*id)).skip(first);
        let others = self.others.iter().skip(first.saturating_sub(self.miners.len())).cloned();
        let amounts = self.amounts.iter().skip(first);
        let parts = owners.chain(others).zip(amounts).take(BLOCK);
        parts.map(|(owner, amount)| leaf(&self.key, &owner, *amount)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{FeeName, Share, proof};
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn a_kept_tree_proves_what_a_whole_one_proves(count in 0..300_u64, fees in 0..80_u64) {
            let key = IncomeKey::new(vec![7; 32]).unwrap();
            let miner = |id| Owner::Miner(MinerId(id * 3));
            let fee = |id| Owner::Fee(FeeName::try_from(format!("fee-{id:04}")).unwrap());
            let mut shares: Vec<_> = (1..=count).map(|id| Share(miner(id), Amount(id * 10))).collect();
            shares.extend((0..fees).map(|id| Share(fee(id), Amount(id + 1))));
            shares.push(Share(Owner::Carry, Amount(5)));
            let parts = Allocation::new(shares).unwrap();
            let tree = Tree::new(&key, &parts).unwrap();
            prop_assert_eq!(tree.root(), Some(proof::root(&key, &parts).unwrap()));
            for Share(owner, amount) in parts.shares() {
                let whole = proof::prove(&key, &parts, owner).unwrap().unwrap();
                prop_assert_eq!(tree.prove(owner).unwrap(), Some((*amount, whole)));
            }
            for stranger in [Owner::Miner(MinerId(1)), Owner::Reserve, fee(9_000)] {
                prop_assert_eq!(tree.prove(&stranger).unwrap(), None);
            }
        }
    }

    #[test]
    fn there_is_a_tree_over_nothing() {
        let tree = Tree::new(&IncomeKey::new(vec![1]).unwrap(), &Allocation::default()).unwrap();
        assert_eq!((tree.root(), tree.prove(&Owner::Carry).unwrap()), (None, None));
    }
}
