//! What a session's shares are judged by, and since which job.
//!
//! A miner may work on a job long after its session changed: got another difficulty, rolls under another mask, is paid
//! to another payee. So each job is sent under an *epoch*, the session's values at that moment, and a share is run with
//! the values of the epoch its job was sent in. The id on the wire carries both: job * 256 + epoch, a decimal number,
//! which miners that want numbers, hex or text all take. An epoch is good for the jobs that were sent under it and for no
//! other: a miner cannot name an old, easier one for his new job.
//!
//! A job that is sent again (a new difficulty, a long silence) would have most miners search the same space again. A
//! recipe can prevent it with a session field named `reissue`: the host sets it to the number of times the job was sent
//! to the session before, big-endian, and the recipe makes the work differ by it (Bitcoin: a later timestamp). Without
//! that field the job is sent again under its old id, which miners take for the same work, and it keeps its old
//! difficulty where that is the lower one.

pub(crate) mod carried;

use crate::backend::Payee;
use millpond_types::{JobId, Target};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// Epochs kept; older ones fall back to the oldest that is kept.
const KEPT: usize = 64;

/// Epochs kept of a session that is not connected.
const PARKED: usize = 8;

/// The values of a session at one time.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Values {
    /// As sent to the miner.
    pub(crate) difficulty: f64,
    pub(crate) target: Target,
    pub(crate) prefix: Arc<[u8]>,
    pub(crate) negotiated: Arc<BTreeMap<String, Vec<u8>>>,
    /// Only where the recipe's session stage depends on it.
    pub(crate) payee: Option<Arc<Payee>>,
    /// How often the job was sent to this session before.
    pub(crate) reissue: u64,
}

impl Values {
    /// Whether work under the two is the same work.
    fn same_work(&self, other: &Self) -> bool {
        self.prefix == other.prefix
            && self.negotiated == other.negotiated
            && self.payee == other.payee
            && self.reissue == other.reissue
    }
}

#[derive(Debug)]
pub(crate) struct Epoch {
    pub(crate) number: u8,
    pub(crate) values: Values,
}

/// A job's name on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WireJob {
    pub(crate) job: JobId,
    pub(crate) epoch: u8,
}

impl WireJob {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let number: u64 = text.parse().ok()?;
        // A leading zero or sign would be a second name of the same job.
        if number.to_string() != text {
            return None;
        }
        Some(Self { job: JobId(number >> 8), epoch: u8::try_from(number & 0xff).ok()? })
    }

    pub(crate) fn text(self) -> String {
        ((self.job.0 << 8) | u64::from(self.epoch)).to_string()
    }
}

/// An epoch and the jobs that were sent under it: ids ascend, and an epoch is one stretch of them.
#[derive(Clone, Debug)]
struct Stretch {
    epoch: Arc<Epoch>,
    first: JobId,
    last: JobId,
}

impl Stretch {
    fn covers(&self, job: JobId) -> bool {
        (self.first..=self.last).contains(&job)
    }

    /// The first job that it is not about.
    fn after(&self) -> JobId {
        JobId(self.last.0.saturating_add(1))
    }
}

/// The epochs of a session.
#[derive(Clone, Debug, Default)]
pub(crate) struct Epochs {
    kept: VecDeque<Stretch>,
    /// The job sent last.
    last: Option<JobId>,
    /// All before this job that were sent are no longer remembered.
    remembered: JobId,
}

impl Epochs {
    /// Drops the oldest stretch.
    fn drop_oldest(&mut self) {
        if let Some(stretch) = self.kept.pop_front() {
            self.remembered = stretch.after();
        }
    }

    /// The epoch to send a job under, given the session's values now (`values.reissue` is set here). `can_reissue`:
    /// the recipe has the field.
    pub(crate) fn issue(&mut self, job: JobId, mut values: Values, can_reissue: bool) -> Arc<Epoch> {
        let again = self.last == Some(job);
        if let Some(stretch) = self.kept.back_mut() {
            let current = &stretch.epoch;
            values.reissue = match (again, can_reissue) {
                (true, true) => current.values.reissue.saturating_add(1),
                _ => 0,
            };
            let keep =
                current.values == values || (again && !can_reissue && current.values.same_work(&values));
            if keep {
                self.last = Some(job);
                stretch.last = job;
                return Arc::clone(current);
            }
        } else {
            values.reissue = 0;
        }
        let number = self.kept.back().map_or(0, |current| current.epoch.number.wrapping_add(1));
        let epoch = Arc::new(Epoch { number, values });
        if self.kept.len() >= KEPT {
            self.drop_oldest();
        }
        self.kept.push_back(Stretch { epoch: Arc::clone(&epoch), first: job, last: job });
        self.last = Some(job);
        epoch
    }

    /// Forgets what only jobs before `oldest` were sent under, but for the newest: a session of days would keep kilobytes of
    /// what nobody asks for.
    pub(crate) fn forget(&mut self, oldest: Option<JobId>) {
        let Some(oldest) = oldest else { return };
        let before = self.kept.len();
        while self.kept.len() > 1 && self.kept.front().is_some_and(|stretch| stretch.last < oldest) {
            self.drop_oldest();
        }
        if self.kept.len() < before {
            self.kept.shrink_to(2 * self.kept.len());
        }
    }

