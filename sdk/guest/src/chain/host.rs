//! The three things a chain adapter may ask of the host: pure and deterministic. In a native build (unit tests) they
//! are computed here, with SHA-256 built in and other algorithms given by the test.

/// Severity of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Something failed and cost a result.
    Error = 1,
    /// Something is odd.
    Warn = 2,
    /// Something worth knowing happened.
    Info = 3,
    /// For the author.
    Debug = 4,
}

/// Writes a line to the pool's log. Longer than 1 KiB or faster than the limit is dropped.
pub fn log(level: Level, line: &str) {
    #[cfg(target_arch = "wasm32")]
    super::bindings::millpond::chain::host::log(level as u8, line);
    #[cfg(not(target_arch = "wasm32"))]
    eprintln!("{level:?}: {line}");
}

/// A digest by one of the host's algorithms (`sha256d`, `scrypt`, …). `Err` when the host lacks it.
pub fn hash(algorithm: &str, data: &[u8]) -> Result<Vec<u8>, String> {
    #[cfg(target_arch = "wasm32")]
    return super::bindings::millpond::chain::host::hash(algorithm, data);
    #[cfg(not(target_arch = "wasm32"))]
    native::hash(algorithm, data)
}

/// The 32-byte digest by one of the host's algorithms.
pub fn hash32(algorithm: &str, data: &[u8]) -> Result<[u8; 32], String> {
    let digest = hash(algorithm, data)?;
    digest.try_into().map_err(|_| format!("{algorithm} does not give 32 bytes"))
}

/// The path of leaf 0 in a Bitcoin-style Merkle tree (an odd last node is paired with itself): 32 bytes a level,
/// lowest first. `leaves`: 32 bytes each, leaf 0 included with any value, as it is never hashed.
pub fn merkle_branch(algorithm: &str, leaves: &[u8]) -> Result<Vec<u8>, String> {
    #[cfg(target_arch = "wasm32")]
    return super::bindings::millpond::chain::host::merkle_branch(algorithm, leaves);
    #[cfg(not(target_arch = "wasm32"))]
    native::merkle_branch(algorithm, leaves)
}

/// Adds an algorithm to this thread's native host, for unit tests of adapters with other hashes.
#[cfg(not(target_arch = "wasm32"))]
pub fn add_native_algorithm(name: &str, digest: fn(&[u8]) -> Vec<u8>) {
    native::EXTRA.with_borrow_mut(|extra| extra.push((name.to_owned(), digest)));
}

#[cfg(not(target_arch = "wasm32"))]
mod native {
    use sha2::{Digest, Sha256};
    use std::cell::RefCell;

    type Named = (String, fn(&[u8]) -> Vec<u8>);
    thread_local! {
        pub static EXTRA: RefCell<Vec<Named>> = const { RefCell::new(Vec::new()) };
    }

    pub fn hash(algorithm: &str, data: &[u8]) -> Result<Vec<u8>, String> {
        match algorithm {
            "sha256" => Ok(Sha256::digest(data).to_vec()),
            "sha256d" => Ok(Sha256::digest(Sha256::digest(data)).to_vec()),
            other => EXTRA
                .with_borrow(|extra| {
                    extra.iter().find(|(name, _)| name == other).map(|(_, digest)| digest(data))
                })
                .ok_or_else(|| format!("no algorithm {other:?} here")),
        }
    }

    pub fn merkle_branch(algorithm: &str, leaves: &[u8]) -> Result<Vec<u8>, String> {
        if leaves.is_empty() || !leaves.len().is_multiple_of(32) {
            return Err(format!("{} bytes are not 32-byte leaves", leaves.len()));
        }
        let mut level: Vec<Vec<u8>> = leaves.chunks_exact(32).map(<[u8]>::to_vec).collect();
        let mut branch = Vec::new();
        while level.len() > 1 {
            if level.len() % 2 == 1 {
                level.extend(level.last().cloned());
            }
            branch.extend(level.get(1).into_iter().flatten());
            level = level
                .chunks_exact(2)
                .map(|pair| hash(algorithm, &pair.concat()))
                .collect::<Result<_, _>>()?;
        }
        Ok(branch)
    }

    #[cfg(test)]
    mod tests {
        #[test]
        fn a_branch_folds_to_the_root_whatever_the_number_of_leaves() {
            for count in 1..9u8 {
                let leaves: Vec<u8> = (0..count).flat_map(|at| [at; 32]).collect();
                let branch = super::merkle_branch("sha256d", &leaves).unwrap();
                let folded = branch.chunks_exact(32).fold(vec![0u8; 32], |node, side| {
                    super::hash("sha256d", &[&node, side].concat()).unwrap()
                });
                let mut level: Vec<Vec<u8>> = leaves.chunks_exact(32).map(<[u8]>::to_vec).collect();
                while level.len() > 1 {
                    let odd = level.last().cloned().filter(|_| level.len() % 2 == 1);
                    level.extend(odd);
                    level = level.chunks(2).map(|p| super::hash("sha256d", &p.concat()).unwrap()).collect();
                }
                assert_eq!(folded, level[0], "{count} leaves");
            }
            assert!(super::merkle_branch("sha256d", &[0; 31]).is_err());
            assert!(super::merkle_branch("nohash", &[0; 64]).is_err());
        }
    }
}
