//! Reads a file as a whole and finds every error in it.

use crate::reader::{Errors, Section};
use crate::{Config, ConfigError, ConfigErrors};
use millpond_types::Amount;
use std::collections::HashSet;
use std::path::Path;
use toml::de::DeTable;

/// The largest file that is read, in bytes.
const LARGEST: u64 = 1 << 20;

/// Reads and checks a configuration file.
///
/// # Errors
/// All errors of the file, in the order of its lines.
pub fn load(path: &Path) -> Result<Config, ConfigErrors> {
    let file = path.display().to_string();
    let whole = |message: String| ConfigErrors {
        file: file.clone(),
        errors: vec![ConfigError { line: 0, column: 0, option: String::new(), message }],
    };
    let size = std::fs::metadata(path).map_err(|error| whole(format!("cannot be read: {error}")))?.len();
    if size > LARGEST {
        return Err(whole(format!("has {size} bytes; a configuration has at most {LARGEST}")));
    }
    let text = std::fs::read_to_string(path).map_err(|error| whole(format!("cannot be read: {error}")))?;
    parse(&file, &text)
}

/// Checks a configuration given as text.
///
/// # Errors
/// All errors of the text, in the order of its lines.
pub fn parse(file: &str, text: &str) -> Result<Config, ConfigErrors> {
    let mut errors = Errors::new(text);
    let (table, syntax) = DeTable::parse_recoverable(text);
    let readable = syntax.is_empty();
    for error in syntax {
        errors.push(error.span().unwrap_or(0..0), error.message().to_owned());
    }
    let config = Config::read_table(table.get_ref(), 0..0, &mut errors);
    let mut errors = errors.finish();
    // What a broken line hides would be told as missing: rules between options wait until the text can be read.
    if let Some(config) = config.as_ref().filter(|_| readable) {
        together(config, &mut errors);
        errors.sort_by_key(|error| (error.line, error.column));
    }
    match config {
        Some(config) if errors.is_empty() => Ok(config),
        _ => {
            if errors.is_empty() {
                let message = "cannot be read".to_owned();
                errors.push(ConfigError { line: 0, column: 0, option: String::new(), message });
            }
            Err(ConfigErrors { file: file.to_owned(), errors })
        }
    }
}

/// An adapter's instance lives for so many events at least.
const LEAST_EVENTS: u32 = 1_000;
/// Seconds between two plans of a coinbase that pays many.
const PLAN_EVERY: std::ops::RangeInclusive<u64> = 10..=300;

