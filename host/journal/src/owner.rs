//! Packs what is queued into records, on the log's writer thread.

use crate::carry::PART;
use crate::records::Solution;
use crate::state::State;
use crate::summary::{self, SegmentShares};
use crate::tally::Tally;
use crate::{Record, Share, ShareBlock};
use millpond_segments::{GroupBuilder, LogError, Owner, RecordRef, Resolver, SegmentInfo};
use millpond_types::ShareSeq;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What is durable, for everybody to see.
#[derive(Debug, Default)]
pub(crate) struct Published {
    pub state: Mutex<State>,
    /// Totals of the sealed segments, by first index, ascending.
    pub totals: Mutex<Arc<Vec<(u64, SegmentShares)>>>,
    pub progress: Mutex<Running>,
    /// Of the segment that is written to. Changes with the state and under its lock.
    pub tally: Mutex<Tally>,
}

/// Ends of rounds that are remembered: blocks whose income is not reported yet.
const MARKS: usize = 1_024;

/// What was recorded since the journal was opened, added up group by group.
#[derive(Debug, Default)]
pub(crate) struct Running {
    /// Units of all shares.
    pub units: u128,
    /// The units at each block's share: where a round may end.
    pub marks: BTreeMap<ShareSeq, u128>,
}

impl Running {
    fn mark(&mut self, end: ShareSeq) {
        self.marks.insert(end, self.units);
        if self.marks.len() > MARKS {
            self.marks.pop_first();
        }
    }
}

/// What is queued.
#[derive(Debug)]
pub(crate) enum Item {
    Share(Share),
    /// A solution and its share, when that earns credit: always alone in a group.
    /// The resolver is for whoever waits until it is written, synced or not.
    Solution(Box<Solution>, Option<Share>, Resolver<()>),
    /// A record with its bytes, and the receipt if it is not to be the record's position.
    Record(Box<Record>, Vec<u8>, Option<u64>),
    /// Nothing: resolves with this receipt when everything queued before is durable.
    Barrier(u64),
}

#[derive(Debug, Default)]
pub(crate) struct Packer {
    published: Arc<Published>,
    next_share: u64,
    /// Encoded, not yet durable.
    pending: Vec<(u64, Record)>,
    /// Whoever waits until the group is written.
    written: Vec<Resolver<()>>,
}

impl Packer {
    pub(crate) fn new(published: Arc<Published>) -> Self {
        Self { published, next_share: 1, pending: Vec::new(), written: Vec::new() }
    }

    fn push(&mut self, group: &mut GroupBuilder, record: Record, bytes: &[u8]) -> u64 {
        let position = group.push(record.kind(), bytes);
        self.pending.push((position, record));
        position
    }

    fn push_shares(&mut self, group: &mut GroupBuilder, shares: Vec<Share>) {
        if shares.is_empty() {
            return;
        }
        let first = ShareSeq(self.next_share);
        self.next_share += shares.len() as u64;
        let record = Record::Shares(ShareBlock { first, shares });
        let bytes = record.encode();
        self.push(group, record, &bytes);
    }
}

impl Owner for Packer {
    type Item = Item;
    type Receipt = u64;

    fn weight(item: &Item) -> usize {
        match item {
            Item::Share(_) => 40,
            Item::Solution(solution, ..) => solution_size(solution),
            Item::Record(_, bytes, _) => bytes.len() + 10,
            Item::Barrier(_) => 0,
        }
    }

    /// Records come first, in order, then the group's shares as one block: what a share refers to stands before it.
    fn encode(&mut self, items: Vec<Item>, group: &mut GroupBuilder) -> Vec<u64> {
        let mut shares = Vec::new();
        let mut receipts = Vec::with_capacity(items.len());
        for item in items {
            receipts.push(match item {
                Item::Share(share) => {
                    shares.push(share);
                    self.next_share + shares.len() as u64 - 1
                }
                Item::Solution(mut solution, share, written) => {
                    self.written.push(written);
                    self.push_shares(group, std::mem::take(&mut shares));
                    let newest = ShareSeq(self.next_share - 1);
                    solution.share = share.map(|_| ShareSeq(self.next_share));
                    solution.end = solution.share.unwrap_or(newest);
                    self.push_shares(group, share.into_iter().collect());
                    let receipt = solution.share.map_or(0, |seq| seq.0);
                    let record = Record::Solution(*solution);
                    let bytes = record.encode();
                    self.push(group, record, &bytes);
                    receipt
                }
                Item::Record(record, bytes, receipt) => {
                    let position = self.push(group, *record, &bytes);
                    receipt.unwrap_or(position)
                }
                Item::Barrier(receipt) => receipt,
            });
        }
        self.push_shares(group, shares);
        receipts
    }

    fn written(&mut self, whole: bool) {
        for written in self.written.drain(..) {
            written.resolve(if whole { Ok(()) } else { Err(LogError::Closed) });
        }
    }

    fn synced(&mut self) {
        if self.pending.is_empty() {
            return;
        }
        let mut state = self.published.state.lock();
        for (position, record) in self.pending.drain(..) {
            match &record {
                Record::Shares(block) => {
                    let units = self.published.tally.lock().add(position, block);
                    let mut running = self.published.progress.lock();
                    running.units = running.units.saturating_add(units);
                }
                // Its share stands before it.
                Record::Solution(solution) => {
                    if let Some(share) = solution.share {
                        self.published.progress.lock().mark(share);
                    }
                }
                _ => {}
            }
            state.apply(position, &record);
        }
    }

    fn marked(&mut self, next: u64) {
        self.published.tally.lock().mark(next);
    }

    fn summary(&mut self) -> Vec<u8> {
        // Not under the lock: a view waits for that.
        let tally = self.published.tally.lock().clone();
        tally.encode()
    }

    fn sealed(&mut self, segment: &SegmentInfo, footer: &[u8]) -> Result<(), String> {
        let total = summary::decode_total(footer).map_err(|error| error.to_string())?;
        Arc::make_mut(&mut *self.published.totals.lock()).push((segment.first, total));
        *self.published.tally.lock() = Tally::begin(segment.next);
        Ok(())
    }

    fn preamble(&mut self, group: &mut GroupBuilder) {
        let state = self.published.state.lock().clone();
        for record in state.carried(PART) {
            group.push(record.kind(), &record.encode());
        }
    }

    fn recover(&mut self, record: RecordRef<'_>) -> Result<(), String> {
        let decoded = Record::decode(record.kind, record.payload).map_err(|error| error.to_string())?;
        let mut state = self.published.state.lock();
        let mut tally = self.published.tally.lock();
        // The first one of a log whose oldest segments were dropped.
        if tally.segment() != record.segment {
            *tally = Tally::begin(record.segment);
        }
        if let Record::Shares(block) = &decoded {
            if block.first.0 != state.next_share {
                return Err(format!("shares begin at {} where {} was due", block.first, state.next_share));
            }
            tally.add(record.index, block);
        }
        state.apply(record.index, &decoded);
        self.next_share = state.next_share;
        Ok(())
    }
}

/// About how many bytes a solution takes.
pub(crate) fn solution_size(solution: &Solution) -> usize {
    let lists = solution.fields.iter().chain(&solution.results).chain(&solution.private);
    200 + solution.block.len() + lists.map(|bytes| bytes.len() + 4).sum::<usize>()
}
