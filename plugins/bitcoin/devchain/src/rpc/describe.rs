//! Blocks, scripts and transactions as objects.

use crate::chain::{Chain, Known};
use crate::json::{Coins, Object};
use bitcoin::consensus::encode::serialize_hex;
use bitcoin::{Address, Script, Transaction};

/// The members that `getblock` and `getblockheader` have in common.
pub(crate) fn header(chain: &Chain, known: &Known) -> Object {
    let header = &known.block.header;
    let hash = header.block_hash();
    let next = known.height.checked_add(1).and_then(|height| chain.at(height));
    Object::new()
        .shown("hash", hash)
        .with("confirmations", chain.confirmations(&hash))
        .with("height", known.height)
        .with("version", header.version.to_consensus())
        .with("versionHex", format!("{:08x}", header.version.to_consensus()))
        .shown("merkleroot", header.merkle_root)
        .with("time", header.time)
        .with("mediantime", chain.median_time(&hash))
        .with("nonce", header.nonce)
        .with("bits", format!("{:08x}", header.bits.to_consensus()))
        .with("target", hex::encode(header.target().to_be_bytes()))
        .with("difficulty", header.difficulty_float())
        .with("chainwork", hex::encode(known.work.to_be_bytes()))
        .with("nTx", known.block.txdata.len())
        .with_some("previousblockhash", (known.height > 0).then(|| header.prev_blockhash.to_string()))
        .with_some(
            "nextblockhash",
            next.filter(|_| chain.confirmations(&hash) > 0).map(|hash| hash.to_string()),
        )
}

/// A script as `scriptPubKey` describes it.
pub(crate) fn script(script: &Script) -> Object {
    let kind = if script.is_p2wpkh() {
        "witness_v0_keyhash"
    } else if script.is_p2wsh() {
        "witness_v0_scripthash"
    } else if script.is_p2tr() {
        "witness_v1_taproot"
    } else if script.is_p2pkh() {
        "pubkeyhash"
    } else if script.is_p2sh() {
        "scripthash"
    } else if script.is_op_return() {
        "nulldata"
    } else {
        "nonstandard"
    };
    let address = Address::from_script(script, &bitcoin::params::Params::REGTEST).ok();
    Object::new()
        .with("asm", script.to_asm_string())
        .with("hex", script.to_hex_string())
        .with_some("address", address.map(|address| address.to_string()))
        .with("type", kind)
}

/// A transaction as `decoderawtransaction` describes it.
pub(crate) fn transaction(tx: &Transaction) -> Object {
    let inputs: Vec<Object> = tx
        .input
        .iter()
        .map(|input| {
            let witness: Vec<String> = input.witness.iter().map(hex::encode).collect();
            let object = if tx.is_coinbase() {
                Object::new().with("coinbase", input.script_sig.to_hex_string())
            } else {
                let script = Object::new()
                    .with("asm", input.script_sig.to_asm_string())
                    .with("hex", input.script_sig.to_hex_string());
                Object::new()
                    .shown("txid", input.previous_output.txid)
                    .with("vout", input.previous_output.vout)
                    .with("scriptSig", script)
            };
            object
                .with_some("txinwitness", (!witness.is_empty()).then_some(witness))
                .with("sequence", input.sequence.to_consensus_u32())
        })
        .collect();
    let outputs: Vec<Object> = tx
        .output
        .iter()
        .enumerate()
        .map(|(n, output)| {
            Object::new()
                .with("value", Coins::of(output.value.to_sat()))
                .with("n", n)
                .with("scriptPubKey", script(&output.script_pubkey))
        })
        .collect();
    Object::new()
        .shown("txid", tx.compute_txid())
        .shown("hash", tx.compute_wtxid())
        .with("version", tx.version.0)
        .with("size", tx.total_size())
        .with("vsize", tx.vsize())
        .with("weight", tx.weight().to_wu())
        .with("locktime", tx.lock_time.to_consensus_u32())
        .with("vin", inputs)
        .with("vout", outputs)
        .with("hex", serialize_hex(tx))
}
