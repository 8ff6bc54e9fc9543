//! The four families by hand: what each job can know is done once, buffers are kept, and no check of the document is
//! left out.

use super::family::{Family, session};
use millpond_algorithms::{Algorithms, Context};
use millpond_types::Target;
use std::sync::Arc;

/// What a share comes to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) pow: [u8; 32],
    pub(crate) id: [u8; 32],
    pub(crate) meets_share: bool,
    pub(crate) meets_network: bool,
}

impl Outcome {
    fn of(pow: [u8; 32], id: [u8; 32], (share, network): (Target, Target)) -> Self {
        let (meets_share, meets_network) = (share.is_met_by(&pow), network.is_met_by(&pow));
        Self { pow, id, meets_share, meets_network }
    }
}

fn prepared(name: &str, key: &[u8]) -> Arc<dyn Context> {
    Algorithms::native().get(name).unwrap().prepare(key).unwrap()
}

/// What is the same for all shares of a job is hashed once, where the algorithm can: the bytes taken, and what hashes
/// the rest.
fn begun(context: Arc<dyn Context>, beginning: &[u8]) -> (usize, Arc<dyn Context>) {
    context.ahead(beginning).unwrap_or((0, context))
}

#[inline]
fn hash(context: &dyn Context, input: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    context.hash(input, &mut out).unwrap();
    out
}

#[inline]
fn exact<const N: usize>(value: &[u8]) -> Option<[u8; N]> {
    value.try_into().ok()
}

fn reversed(mut hash: [u8; 32]) -> [u8; 32] {
    hash.reverse();
    hash
}

