//! In-process schemes and policies, honest and hostile.
#![allow(dead_code)]

use millpond_contracts::payout::{
    Allocation, Batch, Edge, FeePolicy, Fees, Income, Measure, PayoutScheme, Span, State, Terms, Totals,
    Version, Window,
};
use millpond_contracts::{Done, Outcome, Settings};
use millpond_ledger::{FeeName, IncomeKey};
use millpond_payout::{
    BoundFee, BoundScheme, Decision, IncomeFacts, NoAttributes, PayoutError, Recipient, Rule, SchemeState,
    WindowSums, allocate,
};
use millpond_types::{Amount, Digest, MinerId, ShareSeq, UnixMillis};
use std::sync::Arc;

pub fn done<T>(value: T) -> Outcome<T> {
    Ok(Done { value, fuel_limit: 1000, fuel_used: 10 })
}

type Allocate = Box<dyn Fn(&Income, &[Totals], &State) -> Allocation + Send + Sync>;
type Accrue = Box<dyn Fn(&Batch, &State) -> Allocation + Send + Sync>;

/// A scheme made of closures.
pub struct Fake {
    pub terms: Terms,
    pub version: u8,
    pub contract: Version,
    pub allocate: Allocate,
    pub accrue: Option<Accrue>,
}

impl PayoutScheme for Fake {
    fn digest(&self) -> Digest {
        Digest([self.version; 32])
    }
    fn version(&self) -> Version {
        self.contract
    }
    fn schema(&self) -> Outcome<String> {
        done("{}".to_owned())
    }
    fn describe(&self, _: &Settings) -> Outcome<Terms> {
        done(self.terms.clone())
    }
    fn allocate(
        &self,
        _: &Settings,
        income: &Income,
        windows: &[Totals],
        state: &State,
    ) -> Outcome<Allocation> {
        done((self.allocate)(income, windows, state))
    }
    fn accrues(&self) -> bool {
        self.accrue.is_some()
    }
    fn accrue(&self, _: &Settings, batch: &Batch, state: &State) -> Outcome<Allocation> {
        done((self.accrue.as_ref().unwrap())(batch, state))
    }
}

pub fn terms() -> Terms {
    Terms {
        windows: vec![Window { span: Span::Round, measure: Measure::Work, edge: Edge::Whole }],
        cells: 0,
        batch: 0,
        claims: vec!["permutation".to_owned(), "split".to_owned()],
        ..Terms::default()
    }
}

/// The honest split by cumulative floor.
pub fn split(gross: u64, window: &Totals) -> Allocation {
    let weights: Vec<u128> = window
        .low
        .iter()
        .zip(&window.high)
        .map(|(low, high)| u128::from(*high) << 64 | u128::from(*low))
        .collect();
    let total: u128 = weights.iter().sum();
    let (mut running, mut given) = (0_u128, 0_u64);
    let mut allocation = Allocation::default();
    for (miner, weight) in window.miner.iter().zip(&weights) {
        running += weight;
        let until = u64::try_from(u128::from(gross) * running / total).unwrap();
        if until > given {
            allocation.miner.push(*miner);
            allocation.amount.push(until - given);
        }
        given = until;
    }
    allocation.rest = gross - given;
    allocation
}

pub fn scheme(
    allocate: impl Fn(&Income, &[Totals], &State) -> Allocation + Send + Sync + 'static,
) -> BoundScheme {
    with_terms(terms(), allocate)
}

pub fn with_terms(
    terms: Terms,
    allocate: impl Fn(&Income, &[Totals], &State) -> Allocation + Send + Sync + 'static,
) -> BoundScheme {
    bound(Fake { terms, version: 1, contract: Version::V0_1, allocate: Box::new(allocate), accrue: None })
}

/// A scheme of 0.2.
pub fn second(
    terms: Terms,
    allocate: impl Fn(&Income, &[Totals], &State) -> Allocation + Send + Sync + 'static,
) -> BoundScheme {
    bound(Fake { terms, version: 2, contract: Version::V0_2, allocate: Box::new(allocate), accrue: None })
}

pub fn bound(fake: Fake) -> BoundScheme {
    BoundScheme::new("fake", Arc::new(fake), Settings::new()).unwrap()
}

pub fn honest() -> BoundScheme {
    scheme(|income, windows, _| split(income.gross, &windows[0]))
}

/// A fee policy made of a closure: (amounts) to (fees, rebates).
pub struct FakeFee(pub FeeOf);

type FeeOf = Box<dyn Fn(&[u64], &[u64]) -> Fees + Send + Sync>;

impl FeePolicy for FakeFee {
    fn digest(&self) -> Digest {
        Digest([9; 32])
    }
    fn schema(&self) -> Outcome<String> {
        done("{}".to_owned())
    }
    fn describe(&self, _: &Settings) -> Outcome<Vec<String>> {
        done(Vec::new())
    }
    fn fees(&self, _: &Settings, _: &Income, miner: &[u64], amount: &[u64], _: &[Vec<u64>]) -> Outcome<Fees> {
        done((self.0)(miner, amount))
    }
}

pub fn fee(policy: impl Fn(&[u64], &[u64]) -> Fees + Send + Sync + 'static) -> BoundFee {
    let to = |name: &str, weight| Recipient { name: name_of(name), weight };
    BoundFee::new(
        "fee",
        Arc::new(FakeFee(Box::new(policy))),
        Settings::new(),
        vec![to("pool", 2), to("dev", 1)],
    )
    .unwrap()
}

pub fn percent(points: u64) -> BoundFee {
    fee(move |_, amount| Fees {
        fee: amount
            .iter()
            .map(|a| u64::try_from(u128::from(*a) * u128::from(points) / 10_000).unwrap())
            .collect(),
        rebate: vec![0; amount.len()],
    })
}

pub fn name_of(name: &str) -> FeeName {
    FeeName::try_from(name.to_owned()).unwrap()
}

pub fn facts(amount: u64) -> IncomeFacts {
    IncomeFacts {
        key: IncomeKey::new(amount.to_le_bytes().to_vec()).unwrap(),
        amount: Amount(amount),
        subsidy: None,
        reserve: Amount::ZERO,
        number: 4,
        end: ShareSeq(9),
        time: UnixMillis(5),
        coord: 3,
        finder: Some(MinerId(10)),
        unpaid: None,
    }
}

/// Miners 10, 20, 30, … with these sums.
pub fn window(sums: &[u128]) -> WindowSums {
    WindowSums(sums.iter().zip(1..).map(|(sum, at)| (MinerId(at * 10), *sum)).collect())
}

pub fn divide(scheme: &BoundScheme, fee: Option<&BoundFee>, sums: &[u128]) -> Result<Decision, PayoutError> {
    let state = SchemeState::new(scheme.terms());
    allocate(
        scheme,
        fee.map_or(&[], std::slice::from_ref),
        &facts(1_000_003),
        Amount::ZERO,
        &[window(sums)],
        &state,
        &NoAttributes,
    )
}

pub fn rule(result: Result<Decision, PayoutError>) -> Rule {
    match result {
        Err(error @ PayoutError::Broken { .. }) => {
            assert!(error.is_strike());
            assert!(error.to_string().contains("fake (") || error.to_string().contains("fee ("), "{error}");
            let PayoutError::Broken { rule, .. } = error else { unreachable!() };
            rule
        }
        other => panic!("the result was not refused by a rule: {other:?}"),
    }
}
