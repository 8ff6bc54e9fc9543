//! Coinbases that pay many miners, planned before blocks are found: nobody holds anything for anybody.
//!
//! A plan is what the scheme would give of the newest job's reward, with a window that ends now. Those with the most credit
//! stand in the coinbase, as many as fit ([`millpond_payout::direct`]). The plan is durable before the adapter hears of its
//! outputs, and a job whose outputs are those of no recorded plan is not given out. The job's record names its plan. So a
//! block is divided as its own coinbase pays, whatever came since, and what everybody was due is computed again from the
//! plan's window.

mod again;
mod income;
mod planner;

pub(crate) use again::{Balances, Plans};
pub(crate) use income::{Seen, divide, end_of, is_of_a_plan, policy_of, seen};
pub(crate) use planner::{Planner, coinbase_bytes, run};

use crate::books::{Books, BooksError, Inner};
use crate::columns::Columns;
use crate::decide::{self, DecideError, NoSuchWindow};
use crate::edges::Edge;
use crate::policy::Bound;
use millpond_alerts::Level;
use millpond_chain::least_output;
use millpond_contracts::chain::Output;
use millpond_contracts::payout as contract;
use millpond_journal::{CoinbasePlan, JournalError, JournalView, PlannedFor, PlannedOutput};
use millpond_ledger::{FeeName, Owner};
use millpond_payout::direct::{self, Candidate, Deferred, LONGEST_SCRIPT, PaidTo, Room};
use millpond_payout::{
    Attributes, AuditRecord, BoundFee, BoundScheme, Decision, IncomeFacts, SchemeState, WindowSums,
};
use millpond_types::{Amount, Digest, JobId, MinerId, ShareSeq, UnixMillis};
use std::collections::BTreeMap;

/// A finder who is in no window: what the scheme gives to whoever finds the block.
const ANYBODY: MinerId = MinerId(u64::MAX);
/// What a scheme is tried on.
const TRIED: u64 = 1 << 40;
/// What alarms of plans are about.
const ABOUT: &str = "coinbase";

/// Why a coinbase that pays many is not planned, or not booked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// A job of no plan.
    #[error("the coinbase of job {0} has no plan: its income waits")]
    NoPlan(JobId),
    /// An income that is no block of ours.
    #[error("an income that is no block of this pool was not paid by a planned coinbase")]
    NoBlock,
    /// What the chain paid is not what the job was worth.
    #[error("an income of {amount} of a block whose coinbase paid {reward}: it waits")]
    Amount {
        /// The income.
        amount: Amount,
        /// The job's reward.
        reward: Amount,
    },
    /// Money that nobody would be paid.
    #[error(
        "scheme {scheme} keeps {kept} of {gross} back, and a coinbase pays everything: choose settings under which it \
         divides all (pplns: unfilled = \"share\")"
    )]
    KeepsBack {
        /// The scheme.
        scheme: String,
        /// How much.
        kept: Amount,
        /// Of how much.
        gross: Amount,
    },
    /// Nobody can be paid.
    #[error("nobody could be paid by the coinbase")]
    Nobody,
    /// A replay comes to other outputs.
    #[error("the plan of the coinbase comes out otherwise: {0}")]
    Differs(String),
    /// The host cannot tell the length of the coinbase.
    #[error("the host cannot tell how long the coinbase of a job is")]
    Length,
}

/// Why the coinbase cannot pay by this scheme and these fee policies.
#[must_use]
pub fn misfit(scheme: &BoundScheme, fees: &[BoundFee]) -> Option<String> {
    let terms = scheme.terms();
    let why = if terms.reserve {
        "it credits against a reserve, which a coinbase does not hold"
    } else if terms.batch > 0 || terms.cells > 0 {
        "it keeps a state of what miners are owed, which a coinbase would have to wait for"
    } else if terms.reversal != contract::Reversal::Drop {
        "it does not drop what a lost block gave, and nobody could pay for that"
    } else if terms.operator_most > 0 {
        "it leaves a part to the operator: take one of [[pool.fee]]"
    } else if terms.needs_subsidy {
        "it divides subsidy and fees apart"
    } else if crate::policy::pays_the_finder(terms) {
        "it pays the finder alone: take chain.coinbase = \"miner\""
    } else if terms.windows.iter().any(|window| begins_at_a_block(window.span)) {
        "its window begins at a block: shares between a plan and its block would be in no window, and those before an older \
         plan in two; take one whose window slides, such as pplns"
    } else if terms.windows.iter().any(|window| decide::window(window).is_err()) {
        "the journal does not compute its window"
    } else {
        return tried(scheme, fees).err();
    };
    Some(why.to_owned())
}

