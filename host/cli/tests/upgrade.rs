//! `millpond upgrade` under load: the real program, replaced by itself while miners mine.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use millpond_disk::{Disk, RealDisk};
use millpond_journal::{Journal, Options};
use millpond_load::node::{MockNode, Shape};
use millpond_process::Upgraded;
use millpond_process::upgrade::words;
use millpond_runtime::Compiler;
use serde_json::{Value, json};
use std::collections::HashSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use support::{PATIENCE, Running, json, millpond, until};

/// A process that was started by another one. It is ended with the test.
struct Orphan(String);

impl Orphan {
    fn signal(&self, name: &str) {
        let _ = Command::new("kill").args([name, &self.0]).stderr(Stdio::null()).status();
    }

    fn is_gone(&self) -> bool {
        // One that is dead and nobody has waited for is gone as well.
        let status = std::fs::read_to_string(format!("/proc/{}/stat", self.0)).unwrap_or_default();
        status.is_empty() || status.contains(") Z ")
    }
}

impl Drop for Orphan {
    fn drop(&mut self) {
        self.signal("-KILL");
    }
}

/// The way to a node, which is closed at first.
struct Valve {
    listener: TcpListener,
    node: String,
}

impl Valve {
    /// Lets everything through, also what waits already. Its threads end with their connections.
    fn open(self) {
        std::thread::spawn(move || {
            for caller in self.listener.incoming().map_while(Result::ok) {
                let Ok(node) = TcpStream::connect(&self.node) else { return };
                for (mut from, mut to) in
                    [(caller.try_clone().unwrap(), node.try_clone().unwrap()), (node, caller)]
                {
                    std::thread::spawn(move || {
                        let _ = std::io::copy(&mut from, &mut to);
                        let _ = to.shutdown(std::net::Shutdown::Write);
                    });
                }
            }
        });
    }
}

/// A pool over a mock node, with one port where every hash counts.
struct Rig {
    folder: tempfile::TempDir,
    node: MockNode,
    running: Running,
    file: PathBuf,
    data: String,
    port: String,
    page: String,
}

fn configuration(data: &Path, node: &str) -> String {
    format!(
        "[host]\ndata = \"{}\"\n[http]\nlisten = \"127.0.0.1:0\"\n[[pool]]\nname = \"load\"\n[pool.chain]\n\
         payout_address = \"bcrt1qft5p2uhsdcdc3l2ua4ap5qqfg4pjaqlp250x7us7a8qqhrxrxfsqseac85\"\n\
         settings = {{ network = \"regtest\" }}\n[[pool.node]]\nurl = \"{node}\"\nuser = \"x\"\npassword = \"x\"\n\
         [[pool.port]]\nlisten = \"127.0.0.1:0\"\ndifficulty = 1e-10\nfixed = true\n\
         [pool.stratum]\nminimum_difficulty = 1e-10\nban_window = 0\nlines_per_second = 1000000\n\
         handshake = \"10m\"\n[pool.wallet]\n[pool.settlement]\nschedule = \"manual\"\n",
        data.display(),
    )
}

impl Rig {
    fn start() -> Self {
        let shape = Shape { transactions: 200, bytes: 60_000, ..Shape::default() };
        let node = MockNode::start("127.0.0.1:0".parse().unwrap(), shape).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let (data, file) = (folder.path().join("data"), folder.path().join("pool.toml"));
        std::fs::write(&file, configuration(&data, &node.url())).unwrap();
        let running = Running::start(&file);
        let address = |what: &str| running.says(what).rsplit(' ').next().unwrap().to_owned();
        let (port, page) = (address("takes miners at "), address("the page is at "));
        let page = page.trim_start_matches("http://").trim_end_matches('/').to_owned();
        Self { node, running, file, data: data.to_str().unwrap().to_owned(), port, page, folder }
    }

    fn upgrade(&self, more: &[&str]) -> Result<(Orphan, Value), String> {
        let done = millpond(&[&["upgrade", "--data", &self.data, "--json"], more].concat());
        if !done.status.success() {
            return Err(String::from_utf8_lossy(&done.stderr).into_owned());
        }
        let said: Value = serde_json::from_slice(&done.stdout).unwrap();
        Ok((Orphan(said["process"].to_string()), said))
    }

    /// The order, given and not waited for.
    fn order(&self) -> Child {
        Command::new(env!("CARGO_BIN_EXE_millpond"))
            .args(["upgrade", "--data", &self.data, "--patience", "120"])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }

    /// The process that takes over, once it has all that the old one had and waits for work.
    fn successor(&self) -> Orphan {
        let found = until("it is there", || successor_of(self.file.to_str().unwrap()));
        // It answers at the admin socket from when it has taken over, which the old one has closed before.
        let old = self.running.id().to_string();
        until("it has taken over", || (self.accepted()? == 0 && found != old).then_some(()));
        Orphan(found)
    }

