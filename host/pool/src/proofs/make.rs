//! What a commitment says of a record of the ledger: derived from the record, the journal and the policy in force, and so the
//! same whenever it is asked, but for the salt.

use super::ProofsError;
use super::columns::{Columns, Named, Trees, Weights};
use super::kept::{Evidence, Rows, Said};
use super::shown::Last;
use crate::core::Core;
use crate::decide::{self, counted, pays_behind, window};
use crate::plan;
use crate::policy::of_income;
use crate::run_off;
use millpond_journal::{
    Income, Journal, PluginInForce, Policy, Record as Journalled, Setting as Recorded, Unpaid,
};
use millpond_ledger::{Allocation, Entry, IncomeAllocated, IncomeKey, Owner, Record, Reversal, TxId};
use millpond_payout::SchemeState;
use millpond_proofs::{
    Commitment, Counted, Division, Edge, Measure, NamedSetting, Payment, Plugin, Salt, Setting, Slices, Span,
    Undoing, What, Window, WindowEnd,
};
use millpond_types::{Amount, Digest, ShareSeq};

/// The scheme's state on both sides of a record.
#[derive(Clone, Copy, Debug)]
pub(super) struct States {
    pub(super) before: Digest,
    pub(super) after: Digest,
}

/// Of the scheme's state before a record, what says which shares an income was divided by.
#[derive(Clone, Debug)]
pub(super) struct Before {
    /// What no income had paid.
    unpaid: Option<Unpaid>,
    /// The newest share that a scheme which is followed was given, or would be followed by.
    given: Option<ShareSeq>,
}

impl Before {
    pub(super) fn of(state: &SchemeState) -> Self {
        let given = state.aside().unwrap_or(state).given();
        Self { unpaid: state.unpaid().cloned(), given }
    }
}

/// The newest division of a subject.
pub(super) type NewestOf<'a> = dyn Fn(&[u8]) -> Option<Last> + 'a;

/// A record's commitment, and what its statements are made of.
pub(super) struct Made {
    pub(super) said: Said,
    pub(super) evidence: Evidence,
    /// Where it divides or pays something.
    pub(super) trees: Option<Trees>,
}

/// Of what a record of the ledger is to be committed.
pub(super) struct Maker<'a> {
    pub(super) core: &'a Core,
    pub(super) pool: Digest,
    /// A unit of work is 2^shift expected hashes.
    pub(super) shift: u8,
}

