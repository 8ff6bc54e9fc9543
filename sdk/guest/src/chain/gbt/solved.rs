//! From a solved job to the block and its submission; what a job has to remember for that.

use super::{Coin, RPC};
use crate::chain::{Assembled, Chunk, Solution, Verdict};
use crate::hex;
use crate::json::Cursor;

/// A job's private bytes: what its coinbase pays, where the node's answer holds the transactions, and what the coin keeps.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Private {
    /// Amount of each output, and whether it is the pool's own.
    pub paid: Vec<(u64, bool)>,
    /// (offset, length) of each transaction's hex.
    pub slices: Vec<(u32, u32)>,
    /// The coin's own.
    pub more: Vec<u8>,
}

impl Private {
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
        bytes.extend(&self.more);
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
        it.more = from.to_vec();
        Some(it)
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

/// The block of a solution and its `submitblock`.
pub fn assemble<C: Coin>(coin: &C, solution: &Solution) -> Result<Assembled, String> {
    let private = Private::read(&solution.private).ok_or("the job's private bytes are not this adapter's")?;
    let block = coin.solved(&solution.results, private.slices.len() + 1, &private.more)?;
    let start = format!("[\"{}", hex::encode(&block.start));
    let mut request = vec![Chunk::Literal(start.into_bytes())];
    request.extend(private.slices.iter().map(|place| Chunk::Body(*place)));
    request.extend(block.end);
    request.push(Chunk::Literal(b"\"]".to_vec()));
    Ok(Assembled { block: block.name, transport: RPC, method: "submitblock".to_owned(), request })
}

/// A count or length in Bitcoin's variable form.
pub fn varint(into: &mut Vec<u8>, number: usize) {
    let number = number as u64;
    match (u8::try_from(number), u16::try_from(number), u32::try_from(number)) {
        (Ok(small), ..) if small < 0xfd => into.push(small),
        (_, Ok(word), _) => into.extend([&[0xfd], word.to_le_bytes().as_slice()].concat()),
        (_, _, Ok(double)) => into.extend([&[0xfe], double.to_le_bytes().as_slice()].concat()),
        _ => into.extend([&[0xff], number.to_le_bytes().as_slice()].concat()),
    }
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
            "inconclusive" | "stale-prevblk" | "bad-prevblk" => Verdict::Stale,
            // The node is behind: it keeps nothing of the block, and can judge it when it has the parent.
            "prev-blk-not-found" => Verdict::Retry,
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
            more: vec![3, 9],
        };
        assert_eq!(Private::read(&private.write()), Some(private.clone()));
        assert_eq!(Private::read(&Private::default().write()), Some(Private::default()));
        let bytes = private.write();
        for cut in 0..bytes.len() - private.more.len() {
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
            ("\"prev-blk-not-found\"", Verdict::Retry),
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
    fn counts_take_their_shortest_form() {
        for (number, expected) in
            [(0xfc, "fc"), (0xfd, "fdfd00"), (0xffff, "fdffff"), (0x1_0000, "fe00000100")]
        {
            let mut bytes = Vec::new();
            varint(&mut bytes, number);
            assert_eq!(hex::encode(&bytes), expected);
        }
    }
}
