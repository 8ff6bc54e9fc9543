//! Reading a wallet's answers without trusting their shape.

use crate::{Rpc, WalletError, from_decimal};
use millpond_ledger::{InputId, TxId};
use millpond_types::Amount;
use serde_json::{Value, json};

/// Decimals of an amount in the JSON-RPC of Bitcoin's family.
pub(super) const DECIMALS: u8 = 8;

pub(super) fn unfit(call: &str, why: impl Into<String>) -> WalletError {
    WalletError::Answer { call: call.to_owned(), why: why.into() }
}

pub(super) fn unable(call: &str, why: &str) -> WalletError {
    WalletError::Refused { call: call.to_owned(), why: why.to_owned(), code: 0 }
}

pub(super) fn list<'a>(call: &str, value: &'a Value) -> Result<&'a [Value], WalletError> {
    value.as_array().map(Vec::as_slice).ok_or_else(|| unfit(call, "it is not a list"))
}

pub(super) fn text<'a>(call: &str, value: &'a Value, key: &str) -> Result<&'a str, WalletError> {
    value.get(key).and_then(Value::as_str).ok_or_else(|| unfit(call, format!("{key} is missing or no text")))
}

pub(super) fn int(call: &str, value: &Value, key: &str) -> Result<i64, WalletError> {
    value
        .get(key)
        .and_then(Value::as_i64)
        .ok_or_else(|| unfit(call, format!("{key} is missing or no number")))
}

/// A decimal amount, as a JSON number or text; the sign is dropped where `signed` (wallets show payments as negative).
pub(super) fn amount(call: &str, value: &Value, key: &str, signed: bool) -> Result<Amount, WalletError> {
    let shown = match value.get(key) {
        Some(Value::Number(number)) => number.to_string(),
        Some(Value::String(text)) => text.clone(),
        _ => return Err(unfit(call, format!("{key} is missing or no amount"))),
    };
    let digits = if signed { shown.strip_prefix('-').unwrap_or(&shown) } else { &shown };
    from_decimal(digits, DECIMALS).map_err(|error| unfit(call, format!("{key}: {error}")))
}

/// An amount as bcoin's REST writes it: in ledger units as a whole number, or, in its older versions and lcoin, in coins
/// as text.
pub(super) fn units(call: &str, value: &Value, key: &str) -> Result<Amount, WalletError> {
    match value.get(key) {
        Some(Value::String(_)) => amount(call, value, key, false),
        Some(number) => number.as_u64().map(Amount).ok_or(()).map_err(|()| unfit_units(call, key)),
        None => Err(unfit_units(call, key)),
    }
}

fn unfit_units(call: &str, key: &str) -> WalletError {
    unfit(call, format!("{key} is missing or no amount"))
}

/// A transaction's name: 64 hex digits.
pub(super) fn txid(call: &str, text: &str) -> Result<TxId, WalletError> {
    if text.len() == 64 && text.bytes().all(|c| c.is_ascii_hexdigit()) {
        Ok(TxId(text.to_ascii_lowercase()))
    } else {
        Err(unfit(call, "the transaction's name is not 64 hex digits"))
    }
}

pub(super) fn input(txid: &TxId, index: i64) -> InputId {
    InputId(format!("{txid}:{index}"))
}

/// (txid, index) of a coin that `input` named.
pub(super) fn outpoint(input: &InputId) -> Option<(&str, u32)> {
    let (txid, index) = input.0.split_once(':')?;
    Some((txid, index.parse().ok()?))
}

/// Whether a node's chain has a coin unspent. A node that refuses the question cannot tell.
pub(super) fn has_coin(node: &impl Rpc, coin: &InputId) -> Result<bool, WalletError> {
    let Some((hash, index)) = outpoint(coin) else { return Ok(false) };
    match node.call("gettxout", json!([hash, index, false])) {
        Ok(answer) => Ok(!answer.is_null()),
        Err(WalletError::Refused { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

pub(super) fn bytes(call: &str, hex: &str) -> Result<Vec<u8>, WalletError> {
    hex::decode(hex).map_err(|_| unfit(call, "the transaction is not hex"))
}

/// The address of an output in a decoded transaction; older nodes list several.
pub(super) fn address<'a>(call: &str, output: &'a Value) -> Result<&'a str, WalletError> {
    let script = output.get("scriptPubKey");
    let one = script.and_then(|script| script.get("address")).and_then(Value::as_str);
    let listed = || script?.get("addresses")?.as_array()?.first()?.as_str();
    one.or_else(listed).ok_or_else(|| unfit(call, "an output has no address"))
}

pub(super) fn confirmations(count: i64) -> u32 {
    u32::try_from(count.unsigned_abs()).unwrap_or(u32::MAX)
}
