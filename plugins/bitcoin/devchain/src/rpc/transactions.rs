//! Raw transactions.

use super::{
    ADDRESS_OR_KEY, Answer, DESERIALIZATION, IN_CHAIN, OutPointParam, PARAMETER, Params, REJECTED, RpcError,
    VERIFY, answer, describe,
};
use crate::json::{Coins, Object};
use crate::keys::Keys;
use crate::node::Node;
use crate::reject::TxReject;
use bitcoin::absolute::LockTime;
use bitcoin::consensus::encode::{deserialize, serialize_hex};
use bitcoin::transaction::Version;
use bitcoin::{Amount, ScriptBuf, Sequence, Transaction, TxIn, TxOut, Txid, Witness};
use serde_json::value::RawValue;
use std::collections::{BTreeMap, HashSet};

/// A transaction of a parameter in hex.
pub(super) fn decode(hex: &str) -> Result<Transaction, RpcError> {
    let failed =
        || RpcError::new(DESERIALIZATION, "TX decode failed. Make sure the tx has at least one input.");
    let bytes = hex::decode(hex).map_err(|_| failed())?;
    // A transaction without inputs is told from one with witnesses by its reader only; fundrawtransaction needs it.
    deserialize(&bytes).or_else(|_| without_inputs(&bytes).ok_or_else(failed))
}

/// Reads version, no inputs, outputs, lock time: what `createrawtransaction [] {...}` writes.
fn without_inputs(bytes: &[u8]) -> Option<Transaction> {
    let version = i32::from_le_bytes(*bytes.first_chunk()?);
    let rest = bytes.get(4..)?.strip_prefix(&[0])?;
    let (output, used) = bitcoin::consensus::encode::deserialize_partial::<Vec<TxOut>>(rest).ok()?;
    let lock: [u8; 4] = rest.get(used..)?.try_into().ok()?;
    let lock_time = LockTime::from_consensus(u32::from_le_bytes(lock));
    Some(Transaction { version: Version(version), lock_time, input: Vec::new(), output })
}

/// Writes a transaction; without inputs there is no witness form to choose.
pub(super) fn encode(tx: &Transaction) -> String {
    if !tx.input.is_empty() {
        return serialize_hex(tx);
    }
    let (version, lock) = (tx.version.0.to_le_bytes(), tx.lock_time.to_consensus_u32().to_le_bytes());
    format!("{}00{}{}", hex::encode(version), serialize_hex(&tx.output), hex::encode(lock))
}

fn refusal(reject: &TxReject) -> RpcError {
    let code = match reject {
        TxReject::MissingInputs => VERIFY,
        TxReject::InChain => IN_CHAIN,
        TxReject::InMempool | TxReject::Invalid(_) => REJECTED,
    };
    RpcError::new(code, reject.to_string())
}

pub(super) fn send_raw_transaction(node: &Node, params: &Params) -> Answer {
    let tx = decode(&params.required::<String>(0, "hexstring")?)?;
    answer(node.with(|state| state.send(tx)).map_err(|reject| refusal(&reject))?.to_string())
}

pub(super) fn test_mempool_accept(node: &Node, params: &Params) -> Answer {
    let texts: Vec<String> = params.required(0, "rawtxs")?;
    let mut results = Vec::new();
    for text in &texts {
        let tx = decode(text)?;
        let object = Object::new().shown("txid", tx.compute_txid()).shown("wtxid", tx.compute_wtxid());
        results.push(match node.with(|state| state.mempool.check(&state.chain, &tx)) {
            Ok(fee) => object
                .with("allowed", true)
                .with("vsize", tx.vsize())
                .with("fees", Object::new().with("base", Coins::of(fee))),
            Err(reject) => object.with("allowed", false).with("reject-reason", reject.to_string()),
        });
    }
    answer(results)
}

