//! `millpond plugin new` and `millpond plugin build`: from a template to a component.

use anyhow::{Context, Result, bail};
use millpond_contracts::Contract;
use millpond_types::Digest;
use millpond_xtask::{guests, toolchain::Toolchain};
use std::fs;
use std::path::{Path, PathBuf};

/// What a plugin is made from.
struct Template {
    contract: Contract,
    /// Its name on the command line.
    kind: &'static str,
    /// (path in the new folder, text).
    files: &'static [(&'static str, &'static str)],
}

macro_rules! template {
    ($contract:ident, $kind:literal, $folder:literal $(, $source:literal)*) => {
        Template {
            contract: Contract::$contract,
            kind: $kind,
            files: &[
                ("Cargo.toml", include_str!(concat!("../../templates/", $folder, "/Cargo.toml.in"))),
                ("README.md", include_str!(concat!("../../templates/", $folder, "/README.md.in"))),
                $(($source, include_str!(concat!("../../templates/", $folder, "/", $source))),)*
            ],
        }
    };
}

const TEMPLATES: [Template; 4] = [
    template!(
        ChainAdapter,
        "adapter",
        "chain-adapter",
        "src/lib.rs",
        "src/tests.rs",
        "src/recipe.txt",
        "src/dialect.txt"
    ),
    template!(PayoutScheme, "scheme", "payout-scheme", "src/lib.rs"),
    template!(FeePolicy, "fee", "fee-policy", "src/lib.rs"),
    template!(VotePolicy, "vote", "vote-policy", "src/lib.rs"),
];

/// The names that `plugin new` takes, and their contracts.
pub fn kinds() -> impl Iterator<Item = (&'static str, Contract)> {
    TEMPLATES.iter().map(|template| (template.kind, template.contract))
}

/// Folders whose crates belong to the repository's workspace by its own patterns.
const MEMBERS: [&str; 2] = ["plugins", "policies"];

/// Writes a small crate for a plugin of this kind into `folder`, which must not exist.
///
/// `sdk` is the SDK's folder; without one it is looked for from `folder`, from the current folder and from this
/// program upwards.
///
/// # Errors
/// An unknown kind, a name that is none, a folder that exists, an SDK that is nowhere.
pub fn create(kind: &str, name: &str, folder: &Path, sdk: Option<&Path>) -> Result<Vec<PathBuf>> {
    let Some(template) = TEMPLATES.iter().find(|template| template.kind == kind) else {
        bail!(
            "no kind of plugin is named {kind:?}; there are {}",
            kinds().map(|k| k.0).collect::<Vec<_>>().join(", ")
        );
    };
    if !is_name(name) {
        bail!(
            "{name:?} is no name for a plugin: lower-case letters, digits and `-`, a letter first, at most 40"
        );
    }
    if folder.exists() {
        bail!("{} is there already; name another folder with --dir", folder.display());
    }
    let sdk = match sdk {
        Some(given) if is_sdk(given) => given.to_owned(),
        Some(given) => bail!("{} is not the SDK: it has no Cargo.toml of millpond-sdk", given.display()),
        None => find_sdk(folder).context(
            "the SDK is nowhere above the new folder, the current one or this program; name its folder (sdk/guest of \
             Millpond's repository) with --sdk",
        )?,
    };
    let sdk = fs::canonicalize(&sdk).with_context(|| format!("cannot resolve {}", sdk.display()))?;
    let repository = sdk.ancestors().nth(2).map(Path::to_owned).unwrap_or_default();
    fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let here = fs::canonicalize(folder).with_context(|| format!("cannot resolve {}", folder.display()))?;
    let member = MEMBERS.iter().any(|members| here.parent() == Some(repository.join(members).as_path()));
    let mut written = Vec::new();
    for (file, text) in template.files {
        let mut text = (*text)
            .replace("{{crate}}", &format!("millpond-{kind}-{name}"))
            .replace("{{name}}", name)
            .replace("{{sdk}}", &sdk.display().to_string());
        if member && *file == "Cargo.toml" {
            text = as_member(&text);
        }
        write(&here.join(file), &text, &mut written)?;
    }
    if !member {
        // The versions that the repository is tested with; cargo drops what is not needed.
        let lock = repository.join("Cargo.lock");
        if let Ok(text) = fs::read_to_string(&lock) {
            write(&here.join("Cargo.lock"), &text, &mut written)?;
        }
        write(&here.join(".gitignore"), "/target\n*.wasm\n", &mut written)?;
    }
    Ok(written)
}

fn write(path: &Path, text: &str, written: &mut Vec<PathBuf>) -> Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).with_context(|| format!("cannot create {}", parent.display()))?;
    }
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
    written.push(path.to_owned());
    Ok(())
}

