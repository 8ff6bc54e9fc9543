//! Scenario files. A field that is not known is refused, and so is a value that cannot be: with its line.

use crate::SimulateError;
use millpond_config::Span;
use millpond_types::Digest;
use serde::{Deserialize, Deserializer, Serialize, de::Error};
use std::collections::BTreeMap;
use std::num::{NonZeroU32, NonZeroU64};
use toml::Spanned;

/// What is played.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// A sentence about it.
    pub title: String,
    /// Every share, or whole rounds.
    #[serde(default)]
    pub mode: Mode,
    /// What the random stream begins with.
    pub seed: u64,
    /// How often it is played, each time with other luck.
    #[serde(default = "sixteen")]
    pub replications: NonZeroU64,
    /// Length of a replication, in expected blocks of all that is simulated; in rounds mode in blocks of the pool.
    pub blocks: NonZeroU64,
    /// So many of them precede what is measured.
    #[serde(default)]
    pub warmup: u64,
    /// So many are one sample of the measures: T.
    #[serde(default = "ten")]
    pub batch: NonZeroU64,
    /// Rows of a batch of shares, for schemes that take them; what the scheme declares when it is left out.
    pub rows: Option<NonZeroU32>,
    /// The chain.
    pub network: Network,
    /// What a block earns.
    pub reward: Reward,
    /// Part of the pool's blocks that the chain loses.
    #[serde(default)]
    pub lost: Part,
    /// Classes of miners.
    pub miners: Vec<Miners>,
    /// Lists of the operator's, for fee policies that ask for one: by name, the number of each class's miners.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub lists: BTreeMap<String, BTreeMap<String, u64>>,
    /// Schemes that divide the same incomes.
    pub scheme: Vec<SchemeSection>,
    /// The file's text, for the lines of what is found later.
    #[serde(skip)]
    source: String,
}

/// How time passes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Share by share.
    #[default]
    Shares,
    /// A round's length and how it falls to its miners are drawn at once: schemes that look at the round alone.
    Rounds,
}

/// What a block takes.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Network {
    /// Work of a block, at the beginning.
    pub work: NonZeroU64,
    /// How it changes.
    #[serde(default)]
    pub difficulty: Difficulty,
}

/// How a block's work changes.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Difficulty {
    /// Not at all.
    #[default]
    Fixed,
    /// After so many blocks by how long they took, at most four times or a quarter.
    Retarget {
        /// Blocks.
        every: NonZeroU64,
        /// How long one should take.
        seconds: NonZeroU64,
        /// Never beyond so many times the beginning's work, nor below that part of it.
        #[serde(default = "sixteen")]
        within: NonZeroU64,
    },
    /// From a block on, counted from 0: that work.
    Table(Vec<(u64, NonZeroU64)>),
}

/// What a block earns.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Reward {
    /// Without fees, in the smallest unit.
    pub subsidy: NonZeroU64,
    /// And the fees.
    #[serde(default)]
    pub fees: Fees,
}

/// Fees of a block.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Fees {
    /// None.
    #[default]
    None,
    /// The same in every block.
    Constant {
        /// In the smallest unit.
        amount: u64,
    },
    /// Lognormal: fees of one block tell nothing of the next.
    Lognormal {
        /// Their mean, in the smallest unit.
        mean: NonZeroU64,
        /// The standard deviation of their logarithm.
        sigma: Positive,
    },
}

/// A class: miners who do the same.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Miners {
    /// Its name in the results.
    pub name: String,
    /// How many they are.
    #[serde(default = "one")]
    pub count: NonZeroU32,
    /// What all of them together do, in work a second.
    pub hashrate: NonZeroU64,
    /// How that is spread among them.
    #[serde(default)]
    pub spread: Spread,
    /// Work of a share.
    #[serde(default = "one_work")]
    pub work: NonZeroU64,
    /// What they do.
    #[serde(default)]
    pub strategy: StrategyChoice,
    /// When their hashrate changes; in the order of blocks.
    #[serde(default)]
    pub step: Vec<Step>,
}

/// A hashrate changes.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// From this block of the chain on, counted from 0.
    pub block: u64,
    /// To so many times what the class began with.
    pub times: Positive,
}

/// How a class's hashrate falls to its miners.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Spread {
    /// To all alike.
    #[default]
    Equal,
    /// To the k-th a part like k^-exponent.
    Zipf {
        /// The exponent.
        exponent: Positive,
    },
    /// Lognormal, drawn anew in each replication.
    Lognormal {
        /// The standard deviation of the logarithm.
        sigma: Positive,
    },
}

/// What miners do.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum StrategyChoice {
    /// They mine and hand in what they find.
    #[default]
    Honest,
    /// They mine while the round is young, else where a share earns its expected value.
    Hopper {
        /// The round's age at which they leave, in expected blocks.
        until: Positive,
    },
    /// They hand in shares, and no block.
    Withholder,
    /// They hold a block back while waiting for more own shares pays under a proportional scheme.
    Delayer,
    /// They come and go by the clock, and mine elsewhere in between.
    Visitor {
        /// Each so many seconds begin with a stay.
        every: NonZeroU64,
        /// How long it is, in seconds.
        stay: u64,
    },
    /// They mine alone, or in another pool: always elsewhere.
    Elsewhere,
}

