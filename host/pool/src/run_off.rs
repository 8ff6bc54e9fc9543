//! What is owed by a scheme that was followed by another is settled by its own rule.
//!
//! Work under a scheme with a window, or with a state of its own, is paid by incomes to come, for as long as its window reaches back to it, or it keeps anything of the miner. Behind the
//! share F, where another took over, each income is divided by both. The old scheme is called as if nobody had followed it,
//! and everything behind F is one miner's, "others" ([`millpond_payout::owed`]); what they get and what it would carry is for
//! the new one, whose windows begin behind F. So no share is paid by two. It is over when no window of the old one's reaches
//! back to F, or after so many incomes.
//!
//! Who was followed, where and with which settings stands in the policy that takes over, as its setting [`RUN_OFF`]: nothing
//! is inferred from the order of policies, which repairs write again. That it is over is the same policy once more, without
//! whom it follows: so it never begins again, whatever the network's difficulty does to a window, and what it took may be
//! dropped. The floor F stays for as long as windows may reach below it.

use crate::books::{Books, BooksError, Inner};
use crate::columns::Columns;
use crate::decide::{self, DecideError, Standing};
use crate::policy::{Bound, Loader, PolicyError, digest_of, pays_alike, pays_the_pool};
use millpond_alerts::Level;
use millpond_contracts::payout as contract;
use millpond_journal::{
    Clip, Counted, Income, JournalView, OTHERS, PluginInForce, Policy, RUN_OFF, Setting, Span, Window,
    WindowEnd,
};
use millpond_ledger::IncomeAllocated;
use millpond_payout::{
    Beside, Decision, Followed as Cells, IncomeFacts, NoAttributes, Owed, PayoutError, SchemeState,
    StateChange, SwapError, WindowSums, check_upgrade, is_of_before, later, owed, owes_by_windows,
    owes_in_cells, owes_nothing_behind_a_block,
};
use millpond_types::{Amount, Digest, ShareSeq, UnixMillis};
use serde::{Deserialize, Serialize};

/// What a policy follows, as it is recorded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Follows {
    /// Shares up to this one are another's to pay.
    pub(crate) floor: ShareSeq,
    /// Who pays those of them that it still owes for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) old: Option<Followed>,
}

