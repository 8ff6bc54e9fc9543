//! Vectors of a recipe: values and what they must come to, as a TOML file beside the document. What `millpond recipe
//! run` prints.
//!
//! ```toml
//! [[vector]]
//! name = "what this shows"
//! source = "where it is from"
//! const = { head = "01…", branch = ["…", "…"] }   # hex, or a list of hex that is joined
//! session = { mask = "1fffe000" }                  # what is not named takes its default
//! share = { xn = "…", nonce = "…" }
//! expect = { pow = "…", id = "…", registers = { root = "…" }, outs = ["…"], meets = true }
//! ```
//!
//! `pow` is the judged hash as a big-endian number. `meets` says whether it meets `target` (64 hex digits), or the
//! network's target where the recipe names it. `error` in place of all of them is a part of the error's text.

use crate::error::{DocumentErrors, RunError};
use crate::field::Field;
use crate::judged::Judged;
use crate::stage::{Recipe, Scratch};
use millpond_algorithms::Algorithms;
use millpond_types::Target;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt;

/// Longest file of vectors, in bytes.
pub const MAX_VECTORS_BYTES: usize = 4 << 20;

/// Why vectors could not be run at all.
#[derive(Debug, thiserror::Error)]
pub enum VectorsError {
    /// The recipe itself is wrong.
    #[error(transparent)]
    Document(#[from] DocumentErrors),
    /// The file of vectors is not TOML of the form above.
    #[error("{file}: {reason}")]
    Read {
        /// The file of vectors.
        file: String,
        /// The reason with its line.
        reason: String,
    },
    /// The file is too long.
    #[error("{0} is longer than {MAX_VECTORS_BYTES} bytes")]
    TooLong(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    vector: Vec<Vector>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Vector {
    name: String,
    #[serde(default)]
    source: String,
    #[serde(default, rename = "const")]
    consts: BTreeMap<String, Hex>,
    #[serde(default)]
    session: BTreeMap<String, Hex>,
    #[serde(default)]
    share: BTreeMap<String, Hex>,
    expect: Expect,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct Expect {
    pow: Option<Hex>,
    id: Option<Hex>,
    #[serde(default)]
    registers: BTreeMap<String, Hex>,
    outs: Option<Vec<Hex>>,
    meets: Option<bool>,
    target: Option<Hex>,
    error: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Hex {
    One(String),
    Many(Vec<String>),
}

impl Hex {
    fn bytes(&self) -> Result<Vec<u8>, String> {
        let parts = match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::Many(many) => many,
        };
        let mut out = Vec::new();
        for part in parts {
            out.extend(hex::decode(part).map_err(|e| format!("{part:?} is not hex: {e}"))?);
        }
        Ok(out)
    }
}

/// What became of one vector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The vector's name.
    pub name: String,
    /// Where it is from; empty when the file does not say.
    pub source: String,
    /// Every value that was expected and computed otherwise, one sentence each; empty when the vector passed.
    pub failures: Vec<String>,
    /// What was computed, by name, as hex: the hash, the id, each `out` register.
    pub values: Vec<(String, String)>,
}

impl Outcome {
    /// Whether everything was as expected.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.failures.is_empty()
    }
}

/// What became of a file of vectors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The recipe's name.
    pub recipe: String,
    /// The vectors in the order of the file.
    pub outcomes: Vec<Outcome>,
}

impl Report {
    /// Whether every vector passed, and there is one.
    #[must_use]
    pub fn passed(&self) -> bool {
        !self.outcomes.is_empty() && self.outcomes.iter().all(Outcome::passed)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for outcome in &self.outcomes {
            writeln!(f, "{} {}", if outcome.passed() { "pass" } else { "FAIL" }, outcome.name)?;
            for (name, value) in &outcome.values {
                writeln!(f, "     {name} = {value}")?;
            }
            for failure in &outcome.failures {
                writeln!(f, "     {failure}")?;
            }
        }
        let passed = self.outcomes.iter().filter(|outcome| outcome.passed()).count();
        write!(f, "{}: {passed} of {} vectors pass", self.recipe, self.outcomes.len())
    }
}

/// Compiles a recipe and runs a file of vectors through it. The names are those of the two files, for errors.
///
/// # Errors
/// When the recipe does not compile or the vectors cannot be read; a vector that fails is in the report.
pub fn run(
    recipe: (&str, &str),
    vectors: (&str, &str),
    algorithms: &Algorithms,
) -> Result<Report, VectorsError> {
    let recipe = Recipe::compile(recipe.0, recipe.1, algorithms)?;
    let (file, text) = vectors;
    if text.len() > MAX_VECTORS_BYTES {
        return Err(VectorsError::TooLong(file.into()));
    }
    let written: Written =
        toml::from_str(text).map_err(|e| VectorsError::Read { file: file.into(), reason: e.to_string() })?;
    let outcomes = written.vector.iter().map(|vector| outcome(&recipe, vector)).collect();
    Ok(Report { recipe: recipe.name().into(), outcomes })
}

fn outcome(recipe: &std::sync::Arc<Recipe>, vector: &Vector) -> Outcome {
    let mut run = Run { values: Vec::new(), failures: Vec::new() };
    if let Err(wrong) = run.all(recipe, vector) {
        run.failures.push(wrong);
    }
    Outcome {
        name: vector.name.clone(),
        source: vector.source.clone(),
        failures: run.failures,
        values: run.values,
    }
}

struct Run {
    values: Vec<(String, String)>,
    failures: Vec<String>,
}

impl Run {
    fn all(&mut self, recipe: &std::sync::Arc<Recipe>, vector: &Vector) -> Result<(), String> {
        let consts = values(recipe.consts(), &vector.consts)?;
        let session = values(recipe.session_fields(), &vector.session)?;
        let share = values(recipe.share_fields(), &vector.share)?;
        let expect = &vector.expect;
        let job = match recipe.job(&consts) {
            Ok(job) => job,
            Err(error) => return refused(expect, &error),
        };
        let session = match job.session(&session) {
            Ok(session) => session,
            Err(error) => return refused(expect, &error),
        };
        let mut scratch = Scratch::default();
        let judged = match session.judge(&share, &mut scratch) {
            Ok(judged) => judged,
            Err(error) => return refused(expect, &error),
        };
        if let Some(error) = &expect.error {
            return Err(format!("expected an error with {error:?}, and the share was judged"));
        }
        self.compare("pow", expect.pow.as_ref(), Some(&judged.pow))?;
        self.compare("id", expect.id.as_ref(), Some(&judged.id))?;
        for (name, wanted) in &expect.registers {
            self.compare(name, Some(wanted), judged.register(name))?;
        }
        self.outs(recipe, expect, &judged)?;
        if let Some(meets) = expect.meets {
            let target = match &expect.target {
                Some(target) => {
                    let bytes = target.bytes()?;
                    let bytes = bytes.try_into().map_err(|_| "`target` is 64 hex digits".to_owned())?;
                    Some(Target::from_be_bytes(bytes))
                }
                None => job.network_target(),
            };
            let target = target.ok_or("`meets` needs a `target`, as the recipe names no network target")?;
            self.values.push(("target".into(), target.to_string()));
            if target.is_met_by(&judged.pow) != meets {
                let word = if meets { "does not meet" } else { "meets" };
                self.failures.push(format!("the hash {word} the target {target}"));
            }
        }
        Ok(())
    }

