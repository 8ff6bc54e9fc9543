//! Templates and blocks.

use super::{ADDRESS_OR_KEY, Answer, DESERIALIZATION, MISC, PARAMETER, Params, RpcError, answer, parse_hash};
use crate::block_rules::{self, MAX_WEIGHT};
use crate::json::Object;
use crate::keys::Keys;
use crate::node::{News, Node, Template};
use bitcoin::consensus::encode::{deserialize_partial, serialize_hex};
use bitcoin::{Block, BlockHash, Target, Txid, Witness};
use serde::Deserialize;
use std::collections::HashMap;
use std::sync::Arc;
use tokio::time::{Instant, sleep_until};

#[derive(Deserialize, Default)]
struct Request {
    #[serde(default)]
    mode: Option<String>,
    #[serde(default)]
    rules: Vec<String>,
    #[serde(default)]
    longpollid: Option<String>,
    #[serde(default)]
    data: Option<String>,
}

pub(super) async fn get_block_template(node: &Arc<Node>, params: &Params) -> Answer {
    let request: Request = params.optional(0)?.unwrap_or_default();
    match request.mode.as_deref() {
        None | Some("template") => {}
        Some("proposal") => return propose(node, request.data.as_deref()).await,
        Some(_) => return Err(RpcError::new(PARAMETER, "Invalid mode")),
    }
    if let Some(id) = &request.longpollid {
        wait(node, id).await?;
    }
    if !request.rules.iter().any(|rule| rule == "segwit") {
        let message =
            "getblocktemplate must be called with the segwit rule set (call with {\"rules\": [\"segwit\"]})";
        return Err(RpcError::new(PARAMETER, message));
    }
    node.with(|state| {
        let mut template = state
            .template(node.options.version)
            .ok_or_else(|| RpcError::new(MISC, "there is no tip to build on"))?;
        template.value = node.trouble.claimed(template.value);
        let news = News { tip: state.chain.tip(), mempool: state.mempool.changes() };
        let described = describe(&template);
        let longpoll = format!("{}{}", news.tip, news.mempool);
        answer(if node.options.longpoll { described.with("longpollid", longpoll) } else { described })
    })
}

/// Core's way: a new tip ends the wait at once; a changed mempool does after the first check, then at each.
async fn wait(node: &Node, id: &str) -> Result<(), RpcError> {
    let (tip, changes) = id.split_at_checked(64).unwrap_or((id, ""));
    let tip: BlockHash = parse_hash(tip, "longpollid")?;
    let changes: u64 = changes.parse().unwrap_or(0);
    let (first, then) = node.options.longpoll_mempool;
    let mut news = node.news();
    let mut check = Instant::now() + first;
    while news.borrow_and_update().tip == tip {
        tokio::select! {
            changed = news.changed() => if changed.is_err() { break },
            () = sleep_until(check) => {
                if news.borrow_and_update().mempool != changes {
                    break;
                }
                check = Instant::now() + then;
            }
        }
    }
    Ok(())
}

fn describe(template: &Template) -> Object {
    let mut places: HashMap<Txid, usize> = HashMap::new();
    let mut transactions = Vec::with_capacity(template.transactions.len());
    for (place, (txid, waiting)) in template.transactions.iter().enumerate() {
        // Counted from 1, the coinbase being 0.
        places.insert(*txid, place + 1);
        let mut depends: Vec<usize> = waiting
            .tx
            .input
            .iter()
            .filter_map(|input| places.get(&input.previous_output.txid).copied())
            .collect();
        depends.sort_unstable();
        depends.dedup();
        transactions.push(
            Object::new()
                .with("data", serialize_hex(&waiting.tx))
                .shown("txid", txid)
                .shown("hash", waiting.tx.compute_wtxid())
                .with("depends", depends)
                .with("fee", waiting.fee)
                .with("sigops", waiting.sigops)
                .with("weight", waiting.tx.weight().to_wu()),
        );
    }
    Object::new()
        .with("capabilities", ["proposal"])
        .with("version", template.version)
        .with("rules", ["csv", "!segwit", "taproot"])
        .with("vbavailable", Object::new().with("testdummy", 28))
        .with("vbrequired", 0)
        .shown("previousblockhash", template.parent)
        .with("transactions", transactions)
        .with("coinbaseaux", Object::new())
        .with("coinbasevalue", template.value)
        .with("target", hex::encode(Target::from_compact(template.bits).to_be_bytes()))
        .with("mintime", template.min_time)
        .with("mutable", ["time", "transactions", "prevblock"])
        .with("noncerange", "00000000ffffffff")
        .with("sigoplimit", 80_000)
        .with("sizelimit", MAX_WEIGHT)
        .with("weightlimit", MAX_WEIGHT)
        .with("curtime", template.time)
        .with("bits", format!("{:08x}", template.bits.to_consensus()))
        .with("height", template.height)
        .with("default_witness_commitment", template.commitment.to_hex_string())
}

