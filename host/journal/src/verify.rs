//! Holding what is kept against itself: the chain, the numbers of shares, and what footers say of them.

use crate::JournalError;
use crate::records::Record;
use crate::tally::Tally;
use crate::view::{JournalView, decode, refuse_footer};
use millpond_segments::{LogError, Verified};

impl JournalView {
    /// Walks the chain over everything that is kept, decodes every record, and holds footers against the shares.
    ///
    /// # Errors
    /// At the first place that does not check.
    pub fn verify(&self) -> Result<Verified, JournalError> {
        let verified = self.log.verify()?;
        // Where dropping was cut short the first shares that are left are older than it says.
        let mut due = (self.dropped.last.0 == 0).then_some(1);
        for segment in self.log.segments() {
            let sealed = segment.sealed.is_some();
            let (footer, marks) = if sealed { self.log.footer(segment)? } else { Default::default() };
            let mut tally = Tally::begin(segment.first);
            self.log.read(segment, |record| -> Result<(), LogError> {
                if marks.is_before(record.index) {
                    tally.mark(record.index);
                }
                let Record::Shares(block) = decode(record)?.record else { return Ok(()) };
                if let Some(due) = due.filter(|due| *due != block.first.0) {
                    return Err(record.refuse(format!("shares begin at {} where {due} was due", block.first)));
                }
                due = block.first.0.checked_add(block.shares.len() as u64);
                tally.add(record.index, &block);
                Ok(())
            })?;
            if sealed && !tally.is_told_by(&footer).map_err(|error| refuse_footer(segment, error))? {
                return Err(
                    refuse_footer(segment, "the footer does not say what the shares add up to").into()
                );
            }
        }
        Ok(verified)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::WindowEnd;
    use crate::summary;
    use crate::{Edge, FORMAT, Measure, MinerShares, Share, ShareBlock, Span, Window, WorkerId};
    use millpond_disk::SimDisk;
    use millpond_segments::{GroupBuilder, GroupLog, Options, Owner, RecordRef, SegmentInfo};
    use millpond_types::{Amount, JobId, MinerId, ShareSeq, UnixMillis, Work};
    use std::path::Path;
    use std::sync::Arc;
    use std::time::Duration;

    /// What a forger's footer says of his shares.
    type Forge = fn(&Tally) -> Vec<u8>;

    /// Records the shares of these miners, one in each group, and seals them with a footer of its own.
    struct Forger(Tally, Forge);

    fn block(miner: u64) -> ShareBlock {
        let share = Share {
            miner: MinerId(miner),
            worker: WorkerId(1),
            job: JobId(1),
            coord: 7,
            network_work: 100,
            reward: Amount(1),
            subsidy: None,
            work: Work(10 + miner),
            time: UnixMillis(miner),
            id: [0; 32],
        };
        ShareBlock { first: ShareSeq(miner), shares: vec![share] }
    }

    impl Owner for Forger {
        type Item = u64;
        type Receipt = ();

        fn weight(_: &u64) -> usize {
            40
        }

        fn encode(&mut self, miners: Vec<u64>, group: &mut GroupBuilder) -> Vec<()> {
            for miner in &miners {
                let record = Record::Shares(block(*miner));
                let position = group.push(record.kind(), &record.encode());
                self.0.add(position, &block(*miner));
            }
            vec![(); miners.len()]
        }

        fn synced(&mut self) {}

        fn marked(&mut self, next: u64) {
            self.0.mark(next);
        }

        fn summary(&mut self) -> Vec<u8> {
            (self.1)(&self.0)
        }

        fn sealed(&mut self, segment: &SegmentInfo, _: &[u8]) -> Result<(), String> {
            self.0 = Tally::begin(segment.next);
            Ok(())
        }

        fn preamble(&mut self, _: &mut GroupBuilder) {}

        fn recover(&mut self, _: RecordRef<'_>) -> Result<(), String> {
            Ok(())
        }
    }

    fn forged(forge: Forge) -> JournalView {
        let disk = Arc::new(SimDisk::new());
        let options = Options { mark_bytes: 1, max_wait: Duration::ZERO, ..Options::new(FORMAT) };
        let dir = Path::new("/journal");
        let (log, _) = GroupLog::open(disk.clone(), dir, options, Forger(Tally::begin(1), forge)).unwrap();
        (1..=6).for_each(|miner| log.append(miner).wait().unwrap());
        log.roll().wait().unwrap();
        // Opened where the newest segment says nothing of what was before: windows go by footers.
        let (mut view, _) = JournalView::open(disk, dir).unwrap();
        view.newest = ShareSeq(6);
        view
    }

    /// The segment's rows as one, with what is changed in them.
    fn changed(tally: &Tally, change: fn(&mut Vec<MinerShares>)) -> Vec<u8> {
        let mut rows: Vec<_> = tally.rows().collect();
        change(&mut rows);
        summary::encode(tally.total(), tally.blocks(), rows.into_iter())
    }

    #[test]
    fn a_footer_that_says_what_its_shares_do_not_is_found_by_verify_and_where_it_can_be_by_windows() {
        // By its rows, by its rows without a block, by its blocks, and by one share.
        let of = |forge: Forge| {
            let view = forged(forge);
            let end = WindowEnd { seq: ShareSeq(6), ..WindowEnd::default() };
            let window = |count| {
                let window = Window { span: Span::Shares(count), measure: Measure::Work, edge: Edge::Whole };
                view.window(&window, &end, None).is_err()
            };
            (view.verify().is_err(), [6, 5, 2].map(window))
        };
        assert_eq!(of(Tally::encode), (false, [false; 3]));
        // One work more for a miner, and the totals as they were.
        assert_eq!(of(|tally| changed(tally, |rows| rows[2].work += 1)), (true, [true, true, false]));
        // A miner left out.
        assert_eq!(of(|tally| changed(tally, |rows| _ = rows.pop())), (true, [true, true, false]));
        // Work moved from one miner to another is a sum that nothing but the shares contradicts.
        let moved = |tally: &Tally| {
            changed(tally, |rows| {
                rows[2].work += 1;
                rows[3].work -= 1;
            })
        };
        assert_eq!(of(moved), (true, [false; 3]));
        // A block that has more work, and the next one less: what is read of one does not come to it.
        let blocks = |tally: &Tally| {
            let mut blocks = tally.blocks().to_vec();
            blocks[1].total.work += 1;
            blocks[2].total.work -= 1;
            summary::encode(tally.total(), &blocks, tally.rows())
        };
        assert_eq!(of(blocks), (true, [false, true, false]));
    }
}
