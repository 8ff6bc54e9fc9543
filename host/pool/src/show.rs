//! What a pool shows of itself.

use crate::expiry;
use crate::payments::own_minimum;
use crate::pool::Pool;
use crate::shadow::Shadow;
use crate::view::{
    BlockView, EntryView, MinerShadowView, MinerView, Money, PaymentDetail, PaymentRowView, PaymentView,
    PluginView, PoolView, ShadowView, WorkerView,
};
use millpond_admin::Role;
use millpond_journal::{Edge, JournalError, Measure, Span, Window};
use millpond_ledger::{
    Book, Owned, OwnedWhat, Owner, PaymentId, PaymentRow, PaymentState, PaymentStatus, Totals,
};
use millpond_types::{Amount, MinerId, UnixMillis};

fn amount(value: i128) -> Amount {
    Amount(u64::try_from(value.max(0)).unwrap_or(u64::MAX))
}

impl From<&Totals> for Money {
    fn from(totals: &Totals) -> Self {
        Self {
            income: amount(totals.income),
            credited: amount(totals.credited),
            fees: amount(totals.fees),
            paid: amount(totals.paid),
            carried: i64::try_from(totals.carried).unwrap_or(if totals.carried < 0 {
                i64::MIN
            } else {
                i64::MAX
            }),
            operator_loss: amount(totals.operator_loss),
            advanced: amount(totals.advanced),
            immature: amount(totals.immature),
            conserved: totals.conserved,
        }
    }
}

fn shown(shadow: &Shadow, incomes: usize) -> ShadowView {
    let now = shadow.shown();
    let state = match (&now.stopped, &now.answer) {
        (Some(_), _) => "stopped",
        (None, Some(_)) => "following",
        (None, None) => "reading",
    };
    let named = ShadowView {
        name: shadow.name().to_owned(),
        scheme: shadow.scheme().to_owned(),
        fees: shadow.fees(),
        state: state.to_owned(),
        why: now.stopped,
        since: shadow.policy().from.0,
        ..ShadowView::default()
    };
    let Some(answer) = now.answer else { return named };
    ShadowView {
        newest: answer.newest.0,
        incomes: answer.incomes.len() as u64,
        waiting: answer.waiting,
        left_out: answer.left_out,
        standing: answer.standing,
        miners: answer.miners_in_all,
        operator: answer.operator,
        carry: answer.carry,
        reserve: answer.reserve,
        last: answer.incomes.iter().rev().take(incomes).cloned().collect(),
        ..named
    }
}

impl Pool {
    /// The pool at a glance.
    #[must_use]
    pub fn view(&self) -> PoolView {
        let now = UnixMillis::now();
        let core = &self.core;
        let (hashrate, shares) = core.stats.pool(now);
        let totals = core.ledger.totals();
        let status = core.chain().map(|chain| chain.status()).unwrap_or_default();
        let journal_bytes = core
            .journal
            .view()
            .log()
            .segments()
            .fold(0_u64, |sum, segment| sum.saturating_add(segment.bytes));
        PoolView {
            name: core.name.to_string(),
            network: self.network.clone(),
            coord: status.coord,
            not_ready: self.not_ready(),
            hashrate,
            shares,
            connections: u64::try_from(self.server.connections()).unwrap_or(u64::MAX),
            unread: self.server.unread(),
            bodies: expiry::bodies(&self.core),
            stratum: self.server.counters(),
            effort_percent: self.effort(now),
            blocks: core.ledger.income_count(),
            money: Money::from(&totals),
            plugins: self.plugins(),
            policy: self.policy(),
            trusted_to_adapter: self.trusted(),
            disk_days_left: self.disk_days_left(journal_bytes),
            journal_bytes,
            shares_dropped_to: core.journal.dropped().last.0,
            shadows: self.shadows(0),
            pow: core.chain().map(|chain| chain.pow_figures()).unwrap_or_default(),
        }
    }

    /// The policies in shadow, each with so many of its last incomes.
    #[must_use]
    pub fn shadows(&self, incomes: usize) -> Vec<ShadowView> {
        let shadows = self.core.shadows.iter();
        shadows.map(|shadow| shown(shadow, incomes)).collect()
    }

