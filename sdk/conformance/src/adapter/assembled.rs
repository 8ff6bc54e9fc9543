//! Solved work: what the recipe hashes and what the adapter hands to the node must be the same block.

use millpond_chain::Version;
use millpond_contracts::chain::{Chunk, Job, Solution};
use millpond_recipe::{Field, JobStage, Scratch, SessionStage, Width};
use std::sync::Arc;

/// Jobs tried; more are sampled evenly.
const JOBS: usize = 40;
/// Bytes of an assembled request.
const REQUEST: usize = 64 << 20;

/// A made-up share of a job.
#[derive(Debug)]
pub struct Candidate {
    session: SessionStage,
    values: Vec<Vec<u8>>,
}

/// Values of a recipe's session fields where nobody negotiated any: the payee's bytes, defaults, zeros elsewhere.
#[must_use]
pub fn session_values(fields: &[Field], payee: &[u8]) -> Vec<Vec<u8>> {
    let value = |field: &Field| if &*field.name == "payee" { payee.to_vec() } else { filler(field) };
    fields.iter().map(value).collect()
}

fn filler(field: &Field) -> Vec<u8> {
    if let Some(default) = &field.default {
        return default.to_vec();
    }
    let length = match field.width {
        Width::Fixed(n) | Width::PaddedTo(n) | Width::List(n) => n,
        Width::Between(low, high) => 8.clamp(low, high.max(low)),
        Width::Number => 8,
    };
    vec![0; usize::try_from(length).unwrap_or(0)]
}

impl Candidate {
    /// A share of this job that passes the recipe's own checks.
    ///
    /// # Errors
    /// Why none could be made up.
    pub fn new(stage: &Arc<JobStage>, payee: &[u8]) -> Result<Self, String> {
        let recipe = stage.recipe();
        let session = stage
            .session(&session_values(recipe.session_fields(), payee))
            .map_err(|error| error.to_string())?;
        let mut values: Vec<Vec<u8>> = recipe.share_fields().iter().map(filler).collect();
        // A field with a range starts at the job's own value of the same width, if it names one: `time` at `job_time`.
        let mut scratch = Scratch::default();
        let mut why = match session.judge(&values, &mut scratch) {
            Ok(_) => return Ok(Self { session, values }),
            Err(error) => error.to_string(),
        };
        for (at, field) in recipe.share_fields().iter().enumerate() {
            let Some(start) = stage.register(&format!("job_{}", field.name)) else { continue };
            if let Some(value) = values.get_mut(at) {
                *value = start.to_vec();
            }
            match session.judge(&values, &mut scratch) {
                Ok(_) => return Ok(Self { session, values }),
                Err(error) => why = error.to_string(),
            }
        }
        Err(format!("no share of it could be made up: {why}"))
    }

    /// The next share: its extranonce and last field count up.
    pub fn advance(&mut self, by: u32) {
        if let Some(value) = self.nonce() {
            let mut carry = u64::from(by);
            for byte in value.iter_mut().rev() {
                let sum = u64::from(*byte) + (carry & 0xff);
                *byte = (sum & 0xff) as u8;
                carry = (carry >> 8) + (sum >> 8);
            }
        }
    }

    fn nonce(&mut self) -> Option<&mut Vec<u8>> {
        let fields = self.session.job().recipe().share_fields();
        let at = fields
            .iter()
            .position(|field| &*field.name == "nonce")
            .or_else(|| fields.iter().position(|field| &*field.name == "xn"));
        self.values.get_mut(at.unwrap_or(0))
    }

    /// Its hash as a big-endian number, and its id.
    ///
    /// # Errors
    /// A share that the recipe refuses.
    pub fn judge(&self, scratch: &mut Scratch) -> Result<([u8; 32], [u8; 32]), String> {
        let judged = self.session.judge(&self.values, scratch).map_err(|error| error.to_string())?;
        Ok((judged.pow, judged.id))
    }

