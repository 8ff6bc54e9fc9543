//! Payout schemes that cheat, one for each setting `cheat`: what an operator must be able to find before miners do. All of
//! them split an income over a window of units as an honest scheme does, and favour somebody beside it. Most conserve
//! every unit. `docs/conformance.md` says which property of the conformance kit catches each, and why.
//!
//! Not for a pool.

use millpond_sdk::Settings as _;
use millpond_sdk::cumulative;
use millpond_sdk::payout::{
    Allocation, Edge, Income, Measure, Reversal, Scheme, Settings, Span, State, Terms, Totals, Window, claims,
};

/// The scheme.
pub struct BadSchemes;

/// All of them, in the order of the documentation. `none` is the honest scheme that they are made of.
pub const CHEATS: [&str; 15] = [
    "none", "mint", "stranger", "name", "digit", "pattern", "largest", "finder", "height", "date", "count",
    "rich", "founders", "skim", "sleeper",
];

const SCHEMA: &str = r#"{"type":"object","properties":{
"cheat":{"type":"string","default":"none","enum":["none","mint","stranger","name","digit","pattern","largest","finder","height","date","count","rich","founders","skim","sleeper"],"description":"Whom it favours."}
},"additionalProperties":false}"#;

/// A height of 2026, 2030-01-01 in milliseconds, and the 10,000th income.
const HEIGHT: u64 = 950_123;
const DATE: u64 = 1_893_456_000_000;
const COUNT: u64 = 10_000;
/// A large income.
const RICH: u64 = 1 << 45;

fn cheat(settings: &Settings) -> &str {
    settings.text("cheat").unwrap_or("none")
}

impl Scheme for BadSchemes {
    fn schema() -> String {
        SCHEMA.to_owned()
    }

    fn describe(settings: Settings) -> Result<Terms, String> {
        let cheat = cheat(&settings);
        if !CHEATS.contains(&cheat) {
            return Err(format!("setting `cheat` is {cheat:?}, there are {}", CHEATS.join(", ")));
        }
        // Nobody who cheats claims what would tell on him at once.
        let claimed: &[&str] = match cheat {
            "pattern" | "largest" | "founders" | "skim" => &[claims::PERMUTATION],
            _ => &[claims::PERMUTATION, claims::SPLIT, claims::SCALE, claims::MONOTONE],
        };
        let keeps = cheat == "founders";
        Ok(Terms {
            windows: vec![Window { span: Span::Work(2_000), measure: Measure::Units, edge: Edge::Split }],
            cells: u8::from(keeps),
            batch: 0,
            reversal: if keeps { Reversal::Restore } else { Reversal::Drop },
            reserve: false,
            claims: claimed.iter().map(|claim| (*claim).to_owned()).collect(),
            state_format: if keeps { "founders-1".to_owned() } else { String::new() },
        })
    }

    fn allocate(
        settings: Settings,
        income: Income,
        windows: Vec<Totals>,
        state: State,
    ) -> Result<Allocation, String> {
        let window = windows.first().ok_or("no window was given, one was declared")?;
        let rows: Vec<(u64, u128)> = window.rows().collect();
        let largest = rows.iter().max_by_key(|row| row.1).map(|row| row.0);
        let percent = income.gross / 100;
        match cheat(&settings) {
            // A unit out of nothing.
            "mint" => {
                let mut given = split(income.gross, &rows)?;
                given.rest = given.rest.saturating_add(1);
                Ok(given)
            }
            // Pays somebody who is not there.
            "stranger" => bonus(income.gross, percent, &rows, rows.last().map(|row| row.0.saturating_add(1))),
            // One name counts double.
            "name" => split(income.gross, &weighed(&rows, |miner, _| miner == 1)),
            // So does work of a pattern, with and without claims that tell on it.
            "digit" | "pattern" => split(income.gross, &weighed(&rows, |_, work| work % 10 == 7)),
            // A hundredth to whoever has most; to the finder, whom its windows do not name.
            "largest" => bonus(income.gross, percent, &rows, largest),
            "finder" => {
                let finder = income.finder.filter(|finder| rows.iter().any(|row| row.0 == *finder));
                bonus(income.gross, percent, &rows, finder)
            }
            // Bombs.
            "height" if income.coord >= HEIGHT => bonus(income.gross, percent, &rows, largest),
            "date" if income.time_ms >= DATE => bonus(income.gross, percent, &rows, largest),
            "count" if income.seq >= COUNT => bonus(income.gross, percent, &rows, largest),
            "rich" if income.gross >= RICH => bonus(income.gross, percent, &rows, largest),
            // Those of the first income are marked, and count a hundredth more for ever.
            "founders" => founders(income.gross, &rows, &state),
            // A unit of the smallest for the largest, each time.
            "skim" => skim(income.gross, &rows),
            // One income of 65,536 or so, by nothing but its key.
            "sleeper" if asleep(&income.key) => bonus(income.gross, percent, &rows, largest),
            _ => split(income.gross, &rows),
        }
    }
}
millpond_sdk::export_scheme!(BadSchemes);

fn split(gross: u64, rows: &[(u64, u128)]) -> Result<Allocation, String> {
    let amounts = cumulative(gross, rows.iter().map(|row| row.1))?;
    Allocation::of(gross, rows.iter().map(|row| row.0).zip(amounts))
}

/// The same rows, those of some miners double.
fn weighed(rows: &[(u64, u128)], double: impl Fn(u64, u128) -> bool) -> Vec<(u64, u128)> {
    let weight = |(miner, work): &(u64, u128)| {
        // Halves, so that nothing leaves 128 bits.
        (*miner, if double(*miner, *work) { *work } else { work.div_ceil(2) })
    };
    rows.iter().map(weight).collect()
}

