//! Reads a document's text: statements that begin in the first column, continued by indented lines, with comments
//! from `#` to the end of the line.

use crate::document::{Place, Source};
use crate::errors::DocumentError;
use crate::json;
use crate::template::{Format, Hole, Part, Reorder, Template};

/// A message and the byte offset that it is about.
pub(super) type Wrong = (usize, String);

pub(super) struct Cursor<'s> {
    text: &'s str,
    pub(super) at: usize,
    errors: Vec<DocumentError>,
    source: &'s Source,
}

impl<'s> Cursor<'s> {
    pub(super) fn new(source: &'s Source) -> Self {
        Self { text: &source.text, at: 0, errors: Vec::new(), source }
    }

    pub(super) fn report(&mut self, (at, message): Wrong) {
        self.errors.push(self.source.error(at, message));
    }

    pub(super) fn into_errors(self) -> Vec<DocumentError> {
        self.errors
    }

    pub(super) fn has_errors(&self) -> bool {
        !self.errors.is_empty()
    }

    fn rest(&self) -> &'s str {
        self.text.get(self.at..).unwrap_or("")
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn step(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += c.len_utf8();
        Some(c)
    }

    /// Goes to the next statement; false at the end of the document.
    pub(super) fn next_statement(&mut self) -> bool {
        loop {
            let line = self.rest().split('\n').next().unwrap_or("");
            let content = line.trim();
            if !content.is_empty() && !content.starts_with('#') {
                if line.starts_with([' ', '\t']) {
                    let message = "an indented line continues a statement, and here is none";
                    self.report((self.at, message.to_owned()));
                    self.skip_line();
                    continue;
                }
                return true;
            }
            if self.at + line.len() >= self.text.len() {
                return false;
            }
            self.at += line.len() + 1;
        }
    }

    fn skip_line(&mut self) {
        self.at += self.rest().find('\n').map_or(self.rest().len(), |end| end + 1);
    }

    /// To the end of the present line; what is indented below still belongs to the statement.
    pub(super) fn skip_to_line_end(&mut self) {
        self.at += self.rest().find('\n').unwrap_or(self.rest().len());
    }

    /// Leaves the present statement.
    pub(super) fn skip_statement(&mut self) {
        while self.more() {
            self.skip_to_line_end();
        }
    }

    /// Skips white space, comments and line ends inside of a statement; false at the statement's end.
    pub(super) fn more(&mut self) -> bool {
        loop {
            let trimmed = self.rest().trim_start_matches([' ', '\t', '\r']);
            self.at = self.text.len() - trimmed.len();
            match trimmed.chars().next() {
                None => return false,
                Some('#') => self.skip_to_line_end(),
                Some('\n') => match next_content(trimmed) {
                    Some(offset) => self.at += offset,
                    None => return false,
                },
                Some(_) => return true,
            }
        }
    }

