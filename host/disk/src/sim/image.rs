//! The two images of a file and of a folder's names, and what a cut leaves of them.

use super::Keep;
use crate::SECTOR;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// One file: what is read, what is surely kept, and which sectors differ.
#[derive(Debug, Default)]
pub(super) struct Image {
    volatile: Vec<u8>,
    durable: Vec<u8>,
    /// Sectors written since the last sync.
    dirty: BTreeSet<usize>,
    /// Sectors whose write-back failed: readable, never durable, unless they are written again.
    lost: BTreeSet<usize>,
}

fn sector_of(bytes: &[u8], sector: usize) -> &[u8] {
    let start = (sector * SECTOR).min(bytes.len());
    let end = (start + SECTOR).min(bytes.len());
    bytes.get(start..end).unwrap_or_default()
}

fn put(image: &mut [u8], sector: usize, bytes: &[u8]) {
    let start = sector * SECTOR;
    for (index, byte) in bytes.iter().enumerate() {
        if let Some(place) = image.get_mut(start + index) {
            *place = *byte;
        }
    }
}

impl Image {
    pub(super) fn len(&self) -> u64 {
        self.volatile.len() as u64
    }

    pub(super) fn append(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let first = self.volatile.len() / SECTOR;
        self.volatile.extend_from_slice(bytes);
        let last = (self.volatile.len() - 1) / SECTOR;
        self.dirty.extend(first..=last);
        // A sector that is written again goes out whole with the next sync.
        self.lost.retain(|sector| *sector < first);
    }

    pub(super) fn read_at(&self, offset: u64, buffer: &mut [u8]) -> usize {
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(self.volatile.len());
        let rest = self.volatile.get(start..).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        if let (Some(to), Some(from)) = (buffer.get_mut(..count), rest.get(..count)) {
            to.copy_from_slice(from);
        }
        count
    }

    pub(super) fn truncate(&mut self, len: u64) {
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        if len < self.volatile.len() {
            self.volatile.truncate(len);
            self.dirty.insert(len / SECTOR);
        }
    }

    pub(super) fn sync(&mut self) {
        self.durable.resize(self.volatile.len(), 0);
        for sector in std::mem::take(&mut self.dirty) {
            if !self.lost.contains(&sector) {
                put(&mut self.durable, sector, sector_of(&self.volatile, sector));
            }
        }
    }

    pub(super) fn lose_unsynced(&mut self) {
        self.lost.append(&mut self.dirty);
    }

    pub(super) fn flip_bit(&mut self, offset: u64, bit: u8) -> bool {
        let Ok(offset) = usize::try_from(offset) else { return false };
        let mask = 1_u8 << (bit % 8);
        let mut flipped = false;
        for image in [&mut self.volatile, &mut self.durable] {
            if let Some(byte) = image.get_mut(offset) {
                *byte ^= mask;
                flipped = true;
            }
        }
        flipped
    }

    /// Turns both images into one that a drive could hold after the power failed.
    pub(super) fn cut(&mut self, random: &mut Random, keep: Keep) {
        let survived = match keep {
            Keep::Nothing => std::mem::take(&mut self.durable),
            Keep::Everything => std::mem::take(&mut self.volatile),
            Keep::RandomSubset => self.random_subset(random),
        };
        self.volatile.clone_from(&survived);
        self.durable = survived;
        self.dirty.clear();
        self.lost.clear();
    }

    fn random_subset(&self, random: &mut Random) -> Vec<u8> {
        let (short, long) = {
            let (a, b) = (self.volatile.len(), self.durable.len());
            (a.min(b), a.max(b))
        };
        let len = match random.below(4) {
            0 => self.durable.len(),
            1 => short + random.below(long - short + 1),
            _ => self.volatile.len(),
        };
        let mut survived = self.durable.clone();
        survived.resize(long, 0);
        // 0: no sector, 4: every sector, between: some.
        let bias = random.below(5);
        for sector in self.dirty.difference(&self.lost) {
            let new = sector_of(&self.volatile, *sector);
            if random.below(4) < bias {
                // One in 16 by half: drives promise whole sectors, but not all keep their word.
                let kept = if random.below(16) == 0 { random.below(new.len() + 1) } else { new.len() };
                put(&mut survived, *sector, new.get(..kept).unwrap_or_default());
            }
        }
        survived.truncate(len);
        survived
    }
}

/// What a name stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    File(u64),
    Dir,
}

impl Entry {
    pub(super) fn file(&self) -> Option<u64> {
        match self {
            Self::File(id) => Some(*id),
            Self::Dir => None,
        }
    }
}

/// One atomic change of names.
#[derive(Clone, Debug)]
pub(super) struct NameChange {
    remove: Option<PathBuf>,
    add: Option<(PathBuf, Entry)>,
}

impl NameChange {
    pub(super) fn link(path: &Path, entry: Entry) -> Self {
        Self { remove: None, add: Some((path.to_owned(), entry)) }
    }

    pub(super) fn unlink(path: &Path) -> Self {
        Self { remove: Some(path.to_owned()), add: None }
    }

    pub(super) fn rename(from: &Path, to: &Path, entry: Entry) -> Self {
        Self { remove: Some(from.to_owned()), add: Some((to.to_owned(), entry)) }
    }

    pub(super) fn apply(&self, names: &mut BTreeMap<PathBuf, Entry>) {
        if let Some(path) = &self.remove {
            names.remove(path);
        }
        if let Some((path, entry)) = &self.add {
            names.insert(path.clone(), entry.clone());
        }
    }

    pub(super) fn touches(&self, dir: &Path) -> bool {
        let paths = self.remove.iter().chain(self.add.iter().map(|(path, _)| path));
        paths.into_iter().any(|path| super::folder(path) == dir)
    }
}

/// SplitMix64: a cut is repeatable by its seed.
#[derive(Debug)]
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`, which is small here, so the bias of the remainder does not matter; 0 for bound 0.
    pub(super) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() >> 1).unwrap_or(0).checked_rem(bound).unwrap_or(0)
    }
}
