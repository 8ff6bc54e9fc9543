//! What a pool shows: plain data for the HTTP API, the terminal and the dashboard. Amounts are base units.

pub use crate::what_if::{Both, IncomeRow, Reserve};
pub use millpond_algorithms::CacheFigures;
pub use millpond_contracts::chain::PowFigures;
use millpond_ledger::{ProofStep, SumNode};
pub use millpond_proofs::{Consistency, SignedHead, SignedReceipt, Statement as Document};
pub use millpond_stratum::CountersNow as StratumCounters;
pub use millpond_stratum::UnreadNow as Unread;
use millpond_types::{Amount, Digest, UnixMillis};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Hashes a second.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Hashrate {
    /// Over five minutes.
    pub five_minutes: f64,
    /// Over an hour.
    pub hour: f64,
    /// Over a day.
    pub day: f64,
}

/// Shares since the process started.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ShareCounts {
    /// Credited.
    pub accepted: u64,
    /// On a job of an older tip, or an unknown one.
    pub stale: u64,
    /// Counted before.
    pub duplicate: u64,
    /// Above their target.
    pub low_difficulty: u64,
    /// Refused for another reason.
    pub invalid: u64,
}

/// A plugin in use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PluginView {
    /// "adapter", "scheme", "fee".
    pub role: String,
    /// Its name or path as configured.
    pub name: String,
    /// The component.
    pub digest: Digest,
    /// "running", "quarantined", "failing; incomes wait", "quarantined; incomes wait".
    pub state: String,
    /// The first error since it was loaded, kept until the operator clears it.
    pub first_error: Option<String>,
}

/// A scheme or fee policy with what it is called with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PolicyPlugin {
    /// Its name or path as configured.
    pub name: String,
    /// The component.
    pub digest: Digest,
    /// Its settings: text, whole numbers, true or false.
    pub settings: BTreeMap<String, serde_json::Value>,
}

/// The policy in force for what is found next, and the one that is announced.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PolicyView {
    /// The scheme.
    pub scheme: PolicyPlugin,
    /// The fee policies, in the order in which they apply.
    pub fees: Vec<PolicyPlugin>,
    /// Incomes whose windows end behind this share are divided by it.
    pub from: u64,
    /// Since when.
    pub since: UnixMillis,
    /// Whose debts are still paid out of incomes beside it.
    pub follows: Option<FollowedView>,
    /// What takes over next.
    pub next: Option<NextPolicy>,
}

/// A policy that was followed and still pays for the work that was done under it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct FollowedView {
    /// The scheme.
    pub scheme: PolicyPlugin,
    /// The fee policies, in the order in which they apply to what it pays.
    pub fees: Vec<PolicyPlugin>,
    /// Work up to this share is its to pay, as far as its windows reach; what is behind is the other's.
    pub up_to: u64,
    /// So many incomes more, at the most.
    pub incomes_left: u64,
}

/// A policy that is announced.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct NextPolicy {
    /// The scheme.
    pub scheme: PolicyPlugin,
    /// The fee policies, in the order in which they apply.
    pub fees: Vec<PolicyPlugin>,
    /// When it was announced.
    pub announced: UnixMillis,
    /// Blocks that were found before are divided by the policy in force.
    pub not_before: UnixMillis,
    /// Why, in the operator's words; may be empty.
    pub reason: String,
    /// When it takes over, as a sentence, and who pays for the work of before.
    pub takes_over: String,
    /// What the scheme in force claims of itself and the next does not.
    pub claims_lost: Vec<String>,
    /// What the next claims and the one in force does not.
    pub claims_gained: Vec<String>,
}

/// A block that the pool found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BlockView {
    /// Its id, hex as the chain shows it.
    pub block: String,
    /// Height or score.
    pub coord: u64,
    /// When it was found.
    pub time: UnixMillis,
    /// The finder's address.
    pub finder: String,
    /// The finder's worker.
    pub worker: String,
    /// What the nodes answered.
    pub verdicts: Vec<String>,
    /// "submitted", "pending", "accepted", "orphan", "final".
    pub fate: String,
    /// The income, 0 when none is known.
    pub income: Amount,
    /// Matured.
    pub mature: bool,
}

/// A miner as he sees himself.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MinerView {
    /// His address.
    pub address: String,
    /// What can be paid now.
    pub payable: Amount,
    /// What waits for maturity.
    pub immature: Amount,
    /// What was paid.
    pub paid: Amount,
    /// Where coinbases pay many: what he was due and later blocks are to pay him, or below zero what he was paid ahead.
    /// Nobody holds it.
    pub deferred: Option<i64>,
    /// The balance from which he is paid.
    pub minimum_payout: Amount,
    /// His rate.
    pub hashrate: Hashrate,
    /// His shares.
    pub shares: ShareCounts,
    /// His workers.
    pub workers: Vec<WorkerView>,
}

