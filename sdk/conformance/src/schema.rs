//! The schema that a plugin exports, read by the code that reads it for a pool's configuration.

use millpond_config::settings;
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
    let described = settings::described(&text).map_err(|errors| {
        let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
        format!("a pool's configuration would be refused: {}", errors.join("; "))
    })?;
    Ok(format!("{described} settings"))
}
