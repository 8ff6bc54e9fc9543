//! From a solved job to the block and its submission; what a job has to remember for that.

use crate::coinbase::varint;
use crate::network::{Network, RPC};
use crate::template::Template;
use millpond_sdk::chain::{Assembled, Chunk, Solution, Verdict, host};
use millpond_sdk::hex;
use millpond_sdk::json::Cursor;

/// A job's private bytes: what its coinbase pays, and where the node's answer holds what follows the coinbase.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Private {
    /// Amount of each output, and whether it is the pool's own.
    pub paid: Vec<(u64, bool)>,
    /// (offset, length) of each transaction's hex.
    pub slices: Vec<(u32, u32)>,
    /// The same for the data behind the transactions.
    pub trailer: Option<(u32, u32)>,
}

impl Private {
    /// Of a template and its coinbase's payments.
    pub fn of(template: &Template, paid: &[(u64, bool)]) -> Self {
        Self { paid: paid.to_vec(), slices: template.slices.clone(), trailer: template.trailer }
    }

    /// Counts, then numbers in LEB128, places as the gap from the end of the one before: about four bytes each.
    pub fn write(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        number(&mut bytes, self.paid.len() as u64);
        for (amount, own) in &self.paid {
            number(&mut bytes, *amount);
            bytes.push(u8::from(*own));
        }
        number(&mut bytes, self.slices.len() as u64);
        let mut end = 0;
        for (offset, length) in &self.slices {
            number(&mut bytes, u64::from(offset.saturating_sub(end)));
            number(&mut bytes, u64::from(*length));
            end = offset.saturating_add(*length);
        }
        // Keys of a template have no order: the trailer may stand before the transactions.
        let (offset, length) = self.trailer.unwrap_or_default();
        number(&mut bytes, u64::from(offset));
        number(&mut bytes, u64::from(length));
        bytes
    }

    /// Reads what `write` wrote.
    pub fn read(mut bytes: &[u8]) -> Option<Self> {
        let from = &mut bytes;
        let mut it = Self::default();
        for _ in 0..take(from)? {
            let amount = take(from)?;
            let (own, rest) = from.split_first()?;
            *from = rest;
            it.paid.push((amount, *own == 1));
        }
        let mut end = 0u32;
        for _ in 0..take(from)? {
            let offset = end.checked_add(u32::try_from(take(from)?).ok()?)?;
            let length = u32::try_from(take(from)?).ok()?;
            it.slices.push((offset, length));
            end = offset.checked_add(length)?;
        }
        let trailer = (u32::try_from(take(from)?).ok()?, u32::try_from(take(from)?).ok()?);
        it.trailer = Some(trailer).filter(|trailer| trailer.1 > 0);
        from.is_empty().then_some(it)
    }
}

fn number(into: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        into.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    into.push(value as u8);
}

fn take(from: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = from.split_first()?;
        *from = rest;
        value |= u64::from(byte & 0x7f).checked_shl(shift)?;
        if *byte < 0x80 {
            return Some(value);
        }
    }
    None
}

/// Puts the 32 zero bytes of the coinbase's witness (BIP 141) into a coinbase without one.
fn with_witness(coinbase: &[u8]) -> Option<Vec<u8>> {
    let (version, rest) = coinbase.split_at_checked(4)?;
    let (body, lock_time) = rest.split_at_checked(rest.len().checked_sub(4)?)?;
    Some([version, &[0, 1], body, &[1, 32], &[0; 32], lock_time].concat())
}

/// Header, count and coinbase in hex, then the transactions' hex out of the node's own answer.
pub fn block(
    network: &Network,
    header: &[u8],
    coinbase: &[u8],
    private: &Private,
) -> Result<Vec<Chunk>, String> {
    // A witness belongs to it exactly where it commits to one.
    let commits = coinbase.windows(6).any(|part| part == [0x6a, 0x24, 0xaa, 0x21, 0xa9, 0xed]);
    let coinbase =
        if commits { with_witness(coinbase).ok_or("the coinbase is too short")? } else { coinbase.to_vec() };
    let mut start = header.to_vec();
    varint(&mut start, private.slices.len() + 1);
    start.extend(coinbase);
    let mut request = vec![Chunk::Literal(hex::encode(&start).into_bytes())];
    request.extend(private.slices.iter().map(|place| Chunk::Body(*place)));
    if let (Some((_, prefix)), Some(place)) = (&network.trailer, private.trailer) {
        request.push(Chunk::Literal(hex::encode(prefix).into_bytes()));
        request.push(Chunk::Body(place));
    }
    Ok(request)
}

