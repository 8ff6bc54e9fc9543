//! The page of full pay-per-share, and the mean of fees.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use millpond_scheme_fpps::Fpps;
use millpond_scheme_history::second::{Kept, accrue, batch, rounds};
use millpond_scheme_history::{INCOME, Page, Paid, SHARES};
use millpond_sdk::payout_0_2::{Scheme, Setting, Settings};

fn fees(how: &str) -> Settings {
    vec![("fees".to_owned(), Setting::Text(how.to_owned()))]
}

#[test]
fn the_page_says_what_is_credited() {
    let page = Page(include_str!("../../../docs/schemes/fpps.md"));
    page.describes_0_2::<Fpps>();
    let rounds = rounds::<Fpps>(&fees("none"), 100);
    let credited: Vec<Paid> = rounds.iter().map(|round| round.credited()).collect();
    page.works_out("## Worked example", &credited);
    // The block is the reserve's, fees and all.
    assert!(rounds.iter().all(|round| round.to_reserve == INCOME && round.block().gross == 0));
}

#[test]
fn with_the_fees_of_the_job_it_pays_what_pps_pays_however_batches_are_cut() {
    let credited = |size| -> Vec<Paid> {
        rounds::<Fpps>(&Settings::new(), size).iter().map(|round| round.credited()).collect()
    };
    Page(include_str!("../../../docs/schemes/pps.md")).works_out("## Worked example", &credited(100));
    assert_eq!(credited(1), credited(100));
    Page(include_str!("../../../docs/schemes/README.md")).sums_up("fpps", &credited(100));
}

#[test]
fn the_mean_is_of_closed_coordinates_and_the_newest_of_them() {
    let mut settings = fees("blocks");
    settings.push(("window_blocks".to_owned(), Setting::Int(2)));
    let mut kept = Kept::default();
    // (coordinate, fees of the job) and what a share of a whole block is credited beside a subsidy of 900.
    let steps = [
        (5, 100, 100),
        (5, 60, 60),
        // 60 of the fifth.
        (6, 300, 60),
        // An older job changes nothing.
        (5, 999, 60),
        (6, 200, 60),
        // (60 + 200) / 2.
        (7, 10, 130),
        // (200 + 10) / 2: two at most.
        (9, 0, 105),
    ];
    for (coord, paid, expected) in steps {
        let mut one = batch(1, &[SHARES[10]]);
        (one.coord, one.reward) = (vec![coord], vec![900 + paid]);
        assert_eq!(accrue::<Fpps>(&settings, &mut kept, one).amount, [900 + expected], "{coord} {paid}");
    }
    assert_eq!(kept.state(None).memo.len(), 3 * 16);
    let terms = Fpps::describe(settings).unwrap();
    assert!(terms.needs_subsidy && !terms.claims.contains(&"hopping-neutral".to_owned()));
    assert!(!Fpps::describe(Settings::new()).unwrap().needs_subsidy);
    assert!(Fpps::describe(fees("blocs")).unwrap_err().contains("blocs"));
}

#[test]
fn a_fee_is_taken_before_the_fraction_is_kept() {
    let settings = vec![("fee_ppm".to_owned(), Setting::Int(250_000))];
    let credits: u64 = rounds::<Fpps>(&settings, 3).iter().map(|round| round.credited().gross).sum();
    assert_eq!(credits, 8500 * 3 / 4);
    assert!(Fpps::describe(vec![("fee_ppm".to_owned(), Setting::Int(-1))]).is_err());
}
