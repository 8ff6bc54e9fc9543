//! TIDES (Transparent Index of Distinct Extended Shares): an income, fees and all, is split by work over the newest
//! shares that sum up to eight times the network's work per block; a share is paid eight times on average, and not at
//! all once in e^8. The share on the far edge is divided. While the pool is young, what there is shares the income.
//!
//! The window is in work at the difficulty of the block that was found: a retarget widens or narrows it for shares that
//! lie there already. That is why no proof against hopping is claimed (`pplns` measures shares at their submission).
//!
//! Source: J. Hughes, TIDES Technical Documentation, OCEAN, 2024.

use millpond_sdk::Settings as _;
use millpond_sdk::payout::{Edge, Measure, Settings, Span, Split, Window};

/// The scheme.
pub struct Tides;

/// Eight blocks of the network's work, in thousandths.
const WINDOW: u64 = 8000;

const SCHEMA: &str = r#"{"type":"object","properties":{
"window":{"type":"integer","minimum":1000,"maximum":64000,"default":8000,"description":"The window, in thousandths of the network's work per block."}
},"additionalProperties":false}"#;

impl Split for Tides {
    const WINDOW: Window = Window { span: Span::Work(WINDOW), measure: Measure::Work, edge: Edge::Split };

    fn schema() -> String {
        SCHEMA.to_owned()
    }

    fn window(settings: &Settings) -> Result<Window, String> {
        match settings.uint_or("window", WINDOW)? {
            thousandths @ 1000..=64_000 => Ok(Window { span: Span::Work(thousandths), ..Self::WINDOW }),
            other => Err(format!("setting `window` is {other}, it must be 1000 to 64000 thousandths")),
        }
    }
}
millpond_sdk::export_scheme!(Tides);

#[cfg(test)]
mod tests {
    use super::*;
    use millpond_scheme_history::{
        Page, pays,
        properties::{Case, cases, holds_at_the_ends},
    };
    use millpond_sdk::payout::{Scheme, Setting, claims};
    use proptest::prelude::*;

    const PAGE: Page = Page(include_str!("../../../docs/schemes/tides.md"));
    const ALL: Page = Page(include_str!("../../../docs/schemes/README.md"));

    fn of(window: i64) -> Settings {
        vec![("window".to_owned(), Setting::Int(window))]
    }

    #[test]
    fn the_page_says_what_is_paid_claimed_and_set() {
        PAGE.describes::<Tides>();
        ALL.sums_up("tides", &pays::<Tides>(&Settings::new()));
        PAGE.works_out("## Worked example", &pays::<Tides>(&Settings::new()));
    }

    #[test]
    fn the_history_is_paid_as_by_hand() {
        let amounts: Vec<_> = pays::<Tides>(&Settings::new()).iter().map(|block| block.amounts).collect();
        assert_eq!(
            amounts,
            // 200, 250 and 550 of 800 units of work; then 320 of 320 twice, the oldest share in part.
            [[250, 500, 250], [400, 400, 200], [272, 455, 273], [437, 219, 344], [406, 219, 375]]
        );
    }

    #[test]
    fn the_edge_of_the_window_moves_with_the_setting() {
        // One block's work: at the third block share 7 alone, at the fourth 11.
        let amounts: Vec<_> = pays::<Tides>(&of(1000)).iter().map(|block| block.amounts).collect();
        assert_eq!(amounts, [[0, 500, 500], [500, 0, 500], [0, 0, 1000], [1000, 0, 0], [250, 500, 250]]);
    }

    #[test]
    fn an_empty_window_leaves_everything_as_rest() {
        let nobody = Case { gross: 77, sums: std::collections::BTreeMap::new(), finder: None };
        let given = nobody.ask::<Tides>(&Settings::new());
        assert_eq!((given.miner.len(), given.rest), (0, 77));
    }

    #[test]
    fn the_ends_of_the_integers_are_conserved() {
        holds_at_the_ends::<Tides>(&Settings::new());
    }

    #[test]
    fn settings_out_of_range_are_refused_by_name() {
        for bad in [-1, 0, 999, 64_001, i64::MAX] {
            assert!(Tides::describe(of(bad)).unwrap_err().contains("`window`"), "{bad}");
        }
        for good in [1000, 64_000] {
            assert_eq!(Tides::describe(of(good)).unwrap().windows[0].span, Span::Work(good as u64));
        }
    }

    #[test]
    fn what_a_retarget_breaks_is_not_claimed() {
        let claimed = Tides::describe(Settings::new()).unwrap().claims;
        for name in [claims::HOPPING_NEUTRAL, claims::SHARE_ONCE] {
            assert!(!claimed.iter().any(|claim| claim == name), "{name}");
        }
    }

    proptest! {
        #[test]
        fn every_claim_holds(case in cases(), turn in 0..16_u64, who: u16, part: u8, by: u32, more: u64) {
            let settings = Settings::new();
            prop_assert_eq!(case.ask::<Tides>(&settings).rest == 0, !case.sums.is_empty() || case.gross == 0);
            case.is_the_same_renamed::<Tides>(&settings, turn);
            case.is_the_same_split::<Tides>(&settings, who.into(), part);
            case.is_the_same_scaled::<Tides>(&settings, by);
            case.pays_more_for_more::<Tides>(&settings, who.into(), more);
        }
    }
}
