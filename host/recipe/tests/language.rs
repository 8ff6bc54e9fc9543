//! What documents mean, and what they are told when they are wrong.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use millpond_algorithms::{Algorithms, Verifier};
use millpond_recipe::{
    DocumentErrors, MAX_DOCUMENT_BYTES, MAX_FOLD, MAX_SHARE_HASHED, Recipe, RunError, Scratch, SessionStage,
    Stage, Width,
};
use millpond_types::Target;
use std::sync::Arc;

const NONE: &[&[u8]] = &[];

fn compile(body: &str) -> Result<Arc<Recipe>, DocumentErrors> {
    Recipe::compile("t.recipe", &format!("recipe 1 \"t\"\n{body}"), &Algorithms::native())
}

/// A document whose lines before the end are the test's, and whose end judges `x`.
fn ending(body: &str) -> Arc<Recipe> {
    compile(&format!("{body}\njudge be sha256 x | id sha256 x | out x")).unwrap_or_else(|e| panic!("{e}"))
}

fn session(recipe: &Arc<Recipe>, consts: &[&[u8]], values: &[&[u8]]) -> SessionStage {
    recipe.job(consts).unwrap().session(values).unwrap()
}

/// The `out` of a document with these lines.
fn out(body: &str, consts: &[&[u8]], share: &[&[u8]]) -> Result<String, RunError> {
    let session = session(&ending(body), consts, NONE);
    let mut scratch = Scratch::default();
    let judged = session.judge(share, &mut scratch)?;
    Ok(hex::encode(judged.outs().next().unwrap()))
}

fn errors(body: &str) -> Vec<String> {
    match compile(body) {
        Ok(_) => Vec::new(),
        Err(errors) => errors.0.iter().map(ToString::to_string).collect(),
    }
}

#[test]
fn operations_on_bytes() {
    let bytes: &[u8] = &[1, 2, 3, 4, 5, 6, 7, 8];
    for (expression, expected) in [
        ("rev n", "0807060504030201"),
        ("revwords 4 n", "0506070801020304"),
        ("swapwords 4 n", "0403020108070605"),
        ("swapwords 2 n", "0201040306050807"),
        ("slice n 2..5", "030405"),
        ("slice n 6..", "0708"),
        ("slice n ..2", "0102"),
        ("cat n 0xff \"AB\"", "0102030405060708ff4142"),
        ("cat (slice n ..1) (zeros 2) (slice n 7..8)", "01000008"),
        ("xor n 0xffffffffffffffff", "fefdfcfbfaf9f8f7"),
        ("blend 0xf0f0f0f0f0f0f0f0 n 0x0f0000000000000f", "f1f0f0f0f0f0f0f8"),
        ("lpad 10 n", "00000102030405060708"),
        ("rpad 10 n", "01020304050607080000"),
        ("strip 0x0102 n", "030405060708"),
        ("strip 0x0202 n", "0102030405060708"),
        ("(n)", "0102030405060708"),
    ] {
        let result = out(&format!("share n:8\nx = cat ({expression})"), NONE, &[bytes]).unwrap();
        assert_eq!(result, expected, "{expression}");
    }
}

#[test]
fn operations_on_numbers() {
    for (expression, expected) in [
        ("le 4 (len n)", "08000000"),
        ("be 2 (add (len n) 4)", "000c"),
        ("le 8 (int-le n)", "0102030405060708"),
        ("be 8 (int-le n)", "0807060504030201"),
        ("be 1 (sub (len n) 1)", "07"),
        ("le 3 (mul (len n) 100)", "200300"),
        ("varint 252", "fc"),
        ("varint 253", "fdfd00"),
        ("varint 65536", "fe00000100"),
        ("varint 4294967296", "ff0000000001000000"),
    ] {
        let result = out(&format!("share n:8\nx = cat ({expression}) n"), NONE, &[&[1, 2, 3, 4, 5, 6, 7, 8]]);
        assert_eq!(result.unwrap().strip_suffix("0102030405060708"), Some(expected), "{expression}");
    }
}

#[test]
fn what_a_number_cannot_hold_is_an_error_with_its_line() {
    for expression in ["be 1 (int-be n)", "le 8 (add (int-be n) (int-be n))", "le 8 (sub 1 (int-be n))"] {
        let body = format!("share n:8\nx = cat n ({expression})");
        let error = out(&body, NONE, &[&[0xff; 8]]).unwrap_err();
        assert!(matches!(error, RunError::Value { line: 3, .. }), "{expression}: {error}");
    }
}

