//! The check of a signed payment before it is stored and sent: it pays the intents, to the unit, and nobody else.

use crate::transaction::{OutPoint, Transaction, TransactionError, Txid};
use millpond_types::Amount;
use std::collections::{HashMap, HashSet};

/// Somebody who is to be paid. Duplicate scripts are merged before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Intent {
    /// To whom (scriptPubKey).
    pub script: Vec<u8>,
    /// How much, in base units, exactly.
    pub amount: Amount,
}

/// A coin of the pool's wallet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Coin {
    /// Where it is.
    pub at: OutPoint,
    /// What it is worth, in base units.
    pub amount: Amount,
}

/// What a payment must be.
#[derive(Clone, Copy, Debug)]
pub struct Rules<'a> {
    /// Who is paid what.
    pub intents: &'a [Intent],
    /// The coins that may be spent: those that the host reserved for this payment.
    pub coins: &'a [Coin],
    /// Scripts of the pool's own, to which change may go, in one output.
    pub change: &'a [Vec<u8>],
    /// The highest network fee, in base units.
    pub max_fee: Amount,
}

/// A payment that passed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payment {
    /// Its identity.
    pub txid: Txid,
    /// For each intent the index of the output that pays it.
    pub vouts: Vec<u32>,
    /// What goes back to the pool, in base units.
    pub change: Amount,
    /// What the network gets, in base units.
    pub fee: Amount,
    /// Its size for fees, in virtual bytes.
    pub vsize: u64,
    /// The coins that it spends.
    pub spends: Vec<OutPoint>,
}

/// Why a payment must not be sent.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum PaymentError {
    /// Not a transaction.
    #[error(transparent)]
    Transaction(#[from] TransactionError),
    /// An input that is not among the reserved coins.
    #[error("the payment spends {0}, which was not reserved for it")]
    ForeignCoin(OutPoint),
    /// An input twice.
    #[error("the payment spends {0} twice")]
    SpentTwice(OutPoint),
    /// An input without script and witness.
    #[error("the input that spends {0} is not signed")]
    Unsigned(OutPoint),
    /// An output to somebody who is not to be paid that.
    #[error("output {vout} pays {amount} to script {script}, which is neither an intent nor our change")]
    ForeignOutput {
        /// Its index.
        vout: u32,
        /// How much.
        amount: Amount,
        /// The script in hex, cut at 80 digits.
        script: String,
    },
    /// A second output that pays the pool itself.
    #[error(
        "output {vout} pays {amount} to the pool's wallet, which another output does already: one is change"
    )]
    SecondChange {
        /// Its index.
        vout: u32,
        /// How much.
        amount: Amount,
    },
    /// An intent that no output pays.
    #[error("nothing pays intent {index} of {amount}")]
    Unpaid {
        /// Its place among the intents.
        index: usize,
        /// How much.
        amount: Amount,
    },
    /// More paid than spent, or sums beyond 64 bits.
    #[error("the outputs exceed the inputs or a sum does not fit")]
    Sum,
    /// A fee above the cap.
    #[error("the network fee of {fee} is above the cap of {cap}")]
    Fee {
        /// The fee.
        fee: Amount,
        /// The cap.
        cap: Amount,
    },
}

