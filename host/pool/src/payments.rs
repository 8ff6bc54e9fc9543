//! The payments of a running pool: the wallet from the configuration, and a thread that pays on schedule.

use crate::core::Core;
use crate::edges::Edge;
use crate::setup::{SetupError, basic};
use millpond_alerts::Level;
use millpond_config::Pool as Section;
use millpond_contracts::chain::Description;
use millpond_ledger::{FeeName, Owner, PaymentId, TxId};
use millpond_node::{Auth, Endpoint, HttpClient, JsonRpc, Limits};
use millpond_settlement::{
    BcoinWallet, BitcoinBytes, Call, Charge, CoreWallet, NodeRpc, PayTo, Policy, Report, Schedule,
    SendManyWallet, Settlement, SettlementError, SignedCheck, Skip, Skipped, Wallet, WalletsWord,
};
use millpond_types::{Amount, UnixMillis};
use parking_lot::{Mutex, RwLock};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// A wallet's call may take this long: a Core wallet with many coins is slow.
const PATIENCE: Duration = Duration::from_secs(60);
/// The schedule is looked at this often.
const TICK: Duration = Duration::from_millis(500);
/// A run on schedule that failed is begun again after this time.
const AGAIN: u64 = 30_000;
/// Open payments are followed at least this often.
const FOLLOW: u64 = 30_000;
/// Of those who wait so many are shown.
const SKIPPED_SHOWN: usize = 1_000;
/// The key of a miner's own minimum among his settings.
pub(crate) const MINIMUM: &str = "payout.minimum";

/// Pays one pool's owners.
pub(crate) struct Payments {
    /// One run at a time.
    running: Mutex<Running>,
    payees: RwLock<Arc<PayeeRules>>,
    /// Nothing is looked at, built or sent before an operator says so ([`crate::held`]).
    pub(crate) held: AtomicBool,
    stop: AtomicBool,
}

#[derive(Debug)]
struct Running {
    settlement: Settlement,
    schedule: Schedule,
    /// When a run went through, whatever it had to pay.
    last: UnixMillis,
    last_height: u64,
    /// When a run was last begun on schedule: one that failed is begun again after a while.
    begun: UnixMillis,
    followed: UnixMillis,
}

impl Running {
    /// Open payments are followed as often as new ones are made, on chains that are quicker than usual.
    fn pace(&self) -> u64 {
        match &self.schedule {
            Schedule::Interval(ms) => *ms,
            _ => FOLLOW,
        }
    }
}

/// What decides where an owner's money goes.
#[derive(Debug)]
struct PayeeRules {
    fee_addresses: BTreeMap<FeeName, String>,
    minimum: Amount,
}

/// When and how a section's balances are paid, checked.
#[derive(Debug)]
pub(crate) struct Rules {
    schedule: Schedule,
    policy: Policy,
    payees: PayeeRules,
}

impl Rules {
    /// Of a section.
    pub(crate) fn of(
        section: &Section,
        fee_addresses: BTreeMap<FeeName, String>,
    ) -> Result<Self, SetupError> {
        let rules = &section.settlement;
        let schedule = schedule(section)?;
        let minimum = section.payout.minimum;
        let policy = Policy {
            minimum,
            cap_per_run: rules.cap_per_run,
            cap_per_day: rules.cap_per_day,
            batch: usize::from(rules.batch.max(1)),
            charge: if rules.network_fee == "miners" { Charge::Owners } else { Charge::Pool },
            fee_rate: rules.fee_rate.0,
            max_fee: rules.max_fee,
            confirmations: rules.confirmations.max(1),
        };
        Ok(Self { schedule, policy, payees: PayeeRules { fee_addresses, minimum } })
    }
}

/// When a section's balances are paid.
pub(crate) fn schedule(section: &Section) -> Result<Schedule, SetupError> {
    let rules = &section.settlement;
    let parsed = rules.schedule.parse::<Schedule>();
    parsed.map_err(|why| SetupError(vec![format!("line {}: settlement.schedule: {why}", rules.span.line)]))
}

