//! Lies of nodes.

use crate::rng::Rng;
use millpond_contracts::chain::{NodeError, NodeErrorKind};

/// What a node says instead of the truth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lie {
    Garbage,
    Cut,
    Null,
    Empty,
    Error,
    Bent(u64),
}

impl Lie {
    pub(super) const PLAIN: [Self; 5] = [Self::Garbage, Self::Cut, Self::Null, Self::Empty, Self::Error];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Garbage => "garbage",
            Self::Cut => "half of the answer",
            Self::Null => "null",
            Self::Empty => "nothing",
            Self::Error => "an error",
            Self::Bent(_) => "changed bytes",
        }
    }

    pub(super) fn of(self, truth: &Result<Vec<u8>, NodeError>) -> Result<Vec<u8>, NodeError> {
        let bytes = || truth.clone().unwrap_or_default();
        match self {
            Self::Garbage => Ok(vec![0xff, 0x00, b'{', b'"', 0x80]),
            Self::Cut => {
                let mut bytes = bytes();
                bytes.truncate(bytes.len() / 2);
                Ok(bytes)
            }
            Self::Null => Ok(b"null".to_vec()),
            Self::Empty => Ok(Vec::new()),
            Self::Error => Err(NodeError {
                kind: NodeErrorKind::Rpc,
                code: -32_603,
                message: "internal error".to_owned(),
            }),
            Self::Bent(seed) => {
                let mut bytes = bytes();
                let mut rng = Rng::new(seed, "bent");
                for _ in 0..rng.within(1, 4) {
                    let at = rng.below(bytes.len() as u64) as usize;
                    if let Some(byte) = bytes.get_mut(at) {
                        *byte = [b'0', b'9', b'"', b'}', b'f', b'-', 0xff]
                            .get(rng.below(7) as usize)
                            .copied()
                            .unwrap_or(0);
                    }
                }
                Ok(bytes)
            }
        }
    }
}
