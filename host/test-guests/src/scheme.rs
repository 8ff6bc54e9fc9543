//! A payout scheme that splits each round evenly among its miners, everything that a hostile one does instead, and one
//! that takes turns.
//!
//! `allocate` gets one pointer to its arguments (more than 16 flat values): the income's gross at 16, the list of
//! windows at 64, the state at 72. A window begins with its list of miners. The result is
//! `result<allocation, string>`: a tag, then at 8 the lists of miners and amounts, the rest, and the state.

use crate::module::{Data, guest};

/// Where the result is put together; its payload begins 8 bytes behind.
const RESULT: u32 = 1024;
/// Where the amounts are: room for 256 miners.
const AMOUNTS: u32 = 2048;
/// Where names of its own choice are: behind its data, before its heap.
const NAMES: u32 = 65_536;

/// The even split. `BEFORE` runs first, `AFTER` when the result stands: `$window` points to the round's miners, `$n` is
/// their number, `$each` what everybody gets, `$miners` where their names are.
const EVEN: &str = "
    (local $window i32) (local $miners i32) (local $n i32) (local $i i32) (local $each i64) (local $kept i64)
    BEFORE
    (local.set $window (i32.load offset=64 (local.get 0)))
    (local.set $miners (i32.load (local.get $window)))
    (local.set $n (i32.load offset=4 (local.get $window)))
    (if (local.get $n) (then
        (local.set $each (i64.div_u (i64.load offset=16 (local.get 0)) (i64.extend_i32_u (local.get $n))))
        (loop $next
            (i64.store offset=AMOUNTS (i32.mul (local.get $i) (i32.const 8)) (local.get $each))
            (local.set $i (i32.add (local.get $i) (i32.const 1)))
            (br_if $next (i32.lt_u (local.get $i) (local.get $n))))))
    (i32.store offset=8 (i32.const RESULT) (local.get $miners))
    (i32.store offset=12 (i32.const RESULT) (local.get $n))
    (i32.store offset=16 (i32.const RESULT) (i32.const AMOUNTS))
    (i32.store offset=20 (i32.const RESULT) (local.get $n))
    (i64.store offset=24 (i32.const RESULT) (i64.sub (i64.load offset=16 (local.get 0))
        (i64.mul (local.get $each) (i64.extend_i32_u (local.get $n)))))
    AFTER
    i32.const RESULT";

