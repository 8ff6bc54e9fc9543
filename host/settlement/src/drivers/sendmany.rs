//! A wallet that only has `sendmany`: one call that chooses coins, signs and sends. After an unknown outcome its history
//! decides, and nothing is sent again by itself. The pool bears the network fee, since outputs go out as they are.
//!
//! lcoin 1.0.0-beta.15 refuses `gettransaction` for everything that it sent ("Non-satoshi value for conversion": it writes
//! a fee that it never computed), and its history has one entry for all outputs of a transaction, without a fee, oldest
//! first. Such a wallet shows itself by its answers; its node's `getrawtransaction` then tells what was paid.

use super::answer::{
    DECIMALS, address, amount, confirmations, has_coin, int, list, text, txid, unable, unfit,
};
use super::core::owns;
use super::history::{book, pages, seconds};
use crate::{
    Kind, Lookup, Output, Paid, Rpc, Seen, Signed, Wallet, WalletBook, WalletError, from_decimal, to_decimal,
};
use millpond_ledger::{InputId, TxId};
use millpond_types::{Amount, UnixMillis};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

const NOT_FOUND: i64 = -5;
/// "Type error": a parameter has another type than the method takes.
const WRONG_TYPE: i64 = -3;
/// An entry of the history about something that was sent.
struct Sent {
    txid: TxId,
    /// What the call said of it.
    comment: Option<String>,
    time: UnixMillis,
    entry: Value,
}

/// A wallet with `sendmany`, `listtransactions`, `gettransaction` and `getbalance`. Where its `gettransaction` and history
/// are of no use, `getrawtransaction` must answer at the same address.
pub struct SendManyWallet<R> {
    rpc: R,
    confirmations: u32,
}

impl<R: Rpc> SendManyWallet<R> {
    /// A wallet that spends coins with at least this many confirmations.
    #[must_use]
    pub fn new(rpc: R, confirmations: u32) -> Self {
        Self { rpc, confirmations: confirmations.max(1) }
    }

    /// What the history says that the wallet sent since a time, and did not give up.
    fn sent(&self, since: UnixMillis) -> Result<Vec<Sent>, WalletError> {
        let call = "listtransactions";
        let mut sent = Vec::new();
        for entry in pages(&self.rpc, since)? {
            let abandoned = entry.get("abandoned").and_then(Value::as_bool).unwrap_or(false);
            let time = UnixMillis(seconds(int(call, &entry, "time")?));
            if text(call, &entry, "category")? != "send" || abandoned || time < since {
                continue;
            }
            let txid = txid(call, text(call, &entry, "txid")?)?;
            let comment = entry.get("comment").and_then(Value::as_str).filter(|comment| !comment.is_empty());
            sent.push(Sent { txid, comment: comment.map(str::to_owned), time, entry });
        }
        Ok(sent)
    }

    /// A transaction as the node has it, with its inputs and outputs; the wallet is not asked.
    fn decoded(&self, txid: &str) -> Result<Value, WalletError> {
        self.rpc.call("getrawtransaction", json!([txid, 1]))
    }

    /// What a decoded transaction pays to others than the wallet.
    fn to_others(&self, decoded: &Value) -> Result<Vec<Output>, WalletError> {
        let call = "getrawtransaction";
        let mut made = Vec::new();
        for output in list(call, decoded.get("vout").unwrap_or(&Value::Null))? {
            let to = address(call, output)?;
            if !owns(&self.rpc, to)? {
                made.push(Output { address: to.to_owned(), amount: amount(call, output, "value", false)? });
            }
        }
        Ok(made)
    }

    /// The network fee of a decoded transaction: what it spends less what it pays.
    fn fee_of(&self, decoded: &Value) -> Result<Amount, WalletError> {
        let call = "getrawtransaction";
        let fit = |sum: Option<Amount>| sum.ok_or_else(|| unfit(call, "its amounts do not add up"));
        let mut fee = Amount::ZERO;
        for spent in list(call, decoded.get("vin").unwrap_or(&Value::Null))? {
            let index = int(call, spent, "vout")?;
            let from = self.decoded(text(call, spent, "txid")?)?;
            let outputs = list(call, from.get("vout").unwrap_or(&Value::Null))?;
            let coin = usize::try_from(index).ok().and_then(|index| outputs.get(index));
            let coin = coin.ok_or_else(|| unfit(call, "it spends an output that does not exist"))?;
            fee = fit(fee.checked_add(amount(call, coin, "value", false)?))?;
        }
        for output in list(call, decoded.get("vout").unwrap_or(&Value::Null))? {
            fee = fit(fee.checked_sub(amount(call, output, "value", false)?))?;
        }
        Ok(fee)
    }

