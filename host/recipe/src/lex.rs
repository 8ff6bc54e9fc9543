//! A document's text as tokens with places. Nothing here knows the language's words.

/// A place in the text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) line: u32,
    pub(crate) col: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A word: a letter or `_`, then letters, digits, `_` and `-`.
    Word(Box<str>),
    /// A decimal number.
    Int(u64),
    /// `0x` and pairs of hex digits, or text in double quotes.
    Bytes(Box<[u8]>),
    /// Text in double quotes keeps its text beside its bytes.
    Text(Box<str>),
    Open,
    Close,
    Bar,
    Equals,
    Colon,
    Star,
    Plus,
    Minus,
    DotDot,
    End,
}

impl Kind {
    /// The token as an error message shows it.
    pub(crate) fn shown(&self) -> String {
        match self {
            Self::Word(word) => format!("`{word}`"),
            Self::Int(number) => format!("`{number}`"),
            Self::Bytes(bytes) => format!("`0x{}`", hex::encode(bytes)),
            Self::Text(text) => format!("{text:?}"),
            Self::Open => "`(`".into(),
            Self::Close => "`)`".into(),
            Self::Bar => "`|`".into(),
            Self::Equals => "`=`".into(),
            Self::Colon => "`:`".into(),
            Self::Star => "`*`".into(),
            Self::Plus => "`+`".into(),
            Self::Minus => "`-`".into(),
            Self::DotDot => "`..`".into(),
            Self::End => "the end of the line".into(),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) kind: Kind,
    pub(crate) at: Place,
}

/// Cuts a text into tokens. A line's end is a token; the text ends with one. What cannot be read becomes an error and
/// is skipped.
pub(crate) fn tokens(text: &str, errors: &mut Vec<(Place, String)>) -> Vec<Token> {
    let mut out = Vec::new();
    let mut line_number = 0_u32;
    for line in text.lines() {
        line_number = line_number.saturating_add(1);
        let mut reader = Reader { rest: line.char_indices().peekable(), line, number: line_number, col: 1 };
        reader.run(&mut out, errors);
        out.push(Token { kind: Kind::End, at: Place { line: line_number, col: reader.col } });
    }
    out.push(Token { kind: Kind::End, at: Place { line: line_number.saturating_add(1), col: 1 } });
    out
}

struct Reader<'t> {
    rest: std::iter::Peekable<std::str::CharIndices<'t>>,
    line: &'t str,
    number: u32,
    col: u32,
}

impl Reader<'_> {
    fn take(&mut self) -> Option<(usize, char)> {
        let next = self.rest.next()?;
        self.col = self.col.saturating_add(1);
        Some(next)
    }

    fn take_while(&mut self, start: usize, fits: impl Fn(char) -> bool) -> &str {
        let mut end = start;
        while let Some((i, c)) = self.rest.peek().copied() {
            if !fits(c) {
                break;
            }
            end = i + c.len_utf8();
            self.take();
        }
        self.line.get(start..end.max(start)).unwrap_or_default()
    }

    fn run(&mut self, out: &mut Vec<Token>, errors: &mut Vec<(Place, String)>) {
        loop {
            let at = Place { line: self.number, col: self.col };
            let Some((i, c)) = self.rest.peek().copied() else { return };
            let kind = match c {
                ' ' | '\t' | '\r' => {
                    self.take();
                    continue;
                }
                '#' => return,
                'a'..='z' | 'A'..='Z' | '_' => {
                    let word = self.take_while(i, |c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
                    Ok(Kind::Word(word.into()))
                }
                '0'..='9' => number(self.take_while(i, |c| c.is_ascii_alphanumeric())),
                '"' => {
                    self.take();
                    self.text()
                }
                _ => {
                    self.take();
                    match c {
                        '(' => Ok(Kind::Open),
                        ')' => Ok(Kind::Close),
                        '|' => Ok(Kind::Bar),
                        '=' => Ok(Kind::Equals),
                        ':' => Ok(Kind::Colon),
                        '*' => Ok(Kind::Star),
                        '+' => Ok(Kind::Plus),
                        '-' => Ok(Kind::Minus),
                        '.' if self.rest.peek().is_some_and(|(_, next)| *next == '.') => {
                            self.take();
                            Ok(Kind::DotDot)
                        }
                        _ => Err(format!("{c:?} has no meaning in a recipe")),
                    }
                }
            };
            match kind {
                Ok(kind) => out.push(Token { kind, at }),
                Err(message) => errors.push((at, message)),
            }
        }
    }

    fn text(&mut self) -> Result<Kind, String> {
        let mut text = String::new();
        while let Some((_, c)) = self.take() {
            match c {
                '"' => return Ok(Kind::Text(text.into())),
                ' '..='~' => text.push(c),
                _ => return Err("a text holds printable ASCII only; write other bytes as 0x…".into()),
            }
        }
        Err("this text has no closing quote on its line".into())
    }
}

fn number(digits: &str) -> Result<Kind, String> {
    if let Some(pairs) = digits.strip_prefix("0x") {
        return match hex::decode(pairs) {
            Ok(bytes) if !bytes.is_empty() => Ok(Kind::Bytes(bytes.into())),
            _ => Err(format!("`{digits}` is not 0x and pairs of hex digits")),
        };
    }
    digits.parse().map(Kind::Int).map_err(|_| {
        format!(
            "`{digits}` is not a decimal number below 2^64; bytes are written as 0x and pairs of hex digits"
        )
    })
}
