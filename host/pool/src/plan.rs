//! Coinbases that pay many miners, planned before blocks are found: nobody holds anything for anybody.
//!
//! A plan is what the scheme would give of the newest job's reward, with a window that ends now. Those with the most credit
//! stand in the coinbase, as many as fit ([`millpond_payout::direct`]). The plan is durable before the adapter hears of its
//! outputs, and a job whose outputs are those of no recorded plan is not given out. The job's record names its plan. So a
//! block is divided as its own coinbase pays, whatever came since, and what everybody was due is computed again from the
//! plan's window.

use crate::books::{Books, BooksError};
use crate::columns::Columns;
use crate::core::Core;
use crate::decide::{self, DecideError, NoSuchWindow};
use crate::edges::Edge;
use crate::policy::{Bound, is_planned, of_booked, of_income};
use crate::setup::{Prepared, Resolver};
use millpond_alerts::Level;
use millpond_chain::{CheckedIncome, ReadyJob, least_output};
use millpond_contracts::chain::{IncomeAt, Output};
use millpond_contracts::payout as contract;
use millpond_journal::{
    CoinbasePlan, Income, Job, JournalError, JournalView, PlannedFor, PlannedOutput, Policy, Record,
};
use millpond_ledger::{FeeName, IncomeKey, IncomeStatus, Owner};
use millpond_payout::direct::{self, Candidate, Deferred, LONGEST_SCRIPT, PaidTo, Room};
use millpond_payout::{
    Attributes, AuditRecord, BoundFee, BoundScheme, Decision, IncomeFacts, SchemeState, WindowSums,
};
use millpond_types::{Amount, Digest, JobId, MinerId, ShareSeq, UnixMillis};
use parking_lot::{Condvar, Mutex};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::{Duration, Instant};

/// A stop is heard, and another policy seen, within this time.
const LOOK: Duration = Duration::from_millis(500);
/// After a plan that did not come about the next is tried this late.
const AGAIN: Duration = Duration::from_secs(2);
/// A plan that cannot be made anew for so many times the usual pause gives out no more jobs,
const STALE: u32 = 10;
/// and for no less than this.
const STALE_LEAST: Duration = Duration::from_secs(600);
/// Plans whose jobs may still come: as many revisions as the chain keeps.
const KEPT: usize = 64;
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

/// The plan of an income's own job, with the job.
fn plan_of(income: &Income, view: &JournalView) -> Result<(Job, CoinbasePlan), DecideError> {
    let id = income.job.ok_or(PlanError::NoBlock)?;
    let last = view.dropped().last;
    let gone = |why| if last.0 > 0 { DecideError::Journal(JournalError::Dropped { last }) } else { why };
    let job = view.jobs(&BTreeSet::from([id]))?.remove(&id);
    let job = job.ok_or_else(|| gone(PlanError::NoPlan(id).into()))?;
    match view.record(job.plan.ok_or(PlanError::NoPlan(id))?)? {
        Some(Record::CoinbasePlan(plan)) => Ok((job, plan)),
        _ => Err(gone(PlanError::NoPlan(id).into())),
    }
}

/// The policy that divides an income: that of its block's plan where the coinbase was planned, or the one that took its
/// place for this income since; else `usual`, which is by the end of its windows.
///
/// # Errors
/// When its plan is not to be found.
pub(crate) fn policy_of<'a>(
    policies: &'a [Policy],
    usual: &'a Policy,
    income: &Income,
    view: &JournalView,
) -> Result<&'a Policy, DecideError> {
    if !is_planned(usual) {
        return Ok(usual);
    }
    let (job, plan) = plan_of(income, view)?;
    let at = usize::try_from(plan.policy).ok();
    let own = at.and_then(|at| policies.get(at)).ok_or(PlanError::NoPlan(job.id))?;
    Ok(repaired(policies.iter().skip(at.unwrap_or(0)), income).unwrap_or(own))
}

/// Whoever took the place of the plan's policy for one income, since that failed: such a record begins before the income's
/// own end, and is younger than the income. A policy that an operator ordered before the block was found is older.
fn repaired<'a>(later: impl Iterator<Item = &'a Policy>, income: &Income) -> Option<&'a Policy> {
    let here = |policy: &&Policy| {
        policy.from.0.saturating_add(1) == income.end.seq.0 && policy.time > income.time && is_planned(policy)
    };
    later.filter(here).last()
}

