//! `millpond load` against `millpond run`, with the mock node: what the generator counts is what the pool counts.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use millpond_load::node::{MockNode, Shape};
use serde_json::{Value, json};
use std::path::Path;
use support::{Running, json, millpond};

/// A pool over a mock node.
struct Rig {
    _folder: tempfile::TempDir,
    node: MockNode,
    running: Running,
    data: String,
    /// Ports: every hash counts; one in four does; none does.
    accept: String,
    grind: String,
    reject: String,
}

/// `limits` are lines of its `[pool.stratum]`.
fn configuration(data: &Path, node: &MockNode, limits: &str) -> String {
    let port = |difficulty: &str| {
        format!("[[pool.port]]\nlisten = \"127.0.0.1:0\"\ndifficulty = {difficulty}\nfixed = true\n")
    };
    format!(
        "[host]\ndata = \"{}\"\n[[pool]]\nname = \"load\"\n[pool.chain]\n\
         payout_address = \"bcrt1qft5p2uhsdcdc3l2ua4ap5qqfg4pjaqlp250x7us7a8qqhrxrxfsqseac85\"\n\
         settings = {{ network = \"regtest\" }}\n[[pool.node]]\nurl = \"{}\"\nuser = \"x\"\npassword = \"x\"\n\
         {}{}{}[pool.stratum]\nminimum_difficulty = 1e-10\nlines_per_second = 1000000\n{limits}\
         [pool.wallet]\n[pool.settlement]\nschedule = \"manual\"\n",
        data.display(),
        node.url(),
        port("1e-10"),
        port("1e-9"),
        port("1024"),
    )
}

const LENIENT: &str = "ban_window = 0\nhandshake = \"10m\"";

impl Rig {
    /// Nobody is banned, and nobody is late.
    fn start() -> Self {
        Self::start_with(&format!("{LENIENT}\n"))
    }

    fn start_with(limits: &str) -> Self {
        let shape = Shape { transactions: 200, bytes: 60_000, ..Shape::default() };
        let node = MockNode::start("127.0.0.1:0".parse().unwrap(), shape).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let (data, file) = (folder.path().join("data"), folder.path().join("pool.toml"));
        std::fs::write(&file, configuration(&data, &node, limits)).unwrap();
        let running = Running::start(&file);
        let mut ports = (0..3).map(|_| {
            let line = running.says("takes miners at ");
            line.rsplit(' ').next().unwrap().to_owned()
        });
        let [accept, grind, reject] = std::array::from_fn(|_| ports.next().unwrap());
        drop(ports);
        Self {
            _folder: folder,
            node,
            running,
            data: data.to_str().unwrap().to_owned(),
            accept,
            grind,
            reject,
        }
    }

    /// What the pool counted.
    fn counted(&self, what: &str) -> u64 {
        let status = json(&["status", "--data", &self.data]);
        status["pools"][0]["stratum"][what].as_u64().unwrap_or_else(|| panic!("{what}: {status:#}"))
    }

    fn load(&self, arguments: &[&str]) -> Value {
        json(&[&["load"], arguments, &["--patience", "120", "--json"]].concat())
    }
}

#[test]
fn every_share_is_answered_and_what_counts_here_counts_at_the_pool() {
    let rig = Rig::start();
    let mut expected = 0;
    for (port, more) in [
        (&rig.accept, &["--pipeline", "1"][..]),
        (&rig.accept, &["--pipeline", "16"]),
        (&rig.accept, &["--threads", "2", "--rate", "400"]),
        (&rig.grind, &["--pipeline", "16"]),
        (&rig.grind, &["--from", "127.0.0.1"]),
    ] {
        let all = ["shares", port, "-c", "10", "--each", "40", "--seconds", "120"];
        let came = rig.load(&[&all, more].concat());
        let (connect, shares) = (&came["connect"], &came["shares"]);
        assert_eq!(
            (&connect["ready"], &connect["with_job"], &connect["failed"]),
            (&json!(10), &json!(10), &json!({}))
        );
        for (what, count) in [("sent", 400), ("accepted", 400), ("unanswered", 0), ("closed", 0)] {
            assert_eq!(shares[what], json!(count), "{more:?} {what}: {came:#}");
        }
        assert_eq!(shares["latency"]["count"], json!(400), "{came:#}");
        assert_eq!(shares["rejected"], json!({}), "{came:#}");
        expected += 400;
        assert_eq!(rig.counted("accepted"), expected);
    }
    assert_eq!(rig.counted("duplicate") + rig.counted("low_difficulty"), 0);
}

