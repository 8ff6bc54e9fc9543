//! Salted Merkle sum trees: one root commits to who has how much, and a short path shows an owner that he is in it and that
//! all values add up to the root's sum.
//!
//! ```text
//! id   = H(tree; pool, kind u8, window u8, subject bytes, division u64)
//! salt = H(salt; the division's salt, kind u8, window u8, owner text)
//! leaf = H(leaf; id, salt, owner text, address text, value u128, more bytes)
//! node = H(node; level u8, left hash, left sum u128, right hash, right sum u128)     level 0 joins leaves
//! root = H(root; id, count u64, top hash, top sum u128)
//! ```
//!
//! - A node commits the sums of **both** children, and sums are checked u128: nothing below a node can be negative or wrap.
//! - The last node of a level with an odd number of them moves up unchanged. Where a path has a sibling, and on which side,
//!   follows from the leaf's place and the number of leaves, which the root commits: a leaf has one place and a path one shape.
//! - Leaves ascend by their hash. Their salt is in it, so the order is another for every tree and says nothing, and whoever
//!   sees the hash of a sibling cannot find out by guessing whose it is.
//! - A leaf names the address its owner is known by. Two owners of equal value cannot be shown one leaf.
//! - The id is in every leaf: a leaf of one division, window or kind is none of another.

use crate::Encode;
use crate::domain::Domain;
use crate::encode::fields;
use crate::text;
use millpond_types::Digest;

text::fixed! {
    /// What makes a leaf's hash impossible to guess. One is drawn for each division, and each leaf's follows from it.
    Salt[32] is "a salt is 32 bytes";
}

impl Salt {
    /// The salt of an owner's leaf. Who knows it can open this leaf; who knows the division's salt, all of its leaves.
    #[must_use]
    pub fn leaf(&self, kind: TreeKind, window: u8, owner: &str) -> Self {
        let mut bytes = self.encoded();
        (kind as u8).encode(&mut bytes);
        window.encode(&mut bytes);
        owner.encode(&mut bytes);
        Self(Domain::Salt.hash(&bytes).0)
    }
}

/// What the values of a tree are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TreeKind {
    /// Credits of an income or of a batch of shares.
    Credits = 0,
    /// Work in a window.
    Work = 1,
    /// What a payment takes from balances.
    Payment = 2,
}

/// Which tree it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TreeId(Digest);

impl TreeId {
    /// The tree of a kind (of the window with this number, 0 for kinds without windows) in a division of a subject.
    #[must_use]
    pub fn new(pool: &Digest, kind: TreeKind, window: u8, subject: &[u8], division: u64) -> Self {
        let mut bytes = pool.encoded();
        (kind as u8).encode(&mut bytes);
        window.encode(&mut bytes);
        subject.encode(&mut bytes);
        division.encode(&mut bytes);
        Self(Domain::Tree.hash(&bytes))
    }

    /// Its hash.
    #[must_use]
    pub const fn digest(&self) -> Digest {
        self.0
    }
}

fields! {
    /// A node: what it commits to, and the sum of all values below it.
    #[derive(Copy)]
    struct Sum {
        /// Commitment.
        hash: Digest,
        /// Sum of the values below.
        #[serde(with = "text")]
        sum: u128,
    }

    /// What a tree is published as.
    #[derive(Copy)]
    struct Root {
        /// Commitment to all below.
        hash: Digest,
        /// Number of leaves.
        #[serde(with = "text")]
        count: u64,
        /// Sum of all values.
        #[serde(with = "text")]
        sum: u128,
    }

    /// The way from a leaf to its root.
    struct Path {
        /// The leaf's place.
        #[serde(with = "text")]
        index: u64,
        /// Siblings from the leaf upwards; none at a level where the node moves up unchanged.
        siblings: Vec<Sum>,
    }
}

/// An owner and his value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// The owner's name in the ledger.
    pub owner: String,
    /// The address a miner is known by, empty for owners that have none.
    pub address: String,
    /// How much.
    pub value: u128,
    /// What else the tree's kind says of an owner, encoded.
    pub more: Vec<u8>,
    /// His leaf's salt.
    pub salt: Salt,
}

