//! Files that a disk may have spoiled: segments of logs, and records of the journal.

use crate::input::Input;
use millpond_disk::{Disk, SimDisk};
use millpond_journal::Record;
use millpond_segments::{Log, Options, View};
use millpond_types::UnixMillis;
use std::path::Path;
use std::sync::{Arc, LazyLock};

const FORMAT: &str = "fuzz";
const FOLDER: &str = "/log";
const FILE: &str = "/log/00000000000000000001.seg";

/// The same bytes at every time.
fn options() -> Options {
    Options { clock: || UnixMillis(1_700_000_000_000), ..Options::new(FORMAT) }
}

/// A file of six records in three groups.
static SOUND: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let disk: Arc<dyn Disk> = Arc::new(SimDisk::new());
    let Ok((log, _)) = Log::open(Arc::clone(&disk), Path::new(FOLDER), options()) else { return Vec::new() };
    for group in 0..3_u16 {
        let _ = log.append(records(group)).wait();
    }
    drop(log);
    millpond_disk::read_file(disk.as_ref(), Path::new(FILE)).unwrap_or_default()
});

fn records(group: u16) -> Vec<(u16, Vec<u8>)> {
    (0..2_u16).map(|n| (group * 2 + n, vec![group as u8; usize::from(group * 7 + n)])).collect()
}

/// A segment file of any bytes, or a sound one with changes: what is read from it is what was written, from its first
/// record on, or an error.
pub fn segments(data: &[u8]) {
    let mut input = Input(data);
    let (kind, sound) = (input.byte(), SOUND.clone());
    let mut file = sound;
    if kind & 3 == 0 {
        input.0.clone_into(&mut file);
    }
    if kind & 3 != 0 {
        if kind & 4 != 0 {
            file.truncate(usize::from(input.word()) % (file.len() + 1));
        }
        while !input.is_empty() {
            let (at, byte) = (usize::from(input.word()), input.byte());
            let at = at % (file.len() + 1);
            match file.get_mut(at) {
                Some(place) => *place = byte,
                None => file.push(byte),
            }
        }
        if kind & 3 == 3 {
            checksum_again(&mut file);
        }
    }
    let disk: Arc<dyn Disk> = Arc::new(SimDisk::new());
    if place(disk.as_ref(), &file).is_none() {
        return;
    }
    // Where the writer removes a torn file, there is nothing for a reader to open.
    let seen =
        View::open(Arc::clone(&disk), Path::new(FOLDER), FORMAT).ok().map(|view| read(&view, kind & 3 != 0));
    let _ = Log::open(Arc::clone(&disk), Path::new(FOLDER), options()).map(|(log, _)| {
        let kept = read(&log.view(), kind & 3 != 0);
        assert!(seen.is_none_or(|seen| seen == kept), "reader and writer disagree on what is there");
    });
}

fn place(disk: &dyn Disk, file: &[u8]) -> Option<()> {
    disk.make_dir(Path::new(FOLDER)).ok()?;
    let made = disk.create(Path::new(FILE)).ok()?;
    made.append(file).ok()?;
    made.sync().ok()?;
    disk.sync_dir(Path::new(FOLDER)).ok()
}

/// The records that can be read before an error. Of a file that was sound they are the first of those written.
fn read(view: &View, was_sound: bool) -> usize {
    let _ = view.verify();
    let written: Vec<_> = (0..3).flat_map(records).collect();
    let read: Vec<_> =
        view.iter(0).map_while(Result::ok).map(|record| (record.kind, record.payload)).collect();
    if was_sound {
        assert!(written.starts_with(&read), "records that nobody wrote");
    }
    read.len()
}

/// Gives every frame the checksum of what it has become, so that more than the checksum is tried.
fn checksum_again(file: &mut [u8]) {
    const HEADER: usize = 10;
    // The file's own header is left as it is: its length follows from the first frame that checks.
    let mut at = first_frame(file);
    while let Some(length) =
        file.get(at..at + 4).and_then(|head| head.try_into().ok()).map(u32::from_le_bytes)
    {
        let end = at.saturating_add(HEADER).saturating_add(length as usize);
        let Some(frame) = file.get_mut(at..end) else { return };
        let (head, payload) = frame.split_at_mut(HEADER);
        let crc = crc32c::crc32c_append(crc32c::crc32c(head.get(..6).unwrap_or_default()), payload);
        if let Some(place) = head.get_mut(6..) {
            place.copy_from_slice(&crc.to_le_bytes());
        }
        at = end;
    }
}

/// Where frames begin in the sound file.
fn first_frame(file: &[u8]) -> usize {
    static AT: LazyLock<usize> = LazyLock::new(|| {
        let sums = |at: &usize| {
            let frame = SOUND.get(*at..)?;
            let length = u32::from_le_bytes(frame.get(..4)?.try_into().ok()?) as usize;
            let crc = u32::from_le_bytes(frame.get(6..10)?.try_into().ok()?);
            let found = crc32c::crc32c_append(crc32c::crc32c(frame.get(..6)?), frame.get(10..10 + length)?);
            (found == crc).then_some(())
        };
        (1..SOUND.len()).find(|at| sums(at).is_some()).unwrap_or(SOUND.len())
    });
    (*AT).min(file.len())
}

/// A record of the journal of any kind and bytes: what can be read is written the same again.
pub fn journal(data: &[u8]) {
    let mut input = Input(data);
    let kind = u16::from(input.byte());
    if let Ok(record) = Record::decode(kind, input.0) {
        assert_eq!(record.kind(), kind);
        assert_eq!(record.encode(), input.0, "one record has two encodings");
    }
}
