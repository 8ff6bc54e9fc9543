//! Fee policies: what the pool keeps of each miner's gross amount. Composes with any payout scheme; who receives
//! the fees is the operator's configuration, never the plugin's.

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
        path: "../../wit/payout-0.1",
        world: "fee",
        pub_export_macro: true,
        export_macro_name: "export_fee",
        with: { "millpond:payout/types@0.1.0": crate::payout::bindings::millpond::payout::types },
    });
}

pub use crate::payout::{Income, Setting, Settings};
pub use bindings::exports::millpond::payout::fee_policy::Guest as FeePolicy;

/// `floor(amount * points / 10_000)` for up to 10,000 basis points; more is taken as 10,000, since a fee is never
/// above its amount.
pub fn basis_points(amount: u64, points: u64) -> u64 {
    crate::mul_div(amount, u128::from(points.min(10_000)), 10_000).unwrap_or(0)
}

/// Exports a type that implements [`FeePolicy`] as the component's fee policy.
#[macro_export]
macro_rules! export_fee_policy {
    ($ty:ident) => {
        #[cfg(target_arch = "wasm32")]
        $crate::fee::bindings::export_fee!($ty with_types_in $crate::fee::bindings);
    };
}

#[cfg(test)]
mod tests {
    #[test]
    fn basis_points_round_down_and_never_exceed_the_amount() {
        assert_eq!(super::basis_points(999, 100), 9);
        assert_eq!(super::basis_points(u64::MAX, 10_000), u64::MAX);
        assert_eq!(super::basis_points(5, 20_000), 5);
    }
}
