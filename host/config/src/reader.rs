//! Walks a parsed TOML document and collects every error on the way.

use crate::ConfigError;
use std::ops::Range;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A value with its place.
pub type Item<'a> = Spanned<DeValue<'a>>;

/// Collects errors; knows the text, to turn byte offsets into lines.
#[derive(Debug)]
pub struct Errors<'t> {
    text: &'t str,
    path: Vec<String>,
    found: Vec<ConfigError>,
}

impl<'t> Errors<'t> {
    pub fn new(text: &'t str) -> Self {
        Self { text, path: Vec::new(), found: Vec::new() }
    }

    /// Notes an error of the option at hand.
    pub fn push(&mut self, span: Range<usize>, message: impl Into<String>) {
        let option = self.path.join(".");
        self.push_for(option, span, message);
    }

    pub fn push_for(&mut self, option: String, span: Range<usize>, message: impl Into<String>) {
        let (line, column) = self.place(span.start);
        self.found.push(ConfigError { line, column, option, message: message.into() });
    }

    /// Line and column, from 1, of a byte offset.
    pub fn place(&self, offset: usize) -> (usize, usize) {
        let before = self.text.get(..offset).unwrap_or(self.text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
        (line, column)
    }

    pub fn within<R>(&mut self, name: &str, f: impl FnOnce(&mut Self) -> R) -> R {
        self.path.push(name.to_owned());
        let result = f(self);
        self.path.pop();
        result
    }

    pub fn finish(mut self) -> Vec<ConfigError> {
        self.found.sort_by_key(|error| (error.line, error.column));
        self.found
    }
}

/// What a value in the file can become.
pub trait Value: Sized {
    /// What to write, in an operator's words: "text", "a whole number", "true or false".
    const KIND: &'static str;
    /// For tables and lists of tables: the options inside.
    fn section() -> Option<SectionDoc> {
        None
    }
    /// Reads the value; on an error notes it and returns `None`.
    fn read(item: &Item<'_>, errors: &mut Errors<'_>) -> Option<Self>;
    /// The value of an option that is not in the file and has no default. `None`: it must be given.
    fn absent() -> Option<Self> {
        None
    }
    /// Writes the value under its dotted name, for comparison with another file. `line` is its section's.
    fn show(&self, option: &str, line: usize, out: &mut Shown);
}

/// Options by their dotted names, as a file or its defaults set them.
pub type Shown = std::collections::BTreeMap<String, ShownValue>;

/// A value as it is compared and shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShownValue {
    /// Compared; a secret's own text, which is never shown.
    pub compared: String,
    /// Whether `compared` may be shown.
    pub secret: bool,
    /// The line of the option's section.
    pub line: usize,
}

impl ShownValue {
    pub fn plain(text: String, line: usize) -> Self {
        Self { compared: text, secret: false, line }
    }
}

/// A table of options.
pub trait Section: Sized {
    /// The options, in the order of the example file.
    fn doc() -> SectionDoc;
    /// Reads the table; notes unknown keys, wrong kinds and missing options.
    fn read_table(table: &DeTable<'_>, span: Range<usize>, errors: &mut Errors<'_>) -> Option<Self>;
    /// Writes every option under its dotted name; `path` is the section's own, empty for the file.
    fn show_table(&self, path: &str, out: &mut Shown);
}

/// A section for help and the example file.
#[derive(Clone, Debug)]
pub struct SectionDoc {
    pub about: &'static [&'static str],
    pub options: Vec<OptionDoc>,
    /// Written `[[name]]`, may stand several times.
    pub list: bool,
}

/// One option for help and the example file.
#[derive(Clone, Debug)]
pub struct OptionDoc {
    pub name: &'static str,
    pub help: &'static [&'static str],
    pub kind: &'static str,
    /// TOML text, `None` when there is no default.
    pub default: Option<&'static str>,
    /// TOML text to show in the example.
    pub example: Option<&'static str>,
    pub section: Option<SectionDoc>,
}

/// Reads one option of a table.
pub fn take<T: Value>(
    table: &DeTable<'_>,
    span: &Range<usize>,
    name: &str,
    default: Option<&str>,
    errors: &mut Errors<'_>,
) -> Option<T> {
    errors.within(name, |errors| {
        if let Some(item) = table.iter().find(|(key, _)| key.get_ref() == name).map(|(_, item)| item) {
            return T::read(item, errors);
        }
        match default {
            Some(text) => read_default(text, errors),
            None => T::absent().or_else(|| {
                errors.push(span.start..span.start, format!("is missing: give {}", T::KIND));
                None
            }),
        }
    })
}

fn read_default<T: Value>(text: &str, errors: &mut Errors<'_>) -> Option<T> {
    let document = format!("v = {text}");
    let table = DeTable::parse(&document).ok()?;
    let item = table.get_ref().iter().next().map(|(_, item)| item)?;
    T::read(item, errors)
}

/// Notes every key that is no option of this table, with the nearest name that is one.
pub fn refuse_unknown(table: &DeTable<'_>, known: &[&str], errors: &mut Errors<'_>) {
    for (key, _) in table.iter() {
        let name: &str = key.get_ref();
        if known.contains(&name) {
            continue;
        }
        let nearest = known.iter().map(|known| (distance(name, known), *known)).min();
        let hint = match nearest {
            Some((distance, known)) if distance <= 2 + name.len() / 4 => format!("did you mean `{known}`?"),
            _ => format!("known here: {}", known.join(", ")),
        };
        errors.within(name, |errors| errors.push(key.span(), format!("is no option; {hint}")));
    }
}

