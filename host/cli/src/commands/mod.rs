//! One file per subcommand.

pub mod admin;
pub mod alarms;
pub mod backup;
pub mod bans;
pub mod bench;
mod bench_all;
mod bench_hashes;
mod bench_share;
mod bench_vardiff;
pub mod check;
pub mod config;
pub mod demo;
pub mod doctor;
pub mod ledger;
pub mod load;
pub mod luck;
pub mod mine;
pub mod miners;
mod note;
pub mod plugin;
mod plugin_live;
pub mod recipe;
pub mod replay;
pub mod restore;
pub mod run;
pub mod token;
pub mod upgrade;
