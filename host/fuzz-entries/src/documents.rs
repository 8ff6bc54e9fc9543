//! Documents that authors and operators write: dialects, recipes, the configuration.

use crate::input::Input;
use crate::lines::Session;
use millpond_algorithms::Algorithms;
use millpond_dialect::{Dialect, Failure, Push, Value, ValueMap};
use millpond_recipe::{Field, Recipe, Scratch};
use std::sync::LazyLock;

static ALGORITHMS: LazyLock<Algorithms> = LazyLock::new(Algorithms::native);

/// Parts a document from what it is used with: a byte that no text has.
const END_OF_TEXT: u8 = 0xff;

/// Compiles a dialect; one that compiles reads the rest as lines and writes everything it can.
pub fn dialect(data: &[u8]) {
    let mut input = Input(data);
    let Ok(text) = std::str::from_utf8(input.until(END_OF_TEXT)) else { return };
    let Ok(dialect) = Dialect::compile("fuzz", text) else { return };
    let session = Session::of(&mut input);
    let mut values = ValueMap::new()
        .with("difficulty", Value::Float(0.5))
        .with("clean", Value::Flag(false))
        .with("job", Value::Text("1\"".into()))
        .with("coord", Value::Number(u64::MAX));
    for name in ["target", "parent", "network", "xn.prefix", "hdr", "mask", "prev"] {
        values.set(name, Value::Bytes(input.take(32).to_vec().into()));
    }
    while !input.is_empty() {
        let decoded = dialect.decode(input.until(b'\n'), &session);
        let mut out = Vec::new();
        let _ = dialect.encode_reply(&decoded.call, &values, &mut out);
        dialect.encode_error(&decoded.call, Failure::Stale, None, &mut out);
        let _ = dialect.pushes_after(&decoded.call, &session);
    }
    let mut out = Vec::new();
    for push in [Push::Job, Push::Target, Push::Extranonce, Push::Mask, Push::Message, Push::Version] {
        let _ = dialect.encode_push(push, &values, &mut out);
    }
    if let Ok(rope) = dialect.encode_job(&values) {
        let _ = rope.write(&values, &mut out);
    }
}

/// Compiles a recipe; one that compiles runs over values of any lengths, and then of lengths that fit.
pub fn recipe(data: &[u8]) {
    let mut input = Input(data);
    let Ok(text) = std::str::from_utf8(input.until(END_OF_TEXT)) else { return };
    let Ok(recipe) = Recipe::compile("fuzz", text, &ALGORITHMS) else { return };
    for fitting in [false, true] {
        let mut input = Input(input.0);
        let mut values = |fields: &[Field]| -> Vec<Vec<u8>> {
            fields.iter().map(|field| value(&mut input, field, fitting)).collect()
        };
        let Ok(job) = recipe.job(&values(recipe.consts())) else { continue };
        let _ = job.network_target();
        let Ok(session) = job.session(&values(recipe.session_fields())) else { continue };
        let share = values(recipe.share_fields());
        let mut scratch = Scratch::default();
        let first = session.judge(&share, &mut scratch).map(|judged| judged.results());
        // The same share is the same whatever was judged with the same memory before.
        let _ = session.judge(&values(recipe.share_fields()), &mut scratch).map(|_| ());
        let again = session.judge(&share, &mut scratch).map(|judged| judged.results());
        assert_eq!(first.ok(), again.ok(), "a share was judged in two ways");
    }
}

/// A field's value: as the input has it, or cut and filled to a length that the field takes.
fn value(input: &mut Input<'_>, field: &Field, fitting: bool) -> Vec<u8> {
    let mut bytes = input.string().to_vec();
    if fitting && !field.width.admits(bytes.len()) {
        let length =
            (0..=256_usize).min_by_key(|length| (!field.width.admits(*length), length.abs_diff(bytes.len())));
        bytes.resize(length.unwrap_or_default(), 0x5a);
    }
    bytes
}

/// Reads a configuration; one that is good is no different from itself.
pub fn config(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match millpond_config::parse("fuzz.toml", text) {
        Ok(config) => assert!(millpond_config::differences(&config, &config).is_empty()),
        Err(errors) => assert!(!errors.to_string().is_empty(), "refused without a reason"),
    }
}
