//! A bounded reader of JSON text that borrows from its line and keeps ids verbatim.
//!
//! Our own, since ids have to be echoed as they were written (`1e2`, `18446744073709551616`), and depth and size
//! have to be bounded before anything is built.

use crate::fields::Found;
use std::borrow::Cow;

/// The longest line that is read at all, in bytes. Servers set their own, lower limit.
pub const MAX_LINE_BYTES: usize = 64 * 1024;
/// No dialect nests deeper than 5; what does is an attack or another protocol.
const MAX_DEPTH: usize = 16;
/// Values in one message.
const MAX_VALUES: usize = 2048;

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Json<'a> {
    Null,
    Bool(bool),
    /// As written.
    Number(&'a str),
    /// Unescaped, and as written with its quotes.
    String(Cow<'a, str>, &'a str),
    Array(Vec<Json<'a>>),
    Object(Vec<(Cow<'a, str>, Json<'a>)>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct JsonError {
    /// Byte offset in the text.
    pub at: usize,
    pub why: &'static str,
}

impl<'a> Json<'a> {
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a flag",
            Self::Number(_) => "a number",
            Self::String(..) => "a string",
            Self::Array(_) => "an array",
            Self::Object(_) => "an object",
        }
    }

    /// The value as the rule of a field reads it.
    pub(crate) fn found(&self) -> Found<'_> {
        match self {
            Self::String(text, _) => Found::Text(text),
            Self::Number(number) => Found::Number(number),
            other => Found::Other(other.kind()),
        }
    }

    /// A member of an object (the last one of that name, as other readers have it) or an item of an array.
    pub(crate) fn child(&self, step: &str) -> Option<&Json<'a>> {
        match self {
            Self::Object(members) => {
                members.iter().rev().find(|(name, _)| name == step).map(|(_, value)| value)
            }
            Self::Array(items) => items.get(step.parse::<usize>().ok()?),
            _ => None,
        }
    }
}

/// Reads one JSON text; nothing but white space may follow it.
pub(crate) fn parse(text: &str) -> Result<Json<'_>, JsonError> {
    let mut reader = Reader { text, bytes: text.as_bytes(), at: 0, values: 0 };
    reader.space();
    let value = reader.value(0)?;
    reader.space();
    if reader.at < reader.bytes.len() {
        return Err(reader.error("text after the message"));
    }
    Ok(value)
}

struct Reader<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    values: usize,
}

impl<'a> Reader<'a> {
    fn error(&self, why: &'static str) -> JsonError {
        JsonError { at: self.at, why }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
    }

    fn since(&self, start: usize) -> &'a str {
        self.text.get(start..self.at).unwrap_or("")
    }

    fn value(&mut self, depth: usize) -> Result<Json<'a>, JsonError> {
        if depth >= MAX_DEPTH {
            return Err(self.error("nested deeper than 16 levels"));
        }
        self.values += 1;
        if self.values > MAX_VALUES {
            return Err(self.error("more than 2048 values"));
        }
        match self.peek() {
            None => Err(self.error("the text ends where a value should stand")),
            Some(b'{') => self.object(depth),
            Some(b'[') => self.array(depth),
            Some(b'"') => {
                let start = self.at;
                let text = self.string()?;
                Ok(Json::String(text, self.since(start)))
            }
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(_) => self.word(),
        }
    }

    fn word(&mut self) -> Result<Json<'a>, JsonError> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        for (word, value) in [("null", Json::Null), ("true", Json::Bool(true)), ("false", Json::Bool(false))]
        {
            if rest.starts_with(word.as_bytes()) {
                self.at += word.len();
                return Ok(value);
            }
        }
        Err(self.error("not a JSON value"))
    }

    fn digits(&mut self) -> Result<(), JsonError> {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
        if self.at == start { Err(self.error("a digit is missing in a number")) } else { Ok(()) }
    }

    fn number(&mut self) -> Result<Json<'a>, JsonError> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        if self.peek() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(Json::Number(self.since(start)))
    }

    fn string(&mut self) -> Result<Cow<'a, str>, JsonError> {
        self.at += 1;
        let start = self.at;
        loop {
            match self.peek() {
                None => return Err(self.error("a string without its closing quote")),
                Some(b'"') => {
                    let text = self.since(start);
                    self.at += 1;
                    return Ok(Cow::Borrowed(text));
                }
                Some(b'\\') => break,
                Some(0..0x20) => return Err(self.error("a control character in a string")),
                Some(_) => self.at += 1,
            }
        }
        let mut text = self.since(start).to_owned();
        let mut plain = self.at;
        loop {
            match self.peek() {
                None => return Err(self.error("a string without its closing quote")),
                Some(b'"') => {
                    text.push_str(self.since(plain));
                    self.at += 1;
                    return Ok(Cow::Owned(text));
                }
                Some(b'\\') => {
                    text.push_str(self.since(plain));
                    self.at += 1;
                    text.push(self.escape()?);
                    plain = self.at;
                }
                Some(0..0x20) => return Err(self.error("a control character in a string")),
                Some(_) => self.at += 1,
            }
        }
    }

    fn escape(&mut self) -> Result<char, JsonError> {
        let Some(byte) = self.peek() else { return Err(self.error("an unfinished escape")) };
        self.at += 1;
        Ok(match byte {
            b'"' | b'\\' | b'/' => char::from(byte),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let high = self.code_unit()?;
                let code = match high {
                    0xd800..0xdc00 => {
                        if self.bytes.get(self.at..self.at + 2) != Some(b"\\u") {
                            return Err(self.error("half of a surrogate pair"));
                        }
                        self.at += 2;
                        let low = self.code_unit()?;
                        if !(0xdc00..0xe000).contains(&low) {
                            return Err(self.error("half of a surrogate pair"));
                        }
                        0x1_0000 + ((high - 0xd800) << 10) + (low - 0xdc00)
                    }
                    code => code,
                };
                char::from_u32(code).ok_or_else(|| self.error("half of a surrogate pair"))?
            }
            _ => return Err(self.error("an unknown escape")),
        })
    }

    fn code_unit(&mut self) -> Result<u32, JsonError> {
        let mut code = 0;
        for _ in 0..4 {
            let digit = self.peek().and_then(|byte| char::from(byte).to_digit(16));
            code = code * 16 + digit.ok_or_else(|| self.error("\\u needs four hex digits"))?;
            self.at += 1;
        }
        Ok(code)
    }

    fn array(&mut self, depth: usize) -> Result<Json<'a>, JsonError> {
        self.at += 1;
        let mut items = Vec::new();
        self.space();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(Json::Array(items));
        }
        loop {
            self.space();
            items.push(self.value(depth + 1)?);
            self.space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => {
                    self.at += 1;
                    return Ok(Json::Array(items));
                }
                _ => return Err(self.error("an array needs `,` or `]` here")),
            }
        }
    }

    fn object(&mut self, depth: usize) -> Result<Json<'a>, JsonError> {
        self.at += 1;
        let mut members = Vec::new();
        self.space();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(Json::Object(members));
        }
        loop {
            self.space();
            if self.peek() != Some(b'"') {
                return Err(self.error("an object needs a name in quotes here"));
            }
            let name = self.string()?;
            self.space();
            if self.peek() != Some(b':') {
                return Err(self.error("an object needs `:` here"));
            }
            self.at += 1;
            self.space();
            members.push((name, self.value(depth + 1)?));
            self.space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => {
                    self.at += 1;
                    return Ok(Json::Object(members));
                }
                _ => return Err(self.error("an object needs `,` or `}` here")),
            }
        }
    }
}

