//! The pages of the schemes that have been there longest, and the page of all.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use millpond_scheme_history::{INCOME, Page, Paid, SHARES, pays};
use millpond_scheme_pplns::UnitPplns;
use millpond_scheme_pps::Pps;
use millpond_scheme_prop::Prop;
use millpond_scheme_solo::Solo;
use millpond_sdk::payout::{Accrual, Batch, Scheme, Setting, Settings, State};
use std::collections::BTreeMap;
use std::path::Path;

const ALL: Page = Page(include_str!("../../../docs/schemes/README.md"));

fn holds<S: Scheme>(name: &str, page: &str, paid: &[Paid]) {
    Page(page).describes::<S>();
    Page(page).works_out("## Worked example", paid);
    ALL.sums_up(name, paid);
}

#[test]
fn solo_prop_and_pplns_pay_what_their_pages_say() {
    let none = Settings::new();
    holds::<Solo>("solo", include_str!("../../../docs/schemes/solo.md"), &pays::<Solo>(&none));
    holds::<Prop>("prop", include_str!("../../../docs/schemes/prop.md"), &pays::<Prop>(&none));
    let page = include_str!("../../../docs/schemes/pplns.md");
    holds::<UnitPplns>("pplns", page, &pays::<UnitPplns>(&none));
    let carry = vec![
        ("unfilled".to_owned(), Setting::Text("carry".to_owned())),
        ("window".to_owned(), Setting::Int(4000)),
    ];
    Page(page).works_out("### `unfilled = \"carry\"`, `window = 4000`", &pays::<UnitPplns>(&carry));
}

/// What is credited between two blocks.
fn credited() -> Vec<Paid> {
    let mut cells = BTreeMap::<u64, u64>::new();
    let mut credited = Vec::new();
    for shares in SHARES.split_inclusive(|share| share.block) {
        let count = shares.len();
        let batch = Batch {
            seq: (1..=count as u64).collect(),
            miner: shares.iter().map(|share| share.miner).collect(),
            work: shares.iter().map(|share| share.work).collect(),
            network_low: shares.iter().map(|share| share.network).collect(),
            network_high: vec![0; count],
            time_ms: vec![0; count],
            coord: vec![1; count],
            reward: vec![INCOME; count],
        };
        let mut state = State::unchanged();
        cells.iter().for_each(|(miner, cell)| state.push(*miner, &[*cell]));
        let given = Pps::accrue(Settings::new(), batch, state).unwrap();
        cells.extend(given.state.rows(1).map(|(miner, row)| (miner, row[0])));
        let mut amounts = [0; 3];
        for (miner, amount) in given.miner.iter().zip(&given.amount) {
            amounts[*miner as usize - 1] = *amount;
        }
        credited.push(Paid { gross: amounts.iter().sum(), amounts, rest: given.rest });
    }
    credited
}

#[test]
fn pps_credits_what_its_page_says_and_leaves_no_fraction() {
    holds::<Pps>("pps", include_str!("../../../docs/schemes/pps.md"), &credited());
}

#[test]
fn the_operator_of_pps_is_short_of_what_the_page_says() {
    let (mut reserve, mut least) = (0_i64, 0_i64);
    for block in credited() {
        reserve -= block.gross as i64;
        least = least.min(reserve);
        reserve += INCOME as i64;
    }
    assert_eq!((reserve, least), (-3500, -4750));
}

#[test]
fn the_page_of_all_shows_the_history_and_every_page_is_linked() {
    ALL.shows_the_history();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/schemes");
    for page in std::fs::read_dir(folder).unwrap() {
        let name = page.unwrap().file_name().into_string().unwrap();
        if name != "README.md" {
            assert!(ALL.0.contains(&format!("]({name})")), "{name} is not linked");
        }
    }
}
