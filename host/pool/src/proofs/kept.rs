//! What is kept on disk of each entry that is committed: its place in the history, and the evidence that its statements
//! are made of.
//!
//! Evidence is a length and JSON (the commitment, the salt, whom a payment paid), and behind it a column for each window:
//! numbers of miners as differences, and their work, all in groups of seven bits. What an income gave to whom is in the ledger
//! and not here again.

use super::ProofsError;
use super::columns::Weights;
use millpond_ledger::{PaymentRow, SettledRow};
use millpond_proofs::{Commitment, Entry, Salt};
use millpond_types::{Digest, MinerId};
use serde::{Deserialize, Serialize};

/// Which kind of entry it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Said {
    Income,
    Accrued,
    Payment,
    TakenBack,
}

/// An entry of the history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Noted {
    pub(super) entry: Entry,
    /// BLAKE3 of the ledger's record.
    pub(super) record: Digest,
    /// In hex.
    pub(super) subject: String,
    pub(super) division: u64,
    pub(super) said: Said,
    /// The record of the log of evidence.
    pub(super) evidence: u64,
}

/// Whom a payment paid.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Rows {
    pub(super) rows: Vec<PaymentRow>,
    pub(super) settled: Vec<SettledRow>,
}

/// What statements of an entry are made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Evidence {
    pub(super) commitment: Commitment,
    pub(super) salt: Salt,
    pub(super) paid: Option<Rows>,
    pub(super) work: Vec<(u8, Weights)>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    commitment: Commitment,
    salt: Salt,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    paid: Option<Rows>,
    windows: Vec<u8>,
}

impl Evidence {
    pub(super) fn to_bytes(&self) -> Result<Vec<u8>, ProofsError> {
        let head = Head {
            commitment: self.commitment.clone(),
            salt: self.salt,
            paid: self.paid.clone(),
            windows: self.work.iter().map(|(window, _)| *window).collect(),
        };
        let json = serde_json::to_vec(&head).map_err(|why| ProofsError::Evidence(why.to_string()))?;
        let mut bytes = Vec::with_capacity(json.len().saturating_add(16));
        put(&mut bytes, json.len() as u128);
        bytes.extend_from_slice(&json);
        for (_, rows) in &self.work {
            put(&mut bytes, rows.len() as u128);
            let mut before = 0;
            for (miner, value) in rows {
                put(&mut bytes, u128::from(miner.0.saturating_sub(before)));
                put(&mut bytes, *value);
                before = miner.0;
            }
        }
        Ok(bytes)
    }

    pub(super) fn read(mut bytes: &[u8]) -> Result<Self, ProofsError> {
        let damaged = || ProofsError::Evidence("it ends early, or a number in it is too large".to_owned());
        let length = take(&mut bytes).and_then(|length| usize::try_from(length).ok()).ok_or_else(damaged)?;
        let (json, mut rest) = bytes.split_at_checked(length).ok_or_else(damaged)?;
        let head: Head =
            serde_json::from_slice(json).map_err(|why| ProofsError::Evidence(why.to_string()))?;
        let mut work = Vec::new();
        for window in head.windows {
            let mut rows = Weights::new();
            let mut miner = 0_u64;
            for _ in 0..take(&mut rest).ok_or_else(damaged)? {
                let more = take(&mut rest).and_then(|more| u64::try_from(more).ok()).ok_or_else(damaged)?;
                miner = miner.checked_add(more).ok_or_else(damaged)?;
                rows.push((MinerId(miner), take(&mut rest).ok_or_else(damaged)?));
            }
            work.push((window, rows));
        }
        if !rest.is_empty() {
            return Err(ProofsError::Evidence("bytes are left at its end".to_owned()));
        }
        Ok(Self { commitment: head.commitment, salt: head.salt, paid: head.paid, work })
    }
}

fn put(bytes: &mut Vec<u8>, mut number: u128) {
    loop {
        let low = u8::try_from(number & 0x7f).unwrap_or(0);
        number >>= 7;
        bytes.push(if number == 0 { low } else { low | 0x80 });
        if number == 0 {
            return;
        }
    }
}

fn take(bytes: &mut &[u8]) -> Option<u128> {
    let mut number = 0_u128;
    let mut shift = 0_u32;
    loop {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        let part = u128::from(byte & 0x7f);
        number |= part.checked_shl(shift).filter(|moved| moved >> shift == part)?;
        if byte & 0x80 == 0 {
            return Some(number);
        }
        shift = shift.checked_add(7)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use millpond_proofs::{Undoing, What};

    fn evidence(work: Vec<(u8, Weights)>) -> Evidence {
        let undoing = Undoing { of: Digest::of(b"x"), reason: "why".to_owned() };
        let commitment = Commitment::new(Digest::of(b"pool"), b"subject".to_vec(), 3, What::Kept(undoing));
        Evidence { commitment, salt: Salt([7; 32]), paid: None, work }
    }

    #[test]
    fn evidence_comes_back_as_it_was_kept() {
        let rows = vec![(MinerId(1), 0), (MinerId(9), u128::MAX), (MinerId(u64::MAX), 1 << 70)];
        for work in [vec![], vec![(0, rows.clone())], vec![(0, vec![]), (2, rows)]] {
            let kept = evidence(work);
            let bytes = kept.to_bytes().unwrap();
            assert_eq!(Evidence::read(&bytes).unwrap(), kept);
            for end in 0..bytes.len() {
                assert!(Evidence::read(&bytes[..end]).is_err(), "cut at {end}");
            }
            assert!(Evidence::read(&[&bytes[..], &[0]].concat()).is_err());
        }
    }

    #[test]
    fn a_number_of_more_than_128_bits_is_refused() {
        let mut bytes = Vec::new();
        put(&mut bytes, u128::MAX);
        assert_eq!(take(&mut bytes.as_slice()), Some(u128::MAX));
        let last = bytes.len() - 1;
        bytes[last] += 4;
        assert_eq!(take(&mut bytes.as_slice()), None);
    }
}
