//! Evidence that a pool showed different ledgers to different people: two things it signed that cannot both be true. Whoever
//! knows the pool's key can check it, without the pool and without knowing who found it.

use crate::statement::{Consistency, read};
use crate::{
    Contradiction, Entries, Entry, FormError, KeyError, KeysInForce, SignatureError, SignedHead, Statement,
    VERSION, continues, contradiction, included, text,
};
use millpond_types::Digest;
use serde::{Deserialize, Serialize};

/// The document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evidence {
    /// The version of the document: 1.
    pub millpond_evidence: u8,
    /// What was found.
    pub found: Found,
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Found {
    /// Two heads.
    Heads(Box<[SignedHead; 2]>),
    /// Two entries at one place of one history.
    Entries(Box<[Placed; 2]>),
}

/// An entry that is shown to stand at a place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Placed {
    /// The entry.
    pub entry: Entry,
    /// Its place in the history tree.
    #[serde(with = "text")]
    pub index: u64,
    /// From its leaf to the head's root.
    pub inclusion: Vec<Digest>,
    /// The head.
    pub head: SignedHead,
}

/// What evidence shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// Heads that contradict each other.
    Heads(Contradiction),
    /// One place, two entries.
    Entries {
        /// The place.
        index: u64,
    },
}

/// Evidence shows nothing, or two heads cannot be compared.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EvidenceError {
    /// It cannot be read.
    #[error(transparent)]
    Form(#[from] FormError),
    /// It is newer than this program.
    #[error("version {0} is not known; this program knows version 1: take a newer one")]
    Version(u8),
    /// The two are of different pools.
    #[error("the two are of different pools, {0} and {1}: they cannot contradict each other")]
    OtherPools(Digest, Digest),
    /// A key was not in force.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A signature is bad: anybody could have written this.
    #[error("head {number}: {why}")]
    Signature {
        /// The head.
        number: u64,
        /// Why.
        why: SignatureError,
    },
    /// A head has a pool's id that its first key, network and name do not make.
    #[error("head {0} names a pool whose id its first key, network and name do not make")]
    Origin(u64),
    /// An entry is not shown to stand where it is said to.
    #[error("the entry is not at place {index} of the {size} of head {head}")]
    Inclusion {
        /// The place.
        index: u64,
        /// Entries of the head.
        size: u64,
        /// The head.
        head: u64,
    },
    /// Both can be true.
    #[error("both can be true: this is evidence of nothing")]
    Nothing,
}

impl Evidence {
    /// Reads a document.
    ///
    /// # Errors
    /// When it is none.
    pub fn read(json: &[u8]) -> Result<Self, FormError> {
        #[derive(Deserialize)]
        struct Version {
            millpond_evidence: u64,
        }
        match read::<Version>(json)?.millpond_evidence {
            version if version == u64::from(VERSION) => read(json),
            version => Err(FormError::Version(version)),
        }
    }

    /// Two heads among these that contradict each other. Nothing else of them is checked.
    #[must_use]
    pub fn among(heads: &[SignedHead]) -> Option<Self> {
        let mut sorted: Vec<&SignedHead> = heads.iter().collect();
        sorted.sort_by_key(|head| (head.body.pool, head.body.number));
        let (one, other) = sorted
            .iter()
            .zip(sorted.iter().skip(1))
            .find(|(one, other)| contradiction(&one.body, &other.body).is_some())?;
        let heads = Box::new([(*one).clone(), (*other).clone()]);
        Some(Self { millpond_evidence: VERSION, found: Found::Heads(heads) })
    }

    /// What two statements contradict each other in: their heads, or their places in the history. Nothing else of them is
    /// checked.
    #[must_use]
    pub fn between(one: &Statement, other: &Statement) -> Option<Self> {
        if let Some(heads) = Self::among(&[one.head.clone(), other.head.clone()]) {
            return Some(heads);
        }
        let placed = |statement: &Statement| Placed {
            entry: statement.entry(),
            index: statement.entry.index,
            inclusion: statement.entry.inclusion.clone(),
            head: statement.head.clone(),
        };
        let (one, other) = (placed(one), placed(other));
        two_entries(&one, &other)
            .then(|| Self { millpond_evidence: VERSION, found: Found::Entries(Box::new([one, other])) })
    }

