//! Which names of node methods an adapter can have at all: those that are made of the words in which templates, blocks
//! and the state of a chain are spoken of, and of nothing else.
//!
//! Names of wallet methods cannot be listed: every node has its own, and the next one invents more (`query_key`,
//! `account_signTransaction`, `fundpsbt`). The words of an adapter's own business can. A name is cut at its punctuation
//! and each part must be a row of words of this list, written together or not: `getblocktemplate`, `get_block_template`
//! and `getBlockTemplateRequest` pass, `getblockkey` does not. The list is the same for all chains, also for those that
//! nobody has written an adapter for; a chain whose template method has another word needs a proxy before its node.

/// The words. None of them moves money, names a key, an account or an address, or changes the node.
pub(crate) const WORDS: &[&str] = &[
    // What is asked.
    "get",
    "submit",
    "notify",
    "subscribe",
    "unsubscribe",
    "wait",
    "estimate",
    "decode",
    "ping",
    "regen",
    // Blocks and work on them.
    "block",
    "blocks",
    "header",
    "headers",
    "hash",
    "hashes",
    "template",
    "work",
    "candidate",
    "solution",
    "mining",
    "target",
    "bits",
    "difficulty",
    "nonce",
    "hashrate",
    "hashps",
    "subsidy",
    "reward",
    "aux",
    "algo",
    "algorithm",
    "merkle",
    "root",
    "branch",
    "proof",
    "size",
    "weight",
    "raw",
    "version",
    "time",
    "timestamp",
    "median",
    // The chain.
    "chain",
    "chains",
    "blockchain",
    "best",
    "tip",
    "tips",
    "last",
    "latest",
    "current",
    "new",
    "height",
    "number",
    "count",
    "depth",
    "confirmations",
    "score",
    "blue",
    "daa",
    "color",
    "sink",
    "virtual",
    "selected",
    "parent",
    "parents",
    "dag",
    "uncle",
    "epoch",
    "index",
    "main",
    "full",
    "minimal",
    "added",
    "changed",
    "changes",
    "sequence",
    "connected",
    "disconnected",
    "reorganization",
    "economic",
    // Transactions that wait or stand in blocks.
    "tx",
    "txs",
    "txid",
    "txids",
    "transaction",
    "transactions",
    "mempool",
    "pool",
    "entry",
    "entries",
    "out",
    "fee",
    "fees",
    "feerate",
    "smart",
    // The node.
    "info",
    "information",
    "status",
    "state",
    "stats",
    "sync",
    "syncing",
    "synced",
    "network",
    "net",
    "peer",
    "peers",
    "connection",
    "connections",
    "client",
    "server",
    "protocol",
    "uptime",
    "deployment",
    "deployments",
    "consensus",
    "params",
    "filter",
    // How a name is put together.
    "by",
    "at",
    "on",
    "from",
    "for",
    "id",
    "ids",
    "request",
    "response",
    "notification",
    "json",
    "api",
    "eth",
    "web3",
    "ckb",
];

/// Names that are made of these words and yet show a wallet's own payments, prove one by its keys, or change the node.
const NOT: &[&str] =
    &["gettransaction", "gettransactions", "subscribetransactions", "gettxproof", "outpeers"];

/// What may stand behind a name and changes nothing of what it does.
const BEHIND: &[&str] = &["request", "response", "notification", "json", "api", "info", "count", "status"];

/// Names that pass as they are: they read an address that they are given, and no other.
const WHOLE: &[&str] = &["validateaddress"];

/// Bytes of a name.
const LONGEST: usize = 128;

/// Why a method can never be granted, if so.
#[must_use]
pub fn never(method: &str) -> Option<&'static str> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/');
    if method.is_empty() || method.len() > LONGEST || !method.chars().all(plain) || method.contains("..") {
        return Some("it is not a plain name");
    }
    let parts = || method.split(|c: char| !c.is_ascii_alphanumeric()).filter(|part| !part.is_empty());
    let flat: String = parts().collect::<String>().to_ascii_lowercase();
    if WHOLE.contains(&flat.as_str()) {
        return None;
    }
    let mut bare = flat.as_str();
    while let Some(shorter) = BEHIND.iter().find_map(|word| bare.strip_suffix(word)) {
        bare = shorter;
    }
    // Whoever sends transactions may send the pool's own.
    let sends = flat.contains("submit") && (flat.contains("tx") || flat.contains("transaction"));
    if flat.is_empty() || sends || NOT.contains(&bare) || !parts().all(known) {
        return Some(
            "it may move money, use keys or change the node: its name is not of blocks and work alone",
        );
    }
    None
}

/// Whether a part is a row of words; digits may stand between them.
fn known(part: &str) -> bool {
    let part = part.to_ascii_lowercase();
    let mut reached = vec![false; part.len().saturating_add(1)];
    if let Some(start) = reached.first_mut() {
        *start = true;
    }
    for at in 0..part.len() {
        if !reached.get(at).is_some_and(|reached| *reached) {
            continue;
        }
        let rest = part.get(at..).unwrap_or_default();
        let digit = rest.starts_with(|c: char| c.is_ascii_digit()).then_some(1);
        let words = WORDS.iter().filter(|word| rest.starts_with(**word)).map(|word| word.len());
        for length in words.chain(digit) {
            if let Some(reached) = reached.get_mut(at.saturating_add(length)) {
                *reached = true;
            }
        }
    }
    reached.last().is_some_and(|reached| *reached)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Method names as their nodes and wallets write them; `#` begins a remark.
    fn names(table: &str) -> impl Iterator<Item = &str> {
        table.lines().filter_map(|line| line.split('#').next()).flat_map(str::split_whitespace)
    }

    #[test]
    fn no_method_of_any_wallet_can_be_granted() {
        let table = include_str!("method_names/never.txt");
        assert!(names(table).count() > 300);
        let granted: Vec<&str> = names(table).filter(|name| never(name).is_none()).collect();
        assert_eq!(granted, [""; 0]);
        // However it is written.
        for name in names(table) {
            let shouted = name.to_ascii_uppercase();
            assert!(never(&shouted).is_some(), "{shouted}");
            let joined: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
            assert!(never(&joined).is_some(), "{joined}");
        }
    }

    #[test]
    fn what_adapters_of_many_chains_need_can_be_granted() {
        let table = include_str!("method_names/adapters.txt");
        let refused: Vec<&str> = names(table).filter(|name| never(name).is_some()).collect();
        assert_eq!(refused, [""; 0]);
    }

    #[test]
    fn a_name_that_hides_something_is_no_name() {
        let long = "get".repeat(LONGEST);
        for name in [
            "",
            "get block",
            "getblock\n",
            "getblöck",
            "/blocks/../wallet",
            "getblock?x=1",
            "%67et",
            "_",
            &long,
        ] {
            assert!(never(name).is_some(), "{name:?}");
        }
    }

    #[test]
    fn authors_read_every_word_in_the_docs() {
        let docs = include_str!("../../../docs/plugin-author.md");
        let lacking: Vec<_> = WORDS.iter().filter(|word| !docs.contains(&format!("`{word}`"))).collect();
        assert!(lacking.is_empty(), "{lacking:?}");
    }
}
