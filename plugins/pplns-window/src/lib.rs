//! PPLNS by a window of the operator's choice: an income is split by work over the last shares, counted back from the
//! share that found the block. `by` says how far back: as much work as a multiple of the network's (`difficulty`), so
//! many shares (`shares`), or the shares of so many hours (`time`, known as PPLNT).
//!
//! None of these is proof against hopping, and none is claimed to be: a share is paid by the blocks that follow it, at
//! their difficulty and, by time, at the pool's hashrate of then. A retarget, or a step of the hashrate, changes what a
//! share that lies in the window is worth. `pplns` is proof against both.
//!
//! A setting that the chosen window does not use must be left at its default: one that says something and means
//! nothing is an error.

use millpond_sdk::Settings as _;
use millpond_sdk::payout::{Edge, Measure, Settings, Span, Split, Window};

/// The scheme.
pub struct WindowPplns;

/// Twice the network's work per block, as most pools that count back by difficulty do.
const WINDOW: u64 = 2000;
const SHARES: u64 = 1_000_000;
const HOURS: u64 = 24;
const MILLIS_PER_HOUR: u64 = 3_600_000;

const SCHEMA: &str = r#"{"type":"object","properties":{
"by":{"type":"string","enum":["difficulty","shares","time"],"default":"difficulty","description":"How the window is measured: in the network's work per block, in shares, or in hours."},
"window":{"type":"integer","minimum":1,"maximum":1000000,"default":2000,"description":"By difficulty: the window, in thousandths of the network's work per block."},
"edge":{"type":"string","enum":["split","whole","cut"],"default":"split","description":"By difficulty: whether the share on the far edge counts in part, as a whole, or not at all."},
"shares":{"type":"integer","minimum":1,"maximum":1000000000,"default":1000000,"description":"By shares: how many of the newest."},
"hours":{"type":"integer","minimum":1,"maximum":720,"default":24,"description":"By time: shares younger than so many hours at the block."}
},"additionalProperties":false}"#;

/// A whole number within its bounds.
fn number(settings: &Settings, name: &str, default: u64, most: u64, of_what: &str) -> Result<u64, String> {
    match settings.uint_or(name, default)? {
        value if (1..=most).contains(&value) => Ok(value),
        other => Err(format!("setting `{name}` is {other}, it must be 1 to {most}{of_what}")),
    }
}

/// The rule of the far edge.
fn edge(settings: &Settings) -> Result<Edge, String> {
    match settings.text("edge").unwrap_or("split") {
        "split" => Ok(Edge::Split),
        "whole" => Ok(Edge::Whole),
        "cut" => Ok(Edge::Cut),
        other => Err(format!("setting `edge` is {other:?}, it must be split, whole or cut")),
    }
}

/// `Err` when a setting of another kind of window was given.
fn unused(name: &str, given: bool, by: &str, wanted: &str) -> Result<(), String> {
    if given {
        return Err(format!(
            "setting `{name}` is of windows by {wanted} and `by` is {by}: leave `{name}` out, or set `by` to {wanted}"
        ));
    }
    Ok(())
}

impl Split for WindowPplns {
    const WINDOW: Window = Window { span: Span::Work(WINDOW), measure: Measure::Work, edge: Edge::Split };

    fn schema() -> String {
        SCHEMA.to_owned()
    }

    fn window(settings: &Settings) -> Result<Window, String> {
        let window = number(settings, "window", WINDOW, 1_000_000, " thousandths")?;
        let shares = number(settings, "shares", SHARES, 1_000_000_000, "")?;
        let hours = number(settings, "hours", HOURS, 720, "")?;
        let edge = edge(settings)?;
        let by = settings.text("by").unwrap_or("difficulty");
        let span = match by {
            "difficulty" => Span::Work(window),
            "shares" => Span::Shares(shares),
            "time" => Span::Millis(hours.saturating_mul(MILLIS_PER_HOUR)),
            other => {
                return Err(format!("setting `by` is {other:?}, it must be difficulty, shares or time"));
            }
        };
        if by != "difficulty" {
            unused("window", window != WINDOW, by, "difficulty")?;
            unused("edge", edge != Edge::Split, by, "difficulty")?;
        }
        if by != "shares" {
            unused("shares", shares != SHARES, by, "shares")?;
        }
        if by != "time" {
            unused("hours", hours != HOURS, by, "time")?;
        }
        Ok(Window { span, measure: Measure::Work, edge })
    }
}
millpond_sdk::export_scheme!(WindowPplns);

