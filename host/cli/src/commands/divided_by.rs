//! Who divided what a statement is about, and what its windows count: scheme, fee policies, settings and units.
//!
//! All of it stands in the statement, under the pool's signature. Fees are leaves of the tree of credits, so that a miner's credit is what
//! they left to him: what they took of him alone stands in no statement, and is not told here.

use millpond_proofs::{Counted, Division, Measure, Part, Plugin, Setting, Span, TreeName, What};
use serde_json::{Map, Value, json};

/// The setting of a scheme that says up to which share work is another one's to pay, and whose.
const RUN_OFF: &str = "@run-off";

/// What a division says of itself, in words and as JSON.
pub(super) struct DividedBy<'a> {
    division: &'a Division,
    /// It is of an income, and not of a batch of shares.
    is_income: bool,
    follows: Option<Follows>,
}

/// Who was followed.
struct Follows {
    /// Work up to this share is not the scheme's to pay.
    up_to: u64,
    /// Who still pays it.
    scheme: Option<String>,
    settings: Map<String, Value>,
}

impl Follows {
    /// A coinbase that pays miners is divided by one scheme alone.
    fn of(division: &Division) -> Option<Self> {
        let setting = division.scheme.settings.iter().find(|setting| setting.name == RUN_OFF);
        let Setting::Text(said) = &setting.filter(|_| !division.direct)?.value else { return None };
        let said: Value = serde_json::from_str(said).ok()?;
        let up_to = said.get("floor")?.as_u64()?;
        let old = said.get("old").and_then(|old| old.get("scheme"));
        let scheme = old.and_then(|old| old.get("name")).and_then(Value::as_str).map(str::to_owned);
        let pairs = old.and_then(|old| old.get("settings")).and_then(Value::as_array);
        let pair = |pair: &Value| Some((pair.get(0)?.as_str()?.to_owned(), pair.get(1)?.clone()));
        let settings = pairs.into_iter().flatten().filter_map(pair).collect();
        Some(Self { up_to, scheme, settings })
    }
}

impl<'a> DividedBy<'a> {
    /// Nothing of what divides nothing: payments, and what takes an entry back.
    pub(super) fn of(what: &'a What) -> Option<Self> {
        let (division, is_income) = match what {
            What::Income(division) => (division, true),
            What::Accrued(division) => (division, false),
            What::Payment(_) | What::Reversed(_) | What::Kept(_) | What::Reinstated(_) | What::Undone(_) => {
                return None;
            }
        };
        Some(Self { division, is_income, follows: Follows::of(division) })
    }

    /// Scheme, fee policies and who was followed, a line each.
    pub(super) fn lines(&self) -> Vec<String> {
        let with = |plugin: &Plugin| {
            let component = plugin.component.to_string();
            format!("{} {component}, {}", plugin.name, in_words(&settings(plugin)))
        };
        let mut lines = vec![format!("divided by {}", with(&self.division.scheme))];
        for fee in &self.division.fees {
            lines.push(format!("fee policy {}; a miner's credit is what it left", with(fee)));
        }
        if let Some(follows) = &self.follows {
            let up_to = follows.up_to;
            lines.push(match &follows.scheme {
                Some(old) => format!(
                    "work up to share {up_to} is still paid by {old}, {}: the credit is what both gave",
                    in_words(&follows.settings)
                ),
                None => format!("work up to share {up_to} is not this scheme's to pay"),
            });
        }
        lines
    }

    /// The unit of a part, and of a window what it is of where that is not the scheme's own.
    pub(super) fn unit(&self, part: &Part) -> String {
        let TreeName::Work(window) = part.tree else { return "the smallest unit of money".to_owned() };
        let Some(window) = self.division.windows.get(usize::from(window)) else { return String::new() };
        let shift = self.division.shift;
        match (window.measure, &window.span) {
            (Measure::Work, _) => format!("work of 2^{shift} hashes"),
            (Measure::Units, _) => "parts of the network's work, which is 2^64 of them".to_owned(),
            (Measure::Count, _) => "shares".to_owned(),
            (Measure::Value, _) => "what shares were worth, 2^32 to the smallest unit of money".to_owned(),
            (Measure::SubsidyValue, _) => {
                "what shares were worth of the subsidy, 2^32 to the smallest unit of money".to_owned()
            }
            (Measure::FeeValue, Span::Slices(_)) => {
                format!(
                    "the work's part of its slice by the fees of its job, 2^32 to work of 2^{shift} hashes"
                )
            }
            (Measure::FeeValue, _) => {
                "what shares were worth of the fees, 2^32 to the smallest unit of money".to_owned()
            }
        }
    }

    /// Whose window a part is of, where that is the scheme's that was followed.
    pub(super) fn followed(&self, part: &Part) -> Option<&str> {
        let follows = self.follows.as_ref()?;
        let TreeName::Work(window) = part.tree else { return None };
        let window = self.division.windows.get(usize::from(window))?;
        // Windows of the scheme's own begin behind that share; nobody's window is one without work.
        let begins_before = |counted: &Counted| counted.first.0 <= follows.up_to && part.sum > 0;
        let given_to_it = self.is_income && matches!(window.span, Span::Batch);
        let is_its = given_to_it || window.counted.as_ref().is_some_and(begins_before);
        follows.scheme.as_deref().filter(|_| is_its)
    }

