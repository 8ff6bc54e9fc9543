//! Amounts as wallets write them: decimals of the coin, read and written without floating point.

use millpond_types::Amount;

/// Text that is not an amount of so many decimals.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not an amount with at most {decimals} decimals that fits 64 bits")]
pub struct DecimalError {
    /// The text.
    pub text: String,
    /// Decimals allowed.
    pub decimals: u8,
}

/// "1.5" with 8 decimals is 150000000. Also reads an exponent ("1e-8"), as JSON numbers may have one.
///
/// # Errors
/// When the text is negative, malformed, more precise than the coin, or does not fit 64 bits.
pub fn from_decimal(text: &str, decimals: u8) -> Result<Amount, DecimalError> {
    parse(text, decimals).ok_or_else(|| DecimalError { text: text.chars().take(64).collect(), decimals })
}

fn parse(text: &str, decimals: u8) -> Option<Amount> {
    let (number, exponent) = match text.split_once(['e', 'E']) {
        Some((number, exponent)) => (number, exponent.parse::<i32>().ok().filter(|e| e.abs() <= 64)?),
        None => (text, 0),
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = format!("{whole}{fraction}");
    if digits.is_empty() || digits.len() > 64 || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    // value = digits * 10^shift ledger units
    let shift = i32::from(decimals) + exponent - i32::try_from(fraction.len()).ok()?;
    let significant = digits.trim_start_matches('0');
    let mut value: String = significant.to_owned();
    if shift >= 0 {
        if !value.is_empty() {
            value.extend(std::iter::repeat_n('0', usize::try_from(shift).ok()?));
        }
    } else {
        for _ in 0..shift.unsigned_abs() {
            // More precise than the coin unless the digit is zero.
            if value.pop().is_some_and(|digit| digit != '0') {
                return None;
            }
        }
    }
    if value.is_empty() { Some(Amount::ZERO) } else { value.parse().ok().map(Amount) }
}

/// 150000000 with 8 decimals is "1.50000000".
#[must_use]
pub fn to_decimal(amount: Amount, decimals: u8) -> String {
    let width = usize::from(decimals);
    if width == 0 {
        return amount.to_string();
    }
    let digits = format!("{:0>1$}", amount.0, width + 1);
    let (whole, fraction) = digits.split_at(digits.len() - width);
    format!("{whole}.{fraction}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn amounts_are_read_as_nodes_write_them() {
        for (text, units) in [
            ("1.5", 150_000_000),
            ("0.00000001", 1),
            ("1e-8", 1),
            ("50", 5_000_000_000),
            ("0.0", 0),
            ("2.5E-7", 25),
        ] {
            assert_eq!(from_decimal(text, 8), Ok(Amount(units)), "{text}");
        }
    }

    #[test]
    fn what_is_not_an_exact_amount_is_refused() {
        for bad in ["-1", "", ".", "1.000000001", "1e-9", "1e99", "abc", "1,5", "184467440737.09551616", "+1"]
        {
            assert!(from_decimal(bad, 8).is_err(), "{bad:?} was accepted");
        }
    }

    proptest! {
        #[test]
        fn every_amount_survives_its_text(units: u64, decimals in 0..19_u8) {
            prop_assert_eq!(from_decimal(&to_decimal(Amount(units), decimals), decimals), Ok(Amount(units)));
        }
    }
}
