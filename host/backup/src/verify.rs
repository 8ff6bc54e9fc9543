//! Opening a copy and holding its parts against each other.

use crate::backup::heads;
use crate::copy::Counter;
use crate::manifest::PoolHeads;
use crate::{BackupError, Progress};
use millpond_disk::{Disk, read_file};
use millpond_journal::{JournalView, Record};
use millpond_ledger::{Entry, Reader, Totals};
use millpond_types::{Digest, PoolName};
use std::collections::{BTreeSet, HashSet};
use std::path::Path;
use std::sync::Arc;

/// A pool whose copy checks.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct PoolReport {
    /// Where its logs end.
    #[serde(flatten)]
    pub heads: PoolHeads,
    /// Segments of its journal.
    pub segments: u64,
    /// Records of its journal.
    pub records: u64,
    /// Components kept.
    pub plugins: usize,
    /// The ledger's figures.
    pub totals: Totals,
}

/// Verifies every pool of a data folder that no pool runs on: both logs walked with their checksums and chains, every
/// entry's rules, conservation; the ledger holds no income and no credit that the journal does not explain; every
/// component that the journal names is there and is what it is named by.
///
/// # Errors
/// At the first thing that does not check.
pub fn verify_data(
    disk: &Arc<dyn Disk>,
    data: &Path,
    pools: &[PoolName],
    hear: &mut Progress<'_>,
) -> Result<Vec<PoolReport>, BackupError> {
    let mut counter = Counter::new(hear);
    pools.iter().map(|pool| verify_pool(disk, data, pool, &mut counter)).collect()
}

/// The same, and the heads have to be these.
pub(crate) fn verify_heads(
    disk: &Arc<dyn Disk>,
    data: &Path,
    expected: &[PoolHeads],
    counter: &mut Counter<'_>,
) -> Result<Vec<PoolReport>, BackupError> {
    let mut reports = Vec::new();
    for expected in expected {
        let report = verify_pool(disk, data, &expected.pool, counter)?;
        if report.heads != *expected {
            let what = "its logs do not end where they ended when the cut was made".to_owned();
            return Err(BackupError::Inconsistent { pool: expected.pool.clone(), what });
        }
        reports.push(report);
    }
    Ok(reports)
}

fn verify_pool(
    disk: &Arc<dyn Disk>,
    data: &Path,
    pool: &PoolName,
    counter: &mut Counter<'_>,
) -> Result<PoolReport, BackupError> {
    let folder = data.join(pool.as_str());
    let (journal, _) =
        JournalView::open(Arc::clone(disk), &folder.join("journal")).map_err(BackupError::journal(pool))?;
    let ledger = Reader::open(Arc::clone(disk), &folder.join("ledger")).map_err(BackupError::ledger(pool))?;
    let total = journal.log().segments().map(|segment| segment.bytes).sum();
    counter.begin("verifying", total);
    let walked = journal.verify().map_err(BackupError::journal(pool))?;
    let good = ledger.verify().map_err(BackupError::ledger(pool))?;
    let facts = Facts::read(&journal, pool, counter)?;
    facts.explain(&journal, &ledger, pool)?;
    let plugins = facts.components(disk.as_ref(), &folder, pool)?;
    let heads = heads(pool, &ledger, &journal).map_err(BackupError::ledger(pool))?;
    Ok(PoolReport { heads, segments: walked.segments, records: walked.records, plugins, totals: good.totals })
}

/// What a journal says that others lean on.
#[derive(Default)]
struct Facts {
    incomes: HashSet<Vec<u8>>,
    components: BTreeSet<Digest>,
}

impl Facts {
    fn read(journal: &JournalView, pool: &PoolName, counter: &mut Counter<'_>) -> Result<Self, BackupError> {
        let mut facts = Self::default();
        for segment in journal.log().segments() {
            journal
                .log()
                .read(segment, |stored| {
                    let record =
                        Record::decode(stored.kind, stored.payload).map_err(|why| stored.refuse(why))?;
                    match record {
                        Record::Income(income) => {
                            facts.incomes.insert(income.key);
                        }
                        Record::Policy(policy) => {
                            let named = std::iter::once(&policy.scheme).chain(&policy.fees);
                            facts.components.extend(named.map(|plugin| plugin.component));
                        }
                        _ => {}
                    }
                    Ok::<_, millpond_segments::LogError>(())
                })
                .map_err(BackupError::journal_log(pool))?;
            counter.more(segment.bytes);
        }
        Ok(facts)
    }

    /// The ledger is not ahead of the journal. Facts of dropped segments cannot be asked for any more.
    fn explain(&self, journal: &JournalView, ledger: &Reader, pool: &PoolName) -> Result<(), BackupError> {
        let whole = journal.dropped().last.0 == 0;
        let mut unexplained = None;
        let walked = ledger.for_each_record(&mut |record, _| {
            let ahead = match &record.entry {
                Entry::IncomeAllocated(income) => whole && !self.incomes.contains(income.key.as_bytes()),
                Entry::Accrued { last, .. } => *last > journal.newest(),
                _ => false,
            };
            if ahead && unexplained.is_none() {
                unexplained = Some((record.seq, record.entry.kind()));
            }
            Ok(())
        });
        walked.map_err(BackupError::ledger(pool))?;
        match unexplained {
            None => Ok(()),
            Some((seq, kind)) => {
                let what = format!("ledger entry {seq} ({kind}) follows from nothing in the journal");
                Err(BackupError::Inconsistent { pool: pool.clone(), what })
            }
        }
    }

    fn components(&self, disk: &dyn Disk, folder: &Path, pool: &PoolName) -> Result<usize, BackupError> {
        let plugins = folder.join("plugins");
        let names = match disk.list(&plugins) {
            Ok(names) => names,
            Err(why) if why.is_not_found() => Vec::new(),
            Err(why) => return Err(why.into()),
        };
        let mut kept = BTreeSet::new();
        for name in &names {
            let Some(digest) = name.strip_suffix(".wasm").and_then(Digest::from_hex) else { continue };
            let path = plugins.join(name);
            if Digest::of(&read_file(disk, &path)?) != digest {
                let what = "its bytes have another digest than its name".to_owned();
                return Err(BackupError::Damaged { path, what });
            }
            kept.insert(digest);
        }
        match self.components.difference(&kept).next() {
            None => Ok(kept.len()),
            Some(missing) => {
                let what = format!("the component {missing} decided about money and is not in plugins/");
                Err(BackupError::Inconsistent { pool: pool.clone(), what })
            }
        }
    }
}
