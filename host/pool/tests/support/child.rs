//! A pool in a process of its own that is killed with SIGKILL.

use super::{process, start};
use millpond_pool::Edges;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

const FOLDER: &str = "MILLPOND_KILL_FOLDER";
const EDGE: &str = "MILLPOND_KILL_EDGE";
const PASSING: &str = "MILLPOND_KILL_PASSING";

/// Whether this process is the pool and not the test.
pub fn is_child() -> bool {
    std::env::var_os(FOLDER).is_some()
}

/// One write: the parent reads whole lines, and the harness prints around them.
fn say(line: &str) {
    let _ = std::io::stdout().write_all(format!("\n{line}\n").as_bytes());
}

/// The body of the test that is the pool.
pub async fn run() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let folder = Path::new(&folder);
    let text = std::fs::read_to_string(folder.join("pool.toml")).unwrap();
    let mut process = process(folder);
    if let Ok(edge) = std::env::var(EDGE) {
        let passing = std::env::var(PASSING).unwrap().parse().unwrap();
        process.edges = Edges::stop_at(edge.parse().unwrap(), passing, |edge| {
            say(&format!("EDGE {edge}"));
            loop {
                std::thread::park();
            }
        });
    }
    let pool = start(&process, &text).await;
    say(&format!("LISTENS {}", pool.addresses()[0]));
    // Until it is killed, or its parent is gone.
    let parent = tokio::task::spawn_blocking(|| std::io::stdin().read_line(&mut String::new()));
    let _ = parent.await;
    std::process::exit(0);
}

/// A running pool process. Killed when this is dropped.
pub struct Killable {
    child: Child,
    pub address: SocketAddr,
    at_edge: Arc<AtomicBool>,
}

impl Killable {
    /// Starts one; with an edge and a number, it stops for good at that passing of the edge.
    pub async fn start(folder: &Path, config: &str, edge: Option<(String, u64)>) -> Self {
        std::fs::write(folder.join("pool.toml"), config).unwrap();
        let folder = folder.to_owned();
        tokio::task::spawn_blocking(move || Self::spawn(&folder, edge)).await.unwrap()
    }

    fn spawn(folder: &Path, edge: Option<(String, u64)>) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "child", "--nocapture", "--test-threads", "1"]).env(FOLDER, folder);
        if let Some((edge, passing)) = edge {
            command.env(EDGE, edge).env(PASSING, passing.to_string());
        }
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let mut at_edge = false;
        // An edge may be passed before it listens.
        let address = lines.find_map(|line| {
            at_edge |= line.starts_with("EDGE ");
            line.strip_prefix("LISTENS ").map(|at| at.parse().unwrap())
        });
        let address = address.unwrap_or_else(|| panic!("the pool did not start: {:?}", child.wait()));
        let at_edge = Arc::new(AtomicBool::new(at_edge));
        let seen = Arc::clone(&at_edge);
        std::thread::spawn(move || {
            if lines.any(|line| line.starts_with("EDGE ")) {
                seen.store(true, Ordering::Release);
            }
        });
        Self { child, address, at_edge }
    }

    /// Whether it stands at its edge.
    pub fn at_edge(&self) -> bool {
        self.at_edge.load(Ordering::Acquire)
    }

    /// SIGKILL: nothing of the process runs on.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Killable {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
