//! The bundled payout schemes and fee policies as native code: the very sources that became the components, behind the
//! same traits, [`PayoutScheme`] and [`FeePolicy`]. For what calls a scheme many million times, as a simulation does. A
//! pool never pays by this: it runs components, in their sandbox, with their limits.
//!
//! That both give the same is tested for each of them (`native_equals_component`) over generated histories, by a
//! [`Chain`] of digests. What keeps it so:
//!
//! - Overflow is checked in both builds; a component traps where native code panics. A panic is caught and becomes
//!   [`CallError::Trap`](millpond_contracts::CallError), with nothing written to standard error.
//! - A component's `usize` has 32 bits and the order of the standard library's hash maps is no part of any contract:
//!   clippy refuses hash maps in `plugins/`.
//! - There is no fuel and no limit of memory here: `fuel_used` is 0. A call that would never end never ends.
//! - [`PayoutScheme::digest`] is the one of the bundled component. `cargo xtask guests --check` holds that against the
//!   sources, so that native code is not newer than its component without anybody noticing.

mod caught;
mod chain;
mod convert;
mod convert_0_2;
mod fee;
mod scheme;

pub use chain::Chain;
pub use fee::NativeFee;
pub use scheme::OwnedCalls;
pub use scheme::since_0_1::NativeScheme;
pub use scheme::since_0_2::NativeScheme02;

use millpond_contracts::payout::{FeePolicy, PayoutScheme};
use millpond_fee_donation::FeeDonation;
use millpond_fee_flat::FlatFee;
use millpond_fee_rebate::FeeRebate;
use millpond_fee_reserve::FeeReserve;
use millpond_fee_tiers::FeeTiers;
use millpond_fee_workers::FeeWorkers;
use millpond_scheme_cppsrb::Cppsrb;
use millpond_scheme_dgm::Dgm;
use millpond_scheme_esmpps::Esmpps;
use millpond_scheme_finder_bonus::FinderBonus;
use millpond_scheme_fpps::Fpps;
use millpond_scheme_geometric::Geometric;
use millpond_scheme_incentive_compatible::IncentiveCompatible;
use millpond_scheme_pplns::UnitPplns;
use millpond_scheme_pplns_window::WindowPplns;
use millpond_scheme_pps::Pps;
use millpond_scheme_pps_plus::PpsPlus;
use millpond_scheme_prop::Prop;
use millpond_scheme_queue::Queue;
use millpond_scheme_shifts::Shifts;
use millpond_scheme_slice::Slice;
use millpond_scheme_slush::Slush;
use millpond_scheme_smpps::Smpps;
use millpond_scheme_solo::Solo;
use millpond_scheme_tides::Tides;
use millpond_types::Digest;
use std::sync::Arc;

/// The schemes that [`get`] knows, in order.
pub const SCHEMES: [&str; 19] = [
    "cppsrb",
    "dgm",
    "esmpps",
    "finder-bonus",
    "fpps",
    "geometric",
    "incentive-compatible",
    "pplns",
    "pplns-window",
    "pps",
    "pps-plus",
    "prop",
    "queue",
    "shifts",
    "slice",
    "slush",
    "smpps",
    "solo",
    "tides",
];

/// The fee policies that [`fee`] knows, in order.
pub const FEES: [&str; 6] =
    ["fee-donation", "fee-rebate", "fee-reserve", "fee-tiers", "fee-workers", "flat-fee"];

/// The bundled scheme of this name, as native code.
#[must_use]
pub fn get(name: &str) -> Option<Arc<dyn PayoutScheme>> {
    owned(name).map(|scheme| scheme as Arc<dyn PayoutScheme>)
}

/// The same, for who hands over what it calls with and keeps nothing of it.
#[must_use]
pub fn owned(name: &str) -> Option<Arc<dyn OwnedCalls>> {
    let digest = digest(name)?;
    Some(match name {
        "cppsrb" => Arc::new(NativeScheme02::<Cppsrb>::new(digest)),
        "dgm" => Arc::new(NativeScheme02::<Dgm>::accruing(digest)),
        "esmpps" => Arc::new(NativeScheme02::<Esmpps>::accruing(digest)),
        "finder-bonus" => Arc::new(NativeScheme::<FinderBonus>::new(digest)),
        "fpps" => Arc::new(NativeScheme02::<Fpps>::accruing(digest)),
        "geometric" => Arc::new(NativeScheme02::<Geometric>::accruing(digest)),
        "incentive-compatible" => Arc::new(NativeScheme::<IncentiveCompatible>::new(digest)),
        "pplns" => Arc::new(NativeScheme::<UnitPplns>::new(digest)),
        "pplns-window" => Arc::new(NativeScheme::<WindowPplns>::new(digest)),
        "pps" => Arc::new(NativeScheme::<Pps>::accruing(digest)),
        "pps-plus" => Arc::new(NativeScheme02::<PpsPlus>::accruing(digest)),
        "prop" => Arc::new(NativeScheme::<Prop>::new(digest)),
        "queue" => Arc::new(NativeScheme02::<Queue>::accruing(digest)),
        "shifts" => Arc::new(NativeScheme02::<Shifts>::accruing(digest)),
        "slice" => Arc::new(NativeScheme02::<Slice>::new(digest)),
        "slush" => Arc::new(NativeScheme02::<Slush>::accruing(digest)),
        "smpps" => Arc::new(NativeScheme02::<Smpps>::accruing(digest)),
        "solo" => Arc::new(NativeScheme::<Solo>::new(digest)),
        "tides" => Arc::new(NativeScheme::<Tides>::new(digest)),
        _ => return None,
    })
}

/// The bundled fee policy of this name, as native code.
#[must_use]
pub fn fee(name: &str) -> Option<Arc<dyn FeePolicy>> {
    let digest = digest(name)?;
    Some(match name {
        "fee-donation" => Arc::new(NativeFee::<FeeDonation>::new(digest)),
        "fee-rebate" => Arc::new(NativeFee::<FeeRebate>::new(digest)),
        "fee-reserve" => Arc::new(NativeFee::<FeeReserve>::new(digest)),
        "fee-tiers" => Arc::new(NativeFee::<FeeTiers>::new(digest)),
        "fee-workers" => Arc::new(NativeFee::<FeeWorkers>::new(digest)),
        "flat-fee" => Arc::new(NativeFee::<FlatFee>::new(digest)),
        _ => return None,
    })
}

/// The digest of the component that was built from the same sources.
fn digest(name: &str) -> Option<Digest> {
    millpond_bundled::get(name).map(|plugin| plugin.digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bundled_scheme_and_fee_policy_is_there() {
        let of = |world: &str| {
            let all = millpond_bundled::all().iter();
            all.filter(|plugin| plugin.world.contains(world)).map(|plugin| plugin.name).collect::<Vec<_>>()
        };
        assert_eq!(of("/payout-scheme"), SCHEMES);
        assert_eq!(of("/fee@"), FEES);
        assert!(SCHEMES.iter().all(|name| get(name).is_some() && fee(name).is_none()));
        assert!(FEES.iter().all(|name| fee(name).is_some() && get(name).is_none()));
        assert!(get("bitcoin").is_none() && get("no such plugin").is_none());
    }

    #[test]
    fn a_scheme_is_known_by_its_component() {
        for name in SCHEMES {
            let bundled = millpond_bundled::get(name).unwrap();
            assert_eq!(get(name).unwrap().digest(), bundled.digest, "{name}");
            // The world with an accrual is another one.
            let accrues = bundled.world.contains("payout-scheme-full");
            assert_eq!(get(name).unwrap().accrues(), accrues, "{name}");
        }
    }
}
