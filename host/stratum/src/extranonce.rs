//! Extranonce prefixes: which part of a job's search space belongs to which session.
//!
//! A recipe has one extranonce field of constant length (`xn`). The tree hands out its first bytes: the bits of the
//! front end's id, then a slot. No prefix is the beginning of another, so two sessions never search the same space,
//! on one front end or on several. Stratum V1's extranonce1 and extranonce2 are a view of the field: the prefix and
//! the rest.
//!
//! A lease outlives its connection by the resume window, so that a miner that reconnects with its session id goes on
//! in the same space (see `parking` for who leaves one). Leases are numbered without end and slots handed out in rotation, so a freed one is used again as
//! late as possible. The pool makes blocks of numbers durable before any of them is handed out: a restarted pool goes on
//! behind all that were, and a session of before that comes back by its name gets the slot that the name says.

pub(crate) mod carried;

use crate::epoch::Epochs;
use crate::limits::Source;
use crate::names::NameKey;
use crate::parking::{Leaving, Parking};
use crate::span::Span;
use millpond_types::SessionId;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::ops::{Range, RangeInclusive};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The longest extranonce2 that every miner takes (WhatsMiner fails above 8 bytes).
const SUFFIX_MAX: usize = 8;
/// The longest extranonce1 that every miner takes (Apollo caps it at 16 bytes).
const PREFIX_MAX: usize = 16;
/// Hash marketplaces refuse a pool with less extranonce than this, prefix and rest together.
const MARKETPLACE_MIN: usize = 7;
/// Slots are counted in 64 bits.
const SLOT_BITS_MAX: u32 = 63;

/// How the extranonce is divided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ExtranonceConfig {
    /// Bytes of the prefix. Chosen from the recipe's field when absent.
    pub prefix: Option<usize>,
    /// Bits of the front end's id: 0 with one front end, at most 16.
    pub front_end_bits: u32,
    /// This front end's id, below 2^`front_end_bits`.
    pub front_end: u64,
    /// How long a lost connection's session can be resumed (ckpool: 10 minutes).
    pub resume: Span,
    /// Whether hash marketplaces shall be served: refuses a field below 7 bytes at start.
    pub marketplaces: bool,
}

impl Default for ExtranonceConfig {
    fn default() -> Self {
        Self { prefix: None, front_end_bits: 0, front_end: 0, resume: Span::secs(600), marketplaces: false }
    }
}

/// A division of the extranonce that cannot work.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ExtranonceError {
    /// No room for a session and its miner.
    #[error(
        "the recipe's extranonce has {0} bytes; at least 2 are needed, one to tell sessions apart and one to roll"
    )]
    TooShort(usize),
    /// The prefix leaves nothing, or is nothing.
    #[error("extranonce_prefix = {prefix} does not divide a field of {total} bytes; use 1 to {most}")]
    Prefix {
        /// As configured.
        prefix: usize,
        /// The recipe's field.
        total: usize,
        /// The largest prefix that works.
        most: usize,
    },
    /// The front end's id does not fit its bits, or the bits leave no slots.
    #[error(
        "the front end's id {id} does not fit {bits} bits of a prefix of {prefix} bytes; set extranonce_prefix higher"
    )]
    FrontEnd {
        /// As configured.
        id: u64,
        /// As configured.
        bits: u32,
        /// The prefix in use.
        prefix: usize,
    },
    /// A marketplace needs more.
    #[error("hash marketplaces need 7 bytes of extranonce and the recipe has {0}; set marketplaces = false")]
    Marketplace(usize),
}

/// How a field of the recipe is divided between pool and miner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Bytes of the whole field.
    pub total: usize,
    /// Bytes that the pool sets: extranonce1.
    pub prefix: usize,
    front_end_bits: u32,
    front_end: u64,
}

