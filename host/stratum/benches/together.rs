//! What hashing the shares of one turn together saves the server: `cargo bench --workspace --locked --profile release
//! --bench together`.
//!
//! A miner sends shares below his target, one or sixteen at a time, to a server whose one thread's processor time is
//! counted. The same algorithm is measured with and without being collected, in turns, and the best of each counts.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "../tests/common/mod.rs"]
mod common;

use common::config;
use common::family::{Family, start_by};
use millpond_algorithms::{Algorithm, AlgorithmError, Algorithms, Context, Key};
use millpond_types::Target;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

const DIALECT: &str = include_str!("../../../examples/families/ckb/a.dialect");
/// Shares of a turn, and turns.
const SHARES: usize = 16 * 400;
const TURNS: usize = 7;

/// Each algorithm with a recipe of its own: 80 bytes, or as CKB has it.
const CASES: [(&str, &str); 3] = [
    ("eaglesong", "const head:32\nshare xn:16\nhash h = own\njudge be h (cat head xn)"),
    ("kheavyhash", "const head:32\nshare xn:16\njudge be own head (cat head (zeros 32) xn)"),
    ("sha256d", "const head:32\nshare xn:16\nhash h = own\njudge be h (cat head (zeros 32) xn)"),
];

/// A native algorithm under a name of ours, that may be collected or not.
#[derive(Clone)]
struct Own(Arc<dyn Algorithm>, bool);

struct OwnContext(Arc<dyn Context>, bool);

impl Algorithm for Own {
    fn name(&self) -> &str {
        "own"
    }
    fn key(&self) -> Key {
        self.0.key()
    }
    fn prepare(&self, key: &[u8]) -> Result<Arc<dyn Context>, AlgorithmError> {
        Ok(Arc::new(OwnContext(self.0.prepare(key)?, self.1)))
    }
}

impl Context for OwnContext {
    fn gains_together(&self) -> bool {
        self.1 && self.0.gains_together()
    }
    fn hash(&self, input: &[u8], out: &mut [u8]) -> Result<(), AlgorithmError> {
        self.0.hash(input, out)
    }
    fn ahead(&self, beginning: &[u8]) -> Option<(usize, Arc<dyn Context>)> {
        let (bytes, rest) = self.0.ahead(beginning)?;
        Some((bytes, Arc::new(Self(rest, self.1))))
    }
    fn hash_batch(&self, width: usize, inputs: &[u8], out: &mut [u8]) -> Result<(), AlgorithmError> {
        self.0.hash_batch(width, inputs, out)
    }
}

async fn family(algorithm: &str, recipe: &str, collected: bool) -> Family {
    let own = Own(Algorithms::native().get(algorithm).unwrap(), collected);
    let mut algorithms = Algorithms::native();
    algorithms.add(Arc::new(own));
    let recipe = format!(
        "recipe 1 \"own\"\n{recipe}\nid sha256 (cat head xn)\npow_hash = sha256 head\nparent = slice head 0..32\nout xn\n"
    );
    let mut config = config();
    config.extranonce.prefix = Some(4);
    config.vardiff.start = 1e6;
    config.bans.window = 0;
    config.bans.only_invalid_drop = millpond_stratum::Span::secs(86_400);
    (config.limits.lines_per_second, config.limits.bytes_per_second) = (1e9, 1e12);
    let first = [0_u8; 4];
    let family = start_by(&recipe, &algorithms, &[DIALECT], (16, Some(&first)), Target::MAX, config);
    let family = family.await.unwrap();
    family.publish(5, &[vec![5; 32]]);
    family
}

/// A miner with a job.
struct Miner {
    stream: TcpStream,
    lines: BufReader<TcpStream>,
    job: String,
}

impl Miner {
    fn new(address: SocketAddr) -> Self {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        let mut lines = BufReader::new(stream.try_clone().unwrap());
        stream.write_all(b"{\"id\":1,\"method\":\"mining.subscribe\",\"params\":[\"bench\"]}\n{\"id\":2,\"method\":\"mining.authorize\",\"params\":[\"ckb\",\"x\"]}\n").unwrap();
        loop {
            let mut line = String::new();
            lines.read_line(&mut line).unwrap();
            let message: serde_json::Value = serde_json::from_str(&line).unwrap();
            if message["method"] == "mining.notify" {
                let job = message["params"][0].as_str().unwrap().to_owned();
                return Self { stream, lines, job };
            }
        }
    }

    fn mine(&mut self, at_once: usize, line: &mut String) {
        for first in (0..SHARES).step_by(at_once) {
            let mut text = String::new();
            for number in first..first + at_once {
                text.push_str(&format!(
                    "{{\"id\":7,\"method\":\"mining.submit\",\"params\":[\"ckb.rig\",\"{}\",\"{number:024x}\"]}}\n",
                    self.job
                ));
            }
            self.stream.write_all(text.as_bytes()).unwrap();
            for _ in 0..at_once {
                line.clear();
                self.lines.read_line(line).unwrap();
                assert!(line.contains("23"), "{line}");
            }
        }
    }
}

/// Nanoseconds of processor time of the server's thread.
fn spent(thread: i32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/self/task/{thread}/schedstat")).unwrap();
    stat.split_whitespace().next().unwrap().parse().unwrap()
}

/// The thread of this process with that name.
fn thread(name: &str) -> i32 {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap().map(Result::unwrap);
    let of_name =
        |id: &String| std::fs::read_to_string(format!("/proc/self/task/{id}/comm")).unwrap().trim() == name;
    tasks.map(|task| task.file_name().into_string().unwrap()).find(of_name).unwrap().parse().unwrap()
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("the-server")
        .enable_all()
        .build()
        .unwrap();
    println!("us of the server a share below its target\n");
    println!("{:<12} {:>9} {:>12} {:>12} {:>7}", "", "a write", "one by one", "together", "ratio");
    for (algorithm, recipe) in CASES {
        let both = [false, true].map(|collected| {
            let family = runtime
                .block_on(async { runtime.spawn(family(algorithm, recipe, collected)).await.unwrap() });
            let miner = Miner::new(family.server.addresses()[0]);
            (family, miner)
        });
        let (mut both, thread, mut line) = (both, thread("the-server"), String::new());
        for at_once in [1, 16] {
            let mut best = [f64::MAX; 2];
            for _ in 0..TURNS {
                for ((_, miner), best) in both.iter_mut().zip(&mut best) {
                    let before = spent(thread);
                    miner.mine(at_once, &mut line);
                    *best = best.min((spent(thread) - before) / SHARES as f64 / 1e3);
                }
            }
            let [one, many] = best;
            println!("{algorithm:<12} {at_once:>9} {one:>12.2} {many:>12.2} {:>7.2}", many / one);
        }
    }
}