/// A scheme at work.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct SchemeSection {
    /// A bundled scheme's name, or the path of a component of one's own, which ends in `.wasm`.
    pub plugin: String,
    /// Its name in the results; the plugin's when it is left out.
    pub name: Option<String>,
    /// Its settings.
    #[serde(default)]
    pub settings: BTreeMap<String, Spanned<toml::Value>>,
    /// The operator's part of what is credited, in the measures of the operator alone: miners' figures are before fees.
    #[serde(default)]
    pub fee: Part,
    /// Fee policies instead, one behind the other as a pool applies them: miners' figures are after them.
    #[serde(default)]
    pub fees: Vec<FeeSection>,
    /// What the operator begins with, in the smallest unit.
    #[serde(default)]
    pub reserve: u64,
}

/// A fee policy at work.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct FeeSection {
    /// A bundled policy's name, or the path of a component of one's own, which ends in `.wasm`.
    pub policy: String,
    /// Its settings.
    #[serde(default)]
    pub settings: BTreeMap<String, Spanned<toml::Value>>,
}

/// Whether a plugin is a component of one's own.
pub(crate) fn is_path(plugin: &str) -> bool {
    plugin.ends_with(".wasm")
}

impl SchemeSection {
    /// Whether it names a component of one's own, which runs in a sandbox and has no native build.
    #[must_use]
    pub fn has_components(&self) -> bool {
        is_path(&self.plugin) || self.fees.iter().any(|fee| is_path(&fee.policy))
    }

    /// Its name in the results.
    #[must_use]
    pub fn shown(&self) -> &str {
        self.name.as_deref().unwrap_or(&self.plugin)
    }
}

/// A number from 0 to 1, in millionths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Part {
    /// Millionths.
    pub millionths: u32,
}

impl<'de> Deserialize<'de> for Part {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let part = f64::deserialize(from)?;
        let millionths = (part * 1e6).round();
        if !(0.0..=1e6).contains(&millionths) || (millionths - part * 1e6).abs() > 1e-6 {
            return Err(D::Error::custom(format!("{part} is no part from 0 to 1 of at most six digits")));
        }
        Ok(Self { millionths: millionths as u32 })
    }
}

/// A number above 0.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Positive(pub f64);

impl<'de> Deserialize<'de> for Positive {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let number = f64::deserialize(from)?;
        if number.is_finite() && number > 0.0 {
            Ok(Self(number))
        } else {
            Err(D::Error::custom(format!("{number} is no number above 0")))
        }
    }
}

fn one() -> NonZeroU32 {
    NonZeroU32::MIN
}

fn one_work() -> NonZeroU64 {
    NonZeroU64::MIN
}

fn ten() -> NonZeroU64 {
    NonZeroU64::MIN.saturating_add(9)
}

fn sixteen() -> NonZeroU64 {
    NonZeroU64::MIN.saturating_add(15)
}

impl Scenario {
    /// Reads a scenario.
    ///
    /// # Errors
    /// [`SimulateError::Toml`] with line and column, or what the scenario contradicts itself in.
    pub fn parse(text: &str) -> Result<Self, SimulateError> {
        let mut scenario: Self = toml::from_str(text)
            .map_err(|error| SimulateError::Toml(error.to_string().trim_end().to_owned()))?;
        text.clone_into(&mut scenario.source);
        scenario.check()?;
        Ok(scenario)
    }

    /// The place of a byte of the file.
    pub(crate) fn line(&self, at: usize) -> Span {
        let before = self.source.get(..at).unwrap_or("");
        let column = before.chars().rev().take_while(|char| *char != '\n').count().saturating_add(1);
        Span { line: before.matches('\n').count().saturating_add(1), column }
    }

    /// Its digest in one form, whatever the file looked like.
    ///
    /// # Errors
    /// When it cannot be written down.
    pub fn digest(&self) -> Result<Digest, SimulateError> {
        Ok(Digest::of(&serde_json::to_vec(self)?))
    }

    /// The same with the least that shows whether it works: two replications of a tenth of the blocks.
    #[must_use]
    pub fn shortened(mut self) -> Self {
        self.replications = NonZeroU64::MIN.saturating_add(1);
        let least = self.batch.get().saturating_mul(2);
        self.blocks = NonZeroU64::new((self.blocks.get() / 10).max(least)).unwrap_or(self.blocks);
        self
    }