impl Layout {
    /// Divides a field of `total` bytes: a prefix of half the field, four bytes where they suffice, and a rest of 2 to
    /// 8 bytes. ckpool divides 12 bytes into 4 and 8.
    ///
    /// # Errors
    /// When the configuration does not fit the field.
    pub fn new(total: usize, config: &ExtranonceConfig) -> Result<Self, ExtranonceError> {
        if total == 0 {
            // A family without an extranonce: all sessions share the work, and roll the nonce from random places.
            return Ok(Self { total, prefix: 0, front_end_bits: 0, front_end: 0 });
        }
        if total < 2 {
            return Err(ExtranonceError::TooShort(total));
        }
        if config.marketplaces && total < MARKETPLACE_MIN {
            return Err(ExtranonceError::Marketplace(total));
        }
        let chosen = match total {
            0..=3 => 1,
            4..=8 => 2,
            9..=12 => 4,
            more => (more - SUFFIX_MAX).min(PREFIX_MAX),
        };
        let prefix = config.prefix.unwrap_or(chosen);
        let most = (total - 1).min(PREFIX_MAX);
        if prefix == 0 || prefix > most {
            return Err(ExtranonceError::Prefix { prefix, total, most });
        }
        let (id, bits) = (config.front_end, config.front_end_bits);
        let prefix_bits = u32::try_from(prefix * 8).unwrap_or(u32::MAX);
        if bits > 16 || bits >= prefix_bits || id >> bits != 0 {
            return Err(ExtranonceError::FrontEnd { id, bits, prefix });
        }
        Ok(Self { total, prefix, front_end_bits: bits, front_end: id })
    }

    /// As [`Layout::new`], but where the configuration leaves the prefix open it is chosen so that the rest lies in all
    /// of these ranges (what the firmware of each dialect can roll), as near to the usual division as that allows. Where
    /// nothing lies in all of them the division is the usual one.
    ///
    /// # Errors
    /// As [`Layout::new`].
    pub fn fitting(
        total: usize,
        config: &ExtranonceConfig,
        rests: &[RangeInclusive<usize>],
    ) -> Result<Self, ExtranonceError> {
        let usual = Self::new(total, config)?;
        let least = rests.iter().map(|range| *range.start()).max().unwrap_or(1);
        let most = rests.iter().map(|range| *range.end()).min().unwrap_or(total);
        let least = least.max(total.saturating_sub(PREFIX_MAX)).max(1);
        let most = most.min(total.saturating_sub(1));
        if config.prefix.is_some() || least > most {
            return Ok(usual);
        }
        let prefix = Some(total - usual.rest().clamp(least, most));
        Self::new(total, &ExtranonceConfig { prefix, ..config.clone() })
    }

    /// Bytes that the miner sets: extranonce2.
    #[must_use]
    pub fn rest(&self) -> usize {
        self.total - self.prefix
    }

    /// How many sessions the prefix tells apart on this front end.
    #[must_use]
    pub fn slots(&self) -> u64 {
        1 << self.slot_bits()
    }

    fn slot_bits(&self) -> u32 {
        if self.prefix == 0 {
            return SLOT_BITS_MAX;
        }
        let prefix_bits = u32::try_from(self.prefix * 8).unwrap_or(u32::MAX);
        (prefix_bits - self.front_end_bits).min(SLOT_BITS_MAX)
    }

    /// The prefix of a slot: the front end's bits first, the slot's number last, zeros between.
    fn prefix_of(&self, slot: u64) -> Vec<u8> {
        let shift = self.prefix * 8 - self.front_end_bits as usize;
        // A prefix has at most 16 bytes.
        let front = if self.front_end_bits == 0 { 0 } else { u128::from(self.front_end) << shift };
        let value = front | u128::from(slot);
        value.to_be_bytes().into_iter().skip(16 - self.prefix).collect()
    }

    /// The slot of a prefix of this front end.
    fn slot_of(&self, prefix: &[u8]) -> Option<u64> {
        if prefix.is_empty() || prefix.len() != self.prefix {
            return None;
        }
        let value = prefix.iter().fold(0_u128, |value, byte| value << 8 | u128::from(*byte));
        let slot = u64::try_from(value & (u128::from(self.slots()) - 1)).ok()?;
        (self.prefix_of(slot) == prefix).then_some(slot)
    }
}

