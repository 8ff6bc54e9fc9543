//! What the tests of the binary share: a development chain, a configuration, the binary run to its end or beside the
//! test, and what it says.
#![allow(dead_code, reason = "each test uses its part")]

use millpond_devchain::{DevChain, Options};
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// Nothing that a test waits for takes longer, or it fails.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// The binary, run to its end; one that does not end is killed, and the test fails with what it was asked.
pub fn millpond(arguments: &[&str]) -> Output {
    saying_to(Stdio::piped(), Stdio::piped(), arguments)
}

/// The same, while nobody reads what it says on standard output.
pub fn unread(arguments: &[&str]) -> Output {
    saying_to(nobody(), Stdio::piped(), arguments)
}

/// A pipe whose reader has gone.
pub fn nobody() -> Stdio {
    let (_, writer) = std::io::pipe().unwrap();
    writer.into()
}

/// The same, with other outputs.
pub fn saying_to(out: Stdio, err: Stdio, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_millpond"));
    let child = command.args(arguments).stdin(Stdio::null()).stdout(out).stderr(err);
    let child = child.spawn().unwrap();
    let pid = child.id().to_string();
    let (done, ended) = channel();
    std::thread::spawn(move || done.send(child.wait_with_output()));
    let Ok(output) = ended.recv_timeout(5 * PATIENCE) else {
        Command::new("kill").args(["-KILL", &pid]).status().unwrap();
        panic!("millpond {arguments:?} does not end");
    };
    output.unwrap()
}

/// A chain on a runtime of its own, beside the blocking test.
pub fn chain() -> (tokio::runtime::Runtime, DevChain) {
    chain_of(Options::default())
}

/// As [`chain`], with other options; a coinbase matures after three blocks.
pub fn chain_of(options: Options) -> (tokio::runtime::Runtime, DevChain) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let options = Options { prologue: 10, maturity: 3, ..options };
    let chain = runtime.block_on(DevChain::start(options)).unwrap();
    (runtime, chain)
}

/// A configuration of one pool without miners yet, in whose file a test changes what it is about.
pub fn pool(data: &Path, chain: &DevChain, password: &str) -> String {
    format!(
        "[host]\ndata = \"{}\"\n[[pool]]\nname = \"dev\"\n[pool.chain]\npayout_address = \"{}\"\nconfirmations = 3\n\
         settings = {{ network = \"regtest\", maturity = 3, orphan_after = 2 }}\n\
         [[pool.node]]\nurl = \"{}\"\nuser = \"{}\"\npassword = \"{password}\"\n\
         [[pool.port]]\nlisten = \"127.0.0.1:0\"\n[pool.wallet]\ndriver = \"core\"\n\
         [pool.stratum]\nconnections = 100\n[pool.settlement]\nschedule = \"manual\"\n",
        data.display(),
        chain.new_address(),
        chain.url(),
        chain.user(),
    )
}

/// Standard output of a command that ended with this code; standard error when it is not 0.
pub fn ended(code: i32, arguments: &[&str]) -> String {
    let done = millpond(arguments);
    let (out, err) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert_eq!(done.status.code(), Some(code), "{arguments:?}\n{out}\n{err}");
    if code == 0 { out.into_owned() } else { err.into_owned() }
}

/// The JSON that a command prints.
pub fn json(arguments: &[&str]) -> Value {
    let text = ended(0, arguments);
    serde_json::from_str(text.trim()).unwrap_or_else(|why| panic!("{arguments:?}: {why}\n{text}"))
}

/// Asks again until it holds.
pub fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline, "{what} did not come about");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A `millpond run` whose words on standard error can be waited for. It is killed when the test ends early.
pub struct Running {
    child: Child,
    lines: Receiver<String>,
}

impl Running {
    pub fn start(file: &Path) -> Self {
        Self::start_with(file, &[])
    }

    /// With more in its environment.
    pub fn start_with(file: &Path, environment: &[(&str, &str)]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_millpond"))
            .args(["run", file.to_str().unwrap()])
            .envs(environment.iter().copied())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let reader = BufReader::new(child.stderr.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in reader.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Self { child, lines }
    }

    /// Waits for a line that contains this.
    pub fn says(&self, what: &str) -> String {
        let mut heard = Vec::new();
        while let Ok(line) = self.lines.recv_timeout(PATIENCE) {
            if line.contains(what) {
                return line;
            }
            heard.push(line);
        }
        panic!("it does not say {what:?}:\n{}", heard.join("\n"));
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([name, &pid]).status().unwrap().success());
    }
}

impl Running {
    /// Waits until it has ended by itself; its exit code.
    pub fn ended(&mut self) -> Option<i32> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(Instant::now() < deadline, "it did not end");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
