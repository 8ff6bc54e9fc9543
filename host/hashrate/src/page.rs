//! The rows as a table of a page.

use crate::{BATCH, Row};
use std::fmt::Write as _;

/// A table in Markdown: thousands of hashes per second, and in brackets how many times the public crate's that is.
#[must_use]
pub fn section(rows: &[Row], threads: usize) -> String {
    let mut out = format!(
        "\n## Hashes per second\n\n\
         Thousands of hashes per second: each native algorithm with and without the processor's extensions, beside the public \
         crate in the same\nrun; in brackets, times the public crate's hashes one by one, or on all cores. Implementations take turns, \
         the best turn counts, and each must have\nthe same result. Batches are of {BATCH}; all cores are {threads} threads, \
         in batches where there are any.\n\n\
         | algorithm | bytes | by | processor | one by one | in batches | all cores |\n|---|---|---|---|---|---|---|\n"
    );
    for row in rows {
        let public = rows.iter().find(|other| other.algorithm == row.algorithm && other.by != "millpond");
        let beside = public.filter(|_| row.by == "millpond");
        let cell = |rate: f64, of: fn(&Row) -> f64| match beside {
            Some(public) => format!("{} ({:.2}x)", thousands(rate), rate / of(public)),
            None => thousands(rate),
        };
        // Into memory, which does not fail.
        let _ = writeln!(
            out,
            "| `{}` | {} | {} | {} | {} | {} | {} |",
            row.algorithm,
            row.width,
            row.by,
            row.processor,
            cell(row.single, |public| public.single),
            row.batch.map_or_else(String::new, |rate| cell(rate, |public| public.single)),
            cell(row.all_cores, |public| public.all_cores),
        );
    }
    out
}

/// Three digits at least.
fn thousands(rate: f64) -> String {
    let thousands = rate / 1e3;
    if thousands < 100.0 { format!("{thousands:.2}") } else { format!("{thousands:.0}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ours_stand_beside_the_public_crate_of_the_same_algorithm() {
        let row = |algorithm, by, single, batch| Row {
            algorithm,
            width: 80,
            by,
            processor: "portable".to_owned(),
            single,
            batch,
            all_cores: 2.0 * single,
        };
        let rows = [
            row("scrypt", "the scrypt crate", 5_700.0, None),
            row("scrypt", "millpond", 11_400.0, Some(22_800.0)),
            row("blake256", "millpond", 2_000_000.0, Some(4_000_000.0)),
        ];
        let page = section(&rows, 2);
        for line in [
            "| `scrypt` | 80 | the scrypt crate | portable | 5.70 |  | 11.40 |",
            "| `scrypt` | 80 | millpond | portable | 11.40 (2.00x) | 22.80 (4.00x) | 22.80 (2.00x) |",
            "| `blake256` | 80 | millpond | portable | 2000 | 4000 | 4000 |",
        ] {
            assert!(page.contains(line), "{page}");
        }
    }
}