    /// What a miner earned and would have earned; `None` for one who has never mined here.
    #[must_use]
    pub fn miner_shadows(&self, address: &str) -> Option<Vec<MinerShadowView>> {
        let miner = self.core.journal.miner_by_address(address)?.id;
        let of = |shadow: &Shadow| {
            let answer = shadow.shown().answer?;
            let at = answer.miners.binary_search_by_key(&miner, |row| row.miner).ok();
            let row = at.and_then(|at| answer.miners.get(at));
            Some(MinerShadowView {
                name: shadow.name().to_owned(),
                scheme: shadow.scheme().to_owned(),
                fees: shadow.fees(),
                newest: answer.newest.0,
                earned: row.map(|row| row.earned).unwrap_or_default(),
            })
        };
        Some(self.core.shadows.iter().filter_map(of).collect())
    }

    /// Full days until the disk is full at the journal's pace; `None` when what retention keeps fits on it.
    fn disk_days_left(&self, journal_bytes: u64) -> Option<f64> {
        let forecast = self.core.journal.forecast().ok()?;
        let days = forecast.days_left?;
        if let Some(keep) = self.sections.read().in_force.retention.keep {
            let kept = u128::from(forecast.bytes_per_day) * u128::from(keep.as_secs()) / 86_400;
            if kept <= u128::from(journal_bytes) + u128::from(forecast.free) {
                return None;
            }
        }
        Some(days as f64)
    }

    /// Why miners cannot be served now.
    #[must_use]
    pub fn not_ready(&self) -> Vec<String> {
        let core = &self.core;
        let mut reasons = Vec::new();
        if let Some(why) = core.journal.poisoned() {
            reasons.push(format!("the journal takes nothing more: {why}"));
        }
        if let Some(why) = core.ledger.stopped() {
            reasons.push(format!("the ledger takes nothing more: {why}"));
        }
        match core.chain().map(|chain| chain.status()) {
            None => reasons.push("the chain has ended".to_owned()),
            Some(status) => {
                if let Some(why) = &status.quarantined {
                    reasons.push(format!("the adapter is in quarantine: {why}"));
                } else if let Some(why) = &status.stopped {
                    reasons.push(format!("the adapter asked to stop: {why}"));
                } else if !status.ready(UnixMillis::now()) || core.jobs.current().is_none() {
                    let why = status.last_error.as_deref().unwrap_or("no node gave a template yet");
                    reasons.push(format!("there is no job: {why}"));
                }
            }
        }
        reasons.extend(core.books.stuck());
        if core.books.troubles().1 {
            reasons.push("the declared reserve is spent: shares are not credited".to_owned());
        }
        reasons
    }

    /// Work of the round in percent of the network's.
    fn effort(&self, now: UnixMillis) -> f64 {
        let journal = &self.core.journal;
        let units = self.core.round.units(
            journal.round_after(),
            |at| journal.progress(at),
            || {
                let window = Window { span: Span::Round, measure: Measure::Units, edge: Edge::Whole };
                let end = journal.end_of_coord(u64::MAX, now)?;
                let rows = journal.view().window(&window, &end, None)?;
                Ok::<_, JournalError>(rows.iter().fold(0_u128, |sum, (_, units)| sum.saturating_add(*units)))
            },
        );
        units.map_or(0.0, |units| units as f64 / 2_f64.powi(64) * 100.0)
    }

    fn plugins(&self) -> Vec<PluginView> {
        let status = self.core.chain().map(|chain| chain.status()).unwrap_or_default();
        let (money_error, _) = self.core.books.troubles();
        let roles = self.shown_roles();
        roles
            .iter()
            .map(|(role, (name, digest))| {
                let adapter = *role == "adapter";
                let quarantined = self.core.books.quarantined(*digest).filter(|_| !adapter);
                let state = match (adapter, &status.quarantined) {
                    (true, Some(_)) => "quarantined",
                    (false, ..) if quarantined.as_ref().is_some_and(|(_, replaced)| *replaced) => {
                        "quarantined; the last good version decides"
                    }
                    (false, ..) if quarantined.is_some() => "quarantined; incomes wait",
                    (false, _) if money_error.is_some() => "failing; incomes wait",
                    _ => "running",
                };
                let first_error = match quarantined {
                    Some((first_error, _)) => Some(first_error),
                    None if adapter => status.first_error.clone(),
                    None => money_error.clone(),
                };
                PluginView {
                    role: (*role).to_owned(),
                    name: name.clone(),
                    digest: *digest,
                    state: state.to_owned(),
                    first_error,
                }
            })
            .collect()
    }

