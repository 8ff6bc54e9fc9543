//! `millpond simulate selftest` as a user runs it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use serde_json::Value;
use std::process::{Command, Output};

fn selftest(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_millpond"))
        .args(["simulate", "selftest"])
        .args(arguments)
        .output()
        .unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn rows_are_measured_and_equal_seeds_give_equal_rows() {
    let table = selftest(&["--row", "24"]);
    assert_eq!(table.status.code(), Some(0), "{table:?}");
    let text = said(&table);
    for row in ["| 24 |", "| 24-net |", "| 24-compatible |", "3 of 3 rows pass with their twins. Seed 1,"] {
        assert!(text.contains(row), "{text}");
    }
    let object = |seed: &str, threads: &str| -> Value {
        let output = selftest(&["--row", "6", "--seed", seed, "--threads", threads, "--json"]);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let (one, two, other) = (object("5", "1"), object("5", "2"), object("6", "2"));
    assert_eq!((&one["lines"], &one["digest"]), (&two["lines"], &two["digest"]));
    assert_ne!(one["digest"], other["digest"]);
    assert_eq!(one["lines"][0]["judged"]["verdict"], "holds");
    assert_eq!(one["lines"][0]["wrong"]["seen"], true);
}

#[test]
fn a_list_measures_nothing_and_a_row_that_is_none_is_said() {
    let list = selftest(&["--list"]);
    assert_eq!(list.status.code(), Some(0));
    assert!(
        said(&list)
            .contains("| 20 | part of rounds that are longer than 5 D, D = 2^20 | world | (1 - p)^(5 D) |")
    );
    let rows: Value = serde_json::from_slice(&selftest(&["--list", "--json"]).stdout).unwrap();
    assert_eq!(rows.as_array().unwrap().len(), said(&list).lines().count() - 2);
    let none = selftest(&["--row", "6", "--row", "99"]);
    assert_eq!((none.status.code(), said(&none)), (Some(2), String::new()));
    let complaint = String::from_utf8(none.stderr).unwrap();
    assert!(complaint.contains("there is no row \"99\": the rows are 1, 2,"), "{complaint}");
    assert_eq!(selftest(&["--threads", "0"]).status.code(), Some(2));
}
