//! One pool put together from the crates below: the path of a share and the path of an income.
//!
//! [`Pool`] runs one; [`setup`] turns the operator's configuration into what it starts with. [`books`] is the money,
//! [`replay`] computes its history again. What a pool shows is plain data in [`view`].

mod backend;
pub mod books;
mod core;
mod decide;
pub mod luck;
mod maturity;
mod money;
mod payments;
pub mod plugins;
pub mod policy;
mod pool;
pub mod replay;
pub mod setup;
pub mod show;
mod sink;
pub mod sockets;
pub mod stats;
mod undivided;
pub mod view;

pub use pool::{Pool, PoolError, Process};
