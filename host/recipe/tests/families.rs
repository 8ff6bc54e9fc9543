//! Every folder under examples/families: its recipes compile, and its vectors pass. Found by listing, so a family that
//! somebody adds is tested without a change here.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use millpond_algorithms::Algorithms;
use millpond_recipe::{Recipe, vectors};
use std::path::{Path, PathBuf};

fn families() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/families");
    let mut all: Vec<_> = std::fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path()).collect();
    all.retain(|path| path.is_dir());
    all.sort();
    all
}

fn recipes(family: &Path) -> Vec<PathBuf> {
    let mut all: Vec<_> = std::fs::read_dir(family).unwrap().map(|entry| entry.unwrap().path()).collect();
    all.retain(|path| path.extension().is_some_and(|ext| ext == "recipe"));
    all
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

#[test]
fn every_family_has_a_recipe_and_all_its_vectors_pass() {
    let families = families();
    assert!(families.len() >= 7, "{families:?}");
    let (mut count, mut failures) = (0, Vec::new());
    for family in &families {
        let recipes = recipes(family);
        assert_eq!(recipes.len(), 1, "one recipe in {}", family.display());
        let (recipe, file) = (&recipes[0], family.join("vectors.toml"));
        let report = vectors::run(
            (&recipe.display().to_string(), &read(recipe)),
            (&file.display().to_string(), &read(&file)),
            &Algorithms::native(),
        )
        .unwrap_or_else(|e| panic!("{e}"));
        assert!(!report.outcomes.is_empty());
        count += report.outcomes.len();
        if !report.passed() {
            failures.push(report.to_string());
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    println!("{count} vectors in {} families", families.len());
}

#[test]
fn a_vector_with_one_wrong_bit_fails_in_every_family() {
    for family in families() {
        let recipe = read(&recipes(&family)[0]);
        let text = read(&family.join("vectors.toml"));
        // The last hex digit of the first expected hash.
        let marker = if text.contains("\npow = \"") { "\npow = \"" } else { "\nid = \"" };
        let at = text.find(marker).unwrap() + marker.len() + 63;
        let mut wrong = text.clone().into_bytes();
        wrong[at] = if wrong[at] == b'0' { b'1' } else { b'0' };
        let wrong = String::from_utf8(wrong).unwrap();
        let report = vectors::run(("r", &recipe), ("v", &wrong), &Algorithms::native()).unwrap();
        assert!(!report.passed(), "{}", family.display());
        assert!(report.to_string().contains("FAIL"));
        assert_eq!(report.outcomes.iter().filter(|outcome| !outcome.passed()).count(), 1);
    }
}

#[test]
fn no_family_changes_what_it_costs_by_surprise() {
    use millpond_recipe::Cost;
    for family in families() {
        let path = recipes(&family).remove(0);
        let recipe = Recipe::compile("r", &read(&path), &Algorithms::native()).unwrap();
        let heavy = read(&path).contains("scrypt hdr");
        assert_eq!(recipe.cost() == Cost::Heavy, heavy, "{}", recipe.name());
    }
}
