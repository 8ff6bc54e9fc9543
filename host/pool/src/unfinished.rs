//! What a stop left unfinished: blocks that are followed on, blocks that no node has, incomes that wait.
//!
//! A block belongs to the adapter version that made its job: only that one can put it together again and name it. The
//! record of the job says which it was; its component and what it was granted are in the store.

use crate::core::{Core, OnItsWay};
use crate::history::block_view;
use crate::plan::is_of_a_plan;
use crate::plugins::PluginStore;
use crate::pool::{PoolError, Process};
use crate::setup::{self, Prepared};
use millpond_alerts::Level;
use millpond_algorithms::Algorithms;
use millpond_chain::{ChainHandle, Grant, KnownBlock, KnownIncome, Solved, Version};
use millpond_config::Chain as Section;
use millpond_contracts::chain as contract;
use millpond_contracts::{Settings, load_adapter};
use millpond_disk::read_file;
use millpond_journal::{Job, JournalError, Solution};
use millpond_types::{Amount, Digest, JobId};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;

/// An adapter version with what it is granted.
type Made = (Arc<dyn contract::ChainAdapter>, Vec<Grant>);

/// The versions that made the jobs of unfinished blocks, each loaded once.
pub(crate) struct Makers {
    process: Process,
    folder: PathBuf,
    section: Section,
    settings: Settings,
    running: Made,
    loaded: HashMap<Digest, Result<Made, String>>,
}

impl Makers {
    /// The native algorithms.
    pub(crate) fn algorithms(&self) -> &Algorithms {
        &self.process.algorithms
    }

    pub(crate) fn new(process: &Process, core: &Core, prepared: &Prepared) -> Self {
        Self {
            process: process.clone(),
            folder: core.folder.join("plugins"),
            section: prepared.section.chain.clone(),
            settings: prepared.adapter_settings.clone(),
            running: (Arc::clone(&prepared.adapter), prepared.grants.clone()),
            loaded: HashMap::new(),
        }
    }

    /// The version of a digest: the running one, or one of the store.
    pub(crate) fn version(&mut self, digest: Digest) -> Result<Made, String> {
        if digest == self.running.0.digest() {
            return Ok(self.running.clone());
        }
        if let Some(known) = self.loaded.get(&digest) {
            return known.clone();
        }
        let made = self.load(digest);
        self.loaded.insert(digest, made.clone());
        made
    }

    fn load(&self, digest: Digest) -> Result<Made, String> {
        let words = |why: &dyn std::fmt::Display| format!("the adapter version that made its job: {why}");
        let Process { disk, sandbox, sink, .. } = &self.process;
        let store = PluginStore::open(Arc::clone(disk), &self.folder).map_err(|why| words(&why))?;
        let kept = store.get(digest).map_err(|why| words(&why))?;
        let adapter = load_adapter(sandbox, &kept.name, &kept.bytes, &self.settings, sink)
            .map_err(|why| words(&why))?;
        let granted = store.grants(digest).map_err(|why| words(&why))?;
        let grants = granted.unwrap_or_else(|| setup::grants(&self.section, adapter.as_ref(), &kept));
        Ok((adapter, grants))
    }
}

/// The records of solutions' jobs, which say who made them and what they were worth.
struct Jobs(BTreeMap<JobId, Job>);

impl Jobs {
    fn of<'a>(core: &Core, solutions: impl IntoIterator<Item = &'a Solution>) -> Result<Self, JournalError> {
        let wanted = solutions.into_iter().map(|solution| solution.job).collect();
        core.journal.view().jobs(&wanted).map(Self)
    }

    fn get(&self, id: JobId) -> Result<&Job, String> {
        self.0.get(&id).ok_or_else(|| format!("the journal does not have its job {id} any more"))
    }
}

/// Removes the templates of solutions that need no submission any more: a stop may come between a verdict and the removal.
pub(crate) fn forget_templates(core: &Core, unsubmitted: &[Solution]) {
    let needed: HashSet<PathBuf> =
        unsubmitted.iter().map(|solution| core.body_path(&solution.block)).collect();
    let folder = core.solutions();
    for name in core.disk.list(&folder).unwrap_or_default() {
        let path = folder.join(name);
        if !needed.contains(&path)
            && let Err(why) = core.disk.remove(&path)
        {
            tracing::warn!(%why, "a template that nobody needs stays on disk");
        }
    }
}