/// One entry of a miner's account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EntryView {
    /// The ledger's record; the page goes on before it.
    pub seq: u64,
    /// When it was written.
    pub time: UnixMillis,
    /// "income", "shares" (credited from the reserve), "payment", "adjustment".
    pub what: String,
    /// What it is about: the income's key, the numbers of the shares, the payment's number, the operator's reason.
    pub about: String,
    /// The miner's part in base units; below zero when it went out.
    pub amount: i64,
    /// Where it stands now: an income's or payment's state, "booked" for the others, "divided again" for an income that
    /// was lost and divided anew since.
    pub state: String,
}

/// That a part of an income is a miner's: from his part over the path to the root in the ledger's entry, whose sum is all
/// that was divided. Leaf and nodes are hashed as `millpond_ledger::verify_proof` has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct IncomeProof {
    /// The income.
    pub key: String,
    /// The ledger's owner: "m" and the miner's number.
    pub owner: String,
    /// His part.
    pub part: Amount,
    /// Siblings from the leaf upwards.
    pub path: Vec<ProofStep>,
    /// The root.
    pub root: SumNode,
}

/// One entry of a statement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ProvenEntry {
    /// The entry.
    #[serde(flatten)]
    pub entry: EntryView,
    /// BLAKE3 of the ledger's record, in its chain.
    pub record: Digest,
    /// Of an income: that the part is in it.
    pub proof: Option<IncomeProof>,
}

/// A page of a miner's statement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StatementView {
    /// His address.
    pub address: String,
    /// The ledger's owner.
    pub owner: String,
    /// What can be paid now.
    pub payable: Amount,
    /// What waits for maturity.
    pub immature: Amount,
    /// What was paid.
    pub paid: Amount,
    /// Newest first.
    pub entries: Vec<ProvenEntry>,
    /// The next page comes `before` this record; `None` after the last one.
    pub next: Option<u64>,
}

/// What a miner signs to change his settings, in clear text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SettingText {
    /// Whose.
    pub address: String,
    /// The minimum payout that the text asks for; `None`: the pool's own.
    pub minimum_payout: Option<Amount>,
    /// The least that can be asked for.
    pub least: Amount,
    /// The most, where there is a bound.
    pub most: Option<Amount>,
    /// When the text was given: to be sent back with the signature.
    pub issued: UnixMillis,
    /// Until when it is good.
    pub expires: UnixMillis,
    /// The text to sign, to the letter, with the key of the address.
    pub message: String,
}

/// A signed change of a miner's settings.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SettingChange {
    /// As in [`SettingText`].
    pub minimum_payout: Option<Amount>,
    /// As in [`SettingText`].
    pub issued: UnixMillis,
    /// The signature over [`SettingText::message`], as the wallet writes it (base64).
    pub signature: String,
}

/// A miner's settings as they are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MinerSettings {
    /// His address.
    pub address: String,
    /// The balance from which he is paid.
    pub minimum_payout: Amount,
}

/// A worker of a miner.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct WorkerView {
    /// Its name.
    pub name: String,
    /// Its rate.
    pub hashrate: Hashrate,
    /// Its shares.
    pub shares: ShareCounts,
    /// Its last accepted share.
    pub last_share: UnixMillis,
}

/// A payment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PaymentView {
    /// Its number.
    pub id: u64,
    /// Its state.
    pub state: String,
    /// Outputs.
    pub outputs: u64,
    /// Their sum.
    pub amount: Amount,
    /// The network fee.
    pub fee: Amount,
    /// The transaction, once there is one.
    pub txid: Option<String>,
    /// What marks it in the history of a wallet that can only send.
    pub marker: Option<String>,
    /// Why its outcome is unknown, or why it was released.
    pub why: Option<String>,
    /// Last change.
    pub time: UnixMillis,
}

/// Whom a payment pays.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PaymentRowView {
    /// The ledger's owner.
    pub owner: String,
    /// Where it goes.
    pub address: String,
    /// What was reserved for him.
    pub amount: Amount,
}

/// A payment with its rows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PaymentDetail {
    /// The payment.
    #[serde(flatten)]
    pub payment: PaymentView,
    /// Its rows, by owner.
    pub rows: Vec<PaymentRowView>,
}

/// What the jobs keep of their nodes' answers, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Bodies {
    /// Of answers that are whole: the newest.
    pub whole: u64,
    /// Of the pieces that older ones share.
    pub pieces: u64,
}

