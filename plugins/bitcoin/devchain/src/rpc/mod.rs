//! The methods, as Bitcoin Core documents them.

mod blockchain;
mod describe;
mod mining;
mod transactions;
mod wallet;

use crate::node::Node;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use std::sync::Arc;

/// A method's own error: Core's code and words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct RpcError {
    pub(crate) code: i32,
    pub(crate) message: String,
}

/// Core's RPC_MISC_ERROR.
pub(crate) const MISC: i32 = -1;
/// Core's RPC_TYPE_ERROR.
pub(crate) const TYPE: i32 = -3;
/// Core's RPC_WALLET_ERROR.
pub(crate) const WALLET: i32 = -4;
/// Core's RPC_INVALID_ADDRESS_OR_KEY.
pub(crate) const ADDRESS_OR_KEY: i32 = -5;
/// Core's RPC_WALLET_INSUFFICIENT_FUNDS.
pub(crate) const INSUFFICIENT: i32 = -6;
/// Core's RPC_INVALID_PARAMETER.
pub(crate) const PARAMETER: i32 = -8;
/// Core's RPC_DESERIALIZATION_ERROR.
pub(crate) const DESERIALIZATION: i32 = -22;
/// Core's RPC_VERIFY_ERROR.
pub(crate) const VERIFY: i32 = -25;
/// Core's RPC_VERIFY_REJECTED.
pub(crate) const REJECTED: i32 = -26;
/// Core's RPC_VERIFY_ALREADY_IN_UTXO_SET.
pub(crate) const IN_CHAIN: i32 = -27;
/// JSON-RPC 2.0's "method not found".
pub(crate) const NO_METHOD: i32 = -32601;

impl RpcError {
    pub(crate) fn new(code: i32, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

/// What a method gives.
pub(crate) type Answer = Result<Box<RawValue>, RpcError>;

/// Writes a result.
pub(crate) fn answer(value: impl Serialize) -> Answer {
    to_raw_value(&value).map_err(|error| RpcError::new(MISC, error.to_string()))
}

/// The parameters of a call, by position.
pub(crate) struct Params(Vec<Box<RawValue>>);

impl Params {
    /// From the `params` member: an array, or nothing.
    pub(crate) fn read(raw: Option<&RawValue>) -> Result<Self, RpcError> {
        match raw.map(RawValue::get) {
            None | Some("null" | "{}") => Ok(Self(Vec::new())),
            Some(text) if text.starts_with('[') => serde_json::from_str(text)
                .map(Self)
                .map_err(|error| RpcError::new(-32700, format!("Parse error: {error}"))),
            Some(_) => {
                Err(RpcError::new(PARAMETER, "the development chain takes parameters as an array only"))
            }
        }
    }

    /// A parameter that may be missing or null.
    pub(crate) fn optional<T: DeserializeOwned>(&self, place: usize) -> Result<Option<T>, RpcError> {
        match self.0.get(place).map(|raw| raw.get()) {
            None | Some("null") => Ok(None),
            Some(text) => serde_json::from_str(text)
                .map(Some)
                .map_err(|error| RpcError::new(TYPE, format!("parameter {}: {error}", place + 1))),
        }
    }

    /// A parameter that must be there.
    pub(crate) fn required<T: DeserializeOwned>(&self, place: usize, name: &str) -> Result<T, RpcError> {
        self.optional(place)?
            .ok_or_else(|| RpcError::new(MISC, format!("{name} is missing (parameter {})", place + 1)))
    }

    /// A hash in hex.
    pub(crate) fn hash<T: std::str::FromStr>(&self, place: usize, name: &str) -> Result<T, RpcError> {
        parse_hash(&self.required::<String>(place, name)?, name)
    }
}

/// A hash of 64 hex digits, with Core's words for what is not one.
pub(crate) fn parse_hash<T: std::str::FromStr>(text: &str, name: &str) -> Result<T, RpcError> {
    if text.len() != 64 {
        let message = format!("{name} must be of length 64 (not {}, for '{text}')", text.len());
        return Err(RpcError::new(PARAMETER, message));
    }
    text.parse()
        .map_err(|_| RpcError::new(PARAMETER, format!("{name} must be hexadecimal string (not '{text}')")))
}

/// One output of a transaction as callers name it.
#[derive(Deserialize)]
pub(crate) struct OutPointParam {
    pub(crate) txid: String,
    pub(crate) vout: u32,
    #[serde(default)]
    pub(crate) sequence: Option<u32>,
}

impl OutPointParam {
    pub(crate) fn read(&self) -> Result<bitcoin::OutPoint, RpcError> {
        Ok(bitcoin::OutPoint { txid: parse_hash(&self.txid, "txid")?, vout: self.vout })
    }
}

/// Calls a method.
pub(crate) async fn call(node: &Arc<Node>, method: &str, params: &Params) -> Answer {
    match method {
        "getblocktemplate" => mining::get_block_template(node, params).await,
        "submitblock" => mining::submit_block(node, params),
        "getmininginfo" => mining::get_mining_info(node),
        "generatetoaddress" => mining::generate_to_address(node, params).await,
        "getblockchaininfo" => blockchain::get_blockchain_info(node),
        "getbestblockhash" => answer(node.with(|state| state.chain.tip()).to_string()),
        "getblockcount" => answer(node.with(|state| state.chain.height())),
        "getblockhash" => blockchain::get_block_hash(node, params),
        "getblockheader" => blockchain::get_block_header(node, params),
        "getblock" => blockchain::get_block(node, params),
        "gettxout" => blockchain::get_tx_out(node, params),
        "getmempoolinfo" => blockchain::get_mempool_info(node),
        "getrawmempool" => blockchain::get_raw_mempool(node),
        "getnetworkinfo" => blockchain::get_network_info(),
        "getrawtransaction" => transactions::get_raw_transaction(node, params),
        "decoderawtransaction" => transactions::decode_raw_transaction(params),
        "sendrawtransaction" => transactions::send_raw_transaction(node, params),
        "testmempoolaccept" => transactions::test_mempool_accept(node, params),
        "createrawtransaction" => transactions::create_raw_transaction(params),
        "validateaddress" => wallet::validate_address(params),
        "getnewaddress" | "getrawchangeaddress" => wallet::get_new_address(node),
        "getaddressinfo" => wallet::get_address_info(node, params),
        "getwalletinfo" => wallet::get_wallet_info(node),
        "getbalance" => wallet::get_balance(node, params),
        "getbalances" => wallet::get_balances(node),
        "listunspent" => wallet::list_unspent(node, params),
        "lockunspent" => wallet::lock_unspent(node, params),
        "listlockunspent" => wallet::list_lock_unspent(node),
        "fundrawtransaction" => wallet::fund_raw_transaction(node, params),
        "signrawtransactionwithwallet" => wallet::sign_raw_transaction(node, params),
        "gettransaction" => wallet::get_transaction(node, params),
        "listtransactions" => wallet::list_transactions(node, params),
        "listsinceblock" => wallet::list_since_block(node, params),
        "sendmany" => wallet::send_many(node, params),
        "sendtoaddress" => wallet::send_to_address(node, params),
        "settxfee" => wallet::set_tx_fee(node, params),
        _ => Err(RpcError::new(NO_METHOD, "Method not found")),
    }
}
