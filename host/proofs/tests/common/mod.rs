//! A pool as statements need it: a key, a history, heads, and divisions of incomes among made-up miners.

#![allow(dead_code, reason = "each test file takes what it needs")]

use millpond_proofs::*;
use millpond_types::{Amount, Digest, ShareSeq, UnixMillis};

/// An owner with his credit and his work in each of the two windows.
#[derive(Clone, Debug)]
pub struct Owned {
    pub owner: String,
    pub address: String,
    pub credit: u128,
    pub work: [u128; 2],
}

pub fn miner(number: u64, credit: u128, work: [u128; 2]) -> Owned {
    Owned { owner: format!("m{number}"), address: format!("bcrt1qminer{number}"), credit, work }
}

pub fn fee(credit: u128) -> Owned {
    Owned { owner: "fee:operator".to_owned(), address: String::new(), credit, work: [0; 2] }
}

/// Four miners and the operator; they sum to 312,500,000 with 3 carried in.
pub fn parts() -> Vec<Owned> {
    vec![
        miner(1, 206_250_001, [8_000, 90]),
        miner(2, 103_125_001, [4_000, 10]),
        miner(3, 0, [0, 5]),
        miner(4, 2, [1, 0]),
        fee(3_124_999),
    ]
}

pub const AMOUNT: u64 = 312_500_000;
pub const CARRY_IN: u64 = 3;
pub const SUBJECT: &[u8] = b"\x00\xaa\xbb\xcc:0";

/// An entry with its trees.
#[derive(Clone, Debug)]
pub struct Made {
    pub commitment: Commitment,
    pub index: u64,
    pub entry: Entry,
    leaves: Vec<(Leaf, Vec<Leaf>)>,
    credits: Option<Tree>,
    work: Vec<Tree>,
    paid: Vec<Paid>,
}

pub struct Pool {
    pub signer: Signer,
    pub origin: Origin,
    pub id: Digest,
    pub history: History,
    pub heads: Vec<SignedHead>,
    pub restarts: u32,
    pub seq: u64,
    pub salt: Salt,
}

impl Pool {
    pub fn new(seed: u8) -> Self {
        let signer = Signer::new(&[seed; 32]);
        let origin = Origin { key: signer.key(), network: "regtest".to_owned(), name: "demo".to_owned() };
        let id = origin.pool();
        let (history, heads) = (History::default(), Vec::new());
        Self { signer, origin, id, history, heads, restarts: 0, seq: 40, salt: Salt([seed ^ 0x55; 32]) }
    }

    pub fn key(&self) -> PublicKey {
        self.signer.key()
    }

    /// Writes an entry into the ledger.
    pub fn write(&mut self, commitment: Commitment) -> Made {
        self.seq += 1;
        let entry = Entry::new(self.restarts, self.seq, &commitment);
        let index = self.history.size();
        self.history.push(entry.leaf());
        Made {
            commitment,
            index,
            entry,
            leaves: Vec::new(),
            credits: None,
            work: Vec::new(),
            paid: Vec::new(),
        }
    }

    /// Divides an income and writes it.
    pub fn divide(&mut self, subject: &[u8], division: u64, parts: &[Owned]) -> Made {
        self.divide_as(subject, division, parts, AMOUNT, |_| {})
    }

