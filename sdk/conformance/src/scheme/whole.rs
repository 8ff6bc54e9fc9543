//! Properties of whole histories, through the pool's own code.

use super::{Broken, Subject};
use crate::LoggedShare;
use crate::facts;
use crate::history::{Cut, History, How, ROWS, Ran, Reach, Shares, Step, run};
use millpond_contracts::payout::Reversal;
use millpond_ledger::{Entry, Owner};
use millpond_types::Amount;
use std::collections::{BTreeMap, BTreeSet};

pub(super) fn logs(subject: &Subject<'_>) -> Result<String, Broken> {
    let reach = Reach::of(&subject.terms);
    match reach.beyond {
        Some(beyond) => Err(Broken::NotRun(format!(
            "{beyond}, and histories have {ROWS} at most: test it under settings with a shorter window too"
        ))),
        None => Ok(format!("about {} shares", reach.rows)),
    }
}

pub(super) fn conserved(subject: &Subject<'_>, history: &History) -> Result<(), String> {
    let ran = run(&subject.bound, history, &How::default())?;
    ran.conserved()?;
    let mut given = subject.given.borrow_mut();
    for paid in ran.paid() {
        given.update(&(paid.len() as u64).to_le_bytes());
        for (miner, amount) in paid {
            given.update(&miner.to_le_bytes()).update(&amount.to_le_bytes());
        }
    }
    Ok(())
}

fn same(one: &Ran, two: &Ran, what: &str) -> Result<(), String> {
    if one.entries.len() != two.entries.len() {
        return Err(format!("{} entries, {what} {}", one.entries.len(), two.entries.len()));
    }
    if let Some(at) = one.entries.iter().zip(&two.entries).position(|(one, two)| one != two) {
        return Err(format!("{what} entry {} is another", at + 1));
    }
    if one.kept() != two.kept() {
        return Err(format!("{what} the state at the end is another"));
    }
    Ok(())
}

pub(super) fn deterministic(subject: &Subject<'_>, history: &History) -> Result<(), String> {
    subject.recorder.take();
    let first = run(&subject.bound, history, &How::default())?;
    let heard = subject.recorder.take();
    for _ in 0..2 {
        let again = run(&subject.bound, history, &How::default())?;
        same(&first, &again, "run again,")?;
        let heard_again = subject.recorder.take();
        if heard_again.fuel != heard.fuel {
            return Err("run again, calls need another amount of fuel".to_owned());
        }
        if heard_again != heard {
            return Err("run again, a call has another result".to_owned());
        }
    }
    Ok(())
}

pub(super) fn restored(subject: &Subject<'_>, history: &History) -> Result<(), String> {
    let straight = run(&subject.bound, history, &How::default())?;
    let restarted = run(&subject.bound, history, &How { restarts: true, ..How::default() })?;
    same(&straight, &restarted, "with restarts,")
}

pub(super) fn duplicate(subject: &Subject<'_>, history: &History) -> Result<(), String> {
    let once = run(&subject.bound, history, &How::default())?;
    let twice = run(&subject.bound, history, &How { twice: true, ..How::default() })?;
    same(&once, &twice, "with everything reported twice,")
}

/// Before the first share, and behind the last.
pub(super) fn empty(subject: &Subject<'_>, history: &History) -> Result<(), String> {
    let mut longer = history.clone();
    longer.steps.insert(0, Step::Empty(1_000_003));
    longer.steps.push(Step::Empty(1_000_003));
    subject.recorder.take();
    run(&subject.bound, &longer, &How::default())?;
    for asked in subject.recorder.take().incomes {
        let nobody = asked.windows.iter().all(|window| window.miner.is_empty());
        if nobody && asked.state.cells.iter().all(|cell| *cell == 0) && !asked.given.miner.is_empty() {
            return Err(format!("an income of {} without shares is given to somebody", asked.income.gross));
        }
    }
    Ok(())
}

/// Up to so many shares every way to cut them is tried.
const ALL_CUTS: usize = 6;

