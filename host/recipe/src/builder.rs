//! The ground that statements and expressions are compiled on: names, hashes, registers, and where a check is placed.

use crate::compile::MAX_REGISTERS;
use crate::expression::OPERATIONS;
use crate::field::{Field, Stage, Width};
use crate::lex::Place;
use crate::program::{Bank, ContextAt, Instruction, Operand, Operation, Tables};
use crate::run::{Frame, MAX_JOB_BYTES};
use millpond_algorithms::{Algorithms, Context, Cost, Key};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a register holds, as far as the compiler knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Type {
    Bytes { low: u32, high: u32 },
    List { item: u32 },
    Number,
}

impl Type {
    pub(crate) fn fixed_bytes(width: u32) -> Self {
        Self::Bytes { low: width, high: width }
    }

    pub(crate) fn low(self) -> u32 {
        match self {
            Self::Bytes { low, .. } => low,
            Self::List { .. } => 0,
            Self::Number => 8,
        }
    }

    pub(crate) fn high(self) -> u32 {
        match self {
            Self::Bytes { high, .. } => high,
            Self::List { .. } => MAX_JOB_BYTES as u32,
            Self::Number => 8,
        }
    }

    pub(crate) fn fixed(self) -> Option<u32> {
        match self {
            Self::Bytes { low, high } if low == high => Some(low),
            _ => None,
        }
    }

    pub(crate) fn width(self) -> Width {
        match self {
            Self::Bytes { low, high } if low == high => Width::Fixed(low),
            Self::Bytes { low, high } => Width::Between(low, high),
            Self::List { item } => Width::List(item),
            Self::Number => Width::Number,
        }
    }
}

/// A register with its type and the share fields (one bit each) that its value depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Typed {
    pub(crate) operand: Operand,
    pub(crate) ty: Type,
    pub(crate) depends: u64,
}

/// A hash as a document names it: ready, or waiting for a key.
#[derive(Clone, Debug)]
pub(crate) struct Function {
    pub(crate) name: Box<str>,
    pub(crate) with: Option<ContextAt>,
    pub(crate) output: u32,
    pub(crate) key: Key,
    pub(crate) cost: Cost,
}

/// The state of one compilation.
pub(crate) struct Builder<'a> {
    pub(crate) algorithms: &'a Algorithms,
    pub(crate) errors: Vec<(Place, String)>,
    pub(crate) names: BTreeMap<Box<str>, Option<Typed>>,
    pub(crate) functions: BTreeMap<Box<str>, Option<Function>>,
    pub(crate) fields: [Vec<Field>; 3],
    pub(crate) document: Bank,
    pub(crate) programs: [Vec<Instruction>; 4],
    /// Checks with the number of instructions of their stage that must have run before.
    pub(crate) checks: [Vec<(usize, Instruction)>; 4],
    /// What every register of a stage holds, by its number.
    pub(crate) types: [Vec<Type>; 4],
    contexts: [u16; 4],
    pub(crate) tables: Tables,
    pub(crate) cost: Cost,
    too_many: bool,
    pub(crate) heavy_hashes: u32,
}

impl<'a> Builder<'a> {
    pub(crate) fn new(algorithms: &'a Algorithms) -> Self {
        Self {
            algorithms,
            errors: Vec::new(),
            names: BTreeMap::new(),
            functions: BTreeMap::new(),
            fields: Default::default(),
            document: Bank::default(),
            programs: Default::default(),
            checks: Default::default(),
            types: Default::default(),
            contexts: [0; 4],
            tables: Tables::default(),
            cost: Cost::Light,
            too_many: false,
            heavy_hashes: 0,
        }
    }

    pub(crate) fn fail<T>(&mut self, at: Place, message: String) -> Option<T> {
        self.errors.push((at, message));
        None
    }

    pub(crate) fn reserved(&mut self, name: &str, at: Place) {
        if OPERATIONS.contains(&name) {
            self.fail::<()>(at, format!("`{name}` is a word of the language; choose another name"));
        }
    }

