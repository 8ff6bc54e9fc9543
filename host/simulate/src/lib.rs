//! Pools that exist in simulated time: miners with strategies, a chain with luck, and payout schemes as the pool runs
//! them, several on one stream of shares.
//!
//! A [`Scenario`] is read from TOML. [`run`] plays it in replications, each from a stream of its own, and gives tables
//! with their errors. Nothing depends on the machine: what is decided is decided in integers or by `libm`, and parts are
//! put together in the order of replications, so that the same scenario and seed give the same bytes on any number of
//! threads.
//!
//! | what happens | module |
//! |---|---|
//! | who mines with how much, what a block takes and earns | `world`, `hashrate`, `network` |
//! | what miners do | `strategy` |
//! | every share, or whole rounds at once | `shares`, `rounds` |
//! | a scheme at work: natively, as its component, by the production path | `runner`, `production`, `plugins` |
//! | what is kept and what is told | `tally`, `result` |

mod bench;
mod columns;
mod counted;
mod error;
mod examples;
mod hashrate;
mod network;
mod plugins;
mod production;
mod result;
mod rounds;
mod run;
mod runner;
mod scenario;
mod shares;
mod strategy;
mod tally;
mod world;

pub use bench::{Speed, speeds};
pub use error::SimulateError;
pub use examples::{EXAMPLES, example};
pub use plugins::{How, Plugins};
pub use result::{ClassFigures, Difference, Outcome, Path, SchemeFigures};
pub use run::{Chains, chains, run};
pub use runner::{Block, Chunk, Contract, Runner};
pub use scenario::{
    Difficulty, FeeSection, Fees, Miners, Mode, Network, Part, Positive, Reward, Scenario, SchemeSection,
    Spread, Step, StrategyChoice,
};
pub use strategy::{Place, Seen, Solution, Strategy, Wake};
