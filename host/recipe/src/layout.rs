//! The share stage laid flat: where each of its registers lies in one buffer, and the few steps that are left to run for
//! a share.
//!
//! What an instruction joins is computed where it is joined, so that `cat` costs only what was computed elsewhere. What
//! the job knows stands in the buffer before the first share, and what the session knows before each. A register whose width only the share decides is appended
//! behind all others by the plain interpreter, which also runs whatever is too rare for a step of its own.
//!
//! No step decides what an operation means: `run` does, and a share that a step cannot take is run there again.

use crate::field::Stage;
use crate::ops::{Known, Ops};
use crate::program::{Bank, ContextAt, Operand};
use crate::run::{MAX_SHARE_BYTES, MAX_SHARE_HASHED};
use millpond_algorithms::Context;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Where a step finds a value.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Source {
    /// In the share's buffer, at a place that no share changes.
    Own { at: u32, len: u32 },
    /// One of a length that the document leaves open.
    Register(Operand),
}

/// An end of a range.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bound {
    pub(crate) register: Option<Source>,
    pub(crate) plus: u64,
    pub(crate) minus: u64,
}

/// What is done for a share. `index` is an instruction of the document, `to` a place in the buffer.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Copy {
        to: u32,
        len: u32,
        from: Source,
    },
    Reverse {
        to: u32,
        len: u32,
        from: Source,
    },
    SwapWords {
        to: u32,
        len: u32,
        from: Source,
        word: u32,
    },
    Blend4 {
        to: u32,
        base: Source,
        bits: Source,
        mask: Source,
    },
    Xor32 {
        to: u32,
        a: Source,
        b: Source,
    },
    Number {
        to: u32,
        from: Source,
        little_endian: bool,
    },
    Hash {
        to: u32,
        output: u32,
        with: ContextAt,
        of: Source,
        ahead: Option<u16>,
        index: u32,
    },
    Fold {
        to: u32,
        with: ContextAt,
        start: u32,
        list: Source,
        index: u32,
    },
    /// The parts of a joined register that the share or the session gives.
    Join {
        joined: u16,
    },
    Range {
        what: Source,
        low: Bound,
        high: Bound,
        index: u32,
    },
    Subset4 {
        what: Source,
        mask: Source,
        index: u32,
    },
    /// Runs plainly into a register of open length.
    Append {
        slot: u16,
        index: u32,
    },
    /// Runs plainly, and moves the result to its place.
    Settle {
        to: u32,
        len: u32,
        index: u32,
    },
    Check {
        index: u32,
    },
}

/// Where a field's value goes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum FieldAt {
    /// All of the place, or its default.
    Exact { at: u32, len: u32 },
    /// The end of the place, or its default; zeros before it.
    Filled { at: u32, len: u32 },
    /// Behind everything else.
    Open,
}

/// A register joined of parts whose lengths the job knows.
#[derive(Debug)]
pub(crate) struct Joined {
    pub(crate) slot: u16,
    pub(crate) parts: Box<[JoinedPart]>,
}

/// A part of a joined register, with its width where the document fixes it.
pub(crate) type JoinedPart = (Operand, Option<u32>);

/// A beginning that was hashed for a job: its bytes, and what hashes the rest.
pub(crate) struct Taken {
    pub(crate) bytes: usize,
    pub(crate) rest: Arc<dyn Context>,
}

/// A hash whose input begins with what the job knows.
#[derive(Debug)]
pub(crate) struct Ahead {
    pub(crate) with: ContextAt,
    pub(crate) prefix: Vec<Operand>,
}

/// Bytes of the buffer that are the same for all shares of a job, or of a session.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Constant {
    pub(crate) to: u32,
    pub(crate) len: u32,
    pub(crate) from: Operand,
}

/// The share stage of a document, laid flat.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) fields: Vec<FieldAt>,
    pub(crate) steps: Vec<Step>,
    /// By register: its place, where the document fixes its width.
    pub(crate) homes: Vec<Option<(u32, u32)>>,
    pub(crate) joined: Vec<Joined>,
    pub(crate) aheads: Vec<Ahead>,
    pub(crate) constants: Vec<Constant>,
    /// What the session knows.
    pub(crate) of_session: Vec<Constant>,
    /// Bytes of the buffer that the document fixes.
    pub(crate) fixed: u32,
    /// Bytes that the registers of fixed width would take each by itself: what the limit counts.
    pub(crate) counted: usize,
}

