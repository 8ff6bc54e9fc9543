//! The example file and the reference, written from the table of options.

use crate::Config;
use crate::reader::{OptionDoc, Section, SectionDoc};
use std::fmt::Write as _;

/// A complete example file: every option with its help; options at their defaults are commented out.
#[must_use]
pub fn example() -> String {
    let mut out = String::from("# Millpond: every option, with its default where it has one.\n");
    write_section(&mut out, "", &Config::doc());
    out
}

fn write_section(out: &mut String, path: &str, section: &SectionDoc) {
    for option in section.options.iter().filter(|option| option.section.is_none()) {
        for line in option.help {
            let _ = writeln!(out, "#{line}");
        }
        match (option.default, option.example) {
            (Some(default), None) => {
                let _ = writeln!(out, "# {} = {default}", option.name);
            }
            (Some(_), Some(example)) => {
                let _ = writeln!(out, "# {} = {example}", option.name);
            }
            (None, example) => {
                let optional = if is_optional(option) { "# " } else { "" };
                let _ = writeln!(out, "{optional}{} = {}", option.name, example.unwrap_or("\"\""));
            }
        }
    }
    for option in &section.options {
        let Some(inner) = &option.section else { continue };
        let name = if path.is_empty() { option.name.to_owned() } else { format!("{path}.{}", option.name) };
        let _ = writeln!(out);
        for line in option.help {
            let _ = writeln!(out, "#{line}");
        }
        let _ = if inner.list { writeln!(out, "[[{name}]]") } else { writeln!(out, "[{name}]") };
        write_section(out, &name, inner);
    }
}

/// Options that may be left out and have no default are shown as comments, except those an example needs.
fn is_optional(option: &OptionDoc) -> bool {
    !matches!(
        option.name,
        "name" | "url" | "listen" | "to" | "payout_address" | "certificate" | "key" | "amount" | "exec"
    )
}

/// The reference in Markdown: a table per section.
#[must_use]
pub fn reference() -> String {
    let mut out = String::from(
        "# Configuration reference\n\nWritten from the table of options; a test keeps it true.\n",
    );
    write_reference(&mut out, "", &Config::doc());
    out
}

fn write_reference(out: &mut String, path: &str, section: &SectionDoc) {
    let plain: Vec<_> = section.options.iter().filter(|option| option.section.is_none()).collect();
    if !plain.is_empty() {
        let title = if section.list { format!("[[{path}]]") } else { format!("[{path}]") };
        let _ = writeln!(out, "\n## `{title}`\n\n{}\n", section.about.join("").trim());
        let _ = writeln!(out, "| option | kind | default | meaning |\n|---|---|---|---|");
        for option in plain {
            let default = option.default.map_or_else(|| "none".to_owned(), |text| format!("`{text}`"));
            let _ = writeln!(
                out,
                "| `{}` | {} | {default} | {} |",
                option.name,
                option.kind,
                option.help.join("").trim()
            );
        }
    }
    for option in &section.options {
        let Some(inner) = &option.section else { continue };
        let name = if path.is_empty() { option.name.to_owned() } else { format!("{path}.{}", option.name) };
        write_reference(out, &name, inner);
    }
}