impl Payments {
    /// The wallet and the rules of a section; `None` for a pool without a wallet.
    pub(crate) fn new(
        section: &Section,
        core: &Core,
        fee_addresses: BTreeMap<FeeName, String>,
        chain: &Description,
        runtime: &tokio::runtime::Handle,
    ) -> Result<Option<Self>, SetupError> {
        let Some(wallet) = wallet(section, chain.final_after, runtime)? else { return Ok(None) };
        let Rules { schedule, policy, payees } = Rules::of(section, fee_addresses)?;
        // Chains whose coinbase the host reads have Bitcoin's transactions too.
        let check: Box<dyn SignedCheck> = if section.chain.trust_adapter_with_coinbase {
            Box::new(WalletsWord)
        } else {
            Box::new(BitcoinBytes::of_network(&chain.network))
        };
        let mut settlement = Settlement::new(Arc::clone(&core.ledger), wallet, policy).with_check(check);
        if core.edges.are_watched() {
            let edges = core.edges.clone();
            settlement = settlement.with_hook(move |edge, _| {
                edges.pass(Edge::Payment(edge));
                true
            });
        }
        let never = UnixMillis(0);
        let last = match &schedule {
            // It goes on from the newest payment: a process that is restarted often pays all the same. A run too many
            // pays nobody twice.
            Schedule::Interval(_) => {
                core.ledger.book().payments().next_back().map_or(never, |payment| payment.reserved_at)
            }
            // At the operator's hour, not at the hour of a start.
            _ => UnixMillis::now(),
        };
        let running = Running { settlement, schedule, last, last_height: 0, begun: never, followed: never };
        Ok(Some(Self {
            running: Mutex::new(running),
            payees: RwLock::new(Arc::new(payees)),
            held: AtomicBool::new(false),
            stop: AtomicBool::new(false),
        }))
    }

    /// With payments that wait for an operator's word, or not.
    pub(crate) fn held(self, held: bool) -> Self {
        Self { held: AtomicBool::new(held), ..self }
    }

    /// Pays by other rules from now on; a run that is under way ends by its own.
    pub(crate) fn replace(&self, rules: Rules) {
        let mut running = self.running.lock();
        running.schedule = rules.schedule;
        running.settlement.set_policy(rules.policy);
        *self.payees.write() = Arc::new(rules.payees);
    }

    /// Where an owner's money goes.
    pub(crate) fn pay_to(&self, core: &Core, owner: &Owner) -> Option<PayTo> {
        let rules = Arc::clone(&self.payees.read());
        match owner {
            Owner::Miner(id) => {
                let address = core.journal.miner_by_id(*id)?.address;
                Some(PayTo { address, minimum: own_minimum(core, *id).unwrap_or(rules.minimum) })
            }
            Owner::Fee(name) => {
                let address = rules.fee_addresses.get(name)?.clone();
                Some(PayTo { address, minimum: rules.minimum })
            }
            Owner::Carry | Owner::Reserve => None,
        }
    }

    /// Pays what is due now.
    pub(crate) fn run(&self, core: &Core) -> Result<Report, SettlementError> {
        let mut running = self.running.lock();
        let now = UnixMillis::now();
        let height = core.jobs.current().map_or(0, |job| job.coord);
        (running.begun, running.followed) = (now, now);
        let report = running.settlement.run(now, &|owner: &Owner| self.pay_to(core, owner))?;
        // Only now: what failed is due still.
        (running.last, running.last_height) = (now, height);
        tell(core, &report);
        Ok(report)
    }

    /// The settlement itself, for the operator's orders; no run is under way meanwhile.
    pub(crate) fn with<T>(&self, work: impl FnOnce(&Settlement) -> T) -> T {
        work(&self.running.lock().settlement)
    }

    /// The thread: recovers at once, then follows and pays on schedule until told to stop.
    pub(crate) fn keep_paying(&self, core: &Arc<Core>) {
        let mut told: Option<String> = None;
        let mut first = true;
        while !self.stop.load(Ordering::Acquire) {
            if self.held.load(Ordering::Acquire) {
                std::thread::sleep(TICK);
                continue;
            }
            let done = self.look(core, first);
            first = false;
            match done {
                Ok(()) => told = None,
                Err(error) => {
                    let text = alarming(&error);
                    if told.as_ref() != Some(&text) {
                        core.alarm(Level::Critical, "wallet", text.clone());
                        told = Some(text);
                    }
                }
            }
            std::thread::sleep(TICK);
        }
    }

