//! How the networks of the family write addresses.

/// The prefixes by which a network's addresses are told apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    /// The human-readable part of bech32 addresses, lower case; empty when the network has none.
    pub hrp: String,
    /// Version bytes of pay-to-public-key-hash addresses. The first is used to write one.
    pub p2pkh: Vec<u8>,
    /// Version bytes of pay-to-script-hash addresses. The first is used to write one.
    pub p2sh: Vec<u8>,
    /// What wallets put before a message that they sign, with the line end: `Bitcoin Signed Message:\n`.
    pub message_magic: String,
}

const BITCOIN_MAGIC: &str = "Bitcoin Signed Message:\n";
const LITECOIN_MAGIC: &str = "Litecoin Signed Message:\n";

impl Network {
    fn new(hrp: &str, p2pkh: &[u8], p2sh: &[u8], magic: &str) -> Self {
        Self { hrp: hrp.into(), p2pkh: p2pkh.to_vec(), p2sh: p2sh.to_vec(), message_magic: magic.into() }
    }

    /// Bitcoin: `1…`, `3…`, `bc1…`.
    #[must_use]
    pub fn mainnet() -> Self {
        Self::new("bc", &[0x00], &[0x05], BITCOIN_MAGIC)
    }

    /// Testnet 3, testnet 4 and signet, whose addresses look alike: `m…`, `n…`, `2…`, `tb1…`.
    #[must_use]
    pub fn testnet4() -> Self {
        Self::new("tb", &[0x6f], &[0xc4], BITCOIN_MAGIC)
    }

    /// Signet; as testnet 4.
    #[must_use]
    pub fn signet() -> Self {
        Self::testnet4()
    }

    /// Bitcoin Core's regtest: `bcrt1…`.
    #[must_use]
    pub fn regtest() -> Self {
        Self::new("bcrt", &[0x6f], &[0xc4], BITCOIN_MAGIC)
    }

    /// bcoin's regtest, which has prefixes of its own: `R…`, `rb1…`.
    #[must_use]
    pub fn bcoin_regtest() -> Self {
        Self::new("rb", &[0x3c], &[0x26], BITCOIN_MAGIC)
    }

    /// Litecoin: `L…`, `M…` (and `3…` of old), `ltc1…`.
    #[must_use]
    pub fn litecoin() -> Self {
        Self::new("ltc", &[0x30], &[0x32, 0x05], LITECOIN_MAGIC)
    }

    /// Litecoin's testnet: `tltc1…`.
    #[must_use]
    pub fn litecoin_testnet() -> Self {
        Self::new("tltc", &[0x6f], &[0x3a, 0xc4], LITECOIN_MAGIC)
    }

    /// Litecoin Core's regtest: `rltc1…`.
    #[must_use]
    pub fn litecoin_regtest() -> Self {
        Self::new("rltc", &[0x6f], &[0x3a, 0xc4], LITECOIN_MAGIC)
    }

    /// lcoin's regtest, which has bcoin's prefixes.
    #[must_use]
    pub fn lcoin_regtest() -> Self {
        Self { message_magic: LITECOIN_MAGIC.into(), ..Self::bcoin_regtest() }
    }

    /// A network by the name that configurations use; none for a name that is not known here, whose prefixes are then
    /// to be configured one by one.
    #[must_use]
    pub fn by_name(name: &str) -> Option<Self> {
        Some(match name {
            "bitcoin" | "mainnet" | "main" => Self::mainnet(),
            "testnet4" | "testnet" | "testnet3" | "test" => Self::testnet4(),
            "signet" => Self::signet(),
            "regtest" => Self::regtest(),
            "bcoin-regtest" => Self::bcoin_regtest(),
            "litecoin" => Self::litecoin(),
            "litecoin-testnet" => Self::litecoin_testnet(),
            "lcoin-regtest" => Self::lcoin_regtest(),
            "litecoin-regtest" => Self::litecoin_regtest(),
            _ => return None,
        })
    }
}
