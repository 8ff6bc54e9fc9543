//! A recipe and its stages: what others hold and call.

use crate::builder::{Type, Typed};
use crate::compile::compile;
use crate::error::{DocumentErrors, RunError, ShareError};
use crate::field::{Field, RegisterInfo, Stage};
use crate::flow::Register;
use crate::judged::Judged;
use crate::layout::{Layout, Plan};
use crate::program::{Bank, Instruction, Judge, Operand, Tables, TargetForm};
use crate::run::Frame;
use crate::share::{Flat, Stop};
use millpond_algorithms::{Algorithms, Cost};
use millpond_types::Target;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A compiled document. Immutable and shared; running a job changes nothing in it.
pub struct Recipe {
    pub(crate) name: Box<str>,
    pub(crate) consts: Vec<Field>,
    pub(crate) session_fields: Vec<Field>,
    pub(crate) share_fields: Vec<Field>,
    pub(crate) names: BTreeMap<Box<str>, Typed>,
    /// What every register holds, by stage and number.
    pub(crate) types: [Vec<Type>; 4],
    pub(crate) document: Bank,
    pub(crate) job: Vec<Instruction>,
    pub(crate) session: Vec<Instruction>,
    pub(crate) share: Vec<Instruction>,
    /// The share stage as it is run.
    pub(crate) plan: Option<Plan>,
    pub(crate) tables: Tables,
    pub(crate) judge: Judge,
    pub(crate) further: Vec<Judge>,
    pub(crate) id: Operand,
    /// The share fields (one bit each) that the judged hash depends on.
    pub(crate) depends: u64,
    pub(crate) outs: Vec<(Box<str>, Operand)>,
    pub(crate) network: Option<(TargetForm, Operand)>,
    pub(crate) sv2: Vec<(Box<str>, Box<str>)>,
    pub(crate) cost: Cost,
    /// What judging a share took lately.
    pub(crate) took: Took,
}

/// Times that are taken before the first is believed: of a fresh process the first batches pay for instances, contexts and
/// pages that later ones find there.
const WARMING: u64 = 8;
/// Bits of a time in nanoseconds; above them stands how many were taken, up to [`WARMING`].
const TIME: u32 = 56;

/// What something took lately, in one word: nanoseconds and how many were measured.
#[derive(Debug, Default)]
pub(crate) struct Took(AtomicU64);

impl Took {
    fn parts(&self) -> (u64, u64) {
        let word = self.0.load(Ordering::Relaxed);
        (word >> TIME, word & ((1 << TIME) - 1))
    }

    fn usually(&self) -> Option<Duration> {
        let (times, nanos) = self.parts();
        (times >= WARMING).then(|| Duration::from_nanos(nanos))
    }

    fn took(&self, time: Duration) {
        let time = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX).clamp(1, (1 << TIME) - 1);
        let (times, before) = self.parts();
        let now = match times {
            0 => time,
            // None measures too little.
            times if times < WARMING => before.min(time),
            _ if time < before => before - (before - time) / 2,
            _ => before + (time - before) / 64,
        };
        // Whoever comes between loses one time of many.
        let times = (times + 1).min(WARMING);
        self.0.store(times << TIME | now.max(1), Ordering::Relaxed);
    }
}

impl std::fmt::Debug for Recipe {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recipe").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Recipe {
    /// Compiles a document. `file` names it in errors: a path, or an adapter and a number.
    ///
    /// # Errors
    /// Everything that is wrong with the document, each with its line and column.
    pub fn compile(file: &str, text: &str, algorithms: &Algorithms) -> Result<Arc<Self>, DocumentErrors> {
        compile(file, text, algorithms)
    }

    /// The name in the document's first line.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The fields that a job gives, in order.
    #[must_use]
    pub fn consts(&self) -> &[Field] {
        &self.consts
    }

    /// The fields that a session gives, in order.
    #[must_use]
    pub fn session_fields(&self) -> &[Field] {
        &self.session_fields
    }

    /// The fields that a share gives, in order.
    #[must_use]
    pub fn share_fields(&self) -> &[Field] {
        &self.share_fields
    }

    /// The names of the registers that `assemble` gets as results, in order.
    pub fn outs(&self) -> impl ExactSizeIterator<Item = &str> {
        self.outs.iter().map(|(name, _)| &**name)
    }

    /// The roles of registers in Stratum V2 messages, as (role, register), in order. Nothing here interprets them.
    #[must_use]
    pub fn sv2(&self) -> &[(Box<str>, Box<str>)] {
        &self.sv2
    }