    fn look(&self, core: &Core, first: bool) -> Result<(), SettlementError> {
        let now = UnixMillis::now();
        let height = core.jobs.current().map_or(0, |job| job.coord);
        let (due, follow) = {
            let mut running = self.running.lock();
            if running.last_height == 0 {
                running.last_height = height;
            }
            let failed = running.begun > running.last;
            let due = running.schedule.is_due(running.last, running.last_height, now, height)
                && (!failed || now.since(running.begun) >= AGAIN.min(running.pace()));
            (due, first || now.since(running.followed) >= FOLLOW.min(running.pace()))
        };
        if due {
            self.run(core)?;
            crate::unconfirmed::tell(core, now);
            Ok(())
        } else if follow {
            let mut running = self.running.lock();
            running.followed = now;
            // Open, or settled not long ago.
            if !running.settlement.watches(now) && core.ledger.open_payments().is_empty() {
                return Ok(());
            }
            let report = running.settlement.recover(now)?;
            tell(core, &report);
            crate::unconfirmed::tell(core, now);
            Ok(())
        } else {
            Ok(())
        }
    }

    /// After an end: who pays next is not ended at once.
    pub(crate) fn begin(&self) {
        self.stop.store(false, Ordering::Release);
    }

    pub(crate) fn end(&self) {
        self.stop.store(true, Ordering::Release);
    }
}

impl crate::Pool {
    pub(crate) fn payer(&self) -> Result<&Arc<Payments>, String> {
        self.payments.as_ref().ok_or_else(|| "this pool has no wallet: [pool.wallet]".to_owned())
    }

    /// What a payment run would pay now. Blocks; writes and sends nothing.
    ///
    /// # Errors
    /// When there is no wallet, or it does not answer.
    pub fn payments_dry_run(&self) -> Result<serde_json::Value, String> {
        let payer = self.payer()?;
        let to = |owner: &Owner| payer.pay_to(&self.core, owner);
        let plan = payer.with(|it| it.dry_run(UnixMillis::now(), &to)).map_err(|why| why.to_string())?;
        let rows = plan.batches.iter().map(|rows| {
            let row = |row: &millpond_ledger::PaymentRow| {
                serde_json::json!({"owner": row.owner, "address": row.address, "amount": row.amount})
            };
            rows.iter().map(row).collect::<Vec<_>>()
        });
        let waiting = plan.skipped.len();
        Ok(serde_json::json!({"batches": rows.collect::<Vec<_>>(), "skipped": skipped(plan.skipped),
            "waiting": waiting}))
    }

    /// Holds ledger, wallet and chain against each other. Blocks.
    ///
    /// # Errors
    /// When there is no wallet, it does not answer, or it cannot tell what it did.
    pub fn payments_reconcile(&self) -> Result<serde_json::Value, String> {
        let payer = self.payer()?;
        let found = payer.with(|it| it.reconcile()).map_err(|why| why.to_string())?;
        // A sum that JSON has no integer for is text.
        let number =
            |sum: i128| i64::try_from(sum).map_or_else(|_| sum.to_string().into(), serde_json::Value::from);
        let difference = |one: &millpond_settlement::Difference| serde_json::json!({"code": one.code.name(), "amount": number(one.amount), "wrong": one.wrong, "about": one.about});
        let differences: Vec<_> = found.differences.iter().map(difference).collect();
        Ok(
            serde_json::json!({"holds": found.holds(), "ledger": number(found.ledger), "wallet": number(found.wallet),
            "residual": number(found.residual), "differences": differences}),
        )
    }

    /// Pays what is due now. Blocks.
    ///
    /// # Errors
    /// When there is no wallet, it does not answer, or the order could not be recorded.
    pub fn payments_run(&self, actor: &str) -> Result<serde_json::Value, String> {
        let payer = self.payer()?;
        self.not_held()?;
        self.record_admin(actor, "payments_run", &[])?;
        let report = payer.run(&self.core).map_err(|error| {
            // Whoever ordered the run, a wallet that signs something else is everybody's matter.
            if matches!(error, SettlementError::Transaction { .. }) {
                self.core.alarm(Level::Critical, "wallet", alarming(&error));
            }
            error.to_string()
        })?;
        let step = |step: &millpond_settlement::Step| serde_json::json!({"payment": step.payment.0, "state": step.state, "note": step.note});
        let steps: Vec<_> = report.steps.iter().map(step).collect();
        Ok(serde_json::json!({"steps": steps, "blocked": report.blocked.map(|id| id.0)}))
    }

