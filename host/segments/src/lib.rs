//! Append-only, checksummed, BLAKE3-chained segment files with group commit.
//!
//! [`Log`] stores records (a kind and bytes) and says when they are durable; [`GroupLog`] is the same for an
//! [`Owner`] that turns what was queued into records at the moment of commit (the journal packs shares in columns).
//! This crate knows nothing of what the bytes mean, and it never rewrites a byte that it acknowledged.
//!
//! # Files
//! A log is a folder of files `00000000000000000001.seg`, named by the index of their first record. A file is
//! a header (magic, version, format name, first index, time, chain hash of the file before, CRC) and then groups.
//! All numbers are little-endian.
//!
//! ```text
//! frame  = length:u32 kind:u16 crc32c:u32 payload            crc over length, kind and payload
//! group  = record frames, one chain frame
//! chain  = group_start:u64 next_index:u64 blake3:32           hash over the chain before, the frames and both numbers
//! ```
//!
//! The chain of a file starts with the hash of its header, which holds the last chain of the file before. The first
//! group of a file holds what the owner carries over; a sealed file ends with a group that holds only a footer: the
//! owner's summary, the latest checkpoint and marks. Kinds from 0xff00 belong to this crate.
//!
//! A mark is a place between two groups, about one every MiB, with the chain up to there: what lies between two marks
//! can be read and checked without the rest ([`View::read_range`]). Marks are derived from the groups. Those of the file that
//! is written to are kept in memory, and a file without any has a footer of version 1, as all had before there were marks.
//!
//! # Promises
//! - [`Commit`] resolves after `fdatasync` of the group; a group is written only after the one before was synced.
//! - After a failed write or sync the log is poisoned: every append fails until the log is opened again.
//! - At open a torn tail is truncated: only in the last file, only after its last complete group, and only when no
//!   later group follows. Anything else that does not check is [`LogError::Corrupt`] with segment and offset.
//! - A full queue refuses at once with [`LogError::Busy`] and has written nothing. What is urgent
//!   ([`GroupLog::append_urgent`]) is never refused for that, and gets a group of its own before all that waits.

mod commit;
mod error;
mod forecast;
mod format;
mod log;
mod open;
mod plain;
mod scan;
mod view;
mod writer;

pub use commit::{Commit, Resolver};
pub use error::LogError;
pub use forecast::Forecast;
pub use format::{Chain, MAX_PAYLOAD, RESERVED_KINDS};
pub use log::{GroupLog, Opened, Options, Owner, Truncated};
pub use plain::{Log, Plain};
pub use scan::GroupBuilder;
pub use view::{Iter, Marks, Record, RecordRef, SegmentInfo, Verified, View};
