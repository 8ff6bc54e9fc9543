//! How a development chain is set up.

use bitcoin::CompactTarget;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The easiest target, regtest's: every second hash meets it.
pub const EASIEST: u32 = 0x207f_ffff;

/// What time it is on the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// The system's clock.
    System,
    /// `start` seconds (unix time) plus `step` for each block of the active chain: with it two chains of one seed are
    /// equal to the byte.
    Stepped {
        /// Unix time at genesis, in seconds.
        start: u32,
        /// Seconds per block.
        step: u32,
    },
}

impl Clock {
    pub(crate) fn now(self, height: u32) -> u32 {
        match self {
            Self::Stepped { start, step } => start.saturating_add(step.saturating_mul(height)),
            Self::System => {
                let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                u32::try_from(since.as_secs()).unwrap_or(u32::MAX)
            }
        }
    }
}

/// The set-up of a development chain. The default is as Bitcoin Core's regtest: easiest target, maturity 100, halving
/// every 150 blocks, an empty mempool.
#[derive(Clone, Debug)]
pub struct Options {
    /// Keys, fees and the economy follow from it.
    pub seed: u64,
    /// The compact target of all blocks behind the prologue. `0x1f00ffff` takes 65,536 hashes on average.
    pub bits: u32,
    /// Blocks that are made at the start, at the easiest target. Their rewards belong to the economy where there is
    /// one, else to the wallet.
    pub prologue: u32,
    /// Blocks on top of a coinbase before it can be spent, as Core counts: spendable in block `height + maturity`.
    pub maturity: u32,
    /// Blocks between halvings of the subsidy, which begins with 50 coins.
    pub halving: u32,
    /// Transactions that are kept in the mempool, made up anew after every block. Needs a prologue above the maturity.
    pub economy: u32,
    /// The version that templates carry. Core's regtest has bit 28 set (testdummy), which lies inside the mask of
    /// BIP 320; so has the default, `0x30000000`.
    pub version: i32,
    /// What time it is.
    pub clock: Clock,
    /// Whether templates carry a longpoll id.
    pub longpoll: bool,
    /// When a longpoll looks at the mempool: first after, then every. Core has 60 s and 10 s.
    pub longpoll_mempool: (Duration, Duration),
    /// Whether block hashes are published over ZMQ (`hashblock`).
    pub zmq: bool,
    /// The RPC user.
    pub user: String,
    /// The RPC password.
    pub password: String,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            seed: 1,
            bits: EASIEST,
            prologue: 0,
            maturity: 100,
            halving: 150,
            economy: 0,
            version: 0x3000_0000,
            clock: Clock::System,
            longpoll: true,
            longpoll_mempool: (Duration::from_secs(60), Duration::from_secs(10)),
            zmq: false,
            user: "devchain".into(),
            password: "devchain".into(),
        }
    }
}

/// The rules that blocks are judged by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Params {
    pub(crate) bits: u32,
    pub(crate) prologue: u32,
    pub(crate) maturity: u32,
    pub(crate) halving: u32,
}

impl Params {
    pub(crate) fn of(options: &Options) -> Self {
        let Options { bits, prologue, maturity, halving, .. } = *options;
        Self { bits, prologue, maturity, halving }
    }

    /// The target that a block of this height must carry. It never adjusts, as on regtest.
    pub(crate) fn bits_at(self, height: u32) -> CompactTarget {
        CompactTarget::from_consensus(if height <= self.prologue { EASIEST } else { self.bits })
    }

    /// The subsidy in satoshi.
    pub(crate) fn subsidy(self, height: u32) -> u64 {
        let halvings = height.checked_div(self.halving).unwrap_or(0);
        5_000_000_000_u64.checked_shr(halvings).unwrap_or(0)
    }
}