    /// The epoch that a job was sent under, by its name on the wire. A number that this job was not sent under counts as
    /// the newest that it was; a job from before the end of what is no longer remembered counts as the oldest's that is.
    /// `None` for a job that was never sent.
    pub(crate) fn get(&self, wire: WireJob) -> Option<&Arc<Epoch>> {
        let mut covering = self.kept.iter().rev().filter(|stretch| stretch.covers(wire.job));
        let newest = covering.next();
        let named = newest.into_iter().chain(covering).find(|stretch| stretch.epoch.number == wire.epoch);
        let oldest = || self.kept.front().filter(|_| wire.job < self.remembered);
        Some(&named.or(newest).or_else(oldest)?.epoch)
    }

    /// The newest ones, to keep for a session that may be resumed.
    pub(crate) fn take_newest(&mut self) -> Self {
        while self.kept.len() > PARKED {
            self.drop_oldest();
        }
        std::mem::take(self)
    }

    /// The epoch of the job sent last.
    pub(crate) fn current(&self) -> Option<&Arc<Epoch>> {
        self.kept.back().map(|stretch| &stretch.epoch)
    }

    /// The job sent last.
    pub(crate) fn last_job(&self) -> Option<JobId> {
        self.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(difficulty: f64) -> Values {
        Values {
            difficulty,
            target: Target::MAX,
            prefix: Arc::from([1, 2].as_slice()),
            negotiated: Arc::default(),
            payee: None,
            reissue: 0,
        }
    }

    #[test]
    fn a_job_has_one_name_on_the_wire() {
        let wire = WireJob { job: JobId(77), epoch: 3 };
        assert_eq!(WireJob::parse(&wire.text()), Some(wire));
        for bad in ["", "x", "+19715", "019715", " 19715", "-1", "99999999999999999999999"] {
            assert_eq!(WireJob::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_new_difficulty_begins_with_the_next_job() {
        let mut epochs = Epochs::default();
        let first = epochs.issue(JobId(1), values(1.0), true);
        let same = epochs.issue(JobId(2), values(1.0), true);
        assert_eq!(first.number, same.number);
        let harder = epochs.issue(JobId(3), values(2.0), true);
        assert_ne!(first.number, harder.number);
        let named = |job, epoch| epochs.get(WireJob { job: JobId(job), epoch }).unwrap().values.difficulty;
        assert_eq!(named(2, first.number), 1.0);
        assert_eq!(named(3, first.number), 2.0, "job 3 was never sent under the old difficulty");
        assert_eq!(named(2, harder.number), 1.0, "nor job 2 under the new one");
        assert!(epochs.get(WireJob { job: JobId(4), epoch: harder.number }).is_none());
    }

    #[test]
    fn a_job_sent_again_is_other_work_where_the_recipe_can_and_the_same_name_where_not() {
        let mut epochs = Epochs::default();
        let first = epochs.issue(JobId(1), values(1.0), true);
        let again = epochs.issue(JobId(1), values(2.0), true);
        assert_eq!((again.number, again.values.reissue), (1, 1));
        assert_eq!(epochs.issue(JobId(2), values(2.0), true).values.reissue, 0);
        let mut epochs = Epochs::default();
        let before = epochs.issue(JobId(1), values(1.0), false);
        let after = epochs.issue(JobId(1), values(2.0), false);
        assert_eq!((before.number, after.values.difficulty), (after.number, 1.0));
        assert_eq!(epochs.issue(JobId(2), values(2.0), false).values.difficulty, 2.0);
        assert_eq!(first.values.reissue, 0);
    }

    #[test]
    fn what_no_job_that_is_kept_was_sent_under_is_forgotten() {
        let mut epochs = Epochs::default();
        for job in 0..40 {
            epochs.issue(JobId(job), values(job as f64 + 1.0), true);
        }
        epochs.forget(None);
        assert_eq!(epochs.kept.len(), 40);
        epochs.forget(Some(JobId(30)));
        assert_eq!(epochs.kept.len(), 10);
        let named = |epochs: &Epochs, job| {
            epochs.get(WireJob { job: JobId(job), epoch: job as u8 }).unwrap().values.difficulty
        };
        assert_eq!((named(&epochs, 30), named(&epochs, 39)), (31.0, 40.0));
        epochs.forget(Some(JobId(1000)));
        assert_eq!((epochs.kept.len(), named(&epochs, 39)), (1, 40.0), "the newest stays");
    }

    #[test]
    fn a_job_that_was_never_sent_is_not_taken_for_a_forgotten_one() {
        let mut epochs = Epochs::default();
        for job in (1..=5).chain(30..=40) {
            epochs.issue(JobId(job), values(if job < 10 { 1.0 } else { 2.0 }), true);
        }
        epochs.forget(Some(JobId(10)));
        assert_eq!(epochs.kept.len(), 1);
        let named = |job| epochs.get(WireJob { job: JobId(job), epoch: 0 });
        assert!(named(20).is_none(), "the table has it, and this session never had");
        assert!(named(5).is_some() && named(30).is_some());
    }

    #[test]
    fn forgotten_epochs_fall_back_to_the_oldest() {
        let mut epochs = Epochs::default();
        for job in 0..1000 {
            epochs.issue(JobId(job), values(job as f64 + 1.0), true);
        }
        assert_eq!(epochs.kept.len(), KEPT);
        let oldest = epochs.get(WireJob { job: JobId(0), epoch: 0 }).unwrap();
        assert_eq!(oldest.values.difficulty, 1000.0 - KEPT as f64 + 1.0);
        assert!(epochs.current().is_some());
    }
}