/// Checks a signed transaction against what it is for. Signatures themselves are the node's to check.
///
/// # Errors
/// When anything differs from the rules. Such a transaction is neither stored nor sent.
pub fn verify(bytes: &[u8], rules: Rules<'_>) -> Result<Payment, PaymentError> {
    let tx = Transaction::parse(bytes)?;
    let coins: HashMap<OutPoint, Amount> = rules.coins.iter().map(|coin| (coin.at, coin.amount)).collect();
    let mut seen = HashSet::new();
    let mut spent = Amount::ZERO;
    for input in &tx.inputs {
        let amount = *coins.get(&input.spends).ok_or(PaymentError::ForeignCoin(input.spends))?;
        if !seen.insert(input.spends) {
            return Err(PaymentError::SpentTwice(input.spends));
        }
        if !input.signed {
            return Err(PaymentError::Unsigned(input.spends));
        }
        spent = spent.checked_add(amount).ok_or(PaymentError::Sum)?;
    }
    let mut open: HashMap<(&[u8], Amount), Vec<usize>> = HashMap::new();
    for (index, intent) in rules.intents.iter().enumerate().rev() {
        open.entry((&intent.script, intent.amount)).or_default().push(index);
    }
    let mut vouts = vec![None; rules.intents.len()];
    let (mut paid, mut change) = (Amount::ZERO, None);
    for (vout, output) in (0_u32..).zip(&tx.outputs) {
        paid = paid.checked_add(output.amount).ok_or(PaymentError::Sum)?;
        let intent = open.get_mut(&(output.script.as_slice(), output.amount)).and_then(Vec::pop);
        if let Some(slot) = intent.and_then(|index| vouts.get_mut(index)) {
            *slot = Some(vout);
        } else if rules.change.contains(&output.script) {
            if change.replace(output.amount).is_some() {
                return Err(PaymentError::SecondChange { vout, amount: output.amount });
            }
        } else {
            let script = output.script.iter().take(40).map(|byte| format!("{byte:02x}")).collect();
            return Err(PaymentError::ForeignOutput { vout, amount: output.amount, script });
        }
    }
    let vouts = vouts
        .into_iter()
        .zip(rules.intents)
        .enumerate()
        .map(|(index, (vout, intent))| vout.ok_or(PaymentError::Unpaid { index, amount: intent.amount }))
        .collect::<Result<Vec<_>, _>>()?;
    let fee = spent.checked_sub(paid).ok_or(PaymentError::Sum)?;
    if fee > rules.max_fee {
        return Err(PaymentError::Fee { fee, cap: rules.max_fee });
    }
    let spends = tx.inputs.iter().map(|input| input.spends).collect();
    let change = change.unwrap_or(Amount::ZERO);
    Ok(Payment { txid: tx.txid, vouts, change, fee, vsize: tx.vsize, spends })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const COIN: OutPoint = OutPoint { txid: Txid([7; 32]), vout: 3 };
    const OWN: [u8; 22] = [0xcc; 22];

    /// A transaction with legacy serialisation: the given inputs (signed with one byte) and outputs.
    fn transaction(spends: &[OutPoint], outputs: &[(&[u8], u64)], signed: bool) -> Vec<u8> {
        let mut bytes = vec![2, 0, 0, 0, u8::try_from(spends.len()).unwrap()];
        for spend in spends {
            bytes.extend_from_slice(&spend.txid.0);
            bytes.extend_from_slice(&spend.vout.to_le_bytes());
            bytes.extend_from_slice(if signed { &[1, 0x51] } else { &[0] });
            bytes.extend_from_slice(&[0xff; 4]);
        }
        bytes.push(u8::try_from(outputs.len()).unwrap());
        for (script, amount) in outputs {
            bytes.extend_from_slice(&amount.to_le_bytes());
            bytes.push(u8::try_from(script.len()).unwrap());
            bytes.extend_from_slice(script);
        }
        bytes.extend_from_slice(&[0; 4]);
        bytes
    }

    fn check(bytes: &[u8], intents: &[Intent]) -> Result<Payment, PaymentError> {
        let coins = [Coin { at: COIN, amount: Amount(1_000) }];
        verify(bytes, Rules { intents, coins: &coins, change: &[OWN.to_vec()], max_fee: Amount(100) })
    }

    fn two_intents() -> [Intent; 2] {
        [(0xaa, 300), (0xbb, 200)]
            .map(|(fill, amount)| Intent { script: vec![fill; 22], amount: Amount(amount) })
    }

    #[test]
    fn a_payment_of_all_intents_and_change_passes_in_whatever_order_its_outputs_are() {
        let bytes = transaction(&[COIN], &[(&OWN, 450), (&[0xbb; 22], 200), (&[0xaa; 22], 300)], true);
        let payment = check(&bytes, &two_intents()).unwrap();
        assert_eq!(payment.vouts, [2, 1]);
        assert_eq!((payment.change, payment.fee), (Amount(450), Amount(50)));
        assert_eq!(payment.spends, [COIN]);
    }

    #[test]
    fn a_payment_to_somebody_else_or_of_another_amount_is_refused() {
        let foreign =
            transaction(&[COIN], &[(&[0xbb; 22], 200), (&[0xaa; 22], 300), (&[0xee; 22], 450)], true);
        assert!(matches!(check(&foreign, &two_intents()), Err(PaymentError::ForeignOutput { vout: 2, .. })));
        let short = transaction(&[COIN], &[(&[0xbb; 22], 199), (&[0xaa; 22], 300), (&OWN, 451)], true);
        assert!(matches!(check(&short, &two_intents()), Err(PaymentError::ForeignOutput { vout: 0, .. })));
        let missing = transaction(&[COIN], &[(&[0xbb; 22], 200), (&OWN, 750)], true);
        assert_eq!(
            check(&missing, &two_intents()),
            Err(PaymentError::Unpaid { index: 0, amount: Amount(300) })
        );
    }

    #[test]
    fn an_intent_paid_twice_is_refused() {
        let twice = transaction(&[COIN], &[(&[0xbb; 22], 200), (&[0xaa; 22], 300), (&[0xaa; 22], 300)], true);
        assert!(matches!(check(&twice, &two_intents()), Err(PaymentError::ForeignOutput { vout: 2, .. })));
    }

    #[test]
    fn change_is_one_output() {
        let bytes = transaction(&[COIN], &[(&OWN, 500), (&OWN, 450)], true);
        let refused = check(&bytes, &[]).unwrap_err();
        assert_eq!(refused, PaymentError::SecondChange { vout: 1, amount: Amount(450) });
    }

    #[test]
    fn coins_that_were_not_reserved_are_not_spent() {
        let other = OutPoint { vout: 4, ..COIN };
        let bytes = transaction(&[COIN, other], &[(&OWN, 990)], true);
        assert_eq!(check(&bytes, &[]), Err(PaymentError::ForeignCoin(other)));
        let bytes = transaction(&[COIN, COIN], &[(&OWN, 1_990)], true);
        assert_eq!(check(&bytes, &[]), Err(PaymentError::SpentTwice(COIN)));
    }

    #[test]
    fn an_unsigned_payment_and_one_with_too_high_a_fee_are_refused() {
        let bytes = transaction(&[COIN], &[(&OWN, 990)], false);
        assert_eq!(check(&bytes, &[]), Err(PaymentError::Unsigned(COIN)));
        let bytes = transaction(&[COIN], &[(&OWN, 899)], true);
        assert_eq!(check(&bytes, &[]), Err(PaymentError::Fee { fee: Amount(101), cap: Amount(100) }));
        let bytes = transaction(&[COIN], &[(&OWN, 1_001)], true);
        assert_eq!(check(&bytes, &[]), Err(PaymentError::Sum));
    }

    proptest! {
        #[test]
        fn what_passes_is_conserved(amounts in proptest::collection::vec(0_u64..400, 1..6), change in 0_u64..1_200) {
            let scripts: Vec<Vec<u8>> = (0_u8..).take(amounts.len()).map(|fill| vec![fill; 22]).collect();
            let mut outputs: Vec<(&[u8], u64)> =
                scripts.iter().map(Vec::as_slice).zip(amounts.iter().copied()).collect();
            outputs.push((&OWN, change));
            let intents: Vec<Intent> = scripts
                .iter()
                .zip(&amounts)
                .map(|(script, amount)| Intent { script: script.clone(), amount: Amount(*amount) })
                .collect();
            if let Ok(payment) = check(&transaction(&[COIN], &outputs, true), &intents) {
                let paid: u64 = amounts.iter().sum();
                prop_assert_eq!(paid + payment.change.0 + payment.fee.0, 1_000);
            }
        }
    }
}
