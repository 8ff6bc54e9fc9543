//! The coinbase transaction around the extranonce, and the witness commitment.

use crate::network::EXTRANONCE;
use crate::work::More;
use millpond_sdk::chain::gbt::{self, Template, varint};
use millpond_sdk::chain::{Output, host};

/// A coinbase without witness, cut where the extranonce goes and, if the session's own payee is paid, where his script
/// (with its length) goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Coinbase {
    /// Up to the extranonce.
    pub head: Vec<u8>,
    /// From behind the extranonce to the end, or to the value of the first output.
    pub mid: Vec<u8>,
    /// From behind the first output's script to the end; `None` when no session is paid.
    pub rest: Option<Vec<u8>>,
    /// What each output pays, in order, and whether it is the pool's own: all but the session's.
    pub paid: Vec<(u64, bool)>,
}

/// The coinbase of a template. The session's output, if any, comes first: its script's length is the session's.
pub fn build(template: &Template<More>, outputs: &[Output], tag: &[u8]) -> Result<Coinbase, String> {
    let amounts = gbt::divide(template.value, outputs)?;
    let (sessions, pools): (Vec<_>, Vec<_>) = outputs
        .iter()
        .zip(amounts)
        .filter(|(_, amount)| *amount > 0)
        .partition(|(output, _)| output.payee.is_empty());
    if sessions.len() > 1 {
        return Err("the session's own payee stands twice among the outputs".to_owned());
    }

    let mut script = height_push(template.height);
    if !template.more.flags.is_empty() {
        push(&mut script, &template.more.flags);
    }
    let mut end = Vec::new();
    push(&mut end, tag);
    script.push(EXTRANONCE);
    let length = script.len() + usize::from(EXTRANONCE) + end.len();
    if length > 100 {
        return Err(format!(
            "the coinbase script would have {length} bytes, consensus allows 100: shorten `tag`"
        ));
    }
    let mut head = vec![1, 0, 0, 0, 1];
    head.extend([0; 32]);
    head.extend([0xff; 4]);
    varint(&mut head, length);
    head.extend(script);

    let commitment = commitment(template)?;
    let mut mid = end;
    mid.extend([0xff; 4]);
    varint(&mut mid, sessions.len() + pools.len() + usize::from(commitment.is_some()));
    let paid = sessions
        .iter()
        .map(|(_, amount)| (*amount, false))
        .chain(pools.iter().map(|(_, amount)| (*amount, true)));
    let paid = paid.collect();
    let mut rest = Vec::new();
    for (output, amount) in pools {
        value(&mut rest, amount, &output.payee);
    }
    if let Some(script) = commitment {
        value(&mut rest, 0, &script);
    }
    rest.extend([0; 4]); // lock time
    let rest = match sessions.first() {
        Some((_, amount)) => {
            mid.extend(amount.to_le_bytes());
            Some(rest)
        }
        None => {
            mid.extend(rest);
            None
        }
    };
    Ok(Coinbase { head, mid, rest, paid })
}

/// The commitment to the witnesses (BIP 141): the node's own, else recomputed. `None` where the rule is not in force:
/// a coinbase with a witness would be refused there, and bcoin gives a commitment all the same.
fn commitment(template: &Template<More>) -> Result<Option<Vec<u8>>, String> {
    let in_force = |rules: &Vec<String>| rules.iter().any(|rule| rule.trim_start_matches('!') == "segwit");
    if template.rules.as_ref().is_some_and(|rules| !in_force(rules)) {
        return Ok(None);
    }
    if template.more.commitment.is_some() || (template.rules.is_none() && template.txids == template.wtxids) {
        return Ok(template.more.commitment.clone());
    }
    let branch = host::merkle_branch("sha256d", &leaves(&template.wtxids))?;
    let mut root = [0u8; 32]; // the coinbase's own witness id
    for side in branch.as_chunks::<32>().0 {
        root = host::hash32("sha256d", &[root, *side].concat())?;
    }
    let reserved = [0u8; 32];
    let digest = host::hash32("sha256d", &[root, reserved].concat())?;
    Ok(Some([[0x6a, 0x24, 0xaa, 0x21, 0xa9, 0xed].as_slice(), &digest].concat()))
}

