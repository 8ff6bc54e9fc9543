//! Accounts: what a balance is kept for. No coin and no address appears here.

use millpond_types::MinerId;
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

/// The name of a fee recipient in the operator's configuration: 1 to 32 of `a-z`, `0-9`, `-` and `_`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FeeName(String);

/// A name that no fee recipient can have.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("a fee recipient's name is 1 to 32 of a-z, 0-9, - and _, not {0:?}")]
pub struct FeeNameError(pub String);

impl FeeName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for FeeName {
    type Error = FeeNameError;

    fn try_from(name: String) -> Result<Self, Self::Error> {
        let fits = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-' || c == b'_';
        if (1..=32).contains(&name.len()) && name.bytes().all(fits) {
            Ok(Self(name))
        } else {
            Err(FeeNameError(name))
        }
    }
}

impl From<FeeName> for String {
    fn from(name: FeeName) -> Self {
        name.0
    }
}

impl fmt::Display for FeeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// To whom the pool owes. Written `m12`, `fee:NAME`, `carry` or `reserve`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Owner {
    /// A miner of the pool.
    Miner(MinerId),
    /// A recipient of fees.
    Fee(FeeName),
    /// All miners together: what rounding and unfilled windows left over, to be allocated with a later income.
    Carry,
    /// The operator's reserve that PPS credit is taken from.
    Reserve,
}

/// Text that names no owner.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("an owner is m<number>, fee:<name>, carry or reserve, not {0:?}")]
pub struct OwnerError(pub String);

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Miner(id) => write!(f, "m{id}"),
            Self::Fee(name) => write!(f, "fee:{name}"),
            Self::Carry => f.write_str("carry"),
            Self::Reserve => f.write_str("reserve"),
        }
    }
}

impl FromStr for Owner {
    type Err = OwnerError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refused = || OwnerError(text.to_owned());
        match text {
            "carry" => return Ok(Self::Carry),
            "reserve" => return Ok(Self::Reserve),
            _ => {}
        }
        if let Some(name) = text.strip_prefix("fee:") {
            return FeeName::try_from(name.to_owned()).map(Self::Fee).map_err(|_| refused());
        }
        let digits = text.strip_prefix('m').ok_or_else(refused)?;
        // One spelling per owner: "m007" and "m+7" would hash differently from "m7".
        let leading = digits.starts_with('+') || (digits.starts_with('0') && digits != "0");
        if leading {
            return Err(refused());
        }
        digits.parse().map(|id| Self::Miner(MinerId(id))).map_err(|_| refused())
    }
}

impl Serialize for Owner {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Owner {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Text("an owner", PhantomData))
    }
}

/// An account of the pool's books. Written `immature-income`, `wallet`, `network-fees`, `operator-loss`,
/// `in-flight`, `immature/OWNER` or `payable/OWNER`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Account {
    /// Asset: incomes that the chain may still take back.
    ImmatureIncome,
    /// Asset: what the pool's wallet holds of matured incomes and of what the operator paid in.
    Wallet,
    /// Expense: network fees that the pool bears.
    NetworkFees,
    /// Expense: credited incomes that the chain took back and the operator made good.
    OperatorLoss,
    /// Liability: reserved for payments that are neither settled nor released.
    InFlight,
    /// Liability: credited, to become payable when the income matures.
    Immature(Owner),
    /// Liability: may be paid out.
    Payable(Owner),
}

/// Which side of the books an account stands on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// What the pool has: a debit raises it.
    Asset,
    /// What the operator lost or spent: a debit raises it.
    Expense,
    /// What the pool owes: a credit raises it; it is never below zero.
    Liability,
}

impl Account {
    /// The side of the books.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            Self::ImmatureIncome | Self::Wallet => Class::Asset,
            Self::NetworkFees | Self::OperatorLoss => Class::Expense,
            Self::InFlight | Self::Immature(_) | Self::Payable(_) => Class::Liability,
        }
    }

    /// Whether a negative balance is an error: all liabilities, and income that was never recorded.
    #[must_use]
    pub fn bounded(&self) -> bool {
        self.class() == Class::Liability || *self == Self::ImmatureIncome
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ImmatureIncome => f.write_str("immature-income"),
            Self::Wallet => f.write_str("wallet"),
            Self::NetworkFees => f.write_str("network-fees"),
            Self::OperatorLoss => f.write_str("operator-loss"),
            Self::InFlight => f.write_str("in-flight"),
            Self::Immature(owner) => write!(f, "immature/{owner}"),
            Self::Payable(owner) => write!(f, "payable/{owner}"),
        }
    }
}

impl FromStr for Account {
    type Err = OwnerError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "immature-income" => Ok(Self::ImmatureIncome),
            "wallet" => Ok(Self::Wallet),
            "network-fees" => Ok(Self::NetworkFees),
            "operator-loss" => Ok(Self::OperatorLoss),
            "in-flight" => Ok(Self::InFlight),
            _ => match text.split_once('/') {
                Some(("immature", owner)) => Ok(Self::Immature(owner.parse()?)),
                Some(("payable", owner)) => Ok(Self::Payable(owner.parse()?)),
                _ => Err(OwnerError(text.to_owned())),
            },
        }
    }
}

impl Serialize for Account {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Account {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Text("an account", PhantomData))
    }
}

/// Reads a name where it stands: an entry may hold a million of them.
struct Text<T>(&'static str, PhantomData<T>);

impl<T: FromStr<Err = OwnerError>> Visitor<'_> for Text<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_account_survives_its_text() {
        let fee = Owner::Fee(FeeName::try_from("pool-1".to_owned()).unwrap());
        for account in [
            Account::ImmatureIncome,
            Account::Wallet,
            Account::NetworkFees,
            Account::OperatorLoss,
            Account::InFlight,
            Account::Immature(Owner::Miner(MinerId(7))),
            Account::Payable(fee),
            Account::Payable(Owner::Carry),
            Account::Immature(Owner::Reserve),
        ] {
            let text = account.to_string();
            assert_eq!(text.parse(), Ok(account.clone()));
            let stored = serde_json::to_string(&account).unwrap();
            assert_eq!(stored, format!("{text:?}"));
            assert_eq!(serde_json::from_str::<Account>(&stored).unwrap(), account);
        }
    }

    #[test]
    fn an_owner_has_one_spelling() {
        assert_eq!("m0".parse(), Ok(Owner::Miner(MinerId(0))));
        let bad = ["m007", "m00", "m+7", "m-7", "m 7", "m7 ", "m", "M7", "m18446744073709551616"];
        for bad in bad.into_iter().chain(["fee:", "fee:A", "fee:a/b", "7", ""]) {
            assert!(bad.parse::<Owner>().is_err(), "{bad:?} was accepted");
            assert!(serde_json::from_str::<Owner>(&format!("{bad:?}")).is_err(), "{bad:?} was read");
        }
    }
}
