//! Heads: what a pool says its ledger is at a moment, numbered, chained by hash and signed.
//!
//! A head commits to all entries so far (the history tree) and to the head before it. Who keeps a head can demand that every
//! later one continues it; two heads that cannot both be true are [`Contradiction`]s, and their signatures show who wrote them.

use crate::encode::{cases, fields};
use crate::keys::{self, SignatureError};
use crate::{
    Commitment, Domain, Encode, Entries, HistoryHash, Origin, PublicKey, Signature, Signer, VERSION, text,
};
use millpond_types::{Digest, ShareSeq, UnixMillis};

fields! {
    /// Where an entry stands in the ledger, and what it says: a leaf of the history tree.
    #[derive(Copy)]
    struct Entry {
        /// How often the pool had lost entries when it was written; a number of the ledger may come again after a loss.
        restarts: u32,
        /// Its number in the ledger.
        #[serde(with = "text")]
        ledger_seq: u64,
        /// The hash of its commitment.
        commitment: Digest,
    }

    /// What a head says.
    struct HeadBody {
        /// The version of the encoding: 1.
        version: u8,
        /// Whose ([`crate::pool_id`]).
        pool: Digest,
        /// What that id is made of, so that whoever knows the pool's first key can compute it.
        origin: Origin,
        /// Heads are numbered from 0 without gaps.
        #[serde(with = "text")]
        number: u64,
        /// The hash of the head before; zeros for head 0.
        prev: Digest,
        /// What else it announces.
        kind: HeadKind,
        /// How often entries were lost ([`HeadKind::Restored`]).
        restarts: u32,
        /// When.
        #[serde(with = "text")]
        time: UnixMillis,
        /// The coordinate of the chain's tip, as the pool's adapter counts: a height.
        #[serde(with = "text")]
        coord: u64,
        /// The chain's tip.
        #[serde(with = "text::bytes")]
        tip: Vec<u8>,
        /// The ledger's newest record.
        #[serde(with = "text")]
        ledger_seq: u64,
        /// That record's digest.
        ledger_digest: Digest,
        /// The journal's next record.
        #[serde(with = "text")]
        journal_next: u64,
        /// The journal's newest share.
        #[serde(with = "text")]
        journal_share: ShareSeq,
        /// The journal's chain up to there.
        journal_chain: Digest,
        /// Number of entries in the history tree.
        #[serde(with = "text")]
        size: u64,
        /// Root of the history tree.
        root: Digest,
        /// The key that signs this.
        key: PublicKey,
    }

    /// A loss that the pool declares.
    struct Loss {
        /// Entries of the history from this place on are lost; the history goes on from there.
        #[serde(with = "text")]
        lost_from: u64,
        /// Root of the history of what was kept: the entries before that place.
        root: Digest,
        /// What happened, in words.
        reason: String,
    }

    /// The key of the heads that follow.
    #[derive(Copy)]
    struct NextKey {
        /// The key.
        next: PublicKey,
    }

    /// A head and its signature.
    struct SignedHead {
        /// What it says.
        body: HeadBody,
        /// Over the body's hash.
        signature: Signature,
    }
}

cases! {
    /// What a head announces.
    enum HeadKind {
        /// Nothing.
        0 => Usual,
        /// The heads after this one are signed by another key.
        1 => NewKey(key: NextKey),
        /// The pool was restored from data older than the head before.
        2 => Restored(loss: Loss),
    }
}

impl Entry {
    /// An entry of the ledger.
    #[must_use]
    pub fn new(restarts: u32, ledger_seq: u64, commitment: &Commitment) -> Self {
        Self { restarts, ledger_seq, commitment: commitment.hash() }
    }

    /// Its leaf in the history tree.
    #[must_use]
    pub fn leaf(&self) -> Digest {
        Entries::leaf(&self.encoded())
    }
}

impl HeadBody {
    /// Whether the pool's id is the one that its first key, network and name make.
    #[must_use]
    pub fn is_named(&self) -> bool {
        self.origin.pool() == self.pool
    }

    /// Its hash: what is signed, and what the next head names.
    #[must_use]
    pub fn hash(&self) -> Digest {
        Domain::Head.of(self)
    }
}

impl SignedHead {
    /// Signs a head; its key and version are set.
    #[must_use]
    pub fn sign(mut body: HeadBody, signer: &Signer) -> Self {
        body.version = VERSION;
        body.key = signer.key();
        let signature = signer.sign(&body.hash());
        Self { body, signature }
    }

    /// Whether the key that it names signed it. Whose key that is, is another question ([`KeysInForce`]).
    ///
    /// # Errors
    /// When not.
    pub fn verify(&self) -> Result<(), SignatureError> {
        keys::verify(&self.body.key, &self.body.hash(), &self.signature)
    }
}

