//! A run of payments: first what is open, then what is due.

use crate::sending::PAYS_OTHERWISE;
use crate::{
    BitcoinBytes, Kind, Lookup, Payees, Plan, Policy, SettlementError, SignedCheck, Wallet, WalletError, plan,
};
use millpond_ledger::{
    Appended, Entry, InputId, Ledger, Owner, PaymentId, PaymentRow, PaymentState, PaymentStatus, Progress,
    TxId,
};
use millpond_types::UnixMillis;
use parking_lot::Mutex;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

/// The points between two durable steps of a payment: where a crash test stops the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Edge {
    /// The rows are reserved.
    Reserved,
    /// The wallet has signed; the bytes are not stored yet.
    Signed,
    /// The bytes are stored.
    Stored,
    /// The call that sends is announced, and not made yet.
    Announced,
    /// The call came back; its outcome is not written down yet.
    Called,
    /// The outcome is written down.
    Recorded,
    /// The transaction is confirmed; not settled yet.
    Confirmed,
    /// The payment is settled.
    Settled,
}

impl Edge {
    /// All of them, in order.
    pub const ALL: [Self; 8] = [
        Self::Reserved,
        Self::Signed,
        Self::Stored,
        Self::Announced,
        Self::Called,
        Self::Recorded,
        Self::Confirmed,
        Self::Settled,
    ];
}

/// Called at every edge; `false` stops the run there, as a crash would.
type Hook = Box<dyn Fn(Edge, PaymentId) -> bool + Send + Sync>;

/// What happened to one payment in a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The payment.
    pub payment: PaymentId,
    /// The state it is in now.
    pub state: &'static str,
    /// What happened, for the operator.
    pub note: String,
}

/// What a run did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Payments looked at or made, in order.
    pub steps: Vec<Step>,
    /// What was planned; `None` when an unknown outcome stopped the run before.
    pub plan: Option<Plan>,
    /// A payment whose outcome is unknown: nothing new starts until it is resolved.
    pub blocked: Option<PaymentId>,
    /// Settled payments that a reorganisation took out of the chain, and what was done about them.
    pub removed: Vec<Step>,
}

/// Pays one pool's owners from one wallet. One caller at a time.
pub struct Settlement {
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) wallet: Arc<dyn Wallet>,
    pub(crate) policy: Policy,
    pub(crate) check: Box<dyn SignedCheck>,
    hook: Option<Hook>,
    /// Settled payments that were sent again, which the ledger was told once.
    pub(crate) noted: Mutex<BTreeSet<PaymentId>>,
}

impl fmt::Debug for Settlement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settlement").field("policy", &self.policy).finish_non_exhaustive()
    }
}

impl Settlement {
    /// A settlement over a ledger and a wallet, whose signed transactions are read as Bitcoin's family writes them.
    #[must_use]
    pub fn new(ledger: Arc<Ledger>, wallet: Arc<dyn Wallet>, policy: Policy) -> Self {
        Self {
            ledger,
            wallet,
            policy,
            check: Box::new(BitcoinBytes::default()),
            hook: None,
            noted: Mutex::default(),
        }
    }

    /// Holds signed transactions against what was asked for by another check.
    #[must_use]
    pub fn with_check(self, check: Box<dyn SignedCheck>) -> Self {
        Self { check, ..self }
    }

    /// Calls `hook` at every edge; when it returns `false` the run stops there. For crash tests.
    #[must_use]
    pub fn with_hook(mut self, hook: impl Fn(Edge, PaymentId) -> bool + Send + Sync + 'static) -> Self {
        self.hook = Some(Box::new(hook));
        self
    }

    /// The rules in force.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Other rules, from the next run on. What is open already goes its way as it was built.
    pub fn set_policy(&mut self, policy: Policy) {
        self.policy = policy;
    }

    /// What a run would pay now. Writes nothing and sends nothing.
    ///
    /// # Errors
    /// When the wallet does not answer.
    pub fn dry_run(&self, now: UnixMillis, payees: &dyn Payees) -> Result<Plan, SettlementError> {
        let own = self.own_addresses(payees)?;
        let spendable = self.wallet.spendable(&self.reserved_inputs())?;
        plan(&self.ledger.book(), payees, &self.policy, spendable, &own, now)
    }

