//! Receipts: what a connection's accepted shares came to, signed for the miner while they come.
//!
//! A miner who keeps his receipts can hold them against a statement of later: the work in his leaf must be no less than what
//! he holds receipts for. The receipts of a connection are numbered and chained like heads.

use crate::encode::fields;
use crate::keys::{self, SignatureError};
use crate::{
    Division, Domain, Edge, KeyError, KeysInForce, Measure, PublicKey, Setting, Signature, Signer, Span,
    VERSION, text,
};
use millpond_types::{Digest, ShareSeq, UnixMillis};
use std::collections::BTreeMap;

text::fixed! {
    /// A connection, drawn at random when its receipts begin.
    Connection[16] is "a connection is 16 bytes";
}

fields! {
    /// What a receipt says.
    struct ReceiptBody {
        /// The version of the encoding: 1.
        version: u8,
        /// Whose pool.
        pool: Digest,
        /// The key that signs this: the one that signs the head after `head`.
        key: PublicKey,
        /// How often entries of the pool were lost when this was signed ([`crate::HeadKind::Restored`]): numbers of shares may
        /// have come twice since.
        restarts: u32,
        /// The newest head when this was signed.
        #[serde(with = "text")]
        head: u64,
        /// The owner credited, by his name in the ledger.
        owner: String,
        /// The address he is known by.
        address: String,
        /// The connection.
        connection: Connection,
        /// Its number among the connection's receipts, from 0.
        number: u32,
        /// The hash of the one before; zeros for the first.
        prev: Digest,
        /// The first share's number in the journal.
        #[serde(with = "text")]
        first: ShareSeq,
        /// The last share's.
        #[serde(with = "text")]
        last: ShareSeq,
        /// How many there are. Numbers between may be others' shares.
        #[serde(with = "text")]
        count: u64,
        /// Their work.
        #[serde(with = "text")]
        work: u128,
        /// In units of 2^shift expected hashes.
        shift: u8,
        /// The running digest of their ids ([`add_share`]).
        ids: Digest,
        /// When the first of them was accepted.
        #[serde(with = "text")]
        from: UnixMillis,
        /// When the last was.
        #[serde(with = "text")]
        to: UnixMillis,
    }

    /// A receipt and its signature.
    struct SignedReceipt {
        /// What it says.
        body: ReceiptBody,
        /// Over the body's hash.
        signature: Signature,
    }
}

/// The running digest of a receipt's shares with one more, by the share's id. It begins with zeros.
#[must_use]
pub fn add_share(running: &Digest, id: &Digest) -> Digest {
    Domain::Shares.hash([running.0, id.0].as_flattened())
}

impl ReceiptBody {
    /// Its hash: what is signed, and what the next receipt names.
    #[must_use]
    pub fn hash(&self) -> Digest {
        Domain::Receipt.of(self)
    }
}

impl SignedReceipt {
    /// Signs a receipt; its key and version are set.
    #[must_use]
    pub fn sign(mut body: ReceiptBody, signer: &Signer) -> Self {
        body.version = VERSION;
        body.key = signer.key();
        let signature = signer.sign(&body.hash());
        Self { body, signature }
    }

    /// Whether the key that it names signed it.
    ///
    /// # Errors
    /// When not.
    pub fn verify(&self) -> Result<(), SignatureError> {
        keys::verify(&self.body.key, &self.body.hash(), &self.signature)
    }
}

/// Receipts cannot be held against a statement, or are no receipts of this owner.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReceiptError {
    /// Newer than this program, or no version at all.
    #[error("receipt {number} has version {version}; this program knows version 1: take a newer one")]
    Version {
        /// The receipt.
        number: u32,
        /// Its version.
        version: u8,
    },
    /// It is somebody else's, or another pool's.
    #[error("receipt {number} is for {what} {found}, not for {expected}")]
    Other {
        /// The receipt.
        number: u32,
        /// What differs.
        what: &'static str,
        /// What it says.
        found: String,
        /// What the statement says.
        expected: String,
    },
    /// It was changed or signed by another key.
    #[error("receipt {number}: {why}")]
    Signature {
        /// The receipt.
        number: u32,
        /// Why.
        why: SignatureError,
    },
    /// Its key was not the pool's behind the head that it names.
    #[error("receipt {number}: {why}")]
    Key {
        /// The receipt.
        number: u32,
        /// Why.
        why: KeyError,
    },
    /// Its numbers cannot be: more shares than numbers, or a last one before the first.
    #[error("receipt {number} counts {count} shares from {first} to {last}, which cannot be")]
    Range {
        /// The receipt.
        number: u32,
        /// Shares.
        count: u64,
        /// The first.
        first: u64,
        /// The last.
        last: u64,
    },
    /// Two receipts of a connection contradict each other, both signed by the pool.
    #[error(
        "receipts {before} and {after} of connection {connection} contradict each other, and the pool signed both"
    )]
    Contradict {
        /// The connection.
        connection: Connection,
        /// The earlier.
        before: u32,
        /// The later.
        after: u32,
    },
}

