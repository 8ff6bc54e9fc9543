//! Names of sessions. A name is the number of the lease that the session has, enciphered under the pool's own key: a
//! restarted pool reads from it which extranonce the session had, with nothing written per connection, and nobody can
//! tell one session's name from another's.
//!
//! Four rounds of a Feistel network over 64 bits with BLAKE3 as the round function (Luby and Rackoff). A name gives
//! nothing but the place of a search space, so this need not resist more than guessing.

use millpond_types::{Digest, SessionId};

const ROUNDS: u8 = 4;

/// The key that a pool names its sessions under. Kept over restarts, so that sessions can be resumed over them.
#[derive(Clone, PartialEq, Eq)]
pub struct NameKey([u8; 32]);

impl std::fmt::Debug for NameKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("NameKey")
    }
}

impl From<[u8; 32]> for NameKey {
    fn from(key: [u8; 32]) -> Self {
        Self(key)
    }
}

impl NameKey {
    /// A key that nobody knows.
    #[must_use]
    pub fn random() -> Self {
        Self(rand::random())
    }

    /// The key's bytes, to be kept.
    #[must_use]
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    pub(crate) fn name(&self, lease: u64) -> SessionId {
        let (mut left, mut right) = halves(lease);
        for round in 0..ROUNDS {
            (left, right) = (right, left ^ self.mixed(round, right));
        }
        SessionId(joined(left, right))
    }

    pub(crate) fn lease(&self, name: SessionId) -> u64 {
        let (mut left, mut right) = halves(name.0);
        for round in (0..ROUNDS).rev() {
            (left, right) = (right ^ self.mixed(round, left), left);
        }
        joined(left, right)
    }

    fn mixed(&self, round: u8, half: u32) -> u32 {
        let mut input = [0; 37];
        let parts = self.0.into_iter().chain([round]).chain(half.to_be_bytes());
        input.iter_mut().zip(parts).for_each(|(to, from)| *to = from);
        Digest::of(&input).0.first_chunk::<4>().map_or(0, |bytes| u32::from_be_bytes(*bytes))
    }
}

fn halves(number: u64) -> (u32, u32) {
    // The low half is what is left of the shift: nothing is lost.
    ((number >> 32) as u32, (number & 0xffff_ffff) as u32)
}

fn joined(left: u32, right: u32) -> u64 {
    u64::from(left) << 32 | u64::from(right)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_name_is_read_back_under_its_own_key_and_no_other(lease in any::<u64>(), key in any::<[u8; 32]>()) {
            let (ours, other) = (NameKey::from(key), NameKey::random());
            let name = ours.name(lease);
            prop_assert_eq!(ours.lease(name), lease);
            prop_assert_ne!(other.lease(name), lease);
        }
    }
}
