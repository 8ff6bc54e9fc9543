//! The pool's journal: raw facts in the order in which they became durable, and the windows computed over them.
//!
//! The journal knows what a share, a job, a solution and an income are. It decides nothing about money: it stores
//! what was decided, by whom and from what, so that it can be decided again. Balances are the ledger's.
//!
//! # What holds
//! - A commit resolves after `fdatasync` (see `millpond-segments`); nothing is acknowledged after a failed write.
//! - Share numbers are unique, ascending and without gaps; windows are cut by them, never by a timestamp.
//! - A solution is durable in a write of its own, with its own share and nothing else, before all that waits, and no
//!   full queue refuses it.
//! - Miners, workers and jobs stand in the journal before any share that refers to them.
//! - Decoding is total: bytes that are no record give an error that names segment and offset.
//!
//! # Reading
//! Each sealed segment's footer has per-miner subtotals, and totals of each stretch between two marks, so that a window reads
//! footers and at most half of two segments at its edges. The segment that is written to has the same in memory, some 50 bytes
//! a miner. A window that pays a share once ([`JournalView::pays`]) reads what it pays. [`JournalView`] reads without a writer:
//! for replay, audits and commands beside a running pool. Who asks for the windows of many incomes has it keep what it reads
//! ([`JournalView::keeping`]).
//!
//! # Retention
//! Every segment begins with what older ones said that still matters, so old ones can be dropped
//! ([`Journal::drop_before`]). A window that would reach into dropped shares is an error, never a smaller window.

mod carry;
mod codec;
mod journal;
mod kept;
mod lists;
mod once;
mod owner;
mod reach;
mod records;
mod shares;
mod state;
mod summary;
mod sums;
mod tally;
mod verify;
mod view;
mod window;

pub use carry::More;
pub use codec::DecodeError;
pub use journal::{Durable, Journal, MAX_NAME, MAX_WORKERS, Options, Progress, Recovered};
pub use millpond_windows::{Stretch, Unpaid};
pub use once::Pays;
pub use records::{
    Admin, Authority, BlockFate, CoinbasePlan, Decision, ExtranonceLease, Fate, Income, IncomeAt, IncomeLost,
    Job, List, ListRow, Miner, MinerSetting, Notice, PlannedFor, PlannedOutput, PluginInForce, Policy,
    Promise, RUN_OFF, Record, Retention, Setting, Solution, Submission, Verdict, WindowEnd, Worker, WorkerId,
};
pub use shares::{Share, ShareBlock};
pub use state::{Answered, OpenBlock, State};
pub use summary::{MinerShares, SegmentShares};
pub use view::{Entry, JournalView, Records, WorkedOn};
pub use window::{Clip, Counted, Edge, Measure, OTHERS, Span, Window};

use millpond_segments::LogError;
use millpond_types::ShareSeq;

/// The format name in every segment's header.
pub const FORMAT: &str = "journal";

/// An error of the journal.
#[derive(Clone, Debug, thiserror::Error)]
pub enum JournalError {
    /// The log below: disk, damage, poison, a full queue.
    #[error(transparent)]
    Log(#[from] LogError),
    /// A window ends at a share that is not durable.
    #[error("the window ends at share {end}, but the newest is {newest}")]
    Ahead {
        /// Where it should end.
        end: ShareSeq,
        /// The newest durable share.
        newest: ShareSeq,
    },
    /// A window reaches into shares that were dropped.
    #[error("the window reaches back to share {last} or before, which was dropped: keep shares for longer")]
    Dropped {
        /// The last dropped share.
        last: ShareSeq,
    },
    /// A window that nothing computes: its measure is not what its span is long by. Or one of what is unpaid, asked for without
    /// the list of that.
    #[error("there is no window of this span by this measure")]
    NoSuchWindow,
    /// A sum leaves 128 bits.
    #[error("the work of a window does not fit 128 bits: is the network's work 0?")]
    Overflow,
    /// A block that the journal does not follow (any more).
    #[error("block {block} is not one of ours, or its fate is final")]
    UnknownBlock {
        /// Its id in hex.
        block: String,
    },
}
