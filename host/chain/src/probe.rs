//! The probe of a job: does its hash depend on what the miner finds?
//!
//! A recipe comes from the adapter. One that ignores the nonce would let a miner submit one hash for ever; one whose
//! id changes while its hash does not would let him submit one good hash under many ids. So a job is judged with
//! made-up shares before a miner sees it (`SessionStage::probe`).

use crate::job::Refused;
use millpond_recipe::{Field, JobStage, Scratch, Width};
use std::sync::Arc;

/// Bytes made up for a field of variable width.
const VARIABLE: u32 = 8;

/// Judges the job with made-up shares in a made-up session.
pub(crate) fn probe(job: &Arc<JobStage>) -> Result<(), Refused> {
    if job.recipe().share_fields().is_empty() {
        return Err(Refused::Probe(
            "the recipe has no share fields: there is nothing for a miner to find".to_owned(),
        ));
    }
    let values: Vec<Vec<u8>> = job.recipe().session_fields().iter().map(filler).collect();
    let session = job.session(&values).map_err(|error| Refused::Run(error.to_string()))?;
    session.probe(&mut Scratch::default()).map_err(|error| Refused::Probe(error.to_string()))
}

/// An empty value stands for the default; without one, zeros of a length that fits.
fn filler(field: &Field) -> Vec<u8> {
    if field.default.is_some() {
        return Vec::new();
    }
    let length = match field.width {
        Width::Fixed(n) | Width::PaddedTo(n) | Width::List(n) => n,
        Width::Between(low, high) => VARIABLE.clamp(low, high.max(low)),
        Width::Number => 8,
    };
    vec![0; usize::try_from(length).unwrap_or(0)]
}
