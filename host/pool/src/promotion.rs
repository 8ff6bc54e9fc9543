//! Another policy with notice: what a pool shows of it, and a policy of the shadow section put into force.
//!
//! What a shadow came to is never taken over. Its components and settings are announced as a swap's are, and what they
//! begin with is computed from the journal's records, as for any policy.

use crate::columns::empty_lists;
use crate::conduct::LAST_GOOD;
use crate::leading::Named;
use crate::notice::Announcement;
use crate::policy::{Bound, FEE_ROLES, Wanted, pay_by, reserve_of};
use crate::pool::{Pool, Sections};
use crate::run_off;
use crate::setup::{self, NO_RESERVE, credits_from_reserve};
use crate::view::{FollowedView, NextPolicy, PolicyPlugin, PolicyView};
use millpond_config::Pool as Section;
use millpond_journal::{Notice, PluginInForce, Policy, Setting};
use millpond_ledger::Owner;
use millpond_payout::{owes_by_windows, owes_nothing_behind_a_block};
use millpond_types::{Amount, ShareSeq, UnixMillis};
use parking_lot::MutexGuard;
use serde_json::Value;

/// Characters of an operator's words to miners.
const WORDS: usize = 500;

/// Shows who decides about money.
pub(crate) fn show(policy: &Policy, roles: &mut Named) {
    let named = |plugin: &PluginInForce| (plugin.name.clone(), plugin.component);
    roles.retain(|role, _| !FEE_ROLES.contains(role));
    roles.insert("scheme", named(&policy.scheme));
    roles.extend(FEE_ROLES.into_iter().zip(policy.fees.iter().map(named)));
}

fn plugin(of: &PluginInForce) -> PolicyPlugin {
    let value = |setting: &Setting| match setting {
        Setting::Text(text) => Value::from(text.as_str()),
        Setting::Int(number) => Value::from(*number),
        Setting::Flag(flag) => Value::from(*flag),
    };
    // What is the operator's and not the plugin's begins with an @.
    let own = of.settings.iter().filter(|(name, _)| !name.starts_with('@'));
    let settings = own.map(|(name, setting)| (name.clone(), value(setting))).collect();
    PolicyPlugin { name: of.name.clone(), digest: of.component, settings }
}

fn plugins(of: &Policy) -> (PolicyPlugin, Vec<PolicyPlugin>) {
    (plugin(&of.scheme), of.fees.iter().map(plugin).collect())
}

/// Who decides, by name: the scheme with its fee policies.
pub(crate) fn called(policy: &Policy) -> String {
    let fees: Vec<&str> = policy.fees.iter().map(|fee| fee.name.as_str()).collect();
    let fees = if fees.is_empty() { "no fee".to_owned() } else { fees.join(", ") };
    format!("{} with {fees}", policy.scheme.name)
}

fn decides_alike(a: &Policy, b: &Policy) -> bool {
    a.scheme.is_same_as(&b.scheme) && a.fees == b.fees
}

/// What of a policy another changes, and what it leaves.
fn changes(old: &Policy, new: &Policy) -> String {
    let part = |what: &str, old: &[PluginInForce], new: &[PluginInForce]| {
        let alike = |same: fn(&PluginInForce, &PluginInForce) -> bool| {
            old.len() == new.len() && old.iter().zip(new).all(|(old, new)| same(old, new))
        };
        if alike(PluginInForce::is_same_as) {
            format!("the {what} stays")
        } else if alike(|old, new| old.component == new.component) {
            format!("the {what} has other settings")
        } else if alike(|old, new| old.name == new.name) {
            format!("the {what} is another version")
        } else {
            format!("another {what}")
        }
    };
    let one = std::slice::from_ref::<PluginInForce>;
    let (scheme, fee) =
        (part("scheme", one(&old.scheme), one(&new.scheme)), part("fee", &old.fees, &new.fees));
    format!("{scheme}, {fee}")
}

