//! The glue between jobs and the codec of the Bitcoin family: which registers of a recipe are the coinbase.
//!
//! A recipe says so itself: its `sv2` line names the registers before (`prefix`) and behind (`suffix`) the extranonce,
//! which is the share field `xn`.

use crate::job::ReadyJob;
use crate::trust::{CoinbaseCheck, shares};
use millpond_codec_bitcoin::coinbase::{ExpectedOutput, Rules, check_parts};
use millpond_contracts::chain::Output;
use millpond_recipe::{SessionStage, Width};

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
        self.session(job, &session, outputs, &STAND_IN)
    }

    fn session(
        &self,
        job: &ReadyJob,
        session: &SessionStage,
        outputs: &[Output],
        payee: &[u8],
    ) -> Result<(), String> {
        let recipe = job.stage.recipe();
        let role = |role: &str| {
            let (_, register) = recipe.sv2().iter().find(|(name, _)| **name == *role)?;
            session.register(register)
        };
        let missing =
            |role: &str| format!("the recipe's sv2 line does not say where the coinbase's {role} is");
        let head = role("prefix").ok_or_else(|| missing("prefix"))?;
        let tail = role("suffix").ok_or_else(|| missing("suffix"))?;
        let xn = recipe.share_fields().iter().find(|field| &*field.name == "xn");
        let Some(Width::Fixed(extranonce)) = xn.map(|field| field.width) else {
            return Err("the recipe has no share field xn of constant length".to_owned());
        };
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
        let extranonce = usize::try_from(extranonce).unwrap_or(usize::MAX);
        check_parts(head, extranonce, tail, rules).map(drop).map_err(|error| error.to_string())
    }
}
