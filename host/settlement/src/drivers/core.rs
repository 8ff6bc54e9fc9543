//! Bitcoin Core's wallet RPC, and nodes that answer like it. Written from Core's documentation.
//!
//! Coins are chosen here and handed over by name, so that the wallet cannot spend what an open payment spends.

use super::answer::DECIMALS;
use super::answer::{
    address, amount, bytes, confirmations, has_coin, input, int, list, outpoint, text, txid, unable, unfit,
};
use crate::{
    Kind, Lookup, Output, Paid, Rpc, Seen, Signed, Spent, Wallet, WalletBook, WalletError, to_decimal,
};
use millpond_ledger::{InputId, TxId};
use millpond_types::{Amount, UnixMillis};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

/// "Insufficient funds": the chosen coins do not cover outputs and fee.
const WALLET_INSUFFICIENT: [i64; 2] = [-4, -6];
/// "Invalid address or key": the transaction is not known.
const NOT_FOUND: i64 = -5;
/// "Method not found".
const NO_METHOD: i64 = -32601;
/// "Transaction already in chain" (its outputs are).
const ALREADY: i64 = -27;

/// A wallet of Bitcoin Core's kind.
pub struct CoreWallet<R> {
    rpc: R,
    confirmations: u32,
}

struct Coin {
    id: InputId,
    amount: Amount,
}

impl<R: Rpc> CoreWallet<R> {
    /// A wallet that spends coins with at least this many confirmations.
    #[must_use]
    pub fn new(rpc: R, confirmations: u32) -> Self {
        Self { rpc, confirmations: confirmations.max(1) }
    }

    /// Coins that may be spent, largest first. Core leaves out immature coinbases by itself.
    fn coins(&self, reserved: &BTreeSet<InputId>) -> Result<Vec<Coin>, WalletError> {
        let call = "listunspent";
        let answer = self.rpc.call(call, json!([self.confirmations, 9_999_999, [], false]))?;
        let mut coins = Vec::new();
        for coin in list(call, &answer)? {
            let usable = |key: &str| coin.get(key).and_then(Value::as_bool).unwrap_or(true);
            let id = input(&txid(call, text(call, coin, "txid")?)?, int(call, coin, "vout")?);
            if usable("spendable") && usable("safe") && !reserved.contains(&id) {
                coins.push(Coin { id, amount: amount(call, coin, "amount", false)? });
            }
        }
        coins.sort_by(|a, b| (b.amount, &a.id).cmp(&(a.amount, &b.id)));
        Ok(coins)
    }

