//! Every edge of a payment's states, crossed with what a wallet can do to a call and with what the chain can do to the
//! transaction afterwards. After each case books and chain say the same to the unit, and everybody was paid once; or
//! twice, where a wallet that can only send was made to send twice, which is told, booked, and the operator's loss.
//!
//! The operator does in each case what the documentation tells him, and nothing else.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::*;
use millpond_disk::SimDisk;
use millpond_ledger::{Account, Entry, Ledger, PaymentId, PaymentStatus, Posting, TxId};
use millpond_settlement::{
    Call, Charge, Code, Difference, Edge, Kind, Policy, Report, Settlement, SettlementError,
};
use millpond_types::Amount;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What the incomes of a life come to, and each miner's part.
const EARNED: [(u64, u64); 3] = [(1, 5700), (2, 3000), (3, 2000)];
const ALL_EARNED: u64 = 10_700;
/// What the wallet has from the beginning.
const COINS: [u64; 10] = [4000; 10];
/// So often an edge is passed before the crash.
const PASSES: u64 = 3;
/// Hours in which everything comes to rest again.
const REST: u64 = 14;
/// When the chain does something to what is settled.
const LATER: u64 = 8;

const WORLDS: [(Kind, Charge); 3] =
    [(Kind::Builder, Charge::Pool), (Kind::Builder, Charge::Owners), (Kind::Sender, Charge::Pool)];

/// What the wallet does to calls that send, until the crash or three hours have gone by; and for a call that waits, when
/// the wallet comes to it.
const BEHAVIOURS: [(Mood, Come); 12] = [
    (Mood::Well, Come::Never),
    (Mood::Refusing, Come::Never),
    (Mood::StoredAndRefused, Come::Never),
    (Mood::Unreachable, Come::Never),
    (Mood::DoneSilently, Come::Never),
    (Mood::LostSilently, Come::Never),
    (Mood::Twice, Come::Never),
    (Mood::TwiceSilently, Come::Never),
    (Mood::Waits, Come::Never),
    (Mood::Waits, Come::BeforeTheStart),
    (Mood::Waits, Come::AfterTheFirstRun),
    (Mood::Waits, Come::AfterTheRelease),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Come {
    /// The wallet is started anew before the operator says so.
    Never,
    BeforeTheStart,
    AfterTheFirstRun,
    /// The operator said that nothing waits, and something did.
    AfterTheRelease,
}

/// What becomes of transactions that went out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Chain {
    Keeps,
    /// The node forgets what waits.
    Forgets,
    /// Blocks are taken out, and their transactions come into others.
    Reorganises,
    /// Blocks are taken out, and another transaction takes a coin.
    Conflicts,
    /// The same once payments are settled.
    ReorganisesSettled,
    ForgetsSettled,
    ConflictsSettled,
}

const CHAINS: [Chain; 7] = [
    Chain::Keeps,
    Chain::Forgets,
    Chain::Reorganises,
    Chain::Conflicts,
    Chain::ReorganisesSettled,
    Chain::ForgetsSettled,
    Chain::ConflictsSettled,
];

/// A pool that is started again after each crash, of which there is one.
struct Life {
    disk: SimDisk,
    wallet: SimWallet,
    policy: Policy,
    ledger: Arc<Ledger>,
    settlement: Settlement,
    edge: Option<Edge>,
    passed: Arc<AtomicU64>,
    pass: u64,
    crashed: bool,
    /// The runs told of transactions that should not be.
    told: bool,
    undone: bool,
}

impl Life {
    fn new((kind, charge): (Kind, Charge), edge: Option<Edge>, pass: u64) -> Self {
        let (disk, wallet) = (SimDisk::new(), SimWallet::new(kind, &COINS));
        let (policy, ledger) = (Policy { charge, ..policy() }, open(&disk).unwrap());
        let passed = Arc::new(AtomicU64::new(0));
        let settlement = hooked(&ledger, &wallet, &policy, edge, &passed, pass);
        Self {
            disk,
            wallet,
            policy,
            ledger,
            settlement,
            edge,
            passed,
            pass,
            crashed: false,
            told: false,
            undone: false,
        }
    }

