//! Windows that pay a share once: which shares no income has paid yet, and the way through them, newest first, until they
//! come up to what is divided.
//!
//! An income pays from the top. A long round leaves one more stretch of unpaid shares behind it, a short one eats into old
//! ones: there are about sqrt(2n/π) of them after n incomes (the walk is a reflected random one), 250 after 10^5. That is
//! why the list is of what is unpaid, and not of what is paid.

use crate::{Edge, WindowError};
use serde::{Deserialize, Serialize};

/// Shares in a row that no income has paid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stretch {
    /// The number of the oldest one.
    pub first: u64,
    /// The number of the newest one.
    pub last: u64,
    /// What the newest one has been paid of its value, in 2^-32 of the smallest unit.
    #[serde(with = "as_text", default, skip_serializing_if = "is_zero")]
    pub paid: u128,
}

/// 128 bits as text, since not every reader of JSON takes them.
mod as_text {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(sum: &u128, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&sum.to_string())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<u128, D::Error> {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}

// As serde asks.
#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_zero(sum: &u128) -> bool {
    *sum == 0
}

/// What no income has paid, of all shares up to one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unpaid {
    /// The newest share that an income ended at. Nothing behind it is paid.
    upto: u64,
    /// Ascending, apart from each other or with a part of a share between them.
    stretches: Vec<Stretch>,
}

/// How far an income looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// Shares up to this one are another scheme's.
    pub begins: u64,
    /// The income's own share.
    pub end: u64,
    /// At most so many shares back, that one included.
    pub most: u64,
}

/// An income on its way through unpaid shares.
#[derive(Clone, Debug)]
pub struct Paying {
    /// What it may pay and has not, ascending.
    open: Vec<Stretch>,
    /// Unpaid and out of its sight.
    older: Vec<Stretch>,
    newer: Vec<Stretch>,
    /// Behind it nothing is paid.
    upto: u64,
    /// Shares before it are forgotten.
    kept: u64,
    /// What is divided, and what of it the shares so far come up to, in 2^-32 of the smallest unit.
    gross: u128,
    sum: u128,
    edge: Edge,
    done: bool,
}

/// Adds a stretch behind others, to the last of them where nothing is between.
fn push(stretches: &mut Vec<Stretch>, next: Stretch) {
    if next.first > next.last {
        return;
    }
    match stretches.last_mut() {
        Some(last) if last.paid == 0 && last.last.checked_add(1) == Some(next.first) => {
            (last.last, last.paid) = (next.last, next.paid);
        }
        _ => stretches.push(next),
    }
}

impl Stretch {
    /// What of it is from one number up to another one.
    fn within(self, first: u64, last: u64) -> Option<Self> {
        let paid = if self.last <= last { self.paid } else { 0 };
        let (first, last) = (self.first.max(first), self.last.min(last));
        (first <= last).then_some(Self { first, last, paid })
    }
}

impl Unpaid {
    /// The newest share that an income ended at: all behind it are unpaid.
    #[must_use]
    pub const fn upto(&self) -> u64 {
        self.upto
    }

    /// The shares up to it that are unpaid, ascending.
    #[must_use]
    pub fn stretches(&self) -> &[Stretch] {
        &self.stretches
    }

    /// The oldest share that is unpaid and not forgotten; the one behind all that incomes ended at where none before it is.
    #[must_use]
    pub fn oldest(&self) -> u64 {
        self.stretches.first().map_or(self.upto.saturating_add(1), |stretch| stretch.first)
    }

    /// An income of `gross`, in 2^-32 of the smallest unit, sets out.
    #[must_use]
    pub fn paying(&self, look: Look, gross: u128, edge: Edge) -> Paying {
        let Look { begins, end, most } = look;
        let back = |from: u64| from.saturating_sub(most).saturating_add(1);
        let first = back(end).max(begins.saturating_add(1));
        let upto = self.upto.max(end);
        let fresh = Stretch { first: self.upto.max(begins).saturating_add(1), last: end, paid: 0 };
        let mut all = self.stretches.clone();
        push(&mut all, fresh);
        let (mut older, mut open, mut newer) = (Vec::new(), Vec::new(), Vec::new());
        for stretch in all {
            let before = first.checked_sub(1).and_then(|last| stretch.within(0, last));
            older.extend(before);
            open.extend(stretch.within(first, end));
            newer.extend(end.checked_add(1).and_then(|behind| stretch.within(behind.max(first), u64::MAX)));
        }
        let (sum, done) = (0, gross == 0);
        Paying { open, older, newer, upto, kept: back(upto), gross, sum, edge, done }
    }
}

impl Paying {
    /// Whether it wants a share from one number up to another one.
    #[must_use]
    pub fn wants(&self, first: u64, last: u64) -> bool {
        let at = self.open.partition_point(|stretch| stretch.last < first);
        !self.done && self.open.get(at).is_some_and(|stretch| stretch.first <= last)
    }

    /// The newest share that it wants, of those that it has not seen.
    #[must_use]
    pub fn newest(&self) -> Option<u64> {
        self.open.last().map(|top| top.last).filter(|_| !self.done)
    }

    /// Whether what is divided is reached.
    #[must_use]
    pub const fn is_done(&self) -> bool {
        self.done
    }

    /// The next share, which is older than all before it, with its whole value: what of that is paid now.
    ///
    /// # Errors
    /// When its value or the sum does not fit.
    pub fn pay(&mut self, number: u64, value: u128) -> Result<u128, WindowError> {
        if value == u128::MAX {
            return Err(WindowError::Overflow);
        }
        if self.done {
            return Ok(0);
        }
        // Behind it everything was seen.
        while self.open.last().is_some_and(|top| top.first > number) {
            self.open.pop();
        }
        let Some(top) = self.open.last_mut().filter(|top| top.last >= number) else { return Ok(0) };
        let before = if top.last == number { top.paid } else { 0 };
        let left = value.saturating_sub(before);
        let room = self.gross.saturating_sub(self.sum);
        self.done = left >= room;
        let counts = if self.done { self.edge.counts(left, room) } else { left };
        self.sum = self.sum.checked_add(counts).ok_or(WindowError::Overflow)?;
        if counts == left {
            (top.last, top.paid) = (number.saturating_sub(1), 0);
            if top.last < top.first {
                self.open.pop();
            }
        } else {
            (top.last, top.paid) = (number, before.saturating_add(counts));
        }
        Ok(counts)
    }

    /// What is unpaid after it. All that it did not see, before it had what it wanted, is not there.
    #[must_use]
    pub fn left(self) -> Unpaid {
        let mut stretches = Vec::new();
        let open = if self.done { self.open } else { Vec::new() };
        for stretch in self.older.into_iter().chain(open).chain(self.newer) {
            if let Some(kept) = stretch.within(self.kept, u64::MAX) {
                push(&mut stretches, kept);
            }
        }
        Unpaid { upto: self.upto, stretches }
    }
}
