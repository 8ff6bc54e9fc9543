//! Expressions checked and turned into instructions: every operation's values, widths and stage.

use crate::builder::{Builder, Function, Type, Typed};
use crate::compile::MAX_HEAVY;
use crate::field::Stage;
use crate::lex::Place;
use crate::parse::{Expression, Node};
use crate::program::{ContextAt, Operand, Operation};
use crate::run::MAX_ITEM;
use millpond_algorithms::{Cost, Key};

/// Words of the language that are applied to values; no register or hash may have such a name.
pub(crate) const OPERATIONS: [&str; 23] = [
    "cat",
    "rev",
    "revwords",
    "swapwords",
    "blend",
    "xor",
    "slice",
    "lpad",
    "rpad",
    "strip",
    "zeros",
    "len",
    "int-le",
    "int-be",
    "add",
    "sub",
    "mul",
    "le",
    "be",
    "varint",
    "fold",
    "foldlr",
    "against",
];

/// A value on the checker's stack. A word stays a word until an operation says whether it means a register or a hash.
#[derive(Clone, Debug)]
enum Value {
    Word(Box<str>),
    Int(u64),
    Bytes(Box<[u8]>),
    Range(Option<u64>, Option<u64>),
    Register(Typed),
    /// Wrong already, and said so.
    Bad,
}

type Argument = (Value, Place);

