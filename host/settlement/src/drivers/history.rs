//! The history of wallets that answer as Core's does: `listtransactions`, and `getbalances` beside it.

use super::answer::{amount, int, list, text, txid, unfit};
use crate::{Move, Rpc, Stands, WalletBook, WalletError};
use millpond_ledger::TxId;
use millpond_types::{Amount, UnixMillis};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Entries asked for at once.
const PAGE: usize = 1000;
/// Pages read before the history counts as too long to be complete.
const MAX_PAGES: usize = 1000;
/// Times that a wallet is read which changes meanwhile.
const TRIES: usize = 4;

/// Pages of the history back to a time. Core gives the newest page first, lcoin the oldest: reading ends with a page
/// that is older than that time only where pages go back in time, one page more than needed, since times are not
/// strictly in order.
pub(super) fn pages<R: Rpc>(rpc: &R, since: UnixMillis) -> Result<Vec<Value>, WalletError> {
    let call = "listtransactions";
    let mut all = Vec::new();
    let mut before = None;
    for page in 0..MAX_PAGES {
        let answer = rpc.call(call, json!(["*", PAGE, page.saturating_mul(PAGE)]))?;
        let entries = list(call, &answer)?;
        let times = entries.iter().map(|entry| int(call, entry, "time")).collect::<Result<Vec<_>, _>>()?;
        all.extend(entries.iter().cloned());
        let newest = times.into_iter().max();
        let goes_back = before.zip(newest).is_some_and(|(before, newest)| newest < before);
        let older = newest.is_some_and(|time| seconds(time) < since.0);
        if entries.len() < PAGE || (older && goes_back) {
            return Ok(all);
        }
        before = newest;
    }
    Err(unfit(call, "the history is too long to be read whole"))
}

pub(super) fn seconds(time: i64) -> u64 {
    u64::try_from(time).unwrap_or(0).saturating_mul(1000)
}

/// What a wallet holds and all that it did, of one moment: the balance is the same before and after the history is read.
pub(super) fn book<R: Rpc>(rpc: &R) -> Result<WalletBook, WalletError> {
    let mut holds = balance(rpc)?;
    for _ in 0..TRIES {
        let entries = pages(rpc, UnixMillis(0))?;
        let after = balance(rpc)?;
        if after == holds {
            return Ok(WalletBook { holds, moves: moves(&entries)? });
        }
        holds = after;
    }
    Err(unfit("listtransactions", "the wallet goes on changing while it is read; ask again"))
}

/// All coins of a wallet, whether they may be spent or not.
fn balance<R: Rpc>(rpc: &R) -> Result<Amount, WalletError> {
    let call = "getbalances";
    let answer = rpc.call(call, json!([]))?;
    let mine = answer.get("mine").unwrap_or(&Value::Null);
    let parts = ["trusted", "untrusted_pending", "immature"].map(|part| amount(call, mine, part, false));
    let parts = parts.into_iter().collect::<Result<Vec<_>, _>>()?;
    Amount::sum(parts).ok_or_else(|| unfit(call, "the coins do not fit 64 bits"))
}

/// The entries of each transaction together. Outputs back to the wallet that are change have no entry, and none is needed:
/// what was sent, what came in, and the network fee are what the wallet's coins changed by.
fn moves(entries: &[Value]) -> Result<Vec<Move>, WalletError> {
    let call = "listtransactions";
    let mut by_txid = BTreeMap::<TxId, (Move, bool)>::new();
    for entry in entries {
        let name = txid(call, text(call, entry, "txid")?)?;
        let flag = |key: &str| entry.get(key).and_then(Value::as_bool).unwrap_or(false);
        let word = |key: &str| entry.get(key).and_then(Value::as_str).filter(|word| !word.is_empty());
        let category = text(call, entry, "category")?;
        let stands = match int(call, entry, "confirmations")? {
            _ if flag("abandoned") || category == "orphan" => Stands::Never,
            1.. => Stands::Confirmed,
            0 => Stands::Waits,
            _ => Stands::Never,
        };
        let coinbase = flag("generated") || matches!(category, "generate" | "immature" | "orphan");
        let (one, fee_known) = by_txid.entry(name.clone()).or_insert_with(|| {
            let (block, marker) = (word("blockhash").map(str::to_owned), word("comment").map(str::to_owned));
            (Move { txid: name, net: 0, stands, block, coinbase, marker }, false)
        });
        let value = i128::from(amount(call, entry, "amount", category == "send")?.0);
        if category != "send" {
            one.net = one.net.saturating_add(value);
            continue;
        }
        one.net = one.net.saturating_sub(value);
        // Each entry says the fee of the whole transaction.
        if !*fee_known {
            if entry.get("fee").is_none() {
                return Err(unfit(call, "the wallet does not show the network fees of what it sent"));
            }
            one.net = one.net.saturating_sub(i128::from(amount(call, entry, "fee", true)?.0));
            *fee_known = true;
        }
    }
    Ok(by_txid.into_values().map(|(one, _)| one).collect())
}
