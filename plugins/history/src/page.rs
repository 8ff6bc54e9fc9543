//! A scheme's page in `docs/schemes`, held against the scheme.

use crate::{Paid, SHARES};
use millpond_sdk::payout::{Scheme, Settings};
use millpond_sdk::payout_0_2;
use serde_json::Value;

/// The text of a page.
#[derive(Clone, Copy, Debug)]
pub struct Page<'a>(pub &'a str);

impl<'a> Page<'a> {
    /// The page names exactly the claims and the settings that the scheme has, with defaults and bounds.
    pub fn describes<S: Scheme>(self) {
        self.names(&S::describe(Settings::new()).unwrap().claims, &S::schema());
    }

    /// As [`Page::describes`], of a scheme of the second version of the contract.
    pub fn describes_0_2<S: payout_0_2::Scheme>(self) {
        self.names(&S::describe(Vec::new()).unwrap().claims, &S::schema());
    }

    fn names(self, claims: &[String], schema: &str) {
        let claims: Vec<String> = claims.iter().map(|claim| format!("`{claim}`")).collect();
        let line = self.0.lines().find_map(|line| line.strip_prefix("Claims: "));
        assert_eq!(line, Some(format!("{}.", claims.join(", ")).as_str()), "the line of claims");

        let schema: Value = serde_json::from_str(schema).unwrap();
        let settings = schema["properties"].as_object().unwrap();
        let mut wanted: Vec<Vec<String>> =
            settings.iter().map(|(name, rule)| described(name, rule)).collect();
        let mut found: Vec<Vec<String>> = match self.table("## Settings") {
            Some(rows) => {
                rows.iter().map(|row| row[..3].iter().map(|cell| (*cell).to_owned()).collect()).collect()
            }
            None => Vec::new(),
        };
        wanted.sort();
        found.sort();
        assert_eq!(found, wanted, "the table of settings");
    }

    /// The table below this heading works out these payments: `block | divided | A | B | C | paid A | paid B | paid C |
    /// rest`, the first three amounts as exact fractions.
    pub fn works_out(self, heading: &str, paid: &[Paid]) {
        let rows = self.table(heading).unwrap_or_else(|| panic!("no table below {heading:?}"));
        assert_eq!(rows.len(), paid.len(), "rows below {heading:?}");
        for (at, (row, paid)) in rows.iter().zip(paid).enumerate() {
            let number = |column: usize| -> u64 {
                row[column].parse().unwrap_or_else(|_| panic!("{:?} is no number in {row:?}", row[column]))
            };
            assert_eq!(number(0), at as u64 + 1, "{row:?}");
            let written =
                Paid { gross: number(1), amounts: [number(5), number(6), number(7)], rest: number(8) };
            assert_eq!(&written, paid, "below {heading:?}, block {}", at + 1);
            assert_eq!(paid.amounts.iter().sum::<u64>() + paid.rest, paid.gross, "{row:?}");
            for (cell, amount) in row[2..5].iter().zip(paid.amounts) {
                // Rounding moves an amount by less than a unit.
                let (above, below) = exact(cell);
                let amount = u128::from(amount) * below;
                assert!(amount.abs_diff(above) < below, "{cell:?} is paid as {amount}/{below} in {row:?}");
            }
        }
    }

    /// The page of all schemes sums these payments up.
    pub fn sums_up(self, scheme: &str, paid: &[Paid]) {
        let rows = self.table("The same in all schemes:").expect("a table of all schemes");
        let name = format!("`{scheme}`");
        let row = rows.iter().find(|row| row[0] == name).unwrap_or_else(|| panic!("no row of {name}"));
        let of = |at: usize| paid.iter().map(|block| block.amounts[at]).sum::<u64>();
        let wanted = [of(0), of(1), of(2), of(0) + of(1) + of(2)].map(|sum| sum.to_string());
        assert_eq!(row[1..], wanted, "{name}");
        let listed = self.0.lines().any(|line| line.starts_with(&format!("| [{name}]({scheme}.md)")));
        assert!(listed, "{name} is not in the first table");
    }

