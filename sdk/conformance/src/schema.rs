//! The schema that a plugin exports: readable, and about an object.

use millpond_contracts::Outcome;
use serde_json::Value;

/// What every plugin's schema must be.
pub(crate) fn check(schema: Outcome<String>) -> Result<String, String> {
    let text = schema.map_err(|error| error.to_string())?.value;
    let value: Value =
        serde_json::from_str(&text).map_err(|error| format!("`schema` gives no JSON: {error}"))?;
    if value.get("type").and_then(Value::as_str) != Some("object") {
        return Err("`schema` gives JSON that is no schema of an object (\"type\": \"object\")".to_owned());
    }
    let properties = match value.get("properties") {
        None => 0,
        Some(Value::Object(properties)) => {
            for (name, property) in properties {
                let typed = ["type", "enum", "$ref", "anyOf", "oneOf", "const"];
                if !typed.iter().any(|key| property.get(key).is_some()) {
                    return Err(format!("`schema` says nothing about the type of setting {name:?}"));
                }
            }
            properties.len()
        }
        Some(_) => return Err("`schema`: properties is no object".to_owned()),
    };
    Ok(format!("{properties} settings"))
}
