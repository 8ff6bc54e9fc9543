//! A development chain and a pool's configuration on it, as most tests of a whole pool want them.

use millpond_devchain::{DevChain, Options};

/// A chain with some history, on which coinbases mature after three blocks; a block meets the compact target `bits`.
pub async fn dev_chain(bits: u32) -> DevChain {
    DevChain::start(dev_chain_options(bits)).await.unwrap()
}

/// The same chain, for a test that wants something of its own beside.
pub fn dev_chain_options(bits: u32) -> Options {
    Options { bits, prologue: 10, maturity: 3, economy: 4, ..Options::default() }
}

/// The rest of a section whose balances are paid by order alone.
pub const PAID_BY_ORDER: &str = r#"
[pool.payout]
scheme = "prop"
minimum = 1000
[pool.settlement]
schedule = "manual"
"#;

/// What differs between the configurations of two tests.
pub struct OnDevChain<'a> {
    /// The pool's own address; a new one of the chain's wallet when not said.
    pub pays_to: Option<&'a str>,
    /// Of a share, the same for all miners.
    pub difficulty: &'a str,
    /// More of `[pool.chain]`.
    pub chain: &'a str,
    /// More sections, beginning with those of the pool.
    pub rest: &'a str,
}

impl OnDevChain<'_> {
    /// The configuration of a pool named `dev`.
    pub fn on(&self, chain: &DevChain) -> String {
        let own = self.pays_to.map_or_else(|| chain.new_address(), str::to_owned);
        format!(
            r#"
[host]
[[pool]]
name = "dev"
[pool.chain]
payout_address = "{own}"
confirmations = 3
settings = {{ network = "regtest", maturity = 3, orphan_after = 2 }}
{}
[[pool.node]]
url = "{}"
user = "{}"
password = "{}"
[[pool.port]]
listen = "127.0.0.1:0"
difficulty = {}
fixed = true
{}
"#,
            self.chain,
            chain.url(),
            chain.user(),
            chain.password(),
            self.difficulty,
            self.rest,
        )
    }
}
