//! Recipe documents: how a job, a session and a share become a hash; compiled at load, run in stages.
//!
//! A document is compiled once ([`Recipe::compile`]). A job's constants run its *job* stage ([`Recipe::job`]), a
//! session's values the *session* stage ([`JobStage::session`]), a share's values the *share* stage
//! ([`SessionStage::judge`]). Every register of the job and session stages can be read by name, so that a dialect
//! can put it into a message. The language is described in `docs/recipes.md`.
//!
//! This crate knows no coin: a family is a document. It does no I/O, and no document and no value makes it panic.

mod batch;
mod builder;
mod compile;
mod error;
mod expression;
mod field;
mod flow;
mod judged;
mod layout;
mod lex;
mod ops;
mod parse;
mod plan;
mod probe;
mod program;
mod run;
mod share;
mod stage;
pub mod vectors;

pub use batch::{MAX_BATCH, judge_batch};
pub use compile::{MAX_DOCUMENT_BYTES, MAX_REGISTERS, MAX_SHARE_FIELD};
pub use error::{DocumentError, DocumentErrors, RunError, ShareError};
pub use field::{Field, RegisterInfo, Stage, Width};
pub use flow::{Made, Register};
pub use judged::Judged;
pub use millpond_algorithms::Cost;
pub use probe::ProbeError;
pub use run::{MAX_FOLD, MAX_JOB_BYTES, MAX_SESSION_BYTES, MAX_SHARE_BYTES, MAX_SHARE_HASHED};
pub use stage::{JobStage, Recipe, Scratch, SessionStage};
