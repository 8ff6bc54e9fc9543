//! The type of every exported function of 0.2.

use super::payout::scheme_bindings::millpond::payout::types as payout;
use crate::since_0_1::signatures::{differs, signatures};

type Outcome<T> = (Result<T, String>,);
type PayoutSettings = Vec<(String, payout::Setting)>;

signatures!(scheme,
    "millpond:payout/scheme@0.2.0" {
        "schema": () => (String,);
        "describe": (PayoutSettings,) => Outcome<payout::Terms>;
        "allocate": (PayoutSettings, payout::Income, Vec<payout::Totals>, payout::State) => Outcome<payout::Allocation>;
    }
    "millpond:payout/accrual@0.2.0" {
        "accrue": (PayoutSettings, payout::Batch, payout::State) => Outcome<payout::Allocation>;
    }
);
