//! What the digests of 0.2 are of: the arguments in the order of the WIT, numbers as 8 bytes with the least first, an
//! option as a number of how many there are and the value, bytes and columns behind their length. A tag begins it, so
//! that no input has the bytes of an output. Nothing here changes.

use super::Asked;
use millpond_contracts::payout::{Allocation, Batch, Income, State, Totals};
use millpond_types::Digest;

struct Bytes(blake3::Hasher);

impl Bytes {
    fn of(tag: &str) -> Self {
        let mut bytes = Self(blake3::Hasher::new());
        bytes.bytes(tag.as_bytes());
        bytes
    }

    fn number(&mut self, number: u64) {
        self.0.update(&number.to_le_bytes());
    }

    fn option(&mut self, number: Option<u64>) {
        self.number(u64::from(number.is_some()));
        number.into_iter().for_each(|number| self.number(number));
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.0.update(bytes);
    }

    fn columns(&mut self, columns: &[&[u64]]) {
        for column in columns {
            self.number(column.len() as u64);
            // By blocks, since a column may hold millions.
            for block in column.chunks(1024) {
                let block: Vec<u8> = block.iter().flat_map(|number| number.to_le_bytes()).collect();
                self.0.update(&block);
            }
        }
    }

    fn state(&mut self, State { memo, miner, cells }: &State) {
        self.bytes(memo);
        self.columns(&[miner, cells]);
    }

    fn digest(self) -> Digest {
        Digest(*self.0.finalize().as_bytes())
    }
}

pub(super) fn asked(asked: Asked<'_>) -> Digest {
    match asked {
        Asked::Income(income, windows, state) => {
            let paid = income.paid();
            let Income { key, gross: _, carried, seq, time_ms, coord, finder, subsidy, reserve } = income;
            let mut bytes = Bytes::of("millpond:payout@0.2.0 allocate");
            bytes.bytes(key);
            [*seq, *time_ms, *coord].into_iter().for_each(|number| bytes.number(number));
            bytes.option(*finder);
            bytes.number(paid);
            bytes.option(*subsidy);
            [*carried, *reserve].into_iter().for_each(|number| bytes.number(number));
            bytes.number(windows.len() as u64);
            for Totals { miner, low, high } in windows {
                bytes.columns(&[miner, low, high]);
            }
            bytes.state(state);
            bytes.digest()
        }
        Asked::Shares(batch, state) => {
            let Batch { seq: _, miner, work, network_low, network_high, time_ms, coord, reward, .. } = batch;
            let Batch { first, last, shares, work_high, subsidy, .. } = batch;
            let mut bytes = Bytes::of("millpond:payout@0.2.0 accrue");
            [*first, *last].into_iter().for_each(|number| bytes.number(number));
            bytes.columns(&[miner, shares, work, work_high, network_low, network_high]);
            bytes.columns(&[time_ms, coord, reward, subsidy]);
            bytes.state(state);
            bytes.digest()
        }
    }
}

pub(super) fn given(given: &Allocation) -> Digest {
    let Allocation { miner, amount, rest, operator, to_reserve, from_reserve, state } = given;
    let mut bytes = Bytes::of("millpond:payout@0.2.0 allocation");
    bytes.columns(&[miner, amount]);
    [*rest, *operator, *to_reserve, *from_reserve].into_iter().for_each(|number| bytes.number(number));
    bytes.state(state);
    bytes.digest()
}
