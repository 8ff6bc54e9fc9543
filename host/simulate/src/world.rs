//! Shares, one after the other: whose each is, when it came, whether it is a block.

use crate::SimulateError;
use crate::hashrate::{self, Miner};
use crate::network::Chain;
use crate::runner::{Block, Chunk};
use crate::scenario::Scenario;
use crate::strategy::{self, Place, Seen, Solution, Strategy};
use crate::tally::Work;
use millpond_stream::{Alias, Key, Purpose, Stream};
use millpond_windows::{Row, units};

/// Rows that are made at once.
pub(crate) const ROWS: usize = 16_384;

/// Why a chunk ended.
pub(crate) enum End {
    /// It is full, or another block of the chain changed what shares have in common.
    Full,
    /// Its last row is a block of the pool.
    Block(Block),
}

/// A solution that is held back.
struct Held {
    miner: u32,
}

pub(crate) struct World<'a> {
    scenario: &'a Scenario,
    miners: Vec<Miner>,
    strategies: Vec<Box<dyn Strategy>>,
    /// By class.
    plain: Vec<bool>,
    /// By class: how many times what it began with.
    times: Vec<f64>,
    /// By class: its next step.
    steps: Vec<usize>,
    chain: Chain<'a>,
    alias: Alias,
    /// Milliseconds between two shares, in the mean.
    mean_ms: f64,
    /// By class: a share's units.
    units: Vec<u128>,
    owners: Stream,
    blocks: Stream,
    intervals: Stream,
    orphans: Stream,
    decisions: Vec<Stream>,
    lost: u128,
    time_ms: f64,
    age: u128,
    round_shares: u64,
    /// By miner, where a class is asked what it does.
    own_shares: Vec<u64>,
    seq: u64,
    found: u64,
    held: Option<Held>,
}

/// Millionths as a probability in units of 2^-64.
pub(crate) fn probability(part: crate::scenario::Part) -> u128 {
    (u128::from(part.millionths) << 64) / 1_000_000
}

impl<'a> World<'a> {
    pub(crate) fn new(scenario: &'a Scenario, key: Key) -> Result<Self, SimulateError> {
        let miners = hashrate::miners(scenario, key);
        let strategies: Vec<_> = scenario.miners.iter().map(|class| strategy::of(class.strategy)).collect();
        let times = vec![1.0; scenario.miners.len()];
        let (alias, rate) = hashrate::draws(&miners, &times)?;
        let mut world = Self {
            plain: strategies.iter().map(|strategy| strategy.is_plain()).collect(),
            steps: vec![0; scenario.miners.len()],
            decisions: (0..)
                .take(scenario.miners.len())
                .map(|class| key.stream(Purpose::Strategy, class))
                .collect(),
            chain: Chain::new(scenario, key)?,
            mean_ms: 1000.0 / rate,
            units: Vec::new(),
            owners: key.stream(Purpose::Owner, 0),
            blocks: key.stream(Purpose::Block, 0),
            intervals: key.stream(Purpose::Interval, 0),
            orphans: key.stream(Purpose::Orphan, 0),
            lost: probability(scenario.lost),
            own_shares: vec![0; miners.len()],
            time_ms: 0.0,
            age: 0,
            round_shares: 0,
            seq: 0,
            found: 0,
            held: None,
            scenario,
            miners,
            strategies,
            times,
            alias,
        };
        world.weigh();
        world.step()?;
        Ok(world)
    }

    pub(crate) fn miners(&self) -> &[Miner] {
        &self.miners
    }

    pub(crate) const fn time_ms(&self) -> f64 {
        self.time_ms
    }

    fn weigh(&mut self) {
        let network = u128::from(self.chain.work());
        self.units = self.scenario.miners.iter().map(|class| units(class.work.get(), network)).collect();
    }

    /// Hashrates that change with this block.
    fn step(&mut self) -> Result<(), SimulateError> {
        let mut changed = false;
        for ((class, next), times) in self.scenario.miners.iter().zip(&mut self.steps).zip(&mut self.times) {
            while let Some(step) = class.step.get(*next).filter(|step| step.block <= self.chain.height()) {
                *times = step.times.0;
                *next = next.saturating_add(1);
                changed = true;
            }
        }
        if changed {
            let (alias, rate) = hashrate::draws(&self.miners, &self.times)?;
            (self.alias, self.mean_ms) = (alias, 1000.0 / rate);
        }
        Ok(())
    }

    /// A block of the chain, the pool's or another's.
    fn mined(&mut self) -> Result<(), SimulateError> {
        if self.chain.block(self.time_ms as u64)? {
            self.weigh();
        }
        self.step()
    }

    fn seen(&self, miner: usize) -> Seen {
        Seen {
            age: self.age,
            time_ms: self.time_ms as u64,
            network: self.chain.work(),
            round_shares: self.round_shares,
            own_shares: self.own_shares.get(miner).copied().unwrap_or(0),
            // Conversion saturates: a miner alone is all but 2^-64.
            part: self.miners.get(miner).map_or(0, |of| (of.part * 18_446_744_073_709_551_616.0) as u64),
        }
    }

