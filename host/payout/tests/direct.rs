//! A coinbase that pays many: the bytes it has, what its outputs sum to, and that nobody is left out of it for ever.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use millpond_ledger::{Entry, FeeName, IncomeAllocated, IncomeKey, Owner, Reversal};
use millpond_payout::direct::{Candidate, Deferred, PaidTo, Room, divide, select};
use millpond_types::{Amount, MinerId};
use proptest::prelude::*;
use std::collections::BTreeMap;

/// Without the outputs that pay somebody, with a script of 60 bytes: version, input, its script, sequence, number of outputs,
/// lock time, witness commitment.
const FIXED: usize = 4 + 1 + 36 + 1 + 60 + 4 + 1 + 4 + 47;
const GROSS: Amount = Amount(312_500_000);
const FINDER: MinerId = MinerId(1);

fn miner(id: u64) -> PaidTo {
    PaidTo::Owner(Owner::Miner(MinerId(id)))
}

fn candidate(to: PaidTo, due: u64) -> Candidate {
    Candidate { to, due: Amount(due), script: 22, least: Amount(294) }
}

fn room(limit: usize) -> Room {
    Room { fixed: FIXED, limit }
}

/// A pool whose blocks are all paid by their coinbases.
struct Blocks {
    deferred: Deferred,
    number: u64,
    room: Room,
}

impl Blocks {
    fn new(limit: usize) -> Self {
        Self { deferred: Deferred::default(), number: 0, room: room(limit) }
    }

    /// A block, in which everybody is due so much.
    fn block(&mut self, dues: &[(u64, u64)]) -> IncomeAllocated {
        self.number += 1;
        let seed = self.number.to_le_bytes();
        let candidates: Vec<Candidate> =
            self.known(dues).into_iter().map(|(id, due)| candidate(miner(id), due)).collect();
        let gross = Amount(dues.iter().map(|row| row.1).sum());
        let outputs = select(&candidates, &self.deferred, gross, self.room, &seed);
        assert!(outputs.len() * 31 + FIXED <= self.room.limit, "{} outputs", outputs.len());
        let due: Vec<(PaidTo, u64)> = dues.iter().map(|(id, due)| (miner(*id), *due)).collect();
        let key = IncomeKey::new(seed.to_vec()).unwrap();
        let income = divide(key, gross, &outputs, &due, FINDER).unwrap();
        self.deferred.follow(&Entry::IncomeAllocated(income.clone())).unwrap();
        assert_eq!(self.sum(), 0);
        income
    }

    /// All who are due something now or have a balance.
    fn known(&self, dues: &[(u64, u64)]) -> BTreeMap<u64, u64> {
        let mut all: BTreeMap<u64, u64> = dues.iter().copied().collect();
        for (owner, balance) in self.deferred.balances() {
            if let Owner::Miner(id) = owner
                && balance > 0
            {
                all.entry(id.0).or_default();
            }
        }
        all
    }

    fn sum(&self) -> i128 {
        self.deferred.balances().map(|row| row.1).sum()
    }

    fn of(&self, id: u64) -> i128 {
        self.deferred.of(&Owner::Miner(MinerId(id)))
    }

    fn farthest(&self) -> i128 {
        self.deferred.balances().map(|row| row.1.abs()).max().unwrap_or(0)
    }
}

#[test]
fn a_firmware_takes_so_many_outputs() {
    // (limit, P2WPKH, P2SH, P2PKH, P2TR and P2WSH)
    for (limit, outputs) in [
        (255, [3, 3, 2, 2]),
        (384, [7, 7, 6, 5]),
        (750, [19, 18, 17, 13]),
        (2_250, [67, 65, 61, 48]),
        (6_500, [204, 198, 186, 147]),
    ] {
        assert_eq!([22, 23, 25, 34].map(|script| room(limit).outputs(script)), outputs, "{limit} bytes");
    }
}

#[test]
fn who_all_fit_are_paid_what_they_are_due() {
    let mut blocks = Blocks::new(750);
    let dues: Vec<(u64, u64)> = (1..=19).map(|id| (id, 1_000_000 * id)).collect();
    let income = blocks.block(&dues);
    for (id, due) in dues {
        assert_eq!(income.parts.of(&Owner::Miner(MinerId(id))), Amount(due));
    }
    assert_eq!(blocks.farthest(), 0);
}

