//! A fee in tiers: the rate of a miner's whole amount is that of the tier his column lies in. By hashrate it is dearer to
//! mine under several names, and cheaper to mine together under one.

use millpond_sdk::Settings as _;
use millpond_sdk::fee::{FeePolicy, Income, Settings, basis_points, kept};

/// The policy.
pub struct FeeTiers;

const SCHEMA: &str = r#"{"type":"object","properties":{
"column":{"type":"string","default":"hashrate","description":"What the tiers are of: hashrate (hashes/s of the last day), work (of the last day, in the chain's unit), workers (of the last hour), or list:NAME."},
"tiers":{"type":"string","default":"0:100","description":"Ascending `from:basis_points`, separated by commas; the first from 0. k, M, G, T, P, E stand for powers of 1000: \"0:150,100T:100,1P:50\"."}
},"additionalProperties":false}"#;

/// Most tiers.
const MOST: usize = 16;

/// A number with a letter for a power of 1000.
fn number(text: &str) -> Option<u64> {
    let (digits, power) = match text.char_indices().next_back()? {
        (at, letter) if letter.is_ascii_alphabetic() => (
            text.get(..at)?,
            "kMGTPE".find(letter).and_then(|power| u32::try_from(power).ok())?.checked_add(1)?,
        ),
        _ => (text, 0),
    };
    let plain = !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit());
    plain.then(|| digits.parse::<u64>().ok()?.checked_mul(1000_u64.checked_pow(power)?)).flatten()
}

/// From where on each rate holds, ascending.
fn tiers(settings: &Settings) -> Result<Vec<(u64, u64)>, String> {
    let text = settings.text("tiers").unwrap_or("0:100");
    let mut tiers: Vec<(u64, u64)> = Vec::new();
    for tier in text.split(',').map(str::trim) {
        let read = tier
            .split_once(':')
            .and_then(|(from, points)| Some((number(from.trim())?, number(points.trim())?)));
        let (from, points) = read.filter(|(_, points)| *points <= 10_000).ok_or_else(|| {
            format!("setting `tiers` has {tier:?}, it must be from:basis_points with 0 to 10000 of them")
        })?;
        let ascends = tiers.last().map_or(from == 0, |(before, _)| *before < from);
        if !ascends || tiers.len() >= MOST {
            return Err(format!(
                "setting `tiers` is {text:?}, it must begin at 0 and ascend, with at most {MOST} tiers"
            ));
        }
        tiers.push((from, points));
    }
    Ok(tiers)
}

fn rate(tiers: &[(u64, u64)], value: u64) -> u64 {
    tiers.iter().rev().find(|(from, _)| *from <= value).map_or(0, |(_, points)| *points)
}

impl FeePolicy for FeeTiers {
    fn schema() -> String {
        SCHEMA.to_owned()
    }

    fn describe(settings: Settings) -> Result<Vec<String>, String> {
        tiers(&settings)?;
        Ok(vec![settings.text("column").unwrap_or("hashrate").to_owned()])
    }

    fn fees(
        settings: Settings,
        _: Income,
        _: Vec<u64>,
        amount: Vec<u64>,
        attributes: Vec<Vec<u64>>,
    ) -> Result<(Vec<u64>, Vec<u64>), String> {
        let tiers = tiers(&settings)?;
        let column = attributes.first().ok_or("the column of the tiers is missing")?;
        let fee: Vec<u64> = amount
            .iter()
            .zip(column)
            .map(|(amount, value)| basis_points(*amount, rate(&tiers, *value)))
            .collect();
        Ok(kept(fee))
    }
}
millpond_sdk::export_fee_policy!(FeeTiers);

#[cfg(test)]
mod tests {
    use super::*;
    use millpond_sdk::payout::Setting;

    fn income() -> Income {
        Income { key: vec![1], gross: 0, seq: 1, time_ms: 0, coord: 1, finder: None }
    }

    fn with(tiers: &str) -> Settings {
        vec![("tiers".to_owned(), Setting::Text(tiers.to_owned()))]
    }

    #[test]
    fn the_whole_amount_is_charged_by_its_tier() {
        let (amount, column) = (vec![10_000; 5], vec![vec![0, 999, 1_000, 4_999_999, 5_000_000]]);
        let fees = FeeTiers::fees(with("0:150, 1k:100,5M:50"), income(), vec![1, 2, 3, 4, 5], amount, column);
        assert_eq!(fees, Ok((vec![150, 150, 100, 100, 50], vec![0; 5])));
    }

    #[test]
    fn tiers_that_are_none_are_refused_by_name() {
        for wrong in ["", "100", "1:100", "0:10001", "0:1,5:1,5:2", "0:x", "0:1,k:2", "0:1,99E:1", "0:-1"] {
            assert!(FeeTiers::describe(with(wrong)).unwrap_err().contains("`tiers`"), "{wrong}");
        }
        let many: Vec<String> = (0..17).map(|at| format!("{at}:1")).collect();
        assert!(FeeTiers::describe(with(&many.join(","))).is_err());
        assert_eq!(FeeTiers::describe(with(&many[..16].join(","))), Ok(vec!["hashrate".to_owned()]));
    }

    #[test]
    fn letters_are_powers_of_a_thousand() {
        assert_eq!(
            (number("7"), number("3k"), number("18E")),
            (Some(7), Some(3000), Some(18_000_000_000_000_000_000))
        );
        assert_eq!((number("19E"), number("1x"), number("+1"), number("")), (None, None, None, None));
    }
}