impl Leaf {
    /// The leaf's node in a tree.
    #[must_use]
    pub fn node(&self, id: &TreeId) -> Sum {
        let mut bytes = Vec::with_capacity(128 + self.owner.len() + self.address.len() + self.more.len());
        id.0.encode(&mut bytes);
        self.salt.encode(&mut bytes);
        self.owner.encode(&mut bytes);
        self.address.encode(&mut bytes);
        self.value.encode(&mut bytes);
        self.more.encode(&mut bytes);
        Sum { hash: Domain::Leaf.hash(&bytes), sum: self.value }
    }
}

/// No tree can be built of these leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TreeError {
    /// The values do not add up in 128 bits.
    #[error("the values of the leaves do not fit 128 bits: what are they counted in?")]
    Overflow,
    /// One leaf twice.
    #[error("two leaves have the hash {0}: an owner stands in the list twice")]
    Twice(Digest),
}

/// A path does not lead from a leaf to a root.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// The place is outside of the tree.
    #[error("place {index} is outside of a tree of {count} leaves")]
    Place {
        /// The place the path gives.
        index: u64,
        /// The leaves the root commits.
        count: u64,
    },
    /// A sibling is missing.
    #[error("the path has no sibling for level {level}")]
    TooFew {
        /// The level, 0 for that of the leaves.
        level: u8,
    },
    /// Siblings are left at the top.
    #[error("the path has {left} siblings more than its place in the tree can have")]
    TooMany {
        /// How many.
        left: usize,
    },
    /// Two sums do not add up in 128 bits: one of them stands for something negative.
    #[error("the sums at level {level} do not fit 128 bits")]
    Overflow {
        /// The level.
        level: u8,
    },
    /// The path ends in another sum.
    #[error("the path adds up to {reached}, the root commits {committed}")]
    Sum {
        /// What the path adds up to.
        reached: u128,
        /// What the root says.
        committed: u128,
    },
    /// The path ends in another root.
    #[error("the path ends in the root {reached}, not in {committed}")]
    Hash {
        /// Where the path ends.
        reached: Digest,
        /// What the commitment says.
        committed: Digest,
    },
}

fn join(level: u8, left: &Sum, right: &Sum) -> Option<Sum> {
    let mut bytes = Vec::with_capacity(97);
    level.encode(&mut bytes);
    left.encode(&mut bytes);
    right.encode(&mut bytes);
    Some(Sum { hash: Domain::Node.hash(&bytes), sum: left.sum.checked_add(right.sum)? })
}

fn root(id: &TreeId, count: u64, top: &Sum) -> Root {
    let mut bytes = id.0.encoded();
    count.encode(&mut bytes);
    top.encode(&mut bytes);
    Root { hash: Domain::Root.hash(&bytes), count, sum: top.sum }
}

/// A tree with all its levels: 96 bytes for each leaf.
#[derive(Clone, Debug)]
pub struct Tree {
    levels: Vec<Vec<Sum>>,
    root: Root,
}

/// Builds the tree of these leaves, in any order.
///
/// # Errors
/// When values do not add up in 128 bits, or a leaf is there twice.
pub fn build<'a>(id: &TreeId, leaves: impl IntoIterator<Item = &'a Leaf>) -> Result<Tree, TreeError> {
    Tree::of_nodes(id, leaves.into_iter().map(|leaf| leaf.node(id)).collect())
}