    /// An unsigned transaction over these coins with change; `None` when they do not cover the fee.
    fn fund(
        &self,
        coins: &[&Coin],
        outputs: &[Output],
        fee_rate: u64,
    ) -> Result<Option<String>, WalletError> {
        let inputs: Vec<Value> = coins
            .iter()
            .filter_map(|coin| outpoint(&coin.id))
            .map(|(txid, vout)| json!({ "txid": txid, "vout": vout }))
            .collect();
        let pays: Map<String, Value> = outputs
            .iter()
            .map(|output| (output.address.clone(), Value::String(to_decimal(output.amount, DECIMALS))))
            .collect();
        let raw = self.rpc.call("createrawtransaction", json!([inputs, pays]))?;
        let mut options = json!({ "add_inputs": false });
        if fee_rate > 0
            && let Some(options) = options.as_object_mut()
        {
            options.insert("feeRate".to_owned(), Value::String(to_decimal(Amount(fee_rate), DECIMALS)));
        }
        match self.rpc.call("fundrawtransaction", json!([raw, options])) {
            Ok(funded) => text("fundrawtransaction", &funded, "hex").map(|hex| Some(hex.to_owned())),
            Err(WalletError::Refused { code, .. }) if WALLET_INSUFFICIENT.contains(&code) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn sign(&self, unsigned: &str, coins: &[&Coin]) -> Result<Signed, WalletError> {
        let call = "signrawtransactionwithwallet";
        let answer = self.rpc.call(call, json!([unsigned]))?;
        if answer.get("complete").and_then(Value::as_bool) != Some(true) {
            return Err(unable(call, "the wallet cannot sign all inputs; is it locked or watching only?"));
        }
        let hex = text(call, &answer, "hex")?;
        let call = "decoderawtransaction";
        let decoded = self.rpc.call(call, json!([hex]))?;
        let mut spends = Vec::new();
        for spent in list(call, decoded.get("vin").unwrap_or(&Value::Null))? {
            let id = input(&txid(call, text(call, spent, "txid")?)?, int(call, spent, "vout")?);
            let coin = coins.iter().find(|coin| coin.id == id);
            let coin = coin.ok_or_else(|| unfit(call, format!("it spends {id}, which was not chosen")))?;
            spends.push(Spent { amount: self.worth(coin)?, coin: id });
        }
        let mut outputs = Vec::new();
        for made in list(call, decoded.get("vout").unwrap_or(&Value::Null))? {
            let value = amount(call, made, "value", false)?;
            outputs.push(Output { address: address(call, made)?.to_owned(), amount: value });
        }
        let name = txid(call, text(call, &decoded, "txid")?)?;
        Ok(Signed { bytes: bytes(call, hex)?, txid: name, spends, outputs })
    }

    /// What a coin is worth by the node's chain. A wallet that shows less would burn the rest as a fee.
    fn worth(&self, coin: &Coin) -> Result<Amount, WalletError> {
        let call = "gettxout";
        let Some((hash, index)) = outpoint(&coin.id) else { return Err(unfit(call, "it names no coin")) };
        let there = self.rpc.call(call, json!([hash, index, false]))?;
        if there.is_null() {
            return Err(unfit(call, format!("the node's chain does not have {}", coin.id)));
        }
        match amount(call, &there, "value", false)? {
            worth if worth == coin.amount => Ok(worth),
            worth => Err(unfit(call, format!("{} is worth {worth}, not {}", coin.id, coin.amount))),
        }
    }
}

impl<R: Rpc> Wallet for CoreWallet<R> {
    fn kind(&self) -> Kind {
        Kind::Builder
    }

    fn spendable(&self, reserved: &BTreeSet<InputId>) -> Result<Amount, WalletError> {
        let coins = self.coins(reserved)?;
        Amount::sum(coins.iter().map(|coin| coin.amount))
            .ok_or_else(|| unfit("listunspent", "the coins do not fit 64 bits"))
    }

    fn cannot_sign(&self) -> Result<Option<String>, WalletError> {
        cannot_sign(&self.rpc)
    }

    fn owns(&self, addresses: &[String]) -> Result<Vec<bool>, WalletError> {
        addresses.iter().map(|address| owns(&self.rpc, address)).collect()
    }

    fn build(
        &self,
        outputs: &[Output],
        fee_rate: u64,
        reserved: &BTreeSet<InputId>,
    ) -> Result<Signed, WalletError> {
        let coins = self.coins(reserved)?;
        let wanted = Amount::sum(outputs.iter().map(|output| output.amount))
            .ok_or_else(|| unable("build", "the outputs do not fit 64 bits"))?;
        let mut chosen = Vec::new();
        let mut sum = Amount::ZERO;
        for coin in &coins {
            sum = sum
                .checked_add(coin.amount)
                .ok_or_else(|| unable("build", "the coins do not fit 64 bits"))?;
            chosen.push(coin);
            if sum > wanted
                && let Some(unsigned) = self.fund(&chosen, outputs, fee_rate)?
            {
                return self.sign(&unsigned, &chosen);
            }
        }
        Err(unable("build", &format!("{sum} is spendable, {wanted} and the network fee are needed")))
    }

    fn broadcast(&self, bytes: &[u8], txid: &TxId) -> Result<(), WalletError> {
        let call = "sendrawtransaction";
        match self.rpc.call(call, json!([hex::encode(bytes)])) {
            Ok(Value::String(name)) if name.eq_ignore_ascii_case(&txid.0) => Ok(()),
            Ok(other) => Err(unfit(call, format!("it names the transaction {other}, not {txid}"))),
            Err(WalletError::Refused { code: ALREADY, .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn lookup(&self, txid: &TxId, _: &[InputId]) -> Result<Lookup, WalletError> {
        let call = "gettransaction";
        let answer = match self.rpc.call(call, json!([txid.0, true])) {
            Ok(answer) => answer,
            Err(WalletError::Refused { code: NOT_FOUND, .. }) => return Ok(Lookup::NotFound),
            Err(error) => return Err(error),
        };
        match int(call, &answer, "confirmations")? {
            count @ 1.. => Ok(Lookup::Confirmed(confirmations(count))),
            0 => match self.rpc.call("getmempoolentry", json!([txid.0])) {
                Ok(_) => Ok(Lookup::Waiting),
                // The wallet remembers it, the node does not any more.
                Err(WalletError::Refused { code: NOT_FOUND, .. }) => Ok(Lookup::NotFound),
                // A node without that method: it waits, as the wallet says.
                Err(WalletError::Refused { code: NO_METHOD, .. }) => Ok(Lookup::Waiting),
                Err(error) => Err(error),
            },
            // Core counts the conflicting transaction's confirmations below zero.
            count => Ok(Lookup::Conflicted(confirmations(count))),
        }
    }

    fn has_coin(&self, coin: &InputId) -> Result<bool, WalletError> {
        has_coin(&self.rpc, coin)
    }

    fn send_many(&self, _: &[Output], _: &str, _: u64) -> Result<TxId, WalletError> {
        Err(unable("sendmany", "this driver builds and broadcasts"))
    }

    fn history(&self, _: UnixMillis) -> Result<Vec<Seen>, WalletError> {
        Err(unable("listtransactions", "this driver follows its transactions by name"))
    }

    fn paid(&self, _: &TxId) -> Result<Paid, WalletError> {
        Err(unable("gettransaction", "what this driver sent is stored before"))
    }

    fn book(&self) -> Result<WalletBook, WalletError> {
        super::history::book(&self.rpc)
    }
}

/// Whether `getwalletinfo` says that nothing can be signed. Core leaves `unlocked_until` out when the wallet has no
/// passphrase, and writes 0 while it is locked.
pub(super) fn cannot_sign<R: Rpc>(rpc: &R) -> Result<Option<String>, WalletError> {
    let answer = match rpc.call("getwalletinfo", json!([])) {
        Err(WalletError::Refused { code: NO_METHOD, .. }) => return Ok(None),
        other => other?,
    };
    let why = if answer.get("private_keys_enabled").and_then(Value::as_bool) == Some(false) {
        Some("it watches only: it has no private keys")
    } else if answer.get("unlocked_until").and_then(Value::as_i64) == Some(0) {
        Some("it is locked: unlock it (walletpassphrase) for as long as the pool runs")
    } else {
        None
    };
    Ok(why.map(str::to_owned))
}

/// Whether the wallet holds an address's key. Wallets without `getaddressinfo` (lcoin; Core before 0.17) are asked for
/// the address's account: of an address that is not theirs they name none. Core's unnamed account has no name either,
/// and `validateaddress` told of ownership there.
pub(super) fn owns<R: Rpc>(rpc: &R, address: &str) -> Result<bool, WalletError> {
    let is_mine = |answer: &Value| answer.get("ismine").and_then(Value::as_bool).unwrap_or(false);
    match rpc.call("getaddressinfo", json!([address])) {
        Ok(answer) => return Ok(is_mine(&answer)),
        Err(WalletError::Refused { code: NO_METHOD, .. }) => {}
        Err(error) => return Err(error),
    }
    if is_mine(&rpc.call("validateaddress", json!([address]))?) {
        return Ok(true);
    }
    let account = rpc.call("getaccount", json!([address]))?;
    Ok(account.as_str().is_some_and(|name| !name.is_empty()))
}