    /// The same, with what is committed changed before it is written.
    pub fn divide_as(
        &mut self,
        subject: &[u8],
        division: u64,
        parts: &[Owned],
        amount: u64,
        change: impl Fn(&mut Division),
    ) -> Made {
        let id = |kind, window| TreeId::new(&self.id, kind, window, subject, division);
        let leaf = |part: &Owned, kind, window, value| Leaf {
            owner: part.owner.clone(),
            address: part.address.clone(),
            value,
            more: Vec::new(),
            salt: self.salt.leaf(kind, window, &part.owner),
        };
        let credit_leaves: Vec<Leaf> =
            parts.iter().map(|part| leaf(part, TreeKind::Credits, 0, part.credit)).collect();
        let credits = build(&id(TreeKind::Credits, 0), &credit_leaves).unwrap();
        let mut work_leaves = Vec::new();
        let mut work = Vec::new();
        // Windows 0 and 2; window 1 is the finder's.
        for (at, window) in [(0, 0_u8), (1, 2)] {
            let miners = parts.iter().filter(|part| !part.address.is_empty());
            let leaves: Vec<Leaf> =
                miners.map(|part| leaf(part, TreeKind::Work, window, part.work[at])).collect();
            work.push(build(&id(TreeKind::Work, window), &leaves).unwrap());
            work_leaves.push(leaves);
        }
        let counted = |at: usize, first| Some(Counted { first: ShareSeq(first), work: work[at].root() });
        let windows = vec![
            Window {
                span: Span::Work(8_000),
                measure: Measure::Work,
                edge: Edge::Split,
                counted: counted(0, 1_000),
            },
            Window { span: Span::Finder, measure: Measure::Work, edge: Edge::Whole, counted: None },
            Window {
                span: Span::Millis(600_000),
                measure: Measure::Work,
                edge: Edge::Whole,
                counted: counted(1, 1_900),
            },
        ];
        let mut division_of = Division {
            amount: Amount(amount),
            carry_in: Amount(CARRY_IN),
            reserve_in: Amount(0),
            direct: false,
            number: 7,
            end: WindowEnd {
                share: ShareSeq(2_000),
                time: UnixMillis(1_795_168_800_000),
                coord: 900_123,
                network_work: 1 << 70,
                round_after: ShareSeq(500),
            },
            shift: 32,
            windows,
            credits: credits.root(),
            scheme: Plugin {
                name: "pplns".to_owned(),
                component: Digest::of(b"pplns"),
                settings: vec![
                    NamedSetting { name: "finder".to_owned(), value: Setting::Flag(true) },
                    NamedSetting { name: "label".to_owned(), value: Setting::Text("n".to_owned()) },
                    NamedSetting { name: "window".to_owned(), value: Setting::Int(-2) },
                ],
            },
            fees: vec![Plugin {
                name: "flat".to_owned(),
                component: Digest::of(b"flat"),
                settings: Vec::new(),
            }],
            state_before: state_digest(b""),
            state_after: state_digest(b"cells"),
        };
        change(&mut division_of);
        let what = What::Income(division_of);
        let mut made = self.write(Commitment::new(self.id, subject.to_vec(), division, what));
        for leaf in credit_leaves {
            let of = |leaves: &Vec<Leaf>| leaves.iter().find(|work| work.owner == leaf.owner).cloned();
            let work = work_leaves.iter().filter_map(of).collect();
            made.leaves.push((leaf, work));
        }
        made.credits = Some(credits);
        made.work = work;
        made
    }

    /// Pays the miners among the parts what they were credited, each charged one unit of fee.
    pub fn pay(&mut self, number: u64, parts: &[Owned]) -> Made {
        self.pay_as(number, parts, |_| {})
    }

    /// The same, with what is committed changed before it is written.
    pub fn pay_as(&mut self, number: u64, parts: &[Owned], change: impl Fn(&mut Payment)) -> Made {
        let subject = format!("payment {number}").into_bytes();
        let id = TreeId::new(&self.id, TreeKind::Payment, 0, &subject, 0);
        let mut leaves = Vec::new();
        let mut paid = Vec::new();
        for part in parts.iter().filter(|part| !part.address.is_empty() && part.credit > 0) {
            let row = Paid { address: format!("bcrt1qpaid{}", part.owner), charged: Amount(1) };
            leaves.push(Leaf {
                owner: part.owner.clone(),
                address: part.address.clone(),
                value: part.credit,
                more: row.encoded(),
                salt: self.salt.leaf(TreeKind::Payment, 0, &part.owner),
            });
            paid.push(row);
        }
        let tree = build(&id, &leaves).unwrap();
        let amount = Amount(u64::try_from(tree.root().sum).unwrap());
        let mut payment = Payment { amount, txid: vec![0xb1; 32], rows: tree.root() };
        change(&mut payment);
        let mut made = self.write(Commitment::new(self.id, subject, 0, What::Payment(payment)));
        made.leaves = leaves.into_iter().map(|leaf| (leaf, Vec::new())).collect();
        made.credits = Some(tree);
        made.paid = paid;
        made
    }

    /// What the next head would say.
    pub fn body(&self) -> HeadBody {
        let last = self.heads.last();
        HeadBody {
            version: VERSION,
            pool: self.id,
            origin: self.origin.clone(),
            number: last.map_or(0, |head| head.body.number + 1),
            prev: last.map_or(Digest::default(), |head| head.body.hash()),
            kind: HeadKind::Usual,
            restarts: self.restarts,
            time: UnixMillis(1_795_168_860_000),
            coord: 900_124,
            tip: vec![0xcc; 32],
            ledger_seq: self.seq,
            ledger_digest: Digest::of(&self.seq.to_le_bytes()),
            journal_next: 9_000,
            journal_share: ShareSeq(2_100),
            journal_chain: Digest::of(b"journal"),
            size: self.history.size(),
            root: self.history.root(),
            key: self.key(),
        }
    }

