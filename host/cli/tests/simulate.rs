//! `millpond simulate` and `millpond bench simulate`, as somebody calls them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use support::{ended, json, millpond};

#[test]
fn an_example_is_printed_played_and_written_out() {
    let names = ended(0, &["simulate", "example"]);
    assert!(names.contains("hopping: A hopper in a proportional pool"), "{names}");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("lost.toml");
    let text = ended(0, &["simulate", "example", "lost-blocks"]);
    let kept = include_str!("../../../examples/scenarios/lost-blocks.toml");
    assert_eq!(text, kept);
    std::fs::write(&file, text.replace("blocks = 4000", "blocks = 100")).unwrap();
    let file = file.to_str().unwrap();
    let out = folder.path().join("out");
    let run = ["simulate", "run", file, "--replications", "3"];
    let written = [&run[..], &["--out", out.to_str().unwrap(), "--format", "csv,json,html"]].concat();
    let played = millpond(&written);
    assert_eq!(played.status.code(), Some(0));
    let table = String::from_utf8(played.stdout).unwrap();
    // A step a line where there is no terminal, from the first one on.
    let steps = String::from_utf8(played.stderr).unwrap();
    assert!(steps.starts_with("1 of 3: replications\n") && !steps.contains("4 of 3"), "{steps}");
    assert!(table.contains("| pps | all | 1.000000 ± 0.000000 |"), "{table}");
    let files = |end: &str| {
        let names = std::fs::read_dir(&out).unwrap().map(|entry| entry.unwrap().file_name());
        names.filter(|name| name.to_str().unwrap().ends_with(end)).count()
    };
    assert_eq!((files(".csv"), files(".html"), files(".parquet")), (4, 1, 0));
    // The page names the columns as they are.
    let csv = std::fs::read_to_string(out.join("classes.csv")).unwrap();
    let columns: Vec<&str> = csv.lines().find(|line| !line.starts_with('#')).unwrap().split(',').collect();
    let page = include_str!("../../../docs/simulate.md");
    let table = page.split("| column of `classes` |").nth(1).unwrap().lines().skip(2);
    let named: Vec<&str> = table
        .take_while(|row| row.starts_with('|'))
        .flat_map(|row| row.split('`').skip(1).step_by(2))
        .filter(|name| *name != "pay" || columns.contains(name))
        .collect();
    assert!(named.len() >= 10 && named.iter().all(|name| columns.contains(name)), "{named:?} {columns:?}");
    let page = std::fs::read_to_string(out.join("report.html")).unwrap();
    assert!(page.contains("Lost blocks") && page.contains("<svg"));

    // Both ways give the same, and a head says what ran.
    let both = json(&[&run[..], &["--how", "both", "--threads", "1", "--json"]].concat());
    assert!(both["schemes"].as_array().unwrap().iter().all(|scheme| scheme["same_as_component"] == true));
    assert_eq!(both["head"]["replications"], 3);
    let native = json(&[&run[..], &["--seed", "1", "--json"]].concat());
    assert_eq!(native["classes"], both["classes"]);
    let other = json(&[&run[..], &["--seed", "2", "--json"]].concat());
    assert_ne!(native["classes"], other["classes"]);
}

#[test]
fn what_is_wrong_with_a_scenario_is_told_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("wrong.toml");
    let text = ended(0, &["simulate", "example", "pplns"]);
    std::fs::write(&file, text.replace("warmup = 20", "warm-up = 20")).unwrap();
    let told = ended(2, &["simulate", "run", file.to_str().unwrap()]);
    assert!(told.contains("wrong.toml") && told.contains("line 12") && told.contains("warm-up"), "{told}");
    assert!(ended(2, &["simulate", "run", "/no/such/file"]).contains("/no/such/file"));
    // A component is looked for from the current folder, and the error says where that was.
    std::fs::write(&file, text.replace("plugin = \"pplns\"", "plugin = \"mine/mine.wasm\"")).unwrap();
    let told = ended(2, &["simulate", "run", file.to_str().unwrap()]);
    let looked = std::env::current_dir().unwrap().join("mine/mine.wasm");
    assert!(told.contains(looked.to_str().unwrap()), "{told}");
    assert!(ended(2, &["simulate", "example", "nothing"]).contains("there are backpay, coming-and-going"));
}

#[test]
fn the_bench_says_how_fast_each_way_is_and_that_both_give_the_same() {
    let figures = json(&["bench", "simulate", "--shares", "100000", "--json"]);
    let speeds = figures["speeds"].as_array().unwrap();
    assert!(speeds.iter().all(|speed| speed["steps_per_second"].as_f64().unwrap() > 0.0), "{figures}");
    let of = |how: &str| speeds.iter().filter(|speed| speed["how"] == how).count();
    assert_eq!((of("native"), of("component")), (6, 6));
    assert!(speeds.iter().all(|speed| speed["how"] == "native" || speed["same"] == true), "{figures}");
}
