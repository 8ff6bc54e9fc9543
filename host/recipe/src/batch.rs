//! Several shares judged together, so that an algorithm sees their inputs at once: one that works on many lanes, or one
//! that a plugin exports, which costs a sandbox per call.
//!
//! Shares of one job go through its flat steps together where an algorithm of it gains by that. Heavy hashes are taken
//! together over all jobs with the same contexts, by the plain interpreter: what it costs is nothing beside them.

use crate::error::{RunError, ShareError};
use crate::field::Stage;
use crate::judged::Judged;
use crate::program::{ContextAt, Instruction, Operand, Operation};
use crate::stage::{Scratch, SessionStage};
use millpond_algorithms::Cost;
use std::sync::Arc;

/// Shares judged together at most; what is more is judged in further batches.
pub const MAX_BATCH: usize = 64;

/// Judges shares, each with its own scratch, and returns what each came to, in their order. Neighbours of one job are
/// taken together at each heavy hash, and neighbours of one recipe where its heavy hashes have no key of a job: shares of
/// the job before and of the next one then fill the same lanes. All others run one by one. The result is that of
/// [`SessionStage::judge`]. `scratches` grows to the number of shares.
pub fn judge_batch<'s, V: AsRef<[u8]>>(
    shares: &[(&'s SessionStage, &[V])],
    scratches: &'s mut Vec<Scratch>,
) -> Vec<Result<Judged<'s>, ShareError>> {
    if scratches.len() < shares.len() {
        scratches.resize_with(shares.len(), Scratch::default);
    }
    let mut runs: Vec<Run<'s, '_, V>> = shares
        .iter()
        .zip(scratches.iter_mut())
        .map(|((session, values), scratch)| Run { session, values, scratch, failed: None })
        .collect();
    for batch in runs.chunks_mut(MAX_BATCH) {
        for together in batch.chunk_by_mut(|a, b| of_one_context(a.session, b.session)) {
            if together.first().is_some_and(|run| run.session.job().recipe().cost() == Cost::Light) {
                for of_one_job in together.chunk_by_mut(|a, b| Arc::ptr_eq(a.session.job(), b.session.job()))
                {
                    flat_together(of_one_job);
                }
                continue;
            }
            for run in together.iter_mut() {
                run.failed = run.session.load(run.values, run.scratch).err();
            }
            run_together(together);
        }
    }
    let failures: Vec<_> = runs.into_iter().map(|run| run.failed).collect();
    shares
        .iter()
        .zip(scratches.iter())
        .zip(failures)
        .map(|(((session, _), scratch), failed)| failed.map_or_else(|| session.judged(scratch), Err))
        .collect()
}

/// Whether the heavy hashes of both have the same contexts.
fn of_one_context(a: &SessionStage, b: &SessionStage) -> bool {
    let keyed = |instruction: &Instruction| matches!(&instruction.operation, Operation::Hash { with, heavy: true, .. } if with.stage > Stage::Document);
    let (a, b) = (a.job(), b.job());
    Arc::ptr_eq(a, b) || (Arc::ptr_eq(a.recipe(), b.recipe()) && !a.recipe().share.iter().any(keyed))
}

/// A share on its way.
struct Run<'s, 'm, V> {
    session: &'s SessionStage,
    values: &'m [V],
    scratch: &'m mut Scratch,
    failed: Option<ShareError>,
}

impl<V: AsRef<[u8]>> Run<'_, '_, V> {
    /// Runs it whole, by itself.
    fn alone(&mut self) {
        self.failed = self.session.judge(self.values, self.scratch).err();
    }
}

/// Shares of one job, through its flat steps: each by itself up to a hash that gains by many, that of all of them at once,
/// and on. Whatever is out of the ordinary with a share has it run by itself from its beginning, so that its result is
/// the one it would have alone.
fn flat_together<V: AsRef<[u8]>>(runs: &mut [Run<'_, '_, V>]) {
    let Some(job) = runs.first().map(|run| Arc::clone(run.session.job())) else { return };
    let (Some(plan), Some(layout)) = (&job.recipe().plan, &job.layout) else {
        return runs.iter_mut().for_each(Run::alone);
    };
    if runs.len() < 2 || layout.wide.is_empty() {
        return runs.iter_mut().for_each(Run::alone);
    }
    let fields = job.recipe().share_fields.len();
    let mut going = [false; MAX_BATCH];
    for (run, going) in runs.iter_mut().zip(&mut going) {
        let mut flat = run.session.flat(plan, layout, run.scratch, true);
        *going = run.values.len() == fields && flat.load_all(run.values).is_ok();
    }
    let (mut inputs, mut hashes, mut from) = (Vec::new(), [[0; 32]; MAX_BATCH], 0);
    for step in layout.wide.iter().copied() {
        let (mut width, mut count) = (None, 0);
        inputs.clear();
        for (run, going) in runs.iter_mut().zip(&mut going).filter(|(_, going)| **going) {
            let mut flat = run.session.flat(plan, layout, run.scratch, true);
            *going = flat.run(from..step).is_ok()
                && flat.hashed(step).is_ok_and(|(input, _)| {
                    // One of another length than the first goes alone.
                    let fits = *width.get_or_insert(input.len()) == input.len() && !input.is_empty();
                    if fits {
                        inputs.extend_from_slice(input);
                    }
                    fits
                });
            count += usize::from(*going);
        }
        from = step + 1;
        let hashed = hashes.as_flattened_mut().get_mut(..count * 32);
        let first = runs.iter_mut().zip(&going).find(|(_, going)| **going);
        let done = first.zip(hashed).is_some_and(|((run, _), hashes)| {
            let flat = run.session.flat(plan, layout, run.scratch, true);
            let context = flat.hashes_by(step);
            context.is_ok_and(|context| context.hash_batch(width.unwrap_or(0), &inputs, hashes).is_ok())
        });
        let members = runs.iter_mut().zip(&mut going).filter(|(_, going)| **going);
        for ((run, going), hash) in members.zip(&hashes) {
            let mut flat = run.session.flat(plan, layout, run.scratch, true);
            *going = done && flat.take(step, *hash).is_ok();
        }
    }
    let last = from..layout.ops.all.len();
    for (run, going) in runs.iter_mut().zip(going) {
        let mut flat = || run.session.flat(plan, layout, &mut *run.scratch, true).run(last.clone()).is_ok();
        if !(going && flat()) {
            run.alone();
        }
    }
}

