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

use crate::Settings as _;
pub use crate::payout::{Income, Setting, Settings};
pub use bindings::exports::millpond::payout::fee_policy::Guest as FeePolicy;

/// `floor(amount * points / 10_000)` for up to 10,000 basis points; more is taken as 10,000, since a fee is never
/// above its amount.
pub fn basis_points(amount: u64, points: u64) -> u64 {
    crate::mul_div(amount, u128::from(points.min(10_000)), 10_000).unwrap_or(0)
}

/// A rate of the settings: 0 to 10,000 basis points.
// Inlined, so that it is compiled with who uses it and changes no byte of other components.
#[inline]
pub fn rate(settings: &Settings, name: &str, or: u64) -> Result<u64, String> {
    match settings.uint_or(name, or)? {
        points @ 0..=10_000 => Ok(points),
        other => Err(format!("setting `{name}` is {other}, it must be 0 to 10000")),
    }
}

/// These fees, of which nothing is given back.
#[inline]
pub fn kept(fee: Vec<u64>) -> (Vec<u64>, Vec<u64>) {
    let rebate = vec![0; fee.len()];
    (fee, rebate)
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

    #[test]
    fn a_rate_is_up_to_the_whole_or_refused_by_its_name() {
        let of = |points: i64| super::rate(&vec![("fee".to_owned(), super::Setting::Int(points))], "fee", 7);
        assert_eq!((of(0), of(10_000), super::rate(&Vec::new(), "fee", 7)), (Ok(0), Ok(10_000), Ok(7)));
        for wrong in [-1, 10_001, i64::MAX] {
            assert!(of(wrong).unwrap_err().contains("`fee`"), "{wrong}");
        }
        assert_eq!(super::kept(vec![3, 0]), (vec![3, 0], vec![0, 0]));
    }
}