    /// Stage and width of a named register or field, for a dialect's checks.
    #[must_use]
    pub fn register(&self, name: &str) -> Option<RegisterInfo> {
        let typed = self.names.get(name)?;
        Some(RegisterInfo { stage: typed.operand.stage, width: typed.ty.width() })
    }

    /// The names of all registers and fields, sorted.
    pub fn register_names(&self) -> impl Iterator<Item = &str> {
        self.names.keys().map(AsRef::as_ref)
    }

    /// What judging a share costs: that of its dearest algorithm.
    #[must_use]
    pub fn cost(&self) -> Cost {
        self.cost
    }

    /// What judging a share took lately, as told by [`Recipe::took`]; `None` before enough were measured: the least of the
    /// first eight is the first that is believed.
    #[must_use]
    pub fn usually_takes(&self) -> Option<Duration> {
        self.took.usually()
    }

    /// Judging a share of this recipe took so long. A time is soon believed when it is shorter than those before, and late
    /// when it is longer: a thread that had to wait for the processor measures too much, none measures too little.
    pub fn took(&self, time: Duration) {
        self.took.took(time);
    }

    /// Whether the document says where its network's target stands.
    #[must_use]
    pub fn names_network_target(&self) -> bool {
        self.network.is_some()
    }

    /// Runs the job stage over the values of [`Recipe::consts`], in their order. Once per job.
    ///
    /// # Errors
    /// When a value does not fit its field, or an operation does not work on the values: such a job is not published.
    pub fn job(self: &Arc<Self>, consts: &[impl AsRef<[u8]>]) -> Result<Arc<JobStage>, RunError> {
        self.counted("const", self.consts.len(), consts.len())?;
        let mut bank = Bank::default();
        let mut frame = Frame {
            below: &[&self.document],
            stage: Stage::Job,
            bank: &mut bank,
            tables: &self.tables,
            proofs: true,
            limit: Stage::Job.limit(),
        };
        frame.load(&self.consts, consts)?;
        frame.run(&self.job)?;
        let judged = (self.judge.hash, self.id);
        let layout = self.plan.as_ref().and_then(|plan| plan.layout(&self.document, &bank, judged));
        let mut job = JobStage { recipe: Arc::clone(self), bank, network_target: None, layout };
        if let Some((form, operand)) = self.network {
            let bytes =
                job.bank_of(operand.stage).and_then(|bank| bank.get(operand.slot)).unwrap_or_default();
            job.network_target = Some(target(form, bytes)?);
        }
        Ok(Arc::new(job))
    }

    fn counted(&self, stage: &'static str, needed: usize, given: usize) -> Result<(), RunError> {
        if needed == given {
            return Ok(());
        }
        Err(RunError::Count { recipe: self.name.clone(), stage, needed, given })
    }
}

fn target(form: TargetForm, bytes: &[u8]) -> Result<Target, RunError> {
    let wrong = |what: String| RunError::Value { line: 0, what };
    match (form, <[u8; 32]>::try_from(bytes), <[u8; 4]>::try_from(bytes)) {
        (TargetForm::Be, Ok(be), _) => Ok(Target::from_be_bytes(be)),
        (TargetForm::Le, Ok(mut le), _) => {
            le.reverse();
            Ok(Target::from_be_bytes(le))
        }
        (TargetForm::Compact23, _, Ok(bits)) => Target::from_compact(u32::from_be_bytes(bits))
            .map_err(|e| wrong(format!("the network's target: {e}"))),
        (TargetForm::Compact24, _, Ok([exponent, mantissa @ ..])) => {
            // A mantissa of 24 unsigned bits, `exponent - 3` bytes up; below that it is shifted out to the right.
            let mut be = [0; 32];
            if exponent > 32 && mantissa != [0; 3] {
                return Err(wrong("the network's compact target leaves 256 bits".into()));
            }
            for (i, byte) in mantissa.into_iter().enumerate() {
                let up = (usize::from(exponent) + 31).checked_sub(32 + i);
                if let Some(to) = up.and_then(|up| 31_usize.checked_sub(up)).and_then(|at| be.get_mut(at)) {
                    *to = byte;
                }
            }
            Ok(Target::from_be_bytes(be))
        }
        _ => Err(wrong(format!("the network's target has {} bytes", bytes.len()))),
    }
}