    fn trusted(&self) -> Vec<String> {
        let counted = match &self.maturity {
            Some(_) => {
                "which blocks are in the chain (how deep: counted by the host, and asked of every node)"
            }
            None => "which blocks are in the chain, and how deep (counted by the host in its own tips)",
        };
        let mut facts = vec![counted.to_owned()];
        if self.sections.read().in_force.chain.trust_adapter_with_coinbase {
            facts.push("whom the coinbase pays: the host cannot read it".to_owned());
            if self.payments.is_some() {
                facts.push(
                    "whom a signed payment pays (the wallet's own word: the host cannot read it)".to_owned(),
                );
            }
        }
        facts.extend(self.trusted.iter().cloned());
        facts
    }

    /// The alarms of this pool.
    #[must_use]
    pub fn alarms(&self) -> Vec<millpond_alerts::Alarm> {
        self.core.alarms.list().into_iter().filter(|alarm| alarm.pool == self.name()).collect()
    }

    /// Blocks, newest first.
    #[must_use]
    pub fn blocks(&self, limit: usize) -> Vec<BlockView> {
        self.blocks_before(None, limit)
    }

    /// Blocks before one (its id as it is shown), newest first; none behind one that is not kept.
    #[must_use]
    pub fn blocks_before(&self, before: Option<&str>, limit: usize) -> Vec<BlockView> {
        let shown = self.core.shown.lock();
        let from = match before {
            None => Some(0),
            Some(id) => shown.iter().position(|(_, block)| block.block == id).map(|place| place + 1),
        };
        let rest = shown.iter().skip(from.unwrap_or(usize::MAX));
        rest.take(limit).map(|(_, block)| block.clone()).collect()
    }

    /// Payments, newest first.
    #[must_use]
    pub fn payments(&self, limit: usize) -> Vec<PaymentView> {
        self.payments_before(None, limit)
    }

    /// Payments before one, by its number, newest first.
    #[must_use]
    pub fn payments_before(&self, before: Option<u64>, limit: usize) -> Vec<PaymentView> {
        let book = self.core.ledger.book();
        book.payments_before(before.map(PaymentId)).take(limit).map(payment_view).collect()
    }

    /// One payment, with whom it pays.
    #[must_use]
    pub fn payment(&self, id: u64) -> Option<PaymentDetail> {
        let state = self.core.ledger.payment(PaymentId(id))?;
        let row = |row: &PaymentRow| PaymentRowView {
            owner: row.owner.to_string(),
            address: row.address.clone(),
            amount: row.amount,
        };
        Some(PaymentDetail { payment: payment_view(&state), rows: state.rows.iter().map(row).collect() })
    }

    /// Miners of the last day, by rate.
    #[must_use]
    pub fn miners(&self, limit: usize) -> Vec<MinerView> {
        self.miners_behind(0, limit)
    }

    /// Miners of the last day, by rate, behind so many.
    #[must_use]
    pub fn miners_behind(&self, skip: usize, limit: usize) -> Vec<MinerView> {
        let best = self.core.stats.best(UnixMillis::now(), skip, limit);
        best.into_iter()
            .filter_map(|(id, hashrate, shares)| {
                let address = self.core.journal.miner_by_id(id)?.address;
                Some(self.balances(id, address, hashrate, shares))
            })
            .collect()
    }

