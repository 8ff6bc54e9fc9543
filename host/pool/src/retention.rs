//! Which old shares may be dropped, and dropping them on a schedule.
//!
//! The operator says how long shares are kept; this module keeps longer whatever still refers to older ones: windows of
//! incomes that could still be recorded, of incomes and blocks that are not final, shares that a reserve has not paid for
//! yet, and the windows of everything within the time that is kept, so that all of that can be replayed.

use crate::columns::REACH;
use crate::core::Core;
use crate::decide::{NoSuchWindow, due, pays_behind, window};
use crate::policy::{Bound, Loader, PolicyError, at};
use crate::proofs::{FOLDER, HEADS};
use crate::sums::Sums;
use millpond_alerts::Level;
use millpond_journal::{Journal, JournalError, JournalView, Policy, Span, WindowEnd};
use millpond_ledger::{Ledger, LedgerError};
use millpond_types::{ShareSeq, UnixMillis};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

/// The network's difficulty may rise so many times within what is kept; a window measured in work then reaches further.
const MARGIN: u32 = 4;
/// The job of a block is recorded this long before the block at most, in milliseconds.
const JOB_LIFE: u64 = 2 * 60 * 60 * 1000;
/// The operator's order is looked at this often, so that a reload and a stop are heard.
const LOOK: Duration = Duration::from_millis(500);

/// What the operator keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keep {
    /// Shares younger than this; `None` keeps all for ever.
    pub time: Option<Duration>,
    /// So many of the newest shares at least.
    pub shares: u64,
}

