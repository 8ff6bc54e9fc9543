//! The check of a coinbase before miners work on it.
//!
//! An adapter builds the coinbase; whom it pays is checked here, natively, against what the operator configured: once
//! per job, and per session where the session's own payee stands in it. The extranonce may lie only inside the
//! input's script, behind the height, so that no miner can touch anything else.

use crate::Txid;
use crate::reader::{CutShort, Reader};
use bitcoin::hashes::{Hash, sha256d};
use millpond_types::Amount;
use std::ops::Range;

/// Outputs that are looked at; a coinbase with more is refused.
const MAX_OUTPUTS: u64 = 10_000;
/// Bytes of a coinbase that are looked at.
const MAX_COINBASE: usize = 1_000_000;

/// An output that the coinbase must have, exactly once for each time it is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpectedOutput {
    /// The script (scriptPubKey) of the operator, a recipient or the session's miner.
    pub script: Vec<u8>,
    /// What it is paid, in base units. More than nothing.
    pub amount: Amount,
}

/// What a coinbase must be.
#[derive(Clone, Copy, Debug)]
pub struct Rules<'a> {
    /// Everyone who is paid. Nobody else may be.
    pub outputs: &'a [ExpectedOutput],
    /// What the job says that the block earns, in base units: the outputs must come to exactly this.
    pub reward: Amount,
    /// The height that the script must begin with (BIP 34); none for coins without the rule.
    pub height: Option<u32>,
}

/// What was found in a coinbase that passed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Coinbase {
    /// The txid, with the hole as it was filled in the bytes given.
    pub txid: Txid,
    /// For each expected output its index in the transaction.
    pub vouts: Vec<u32>,
    /// The witness commitment (BIP 141), if there is one.
    pub commitment: Option<[u8; 32]>,
    /// Where the input's script lies in the bytes.
    pub script: Range<usize>,
}

/// Why a coinbase must not be worked on.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum CoinbaseError {
    /// Not a transaction, or bytes left over.
    #[error("the coinbase cannot be read as a transaction at byte {0}")]
    Malformed(usize),
    /// More than is looked at.
    #[error("the coinbase of {0} bytes or outputs is too large to be one")]
    TooLarge(usize),
    /// An input that spends something, or several.
    #[error("the transaction is not a coinbase: its input must be one that spends nothing")]
    NotCoinbase,
    /// A script outside 2 to 100 bytes.
    #[error("the input's script has {0} bytes; consensus allows 2 to 100")]
    ScriptLength(usize),
    /// Another height than the job's.
    #[error("the input's script does not begin with height {0} as BIP 34 has it")]
    Height(u32),
    /// A hole that reaches outside the script or into the height.
    #[error(
        "the extranonce at bytes {0:?} reaches outside the input's script or into the height; miners could change the coinbase"
    )]
    Hole(Range<usize>),
    /// Money for somebody who is not expected.
    #[error("output {vout} pays {amount} to script {script}, which is not to be paid that")]
    ForeignOutput {
        /// Its index.
        vout: u32,
        /// What it is paid.
        amount: Amount,
        /// The script in hex, cut at 80 digits.
        script: String,
    },
    /// An expected output that is not there.
    #[error("the output of {amount} to script {script} is missing")]
    MissingOutput {
        /// What should be paid.
        amount: Amount,
        /// The script in hex, cut at 80 digits.
        script: String,
    },
    /// Outputs that do not come to the reward.
    #[error("the outputs come to {found} where the job's reward is {reward}")]
    Sum {
        /// Their sum.
        found: Amount,
        /// What the job said.
        reward: Amount,
    },
    /// A witness that is not the 32 bytes of BIP 141.
    #[error("the coinbase's witness is not one item of 32 bytes")]
    Witness,
}

/// Checks a coinbase given as the bytes before and behind an extranonce of `extranonce` bytes.
///
/// # Errors
/// As [`check`].
pub fn check_parts(
    head: &[u8],
    extranonce: usize,
    tail: &[u8],
    rules: Rules<'_>,
) -> Result<Coinbase, CoinbaseError> {
    let length = head.len().saturating_add(extranonce).saturating_add(tail.len());
    if length > MAX_COINBASE {
        return Err(CoinbaseError::TooLarge(length));
    }
    let mut bytes = Vec::with_capacity(length);
    bytes.extend_from_slice(head);
    bytes.resize(head.len() + extranonce, 0);
    bytes.extend_from_slice(tail);
    check(&bytes, head.len()..head.len() + extranonce, rules)
}