    /// Does something; a crash ends it, and the pool is started again.
    fn act<T>(&mut self, what: impl FnOnce(&Settlement) -> Result<T, SettlementError>) -> Option<T> {
        match what(&self.settlement) {
            Ok(done) => Some(done),
            Err(SettlementError::Halted(at)) => {
                assert_eq!(Some(at), self.edge);
                self.crashed = true;
                self.start_again();
                None
            }
            Err(SettlementError::Order { .. }) => None,
            Err(error) => panic!("{error}"),
        }
    }

    fn start_again(&mut self) {
        // Nobody else may have the folder open.
        let nobody = open(&SimDisk::new()).unwrap();
        self.settlement = settlement(&nobody, &self.wallet, self.policy.clone());
        self.ledger = nobody;
        self.ledger = open(&self.disk).unwrap();
        let Self { ledger, wallet, policy, edge, passed, pass, .. } = &*self;
        self.settlement = hooked(ledger, wallet, policy, *edge, passed, *pass);
    }

    fn kind(&self) -> Kind {
        self.wallet.0.lock().kind
    }

    fn run(&mut self, hour: u64) -> Option<Report> {
        let report = self.act(|it| it.run(hours(hour), &payees))?;
        self.told |= !report.extra.is_empty();
        Some(report)
    }

    fn earn(&self, income: u64) {
        let parts: &[(u64, u64)] = if income == 1 { &[(1, 5000), (2, 3000)] } else { &[(1, 700), (3, 2000)] };
        let parts: Vec<_> = parts.iter().map(|(id, amount)| (miner(*id), *amount)).collect();
        earn(&self.ledger, income, &parts).unwrap();
    }

    /// Does to transactions what the chain does.
    fn chain(&self, chain: Chain) {
        match chain {
            Chain::Keeps => {}
            Chain::Forgets => self.wallet.forget_waiting(),
            Chain::Reorganises | Chain::ReorganisesSettled => self.wallet.reorganise(),
            Chain::ForgetsSettled => {
                self.wallet.reorganise();
                self.wallet.forget_waiting();
            }
            Chain::Conflicts | Chain::ConflictsSettled => {
                if let Some(txid) = self.last_of_its_line() {
                    self.wallet.conflict(&txid);
                }
            }
        }
    }

    /// A payment's transaction of which no other one spends a coin.
    fn last_of_its_line(&self) -> Option<TxId> {
        let names: Vec<TxId> =
            self.ledger.book().payments().filter_map(|payment| payment.txid.clone()).collect();
        let world = self.wallet.0.lock();
        let spent = |txid: &TxId| {
            world.accepted.values().flat_map(|tx| &tx.inputs).any(|coin| coin.0.starts_with(&txid.0))
        };
        names.into_iter().rev().find(|txid| world.accepted.contains_key(txid) && !spent(txid))
    }

    /// What an operator does about what a run told him.
    fn attend(&mut self, report: &Report, come: Come, hour: u64) {
        for step in report.extra.clone() {
            for txid in self.wallet.marked(step.payment.0) {
                // What is not confirmed yet, or is the payment itself, is refused.
                self.act(|it| it.resolve_as_made(step.payment, &txid, "operator", hours(hour)));
            }
        }
        for step in report.removed.clone() {
            if self.act(|it| it.undo(step.payment, "operator", "reorganised", hours(hour))).is_some() {
                self.undone = true;
            } else if self.kind() == Kind::Sender
                && let Some(txid) = self.ledger.payment(step.payment).and_then(|it| it.txid)
            {
                // There are no bytes to send again: the operator has them sent.
                self.wallet.send_by_hand(&txid);
            }
        }
        let Some(stuck) = report.blocked else { return };
        let doubted =
            matches!(self.ledger.payment(stuck).map(|it| it.status), Some(PaymentStatus::Unknown(_)));
        if self.kind() == Kind::Builder || !doubted {
            return;
        }
        match self.wallet.marked(stuck.0).first() {
            Some(txid) => {
                self.act(|it| it.resolve(stuck, txid, "operator", hours(hour)));
            }
            None => {
                if come == Come::Never {
                    self.wallet.restart();
                }
                let why = "not in the wallet's history, and the wallet was started anew";
                self.act(|it| it.release(stuck, "operator", why, Call::Ended, hours(hour)));
                if come == Come::AfterTheRelease {
                    self.wallet.work_off();
                }
            }
        }
    }
}

fn hooked(
    ledger: &Arc<Ledger>,
    wallet: &SimWallet,
    policy: &Policy,
    edge: Option<Edge>,
    passed: &Arc<AtomicU64>,
    pass: u64,
) -> Settlement {
    let passed = Arc::clone(passed);
    let goes_on = move |at, _| Some(at) != edge || passed.fetch_add(1, Ordering::Relaxed) != pass;
    settlement(ledger, wallet, policy.clone()).with_hook(goes_on)
}

