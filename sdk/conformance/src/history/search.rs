//! The search for a history that breaks a property, and its way to a small one.

use super::{History, Shares, Step};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};
use std::cell::RefCell;
use std::collections::BTreeMap;

/// Steps of shrinking; they are bounded by their number and not by time, so that equal seeds end alike.
const SHRINKS: u32 = 4_096;
/// Tries of the last pass.
const TRIES: u32 = 2_000;

/// A history that breaks a property.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) history: History,
    pub(crate) why: String,
}

/// Tries so many histories of a strategy; `inputs` takes the bytes of each that was generated.
pub(crate) fn search(
    (seed, name): (u64, &str),
    cases: u32,
    strategy: &BoxedStrategy<History>,
    inputs: &RefCell<blake3::Hasher>,
    held: &dyn Fn(&History) -> Result<(), String>,
) -> Result<u32, Box<Found>> {
    let mut from = blake3::Hasher::new();
    from.update(&seed.to_le_bytes()).update(name.as_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, from.finalize().as_bytes());
    // Nothing of it from the environment: a report is made again by its options.
    let config = Config {
        cases,
        max_shrink_iters: SHRINKS,
        failure_persistence: None,
        verbose: 0,
        ..Config::default()
    };
    let broken = RefCell::new(false);
    let result = TestRunner::new_with_rng(config, rng).run(strategy, |history| {
        if !*broken.borrow() {
            inputs.borrow_mut().update(&history.json());
        }
        held(&history).map_err(|why| {
            broken.replace(true);
            TestCaseError::fail(why)
        })
    });
    match result {
        Ok(()) => Ok(cases),
        Err(TestError::Fail(why, history)) => {
            Err(Box::new(smaller(Found { history, why: why.message().to_owned() }, held)))
        }
        Err(TestError::Abort(why)) => Err(Box::new(Found {
            history: History { network: 1, reward: 0, pace: 0, reserve: 0, steps: Vec::new() },
            why: format!("no histories could be generated: {why}"),
        })),
    }
}

/// Takes away what is not needed, one part after the other, and names the miners 1, 2, 3, …
fn smaller(mut found: Found, held: &dyn Fn(&History) -> Result<(), String>) -> Found {
    let mut tries = TRIES;
    loop {
        let before = found.history.clone();
        for candidate in candidates(&found.history) {
            if candidate == found.history || tries == 0 {
                continue;
            }
            tries -= 1;
            if let Err(why) = held(&candidate) {
                found = Found { history: candidate, why };
                // Places have moved: begin again.
                break;
            }
        }
        if found.history == before {
            return found;
        }
    }
}

fn candidates(history: &History) -> Vec<History> {
    let with = |steps: Vec<Step>| History { steps, ..history.clone() };
    let mut all = Vec::new();
    for at in 0..history.steps.len() {
        let mut steps = history.steps.clone();
        steps.remove(at);
        all.push(with(steps));
    }
    for (at, step) in history.steps.iter().enumerate() {
        let Step::Shares(runs) = step else { continue };
        for run in 0..runs.len() {
            let mut fewer = runs.clone();
            fewer.remove(run);
            let mut steps = history.steps.clone();
            if let Some(slot) = steps.get_mut(at).filter(|_| !fewer.is_empty()) {
                *slot = Step::Shares(fewer);
                all.push(with(steps));
            }
        }
    }
    all.push(renamed(history));
    all
}

/// Miners in the order in which they appear.
fn renamed(history: &History) -> History {
    let mut names = BTreeMap::new();
    let mut named = history.clone();
    for step in &mut named.steps {
        let Step::Shares(runs) = step else { continue };
        for Shares { miner, .. } in runs {
            let next = names.len() as u64 + 1;
            *miner = *names.entry(*miner).or_insert(next);
        }
    }
    named
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{Scales, histories};
    use crate::scheme::tests::even;

    fn find(held: &dyn Fn(&History) -> Result<(), String>) -> Result<u32, Box<Found>> {
        let strategy = histories(even().terms(), Scales::Common);
        search((1, "test"), 200, &strategy, &RefCell::default(), held)
    }

    #[test]
    fn a_counterexample_is_as_small_as_it_can_be() {
        // Two blocks, the second behind a share of miner 5 or above.
        let found = find(&|history| {
            let late = history.steps.iter().skip_while(|step| !matches!(step, Step::Block(_))).skip(1);
            let big = late.skip_while(|step| match step {
                Step::Shares(runs) => runs.iter().all(|run| run.work < 30),
                _ => true,
            });
            let block = big.skip(1).any(|step| matches!(step, Step::Block(pays) if *pays > 100));
            if block { Err("found".to_owned()) } else { Ok(()) }
        });
        let found = found.unwrap_err();
        assert_eq!(
            found.history.steps,
            [Step::Block(0), Step::Shares(vec![Shares { miner: 1, work: 30, times: 1 }]), Step::Block(101)]
        );
        assert_eq!(found.why, "found");
    }

    #[test]
    fn the_same_seed_finds_the_same() {
        let blocks =
            |history: &History| history.steps.iter().filter(|step| matches!(step, Step::Block(_))).count();
        let held = |history: &History| if blocks(history) > 3 { Err("four".to_owned()) } else { Ok(()) };
        assert_eq!(find(&held), find(&held));
        assert_eq!(find(&|_| Ok(())), Ok(200));
        let strategy = histories(even().terms(), Scales::Common);
        let digest = |seed| {
            let inputs = RefCell::default();
            search((seed, "test"), 20, &strategy, &inputs, &|_| Ok(())).unwrap();
            inputs.into_inner().finalize()
        };
        assert_eq!(digest(1), digest(1));
        assert_ne!(digest(1), digest(2));
    }
}
