//! Merkle-sum trees: one root commits to an allocation, and a short proof shows a miner that his part is in it and
//! that all parts sum to the income.
//!
//! Leaf: `BLAKE3("millpond leaf 1" 0 key 0 owner 0 amount_le64)`, with key and owner as they are written everywhere (hex in
//! small letters; `m12`). Node: `BLAKE3("millpond node 1" 0 left_hash left_sum_le64 right_hash right_sum_le64)`, sum = left +
//! right. An odd node at the end of a level moves up unchanged. The root of nothing has the hash of no bytes and sum 0.

use crate::{Allocation, IncomeKey, LedgerError, Owner, Share};
use millpond_types::{Amount, Digest};
use serde::{Deserialize, Serialize};
use std::io::Write as _;

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
    Leaves::of(key).leaf(owner, amount)
}

/// Hashes the leaves of one income, of which there may be a million: what they have in common is written once.
struct Leaves {
    bytes: Vec<u8>,
    common: usize,
}

impl Leaves {
    fn of(key: &IncomeKey) -> Self {
        let bytes = [b"millpond leaf 1\0", key.to_string().as_bytes(), b"\0"].concat();
        Self { common: bytes.len(), bytes }
    }

    fn leaf(&mut self, owner: &Owner, amount: Amount) -> SumNode {
        self.bytes.truncate(self.common);
        // Into memory: that cannot fail.
        let _ = write!(self.bytes, "{owner}");
        self.bytes.push(0);
        self.bytes.extend_from_slice(&amount.0.to_le_bytes());
        SumNode { hash: Digest(*blake3::hash(&self.bytes).as_bytes()), sum: amount }
    }

    fn all(&mut self, shares: &[Share]) -> Vec<SumNode> {
        shares.iter().map(|share| self.leaf(&share.0, share.1)).collect()
    }
}

/// The tag of a node, and both children's hashes and sums.
const NODE: &[u8; 16] = b"millpond node 1\0";

fn join(left: &SumNode, right: &SumNode) -> Result<SumNode, LedgerError> {
    let mut bytes = [0; 96];
    let parts: [&[u8]; 5] =
        [NODE, &left.hash.0, &left.sum.0.to_le_bytes(), &right.hash.0, &right.sum.0.to_le_bytes()];
    let mut to = bytes.as_mut_slice();
    for part in parts {
        // They fill it to the byte: that cannot fail.
        let _ = to.write_all(part);
    }
    let sum = left.sum.checked_add(right.sum).ok_or(LedgerError::Overflow("a Merkle sum"))?;
    Ok(SumNode { hash: Digest(*blake3::hash(&bytes).as_bytes()), sum })
}

fn leaves(key: &IncomeKey, allocation: &Allocation) -> Vec<SumNode> {
    Leaves::of(key).all(allocation.shares())
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
    let nodes = match allocation.shares() {
        few if few.len() <= CHUNK => return Ok(top(leaves(key, allocation))?.unwrap_or(NOTHING)),
        many => beside(many, |chunk| top(Leaves::of(key).all(chunk)))?,
    };
    Ok(top(nodes)?.unwrap_or(NOTHING))
}

/// The root of nothing: the hash of no bytes.
const NOTHING: SumNode = SumNode {
    hash: Digest([
        0xaf, 0x13, 0x49, 0xb9, 0xf5, 0xf9, 0xa1, 0xa6, 0xa0, 0x40, 0x4d, 0xea, 0x36, 0xdc, 0xc9, 0x49, 0x9b,
        0xcb, 0x25, 0xc9, 0xad, 0xc1, 0x12, 0xb7, 0xcc, 0x9a, 0x93, 0xca, 0xe4, 0x1f, 0x32, 0x62,
    ]),
    sum: Amount::ZERO,
};
/// So many leaves are hashed by one thread at a time. A power of two: what is above such a piece of the tree is a node of it.
const CHUNK: usize = 1 << 14;

/// The node above all of a level.
fn top(mut level: Vec<SumNode>) -> Result<Option<SumNode>, LedgerError> {
    while level.len() > 1 {
        level = level_up(&level)?;
    }
    Ok(level.first().copied())
}

/// The nodes above chunks of the leaves, each made by one of as many threads as the machine runs at a time.
fn beside(
    shares: &[Share],
    node: impl Fn(&[Share]) -> Result<Option<SumNode>, LedgerError> + Sync,
) -> Result<Vec<SumNode>, LedgerError> {
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let chunks: Vec<&[Share]> = shares.chunks(CHUNK).collect();
    let each = chunks.len().div_ceil(threads).max(1);
    let made = std::thread::scope(|scope| {
        let some = chunks.chunks(each).map(|some| {
            let node = &node;
            scope.spawn(move || some.iter().map(|chunk| node(chunk)).collect::<Result<Vec<_>, _>>())
        });
        let threads: Vec<_> = some.collect();
        let end = |thread: std::thread::ScopedJoinHandle<'_, _>| {
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        threads.into_iter().map(end).collect::<Result<Vec<Vec<Option<SumNode>>>, LedgerError>>()
    })?;
    Ok(made.into_iter().flatten().flatten().collect())
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
    use millpond_types::MinerId;

    /// As the page describes it, one leaf and one node at a time.
    fn by_hand(key: &IncomeKey, allocation: &Allocation) -> SumNode {
        let hash = |parts: &[&[u8]]| Digest::of(&parts.concat());
        let mut level: Vec<SumNode> = (allocation.shares().iter())
            .map(|Share(owner, sum)| {
                let (key, owner) = (key.to_string(), owner.to_string());
                let amount = sum.0.to_le_bytes();
                let parts: [&[u8]; 6] =
                    [b"millpond leaf 1\0", key.as_bytes(), b"\0", owner.as_bytes(), b"\0", &amount];
                SumNode { hash: hash(&parts), sum: *sum }
            })
            .collect();
        while level.len() > 1 {
            let pair = |pair: &[SumNode]| match pair {
                [one, two] => {
                    let (a, b) = (one.sum.0.to_le_bytes(), two.sum.0.to_le_bytes());
                    let parts: [&[u8]; 5] = [b"millpond node 1\0", &one.hash.0, &a, &two.hash.0, &b];
                    SumNode { hash: hash(&parts), sum: Amount(one.sum.0 + two.sum.0) }
                }
                odd => odd[0],
            };
            level = level.chunks(2).map(pair).collect();
        }
        level.first().copied().unwrap_or(SumNode { hash: Digest::of(b""), sum: Amount::ZERO })
    }

    #[test]
    fn a_root_that_many_threads_make_is_the_one_of_the_page() {
        let key = IncomeKey::new(vec![9; 36]).unwrap();
        let odd =
            [0, 1, 2, 3, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 3 * CHUNK + 5, 5 * CHUNK + CHUNK / 2 + 1];
        for count in odd {
            let miners =
                (1..=count as u64).map(|id| Share(Owner::Miner(MinerId(id * 3)), Amount(id % 1_000 + 1)));
            let fee = Share(Owner::Fee(crate::FeeName::try_from("op".to_owned()).unwrap()), Amount(7));
            let mut shares: Vec<Share> = miners.chain((count > 0).then_some(fee)).collect();
            shares.sort_by(|a, b| a.0.cmp(&b.0));
            let allocation = Allocation::new(shares).unwrap();
            assert_eq!(root(&key, &allocation).unwrap(), by_hand(&key, &allocation), "{count}");
        }
    }

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