/// A policy that was followed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Followed {
    /// Its own floor.
    pub(crate) floor: ShareSeq,
    /// It was in force behind this share.
    pub(crate) from: ShareSeq,
    /// Incomes with a higher number are not its any more.
    pub(crate) until: u64,
    scheme: Plugin,
    fees: Vec<Plugin>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Plugin {
    name: String,
    component: Digest,
    settings: Vec<(String, Value)>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
enum Value {
    Flag(bool),
    Int(i64),
    Text(String),
}

impl Plugin {
    fn of(plugin: &PluginInForce) -> Self {
        let own = plugin.settings.iter().filter(|(name, _)| name != RUN_OFF);
        let one = |(name, value): &(String, Setting)| {
            let value = match value {
                Setting::Flag(flag) => Value::Flag(*flag),
                Setting::Int(number) => Value::Int(*number),
                Setting::Text(text) => Value::Text(text.clone()),
            };
            (name.clone(), value)
        };
        Self { name: plugin.name.clone(), component: plugin.component, settings: own.map(one).collect() }
    }

    fn in_force(&self) -> PluginInForce {
        let one = |(name, value): &(String, Value)| {
            let value = match value {
                Value::Flag(flag) => Setting::Flag(*flag),
                Value::Int(number) => Setting::Int(*number),
                Value::Text(text) => Setting::Text(text.clone()),
            };
            (name.clone(), value)
        };
        let settings: Vec<_> = self.settings.iter().map(one).collect();
        let config = digest_of(&settings);
        PluginInForce { name: self.name.clone(), component: self.component, config, settings }
    }
}

impl Followed {
    fn new(policy: &Policy, floor: ShareSeq, until: u64) -> Self {
        let (scheme, fees) = (Plugin::of(&policy.scheme), policy.fees.iter().map(Plugin::of).collect());
        Self { floor, from: policy.from, until, scheme, fees }
    }

    /// As a policy of its own.
    pub(crate) fn policy(&self) -> Policy {
        let fees = self.fees.iter().map(Plugin::in_force).collect();
        let (reason, time) = (String::new(), UnixMillis(0));
        Policy { from: self.from, scheme: self.scheme.in_force(), fees, reason, time }
    }

    /// Whether it is one that failed by other versions: with components of these policies, of the last of which is who follows
    /// it.
    fn stands_in_for(&self, failed: &Self, (known, last): (&[Policy], &Policy)) -> bool {
        fn all(of: &Followed) -> impl Iterator<Item = &Plugin> {
            std::iter::once(&of.scheme).chain(&of.fees)
        }
        let place = |of: &Self| (of.floor, of.from, of.until, of.fees.len());
        let was = |one: &Plugin| {
            let mut plugins =
                known.iter().chain([last]).flat_map(|it| std::iter::once(&it.scheme).chain(&it.fees));
            plugins.any(|it| it.name == one.name && it.component == one.component)
        };
        let mut pairs = all(self).zip(all(failed));
        place(self) == place(failed)
            && pairs.all(|(one, other)| one == other || (one.settings == other.settings && was(one)))
    }

    fn is(&self, policy: &Policy) -> bool {
        Self::new(policy, self.floor, self.until) == *self
    }
}

impl Follows {
    /// What a policy was recorded with; nothing where it follows nobody, and where it is announced.
    pub(crate) fn of(policy: &Policy) -> Result<Option<Self>, PolicyError> {
        match setting(policy) {
            Some(Setting::Text(text)) => serde_json::from_str(text)
                .map(Some)
                .map_err(|why| PolicyError::RunOff(policy.scheme.name.clone(), why.to_string())),
            Some(Setting::Int(_) | Setting::Flag(_)) | None => Ok(None),
        }
    }

    pub(crate) fn floor_alone(&self) -> Self {
        Self { floor: self.floor, old: None }
    }

    /// The same with another one in the place of who was followed.
    pub(crate) fn instead(&self, other: &Policy) -> Option<Self> {
        let old = self.old.as_ref()?;
        let old = Followed { from: old.from, ..Followed::new(other, old.floor, old.until) };
        Some(Self { floor: self.floor, old: Some(old) })
    }
}

fn setting(policy: &Policy) -> Option<&Setting> {
    policy.scheme.settings.iter().find(|(name, _)| name == RUN_OFF).map(|(_, value)| value)
}

/// The same policy with another word about whom it follows.
fn with(policy: Policy, value: Option<Setting>) -> Policy {
    let mut scheme = policy.scheme;
    let before = scheme.settings.len();
    scheme.settings.retain(|(name, _)| name != RUN_OFF);
    if value.is_none() && scheme.settings.len() == before {
        return Policy { scheme, ..policy };
    }
    scheme.settings.extend(value.map(|value| (RUN_OFF.to_owned(), value)));
    scheme.settings.sort_by(|a, b| a.0.cmp(&b.0));
    scheme.config = digest_of(&scheme.settings);
    Policy { scheme, ..policy }
}

/// The same policy, following this.
pub(crate) fn following(policy: Policy, follows: Option<&Follows>) -> Result<Policy, PolicyError> {
    let text = |follows: &Follows| {
        serde_json::to_string(follows)
            .map_err(|why| PolicyError::RunOff(policy.scheme.name.clone(), why.to_string()))
    };
    let text = follows.map(text).transpose()?;
    Ok(with(policy, text.map(Setting::Text)))
}

/// The same policy, announced to run off the one before it for at most so many incomes.
fn announced(policy: Policy, limit: u64) -> Policy {
    with(policy, Some(Setting::Int(i64::try_from(limit).unwrap_or(i64::MAX))))
}

/// For how many incomes at most an announced policy runs off the one before it.
pub(crate) fn asked(policy: &Policy) -> Option<u64> {
    match setting(policy) {
        Some(Setting::Int(limit)) => u64::try_from(*limit).ok(),
        _ => None,
    }
}

/// Whether one policy goes on where another was: the same scheme with the same settings, whatever its version, the fees are and
/// the operator stands in with.
pub(crate) fn goes_on(a: &Policy, b: &Policy) -> bool {
    fn own(policy: &Policy) -> impl Iterator<Item = &(String, Setting)> {
        policy.scheme.settings.iter().filter(|(name, _)| !name.starts_with('@'))
    }
    a.scheme.name == b.scheme.name && own(a).eq(own(b)) && pays_alike(a, b)
}

/// As [`goes_on`], of policies that are loaded: a version with other windows is another scheme.
pub(crate) fn takes_up((a, old): (&Policy, &Bound), (b, new): (&Policy, &Bound)) -> bool {
    goes_on(a, b) && old.scheme.terms().windows == new.scheme.terms().windows
}

/// Whether two plugins have the same settings, whatever of incomes is another's to pay.
pub(crate) fn set_alike(a: &PluginInForce, b: &PluginInForce) -> bool {
    fn own(plugin: &PluginInForce) -> impl Iterator<Item = &(String, Setting)> {
        plugin.settings.iter().filter(|(name, _)| name != RUN_OFF)
    }
    own(a).eq(own(b))
}

/// What an announced policy says of running off the one in force.
pub(crate) fn as_announced(
    (policy, bound): (Policy, &Bound),
    (in_force, old): (&Policy, &Bound),
    limit: Option<u64>,
) -> Policy {
    let terms = old.scheme.terms();
    let settles = owes_by_windows(terms) || owes_nothing_behind_a_block(terms) || terms.batch > 0;
    let takes_up = takes_up((in_force, old), (&policy, bound));
    match limit {
        Some(limit) if settles && pays_the_pool(&policy) && !takes_up => announced(policy, limit),
        _ => policy,
    }
}

/// What a policy is recorded with that takes over behind a share, when so many incomes were divided.
pub(crate) fn taking_over(
    (next, bound): (&Policy, &Bound),
    (in_force, old): (&Policy, &Bound),
    (from, incomes): (ShareSeq, u64),
    is_over: bool,
) -> Result<Option<Follows>, PolicyError> {
    let before = Follows::of(in_force)?;
    if takes_up((in_force, old), (next, bound)) {
        return Ok(before.map(|before| if is_over { before.floor_alone() } else { before }));
    }
    let Some(limit) = asked(next) else { return Ok(before.map(|before| before.floor_alone())) };
    let floor = before.map_or(ShareSeq(0), |before| before.floor);
    // The income of the block that it takes over behind is not divided yet.
    let until = incomes.saturating_add(1).saturating_add(limit);
    let owes = owes_by_windows(old.scheme.terms()) || leaves_cells(old, bound);
    let old = owes.then(|| Followed::new(in_force, floor, until));
    Ok(Some(Follows { floor: from, old }))
}

/// Whether what a scheme owes stands in cells that the next one does not read.
pub(crate) fn leaves_cells(old: &Bound, next: &Bound) -> bool {
    let format = |bound: &Bound| {
        let terms = bound.scheme.terms();
        (terms.state_format.clone(), terms.cells)
    };
    owes_in_cells(&old.scheme) && format(old) != format(next)
}

/// Whether a policy may take over what the one in force keeps of miners: that is settled by its own rule, for so many incomes
/// at most, or as [`check_upgrade`] has it.
pub(crate) fn check_follows(
    (next, bound): (&Policy, &Bound),
    old: &Bound,
    state: &SchemeState,
    limit: Option<u64>,
) -> Result<(), SwapError> {
    let settles = limit.is_some_and(|limit| limit > 0) && pays_the_pool(next) && leaves_cells(old, bound);
    if settles { Ok(()) } else { check_upgrade(&old.scheme, &bound.scheme, state) }
}

/// The policy that another follows, with what repairs that other in the place of each component that failed with it: `None`
/// where there is no such component.
pub(crate) fn with_repaired(old: &Policy, failed: &Policy, by: &Policy) -> Option<Policy> {
    let put = |plugin: &PluginInForce, of_failed: &[PluginInForce], of_by: &[PluginInForce]| {
        let mut pairs = of_failed.iter().zip(of_by);
        let pair = pairs
            .find(|(failed, by)| failed.component == plugin.component && by.component != plugin.component);
        pair.map(|(_, by)| PluginInForce { name: by.name.clone(), component: by.component, ..plugin.clone() })
    };
    let one = std::slice::from_ref;
    let scheme = put(&old.scheme, one(&failed.scheme), one(&by.scheme));
    let fees: Vec<_> = old.fees.iter().map(|fee| put(fee, &failed.fees, &by.fees)).collect();
    if scheme.is_none() && fees.iter().all(Option::is_none) {
        return None;
    }
    let fees = fees.into_iter().zip(&old.fees).map(|(other, fee)| other.unwrap_or_else(|| fee.clone()));
    let scheme = scheme.unwrap_or_else(|| old.scheme.clone());
    Some(Policy { scheme, fees: fees.collect(), ..old.clone() })
}

/// The same policy with another one in the place of whom it follows.
pub(crate) fn following_instead(policy: &Policy, other: &Policy) -> Result<Option<Policy>, PolicyError> {
    let instead = Follows::of(policy)?.and_then(|follows| follows.instead(other));
    instead.map(|instead| following(policy.clone(), Some(&instead))).transpose()
}

/// Whether a policy follows what the records before it say: the one before it, or what one of them followed.
pub(crate) fn is_told(policy: &Policy, before: &[Policy], limit: Option<u64>) -> bool {
    let Ok(follows) = Follows::of(policy) else { return false };
    // Where it is in force already, by a repair, it goes on with what that follows, whatever was announced.
    let limit = limit.filter(|_| before.last().is_none_or(|last| !goes_on(last, policy)));
    let begins = |follows: &Follows| follows.floor == policy.from;
    let Some(follows) = follows else { return limit.is_none() };
    if limit.is_some() && !begins(&follows) {
        return false;
    }
    let known: Vec<Follows> = before.iter().filter_map(|known| Follows::of(known).ok()?).collect();
    let floor = before.last().and_then(|last| Follows::of(last).ok()?).map_or(ShareSeq(0), |last| last.floor);
    match &follows.old {
        None => begins(&follows) || known.iter().any(|known| known.floor == follows.floor),
        Some(old) => {
            let same_place = known.iter().filter(|known| known.floor == follows.floor);
            let mut same_place = same_place.filter_map(|known| known.old.as_ref());
            let is_last = before.last().is_some_and(|last| old.is(last));
            same_place.any(|known| old == known || old.stands_in_for(known, (before, policy)))
                || (begins(&follows) && is_last && old.floor == floor)
        }
    }
}

/// Whom a bound policy follows.
#[derive(Debug)]
pub(crate) struct RunOff {
    /// Shares up to this one are another's to pay.
    pub(crate) floor: ShareSeq,
    pub(crate) old: Option<Old>,
}

/// Who still pays of an income, and what is counted in his windows.
type StillPays<'a> = (&'a Old, Vec<(Window, Counted)>);

