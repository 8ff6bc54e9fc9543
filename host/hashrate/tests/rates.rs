//! Every algorithm that a chain mines by is measured, beside its public implementation, and none is left out unnoticed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use millpond_algorithms::{Algorithms, Processor};
use millpond_hashrate::{HashrateError, Options, cases, measure};
use std::time::Duration;

fn options(algorithms: &[&str]) -> Options {
    let algorithms = algorithms.iter().map(|name| (*name).to_owned()).collect();
    Options { algorithms, each: Duration::from_millis(1), turns: 1, threads: 2 }
}

#[test]
fn each_choice_of_extensions_is_measured_beside_the_public_crate_and_computes_the_same() {
    let mut heard = Vec::new();
    let rows =
        measure(&options(&[]), |name, done, total| heard.push((name.to_owned(), done, total))).unwrap();
    for case in cases() {
        let own: Vec<_> = rows.iter().filter(|row| row.algorithm == case.name).collect();
        let expected = Processor::choices().len() + usize::from(case.reference.is_some());
        assert_eq!(own.len(), expected, "{}", case.name);
        assert_eq!(own.iter().filter(|row| row.by == "millpond").count(), Processor::choices().len());
    }
    for name in Algorithms::native().verifier_names() {
        assert_eq!(rows.iter().filter(|row| row.algorithm == name).count(), 1, "{name}");
    }
    for row in &rows {
        assert!(
            row.single > 0.0 && row.all_cores > 0.0 && row.batch.is_none_or(|rate| rate > 0.0),
            "{row:?}"
        );
    }
    let total = cases().len() + Algorithms::native().verifier_names().count();
    assert_eq!(heard.len(), total);
    assert!(heard.iter().enumerate().all(|(i, (_, done, of))| *done == i && *of == total));
}

#[test]
fn only_what_is_named_is_measured_and_a_wrong_name_is_told_which_there_are() {
    let rows = measure(&options(&["eaglesong", "equihash-144-5"]), |_, _, _| {}).unwrap();
    assert!(rows.iter().all(|row| ["eaglesong", "equihash-144-5"].contains(&row.algorithm)));
    let error = measure(&options(&["sha-none"]), |_, _, _| {}).unwrap_err();
    assert!(matches!(&error, HashrateError::Unknown { name, .. } if name == "sha-none"));
    assert!(error.to_string().contains("sha256d") && error.to_string().contains("equihash-200-9"), "{error}");
}