#[test]
fn nobody_is_left_out_for_ever() {
    let equal: Vec<(u64, u64)> = (1..=200).map(|id| (id, GROSS.0 / 200)).collect();
    // Each miner a fortieth smaller than the one before: the largest has forty times as much as one in the middle.
    let mut sizes = vec![8_000_000_u64];
    while sizes.len() < 200 {
        sizes.push(sizes[sizes.len() - 1] * 39 / 40);
    }
    let falling: Vec<(u64, u64)> = (1..).zip(sizes).collect();
    for dues in [equal, falling] {
        let mut blocks = Blocks::new(750);
        let gross: i128 = dues.iter().map(|row| i128::from(row.1)).sum();
        let mut paid: BTreeMap<u64, u64> = BTreeMap::new();
        let (mut waits, mut ahead) = (0, 0);
        for _ in 0..500 {
            for (id, amount) in blocks.block(&dues).parts.miners() {
                *paid.entry(id.0).or_default() += amount.0;
            }
            for (_, balance) in blocks.deferred.balances() {
                (waits, ahead) = (balance.max(waits), ahead.max(-balance));
            }
        }
        assert_eq!(paid.len(), 200, "everybody was paid");
        // Nobody waits for more than an output of the mean size and a little, nor is he ahead by more than five.
        assert!(19 * waits <= gross * 11 / 10, "{waits} of {gross}");
        assert!(19 * ahead <= 5 * gross, "{ahead} of {gross}");
        for (id, due) in dues {
            let (got, due) = (i128::from(paid[&id]), i128::from(due) * 500);
            assert_eq!(got + blocks.of(id), due, "what {id} was not paid is deferred");
        }
    }
}

#[test]
fn who_leaves_gets_what_was_deferred_and_no_more() {
    let all: Vec<(u64, u64)> = (1..=100).map(|id| (id, 1_000_000)).collect();
    for limit in [255, 750] {
        let mut blocks = Blocks::new(limit);
        blocks.block(&all);
        let left: BTreeMap<u64, i128> = (51..=100).map(|id| (id, blocks.of(id))).collect();
        assert!(left.values().any(|balance| *balance > 0));
        let mut paid: BTreeMap<u64, i128> = BTreeMap::new();
        for _ in 0..1_000 {
            for (id, amount) in blocks.block(&all[..50]).parts.miners().filter(|row| row.0.0 > 50) {
                *paid.entry(id.0).or_default() += i128::from(amount.0);
            }
        }
        for (id, balance) in left {
            // Beyond a rounding of each block nobody is ahead who mines no more, and a rest below dust is no output.
            let got = paid.get(&id).copied().unwrap_or(0);
            assert!((balance.max(0) - got).abs() < 294, "{id} had {balance} and got {got} at {limit} bytes");
        }
    }
}

#[test]
fn what_is_worth_no_output_is_deferred_until_it_is() {
    let mut blocks = Blocks::new(750);
    let dues = [(1, 1_000_000), (2, 100)];
    for _ in 0..2 {
        assert_eq!(blocks.block(&dues).parts.shares().len(), 1);
    }
    assert_eq!((blocks.of(1), blocks.of(2)), (-200, 200));
    let third = blocks.block(&dues);
    assert_eq!(third.parts.of(&Owner::Miner(MinerId(2))), Amount(300));
    assert_eq!(blocks.farthest(), 0);
    // Where nobody's is, one gets all of it.
    let mut tiny = Blocks::new(750);
    assert_eq!(tiny.block(&[(1, 100), (2, 101)]).parts.of(&Owner::Miner(MinerId(2))), Amount(201));
}