/// A policy that was followed, with its components loaded.
#[derive(Debug)]
pub(crate) struct Old {
    pub(crate) bound: Bound,
    /// As it was recorded.
    pub(crate) followed: Followed,
    /// It owes by what it keeps of miners, and not by windows.
    in_cells: bool,
}

impl Old {
    /// What it keeps of miners, where it still owes them something of an income of this number.
    fn kept<'a>(&self, state: &'a SchemeState, number: u64) -> Option<&'a SchemeState> {
        let kept = state.kept_by(self.bound.scheme.terms()).filter(|_| self.is_asked(number))?;
        kept.has(is_of_before).then_some(kept)
    }

    fn is_asked(&self, number: u64) -> bool {
        number <= self.followed.until
    }
}

impl RunOff {
    pub(crate) fn bind(loader: &Loader, follows: Follows) -> Result<Self, PolicyError> {
        let old = follows.old.map(|followed| {
            let bound = loader.bind(&followed.policy())?;
            let in_cells = owes_in_cells(&bound.scheme);
            Ok::<_, PolicyError>(Old { bound, followed, in_cells })
        });
        Ok(Self { floor: follows.floor, old: old.transpose()? })
    }

    /// Who still pays by his windows, and what these are at an income of this number: `None` when that is over.
    pub(crate) fn at(
        &self,
        view: &JournalView,
        end: &WindowEnd,
        (is_found, number): (bool, u64),
    ) -> Result<Option<StillPays<'_>>, DecideError> {
        let Some(old) = self.old.as_ref().filter(|old| old.is_asked(number)) else { return Ok(None) };
        let clip = Clip { floor: old.followed.floor, others: Some(self.floor) };
        let finder = is_found.then_some(OTHERS);
        let mut windows = Vec::new();
        for declared in &old.bound.scheme.terms().windows {
            let window = decide::window(declared)?;
            let counted = view.clipped(&window, end, finder, &clip)?;
            windows.push((window, counted));
        }
        let counts = |window: &Window| !matches!(window.span, Span::Finder | Span::State);
        let reaches = windows.iter().any(|(window, counted)| counts(window) && counted.first <= self.floor);
        Ok(reaches.then_some((old, windows)))
    }

    /// Whether anybody still pays of an income of this number beside the policy itself.
    fn owes(
        &self,
        view: &JournalView,
        end: &WindowEnd,
        here: (bool, u64),
        state: &SchemeState,
    ) -> Result<bool, DecideError> {
        match self.old.as_ref().filter(|old| old.in_cells) {
            Some(old) => Ok(old.kept(state, here.1).is_some()),
            None => Ok(self.at(view, end, here)?.is_some()),
        }
    }
}

