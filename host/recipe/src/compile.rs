//! Statements checked and turned into a [`Recipe`]: names, stages, the rules a document must keep.

use crate::builder::{Builder, Function, Type, Typed, merged};
use crate::error::{DocumentError, DocumentErrors};
use crate::field::{Field, Stage, Width};
use crate::layout::Plan;
use crate::lex::{self, Place};
use crate::parse::{self, Bound, Declared, Expression, Group, Statement, WrittenDefault, WrittenWidth};
use crate::program::{BoundAt, Judge, Operand, Operation, TargetForm};
use crate::run::{MAX_JOB_BYTES, MAX_SESSION_BYTES};
use crate::stage::Recipe;
use millpond_algorithms::Algorithms;
use std::sync::Arc;

/// Longest document, in bytes.
pub const MAX_DOCUMENT_BYTES: usize = 64 << 10;
/// Registers of a document, named or not, fields and literals included.
pub const MAX_REGISTERS: usize = 256;
/// Longest value of a share's field, in bytes; the longest proof in use, Equihash's, has 1,344.
pub const MAX_SHARE_FIELD: u32 = 4096;
/// Heavy hashes of one share: a document decides what a share costs, and a share costs a miner nothing to send.
pub(crate) const MAX_HEAVY: u32 = 4;
/// Errors shown of one document; the rest are counted.
const MAX_ERRORS: usize = 100;
/// Fields of one stage.
const MAX_FIELDS: usize = 64;
/// `judge … against` lines; a share's verdict has one bit for each.
const MAX_JUDGES: usize = 64;

/// Compiles a document.
///
/// # Errors
/// Everything that is wrong with it, each with its place.
pub(crate) fn compile(
    file: &str,
    text: &str,
    algorithms: &Algorithms,
) -> Result<Arc<Recipe>, DocumentErrors> {
    let mut errors = Vec::new();
    let recipe = if text.len() > MAX_DOCUMENT_BYTES {
        errors.push((
            Place { line: 1, col: 1 },
            format!("the document has {} bytes; at most {MAX_DOCUMENT_BYTES} are read", text.len()),
        ));
        None
    } else {
        let tokens = lex::tokens(text, &mut errors);
        let statements = parse::statements(&tokens, &mut errors);
        let mut builder = Builder::new(algorithms);
        let recipe = builder.document(&statements, errors.is_empty());
        errors.append(&mut builder.errors);
        recipe
    };
    match recipe {
        Some(recipe) if errors.is_empty() => Ok(Arc::new(recipe)),
        _ => {
            errors.sort_by_key(|error| error.0);
            errors.dedup();
            let more = errors.len().saturating_sub(MAX_ERRORS);
            errors.truncate(MAX_ERRORS);
            if more > 0
                && let Some((_, last)) = errors.last_mut()
            {
                last.push_str(&format!("; and {more} more errors behind it"));
            }
            let located = |(at, message): (Place, String)| DocumentError {
                file: file.into(),
                line: at.line,
                col: at.col,
                message,
            };
            Err(DocumentErrors(errors.into_iter().map(located).collect()))
        }
    }
}

/// The lines that a document has once.
#[derive(Default)]
struct Once {
    name: Option<Box<str>>,
    judge: Option<(Judge, Typed, Place)>,
    further: Vec<Judge>,
    id: Option<(Typed, Place)>,
    outs: Option<Vec<(Box<str>, Operand)>>,
    network: Option<(TargetForm, Operand)>,
    sv2: Vec<(Box<str>, Box<str>)>,
}

