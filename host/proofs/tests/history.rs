//! The history tree beside RFC 9162 and what was published for it.
//!
//! Leaves, roots and proofs are those that Certificate Transparency's implementations share (transparency-dev/merkle,
//! `proof/verify_test.go` and `testonly/constants.go`); the worked example is that of RFC 9162, section 2.1.5.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use millpond_proofs::{Entries, History, HistoryHash, continues, included};
use millpond_types::Digest;
use proptest::prelude::*;
use sha2::{Digest as _, Sha256};

/// The RFC's hashes (2.1.1).
#[derive(Debug)]
enum Rfc {}

impl HistoryHash for Rfc {
    type Node = [u8; 32];

    fn empty() -> [u8; 32] {
        Sha256::digest([]).into()
    }

    fn leaf(data: &[u8]) -> [u8; 32] {
        Sha256::new().chain_update([0]).chain_update(data).finalize().into()
    }

    fn join(left: &[u8; 32], right: &[u8; 32]) -> [u8; 32] {
        Sha256::new().chain_update([1]).chain_update(left).chain_update(right).finalize().into()
    }
}

const LEAVES: [&str; 8] =
    ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"];

const ROOTS: [&str; 9] = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
];

/// Place, size, path.
const INCLUSION: [(u64, u64, &[&str]); 5] = [
    (0, 1, &[]),
    (
        0,
        8,
        &[
            "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
        ],
    ),
    (
        5,
        8,
        &[
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ],
    ),
    (2, 3, &["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"]),
    (
        1,
        5,
        &[
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        ],
    ),
];

