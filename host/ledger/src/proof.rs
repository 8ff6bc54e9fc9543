//! Merkle-sum trees: one root commits to an allocation, and a short proof shows a miner that his part is in it and
//! that all parts sum to the income.
//!
//! Leaf: `BLAKE3("millpond leaf 1" 0 key 0 owner 0 amount_le64)`, with key and owner as they are written everywhere (hex in
//! small letters; `m12`). Node: `BLAKE3("millpond node 1" 0 left_hash left_sum_le64 right_hash right_sum_le64)`, sum = left +
//! right. An odd node at the end of a level moves up unchanged. The root of nothing has the hash of no bytes and sum 0.

use crate::{Allocation, IncomeKey, LedgerError, Owner};
use millpond_types::{Amount, Digest};
use serde::{Deserialize, Serialize};

/// A node: what it commits to, and the sum below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SumNode {
    /// Commitment.
    pub hash: Digest,
    /// Sum of all parts below.
    pub sum: Amount,
}

/// One level of a proof: the sibling and its side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProofStep {
    /// The sibling.
    pub sibling: SumNode,
    /// Whether the sibling stands on the left.
    pub left: bool,
}

/// The path from one owner's leaf to the root.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    /// Siblings from the leaf upwards.
    pub path: Vec<ProofStep>,
}

pub(crate) fn leaf(key: &IncomeKey, owner: &Owner, amount: Amount) -> SumNode {
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"millpond leaf 1\0");
    hasher.update(key.to_string().as_bytes());
    hasher.update(b"\0");
    hasher.update(owner.to_string().as_bytes());
    hasher.update(b"\0");
    hasher.update(&amount.0.to_le_bytes());
    SumNode { hash: Digest(*hasher.finalize().as_bytes()), sum: amount }
}

fn join(left: &SumNode, right: &SumNode) -> Result<SumNode, LedgerError> {
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"millpond node 1\0");
    for node in [left, right] {
        hasher.update(&node.hash.0);
        hasher.update(&node.sum.0.to_le_bytes());
    }
    let sum = left.sum.checked_add(right.sum).ok_or(LedgerError::Overflow("a Merkle sum"))?;
    Ok(SumNode { hash: Digest(*hasher.finalize().as_bytes()), sum })
}

fn leaves(key: &IncomeKey, allocation: &Allocation) -> Vec<SumNode> {
    allocation.shares().iter().map(|share| leaf(key, &share.0, share.1)).collect()
}

pub(crate) fn level_up(level: &[SumNode]) -> Result<Vec<SumNode>, LedgerError> {
    level
        .chunks(2)
        .map(|pair| match pair {
            [left, right] => join(left, right),
            [odd] => Ok(*odd),
            _ => Err(LedgerError::Overflow("a Merkle level")),
        })
        .collect()
}

/// The root over an allocation.
///
/// # Errors
/// Never for an [`Allocation`] that was checked; a sum that does not fit is reported all the same.
pub fn root(key: &IncomeKey, allocation: &Allocation) -> Result<SumNode, LedgerError> {
    let mut level = leaves(key, allocation);
    while level.len() > 1 {
        level = level_up(&level)?;
    }
    Ok(level.first().copied().unwrap_or(SumNode { hash: Digest::of(b""), sum: Amount::ZERO }))
}

/// The proof of one owner's part; `None` when he has none.
///
/// # Errors
/// As [`root`].
pub fn prove(key: &IncomeKey, allocation: &Allocation, owner: &Owner) -> Result<Option<Proof>, LedgerError> {
    let Ok(mut at) = allocation.shares().binary_search_by(|share| share.0.cmp(owner)) else {
        return Ok(None);
    };
    let mut level = leaves(key, allocation);
    let mut path = Vec::new();
    while level.len() > 1 {
        if let Some(sibling) = level.get(at ^ 1) {
            path.push(ProofStep { sibling: *sibling, left: at % 2 == 1 });
        }
        level = level_up(&level)?;
        at /= 2;
    }
    Ok(Some(Proof { path }))
}

/// Whether a proof leads from an owner's part to a root. What a miner runs; it needs no ledger.
#[must_use]
pub fn verify_proof(key: &IncomeKey, owner: &Owner, amount: Amount, proof: &Proof, root: &SumNode) -> bool {
    let mut node = leaf(key, owner, amount);
    for step in &proof.path {
        let joined = if step.left { join(&step.sibling, &node) } else { join(&node, &step.sibling) };
        match joined {
            Ok(joined) => node = joined,
            Err(_) => return false,
        }
    }
    node == *root
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Share;
    use millpond_types::MinerId;

    #[test]
    fn every_owner_can_prove_his_part_and_no_other_amount() {
        let key = IncomeKey::new(vec![7; 32]).unwrap();
        for count in 1..20_u64 {
            let shares = (1..=count).map(|id| Share(Owner::Miner(MinerId(id)), Amount(id * 10))).collect();
            let allocation = Allocation::new(shares).unwrap();
            let root = root(&key, &allocation).unwrap();
            assert_eq!(root.sum, allocation.total());
            for share in allocation.shares() {
                let proof = prove(&key, &allocation, &share.0).unwrap().unwrap();
                assert!(verify_proof(&key, &share.0, share.1, &proof, &root));
                assert!(!verify_proof(&key, &share.0, Amount(share.1.0 + 1), &proof, &root));
                assert!(!verify_proof(&key, &Owner::Carry, share.1, &proof, &root));
            }
            assert_eq!(prove(&key, &allocation, &Owner::Carry).unwrap(), None);
        }
    }
}
