//! A job's operations: the steps of its document with every place resolved that the job knows, so that a share looks
//! nothing up but its own bytes. A step that has no operation here is run as it stands.

use crate::field::Stage;
use crate::layout::{Bound, Plan, Source, Step, Taken, Write};
use crate::program::{Bank, ContextAt, Operand};
use crate::run::{MAX_FOLD, MAX_SHARE_HASHED};
use millpond_algorithms::Context;
use std::sync::Arc;

/// What is done for a share. `to`, `from` and their like are places in the buffer, `index` an instruction of the document.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Op {
    Copy4 {
        to: u32,
        from: u32,
    },
    Copy8 {
        to: u32,
        from: u32,
    },
    Copy32 {
        to: u32,
        from: u32,
    },
    Reverse4 {
        to: u32,
        from: u32,
    },
    Reverse8 {
        to: u32,
        from: u32,
    },
    Blend4 {
        to: u32,
        base: u32,
        bits: u32,
        mask: u32,
    },
    /// Four bytes as a number of eight.
    Number4 {
        to: u32,
        from: u32,
        little_endian: bool,
    },
    /// As `Number4`, and the number lies between two that the job knows.
    Range4 {
        to: u32,
        from: u32,
        little_endian: bool,
        between: u16,
        index: u32,
    },
    /// Between two numbers that the job knows.
    Range {
        what: u32,
        between: u16,
        index: u32,
    },
    Subset4 {
        what: u32,
        mask: u32,
        index: u32,
    },
    /// The input lies at `from`, behind what was taken ahead.
    Hash {
        to: u32,
        from: u32,
        len: u32,
        context: u16,
        index: u32,
    },
    /// Over a list that the job knows.
    Fold {
        to: u32,
        start: u32,
        list: Operand,
        context: u16,
        index: u32,
    },
    /// A hash and the fold that begins with it.
    Root(u16),
    /// A step of the plan.
    Step(u32),
}

/// A hash that a fold begins with: a coinbase and its path.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Root {
    pub(crate) leaf: u32,
    pub(crate) from: u32,
    pub(crate) len: u32,
    pub(crate) context: u16,
    pub(crate) index: u32,
    pub(crate) to: u32,
    pub(crate) list: Operand,
    pub(crate) fold: u16,
    pub(crate) fold_index: u32,
}

/// A job's operations, and what they name by number.
pub(crate) struct Ops {
    pub(crate) all: Box<[Op]>,
    pub(crate) contexts: Box<[Arc<dyn Context>]>,
    pub(crate) ranges: Box<[(u64, u64)]>,
    pub(crate) roots: Box<[Root]>,
    /// Bytes that the operations hash: what the job knows of it is counted once.
    pub(crate) hashed: usize,
}

/// What a job knows of its shares.
pub(crate) struct Known<'j> {
    pub(crate) document: &'j Bank,
    pub(crate) job: &'j Bank,
    pub(crate) template: &'j [u8],
    pub(crate) spans: &'j [(u32, u32)],
    pub(crate) joins: &'j [Box<[Write]>],
    pub(crate) aheads: &'j [Option<Taken>],
}

impl Known<'_> {
    fn bank(&self, stage: Stage) -> Option<&Bank> {
        match stage {
            Stage::Document => Some(self.document),
            Stage::Job => Some(self.job),
            _ => None,
        }
    }

    /// What hashes, if the job knows it, and how many bytes of its input are hashed already.
    fn context(&self, with: ContextAt, ahead: Option<u16>) -> Option<(usize, &Arc<dyn Context>)> {
        if let Some(taken) = ahead.and_then(|ahead| self.aheads.get(usize::from(ahead))?.as_ref()) {
            return Some((taken.bytes, &taken.rest));
        }
        Some((0, self.bank(with.stage)?.contexts.get(usize::from(with.slot))?))
    }

    /// Where a value lies, if the job knows that, and how long it is.
    fn place(&self, source: Source) -> Option<(u32, u32)> {
        match source {
            Source::Own { at, len } => Some((at, len)),
            Source::Register(operand) if operand.stage == Stage::Share => {
                let (start, end) = *self.spans.get(usize::from(operand.slot))?;
                end.checked_sub(start).filter(|len| *len > 0).map(|len| (start, len))
            }
            Source::Register(_) => None,
        }
    }

    /// Where a value of exactly that length lies.
    fn exact(&self, source: Source, len: u32) -> Option<u32> {
        self.place(source).filter(|(_, found)| *found == len).map(|(at, _)| at)
    }

    /// An end of a range, if the job knows it.
    fn bound(&self, plan: &Plan, bound: &Bound) -> Option<u64> {
        let base = match bound.register {
            None => 0,
            Some(register) => {
                let at = self.exact(register, 8)?;
                plan.constants.iter().find(|constant| constant.to == at && constant.len == 8)?;
                u64::from_le_bytes(*self.template.get(at as usize..)?.first_chunk()?)
            }
        };
        Some(base.saturating_add(bound.plus).saturating_sub(bound.minus))
    }
}