/// Where the windows of a planned income end: at its plan.
///
/// # Errors
/// When its plan is not to be found.
pub(crate) fn end_of(
    income: &Income,
    view: &JournalView,
) -> Result<millpond_journal::WindowEnd, DecideError> {
    Ok(plan_of(income, view)?.1.end)
}

/// Divides an income as its block's coinbase paid it.
///
/// # Errors
/// When its plan is not to be found, or what was due cannot be computed.
pub(crate) fn divide(bound: &Bound, income: &Income, view: &JournalView) -> Result<Decision, DecideError> {
    let (job, plan) = plan_of(income, view)?;
    let finder = income.finder.ok_or(PlanError::NoBlock)?;
    if income.amount != job.reward {
        return Err(PlanError::Amount { amount: income.amount, reward: job.reward }.into());
    }
    let (due, audit) = due(bound, &plan, view)?;
    let outputs = plan.outputs.iter().map(|output| paid_to(output).map(|to| (to, output.weight)));
    let outputs = outputs.collect::<Option<Vec<_>>>().ok_or(PlanError::Nobody)?;
    let entry = direct::divide(decide::income_key(&income.key)?, income.amount, &outputs, &due, finder)?;
    Ok(Decision { entry: entry.ending(income.end.seq), audit })
}

/// What a replay knows of plans.
#[derive(Default)]
pub(crate) struct Plans {
    /// The plan of each job that has one, by its place.
    jobs: BTreeMap<JobId, u64>,
    plans: BTreeMap<u64, CoinbasePlan>,
    /// By how many incomes' plans go by the deferred balances behind which records of the ledger.
    ledgers: BTreeMap<u64, usize>,
    payees: BTreeMap<MinerId, Vec<u8>>,
}

impl Plans {
    /// Takes in a record of the journal.
    pub(crate) fn read(&mut self, record: &Record) {
        if let Record::Job(Job { id, plan: Some(plan), .. }) = record {
            self.jobs.insert(*id, *plan);
        }
    }

    /// Keeps the plans of blocks alone, and learns the miners' payees where there are any.
    ///
    /// # Errors
    /// When the journal does not check.
    pub(crate) fn of<'a>(
        mut self,
        incomes: impl Iterator<Item = &'a Income>,
        view: &JournalView,
    ) -> Result<Self, JournalError> {
        let mut of_jobs: BTreeMap<JobId, usize> = BTreeMap::new();
        for job in incomes.filter_map(|income| income.job) {
            let times = of_jobs.entry(job).or_default();
            *times = times.saturating_add(1);
        }
        self.jobs.retain(|job, _| of_jobs.contains_key(job));
        if self.jobs.is_empty() {
            return Ok(self);
        }
        for entry in view.records_at(&self.jobs.values().copied().collect())? {
            if let Record::CoinbasePlan(plan) = entry.record {
                self.plans.insert(entry.position, plan);
            }
        }
        for (job, at) in &self.jobs {
            if let (Some(plan), Some(times)) = (self.plans.get(at), of_jobs.get(job)) {
                let uses = self.ledgers.entry(plan.ledger).or_default();
                *uses = uses.saturating_add(*times);
            }
        }
        for entry in view.records(1) {
            match entry?.record {
                Record::Miner(miner) => {
                    self.payees.insert(miner.id, miner.payee);
                }
                Record::CarriedOver(state) => {
                    self.payees.extend(state.miners().map(|miner| (miner.id, miner.payee.clone())));
                }
                Record::CarriedMore(more) => {
                    let miners = more.state().miners();
                    self.payees.extend(miners.map(|miner| (miner.id, miner.payee.clone())));
                }
                _ => {}
            }
        }
        Ok(self)
    }

    /// The deferred balances behind each record of the ledger that some plan goes by, while incomes of such a plan come.
    pub(crate) fn balances(&self) -> Balances {
        Balances { uses: self.ledgers.clone(), kept: BTreeMap::new() }
    }

    /// Makes an income's plan again and compares it with the record. What another policy was put in the place of cannot be
    /// asked again.
    ///
    /// # Errors
    /// What differs.
    pub(crate) fn check(
        &self,
        (bound, policy): (&Bound, &Policy),
        policies: &[Policy],
        income: &Income,
        view: &JournalView,
        balances: &mut Balances,
    ) -> Result<(), DecideError> {
        let known = income.job.and_then(|job| self.plans.get(self.jobs.get(&job)?));
        let Some(plan) = known else { return Err(PlanError::NoBlock.into()) };
        let deferred = balances.used(plan.ledger);
        if usize::try_from(plan.policy).ok().and_then(|at| policies.get(at)) != Some(policy) {
            return Ok(());
        }
        let (due, _) = due(bound, plan, view)?;
        let again = outputs(plan, &due, &deferred, &|miner| self.payees.get(&miner).cloned());
        if again == plan.outputs {
            return Ok(());
        }
        let other = again.iter().zip(&plan.outputs).find(|(again, there)| again != there);
        let words = other.map(|(again, there)| format!("{again:?} and not {there:?}"));
        let counts = format!("{} outputs and not {}", again.len(), plan.outputs.len());
        Err(PlanError::Differs(words.unwrap_or(counts)).into())
    }
}

