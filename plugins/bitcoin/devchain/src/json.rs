//! JSON as Bitcoin Core writes it: members in order, amounts with eight digits behind the point.

use serde::de::{Deserialize, Deserializer, Error as _};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::value::{RawValue, to_raw_value};

/// An amount in satoshi, written and read in coins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Coins(pub(crate) i64);

impl Coins {
    pub(crate) fn of(satoshi: u64) -> Self {
        Self(i64::try_from(satoshi).unwrap_or(i64::MAX))
    }
}

impl Serialize for Coins {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let sign = if self.0 < 0 { "-" } else { "" };
        let satoshi = self.0.unsigned_abs();
        let text = format!("{sign}{}.{:08}", satoshi / 100_000_000, satoshi % 100_000_000);
        RawValue::from_string(text).map_err(serde::ser::Error::custom)?.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Coins {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        parse(raw.get().trim_matches('"')).map(Self).ok_or_else(|| D::Error::custom("Invalid amount"))
    }
}

/// A decimal number of coins in satoshi; none when it is not a multiple of one. An exponent is allowed, since some
/// JSON writers use one for small numbers.
fn parse(text: &str) -> Option<i64> {
    let (number, exponent) = match text.split_once(['e', 'E']) {
        Some((number, exponent)) => (number, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (sign, number) = match number.strip_prefix('-') {
        Some(number) => (-1, number),
        None => (1, number),
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = format!("{whole}{fraction}");
    if digits.is_empty() || digits.len() > 40 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let places = 8_i32.checked_add(exponent)?.checked_sub(i32::try_from(fraction.len()).ok()?)?;
    let mut value: i128 = digits.parse().ok()?;
    if value == 0 {
        return Some(0);
    }
    for _ in 0..places.clamp(0, 40) {
        value = value.checked_mul(10)?;
    }
    for _ in places.clamp(-60, 0)..0 {
        if value % 10 != 0 {
            return None;
        }
        value /= 10;
    }
    i64::try_from(value).ok().map(|value| value * sign)
}

/// An object whose members keep their order.
#[derive(Debug, Default)]
pub(crate) struct Object(Vec<(String, Box<RawValue>)>);

impl Object {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn with(mut self, name: impl Into<String>, value: impl Serialize) -> Self {
        if let Ok(value) = to_raw_value(&value) {
            self.0.push((name.into(), value));
        }
        self
    }

    /// A member that is written as the text that the value shows: hashes.
    pub(crate) fn shown(self, name: impl Into<String>, value: impl std::fmt::Display) -> Self {
        self.with(name, value.to_string())
    }

    pub(crate) fn with_some(self, name: &str, value: Option<impl Serialize>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }
}

impl Serialize for Object {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_written_with_eight_digits_and_read_back_exactly() {
        for (satoshi, text) in [(5_000_000_000, "50.00000000"), (1, "0.00000001"), (-141, "-0.00000141")] {
            assert_eq!(serde_json::to_string(&Coins(satoshi)).unwrap(), text);
            assert_eq!(serde_json::from_str::<Coins>(text).unwrap(), Coins(satoshi));
        }
        for (text, satoshi) in
            [("1e-8", 1), ("\"0.1\"", 10_000_000), ("21000000", 2_100_000_000_000_000), ("0", 0)]
        {
            assert_eq!(serde_json::from_str::<Coins>(text).unwrap(), Coins(satoshi), "{text}");
        }
        for bad in ["0.000000001", "1e400000000", "\"x\"", "null", "\"\"", "1e30"] {
            assert!(serde_json::from_str::<Coins>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn members_keep_their_order() {
        let object = Object::new().with("z", 1).with("a", Coins(3)).with_some("n", None::<u8>);
        assert_eq!(serde_json::to_string(&object).unwrap(), r#"{"z":1,"a":0.00000003}"#);
    }
}