#[test]
fn fields_have_widths_and_defaults() {
    let body = "share a:2 b:1..3 c:..4 d:4=0 e:2=0xbeef f:2*\nx = cat a b c d e f";
    let run = |values: &[&[u8]]| out(body, NONE, values);
    assert_eq!(run(&[&[1, 2], &[3], &[4], &[], &[], &[]]).unwrap(), "0102030000000400000000beef");
    assert_eq!(
        run(&[&[1, 2], &[3, 3, 3], &[4; 4], &[5; 4], &[6; 2], &[7; 4]]).unwrap(),
        "0102030303040404040505050506060707_0707".replace('_', "")
    );
    for (position, bad, field) in
        [(0, 1, "a"), (1, 0, "b"), (1, 4, "b"), (2, 5, "c"), (3, 3, "d"), (4, 1, "e"), (5, 3, "f")]
    {
        let mut values: Vec<Vec<u8>> = vec![vec![1; 2], vec![1], vec![1], vec![1; 4], vec![1; 2], vec![]];
        values[position] = vec![1; bad];
        let values: Vec<&[u8]> = values.iter().map(Vec::as_slice).collect();
        let error = run(&values).unwrap_err();
        assert!(
            matches!(&error, RunError::Width { field: name, given, .. } if **name == *field && *given == bad)
        );
        assert!(error.is_the_miners());
    }
    let fields = ending(body);
    let names: Vec<_> = fields.share_fields().iter().map(|field| (&*field.name, field.width)).collect();
    assert_eq!(names[2], ("c", Width::PaddedTo(4)));
    assert_eq!(names[5], ("f", Width::List(2)));
}

#[test]
fn each_register_has_the_stage_of_its_inputs() {
    let body =
        "const c:4\nsession s:4=7\nshare n:4\nd = sha256 0x00\nj = cat c 0x01\ne = cat j s\nx = cat e n";
    let recipe = ending(body);
    for (name, stage) in [
        ("d", Stage::Document),
        ("c", Stage::Job),
        ("j", Stage::Job),
        ("s", Stage::Session),
        ("e", Stage::Session),
        ("x", Stage::Share),
    ] {
        assert_eq!(recipe.register(name).unwrap().stage, stage, "{name}");
    }
    assert_eq!(recipe.register("e").unwrap().width, Width::Fixed(9));
    assert!(recipe.register("nothing").is_none());
    let job = recipe.job(&[[1, 2, 3, 4]]).unwrap();
    assert_eq!(job.register("j"), Some(&[1, 2, 3, 4, 1][..]));
    assert_eq!(job.register("e"), None, "not known before the session");
    let default = job.session(NONE).unwrap();
    assert_eq!(default.register("e"), Some(&[1, 2, 3, 4, 1, 0, 0, 0, 7][..]));
    let own = job.session(&[[9; 4]]).unwrap();
    assert_eq!(own.register("e"), Some(&[1, 2, 3, 4, 1, 9, 9, 9, 9][..]));
    assert_eq!(own.register("d"), default.register("d"));
    assert_eq!(own.register("x"), None);
    assert_eq!(own.fields(&[[5; 4]]), [[1, 2, 3, 4], [9; 4], [5; 4]]);
}

#[test]
fn a_fold_takes_a_list_of_any_length_up_to_its_limit() {
    let recipe = ending("const p:32*\nshare n:4\nx = fold sha256 (sha256 n) p");
    let one = |count: usize| {
        let session = session(&recipe, &[&[7; 32].repeat(count)], NONE);
        session.judge(&[[1; 4]], &mut Scratch::default()).map(|judged| judged.pow)
    };
    assert_ne!(one(0).unwrap(), one(1).unwrap());
    assert!(one(MAX_FOLD).is_ok());
    let too_long = one(MAX_FOLD + 1).unwrap_err();
    assert!(matches!(too_long, RunError::TooLong { given: 65, of_share: false, .. }));
    assert!(!too_long.is_the_miners(), "the job gave the list");
    assert!(recipe.job(&[&[7; 33]]).is_err(), "no whole number of items");
}