    /// Gives a register its name. A name whose value is wrong is known as wrong, so that its uses add no errors.
    pub(crate) fn name(&mut self, name: &str, typed: Option<Typed>, at: Place) {
        self.reserved(name, at);
        if self.names.insert(name.into(), typed).is_some() {
            self.fail::<()>(at, format!("`{name}` is defined twice"));
        }
    }

    pub(crate) fn lookup(&mut self, name: &str, at: Place) -> Option<Typed> {
        match self.names.get(name) {
            Some(typed) => *typed,
            None => self.fail(
                at,
                format!("`{name}` is not defined here; fields are declared, and a register is defined before its use"),
            ),
        }
    }

    /// A hash by its name: one that the document named, or an algorithm of the host.
    pub(crate) fn function(&mut self, name: &str, at: Place) -> Option<Function> {
        if let Some(function) = self.functions.get(name) {
            return function.clone();
        }
        let Some(algorithm) = self.algorithms.get(name) else {
            let known: Vec<_> = self.algorithms.names().collect();
            let message = format!(
                "`{name}` is neither an operation nor an algorithm of this host, which has {}",
                known.join(", ")
            );
            return self.fail(at, message);
        };
        let output = match u32::try_from(algorithm.output_len()) {
            Ok(output) if (1..=millpond_algorithms::MAX_OUTPUT as u32).contains(&output) => output,
            _ => return self.fail(at, format!("`{name}` has an output of no allowed length")),
        };
        let (key, mut with) = (algorithm.key(), None);
        self.cost = self.cost.max(algorithm.cost());
        if key == Key::None {
            match algorithm.prepare(&[]) {
                Ok(context) => with = Some(self.document_context(name, context)),
                Err(error) => return self.fail(at, error.to_string()),
            }
        }
        let function = Function { name: name.into(), with, output, key, cost: algorithm.cost() };
        self.functions.insert(name.into(), Some(function.clone()));
        Some(function)
    }

    /// Keeps a context that is known when the document is compiled, and the algorithm it is of.
    fn document_context(&mut self, algorithm: &str, context: Arc<dyn Context>) -> ContextAt {
        let slot = self.document.contexts.len() as u16;
        self.document.contexts.push(context);
        self.tables.hashes.push(algorithm.into());
        ContextAt { stage: Stage::Document, slot }
    }

    /// Prepares a keyed algorithm in the stage that knows the key.
    pub(crate) fn prepare(&mut self, name: &str, key: Operand, at: Place) -> Option<ContextAt> {
        let algorithm = self.algorithms.get(name)?;
        if key.stage == Stage::Document {
            let prepared = algorithm.prepare(self.document.get(key.slot).unwrap_or_default());
            return match prepared {
                Ok(context) => Some(self.document_context(name, context)),
                Err(error) => self.fail(at, error.to_string()),
            };
        }
        let number = self.tables.algorithms.len() as u16;
        self.tables.algorithms.push(algorithm);
        let slot = self.contexts.get_mut(key.stage.index())?;
        let with = ContextAt { stage: key.stage, slot: *slot };
        *slot += 1;
        let instruction =
            Instruction { line: at.line, operation: Operation::Prepare { algorithm: number, key } };
        // Not a register, so the positions of checks count it as the instruction that it is.
        self.programs.get_mut(key.stage.index())?.push(instruction);
        Some(with)
    }

    pub(crate) fn literal_bytes(&mut self, bytes: &[u8], at: Place) -> Typed {
        let ty = Type::fixed_bytes(bytes.len() as u32);
        self.literal(bytes, ty, at)
    }

    pub(crate) fn literal_number(&mut self, number: u64, at: Place) -> Typed {
        self.literal(&number.to_le_bytes(), Type::Number, at)
    }

    fn literal(&mut self, bytes: &[u8], ty: Type, at: Place) -> Typed {
        let slot = self.slot(Stage::Document, ty, at).unwrap_or(0);
        let start = self.document.bytes.len() as u32;
        self.document.bytes.extend_from_slice(bytes);
        self.document.spans.push((start, self.document.bytes.len() as u32));
        Typed { operand: Operand { stage: Stage::Document, slot }, ty, depends: 0 }
    }