#[test]
fn on_the_reject_path_every_share_misses_its_target_and_nothing_else_is_wrong() {
    let rig = Rig::start();
    let mut expected = 0;
    for more in [&["--pipeline", "16"][..], &["--rate", "500"]] {
        let all = ["shares", &rig.reject, "--reject", "-c", "5", "--each", "100", "--seconds", "120"];
        let came = rig.load(&[&all, more].concat());
        let rejected = came["shares"]["rejected"].as_object().unwrap();
        assert_eq!(rejected.len(), 1, "{came:#}");
        let (why, count) = rejected.iter().next().unwrap();
        assert!(why.starts_with("23 ") && *count == json!(500), "{came:#}");
        assert_eq!((&came["shares"]["accepted"], &came["shares"]["unanswered"]), (&json!(0), &json!(0)));
        expected += 500;
        assert_eq!(rig.counted("low_difficulty"), expected);
    }
    assert_eq!(rig.counted("accepted") + rig.counted("duplicate"), 0);
    // Where every hash counts none can miss, and that is said.
    let done = millpond(&[
        "load",
        "shares",
        &rig.accept,
        "--reject",
        "-c",
        "2",
        "--seconds",
        "0.1",
        "--warm",
        "0.1",
    ]);
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(!done.status.success() && said.contains("none of the kind is found"), "{said}");
}

#[test]
fn each_miner_is_told_of_each_new_block_once_its_template_is_handed_out() {
    let rig = Rig::start();
    let url = rig.node.url();
    let came =
        rig.load(&["jobs", &rig.reject, "-c", "40", "--node", &url, "--blocks", "3", "--pause", "0.05"]);
    let blocks = came["jobs"]["blocks"].as_array().unwrap();
    assert_eq!(blocks.len(), 3);
    for block in blocks {
        assert_eq!(block["told"], json!(40), "{came:#}");
        let at = |what: &str| block[what].as_f64().unwrap();
        assert!(at("first") <= at("median") && at("median") <= at("last"), "{came:#}");
    }
    assert_eq!(rig.node.tip().1, Shape::default().height + 3);
}

#[test]
fn all_connect_drop_and_come_back_and_the_servers_process_is_measured() {
    let rig = Rig::start();
    let pid = rig.running.id().to_string();
    let all = ["connect", &rig.reject, "-c", "60", "--again", "2", "--hold", "0", "--server-pid", &pid];
    let came = rig.load(&all);
    for storm in ["connect", "again_1", "again_2"] {
        let storm = &came[storm];
        assert_eq!((&storm["ready"], &storm["failed"]), (&json!(60), &json!({})), "{came:#}");
        assert_eq!(storm["latency"]["count"], json!(60), "{came:#}");
        assert!(storm["usage"]["server_cpu_seconds"].is_number(), "{came:#}");
        assert!(storm["memory"]["after"]["private"].as_u64() > Some(1 << 20), "{came:#}");
    }
}

#[test]
fn what_cannot_be_is_said() {
    let said = |arguments: &[&str]| {
        let done = millpond(&[&["load"], arguments].concat());
        assert!(!done.status.success(), "{arguments:?}");
        String::from_utf8_lossy(&done.stderr).into_owned()
    };
    assert!(said(&["connect", "nowhere"]).contains("give host:port"));
    let too_many = said(&["connect", "127.0.0.1:1", "-c", "4000000000"]);
    assert!(too_many.contains("are possible"), "{too_many}");
    // Nobody listens at a port that was just given back.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let alone = millpond(&["load", "connect", &free, "-c", "3", "--hold", "0", "--json"]);
    let alone: Value = serde_json::from_slice(&alone.stdout).unwrap();
    assert_eq!(
        (&alone["connect"]["ready"], alone["connect"]["failed"].as_object().unwrap().len()),
        (&json!(0), 1)
    );
    assert!(
        said(&["shares", &free, "-c", "3", "--seconds", "0", "--warm", "0"])
            .contains("no connection has a job")
    );
}