impl Builder<'_> {
    /// Checks an expression and emits its instructions. `None` after an error, which is recorded.
    pub(crate) fn expression(&mut self, expression: &Expression) -> Option<Typed> {
        let mut stack: Vec<Argument> = Vec::new();
        for (node, at) in expression {
            let value = match node {
                Node::Word(word) => Value::Word(word.clone()),
                Node::Int(number) => Value::Int(*number),
                Node::Bytes(bytes) => Value::Bytes(bytes.clone()),
                Node::Range(from, to) => Value::Range(*from, *to),
                Node::Call(name, count) => {
                    let arguments = stack.split_off(stack.len().saturating_sub(*count));
                    self.call(name, arguments, *at).map_or(Value::Bad, Value::Register)
                }
            };
            stack.push((value, *at));
        }
        let (value, at) = stack.pop()?;
        self.register(&value, at)
    }

    fn call(&mut self, name: &str, arguments: Vec<Argument>, at: Place) -> Option<Typed> {
        match (name, &*arguments) {
            ("cat", _) => self.cat(&arguments, at),
            ("rev", [x]) => {
                let x = self.bytes(x)?;
                self.emit_over(at, &[x], x.ty, Operation::Reverse(x.operand))
            }
            ("revwords" | "swapwords", [n, x]) => {
                let word = self.plain_number(n, "the word's width", 1, 64)?;
                let x = self.bytes(x)?;
                if let Some(width) = x.ty.fixed()
                    && width % word != 0
                {
                    return self.fail(at, format!("{width} bytes are no whole number of words of {word}"));
                }
                let operation =
                    if name == "revwords" { Operation::ReverseWords } else { Operation::SwapWords };
                self.emit_over(at, &[x], x.ty, operation(word, x.operand))
            }
            ("blend", [base, bits, mask]) => {
                let (base, bits, mask) = (self.bytes(base), self.bytes(bits), self.bytes(mask));
                let (base, bits, mask) = (base?, bits?, mask?);
                self.same_width(at, &[base, bits, mask])?;
                let operation =
                    Operation::Blend { base: base.operand, bits: bits.operand, mask: mask.operand };
                self.emit_over(at, &[base, bits, mask], base.ty, operation)
            }
            ("xor", [a, b]) => {
                let (a, b) = (self.bytes(a), self.bytes(b));
                let (a, b) = (a?, b?);
                self.same_width(at, &[a, b])?;
                self.emit_over(at, &[a, b], a.ty, Operation::Xor(a.operand, b.operand))
            }
            ("slice", [x, range]) => self.slice(x, range, at),
            ("lpad" | "rpad", [n, x]) => {
                let width = self.plain_number(n, "the width", 1, 65_536)?;
                let x = self.bytes(x)?;
                if x.ty.low() > width {
                    return self
                        .fail(at, format!("at least {} bytes cannot be filled up to {width}", x.ty.low()));
                }
                let operation = if name == "lpad" { Operation::PadLeft } else { Operation::PadRight };
                self.emit_over(at, &[x], Type::fixed_bytes(width), operation(width, x.operand))
            }
            ("strip", [prefix, x]) => {
                let (prefix, x) = (self.bytes(prefix), self.bytes(x));
                let (prefix, x) = (prefix?, x?);
                let ty = Type::Bytes { low: x.ty.low().saturating_sub(prefix.ty.high()), high: x.ty.high() };
                let operation = Operation::Strip { prefix: prefix.operand, of: x.operand };
                self.emit_over(at, &[prefix, x], ty, operation)
            }
            ("zeros", [n]) => {
                let count = self.plain_number(n, "the number of zeros", 1, 4096)?;
                Some(self.literal_bytes(&vec![0; count as usize], at))
            }
            ("len", [x]) => {
                let x = self.bytes(x)?;
                self.emit_over(at, &[x], Type::Number, Operation::Len(x.operand))
            }
            ("int-le" | "int-be", [x]) => {
                let x = self.bytes(x)?;
                self.as_number(x, name == "int-be", at)
            }
            ("add" | "sub" | "mul", [a, b]) => {
                let (a, b) = (self.number(a), self.number(b));
                let (a, b) = (a?, b?);
                let operation = match name {
                    "add" => Operation::Add,
                    "sub" => Operation::Subtract,
                    _ => Operation::Multiply,
                };
                self.emit_over(at, &[a, b], Type::Number, operation(a.operand, b.operand))
            }
            ("le" | "be", [n, x]) => {
                let width = self.plain_number(n, "the width", 1, 8)?;
                let x = self.number(x)?;
                let operation = if name == "le" { Operation::ToLe } else { Operation::ToBe };
                self.emit_over(at, &[x], Type::fixed_bytes(width), operation(width, x.operand))
            }
            ("varint", [x]) => {
                let x = self.number(x)?;
                self.emit_over(at, &[x], Type::Bytes { low: 1, high: 9 }, Operation::VarInt(x.operand))
            }
            ("fold" | "foldlr", [function, start, list]) => {
                self.fold(function, start, list, name == "foldlr", at)
            }
            _ if OPERATIONS.contains(&name) => {
                let usage = usage(name);
                self.fail(at, format!("`{name}` does not take {} values; it is `{usage}`", arguments.len()))
            }
            _ => self.apply(name, &arguments, at),
        }
    }

    fn cat(&mut self, arguments: &[Argument], at: Place) -> Option<Typed> {
        let parts: Vec<_> = arguments.iter().map(|argument| self.bytes(argument)).collect();
        let parts: Vec<Typed> = parts.into_iter().collect::<Option<_>>()?;
        let (mut low, mut high) = (0_u32, 0_u32);
        for part in &parts {
            low = low.saturating_add(part.ty.low());
            high = high.saturating_add(part.ty.high());
        }
        let operands = parts.iter().map(|part| part.operand).collect();
        self.emit_over(at, &parts, Type::Bytes { low, high }, Operation::Cat(operands))
    }

    fn slice(&mut self, x: &Argument, range: &Argument, at: Place) -> Option<Typed> {
        let Value::Range(from, to) = range.0 else {
            return self.fail(range.1, "a slice's second value is a range: `4..8`, `4..` or `..8`".into());
        };
        let x = self.bytes(x)?;
        let small = |n: u64| u32::try_from(n).ok().filter(|n| *n <= 1 << 20);
        let from = small(from.unwrap_or(0));
        let (from, to) = match (from, to.map(small)) {
            (Some(from), None) => (from, None),
            (Some(from), Some(Some(to))) if from <= to => (from, Some(to)),
            _ => {
                return self
                    .fail(range.1, "a slice runs from a smaller to a larger number below 2^20".into());
            }
        };
        let needed = to.unwrap_or(from);
        if needed > x.ty.high() {
            return self
                .fail(at, format!("the value has at most {} bytes; {needed} are asked for", x.ty.high()));
        }
        let ty = match to {
            Some(to) => Type::fixed_bytes(to - from),
            None => {
                Type::Bytes { low: x.ty.low().saturating_sub(from), high: x.ty.high().saturating_sub(from) }
            }
        };
        self.emit_over(at, &[x], ty, Operation::Slice { of: x.operand, from, to })
    }

    fn fold(
        &mut self,
        function: &Argument,
        start: &Argument,
        list: &Argument,
        sided: bool,
        at: Place,
    ) -> Option<Typed> {
        let function = match &function.0 {
            Value::Word(name) => self.function(name, function.1),
            Value::Bad => None,
            _ => self.fail(function.1, "a fold's first value is the name of a hash".into()),
        };
        let (start, list) = (self.bytes(start), self.register(&list.0, list.1).map(|typed| (typed, list.1)));
        let (function, start, (list, list_at)) = (function?, start?, list?);
        let Function { with: Some(with), output, ref name, .. } = function else {
            return self
                .fail(at, format!("`{}` needs a key; give it a name: `hash h = {0} KEY`", function.name));
        };
        if function.cost == Cost::Heavy {
            return self.fail(at, format!("`{name}` is too heavy a hash for a fold"));
        }
        let Type::List { item } = list.ty else {
            return self.fail(list_at, "a fold's last value is a list field, declared as `path:32*`".into());
        };
        if item as usize > MAX_ITEM || item < 1 + u32::from(sided) {
            return self.fail(list_at, format!("items of {item} bytes cannot be folded; at most {MAX_ITEM}"));
        }
        if start.ty.fixed() != Some(output) {
            return self.fail(at, format!("a fold over `{name}` starts from {output} bytes"));
        }
        let operation =
            Operation::Fold { with, output, start: start.operand, list: list.operand, item, sided };
        self.emit_over(at, &[start, list], Type::fixed_bytes(output), operation)
    }

    /// Applies a hash: `name input`, or `name key input` for a keyed one.
    fn apply(&mut self, name: &str, arguments: &[Argument], at: Place) -> Option<Typed> {
        let function = self.function(name, at)?;
        match (function.with, arguments) {
            (Some(with), [x]) => {
                let x = self.bytes(x)?;
                self.hash(with, &function, x, at)
            }
            (None, [key, x]) => {
                let (key, x) = (self.bytes(key).map(|typed| (typed, key.1)), self.bytes(x));
                let ((key, key_at), x) = (key?, x?);
                let latest = if function.key == Key::Dear { Stage::Job } else { Stage::Session };
                if key.operand.stage > latest {
                    return self.fail(
                        key_at,
                        format!(
                            "the key of `{name}` is known in the {} stage; it must not depend on more than the {}, \
                             since preparing it per {0} would let a miner exhaust the pool",
                            key.operand.stage.name(),
                            latest.name()
                        ),
                    );
                }
                let with = self.prepare(&function.name, key.operand, key_at)?;
                self.hash(with, &function, x, at)
            }
            (Some(_), other) => {
                let given = other.len();
                self.fail(at, format!("`{name}` takes one value, not {given}; join several with `cat`"))
            }
            (None, other) => {
                let given = other.len();
                self.fail(at, format!("`{name}` takes a key and one value, not {given} values"))
            }
        }
    }

    fn hash(&mut self, with: ContextAt, function: &Function, x: Typed, at: Place) -> Option<Typed> {
        let heavy = function.cost == Cost::Heavy;
        if heavy && x.operand.stage == Stage::Share {
            self.heavy_hashes += 1;
            if self.heavy_hashes > MAX_HEAVY {
                return self.fail(at, format!("more than {MAX_HEAVY} heavy hashes for one share"));
            }
        }
        let operation = Operation::Hash { with, output: function.output, of: x.operand, heavy };
        self.emit_over(at, &[x], Type::fixed_bytes(function.output), operation)
    }

    /// A value as a register: a name looked up, a literal stored.
    fn register(&mut self, value: &Value, at: Place) -> Option<Typed> {
        match value {
            Value::Word(name) => self.lookup(name, at),
            Value::Int(number) => Some(self.literal_number(*number, at)),
            Value::Bytes(bytes) => Some(self.literal_bytes(bytes, at)),
            Value::Range(..) => self.fail(at, "a range stands only after `slice` and a value".into()),
            Value::Register(typed) => Some(*typed),
            Value::Bad => None,
        }
    }

    fn bytes(&mut self, argument: &Argument) -> Option<Typed> {
        let typed = self.register(&argument.0, argument.1)?;
        if typed.ty == Type::Number {
            return self
                .fail(argument.1, "this is a number, which has no width; write `le 4 …` or `be 4 …`".into());
        }
        Some(typed)
    }

    fn number(&mut self, argument: &Argument) -> Option<Typed> {
        let typed = self.register(&argument.0, argument.1)?;
        if typed.ty != Type::Number {
            return self
                .fail(argument.1, "this is bytes; write `int-be …` or `int-le …` to read a number".into());
        }
        Some(typed)
    }

    /// Reads bytes as a number, or takes one as it is.
    pub(crate) fn as_number(&mut self, typed: Typed, big_endian: bool, at: Place) -> Option<Typed> {
        if typed.ty == Type::Number {
            return Some(typed);
        }
        if typed.ty.high() > 8 {
            return self
                .fail(at, format!("up to {} bytes are too many for a number; at most 8", typed.ty.high()));
        }
        let operation =
            if big_endian { Operation::FromBe(typed.operand) } else { Operation::FromLe(typed.operand) };
        self.emit_over(at, &[typed], Type::Number, operation)
    }

    fn plain_number(&mut self, argument: &Argument, what: &str, low: u32, high: u32) -> Option<u32> {
        if let Value::Int(number) = argument.0
            && let Ok(number) = u32::try_from(number)
            && (low..=high).contains(&number)
        {
            return Some(number);
        }
        self.fail(argument.1, format!("{what} is a plain number from {low} to {high}"))
    }

    fn same_width(&mut self, at: Place, all: &[Typed]) -> Option<()> {
        let mut widths = all.iter().map(|typed| typed.ty.fixed());
        let first = widths.next().flatten();
        if first.is_none() || widths.any(|width| width != first) {
            return self.fail(at, "the values must have the same fixed width".into());
        }
        Some(())
    }

    fn emit_over(&mut self, at: Place, inputs: &[Typed], ty: Type, operation: Operation) -> Option<Typed> {
        let stage = inputs.iter().map(|typed| typed.operand.stage).max().unwrap_or(Stage::Document);
        let depends = inputs.iter().fold(0, |all, typed| all | typed.depends);
        let ty = match (&operation, ty) {
            // What is computed from a list is bytes.
            (_, Type::List { .. }) => Type::Bytes { low: ty.low(), high: ty.high() },
            _ => ty,
        };
        let operand: Operand = self.emit(stage, ty, operation, at)?;
        Some(Typed { operand, ty, depends })
    }
}

fn usage(name: &str) -> &'static str {
    match name {
        "cat" => "cat A B …",
        "rev" => "rev X",
        "revwords" => "revwords WIDTH X",
        "swapwords" => "swapwords WIDTH X",
        "blend" => "blend BASE BITS MASK",
        "xor" => "xor A B",
        "slice" => "slice X FROM..TO",
        "lpad" => "lpad WIDTH X",
        "rpad" => "rpad WIDTH X",
        "strip" => "strip PREFIX X",
        "zeros" => "zeros COUNT",
        "len" => "len X",
        "int-le" => "int-le X",
        "int-be" => "int-be X",
        "add" => "add A B",
        "sub" => "sub A B",
        "mul" => "mul A B",
        "le" => "le WIDTH NUMBER",
        "be" => "be WIDTH NUMBER",
        "varint" => "varint NUMBER",
        "fold" => "fold HASH START LIST",
        "foldlr" => "foldlr HASH START LIST",
        _ => "part of `judge`",
    }
}
