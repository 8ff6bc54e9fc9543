//! The servers that are measured, as child processes: they end when this is dropped.

use crate::fleet::LoadError;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;
use std::time::Duration;
use tempfile::TempDir;

/// A pool compiles its plugins at its first start.
const START: Duration = Duration::from_secs(120);
/// An address of regtest whose key is nobody's.
const PAYOUT: &str = "bcrt1qft5p2uhsdcdc3l2ua4ap5qqfg4pjaqlp250x7us7a8qqhrxrxfsqseac85";

/// What is asked of a pool beside the usual.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Settings {
    /// Microseconds that a share may wait for company; the default where none is given.
    pub(super) interval: Option<u64>,
    /// Whether its ports speak TLS.
    pub(super) tls: bool,
    /// Whether it is to hash without the processor's SHA-NI.
    pub(super) without_sha_ni: bool,
}

/// A running server.
pub(super) struct Child {
    child: std::process::Child,
    /// The address of the port where every hash counts, and of the one where none does.
    pub(super) accept: String,
    pub(super) reject: String,
    _folder: Option<TempDir>,
}

impl Child {
    /// `millpond run` over a node.
    pub(super) fn pool(
        program: &Path,
        folder: &Path,
        node: &str,
        settings: &Settings,
    ) -> Result<Self, LoadError> {
        let folder = tempfile::Builder::new().prefix("millpond-bench-").tempdir_in(folder)?;
        let file = folder.path().join("pool.toml");
        std::fs::write(&file, configuration(folder.path(), node, settings)?)?;
        let mut command = Command::new(program);
        command.arg("run").arg(&file).stderr(Stdio::piped()).stdout(Stdio::null());
        if settings.without_sha_ni {
            command.env("MILLPOND_WITHOUT", "sha-ni");
        }
        let mut child = command.spawn()?;
        let said = child.stderr.take();
        let mut this = Self { child, accept: String::new(), reject: String::new(), _folder: Some(folder) };
        let mut addresses = addresses(said, "takes miners at ", 2)?.into_iter();
        (this.accept, this.reject) =
            (addresses.next().unwrap_or_default(), addresses.next().unwrap_or_default());
        Ok(this)
    }

    /// The bare echo loop.
    pub(super) fn echo(program: &Path) -> Result<Self, LoadError> {
        let mut command = Command::new(program);
        command.args(["load", "echo"]).stdout(Stdio::piped());
        let mut child = command.spawn()?;
        let said = child.stdout.take();
        let mut this = Self { child, accept: String::new(), reject: String::new(), _folder: None };
        this.accept = addresses(said, "echoes at ", 1)?.pop().unwrap_or_default();
        Ok(this)
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads what a child says until it has named its addresses, and goes on reading so that it never waits to say more.
fn addresses(
    said: Option<impl Read + Send + 'static>,
    before: &'static str,
    count: usize,
) -> Result<Vec<String>, LoadError> {
    let Some(said) = said else { return Err(LoadError::Ended) };
    let (sender, lines) = channel();
    std::thread::Builder::new().name("child-says".to_owned()).spawn(move || {
        for line in BufReader::new(said).lines().map_while(Result::ok) {
            // Nobody listens any more once it runs.
            let _ = sender.send(line);
        }
    })?;
    let (mut found, mut others) = (Vec::new(), String::new());
    while found.len() < count {
        match lines.recv_timeout(START) {
            Ok(line) => match line.split_once(before) {
                Some((_, address)) => found.push(address.trim().to_owned()),
                None => {
                    let _ = writeln!(others, "{line}");
                }
            },
            Err(_) => return Err(LoadError::Child(others)),
        }
    }
    Ok(found)
}

fn configuration(folder: &Path, node: &str, settings: &Settings) -> Result<String, LoadError> {
    let quoted = |path: &Path| serde_json::Value::from(path.display().to_string()).to_string();
    let tls = if settings.tls {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])
            .map_err(|error| LoadError::Child(error.to_string()))?;
        let (certificate, key) = (folder.join("certificate.pem"), folder.join("key.pem"));
        std::fs::write(&certificate, made.cert.pem())?;
        std::fs::write(&key, made.signing_key.serialize_pem())?;
        format!("[pool.port.tls]\ncertificate = {}\nkey = {}\n", quoted(&certificate), quoted(&key))
    } else {
        String::new()
    };
    let interval =
        settings.interval.map(|micros| format!("commit_interval = \"{micros}us\"\n")).unwrap_or_default();
    let port = |difficulty: &str| {
        format!("[[pool.port]]\nlisten = \"127.0.0.1:0\"\ndifficulty = {difficulty}\nfixed = true\n{tls}")
    };
    Ok(format!(
        "[host]\ndata = {}\n{interval}[[pool]]\nname = \"bench\"\n[pool.chain]\npayout_address = \"{PAYOUT}\"\n\
         settings = {{ network = \"regtest\" }}\n[[pool.node]]\nurl = \"{node}\"\nuser = \"x\"\npassword = \"x\"\n\
         {}{}[pool.stratum]\nminimum_difficulty = 1e-10\nconnections = 65000\nconnections_per_address = 65000\n\
         handshakes_per_address = 65000\nlines_per_second = 4000000\nhandshake = \"10m\"\nban_window = 0\n\
         [pool.wallet]\n[pool.settlement]\nschedule = \"manual\"\n",
        quoted(&folder.join("data")),
        port("1e-10"),
        port("1024"),
    ))
}
