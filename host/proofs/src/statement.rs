//! Statements: everything that shows one owner what one entry of the ledger said of him, in one document.
//!
//! A statement is JSON for people and programs. It is read into its fields, which are encoded again before they are hashed;
//! fields that are not known are refused, so that nothing stands in it that was not checked.

use crate::{Commitment, Encode, Entry, Leaf, Path, Salt, SignedHead, SignedReceipt, VERSION, text};
use millpond_types::{Amount, Digest};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// The document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Statement {
    /// The version of the document: 1.
    pub millpond_statement: u8,
    /// The address the owner is known by; empty for owners without one.
    pub address: String,
    /// The owner's name in the ledger.
    pub owner: String,
    /// What the entry says.
    pub commitment: Commitment,
    /// The owner's part; none where the entry divides nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credit: Option<Credit>,
    /// The owner's work in each window.
    #[serde(default)]
    pub work: Vec<Work>,
    /// Where the entry stands.
    pub entry: Place,
    /// The head that the entry is shown to be in.
    pub head: SignedHead,
}

/// An owner's part of a division or payment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Credit {
    /// How much.
    #[serde(with = "text")]
    pub value: u128,
    /// The leaf's salt.
    pub salt: Salt,
    /// From the leaf to the root.
    pub path: Path,
    /// Of a payment: where it went.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paid: Option<Paid>,
}

/// Where a payment's row went. What arrived is the part without what was charged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Paid {
    /// The address paid.
    pub address: String,
    /// The owner's part of the network's fee.
    #[serde(with = "text")]
    pub charged: Amount,
}

impl Encode for Paid {
    fn encode(&self, out: &mut Vec<u8>) {
        self.address.encode(out);
        self.charged.encode(out);
    }
}

/// An owner's work in a window.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Work {
    /// The window, from 0 in the order of the commitment.
    pub window: u8,
    /// How much.
    #[serde(with = "text")]
    pub value: u128,
    /// The leaf's salt.
    pub salt: Salt,
    /// From the leaf to the root.
    pub path: Path,
}

/// An entry's place in the ledger and in the history tree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// How often entries had been lost when it was written.
    pub restarts: u32,
    /// Its number in the ledger.
    #[serde(with = "text")]
    pub ledger_seq: u64,
    /// Its place in the history tree.
    #[serde(with = "text")]
    pub index: u64,
    /// From its leaf to the head's root.
    pub inclusion: Vec<Digest>,
}

/// A path that shows one history to continue another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Consistency {
    /// Size of the shorter.
    #[serde(with = "text")]
    pub from: u64,
    /// Size of the longer.
    #[serde(with = "text")]
    pub to: u64,
    /// The path.
    pub path: Vec<Digest>,
}

/// A document cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormError {
    /// It is no such document.
    #[error("{field}: {why}")]
    Field {
        /// Where in the document.
        field: String,
        /// What is wrong there.
        why: String,
    },
    /// It is newer than this program.
    #[error("the document has version {0}; this program knows version 1: take a newer one")]
    Version(u64),
}

impl Statement {
    /// Reads a document.
    ///
    /// # Errors
    /// When it is no statement, or has fields that are not known.
    pub fn read(json: &[u8]) -> Result<Self, FormError> {
        #[derive(Deserialize)]
        struct Version {
            millpond_statement: u64,
        }
        let version = read::<Version>(json)?.millpond_statement;
        if version != u64::from(VERSION) {
            return Err(FormError::Version(version));
        }
        read(json)
    }

    /// The leaf of the owner's part.
    #[must_use]
    pub fn credit_leaf(&self, credit: &Credit) -> Leaf {
        let more = credit.paid.as_ref().map(Encode::encoded).unwrap_or_default();
        let (owner, address) = (self.owner.clone(), self.address.clone());
        Leaf { owner, address, value: credit.value, more, salt: credit.salt }
    }

    /// The leaf of the owner's work in a window.
    #[must_use]
    pub fn work_leaf(&self, work: &Work) -> Leaf {
        let (owner, address) = (self.owner.clone(), self.address.clone());
        Leaf { owner, address, value: work.value, more: Vec::new(), salt: work.salt }
    }

    /// The entry as a leaf of the history tree.
    #[must_use]
    pub fn entry(&self) -> Entry {
        Entry::new(self.entry.restarts, self.entry.ledger_seq, &self.commitment)
    }
}

impl SignedHead {
    /// Reads a head.
    ///
    /// # Errors
    /// When it is none.
    pub fn read(json: &[u8]) -> Result<Self, FormError> {
        signed(json)
    }
}

impl SignedReceipt {
    /// Reads a receipt.
    ///
    /// # Errors
    /// When it is none.
    pub fn read(json: &[u8]) -> Result<Self, FormError> {
        signed(json)
    }
}

fn signed<T: DeserializeOwned>(json: &[u8]) -> Result<T, FormError> {
    #[derive(Deserialize)]
    struct Body {
        version: u64,
    }
    #[derive(Deserialize)]
    struct Signed {
        body: Body,
    }
    match read::<Signed>(json)?.body.version {
        version if version == u64::from(VERSION) => read(json),
        version => Err(FormError::Version(version)),
    }
}

/// Reads a document of any kind, and says which field is wrong.
pub(crate) fn read<T: DeserializeOwned>(json: &[u8]) -> Result<T, FormError> {
    let mut from = serde_json::Deserializer::from_slice(json);
    let document = serde_path_to_error::deserialize(&mut from).map_err(|why| {
        let field = match why.path().to_string() {
            top if top == "." => "the document".to_owned(),
            field => field,
        };
        FormError::Field { field, why: why.into_inner().to_string() }
    })?;
    from.end().map_err(|why| FormError::Field { field: "the document".to_owned(), why: why.to_string() })?;
    Ok(document)
}