/// What a session keeps over a lost connection.
#[derive(Clone, Debug, Default)]
pub(crate) struct Parked {
    /// The difficulty it had.
    pub(crate) difficulty: Option<f64>,
    /// What its work was sent under: old work still counts, and a job that is sent again is other work.
    pub(crate) epochs: Epochs,
    /// Whose it is, where it had work: where he came from and what he called himself.
    pub(crate) owner: Option<Owner>,
}

/// Who a connection is as far as it can be told before a login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Owner {
    /// His address: behind a trusted proxy the one that its header says.
    pub(crate) source: Source,
    /// His user agent.
    pub(crate) agent: Arc<str>,
}

#[derive(Debug)]
enum Slot {
    Held,
    Parked { session: SessionId, until: Instant, kept: Box<Parked> },
}

#[derive(Debug)]
struct Slots {
    /// Number of the next lease; its slot is what it leaves over by the number of slots.
    next: u64,
    /// Number behind the last that was made durable.
    end: u64,
    taken: HashMap<u64, Slot>,
    parked: HashMap<SessionId, u64>,
    parking: Parking,
}

impl Slots {
    /// A slot was parked: those of the same source that are too many are free.
    fn make_room(&mut self, leaving: Leaving, slot: u64, until: Instant) {
        let Leaving::ParkedOf(source, most) = leaving else { return };
        for (slot, listed) in self.parking.park(source, most, slot, until) {
            if let Some(Slot::Parked { session, until, .. }) = self.taken.get(&slot)
                && *until == listed
            {
                self.parked.remove(session);
                self.taken.remove(&slot);
            }
        }
    }
}

/// All prefixes of one front end and pool, shared by its listeners.
#[derive(Debug)]
pub struct PrefixTree {
    layout: Layout,
    resume: Duration,
    key: NameKey,
    past: u64,
    started: Instant,
    slots: Mutex<Slots>,
}

/// What a pool knows of the leases of before its start.
#[derive(Clone, Debug)]
pub struct Past {
    /// What its sessions are named under.
    pub key: NameKey,
    /// Number behind the last lease that may have been handed out.
    pub until: u64,
}

/// No slot can be leased now.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum NoLease {
    /// All slots of this front end are in use.
    #[error("all {0} extranonce prefixes are in use; raise extranonce_prefix")]
    Exhausted(u64),
    /// Numbers have to be made durable first.
    #[error("no extranonce prefix is reserved")]
    Reserve,
}

impl PrefixTree {
    /// A tree that hands out nothing until numbers are reserved. Sessions of before can be resumed for one resume
    /// window from now on.
    #[must_use]
    pub fn new(layout: Layout, resume: Duration, past: Past) -> Arc<Self> {
        let slots = Slots {
            next: 0,
            end: 0,
            taken: HashMap::new(),
            parked: HashMap::new(),
            parking: Parking::default(),
        };
        let (started, slots) = (Instant::now(), Mutex::new(slots));
        Arc::new(Self { layout, resume, key: past.key, past: past.until, started, slots })
    }

    /// How many numbers to reserve at once: few enough that restarts do not use the slots up, enough that they are
    /// seldom asked for.
    #[must_use]
    pub fn batch(&self) -> u64 {
        (self.layout.slots() / 16).clamp(1, 1024)
    }

    /// Numbers from `range` may be handed out: they are durable, and nobody else ever gets them.
    pub fn reserved(&self, range: Range<u64>) {
        let mut slots = self.slots.lock();
        if slots.next >= slots.end {
            (slots.next, slots.end) = (range.start, range.end);
        }
    }

    /// How the field is divided.
    #[must_use]
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// The slot whose prefix this is, if it is one of ours: for tests that replay a recorded session.
    #[must_use]
    pub fn slot_of(&self, prefix: &[u8]) -> Option<u64> {
        self.layout.slot_of(prefix)
    }

    /// Prefixes in use, parked ones included.
    #[cfg(test)]
    #[must_use]
    pub fn in_use(&self) -> usize {
        self.slots.lock().taken.len()
    }