    /// Says which transaction a payment of unknown outcome became; `as_made`, that it is booked though it pays otherwise
    /// than was asked. Blocks.
    ///
    /// # Errors
    /// When the wallet's history says otherwise.
    pub fn payment_resolve(
        &self,
        payment: u64,
        txid: &str,
        as_made: bool,
        actor: &str,
    ) -> Result<serde_json::Value, String> {
        let payer = self.payer()?;
        let number = payment.to_string();
        let mut order = vec![number.as_str(), txid];
        order.extend(as_made.then_some("as made"));
        self.record_admin(actor, "payments_resolve", &order)?;
        let (id, txid, now) = (PaymentId(payment), TxId(txid.to_owned()), UnixMillis::now());
        let lost = payer.with(|it| {
            if as_made {
                return it.resolve_as_made(id, &txid, actor, now).map(Some);
            }
            it.resolve(id, &txid, actor, now).map(|()| None)
        });
        let lost = lost.map_err(|why| why.to_string())?;
        Ok(match lost {
            Some(lost) => serde_json::json!({"payment": payment, "txid": txid.0, "lost": lost}),
            None => serde_json::json!({"payment": payment, "txid": txid.0}),
        })
    }

    /// Gives up a payment that cannot be paid any more. `wallet_restarted` is the operator's word that no call of before
    /// waits in the wallet. Blocks.
    ///
    /// # Errors
    /// When it could still be paid.
    pub fn payment_release(
        &self,
        payment: u64,
        wallet_restarted: bool,
        actor: &str,
    ) -> Result<serde_json::Value, String> {
        let payer = self.payer()?;
        self.not_shown(payment)?;
        let number = payment.to_string();
        let mut order = vec![number.as_str()];
        order.extend(wallet_restarted.then_some("wallet restarted"));
        self.record_admin(actor, "payments_release", &order)?;
        let (id, now) = (PaymentId(payment), UnixMillis::now());
        let (call, why) = if wallet_restarted {
            (Call::Ended, "released, after the wallet was started anew")
        } else {
            (Call::MayWait, "released")
        };
        payer.with(|it| it.release(id, actor, why, call, now)).map_err(|why| why.to_string())?;
        Ok(serde_json::json!({"payment": payment, "released": true}))
    }

    /// Books a settled payment back that another transaction took the place of. Blocks.
    ///
    /// # Errors
    /// When it could still be paid, or payments wait after a restore.
    pub fn payment_undo(&self, payment: u64, why: &str, actor: &str) -> Result<serde_json::Value, String> {
        let payer = self.payer()?;
        self.not_held()?;
        let number = payment.to_string();
        self.record_admin(actor, "payments_undo", &[number.as_str(), why])?;
        let (id, now) = (PaymentId(payment), UnixMillis::now());
        let back = payer.with(|it| it.undo(id, actor, why, now)).map_err(|why| why.to_string())?;
        Ok(serde_json::json!({"payment": payment, "undone": true, "returned": back}))
    }
}

/// Who waits and why, those with the most first.
fn skipped(mut all: Vec<Skipped>) -> Vec<serde_json::Value> {
    all.sort_by_key(|skipped| std::cmp::Reverse(skipped.amount));
    let one = |Skipped { owner, amount, why }: Skipped| {
        let why = match why {
            Skip::BelowMinimum(minimum) => format!("he has less than {minimum}"),
            Skip::NoAddress => "no address of his is known".to_owned(),
            Skip::OwnAddressOnly => "his address is the wallet's own: there is nothing to send".to_owned(),
            Skip::CapPerRun => "settlement.cap_per_run is reached".to_owned(),
            Skip::CapPerDay => "settlement.cap_per_day is reached".to_owned(),
            Skip::NotSpendable => "the wallet's spendable coins do not reach".to_owned(),
        };
        serde_json::json!({"owner": owner, "amount": amount, "why": why})
    };
    all.into_iter().take(SKIPPED_SHOWN).map(one).collect()
}

