//! Reading `getblocktemplate` (BIP 22, 23, 145) in one pass. Transactions stay in the node's answer: only their ids and
//! the places of their hex are kept.

use super::Coin;
use crate::json::Cursor;

/// What of a template is needed to build a block; `more` is the coin's own.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Template<M> {
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
    /// Subsidy and fees, base units.
    pub value: u64,
    /// The fees of its transactions in it; `None` where the node does not tell each one's.
    pub fees: Option<u64>,
    /// To ask with for the next one; empty = the node has no longpoll.
    pub longpoll: String,
    /// Transaction ids as RPC prints them, 32 bytes each, without the coinbase's.
    pub txids: Vec<u8>,
    /// Their ids with witness; equal to `txids` where the node tells them apart not.
    pub wtxids: Vec<u8>,
    /// (offset, length) of each transaction's hex in the answer.
    pub slices: Vec<(u32, u32)>,
    /// Rules in force (BIP 9), with a `!` where a miner must know them; `None` from a node that lists none.
    pub rules: Option<Vec<String>>,
    /// What [`Coin::member`] read.
    pub more: M,
}

impl<M: Default> Template<M> {
    /// Reads an answer.
    ///
    /// # Errors
    /// When it is no template, lacks one of the common keys, or the coin refuses a member.
    pub fn read<C: Coin<More = M>>(coin: &C, answer: &[u8]) -> Result<Self, String> {
        let mut it = Self { fees: Some(0), ..Self::default() };
        let mut seen = 0u8;
        let mut cursor = Cursor::new(answer);
        cursor.object(|key, value| {
            match key {
                "height" => it.height = value.uint()?,
                "previousblockhash" => it.parent = value.hash()?,
                "version" => it.version = low32(value.int()?)?,
                "bits" => it.bits = u32::from_str_radix(value.text()?, 16).map_err(|_| "bits is not hex")?,
                "curtime" => it.time = low32(value.int()?)?,
                "coinbasevalue" => it.value = value.uint()?,
                "longpollid" => it.longpoll = value.text()?.to_owned(),
                "rules" => {
                    let rules = it.rules.get_or_insert_default();
                    value.array(|rule| rule.text().map(|rule| rules.push(rule.to_owned())))?;
                }
                "transactions" => value.array(|transaction| it.transaction(transaction))?,
                key => {
                    if !coin.member(key, value, &mut it.more)? {
                        value.skip()?;
                    }
                }
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
}

impl<M> Template<M> {
    fn transaction(&mut self, cursor: &mut Cursor<'_>) -> Result<(), String> {
        let (mut data, mut txid, mut wtxid, mut fee) = (None, None, None, None);
        cursor.object(|key, value| {
            match key {
                "data" => data = Some(value.place()?),
                "txid" => txid = Some(value.hash()?),
                "hash" => wtxid = Some(value.hash()?),
                // Not there means that it is not known, not that there is none (BIP 22). Of one that cannot be read no more is
                // known, and work goes on without it.
                "fee" => fee = value.uint().ok(),
                _ => value.skip()?,
            }
            Ok(())
        })?;
        // Without the segwit rules a node gives `hash` alone, and it is the txid.
        let wtxid = wtxid.or(txid).ok_or("a transaction of the template has no hash")?;
        self.txids.extend(txid.unwrap_or(wtxid));
        self.wtxids.extend(wtxid);
        self.fees = self.fees.zip(fee).and_then(|(fees, fee)| fees.checked_add(fee));
        self.slices.push(data.ok_or("a transaction of the template has no data")?);
        Ok(())
    }

    /// What a block pays but for the fees of its transactions, where those are known and not more than it pays.
    #[must_use]
    pub fn subsidy(&self) -> Option<u64> {
        self.fees.and_then(|fees| self.value.checked_sub(fees))
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

/// Versions are printed signed by some nodes and unsigned by others.
fn low32(value: i64) -> Result<u32, String> {
    u32::try_from(value)
        .or_else(|_| i32::try_from(value).map(i32::cast_unsigned))
        .map_err(|_| format!("{value} does not fit 32 bits"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::{Description, Output, Payee, Settings, gbt};
    use crate::hex;

    /// A coin whose templates have one key of their own.
    struct Odd;

    impl Coin for Odd {
        type More = u64;

        fn schema() -> String {
            String::new()
        }
        fn new(_: &Settings) -> Result<(Self, Description, gbt::Profile), String> {
            Err("this coin reads templates only".to_owned())
        }
        fn member(&self, key: &str, value: &mut Cursor<'_>, more: &mut u64) -> Result<bool, String> {
            Ok(key == "odd" && value.uint().map(|read| *more = read).is_ok())
        }
        fn work(&self, _: &Template<u64>, _: &[Output]) -> Result<gbt::Work, String> {
            Ok(gbt::Work::default())
        }
        fn solved(&self, _: &[Vec<u8>], _: usize, _: &[u8]) -> Result<gbt::Block, String> {
            Ok(gbt::Block::default())
        }
        fn resolve(&self, name: &str) -> Result<Payee, String> {
            Err(name.to_owned())
        }
    }

    fn template(bits: u32) -> Template<()> {
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
        assert!(Template::read(&Odd, br#"{"height":1}"#).unwrap_err().contains("lacks"));
        assert!(Template::read(&Odd, b"null").is_err());
    }

    #[test]
    fn common_keys_and_the_coins_own_are_read_and_others_passed_over() {
        let text = format!(
            r#"{{"height":7,"previousblockhash":"{0}","version":-1,"bits":"207fffff","curtime":9,"x":[{{}}],
            "coinbasevalue":50,"odd":3,"transactions":[{{"data":"00ff","hash":"{1}"}}]}}"#,
            "ab".repeat(32),
            "cd".repeat(32)
        );
        let read = Template::read(&Odd, text.as_bytes()).unwrap();
        assert_eq!((read.height, read.parent, read.version), (7, [0xab; 32], u32::MAX));
        assert_eq!((read.more, &read.txids, &read.wtxids), (3, &vec![0xcd; 32], &vec![0xcd; 32]));
        let (offset, length) = read.slices[0];
        assert_eq!(&text[offset as usize..(offset + length) as usize], "00ff");
    }
}
