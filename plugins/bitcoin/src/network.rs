//! What differs between the coins of this family, as values: a manifest names a network or spells one out.

use millpond_sdk::chain::gbt::{self, Profile};
use millpond_sdk::chain::{Description, Kind, Settings, Transport};
use millpond_sdk::{Settings as _, hex};

/// Bytes of the extranonce in the coinbase: what the recipes declare as `xn`.
pub const EXTRANONCE: u8 = 8;
/// The bits that miners may roll (BIP 320). Jobs carry the version without them.
pub const ROLLED_BITS: u32 = 0x1fff_e000;

/// Bitcoin's own.
const MESSAGE_MAGIC: &str = "Bitcoin Signed Message:\n";

const RECIPE: &str = include_str!("../../../examples/families/bitcoin/bitcoin.recipe");
const SOLO_RECIPE: &str = include_str!("../../../examples/families/bitcoin-solo/bitcoin-solo.recipe");
const DIALECT: &str = include_str!("../../../examples/families/bitcoin/v1.dialect");

/// A network's values, after settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
    /// For people.
    pub name: String,
    /// How its nodes are asked, and when a block is settled.
    pub profile: Profile,
    /// Human-readable part of bech32 addresses; empty = none.
    pub hrp: String,
    /// Base58 version byte of public key hashes.
    pub p2pkh: u8,
    /// Base58 version bytes of script hashes; the first is the canonical one.
    pub p2sh: Vec<u8>,
    /// Proof-of-work algorithm of the header, by the host's name.
    pub algorithm: String,
    /// A template's key whose hex follows the transactions (Litecoin: `mweb`), and the bytes before it.
    pub trailer: Option<(String, Vec<u8>)>,
    /// What wallets put before a message that they sign.
    pub message_magic: String,
    /// Pushed into the coinbase script.
    pub tag: Vec<u8>,
    /// Ask the node about each new template's block (BIP 23).
    pub proposal: bool,
}

/// JSON Schema of the configuration section.
pub fn schema() -> String {
    include_str!("schema.json").to_owned()
}

impl Network {
    /// The network that the settings name, with what they override.
    pub fn from_settings(settings: &Settings) -> Result<Self, String> {
        let name = settings.text("network").unwrap_or("mainnet");
        let (chain, hrp, p2pkh, p2sh) = match name {
            "mainnet" => ("main", "bc", 0x00, 0x05),
            "testnet4" => ("testnet4", "tb", 0x6f, 0xc4),
            "signet" => ("signet", "tb", 0x6f, 0xc4),
            "regtest" => ("regtest", "bcrt", 0x6f, 0xc4),
            other => (other, "", 0x00, 0x05),
        };
        let rules = settings.words("rules");
        let rules = match (rules.is_empty(), name) {
            (false, _) => rules,
            (true, "signet") => vec!["segwit".to_owned(), "signet".to_owned()],
            (true, _) => vec!["segwit".to_owned()],
        };
        let byte = |key: &str, default: u8| {
            u8::try_from(settings.uint_or(key, u64::from(default))?)
                .map_err(|_| format!("setting `{key}` is above 255"))
        };
        let count = |key: &str, default: u64| {
            u32::try_from(settings.uint_or(key, default)?)
                .map_err(|_| format!("setting `{key}` is too large"))
        };
        let mut scripts = vec![byte("p2sh", p2sh)?];
        if settings.int("p2sh_old").is_some() {
            scripts.push(byte("p2sh_old", p2sh)?);
        }
        let trailer = match settings.text("trailer.key") {
            None => None,
            Some(key) => {
                let prefix = hex::decode(settings.text("trailer.prefix").unwrap_or("01"));
                Some((key.to_owned(), prefix.ok_or("setting `trailer.prefix` is not hex")?))
            }
        };
        let tag = settings.text("tag").unwrap_or("/Millpond/").as_bytes().to_vec();
        if tag.len() > 60 {
            return Err(format!("setting `tag` has {} bytes, the coinbase has room for 60", tag.len()));
        }
        let network = Self {
            name: name.to_owned(),
            profile: Profile {
                chain: settings.text("chain").unwrap_or(chain).to_owned(),
                rules,
                maturity: count("maturity", 100)?,
                orphan_after: count("orphan_after", 6)?,
                poll_ms: count("poll_ms", 1_000)?.max(100),
            },
            hrp: settings.text("hrp").unwrap_or(hrp).to_ascii_lowercase(),
            p2pkh: byte("p2pkh", p2pkh)?,
            p2sh: scripts,
            algorithm: settings.text("algorithm").unwrap_or("sha256d").to_owned(),
            trailer,
            message_magic: settings.text("message_magic").unwrap_or(MESSAGE_MAGIC).to_owned(),
            tag,
            proposal: settings.flag_or("proposal", true),
        };
        if network.algorithm.is_empty() || !network.algorithm.bytes().all(|byte| byte.is_ascii_alphanumeric())
        {
            return Err(format!(
                "setting `algorithm` is {:?}, not the name of an algorithm",
                network.algorithm
            ));
        }
        Ok(network)
    }

