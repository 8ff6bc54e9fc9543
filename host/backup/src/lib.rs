//! Hot backups of a data folder, restore, drill, and the schedule that makes them.
//!
//! A backup is a folder `<to>/<UTC time>/` with the same shape as the data folder and a `manifest.json` beside it.
//! It counts from the moment its manifest is there, which is written last: after every file was synced and the copy
//! was opened and verified as a whole. What has no manifest, or one that does not check, is not a backup, whatever
//! else is in the folder.
//!
//! # The order of the cut
//! The pool runs on while it is copied. Journal and ledger are append-only, so a cut is two ends of files, noted at
//! once and copied afterwards. What matters is which end is noted first:
//!
//! 1. **state files** (the adapter's state): an adapter that remembers too little tells an event again, and
//!    the journal knows it by its key. One that remembers more than the journal would leave an income out for ever.
//! 2. **the ledger**: each entry follows from a journal record that was durable before it. With the ledger noted
//!    first, the copy of the journal has every fact that the copy of the ledger decided on. A journal that is ahead
//!    is what every crash leaves, and the pool catches up with it at its start. A ledger that is ahead would hold
//!    money that no record explains: it could not be replayed.
//! 3. **the journal**.
//! 4. **what the journal names**: components of plugins and templates of solutions are kept before or with the record
//!    that names them, and are copied after it.
//!
//! Derived folders (`index/`, `cache/`) are never copied, nor are admin tokens and a pool's own key: a token that was revoked
//! since would come back. Nothing here locks or changes a data folder.
//!
//! # What a backup cannot know
//! Payments made after it. A pool that is restored must be compared with its wallet's history before it pays again;
//! [`check_data`] tells that a data folder was restored until each of its pools was ([`compared`]).

mod backup;
mod copy;
mod error;
mod hook;
mod manifest;
mod restore;
mod schedule;
mod shelf;
mod stamp;
mod verify;

pub use backup::{Made, backup, pools};
pub use copy::{Progress, Step};
pub use error::BackupError;
pub use hook::{CARRYING, HookError, run_hook};
pub use manifest::{FileEntry, JournalHead, MANIFEST, Manifest, PoolHeads, inspect};
pub use restore::{Drilled, RESTORED, Restored, check_data, compared, drill, restore};
pub use schedule::{Done, Plan, Scheduled, Watch, due, once, start};
pub use shelf::{Kept, newest, prune, whole};
pub use stamp::stamp;
pub use verify::{PoolReport, verify_data};
