//! Shares that could not be judged through no fault of their miner: an algorithm that an adapter exports traps, a recipe
//! fails, a validator ends. Any of them may be a block, so what they were made of goes into the log, from which
//! `millpond recipe run` can judge them later.
//!
//! The log is bounded: while an algorithm is down every share of the pool comes here.

use crate::limits::Bucket;
use millpond_jobs::Job;
use millpond_recipe::Field;
use parking_lot::Mutex;
use std::time::Instant;

/// Shares written at once,
const BURST: f64 = 1000.0;
/// and so many a second from then on.
const PER_SECOND: f64 = 10.0;
/// A job's constants are written when they have no more bytes than this; Bitcoin's have about 1,000.
const CONSTANTS: usize = 64 * 1024;
/// What the miner reads.
pub(crate) const SAID: &str =
    "the pool could not judge this share: its own fault, not your miner's; the operator is told";

/// What was written last.
#[derive(Debug)]
struct Written {
    bucket: Bucket,
    /// The job whose constants were written last, in the words of the log.
    job: Option<String>,
    /// Shares that were not written since the last that was.
    left_out: u64,
}

/// The log of shares that could not be judged.
#[derive(Debug)]
pub(crate) struct UnjudgedLog(Mutex<Written>);

/// A share as it was when judging failed.
pub(crate) struct Share<'a> {
    pub(crate) job: &'a Job,
    /// Who is paid for it.
    pub(crate) address: &'a str,
    pub(crate) worker: &'a str,
    pub(crate) stale: bool,
    /// The values of the recipe's session fields, as far as they are known.
    pub(crate) session: &'a [Vec<u8>],
    /// The values of the recipe's share fields, in order.
    pub(crate) values: &'a [Vec<u8>],
}

impl Default for UnjudgedLog {
    fn default() -> Self {
        let bucket = Bucket::new(PER_SECOND, BURST, Instant::now());
        Self(Mutex::new(Written { bucket, job: None, left_out: 0 }))
    }
}

impl UnjudgedLog {
    /// Writes a share down, its job's constants before it where they are others than the last time. Whether it was
    /// written: what is more than the log takes is only counted.
    pub(crate) fn write(&self, share: &Share<'_>, error: &str, now: Instant) -> bool {
        let recipe = share.job.stage.recipe();
        let job = share.job.id.to_string();
        let (first, left_out) = {
            let mut written = self.0.lock();
            if !written.bucket.try_take(now) {
                written.left_out = written.left_out.saturating_add(1);
                return false;
            }
            let first = written.job.as_ref() != Some(&job);
            if first {
                written.job = Some(job.clone());
            }
            (first, std::mem::take(&mut written.left_out))
        };
        if left_out > 0 {
            tracing::error!(left_out, "shares could not be judged and were too many for the log");
        }
        if first {
            let consts: Vec<_> = share.job.stage.const_values().collect();
            let bytes: usize = consts.iter().map(|value| value.len()).sum();
            let consts = if bytes > CONSTANTS {
                format!("{bytes} bytes, too many for the log")
            } else {
                named(recipe.consts(), consts)
            };
            tracing::error!(%job, recipe = recipe.name(), %consts, "a job whose shares cannot be judged");
        }
        tracing::error!(
            %job,
            address = share.address,
            worker = share.worker,
            stale = share.stale,
            session = %named(recipe.session_fields(), share.session),
            share = %named(recipe.share_fields(), share.values),
            error,
            "a share could not be judged: it may be a block"
        );
        true
    }
}

/// `name = "hex"` of each field, as a file of vectors takes them.
fn named<V: AsRef<[u8]>>(fields: &[Field], values: impl IntoIterator<Item = V>) -> String {
    let each = fields.iter().zip(values);
    let each: Vec<_> =
        each.map(|(field, value)| format!("{} = \"{}\"", field.name, hex::encode(value))).collect();
    each.join(", ")
}
