//! The coinbase and what commits to it. Beside the reward it carries *claims* (owners of DNS names taking their names over
//! with a DNSSEC proof) and *airdrops*: each is an input whose only witness item is the proof, and the output of the same
//! number (hsd, `mining/template.js`, `primitives/tx.js`).

use millpond_sdk::chain::gbt::varint;
use millpond_sdk::chain::{Output, host};
use millpond_sdk::json::Cursor;

/// The largest proof that consensus takes.
const MAX_PROOF: usize = 10_000;

/// What templates of hsd hold beside the common keys.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct More {
    /// Root of the names' tree.
    pub tree: Option<[u8; 32]>,
    /// Zero until a soft fork uses it.
    pub reserved: Option<[u8; 32]>,
    claims: Vec<Proof>,
    airdrops: Vec<Proof>,
}

/// A claim or an airdrop as the node lists it.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Proof {
    blob: Vec<u8>,
    version: u8,
    address: Vec<u8>,
    value: u64,
    fee: u64,
    /// Of claims only.
    name: Vec<u8>,
    name_hash: Vec<u8>,
    weak: bool,
    commit_hash: Vec<u8>,
    commit_height: u32,
}

impl More {
    /// Reads a member of the template, or says that it is none of ours.
    pub fn member(&mut self, key: &str, value: &mut Cursor<'_>) -> Result<bool, String> {
        match key {
            "treeroot" => self.tree = Some(value.hash()?),
            "reservedroot" => self.reserved = Some(value.hash()?),
            "claims" => value.array(|item| {
                self.claims.push(Proof::read(item, "hash")?);
                Ok(())
            })?,
            "airdrops" => value.array(|item| {
                self.airdrops.push(Proof::read(item, "address")?);
                Ok(())
            })?,
            _ => return Ok(false),
        }
        Ok(true)
    }
}

impl Proof {
    fn read(item: &mut Cursor<'_>, address: &str) -> Result<Self, String> {
        let mut it = Self::default();
        let narrow = |number: u64| u32::try_from(number).map_err(|_| format!("{number} is no height"));
        item.object(|key, value| {
            match key {
                "data" => it.blob = value.hex()?,
                "version" => it.version = u8::try_from(value.uint()?).map_err(|_| "no such version")?,
                "value" => it.value = value.uint()?,
                "fee" => it.fee = value.uint()?,
                "name" => it.name = value.text()?.as_bytes().to_vec(),
                "namehash" => it.name_hash = value.hash()?.to_vec(),
                "weak" => it.weak = value.flag()?,
                "commitHash" => it.commit_hash = value.hash()?.to_vec(),
                "commitHeight" => it.commit_height = narrow(value.uint()?)?,
                key if key == address => it.address = value.hex()?,
                _ => value.skip()?,
            }
            Ok(())
        })?;
        if it.blob.is_empty() || it.blob.len() > MAX_PROOF || !(2..=40).contains(&it.address.len()) {
            return Err("a claim or an airdrop of the template has no proof or no address".to_owned());
        }
        Ok(it)
    }

    /// Its output. A claim's covenant names what is claimed.
    fn output(&self, height: u32, claim: bool) -> Result<Vec<u8>, String> {
        let value = self.value.checked_sub(self.fee).ok_or("a claim's or airdrop's fee exceeds its value")?;
        let mut bytes = value.to_le_bytes().to_vec();
        bytes.push(self.version);
        var_bytes(&mut bytes, &self.address);
        if !claim {
            bytes.extend([0, 0]); // no covenant
            return Ok(bytes);
        }
        if self.name.is_empty() || self.name_hash.is_empty() || self.commit_hash.is_empty() {
            return Err("a claim of the template lacks name, namehash or commitHash".to_owned());
        }
        let items = [
            self.name_hash.as_slice(),
            &height.to_le_bytes(),
            &self.name,
            &[u8::from(self.weak)],
            &self.commit_hash,
            &self.commit_height.to_le_bytes(),
        ];
        bytes.extend([1, 6]); // covenant CLAIM with six items
        items.iter().for_each(|item| var_bytes(&mut bytes, item));
        Ok(bytes)
    }
}

