//! An adapter with proof-of-work algorithms of its own, and one whose hash is worth measuring: SHA-256 as WebAssembly.
//!
//! [`SPUN`] stands for algorithms whose key takes long to prepare: a table of [`ROWS`] hashes, each of the one before it,
//! begins with the key's; a hash of an input is hashed [`TURNS`] times more, each time with the row of the table that it
//! names. [`spun`] is the same by a SHA-256 of the caller's own.

use crate::adapter::{Documents, described};
use crate::module::{Data, Guest};
use std::fmt::Write;

/// The algorithm that [`spun_adapter`] exports.
pub const SPUN: &str = "spun-sha256";
/// Rows of its table.
pub const ROWS: u32 = 4096;
/// Hashes of each input after its first.
pub const TURNS: u32 = 64;

const PREPARE: &str = "millpond:chain/pow@0.1.0#prepare";
const RUN: &str = "millpond:chain/pow@0.1.0#run";
const AFTER_RUN: &str = "cabi_post_millpond:chain/pow@0.1.0#run";

/// Where results are put; below it is the heap, which is empty again after each call.
const RESULTS: u32 = 2 << 20;
/// Where tables begin: one for each of four keys, which their first bytes tell apart.
const TABLES: u32 = 3 << 20;

/// An adapter of network "test" that exports an algorithm. `prepare` and `run` are WAT instructions that leave 0 where all
/// went well, or the address of an error: two words, a text. Of their parameters, local 2 is the key; of `run`, local 4 is
/// the inputs' width, local 5 where they are and local 6 their length; local 7 is free. `run` puts its hashes at
/// `RESULTS`. Memory below [`crate::DATA`] is free, and zero when an instance begins.
#[must_use]
pub fn adapter_with_pow(algorithm: &str, prepare: &str, run: &str) -> Vec<u8> {
    exporting(algorithm, prepare, run, "")
}

/// An adapter that exports [`SPUN`].
#[must_use]
pub fn spun_adapter() -> Vec<u8> {
    spun_and("")
}

/// The same algorithm, slow: it also gives away, once, that it has been called before, so that it gets a new instance for
/// each batch from then on.
#[must_use]
pub fn forgetful_adapter() -> Vec<u8> {
    // The first instance serves 16 batches; the last of them is done again in the one that follows.
    spun_and(
        "(i32.store (i32.const 16) (i32.add (i32.load (i32.const 16)) (i32.const 1)))
         (if (i32.eq (i32.load (i32.const 16)) (i32.const 16))
           (then (i32.store (i32.const 2097152) (i32.const 0))))",
    )
}

fn spun_and(more: &str) -> Vec<u8> {
    let table = format!(
        "(local.set $table (i32.add (i32.const {TABLES})
           (i32.mul (i32.and (i32.load8_u (local.get 2)) (i32.const 3)) (i32.const {}))))",
        ROWS * 32
    );
    let prepare = format!(
        "(local $table i32) (local $n i32) {table}
         (call $sha256 (local.get 2) (local.get 3) (local.get $table))
         (loop $rows
           (call $sha256 (i32.add (local.get $table) (i32.mul (local.get $n) (i32.const 32))) (i32.const 32)
             (i32.add (local.get $table) (i32.mul (i32.add (local.get $n) (i32.const 1)) (i32.const 32))))
           (local.set $n (i32.add (local.get $n) (i32.const 1)))
           (br_if $rows (i32.lt_u (local.get $n) (i32.const {}))))
         (i32.const 0)",
        ROWS - 1
    );
    let run = format!(
        "(local $table i32) (local $n i32) (local $out i32) {table}
         (local.set $out (i32.const {RESULTS}))
         (loop $inputs
           (call $sha256 (i32.add (local.get 5) (local.get 7)) (local.get 4) (local.get $out))
           (local.set $n (i32.const {TURNS}))
           (loop $turns
             (memory.copy (i32.const 128) (local.get $out) (i32.const 32))
             (memory.copy (i32.const 160)
               (i32.add (local.get $table)
                 (i32.mul (i32.and (i32.load (local.get $out)) (i32.const {})) (i32.const 32)))
               (i32.const 32))
             (call $sha256 (i32.const 128) (i32.const 64) (local.get $out))
             (local.set $n (i32.sub (local.get $n) (i32.const 1)))
             (br_if $turns (local.get $n)))
           (local.set $out (i32.add (local.get $out) (i32.const 32)))
           (local.set 7 (i32.add (local.get 7) (local.get 4)))
           (br_if $inputs (i32.lt_u (local.get 7) (local.get 6))))
         {more}
         (i32.const 0)",
        ROWS - 1
    );
    exporting(SPUN, &prepare, &run, &sha256())
}