/// Levenshtein distance, for hints only; long names are cut.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().take(64).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().take(64).enumerate() {
        let mut next = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let replace = row.get(j).copied().unwrap_or(0) + usize::from(x != *y);
            let delete = row.get(j + 1).copied().unwrap_or(0) + 1;
            let insert = next.get(j).copied().unwrap_or(0) + 1;
            next.push(replace.min(delete).min(insert));
        }
        row = next;
    }
    row.last().copied().unwrap_or(0)
}

/// Declares a section once: the struct, its parser, its help and its part of the example.
macro_rules! section {
    (
        $(#[doc = $about:literal])*
        $name:ident {
            $( $(#[doc = $help:literal])* $field:ident : $type:ty $(= $default:literal)? $(, eg $example:literal)? ; )*
        }
    ) => {
        $(#[doc = $about])*
        #[derive(Clone, Debug)]
        pub struct $name {
            $( $(#[doc = $help])* pub $field: $type, )*
            /// Where the section stands in the file.
            pub span: $crate::values::Span,
        }

        impl $crate::reader::Section for $name {
            fn doc() -> $crate::reader::SectionDoc {
                $crate::reader::SectionDoc {
                    about: &[$($about),*],
                    list: false,
                    options: vec![$(
                        $crate::reader::OptionDoc {
                            name: stringify!($field),
                            help: &[$($help),*],
                            kind: <$type as $crate::reader::Value>::KIND,
                            default: section!(@maybe $($default)?),
                            example: section!(@maybe $($example)?),
                            section: <$type as $crate::reader::Value>::section(),
                        }
                    ),*],
                }
            }

            fn read_table(
                table: &toml::de::DeTable<'_>,
                span: std::ops::Range<usize>,
                errors: &mut $crate::reader::Errors<'_>,
            ) -> Option<Self> {
                $crate::reader::refuse_unknown(table, &[$(stringify!($field)),*], errors);
                let place = $crate::values::Span::new(errors.place(span.start));
                $( let $field = $crate::reader::take::<$type>(
                    table, &span, stringify!($field), section!(@maybe $($default)?), errors); )*
                Some(Self { $($field: $field?,)* span: place })
            }

            fn show_table(&self, path: &str, out: &mut $crate::reader::Shown) {
                $(
                    let option = $crate::reader::under(path, stringify!($field));
                    $crate::reader::Value::show(&self.$field, &option, self.span.line, out);
                )*
            }
        }

        impl $crate::reader::Value for $name {
            const KIND: &'static str = "a table";
            fn section() -> Option<$crate::reader::SectionDoc> {
                Some(<Self as $crate::reader::Section>::doc())
            }
            fn read(item: &$crate::reader::Item<'_>, errors: &mut $crate::reader::Errors<'_>) -> Option<Self> {
                match item.get_ref() {
                    toml::de::DeValue::Table(table) => {
                        <Self as $crate::reader::Section>::read_table(table, item.span(), errors)
                    }
                    other => {
                        errors.push(item.span(), format!("has to be a table, not {}", other.type_str()));
                        None
                    }
                }
            }
            fn show(&self, option: &str, _: usize, out: &mut $crate::reader::Shown) {
                <Self as $crate::reader::Section>::show_table(self, option, out);
            }
        }
    };
    (@maybe) => { None };
    (@maybe $text:literal) => { Some($text) };
}
pub(crate) use section;

/// A name inside a section.
pub fn under(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

/// Sections in the order of the file: `[[name]]` for each, or one as `[name]`; may be absent.
#[derive(Clone, Debug)]
pub struct OneOrMore<T>(pub Vec<T>);

impl<T> std::ops::Deref for OneOrMore<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<'a, T> IntoIterator for &'a OneOrMore<T> {
    type Item = &'a T;
    type IntoIter = std::slice::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

impl<T: Section> Value for OneOrMore<T> {
    const KIND: &'static str = "a table, or a list of tables";
    fn section() -> Option<SectionDoc> {
        Vec::<T>::section()
    }
    fn read(item: &Item<'_>, errors: &mut Errors<'_>) -> Option<Self> {
        match item.get_ref() {
            DeValue::Table(table) => T::read_table(table, item.span(), errors).map(|one| Self(vec![one])),
            _ => Vec::read(item, errors).map(Self),
        }
    }
    fn absent() -> Option<Self> {
        Some(Self(Vec::new()))
    }
    fn show(&self, option: &str, line: usize, out: &mut Shown) {
        match self.0.as_slice() {
            // Written either way it is the same section.
            [one] => one.show_table(option, out),
            _ => self.0.show(option, line, out),
        }
    }
}

/// A list of tables, `[[name]]`; may be absent.
impl<T: Section> Value for Vec<T> {
    const KIND: &'static str = "a list of tables";
    fn section() -> Option<SectionDoc> {
        Some(SectionDoc { list: true, ..T::doc() })
    }
    fn read(item: &Item<'_>, errors: &mut Errors<'_>) -> Option<Self> {
        let DeValue::Array(items) = item.get_ref() else {
            errors.push(item.span(), "has to be written with double brackets, as it may stand several times");
            return None;
        };
        let mut all = Some(Vec::new());
        for (index, item) in items.iter().enumerate() {
            let one = errors.within(&index.to_string(), |errors| match item.get_ref() {
                DeValue::Table(table) => T::read_table(table, item.span(), errors),
                other => {
                    errors.push(item.span(), format!("has to be a table, not {}", other.type_str()));
                    None
                }
            });
            all = all.zip(one).map(|(mut all, one)| {
                all.push(one);
                all
            });
        }
        all
    }
    fn absent() -> Option<Self> {
        Some(Self::new())
    }
    fn show(&self, option: &str, _: usize, out: &mut Shown) {
        for (index, section) in self.iter().enumerate() {
            section.show_table(&under(option, &index.to_string()), out);
        }
    }
}
