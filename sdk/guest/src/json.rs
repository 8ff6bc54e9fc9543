//! Reading a node's JSON in one pass and without copies: an 8 MB template is walked once, its transactions stay where
//! they are and are known by their offsets. No floating point: a number that is no integer can only be skipped.

/// A place in a JSON text. Every method reads one value and moves behind it; an `Err` says what was expected at which
/// byte. Nothing recurses, so nesting cannot exhaust the stack.
#[derive(Debug, Clone)]
pub struct Cursor<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    /// At the start of a text.
    pub fn new(text: &'a [u8]) -> Self {
        Self { text, at: 0 }
    }

    /// Reads an object: `member` gets each key and must read (or [`Cursor::skip`]) its value. Keys are as they stand
    /// in the text, escapes included.
    pub fn object(
        &mut self,
        mut member: impl FnMut(&'a str, &mut Self) -> Result<(), String>,
    ) -> Result<(), String> {
        self.expect(b'{')?;
        if self.take(b'}') {
            return Ok(());
        }
        loop {
            let (start, length) = self.span()?;
            let key = self.slice(start, length)?;
            self.expect(b':')?;
            member(key, self)?;
            if !self.take(b',') {
                return self.expect(b'}');
            }
        }
    }

    /// Reads an array: `item` must read (or [`Cursor::skip`]) one value each time it is called.
    pub fn array(&mut self, mut item: impl FnMut(&mut Self) -> Result<(), String>) -> Result<(), String> {
        self.expect(b'[')?;
        if self.take(b']') {
            return Ok(());
        }
        loop {
            item(self)?;
            if !self.take(b',') {
                return self.expect(b']');
            }
        }
    }

    /// Reads a string without escapes (hex, addresses, names of rules).
    pub fn text(&mut self) -> Result<&'a str, String> {
        let (start, length) = self.span()?;
        let text = self.slice(start, length)?;
        if text.contains('\\') {
            return Err(format!("a string without escapes was expected at byte {start}"));
        }
        Ok(text)
    }

    /// Reads a string and gives (offset, length) of what is between its quotes, escapes not resolved.
    pub fn span(&mut self) -> Result<(usize, usize), String> {
        self.expect(b'"')?;
        let start = self.at;
        loop {
            let rest = self.text.get(self.at..).unwrap_or_default();
            let Some(step) = rest.iter().position(|byte| matches!(byte, b'"' | b'\\')) else {
                return Err(format!("the string at byte {start} does not end"));
            };
            self.at += step + 1;
            if rest.get(step) == Some(&b'"') {
                return Ok((start, self.at - 1 - start));
            }
            self.at += 1; // the escaped character
        }
    }

    /// Reads a string as [`Cursor::span`] does, in the form of a [`Chunk::Body`](crate::chain::Chunk).
    pub fn place(&mut self) -> Result<(u32, u32), String> {
        let (start, length) = self.span()?;
        let narrow = |number| u32::try_from(number).map_err(|_| format!("byte {start} is too far"));
        Ok((narrow(start)?, narrow(length)?))
    }

    /// Reads a string of hex.
    pub fn hex(&mut self) -> Result<Vec<u8>, String> {
        let text = self.text()?;
        crate::hex::decode(text).ok_or_else(|| format!("{text:?} is not hex"))
    }

    /// Reads a string of 32 bytes in hex.
    pub fn hash(&mut self) -> Result<[u8; 32], String> {
        let text = self.text()?;
        crate::hex::decode32(text).ok_or_else(|| format!("{text:?} is not a hash"))
    }

    /// Reads an integer.
    pub fn int(&mut self) -> Result<i64, String> {
        self.blank();
        let start = self.at;
        self.skip()?;
        let text = self.slice(start, self.at - start)?.trim_end();
        text.parse().map_err(|_| format!("an integer was expected at byte {start}"))
    }

    /// Reads an integer that is not negative.
    pub fn uint(&mut self) -> Result<u64, String> {
        let start = self.at;
        u64::try_from(self.int()?)
            .map_err(|_| format!("a number that is not negative was expected at byte {start}"))
    }

    /// Reads `true` or `false`.
    pub fn flag(&mut self) -> Result<bool, String> {
        self.blank();
        for (word, value) in [("true", true), ("false", false)] {
            if self.text.get(self.at..).is_some_and(|rest| rest.starts_with(word.as_bytes())) {
                self.at += word.len();
                return Ok(value);
            }
        }
        Err(format!("true or false was expected at byte {}", self.at))
    }

    /// Reads `null` if it is next, and says whether it was.
    pub fn null(&mut self) -> bool {
        self.blank();
        let is = self.text.get(self.at..).is_some_and(|rest| rest.starts_with(b"null"));
        if is {
            self.at += 4;
        }
        is
    }

    /// Whether a string is next.
    pub fn is_text(&mut self) -> bool {
        self.blank();
        self.text.get(self.at) == Some(&b'"')
    }

    /// Passes over one value of any kind.
    pub fn skip(&mut self) -> Result<(), String> {
        self.blank();
        let (start, mut depth) = (self.at, 0usize);
        loop {
            match self.text.get(self.at) {
                Some(b'"') => drop(self.span()?),
                Some(b'{' | b'[') => (depth, self.at) = (depth + 1, self.at + 1),
                Some(b'}' | b']') if depth > 0 => (depth, self.at) = (depth - 1, self.at + 1),
                Some(b',' | b':') if depth > 0 => self.at += 1,
                Some(byte) if depth > 0 && byte.is_ascii_whitespace() => self.at += 1,
                Some(byte) if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'+' | b'.') => {
                    let rest = self.text.get(self.at..).unwrap_or_default();
                    let word = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'+' | b'.');
                    self.at += rest.iter().position(|byte| !word(byte)).unwrap_or(rest.len());
                }
                _ => return Err(format!("the value at byte {start} does not end properly")),
            }
            if depth == 0 {
                return Ok(());
            }
        }
    }

    /// Checks that nothing follows.
    pub fn end(&mut self) -> Result<(), String> {
        self.blank();
        if self.at < self.text.len() {
            Err(format!("something follows the value at byte {}", self.at))
        } else {
            Ok(())
        }
    }

    fn slice(&self, start: usize, length: usize) -> Result<&'a str, String> {
        let bytes = self.text.get(start..start + length).unwrap_or_default();
        std::str::from_utf8(bytes).map_err(|_| format!("the string at byte {start} is not UTF-8"))
    }

    fn blank(&mut self) {
        while self.text.get(self.at).is_some_and(u8::is_ascii_whitespace) {
            self.at += 1;
        }
    }

    fn take(&mut self, byte: u8) -> bool {
        self.blank();
        let is = self.text.get(self.at) == Some(&byte);
        self.at += usize::from(is);
        is
    }

    fn expect(&mut self, byte: u8) -> Result<(), String> {
        if self.take(byte) {
            return Ok(());
        }
        Err(format!("{:?} was expected at byte {}", char::from(byte), self.at))
    }
}

