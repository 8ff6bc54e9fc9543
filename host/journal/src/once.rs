//! Windows that pay a share once. Which shares are unpaid is not in the journal: it follows from the incomes before, so that
//! whoever asks has the list of them, and gets the list after the income.

use crate::records::WindowEnd;
use crate::summary::SegmentShares;
use crate::sums::Sums;
use crate::view::{JournalView, Stretch};
use crate::window::of_share;
use crate::{Counted, JournalError, Span, Window};
use millpond_types::{Amount, ShareSeq};
use millpond_windows::{Look, Paying, Unpaid};

/// An income that pays shares once.
#[derive(Clone, Copy, Debug)]
pub struct Pays<'a> {
    /// A window of [`Span::Unpaid`].
    pub window: &'a Window,
    /// Its near end.
    pub end: &'a WindowEnd,
    /// Shares up to this one are another scheme's.
    pub begins: ShareSeq,
    /// What is divided.
    pub gross: Amount,
}

impl JournalView {
    /// What an income pays of unpaid shares, and what is unpaid after it. Footers say which stretches of segments have nothing to pay;
    /// of those that have, shares are read, since footers do not know what they were worth. An income reads about as many as
    /// it pays.
    ///
    /// # Errors
    /// As [`JournalView::window`], and when the window is of another span.
    pub fn pays(&self, pays: &Pays<'_>, unpaid: &Unpaid) -> Result<(Counted, Unpaid), JournalError> {
        let Pays { window, end, begins, gross } = *pays;
        let Span::Unpaid(most) = window.span else { return Err(JournalError::NoSuchWindow) };
        if !window.is_computed() {
            return Err(JournalError::NoSuchWindow);
        }
        if end.seq > self.newest {
            return Err(JournalError::Ahead { end: end.seq, newest: self.newest });
        }
        let look = Look { begins: begins.0, end: end.seq.0, most };
        let mut paying = unpaid.paying(look, u128::from(gross.0) << 32, window.edge);
        let mut sums = Sums::default();
        self.walk(window, &mut paying, &mut sums)?;
        let dropped = self.dropped.last;
        if dropped.0 > 0 && paying.wants(1, dropped.0) {
            return Err(JournalError::Dropped { last: dropped });
        }
        Ok((sums.counted(ShareSeq(end.seq.0.saturating_add(1))), paying.left()))
    }

    /// Newest segment first.
    fn walk(&self, window: &Window, paying: &mut Paying, sums: &mut Sums) -> Result<(), JournalError> {
        let nothing = |paying: &Paying, total: &SegmentShares| {
            total.count == 0 || !paying.wants(total.first.0, total.last.0)
        };
        let mut shares = Vec::new();
        for segment in self.log.segments().rev() {
            if paying.is_done() {
                break;
            }
            if self.known(segment).is_some_and(|total| nothing(paying, &total)) {
                continue;
            }
            let (stretches, marks) = self.stretches(segment)?;
            for Stretch { records, total } in stretches.into_iter().rev() {
                if paying.is_done() {
                    break;
                }
                if total.is_some_and(|total| nothing(paying, &total)) {
                    continue;
                }
                self.visit_records(segment, &marks, records, |seq, share| -> Result<(), JournalError> {
                    if paying.wants(seq.0, seq.0) {
                        shares.push((seq, share.miner, of_share(window.measure, share)));
                    }
                    Ok(())
                })?;
                for (seq, miner, value) in shares.drain(..).rev() {
                    if paying.is_done() {
                        break;
                    }
                    let counts = paying.pay(seq.0, value).map_err(|_| JournalError::Overflow)?;
                    if counts > 0 {
                        sums.counts(seq);
                        sums.add(miner, counts)?;
                    }
                }
            }
        }
        Ok(())
    }
}