#[cfg(test)]
mod tests {
    use super::*;
    use millpond_scheme_history::{
        Page, pays,
        properties::{Case, cases, holds_at_the_ends},
    };
    use millpond_sdk::payout::{Scheme, Setting, claims};
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    const PAGE: Page = Page(include_str!("../../../docs/schemes/pplns-window.md"));
    const ALL: Page = Page(include_str!("../../../docs/schemes/README.md"));

    fn text(name: &str, value: &str) -> (String, Setting) {
        (name.to_owned(), Setting::Text(value.to_owned()))
    }

    fn int(name: &str, value: i64) -> (String, Setting) {
        (name.to_owned(), Setting::Int(value))
    }

    fn shares(count: i64) -> Settings {
        vec![text("by", "shares"), int("shares", count)]
    }

    fn hours(count: i64) -> Settings {
        vec![text("by", "time"), int("hours", count)]
    }

    fn amounts(settings: &Settings) -> Vec<[u64; 3]> {
        pays::<WindowPplns>(settings).iter().map(|block| block.amounts).collect()
    }

    #[test]
    fn the_page_says_what_is_paid_claimed_and_set() {
        PAGE.describes::<WindowPplns>();
        ALL.sums_up("pplns-window", &pays::<WindowPplns>(&Settings::new()));
        PAGE.works_out("### `by = \"difficulty\"`", &pays::<WindowPplns>(&Settings::new()));
        PAGE.works_out("### `by = \"shares\"`, `shares = 5`", &pays::<WindowPplns>(&shares(5)));
        PAGE.works_out("### `by = \"time\"`", &pays::<WindowPplns>(&hours(24)));
    }

    #[test]
    fn the_history_is_paid_as_by_hand_by_difficulty() {
        // 200 of work three times; after the retarget 80.
        assert_eq!(
            amounts(&Settings::new()),
            [[250, 500, 250], [250, 500, 250], [250, 250, 500], [500, 375, 125], [500, 250, 250]]
        );
    }

    #[test]
    fn the_history_is_paid_as_by_hand_by_shares() {
        assert_eq!(
            amounts(&shares(5)),
            [[250, 500, 250], [400, 400, 200], [250, 375, 375], [360, 200, 440], [307, 539, 154]]
        );
        // The block's share alone.
        assert_eq!(
            amounts(&shares(1)),
            [[0, 0, 1000], [1000, 0, 0], [0, 0, 1000], [1000, 0, 0], [0, 1000, 0]]
        );
    }

    #[test]
    fn the_history_is_paid_as_by_hand_by_time() {
        assert_eq!(
            amounts(&hours(24)),
            [[250, 500, 250], [400, 400, 200], [250, 375, 375], [600, 333, 67], [307, 539, 154]]
        );
        // A share of 24 hours ago is out, of 23 is in: at the third block that is the second share.
        assert_eq!(amounts(&hours(25))[2], [200, 500, 300]);
    }

    #[test]
    fn the_share_on_the_edge_counts_as_the_setting_says() {
        // At the third block 100 and 50 are inside of 200 and the next share has 150.
        let third = |edge: &str| amounts(&vec![text("edge", edge)])[2];
        assert_eq!(third("split"), [250, 250, 500]);
        assert_eq!(third("whole"), [166, 500, 334]);
        assert_eq!(third("cut"), [333, 0, 667]);
        // At the first the window ends with a share: nothing is on the edge.
        for edge in ["split", "whole", "cut"] {
            assert_eq!(amounts(&vec![text("edge", edge)])[0], [250, 500, 250], "{edge}");
        }
    }

