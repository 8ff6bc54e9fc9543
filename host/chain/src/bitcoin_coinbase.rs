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
use millpond_types::Target;

/// The payee that stands in for a session's at job stage: an output script as long as a common one, of no key.
const STAND_IN: [u8; 22] = [0; 22];

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
        let fields = job.stage.recipe().session_fields();
        let values: Vec<Vec<u8>> = fields
            .iter()
            .map(|field| match (&*field.name, &field.default, field.width) {
                ("payee", ..) => STAND_IN.to_vec(),
                (_, Some(_), _) => Vec::new(),
                (_, None, Width::Fixed(n) | Width::PaddedTo(n)) => vec![0; usize::try_from(n).unwrap_or(0)],
                (_, None, Width::Between(low, _)) => vec![0; usize::try_from(low).unwrap_or(0)],
                (_, None, _) => Vec::new(),
            })
            .collect();
        let session = job.stage.session(&values).map_err(|error| error.to_string())?;
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
}
