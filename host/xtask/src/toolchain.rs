//! Finding a compiler for wasm32-unknown-unknown: the installed target, `rustup target add`, or Debian's packages of
//! a Rust toolchain unpacked into the target folder.

use anyhow::{Context, Result, bail};
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const TARGET: &str = "wasm32-unknown-unknown";

/// A compiler for guests: what to set for cargo, and its name in the lock.
#[derive(Debug, Clone)]
pub struct Toolchain {
    /// The lock's id: compiler version and commit, and where its standard library comes from.
    pub id: String,
    /// The folder whose name panic texts would carry.
    pub sysroot: PathBuf,
    environment: Vec<(String, String)>,
    arguments: Vec<&'static str>,
}

impl Toolchain {
    /// Tries the three ways in order, saying on standard error which one is used.
    pub fn find(root: &Path, only: Option<Way>) -> Result<Self> {
        let wanted = |way| only.is_none_or(|only| only == way);
        if wanted(Way::Installed) && has_target()? {
            eprintln!("guests: using the installed target {TARGET}");
            return Self::installed();
        }
        if wanted(Way::Rustup) && rustup_add() {
            eprintln!("guests: using the target {TARGET} that rustup has just added");
            return Self::installed();
        }
        if wanted(Way::Debian) {
            eprintln!("guests: no {TARGET} from rustup here, using Debian's toolchain packages");
            return debian(root).with_context(|| {
                format!(
                    "no way to compile for {TARGET}: it is not installed, rustup could not add it, and Debian's \
                     packages did not work either. Run `rustup target add {TARGET}` on a machine with network, or \
                     see docs for the packages"
                )
            });
        }
        bail!("the toolchain asked for by --toolchain is not available here")
    }

    fn installed() -> Result<Self> {
        let version = output(Command::new(rustc()).arg("-V"))?;
        let sysroot = PathBuf::from(output(Command::new(rustc()).args(["--print", "sysroot"]))?);
        Ok(Self {
            id: format!("{version}, its own std"),
            sysroot,
            environment: Vec::new(),
            arguments: Vec::new(),
        })
    }

    /// A cargo command set up for this compiler, without flags that the caller's environment would add.
    pub fn cargo(&self) -> Command {
        let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        for variable in [
            "RUSTFLAGS",
            "CARGO_ENCODED_RUSTFLAGS",
            "CARGO_BUILD_RUSTFLAGS",
            "CARGO_BUILD_TARGET",
            "RUSTC_WRAPPER",
        ] {
            command.env_remove(variable);
        }
        command.envs(self.environment.iter().map(|(key, value)| (key, value)));
        command
    }

    /// Arguments that the build needs besides the usual ones.
    pub fn arguments(&self) -> &[&'static str] {
        &self.arguments
    }
}

/// The ways to a compiler, in the order they are tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Way {
    /// The target is installed.
    Installed,
    /// rustup can add it.
    Rustup,
    /// Debian's packages.
    Debian,
}

fn rustc() -> std::ffi::OsString {
    env::var_os("RUSTC").unwrap_or_else(|| "rustc".into())
}

fn has_target() -> Result<bool> {
    let folder = output(Command::new(rustc()).args(["--print", "target-libdir", "--target", TARGET]))?;
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    Ok(entries.into_iter().any(|entry| entry.file_name().to_string_lossy().starts_with("libstd-")))
}

fn rustup_add() -> bool {
    // A machine without network answers quickly or not at all; rustup's own retries take long enough.
    let added = Command::new("rustup").args(["target", "add", TARGET]).output();
    added.is_ok_and(|added| added.status.success()) && has_target().unwrap_or(false)
}

/// Debian builds a Rust toolchain for the web browsers it ships; bookworm's security archive keeps it recent. Its
/// compiler comes with the sources of std and vendored dependencies, so that std is built for wasm here. The packages
/// are downloaded and unpacked, not installed: neither root nor the system's own compiler is touched.
fn debian(root: &Path) -> Result<Toolchain> {
    let folder = root.join("target/guest-toolchain");
    let unpacked = folder.join("unpacked");
    let done = folder.join("complete");
    if !done.exists() {
        fetch(&folder, &unpacked)?;
        fs::write(&done, b"").with_context(|| format!("cannot write {}", done.display()))?;
    }
    let libraries = unpacked.join("usr/lib/x86_64-linux-gnu");
    let compiler = unpacked.join("usr/bin/rustc");
    let library_path = match env::var("LD_LIBRARY_PATH") {
        Ok(others) if !others.is_empty() => format!("{}:{others}", libraries.display()),
        _ => libraries.display().to_string(),
    };
    let version = output(Command::new(&compiler).arg("-V").env("LD_LIBRARY_PATH", &library_path))
        .context("the unpacked compiler does not run; remove target/guest-toolchain to fetch it again")?;
    Ok(Toolchain {
        id: format!("{version}, std built from its sources"),
        sysroot: unpacked.join("usr"),
        environment: vec![
            ("RUSTC".to_owned(), compiler.display().to_string()),
            ("RUSTC_BOOTSTRAP".to_owned(), "1".to_owned()),
            ("LD_LIBRARY_PATH".to_owned(), library_path),
            (
                "CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER".to_owned(),
                linker(&unpacked)?.display().to_string(),
            ),
        ],
        arguments: vec!["-Zbuild-std=std,panic_abort"],
    })
}

