//! The kinds of values that options have.

use crate::reader::{Errors, Item, SectionDoc, Shown, ShownValue, Value, under};
use millpond_types::{Amount, PoolName};
use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use toml::de::DeValue;

/// Line and column, from 1, in the configuration file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// Line, from 1.
    pub line: usize,
    /// Column, from 1.
    pub column: usize,
}

impl Span {
    pub(crate) fn new((line, column): (usize, usize)) -> Self {
        Self { line, column }
    }
}

/// A secret: it stands in the environment (`env:NAME`), in a file (`file:PATH`), or in the configuration itself.
/// Its text is read when it is needed and never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The secret's text, without a trailing newline.
    ///
    /// # Errors
    /// When the variable is not set or the file cannot be read; the message names it.
    pub fn reveal(&self) -> Result<String, String> {
        if let Some(name) = self.0.strip_prefix("env:") {
            return std::env::var(name).map_err(|_| format!("the environment variable {name} is not set"));
        }
        if let Some(path) = self.0.strip_prefix("file:") {
            return std::fs::read_to_string(path)
                .map(|text| text.trim_end_matches(['\r', '\n']).to_owned())
                .map_err(|error| format!("the secret file {path} cannot be read: {error}"));
        }
        Ok(self.0.clone())
    }

    /// A secret given as text, for programs that make their own configuration.
    #[must_use]
    pub fn literal(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// Writes a value as it is printed.
fn plainly(value: &impl fmt::Display, option: &str, line: usize, out: &mut Shown) {
    out.insert(option.to_owned(), ShownValue::plain(value.to_string(), line));
}

/// For kinds whose `Display` says all.
macro_rules! shown_plainly {
    () => {
        fn show(&self, option: &str, line: usize, out: &mut Shown) {
            plainly(self, option, line, out);
        }
    };
}

fn wrong(item: &Item<'_>, kind: &str, errors: &mut Errors<'_>) {
    errors.push(item.span(), format!("has to be {kind}, not {}", item.get_ref().type_str()));
}

fn text<'a>(item: &'a Item<'_>, kind: &str, errors: &mut Errors<'_>) -> Option<&'a str> {
    if let DeValue::String(text) = item.get_ref() {
        return Some(text);
    }
    wrong(item, kind, errors);
    None
}

fn parsed<T>(
    item: &Item<'_>,
    kind: &str,
    errors: &mut Errors<'_>,
    parse: impl FnOnce(&str) -> Option<T>,
) -> Option<T> {
    let text = text(item, kind, errors)?;
    let value = parse(text);
    if value.is_none() {
        errors.push(item.span(), format!("has to be {kind}, not {text:?}"));
    }
    value
}

pub(crate) fn integer(item: &DeValue<'_>) -> Option<i128> {
    let DeValue::Integer(number) = item else { return None };
    i128::from_str_radix(number.as_str(), number.radix()).ok()
}

pub(crate) fn float(item: &DeValue<'_>) -> Option<f64> {
    match item {
        DeValue::Float(number) => number.as_str().parse().ok(),
        other => integer(other).map(|number| number as f64),
    }
}

macro_rules! whole_number {
    ($type:ty, $kind:literal) => {
        impl Value for $type {
            const KIND: &'static str = $kind;
            fn read(item: &Item<'_>, errors: &mut Errors<'_>) -> Option<Self> {
                let value = integer(item.get_ref()).and_then(|number| Self::try_from(number).ok());
                if value.is_none() {
                    errors.push(item.span(), format!("has to be {}", Self::KIND));
                }
                value
            }
            shown_plainly!();
        }
    };
}
whole_number!(u64, "a whole number from 0 up");
whole_number!(u32, "a whole number from 0 to 4294967295");
whole_number!(u16, "a whole number from 0 to 65535");
whole_number!(u8, "a whole number from 0 to 255");

impl Value for f64 {
    const KIND: &'static str = "a number above 0";
    fn read(item: &Item<'_>, errors: &mut Errors<'_>) -> Option<Self> {
        let value = float(item.get_ref()).filter(|number| number.is_finite() && *number > 0.0);
        if value.is_none() {
            errors.push(item.span(), format!("has to be {}", Self::KIND));
        }
        value
    }
    shown_plainly!();
}

