//! The pages' view of all pools.

use millpond_alerts::{Alarm, Alarms};
use millpond_http::Source;
use millpond_pool::Pool;
use millpond_pool::view::{BlockView, MinerView, PaymentView, PoolView};
use std::sync::Arc;

pub(crate) struct Pools {
    pub(crate) all: Vec<Arc<Pool>>,
    pub(crate) alarms: Alarms,
}

impl Pools {
    pub(crate) fn named(&self, name: &str) -> Option<&Arc<Pool>> {
        self.all.iter().find(|pool| pool.name() == name)
    }
}

impl Source for Pools {
    fn pools(&self) -> Vec<PoolView> {
        self.all.iter().map(|pool| pool.view()).collect()
    }

    fn blocks(&self, pool: &str, limit: usize) -> Option<Vec<BlockView>> {
        Some(self.named(pool)?.blocks(limit))
    }

    fn payments(&self, pool: &str, limit: usize) -> Option<Vec<PaymentView>> {
        Some(self.named(pool)?.payments(limit))
    }

    fn miners(&self, pool: &str, limit: usize) -> Option<Vec<MinerView>> {
        Some(self.named(pool)?.miners(limit))
    }

    fn miner(&self, pool: &str, address: &str) -> Option<MinerView> {
        self.named(pool)?.miner(address)
    }

    fn alarms(&self) -> Vec<Alarm> {
        self.alarms.list()
    }
}