    /// Brings every open payment as far as it goes, then pays what is due. Called on schedule, at start, and by the
    /// operator; calling it too often pays nobody twice.
    ///
    /// # Errors
    /// When the ledger's disk or the wallet fails before a payment starts. What was started is in the ledger, and the
    /// next run goes on from there. Also when the wallet signed something else than it was asked for: that payment is
    /// released, the run's others are made first.
    pub fn run(&self, now: UnixMillis, payees: &dyn Payees) -> Result<Report, SettlementError> {
        let (mut report, loose) = self.open_first(now)?;
        if loose || report.blocked.is_some() {
            return Ok(report);
        }
        let plan = self.dry_run(now, payees)?;
        let mut refused = None;
        for rows in &plan.batches {
            match self.pay(rows, now, &mut report) {
                // Released again, and everybody's matter; but the others' money does not wait for it.
                Err(error @ SettlementError::Transaction { .. }) => refused = refused.or(Some(error)),
                done => done?,
            }
            if report.blocked.is_some() {
                break;
            }
        }
        report.plan = Some(plan);
        refused.map_or(Ok(report), Err)
    }

    /// Brings every open payment as far as it goes, by the rules at the top of this crate. Starts no new payment.
    ///
    /// # Errors
    /// When the ledger's disk fails. A wallet that does not answer leaves its payment where it is.
    pub fn recover(&self, now: UnixMillis) -> Result<Report, SettlementError> {
        self.open_first(now).map(|(report, _)| report)
    }

    /// What was settled and is not any more, and what is open; whether coins of the former are loose.
    fn open_first(&self, now: UnixMillis) -> Result<(Report, bool), SettlementError> {
        let mut report = Report::default();
        let loose = self.look_back(now, &mut report)?;
        for payment in self.ledger.open_payments() {
            self.advance(payment.id, now, &mut report)?;
        }
        Ok((report, loose))
    }

    fn pay(&self, rows: &[PaymentRow], now: UnixMillis, report: &mut Report) -> Result<(), SettlementError> {
        let payment = self.ledger.book().next_payment();
        self.append(now, Entry::PaymentReserved { payment, rows: rows.to_vec() })?;
        self.edge(Edge::Reserved, payment)?;
        self.advance(payment, now, report)
    }

    /// One payment, as far as it goes now.
    fn advance(&self, id: PaymentId, now: UnixMillis, report: &mut Report) -> Result<(), SettlementError> {
        let note = self.go_on(id, now)?;
        if let Some(state) = self.ledger.payment(id) {
            // A sender that announced and does not know more is unknown as well.
            let unknown = matches!(state.status, PaymentStatus::Unknown(_))
                || (state.status == PaymentStatus::Submitting && self.wallet.kind() == Kind::Sender);
            if unknown && report.blocked.is_none() {
                report.blocked = Some(id);
            }
            report.steps.push(Step { payment: id, state: state.status.name(), note });
        }
        Ok(())
    }

    fn go_on(&self, id: PaymentId, now: UnixMillis) -> Result<String, SettlementError> {
        // Each turn moves the payment one state on; the longest way has four.
        let mut note = String::new();
        for _ in 0..6 {
            let Some(state) = self.ledger.payment(id).filter(|state| state.status.is_open()) else { break };
            let before = state.status.clone();
            note = match (&state.status, self.wallet.kind()) {
                (PaymentStatus::Reserved, Kind::Builder) => self.build(&state, now)?,
                (PaymentStatus::Reserved, Kind::Sender) => self.send_many(&state, now)?,
                (PaymentStatus::Built, _) => self.submit(&state, now)?,
                (PaymentStatus::Submitting | PaymentStatus::Unknown(_), Kind::Sender) => {
                    self.find(&state, now)?
                }
                (PaymentStatus::Submitting | PaymentStatus::Unknown(_) | PaymentStatus::Sent, _) => {
                    self.follow(&state, now)?
                }
                (PaymentStatus::Settled | PaymentStatus::Released(_), _) => break,
            };
            let after = self.ledger.payment(id).map(|state| state.status);
            let moved = after.as_ref().is_some_and(|after| *after != before);
            // A call that sends is made once in a run; confirmations are counted by the next one.
            let out = matches!(
                after,
                Some(PaymentStatus::Submitting | PaymentStatus::Sent | PaymentStatus::Unknown(_))
            );
            if !moved || out {
                break;
            }
        }
        Ok(note)
    }

