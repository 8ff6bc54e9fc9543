//! The rayon proof-of-work validator: batches of shares over compiled recipes.
//!
//! A share comes as its session's stage, its field values and two targets, and leaves as a [`Verdict`]. Recipes of
//! [`Cost::Light`] are judged where they arrive, since a thread's hand-over costs more than the hash; heavy ones wait
//! in a bounded queue for the validator's own threads, and outside of it while it is full: any share may be a block, so
//! none is turned away unhashed. Nothing here knows duplicates, credit or journals.
//!
//! [`Cost::Light`]: millpond_recipe::Cost::Light

mod queue;
mod verdict;

pub use queue::{DEFAULT_QUEUE, Limits, Validator};
pub use verdict::{Candidate, Refused, Targets, Verdict};