    pub(crate) fn slot(&mut self, stage: Stage, ty: Type, at: Place) -> Option<u16> {
        let total: usize = self.types.iter().map(Vec::len).sum();
        if total >= MAX_REGISTERS {
            if !std::mem::replace(&mut self.too_many, true) {
                self.fail::<()>(
                    at,
                    format!("more than {MAX_REGISTERS} registers, nested results and literals included"),
                );
            }
            return None;
        }
        let types = self.types.get_mut(stage.index())?;
        let slot = u16::try_from(types.len()).ok()?;
        types.push(ty);
        Some(slot)
    }

    /// Emits an instruction that writes a register; one over literals alone runs at once.
    pub(crate) fn emit(
        &mut self,
        stage: Stage,
        ty: Type,
        operation: Operation,
        at: Place,
    ) -> Option<Operand> {
        let slot = self.slot(stage, ty, at)?;
        let instruction = Instruction { line: at.line, operation };
        if stage == Stage::Document {
            let mut frame = literals(&mut self.document, &self.tables);
            if let Err(error) = frame.run(std::slice::from_ref(&instruction)) {
                // An empty register in its place, so that later ones keep their numbers.
                self.document.spans.push((0, 0));
                return self.fail(at, error.to_string());
            }
        } else {
            self.programs.get_mut(stage.index())?.push(instruction);
        }
        Some(Operand { stage, slot })
    }

    /// Places a check behind the last instruction that it needs, so that a bad share costs as little as can be.
    pub(crate) fn check(&mut self, uses: &[Operand], operation: Operation, at: Place) {
        let stage = uses.iter().map(|operand| operand.stage).max().unwrap_or(Stage::Document);
        let instruction = Instruction { line: at.line, operation };
        if stage == Stage::Document {
            let mut frame = literals(&mut self.document, &self.tables);
            if let Err(error) = frame.run(&[instruction]) {
                self.fail::<()>(at, error.to_string());
            }
            return;
        }
        let index = stage.index();
        let first = match stage {
            Stage::Document => 0,
            Stage::Job => self.fields[0].len(),
            Stage::Session => self.fields[1].len(),
            Stage::Share => self.fields[2].len(),
        };
        let last = uses
            .iter()
            .filter(|operand| operand.stage == stage)
            .map(|operand| usize::from(operand.slot) + 1)
            .max();
        let needed = last.unwrap_or(0).saturating_sub(first);
        let program = self.programs.get(index).map_or(&[][..], |program| program);
        // The number of instructions up to the one that writes the last needed register.
        let mut written = 0;
        let after = program
            .iter()
            .position(|instruction| {
                if written == needed {
                    return true;
                }
                written += usize::from(instruction.operation.writes());
                false
            })
            .unwrap_or(program.len());
        if let Some(checks) = self.checks.get_mut(index) {
            checks.push((after, instruction));
        }
    }
}

/// What runs over literals alone, while the document is compiled.
fn literals<'f>(bank: &'f mut Bank, tables: &'f Tables) -> Frame<'f> {
    let stage = Stage::Document;
    Frame { below: &[], stage, bank, tables, proofs: true, limit: stage.limit() }
}

pub(crate) fn merged(
    programs: [Vec<Instruction>; 4],
    checks: [Vec<(usize, Instruction)>; 4],
) -> [Vec<Instruction>; 4] {
    let mut out = programs;
    for (program, mut checks) in out.iter_mut().zip(checks) {
        checks.sort_by_key(|(after, _)| *after);
        let mut checks = checks.into_iter().peekable();
        let mut all = Vec::new();
        for (i, instruction) in std::mem::take(program).into_iter().enumerate() {
            while let Some((_, check)) = checks.next_if(|(after, _)| *after <= i) {
                all.push(check);
            }
            all.push(instruction);
        }
        all.extend(checks.map(|(_, check)| check));
        *program = all;
    }
    out
}