/// Whether a window ends where another income's did.
fn begins_at_a_block(span: contract::Span) -> bool {
    matches!(span, contract::Span::Round | contract::Span::StandingRound | contract::Span::Unpaid(_))
}

/// The windows of a pool that nobody mined on: whoever finds the block is all there is, and his fee is taken as anybody's.
fn of_the_finder(windows: usize) -> Vec<WindowSums> {
    (0..windows).map(|_| WindowSums(vec![(ANYBODY, 1)])).collect()
}

/// Runs scheme and policies once over three miners, and once over a finder alone.
fn tried(scheme: &BoundScheme, fees: &[BoundFee]) -> Result<(), String> {
    if let Some(fee) = fees.iter().find(|fee| fee.is_to_reserve()) {
        return Err(format!("fee policy {} gives to a reserve, which a coinbase does not hold", fee.name()));
    }
    let rows = |window: &contract::Window| match window.span {
        contract::Span::Finder => WindowSums(vec![(ANYBODY, 1)]),
        _ => WindowSums((1..=3).map(|id| (MinerId(id), u128::from(id) << 60)).collect()),
    };
    let declared = &scheme.terms().windows;
    let facts =
        facts(b"tried", Amount(TRIED), ShareSeq(6), UnixMillis(0), 0).map_err(|why| why.to_string())?;
    let state = SchemeState::default();
    for windows in [declared.iter().map(rows).collect(), of_the_finder(declared.len())] {
        let decided = millpond_payout::allocate(scheme, fees, &facts, Amount::ZERO, &windows, &state, &Zeros);
        let decision = decided.map_err(|why| why.to_string())?;
        if !decision.entry.state.is_empty() {
            return Err("it keeps a state".to_owned());
        }
        weights(scheme.name(), &decision, 4).map_err(|why| why.to_string())?;
    }
    Ok(())
}

/// Columns for a trial.
struct Zeros;

impl Attributes for Zeros {
    fn column(&self, _: &str, miners: &[MinerId]) -> Option<Vec<u64>> {
        Some(vec![0; miners.len()])
    }
}

fn facts(
    key: &[u8],
    gross: Amount,
    end: ShareSeq,
    time: UnixMillis,
    coord: u64,
) -> Result<IncomeFacts, DecideError> {
    let key = Digest::of(&[b"a coinbase's plan".as_slice(), &end.0.to_le_bytes(), key].concat());
    Ok(IncomeFacts {
        key: decide::income_key(&key.0)?,
        amount: gross,
        subsidy: None,
        reserve: Amount::ZERO,
        number: 0,
        end,
        time,
        coord,
        finder: Some(ANYBODY),
        unpaid: None,
    })
}

/// What a division of the plan's reward gives to whom.
type Due = Vec<(PaidTo, u64)>;

/// The weights of a trial division; what rounding left over is nobody's, since weights are relative.
fn weights(scheme: &str, decision: &Decision, rows: usize) -> Result<Due, PlanError> {
    let entry = &decision.entry;
    let mut due = Vec::with_capacity(entry.parts.shares().len());
    for share in entry.parts.shares() {
        match &share.0 {
            Owner::Miner(ANYBODY) => due.push((PaidTo::Finder, share.1.0)),
            Owner::Carry | Owner::Reserve => {}
            owner => due.push((PaidTo::Owner(owner.clone()), share.1.0)),
        }
    }
    let kept = Amount(entry.parts.of(&Owner::Carry).0.saturating_add(entry.parts.of(&Owner::Reserve).0));
    if kept.0 > u64::try_from(rows).unwrap_or(u64::MAX) {
        return Err(PlanError::KeepsBack { scheme: scheme.to_owned(), kept, gross: entry.amount });
    }
    if due.is_empty() {
        return Err(PlanError::Nobody);
    }
    Ok(due)
}

