//! A pool that runs, as its operator works with it: the real binary's commands beside `millpond run`, and after it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use millpond_devchain::{DevChain, Options};
use millpond_load::node::{MockNode, Shape};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use support::{PATIENCE, Running, chain_of, ended, json, millpond, pool, unread, until};

/// An address whose key the pool's wallet does not have.
const MINER: &str = "bcrt1qft5p2uhsdcdc3l2ua4ap5qqfg4pjaqlp250x7us7a8qqhrxrxfsqseac85";

/// Who has not mined here.
const STRANGER: &str = "bcrt1qqgpqyqszqgpqyqszqgpqyqszqgpqyqszazmwwa";

/// A pool that runs beside a chain, in a folder.
struct Rig {
    running: Running,
    address: String,
    data: String,
    folder: PathBuf,
    chain: DevChain,
    _runtime: tokio::runtime::Runtime,
    _temporary: tempfile::TempDir,
}

impl Rig {
    fn start() -> Self {
        let temporary = tempfile::tempdir().unwrap();
        // About 65,000 hashes a block, 4,300 a share.
        let (runtime, chain) = chain_of(Options { bits: 0x1f00_ffff, ..Options::default() });
        let folder = temporary.path().to_owned();
        let data = folder.join("data");
        let text = pool(&data, &chain, chain.password())
            .replace("\"127.0.0.1:0\"\n", "\"127.0.0.1:0\"\ndifficulty = 1e-6\nfixed = true\n")
            .replace("schedule = \"manual\"\n", "schedule = \"manual\"\nnetwork_fee = \"miners\"\n")
            + "[[pool.shadow]]\nname = \"solo\"\nscheme = \"solo\"\nevery = \"50ms\"\n\
               [pool.shadow.fee]\nrecipient = [{ name = \"operator\" }]\nsettings = { basis_points = 100 }\n";
        let file = folder.join("pool.toml");
        std::fs::write(&file, text).unwrap();
        let (running, address) = Self::run(&file);
        let data = data.display().to_string();
        Self { running, address, data, folder, chain, _runtime: runtime, _temporary: temporary }
    }

    fn run(file: &Path) -> (Running, String) {
        let running = Running::start(file);
        let said = running.says("pool dev takes miners at ");
        (running, said.rsplit(' ').next().unwrap().to_owned())
    }

    /// Ends the process by this signal and starts it anew on its file.
    fn restart(&mut self, signal: &str) {
        self.running.signal(signal);
        self.running.ended();
        (self.running, self.address) = Self::run(&self.folder.join("pool.toml"));
    }

