//! A log of plain records: what is appended is what is stored.

use crate::{Commit, GroupBuilder, GroupLog, LogError, MAX_PAYLOAD, Opened, Options, Owner, RESERVED_KINDS};
use crate::{Forecast, RecordRef, SegmentInfo, View};
use millpond_disk::Disk;
use std::path::Path;
use std::sync::Arc;

/// The owner of a [`Log`].
#[derive(Debug, Default)]
pub struct Plain;

impl Owner for Plain {
    type Item = Vec<(u16, Vec<u8>)>;
    type Receipt = u64;

    fn weight(item: &Self::Item) -> usize {
        item.iter().map(|(_, payload)| payload.len() + 16).sum()
    }

    fn encode(&mut self, items: Vec<Self::Item>, group: &mut GroupBuilder) -> Vec<u64> {
        items
            .into_iter()
            .map(|records| {
                let indexes: Vec<u64> =
                    records.iter().map(|(kind, payload)| group.push(*kind, payload)).collect();
                indexes.first().copied().unwrap_or(0)
            })
            .collect()
    }

    fn synced(&mut self) {}

    fn summary(&mut self) -> Vec<u8> {
        Vec::new()
    }

    fn sealed(&mut self, _: &SegmentInfo, _: &[u8]) -> Result<(), String> {
        Ok(())
    }

    fn preamble(&mut self, _: &mut GroupBuilder) {}

    fn recover(&mut self, _: RecordRef<'_>) -> Result<(), String> {
        Ok(())
    }
}

/// A log of plain records, numbered from 1 without gaps.
#[derive(Debug)]
pub struct Log {
    log: GroupLog<Plain>,
}

impl Log {
    /// Opens the log in a folder, which is created when missing, and locks it against other processes.
    ///
    /// # Errors
    /// When somebody else has it open, the disk fails, or anything but a torn tail does not check.
    pub fn open(disk: Arc<dyn Disk>, dir: &Path, options: Options) -> Result<(Self, Opened), LogError> {
        let (log, opened) = GroupLog::open(disk, dir, options, Plain)?;
        Ok((Self { log }, opened))
    }

    /// Appends records that become durable together, in one group: all of them survive a power cut or none. Resolves
    /// to the index of the first one, 0 when there were none.
    pub fn append(&self, records: Vec<(u16, Vec<u8>)>) -> Commit<u64> {
        match checked(&records) {
            Ok(()) => self.log.append(records),
            Err(error) => Commit::ready(Err(error)),
        }
    }

    /// The same, as a group of its own before all that waits, and not refused by a full queue.
    pub fn append_urgent(&self, records: Vec<(u16, Vec<u8>)>) -> Commit<u64> {
        match checked(&records) {
            Ok(()) => self.log.append_urgent(records),
            Err(error) => Commit::ready(Err(error)),
        }
    }

    /// What is durable now: iterate, verify.
    #[must_use]
    pub fn view(&self) -> View {
        self.log.view()
    }

    /// See [`GroupLog::drop_before`].
    pub fn drop_before(&self, index: u64) -> Commit<u64> {
        self.log.drop_before(index)
    }

    /// See [`GroupLog::roll`].
    pub fn roll(&self) -> Commit<u64> {
        self.log.roll()
    }

    /// See [`GroupLog::poisoned`].
    #[must_use]
    pub fn poisoned(&self) -> Option<Arc<str>> {
        self.log.poisoned()
    }

    /// See [`GroupLog::forecast`].
    ///
    /// # Errors
    /// When the disk cannot be asked.
    pub fn forecast(&self) -> Result<Forecast, LogError> {
        self.log.forecast()
    }
}

fn checked(records: &[(u16, Vec<u8>)]) -> Result<(), LogError> {
    let bad = records.iter().find(|(kind, payload)| payload.len() > MAX_PAYLOAD || *kind >= RESERVED_KINDS);
    match bad {
        None => Ok(()),
        Some((_, payload)) => Err(LogError::TooLarge { bytes: payload.len(), limit: MAX_PAYLOAD }),
    }
}
