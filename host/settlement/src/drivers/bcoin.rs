//! bcoin's wallet: REST `create` builds and signs without sending, the node's RPC sends. Behaviour as seen with bcoin
//! 1.0.2: two calls of `create` choose the same coin, so coins of open payments are locked before; listings include
//! immature coinbases, so confirmations are counted here.
//!
//! lcoin 1.0.0-beta.15 descends from an older bcoin: its answers have amounts in coins as text, and `create` gives a
//! transaction's parts without its bytes, which are then put together here and held against its name. Which of the two
//! it is shows in the answer.

use super::answer::{
    amount, bytes, confirmations, has_coin, input, int, list, outpoint, text, txid, unable, unfit, units,
};
use crate::{Kind, Lookup, Output, Paid, Rest, Rpc, Seen, Signed, Spent, Wallet, WalletError};
use millpond_codec_bitcoin::{OutPoint, SignedInput, assemble};
use millpond_ledger::{InputId, TxId};
use millpond_types::{Amount, UnixMillis};
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// How often `create` may choose a coin that must not be spent before the driver gives up.
const MAX_TRIES: usize = 50;
/// Conflicts whose depth is kept at a time: far more than payments are open.
const MOST_CONFLICTS: usize = 64;

/// A bcoin node and its wallet server.
pub struct BcoinWallet<N, W, R> {
    node: N,
    wallet: W,
    rest: R,
    name: String,
    confirmations: u32,
    coinbase_maturity: u32,
    /// Where the chain stood when a coin of a transaction was first seen gone by another one.
    conflicts: Mutex<BTreeMap<TxId, Tip>>,
}

/// The end of the node's chain.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Tip {
    height: u64,
    hash: Vec<u8>,
}

struct Coin {
    amount: Amount,
    usable: bool,
}

impl<N: Rpc, W: Rpc, R: Rest> BcoinWallet<N, W, R> {
    /// `node`: the node's RPC; `wallet` and `rest`: RPC and REST of the wallet server; `name`: the wallet ("primary").
    /// Coins need `confirmations`, coinbases `coinbase_maturity` of them (100 on Bitcoin's networks).
    #[must_use]
    pub fn new(node: N, wallet: W, rest: R, name: &str, confirmations: u32, coinbase_maturity: u32) -> Self {
        let confirmations = confirmations.max(1);
        let (name, conflicts) = (name.to_owned(), Mutex::default());
        Self { node, wallet, rest, name, confirmations, coinbase_maturity, conflicts }
    }

    fn path(&self, rest: &str) -> String {
        format!("/wallet/{}/{rest}", self.name)
    }

    fn get(&self, rest: &str) -> Result<Value, WalletError> {
        let call = self.path(rest);
        match self.rest.get(&call)? {
            (200, body) => Ok(body),
            (status, body) => Err(refused(&call, status, &body)),
        }
    }

    /// All coins that the wallet knows, by name.
    fn coins(&self) -> Result<BTreeMap<InputId, Coin>, WalletError> {
        let call = "getblockcount";
        let tip = self.node.call(call, json!([]))?;
        let tip = tip.as_i64().ok_or_else(|| unfit(call, "it is no number"))?;
        let answer = self.get("coin")?;
        let call = "coin";
        let mut coins = BTreeMap::new();
        for coin in list(call, &answer)? {
            let height = int(call, coin, "height")?;
            let depth = if height < 0 { 0 } else { tip.saturating_sub(height).saturating_add(1) };
            let coinbase = coin.get("coinbase").and_then(Value::as_bool).unwrap_or(true);
            let needed =
                if coinbase { self.coinbase_maturity.max(self.confirmations) } else { self.confirmations };
            let id = input(&txid(call, text(call, coin, "hash")?)?, int(call, coin, "index")?);
            let usable = depth >= i64::from(needed);
            coins.insert(id, Coin { amount: units(call, coin, "value")?, usable });
        }
        Ok(coins)
    }

