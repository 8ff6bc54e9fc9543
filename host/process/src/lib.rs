//! A process of pools: started from one configuration, with HTTP, administration and alarms, and stopped in order.
//!
//! [`Running::start`] checks everything before anything listens: a mistake in the second pool keeps the first from
//! starting. Knows no coin and decides nothing about money.

pub mod check;
pub mod doctor;
mod handler;
mod reload;
mod running;
mod source;
pub mod upgrade;

pub use reload::Reloaded;
pub use running::{Ready, RunError, Running};
pub use upgrade::Upgraded;
