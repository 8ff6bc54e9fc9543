//! A replication share by share.

use crate::SimulateError;
use crate::run::{Players, Replication};
use crate::runner::Chunk;
use crate::scenario::Scenario;
use crate::tally::Work;
use crate::world::{End, World};
use millpond_stream::Key;

/// Milliseconds that an expected block of all miners together takes, at the beginning.
fn block_ms(scenario: &Scenario) -> f64 {
    let rate: f64 = scenario.miners.iter().map(|class| class.hashrate.get() as f64).sum();
    1000.0 * scenario.network.work.get() as f64 / rate
}

pub(crate) fn play(
    scenario: &Scenario,
    key: Key,
    mut players: Players,
) -> Result<Replication, SimulateError> {
    let mut world = World::new(scenario, key)?;
    let mut work = Work::new(scenario.miners.len());
    let mut chunk = Chunk::default();
    let length = block_ms(scenario) * scenario.batch.get() as f64;
    let mut until = block_ms(scenario) * scenario.warmup as f64;
    play_until(&mut world, &mut players, &mut chunk, until, &mut work)?;
    work.take();
    players.begin(world.miners())?;
    // Whole batches: what is left over is not played.
    for _ in 0..scenario.blocks.get().checked_div(scenario.batch.get()).unwrap_or(0) {
        until += length;
        play_until(&mut world, &mut players, &mut chunk, until, &mut work)?;
        players.end_of_batch(world.miners(), work.take())?;
    }
    players.finish()
}

fn play_until(
    world: &mut World<'_>,
    players: &mut Players,
    chunk: &mut Chunk,
    until: f64,
    work: &mut Work,
) -> Result<(), SimulateError> {
    while world.time_ms() < until {
        let end = world.fill(chunk, until, work)?;
        players.shares(chunk)?;
        if let End::Block(block) = end {
            work.found += block.reward as f64;
            work.blocks = work.blocks.saturating_add(1);
            players.block(&block)?;
        }
    }
    Ok(())
}
