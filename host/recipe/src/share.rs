//! Runs the operations of a share. Nothing is trusted here either: a place outside the buffer, or a width that is not
//! what the compiler proved, ends the flat run, and the share is judged plainly.

mod steps;

use crate::error::RunError;
use crate::field::Stage;
use crate::layout::{Constant, FieldAt, Layout, Plan, Step};
use crate::ops::Op;
use crate::program::{Bank, Instruction};
use crate::run::Frame;
use crate::stage::{Recipe, Scratch};
use millpond_algorithms::{AlgorithmError, Context};

/// Why a flat run ended early.
pub(crate) enum Stop {
    /// It cannot say: the share is to be judged plainly. A document's doing, never a sound one's.
    Plainly,
    /// The share is refused. Boxed, so that what succeeds is returned in a register.
    Refused(Box<RunError>),
}

type Ran<T = ()> = Result<T, Stop>;

impl From<RunError> for Stop {
    #[cold]
    fn from(error: RunError) -> Self {
        // What a limit counts, the plain run knows exactly.
        match error {
            RunError::TooLarge { .. } => Self::Plainly,
            error => Self::Refused(Box::new(error)),
        }
    }
}

/// One share on its way through the flat steps.
pub(crate) struct Flat<'f> {
    pub(crate) recipe: &'f Recipe,
    pub(crate) plan: &'f Plan,
    pub(crate) layout: &'f Layout,
    pub(crate) below: [&'f Bank; 3],
    pub(crate) scratch: &'f mut Scratch,
    pub(crate) proofs: bool,
}

/// A word at a place of the buffer. Not a copy of it: in one that may be missing it would be moved about in pieces.
#[inline(always)]
fn word<const N: usize>(bytes: &[u8], at: u32) -> Ran<&[u8; N]> {
    let at = at as usize;
    bytes.get(at..at + N).and_then(<[u8]>::first_chunk).ok_or(Stop::Plainly)
}

/// Puts a word at a place of the buffer.
#[inline(always)]
fn set<const N: usize>(bytes: &mut [u8], at: u32, word: [u8; N]) -> Ran {
    let at = at as usize;
    match bytes.get_mut(at..at + N).and_then(<[u8]>::first_chunk_mut) {
        Some(place) => {
            *place = word;
            Ok(())
        }
        None => Err(Stop::Plainly),
    }
}