/// Why it cannot be said what may go. Everything stays then.
#[derive(Debug, thiserror::Error)]
pub enum RetentionError {
    /// The journal.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The ledger, which says what is unpaid.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// A policy whose windows are not to be had.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// A window that is not to be had.
    #[error(transparent)]
    Window(#[from] NoSuchWindow),
}

/// The first share that is kept; 1 when nothing may go. `others` are policies that wait, or divide in shadow. Blocks.
///
/// # Errors
/// When something that could refer to old shares cannot be read: then nothing may go.
pub fn boundary(
    journal: &Journal,
    ledger: &Ledger,
    loader: &Loader,
    others: &[Policy],
    keep: Keep,
    now: UnixMillis,
) -> Result<ShareSeq, RetentionError> {
    const ALL: ShareSeq = ShareSeq(1);
    let Some(time) = keep.time else { return Ok(ALL) };
    let view = journal.view();
    if view.newest().0 == 0 {
        return Ok(ALL);
    }
    let kept_since = UnixMillis(now.0.saturating_sub(u64::try_from(time.as_millis()).unwrap_or(u64::MAX)));
    let newest = view.newest();
    let counted = ShareSeq(newest.0.saturating_sub(keep.shares).saturating_add(1));
    let oldest = view.first_since(kept_since).min(counted).min(newest);
    let mut kept = oldest;
    // The income of a block found with the oldest share that is kept, and of one found now: that of any between reaches
    // no further back.
    let mut ends = Vec::new();
    for seq in [oldest, newest] {
        let Some(share) = view.share(seq)? else { return Ok(ALL) };
        ends.push(WindowEnd {
            seq,
            time: share.time,
            coord: share.coord,
            network_work: share.network_work,
            round_after: journal.round_before(seq),
        });
    }
    ends.extend(journal.open_incomes().into_iter().map(|income| income.end));
    for block in journal.open_blocks() {
        kept = kept.min(view.first_since(UnixMillis(block.time.0.saturating_sub(JOB_LIFE))));
        // Should the blocks before it be lost, its round reaches back to the last one with an income.
        let (end, _) = journal.end_of_block(&block.block)?;
        ends.push(WindowEnd { round_after: journal.round_before(end.seq), ..end });
    }
    let since = ends.iter().map(|end| end.seq).min().unwrap_or(ALL);
    let mut policies = journal.policies_since(since);
    if policies.is_empty() {
        return Ok(ALL);
    }
    let known = policies.clone();
    policies.extend_from_slice(others);
    let bounds = policies.iter().map(|policy| loader.bind(policy)).collect::<Result<Vec<_>, _>>()?;
    // Whom a policy follows may be given shares with the incomes, and again when one is lost.
    let follows = bounds.iter().any(|bound| bound.old_in_cells().is_some());
    let state = if follows { Some(Sums::read(ledger)?.sums.state) } else { None };
    for (policy, bound) in policies.iter().zip(&bounds) {
        let Bound { scheme, .. } = bound;
        let above = |floor: ShareSeq| ShareSeq(floor.0.saturating_add(1));
        let least = above(bound.clip().floor);
        if let Some(old) = bound.old() {
            // Whom it follows is called for the incomes that are its own, the first one's among them.
            let decides = |end: ShareSeq| at(&known, end) == Some(policy);
            let first = view.share(least.max(oldest))?.map(|share| WindowEnd {
                seq: least.max(oldest),
                time: share.time,
                coord: share.coord,
                network_work: share.network_work,
                round_after: journal.round_before(least.max(oldest)),
            });
            let is_newest = |end: &WindowEnd| end.seq == newest && known.last() == Some(policy);
            let own = |end: &&WindowEnd| end.seq >= least && (decides(end.seq) || is_newest(end));
            for end in ends.iter().chain(&first).filter(own) {
                for declared in &old.bound.scheme.terms().windows {
                    let needed = view.needed_from(&window(declared)?, end, MARGIN);
                    kept = kept.min(needed.max(above(old.followed.floor)));
                }
                if old.bound.asks_for_shares() {
                    kept = kept.min(for_columns(&view, end.seq)?);
                }
            }
        }
        if let Some(state) = &state
            && bound.old_in_cells().is_some()
        {
            // Should one of these incomes be lost, what it keeps may be there again.
            let boundary = bound.clip().floor;
            let may_be = || ends.iter().any(|end| end.seq <= boundary).then_some(boundary);
            let given = state.oldest_given_aside().or(bound.given_to_old(state)).or_else(may_be);
            kept = given.into_iter().map(above).fold(kept, ShareSeq::min);
        }
        let terms = scheme.terms();
        if bound.asks_for_shares() {
            for end in &ends {
                kept = kept.min(for_columns(&view, end.seq)?);
            }
        }
        if scheme.takes_again() {
            // Should one of these incomes be lost, the shares behind it are given again.
            let behind = ends.iter().map(|end| ShareSeq(end.seq.0.saturating_add(1)));
            kept = behind.fold(kept, ShareSeq::min);
        }
        for declared in &terms.windows {
            let declared = window(declared)?;
            let unpaid = match declared.span {
                Span::Unpaid(_) => unpaid_from(journal, ledger, loader, policy)?,
                _ => ALL,
            };
            for end in &ends {
                kept = kept.min(view.needed_from(&declared, end, MARGIN).max(least).max(unpaid));
            }
        }
    }
    let given = ShareSeq(ledger.accrued_to());
    if let Some(due) = due(&journal.policies(), loader, given, newest)? {
        kept = kept.min(due.first);
        if due.bound.asks_for_shares() {
            kept = kept.min(for_columns(&view, due.first)?);
        }
    }
    Ok(kept.max(ALL))
}

/// The first share that a policy which pays shares once may pay: the oldest that is unpaid, whichever of the open incomes are
/// lost. One that is not in force yet, or divides in shadow, has another list: all its shares are unpaid. What paid older ones
/// and is final is taken as it is booked where it is replayed.
fn unpaid_from(
    journal: &Journal,
    ledger: &Ledger,
    loader: &Loader,
    policy: &Policy,
) -> Result<ShareSeq, RetentionError> {
    let policies = journal.policies();
    let behind = |share: ShareSeq| ShareSeq(share.0.saturating_add(1));
    if !policies.contains(policy) {
        return Ok(behind(policy.from));
    }
    let begins = behind(pays_behind(&policies, loader, policy)?);
    let listed = Sums::read(ledger)?.sums.state.oldest_unpaid();
    Ok(listed.map_or(begins, |oldest| oldest.max(begins)))
}

/// The first share that a fee policy's columns may need where a window ends at this share.
fn for_columns(view: &JournalView, end: ShareSeq) -> Result<ShareSeq, JournalError> {
    let time = view.share(end)?.map_or(UnixMillis(0), |share| share.time);
    Ok(view.first_since(UnixMillis(time.0.saturating_sub(REACH))))
}

/// What a section says, and how often it is looked at.
pub(crate) fn order(section: &millpond_config::Pool) -> (Keep, Duration) {
    let retention = &section.retention;
    (Keep { time: retention.keep, shares: retention.shares }, retention.every)
}

/// The thread: drops what may go, every so often, until told to stop. `order` is asked anew each time.
pub(crate) fn run(core: &Arc<Core>, order: impl Fn() -> (Keep, Duration), stop: &Receiver<()>) {
    let mut last: Option<UnixMillis> = None;
    loop {
        let (keep, every) = order();
        let now = UnixMillis::now();
        let due = last.is_none_or(|last| u128::from(now.since(last)) >= every.as_millis());
        if due && keep.time.is_some() {
            last = Some(now);
            if let Err(why) = once(core, keep, now) {
                let text = format!("old shares are not dropped: {why}");
                core.alarm(Level::Warning, "retention", text);
            }
        }
        match stop.recv_timeout(LOOK) {
            Err(RecvTimeoutError::Timeout) => {}
            Ok(()) | Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

fn once(core: &Core, keep: Keep, now: UnixMillis) -> Result<(), RetentionError> {
    // What is divided is shown to be divided rightly by the shares that it was divided by.
    let waits = match &core.proofs {
        Some(proofs) => proofs.is_held() || proofs.is_behind(&core.ledger),
        // The key may come back.
        None => core.folder.join(FOLDER).join(HEADS).exists(),
    };
    if waits {
        return Ok(());
    }
    let shadows = core.shadows.iter().map(|shadow| shadow.policy().clone());
    let others: Vec<Policy> = core.books.pending().into_iter().chain(shadows).collect();
    let first = boundary(&core.journal, &core.ledger, core.books.loader(), &others, keep, now)?;
    let before = core.journal.dropped().last;
    core.journal.drop_before(first)?;
    let last = core.journal.dropped().last;
    if last > before {
        tracing::info!(pool = %core.name, last = last.0, "shares up to this number were dropped");
    }
    Ok(())
}
