//! Tokens as statements. Expressions come out in postfix order, so that neither this nor what reads it recurses: a
//! document cannot exhaust the stack.

use crate::lex::{Kind, Place, Token};

/// Parentheses inside parentheses, at most.
const MAX_DEPTH: usize = 32;

/// One step of an expression in postfix order.
#[derive(Clone, Debug)]
pub(crate) enum Node {
    Word(Box<str>),
    Int(u64),
    Bytes(Box<[u8]>),
    /// `from..to`, either end open.
    Range(Option<u64>, Option<u64>),
    /// Applies an operation to that many values before it.
    Call(Box<str>, usize),
}

pub(crate) type Expression = Vec<(Node, Place)>;

/// One end of a `range` line: a name, a number, or a name plus or minus a number.
#[derive(Clone, Debug)]
pub(crate) struct Bound {
    pub(crate) at: Place,
    pub(crate) name: Option<Box<str>>,
    pub(crate) plus: u64,
    pub(crate) minus: u64,
}

/// A width as written.
#[derive(Clone, Copy, Debug)]
pub(crate) enum WrittenWidth {
    Fixed(u64),
    List(u64),
    Between(u64, u64),
    PaddedTo(u64),
    Any,
}

#[derive(Clone, Debug)]
pub(crate) enum WrittenDefault {
    Number(u64),
    Bytes(Box<[u8]>),
}

#[derive(Clone, Debug)]
pub(crate) struct Declared {
    pub(crate) at: Place,
    pub(crate) name: Box<str>,
    pub(crate) width: WrittenWidth,
    pub(crate) default: Option<WrittenDefault>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Group {
    Const,
    Session,
    Share,
}

#[derive(Clone, Debug)]
pub(crate) enum Statement {
    Header { version: u64, name: Box<str> },
    Fields(Group, Vec<Declared>),
    Alias { name: Box<str>, algorithm: (Box<str>, Place), key: Option<Box<[u8]>> },
    Assign { name: Box<str>, value: Expression },
    Judge { little_endian: bool, hash: Expression, against: Option<Expression> },
    Id(Expression),
    Out(Vec<(Box<str>, Place)>),
    Range { what: Expression, low: Bound, high: Bound },
    Subset { what: Expression, mask: Expression },
    Claim { claimed: Expression, computed: Expression },
    Verify { verifier: (Box<str>, Place), input: Expression, proof: Expression },
    Network { form: (Box<str>, Place), value: Expression },
    Sv2(Vec<(Box<str>, Box<str>, Place)>),
}

/// Words that begin a statement. A register may have such a name: `word = …` is always a definition.
pub(crate) const KEYWORDS: [&str; 14] = [
    "recipe", "const", "session", "share", "hash", "judge", "id", "out", "range", "subset", "claim",
    "verify", "network", "sv2",
];

type Errors = Vec<(Place, String)>;
type Parsed<T> = Result<T, (Place, String)>;

/// All statements that can be read; what cannot becomes an error, and reading goes on at the next line.
pub(crate) fn statements(tokens: &[Token], errors: &mut Errors) -> Vec<(Statement, Place)> {
    let mut parser = Parser { tokens, next: 0 };
    let mut out = Vec::new();
    while let Some(token) = parser.peek() {
        let at = token.at;
        match &token.kind {
            Kind::End | Kind::Bar => {
                parser.next += 1;
                continue;
            }
            _ => {}
        }
        let start = parser.next;
        match parser.statement().and_then(|statement| {
            parser.finished()?;
            Ok(statement)
        }) {
            Ok(statement) => out.push((statement, at)),
            Err(error) => {
                errors.push(error);
                parser.next = start;
                parser.skip_line();
            }
        }
    }
    out
}

struct Parser<'t> {
    tokens: &'t [Token],
    next: usize,
}

