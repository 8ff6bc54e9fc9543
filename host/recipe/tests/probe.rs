//! A document whose hash ignores what the miner sends is found before anybody mines on it; the paper documents of the
//! reference compile and pass.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use millpond_algorithms::{Algorithm, AlgorithmError, Algorithms, Context, Key};
use millpond_recipe::{ProbeError, Recipe, Scratch};
use std::sync::Arc;

const NONE: &[&[u8]] = &[];

fn probe(body: &str) -> Result<(), ProbeError> {
    let recipe = Recipe::compile("t", &format!("recipe 1 \"t\"\n{body}"), &Algorithms::native())
        .unwrap_or_else(|e| panic!("{e}"));
    recipe.job(NONE).unwrap().session(NONE).unwrap().probe(&mut Scratch::default())
}

#[test]
fn a_hash_that_ignores_the_nonce_is_found_however_it_hides() {
    for (body, field, byte) in [
        ("share a:4 n:4\nx = cat a (slice n 0..0)\njudge be sha256 x | id sha256 x", "n", 0),
        ("share a:4 n:8\nx = cat a (slice n 0..7)\njudge be sha256 x | id sha256 x", "n", 7),
        ("share a:4 n:4\nx = cat a (blend n a 0x000000ff)\njudge be sha256 x | id sha256 x", "n", 3),
        ("share n:4\nx = le 4 (mul (int-be n) 0)\njudge be sha256 x | id sha256 x", "n", 0),
    ] {
        assert_eq!(probe(body), Err(ProbeError::Ignored { field: field.into(), byte }), "{body}");
    }
    let apart = "share a:4 n:4\njudge be sha256 (cat a n) | id sha256 (cat a (slice n ..3))";
    assert_eq!(probe(apart), Err(ProbeError::Apart { field: "n".into(), byte: 3 }));
}

#[test]
fn what_a_check_refuses_need_not_change_the_hash() {
    let body = "session mask:4=0\nshare n:4 bits:4=0\nx = cat n (blend 0x20000000 bits mask)\nsubset bits mask\n\
                judge be sha256 x | id sha256 x";
    assert_eq!(probe(body), Ok(()));
}

#[test]
fn a_job_that_no_share_can_pass_is_refused() {
    let body = "share n:4\nrange n 5..4\njudge be sha256 n | id sha256 n";
    assert!(matches!(probe(body), Err(ProbeError::NoShare(_))));
}

#[test]
fn every_family_passes_the_probe() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/families");
    for family in std::fs::read_dir(root).unwrap() {
        for file in std::fs::read_dir(family.unwrap().path()).unwrap() {
            let path = file.unwrap().path();
            if path.extension().is_some_and(|ext| ext == "recipe") {
                let text = std::fs::read_to_string(&path).unwrap();
                let recipe = Recipe::compile("r", &text, &Algorithms::native()).unwrap();
                passes(&recipe);
            }
        }
    }
}

/// Probes a recipe with zeros, or a valid length of them, in every const and session field.
fn passes(recipe: &Arc<Recipe>) {
    let zeros = |fields: &[millpond_recipe::Field]| -> Vec<Vec<u8>> {
        let len =
            |width| (0..2000).find(|len| *len > 0 && millpond_recipe::Width::admits(width, *len)).unwrap();
        fields.iter().map(|field| vec![0; len(field.width)]).collect()
    };
    let job = recipe.job(&zeros(recipe.consts())).unwrap();
    let session = job.session(&zeros(recipe.session_fields())).unwrap();
    assert_eq!(session.probe(&mut Scratch::default()), Ok(()), "{}", recipe.name());
}

/// Stands in for algorithms that the host does not have: its own shape, another hash.
struct Stand(&'static str, usize);

impl Algorithm for Stand {
    fn name(&self) -> &str {
        self.0
    }
    fn output_len(&self) -> usize {
        self.1
    }
    fn key(&self) -> Key {
        Key::Dear
    }
    fn prepare(&self, key: &[u8]) -> Result<Arc<dyn Context>, AlgorithmError> {
        assert_eq!(key.len(), 32);
        Ok(Arc::new(Stand(self.0, self.1)))
    }
}

impl Context for Stand {
    fn hash(&self, input: &[u8], out: &mut [u8]) -> Result<(), AlgorithmError> {
        let hash = Algorithms::native().hash("sha256", input).unwrap();
        out.copy_from_slice(&hash.repeat(2)[..self.1]);
        Ok(())
    }
}

#[test]
fn the_documents_of_the_reference_compile_and_pass() {
    let reference = include_str!("../../../docs/recipes.md");
    let mut algorithms = Algorithms::native();
    assert!(algorithms.add(Arc::new(Stand("randomx", 32))) && algorithms.add(Arc::new(Stand("etchash", 64))));
    let mut names = Vec::new();
    for (i, block) in reference.split("```recipe\n").skip(1).enumerate() {
        let text = block.split("```").next().unwrap();
        let recipe = Recipe::compile(&format!("recipes.md, document {}", i + 1), text, &algorithms)
            .unwrap_or_else(|e| panic!("{e}"));
        passes(&recipe);
        names.push(recipe.name().to_owned());
    }
    assert_eq!(names, ["bitcoin", "monero", "etc", "zcash"]);
}

#[test]
fn the_reference_names_every_algorithm_and_operation() {
    let reference = include_str!("../../../docs/recipes.md");
    let native = Algorithms::native();
    for name in native.names().chain(native.verifier_names()) {
        assert!(reference.contains(&format!("`{name}`")), "{name}");
    }
    for operation in [
        "cat",
        "rev",
        "revwords",
        "swapwords",
        "slice",
        "blend",
        "xor",
        "lpad",
        "rpad",
        "strip",
        "zeros",
        "le",
        "be",
        "varint",
        "fold",
        "foldlr",
        "len",
        "int-le",
        "int-be",
        "add",
        "sub",
        "mul",
        "judge",
        "id",
        "out",
        "network",
        "sv2",
        "range",
        "subset",
        "claim",
        "verify",
    ] {
        assert!(reference.contains(&format!("`{operation} ")), "{operation}");
    }
}