    /// How deep a transaction is in the node's chain: 0 while it waits, none when nobody knows it. A node without an index
    /// of transactions knows only what waits; then the wallet says in which block it is, and the node whether that block
    /// is in its chain.
    fn depth_of(&self, txid: &str) -> Result<Option<u32>, WalletError> {
        match self.node.call("getrawtransaction", json!([txid, 1])) {
            Ok(answer) => {
                let count = answer.get("confirmations").and_then(Value::as_i64).unwrap_or(0);
                return Ok(Some(confirmations(count.max(0))));
            }
            Err(WalletError::Refused { .. }) => {}
            Err(error) => return Err(error),
        }
        let call = self.path(&format!("tx/{txid}"));
        let known = match self.rest.get(&call)? {
            (200, body) => body,
            (404, _) => return Ok(None),
            (status, body) => return Err(refused(&call, status, &body)),
        };
        let block = known.get("block").and_then(Value::as_str);
        let height = known.get("height").and_then(Value::as_u64);
        let Some((block, height)) = block.zip(height) else { return Ok(None) };
        let depth = crate::depth(&self.node, &bytes(&call, block)?, height)?;
        Ok((depth > 0).then_some(depth))
    }

    fn tip(&self) -> Result<Tip, WalletError> {
        let call = "getblockcount";
        let height =
            self.node.call(call, json!([]))?.as_u64().ok_or_else(|| unfit(call, "it is no height"))?;
        let call = "getblockhash";
        let hash = self.node.call(call, json!([height]))?;
        Ok(Tip { height, hash: bytes(call, hash.as_str().ok_or_else(|| unfit(call, "it is no hash"))?)? })
    }

    /// Whether a block spends a coin that the node's chain had. A node that lost its chain has no coins at all: only one
    /// that knows where the coin came from is proof.
    fn gone(&self, hash: &str, index: u32) -> Result<bool, WalletError> {
        let spent = self.node.call("gettxout", json!([hash, index, false]))?.is_null();
        Ok(spent && self.depth_of(hash)?.is_some_and(|depth| depth > 0))
    }

    /// How many confirmations the spender of a coin has at least. The node does not say which transaction it is; but once
    /// the coin is gone under a block, its spender is in that block or below it, for as long as the block is in the chain.
    fn depth_of_conflict(&self, txid: &TxId, (hash, index): (&str, u32)) -> Result<u32, WalletError> {
        let known = self.conflicts.lock().get(txid).cloned();
        if let Some(at) = known {
            let depth = crate::depth(&self.node, &at.hash, at.height)?;
            if depth > 0 {
                return Ok(depth);
            }
        }
        let tip = self.tip()?;
        // A block that came meanwhile may be the one that spends it, and is not the one that is written down.
        let sure = self.gone(hash, index)? && self.tip()? == tip;
        let mut conflicts = self.conflicts.lock();
        conflicts.remove(txid);
        if sure {
            if conflicts.len() >= MOST_CONFLICTS {
                conflicts.pop_first();
            }
            conflicts.insert(txid.clone(), tip);
        }
        Ok(1)
    }

    /// What a coin is worth by the node; none when it does not have it, or something that waits spends it. The wallet
    /// hears of both a little later.
    fn unspent(&self, coin: &InputId) -> Result<Option<Amount>, WalletError> {
        let call = "gettxout";
        let Some((hash, index)) = outpoint(coin) else { return Ok(None) };
        match self.node.call(call, json!([hash, index, true]))? {
            Value::Null => Ok(None),
            there => amount(call, &there, "value", false).map(Some),
        }
    }

