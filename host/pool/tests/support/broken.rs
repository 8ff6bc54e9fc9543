//! A payout scheme with the terms of the bundled SOLO, whose `allocate` traps: as a real component.

use millpond_test_guests::{Data, guest};

const SCHEME: &str = "millpond:payout/scheme@0.1.0";
const SCHEMA: &str = r#"{"type":"object","properties":{},"additionalProperties":false}"#;

pub fn trapping_scheme() -> Vec<u8> {
    // One window: of the finder, in work, whole.
    trapping([1, 0, 0, 0, 0, 0], &["permutation", "split", "scale", "monotone"])
}

/// The same with a window and claims of another scheme without cells.
pub fn trapping(window: [u32; 6], claims: &[&str]) -> Vec<u8> {
    let mut data = Data::default();
    let window = data.words(&window);
    let count = u32::try_from(claims.len()).unwrap();
    let claims: Vec<u32> = claims.iter().flat_map(|claim| data.bytes(claim.as_bytes())).collect();
    let claims = data.words(&claims);
    // Ok; windows, no cells, no batches, a lost income is dropped and there is no reserve, claims, no state.
    let terms = data.words(&[0, window, 1, 0, 0, 0, claims, count, 0, 0]);
    let schema = data.bytes(SCHEMA.as_bytes());
    let schema = data.words(&schema);
    let bodies = [
        (format!("{SCHEME}#schema"), format!("i32.const {schema}")),
        (format!("{SCHEME}#describe"), format!("i32.const {terms}")),
        (format!("{SCHEME}#allocate"), "unreachable".to_owned()),
    ];
    let bodies: Vec<_> = bodies.iter().map(|(name, body)| (name.as_str(), body.as_str())).collect();
    guest("payout-0.1", "payout-scheme", &bodies, &data.0)
}
