//! A miner's settings, changed by himself: by a signature of the address that he is paid to.
//!
//! The pool gives the text to sign; it names pool, network, address, value and two times, and ends with a code that only
//! this pool can make. Nothing is kept of a text that was given. A text counts once: it has to be younger than the last
//! change of the setting, and every change is recorded in the journal's hash chain with what was signed.

use crate::core::Core;
use crate::payments::{MINIMUM, own_minimum};
use crate::pool::Pool;
use crate::view::{MinerSettings, SettingChange, SettingText};
use millpond_chain::signed_messages;
use millpond_journal::{Authority, Miner, MinerSetting};
use millpond_types::{Amount, Digest, MinerId, UnixMillis};
use std::collections::BTreeMap;

/// A text is good for an hour: long enough to fetch a hardware wallet.
const GOOD_FOR: u64 = 3_600_000;
/// A miner's signed changes within
const DAY: u64 = 86_400_000;
/// are so many at most.
const CHANGES: u32 = 10;
/// What the code is made for, beside the sessions' names that the same key makes.
const PURPOSE: &[u8] = b"miner setting";

/// Why a setting is not changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingRefused {
    /// Nobody of this address has mined here.
    #[error("no miner of this address has mined here; give it as the pool shows it, without a worker's name")]
    NoMiner,
    /// The host has no codec for this chain's signatures.
    #[error("signatures of this chain cannot be checked here; ask the operator to change the setting")]
    Unsupported,
    /// Out of the operator's bounds.
    #[error("{asked} is outside of what this pool pays: {least} or more{}", .most.map_or_else(String::new, |most| format!(", {most} at most")))]
    Bounds {
        /// What was asked for.
        asked: Amount,
        /// The least.
        least: Amount,
        /// The most.
        most: Option<Amount>,
    },
    /// Too old.
    #[error("the text was good until {} (milliseconds since 1970); get a new one and sign that", .0.0)]
    Expired(UnixMillis),
    /// A replay, or overtaken by another change.
    #[error("the setting was changed since this text was given; get a new one and sign that")]
    Used,
    /// The operator's word is not undone by a signature.
    #[error("the operator has set {0} for this miner, and less is not for a signature to set: ask him")]
    Held(Amount),
    /// Each change stands in the journal for ever.
    #[error("this miner's settings were changed often enough for a day; try again at {} (milliseconds since 1970)", .0.0)]
    TooMany(UnixMillis),
    /// Not by the address's key, or over another text.
    #[error("{0}; sign the text to the letter with the key of the address that you mine to")]
    Signature(String),
    /// The journal takes nothing.
    #[error("it could not be recorded and does not count: {0}")]
    NotRecorded(String),
}

/// The minimum that an operator has set last.
fn held(last: &MinerSetting) -> Option<Amount> {
    matches!(last.by, Authority::Operator(_)).then(|| last.value.parse().ok().map(Amount)).flatten()
}

/// Changes that miners signed of late, by miner: when the day that is counted began, and how many there were.
#[derive(Debug, Default)]
pub(crate) struct SignedChanges(BTreeMap<MinerId, (UnixMillis, u32)>);

impl SignedChanges {
    /// Counts one; when there were enough, gives when the next may be.
    fn count(&mut self, miner: MinerId, now: UnixMillis) -> Result<(), UnixMillis> {
        // Days that are over need not be known; who has one that is not has mined here.
        self.0.retain(|_, (since, _)| now.since(*since) < DAY);
        let (since, count) = self.0.entry(miner).or_insert((now, 0));
        if *count >= CHANGES {
            return Err(UnixMillis(since.0.saturating_add(DAY)));
        }
        *count = count.saturating_add(1);
        Ok(())
    }
}

fn miner_of(core: &Core, address: &str) -> Result<Miner, SettingRefused> {
    core.journal.miner_by_address(address).ok_or(SettingRefused::NoMiner)
}

impl Pool {
    /// What a miner signs to set his minimum payout; `None` for the pool's own.
    ///
    /// # Errors
    /// When he is not known, the value is out of bounds, or no signature of his could be checked.
    pub fn setting_text(
        &self,
        address: &str,
        minimum: Option<Amount>,
    ) -> Result<SettingText, SettingRefused> {
        let miner = miner_of(&self.core, address)?;
        let described = self.core.chain().and_then(|chain| chain.version());
        if described.and_then(|version| signed_messages(version.description())).is_none() {
            return Err(SettingRefused::Unsupported);
        }
        let last = self.core.journal.miner_setting(miner.id, MINIMUM).map_or(0, |setting| setting.time.0);
        let issued = UnixMillis(UnixMillis::now().0.max(last.saturating_add(1)));
        self.text(&miner, minimum, issued)
    }