    /// A miner by his address, with his workers.
    #[must_use]
    pub fn miner(&self, address: &str) -> Option<MinerView> {
        let now = UnixMillis::now();
        let miner = self.core.journal.miner_by_address(address)?;
        let (hashrate, shares) = self.core.stats.miner(miner.id, now).unwrap_or_default();
        let mut view = self.balances(miner.id, miner.address, hashrate, shares);
        let worker = |(name, hashrate, shares, last_share): (std::sync::Arc<str>, _, _, _)| WorkerView {
            name: name.to_string(),
            hashrate,
            shares,
            last_share,
        };
        view.workers = self.core.stats.workers(miner.id, now).into_iter().map(worker).collect();
        Some(view)
    }

    /// A miner's account before a record (or from the newest on), newest first: `None` for a stranger, or while the index
    /// is not there.
    #[must_use]
    pub fn entries(&self, address: &str, before: Option<u64>, limit: usize) -> Option<Vec<EntryView>> {
        let owner = Owner::Miner(self.core.journal.miner_by_address(address)?.id);
        let entries = self.core.ledger.owned(&owner, before, limit)?;
        let book = self.core.ledger.book();
        Some(entries.into_iter().map(|entry| entry_view(&book, entry)).collect())
    }

    fn balances(
        &self,
        id: MinerId,
        address: String,
        hashrate: crate::view::Hashrate,
        shares: crate::view::ShareCounts,
    ) -> MinerView {
        let minimum_payout =
            own_minimum(&self.core, id).unwrap_or_else(|| self.sections.read().in_force.payout.minimum);
        let owner = Owner::Miner(id);
        let book = self.core.ledger.book();
        MinerView {
            address,
            payable: book.payable(&owner),
            immature: book.immature(&owner),
            paid: book.paid(&owner),
            deferred: self.core.planner.is_some().then(|| {
                let deferred = self.core.books.deferred(&owner);
                i64::try_from(deferred).unwrap_or(if deferred > 0 { i64::MAX } else { i64::MIN })
            }),
            minimum_payout,
            hashrate,
            shares,
            workers: Vec::new(),
        }
    }

    /// Incomes that are matured.
    #[must_use]
    pub fn matured(&self) -> u64 {
        self.core.ledger.matured()
    }
}

/// An entry of an account, and what became of it since.
pub(crate) fn entry_view(book: &Book, entry: Owned) -> EntryView {
    let booked = || "booked".to_owned();
    let (what, about, state) = match &entry.what {
        OwnedWhat::Income(key) => {
            let income = book.income(key);
            let state = income.map_or("", |income| {
                if income.seq == entry.seq { income.status.name() } else { "divided again" }
            });
            ("income", key.to_string(), state.to_owned())
        }
        OwnedWhat::Accrued { first, last } => ("shares", format!("{first} to {last}"), booked()),
        OwnedWhat::Payment(id) => {
            let state = book.payment(*id).map_or("", |payment| payment.status.name());
            ("payment", id.to_string(), state.to_owned())
        }
        OwnedWhat::Adjusted(reason) => ("adjustment", reason.clone(), booked()),
    };
    let amount = i64::try_from(entry.amount).unwrap_or(if entry.amount < 0 { i64::MIN } else { i64::MAX });
    EntryView { seq: entry.seq, time: entry.at, what: what.to_owned(), about, amount, state }
}

pub(crate) fn payment_view(payment: &PaymentState) -> PaymentView {
    let sum = payment.rows.iter().fold(0_u64, |sum, row| sum.saturating_add(row.amount.0));
    PaymentView {
        id: payment.id.0,
        state: payment.status.name().to_owned(),
        outputs: u64::try_from(payment.rows.len()).unwrap_or(u64::MAX),
        amount: Amount(sum),
        fee: payment.built.as_ref().map_or(payment.fee, |built| built.fee),
        txid: payment.txid.as_ref().map(|txid| txid.0.clone()),
        marker: payment.marker.clone(),
        why: match &payment.status {
            PaymentStatus::Unknown(why) | PaymentStatus::Released(why) | PaymentStatus::Undone(why) => {
                Some(why.clone())
            }
            _ => None,
        },
        time: payment.changed_at,
    }
}

/// A role's name as pages show it.
#[must_use]
pub fn role_name(role: Role) -> &'static str {
    match role {
        Role::Adapter => "adapter",
        Role::Scheme => "scheme",
        Role::Fee => "fee",
    }
}