pub(super) fn batches(subject: &Subject<'_>, history: &History) -> Result<(), String> {
    let history = with_reserve(subject, history);
    let whole = run(&subject.bound, &history, &How::default())?;
    let masks: Vec<u64> = if whole.rows <= ALL_CUTS {
        (1..1_u64 << whole.rows.saturating_sub(1)).collect()
    } else {
        // Drawn from the history itself.
        let mut words = blake3::Hasher::new().update(&history.json()).finalize_xof();
        (0..4)
            .map(|_| {
                let mut word = [0; 8];
                words.fill(&mut word);
                u64::from_le_bytes(word)
            })
            .collect()
    };
    let credits = |ran: &Ran| ran.paid().into_iter().next().unwrap_or_default();
    for mask in masks {
        let ends: Vec<usize> = (1..whole.rows).filter(|end| mask >> ((end - 1) % 64) & 1 == 1).collect();
        let shown =
            format!("with batches that end at shares {:?}", ends.get(..ends.len().min(12)).unwrap_or(&[]));
        let cut = run(&subject.bound, &history, &How { cut: Cut::Ends(ends), ..How::default() })?;
        let (one, two) = (credits(&whole), credits(&cut));
        for miner in one.keys().chain(two.keys()) {
            let of = |credits: &BTreeMap<u64, u128>| credits.get(miner).copied().unwrap_or(0);
            if of(&one) != of(&two) {
                return Err(format!("miner {miner} is credited {}, {shown} {}", of(&one), of(&two)));
            }
        }
        if whole.kept() != cut.kept() {
            return Err(format!("{shown} the state at the end is another"));
        }
        // What an income gives depends on cells alone, and these are equal.
        if whole.paid() != cut.paid() {
            return Err(format!("{shown} an income is divided otherwise"));
        }
    }
    Ok(())
}

/// Incomes that are lost in one history, and how many of them at most.
const INCOMES: usize = 5;
const LOST: usize = 3;

/// Shares, blocks and what moves the world: what is lost is added by the test.
fn plain(history: &History) -> History {
    let mut blocks = 0;
    let steps = history.steps.iter().filter(|step| match step {
        Step::Block(_) => {
            blocks += 1;
            blocks <= INCOMES
        }
        Step::Lost(_) | Step::Again(_) | Step::Mature(_) | Step::Empty(_) => false,
        _ => true,
    });
    let steps = steps.cloned().collect();
    History { steps, ..history.clone() }
}

/// The same history with more in the reserve than it can need: where crediting stops is the host's matter, and moves with
/// everything.
pub(super) fn with_reserve(subject: &Subject<'_>, history: &History) -> History {
    History { reserve: if subject.terms.reserve { 1 << 62 } else { 0 }, ..history.clone() }
}

/// Ordered choices of 1 to [`LOST`] of `count`.
fn orders(count: usize) -> Vec<Vec<usize>> {
    let mut all = Vec::new();
    let mut open: Vec<Vec<usize>> = vec![Vec::new()];
    for _ in 0..LOST.min(count) {
        open = open
            .iter()
            .flat_map(|chosen| {
                let free = (0..count).filter(|at| !chosen.contains(at));
                free.map(|at| chosen.iter().copied().chain([at]).collect::<Vec<_>>())
            })
            .collect();
        all.extend(open.iter().cloned());
    }
    all
}

pub(super) fn orphan(subject: &Subject<'_>, history: &History) -> Result<(), String> {
    let plain = with_reserve(subject, &plain(history));
    let steps: Vec<usize> = divided_at(&plain);
    let keeps = subject.terms.reversal == Reversal::Keep;
    for order in orders(steps.len()) {
        let never = if keeps { plain.clone() } else { orphaned(&plain, &order, &steps) };
        let never = run(&subject.bound, &never, &How::apart())?;
        for late in [true, false] {
            let lost = losing(&plain, &order, &steps, late);
            let numbers: Vec<usize> = order.iter().map(|at| at + 1).collect();
            let when = if late { "at the end" } else { "each as soon as it was divided" };
            let shown = format!("incomes {numbers:?} of {} lost {when}", steps.len());
            let lost = run(&subject.bound, &lost, &How::apart()).map_err(|why| format!("{shown}: {why}"))?;
            let (mut one, two) = (never.balances(), lost.balances());
            if subject.terms.reversal == Reversal::KeepReserve {
                // The reserve keeps its part of each, at the operator's cost.
                *one.entry(Owner::Reserve).or_default() += lost.reserve_keeps();
            }
            let owners: BTreeSet<_> = one.keys().chain(two.keys()).collect();
            for owner in owners {
                let of = |balances: &BTreeMap<_, i128>| balances.get(owner).copied().unwrap_or(0);
                if of(&one) != of(&two) {
                    return Err(format!(
                        "{shown}: {owner} has {} and not {}, as {}",
                        of(&two),
                        of(&one),
                        if keeps { "if it had been kept" } else { "if they had never been" }
                    ));
                }
            }
            if never.kept() != lost.kept() {
                return Err(format!("{shown}: the state at the end is another; declare reversal `restore`"));
            }
        }
    }
    Ok(())
}