    fn text(
        &self,
        miner: &Miner,
        minimum: Option<Amount>,
        issued: UnixMillis,
    ) -> Result<SettingText, SettingRefused> {
        let section = self.section();
        let payout = &section.payout;
        let bound = |amount: Amount| (amount > Amount::ZERO).then_some(amount);
        // Below the pool's own nobody is paid, whatever he asks for.
        let least = bound(payout.own_minimum_least).unwrap_or(payout.minimum).max(payout.minimum);
        let most = bound(payout.own_minimum_most);
        if let Some(asked) = minimum
            && (asked < least || most.is_some_and(|most| asked > most))
        {
            return Err(SettingRefused::Bounds { asked, least, most });
        }
        let expires = UnixMillis(issued.0.saturating_add(GOOD_FOR));
        let (pool, network, address) = (self.name(), &self.network, &miner.address);
        let from =
            minimum.map_or_else(|| "the pool's own minimum".to_owned(), |it| format!("{it} base units"));
        let text = format!(
            "Millpond pool {pool} on {network}: pay {address} from {from} on. Given {}, good until {}",
            issued.0, expires.0
        );
        let code = Digest::of(&[self.core.key.bytes().as_slice(), PURPOSE, text.as_bytes()].concat());
        let message = format!("{text}, code {}.", code.short());
        let address = address.clone();
        Ok(SettingText { address, minimum_payout: minimum, least, most, issued, expires, message })
    }

    /// Changes a miner's settings by his signature. Blocks until the change is durable.
    ///
    /// # Errors
    /// Why nothing was changed.
    pub fn change_setting(
        &self,
        address: &str,
        change: &SettingChange,
    ) -> Result<MinerSettings, SettingRefused> {
        let core = &self.core;
        let miner = miner_of(core, address)?;
        let version = core.chain().and_then(|chain| chain.version());
        let codec = version.and_then(|version| signed_messages(version.description()));
        let codec = codec.ok_or(SettingRefused::Unsupported)?;
        let text = self.text(&miner, change.minimum_payout, change.issued)?;
        let now = UnixMillis::now();
        if now > text.expires {
            return Err(SettingRefused::Expired(text.expires));
        }
        codec.verify(&miner.payee, &text.message, &change.signature).map_err(SettingRefused::Signature)?;
        // One change at a time, so that two of one text are told apart.
        let mut changing = core.changing.lock();
        let last = core.journal.miner_setting(miner.id, MINIMUM);
        if last.as_ref().is_some_and(|last| change.issued <= last.time) {
            return Err(SettingRefused::Used);
        }
        if let Some(held) = last.as_ref().and_then(held) {
            let asked = change.minimum_payout.unwrap_or_else(|| self.section().payout.minimum);
            if asked < held {
                return Err(SettingRefused::Held(held));
            }
        }
        changing.count(miner.id, now).map_err(SettingRefused::TooMany)?;
        let signed = format!("{}\n{}", text.message, change.signature.trim());
        let setting = MinerSetting {
            miner: miner.id,
            key: MINIMUM.to_owned(),
            value: change.minimum_payout.map_or_else(String::new, |minimum| minimum.to_string()),
            by: Authority::Signature(signed.into_bytes()),
            time: now.max(change.issued),
        };
        core.journal.record(setting).wait().map_err(|why| SettingRefused::NotRecorded(why.to_string()))?;
        let minimum_payout = own_minimum(core, miner.id).unwrap_or_else(|| self.section().payout.minimum);
        Ok(MinerSettings { address: miner.address, minimum_payout })
    }

    /// Sets a miner's own minimum payout, by order of an operator.
    ///
    /// # Errors
    /// When there is no such miner, it is below the pool's own minimum, or it could not be recorded.
    pub fn set_minimum(&self, address: &str, minimum: Option<Amount>, actor: &str) -> Result<(), String> {
        let miner = miner_of(&self.core, address).map_err(|why| why.to_string())?;
        let least = self.section().payout.minimum;
        if let Some(asked) = minimum.filter(|asked| *asked < least) {
            return Err(SettingRefused::Bounds { asked, least, most: None }.to_string());
        }
        let value = minimum.map_or_else(String::new, |minimum| minimum.to_string());
        self.record_admin(actor, "miner_minimum", &[address, &value])?;
        let _changing = self.core.changing.lock();
        let setting = MinerSetting {
            miner: miner.id,
            key: MINIMUM.to_owned(),
            value,
            by: Authority::Operator(actor.to_owned()),
            time: UnixMillis::now(),
        };
        self.core.journal.record(setting).wait().map(drop).map_err(|why| why.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_miner_changes_his_settings_so_often_a_day_and_keeps_no_other_from_it() {
        let mut changes = SignedChanges::default();
        let (one, other) = (MinerId(1), MinerId(2));
        for minute in 0..u64::from(CHANGES) {
            assert_eq!(changes.count(one, UnixMillis(minute * 60_000)), Ok(()));
        }
        assert_eq!(changes.count(one, UnixMillis(DAY - 1)), Err(UnixMillis(DAY)));
        assert_eq!(changes.count(other, UnixMillis(DAY - 1)), Ok(()));
        assert_eq!(changes.count(one, UnixMillis(DAY)), Ok(()));
        assert_eq!(changes.0.len(), 2);
        assert_eq!(changes.count(one, UnixMillis(9 * DAY)), Ok(()));
        assert_eq!(changes.0.len(), 1, "days that are over are forgotten");
    }
}
