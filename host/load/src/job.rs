//! A job as a miner has it, and the shares that are made of it.

use crate::scan::{Items, Raw, text};
use millpond_types::Target;
use sha2::{Digest, Sha256};
use std::cell::OnceCell;

/// Branches of more steps are no block's.
const BRANCH_MAX: usize = 64;
/// A target that all but one of 2^31 hashes meet: above it nobody needs to look.
const ALL: [u8; 4] = [0xff, 0xff, 0xff, 0xfe];
/// A difficulty that one of 2^32 hashes meets or fewer: below it nobody needs to look.
const NONE: f64 = 1.0;

/// A job. Connections that were told the same share it.
#[derive(Debug)]
pub(crate) struct Job {
    /// The parameters, as they came.
    pub(crate) params: Box<[u8]>,
    /// Its name.
    pub(crate) id: Box<[u8]>,
    /// The time, eight hex digits.
    pub(crate) time: [u8; 8],
    /// The first bytes of the previous block's hash as it stands on the wire: tells blocks apart.
    pub(crate) parent: u64,
    /// What hashing needs; read when it is needed first.
    parts: OnceCell<Option<Parts>>,
}

#[derive(Debug)]
struct Parts {
    coinbase: [Vec<u8>; 2],
    branch: Vec<[u8; 32]>,
    /// Version and previous hash, as they stand in the header.
    head: [u8; 36],
    /// Time and bits, as they stand in the header.
    tail: [u8; 8],
}

impl Job {
    /// From the parameters of a `mining.notify`.
    pub(crate) fn read(params: Raw<'_>) -> Option<Self> {
        let mut items = Items::of(params)?;
        let id = text(items.next()?)?;
        let prev = text(items.next()?)?;
        let time = text(items.nth(5)?)?;
        Some(Self {
            params: params.into(),
            id: id.into(),
            time: time.try_into().ok()?,
            parent: parent(prev),
            parts: OnceCell::new(),
        })
    }

    fn parts(&self) -> Option<&Parts> {
        self.parts.get_or_init(|| Parts::read(&self.params)).as_ref()
    }

    /// A share that meets the target, or misses it, with this extranonce2: its nonce, of the `round`th part of them, so
    /// that who used up his extranonce2s has others. `None` when the job cannot be read, or when none of the part's 2^24
    /// does. Where nearly every hash does, none is computed.
    pub(crate) fn nonce(&self, sharing: &Sharing, extranonces: [&[u8]; 2], round: u8) -> Option<u32> {
        let first = u32::from(round) << 24;
        match sharing.odds {
            Odds::Certain => return Some(first),
            Odds::None => return None,
            Odds::Open => {}
        }
        let mut header = self.parts()?.header(extranonces);
        (first..=first | 0x00ff_ffff).find(|nonce| {
            header[76..].copy_from_slice(&nonce.to_le_bytes());
            let mut hash = sha256d(&header);
            hash.reverse();
            sharing.target.is_met_by(&hash) == sharing.meets
        })
    }
}

/// Which shares are wanted at a difficulty.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sharing {
    target: Target,
    meets: bool,
    odds: Odds,
}

/// How many of all hashes make the share that is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Odds {
    /// All, so that nobody needs to look.
    Certain,
    /// Some.
    Open,
    /// Hardly any.
    None,
}

impl Sharing {
    /// Shares that meet the target of a difficulty, or that miss it.
    pub(crate) fn new(difficulty: f64, meets: bool) -> Self {
        let target = Target::from_difficulty(difficulty, Target::BITCOIN_DIFF1).unwrap_or(Target::MAX);
        let all_meet = target.to_be_bytes() >= all();
        let odds = match (meets, all_meet, difficulty >= NONE) {
            (true, true, _) | (false, _, true) => Odds::Certain,
            (false, true, _) => Odds::None,
            _ => Odds::Open,
        };
        Self { target, meets, odds }
    }
}

fn all() -> [u8; 32] {
    let mut bytes = [0; 32];
    for (byte, all) in bytes.iter_mut().zip(ALL) {
        *byte = all;
    }
    bytes
}

/// What tells blocks apart: of the previous block's hash as it stands on the wire, its first 16 digits.
pub(crate) fn parent(prev: &[u8]) -> u64 {
    prev.iter().take(16).fold(0, |sum, byte| {
        let digit = char::from(*byte).to_digit(16).unwrap_or(0);
        sum << 4 | u64::from(digit)
    })
}

