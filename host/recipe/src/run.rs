//! Runs instructions over registers. Nothing here trusts a width: what the compiler proved is checked again where a
//! value could differ, and ends in an error.

use crate::error::RunError;
use crate::field::{Field, Stage, Width};
use crate::program::{Bank, BoundAt, ContextAt, Instruction, Operand, Operation, Tables};
use millpond_algorithms::MAX_OUTPUT;

/// Bytes that the job stage of one job may hold.
pub const MAX_JOB_BYTES: usize = 1 << 20;
/// Bytes that the session stage of one job and session may hold.
pub const MAX_SESSION_BYTES: usize = 64 << 10;
/// Bytes that judging one share may use.
pub const MAX_SHARE_BYTES: usize = 128 << 10;
/// Bytes that may be hashed to judge one share: a large coinbase twice, and a path. A document decides what a share
/// costs, and a share costs a miner nothing to send.
pub const MAX_SHARE_HASHED: usize = 512 << 10;
/// Items of a list that a fold may take: a path of 64 steps covers 2^64 leaves.
pub const MAX_FOLD: usize = 64;
/// Bytes of a list's item that a fold may take: an output of the longest hash and a side.
pub(crate) const MAX_ITEM: usize = MAX_OUTPUT + 1;

impl Stage {
    /// Bytes that the registers of the stage may hold.
    #[inline]
    pub(crate) fn limit(self) -> usize {
        match self {
            Self::Document => crate::MAX_DOCUMENT_BYTES,
            Self::Job => MAX_JOB_BYTES,
            Self::Session => MAX_SESSION_BYTES,
            Self::Share => MAX_SHARE_BYTES,
        }
    }
}

/// The registers of the stages below, and the one that is being filled.
pub(crate) struct Frame<'a> {
    pub(crate) below: &'a [&'a Bank],
    pub(crate) stage: Stage,
    pub(crate) bank: &'a mut Bank,
    pub(crate) tables: &'a Tables,
    /// Whether `claim` and `verify` are run; a probe has no proofs to show.
    pub(crate) proofs: bool,
    /// Bytes that the bank may hold.
    pub(crate) limit: usize,
}

/// What went wrong, before the line is known.
enum Fault {
    Value(String),
    TooLarge(usize),
    TooLong { given: usize, of_share: bool },
    Run(RunError),
    Algorithm(millpond_algorithms::AlgorithmError),
}

/// Boxed, so that what succeeds is returned in registers: every step of every share returns one.
type Ran<T> = Result<T, Box<Fault>>;

impl From<millpond_algorithms::AlgorithmError> for Box<Fault> {
    fn from(error: millpond_algorithms::AlgorithmError) -> Self {
        Box::new(Fault::Algorithm(error))
    }
}

fn value<T>(what: impl Into<String>) -> Ran<T> {
    Err(Box::new(Fault::Value(what.into())))
}

