//! Who bears the network fee, exact to the unit.

use crate::SettlementError;
use millpond_ledger::SettledRow;
use millpond_types::Amount;

/// Who bears the network fee.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Charge {
    /// The pool: owners get what was reserved.
    #[default]
    Pool,
    /// The owners, in proportion to what each is paid.
    Owners,
}

/// Divides a fee over rows: what each is sent and charged, with `sent + charged = amount` for every row.
///
/// Owners are charged by cumulative floor, which sums to the fee. A row whose part of the fee is all of its amount or
/// more would be sent nothing: `None` then, and the caller pays the rows when there is more to pay.
///
/// # Errors
/// When the rows do not fit 64 bits.
pub fn charge(
    amounts: &[Amount],
    fee: Amount,
    who: Charge,
) -> Result<Option<Vec<SettledRow>>, SettlementError> {
    if who == Charge::Pool {
        return Ok(Some(
            amounts.iter().map(|amount| SettledRow { sent: *amount, charged: Amount::ZERO }).collect(),
        ));
    }
    let overflow = || SettlementError::Overflow("a payment");
    let total = Amount::sum(amounts.iter().copied()).ok_or_else(overflow)?;
    let (mut running, mut given) = (0_u64, Amount::ZERO);
    let mut rows = Vec::with_capacity(amounts.len());
    for amount in amounts {
        running = running.checked_add(amount.0).ok_or_else(overflow)?;
        let until = fee.fraction(running, total.0).ok_or_else(overflow)?;
        let charged = until.checked_sub(given).ok_or_else(overflow)?;
        given = until;
        match amount.checked_sub(charged) {
            Some(sent) if sent > Amount::ZERO => rows.push(SettledRow { sent, charged }),
            _ => return Ok(None),
        }
    }
    Ok(Some(rows))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_pool_bears_the_fee_and_owners_get_everything() {
        let rows = charge(&[Amount(5), Amount(7)], Amount(100), Charge::Pool).unwrap().unwrap();
        assert_eq!(rows.iter().map(|row| (row.sent.0, row.charged.0)).collect::<Vec<_>>(), [(5, 0), (7, 0)]);
    }

    #[test]
    fn a_row_that_the_fee_would_eat_up_waits() {
        assert_eq!(charge(&[Amount(1), Amount(2)], Amount(3), Charge::Owners).unwrap(), None);
    }

    proptest! {
        #[test]
        fn owners_bear_the_fee_to_the_unit(amounts in proptest::collection::vec(1..1_000_000_u64, 1..50), fee in 0..5000_u64) {
            let amounts: Vec<_> = amounts.into_iter().map(Amount).collect();
            if let Some(rows) = charge(&amounts, Amount(fee), Charge::Owners).unwrap() {
                prop_assert_eq!(rows.iter().map(|row| row.charged.0).sum::<u64>(), fee);
                for (row, amount) in rows.iter().zip(&amounts) {
                    prop_assert_eq!(row.sent.0 + row.charged.0, amount.0);
                }
            }
        }
    }
}
