//! What a fee policy may know of miners beside their amounts: statistics of their shares, the operator's lists, the reserve.
//!
//! Whole numbers, computed from the journal's records alone and with no clock, so that a replay comes to the same. What
//! shares say is frozen for an hour: it is that of the shares before the last full hour of their own times, so that a
//! policy that is asked every second reads footers once an hour.

use crate::decide::{DecideError, Stop};
use crate::policy::Bound;
use millpond_journal::{Edge, JournalError, JournalView, Measure, Span, Window, WindowEnd, WorkerId};
use millpond_payout::{Attributes, PayoutError};
use millpond_types::{Amount, MinerId, ShareSeq, UnixMillis};
use parking_lot::Mutex;
use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

const HOUR: u64 = 3_600_000;
/// Work is summed up over this long.
const DAY: u64 = 24 * HOUR;
/// Shares that retention keeps for columns, before a share that is decided about: a day before the hour that it is in.
pub(crate) const REACH: u64 = DAY + HOUR;
/// What a list's column is called, with the list's name behind it.
const LIST: &str = "list:";

/// Whether the host has a column of this name. `hashrate` needs the chain's work unit, which the policy's record names.
pub(crate) fn is_known(column: &str, work_shift: Option<u8>) -> bool {
    match column {
        "work" | "workers" | "reserve" => true,
        "hashrate" => work_shift.is_some(),
        other => other.strip_prefix(LIST).is_some_and(|name| !name.is_empty()),
    }
}

/// Whether a column is a statistic of shares.
pub(crate) fn is_of_shares(column: &str) -> bool {
    matches!(column, "work" | "workers" | "hashrate")
}

/// One statistic by miner.
type Rows = Arc<BTreeMap<MinerId, u128>>;

/// What was computed for an hour.
#[derive(Debug, Default)]
pub(crate) struct Frozen(Mutex<Hour>);

#[derive(Debug, Default)]
struct Hour {
    /// Where it begins; shares at or before this time count.
    begins: u64,
    /// The last share that counts, once it is known.
    last: Option<ShareSeq>,
    work: Option<Rows>,
    workers: Option<Rows>,
}

/// The columns for one decision. Nothing is read before a policy is asked with them: a decision with nobody to charge
/// needs no shares beside its own.
pub(crate) struct Columns<'a> {
    bound: &'a Bound,
    view: &'a JournalView,
    end: ShareSeq,
    reserve: Amount,
    hour: OnceCell<Result<Hour, JournalError>>,
    lists: BTreeMap<&'a str, OnceCell<BTreeMap<MinerId, u64>>>,
}

impl<'a> Columns<'a> {
    /// What the policies ask for, of a window that ends at this share.
    pub(crate) fn new(bound: &'a Bound, view: &'a JournalView, end: ShareSeq, reserve: Amount) -> Self {
        let lists = asked(bound).filter_map(|column| column.strip_prefix(LIST));
        let lists = lists.map(|name| (name, OnceCell::new())).collect();
        Self { bound, view, end, reserve, hour: OnceCell::new(), lists }
    }

    /// What was decided with these columns, or why one of them was not to be had.
    ///
    /// # Errors
    /// When the journal does not check, or what is needed was dropped; else as the decision.
    pub(crate) fn told<T>(self, decided: Result<T, PayoutError>) -> Result<T, DecideError> {
        match self.hour.into_inner() {
            Some(Err(why)) => Err(why.into()),
            Some(Ok(_)) | None => Ok(decided?),
        }
    }

    fn hour(&self) -> Option<&Hour> {
        self.hour.get_or_init(|| self.freeze()).as_ref().ok()
    }

    /// The statistics of the hour, from memory where they were computed before.
    fn freeze(&self) -> Result<Hour, JournalError> {
        if self.end.0 == 0 {
            return Ok(Hour::default());
        }
        let asked: BTreeSet<&str> = asked(self.bound).collect();
        let (work, workers) =
            (asked.contains("work") || asked.contains("hashrate"), asked.contains("workers"));
        let newest = self.view.share(self.end)?;
        let newest = newest.ok_or(JournalError::Dropped { last: self.view.dropped().last })?;
        // The end's own share is never among them: those that are do not depend on where in the hour it is.
        let begins = newest.time.0.saturating_sub(1) / HOUR * HOUR;
        let mut known = self.bound.frozen.0.lock();
        if known.begins != begins {
            *known = Hour { begins, ..Hour::default() };
        }
        let last = match known.last {
            Some(last) => last,
            None => *known.last.insert(last_at(self.view, UnixMillis(begins), self.end)?),
        };
        let end = WindowEnd { seq: last, time: UnixMillis(begins), ..WindowEnd::default() };
        if work && known.work.is_none() {
            let window = Window { span: Span::Millis(DAY), measure: Measure::Work, edge: Edge::Whole };
            known.work = Some(Arc::new(self.view.window(&window, &end, None)?.into_iter().collect()));
        }
        if workers && known.workers.is_none() {
            known.workers = Some(Arc::new(workers_of(self.view, last, begins.saturating_sub(HOUR))?));
        }
        let (work, workers) = (known.work.clone(), known.workers.clone());
        Ok(Hour { begins, last: Some(last), work, workers })
    }
}