impl Ops {
    /// Resolves the steps of a plan. `None` where a share would hash more than it may: it is run plainly, which says so.
    pub(crate) fn new(plan: &Plan, known: &Known<'_>) -> Option<Self> {
        let mut making =
            Making { known, plan, contexts: Vec::new(), ranges: Vec::new(), roots: Vec::new(), hashed: 0 };
        let mut all = Vec::new();
        for (at, step) in plan.steps.iter().enumerate() {
            if let Step::Join { joined } = step
                && let Some(copies) = making.joined(*joined)
            {
                all.extend(copies);
                continue;
            }
            let op = making.op(step).unwrap_or(Op::Step(at as u32));
            let both = all.last().and_then(|before| making.at_once(*before, op));
            all.truncate(all.len() - usize::from(both.is_some()));
            all.push(both.unwrap_or(op));
        }
        let Making { contexts, ranges, roots, hashed, .. } = making;
        let (all, contexts, ranges, roots) = (all.into(), contexts.into(), ranges.into(), roots.into());
        (hashed <= MAX_SHARE_HASHED).then_some(Self { all, contexts, ranges, roots, hashed })
    }

    /// The operations whose algorithms gain by many shares at once.
    pub(crate) fn wide(&self, plan: &Plan, known: &Known<'_>) -> Box<[usize]> {
        let gains = |op: &Op| match op {
            Op::Hash { context, .. } => {
                self.contexts.get(usize::from(*context)).is_some_and(|context| context.gains_together())
            }
            Op::Step(at) => match plan.steps.get(*at as usize) {
                Some(Step::Hash { output: 32, with, ahead, .. }) => {
                    known.context(*with, *ahead).is_some_and(|(_, context)| context.gains_together())
                }
                _ => false,
            },
            _ => false,
        };
        self.all.iter().enumerate().filter(|(_, op)| gains(op)).map(|(at, _)| at).collect()
    }
}

/// Operations while they are being made.
struct Making<'m> {
    known: &'m Known<'m>,
    plan: &'m Plan,
    contexts: Vec<Arc<dyn Context>>,
    ranges: Vec<(u64, u64)>,
    roots: Vec<Root>,
    hashed: usize,
}

impl Making<'_> {
    /// Two operations in one, where there is such a one. A hash that is taken for many shares at once stays by itself.
    fn at_once(&mut self, one: Op, other: Op) -> Option<Op> {
        match (one, other) {
            (Op::Number4 { to, from, little_endian }, Op::Range { what, between, index }) if what == to => {
                Some(Op::Range4 { to, from, little_endian, between, index })
            }
            (
                Op::Hash { to: leaf, from, len, context, index },
                Op::Fold { to, start, list, context: fold, index: fold_index },
            ) if start == leaf && !self.contexts.get(usize::from(context))?.gains_together() => {
                self.roots.push(Root { leaf, from, len, context, index, to, list, fold, fold_index });
                u16::try_from(self.roots.len() - 1).ok().map(Op::Root)
            }
            _ => None,
        }
    }

    fn copy(&self, write: &Write) -> Option<Op> {
        let (to, from) = (write.to, self.known.exact(write.from, write.len)?);
        match write.len {
            4 => Some(Op::Copy4 { to, from }),
            8 => Some(Op::Copy8 { to, from }),
            32 => Some(Op::Copy32 { to, from }),
            _ => None,
        }
    }

    fn joined(&self, joined: u16) -> Option<Vec<Op>> {
        self.known.joins.get(usize::from(joined))?.iter().map(|write| self.copy(write)).collect()
    }

    /// Names a context by number.
    fn named(&mut self, context: &Arc<dyn Context>) -> Option<u16> {
        self.contexts.push(Arc::clone(context));
        u16::try_from(self.contexts.len() - 1).ok()
    }

    fn op(&mut self, step: &Step) -> Option<Op> {
        let known = self.known;
        Some(match *step {
            Step::Copy { to, len, from } => self.copy(&Write { to, len, from })?,
            Step::Reverse { to, len: 4, from } => Op::Reverse4 { to, from: known.exact(from, 4)? },
            Step::Reverse { to, len: 8, from } => Op::Reverse8 { to, from: known.exact(from, 8)? },
            Step::Blend4 { to, base, bits, mask } => Op::Blend4 {
                to,
                base: known.exact(base, 4)?,
                bits: known.exact(bits, 4)?,
                mask: known.exact(mask, 4)?,
            },
            Step::Number { to, from, little_endian } => {
                Op::Number4 { to, from: known.exact(from, 4)?, little_endian }
            }
            Step::Range { what, low, high, index } => {
                let what = known.exact(what, 8)?;
                self.ranges.push((known.bound(self.plan, &low)?, known.bound(self.plan, &high)?));
                Op::Range { what, between: u16::try_from(self.ranges.len() - 1).ok()?, index }
            }
            Step::Subset4 { what, mask, index } => {
                Op::Subset4 { what: known.exact(what, 4)?, mask: known.exact(mask, 4)?, index }
            }
            Step::Hash { to, output: 32, with, of, ahead, index } => {
                let (at, len) = known.place(of)?;
                let (taken, context) = known.context(with, ahead)?;
                let taken = u32::try_from(taken).ok()?;
                let (from, rest) = (at.checked_add(taken)?, len.checked_sub(taken)?);
                let context = self.named(context)?;
                self.hashed = self.hashed.saturating_add(len as usize);
                Op::Hash { to, from, len: rest, context, index }
            }
            Step::Fold { to, with, start, list: Source::Register(list), index } => {
                let len = known.bank(list.stage)?.get(list.slot)?.len();
                if !len.is_multiple_of(32) || len / 32 > MAX_FOLD {
                    return None;
                }
                let context = self.named(known.context(with, None)?.1)?;
                self.hashed = self.hashed.saturating_add(len.saturating_mul(2));
                Op::Fold { to, start, list, context, index }
            }
            _ => return None,
        })
    }
}