#[test]
fn clients_that_misbehave_in_every_way_cost_honest_miners_nothing() {
    // With bans, and a handshake that is long for ten honest miners and shorter than the test.
    let rig = Rig::start_with("handshake = \"8s\"\n");
    let noise = "slow-writer=2,slow-reader=2,garbage=2,giant-line=2,silent=2,duplicates=2,unknown-jobs=2";
    let came = rig.load(&[
        "shares",
        &rig.accept,
        "-c",
        "10",
        "--from",
        "127.0.0.1",
        "--rate",
        "20",
        "--each",
        "30",
        "--seconds",
        "120",
        "--noise",
        noise,
        "--noise-from",
        "127.0.0.2-127.0.0.15",
    ]);
    let shares = &came["shares"];
    for (what, count) in [("accepted", 300), ("unanswered", 0), ("closed", 0)] {
        assert_eq!(shares[what], json!(count), "{what}: {came:#}");
    }
    let kinds = came["noise"].as_object().unwrap();
    assert_eq!(kinds.len(), 7, "{came:#}");
    for (kind, met) in kinds {
        assert_eq!(met["clients"], json!(2), "{kind}");
        assert!(met["opened"].as_u64() > Some(0), "{kind}: {came:#}");
        // A slow reader has half a minute, and his server's buffers, before he is shut out.
        assert!(kind == "slow-reader" || met["closed"].as_u64() > Some(0), "{kind}: {came:#}");
    }
    // The pool took no share for another's: what it counted beside the honest ones is the first of each duplicate.
    assert!((300..=302).contains(&rig.counted("accepted")), "{came:#}");
    assert!(rig.counted("duplicate") > 0, "{came:#}");
}

/// Beside the build's files: a temporary folder may be in memory. So `target/` has to be on a real file system.
fn on_disk() -> tempfile::TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