    /// What became of a transaction that may be out there.
    fn follow(&self, state: &PaymentState, now: UnixMillis) -> Result<String, SettlementError> {
        let Some(txid) = state.txid.clone() else {
            return Ok("its transaction is not known; resolve it with the wallet's history".to_owned());
        };
        let inputs: Vec<InputId> = state.built.as_ref().map(|built| built.inputs.clone()).unwrap_or_default();
        match self.wallet.lookup(&txid, &inputs) {
            Ok(Lookup::Confirmed(count)) if count >= self.policy.confirmations.max(1) => {
                self.settle(state, &txid, now)
            }
            Ok(Lookup::Confirmed(count)) => {
                self.sent(state, &txid, now)?;
                Ok(format!("{count} of {} confirmations", self.policy.confirmations))
            }
            Ok(Lookup::Waiting) => {
                self.sent(state, &txid, now)?;
                Ok("waits for a block".to_owned())
            }
            Ok(Lookup::Conflicted(count)) if count >= self.policy.confirmations.max(1) => {
                let why = format!("another transaction spends its coins, with {count} confirmations");
                self.append(now, Entry::PaymentReleased { payment: state.id, why: why.clone() })?;
                Ok(why)
            }
            Ok(Lookup::Conflicted(count)) => {
                let why = format!("another transaction spends its coins, with {count} confirmations so far");
                self.unknown(state, &why, now)?;
                Ok(why)
            }
            // The same bytes, as often as it takes.
            Ok(Lookup::NotFound) if state.built.is_some() => self.submit(state, now),
            Ok(Lookup::NotFound) => {
                let why = "the wallet does not have its transaction".to_owned();
                self.unknown(state, &why, now)?;
                Ok(why)
            }
            Err(error) => Ok(error.to_string()),
        }
    }

    pub(crate) fn sent(
        &self,
        state: &PaymentState,
        txid: &TxId,
        now: UnixMillis,
    ) -> Result<(), SettlementError> {
        if state.status != PaymentStatus::Sent {
            let step = Progress::Sent { txid: txid.clone() };
            self.append(now, Entry::PaymentProgress { payment: state.id, step })?;
            self.edge(Edge::Recorded, state.id)?;
        }
        Ok(())
    }

    pub(crate) fn unknown(
        &self,
        state: &PaymentState,
        why: &str,
        now: UnixMillis,
    ) -> Result<(), SettlementError> {
        let why: String = why.chars().take(250).collect();
        if state.status != PaymentStatus::Unknown(why.clone()) {
            let step = Progress::Unknown { why };
            self.append(now, Entry::PaymentProgress { payment: state.id, step })?;
        }
        Ok(())
    }

    fn settle(&self, state: &PaymentState, txid: &TxId, now: UnixMillis) -> Result<String, SettlementError> {
        self.sent(state, txid, now)?;
        self.edge(Edge::Confirmed, state.id)?;
        let (fee, rows) = match &state.built {
            Some(built) => (built.fee, built.rows.clone()),
            None => match self.sender_outcome(state, txid) {
                Ok(Some(outcome)) => outcome,
                Ok(None) => {
                    let why = format!("{txid} {PAYS_OTHERWISE}");
                    self.unknown(state, &why, now)?;
                    return Ok(why);
                }
                Err(error) => return Ok(error.to_string()),
            },
        };
        let entry = Entry::PaymentSettled { payment: state.id, txid: txid.clone(), fee, rows };
        self.append(now, entry)?;
        self.edge(Edge::Settled, state.id)?;
        Ok(format!("settled by {txid}, network fee {fee}"))
    }

