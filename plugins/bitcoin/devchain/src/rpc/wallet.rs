//! The wallet's methods.

use super::transactions::{decode, encode, output};
use super::{
    ADDRESS_OR_KEY, Answer, INSUFFICIENT, MISC, OutPointParam, PARAMETER, Params, RpcError, WALLET, answer,
    describe,
};
use crate::json::{Coins, Object};
use crate::keys::Keys;
use crate::node::{Node, State};
use crate::wallet::{OwnCoin, Record, WalletError, Wanted};
use bitcoin::consensus::encode::serialize_hex;
use bitcoin::{BlockHash, OutPoint, ScriptBuf, TxOut, Txid};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::{BTreeMap, HashSet};

pub(super) fn get_new_address(node: &Node) -> Answer {
    answer(node.with(|state| Keys::address(&state.wallet.keys.next())))
}

pub(super) fn validate_address(params: &Params) -> Answer {
    let address: String = params.required(0, "address")?;
    answer(match Keys::script(&address) {
        Some(script) => Object::new()
            .with("isvalid", true)
            .with("address", address)
            .with("scriptPubKey", script.to_hex_string()),
        None => Object::new().with("isvalid", false).with("error", "Invalid or unsupported address"),
    })
}

pub(super) fn get_address_info(node: &Node, params: &Params) -> Answer {
    let address: String = params.required(0, "address")?;
    let script = Keys::script(&address).ok_or_else(|| RpcError::new(ADDRESS_OR_KEY, "Invalid address"))?;
    let mine = node.with(|state| state.wallet.keys.owns(&script));
    answer(
        Object::new()
            .with("address", address)
            .with("scriptPubKey", script.to_hex_string())
            .with("ismine", mine)
            .with("solvable", mine)
            .with("iswatchonly", false)
            .with("isscript", script.is_p2sh() || script.is_p2wsh())
            .with("iswitness", script.is_witness_program()),
    )
}

pub(super) fn get_wallet_info(node: &Node) -> Answer {
    node.with(|state| {
        answer(
            Object::new()
                .with("walletname", "")
                .with("format", "memory")
                .with("txcount", state.wallet.records().count())
                .with("keypoolsize", state.wallet.keys.count())
                .with("paytxfee", Coins::of(state.wallet.fee_rate.unwrap_or(0)))
                .with("private_keys_enabled", true)
                .with("avoid_reuse", false)
                .with("scanning", false)
                .with("descriptors", true),
        )
    })
}

fn sum<'a>(coins: impl Iterator<Item = &'a OwnCoin>) -> Coins {
    Coins::of(coins.fold(0_u64, |sum, coin| sum.saturating_add(coin.output.value.to_sat())))
}

pub(super) fn get_balance(node: &Node, params: &Params) -> Answer {
    let least = params.optional::<i64>(1)?.unwrap_or(0);
    let coins = node.with(|state| state.wallet.coins(&state.chain, &state.mempool));
    answer(sum(coins.iter().filter(|coin| coin.trusted && !coin.immature && coin.confirmations >= least)))
}

pub(super) fn get_balances(node: &Node) -> Answer {
    let (coins, tip, height) = node.with(|state| {
        (state.wallet.coins(&state.chain, &state.mempool), state.chain.tip(), state.chain.height())
    });
    let mine = Object::new()
        .with("trusted", sum(coins.iter().filter(|coin| coin.trusted && !coin.immature)))
        .with("untrusted_pending", sum(coins.iter().filter(|coin| !coin.trusted)))
        .with("immature", sum(coins.iter().filter(|coin| coin.immature)));
    let last = Object::new().shown("hash", tip).with("height", height);
    answer(Object::new().with("mine", mine).with("lastprocessedblock", last))
}