/// Blocks and incomes of before the start, as the chain's trust rules need them. An orphan that is deeper than
/// `final_after` is as final as a block of that depth: nobody asks for it again.
pub(crate) fn known(
    core: &Arc<Core>,
    makers: &mut Makers,
    final_after: u32,
) -> Result<(Vec<KnownBlock>, Vec<KnownIncome>), PoolError> {
    let view = core.journal.view();
    let tip = view.share(view.newest())?.map_or(0, |newest| newest.coord);
    let mut open = core.journal.open_blocks();
    open.retain(|block| {
        let orphan = matches!(block.fate, Some(millpond_journal::BlockFate::Orphan(_)));
        !orphan || block.coord.saturating_add(final_after.into()) >= tip
    });
    // A block whose fate is final is not followed any more, but a stop between that and its income's maturity leaves the
    // income waiting: such a block is looked at again.
    let followed: HashSet<&[u8]> = open.iter().map(|block| block.block.as_slice()).collect();
    let incomes = core.journal.open_incomes();
    let mut waited_for: BTreeSet<Vec<u8>> = BTreeSet::new();
    for income in &incomes {
        if let millpond_journal::IncomeAt::Block(id) = &income.at
            && !followed.contains(id.as_slice())
        {
            waited_for.insert(id.clone());
        }
    }
    let positions = open.iter().map(|block| block.position).collect();
    let found = core.journal.solutions_at(&positions)?.into_iter();
    let mut solutions: Vec<Solution> = found.map(|(_, solution)| solution).collect();
    solutions.extend(view.solutions_of(waited_for)?);
    let mut blocks = Vec::new();
    let jobs = Jobs::of(core, &solutions)?;
    for solution in solutions {
        match follow(core, makers, &jobs, &solution) {
            Ok(block) => blocks.push(block),
            Err(why) => {
                let text = format!(
                    "the block at {} of before the start cannot be followed, its income waits: {why}",
                    solution.coord
                );
                core.alarm(Level::Critical, "block", text);
            }
        }
    }
    let names: HashMap<Vec<u8>, Vec<u8>> =
        core.names.lock().iter().map(|(name, id)| (id.clone(), name.clone())).collect();
    let policies = core.journal.policies();
    let incomes = incomes.into_iter().filter_map(|income| {
        let is_of_a_plan = is_of_a_plan(&policies, &income);
        let at = match income.at {
            millpond_journal::IncomeAt::Block(id) => {
                let name = names.get(&id)?;
                // Of a planned coinbase, whose outputs the adapter reports one by one, as it did before.
                if is_of_a_plan && *name == income.key {
                    return None;
                }
                contract::IncomeAt::Block(name.clone())
            }
            millpond_journal::IncomeAt::Coord(coord) => contract::IncomeAt::Coord(coord),
        };
        Some(KnownIncome { key: income.key, amount: income.amount, at, mature: false, lost: false })
    });
    Ok((blocks, incomes.collect()))
}

/// A block as the version that made its job names it: assembling is pure.
fn follow(
    core: &Arc<Core>,
    makers: &mut Makers,
    jobs: &Jobs,
    solution: &Solution,
) -> Result<KnownBlock, String> {
    let job = jobs.get(solution.job);
    show(core, solution, job.as_ref().map_or(Amount::ZERO, |job| job.reward));
    let job = job?;
    let (adapter, _) = makers.version(job.adapter)?;
    let again = again(solution);
    let given = adapter.assemble(&again).map_err(|why| why.to_string())?.value.block;
    let has_codec = !makers.section.trust_adapter_with_coinbase;
    let name = core.named(&given, &solution.block, has_codec).map_or_else(|own| own, |()| given);
    core.names.lock().insert(name.clone(), solution.block.clone());
    core.change_shown(&solution.block, |view| view.block = hex::encode(&name));
    let (coord, since_ms) = (solution.coord, solution.time.0);
    let watched = contract::Watched { block: name, coord, since_ms, saved: again.private };
    Ok(KnownBlock { watched, reward: job.reward, closed: false })
}

fn again(solution: &Solution) -> contract::Solution {
    contract::Solution {
        private: solution.private.clone().unwrap_or_default(),
        fields: solution.fields.clone(),
        results: solution.results.clone(),
        proof: None,
    }
}

fn show(core: &Core, block: &Solution, reward: Amount) {
    core.show(block.block.clone(), block_view(core, block, reward));
}

/// Blocks that no node has, as far as they answered before the stop: those that refused them may be mended. What the
/// chain is `final_after` past needs no node any more. Assembled by the version that made their job, with what that
/// version was granted.
pub(crate) fn resubmit(
    core: &Arc<Core>,
    chain: &ChainHandle,
    makers: &mut Makers,
    mut solutions: Vec<Solution>,
    final_after: u32,
) {
    let newest = core.journal.view();
    let newest = newest.share(newest.newest()).ok().flatten().map_or(0, |share| share.coord);
    solutions.retain(|solution| solution.coord.saturating_add(final_after.into()) >= newest);
    let jobs = Jobs::of(core, &solutions).map_err(|why| why.to_string());
    for solution in solutions {
        let text = format!(
            "a block at {} was found before the stop and no node is known to have it: it is submitted now",
            solution.coord
        );
        core.alarm(Level::Warning, "block", text);
        let job = jobs.as_ref().map_err(Clone::clone).and_then(|jobs| jobs.get(solution.job));
        let prepared = job.and_then(|job| {
            let (adapter, grants) = makers.version(job.adapter)?;
            let leading = chain.version().ok_or("the chain has no version")?;
            let version = Version::prepare(adapter, 0, &leading.algorithms, &grants);
            Ok((job, version.map_err(|why| why.to_string())?))
        });
        let (job, version) = match prepared {
            Ok(both) => both,
            Err(why) => {
                core.alarm(Level::Critical, "block", format!("it cannot be assembled: {why}"));
                continue;
            }
        };
        let body =
            read_file(core.disk.as_ref(), &core.body_path(&solution.block)).ok().map(bytes::Bytes::from);
        let tag = core.tag(OnItsWay::new(solution.block.clone(), None, None));
        let (coord, reward) = (solution.coord, job.reward);
        let solved = Solved { tag, version, coord, reward, body, solution: again(&solution) };
        if let Err(why) = chain.solve_with(solved) {
            core.alarm(Level::Critical, "block", why);
        }
    }
}
