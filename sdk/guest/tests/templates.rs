//! The templates that `millpond plugin new` copies: their sources compile here, and their own tests run.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "../../templates/chain-adapter/src/lib.rs"]
mod chain_adapter;
#[path = "../../templates/fee-policy/src/lib.rs"]
mod fee_policy;
#[path = "../../templates/payout-scheme/src/lib.rs"]
mod payout_scheme;
#[path = "../../templates/vote-policy/src/lib.rs"]
mod vote_policy;

use millpond_sdk::chain::Adapter;
use std::fs;
use std::path::Path;

#[test]
fn the_adapter_templates_documents_compile() {
    let (_, description) = chain_adapter::Plugin::new(Vec::new()).unwrap();
    let algorithms = millpond_algorithms::Algorithms::native();
    let recipe =
        millpond_recipe::Recipe::compile("recipe.txt", &description.recipes[0], &algorithms).unwrap();
    let values: [&[u8]; 3] = [&[1], &[2; 32], &[0xff; 32]];
    let job = recipe.job(&values).unwrap();
    assert!(job.network_target().is_some());
    millpond_dialect::Dialect::compile("dialect.txt", &description.dialects[0]).unwrap();
}

#[test]
fn a_pools_configuration_understands_every_templates_settings() {
    use millpond_sdk::{fee::FeePolicy as _, payout::Scheme as _, vote::VotePolicy as _};
    for schema in [
        chain_adapter::Plugin::schema(),
        fee_policy::Plugin::schema(),
        payout_scheme::Plugin::schema(),
        vote_policy::Plugin::schema(),
    ] {
        millpond_config::settings::described(&schema).unwrap_or_else(|errors| panic!("{schema}: {errors:?}"));
    }
}

#[test]
fn every_template_names_its_crate_its_world_and_the_sdk() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../templates");
    let mut seen = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let manifest = entry.unwrap().path().join("Cargo.toml.in");
        let Ok(text) = fs::read_to_string(&manifest) else { continue };
        for part in ["{{crate}}", "{{name}}", "{{sdk}}", "world = \"millpond:"] {
            assert!(text.contains(part), "{} lacks {part}", manifest.display());
        }
        seen += 1;
    }
    assert_eq!(seen, 4, "one per contract");
}