fn decode(data: Option<&str>) -> Option<Block> {
    // As Core does, bytes behind the block are not looked at.
    let bytes = hex::decode(data?).ok()?;
    deserialize_partial::<Block>(&bytes).ok().map(|(block, _)| block)
}

async fn propose(node: &Node, data: Option<&str>) -> Answer {
    if data.is_none() {
        return Err(RpcError::new(super::TYPE, "Missing data String key for proposal"));
    }
    let block = decode(data).ok_or_else(|| RpcError::new(DESERIALIZATION, "Block decode failed"))?;
    let judged = node.with(|state| state.chain.check_proposal(&block));
    node.trouble.answers(&judged).await;
    match judged {
        Ok(()) => answer(None::<u8>),
        Err(reject) => answer(reject.to_string()),
    }
}

pub(super) fn submit_block(node: &Node, params: &Params) -> Answer {
    let data: String = params.required(0, "hexdata")?;
    let mut block =
        decode(Some(&data)).ok_or_else(|| RpcError::new(DESERIALIZATION, "Block decode failed"))?;
    complete_witness(&mut block);
    match node.submit(block) {
        Ok(()) => answer(None::<u8>),
        Err(reject) => answer(reject.to_string()),
    }
}

/// Core's UpdateUncommittedBlockStructures: a coinbase that commits to witnesses and was sent without its own gets the
/// reserved 32 zeros.
fn complete_witness(block: &mut Block) {
    let Some(coinbase) = block.txdata.first_mut() else { return };
    if block_rules::commitment(coinbase).is_none() {
        return;
    }
    if let Some(input) = coinbase.input.first_mut().filter(|input| input.witness.is_empty()) {
        let mut witness = Witness::new();
        witness.push([0; 32]);
        input.witness = witness;
    }
}

pub(super) fn get_mining_info(node: &Node) -> Answer {
    node.with(|state| {
        let tip = state.chain.tip();
        let header = state.chain.get(&tip).map(|known| known.block.header);
        answer(
            Object::new()
                .with("blocks", state.chain.height())
                .with_some("bits", header.map(|header| format!("{:08x}", header.bits.to_consensus())))
                .with_some("difficulty", header.map(|header| header.difficulty_float()))
                .with("networkhashps", 0)
                .with("pooledtx", state.mempool.len())
                .with("chain", "regtest")
                .with("warnings", Vec::<String>::new()),
        )
    })
}

pub(super) async fn generate_to_address(node: &Arc<Node>, params: &Params) -> Answer {
    let count: u32 = params.required(0, "nblocks")?;
    let address: String = params.required(1, "address")?;
    let script =
        Keys::script(&address).ok_or_else(|| RpcError::new(ADDRESS_OR_KEY, "Error: Invalid address"))?;
    let node = node.clone();
    let made = tokio::task::spawn_blocking(move || node.generate(count, &script)).await;
    match made {
        Ok(Ok(hashes)) => answer(hashes.iter().map(ToString::to_string).collect::<Vec<_>>()),
        Ok(Err(reject)) => Err(RpcError::new(MISC, reject.to_string())),
        Err(error) => Err(RpcError::new(MISC, error.to_string())),
    }
}
