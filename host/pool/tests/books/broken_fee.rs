//! A fee policy whose `fees` traps, as a real component.

use millpond_test_guests::{Data, guest};

const FEE: &str = "millpond:payout/fee-policy@0.1.0";
const SCHEMA: &str =
    r#"{"type":"object","properties":{"basis_points":{"type":"integer"}},"additionalProperties":false}"#;

pub fn trapping_fee() -> Vec<u8> {
    let mut data = Data::default();
    // Ok; no columns.
    let describe = data.words(&[0, 0, 0]);
    let schema = data.bytes(SCHEMA.as_bytes());
    let schema = data.words(&schema);
    let [schema, describe] = [schema, describe].map(|at| format!("i32.const {at}"));
    let bodies = [("schema", schema), ("describe", describe), ("fees", "unreachable".to_owned())];
    let bodies = bodies.map(|(name, body)| (format!("{FEE}#{name}"), body));
    let bodies: Vec<_> = bodies.iter().map(|(name, body)| (name.as_str(), body.as_str())).collect();
    guest("payout-0.1", "fee", &bodies, &data.0)
}