impl Bound {
    /// Which shares its windows count.
    pub(crate) fn clip(&self) -> Clip {
        // What a coinbase pays is not divided with anybody.
        let follows = self.run_off.as_ref().filter(|_| !self.direct && !self.planned);
        Clip { floor: follows.map_or(ShareSeq(0), |follows| follows.floor), others: None }
    }

    /// Whom it follows and who may still pay.
    pub(crate) fn old(&self) -> Option<&Old> {
        self.run_off.as_ref().filter(|_| !self.direct && !self.planned)?.old.as_ref()
    }

    /// The same, where he pays by what he keeps of miners.
    pub(crate) fn old_in_cells(&self) -> Option<&Old> {
        self.old().filter(|old| old.in_cells)
    }

    /// The newest share that the scheme which it follows was given, where that keeps something of miners.
    pub(crate) fn given_to_old(&self, state: &SchemeState) -> Option<ShareSeq> {
        let kept = state.kept_by(self.old_in_cells()?.bound.scheme.terms())?;
        Some(kept.given().unwrap_or_default().max(self.clip().floor))
    }

    /// What an entry changes, which sets aside what is there of a scheme that is followed.
    pub(crate) fn beside(
        &self,
        state: &SchemeState,
        change: Vec<u8>,
        beside: Beside,
    ) -> Result<Vec<u8>, PayoutError> {
        match self.old_in_cells().filter(|_| state.aside().is_none() || beside != Beside::Kept) {
            Some(old) if state.kept_by(old.bound.scheme.terms()).is_some() => {
                self.scheme.change_beside(&change, beside)
            }
            _ => Ok(change),
        }
    }
}