/// What receipts say beside a window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Receipted {
    /// Receipts whose shares all stand in the window.
    pub inside: u64,
    /// Receipts that stand on an edge of it or outside.
    pub outside: u64,
    /// The work of those inside.
    pub work: u128,
}

/// Whether receipts can be held against a window. Windows that choose share by share, and those measured in units, cannot.
#[must_use]
pub const fn comparable(span: &Span, measure: Measure) -> bool {
    matches!(span, Span::Round | Span::Shares(_) | Span::Work(_) | Span::Batch)
        && matches!(measure, Measure::Work)
}

/// Checks the receipts of an owner. The same receipt twice counts once.
///
/// # Errors
/// At the first that is not what it should be.
pub fn check<'a>(
    receipts: &'a [SignedReceipt],
    pool: &Digest,
    owner: &str,
    address: &str,
    keys: &KeysInForce,
) -> Result<Vec<&'a ReceiptBody>, ReceiptError> {
    let mut by_place = BTreeMap::<(Connection, u32), &ReceiptBody>::new();
    for receipt in receipts {
        let body = &receipt.body;
        let number = body.number;
        if body.version != VERSION {
            return Err(ReceiptError::Version { number, version: body.version });
        }
        let (found_pool, own_pool) = (body.pool.to_string(), pool.to_string());
        let said = [
            ("pool", found_pool.as_str(), own_pool.as_str()),
            ("owner", &body.owner, owner),
            ("address", &body.address, address),
        ];
        if let Some((what, found, expected)) = said.into_iter().find(|(_, found, expected)| found != expected)
        {
            let (found, expected) = (found.to_owned(), expected.to_owned());
            return Err(ReceiptError::Other { number, what, found, expected });
        }
        let next = body.head.saturating_add(1);
        keys.check(&body.key, next).map_err(|why| ReceiptError::Key { number, why })?;
        receipt.verify().map_err(|why| ReceiptError::Signature { number, why })?;
        let (first, last, count) = (body.first.0, body.last.0, body.count);
        if count == 0 || last.checked_sub(first).is_none_or(|between| between < count - 1) {
            return Err(ReceiptError::Range { number, count, first, last });
        }
        if let Some(other) = by_place.insert((body.connection, number), body)
            && other != body
        {
            return Err(ReceiptError::Contradict {
                connection: body.connection,
                before: number,
                after: number,
            });
        }
    }
    for (before, after) in by_place.values().zip(by_place.values().skip(1)) {
        if before.connection != after.connection {
            continue;
        }
        let adjacent = before.number.checked_add(1) == Some(after.number);
        if after.first <= before.last || (adjacent && after.prev != before.hash()) {
            return Err(ReceiptError::Contradict {
                connection: after.connection,
                before: before.number,
                after: after.number,
            });
        }
    }
    Ok(by_place.into_values().collect())
}

/// The scheme's setting that says up to which share work is another scheme's to pay, and whose.
const RUN_OFF: &str = "@run-off";

/// Where a window ends: at the division's end, or for one of a scheme that was followed by another, where that took over. Such
/// a window begins at or before that share, which the windows of the other begin behind. A coinbase that pays miners is divided by
/// one scheme alone, over whole windows.
fn end_of(division: &Division, first: ShareSeq) -> Option<ShareSeq> {
    let setting = division.scheme.settings.iter().find(|setting| setting.name == RUN_OFF);
    let said = setting.filter(|_| !division.direct).map(|setting| &setting.value);
    let Some(Setting::Text(said)) = said else {
        return Some(division.end.share);
    };
    let said: serde_json::Value = serde_json::from_str(said).ok()?;
    let floor = ShareSeq(said.get("floor")?.as_u64()?);
    Some(if first <= floor { floor.min(division.end.share) } else { division.end.share })
}

/// What checked receipts come to inside of a window; `None` when they cannot be compared. `restarts` is the entry's: receipts
/// of before or after another loss count other shares under the same numbers.
#[must_use]
pub fn inside(
    receipts: &[&ReceiptBody],
    division: &Division,
    restarts: u32,
    window: usize,
) -> Option<Receipted> {
    let window = division.windows.get(window)?;
    let counted = window.counted.as_ref()?;
    if !comparable(&window.span, window.measure) {
        return None;
    }
    let end = end_of(division, counted.first)?;
    // The share on the edge may count in part.
    let in_part = matches!((&window.span, window.edge), (Span::Work(_), Edge::Split));
    let mut sums = Receipted::default();
    for receipt in receipts {
        if receipt.shift != division.shift {
            return None;
        }
        let after_edge = if in_part { receipt.first > counted.first } else { receipt.first >= counted.first };
        if receipt.restarts == restarts && after_edge && receipt.last <= end {
            sums.inside = sums.inside.saturating_add(1);
            sums.work = sums.work.saturating_add(receipt.work);
        } else {
            sums.outside = sums.outside.saturating_add(1);
        }
    }
    Some(sums)
}
