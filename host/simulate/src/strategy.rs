//! What miners do. A strategy sees what a miner can see, and decides where a share is mined and what becomes of a
//! solution.

use crate::scenario::StrategyChoice;
use millpond_stream::Stream;

/// What a miner sees.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// The round's work over the network's; 2^64 is one expected block.
    pub age: u128,
    /// Simulated time.
    pub time_ms: u64,
    /// A block's work.
    pub network: u64,
    /// Shares of the round.
    pub round_shares: u64,
    /// His own of them.
    pub own_shares: u64,
    /// His part of all that is simulated; 2^64 is all.
    pub part: u64,
}

/// Where he mines his next share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In the pool.
    Pool,
    /// Where a share earns its expected value.
    Elsewhere,
}

/// What he does with a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Solution {
    /// He hands it in.
    Report,
    /// He hands it in as a share that is none, or not at all: the block is lost to everybody.
    Withhold,
    /// He waits with it.
    Hold,
}

/// When a strategy may decide otherwise, in a round whose shares are not looked at one by one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wake {
    /// Not in this round.
    Never,
    /// At this age.
    Age(u128),
}

/// A way to mine. One for each class in each replication: it may keep what it likes, and draws by its own stream alone.
pub trait Strategy: Send {
    /// Asked for every share that the class finds, before it counts anywhere.
    fn place(&mut self, seen: &Seen, stream: &mut Stream) -> Place;

    /// Asked when one of its shares in the pool is a block.
    fn solution(&mut self, _: &Seen, _: &mut Stream) -> Solution {
        Solution::Report
    }

    /// Asked after each share of the pool while a solution is held: whether it waits on. Another's block takes the
    /// decision from him.
    fn waits(&mut self, _: &Seen, _: &mut Stream) -> bool {
        false
    }

    /// When [`Strategy::place`] may change in this round.
    fn wakes(&self, _: &Seen) -> Wake {
        Wake::Never
    }

    /// Whether it mines in the pool always and hands in all it finds: then it need not be asked.
    fn is_plain(&self) -> bool {
        false
    }
}

struct Honest;

impl Strategy for Honest {
    fn place(&mut self, _: &Seen, _: &mut Stream) -> Place {
        Place::Pool
    }

    fn is_plain(&self) -> bool {
        true
    }
}

/// P. Raulo, Optimal pool abuse strategy (2011): stays up to an age.
struct Hopper {
    until: u128,
}

impl Strategy for Hopper {
    fn place(&mut self, seen: &Seen, _: &mut Stream) -> Place {
        if seen.age < self.until { Place::Pool } else { Place::Elsewhere }
    }

    fn wakes(&self, seen: &Seen) -> Wake {
        if seen.age < self.until { Wake::Age(self.until) } else { Wake::Never }
    }
}

struct Withholder;

impl Strategy for Withholder {
    fn place(&mut self, _: &Seen, _: &mut Stream) -> Place {
        Place::Pool
    }

    fn solution(&mut self, _: &Seen, _: &mut Stream) -> Solution {
        Solution::Withhold
    }
}

/// Schrijvers, Bonneau, Boneh and Roughgarden, Incentive compatibility of Bitcoin mining pool reward functions (2016),
/// lemma 1: with a solution in hand at b of n shares, a part α of the shares and D to a block, waiting pays under a
/// proportional scheme while (αn - b) / (n(n + 1)) > α / D.
struct Delayer;

impl Delayer {
    fn waiting_pays(seen: &Seen) -> bool {
        const ONE: f64 = 18_446_744_073_709_551_616.0;
        let (n, b) = (seen.round_shares as f64, seen.own_shares as f64);
        let alpha = seen.part as f64 / ONE;
        // Shares of one work: an expected block's worth of them by the round's own.
        let blocks = seen.age as f64 / ONE;
        let shares = if blocks > 0.0 { n / blocks } else { f64::INFINITY };
        alpha * n - b > n * (n + 1.0) * alpha / shares
    }
}

impl Strategy for Delayer {
    fn place(&mut self, _: &Seen, _: &mut Stream) -> Place {
        Place::Pool
    }

    fn solution(&mut self, seen: &Seen, _: &mut Stream) -> Solution {
        if Self::waiting_pays(seen) { Solution::Hold } else { Solution::Report }
    }

    fn waits(&mut self, seen: &Seen, _: &mut Stream) -> bool {
        Self::waiting_pays(seen)
    }
}

struct Visitor {
    every_ms: u64,
    stay_ms: u64,
}

impl Strategy for Visitor {
    fn place(&mut self, seen: &Seen, _: &mut Stream) -> Place {
        let since = seen.time_ms.checked_rem(self.every_ms).unwrap_or(0);
        if since < self.stay_ms { Place::Pool } else { Place::Elsewhere }
    }
}

struct Elsewhere;

impl Strategy for Elsewhere {
    fn place(&mut self, _: &Seen, _: &mut Stream) -> Place {
        Place::Elsewhere
    }
}

/// The strategy that a scenario names.
pub(crate) fn of(choice: StrategyChoice) -> Box<dyn Strategy> {
    match choice {
        StrategyChoice::Honest => Box::new(Honest),
        StrategyChoice::Hopper { until } => {
            // An age is counted in 2^-64 blocks; conversion saturates.
            Box::new(Hopper { until: (until.0 * 18_446_744_073_709_551_616.0) as u128 })
        }
        StrategyChoice::Withholder => Box::new(Withholder),
        StrategyChoice::Delayer => Box::new(Delayer),
        StrategyChoice::Visitor { every, stay } => Box::new(Visitor {
            every_ms: every.get().saturating_mul(1000),
            stay_ms: stay.saturating_mul(1000),
        }),
        StrategyChoice::Elsewhere => Box::new(Elsewhere),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Schrijvers and others: α = 0.3, n = 10, b = 1, D = 1000 gains (3 - 1)/110 against a cost of 0.0003.
    #[test]
    fn a_delayer_waits_while_it_pays() {
        let part = (0.3 * 18_446_744_073_709_551_616.0) as u64;
        let seen = |own_shares, shares_per_block| Seen {
            round_shares: 10,
            own_shares,
            age: (10_u128 << 64) / shares_per_block,
            part,
            ..Seen::default()
        };
        assert!(Delayer::waiting_pays(&seen(1, 1000)));
        assert!(!Delayer::waiting_pays(&seen(3, 1000)));
        // 2/110 = 0.01818 against 0.3/D: D = 16.5.
        assert!(Delayer::waiting_pays(&seen(1, 17)) && !Delayer::waiting_pays(&seen(1, 16)));
    }
}
