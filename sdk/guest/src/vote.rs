//! Vote policies: what a user's tickets vote for where the user said nothing himself.

/// The generated bindings; use the re-exports.
#[allow(
    missing_docs,
    unsafe_code,
    clippy::all,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::panic,
    clippy::expect_used
)]
#[doc(hidden)]
pub mod bindings {
    wit_bindgen::generate!({
        path: "../../wit/vote-0.1",
        world: "vote-policy",
        pub_export_macro: true,
        export_macro_name: "export_vote",
        additional_derives: [PartialEq],
    });
}

pub use bindings::exports::millpond::vote::policy::Guest as VotePolicy;
pub use bindings::millpond::vote::types::{
    Ballot, Delegate, Explicit, Kind, Meaning, OptionOf, Pick, Setting, Status, Topic, User,
};

/// The plugin's section of the configuration: dotted keys, sorted, checked against `schema`.
pub type Settings = Vec<(String, Setting)>;

/// Exports a type that implements [`VotePolicy`] as the component's vote policy.
#[macro_export]
macro_rules! export_vote_policy {
    ($ty:ident) => {
        #[cfg(target_arch = "wasm32")]
        $crate::vote::bindings::export_vote!($ty with_types_in $crate::vote::bindings);
    };
}