    /// What `assemble` gets.
    ///
    /// # Errors
    /// A share that the recipe refuses.
    pub fn solution(&self, private: Vec<u8>) -> Result<Solution, String> {
        let mut scratch = Scratch::default();
        let judged = self.session.judge(&self.values, &mut scratch).map_err(|error| error.to_string())?;
        Ok(Solution {
            private,
            fields: self.session.fields(&self.values),
            results: judged.results(),
            proof: None,
        })
    }
}

/// For every sampled job: a made-up share, assembled.
pub(super) fn assembled_as_hashed(
    version: &Arc<Version>,
    jobs: &[(Job, Option<Arc<Vec<u8>>>)],
) -> Result<String, String> {
    let mut tried = 0;
    for (job, body) in jobs.iter().step_by(jobs.len().div_ceil(JOBS).max(1)) {
        let at = job.coord;
        let recipe = version.recipes.get(usize::from(job.recipe));
        let recipe = recipe
            .ok_or_else(|| format!("the job at {at} names recipe {}, which there is not", job.recipe))?;
        let stage = recipe.job(&job.consts).map_err(|error| format!("the job at {at}: {error}"))?;
        if let Some(own) = stage.network_target()
            && own.to_be_bytes().as_slice() != job.network_target.as_slice()
        {
            return Err(format!("the job at {at} says another network target than its own header"));
        }
        // The payee of SOLO sessions: any bytes of the usual length.
        let mut candidate =
            Candidate::new(&stage, &[0x51; 22]).map_err(|why| format!("the job at {at}: {why}"))?;
        candidate.advance(7);
        check(version, job, body.as_deref().map(Vec::as_slice), &candidate)
            .map_err(|why| format!("the job at {at}: {why}"))?;
        tried += 1;
    }
    match tried {
        0 => Err("the recording has no job".to_owned()),
        tried => Ok(format!("{tried} jobs")),
    }
}

fn check(version: &Version, job: &Job, body: Option<&[u8]>, candidate: &Candidate) -> Result<(), String> {
    let solution = candidate.solution(job.private.clone())?;
    let assemble = || version.adapter.assemble(&solution).map_err(|error| error.to_string());
    let done = assemble()?.value;
    if assemble()?.value != done {
        return Err("`assemble` gives one thing and then another".to_owned());
    }
    let (pow, id) = candidate.judge(&mut Scratch::default())?;
    let hashes = solution.results.iter().filter_map(|out| version.algorithms.hash("sha256d", out));
    let mut known: Vec<Vec<u8>> = vec![pow.to_vec(), id.to_vec()];
    known.extend(hashes);
    let same = |hash: &Vec<u8>| *hash == done.block || hash.iter().rev().eq(done.block.iter());
    if !known.iter().any(same) {
        return Err(format!(
            "`assemble` names block {}, the recipe's hash is {}",
            hex::encode(&done.block),
            hex::encode(pow)
        ));
    }
    let transport = version.description().transports.get(usize::from(done.transport));
    if !transport.is_some_and(|transport| transport.methods.contains(&done.method)) {
        return Err(format!(
            "`assemble` calls {:?} on transport {}, which is not granted",
            done.method, done.transport
        ));
    }
    rope(&done.request, body).map(drop)
}

/// Puts a request together from literals and slices of the job's body.
pub(super) fn rope(chunks: &[Chunk], body: Option<&[u8]>) -> Result<Vec<u8>, String> {
    let mut request = Vec::new();
    for chunk in chunks {
        let piece = match chunk {
            Chunk::Literal(bytes) => bytes.as_slice(),
            Chunk::Body { offset, length } => {
                let whole = body.unwrap_or_default();
                let (from, length) = (*offset as usize, *length as usize);
                from.checked_add(length).and_then(|to| whole.get(from..to)).ok_or_else(|| {
                    format!("`assemble` takes {length} bytes at {from} of a body of {}", whole.len())
                })?
            }
        };
        request.extend_from_slice(piece);
        if request.len() > REQUEST {
            return Err(format!("`assemble` makes a request of more than {REQUEST} bytes"));
        }
    }
    Ok(request)
}
