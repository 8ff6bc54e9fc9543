//! A run of payments: first what is open, then what is due.

use crate::refusals::RefusedAlone;
use crate::sending::PAYS_OTHERWISE;
use crate::settled::{IN_TURN, IN_TURN_BEFORE_PAYING, Watch};
use crate::{
    BitcoinBytes, Kind, Lookup, Payees, Plan, Policy, SettlementError, SignedCheck, Wallet, WalletError, due,
    plan,
};
use millpond_ledger::{
    Appended, Entry, InputId, Ledger, PaymentId, PaymentRow, PaymentState, PaymentStatus, Progress, TxId,
};
use millpond_types::{Amount, UnixMillis};
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
    /// It is written down that the outcome is not known.
    Doubted,
    /// Nothing was sent: the rows are back in their balances.
    Released,
    /// A settled payment is in no block any more; its bytes are not sent again yet.
    Again,
    /// They are; that is not noted yet.
    AgainCalled,
    /// An order is noted; it is not carried out yet.
    Ordered,
    /// A settled payment is booked back.
    Undone,
}

impl Edge {
    /// All of them: first those that a payment passes which goes well, in their order.
    pub const ALL: [Self; 14] = [
        Self::Reserved,
        Self::Signed,
        Self::Stored,
        Self::Announced,
        Self::Called,
        Self::Recorded,
        Self::Confirmed,
        Self::Settled,
        Self::Doubted,
        Self::Released,
        Self::Again,
        Self::AgainCalled,
        Self::Ordered,
        Self::Undone,
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
    /// The wallet refused it, and its rows were tried otherwise in the same run.
    pub again: bool,
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
    /// Payments that have a transaction more than they should: nothing new starts until it is booked.
    pub extra: Vec<Step>,
}

/// What a step of a payment came to.
#[derive(Debug, Default)]
pub(crate) struct Went {
    pub(crate) note: String,
    /// The wallet or the node said no to these rows, before anything went out.
    pub(crate) refused: bool,
}

impl From<String> for Went {
    fn from(note: String) -> Self {
        Self { note, refused: false }
    }
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
    /// Who was refused alone, and when: he is paid by a transaction of his own for a day, and holds up nobody.
    pub(crate) refused: Mutex<RefusedAlone>,
    /// Settled payments that the operator vouches for: they are not looked at again.
    pub(crate) vouched: Mutex<BTreeSet<PaymentId>>,
    /// What was found out about settled payments at looks before.
    pub(crate) watch: Mutex<Watch>,
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
            refused: Mutex::default(),
            vouched: Mutex::default(),
            watch: Mutex::default(),
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
        let spendable = self.wallet.spendable(&self.reserved_inputs())?;
        let due = due(&self.ledger.book(), payees, &self.policy);
        // Of those who are paid, no other: a wallet may not know how everybody's address is written.
        let own = self.own_of(due.addresses())?;
        plan(&self.ledger.book(), due, &self.policy, spendable, &own, now)
    }

    /// Brings every open payment as far as it goes, then pays what is due. Called on schedule, at start, and by the
    /// operator; calling it too often pays nobody twice.
    ///
    /// # Errors
    /// When the ledger's disk or the wallet fails before a payment starts. What was started is in the ledger, and the
    /// next run goes on from there. Also when the wallet signed something else than it was asked for: that payment is
    /// released, the run's others are made first.
    pub fn run(&self, now: UnixMillis, payees: &dyn Payees) -> Result<Report, SettlementError> {
        let (mut report, loose) = self.open_first(now, IN_TURN_BEFORE_PAYING)?;
        let extra = self.extras(now, &mut report)?;
        if loose || extra || report.blocked.is_some() {
            return Ok(report);
        }
        let plan = self.dry_run(now, payees)?;
        let refused = self.pay_all(&plan.batches, now, &mut report)?;
        report.plan = Some(plan);
        refused.map_or(Ok(report), Err)
    }

    /// Brings every open payment as far as it goes, by the rules at the top of this crate. Starts no new payment.
    ///
    /// # Errors
    /// When the ledger's disk fails. A wallet that does not answer leaves its payment where it is.
    pub fn recover(&self, now: UnixMillis) -> Result<Report, SettlementError> {
        self.open_first(now, IN_TURN).map(|(report, _)| report)
    }