pub(super) fn list_unspent(node: &Node, params: &Params) -> Answer {
    let least = params.optional::<i64>(0)?.unwrap_or(1);
    let most = params.optional::<i64>(1)?.unwrap_or(9_999_999);
    let addresses: HashSet<String> = params.optional(2)?.unwrap_or_default();
    let with_unsafe = params.optional::<bool>(3)?.unwrap_or(true);
    node.with(|state| {
        let rows: Vec<Object> = state
            .wallet
            .coins(&state.chain, &state.mempool)
            .into_iter()
            .filter(|coin| !coin.immature && !state.wallet.locked.contains(&coin.at))
            .filter(|coin| (least..=most).contains(&coin.confirmations) && (with_unsafe || coin.trusted))
            .map(|coin| (Keys::address(&coin.output.script_pubkey), coin))
            .filter(|(address, _)| addresses.is_empty() || addresses.contains(address))
            .map(|(address, coin)| {
                Object::new()
                    .shown("txid", coin.at.txid)
                    .with("vout", coin.at.vout)
                    .with("address", address)
                    .with("label", "")
                    .with("scriptPubKey", coin.output.script_pubkey.to_hex_string())
                    .with("amount", Coins::of(coin.output.value.to_sat()))
                    .with("confirmations", coin.confirmations)
                    .with("spendable", true)
                    .with("solvable", true)
                    .with("safe", coin.trusted)
            })
            .collect();
        answer(rows)
    })
}

pub(super) fn lock_unspent(node: &Node, params: &Params) -> Answer {
    let unlock: bool = params.required(0, "unlock")?;
    let Some(outputs) = params.optional::<Vec<OutPointParam>>(1)? else {
        if unlock {
            node.with(|state| state.wallet.locked.clear());
        }
        return answer(true);
    };
    let outputs = outputs.iter().map(OutPointParam::read).collect::<Result<Vec<OutPoint>, _>>()?;
    node.with(|state| {
        let refuse = |why: &str| Err(RpcError::new(PARAMETER, format!("Invalid parameter, {why}")));
        // All or none.
        for at in &outputs {
            let locked = state.wallet.locked.contains(at);
            if state.wallet.own_output(at).is_none() {
                return refuse("unknown transaction");
            }
            if state.mempool.coin(&state.chain, at).is_none() {
                return refuse("expected unspent output");
            }
            if unlock && !locked {
                return refuse("expected locked output");
            }
            if !unlock && locked {
                return refuse("output already locked");
            }
        }
        for at in outputs {
            if unlock {
                state.wallet.locked.remove(&at);
            } else {
                state.wallet.locked.insert(at);
            }
        }
        answer(true)
    })
}

pub(super) fn list_lock_unspent(node: &Node) -> Answer {
    let mut locked: Vec<OutPoint> = node.with(|state| state.wallet.locked.iter().copied().collect());
    locked.sort_unstable();
    answer(
        locked
            .iter()
            .map(|at| Object::new().shown("txid", at.txid).with("vout", at.vout))
            .collect::<Vec<_>>(),
    )
}

pub(super) fn set_tx_fee(node: &Node, params: &Params) -> Answer {
    let Coins(rate) = params.required(0, "amount")?;
    let rate = u64::try_from(rate).map_err(|_| RpcError::new(super::TYPE, "Amount out of range"))?;
    if rate != 0 && rate < 1_000 {
        let message = "txfee cannot be less than min relay tx fee (0.00001000 BTC/kvB)";
        return Err(RpcError::new(PARAMETER, message));
    }
    node.with(|state| state.wallet.fee_rate = (rate != 0).then_some(rate));
    answer(true)
}

#[derive(Deserialize, Default)]
struct FundOptions {
    #[serde(default)]
    add_inputs: Option<bool>,
    #[serde(default, rename = "changeAddress", alias = "change_address")]
    change_address: Option<String>,
    #[serde(default, rename = "changePosition", alias = "change_position")]
    change_position: Option<usize>,
    #[serde(default, rename = "lockUnspents", alias = "lock_unspents")]
    lock_unspents: bool,
    /// In coins per 1000 virtual bytes.
    #[serde(default, rename = "feeRate")]
    rate_in_coins: Option<Coins>,
    /// In satoshi per virtual byte.
    #[serde(default)]
    fee_rate: Option<f64>,
    #[serde(default, rename = "subtractFeeFromOutputs", alias = "subtract_fee_from_outputs")]
    subtract_from: Vec<usize>,
}

fn rate_of(coins: Option<Coins>, satoshi: Option<f64>) -> Result<Option<u64>, RpcError> {
    match (coins, satoshi) {
        (Some(_), Some(_)) => {
            Err(RpcError::new(PARAMETER, "Cannot specify both fee_rate (sat/vB) and feeRate (BTC/kvB)"))
        }
        (Some(Coins(rate)), None) => {
            u64::try_from(rate).map(Some).map_err(|_| RpcError::new(super::TYPE, "Amount out of range"))
        }
        (None, Some(rate)) if rate.is_finite() && (0.0..1e9).contains(&rate) => {
            Ok(Some((rate * 1000.0).round() as u64))
        }
        (None, Some(_)) => Err(RpcError::new(super::TYPE, "Amount out of range")),
        (None, None) => Ok(None),
    }
}