    /// Where a transaction stands that `gettransaction` cannot show: by the node, else by the wallet's history.
    fn listed(&self, name: &TxId) -> Result<Lookup, WalletError> {
        let standing = |count: i64| match count {
            1.. => Lookup::Confirmed(confirmations(count)),
            0 => Lookup::Waiting,
            _ => Lookup::Conflicted(confirmations(count)),
        };
        match self.decoded(&name.0) {
            // A node leaves the number out while there is none.
            Ok(decoded) => {
                let count = decoded.get("confirmations").and_then(Value::as_i64).unwrap_or(0);
                return Ok(standing(count.max(0)));
            }
            Err(WalletError::Refused { .. }) => {}
            Err(error) => return Err(error),
        }
        let call = "listtransactions";
        for entry in pages(&self.rpc, UnixMillis(0))? {
            if txid(call, text(call, &entry, "txid")?)? == *name {
                return Ok(standing(int(call, &entry, "confirmations")?));
            }
        }
        Ok(Lookup::NotFound)
    }
}

/// A decimal as a JSON number. Amounts below 2^53 base units are written with the digits they have; no coin has more.
fn number(decimal: String) -> Value {
    serde_json::from_str(&decimal).unwrap_or(Value::String(decimal))
}

/// What a payment waits for whose network fee neither wallet nor node can tell.
fn without_index(error: WalletError, wallet: &str) -> WalletError {
    match error {
        WalletError::Refused { call, why, .. } => unfit(
            &call,
            format!(
                "the wallet does not show what it sent ({wallet}), nor does the node ({why}): run the node with its \
                 index of transactions"
            ),
        ),
        error => error,
    }
}

impl<R: Rpc> Wallet for SendManyWallet<R> {
    fn kind(&self) -> Kind {
        Kind::Sender
    }

    fn spendable(&self, _: &BTreeSet<InputId>) -> Result<Amount, WalletError> {
        let call = "getbalance";
        let answer = self.rpc.call(call, json!(["*", self.confirmations]))?;
        let shown = match &answer {
            Value::Number(number) => number.to_string(),
            Value::String(text) => text.clone(),
            _ => return Err(unfit(call, "it is no amount")),
        };
        from_decimal(&shown, DECIMALS).map_err(|error| unfit(call, error.to_string()))
    }

    fn cannot_sign(&self) -> Result<Option<String>, WalletError> {
        super::core::cannot_sign(&self.rpc)
    }

    fn owns(&self, addresses: &[String]) -> Result<Vec<bool>, WalletError> {
        addresses.iter().map(|address| owns(&self.rpc, address)).collect()
    }

    fn build(&self, _: &[Output], _: u64, _: &BTreeSet<InputId>) -> Result<Signed, WalletError> {
        Err(unable("build", "this wallet can only send"))
    }

    fn broadcast(&self, _: &[u8], _: &TxId) -> Result<(), WalletError> {
        Err(unable("broadcast", "this wallet can only send"))
    }

    fn lookup(&self, txid: &TxId, _: &[InputId]) -> Result<Lookup, WalletError> {
        let call = "gettransaction";
        match self.rpc.call(call, json!([txid.0])) {
            Ok(answer) => Ok(match int(call, &answer, "confirmations")? {
                count @ 1.. => Lookup::Confirmed(confirmations(count)),
                0 => Lookup::Waiting,
                count => Lookup::Conflicted(confirmations(count)),
            }),
            Err(WalletError::Refused { code: NOT_FOUND, .. }) => Ok(Lookup::NotFound),
            Err(WalletError::Refused { .. }) => self.listed(txid),
            Err(error) => Err(error),
        }
    }

