//! A template with its coinbase as a job's constants, and a header with its coinbase as a block.

use crate::coinbase;
use crate::network::{EXTRANONCE, Network, ROLLED_BITS};
use millpond_sdk::chain::gbt::{Block, Template, Work, varint};
use millpond_sdk::chain::{Chunk, Output, host};
use millpond_sdk::hex;

/// What templates of this family hold beside the common keys.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct More {
    /// Bytes to carry in the coinbase script.
    pub flags: Vec<u8>,
    /// The node's own commitment script, if it gave one.
    pub commitment: Option<Vec<u8>>,
    /// The script that blocks of a signet have to satisfy (BIP 325).
    pub challenge: Option<Vec<u8>>,
    /// (offset, length) of the hex behind the transactions, for coins that have such.
    pub trailer: Option<(u32, u32)>,
}

impl More {
    /// What a solution's block needs of it: the trailer's place.
    fn keep(&self) -> Vec<u8> {
        self.trailer.map(|(at, length)| [at.to_le_bytes(), length.to_le_bytes()].concat()).unwrap_or_default()
    }

    fn trailer(kept: &[u8]) -> Option<(u32, u32)> {
        let (at, length) = kept.split_first_chunk::<4>()?;
        Some((u32::from_le_bytes(*at), u32::from_le_bytes(length.try_into().ok()?)))
    }
}

/// The work of a template, with the constants in the order of the recipes.
pub fn of(template: &Template<More>, outputs: &[Output], network: &Network) -> Result<Work, String> {
    // A block without a solution of the challenge is valid where that is OP_TRUE alone.
    if template.more.challenge.as_ref().is_some_and(|challenge| *challenge != [0x51]) {
        return Err("blocks of this signet have to be signed for its challenge (BIP 325), which this pool cannot do: \
                    use a signet whose challenge is OP_TRUE (-signetchallenge=51), testnet4 or regtest"
            .to_owned());
    }
    let coinbase = coinbase::build(template, outputs, &network.tag)?;
    let recipe = u16::from(coinbase.rest.is_some());
    let mut consts = vec![coinbase.head, coinbase.mid];
    consts.extend(coinbase.rest);
    let prev = template.parent.iter().rev().copied().collect();
    let version = (template.version & !ROLLED_BITS).to_be_bytes().to_vec();
    let branch = host::merkle_branch("sha256d", &coinbase::leaves(&template.txids))?;
    consts.extend([branch, version, prev]);
    consts.extend([template.bits.to_le_bytes().to_vec(), template.time.to_be_bytes().to_vec()]);
    Ok(Work { recipe, consts, paid: coinbase.paid, more: template.more.keep() })
}

/// The block that this work would make, extranonce and nonce zero.
pub fn proposal(template: &Template<More>, work: &Work, network: &Network) -> Result<Block, String> {
    let (head, mid, rest, branch) = match work.consts.as_slice() {
        [head, mid, branch, ..] if work.recipe == 0 => (head, mid, None, branch),
        [head, mid, rest, branch, ..] => (head, mid, Some(rest), branch),
        _ => return Err("the work has too few constants".to_owned()),
    };
    let mut coinbase = [head.as_slice(), &[0; EXTRANONCE as usize], mid].concat();
    if let Some(rest) = rest {
        coinbase.extend([&[1, 0x51], rest.as_slice()].concat()); // anybody's script stands in for the session's
    }
    let mut root = host::hash32("sha256d", &coinbase)?;
    for side in branch.as_chunks::<32>().0 {
        root = host::hash32("sha256d", &[root, *side].concat())?;
    }
    let mut header = (template.version & !ROLLED_BITS).to_le_bytes().to_vec();
    header.extend(template.parent.iter().rev());
    header.extend(root);
    for word in [template.time, template.bits, 0] {
        header.extend(word.to_le_bytes());
    }
    block(&header, &coinbase, template.slices.len() + 1, &work.more, network)
}

/// The block of a solution: its header and its coinbase.
pub fn solved(
    results: &[Vec<u8>],
    transactions: usize,
    more: &[u8],
    network: &Network,
) -> Result<Block, String> {
    let [header, coinbase] = results else {
        return Err(format!("the recipe gave {} results, header and coinbase were expected", results.len()));
    };
    let mut name = host::hash("sha256d", header)?;
    name.reverse();
    Ok(Block { name, ..block(header, coinbase, transactions, more, network)? })
}

fn block(
    header: &[u8],
    coinbase: &[u8],
    transactions: usize,
    more: &[u8],
    network: &Network,
) -> Result<Block, String> {
    // A witness belongs to it exactly where it commits to one.
    let commits = coinbase.windows(6).any(|part| part == [0x6a, 0x24, 0xaa, 0x21, 0xa9, 0xed]);
    let coinbase =
        if commits { with_witness(coinbase).ok_or("the coinbase is too short")? } else { coinbase.to_vec() };
    let mut start = header.to_vec();
    varint(&mut start, transactions);
    start.extend(coinbase);
    let mut end = Vec::new();
    if let (Some((_, prefix)), Some(place)) = (&network.trailer, More::trailer(more)) {
        end = vec![Chunk::Literal(hex::encode(prefix).into_bytes()), Chunk::Body(place)];
    }
    Ok(Block { name: Vec::new(), start, end })
}

/// Puts the 32 zero bytes of the coinbase's witness (BIP 141) into a coinbase without one.
fn with_witness(coinbase: &[u8]) -> Option<Vec<u8>> {
    let (version, rest) = coinbase.split_at_checked(4)?;
    let (body, lock_time) = rest.split_at_checked(rest.len().checked_sub(4)?)?;
    Some([version, &[0, 1], body, &[1, 32], &[0; 32], lock_time].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_coinbase_without_commitment_carries_no_witness() {
        let network = Network::from_settings(&Vec::new()).unwrap();
        let plain = block(&[1; 80], &[2; 60], 1, &[], &network).unwrap();
        assert_eq!(plain.start, [[1; 80].as_slice(), &[1], &[2; 60]].concat());
        assert_eq!(plain.end, []);
    }

    #[test]
    fn a_trailers_place_comes_back_as_it_was() {
        let more = |trailer| More { trailer, ..More::default() };
        for trailer in [None, Some((3, 9)), Some((u32::MAX, 0))] {
            assert_eq!(More::trailer(&more(trailer).keep()), trailer);
        }
    }
}
