//! Several shares judged together, so that a heavy algorithm sees their inputs at once: one that works on many lanes,
//! or one that a plugin exports, which costs a sandbox per call.

use crate::error::{RunError, ShareError};
use crate::field::Stage;
use crate::program::{ContextAt, Instruction, Operand, Operation};
use crate::stage::{Judged, Scratch, SessionStage};
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
    let mut runs: Vec<Run<'s, '_>> = shares
        .iter()
        .zip(scratches.iter_mut())
        .map(|((session, values), scratch)| Run {
            session,
            failed: session.load(values, scratch).err(),
            scratch,
        })
        .collect();
    for batch in runs.chunks_mut(MAX_BATCH) {
        for together in batch.chunk_by_mut(|a, b| of_one_context(a.session, b.session)) {
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
struct Run<'s, 'm> {
    session: &'s SessionStage,
    scratch: &'m mut Scratch,
    failed: Option<ShareError>,
}

fn run_together(runs: &mut [Run<'_, '_>]) {
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
fn hash_together(runs: &mut [Run<'_, '_>], line: u32, with: ContextAt, output: usize, of: Operand) {
    let mut inputs: Vec<u8> = Vec::new();
    let mut width = None;
    let mut members = Vec::new();
    for (i, run) in runs.iter_mut().enumerate().filter(|(_, run)| run.failed.is_none()) {
        let below = run.session.below();
        let frame = run.session.frame(&below, run.scratch, true);
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