/// Checks a coinbase transaction, with or without its witness. `hole` is where the extranonce lies, empty for none.
/// Outputs of nothing to a script that begins with OP_RETURN (the witness commitment, other chains' commitments) are
/// allowed besides the expected ones; they carry no money.
///
/// # Errors
/// When anything differs from the rules. Such a job is not published.
pub fn check(bytes: &[u8], hole: Range<usize>, rules: Rules<'_>) -> Result<Coinbase, CoinbaseError> {
    if bytes.len() > MAX_COINBASE {
        return Err(CoinbaseError::TooLarge(bytes.len()));
    }
    let mut reader = Reader::new(bytes);
    let parsed = parse(&mut reader);
    let at = reader.at();
    let parsed = parsed.map_err(|stop| match stop {
        Stop::Cut => CoinbaseError::Malformed(at),
        Stop::Because(error) => error,
    })?;
    let height_end = match rules.height {
        Some(height) => {
            let push = height_push(height);
            let begins = bytes.get(parsed.script.clone()).is_some_and(|script| script.starts_with(&push));
            if !begins {
                return Err(CoinbaseError::Height(height));
            }
            parsed.script.start + push.len()
        }
        None => parsed.script.start,
    };
    if !hole.is_empty() && (hole.start < height_end || hole.end > parsed.script.end) {
        return Err(CoinbaseError::Hole(hole));
    }
    let vouts = match_outputs(&parsed.outputs, rules)?;
    let commitment = parsed.outputs.iter().rev().find_map(|output| commitment(output.script));
    let txid = Txid(sha256d::Hash::hash(&stripped(bytes, &parsed)).to_byte_array());
    Ok(Coinbase { txid, vouts, commitment, script: parsed.script })
}

struct FoundOutput<'a> {
    amount: Amount,
    script: &'a [u8],
}

struct Parsed<'a> {
    segwit: bool,
    script: Range<usize>,
    outputs: Vec<FoundOutput<'a>>,
    outputs_end: usize,
}

enum Stop {
    Cut,
    Because(CoinbaseError),
}

impl From<CutShort> for Stop {
    fn from(_: CutShort) -> Self {
        Self::Cut
    }
}

fn parse<'a>(reader: &mut Reader<'a>) -> Result<Parsed<'a>, Stop> {
    reader.u32()?;
    // BIP 144: a zero where the count of inputs stands, then a flag of 1.
    let segwit = reader.peek(0) == Some(0);
    if segwit && reader.array::<2>()? != [0, 1] {
        return Err(Stop::Because(CoinbaseError::NotCoinbase));
    }
    if reader.count()? != 1 || reader.array::<32>()? != [0; 32] || reader.u32()? != u32::MAX {
        return Err(Stop::Because(CoinbaseError::NotCoinbase));
    }
    let script = reader.string()?;
    if !(2..=100).contains(&script.len()) {
        return Err(Stop::Because(CoinbaseError::ScriptLength(script.len())));
    }
    let script = reader.at() - script.len()..reader.at();
    reader.u32()?;
    let count = reader.count()?;
    if count > MAX_OUTPUTS {
        return Err(Stop::Because(CoinbaseError::TooLarge(usize::try_from(count).unwrap_or(usize::MAX))));
    }
    let mut outputs = Vec::new();
    for _ in 0..count {
        outputs.push(FoundOutput { amount: Amount(reader.u64()?), script: reader.string()? });
    }
    let outputs_end = reader.at();
    if segwit && (reader.count()? != 1 || reader.string()?.len() != 32) {
        return Err(Stop::Because(CoinbaseError::Witness));
    }
    reader.u32()?;
    if reader.is_at_end() { Ok(Parsed { segwit, script, outputs, outputs_end }) } else { Err(Stop::Cut) }
}

/// The bytes whose hash is the txid: without marker, flag and witness.
fn stripped(bytes: &[u8], parsed: &Parsed<'_>) -> Vec<u8> {
    if !parsed.segwit {
        return bytes.to_vec();
    }
    let part = |range: Range<usize>| bytes.get(range).unwrap_or_default();
    [part(0..4), part(6..parsed.outputs_end), part(bytes.len().saturating_sub(4)..bytes.len())].concat()
}