/// The steps whose blocks are divided: a share finds one block, and without shares there is none.
fn divided_at(history: &History) -> Vec<usize> {
    let (mut places, mut fresh) = (Vec::new(), false);
    for (at, step) in history.steps.iter().enumerate() {
        match step {
            Step::Shares(runs) => fresh |= runs.iter().any(|run| run.times > 0),
            Step::Orphan => fresh = false,
            Step::Block(_) if fresh => {
                places.push(at);
                fresh = false;
            }
            _ => {}
        }
    }
    places
}

/// The same history where these blocks were orphans.
fn orphaned(history: &History, order: &[usize], steps: &[usize]) -> History {
    let mut never = history.clone();
    for step in order.iter().filter_map(|at| steps.get(*at)) {
        if let Some(slot) = never.steps.get_mut(*step) {
            *slot = Step::Orphan;
        }
    }
    never
}

/// The same history in which these are lost, in this order, at the end or as soon as that is possible.
fn losing(history: &History, order: &[usize], steps: &[usize], late: bool) -> History {
    let mut open: Vec<usize> = Vec::new();
    let mut waiting: std::collections::VecDeque<usize> = order.iter().copied().collect();
    let mut told = Vec::new();
    let mut lose = |open: &mut Vec<usize>, told: &mut Vec<Step>| {
        while let Some(next) = waiting.front()
            && let Some(place) = open.iter().position(|at| at == next)
        {
            told.push(Step::Lost(u32::try_from(place).unwrap_or(u32::MAX)));
            open.remove(place);
            waiting.pop_front();
        }
    };
    for (at, step) in history.steps.iter().enumerate() {
        told.push(step.clone());
        if let Some(income) = steps.iter().position(|step| *step == at) {
            open.push(income);
            if !late {
                lose(&mut open, &mut told);
            }
        }
    }
    lose(&mut open, &mut told);
    History { steps: told, ..history.clone() }
}

/// A name that no strategy gives.
pub(super) const STRANGER: u64 = 1_000_000_000;

/// Somebody works before the first income alone; what is paid after it must not pay him again.
pub(super) fn share_once(subject: &Subject<'_>, history: &History) -> Result<(), String> {
    let mut told = with_reserve(subject, &plain(history));
    told.steps.insert(0, Step::Shares(vec![Shares { miner: STRANGER, work: 1_000, times: 2 }]));
    let ran = run(&subject.bound, &told, &How::apart())?;
    let of = |paid: &BTreeMap<u64, u128>| paid.get(&STRANGER).copied().unwrap_or(0);
    let paid: Vec<u128> = ran.paid().iter().map(of).collect();
    if subject.bound.pays_once().is_some() {
        // A share on an edge is paid in parts: together they are its value, but for a unit of rounding each.
        let own = ran.log.0.iter().filter(|share| share.miner == STRANGER);
        let reward = |share: &LoggedShare| match subject.terms.needs_subsidy {
            true => facts::subsidy(share.reward).0,
            false => share.reward,
        };
        let value: u128 = own.map(|share| worth(share, reward(share))).sum::<u128>() >> 64;
        let (all, incomes) = (paid.iter().sum::<u128>(), paid.len() as u128);
        return match all <= value.saturating_add(incomes) {
            true => Ok(()),
            false => Err(format!(
                "a miner whose shares are worth {value} is paid {all}, by the incomes in order {paid:?}"
            )),
        };
    }
    let times = paid.iter().filter(|amount| **amount > 0).count();
    if times > 1 {
        return Err(format!(
            "a miner whose shares are all before the first income is paid {times} times: by the shares' credit and \
             the incomes in order {paid:?}"
        ));
    }
    Ok(())
}

pub(super) fn no_deficit(subject: &Subject<'_>, history: &History) -> Result<(), String> {
    let ran = run(&subject.bound, &with_reserve(subject, history), &How::default())?;
    let drawn = ran.entries.iter().find_map(|entry| match entry {
        Entry::IncomeAllocated(income) if income.reserve_in > Amount::ZERO => {
            Some(format!("an income draws {} on the reserve", income.reserve_in))
        }
        Entry::Accrued { parts, .. } if parts.total() > Amount::ZERO => {
            Some(format!("shares draw {} on the reserve", parts.total()))
        }
        _ => None,
    });
    drawn.map_or(Ok(()), Err)
}

