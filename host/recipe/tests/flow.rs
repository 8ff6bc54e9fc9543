//! A document read backwards: what a register is computed from, whatever it is called.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use millpond_algorithms::Algorithms;
use millpond_recipe::{Made, Recipe, Stage, Width};
use std::sync::Arc;

fn compile(body: &str) -> Arc<Recipe> {
    Recipe::compile("t.recipe", &format!("recipe 1 \"t\"\n{body}"), &Algorithms::native()).unwrap()
}

#[test]
fn a_judged_hash_is_followed_through_hashes_pieces_and_fields_of_every_stage() {
    let recipe = compile(
        "const head:4 path:32*
session mine:2..9
share xn:8 nonce:4
hash tree = sha256d
range (len mine) 1..9
both = cat head mine 0x00ff
root = fold tree (tree (cat both xn)) path
pow = blake3 (cat root (rev nonce))
judge le pow | id pow",
    );
    let pow = recipe.judged();
    assert_eq!((pow.stage(), pow.width(), pow.shown()), (Stage::Share, Width::Fixed(32), "`pow`".to_owned()));
    let Made::Hash { algorithm: Some("blake3"), of } = pow.made() else { panic!("{:?}", pow.made()) };
    assert_eq!(of.shown(), "a register of the share stage");
    let Made::Joined(parts) = of.made() else { panic!("{:?}", of.made()) };
    assert_eq!(parts[1].made(), Made::Otherwise);
    assert_eq!(parts[1].width(), Width::Fixed(4));
    let Made::Fold { algorithm: Some("sha256d"), start, item: 32 } = parts[0].made() else {
        panic!("{:?}", parts[0].made())
    };
    let Made::Hash { algorithm: Some("sha256d"), of } = start.made() else { panic!("{:?}", start.made()) };
    let Made::Joined(parts) = of.made() else { panic!("{:?}", of.made()) };
    let (both, xn) = (parts[0], parts[1]);
    assert_eq!((both.stage(), both.shown()), (Stage::Session, "`both`".to_owned()));
    let Made::Field(field) = xn.made() else { panic!("{:?}", xn.made()) };
    assert_eq!((&*field.name, xn.stage()), ("xn", Stage::Share));
    let Made::Joined(parts) = both.made() else { panic!("{:?}", both.made()) };
    let made: Vec<(Stage, Width)> = parts.iter().map(|part| (part.stage(), part.width())).collect();
    assert_eq!(
        made,
        [
            (Stage::Job, Width::Fixed(4)),
            (Stage::Session, Width::Between(2, 9)),
            (Stage::Document, Width::Fixed(2)),
        ]
    );
    assert_eq!(parts[2].made(), Made::Literal);

    let job = recipe.job(&[&[1, 2, 3, 4][..], &[]]).unwrap();
    let session = job.session(&[[5_u8, 6]]).unwrap();
    assert_eq!(session.value(&both), Some(&[1, 2, 3, 4, 5, 6, 0x00, 0xff][..]));
    assert_eq!(session.value(&parts[0]), Some(&[1, 2, 3, 4][..]));
    assert_eq!(session.value(&xn), None, "a share's value is not known in a session");
    let other = compile("const head:4\nshare nonce:4\npow = sha256 (cat head nonce)\njudge be pow | id pow");
    let Made::Hash { of, .. } = other.judged().made() else { panic!() };
    let Made::Joined(foreign) = of.made() else { panic!() };
    assert_eq!(foreign[0].stage(), Stage::Job);
    assert_eq!(session.value(&foreign[0]), None, "a register of another recipe");
}

#[test]
fn a_key_that_is_no_literal_and_a_sided_path_are_not_what_they_look_like() {
    let recipe = compile(
        "const key:8 path:33*
share nonce:4
hash fixed = blake2b-256-keyed \"always\"
side = foldlr sha256d (fixed nonce) path
pow = blake2b-256-keyed key side
judge be pow | id pow",
    );
    let Made::Hash { algorithm: None, of: side } = recipe.judged().made() else { panic!() };
    assert_eq!((side.shown(), side.made()), ("`side`".to_owned(), Made::Otherwise));
}