#[test]
fn a_list_of_a_miner_that_is_too_long_is_his_doing() {
    let recipe = ending("share n:4 p:32*\nx = fold sha256 (sha256 n) p");
    let session = session(&recipe, &[], NONE);
    let one = |count: usize| {
        let mut scratch = Scratch::default();
        session.judge(&[vec![1; 4], vec![7; 32 * count]], &mut scratch).map(|judged| judged.pow)
    };
    assert!(one(MAX_FOLD).is_ok());
    let too_long = one(MAX_FOLD + 1).unwrap_err();
    assert!(matches!(too_long, RunError::TooLong { given: 65, of_share: true, .. }), "{too_long}");
    assert!(too_long.is_the_miners());
}

#[test]
fn what_a_share_usually_takes_is_soon_less_and_late_more() {
    use std::time::Duration;
    let recipe = ending("share n:4\nx = sha256 n");
    // The first of a fresh process pay for what later ones find there: the least of eight is believed.
    recipe.took(Duration::from_secs(2));
    for _ in 0..7 {
        assert_eq!(recipe.usually_takes(), None);
        recipe.took(Duration::from_micros(800));
    }
    assert_eq!(recipe.usually_takes(), Some(Duration::from_micros(800)));
    recipe.took(Duration::from_micros(400));
    assert_eq!(recipe.usually_takes(), Some(Duration::from_micros(600)));
    recipe.took(Duration::from_secs(1));
    let after = recipe.usually_takes().unwrap();
    assert!((Duration::from_millis(10)..Duration::from_millis(20)).contains(&after), "{after:?}");
}

#[test]
fn a_sided_fold_puts_the_item_where_its_side_says() {
    let algorithms = Algorithms::native();
    let join = |a: &[u8], b: &[u8]| hex::encode(algorithms.hash("sha256", &[a, b].concat()).unwrap());
    let leaf = algorithms.hash("sha256", &[1; 4]).unwrap();
    for (side, expected) in [(0, join(&leaf, &[9; 32])), (1, join(&[9; 32], &leaf))] {
        let path = [&[side][..], &[9; 32]].concat();
        let got =
            out("const p:33*\nshare n:4\nx = foldlr sha256 (sha256 n) p", &[&path], &[&[1; 4]]).unwrap();
        assert_eq!(got, expected);
    }
}

#[test]
fn hashes_with_keys_are_prepared_where_the_key_is_known() {
    let body = "hash personal = blake2b-256-personal \"millpond\"\nconst k:16\nsession s:16=1\nshare n:8\n\
                x = cat (personal n) (blake2b-256-keyed k n) (blake2b-256-keyed s n)";
    let context = |name: &str, key: &[u8]| {
        let mut out = [0; 32];
        Algorithms::native().get(name).unwrap().prepare(key).unwrap().hash(&[5; 8], &mut out).unwrap();
        hex::encode(out)
    };
    let mut one = [0; 16];
    one[15] = 1;
    assert_eq!(
        out(body, &[&[3; 16]], &[&[5; 8]]).unwrap(),
        context("blake2b-256-personal", b"millpond")
            + &context("blake2b-256-keyed", &[3; 16])
            + &context("blake2b-256-keyed", &one)
    );
    // A key that a miner chooses, and a dear one that a session chooses, are refused.
    let found = errors("share k:8 n:8\nx = blake2b-256-keyed k n\njudge be x | id x");
    assert!(found[0].contains("must not depend on more than the session"), "{found:?}");
    let found = errors("session k:32\nshare n:8\nx = kheavyhash k n\njudge be x | id x");
    assert!(found[0].starts_with("t.recipe:4:16: the key of `kheavyhash`"), "{found:?}");
}

#[test]
fn checks_refuse_what_the_document_forbids_before_anything_is_hashed() {
    let body = "const t:4 mask:4\nshare time:4 bits:4 claimed:32\nx = cat time bits\n\
                range time t..t+100\nsubset bits mask\nclaim claimed (sha256 x)\nrange bits 0..65535";
    let good = Algorithms::native().hash("sha256", &[0, 0, 0, 10, 0, 0, 0, 1]).unwrap();
    let run = |time: u8, bits: u8, claimed: &[u8]| {
        out(body, &[&[0, 0, 0, 10], &[0, 0, 0, 7]], &[&[0, 0, 0, time], &[0, 0, 0, bits], claimed])
    };
    assert!(run(10, 1, &good).is_ok());
    assert!(matches!(run(9, 1, &good), Err(RunError::Range { value: 9, low: 10, high: 110, .. })));
    assert!(matches!(run(111, 1, &good), Err(RunError::Range { .. })));
    assert!(matches!(run(10, 8, &good), Err(RunError::Subset { register }) if &*register == "bits"));
    assert!(matches!(run(10, 1, &[0; 32]), Err(RunError::Claim { register }) if &*register == "claimed"));
    // A bound that would wrap is clamped, not wrapped.
    assert!(out("share n:8\nx = cat n\nrange n n - 5..n+18446744073709551615", NONE, &[&[0; 8]]).is_ok());
}

