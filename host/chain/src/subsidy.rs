//! How much of a job's reward is subsidy. Schemes that pay subsidy and fees apart need it, and no rule of a coin is native:
//! the adapter says it with each job, trusted as for the reward itself.

use crate::job::Refused;
use millpond_contracts::chain::{Description, Extra};
use millpond_types::Amount;

/// Of a description: jobs tell their subsidy, wherever the node tells what it takes. The value says nothing.
const DECLARED: &str = "job.subsidy";
/// Of a job: the subsidy in ledger units, 8 bytes, least first.
const KEY: &str = "subsidy";

/// Whether the jobs of an adapter tell their subsidy.
#[must_use]
pub fn tells_subsidy(description: &Description) -> bool {
    description.extra.iter().any(|(key, _)| key == DECLARED)
}

/// The subsidy that a job tells.
pub(crate) fn of_job(extra: &Extra, reward: Amount) -> Result<Option<Amount>, Refused> {
    let refuse = |text: String| Err(Refused::Bounds(text));
    let mut told = extra.iter().filter(|(key, _)| key == KEY).map(|(_, value)| value);
    let (first, second) = (told.next(), told.next());
    let Some(value) = first else { return Ok(None) };
    if second.is_some() {
        return refuse("it tells its subsidy twice".to_owned());
    }
    let Ok(bytes) = <[u8; 8]>::try_from(value.as_slice()) else {
        return refuse(format!("a subsidy of {} bytes, 8 with the least first", value.len()));
    };
    let subsidy = Amount(u64::from_le_bytes(bytes));
    if subsidy > reward {
        return refuse(format!("a subsidy of {subsidy} in a reward of {reward}"));
    }
    Ok(Some(subsidy))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subsidy_is_eight_bytes_once_and_at_most_the_reward() {
        let pair = |bytes: &[u8]| (KEY.to_owned(), bytes.to_vec());
        let other = ("height".to_owned(), vec![1]);
        let of = |extra: &[(String, Vec<u8>)]| of_job(&extra.to_vec(), Amount(1_000));
        let full = pair(&1_000_u64.to_le_bytes());
        assert_eq!(of(&[other.clone(), full.clone()]), Ok(Some(Amount(1_000))));
        assert_eq!(of(&[other]), Ok(None));
        let refused = |extra: &[(String, Vec<u8>)]| of(extra).unwrap_err().to_string();
        assert!(refused(&[full.clone(), full]).contains("twice"));
        assert!(refused(&[pair(&[1, 2, 3])]).contains("3 bytes"));
        assert!(refused(&[pair(&1_001_u64.to_le_bytes())]).contains("1001 in a reward of 1000"));
    }
}