    /// A configuration whose node does not answer yet, and what has it answer.
    fn without_node(&self) -> Valve {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let silent = format!("http://{}", listener.local_addr().unwrap());
        let good = std::fs::read_to_string(&self.file).unwrap();
        std::fs::write(&self.file, good.replace(&self.node.url(), &silent)).unwrap();
        Valve { listener, node: self.node.url().trim_start_matches("http://").to_owned() }
    }

    /// Connections of the process that serves now.
    fn connections(&self) -> usize {
        json(&["miners", "--data", &self.data, "--pool", "load", "--json", "list"]).as_array().unwrap().len()
    }

    /// Miners who send 1,000 shares a second until so many are sent.
    fn load(&self, connections: &str, shares: u32) -> Child {
        let each = (shares / connections.parse::<u32>().unwrap()).to_string();
        Command::new(env!("CARGO_BIN_EXE_millpond"))
            .args(["load", "shares", &self.port, "-c", connections, "--each", &each, "--rate", "1000"])
            .args(["--seconds", "300", "--patience", "120", "--json"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    }

    fn accepted(&self) -> Option<u64> {
        let status = millpond(&["status", "--data", &self.data]);
        let status: Value = serde_json::from_slice(&status.stdout).ok()?;
        status["pools"][0]["stratum"]["accepted"].as_u64()
    }

    /// Shares in the journal, and how many of them are different ones.
    fn recorded(&self) -> (usize, usize) {
        let folder = Path::new(&self.data).join("load/journal");
        let disk: Arc<dyn Disk> = Arc::new(RealDisk);
        let (journal, _) = Journal::open(disk, &folder, Options::new(millpond_journal::FORMAT)).unwrap();
        let ids = journal.view().share_ids_since(0).unwrap();
        let different: HashSet<_> = ids.iter().map(|(_, id)| *id).collect();
        (ids.len(), different.len())
    }
}

/// The process that is there to take over with this configuration.
fn successor_of(file: &str) -> Option<String> {
    let is_it = |process: &String| {
        let line = std::fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
        let words: Vec<&[u8]> = line.split(|byte| *byte == 0).collect();
        words.contains(&b"--take-over".as_slice()) && words.contains(&file.as_bytes())
    };
    let all = std::fs::read_dir("/proc").unwrap().flatten();
    all.map(|entry| entry.file_name().to_string_lossy().into_owned()).find(is_it)
}

/// What a load came to: every share was sent once and accepted once, and nobody was disconnected.
fn all_counted(load: Child, shares: u32) {
    let done = load.wait_with_output().unwrap();
    assert!(done.status.success());
    let came: Value = serde_json::from_slice(&done.stdout).unwrap();
    for (what, count) in [("sent", shares), ("accepted", shares), ("unanswered", 0), ("closed", 0)] {
        assert_eq!(came["shares"][what], json!(count), "{what}: {came:#}");
    }
    assert_eq!(came["shares"]["rejected"], json!({}), "{came:#}");
    println!("{}", came["shares"]["latency"]);
}

/// A connection that says nothing of its own, to see whether it is still there.
fn watcher(port: &str) -> BufReader<TcpStream> {
    let mut stream = TcpStream::connect(port).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(b"{\"id\":1,\"method\":\"mining.subscribe\",\"params\":[\"watcher/1\"]}\n").unwrap();
    let mut reader = BufReader::new(stream);
    assert!(line(&mut reader).contains("\"id\":1"));
    reader
}

fn line(reader: &mut BufReader<TcpStream>) -> String {
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    line.replace(' ', "")
}

#[test]
fn two_upgrades_under_load_disconnect_nobody_and_lose_or_double_no_share() {
    let mut rig = Rig::start();
    let mut watcher = watcher(&rig.port);
    let shares = 24_000;
    let mut load = rig.load("60", shares);
    until("shares come", || rig.accepted().filter(|accepted| *accepted > 500));
    let (first, said) = rig.upgrade(&[]).unwrap();
    assert_eq!(rig.running.ended(), Some(0), "the old process has nothing left to do");
    println!("{said}");
    assert_eq!((&said["sessions"], rig.connections()), (&json!(61), 61), "{said}");
    // The new one counts from nothing, on with the same miners.
    until("shares come again", || rig.accepted().filter(|accepted| *accepted > 500));
    let (second, said) = rig.upgrade(&["--patience", "60"]).unwrap();
    println!("{said}");
    assert_eq!((&said["sessions"], rig.connections()), (&json!(61), 61), "{said}");
    assert!(load.try_wait().unwrap().is_none(), "both were under load");
    until("the first is gone", || first.is_gone().then_some(()));
    all_counted(load, shares);
    // Pages and the quiet connection are where they were.
    let mut page = TcpStream::connect(&rig.page).unwrap();
    page.write_all(format!("GET / HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", rig.page).as_bytes())
        .unwrap();
    let mut text = String::new();
    page.read_to_string(&mut text).unwrap();
    assert!(text.starts_with("HTTP/1.1 200"), "{text}");
    watcher.get_mut().write_all(b"{\"id\":2,\"method\":\"mining.ping\",\"params\":[]}\n").unwrap();
    while !line(&mut watcher).contains("\"id\":2") {}
    second.signal("-TERM");
    until("the second is gone", || second.is_gone().then_some(()));
    let shares = shares as usize;
    assert_eq!(rig.recorded(), (shares, shares), "every share that was answered is there, once");
}

#[test]
fn a_new_process_that_is_not_healthy_leaves_the_miners_to_the_old_one() {
    let mut rig = Rig::start();
    let shares = 12_000;
    let load = rig.load("40", shares);
    until("shares come", || rig.accepted().filter(|accepted| *accepted > 200));
    let refused = |rig: &Rig, more: &[&str], because: &str| {
        let why = rig.upgrade(more).map(|(_, said)| said).unwrap_err();
        assert!(why.contains("this one goes on") && why.contains(because), "{why}");
        assert_eq!(rig.connections(), 40);
    };
    // No program of this kind.
    refused(&rig, &["--program", "/bin/true"], "the other process is gone");
    // One that cannot read its configuration, or has other data: it comes to nothing before any miner waits.
    let good = std::fs::read_to_string(&rig.file).unwrap();
    std::fs::write(&rig.file, good.replace("minimum_difficulty", "minimal_difficulty")).unwrap();
    refused(&rig, &[], "the other process is gone");
    let other = rig.folder.path().join("other");
    std::fs::write(&rig.file, good.replace(&rig.data, other.to_str().unwrap())).unwrap();
    refused(&rig, &["--force"], "another data folder");
    // One that is there, takes over everything, and gets no work from its node.
    let _silent = rig.without_node();
    std::fs::write(
        &rig.file,
        std::fs::read_to_string(&rig.file).unwrap().replace(other.to_str().unwrap(), &rig.data),
    )
    .unwrap();
    refused(&rig, &["--patience", "2"], "no work for its miners");
    // One that divides the extranonce otherwise, and one without the miners' port.
    let divided = good.replace("[pool.stratum]\n", "[pool.stratum]\nextranonce_prefix = 3\n");
    std::fs::write(&rig.file, divided).unwrap();
    refused(&rig, &[], "40 of 40 sessions would be lost, since the division of the extranonce has changed");
    std::fs::write(
        &rig.file,
        good.replace("[[pool.port]]\nlisten = \"127.0.0.1:0\"", "[[pool.port]]\nlisten = \"127.0.0.2:0\""),
    )
    .unwrap();
    refused(&rig, &[], "their port is no longer configured");
    std::fs::write(&rig.file, good).unwrap();
    all_counted(load, shares);
    rig.running.signal("-TERM");
    assert_eq!(rig.running.ended(), Some(0));
    let shares = shares as usize;
    assert_eq!(rig.recorded(), (shares, shares));
}

#[test]
fn whichever_of_the_two_is_killed_the_other_goes_on() {
    let mut rig = Rig::start();
    let shares = 16_000;
    let load = rig.load("40", shares);
    until("shares come", || rig.accepted().filter(|accepted| *accepted > 200));
    let node = rig.without_node();
    let order = rig.order();
    rig.successor().signal("-KILL");
    let said = String::from_utf8(order.wait_with_output().unwrap().stderr).unwrap();
    assert!(said.contains("this one goes on: the other process is gone"), "{said}");
    until("shares come again", || rig.accepted().filter(|accepted| *accepted > 200));
    let mut order = rig.order();
    let new = rig.successor();
    rig.running.signal("-KILL");
    assert_eq!(rig.running.ended(), None, "it was killed");
    assert!(!order.wait().unwrap().success(), "nobody could tell how it ends");
    // Now it has a node.
    node.open();
    all_counted(load, shares);
    new.signal("-TERM");
    until("it is gone", || new.is_gone().then_some(()));
    let shares = shares as usize;
    assert_eq!(rig.recorded(), (shares, shares), "also by kill -9");
}

#[test]
fn a_new_process_that_ends_while_payments_come_to_their_end_costs_nobody_anything() {
    let rig = Rig::start();
    let load = rig.load("20", 8_000);
    until("shares come", || rig.accepted().filter(|accepted| *accepted > 200));
    // It says that it could take over, and is gone.
    let folder = std::fs::metadata(&rig.data).unwrap();
    let word = json!({"prepared": {"protocol": words::PROTOCOL, "version": "0",
        "data": words::DATA, "folder": [folder.dev(), folder.ino()]}})
    .to_string();
    let length: String =
        (word.len() as u64).to_le_bytes().iter().map(|byte| format!("\\{byte:03o}")).collect();
    let script = rig.folder.path().join("short-lived");
    let text = format!("#!/bin/sh\nprintf 'mpho{length}\\000\\000\\000\\000%s' '{word}' >&0\n");
    std::fs::write(&script, text).unwrap();
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    let before = rig.accepted().unwrap();
    let why = rig.upgrade(&["--program", script.to_str().unwrap()]).map(|(_, said)| said).unwrap_err();
    assert!(why.contains("has ended before its turn came"), "{why}");
    // A process that began anew would count from nothing.
    assert!(rig.accepted().unwrap() >= before);
    assert_eq!(rig.connections(), 20);
    // What was ended for it goes on, and can be ended again.
    let (new, said) = rig.upgrade(&["--patience", "60"]).unwrap();
    assert_eq!(said["sessions"], json!(20), "{said}");
    all_counted(load, 8_000);
    new.signal("-TERM");
    until("it is gone", || new.is_gone().then_some(()));
}

#[test]
fn who_is_told_to_stop_while_he_gives_way_stops_when_nothing_came_of_it() {
    let mut rig = Rig::start();
    let _silent = rig.without_node();
    let order = rig.order();
    let new = rig.successor();
    rig.running.signal("-TERM");
    new.signal("-KILL");
    assert_eq!(rig.running.ended(), Some(0), "it has not forgotten");
    assert!(!order.wait_with_output().unwrap().status.success());
}

/// Files that something holds when the miners rest already, which lets go of them when nobody takes over any more.
#[test]
fn files_that_are_held_on_to_cost_the_miners_a_pause_and_not_their_connections() {
    let shape = Shape { transactions: 20, bytes: 6_000, ..Shape::default() };
    let node = MockNode::start("127.0.0.1:0".parse().unwrap(), shape).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (data, file) = (folder.path().join("data"), folder.path().join("pool.toml"));
    std::fs::write(&file, configuration(&data, &node.url())).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let config = millpond_config::load(&file).unwrap();
    let mut running =
        runtime.block_on(millpond_process::Running::start(config, &file, Compiler::InProcess)).unwrap();
    let pool = Arc::clone(&running.pools()[0]);
    let mut watcher = watcher(&pool.addresses()[0].to_string());
    let order = Command::new(env!("CARGO_BIN_EXE_millpond"))
        .args(["upgrade", "--data", data.to_str().unwrap(), "--patience", "120"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // The old process ends the new one when it cannot have the files, and that is seen here.
    let named = file.to_str().unwrap().to_owned();
    let there = move || successor_of(&named).is_some();
    let holder = std::thread::spawn(move || {
        until("the new process is there", || there().then_some(()));
        until("it was ended", || (!there()).then_some(()));
        drop(pool);
    });
    let upgraded = runtime.block_on(async {
        let order = running.ordered().await;
        running.upgrade(order).await
    });
    let Upgraded::Stayed(running) = upgraded else { panic!("{upgraded:?}") };
    holder.join().unwrap();
    let said = String::from_utf8(order.wait_with_output().unwrap().stderr).unwrap();
    assert!(said.contains("this one goes on") && said.contains("files were held"), "{said}");
    watcher.get_mut().write_all(b"{\"id\":2,\"method\":\"mining.ping\",\"params\":[]}\n").unwrap();
    while !line(&mut watcher).contains("\"id\":2") {}
    runtime.block_on(running.stop());
}

#[test]
fn a_service_manager_hears_of_the_new_process() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let notify = UnixDatagram::bind(&path).unwrap();
    notify.set_read_timeout(Some(PATIENCE)).unwrap();
    let shape = Shape { transactions: 20, bytes: 6_000, ..Shape::default() };
    let node = MockNode::start("127.0.0.1:0".parse().unwrap(), shape).unwrap();
    let (data, file) = (folder.path().join("data"), folder.path().join("pool.toml"));
    std::fs::write(&file, configuration(&data, &node.url())).unwrap();
    let mut running = Running::start_with(&file, &[("NOTIFY_SOCKET", path.to_str().unwrap())]);
    running.says("the page is at ");
    let said = json(&["upgrade", "--data", data.to_str().unwrap(), "--json"]);
    let new = Orphan(said["process"].to_string());
    for process in [running.id().to_string(), new.0.clone()] {
        let mut words = [0; 200];
        let length = notify.recv(&mut words).unwrap();
        let words = String::from_utf8_lossy(&words[..length]).into_owned();
        assert_eq!(words, format!("MAINPID={process}\nREADY=1"));
    }
    assert_eq!(running.ended(), Some(0));
    new.signal("-TERM");
    until("it is gone", || new.is_gone().then_some(()));
    assert!(!data.join("admin.sock").exists(), "it has left nothing behind");
}