#[test]
fn the_networks_target_comes_from_the_jobs_own_values() {
    for (line, bits, expected) in [
        ("network compact23 b", &[0x1d, 0, 0xff, 0xff][..], Some(Target::BITCOIN_DIFF1)),
        ("network compact23 b", &[0x04, 0x80, 0, 1], None),
        ("network compact24 b", &[0x1d, 0, 0xff, 0xff], Some(Target::BITCOIN_DIFF1)),
        (
            "network compact24 b",
            &[0x20, 0x01, 0, 0],
            Some(Target::from_be_bytes({
                let mut target = [0; 32];
                target[0] = 1;
                target
            })),
        ),
        (
            "network compact24 b",
            &[0x01, 0x81, 0, 0],
            Some(Target::from_be_bytes({
                let mut target = [0; 32];
                target[31] = 0x81;
                target
            })),
        ),
        ("network compact24 b", &[0x21, 0, 0, 1], None),
        (
            "network be (cat b (zeros 28))",
            &[1, 2, 3, 4],
            Some(Target::from_be_bytes({
                let mut target = [0; 32];
                target[..4].copy_from_slice(&[1, 2, 3, 4]);
                target
            })),
        ),
        (
            "network le (cat b (zeros 28))",
            &[1, 2, 3, 4],
            Some(Target::from_be_bytes({
                let mut target = [0; 32];
                target[28..].copy_from_slice(&[4, 3, 2, 1]);
                target
            })),
        ),
    ] {
        let recipe = ending(&format!("const b:4\nshare n:4\nx = cat n b\n{line}"));
        let target = recipe.job(&[bits]).ok().and_then(|job| job.network_target());
        assert_eq!(target, expected, "{line} {bits:?}");
    }
}

#[test]
fn merged_mining_judges_one_hash_against_several_targets() {
    let body = "const easy:32 hard:32\nshare n:8\nx = cat n\njudge be (sha256 x) against easy\n\
                judge le (sha256 x) against hard\njudge be (sha256 x) against easy";
    let recipe = ending(body);
    let session = session(&recipe, &[&[0xff; 32], &[0; 32]], NONE);
    assert_eq!(session.judge(&[[1; 8]], &mut Scratch::default()).unwrap().met, 0b101);
}

struct EvenSum;

impl Verifier for EvenSum {
    fn name(&self) -> &str {
        "even-sum"
    }
    fn verify(&self, input: &[u8], proof: &[u8]) -> bool {
        input.iter().chain(proof).map(|byte| u32::from(*byte)).sum::<u32>().is_multiple_of(2)
    }
}

#[test]
fn a_proof_that_is_no_hash_is_left_to_its_verifier() {
    let text = "recipe 1 \"z\"\nshare n:4 proof:..8\nx = cat n (varint (len proof)) proof\n\
                verify even-sum n proof | judge le sha256 x | id sha256 x";
    let found = Recipe::compile("z", text, &Algorithms::native()).unwrap_err().to_string();
    assert_eq!(found, "z:4:8: this host has no verifier `even-sum`; it has equihash-144-5, equihash-200-9");
    let mut algorithms = Algorithms::native();
    assert!(algorithms.add_verifier(Arc::new(EvenSum)));
    let recipe = Recipe::compile("z", text, &algorithms).unwrap();
    let session = session(&recipe, NONE, NONE);
    let mut scratch = Scratch::default();
    assert!(session.judge(&[&[1, 0, 0, 0][..], &[1]], &mut scratch).is_ok());
    let error = session.judge(&[&[1, 0, 0, 0][..], &[2]], &mut scratch).unwrap_err();
    assert!(matches!(&error, RunError::Proof { .. }) && error.is_the_miners());
}

