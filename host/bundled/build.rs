//! Writes the table of embedded components from plugins.lock.

use std::env;
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let here = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    println!("cargo:rerun-if-changed=plugins.lock");
    println!("cargo:rerun-if-changed=build.rs");
    let lock: toml::Table = fs::read_to_string(here.join("plugins.lock"))?.parse()?;
    let mut table = String::from("&[\n");
    for plugin in lock.get("plugin").and_then(toml::Value::as_array).into_iter().flatten() {
        let field = |key: &str| {
            let text = plugin.get(key).and_then(toml::Value::as_str);
            text.ok_or_else(|| format!("plugins.lock: an entry has no {key}; run `cargo xtask guests`"))
        };
        let name = field("name")?;
        let file = here.join("components").join(format!("{name}.wasm"));
        println!("cargo:rerun-if-changed={}", file.display());
        writeln!(
            table,
            "Entry {{ name: {name:?}, world: {:?}, version: {:?}, blake3: {:?}, toolchain: {:?}, bytes: \
             include_bytes!({file:?}) }},",
            field("world")?,
            field("version")?,
            field("blake3")?,
            field("toolchain")?,
        )?;
    }
    table.push(']');
    fs::write(PathBuf::from(env::var("OUT_DIR")?).join("table.rs"), table)?;
    Ok(())
}