impl Maker<'_> {
    /// The commitment of a record, with what the state was before it; none for one that moves nobody's money for good, or concerns what was there before the
    /// pool's first head.
    pub(super) fn make(
        &self,
        record: &Record,
        (states, before): (States, &Before),
        last: &NewestOf<'_>,
        salt: Salt,
    ) -> Result<Option<Made>, ProofsError> {
        let taken_back = |subject: Vec<u8>, reason: String, what: fn(Undoing) -> What| {
            let last = last(&subject)?;
            let what = what(Undoing { of: last.commitment, reason });
            let commitment = Commitment::new(self.pool, subject, last.division, what);
            let evidence = Evidence { commitment, salt, paid: None, work: Vec::new() };
            Some(Made { said: Said::TakenBack, evidence, trees: None })
        };
        match &record.entry {
            Entry::IncomeAllocated(income) => self.income(income, (states, before), last, salt).map(Some),
            Entry::Accrued { first, last, parts, .. } => {
                self.accrued(record, [*first, *last], parts, states, salt).map(Some)
            }
            Entry::PaymentSettled { payment, txid, rows, .. } => {
                let of = self.core.ledger.payment(*payment).ok_or(ProofsError::NoPayment(*payment))?;
                let paid = Rows { rows: of.rows, settled: rows.clone() };
                self.payment(format!("payment {payment}").into_bytes(), txid, paid, salt).map(Some)
            }
            Entry::Reversed { key, how, proof } => {
                let subject = key.as_bytes().to_vec();
                let what = if *how == Reversal::Keep { What::Kept } else { What::Reversed };
                let reason = match how {
                    Reversal::KeepReserve => format!("{proof}; the reserve keeps its part"),
                    Reversal::Drop | Reversal::Restore | Reversal::Keep => proof.clone(),
                };
                Ok(taken_back(subject, reason, what))
            }
            Entry::Reinstated { key } => {
                let reason = "the chain has it again".to_owned();
                Ok(taken_back(key.as_bytes().to_vec(), reason, What::Reinstated))
            }
            Entry::PaymentUndone { payment, why, .. } => {
                Ok(taken_back(format!("payment {payment}").into_bytes(), why.clone(), What::Undone))
            }
            Entry::Matured { .. }
            | Entry::Reaccrued { .. }
            | Entry::PaymentReserved { .. }
            | Entry::PaymentProgress { .. }
            | Entry::PaymentReleased { .. }
            | Entry::NetworkFee { .. }
            | Entry::Adjustment { .. }
            | Entry::Noted { .. }
            | Entry::Checkpoint { .. } => Ok(None),
        }
    }

    /// Builds an entry's trees again from its evidence, and from the ledger's record where that has the parts.
    pub(super) fn trees(&self, evidence: &Evidence, record: &Record) -> Result<Option<Trees>, ProofsError> {
        let columns = match (&record.entry, &evidence.paid) {
            (Entry::IncomeAllocated(income), None) => Columns::of_division(&income.parts, &evidence.work),
            (Entry::Accrued { parts, .. }, None) => Columns::of_division(parts, &evidence.work),
            (Entry::PaymentSettled { .. }, Some(paid)) => Columns::of_payment(&paid.rows, &paid.settled),
            _ => return Ok(None),
        };
        let Commitment { subject, division, .. } = &evidence.commitment;
        let trees = self.build(columns, subject.clone(), *division, evidence.salt)?;
        let same = match &evidence.commitment.what {
            What::Income(said) | What::Accrued(said) => {
                let roots =
                    said.windows.iter().filter_map(|window| window.counted.as_ref()).map(|it| it.work);
                said.credits == trees.values.root() && roots.eq(trees.work.iter().map(|(_, it)| it.root()))
            }
            What::Payment(said) => said.rows == trees.values.root(),
            What::Reversed(_) | What::Kept(_) | What::Reinstated(_) | What::Undone(_) => false,
        };
        if same { Ok(Some(trees)) } else { Err(ProofsError::OtherRoot(record.seq)) }
    }

    fn build(
        &self,
        columns: Columns,
        subject: Vec<u8>,
        division: u64,
        salt: Salt,
    ) -> Result<Trees, ProofsError> {
        let named = Named { pool: self.pool, subject, division, salt };
        Ok(Trees::build(columns, named, &|owner| address(&self.core.journal, owner))?)
    }

    fn income(
        &self,
        income: &IncomeAllocated,
        (states, before): (States, &Before),
        last: &NewestOf<'_>,
        salt: Salt,
    ) -> Result<Made, ProofsError> {
        let subject = income.key.as_bytes().to_vec();
        let number = self.core.ledger.book().number_of(&income.key);
        let policies = self.core.journal.policies();
        let mut recorded = recorded(&self.core.journal, &income.key, income.end)?;
        let policy = of_income(&policies, &recorded).ok_or(ProofsError::NoPolicy(income.end))?;
        let view = self.core.journal.view();
        let policy = plan::policy_of(&policies, policy, &recorded, &view)?;
        let bound = self.core.books.loader().bind(policy)?;
        if bound.planned {
            recorded.end = plan::end_of(&recorded, &view)?;
        }
        let begins = pays_behind(&policies, self.core.books.loader(), policy)?;
        // What the policy itself divided, where one that it follows had a part before it.
        let gross = run_off::rest(&bound, &recorded, &view, (number, income))?;
        let mut windows = Vec::new();
        let mut work = Vec::new();
        // The scheme's own windows and, behind them, those of the one that it follows where that still owed.
        let clip = bound.clip();
        let own = bound.scheme.terms().windows.iter().map(|declared| {
            let declared = window(declared)?;
            let (counted, _) =
                counted(&declared, &recorded, &view, &clip, (begins, gross), before.unpaid.as_ref())?;
            Ok::<_, ProofsError>((declared, counted))
        });
        let mut counted = own.collect::<Result<Vec<_>, _>>()?;
        if let Some(run_off) = bound.run_off.as_ref().filter(|_| bound.old().is_some()) {
            let here = (recorded.finder.is_some(), number);
            let of_old = run_off.at(&view, &recorded.end, here)?;
            counted.extend(of_old.into_iter().flat_map(|(_, windows)| windows));
        }
        let declared = counted.len();
        for (at, (window, counted)) in (0_u8..).zip(counted) {
            let mut first = None;
            let (span, measure, edge) = of_window(&window);
            if span.counts() {
                first = Some(counted.first);
                work.push((at, counted.rows));
            }
            windows.push((span, measure, edge, first));
        }
        if windows.len() != declared {
            return Err(ProofsError::Windows(declared));
        }
        // What a scheme that is followed was given of work behind it, where it owes by what it keeps of miners.
        let given = before.given.unwrap_or_default().max(clip.floor);
        if let Some(to) = run_off::given_with(&income.state)?.filter(|to| *to > given) {
            let first = ShareSeq(given.0.saturating_add(1));
            let at = u8::try_from(declared).map_err(|_| ProofsError::Windows(declared))?;
            work.push((at, decide::work_of(&view, first, to)?));
            windows.push((Span::Batch, Measure::Work, Edge::Whole, Some(first)));
        }
        let end = WindowEnd {
            share: recorded.end.seq,
            time: recorded.end.time,
            coord: recorded.end.coord,
            network_work: recorded.end.network_work,
            round_after: recorded.end.round_after,
        };
        let division = last(&subject).map_or(0, |last| last.division.saturating_add(1));
        let drawn = [income.amount, income.carry_in, income.reserve_in];
        let of = Divided { subject, division, number, drawn, direct: income.direct, end };
        self.divided(of, policy, (&income.parts, windows, work), states, salt)
    }

    fn accrued(
        &self,
        record: &Record,
        [first, last]: [ShareSeq; 2],
        parts: &Allocation,
        states: States,
        salt: Salt,
    ) -> Result<Made, ProofsError> {
        let policy = self.core.journal.policy_at(last).ok_or(ProofsError::NoPolicy(last))?;
        let rows = decide::work_of(&self.core.journal.view(), first, last)?;
        let round_after = ShareSeq(first.0.saturating_sub(1));
        let end = WindowEnd { share: last, time: record.at, coord: 0, network_work: 0, round_after };
        let of = Divided {
            subject: decide::subject(first, last),
            division: 0,
            number: 0,
            drawn: [parts.total(), Amount::ZERO, Amount::ZERO],
            direct: false,
            end,
        };
        let window = (Span::Batch, Measure::Work, Edge::Whole, Some(first));
        let made = self.divided(of, &policy, (parts, vec![window], vec![(0, rows)]), states, salt)?;
        let Commitment { pool, subject, division, what, .. } = made.evidence.commitment;
        let what = match what {
            What::Income(said) => What::Accrued(said),
            other => other,
        };
        let commitment = Commitment::new(pool, subject, division, what);
        let evidence = Evidence { commitment, ..made.evidence };
        Ok(Made { said: Said::Accrued, evidence, trees: made.trees })
    }

    fn divided(
        &self,
        of: Divided,
        policy: &Policy,
        (parts, windows, work): (&Allocation, Vec<Declared>, Vec<(u8, Weights)>),
        states: States,
        salt: Salt,
    ) -> Result<Made, ProofsError> {
        let columns = Columns::of_division(parts, &work);
        let trees = self.build(columns, of.subject.clone(), of.division, salt)?;
        let mut roots = trees.work.iter().map(|(_, tree)| tree.root());
        let windows = windows.into_iter().map(|(span, measure, edge, first)| {
            let counted = first.and_then(|first| Some(Counted { first, work: roots.next()? }));
            Window { span, measure, edge, counted }
        });
        let [amount, carry_in, reserve_in] = of.drawn;
        let division = Division {
            amount,
            carry_in,
            reserve_in,
            direct: of.direct,
            number: of.number,
            end: of.end,
            shift: self.shift,
            windows: windows.collect(),
            credits: trees.values.root(),
            scheme: plugin(&policy.scheme),
            fees: policy.fees.iter().map(plugin).collect(),
            state_before: states.before,
            state_after: states.after,
        };
        let commitment = Commitment::new(self.pool, of.subject, of.division, What::Income(division));
        let evidence = Evidence { commitment, salt, paid: None, work };
        Ok(Made { said: Said::Income, evidence, trees: Some(trees) })
    }

    fn payment(&self, subject: Vec<u8>, txid: &TxId, paid: Rows, salt: Salt) -> Result<Made, ProofsError> {
        let columns = Columns::of_payment(&paid.rows, &paid.settled);
        let amount = columns.total().ok_or(millpond_proofs::TreeError::Overflow)?;
        let trees = self.build(columns, subject.clone(), 0, salt)?;
        let txid = hex::decode(&txid.0).unwrap_or_else(|_| txid.0.clone().into_bytes());
        let payment = Payment { amount, txid, rows: trees.values.root() };
        let commitment = Commitment::new(self.pool, subject, 0, What::Payment(payment));
        let evidence = Evidence { commitment, salt, paid: Some(paid), work: Vec::new() };
        Ok(Made { said: Said::Payment, evidence, trees: Some(trees) })
    }
}