    /// A command of this data folder: the words before the first `--` of it come first.
    fn with<'a>(&'a self, words: &[&'a str]) -> Vec<&'a str> {
        let (first, rest) = words.split_at(1);
        [first, &["--data", &self.data, "--yes"], rest].concat()
    }

    fn ask(&self, words: &[&str]) -> Value {
        json(&self.with(words))
    }

    fn refused(&self, words: &[&str]) -> String {
        ended(1, &self.with(words))
    }

    fn ledger(&self) -> PathBuf {
        Path::new(&self.data).join("dev").join("ledger")
    }

    /// Mines until the pool has found a block, and it is mature.
    fn earn(&self) {
        until("a block", || {
            let mined = json(&["mine", &self.address, "--user", MINER, "--shares", "20", "--json"]);
            // What was on its way when a block was found is stale, and not counted here.
            assert!(mined["accepted"].as_u64() >= Some(20) && mined["hashes"].as_u64() > Some(0), "{mined}");
            (self.ask(&["status"])["pools"][0]["blocks"].as_u64() > Some(0)).then_some(())
        });
        until("an income that can be paid", || {
            self.chain.generate(1).unwrap();
            (self.ask(&["status"])["pools"][0]["money"]["credited"].as_u64() > Some(0)).then_some(())
        });
    }
}

/// The operators' actions in a ledger's export, each with who, what and the details.
fn noted(ledger: &Path) -> Vec<(String, String, String)> {
    let text = ended(0, &["ledger", "--ledger", ledger.to_str().unwrap(), "export"]);
    let records = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let notes = records.filter_map(|record| record["entry"].get("noted").cloned());
    let text = |note: &Value, key: &str| note[key].as_str().unwrap().to_owned();
    notes.map(|note| (text(&note, "by"), text(&note, "action"), text(&note, "detail"))).collect()
}

fn has(ledger: &Path, action: &str, detail: &str) -> bool {
    let found = noted(ledger);
    let found = found.iter().any(|(by, what, about)| {
        (by.starts_with("local:") || by == "millpond") && what == action && about == detail
    });
    assert!(found, "{action} {detail}: {:?}", noted(ledger));
    found
}

#[test]
fn payments_are_planned_confirmed_and_made_and_the_books_are_read_beside_the_pool_and_after_it() {
    let mut rig = Rig::start();
    rig.earn();
    let status = rig.ask(&["status"]);
    let shown = &status["pools"][0];
    assert_eq!(
        (&shown["name"], &shown["network"], &shown["not_ready"]),
        (&json!("dev"), &json!("regtest"), &json!([]))
    );
    assert_eq!(shown["money"]["conserved"], json!(true), "{shown:#}");
    assert!(shown["stratum"]["accepted"].as_u64() >= Some(20), "{shown:#}");
    let roles: Vec<_> = shown["plugins"].as_array().unwrap().iter().map(|plugin| &plugin["role"]).collect();
    assert_eq!(roles, ["adapter", "scheme"]);

    // Nothing is paid without a second word.
    let payments = |what: &'static str| vec!["payments", "--pool", "dev", what];
    assert_eq!(rig.ask(&payments("list")), json!([]));
    let plan = rig.ask(&payments("dry-run"));
    assert_eq!(plan["batches"][0][0]["address"], json!(MINER), "{plan}");
    let planned = plan["batches"][0][0]["amount"].as_u64().unwrap();
    let unasked = millpond(&["payments", "--data", &rig.data, "--pool", "dev", "run"]);
    assert_eq!(unasked.status.code(), Some(1));
    let said = String::from_utf8_lossy(&unasked.stderr).into_owned();
    assert!(said.contains("This changes money") && said.contains("nothing was done"), "{said}");
    assert_eq!(rig.ask(&payments("list")), json!([]));

    let run = rig.ask(&payments("run"));
    assert_eq!(run["blocked"], Value::Null, "{run}");
    let paid = until("a settled payment", || {
        rig.chain.generate(1).unwrap();
        // A run of the operator's follows what is under way as well.
        rig.ask(&payments("run"));
        let list = rig.ask(&payments("list"));
        let first = list.as_array().unwrap().iter().find(|payment| payment["id"] == 1).unwrap().clone();
        (first["state"] == "settled").then_some(first)
    });
    assert_eq!(paid["outputs"], json!(1), "{paid}");
    assert!(paid["amount"].as_u64() >= Some(planned) && paid["txid"].is_string(), "{paid}");

    // What is settled is neither given up nor resolved, and what is not there is named.
    for words in [vec!["release", "1"], vec!["resolve", "1", "--txid", "00"], vec!["release", "99"]] {
        let why = rig.refused(&[vec!["payments", "--pool", "dev"], words.clone()].concat());
        assert!(why.contains(words[1]), "{words:?}: {why}");
    }
    let order = |rest: &[&'static str]| [&["payments", "--pool", "dev"][..], rest].concat();
    assert!(rig.refused(&order(&["resolve", "1", "--txid", "00", "--as-made"])).contains("not unknown"));
    assert!(rig.refused(&order(&["undo", "1", "--why", "none"])).contains("can still confirm"));

    // Ledger, wallet and chain agree, but for the blocks that this wallet had of its own, which no pool found.
    let looked = millpond(&["payments", "--data", &rig.data, "--pool", "dev", "reconcile"]);
    assert_eq!(looked.status.code(), Some(1));
    let found: Value = serde_json::from_slice(&looked.stdout).unwrap();
    assert_eq!((&found["residual"], &found["holds"]), (&json!(0), &json!(false)), "{found:#}");
    let differences = found["differences"].as_array().unwrap();
    let is = |code: &str| differences.iter().filter(|one| one["code"] == code).count();
    assert!(is("income-unbooked") > 0, "{found:#}");
    assert_eq!(
        is("income-unbooked") + is("income-immature") + is("in-flight"),
        differences.len(),
        "{found:#}"
    );
    // It stands by his word, when he names its transaction.
    let txid = paid["txid"].as_str().unwrap();
    let stands = rig.ask(&["payments", "--pool", "dev", "resolve", "1", "--txid", txid]);
    assert_eq!(stands, json!({"payment": 1, "txid": txid}));
    assert!(rig.refused(&["payments", "--pool", "btc", "list"]).contains("there are: dev"));
    assert_eq!(rig.ask(&["minimum", "--pool", "dev", MINER, "200000"]), json!({"minimum": 200_000}));
    let below = rig.refused(&["minimum", "--pool", "dev", MINER, "5000"]);
    assert!(below.contains("5000 is outside of what this pool pays: 100000 or more"), "{below}");

    // Numbers of miners for fee policies, whether they have mined here or not.
    let file = Path::new(&rig.data).join("vip.csv");
    let list = |rows: &str| {
        std::fs::write(&file, rows).unwrap();
        ["list", "--pool", "dev", "set", "vip", file.to_str().unwrap()]
    };
    assert_eq!(rig.ask(&list(&format!("# tiers\n{MINER},50\n{STRANGER},20\n"))), json!({"rows": 2}));
    assert!(rig.refused(&list(&format!("{MINER},50\nnobody,1\n"))).contains("nobody"));
    assert!(rig.refused(&list(&format!("{MINER},50\n{MINER},1\n"))).contains("stands twice"));

    // The books, beside the running pool.
    let ledger = rig.ledger();
    let of = |rest: &[&'static str]| {
        [vec!["ledger", "--ledger", ledger.to_str().unwrap()], rest.to_vec()].concat()
    };
    let verified = json(&of(&["verify", "--json"]));
    assert_eq!(verified["totals"]["conserved"], json!(true), "{verified}");
    // The miners bear the network's fee here.
    let of_total = |key: &str| verified["totals"][key].as_u64().unwrap();
    let where_it_is = ["paid", "network_fees_charged", "payable", "in_flight"].map(of_total);
    assert_eq!(of_total("credited"), where_it_is.iter().sum::<u64>(), "{verified}");
    assert!(of_total("paid") > 0, "{verified}");
    assert!(ended(0, &of(&["verify"])).contains("to the unit"));
    let csv = ended(0, &of(&["export", "--format", "csv"]));
    assert!(
        csv.starts_with("seq,at_ms,kind,account,debit,credit\n") && csv.contains(",payment-settled,"),
        "{csv}"
    );
    let statement = json(&of(&["statement", "--miner", "1"]));
    assert!(statement["lines"].as_array().is_some_and(|lines| !lines.is_empty()), "{statement}");
    assert!(ended(2, &of(&["statement"])).contains("--miner NUMBER"));

    // Balances, now and as they stood.
    let balances = |rest: &[&str]| json(&[&of(&["balances", "--json"])[..], rest].concat());
    let now = balances(&[]);
    assert_eq!((&now["totals"], &now["head"]["seq"]), (&verified["totals"], &verified["head"]["seq"]));
    assert_eq!(balances(&["--at-record", "0"])["balances"], json!({}));
    let entries = ended(0, &of(&["export"]));
    let entries: Vec<Value> = entries.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let divided = entries.iter().find(|record| record["entry"]["income-allocated"].is_object()).unwrap();
    let key = divided["entry"]["income-allocated"]["key"].as_str().unwrap();
    assert_eq!(balances(&["--before-income", key])["totals"]["credited"], json!(0));
    let after = balances(&["--at-income", key, "--account", "immature/m1"]);
    assert_eq!(after["head"]["seq"], divided["seq"]);
    assert!(after["balances"]["immature/m1"].as_str().unwrap().parse::<u64>().unwrap() > 0, "{after}");
    let tip = rig.chain.height().to_string();
    assert_eq!(balances(&["--at-coord", &tip])["head"], now["head"]);
    let unknown = ended(1, &of(&["balances", "--at-coord", "1"]));
    assert!(unknown.contains("when the blocks from 10 to "), "{unknown}");
    assert!(ended(2, &of(&["balances", "--at-income", "xyz"])).contains("hex"));
    let replayed = json(&["replay", "--data", &rig.data, "--json"]);
    assert_eq!((&replayed["pool"], &replayed["same"]), (&json!("dev"), &json!(true)), "{replayed}");
    // In shadow the same incomes were divided by another scheme, beside the ledger.
    let shadow = until("a shadow that has followed", || {
        let shadow = rig.ask(&["status"])["pools"][0]["shadows"][0].clone();
        (shadow["incomes"].as_u64() > Some(0)).then_some(shadow)
    });
    let of = |of: &str, what: &str| shadow[of][what].as_i64().unwrap();
    assert_eq!(
        (shadow["name"].as_str(), shadow["state"].as_str()),
        (Some("solo"), Some("following")),
        "{shadow}"
    );
    assert_eq!(of("standing", "other"), of("standing", "actual"), "{shadow}");
    assert!(of("operator", "other") > 0, "a fee that the pool itself does not take: {shadow}");
    assert_eq!(of("operator", "actual"), 0, "{shadow}");
    assert_eq!(of("miners", "other") + of("operator", "other"), of("standing", "other"), "{shadow}");
    // The same records under another scheme, and as a log for research.
    // A list that the records do not have is told.
    let rebate = ["replay", "--data", &rig.data, "--pool", "dev", "--scheme", "solo", "--fee", "fee-rebate"];
    let done = millpond(&rebate);
    assert!(
        String::from_utf8_lossy(&done.stderr).contains("list:rebate, and nobody stands in it"),
        "{done:?}"
    );
    assert_eq!(json(&[&rebate[..], &["--json"]].concat())["empty_lists"], json!(["rebate"]));
    let asked = ["replay", "--data", &rig.data, "--pool", "dev", "--scheme", "solo", "--fee", "flat-fee"];
    let other = json(&[&asked[..], &["--fee-settings", "basis_points=100", "--json"]].concat());
    assert_eq!(other["empty_lists"], json!([]));
    let other = other["other"].clone();
    assert_eq!(other["standing"]["actual"], other["standing"]["other"], "{other}");
    let sum = |of: &str| other[of]["other"].as_i64().unwrap();
    assert_eq!(sum("miners_in_all") + sum("operator") + sum("carry"), sum("standing"), "{other}");
    assert!(sum("operator") > 0 && other["miners"][0]["address"] == json!(MINER), "{other}");
    assert!(ended(0, &asked).contains("incomes that stand"));
    assert!(ended(2, &[&asked[..], &["--settings", "no_such=1"]].concat()).contains("no_such"));
    let log = Path::new(&rig.data).join("shares.csv");
    let log = log.to_str().unwrap();
    assert!(ended(0, &["replay", "--data", &rig.data, "--export", log]).contains("shares in"));
    assert!(!std::fs::read_to_string(log).unwrap().contains(MINER));
    let sample = json(&["plugin", "run", "pplns", "--shares", log, "--json"]);
    assert!(sample["income"].as_u64() > Some(0), "{sample}");
    assert!(ended(2, &["replay", "--data", &rig.data, "--export", log]).contains("exists"));
    let luck = json(&["luck", "--data", &rig.data, "--json"]);
    assert_eq!(luck["miners"][0]["address"], json!(MINER), "{luck}");
    assert!(luck["miners"][0]["found"].as_u64() > Some(0), "{luck}");
    assert!(has(&ledger, "payments_run", "-") && has(&ledger, "miner_minimum", &format!("{MINER} 200000")));

    rig.running.signal("-TERM");
    rig.running.says("stopping");
    assert_eq!(rig.running.ended(), Some(0));
    assert!(rig.refused(&["status"]).contains("no millpond runs on"));
    assert_eq!(json(&["replay", "--data", &rig.data, "--json"])["same"], json!(true));
}

#[test]
fn a_policy_of_the_shadow_is_announced_withdrawn_and_promoted_and_was_never_early() {
    let mut rig = Rig::start();
    rig.earn();
    let policy = |rig: &Rig| rig.ask(&["shadow", "--pool", "dev", "list"])["policy"].clone();
    let (before, shadow) =
        (policy(&rig), |words: &[&'static str]| [&["shadow", "--pool", "dev"][..], words].concat());
    assert_eq!((&before["scheme"]["name"], &before["next"]), (&json!("pplns"), &Value::Null), "{before}");
    assert!(rig.refused(&shadow(&["promote", "tides"])).contains("there are: solo"));

    // A day from now: no block of this test is one of then.
    let tomorrow =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() + 86_400_000;
    let tomorrow = tomorrow.to_string();
    let promote =
        ["shadow", "--pool", "dev", "promote", "solo", "--not-before", &tomorrow, "--reason", "a trial"];
    let said = rig.ask(&promote)["done"].to_string();
    assert!(
        said.contains("solo with flat-fee takes over after the first block that is found in 24 h or later"),
        "{said}"
    );
    let announced = policy(&rig)["next"].clone();
    assert_eq!(
        (&announced["scheme"]["name"], &announced["not_before"], &announced["reason"]),
        (&json!("solo"), &json!(tomorrow.parse::<u64>().unwrap()), &json!("a trial")),
    );
    assert_eq!(announced["fees"][0]["settings"], json!({"basis_points": 100}), "{announced}");
    assert_eq!(
        (&announced["claims_lost"], &announced["claims_gained"]),
        (&json!(["hopping-neutral"]), &json!([])),
    );
    // A file that says nothing new withdraws nothing.
    rig.ask(&["reload"]);
    assert_eq!(policy(&rig)["next"], announced);
    // It waits through a kill and blocks, and the plugins that decide are those of before.
    rig.restart("-KILL");
    assert_eq!(policy(&rig)["next"], announced);
    let found = |rig: &Rig| rig.ask(&["status"])["pools"][0]["blocks"].as_u64().unwrap();
    let a_block = |rig: &Rig| {
        let blocks = found(rig);
        until("a block", || {
            json(&["mine", &rig.address, "--user", MINER, "--shares", "20", "--json"]);
            (found(rig) > blocks).then_some(())
        });
    };
    a_block(&rig);
    let now = policy(&rig);
    assert_eq!((&now["next"], &now["scheme"]), (&announced, &before["scheme"]));
    let plugins = rig.ask(&["status"])["pools"][0]["plugins"].clone();
    assert!(plugins.as_array().unwrap().iter().any(|plugin| plugin["name"] == "pplns"), "{plugins}");

    let cancel =
        ["plugin", "swap", "--data", &rig.data, "--yes", "--pool", "dev", "--cancel", "--reason", "no trial"];
    assert!(json(&cancel)["done"].as_str().unwrap().contains("solo with flat-fee does not take over"));
    assert_eq!(policy(&rig)["next"], Value::Null);
    assert!(ended(1, &cancel).contains("no other policy is announced"));

    // What is ordered without a shadow has its reason too.
    let swap = |words: &[&str]| {
        json(&[&["plugin", "swap", "--data", &rig.data, "--yes", "--pool", "dev"], words].concat())
    };
    swap(&["scheme", "prop", "--reason", "because"]);
    let next = policy(&rig)["next"].clone();
    assert_eq!((&next["scheme"]["name"], &next["reason"]), (&json!("prop"), &json!("because")), "{next}");
    json(&cancel);

    // Without a time and without a promised notice: behind the next block.
    let said = rig.ask(&shadow(&["promote", "solo"]))["done"].to_string();
    assert!(said.contains("after the next block") && said.contains("[pool.payout]"), "{said}");
    a_block(&rig);
    let now = policy(&rig);
    assert_eq!((&now["scheme"]["name"], &now["next"]), (&json!("solo"), &Value::Null), "{now}");
    let from = now["from"].as_u64().unwrap();
    assert!(from > before["from"].as_u64().unwrap());
    a_block(&rig);
    let ledger = rig.ledger();
    assert!(has(&ledger, "plugin_swap", "scheme prop because"));
    assert!(has(&ledger, "policy_cancel", "solo no trial") && has(&ledger, "shadow_promote", "solo -"));
    rig.running.signal("-TERM");
    assert_eq!(rig.running.ended(), Some(0));
    assert_eq!(json(&["replay", "--data", &rig.data, "--json"])["same"], json!(true));
}

#[test]
fn an_order_names_what_it_changes_and_what_it_leaves_is_that_in_force() {
    let mut rig = Rig::start();
    rig.earn();
    let policy = |rig: &Rig| rig.ask(&["shadow", "--pool", "dev", "list"])["policy"].clone();
    let order = |rig: &Rig, words: &[&str]| -> String {
        let swap = ["plugin", "swap", "--data", &rig.data, "--yes", "--pool", "dev"];
        json(&[&swap, words].concat())["done"].as_str().unwrap().to_owned()
    };
    let next = |rig: &Rig| {
        let next = policy(rig)["next"].clone();
        let names = |of: &Value| of["name"].as_str().unwrap().to_owned();
        next["scheme"].is_object().then(|| {
            (names(&next["scheme"]), next["fees"].as_array().unwrap().iter().map(names).collect::<Vec<_>>())
        })
    };
    let is = |scheme: &str, fees: &[&str]| {
        Some((scheme.to_owned(), fees.iter().map(|fee| (*fee).to_owned()).collect::<Vec<_>>()))
    };

    // What is in force is no other policy, and an order for it withdraws one.
    let said = order(&rig, &["scheme", "pplns"]);
    assert!(said.starts_with("pplns with no fee is in force already") && next(&rig).is_none(), "{said}");
    let said = order(&rig, &["scheme", "prop"]);
    let changes = "in the place of pplns with no fee (another scheme, the fee stays)";
    assert!(
        said.starts_with("prop with no fee takes over after the next block, ") && said.contains(changes),
        "{said}"
    );
    let said = order(&rig, &["scheme", "pplns"]);
    assert_eq!(said, "prop with no fee is withdrawn: pplns with no fee stays in force");
    assert_eq!(next(&rig), None);

    // The shadow's policy in force, and a file that says another: a start announces that, and says so.
    rig.ask(&["shadow", "--pool", "dev", "promote", "solo"]);
    until("solo in force", || {
        json(&["mine", &rig.address, "--user", MINER, "--shares", "20", "--json"]);
        (policy(&rig)["scheme"]["name"] == "solo").then_some(())
    });
    rig.restart("-TERM");
    assert_eq!(next(&rig), is("pplns", &[]));
    assert!(policy(&rig)["next"]["reason"].as_str().unwrap().contains("configuration"));
    let alarms = rig.ask(&["alarms", "list", "--json"]).to_string();
    assert!(
        alarms.contains("the configuration says pplns with no fee") && alarms.contains("solo with flat-fee"),
        "{alarms}"
    );

    // Withdrawn again, an order for a scheme keeps the fee in force, whatever the file says, and one for a fee the scheme.
    let said = order(&rig, &["--cancel"]);
    assert_eq!(said, "pplns with no fee does not take over: solo with flat-fee stays in force");
    let said = order(&rig, &["scheme", "prop"]);
    assert!(said.contains("in the place of solo with flat-fee (another scheme, the fee stays)"), "{said}");
    assert_eq!(next(&rig), is("prop", &["flat-fee"]));
    assert_eq!(policy(&rig)["next"]["fees"], policy(&rig)["fees"]);
    // A second order builds on the first, and says so.
    let said = order(&rig, &["fee", "fee-rebate"]);
    assert!(said.starts_with("prop with fee-rebate takes over"), "{said}");
    assert!(
        said.contains("and of prop with flat-fee, which was announced (another scheme, another fee)"),
        "{said}"
    );
    assert!(said.contains("nobody stands in the list rebate"), "{said}");
    assert_eq!(next(&rig), is("prop", &["fee-rebate"]));
    order(&rig, &["--cancel"]);
    let said = order(&rig, &["fee", "fee-rebate"]);
    assert!(
        said.starts_with("solo with fee-rebate takes over")
            && said.contains("(the scheme stays, another fee)"),
        "{said}"
    );
    assert_eq!(next(&rig), is("solo", &["fee-rebate"]));
    // A start announces what the file says, and an order builds on that.
    rig.restart("-KILL");
    let said = order(&rig, &["scheme", "prop"]);
    assert!(said.contains("and of pplns with no fee, which was announced"), "{said}");
    assert_eq!(next(&rig), is("prop", &[]));
    let said = order(&rig, &["scheme", "pps"]);
    assert!(said.contains("none is declared: it credits nothing until an income fills it"), "{said}");
    order(&rig, &["--cancel"]);

    // What is wrong with an order stands in no line of a file.
    for (role, option) in [("fee", "fee.policy"), ("scheme", "payout.scheme")] {
        let swap = ["plugin", "swap", "--data", &rig.data, "--yes", "--pool", "dev", role, "no-such.wasm"];
        let why = ended(1, &swap);
        let path = rig.folder.join("no-such.wasm").display().to_string();
        assert!(why.starts_with(&format!("millpond: {option}: ")) && why.contains(&path), "{why}");
    }
}

/// The blocks of a page that are written in this language.
fn blocks<'a>(page: &'a str, language: &str) -> Vec<&'a str> {
    let fence = format!("```{language}\n");
    page.split(&fence).skip(1).map(|rest| rest.split("```").next().unwrap()).collect()
}

const WALK_THROUGH: &str = include_str!("../../../docs/walkthrough-fee-policy.md");

/// The page's own pool, as it stands there but for ports and folder: it starts, its miners are divided for, and each verifies what he
/// got.
#[test]
fn the_walk_throughs_pool_is_whole_and_its_miners_can_check_it() {
    const MINE: &str = "millpond mine 127.0.0.1:18433 --user ";
    let [_, whole, ..] = blocks(WALK_THROUGH, "toml")[..] else { panic!("the pool's file") };
    let [text, ..] = blocks(WALK_THROUGH, "text")[..] else { panic!("the commands beside a pool") };
    let [looks] = blocks(WALK_THROUGH, "sh")[..] else { panic!("what a miner can check") };
    let bits = text.split("--bits ").nth(1).unwrap().split(' ').next().unwrap();
    let bits = u32::from_str_radix(bits, 16).unwrap();
    let shape = Shape { transactions: 5, bytes: 2_000, bits, ..Shape::default() };
    let node = MockNode::start("127.0.0.1:0".parse().unwrap(), shape).unwrap();
    let temporary = tempfile::tempdir().unwrap();
    let (file, data) = (temporary.path().join("pool.toml"), temporary.path().join("DATA"));
    let replaced = [
        ("\"DATA\"", format!("{data:?}")),
        ("http://127.0.0.1:18490", node.url()),
        ("127.0.0.1:18433", "127.0.0.1:0".to_owned()),
        ("127.0.0.1:8080", "127.0.0.1:0".to_owned()),
    ];
    let written = replaced.into_iter().fold(whole.to_owned(), |text, (from, to)| {
        assert_eq!(text.matches(from).count(), 1, "{from}");
        text.replace(from, &to)
    });
    std::fs::write(&file, written).unwrap();
    let (_running, address) = Rig::run(&file);
    let http = _running.says("the page is at ").rsplit('/').nth(1).unwrap().to_owned();
    let data = data.to_str().unwrap();

    let logins: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix(MINE)).collect();
    let logins: Vec<&str> = logins.iter().map(|rest| rest.split(' ').next().unwrap()).collect();
    assert_eq!(logins.len(), 2, "two miners, or there is nothing to divide");
    let miners: Vec<&str> = logins.iter().map(|login| login.split('.').next().unwrap()).collect();
    let entries = |miner: &str| {
        let body = get(&http, &format!("/api/v1/pools/dev/miners/{miner}/entries"));
        body.and_then(|body| serde_json::from_str::<Value>(&body).ok()).unwrap_or_default()
    };
    let divided = |entries: &Value| {
        let all = entries.as_array().cloned().unwrap_or_default();
        all.iter().find_map(|entry| entry["seq"].as_u64())
    };
    until("an entry of each miner", || {
        logins.iter().for_each(|login| {
            json(&["mine", &address, "--user", login, "--shares", "10", "--json"]);
        });
        miners.iter().all(|miner| divided(&entries(miner)).is_some()).then_some(())
    });
    let mut verified = 0;
    for miner in miners {
        let mut key = String::new();
        let seq = divided(&entries(miner)).unwrap().to_string();
        for line in looks.lines() {
            let line = line.replace("DATA", data).replace("ADDRESS", miner).replace("SEQ", &seq);
            let line = line.replace("KEY", &key);
            let words: Vec<&str> = line.split(' ').collect();
            match words[..] {
                ["millpond", "heads", ..] => {
                    key = ended(0, &words[1..]).trim().rsplit(" ").next().unwrap().to_owned()
                }
                ["curl", "-s", url, ref rest @ ..] => {
                    let path = url.strip_prefix("http://127.0.0.1:8080").unwrap();
                    // A head follows within a second.
                    let body = until(path, || get(&http, path));
                    if let [">", name] = rest {
                        std::fs::write(temporary.path().join(name), body).unwrap();
                    }
                }
                ["millpond", "verify-statement", name, ref rest @ ..] => {
                    let name = temporary.path().join(name);
                    let said = ended(0, &[&["verify-statement", name.to_str().unwrap()], rest].concat());
                    assert!(said.contains(miner) && said.contains("divided by prop "), "{said}");
                    verified += 1;
                }
                _ => panic!("{line} is no command of the page"),
            }
        }
    }
    assert_eq!(verified, 2);
}

/// What a pool's page answers, where that is 200.
fn get(http: &str, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(http).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    head.starts_with("HTTP/1.1 200 ").then(|| body.to_owned())
}

/// `docs/walkthrough-fee-policy.md`, command by command. Where plugins are not to be built for wasm the bundled fee stands
/// in for the page's own.
#[test]
fn the_walk_through_of_a_fee_policy_is_what_happens() {
    const COMPONENT: &str = "tenth-fee/tenth-fee.wasm";
    let page = WALK_THROUGH;
    let builds = std::env::var_os("MILLPOND_GUEST_BUILDS").is_some_and(|value| value == "1");
    let own = |text: &str| if builds { text.to_owned() } else { text.replace(COMPONENT, "flat-fee") };
    let mut rig = Rig::start();
    rig.earn();
    let sdk = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../sdk/guest").canonicalize().unwrap();
    let file = rig.folder.join("pool.toml");
    let before = std::fs::read_to_string(&file).unwrap();
    let [scenario, _, shadow, fee] = blocks(page, "toml")[..] else { panic!("four files or parts of one") };
    let [rust] = blocks(page, "rust")[..] else { panic!("one policy") };
    let mut ran = Vec::new();
    for line in blocks(page, "console").join("").lines() {
        let words: Vec<String> = own(line).split(' ').map(|word| word.replace("DATA", &rig.data)).collect();
        let mut command = match words[0].as_str() {
            "cargo" => std::process::Command::new(env!("CARGO")),
            "millpond" => std::process::Command::new(env!("CARGO_BIN_EXE_millpond")),
            other => panic!("{other} is no command of the page"),
        };
        command.args(&words[1..]).current_dir(&rig.folder);
        match words[..].iter().map(String::as_str).collect::<Vec<_>>()[..] {
            ["millpond", "plugin", "new", ..] => {
                command.arg("--sdk").arg(&sdk);
            }
            ["cargo", ..] | ["millpond", "plugin", "build", ..] if !builds => continue,
            ["cargo", ..] => {
                command.env("CARGO_TARGET_DIR", rig.folder.join("native"));
            }
            ["millpond", "simulate", "run", name] => {
                let short = own(scenario).replace("blocks = 2000", "blocks = 200");
                std::fs::write(rig.folder.join(name), short).unwrap();
            }
            ["millpond", "check", _] => std::fs::write(&file, before.clone() + &own(shadow)).unwrap(),
            // Shadows are read at a start.
            ["millpond", "shadow", ..] => {
                rig.restart("-TERM");
            }
            ["millpond", "reload", ..] => {
                std::fs::write(&file, before.clone() + &own(shadow) + &own(fee)).unwrap();
            }
            // The last command looks at what the policy has done.
            ["millpond", "replay", "--data", _] => {
                let found = |rig: &Rig| rig.ask(&["status"])["pools"][0]["money"]["fees"].as_u64();
                until("a fee of the page's policy", || {
                    let shares = ["mine", &rig.address, "--user", MINER, "--shares", "20", "--json"];
                    json(&shares);
                    rig.chain.generate(3).unwrap();
                    (found(&rig) > Some(0)).then_some(())
                });
            }
            _ => {}
        }
        let done = command.output().unwrap();
        let (out, err) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
        assert!(done.status.success(), "{line}\n{out}\n{err}");
        ran.push(words[1..].join(" "));
        let crate_file = rig.folder.join("tenth-fee/src/lib.rs");
        if ran.len() == 1 {
            assert!(std::fs::read_to_string(&crate_file).unwrap().contains("one percent"), "the template's");
            std::fs::write(&crate_file, rust).unwrap();
        }
    }
    // `new`, `check` and `test`, two simulations, two replays with a fee, `check` of the file, the shadow put into
    // force, what is announced, `reload`, the replay of all.
    assert_eq!(ran.len(), if builds { 14 } else { 12 }, "{ran:?}");
    let status = rig.ask(&["status"]);
    let plugins = status["pools"][0]["plugins"].as_array().unwrap();
    let fee = plugins.iter().find(|plugin| plugin["role"] == "fee").unwrap();
    let name = fee["name"].as_str().unwrap();
    assert!(COMPONENT.contains(name) || !builds && name == "flat-fee", "{fee}");
    rig.running.signal("-TERM");
    assert_eq!(rig.running.ended(), Some(0));
}

/// A miner that says lines and hears what the pool says.
struct Miner {
    stream: TcpStream,
    reader: BufReader<TcpStream>,
}

impl Miner {
    fn connect(address: &str) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let reader = BufReader::new(stream.try_clone().unwrap());
        let mut miner = Self { stream, reader };
        miner.say(json!({"id": 1, "method": "mining.subscribe", "params": ["test/1"]}));
        miner.say(json!({"id": 2, "method": "mining.authorize", "params": [format!("{MINER}.rig"), "x"]}));
        miner.hear("a job", |message| message["method"] == "mining.notify");
        miner
    }

