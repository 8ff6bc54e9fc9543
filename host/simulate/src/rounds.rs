//! A replication round by round: how many shares a round has, and to whom they fall, are drawn at once. What is mined
//! elsewhere meanwhile is not drawn: it earns what is to be expected.

use crate::SimulateError;
use crate::hashrate::{self, Miner};
use crate::network::Chain;
use crate::run::{Players, Replication};
use crate::runner::Block;
use crate::scenario::Scenario;
use crate::strategy::{self, Place, Seen, Solution, Strategy, Wake};
use crate::tally::Work;
use crate::world::probability;
use millpond_stream::{Geometric, Key, Purpose, Stream, maths};
use millpond_windows::{Row, units};

/// Who mines in the pool at some age of a round.
struct Crew {
    /// By class.
    here: Vec<bool>,
    /// By miner; 0 for those who mine elsewhere.
    weights: Vec<u64>,
    sum: u64,
    /// By class: its share of the work, by that of all who are here.
    parts: Vec<f64>,
}

struct Pool<'a> {
    scenario: &'a Scenario,
    miners: Vec<Miner>,
    strategies: Vec<Box<dyn Strategy>>,
    decisions: Vec<Stream>,
    chain: Chain<'a>,
    units: u128,
    length: Geometric,
    crews: Vec<Crew>,
    lengths: Stream,
    splits: Stream,
    owners: Stream,
    orphans: Stream,
    lost: u128,
    counts: Vec<u64>,
    time_ms: f64,
    mean_ms: f64,
    seq: u64,
    found: u64,
}

pub(crate) fn play(
    scenario: &Scenario,
    key: Key,
    mut players: Players,
) -> Result<Replication, SimulateError> {
    players.check_rounds()?;
    let miners = hashrate::miners(scenario, key);
    let (_, rate) = hashrate::draws(&miners, &[])?;
    let work_of_share = scenario.miners.first().map_or(1, |class| class.work.get());
    let units = units(work_of_share, scenario.network.work.get().into());
    let mut pool = Pool {
        strategies: scenario.miners.iter().map(|class| strategy::of(class.strategy)).collect(),
        decisions: (0..)
            .take(scenario.miners.len())
            .map(|class| key.stream(Purpose::Strategy, class))
            .collect(),
        chain: Chain::new(scenario, key)?,
        units,
        length: Geometric::new(units),
        crews: Vec::new(),
        lengths: key.stream(Purpose::Round, 0),
        splits: key.stream(Purpose::Split, 0),
        owners: key.stream(Purpose::Owner, 0),
        orphans: key.stream(Purpose::Orphan, 0),
        lost: probability(scenario.lost),
        counts: Vec::new(),
        time_ms: 0.0,
        mean_ms: 1000.0 / rate,
        seq: 0,
        found: 0,
        miners,
        scenario,
    };
    let mut work = Work::new(scenario.miners.len());
    for _ in 0..scenario.warmup {
        pool.round(&mut players, &mut work)?;
    }
    work.take();
    players.begin(&pool.miners)?;
    for _ in 0..scenario.blocks.get().checked_div(scenario.batch.get()).unwrap_or(0) {
        for _ in 0..scenario.batch.get() {
            pool.round(&mut players, &mut work)?;
        }
        players.end_of_batch(&pool.miners, work.take())?;
    }
    players.finish()
}