/// A window as it was declared, and its first share.
type Declared = (Span, Measure, Edge, Option<ShareSeq>);

/// What was divided.
struct Divided {
    subject: Vec<u8>,
    division: u64,
    number: u64,
    /// The amount, what was carried in, what was drawn on the reserve.
    drawn: [Amount; 3],
    direct: bool,
    end: WindowEnd,
}

/// The address that an owner is known by.
pub(super) fn address(journal: &Journal, owner: &Owner) -> String {
    match owner {
        Owner::Miner(id) => journal.miner_by_id(*id).map(|miner| miner.address).unwrap_or_default(),
        Owner::Fee(_) | Owner::Carry | Owner::Reserve => String::new(),
    }
}

/// The journal's record of an income whose windows end at a share. Those that are open are in memory.
fn recorded(journal: &Journal, key: &IncomeKey, end: ShareSeq) -> Result<Income, ProofsError> {
    let is_it = |income: &Income| income.key == key.as_bytes() && income.end.seq == end;
    if let Some(open) = journal.open_incomes().into_iter().find(is_it) {
        return Ok(open);
    }
    let mut found = None;
    for entry in journal.view().records(1) {
        if let Journalled::Income(income) = entry?.record
            && is_it(&income)
        {
            found = Some(income);
        }
    }
    found.ok_or_else(|| ProofsError::NoIncome(key.clone()))
}

