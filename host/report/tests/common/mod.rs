//! A result with one of everything.

use millpond_report::{
    Column, Drawn, Head, Name, Page, Part, SchemeHead, Section, Table, bars, gain_by_age, payout_paths, ruin,
    variance_by_fee,
};
use millpond_types::Digest;

pub fn name(text: &str) -> Name {
    text.parse().unwrap()
}

/// What somebody would write who wants to be more than text.
pub const HOSTILE: &str = "</td><script src='//x.example/'>alert(1)</script>&amp;\u{202E}\"\u{0} =1+1";

pub fn head() -> Head {
    let scheme = |name: &str, native| SchemeHead {
        name: name.to_owned(),
        component: Digest::of(name.as_bytes()),
        native,
        settings: Digest::of(b"settings"),
    };
    Head {
        config: Digest::of(b"scenario"),
        seed: u64::MAX,
        replications: 400,
        version: "0.1.0".to_owned(),
        schemes: vec![scheme("pplns", true), scheme(HOSTILE, false)],
        stream: "millpond stream 1".to_owned(),
    }
}

/// Every kind, its ends, and rows without a value.
pub fn kinds() -> Table {
    let text = ["", "a,b", "line\nline", HOSTILE, "Zürich"].map(str::to_owned);
    let floats = [0.1, -0.0, f64::INFINITY, f64::NAN, 5e-324];
    let columns = vec![
        Column::new(name("count"), "shares", "How many.", vec![0, 1, u64::MAX, 1 << 63, 7]),
        Column::new(name("change"), "units", "By how much.", vec![i64::MIN, -1, 0, 1, i64::MAX]),
        Column::new(name("work"), "hashes", "In all.", vec![0, u128::MAX, 1, 2, 1_u128 << 64]),
        Column::new(name("part"), "", "Of it.", floats.to_vec()),
        Column::new(name("who"), "", "Whose.", text.to_vec()),
        Column::optional(
            name("paid"),
            "units",
            "If so.",
            vec![None, Some(1_u64), None, Some(u64::MAX), None],
        ),
        Column::optional(name("gain"), "", "If so.", floats.map(|x| (x > 0.0).then_some(x)).to_vec()),
        Column::optional(name("note"), "", HOSTILE, text.map(|x| (x.len() > 3).then_some(x)).to_vec()),
    ];
    Table::new(name("kinds"), "A row of each.", columns).unwrap()
}

