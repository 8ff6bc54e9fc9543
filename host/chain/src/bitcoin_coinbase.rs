//! The glue between jobs and the codec of the Bitcoin family: the coinbase that a job's proof of work commits to, held
//! against whom it should pay.
//!
//! Which bytes are the coinbase is not the adapter's to say: they are found in the way that the recipe computes the
//! judged hash ([`crate::bitcoin_commitment`]).

use crate::bitcoin_commitment::Commitment;
use crate::job::ReadyJob;
use crate::trust::{CoinbaseCheck, shares};
use millpond_codec_bitcoin::coinbase::{ExpectedOutput, Rules, check_parts};
use millpond_contracts::chain::Output;
use millpond_recipe::{SessionStage, Width};
use millpond_types::{Amount, Target};

/// The payee that stands in for a session's at job stage: an output script as long as a common one, of no key.
const STAND_IN: [u8; 22] = [0; 22];

/// As long as the longest common script, likewise: pay to a key of taproot, or to the hash of a witness script.
const LONGEST: [u8; 34] = [0; 34];

/// Below this an output costs more than it is worth to whoever spends it at 3 units a byte: what Bitcoin Core's relay rule
/// calls dust (`GetDustThreshold` of its `policy.cpp`), by which it is 294 for P2WPKH, 330 for P2TR and P2WSH, 540 for P2SH and
/// 546 for P2PKH.
#[must_use]
pub fn least_output(script: &[u8]) -> Amount {
    /// An output beside its script, and the length of that.
    const BESIDE: usize = 9;
    /// What spends it: an input with a signature, or with one in the witness, which counts a quarter.
    const SPENT: [usize; 2] = [148, 67];
    const RATE: usize = 3;
    let is_witness = match script {
        [0x00 | 0x51..=0x60, length, program @ ..] => {
            usize::from(*length) == program.len() && (2..=40).contains(&program.len())
        }
        _ => false,
    };
    let [plain, witness] = SPENT;
    let spent = if is_witness { witness } else { plain };
    let bytes = script.len().saturating_add(BESIDE).saturating_add(spent);
    Amount(u64::try_from(bytes.saturating_mul(RATE)).unwrap_or(u64::MAX))
}

/// A job's coinbase as a session hashes it that has nothing of its own but this payee.
fn stand_in(job: &ReadyJob, payee: &[u8]) -> Result<SessionStage, String> {
    let fields = job.stage.recipe().session_fields();
    let values: Vec<Vec<u8>> = fields
        .iter()
        .map(|field| match (&*field.name, &field.default, field.width) {
            ("payee", ..) => payee.to_vec(),
            (_, Some(_), _) => Vec::new(),
            (_, None, Width::Fixed(n) | Width::PaddedTo(n)) => vec![0; usize::try_from(n).unwrap_or(0)],
            (_, None, Width::Between(low, _)) => vec![0; usize::try_from(low).unwrap_or(0)],
            (_, None, _) => Vec::new(),
        })
        .collect();
    job.stage.session(&values).map_err(|error| error.to_string())
}

/// The coinbase check for chains whose coinbase is Bitcoin's.
#[derive(Clone, Copy, Debug)]
pub struct BitcoinCoinbase {
    /// Whether the script begins with the height (BIP 34).
    pub height: bool,
}

impl CoinbaseCheck for BitcoinCoinbase {
    fn job(&self, job: &ReadyJob, outputs: &[Output]) -> Result<(), String> {
        let commitment = Commitment::of(job.stage.recipe()).map_err(|error| error.to_string())?;
        // Sessions are looked at one by one only where their own payees are to be paid.
        if let Some(piece) = commitment.of_the_session()
            && !job.pays_session()
        {
            return Err(format!(
                "{} of it depends on the session, and no session is to be paid by it",
                piece.shown()
            ));
        }
        let session = stand_in(job, &STAND_IN)?;
        let bits = commitment.bits(&session).ok_or("the header has no compact target")?;
        match Target::from_compact(bits) {
            Ok(hashed) if hashed == job.network_target => {}
            Ok(hashed) => {
                return Err(format!(
                    "its header's target as it is hashed is {hashed}, the job's is {}",
                    job.network_target
                ));
            }
            Err(why) => return Err(format!("its header's target as it is hashed: {why}")),
        }
        self.session(job, &session, outputs, &STAND_IN)
    }

    fn session(
        &self,
        job: &ReadyJob,
        session: &SessionStage,
        outputs: &[Output],
        payee: &[u8],
    ) -> Result<(), String> {
        let commitment = Commitment::of(job.stage.recipe()).map_err(|error| error.to_string())?;
        let (head, tail) =
            commitment.coinbase(session).ok_or("a part of the coinbase is of another job's recipe")?;
        let amounts = shares(job.reward, outputs).ok_or(
            "no output has a weight: set whom the coinbase pays, or let the adapter have no outputs",
        )?;
        let expected: Vec<ExpectedOutput> = outputs
            .iter()
            .zip(amounts)
            .filter(|(_, amount)| amount.0 > 0)
            .map(|(output, amount)| {
                let script = if output.payee.is_empty() { payee } else { &output.payee };
                ExpectedOutput { script: script.to_vec(), amount }
            })
            .collect();
        let height = match self.height {
            true => Some(u32::try_from(job.coord).map_err(|_| "a height beyond 32 bits".to_owned())?),
            false => None,
        };
        let rules = Rules { outputs: &expected, reward: job.reward, height };
        check_parts(&head, commitment.extranonce, &tail, rules).map(drop).map_err(|error| error.to_string())
    }

    fn bytes(&self, job: &ReadyJob) -> Option<usize> {
        let commitment = Commitment::of(job.stage.recipe()).ok()?;
        let (head, tail) = commitment.coinbase(&stand_in(job, &LONGEST).ok()?)?;
        Some(head.len() + commitment.extranonce + tail.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dust_is_what_bitcoin_core_calls_dust() {
        let script = |front: &[u8], length| [front, &vec![7; length - front.len()]].concat();
        for (script, least) in [
            (script(&[0x00, 20], 22), 294),
            (script(&[0x00, 32], 34), 330),
            (script(&[0x51, 32], 34), 330),
            (script(&[0xa9, 20], 23), 540),
            (script(&[0x76, 0xa9, 20], 25), 546),
            // No witness program: its length is another.
            (script(&[0x51, 31], 34), 573),
        ] {
            assert_eq!(least_output(&script), Amount(least), "{script:?}");
        }
    }
}
