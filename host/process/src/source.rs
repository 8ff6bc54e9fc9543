//! The pages' view of all pools.

use millpond_alerts::{Alarm, Alarms};
use millpond_algorithms::Algorithms;
use millpond_http::Source;
use millpond_pool::Pool;
use millpond_pool::proofs::NoStatement;
use millpond_pool::receipts::NoReceipts;
use millpond_pool::settings::SettingRefused;
use millpond_pool::view::{
    BlockView, Consistency, ContextsView, Document, EntryView, MinerSettings, MinerShadowView, MinerView,
    PaymentDetail, PaymentView, PoolView, SettingChange, SettingText, ShadowView, SignedHead, SignedReceipt,
    StatementView,
};
use millpond_types::{Amount, UnixMillis};
use std::sync::Arc;

pub(crate) struct Pools {
    pub(crate) all: Vec<Arc<Pool>>,
    pub(crate) alarms: Alarms,
    pub(crate) algorithms: Algorithms,
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

    fn blocks(&self, pool: &str, before: Option<&str>, limit: usize) -> Option<Vec<BlockView>> {
        Some(self.named(pool)?.blocks_before(before, limit))
    }

    fn payments(&self, pool: &str, before: Option<u64>, limit: usize) -> Option<Vec<PaymentView>> {
        Some(self.named(pool)?.payments_before(before, limit))
    }

    fn payment(&self, pool: &str, payment: u64) -> Option<PaymentDetail> {
        self.named(pool)?.payment(payment)
    }

    fn miners(&self, pool: &str, skip: usize, limit: usize) -> Option<Vec<MinerView>> {
        Some(self.named(pool)?.miners_behind(skip, limit))
    }

    fn miner(&self, pool: &str, address: &str) -> Option<MinerView> {
        self.named(pool)?.miner(address)
    }

    fn entries(
        &self,
        pool: &str,
        address: &str,
        before: Option<u64>,
        limit: usize,
    ) -> Option<Vec<EntryView>> {
        self.named(pool)?.entries(address, before, limit)
    }

    fn statement(
        &self,
        pool: &str,
        address: &str,
        before: Option<u64>,
        limit: usize,
    ) -> Option<StatementView> {
        self.named(pool)?.statement(address, before, limit)
    }

    fn document(&self, pool: &str, address: &str, seq: u64) -> Option<Result<Document, NoStatement>> {
        Some(self.named(pool)?.statement_of(address, seq))
    }

    fn receipts(&self, pool: &str, address: &str) -> Option<Result<Vec<SignedReceipt>, NoReceipts>> {
        Some(self.named(pool)?.receipts(address, UnixMillis::now()))
    }

    fn heads(&self, pool: &str, before: Option<u64>, limit: usize) -> Option<Vec<SignedHead>> {
        Some(self.named(pool)?.heads(before, limit))
    }

    fn head(&self, pool: &str, number: Option<u64>) -> Option<SignedHead> {
        self.named(pool)?.head(number)
    }

    fn heads_are_held(&self, pool: &str) -> bool {
        self.named(pool).is_some_and(|pool| pool.heads_are_held())
    }

    fn consistency(&self, pool: &str, from: u64, to: u64) -> Option<Consistency> {
        self.named(pool)?.consistency(from, to)
    }

    fn shadows(&self, pool: &str, incomes: usize) -> Option<Vec<ShadowView>> {
        Some(self.named(pool)?.shadows(incomes))
    }

    fn miner_shadows(&self, pool: &str, address: &str) -> Option<Vec<MinerShadowView>> {
        self.named(pool)?.miner_shadows(address)
    }

    fn setting_text(
        &self,
        pool: &str,
        address: &str,
        minimum: Option<Amount>,
    ) -> Option<Result<SettingText, SettingRefused>> {
        Some(self.named(pool)?.setting_text(address, minimum))
    }

    fn change_setting(
        &self,
        pool: &str,
        address: &str,
        change: &SettingChange,
    ) -> Option<Result<MinerSettings, SettingRefused>> {
        Some(self.named(pool)?.change_setting(address, change))
    }

    fn contexts(&self) -> ContextsView {
        let contexts = self.algorithms.contexts();
        ContextsView { figures: contexts.figures(), limit: contexts.budget() }
    }

    fn alarms(&self) -> Vec<Alarm> {
        self.alarms.list()
    }
}