fn of_window(window: &millpond_journal::Window) -> (Span, Measure, Edge) {
    use millpond_journal::{Edge as End, Measure as By, Span as Reach};
    let span = match window.span {
        Reach::Round => Span::Round,
        Reach::Finder => Span::Finder,
        Reach::Shares(count) => Span::Shares(count),
        Reach::Work(thousandths) => Span::Work(thousandths),
        Reach::Millis(millis) => Span::Millis(millis),
        Reach::Coord(steps) => Span::Coord(steps),
        Reach::Slices(thousandths, step) => Span::Slices(Slices { thousandths, step }),
        Reach::Unpaid(most) => Span::Unpaid(most),
        Reach::State => Span::State,
    };
    let measure = match window.measure {
        By::Work => Measure::Work,
        By::Units => Measure::Units,
        By::Count => Measure::Count,
        By::Value => Measure::Value,
        By::SubsidyValue => Measure::SubsidyValue,
        By::FeeValue => Measure::FeeValue,
    };
    let edge = match window.edge {
        End::Whole => Edge::Whole,
        End::Split => Edge::Split,
        End::Cut => Edge::Cut,
    };
    (span, measure, edge)
}

fn plugin(in_force: &PluginInForce) -> Plugin {
    let one = |(name, value): &(String, Recorded)| {
        let value = match value {
            Recorded::Text(text) => Setting::Text(text.clone()),
            Recorded::Int(number) => Setting::Int(*number),
            Recorded::Flag(flag) => Setting::Flag(*flag),
        };
        NamedSetting { name: name.clone(), value }
    };
    Plugin {
        name: in_force.name.clone(),
        component: in_force.component,
        settings: in_force.settings.iter().map(one).collect(),
    }
}