pub(super) fn fund_raw_transaction(node: &Node, params: &Params) -> Answer {
    let tx = decode(&params.required::<String>(0, "hexstring")?)?;
    let options: FundOptions = params.optional(1)?.unwrap_or_default();
    let change = match &options.change_address {
        None => None,
        Some(address) => Some(Keys::script(address).ok_or_else(|| {
            RpcError::new(ADDRESS_OR_KEY, "Change address must be a valid bitcoin address")
        })?),
    };
    if options.change_position.is_some_and(|place| place > tx.output.len()) {
        return Err(RpcError::new(PARAMETER, "changePosition out of bounds"));
    }
    let wanted = Wanted {
        outputs: tx.output,
        inputs: tx.input.iter().map(|input| input.previous_output).collect(),
        add_inputs: options.add_inputs.unwrap_or(true),
        fee_rate: rate_of(options.rate_in_coins, options.fee_rate)?,
        change,
        change_position: options.change_position,
        subtract_from: options.subtract_from,
        lock_time: tx.lock_time.to_consensus_u32(),
        min_confirmations: 0,
    };
    node.with(|state| {
        let State { chain, mempool, wallet, .. } = state;
        let funded =
            wallet.fund(chain, mempool, wanted).map_err(|error| RpcError::new(WALLET, error.to_string()))?;
        if options.lock_unspents {
            wallet.locked.extend(funded.tx.input.iter().map(|input| input.previous_output));
        }
        let position = funded.change_position.and_then(|place| i64::try_from(place).ok()).unwrap_or(-1);
        answer(
            Object::new()
                .with("hex", encode(&funded.tx))
                .with("fee", Coins::of(funded.fee))
                .with("changepos", position),
        )
    })
}

pub(super) fn sign_raw_transaction(node: &Node, params: &Params) -> Answer {
    let mut tx = decode(&params.required::<String>(0, "hexstring")?)?;
    let unsigned = node.with(|state| state.wallet.sign(&state.chain, &state.mempool, &mut tx));
    let errors: Vec<Object> = unsigned
        .iter()
        .filter_map(|index| tx.input.get(*index))
        .map(|input| {
            Object::new()
                .shown("txid", input.previous_output.txid)
                .with("vout", input.previous_output.vout)
                .with("sequence", input.sequence.to_consensus_u32())
                .with("error", "Input not found or already spent, or not ours")
        })
        .collect();
    answer(
        Object::new()
            .with("hex", encode(&tx))
            .with("complete", errors.is_empty())
            .with_some("errors", (!errors.is_empty()).then_some(errors)),
    )
}

fn send(state: &mut State, wanted: Wanted, comment: &str) -> Result<Txid, RpcError> {
    let State { chain, mempool, wallet, .. } = state;
    let funded = wallet.fund(chain, mempool, wanted).map_err(|error| match error {
        WalletError::Insufficient => RpcError::new(INSUFFICIENT, error.to_string()),
        WalletError::UnknownInput | WalletError::TooSmall => RpcError::new(WALLET, error.to_string()),
    })?;
    let mut tx = funded.tx;
    if !wallet.sign(chain, mempool, &mut tx).is_empty() {
        return Err(RpcError::new(WALLET, "Signing transaction failed"));
    }
    let txid = state.send(tx).map_err(|reject| RpcError::new(WALLET, reject.to_string()))?;
    state.wallet.set_comment(&txid, comment);
    Ok(txid)
}

pub(super) fn send_many(node: &Node, params: &Params) -> Answer {
    if !params.optional::<String>(0)?.unwrap_or_default().is_empty() {
        return Err(RpcError::new(PARAMETER, "Dummy value must be set to \"\""));
    }
    let amounts: BTreeMap<String, Box<RawValue>> = params.required(1, "amounts")?;
    let min_confirmations = params.optional::<i64>(2)?.unwrap_or(0);
    let comment: String = params.optional(3)?.unwrap_or_default();
    let bearers: Vec<String> = params.optional(4)?.unwrap_or_default();
    let fee_rate = rate_of(None, params.optional(8)?)?;
    if amounts.is_empty() {
        return Err(RpcError::new(INSUFFICIENT, "Transaction must have at least one recipient"));
    }
    let mut outputs: Vec<TxOut> = Vec::new();
    let mut subtract_from = Vec::new();
    for (address, amount) in &amounts {
        if bearers.contains(address) {
            subtract_from.push(outputs.len());
        }
        let output = output(address, amount.get())?;
        if outputs.iter().any(|other| other.script_pubkey == output.script_pubkey) {
            return Err(RpcError::new(
                PARAMETER,
                format!("Invalid parameter, duplicated address: {address}"),
            ));
        }
        outputs.push(output);
    }
    let wanted =
        Wanted { outputs, add_inputs: true, fee_rate, subtract_from, min_confirmations, ..Wanted::default() };
    answer(node.with(|state| send(state, wanted, &comment))?.to_string())
}