/// Who pays for the work that was done under a scheme that another follows.
fn pays_for_before(old: &Bound, (next, bound): (&Policy, &Bound), takes_up: bool) -> String {
    let terms = old.scheme.terms();
    let name = old.scheme.name();
    match run_off::asked(next) {
        _ if takes_up => "the scheme stays, and work of before is paid as it was".to_owned(),
        Some(limit) if owes_by_windows(terms) => format!(
            "of each income behind it {name} pays by its own rule for work of before, until its windows have passed and for at \
             most {limit} incomes; the rest is the next scheme's, for work behind it"
        ),
        Some(limit) if run_off::leaves_cells(old, bound) => format!(
            "of each income behind it {name} pays by its own rule what it keeps of miners for work of before, until none of them would \
             get a unit and for at most {limit} incomes; the rest is the next scheme's, for work behind it"
        ),
        Some(_) if terms.batch > 0 => format!(
            "{name} has credited each share, or keeps debts in cells that the next scheme has to take up; the next scheme's windows begin \
             behind those shares"
        ),
        _ if owes_nothing_behind_a_block(terms) => {
            "nothing is owed for work of before when that block is divided".to_owned()
        }
        _ if owes_by_windows(terms) => {
            "for work of before the next scheme pays as far as its own windows reach back to it".to_owned()
        }
        _ => format!(
            "what {name} owes stands in its cells or was credited: it cannot be left before that is paid, and the next scheme's \
             windows reach back as far as they do"
        ),
    }
}

