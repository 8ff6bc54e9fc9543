//! Work as a pool sends it, and the header that is hashed.

use millpond_algorithms::Context;
use millpond_types::Target;
use serde_json::Value;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Merkle branches of more steps are no block's.
const BRANCH_MAX: usize = 64;

/// A job with the session's values: all that hashing needs.
pub(crate) struct Work {
    pub(crate) job: String,
    coinbase: [Vec<u8>; 2],
    extranonce1: Vec<u8>,
    extranonce2_size: usize,
    branch: Vec<[u8; 32]>,
    version: u32,
    prev: [u8; 32],
    bits: u32,
    pub(crate) time: u32,
    pub(crate) target: Target,
    next_extranonce2: AtomicU64,
}

/// A header without its nonce, and the extranonce2 it was made with.
pub(crate) struct Header {
    pub(crate) bytes: [u8; 80],
    pub(crate) extranonce2: Vec<u8>,
}

impl Work {
    /// Reads the parameters of a `mining.notify`.
    pub(crate) fn parse(
        params: &Value,
        extranonce1: &[u8],
        extranonce2_size: usize,
        target: Target,
    ) -> Option<Self> {
        let params = params.as_array()?;
        let text = |index: usize| params.get(index)?.as_str();
        let bytes = |index: usize| hex::decode(text(index)?).ok();
        let word = |index: usize| u32::from_str_radix(text(index)?, 16).ok();
        let branch = params.get(4)?.as_array()?;
        if branch.len() > BRANCH_MAX || !(1..=32).contains(&extranonce2_size) {
            return None;
        }
        let item = |item: &Value| <[u8; 32]>::try_from(hex::decode(item.as_str()?).ok()?).ok();
        let prev = bytes(1)?;
        // Each word of four bytes stands reversed on the wire.
        let prev: Vec<u8> = prev.chunks(4).flat_map(|word| word.iter().rev().copied()).collect();
        Some(Self {
            job: text(0)?.to_owned(),
            coinbase: [bytes(2)?, bytes(3)?],
            extranonce1: extranonce1.to_vec(),
            extranonce2_size,
            branch: branch.iter().map(item).collect::<Option<_>>()?,
            version: word(5)?,
            prev: prev.try_into().ok()?,
            bits: word(6)?,
            time: word(7)?,
            target,
            next_extranonce2: AtomicU64::new(0),
        })
    }

    /// The same work sent again goes on where it was: beginning anew would find the shares of before.
    pub(crate) fn continue_from(&mut self, before: &Self) {
        let same = self.job == before.job
            && self.coinbase == before.coinbase
            && self.extranonce1 == before.extranonce1
            && self.time == before.time;
        if same {
            *self.next_extranonce2.get_mut() = before.next_extranonce2.load(Ordering::Relaxed);
        }
    }

    /// The header of the next extranonce2, which no other thread gets. `None` when the search space is used up.
    pub(crate) fn next_header(&self, sha256d: &Arc<dyn Context>) -> Option<Header> {
        let number = self.next_extranonce2.fetch_add(1, Ordering::Relaxed);
        if self.extranonce2_size < 8 && number >> (8 * self.extranonce2_size) != 0 {
            return None;
        }
        let mut extranonce2 = vec![0; self.extranonce2_size.saturating_sub(8)];
        extranonce2
            .extend(number.to_be_bytes().into_iter().skip(8_usize.saturating_sub(self.extranonce2_size)));
        let [head, tail] = &self.coinbase;
        let mut root =
            hash(sha256d, &[head, self.extranonce1.as_slice(), extranonce2.as_slice(), tail].concat())?;
        for item in &self.branch {
            root = hash(sha256d, &[root, *item].concat())?;
        }
        let parts: [&[u8]; 6] = [
            &self.version.to_le_bytes(),
            &self.prev,
            &root,
            &self.time.to_le_bytes(),
            &self.bits.to_le_bytes(),
            &[0; 4],
        ];
        Some(Header { bytes: parts.concat().try_into().ok()?, extranonce2 })
    }
}

pub(crate) fn hash(with: &Arc<dyn Context>, data: &[u8]) -> Option<[u8; 32]> {
    let mut out = [0; 32];
    with.hash(data, &mut out).ok()?;
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use millpond_algorithms::Algorithms;
    use serde_json::json;

    /// The share of the first Stratum manual.
    #[test]
    fn the_header_of_the_stratum_manual_hashes_to_its_hash() {
        let params = json!([
            "bf",
            "4d16b6f85af6e2198f44ae2a6de67f78487ae5611b77c6c0440b921e00000000",
            "01000000010000000000000000000000000000000000000000000000000000000000000000ffffffff20020862062f503253482f04b8864e5008",
            "072f736c7573682f000000000100f2052a010000001976a914d23fcdf86f7e756a64a7a9688ef9903327048ed988ac00000000",
            [],
            "00000002",
            "1c2ac4af",
            "504e86ed",
            false
        ]);
        let sha256d = Algorithms::native().get("sha256d").unwrap().prepare(&[]).unwrap();
        let work = Work::parse(&params, &[8, 0, 0, 2], 4, Target::MAX).unwrap();
        assert!(work.next_header(&sha256d).unwrap().extranonce2 == [0, 0, 0, 0]);
        let mut header = work.next_header(&sha256d).unwrap();
        assert_eq!(header.extranonce2, [0, 0, 0, 1]);
        header.bytes[76..].copy_from_slice(&0xb295_7c02_u32.to_le_bytes());
        let mut hash = hash(&sha256d, &header.bytes).unwrap();
        hash.reverse();
        assert_eq!(hex::encode(hash), "000000002076870fe65a2b6eeed84fa892c0db924f1482243a6247d931dcab32");
    }

    #[test]
    fn the_same_job_sent_again_goes_on_and_another_begins_anew() {
        let params =
            |time: &str| json!(["1", "00".repeat(32), "00", "00", [], "20000000", "207fffff", time, false]);
        let sha256d = Algorithms::native().get("sha256d").unwrap().prepare(&[]).unwrap();
        let parse = |time| Work::parse(&params(time), &[1], 4, Target::MAX).unwrap();
        let (before, mut again, mut other) = (parse("504e86ed"), parse("504e86ed"), parse("504e86ee"));
        before.next_header(&sha256d).unwrap();
        again.continue_from(&before);
        other.continue_from(&before);
        assert_eq!(again.next_header(&sha256d).unwrap().extranonce2, [0, 0, 0, 1]);
        assert_eq!(other.next_header(&sha256d).unwrap().extranonce2, [0, 0, 0, 0]);
    }

    #[test]
    fn a_used_up_search_space_is_said_and_bad_jobs_are_refused() {
        let params = json!(["1", "00".repeat(32), "00", "00", [], "20000000", "207fffff", "504e86ed", true]);
        let sha256d = Algorithms::native().get("sha256d").unwrap().prepare(&[]).unwrap();
        let work = Work::parse(&params, &[1], 1, Target::MAX).unwrap();
        assert_eq!((0..300).filter(|_| work.next_header(&sha256d).is_some()).count(), 256);
        for bad in [json!([]), json!(null), json!(["1", "00", "00", "00", [], "1", "1", "1", true])] {
            assert!(Work::parse(&bad, &[1], 4, Target::MAX).is_none());
        }
        assert!(Work::parse(&params, &[1], 0, Target::MAX).is_none());
    }
}
