//! Blocks of before the start, for the pages: read once from the journal's newest segments, beside the running pool.

use crate::core::{BLOCKS_SHOWN, Core};
use crate::view::BlockView;
use millpond_contracts::chain::{self as contract, ChainAdapter};
use millpond_journal::{BlockFate, Entry, IncomeAt, JournalError, JournalView, Record, Solution};
use millpond_types::Amount;
use std::collections::{BTreeMap, HashMap};
use std::sync::Weak;

#[derive(Default)]
struct Blocks {
    /// By the place of the solution, so oldest first.
    found: BTreeMap<u64, (Vec<u8>, BlockView)>,
    places: HashMap<Vec<u8>, u64>,
    incomes: HashMap<Vec<u8>, Vec<u8>>,
    newest: Option<Solution>,
}

impl Blocks {
    fn change(&mut self, id: &[u8], change: impl FnOnce(&mut BlockView)) {
        let place = self.places.get(id);
        if let Some((_, view)) = place.and_then(|place| self.found.get_mut(place)) {
            change(view);
        }
    }

    fn take(&mut self, core: &Core, position: u64, record: Record) {
        match record {
            Record::Solution(solution) if !self.places.contains_key(&solution.block) => {
                let id = solution.block.clone();
                self.places.insert(id.clone(), position);
                self.found.insert(position, (id, block_view(core, &solution, Amount::ZERO)));
                if self.found.len() > BLOCKS_SHOWN
                    && let Some((_, (oldest, _))) = self.found.pop_first()
                {
                    self.places.remove(&oldest);
                }
                self.newest = Some(solution);
            }
            Record::Submission(said) => {
                let verdict = format!("{}: {:?} {}", said.node, said.verdict, said.detail);
                let at = format!("{}: ", said.node);
                self.change(&said.block, |view| {
                    // A node's last word counts.
                    view.verdicts.retain(|known| !known.starts_with(&at));
                    view.verdicts.push(verdict.trim_end().to_owned());
                });
            }
            Record::Fate(fate) => {
                self.change(&fate.block, |view| view.fate = fate_name(&fate.fate).to_owned())
            }
            Record::Income(income) => {
                if let IncomeAt::Block(id) = &income.at {
                    self.incomes.insert(income.key.clone(), id.clone());
                    self.change(id, |view| (view.income, view.mature) = (income.amount, income.mature));
                }
            }
            Record::IncomeLost(lost) => {
                if let Some(id) = self.incomes.remove(&lost.key) {
                    self.change(&id, |view| (view.income, view.mature) = (Amount::ZERO, false));
                }
            }
            _ => {}
        }
    }
}

/// A block as it is shown when it was just found.
pub(crate) fn block_view(core: &Core, block: &Solution, income: Amount) -> BlockView {
    let finder = core.journal.miner_by_id(block.miner).map(|miner| miner.address).unwrap_or_default();
    let worker = core.journal.worker_by_id(block.worker).map(|worker| worker.name).unwrap_or_default();
    BlockView {
        block: hex::encode(&block.block),
        coord: block.coord,
        time: block.time,
        finder,
        worker,
        verdicts: Vec::new(),
        fate: "submitted".to_owned(),
        income,
        mature: false,
    }
}

/// A fate as it is shown.
pub(crate) fn fate_name(fate: &BlockFate) -> &'static str {
    match fate {
        BlockFate::Pending(_) => "pending",
        BlockFate::Accepted(_) => "accepted",
        BlockFate::Orphan(_) => "orphan",
        BlockFate::Final => "final",
    }
}

/// Whether the chain writes its ids in the other byte order than the recipe computes them: as a block shows that has a
/// name already, or one that is put together again.
fn is_backwards(core: &Core, adapter: &dyn ChainAdapter, newest: &Solution) -> bool {
    let reversed = |name: &[u8], id: &[u8]| name != id && name.iter().rev().eq(id.iter());
    if let Some((name, id)) = core.names.lock().iter().next() {
        return reversed(name, id);
    }
    let again = contract::Solution {
        private: newest.private.clone().unwrap_or_default(),
        fields: newest.fields.clone(),
        results: newest.results.clone(),
        proof: None,
    };
    adapter.assemble(&again).is_ok_and(|done| reversed(&done.value.block, &newest.block))
}

/// Segments that are read for blocks, newest first: half a gigabyte. A pool whose blocks are rarer shows fewer of them; the
/// ledger has them all.
const SEGMENTS: usize = 64;

/// What the newest segments say of as many blocks as are shown. Ends early when the pool ends.
fn read(core: &Weak<Core>, view: &JournalView) -> Result<Vec<Entry>, JournalError> {
    let (mut newest_first, mut found) = (Vec::new(), 0_usize);
    for segment in view.log().segments().rev().take(SEGMENTS) {
        if core.strong_count() == 0 || found >= BLOCKS_SHOWN {
            break;
        }
        let entries = view.of_blocks(segment)?;
        found += entries.iter().filter(|entry| matches!(entry.record, Record::Solution(_))).count();
        newest_first.push(entries);
    }
    Ok(newest_first.into_iter().rev().flatten().collect())
}

/// Reads the journal and puts its blocks behind those that are shown already. Blocks the thread.
///
/// # Errors
/// When the journal cannot be read.
pub(crate) fn load(
    core: &Weak<Core>,
    view: &JournalView,
    adapter: &dyn ChainAdapter,
) -> Result<(), JournalError> {
    let entries = read(core, view)?;
    let Some(core) = core.upgrade() else { return Ok(()) };
    let mut blocks = Blocks::default();
    for entry in entries {
        blocks.take(&core, entry.position, entry.record);
    }
    let backwards = blocks.newest.as_ref().is_some_and(|newest| is_backwards(&core, adapter, newest));
    let mut shown = core.shown.lock();
    for (id, mut view) in blocks.found.into_values() {
        if let Some((_, now)) = shown.iter_mut().find(|(known, _)| *known == id) {
            // What was heard since the start is newer.
            if now.verdicts.is_empty() {
                now.verdicts = view.verdicts;
            }
            if now.fate == "submitted" {
                now.fate = view.fate;
            }
            if !now.mature && view.income > Amount::ZERO {
                (now.income, now.mature) = (view.income, view.mature);
            }
            continue;
        }
        if backwards {
            view.block = hex::encode(id.iter().rev().copied().collect::<Vec<_>>());
        }
        shown.push_back((id, view));
    }
    shown.make_contiguous().sort_by_key(|(_, view)| std::cmp::Reverse(view.time));
    shown.truncate(BLOCKS_SHOWN);
    Ok(())
}
