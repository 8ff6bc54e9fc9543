//! How long a coinbase miners' firmware takes. What is longer is cut or refused by the machine, often in silence: its
//! shares are all wrong, or it hashes nothing. The pool cannot see that from a share, so it says so beforehand.

use millpond_jobs::Job;
use millpond_recipe::{SessionStage, Width};
use parking_lot::Mutex;
use std::collections::HashSet;
use std::fmt;

/// A kind of firmware.
#[derive(Debug, PartialEq, Eq)]
struct Firmware {
    /// For configurations.
    id: &'static str,
    /// For people.
    name: &'static str,
    /// What its user agent holds, in small letters.
    agents: &'static [&'static str],
    /// The longest coinbase it takes, without witness, in bytes.
    limit: usize,
}

/// From what is known of firmware in the field; the first that fits. Antminers that are no S21, and what is not named
/// here, are taken to hold what all of them do.
const KNOWN: [Firmware; 4] = [
    Firmware { id: "nerdminer", name: "NerdMiner", agents: &["nerdminer"], limit: 255 },
    Firmware { id: "esp-miner", name: "ESP-Miner", agents: &["esp-miner", "bitaxe"], limit: 384 },
    Firmware { id: "s21", name: "Antminer S21", agents: &["s21"], limit: 2_250 },
    Firmware { id: "whatsminer", name: "WhatsMiner", agents: &["whatsminer", "btminer"], limit: 6_500 },
];
const OTHERS: Firmware = Firmware { id: "antminer", name: "other", agents: &[], limit: 750 };

fn of(agent: &str) -> &'static Firmware {
    let agent = agent.to_ascii_lowercase();
    KNOWN.iter().find(|known| known.agents.iter().any(|word| agent.contains(word))).unwrap_or(&OTHERS)
}

/// Bytes of a coinbase that a configuration may ask for.
const LIMITS: std::ops::RangeInclusive<usize> = 200..=6_500;

/// The longest coinbase that a configuration names, by a kind of firmware ("antminer" holds what all but the smallest do) or
/// in bytes.
#[must_use]
pub fn coinbase_limit(text: &str) -> Option<usize> {
    let named = KNOWN.iter().chain([&OTHERS]).find(|known| known.id == text).map(|known| known.limit);
    named.or_else(|| text.parse().ok()).filter(|limit| LIMITS.contains(limit))
}

/// Why a miner with this user agent gets no work of a pool whose coinbases may have `limit` bytes: a sentence for him.
pub(crate) fn cannot_take(agent: &str, limit: usize) -> Option<String> {
    let firmware = of(agent);
    (firmware.limit < limit).then(|| {
        format!(
            "this pool pays its miners in the coinbase of each block, which may have {limit} bytes, and {} firmware takes {}: \
             it would hash something else, so there is no work for it here",
            firmware.name, firmware.limit
        )
    })
}

/// A job's coinbase is longer than a connected miner's firmware takes. Shows as a sentence for the operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CoinbaseTooLong {
    /// The kind of firmware.
    pub firmware: &'static str,
    /// The most bytes it takes.
    pub limit: usize,
    /// The bytes of the coinbase, without witness.
    pub bytes: usize,
    /// The user agent of the first such miner.
    pub agent: String,
}

impl fmt::Display for CoinbaseTooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { firmware, limit, bytes, agent } = self;
        write!(
            f,
            "the coinbase of jobs has {bytes} bytes and {firmware} firmware takes {limit} (a miner calls itself \
             {agent:?}): such machines hash something else or nothing, and may not say so. Pay fewer outputs in the \
             coinbase, shorten the tag, or serve them from another pool"
        )
    }
}

/// Bytes of the coinbase without witness, as a session hashes it: what its recipe's `sv2` line says is before (`prefix`)
/// and behind (`suffix`) the extranonce, and the extranonce. `None` where the recipe speaks of no coinbase.
pub(crate) fn coinbase_bytes(job: &Job, session: Option<&SessionStage>) -> Option<usize> {
    let recipe = job.stage.recipe();
    let part = |wanted: &str| {
        let (_, register) = recipe.sv2().iter().find(|(role, _)| **role == *wanted)?;
        let bytes = job.stage.register(register).or_else(|| session?.register(register))?;
        Some(bytes.len())
    };
    let xn = recipe.share_fields().iter().find(|field| &*field.name == "xn")?;
    let Width::Fixed(extranonce) = xn.width else { return None };
    Some(part("prefix")? + part("suffix")? + usize::try_from(extranonce).ok()?)
}

/// What was told already: each kind of firmware once.
#[derive(Debug, Default)]
pub(crate) struct Told(Mutex<HashSet<&'static str>>);

impl Told {
    /// Whether a coinbase is too long for a miner, and what the operator is to hear if it is the first of its kind.
    pub(crate) fn look(&self, agent: &str, bytes: usize) -> (bool, Option<CoinbaseTooLong>) {
        let firmware = of(agent);
        if bytes <= firmware.limit {
            return (false, None);
        }
        let first = self.0.lock().insert(firmware.name);
        let told = || CoinbaseTooLong {
            firmware: firmware.name,
            limit: firmware.limit,
            bytes,
            agent: agent.to_owned(),
        };
        (true, first.then(told))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_agent_names_its_firmware() {
        for (agent, name, limit) in [
            ("NerdMinerV2/1.7", "NerdMiner", 255),
            ("bitaxe/BM1370/v2.4", "ESP-Miner", 384),
            ("Antminer S21/cgminer", "Antminer S21", 2_250),
            ("Antminer S19/cgminer", "other", 750),
            ("whatsminer/v1.0", "WhatsMiner", 6_500),
            ("", "other", 750),
        ] {
            let firmware = of(agent);
            assert_eq!((firmware.name, firmware.limit), (name, limit), "{agent}");
        }
    }

    #[test]
    fn a_limit_is_a_kind_of_firmware_or_bytes() {
        let limits = ["nerdminer", "esp-miner", "antminer", "s21", "whatsminer", "1000"].map(coinbase_limit);
        assert_eq!(limits, [255, 384, 750, 2_250, 6_500, 1_000].map(Some));
        assert_eq!(["", "S21", "199", "6501", "-1"].map(coinbase_limit), [None; 5]);
        // Every kind that is told apart takes some limit: with a higher one nobody had work.
        assert_eq!(cannot_take("whatsminer/1.0", *LIMITS.end()), None);
    }

    #[test]
    fn firmware_that_takes_less_than_the_limit_is_told() {
        assert_eq!(cannot_take("cgminer", 750), None);
        assert!(cannot_take("bitaxe/BM1370/v2.4", 750).is_some_and(|why| why.contains("takes 384")));
        assert!(cannot_take("cgminer", 751).is_some());
        assert_eq!(cannot_take("NerdMinerV2", 255), None);
    }

    #[test]
    fn each_kind_is_told_of_once() {
        let told = Told::default();
        assert_eq!(told.look("nerdminer", 255), (false, None));
        assert!(told.look("nerdminer", 256).1.is_some());
        assert_eq!(told.look("NerdMinerV2", 300), (true, None));
        assert!(told.look("cgminer", 751).1.is_some_and(|what| what.limit == 750));
    }
}