fn exporting(algorithm: &str, prepare: &str, run: &str, functions: &str) -> Vec<u8> {
    let mut data = Data::default();
    let name = data.bytes(b"algorithm");
    let algorithm = data.bytes(algorithm.as_bytes());
    let extra = data.words(&[name[0], name[1], algorithm[0], algorithm[1]]);
    let prepared = data.words(&[0, 0, 0]);
    let ran = data.words(&[0, 0, 0]);
    // What the instructions leave is the error; both results begin with one byte that tells which it is.
    let result = |at: u32, ok: &str| {
        format!(
            "(i32.store (i32.const {at}) (i32.ne (local.get $failed) (i32.const 0)))
             (if (local.get $failed)
               (then
                 (i32.store offset=4 (i32.const {at}) (i32.load (local.get $failed)))
                 (i32.store offset=8 (i32.const {at}) (i32.load offset=4 (local.get $failed))))
               (else {ok}))
             (i32.const {at})"
        )
    };
    let hashes = format!(
        "(i32.store offset=4 (i32.const {ran}) (i32.const {RESULTS}))
         (i32.store offset=8 (i32.const {ran})
           (i32.mul (i32.div_u (local.get 6) (local.get 4)) (i32.const 32)))"
    );
    let prepare_function = format!(
        "(func $prepare (param i32 i32 i32 i32) (result i32) {prepare})
         (func $prepared (param i32 i32 i32 i32) (result i32) (local $failed i32)
           (local.set $failed (call $prepare (local.get 0) (local.get 1) (local.get 2) (local.get 3)))
           {})",
        result(prepared, "")
    );
    let run_function = format!(
        "(func $run (param i32 i32 i32 i32 i32 i32 i32) (result i32) (local i32) {run})
         (func $ran (param i32 i32 i32 i32 i32 i32 i32) (result i32) (local $failed i32)
           (local.set $failed (call $run (local.get 0) (local.get 1) (local.get 2) (local.get 3) (local.get 4)
             (local.get 5) (local.get 6)))
           {})",
        result(ran, &hashes)
    );
    let documents = Documents { extra: (extra, 1), ..Documents::default() };
    let guest = Guest {
        functions: &format!("{functions}{prepare_function}{run_function}"),
        wit: Some(
            "package test:pow;
             world chain-adapter-with-pow {
               include millpond:chain/chain-adapter@0.1.0;
               export millpond:chain/pow@0.1.0;
             }",
        ),
        ..Guest::of("chain-0.1", "test:pow/chain-adapter-with-pow")
    };
    let bodies = [
        (PREPARE, "(call $prepared (local.get 0) (local.get 1) (local.get 2) (local.get 3))"),
        (
            RUN,
            "(call $ran (local.get 0) (local.get 1) (local.get 2) (local.get 3) (local.get 4) (local.get 5)
              (local.get 6))",
        ),
        (AFTER_RUN, "(global.set $heap (i32.const 1048576))"),
    ];
    described(&guest, ("EMPTY", "unreachable"), &bodies, documents, data)
}

/// What [`SPUN`] hashes an input to, by another's SHA-256.
///
/// # Panics
/// With a table of fewer rows.
#[must_use]
pub fn spun(sha256: impl Fn(&[u8]) -> [u8; 32], table: &[[u8; 32]], input: &[u8]) -> [u8; 32] {
    let mut hash = sha256(input);
    for _ in 0..TURNS {
        let row = u32::from_le_bytes([hash[0], hash[1], hash[2], hash[3]]) & (ROWS - 1);
        let mut both = [0; 64];
        both[..32].copy_from_slice(&hash);
        both[32..].copy_from_slice(table.get(row as usize).unwrap());
        hash = sha256(&both);
    }
    hash
}

/// The table of a key.
#[must_use]
pub fn spun_table(sha256: impl Fn(&[u8]) -> [u8; 32], key: &[u8]) -> Vec<[u8; 32]> {
    std::iter::successors(Some(sha256(key)), |row| Some(sha256(row))).take(ROWS as usize).collect()
}

/// The constants of FIPS 180-4, 4.2.2.
const ROUNDS: [u32; 64] = [
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
];
/// And of 5.3.3.
const BEGIN: [u32; 8] =
    [0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19];
/// Where the state is while it runs, and the padded message.
const STATE: u32 = 64;
const PADDED: u32 = 256;