/// How long, in the largest unit that says it well.
pub(crate) fn long(millis: u64) -> String {
    const UNITS: [(&str, u64); 4] = [("d", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", 1_000)];
    let unit = UNITS.into_iter().find(|(_, unit)| millis >= unit.saturating_mul(2)).unwrap_or(("s", 1_000));
    format!("{} {}", millis.div_ceil(unit.1), unit.0)
}

/// An operator's words to miners, when they are words.
pub(crate) fn in_words(words: &str) -> Result<&str, String> {
    let fits = words.chars().count() <= WORDS && !words.chars().any(char::is_control);
    fits.then_some(words).ok_or_else(|| format!("a reason is at most {WORDS} characters on one line"))
}

impl Pool {
    /// Puts what a shadow divides by in force, with notice. What was found out in shadow moves nothing: the policy begins as
    /// any other does, from the records. Blocks.
    ///
    /// # Errors
    /// When there is no such shadow, its files are others than those that run in shadow, it may not take over, or the order
    /// could not be recorded.
    pub fn promote(
        &self,
        name: &str,
        not_before: Option<UnixMillis>,
        reason: &str,
        actor: &str,
    ) -> Result<String, String> {
        let (now, reason) = (UnixMillis::now(), in_words(reason)?);
        let running = self.core.shadows.iter().find(|shadow| shadow.name() == name);
        let mut section = self.section();
        let like = section.shadow.iter().find(|shadow| shadow.name == name).cloned();
        let (Some(shadow), Some(like)) = (running, like) else {
            let names: Vec<&str> = self.core.shadows.iter().map(|shadow| shadow.name()).collect();
            return Err(match names.is_empty() {
                true => {
                    format!("no policy runs in shadow: {name} needs a section [[pool.shadow]] and a start")
                }
                false => format!("{name} does not run in shadow; there are: {}", names.join(", ")),
            });
        };
        if let Some(why) = shadow.shown().stopped {
            return Err(format!("shadow {name} was stopped by an error: {why}"));
        }
        section.payout.scheme = like.scheme;
        section.payout.settings = like.settings;
        section.payout.reserve = like.reserve;
        section.fee = like.fee;
        let process = &self.process;
        let wanted =
            setup::wanted(&section, self.work_shift()?, &self.beside, &process.sandbox, &process.sink)
                .map_err(|errors| errors.join("; "))?;
        // The coinbase and the reserve are the operator's: what has to be the same is what decides.
        let which =
            |plugins: &[PluginInForce]| plugins.iter().map(|plugin| plugin.component).collect::<Vec<_>>();
        let tried = shadow.policy();
        if wanted.scheme.digest != tried.scheme.component
            || which(&wanted.fees_in_force()) != which(&tried.fees)
        {
            return Err(format!(
                "the files of shadow {name} are others than those that run in shadow since the start: try them there first, \
                 from a start on"
            ));
        }
        let time = not_before.map_or_else(|| "-".to_owned(), |time| time.0.to_string());
        self.record_admin(actor, "shadow_promote", &[name, &time, reason])?;
        let how = Announcement { by: actor, why: reason, not_before, by_file: false };
        let waited = self.core.books.pending();
        let at_once = self.core.books.announce(&wanted, &how, now).map_err(|why| why.to_string())?;
        self.core.suspend_untold();
        let said = self.takes_over((&wanted, at_once), waited.as_ref(), now);
        self.sections.write().in_force = section;
        Ok(format!("{said}; write it into [pool.payout] and [pool.fee] too, which count at the next start"))
    }

    /// Withdraws what is announced: the policy in force stays. Blocks.
    ///
    /// # Errors
    /// When nothing is announced, or the order could not be recorded.
    pub fn cancel_policy(&self, reason: &str, actor: &str) -> Result<String, String> {
        let reason = in_words(reason)?;
        let Some(next) = self.core.books.pending() else {
            return Err("no other policy is announced".to_owned());
        };
        self.record_admin(actor, "policy_cancel", &[&next.scheme.name, reason])?;
        self.core.books.cancel(reason, UnixMillis::now()).map_err(|why| why.to_string())?;
        let in_force = self.core.journal.newest_policy().ok_or("the pool has no policy")?;
        // Read before it is written: what it says is asked of the plugins.
        let section = self.section_of(&in_force)?;
        self.sections.write().in_force = section;
        Ok(format!("{} does not take over: {} stays in force", called(&next), called(&in_force)))
    }

    /// The pool's section, made to say a recorded policy: in its own words where it says that already, or the file does.
    pub(crate) fn section_of(&self, recorded: &Policy) -> Result<Section, String> {
        let Sections { configured, mut in_force } = self.sections.read().clone();
        let (process, work_shift) = (&self.process, self.work_shift()?);
        let says = |section: &Section| {
            setup::wanted(section, work_shift, &self.beside, &process.sandbox, &process.sink)
                .is_ok_and(|wanted| wanted.is(recorded))
        };
        if says(&in_force) {
            return Ok(in_force);
        }
        pay_as(&mut in_force, &configured);
        if !says(&in_force) {
            pay_by(&mut in_force, recorded);
        }
        Ok(in_force)
    }

    /// What an order came to, in a sentence; `waited` was announced before it.
    pub(crate) fn takes_over(
        &self,
        (ordered, at_once): (&Wanted, bool),
        waited: Option<&Policy>,
        now: UnixMillis,
    ) -> String {
        let ordered = ordered.policy(ShareSeq(0), "", now);
        let named = called(&ordered);
        if at_once {
            return format!("{named} takes over at once, and divides what was left undivided");
        }
        let (announced, in_force) = (self.core.books.announced(), self.core.journal.newest_policy());
        let (Some(notice), Some(in_force)) = (announced, in_force) else {
            return match waited {
                Some(waited) => format!("{} is withdrawn: {named} stays in force", called(waited)),
                None => {
                    format!("{named} is in force already, and nothing else is announced: nothing changes")
                }
            };
        };
        let when = match notice.not_before.0.saturating_sub(now.0) {
            0 => "after the next block".to_owned(),
            wait => format!("after the first block that is found in {} or later", long(wait)),
        };
        let withdrawn = waited.filter(|waited| !decides_alike(waited, &ordered));
        let withdrawn = withdrawn.map(|waited| format!(", and of {}, which was announced", called(waited)));
        format!(
            "{named} takes over {when}, in the place of {}{} ({}); {}{}",
            called(&in_force),
            withdrawn.unwrap_or_default(),
            changes(&in_force, &ordered),
            self.before(),
            self.lacks(&ordered)
        )
    }

    /// What a policy decides by and the pool does not have yet; it takes over all the same.
    fn lacks(&self, policy: &Policy) -> String {
        let Ok(bound) = self.core.books.loader().bind(policy) else { return String::new() };
        let mut lacks = Vec::new();
        let reserve = reserve_of(policy).max(self.core.ledger.payable(&Owner::Reserve));
        if credits_from_reserve(bound.scheme.terms()) && reserve == Amount::ZERO {
            lacks.push(format!("; {}: {NO_RESERVE}", policy.scheme.name));
        }
        for list in empty_lists(&bound, &self.core.journal.view()) {
            lacks.push(format!(
                "; nobody stands in the list {list}, so everybody's number in it is 0 until `millpond list set {list}`"
            ));
        }
        lacks.concat()
    }

    /// Who pays for the work of before what is announced, and for what it has to wait.
    fn before(&self) -> String {
        let said = || {
            let in_force = self.core.journal.newest_policy()?;
            let old = self.core.books.loader().bind(&in_force).ok()?;
            let next = self.core.books.announced()?.policy?;
            let bound = self.core.books.loader().bind(&next).ok()?;
            let takes_up = run_off::takes_up((&in_force, &old), (&next, &bound));
            let pays = pays_for_before(&old, (&next, &bound), takes_up);
            let still = old.old().filter(|_| !takes_up);
            Some(match still {
                Some(still) => {
                    format!("{pays}. Before that {} has to be settled", still.bound.scheme.name())
                }
                None => pays,
            })
        };
        said().unwrap_or_else(|| "what is owed stays owed".to_owned())
    }

    /// Whose debts are still paid beside the policy in force.
    fn followed(&self, in_force: &Policy) -> Option<FollowedView> {
        let bound = self.core.books.loader().bind(in_force).ok()?;
        let old = bound.old()?;
        let (scheme, fees) = plugins(&old.followed.policy());
        let incomes_left = old.followed.until.saturating_sub(self.core.books.incomes());
        Some(FollowedView { scheme, fees, up_to: bound.clip().floor.0, incomes_left })
    }

    /// The plugins in use. Who decides about money is by the journal's last policy, but for a version in quarantine, which is
    /// shown for as long as an older one stands in for it.
    pub(crate) fn shown_roles(&self) -> MutexGuard<'_, Named> {
        let in_force = self.core.journal.newest_policy();
        let mut roles = self.roles.lock();
        if let Some(policy) = in_force.filter(|policy| !policy.reason.starts_with(LAST_GOOD)) {
            show(&policy, &mut roles);
        }
        roles
    }

    /// Who decides about money, and who will.
    pub(crate) fn policy(&self) -> PolicyView {
        let Some(in_force) = self.core.journal.newest_policy() else { return PolicyView::default() };
        let (scheme, fees) = plugins(&in_force);
        let next = self.core.books.announced().and_then(|notice| self.next(&in_force, notice));
        let follows = self.followed(&in_force);
        PolicyView { scheme, fees, from: in_force.from.0, since: in_force.time, follows, next }
    }

    fn next(&self, in_force: &Policy, notice: Notice) -> Option<NextPolicy> {
        let Notice { policy, announced, not_before, reason, .. } = notice;
        let policy = policy?;
        let claims = |policy: &Policy| {
            let bound = self.core.books.loader().bind(policy);
            bound.map(|bound| bound.scheme.terms().claims.clone()).unwrap_or_default()
        };
        let (old, new) = (claims(in_force), claims(&policy));
        let without = |of: &[String], other: &[String]| {
            of.iter().filter(|claim| !other.contains(claim)).cloned().collect::<Vec<_>>()
        };
        let (claims_lost, claims_gained) = (without(&old, &new), without(&new, &old));
        let takes_over = format!(
            "behind the first block that is found at not_before or later; that block and all before it are divided by the \
             policy in force; {}",
            self.before()
        );
        let (scheme, fees) = plugins(&policy);
        Some(NextPolicy {
            scheme,
            fees,
            announced,
            not_before,
            reason,
            takes_over,
            claims_lost,
            claims_gained,
        })
    }
}

/// Has a section pay as another does.
pub(crate) fn pay_as(section: &mut Section, other: &Section) {
    section.payout.scheme.clone_from(&other.payout.scheme);
    section.payout.settings.clone_from(&other.payout.settings);
    section.payout.reserve.clone_from(&other.payout.reserve);
    section.payout.notice = other.payout.notice;
    section.payout.run_off = other.payout.run_off;
    section.payout.run_off_limit = other.payout.run_off_limit;
    section.fee.clone_from(&other.fee);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_told_in_a_unit_that_says_it_well() {
        for (millis, text) in [
            (1, "1 s"),
            (90_000, "90 s"),
            (120_000, "2 min"),
            (5_400_000, "90 min"),
            (72 * 3_600_000, "3 d"),
            (36 * 3_600_000, "36 h"),
        ] {
            assert_eq!(long(millis), text);
        }
    }

    #[test]
    fn words_to_miners_are_one_line() {
        assert_eq!(in_words("less luck"), Ok("less luck"));
        assert!(in_words("two\nlines").is_err() && in_words(&"x".repeat(WORDS + 1)).is_err());
    }
}