    fn outs(&mut self, recipe: &Recipe, expect: &Expect, judged: &Judged<'_>) -> Result<(), String> {
        if let Some(outs) = &expect.outs
            && outs.len() != recipe.outs().len()
        {
            return Err(format!("{} outs are expected; the recipe has {}", outs.len(), recipe.outs().len()));
        }
        for (i, (name, out)) in recipe.outs().zip(judged.outs()).enumerate() {
            let wanted = expect.outs.as_ref().and_then(|outs| outs.get(i));
            self.compare(&format!("out {name}"), wanted, Some(out))?;
        }
        Ok(())
    }

    fn compare(&mut self, name: &str, wanted: Option<&Hex>, computed: Option<&[u8]>) -> Result<(), String> {
        let Some(computed) = computed else { return Err(format!("the recipe has no register {name:?}")) };
        self.values.push((name.into(), hex::encode(computed)));
        if let Some(wanted) = wanted {
            let wanted = wanted.bytes()?;
            if wanted != computed {
                self.failures.push(format!("{name}: expected {}", hex::encode(wanted)));
            }
        }
        Ok(())
    }
}

/// A refusal, which a vector can expect.
fn refused(expect: &Expect, error: &RunError) -> Result<(), String> {
    let text = error.to_string();
    match &expect.error {
        Some(part) if text.contains(part.as_str()) => Ok(()),
        Some(part) => Err(format!("expected an error with {part:?}, got: {text}")),
        None => Err(text),
    }
}

fn values(fields: &[Field], given: &BTreeMap<String, Hex>) -> Result<Vec<Vec<u8>>, String> {
    if let Some(unknown) = given.keys().find(|name| fields.iter().all(|field| *field.name != ***name)) {
        return Err(format!("the recipe declares no field {unknown:?} of this kind"));
    }
    fields.iter().map(|field| given.get(&*field.name).map_or_else(|| Ok(Vec::new()), Hex::bytes)).collect()
}
