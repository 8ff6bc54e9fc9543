//! The table of live jobs, shared between the chain and the miners' sessions.
//!
//! A [`Job`] is shared by `Arc` and outlives the adapter that made it. [`JobTable`] says which job is current, which
//! are stale, and which ids it never issued; [`Seen`] keeps the ids of accepted shares. Nothing here hashes, does I/O
//! or reads a clock: time is an argument.

mod ids;
mod job;
mod seen;
mod table;

pub use job::{Job, Origin};
pub use seen::Seen;
pub use table::{DEFAULT_CAPACITY, Found, HELD_MS, JobFeed, JobTable, MIN_CAPACITY, Notice, PublishError};
