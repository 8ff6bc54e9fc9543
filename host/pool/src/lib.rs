//! One pool put together from the crates below: the path of a share and the path of an income.
//!
//! [`Pool`] runs one; [`setup`] turns the operator's configuration into what it starts with. [`books`] is the money,
//! [`replay`] computes its history again. What a pool shows is plain data in [`view`].

mod backend;
pub mod books;
pub mod check;
pub mod columns;
mod conduct;
mod core;
mod decide;
mod dialects;
pub mod doctor;
mod edges;
mod expiry;
pub mod gate;
mod handover;
mod held;
mod history;
mod leading;
mod lists;
mod logins;
pub mod luck;
mod maturity;
mod money;
pub mod notice;
pub mod orders;
mod payments;
pub mod plan;
pub mod plugins;
pub mod policy;
mod pool;
mod promotion;
pub mod proofs;
mod rates;
pub mod receipts;
pub mod reload;
pub mod replay;
pub mod retention;
mod round;
mod run_off;
pub mod settings;
pub mod setup;
pub mod shadow;
pub mod share_log;
pub mod show;
mod sink;
pub mod sockets;
mod statement;
pub mod stats;
mod sums;
mod unconfirmed;
mod unfinished;
pub mod view;
pub mod what_if;

pub use edges::{Edge, Edges, UnknownEdge, VARIABLE as CRASH_VARIABLE};
pub use handover::{HandedOver, PoolState};
pub use pool::{Pool, PoolError, Process};
pub use statement::MOST as STATEMENT_ROWS;