/// Values of a share that differ from one to the next.
fn mixed(i: u32) -> u64 {
    u64::from(i + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

pub(crate) fn bitcoin(name: &'static str, steps: usize, targets: (Target, Target)) -> Family {
    const TIME: u32 = 1_700_000_000;
    const MASK: u32 = 0x1fff_e000;
    const BITS: [u8; 4] = [0xff, 0xff, 0x7f, 0x20];
    let (head, tail, version, prev) = (vec![7; 90], vec![9; 130], 0x2000_0000_u32, [3; 32]);
    let branch: Vec<[u8; 32]> = (0..steps).map(|i| [i as u8; 32]).collect();
    let consts = [
        head.clone(),
        tail.clone(),
        branch.concat(),
        version.to_be_bytes().to_vec(),
        prev.to_vec(),
        BITS.to_vec(),
        TIME.to_be_bytes().to_vec(),
    ];
    let document = include_str!("../../../../examples/families/bitcoin/bitcoin.recipe");
    let session = session(document, &consts, &[MASK.to_be_bytes().to_vec(), Vec::new()]);
    let sha256d = prepared("sha256d", &[]);
    // The blocks of the coinbase before the extranonce are hashed once for the job.
    let (taken, coinbase) = begun(Arc::clone(&sha256d), &head);
    let rest = head[taken..].to_vec();
    let hand = move |values: &[Vec<u8>], buffer: &mut Vec<u8>| {
        let [xn, time, nonce, bits] = values else { return None };
        let xn: [u8; 8] = exact(xn)?;
        let time = u32::from_be_bytes(exact(time)?);
        let nonce = u32::from_be_bytes(exact(nonce)?);
        let bits = if bits.is_empty() { 0 } else { u32::from_be_bytes(exact(bits)?) };
        if bits & !MASK != 0 || !(TIME..=TIME + 7000).contains(&time) {
            return None;
        }
        buffer.clear();
        buffer.extend_from_slice(&rest);
        buffer.extend_from_slice(&xn);
        buffer.extend_from_slice(&tail);
        let mut root = hash(&*coinbase, buffer);
        sha256d.fold(&mut root, &branch).unwrap();
        let mut header = [0; 80];
        header[..4].copy_from_slice(&((version & !MASK) | (bits & MASK)).to_le_bytes());
        header[4..36].copy_from_slice(&prev);
        header[36..68].copy_from_slice(&root);
        header[68..72].copy_from_slice(&time.to_le_bytes());
        header[72..76].copy_from_slice(&BITS);
        header[76..].copy_from_slice(&nonce.to_le_bytes());
        let id = hash(&*sha256d, &header);
        Some(Outcome::of(reversed(id), id, targets))
    };
    let vary = |i| {
        let (mixed, time) = (mixed(i), TIME + i % 600);
        vec![
            mixed.to_be_bytes().to_vec(),
            time.to_be_bytes().to_vec(),
            (mixed as u32).to_be_bytes().to_vec(),
            ((i << 13) & MASK).to_be_bytes().to_vec(),
        ]
    };
    Family { name, session, hand: Box::new(hand), vary }
}

pub(crate) fn kaspa(targets: (Target, Target)) -> Family {
    let (before, stamp, behind) = (vec![5; 212], 1_700_000_000_000_u64, vec![6; 96]);
    let bits = [0xff, 0xff, 0x7f, 0x20];
    let consts = [before.clone(), stamp.to_le_bytes().to_vec(), bits.to_vec(), behind.clone()];
    let document = include_str!("../../../../examples/families/kaspa/kaspa.recipe");
    let session = session(document, &consts, &[]);
    let header = prepared("blake2b-256-keyed", b"BlockHash");
    let prepow = hash(&*header, &[&before[..], &[0; 8], &bits, &[0; 8], &behind].concat());
    let matrix = prepared("kheavyhash", &prepow);
    let time = stamp.to_le_bytes();
    let (taken, named) = begun(header, &before);
    let named_head = [&before[taken..], &time, &bits].concat();
    let work_head = [&prepow[..], &time, &[0; 32]].concat();
    let hand = move |values: &[Vec<u8>], buffer: &mut Vec<u8>| {
        let [xn] = values else { return None };
        let mut nonce: [u8; 8] = exact(xn)?;
        nonce.reverse();
        let mut work = [0; 80];
        work[..72].copy_from_slice(&work_head);
        work[72..].copy_from_slice(&nonce);
        let pow = reversed(hash(&*matrix, &work));
        buffer.clear();
        buffer.extend_from_slice(&named_head);
        buffer.extend_from_slice(&nonce);
        buffer.extend_from_slice(&behind);
        Some(Outcome::of(pow, hash(&*named, buffer), targets))
    };
    Family { name: "kaspa", session, hand: Box::new(hand), vary: |i| vec![mixed(i).to_be_bytes().to_vec()] }
}

pub(crate) fn ckb(targets: (Target, Target)) -> Family {
    let mut raw = vec![4; 192];
    raw[4..8].copy_from_slice(&0x1d08_aa2b_u32.to_le_bytes());
    let document = include_str!("../../../../examples/families/ckb/ckb.recipe");
    let session = session(document, &[raw.clone()], &[]);
    let named = prepared("blake2b-256-personal", b"ckb-default-hash");
    let work = prepared("eaglesong", &[]);
    let pow_hash = hash(&*named, &raw);
    let (taken, named) = begun(named, &raw);
    let (skipped, work) = begun(work, &pow_hash);
    let rest = raw[taken..].to_vec();
    let hand = move |values: &[Vec<u8>], buffer: &mut Vec<u8>| {
        let [xn] = values else { return None };
        let nonce: [u8; 16] = exact(xn)?;
        let mut input = [0; 48];
        input[..32].copy_from_slice(&pow_hash);
        input[32..].copy_from_slice(&nonce);
        let pow = hash(&*work, &input[skipped..]);
        buffer.clear();
        buffer.extend_from_slice(&rest);
        buffer.extend_from_slice(&nonce);
        Some(Outcome::of(pow, hash(&*named, buffer), targets))
    };
    let vary = |i| vec![[mixed(i).to_be_bytes(), mixed(i + 7).to_le_bytes()].concat()];
    Family { name: "ckb", session, hand: Box::new(hand), vary }
}

pub(crate) fn decred(targets: (Target, Target)) -> Family {
    const TIME: u32 = 1_700_000_000;
    let mut start = vec![8; 136];
    start[116..120].copy_from_slice(&0x1d00_ffff_u32.to_le_bytes());
    let extra = vec![2; 28];
    let consts = [start.clone(), TIME.to_le_bytes().to_vec(), extra.clone()];
    let document = include_str!("../../../../examples/families/decred/decred.recipe");
    let session = session(document, &consts, &[]);
    let (work, named) = (prepared("blake3", &[]), prepared("blake256", &[]));
    let (skipped, work) = begun(work, &start);
    let (taken, named) = begun(named, &start);
    let mut template = [0; 180];
    template[..136].copy_from_slice(&start);
    template[152..].copy_from_slice(&extra);
    let hand = move |values: &[Vec<u8>], _: &mut Vec<u8>| {
        let [xn, time, nonce] = values else { return None };
        let (xn, time, nonce): ([u8; 8], [u8; 4], [u8; 4]) = (exact(xn)?, exact(time)?, exact(nonce)?);
        if !(TIME..=TIME + 7000).contains(&u32::from_le_bytes(time)) {
            return None;
        }
        let mut header = template;
        header[136..140].copy_from_slice(&time);
        header[140..144].copy_from_slice(&nonce);
        header[144..152].copy_from_slice(&xn);
        let pow = reversed(hash(&*work, &header[skipped..]));
        Some(Outcome::of(pow, hash(&*named, &header[taken..]), targets))
    };
    let vary = |i| {
        let mixed = mixed(i);
        let time = TIME + i % 600;
        vec![mixed.to_be_bytes().to_vec(), time.to_le_bytes().to_vec(), (mixed as u32).to_le_bytes().to_vec()]
    };
    Family { name: "decred", session, hand: Box::new(hand), vary }
}