    /// Gives up a payment and returns its rows to their balances, by order of the operator.
    ///
    /// # Errors
    /// When it could still be paid: its bytes went out and no conflicting transaction is confirmed, or the wallet's
    /// history has it or cannot be read.
    pub fn release(
        &self,
        id: PaymentId,
        by: &str,
        why: &str,
        now: UnixMillis,
    ) -> Result<(), SettlementError> {
        let refuse =
            |why: &str| SettlementError::Order { payment: id, order: "released", why: why.to_owned() };
        let state = self.ledger.payment(id).ok_or_else(|| refuse("there is no such payment"))?;
        match (&state.status, self.wallet.kind()) {
            (PaymentStatus::Reserved | PaymentStatus::Built, _) => {}
            (PaymentStatus::Settled | PaymentStatus::Released(_), _) => return Err(refuse("it is closed")),
            (_, Kind::Sender) if state.built.is_none() => {
                if self.seen(&state)?.is_some() {
                    return Err(refuse("the wallet's history has it; run payments to book it"));
                }
            }
            _ => {
                let inputs: Vec<_> = state.built.as_ref().map(|b| b.inputs.clone()).unwrap_or_default();
                let known = state.txid.as_ref().map(|txid| self.wallet.lookup(txid, &inputs)).transpose()?;
                if !matches!(known, Some(Lookup::Conflicted(n)) if n >= self.policy.confirmations.max(1)) {
                    return Err(refuse(
                        "its transaction went out and can still confirm; spend one of its coins in another \
                         transaction, wait until that is confirmed, then release",
                    ));
                }
            }
        }
        self.append(now, Entry::PaymentReleased { payment: id, why: format!("{by}: {why}") })?;
        Ok(())
    }

    /// Says which transaction a payment of unknown outcome became, by order of the operator.
    ///
    /// # Errors
    /// When the wallet's history has no such transaction, it pays something else, or another payment has it.
    pub fn resolve(
        &self,
        id: PaymentId,
        txid: &TxId,
        by: &str,
        now: UnixMillis,
    ) -> Result<(), SettlementError> {
        let refuse =
            |why: &str| SettlementError::Order { payment: id, order: "resolved", why: why.to_owned() };
        let state = self.ledger.payment(id).ok_or_else(|| refuse("there is no such payment"))?;
        if state.built.is_some() {
            return Err(refuse("it has a stored transaction; run payments to follow that"));
        }
        if !matches!(state.status, PaymentStatus::Submitting | PaymentStatus::Unknown(_)) {
            return Err(refuse("its outcome is not unknown"));
        }
        let seen = self.wallet.history(UnixMillis(0))?;
        let found = seen.iter().find(|seen| seen.txid == *txid);
        let found = found.ok_or_else(|| refuse("the wallet's history has no such transaction"))?;
        if !self.pays(&state, &found.outputs)? {
            return Err(refuse("that transaction pays other addresses or amounts"));
        }
        if self.claimed(txid, id) {
            return Err(refuse("that transaction belongs to another payment"));
        }
        let (by, action) = (by.to_owned(), "payment resolved".to_owned());
        self.append(now, Entry::Noted { by, action, detail: format!("payment {id} is {txid}") })?;
        self.sent(&state, txid, now)
    }

    /// Inputs of all open payments: no other transaction may spend them.
    pub(crate) fn reserved_inputs(&self) -> BTreeSet<InputId> {
        let open = self.ledger.open_payments();
        open.into_iter().filter_map(|payment| payment.built).flat_map(|built| built.inputs).collect()
    }

    fn own_addresses(&self, payees: &dyn Payees) -> Result<BTreeSet<String>, WalletError> {
        let owners: Vec<Owner> = self.ledger.book().payables().map(|(owner, _)| owner.clone()).collect();
        let addresses: BTreeSet<String> =
            owners.iter().filter_map(|owner| payees.pay_to(owner)).map(|to| to.address).collect();
        self.own_of(addresses)
    }

    pub(crate) fn own_of(&self, addresses: BTreeSet<String>) -> Result<BTreeSet<String>, WalletError> {
        let list: Vec<String> = addresses.into_iter().collect();
        if list.is_empty() {
            return Ok(BTreeSet::new());
        }
        let own = self.wallet.owns(&list)?;
        Ok(list.into_iter().zip(own).filter(|(_, own)| *own).map(|(address, _)| address).collect())
    }

    pub(crate) fn append(&self, now: UnixMillis, entry: Entry) -> Result<Appended, SettlementError> {
        Ok(self.ledger.append(now, entry)?)
    }

    pub(crate) fn edge(&self, edge: Edge, payment: PaymentId) -> Result<(), SettlementError> {
        match &self.hook {
            Some(hook) if !hook(edge, payment) => Err(SettlementError::Halted(edge)),
            _ => Ok(()),
        }
    }
}