    /// The same as JSON: scheme, fee policies, who was followed.
    pub(super) fn json(&self) -> (Value, Value, Value) {
        let plugin = |plugin: &Plugin| json!({"name": plugin.name, "component": plugin.component.to_string(), "settings": settings(plugin)});
        let fees = self.division.fees.iter().map(plugin).collect();
        let follows = self.follows.as_ref().map(|follows| {
            json!({"scheme": follows.scheme, "settings": follows.settings, "up_to": follows.up_to.to_string()})
        });
        (plugin(&self.division.scheme), fees, json!(follows))
    }
}

/// A plugin's settings without what it follows.
fn settings(plugin: &Plugin) -> Map<String, Value> {
    let own = plugin.settings.iter().filter(|setting| setting.name != RUN_OFF);
    own.map(|setting| {
        let value = match &setting.value {
            Setting::Text(text) => json!(text),
            Setting::Int(number) => json!(number),
            Setting::Flag(flag) => json!(flag),
        };
        (setting.name.clone(), value)
    })
    .collect()
}

fn in_words(settings: &Map<String, Value>) -> String {
    if settings.is_empty() {
        return "without settings".to_owned();
    }
    settings.iter().map(|(name, value)| format!("{name} = {value}")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use millpond_proofs::{NamedSetting, Statement};
    use millpond_types::ShareSeq;

    /// The first division of the vectors: windows by work from share 1000, of the finder, and by time from share 1900.
    fn divided() -> What {
        let vectors: Vec<Value> =
            serde_json::from_str(include_str!("../../../proofs/vectors/statements.json")).unwrap();
        Statement::read(vectors[0]["statement"].to_string().as_bytes()).unwrap().commitment.what
    }

    fn part(window: u8) -> Part {
        Part { tree: TreeName::Work(window), value: 1, sum: 2, owners: 2 }
    }

    fn following(text: &str, change: impl FnOnce(&mut Division)) -> What {
        let What::Income(mut division) = divided() else { panic!("an income") };
        division
            .scheme
            .settings
            .insert(0, NamedSetting { name: RUN_OFF.to_owned(), value: Setting::Text(text.to_owned()) });
        change(&mut division);
        What::Income(division)
    }

    const FOLLOWS: &str = r#"{"floor":1500,"old":{"floor":0,"from":0,"until":1009,
        "scheme":{"name":"tides","component":"00","settings":[["a","b"],["window",8000]]},"fees":[]}}"#;

    #[test]
    fn a_window_that_begins_at_or_before_the_boundary_is_the_old_schemes() {
        let what = following(FOLLOWS, |_| ());
        let by = DividedBy::of(&what).unwrap();
        assert_eq!((by.followed(&part(0)), by.followed(&part(2))), (Some("tides"), None));
        assert_eq!(by.followed(&Part { sum: 0, ..part(0) }), None, "a window without work is nobody's");
        let credits = Part { tree: TreeName::Credits, ..part(0) };
        assert_eq!(by.followed(&credits), None);
        let lines = by.lines();
        let said = "work up to share 1500 is still paid by tides, a = \"b\", window = 8000: the credit is what both gave";
        assert!(lines.iter().any(|line| line == said), "{lines:?}");
        assert!(lines.iter().all(|line| !line.contains(RUN_OFF)), "{lines:?}");

        let at_it = |what: &mut Division| {
            what.windows[2].counted.as_mut().unwrap().first = ShareSeq(1500);
        };
        let what = following(FOLLOWS, at_it);
        assert_eq!(DividedBy::of(&what).unwrap().followed(&part(2)), Some("tides"));
    }

    #[test]
    fn a_boundary_alone_a_coinbase_that_pays_and_words_that_are_none_name_nobody() {
        let what = following(r#"{"floor":1500}"#, |_| ());
        let by = DividedBy::of(&what).unwrap();
        assert_eq!(by.followed(&part(0)), None);
        assert!(by.lines().iter().any(|line| line == "work up to share 1500 is not this scheme's to pay"));
        let direct = following(FOLLOWS, |division| division.direct = true);
        for what in [direct, following("nothing of the kind", |_| ())] {
            let by = DividedBy::of(&what).unwrap();
            assert_eq!((by.followed(&part(0)), by.lines().len()), (None, 2), "scheme and fee");
        }
    }

    #[test]
    fn each_measure_has_a_unit_of_its_own() {
        let unit = |measure: Measure, span: Option<Span>| {
            let what = following(FOLLOWS, |division| {
                division.windows[0].measure = measure;
                division.windows[0].span = span.unwrap_or(Span::Round);
            });
            DividedBy::of(&what).unwrap().unit(&part(0))
        };
        let slices = Span::Slices(millpond_proofs::Slices { thousandths: 1, step: 1 });
        let all = [
            unit(Measure::Work, None),
            unit(Measure::Units, None),
            unit(Measure::Count, None),
            unit(Measure::Value, None),
            unit(Measure::SubsidyValue, None),
            unit(Measure::FeeValue, None),
            unit(Measure::FeeValue, Some(slices)),
        ];
        assert_eq!(all[0], "work of 2^32 hashes");
        assert!(all[1].contains("2^64"), "{}", all[1]);
        let others: std::collections::BTreeSet<_> = all.iter().collect();
        assert_eq!(others.len(), all.len(), "{all:?}");
    }
}
