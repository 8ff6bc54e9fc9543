//! What two configurations say differently, option by option.

use crate::reader::{Section, Shown, ShownValue};
use crate::{Config, Pool};
use std::collections::BTreeSet;
use std::fmt;

/// An option that is not what it was. Secrets are compared and never shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Its dotted name; a pool goes by its name, as in `pool.btc.payout.scheme`.
    pub option: String,
    /// What it was; `None` when it was not set.
    pub from: Option<String>,
    /// What it is; `None` when it is not set any more.
    pub to: Option<String>,
    /// The line of its section in the newer file; 0 when it has none there.
    pub line: usize,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unset = || "unset".to_owned();
        let (from, to) = (self.from.clone().unwrap_or_else(unset), self.to.clone().unwrap_or_else(unset));
        write!(f, "{}: {from} -> {to}", self.option)
    }
}

/// Every option that differs, by name.
#[must_use]
pub fn differences(from: &Config, to: &Config) -> Vec<Difference> {
    let (old, new) = (shown(from), shown(to));
    let options: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let differs = |option: &&String| {
        old.get(*option).map(|value| &value.compared) != new.get(*option).map(|value| &value.compared)
    };
    let text = |value: &ShownValue| {
        if value.secret { "(secret)".to_owned() } else { value.compared.clone() }
    };
    let one = |option: &String| Difference {
        option: option.clone(),
        from: old.get(option).map(text),
        to: new.get(option).map(text),
        line: new.get(option).map_or(0, |value| value.line),
    };
    options.into_iter().filter(differs).map(one).collect()
}

/// Whether two sections of a pool say the same of who decides about money: scheme, reserve, fee policies, their settings.
#[must_use]
pub fn decides_alike(one: &Pool, other: &Pool) -> bool {
    let said = |pool: &Pool| -> Vec<(String, String)> {
        let mut all = Shown::new();
        pool.show_table("", &mut all);
        let about = |option: &str| {
            let parts = ["payout.scheme", "payout.settings", "payout.reserve", "fee"];
            let rest = parts.iter().find_map(|part| option.strip_prefix(part));
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        let told = all.into_iter().filter(|(option, _)| about(option));
        told.map(|(option, value)| (option, value.compared)).collect()
    };
    said(one) == said(other)
}

/// A configuration by dotted names, its pools by theirs rather than by their places.
fn shown(config: &Config) -> Shown {
    let mut all = Shown::new();
    config.show_table("", &mut all);
    all.retain(|option, _| !option.starts_with("pool."));
    for pool in &config.pool {
        pool.show_table(&format!("pool.{}", pool.name), &mut all);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"
[host]
[[pool]]
name = "a"
[pool.chain]
payout_address = "x"
settings = { network = "regtest" }
[[pool.node]]
url = "http://127.0.0.1:1"
password = "hunter2"
[[pool.port]]
listen = "127.0.0.1:3333"
[pool.settlement]
schedule = "manual"
[pool.payout]
"#;

    fn parse(text: &str) -> Config {
        crate::parse("file", text).unwrap_or_else(|errors| panic!("{errors}"))
    }

    #[test]
    fn the_same_file_in_other_words_has_no_difference() {
        let other = FILE.replace("[host]", "# a word\n[host]\ndata = \"millpond-data\"");
        assert_eq!(differences(&parse(FILE), &parse(&other)), []);
    }

    #[test]
    fn every_difference_is_told_by_name_and_a_secret_is_not_shown() {
        let other = FILE
            .replace("hunter2", "hunter3")
            .replace("regtest", "main")
            .replace("[pool.payout]", "[pool.payout]\nscheme = \"solo\"\nreserve = { amount = 5 }")
            .replace("name = \"a\"", "name = \"a\"\nstratum.agent_minimum = { \"NiceHash/\" = 5e5 }");
        let said: Vec<_> =
            differences(&parse(FILE), &parse(&other)).iter().map(ToString::to_string).collect();
        assert_eq!(
            said,
            [
                "pool.a.chain.settings.network: \"regtest\" -> \"main\"",
                "pool.a.node.0.password: (secret) -> (secret)",
                "pool.a.payout.reserve.amount: unset -> 5",
                "pool.a.payout.scheme: pplns -> solo",
                "pool.a.stratum.agent_minimum.NiceHash/: unset -> 500000",
            ]
        );
    }

    #[test]
    fn who_decides_is_told_from_what_else_a_pool_says() {
        let pool = |from: &str, to: &str| parse(&FILE.replace(from, to)).pool.remove(0);
        let before = pool("", "");
        let payout = "[pool.payout]\n";
        for same in ["minimum = 5", "notice = \"3h\""] {
            assert!(decides_alike(&before, &pool(payout, &format!("{payout}{same}"))), "{same}");
        }
        let fee = "[pool.fee]\nrecipient = [{ name = \"operator\" }]";
        for other in ["scheme = \"solo\"", "settings = { factor = 3 }", "reserve = { amount = 5 }", fee] {
            assert!(!decides_alike(&before, &pool(payout, &format!("{payout}{other}"))), "{other}");
        }
    }

    #[test]
    fn pools_are_known_by_their_names() {
        let two = format!(
            "{FILE}\n{}",
            FILE.replace("[host]", "").replace("\"a\"", "\"b\"").replace("3333", "3334")
        );
        let told = differences(&parse(FILE), &parse(&two));
        assert!(told.iter().all(|difference| difference.option.starts_with("pool.b.")), "{told:?}");
        assert!(told.iter().any(|difference| difference.line > 15), "{told:?}");
    }
}
