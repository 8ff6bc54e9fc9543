//! The pool as its chain sees it: jobs numbered, recorded and handed out; blocks and incomes recorded.
//!
//! What arrives here has passed the trust rules. Everything that money follows from is durable in the journal before
//! the money thread hears of it.

use crate::core::{Core, Task};
use crate::edges::Edge;
use crate::expiry;
use crate::history::fate_name;
use crate::plan::{self, Seen};
use millpond_alerts::Level;
use millpond_chain::{AlarmKind, ChainSink, CheckedIncome, ReadyJob, Submission, Version};
use millpond_contracts::chain::{Fate, IncomeAt, Solution, Verdict, Watched};
use millpond_disk::replace_file;
use millpond_jobs::Job;
use millpond_journal::{self as journal, BlockFate};
use millpond_ledger::IncomeKey;
use millpond_types::{Amount, UnixMillis};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Weak};
use std::time::Duration;

/// Shares of this many coordinates behind the tip and behind every job that is kept are still known as duplicates.
const REMEMBERED_COORDS: u64 = 16;
/// How long a block waits until its record is written. A sync that is under way takes some milliseconds; a disk that takes
/// longer than this is broken, and the block is worth more than knowing its finder.
const RECORDED: Duration = Duration::from_secs(5);

/// What alarms of jobs without a subsidy are about.
const SUBSIDY: &str = "subsidy";

/// Holds the pool weakly: a node's answer that is still on its way (a longpoll waits for minutes) must not keep the
/// files of a stopped pool open. Beside it the longest life of a job, in milliseconds.
pub(crate) struct PoolSink(pub(crate) Weak<Core>, pub(crate) u64);

struct Sink(Arc<Core>);

impl Sink {
    fn record(&self, what: &str, record: impl Into<journal::Record>) -> bool {
        match self.0.journal.record(record).wait() {
            Ok(_) => true,
            Err(why) => {
                self.0.alarm(Level::Critical, "journal", format!("{what} could not be recorded: {why}"));
                false
            }
        }
    }
}

/// Incomes that came before their block's record was durable.
pub(crate) fn place(core: &Arc<Core>, incomes: Vec<CheckedIncome>) {
    let sink = Sink(Arc::clone(core));
    incomes.into_iter().for_each(|income| sink.income(income));
}

impl Sink {
    fn publish(&self, ready: Arc<ReadyJob>, longest_ms: u64) {
        let core = &self.0;
        // Its shares could not be paid, and none behind them.
        if core.books.wants_subsidy() && ready.subsidy.is_none() {
            let text = "a job does not tell its subsidy, by which the scheme pays: it is not given out";
            return core.alarm(Level::Critical, SUBSIDY, text.to_owned());
        }
        core.alarms.clear(core.name.as_str(), SUBSIDY);
        // Whom a job pays by no plan that is recorded could not be booked: miners wait for the next.
        let plan = core.planner.as_ref();
        let plan = plan.map(|planner| planner.plan_of(&ready, plan::coinbase_bytes(core, &ready)));
        let plan = match plan {
            Some(None) => {
                return tracing::debug!(pool = %core.name, "a job waits for the plan of its coinbase");
            }
            plan => plan.flatten(),
        };
        let now = UnixMillis::now();
        let job = Job {
            id: core.journal.next_job_id(),
            recipe: ready.recipe,
            stage: Arc::clone(&ready.stage),
            network_target: ready.network_target,
            coord: ready.coord,
            parent: ready.parent.clone(),
            reward: ready.reward,
            subsidy: ready.subsidy,
            work_shift: ready.version.work_shift,
            outputs_revision: ready.outputs_rev,
            aux_revision: ready.aux_rev,
            origin: ready.origin(),
            private: ready.private.clone(),
            body: ready.body.clone(),
            published_at: now,
            expires_at: UnixMillis(now.0.saturating_add(longest_ms.min(ready.expires_ms.into()))),
            suspended: AtomicBool::new(false),
        };
        let record = journal::Job {
            id: job.id,
            coord: job.coord,
            parent: job.parent.to_vec(),
            recipe: job.recipe,
            network_target: job.network_target,
            network_work: u128::from(job.network_work().0),
            reward: job.reward,
            subsidy: job.subsidy,
            plan,
            adapter: job.origin.adapter,
            time: now,
        };
        let (id, coord) = (job.id, job.coord);
        let template = hex::encode(&*job.parent);
        let _span = tracing::info_span!("job", pool = %core.name, %id, coord, %template).entered();
        // A job that is not recorded is not given out: its shares could not be replayed.
        if !self.record("a job", record) {
            return;
        }
        core.keep_ready(job.id, ready);
        match core.jobs.publish(job) {
            Ok(_) => {
                // An order may have come since it was asked.
                core.suspend_untold();
                tracing::debug!("published");
                core.alarms.clear(core.name.as_str(), expiry::ABOUT);
            }
            Err(why) => core.alarm(Level::Warning, "adapter", format!("a job was not taken: {why}")),
        }
    }