impl Parts {
    fn read(params: Raw<'_>) -> Option<Self> {
        let items: Vec<_> = Items::of(params)?.take(9).collect();
        let [_, prev, first, second, branch, version, bits, time, ..] = items.as_slice() else { return None };
        let bytes = |raw: &Raw<'_>| hex::decode(text(raw)?).ok();
        let word = |raw: &Raw<'_>| <[u8; 4]>::try_from(bytes(raw)?).ok();
        let reversed = |raw: &Raw<'_>| word(raw).map(|word| u32::from_be_bytes(word).to_le_bytes());
        let branch: Vec<_> =
            Items::of(branch)?.map(|item| <[u8; 32]>::try_from(bytes(&item)?).ok()).collect::<Option<_>>()?;
        // Each word of four bytes stands reversed on the wire.
        let prev = bytes(prev)?.chunks(4).flat_map(|word| word.iter().rev().copied()).collect::<Vec<_>>();
        if branch.len() > BRANCH_MAX || prev.len() != 32 {
            return None;
        }
        let (head, tail) =
            ([&reversed(version)?[..], &prev].concat(), [reversed(time)?, reversed(bits)?].concat());
        Some(Self {
            coinbase: [bytes(first)?, bytes(second)?],
            branch,
            head: head.try_into().ok()?,
            tail: tail.try_into().ok()?,
        })
    }

    /// The header with nonce 0.
    fn header(&self, [extranonce1, extranonce2]: [&[u8]; 2]) -> [u8; 80] {
        let [first, second] = &self.coinbase;
        let mut coinbase = Sha256::new();
        for part in [first.as_slice(), extranonce1, extranonce2, second] {
            coinbase.update(part);
        }
        let mut root: [u8; 32] = Sha256::digest(coinbase.finalize()).into();
        for side in &self.branch {
            let mut pair = [0; 64];
            pair[..32].copy_from_slice(&root);
            pair[32..].copy_from_slice(side);
            root = sha256d(&pair);
        }
        let mut header = [0; 80];
        header[..36].copy_from_slice(&self.head);
        header[36..68].copy_from_slice(&root);
        header[68..76].copy_from_slice(&self.tail);
        header
    }
}

fn sha256d(data: &[u8]) -> [u8; 32] {
    Sha256::digest(Sha256::digest(data)).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The share of the first Stratum manual.
    const MANUAL: &[u8] = br#"["bf","4d16b6f85af6e2198f44ae2a6de67f78487ae5611b77c6c0440b921e00000000","01000000010000000000000000000000000000000000000000000000000000000000000000ffffffff20020862062f503253482f04b8864e5008","072f736c7573682f000000000100f2052a010000001976a914d23fcdf86f7e756a64a7a9688ef9903327048ed988ac00000000",[],"00000002","1c2ac4af","504e86ed",false]"#;

    #[test]
    fn the_header_of_the_stratum_manual_hashes_to_its_hash() {
        let job = Job::read(MANUAL).unwrap();
        assert_eq!((&*job.id, &job.time), (&b"bf"[..], b"504e86ed"));
        assert_eq!(job.parent, 0x4d16_b6f8_5af6_e219);
        let mut header = job.parts().unwrap().header([&[8, 0, 0, 2], &[0, 0, 0, 1]]);
        header[76..].copy_from_slice(&0xb295_7c02_u32.to_le_bytes());
        let mut hash = sha256d(&header);
        hash.reverse();
        assert_eq!(hex::encode(hash), "000000002076870fe65a2b6eeed84fa892c0db924f1482243a6247d931dcab32");
    }

    #[test]
    fn shares_meet_or_miss_their_target_and_only_where_it_is_open_a_hash_is_computed() {
        let job = Job::read(MANUAL).unwrap();
        for (difficulty, meets) in [(1e-8, true), (1e-9, true), (1e-9, false), (4e-10, false)] {
            let sharing = Sharing::new(difficulty, meets);
            assert_eq!(sharing.odds, Odds::Open);
            for extranonce2 in 0..20_u8 {
                let nonce = job.nonce(&sharing, [&[8, 0, 0, 2], &[0, 0, 0, extranonce2]], 3).unwrap();
                assert_eq!(nonce >> 24, 3);
                let mut header = job.parts().unwrap().header([&[8, 0, 0, 2], &[0, 0, 0, extranonce2]]);
                header[76..].copy_from_slice(&nonce.to_le_bytes());
                let mut hash = sha256d(&header);
                hash.reverse();
                assert_eq!(sharing.target.is_met_by(&hash), meets);
            }
        }
        for (difficulty, meets, odds) in
            [(1e-10, true, Odds::Certain), (1024.0, false, Odds::Certain), (1e-10, false, Odds::None)]
        {
            let sharing = Sharing::new(difficulty, meets);
            assert_eq!(sharing.odds, odds);
            let nonce = job.nonce(&sharing, [&[8, 0, 0, 2], &[0; 4]], 1);
            assert_eq!(nonce, (odds == Odds::Certain).then_some(1 << 24));
        }
    }

    #[test]
    fn what_is_no_job_is_none() {
        for params in [&b""[..], b"[]", b"[1,2]", br#"["a","b","c","d",[],"1","2","short",true]"#] {
            assert!(Job::read(params).is_none());
        }
        let job = Job::read(br#"["a","zz","c","d",[],"1","2","504e86ed",true]"#).unwrap();
        assert!(job.nonce(&Sharing::new(1e-9, true), [&[], &[]], 0).is_none());
    }
}
