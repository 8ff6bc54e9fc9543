//! Who has how much in one entry of the ledger, in columns, and the trees over them.

use millpond_ledger::{Allocation, Owner, PaymentRow, SettledRow};
use millpond_proofs::{Credit, Leaf, Paid, Salt, Tree, TreeError, TreeId, TreeKind, Work};
use millpond_types::{Amount, Digest, MinerId};
use std::collections::{BTreeMap, BTreeSet};

/// What each miner weighs in a window, ascending.
pub(super) type Weights = Vec<(MinerId, u128)>;

/// What an entry gives to whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Columns {
    kind: TreeKind,
    /// Owners ascending, with what each is given or paid.
    values: Vec<(Owner, u128)>,
    /// Of a payment, in the order of `values`: where it went.
    paid: Vec<Paid>,
    /// By window: every miner of `values` is in each of them.
    work: Vec<(u8, Weights)>,
}

impl Columns {
    /// Of a division. Whoever has a part or has worked in a window stands in each column, with 0 where he has nothing.
    pub(super) fn of_division(parts: &Allocation, windows: &[(u8, Weights)]) -> Self {
        let mut values: BTreeMap<Owner, u128> = BTreeMap::new();
        for share in parts.shares() {
            values.insert(share.0.clone(), u128::from(share.1.0));
        }
        let worked = windows.iter().flat_map(|(_, rows)| rows.iter().map(|row| row.0));
        let miners: BTreeSet<MinerId> = worked.chain(parts.miners().map(|row| row.0)).collect();
        for miner in &miners {
            values.entry(Owner::Miner(*miner)).or_default();
        }
        let work = windows.iter().map(|(window, rows)| {
            let known: BTreeMap<MinerId, u128> = rows.iter().copied().collect();
            let of = |miner: &MinerId| (*miner, known.get(miner).copied().unwrap_or(0));
            (*window, miners.iter().map(of).collect())
        });
        let work = work.collect();
        Self { kind: TreeKind::Credits, values: values.into_iter().collect(), paid: Vec::new(), work }
    }

    /// Of a payment: what was taken from each balance, the fee that it was charged included.
    pub(super) fn of_payment(rows: &[PaymentRow], settled: &[SettledRow]) -> Self {
        let (mut values, mut paid) = (Vec::new(), Vec::new());
        for (row, outcome) in rows.iter().zip(settled) {
            let value = u128::from(outcome.sent.0) + u128::from(outcome.charged.0);
            if value > 0 {
                values.push((row.owner.clone(), value));
                paid.push(Paid { address: row.address.clone(), charged: outcome.charged });
            }
        }
        Self { kind: TreeKind::Payment, values, paid, work: Vec::new() }
    }

    /// The sum of all values; `None` when it does not fit the ledger's units.
    pub(super) fn total(&self) -> Option<Amount> {
        let sum = self.values.iter().try_fold(0_u128, |sum, (_, value)| sum.checked_add(*value));
        u64::try_from(sum?).ok().map(Amount)
    }

    fn leaf(&self, salt: &Salt, at: usize, address: String) -> Option<Leaf> {
        let (owner, value) = self.values.get(at)?;
        let more = self.paid.get(at).map(millpond_proofs::Encode::encoded).unwrap_or_default();
        let owner = owner.to_string();
        let salt = salt.leaf(self.kind, 0, &owner);
        Some(Leaf { owner, address, value: *value, more, salt })
    }
}

fn work_leaf(salt: &Salt, window: u8, miner: MinerId, value: u128, address: String) -> Leaf {
    let owner = Owner::Miner(miner).to_string();
    let salt = salt.leaf(TreeKind::Work, window, &owner);
    Leaf { owner, address, value, more: Vec::new(), salt }
}

/// What all trees of one entry have in common.
#[derive(Clone, Debug)]
pub(super) struct Named {
    pub(super) pool: Digest,
    pub(super) subject: Vec<u8>,
    pub(super) division: u64,
    pub(super) salt: Salt,
}

impl Named {
    fn id(&self, kind: TreeKind, window: u8) -> TreeId {
        TreeId::new(&self.pool, kind, window, &self.subject, self.division)
    }
}

/// The trees of one entry.
#[derive(Debug)]
pub(super) struct Trees {
    pub(super) columns: Columns,
    named: Named,
    pub(super) values: Tree,
    pub(super) work: Vec<(u8, Tree)>,
}

impl Trees {
    /// Builds them. `address` names the address that an owner is known by, empty for those without one.
    ///
    /// # Errors
    /// When sums do not fit, or an owner stands in a column twice.
    pub(super) fn build(
        columns: Columns,
        named: Named,
        address: &dyn Fn(&Owner) -> String,
    ) -> Result<Self, TreeError> {
        let id = named.id(columns.kind, 0);
        let leaves = columns.values.iter().enumerate();
        let leaves = leaves.filter_map(|(at, (owner, _))| columns.leaf(&named.salt, at, address(owner)));
        let values = Tree::of_nodes(&id, leaves.map(|leaf| leaf.node(&id)).collect())?;
        let mut work = Vec::new();
        for (window, rows) in &columns.work {
            let id = named.id(TreeKind::Work, *window);
            let node = |(miner, value): &(MinerId, u128)| {
                let address = address(&Owner::Miner(*miner));
                work_leaf(&named.salt, *window, *miner, *value, address).node(&id)
            };
            work.push((*window, Tree::of_nodes(&id, rows.iter().map(node).collect())?));
        }
        Ok(Self { columns, named, values, work })
    }

    /// How many leaves they have.
    pub(super) fn leaves(&self) -> usize {
        let work = self.columns.work.iter().map(|(_, rows)| rows.len());
        work.fold(self.columns.values.len(), usize::saturating_add)
    }

    /// What they say of an owner; `None` when he is in none of them.
    pub(super) fn of(&self, owner: &Owner, address: &str) -> Option<(Credit, Vec<Work>)> {
        let Self { columns, named, values, work } = self;
        let at = columns.values.binary_search_by(|row| row.0.cmp(owner)).ok()?;
        let leaf = columns.leaf(&named.salt, at, address.to_owned())?;
        let path = values.path(&leaf.node(&named.id(columns.kind, 0)))?;
        let paid = columns.paid.get(at).cloned();
        let credit = Credit { value: leaf.value, salt: leaf.salt, path, paid };
        let Owner::Miner(miner) = owner else { return Some((credit, Vec::new())) };
        let mut shown = Vec::new();
        for ((window, rows), (_, tree)) in columns.work.iter().zip(work) {
            let at = rows.binary_search_by_key(miner, |row| row.0).ok()?;
            let (_, value) = rows.get(at)?;
            let leaf = work_leaf(&named.salt, *window, *miner, *value, address.to_owned());
            let path = tree.path(&leaf.node(&named.id(TreeKind::Work, *window)))?;
            shown.push(Work { window: *window, value: *value, salt: leaf.salt, path });
        }
        Some((credit, shown))
    }
}