    /// The next word of the statement, without taking it.
    pub(super) fn peek_word(&mut self) -> Option<&'s str> {
        if !self.more() {
            return None;
        }
        self.rest().split(char::is_whitespace).next().filter(|word| !word.is_empty())
    }

    /// Takes the next word if it is this one.
    pub(super) fn take(&mut self, word: &str) -> bool {
        let found = self.peek_word() == Some(word);
        if found {
            self.at += word.len();
        }
        found
    }

    pub(super) fn word(&mut self, what: &str) -> Result<&'s str, Wrong> {
        let word = self.peek_word().ok_or_else(|| (self.at, format!("{what} is missing here")))?;
        self.at += word.len();
        Ok(word)
    }

    pub(super) fn number(&mut self, what: &str) -> Result<i64, Wrong> {
        let word = self.word(what)?;
        word.parse()
            .map_err(|_| (self.at - word.len(), format!("{what} has to be a whole number, not `{word}`")))
    }

    pub(super) fn at_quote(&mut self) -> bool {
        self.more() && self.peek() == Some('"')
    }

    pub(super) fn quoted(&mut self, what: &str) -> Result<String, Wrong> {
        if !self.at_quote() {
            return Err((self.at, format!("{what} has to stand here in double quotes")));
        }
        let start = self.at;
        self.step();
        let mut text = String::new();
        loop {
            match self.step() {
                None | Some('\n') => return Err((start, format!("{what} has no closing quote"))),
                Some('"') => return Ok(text),
                Some('\\') => match self.step() {
                    Some(c @ ('"' | '\\')) => text.push(c),
                    _ => return Err((self.at, "only \\\" and \\\\ are escapes here".to_owned())),
                },
                Some(c) => text.push(c),
            }
        }
    }

    /// JSON pointers, alternatives separated by `|`: `/params/0|/argument`.
    pub(super) fn place(&mut self, what: &str) -> Result<Place, Wrong> {
        let word = self.word(what)?;
        let at = self.at - word.len();
        let mut pointers = Vec::new();
        for pointer in word.split('|') {
            let Some(steps) = pointer.strip_prefix('/').filter(|steps| !steps.is_empty()) else {
                let message = format!("{what} has to be a JSON pointer such as /params/0, not `{pointer}`");
                return Err((at, message));
            };
            pointers.push(steps.split('/').map(|step| step.replace("~1", "/").replace("~0", "~")).collect());
        }
        Ok(Place { written: word.to_owned(), pointers })
    }

    /// JSON text with holes. White space outside of its strings is dropped.
    pub(super) fn template(&mut self, what: &str, diff1: Option<[u8; 32]>) -> Result<Template, Wrong> {
        if !self.more() {
            return Err((self.at, format!("{what} is missing here")));
        }
        let start = self.at;
        let mut parts = Vec::new();
        let mut literal = String::new();
        // What stands for the template when its JSON is checked, and where in the document it came from.
        let mut sample = String::new();
        let mut depth = 0_usize;
        let mut in_string = false;
        loop {
            if !in_string && depth > 0 && !self.more() {
                return Err((start, format!("{what} is not closed before its statement ends")));
            }
            let at = self.at;
            let Some(c) = self.peek() else { break };
            if c == '{' && self.rest().chars().nth(1).is_some_and(|c| c.is_ascii_alphabetic()) {
                let hole = self.hole(in_string, diff1)?;
                sample.push_str(if in_string { "x" } else { "0" });
                if !literal.is_empty() {
                    parts.push(Part::Literal(std::mem::take(&mut literal)));
                }
                parts.push(Part::Hole(hole));
            } else if in_string {
                self.step();
                match c {
                    '\n' => return Err((at, "a string ends with its line".to_owned())),
                    '{' if self.peek() == Some('{') => {
                        self.step();
                    }
                    '\\' => {
                        literal.push(c);
                        sample.push(c);
                        if let Some(next) = self.step() {
                            literal.push(next);
                            sample.push(next);
                        }
                        continue;
                    }
                    '"' => in_string = false,
                    _ => {}
                }
                literal.push(c);
                sample.push(c);
            } else {
                match c {
                    '"' => in_string = true,
                    '{' | '[' => depth += 1,
                    '}' | ']' => depth = depth.saturating_sub(1),
                    c if c.is_whitespace() => break,
                    _ => {}
                }
                self.step();
                literal.push(c);
                sample.push(c);
                let scalar = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '+' | '.');
                if depth == 0 && !in_string && scalar(c) && self.peek().is_some_and(scalar) {
                    continue;
                }
            }
            if depth == 0 && !in_string {
                break;
            }
        }
        if in_string {
            return Err((start, format!("{what} has a string without its closing quote")));
        }
        if !literal.is_empty() {
            parts.push(Part::Literal(literal));
        }
        if let Err(error) = json::parse(&sample) {
            return Err((start, format!("{what} is not JSON: {}", error.why)));
        }
        Ok(Template { parts })
    }

    fn hole(&mut self, in_string: bool, diff1: Option<[u8; 32]>) -> Result<Hole, Wrong> {
        let start = self.at;
        let Some(inside) = self
            .rest()
            .split_once('}')
            .and_then(|(hole, _)| hole.strip_prefix('{'))
            .filter(|hole| !hole.contains(['\n', '"', '{']))
        else {
            return Err((start, "a hole `{name:format}` has no closing brace".to_owned()));
        };
        self.at += inside.len() + 2;
        let mut pieces = inside.split(':');
        let mut name = pieces.next().unwrap_or("");
        let mut slice = None;
        if let Some((before, range)) = name.split_once('[') {
            name = before;
            let range = range.strip_suffix(']').and_then(|range| range.split_once(".."));
            let ends = range.and_then(|(from, to)| Some((from.parse().ok()?, to.parse::<usize>().ok()?)));
            match ends {
                Some((from, to)) if from < to => slice = Some(from..to),
                _ => return Err((start, format!("`{inside}`: a slice is written name[4..36]"))),
            }
        }
        let (name, optional) = name.strip_suffix('?').map_or((name, false), |name| (name, true));
        if !is_name(name) {
            return Err((start, format!("`{name}` is not a name of a value")));
        }
        let mut reorder = Vec::new();
        let mut format = Format::Plain;
        let mut each = None;
        for piece in pieces {
            if format != Format::Plain {
                return Err((start, format!("`{inside}`: nothing can follow the format before `:{piece}`")));
            }
            if let Some(width) = piece.strip_prefix("each") {
                match width.parse() {
                    Ok(width @ 1..=1024) if each.is_none() && reorder.is_empty() => each = Some(width),
                    _ => {
                        let message = format!("`{inside}`: an array of items is written name:each32:hex");
                        return Err((start, message));
                    }
                }
                continue;
            }
            match piece {
                "rev" => reorder.push(Reorder::Reverse),
                "words" => reorder.push(Reorder::Words),
                "swap4" => reorder.push(Reorder::Swap4),
                "hex" => format = Format::Hex,
                "hex0x" => format = Format::Hex0x,
                "quantity" => format = Format::Quantity,
                "num-le" => format = Format::Number { little: true },
                "num-be" => format = Format::Number { little: false },
                "u64le" => format = Format::U64s { little: true },
                "u64be" => format = Format::U64s { little: false },
                "utf8" => format = Format::Utf8,
                "diff" => match diff1 {
                    Some(diff1) => format = Format::Difficulty(diff1),
                    None => {
                        return Err((start, "`:diff` needs a `diff1` statement before this one".to_owned()));
                    }
                },
                _ => {
                    let known = "each32, rev, words, swap4, hex, hex0x, quantity, num-le, num-be, u64le, u64be, utf8, diff";
                    return Err((start, format!("`:{piece}` is not a format; known are {known}")));
                }
            }
        }
        if in_string && (each.is_some() || matches!(format, Format::U64s { .. })) {
            return Err((start, format!("`{inside}` is an array and cannot stand inside a string")));
        }
        Ok(Hole {
            name: name.to_owned(),
            optional,
            slice,
            each,
            reorder,
            format,
            in_string,
            written: inside.to_owned(),
            at: start,
        })
    }
}

/// Offset of the first content of a continuation line; `text` begins with a line end.
fn next_content(text: &str) -> Option<usize> {
    let mut at = 0;
    for line in text.split_inclusive('\n').skip(1).scan(1, |at, line| {
        let start = *at;
        *at += line.len();
        Some((start, line))
    }) {
        let (start, line) = line;
        let content = line.trim();
        if content.is_empty() || content.starts_with('#') {
            continue;
        }
        if line.starts_with([' ', '\t']) {
            at = start + (line.len() - line.trim_start().len());
        }
        break;
    }
    (at > 0).then_some(at)
}

/// Letters, digits, `.`, `_` and `-`, with a letter first.
pub(super) fn is_name(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_alphabetic())
        && word.len() <= 64
        && word.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))
}