/// What a replay keeps of deferred balances.
#[derive(Default)]
pub(crate) struct Balances {
    uses: BTreeMap<u64, usize>,
    kept: BTreeMap<u64, Arc<Deferred>>,
}

impl Balances {
    /// A record of the ledger is counted.
    pub(crate) fn counted(&mut self, ledger: u64, deferred: &Deferred) {
        if self.uses.contains_key(&ledger) {
            self.kept.insert(ledger, Arc::new(deferred.rows_alone()));
        }
    }

    /// Those behind a record, for one of the incomes that need them; dropped with the last.
    fn used(&mut self, ledger: u64) -> Arc<Deferred> {
        let found = self.kept.get(&ledger).cloned().unwrap_or_default();
        let left = self.uses.get_mut(&ledger).map(|uses| {
            *uses = uses.saturating_sub(1);
            *uses
        });
        if left == Some(0) {
            self.kept.remove(&ledger);
        }
        found
    }
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
        // Held as long as it is planned: neither the policy in force nor a deferred balance changes before the record.
        let mut inner = self.inner.lock();
        let policies = self.journal.policies();
        let policy = policies.last().ok_or(BooksError::NoPolicy(ShareSeq(0)))?;
        let bound = self.loader.bind(policy)?;
        let recipients = asked.recipients.iter().map(|(name, payee)| (name.to_string(), payee.clone()));
        let mut plan = CoinbasePlan {
            policy: u64::try_from(policies.len().saturating_sub(1)).unwrap_or(u64::MAX),
            end: self.journal.end_now(asked.coord, asked.network_work, now),
            gross: asked.reward,
            ledger: self.ledger.head().seq,
            fixed: asked.fixed,
            limit: asked.limit,
            parent: asked.parent.clone(),
            recipients: recipients.collect(),
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

/// What a running pool knows of its plans.
pub(crate) struct Planner {
    limit: u32,
    every: Duration,
    recipients: BTreeMap<FeeName, Vec<u8>>,
    /// Recorded by this process, the newest last.
    recorded: Mutex<VecDeque<(Vec<Output>, u64)>>,
    newest: Mutex<Option<Arc<ReadyJob>>>,
    /// Somebody wants a plan now.
    wanted: Mutex<bool>,
    wakes: Condvar,
    /// Since when plans do not come about.
    failing: Mutex<Option<Instant>>,
    /// The most bytes that a coinbase had so far without the outputs that pay somebody: an empty block's commits to no
    /// witness, and the next one's does.
    fixed: AtomicU32,
}

/// Whether plans did not come about for too long to give out jobs of an older one.
fn is_stale(failing: Option<Instant>, now: Instant, every: Duration) -> bool {
    let longest = every.saturating_mul(STALE).max(STALE_LEAST);
    failing.is_some_and(|since| now.saturating_duration_since(since) >= longest)
}

impl Planner {
    /// For a pool whose section wants planned coinbases.
    ///
    /// # Errors
    /// When a fee recipient has no address that a coinbase could pay.
    pub(crate) fn of(prepared: &Prepared) -> Result<Option<Self>, String> {
        let section = &prepared.section;
        if !prepared.wanted.planned {
            return Ok(None);
        }
        let resolver = Resolver { adapter: prepared.adapter.as_ref(), check: prepared.addresses.as_deref() };
        let mut recipients = BTreeMap::new();
        for recipient in section.fee.iter().flat_map(|fee| &fee.recipient) {
            let name = FeeName::try_from(recipient.name.clone()).map_err(|why| why.to_string())?;
            let address = recipient.address.as_deref().unwrap_or_default();
            recipients.insert(name, resolver.payee(address)?);
        }
        let limit = millpond_stratum::coinbase_limit(&section.chain.coinbase_limit);
        let limit = limit.and_then(|limit| u32::try_from(limit).ok()).ok_or("no limit of the coinbase")?;
        Ok(Some(Self {
            limit,
            every: section.chain.plan_every,
            recipients,
            recorded: Mutex::default(),
            newest: Mutex::default(),
            wanted: Mutex::new(false),
            wakes: Condvar::new(),
            failing: Mutex::default(),
            fixed: AtomicU32::new(0),
        }))
    }

    /// A job came, with a coinbase of so many bytes: where the plan of its outputs is recorded. `None` for outputs that no
    /// plan is recorded of, for a coinbase that is longer than miners were promised, and while plans have not come about
    /// for long: such a job is not given out.
    pub(crate) fn plan_of(&self, ready: &Arc<ReadyJob>, bytes: Option<usize>) -> Option<u64> {
        let before = self.newest.lock().replace(Arc::clone(ready));
        let is_known = |(outputs, _): &&(Vec<Output>, u64)| **outputs == *ready.outputs;
        let known = self.recorded.lock().iter().rev().find(is_known).map(|(_, at)| *at);
        if known.is_none() || before.is_none_or(|before| before.parent != ready.parent) {
            self.wake();
        }
        if !self.fits(bytes) {
            self.wake();
            return None;
        }
        known.filter(|_| !is_stale(*self.failing.lock(), Instant::now(), self.every))
    }

    /// Whether miners take a coinbase of so many bytes.
    fn fits(&self, bytes: Option<usize>) -> bool {
        let bytes = bytes.map(|bytes| u32::try_from(bytes).unwrap_or(u32::MAX));
        bytes.is_none_or(|bytes| bytes <= self.limit)
    }

    fn wake(&self) {
        *self.wanted.lock() = true;
        self.wakes.notify_all();
    }

    /// Waits until a plan is wanted, at most this long; whether one is.
    fn wait(&self, most: Duration) -> bool {
        let mut wanted = self.wanted.lock();
        if !*wanted {
            self.wakes.wait_for(&mut wanted, most);
        }
        std::mem::take(&mut *wanted)
    }

    fn asked(&self, job: &ReadyJob, bytes: Option<usize>) -> Result<Asked, PlanError> {
        let amounts = millpond_chain::shares(job.reward, &job.outputs).ok_or(PlanError::Nobody)?;
        let paying = job.outputs.iter().zip(amounts).filter(|(_, amount)| *amount > Amount::ZERO);
        let length = |output: &Output| match output.payee.len() {
            0 => LONGEST_SCRIPT,
            length => length,
        };
        let paying: usize = paying.map(|(output, _)| length(output).saturating_add(9)).sum();
        let fixed = bytes.and_then(|bytes| u32::try_from(bytes.checked_sub(paying)?).ok());
        let fixed = fixed.map(|fixed| fixed.max(self.fixed.fetch_max(fixed, Ordering::Relaxed)));
        Ok(Asked {
            coord: job.coord,
            network_work: u128::from(job.network_target.work(job.version.work_shift).0),
            reward: job.reward,
            parent: job.parent.to_vec(),
            fixed: fixed.ok_or(PlanError::Length)?,
            limit: self.limit,
            recipients: self.recipients.clone(),
        })
    }
}

/// The thread: plans at each new tip, at each change of policy, and from time to time, until told to stop.
pub(crate) fn run(core: &Arc<Core>, stop: &Receiver<()>) {
    let Some(planner) = &core.planner else { return };
    let (mut next, mut by): (Instant, Option<Policy>) = (Instant::now(), None);
    let mut end = ShareSeq(0);
    loop {
        let mut wanted = planner.wait(LOOK);
        if !matches!(stop.try_recv(), Err(TryRecvError::Empty)) {
            return;
        }
        let policy = core.journal.newest_policy();
        wanted |= by.is_some() && by != policy;
        wanted |= Instant::now() >= next && by.is_some() && core.journal.view().newest() > end;
        if !wanted {
            continue;
        }
        match step(core, planner) {
            Ok(true) => {
                core.alarms.clear(core.name.as_str(), ABOUT);
                *planner.failing.lock() = None;
                (by, end) = (policy, core.journal.view().newest());
                next = Instant::now().checked_add(planner.every).unwrap_or(next);
            }
            Ok(false) => {}
            Err(why) => {
                let since = *planner.failing.lock().get_or_insert_with(Instant::now);
                let stays = match is_stale(Some(since), Instant::now(), planner.every) {
                    true => "and has not been for long: no job is given out until it is",
                    false => "the plan before stays",
                };
                let text = format!("whom the coinbase pays is not planned anew, {stays}: {why}");
                core.alarm(Level::Critical, ABOUT, text);
                next = Instant::now().checked_add(AGAIN).unwrap_or(next);
                // Tried again for want of a plan, with or without new shares.
                (by, end) = (by.or(policy), ShareSeq(0));
            }
        }
    }
}

/// How long the coinbase of a job is at most, as far as the host can tell.
pub(crate) fn coinbase_bytes(core: &Core, job: &ReadyJob) -> Option<usize> {
    core.chain()?.trust().coinbase.as_ref()?.bytes(job)
}

/// Plans once; false when there is no job yet.
fn step(core: &Core, planner: &Planner) -> Result<bool, BooksError> {
    let (newest, chain) = (planner.newest.lock().clone(), core.chain());
    let (Some(job), Some(chain)) = (newest, chain) else { return Ok(false) };
    let bytes = coinbase_bytes(core, &job);
    let asked = planner.asked(&job, bytes).map_err(DecideError::from)?;
    let (outputs, at) = core.books.plan(&asked, UnixMillis::now())?;
    {
        let mut recorded = planner.recorded.lock();
        recorded.push_back((outputs.clone(), at));
        while recorded.len() > KEPT {
            recorded.pop_front();
        }
    }
    tracing::debug!(pool = %core.name, outputs = outputs.len(), at, "whom the coinbase pays is planned");
    chain.outputs(outputs);
    Ok(true)
}

/// What an adapter's income means where the coinbase is planned.
pub(crate) enum Seen {
    /// An income of its own, as it is.
    AsItIs,
    /// One of the outputs of a block whose income is recorded, and open.
    Known(Box<Income>),
    /// Of a block that is settled in the ledger.
    Settled,
    /// The first output of a block that is told of: the block's income is all of the job's reward, under the block's name.
    Whole(Vec<u8>, Amount),
}

/// An adapter tells each output of a coinbase apart that is not the session's own. Where the coinbase was planned they are
/// one income, which the chain has divided already: the native codec saw that they are the job's reward. Every other
/// block's incomes are what the adapter calls them, whatever their keys.
pub(crate) fn seen(core: &Core, income: &CheckedIncome, open: &[Income]) -> Seen {
    let IncomeAt::Block(name) = &income.at else { return Seen::AsItIs };
    let policies = core.journal.policies();
    if !policies.iter().any(is_planned) {
        return Seen::AsItIs;
    }
    let job = core.journal_id(name).and_then(|id| core.journal.end_of_block(&id).ok());
    let job = job.map(|(_, block)| block.job);
    let job = job.and_then(|id| core.journal.view().jobs(&BTreeSet::from([id])).ok()?.remove(&id));
    let booked = IncomeKey::new(name.clone()).and_then(|key| {
        let book = core.ledger.book();
        let known = book.income(&key)?;
        Some((known.status, known.end, known.direct))
    });
    told(&policies, name, open, job.as_ref(), booked)
}

/// What an income of a block means by what is recorded: the incomes that are open, the block's job as far as it is known
/// still, and what the ledger has under the block's name.
fn told(
    policies: &[Policy],
    name: &[u8],
    open: &[Income],
    job: Option<&Job>,
    booked: Option<(IncomeStatus, ShareSeq, bool)>,
) -> Seen {
    if let Some(known) = open.iter().find(|known| known.key == name && is_of_a_plan(policies, known)) {
        return Seen::Known(Box::new(known.clone()));
    }
    let counts = |(status, end, direct)| {
        let planned = of_booked(policies, end, direct).is_some_and(is_planned);
        planned && matches!(status, IncomeStatus::Immature | IncomeStatus::Matured)
    };
    if booked.is_some_and(counts) {
        return Seen::Settled;
    }
    match job {
        Some(job) if job.plan.is_some() => Seen::Whole(name.to_vec(), job.reward),
        _ => Seen::AsItIs,
    }
}

/// Whether a recorded income is that of a planned coinbase, under its block's name.
pub(crate) fn is_of_a_plan(policies: &[Policy], income: &Income) -> bool {
    of_income(policies, income).is_some_and(is_planned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use millpond_journal::{IncomeAt as At, PluginInForce, Setting as Recorded, WindowEnd};
    use millpond_types::Target;

    fn policy(from: u64, coinbase: Option<&str>) -> Policy {
        let mut settings = vec![("@direct".to_owned(), Recorded::Flag(coinbase.is_some()))];
        settings.extend(coinbase.map(|words| ("@coinbase".to_owned(), Recorded::Text(words.to_owned()))));
        let component = Digest([1; 32]);
        let scheme = PluginInForce { name: "any".into(), component, config: component, settings };
        Policy { from: ShareSeq(from), scheme, fees: Vec::new(), reason: String::new(), time: UnixMillis(1) }
    }

    fn income(key: &[u8], end: u64) -> Income {
        let end = WindowEnd {
            seq: ShareSeq(end),
            time: UnixMillis(9),
            coord: 1,
            network_work: 1,
            round_after: ShareSeq(0),
        };
        Income {
            key: key.to_vec(),
            amount: Amount(50),
            at: At::Block(b"header".to_vec()),
            mature: false,
            job: Some(JobId(1)),
            finder: Some(MinerId(1)),
            end,
            time: UnixMillis(9),
        }
    }

    fn job(plan: Option<u64>) -> Job {
        Job {
            id: JobId(1),
            coord: 1,
            parent: Vec::new(),
            recipe: 0,
            network_target: Target::MAX,
            network_work: 1,
            reward: Amount(50),
            subsidy: None,
            plan,
            adapter: Digest([0; 32]),
            time: UnixMillis(1),
        }
    }

    #[test]
    fn a_plan_that_cannot_be_made_anew_ends() {
        let (now, every) = (Instant::now(), Duration::from_secs(300));
        let later = |seconds| now + Duration::from_secs(seconds);
        assert!(!is_stale(None, later(1 << 20), every), "an idle pool's plan is as good as it was");
        assert!(!is_stale(Some(now), later(2_999), every));
        assert!(is_stale(Some(now), later(3_000), every));
        assert!(!is_stale(Some(now), later(599), Duration::from_secs(10)));
        assert!(is_stale(Some(now), later(600), Duration::from_secs(10)));
    }

    #[test]
    fn who_takes_the_place_of_a_plans_policy_divides_its_income() {
        let at = |from, time| Policy { time: UnixMillis(time), ..policy(from, Some("scheme")) };
        // Ordered before the block, put in its place afterwards, and for the block behind it.
        let policies = [at(0, 1), at(4, 5), at(4, 20), at(5, 21)];
        assert_eq!(repaired(policies.iter(), &income(b"block", 5)), Some(&policies[2]));
        assert_eq!(repaired(policies[..2].iter(), &income(b"block", 5)), None);
        assert_eq!(repaired([policy(4, Some("miner"))].iter(), &income(b"block", 5)), None);
    }

    #[test]
    fn a_second_income_of_a_block_is_one_of_its_own_unless_its_coinbase_was_planned() {
        // Planned up to the hundredth share, paid to the pool from there on; and a pool that pays finders.
        let left = [policy(0, Some("scheme")), policy(100, None)];
        let finders = [policy(0, Some("scheme")), policy(100, Some("miner"))];
        let booked = |end, direct| Some((IncomeStatus::Matured, ShareSeq(end), direct));
        for policies in [&left, &finders] {
            let open = [income(b"block", 200)];
            let direct = crate::policy::is_direct(&policies[1]);
            assert!(matches!(told(policies, b"block", &open, Some(&job(None)), None), Seen::AsItIs));
            assert!(matches!(told(policies, b"block", &[], None, booked(200, direct)), Seen::AsItIs));
            assert!(!is_of_a_plan(policies, &open[0]));
            // What was planned before stays so.
            let open = [income(b"block", 50)];
            assert!(matches!(told(policies, b"block", &open, Some(&job(Some(7))), None), Seen::Known(_)));
            assert!(matches!(told(policies, b"block", &[], None, booked(50, true)), Seen::Settled));
            let fresh = told(policies, b"block", &[], Some(&job(Some(7))), None);
            assert!(matches!(fresh, Seen::Whole(key, Amount(50)) if key == b"block"));
        }
    }
}