/// What everybody is due by a plan's window and policy, with the audit of the calls that said so. A function of the journal.
fn due(
    bound: &Bound,
    plan: &CoinbasePlan,
    view: &JournalView,
) -> Result<(Due, Vec<AuditRecord>), DecideError> {
    let declared = &bound.scheme.terms().windows;
    let windows = declared.iter().map(|declared| {
        let window = decide::window(declared).map_err(|why: NoSuchWindow| DecideError::from(why))?;
        Ok(WindowSums(view.window(&window, &plan.end, Some(ANYBODY))?))
    });
    let mut windows = windows.collect::<Result<Vec<_>, DecideError>>()?;
    if windows.iter().flat_map(|window| &window.0).all(|row| row.0 == ANYBODY) {
        windows = of_the_finder(declared.len());
    }
    let rows = windows.iter().map(|window| window.0.len()).sum();
    let facts = facts(&plan.parent, plan.gross, plan.end.seq, plan.end.time, plan.end.coord)?;
    let columns = Columns::new(bound, view, plan.end.seq, Amount::ZERO);
    let state = SchemeState::default();
    let decided = millpond_payout::allocate(
        &bound.scheme,
        &bound.fees,
        &facts,
        Amount::ZERO,
        &windows,
        &state,
        &columns,
    );
    let decision = columns.told(decided)?;
    Ok((weights(bound.scheme.name(), &decision, rows)?, decision.audit))
}

/// The outputs of a plan: a function of what is due, of what is deferred, and of whose payees are known.
fn outputs(
    plan: &CoinbasePlan,
    due: &Due,
    deferred: &Deferred,
    payee_of: &dyn Fn(MinerId) -> Option<Vec<u8>>,
) -> Vec<PlannedOutput> {
    let mut dues: BTreeMap<PaidTo, u64> = due.iter().cloned().collect();
    for (owner, balance) in deferred.balances() {
        if balance > 0 {
            dues.entry(PaidTo::Owner(owner.clone())).or_default();
        }
    }
    let mut payees: BTreeMap<PaidTo, (PlannedFor, Vec<u8>)> = BTreeMap::new();
    let mut candidates = Vec::with_capacity(dues.len());
    for (to, due) in dues {
        let known = match &to {
            PaidTo::Finder => Some((PlannedFor::Finder, Vec::new())),
            PaidTo::Owner(Owner::Miner(miner)) => {
                payee_of(*miner).map(|payee| (PlannedFor::Miner(*miner), payee))
            }
            PaidTo::Owner(Owner::Fee(name)) => {
                let named = plan.recipients.iter().find(|(known, _)| *known == name.to_string());
                named.map(|(known, payee)| (PlannedFor::Fee(known.clone()), payee.clone()))
            }
            PaidTo::Owner(Owner::Carry | Owner::Reserve) => None,
        };
        // Who has no payee here waits until he has one.
        let Some(known) = known else { continue };
        let (script, least) = match to {
            PaidTo::Finder => (LONGEST_SCRIPT, least_output(&[0; LONGEST_SCRIPT])),
            _ => (known.1.len(), least_output(&known.1)),
        };
        candidates.push(Candidate { to: to.clone(), due: Amount(due), script, least });
        payees.insert(to, known);
    }
    let bytes = |bytes: u32| usize::try_from(bytes).unwrap_or(usize::MAX);
    let room = Room { fixed: bytes(plan.fixed), limit: bytes(plan.limit) };
    let chosen = direct::select(&candidates, deferred, plan.gross, room, &plan.parent);
    let one = |(to, weight)| payees.remove(&to).map(|(to, payee)| PlannedOutput { to, payee, weight });
    chosen.into_iter().filter_map(one).collect()
}

/// Whom an output pays, as the ledger knows him.
fn paid_to(output: &PlannedOutput) -> Option<PaidTo> {
    Some(match &output.to {
        PlannedFor::Finder => PaidTo::Finder,
        PlannedFor::Miner(miner) => PaidTo::Owner(Owner::Miner(*miner)),
        PlannedFor::Fee(name) => PaidTo::Owner(Owner::Fee(FeeName::try_from(name.clone()).ok()?)),
    })
}

/// What a plan is made of beside the journal.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Height or score of the newest job.
    pub coord: u64,
    /// The network's work there.
    pub network_work: u128,
    /// What its block earns.
    pub reward: Amount,
    /// What it builds on.
    pub parent: Vec<u8>,
    /// Bytes of its coinbase without the outputs that pay somebody.
    pub fixed: u32,
    /// Bytes that it may have.
    pub limit: u32,
    /// Payees of fee recipients.
    pub recipients: BTreeMap<FeeName, Vec<u8>>,
}

