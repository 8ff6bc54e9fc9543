//! The words that two processes say to each other during an upgrade, as both have to read them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use millpond_process::upgrade::words::{PROTOCOL, Word};
use millpond_types::Digest;
use serde_json::Value;

/// Each word once, with everything that it may have.
const WORDS: &str = include_str!("words/protocol-3.json");
/// The protocol that they are of, and their digest. A program that says or reads other words is of another protocol: raise
/// [`PROTOCOL`], write its words beside these, and change this line.
const OF: (u32, &str) = (3, "d36c9d76c6ef");

/// Objects whose fields are names of a dialect's own.
const OWN_NAMES: [&str; 3] = ["negotiated", "told_fields", "able"];

#[test]
fn the_words_of_this_protocol_are_what_they_were() {
    assert_eq!((PROTOCOL, &*Digest::of(WORDS.as_bytes()).short()), OF);
    let words: Vec<Word> =
        serde_json::from_str(WORDS).unwrap_or_else(|why| panic!("{why}: another protocol"));
    let again = serde_json::to_value(&words).unwrap();
    assert_eq!(again, serde_json::from_str::<Value>(WORDS).unwrap(), "another protocol");
}

/// Where the objects with fixed fields are.
fn objects(at: &str, value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            if !OWN_NAMES.iter().any(|name| at.ends_with(name)) {
                found.push(at.to_owned());
            }
            fields.iter().for_each(|(name, value)| objects(&format!("{at}/{name}"), value, found));
        }
        Value::Array(values) => {
            values.iter().enumerate().for_each(|(n, value)| objects(&format!("{at}/{n}"), value, found));
        }
        _ => {}
    }
}

#[test]
fn a_field_too_many_or_too_few_is_an_error_that_names_it() {
    let words: Vec<Value> = serde_json::from_str(WORDS).unwrap();
    let mut changed = 0;
    for word in &words {
        // The word itself is an object of one field, its name.
        let (name, fields) = word.as_object().unwrap().iter().next().unwrap();
        let mut found = Vec::new();
        objects(&format!("/{name}"), fields, &mut found);
        let refused = |word: Value, what: &str| {
            let why = serde_json::from_value::<Word>(word).expect_err(what).to_string();
            assert!(why.contains(what), "{why}, where it should say: {what}");
        };
        for at in found {
            let mut more = word.clone();
            more.pointer_mut(&at).unwrap().as_object_mut().unwrap().insert("newer".to_owned(), Value::Null);
            refused(more, "unknown field `newer`");
            let names: Vec<String> =
                word.pointer(&at).unwrap().as_object().unwrap().keys().cloned().collect();
            for name in names {
                let mut less = word.clone();
                less.pointer_mut(&at).unwrap().as_object_mut().unwrap().remove(&name);
                refused(less, &format!("missing field `{name}`"));
                changed += 1;
            }
        }
    }
    assert!(changed > 100, "{changed}");
}