/// A crate inside of the repository's workspace brings no workspace, no profile and no path of its own.
fn as_member(manifest: &str) -> String {
    let kept: Vec<&str> = manifest
        .split("\n\n")
        .filter(|part| !part.contains("[profile.") && !part.contains("[workspace]"))
        .collect();
    let mut text = kept.join("\n\n");
    if let Some(at) = text.find("millpond-sdk = {") {
        let end = text.get(at..).and_then(|rest| rest.find('\n')).map_or(text.len(), |length| at + length);
        text.replace_range(at..end, "millpond-sdk.workspace = true");
    }
    if !text.ends_with('\n') {
        text.push('\n');
    }
    text
}

fn is_name(name: &str) -> bool {
    name.len() <= 40
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && !name.ends_with('-')
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

fn is_sdk(folder: &Path) -> bool {
    fs::read_to_string(folder.join("Cargo.toml")).is_ok_and(|text| text.contains("name = \"millpond-sdk\""))
}

fn find_sdk(folder: &Path) -> Option<PathBuf> {
    let starts =
        [std::path::absolute(folder).ok(), std::env::current_dir().ok(), std::env::current_exe().ok()];
    let above = |start: &PathBuf| {
        start.ancestors().map(|folder| folder.join("sdk/guest")).find(|folder| is_sdk(folder))
    };
    starts.iter().flatten().find_map(above)
}

/// A component that was built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Built {
    /// Where it is.
    pub file: PathBuf,
    /// Bytes.
    pub size: u64,
    /// BLAKE3.
    pub digest: Digest,
    /// What compiled it.
    pub toolchain: String,
}

/// Builds the component of the crate in `folder`, with the search for a compiler that the repository's own plugins are
/// built with, and writes it to `to`, or to `<name>.wasm` in the folder.
///
/// # Errors
/// A folder that is no plugin's crate, no compiler for wasm, a crate that does not compile or exports nothing.
pub fn build(folder: &Path, to: Option<&Path>) -> Result<Built> {
    let folder = fs::canonicalize(folder).with_context(|| format!("no folder {}", folder.display()))?;
    let file = folder.join("Cargo.toml");
    let manifest: toml::Table = fs::read_to_string(&file)
        .with_context(|| format!("cannot read {}: is this a plugin's folder?", file.display()))?
        .parse()
        .with_context(|| format!("{} is not TOML", file.display()))?;
    let package = manifest.get("package").context("Cargo.toml has no [package]")?;
    let text = |value: Option<&toml::Value>| value.and_then(toml::Value::as_str).map(str::to_owned);
    let crate_name = text(package.get("name")).context("Cargo.toml names no package")?;
    let name = text(package.get("metadata").and_then(|m| m.get("millpond")).and_then(|m| m.get("name")))
        .context("Cargo.toml has no [package.metadata.millpond] with a name: it is no plugin's crate")?;
    let workspace = folder.ancestors().find(|above| is_workspace(above)).unwrap_or(&folder).to_owned();
    let own = workspace == folder;
    let repository = find_sdk(&folder).and_then(|sdk| sdk.ancestors().nth(2).map(Path::to_owned));
    let toolchain = Toolchain::find(repository.as_deref().unwrap_or(&folder), None)?;
    let target = if own { folder.join("target") } else { workspace.join("target/guests") };
    let mut remaps = guests::remaps(repository.as_deref().unwrap_or(&workspace), &toolchain);
    if own {
        remaps.push(format!("--remap-path-prefix={}=/{name}", folder.display()));
    }
    let component = guests::compile(&folder, &crate_name, &target, &remaps, &toolchain)?;
    let file = to.map_or_else(|| folder.join(format!("{name}.wasm")), Path::to_owned);
    fs::write(&file, &component).with_context(|| format!("cannot write {}", file.display()))?;
    Ok(Built {
        size: component.len() as u64,
        digest: Digest::of(&component),
        file,
        toolchain: toolchain.id.clone(),
    })
}

fn is_workspace(folder: &Path) -> bool {
    let manifest = fs::read_to_string(folder.join("Cargo.toml")).ok();
    manifest
        .and_then(|text| text.parse::<toml::Table>().ok())
        .is_some_and(|table| table.contains_key("workspace"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crate_inside_of_the_repository_joins_its_workspace() {
        for template in &TEMPLATES {
            let (_, manifest) = template.files[0];
            let member = as_member(manifest);
            let table: toml::Table =
                member.replace("{{crate}}", "c").replace("{{name}}", "n").parse().unwrap();
            assert!(!table.contains_key("workspace") && !table.contains_key("profile"), "{member}");
            assert_eq!(table["dependencies"]["millpond-sdk"]["workspace"].as_bool(), Some(true));
        }
    }

    #[test]
    fn every_template_is_of_the_world_of_its_contract() {
        for template in &TEMPLATES {
            let table: toml::Table = template.files[0].1.parse().unwrap();
            let world = table["package"]["metadata"]["millpond"]["world"].as_str().unwrap();
            assert_eq!(world.split('@').next().unwrap(), template.contract.to_string());
        }
    }

    #[test]
    fn names_are_file_names() {
        assert!(is_name("my-scheme-2"));
        for bad in ["", "2x", "Big", "a/b", "..", "x-", "a b", &"x".repeat(41)] {
            assert!(!is_name(bad), "{bad}");
        }
    }
}
