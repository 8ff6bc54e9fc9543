//! One file per subcommand.

pub mod check;
pub mod config;
pub mod ledger;
pub mod mine;
pub mod plugin;
mod plugin_live;
pub mod recipe;