    /// The adapter's description on this network.
    pub fn describe(&self, settings: &Settings) -> Result<Description, String> {
        let mut transports = vec![gbt::rpc()];
        if settings.flag("zmq") {
            let methods = vec!["hashblock".to_owned()];
            transports.push(Transport { name: "zmq".to_owned(), kind: Kind::ZmqSub, methods });
        }
        let diff1 = match settings.text("diff1") {
            Some(text) => hex::decode32(text).ok_or("setting `diff1` is not 32 bytes of hex")?,
            // Difficulty 1 is 0xffff * 2^208; miners of scrypt coins count in units 2^16 easier.
            None => {
                let mut target = [0u8; 32];
                let zeros = if self.algorithm == "scrypt" { 2 } else { 4 };
                target.iter_mut().skip(zeros).take(2).for_each(|byte| *byte = 0xff);
                target
            }
        };
        // Mainnet shares have at least 2^22 hashes; test networks count single hashes.
        let shift = if self.algorithm == "sha256d" && self.name == "mainnet" { 16 } else { 0 };
        let shift = u8::try_from(settings.uint_or("work_shift", shift)?)
            .map_err(|_| "setting `work_shift` is too large")?;
        Ok(Description {
            network: self.name.clone(),
            recipes: vec![self.recipe(RECIPE)?, self.recipe(SOLO_RECIPE)?],
            dialects: vec![DIALECT.to_owned()],
            transports,
            diff1: diff1.to_vec(),
            work_shift: shift,
            scale: 1,
            decimals: 8,
            extranonce: EXTRANONCE,
            final_after: self.profile.maturity,
            settlement: "jsonrpc-sendmany".to_owned(),
            // What sessions may roll, by the recipe's session field, as the recipe has it.
            // By which codec of the host messages that an address signed are read. And that jobs tell their subsidy.
            extra: vec![
                ("roll.mask".to_owned(), ROLLED_BITS.to_be_bytes().to_vec()),
                ("message.bitcoin".to_owned(), self.message_magic.as_bytes().to_vec()),
                ("job.subsidy".to_owned(), Vec::new()),
            ],
        })
    }

    /// The family's recipe with this network's proof of work. A block is named by sha256d everywhere.
    fn recipe(&self, document: &str) -> Result<String, String> {
        let mut recipe = document.to_owned();
        if self.algorithm == "sha256d" {
            return Ok(recipe);
        }
        let work = format!("= {} hdr\n", self.algorithm);
        for (as_bitcoin, here) in [("= sha256d hdr\n", work.as_str()), ("| id pow |", "| id sha256d hdr |")] {
            let (before, behind) =
                recipe.split_once(as_bitcoin).ok_or("the family's recipe takes no other proof of work")?;
            recipe = [before, here, behind].concat();
        }
        Ok(recipe)
    }
}