    /// The page shows the history itself.
    pub fn shows_the_history(self) {
        let rows = self.table("## The history").expect("a table of the history");
        let wanted: Vec<Vec<String>> = (1..)
            .zip(SHARES)
            .map(|(number, share)| {
                let miner = ["", "A", "B", "C"][share.miner as usize];
                let blocks = SHARES[..number].iter().filter(|share| share.block).count();
                let block = if share.block { blocks.to_string() } else { String::new() };
                let units =
                    ["", "1/4", "1/2", "3/4", "1", "5/4", "3/2"][(share.work * 4 / share.network) as usize];
                [
                    number.to_string(),
                    share.hour.to_string(),
                    miner.to_owned(),
                    share.work.to_string(),
                    share.network.to_string(),
                    units.to_owned(),
                    block,
                ]
                .to_vec()
            })
            .collect();
        assert_eq!(rows, wanted);
    }

    /// The rows of the first table below a heading, without its head; none if another heading comes first.
    fn table(self, heading: &str) -> Option<Vec<Vec<&'a str>>> {
        let mut lines = self.0.lines().skip_while(|line| *line != heading).skip(1);
        let head = lines.by_ref().find(|line| line.starts_with('|') || line.starts_with('#'))?;
        if head.starts_with('#') {
            return None;
        }
        let rows = lines.skip(1).take_while(|line| line.starts_with('|'));
        Some(rows.map(|row| row.trim_matches('|').split('|').map(str::trim).collect()).collect())
    }
}

/// Name, default and bounds of a setting, as a page writes them.
fn described(name: &str, rule: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let bounds = match rule["enum"].as_array() {
        Some(choices) => choices.iter().map(text).collect::<Vec<_>>().join(", "),
        None => format!("{} to {}", rule["minimum"], rule["maximum"]),
    };
    vec![format!("`{name}`"), text(&rule["default"]), bounds]
}

/// A sum of products of whole numbers and fractions, such as `990 · 5/8 + 10`, as one fraction.
fn exact(cell: &str) -> (u128, u128) {
    let number = |text: &str| -> u128 { text.parse().unwrap_or_else(|_| panic!("{text:?} in {cell:?}")) };
    cell.split(" + ").fold((0, 1), |(above, below), term| {
        let (top, bottom) =
            term.split(" · ").fold((1, 1), |(top, bottom), factor| match factor.split_once('/') {
                Some((over, under)) => (top * number(over), bottom * number(under)),
                None => (top * number(factor), bottom),
            });
        (above * bottom + top * below, below * bottom)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "# X\n\n## Worked example\n\n| block | divided | A | B | C | paid A | paid B | paid C | rest |\n\
                        |---|---|---|---|---|---|---|---|---|\n\
                        | 1 | 10 | 10 · 1/3 | 10 · 1/3 + 10 · 1/3 | 0 | 3 | 7 | 0 | 0 |\n\n## Next\n";

    #[test]
    fn sums_of_products_are_read_exactly() {
        assert_eq!(exact("990 · 5/8 + 10"), (5030, 8));
        assert_eq!(exact("0"), (0, 1));
    }

    #[test]
    fn a_page_that_says_what_is_paid_is_right() {
        Page(PAGE).works_out("## Worked example", &[Paid { gross: 10, amounts: [3, 7, 0], rest: 0 }]);
    }

    #[test]
    #[should_panic(expected = "block 1")]
    fn a_page_with_another_amount_is_wrong() {
        Page(PAGE).works_out("## Worked example", &[Paid { gross: 10, amounts: [4, 6, 0], rest: 0 }]);
    }

    #[test]
    #[should_panic(expected = "is paid as")]
    fn a_page_with_another_fraction_is_wrong() {
        let page = PAGE.replace("10 · 1/3 |", "10 · 2/3 |");
        Page(&page).works_out("## Worked example", &[Paid { gross: 10, amounts: [3, 7, 0], rest: 0 }]);
    }

    #[test]
    #[should_panic(expected = "no table below")]
    fn a_table_of_another_section_is_not_taken() {
        Page(PAGE).works_out("# X", &[]);
    }
}