/// What somebody has earned since all was paid, in 2^-64 units, and what of it he was paid.
#[derive(Clone, Copy, Default)]
struct Account {
    earned: u128,
    paid: u128,
}

impl Account {
    const fn whole(self) -> u128 {
        self.earned >> 64
    }
}

/// Of what the shares of a round earn, in eighths: so much is the block that ends it.
const BRINGS: [u64; INCOMES] = [5, 2, 9, 3, 4];

/// The same shares with blocks that bring less than is owed more often than not.
fn short(history: &History) -> History {
    // Enough for every share to be worth many units.
    let rich = |reward: u64| reward | 1 << 40;
    let (mut network, mut reward) = (history.network.max(1), rich(history.reward));
    let (mut earned, mut blocks) = (0_u128, BRINGS.iter().cycle());
    let mut told = History { reward, ..history.clone() };
    for step in &mut told.steps {
        match step {
            Step::Shares(runs) => {
                for run in runs {
                    let work = u128::from(run.work).min(network) * u128::from(run.times);
                    earned = earned.saturating_add(work.saturating_mul(reward.into()) / network);
                }
            }
            Step::Block(pays) => {
                let eighths = blocks.next().copied().unwrap_or(8);
                *pays = u64::try_from(earned / 8 * u128::from(eighths)).unwrap_or(*pays);
                earned = 0;
            }
            Step::Retarget(next) => network = (*next).max(1),
            Step::Reward(next) => {
                *next = rich(*next);
                reward = *next;
            }
            _ => {}
        }
    }
    told
}

pub(super) fn equalised(subject: &Subject<'_>, history: &History) -> Result<(), String> {
    let plain = plain(history);
    levelled(subject, &plain)?;
    levelled(subject, &short(&plain))
        .map_err(|why| format!("{why}, where blocks bring {BRINGS:?} eighths of what their rounds earn"))
}

/// What shares have earned is summed here, by the definition, beside what incomes pay of it.
fn levelled(subject: &Subject<'_>, history: &History) -> Result<(), String> {
    let ran = run(&subject.bound, history, &How::default())?;
    let mut accounts = BTreeMap::<u64, Account>::new();
    let mut counted = 0;
    for (number, income) in (1..).zip(&ran.incomes) {
        let end = usize::try_from(income.facts.end.0).unwrap_or(usize::MAX);
        for share in ran.log.0.get(counted..end).unwrap_or(&[]) {
            let reward =
                if subject.terms.needs_subsidy { facts::subsidy(share.reward).0 } else { share.reward };
            accounts.entry(share.miner).or_default().earned += worth(share, reward);
        }
        counted = end;
        let parts = &income.entry.parts;
        for (miner, amount) in parts.miners() {
            accounts.entry(miner.0).or_default().paid += u128::from(amount.0);
        }
        let owes = |account: &&Account| account.whole() > account.paid;
        // The level of who is owed most of what he earned: in his favour by a unit of rounding.
        let least = accounts.values().filter(owes).map(|account| (account.paid + 1, account.whole()));
        let least = least.min_by(|(a, of_a), (b, of_b)| (a * of_b).cmp(&(b * of_a)));
        let at = |miner: u64| accounts.get(&miner).copied().unwrap_or_default();
        for (miner, amount) in parts.miners() {
            let account = at(miner.0);
            if account.paid > account.whole() {
                return Err(format!(
                    "income {number} pays miner {miner} {amount}: {} in all, of {} that he has earned",
                    account.paid,
                    account.whole()
                ));
            }
            if let Some((paid, earned)) = least
                && account.paid * earned > paid * account.whole()
            {
                return Err(format!(
                    "income {number} pays miner {miner} {amount}: {} in all of {} that he has earned, while somebody \
                     has {} of {earned}",
                    account.paid,
                    account.whole(),
                    paid - 1
                ));
            }
        }
        let left = parts.of(&Owner::Carry).0;
        if least.is_some() && u128::from(left) > accounts.len() as u128 {
            return Err(format!("income {number} leaves {left} over while shares are owed"));
        }
        if least.is_none() {
            accounts.values_mut().for_each(|account| {
                *account = Account { earned: account.earned & u128::from(u64::MAX), paid: 0 };
            });
        }
    }
    Ok(())
}