/// One case, until everything is at rest.
fn live(
    world: (Kind, Charge),
    edge: Option<Edge>,
    pass: u64,
    (mood, come): (Mood, Come),
    chain: Chain,
) -> Life {
    let mut life = Life::new(world, edge, pass);
    life.wallet.mood(mood);
    life.earn(1);
    for hour in 0..3 {
        if life.run(hour).is_none() {
            break;
        }
        life.wallet.mine();
        if hour == 0 {
            life.earn(2);
        }
    }
    life.wallet.mood(Mood::Well);
    life.earn(1);
    life.earn(2);
    if come == Come::BeforeTheStart {
        life.wallet.work_off();
    }
    let at_once = matches!(chain, Chain::Forgets | Chain::Reorganises | Chain::Conflicts);
    if at_once {
        life.chain(chain);
    }
    for hour in 3..3 + REST {
        if let Some(report) = life.run(hour) {
            life.attend(&report, come, hour);
        }
        if hour == 3 && come == Come::AfterTheFirstRun {
            life.wallet.work_off();
        }
        life.wallet.mine();
        if hour == LATER && !at_once {
            life.chain(chain);
        }
    }
    life
}

/// What the wallet paid to others, and its network fees, over all transactions that stand.
fn out(wallet: &SimWallet) -> (u64, u64) {
    let fees: u64 = {
        let world = wallet.0.lock();
        world.accepted.values().filter(|tx| !tx.outputs.is_empty()).map(|tx| tx.fee.0).sum()
    };
    (wallet.paid().values().sum(), fees)
}

/// What the books say against what the chain says; what was paid beyond what was earned.
fn audit(ledger: &Ledger, wallet: &SimWallet) -> Result<i128, String> {
    let totals = ledger.reader().verify().map_err(|error| error.to_string())?.totals;
    let wrong = |what: &str, books: i128, chain: i128| {
        if books == chain {
            Ok(())
        } else {
            Err(format!("{what}: {books} in the books, {chain} on the chain"))
        }
    };
    wrong("in flight", totals.in_flight, 0)?;
    wrong("payable", totals.payable, 0)?;
    let (sent, fees) = out(wallet);
    let (sent, fees) = (i128::from(sent), i128::from(fees));
    let all = i128::from(ALL_EARNED);
    wrong("wallet", totals.wallet, all - sent - fees)?;
    let loss = ledger.balance(&Account::OperatorLoss);
    wrong("sent", all - totals.network_fees_charged + loss, sent)?;
    wrong("fees", ledger.balance(&Account::NetworkFees) + totals.network_fees_charged, fees)?;
    for (id, earned) in EARNED {
        let paid =
            i128::from(wallet.paid().get(&address(&miner(id).to_string())).copied().unwrap_or_default());
        if paid + totals.network_fees_charged < i128::from(earned) {
            return Err(format!("miner {id} earned {earned} and was paid {paid}"));
        }
    }
    Ok(loss)
}

/// What is left when ledger, wallet and chain are held against each other. This wallet's coins come from nowhere, and the blocks of
/// the incomes are in no history; somebody else's transaction is foreign. All else is explained.
fn unexplained(settlement: &Settlement) -> (i128, Vec<Difference>) {
    let found = settlement.reconcile().unwrap();
    let known = |one: &Difference| matches!(one.code, Code::IncomeUnseen | Code::Foreign);
    (found.residual, found.differences.into_iter().filter(|one| !known(one)).collect())
}

/// Whether a case may pay somebody twice: a call that sends was executed twice, or after the operator's word that it was not.
fn may_pay_twice(kind: Kind, mood: Mood, come: Come) -> bool {
    let twice = matches!(mood, Mood::Twice | Mood::TwiceSilently);
    kind == Kind::Sender && (twice || (mood == Mood::Waits && come != Come::Never))
}

