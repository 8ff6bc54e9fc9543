//! `cargo xtask advisories`: no crate of the lock file may be one that the RustSec advisory database warns of.
//!
//! The database itself is not needed: `advisories.jsonl` is a dated extract of it, one advisory a line, so that the
//! check also works where only this checkout is. Who has a newer checkout of the database gives its folder, to check
//! against it or to write a newer extract. What is known and accepted stands in `accepted-advisories.toml` with its
//! reason; an acceptance that nothing needs any more is an error too.

use anyhow::{Context, Result, bail, ensure};
use semver::{Version, VersionReq};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// What to check against, and what to write.
#[derive(Debug, Default, clap::Args)]
pub struct Options {
    /// A checkout of the RustSec advisory database, instead of the extract in the repository.
    #[arg(long)]
    pub database: Option<PathBuf>,
    /// Write the extract from the database, under this name of its state: "<date> <commit>".
    #[arg(long, requires = "database", value_name = "STATE")]
    pub write: Option<String>,
}

/// One advisory: which versions of a package it is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Advisory {
    id: String,
    package: String,
    /// "unmaintained", "unsound", "notice"; none for a vulnerability.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    kind: Option<String>,
    /// Version requirements: what any of them matches has the fault mended.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    patched: Vec<String>,
    /// Version requirements: what any of them matches never had it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    unaffected: Vec<String>,
}

/// The first line of the extract.
#[derive(Debug, Serialize, Deserialize)]
struct Extract {
    database: String,
    state: String,
}

