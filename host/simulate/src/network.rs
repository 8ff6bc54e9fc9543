//! What a block takes and earns.

use crate::SimulateError;
use crate::scenario::{Difficulty, Fees, Scenario};
use millpond_stream::{Key, Purpose, maths};

/// The chain as all miners see it.
pub(crate) struct Chain<'a> {
    scenario: &'a Scenario,
    key: Key,
    work: u64,
    height: u64,
    reward: u64,
    /// When the present stretch between two retargets began.
    since_ms: u64,
}

impl<'a> Chain<'a> {
    pub(crate) fn new(scenario: &'a Scenario, key: Key) -> Result<Self, SimulateError> {
        let work = scenario.network.work.get();
        let mut chain = Self { scenario, key, work, height: 0, reward: 0, since_ms: 0 };
        chain.follow_table();
        chain.reward = chain.earns()?;
        Ok(chain)
    }

    /// A block's work now.
    pub(crate) const fn work(&self) -> u64 {
        self.work
    }

    /// What the next block earns.
    pub(crate) const fn reward(&self) -> u64 {
        self.reward
    }

    /// Its height, from 0.
    pub(crate) const fn height(&self) -> u64 {
        self.height
    }

    /// Somebody found a block. Whether the next one takes other work.
    pub(crate) fn block(&mut self, time_ms: u64) -> Result<bool, SimulateError> {
        let before = self.work;
        self.height = self.height.saturating_add(1);
        self.follow_table();
        if let Difficulty::Retarget { every, seconds, within } = self.scenario.network.difficulty
            && self.height.checked_rem(every.get()) == Some(0)
        {
            let first = self.scenario.network.work.get();
            let aim = u128::from(every.get()).saturating_mul(seconds.get().into()).saturating_mul(1000);
            let took = u128::from(time_ms.saturating_sub(self.since_ms).max(1));
            let work = u128::from(self.work);
            let next = work.saturating_mul(aim).checked_div(took).unwrap_or(work);
            let next = next.clamp((work / 4).max(1), work.saturating_mul(4));
            let next = u64::try_from(next).unwrap_or(u64::MAX);
            let least = first.checked_div(within.get()).unwrap_or(1).max(1);
            self.work = next.clamp(least, first.saturating_mul(within.get()).max(least));
            self.since_ms = time_ms;
        }
        self.reward = self.earns()?;
        Ok(self.work != before)
    }

    fn follow_table(&mut self) {
        if let Difficulty::Table(table) = &self.scenario.network.difficulty
            && let Some((_, work)) = table.iter().rev().find(|row| row.0 <= self.height)
        {
            self.work = work.get();
        }
    }

    /// Fees are drawn by the height alone: the same for all that is simulated on one stream.
    fn earns(&self) -> Result<u64, SimulateError> {
        let fees = match self.scenario.reward.fees {
            Fees::None => 0,
            Fees::Constant { amount } => amount,
            Fees::Lognormal { mean, sigma } => {
                // The low bits of the height: 2^32 blocks are more than anybody simulates.
                let mut stream = self.key.stream(Purpose::Fee, self.height as u32);
                let middle = maths::ln(mean.get() as f64) - 0.5 * sigma.0 * sigma.0;
                maths::exp(middle + sigma.0 * stream.normal()) as u64
            }
        };
        self.scenario
            .reward
            .subsidy
            .get()
            .checked_add(fees)
            .ok_or(SimulateError::Overflow("a reward with fees"))
    }
}

/// The greatest work of a block that a scenario can come to.
pub(crate) fn greatest(scenario: &Scenario) -> u128 {
    let first = u128::from(scenario.network.work.get());
    match &scenario.network.difficulty {
        Difficulty::Fixed => first,
        Difficulty::Retarget { within, .. } => first.saturating_mul(within.get().into()),
        Difficulty::Table(table) => table.iter().map(|row| row.1.get().into()).fold(first, u128::max),
    }
}

/// What a block earns in the mean.
pub(crate) fn mean_reward(scenario: &Scenario) -> f64 {
    let fees = match scenario.reward.fees {
        Fees::None => 0,
        Fees::Constant { amount } => amount,
        Fees::Lognormal { mean, .. } => mean.get(),
    };
    scenario.reward.subsidy.get() as f64 + fees as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scenario(network: &str, reward: &str) -> Scenario {
        Scenario::parse(&format!(
            "title = \"\"\nseed = 1\nblocks = 10\n[[miners]]\nname = \"a\"\nhashrate = 1\n[[scheme]]\nplugin = \"prop\"\n\
             [network]\nwork = 1000\n{network}\n[reward]\nsubsidy = 50\n{reward}"
        ))
        .unwrap()
    }

    const KEY: Key = Key { seed: 1, replication: 0 };

    #[test]
    fn a_retarget_follows_how_long_blocks_took_at_most_four_times() {
        let scenario = scenario("difficulty = { retarget = { every = 2, seconds = 10, within = 10 } }", "");
        let mut chain = Chain::new(&scenario, KEY).unwrap();
        assert!(!chain.block(5_000).unwrap());
        // Ten seconds for two blocks instead of twenty.
        assert!(chain.block(10_000).unwrap());
        assert_eq!((chain.work(), chain.height()), (2000, 2));
        chain.block(10_001).unwrap();
        chain.block(10_002).unwrap();
        assert_eq!(chain.work(), 8000);
        chain.block(10_003).unwrap();
        chain.block(10_004).unwrap();
        assert_eq!((chain.work(), greatest(&scenario)), (10_000, 10_000));
        chain.block(900_000).unwrap();
        chain.block(999_999).unwrap();
        assert_eq!(chain.work(), 2500);
    }

    #[test]
    fn a_table_says_what_a_block_takes() {
        let scenario = scenario("difficulty = { table = [[0, 7], [2, 9]] }", "");
        let mut chain = Chain::new(&scenario, KEY).unwrap();
        assert_eq!((chain.work(), chain.reward()), (7, 50));
        assert!(!chain.block(1).unwrap());
        assert!(chain.block(2).unwrap());
        assert_eq!((chain.work(), greatest(&scenario)), (9, 1000));
    }

    /// Of 4,000 lognormal fees with σ = 0.5 the mean's error is 0.53/√4000 = 0.85 %: 4 σ are 3.4 %.
    #[test]
    fn fees_have_the_mean_that_is_asked_for() {
        let scenario = scenario("", "fees = { lognormal = { mean = 1000000, sigma = 0.5 } }");
        let mut chain = Chain::new(&scenario, KEY).unwrap();
        let mut sum = 0.0;
        for at in 0..4_000 {
            sum += (chain.reward() - 50) as f64;
            chain.block(at).unwrap();
        }
        assert!((sum / 4e9 - 1.0).abs() < 0.034, "{sum}");
        assert_eq!(mean_reward(&scenario), 1_000_050.0);
    }
}
