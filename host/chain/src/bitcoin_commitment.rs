//! What a proof of work of the Bitcoin family commits to, read from the recipe's own way to the judged hash.
//!
//! A recipe comes from the adapter, and so do its registers' names. A check of the coinbase that some register holds
//! says nothing as long as another one is hashed. So the way is walked backwards from the judged hash: it is a hash of
//! a header of 80 bytes, whose root is the coinbase's hash folded up a path, and the coinbase is bytes known before the
//! share around the extranonce. What cannot be followed in this form is refused: a sample share would not do, since a
//! document could show an honest coinbase to the sample and hash another at a later time or nonce.

use millpond_recipe::{Made, Recipe, Register, SessionStage, Stage, Width};

/// Bytes of a header: version 4, previous block 32, root 32, time 4, bits 4, nonce 4.
const HEADER: u32 = 80;
/// Where the root of the transactions lies.
const ROOT: u32 = 36;
/// Where the compact target lies.
const BITS: u32 = 72;
/// The hash of transactions and of their tree.
const TREE: &str = "sha256d";
/// Pieces that a header or a coinbase may be joined of.
const PIECES: usize = 256;

/// The parts of a recipe's proof of work that this family's rules are about.
#[derive(Debug)]
pub(crate) struct Commitment<'r> {
    /// The coinbase before the extranonce.
    head: Vec<Register<'r>>,
    /// Bytes of the extranonce.
    pub(crate) extranonce: usize,
    /// The coinbase behind the extranonce.
    tail: Vec<Register<'r>>,
    /// The header's compact target, as it is hashed: little-endian.
    bits: Register<'r>,
}

/// Why the commitment of a recipe is not known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the host cannot follow what the proof of work of recipe {recipe:?} commits to: {what}; docs/recipes.md says in which form it reads a Bitcoin header"
)]
pub(crate) struct NotFollowed {
    recipe: String,
    what: String,
}

impl<'r> Commitment<'r> {
    /// Follows a recipe from its judged hash to the coinbase.
    ///
    /// # Errors
    /// Where the way leaves the family's form.
    pub(crate) fn of(recipe: &'r Recipe) -> Result<Self, NotFollowed> {
        follow(recipe).map_err(|what| NotFollowed { recipe: recipe.name().to_owned(), what })
    }

    /// The coinbase before and behind the extranonce as a session hashes it.
    pub(crate) fn coinbase(&self, session: &SessionStage) -> Option<(Vec<u8>, Vec<u8>)> {
        Some((joined(&self.head, session)?, joined(&self.tail, session)?))
    }

    /// The compact target in the header as a session hashes it.
    pub(crate) fn bits(&self, session: &SessionStage) -> Option<u32> {
        let bytes = session.value(&self.bits)?.try_into().ok()?;
        Some(u32::from_le_bytes(bytes))
    }

    /// A piece of the coinbase that may differ between sessions, if there is one.
    pub(crate) fn of_the_session(&self) -> Option<Register<'r>> {
        self.head.iter().chain(&self.tail).find(|piece| piece.stage() == Stage::Session).copied()
    }
}

fn joined(pieces: &[Register<'_>], session: &SessionStage) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    for piece in pieces {
        bytes.extend_from_slice(session.value(piece)?);
    }
    Some(bytes)
}

fn follow(recipe: &Recipe) -> Result<Commitment<'_>, String> {
    let mut header = recipe.judged();
    // A proof of work may be several hashes, each of all of the one before.
    while let Made::Hash { algorithm, of } = header.made() {
        if algorithm.is_none() {
            return Err(format!("the key of the hash of {} is not a literal", of.shown()));
        }
        header = of;
    }
    let pieces = pieces(header)?;
    let (root, bits) = (piece_at(&pieces, ROOT, 32)?, piece_at(&pieces, BITS, 4)?);
    let total = pieces.iter().try_fold(0_u32, |sum, piece| sum.checked_add(width(piece)?));
    if total != Some(HEADER) {
        return Err(format!("{}, which is hashed, is no header of {HEADER} bytes", header.shown()));
    }
    if bits.stage() > Stage::Job {
        return Err("the header's compact target is not the job's own".to_owned());
    }
    let Made::Fold { algorithm: Some(TREE), start: leaf, item: 32 } = root.made() else {
        return Err(format!(
            "the header's root, bytes {ROOT} to {} of it, is not `fold {TREE}` of the coinbase's hash and a path",
            ROOT + 32
        ));
    };
    let Made::Hash { algorithm: Some(TREE), of: coinbase } = leaf.made() else {
        return Err(format!("the path to the root does not begin with `{TREE}` of the coinbase"));
    };
    around_extranonce(coinbase, bits)
}

/// The coinbase's pieces, cut at the extranonce.
fn around_extranonce<'r>(coinbase: Register<'r>, bits: Register<'r>) -> Result<Commitment<'r>, String> {
    let mut parts = [Vec::new(), Vec::new()];
    let mut extranonce = None;
    for piece in pieces(coinbase)? {
        match (piece.made(), extranonce) {
            (Made::Field(field), None) if piece.stage() == Stage::Share && &*field.name == "xn" => {
                let Width::Fixed(bytes) = field.width else {
                    return Err("the share field xn is not of constant length".to_owned());
                };
                extranonce = Some(usize::try_from(bytes).unwrap_or(usize::MAX));
            }
            _ if piece.stage() == Stage::Share => {
                return Err(format!(
                    "{} of the coinbase depends on the share: nothing but xn may, and that once",
                    piece.shown()
                ));
            }
            (_, found) => {
                let [head, tail] = &mut parts;
                if found.is_none() { head.push(piece) } else { tail.push(piece) }
            }
        }
    }
    let [head, tail] = parts;
    let extranonce = extranonce.ok_or("the share field xn is not a part of the coinbase")?;
    Ok(Commitment { head, extranonce, tail, bits })
}

/// The registers that a register is joined of, or itself.
fn pieces(of: Register<'_>) -> Result<Vec<Register<'_>>, String> {
    let mut pieces = Vec::new();
    let mut open = vec![of];
    while let Some(next) = open.pop() {
        match next.made() {
            Made::Joined(parts) => open.extend(parts.into_iter().rev()),
            _ => pieces.push(next),
        }
        if pieces.len() + open.len() > PIECES {
            return Err(format!("{} is joined of more than {PIECES} pieces", of.shown()));
        }
    }
    Ok(pieces)
}

/// The piece that is exactly these bytes.
fn piece_at<'r>(pieces: &[Register<'r>], from: u32, bytes: u32) -> Result<Register<'r>, String> {
    let mut at = 0_u32;
    for piece in pieces {
        let Some(width) = width(piece) else { break };
        if (at, width) == (from, bytes) {
            return Ok(*piece);
        }
        at = at.saturating_add(width);
    }
    Err(format!("bytes {from} to {} of what is hashed are no register of their own", from + bytes))
}

fn width(piece: &Register<'_>) -> Option<u32> {
    match piece.width() {
        Width::Fixed(bytes) => Some(bytes),
        _ => None,
    }
}
