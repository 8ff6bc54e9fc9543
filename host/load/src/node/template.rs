//! Templates: blocks that nobody will find, full of well-formed transactions that spend what never was.

use bitcoin::absolute::LockTime;
use bitcoin::block::{Header, Version};
use bitcoin::consensus::encode::serialize_hex;
use bitcoin::hashes::Hash;
use bitcoin::{
    Amount, Block, BlockHash, CompactTarget, OutPoint, ScriptBuf, Sequence, Target, Transaction, TxIn,
    TxMerkleNode, TxOut, Txid, Witness, WitnessMerkleNode,
};
use serde_json::json;
use std::time::{SystemTime, UNIX_EPOCH};

/// Seconds of a subsidy's worth, in satoshi: the era of 2024.
const SUBSIDY: u64 = 312_500_000;
/// What each transaction pays.
const FEE: u64 = 1_000;
/// A signature and a key, as a P2WPKH input has them.
const SIGNATURE: usize = 72;
const KEY: usize = 33;

/// What templates look like.
#[derive(Clone, Debug)]
pub struct Shape {
    /// Transactions beside the coinbase.
    pub transactions: u32,
    /// Bytes of all of them together, witnesses included. Less than they need at least is rounded up.
    pub bytes: u32,
    /// The network target in compact form. The default is one that no share meets by chance: difficulty 2^48.
    pub bits: u32,
    /// What `getblockchaininfo` calls the chain: `main`, `test`, `regtest`.
    pub chain: String,
    /// The height of the first tip.
    pub height: u32,
}

impl Default for Shape {
    fn default() -> Self {
        Self {
            transactions: 3_000,
            bytes: 1_500_000,
            bits: 0x1700_ffff,
            chain: "regtest".into(),
            height: 800_000,
        }
    }
}

/// A block that there is.
#[derive(Clone, Debug)]
pub(super) struct Tip {
    pub(super) hash: BlockHash,
    pub(super) header: Header,
    pub(super) height: u32,
}

impl Tip {
    /// The first one.
    pub(super) fn first(shape: &Shape) -> Self {
        let header = Header {
            version: Version::from_consensus(0x2000_0000),
            prev_blockhash: BlockHash::all_zeros(),
            merkle_root: TxMerkleNode::all_zeros(),
            time: now().saturating_sub(600),
            bits: CompactTarget::from_consensus(shape.bits),
            nonce: std::process::id(),
        };
        Self { hash: header.block_hash(), header, height: shape.height }
    }

    /// A made-up block on this one.
    pub(super) fn next(&self) -> Self {
        let header =
            Header { prev_blockhash: self.hash, time: now().max(self.header.time + 1), ..self.header };
        Self { hash: header.block_hash(), header, height: self.height.saturating_add(1) }
    }

    /// A submitted block on this one.
    pub(super) fn followed_by(&self, block: &Block) -> Self {
        Self { hash: block.block_hash(), header: block.header, height: self.height.saturating_add(1) }
    }
}

/// A template, ready to be answered.
pub(super) struct Made {
    pub(super) number: u64,
    pub(super) parent: BlockHash,
    pub(super) height: u32,
    pub(super) bits: CompactTarget,
    /// All that the coinbase may pay.
    pub(super) value: u64,
    /// The transactions' names, in order.
    pub(super) txids: Vec<Txid>,
    /// The result of `getblocktemplate`.
    pub(super) json: String,
}

impl Made {
    /// The template on a block; its transactions follow from its number.
    pub(super) fn on(tip: &Tip, shape: &Shape, number: u64) -> Self {
        let mut random = Random(number.wrapping_mul(0x2545_f491_4f6c_dd1d) ^ 0x6d69_6c6c_706f_6e64);
        let transactions: Vec<Transaction> = (0..shape.transactions)
            .map(|place| {
                let share = u64::from(shape.bytes) * u64::from(place + 1) / u64::from(shape.transactions)
                    - u64::from(shape.bytes) * u64::from(place) / u64::from(shape.transactions);
                transaction(&mut random, usize::try_from(share).unwrap_or(0))
            })
            .collect();
        let txids: Vec<Txid> = transactions.iter().map(Transaction::compute_txid).collect();
        let height = tip.height.saturating_add(1);
        let bits = CompactTarget::from_consensus(shape.bits);
        let value = SUBSIDY + FEE * u64::from(shape.transactions);
        let listed: Vec<_> = transactions
            .iter()
            .zip(&txids)
            .map(|(tx, txid)| {
                json!({
                    "data": serialize_hex(tx), "txid": txid.to_string(), "hash": tx.compute_wtxid().to_string(),
                    "depends": [], "fee": FEE, "sigops": 1, "weight": tx.weight().to_wu(),
                })
            })
            .collect();
        let json = json!({
            "capabilities": ["proposal"],
            "version": 0x2000_0000,
            "rules": ["csv", "!segwit", "taproot"],
            "vbavailable": {},
            "vbrequired": 0,
            "previousblockhash": tip.hash.to_string(),
            "transactions": listed,
            "coinbaseaux": {},
            "coinbasevalue": value,
            "longpollid": format!("{}{number}", tip.hash),
            "target": hex::encode(Target::from_compact(bits).to_be_bytes()),
            "mintime": tip.header.time.saturating_add(1),
            "mutable": ["time", "transactions", "prevblock"],
            "noncerange": "00000000ffffffff",
            "sigoplimit": 80_000,
            "sizelimit": 4_000_000,
            "weightlimit": 4_000_000,
            "curtime": now().max(tip.header.time.saturating_add(1)),
            "bits": format!("{:08x}", shape.bits),
            "height": height,
            "default_witness_commitment": commitment(&transactions).to_hex_string(),
        });
        Self { number, parent: tip.hash, height, bits, value, txids, json: json.to_string() }
    }
}

