//! Compilation in a child process with limits on time and memory: a component that takes the compiler hours or all
//! memory costs the host a child, not the pool.
//!
//! The host's own executable is the child: it starts with [`COMPILE_ARGUMENT`] and the class, reads the component
//! from its standard input and writes compiled code to its standard output.

use crate::engine::{Purpose, engine};
use crate::guest_log::clean;
use crate::limits::{self, Class};
use crate::unchecked::{self, Authentic};
use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

/// The hidden first argument of the compiling child.
pub const COMPILE_ARGUMENT: &str = "__compile";

/// Who compiles.
#[derive(Clone, Debug)]
pub enum Compiler {
    /// A child process of this executable, which must call [`compile_child_main`] when its first argument is
    /// [`COMPILE_ARGUMENT`].
    Child {
        /// The executable.
        executable: PathBuf,
        /// Address space of the child in bytes.
        memory: u64,
        /// CPU seconds of the child.
        cpu_seconds: u64,
        /// Wall-clock time, after which it is killed.
        wall: Duration,
    },
    /// This process, without limits: for components that the caller trusts not to be compile bombs.
    InProcess,
}

impl Compiler {
    /// A child of this very executable, with the limits of the table.
    ///
    /// # Errors
    /// When the system does not tell the executable's path.
    pub fn this_executable() -> std::io::Result<Self> {
        Ok(Self::executable(std::env::current_exe()?))
    }

    /// A child of this executable, with the limits of the table.
    #[must_use]
    pub fn executable(executable: PathBuf) -> Self {
        Self::Child {
            executable,
            memory: limits::COMPILE_MEMORY,
            cpu_seconds: limits::COMPILE_CPU_SECONDS,
            wall: limits::COMPILE_WALL,
        }
    }
}

/// A component that did not compile.
#[derive(Debug, thiserror::Error)]
pub enum CompileError {
    /// The compiler's own words.
    #[error("it does not compile: {0}")]
    Refused(String),
    /// The child met a limit.
    #[error(
        "compiling was stopped: {0}; a component of normal size compiles in seconds, so this looks like a compile bomb"
    )]
    Limit(String),
    /// The child could not be run.
    #[error("the compiling child process {path} failed: {message}")]
    Child {
        /// The executable.
        path: PathBuf,
        /// What went wrong.
        message: String,
    },
}

/// Compiles a component that has passed the static checks.
pub(crate) fn compile(compiler: &Compiler, class: Class, wasm: &[u8]) -> Result<Authentic, CompileError> {
    match compiler {
        Compiler::InProcess => precompile(class, wasm).map_err(CompileError::Refused),
        Compiler::Child { executable, memory, cpu_seconds, wall } => {
            let failed = |message: String| CompileError::Child { path: executable.clone(), message };
            let mut child = Command::new(executable)
                .args([COMPILE_ARGUMENT, class.name(), &memory.to_string(), &cpu_seconds.to_string()])
                .env_clear()
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .map_err(|error| failed(error.to_string()))?;
            let (Some(stdin), Some(stdout), Some(stderr)) =
                (child.stdin.take(), child.stdout.take(), child.stderr.take())
            else {
                return Err(failed("its pipes are missing".to_owned()));
            };
            let ended = std::thread::scope(|scope| {
                scope.spawn(move || {
                    let mut stdin = stdin;
                    // A child that ends early closes the pipe; its exit says why.
                    let _ = stdin.write_all(wasm);
                });
                let code = scope.spawn(move || read_bounded(stdout, limits::COMPILED));
                let words = scope.spawn(move || read_bounded(stderr, 16 * 1024));
                let status = wait(&mut child, *wall);
                let code = code.join().unwrap_or_default();
                let words = words.join().unwrap_or_default();
                status.map(|status| (status, code, words))
            });
            let (status, code, words) = ended.map_err(|error| failed(error.to_string()))?;
            let words = clean(String::from_utf8_lossy(&words).trim(), 2048);
            match status {
                None => Err(CompileError::Limit(format!("it took more than {} s", wall.as_secs()))),
                Some(status) if status.success() && !code.is_empty() => Ok(Authentic::vouched(code)),
                Some(status)
                    if status.signal() == Some(libc::SIGXCPU) || status.signal() == Some(libc::SIGKILL) =>
                {
                    Err(CompileError::Limit(format!("it used more than {cpu_seconds} s of CPU time")))
                }
                Some(status) if status.signal().is_some() => {
                    let mib = memory / limits::MIB;
                    Err(CompileError::Limit(format!(
                        "it ended with {status}; its memory is limited to {mib} MiB"
                    )))
                }
                Some(status) if status.code() == Some(REFUSED) => Err(CompileError::Refused(words)),
                Some(status) => Err(failed(format!("it ended with {status}: {words}"))),
            }
        }
    }
}

/// Exit code of a child that the compiler refused.
const REFUSED: i32 = 3;

fn precompile(class: Class, wasm: &[u8]) -> Result<Authentic, String> {
    let engine = engine(class, Purpose::Compile).map_err(|error| format!("{error:#}"))?;
    engine.precompile_component(wasm).map(Authentic::vouched).map_err(|error| format!("{error:#}"))
}

fn read_bounded(pipe: impl Read, limit: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    // What is beyond the limit is left unread: the child blocks and runs into its deadline.
    match pipe.take(limit).read_to_end(&mut bytes) {
        Ok(_) => bytes,
        Err(_) => Vec::new(),
    }
}

/// Waits for a child; kills it at the deadline and then gives `None`.
fn wait(child: &mut Child, wall: Duration) -> std::io::Result<Option<std::process::ExitStatus>> {
    let deadline = Instant::now() + wall;
    let mut pause = Duration::from_millis(1);
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() >= deadline {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(20));
    }
}

/// The compiling child: `arguments` are those after [`COMPILE_ARGUMENT`]. Reads a component from standard input and
/// writes compiled code to standard output; on failure its words go to standard error.
#[must_use]
pub fn compile_child_main(arguments: &[String]) -> ExitCode {
    let refuse = |code: u8, words: &str| {
        let _ = writeln!(std::io::stderr(), "{words}");
        ExitCode::from(code)
    };
    let parsed = match arguments {
        [class, memory, cpu] => Class::of_name(class).zip(memory.parse().ok().zip(cpu.parse().ok())),
        _ => None,
    };
    let Some((class, (memory, cpu_seconds))) = parsed else {
        return refuse(2, "usage: __compile adapter|strict MEMORY-BYTES CPU-SECONDS < component");
    };
    if let Err(error) = unchecked::limit_process(memory, cpu_seconds) {
        return refuse(2, &format!("its own limits could not be set: {error}"));
    }
    let mut wasm = Vec::new();
    if let Err(error) = std::io::stdin().lock().take(class.limits().component + 1).read_to_end(&mut wasm) {
        return refuse(2, &format!("the component could not be read: {error}"));
    }
    match precompile(class, &wasm) {
        Err(words) => refuse(3, &words),
        Ok(code) => match std::io::stdout().lock().write_all(code.bytes()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => refuse(2, &format!("the compiled code could not be written: {error}")),
        },
    }
}