/// A job's registers. Shared by all sessions; it outlives the adapter that made it.
pub struct JobStage {
    recipe: Arc<Recipe>,
    bank: Bank,
    network_target: Option<Target>,
    /// The share stage over this job's values.
    pub(crate) layout: Option<Layout>,
}

impl std::fmt::Debug for JobStage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JobStage").field("recipe", &self.recipe.name).finish_non_exhaustive()
    }
}

impl JobStage {
    /// The recipe this job runs through.
    #[must_use]
    pub fn recipe(&self) -> &Arc<Recipe> {
        &self.recipe
    }

    /// A register or field by name, where the job stage knows it. A number is 8 little-endian bytes.
    #[must_use]
    pub fn register(&self, name: &str) -> Option<&[u8]> {
        let operand = self.recipe.names.get(name)?.operand;
        self.bank_of(operand.stage)?.get(operand.slot)
    }

    /// The network's target as the job's own values have it, where the document has a `network` line: the host
    /// believes this, not the adapter's word.
    #[must_use]
    pub fn network_target(&self) -> Option<Target> {
        self.network_target
    }

    /// The values of the const fields, in order.
    pub fn const_values(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.recipe.consts.len()).filter_map(|slot| self.bank.get(slot as u16))
    }

    /// Whether shares of this job are judged in less time together ([`crate::judge_batch`]) than one by one.
    #[must_use]
    pub fn gains_together(&self) -> bool {
        self.layout.as_ref().is_some_and(|layout| !layout.wide.is_empty())
    }

    /// Bytes that this job's registers occupy.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bank.bytes.len() + self.layout.as_ref().map_or(0, |layout| layout.template.len())
    }

    /// Runs the session stage over the values of [`Recipe::session_fields`], in their order: once per job and
    /// session. An empty value stands for its field's default, an empty slice for all defaults.
    ///
    /// # Errors
    /// When a value does not fit its field, has no default, or an operation does not work on the values.
    pub fn session(self: &Arc<Self>, values: &[impl AsRef<[u8]>]) -> Result<SessionStage, RunError> {
        let recipe = &self.recipe;
        let mut bank = Bank::default();
        let below = [&recipe.document, &self.bank];
        let mut frame = Frame {
            below: &below,
            stage: Stage::Session,
            bank: &mut bank,
            tables: &recipe.tables,
            proofs: true,
            limit: Stage::Session.limit(),
        };
        if values.is_empty() {
            frame.load(&recipe.session_fields, &vec![&[][..]; recipe.session_fields.len()])?;
        } else {
            recipe.counted("session", recipe.session_fields.len(), values.len())?;
            frame.load(&recipe.session_fields, values)?;
        }
        frame.run(&recipe.session)?;
        Ok(SessionStage { job: Arc::clone(self), bank })
    }

    fn bank_of(&self, stage: Stage) -> Option<&Bank> {
        match stage {
            Stage::Document => Some(&self.recipe.document),
            Stage::Job => Some(&self.bank),
            _ => None,
        }
    }
}

/// A job's registers as one session sees them: its payee, its mask, its offsets.
pub struct SessionStage {
    job: Arc<JobStage>,
    bank: Bank,
}

impl std::fmt::Debug for SessionStage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SessionStage").field("job", &self.job).finish_non_exhaustive()
    }
}

/// Memory that judging shares works in. One per thread; after the first shares it allocates no more.
#[derive(Default)]
pub struct Scratch {
    pub(crate) bank: Bank,
    /// The layout whose constants stand in the bank; 0 for none.
    pub(crate) filled: u64,
}

impl SessionStage {
    /// The job this belongs to.
    #[must_use]
    pub fn job(&self) -> &Arc<JobStage> {
        &self.job
    }

    /// A register or field by name, where the session stage or one before it knows it. A number is 8 little-endian
    /// bytes.
    #[must_use]
    pub fn register(&self, name: &str) -> Option<&[u8]> {
        self.read(self.job.recipe.names.get(name)?.operand)
    }

    /// The value of a register of this session's recipe; `None` for one of the share stage or of another recipe.
    #[must_use]
    pub fn value(&self, register: &Register<'_>) -> Option<&[u8]> {
        self.read(register.operand_of(&self.job.recipe)?)
    }

    pub(crate) fn read(&self, operand: Operand) -> Option<&[u8]> {
        match operand.stage {
            Stage::Session => self.bank.get(operand.slot),
            Stage::Share => None,
            below => self.job.bank_of(below)?.get(operand.slot),
        }
    }

