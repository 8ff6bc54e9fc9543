//! Capped pay-per-share with recent backpay: a block pays shares their expected value, the newest first, until it is spent.
//! What a short round leaves over pays old shares that no block has paid yet, the newest of them first. So no share is
//! paid twice, none more than its value, and the pool pays no more than it has earned; who bears bad luck are the shares
//! at the bottom. What is over when all are paid is the operator's, or is kept for later blocks, which is recent shared
//! maximum pay-per-share (RSMPPS).
//!
//! Which shares are unpaid the host knows: the scheme has no state.

use millpond_sdk::credit::Pay;
use millpond_sdk::cumulative;
use millpond_sdk::payout_0_2::{
    Allocation, Edge, Grain, Income, Measure, Reversal, Scheme, Settings, Span, State, Terms, Totals, Window,
    claims, number, word,
};

/// The scheme.
pub struct Cppsrb;

const SCHEMA: &str = r#"{
  "type": "object",
  "properties": {
    "pay": {
      "type": "string", "enum": ["reward", "subsidy"], "default": "reward",
      "description": "What a share is paid its part of: all that a block of its job would earn, or the subsidy."
    },
    "reach": {
      "type": "integer", "minimum": 1, "maximum": 1000000000000, "default": 100000000,
      "description": "So many shares back at most: older ones that no block has paid are forgotten."
    },
    "surplus": {
      "type": "string", "enum": ["operator", "carry"], "default": "operator",
      "description": "Whose it is what a block brings beyond all unpaid shares: the operator's (CPPSRB), or that of later blocks (RSMPPS)."
    }
  },
  "additionalProperties": false
}"#;

/// Who has what is left when every share is paid.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Surplus {
    Operator,
    Carry,
}

impl Surplus {
    fn of(settings: &Settings) -> Result<Self, String> {
        match word(settings, "surplus", "operator") {
            "operator" => Ok(Self::Operator),
            "carry" => Ok(Self::Carry),
            other => Err(format!("surplus is \"operator\" or \"carry\", not {other:?}")),
        }
    }
}

/// Bits of fraction of what shares are worth.
const FRACTION: u32 = 32;

impl Scheme for Cppsrb {
    fn schema() -> String {
        SCHEMA.to_owned()
    }

    fn describe(settings: Settings) -> Result<Terms, String> {
        let reach = u64::try_from(number(&settings, "reach", 100_000_000)).ok();
        let reach = reach.filter(|reach| (1..=1_000_000_000_000).contains(reach));
        let reach = reach.ok_or("reach is from 1 to 1000000000000 shares")?;
        let needs_subsidy = Pay::of(&settings)?.needs_subsidy();
        let measure = if needs_subsidy { Measure::SubsidyValue } else { Measure::Value };
        let operator_most = if Surplus::of(&settings)? == Surplus::Operator { 1_000_000 } else { 0 };
        let claimed = [
            claims::PERMUTATION,
            claims::SPLIT,
            claims::SCALE,
            claims::MONOTONE,
            claims::SHARE_ONCE,
            claims::NO_DEFICIT,
            claims::OWED,
        ];
        Ok(Terms {
            windows: vec![Window { span: Span::Unpaid(reach), measure, edge: Edge::Split }],
            cells: 0,
            batch: 0,
            grain: Grain::Share,
            reversal: Reversal::Restore,
            reserve: false,
            operator_most,
            needs_subsidy,
            claims: claimed.map(str::to_owned).to_vec(),
            state_format: "unpaid-1".to_owned(),
        })
    }

    /// The host has cut the window where it comes up to the income: what it lacks of it is over.
    fn allocate(
        settings: Settings,
        income: Income,
        windows: Vec<Totals>,
        _: State,
    ) -> Result<Allocation, String> {
        let [unpaid] = windows.as_slice() else {
            return Err("one window was declared, and others given".to_owned());
        };
        let gross = income.gross()?;
        let worth = unpaid.rows().try_fold(0_u128, |sum, (_, row)| sum.checked_add(row));
        let worth = worth.ok_or("what is unpaid does not fit 128 bits")? >> FRACTION;
        let funds = u64::try_from(worth).map_or(gross, |worth| worth.min(gross));
        let amounts = cumulative(funds, unpaid.rows().map(|(_, row)| row))?;
        let (given, paid) = Allocation::of(unpaid.rows().map(|(miner, _)| miner).zip(amounts))?;
        let over = gross.saturating_sub(paid);
        Ok(match Surplus::of(&settings)? {
            Surplus::Operator => Allocation { operator: over, ..given },
            Surplus::Carry => Allocation { carry: over, ..given },
        })
    }
}
millpond_sdk::export_scheme_0_2!(Cppsrb);