/// What the scheme of before owes of an income, where it still owes.
pub(crate) fn of_old(
    bound: &Bound,
    income: &Income,
    view: &JournalView,
    (standing, state): (&Standing, &SchemeState),
) -> Result<Option<Owed>, DecideError> {
    if let Some(old) = bound.old_in_cells() {
        let Some((cells, facts)) = cells(bound, income, view, (standing, state))? else { return Ok(None) };
        let columns = Columns::new(&old.bound, view, income.end.seq, standing.reserve);
        // A reserve has what it leaves over.
        let carry = if old.bound.scheme.terms().reserve { Amount::ZERO } else { standing.carry };
        let of_old = cells.owed(&old.bound.fees, (&facts, carry), &columns);
        return Ok(Some(columns.told(of_old)?));
    }
    let Some(run_off) = bound.run_off.as_ref().filter(|_| bound.old().is_some()) else { return Ok(None) };
    let here = (income.finder.is_some(), standing.number);
    let Some((old, windows)) = run_off.at(view, &income.end, here)? else { return Ok(None) };
    let windows: Vec<_> = windows.into_iter().map(|(_, counted)| WindowSums(counted.rows)).collect();
    let Bound { scheme, fees, .. } = &old.bound;
    let facts = facts(old, income, view, standing.number)?;
    let columns = Columns::new(&old.bound, view, income.end.seq, standing.reserve);
    let of_old = owed(scheme, fees, &facts, &windows, OTHERS, &columns);
    Ok(Some(columns.told(of_old)?))
}

/// What the scheme of before keeps of miners as it is at an income, and what it is told of that: `None` where it owes nobody
/// anything.
fn cells<'a>(
    bound: &'a Bound,
    income: &Income,
    view: &JournalView,
    (standing, state): (&Standing, &SchemeState),
) -> Result<Option<(Cells<'a>, IncomeFacts)>, DecideError> {
    let Some(old) = bound.old_in_cells() else { return Ok(None) };
    let scheme = &old.bound.scheme;
    let kept = old.kept(state, standing.number).zip(bound.given_to_old(state));
    let Some((kept, mut given)) = kept else { return Ok(None) };
    let mut cells = Cells::new(scheme, kept);
    let batch = u64::from(scheme.terms().batch);
    while batch > 0 && given < income.end.seq {
        let first = ShareSeq(given.0.saturating_add(1));
        given = ShareSeq(given.0.saturating_add(batch)).min(income.end.seq);
        cells.give(decide::shares(view, first, given)?)?;
    }
    let told = facts(old, income, view, standing.number)?;
    let finder = income.finder.map(|finder| later(scheme, finder));
    Ok(Some((cells, IncomeFacts { finder, reserve: standing.reserve, ..told })))
}