/// One P2WPKH input, two P2WPKH outputs, and in its witness what is missing to `bytes`.
fn transaction(random: &mut Random, bytes: usize) -> Transaction {
    let mut witness = Witness::new();
    witness.push(random.bytes(SIGNATURE));
    witness.push(random.bytes(KEY));
    let mut tx = Transaction {
        version: bitcoin::transaction::Version::TWO,
        lock_time: LockTime::ZERO,
        input: vec![TxIn {
            previous_output: OutPoint {
                txid: Txid::from_byte_array(random.array()),
                vout: (random.next() % 4) as u32,
            },
            script_sig: ScriptBuf::new(),
            sequence: Sequence::ENABLE_RBF_NO_LOCKTIME,
            witness,
        }],
        output: (0..2)
            .map(|_| TxOut {
                value: Amount::from_sat(10_000 + random.next() % 100_000_000),
                script_pubkey: ScriptBuf::from_bytes([vec![0, 20], random.bytes(20)].concat()),
            })
            .collect(),
    };
    // Its length takes one byte below 253 and three above.
    let missing = bytes.saturating_sub(tx.total_size() + 1);
    let missing = if missing >= 253 { missing - 2 } else { missing };
    if missing > 0
        && let Some(input) = tx.input.first_mut()
    {
        input.witness.push(random.bytes(missing));
    }
    tx
}

/// The script that commits to the witnesses, with 32 zeros reserved (BIP 141).
fn commitment(transactions: &[Transaction]) -> ScriptBuf {
    let coinbase = std::iter::once(WitnessMerkleNode::all_zeros());
    let hashes =
        transactions.iter().map(|tx| WitnessMerkleNode::from_raw_hash(tx.compute_wtxid().to_raw_hash()));
    let root = bitcoin::merkle_tree::calculate_root(coinbase.chain(hashes));
    let root = root.unwrap_or(WitnessMerkleNode::all_zeros());
    let committed = Block::compute_witness_commitment(&root, &[0; 32]).to_byte_array();
    ScriptBuf::from_bytes([&[0x6a, 0x24, 0xaa, 0x21, 0xa9, 0xed], &committed[..]].concat())
}

fn now() -> u32 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u32::try_from(since.as_secs()).unwrap_or(u32::MAX)
}

/// Vigna's splitmix64: enough for made-up transactions.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn bytes(&mut self, length: usize) -> Vec<u8> {
        let words = (0..length.div_ceil(8)).flat_map(|_| self.next().to_le_bytes());
        words.take(length).collect()
    }

    fn array(&mut self) -> [u8; 32] {
        let mut array = [0; 32];
        for part in array.chunks_mut(8) {
            part.copy_from_slice(&self.next().to_le_bytes());
        }
        array
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bitcoin::consensus::encode::deserialize_hex;

    #[test]
    fn a_template_has_the_transactions_and_the_size_that_were_asked_for() {
        let shape = Shape { transactions: 300, bytes: 150_000, ..Shape::default() };
        let made = Made::on(&Tip::first(&shape), &shape, 7);
        let json: serde_json::Value = serde_json::from_str(&made.json).unwrap();
        let listed = json["transactions"].as_array().unwrap();
        let (mut bytes, mut transactions) = (0, Vec::new());
        for entry in listed {
            let tx: Transaction = deserialize_hex(entry["data"].as_str().unwrap()).unwrap();
            assert_eq!(entry["txid"], tx.compute_txid().to_string());
            assert_eq!(entry["hash"], tx.compute_wtxid().to_string());
            bytes += tx.total_size();
            transactions.push(tx);
        }
        assert_eq!((listed.len(), made.txids.len()), (300, 300));
        assert!((149_000..=150_100).contains(&bytes), "{bytes}");
        assert_eq!(json["default_witness_commitment"], commitment(&transactions).to_hex_string());
        assert_ne!(Made::on(&Tip::first(&shape), &shape, 8).txids, made.txids);
    }

    #[test]
    fn a_whole_block_fits_the_weight_limit() {
        let shape = Shape::default();
        let made = Made::on(&Tip::first(&shape), &shape, 0);
        let json: serde_json::Value = serde_json::from_str(&made.json).unwrap();
        let weights =
            json["transactions"].as_array().unwrap().iter().map(|tx| tx["weight"].as_u64().unwrap());
        assert!(weights.sum::<u64>() < 3_990_000);
    }
}