impl Frame<'_> {
    /// Puts values into the stage's first registers.
    pub(crate) fn load(&mut self, fields: &[Field], values: &[impl AsRef<[u8]>]) -> Result<(), RunError> {
        for (field, given) in fields.iter().zip(values) {
            let mut given = given.as_ref();
            if given.is_empty()
                && let Some(default) = &field.default
            {
                given = default;
            }
            if !field.width.admits(given.len()) {
                return Err(field.refuses(given.len()));
            }
            let start = self.bank.bytes.len();
            let padding = match field.width {
                Width::PaddedTo(n) => (n as usize).saturating_sub(given.len()),
                _ => 0,
            };
            let end = start.saturating_add(padding).saturating_add(given.len());
            if end > self.limit {
                return Err(self.located(0, Fault::TooLarge(self.stage.limit())));
            }
            self.bank.bytes.resize(start + padding, 0);
            self.bank.bytes.extend_from_slice(given);
            self.close(start);
        }
        Ok(())
    }

    /// Runs a stage's instructions in order.
    pub(crate) fn run(&mut self, program: &[Instruction]) -> Result<(), RunError> {
        for instruction in program {
            self.step(&instruction.operation).map_err(|fault| self.located(instruction.line, *fault))?;
        }
        Ok(())
    }

    /// Appends what an instruction computes to the bank and returns where it lies. No register is named by it.
    pub(crate) fn append_result(&mut self, instruction: &Instruction) -> Result<(u32, u32), RunError> {
        let start = self.bank.bytes.len();
        self.compute(&instruction.operation).map_err(|fault| self.located(instruction.line, *fault))?;
        Ok((start as u32, self.bank.bytes.len() as u32))
    }

    /// Counts the bytes of a hash that is taken out of the program's order.
    pub(crate) fn count(&mut self, line: u32, bytes: usize) -> Result<(), RunError> {
        self.charge(bytes).map_err(|fault| self.located(line, *fault))
    }

    /// The input of a hash that is taken out of the program's order, and the context it is hashed with.
    pub(crate) fn hashed(
        &self,
        of: Operand,
        with: ContextAt,
    ) -> Option<(&[u8], &dyn millpond_algorithms::Context)> {
        Some((self.get(of).ok()?, self.context(with).ok()?))
    }

    /// Writes a register that was computed out of the program's order.
    pub(crate) fn write(&mut self, line: u32, bytes: &[u8]) -> Result<(), RunError> {
        let start = self.bank.bytes.len();
        self.push(bytes).map_err(|fault| self.located(line, *fault))?;
        self.close(start);
        Ok(())
    }

    fn located(&self, line: u32, fault: Fault) -> RunError {
        match fault {
            Fault::Value(what) => RunError::Value { line, what },
            Fault::TooLarge(limit) => RunError::TooLarge { line, stage: self.stage.name(), limit },
            Fault::TooLong { given, of_share } => {
                RunError::TooLong { line, given, limit: MAX_FOLD, of_share }
            }
            Fault::Run(error) => error,
            Fault::Algorithm(source) => RunError::Algorithm { line, source },
        }
    }

    #[inline]
    fn get(&self, operand: Operand) -> Ran<&[u8]> {
        let bank = if operand.stage == self.stage {
            Some(&*self.bank)
        } else {
            self.below.get(operand.stage.index()).copied()
        };
        match bank.and_then(|bank| bank.get(operand.slot)) {
            Some(bytes) => Ok(bytes),
            None => value("a register is read before it is written"),
        }
    }

    #[inline]
    fn number(&self, operand: Operand) -> Ran<u64> {
        match self.get(operand)?.try_into() {
            Ok(bytes) => Ok(u64::from_le_bytes(bytes)),
            Err(_) => value("a number is not 8 bytes"),
        }
    }

    /// A byte string of at most 8 bytes as a number.
    fn integer(&self, operand: Operand, little_endian: bool) -> Ran<u64> {
        let bytes = self.get(operand)?;
        let fold = |sum: u64, byte: &u8| sum << 8 | u64::from(*byte);
        match bytes.len() {
            0..=8 if little_endian => Ok(bytes.iter().rev().fold(0, fold)),
            0..=8 => Ok(bytes.iter().fold(0, fold)),
            n => value(format!("{n} bytes are too many for a number of 64 bits")),
        }
    }

    #[inline]
    fn room(&self, more: usize) -> Ran<()> {
        if self.bank.bytes.len().saturating_add(more) > self.limit {
            Err(Box::new(Fault::TooLarge(self.stage.limit())))
        } else {
            Ok(())
        }
    }

    /// Counts bytes that are about to be hashed.
    #[inline]
    fn charge(&mut self, bytes: usize) -> Ran<()> {
        self.bank.hashed = self.bank.hashed.saturating_add(bytes);
        if self.stage == Stage::Share && self.bank.hashed > MAX_SHARE_HASHED {
            return Err(Box::new(Fault::TooLarge(MAX_SHARE_HASHED)));
        }
        Ok(())
    }

    /// Appends a part of a register to the register being written.
    #[inline]
    fn append(&mut self, operand: Operand, from: usize, to: Option<usize>) -> Ran<()> {
        let len = self.get(operand)?.len();
        let to = to.unwrap_or(len);
        if from > to || to > len {
            return value(format!("a slice {from}..{to} of {len} bytes"));
        }
        self.room(to - from)?;
        if operand.stage == self.stage {
            let start = self.bank.spans.get(usize::from(operand.slot)).map_or(0, |span| span.0 as usize);
            self.bank.bytes.extend_from_within(start + from..start + to);
        } else if let Some(part) = self
            .below
            .get(operand.stage.index())
            .and_then(|bank| bank.get(operand.slot))
            .and_then(|bytes| bytes.get(from..to))
        {
            self.bank.bytes.extend_from_slice(part);
        }
        Ok(())
    }

    #[inline]
    fn push(&mut self, bytes: &[u8]) -> Ran<()> {
        self.room(bytes.len())?;
        self.bank.bytes.extend_from_slice(bytes);
        Ok(())
    }

    fn pad(&mut self, zeros: usize) -> Ran<()> {
        self.room(zeros)?;
        let end = self.bank.bytes.len() + zeros;
        self.bank.bytes.resize(end, 0);
        Ok(())
    }

    /// Ends the register that began at `start`.
    #[inline]
    fn close(&mut self, start: usize) {
        // The limits of all stages are far below 2^32.
        self.bank.spans.push((start as u32, self.bank.bytes.len() as u32));
    }

    #[inline]
    fn written(&mut self, start: usize) -> &mut [u8] {
        self.bank.bytes.get_mut(start..).unwrap_or_default()
    }

    fn step(&mut self, operation: &Operation) -> Ran<()> {
        if !operation.writes() {
            let unproven =
                !self.proofs && matches!(operation, Operation::Claim { .. } | Operation::Verify { .. });
            return if unproven { Ok(()) } else { self.check(operation) };
        }
        let start = self.bank.bytes.len();
        self.compute(operation)?;
        self.close(start);
        Ok(())
    }

    /// Appends what an operation that writes a register comes to.
    fn compute(&mut self, operation: &Operation) -> Ran<()> {
        let start = self.bank.bytes.len();
        match operation {
            Operation::Cat(parts) => parts.iter().try_for_each(|part| self.append(*part, 0, None))?,
            Operation::Reverse(of) => {
                self.append(*of, 0, None)?;
                self.written(start).reverse();
            }
            Operation::ReverseWords(word, of) => {
                self.append(*of, 0, None)?;
                self.written(start).reverse();
                self.swap_words(start, *word)?;
            }
            Operation::SwapWords(word, of) => {
                self.append(*of, 0, None)?;
                self.swap_words(start, *word)?;
            }
            Operation::Blend { base, bits, mask } => {
                self.zip(*base, |i, byte, frame| {
                    let (bits, mask) = (frame.byte(*bits, i)?, frame.byte(*mask, i)?);
                    Ok((byte & !mask) | (bits & mask))
                })?;
            }
            Operation::Xor(a, b) => self.zip(*a, |i, byte, frame| Ok(byte ^ frame.byte(*b, i)?))?,
            Operation::Slice { of, from, to } => {
                self.append(*of, *from as usize, to.map(|to| to as usize))?
            }
            Operation::PadLeft(width, of) | Operation::PadRight(width, of) => {
                let left = matches!(operation, Operation::PadLeft(..));
                let len = self.get(*of)?.len();
                let Some(zeros) = (*width as usize).checked_sub(len) else {
                    return value(format!("{len} bytes cannot be filled up to {width}"));
                };
                self.pad(if left { zeros } else { 0 })?;
                self.append(*of, 0, None)?;
                self.pad(if left { 0 } else { zeros })?;
            }
            Operation::Strip { prefix, of } => {
                let prefix = self.get(*prefix)?;
                let cut = if self.get(*of)?.starts_with(prefix) { prefix.len() } else { 0 };
                self.append(*of, cut, None)?;
            }
            Operation::Len(of) => self.push(&(self.get(*of)?.len() as u64).to_le_bytes())?,
            Operation::FromBe(of) => self.push(&self.integer(*of, false)?.to_le_bytes())?,
            Operation::FromLe(of) => self.push(&self.integer(*of, true)?.to_le_bytes())?,
            Operation::Add(a, b) => self.arithmetic(*a, *b, "+", u64::checked_add)?,
            Operation::Subtract(a, b) => self.arithmetic(*a, *b, "-", u64::checked_sub)?,
            Operation::Multiply(a, b) => self.arithmetic(*a, *b, "*", u64::checked_mul)?,
            Operation::ToBe(width, of) | Operation::ToLe(width, of) => {
                let number = self.number(*of)?;
                let width = (*width as usize).min(8);
                if width < 8 && number >> (8 * width) != 0 {
                    return value(format!("{number} does not fit {width} bytes"));
                }
                let (be, le) = (number.to_be_bytes(), number.to_le_bytes());
                let bytes = if matches!(operation, Operation::ToBe(..)) {
                    be.get(8 - width..)
                } else {
                    le.get(..width)
                };
                self.push(bytes.unwrap_or_default())?;
            }
            Operation::VarInt(of) => {
                let number = self.number(*of)?;
                let le = number.to_le_bytes();
                let (mark, width) = match number {
                    0..=0xfc => (None, 1),
                    0xfd..=0xffff => (Some(0xfd), 2),
                    0x1_0000..=0xffff_ffff => (Some(0xfe), 4),
                    _ => (Some(0xff), 8),
                };
                if let Some(mark) = mark {
                    self.push(&[mark])?;
                }
                self.push(le.get(..width).unwrap_or_default())?;
            }
            Operation::Hash { with, output, of, .. } => {
                self.charge(self.get(*of)?.len())?;
                let mut out = [0; MAX_OUTPUT];
                let Some(out) = out.get_mut(..*output as usize) else {
                    return value("an output is too long");
                };
                self.context(*with)?.hash(self.get(*of)?, out)?;
                self.push(out)?;
            }
            Operation::Fold { with, output, start, list, item, sided } => {
                self.charge(self.get(*list)?.len().saturating_mul(2))?;
                let sum = self.fold(*with, *output as usize, *start, *list, *item as usize, *sided)?;
                self.push(sum.get(..*output as usize).unwrap_or_default())?;
            }
            Operation::Prepare { .. }
            | Operation::Range { .. }
            | Operation::Subset { .. }
            | Operation::Claim { .. }
            | Operation::Verify { .. } => return value("a check where a register is written"),
        }
        Ok(())
    }

    /// What writes no register.
    fn check(&mut self, operation: &Operation) -> Ran<()> {
        match operation {
            Operation::Prepare { algorithm, key } => {
                let Some(algorithm) = self.tables.algorithms.get(usize::from(*algorithm)) else {
                    return value("an algorithm is not in the table");
                };
                let context = algorithm.prepare(self.get(*key)?)?;
                self.bank.contexts.push(context);
                Ok(())
            }
            Operation::Range { what, low, high, name } => {
                let (number, low, high) = (self.number(*what)?, self.bound(*low)?, self.bound(*high)?);
                if (low..=high).contains(&number) {
                    return Ok(());
                }
                Err(Box::new(Fault::Run(RunError::Range {
                    register: name.clone(),
                    value: number,
                    low,
                    high,
                })))
            }
            Operation::Subset { what, mask, name } => {
                let (what, mask) = (self.get(*what)?, self.get(*mask)?);
                if what.len() == mask.len() && what.iter().zip(mask).all(|(bits, mask)| bits & !mask == 0) {
                    return Ok(());
                }
                Err(Box::new(Fault::Run(RunError::Subset { register: name.clone() })))
            }
            Operation::Claim { claimed, computed, name } => {
                if self.get(*claimed)? == self.get(*computed)? {
                    return Ok(());
                }
                Err(Box::new(Fault::Run(RunError::Claim { register: name.clone() })))
            }
            Operation::Verify { verifier, input, proof } => {
                let Some(verifier) = self.tables.verifiers.get(usize::from(*verifier)) else {
                    return value("a verifier is not in the table");
                };
                if verifier.verify(self.get(*input)?, self.get(*proof)?) {
                    return Ok(());
                }
                Err(Box::new(Fault::Run(RunError::Proof { verifier: verifier.name().into() })))
            }
            _ => value("an operation that is no check"),
        }
    }

    /// Appends a register with each byte replaced by what it comes to.
    fn zip(&mut self, of: Operand, with: impl Fn(usize, u8, &Self) -> Ran<u8>) -> Ran<()> {
        let start = self.bank.bytes.len();
        self.append(of, 0, None)?;
        for i in 0..self.bank.bytes.len() - start {
            let byte = self.bank.bytes.get(start + i).copied().unwrap_or_default();
            let byte = with(i, byte, self)?;
            if let Some(to) = self.bank.bytes.get_mut(start + i) {
                *to = byte;
            }
        }
        Ok(())
    }

    #[inline]
    fn byte(&self, operand: Operand, i: usize) -> Ran<u8> {
        self.get(operand)?.get(i).copied().map_or_else(|| value("widths differ"), Ok)
    }

    fn swap_words(&mut self, start: usize, word: u32) -> Ran<()> {
        let word = word as usize;
        let written = self.written(start);
        if word == 0 || !written.len().is_multiple_of(word) {
            return value(format!("{} bytes are no whole number of words of {word}", written.len()));
        }
        written.chunks_exact_mut(word).for_each(<[u8]>::reverse);
        Ok(())
    }

    fn arithmetic(
        &mut self,
        a: Operand,
        b: Operand,
        sign: &str,
        with: fn(u64, u64) -> Option<u64>,
    ) -> Ran<()> {
        let (a, b) = (self.number(a)?, self.number(b)?);
        match with(a, b) {
            Some(result) => self.push(&result.to_le_bytes()),
            None => value(format!("{a} {sign} {b} leaves 64 bits")),
        }
    }

    fn bound(&self, bound: BoundAt) -> Ran<u64> {
        let base = bound.register.map_or(Ok(0), |register| self.number(register))?;
        Ok(base.saturating_add(bound.plus).saturating_sub(bound.minus))
    }

    #[inline]
    fn context(&self, at: ContextAt) -> Ran<&dyn millpond_algorithms::Context> {
        let bank = if at.stage == self.stage {
            Some(&*self.bank)
        } else {
            self.below.get(at.stage.index()).copied()
        };
        match bank.and_then(|bank| bank.contexts.get(usize::from(at.slot))) {
            Some(context) => Ok(&**context),
            None => value("a context is used before it is prepared"),
        }
    }

    fn fold(
        &self,
        with: ContextAt,
        output: usize,
        start: Operand,
        list: Operand,
        item: usize,
        sided: bool,
    ) -> Ran<[u8; MAX_OUTPUT]> {
        let of_share = list.stage == Stage::Share;
        let (context, list) = (self.context(with)?, self.get(list)?);
        let mut sum = [0; MAX_OUTPUT];
        let first = self.get(start)?;
        match sum.get_mut(..first.len()) {
            Some(sum) if first.len() == output => sum.copy_from_slice(first),
            _ => return value("a fold's first value has not the width of its hash"),
        }
        if item == 0 || item > MAX_ITEM || !list.len().is_multiple_of(item) {
            return value("a list does not divide into its items");
        }
        if list.len() / item > MAX_FOLD {
            return Err(Box::new(Fault::TooLong { given: list.len() / item, of_share }));
        }
        // Pairs of 32 bytes are what nearly every tree has.
        if let (Some(acc), 32, 32, false) = (sum.first_chunk_mut::<32>(), output, item, sided) {
            context.fold(acc, list.as_chunks::<32>().0)?;
            return Ok(sum);
        }
        let mut joined = [0_u8; MAX_OUTPUT + MAX_ITEM];
        for item in list.chunks_exact(item) {
            let (side, item) = match item.split_first() {
                Some((side, rest)) if sided => (*side, rest),
                _ => (0, item),
            };
            let acc = sum.get(..output).unwrap_or_default();
            let (left, right) = match side {
                0 => (acc, item),
                1 => (item, acc),
                other => return value(format!("a path's side is 0 or 1, not {other}")),
            };
            let Some(joined) = joined.get_mut(..output + item.len()) else {
                return value("an item is too long");
            };
            let (a, b) = joined.split_at_mut(left.len().min(joined.len()));
            a.copy_from_slice(left);
            b.copy_from_slice(right);
            let Some(sum) = sum.get_mut(..output) else { return value("an output is too long") };
            context.hash(joined, sum)?;
        }
        Ok(sum)
    }
}
