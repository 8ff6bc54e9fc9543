//! Documents that do not compile say where and why, all at once; and no text makes the compiler panic.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::family;
use millpond_algorithms::Algorithms;
use millpond_dialect::{Dialect, MAX_DOCUMENT_BYTES};
use millpond_recipe::{Recipe, Stage};
use proptest::prelude::*;

const GOOD: &str = r#"dialect 1 "good"
on login
  login user /params/0
  reply true
on submit
  submit
  job /params/0
  field nonce /params/1 hex len 4
  reply true
push job {"job": "{job}"}
"#;

fn errors(text: &str) -> Vec<String> {
    match Dialect::compile("x.dialect", text) {
        Ok(_) => Vec::new(),
        Err(errors) => errors.to_string().lines().map(str::to_owned).collect(),
    }
}

/// The document with lines added: the messages without the file's name.
fn with(lines: &str) -> Vec<String> {
    errors(&format!("{GOOD}{lines}\n"))
        .into_iter()
        .map(|error| error.strip_prefix("x.dialect:").unwrap().to_owned())
        .collect()
}

#[test]
fn a_good_document_compiles_with_any_line_ends_and_comments() {
    assert_eq!(errors(GOOD), [""; 0]);
    assert_eq!(errors(&GOOD.replace('\n', "\r\n")), [""; 0]);
    assert_eq!(errors(&GOOD.replace('\n', "   # a remark\n\n# more\n")), [""; 0]);
}

