//! Lays out a document's share stage: gives each register its place, and turns each instruction into its step.

use crate::builder::Type;
use crate::field::{Field, Stage, Width};
use crate::layout::{Ahead, Bound, Constant, FieldAt, Joined, JoinedPart, Plan, Source, Step};
use crate::program::{BoundAt, ContextAt, Instruction, Operand, Operation};
use crate::run::MAX_SHARE_BYTES;
use std::collections::BTreeMap;

/// Hashes of a document for which the beginning of their input is taken ahead in each job.
const MAX_AHEAD: usize = 16;

/// A part of what a joining instruction writes.
enum Part {
    Of(Operand, u32),
    Zeros(u32),
}

/// The share stage while it is being laid out.
struct Planner<'a> {
    types: &'a [Vec<Type>; 4],
    program: &'a [Instruction],
    /// The instruction that writes a register; none for a field.
    writers: Vec<Option<usize>>,
    homes: Vec<Option<(u32, u32)>>,
    next: u32,
    interned: BTreeMap<(usize, u16), u32>,
    constants: Vec<Constant>,
    of_session: Vec<Constant>,
    joined: Vec<Joined>,
    aheads: Vec<Ahead>,
    steps: Vec<Step>,
}

impl Plan {
    /// Lays out a share stage. `None` where it is too large for a flat buffer: it is run plainly then, and its errors
    /// say why.
    pub(crate) fn new(types: &[Vec<Type>; 4], fields: &[Field], program: &[Instruction]) -> Option<Self> {
        let writes = program.iter().enumerate().filter(|(_, instruction)| instruction.operation.writes());
        let writers: Vec<Option<usize>> =
            fields.iter().map(|_| None).chain(writes.map(|(i, _)| Some(i))).collect();
        let mut planner = Planner {
            types,
            program,
            homes: vec![None; writers.len()],
            writers,
            next: 0,
            interned: BTreeMap::new(),
            constants: Vec::new(),
            of_session: Vec::new(),
            joined: Vec::new(),
            aheads: Vec::new(),
            steps: Vec::new(),
        };
        planner.places(fields.len())?;
        let mut slots = fields.len() as u16..;
        for (index, instruction) in program.iter().enumerate() {
            let slot = if instruction.operation.writes() { slots.next()? } else { 0 };
            planner.lower(index as u32, &instruction.operation, slot)?;
        }
        let counted = planner.homes.iter().flatten().map(|(_, len)| *len as usize).sum();
        let fields = fields.iter().zip(&planner.homes).map(|(field, home)| match (field.width, *home) {
            (Width::Fixed(_), Some((at, len))) => FieldAt::Exact { at, len },
            (_, Some((at, len))) => FieldAt::Filled { at, len },
            (_, None) => FieldAt::Open,
        });
        let fields = fields.collect();
        let fits = planner.next as usize <= MAX_SHARE_BYTES && counted <= MAX_SHARE_BYTES;
        fits.then_some(Self {
            fields,
            steps: planner.steps,
            homes: planner.homes,
            joined: planner.joined,
            aheads: planner.aheads,
            constants: planner.constants,
            of_session: planner.of_session,
            fixed: planner.next,
            counted,
        })
    }
}

