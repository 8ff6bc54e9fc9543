//! The `millpond` command. Each subcommand is a file of `commands/`; none has logic of its own.
//!
//! Exit codes: 0 done, 1 it did not work, 2 the command line or a file given is wrong.

#![deny(clippy::print_stdout, clippy::print_stderr)]

#[macro_use]
mod terminal;
mod commands;
mod heap;
mod progress;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

#[derive(Debug, Parser)]
#[command(
    name = "millpond",
    version,
    about = "A pool runtime: chains, payout schemes and policies are sandboxed plugins"
)]
struct Arguments {
    /// Log more: once for debug, twice for everything. MILLPOND_LOG takes a filter.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
    /// Log as JSON lines.
    #[arg(long, global = true)]
    log_json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Write a verified backup of a data folder; the pools may run.
    Backup(commands::backup::Backup),
    /// Restore a backup into a new data folder, or try whether that would work.
    Restore(commands::restore::Restore),
    /// Recompute a pool's ledger from its journal and the plugins that decided, and compare.
    Replay(commands::replay::Replay),
    /// Per miner, how improbable his number of blocks is for his work.
    Luck(commands::luck::Luck),
    /// Make, list and revoke tokens for administration over HTTP.
    Token(commands::token::TokenCommand),
    /// Run a whole pool in this process: a development chain, miners, payouts. Nothing needs to be installed.
    Demo(commands::demo::Demo),
    /// Run all pools of a configuration until SIGTERM or SIGINT.
    Run(commands::run::Run),
    /// Have a running process give way to this program: no miner is disconnected.
    Upgrade(commands::upgrade::Upgrade),
    /// Check a configuration file: all errors at once, with their lines.
    Check(commands::check::Check),
    /// Look whether this machine, the nodes and the wallet are fit for a configuration.
    Doctor(commands::doctor::Doctor),
    /// Print an example configuration with every option, or the reference.
    Config(commands::config::ConfigCommand),
    /// Verify, export or read a pool's ledger.
    Ledger(commands::ledger::LedgerCommand),
    /// Verify statements of a pool, offline.
    VerifyStatement(commands::verify_statement::VerifyStatement),
    /// Show a pool's key, compare heads, or have a restored pool sign again.
    Heads(commands::heads::HeadsCommand),
    /// Show all pools of a running process as JSON.
    Status(commands::admin::Status),
    /// List, plan, run, resolve or release payments of a running pool.
    Payments(commands::admin::Payments),
    /// Have a running process read its configuration again, as SIGHUP does.
    Reload(commands::admin::Reload),
    /// List the sessions of miners, show them a message, or send them elsewhere.
    Miners(commands::miners::Miners),
    /// Show policies in shadow, or put one into force with notice.
    Shadow(commands::shadow::Shadow),
    /// List, make and lift bans of addresses.
    Bans(commands::bans::Bans),
    /// List alarms, or clear those that were seen to.
    Alarms(commands::alarms::Alarms),
    /// Set lists of miners' numbers that fee policies ask for.
    List(commands::list::Lists),
    /// Set a miner's own minimum payout.
    Minimum(commands::admin::Minimum),
    /// Mine on this machine's processor, to try a pool out.
    Mine(commands::mine::Mine),
    /// Put load on a Stratum server, ours or another, and measure it; or be the mock node that it asks.
    Load(commands::load::Load),
    /// Simulate pools: what payout schemes pay, to whom, at which risk.
    Simulate(commands::simulate::Simulate),
    /// Measure this machine and this program, in tables that anyone can take again.
    Bench(commands::bench::Bench),
    /// Make, build, check, test and run plugins.
    Plugin(commands::plugin::PluginCommand),
    /// Check a recipe document, or run vectors through it.
    Recipe(commands::recipe::RecipeCommand),
    /// Check a dialect document.
    Dialect(commands::recipe::DialectCommand),
}

fn main() -> ExitCode {
    heap::set();
    // The sandbox compiles plugins in a child of this very program.
    let mut words = std::env::args().skip(1);
    if words.next().as_deref() == Some(millpond_runtime::COMPILE_ARGUMENT) {
        return millpond_runtime::compile_child_main(&words.collect::<Vec<_>>());
    }
    let arguments = Arguments::parse();
    terminal::start_logging(arguments.verbose, arguments.log_json);
    let outcome = match arguments.command {
        Command::Backup(command) => command.run(),
        Command::Restore(command) => command.run(),
        Command::Replay(command) => command.run(),
        Command::Luck(command) => command.run(),
        Command::Token(command) => command.run(),
        Command::Demo(command) => command.run(),
        Command::Run(command) => command.run(),
        Command::Status(command) => command.run(),
        Command::Payments(command) => command.run(),
        Command::Reload(command) => command.run(),
        Command::List(command) => command.run(),
        Command::Minimum(command) => command.run(),
        Command::Miners(command) => command.run(),
        Command::Shadow(command) => command.run(),
        Command::Bans(command) => command.run(),
        Command::Alarms(command) => command.run(),
        Command::Upgrade(command) => command.run(),
        Command::Check(command) => command.run(),
        Command::Doctor(command) => command.run(),
        Command::Config(command) => command.run(),
        Command::Ledger(command) => command.run(),
        Command::VerifyStatement(command) => command.run(),
        Command::Heads(command) => command.run(),
        Command::Mine(command) => command.run(),
        Command::Load(command) => command.run(),
        Command::Simulate(command) => command.run(),
        Command::Bench(command) => command.run(),
        Command::Plugin(command) => command.run(),
        Command::Recipe(command) => command.run(),
        Command::Dialect(command) => command.run(),
    };
    let code = outcome.unwrap_or_else(|failure| {
        tell!("millpond: {}", failure.text);
        failure.code()
    });
    terminal::ended(code)
}