fn match_outputs(found: &[FoundOutput<'_>], rules: Rules<'_>) -> Result<Vec<u32>, CoinbaseError> {
    let mut vouts = vec![None; rules.outputs.len()];
    let mut sum = Amount::ZERO;
    for (vout, output) in found.iter().enumerate() {
        let vout = u32::try_from(vout).unwrap_or(u32::MAX);
        if output.amount == Amount::ZERO && output.script.first() == Some(&0x6a) {
            continue;
        }
        let fits = |(place, expected): (usize, &ExpectedOutput)| {
            let free = vouts.get(place).is_some_and(Option::is_none);
            (free && expected.amount == output.amount && expected.script == output.script).then_some(place)
        };
        let Some(place) = rules.outputs.iter().enumerate().find_map(fits) else {
            return Err(CoinbaseError::ForeignOutput {
                vout,
                amount: output.amount,
                script: shown(output.script),
            });
        };
        if let Some(slot) = vouts.get_mut(place) {
            *slot = Some(vout);
        }
        sum = sum
            .checked_add(output.amount)
            .ok_or(CoinbaseError::Sum { found: Amount(u64::MAX), reward: rules.reward })?;
    }
    let missing = |expected: &ExpectedOutput| CoinbaseError::MissingOutput {
        amount: expected.amount,
        script: shown(&expected.script),
    };
    let vouts = vouts
        .into_iter()
        .zip(rules.outputs)
        .map(|(vout, expected)| vout.ok_or_else(|| missing(expected)))
        .collect::<Result<Vec<_>, _>>()?;
    if sum == rules.reward { Ok(vouts) } else { Err(CoinbaseError::Sum { found: sum, reward: rules.reward }) }
}

fn shown(script: &[u8]) -> String {
    script.iter().take(40).map(|byte| format!("{byte:02x}")).collect()
}

/// BIP 141: OP_RETURN, a push of 36 bytes, `aa21a9ed`, the hash; more may follow. The last such output counts.
fn commitment(script: &[u8]) -> Option<[u8; 32]> {
    script.strip_prefix(&[0x6a, 0x24, 0xaa, 0x21, 0xa9, 0xed])?.first_chunk().copied()
}

/// The push of a height as BIP 34 and Bitcoin Core's `CScript() << height` write it: OP_0 and OP_1 to OP_16 for small
/// ones, else the shortest signed little-endian number.
#[must_use]
pub fn height_push(height: u32) -> Vec<u8> {
    match u8::try_from(height) {
        Ok(0) => return vec![0],
        Ok(small @ 1..=16) => return vec![0x50 + small],
        _ => {}
    }
    let mut number: Vec<u8> = height.to_le_bytes().to_vec();
    while number.last() == Some(&0) {
        number.pop();
    }
    // The highest bit is the sign.
    if number.last().is_some_and(|top| top & 0x80 != 0) {
        number.push(0);
    }
    let mut push = vec![u8::try_from(number.len()).unwrap_or(0)];
    push.append(&mut number);
    push
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The share of the original stratum manual: head and tail around an extranonce of 8 bytes.
    const HEAD: &str = "01000000010000000000000000000000000000000000000000000000000000000000000000ffffffff2002\
                        0862062f503253482f04b8864e5008";
    const TAIL: &str = "072f736c7573682f000000000100f2052a010000001976a914d23fcdf86f7e756a64a7a9688ef9903327048ed988ac\
                        00000000";
    const OWN: &str = "76a914d23fcdf86f7e756a64a7a9688ef9903327048ed988ac";

    /// The coinbase of mainnet block 482683, with its witness.
    const MAINNET: &str = "010000000001010000000000000000000000000000000000000000000000000000000000000000ffffffff31037b5d07\
                           244d696e656420627920416e74506f6f6c732f4542312f4144362f4e59412f232059a70bb9450f00000cbd0000ffffff\
                           ff02d584e94a000000001976a9143abf61fe3281230780ed82676f9fa971e95f7ac188ac0000000000000000266a24aa\
                           21a9ed0f8b0182863aa4713e94bb72c47c57dcbae7de8f3df2af23453f60f1965dab7701200000000000000000000000\
                           00000000000000000000000000000000000000000000000000";

    fn bytes(hex: &str) -> Vec<u8> {
        hex::decode(hex).unwrap()
    }

    fn pays(script: &[u8], amount: u64) -> ExpectedOutput {
        ExpectedOutput { script: script.to_vec(), amount: Amount(amount) }
    }

    fn output(script: &[u8], amount: u64) -> Vec<u8> {
        [&amount.to_le_bytes()[..], &[u8::try_from(script.len()).unwrap()], script].concat()
    }

    /// A tail whose outputs are given.
    fn tail(outputs: &[Vec<u8>]) -> Vec<u8> {
        let count = u8::try_from(outputs.len()).unwrap();
        [&bytes("072f736c7573682f00000000")[..], &[count], &outputs.concat(), &[0; 4]].concat()
    }

    fn rules(outputs: &[ExpectedOutput], reward: u64) -> Rules<'_> {
        Rules { outputs, reward: Amount(reward), height: None }
    }

    #[test]
    fn the_coinbase_of_the_stratum_manual_pays_its_pool() {
        let own = [pays(&bytes(OWN), 5_000_000_000)];
        let found = check_parts(&bytes(HEAD), 8, &bytes(TAIL), rules(&own, 5_000_000_000)).unwrap();
        assert_eq!(found.vouts, [0]);
        assert_eq!(found.commitment, None);
        assert_eq!(found.script, 42..74);
    }

    #[test]
    fn the_coinbase_of_a_mainnet_block_is_read_with_its_witness() {
        let own = [pays(&bytes("76a9143abf61fe3281230780ed82676f9fa971e95f7ac188ac"), 1256817877)];
        let found =
            check(&bytes(MAINNET), 0..0, Rules { height: Some(482_683), ..rules(&own, 1256817877) }).unwrap();
        assert_eq!(
            found.txid.to_string(),
            "a08b40a5bc30b5538d51c6bf385b59bf8ae5dc8c151a772e9c25cd64547bb395"
        );
        let commitment = "0f8b0182863aa4713e94bb72c47c57dcbae7de8f3df2af23453f60f1965dab77";
        assert_eq!(found.commitment.map(hex::encode).as_deref(), Some(commitment));
        let read = crate::Transaction::parse(&bytes(MAINNET)).unwrap();
        assert_eq!(read.txid, found.txid);
    }

    #[test]
    fn another_payee_another_amount_and_a_reward_times_ten_are_refused() {
        let (head, other) = (bytes(HEAD), [0x51; 22]);
        let own = [pays(&bytes(OWN), 5_000_000_000)];
        let stolen = tail(&[output(&other, 5_000_000_000)]);
        let error = check_parts(&head, 8, &stolen, rules(&own, 5_000_000_000)).unwrap_err();
        assert!(matches!(error, CoinbaseError::ForeignOutput { vout: 0, .. }), "{error}");
        let skimmed = tail(&[output(&bytes(OWN), 4_900_000_000), output(&other, 100_000_000)]);
        assert!(check_parts(&head, 8, &skimmed, rules(&own, 5_000_000_000)).is_err());
        let inflated = [pays(&bytes(OWN), 5_000_000_000)];
        let error = check_parts(&head, 8, &bytes(TAIL), rules(&inflated, 50_000_000_000)).unwrap_err();
        assert!(matches!(error, CoinbaseError::Sum { .. }), "{error}");
        let nothing = tail(&[]);
        let error = check_parts(&head, 8, &nothing, rules(&own, 5_000_000_000)).unwrap_err();
        assert!(matches!(error, CoinbaseError::MissingOutput { .. }), "{error}");
    }

    #[test]
    fn one_output_does_not_pay_two_expected_ones() {
        let twice = [pays(&[0x51; 22], 5), pays(&[0x51; 22], 5)];
        let head = bytes(HEAD);
        let once = tail(&[output(&[0x51; 22], 5)]);
        assert!(matches!(
            check_parts(&head, 8, &once, rules(&twice, 10)),
            Err(CoinbaseError::MissingOutput { .. })
        ));
        let both = tail(&[output(&[0x51; 22], 5), output(&[0x51; 22], 5)]);
        assert_eq!(check_parts(&head, 8, &both, rules(&twice, 10)).unwrap().vouts, [0, 1]);
        let thrice = tail(&[output(&[0x51; 22], 5), output(&[0x51; 22], 5), output(&[0x51; 22], 5)]);
        assert!(check_parts(&head, 8, &thrice, rules(&twice, 10)).is_err());
    }

    #[test]
    fn a_commitment_is_allowed_while_it_carries_no_money() {
        let own = [pays(&bytes(OWN), 7)];
        let commitment = |fill| [&bytes("6a24aa21a9ed")[..], &[fill; 32]].concat();
        let fine = tail(&[output(&commitment(1), 0), output(&bytes(OWN), 7), output(&commitment(2), 0)]);
        let found = check_parts(&bytes(HEAD), 8, &fine, rules(&own, 7)).unwrap();
        assert_eq!((found.vouts, found.commitment), (vec![1], Some([2; 32])));
        let burnt = tail(&[output(&commitment(1), 1), output(&bytes(OWN), 7)]);
        assert!(check_parts(&bytes(HEAD), 8, &burnt, rules(&own, 7)).is_err());
    }

    #[test]
    fn an_extranonce_outside_the_script_would_let_miners_choose_the_payee() {
        let whole = [bytes(HEAD), vec![0; 8], bytes(TAIL)].concat();
        let own = [pays(&bytes(OWN), 5_000_000_000)];
        let payee = whole.len() - 26..whole.len() - 6;
        for hole in [payee, 40..48, 73..75, 0..8] {
            let found = check(&whole, hole.clone(), rules(&own, 5_000_000_000));
            assert_eq!(found, Err(CoinbaseError::Hole(hole)));
        }
    }

    #[test]
    fn the_script_begins_with_the_jobs_height_and_the_extranonce_stays_off_it() {
        let own = [pays(&bytes(OWN), 5_000_000_000)];
        let at = |height| Rules { height: Some(height), ..rules(&own, 5_000_000_000) };
        // The manual's script begins with a push of 2 bytes: 0862, which is 25096.
        assert!(check_parts(&bytes(HEAD), 8, &bytes(TAIL), at(25_096)).is_ok());
        assert_eq!(
            check_parts(&bytes(HEAD), 8, &bytes(TAIL), at(25_097)),
            Err(CoinbaseError::Height(25_097))
        );
        let whole = [bytes(HEAD), vec![0; 8], bytes(TAIL)].concat();
        assert_eq!(check(&whole, 44..52, at(25_096)), Err(CoinbaseError::Hole(44..52)));
        assert!(check(&whole, 45..53, at(25_096)).is_ok());
    }

    /// The table of BIP 34 pushes.
    #[test]
    fn heights_are_pushed_as_nodes_push_them() {
        for (height, push) in [
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
            assert_eq!(hex::encode(height_push(height)), push, "height {height}");
        }
    }

    #[test]
    fn what_is_not_a_coinbase_is_refused() {
        let own = [pays(&bytes(OWN), 5_000_000_000)];
        let whole = [bytes(HEAD), vec![0; 8], bytes(TAIL)].concat();
        let changed = |at: usize, byte: u8| {
            let mut whole = whole.clone();
            whole[at] = byte;
            check(&whole, 66..74, rules(&own, 5_000_000_000))
        };
        assert_eq!(changed(5, 1), Err(CoinbaseError::NotCoinbase));
        assert_eq!(changed(37, 0), Err(CoinbaseError::NotCoinbase));
        assert_eq!(changed(4, 2), Err(CoinbaseError::NotCoinbase));
        assert_eq!(changed(41, 1), Err(CoinbaseError::ScriptLength(1)));
        let longer = [whole.clone(), vec![0]].concat();
        assert!(matches!(check(&longer, 0..0, rules(&own, 5_000_000_000)), Err(CoinbaseError::Malformed(_))));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), hole in 0_usize..200, len in 0_usize..20) {
            let _ = check(&bytes, hole..hole + len, rules(&[], 0));
        }

        #[test]
        fn no_cut_or_changed_coinbase_panics(at in 0_usize..130, byte: u8, keep in 0_usize..140) {
            let mut whole = [bytes(HEAD), vec![0; 8], bytes(TAIL)].concat();
            if let Some(slot) = whole.get_mut(at) {
                *slot = byte;
            }
            whole.truncate(keep);
            let own = [pays(&bytes(OWN), 5_000_000_000)];
            if let Ok(found) = check(&whole, 66..74, rules(&own, 5_000_000_000)) {
                prop_assert_eq!(found.vouts, vec![0]);
            }
        }

        #[test]
        fn a_height_push_reads_back(height: u32) {
            prop_assume!(height > 16);
            let push = height_push(height);
            let mut number = [0; 8];
            number[..push.len() - 1].copy_from_slice(&push[1..]);
            prop_assert_eq!(u64::from_le_bytes(number), u64::from(height));
        }
    }
}