/// Takes turns: an income is split evenly among those of its round whom the income before did not pay; when it paid them
/// all, among all. Whom an income paid has a cell of 1 behind it, the others of its round 0. The cells of the round are
/// at 3072, the names of those that are paid behind the plugin's data.
const TURNS: &str = "
    (local $window i32) (local $miners i32) (local $n i32) (local $i i32) (local $j i32) (local $k i32)
    (local $had i64) (local $each i64)
    BEFORE
    (local.set $window (i32.load offset=64 (local.get 0)))
    (local.set $miners (i32.load (local.get $window)))
    (local.set $n (i32.load offset=4 (local.get $window)))
    (block $marked (loop $next
        (br_if $marked (i32.ge_u (local.get $i) (local.get $n)))
        (local.set $had (i64.const 0))
        (local.set $j (i32.const 0))
        (block $looked (loop $look
            (br_if $looked (i32.ge_u (local.get $j) (i32.load offset=84 (local.get 0))))
            (if (i64.eq
                    (i64.load (i32.add (i32.load offset=80 (local.get 0)) (i32.mul (local.get $j) (i32.const 8))))
                    (i64.load (i32.add (local.get $miners) (i32.mul (local.get $i) (i32.const 8)))))
                (then (local.set $had
                    (i64.load (i32.add (i32.load offset=88 (local.get 0)) (i32.mul (local.get $j) (i32.const 8)))))))
            (local.set $j (i32.add (local.get $j) (i32.const 1)))
            (br $look)))
        (i64.store offset=3072 (i32.mul (local.get $i) (i32.const 8)) (local.get $had))
        (if (i64.eqz (local.get $had)) (then (local.set $k (i32.add (local.get $k) (i32.const 1)))))
        (local.set $i (i32.add (local.get $i) (i32.const 1)))
        (br $next)))
    (if (i32.eqz (local.get $k)) (then
        (memory.fill (i32.const 3072) (i32.const 0) (i32.mul (local.get $n) (i32.const 8)))
        (local.set $k (local.get $n))))
    (if (local.get $k) (then
        (local.set $each (i64.div_u (i64.load offset=16 (local.get 0)) (i64.extend_i32_u (local.get $k))))))
    (local.set $i (i32.const 0))
    (local.set $j (i32.const 0))
    (block $paid (loop $next
        (br_if $paid (i32.ge_u (local.get $i) (local.get $n)))
        (local.set $had (i64.load offset=3072 (i32.mul (local.get $i) (i32.const 8))))
        (if (i64.eqz (local.get $had)) (then
            (i64.store offset=NAMES (i32.mul (local.get $j) (i32.const 8))
                (i64.load (i32.add (local.get $miners) (i32.mul (local.get $i) (i32.const 8)))))
            (i64.store offset=AMOUNTS (i32.mul (local.get $j) (i32.const 8)) (local.get $each))
            (local.set $j (i32.add (local.get $j) (i32.const 1)))))
        (i64.store offset=3072 (i32.mul (local.get $i) (i32.const 8)) (i64.extend_i32_u (i64.eqz (local.get $had))))
        (local.set $i (i32.add (local.get $i) (i32.const 1)))
        (br $next)))
    (i32.store offset=8 (i32.const RESULT) (i32.const NAMES))
    (i32.store offset=12 (i32.const RESULT) (local.get $k))
    (i32.store offset=16 (i32.const RESULT) (i32.const AMOUNTS))
    (i32.store offset=20 (i32.const RESULT) (local.get $k))
    (i64.store offset=24 (i32.const RESULT) (i64.sub (i64.load offset=16 (local.get 0))
        (i64.mul (local.get $each) (i64.extend_i32_u (local.get $k)))))
    (i32.store offset=40 (i32.const RESULT) (local.get $miners))
    (i32.store offset=44 (i32.const RESULT) (local.get $n))
    (i32.store offset=48 (i32.const RESULT) (i32.const 3072))
    (i32.store offset=52 (i32.const RESULT) (local.get $n))
    AFTER
    i32.const RESULT";

/// A payout scheme in the making: honest until something is changed.
#[derive(Clone, Debug, Default)]
pub struct Scheme {
    turns: bool,
    before: &'static str,
    after: String,
    cells: u8,
    format: &'static str,
}

impl Scheme {
    /// Splits evenly, keeps nothing, claims nothing.
    #[must_use]
    pub fn even() -> Self {
        Self::default()
    }

    /// Takes turns, by the cells that it keeps, and has them put back when an income is lost: who was paid by the income
    /// before waits, unless all of the round were.
    #[must_use]
    pub fn turns() -> Self {
        Self { turns: true, cells: 1, format: "turns-1", ..Self::default() }
    }

    /// Runs these instructions before anything else.
    #[must_use]
    pub fn before(self, wat: &'static str) -> Self {
        Self { before: wat, ..self }
    }

    /// Runs these instructions when the honest result stands.
    #[must_use]
    pub fn after(self, wat: &str) -> Self {
        Self { after: format!("{}{wat}", self.after), ..self }
    }

