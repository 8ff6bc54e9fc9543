//! A plugin's settings against the JSON Schema that the plugin exports.
//!
//! The part of JSON Schema that is understood: `type: object` with `properties` (nested objects become dotted
//! names), `required`, `additionalProperties: false` (always), and for a property `type` (string, integer, boolean),
//! `enum`, `minimum`, `maximum`, `minLength`, `maxLength`, `default`, `description`. Anything else in a schema is
//! refused when the plugin is loaded, so that no rule is silently unenforced.

use crate::values::Span;
use serde_json::Value as Json;
use std::collections::BTreeMap;

/// A checked setting.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Setting {
    /// Text.
    Text(String),
    /// A whole number.
    Int(i64),
    /// True or false.
    Flag(bool),
}

/// Checked settings, sorted by name, defaults filled in: what a plugin is called with.
pub type Settings = Vec<(String, Setting)>;

/// One error in a plugin's settings.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name}: {message}")]
pub struct SettingError {
    /// The setting's dotted name.
    pub name: String,
    /// What is wrong and what to do.
    pub message: String,
    /// Where it stands; `None` when it is missing.
    pub span: Option<Span>,
}

fn error(name: &str, message: impl Into<String>, span: Option<Span>) -> SettingError {
    SettingError { name: name.to_owned(), message: message.into(), span }
}

/// Reads a schema alone: how many settings it describes, tables counted by what is in them.
///
/// # Errors
/// Everything in it that would have a configuration with this plugin refused.
pub fn described(schema: &str) -> Result<usize, Vec<SettingError>> {
    rules(schema).map(|rules| rules.len())
}

fn rules(schema: &str) -> Result<BTreeMap<String, Rule>, Vec<SettingError>> {
    let schema: Json = serde_json::from_str(schema)
        .map_err(|why| vec![error("", format!("the plugin's schema is no JSON: {why}"), None)])?;
    let mut rules = BTreeMap::new();
    let mut errors = Vec::new();
    collect(&schema, "", 0, &mut rules, &mut errors);
    if errors.is_empty() { Ok(rules) } else { Err(errors) }
}

/// Checks settings against a schema.
///
/// # Errors
/// Every error: of the schema itself first, else of the settings.
pub fn check(
    schema: &str,
    given: &BTreeMap<String, (toml::Value, Span)>,
) -> Result<Settings, Vec<SettingError>> {
    let rules = rules(schema)?;
    let mut errors = Vec::new();
    let mut settings = Settings::new();
    for (name, rule) in &rules {
        match given.get(name) {
            Some((value, span)) => match rule.read(value) {
                Ok(setting) => settings.push((name.clone(), setting)),
                Err(message) => errors.push(error(name, message, Some(*span))),
            },
            None => match (&rule.default, rule.required) {
                (Some(default), _) => settings.push((name.clone(), default.clone())),
                (None, true) => errors.push(error(name, format!("is missing: {}", rule.description), None)),
                (None, false) => {}
            },
        }
    }
    for (name, (_, span)) in given.iter().filter(|(name, _)| !rules.contains_key(*name)) {
        let known: Vec<_> = rules.keys().map(String::as_str).collect();
        errors.push(error(
            name,
            format!("is no setting of this plugin; known: {}", known.join(", ")),
            Some(*span),
        ));
    }
    if errors.is_empty() { Ok(settings) } else { Err(errors) }
}

#[derive(Debug)]
struct Rule {
    kind: Kind,
    choices: Option<Vec<Setting>>,
    minimum: Option<i64>,
    maximum: Option<i64>,
    default: Option<Setting>,
    required: bool,
    description: String,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Text,
    Int,
    Flag,
}

impl Rule {
    fn read(&self, value: &toml::Value) -> Result<Setting, String> {
        let setting = match (self.kind, value) {
            (Kind::Text, toml::Value::String(text)) => Setting::Text(text.clone()),
            (Kind::Int, toml::Value::Integer(number)) => Setting::Int(*number),
            (Kind::Flag, toml::Value::Boolean(flag)) => Setting::Flag(*flag),
            (kind, other) => {
                let wanted = match kind {
                    Kind::Text => "text",
                    Kind::Int => "a whole number",
                    Kind::Flag => "true or false",
                };
                return Err(format!("has to be {wanted}, not {}", other.type_str()));
            }
        };
        self.admits(&setting)?;
        Ok(setting)
    }

    fn admits(&self, setting: &Setting) -> Result<(), String> {
        if let Some(choices) = &self.choices
            && !choices.contains(setting)
        {
            return Err(format!("has to be one of {choices:?}"));
        }
        let size = match setting {
            Setting::Int(number) => *number,
            Setting::Text(text) => i64::try_from(text.len()).unwrap_or(i64::MAX),
            Setting::Flag(_) => return Ok(()),
        };
        let what = if matches!(setting, Setting::Text(_)) { " bytes long" } else { "" };
        match (self.minimum, self.maximum) {
            (Some(minimum), _) if size < minimum => {
                Err(format!("has to be at least {minimum}{what}, not {size}"))
            }
            (_, Some(maximum)) if size > maximum => {
                Err(format!("has to be at most {maximum}{what}, not {size}"))
            }
            _ => Ok(()),
        }
    }
}