/// What a share is worth of this reward, in 2^-64 units. Its work is not above the network's.
fn worth(share: &LoggedShare, reward: u64) -> u128 {
    let mut rest = u128::from(share.work) * u128::from(reward);
    let mut worth = rest / share.network;
    rest %= share.network;
    for _ in 0..64 {
        // One bit of the fraction: twice the rest, which may have 129 bits.
        let above = share.network - rest;
        let bit = rest >= above;
        rest = if bit { rest - above } else { rest * 2 };
        worth = worth << 1 | u128::from(bit);
    }
    worth
}

/// What a swap to another scheme drops: the history, run in two halves that know nothing of each other.
pub(super) fn small_change(subject: &Subject<'_>, history: &History) -> Result<(), String> {
    if subject.terms.batch == 0 {
        return Err("only the state of a scheme that takes batches of shares is known to be worth nothing else: leave \
                    what an income's rounding left over to `rest`"
            .to_owned());
    }
    let steps: Vec<Step> = history
        .steps
        .iter()
        .filter(|step| matches!(step, Step::Shares(_) | Step::Reward(_)))
        .cloned()
        .collect();
    let told = History { steps, ..with_reserve(subject, history) };
    let credits = |told: &History| -> Result<BTreeMap<u64, u128>, String> {
        Ok(run(&subject.bound, told, &How::apart())?.paid().into_iter().next().unwrap_or_default())
    };
    let whole = credits(&told)?;
    for cut in 0..=told.steps.len() {
        let (early, late) = told.steps.split_at(cut);
        let reward = early.iter().rev().find_map(|step| match step {
            Step::Reward(reward) => Some(*reward),
            _ => None,
        });
        let mut sums = credits(&History { steps: early.to_vec(), ..told.clone() })?;
        let late = History { reward: reward.unwrap_or(told.reward), steps: late.to_vec(), ..told.clone() };
        for (miner, credit) in credits(&late)? {
            *sums.entry(miner).or_default() += credit;
        }
        for miner in whole.keys().chain(sums.keys()) {
            let of = |credits: &BTreeMap<u64, u128>| credits.get(miner).copied().unwrap_or(0);
            if of(&whole).abs_diff(of(&sums)) > 1 {
                return Err(format!(
                    "miner {miner} is credited {}, and {} when the state is dropped behind step {cut}",
                    of(&whole),
                    of(&sums)
                ));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_worth_its_part_of_a_reward_to_64_bits() {
        let share = |work, network| LoggedShare {
            miner: 1,
            work,
            network,
            time_ms: 0,
            coord: 0,
            reward: 0,
            block: false,
        };
        assert_eq!(worth(&share(1, 3), 1), (1 << 64) / 3);
        assert_eq!(worth(&share(50, 200), 1000), 250 << 64);
        assert_eq!(worth(&share(u64::MAX, u128::from(u64::MAX)), u64::MAX), u128::from(u64::MAX) << 64);
        // 2 (2^128 - 2) of 2^128 - 1: the rest has 129 bits when it is doubled.
        assert_eq!(worth(&share(1, u128::MAX), u64::MAX), 0);
        assert_eq!(worth(&share(u64::MAX, (1 << 127) + 1), 1 << 63), u128::from(u64::MAX) - 1);
    }

    #[test]
    fn all_orders_of_up_to_three_losses_are_tried() {
        assert_eq!(orders(0), Vec::<Vec<usize>>::new());
        assert_eq!(orders(2), [vec![0], vec![1], vec![0, 1], vec![1, 0]]);
        assert_eq!(orders(5).len(), 5 + 20 + 60);
    }

    #[test]
    fn losses_are_told_in_their_order_and_as_soon_as_they_can_be() {
        let share = || Step::Shares(vec![Shares { miner: 1, work: 1, times: 1 }]);
        let steps = vec![Step::Block(1), share(), Step::Block(2), Step::Block(3), share(), Step::Block(4)];
        let history = History { network: 1, reward: 0, pace: 0, reserve: 0, steps };
        let places = divided_at(&history);
        assert_eq!(places, [2, 5]);
        let told = |order: &[usize], late| {
            let steps = losing(&history, order, &places, late).steps;
            let lost = steps.iter().enumerate().filter(|(_, step)| matches!(step, Step::Lost(_)));
            lost.map(|(at, step)| (at, step.clone())).collect::<Vec<_>>()
        };
        assert_eq!(told(&[1, 0], true), [(6, Step::Lost(1)), (7, Step::Lost(0))]);
        assert_eq!(told(&[0, 1], false), [(3, Step::Lost(0)), (7, Step::Lost(0))]);
        let never = orphaned(&history, &[1], &places).steps;
        assert_eq!((&never[2], &never[5]), (&Step::Block(2), &Step::Orphan));
    }
}
