//! What a scheme keeps of miners in cells is settled by its own rule when another follows it, to the unit and once.

use crate::run_off::{differ_by, follows, history, in_force, is_open, parts, pplns, run_off};
use crate::support::{Pool, wanted};
use millpond_contracts::Setting;
use millpond_journal::{BlockFate, Fate, Income, RUN_OFF, Setting as Recorded};
use millpond_ledger::{Entry, IncomeKey, IncomeStatus, Owner};
use millpond_pool::policy::Wanted;
use millpond_types::{Amount, MinerId, ShareSeq, UnixMillis};
use proptest::prelude::*;
use std::collections::BTreeMap;

const RESERVE: Amount = Amount(1 << 60);

fn int(name: &str, value: i64) -> (String, Setting) {
    (name.to_owned(), Setting::Int(value))
}

/// Half of a score outlives a block, and nearly all of it the work of one.
fn dgm() -> Wanted {
    Wanted { reserve: RESERVE, ..wanted("dgm", vec![int("c_bp", 3_000), int("o_bp", 7_000)], 100) }
}

fn pps() -> Wanted {
    run_off(Wanted { reserve: RESERVE, ..wanted("pps", Vec::new(), 100) })
}

fn plain(name: &str) -> Wanted {
    wanted(name, Vec::new(), 100)
}

fn of_c(pool: &Pool, miners: &[MinerId; 3]) -> Vec<u64> {
    parts(pool, miners).into_iter().map(|row| row[2]).collect()
}

/// The boundary is the first block; the miner c worked before it alone.
#[test]
fn work_of_before_is_paid_to_the_unit_as_if_nobody_had_followed() {
    let all = [dgm(), plain("geometric"), plain("slush"), plain("smpps"), plain("esmpps"), plain("shifts")];
    let next = ["solo", "smpps", "cppsrb", "prop", "slush", "geometric"].map(|name| run_off(plain(name)));
    for (first, next) in all.into_iter().zip(next) {
        let name = first.scheme.name.clone();
        let (straight, miners) = history(&first, &[]);
        let straight = of_c(&straight, &miners);
        for next in [next, pplns(2_000), pps()] {
            let (pool, miners) = history(&first, &[(0, &run_off(next.clone()))]);
            assert_eq!(in_force(&pool), next.scheme.name);
            let paid = of_c(&pool, &miners);
            let rounded = straight.iter().zip(&paid).all(|(one, other)| one.abs_diff(*other) <= 1);
            assert!(rounded, "{name} and {}: {straight:?}, {paid:?}", next.scheme.name);
            // It ends by itself, but where a part of a score is left of each block.
            assert_eq!((follows(&pool).is_some(), is_open(&pool)), (true, name == "dgm"), "{name}");
        }
        // Work behind the boundary earns somebody something, and before it did not vanish.
        assert!(name == "geometric" || straight[1] > 0, "{name}: {straight:?}");
    }
}
