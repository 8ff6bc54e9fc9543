//! Transactions as the host reads them.

use bitcoin::absolute::LockTime;
use bitcoin::consensus::encode;
use bitcoin::hashes::Hash;
use bitcoin::transaction::Version;
use bitcoin::{ScriptBuf, Sequence, Witness};
use millpond_types::Amount;
use std::fmt;
use std::str::FromStr;

/// Bytes of a transaction that are looked at: more than any node relays (400,000 weight units).
const MAX_TRANSACTION: usize = 1_000_000;

/// A transaction's identity, in the order of bytes inside transactions; text is in reverse, as nodes show it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Txid(pub [u8; 32]);

impl fmt::Display for Txid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().rev().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Txid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Txid({self})")
    }
}

impl FromStr for Txid {
    type Err = TransactionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let txid: bitcoin::Txid =
            text.parse().map_err(|_| TransactionError::Txid(text.chars().take(80).collect()))?;
        Ok(Self(txid.to_byte_array()))
    }
}

/// An output of a transaction, named by its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OutPoint {
    /// The transaction.
    pub txid: Txid,
    /// Its index among the outputs.
    pub vout: u32,
}

impl fmt::Display for OutPoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.txid, self.vout)
    }
}

/// What a transaction spends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    /// The output spent.
    pub spends: OutPoint,
    /// Whether it has a script or a witness; one without is not signed.
    pub signed: bool,
}

/// What a transaction pays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// How much, in base units.
    pub amount: Amount,
    /// To whom (scriptPubKey).
    pub script: Vec<u8>,
}

/// A transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    /// Its identity.
    pub txid: Txid,
    /// Its size for fees, in virtual bytes, rounded up (BIP 141).
    pub vsize: u64,
    /// What it spends.
    pub inputs: Vec<Input>,
    /// What it pays.
    pub outputs: Vec<Output>,
}

/// Bytes that are not a transaction.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum TransactionError {
    /// Not decodable, or bytes left over.
    #[error("these bytes are not a transaction: {0}")]
    Malformed(String),
    /// More than is looked at.
    #[error("a transaction of {0} bytes is larger than any node relays")]
    TooLarge(usize),
    /// Not 64 hex digits.
    #[error("{0:?} is not a transaction's id: 64 hex digits are expected")]
    Txid(String),
}

/// An input with what signs it, for [`assemble`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedInput {
    /// The output spent.
    pub spends: OutPoint,
    /// Its script (scriptSig).
    pub script: Vec<u8>,
    /// Its witness as it stands in a transaction, the count of items first; none when empty.
    pub witness: Vec<u8>,
    /// Its sequence number.
    pub sequence: u32,
}

/// Puts a transaction together from its parts, as a wallet lists them that does not give the bytes: the bytes, with
/// witness where an input has one (BIP 144), and the transaction's identity.
///
/// # Errors
/// When a witness is not one.
pub fn assemble(
    version: i32,
    inputs: &[SignedInput],
    outputs: &[Output],
    lock_time: u32,
) -> Result<(Vec<u8>, Txid), TransactionError> {
    let input = |part: &SignedInput| {
        let witness = match part.witness.as_slice() {
            [] => Witness::new(),
            bytes => encode::deserialize(bytes)
                .map_err(|error| TransactionError::Malformed(format!("an input's witness: {error}")))?,
        };
        Ok(bitcoin::TxIn {
            previous_output: bitcoin::OutPoint {
                txid: bitcoin::Txid::from_byte_array(part.spends.txid.0),
                vout: part.spends.vout,
            },
            script_sig: ScriptBuf::from_bytes(part.script.clone()),
            sequence: Sequence(part.sequence),
            witness,
        })
    };
    let output = |part: &Output| bitcoin::TxOut {
        value: bitcoin::Amount::from_sat(part.amount.0),
        script_pubkey: ScriptBuf::from_bytes(part.script.clone()),
    };
    let tx = bitcoin::Transaction {
        version: Version(version),
        lock_time: LockTime::from_consensus(lock_time),
        input: inputs.iter().map(input).collect::<Result<_, _>>()?,
        output: outputs.iter().map(output).collect(),
    };
    Ok((encode::serialize(&tx), Txid(tx.compute_txid().to_byte_array())))
}