/// Size, larger size, path.
const CONSISTENCY: [(u64, u64, &[&str]); 5] = [
    (1, 1, &[]),
    (
        1,
        8,
        &[
            "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
        ],
    ),
    (
        6,
        8,
        &[
            "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ],
    ),
    (
        2,
        5,
        &[
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        ],
    ),
    (
        6,
        7,
        &[
            "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
            "b08693ec2e721597130641e8211e7eedccb4c26413963eee6c1e2ed16ffb1a5f",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ],
    ),
];

fn hash(text: &str) -> [u8; 32] {
    hex::decode(text).unwrap().try_into().unwrap()
}

fn published() -> (Vec<[u8; 32]>, History<Rfc>) {
    let leaves: Vec<_> = LEAVES.iter().map(|leaf| Rfc::leaf(&hex::decode(leaf).unwrap())).collect();
    let history = leaves.iter().copied().collect();
    (leaves, history)
}

#[test]
fn the_published_roots_come_out() {
    let (_, history) = published();
    for (size, root) in (0..).zip(ROOTS) {
        assert_eq!(history.root_of(size), Some(hash(root)), "of {size}");
    }
    assert_eq!(history.root_of(9), None);
    assert_eq!(History::<Rfc>::default().root(), hash(ROOTS[0]));
}

#[test]
fn the_published_inclusion_proofs_come_out() {
    let (leaves, history) = published();
    for (index, size, path) in INCLUSION {
        let path: Vec<_> = path.iter().map(|node| hash(node)).collect();
        assert_eq!(history.inclusion(index, size), Some(path.clone()), "{index} in {size}");
        let root = hash(ROOTS[size as usize]);
        assert!(included::<Rfc>(&leaves[index as usize], index, size, &path, &root));
    }
    assert_eq!(history.inclusion(8, 8), None);
    assert_eq!(history.inclusion(0, 9), None);
}

#[test]
fn the_published_consistency_proofs_come_out() {
    let (_, history) = published();
    for (from, to, path) in CONSISTENCY {
        let path: Vec<_> = path.iter().map(|node| hash(node)).collect();
        assert_eq!(history.consistency(from, to), Some(path.clone()), "{from} to {to}");
        let (old, new) = (hash(ROOTS[from as usize]), hash(ROOTS[to as usize]));
        assert!(continues::<Rfc>((from, &old), (to, &new), &path));
        assert_eq!(continues::<Rfc>((from, &new), (to, &old), &path), from == to);
    }
    assert_eq!(history.consistency(5, 4), None);
    assert_eq!(history.consistency(5, 9), None);
}

#[test]
fn the_example_of_rfc_9162_comes_out() {
    // 2.1.5: seven leaves d0 to d6 with the hashes a, b, c, d, e, f and j; g = ab, h = cd, i = ef, k = gh, l = ij.
    let data: Vec<[u8; 1]> = (0..7).map(|leaf| [leaf]).collect();
    let leaf: Vec<_> = data.iter().map(|data| Rfc::leaf(data)).collect();
    let [a, b, c, d, e, f, j] = leaf[..] else { panic!("seven leaves") };
    let (g, h, i) = (Rfc::join(&a, &b), Rfc::join(&c, &d), Rfc::join(&e, &f));
    let (k, l) = (Rfc::join(&g, &h), Rfc::join(&i, &j));
    let history: History<Rfc> = leaf.iter().copied().collect();
    assert_eq!(history.root(), Rfc::join(&k, &l));
    assert_eq!(history.inclusion(0, 7), Some(vec![b, h, l]));
    assert_eq!(history.inclusion(3, 7), Some(vec![c, g, l]));
    assert_eq!(history.inclusion(4, 7), Some(vec![f, j, k]));
    assert_eq!(history.inclusion(6, 7), Some(vec![i, k]));
    assert_eq!(history.consistency(3, 7), Some(vec![c, d, g, l]));
    assert_eq!(history.consistency(4, 7), Some(vec![l]));
    assert_eq!(history.consistency(6, 7), Some(vec![i, j, k]));
}

#[test]
fn nothing_is_the_beginning_of_everything() {
    let (_, history) = published();
    let (empty, full) = (hash(ROOTS[0]), history.root());
    assert!(continues::<Rfc>((0, &empty), (8, &full), &[]));
    assert!(continues::<Rfc>((0, &empty), (0, &empty), &[]));
    assert!(!continues::<Rfc>((0, &full), (8, &full), &[]));
    assert!(!continues::<Rfc>((0, &empty), (8, &full), &[full]));
    assert!(!continues::<Rfc>((8, &full), (0, &empty), &[]));
    assert!(!continues::<Rfc>((8, &full), (8, &full), &[full]));
    assert!(!continues::<Rfc>((1, &full), (8, &full), &[]));
}

#[test]
fn a_path_is_no_longer_than_its_tree_is_high() {
    let [a, b, c, d, x] = [0_u8, 1, 2, 3, 4].map(|leaf| Rfc::leaf(&[leaf]));
    let (ab, cd) = (Rfc::join(&a, &b), Rfc::join(&c, &d));
    // The root of two leaves, said to be that of one.
    assert!(!included::<Rfc>(&b, 0, 1, &[a], &ab));
    assert!(!included::<Rfc>(&a, 0, 1, &[b], &ab));
    // Roots with one more node over both trees.
    let (three, four) = (Rfc::join(&ab, &c), Rfc::join(&ab, &cd));
    assert!(continues::<Rfc>((3, &three), (4, &four), &[c, d, ab]));
    let (above_three, above_four) = (Rfc::join(&x, &three), Rfc::join(&x, &four));
    assert!(!continues::<Rfc>((3, &above_three), (4, &above_four), &[c, d, ab, x]));
}

/// MTH as the RFC writes it, over all leaves.
fn plain(leaves: &[Digest]) -> Digest {
    match leaves {
        [] => Entries::empty(),
        [leaf] => *leaf,
        leaves => {
            let mut half = 1;
            while half * 2 < leaves.len() {
                half *= 2;
            }
            Entries::join(&plain(&leaves[..half]), &plain(&leaves[half..]))
        }
    }
}

fn leaves(count: usize) -> Vec<Digest> {
    (0..count).map(|leaf| Entries::leaf(&leaf.to_le_bytes())).collect()
}

proptest! {
    #[test]
    fn every_leaf_is_included_at_its_place_alone(count in 1..200_usize, pick: prop::sample::Index, other: prop::sample::Index) {
        let leaves = leaves(count);
        let history: History = leaves.iter().copied().collect();
        let size = pick.index(count) + 1;
        let index = other.index(size);
        let root = plain(&leaves[..size]);
        prop_assert_eq!(history.root_of(size as u64), Some(root));
        let path = history.inclusion(index as u64, size as u64).unwrap();
        let check = |leaf, index: usize, size: usize, path: &[Digest]| included::<Entries>(leaf, index as u64, size as u64, path, &root);
        prop_assert!(check(&leaves[index], index, size, &path));
        for elsewhere in (0..size + 2).filter(|elsewhere| *elsewhere != index) {
            prop_assert!(!check(&leaves[index], elsewhere, size, &path));
            if elsewhere < size {
                prop_assert!(!check(&leaves[elsewhere], index, size, &path));
            }
        }
        let mut more = path.clone();
        more.push(root);
        prop_assert!(!check(&leaves[index], index, size, &more));
        if let Some((_, less)) = path.split_last() {
            prop_assert!(!check(&leaves[index], index, size, less));
        }
    }

    #[test]
    fn a_history_continues_itself_and_no_other(count in 1..200_usize, pick: prop::sample::Index, at: prop::sample::Index) {
        let leaves = leaves(count);
        let history: History = leaves.iter().copied().collect();
        let old = pick.index(count) + 1;
        let (from, to) = (plain(&leaves[..old]), plain(&leaves));
        let path = history.consistency(old as u64, count as u64).unwrap();
        let check = |from, path: &[Digest]| continues::<Entries>((old as u64, from), (count as u64, &to), path);
        prop_assert!(check(&from, &path));
        // A history with one other leaf among the first is not continued by this one, whatever is shown.
        let mut changed = leaves.clone();
        changed[at.index(old)] = Entries::leaf(b"another");
        let other: History = changed.iter().copied().collect();
        let other_root = plain(&changed[..old]);
        prop_assert!(!check(&other_root, &path));
        prop_assert!(!check(&other_root, &other.consistency(old as u64, count as u64).unwrap()));
        for size in (1..count).filter(|size| *size != old) {
            prop_assert!(!continues::<Entries>((size as u64, &from), (count as u64, &to), &path));
        }
    }
}