    /// Leases the next free slot to a new session; while all are taken, the next parked one.
    ///
    /// # Errors
    /// When every slot is held, or numbers have to be reserved first.
    pub fn lease(self: &Arc<Self>, now: Instant) -> Result<Lease, NoLease> {
        let count = self.layout.slots();
        let mut slots = self.slots.lock();
        let full = u64::try_from(slots.taken.len()).unwrap_or(u64::MAX) >= count;
        if full && slots.taken.values().all(|slot| matches!(slot, Slot::Held)) {
            return Err(NoLease::Exhausted(count));
        }
        while slots.next < slots.end {
            let number = slots.next;
            slots.next = number.saturating_add(1);
            let slot = number % count;
            match slots.taken.get(&slot) {
                Some(Slot::Parked { session, until, .. }) if *until <= now || full => {
                    let expired = *session;
                    slots.parked.remove(&expired);
                }
                Some(_) => continue,
                None => {}
            }
            slots.taken.insert(slot, Slot::Held);
            drop(slots);
            return Ok(self.hold(slot, self.key.name(number), Parked::default()));
        }
        Err(NoLease::Reserve)
    }

    /// Takes up a parked session, or one of before the start. `None` when it is unknown, past the window, or connected.
    pub fn resume(self: &Arc<Self>, session: SessionId, now: Instant) -> Option<Lease> {
        let mut slots = self.slots.lock();
        let Some(slot) = slots.parked.get(&session).copied() else {
            let number = self.key.lease(session);
            let slot = number % self.layout.slots();
            if self.newest_of_before(slot, now)? != number || slots.taken.contains_key(&slot) {
                return None;
            }
            slots.taken.insert(slot, Slot::Held);
            drop(slots);
            return Some(self.hold(slot, session, Parked::default()));
        };
        let Some(Slot::Parked { until, kept, .. }) = slots.taken.get(&slot) else { return None };
        if *until <= now {
            return None;
        }
        let kept = Parked::clone(kept);
        slots.parked.remove(&session);
        slots.taken.insert(slot, Slot::Held);
        drop(slots);
        Some(self.hold(slot, session, kept))
    }

    /// As [`PrefixTree::resume`], by the extranonce1 that some miners send in place of a session id. The session keeps
    /// its old id. A name cannot be guessed and an extranonce1 can, so this is for the one who had the session: the same
    /// source and user agent. Of a session of before the start nobody knows whose it was, so it has to be named.
    pub(crate) fn resume_prefix(self: &Arc<Self>, prefix: &[u8], by: &Owner, now: Instant) -> Option<Lease> {
        let slot = self.layout.slot_of(prefix)?;
        let session = match self.slots.lock().taken.get(&slot)? {
            Slot::Parked { session, kept, .. } if kept.owner.as_ref() == Some(by) => *session,
            Slot::Parked { .. } | Slot::Held => return None,
        };
        self.resume(session, now)
    }

    /// The number of the last lease of a slot before the start, while such sessions may be resumed.
    fn newest_of_before(&self, slot: u64, now: Instant) -> Option<u64> {
        if now.saturating_duration_since(self.started) >= self.resume {
            return None;
        }
        let newest = self.past.checked_sub(1)?;
        let back = newest.checked_sub(slot)? % self.layout.slots();
        newest.checked_sub(back)
    }

    fn hold(self: &Arc<Self>, slot: u64, session: SessionId, kept: Parked) -> Lease {
        let (prefix, leaving) = (self.layout.prefix_of(slot), Leaving::default());
        Lease { tree: Arc::clone(self), slot, session, prefix, kept, leaving }
    }

    /// Forgets parked slots whose window is over. Leasing does it by itself as it comes by; this bounds memory.
    pub fn sweep(&self, now: Instant) {
        let mut slots = self.slots.lock();
        slots.parking.sweep(now);
        let Slots { taken, parked, .. } = &mut *slots;
        taken.retain(|_, slot| match slot {
            Slot::Parked { session, until, .. } if *until <= now => {
                parked.remove(session);
                false
            }
            _ => true,
        });
    }
}