/// So much to one miner beforehand, the rest to all.
fn bonus(gross: u64, extra: u64, rows: &[(u64, u128)], to: Option<u64>) -> Result<Allocation, String> {
    let Some(to) = to else { return split(gross, rows) };
    let amounts = cumulative(gross.saturating_sub(extra), rows.iter().map(|row| row.1))?;
    let mut pay: Vec<(u64, u64)> = rows.iter().map(|row| row.0).zip(amounts).collect();
    match pay.iter_mut().find(|row| row.0 == to) {
        Some(row) => row.1 = row.1.saturating_add(extra),
        None => pay.push((to, extra)),
    }
    Allocation::of(gross, pay)
}

fn founders(gross: u64, rows: &[(u64, u128)], state: &State) -> Result<Allocation, String> {
    let marked = |miner: u64| state.of(miner, 1).is_some_and(|cells| cells == [1]);
    let first = state.memo.is_empty();
    let weights: Vec<(u64, u128)> = rows
        .iter()
        .map(|(miner, work)| (*miner, if marked(*miner) { work / 100 * 101 + work % 100 } else { *work }))
        .collect();
    let mut kept = State::unchanged();
    if first && !rows.is_empty() {
        kept.memo = vec![1];
        rows.iter().for_each(|(miner, _)| kept.push(*miner, &[1]));
    }
    Ok(split(gross, &weights)?.with_state(kept))
}

/// Where nobody else has as little, and nobody as much: equal miners would tell on it.
fn skim(gross: u64, rows: &[(u64, u128)]) -> Result<Allocation, String> {
    let mut given = split(gross, rows)?;
    let alone = |wanted: Option<u128>| {
        let mut of_it = rows.iter().filter(|row| Some(row.1) == wanted);
        let first = of_it.next().filter(|_| of_it.next().is_none())?;
        given.miner.iter().position(|miner| *miner == first.0)
    };
    let least = alone(rows.iter().map(|row| row.1).min());
    let most = alone(rows.iter().map(|row| row.1).max());
    if let (Some(from), Some(to)) = (least, most)
        && from != to
        && given.amount.get(from).is_some_and(|amount| *amount > 1)
    {
        if let Some(amount) = given.amount.get_mut(from) {
            *amount = amount.saturating_sub(1);
        }
        if let Some(amount) = given.amount.get_mut(to) {
            *amount = amount.saturating_add(1);
        }
    }
    Ok(given)
}

/// FNV-1a of the key, sixteen bits of it against what no one would guess.
fn asleep(key: &[u8]) -> bool {
    let hash = key.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    hash >> 48 == 0x5eed
}

#[cfg(test)]
mod tests {
    use super::*;
    use millpond_sdk::payout::Setting;

    fn ask(cheat: &str, change: impl Fn(&mut Income)) -> Allocation {
        let settings = vec![("cheat".to_owned(), Setting::Text(cheat.to_owned()))];
        let window = Totals { miner: vec![1, 2, 3], low: vec![100, 300, 600], high: vec![0; 3] };
        let mut income = Income {
            key: vec![1],
            gross: 100_000,
            seq: 5,
            time_ms: 1_700_000_000_000,
            coord: 800_000,
            finder: Some(2),
        };
        change(&mut income);
        BadSchemes::allocate(settings, income, vec![window], State::unchanged()).unwrap()
    }

    #[test]
    fn every_cheat_is_honest_until_it_cheats() {
        type Light = fn(&mut Income);
        let honest = ask("none", |_| {});
        assert_eq!(honest.amount, [10_000, 30_000, 60_000]);
        let bombs: [(&str, Light); 5] = [
            ("height", |income| income.coord = HEIGHT),
            ("date", |income| income.time_ms = DATE),
            ("count", |income| income.seq = COUNT),
            ("rich", |income| income.gross = RICH),
            ("sleeper", |income| {
                let key = (0_u64..).map(|key| key.to_le_bytes().to_vec()).find(|key| asleep(key));
                income.key = key.unwrap();
            }),
        ];
        for (cheat, light) in bombs {
            assert_eq!(ask(cheat, |_| {}), honest, "{cheat}");
            assert_ne!(ask(cheat, light), ask("none", light), "{cheat}");
        }
        for cheat in ["mint", "stranger", "name", "largest", "finder", "skim"] {
            assert_ne!(ask(cheat, |_| {}), honest, "{cheat}");
        }
        assert_eq!(ask("skim", |_| {}).amount, [9_999, 30_000, 60_001]);
        // Works of 97, 300 and 600 and one that ends in 7.
        assert_eq!(weighed(&[(1, 97), (2, 300)], |_, work| work % 10 == 7), [(1, 97), (2, 150)]);
    }

    #[test]
    fn founders_count_more_from_the_second_income_on() {
        let rows = [(1, 1_000), (2, 1_000)];
        let first = founders(10_000, &rows[..1], &State::unchanged()).unwrap();
        assert_eq!((first.amount, first.state.miner), (vec![10_000], vec![1]));
        let kept = State { memo: vec![1], miner: vec![1], cells: vec![1] };
        let next = founders(20_100, &rows, &kept).unwrap();
        assert_eq!((next.amount, next.state), (vec![10_100, 10_000], State::unchanged()));
    }

    #[test]
    fn the_schema_names_every_cheat() {
        for cheat in CHEATS {
            assert!(SCHEMA.contains(&format!("\"{cheat}\"")), "{cheat}");
        }
    }
}