    fn check(&self) -> Result<(), SimulateError> {
        let refuse = |at: String, message: &str| Err(SimulateError::scenario(at, message));
        if self.miners.is_empty() || self.scheme.is_empty() {
            return refuse("scenario".to_owned(), "it takes [[miners]] and [[scheme]], one or more of each");
        }
        for (at, class) in self.miners.iter().enumerate() {
            if self.miners.iter().take(at).any(|other| other.name == class.name) {
                return refuse(format!("miners {}", class.name), "two classes have this name, rename one");
            }
            if !class.step.iter().zip(class.step.iter().skip(1)).all(|(a, b)| a.block < b.block) {
                return refuse(format!("miners {}", class.name), "its steps are not in the order of blocks");
            }
        }
        for (at, scheme) in self.scheme.iter().enumerate() {
            if self.scheme.iter().take(at).any(|other| other.shown() == scheme.shown()) {
                let message = "two schemes have this name, give one another `name`";
                return refuse(format!("scheme {}", scheme.shown()), message);
            }
        }
        for (list, of) in &self.lists {
            let unknown = |class: &&String| !self.miners.iter().any(|known| known.name == **class);
            if let Some(class) = of.keys().find(unknown) {
                let message = format!("no miners are called {class:?}");
                return Err(SimulateError::scenario(format!("lists.{list}"), message));
            }
        }
        if let Difficulty::Table(table) = &self.network.difficulty
            && !table.iter().zip(table.iter().skip(1)).all(|(a, b)| a.0 < b.0)
        {
            return refuse("network.difficulty".to_owned(), "its table is not in the order of blocks");
        }
        if self.blocks < self.batch {
            return refuse("blocks".to_owned(), "fewer than one `batch`, nothing could be measured");
        }
        if self.mode == Mode::Rounds {
            self.check_rounds()?;
        }
        Ok(())
    }

    /// A round at once: every share is like every other then.
    fn check_rounds(&self) -> Result<(), SimulateError> {
        let only = |at: &str, what: &str| {
            let message = format!("rounds mode knows {what} only, take mode = \"shares\"");
            Err(SimulateError::scenario(at, message))
        };
        if !matches!(self.network.difficulty, Difficulty::Fixed) {
            return only("network.difficulty", "a fixed difficulty");
        }
        let work = self.miners.first().map(|class| class.work);
        for class in &self.miners {
            let at = format!("miners {}", class.name);
            if Some(class.work) != work {
                return only(&at, "one work for all shares");
            }
            if !class.step.is_empty() {
                return only(&at, "steady hashrates");
            }
            if matches!(class.strategy, StrategyChoice::Delayer | StrategyChoice::Visitor { .. }) {
                return only(&at, "strategies by a round's age");
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAST: &str = r#"
title = "t"
seed = 1
blocks = 100

[network]
work = 1000

[reward]
subsidy = 1000

[[miners]]
name = "all"
hashrate = 10

[[scheme]]
plugin = "prop"
"#;

    fn told(change: impl Fn(String) -> String) -> String {
        Scenario::parse(&change(LEAST.to_owned())).unwrap_err().to_string()
    }

    #[test]
    fn defaults_are_filled_in_and_part_of_the_digest() {
        let scenario = Scenario::parse(LEAST).unwrap();
        assert_eq!((scenario.mode, scenario.batch.get()), (Mode::Shares, 10));
        let spelled =
            Scenario::parse(&LEAST.replace("blocks = 100", "blocks = 100 # so many\nbatch = 10")).unwrap();
        assert_eq!(scenario.digest().unwrap(), spelled.digest().unwrap());
        let other = Scenario::parse(&LEAST.replace("blocks = 100", "blocks = 101")).unwrap();
        assert_ne!(scenario.digest().unwrap(), other.digest().unwrap());
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        let unknown = told(|text| text.replace("subsidy = 1000", "subsidy = 1000\nsubsidies = 3"));
        assert!(unknown.contains("line 11") && unknown.contains("subsidies"), "{unknown}");
        let zero = told(|text| text.replace("work = 1000", "work = 0"));
        assert!(zero.contains("line 7"), "{zero}");
        let part = told(|text| text.replace("seed = 1", "seed = 1\nlost = 1.5"));
        assert!(part.contains("line 4") && part.contains("1.5"), "{part}");
        let strategy =
            told(|text| format!("{text}\n[[miners]]\nname = \"b\"\nhashrate = 1\nstrategy = \"lazy\""));
        assert!(strategy.contains("line 22") && strategy.contains("honest"), "{strategy}");
        let below = told(|text| {
            let class = "[[miners]]\nname = \"b\"\nhashrate = 1\nstrategy = { hopper = { until = -1.0 } }";
            format!("{text}\n{class}")
        });
        assert!(below.contains("line 22") && below.contains("above 0"), "{below}");
    }

    #[test]
    fn names_are_given_once_and_rounds_know_their_limits() {
        let twice = told(|text| format!("{text}\n[[scheme]]\nplugin = \"prop\""));
        assert!(twice.contains("scheme prop") && twice.contains("name"), "{twice}");
        let rounds = |text: String| text.replace("seed = 1", "seed = 1\nmode = \"rounds\"");
        assert!(Scenario::parse(&rounds(LEAST.to_owned())).is_ok());
        let table = told(|text| {
            rounds(text).replace("work = 1000", "work = 1000\ndifficulty = { table = [[5, 9]] }")
        });
        assert!(table.contains("fixed difficulty") && table.contains("shares"), "{table}");
        let delayer =
            told(|text| rounds(text).replace("hashrate = 10", "hashrate = 10\nstrategy = \"delayer\""));
        assert!(delayer.contains("miners all"), "{delayer}");
    }
}