/// A prefix held by a session. Dropping it parks the slot for the resume window.
#[derive(Debug)]
pub struct Lease {
    tree: Arc<PrefixTree>,
    slot: u64,
    session: SessionId,
    prefix: Vec<u8>,
    /// What the session had when it was parked, and what it leaves when it is parked again.
    pub(crate) kept: Parked,
    /// What becomes of the slot when the lease is dropped.
    pub(crate) leaving: Leaving,
}

impl Lease {
    /// The first bytes of the recipe's extranonce: extranonce1.
    #[must_use]
    pub fn prefix(&self) -> &[u8] {
        &self.prefix
    }

    /// The session the lease is for; a resumed lease names the session of before.
    #[must_use]
    pub fn session(&self) -> SessionId {
        self.session
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut slots = self.tree.slots.lock();
        let stays = !self.tree.resume.is_zero() && self.leaving != Leaving::Free;
        let Some(until) = Instant::now().checked_add(self.tree.resume).filter(|_| stays) else {
            slots.taken.remove(&self.slot);
            return;
        };
        let kept = Box::new(std::mem::take(&mut self.kept));
        let parked = Slot::Parked { session: self.session, until, kept };
        slots.taken.insert(self.slot, parked);
        slots.parked.insert(self.session, self.slot);
        slots.make_room(self.leaving, self.slot, until);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;

    fn tree_at(total: usize, config: &ExtranonceConfig, past: Past, more: u64) -> Arc<PrefixTree> {
        let until = past.until;
        let tree = PrefixTree::new(Layout::new(total, config).unwrap(), config.resume.0, past);
        tree.reserved(until..until + more);
        tree
    }

    fn owner(last: u8, agent: &str) -> Owner {
        Owner { source: Source::of([192, 0, 2, last].into(), 56), agent: agent.into() }
    }

    fn tree(total: usize, config: &ExtranonceConfig) -> Arc<PrefixTree> {
        tree_at(total, config, Past { key: NameKey::random(), until: 0 }, 1_000)
    }

    #[test]
    fn twelve_bytes_divide_as_ckpool_divides_them() {
        let layout = Layout::new(12, &ExtranonceConfig::default()).unwrap();
        assert_eq!((layout.prefix, layout.rest()), (4, 8));
        let layout = Layout::new(8, &ExtranonceConfig::default()).unwrap();
        assert_eq!((layout.prefix, layout.rest()), (2, 6));
        let layout = Layout::new(16, &ExtranonceConfig::default()).unwrap();
        assert_eq!((layout.prefix, layout.rest()), (8, 8));
    }

    #[test]
    fn the_division_gives_every_dialects_firmware_what_it_rolls() {
        let rest = |total, rests: &[RangeInclusive<usize>]| {
            Layout::fitting(total, &ExtranonceConfig::default(), rests).unwrap().rest()
        };
        assert_eq!((rest(8, &[]), rest(8, &[2..=8])), (6, 6), "the usual one where it fits");
        assert_eq!((rest(8, &[4..=4]), rest(8, &[4..=4, 2..=8])), (4, 4));
        assert_eq!((rest(12, &[2..=4]), rest(12, &[9..=9])), (4, 9));
        assert_eq!(rest(8, &[8..=8]), 6, "the pool needs a byte of it");
        assert_eq!(rest(8, &[2..=3, 5..=6]), 6, "nothing suits both");
        assert_eq!((rest(0, &[4..=4]), rest(32, &[1..=15])), (0, 16), "a prefix has at most 16 bytes");
        let own = ExtranonceConfig { prefix: Some(2), ..Default::default() };
        assert_eq!(Layout::fitting(8, &own, &[4..=4]).unwrap().rest(), 6, "the operator's own stays");
    }

    #[test]
    fn a_field_too_short_for_its_use_is_refused_with_what_to_do() {
        let config = ExtranonceConfig { marketplaces: true, ..Default::default() };
        assert_eq!(Layout::new(6, &config), Err(ExtranonceError::Marketplace(6)));
        assert_eq!(Layout::new(1, &ExtranonceConfig::default()), Err(ExtranonceError::TooShort(1)));
        let config = ExtranonceConfig { prefix: Some(12), ..Default::default() };
        assert!(Layout::new(12, &config).unwrap_err().to_string().contains("use 1 to 11"));
    }

    #[test]
    fn a_family_without_an_extranonce_has_sessions_all_the_same() {
        let tree = tree(0, &ExtranonceConfig::default());
        let now = Instant::now();
        let leases: Vec<_> = (0..300).map(|_| tree.lease(now).unwrap()).collect();
        assert!(leases.iter().all(|lease| lease.prefix().is_empty()));
        let session = leases[7].session();
        drop(leases);
        assert!(tree.resume(session, now).is_some());
        assert!(tree.resume_prefix(&[], &owner(1, ""), now).is_none());
    }

    #[test]
    fn a_resumed_session_gets_its_prefix_back_and_nobody_else_does_meanwhile() {
        let tree = tree(4, &ExtranonceConfig { prefix: Some(1), ..Default::default() });
        let now = Instant::now();
        let lease = tree.lease(now).unwrap();
        let (session, prefix) = (lease.session(), lease.prefix().to_vec());
        assert!(tree.resume(session, now).is_none(), "a connected session was resumed");
        drop(lease);
        let others: Vec<_> = (0..255).map(|_| tree.lease(now).unwrap()).collect();
        assert!(others.iter().all(|other| other.prefix() != prefix));
        let mut resumed = tree.resume(session, now).unwrap();
        assert_eq!(resumed.prefix(), prefix);
        resumed.kept.owner = Some(owner(1, "cgminer"));
        drop(resumed);
        let resumed = tree.resume_prefix(&prefix, &owner(1, "cgminer"), now).unwrap();
        assert_eq!(resumed.session(), session);
        assert_eq!(tree.lease(now).unwrap_err(), NoLease::Exhausted(256));
        drop(resumed);
        let newcomer = tree.lease(now).unwrap();
        assert_eq!(newcomer.prefix(), prefix, "who is there goes before who was");
        assert!(tree.resume(session, now).is_none());
    }

    #[test]
    fn who_only_guesses_an_extranonce_gets_nobodys_session() {
        let tree = tree(8, &ExtranonceConfig::default());
        let now = Instant::now();
        let mut lease = tree.lease(now).unwrap();
        lease.kept.owner = Some(owner(1, "cgminer/4.10"));
        let prefix = lease.prefix().to_vec();
        drop(lease);
        let ownerless = tree.lease(now).unwrap().prefix().to_vec();
        for (guess, by) in [
            (&prefix, owner(2, "cgminer/4.10")),
            (&prefix, owner(1, "other")),
            (&ownerless, owner(1, "cgminer/4.10")),
        ] {
            assert!(tree.resume_prefix(guess, &by, now).is_none(), "{by:?}");
        }
        assert_eq!(tree.resume_prefix(&prefix, &owner(1, "cgminer/4.10"), now).unwrap().prefix(), prefix);
    }

    #[test]
    fn a_source_leaves_so_many_sessions_behind_and_one_without_work_none() {
        let tree = tree(8, &ExtranonceConfig::default());
        let now = Instant::now();
        let source = |last| crate::Source::of([192, 0, 2, last].into(), 56);
        let leave = |leaving| {
            let mut lease = tree.lease(now).unwrap();
            lease.leaving = leaving;
            lease.session()
        };
        let idle = leave(Leaving::Free);
        assert!(tree.resume(idle, now).is_none());
        let other = leave(Leaving::ParkedOf(source(9), 3));
        let crowd: Vec<_> = (0..8).map(|_| leave(Leaving::ParkedOf(source(1), 3))).collect();
        assert_eq!(tree.in_use(), 4);
        for (session, there) in [(crowd[4], false), (crowd[5], true), (crowd[7], true), (other, true)] {
            assert_eq!(tree.resume(session, now).is_some(), there, "{session:?}");
        }
        tree.sweep(now + Duration::from_secs(700));
        assert_eq!(tree.in_use(), 0);
    }

    #[test]
    fn after_the_window_the_prefix_is_free_and_the_session_gone() {
        let tree = tree(4, &ExtranonceConfig { prefix: Some(1), ..Default::default() });
        let now = Instant::now();
        let session = tree.lease(now).unwrap().session();
        let later = now + Duration::from_secs(700);
        assert!(tree.resume(session, later).is_none());
        let all: Vec<_> = (0..256).map(|_| tree.lease(later).unwrap()).collect();
        assert_eq!(all.len(), 256);
        drop(all);
        tree.sweep(later + Duration::from_secs(700));
        assert_eq!(tree.in_use(), 0);
    }

    #[test]
    fn a_restarted_pool_goes_on_behind_all_leases_and_gives_a_session_of_before_its_own_prefix() {
        let (config, key) = (ExtranonceConfig::default(), NameKey::random());
        let past = |until| Past { key: key.clone(), until };
        let before = tree_at(8, &config, past(0), 16);
        let now = Instant::now();
        let old: Vec<_> = (0..16).map(|_| before.lease(now).unwrap()).collect();
        assert_eq!(before.lease(now).unwrap_err(), NoLease::Reserve, "what is not durable is not handed out");

        let after = tree_at(8, &config, past(16), 16);
        let fresh: Vec<_> = (0..16).map(|_| after.lease(now).unwrap()).collect();
        for lease in &old {
            assert!(fresh.iter().all(|other| other.prefix() != lease.prefix()));
        }
        let by_name = after.resume(old[3].session(), now).unwrap();
        assert_eq!((by_name.prefix(), by_name.session()), (old[3].prefix(), old[3].session()));
        let by_prefix = after.resume_prefix(old[4].prefix(), &owner(1, "cgminer"), now);
        assert!(by_prefix.is_none(), "nobody knows any more whose it was");
        assert!(after.resume(old[3].session(), now).is_none(), "it is connected");
        assert!(after.resume(SessionId(7), now).is_none(), "a name that was never given");
        assert!(
            after.resume(old[5].session(), now + config.resume.0 + Duration::from_secs(1)).is_none(),
            "the window is over"
        );
        let never = tree_at(8, &config, Past { key: NameKey::random(), until: 16 }, 16);
        assert!(never.resume(old[5].session(), now).is_none(), "another pool's session");
    }

    #[test]
    fn after_a_whole_rotation_only_the_newest_session_of_a_slot_is_resumed() {
        let config = ExtranonceConfig { prefix: Some(1), ..Default::default() };
        let key = NameKey::random();
        let tree = tree_at(4, &config, Past { key: key.clone(), until: 300 }, 16);
        let now = Instant::now();
        assert!(tree.resume(key.name(10), now).is_none(), "slot 10 was leased again as number 266");
        assert_eq!(tree.resume(key.name(266), now).unwrap().prefix(), [10]);
        assert_eq!(tree.resume(key.name(50), now).unwrap().prefix(), [50]);
        assert!(tree.resume(key.name(300), now).is_none(), "it was never leased");
    }

    proptest! {
        #[test]
        fn no_prefix_is_the_beginning_of_another(
            bits in 0_u32..7, a in 0_u64..64, b in 0_u64..64, skip in 0_u64..1000, total in 4_usize..20,
        ) {
            let (a, b) = (a % (1 << bits), b % (1 << bits));
            let config = |front_end| ExtranonceConfig { front_end_bits: bits, front_end, ..Default::default() };
            let mut seen = HashSet::new();
            let mut leases = Vec::new();
            for id in [a, b].into_iter().collect::<HashSet<_>>() {
                let layout = Layout::new(total, &config(id)).unwrap();
                let past = Past { key: NameKey::random(), until: skip };
                let tree = PrefixTree::new(layout, Duration::from_secs(1), past);
                tree.reserved(skip..skip + 40);
                for _ in 0..40 {
                    let lease = tree.lease(Instant::now()).unwrap();
                    prop_assert_eq!(lease.prefix().len(), layout.prefix);
                    prop_assert!(tree.slot_of(lease.prefix()).is_some());
                    prop_assert!(seen.insert(lease.prefix().to_vec()));
                    leases.push(lease);
                }
            }
        }
    }
}
