//! The rules of a block that need no unspent outputs, in the order in which Bitcoin Core looks at them.

use crate::coins::check_transaction;
use crate::reject::Reject;
use bitcoin::absolute;
use bitcoin::block::Header;
use bitcoin::hashes::Hash;
use bitcoin::{Block, CompactTarget, Target, Transaction, TxMerkleNode, WitnessMerkleNode};

/// Seconds that a block's time may be ahead of ours.
const MAX_AHEAD: u32 = 2 * 60 * 60;
/// The weight limit (BIP 141).
pub(crate) const MAX_WEIGHT: u64 = 4_000_000;

/// Where a block stands.
pub(crate) struct Context {
    pub(crate) height: u32,
    pub(crate) bits: CompactTarget,
    /// The median of the times of the eleven blocks before.
    pub(crate) median_time: u32,
    pub(crate) now: u32,
}

/// Whether a header's hash meets the target in it. Bits that no target has are never met.
pub(crate) fn meets_own_target(header: &Header) -> bool {
    let bits = header.bits.to_consensus();
    let negative = bits & 0x0080_0000 != 0;
    let target = Target::from_compact(header.bits);
    !negative
        && target != Target::ZERO
        && target <= Target::MAX_ATTAINABLE_REGTEST
        && target.is_met_by(header.block_hash())
}

/// Core's CheckBlock. `work` is false for a proposal, which has none yet.
pub(crate) fn check_block(block: &Block, work: bool) -> Result<(), Reject> {
    if work && !meets_own_target(&block.header) {
        return Err(Reject::invalid("high-hash"));
    }
    if !block.check_merkle_root() {
        return Err(Reject::invalid("bad-txnmrklroot"));
    }
    if is_mutated(block) {
        return Err(Reject::invalid("bad-txns-duplicate"));
    }
    let stripped: usize = block.txdata.iter().map(Transaction::base_size).sum::<usize>() + 80;
    if block.txdata.is_empty() || (stripped as u64).saturating_mul(4) > MAX_WEIGHT {
        return Err(Reject::invalid("bad-blk-length"));
    }
    if !block.txdata.first().is_some_and(Transaction::is_coinbase) {
        return Err(Reject::invalid("bad-cb-missing"));
    }
    if block.txdata.iter().skip(1).any(Transaction::is_coinbase) {
        return Err(Reject::invalid("bad-cb-multiple"));
    }
    block.txdata.iter().try_for_each(|tx| check_transaction(tx).map_err(Reject::invalid))
}

/// Whether two neighbours in some row of the merkle tree are equal: such a block has the same root as one without the
/// second (CVE-2012-2459).
fn is_mutated(block: &Block) -> bool {
    let mut row: Vec<TxMerkleNode> =
        block.txdata.iter().map(|tx| TxMerkleNode::from_raw_hash(tx.compute_txid().to_raw_hash())).collect();
    while row.len() > 1 {
        if row.chunks_exact(2).any(|pair| pair.first() == pair.last()) {
            return true;
        }
        row = row
            .chunks(2)
            .filter_map(|pair| bitcoin::merkle_tree::calculate_root(padded(pair).into_iter()))
            .collect();
    }
    false
}

/// A pair of a row; the last of an odd row stands twice.
fn padded(pair: &[TxMerkleNode]) -> Vec<TxMerkleNode> {
    pair.iter().chain(pair.last()).take(2).copied().collect()
}

/// Core's ContextualCheckBlockHeader.
pub(crate) fn check_header(header: &Header, context: &Context) -> Result<(), Reject> {
    if header.bits != context.bits {
        return Err(Reject::invalid("bad-diffbits"));
    }
    if header.time <= context.median_time {
        return Err(Reject::invalid("time-too-old"));
    }
    if header.time > context.now.saturating_add(MAX_AHEAD) {
        return Err(Reject::invalid("time-too-new"));
    }
    let version = header.version.to_consensus();
    if version < 4 {
        return Err(Reject::Invalid(format!("bad-version(0x{version:08x})")));
    }
    Ok(())
}

/// Core's ContextualCheckBlock.
pub(crate) fn check_in_context(block: &Block, context: &Context) -> Result<(), Reject> {
    if !block.txdata.iter().all(|tx| is_final(tx, context.height, context.median_time)) {
        return Err(Reject::invalid("bad-txns-nonfinal"));
    }
    let script =
        block.txdata.first().and_then(|tx| tx.input.first()).map(|input| input.script_sig.as_bytes());
    if !script.is_some_and(|script| script.starts_with(&height_push(context.height))) {
        return Err(Reject::invalid("bad-cb-height"));
    }
    check_commitment(block)?;
    if block.weight().to_wu() > MAX_WEIGHT {
        return Err(Reject::invalid("bad-blk-weight"));
    }
    Ok(())
}

/// Whether a transaction's lock time allows it into a block (BIP 113). Relative lock times (BIP 68) are not looked at.
pub(crate) fn is_final(tx: &Transaction, height: u32, median_time: u32) -> bool {
    // A lock of n is over in block n + 1: Core compares "less than".
    let height = absolute::Height::from_consensus(height.saturating_sub(1)).unwrap_or(absolute::Height::ZERO);
    let time = absolute::Time::from_consensus(median_time.saturating_sub(1)).unwrap_or(absolute::Time::MIN);
    tx.is_absolute_timelock_satisfied(height, time)
}

/// BIP 34: the script begins with the height as `CScript() << height` writes it.
pub(crate) fn height_push(height: u32) -> Vec<u8> {
    bitcoin::script::Builder::new().push_int(i64::from(height)).into_bytes()
}

fn check_commitment(block: &Block) -> Result<(), Reject> {
    let Some(coinbase) = block.txdata.first() else { return Err(Reject::invalid("bad-cb-missing")) };
    let Some(committed) = commitment(coinbase) else {
        let plain = block.txdata.iter().all(|tx| tx.input.iter().all(|input| input.witness.is_empty()));
        return if plain { Ok(()) } else { Err(Reject::invalid("unexpected-witness")) };
    };
    let nonce: Vec<&[u8]> =
        coinbase.input.first().map(|input| input.witness.iter().collect()).unwrap_or_default();
    let [nonce] = nonce.as_slice() else { return Err(Reject::invalid("bad-witness-nonce-size")) };
    if nonce.len() != 32 {
        return Err(Reject::invalid("bad-witness-nonce-size"));
    }
    let root = block.witness_root().unwrap_or(WitnessMerkleNode::all_zeros());
    if Block::compute_witness_commitment(&root, nonce).to_byte_array() == committed {
        Ok(())
    } else {
        Err(Reject::invalid("bad-witness-merkle-match"))
    }
}

/// The last output that is a witness commitment (BIP 141).
pub(crate) fn commitment(coinbase: &Transaction) -> Option<[u8; 32]> {
    coinbase.output.iter().rev().find_map(|output| {
        output
            .script_pubkey
            .as_bytes()
            .strip_prefix(&[0x6a, 0x24, 0xaa, 0x21, 0xa9, 0xed])?
            .first_chunk()
            .copied()
    })
}