/// The height as the first push of the script (BIP 34): the shortest script number.
fn height_push(height: u64) -> Vec<u8> {
    match height {
        0 => vec![0],
        1..=16 => vec![0x50 + height.to_le_bytes()[0]],
        _ => {
            let bytes = height.to_le_bytes();
            let mut used = bytes.len() - (height.leading_zeros() / 8) as usize;
            if bytes.get(used - 1).is_some_and(|top| *top >= 0x80) {
                used += 1; // the top bit is the sign
            }
            let mut script = Vec::new();
            push(&mut script, &bytes.iter().copied().chain([0]).take(used).collect::<Vec<u8>>());
            script
        }
    }
}

/// A push of up to 75 bytes; longer data is cut there, which only `coinbaseaux` could be.
fn push(script: &mut Vec<u8>, data: &[u8]) {
    let data = data.get(..75).unwrap_or(data);
    script.push(u8::try_from(data.len()).unwrap_or_default());
    script.extend(data);
}

fn value(into: &mut Vec<u8>, amount: u64, script: &[u8]) {
    into.extend(amount.to_le_bytes());
    varint(into, script.len());
    into.extend(script);
}

/// Ids as leaves of a Merkle tree: in header byte order, behind a zeroed one for the coinbase.
pub fn leaves(ids: &[u8]) -> Vec<u8> {
    let ids = ids.as_chunks::<32>().0.iter().flat_map(|id| id.iter().rev().copied());
    [0; 32].into_iter().chain(ids).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use millpond_sdk::hex;

    fn output(payee: &[u8], weight: u64) -> Output {
        Output { payee: payee.to_vec(), weight }
    }

    fn template() -> Template<More> {
        Template { height: 482_683, value: 101, ..Template::default() }
    }

    #[test]
    fn heights_are_pushed_as_bip_34_has_them() {
        for (height, expected) in [
            (0, "00"),
            (1, "51"),
            (16, "60"),
            (17, "0111"),
            (127, "017f"),
            (128, "028000"),
            (255, "02ff00"),
            (256, "020001"),
            (32_768, "03008000"),
            (482_683, "037b5d07"),
            (8_388_608, "0400008000"),
        ] {
            assert_eq!(hex::encode(&height_push(height)), expected, "{height}");
        }
    }

    #[test]
    fn every_unit_goes_to_some_output_by_weight() {
        let built = build(&template(), &[output(&[0x51], 2), output(&[0x52], 1)], b"/t/").unwrap();
        assert_eq!((built.paid, built.rest), (vec![(67, true), (34, true)], None));
        assert_eq!(hex::encode(&built.head), format!("0100000001{}ffffffff11037b5d0708", "00".repeat(32)));
        assert_eq!(
            hex::encode(&built.mid),
            "032f742f".to_owned()
                + "ffffffff02"
                + "4300000000000000"
                + "0151"
                + "2200000000000000"
                + "0152"
                + "00000000"
        );
    }

    #[test]
    fn the_sessions_own_payee_comes_first_and_is_left_open() {
        let built = build(&template(), &[output(&[0x51], 2), output(&[], 98)], b"").unwrap();
        assert_eq!(built.paid, [(99, false), (2, true)]);
        assert!(built.mid.ends_with(&99u64.to_le_bytes()));
        assert_eq!(hex::encode(&built.rest.unwrap()), "0200000000000000015100000000");
    }

    #[test]
    fn a_coinbase_for_nobody_or_with_a_script_above_100_bytes_is_refused() {
        assert!(build(&template(), &[], b"").unwrap_err().contains("not configured"));
        assert!(build(&template(), &[output(&[0x51], 0)], b"").is_err());
        assert!(build(&template(), &[output(&[], 1), output(&[], 1)], b"").unwrap_err().contains("twice"));
        let more = More { flags: vec![1; 75], ..More::default() };
        let long = Template { more, ..template() };
        assert!(build(&long, &[output(&[0x51], 1)], &[b'x'; 60]).unwrap_err().contains("100"));
    }
}
