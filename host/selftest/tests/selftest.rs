//! The whole selftest, and that it is the same by any number of threads.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use millpond_selftest::{Options, Report, rows, run};

/// The page has the table as it is printed.
const PAGE: &str = include_str!("../../../docs/selftest.md");

fn of(rows: &[&str], seed: u64, threads: Option<usize>) -> Report {
    let rows = rows.iter().map(|row| (*row).to_owned()).collect();
    run(&Options { seed, rows, threads }, |_, _, _| ()).unwrap()
}

#[test]
fn selftest_is_green_and_every_twin_fails() {
    let report = run(&Options::default(), |_, _, _| ()).unwrap();
    println!("{report}\n{}", report.digest);
    for row in &report.seconds {
        println!("{}: {:.1} s, twin {:.1} s", row.rows, row.seconds, row.twin);
    }
    assert_eq!(report.lines.len(), rows().len());
    assert!(report.passes(), "{}", report.complaints().join("\n"));
    // The same on any machine, and so the page is either this run's or an older one's.
    let table = report.to_string();
    for line in table.lines().filter(|line| line.starts_with('|')) {
        assert!(PAGE.contains(line), "docs/selftest.md has not\n{line}");
    }
    assert!(PAGE.contains(&report.digest.to_string()), "docs/selftest.md has not {}", report.digest);
}

#[test]
fn the_page_has_the_formula_of_every_row() {
    for figure in rows() {
        let line = format!("| {} | {} |", figure.row, figure.formula);
        assert!(PAGE.contains(&line), "docs/selftest.md has not\n{line}");
    }
}

#[test]
fn threads_change_nothing_and_another_seed_changes_what_is_drawn() {
    // Controls, weights and what is enumerated.
    let few = ["5", "6", "24"];
    let one = of(&few, 7, Some(1));
    assert_eq!(one.lines.len(), 5);
    assert_eq!(one.lines, of(&few, 7, Some(3)).lines);
    assert_eq!(one.digest, of(&few, 7, None).digest);
    let other = of(&few, 8, Some(2));
    assert!(one.passes() && other.passes());
    for (line, other) in one.lines.iter().zip(&other.lines) {
        let drawn = !line.figure.row.starts_with("24");
        assert_eq!(line.measured.value != other.measured.value, drawn, "{}", line.figure.row);
    }
}

#[test]
fn progress_is_told_run_by_run() {
    let mut heard = Vec::new();
    let options = Options { rows: vec!["24".to_owned()], ..Options::default() };
    run(&options, |what, done, of| heard.push((what.to_owned(), done, of))).unwrap();
    let expected = [
        ("row 24, 24-net".to_owned(), 0, 4),
        ("the twin of row 24, 24-net".to_owned(), 1, 4),
        ("row 24-compatible".to_owned(), 2, 4),
        ("the twin of row 24-compatible".to_owned(), 3, 4),
    ];
    assert_eq!(heard, expected);
}
