//! Steps that have no operation of their own in a job: what depends on a length that only the share knows, and what is
//! rare.

use super::{Flat, Ran, Stop, set};
use crate::field::Stage;
use crate::layout::{Bound, Source, Step, Write};
use crate::program::{Bank, ContextAt};
use crate::run::{MAX_FOLD, MAX_SHARE_HASHED};
use millpond_algorithms::{Context, MAX_OUTPUT};

impl Flat<'_> {
    #[inline]
    fn copy(&mut self, write: Write) -> Ran {
        match write.len {
            4 => self.set(write.to, self.word::<4>(write.from)?),
            8 => self.set(write.to, self.word::<8>(write.from)?),
            32 => self.set(write.to, self.word::<32>(write.from)?),
            _ => self.copy_any(write),
        }
    }

    fn copy_any(&mut self, Write { to, len, from }: Write) -> Ran {
        let (to, len) = (to as usize, len as usize);
        if let Source::Own { at, len: given } = from {
            let (at, bytes) = (at as usize, &mut self.scratch.bank.bytes);
            if given as usize != len || at.max(to) + len > bytes.len() {
                return Err(Stop::Plainly);
            }
            bytes.copy_within(at..at + len, to);
            return Ok(());
        }
        let Source::Register(operand) = from else { return Err(Stop::Plainly) };
        if operand.stage == Stage::Share {
            return Err(Stop::Plainly);
        }
        let bank = *self.below.get(operand.stage.index()).ok_or(Stop::Plainly)?;
        let bytes = bank.get(operand.slot).filter(|bytes| bytes.len() == len).ok_or(Stop::Plainly)?;
        self.put(to as u32, bytes)
    }

    /// A step that is no operation in this job.
    #[inline(never)]
    pub(super) fn step_at(&mut self, at: u32) -> Ran {
        let plan = self.plan;
        match *plan.steps.get(at as usize).ok_or(Stop::Plainly)? {
            Step::Copy { to, len, from } => self.copy(Write { to, len, from }),
            Step::Reverse { to, len, from } => match len {
                4 => self.set(to, u32::from_le_bytes(self.word(from)?).to_be_bytes()),
                8 => self.set(to, u64::from_le_bytes(self.word(from)?).to_be_bytes()),
                _ => {
                    self.copy_any(Write { to, len, from })?;
                    self.place(to, len as usize)?.reverse();
                    Ok(())
                }
            },
            Step::SwapWords { to, len, from, word } => {
                self.copy_any(Write { to, len, from })?;
                self.place(to, len as usize)?
                    .chunks_exact_mut(word.max(1) as usize)
                    .for_each(<[u8]>::reverse);
                Ok(())
            }
            Step::Blend4 { to, base, bits, mask } => {
                let (base, bits) =
                    (u32::from_ne_bytes(self.word(base)?), u32::from_ne_bytes(self.word(bits)?));
                let mask = u32::from_ne_bytes(self.word(mask)?);
                self.set(to, ((base & !mask) | (bits & mask)).to_ne_bytes())
            }
            Step::Xor32 { to, a, b } => {
                let (mut a, b) = (self.word::<32>(a)?, self.word::<32>(b)?);
                a.iter_mut().zip(b).for_each(|(a, b)| *a ^= b);
                self.set(to, a)
            }
            Step::Number { to, from, little_endian } => {
                let number = self.integer(from, little_endian)?;
                self.set(to, number.to_le_bytes())
            }
            Step::Hash { to, output, with, of, ahead, index } => {
                self.hash(to, output, with, of, ahead, index)
            }
            Step::Fold { to, with, start, list, index } => self.fold(to, with, start, list, index),
            Step::Join { joined } => {
                let layout = self.layout;
                let writes = layout.joins.get(usize::from(joined)).ok_or(Stop::Plainly)?;
                writes.iter().try_for_each(|write| self.copy(*write))
            }
            Step::Range { what, low, high, index } => {
                let number = self.number(what)?;
                if self.bound(low)? <= number && number <= self.bound(high)? {
                    return Ok(());
                }
                self.plainly(index)
            }
            Step::Subset4 { what, mask, index } => {
                let (what, mask) = (self.word::<4>(what)?, self.word::<4>(mask)?);
                if u32::from_ne_bytes(what) & !u32::from_ne_bytes(mask) == 0 {
                    return Ok(());
                }
                self.plainly(index)
            }
            Step::Append { slot, index } => {
                let span = self.appended(index)?;
                *self.scratch.bank.spans.get_mut(usize::from(slot)).ok_or(Stop::Plainly)? = span;
                Ok(())
            }
            Step::Settle { to, len, index } => {
                let (start, end) = self.appended(index)?;
                if end - start != len || to as usize + len as usize > start as usize {
                    return Err(Stop::Plainly);
                }
                let bytes = &mut self.scratch.bank.bytes;
                bytes.copy_within(start as usize..end as usize, to as usize);
                bytes.truncate(start as usize);
                Ok(())
            }
            Step::Check { index } => self.plainly(index),
        }
    }

    #[inline]
    pub(super) fn read(&self, source: Source) -> Ran<&[u8]> {
        let found = match source {
            Source::Own { at, len } => self.scratch.bank.bytes.get(at as usize..at as usize + len as usize),
            Source::Register(operand) => match self.below.get(operand.stage.index()) {
                Some(bank) => bank.get(operand.slot),
                None => self.scratch.bank.get(operand.slot),
            },
        };
        found.ok_or(Stop::Plainly)
    }

    /// A value of exactly that width.
    #[inline]
    fn word<const N: usize>(&self, source: Source) -> Ran<[u8; N]> {
        let found: Option<&[u8; N]> = match source {
            Source::Own { at, len } if len as usize == N => {
                self.scratch.bank.bytes.get(at as usize..).and_then(|bytes| bytes.first_chunk())
            }
            Source::Own { .. } => None,
            Source::Register(_) => self.read(source)?.try_into().ok(),
        };
        found.copied().ok_or(Stop::Plainly)
    }

    #[inline]
    fn set<const N: usize>(&mut self, at: u32, word: [u8; N]) -> Ran {
        set(&mut self.scratch.bank.bytes, at, word)
    }

    fn appended(&mut self, index: u32) -> Ran<(u32, u32)> {
        let instruction = self.instruction(index)?;
        Ok(self.frame().append_result(instruction)?)
    }

    #[inline]
    fn number(&self, source: Source) -> Ran<u64> {
        Ok(u64::from_le_bytes(self.word(source)?))
    }

    #[inline]
    fn bound(&self, bound: Bound) -> Ran<u64> {
        let base = match bound.register {
            Some(register) => self.number(register)?,
            None => 0,
        };
        Ok(base.saturating_add(bound.plus).saturating_sub(bound.minus))
    }

    #[inline]
    fn integer(&self, source: Source, little_endian: bool) -> Ran<u64> {
        let bytes = self.read(source)?;
        if let (Ok(bytes), false) = (<[u8; 4]>::try_from(bytes), little_endian) {
            return Ok(u64::from(u32::from_be_bytes(bytes)));
        }
        let fold = |sum: u64, byte: &u8| sum << 8 | u64::from(*byte);
        match bytes.len() {
            0..=8 if little_endian => Ok(bytes.iter().rev().fold(0, fold)),
            0..=8 => Ok(bytes.iter().fold(0, fold)),
            _ => Err(Stop::Plainly),
        }
    }

    #[inline]
    pub(super) fn charge(&mut self, bytes: usize) -> Ran {
        let hashed = &mut self.scratch.bank.hashed;
        *hashed = hashed.saturating_add(bytes);
        if *hashed > MAX_SHARE_HASHED { Err(Stop::Plainly) } else { Ok(()) }
    }

    #[inline]
    fn context<'s>(&self, at: ContextAt) -> Ran<&'s dyn Context>
    where
        Self: 's,
    {
        let bank: &'s Bank = self.below.get(at.stage.index()).ok_or(Stop::Plainly)?;
        bank.contexts.get(usize::from(at.slot)).map(|context| &**context).ok_or(Stop::Plainly)
    }

    #[inline]
    pub(super) fn input(
        &self,
        with: ContextAt,
        of: Source,
        ahead: Option<u16>,
    ) -> Ran<(&[u8], &dyn Context)> {
        let layout = self.layout;
        let ahead = ahead.and_then(|ahead| layout.aheads.get(usize::from(ahead))?.as_ref());
        let (taken, context) = match ahead {
            Some(ahead) => (ahead.bytes, &*ahead.rest),
            None => (0, self.context(with)?),
        };
        Ok((self.read(of)?.get(taken..).ok_or(Stop::Plainly)?, context))
    }

    fn hash(
        &mut self,
        to: u32,
        output: u32,
        with: ContextAt,
        of: Source,
        ahead: Option<u16>,
        index: u32,
    ) -> Ran {
        self.charge(self.read(of)?.len())?;
        let (input, context) = self.input(with, of, ahead)?;
        if output == 32 {
            let mut out = [0; 32];
            return match context.hash(input, &mut out) {
                Ok(()) => self.set(to, out),
                Err(error) => Err(self.failed(index, error)),
            };
        }
        let mut out = [0; MAX_OUTPUT];
        let out = out.get_mut(..output as usize).ok_or(Stop::Plainly)?;
        match context.hash(input, out) {
            Ok(()) => self.put(to, out),
            Err(error) => Err(self.failed(index, error)),
        }
    }

    fn fold(&mut self, to: u32, with: ContextAt, start: u32, list: Source, index: u32) -> Ran {
        self.charge(self.read(list)?.len().saturating_mul(2))?;
        let (items, rest) = self.read(list)?.as_chunks::<32>();
        if !rest.is_empty() || items.len() > MAX_FOLD {
            return Err(Stop::Plainly);
        }
        let mut acc = self.word::<32>(Source::Own { at: start, len: 32 })?;
        match self.context(with)?.fold(&mut acc, items) {
            Ok(()) => self.set(to, acc),
            Err(error) => Err(self.failed(index, error)),
        }
    }
}