#[test]
fn a_quick_bench_of_everything_fills_every_table_and_its_page() {
    let folder = on_disk();
    let (place, file) = (folder.path().to_str().unwrap(), folder.path().join("page.md"));
    let all =
        json(&["bench", "all", "--quick", "--json", "--folder", place, "--page", file.to_str().unwrap()]);
    let figures = &all["share"];
    assert_eq!((&figures["off"], &figures["server"]), (&json!([]), &json!("millpond run")));
    let ways = figures["paths"].as_array().unwrap();
    // Once more without SHA-NI where there is any.
    let kinds = 1 + usize::from(figures["machine"]["sha_ni"] == true);
    assert_eq!(ways.len(), 6 * kinds, "{figures:#}");
    for way in ways {
        let (shares, all) = (&way["shares"], &way["shares"]["sent"]);
        let counted = if shares["path"] == "accept" {
            shares["accepted"].clone()
        } else {
            let rejected = shares["rejected"].as_object().unwrap();
            assert!(rejected.keys().all(|why| why.starts_with("23 ")), "{way:#}");
            json!(rejected.values().map(|count| count.as_u64().unwrap()).sum::<u64>())
        };
        assert_eq!((&counted, &shares["unanswered"]), (all, &json!(0)), "{way:#}");
    }
    assert_eq!(ways.iter().filter(|way| way["sha_ni"] == false).count(), if kinds == 2 { 4 } else { 0 });
    let points = figures["curve"].as_array().unwrap();
    for point in points {
        assert_eq!(point["shares"]["accepted"], point["shares"]["sent"], "{point:#}");
        assert!(point["shares"]["behind_ms"].is_number(), "{point:#}");
    }
    let intervals: Vec<_> = points.iter().map(|point| &point["interval_ms"]).collect();
    assert_eq!(intervals, [&json!(0.0), &json!(1.0)]);
    let rooms = figures["memory"].as_array().unwrap();
    assert_eq!(rooms.iter().map(|room| &room["kind"]).collect::<Vec<_>>(), [&json!("plain"), &json!("tls")]);
    for room in rooms {
        assert_eq!((&room["login"]["ready"], &room["addresses"]), (&json!(50), &json!(20)), "{room:#}");
        assert!(room["login"]["memory"]["after"]["private"].as_u64() > Some(0), "{room:#}");
        assert_eq!(room["mined"]["shares"]["accepted"], room["mined"]["shares"]["sent"], "{room:#}");
    }
    let storms: Vec<_> = figures["logins"].as_array().unwrap().iter().map(|storm| &storm["ready"]).collect();
    assert_eq!(storms, [&json!(50); 3]);
    let blocks = figures["jobs"][0]["blocks"].as_array().unwrap();
    assert_eq!(blocks.iter().map(|block| &block["told"]).collect::<Vec<_>>(), [&json!(30); 2]);
    assert!(figures["machine"]["fdatasync_us"].as_f64() > Some(0.0), "{figures:#}");
    assert!(figures["machine"]["load_at_end"].is_number() && figures["program"]["commit"].is_string());
    let rows = all["hashes"]["rows"].as_array().unwrap();
    assert!(rows.iter().any(|row| row["algorithm"] == "sha256d") && rows.len() > 10, "{all:#}");
    let page = std::fs::read_to_string(&file).unwrap();
    for heading in [
        "A quick run",
        "Shares a CPU second",
        "by commit interval",
        "Memory of a",
        "Connect,",
        "A new block",
        "Hashes per second",
    ] {
        assert!(page.contains(heading), "{heading}: {page}");
    }
    // What it made is gone again, but for the page.
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_bench_whose_miners_were_not_all_served_fails_and_writes_no_page() {
    // Twenty of the fifty that come are let in.
    let rig = Rig::start_with(&format!("{LENIENT}\nconnections = 20\n"));
    let folder = on_disk();
    let (place, page) = (folder.path().to_str().unwrap(), folder.path().join("page.md"));
    let bench = ["bench", "share", "--quick", "--only", "logins", "--json", "--folder", place];
    let other = ["--address", &rig.reject, "--page", page.to_str().unwrap()];
    let done = millpond(&[&bench[..], &other].concat());
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(!done.status.success() && said.contains("20 of 50 logged in"), "{said}");
    let figures: Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!(figures["off"].as_array().unwrap().len(), 3, "{figures:#}");
    assert!(!page.exists());
}

#[test]
fn another_server_is_measured_as_far_as_any_can_be() {
    let rig = Rig::start();
    let folder = on_disk();
    let (place, pid, url) = (folder.path().to_str().unwrap(), rig.running.id().to_string(), rig.node.url());
    let other = ["--address", &rig.reject, "--server-pid", &pid, "--node", &url];
    let figures = json(&[&["bench", "share", "--quick", "--json", "--folder", place], &other[..]].concat());
    assert_eq!(figures["server"], json!(rig.reject));
    let ways: Vec<_> = figures["paths"].as_array().unwrap().iter().map(|way| &way["server"]).collect();
    assert_eq!(ways, [&json!("echo"), &json!("other"), &json!("echo"), &json!("other")]);
    assert!(rig.counted("low_difficulty") > 0, "{figures:#}");
    let storms: Vec<_> = figures["logins"].as_array().unwrap().iter().map(|storm| &storm["ready"]).collect();
    assert_eq!(storms, [&json!(50); 3]);
    assert_eq!(figures["memory"][0]["login"]["ready"], json!(50));
    assert_eq!(figures["memory"][0]["mined"], Value::Null);
    assert_eq!(figures["jobs"][0]["blocks"][1]["told"], json!(30), "{figures:#}");
    assert_eq!(figures["curve"], json!([]));
}