impl Pool<'_> {
    /// A round, up to the pool's next block.
    fn round(&mut self, players: &mut Players, work: &mut Work) -> Result<(), SimulateError> {
        let mut age = 0_u128;
        loop {
            let seen =
                Seen { age, time_ms: self.time_ms as u64, network: self.chain.work(), ..Seen::default() };
            let (crew, wake) = self.crew(&seen)?;
            let most = wake.map_or(u64::MAX, |wake| {
                u64::try_from(wake.saturating_sub(age).div_ceil(self.units)).unwrap_or(u64::MAX).max(1)
            });
            let length = self.length.draw(&mut self.lengths);
            let (shares, hit) = if length > most { (most, false) } else { (length, true) };
            age = age.saturating_add(self.units.saturating_mul(shares.into()));
            let finder = self.share_out(crew, shares, hit, players, work)?;
            if let Some((miner, class)) = finder {
                return self.block(miner, class, players, work);
            }
        }
    }

    /// Who mines here at this age, and when that may change.
    fn crew(&mut self, seen: &Seen) -> Result<(usize, Option<u128>), SimulateError> {
        let mut here = Vec::with_capacity(self.strategies.len());
        let mut next: Option<u128> = None;
        for (strategy, stream) in self.strategies.iter_mut().zip(&mut self.decisions) {
            here.push(strategy.place(seen, stream) == Place::Pool);
            if let Wake::Age(age) = strategy.wakes(seen) {
                next = Some(next.map_or(age, |next| next.min(age)));
            }
        }
        if let Some(known) = self.crews.iter().position(|crew| crew.here == here) {
            return Ok((known, next));
        }
        /// Far above the number of miners, and all of them together below 2^63.
        const SCALE: f64 = 4_503_599_627_370_496.0;
        let is_here = |miner: &Miner| here.get(miner.class as usize).copied().unwrap_or(false);
        let weights: Vec<u64> = self
            .miners
            .iter()
            .map(|miner| if is_here(miner) { (miner.part * SCALE) as u64 } else { 0 })
            .collect();
        let sum = weights.iter().fold(0_u64, |sum, weight| sum.saturating_add(*weight));
        if sum == 0 {
            let message =
                "at some age of a round nobody mines in the pool, and it never ends: add honest miners";
            return Err(SimulateError::scenario("miners", message));
        }
        let mut parts = vec![0.0; here.len()];
        for miner in &self.miners {
            if let Some(part) = parts.get_mut(miner.class as usize) {
                *part += miner.part;
            }
        }
        let all: f64 = parts.iter().zip(&here).map(|(part, here)| if *here { *part } else { 0.0 }).sum();
        parts.iter_mut().for_each(|part| *part /= all);
        self.crews.push(Crew { here, weights, sum, parts });
        Ok((self.crews.len().saturating_sub(1), next))
    }

    /// Gives so many shares to those who are here. Who found the block, if it is one and he hands it in.
    fn share_out(
        &mut self,
        crew: usize,
        shares: u64,
        hit: bool,
        players: &mut Players,
        work: &mut Work,
    ) -> Result<Option<(u32, u32)>, SimulateError> {
        let Some(crew) = self.crews.get(crew) else { return Ok(None) };
        let others = shares.saturating_sub(u64::from(hit));
        self.splits.multinomial(others, &crew.weights, &mut self.counts);
        let mut finder = None;
        if hit {
            let mut at = self.owners.below(crew.sum);
            for (who, weight) in (0_u32..).zip(&crew.weights) {
                if at < *weight {
                    let class = self.miners.get(who as usize).map_or(0, |miner| miner.class);
                    finder = Some((who, class));
                    break;
                }
                at = at.saturating_sub(*weight);
            }
        }
        let reports = finder.filter(|(_, class)| {
            let place = *class as usize;
            let asked = self.strategies.get_mut(place).zip(self.decisions.get_mut(place));
            asked.is_none_or(|(strategy, stream)| {
                strategy.solution(&Seen::default(), stream) == Solution::Report
            })
        });
        if let Some((who, _)) = reports
            && let Some(count) = self.counts.get_mut(who as usize)
        {
            *count = count.saturating_add(1);
        }
        self.seq = self.seq.saturating_add(shares);
        let reward = self.chain.reward() as f64;
        let value = self.units as f64 * maths::UNIT * reward;
        let (time_ms, coord) = (self.time_ms as u64, self.chain.height());
        for ((who, count), miner) in (0_u32..).zip(&self.counts).zip(&self.miners) {
            if *count > 0 {
                let row = Row { miner: who, work: miner.work, units: self.units, time_ms, coord };
                players.many(&row, *count)?;
                if let Some(sum) = work.value.get_mut(miner.class as usize) {
                    sum.0 += value * *count as f64;
                }
            }
        }
        let mut all = 0.0;
        for ((here, part), sum) in crew.here.iter().zip(&crew.parts).zip(&mut work.value) {
            all += part;
            if !here {
                sum.1 += value * shares as f64 * part;
            }
        }
        self.time_ms += self.mean_ms * all * shares as f64;
        Ok(reports)
    }

    fn block(
        &mut self,
        miner: u32,
        class: u32,
        players: &mut Players,
        work: &mut Work,
    ) -> Result<(), SimulateError> {
        self.found = self.found.saturating_add(1);
        let block = Block {
            number: self.found,
            seq: self.seq,
            miner,
            class,
            reward: self.chain.reward(),
            subsidy: self.scenario.reward.subsidy.get(),
            network: self.scenario.network.work.get(),
            time_ms: self.time_ms as u64,
            coord: self.chain.height(),
            lost: self.lost > 0 && self.orphans.hit(self.lost),
        };
        work.found += block.reward as f64;
        work.blocks = work.blocks.saturating_add(1);
        self.chain.block(block.time_ms)?;
        players.block(&block)
    }
}