fn collect(
    schema: &Json,
    prefix: &str,
    depth: u8,
    rules: &mut BTreeMap<String, Rule>,
    errors: &mut Vec<SettingError>,
) {
    let shown = if prefix.is_empty() { "schema" } else { prefix };
    let Some(object) = schema.as_object().filter(|_| depth < 8) else {
        errors.push(error(shown, "the plugin's schema is no object, or nests deeper than 8", None));
        return;
    };
    const OBJECT: &[&str] =
        &["$schema", "$id", "title", "description", "type", "properties", "required", "additionalProperties"];
    for key in object.keys().filter(|key| !OBJECT.contains(&key.as_str())) {
        errors.push(error(shown, format!("the plugin's schema uses `{key}`, which is not understood"), None));
    }
    let required: Vec<&str> = object
        .get("required")
        .and_then(Json::as_array)
        .into_iter()
        .flatten()
        .filter_map(Json::as_str)
        .collect();
    let empty = serde_json::Map::new();
    let properties = object.get("properties").and_then(Json::as_object).unwrap_or(&empty);
    for (key, property) in properties {
        let name = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
        if property.get("type").and_then(Json::as_str) == Some("object") {
            collect(property, &name, depth + 1, rules, errors);
            continue;
        }
        match rule(property, required.contains(&key.as_str())) {
            Ok(rule) => {
                rules.insert(name, rule);
            }
            Err(message) => errors.push(error(&name, message, None)),
        }
    }
}

fn rule(property: &Json, required: bool) -> Result<Rule, String> {
    const KNOWN: &[&str] =
        &["type", "enum", "minimum", "maximum", "minLength", "maxLength", "default", "description", "title"];
    let object = property.as_object().ok_or("the plugin's schema has a property that is no object")?;
    if let Some(key) = object.keys().find(|key| !KNOWN.contains(&key.as_str())) {
        return Err(format!("the plugin's schema uses `{key}`, which is not understood"));
    }
    let kind = match object.get("type").and_then(Json::as_str) {
        Some("string") => Kind::Text,
        Some("integer") => Kind::Int,
        Some("boolean") => Kind::Flag,
        _ => return Err("the plugin's schema needs a type of string, integer, boolean or object here".into()),
    };
    let setting = |value: &Json| match (kind, value) {
        (Kind::Text, Json::String(text)) => Ok(Setting::Text(text.clone())),
        (Kind::Int, Json::Number(number)) if number.is_i64() => {
            Ok(Setting::Int(number.as_i64().unwrap_or(0)))
        }
        (Kind::Flag, Json::Bool(flag)) => Ok(Setting::Flag(*flag)),
        _ => Err(format!("the plugin's schema has {value} where its type does not fit")),
    };
    let bound = |short: &str, long: &str| {
        let name = if kind == Kind::Text { long } else { short };
        object
            .get(name)
            .map(|value| value.as_i64().ok_or(format!("the plugin's schema: {name} is no integer")))
    };
    let choices =
        match object.get("enum").map(|list| list.as_array().ok_or("the plugin's schema: enum is no list")) {
            None => None,
            Some(list) => Some(list?.iter().map(setting).collect::<Result<Vec<_>, _>>()?),
        };
    let rule = Rule {
        kind,
        choices,
        minimum: bound("minimum", "minLength").transpose()?,
        maximum: bound("maximum", "maxLength").transpose()?,
        default: object.get("default").map(setting).transpose()?,
        required,
        description: object.get("description").and_then(Json::as_str).unwrap_or("no description").to_owned(),
    };
    if let Some(default) = &rule.default {
        rule.admits(default).map_err(|why| format!("the plugin's own default {why}"))?;
    }
    Ok(rule)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCHEMA: &str = r#"{"type":"object","properties":{
        "network":{"type":"string","enum":["main","regtest"],"description":"which chain"},
        "window":{"type":"integer","minimum":1,"maximum":64,"default":2},
        "tag":{"type":"string","maxLength":4,"default":"mp"},
        "solo":{"type":"object","properties":{"on":{"type":"boolean","default":false}}}
    },"required":["network"]}"#;

    fn given(text: &str) -> BTreeMap<String, (toml::Value, Span)> {
        let table: toml::Table = text.parse().unwrap();
        let place = Span { line: 7, column: 1 };
        table.into_iter().map(|(name, value)| (name, (value, place))).collect()
    }

    #[test]
    fn settings_come_sorted_and_with_defaults() {
        let settings = check(SCHEMA, &given("network = 'regtest'\nwindow = 8")).unwrap();
        let names: Vec<_> = settings.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["network", "solo.on", "tag", "window"]);
        assert_eq!(settings[3].1, Setting::Int(8));
        assert_eq!(settings[1].1, Setting::Flag(false));
    }

    #[test]
    fn every_wrong_setting_is_told_with_its_line() {
        let errors = check(SCHEMA, &given("window = 65\ntag = 'longer'\nnetwrk = 'main'")).unwrap_err();
        let names: Vec<_> = errors.iter().map(|error| error.name.as_str()).collect();
        assert_eq!(names, ["network", "tag", "window", "netwrk"]);
        assert_eq!(errors[2].span, Some(Span { line: 7, column: 1 }));
        assert!(errors[2].message.contains("at most 64"), "{}", errors[2].message);
    }

    #[test]
    fn a_schema_that_asks_for_more_than_is_enforced_is_refused() {
        let schema = r#"{"type":"object","properties":{"a":{"type":"string","pattern":"x+"}}}"#;
        let errors = check(schema, &BTreeMap::new()).unwrap_err();
        assert!(errors[0].message.contains("`pattern`"), "{}", errors[0].message);
        assert!(check("[]", &BTreeMap::new()).is_err());
        assert!(check("{", &BTreeMap::new()).is_err());
        assert!(
            check(r#"{"properties":{"a":{"type":"integer","maximum":1,"default":2}}}"#, &BTreeMap::new())
                .is_err()
        );
    }
}