impl Tree {
    /// Builds the tree of leaves that were hashed before ([`Leaf::node`], on as many cores as there are).
    ///
    /// # Errors
    /// As [`build`].
    pub fn of_nodes(id: &TreeId, mut leaves: Vec<Sum>) -> Result<Self, TreeError> {
        leaves.sort_unstable_by_key(|leaf| leaf.hash);
        let twice = leaves.iter().zip(leaves.iter().skip(1)).find(|(one, next)| one.hash == next.hash);
        if let Some((one, _)) = twice {
            return Err(TreeError::Twice(one.hash));
        }
        let count = leaves.len() as u64;
        let mut levels = Vec::new();
        let mut level = leaves;
        let mut height = 0_u8;
        while level.len() > 1 {
            let above = level
                .chunks(2)
                .map(|pair| match pair {
                    [left, right] => join(height, left, right),
                    odd => odd.first().copied(),
                })
                .collect::<Option<Vec<Sum>>>()
                .ok_or(TreeError::Overflow)?;
            levels.push(std::mem::replace(&mut level, above));
            height = height.saturating_add(1);
        }
        let top = level.first().copied().unwrap_or(Sum { hash: Digest::default(), sum: 0 });
        levels.push(level);
        Ok(Self { levels, root: root(id, count, &top) })
    }

    /// What is published.
    #[must_use]
    pub const fn root(&self) -> Root {
        self.root
    }

    /// The path of a leaf; `None` when it is not in the tree.
    #[must_use]
    pub fn path(&self, leaf: &Sum) -> Option<Path> {
        let place = self.levels.first()?.binary_search_by_key(&leaf.hash, |node| node.hash).ok()?;
        let (mut at, mut siblings) = (place, Vec::new());
        for level in &self.levels {
            siblings.extend(level.get(at ^ 1).filter(|_| level.len() > 1));
            at /= 2;
        }
        Some(Path { index: place as u64, siblings })
    }
}

