//! `millpond bench hashes`: a table to read and an object to compute with, of the same figures.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use support::{ended, json};

const QUICK: [&str; 6] = ["bench", "hashes", "--seconds", "0.01", "--threads", "1"];

#[test]
fn each_row_says_what_hashed_by_whose_code_on_what_and_how_fast() {
    let figures = json(
        &[&QUICK[..], &["--algorithm", "eaglesong", "--algorithm", "equihash-144-5", "--json"]].concat(),
    );
    assert_eq!((&figures["bench"], figures["threads"].as_u64()), (&"hashes".into(), Some(1)));
    let rows = figures["rows"].as_array().unwrap();
    let of = |algorithm: &str, by: &str| {
        rows.iter().filter(|row| row["algorithm"] == algorithm && row["by"] == by).count()
    };
    assert_eq!(of("eaglesong", "the eaglesong crate"), 1);
    assert!(of("eaglesong", "millpond") >= 1 && of("equihash-144-5", "the equihash crate") == 1);
    assert_eq!(rows.iter().filter(|row| row["processor"] == "portable").count(), 1);
    assert!(
        rows.iter().all(|row| row["single"].as_f64().unwrap() > 0.0 && row["width"].as_u64().unwrap() > 0)
    );
    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("hashes.md");
    let table =
        ended(0, &[&QUICK[..], &["--algorithm", "eaglesong", "--page", page.to_str().unwrap()]].concat());
    let page = std::fs::read_to_string(&page).unwrap();
    assert!(
        page.contains("| processor |") && page.contains("| `eaglesong` | 48 | the eaglesong crate |"),
        "{page}"
    );
    assert!(table.lines().count() >= 4 && table.contains("the eaglesong crate"), "{table}");
    assert!(!table.contains("sha256d") && !table.contains('\x1b'), "{table}");
}

#[test]
fn a_name_or_a_time_that_is_wrong_is_a_mistake_of_the_command_line() {
    assert!(ended(2, &["bench", "hashes", "--algorithm", "sha-none"]).contains("sha256d"));
    assert!(ended(2, &["bench", "hashes", "--seconds", "0"]).contains("above 0"));
    assert!(ended(2, &["bench", "hashes", "--seconds=-1"]).contains("above 0"));
}