/// `$sha256 (where, length, to)` for messages of up to some 3,000 bytes: FIPS 180-4, its rounds written out.
fn sha256() -> String {
    let begin: String = (0..)
        .zip(BEGIN)
        .map(|(n, word)| format!("(i32.store (i32.const {}) (i32.const {word}))", at(n)))
        .collect();
    let end: String = (0..8)
        .map(|n| {
            format!(
                "(i32.store offset={} (local.get 2) {})",
                4 * n,
                swapped(&format!("(i32.load (i32.const {}))", at(n)))
            )
        })
        .collect();
    format!(
        "{}
         (func $sha256 (param i32 i32 i32) (local $blocks i32) (local $bits i32) (local $at i32)
           {begin}
           (local.set $blocks (i32.shl (i32.shr_u (i32.add (local.get 1) (i32.const 72)) (i32.const 6)) (i32.const 6)))
           (local.set $bits (i32.shl (local.get 1) (i32.const 3)))
           (memory.copy (i32.const {PADDED}) (local.get 0) (local.get 1))
           (memory.fill (i32.add (i32.const {PADDED}) (local.get 1)) (i32.const 0)
             (i32.sub (local.get $blocks) (local.get 1)))
           (i32.store8 offset={PADDED} (local.get 1) (i32.const 128))
           (i32.store offset={} (local.get $blocks) {})
           (loop $next
             (call $compress (i32.add (i32.const {PADDED}) (local.get $at)))
             (local.set $at (i32.add (local.get $at) (i32.const 64)))
             (br_if $next (i32.lt_u (local.get $at) (local.get $blocks))))
           {end})",
        compress(),
        PADDED - 4,
        swapped("(local.get $bits)")
    )
}

fn at(word: u32) -> u32 {
    STATE + 4 * word
}

/// A word in the other byte order.
fn swapped(word: &str) -> String {
    format!(
        "(i32.or (i32.and (i32.rotl {word} (i32.const 8)) (i32.const 0x00ff00ff))
                 (i32.and (i32.rotr {word} (i32.const 8)) (i32.const 0xff00ff00)))"
    )
}

/// One block: the state's words take turns as a to h, so that nothing is moved.
fn compress() -> String {
    let mut text = String::from("(func $compress (param i32) (local $more i32)");
    let mut say = |line: &str| {
        let _ = writeln!(text, "{line}");
    };
    (0..16).for_each(|n| say(&format!("(local $w{n} i32)")));
    (0..8).for_each(|n| say(&format!("(local $s{n} i32)")));
    for n in 0..16 {
        say(&format!("(local.set $w{n} {})", swapped(&format!("(i32.load offset={} (local.get 0))", 4 * n))));
    }
    (0..8).for_each(|n| say(&format!("(local.set $s{n} (i32.load (i32.const {})))", at(n))));
    let turned = |word: &str, [a, b]: [u32; 2], last: &str| {
        format!(
            "(i32.xor (i32.xor (i32.rotr {word} (i32.const {a})) (i32.rotr {word} (i32.const {b}))) {last})"
        )
    };
    let big =
        |word: &str, [a, b, c]: [u32; 3]| turned(word, [a, b], &format!("(i32.rotr {word} (i32.const {c}))"));
    let small = |word: &str, [a, b, c]: [u32; 3]| {
        turned(word, [a, b], &format!("(i32.shr_u {word} (i32.const {c}))"))
    };
    for (round, constant) in ROUNDS.iter().enumerate() {
        let state = |n: usize| format!("$s{}", (n + 64 - round) % 8);
        let get = |n: usize| format!("(local.get {})", state(n));
        let word = |back: usize| format!("(local.get $w{})", (round + 16 - back) % 16);
        if round >= 16 {
            say(&format!(
                "(local.set $w{} (i32.add (i32.add {} {}) (i32.add {} {})))",
                round % 16,
                word(16),
                small(&word(15), [7, 18, 3]),
                word(7),
                small(&word(2), [17, 19, 10])
            ));
        }
        let (a, b, c, d) = (get(0), get(1), get(2), get(3));
        let (e, f, g, h) = (get(4), get(5), get(6), get(7));
        say(&format!(
            "(local.set $more (i32.add (i32.add (i32.add {h} {}) (i32.xor {g} (i32.and {e} (i32.xor {f} {g}))))
               (i32.add (i32.const {constant}) {})))",
            big(&e, [6, 11, 25]),
            word(0)
        ));
        say(&format!("(local.set {} (i32.add {d} (local.get $more)))", state(3)));
        say(&format!(
            "(local.set {} (i32.add (local.get $more) (i32.add {}
               (i32.or (i32.and {a} {b}) (i32.and {c} (i32.or {a} {b}))))))",
            state(7),
            big(&a, [2, 13, 22])
        ));
    }
    for n in 0..8 {
        say(&format!(
            "(i32.store (i32.const {0}) (i32.add (i32.load (i32.const {0})) (local.get $s{n})))",
            at(n)
        ));
    }
    text.push(')');
    text
}