/// What the plots are drawn from: figures of no pool, by formulas that anybody can see through.
pub fn studies() -> [Table; 4] {
    let text = |columns: &[(&str, usize)]| -> Vec<String> {
        columns.iter().flat_map(|(name, rows)| vec![(*name).to_owned(); *rows]).collect()
    };
    let table = |title: &str, says: &str, columns| Table::new(name(title), says, columns).unwrap();
    let each = |n: u32, f: &dyn Fn(f64) -> f64| (0..n).map(|i| f(f64::from(i))).collect::<Vec<f64>>();

    let cv2: Vec<f64> = [9.0, 3.5, 1.2, 0.4, 4.0, 4.0, 4.0, 4.0].to_vec();
    let fees = vec![0.0, 0.5, 1.0, 2.5, 0.0, 0.5, 1.0, 2.0];
    let variance = table(
        "variance",
        "One setting.",
        vec![
            Column::new(name("scheme"), "", "The scheme.", text(&[("pplns", 4), ("prop", 4)])),
            Column::new(name("fee"), "percent", "What a miner pays.", fees),
            Column::new(name("variance"), "rewards²", "Of a miner's earnings in a week.", cv2.clone()),
            Column::new(
                name("low"),
                "rewards²",
                "The interval's lower end.",
                cv2.iter().map(|v| v * 0.8).collect(),
            ),
            Column::new(
                name("high"),
                "rewards²",
                "The interval's upper end.",
                cv2.iter().map(|v| v * 1.2).collect(),
            ),
        ],
    );

    let gain: Vec<f64> = [each(24, &|i| 1.0 + 0.28 * (1.0 - i / 12.0)), each(24, &|_| 1.0)].concat();
    let gains = table(
        "gains",
        "One age.",
        vec![
            Column::new(name("scheme"), "", "The scheme.", text(&[("prop", 24), ("pplns", 24)])),
            Column::new(
                name("age"),
                "difficulties",
                "When he leaves.",
                [each(24, &|i| i / 8.0), each(24, &|i| i / 8.0)].concat(),
            ),
            Column::new(name("gain"), "parts of an honest miner's", "What he earns.", gain.clone()),
            Column::new(name("low"), "", "Lower end.", gain.iter().map(|v| v - 0.02).collect()),
            Column::new(name("high"), "", "Upper end.", gain.iter().map(|v| v + 0.02).collect()),
        ],
    );

    // 2^-reserve and 2^-(reserve/3): halved by each reward, or by three.
    let halved = |by: u64| (0..40_u64).map(move |i| 1.0 / (1_u64 << (i / by)) as f64).collect::<Vec<f64>>();
    let reserve: Vec<u64> = (0..40).chain(0..40).collect();
    let risks = table(
        "ruin",
        "One reserve.",
        vec![
            Column::new(
                name("scheme"),
                "",
                "The scheme.",
                text(&[("pps, fee 1 %", 40), ("pps, fee 4 %", 40)]),
            ),
            Column::new(name("reserve"), "rewards", "What the operator begins with.", reserve),
            Column::new(name("ruin"), "probability", "That it is used up.", [halved(3), halved(1)].concat()),
        ],
    );

    let (mut scheme, mut run, mut day, mut paid) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (which, step) in [("solo", 40_u64), ("pplns", 1)] {
        for replication in 0..5_u64 {
            let mut sum = 0;
            for at in 0..160_u64 {
                scheme.push(which.to_owned());
                run.push(replication);
                day.push(at);
                // Pays `step` times as much one time in `step`, by a digest's first byte.
                let [drawn, ..] = Digest::of(format!("{which} {replication} {at}").as_bytes()).0;
                sum += if u64::from(drawn).is_multiple_of(step) { step * 312_500 } else { 0 };
                paid.push(sum);
            }
        }
    }
    let paths = table(
        "paths",
        "One day of one replication.",
        vec![
            Column::new(name("scheme"), "", "The scheme.", scheme),
            Column::new(name("replication"), "", "Which run.", run),
            Column::new(name("day"), "days", "Since the beginning.", day),
            Column::new(name("paid"), "satoshi", "To this miner up to then.", paid),
        ],
    );
    [variance, gains, risks, paths]
}

pub fn page(tables: &[Table]) -> Page<'_> {
    let table = |title: &str| tables.iter().find(|table| table.name().as_str() == title).unwrap();
    let drawn =
        |title, x, y, between, path| Drawn { table: table(title), series: "scheme", x, y, between, path };
    let ends = Some(("low", "high"));
    let charts = [
        variance_by_fee(&drawn("variance", "fee", "variance", ends, None)),
        gain_by_age(&drawn("gains", "age", "gain", ends, None)),
        ruin(&drawn("ruin", "reserve", "ruin", None, None)),
        payout_paths(&drawn("paths", "day", "paid", None, Some("replication"))),
        bars(
            "Variance by fee, as bars",
            HOSTILE,
            &Drawn { series: "scheme", x: "fee", ..drawn("variance", "fee", "variance", None, None) },
        ),
    ];
    let charts = charts.into_iter().map(|chart| Part::Chart(chart.unwrap()));
    let shown = ["variance", "paths", "kinds"].map(|title| Part::Table(table(title)));
    let sections = vec![
        Section { title: "Plots".to_owned(), parts: charts.collect() },
        Section {
            title: "Tables & text".to_owned(),
            parts: [vec![Part::Text(HOSTILE.to_owned())], shown.to_vec()].concat(),
        },
    ];
    Page { title: "A result with one of everything".to_owned(), lead: "Of no pool.".to_owned(), sections }
}

pub fn tables() -> Vec<Table> {
    [vec![kinds()], studies().to_vec()].concat()
}