#[test]
fn every_edge_with_every_behaviour_of_wallet_and_chain_pays_everybody_once() {
    let (mut reached, mut cases, mut undone, mut lost) = (Vec::new(), 0, 0, 0);
    for world in WORLDS {
        let (kind, charge) = world;
        for (mood, come) in BEHAVIOURS {
            for chain in CHAINS {
                // A transaction that was booked as one too many is not looked at again (known gap G50).
                let settled = matches!(chain, Chain::ForgetsSettled | Chain::ConflictsSettled);
                if settled && may_pay_twice(kind, mood, come) {
                    continue;
                }
                for edge in Edge::ALL.into_iter().map(Some).chain([None]) {
                    for pass in 0..if edge.is_some() { PASSES } else { 1 } {
                        let context = format!("{world:?} {mood:?} {come:?} {chain:?} {edge:?} pass {pass}");
                        let life = live(world, edge, pass, (mood, come), chain);
                        cases += 1;
                        // An edge that this case does not pass so often is another case without a crash.
                        if let Some(edge) = edge.filter(|_| life.crashed) {
                            reached.push((kind, edge));
                        }
                        let loss = audit(&life.ledger, &life.wallet)
                            .unwrap_or_else(|why| panic!("{context}: {why}"));
                        let twice = loss > 0;
                        assert!(
                            !twice || (may_pay_twice(kind, mood, come) && life.told),
                            "{context}: {loss} lost"
                        );
                        if !twice && charge == Charge::Pool {
                            assert_eq!(life.wallet.paid(), expected(&EARNED), "{context}");
                        }
                        if chain != Chain::Conflicts && chain != Chain::ConflictsSettled {
                            assert_eq!(life.wallet.0.lock().double_spends, 0, "{context}");
                        }
                        let unexplained = unexplained(&life.settlement);
                        assert_eq!(unexplained, (i128::from(COINS.iter().sum::<u64>()), vec![]), "{context}");
                        undone += u64::from(life.undone);
                        lost += u64::from(twice);
                        if !life.crashed && pass == 0 {
                            break;
                        }
                    }
                }
            }
        }
    }
    let missing: Vec<_> = [Kind::Builder, Kind::Sender]
        .into_iter()
        .flat_map(|kind| Edge::ALL.map(|edge| (kind, edge)))
        .filter(|at| !reached.contains(at))
        .collect();
    // A wallet that only sends has nothing to sign, to store or to send again; orders about what a wallet made are for it.
    let of_the_other =
        [Edge::Signed, Edge::Stored, Edge::Again, Edge::AgainCalled].map(|edge| (Kind::Sender, edge));
    let expected: Vec<_> = [(Kind::Builder, Edge::Ordered)].into_iter().chain(of_the_other).collect();
    assert_eq!(missing, expected);
    assert!(cases > 7_000 && undone > 100 && lost > 10, "{cases} cases, {undone} undone, {lost} paid twice");
}

#[test]
fn what_the_audit_is_for_does_not_pass_it() {
    let rest = || {
        let life = live(WORLDS[0], None, 0, (Mood::Well, Come::Never), Chain::Keeps);
        audit(&life.ledger, &life.wallet).unwrap();
        life
    };
    let wrong = |life: &Life| audit(&life.ledger, &life.wallet).unwrap_err();

    // A transaction more than the books know of.
    let life = rest();
    let mut again = life.wallet.0.lock().accepted.values().next().unwrap().clone();
    again.txid = TxId("again".to_owned());
    life.wallet.0.lock().accepted.insert(again.txid.clone(), again);
    assert!(wrong(&life).starts_with("wallet: "));

    // One less.
    let life = rest();
    let gone = life.last_of_its_line().unwrap();
    life.wallet.0.lock().accepted.remove(&gone);
    assert!(wrong(&life).starts_with("wallet: "));

    // A unit to somebody else.
    let life = rest();
    let first = life.ledger.payment(PaymentId(1)).unwrap().txid.unwrap();
    let mut world = life.wallet.0.lock();
    let outputs = &mut world.accepted.get_mut(&first).unwrap().outputs;
    outputs[0].amount = Amount(outputs[0].amount.0 - 1);
    outputs[1].amount = Amount(outputs[1].amount.0 + 1);
    drop(world);
    assert!(wrong(&life).contains("earned"));

    // A loss that nobody had.
    let life = rest();
    let postings = vec![
        Posting { account: Account::OperatorLoss, amount: 1 },
        Posting { account: Account::NetworkFees, amount: -1 },
    ];
    let (by, reason) = ("operator".to_owned(), "none".to_owned());
    life.ledger.append(START, Entry::Adjustment { postings, by, reason }).unwrap();
    assert!(wrong(&life).starts_with("sent: "));
}
