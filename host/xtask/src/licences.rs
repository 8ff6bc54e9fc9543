//! `cargo xtask licences`: every crate of the dependency graph must carry a licence that allows shipping the binary
//! under ours, and none may be one that we have decided against.

use crate::toolchain::output;
use anyhow::{Context, Result, bail};
use serde::Deserialize;
use std::path::Path;
use std::process::Command;

/// Licences by SPDX id that we may link and ship. MPL-2.0 and CDLA are per file or for data and ask only for notice.
const ALLOWED: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "MIT",
    "MIT-0",
    "MITNFA",
    "MPL-2.0",
    "Unicode-3.0",
    "Unicode-DFS-2016",
    "Unlicense",
    "Zlib",
];

/// Crates that must not come in, and why.
const BANNED: &[(&str, &str)] = &[
    ("openssl-sys", "TLS here is rustls; a system OpenSSL breaks `cargo build` on a fresh machine"),
    ("native-tls", "TLS here is rustls"),
    ("aws-lc-sys", "rustls runs on ring here; aws-lc needs cmake"),
    ("wasmtime-wasi", "guests have no WASI"),
];

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    version: String,
    license: Option<String>,
    license_file: Option<String>,
}

/// Runs the command.
pub fn run(root: &Path) -> Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.current_dir(root).args(["metadata", "--format-version", "1", "--locked"]);
    let metadata: Metadata =
        serde_json::from_str(&output(&mut command)?).context("`cargo metadata` printed something else")?;
    let refused: Vec<String> = metadata.packages.iter().filter_map(refuse).collect();
    if !refused.is_empty() {
        bail!("{}", refused.join("\n"));
    }
    println!("licences: {} packages, all allowed", metadata.packages.len());
    Ok(())
}

fn refuse(package: &Package) -> Option<String> {
    let name = format!("{} {}", package.name, package.version);
    if let Some((_, why)) = BANNED.iter().find(|(banned, _)| *banned == package.name) {
        return Some(format!("{name}: banned: {why}"));
    }
    match (&package.license, &package.license_file) {
        (Some(licence), _) if allows(licence) => None,
        (Some(licence), _) => Some(format!("{name}: {licence:?} is not on the allow list")),
        (None, Some(file)) => Some(format!("{name}: only a licence file, {file}; read it and decide")),
        (None, None) => Some(format!("{name}: no licence")),
    }
}

/// Whether an SPDX expression can be satisfied from the allow list: `OR` needs one side, `AND` both.
fn allows(expression: &str) -> bool {
    // Before SPDX, crates wrote "MIT/Apache-2.0".
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut at = 0;
    let allowed = either(&words, &mut at);
    allowed && at == words.len()
}

fn either(words: &[&str], at: &mut usize) -> bool {
    let mut allowed = both(words, at);
    while words.get(*at) == Some(&"OR") {
        *at += 1;
        allowed |= both(words, at);
    }
    allowed
}

fn both(words: &[&str], at: &mut usize) -> bool {
    let mut allowed = one(words, at);
    while words.get(*at) == Some(&"AND") {
        *at += 1;
        allowed &= one(words, at);
    }
    allowed
}

fn one(words: &[&str], at: &mut usize) -> bool {
    let Some(word) = words.get(*at) else { return false };
    *at += 1;
    if *word == "(" {
        let allowed = either(words, at);
        let closed = words.get(*at) == Some(&")");
        *at += 1;
        return allowed && closed;
    }
    if words.get(*at) == Some(&"WITH") {
        let exception = words.get(*at + 1).copied().unwrap_or_default();
        *at += 2;
        return ALLOWED.contains(&format!("{word} WITH {exception}").as_str());
    }
    ALLOWED.contains(word)
}

#[cfg(test)]
mod tests {
    use super::allows;

    #[test]
    fn an_expression_needs_one_side_of_or_and_both_of_and() {
        for good in [
            "MIT",
            "MIT/Apache-2.0",
            "MIT OR GPL-3.0-only",
            "(MIT OR Apache-2.0) AND Unicode-3.0",
            "Apache-2.0 WITH LLVM-exception OR Apache-2.0 OR MIT",
        ] {
            assert!(allows(good), "{good}");
        }
        for bad in ["GPL-3.0-only", "MIT AND GPL-3.0-only", "(MIT", "", "Apache-2.0 WITH Nothing", "MIT MIT"]
        {
            assert!(!allows(bad), "{bad:?}");
        }
    }
}