pub(super) fn get_raw_transaction(node: &Node, params: &Params) -> Answer {
    let txid: Txid = params.hash(0, "txid")?;
    let verbose = match params.optional::<serde_json::Value>(1)? {
        None => false,
        Some(value) => value.as_bool().unwrap_or_else(|| value.as_i64().unwrap_or(0) > 0),
    };
    node.with(|state| {
        if let Some(waiting) = state.mempool.get(&txid) {
            let waiting = &waiting.tx;
            return if verbose {
                answer(describe::transaction(waiting))
            } else {
                answer(serialize_hex(waiting))
            };
        }
        let (known, tx) = state.chain.transaction(&txid).ok_or_else(|| {
            let message =
                "No such mempool or blockchain transaction. Use gettransaction for wallet transactions.";
            RpcError::new(ADDRESS_OR_KEY, message)
        })?;
        if !verbose {
            return answer(serialize_hex(tx));
        }
        let hash = known.block.block_hash();
        answer(
            describe::transaction(tx)
                .shown("blockhash", hash)
                .with("confirmations", state.chain.confirmations(&hash))
                .with("time", known.block.header.time)
                .with("blocktime", known.block.header.time),
        )
    })
}

pub(super) fn decode_raw_transaction(params: &Params) -> Answer {
    answer(describe::transaction(&decode(&params.required::<String>(0, "hexstring")?)?))
}

/// Outputs as callers name them: an object, or an array of objects, of addresses and amounts; `data` is an OP_RETURN.
fn read_outputs(raw: &RawValue) -> Result<Vec<TxOut>, RpcError> {
    let failed = |error: serde_json::Error| RpcError::new(super::TYPE, format!("outputs: {error}"));
    let objects: Vec<BTreeMap<String, Box<RawValue>>> = if raw.get().starts_with('[') {
        serde_json::from_str(raw.get()).map_err(failed)?
    } else {
        vec![serde_json::from_str(raw.get()).map_err(failed)?]
    };
    let mut seen = HashSet::new();
    let mut outputs = Vec::new();
    for (name, value) in objects.into_iter().flatten() {
        if name == "data" {
            let text: String = serde_json::from_str(value.get()).map_err(failed)?;
            let data =
                hex::decode(text).map_err(|_| RpcError::new(PARAMETER, "Data must be hexadecimal string"))?;
            let data = bitcoin::script::PushBytesBuf::try_from(data)
                .map_err(|_| RpcError::new(PARAMETER, "Data is too long"))?;
            outputs.push(TxOut { value: Amount::ZERO, script_pubkey: ScriptBuf::new_op_return(data) });
            continue;
        }
        let output = output(&name, value.get())?;
        if !seen.insert(output.script_pubkey.clone()) {
            let message = format!("Invalid parameter, duplicated address: {name}");
            return Err(RpcError::new(PARAMETER, message));
        }
        outputs.push(output);
    }
    Ok(outputs)
}

/// One output of an address and an amount in coins.
pub(super) fn output(address: &str, amount: &str) -> Result<TxOut, RpcError> {
    let script = Keys::script(address)
        .ok_or_else(|| RpcError::new(ADDRESS_OR_KEY, format!("Invalid Bitcoin address: {address}")))?;
    let Coins(satoshi) =
        serde_json::from_str(amount).map_err(|_| RpcError::new(super::TYPE, "Invalid amount"))?;
    let satoshi = u64::try_from(satoshi).map_err(|_| RpcError::new(super::TYPE, "Amount out of range"))?;
    if satoshi > crate::coins::MAX_MONEY {
        return Err(RpcError::new(super::TYPE, "Amount out of range"));
    }
    Ok(TxOut { value: Amount::from_sat(satoshi), script_pubkey: script })
}

pub(super) fn create_raw_transaction(params: &Params) -> Answer {
    let inputs: Vec<OutPointParam> = params.required(0, "inputs")?;
    let outputs: Box<RawValue> = params.required(1, "outputs")?;
    let lock_time = params.optional::<u32>(2)?.unwrap_or(0);
    let replaceable = params.optional::<bool>(3)?.unwrap_or(true);
    let sequence = if replaceable {
        Sequence::ENABLE_RBF_NO_LOCKTIME
    } else if lock_time > 0 {
        Sequence::ENABLE_LOCKTIME_NO_RBF
    } else {
        Sequence::MAX
    };
    let mut input = Vec::new();
    for param in &inputs {
        input.push(TxIn {
            previous_output: param.read()?,
            script_sig: ScriptBuf::new(),
            sequence: param.sequence.map_or(sequence, Sequence::from_consensus),
            witness: Witness::new(),
        });
    }
    let output = read_outputs(&outputs)?;
    let tx =
        Transaction { version: Version::TWO, lock_time: LockTime::from_consensus(lock_time), input, output };
    answer(encode(&tx))
}