/// Appends text as the inside of a JSON string.
pub(crate) fn escape_into(text: &str, out: &mut Vec<u8>) {
    for c in text.chars() {
        match c {
            '"' => out.extend_from_slice(b"\\\""),
            '\\' => out.extend_from_slice(b"\\\\"),
            '\n' => out.extend_from_slice(b"\\n"),
            '\r' => out.extend_from_slice(b"\\r"),
            '\t' => out.extend_from_slice(b"\\t"),
            c if (c as u32) < 0x20 || c == '\u{7f}' => {
                out.extend_from_slice(format!("\\u{:04x}", c as u32).as_bytes());
            }
            c => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn same(ours: &Json<'_>, theirs: &serde_json::Value) -> bool {
        match (ours, theirs) {
            (Json::Null, serde_json::Value::Null) => true,
            (Json::Bool(a), serde_json::Value::Bool(b)) => a == b,
            (Json::Number(a), serde_json::Value::Number(b)) => {
                a.parse::<f64>().ok() == b.as_f64() || *a == b.to_string()
            }
            (Json::String(a, _), serde_json::Value::String(b)) => a == b,
            (Json::Array(a), serde_json::Value::Array(b)) => {
                a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
            }
            (Json::Object(_), serde_json::Value::Object(b)) => {
                b.iter().all(|(name, b)| ours.child(name).is_some_and(|a| same(a, b)))
            }
            _ => false,
        }
    }

    #[test]
    fn depth_and_count_are_bounded() {
        assert_eq!(parse(&"[".repeat(60_000)).unwrap_err().why, "nested deeper than 16 levels");
        let wide = format!("[{}0]", "0,".repeat(5000));
        assert_eq!(parse(&wide).unwrap_err().why, "more than 2048 values");
    }

    #[test]
    fn strings_keep_their_raw_form_beside_the_text() {
        let parsed = parse(r#" "a\u00e9\ud83d\ude00\n" "#).unwrap();
        assert_eq!(parsed, Json::String("aé😀\n".into(), r#""a\u00e9\ud83d\ude00\n""#));
        for bad in [r#""\ud800x""#, r#""\udc00""#, r#""\u12"#, "\"\u{1}\"", r#""\x""#] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        /// The reader agrees with serde_json on what is JSON, and on its value.
        #[test]
        fn agrees_with_another_reader(text in r#"[\[\]{}:,"a1 \\u0.eE+-]{0,24}|[\[{]("a":|1|,|\]|\}|true|null|-0|1e5|"\\u00e9"){0,8}"#) {
            let (ours, theirs) = (parse(&text), serde_json::from_str::<serde_json::Value>(&text));
            match (&ours, &theirs) {
                (Ok(a), Ok(b)) => prop_assert!(same(a, b), "{:?} {:?}", a, b),
                // serde_json refuses numbers that leave f64; ours keeps them as text.
                (Ok(_), Err(e)) => prop_assert!(e.to_string().contains("out of range"), "{}", e),
                (Err(e), Ok(_)) => prop_assert!(false, "{:?}", e),
                (Err(_), Err(_)) => {}
            }
        }

        #[test]
        fn escaped_text_reads_back(text in ".{0,40}") {
            let mut out = vec![b'"'];
            escape_into(&text, &mut out);
            out.push(b'"');
            let line = String::from_utf8(out).unwrap();
            prop_assert_eq!(parse(&line).unwrap(), Json::String(text.into(), &line));
        }
    }
}