/// The block of a solution and its `submitblock`.
pub fn assemble(network: &Network, solution: &Solution) -> Result<Assembled, String> {
    let private = Private::read(&solution.private).ok_or("the job's private bytes are not this adapter's")?;
    let [header, coinbase] = solution.results.as_slice() else {
        return Err(format!(
            "the recipe gave {} results, header and coinbase were expected",
            solution.results.len()
        ));
    };
    let mut name = host::hash("sha256d", header)?;
    name.reverse();
    let mut request = vec![Chunk::Literal(b"[\"".to_vec())];
    request.extend(block(network, header, coinbase, &private)?);
    request.push(Chunk::Literal(b"\"]".to_vec()));
    Ok(Assembled { block: name, transport: RPC, method: "submitblock".to_owned(), request })
}

/// What `submitblock` answered (BIP 22): null, a reason, or an error object.
pub fn read_reply(reply: &[u8]) -> (Verdict, String) {
    let mut cursor = Cursor::new(reply);
    if cursor.null() {
        return (Verdict::Accepted, "accepted".to_owned());
    }
    if let Ok(reason) = cursor.clone().text() {
        // bcoin puts "rejected: " before the reason.
        let plain = reason.strip_prefix("rejected: ").unwrap_or(reason);
        let verdict = match plain {
            "duplicate" | "duplicate-inconclusive" => Verdict::Duplicate,
            "inconclusive" | "stale-prevblk" | "bad-prevblk" | "prev-blk-not-found" => Verdict::Stale,
            _ => Verdict::Rejected,
        };
        return (verdict, reason.to_owned());
    }
    let mut code = 0;
    let read = cursor
        .object(|key, value| if key == "code" { value.int().map(|read| code = read) } else { value.skip() });
    // -22: it does not decode, -1 and -8: wrong parameters; anything else (warming up, syncing, out of memory) passes.
    let verdict =
        if read.is_ok() && matches!(code, -22 | -8 | -1) { Verdict::Rejected } else { Verdict::Retry };
    (verdict, String::from_utf8_lossy(reply.get(..200).unwrap_or(reply)).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_bytes_come_back_as_they_were() {
        let private = Private {
            paid: vec![(u64::MAX, true), (0, false)],
            slices: vec![(500, 20), (900, 4_000_000), (4_000_901, 2)],
            trailer: Some((3, 9)),
        };
        assert_eq!(Private::read(&private.write()), Some(private.clone()));
        assert_eq!(Private::read(&Private::default().write()), Some(Private::default()));
        let bytes = private.write();
        for cut in 0..bytes.len() {
            assert_eq!(Private::read(&bytes[..cut]), None);
        }
        assert_eq!(Private::read(&[0xff; 64]), None);
    }

    #[test]
    fn a_nodes_reasons_become_verdicts() {
        for (reply, verdict) in [
            ("null", Verdict::Accepted),
            ("\"duplicate\"", Verdict::Duplicate),
            ("\"inconclusive\"", Verdict::Stale),
            ("\"high-hash\"", Verdict::Rejected),
            ("\"rejected: bad-cb-amount\"", Verdict::Rejected),
            ("\"rejected: duplicate\"", Verdict::Duplicate),
            (r#"{"code":-22,"message":"Block decode failed"}"#, Verdict::Rejected),
            (r#"{"code":-28,"message":"Loading block index"}"#, Verdict::Retry),
            ("", Verdict::Retry),
        ] {
            assert_eq!(read_reply(reply.as_bytes()).0, verdict, "{reply}");
        }
    }

    #[test]
    fn a_coinbase_without_commitment_carries_no_witness() {
        let network = Network::from_settings(&Vec::new()).unwrap();
        let plain = block(&network, &[1; 80], &[2; 60], &Private::default()).unwrap();
        assert_eq!(
            plain,
            [Chunk::Literal(hex::encode(&[[1; 80].as_slice(), &[1], &[2; 60]].concat()).into_bytes())]
        );
    }
}
