//! Where the pages get their data from.

use millpond_alerts::Alarm;
use millpond_pool::view::{BlockView, MinerView, PaymentView, PoolView};

/// The process's pools, read only. Called on the server's threads for each request: an implementation answers from
/// memory and waits for nothing.
pub trait Source: Send + Sync + 'static {
    /// All pools.
    fn pools(&self) -> Vec<PoolView>;
    /// A pool's blocks, newest first, at most `limit`; `None` for a pool that is not there.
    fn blocks(&self, pool: &str, limit: usize) -> Option<Vec<BlockView>>;
    /// A pool's payments, newest first.
    fn payments(&self, pool: &str, limit: usize) -> Option<Vec<PaymentView>>;
    /// A pool's miners by rate, best first, without their workers.
    fn miners(&self, pool: &str, limit: usize) -> Option<Vec<MinerView>>;
    /// One miner by his address.
    fn miner(&self, pool: &str, address: &str) -> Option<MinerView>;
    /// The alarms kept, newest last.
    fn alarms(&self) -> Vec<Alarm>;
}
