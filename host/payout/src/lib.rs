//! From an income to an allocation: the scheme proposes, native checks dispose, the fee policy takes its part, the
//! books get one balanced entry.
//!
//! Payout schemes and fee policies are not trusted. They see miners as pseudonyms that change with every call, and
//! nothing they return counts before it was checked here: conserved to the unit, known miners only, strictly
//! ascending, amounts above zero, state within its bounds, and the same under renamed miners. This crate does no I/O:
//! what must be kept (the ledger's entry, the audit records) is handed back as plain data.

mod accrue;
mod allocate;
mod audit;
mod beside;
mod bound;
mod check;
pub mod direct;
mod error;
mod facts;
mod fairness;
mod fees;
mod fractions;
mod owed;
mod pseudonyms;
mod ruin;
mod state;
mod swap;

pub use accrue::{Accrual, AccruedShare, accrue};
pub use allocate::{Decision, allocate};
pub use audit::AuditRecord;
pub use bound::{BoundFee, BoundScheme, MAX_BATCH, MAX_CELLS, MAX_COLUMNS, MAX_WINDOWS, Recipient};
pub use error::{PayoutError, Rule};
pub use facts::{Attributes, IncomeFacts, NoAttributes, WindowSums};
pub use fractions::Fractions;
pub use owed::{
    Followed, Owed, is_of_before, later, owed, owes_by_windows, owes_in_cells, owes_nothing_behind_a_block,
};
pub use ruin::{reserve_for, ruin};
pub use state::{Beside, SchemeState, StateChange};
pub use swap::{SwapError, check_repair, check_upgrade};