impl Books {
    /// Plans whom the coinbase pays from now on, and records it: the outputs, and the record's place.
    ///
    /// # Errors
    /// When a plugin fails, nobody can be paid, or it could not be recorded: the plan before stays.
    pub fn plan(&self, asked: &Asked, now: UnixMillis) -> Result<(Vec<Output>, u64), BooksError> {
        self.remember_recipients()?;
        // Held as long as it is planned: neither the policy in force nor a deferred balance changes before the record.
        let mut inner = self.inner.lock();
        let policies = self.journal.policies();
        let policy = policies.last().ok_or(BooksError::NoPolicy(ShareSeq(0)))?;
        let bound = self.loader.bind(policy)?;
        let recipients = Self::recipients(&mut inner, asked);
        let mut plan = CoinbasePlan {
            policy: u64::try_from(policies.len().saturating_sub(1)).unwrap_or(u64::MAX),
            end: self.journal.end_now(asked.coord, asked.network_work, now),
            gross: asked.reward,
            ledger: self.ledger.head().seq,
            fixed: asked.fixed,
            limit: asked.limit,
            parent: asked.parent.clone(),
            recipients: recipients.into_iter().collect(),
            outputs: Vec::new(),
        };
        let clock = UnixMillis::now();
        inner.conduct.may_ask(&bound, clock)?;
        let (due, _) = match due(&bound, &plan, &self.journal.view()) {
            Ok(due) => due,
            Err(why) => {
                if let Some(stopped) = inner.conduct.failed(&bound, b"plan", &why, clock) {
                    self.quarantine(&mut inner, policy, &bound, &stopped);
                }
                return Err(why.into());
            }
        };
        let payee_of = |miner| self.journal.miner_by_id(miner).map(|known| known.payee);
        plan.outputs = outputs(&plan, &due, &inner.deferred.read(), &payee_of);
        if plan.outputs.is_empty() {
            return Err(DecideError::from(PlanError::Nobody).into());
        }
        let outputs = plan.outputs.iter();
        let outputs = outputs.map(|one| Output { payee: one.payee.clone(), weight: one.weight }).collect();
        let at = self.journal.record(plan).wait()?;
        self.edges.pass(Edge::PlanRecorded);
        Ok((outputs, at))
    }

    /// Whom fees go to, by the configuration; and whoever plans named before: the policy in force may owe him still, or what
    /// he is owed come back with a block that is lost.
    fn recipients(inner: &mut Inner, asked: &Asked) -> BTreeMap<String, Vec<u8>> {
        let known = inner.recipients.get_or_insert_default();
        known.extend(asked.recipients.iter().map(|(name, payee)| (name.to_string(), payee.clone())));
        known.clone()
    }

    /// Reads what the newest plan of the journal knew of recipients, once: before the books are held.
    fn remember_recipients(&self) -> Result<(), JournalError> {
        if self.inner.lock().recipients.is_some() {
            return Ok(());
        }
        let before = self.journal.view().newest_plan()?;
        let known = before.map(|plan| plan.recipients.into_iter().collect()).unwrap_or_default();
        self.inner.lock().recipients.get_or_insert(known);
        Ok(())
    }

    /// Tells the operator who leaves planned coinbases what they left open: nobody pays it any more, and it is nobody's debt.
    pub(crate) fn warn_of_deferred(&self) {
        let deferred = self.deferred.read();
        let owed: Vec<i128> = deferred.balances().map(|row| row.1).filter(|balance| *balance > 0).collect();
        if owed.is_empty() {
            return;
        }
        let text = format!(
            "blocks are not paid by planned coinbases any more, and {} units stay deferred to {} owners, as much as others were \
             paid ahead: they come back with chain.coinbase = \"scheme\" only",
            owed.iter().sum::<i128>(),
            owed.len()
        );
        tracing::warn!(pool = %self.pool, "{text}");
        self.alarms.raise(Level::Warning, &self.pool, ABOUT, text);
    }

    /// What an owner was left owed by coinbases that pay many (above zero), or paid ahead (below).
    #[must_use]
    pub fn deferred(&self, owner: &Owner) -> i128 {
        self.deferred.read().of(owner)
    }
}
