//! What a hash is about: every use of BLAKE3 here has a context of its own, so that no hash of one kind can pass for one
//! of another.

use crate::Encode;
use blake3::hazmat::{ContextKey, HasherExt, hash_derive_key_context};
use millpond_types::Digest;
use std::sync::LazyLock;

macro_rules! domains {
    ($($(#[$meta:meta])* $name:ident = $word:literal,)*) => {
        /// A use of BLAKE3, in its mode for the derivation of keys.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Domain {
            $($(#[$meta])* $name,)*
        }

        impl Domain {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The context text.
            #[must_use]
            pub const fn context(self) -> &'static str {
                match self {
                    $(Self::$name => concat!("millpond statement 1 ", $word),)*
                }
            }

            /// The context, hashed once in a process.
            fn key(self) -> &'static ContextKey {
                match self {
                    $(Self::$name => {
                        static KEY: LazyLock<ContextKey> =
                            LazyLock::new(|| hash_derive_key_context(Domain::$name.context()));
                        &KEY
                    })*
                }
            }
        }
    };
}

domains! {
    /// Who a pool is.
    Pool = "pool",
    /// Which sum tree it is.
    Tree = "tree",
    /// A leaf of a sum tree.
    Leaf = "leaf",
    /// An inner node of a sum tree.
    Node = "node",
    /// The root of a sum tree, with the number of its leaves.
    Root = "root",
    /// The salt of a leaf.
    Salt = "salt",
    /// What one ledger entry says.
    Commitment = "commitment",
    /// A leaf of the history tree.
    Entry = "entry",
    /// An inner node of the history tree.
    Link = "link",
    /// What a head's signature stands for.
    Head = "head",
    /// What a receipt's signature stands for.
    Receipt = "receipt",
    /// The running digest of the shares of a receipt.
    Shares = "shares",
}

impl Domain {
    /// The hash of some bytes.
    #[must_use]
    pub fn hash(self, bytes: &[u8]) -> Digest {
        let mut hasher = blake3::Hasher::new_from_context_key(self.key());
        hasher.update(bytes);
        Digest(*hasher.finalize().as_bytes())
    }

    /// The hash of something's encoding.
    #[must_use]
    pub fn of(self, what: &impl Encode) -> Digest {
        self.hash(&what.encoded())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_the_public_function_with_the_context_of_the_documents() {
        for domain in Domain::ALL {
            let mut plain = blake3::Hasher::new_derive_key(domain.context());
            plain.update(b"some bytes");
            assert_eq!(domain.hash(b"some bytes").0, *plain.finalize().as_bytes(), "{domain:?}");
        }
    }

    #[test]
    fn no_two_uses_have_the_same_context() {
        for (at, one) in Domain::ALL.iter().enumerate() {
            for other in &Domain::ALL[at + 1..] {
                assert_ne!(one.context(), other.context());
                assert_ne!(one.hash(b""), other.hash(b""));
            }
        }
    }
}