    fn has_coin(&self, coin: &InputId) -> Result<bool, WalletError> {
        has_coin(&self.rpc, coin)
    }

    fn send_many(&self, outputs: &[Output], marker: &str, _: u64) -> Result<TxId, WalletError> {
        let call = "sendmany";
        let send = |as_value: fn(String) -> Value| {
            let pays: Map<String, Value> = outputs
                .iter()
                .map(|output| (output.address.clone(), as_value(to_decimal(output.amount, DECIMALS))))
                .collect();
            self.rpc.call(call, json!(["", pays, self.confirmations, marker]))
        };
        let answer = match send(Value::String) {
            // A wallet that takes numbers only looked at the form and did nothing.
            Err(WalletError::Refused { code: WRONG_TYPE, .. }) => send(number)?,
            answer => answer?,
        };
        match answer {
            Value::String(name) => txid(call, &name),
            other => Err(unfit(call, format!("it is {other}, not a transaction's name"))),
        }
    }

    fn history(&self, since: UnixMillis) -> Result<Vec<Seen>, WalletError> {
        let call = "listtransactions";
        let mut by_txid = BTreeMap::<TxId, Seen>::new();
        for Sent { txid: name, comment, time, entry } in self.sent(since)? {
            let known = by_txid.contains_key(&name);
            let seen = by_txid.entry(name.clone()).or_insert_with(|| Seen {
                txid: name.clone(),
                marker: comment,
                outputs: Vec::new(),
                time,
            });
            if entry.get("fee").is_some() {
                let address = text(call, &entry, "address")?.to_owned();
                seen.outputs.push(Output { address, amount: amount(call, &entry, "amount", true)? });
            } else if !known {
                // A wallet that writes one entry for all outputs, with their sum.
                let decoded = self.decoded(&name.0);
                let decoded = decoded.map_err(|error| without_index(error, "its history has sums only"))?;
                seen.outputs = self.to_others(&decoded)?;
            }
        }
        let mut seen: Vec<Seen> = by_txid.into_values().collect();
        seen.sort_by(|a, b| (a.time, &a.txid).cmp(&(b.time, &b.txid)));
        Ok(seen)
    }

    /// Outputs are not asked for, which some of these wallets can only have from the node, one by one.
    fn marked(&self, since: UnixMillis) -> Result<Vec<(TxId, String)>, WalletError> {
        let sent = self.sent(since)?.into_iter();
        let marked: BTreeSet<_> = sent.filter_map(|sent| Some((sent.txid, sent.comment?))).collect();
        Ok(marked.into_iter().collect())
    }

    fn paid(&self, name: &TxId) -> Result<Paid, WalletError> {
        let call = "gettransaction";
        let answer = match self.rpc.call(call, json!([name.0])) {
            Ok(answer) => answer,
            Err(error @ WalletError::Refused { code: NOT_FOUND, .. }) => return Err(error),
            Err(WalletError::Refused { why, .. }) => {
                let decoded = self.decoded(&name.0).map_err(|error| without_index(error, &why))?;
                let fee = self.fee_of(&decoded).map_err(|error| without_index(error, &why))?;
                return Ok(Paid { outputs: self.to_others(&decoded)?, fee });
            }
            Err(error) => return Err(error),
        };
        let mut outputs = Vec::new();
        for entry in list(call, answer.get("details").unwrap_or(&Value::Null))? {
            if text(call, entry, "category")? == "send" {
                let address = text(call, entry, "address")?.to_owned();
                outputs.push(Output { address, amount: amount(call, entry, "amount", true)? });
            }
        }
        Ok(Paid { outputs, fee: amount(call, &answer, "fee", true)? })
    }

    fn book(&self) -> Result<WalletBook, WalletError> {
        book(&self.rpc)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn an_amount_as_a_number_is_the_same_to_the_unit(units in 0_u64..2_100_000_000_000_000) {
            let shown = number(to_decimal(Amount(units), DECIMALS));
            // As JavaScript reads it: the nearest double, which is then counted in base units.
            let read = shown.as_f64().unwrap();
            prop_assert_eq!((read * 1e8).round() as u64, units);
        }
    }
}