pub(super) fn send_to_address(node: &Node, params: &Params) -> Answer {
    let address: String = params.required(0, "address")?;
    let amount: Box<RawValue> = params.required(1, "amount")?;
    let comment: String = params.optional(2)?.unwrap_or_default();
    let subtract = params.optional::<bool>(4)?.unwrap_or(false);
    let wanted = Wanted {
        outputs: vec![output(&address, amount.get())?],
        add_inputs: true,
        subtract_from: if subtract { vec![0] } else { Vec::new() },
        ..Wanted::default()
    };
    answer(node.with(|state| send(state, wanted, &comment))?.to_string())
}

/// Where a transaction of the wallet's stands, as several methods tell it.
struct Standing {
    confirmations: i64,
    waiting: bool,
    block: Option<(BlockHash, u32, usize, u32)>,
}

fn standing(state: &State, txid: &Txid) -> Standing {
    let waiting = state.mempool.get(txid).is_some();
    let Some((known, _)) = state.chain.transaction(txid) else {
        return Standing { confirmations: 0, waiting, block: None };
    };
    let hash = known.block.block_hash();
    let index = known.block.txdata.iter().position(|tx| tx.compute_txid() == *txid).unwrap_or(0);
    let block = Some((hash, known.height, index, known.block.header.time));
    Standing { confirmations: state.chain.confirmations(&hash), waiting, block }
}

fn with_standing(object: Object, standing: &Standing, txid: &Txid, record: &Record) -> Object {
    let generated = record.tx.is_coinbase();
    let object = object
        .with("confirmations", standing.confirmations)
        .with_some("generated", generated.then_some(true));
    let object = match standing.block {
        Some((hash, height, index, time)) => object
            .shown("blockhash", hash)
            .with("blockheight", height)
            .with("blockindex", index)
            .with("blocktime", time),
        None => object.with("trusted", standing.waiting),
    };
    object
        .shown("txid", txid)
        .shown("wtxid", record.tx.compute_wtxid())
        .with("walletconflicts", Vec::<String>::new())
        .with("time", record.time)
        .with("timereceived", record.time)
        .with("bip125-replaceable", "no")
        .with_some("comment", (!record.comment.is_empty()).then_some(&record.comment))
}

/// The rows of one transaction: what it paid to others, or what it brought us. Outputs back to ourselves are taken for
/// change.
fn rows(state: &State, record: &Record, standing: &Standing) -> Vec<Object> {
    let wallet = &state.wallet;
    let debit = wallet.debit(&record.tx);
    let paid = record.tx.output.iter().fold(0_u64, |sum, output| sum.saturating_add(output.value.to_sat()));
    let fee = Coins::of(debit.saturating_sub(paid));
    let maturity = i64::from(state.chain.params().maturity);
    let category = if !record.tx.is_coinbase() {
        "receive"
    } else if standing.block.is_none() {
        "orphan"
    } else if standing.confirmations <= maturity {
        "immature"
    } else {
        "generate"
    };
    let describe = |vout: usize, output: &TxOut| {
        let (own, value) = (wallet.keys.owns(&output.script_pubkey), Coins::of(output.value.to_sat()));
        let address = describe_address(&output.script_pubkey);
        let object = Object::new().with_some("address", address);
        match (debit > 0, own) {
            (true, false) => Some(
                object
                    .with("category", "send")
                    .with("amount", Coins(-value.0))
                    .with("vout", vout)
                    .with("fee", Coins(-fee.0))
                    .with("abandoned", false),
            ),
            (false, true) => Some(object.with("category", category).with("amount", value).with("vout", vout)),
            _ => None,
        }
    };
    record.tx.output.iter().enumerate().filter_map(|(vout, output)| describe(vout, output)).collect()
}