/// The columns that any of the policies asks for.
fn asked(bound: &Bound) -> impl Iterator<Item = &str> {
    bound.fees.iter().flat_map(|fee| fee.columns()).map(String::as_str)
}

/// The operator's lists that the policies ask for and in which nobody stands: everybody's number is 0 by them.
pub(crate) fn empty_lists(bound: &Bound, view: &JournalView) -> Vec<String> {
    let lists: BTreeSet<&str> = asked(bound).filter_map(|column| column.strip_prefix(LIST)).collect();
    let empty = lists.into_iter().filter(|name| view.list(name, ShareSeq(u64::MAX)).is_empty());
    empty.map(str::to_owned).collect()
}

/// The last share before the first whose time is later than this; at most the one before `end`.
fn last_at(view: &JournalView, time: UnixMillis, end: ShareSeq) -> Result<ShareSeq, JournalError> {
    let mut first = end;
    let from = view.first_since(UnixMillis(time.0.saturating_add(1)));
    walk(view, from, end, |seq, share| {
        let later = share.time > time;
        if later {
            first = seq;
        }
        !later
    })?;
    Ok(ShareSeq(first.0.saturating_sub(1)))
}

/// How many workers each miner had among the shares up to `last` whose time is later than `after`.
fn workers_of(
    view: &JournalView,
    last: ShareSeq,
    after: u64,
) -> Result<BTreeMap<MinerId, u128>, JournalError> {
    let dropped = view.dropped();
    if dropped.last.0 > 0 && dropped.time.0 > after {
        return Err(JournalError::Dropped { last: dropped.last });
    }
    let mut seen: BTreeSet<(MinerId, WorkerId)> = BTreeSet::new();
    let from = view.first_since(UnixMillis(after.saturating_add(1)));
    walk(view, from, last, |_, share| {
        if share.time.0 > after {
            seen.insert((share.miner, share.worker));
        }
        true
    })?;
    let mut workers: BTreeMap<MinerId, u128> = BTreeMap::new();
    for (miner, _) in seen {
        let count = workers.entry(miner).or_default();
        *count = count.saturating_add(1);
    }
    Ok(workers)
}

/// Shares of these numbers, until `visit` has seen enough.
fn walk(
    view: &JournalView,
    from: ShareSeq,
    to: ShareSeq,
    mut visit: impl FnMut(ShareSeq, &millpond_journal::Share) -> bool,
) -> Result<(), JournalError> {
    let walked = view.shares(
        from,
        |seq, share| {
            if seq > to || !visit(seq, share) { Err(Stop::Enough) } else { Ok(()) }
        },
    );
    match walked {
        Ok(()) | Err(Stop::Enough) => Ok(()),
        Err(Stop::Failed(why)) => Err(why),
    }
}

/// Hashes a second, of a day's work.
fn hashrate(work: u128, shift: u8) -> u64 {
    let hashes = work.checked_mul(1_u128.checked_shl(u32::from(shift)).unwrap_or(u128::MAX));
    hashes.and_then(|hashes| u64::try_from(hashes / (u128::from(DAY) / 1000)).ok()).unwrap_or(u64::MAX)
}

impl Attributes for Columns<'_> {
    fn column(&self, name: &str, miners: &[MinerId]) -> Option<Vec<u64>> {
        let of = |rows: &Option<Rows>, miner: &MinerId| {
            rows.as_ref().and_then(|rows| rows.get(miner).copied()).unwrap_or(0)
        };
        let whole = |value: u128| u64::try_from(value).unwrap_or(u64::MAX);
        let each = |value: &dyn Fn(&MinerId) -> u64| Some(miners.iter().map(value).collect());
        match name {
            "work" => {
                let hour = self.hour()?;
                each(&|miner| whole(of(&hour.work, miner)))
            }
            "workers" => {
                let hour = self.hour()?;
                each(&|miner| whole(of(&hour.workers, miner)))
            }
            "hashrate" => {
                let (shift, hour) = (self.bound.work_shift?, self.hour()?);
                each(&|miner| hashrate(of(&hour.work, miner), shift))
            }
            "reserve" => each(&|_| self.reserve.0),
            other => {
                let name = other.strip_prefix(LIST)?;
                let list = self.lists.get(name)?.get_or_init(|| self.view.list(name, self.end));
                each(&|miner| list.get(miner).copied().unwrap_or(0))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_days_work_is_a_hashrate_in_hashes_a_second() {
        // A share of difficulty 1 a second for a day: 2^32 hashes a second.
        assert_eq!(hashrate(86_400, 32), 1 << 32);
        assert_eq!(hashrate(86_399, 0), 0);
        assert_eq!(hashrate(u128::MAX, 0), u64::MAX);
        assert_eq!(hashrate(1, 200), u64::MAX);
        assert_eq!(hashrate(0, 200), 0);
    }

    #[test]
    fn columns_have_the_names_of_the_contract_and_lists_their_own() {
        assert!(["work", "workers", "reserve", "list:vip"].iter().all(|name| is_known(name, None)));
        assert!(!["vip", "list:", "seniority", "hashrate"].iter().any(|name| is_known(name, None)));
        assert!(is_known("hashrate", Some(0)));
    }
}