impl Transaction {
    /// Reads a serialised transaction, with or without witness.
    ///
    /// # Errors
    /// When the bytes are not exactly one transaction.
    pub fn parse(bytes: &[u8]) -> Result<Self, TransactionError> {
        if bytes.len() > MAX_TRANSACTION {
            return Err(TransactionError::TooLarge(bytes.len()));
        }
        let tx: bitcoin::Transaction =
            encode::deserialize(bytes).map_err(|error| TransactionError::Malformed(error.to_string()))?;
        let inputs = tx.input.iter().map(|input| Input {
            spends: OutPoint {
                txid: Txid(input.previous_output.txid.to_byte_array()),
                vout: input.previous_output.vout,
            },
            signed: !input.script_sig.is_empty() || !input.witness.is_empty(),
        });
        let outputs = tx.output.iter().map(|output| Output {
            amount: Amount(output.value.to_sat()),
            script: output.script_pubkey.to_bytes(),
        });
        Ok(Self {
            txid: Txid(tx.compute_txid().to_byte_array()),
            vsize: u64::try_from(tx.vsize()).unwrap_or(u64::MAX),
            inputs: inputs.collect(),
            outputs: outputs.collect(),
        })
    }

    /// The outputs to a script, with their index.
    pub fn outputs_to<'a>(&'a self, script: &'a [u8]) -> impl Iterator<Item = (u32, Amount)> + 'a {
        (0_u32..)
            .zip(&self.outputs)
            .filter(move |(_, output)| output.script == script)
            .map(|(n, o)| (n, o.amount))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The example of native P2WPKH in BIP 143, signed.
    const SIGNED: &str = "01000000000102fff7f7881a8099afa6940d42d1e7f6362bec38171ea3edf433541db4e4ad969f00000000494830450221008b9d1dc26ba6a9cb62127b02742fa9d754cd3bebf337f7a55d114c8e5cdd30be022040529b194ba3f9281a99f2b1c0a19c0489bc22ede944ccf4ecbab4cc618ef3ed01eeffffffef51e1b804cc89d182d279655c3aa89e815b1b309fe287d9b2b55d57b90ec68a0100000000ffffffff02202cb206000000001976a9148280b37df378db99f66f85c95a783a76ac7a6d5988ac9093510d000000001976a9143bde42dbee7e4dbe6a21b2d50ce2f0167faa815988ac000247304402203609e17b84f6a7d30c80bfa610b5b4542f32a8a0d5447a12fb1366d7f01cc44a0220573a954c4518331561406f90300e8f3358f51928d43c212a8caed02de67eebee0121025476c2e83188368da1ff3e292e7acafcdb3566bb0ad253f62fc70f07aeee635711000000";

    #[test]
    fn a_transaction_of_bip_143_is_read() {
        let tx = Transaction::parse(&hex::decode(SIGNED).unwrap()).unwrap();
        assert_eq!(tx.inputs.len(), 2);
        assert!(tx.inputs.iter().all(|input| input.signed));
        let script = hex::decode("76a9143bde42dbee7e4dbe6a21b2d50ce2f0167faa815988ac").unwrap();
        assert_eq!(tx.outputs_to(&script).collect::<Vec<_>>(), [(1, Amount(223_450_000))]);
    }

    #[test]
    fn a_transaction_of_bip_143_is_put_together_from_its_parts() {
        let bytes = hex::decode(SIGNED).unwrap();
        let tx: bitcoin::Transaction = encode::deserialize(&bytes).unwrap();
        let inputs: Vec<_> = tx
            .input
            .iter()
            .map(|input| SignedInput {
                spends: OutPoint {
                    txid: Txid(input.previous_output.txid.to_byte_array()),
                    vout: input.previous_output.vout,
                },
                script: input.script_sig.to_bytes(),
                witness: encode::serialize(&input.witness),
                sequence: input.sequence.0,
            })
            .collect();
        let read = Transaction::parse(&bytes).unwrap();
        assert_eq!(assemble(1, &inputs, &read.outputs, 17), Ok((bytes, read.txid)));
        let broken = SignedInput { witness: vec![2, 1], ..inputs[0].clone() };
        assert!(matches!(assemble(1, &[broken], &read.outputs, 17), Err(TransactionError::Malformed(_))));
    }

    #[test]
    fn an_id_is_shown_in_reverse() {
        let mut bytes = [0; 32];
        bytes[31] = 0xab;
        let txid = Txid(bytes);
        assert!(txid.to_string().starts_with("ab00"));
        assert_eq!(txid.to_string().parse(), Ok(txid));
        assert!("ab".parse::<Txid>().is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = Transaction::parse(&bytes);
        }

        #[test]
        fn no_cut_transaction_is_read(keep in 0_usize..341) {
            let whole = hex::decode(SIGNED).unwrap();
            let kept = &whole[..keep.min(whole.len() - 1)];
            prop_assert!(Transaction::parse(kept).is_err());
        }
    }
}