/// A [`Plan`] with a job's values.
pub(crate) struct Layout {
    /// Names this layout among all of the process; a buffer that was filled for it needs no filling.
    pub(crate) id: u64,
    /// The buffer before a share: what the job knows in its places, zeros elsewhere.
    pub(crate) template: Box<[u8]>,
    /// Where each register lies; (0, 0) where the share decides.
    pub(crate) spans: Box<[(u32, u32)]>,
    /// By joined register: what a share writes into it.
    pub(crate) joins: Box<[Box<[Write]>]>,
    /// By hash: what is taken ahead.
    pub(crate) aheads: Box<[Option<Taken>]>,
    /// The steps, with every place that the job knows.
    pub(crate) ops: Ops,
    /// Where the judged hash and the share's name lie, both of 32 bytes.
    pub(crate) verdict: Option<(u32, u32)>,
    /// The operations that hash, by algorithms for which shares are worth collecting.
    pub(crate) wide: Box<[usize]>,
    /// Bytes that the buffer may grow to.
    pub(crate) limit: usize,
}

/// A value that is copied to a place of the buffer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Write {
    pub(crate) to: u32,
    pub(crate) len: u32,
    pub(crate) from: Source,
}

impl Plan {
    /// Puts a job's values into the plan. `judged` is the judged hash and the share's name. `None` where they leave no room: such a share is run plainly.
    pub(crate) fn layout(&self, document: &Bank, job: &Bank, judged: (Operand, Operand)) -> Option<Layout> {
        let below = |operand: Operand| match operand.stage {
            Stage::Document => document.get(operand.slot),
            Stage::Job => job.get(operand.slot),
            _ => None,
        };
        let mut template = vec![0; self.fixed as usize];
        for constant in &self.constants {
            let to = constant.to as usize;
            let from = below(constant.from).filter(|from| from.len() == constant.len as usize)?;
            template.get_mut(to..to + from.len())?.copy_from_slice(from);
        }
        let mut spans: Vec<(u32, u32)> =
            self.homes.iter().map(|home| home.map_or((0, 0), |(at, len)| (at, at + len))).collect();
        let mut counted = self.counted;
        let mut joins: Vec<Box<[Write]>> = Vec::new();
        for joined in &self.joined {
            template.resize(template.len().next_multiple_of(16), 0);
            let start = template.len();
            let mut writes = Vec::new();
            for (part, width) in &joined.parts {
                if let Some(known) = below(*part) {
                    template.extend_from_slice(known);
                } else {
                    let (from, len) = match part.stage {
                        Stage::Share => {
                            let (at, end) = *spans.get(usize::from(part.slot))?;
                            (Source::Own { at, len: end - at }, end - at)
                        }
                        _ => (Source::Register(*part), (*width)?),
                    };
                    writes.push(Write { to: template.len() as u32, len, from });
                    template.resize(template.len() + len as usize, 0);
                }
                if template.len() > 2 * MAX_SHARE_BYTES {
                    return None;
                }
            }
            counted += template.len() - start;
            *spans.get_mut(usize::from(joined.slot))? = (start as u32, template.len() as u32);
            joins.push(writes.into());
        }
        let room = MAX_SHARE_BYTES.checked_sub(counted)?;
        let aheads: Box<[Option<Taken>]> =
            self.aheads.iter().map(|ahead| ahead.taken(document, job)).collect();
        let known =
            Known { document, job, template: &template, spans: &spans, joins: &joins, aheads: &aheads };
        let ops = Ops::new(self, &known)?;
        let wide = ops.wide(self, &known);
        let hash = |operand: Operand| {
            let home = self.homes.get(usize::from(operand.slot)).filter(|_| operand.stage == Stage::Share);
            home.copied().flatten().filter(|(_, len)| *len == 32).map(|(at, _)| at)
        };
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Some(Layout {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            limit: template.len() + room,
            template: template.into(),
            spans: spans.into(),
            joins: joins.into(),
            aheads,
            ops,
            verdict: hash(judged.0).zip(hash(judged.1)),
            wide,
        })
    }
}

impl Ahead {
    fn taken(&self, document: &Bank, job: &Bank) -> Option<Taken> {
        let mut prefix = Vec::new();
        for part in &self.prefix {
            let bank = if part.stage == Stage::Document { document } else { job };
            prefix.extend_from_slice(bank.get(part.slot)?);
            if prefix.len() > MAX_SHARE_HASHED {
                return None;
            }
        }
        let bank = if self.with.stage == Stage::Document { document } else { job };
        let (bytes, rest) = bank.contexts.get(usize::from(self.with.slot))?.ahead(&prefix)?;
        (bytes <= prefix.len()).then_some(Taken { bytes, rest })
    }
}
