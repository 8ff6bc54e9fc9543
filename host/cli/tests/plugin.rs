//! The author's commands as an author meets them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "../../../sdk/conformance/tests/support/mod.rs"]
mod scripted;

use std::path::Path;
use std::process::{Command, Output};

fn plugin(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_millpond"))
        .arg("plugin")
        .args(arguments)
        .current_dir(folder)
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Standard output of a command that ended with this code.
fn ended(folder: &Path, code: i32, arguments: &[&str]) -> String {
    let done = plugin(folder, arguments);
    assert_eq!(
        done.status.code(),
        Some(code),
        "{arguments:?}\n{}\n{}",
        text(&done.stdout),
        text(&done.stderr)
    );
    text(if code == 2 { &done.stderr } else { &done.stdout })
}

fn wasm(folder: &Path, name: &str, wat: &str) -> String {
    let file = folder.join(name);
    std::fs::write(&file, wat::parse_str(wat).unwrap()).unwrap();
    file.display().to_string()
}

#[test]
fn the_bundled_plugins_are_listed_with_world_and_digest_and_all_fit() {
    let here = tempfile::tempdir().unwrap();
    let rows: serde_json::Value = serde_json::from_str(&ended(here.path(), 0, &["list", "--json"])).unwrap();
    let rows = rows.as_array().unwrap();
    assert!(rows.len() >= 7);
    for row in rows {
        let name = row["name"].as_str().unwrap();
        let checked: serde_json::Value =
            serde_json::from_str(&ended(here.path(), 0, &["check", name, "--json"])).unwrap();
        assert_eq!((&checked["fits"], &checked["blake3"]), (&true.into(), &row["blake3"]), "{name}");
    }
}

#[test]
fn check_says_exactly_what_does_not_fit_and_fails() {
    let here = tempfile::tempdir().unwrap();
    let folder = here.path();
    let lacking = wasm(
        folder,
        "lacking.wasm",
        r#"(component
            (core module $m (func (export "f") (result i32) i32.const 0))
            (core instance $i (instantiate $m))
            (func $f (result u32) (canon lift (core func $i "f")))
            (instance $e (export "schema" (func $f)))
            (export "millpond:payout/scheme@0.1.0" (instance $e)))"#,
    );
    let said = ended(folder, 1, &["check", &lacking]);
    assert!(said.contains("missing export: millpond:payout/scheme@0.1.0#allocate"), "{said}");
    assert!(said.ends_with("it does not fit\n"), "{said}");
    let json: serde_json::Value =
        serde_json::from_str(&ended(folder, 1, &["check", &lacking, "--json"])).unwrap();
    assert_eq!((&json["fits"], json["findings"].as_array().unwrap().len()), (&false.into(), 2));

    let module = folder.join("module.wasm");
    std::fs::write(&module, wat::parse_str("(module)").unwrap()).unwrap();
    let said = ended(folder, 1, &["check", "module.wasm"]);
    assert!(said.contains("it is a core module; make it a component with `millpond plugin build`"), "{said}");

    let bundled = Path::new(env!("CARGO_MANIFEST_DIR")).join("../bundled/components/handshake.wasm");
    let mut untyped = std::fs::read(bundled).unwrap();
    let (typed, other) = (br#""network": {"type": "string""#, br#""network": {"title": "strin""#);
    let at = untyped.windows(typed.len()).position(|part| part == typed).unwrap();
    untyped[at..at + other.len()].copy_from_slice(other);
    std::fs::write(folder.join("untyped.wasm"), untyped).unwrap();
    for command in ["check", "test"] {
        let said = ended(folder, 1, &[command, "untyped.wasm"]);
        assert!(said.contains("schema: network: the plugin's schema needs a type of string"), "{said}");
    }

    let looked = folder.canonicalize().unwrap().join("nowhere.wasm");
    let words = format!("there is no file {}; bundled plugins are bitcoin, ", looked.display());
    assert!(ended(folder, 2, &["check", "nowhere.wasm"]).contains(&words));
}

#[test]
fn schemas_are_printed_and_properties_are_tested_by_name() {
    let here = tempfile::tempdir().unwrap();
    let schema: serde_json::Value =
        serde_json::from_str(&ended(here.path(), 0, &["schema", "pplns"])).unwrap();
    assert!(schema["properties"]["window"].is_object());
    let quick = ["--cases", "20", "--miners", "1000"];
    let said = ended(here.path(), 0, &[["test", "prop"].as_slice(), &quick].concat());
    assert!(
        said.contains("pass         conserved ") && said.contains("not claimed  hopping-neutral"),
        "{said}"
    );
    assert!(said.contains("prop: ") && said.contains(" 0 broken"), "{said}");
    let refused = [["test", "pplns", "--settings", "window=0"].as_slice(), &quick].concat();
    let said = ended(here.path(), 1, &refused);
    assert!(said.contains("FAIL         terms") && said.contains("`window`"), "{said}");
    let json: serde_json::Value = serde_json::from_str(&ended(
        here.path(),
        0,
        &[["test", "solo", "--json"].as_slice(), &quick].concat(),
    ))
    .unwrap();
    assert_eq!(json["passed"], true);
    assert!(ended(here.path(), 2, &["test", "prop", "--settings", "x"]).contains("it must be KEY=VALUE"));
}

#[test]
fn a_cheat_is_told_with_a_history_that_is_run_again_and_certified_the_same_twice() {
    let here = tempfile::tempdir().unwrap();
    let bad = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/bad-schemes/bad-schemes.wasm");
    let bad = bad.display().to_string();
    let quick = ["--cases", "40", "--miners", "1000"];
    let files = ["--counterexample", "found.json", "--certificate", "bad.json"];
    let founders = ["test", &bad, "--settings", "cheat=founders"];
    let said = ended(here.path(), 1, &[founders.as_slice(), &quick, &files].concat());
    assert!(said.contains("FAIL         newcomer ") && said.contains("bad-schemes.wasm: "), "{said}");
    let found: serde_json::Value =
        serde_json::from_slice(&std::fs::read(here.path().join("found.json")).unwrap()).unwrap();
    assert_eq!(found["property"], "newcomer");
    assert!(!found["history"]["steps"].as_array().unwrap().is_empty());
    let again = ended(here.path(), 1, &[founders.as_slice(), &["--history", "found.json"]].concat());
    assert!(
        again.contains("FAIL         newcomer ") && again.contains(found["why"].as_str().unwrap()),
        "{again}"
    );
    // The honest one that it is made of keeps the same history.
    let honest = ["test", &bad, "--settings", "cheat=none", "--history", "found.json"];
    assert!(ended(here.path(), 0, &honest).contains(" 0 broken"));

    let read = |file: &str| std::fs::read(here.path().join(file)).unwrap();
    let files = ["--certificate", "again.json"];
    ended(here.path(), 1, &[founders.as_slice(), &quick, &files].concat());
    assert_eq!(read("bad.json"), read("again.json"));
    let other = [founders.as_slice(), &["--seed", "2"], &quick, &["--certificate", "other.json"]].concat();
    ended(here.path(), 1, &other);
    assert_ne!(read("bad.json"), read("other.json"));
    let certificate: serde_json::Value = serde_json::from_slice(&read("bad.json")).unwrap();
    assert_eq!(
        (&certificate["passed"], &certificate["format"]),
        (&false.into(), &"millpond-certificate-1".into())
    );
    let failed: Vec<_> =
        certificate["verdicts"].as_array().unwrap().iter().filter(|v| v["status"] == "broken").collect();
    assert_eq!((failed.len(), &failed[0]["id"]), (1, &"newcomer".into()));
    assert!(
        ended(here.path(), 2, &["test", "flat-fee", "--history", "found.json"])
            .contains("is no payout scheme")
    );
}

#[test]
fn a_scheme_divides_an_income_over_a_share_log_of_ones_own() {
    let here = tempfile::tempdir().unwrap();
    let log = "miner,work,network,reward,block\nann,100,1000,900,0\nbob,100,1000,900,1\nbob,50,1000,900,0\nann,100,1000,900,1\n";
    std::fs::write(here.path().join("log.csv"), log).unwrap();
    let run = |more: &[&str]| {
        let said = ended(
            here.path(),
            0,
            &[["run", "prop", "--shares", "log.csv", "--json"].as_slice(), more].concat(),
        );
        serde_json::from_str::<serde_json::Value>(&said).unwrap()
    };
    // The round after bob's block: ann 100, bob 50.
    assert_eq!(run(&[])["amounts"], serde_json::json!([["ann", 600], ["bob", 300]]));
    assert_eq!(run(&["--at", "2", "--income", "11"])["amounts"].as_array().unwrap().len(), 2);
    // Shares that are paid one by one are paid what they are worth.
    let paid = ended(here.path(), 0, &["run", "pps", "--shares", "log.csv", "--at", "3", "--json"]);
    let paid: serde_json::Value = serde_json::from_str(&paid).unwrap();
    assert_eq!(paid["credited"], serde_json::json!([["ann", 90], ["bob", 135]]));
    assert_eq!((&paid["amounts"], &paid["rest"]), (&serde_json::json!([]), &900.into()));
    // What a window that is not full left over of the first income is divided with the second: 0.2 of 2 units were paid,
    // less what rounding took.
    let carried = ["--settings", "unfilled=carry", "--shares", "log.csv", "--json"];
    let carried = ended(here.path(), 0, &[["run", "pplns"].as_slice(), &carried].concat());
    let carried: serde_json::Value = serde_json::from_str(&carried).unwrap();
    let paid: u64 = carried["amounts"].as_array().unwrap().iter().map(|row| row[1].as_u64().unwrap()).sum();
    assert_eq!((&carried["carried"], paid + carried["rest"].as_u64().unwrap()), (&811.into(), 900 + 811));
    std::fs::write(here.path().join("bad.csv"), "miner,work\n").unwrap();
    assert!(
        ended(here.path(), 2, &["run", "prop", "--shares", "bad.csv"]).contains("bad.csv: line 1: no column")
    );
    assert!(ended(here.path(), 2, &["run", "prop"]).contains("a scheme --shares FILE"));
}

#[test]
fn a_new_plugin_is_a_crate_with_sources_tests_and_readme() {
    let here = tempfile::tempdir().unwrap();
    let sdk = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../sdk/guest");
    let sdk = sdk.canonicalize().unwrap().display().to_string();
    for kind in ["adapter", "scheme", "fee", "vote"] {
        let name = format!("my-{kind}");
        let said = ended(here.path(), 0, &["new", kind, &name, "--sdk", &sdk]);
        assert!(said.contains("next: cd my-"), "{said}");
        let read = |file: &str| std::fs::read_to_string(here.path().join(&name).join(file)).unwrap();
        let manifest: toml::Table = read("Cargo.toml").parse().unwrap();
        assert_eq!(manifest["package"]["metadata"]["millpond"]["name"].as_str(), Some(name.as_str()));
        assert_eq!(manifest["dependencies"]["millpond-sdk"]["path"].as_str(), Some(sdk.as_str()));
        assert!(read("README.md").starts_with(&format!("# {name}\n")));
        assert!(!read("Cargo.toml").contains("{{") && read("src/lib.rs").contains("#[cfg(test)]"));
        assert!(!read("Cargo.lock").is_empty());
    }
    let again = plugin(here.path(), &["new", "scheme", "my-scheme", "--sdk", &sdk]);
    assert!(text(&again.stderr).contains("my-scheme is there already"), "{}", text(&again.stderr));
    for (kind, name, said) in
        [("shceme", "x", "no kind of plugin is named"), ("fee", "Bad Name", "is no name")]
    {
        let refused = plugin(here.path(), &["new", kind, name, "--sdk", &sdk]);
        assert_eq!(refused.status.code(), Some(1));
        assert!(text(&refused.stderr).contains(said), "{}", text(&refused.stderr));
    }
}

/// Whether plugins are to be built for wasm: `MILLPOND_GUEST_BUILDS=1`, as CI sets it. A compiler that is missing is
/// then a failure.
fn guest_builds_wanted() -> bool {
    let wanted = std::env::var_os("MILLPOND_GUEST_BUILDS").is_some_and(|value| value == "1");
    if !wanted {
        eprintln!(
            "not run: building plugins for wasm needs MILLPOND_GUEST_BUILDS=1 (and a compiler for wasm)"
        );
    }
    wanted
}

#[test]
fn every_template_builds_fits_and_keeps_its_properties() {
    if !guest_builds_wanted() {
        return;
    }
    let here = tempfile::tempdir().unwrap();
    let sdk = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../sdk/guest").canonicalize().unwrap();
    for kind in ["scheme", "fee", "vote", "adapter"] {
        let name = format!("my-{kind}");
        let file = format!("{name}/{name}.wasm");
        ended(here.path(), 0, &["new", kind, &name, "--sdk", &sdk.display().to_string()]);
        // Its own tests, on this machine's processor; what the four have in common is compiled once.
        let tests = Command::new(env!("CARGO"))
            .args(["test", "--quiet"])
            .current_dir(here.path().join(&name))
            .env("CARGO_TARGET_DIR", here.path().join("native"))
            .output()
            .unwrap();
        assert!(tests.status.success(), "{kind}\n{}\n{}", text(&tests.stdout), text(&tests.stderr));
        assert!(text(&tests.stdout).contains("test result: ok. "), "{kind}: {}", text(&tests.stdout));
        assert!(ended(here.path(), 0, &["build", &name]).contains(" bytes, blake3 "));
        assert!(ended(here.path(), 0, &["check", &file]).ends_with("it fits\n"));
        let said = ended(here.path(), 0, &["test", &file, "--cases", "40"]);
        assert!(said.contains(" 0 broken"), "{said}");
    }
}

/// Lines of code before a file's tests: neither empty nor comment.
fn lines_of_code(text: &str) -> usize {
    let code = text.split("#[cfg(test)]").next().unwrap();
    code.lines().filter(|line| !line.trim().is_empty() && !line.trim_start().starts_with("//")).count()
}

#[test]
fn a_scheme_that_splits_one_declared_window_is_ten_lines() {
    let here = tempfile::tempdir().unwrap();
    let sdk = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../sdk/guest").display().to_string();
    ended(here.path(), 0, &["new", "scheme", "mine", "--sdk", &sdk]);
    let template = std::fs::read_to_string(here.path().join("mine/src/lib.rs")).unwrap();
    assert!((3..=10).contains(&lines_of_code(&template)), "{template}");
    assert!((3..=10).contains(&lines_of_code(include_str!("../../../plugins/prop/src/lib.rs"))));
    // The guide shows a whole scheme: the same code under another name.
    let guide = include_str!("../../../docs/plugin-author.md");
    let shown = guide.split("```rust\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let code = template.split("#[cfg(test)]").next().unwrap().replace("Plugin", "LastMillion");
    for line in shown.lines().filter(|line| !line.is_empty()) {
        assert!(code.contains(line), "{line:?} is not in the template:\n{code}");
    }
    assert!(lines_of_code(shown) <= 10, "{shown}");
}

/// A component with the exports of a payout scheme, all of them functions of this type, around imports and a module.
fn like_a_scheme(imports: &str, module: &str, version: &str) -> String {
    format!(
        r#"(component {imports}
            (core module $m (func (export "f") (result i32) i32.const 0) {module})
            (core instance $i (instantiate $m))
            (func $f (result u32) (canon lift (core func $i "f")))
            (instance $e (export "schema" (func $f)) (export "describe" (func $f)) (export "allocate" (func $f)))
            (export "millpond:payout/scheme@{version}" (instance $e)))"#
    )
}

#[test]
fn check_has_words_of_its_own_for_each_thing_that_does_not_fit() {
    let here = tempfile::tempdir().unwrap();
    let clock = r#"(import "wasi:clocks/wall-clock@0.2.0" (instance (export "now" (func (result u64)))))"#;
    let floats = r#"(func $rate (export "g") (result i32) (i32.trunc_f64_s (f64.const 1.5)))"#;
    let cases = [
        (
            "wrong type",
            like_a_scheme("", "", "0.1.0"),
            "wrong type: millpond:payout/scheme@0.1.0#schema: expected `string` found `u32`",
        ),
        (
            "wrong version",
            like_a_scheme("", "", "0.7.0"),
            "wrong version: it exports millpond:payout/scheme@0.7.0, this host knows millpond:payout/scheme@0.2.0",
        ),
        (
            "unknown import",
            like_a_scheme(clock, "", "0.1.0"),
            "unknown import: wasi:clocks/wall-clock@0.2.0; the strict class imports nothing",
        ),
        (
            "floats",
            like_a_scheme("", floats, "0.1.0"),
            "floats in the strict class: function \"rate\" of core module 0: floating-point instruction disallowed",
        ),
        (
            "too many functions",
            like_a_scheme("", &"(func)".repeat(20_000), "0.1.0"),
            "too many functions: 20001, the strict class allows 20000",
        ),
        (
            "too much memory",
            like_a_scheme("", "(memory 600)", "0.1.0"),
            "too many MiB of memory at start: 38, the strict class allows 32",
        ),
    ];
    for (name, wat, words) in cases {
        let file = wasm(here.path(), &format!("{}.wasm", name.replace(' ', "-")), &wat);
        let said = ended(here.path(), 1, &["check", &file]);
        assert!(said.lines().any(|line| line.trim_start().starts_with(words)), "{name}: {said}");
        assert!(said.ends_with("it does not fit\n"), "{name}: {said}");
        let json: serde_json::Value =
            serde_json::from_str(&ended(here.path(), 1, &["check", &file, "--json"])).unwrap();
        let findings = json["findings"].as_array().unwrap();
        assert!(
            findings.iter().any(|finding| finding.as_str().unwrap().starts_with(words)),
            "{name}: {json}"
        );
    }
    // Larger than its class allows: a bundled scheme with 4 MiB of nothing behind it.
    let mut large = millpond_bundled::get("prop").unwrap().bytes.to_vec();
    let body = [&[4_u8][..], b"zero", &vec![0; 4 << 20]].concat();
    let mut length = body.len();
    large.push(0);
    while length > 0x7f {
        large.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    large.push(length as u8);
    large.extend(body);
    std::fs::write(here.path().join("large.wasm"), &large).unwrap();
    let said = ended(here.path(), 1, &["check", "large.wasm"]);
    let words = format!("size: {} bytes, the strict class allows 4194304", large.len());
    assert!(said.lines().any(|line| line.trim() == words), "{said}");
}

#[test]
fn a_scripted_recording_is_replayed_and_tested_by_the_commands() {
    let here = tempfile::tempdir().unwrap();
    std::fs::write(here.path().join("script.jsonl"), scripted::recorded()).unwrap();
    let settings: Vec<String> = scripted::settings()
        .into_iter()
        .flat_map(|(key, value)| {
            let value = match value {
                millpond_contracts::Setting::Text(text) => text,
                millpond_contracts::Setting::Int(number) => number.to_string(),
                millpond_contracts::Setting::Flag(flag) => flag.to_string(),
            };
            ["--settings".to_owned(), format!("{key}={value}")]
        })
        .collect();
    let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
    let replay = || {
        ended(
            here.path(),
            0,
            &[&["run", "bitcoin", "--replay", "script.jsonl"], settings.as_slice()].concat(),
        )
    };
    let first = replay();
    assert_eq!(first, replay(), "a replay says the same every time");
    let test = ["test", "bitcoin", "--recording", "script.jsonl", "--cases", "10", "--miners", "10"];
    let said = ended(here.path(), 0, &[&test, settings.as_slice()].concat());
    for property in ["replayed", "assembled", "restarted", "lied-to", "bent", "reorganised"] {
        let passed = |line: &str| line.starts_with("pass ") && line.contains(property);
        assert!(said.lines().any(passed), "{property}: {said}");
    }
    assert!(said.contains(" 0 broken"), "{said}");
}