    /// Runs the share stage over the values of [`Recipe::share_fields`], in their order. An empty value stands for
    /// its field's default.
    ///
    /// # Errors
    /// When a value does not fit its field or a check of the document refuses it;
    /// [`RunError::is_the_miners`] tells a miner's fault from a document's.
    pub fn judge<'s>(
        &'s self,
        values: &[impl AsRef<[u8]>],
        scratch: &'s mut Scratch,
    ) -> Result<Judged<'s>, ShareError> {
        self.judge_with(values, scratch, true)
    }

    /// As [`SessionStage::judge`], one instruction of the document after another, each register by itself: what the
    /// flat program of [`SessionStage::judge`] is held against. Slower, and the same in every result.
    ///
    /// # Errors
    /// As [`SessionStage::judge`].
    pub fn judge_plainly<'s>(
        &'s self,
        values: &[impl AsRef<[u8]>],
        scratch: &'s mut Scratch,
    ) -> Result<Judged<'s>, ShareError> {
        self.load(values, scratch)?;
        self.run(scratch, .., true)?;
        self.judged(scratch)
    }

    /// As [`SessionStage::judge`]; without `proofs`, claims and proofs are believed.
    pub(crate) fn judge_with<'s>(
        &'s self,
        values: &[impl AsRef<[u8]>],
        scratch: &'s mut Scratch,
        proofs: bool,
    ) -> Result<Judged<'s>, ShareError> {
        let recipe = &*self.job.recipe;
        if let (Some(plan), Some(layout)) = (&recipe.plan, &self.job.layout) {
            if values.len() != plan.fields.len() {
                recipe.counted("share", recipe.share_fields.len(), values.len())?;
            }
            match self.flat(plan, layout, scratch, proofs).judge(values) {
                Ok(()) => return self.judged_of(layout, scratch),
                Err(Stop::Refused(error)) => return Err(*error),
                Err(Stop::Plainly) => {}
            }
        }
        self.load(values, scratch)?;
        self.run(scratch, .., proofs)?;
        self.judged(scratch)
    }

    pub(crate) fn flat<'f>(
        &'f self,
        plan: &'f Plan,
        layout: &'f Layout,
        scratch: &'f mut Scratch,
        proofs: bool,
    ) -> Flat<'f> {
        Flat { recipe: &self.job.recipe, plan, layout, below: self.below(), scratch, proofs }
    }

    /// Begins a share: its fields in the first registers.
    pub(crate) fn load(&self, values: &[impl AsRef<[u8]>], scratch: &mut Scratch) -> Result<(), ShareError> {
        let recipe = &*self.job.recipe;
        recipe.counted("share", recipe.share_fields.len(), values.len())?;
        scratch.filled = 0;
        scratch.bank.clear();
        self.frame(&self.below(), scratch, true).load(&recipe.share_fields, values)
    }

    /// Runs a part of the share stage.
    pub(crate) fn run(
        &self,
        scratch: &mut Scratch,
        part: impl std::slice::SliceIndex<[Instruction], Output = [Instruction]>,
        proofs: bool,
    ) -> Result<(), ShareError> {
        let program = self.job.recipe.share.get(part).unwrap_or_default();
        self.frame(&self.below(), scratch, proofs).run(program)
    }

    pub(crate) fn below(&self) -> [&Bank; 3] {
        [&self.job.recipe.document, &self.job.bank, &self.bank]
    }

    pub(crate) fn frame<'f>(
        &'f self,
        below: &'f [&'f Bank; 3],
        scratch: &'f mut Scratch,
        proofs: bool,
    ) -> Frame<'f> {
        let tables = &self.job.recipe.tables;
        let limit = Stage::Share.limit();
        Frame { below, stage: Stage::Share, bank: &mut scratch.bank, tables, proofs, limit }
    }

    /// The const, session and share fields in the order of the document, as `assemble` gets them: defaults in the
    /// place of empty values, short values filled up.
    #[must_use]
    pub fn fields(&self, share_values: &[impl AsRef<[u8]>]) -> Vec<Vec<u8>> {
        let recipe = &self.job.recipe;
        let session = (0..recipe.session_fields.len()).filter_map(|slot| self.bank.get(slot as u16));
        let share =
            recipe.share_fields.iter().zip(share_values).map(|(field, value)| field.filled(value.as_ref()));
        self.job.const_values().chain(session).map(<[u8]>::to_vec).chain(share).collect()
    }
}
