//! The history tree: every commitment in the order of the ledger, as RFC 9162 (section 2.1) shapes a Merkle tree, so that a
//! head of today can be shown to continue a head of yesterday, and an entry to be in it, in a few hashes.
//!
//! The shape and the algorithms are the RFC's. The hashes are ours ([`Entries`]), and the tests run the same code with the RFC's.

use crate::domain::Domain;
use millpond_types::Digest;
use std::fmt;

/// The hashes of a history tree.
pub trait HistoryHash {
    /// What a hash is.
    type Node: Clone + PartialEq + fmt::Debug;
    /// The root of nothing.
    fn empty() -> Self::Node;
    /// A leaf.
    fn leaf(data: &[u8]) -> Self::Node;
    /// Two subtrees.
    fn join(left: &Self::Node, right: &Self::Node) -> Self::Node;
}

/// BLAKE3 in the contexts `entry` and `link`; nothing has the hash of no bytes in `link`.
#[derive(Clone, Copy, Debug)]
pub enum Entries {}

impl HistoryHash for Entries {
    type Node = Digest;

    fn empty() -> Digest {
        Domain::Link.hash(&[])
    }

    fn leaf(data: &[u8]) -> Digest {
        Domain::Entry.hash(data)
    }

    fn join(left: &Digest, right: &Digest) -> Digest {
        Domain::Link.hash([left.0, right.0].as_flattened())
    }
}

/// A history that grows: the roots of all complete subtrees, two hashes for each leaf.
pub struct History<H: HistoryHash = Entries> {
    /// `levels[k][i]` is the root over the leaves from `i * 2^k` to before `(i + 1) * 2^k`.
    levels: Vec<Vec<H::Node>>,
}

impl<H: HistoryHash> Default for History<H> {
    fn default() -> Self {
        Self { levels: Vec::new() }
    }
}

impl<H: HistoryHash> fmt::Debug for History<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "History of {}", self.size())
    }
}

impl<H: HistoryHash> FromIterator<H::Node> for History<H> {
    fn from_iter<I: IntoIterator<Item = H::Node>>(leaves: I) -> Self {
        let mut history = Self::default();
        for leaf in leaves {
            history.push(leaf);
        }
        history
    }
}

impl<H: HistoryHash> History<H> {
    /// Adds a leaf ([`HistoryHash::leaf`]).
    pub fn push(&mut self, leaf: H::Node) {
        let mut node = Some(leaf);
        let mut height = 0;
        while let Some(complete) = node.take() {
            if self.levels.len() == height {
                self.levels.push(Vec::new());
            }
            if let Some(level) = self.levels.get_mut(height) {
                level.push(complete);
                if let (true, [.., left, right]) = (level.len() % 2 == 0, level.as_slice()) {
                    node = Some(H::join(left, right));
                }
            }
            height += 1;
        }
    }