#[test]
fn the_finder_has_a_place_of_his_own() {
    let operator = PaidTo::Owner(Owner::Fee(FeeName::try_from("operator".to_owned()).unwrap()));
    let due = [(PaidTo::Finder, 500_000), (miner(7), 400_000), (operator, 100_000)];
    let candidates: Vec<Candidate> = due.iter().map(|(to, due)| candidate(to.clone(), *due)).collect();
    // Room for two outputs: the fee waits, by 10 to 9 for the finder.
    let outputs = select(&candidates, &Deferred::default(), Amount(1_000_000), room(FIXED + 62), b"seed");
    let outputs: BTreeMap<PaidTo, u64> = outputs.into_iter().collect();
    assert_eq!(outputs[&PaidTo::Finder], 555_555);
    assert_eq!(outputs[&miner(7)], 444_445);
    let outputs: Vec<_> = outputs.into_iter().collect();
    let key = IncomeKey::new(vec![1]).unwrap();
    let income = divide(key, Amount(2_000_000), &outputs, &due, MinerId(7)).unwrap();
    // Whoever stands in the list finds it: two outputs, one part.
    assert_eq!(income.parts.shares().len(), 1);
    assert_eq!(income.due.of(&Owner::Miner(MinerId(7))), Amount(1_800_000));
}

#[test]
fn a_block_that_is_lost_defers_nothing() {
    let mut blocks = Blocks::new(255);
    let dues: Vec<(u64, u64)> = (1..=9).map(|id| (id, 1_000_000 + id)).collect();
    blocks.block(&dues);
    let before = blocks.deferred.balances().map(|(owner, row)| (owner.clone(), row)).collect::<Vec<_>>();
    let income = blocks.block(&dues);
    let (key, how, proof) = (income.key.clone(), Reversal::Drop, "another block".to_owned());
    let lost = Entry::Reversed { key: key.clone(), how, proof };
    for _ in 0..2 {
        blocks.deferred.follow(&lost).unwrap();
        let now = blocks.deferred.balances().map(|(owner, row)| (owner.clone(), row)).collect::<Vec<_>>();
        assert_eq!(now, before, "once, however often it is told");
    }
    blocks.deferred.follow(&Entry::Reinstated { key }).unwrap();
    assert_eq!(blocks.sum(), 0);
    assert_ne!(
        blocks.deferred.balances().map(|(owner, row)| (owner.clone(), row)).collect::<Vec<_>>(),
        before
    );
}

#[test]
fn balances_survive_their_bytes() {
    let mut blocks = Blocks::new(255);
    blocks.block(&(1..=9).map(|id| (id, 1_000_000 + id)).collect::<Vec<_>>());
    let bytes = serde_json::to_vec(&blocks.deferred).unwrap();
    assert_eq!(serde_json::from_slice::<Deferred>(&bytes).unwrap(), blocks.deferred);
}

/// Honest miners of equal size, and one who takes new addresses as he likes.
struct Rival {
    honest: u64,
    /// What he is due of each block, where every honest miner is due a million.
    due: u64,
    /// Over how many addresses he spreads it.
    addresses: u64,
    /// The block from which on he mines.
    from: u64,
    /// Whether he drops an address, by its balance and what it earned.
    drops: fn(i128, u128) -> bool,
}

impl Rival {
    /// How many thousandths of what he was due he was paid over these blocks.
    fn gain(&self, blocks: u64, limit: usize) -> u64 {
        let mut pool = Blocks::new(limit);
        let mut newest = self.honest;
        let mut his: Vec<u64> = Vec::new();
        let (mut due, mut paid) = (0_u64, 0_u64);
        for number in 1..=blocks {
            let mut dues: BTreeMap<u64, u64> = (1..=self.honest).map(|id| (id, 1_000_000)).collect();
            if number >= self.from {
                his.retain(|id| {
                    let earned = pool.deferred.earned(&Owner::Miner(MinerId(*id)));
                    !(self.drops)(pool.of(*id), earned)
                });
                while (his.len() as u64) < self.addresses {
                    newest += 1;
                    his.push(newest);
                }
                dues.extend(his.iter().map(|id| (*id, self.due / self.addresses)));
                due += self.due;
            }
            let dues: Vec<(u64, u64)> = dues.into_iter().collect();
            for (id, amount) in pool.block(&dues).parts.miners() {
                paid += if id.0 > self.honest { amount.0 } else { 0 };
            }
        }
        paid * 1_000 / due
    }
}

