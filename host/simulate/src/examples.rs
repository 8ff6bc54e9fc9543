//! The scenarios that ship with the program.

macro_rules! examples {
    ($($name:literal),* $(,)?) => {
        /// Names and texts, in order.
        pub const EXAMPLES: &[(&str, &str)] = &[
            $(($name, include_str!(concat!("../../../examples/scenarios/", $name, ".toml")))),*
        ];
    };
}

examples! {
    "backpay",
    "coming-and-going",
    "fee-policies",
    "fee-tiers",
    "hopping",
    "loyal-miners",
    "lost-blocks",
    "pplns",
    "pps-ruin",
    "retarget",
    "scores",
    "solo",
    "steady-miners",
    "withholding",
}

/// The scenario of a name.
#[must_use]
pub fn example(name: &str) -> Option<&'static str> {
    EXAMPLES.iter().find(|example| example.0 == name).map(|example| example.1)
}
