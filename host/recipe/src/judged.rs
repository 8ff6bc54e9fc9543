//! What a share came to.

use crate::error::{RunError, ShareError};
use crate::field::Stage;
use crate::layout::Layout;
use crate::program::{Bank, Judge, Operand};
use crate::stage::{Recipe, Scratch, SessionStage};

/// What a share came to.
#[derive(Debug)]
pub struct Judged<'s> {
    /// The judged hash as a number: 32 big-endian bytes, to compare with targets.
    pub pow: [u8; 32],
    /// What names the share: the key of duplicate detection, as computed.
    pub id: [u8; 32],
    /// One bit for each `judge … against` line that is met, the first line lowest.
    pub met: u64,
    outs: Outs<'s>,
}

impl Judged<'_> {
    /// The `out` registers, in order.
    pub fn outs(&self) -> impl Iterator<Item = &[u8]> {
        self.outs.recipe().outs.iter().map(|(_, operand)| self.outs.get(*operand).unwrap_or_default())
    }

    /// The `out` registers as `assemble` gets them.
    #[must_use]
    pub fn results(&self) -> Vec<Vec<u8>> {
        self.outs().map(<[u8]>::to_vec).collect()
    }

    /// Any register by name: for diagnosis, not for the share path.
    #[must_use]
    pub fn register(&self, name: &str) -> Option<&[u8]> {
        self.outs.get(self.outs.recipe().names.get(name)?.operand)
    }
}

struct Outs<'s> {
    session: &'s SessionStage,
    share: &'s Bank,
}

impl std::fmt::Debug for Outs<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.recipe().outs.iter().map(|(name, _)| name)).finish()
    }
}

impl<'s> Outs<'s> {
    fn recipe(&self) -> &'s Recipe {
        self.session.job().recipe()
    }

    #[inline]
    fn get(&self, operand: Operand) -> Option<&'s [u8]> {
        match operand.stage {
            Stage::Share => self.share.get(operand.slot),
            _ => self.session.read(operand),
        }
    }

    #[inline]
    fn exact(&self, operand: Operand) -> Result<&'s [u8; 32], RunError> {
        match self.get(operand).map(TryInto::try_into) {
            Some(Ok(bytes)) => Ok(bytes),
            _ => Err(not_32_bytes()),
        }
    }

    #[inline]
    fn number(&self, judge: &Judge) -> Result<[u8; 32], RunError> {
        Ok(number(judge, self.exact(judge.hash)?))
    }
}

/// A judged hash as a big-endian number. By halves of 16 bytes: byte by byte, the processor would wait for its own stores
/// when the number is compared.
#[inline]
fn number(judge: &Judge, hash: &[u8; 32]) -> [u8; 32] {
    if !judge.little_endian {
        return *hash;
    }
    let mut number = [0; 32];
    if let ([low, high], [first, second]) = (hash.as_chunks::<16>().0, number.as_chunks_mut::<16>().0) {
        *first = u128::from_le_bytes(*high).to_be_bytes();
        *second = u128::from_le_bytes(*low).to_be_bytes();
    }
    number
}

#[cold]
fn not_32_bytes() -> RunError {
    RunError::Value { line: 0, what: "a hash has not 32 bytes".into() }
}

impl SessionStage {
    /// What a share came to, once its flat program has run: the judged hash and the name lie where the job knows.
    #[inline]
    pub(crate) fn judged_of<'s>(
        &'s self,
        layout: &Layout,
        scratch: &'s Scratch,
    ) -> Result<Judged<'s>, ShareError> {
        let (recipe, bytes) = (&**self.job().recipe(), &scratch.bank.bytes);
        let at = |at: u32| bytes.get(at as usize..).and_then(<[u8]>::first_chunk);
        let verdict = layout.verdict.and_then(|(pow, id)| Some((at(pow)?, at(id)?)));
        match verdict {
            Some((pow, id)) if recipe.further.is_empty() => {
                let outs = Outs { session: self, share: &scratch.bank };
                Ok(Judged { pow: number(&recipe.judge, pow), id: *id, met: 0, outs })
            }
            _ => self.judged(scratch),
        }
    }

    /// What a share came to, once its stage has run.
    #[inline(never)]
    pub(crate) fn judged<'s>(&'s self, scratch: &'s Scratch) -> Result<Judged<'s>, ShareError> {
        let recipe = &**self.job().recipe();
        let outs = Outs { session: self, share: &scratch.bank };
        let (pow, id) = (outs.number(&recipe.judge)?, *outs.exact(recipe.id)?);
        let mut met = 0;
        for (i, judge) in recipe.further.iter().enumerate() {
            if let Some(against) = judge.against
                && outs.number(judge)? <= *outs.exact(against)?
            {
                met |= 1 << i;
            }
        }
        Ok(Judged { pow, id, met, outs })
    }
}