    /// Number of leaves.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.levels.first().map_or(0, |leaves| leaves.len() as u64)
    }

    /// The root over all leaves.
    #[must_use]
    pub fn root(&self) -> H::Node {
        self.root_of(self.size()).unwrap_or_else(H::empty)
    }

    /// The root when there were so many leaves; `None` when there were never as many.
    #[must_use]
    pub fn root_of(&self, size: u64) -> Option<H::Node> {
        match size {
            0 => Some(H::empty()),
            size if size <= self.size() => self.over(0, size),
            _ => None,
        }
    }

    /// MTH(D[start:end]).
    fn over(&self, start: u64, end: u64) -> Option<H::Node> {
        let size = end.checked_sub(start)?;
        if size.is_power_of_two() {
            let height = size.trailing_zeros();
            let level = self.levels.get(usize::try_from(height).ok()?)?;
            return level.get(usize::try_from(start >> height).ok()?).cloned();
        }
        let middle = start.checked_add(half(size)?)?;
        Some(H::join(&self.over(start, middle)?, &self.over(middle, end)?))
    }

    /// The path that shows a leaf to be in the tree of this size; `None` when it is not.
    #[must_use]
    pub fn inclusion(&self, index: u64, size: u64) -> Option<Vec<H::Node>> {
        if index >= size || size > self.size() {
            return None;
        }
        let (mut start, mut end) = (0, size);
        let mut path = Vec::new();
        while end - start > 1 {
            let middle = start + half(end - start)?;
            if index < middle {
                path.push(self.over(middle, end)?);
                end = middle;
            } else {
                path.push(self.over(start, middle)?);
                start = middle;
            }
        }
        path.reverse();
        Some(path)
    }

    /// The path that shows the tree of the size `from` to be the beginning of that of the size `to`; `None` when there were
    /// never so many leaves, or `from` is the larger.
    #[must_use]
    pub fn consistency(&self, from: u64, to: u64) -> Option<Vec<H::Node>> {
        if from > to || to > self.size() {
            return None;
        }
        if from == 0 || from == to {
            return Some(Vec::new());
        }
        let (mut start, mut end) = (0, to);
        let mut path = Vec::new();
        while end != from {
            let middle = start + half(end - start)?;
            if from <= middle {
                path.push(self.over(middle, end)?);
                end = middle;
            } else {
                path.push(self.over(start, middle)?);
                start = middle;
            }
        }
        if start > 0 {
            path.push(self.over(start, end)?);
        }
        path.reverse();
        Some(path)
    }
}

/// The largest power of two below a size of two or more.
fn half(size: u64) -> Option<u64> {
    size.checked_sub(1)?.checked_ilog2().map(|bits| 1 << bits)
}

/// Whether a leaf stands at a place of the tree of this size and root (RFC 9162, 2.1.3.2).
#[must_use]
pub fn included<H: HistoryHash>(
    leaf: &H::Node,
    index: u64,
    size: u64,
    path: &[H::Node],
    root: &H::Node,
) -> bool {
    if index >= size {
        return false;
    }
    let (mut at, mut last) = (index, size - 1);
    let mut node = leaf.clone();
    for sibling in path {
        if last == 0 {
            return false;
        }
        if at % 2 == 1 || at == last {
            node = H::join(sibling, &node);
            while at % 2 == 0 && at != 0 {
                at /= 2;
                last /= 2;
            }
        } else {
            node = H::join(&node, sibling);
        }
        at /= 2;
        last /= 2;
    }
    last == 0 && node == *root
}

/// Whether the tree of the size and root `from` is the beginning of that of `to` (RFC 9162, 2.1.4.2). Nothing is the
/// beginning of everything.
#[must_use]
pub fn continues<H: HistoryHash>(from: (u64, &H::Node), to: (u64, &H::Node), path: &[H::Node]) -> bool {
    let ((old, old_root), (new, new_root)) = (from, to);
    if old > new {
        return false;
    }
    if old == new {
        return path.is_empty() && old_root == new_root;
    }
    if old == 0 {
        return path.is_empty() && *old_root == H::empty();
    }
    // The old tree's own root, when it is a subtree of the new one, is not in the path.
    let own = old.is_power_of_two().then_some(old_root);
    let mut nodes = own.into_iter().chain(path);
    let Some(first) = nodes.next() else { return false };
    let (mut at, mut last) = (old - 1, new - 1);
    while at % 2 == 1 {
        at /= 2;
        last /= 2;
    }
    let (mut old_node, mut new_node) = (first.clone(), first.clone());
    for sibling in nodes {
        if last == 0 {
            return false;
        }
        if at % 2 == 1 || at == last {
            old_node = H::join(sibling, &old_node);
            new_node = H::join(sibling, &new_node);
            while at % 2 == 0 && at != 0 {
                at /= 2;
                last /= 2;
            }
        } else {
            new_node = H::join(&new_node, sibling);
        }
        at /= 2;
        last /= 2;
    }
    last == 0 && old_node == *old_root && new_node == *new_root
}
