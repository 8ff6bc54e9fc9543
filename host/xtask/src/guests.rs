//! `cargo xtask guests`: guest crates to components and their lock. Examples that do not ship keep both in their folder.

use crate::catalogue::{self, Guest};
use crate::lock::{self, Lock, Locked};
use crate::sources;
use crate::toolchain::{Toolchain, Way};
use anyhow::{Context, Result, bail};
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;
use wit_component::ComponentEncoder;

/// Options of the command.
#[derive(Debug, Default, clap::Args)]
pub struct Options {
    /// Build only these plugins (names as in plugins.lock); default: all.
    names: Vec<String>,
    /// Change nothing: rebuild into target/guests/components and compare with what is committed. Bytes must be equal
    /// where the toolchain is the same one; elsewhere only the digests of sources are compared.
    #[arg(long)]
    check: bool,
    /// Use this way to a compiler only.
    #[arg(long)]
    toolchain: Option<Way>,
    /// List the guests of the workspace with their worlds and source digests, and build nothing.
    #[arg(long)]
    list: bool,
}

/// Runs the command.
pub fn run(root: &Path, options: &Options) -> Result<()> {
    let all = catalogue::all(root)?;
    if let Some(unknown) = options.names.iter().find(|name| !all.iter().any(|guest| guest.name == **name)) {
        let known: Vec<&str> = all.iter().map(|guest| guest.name.as_str()).collect();
        bail!("no guest is named {unknown:?}; there are: {}", known.join(", "));
    }
    let chosen: Vec<&Guest> =
        all.iter().filter(|guest| options.names.is_empty() || options.names.contains(&guest.name)).collect();
    if options.list {
        for guest in chosen {
            println!("{} {} {} {}", guest.name, guest.version, guest.world, sources::digest(root, guest)?);
        }
        return Ok(());
    }

    let toolchain = Toolchain::find(root, options.toolchain)?;
    eprintln!("guests: {}", toolchain.id);
    let mut lock = Lock::read(root)?;
    let target = if options.check { rebuilt(root) } else { lock::components(root) };
    fs::create_dir_all(&target).with_context(|| format!("cannot create {}", target.display()))?;

    let mut differing = Vec::new();
    for (at, guest) in chosen.iter().enumerate() {
        let started = Instant::now();
        eprint!("guests: [{}/{}] {} … ", at + 1, chosen.len(), guest.name);
        // Before the build: a source edited meanwhile must not be locked as built.
        let digest = sources::digest(root, guest)?;
        let component = build(root, guest, &toolchain)?;
        let folder = if guest.bundled || options.check { &target } else { &guest.folder };
        let file = folder.join(format!("{}.wasm", guest.name));
        fs::write(&file, &component).with_context(|| format!("cannot write {}", file.display()))?;
        eprintln!("{} bytes, {:.1} s", component.len(), started.elapsed().as_secs_f32());
        let built = Locked {
            name: guest.name.clone(),
            world: guest.world.clone(),
            version: guest.version.clone(),
            blake3: blake3::hash(&component).to_hex().to_string(),
            sources: digest,
            toolchain: toolchain.id.clone(),
        };
        if !guest.bundled {
            let path = lock::of_example(&guest.folder);
            let mut own = Lock::read_from(&path)?;
            if options.check {
                differing.extend(compare(own.get(&guest.name), &built));
            } else {
                own.put(built);
                own.write_to(&path)?;
            }
        } else if options.check {
            differing.extend(compare(lock.get(&guest.name), &built));
        } else {
            lock.put(built);
        }
    }
    if options.check {
        eprintln!("guests: rebuilt components are in {}", target.display());
        if !differing.is_empty() {
            bail!("{}\nrun `cargo xtask guests` and commit what it changes", differing.join("\n"));
        }
        return Ok(());
    }
    if options.names.is_empty() {
        forget_others(root, &mut lock, &all)?;
    }
    lock.write(root)?;
    eprintln!("guests: wrote {}", lock::path(root).display());
    Ok(())
}

/// Where `--check` leaves what it built; tests run on it with MILLPOND_COMPONENTS.
pub fn rebuilt(root: &Path) -> PathBuf {
    root.join("target/guests/components")
}