/// A pool at a glance.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PoolView {
    /// Its name.
    pub name: String,
    /// The network.
    pub network: String,
    /// Height or score of the current job; 0 while there is none.
    pub coord: u64,
    /// Why miners cannot be served now; empty when ready.
    pub not_ready: Vec<String>,
    /// Its rate.
    pub hashrate: Hashrate,
    /// Its shares.
    pub shares: ShareCounts,
    /// Open connections.
    pub connections: u64,
    /// Connections that do not read, and the bytes that wait for them.
    pub unread: Unread,
    /// What its jobs keep of the node's answers.
    pub bodies: Bodies,
    /// What its ports counted since the start.
    pub stratum: StratumCounters,
    /// Work of the round over the network's work, in percent; 100 is par.
    pub effort_percent: f64,
    /// Incomes of blocks in the ledger, those that the chain took back too: one a block where the pool is paid, one for
    /// the fee where the coinbase pays the finder. A block whose income is not booked yet is not among them.
    pub blocks: u64,
    /// Money at a glance.
    pub money: Money,
    /// Its plugins.
    pub plugins: Vec<PluginView>,
    /// Who decides about money, and who will.
    pub policy: PolicyView,
    /// Facts that the adapter alone vouches for.
    pub trusted_to_adapter: Vec<String>,
    /// Days until the disk is full at the present rate; `None` when it never is, as what is kept fits.
    pub disk_days_left: Option<f64>,
    /// Bytes of the journal.
    pub journal_bytes: u64,
    /// The last share that was dropped; 0 when none was.
    pub shares_dropped_to: u64,
    /// Policies that divide beside the one in force, without their incomes.
    pub shadows: Vec<ShadowView>,
    /// What the adapter's own algorithms have cost; for `/metrics` alone.
    #[serde(skip)]
    pub pow: PowFigures,
}

/// A policy in shadow beside the one in force. Sums are of the incomes that it has divided, in base units.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ShadowView {
    /// Its name in the configuration.
    pub name: String,
    /// Its scheme and the start of the component's digest.
    pub scheme: String,
    /// Its fee policies likewise, in the order in which they apply; empty where it takes none.
    pub fees: Vec<String>,
    /// "reading" until all records of before are read, "following", "stopped".
    pub state: String,
    /// Why it was stopped.
    pub why: Option<String>,
    /// The share behind which it begins.
    pub since: u64,
    /// The share up to which it has divided.
    pub newest: u64,
    /// Incomes that it divided.
    pub incomes: u64,
    /// Incomes that wait for what may come before them.
    pub waiting: u64,
    /// Incomes at its beginning whose windows reach shares that are no longer kept; in no sum.
    pub left_out: u64,
    /// Incomes that the chain has; the same under both.
    pub standing: Both,
    /// What miners earned.
    pub miners: Both,
    /// What is left to the operator: fees and the reserve's change, less what miners keep of lost incomes.
    pub operator: Both,
    /// What waits for a later income.
    pub carry: Both,
    /// Of a scheme that pays each share from a reserve.
    pub reserve: Option<Reserve>,
    /// The last incomes, the newest first.
    pub last: Vec<IncomeRow>,
}

/// What a miner would have earned in shadow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MinerShadowView {
    /// The shadow's name.
    pub name: String,
    /// Its scheme and the start of the component's digest.
    pub scheme: String,
    /// Its fee policies likewise, in the order in which they apply.
    pub fees: Vec<String>,
    /// The share up to which both are compared.
    pub newest: u64,
    /// What he earned, in base units.
    #[serde(flatten)]
    pub earned: Both,
}

/// The prepared keys of native algorithms, of all pools together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ContextsView {
    /// What was done and is held.
    pub figures: CacheFigures,
    /// The bytes that they may have.
    pub limit: usize,
}

/// The ledger at a glance. Of matured income: `income = credited + fees + carried`, and where the operator made good what
/// the chain took back, `income + operator_loss + advanced = credited + fees + carried`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Money {
    /// Matured income.
    pub income: Amount,
    /// Credited to miners, paid since or not.
    pub credited: Amount,
    /// The pool's fees.
    pub fees: Amount,
    /// Paid to miners.
    pub paid: Amount,
    /// Left over by rounding, for the next allocation, and the change of a reserve: below zero while PPS has credited
    /// more than came in.
    pub carried: i64,
    /// Incomes lost by the chain that the operator made good.
    pub operator_loss: Amount,
    /// Credited from such incomes that are back on the chain and not mature yet.
    pub advanced: Amount,
    /// Income that is not mature.
    pub immature: Amount,
    /// Whether the equation holds to the unit.
    pub conserved: bool,
}