impl Planner<'_> {
    /// The width of a register, where the document fixes it.
    fn width(&self, operand: Operand) -> Option<u32> {
        let ty = *self.types.get(operand.stage.index())?.get(usize::from(operand.slot))?;
        if ty == Type::Number { Some(8) } else { ty.fixed() }
    }

    fn own(&self, slot: u16) -> Operand {
        Operand { stage: Stage::Share, slot }
    }

    fn home(&self, slot: u16) -> Option<(u32, u32)> {
        *self.homes.get(usize::from(slot))?
    }

    fn writer(&self, operand: Operand) -> Option<&Operation> {
        let writer =
            *self.writers.get(usize::from(operand.slot)).filter(|_| operand.stage == Stage::Share)?;
        Some(&self.program.get(writer?)?.operation)
    }

    /// The parts of what is joined into a register of fixed width.
    fn parts(&self, operation: &Operation) -> Option<Vec<Part>> {
        let of = |operand: Operand| Some(Part::Of(operand, self.width(operand)?));
        match operation {
            Operation::Cat(parts) => parts.iter().map(|part| of(*part)).collect(),
            Operation::PadLeft(width, x) => {
                Some(vec![Part::Zeros(width.checked_sub(self.width(*x)?)?), of(*x)?])
            }
            Operation::PadRight(width, x) => {
                Some(vec![of(*x)?, Part::Zeros(width.checked_sub(self.width(*x)?)?)])
            }
            _ => None,
        }
    }

    /// A part of another register of the share, which lies where that lies: the other one, and from where.
    fn part_of(&self, operation: &Operation) -> Option<(u16, u32)> {
        match operation {
            Operation::Slice { of, from, .. } if of.stage == Stage::Share => {
                self.width(*of).map(|_| (of.slot, *from))
            }
            _ => None,
        }
    }

    /// Gives every register of fixed width its place: inside what it is joined into, if that has one. Backwards, since
    /// the whole comes after its parts.
    fn places(&mut self, fields: usize) -> Option<()> {
        for slot in (0..self.writers.len() as u16).rev() {
            let Some(width) = self.width(self.own(slot)) else { continue };
            let operation = self.writer(self.own(slot)).cloned();
            if operation.as_ref().is_some_and(|operation| self.part_of(operation).is_some()) {
                continue;
            }
            let at = match self.home(slot) {
                Some((at, _)) => at,
                None => self.reserve(width)?,
            };
            *self.homes.get_mut(usize::from(slot))? = Some((at, width));
            let mut to = at;
            for part in operation.and_then(|operation| self.parts(&operation)).unwrap_or_default() {
                let len = match part {
                    Part::Zeros(len) => len,
                    Part::Of(part, len) => {
                        let is_part = self.writer(part).is_some_and(|writer| self.part_of(writer).is_some());
                        if part.stage == Stage::Share && self.home(part.slot).is_none() && !is_part {
                            *self.homes.get_mut(usize::from(part.slot))? = Some((to, len));
                        }
                        len
                    }
                };
                to = to.checked_add(len)?;
            }
        }
        for slot in fields as u16..self.writers.len() as u16 {
            let part = self.writer(self.own(slot)).and_then(|operation| self.part_of(operation));
            if let (Some((of, from)), Some(width)) = (part, self.width(self.own(slot))) {
                let (at, len) = self.home(of)?;
                if from.checked_add(width)? > len {
                    return None;
                }
                *self.homes.get_mut(usize::from(slot))? = Some((at + from, width));
            }
        }
        Some(())
    }

    /// A place for so many bytes. It begins at a multiple of 16: what is hashed is read 16 bytes at a time.
    fn reserve(&mut self, len: u32) -> Option<u32> {
        let at = self.next.next_multiple_of(16);
        self.next = at.checked_add(len).filter(|next| *next as usize <= MAX_SHARE_BYTES)?;
        Some(at)
    }

    /// Where a step finds a register. What the job or the session knows gets a place in the buffer.
    fn source(&mut self, operand: Operand) -> Option<Source> {
        let Some(len) = self.width(operand) else { return Some(Source::Register(operand)) };
        match operand.stage {
            Stage::Share => self.home(operand.slot).map(|(at, len)| Source::Own { at, len }),
            _ => {
                let key = (operand.stage.index(), operand.slot);
                if let Some(at) = self.interned.get(&key) {
                    return Some(Source::Own { at: *at, len });
                }
                let at = self.reserve(len)?;
                self.interned.insert(key, at);
                self.known(Constant { to: at, len, from: operand });
                Some(Source::Own { at, len })
            }
        }
    }

    /// Bytes that the job or the session knows.
    fn known(&mut self, constant: Constant) {
        let of_session = constant.from.stage == Stage::Session;
        if of_session { &mut self.of_session } else { &mut self.constants }.push(constant);
    }

    fn bound(&mut self, bound: &BoundAt) -> Option<Bound> {
        let register = match bound.register {
            Some(register) => Some(self.source(register)?),
            None => None,
        };
        Some(Bound { register, plus: bound.plus, minus: bound.minus })
    }

    /// Turns an instruction into its step.
    fn lower(&mut self, index: u32, operation: &Operation, slot: u16) -> Option<()> {
        if !operation.writes() {
            let step = self.lower_check(index, operation)?;
            self.steps.push(step);
            return Some(());
        }
        let Some((to, len)) = self.home(slot) else {
            let step = match self.joinable(operation) {
                Some(parts) => {
                    self.joined.push(Joined { slot, parts });
                    Step::Join { joined: self.joined.len() as u16 - 1 }
                }
                None => Step::Append { slot, index },
            };
            self.steps.push(step);
            return Some(());
        };
        if self.part_of(operation).is_some() {
            return Some(());
        }
        if let Some(parts) = self.parts(operation) {
            return self.join(to, &parts);
        }
        let widths = |all: &[Operand], width: u32| all.iter().all(|x| self.width(*x) == Some(width));
        let step = match operation {
            Operation::Reverse(x) if self.width(*x) == Some(len) => {
                Step::Reverse { to, len, from: self.source(*x)? }
            }
            Operation::SwapWords(word, x) if self.width(*x) == Some(len) && *word > 0 && len % *word == 0 => {
                Step::SwapWords { to, len, from: self.source(*x)?, word: *word }
            }
            Operation::Blend { base, bits, mask } if len == 4 && widths(&[*base, *bits, *mask], 4) => {
                let (base, bits) = (self.source(*base)?, self.source(*bits)?);
                Step::Blend4 { to, base, bits, mask: self.source(*mask)? }
            }
            Operation::Xor(a, b) if len == 32 && widths(&[*a, *b], 32) => {
                Step::Xor32 { to, a: self.source(*a)?, b: self.source(*b)? }
            }
            Operation::FromBe(x) | Operation::FromLe(x)
                if len == 8 && self.width(*x).is_some_and(|width| width <= 8) =>
            {
                let little_endian = matches!(operation, Operation::FromLe(_));
                Step::Number { to, from: self.source(*x)?, little_endian }
            }
            Operation::Hash { with, output, of, .. } if *output == len => {
                let of_source = self.source(*of)?;
                let ahead = self.ahead(*with, *of);
                Step::Hash { to, output: *output, with: *with, of: of_source, ahead, index }
            }
            Operation::Fold { with, output: 32, start, list, item: 32, sided: false }
                if len == 32 && self.width(*start) == Some(32) =>
            {
                let (Source::Own { at, .. }, list) = (self.source(*start)?, self.source(*list)?) else {
                    self.steps.push(Step::Settle { to, len, index });
                    return Some(());
                };
                Step::Fold { to, with: *with, start: at, list, index }
            }
            _ => Step::Settle { to, len, index },
        };
        self.steps.push(step);
        Some(())
    }

    fn lower_check(&mut self, index: u32, operation: &Operation) -> Option<Step> {
        Some(match operation {
            Operation::Range { what, low, high, .. } => {
                let (what, low) = (self.source(*what)?, self.bound(low)?);
                Step::Range { what, low, high: self.bound(high)?, index }
            }
            Operation::Subset { what, mask, .. }
                if self.width(*what) == Some(4) && self.width(*mask) == Some(4) =>
            {
                Step::Subset4 { what: self.source(*what)?, mask: self.source(*mask)?, index }
            }
            _ => Step::Check { index },
        })
    }

    /// The parts of a joined register of open width, if the job knows how long it is.
    fn joinable(&self, operation: &Operation) -> Option<Box<[JoinedPart]>> {
        let Operation::Cat(parts) = operation else { return None };
        let parts = parts.iter().map(|part| {
            let width = self.width(*part);
            let of_job = part.stage <= Stage::Job;
            let of_joined =
                part.stage == Stage::Share && self.joined.iter().any(|joined| joined.slot == part.slot);
            (of_job || of_joined || width.is_some()).then_some((*part, width))
        });
        parts.collect()
    }

    /// Copies what is joined into a place and does not lie there already.
    fn join(&mut self, at: u32, parts: &[Part]) -> Option<()> {
        let mut to = at;
        for part in parts {
            let len = match *part {
                // Zeros stand in the template.
                Part::Zeros(len) => len,
                Part::Of(part, len) => {
                    let there = part.stage == Stage::Share && self.home(part.slot) == Some((to, len));
                    match part.stage {
                        _ if there || len == 0 => {}
                        Stage::Document | Stage::Job | Stage::Session => {
                            self.known(Constant { to, len, from: part });
                        }
                        Stage::Share => {
                            let from = self.source(part)?;
                            self.steps.push(Step::Copy { to, len, from });
                        }
                    }
                    len
                }
            };
            to = to.checked_add(len)?;
        }
        Some(())
    }

    /// Marks a hash whose input begins with registers of the job, and whose context the job knows.
    fn ahead(&mut self, with: ContextAt, of: Operand) -> Option<u16> {
        let mut prefix = Vec::new();
        let mut at = of;
        // Into what stands behind it, as long as that is joined itself.
        while let Some(Operation::Cat(parts)) = self.writer(at) {
            let known = parts.iter().take_while(|part| part.stage <= Stage::Job).count();
            prefix.extend_from_slice(parts.get(..known)?);
            match parts.get(known) {
                Some(next) if next.stage == Stage::Share => at = *next,
                _ => break,
            }
        }
        if prefix.is_empty() || with.stage > Stage::Job || self.aheads.len() >= MAX_AHEAD {
            return None;
        }
        self.aheads.push(Ahead { with, prefix });
        Some(self.aheads.len() as u16 - 1)
    }
}
