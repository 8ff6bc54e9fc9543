//! A wallet that only has `sendmany`: one call that chooses coins, signs and sends. After an unknown outcome its history
//! decides, and nothing is sent again by itself. The pool bears the network fee, since outputs go out as they are.

use super::answer::{DECIMALS, amount, confirmations, int, list, text, txid, unable, unfit};
use super::core::owns;
use crate::{Kind, Lookup, Output, Rpc, Seen, Signed, Wallet, WalletError, from_decimal, to_decimal};
use millpond_ledger::{InputId, TxId};
use millpond_types::{Amount, UnixMillis};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

const NOT_FOUND: i64 = -5;
/// "Type error": a parameter has another type than the method takes.
const WRONG_TYPE: i64 = -3;
/// Entries asked for at once.
const PAGE: usize = 1000;
/// Pages read before the history counts as too long to be complete.
const MAX_PAGES: usize = 1000;

/// A wallet with `sendmany`, `listtransactions`, `gettransaction` and `getbalance`.
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

    /// Pages of the history, newest first, back to a time.
    fn pages(&self, since: UnixMillis) -> Result<Vec<Value>, WalletError> {
        let call = "listtransactions";
        let mut all = Vec::new();
        for page in 0..MAX_PAGES {
            let answer = self.rpc.call(call, json!(["*", PAGE, page.saturating_mul(PAGE)]))?;
            let entries = list(call, &answer)?;
            let oldest =
                entries.iter().map(|entry| int(call, entry, "time")).collect::<Result<Vec<_>, _>>()?;
            all.extend(entries.iter().cloned());
            // Times are not strictly in order: one page more than needed.
            let older = oldest.iter().all(|time| seconds(*time) < since.0) && !oldest.is_empty();
            if entries.len() < PAGE || older {
                return Ok(all);
            }
        }
        Err(unfit(call, "the history is too long to be read whole"))
    }
}

/// A decimal as a JSON number. Amounts below 2^53 base units are written with the digits they have; no coin has more.
fn number(decimal: String) -> Value {
    serde_json::from_str(&decimal).unwrap_or(Value::String(decimal))
}

fn seconds(time: i64) -> u64 {
    u64::try_from(time).unwrap_or(0).saturating_mul(1000)
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
            Err(error) => Err(error),
        }
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
        for entry in self.pages(since)? {
            let abandoned = entry.get("abandoned").and_then(Value::as_bool).unwrap_or(false);
            let time = UnixMillis(seconds(int(call, &entry, "time")?));
            if text(call, &entry, "category")? != "send" || abandoned || time < since {
                continue;
            }
            let name = txid(call, text(call, &entry, "txid")?)?;
            let comment = entry.get("comment").and_then(Value::as_str).filter(|comment| !comment.is_empty());
            let seen = by_txid.entry(name.clone()).or_insert_with(|| Seen {
                txid: name,
                marker: comment.map(str::to_owned),
                outputs: Vec::new(),
                fee: Amount::ZERO,
                time,
            });
            if entry.get("fee").is_some() {
                seen.fee = amount(call, &entry, "fee", true)?;
            }
            let address = text(call, &entry, "address")?.to_owned();
            seen.outputs.push(Output { address, amount: amount(call, &entry, "amount", true)? });
        }
        let mut seen: Vec<Seen> = by_txid.into_values().collect();
        seen.sort_by(|a, b| (a.time, &a.txid).cmp(&(b.time, &b.txid)));
        Ok(seen)
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