    fn tip(&self, parent: &[u8], coord: u64) {
        self.0.jobs.tip(parent);
        // A chain of ten blocks a second leaves its live jobs further behind than that.
        let oldest = self.0.jobs.lowest_coord().map_or(coord, |lowest| lowest.min(coord));
        self.0.seen.drop_below(oldest.saturating_sub(REMEMBERED_COORDS));
    }

    fn fate(&self, block: &[u8], fate: &Fate) {
        let Some(id) = self.0.journal_id(block) else { return };
        let fate = match fate {
            Fate::Pending(depth) => BlockFate::Pending(*depth),
            Fate::Accepted(depth) => BlockFate::Accepted(*depth),
            Fate::Orphan(why) => BlockFate::Orphan(why.clone()),
            Fate::Final => BlockFate::Final,
        };
        self.0.change_shown(&id, |view| view.fate = fate_name(&fate).to_owned());
        let orphan = matches!(fate, BlockFate::Orphan(_));
        self.record("a block's fate", journal::Fate { block: id, fate, time: UnixMillis::now() });
        // The income of a planned coinbase goes by the block's name, and the adapter knows it by its outputs.
        if orphan {
            let (policies, open) = (self.0.journal.policies(), self.0.journal.open_incomes());
            if open.iter().any(|income| income.key == block && plan::is_of_a_plan(&policies, income)) {
                self.lose(block);
            }
        }
    }

    fn income(&self, income: CheckedIncome) {
        let core = &self.0;
        let now = UnixMillis::now();
        let open = core.journal.open_incomes();
        let known = open.iter().find(|known| known.key == income.key).cloned();
        if let IncomeAt::Block(name) = &income.at
            && let Some(id) = core.journal_id(name)
            && let Some(early) = core.recording.lock().get_mut(&id)
        {
            // Its block's record is not durable yet: it is placed when it is.
            return early.push(income);
        }
        let (mut income, mut known) = (income, known);
        if known.is_none() {
            match plan::seen(core, &income, &open) {
                Seen::AsItIs => {}
                Seen::Settled => return,
                Seen::Known(of_block) => known = Some(*of_block),
                Seen::Whole(key, amount) => (income.key, income.amount) = (key, amount),
            }
        }
        core.pass(Edge::IncomeSeen);
        let mature = income.mature;
        let (fresh, record) = match known {
            Some(known) => (false, known),
            None => {
                let placed = match &income.at {
                    IncomeAt::Block(name) => core
                        .journal_id(name)
                        .ok_or_else(|| "it is of a block that the journal does not know".to_owned())
                        .and_then(|id| core.journal.end_of_block(&id).map_err(|why| why.to_string()))
                        .map(|(end, open)| {
                            (journal::IncomeAt::Block(open.block), end, Some(open.job), Some(open.miner))
                        }),
                    IncomeAt::Coord(coord) => core
                        .journal
                        .end_of_coord(*coord, now)
                        .map(|end| (journal::IncomeAt::Coord(*coord), end, None, None))
                        .map_err(|why| why.to_string()),
                };
                let (at, end, job, finder) = match placed {
                    Ok(placed) => placed,
                    Err(why) => {
                        let text = format!("an income of {} could not be placed: {why}", income.amount);
                        return core.alarm(Level::Critical, "income", text);
                    }
                };
                let (key, amount) = (income.key, income.amount);
                (true, journal::Income { key, amount, at, mature: false, job, finder, end, time: now })
            }
        };
        if let journal::IncomeAt::Block(id) = &record.at {
            core.change_shown(id, |view| (view.income, view.mature) = (record.amount, mature));
        }
        if fresh {
            if !self.record("an income", record.clone()) {
                return;
            }
            core.pass(Edge::IncomeRecorded);
            let _ = core.tasks.send(Task::Income(Box::new(record.clone())));
        }
        // That it matured is written down by the money thread, after its division: what the journal calls mature is in
        // the ledger.
        if mature {
            let _ = core.tasks.send(Task::Mature(Box::new(journal::Income { time: now, ..record })));
        }
    }

