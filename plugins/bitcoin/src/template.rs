//! Reading `getblocktemplate` (BIP 22, 23, 145) in one pass. Transactions stay in the node's answer: only their ids and
//! the places of their hex are kept.

use millpond_sdk::hex;
use millpond_sdk::json::Cursor;

/// What of a template is needed to build a block.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Template {
    /// Height of the block to be found.
    pub height: u64,
    /// The block it builds on, as RPC prints it.
    pub parent: [u8; 32],
    /// Header version.
    pub version: u32,
    /// The target in its compact form.
    pub bits: u32,
    /// The node's time, Unix seconds.
    pub time: u32,
    /// Subsidy and fees, satoshi.
    pub value: u64,
    /// To ask with for the next one; empty = the node has no longpoll.
    pub longpoll: String,
    /// Bytes to carry in the coinbase script.
    pub flags: Vec<u8>,
    /// Transaction ids and witness ids in header byte order, 32 bytes each, a zeroed one first for the coinbase.
    pub txids: Vec<u8>,
    /// See `txids`.
    pub wtxids: Vec<u8>,
    /// (offset, length) of each transaction's hex in the answer.
    pub slices: Vec<(u32, u32)>,
    /// The node's own commitment script, if it gave one.
    pub commitment: Option<Vec<u8>>,
    /// (offset, length) of the hex behind the transactions, for coins that have such.
    pub trailer: Option<(u32, u32)>,
    /// Rules in force (BIP 9), with a `!` where a miner must know them; `None` from a node that lists none.
    pub rules: Option<Vec<String>>,
}

impl Template {
    /// Reads an answer; `trailer`: the key of block data behind the transactions.
    pub fn read(answer: &[u8], trailer: Option<&str>) -> Result<Self, String> {
        let mut it = Self { txids: vec![0; 32], wtxids: vec![0; 32], ..Self::default() };
        let mut seen = 0u8;
        let mut cursor = Cursor::new(answer);
        cursor.object(|key, value| {
            match key {
                "height" => it.height = value.uint()?,
                "previousblockhash" => it.parent = hash(value.text()?)?,
                "version" => it.version = low32(value.int()?)?,
                "bits" => it.bits = u32::from_str_radix(value.text()?, 16).map_err(|_| "bits is not hex")?,
                "curtime" => it.time = low32(value.int()?)?,
                "coinbasevalue" => it.value = value.uint()?,
                "longpollid" => it.longpoll = value.text()?.to_owned(),
                "coinbaseaux" => value.object(|_, flag| {
                    it.flags.extend(hex::decode(flag.text()?).ok_or("coinbaseaux is not hex")?);
                    Ok(())
                })?,
                "default_witness_commitment" => {
                    it.commitment =
                        Some(hex::decode(value.text()?).ok_or("default_witness_commitment is not hex")?);
                }
                "rules" => {
                    let rules = it.rules.get_or_insert_default();
                    value.array(|rule| rule.text().map(|rule| rules.push(rule.to_owned())))?;
                }
                "transactions" => value.array(|transaction| it.transaction(transaction))?,
                key if Some(key) == trailer => it.trailer = place(value.span()?),
                _ => value.skip()?,
            }
            seen |= match key {
                "height" => 1,
                "previousblockhash" => 2,
                "version" => 4,
                "bits" => 8,
                "curtime" => 16,
                "coinbasevalue" => 32,
                "transactions" => 64,
                _ => 0,
            };
            Ok(())
        })?;
        cursor.end()?;
        if seen != 127 {
            return Err("the template lacks one of height, previousblockhash, version, bits, curtime, \
                        coinbasevalue, transactions"
                .to_owned());
        }
        Ok(it)
    }

    fn transaction(&mut self, cursor: &mut Cursor) -> Result<(), String> {
        let (mut data, mut txid, mut wtxid) = (None, None, None);
        cursor.object(|key, value| {
            match key {
                "data" => data = place(value.span()?),
                "txid" => txid = Some(hash(value.text()?)?),
                "hash" => wtxid = Some(hash(value.text()?)?),
                _ => value.skip()?,
            }
            Ok(())
        })?;
        // Without the segwit rules a node gives `hash` alone, and it is the txid.
        let wtxid = wtxid.or(txid).ok_or("a transaction of the template has no hash")?;
        let mut push = |list: fn(&mut Self) -> &mut Vec<u8>, id: [u8; 32]| list(self).extend(id.iter().rev());
        push(|it| &mut it.txids, txid.unwrap_or(wtxid));
        push(|it| &mut it.wtxids, wtxid);
        self.slices.push(data.ok_or("a transaction of the template has no data")?);
        Ok(())
    }

    /// The network's target, 32 B BE, from its compact form: mantissa * 256^(exponent - 3).
    pub fn target(&self) -> Result<[u8; 32], String> {
        let [exponent, mantissa @ ..] = self.bits.to_be_bytes();
        let mut target = [0u8; 32];
        // The place of each byte of the mantissa; below the last one it is a fraction and dropped.
        for (place, byte) in (32 - i32::from(exponent)..).zip(mantissa) {
            match usize::try_from(place).map(|place| target.get_mut(place)) {
                Ok(Some(place)) => *place = byte,
                Err(_) if byte != 0 => return Err(format!("bits {:08x} are out of range", self.bits)),
                _ => {}
            }
        }
        if mantissa[0] >= 0x80 || target == [0; 32] {
            return Err(format!("bits {:08x} are out of range", self.bits));
        }
        Ok(target)
    }
}

fn place((offset, length): (usize, usize)) -> Option<(u32, u32)> {
    Some((u32::try_from(offset).ok()?, u32::try_from(length).ok()?))
}

fn hash(text: &str) -> Result<[u8; 32], String> {
    hex::decode32(text).ok_or_else(|| format!("{text:?} is not a hash"))
}

/// Versions are printed signed by some nodes and unsigned by others.
fn low32(value: i64) -> Result<u32, String> {
    u32::try_from(value)
        .or_else(|_| i32::try_from(value).map(i32::cast_unsigned))
        .map_err(|_| format!("{value} does not fit 32 bits"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template(bits: u32) -> Template {
        Template { bits, ..Template::default() }
    }

    #[test]
    fn compact_targets_become_256_bits() {
        let hex_of = |bits| hex::encode(&template(bits).target().unwrap());
        assert_eq!(hex_of(0x1d00_ffff), format!("00000000ffff{}", "0".repeat(52)));
        assert_eq!(hex_of(0x1b04_04cb), format!("00000000000404cb{}", "0".repeat(48)));
        assert_eq!(hex_of(0x207f_ffff), format!("7fffff{}", "0".repeat(58)));
        assert_eq!(hex_of(0x0212_3400), format!("{}1234", "0".repeat(60)));
        assert!(template(0x2200_0001).target().is_ok());
        for bad in [0, 0x2300_0001, 0x2200_0100, 0x1d80_0000] {
            assert!(template(bad).target().is_err(), "{bad:08x}");
        }
    }

    #[test]
    fn a_template_without_a_needed_key_is_refused() {
        assert!(Template::read(br#"{"height":1}"#, None).unwrap_err().contains("lacks"));
        assert!(Template::read(b"null", None).is_err());
    }
}
