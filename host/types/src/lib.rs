//! Domain types that must not be mixed up: targets, work, amounts and identifiers.
//!
//! This crate knows no coin, does no I/O and depends on nothing of ours.

mod amount;
mod digest;
mod ids;
mod target;
mod work;

pub use amount::Amount;
pub use digest::Digest;
pub use ids::{JobId, MinerId, PoolName, PoolNameError, SessionId, ShareSeq, UnixMillis};
pub use target::{Target, TargetError};
pub use work::{Work, WorkShift, WorkSum};