    fn income_lost(&self, key: &[u8]) {
        let is_open = || self.0.journal.open_incomes().iter().any(|income| income.key == key);
        let is_booked = || self.0.ledger.income_status(&IncomeKey::new(key.to_vec())?);
        // One output of a planned coinbase: the fate of its block has told of it.
        if self.0.planner.is_some() && !is_open() && is_booked().is_none() {
            return;
        }
        self.lose(key);
    }

    fn lose(&self, key: &[u8]) {
        let reason = "the adapter showed another block in its place".to_owned();
        let lost = journal::IncomeLost { key: key.to_vec(), reason: reason.clone(), time: UnixMillis::now() };
        if self.record("a lost income", lost) {
            let _ = self.0.tasks.send(Task::Lost(key.to_vec(), reason));
        }
    }

    fn unfit(&self, link: u16, reason: &str) {
        self.0.alarm(Level::Warning, "node", format!("node {link} is unfit: {reason}"));
    }

    fn alarm(&self, alarm: millpond_chain::Alarm) {
        let (level, about) = match alarm.kind {
            AlarmKind::Adapter => (Level::Warning, "adapter"),
            AlarmKind::Trust => (Level::Critical, "trust"),
            AlarmKind::Plugin => (Level::Warning, "plugin"),
            AlarmKind::Block => (Level::Critical, "block"),
            AlarmKind::Taken => (Level::Warning, "block"),
            AlarmKind::Stopped => (Level::Critical, "adapter"),
        };
        self.0.alarm(level, about, alarm.text);
    }

    fn saved(&self, bytes: &[u8]) {
        if let Err(why) = replace_file(self.0.disk.as_ref(), &self.0.folder.join("adapter-state"), bytes) {
            self.0.alarm(Level::Warning, "disk", format!("the adapter's state was not kept: {why}"));
        }
    }

    fn withdraw(&self, why: &str) {
        let jobs: Vec<String> = self.0.jobs.withdraw().iter().map(|job| job.id.to_string()).collect();
        if !jobs.is_empty() {
            let text =
                format!("credit for jobs {} is suspended, and they are taken back: {why}", jobs.join(", "));
            self.0.alarm(Level::Critical, "block", text);
        }
    }

    fn version(&self, version: &Version) {
        tracing::info!(pool = %self.0.name, adapter = %version.origin.adapter.short(), "an adapter leads");
        if let Some(shown) = self.0.shown_chain.get() {
            shown.leads(version);
        }
    }

    fn submitting(&self, tag: u64, watched: &Watched, reward: Amount) {
        let found = self.0.on_their_way.lock().get_mut(&tag).map(|it| (it.id.clone(), it.written.take()));
        let Some((id, written)) = found else { return };
        let mut name = watched.block.clone();
        let has_codec = self.0.chain().is_some_and(|chain| chain.trust().coinbase.is_some());
        if let Err(own) = self.0.named(&name, &id, has_codec) {
            // It goes to the nodes all the same, which judge its bytes, and is followed under its own name.
            name = own;
            let (given, solved) = (hex::encode(&watched.block), hex::encode(&name));
            let text = format!(
                "the adapter assembled block {given} where {solved} was solved: nothing that it says of the first counts"
            );
            self.0.alarm(Level::Critical, "trust", text);
            if let Some(chain) = self.0.chain() {
                chain.watch(Watched { block: name.clone(), ..watched.clone() }, reward);
            }
        }
        self.0.change_shown(&id, |view| view.block = hex::encode(&name));
        self.0.names.lock().insert(name, id);
        self.0.pass(Edge::Assembled);
        // Mostly written by now. Where it cannot be written, or the disk hangs, the block counts for more than its record.
        if let Some(written) = written
            && written.wait_for(RECORDED).is_err()
        {
            let text = "a block goes to the nodes before its record is written: the disk does not answer";
            self.0.alarm(Level::Critical, "disk", text);
        }
    }