impl Builder<'_> {
    fn document(&mut self, statements: &[(Statement, Place)], readable: bool) -> Option<Recipe> {
        let mut once = Once::default();
        match statements.first() {
            Some((Statement::Header { .. }, _)) => {}
            Some((_, at)) => {
                return self.fail(*at, "a document begins with `recipe 1 \"name\"`".into());
            }
            None if readable => {
                return self.fail(
                    Place { line: 1, col: 1 },
                    "the document is empty; it begins with `recipe 1 \"name\"`".into(),
                );
            }
            None => return None,
        }
        // Fields first: their registers are the first of their stages, wherever their declarations stand.
        for (statement, _) in statements {
            if let Statement::Fields(group, declared) = statement {
                for field in declared {
                    self.declare(*group, field);
                }
            }
        }
        for (statement, at) in statements {
            self.statement(statement, *at, &mut once);
        }
        let end = statements.last().map_or_else(Place::default, |(_, at)| Place { line: at.line, col: 1 });
        let judge = self.judged(&once, readable, end);
        let name = once.name?;
        let (judge, id, depends) = judge?;
        if !self.errors.is_empty() {
            return None;
        }
        let [consts, session_fields, share_fields] = std::mem::take(&mut self.fields);
        let programs = std::mem::take(&mut self.programs);
        let checks = std::mem::take(&mut self.checks);
        let [_, job, session, share] = merged(programs, checks);
        let types = std::mem::take(&mut self.types);
        Some(Recipe {
            plan: Plan::new(&types, &share_fields, &share),
            name,
            consts,
            session_fields,
            share_fields,
            names: self.names.iter().filter_map(|(name, typed)| Some((name.clone(), (*typed)?))).collect(),
            types,
            document: std::mem::take(&mut self.document),
            job,
            session,
            share,
            tables: std::mem::take(&mut self.tables),
            judge,
            further: once.further,
            id,
            depends,
            outs: once.outs.unwrap_or_default(),
            network: once.network,
            sv2: once.sv2,
            cost: self.cost,
            took: Default::default(),
        })
    }

    /// The rules on what names a share: without them a document could let one proof count many times.
    fn judged(&mut self, once: &Once, readable: bool, end: Place) -> Option<(Judge, Operand, u64)> {
        let missing = |what: &str| format!("the document has no `{what}` line");
        let judge = match &once.judge {
            Some(judge) => Some(judge),
            None if readable && self.errors.is_empty() => self.fail(end, missing("judge le|be REGISTER")),
            None => None,
        };
        let id = match &once.id {
            Some(id) => Some(id),
            None if readable && self.errors.is_empty() => self.fail(end, missing("id REGISTER")),
            None => None,
        };
        let ((judge, pow, judge_at), (id, id_at)) = (judge?, id?);
        if pow.depends == 0 {
            return self.fail(
                *judge_at,
                "the judged hash depends on no share field: every share would be the same".into(),
            );
        }
        if pow.depends != id.depends {
            return self.fail(
                *id_at,
                "`id` and `judge` must depend on the same share fields: else one proof would count under many ids, or \
                 two proofs under one"
                    .into(),
            );
        }
        Some((*judge, id.operand, pow.depends))
    }

    fn declare(&mut self, group: Group, field: &Declared) {
        let index = match group {
            Group::Const => 0,
            Group::Session => 1,
            Group::Share => 2,
        };
        let (stage, longest) = match group {
            Group::Const => (Stage::Job, MAX_JOB_BYTES as u32),
            Group::Session => (Stage::Session, MAX_SESSION_BYTES as u32),
            Group::Share => (Stage::Share, MAX_SHARE_FIELD),
        };
        let fits = |n: u64| u32::try_from(n).ok().filter(|n| (1..=longest).contains(n));
        let width = match field.width {
            WrittenWidth::Any => Some(Width::Between(0, longest)),
            WrittenWidth::Fixed(n) => fits(n).map(Width::Fixed),
            WrittenWidth::PaddedTo(n) => fits(n).map(Width::PaddedTo),
            WrittenWidth::List(n) => fits(n).map(Width::List),
            WrittenWidth::Between(low, high) => {
                let low = if low == 0 { Some(0) } else { fits(low) };
                low.zip(fits(high))
                    .filter(|(low, high)| low <= high)
                    .map(|(low, high)| Width::Between(low, high))
            }
        };
        let Some(width) = width else {
            self.fail::<()>(
                field.at,
                format!("the width of `{}` is not within 1 to {longest} bytes", field.name),
            );
            self.names.insert(field.name.clone(), None);
            return;
        };
        let default = match &field.default {
            None => None,
            Some(WrittenDefault::Bytes(bytes)) => Some(bytes.clone()),
            Some(WrittenDefault::Number(number)) => {
                let wide = match width {
                    Width::Fixed(n) | Width::PaddedTo(n) => n as usize,
                    _ => 8,
                };
                let bytes = number.to_be_bytes();
                let mut padded = vec![0; wide.saturating_sub(8)];
                padded.extend_from_slice(bytes.get(8_usize.saturating_sub(wide)..).unwrap_or_default());
                let lost = wide < 8 && number >> (8 * wide) != 0;
                if lost { Some(Box::from([])) } else { Some(padded.into()) }
            }
        };
        if let Some(default) = &default
            && (default.is_empty() || !width.admits(default.len()))
        {
            self.fail::<()>(
                field.at,
                format!("the default of `{}` does not fit: it takes {width}", field.name),
            );
        }
        let position = self.fields.get(index).map_or(0, Vec::len);
        if position >= MAX_FIELDS {
            self.fail::<()>(field.at, format!("more than {MAX_FIELDS} fields of one kind"));
            return;
        }
        let ty = match width {
            Width::Fixed(n) | Width::PaddedTo(n) => Type::fixed_bytes(n),
            Width::Between(low, high) => Type::Bytes { low, high },
            Width::List(item) => Type::List { item },
            Width::Number => Type::Number,
        };
        let depends = if group == Group::Share { 1 << position } else { 0 };
        let Some(slot) = self.slot(stage, ty, field.at) else { return };
        self.name(&field.name, Some(Typed { operand: Operand { stage, slot }, ty, depends }), field.at);
        if let Some(fields) = self.fields.get_mut(index) {
            fields.push(Field { name: field.name.clone(), width, default });
        }
    }

    fn statement(&mut self, statement: &Statement, at: Place, once: &mut Once) {
        match statement {
            Statement::Header { version, name } => {
                if once.name.replace(name.clone()).is_some() {
                    self.fail::<()>(at, "a second `recipe` line; each document holds one recipe".into());
                } else if *version != 1 {
                    self.fail::<()>(at, format!("this host knows version 1 of the language, not {version}"));
                } else if name.is_empty() || name.len() > 64 {
                    self.fail::<()>(at, "a recipe's name has 1 to 64 characters".into());
                }
            }
            Statement::Fields(..) => {}
            Statement::Alias { name, algorithm, key } => self.alias(name, algorithm, key.as_deref(), at),
            Statement::Assign { name, value } => {
                let typed = self.expression(value);
                self.name(name, typed, at);
            }
            Statement::Judge { little_endian, hash, against } => {
                let hash_typed = self.wide(hash, at, 32, "the judged hash", Stage::Share);
                let against_typed = against
                    .as_ref()
                    .map(|against| self.wide(against, at, 32, "the target after `against`", Stage::Session));
                let Some(hash) = hash_typed else { return };
                match against_typed {
                    None if once.judge.is_some() => {
                        self.fail::<()>(
                            at,
                            "a second `judge` without `against`: the share's own hash is one".into(),
                        );
                    }
                    None => {
                        let judge =
                            Judge { little_endian: *little_endian, hash: hash.operand, against: None };
                        once.judge = Some((judge, hash, at));
                    }
                    Some(Some(_)) if once.further.len() >= MAX_JUDGES => {
                        self.fail::<()>(at, format!("more than {MAX_JUDGES} `judge … against` lines"));
                    }
                    Some(Some(target)) => once.further.push(Judge {
                        little_endian: *little_endian,
                        hash: hash.operand,
                        against: Some(target.operand),
                    }),
                    Some(None) => {}
                }
            }
            Statement::Id(id) => {
                if let Some(typed) = self.wide(id, at, 32, "the id", Stage::Share)
                    && once.id.replace((typed, at)).is_some()
                {
                    self.fail::<()>(at, "a second `id` line".into());
                }
            }
            Statement::Out(names) => {
                let outs: Vec<_> = names
                    .iter()
                    .filter_map(|(name, at)| Some((name.clone(), self.lookup(name, *at)?.operand)))
                    .collect();
                if once.outs.replace(outs).is_some() {
                    self.fail::<()>(at, "a second `out` line; name all registers on one".into());
                }
            }
            Statement::Range { what, low, high } => self.range(what, low, high, at),
            Statement::Subset { what, mask } => {
                let (value, mask) = (self.expression(what), self.expression(mask));
                let (Some(value), Some(mask)) = (value, mask) else { return };
                if value.ty.fixed().is_none() || value.ty.fixed() != mask.ty.fixed() {
                    self.fail::<()>(at, "`subset` compares two values of the same fixed width".into());
                    return;
                }
                let operation =
                    Operation::Subset { what: value.operand, mask: mask.operand, name: shown(what) };
                self.check(&[value.operand, mask.operand], operation, at);
            }
            Statement::Claim { claimed, computed } => {
                let (claim, truth) = (self.expression(claimed), self.expression(computed));
                let (Some(claim), Some(truth)) = (claim, truth) else { return };
                if claim.ty.low() > truth.ty.high() || truth.ty.low() > claim.ty.high() {
                    self.fail::<()>(
                        at,
                        "`claim` compares two values that can never have the same width".into(),
                    );
                    return;
                }
                let operation = Operation::Claim {
                    claimed: claim.operand,
                    computed: truth.operand,
                    name: shown(claimed),
                };
                self.check(&[claim.operand, truth.operand], operation, at);
            }
            Statement::Verify { verifier, input, proof } => self.verify(verifier, input, proof, at),
            Statement::Network { form, value } => {
                let (form, width) = match &*form.0 {
                    "be" => (TargetForm::Be, 32),
                    "le" => (TargetForm::Le, 32),
                    "compact23" => (TargetForm::Compact23, 4),
                    "compact24" => (TargetForm::Compact24, 4),
                    other => {
                        let message = format!(
                            "a network target is `be`, `le`, `compact23` or `compact24`, not `{other}`"
                        );
                        self.fail::<()>(form.1, message);
                        return;
                    }
                };
                if let Some(typed) = self.wide(value, at, width, "the network's target", Stage::Job)
                    && once.network.replace((form, typed.operand)).is_some()
                {
                    self.fail::<()>(at, "a second `network` line".into());
                }
            }
            Statement::Sv2(pairs) => {
                for (role, register, at) in pairs {
                    if self.lookup(register, *at).is_some() {
                        once.sv2.push((role.clone(), register.clone()));
                    }
                }
            }
        }
    }

    /// An expression of a fixed width, known at that stage or before.
    fn wide(
        &mut self,
        expression: &Expression,
        at: Place,
        width: u32,
        what: &str,
        latest: Stage,
    ) -> Option<Typed> {
        let typed = self.expression(expression)?;
        if typed.ty.fixed() != Some(width) {
            let given = typed.ty.width();
            return self.fail(at, format!("{what} has {width} bytes; this has {given}; cut it with `slice`"));
        }
        if typed.operand.stage > latest {
            let message =
                format!("{what} must be known in the {} stage and cannot depend on more", latest.name());
            return self.fail(at, message);
        }
        Some(typed)
    }

    fn range(&mut self, what: &Expression, low: &Bound, high: &Bound, at: Place) {
        let value = self.expression(what).and_then(|typed| self.as_number(typed, true, at));
        let mut used: Vec<Operand> = value.iter().map(|typed| typed.operand).collect();
        let mut ends = [None, None];
        for (end, bound) in ends.iter_mut().zip([low, high]) {
            let register = match &bound.name {
                None => None,
                Some(name) => {
                    let number =
                        self.lookup(name, bound.at).and_then(|typed| self.as_number(typed, true, bound.at));
                    let Some(number) = number else { continue };
                    used.push(number.operand);
                    Some(number.operand)
                }
            };
            *end = Some(BoundAt { register, plus: bound.plus, minus: bound.minus });
        }
        if let (Some(value), [Some(low), Some(high)]) = (value, ends) {
            let operation = Operation::Range { what: value.operand, low, high, name: shown(what) };
            self.check(&used, operation, at);
        }
    }

    fn verify(&mut self, verifier: &(Box<str>, Place), input: &Expression, proof: &Expression, at: Place) {
        let found = self.algorithms.verifier(&verifier.0);
        if found.is_none() {
            let known: Vec<_> = self.algorithms.verifier_names().collect();
            let known = if known.is_empty() { "none".into() } else { known.join(", ") };
            let message = format!("this host has no verifier `{}`; it has {known}", verifier.0);
            self.fail::<()>(verifier.1, message);
        }
        let (input, proof) = (self.expression(input), self.expression(proof));
        let (Some(found), Some(input), Some(proof)) = (found, input, proof) else { return };
        self.cost = self.cost.max(found.cost());
        let number = self.tables.verifiers.len() as u16;
        self.tables.verifiers.push(found);
        let operation = Operation::Verify { verifier: number, input: input.operand, proof: proof.operand };
        self.check(&[input.operand, proof.operand], operation, at);
    }

    fn alias(&mut self, name: &str, algorithm: &(Box<str>, Place), key: Option<&[u8]>, at: Place) {
        self.reserved(name, at);
        if self.functions.contains_key(name) {
            self.fail::<()>(at, format!("`{name}` is defined twice"));
        }
        let function =
            self.function(&algorithm.0, algorithm.1).and_then(|function| match (function.with, key) {
                (None, None) => self.fail(
                    algorithm.1,
                    format!("`{}` needs a key after its name: a text or 0x…", algorithm.0),
                ),
                (Some(_), Some(_)) => self.fail(algorithm.1, format!("`{}` takes no key", algorithm.0)),
                (Some(_), None) => Some(function),
                (None, Some(key)) => {
                    let key = self.literal_bytes(key, at);
                    let with = self.prepare(&function.name, key.operand, algorithm.1)?;
                    Some(Function { name: name.into(), with: Some(with), ..function })
                }
            });
        self.functions.insert(name.into(), function);
    }
}

/// How a refused value is named: by its own name where it has one.
fn shown(expression: &Expression) -> Box<str> {
    expression
        .iter()
        .find_map(|(node, _)| if let parse::Node::Word(word) = node { Some(word.clone()) } else { None })
        .unwrap_or_else(|| "a value".into())
}
