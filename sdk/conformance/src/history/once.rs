//! What an income pays of shares that no other has paid: by the definition, from what each of the incomes that stand has paid of
//! each share. Beside it the pool's own list, since that is kept with the scheme's state: both have to say the same.

use crate::facts;
use crate::log::ShareLog;
use millpond_contracts::payout::{Edge, Measure, Span, Window};
use millpond_payout::WindowSums;
use millpond_types::MinerId;
use millpond_windows::{Look, Unpaid};
use std::collections::BTreeMap;

/// What an income has paid of shares, by their numbers from 1; and the share that it ended at.
#[derive(Clone, Debug, Default)]
pub(crate) struct Took {
    pub(crate) end: u64,
    pub(crate) of: BTreeMap<u64, u128>,
}

/// What an income pays once.
pub(crate) struct Once {
    pub(crate) sums: WindowSums,
    pub(crate) took: Took,
    pub(crate) after: Unpaid,
}

/// An income of `gross` that ends at share `end`, over what those that stand have left.
pub(crate) fn pays(
    log: &ShareLog,
    window: &Window,
    (end, gross): (u64, u64),
    standing: &[&Took],
    list: Option<&Unpaid>,
) -> Result<Once, String> {
    let Span::Unpaid(most) = window.span else { return Err("a window of another span".to_owned()) };
    let shares = (1..=end).rev().zip(log.0.iter().take(usize::try_from(end).unwrap_or(usize::MAX)).rev());
    let worth = |share: &crate::LoggedShare| match window.measure {
        Measure::SubsidyValue => share.worth(facts::subsidy(share.reward).0),
        _ => share.worth(share.reward),
    };
    let (mut room, mut took, mut sums) =
        (u128::from(gross) << 32, Took { end, ..Took::default() }, BTreeMap::new());
    for (number, share) in shares.clone() {
        // Out of reach of this one, or of one that looked from further on.
        let forgotten = standing.iter().any(|other| other.end.saturating_sub(number) >= most);
        if room == 0 || forgotten || end.saturating_sub(number) >= most {
            continue;
        }
        let paid: u128 = standing.iter().filter_map(|other| other.of.get(&number)).sum();
        let left = worth(share).saturating_sub(paid);
        let counts = match window.edge {
            _ if left <= room => left,
            Edge::Whole => left,
            Edge::Split => room,
            Edge::Cut => 0,
        };
        room = room.saturating_sub(left);
        if counts > 0 {
            took.of.insert(number, counts);
            *sums.entry(share.miner).or_insert(0_u128) += counts;
        }
    }
    // The pool's own.
    let edge = match window.edge {
        Edge::Whole => millpond_windows::Edge::Whole,
        Edge::Split => millpond_windows::Edge::Split,
        Edge::Cut => millpond_windows::Edge::Cut,
    };
    let nothing = Unpaid::default();
    let look = Look { begins: 0, end, most };
    let mut paying = list.unwrap_or(&nothing).paying(look, u128::from(gross) << 32, edge);
    for (number, share) in shares {
        let counts = paying.pay(number, worth(share)).map_err(|why| why.to_string())?;
        let own = took.of.get(&number).copied().unwrap_or(0);
        if counts != own {
            return Err(format!(
                "by the list of unpaid shares an income of {gross} at share {end} pays {counts} of share {number}, and {own} \
                 by what incomes have paid of it"
            ));
        }
    }
    let sums = WindowSums(sums.into_iter().map(|(miner, sum)| (MinerId(miner), sum)).collect());
    Ok(Once { sums, took, after: paying.left() })
}
