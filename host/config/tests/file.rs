//! A configuration file as an operator meets it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use millpond_config::{differences, example, parse, reference};
use proptest::prelude::*;
use std::time::Duration;

const SMALL: &str = r#"
[host]
data = "d"
[[pool]]
name = "btc"
[pool.chain]
payout_address = "bcrt1q"
settings = { network = "regtest", coin.tag = "x" }
[[pool.node]]
url = "http://127.0.0.1:18443"
[[pool.port]]
listen = "127.0.0.1:3333"
difficulty = 4
[pool.payout]
scheme = "pplns"
settings.window = 2
[pool.wallet]
"#;

#[test]
fn a_small_file_gets_the_defaults() {
    let config = parse("pool.toml", SMALL).unwrap();
    let pool = &config.pool[0];
    assert_eq!(pool.stratum.resume, Duration::from_secs(600));
    assert_eq!(pool.port[0].difficulty, 4.0);
    assert_eq!(pool.chain.settings["coin.tag"].0.as_str(), Some("x"));
    assert_eq!(pool.payout.settings["window"].0.as_integer(), Some(2));
    assert_eq!(pool.wallet.as_ref().unwrap().driver, "core");
    assert!(config.http.is_none());
}

#[test]
fn one_section_of_fees_may_stand_as_a_table_and_several_as_a_list() {
    let policy = |header: &str, name: &str| {
        format!("{header}\npolicy = \"{name}\"\nrecipient = [{{ name = \"operator\" }}]\n")
    };
    let of = |text: &str| parse("pool.toml", &format!("{SMALL}{text}")).unwrap();
    let names = |config: &millpond_config::Config| {
        config.pool[0].fee.iter().map(|fee| fee.policy.clone()).collect::<Vec<_>>()
    };
    assert!(of("").pool[0].fee.is_empty());
    let (table, list) = (of(&policy("[pool.fee]", "flat")), of(&policy("[[pool.fee]]", "flat")));
    assert_eq!((names(&table), names(&list)), (vec!["flat".to_owned()], vec!["flat".to_owned()]));
    // Written either way nothing changes.
    assert!(differences(&table, &list).is_empty());
    let two = of(&[policy("[[pool.fee]]", "donation"), policy("[[pool.fee]]", "flat")].concat());
    assert_eq!(names(&two), ["donation", "flat"]);
    let errors = parse("pool.toml", &format!("{SMALL}[[pool.fee]]\nrecipient = []\n")).unwrap_err();
    assert!(errors.to_string().contains("fee.recipient: needs at least one"), "{errors}");
}

#[test]
fn all_errors_come_at_once_with_their_lines() {
    let text = SMALL
        .replace("difficulty = 4", "dificulty = 4")
        .replace("127.0.0.1:3333", "localhost")
        .replace("name = \"btc\"", "name = \"BTC!\"")
        .replace("url = \"http", "url = \"ftp");
    let errors = parse("pool.toml", &text).unwrap_err();
    let shown = errors.to_string();
    let lines: Vec<_> = errors.errors.iter().map(|error| error.line).collect();
    assert_eq!(lines, [5, 12, 13], "{shown}");
    assert!(
        shown.contains("pool.toml:13:1: pool.0.port.0.dificulty: is no option; did you mean `difficulty`?"),
        "{shown}"
    );
    assert!(shown.contains("pool.toml:12:10"), "{shown}");
}

#[test]
fn what_a_wallet_that_can_only_send_cannot_do_is_an_error_with_its_line() {
    let text = SMALL.replace("[pool.wallet]", "[pool.wallet]\ndriver = \"DRIVER\"")
        + "[pool.settlement]\nnetwork_fee = \"miners\"\nfee_rate = 5000\nmax_fee = 90000\nconfirmations = 0\n";
    let line = 1 + text.lines().position(|line| line == "[pool.settlement]").unwrap();
    let shown = parse("pool.toml", &text.replace("DRIVER", "sendmany")).unwrap_err().to_string();
    for option in [
        "settlement.network_fee: cannot be \"miners\"",
        "settlement.fee_rate: has no effect",
        "settlement.max_fee: has no effect",
        "settlement.confirmations: has to be at least 1",
    ] {
        let said = shown.lines().find(|said| said.contains(option)).unwrap_or_else(|| panic!("{shown}"));
        assert!(said.contains(&format!("pool.toml:{line}:")), "{said}");
    }
    let text = text.replace("confirmations = 0", "confirmations = 3");
    assert!(parse("pool.toml", &text.replace("DRIVER", "core")).is_ok());
}

#[test]
fn rules_between_options_are_checked() {
    let text =
        SMALL.replace("[pool.wallet]", "").replace("payout_address = \"bcrt1q\"", "coinbase = \"both\"");
    let shown = parse("pool.toml", &text).unwrap_err().to_string();
    assert!(shown.contains("pool.0.chain.coinbase: has to be one of pool, miner"), "{shown}");
    let short = SMALL.replace("payout_address", "renew_after = 5\npayout_address");
    let shown = parse("pool.toml", &short).unwrap_err().to_string();
    assert!(shown.contains("pool.0.chain.renew_after: has to be 0 or at least 1000"), "{shown}");
    let twice = format!(
        "{SMALL}{}",
        SMALL.split_once("[[pool]]").map(|(_, rest)| format!("[[pool]]{rest}")).unwrap()
    );
    let shown = parse("pool.toml", &twice).unwrap_err().to_string();
    assert!(shown.contains("stands twice"), "{shown}");
    assert!(shown.contains("127.0.0.1:3333 is taken"), "{shown}");
}

#[test]
fn a_syntax_error_has_its_line_too() {
    let errors = parse("pool.toml", "[host]\ndata = \n").unwrap_err();
    assert_eq!(errors.errors[0].line, 2, "{errors}");
}

#[test]
fn the_example_and_the_reference_are_what_the_table_says() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    for (name, made) in [("examples/every-option.toml", example()), ("docs/configuration.md", reference())] {
        let path = root.join(name);
        if std::env::var_os("MILLPOND_WRITE_DOCS").is_some() {
            std::fs::write(&path, &made).unwrap();
        }
        let stands = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            stands == made,
            "{name} is not what the options say: run this test with MILLPOND_WRITE_DOCS=1"
        );
    }
}

#[test]
fn the_example_can_be_read() {
    let text = example();
    parse("example", &text).unwrap_or_else(|errors| panic!("{errors}\n{text}"));
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "\\PC{0,200}", cut in 0_usize..500) {
        let _ = parse("x", &text);
        let mut mixed = SMALL.to_owned();
        let at = (0..=cut.min(mixed.len())).rev().find(|at| mixed.is_char_boundary(*at)).unwrap_or(0);
        mixed.insert_str(at, &text);
        let _ = parse("x", &mixed);
    }
}