#[test]
fn who_takes_new_addresses_gains_little() {
    let ahead: fn(i128, u128) -> bool = |balance, _| balance < 0;
    let far: fn(i128, u128) -> bool = |balance, earned| balance < 0 && earned > 30_000_000;
    // In a pool that begins, and in one that is 300 blocks old, with 19 outputs; by one address and by many.
    for (due, addresses, from, drops, most) in [
        (1_500_000, 1, 1, ahead, 1_040),
        (15_000_000, 1, 1, far, 1_040),
        (1_500_000, 1, 300, ahead, 1_010),
        (15_000_000, 10, 300, ahead, 1_010),
        (60_000_000, 40, 300, far, 1_010),
    ] {
        let rival = Rival { honest: 300, due, addresses, from, drops };
        let gain = rival.gain(1_000, 750);
        assert!(
            (900..=most).contains(&gain),
            "{gain} thousandths of {due} by {addresses} addresses from {from}"
        );
    }
}

#[test]
fn many_small_addresses_do_not_stand_before_one_that_is_owed_more() {
    // Four places: three of them always go to the large, and the fourth to whoever waits.
    let mut blocks = Blocks::new(FIXED + 4 * 43);
    let mut dues: Vec<(u64, u64)> = (1..=60).map(|id| (id, 50_000_000)).collect();
    dues.extend((1_000..1_200).map(|id| (id, 400)));
    blocks.block(&dues);
    // Behind all of these there comes one who is due fifty times as much as each.
    dues.push((500, 20_000));
    let paid = |income: IncomeAllocated| income.parts.of(&Owner::Miner(MinerId(500))) > Amount::ZERO;
    let first = (1..=200).find(|_| paid(blocks.block(&dues)));
    assert!(first.is_some_and(|first| first <= 120), "{first:?}");
}

proptest! {
    #[test]
    fn every_unit_goes_somewhere_and_nothing_is_deferred_in_all(
        histories in prop::collection::vec(prop::collection::vec((1_u64..40, 0_u64..1 << 40), 1..60), 1..20),
        limit in 200_usize..3_000,
        lost in prop::collection::vec(any::<bool>(), 20),
    ) {
        let mut blocks = Blocks::new(limit);
        for (dues, lost) in histories.into_iter().zip(lost) {
            let dues: BTreeMap<u64, u64> = dues.into_iter().collect();
            let dues: Vec<(u64, u64)> = dues.into_iter().collect();
            let gross: u64 = dues.iter().map(|row| row.1).sum();
            if gross == 0 {
                continue;
            }
            let before = blocks.deferred.clone();
            let income = blocks.block(&dues);
            prop_assert_eq!(income.parts.total(), Amount(gross));
            prop_assert_eq!(income.due.total(), Amount(gross));
            if lost {
                let (key, how) = (income.key.clone(), Reversal::Drop);
                let entry = Entry::Reversed { key, how, proof: "another block".to_owned() };
                blocks.deferred.follow(&entry).unwrap();
                let all = |deferred: &Deferred| -> Vec<(Owner, i128)> {
                    deferred.balances().map(|(owner, row)| (owner.clone(), row)).collect()
                };
                prop_assert_eq!(all(&blocks.deferred), all(&before));
            }
        }
    }

    #[test]
    fn the_order_of_candidates_means_nothing(
        dues in prop::collection::btree_map(1_u64..60, 300_u64..1 << 30, 1..40),
        seed: [u8; 4],
    ) {
        let candidates: Vec<Candidate> = dues.iter().map(|(id, due)| candidate(miner(*id), *due)).collect();
        let gross = Amount(dues.values().sum());
        let backwards: Vec<Candidate> = candidates.iter().rev().cloned().collect();
        let deferred = Deferred::default();
        let one = select(&candidates, &deferred, gross, room(384), &seed);
        let other = select(&backwards, &deferred, gross, room(384), &seed);
        // Rounding of the surplus goes by the order of credit, which is the same.
        prop_assert_eq!(one, other);
    }
}