/// rust-lld of the installed toolchain. Debian's own one is a link to a linker package that may be absent.
fn linker(unpacked: &Path) -> Result<PathBuf> {
    let sysroot = PathBuf::from(output(Command::new("rustc").args(["--print", "sysroot"]))?);
    let host = output(Command::new("rustc").arg("-vV"))?;
    let host =
        host.lines().find_map(|line| line.strip_prefix("host: ")).unwrap_or("x86_64-unknown-linux-gnu");
    let candidates =
        [sysroot.join("lib/rustlib").join(host).join("bin/rust-lld"), unpacked.join("usr/bin/rust-lld")];
    let [first, second] = &candidates;
    candidates
        .iter()
        .find(|path| path.exists())
        .cloned()
        .with_context(|| format!("no rust-lld at {} or {}", first.display(), second.display()))
}

fn fetch(folder: &Path, unpacked: &Path) -> Result<()> {
    // A half-fetched folder is worth nothing.
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    let packages = folder.join("packages");
    fs::create_dir_all(&packages).with_context(|| format!("cannot create {}", packages.display()))?;
    let mut names = package_names().or_else(|_| {
        eprintln!("guests: refreshing the package lists (apt-get update)");
        run(Command::new("apt-get").args(["update", "-qq"]))?;
        package_names()
    })?;
    eprintln!("guests: downloading {} packages, about 140 MB: {}", names.len(), names.join(" "));
    let download = |names: &[String]| {
        run(Command::new("apt-get").current_dir(&packages).args(["download", "-qq"]).args(names))
    };
    if download(&names).is_err() {
        // The lists are older than the archive.
        eprintln!("guests: refreshing the package lists (apt-get update)");
        run(Command::new("apt-get").args(["update", "-qq"]))?;
        names = package_names()?;
        download(&names)?;
    }
    for entry in fs::read_dir(&packages)? {
        run(Command::new("dpkg").arg("-x").arg(entry?.path()).arg(unpacked))?;
    }
    fs::remove_dir_all(&packages)?;
    Ok(())
}

/// The packages, with the versioned ones read from what `rustc-web` itself depends on.
fn package_names() -> Result<Vec<String>> {
    let mut names = vec!["rustc-web".to_owned(), "rust-web-src".to_owned(), "rust-web-llvm".to_owned()];
    let mut versioned = |package: &str, prefix: &str| -> Result<()> {
        let found = dependency(package, prefix)?;
        names.push(found);
        Ok(())
    };
    versioned("rustc-web", "libstd-rust-web-dev")?;
    versioned("libstd-rust-web-dev", "libstd-rust-web-")?;
    // The compiler's shared library links LLVM's.
    let std = names.last().cloned().unwrap_or_default();
    names.push(dependency(&std, "libllvm")?);
    Ok(names)
}

fn dependency(package: &str, prefix: &str) -> Result<String> {
    // `show` prints the newest version first.
    let shown = output(Command::new("apt-cache").args(["show", "--no-all-versions", package]))?;
    let depends =
        shown.lines().filter(|line| line.starts_with("Depends:") || line.starts_with("Pre-Depends:"));
    depends
        .flat_map(|line| line.split([',', '|', ' ']))
        .find(|word| word.starts_with(prefix) && *word != package)
        .map(str::to_owned)
        .with_context(|| format!("package {package} depends on no {prefix}…"))
}

fn run(command: &mut Command) -> Result<()> {
    output(command).map(drop)
}

/// Standard output of a command, trimmed; an error carries what it printed to standard error.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let done = command.output().with_context(|| format!("cannot run {name}; is it installed?"))?;
    if !done.status.success() {
        bail!("{name} failed ({}): {}", done.status, String::from_utf8_lossy(&done.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&done.stdout).trim().to_owned())
}