    #[test]
    fn an_empty_window_leaves_everything_as_rest_and_an_unfilled_one_nothing() {
        let nobody = Case { gross: 77, sums: BTreeMap::new(), finder: None };
        assert_eq!(nobody.ask::<WindowPplns>(&Settings::new()).rest, 77);
        let wide = vec![int("window", 1_000_000)];
        assert!(pays::<WindowPplns>(&wide).iter().all(|block| block.rest == 0));
    }

    #[test]
    fn the_ends_of_the_integers_are_conserved() {
        for settings in [Settings::new(), shares(1), hours(720)] {
            holds_at_the_ends::<WindowPplns>(&settings);
        }
    }

    #[test]
    fn settings_out_of_range_are_refused_by_name() {
        let refused = |settings: Settings, name: &str| {
            let error = WindowPplns::describe(settings).unwrap_err();
            assert!(error.starts_with(&format!("setting `{name}` ")), "{error}");
        };
        for bad in [-1, 0, 1_000_001] {
            refused(vec![int("window", bad)], "window");
        }
        for bad in [-1, 0, 1_000_000_001] {
            refused(shares(bad), "shares");
        }
        for bad in [-1, 0, 721] {
            refused(hours(bad), "hours");
        }
        refused(vec![text("by", "luck")], "by");
        refused(vec![text("edge", "round")], "edge");
        for good in [shares(1), shares(1_000_000_000), hours(1), hours(720), vec![int("window", 1_000_000)]] {
            WindowPplns::describe(good).unwrap();
        }
    }

    #[test]
    fn a_setting_of_another_window_is_refused_and_its_default_is_not() {
        let refused = |settings: Settings, name: &str| {
            let error = WindowPplns::describe(settings).unwrap_err();
            assert!(error.contains(&format!("leave `{name}` out")), "{error}");
        };
        refused(vec![text("by", "time"), int("window", 3000)], "window");
        refused(vec![text("by", "shares"), text("edge", "cut")], "edge");
        refused(vec![int("shares", 5)], "shares");
        refused(vec![text("by", "shares"), int("hours", 48)], "hours");
        // As the host fills them in.
        let filled = |by: &str| {
            vec![
                text("by", by),
                text("edge", "split"),
                int("hours", 24),
                int("shares", 1_000_000),
                int("window", 2000),
            ]
        };
        let span = |by: &str| WindowPplns::describe(filled(by)).unwrap().windows[0].span;
        assert_eq!(
            [span("difficulty"), span("shares"), span("time")],
            [Span::Work(2000), Span::Shares(1_000_000), Span::Millis(86_400_000)]
        );
    }

    #[test]
    fn no_window_of_these_is_claimed_to_be_hopping_proof() {
        for settings in [Settings::new(), shares(5), hours(24)] {
            let claimed = WindowPplns::describe(settings).unwrap().claims;
            assert!(!claimed.iter().any(|claim| claim == claims::HOPPING_NEUTRAL), "{claimed:?}");
        }
    }

    proptest! {
        #[test]
        fn every_claim_holds(case in cases(), turn in 0..16_u64, who: u16, part: u8, by: u32, more: u64) {
            for settings in [Settings::new(), shares(5), hours(24)] {
                let given = case.ask::<WindowPplns>(&settings);
                prop_assert_eq!(given.rest == 0, !case.sums.is_empty() || case.gross == 0);
                case.is_the_same_renamed::<WindowPplns>(&settings, turn);
                case.is_the_same_split::<WindowPplns>(&settings, who.into(), part);
                case.is_the_same_scaled::<WindowPplns>(&settings, by);
                case.pays_more_for_more::<WindowPplns>(&settings, who.into(), more);
            }
        }
    }
}
