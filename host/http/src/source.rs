//! Where the pages get their data from.

use millpond_alerts::Alarm;
use millpond_pool::proofs::NoStatement;
use millpond_pool::receipts::NoReceipts;
use millpond_pool::settings::SettingRefused;
use millpond_pool::view::{
    BlockView, Consistency, ContextsView, Document, EntryView, MinerSettings, MinerShadowView, MinerView,
    PaymentDetail, PaymentView, PoolView, SettingChange, SettingText, ShadowView, SignedHead, SignedReceipt,
    StatementView,
};
use millpond_types::Amount;

/// The process's pools, read only but for what a miner signed. Called on blocking threads, a few at once, and for reads
/// about once a second for the same answer however many ask: an implementation may take locks, and its work does not
/// grow with the length of the pool's history.
pub trait Source: Send + Sync + 'static {
    /// All pools.
    fn pools(&self) -> Vec<PoolView>;
    /// A pool's blocks before one (by its id), newest first, at most `limit`; `None` for a pool that is not there.
    fn blocks(&self, pool: &str, before: Option<&str>, limit: usize) -> Option<Vec<BlockView>>;
    /// A pool's payments before one (by its number), newest first.
    fn payments(&self, pool: &str, before: Option<u64>, limit: usize) -> Option<Vec<PaymentView>>;
    /// One payment with its rows.
    fn payment(&self, pool: &str, payment: u64) -> Option<PaymentDetail>;
    /// A pool's miners by rate, best first, behind `skip` others, without their workers.
    fn miners(&self, pool: &str, skip: usize, limit: usize) -> Option<Vec<MinerView>>;
    /// One miner by his address.
    fn miner(&self, pool: &str, address: &str) -> Option<MinerView>;
    /// A miner's account before a record of the ledger, newest first; `None` for a pool or miner that is not there.
    fn entries(&self, pool: &str, address: &str, before: Option<u64>, limit: usize)
    -> Option<Vec<EntryView>>;
    /// A miner's account with the proofs of his parts, before a record of the ledger, newest first; each entry is looked up
    /// there, so an implementation bounds `limit`.
    fn statement(
        &self,
        pool: &str,
        address: &str,
        before: Option<u64>,
        limit: usize,
    ) -> Option<StatementView>;
    /// A miner's statement of one entry of the ledger, to be verified without the pool; `None` for a pool that is not
    /// there.
    fn document(&self, pool: &str, address: &str, seq: u64) -> Option<Result<Document, NoStatement>>;
    /// A miner's receipts up to now, oldest first; who asks has them made from then on. `None` for a pool that is not there.
    fn receipts(&self, pool: &str, address: &str) -> Option<Result<Vec<SignedReceipt>, NoReceipts>>;
    /// A pool's signed heads before one (by its number), newest first; an implementation bounds `limit`.
    fn heads(&self, pool: &str, before: Option<u64>, limit: usize) -> Option<Vec<SignedHead>>;
    /// One head, or the newest.
    fn head(&self, pool: &str, number: Option<u64>) -> Option<SignedHead>;
    /// Whether a pool's newest head is older than one that it published, since its data was restored from a backup.
    fn heads_are_held(&self, pool: &str) -> bool;
    /// That a pool's history of so many entries is the beginning of that of so many.
    fn consistency(&self, pool: &str, from: u64, to: u64) -> Option<Consistency>;
    /// A pool's policies in shadow, each with so many of its last incomes.
    fn shadows(&self, pool: &str, incomes: usize) -> Option<Vec<ShadowView>>;
    /// What a miner would have earned under each of them.
    fn miner_shadows(&self, pool: &str, address: &str) -> Option<Vec<MinerShadowView>>;
    /// What a miner signs to set his minimum payout (`None`: the pool's own); `None` for a pool that is not there.
    fn setting_text(
        &self,
        pool: &str,
        address: &str,
        minimum: Option<Amount>,
    ) -> Option<Result<SettingText, SettingRefused>>;
    /// Changes a miner's settings by his signature. Waits until it is durable.
    fn change_setting(
        &self,
        pool: &str,
        address: &str,
        change: &SettingChange,
    ) -> Option<Result<MinerSettings, SettingRefused>>;
    /// The prepared keys of native algorithms.
    fn contexts(&self) -> ContextsView;
    /// The alarms kept, newest last.
    fn alarms(&self) -> Vec<Alarm>;
}
