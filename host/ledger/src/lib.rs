//! The ledger: every unit of money the pool ever owed, in double entry, append-only and hash-chained.
//!
//! One [`Ledger`] per pool, over one [`millpond_segments::Log`]. An [`Entry`] is validated against the [`Book`]
//! (it balances to zero, no liability goes below zero, a payment moves only along its states), written and synced,
//! and only then counted. Everything else here is derived from the log by replaying it: balances, totals,
//! statements, the sled index.
//!
//! The ledger knows no coin, no plugin and no wallet, and never reads a clock: times are handed in, so that a
//! replay writes the same bytes.

mod account;
mod allocation;
mod balances;
mod blocks;
mod book;
mod checkpoint;
mod column;
mod earned;
mod entry;
mod error;
mod export;
mod form;
mod income;
mod index;
mod ledger;
mod owned;
mod paid;
mod past;
mod payment;
mod proof;
mod proven;
mod reader;
mod statement;
mod sums;
mod totals;
mod tree;

pub use account::{Account, Class, FeeName, FeeNameError, Owner, OwnerError};
pub use allocation::{Allocation, Share};
pub use book::{Book, IncomeState, IncomeStatus, PaymentState, PaymentStatus};
pub use earned::Earned;
pub use entry::{Entry, IncomeAllocated, IncomeKey, Posting, Record, Reversal};
pub use error::LedgerError;
pub use export::{Accounting, Commodity, CommodityError, ExportFormat, Miners};
pub use index::{AccountIndex, IndexError};
pub use ledger::{Appended, Ledger};
pub use owned::{Owned, OwnedWhat};
pub use past::Past;
pub use payment::{Built, InputId, PaymentId, PaymentRow, Progress, SettledRow, TxId};
pub use proof::{Proof, ProofStep, SumNode, prove, root, verify_proof};
pub use proven::{Proven, ProvenPart};
pub use reader::{Head, Reader, Verified, Visit};
pub use statement::{Statement, StatementLine, StatementWhat};
pub use totals::Totals;