impl Value for Amount {
    const KIND: &'static str = "a whole number of base units (satoshi)";
    fn read(item: &Item<'_>, errors: &mut Errors<'_>) -> Option<Self> {
        let value = integer(item.get_ref()).and_then(|number| u64::try_from(number).ok());
        if value.is_none() {
            errors.push(item.span(), format!("has to be {}", Self::KIND));
        }
        value.map(Self)
    }
    shown_plainly!();
}

impl Value for bool {
    const KIND: &'static str = "true or false";
    fn read(item: &Item<'_>, errors: &mut Errors<'_>) -> Option<Self> {
        if let DeValue::Boolean(value) = item.get_ref() {
            return Some(*value);
        }
        wrong(item, Self::KIND, errors);
        None
    }
    shown_plainly!();
}

impl Value for String {
    const KIND: &'static str = "text";
    fn read(item: &Item<'_>, errors: &mut Errors<'_>) -> Option<Self> {
        text(item, Self::KIND, errors).map(str::to_owned)
    }
    shown_plainly!();
}

impl Value for PathBuf {
    const KIND: &'static str = "a path";
    fn read(item: &Item<'_>, errors: &mut Errors<'_>) -> Option<Self> {
        text(item, Self::KIND, errors).map(Self::from)
    }
    fn show(&self, option: &str, line: usize, out: &mut Shown) {
        plainly(&self.display(), option, line, out);
    }
}

impl Value for SocketAddr {
    const KIND: &'static str = "an address with a port, such as \"0.0.0.0:3333\" or \"[::]:3333\"";
    fn read(item: &Item<'_>, errors: &mut Errors<'_>) -> Option<Self> {
        parsed(item, Self::KIND, errors, |text| text.parse().ok())
    }
    shown_plainly!();
}

impl Value for PoolName {
    const KIND: &'static str = "1 to 32 of a-z, 0-9 and -";
    fn read(item: &Item<'_>, errors: &mut Errors<'_>) -> Option<Self> {
        parsed(item, Self::KIND, errors, |text| Self::try_from(text.to_owned()).ok())
    }
    shown_plainly!();
}

impl Value for Secret {
    const KIND: &'static str = "a secret: \"env:NAME\", \"file:PATH\" or the text itself";
    fn read(item: &Item<'_>, errors: &mut Errors<'_>) -> Option<Self> {
        text(item, Self::KIND, errors).map(|text| Self(text.to_owned()))
    }
    fn show(&self, option: &str, line: usize, out: &mut Shown) {
        out.insert(option.to_owned(), ShownValue { compared: self.0.clone(), secret: true, line });
    }
}

impl Value for Duration {
    const KIND: &'static str = "a time such as \"250ms\", \"30s\", \"10m\", \"12h\" or \"7d\"";
    fn read(item: &Item<'_>, errors: &mut Errors<'_>) -> Option<Self> {
        parsed(item, Self::KIND, errors, duration)
    }
    fn show(&self, option: &str, line: usize, out: &mut Shown) {
        plainly(&format_args!("{self:?}"), option, line, out);
    }
}

fn duration(text: &str) -> Option<Duration> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at_checked(digits)?;
    let microseconds: u64 = match unit {
        "us" => 1,
        "ms" => 1_000,
        "s" => 1_000_000,
        "m" => 60_000_000,
        "h" => 3_600_000_000,
        "d" => 86_400_000_000,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(microseconds).map(Duration::from_micros)
}

impl<T: Value> Value for Option<T> {
    const KIND: &'static str = T::KIND;
    fn section() -> Option<SectionDoc> {
        T::section()
    }
    fn read(item: &Item<'_>, errors: &mut Errors<'_>) -> Option<Self> {
        T::read(item, errors).map(Some)
    }
    fn absent() -> Option<Self> {
        Some(None)
    }
    fn show(&self, option: &str, line: usize, out: &mut Shown) {
        if let Some(value) = self {
            value.show(option, line, out);
        }
    }
}