    /// Signs and publishes the next head.
    pub fn head(&mut self) -> SignedHead {
        self.head_as(|_| {})
    }

    /// The same, with what it says changed before it is signed.
    pub fn head_as(&mut self, change: impl Fn(&mut HeadBody)) -> SignedHead {
        let mut body = self.body();
        change(&mut body);
        let head = SignedHead::sign(body, &self.signer);
        self.heads.push(head.clone());
        head
    }

    /// An owner's statement of an entry, in the newest head.
    pub fn statement(&self, made: &Made, owner: &str) -> Statement {
        let head = self.heads.last().unwrap().clone();
        let place = Place {
            restarts: made.entry.restarts,
            ledger_seq: made.entry.ledger_seq,
            index: made.index,
            inclusion: self.history.inclusion(made.index, head.body.size).unwrap(),
        };
        let at = made.leaves.iter().position(|(leaf, _)| leaf.owner == owner);
        let commitment = made.commitment.clone();
        let mut statement = Statement {
            millpond_statement: VERSION,
            address: String::new(),
            owner: owner.to_owned(),
            commitment,
            credit: None,
            work: Vec::new(),
            entry: place,
            head,
        };
        let Some(at) = at else { return statement };
        let (leaf, work) = &made.leaves[at];
        statement.address.clone_from(&leaf.address);
        let kind = if made.paid.is_empty() { TreeKind::Credits } else { TreeKind::Payment };
        let path = |tree: &Tree, kind, window, leaf: &Leaf| {
            tree.path(&leaf.node(&made.commitment.tree(kind, window))).unwrap()
        };
        statement.credit = Some(Credit {
            value: leaf.value,
            salt: leaf.salt,
            path: path(made.credits.as_ref().unwrap(), kind, 0, leaf),
            paid: made.paid.get(at).cloned(),
        });
        for ((leaf, tree), window) in work.iter().zip(&made.work).zip([0, 2]) {
            let path = path(tree, TreeKind::Work, window, leaf);
            statement.work.push(Work { window, value: leaf.value, salt: leaf.salt, path });
        }
        statement
    }

    /// Everything a careful miner holds a statement against.
    pub fn against<'a>(&self, address: &'a str) -> Against<'a> {
        Against {
            key: Some(self.key()),
            pool: Some(self.id),
            address: Some(address),
            heads: &[],
            receipts: &[],
        }
    }

    /// A receipt for `m1`'s shares, the next of those given.
    pub fn receipt(
        &self,
        before: Option<&SignedReceipt>,
        first: u64,
        last: u64,
        work: u128,
    ) -> SignedReceipt {
        self.receipt_as(before, first, last, work, |_| {})
    }

    /// The same, with what it says changed before it is signed.
    pub fn receipt_as(
        &self,
        before: Option<&SignedReceipt>,
        first: u64,
        last: u64,
        work: u128,
        change: impl Fn(&mut ReceiptBody),
    ) -> SignedReceipt {
        let mut ids = Digest::default();
        let count = (last - first) / 2 + 1;
        for share in 0..count {
            ids = add_share(&ids, &Digest::of(&share.to_le_bytes()));
        }
        let mut body = ReceiptBody {
            version: VERSION,
            pool: self.id,
            key: self.key(),
            restarts: 0,
            head: 0,
            owner: "m1".to_owned(),
            address: "bcrt1qminer1".to_owned(),
            connection: Connection([3; 16]),
            number: before.map_or(0, |before| before.body.number + 1),
            prev: before.map_or(Digest::default(), |before| before.body.hash()),
            first: ShareSeq(first),
            last: ShareSeq(last),
            count,
            work,
            shift: 32,
            ids,
            from: UnixMillis(1_795_168_000_000),
            to: UnixMillis(1_795_168_600_000),
        };
        change(&mut body);
        SignedReceipt::sign(body, &self.signer)
    }
}

/// A pool with an income that is divided among [`parts`], and a head over it.
pub fn pool_with_income() -> (Pool, Made) {
    let mut pool = Pool::new(1);
    let made = pool.divide(SUBJECT, 0, &parts());
    pool.head();
    (pool, made)
}

/// The same statement after its way through JSON.
pub fn through_json(statement: &Statement) -> Statement {
    Statement::read(&serde_json::to_vec(statement).unwrap()).unwrap()
}
