//! Finds a document whose hash ignores what a miner sends: such a pool would pay for one proof many times over.
//!
//! The compiler sees which fields a hash depends on, but not that `slice n 0..0` depends on nothing. So a job is tried:
//! every byte of every field that the hash should depend on is changed, and the hash and the id have to change with it
//! or the change has to be refused.

use crate::error::RunError;
use crate::field::{Field, Width};
use crate::stage::{Scratch, SessionStage};

/// Bytes tried at each end of a field.
const ENDS: usize = 32;

/// Why a job is not fit to be mined on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProbeError {
    /// A byte of a share's field changes nothing, so that one proof would count many times.
    #[error(
        "byte {byte} of share field {field} changes neither hash nor id: one proof would count many times"
    )]
    Ignored {
        /// The field's name.
        field: Box<str>,
        /// The byte's place in the field.
        byte: usize,
    },
    /// The hash changes and the id does not, or the other way round.
    #[error("byte {byte} of share field {field} changes only one of hash and id")]
    Apart {
        /// The field's name.
        field: Box<str>,
        /// The byte's place in the field.
        byte: usize,
    },
    /// No share could be made up that the job's checks accept.
    #[error("no share of this job passes its own checks: {0}")]
    NoShare(RunError),
}

impl SessionStage {
    /// Tries this job with made-up shares, at most 64 hashes for each share field. Called by the chain before a job of
    /// a recipe is published for the first time; never per share. Claims and proofs are believed, since there are none.
    ///
    /// # Errors
    /// When a field is ignored, or no share passes the job's checks.
    pub fn probe(&self, scratch: &mut Scratch) -> Result<(), ProbeError> {
        let recipe = self.job().recipe();
        let fields = recipe.share_fields();
        let mut values: Vec<Vec<u8>> = fields.iter().map(made_up).collect();
        let (pow, id) = self.passing(fields, &mut values, scratch)?;
        for (i, field) in fields.iter().enumerate() {
            let len = values.get(i).map_or(0, Vec::len);
            if recipe.depends >> i & 1 == 0 {
                continue;
            }
            for byte in (0..len).filter(|byte| *byte < ENDS || byte + ENDS >= len) {
                flip(&mut values, i, byte);
                let judged = self.judge_with(&values, scratch, false).map(|judged| (judged.pow, judged.id));
                flip(&mut values, i, byte);
                let Ok((new_pow, new_id)) = judged else { continue };
                let field = || field.name.clone();
                match (new_pow != pow, new_id != id) {
                    (true, true) => {}
                    (false, false) => return Err(ProbeError::Ignored { field: field(), byte }),
                    _ => return Err(ProbeError::Apart { field: field(), byte }),
                }
            }
        }
        Ok(())
    }

    /// A share that passes the checks: where a range refuses a field, the field takes the range's lower end, in either
    /// byte order.
    fn passing(
        &self,
        fields: &[Field],
        values: &mut [Vec<u8>],
        scratch: &mut Scratch,
    ) -> Result<([u8; 32], [u8; 32]), ProbeError> {
        let mut tries = 0;
        loop {
            let error = match self.judge_with(values, scratch, false) {
                Ok(judged) => return Ok((judged.pow, judged.id)),
                Err(error) => error,
            };
            tries += 1;
            let RunError::Range { register, low, .. } = &error else {
                return Err(ProbeError::NoShare(error));
            };
            let at = fields.iter().position(|field| field.name == *register);
            let Some(value) = at.and_then(|at| values.get_mut(at)).filter(|_| tries <= 2 * fields.len())
            else {
                return Err(ProbeError::NoShare(error));
            };
            let mut wanted = low.to_le_bytes().to_vec();
            wanted.resize(value.len(), 0);
            let big_endian: Vec<u8> = wanted.iter().rev().copied().collect();
            *value = if *value == big_endian { wanted } else { big_endian };
        }
    }
}

fn flip(values: &mut [Vec<u8>], field: usize, byte: usize) {
    if let Some(byte) = values.get_mut(field).and_then(|value| value.get_mut(byte)) {
        *byte ^= 1;
    }
}

fn made_up(field: &Field) -> Vec<u8> {
    if let Some(default) = &field.default {
        return default.to_vec();
    }
    let len = match field.width {
        Width::Fixed(n) | Width::PaddedTo(n) | Width::List(n) => n,
        Width::Between(low, high) => low.max(high.min(2 * ENDS as u32)),
        Width::Number => 8,
    };
    vec![0; len as usize]
}