    fn say(&mut self, message: Value) {
        self.stream.write_all(format!("{message}\n").as_bytes()).unwrap();
    }

    fn hear(&mut self, what: &str, is_it: impl Fn(&Value) -> bool) -> Value {
        loop {
            let mut line = String::new();
            let read = self.reader.read_line(&mut line).unwrap_or_else(|why| panic!("{what}: {why}"));
            assert!(read > 0, "the pool hung up before {what}");
            let message: Value = serde_json::from_str(&line).unwrap();
            if is_it(&message) {
                return message;
            }
        }
    }

    /// Waits until the pool hangs up.
    fn closed(&mut self) {
        let mut line = String::new();
        while self.reader.read_line(&mut line).is_ok_and(|read| read > 0) {
            line.clear();
        }
    }
}

#[test]
fn miners_are_listed_spoken_to_and_sent_elsewhere_and_bans_hold_until_they_are_lifted() {
    let rig = Rig::start();
    let ledger = rig.ledger();
    let mut miner = Miner::connect(&rig.address);
    let sessions = rig.ask(&["miners", "--pool", "dev", "--json", "list"]);
    assert_eq!(
        (&sessions[0]["worker"], &sessions[0]["agent"]),
        (&json!("rig"), &json!("test/1")),
        "{sessions}"
    );
    let table = ended(0, &rig.with(&["miners", "--pool", "dev", "list"]));
    assert!(table.lines().count() == 2 && table.contains(MINER) && !table.contains('\x1b'), "{table}");

    let said = ended(0, &rig.with(&["miners", "--pool", "dev", "message", "back in an hour"]));
    assert_eq!(said, "said to 1 connections\n");
    let shown = miner.hear("the message", |message| message["method"] == "client.show_message");
    assert_eq!(shown["params"], json!(["back in an hour"]));
    let away = ["miners", "--pool", "dev", "--json", "reconnect", "pool.test", "3334", "--wait", "7"];
    assert_eq!(rig.ask(&away), json!({"connections": 1}));
    let sent = miner.hear("where to", |message| message["method"] == "client.reconnect");
    assert_eq!(sent["params"], json!(["pool.test", 3334, 7]));
    assert!(has(&ledger, "miners_message", "back in an hour"));
    assert!(has(&ledger, "miners_reconnect", "pool.test 3334 7"));

    assert_eq!(ended(0, &rig.with(&["bans", "--pool", "dev", "list"])), "");
    let made = ended(0, &rig.with(&["bans", "--pool", "dev", "add", "127.0.0.1"]));
    assert!(made.starts_with("127.0.0.1 ") && made.contains("operator"), "{made}");
    miner.closed();
    let list = rig.ask(&["bans", "--pool", "dev", "--json", "list"]);
    assert_eq!((&list[0]["source"], &list[0]["reason"]), (&json!("127.0.0.1"), &json!("operator")), "{list}");
    assert_eq!(ended(0, &rig.with(&["bans", "--pool", "dev", "lift", "127.0.0.1"])), "lifted\n");
    assert!(rig.refused(&["bans", "--pool", "dev", "lift", "127.0.0.1"]).contains("is not banned"));
    assert!(ended(2, &rig.with(&["bans", "--pool", "dev", "add", "nobody"])).contains("invalid value"));
    drop(Miner::connect(&rig.address));
    assert!(has(&ledger, "bans_add", "127.0.0.1") && has(&ledger, "bans_lift", "127.0.0.1"));

    assert!(rig.ask(&["alarms", "--json", "list"]).is_array());
    for words in
        [&["alarms", "list"][..], &["miners", "--pool", "dev", "list"], &["shadow", "--pool", "dev", "list"]]
    {
        let done = unread(&rig.with(words));
        assert_eq!(
            (done.status.code(), String::from_utf8_lossy(&done.stderr).as_ref()),
            (Some(0), ""),
            "{words:?}"
        );
    }
    assert_eq!(ended(0, &rig.with(&["alarms", "clear", "node", "--pool", "dev"])), "cleared\n");
    assert!(has(&ledger, "alarms_clear", "node"));
    let release = ["plugin", "release", "--data", &rig.data, "--yes", "--pool", "dev", "scheme"];
    assert!(ended(1, &release).contains("is not in quarantine"));
}