    /// Owes every miner of an income `owed` in the one cell that it keeps for each, in state of this format.
    #[must_use]
    pub fn owing(self, owed: u64, format: &'static str) -> Self {
        let cells = format!(
            "(if (local.get $n) (then
                (local.set $i (i32.const 0))
                (loop $next
                    (i64.store offset=3072 (i32.mul (local.get $i) (i32.const 8)) (i64.const {owed}))
                    (local.set $i (i32.add (local.get $i) (i32.const 1)))
                    (br_if $next (i32.lt_u (local.get $i) (local.get $n))))
                (i32.store offset=40 (i32.const RESULT) (local.get $miners))
                (i32.store offset=44 (i32.const RESULT) (local.get $n))
                (i32.store offset=48 (i32.const RESULT) (i32.const 3072))
                (i32.store offset=52 (i32.const RESULT) (local.get $n))))"
        );
        Self { cells: 1, format, ..self }.after(&cells)
    }

    /// Sets every cell that it is handed to zero, whatever is divided.
    #[must_use]
    pub fn forgetting(self) -> Self {
        // State: miners at 80, cells at 88 of the arguments. Nothing at 3072 was ever written: zeros.
        self.after(
            "(i32.store offset=40 (i32.const RESULT) (i32.load offset=80 (local.get 0)))
             (i32.store offset=44 (i32.const RESULT) (i32.load offset=84 (local.get 0)))
             (i32.store offset=48 (i32.const RESULT) (i32.const 3584))
             (i32.store offset=52 (i32.const RESULT) (i32.load offset=92 (local.get 0)))",
        )
    }

    /// The component.
    #[must_use]
    pub fn wasm(&self) -> Vec<u8> {
        let mut data = Data::default();
        let format = data.bytes(self.format.as_bytes());
        // span round, measure work, edge whole.
        let window = data.bytes(&[0; 24]);
        let cells = u32::from(self.cells);
        // Drop, or restore where later incomes stand on the cells of earlier ones.
        let reversal = u32::from(self.turns);
        // ok, windows, cells, batch, reversal and no reserve, claims, state-format.
        let terms = data.words(&[0, window[0], 1, cells, 0, reversal, 0, 0, format[0], format[1]]);
        let schema = data.bytes(br#"{"type":"object","properties":{}}"#);
        let schema = data.words(&schema);
        let numbers = |text: &str| {
            let text = text.replace("AMOUNTS", &AMOUNTS.to_string()).replace("NAMES", &NAMES.to_string());
            text.replace("RESULT", &RESULT.to_string())
        };
        let body = if self.turns { TURNS } else { EVEN };
        let allocate = numbers(&body.replace("BEFORE", self.before).replace("AFTER", &self.after));
        let (describe, schema) = (format!("i32.const {terms}"), format!("i32.const {schema}"));
        let bodies = [
            ("millpond:payout/scheme@0.1.0#schema", schema.as_str()),
            ("millpond:payout/scheme@0.1.0#describe", describe.as_str()),
            ("millpond:payout/scheme@0.1.0#allocate", allocate.as_str()),
        ];
        guest("payout-0.1", "payout-scheme", &bodies, &data.0)
    }
}

/// A scheme that does harm, and how an operator is told.
#[derive(Clone, Debug)]
pub struct Hostile {
    /// What it does.
    pub name: &'static str,
    /// The component.
    pub wasm: Vec<u8>,
    /// A part of the text that says why.
    pub told: &'static str,
}