/// Why a rebuilt component does not fit the lock, if so.
fn compare(locked: Option<&Locked>, built: &Locked) -> Option<String> {
    let name = &built.name;
    let Some(locked) = locked else {
        return Some(format!("{name}: not in plugins.lock"));
    };
    if locked.sources != built.sources {
        return Some(format!("{name}: its sources changed since the component was built"));
    }
    if (&locked.world, &locked.version) != (&built.world, &built.version) {
        return Some(format!("{name}: the lock has another world or version"));
    }
    if locked.toolchain != built.toolchain {
        eprintln!(
            "guests: {name}: bytes not compared, the committed component was built by {:?} and this is {:?}",
            locked.toolchain, built.toolchain
        );
        return None;
    }
    (locked.blake3 != built.blake3)
        .then(|| format!("{name}: rebuilt as {} but {} is committed", built.blake3, locked.blake3))
}

/// Compiles one guest and wraps its module as a component.
fn build(root: &Path, guest: &Guest, toolchain: &Toolchain) -> Result<Vec<u8>> {
    compile(root, &guest.package, &root.join("target/guests"), &remaps(root, toolchain), toolchain)
}

/// Compiles a package of the workspace that `folder` lies in, with its profile `guest`, and wraps the module as a
/// component. `remaps` are flags for the compiler.
pub fn compile(
    folder: &Path,
    package: &str,
    target: &Path,
    remaps: &[String],
    toolchain: &Toolchain,
) -> Result<Vec<u8>> {
    let mut cargo = toolchain.cargo();
    // The crate type is given here because cargo leaves out link-time optimisation for a crate that is an rlib too.
    cargo
        .current_dir(folder)
        .args(["rustc", "--quiet", "--lib", "--crate-type", "cdylib", "--profile", "guest", "--package"])
        .arg(package)
        .args(["--target", "wasm32-unknown-unknown", "--target-dir"])
        .arg(target)
        .args(toolchain.arguments())
        .env("CARGO_ENCODED_RUSTFLAGS", remaps.join("\x1f"));
    let done = cargo.output().context("cannot run cargo")?;
    if !done.status.success() {
        bail!("{package} does not build:\n{}", String::from_utf8_lossy(&done.stderr).trim());
    }
    let file = format!("{}.wasm", package.replace('-', "_"));
    let module = target.join("wasm32-unknown-unknown/guest").join(file);
    let module = fs::read(&module).with_context(|| format!("cargo left no {}", module.display()))?;
    componentise(&module).with_context(|| {
        format!("{package}: the module is no component; does its lib.rs call an export macro of the SDK?")
    })
}

/// Wraps a core module that carries its WIT world in custom sections.
pub fn componentise(module: &[u8]) -> Result<Vec<u8>> {
    ComponentEncoder::default().validate(true).module(module)?.encode()
}

/// Panic texts carry file names: without the machine's own folders, two machines get equal bytes.
pub fn remaps(root: &Path, toolchain: &Toolchain) -> Vec<String> {
    let mut remaps = vec![remap(root, "/millpond")];
    let home = env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| env::var_os("HOME").map(|home| PathBuf::from(home).join(".cargo")));
    remaps.extend(home.map(|home| remap(&home, "/cargo")));
    // Last, since it may lie below the others and the last match counts.
    remaps.push(remap(&toolchain.sysroot, "/rust"));
    remaps
}

fn remap(from: &Path, to: &str) -> String {
    format!("--remap-path-prefix={}={to}", from.display())
}

/// Drops entries and files of guests that no longer exist.
fn forget_others(root: &Path, lock: &mut Lock, guests: &[Guest]) -> Result<()> {
    lock.plugins.retain(|plugin| guests.iter().any(|guest| guest.bundled && guest.name == plugin.name));
    for entry in fs::read_dir(lock::components(root))? {
        let file = entry?.path();
        let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if file.extension().is_some_and(|extension| extension == "wasm") && lock.get(&name).is_none() {
            fs::remove_file(&file).with_context(|| format!("cannot remove {}", file.display()))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn locked(sources: &str, toolchain: &str, blake3: &str) -> Locked {
        Locked {
            name: "x".into(),
            world: "w".into(),
            version: "1".into(),
            blake3: blake3.into(),
            sources: sources.into(),
            toolchain: toolchain.into(),
        }
    }

    #[test]
    fn bytes_are_compared_only_between_equal_toolchains() {
        let committed = locked("s", "t", "b");
        assert_eq!(compare(Some(&committed), &locked("s", "t", "b")), None);
        assert_eq!(compare(Some(&committed), &locked("s", "other", "c")), None);
        assert!(compare(Some(&committed), &locked("s", "t", "c")).unwrap().contains("rebuilt as c"));
        assert!(
            compare(Some(&committed), &locked("changed", "other", "b")).unwrap().contains("sources changed")
        );
        assert!(compare(None, &committed).unwrap().contains("not in plugins.lock"));
    }

    #[test]
    fn text_that_is_no_module_is_refused() {
        assert!(componentise(b"no wasm").is_err());
    }
}