fn describe_address(script: &ScriptBuf) -> Option<String> {
    Some(Keys::address(script)).filter(|address| !address.is_empty())
}

pub(super) fn get_transaction(node: &Node, params: &Params) -> Answer {
    let txid: Txid = params.hash(0, "txid")?;
    let verbose = params.optional::<bool>(2)?.unwrap_or(false);
    node.with(|state| {
        let missing = || RpcError::new(ADDRESS_OR_KEY, "Invalid or non-wallet transaction id");
        let record = state.wallet.record(&txid).ok_or_else(missing)?;
        let standing = standing(state, &txid);
        let debit = state.wallet.debit(&record.tx);
        let (mut credit, mut paid) = (0_u64, 0_u64);
        for output in &record.tx.output {
            paid = paid.saturating_add(output.value.to_sat());
            if state.wallet.keys.owns(&output.script_pubkey) {
                credit = credit.saturating_add(output.value.to_sat());
            }
        }
        // As Core has it: without the fee, which stands beside it.
        let fee = if debit > 0 { debit.saturating_sub(paid) } else { 0 };
        let amount = Coins(Coins::of(credit).0 - Coins::of(debit).0 + Coins::of(fee).0);
        let object = Object::new()
            .with("amount", amount)
            .with_some("fee", (debit > 0).then_some(Coins(-Coins::of(fee).0)));
        answer(
            with_standing(object, &standing, &txid, record)
                .with("details", rows(state, record, &standing))
                .with("hex", serialize_hex(&record.tx))
                .with_some("decoded", verbose.then(|| describe::transaction(&record.tx))),
        )
    })
}

fn entries(state: &State, keep: impl Fn(&Standing) -> bool) -> Vec<Object> {
    let mut all = Vec::new();
    for (txid, record) in state.wallet.records() {
        let standing = standing(state, txid);
        if keep(&standing) {
            let rows = rows(state, record, &standing);
            all.extend(rows.into_iter().map(|row| with_standing(row, &standing, txid, record)));
        }
    }
    all
}

pub(super) fn list_transactions(node: &Node, params: &Params) -> Answer {
    let count = params.optional::<usize>(1)?.unwrap_or(10);
    let skip = params.optional::<usize>(2)?.unwrap_or(0);
    node.with(|state| {
        let mut all = entries(state, |_| true);
        all.truncate(all.len().saturating_sub(skip));
        answer(all.split_off(all.len().saturating_sub(count)))
    })
}

pub(super) fn list_since_block(node: &Node, params: &Params) -> Answer {
    let since = params.optional::<String>(0)?.filter(|text| !text.is_empty());
    let since: Option<BlockHash> = since.map(|text| super::parse_hash(&text, "blockhash")).transpose()?;
    let target = params.optional::<u32>(1)?.unwrap_or(1);
    if target == 0 {
        return Err(RpcError::new(PARAMETER, "Invalid parameter"));
    }
    node.with(|state| {
        let chain = &state.chain;
        let mut removed = Vec::new();
        let mut depth = None;
        if let Some(hash) = since {
            let mut known =
                chain.get(&hash).ok_or_else(|| RpcError::new(ADDRESS_OR_KEY, "Block not found"))?;
            // From a block that is no longer active back to the fork: what it had was removed.
            while chain.confirmations(&known.block.block_hash()) < 0 {
                for tx in &known.block.txdata {
                    let txid = tx.compute_txid();
                    if let Some(record) = state.wallet.record(&txid) {
                        let standing = standing(state, &txid);
                        let rows = rows(state, record, &standing);
                        removed
                            .extend(rows.into_iter().map(|row| with_standing(row, &standing, &txid, record)));
                    }
                }
                let parent = known.block.header.prev_blockhash;
                known =
                    chain.get(&parent).ok_or_else(|| RpcError::new(MISC, "Can't read block from disk"))?;
            }
            depth = Some(known.height);
        }
        let keep = |standing: &Standing| match (depth, standing.block) {
            (Some(depth), Some((_, height, _, _))) => height > depth,
            _ => true,
        };
        let last = chain.height().saturating_add(1).checked_sub(target).and_then(|height| chain.at(height));
        answer(
            Object::new()
                .with("transactions", entries(state, keep))
                .with("removed", removed)
                .with_some("lastblock", last.or_else(|| chain.at(0)).map(|hash| hash.to_string())),
        )
    })
}
