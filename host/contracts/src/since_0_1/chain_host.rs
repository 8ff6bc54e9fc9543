//! What an adapter may ask of the host: a log line, a hash, a Merkle branch. Pure, counted and bounded.

use super::chain::bindings::millpond::chain::{host, types};
use millpond_algorithms::{Algorithms, Cost, Key};
use millpond_runtime::Guest;
use std::sync::LazyLock;

/// Native algorithms only: one that a plugin exports is not called from another plugin.
static NATIVE: LazyLock<Algorithms> = LazyLock::new(Algorithms::native);

/// Bytes that one heavy hash counts as: fuel and CPU limits do not interrupt the host, so what is slow here counts
/// for more. A scrypt hash takes about as long as hashing this much by SHA-256.
const HEAVY: usize = 256 * 1024;

impl types::Host for Guest {}

impl host::Host for Guest {
    fn log(&mut self, level: u8, line: String) -> wasmtime::Result<()> {
        self.host_call(0)?;
        Guest::log(self).line(level, &line);
        Ok(())
    }

    fn hash(&mut self, algorithm: String, data: Vec<u8>) -> wasmtime::Result<Result<Vec<u8>, String>> {
        let cost =
            NATIVE.get(&algorithm).map_or(0, |found| if found.cost() == Cost::Heavy { HEAVY } else { 0 });
        self.host_call(data.len().saturating_add(cost))?;
        Ok(hash(&algorithm, &data))
    }

    fn merkle_branch(
        &mut self,
        algorithm: String,
        leaves: Vec<u8>,
    ) -> wasmtime::Result<Result<Vec<u8>, String>> {
        let cost =
            NATIVE.get(&algorithm).map_or(0, |found| if found.cost() == Cost::Heavy { HEAVY } else { 0 });
        // A tree has as many inner nodes as leaves.
        let nodes = leaves.len() / 32;
        self.host_call(leaves.len().saturating_mul(2).saturating_add(nodes.saturating_mul(cost)))?;
        Ok(merkle_branch(&algorithm, &leaves))
    }
}

fn hash(algorithm: &str, data: &[u8]) -> Result<Vec<u8>, String> {
    let shown = || millpond_runtime::clean(algorithm, 64);
    let found = NATIVE.get(algorithm).ok_or_else(|| format!("this host has no algorithm {:?}", shown()))?;
    if found.key() != Key::None {
        return Err(format!("{:?} needs a key: it is for recipes", shown()));
    }
    NATIVE.hash(algorithm, data).ok_or_else(|| format!("{:?} failed", shown()))
}

/// The path of leaf 0 in a Bitcoin-style Merkle tree: an odd last node is paired with itself; 32 bytes a level, lowest
/// first. Leaf 0 may have any value: it is on no path of its own.
fn merkle_branch(algorithm: &str, leaves: &[u8]) -> Result<Vec<u8>, String> {
    if leaves.is_empty() || !leaves.len().is_multiple_of(32) {
        return Err(format!("{} bytes are not leaves of 32 bytes", leaves.len()));
    }
    let mut level: Vec<Vec<u8>> = leaves.chunks_exact(32).map(<[u8]>::to_vec).collect();
    let mut branch = Vec::new();
    while level.len() > 1 {
        if level.len() % 2 == 1 {
            level.extend(level.last().cloned());
        }
        branch.extend(level.get(1).into_iter().flatten());
        let pairs = level.chunks_exact(2).map(|pair| hash(algorithm, &pair.concat()));
        let above = pairs.collect::<Result<Vec<_>, _>>()?;
        if above.iter().any(|node| node.len() != 32) {
            return Err(format!("{:?} does not give 32 bytes", millpond_runtime::clean(algorithm, 64)));
        }
        level = above;
    }
    Ok(branch)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_branch_leads_from_leaf_0_to_the_root_for_any_number_of_leaves() {
        for count in 1..12_u8 {
            let leaves: Vec<u8> = (0..count).flat_map(|n| [n; 32]).collect();
            let branch = merkle_branch("sha256d", &leaves).unwrap();
            let fold =
                |node: Vec<u8>, side: &[u8]| hash("sha256d", &[node.as_slice(), side].concat()).unwrap();
            let folded = branch.chunks_exact(32).fold(vec![0; 32], fold);
            let mut level: Vec<Vec<u8>> = leaves.chunks_exact(32).map(<[u8]>::to_vec).collect();
            while level.len() > 1 {
                if level.len() % 2 == 1 {
                    level.push(level[level.len() - 1].clone());
                }
                level = level.chunks(2).map(|pair| hash("sha256d", &pair.concat()).unwrap()).collect();
            }
            assert_eq!(folded, level[0], "{count} leaves");
        }
    }

    #[test]
    fn what_the_host_cannot_hash_is_an_error_for_the_guest() {
        assert_eq!(hash("no\u{1b}such", b"").unwrap_err(), "this host has no algorithm \"no\\\\u{1b}such\"");
        assert_eq!(merkle_branch("sha256d", &[0; 33]).unwrap_err(), "33 bytes are not leaves of 32 bytes");
    }
}