/// A decision by a policy alone, which drops what is aside of a scheme that is settled.
pub(crate) fn alone(
    bound: &Bound,
    mut decision: Decision,
    state: &SchemeState,
) -> Result<Decision, PayoutError> {
    if bound.old().is_none() && bound.scheme.drops_aside(state) {
        decision.entry.state = bound.scheme.change_beside(&decision.entry.state, Beside::Settled)?;
    }
    Ok(decision)
}

/// What the scheme of before is told of an income.
fn facts(old: &Old, income: &Income, view: &JournalView, number: u64) -> Result<IncomeFacts, DecideError> {
    let subsidy = if old.bound.scheme.terms().needs_subsidy { decide::subsidy(income, view)? } else { None };
    Ok(IncomeFacts {
        number,
        key: decide::income_key(&income.key)?,
        amount: income.amount,
        subsidy,
        reserve: Amount::ZERO,
        end: income.end.seq,
        time: income.time,
        coord: income.end.coord,
        finder: income.finder.map(|_| OTHERS),
        unpaid: None,
    })
}

/// How much of an income, and of what was carried to it, was the policy's own, where its windows depend on that: windows that pay
/// a share once.
pub(crate) fn rest(
    bound: &Bound,
    income: &Income,
    view: &JournalView,
    (number, entry): (u64, &IncomeAllocated),
) -> Result<Amount, DecideError> {
    if let Some(Beside::Changed { rest, .. }) =
        StateChange::from_bytes(&entry.state)?.and_then(|it| it.beside)
    {
        return Ok(rest);
    }
    let with_carried = |rest: Amount| Amount(rest.0.saturating_add(entry.carry_in.0));
    let here = (income.finder.is_some(), number);
    let still =
        bound.run_off.as_ref().filter(|_| bound.old().is_some() && bound.scheme.pays_once().is_some());
    let Some((old, windows)) =
        still.map(|run_off| run_off.at(view, &income.end, here)).transpose()?.flatten()
    else {
        return Ok(with_carried(income.amount));
    };
    let windows: Vec<_> = windows.into_iter().map(|(_, counted)| WindowSums(counted.rows)).collect();
    // Fees are taken of what it gives: they change nothing of what is left.
    let given =
        owed(&old.bound.scheme, &[], &facts(old, income, view, number)?, &windows, OTHERS, &NoAttributes);
    Ok(with_carried(given?.rest))
}

/// The newest share that a scheme which is followed was given with an income, by the change that its entry holds.
pub(crate) fn given_with(change: &[u8]) -> Result<Option<ShareSeq>, PayoutError> {
    match StateChange::from_bytes(change)?.and_then(|own| own.beside) {
        Some(Beside::Changed { change, .. }) => Ok(change.given),
        _ => Ok(None),
    }
}

/// Whether a policy was recorded to be settled at this share, though an income that ends there is its and the one's that it
/// follows.
pub(crate) fn ends_early(
    bound: &Bound,
    (policies, policy): (&[Policy], &Policy),
    income: &Income,
    view: &JournalView,
    (number, state): (u64, &SchemeState),
) -> Result<bool, DecideError> {
    let Some(run_off) = bound.run_off.as_ref().filter(|_| bound.old().is_some()) else { return Ok(false) };
    let settled = |after: &&Policy| {
        let follows = Follows::of(after).ok().flatten();
        follows.is_some_and(|follows| follows.old.is_none() && follows.floor == run_off.floor)
            && after.from == income.end.seq
            && after.scheme.is_same_as(&policy.scheme)
            && after.reason == policy.reason
    };
    if !policies.iter().any(|after| settled(&after)) {
        return Ok(false);
    }
    run_off.owes(view, &income.end, (income.finder.is_some(), number), state)
}

