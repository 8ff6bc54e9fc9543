//! What is owed by a scheme that was followed by another is settled by its own rule.
//!
//! Work under a scheme with a window, or with a state of its own, is paid by incomes to come, for as long as its window reaches
//! back to it, or it keeps anything of the miner. Behind the share F, where another took over, each income is divided by both. The old scheme is called as if nobody had followed it,
//! and everything behind F is one miner's, "others" ([`millpond_payout::owed`]); what they get and what it would carry is for
//! the new one, whose windows begin behind F. So no share is paid by two. It is over when no window of the old one's reaches
//! back to F, or after so many incomes.
//!
//! Who was followed, where and with which settings stands in the policy that takes over, as its setting [`RUN_OFF`]: nothing
//! is inferred from the order of policies, which repairs write again. That it is over is the same policy once more, without
//! whom it follows: so it never begins again, whatever the network's difficulty does to a window, and what it took may be
//! dropped. The floor F stays for as long as windows may reach below it.
//!
//! Here is who follows whom, as policies say it; [`owing`] divides, and [`over`] says when it is over.

mod over;
mod owing;

pub(crate) use owing::{RunOff, alone, ends_early, given_with, of_old, rest, reversal};

use crate::policy::{Bound, PolicyError, digest_of, pays_alike, pays_the_pool};
use millpond_journal::{PluginInForce, Policy, RUN_OFF, Setting};
use millpond_payout::{
    SchemeState, SwapError, check_upgrade, owes_by_windows, owes_in_cells, owes_nothing_behind_a_block,
};
use millpond_types::{Digest, ShareSeq, UnixMillis};
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
