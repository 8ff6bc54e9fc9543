//! Drivers: a node's wallet as settlement needs it.

mod answer;
mod bcoin;
mod core;
mod history;
mod sendmany;

pub use bcoin::BcoinWallet;
pub use core::CoreWallet;
pub use sendmany::SendManyWallet;
