//! Values that a line is made of: registers of a recipe's job and session stage, and what the host itself knows.

use std::borrow::Cow;
use std::collections::BTreeMap;

/// One value for a hole of a template.
#[derive(Clone, Debug, PartialEq)]
pub enum Value<'a> {
    /// A register's bytes, in the byte order that the recipe says.
    Bytes(Cow<'a, [u8]>),
    /// A register that is a list (a merkle branch).
    List(Vec<Cow<'a, [u8]>>),
    /// Text of the host (a job's id on the wire, a message).
    Text(Cow<'a, str>),
    /// An unsigned number (a height, a size).
    Number(u64),
    /// A difficulty; whole ones are written without a fraction.
    Float(f64),
    /// A flag.
    Flag(bool),
}

impl<'a> Value<'a> {
    /// Bytes that are borrowed.
    #[must_use]
    pub fn bytes(bytes: &'a [u8]) -> Self {
        Self::Bytes(Cow::Borrowed(bytes))
    }

    /// Text that is borrowed.
    #[must_use]
    pub fn text(text: &'a str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }

    /// A list whose items are borrowed.
    pub fn list<T: AsRef<[u8]> + 'a>(items: impl IntoIterator<Item = &'a T>) -> Self {
        Self::List(items.into_iter().map(|item| Cow::Borrowed(item.as_ref())).collect())
    }

    fn borrowed(&self) -> Value<'_> {
        match self {
            Self::Bytes(bytes) => Value::bytes(bytes),
            Self::List(items) => Value::List(items.iter().map(|item| Cow::Borrowed(item.as_ref())).collect()),
            Self::Text(text) => Value::text(text),
            Self::Number(number) => Value::Number(*number),
            Self::Float(number) => Value::Float(*number),
            Self::Flag(flag) => Value::Flag(*flag),
        }
    }
}

/// Where the engine gets values from. Implemented by the server over a job, a session or both; called once per
/// hole of a line. A name that is not known answers `None`: then [`crate::Dialect::encode_job`] leaves the hole
/// for the session, and every other encoder reports [`crate::EncodeError::Missing`].
pub trait Values {
    /// The value of `name`, if it is known here.
    fn value(&self, name: &str) -> Option<Value<'_>>;
}

impl<T: Values + ?Sized> Values for &T {
    fn value(&self, name: &str) -> Option<Value<'_>> {
        (**self).value(name)
    }
}

/// No values.
impl Values for () {
    fn value(&self, _name: &str) -> Option<Value<'_>> {
        None
    }
}

/// Two sources: the first that knows a name answers.
#[derive(Clone, Copy, Debug)]
pub struct Layered<A, B>(pub A, pub B);

impl<A: Values, B: Values> Values for Layered<A, B> {
    fn value(&self, name: &str) -> Option<Value<'_>> {
        self.0.value(name).or_else(|| self.1.value(name))
    }
}

/// Values by name, owned.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ValueMap(BTreeMap<String, Value<'static>>);

impl ValueMap {
    /// An empty map.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets one value; for building a map in one expression.
    #[must_use]
    pub fn with(mut self, name: &str, value: Value<'static>) -> Self {
        self.set(name, value);
        self
    }

    /// Sets one value.
    pub fn set(&mut self, name: &str, value: Value<'static>) {
        self.0.insert(name.to_owned(), value);
    }
}

impl Values for ValueMap {
    fn value(&self, name: &str) -> Option<Value<'_>> {
        self.0.get(name).map(Value::borrowed)
    }
}
