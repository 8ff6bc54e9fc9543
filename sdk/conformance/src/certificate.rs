//! What a report says, in a form that anybody makes again byte for byte: the same component, settings and options give the
//! same certificate. No date, no host, no floats; numbers are decimal strings, so that no reader rounds them.

use crate::{Report, Status};
use millpond_contracts::Setting;
use millpond_runtime::WASMTIME_VERSION;
use millpond_types::Digest;
use serde::Serialize;
use serde_json::{Map, Value};

/// The form of certificates.
const FORMAT: &str = "millpond-certificate-1";

/// What no property sees; each has its reason in `docs/conformance.md`.
const NOT_TESTED: [&str; 6] = [
    "a bomb that waits for an income's key, or for a number that the component computes",
    "a favour to work of a pattern, where neither split nor scale is claimed",
    "a favour to a size that only one miner has, where split is not claimed",
    "who mined when, told apart by windows of different length, where split is not claimed",
    "an advantage below what a property detects",
    "the order in which a pool records what it hears late",
];

#[derive(Serialize)]
struct Body<'a> {
    format: &'static str,
    plugin: &'a str,
    component: String,
    contract: &'a str,
    settings: Value,
    settings_digest: String,
    kit: Kit,
    engine: &'static str,
    options: Options,
    terms: Value,
    passed: bool,
    verdicts: Vec<Line<'a>>,
    not_claimed: Vec<&'a str>,
    not_tested: [&'static str; 6],
    inputs: &'a str,
    given: &'a str,
}

#[derive(Serialize)]
struct Kit {
    version: &'static str,
    properties: String,
}

#[derive(Serialize)]
struct Options {
    seed: String,
    cases: String,
    miners: String,
}

#[derive(Serialize)]
struct Line<'a> {
    id: &'a str,
    status: &'static str,
    says: &'a str,
    /// How it was tested, why it was not, or the counterexample.
    detail: &'a str,
    detects: Option<&'a str>,
}

/// The certificate of a plugin's report under a contract, as bytes of canonical JSON with a newline at the end.
#[must_use]
pub fn certificate(plugin: &str, contract: &str, report: &Report) -> Vec<u8> {
    let settings: Map<String, Value> = report
        .settings
        .iter()
        .map(|(key, value)| {
            let text = match value {
                Setting::Flag(flag) => flag.to_string(),
                Setting::Int(number) => number.to_string(),
                Setting::Text(text) => text.clone(),
            };
            (key.clone(), Value::String(text))
        })
        .collect();
    let settings = Value::Object(settings);
    let options = report.options;
    let body = Body {
        format: FORMAT,
        plugin,
        component: report.component.to_string(),
        contract,
        settings_digest: Digest::of(settings.to_string().as_bytes()).to_string(),
        settings,
        kit: Kit {
            version: report.kit,
            properties: Digest::of(crate::scheme::table().as_bytes()).to_string(),
        },
        engine: WASMTIME_VERSION,
        options: Options {
            seed: options.seed.to_string(),
            cases: options.cases.to_string(),
            miners: options.miners.to_string(),
        },
        terms: in_text(serde_json::to_value(&report.terms).unwrap_or_default()),
        passed: report.passed(),
        verdicts: report.verdicts.iter().map(line).collect(),
        not_claimed: report
            .verdicts
            .iter()
            .filter(|verdict| verdict.status == Status::NotClaimed)
            .map(|verdict| verdict.property)
            .collect(),
        not_tested: NOT_TESTED,
        inputs: &report.inputs,
        given: &report.given,
    };
    let mut bytes = serde_json::to_vec_pretty(&body).unwrap_or_default();
    // The digest of what stands above it.
    let result = Digest::of(&bytes);
    bytes.truncate(bytes.len().saturating_sub(2));
    bytes.extend(format!(",\n  \"result\": \"{result}\"\n}}\n").bytes());
    bytes
}

fn line(verdict: &crate::Verdict) -> Line<'_> {
    let (status, detail) = match &verdict.status {
        Status::Pass(how) => ("held", how.as_str()),
        Status::Fail(example) => ("broken", example.as_str()),
        Status::NotClaimed => ("not-claimed", ""),
        Status::NotRun(why) => ("not-run", why.as_str()),
    };
    Line { id: verdict.property, status, says: verdict.says, detail, detects: verdict.detects }
}

/// Numbers as decimal strings, keys in order.
fn in_text(value: Value) -> Value {
    match value {
        Value::Number(number) => Value::String(number.to_string()),
        Value::Array(values) => Value::Array(values.into_iter().map(in_text).collect()),
        Value::Object(fields) => {
            let mut fields: Vec<(String, Value)> =
                fields.into_iter().map(|(key, value)| (key, in_text(value))).collect();
            fields.sort_by(|a, b| a.0.cmp(&b.0));
            Value::Object(fields.into_iter().collect())
        }
        other => other,
    }
}