#[cfg(test)]
mod tests {
    use super::Cursor;
    use proptest::prelude::*;

    #[test]
    fn a_template_is_read_in_one_pass_and_strings_are_known_by_their_place() {
        let text = br#" {"height": 7 , "skipped": {"a": [1.5e-9, "]}\"", null]}, "txs": [{"data":"00ff"},{"data":""}], "ok":true} "#;
        let (mut height, mut spans, mut ok) = (0, Vec::new(), false);
        let mut cursor = Cursor::new(text);
        cursor
            .object(|key, value| {
                match key {
                    "height" => height = value.uint()?,
                    "txs" => {
                        value.array(|item| item.object(|_, data| data.span().map(|at| spans.push(at))))?
                    }
                    "ok" => ok = value.flag()?,
                    _ => value.skip()?,
                }
                Ok(())
            })
            .unwrap();
        cursor.end().unwrap();
        assert_eq!((height, ok), (7, true));
        assert_eq!(&text[spans[0].0..spans[0].0 + spans[0].1], b"00ff");
        assert_eq!(spans[1].1, 0);
    }

    #[test]
    fn errors_name_the_byte() {
        assert!(Cursor::new(b"\"0g\"").hex().unwrap_err().contains("not hex"));
        assert!(Cursor::new(b"\"00\"").hash().unwrap_err().contains("not a hash"));
        assert!(Cursor::new(b"[1,").array(Cursor::skip).unwrap_err().contains("byte 3"));
        assert!(Cursor::new(b"\"abc").text().unwrap_err().contains("does not end"));
        assert!(Cursor::new(b"1.5").int().unwrap_err().contains("integer"));
        assert!(Cursor::new(b"-1").uint().unwrap_err().contains("not negative"));
        assert!(Cursor::new(b"\"a\\n\"").text().is_err());
        assert!(Cursor::new(b"{} x").end().is_err());
        assert!(Cursor::new(b"null").null() && !Cursor::new(b"nul").null());
    }

    #[test]
    fn deep_nesting_does_not_exhaust_the_stack() {
        let deep = [vec![b'['; 1 << 20], vec![b']'; 1 << 20]].concat();
        Cursor::new(&deep).skip().unwrap();
        assert!(Cursor::new(&deep[..1 << 20]).skip().is_err());
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text: Vec<u8>) {
            let mut cursor = Cursor::new(&text);
            let _ = cursor.clone().skip();
            let _ = cursor.clone().int();
            let _ = cursor.clone().text();
            let _ = cursor.object(|_, value| value.skip());
        }
    }
}
