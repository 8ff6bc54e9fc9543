//! Looking up settings by dotted key. The host has checked them against the plugin's own schema, so an error here
//! means that the schema allows what the code does not.

/// One value of a plugin's configuration section; implemented for the setting type of every contract.
pub trait Setting {
    /// The text, if it is one.
    fn text(&self) -> Option<&str>;
    /// The integer, if it is one.
    fn int(&self) -> Option<i64>;
    /// The flag, if it is one.
    fn flag(&self) -> Option<bool>;
}

macro_rules! setting {
    ($($ty:ty),*) => { $(
        impl Setting for $ty {
            fn text(&self) -> Option<&str> {
                if let Self::Text(text) = self { Some(text) } else { None }
            }
            fn int(&self) -> Option<i64> {
                if let Self::Int(int) = self { Some(*int) } else { None }
            }
            fn flag(&self) -> Option<bool> {
                if let Self::Flag(flag) = self { Some(*flag) } else { None }
            }
        }
    )* };
}
setting!(crate::chain::Setting, crate::payout::Setting, crate::vote::Setting);

/// Look-ups in a settings list. A table under `key` arrives as `key.name`.
pub trait Settings {
    /// The text under `key`.
    fn text(&self, key: &str) -> Option<&str>;
    /// The integer under `key`.
    fn int(&self, key: &str) -> Option<i64>;
    /// The flag under `key`; absent = false.
    fn flag(&self, key: &str) -> bool;
    /// The flag under `key`, `default` if absent.
    fn flag_or(&self, key: &str, default: bool) -> bool;
    /// The words of the text under `key`, which commas or blanks separate: what a list is in settings.
    fn words(&self, key: &str) -> Vec<String>;

    /// The text under `key`, or an error that names the key.
    fn need_text(&self, key: &str) -> Result<&str, String> {
        self.text(key).ok_or_else(|| format!("setting `{key}` is missing or not a text"))
    }

    /// The integer under `key` as an unsigned number, `default` if absent, an error if negative.
    fn uint_or(&self, key: &str, default: u64) -> Result<u64, String> {
        self.int(key).map_or(Ok(default), |value| {
            u64::try_from(value).map_err(|_| format!("setting `{key}` is {value}, it must not be negative"))
        })
    }
}

impl<V: Setting> Settings for [(String, V)] {
    fn text(&self, key: &str) -> Option<&str> {
        find(self, key).and_then(V::text)
    }
    fn int(&self, key: &str) -> Option<i64> {
        find(self, key).and_then(V::int)
    }
    fn flag(&self, key: &str) -> bool {
        self.flag_or(key, false)
    }
    fn flag_or(&self, key: &str, default: bool) -> bool {
        find(self, key).and_then(V::flag).unwrap_or(default)
    }
    fn words(&self, key: &str) -> Vec<String> {
        let text = Settings::text(self, key).unwrap_or_default();
        text.split([',', ' ']).filter(|word| !word.is_empty()).map(str::to_owned).collect()
    }
}

fn find<'a, V>(settings: &'a [(String, V)], key: &str) -> Option<&'a V> {
    settings.iter().find(|(name, _)| name == key).map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::Settings;
    use crate::payout::Setting;

    #[test]
    fn lists_are_words_and_wrong_types_are_absent() {
        let settings: Vec<(String, Setting)> = vec![
            ("list".into(), Setting::Text("a, b,c".into())),
            ("n".into(), Setting::Int(-1)),
            ("on".into(), Setting::Flag(true)),
        ];
        assert_eq!(settings.words("list"), ["a", "b", "c"]);
        assert_eq!((settings.int("n"), settings.int("list")), (Some(-1), None));
        assert!(settings.flag("on") && !settings.flag("off") && settings.flag_or("off", true));
        assert!(settings.uint_or("n", 3).unwrap_err().contains("`n`"));
        assert_eq!(settings.uint_or("absent", 3), Ok(3));
        assert!(settings.need_text("absent").unwrap_err().contains("`absent`"));
    }
}