fn run_together<V>(runs: &mut [Run<'_, '_, V>]) {
    let Some(job) = runs.first().map(|run| Arc::clone(run.session.job())) else { return };
    let program = &job.recipe().share;
    let mut from = 0;
    while from < program.len() {
        let rest = program.get(from..).unwrap_or_default();
        let heavy = if runs.len() > 1 { rest.iter().position(shared_heavy) } else { None };
        let to = heavy.map_or(program.len(), |at| from + at);
        for run in runs.iter_mut().filter(|run| run.failed.is_none()) {
            run.failed = run.session.run(run.scratch, from..to, true).err();
        }
        if let Some(Instruction { line, operation: Operation::Hash { with, output, of, .. } }) =
            program.get(to)
        {
            hash_together(runs, *line, *with, *output as usize, *of);
        }
        from = to + 1;
    }
}

/// A heavy hash whose context is the same for all sessions of a job.
fn shared_heavy(instruction: &Instruction) -> bool {
    matches!(&instruction.operation, Operation::Hash { with, heavy: true, .. } if with.stage <= Stage::Job)
}

/// One heavy hash of all shares that are still running. Inputs of one length go together; where the whole fails, each
/// is tried alone, so that one share cannot spoil the others.
fn hash_together<V>(runs: &mut [Run<'_, '_, V>], line: u32, with: ContextAt, output: usize, of: Operand) {
    let mut inputs: Vec<u8> = Vec::new();
    let mut width = None;
    let mut members = Vec::new();
    for (i, run) in runs.iter_mut().enumerate().filter(|(_, run)| run.failed.is_none()) {
        let below = run.session.below();
        let mut frame = run.session.frame(&below, run.scratch, true);
        let Some(bytes) = frame.hashed(of, with).map(|(input, _)| input.len()) else { continue };
        if let Err(error) = frame.count(line, bytes) {
            run.failed = Some(error);
            continue;
        }
        let Some((input, _)) = frame.hashed(of, with) else { continue };
        if *width.get_or_insert(input.len()) == input.len() {
            inputs.extend_from_slice(input);
            members.push(i);
        }
    }
    let mut hashes = vec![0; output * members.len()];
    let done = members.first().and_then(|first| runs.get_mut(*first)).is_some_and(|run| {
        let below = run.session.below();
        let frame = run.session.frame(&below, run.scratch, true);
        let context = frame.hashed(of, with);
        members.len() > 1
            && context.is_some_and(|(_, context)| {
                context.hash_batch(width.unwrap_or(0), &inputs, &mut hashes).is_ok()
            })
    });
    for (i, run) in runs.iter_mut().enumerate().filter(|(_, run)| run.failed.is_none()) {
        let place = members.iter().position(|member| *member == i);
        let hash = place.and_then(|place| hashes.get(place * output..(place + 1) * output));
        let below = run.session.below();
        let mut frame = run.session.frame(&below, run.scratch, true);
        run.failed = match hash {
            Some(hash) if done => frame.write(line, hash).err(),
            _ => alone(&mut frame, line, with, output, of).err(),
        };
    }
}

fn alone(
    frame: &mut crate::run::Frame<'_>,
    line: u32,
    with: ContextAt,
    output: usize,
    of: Operand,
) -> Result<(), RunError> {
    let mut out = [0; millpond_algorithms::MAX_OUTPUT];
    let missing = || RunError::Value { line, what: "a register is read before it is written".into() };
    let out = out.get_mut(..output).ok_or_else(missing)?;
    let (input, context) = frame.hashed(of, with).ok_or_else(missing)?;
    context.hash(input, out).map_err(|source| RunError::Algorithm { line, source })?;
    frame.write(line, out)
}
