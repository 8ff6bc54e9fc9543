//! The work of the running round, from the journal's running sum: the pages show it, and must not walk the journal for it.

use millpond_journal::Progress;
use millpond_types::ShareSeq;
use parking_lot::Mutex;

/// The round that was looked at last.
#[derive(Clone, Copy, Debug)]
struct Begun {
    /// The share before it.
    after: ShareSeq,
    /// Its units when it was looked at, and the running sum then.
    units: u128,
    sum: u128,
}

/// What is known of the running round.
#[derive(Debug, Default)]
pub(crate) struct Round(Mutex<Option<Begun>>);

impl Round {
    /// The units of the round that began after a share; 2^64 is what the network takes for a block. `progress` is the
    /// journal's. `walk` adds the units up from the journal, where this process has not seen the round begin: once a round
    /// at most.
    pub(crate) fn units<E>(
        &self,
        after: ShareSeq,
        progress: impl Fn(ShareSeq) -> Progress,
        walk: impl FnOnce() -> Result<u128, E>,
    ) -> Result<u128, E> {
        let now = progress(after);
        if let Some(known) = *self.0.lock()
            && known.after == after
        {
            return Ok(known.units.saturating_add(now.units.saturating_sub(known.sum)));
        }
        if let Some(sum) = now.then {
            *self.0.lock() = Some(Begun { after, units: 0, sum });
            return Ok(now.units.saturating_sub(sum));
        }
        // Shares that come while it walks are counted by one of the two, or both: a figure to look at.
        let units = walk()?;
        *self.0.lock() = Some(Begun { after, units, sum: now.units });
        Ok(units)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn never() -> Result<u128, String> {
        Err("the journal was walked".to_owned())
    }

    #[test]
    fn a_rounds_work_is_a_running_sum_and_the_journal_is_walked_once() {
        let round = Round::default();
        // What a journal of these units has seen, with a block at share 2 when they were 12.
        let seen = |units| {
            move |at: ShareSeq| Progress { units, then: (at == ShareSeq(2) && units >= 12).then_some(12) }
        };
        assert_eq!(round.units(ShareSeq(0), seen(0), || Ok::<_, String>(40)), Ok(40));
        assert_eq!(round.units(ShareSeq(0), seen(13), never), Ok(53));
        assert_eq!(round.units(ShareSeq(2), seen(13), never), Ok(1), "the next round began behind the block");
        assert_eq!(round.units(ShareSeq(2), seen(15), never), Ok(3));
        assert!(round.units(ShareSeq(3), seen(15), never).is_err(), "nobody saw a round end there");
    }
}
