//! No text and no value makes the language panic, run long, or lie about places.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use millpond_algorithms::Algorithms;
use millpond_recipe::{Recipe, Scratch};
use proptest::prelude::*;

const WORDS: &[&str] = &[
    "recipe",
    "1",
    "\"t\"",
    "const",
    "session",
    "share",
    "hash",
    "judge",
    "id",
    "out",
    "range",
    "subset",
    "claim",
    "verify",
    "network",
    "sv2",
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
    "compact23",
    "sha256",
    "sha256d",
    "blake2b-256-keyed",
    "kheavyhash",
    "a",
    "b",
    "c",
    "n",
    "x",
    "y",
    "a:4",
    "b:32*",
    "c:bytes",
    "n:..8",
    "x:1..4",
    "y:4=0",
    "=",
    "|",
    "(",
    ")",
    "..",
    "+",
    "-",
    "0",
    "4",
    "32",
    "0xff",
    "0x00112233",
    "\n",
    "\n",
    "\n",
    "# c\n",
    "4294967296",
    "18446744073709551615",
];

/// Sound documents with holes for damage.
const SOUND: &str = "recipe 1 \"t\"\nconst c:bytes p:33* q:32* k:4=0\nsession s:..20=5 w:1..9=0x07\nshare n:8 m:bytes \
    z:4=0\nhash h = blake2b-256-keyed \"k\"\na = cat c (le 4 (add (len s) 4)) s w\nb = foldlr h (h a) p\n\
    d = fold sha256d b q\ne = blend z k 0x0000ffff\nx = cat n d (slice m 2..) (strip c m) e (varint (len m))\n\
    y = sha256d x\njudge le y | id sha256 x | out x a\nrange (slice n ..4) k..k+70000 | subset z 0xffffffff\n";

fn lengths() -> impl Strategy<Value = Vec<Vec<u8>>> {
    proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..140), 0..12)
}

fn try_all(text: &str, values: &[Vec<u8>]) {
    let recipe = match Recipe::compile("t", text, &Algorithms::native()) {
        Ok(recipe) => recipe,
        Err(errors) => {
            assert!(!errors.0.is_empty());
            let lines = text.lines().count() as u32 + 1;
            for error in &errors.0 {
                assert!(error.line >= 1 && error.line <= lines && error.col >= 1, "{error}");
            }
            return;
        }
    };
    let mut values = values.iter().cycle();
    let mut take = |count: usize| -> Vec<&[u8]> {
        (0..count).map(|_| values.next().map_or(&[][..], Vec::as_slice)).collect()
    };
    let Ok(job) = recipe.job(&take(recipe.consts().len())) else { return };
    let Ok(session) = job.session(&take(recipe.session_fields().len())) else { return };
    let _ = session.judge(&take(recipe.share_fields().len()), &mut Scratch::default());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn text_of_the_languages_words(words in proptest::collection::vec(proptest::sample::select(WORDS), 0..120),
        values in lengths()) {
        try_all(&format!("recipe 1 \"t\"\n{}", words.join(" ")), &values);
    }

    #[test]
    fn any_text(text in "\\PC{0,200}") {
        try_all(&text, &[]);
    }

    #[test]
    fn a_sound_document_with_one_word_changed(at in 0_usize..120, word in proptest::sample::select(WORDS),
        values in lengths()) {
        let mut words: Vec<&str> = SOUND.split_inclusive([' ', '\n']).collect();
        let at = at % words.len();
        words[at] = word;
        try_all(&words.join(" "), &values);
    }

    #[test]
    fn a_sound_document_with_any_values(values in lengths()) {
        prop_assert!(Recipe::compile("t", SOUND, &Algorithms::native()).is_ok());
        try_all(SOUND, &values);
    }
}
