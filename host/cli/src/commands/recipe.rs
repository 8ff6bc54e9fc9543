//! `millpond recipe` and `millpond dialect`: documents that somebody else may have written.

use crate::terminal::{Failure, Outcome};
use clap::{Args, Subcommand};
use millpond_algorithms::Algorithms;
use millpond_dialect::Dialect;
use millpond_recipe::{Recipe, vectors};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// The largest document that is read.
const LARGEST: u64 = 8 << 20;

/// Check a recipe document, or run vectors through it.
#[derive(Debug, Args)]
pub struct RecipeCommand {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Compile a recipe; all errors at once, with their lines.
    Check {
        /// The recipe.
        file: PathBuf,
    },
    /// Run vectors through a recipe.
    Run {
        /// The recipe.
        file: PathBuf,
        /// The vectors; `vectors.toml` beside the recipe when not given.
        #[arg(long)]
        vectors: Option<PathBuf>,
        /// One JSON object a vector.
        #[arg(long)]
        json: bool,
    },
}

impl RecipeCommand {
    /// Does it.
    pub fn run(self) -> Outcome {
        let algorithms = Algorithms::native();
        match self.what {
            What::Check { file } => {
                let recipe = compile(&file, &algorithms)?;
                let names = |fields: &[millpond_recipe::Field]| {
                    fields.iter().map(|field| field.name.to_string()).collect::<Vec<_>>().join(" ")
                };
                say!("{}: recipe {:?} is good", file.display(), recipe.name());
                say!("  job      {}", names(recipe.consts()));
                say!("  session  {}", names(recipe.session_fields()));
                say!("  share    {}", names(recipe.share_fields()));
                Ok(ExitCode::SUCCESS)
            }
            What::Run { file, vectors, json } => run_vectors(&file, vectors, json, &algorithms),
        }
    }
}

fn compile(file: &Path, algorithms: &Algorithms) -> Result<std::sync::Arc<Recipe>, Failure> {
    let text = read(file)?;
    Recipe::compile(&file.display().to_string(), &text, algorithms)
        .map_err(|why| Failure::usage(why.to_string()))
}

fn run_vectors(file: &Path, given: Option<PathBuf>, json: bool, algorithms: &Algorithms) -> Outcome {
    let beside = given.unwrap_or_else(|| file.with_file_name("vectors.toml"));
    let (recipe, text) = (read(file)?, read(&beside)?);
    let (recipe_name, vectors_name) = (file.display().to_string(), beside.display().to_string());
    let report = vectors::run((&recipe_name, &recipe), (&vectors_name, &text), algorithms)
        .map_err(|why| Failure::usage(why.to_string()))?;
    if json {
        for outcome in &report.outcomes {
            let values: serde_json::Map<_, _> =
                outcome.values.iter().map(|(name, value)| (name.clone(), value.clone().into())).collect();
            say!(
                "{}",
                serde_json::json!({"vector": outcome.name, "source": outcome.source, "passed": outcome.passed(),
                    "values": values, "failures": outcome.failures})
            );
        }
    } else {
        say!("{report}");
    }
    Ok(if report.passed() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Check a dialect document.
#[derive(Debug, Args)]
pub struct DialectCommand {
    #[command(subcommand)]
    what: DialectWhat,
}

#[derive(Debug, Subcommand)]
enum DialectWhat {
    /// Compile a dialect; all errors at once, with their lines.
    Check {
        /// The dialect.
        file: PathBuf,
        /// The recipe that it is to serve: registers and fields are held against it.
        #[arg(long)]
        recipe: Option<PathBuf>,
    },
}

impl DialectCommand {
    /// Does it.
    pub fn run(self) -> Outcome {
        let DialectWhat::Check { file, recipe } = self.what;
        let text = read(&file)?;
        let dialect = Dialect::compile(&file.display().to_string(), &text)
            .map_err(|why| Failure::usage(why.to_string()))?;
        if let Some(recipe) = recipe {
            let recipe = compile(&recipe, &Algorithms::native())?;
            let among = |fields: &[millpond_recipe::Field], name: &str| {
                fields.iter().any(|field| &*field.name == name)
            };
            let register = |name: &str| recipe.register(name).is_some();
            let field = |name: &str| among(recipe.share_fields(), name);
            let session = |name: &str| among(recipe.session_fields(), name);
            dialect
                .check_against(&register, &field, &session)
                .map_err(|why| Failure::usage(why.to_string()))?;
        }
        say!("{}: dialect {:?} is good", file.display(), dialect.name());
        Ok(ExitCode::SUCCESS)
    }
}

fn read(file: &Path) -> Result<String, Failure> {
    let wrong = |why: std::io::Error| Failure::usage(format!("{} cannot be read: {why}", file.display()));
    let size = std::fs::metadata(file).map_err(wrong)?.len();
    if size > LARGEST {
        return Err(Failure::usage(format!(
            "{} has {size} bytes; at most {LARGEST} are read",
            file.display()
        )));
    }
    std::fs::read_to_string(file).map_err(wrong)
}