#[derive(Deserialize)]
struct Accepted {
    #[serde(default)]
    accepted: Vec<Acceptance>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Acceptance {
    id: String,
    reason: String,
}

#[derive(Deserialize)]
struct LockFile {
    package: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    version: Version,
}

/// Runs the command.
pub fn run(root: &Path, options: &Options) -> Result<()> {
    let folder = root.join("host/xtask");
    let extract = folder.join("advisories.jsonl");
    let (state, advisories) = match &options.database {
        Some(database) => ("as given".to_owned(), from_database(database)?),
        None => from_extract(&read(&extract)?).with_context(|| extract.display().to_string())?,
    };
    if let Some(state) = &options.write {
        fs::write(&extract, to_extract(state, &advisories)?)
            .with_context(|| format!("cannot write {}", extract.display()))?;
    }
    let lock: LockFile = toml::from_str(&read(&root.join("Cargo.lock"))?).context("Cargo.lock")?;
    let accepted = folder.join("accepted-advisories.toml");
    let accepted: Accepted =
        toml::from_str(&read(&accepted)?).with_context(|| accepted.display().to_string())?;
    let problems = problems(&lock.package, &advisories, &accepted.accepted)?;
    if !problems.is_empty() {
        bail!("{}", problems.join("\n"));
    }
    println!(
        "advisories: {} packages, {} advisories of {state}, {} accepted with a reason",
        lock.package.len(),
        advisories.len(),
        accepted.accepted.len()
    );
    Ok(())
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

/// Everything that must not be: an advisory that nobody accepted, an acceptance without use or reason.
fn problems(packages: &[Package], advisories: &[Advisory], accepted: &[Acceptance]) -> Result<Vec<String>> {
    let mut unused: BTreeMap<&str, &Acceptance> =
        accepted.iter().map(|acceptance| (acceptance.id.as_str(), acceptance)).collect();
    let mut problems = Vec::new();
    for package in packages {
        for advisory in advisories.iter().filter(|advisory| advisory.package == package.name) {
            if !advisory.affects(&package.version)? {
                continue;
            }
            unused.remove(advisory.id.as_str());
            if !accepted.iter().any(|acceptance| acceptance.id == advisory.id) {
                problems.push(format!(
                    "{} {}: {} ({}): https://rustsec.org/advisories/{}",
                    package.name,
                    package.version,
                    advisory.id,
                    advisory.kind.as_deref().unwrap_or("vulnerability"),
                    advisory.id
                ));
            }
        }
    }
    problems
        .extend(unused.keys().map(|id| format!("{id} is accepted but concerns no crate here: take it out")));
    let silent = accepted.iter().filter(|acceptance| acceptance.reason.trim().is_empty());
    problems.extend(silent.map(|acceptance| format!("{} is accepted without a reason", acceptance.id)));
    Ok(problems)
}

impl Advisory {
    /// Whether it is about this version: one that is neither patched nor unaffected.
    fn affects(&self, version: &Version) -> Result<bool> {
        for requirement in self.patched.iter().chain(&self.unaffected) {
            let requirement = VersionReq::parse(requirement)
                .with_context(|| format!("{}: {requirement:?} is no version requirement", self.id))?;
            if requirement.matches(version) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// All advisories of a checkout of the database that were not withdrawn, by package and id.
fn from_database(database: &Path) -> Result<Vec<Advisory>> {
    let folders = fs::read_dir(database.join("crates"))
        .with_context(|| format!("{} is no checkout of the advisory database", database.display()))?;
    let mut advisories = Vec::new();
    for folder in folders {
        for file in fs::read_dir(folder?.path())? {
            let path = file?.path();
            let one = from_markdown(&read(&path)?).with_context(|| path.display().to_string())?;
            advisories.extend(one);
        }
    }
    ensure!(!advisories.is_empty(), "{} holds no advisory", database.display());
    advisories.sort_by(|a, b| (&a.package, &a.id).cmp(&(&b.package, &b.id)));
    Ok(advisories)
}

/// An advisory is a Markdown file that begins with a TOML block.
fn from_markdown(text: &str) -> Result<Option<Advisory>> {
    #[derive(Deserialize)]
    struct File {
        advisory: Head,
        #[serde(default)]
        versions: Versions,
    }
    #[derive(Deserialize)]
    struct Head {
        id: String,
        package: String,
        informational: Option<String>,
        withdrawn: Option<String>,
    }
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Versions {
        patched: Vec<String>,
        unaffected: Vec<String>,
    }
    let block = text.strip_prefix("```toml\n").and_then(|rest| rest.split_once("\n```"));
    let (block, _) = block.context("does not begin with a block of TOML")?;
    let File { advisory: head, versions } = toml::from_str(block)?;
    let advisory = Advisory {
        id: head.id,
        package: head.package,
        kind: head.informational,
        patched: versions.patched,
        unaffected: versions.unaffected,
    };
    Ok(head.withdrawn.is_none().then_some(advisory))
}

fn to_extract(state: &str, advisories: &[Advisory]) -> Result<String> {
    let database = "https://github.com/rustsec/advisory-db".to_owned();
    let mut text = serde_json::to_string(&Extract { database, state: state.to_owned() })?;
    for advisory in advisories {
        text.push('\n');
        text.push_str(&serde_json::to_string(advisory)?);
    }
    text.push('\n');
    Ok(text)
}

fn from_extract(text: &str) -> Result<(String, Vec<Advisory>)> {
    let mut lines = text.lines();
    let head: Extract = serde_json::from_str(lines.next().unwrap_or_default())?;
    let advisories: Vec<Advisory> = lines.map(serde_json::from_str).collect::<Result<_, _>>()?;
    ensure!(!advisories.is_empty(), "holds no advisory");
    Ok((head.state, advisories))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "```toml\n[advisory]\nid = \"RUSTSEC-2000-0001\"\npackage = \"leaky\"\ndate = \"2000-01-01\"\n\
        informational = \"unsound\"\n\n[versions]\npatched = [\"^1.4.2\", \">= 2.0.1\"]\nunaffected = [\"< 1.1.0\"]\n\
        ```\n\n# It leaks\n";

    fn leaky() -> Advisory {
        from_markdown(FILE).unwrap().unwrap()
    }

    fn package(name: &str, version: &str) -> Package {
        Package { name: name.to_owned(), version: version.parse().unwrap() }
    }

    #[test]
    fn versions_between_the_first_fault_and_the_mend_are_affected() {
        let affected = |version: &str| leaky().affects(&version.parse().unwrap()).unwrap();
        assert!(!affected("1.0.9"), "before the fault");
        assert!(affected("1.1.0") && affected("1.4.1"));
        assert!(!affected("1.4.2") && !affected("1.9.0"), "mended in 1.x");
        assert!(affected("2.0.0"));
        assert!(!affected("2.0.1"));
    }

    #[test]
    fn an_affected_crate_is_named_unless_it_is_accepted_with_a_reason() {
        let found = |packages: &[Package], accepted: &[(&str, &str)]| {
            let accepted: Vec<Acceptance> = accepted
                .iter()
                .map(|(id, reason)| Acceptance { id: (*id).to_owned(), reason: (*reason).to_owned() })
                .collect();
            problems(packages, &[leaky()], &accepted).unwrap()
        };
        let old = [package("leaky", "1.2.0"), package("tight", "1.2.0")];
        let said =
            "leaky 1.2.0: RUSTSEC-2000-0001 (unsound): https://rustsec.org/advisories/RUSTSEC-2000-0001";
        assert_eq!(found(&old, &[]), [said]);
        assert_eq!(found(&old, &[("RUSTSEC-2000-0001", "never called")]), Vec::<String>::new());
        assert_eq!(found(&old, &[("RUSTSEC-2000-0001", " ")]).len(), 1, "no reason");
        let new = [package("leaky", "1.5.0")];
        assert_eq!(found(&new, &[]), Vec::<String>::new());
        assert_eq!(found(&new, &[("RUSTSEC-2000-0001", "never called")]).len(), 1, "not needed");
    }

    #[test]
    fn the_extract_keeps_what_the_database_says_and_leaves_out_what_it_withdrew() {
        let folder = tempfile::tempdir().unwrap();
        let crates = folder.path().join("crates/leaky");
        fs::create_dir_all(&crates).unwrap();
        fs::write(crates.join("RUSTSEC-2000-0001.md"), FILE).unwrap();
        let withdrawn = FILE
            .replace("0001", "0002")
            .replace("\n\n[versions]", "\nwithdrawn = \"2001-01-01\"\n\n[versions]");
        fs::write(crates.join("RUSTSEC-2000-0002.md"), withdrawn).unwrap();
        let advisories = from_database(folder.path()).unwrap();
        assert_eq!(advisories, [leaky()]);
        let text = to_extract("2000-02-02 abc", &advisories).unwrap();
        assert_eq!(from_extract(&text).unwrap(), ("2000-02-02 abc".to_owned(), advisories));
        assert!(from_extract(text.lines().next().unwrap()).is_err(), "an empty extract is no all-clear");
    }
}