#[test]
fn all_errors_come_at_once_with_their_lines() {
    let text = r#"dialect 1 "bad"
on mining.subscribe
  helo agent /params/0
  reply ["{xn.prefix:hexx}", {xn.rest}]
on mining.authorize
  login user params/0
  reply tru
on mining.submit
  submit
  job /params/0
  field nonce /params/1 hex len 4 pad-left pad-right
  reply true
  then target job
push job needs authorised {"a": [1, 2}
code stale x "Stale"
difficulty halves
frobnicate
"#;
    assert_eq!(
        errors(text),
        [
            "x.dialect:3:3: `helo` is not a clause of `on`; known are hello, login, submit, worker, job, job-by, \
             field, options, option, grants, denies, negotiate, extranonce-updates, suggest, get-job, with, ignore, \
             silent, reply, refuse, then",
            "x.dialect:4:11: `:hexx` is not a format; known are each32, rev, words, swap4, hex, hex0x, quantity, \
             num-le, num-be, u64le, u64be, utf8, diff",
            "x.dialect:6:14: the user has to be a JSON pointer such as /params/0, not `params/0`",
            "x.dialect:7:9: the reply is not JSON: not a JSON value",
            "x.dialect:11:9: nonce: zeros go either to the left or to the right",
            "x.dialect:13:8: `then target`, but the document has no `push target`",
            "x.dialect:14:27: the push's line is not closed before its statement ends",
            "x.dialect:15:12: the code has to be a whole number, not `x`",
            "x.dialect:16:1: difficulty is exact, integers or powers-of-two, not `halves`",
            "x.dialect:17:1: `frobnicate` is not a statement; known are dialect, match, diff1, difficulty, \
             keepalive, extranonce, strip, envelope, failure, code, push, on",
        ]
    );
}

#[test]
fn each_rule_of_the_language_has_its_message() {
    for (lines, message) in [
        ("dialect 1 \"again\"", "11:1: `dialect` stands twice in this document"),
        ("dialect 2 \"next\"", "11:1: version 2 of the dialect language is not known, only 1"),
        ("push job {}", "11:1: this push is written already; several lines stand in one statement"),
        ("push target {\"a\": {target:diff}}", "11:19: `:diff` needs a `diff1` statement before this one"),
        (
            "push target {\"a\": {target[4..2]:hex}}",
            "11:19: `target[4..2]:hex`: a slice is written name[4..36]",
        ),
        (
            "push target {\"a\": \"{target:u64le}\"}",
            "11:20: `target:u64le` is an array and cannot stand inside a string",
        ),
        (
            "push target {\"a\": \"{target:hex:rev}\"}",
            "11:20: `target:hex:rev`: nothing can follow the format before `:rev`",
        ),
        ("push target {\"a\": 1", "11:13: the push's line is not closed before its statement ends"),
        ("push target {\"a\": \"b", "11:21: a string ends with its line"),
        ("push target then", "11:13: the push's line is not JSON: not a JSON value"),
        ("push target {} then target", "11:1: a push cannot be followed by itself"),
        (
            "push gong {}",
            "11:6: `gong` is not a push; known are job, target, extranonce, mask, reconnect, message, version, ping",
        ),
        ("push target {} extra", "11:16: `extra` does not belong into this statement"),
        (
            "on login\n  login user /params/1\n  reply true",
            "11:1: an earlier `on login` without `when` takes every message; put it last",
        ),
        ("on x\n  reply true\n  reply false", "13:3: a message has one answer: this is the second here"),
        (
            "on x\n  hello\n  get-job\n  reply true",
            "13:3: a message means one thing: this is the second verb here",
        ),
        ("on x\n  hello", "11:1: the answer is missing: reply, refuse or silent"),
        ("on x\n  field a /b hex\n  reply 1", "11:1: worker, job, job-by and field belong to `submit`"),
        (
            "on x\n  submit\n  field a /b hex\n  reply 1",
            "11:1: `submit` needs `job /a/pointer` or `job-by register …`",
        ),
        ("on x\n  submit\n  job /b\n  reply 1", "11:1: `submit` needs at least one `field`"),
        (
            "on x\n  submit\n  job /b\n  field a /c num\n  reply 1",
            "14:9: a: a number needs `len` of 1 to 16 bytes",
        ),
        (
            "on x\n  submit\n  job /b\n  field xn /c hex len 8\n  reply 1",
            "14:9: xn: the extranonce is hex, and its length follows from the session",
        ),
        ("on x\n  submit\n  job /b\n  field a /c hex default 0\n  reply 1", "14:9: `0` is not hex"),
        (
            "on x\n  submit\n  job /b\n  field a /c hex len 2 default 00\n  reply 1",
            "14:9: a: the default has another length",
        ),
        (
            "on x\n  submit\n  job /b\n  field a /c hex or-suffix\n  reply 1",
            "14:9: or-suffix belongs to the field xn",
        ),
        (
            "on x\n  options /a\n  option b negotiate m /c hex\n    denies {\"b\": 1}",
            "11:1: the option `b` has no `grants {…}`",
        ),
        (
            "on x\n  options /a\n  option b\n    grants [1]",
            "14:5: an object `{\"name\":value}` has to stand here",
        ),
        (
            "on x when sometimes\n  reply 1",
            "11:11: `sometimes` is neither subscribed, authorized, extranonce-updates nor a field that this document negotiates",
        ),
        ("envelope ok {\"id\": {id}}", "11:1: the envelope has no place for {result}"),
        ("envelope ok [{id}, {result}, {job}]", "11:30: only {id} and {result} can stand here, not {job}"),
        (
            "envelope ok {\"id\": \"{id}\", \"r\": {result}}",
            "11:21: {id} is JSON already and stands outside of quotes",
        ),
        ("failure {\"t\": {text:hex}}", "11:15: only {code} and {text} can stand here, not {text:hex}"),
        ("push target {\"id\": {id}}", "11:20: {id} has no value here"),
        ("on x\n  reply \"{option}\"", "12:10: {option} has no value here"),
        ("diff1 00ff", "11:1: diff1 is a target of 64 hex digits, most significant first"),
        ("keepalive 0", "11:1: keepalive is 1 to 3600 seconds"),
        ("extranonce rest 9..4", "11:1: the miner's part is written `extranonce rest 4..8`, in bytes"),
        ("code stale 21 \"a\"\ncode stale 22 \"b\"", "12:1: this failure has its code already"),
        ("  reply 1", "11:3: `reply` does not belong into this statement"),
    ] {
        assert_eq!(with(lines), [message], "{lines}");
    }
    assert_eq!(errors(""), errors("# nothing\n"));
    assert_eq!(errors("")[0], "x.dialect:1:1: a dialect begins with `dialect 1 \"name\"`");
    assert_eq!(errors(&format!("  indented\n{GOOD}")).len(), 1);
}

#[test]
fn a_document_is_bounded() {
    let long = format!("{GOOD}# {}", "x".repeat(MAX_DOCUMENT_BYTES));
    assert!(errors(&long)[0].starts_with("x.dialect:1:1: a dialect has at most 65536 bytes"));
    let many = "wrong\n".repeat(5000);
    assert_eq!(errors(&many).len(), 100);
}

/// The bundled documents ask only for what the bundled recipes have.
#[test]
fn documents_and_recipes_agree_on_names() {
    for (dialect, recipe) in [
        ("bitcoin/v1.dialect", "bitcoin/bitcoin.recipe"),
        ("bitcoin/v1.dialect", "bitcoin-solo/bitcoin-solo.recipe"),
        ("bitcoin/v1.dialect", "litecoin/litecoin.recipe"),
        ("kaspa/default.dialect", "kaspa/kaspa.recipe"),
        ("kaspa/iceriver.dialect", "kaspa/kaspa.recipe"),
        ("kaspa/bitmain.dialect", "kaspa/kaspa.recipe"),
        ("ckb/a.dialect", "ckb/ckb.recipe"),
        ("ckb/b.dialect", "ckb/ckb.recipe"),
        ("ckb/c.dialect", "ckb/ckb.recipe"),
        ("ckb/d.dialect", "ckb/ckb.recipe"),
        ("ckb/a.dialect", "ckb-own-lock/ckb-own-lock.recipe"),
        ("decred/v1.dialect", "decred/decred.recipe"),
    ] {
        let dialect = family(dialect);
        let path = format!("{}/../../examples/families/{recipe}", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(path).unwrap();
        let compiled = Recipe::compile(recipe, &text, &Algorithms::native()).unwrap();
        let register = |name: &str| compiled.register(name).is_some_and(|info| info.stage != Stage::Share);
        let field = |name: &str| compiled.share_fields().iter().any(|field| &*field.name == name);
        let session = |name: &str| compiled.session_fields().iter().any(|field| &*field.name == name);
        if let Err(errors) = dialect.check_against(&register, &field, &session) {
            panic!("{recipe}\n{errors}");
        }
        let missing: Vec<_> = compiled
            .share_fields()
            .iter()
            .filter(|field| field.default.is_none() && !dialect.share_fields().contains(&&*field.name))
            .map(|field| &field.name)
            .collect();
        assert!(missing.is_empty(), "{recipe}: no line of {} carries {missing:?}", dialect.name());
    }
}

#[test]
fn a_name_that_the_recipe_lacks_is_shown_in_its_place() {
    let dialect = Dialect::compile("x.dialect", GOOD).unwrap();
    let none = |_: &str| false;
    let errors = dialect.check_against(&none, &none, &none).unwrap_err();
    assert_eq!(errors.to_string(), "x.dialect:8:9: the recipe has no share field `nonce`");
    let text = format!("{GOOD}push target {{\"t\": \"{{difficulty}} {{magic:hex}}\"}}\n");
    let errors =
        Dialect::compile("x.dialect", &text).unwrap().check_against(&none, &|_| true, &none).unwrap_err();
    assert_eq!(
        errors.to_string(),
        "x.dialect:11:33: the recipe has no job- or session-stage register `magic`"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn no_text_makes_the_compiler_panic(text in r#"(dialect 1 "a"\n)?([ a-z0-9/{}"\[\]:,#|*?.\\-]{0,12}[ \n]{0,2}){0,40}"#) {
        let _ = Dialect::compile("fuzz", &text);
    }

    #[test]
    fn no_mutation_of_a_real_document_makes_it_panic(
        at in 0_usize..4000, length in 0_usize..200, put in r#"[\s{}"\[\]a-zé:0-9/]{0,6}"#
    ) {
        let mut text = include_str!("../../../examples/families/bitcoin/v1.dialect").to_owned();
        let floor = |at: usize, text: &str| (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap();
        let from = floor(at, &text);
        let to = floor(from + length, &text).max(from);
        text.replace_range(from..to, &put);
        if let Err(errors) = Dialect::compile("fuzz", &text) {
            prop_assert!(errors.0.iter().all(|error| error.line >= 1 && !error.message.is_empty()));
        }
    }
}