    /// Locks coins in the wallet, or lets them go.
    fn lock<'a>(&self, free: bool, coins: impl Iterator<Item = &'a InputId>) -> Result<(), WalletError> {
        let outpoints: Vec<Value> =
            coins.filter_map(outpoint).map(|(txid, vout)| json!({ "txid": txid, "vout": vout })).collect();
        if !outpoints.is_empty() {
            self.wallet.call("lockunspent", json!([free, outpoints]))?;
        }
        Ok(())
    }

    fn create(&self, outputs: &[Output], fee_rate: u64) -> Result<Signed, WalletError> {
        let call = self.path("create");
        let pays: Vec<Value> = outputs
            .iter()
            .map(|output| json!({ "address": output.address, "value": output.amount.0 }))
            .collect();
        let mut body = json!({ "outputs": pays });
        if fee_rate > 0
            && let Some(body) = body.as_object_mut()
        {
            body.insert("rate".to_owned(), json!(fee_rate));
        }
        let answer = match self.rest.post(&call, &body)? {
            (200, answer) => answer,
            (status, answer) => return Err(refused(&call, status, &answer)),
        };
        let mut spends = Vec::new();
        for spent in list(&call, answer.get("inputs").unwrap_or(&Value::Null))? {
            let prevout = spent.get("prevout").unwrap_or(&Value::Null);
            let coin = input(&txid(&call, text(&call, prevout, "hash")?)?, int(&call, prevout, "index")?);
            // What it is worth is the node's word, not the wallet's.
            spends.push(Spent { coin, amount: Amount::ZERO });
        }
        let mut made = Vec::new();
        for output in list(&call, answer.get("outputs").unwrap_or(&Value::Null))? {
            let address = text(&call, output, "address")?.to_owned();
            made.push(Output { address, amount: units(&call, output, "value")? });
        }
        let name = txid(&call, text(&call, &answer, "hash")?)?;
        let bytes = match answer.get("hex").and_then(Value::as_str) {
            Some(hex) => bytes(&call, hex)?,
            None => put_together(&call, &answer, &name)?,
        };
        Ok(Signed { bytes, txid: name, spends, outputs: made })
    }

    /// Creates until only coins that may be spent are chosen; locks in the way what may not.
    fn create_of(
        &self,
        outputs: &[Output],
        fee_rate: u64,
        usable: &BTreeMap<InputId, Coin>,
        locked: &mut BTreeSet<InputId>,
    ) -> Result<Signed, WalletError> {
        for _ in 0..MAX_TRIES {
            let mut signed = self.create(outputs, fee_rate)?;
            let mut unfit = Vec::new();
            for spent in &mut signed.spends {
                let id = &spent.coin;
                let fits = usable.get(id).is_some_and(|coin| coin.usable) && !locked.contains(id);
                match if fits { self.unspent(id)? } else { None } {
                    Some(worth) => spent.amount = worth,
                    None => unfit.push(id.clone()),
                }
            }
            if unfit.is_empty() {
                return Ok(signed);
            }
            self.lock(false, unfit.iter())?;
            locked.extend(unfit);
        }
        Err(unable("create", "the wallet goes on choosing coins that are immature or reserved"))
    }
}

/// The bytes of a transaction that the wallet answers in parts.
fn put_together(call: &str, answer: &Value, name: &TxId) -> Result<Vec<u8>, WalletError> {
    let small = |value: &Value, key: &str| {
        let number = int(call, value, key)?;
        u32::try_from(number).map_err(|_| unfit(call, format!("{key} does not fit 32 bits")))
    };
    let mut inputs = Vec::new();
    for part in list(call, answer.get("inputs").unwrap_or(&Value::Null))? {
        let prevout = part.get("prevout").unwrap_or(&Value::Null);
        let hash = text(call, prevout, "hash")?.parse().map_err(|_| unfit(call, "an input names no coin"))?;
        inputs.push(SignedInput {
            spends: OutPoint { txid: hash, vout: small(prevout, "index")? },
            script: bytes(call, text(call, part, "script")?)?,
            witness: bytes(call, text(call, part, "witness")?)?,
            sequence: small(part, "sequence")?,
        });
    }
    let mut outputs = Vec::new();
    for part in list(call, answer.get("outputs").unwrap_or(&Value::Null))? {
        let script = bytes(call, text(call, part, "script")?)?;
        outputs.push(millpond_codec_bitcoin::Output { amount: units(call, part, "value")?, script });
    }
    let version = i32::try_from(int(call, answer, "version")?).map_err(|_| unfit(call, "its version"))?;
    let (bytes, txid) = assemble(version, &inputs, &outputs, small(answer, "locktime")?)
        .map_err(|error| unfit(call, error.to_string()))?;
    if txid.to_string() != name.0 {
        return Err(unfit(call, format!("its parts make transaction {txid}, and it is called {name}")));
    }
    Ok(bytes)
}