/// Walks from a leaf to the root.
///
/// # Errors
/// When the path has another shape than the leaf's place gives it, or ends elsewhere.
pub fn walk(id: &TreeId, leaf: &Leaf, path: &Path, committed: &Root) -> Result<(), PathError> {
    let (mut at, mut width) = (path.index, committed.count);
    if at >= width {
        return Err(PathError::Place { index: at, count: width });
    }
    let mut node = leaf.node(id);
    let mut siblings = path.siblings.iter();
    let mut level = 0_u8;
    while width > 1 {
        let last_and_odd = at % 2 == 0 && at == width - 1;
        if !last_and_odd {
            let sibling = siblings.next().ok_or(PathError::TooFew { level })?;
            let joined = if at % 2 == 0 { join(level, &node, sibling) } else { join(level, sibling, &node) };
            node = joined.ok_or(PathError::Overflow { level })?;
        }
        at /= 2;
        width = width.div_ceil(2);
        level = level.saturating_add(1);
    }
    match siblings.len() {
        0 => {}
        left => return Err(PathError::TooMany { left }),
    }
    if node.sum != committed.sum {
        return Err(PathError::Sum { reached: node.sum, committed: committed.sum });
    }
    let reached = root(id, committed.count, &node).hash;
    if reached == committed.hash {
        Ok(())
    } else {
        Err(PathError::Hash { reached, committed: committed.hash })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn id() -> TreeId {
        TreeId::new(&Digest::of(b"pool"), TreeKind::Work, 0, b"income", 0)
    }

    fn leaves(values: &[u128]) -> Vec<Leaf> {
        let leaf = |(at, value): (usize, &u128)| {
            let owner = format!("m{at}");
            let salt = Salt([9; 32]).leaf(TreeKind::Work, 0, &owner);
            Leaf { address: format!("address of {owner}"), owner, value: *value, more: Vec::new(), salt }
        };
        values.iter().enumerate().map(leaf).collect()
    }

    #[test]
    fn every_owner_can_prove_his_place_and_no_other() {
        for count in 1..70_u64 {
            let values = (0..u128::from(count)).map(|value| value * 10).collect::<Vec<_>>();
            let leaves = leaves(&values);
            let tree = build(&id(), &leaves).unwrap();
            assert_eq!((tree.root().count, tree.root().sum), (count, values.iter().sum()));
            let mut places = Vec::new();
            for leaf in &leaves {
                let path = tree.path(&leaf.node(&id())).unwrap();
                assert_eq!(walk(&id(), leaf, &path, &tree.root()), Ok(()));
                for index in (0..count + 3).filter(|index| *index != path.index) {
                    let moved = Path { index, siblings: path.siblings.clone() };
                    assert!(walk(&id(), leaf, &moved, &tree.root()).is_err(), "{index} of {count}");
                }
                places.push(path.index);
            }
            places.sort_unstable();
            assert_eq!(places, (0..count).collect::<Vec<_>>());
        }
    }

    #[test]
    fn an_empty_tree_has_a_root_and_no_paths() {
        let tree = build(&id(), []).unwrap();
        assert_eq!((tree.root().count, tree.root().sum), (0, 0));
        let leaf = leaves(&[0]).remove(0);
        assert_eq!(tree.path(&leaf.node(&id())), None);
        let path = Path { index: 0, siblings: Vec::new() };
        let refused = PathError::Place { index: 0, count: 0 };
        assert_eq!(walk(&id(), &leaf, &path, &tree.root()), Err(refused));
    }

    #[test]
    fn a_path_with_a_sibling_more_or_less_is_refused() {
        for count in 2..20_usize {
            let leaves = leaves(&vec![3; count]);
            let tree = build(&id(), &leaves).unwrap();
            for leaf in &leaves {
                let good = tree.path(&leaf.node(&id())).unwrap();
                let mut more = good.clone();
                more.siblings.push(Sum { hash: Digest::default(), sum: 0 });
                let refused = walk(&id(), leaf, &more, &tree.root());
                assert_eq!(refused, Err(PathError::TooMany { left: 1 }));
                let mut less = good.clone();
                less.siblings.pop();
                let refused = walk(&id(), leaf, &less, &tree.root());
                assert!(matches!(refused, Err(PathError::TooFew { .. })), "{refused:?}");
            }
        }
    }

    #[test]
    fn a_leaf_of_one_tree_is_none_of_another() {
        let leaves = leaves(&[5, 6, 7]);
        let tree = build(&id(), &leaves).unwrap();
        let path = tree.path(&leaves[0].node(&id())).unwrap();
        let pool = Digest::of(b"pool");
        let others = [
            TreeId::new(&Digest::of(b"another pool"), TreeKind::Work, 0, b"income", 0),
            TreeId::new(&pool, TreeKind::Credits, 0, b"income", 0),
            TreeId::new(&pool, TreeKind::Work, 1, b"income", 0),
            TreeId::new(&pool, TreeKind::Work, 0, b"another income", 0),
            TreeId::new(&pool, TreeKind::Work, 0, b"income", 1),
        ];
        for other in others {
            assert!(matches!(walk(&other, &leaves[0], &path, &tree.root()), Err(PathError::Hash { .. })));
        }
    }

    #[test]
    fn an_inner_node_is_no_leaf() {
        let leaves = leaves(&[1, 2, 3, 4]);
        let tree = build(&id(), &leaves).unwrap();
        let path = tree.path(&leaves[2].node(&id())).unwrap();
        // The pair above it, given out as a leaf of a tree of two.
        let pair: u128 = leaves[2].value + path.siblings[0].sum;
        let short = Path { index: path.index / 2, siblings: path.siblings[1..].to_vec() };
        let forged = Leaf { value: pair, ..leaves[2].clone() };
        let as_two = Root { count: 2, ..tree.root() };
        assert!(matches!(walk(&id(), &forged, &short, &as_two), Err(PathError::Hash { .. })));
    }

    #[test]
    fn a_sibling_that_wraps_the_sum_is_refused() {
        let leaves = leaves(&[10, 20]);
        let tree = build(&id(), &leaves).unwrap();
        let mut path = tree.path(&leaves[0].node(&id())).unwrap();
        // -5 as the two's complement it would have in 128 bits.
        path.siblings[0].sum = u128::MAX - 4;
        let refused = walk(&id(), &leaves[0], &path, &Root { sum: 5, ..tree.root() });
        assert_eq!(refused, Err(PathError::Overflow { level: 0 }));
        let too_much = self::leaves(&[u128::MAX, 1]);
        assert_eq!(build(&id(), &too_much).unwrap_err(), TreeError::Overflow);
    }

    #[test]
    fn an_owner_who_stands_there_twice_is_refused() {
        let mut leaves = leaves(&[1, 2, 3]);
        leaves.push(leaves[1].clone());
        assert_eq!(build(&id(), &leaves).unwrap_err(), TreeError::Twice(leaves[1].node(&id()).hash));
    }

    #[test]
    fn salts_hide_owners_and_shuffle_them() {
        let one = Salt([1; 32]).leaf(TreeKind::Work, 0, "m1");
        for other in [
            Salt([2; 32]).leaf(TreeKind::Work, 0, "m1"),
            Salt([1; 32]).leaf(TreeKind::Credits, 0, "m1"),
            Salt([1; 32]).leaf(TreeKind::Work, 1, "m1"),
            Salt([1; 32]).leaf(TreeKind::Work, 0, "m2"),
        ] {
            assert_ne!(one, other);
        }
        let order = |salt: u8| {
            let id = id();
            let mut nodes: Vec<_> = leaves(&[1; 40])
                .into_iter()
                .map(|leaf| {
                    let salt = Salt([salt; 32]).leaf(TreeKind::Work, 0, &leaf.owner);
                    (Leaf { salt, ..leaf.clone() }.node(&id).hash, leaf.owner)
                })
                .collect();
            nodes.sort();
            nodes.into_iter().map(|(_, owner)| owner).collect::<Vec<_>>()
        };
        assert_ne!(order(1), order(2));
    }

    proptest! {
        #[test]
        fn any_set_of_leaves(values in proptest::collection::vec(0..u128::from(u64::MAX), 1..300), pick: prop::sample::Index) {
            let leaves = leaves(&values);
            let tree = build(&id(), &leaves).unwrap();
            prop_assert_eq!(tree.root().sum, values.iter().sum::<u128>());
            let leaf = pick.get(&leaves);
            let path = tree.path(&leaf.node(&id())).unwrap();
            prop_assert_eq!(walk(&id(), leaf, &path, &tree.root()), Ok(()));
            let lesser = Leaf { value: leaf.value.wrapping_sub(1), ..leaf.clone() };
            prop_assert!(walk(&id(), &lesser, &path, &tree.root()).is_err());
            let stranger = Leaf { address: "another".to_owned(), ..leaf.clone() };
            prop_assert!(walk(&id(), &stranger, &path, &tree.root()).is_err());
            let without = leaves.iter().filter(|other| *other != leaf);
            let other_tree = build(&id(), without).unwrap();
            prop_assert_eq!(other_tree.root().count + 1, tree.root().count);
            prop_assert_eq!(other_tree.root().sum + leaf.value, tree.root().sum);
            prop_assert!(other_tree.path(&leaf.node(&id())).is_none());
            prop_assert!(walk(&id(), leaf, &path, &other_tree.root()).is_err());
        }

        #[test]
        fn the_order_of_leaves_does_not_matter(values in proptest::collection::vec(0..1000_u128, 1..50), turn: usize) {
            let mut leaves = leaves(&values);
            let tree = build(&id(), &leaves).unwrap();
            let turn = turn % leaves.len();
            leaves.rotate_left(turn);
            prop_assert_eq!(build(&id(), &leaves).unwrap().root(), tree.root());
        }

        #[test]
        fn a_changed_sibling_is_refused(values in proptest::collection::vec(0..1000_u128, 2..50), pick: prop::sample::Index,
                                        which: prop::sample::Index, by in 1..1000_u128) {
            let leaves = leaves(&values);
            let tree = build(&id(), &leaves).unwrap();
            let leaf = pick.get(&leaves);
            let mut path = tree.path(&leaf.node(&id())).unwrap();
            let which = which.index(path.siblings.len());
            path.siblings[which].sum += by;
            prop_assert!(matches!(walk(&id(), leaf, &path, &tree.root()), Err(PathError::Sum { .. })), "the sum tells");
            let raised = Root { sum: tree.root().sum + by, ..tree.root() };
            prop_assert!(matches!(walk(&id(), leaf, &path, &raised), Err(PathError::Hash { .. })), "and so does the hash");
        }
    }
}