impl Parser<'_> {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.next)
    }

    fn at(&self) -> Place {
        self.peek().or(self.tokens.last()).map(|token| token.at).unwrap_or_default()
    }

    fn kind(&self) -> &Kind {
        self.peek().map_or(&Kind::End, |token| &token.kind)
    }

    fn kind_after(&self) -> &Kind {
        self.tokens.get(self.next + 1).map_or(&Kind::End, |token| &token.kind)
    }

    fn take(&mut self) -> Kind {
        let kind = self.kind().clone();
        self.next += 1;
        kind
    }

    fn skip_line(&mut self) {
        while let Some(token) = self.peek() {
            if token.kind == Kind::End {
                return;
            }
            self.next += 1;
        }
    }

    fn fail<T>(&self, message: impl Into<String>) -> Parsed<T> {
        Err((self.at(), message.into()))
    }

    fn wants<T>(&self, what: &str) -> Parsed<T> {
        self.fail(format!("expected {what}, found {}", self.kind().shown()))
    }

    fn finished(&self) -> Parsed<()> {
        match self.kind() {
            Kind::End | Kind::Bar => Ok(()),
            other => self.fail(format!(
                "{} is one too many here; a statement ends with its line or a `|`",
                other.shown()
            )),
        }
    }

    fn word(&mut self, what: &str) -> Parsed<(Box<str>, Place)> {
        let at = self.at();
        match self.kind() {
            Kind::Word(word) => {
                let word = word.clone();
                self.next += 1;
                Ok((word, at))
            }
            _ => self.wants(what),
        }
    }

    fn int(&mut self, what: &str) -> Parsed<u64> {
        match *self.kind() {
            Kind::Int(number) => {
                self.next += 1;
                Ok(number)
            }
            _ => self.wants(what),
        }
    }

    fn expect(&mut self, kind: &Kind) -> Parsed<()> {
        if self.kind() == kind {
            self.next += 1;
            Ok(())
        } else {
            self.wants(&kind.shown())
        }
    }

    fn statement(&mut self) -> Parsed<Statement> {
        let (word, at) =
            self.word("a statement: a declaration, `name = …`, `judge`, `id`, `out` or a check")?;
        if *self.kind() == Kind::Equals {
            self.next += 1;
            return Ok(Statement::Assign { name: word, value: self.expression(&[])? });
        }
        match &*word {
            "recipe" => {
                let version = self.int("the language's version, 1")?;
                let Kind::Text(name) = self.kind().clone() else {
                    return self.wants("the recipe's name in quotes");
                };
                self.next += 1;
                Ok(Statement::Header { version, name })
            }
            "const" => Ok(Statement::Fields(Group::Const, self.fields()?)),
            "session" => Ok(Statement::Fields(Group::Session, self.fields()?)),
            "share" => Ok(Statement::Fields(Group::Share, self.fields()?)),
            "hash" => {
                let (name, _) = self.word("a name for the hash")?;
                self.expect(&Kind::Equals)?;
                let algorithm = self.word("an algorithm's name")?;
                let key = match self.kind().clone() {
                    Kind::Text(text) => Some(text.as_bytes().into()),
                    Kind::Bytes(bytes) => Some(bytes),
                    _ => None,
                };
                if key.is_some() {
                    self.next += 1;
                }
                Ok(Statement::Alias { name, algorithm, key })
            }
            "judge" => {
                let little_endian = match &*self.word("`le` or `be`: how the hash is read as a number")?.0 {
                    "le" => true,
                    "be" => false,
                    _ => {
                        return Err((
                            at,
                            "`judge` needs `le` or `be` first: how the hash is read as a number".into(),
                        ));
                    }
                };
                let hash = self.expression(&["against"])?;
                let against = if matches!(self.kind(), Kind::Word(word) if &**word == "against") {
                    self.next += 1;
                    Some(self.expression(&[])?)
                } else {
                    None
                };
                Ok(Statement::Judge { little_endian, hash, against })
            }
            "id" => Ok(Statement::Id(self.expression(&[])?)),
            "out" => {
                let mut names = vec![self.word("the name of a register")?];
                while matches!(self.kind(), Kind::Word(_)) {
                    names.push(self.word("the name of a register")?);
                }
                Ok(Statement::Out(names))
            }
            "range" => {
                let what = self.atom()?;
                let low = self.bound()?;
                self.expect(&Kind::DotDot)?;
                let high = self.bound()?;
                Ok(Statement::Range { what, low, high })
            }
            "subset" => Ok(Statement::Subset { what: self.atom()?, mask: self.atom()? }),
            "claim" => Ok(Statement::Claim { claimed: self.atom()?, computed: self.atom()? }),
            "verify" => {
                let verifier = self.word("a verifier's name")?;
                Ok(Statement::Verify { verifier, input: self.atom()?, proof: self.atom()? })
            }
            "network" => {
                let form = self.word("`be`, `le`, `compact23` or `compact24`")?;
                Ok(Statement::Network { form, value: self.expression(&[])? })
            }
            "sv2" => self.sv2(),
            _ => Err((
                at,
                format!(
                    "`{word}` begins no statement; a register is defined as `{word} = …`, statements are {}",
                    KEYWORDS.join(", ")
                ),
            )),
        }
    }

    fn sv2(&mut self) -> Parsed<Statement> {
        let mut pairs = Vec::new();
        while matches!(self.kind(), Kind::Word(_)) {
            let (role, at) = self.word("a role")?;
            let register = if *self.kind() == Kind::Equals {
                self.next += 1;
                self.word("the name of a register")?.0
            } else {
                role.clone()
            };
            pairs.push((role, register, at));
        }
        if pairs.is_empty() { self.wants("a role, or role=register") } else { Ok(Statement::Sv2(pairs)) }
    }

    fn fields(&mut self) -> Parsed<Vec<Declared>> {
        let mut fields = Vec::new();
        while matches!(self.kind(), Kind::Word(_)) {
            let (name, at) = self.word("a field")?;
            let width = if *self.kind() == Kind::Colon {
                self.next += 1;
                self.width()?
            } else {
                WrittenWidth::Any
            };
            let default = if *self.kind() == Kind::Equals {
                self.next += 1;
                Some(match self.take() {
                    Kind::Int(number) => WrittenDefault::Number(number),
                    Kind::Bytes(bytes) => WrittenDefault::Bytes(bytes),
                    Kind::Text(text) => WrittenDefault::Bytes(text.as_bytes().into()),
                    _ => {
                        self.next -= 1;
                        return self.wants("a default: a number, 0x… or a text");
                    }
                })
            } else {
                None
            };
            fields.push(Declared { at, name, width, default });
        }
        if fields.is_empty() { self.wants("a field, as in `nonce:4`") } else { Ok(fields) }
    }

    fn width(&mut self) -> Parsed<WrittenWidth> {
        match self.take() {
            Kind::Word(word) if &*word == "bytes" => Ok(WrittenWidth::Any),
            Kind::DotDot => Ok(WrittenWidth::PaddedTo(self.int("the longest width")?)),
            Kind::Int(number) => match self.kind() {
                Kind::Star => {
                    self.next += 1;
                    Ok(WrittenWidth::List(number))
                }
                Kind::DotDot => {
                    self.next += 1;
                    Ok(WrittenWidth::Between(number, self.int("the longest width")?))
                }
                _ => Ok(WrittenWidth::Fixed(number)),
            },
            _ => {
                self.next -= 1;
                self.wants("a width: `4`, `1..8`, `..8`, `32*` or `bytes`")
            }
        }
    }

    fn bound(&mut self) -> Parsed<Bound> {
        let at = self.at();
        match self.take() {
            Kind::Int(number) => Ok(Bound { at, name: None, plus: number, minus: 0 }),
            Kind::Word(name) => {
                let (mut plus, mut minus) = (0, 0);
                match self.kind() {
                    Kind::Plus => {
                        self.next += 1;
                        plus = self.int("a number")?;
                    }
                    Kind::Minus => {
                        self.next += 1;
                        minus = self.int("a number")?;
                    }
                    _ => {}
                }
                Ok(Bound { at, name: Some(name), plus, minus })
            }
            _ => {
                self.next -= 1;
                self.wants("a bound: a register, a number, or register + number")
            }
        }
    }

    /// One value: a word, a literal, or something in parentheses.
    fn atom(&mut self) -> Parsed<Expression> {
        let mut out = Vec::new();
        match self.kind() {
            Kind::Open => self.parse(&mut out, &[], true)?,
            kind if begins_value(kind) => self.single(&mut out)?,
            _ => return self.wants("a register, a literal, or an operation in parentheses"),
        }
        Ok(out)
    }

    /// An operation with its values up to the end of the statement, or one value.
    fn expression(&mut self, stops: &[&str]) -> Parsed<Expression> {
        let mut out = Vec::new();
        self.parse(&mut out, stops, false)?;
        Ok(out)
    }

    fn single(&mut self, out: &mut Expression) -> Parsed<()> {
        let at = self.at();
        let node = match self.take() {
            Kind::Word(word) => Node::Word(word),
            Kind::Bytes(bytes) => Node::Bytes(bytes),
            Kind::Text(text) => Node::Bytes(text.as_bytes().into()),
            Kind::DotDot => Node::Range(None, Some(self.int("the slice's end")?)),
            Kind::Int(number) if *self.kind() == Kind::DotDot => {
                self.next += 1;
                match *self.kind() {
                    Kind::Int(end) => {
                        self.next += 1;
                        Node::Range(Some(number), Some(end))
                    }
                    _ => Node::Range(Some(number), None),
                }
            }
            Kind::Int(number) => Node::Int(number),
            _ => {
                self.next -= 1;
                return self.wants("a value");
            }
        };
        out.push((node, at));
        Ok(())
    }

    /// The one loop over an expression: a stack of open operations in place of recursion. With `one` it ends after
    /// the first parenthesis is closed.
    fn parse(&mut self, out: &mut Expression, stops: &[&str], one: bool) -> Parsed<()> {
        struct Open {
            at: Place,
            operation: Option<(Box<str>, Place)>,
            values: usize,
        }
        let mut stack = vec![Open { at: self.at(), operation: None, values: 0 }];
        loop {
            let depth = stack.len();
            let Some(top) = stack.last_mut() else { return self.wants("an expression") };
            let stop = match self.kind() {
                Kind::End if depth > 1 => {
                    if self.next + 1 >= self.tokens.len() {
                        return Err((top.at, "this `(` is never closed".into()));
                    }
                    self.next += 1;
                    continue;
                }
                Kind::End | Kind::Bar => true,
                Kind::Word(word) if depth == 1 => stops.contains(&&**word),
                _ => false,
            };
            if stop || *self.kind() == Kind::Close {
                let at = self.at();
                if !stop && depth == 1 {
                    return self.fail("this `)` closes nothing");
                }
                if stop && depth > 1 {
                    return Err((top.at, "this `(` is never closed".into()));
                }
                match (top.operation.take(), top.values) {
                    (Some((name, place)), values) => out.push((Node::Call(name, values), place)),
                    (None, 1) => {}
                    (None, _) => return Err((at, "expected a value or an operation".into())),
                }
                if stop {
                    return Ok(());
                }
                self.next += 1;
                stack.pop();
                if let Some(parent) = stack.last_mut() {
                    parent.values += 1;
                }
                if one && stack.len() == 1 {
                    return Ok(());
                }
                continue;
            }
            let operation_here =
                top.operation.is_none() && top.values == 0 && begins_value(self.kind_after());
            match self.kind().clone() {
                Kind::Word(word) if operation_here && !stops_next(self.kind_after(), stops, depth) => {
                    top.operation = Some((word, self.at()));
                    self.next += 1;
                }
                _ if top.operation.is_none() && top.values == 1 => {
                    return self.fail(format!(
                        "{} after a complete value; an operation stands before its values, nested ones in parentheses",
                        self.kind().shown()
                    ));
                }
                Kind::Open => {
                    if depth > MAX_DEPTH {
                        return self.fail(format!("more than {MAX_DEPTH} parentheses inside each other"));
                    }
                    stack.push(Open { at: self.at(), operation: None, values: 0 });
                    self.next += 1;
                }
                kind if begins_value(&kind) => {
                    top.values += 1;
                    self.single(out)?;
                }
                other => return self.fail(format!("{} has no place in an expression", other.shown())),
            }
        }
    }
}

fn begins_value(kind: &Kind) -> bool {
    matches!(kind, Kind::Word(_) | Kind::Int(_) | Kind::Bytes(_) | Kind::Text(_) | Kind::Open | Kind::DotDot)
}

fn stops_next(kind: &Kind, stops: &[&str], depth: usize) -> bool {
    depth == 1 && matches!(kind, Kind::Word(word) if stops.contains(&&**word))
}
