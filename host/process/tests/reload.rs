//! The configuration read again while miners are connected: what follows, what is told to need a restart, and that a
//! file with an error changes nothing. Tokens count, and end, at once.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod support;

use millpond_admin::{Command, Scope, Tokens};
use millpond_disk::RealDisk;
use millpond_ledger::Entry;
use millpond_miner::{Miner, Options as MinerOptions};
use millpond_pool::Pool;
use serde_json::json;
use std::path::Path;
use std::sync::Arc;
use support::{Client, GRANT, certificate, chain, http, order, pool, start, tls, until, version};

fn digest(pool: &Pool, role: &str) -> Option<String> {
    let plugins = pool.view().plugins;
    plugins.iter().find(|plugin| plugin.role == role).map(|plugin| plugin.digest.to_string())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_reload_swaps_what_changed_names_what_needs_a_restart_and_disconnects_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let chain = chain().await;
    let data = folder.path().join("data");
    version(&folder.path().join("adapter.wasm"), "bitcoin", b"1");
    let section = pool("dev", &chain)
        .replace("[pool.chain]\n", &format!("[pool.chain]\nadapter = \"adapter.wasm\"\n{GRANT}\n"));
    let text = format!(
        "[host]\ndata = \"{}\"\n{section}[[pool.port]]\nlisten = \"127.0.0.1:0\"\ndifficulty = 1e-6\nfixed = true\n[pool.payout]\nminimum = 500\n",
        data.display()
    );
    let file = folder.path().join("pool.toml");
    let running = start(&file, &text).await;
    let pool = Arc::clone(&running.pools()[0]);
    let miners: Vec<_> = (0..3)
        .map(|_| {
            let options = MinerOptions::new(pool.addresses()[0].to_string(), chain.new_address());
            Miner::start(MinerOptions { hashes_per_second: Some(20_000.0), ..options })
        })
        .collect();
    let accepted = || miners.iter().map(|miner| miner.progress().accepted()).sum::<u64>();
    until("shares", || accepted() > 20).await;
    let (adapter, scheme) = (digest(&pool, "adapter"), digest(&pool, "scheme"));

    // With errors nothing changes, and every one is told with its line; a plugin that is not there is one.
    let before = pool.section();
    std::fs::write(&file, text.replace("minimum = 500", "minimum = -1\nscheem = \"solo\"")).unwrap();
    let why = running.reload("test").await.unwrap_err();
    let lines: Vec<_> = why.lines().collect();
    assert_eq!(lines.len(), 2, "{why}");
    assert!(lines[0].contains("pool.toml:") && lines[1].contains("did you mean `scheme`"), "{why}");
    let broken = text.replace("minimum = 500", "minimum = 600\nscheme = \"no-such\"");
    std::fs::write(&file, broken).unwrap();
    let why = running.reload("test").await.unwrap_err();
    assert!(why.contains("payout.scheme") && why.contains("no-such"), "{why}");
    assert_eq!(format!("{:?}", pool.section()), format!("{before:?}"));
    assert_eq!((digest(&pool, "adapter"), digest(&pool, "scheme")), (adapter.clone(), scheme.clone()));

    // The same file again says that nothing is to be done.
    std::fs::write(&file, &text).unwrap();
    assert_eq!(running.reload("test").await.unwrap(), millpond_process::Reloaded::default());

    // Another scheme, its parameter, a fee, another version of the adapter under the same name, payments; and a port.
    version(&folder.path().join("adapter.wasm"), "bitcoin", b"2");
    let changed = text.replace("difficulty = 1e-6", "difficulty = 2e-6").replace(
        "[pool.payout]\nminimum = 500\n",
        "[pool.payout]\nminimum = 700\nscheme = \"solo\"\n[pool.fee]\nsettings = { basis_points = 100 }\n[[pool.fee.recipient]]\nname = \"operator\"\n",
    );
    std::fs::write(&file, &changed).unwrap();
    let foretold = order(&data, Command::Reload { dry_run: true }).await.unwrap();
    assert!(foretold["applied"].to_string().contains("pool.dev.payout.scheme: pplns -> solo"), "{foretold}");
    assert_eq!(digest(&pool, "scheme"), scheme, "a dry run changes nothing");
    let plugins: Vec<&str> =
        foretold["plugins"].as_array().unwrap().iter().map(|said| said.as_str().unwrap()).collect();
    assert!(plugins[0].starts_with("dev: the adapter ") && plugins[0].contains("would lead"), "{plugins:?}");
    assert!(plugins[1].starts_with("dev: solo (") && plugins[1].contains("with flat-fee ("), "{plugins:?}");
    assert!(plugins[1].ends_with("would take over after the next block"), "{plugins:?}");
    assert_eq!(plugins.len(), 2, "{plugins:?}");
    let reloaded = running.reload("test").await.unwrap();
    assert_eq!(reloaded.failed, [] as [String; 0]);
    assert!(reloaded.applied.contains(&"pool.dev.payout.scheme: pplns -> solo".to_owned()), "{reloaded:?}");
    assert!(
        reloaded.applied.contains(&"pool.dev.fee.settings.basis_points: unset -> 100".to_owned()),
        "{reloaded:?}"
    );
    assert_eq!(reloaded.plugins.len(), 2, "{reloaded:?}");
    assert!(reloaded.applied.contains(&"pool.dev.payout.minimum: 500 -> 700".to_owned()), "{reloaded:?}");
    let [port] = reloaded.needs_restart.as_slice() else { panic!("{reloaded:?}") };
    assert!(port.ends_with("pool.dev.port.0.difficulty: 0.000001 -> 0.000002"), "{port}");
    assert!(port.contains("pool.toml:"), "{port}");
    assert_ne!(digest(&pool, "adapter"), adapter);
    // What was changed, and by whom, stands in the chain.
    let mut recorded = Vec::new();
    pool.ledger()
        .reader()
        .for_each_record(&mut |record, _| {
            if let Entry::Noted { by, action, detail } = &record.entry
                && action == "reload"
            {
                recorded.push((by.clone(), detail.clone()));
            }
            Ok(())
        })
        .unwrap();
    let (by, detail) = recorded.last().unwrap();
    assert_eq!(by, "test");
    for change in ["pool.dev.payout.minimum: 500 -> 700", "pool.dev.payout.scheme: pplns -> solo"] {
        assert!(detail.contains(change), "{detail}");
    }

    // The new policy takes over at a block; what needs a restart is told again, and nothing else.
    let name = |pool: &Pool| pool.journal().newest_policy().map(|policy| policy.scheme.name);
    until("the new scheme in force", || name(&pool).as_deref() == Some("solo")).await;
    let again = running.reload("test").await.unwrap();
    assert_eq!((again.applied.len(), again.plugins.len(), again.needs_restart.len()), (0, 0, 1), "{again:?}");

    // An order of the operator lies above the file until the file is read again.
    let swap = Command::PluginSwap {
        pool: "dev".to_owned(),
        role: millpond_admin::Role::Scheme,
        plugin: "prop".to_owned(),
        reason: String::new(),
    };
    order(&data, swap).await.unwrap();
    let back = running.reload("test").await.unwrap();
    assert_eq!(back.applied, ["pool.dev.payout.scheme: prop -> solo"]);

    let shares = accepted();
    until("shares after it all", || accepted() > shares + 20).await;
    for miner in miners {
        assert_eq!(miner.progress().connections(), 1, "a miner had to connect again");
        miner.stop().await.unwrap();
    }
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_reload_shows_a_renewed_certificate_and_disconnects_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let chain = chain().await;
    let old = certificate(folder.path());
    let section = pool("dev", &chain);
    let text = |files: &Path| {
        format!(
            "[host]\ndata = \"{}\"\n{}[[pool.port]]\nlisten = \"127.0.0.1:0\"\ndifficulty = 1e-12\nfixed = true\n{}",
            folder.path().join("data").display(),
            section,
            tls(files)
        )
    };
    let file = folder.path().join("pool.toml");
    let first = text(folder.path());
    let running = start(&file, &first).await;
    let port = running.pools()[0].addresses()[0];
    let login = chain.new_address();
    let mut miner = Client::connect_tls(port, &old).await.unwrap();
    miner.ready("test/1", &login).await;
    miner.share(&login, 1).await;
    assert_eq!(running.reload("test").await.unwrap(), millpond_process::Reloaded::default());

    // Renewed under the same path.
    let new = certificate(folder.path());
    assert!(Client::connect_tls(port, &new).await.is_err(), "nobody has ordered a reload");
    let reloaded = running.reload("test").await.unwrap();
    assert_eq!((reloaded.plugins.len(), reloaded.failed.len()), (1, 0), "{reloaded:?}");
    assert!(reloaded.plugins[0].contains("shows another certificate"), "{reloaded:?}");
    assert!(Client::connect_tls(port, &old).await.is_err());
    Client::connect_tls(port, &new).await.unwrap().ready("test/1", &login).await;
    miner.share(&login, 2).await;

    // Under another path: the option follows, and is not said to need a restart.
    let elsewhere = folder.path().join("elsewhere");
    std::fs::create_dir(&elsewhere).unwrap();
    let moved = certificate(&elsewhere);
    std::fs::write(&file, text(&elsewhere)).unwrap();
    let foretold = order(&folder.path().join("data"), Command::Reload { dry_run: true }).await.unwrap();
    assert_eq!(foretold["needs_restart"], json!([]), "{foretold}");
    assert_eq!(foretold["applied"].as_array().unwrap().len(), 2, "{foretold}");
    let reloaded = running.reload("test").await.unwrap();
    assert_eq!((reloaded.applied.len(), reloaded.needs_restart.len()), (2, 0), "{reloaded:?}");
    Client::connect_tls(port, &moved).await.unwrap().ready("test/1", &login).await;

    // What cannot be read leaves the one in use where it is, and is an alarm.
    std::fs::write(elsewhere.join("pool.key"), "no key").unwrap();
    let reloaded = running.reload("test").await.unwrap();
    assert!(reloaded.failed[0].contains("pool.key"), "{reloaded:?}");
    assert!(running.alarms().iter().any(|alarm| alarm.text.contains("pool.key")));
    Client::connect_tls(port, &moved).await.unwrap().ready("test/1", &login).await;
    miner.share(&login, 3).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_reload_shuts_out_who_is_denied_at_once_and_disconnects_nobody_else() {
    let folder = tempfile::tempdir().unwrap();
    let chain = chain().await;
    let data = folder.path().join("data");
    let section = pool("dev", &chain);
    let text = |rules: &str| {
        format!(
            "[host]\ndata = \"{}\"\n{section}{rules}[[pool.port]]\nlisten = \"127.0.0.1:0\"\ndifficulty = 1e-12\nfixed = true\n",
            data.display()
        )
    };
    let file = folder.path().join("pool.toml");
    let running = start(&file, &text("")).await;
    let port = running.pools()[0].addresses()[0];
    let login = chain.new_address();
    let mut honest = Client::connect(port).await;
    let mut unwanted = Client::connect_from([127, 0, 7, 1], port).await;
    for miner in [&mut honest, &mut unwanted] {
        miner.ready("test/1", &login).await;
        miner.share(&login, 1).await;
    }

    // Limits and lists, and beside them what a running server was built of.
    let rules = "deny = [\"127.0.7.0/24\"]\nallow = [\"10.0.0.0/8\"]\nconnections = 500\nconnections_per_address = 7\n\
                 handshakes = 300\nhandshakes_per_address = 5\nline_bytes = 4096\nbytes_per_second = 100000\n\
                 refused_work = 100\nhandshake = \"50s\"\nidle = \"20m\"\nkeepalive = \"40s\"\nask_version = true\n\
                 agent_difficulty = { \"late/\" = 3.0 }\nban = \"3m\"\nban_longest = \"20h\"\nban_forgotten = \"2h\"\n\
                 ban_window = 60\nban_percent = 40\n";
    let fixed = "shares_per_minute = 20\nmaximum_difficulty = 1e9\npowers_of_two = true\nipv6_prefix = 64\n\
                 tcp_keepalive = \"3m\"\nresume = \"5m\"\n";
    std::fs::write(&file, text(&format!("{rules}{fixed}"))).unwrap();
    let foretold = order(&data, Command::Reload { dry_run: true }).await.unwrap();
    honest.share(&login, 2).await;
    unwanted.share(&login, 2).await;
    let reloaded = running.reload("test").await.unwrap();
    assert_eq!((reloaded.applied.len(), reloaded.needs_restart.len()), (19, 6), "{reloaded:?}");
    assert_eq!(foretold["applied"], json!(reloaded.applied), "the dry run foretells what comes");
    assert_eq!(foretold["needs_restart"].as_array().unwrap().len(), 6, "{foretold}");
    assert!(reloaded.applied.iter().any(|line| line.contains("stratum.deny")), "{reloaded:?}");

    unwanted.closed().await;
    Client::connect_from([127, 0, 7, 2], port).await.closed().await;
    honest.share(&login, 3).await;
    let counted = running.pools()[0].view().stratum;
    assert_eq!((counted.denied, counted.refused_denied), (1, 1));
    assert_eq!(running.reload("test").await.unwrap().applied, [] as [String; 0], "it is in force");

    // Attack over: the door opens again.
    std::fs::write(&file, text("")).unwrap();
    assert_eq!(running.reload("test").await.unwrap().applied.len(), 19);
    let mut back = Client::connect_from([127, 0, 7, 1], port).await;
    back.ready("test/1", &login).await;
    back.share(&login, 4).await;
    honest.share(&login, 5).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_token_counts_when_it_is_made_and_ends_when_it_is_revoked() {
    let folder = tempfile::tempdir().unwrap();
    let chain = chain().await;
    let data = folder.path().join("data");
    let text = format!(
        "[host]\ndata = \"{}\"\n[http]\nlisten = \"127.0.0.1:0\"\n{}[[pool.port]]\nlisten = \"127.0.0.1:0\"\n",
        data.display(),
        pool("dev", &chain)
    );
    let running = start(&folder.path().join("pool.toml"), &text).await;
    let address = running.http().unwrap();
    let asked = async |token: &str| {
        let head = format!(
            "POST /api/v1/admin HTTP/1.1\r\nContent-Type: application/json\r\nAuthorization: Bearer {token}\r\n"
        );
        http(address, &head, &json!({"ask": {"command": "status"}}).to_string()).await.0
    };
    assert_eq!(asked("nonsense").await, 401);
    // As `millpond token` does beside the running process.
    let file = data.join("tokens.json");
    let mut tokens = Tokens::open(Arc::new(RealDisk), &file).unwrap();
    let alice = tokens.make("alice", Scope::Read).unwrap();
    let bob = tokens.make("bob", Scope::Read).unwrap();
    assert_eq!((asked(&alice).await, asked(&bob).await), (200, 200));
    assert!(tokens.revoke("alice").unwrap());
    assert_eq!((asked(&alice).await, asked(&bob).await), (401, 200));
    // A file that cannot be read opens to nobody.
    std::fs::write(&file, b"{").unwrap();
    assert_eq!(asked(&bob).await, 500);
    running.stop().await;
}