fn refused(call: &str, status: u16, body: &Value) -> WalletError {
    let why = body.pointer("/error/message").and_then(Value::as_str).unwrap_or("no reason given");
    // A wallet server's own error is an answer; a failing proxy before it is not.
    if matches!(status, 400..=500) {
        WalletError::Refused { call: call.to_owned(), why: why.to_owned(), code: i64::from(status) }
    } else {
        WalletError::Unknown { call: call.to_owned(), why: format!("HTTP {status}: {why}") }
    }
}

impl<N: Rpc, W: Rpc, R: Rest> Wallet for BcoinWallet<N, W, R> {
    fn kind(&self) -> Kind {
        Kind::Builder
    }

    fn spendable(&self, reserved: &BTreeSet<InputId>) -> Result<Amount, WalletError> {
        let coins = self.coins()?;
        let usable = coins.iter().filter(|(id, coin)| coin.usable && !reserved.contains(id));
        Amount::sum(usable.map(|(_, coin)| coin.amount))
            .ok_or_else(|| unfit("coin", "the coins do not fit 64 bits"))
    }

    fn cannot_sign(&self) -> Result<Option<String>, WalletError> {
        let call = format!("/wallet/{}", self.name);
        let answer = match self.rest.get(&call)? {
            (200, body) => body,
            (status, body) => return Err(refused(&call, status, &body)),
        };
        let flag = |value: Option<&Value>| value.and_then(Value::as_bool) == Some(true);
        let master = answer.get("master");
        let until = master.and_then(|master| master.get("until")).and_then(Value::as_i64).unwrap_or(0);
        let why = if flag(answer.get("watchOnly")) {
            Some("it watches only: it has no private keys")
        } else if flag(master.and_then(|master| master.get("encrypted"))) && until == 0 {
            Some("it is locked: unlock it for as long as the pool runs")
        } else {
            None
        };
        Ok(why.map(str::to_owned))
    }

    fn owns(&self, addresses: &[String]) -> Result<Vec<bool>, WalletError> {
        let own = |address: &String| {
            // The address becomes part of a path.
            if !address.bytes().all(|c| c.is_ascii_alphanumeric()) {
                return Ok(false);
            }
            let call = self.path(&format!("key/{address}"));
            match self.rest.get(&call)? {
                (200, body) => Ok(!body.is_null()),
                (404, _) => Ok(false),
                (status, body) => Err(refused(&call, status, &body)),
            }
        };
        addresses.iter().map(own).collect()
    }

    fn build(
        &self,
        outputs: &[Output],
        fee_rate: u64,
        reserved: &BTreeSet<InputId>,
    ) -> Result<Signed, WalletError> {
        let coins = self.coins()?;
        // The server forgets its locks when it restarts: all of them, every time.
        self.lock(false, reserved.iter())?;
        let mut locked = reserved.clone();
        let signed = self.create_of(outputs, fee_rate, &coins, &mut locked);
        // Immature coins become usable later.
        self.lock(true, locked.difference(reserved))?;
        signed
    }

    fn broadcast(&self, bytes: &[u8], txid: &TxId) -> Result<(), WalletError> {
        let call = "sendrawtransaction";
        match self.node.call(call, json!([hex::encode(bytes)]))? {
            Value::String(name) if name.eq_ignore_ascii_case(&txid.0) => Ok(()),
            other => Err(unfit(call, format!("it names the transaction {other}, not {txid}"))),
        }
    }

    fn lookup(&self, txid: &TxId, inputs: &[InputId]) -> Result<Lookup, WalletError> {
        // Inputs first: if ours confirms in between, the last question says so.
        let mut spent = None;
        for (hash, index) in inputs.iter().filter_map(outpoint) {
            if self.gone(hash, index)? {
                spent = Some((hash, index));
            }
        }
        Ok(match self.depth_of(&txid.0)? {
            Some(0) => Lookup::Waiting,
            Some(count) => Lookup::Confirmed(count),
            // Not known, and one of its coins is gone in a block: by another transaction.
            None => match spent {
                Some(coin) => Lookup::Conflicted(self.depth_of_conflict(txid, coin)?),
                None => Lookup::NotFound,
            },
        })
    }

    fn has_coin(&self, coin: &InputId) -> Result<bool, WalletError> {
        has_coin(&self.node, coin)
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
}
