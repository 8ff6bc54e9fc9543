//! Solved work: assembled in a fresh instance of the version that made the job, on a thread of its own, and sent to every
//! node at once. Never behind the actor, and never lost in silence.

use crate::handle::Shared;
use crate::queue::Input;
use crate::sink::{Alarm, AlarmKind};
use crate::submit::Outbox;
use crate::version::Version;
use bytes::Bytes;
use millpond_contracts::CallError;
use millpond_contracts::chain::{Assembled, Chunk, Solution, Watched};
use millpond_types::{Amount, UnixMillis};
use std::sync::Arc;
use std::time::Duration;

/// Bytes of an assembled request: the hex of a 4 MB block several times over.
const REQUEST: usize = 64 << 20;
/// Times that a block is assembled again while the host is overloaded.
const OVERLOADS: u32 = 20;
/// The pause before it is assembled again.
const PAUSE: Duration = Duration::from_millis(500);

/// Solved work of a job.
#[derive(Clone, Debug)]
pub struct Solved {
    /// The caller's tag, back in [`Submission`].
    pub tag: u64,
    /// The version that made the job.
    pub version: Arc<Version>,
    /// The job's coordinate.
    pub coord: u64,
    /// The job's reward as recorded.
    pub reward: Amount,
    /// The job's body.
    pub body: Option<Bytes>,
    /// Private bytes, fields and results.
    pub solution: Solution,
}

/// Assembles a block and sends it to every node; what they answer is seen to by the [`crate::submit::Submitter`]. Runs on
/// a thread of its own.
pub(crate) fn solve(shared: &Shared, outbox: &Outbox, solved: Solved) {
    let (assembled, request) = match assemble(&solved) {
        Ok(both) => both,
        Err(error) => {
            // The raw material is logged whole: a block can be put together from it by hand.
            tracing::error!(
                tag = solved.tag,
                coord = solved.coord,
                fields = %hexes(&solved.solution.fields),
                results = %hexes(&solved.solution.results),
                private = %hex::encode(&solved.solution.private),
                "a block was found and could not be assembled: {error}"
            );
            shared.sink.unassembled(solved.tag, &solved.solution, &error);
            let text = format!(
                "a block at {} was found and could not be assembled; its data is in the log: {error}",
                solved.coord
            );
            shared.sink.alarm(Alarm { kind: AlarmKind::Block, text });
            return;
        }
    };
    let watched = Watched {
        block: assembled.block.clone(),
        coord: solved.coord,
        since_ms: UnixMillis::now().0,
        saved: solved.solution.private.clone(),
    };
    // In the book before any node can answer: a fate or an income of it is never foreign.
    shared.book.lock().block(watched.clone(), solved.reward);
    shared.sink.submitting(solved.tag, &watched, solved.reward);
    shared.queue.push(Input::Watch { watched, reward: solved.reward });
    outbox.first(solved, assembled, &request);
}

/// Runs `assemble`: a trap is tried again once, in another fresh instance; an overloaded host several times, since a
/// block is worth a wait.
fn run(solved: &Solved) -> Result<Assembled, CallError> {
    let (mut first, mut overloads): (Option<CallError>, u32) = (None, 0);
    loop {
        match solved.version.adapter.assemble(&solved.solution) {
            Ok(done) => return Ok(done.value),
            Err(error) if error.is_trap() && !error.is_strike() && overloads < OVERLOADS => {
                overloads += 1;
                tracing::error!(%error, "assemble had no room on this machine; it is tried again");
                std::thread::sleep(PAUSE);
            }
            Err(error) if error.is_strike() && first.is_none() => {
                tracing::error!(%error, "assemble trapped; it is tried again in a fresh instance");
                first = Some(error);
            }
            Err(error) => return Err(first.unwrap_or(error)),
        }
    }
}

fn assemble(solved: &Solved) -> Result<(Assembled, Vec<u8>), String> {
    let assembled = run(solved).map_err(|error| error.to_string())?;
    if assembled.block.is_empty() || assembled.block.len() > crate::job::ID {
        return Err(format!("assemble names a block of {} bytes", assembled.block.len()));
    }
    solved.version.granted.call(assembled.transport, &assembled.method)?;
    let request = rope(&assembled.request, solved.body.as_deref())?;
    Ok((assembled, request))
}

/// Puts a request together from literals and slices of the job's body.
pub(crate) fn rope(chunks: &[Chunk], body: Option<&[u8]>) -> Result<Vec<u8>, String> {
    let mut request = Vec::new();
    for (n, chunk) in chunks.iter().enumerate() {
        let bytes = match chunk {
            Chunk::Literal(bytes) => bytes.as_slice(),
            Chunk::Body { offset, length } => {
                let body =
                    body.ok_or_else(|| format!("piece {n} is a slice of a body, the job keeps none"))?;
                let slice = usize::try_from(*offset).ok().zip(usize::try_from(*length).ok());
                let end = slice.and_then(|(offset, length)| Some((offset, offset.checked_add(length)?)));
                end.and_then(|(from, to)| body.get(from..to)).ok_or_else(|| {
                    format!(
                        "piece {n} is out of range: {length} bytes from {offset} of a body of {}",
                        body.len()
                    )
                })?
            }
        };
        if request.len().saturating_add(bytes.len()) > REQUEST {
            return Err(format!("the request exceeds {REQUEST} bytes"));
        }
        request.extend_from_slice(bytes);
    }
    Ok(request)
}

fn hexes(values: &[Vec<u8>]) -> String {
    values.iter().map(hex::encode).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slice_out_of_range_is_named() {
        let chunks = [Chunk::Literal(b"[\"".to_vec()), Chunk::Body { offset: 3, length: 4 }];
        assert_eq!(rope(&chunks, Some(b"0123456789")), Ok(b"[\"3456".to_vec()));
        assert_eq!(
            rope(&chunks, Some(b"01234")),
            Err("piece 1 is out of range: 4 bytes from 3 of a body of 5".to_owned())
        );
        let wraps = [Chunk::Body { offset: u32::MAX, length: u32::MAX }];
        assert!(rope(&wraps, Some(b"x")).is_err());
        assert!(rope(&chunks, None).is_err());
    }
}
