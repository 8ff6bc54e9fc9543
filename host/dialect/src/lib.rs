//! Dialect documents: how a family of miners speaks Stratum V1; compiled at load.
//!
//! A dialect is a text document (`docs/dialects.md` is its reference). [`Dialect::compile`] turns it into an engine
//! without I/O: a line of a miner goes in and an [`Intent`] comes out, a message of the host goes in and a line
//! comes out. This crate knows no coin, no recipe and no socket; whatever differs between families of miners is
//! said by documents, never by a type or a match arm here.
//!
//! The way of a line through a server:
//!
//! ```text
//! let decoded = dialect.decode(line, &session);           // never fails: bad lines are Intent::Malformed
//! ... act on decoded.intent, change the session ...
//! dialect.encode_reply(&decoded.call, &values, &mut out)?;    // or encode_error(&call, Failure::Stale, None, ..)
//! for push in dialect.pushes_after(&decoded.call, &session) { // what the document says comes next, in order
//!     dialect.encode_push(push, &values, &mut out)?;          // a job: the shared Rope of encode_job
//! }
//! ```
//!
//! Pushes that the server starts itself (a new job, a new target) ask [`Dialect::may_push`] first.

mod decode;
mod difficulty;
mod document;
mod encode;
mod errors;
mod fields;
mod hex;
mod intent;
mod json;
mod parse;
mod quick;
mod select;
mod small;
mod template;
mod value;

pub use difficulty::Rounding;
pub use document::{Dialect, MAX_DOCUMENT_BYTES};
pub use encode::{Piece, Rope};
pub use errors::{DocumentError, DocumentErrors, EncodeError};
pub use intent::{
    Call, Decoded, Extranonce, Failure, Intent, JobRef, NewSession, Push, Request, SessionView, Submit,
    Suggestion,
};
pub use json::MAX_LINE_BYTES;
pub use select::DialectSet;
pub use template::{HOST_VALUES, Hole};
pub use value::{Layered, Value, ValueMap, Values};