#[test]
fn every_error_of_a_document_is_reported_at_once_with_its_place() {
    let found = errors(
        "const a:4 b:0\nshare n:4\nx = cat a nothing\ny = cat x a\nz = blend a n\nw = rev 3\nv = sha257 n\n\
         u = cat (rev n\nout q\njudge mid n\nid n | id (sha256 n)",
    );
    let expected = [
        "t.recipe:2:11: the width of `b` is not within 1 to 1048576 bytes",
        "t.recipe:4:11: `nothing` is not defined here",
        "t.recipe:6:5: `blend` does not take 2 values; it is `blend BASE BITS MASK`",
        "t.recipe:7:9: this is a number, which has no width",
        "t.recipe:8:5: `sha257` is neither an operation nor an algorithm of this host",
        "t.recipe:9:9: this `(` is never closed",
        "t.recipe:10:5: `q` is not defined here",
        "t.recipe:11:1: `judge` needs `le` or `be` first",
        "t.recipe:12:1: the id has 32 bytes; this has 4 bytes",
    ];
    assert_eq!(found.len(), expected.len(), "{}", found.join("\n"));
    for (found, expected) in found.iter().zip(expected) {
        assert!(found.starts_with(expected), "{found}\n{expected}");
    }
}

#[test]
fn a_document_that_could_not_name_its_shares_is_refused() {
    for (body, expected) in [
        ("share n:4\nid sha256 n", "the document has no `judge le|be REGISTER` line"),
        ("share n:4\njudge be sha256 n", "the document has no `id REGISTER` line"),
        ("const c:4\nshare n:4\njudge be sha256 c | id sha256 c", "depends on no share field"),
        ("share a:4 b:4\njudge be sha256 a | id sha256 (cat a b)", "must depend on the same share fields"),
        ("share a:4 b:4\njudge be sha256 (cat a b) | id sha256 b", "must depend on the same share fields"),
        ("share n:4\nx = sha256 n\njudge be x | judge le x | id x", "a second `judge` without `against`"),
        ("share n:4\nx = sha256 n\njudge be x against x | judge be x | id x", "the target after `against`"),
        ("share n:4\nx = sha256 n\njudge be (slice x ..31) | id x", "the judged hash has 32 bytes"),
        ("share n:4\nx = sha256 n\nx = sha256 n\njudge be x | id x", "`x` is defined twice"),
        ("share cat:4\nx = sha256 cat\njudge be x | id x", "`cat` is a word of the language"),
        ("recipe 1 \"u\"\nshare n:4\nx = sha256 n\njudge be x | id x", "a second `recipe` line"),
        ("share n:4\nx = fold sha256 n n\njudge be x | id x", "a fold's last value is a list field"),
        ("share n:4\nx = sha256 n n\njudge be x | id x", "takes one value, not 2"),
        ("share n:9\nrange n 0..5\nx = sha256 n\njudge be x | id x", "too many for a number"),
        ("share n:4\nx = sha256 n) \njudge be x | id x", "this `)` closes nothing"),
        ("share n:4\nx = sha256 \"é\"\njudge be x | id x", "printable ASCII only"),
        ("share n:4\nx = sha256 n ;\njudge be x | id x", "has no meaning in a recipe"),
        (
            "hash h = kheavyhash \"short\"\nshare n:4\nx = h n\njudge be x | id x",
            "kheavyhash needs a key of 32 bytes",
        ),
        ("share n:4=0x00\nx = sha256 n\njudge be x | id x", "the default of `n` does not fit"),
        ("share n:1=256\nx = sha256 n\njudge be x | id x", "the default of `n` does not fit"),
        ("share n:4 n:4\nx = sha256 n\njudge be x | id x", "`n` is defined twice"),
    ] {
        let found = errors(body).join("\n");
        assert!(found.contains(expected), "{body}\n-> {found}\nexpected {expected}");
    }
}

#[test]
fn the_first_line_names_version_and_recipe() {
    let all = Algorithms::native();
    let body = "\nshare n:4\nx = sha256 n\njudge be x | id x";
    let first = |line: &str| match Recipe::compile("f", &format!("{line}{body}"), &all) {
        Ok(recipe) => recipe.name().to_owned(),
        Err(errors) => errors.to_string(),
    };
    assert_eq!(first("# a comment\nrecipe 1 \"name\"  # behind"), "name");
    assert!(first("recipe 2 \"name\"").contains("f:1:1: this host knows version 1 of the language, not 2"));
    assert!(first("recipe 1").contains("the recipe's name in quotes"));
    assert!(first("").contains("a document begins with `recipe 1"));
    assert!(Recipe::compile("f", "", &all).unwrap_err().to_string().contains("the document is empty"));
    let long = "#".repeat(MAX_DOCUMENT_BYTES + 1);
    assert!(Recipe::compile("f", &long, &all).unwrap_err().to_string().contains("at most 65536"));
}