impl Flat<'_> {
    /// Loads the fields and runs all operations. There are as many values as fields.
    #[inline]
    pub(crate) fn judge(mut self, values: &[impl AsRef<[u8]>]) -> Ran {
        self.load_all(values)?;
        self.run(0..self.layout.ops.all.len())
    }

    /// Runs some of the operations.
    pub(crate) fn run(&mut self, part: std::ops::Range<usize>) -> Ran {
        let ops = &self.layout.ops;
        for op in ops.all.get(part).unwrap_or_default() {
            let bytes = self.scratch.bank.bytes.as_mut_slice();
            match *op {
                Op::Copy4 { to, from } => set(bytes, to, *word::<4>(bytes, from)?)?,
                Op::Copy8 { to, from } => set(bytes, to, *word::<8>(bytes, from)?)?,
                Op::Copy32 { to, from } => set(bytes, to, *word::<32>(bytes, from)?)?,
                Op::Reverse4 { to, from } => {
                    set(bytes, to, u32::from_le_bytes(*word(bytes, from)?).to_be_bytes())?;
                }
                Op::Reverse8 { to, from } => {
                    set(bytes, to, u64::from_le_bytes(*word(bytes, from)?).to_be_bytes())?;
                }
                Op::Blend4 { to, base, bits, mask } => {
                    let (base, bits) = (u32::from_ne_bytes(*word(bytes, base)?), *word(bytes, bits)?);
                    let mask = u32::from_ne_bytes(*word(bytes, mask)?);
                    let blend = (base & !mask) | (u32::from_ne_bytes(bits) & mask);
                    set(bytes, to, blend.to_ne_bytes())?;
                }
                Op::Number4 { to, from, little_endian } => {
                    let number = u32::from_le_bytes(*word(bytes, from)?);
                    let number = if little_endian { number } else { number.swap_bytes() };
                    set(bytes, to, u64::from(number).to_le_bytes())?;
                }
                Op::Range4 { to, from, little_endian, between, index } => {
                    let number = u32::from_le_bytes(*word(bytes, from)?);
                    let number = u64::from(if little_endian { number } else { number.swap_bytes() });
                    set(bytes, to, number.to_le_bytes())?;
                    let (low, high) = *ops.ranges.get(usize::from(between)).ok_or(Stop::Plainly)?;
                    if number < low || high < number {
                        self.plainly(index)?;
                    }
                }
                Op::Range { what, between, index } => {
                    let number = u64::from_le_bytes(*word(bytes, what)?);
                    let (low, high) = *ops.ranges.get(usize::from(between)).ok_or(Stop::Plainly)?;
                    if number < low || high < number {
                        self.plainly(index)?;
                    }
                }
                Op::Subset4 { what, mask, index } => {
                    let (what, mask) = (*word(bytes, what)?, *word(bytes, mask)?);
                    if u32::from_ne_bytes(what) & !u32::from_ne_bytes(mask) != 0 {
                        self.plainly(index)?;
                    }
                }
                Op::Hash { to, from, len, context, index } => {
                    let context = ops.contexts.get(usize::from(context)).ok_or(Stop::Plainly)?;
                    let input = bytes.get(from as usize..from as usize + len as usize);
                    let mut out = [0; 32];
                    match context.hash(input.ok_or(Stop::Plainly)?, &mut out) {
                        Ok(()) => set(bytes, to, out)?,
                        Err(error) => return Err(self.failed(index, error)),
                    }
                }
                Op::Fold { to, start, list, context, index } => {
                    let context = ops.contexts.get(usize::from(context)).ok_or(Stop::Plainly)?;
                    let bank: &Bank = self.below.get(list.stage.index()).ok_or(Stop::Plainly)?;
                    let (items, _) = bank.get(list.slot).ok_or(Stop::Plainly)?.as_chunks::<32>();
                    let mut acc = *word::<32>(bytes, start)?;
                    match context.fold(&mut acc, items) {
                        Ok(()) => set(bytes, to, acc)?,
                        Err(error) => return Err(self.failed(index, error)),
                    }
                }
                Op::Root(root) => {
                    let root = ops.roots.get(usize::from(root)).ok_or(Stop::Plainly)?;
                    let context = ops.contexts.get(usize::from(root.context)).ok_or(Stop::Plainly)?;
                    let fold = ops.contexts.get(usize::from(root.fold)).ok_or(Stop::Plainly)?;
                    let bank: &Bank = self.below.get(root.list.stage.index()).ok_or(Stop::Plainly)?;
                    let (items, _) = bank.get(root.list.slot).ok_or(Stop::Plainly)?.as_chunks::<32>();
                    let input = bytes.get(root.from as usize..root.from as usize + root.len as usize);
                    let mut acc = [0; 32];
                    if let Err(error) = context.hash(input.ok_or(Stop::Plainly)?, &mut acc) {
                        return Err(self.failed(root.index, error));
                    }
                    set(bytes, root.leaf, acc)?;
                    match fold.fold(&mut acc, items) {
                        Ok(()) => set(bytes, root.to, acc)?,
                        Err(error) => return Err(self.failed(root.fold_index, error)),
                    }
                }
                Op::Step(at) => self.step_at(at)?,
            }
        }
        Ok(())
    }

    /// Loads the fields.
    #[inline]
    pub(crate) fn load_all(&mut self, values: &[impl AsRef<[u8]>]) -> Ran {
        self.begin()?;
        for (slot, (at, value)) in self.plan.fields.iter().zip(values).enumerate() {
            let value = value.as_ref();
            let bytes = self.scratch.bank.bytes.as_mut_slice();
            match *at {
                FieldAt::Exact { at, len } if value.len() == len as usize => match value.len() {
                    4 => set(bytes, at, *word::<4>(value, 0)?)?,
                    8 => set(bytes, at, *word::<8>(value, 0)?)?,
                    _ => self.put(at, value)?,
                },
                at => self.load(slot, at, value)?,
            }
        }
        Ok(())
    }

    /// What an operation that hashes would hash, and by what: the hash of it is for [`Flat::take`].
    pub(crate) fn hashed(&mut self, op: usize) -> Ran<(&[u8], &dyn Context)> {
        let ops = &self.layout.ops;
        match ops.all.get(op) {
            Some(Op::Hash { from, len, context, .. }) => {
                let bytes = self.scratch.bank.bytes.get(*from as usize..);
                let input = bytes.and_then(|bytes| bytes.get(..*len as usize)).ok_or(Stop::Plainly)?;
                Ok((input, &**ops.contexts.get(usize::from(*context)).ok_or(Stop::Plainly)?))
            }
            Some(Op::Step(at)) => match self.plan.steps.get(*at as usize) {
                Some(Step::Hash { with, of, ahead, .. }) => {
                    self.charge(self.read(*of)?.len())?;
                    self.input(*with, *of, *ahead)
                }
                _ => Err(Stop::Plainly),
            },
            _ => Err(Stop::Plainly),
        }
    }

    /// By what an operation hashes.
    pub(crate) fn hashes_by(&self, op: usize) -> Ran<&dyn Context> {
        let ops = &self.layout.ops;
        match ops.all.get(op) {
            Some(Op::Hash { context, .. }) => {
                Ok(&**ops.contexts.get(usize::from(*context)).ok_or(Stop::Plainly)?)
            }
            Some(Op::Step(at)) => match self.plan.steps.get(*at as usize) {
                Some(Step::Hash { with, of, ahead, .. }) => Ok(self.input(*with, *of, *ahead)?.1),
                _ => Err(Stop::Plainly),
            },
            _ => Err(Stop::Plainly),
        }
    }

    /// Takes a hash in the place of an operation.
    pub(crate) fn take(&mut self, op: usize, hash: [u8; 32]) -> Ran {
        let to = match self.layout.ops.all.get(op) {
            Some(Op::Hash { to, .. }) => *to,
            Some(Op::Step(at)) => match self.plan.steps.get(*at as usize) {
                Some(Step::Hash { to, output: 32, .. }) => *to,
                _ => return Err(Stop::Plainly),
            },
            _ => return Err(Stop::Plainly),
        };
        set(&mut self.scratch.bank.bytes, to, hash)
    }

    /// Makes the buffer what it is before a share. What an earlier share of the same job left is overwritten before it
    /// is read, and what the job knows is never written over.
    #[inline]
    fn begin(&mut self) -> Ran {
        let (layout, bank) = (self.layout, &mut self.scratch.bank);
        if self.scratch.filled == layout.id {
            bank.bytes.truncate(layout.template.len());
        } else {
            bank.clear();
            bank.bytes.extend_from_slice(&layout.template);
            bank.spans.extend_from_slice(&layout.spans);
            self.scratch.filled = layout.id;
        }
        bank.hashed = layout.ops.hashed;
        if self.plan.of_session.is_empty() { Ok(()) } else { self.session_values() }
    }

    /// What the session knows. The share before was perhaps another session's.
    fn session_values(&mut self) -> Ran {
        let [_, _, session] = self.below;
        for Constant { to, len, from } in &self.plan.of_session {
            let value = session.get(from.slot).filter(|value| value.len() == *len as usize);
            self.put(*to, value.ok_or(Stop::Plainly)?)?;
        }
        Ok(())
    }

    /// A field that takes a default, is filled up, or has an open length.
    #[inline(never)]
    fn load(&mut self, slot: usize, at: FieldAt, given: &[u8]) -> Ran {
        let field = self.recipe.share_fields.get(slot).ok_or(Stop::Plainly)?;
        let value = match &field.default {
            Some(default) if given.is_empty() => default,
            _ => given,
        };
        if !field.width.admits(value.len()) {
            return Err(field.refuses(value.len()).into());
        }
        match at {
            FieldAt::Exact { at, len } | FieldAt::Filled { at, len } => {
                let padding = (len as usize).checked_sub(value.len()).ok_or(Stop::Plainly)?;
                let place = self.place(at, len as usize)?;
                let (zeros, rest) = place.split_at_mut_checked(padding).ok_or(Stop::Plainly)?;
                zeros.fill(0);
                rest.copy_from_slice(value);
            }
            FieldAt::Open => {
                let bank = &mut self.scratch.bank;
                let start = bank.bytes.len();
                if start + value.len() > self.layout.limit {
                    return Err(Stop::Plainly);
                }
                bank.bytes.extend_from_slice(value);
                *bank.spans.get_mut(slot).ok_or(Stop::Plainly)? = (start as u32, bank.bytes.len() as u32);
            }
        }
        Ok(())
    }

    #[inline]
    fn place(&mut self, at: u32, len: usize) -> Ran<&mut [u8]> {
        let at = at as usize;
        self.scratch.bank.bytes.get_mut(at..at.saturating_add(len)).ok_or(Stop::Plainly)
    }

    #[inline]
    fn put(&mut self, at: u32, bytes: &[u8]) -> Ran {
        match bytes.len() {
            4 => set(&mut self.scratch.bank.bytes, at, *word::<4>(bytes, 0)?),
            8 => set(&mut self.scratch.bank.bytes, at, *word::<8>(bytes, 0)?),
            len => {
                self.place(at, len)?.copy_from_slice(bytes);
                Ok(())
            }
        }
    }

    /// An instruction that writes no register, as the plain interpreter runs it.
    fn plainly(&mut self, index: u32) -> Ran {
        let at = index as usize;
        let instructions = self.recipe.share.get(at..at + 1).ok_or(Stop::Plainly)?;
        Ok(self.frame().run(instructions)?)
    }

    fn instruction<'s>(&self, index: u32) -> Ran<&'s Instruction>
    where
        Self: 's,
    {
        self.recipe.share.get(index as usize).ok_or(Stop::Plainly)
    }

    fn frame(&mut self) -> Frame<'_> {
        Frame {
            below: &self.below,
            stage: Stage::Share,
            bank: &mut self.scratch.bank,
            tables: &self.recipe.tables,
            proofs: self.proofs,
            limit: self.layout.limit,
        }
    }

    #[cold]
    fn failed(&self, index: u32, source: AlgorithmError) -> Stop {
        match self.instruction(index) {
            Ok(instruction) => RunError::Algorithm { line: instruction.line, source }.into(),
            Err(stop) => stop,
        }
    }
}
