//! The methods, as far as pool servers ask them.

use super::template::{Made, Tip};
use super::{REMEMBERED, Shared};
use bitcoin::consensus::encode::deserialize_hex;
use bitcoin::{Block, BlockHash, Target, Transaction};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::time::Duration;

/// The longest that a longpoll waits.
const LONGPOLL: Duration = Duration::from_secs(90);
/// Core's RPC_INVALID_PARAMETER.
const PARAMETER: i32 = -8;
/// Core's RPC_INVALID_ADDRESS_OR_KEY.
const NO_BLOCK: i32 = -5;
/// Core's RPC_DESERIALIZATION_ERROR.
const DECODE: i32 = -22;
/// JSON-RPC's.
const NO_METHOD: i32 = -32601;

/// What came.
#[derive(Deserialize)]
struct Call<'a> {
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
    method: String,
    #[serde(default)]
    params: Value,
}

/// What goes out: its body, and the block whose template it is.
pub(super) struct Answer {
    pub(super) body: String,
    pub(super) failed: bool,
    pub(super) template_on: Option<BlockHash>,
}

enum Outcome {
    Value(Value),
    Template(std::sync::Arc<Made>),
    Error(i32, String),
}

/// Answers a request's body.
pub(super) fn answer(shared: &Shared, body: &[u8]) -> Answer {
    let Ok(call) = serde_json::from_slice::<Call<'_>>(body) else {
        let body = r#"{"result":null,"error":{"code":-32700,"message":"Parse error"},"id":null}"#;
        return Answer { body: body.to_owned(), failed: true, template_on: None };
    };
    let id = call.id.map_or("null", RawValue::get);
    match shared.call(&call.method, &call.params) {
        Outcome::Value(value) => Answer {
            body: format!(r#"{{"result":{value},"error":null,"id":{id}}}"#),
            failed: false,
            template_on: None,
        },
        Outcome::Template(made) => Answer {
            body: format!(r#"{{"result":{},"error":null,"id":{id}}}"#, made.json),
            failed: false,
            template_on: Some(made.parent),
        },
        Outcome::Error(code, message) => Answer {
            body: format!(
                r#"{{"result":null,"error":{},"id":{id}}}"#,
                json!({"code": code, "message": message})
            ),
            failed: true,
            template_on: None,
        },
    }
}

/// What a transaction is, in the main.
fn decoded(data: &str) -> Outcome {
    let Ok(tx) = deserialize_hex::<Transaction>(data) else {
        return Outcome::Error(DECODE, "TX decode failed".to_owned());
    };
    Outcome::Value(json!({
        "txid": tx.compute_txid().to_string(), "hash": tx.compute_wtxid().to_string(), "version": tx.version.0,
        "size": tx.total_size(), "vsize": tx.vsize(), "weight": tx.weight().to_wu(),
        "locktime": tx.lock_time.to_consensus_u32(),
    }))
}

impl Shared {
    fn call(&self, method: &str, params: &Value) -> Outcome {
        let text = |place: usize| params.get(place).and_then(Value::as_str).unwrap_or_default().to_owned();
        match method {
            "getblocktemplate" => self.template(params.get(0).unwrap_or(&Value::Null)),
            "submitblock" => self.submitted(&text(0)),
            "getbestblockhash" => self.tip(|tip| json!(tip.hash.to_string())),
            "getblockcount" => self.tip(|tip| json!(tip.height)),
            "getdifficulty" => self.tip(|tip| json!(tip.header.difficulty_float())),
            "getblockchaininfo" => self.tip(|tip| {
                json!({
                    "chain": self.shape.chain, "blocks": tip.height, "headers": tip.height,
                    "bestblockhash": tip.hash.to_string(), "difficulty": tip.header.difficulty_float(),
                    "mediantime": tip.header.time, "verificationprogress": 1.0, "initialblockdownload": false,
                    "pruned": false, "warnings": [],
                })
            }),
            "getmininginfo" => self.tip(|tip| {
                json!({
                    "blocks": tip.height, "difficulty": tip.header.difficulty_float(), "networkhashps": 0,
                    "pooledtx": self.shape.transactions, "chain": self.shape.chain, "warnings": [],
                })
            }),
            "getnetworkinfo" => Outcome::Value(json!({
                "version": 290_000, "subversion": "/Mock:29.0.0/", "protocolversion": 70_016, "connections": 8,
                "networkactive": true, "relayfee": 0.00001, "warnings": [],
            })),
            "getconnectioncount" => Outcome::Value(json!(8)),
            "uptime" => Outcome::Value(json!(86_400)),
            "getblockhash" => self.at(params.get(0).and_then(Value::as_u64)),
            "getblockheader" | "getblock" => self.header(&text(0)),
            "validateaddress" | "getaddressinfo" => Outcome::Value(
                json!({"isvalid": true, "address": text(0), "isscript": false, "iswitness": true}),
            ),
            "decoderawtransaction" => decoded(&text(0)),
            "preciousblock" => Outcome::Value(Value::Null),
            "millpond_newblock" => {
                let (hash, _) = self.new_block(None);
                Outcome::Value(json!(hash.to_string()))
            }
            "millpond_handedout" => self.handed_out_ago(&text(0)),
            _ => Outcome::Error(NO_METHOD, "Method not found".to_owned()),
        }
    }

    fn tip(&self, show: impl FnOnce(&Tip) -> Value) -> Outcome {
        let state = self.state.lock();
        state.blocks.last().map_or_else(|| Outcome::Value(Value::Null), |tip| Outcome::Value(show(tip)))
    }

    fn template(&self, request: &Value) -> Outcome {
        if request.get("mode").and_then(Value::as_str) == Some("proposal") {
            let block =
                request.get("data").and_then(Value::as_str).and_then(|data| deserialize_hex(data).ok());
            let Some(block) = block else { return Outcome::Error(DECODE, "Block decode failed".to_owned()) };
            return Outcome::Value(self.judged(&block, false).err().map_or(Value::Null, Value::from));
        }
        let rules = request.get("rules").and_then(Value::as_array);
        if !rules.is_some_and(|rules| rules.iter().any(|rule| rule == "segwit")) {
            let why = "getblocktemplate must be called with the segwit rule set (call with {\"rules\": [\"segwit\"]})";
            return Outcome::Error(PARAMETER, why.to_owned());
        }
        let known =
            request.get("longpollid").and_then(Value::as_str).and_then(|id| id.get(..64)?.parse().ok());
        if let Some(tip) = known {
            self.wait(&tip, LONGPOLL);
        }
        Outcome::Template(std::sync::Arc::clone(&self.state.lock().template))
    }

    fn submitted(&self, data: &str) -> Outcome {
        let Ok(block) = deserialize_hex::<Block>(data) else {
            return Outcome::Error(DECODE, "Block decode failed".to_owned());
        };
        match self.judged(&block, true) {
            Ok(tip) => {
                self.new_block(Some(tip));
                self.state.lock().taken += 1;
                Outcome::Value(Value::Null)
            }
            Err(why) => {
                let mut state = self.state.lock();
                if state.refused.len() < REMEMBERED {
                    state.refused.push(why.to_owned());
                }
                Outcome::Value(json!(why))
            }
        }
    }

    /// Whether a block may follow the tip, in the order and the words of Bitcoin Core. The transactions must be those
    /// of the template: there is nothing else that they could be judged by.
    fn judged(&self, block: &Block, work: bool) -> Result<Tip, &'static str> {
        let state = self.state.lock();
        let (Some(tip), template) = (state.blocks.last(), &state.template) else { return Err("no-tip") };
        if state.blocks.iter().any(|known| known.hash == block.block_hash()) {
            return Err("duplicate");
        }
        if work && !Target::from_compact(template.bits).is_met_by(block.block_hash()) {
            return Err("high-hash");
        }
        if block.header.bits != template.bits {
            return Err("bad-diffbits");
        }
        if !block.check_merkle_root() {
            return Err("bad-txnmrklroot");
        }
        let Some((coinbase, rest)) = block.txdata.split_first() else { return Err("bad-blk-length") };
        if !coinbase.is_coinbase() {
            return Err("bad-cb-missing");
        }
        if block.header.prev_blockhash != tip.hash {
            let known = state.blocks.iter().any(|known| known.hash == block.header.prev_blockhash);
            return Err(if known { "inconclusive" } else { "prev-blk-not-found" });
        }
        if block.bip34_block_height().ok() != Some(u64::from(template.height)) {
            return Err("bad-cb-height");
        }
        if !block.check_witness_commitment() {
            return Err("bad-witness-merkle-match");
        }
        let paid =
            coinbase.output.iter().try_fold(0_u64, |sum, output| sum.checked_add(output.value.to_sat()));
        if paid.is_none_or(|paid| paid > template.value) {
            return Err("bad-cb-amount");
        }
        if !rest.iter().map(Transaction::compute_txid).eq(template.txids.iter().copied()) {
            return Err("bad-txns-inputs-missingorspent");
        }
        Ok(tip.followed_by(block))
    }

    fn at(&self, height: Option<u64>) -> Outcome {
        let state = self.state.lock();
        let found = state.blocks.iter().find(|tip| Some(u64::from(tip.height)) == height);
        match found {
            Some(tip) => Outcome::Value(json!(tip.hash.to_string())),
            None => Outcome::Error(PARAMETER, "Block height out of range".to_owned()),
        }
    }

    fn header(&self, hash: &str) -> Outcome {
        let state = self.state.lock();
        let found = state.blocks.iter().position(|tip| tip.hash.to_string() == hash);
        match found.and_then(|place| Some((state.blocks.len() - place, state.blocks.get(place)?))) {
            Some((confirmations, tip)) => Outcome::Value(json!({
                "hash": hash, "confirmations": confirmations, "height": tip.height,
                "version": tip.header.version.to_consensus(), "merkleroot": tip.header.merkle_root.to_string(),
                "time": tip.header.time, "mediantime": tip.header.time, "nonce": tip.header.nonce,
                "bits": format!("{:08x}", tip.header.bits.to_consensus()),
                "previousblockhash": tip.header.prev_blockhash.to_string(), "nTx": 1,
            })),
            None => Outcome::Error(NO_BLOCK, "Block not found".to_owned()),
        }
    }

    /// How long ago the first template on a block was handed out, in nanoseconds; null while none was.
    fn handed_out_ago(&self, hash: &str) -> Outcome {
        let known = hash.parse::<BlockHash>().ok();
        let at = known.and_then(|hash| self.state.lock().handed_out.get(&hash).copied());
        Outcome::Value(
            at.map_or(Value::Null, |at| json!(u64::try_from(at.elapsed().as_nanos()).unwrap_or(u64::MAX))),
        )
    }
}