/// A miner's own minimum, as he or the operator set it.
pub(crate) fn own_minimum(core: &Core, miner: millpond_types::MinerId) -> Option<Amount> {
    core.journal.miner_setting(miner, MINIMUM)?.value.parse().ok().map(Amount)
}

/// What the operator is told when payments stop. It names no payment, whose number changes with each attempt: the same
/// trouble is one alarm.
fn alarming(error: &SettlementError) -> String {
    match error {
        SettlementError::Transaction { why, .. } if why.is_fee() => {
            format!(
                "a payment waits, since its network fee is too high; raise settlement.max_fee, or wait: {why}"
            )
        }
        SettlementError::Transaction { why, .. } => {
            format!(
                "the wallet signed something else than it was asked for; it was not sent, check the wallet: {why}"
            )
        }
        error => format!("payments wait: {error}"),
    }
}

fn tell(core: &Core, report: &Report) {
    if let Some(payment) = report.blocked {
        let text = format!(
            "the outcome of payment {} is unknown: nothing new is paid until `millpond payments resolve` or `release`",
            payment.0
        );
        core.alarm(Level::Critical, "wallet", text);
    }
    for step in report.removed.iter().chain(&report.extra) {
        core.alarm(Level::Critical, "wallet", format!("payment {}: {}", step.payment.0, step.note));
    }
    for step in &report.steps {
        if step.state == "released" && !step.again {
            // It is tried again in the next run, with the same outcome as long as nobody looks. Its number changes.
            core.alarm(
                Level::Warning,
                "wallet",
                format!("a payment was not made and is released: {}", step.note),
            );
        }
        tracing::info!(pool = %core.name, payment = step.payment.0, state = step.state, "{}", step.note);
    }
}

pub(crate) fn wallet(
    section: &Section,
    final_after: u32,
    runtime: &tokio::runtime::Handle,
) -> Result<Option<Arc<dyn Wallet>>, SetupError> {
    let Some(wallet) = &section.wallet else { return Ok(None) };
    let wrong =
        |why: &dyn std::fmt::Display| SetupError(vec![format!("line {}: wallet: {why}", wallet.span.line)]);
    let node = section.node.first().ok_or_else(|| wrong(&"there is no node"))?;
    let node_auth = match (&node.cookie, &node.password) {
        (Some(cookie), _) => Auth::Cookie(cookie.clone()),
        (None, Some(password)) => basic(&node.user, password).map_err(|why| wrong(&why))?,
        (None, None) => Auth::None,
    };
    let auth = match &wallet.password {
        Some(password) => basic(&wallet.user, password).map_err(|why| wrong(&why))?,
        None => node_auth.clone(),
    };
    let url = wallet.url.clone().unwrap_or_else(|| node.url.clone());
    let endpoint = |url: String, auth: &Auth| Endpoint { url, auth: auth.clone() };
    let rpc = |url: String, auth: &Auth| {
        let client = JsonRpc::new(endpoint(url, auth), Limits::default()).map_err(|why| wrong(&why))?;
        Ok::<_, SetupError>(NodeRpc::new(client, runtime.clone(), PATIENCE))
    };
    let wallet: Arc<dyn Wallet> = match wallet.driver.as_str() {
        "bcoin" => {
            let client = HttpClient::new(endpoint(url.clone(), &auth), Limits::default())
                .map_err(|why| wrong(&why))?;
            let rest = NodeRpc::new(client, runtime.clone(), PATIENCE);
            let name = wallet.name.as_deref().unwrap_or("primary");
            Arc::new(BcoinWallet::new(
                rpc(node.url.clone(), &node_auth)?,
                rpc(url, &auth)?,
                rest,
                name,
                1,
                final_after,
            ))
        }
        "sendmany" => Arc::new(SendManyWallet::new(rpc(named(url, wallet.name.as_deref()), &auth)?, 1)),
        _ => Arc::new(CoreWallet::new(rpc(named(url, wallet.name.as_deref()), &auth)?, 1)),
    };
    Ok(Some(wallet))
}

/// Bitcoin Core serves each of several wallets under a path of its own.
fn named(url: String, wallet: Option<&str>) -> String {
    match wallet {
        Some(name) => format!("{}/wallet/{name}", url.trim_end_matches('/')),
        None => url,
    }
}