/// A coinbase in the two parts that are hashed apart.
pub struct Coinbase {
    /// Everything but witnesses.
    pub base: Vec<u8>,
    /// The witnesses of all inputs.
    pub witness: Vec<u8>,
}

impl Coinbase {
    /// The transaction's id.
    pub fn id(&self) -> Result<[u8; 32], String> {
        hash(&[&self.base])
    }

    /// The id that commits to the witnesses too.
    pub fn witness_id(&self) -> Result<[u8; 32], String> {
        hash(&[&self.id()?, &hash(&[&self.witness])?])
    }
}

/// The coinbase of a height. Its first output is ours, then come those of claims and airdrops, which have to stand at the
/// number of their input, then the rest of ours.
pub fn build(
    more: &More,
    height: u32,
    outputs: &[Output],
    amounts: &[u64],
    tag: &[u8],
) -> Result<Coinbase, String> {
    if outputs.iter().any(|output| output.payee.is_empty()) {
        return Err("Handshake's coinbase is one for all miners: it cannot pay the session's own payee \
                    (coinbase = \"miner\"); pay an address of the pool"
            .to_owned());
    }
    let ours = outputs.iter().zip(amounts).map(|(output, amount)| {
        let covenant = [0, 0];
        [amount.to_le_bytes().as_slice(), &output.payee, &covenant].concat()
    });
    let mut ours: Vec<Vec<u8>> = ours.collect();
    let rest = ours.split_off(ours.len().min(1));
    let claims = more.claims.iter().map(|claim| claim.output(height, true));
    let proven: Vec<Vec<u8>> = claims
        .chain(more.airdrops.iter().map(|airdrop| airdrop.output(height, false)))
        .collect::<Result<_, _>>()?;
    let inputs = proven.len() + 1;
    let all = [ours, proven, rest].concat();

    let mut base = vec![0; 4]; // version
    varint(&mut base, inputs);
    for _ in 0..inputs {
        base.extend([0; 32]); // no coin is spent
        base.extend([0xff; 8]); // its number, and the sequence
    }
    varint(&mut base, all.len());
    base.extend(all.concat());
    base.extend(height.to_le_bytes()); // the lock time commits to the height

    let mut witness = vec![1];
    var_bytes(&mut witness, tag);
    for proof in more.claims.iter().chain(&more.airdrops) {
        witness.push(1);
        var_bytes(&mut witness, &proof.blob);
    }
    Ok(Coinbase { base, witness })
}

/// Root of a Merkle tree over the coinbase's id and those of the others, 32 bytes each: leaves and nodes have prefixes,
/// and an odd last node is paired with the hash of nothing (bcrypto, `mrkl.js`).
pub fn root(first: [u8; 32], others: &[u8]) -> Result<[u8; 32], String> {
    let nothing = hash(&[])?;
    let ids = [first].into_iter().chain(others.as_chunks::<32>().0.iter().copied());
    let mut level: Vec<[u8; 32]> = ids.map(|id| hash(&[&[0], &id])).collect::<Result<_, _>>()?;
    while let [_, _, ..] = level.as_slice() {
        let pairs = level.chunks(2).map(|pair| match pair {
            [left, right] => hash(&[&[1], left, right]),
            odd => hash(&[&[1], odd.as_flattened(), &nothing]),
        });
        level = pairs.collect::<Result<_, _>>()?;
    }
    level.first().copied().ok_or_else(|| "a tree has no leaf".to_owned())
}

fn hash(parts: &[&[u8]]) -> Result<[u8; 32], String> {
    host::hash32("blake2b-256", &parts.concat())
}

fn var_bytes(into: &mut Vec<u8>, bytes: &[u8]) {
    varint(into, bytes.len());
    into.extend(bytes);
}