/// A list of texts.
impl Value for Vec<String> {
    const KIND: &'static str = "a list of texts";
    fn read(item: &Item<'_>, errors: &mut Errors<'_>) -> Option<Self> {
        let DeValue::Array(items) = item.get_ref() else {
            wrong(item, Self::KIND, errors);
            return None;
        };
        items.iter().map(|item| String::read(item, errors)).collect()
    }
    fn absent() -> Option<Self> {
        Some(Self::new())
    }
    fn show(&self, option: &str, line: usize, out: &mut Shown) {
        plainly(&format_args!("{self:?}"), option, line, out);
    }
}

/// Numbers by names of the operator's own.
impl Value for BTreeMap<String, f64> {
    const KIND: &'static str = "a table of numbers above 0";
    fn read(item: &Item<'_>, errors: &mut Errors<'_>) -> Option<Self> {
        let DeValue::Table(table) = item.get_ref() else {
            wrong(item, Self::KIND, errors);
            return None;
        };
        let one = |(key, item): (&toml::Spanned<toml::de::DeString<'_>>, &Item<'_>)| {
            let number = errors.within(key.get_ref(), |errors| f64::read(item, errors))?;
            Some((key.get_ref().to_string(), number))
        };
        table.iter().map(one).collect()
    }
    fn absent() -> Option<Self> {
        Some(Self::new())
    }
    fn show(&self, option: &str, line: usize, out: &mut Shown) {
        self.iter().for_each(|(name, number)| plainly(number, &under(option, name), line, out));
    }
}

/// Names and values that only a plugin understands; kept with their places until the plugin's schema is known.
impl Value for BTreeMap<String, (toml::Value, Span)> {
    const KIND: &'static str = "a table of the plugin's own settings";
    fn read(item: &Item<'_>, errors: &mut Errors<'_>) -> Option<Self> {
        let DeValue::Table(table) = item.get_ref() else {
            wrong(item, Self::KIND, errors);
            return None;
        };
        let mut flat = Self::new();
        flatten(table, "", &mut flat, errors);
        Some(flat)
    }
    fn absent() -> Option<Self> {
        Some(Self::new())
    }
    fn show(&self, option: &str, _: usize, out: &mut Shown) {
        self.iter().for_each(|(name, (value, place))| plainly(value, &under(option, name), place.line, out));
    }
}

fn flatten(
    table: &toml::de::DeTable<'_>,
    prefix: &str,
    flat: &mut BTreeMap<String, (toml::Value, Span)>,
    errors: &mut Errors<'_>,
) {
    for (key, item) in table.iter() {
        let name = under(prefix, key.get_ref());
        let value = match item.get_ref() {
            DeValue::Table(inner) => {
                flatten(inner, &name, flat, errors);
                continue;
            }
            DeValue::String(text) => toml::Value::String(text.to_string()),
            DeValue::Boolean(value) => toml::Value::Boolean(*value),
            other => match integer(other).and_then(|number| i64::try_from(number).ok()) {
                Some(number) => toml::Value::Integer(number),
                None => {
                    let kind = other.type_str();
                    errors.push_for(
                        name.clone(),
                        item.span(),
                        format!("a plugin's setting is text, a whole number or true/false, not {kind}"),
                    );
                    continue;
                }
            },
        };
        let place = Span::new(errors.place(key.span().start));
        flat.insert(name, (value, place));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_a_unit() {
        assert_eq!(duration("250us"), Some(Duration::from_micros(250)));
        assert_eq!(duration("250ms"), Some(Duration::from_millis(250)));
        assert_eq!(duration("7d"), Some(Duration::from_secs(604_800)));
        for bad in ["", "5", "s", "5 s", "1.5h", "99999999999999999999s", "-1s"] {
            assert_eq!(duration(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_secret_is_never_shown() {
        assert!(!format!("{:?}", Secret::literal("hunter2")).contains("hunter2"));
        assert_eq!(Secret::literal("hunter2").reveal(), Ok("hunter2".to_owned()));
        assert!(
            Secret::literal("env:MILLPOND_NO_SUCH_NAME")
                .reveal()
                .unwrap_err()
                .contains("MILLPOND_NO_SUCH_NAME")
        );
    }
}
