//! One loaded adapter version: its documents compiled, its description checked.

use crate::grants::{Grant, GrantError, Granted};
use crate::plugin_pow;
use millpond_algorithms::Algorithms;
use millpond_contracts::chain::{ChainAdapter, Description};
use millpond_dialect::Dialect;
use millpond_jobs::Origin;
use millpond_recipe::Recipe;
use millpond_types::{Target, WorkShift};
use std::sync::Arc;

/// A version of an adapter that the pool can work with. Kept as long as a job of it lives: only the version that made
/// a job assembles its blocks.
pub struct Version {
    /// The adapter.
    pub adapter: Arc<dyn ChainAdapter>,
    /// Digest and start number.
    pub origin: Origin,
    /// Its recipes, by the index that jobs use.
    pub recipes: Vec<Arc<Recipe>>,
    /// Its dialects.
    pub dialects: Vec<Arc<Dialect>>,
    /// Target of difficulty 1.
    pub diff1: Target,
    /// The unit of work.
    pub work_shift: WorkShift,
    /// What it may call.
    pub granted: Granted,
    /// The algorithms its recipes were compiled with: native ones and those it exports.
    pub algorithms: Algorithms,
}

/// An adapter that loads and yet cannot be worked with.
#[derive(Debug, thiserror::Error)]
pub enum VersionError {
    /// A recipe document with errors.
    #[error("recipe {0}: {1}")]
    Recipe(usize, String),
    /// A dialect document with errors.
    #[error("dialect {0}: {1}")]
    Dialect(usize, String),
    /// It asks for what it does not get.
    #[error(transparent)]
    Grant(#[from] GrantError),
    /// A description that makes no sense.
    #[error("the adapter's description: {0}")]
    Description(String),
}

/// Most recipes, and most dialects, of an adapter, by the contract.
const DOCUMENTS: usize = 16;

impl Version {
    /// Compiles an adapter's documents and checks its description and its wishes.
    ///
    /// # Errors
    /// The first thing that does not hold; documents with the lines of all their errors.
    pub fn prepare(
        adapter: Arc<dyn ChainAdapter>,
        generation: u64,
        native: &Algorithms,
        grants: &[Grant],
    ) -> Result<Arc<Self>, VersionError> {
        let description = adapter.description().clone();
        let diff1 = checked(&description).map_err(VersionError::Description)?;
        let granted = Granted::check(&description, grants)?;
        let algorithms = plugin_pow::with_exported(native, &adapter).map_err(VersionError::Description)?;
        let compile = |(n, text): (usize, &String)| recipe(n, text, &algorithms);
        let recipes = description.recipes.iter().enumerate().map(compile).collect::<Result<Vec<_>, _>>()?;
        let compile = |(n, text): (usize, &String)| dialect(n, text);
        let dialects = description.dialects.iter().enumerate().map(compile).collect::<Result<Vec<_>, _>>()?;
        let origin = Origin { adapter: adapter.digest(), generation };
        let work_shift = WorkShift(description.work_shift);
        Ok(Arc::new(Self { adapter, origin, recipes, dialects, diff1, work_shift, granted, algorithms }))
    }

    /// Everything that keeps an adapter from being worked with, at once, as far as it can be told without the rest.
    #[must_use]
    pub fn problems(
        adapter: &Arc<dyn ChainAdapter>,
        native: &Algorithms,
        grants: &[Grant],
    ) -> Vec<VersionError> {
        let description = adapter.description();
        let mut problems: Vec<VersionError> = Vec::new();
        problems.extend(checked(description).err().map(VersionError::Description));
        problems.extend(Granted::check(description, grants).err().map(VersionError::from));
        match plugin_pow::with_exported(native, adapter) {
            Ok(algorithms) => {
                let texts = description.recipes.iter().enumerate();
                problems.extend(texts.filter_map(|(n, text)| recipe(n, text, &algorithms).err()));
            }
            Err(why) => problems.push(VersionError::Description(why)),
        }
        let texts = description.dialects.iter().enumerate();
        problems.extend(texts.filter_map(|(n, text)| dialect(n, text).err()));
        problems
    }

    /// What the adapter says of itself.
    #[must_use]
    pub fn description(&self) -> &Description {
        self.adapter.description()
    }

    /// Whether this version's jobs mean the same to the pool's books as those of `other`: the same network, ledger
    /// unit, unit of work and depth.
    ///
    /// # Errors
    /// What differs.
    pub fn can_follow(&self, other: &Self) -> Result<(), String> {
        let (new, old) = (self.description(), other.description());
        let differs = |what: &str, new: &dyn std::fmt::Display, old: &dyn std::fmt::Display| {
            Err(format!(
                "its {what} is {new}, that of the running version is {old}: that is another pool, not a swap"
            ))
        };
        if new.network != old.network {
            return differs("network", &new.network, &old.network);
        }
        if new.work_shift != old.work_shift {
            return differs("work-shift", &new.work_shift, &old.work_shift);
        }
        if (new.scale, new.decimals) != (old.scale, old.decimals) {
            return differs("ledger unit", &new.scale, &old.scale);
        }
        if new.extranonce != old.extranonce {
            return differs("extranonce", &new.extranonce, &old.extranonce);
        }
        if new.final_after < old.final_after {
            return differs("final-after", &new.final_after, &old.final_after);
        }
        Ok(())
    }
}

impl std::fmt::Debug for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Version({}, generation {})", self.origin.adapter.short(), self.origin.generation)
    }
}

fn recipe(n: usize, text: &str, algorithms: &Algorithms) -> Result<Arc<Recipe>, VersionError> {
    Recipe::compile(&format!("recipe {n} of the adapter"), text, algorithms)
        .map_err(|errors| VersionError::Recipe(n, errors.to_string()))
}

fn dialect(n: usize, text: &str) -> Result<Arc<Dialect>, VersionError> {
    Dialect::compile(&format!("dialect {n} of the adapter"), text)
        .map_err(|errors| VersionError::Dialect(n, errors.to_string()))
}

fn checked(description: &Description) -> Result<Target, String> {
    let diff1: [u8; 32] = description
        .diff1
        .as_slice()
        .try_into()
        .map_err(|_| format!("diff1 has {} bytes, a target has 32", description.diff1.len()))?;
    if diff1 == [0; 32] {
        return Err("diff1 is zero: no hash meets it".to_owned());
    }
    if description.work_shift > 192 {
        return Err(format!("work-shift is {}, at most 192", description.work_shift));
    }
    if description.scale == 0 || description.decimals > 18 {
        return Err("scale is at least 1 and decimals at most 18".to_owned());
    }
    if description.extranonce > 64 {
        return Err(format!("an extranonce of {} bytes, at most 64", description.extranonce));
    }
    if description.final_after == 0 || description.final_after > 1_000_000 {
        return Err(format!("final-after is {}, 1 to 1000000", description.final_after));
    }
    if description.recipes.is_empty()
        || description.recipes.len() > DOCUMENTS
        || description.dialects.len() > DOCUMENTS
    {
        return Err(format!("1 to {DOCUMENTS} recipes and at most {DOCUMENTS} dialects"));
    }
    if description.network.is_empty() || description.network.len() > 64 {
        return Err("the network's name has 1 to 64 bytes".to_owned());
    }
    millpond_contracts::served(description)?;
    Ok(Target::from_be_bytes(diff1))
}