/// What becomes of a lost income that two schemes divided, where the new one would have miners keep it: what the old one gave
/// goes, as it does by a scheme with windows. Where the old one keeps something of miners that is put back with the income, and all
/// that was divided of it goes.
pub(crate) fn reversal(bound: &Bound, own: contract::Reversal) -> contract::Reversal {
    if bound.old_in_cells().is_some() {
        return contract::Reversal::Restore;
    }
    match own {
        contract::Reversal::Keep if bound.old().is_some() => contract::Reversal::KeepReserve,
        own => own,
    }
}

impl Books {
    /// Whether the scheme that the one in force follows has nothing to pay any more, at a block that was found at this time and
    /// whose window ends at this share: `None` where there is none.
    pub(crate) fn is_run_off(
        &self,
        state: &SchemeState,
        in_force: &Bound,
        end: ShareSeq,
        found: UnixMillis,
    ) -> Result<Option<bool>, BooksError> {
        let Some(run_off) = in_force.run_off.as_ref().filter(|_| in_force.old().is_some()) else {
            return Ok(None);
        };
        let number = self.incomes().saturating_add(1);
        if let Some(old) = in_force.old_in_cells() {
            // Whichever of the open incomes are lost.
            let kept = state.kept_by(old.bound.scheme.terms());
            let owes = kept.is_some_and(|kept| kept.may_have(is_of_before));
            return Ok(Some(!owes || !old.is_asked(number)));
        }
        // As its income will have it.
        let mut blocks = self.journal.open_blocks().into_iter();
        let Some(open) = blocks.rfind(|open| open.end == end && open.time == found) else {
            return Ok(Some(false));
        };
        let (end, _) = self.journal.end_of_block(&open.block)?;
        Ok(Some(run_off.at(&self.journal.view(), &end, (true, number))?.is_none()))
    }

    /// Incomes that were divided.
    pub(crate) fn incomes(&self) -> u64 {
        self.ledger.book().income_count()
    }

    /// The policy in force goes on without the one that it follows, behind a share.
    pub(crate) fn end_run_off(
        &self,
        inner: &mut Inner,
        in_force: &Policy,
        (from, now): (ShareSeq, UnixMillis),
    ) -> Result<(), BooksError> {
        self.tell_forgotten(&inner.state, &self.loader.bind(in_force)?);
        let follows = Follows::of(in_force)?.map(|follows| follows.floor_alone());
        let policy = following(Policy { from, time: now, ..in_force.clone() }, follows.as_ref())?;
        self.journal.record(policy).wait()?;
        inner.first_error = None;
        Ok(())
    }

    /// That nothing is aside of a scheme that was followed.
    pub(crate) fn is_settled(&self, state: &SchemeState) -> Result<(), BooksError> {
        if !state.holds_aside() {
            return Ok(());
        }
        Err(BooksError::Unsettled(state.aside().map(|aside| aside.format().to_owned()).unwrap_or_default()))
    }

    /// What a scheme keeps of miners is forgotten with it, after as many incomes as it may pay of.
    pub(crate) fn tell_forgotten(&self, state: &SchemeState, in_force: &Bound) {
        let Some(old) = in_force.old_in_cells() else { return };
        let scheme = &old.bound.scheme;
        let kept = state.kept_by(scheme.terms()).filter(|kept| kept.may_have(is_of_before));
        let Some(kept) = kept else { return };
        let miners = kept.miners().filter(|miner| is_of_before(*miner)).count();
        let text = format!(
            "scheme {} has had its part of as many incomes as payout.run_off_limit gave it, and is asked no more: what it still keeps \
             of {miners} miners for work up to share {} goes unpaid",
            scheme.name(),
            in_force.clip().floor
        );
        self.alarms.raise(Level::Warning, &self.pool, "swap", text);
    }

    /// Another policy has to wait until the scheme of before is settled.
    pub(crate) fn tell_waiting(&self, in_force: &Bound, next: &Policy) {
        let Some(old) = in_force.old() else {
            let text = format!(
                "what a scheme of before kept of miners is settled; {} waits for a block behind the first income that {} divided alone, \
                 until no open income could bring anything of it back",
                next.scheme.name,
                in_force.scheme.name()
            );
            self.alarms.raise(Level::Warning, &self.pool, "swap", text);
            return;
        };
        let floor = in_force.clip().floor;
        let text = format!(
            "scheme {} still pays for work up to share {floor}: {} waits for a block by which that is done, at the latest for \
             income {}",
            old.bound.scheme.name(),
            next.scheme.name,
            old.followed.until.saturating_add(1)
        );
        self.alarms.raise(Level::Warning, &self.pool, "swap", text);
    }
}