#[test]
fn sizes_are_bounded() {
    // Registers.
    let many: String = (0..300).map(|i| format!("r{i} = rev n\n")).collect();
    let found = errors(&format!("share n:4\n{many}x = sha256 n\njudge be x | id x"));
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("more than 256 registers"));
    // Parentheses.
    let deep = format!("share n:4\nx = sha256 {}n{}\njudge be x | id x", "(rev ".repeat(40), ")".repeat(40));
    assert!(errors(&deep).join("\n").contains("more than 32 parentheses"));
    // Bytes that doubling would reach.
    let doubling: String = (1..28).map(|i| format!("r{i} = cat r{} r{0}\n", i - 1)).collect();
    let body = format!("share n:4\nr0 = cat n n\n{doubling}x = cat r27");
    assert!(matches!(out(&body, NONE, &[&[1; 4]]), Err(RunError::TooLarge { stage: "share", .. })));
    let body = format!("const c:4\nshare n:4\nr0 = cat c c\n{doubling}x = cat n r27");
    assert!(matches!(ending(&body).job(&[[1; 4]]), Err(RunError::TooLarge { stage: "job", .. })));
}

#[test]
fn a_document_cannot_make_a_share_hash_without_end() {
    let hashes: String = (0..20).map(|i| format!("h{i} = sha256 c\n")).collect();
    let recipe = ending(&format!("const big:bytes\nshare n:4\nc = cat big n\n{hashes}x = cat n"));
    let judge = |big: usize| {
        let session = session(&recipe, &[&vec![0; big]], NONE);
        session.judge(&[[1; 4]], &mut Scratch::default()).map(|judged| judged.pow)
    };
    assert!(judge(20_000).is_ok());
    let error = judge(60_000).unwrap_err();
    assert!(matches!(error, RunError::TooLarge { limit: MAX_SHARE_HASHED, .. }), "{error}");
    assert!(!error.is_the_miners(), "the document's fault");
}

#[test]
fn a_document_of_nothing_but_errors_shows_a_hundred_and_counts_the_rest() {
    let found = errors(&"wrong\n".repeat(5_000));
    assert_eq!(found.len(), 100);
    assert!(found[99].contains("more errors behind it"), "{}", found[99]);
}

#[test]
fn a_number_of_values_that_is_not_the_declared_one_is_no_ones_share() {
    let recipe = ending("const c:4\nsession s:4\nshare n:4\nx = cat n s c");
    assert!(matches!(recipe.job(NONE), Err(RunError::Count { stage: "const", needed: 1, given: 0, .. })));
    let job = recipe.job(&[[0; 4]]).unwrap();
    assert!(matches!(job.session(NONE), Err(RunError::Width { .. })), "a session field without a default");
    assert!(matches!(job.session(&[[0; 4], [0; 4]]), Err(RunError::Count { stage: "session", .. })));
    let error = job.session(&[[0; 4]]).unwrap().judge(NONE, &mut Scratch::default()).unwrap_err();
    assert!(matches!(error, RunError::Count { stage: "share", .. }) && !error.is_the_miners());
}

#[test]
fn an_expression_may_go_on_over_lines_inside_parentheses() {
    let spread = "share n:4\nx = cat (\n  rev n   # reversed\n) (\n  n\n)";
    assert_eq!(out(spread, NONE, &[&[1, 2, 3, 4]]).unwrap(), "0403020101020304");
}

#[test]
fn stratum_v2_roles_are_kept_in_order() {
    let recipe = ending("const v:4\nshare n:4\nx = cat n v\nsv2 version=v n");
    let roles: Vec<_> = recipe.sv2().iter().map(|(role, register)| (&**role, &**register)).collect();
    assert_eq!(roles, [("version", "v"), ("n", "n")]);
    assert!(
        errors("share n:4\nx = sha256 n\njudge be x | id x\nsv2 version")
            .join("")
            .contains("`version` is not defined")
    );
}