/// Two heads of one pool that cannot both be true.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Contradiction {
    /// One number, two heads.
    #[error("two heads have the number {number}: the pool shows different ledgers to different people")]
    TwoHeads {
        /// The number.
        number: u64,
    },
    /// A head names another one before it.
    #[error("head {number} names another head before it than the one that was published")]
    ChainBroken {
        /// The later head.
        number: u64,
    },
    /// Entries are gone, or others, without a loss that was declared.
    #[error("the history of head {to} is not that of head {from} continued")]
    NotContinued {
        /// The earlier head.
        from: u64,
        /// The later head.
        to: u64,
    },
    /// The count of losses is not that of the losses declared.
    #[error(
        "between head {from} and head {to} the count of losses does not go with the losses that were declared"
    )]
    Losses {
        /// The earlier head.
        from: u64,
        /// The later head.
        to: u64,
    },
}

/// What two heads alone contradict each other in, in either order. Signatures are not looked at.
#[must_use]
pub fn contradiction(one: &HeadBody, other: &HeadBody) -> Option<Contradiction> {
    if one.pool != other.pool {
        return None;
    }
    let (before, after) = if one.number <= other.number { (one, other) } else { (other, one) };
    let (from, to) = (before.number, after.number);
    if from == to {
        return (before.hash() != after.hash()).then_some(Contradiction::TwoHeads { number: to });
    }
    let adjacent = from.checked_add(1) == Some(to);
    if adjacent && after.prev != before.hash() {
        return Some(Contradiction::ChainBroken { number: to });
    }
    if before.restarts == after.restarts {
        let shrunk = after.size < before.size || after.ledger_seq < before.ledger_seq;
        let differs = after.size == before.size && after.root != before.root;
        let declared = matches!(after.kind, HeadKind::Restored(_));
        if declared {
            return Some(Contradiction::Losses { from, to });
        }
        return (shrunk || differs).then_some(Contradiction::NotContinued { from, to });
    }
    let disagree = match &after.kind {
        _ if after.restarts < before.restarts => true,
        HeadKind::Restored(loss) if adjacent => {
            before.restarts.checked_add(1) != Some(after.restarts)
                || loss.lost_from > before.size
                || loss.lost_from > after.size
                || (loss.lost_from == before.size && loss.root != before.root)
        }
        _ => adjacent,
    };
    disagree.then_some(Contradiction::Losses { from, to })
}

/// Which key signs the heads of which numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeysInForce {
    /// Key, first head, last head.
    periods: Vec<(PublicKey, u64, u64)>,
}

/// A head or receipt is signed by a key that was not in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Nobody vouches for the key.
    #[error(
        "signed by {found}, which is neither the known key {known} nor announced by it in the heads given: get the pool's key \
         from the pool's own site, or its heads from the known key's time on"
    )]
    Unknown {
        /// The key.
        found: PublicKey,
        /// The key that was known before.
        known: PublicKey,
    },
    /// The key was announced for later heads.
    #[error("head {number} is signed by {found}, which signs from head {from} on")]
    NotYet {
        /// The head.
        number: u64,
        /// The key.
        found: PublicKey,
        /// Its first head.
        from: u64,
    },
    /// The key was replaced before.
    #[error("head {number} is signed by {found}, which was replaced after head {until}")]
    Replaced {
        /// The head.
        number: u64,
        /// The key.
        found: PublicKey,
        /// Its last head.
        until: u64,
    },
}

impl KeysInForce {
    /// The known key, and those that follow it by the announcements among these heads. Heads with a bad signature, and those
    /// of other pools, announce nothing.
    #[must_use]
    pub fn new(known: PublicKey, pool: &Digest, heads: &[SignedHead]) -> Self {
        let mut announcements: Vec<_> = heads
            .iter()
            .filter(|head| head.body.pool == *pool)
            .filter_map(|head| match &head.body.kind {
                HeadKind::NewKey(key) => Some((head, key.next)),
                HeadKind::Usual | HeadKind::Restored(_) => None,
            })
            .collect();
        announcements.sort_by_key(|(head, _)| head.body.number);
        let (mut current, mut from) = (known, 0);
        let mut periods = Vec::new();
        for (head, next) in announcements {
            let number = head.body.number;
            if head.body.key == current && number >= from && head.verify().is_ok() {
                periods.push((current, from, number));
                (current, from) = (next, number.saturating_add(1));
            }
        }
        periods.push((current, from, u64::MAX));
        Self { periods }
    }

    /// Whether a key signs the head of a number.
    ///
    /// # Errors
    /// When not.
    pub fn check(&self, found: &PublicKey, number: u64) -> Result<(), KeyError> {
        let mut error = None;
        for (key, from, until) in &self.periods {
            if key != found {
                continue;
            }
            let found = *found;
            error = Some(match number {
                number if number < *from => KeyError::NotYet { number, found, from: *from },
                number if number > *until => KeyError::Replaced { number, found, until: *until },
                _ => return Ok(()),
            });
        }
        Err(error.unwrap_or_else(|| self.unknown(found)))
    }

    fn unknown(&self, found: &PublicKey) -> KeyError {
        let known = self.periods.first().map_or(*found, |(key, ..)| *key);
        KeyError::Unknown { found: *found, known }
    }
}
