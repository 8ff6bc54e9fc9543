//! A pool's shares without who sent them: for research, and in the form that `millpond plugin run --shares` reads.
//!
//! Miners are numbers in an order that is drawn for each export and kept nowhere. Workers, jobs, hashes and addresses are
//! left out; times and coordinates begin at zero. That makes the log pseudonymous, not anonymous: who knows when the pool
//! found its blocks, or how much somebody was paid, can find both in it.

use millpond_journal::{JournalError, JournalView, Record, Share};
use millpond_segments::LogError;
use millpond_types::{Digest, MinerId, ShareSeq};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};

/// The head line.
const COLUMNS: &str = "miner,work,network,time_ms,coord,reward,block";

/// The log was not written whole.
#[derive(Debug, thiserror::Error)]
pub enum ShareLogError {
    /// The journal.
    #[error("the journal: {0}")]
    Journal(#[from] JournalError),
    /// Where it is written to.
    #[error("writing the log: {0}")]
    Write(#[from] io::Error),
}

impl From<LogError> for ShareLogError {
    fn from(why: LogError) -> Self {
        Self::Journal(why.into())
    }
}

/// Writes all shares behind `since` as CSV and gives their number. `key` decides who is which number: take a new one from
/// the system for each export. Rewards are rounded down to `digits` significant ones, 0 for as they are; they tell blocks
/// apart otherwise.
///
/// # Errors
/// When the journal is damaged or the log cannot be written.
pub fn export(
    view: &JournalView,
    since: ShareSeq,
    key: &[u8; 32],
    digits: u32,
    out: &mut dyn Write,
) -> Result<u64, ShareLogError> {
    let (names, blocks) = seen(view, since, key)?;
    writeln!(out, "{COLUMNS}")?;
    let mut first: Option<Share> = None;
    let (mut count, mut latest) = (0_u64, 0);
    view.shares(ShareSeq(since.0.saturating_add(1)), |seq, share| -> Result<(), ShareLogError> {
        let zero = first.get_or_insert(*share);
        // A clock that was set back would tell more than the order does.
        latest = share.time.since(zero.time).max(latest);
        writeln!(
            out,
            "{},{},{},{},{},{},{}",
            names.get(&share.miner).copied().unwrap_or(0),
            share.work.0,
            share.network_work,
            latest / 1000 * 1000,
            share.coord.saturating_sub(zero.coord),
            rounded(share.reward.0, digits),
            u8::from(blocks.contains(&seq)),
        )?;
        count = count.saturating_add(1);
        Ok(())
    })?;
    out.flush()?;
    Ok(count)
}

/// Numbers of all miners with shares behind `since`, in an order that the key decides, and shares that found blocks.
fn seen(
    view: &JournalView,
    since: ShareSeq,
    key: &[u8; 32],
) -> Result<(BTreeMap<MinerId, u64>, BTreeSet<ShareSeq>), JournalError> {
    let mut miners = BTreeSet::new();
    view.shares(ShareSeq(since.0.saturating_add(1)), |_, share| -> Result<(), JournalError> {
        miners.insert(share.miner);
        Ok(())
    })?;
    let mut blocks = BTreeSet::new();
    for entry in view.records(1) {
        if let Record::Solution(solution) = entry?.record {
            blocks.extend(solution.share);
        }
    }
    let place = |miner: &MinerId| Digest::of(&[key.as_slice(), &miner.0.to_le_bytes()].concat());
    let mut order: Vec<_> = miners.into_iter().map(|miner| (place(&miner), miner)).collect();
    order.sort_unstable();
    Ok((order.into_iter().zip(1..).map(|((_, miner), number)| (miner, number)).collect(), blocks))
}

fn rounded(amount: u64, digits: u32) -> u64 {
    let places = amount.checked_ilog10().map_or(0, |log| log.saturating_add(1));
    let unit = match digits {
        0 => 1,
        digits => 10_u64.checked_pow(places.saturating_sub(digits)).unwrap_or(1),
    };
    amount.checked_div(unit).unwrap_or(0).saturating_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::rounded;

    #[test]
    fn rewards_keep_the_digits_that_are_wanted() {
        assert_eq!(rounded(312_509_341, 4), 312_500_000);
        assert_eq!(rounded(312_509_341, 0), 312_509_341);
        assert_eq!([rounded(0, 4), rounded(7, 4), rounded(u64::MAX, 1)], [0, 7, 10_000_000_000_000_000_000]);
    }
}