/// Every scheme that loads and does harm when it divides an income among two miners or more.
#[must_use]
pub fn hostile() -> Vec<Hostile> {
    let of = |name, scheme: Scheme, told| Hostile { name, wasm: scheme.wasm(), told };
    let even = Scheme::even;
    vec![
        of(
            "endless loop",
            even().before("(loop $for_ever (br $for_ever))"),
            "scheme.allocate: out of fuel: it used all ",
        ),
        of(
            "memory bomb",
            even().before("(loop $more (drop (memory.grow (i32.const 64))) (br $more))"),
            "scheme.allocate: out of memory: it wanted ",
        ),
        of(
            "deep recursion",
            even().before("(drop (i32.add (i32.const 1) AGAIN))"),
            "scheme.allocate: stack overflow: more than 512 KiB of stack: recursion without end?",
        ),
        of(
            "trap in the middle",
            even().after("(if (local.get $n) (then unreachable))"),
            "scheme.allocate: trap: wasm trap: wasm `unreachable` instruction executed",
        ),
        of(
            "oversized result",
            even().after(
                "(i32.store offset=12 (i32.const RESULT) (i32.const 200000))
                 (i32.store offset=20 (i32.const RESULT) (i32.const 200000))",
            ),
            "scheme.allocate: too many bytes handed to the host: one result or argument exceeds 1048",
        ),
        of(
            "result outside its own memory",
            even().after("(i32.store offset=8 (i32.const RESULT) (i32.const 0x7ffffff8))"),
            "scheme.allocate: trap: ",
        ),
        of(
            "money minted",
            even().after("(i64.store (i32.const AMOUNTS) (i64.add (local.get $each) (i64.const 1)))"),
            "broke the rule \"amounts and rest sum to the income\" in allocate: amounts and rest are ",
        ),
        of(
            "unknown miner",
            even().after(
                "(i64.store (i32.add (local.get $miners) (i32.mul (i32.const 8)
                    (i32.sub (local.get $n) (i32.const 1)))) (i64.const 1000000))",
            ),
            "broke the rule \"only miners that were handed in\" in allocate: miner 1000000 of ",
        ),
        of(
            "duplicate miner",
            even().after("(i64.store offset=8 (local.get $miners) (i64.load (local.get $miners)))"),
            "broke the rule \"miners are strictly ascending\" in allocate: miner ",
        ),
        of(
            "wrong order",
            even().after(
                "(local.set $kept (i64.load (local.get $miners)))
                 (i64.store (local.get $miners) (i64.load offset=8 (local.get $miners)))
                 (i64.store offset=8 (local.get $miners) (local.get $kept))",
            ),
            "broke the rule \"miners are strictly ascending\" in allocate: miner ",
        ),
        of(
            "favourite miner",
            even().after(
                "(i64.store (i32.const AMOUNTS) (i64.add (local.get $each) (i64.const 1000)))
                 (i64.store offset=8 (i32.const AMOUNTS) (i64.sub (local.get $each) (i64.const 1000)))",
            ),
            "broke the rule \"renaming the miners changes nothing\" in allocate: a miner gets ",
        ),
        of(
            "flood of words",
            // No log can be imported in this class: what is left is the text of its own error, full of escapes.
            even().after(
                "(memory.fill (i32.const 65536) (i32.const 27) (i32.const 100000))
                 (i32.store8 (i32.const RESULT) (i32.const 1))
                 (i32.store offset=8 (i32.const RESULT) (i32.const 65536))
                 (i32.store offset=12 (i32.const RESULT) (i32.const 100000))",
            ),
            "scheme.allocate: the plugin says: \\u{1b}",
        ),
    ]
}

/// Schemes that are refused before anything of them runs.
#[must_use]
pub fn unloadable() -> Vec<Hostile> {
    // The exports of a scheme, whatever their types, around a core module and imports.
    let around = |imports: &str, module: String| {
        format!(
            r#"(component {imports}
                (core module $m (func (export "f") (result i32) i32.const 0) {module})
                (core instance $i (instantiate $m))
                (func $f (result u32) (canon lift (core func $i "f")))
                (instance $e (export "schema" (func $f)) (export "describe" (func $f))
                    (export "allocate" (func $f)))
                (export "millpond:payout/scheme@0.1.0" (instance $e)))"#
        )
    };
    let bomb = around("", "(func)".repeat(20_000));
    let log = r#"(import "millpond:chain/host@0.1.0"
        (instance (export "log" (func (param "level" u8) (param "text" string)))))"#;
    let flood = around(log, String::new());
    let floats =
        around("", r#"(func $rate (export "g") (result i32) (i32.trunc_f64_s (f64.const 1.5)))"#.to_owned());
    let of = |name, text: &str, told| Hostile { name, wasm: wat::parse_str(text).unwrap(), told };
    vec![
        of("compile bomb", &bomb, "too many functions: 20001, the strict class allows 20000"),
        of("log flood", &flood, "unknown import: millpond:chain/host@0.1.0; "),
        of("floats", &floats, "floats in the strict class: function \"rate\" of core module 0: "),
    ]
}