    fn submitted(&self, submission: &Submission) {
        let core = &self.0;
        let (id, job, fresh) = {
            let mut on_their_way = core.on_their_way.lock();
            let Some(block) = on_their_way.get_mut(&submission.tag) else { return };
            // A node that is asked for hours says the same each time: only what changes is written down.
            let mut fresh = submission.verdicts.clone();
            fresh.retain(|(link, verdict, _)| block.verdicts.insert(*link, *verdict) != Some(*verdict));
            let known = (block.id.clone(), block.job.clone(), fresh);
            if submission.ended {
                on_their_way.remove(&submission.tag);
            }
            known
        };
        if !fresh.is_empty() {
            core.pass(Edge::Answered);
            self.record_verdicts(&id, fresh);
            core.pass(Edge::VerdictRecorded);
        }
        core.change_shown(&id, |view| {
            let verdict = |(link, verdict, words): &(u16, Verdict, String)| {
                format!("node {link}: {verdict:?} {words}").trim_end().to_owned()
            };
            view.verdicts = submission.verdicts.iter().map(verdict).collect();
        });
        if submission.refused
            && let Some(job) = &job
            && job.suspend()
        {
            let text = format!(
                "credit for job {} is suspended: every node that could judge its block rejected it",
                job.id
            );
            core.alarm(Level::Critical, "block", text);
        }
        if submission.accepted() {
            // Whatever another node said of it.
            if let Some(job) = &job
                && !core.is_untold(job)
                && job.resume()
            {
                let text = format!("shares of job {} are credited again: a node has a block of it", job.id);
                core.alarm(Level::Warning, "block", text);
            }
            match core.disk.remove(&core.body_path(&id)) {
                Err(why) if !why.is_not_found() => {
                    tracing::warn!(%why, "a solution's template stays on disk")
                }
                _ => {}
            }
        }
    }

    fn record_verdicts(&self, id: &[u8], fresh: Vec<(u16, Verdict, String)>) {
        let time = UnixMillis::now();
        for (link, verdict, detail) in fresh {
            let verdict = match verdict {
                Verdict::Accepted => journal::Verdict::Accepted,
                Verdict::Duplicate => journal::Verdict::Duplicate,
                Verdict::Stale => journal::Verdict::Stale,
                Verdict::Rejected => journal::Verdict::Rejected,
                Verdict::Retry => journal::Verdict::Retry,
            };
            let (block, node) = (id.to_vec(), format!("node {link}"));
            self.record("a node's verdict", journal::Submission { block, node, verdict, detail, time });
        }
    }

    fn unassembled(&self, tag: u64, _: &Solution, error: &str) {
        let ended = self.0.on_their_way.lock().remove(&tag);
        if let Some(on_its_way) = ended {
            self.0.change_shown(&on_its_way.id, |view| view.fate = format!("not assembled: {error}"));
        }
    }
}

impl ChainSink for PoolSink {
    fn publish(&self, ready: Arc<ReadyJob>) {
        if let Some(core) = self.0.upgrade() {
            Sink(core).publish(ready, self.1);
        }
    }

    fn tip(&self, parent: &[u8], coord: u64) {
        if let Some(core) = self.0.upgrade() {
            Sink(core).tip(parent, coord);
        }
    }

    fn fate(&self, block: &[u8], fate: &Fate) {
        if let Some(core) = self.0.upgrade() {
            Sink(core).fate(block, fate);
        }
    }

    fn income(&self, income: CheckedIncome) {
        if let Some(core) = self.0.upgrade() {
            Sink(core).income(income);
        }
    }

    fn income_lost(&self, key: &[u8]) {
        if let Some(core) = self.0.upgrade() {
            Sink(core).income_lost(key);
        }
    }

    fn unfit(&self, link: u16, reason: &str) {
        if let Some(core) = self.0.upgrade() {
            Sink(core).unfit(link, reason);
        }
    }

    fn withdraw(&self, why: &str) {
        if let Some(core) = self.0.upgrade() {
            Sink(core).withdraw(why);
        }
    }

    fn alarm(&self, alarm: millpond_chain::Alarm) {
        if let Some(core) = self.0.upgrade() {
            Sink(core).alarm(alarm);
        }
    }

    fn saved(&self, bytes: &[u8]) {
        if let Some(core) = self.0.upgrade() {
            Sink(core).saved(bytes);
        }
    }

    fn version(&self, version: &Version) {
        if let Some(core) = self.0.upgrade() {
            Sink(core).version(version);
        }
    }

    fn submitting(&self, tag: u64, watched: &Watched, reward: Amount) {
        if let Some(core) = self.0.upgrade() {
            Sink(core).submitting(tag, watched, reward);
        }
    }

    fn submitted(&self, submission: &Submission) {
        if let Some(core) = self.0.upgrade() {
            Sink(core).submitted(submission);
        }
    }

    fn unassembled(&self, tag: u64, solution: &Solution, error: &str) {
        if let Some(core) = self.0.upgrade() {
            Sink(core).unassembled(tag, solution, error);
        }
    }
}
