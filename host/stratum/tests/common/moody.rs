//! An algorithm that fails when a test wants it to, and a pool whose recipe uses it.

use super::{Harness, SOURCES, Template, config, start_with};
use millpond_algorithms::{Algorithm, AlgorithmError, Algorithms, Context, Cost};
use millpond_recipe::Recipe;
use millpond_stratum::StratumConfig;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// sha256d, but for so many calls from now on that fail.
#[derive(Clone)]
struct Moody {
    failing: Arc<AtomicUsize>,
    cost: Cost,
}

impl Algorithm for Moody {
    fn name(&self) -> &str {
        "moody"
    }

    fn cost(&self) -> Cost {
        self.cost
    }

    fn prepare(&self, _: &[u8]) -> Result<Arc<dyn Context>, AlgorithmError> {
        Ok(Arc::new(self.clone()))
    }
}

impl Context for Moody {
    fn hash(&self, input: &[u8], out: &mut [u8]) -> Result<(), AlgorithmError> {
        let one_less = |left: usize| left.checked_sub(1);
        if self.failing.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less).is_ok() {
            let reason = "the component trapped".to_owned();
            return Err(AlgorithmError::Failed { algorithm: "moody".into(), reason });
        }
        out.copy_from_slice(&super::miner::sha256d(input));
        Ok(())
    }
}

/// More failures than a test has calls.
pub const FOR_GOOD: usize = 1_000_000;

/// A pool whose recipe, with these words replaced, uses the moody algorithm; ten invalid shares are a ban.
pub async fn moody(cost: Cost, from: &str, to: &str) -> (Harness, Arc<AtomicUsize>) {
    let mut config = config();
    config.bans.window = 10;
    moody_with(config, cost, from, to).await
}

async fn moody_with(config: StratumConfig, cost: Cost, from: &str, to: &str) -> (Harness, Arc<AtomicUsize>) {
    let failing = Arc::new(AtomicUsize::new(0));
    let mut algorithms = Algorithms::native();
    assert!(algorithms.add(Arc::new(Moody { failing: Arc::clone(&failing), cost })));
    assert!(SOURCES[0].contains(from));
    let text = SOURCES[0].replace(from, to);
    let mut pool = start_with(config).await;
    pool.recipes[0] = Recipe::compile("moody", &text, &algorithms).unwrap_or_else(|why| panic!("{why}"));
    pool.publish(&Template::default());
    (pool, failing)
}

/// A pool whose proof of work is the moody algorithm.
pub async fn hashing(cost: Cost) -> (Harness, Arc<AtomicUsize>) {
    moody(cost, "pow   = sha256d hdr", "pow   = moody hdr").await
}

/// As [`hashing`], with another configuration.
pub async fn hashing_with(config: StratumConfig, cost: Cost) -> (Harness, Arc<AtomicUsize>) {
    moody_with(config, cost, "pow   = sha256d hdr", "pow   = moody hdr").await
}
