//! A chain adapter for Handshake (HNS) at hsd 8: getblocktemplate in, submitblock out. What all such nodes have in common
//! is the SDK's `chain::gbt`; here is what is Handshake's own: the coinbase with claims and airdrops, its two Merkle
//! trees, the header, addresses. The hash is the recipe's, and the extranonce is a field of the header, so that the
//! coinbase is the same for all miners of a job.

mod coinbase;

use coinbase::More;
use millpond_sdk::Settings as _;
use millpond_sdk::bech32::{self, BECH32};
use millpond_sdk::chain::gbt::{self, Block, Coin, Profile, Template, Work};
use millpond_sdk::chain::{Description, Output, Payee, Settings};
use millpond_sdk::json::Cursor;

const SCHEMA: &str = include_str!("schema.json");
const RECIPE: &str = include_str!("../../families/handshake/handshake.recipe");
const DIALECT: &str = include_str!("../../families/handshake/v1.dialect");
/// Nothing is hidden from miners: their firmware takes the mask for zero.
const MASK: [u8; 32] = [0; 32];

/// Handshake on one of its networks.
pub struct Handshake {
    /// Human-readable part of addresses.
    hrp: &'static str,
    /// Put into the coinbase's witness.
    tag: Vec<u8>,
    /// Ask the node about each new template's block.
    proposal: bool,
}

impl Coin for Handshake {
    type More = More;

    fn schema() -> String {
        SCHEMA.to_owned()
    }

    fn new(settings: &Settings) -> Result<(Self, Description, Profile), String> {
        let network = settings.text("network").unwrap_or("main");
        // hsd, lib/protocol/networks.js: prefix of addresses, what the node calls itself, maturity of a coinbase.
        let (hrp, chain, maturity) = match network {
            "main" => ("hs", "main", 100),
            "testnet" => ("ts", "test", 100),
            "regtest" => ("rs", "regtest", 2),
            "simnet" => ("ss", "simnet", 6),
            other => return Err(format!("{other:?} is no network of Handshake")),
        };
        let count = |key, default| {
            u32::try_from(settings.uint_or(key, default)?).map_err(|_| format!("`{key}` is too large"))
        };
        let profile = Profile {
            chain: chain.to_owned(),
            // No bit is signalled for a rule that is not named here; none has to be known so far.
            rules: settings.words("rules"),
            maturity,
            orphan_after: count("orphan_after", 6)?,
            poll_ms: count("poll_ms", 1_000)?,
        };
        let description = Description {
            network: network.to_owned(),
            recipes: vec![RECIPE.to_owned()],
            dialects: vec![DIALECT.to_owned()],
            transports: vec![gbt::rpc()],
            diff1: [[0; 4].as_slice(), &[0xff; 28]].concat(),
            work_shift: 0,
            scale: 1,
            decimals: 6,
            extranonce: 8,
            final_after: maturity,
            settlement: "jsonrpc-sendmany".to_owned(),
            extra: Vec::new(),
        };
        let tag = settings.text("tag").unwrap_or("/Millpond/").as_bytes().to_vec();
        Ok((Self { hrp, tag, proposal: settings.flag_or("proposal", true) }, description, profile))
    }

    fn member(&self, key: &str, value: &mut Cursor<'_>, more: &mut More) -> Result<bool, String> {
        more.member(key, value)
    }

    fn work(&self, template: &Template<More>, outputs: &[Output]) -> Result<Work, String> {
        let more = &template.more;
        let tree = more.tree.ok_or("the template has no treeroot: is the node hsd?")?;
        let reserved = more.reserved.ok_or("the template has no reservedroot: is the node hsd?")?;
        let height = u32::try_from(template.height).map_err(|_| "the height does not fit a lock time")?;
        let amounts = gbt::divide(template.value, outputs)?;
        let coinbase = coinbase::build(more, height, outputs, &amounts, &self.tag)?;
        let merkle = coinbase::root(coinbase.id()?, &template.txids)?;
        let witness = coinbase::root(coinbase.witness_id()?, &template.wtxids)?;
        let [version, bits, time] =
            [template.version, template.bits, template.time].map(|number| number.to_be_bytes().to_vec());
        let [prev, merkle, witness, tree, reserved, mask] =
            [template.parent, merkle, witness, tree, reserved, MASK].map(|hash| hash.to_vec());
        Ok(Work {
            recipe: 0,
            consts: vec![version, prev, merkle, witness, tree, reserved, bits, time, mask],
            paid: amounts.into_iter().map(|amount| (amount, true)).collect(),
            more: [coinbase.base, coinbase.witness].concat(),
        })
    }

    fn proposal(&self, template: &Template<More>, work: &Work) -> Result<Option<Block>, String> {
        let [_, prev, merkle, witness, tree, reserved, _, _, mask] = work.consts.as_slice() else {
            return Err("the work has not the recipe's constants".to_owned());
        };
        let (version, bits) = (template.version.to_le_bytes(), template.bits.to_le_bytes());
        let clock = [[0; 4].as_slice(), &u64::from(template.time).to_le_bytes()].concat();
        let head = [&clock, prev, tree].map(Vec::as_slice).concat();
        let tail = [reserved, witness, merkle].map(Vec::as_slice).concat();
        let header = [head.as_slice(), &[0; 24], &tail, &version, &bits, mask];
        let block = block(&header.concat(), template.slices.len() + 1, &work.more);
        Ok(self.proposal.then_some(block))
    }

    fn solved(&self, results: &[Vec<u8>], transactions: usize, more: &[u8]) -> Result<Block, String> {
        let [header, pow] = results else {
            return Err(format!("the recipe gave {} results, hdr and pow were expected", results.len()));
        };
        // A block is named by the hash of its proof of work, printed as it is.
        Ok(Block { name: pow.clone(), ..block(header, transactions, more) })
    }

    fn resolve(&self, name: &str) -> Result<Payee, String> {
        let (address, worker) = name.split_once('.').unwrap_or((name, ""));
        let program = bech32::decode(self.hrp, address)
            .filter(|program| program.checksum == BECH32)
            .ok_or_else(|| format!("{address:?} is no address {}1…: check it for typing errors", self.hrp))?;
        if program.version != 0 || !matches!(program.bytes.len(), 20 | 32) {
            return Err(format!("{address:?} is of a kind that nobody can spend from yet"));
        }
        let length = u8::try_from(program.bytes.len()).map_err(|_| "the address is too long")?;
        Ok(Payee {
            payee: [[program.version, length].as_slice(), &program.bytes].concat(),
            address: address.to_ascii_lowercase(),
            worker: worker.to_owned(),
            extra: String::new(),
        })
    }
}

fn block(header: &[u8], transactions: usize, coinbase: &[u8]) -> Block {
    let mut start = header.to_vec();
    gbt::varint(&mut start, transactions);
    start.extend(coinbase);
    Block { start, ..Block::default() }
}

/// The adapter.
pub type Adapter = gbt::Chain<Handshake>;
millpond_sdk::export_adapter!(Adapter);

#[cfg(test)]
mod tests;