    /// Makes the next shares, up to a block or to `until` milliseconds. What was mined where is added to `work`.
    pub(crate) fn fill(
        &mut self,
        chunk: &mut Chunk,
        until: f64,
        work: &mut Work,
    ) -> Result<End, SimulateError> {
        chunk.rows.clear();
        chunk.first = self.seq.saturating_add(1);
        chunk.network = self.chain.work();
        chunk.reward = self.chain.reward();
        chunk.subsidy = self.scenario.reward.subsidy.get();
        work.begin();
        let end = self.shares(chunk, until, work)?;
        work.end(chunk.reward)?;
        Ok(end)
    }

    fn shares(&mut self, chunk: &mut Chunk, until: f64, work: &mut Work) -> Result<End, SimulateError> {
        while chunk.rows.len() < ROWS && self.time_ms < until {
            let who = self.alias.draw(&mut self.owners);
            self.time_ms += self.mean_ms * self.intervals.exponential();
            let Some(miner) = self.miners.get(who as usize).copied() else { continue };
            let class = miner.class as usize;
            let units = self.units.get(class).copied().unwrap_or(0);
            let hit = self.blocks.hit(units);
            if !self.plain.get(class).copied().unwrap_or(true) {
                match self.decide(who as usize, class, hit) {
                    Decided::Pool => {}
                    Decided::Nowhere => continue,
                    Decided::Elsewhere => {
                        work.elsewhere(class, units);
                        if hit {
                            self.mined()?;
                            return Ok(End::Full);
                        }
                        continue;
                    }
                }
            }
            self.push(chunk, who, &miner, units);
            work.pool(class, units);
            if hit {
                return self.block(who, miner.class).map(End::Block);
            }
            if let Some(held) = self.released() {
                let class = self.miners.get(held as usize).copied();
                let Some(miner) = class else { continue };
                let units = self.units.get(miner.class as usize).copied().unwrap_or(0);
                self.push(chunk, held, &miner, units);
                work.pool(miner.class as usize, units);
                return self.block(held, miner.class).map(End::Block);
            }
        }
        Ok(End::Full)
    }

    #[inline]
    fn push(&mut self, chunk: &mut Chunk, who: u32, miner: &Miner, units: u128) {
        self.seq = self.seq.saturating_add(1);
        self.age = self.age.saturating_add(units);
        self.round_shares = self.round_shares.saturating_add(1);
        if !self.plain.get(miner.class as usize).copied().unwrap_or(true)
            && let Some(own) = self.own_shares.get_mut(who as usize)
        {
            *own = own.saturating_add(1);
        }
        let (time_ms, coord) = (self.time_ms as u64, self.chain.height());
        chunk.rows.push(Row { miner: who, work: miner.work, units, time_ms, coord });
    }

    fn decide(&mut self, who: usize, class: usize, hit: bool) -> Decided {
        let mut seen = self.seen(who);
        let (Some(strategy), Some(stream)) = (self.strategies.get_mut(class), self.decisions.get_mut(class))
        else {
            return Decided::Pool;
        };
        if strategy.place(&seen, stream) == Place::Elsewhere {
            return Decided::Elsewhere;
        }
        if !hit {
            return Decided::Pool;
        }
        // With the solution counted: it is a share, too.
        seen.own_shares = seen.own_shares.saturating_add(1);
        seen.round_shares = seen.round_shares.saturating_add(1);
        seen.age = seen.age.saturating_add(self.units.get(class).copied().unwrap_or(0));
        match strategy.solution(&seen, stream) {
            Solution::Report => Decided::Pool,
            Solution::Withhold => Decided::Nowhere,
            Solution::Hold => {
                // Who holds one already keeps the first.
                self.held.get_or_insert(Held { miner: who as u32 });
                Decided::Nowhere
            }
        }
    }

    /// Who hands in a solution that he held back.
    fn released(&mut self) -> Option<u32> {
        let miner = self.held.as_ref()?.miner;
        let class = self.miners.get(miner as usize)?.class as usize;
        let mut seen = self.seen(miner as usize);
        seen.own_shares = seen.own_shares.saturating_add(1);
        seen.round_shares = seen.round_shares.saturating_add(1);
        let (strategy, stream) = (self.strategies.get_mut(class)?, self.decisions.get_mut(class)?);
        if strategy.waits(&seen, stream) {
            return None;
        }
        self.held = None;
        Some(miner)
    }

    fn block(&mut self, miner: u32, class: u32) -> Result<Block, SimulateError> {
        self.found = self.found.saturating_add(1);
        let block = Block {
            number: self.found,
            seq: self.seq,
            miner,
            class,
            reward: self.chain.reward(),
            subsidy: self.scenario.reward.subsidy.get(),
            network: self.chain.work(),
            time_ms: self.time_ms as u64,
            coord: self.chain.height(),
            lost: self.lost > 0 && self.orphans.hit(self.lost),
        };
        self.age = 0;
        self.round_shares = 0;
        self.own_shares.iter_mut().for_each(|own| *own = 0);
        // The chain has gone on: what is held back is worth nothing.
        self.held = None;
        self.mined()?;
        Ok(block)
    }
}

enum Decided {
    Pool,
    Elsewhere,
    /// A solution that nobody sees.
    Nowhere,
}