    /// Checks it against the pool's keys.
    ///
    /// # Errors
    /// When it shows nothing.
    pub fn verify(&self, keys: &KeysInForce) -> Result<Shown, EvidenceError> {
        if self.millpond_evidence != VERSION {
            return Err(EvidenceError::Version(self.millpond_evidence));
        }
        match &self.found {
            Found::Heads(heads) => {
                let [one, other] = &**heads;
                check_both(one, other, keys)?;
                contradiction(&one.body, &other.body).map(Shown::Heads).ok_or(EvidenceError::Nothing)
            }
            Found::Entries(entries) => {
                let [one, other] = &**entries;
                check_both(&one.head, &other.head, keys)?;
                for placed in [one, other] {
                    let (index, head) = (placed.index, &placed.head.body);
                    let (size, root) = (head.size, &head.root);
                    if !included::<Entries>(&placed.entry.leaf(), index, size, &placed.inclusion, root) {
                        return Err(EvidenceError::Inclusion { index, size, head: head.number });
                    }
                }
                let shown = Shown::Entries { index: one.index };
                two_entries(one, other).then_some(shown).ok_or(EvidenceError::Nothing)
            }
        }
    }
}

fn check_both(one: &SignedHead, other: &SignedHead, keys: &KeysInForce) -> Result<(), EvidenceError> {
    if one.body.pool != other.body.pool {
        return Err(EvidenceError::OtherPools(one.body.pool, other.body.pool));
    }
    for head in [one, other] {
        keys.check(&head.body.key, head.body.number)?;
        check_head(head)?;
    }
    Ok(())
}

/// Heads that declare another number of losses may hold other entries at a place.
fn two_entries(one: &Placed, other: &Placed) -> bool {
    let (head, other_head) = (&one.head.body, &other.head.body);
    head.pool == other_head.pool
        && head.restarts == other_head.restarts
        && one.index == other.index
        && one.entry != other.entry
}

fn check_head(head: &SignedHead) -> Result<(), EvidenceError> {
    if head.body.version != VERSION {
        return Err(EvidenceError::Version(head.body.version));
    }
    if !head.body.is_named() {
        return Err(EvidenceError::Origin(head.body.number));
    }
    head.verify().map_err(|why| EvidenceError::Signature { number: head.body.number, why })
}

/// What comparing two heads came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compared {
    /// They are the same head.
    Same,
    /// The later one continues the earlier one: shown by equal roots or by a proof.
    Continues,
    /// They do not contradict each other; whether the later continues the earlier takes a proof.
    NeedsProof {
        /// Size of the shorter history.
        from: u64,
        /// Size of the longer.
        to: u64,
    },
    /// The proof does not show it. That shows nothing about the pool unless the pool itself gave the proof: ask it for one.
    NotShown {
        /// Size of the shorter history.
        from: u64,
        /// Size of the longer.
        to: u64,
    },
    /// Between them the pool declared a loss; their histories are not compared.
    LossDeclared,
    /// They contradict each other.
    Contradict(Contradiction),
}

/// Compares two heads of a pool, in either order.
///
/// # Errors
/// When a head is not signed by the key that it names, or they are of different pools.
pub fn compare(
    one: &SignedHead,
    other: &SignedHead,
    proof: Option<&Consistency>,
) -> Result<Compared, EvidenceError> {
    for head in [one, other] {
        check_head(head)?;
    }
    let (before, after) = if one.body.number <= other.body.number {
        (&one.body, &other.body)
    } else {
        (&other.body, &one.body)
    };
    if before.pool != after.pool {
        return Err(EvidenceError::OtherPools(before.pool, after.pool));
    }
    if let Some(found) = contradiction(before, after) {
        return Ok(Compared::Contradict(found));
    }
    if before.number == after.number {
        return Ok(Compared::Same);
    }
    if before.restarts != after.restarts {
        return Ok(Compared::LossDeclared);
    }
    let (from, to) = (before.size, after.size);
    if from == to || from == 0 {
        return Ok(Compared::Continues);
    }
    Ok(match proof {
        None => Compared::NeedsProof { from, to },
        Some(proof) => {
            let path = &proof.path;
            let shown = (proof.from, proof.to) == (from, to)
                && continues::<Entries>((from, &before.root), (to, &after.root), path);
            if shown { Compared::Continues } else { Compared::NotShown { from, to } }
        }
    })
}
