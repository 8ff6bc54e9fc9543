//! Questions about the chain and the mempool.

use super::{ADDRESS_OR_KEY, Answer, PARAMETER, Params, RpcError, answer, describe};
use crate::json::{Coins, Object};
use crate::node::Node;
use bitcoin::consensus::encode::serialize_hex;
use bitcoin::{BlockHash, OutPoint, Transaction};
use serde_json::Value;

fn no_block() -> RpcError {
    RpcError::new(ADDRESS_OR_KEY, "Block not found")
}

pub(super) fn get_blockchain_info(node: &Node) -> Answer {
    node.with(|state| {
        let chain = &state.chain;
        let tip = chain.tip();
        let known = chain.get(&tip).ok_or_else(no_block)?;
        let header = &known.block.header;
        answer(
            Object::new()
                .with("chain", "regtest")
                .with("blocks", chain.height())
                .with("headers", chain.height())
                .shown("bestblockhash", tip)
                .with("bits", format!("{:08x}", header.bits.to_consensus()))
                .with("target", hex::encode(header.target().to_be_bytes()))
                .with("difficulty", header.difficulty_float())
                .with("time", header.time)
                .with("mediantime", chain.median_time(&tip))
                .with("verificationprogress", 1)
                .with("initialblockdownload", false)
                .with("chainwork", hex::encode(known.work.to_be_bytes()))
                .with("size_on_disk", 0)
                .with("pruned", false)
                .with("warnings", Vec::<String>::new()),
        )
    })
}

pub(super) fn get_network_info() -> Answer {
    answer(
        Object::new()
            .with("version", 290_000)
            .with("subversion", concat!("/millpond-devchain:", env!("CARGO_PKG_VERSION"), "/"))
            .with("protocolversion", 70_016)
            .with("networkactive", false)
            .with("connections", 0)
            .with("connections_in", 0)
            .with("connections_out", 0)
            .with("relayfee", Coins(1_000))
            .with("incrementalfee", Coins(1_000))
            .with("warnings", Vec::<String>::new()),
    )
}

pub(super) fn get_block_hash(node: &Node, params: &Params) -> Answer {
    let height: i64 = params.required(0, "height")?;
    let hash = u32::try_from(height).ok().and_then(|height| node.with(|state| state.chain.at(height)));
    answer(hash.ok_or_else(|| RpcError::new(PARAMETER, "Block height out of range"))?.to_string())
}

pub(super) fn get_block_header(node: &Node, params: &Params) -> Answer {
    let hash: BlockHash = params.hash(0, "hash")?;
    let verbose = params.optional::<bool>(1)?.unwrap_or(true);
    node.with(|state| {
        let known = state.chain.get(&hash).ok_or_else(no_block)?;
        if verbose {
            answer(describe::header(&state.chain, known))
        } else {
            answer(serialize_hex(&known.block.header))
        }
    })
}

pub(super) fn get_block(node: &Node, params: &Params) -> Answer {
    let hash: BlockHash = params.hash(0, "blockhash")?;
    let verbosity = match params.optional::<Value>(1)? {
        None | Some(Value::Bool(true)) => 1,
        Some(Value::Bool(false)) => 0,
        Some(value) => value.as_i64().ok_or_else(|| RpcError::new(super::TYPE, "verbosity is a number"))?,
    };
    node.with(|state| {
        let known = state.chain.get(&hash).ok_or_else(no_block)?;
        let block = &known.block;
        match verbosity {
            ..=0 => answer(serialize_hex(block)),
            1 => {
                let stripped = 80 + block.txdata.iter().map(Transaction::base_size).sum::<usize>();
                answer(
                    describe::header(&state.chain, known)
                        .with("strippedsize", stripped)
                        .with("size", block.total_size())
                        .with("weight", block.weight().to_wu())
                        .with(
                            "tx",
                            block.txdata.iter().map(|tx| tx.compute_txid().to_string()).collect::<Vec<_>>(),
                        ),
                )
            }
            _ => Err(RpcError::new(PARAMETER, "the development chain has getblock verbosity 0 and 1 only")),
        }
    })
}

pub(super) fn get_tx_out(node: &Node, params: &Params) -> Answer {
    let at = OutPoint { txid: params.hash(0, "txid")?, vout: params.required(1, "n")? };
    let with_mempool = params.optional::<bool>(2)?.unwrap_or(true);
    node.with(|state| {
        let chain = &state.chain;
        let coin =
            if with_mempool { state.mempool.coin(chain, &at) } else { chain.coins.0.get(&at).cloned() };
        let Some(coin) = coin else { return answer(None::<u8>) };
        // A coin of a waiting transaction has the height that it would get.
        let confirmations = (i64::from(chain.height()) - i64::from(coin.height) + 1).max(0);
        answer(
            Object::new()
                .shown("bestblock", chain.tip())
                .with("confirmations", confirmations)
                .with("value", Coins::of(coin.output.value.to_sat()))
                .with("scriptPubKey", describe::script(&coin.output.script_pubkey))
                .with("coinbase", coin.coinbase),
        )
    })
}

pub(super) fn get_mempool_info(node: &Node) -> Answer {
    node.with(|state| {
        let (mut bytes, mut fees) = (0_u64, 0_u64);
        for (_, waiting) in state.mempool.iter() {
            bytes = bytes.saturating_add(waiting.tx.vsize() as u64);
            fees = fees.saturating_add(waiting.fee);
        }
        answer(
            Object::new()
                .with("loaded", true)
                .with("size", state.mempool.len())
                .with("bytes", bytes)
                .with("usage", bytes)
                .with("total_fee", Coins::of(fees))
                .with("maxmempool", 300_000_000)
                .with("mempoolminfee", Coins(1_000))
                .with("minrelaytxfee", Coins(1_000))
                .with("unbroadcastcount", 0)
                .with("fullrbf", false),
        )
    })
}

pub(super) fn get_raw_mempool(node: &Node) -> Answer {
    answer(node.with(|state| state.mempool.iter().map(|(txid, _)| txid.to_string()).collect::<Vec<_>>()))
}