#[test]
fn tokens_backups_and_restores_stand_in_the_chain_whether_the_pool_runs_or_not() {
    let mut rig = Rig::start();
    let ledger = rig.ledger();
    let (data, to) = (rig.data.clone(), rig.folder.join("backups").display().to_string());
    let token = |words: &[&str]| ended(0, &[&["token"], words, &["--data", &data]].concat());
    token(&["make", "alice", "operate"]);
    token(&["revoke", "alice"]);
    let made = json(&["backup", "--data", &data, "--to", &to, "--json"]);
    assert!(has(&ledger, "token_make", "alice operate") && has(&ledger, "token_revoke", "alice"));
    assert!(has(&ledger, "backup", &to));

    rig.running.signal("-TERM");
    assert_eq!(rig.running.ended(), Some(0));
    token(&["make", "bob", "money"]);
    assert!(has(&ledger, "token_make", "bob money"));
    let backup = made["path"].as_str().unwrap();
    let new = rig.folder.join("new");
    ended(0, &["restore", backup, "--data", new.to_str().unwrap()]);
    let restored = new.join("dev").join("ledger");
    // The backup holds what was ordered before it, itself included; the restore is noted behind.
    assert!(has(&restored, "token_make", "alice operate") && has(&restored, "backup", &to));
    assert!(has(&restored, "restore", backup));
    for ledger in [&ledger, &restored] {
        let verified = json(&["ledger", "--ledger", ledger.to_str().unwrap(), "verify", "--json"]);
        assert_eq!(verified["totals"]["conserved"], json!(true), "{verified}");
    }
}

#[test]
fn tokens_older_than_a_pool_are_the_first_that_its_chain_says() {
    let folder = tempfile::tempdir().unwrap();
    let (_runtime, chain) = chain_of(Options::default());
    let data = folder.path().join("data");
    std::fs::create_dir(&data).unwrap();
    ended(0, &["token", "make", "carol", "read", "--data", data.to_str().unwrap()]);
    let file = folder.path().join("pool.toml");
    std::fs::write(&file, pool(&data, &chain, chain.password())).unwrap();
    for _ in 0..2 {
        let mut running = Running::start(&file);
        running.says("pool dev takes miners at ");
        running.signal("-TERM");
        assert_eq!(running.ended(), Some(0));
    }
    let known = ("millpond".to_owned(), "token_known".to_owned(), "carol read".to_owned());
    assert_eq!(noted(&data.join("dev").join("ledger")), [known]);
}
