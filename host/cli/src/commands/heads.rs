//! `millpond heads`: the key a pool signs with, two of its heads beside each other, and going on after a restore.

use crate::commands::replay::chosen;
use crate::commands::verify_statement::{heads, key};
use crate::terminal::{Failure, Outcome};
use clap::{Args, Subcommand};
use millpond_disk::{RealDisk, replace_file};
use millpond_pool::proofs::{FOLDER, RESUME, Resume, public_key};
use millpond_proofs::{Compared, Consistency, Evidence, SignedHead, compare};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Show a pool's key, compare heads, or have a restored pool sign again.
#[derive(Debug, Args)]
pub struct HeadsCommand {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Print the public key that a pool signs its heads with, for its site.
    Key {
        /// The data folder.
        #[arg(long, default_value = "millpond-data")]
        data: PathBuf,
        /// One pool instead of all.
        #[arg(long)]
        pool: Option<String>,
    },
    /// Compare two heads of a pool. Exit code 0: the later continues the earlier. 1: they contradict each other, and the
    /// evidence is written. 2: that cannot be told, as when a head is badly signed or of another pool, a proof is missing, or
    /// the pool declared a loss between them.
    Compare {
        /// A head.
        one: PathBuf,
        /// Another.
        other: PathBuf,
        /// The pool's key, 64 hex digits.
        #[arg(long, value_name = "HEX")]
        key: Option<String>,
        /// The consistency proof of the pool between both sizes.
        #[arg(long)]
        proof: Option<PathBuf>,
        /// Where evidence goes.
        #[arg(long, default_value = "equivocation.json")]
        evidence: PathBuf,
    },
    /// Have a restored pool sign heads again, after the newest one that it published before: what came since the backup is
    /// declared as lost.
    Resume {
        /// The data folder.
        #[arg(long, default_value = "millpond-data")]
        data: PathBuf,
        /// The pool.
        #[arg(long)]
        pool: String,
        /// The newest head that was published, from a mirror or a miner; not from this pool, whose own is older.
        #[arg(long)]
        newest: PathBuf,
        /// The given head is the newest in the backup, and you know that the pool showed nobody a later one. If it did, it
        /// signs a number twice, which is evidence against it.
        #[arg(long)]
        nothing_published_since: bool,
    },
}

impl HeadsCommand {
    /// Does it.
    pub fn run(self) -> Outcome {
        match self.action {
            Action::Key { data, pool } => {
                for name in chosen(&data, pool)? {
                    match public_key(&RealDisk, &data.join(name.as_str()))? {
                        Some(key) => say!("{name}: {key}"),
                        None => say!("{name}: no key yet; it is made when the pool starts"),
                    }
                }
                Ok(ExitCode::SUCCESS)
            }
            Action::Compare { one, other, key: known, proof, evidence } => {
                let heads = [one_head(&one)?, one_head(&other)?];
                if let Some(known) = known.as_deref().map(key).transpose()?
                    && heads.iter().any(|head| head.body.key != known)
                {
                    return Err(Failure::usage("a head is signed by another key than the one given"));
                }
                let proof = proof.as_deref().map(consistency).transpose()?;
                compared(&heads, proof.as_ref(), &evidence)
            }
            Action::Resume { data, pool, newest, nothing_published_since } => {
                let head = one_head(&newest)?;
                for name in chosen(&data, Some(pool))? {
                    let folder = data.join(name.as_str());
                    if public_key(&RealDisk, &folder)? != Some(head.body.key) {
                        return Err(Failure::usage(
                            "the head is not signed by the key in the pool's folder: put the key back first, which is in no \
                             backup",
                        ));
                    }
                    head.verify()?;
                    let order = Resume { newest: head.clone(), nothing_published_since };
                    let bytes = serde_json::to_vec_pretty(&order)?;
                    replace_file(&RealDisk, &folder.join(FOLDER).join(RESUME), &bytes)?;
                    say!(
                        "{name}: goes on from head {}, which a running pool does within a moment and another when it starts",
                        head.body.number
                    );
                }
                Ok(ExitCode::SUCCESS)
            }
        }
    }
}

fn compared(heads: &[SignedHead; 2], proof: Option<&Consistency>, evidence: &Path) -> Outcome {
    let [one, other] = heads;
    let compared = compare(one, other, proof).map_err(|why| Failure::usage(why.to_string()))?;
    let told = match compared {
        Compared::Same => "they are the same head".to_owned(),
        Compared::Continues => "the later head continues the earlier one".to_owned(),
        Compared::NeedsProof { from, to } => {
            say!(
                "whether the later continues the earlier takes the pool's proof: /heads/consistency?from={from}&to={to}"
            );
            return Ok(ExitCode::from(2));
        }
        Compared::NotShown { from, to } => {
            say!(
                "the proof does not show that the history of {from} entries is the beginning of that of {to}"
            );
            return Ok(ExitCode::from(2));
        }
        Compared::LossDeclared if one.body.number.abs_diff(other.body.number) == 1 => {
            "the later head declares a loss after the earlier one, in public".to_owned()
        }
        Compared::LossDeclared => {
            say!(
                "the pool declared a loss between them: their histories cannot be compared; compare each head between them with \
                 the next"
            );
            return Ok(ExitCode::from(2));
        }
        Compared::Contradict(why) => {
            if let Some(found) = Evidence::among(heads) {
                std::fs::write(evidence, serde_json::to_vec_pretty(&found)?)?;
            }
            say!("{why}; {} holds both heads: it convinces whoever knows the key", evidence.display());
            return Ok(ExitCode::FAILURE);
        }
    };
    say!("{told}");
    Ok(ExitCode::SUCCESS)
}

fn one_head(file: &Path) -> Result<SignedHead, Failure> {
    let mut found = heads(file)?;
    match (found.pop(), found.is_empty()) {
        (Some(head), true) => Ok(head),
        _ => Err(Failure::usage(format!("{} holds not one head", file.display()))),
    }
}

fn consistency(file: &Path) -> Result<Consistency, Failure> {
    let named = |why: &dyn std::fmt::Display| Failure::usage(format!("{}: {why}", file.display()));
    let bytes = std::fs::read(file).map_err(|why| named(&why))?;
    serde_json::from_slice(&bytes).map_err(|why| named(&why))
}
