//! How a register came to be: for native code that has to know what a proof of work really commits to, whatever the
//! document calls its registers. Nothing is computed here; a document is only read backwards.

use crate::field::{Field, Stage, Width};
use crate::program::{ContextAt, Operand, Operation};
use crate::stage::Recipe;
use std::fmt;

/// A register of a recipe, named or not.
#[derive(Clone, Copy)]
pub struct Register<'r> {
    recipe: &'r Recipe,
    operand: Operand,
}

/// What a register is computed from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Made<'r> {
    /// A literal, or computed from literals alone: the same for every job.
    Literal,
    /// A declared field of the register's stage.
    Field(&'r Field),
    /// These, one after the other.
    Joined(Vec<Register<'r>>),
    /// A hash. No name where its key is no literal of the document.
    Hash {
        /// The algorithm's name, whatever the document calls it.
        algorithm: Option<&'r str>,
        /// What is hashed.
        of: Register<'r>,
    },
    /// `acc = hash(acc item)` over a list, `acc` always first.
    Fold {
        /// As for a hash.
        algorithm: Option<&'r str>,
        /// The first `acc`.
        start: Register<'r>,
        /// Bytes of each item.
        item: u32,
    },
    /// Any other way.
    Otherwise,
}

impl PartialEq for Register<'_> {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self.recipe, other.recipe) && self.operand == other.operand
    }
}

impl Eq for Register<'_> {}

impl fmt::Debug for Register<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.shown())
    }
}

impl Recipe {
    /// The register of the judged hash.
    #[must_use]
    pub fn judged(&self) -> Register<'_> {
        Register { recipe: self, operand: self.judge.hash }
    }
}

impl<'r> Register<'r> {
    /// When its value is known.
    #[must_use]
    pub fn stage(&self) -> Stage {
        self.operand.stage
    }

    /// How many bytes it has.
    #[must_use]
    pub fn width(&self) -> Width {
        let types = self.recipe.types.get(self.operand.stage.index());
        let ty = types.and_then(|types| types.get(usize::from(self.operand.slot)));
        ty.map_or(Width::Between(0, u32::MAX), |ty| ty.width())
    }

    /// What it is computed from.
    #[must_use]
    pub fn made(&self) -> Made<'r> {
        let recipe = self.recipe;
        let (fields, program) = match self.operand.stage {
            Stage::Document => return Made::Literal,
            Stage::Job => (&recipe.consts, &recipe.job),
            Stage::Session => (&recipe.session_fields, &recipe.session),
            Stage::Share => (&recipe.share_fields, &recipe.share),
        };
        let slot = usize::from(self.operand.slot);
        if let Some(field) = fields.get(slot) {
            return Made::Field(field);
        }
        let at = |operand| Register { recipe, operand };
        let mut written = program.iter().filter(|instruction| instruction.operation.writes());
        match written.nth(slot - fields.len()).map(|instruction| &instruction.operation) {
            Some(Operation::Cat(parts)) => Made::Joined(parts.iter().copied().map(at).collect()),
            Some(Operation::Hash { with, of, .. }) => {
                Made::Hash { algorithm: algorithm(recipe, *with), of: at(*of) }
            }
            Some(Operation::Fold { with, start, item, sided: false, .. }) => {
                Made::Fold { algorithm: algorithm(recipe, *with), start: at(*start), item: *item }
            }
            _ => Made::Otherwise,
        }
    }

    /// Its name in the document, for messages; what has none is called by its stage.
    #[must_use]
    pub fn shown(&self) -> String {
        let mut names = self.recipe.names.iter();
        match names.find(|(_, typed)| typed.operand == self.operand) {
            Some((name, _)) => format!("`{name}`"),
            None => format!("a register of the {} stage", self.operand.stage.name()),
        }
    }

    /// Its place, if it is of this recipe.
    pub(crate) fn operand_of(&self, recipe: &Recipe) -> Option<Operand> {
        std::ptr::eq(self.recipe, recipe).then_some(self.operand)
    }
}

fn algorithm(recipe: &Recipe, with: ContextAt) -> Option<&str> {
    let known = recipe.tables.hashes.get(usize::from(with.slot)).filter(|_| with.stage == Stage::Document);
    known.map(|name| &**name)
}