    /// What was settled and is not any more, and what is open; whether coins of the former are loose.
    fn open_first(&self, now: UnixMillis, in_turn: usize) -> Result<(Report, bool), SettlementError> {
        let mut report = Report::default();
        let loose = self.look_back(now, in_turn, &mut report)?;
        for payment in self.ledger.open_payments() {
            self.advance(payment.id, now, &mut report)?;
        }
        Ok((report, loose))
    }

    /// Pays rows by one payment; whether the wallet or the node refused them as they are.
    pub(crate) fn pay(
        &self,
        rows: &[PaymentRow],
        now: UnixMillis,
        report: &mut Report,
    ) -> Result<bool, SettlementError> {
        let payment = self.ledger.next_payment();
        self.append(now, Entry::PaymentReserved { payment, rows: rows.to_vec() })?;
        self.edge(Edge::Reserved, payment)?;
        self.advance(payment, now, report)
    }

    /// One payment, as far as it goes now; whether it was refused.
    fn advance(&self, id: PaymentId, now: UnixMillis, report: &mut Report) -> Result<bool, SettlementError> {
        let Went { note, refused } = self.go_on(id, now)?;
        if let Some(state) = self.ledger.payment(id) {
            // A sender that announced and does not know more is unknown as well.
            let unknown = matches!(state.status, PaymentStatus::Unknown(_))
                || (state.status == PaymentStatus::Submitting && self.wallet.kind() == Kind::Sender);
            if unknown && report.blocked.is_none() {
                report.blocked = Some(id);
            }
            report.steps.push(Step { payment: id, state: state.status.name(), note, again: false });
        }
        Ok(refused)
    }

    fn go_on(&self, id: PaymentId, now: UnixMillis) -> Result<Went, SettlementError> {
        // Each turn moves the payment one state on; the longest way has four.
        let mut went = Went::default();
        for _ in 0..6 {
            let Some(state) = self.ledger.payment(id).filter(|state| state.status.is_open()) else { break };
            let before = state.status.clone();
            went = match (&state.status, self.wallet.kind()) {
                (PaymentStatus::Reserved, Kind::Builder) => self.build(&state, now)?,
                (PaymentStatus::Reserved, Kind::Sender) => self.send_many(&state, now)?,
                (PaymentStatus::Built, _) => self.submit(&state, now)?,
                (PaymentStatus::Submitting | PaymentStatus::Unknown(_), Kind::Sender) => {
                    self.find(&state, now)?.into()
                }
                (PaymentStatus::Submitting | PaymentStatus::Unknown(_) | PaymentStatus::Sent, _) => {
                    self.follow(&state, now)?.into()
                }
                (PaymentStatus::Settled | PaymentStatus::Released(_) | PaymentStatus::Undone(_), _) => break,
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
        Ok(went)
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
                self.edge(Edge::Released, state.id)?;
                Ok(why)
            }
            Ok(Lookup::Conflicted(count)) => {
                let why = format!("another transaction spends its coins, with {count} confirmations so far");
                self.unknown(state, &why, now)?;
                Ok(why)
            }
            // The same bytes, as often as it takes.
            Ok(Lookup::NotFound) if state.built.is_some() => self.submit(state, now).map(|went| went.note),
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
            self.edge(Edge::Doubted, state.id)?;
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
        let lost = Amount::ZERO;
        let entry = Entry::PaymentSettled { payment: state.id, txid: txid.clone(), fee, rows, lost };
        self.append(now, entry)?;
        self.edge(Edge::Settled, state.id)?;
        Ok(format!("settled by {txid}, network fee {fee}"))
    }

    /// Inputs of all open payments: no other transaction may spend them.
    pub(crate) fn reserved_inputs(&self) -> BTreeSet<InputId> {
        let open = self.ledger.open_payments();
        open.into_iter().filter_map(|payment| payment.built).flat_map(|built| built.inputs).collect()
    }

    /// Which addresses are the wallet's own. One that it cannot read is none: it refuses to pay it as well, and then it
    /// is told.
    pub(crate) fn own_of(&self, addresses: BTreeSet<String>) -> Result<BTreeSet<String>, WalletError> {
        let list: Vec<String> = addresses.into_iter().collect();
        if list.is_empty() {
            return Ok(BTreeSet::new());
        }
        let one = |address: &String| match self.wallet.owns(std::slice::from_ref(address)) {
            Ok(own) => Ok(own == [true]),
            Err(WalletError::Refused { .. }) => Ok(false),
            Err(error) => Err(error),
        };
        let own = match self.wallet.owns(&list) {
            Err(WalletError::Refused { .. }) => list.iter().map(one).collect::<Result<Vec<_>, _>>()?,
            own => own?,
        };
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