/// Rules that bind several options.
fn together(config: &Config, errors: &mut Vec<ConfigError>) {
    let mut say = |span: crate::Span, option: String, message: String| {
        errors.push(ConfigError { line: span.line, column: span.column, option, message });
    };
    if config.pool.is_empty() {
        say(config.span, "pool".into(), "there is no pool: add a [[pool]]".into());
    }
    if let Some(http) = &config.http
        && !http.listen.ip().is_loopback()
        && http.hosts.is_empty()
    {
        say(http.span, "http.hosts".into(), "is needed when `listen` is not loopback".into());
    }
    for (index, alert) in config.alert.iter().enumerate() {
        let option = format!("alert.{index}");
        if alert.exec.is_some() == alert.webhook.is_some() {
            say(alert.span, option.clone(), "has to have either `exec` or `webhook`".into());
        }
        one_of(&mut say, alert.span, format!("{option}.level"), &alert.level, &["warning", "critical"]);
        if let Some(url) = &alert.webhook
            && !url.starts_with("http://")
        {
            say(alert.span, format!("{option}.webhook"), "has to begin with http://".into());
        }
    }
    let mut names = HashSet::new();
    let mut listens = HashSet::new();
    if let Some(http) = &config.http {
        listens.insert(http.listen);
    }
    for (index, pool) in config.pool.iter().enumerate() {
        let at = |name: &str| format!("pool.{index}.{name}");
        if !names.insert(pool.name.clone()) {
            say(pool.span, at("name"), format!("{} stands twice; pools need names of their own", pool.name));
        }
        if pool.node.is_empty() {
            say(pool.span, at("node"), "there is no node: add a [[pool.node]]".into());
        }
        if pool.port.is_empty() {
            say(pool.span, at("port"), "there is no port: add a [[pool.port]]".into());
        }
        for (number, port) in pool.port.iter().enumerate() {
            if port.listen.port() != 0 && !listens.insert(port.listen) {
                let message = format!("{} is taken by another part of this file", port.listen);
                say(port.span, at(&format!("port.{number}.listen")), message);
            }
        }
        for (number, node) in pool.node.iter().enumerate() {
            if !node.url.starts_with("http://") {
                let message = "has to begin with http://; put a tunnel before a node that is far away".into();
                say(node.span, at(&format!("node.{number}.url")), message);
            }
            if node.cookie.is_some() && node.password.is_some() {
                say(
                    node.span,
                    at(&format!("node.{number}")),
                    "has both `cookie` and `password`: keep one".into(),
                );
            }
        }
        one_of(
            &mut say,
            pool.chain.span,
            at("chain.coinbase"),
            &pool.chain.coinbase,
            &["pool", "miner", "scheme"],
        );
        if !PLAN_EVERY.contains(&pool.chain.plan_every.as_secs()) {
            let message = "has to be 10s to 5m: each plan is new work for every miner".into();
            say(pool.chain.span, at("chain.plan_every"), message);
        }
        if pool.chain.coinbase == "pool" && pool.chain.payout_address.is_none() {
            let message =
                "is missing: blocks need an address of the pool to pay to, or another `coinbase`".into();
            say(pool.chain.span, at("chain.payout_address"), message);
        }
        if let Some(wallet) = &pool.wallet {
            one_of(
                &mut say,
                wallet.span,
                at("wallet.driver"),
                &wallet.driver,
                &["core", "bcoin", "sendmany"],
            );
        } else if pool.chain.coinbase == "pool" && pool.settlement.schedule != "manual" {
            let message = "is missing: without a wallet set settlement.schedule = \"manual\"".into();
            say(pool.span, at("wallet"), message);
        }
        if (1..LEAST_EVENTS).contains(&pool.chain.renew_after) {
            let message =
                format!("has to be 0 or at least {LEAST_EVENTS}: an instance begins with some events");
            say(pool.chain.span, at("chain.renew_after"), message);
        }
        one_of(
            &mut say,
            pool.settlement.span,
            at("settlement.network_fee"),
            &pool.settlement.network_fee,
            &["pool", "miners"],
        );
        let payout = &pool.payout;
        let (least, most) = (payout.own_minimum_least, payout.own_minimum_most);
        if least > Amount::ZERO && least < payout.minimum {
            let message = "is below payout.minimum, from which on anybody is paid".into();
            say(payout.span, at("payout.own_minimum_least"), message);
        }
        if most > Amount::ZERO && most < least.max(payout.minimum) {
            let message = "is below the least that a miner can set".into();
            say(payout.span, at("payout.own_minimum_most"), message);
        }
        if pool.settlement.confirmations == 0 {
            let message = "has to be at least 1".into();
            say(pool.settlement.span, at("settlement.confirmations"), message);
        }
        sends_only(pool, &mut |option, message| say(pool.settlement.span, at(option), message.to_owned()));
        for fee in &pool.fee {
            if fee.to_reserve {
                if let Some(recipient) = fee.recipient.first() {
                    let message = "goes with to_reserve = false: the reserve gets all of it".into();
                    say(recipient.span, at("fee.recipient"), message);
                }
            } else if fee.recipient.iter().map(|recipient| u64::from(recipient.weight)).sum::<u64>() == 0 {
                say(fee.span, at("fee.recipient"), "needs at least one with a weight above 0".into());
            }
            let mut recipients = HashSet::new();
            for recipient in &fee.recipient {
                if !recipients.insert(&recipient.name) {
                    say(recipient.span, at("fee.recipient"), format!("{:?} stands twice", recipient.name));
                }
            }
        }
        let stratum = &pool.stratum;
        if stratum.minimum_difficulty > stratum.maximum_difficulty {
            say(stratum.span, at("stratum.minimum_difficulty"), "is above maximum_difficulty".into());
        }
    }
}

/// What a wallet cannot do that chooses, signs and sends in one call, at its own rate: it must not be believed.
fn sends_only(pool: &crate::Pool, say: &mut impl FnMut(&str, &str)) {
    let settlement = &pool.settlement;
    if pool.wallet.as_ref().is_none_or(|wallet| wallet.driver != "sendmany") {
        return;
    }
    if settlement.network_fee == "miners" {
        say(
            "settlement.network_fee",
            "cannot be \"miners\" with wallet.driver = \"sendmany\": that wallet bears the fee itself; use another driver or \"pool\"",
        );
    }
    for (option, set) in
        [("settlement.fee_rate", settlement.fee_rate), ("settlement.max_fee", settlement.max_fee)]
    {
        if set.0 > 0 {
            say(
                option,
                "has no effect with wallet.driver = \"sendmany\": set the rate in the wallet (settxfee) and leave this out",
            );
        }
    }
}

fn one_of(
    say: &mut impl FnMut(crate::Span, String, String),
    span: crate::Span,
    option: String,
    value: &str,
    choices: &[&str],
) {
    if !choices.contains(&value) {
        say(span, option, format!("has to be one of {}, not {value:?}", choices.join(", ")));
    }
}
